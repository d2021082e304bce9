"""Arguments in, one reply out: what the caller is told, whatever happens."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.limits import REPLY_BYTES_MAX
from asg_mcp.server.dispatch import Dispatcher, Reply, UnknownTool
from asg_mcp.tools.aliases import Alias
from asg_mcp.tools.registry import Caller, Effect, Tool, ToolContext
from tests.server.toy_server import BRANCH_HINT, CATALOGUE, NO_REPOSITORY, EchoParams, EchoResult, echo

CONTEXT = ToolContext(NO_REPOSITORY, Caller("local:tester", "test/1", "test/1"))
DISPATCHER = Dispatcher(CATALOGUE)


async def call(tool: str, **arguments: Any) -> Reply:
    return await DISPATCHER.dispatch(CONTEXT, f"asg_{tool}", arguments)


async def refused(tool: str, **arguments: Any) -> dict[str, Any]:
    reply = await call(tool, **arguments)
    assert reply.is_error
    assert reply.structured is None
    reply.text.encode()
    problem: dict[str, Any] = json.loads(reply.text)
    assert set(problem) <= {"code", "message", "hint", "details"}
    assert "pydantic" not in reply.text
    return problem


# --- success ---------------------------------------------------------------------


async def test_the_text_is_the_compact_json_of_the_structured_content() -> None:
    reply = await call("echo", value={"a": [1, "é"]})
    assert not reply.is_error
    assert reply.text == '{"value":{"a":[1,"é"]},"arguments":{}}'
    assert json.loads(reply.text) == reply.structured


async def test_a_null_is_sent_and_a_field_that_was_never_set_is_not() -> None:
    assert (await call("echo", value=None)).structured == {"value": None, "arguments": {}}


async def test_a_tool_answers_to_its_aliases() -> None:
    tool = Tool("asg_new", "toy", "New.", echo, EchoParams, EchoResult, Effect.READ)
    alias = Alias("old_name", "asg_new", {"thing": "value"}, {"limit": 3})
    dispatcher = Dispatcher((tool,), (alias, Alias("of_another", "asg_other")))
    reply = await dispatcher.dispatch(CONTEXT, "old_name", {"thing": 1})
    assert reply.structured == {"value": 1, "arguments": {"limit": 3}}
    with pytest.raises(UnknownTool):
        await dispatcher.dispatch(CONTEXT, "of_another", {})


# --- what clients do to arguments --------------------------------------------------


@pytest.mark.parametrize(
    ("argument", "sent", "taken"),
    [
        ("limit", "10", 10),
        ("options", '{"a": 1}', {"a": 1}),
        ("items", '[{"op": "set", "path": "/a"}]', [{"op": "set", "path": "/a"}]),
    ],
)
async def test_arguments_that_clients_turn_into_text_are_turned_back(argument: str, sent: str, taken: Any) -> None:
    reply = await call("echo", value=1, **{argument: sent})
    assert reply.structured == {"value": 1, "arguments": {argument: taken}}


@pytest.mark.parametrize("sent", ["{bad", "[1]", "3", "[" * 100_000])
async def test_a_text_that_is_not_the_json_of_the_declared_type_is_refused(sent: str) -> None:
    assert (await refused("echo", value=1, options=sent))["message"].startswith("options: ")


@pytest.mark.parametrize("argument", ["branch", "limit", "mode", "items", "options"])
@pytest.mark.parametrize("sent", ["", None])
async def test_an_optional_argument_that_is_empty_or_null_is_absent(argument: str, sent: str | None) -> None:
    reply = await call("echo", value=1, **{argument: sent})
    assert reply.structured == {"value": 1, "arguments": {}}


@pytest.mark.parametrize("value", ["", "null", "10", '{"a":1}', "[1]", None, [], {}, True, 1.0])
async def test_a_value_that_may_be_anything_is_never_reinterpreted(value: Any) -> None:
    reply = await call("echo", value=value)
    assert reply.structured is not None
    assert json.dumps(reply.structured["value"]) == json.dumps(value)


# --- refusals of arguments -----------------------------------------------------------


async def test_a_misspelt_argument_is_refused_with_the_name_that_was_meant() -> None:
    problem = await refused("echo", value=1, brnch="dev")
    assert problem["code"] == "invalid_argument"
    assert problem["message"] == "There is no argument brnch"
    assert problem["hint"] == (
        "Did you mean branch? asg_echo takes: value, branch, limit, mode, items, options, padding."
    )
    assert problem["details"] == {"arguments": ["brnch"]}


async def test_a_misspelt_argument_inside_a_list_is_refused_with_its_place() -> None:
    problem = await refused("echo", value=1, items=[{"op": "set", "path": "/a"}, {"op": "set", "pth": "/b"}])
    assert "There is no argument items[1].pth" in problem["message"]
    assert "The argument items[1].path is missing" in problem["message"]
    assert "Did you mean path? items[1] takes: op, path." in problem["hint"]


async def test_a_missing_argument_is_named_and_described() -> None:
    problem = await refused("echo")
    assert problem["message"] == "The argument value is missing"
    assert problem["hint"] == "value: Comes back as it is."


async def test_a_missing_word_of_a_closed_set_is_named_with_the_set() -> None:
    problem = await refused("echo", value=1, items=[{"path": "/a"}])
    assert problem["hint"] == "items[0].op: What to do; set or delete."


async def test_a_misspelt_argument_is_told_before_the_one_that_it_leaves_missing() -> None:
    problem = await refused("echo", vaule=1)
    assert problem["message"] == "There is no argument vaule; The argument value is missing"


async def test_a_word_outside_a_closed_set_is_refused_with_the_nearest_one() -> None:
    problem = await refused("echo", value=1, mode="txt")
    assert "'text' or 'path'" in problem["message"]
    assert problem["hint"] == "Did you mean text for mode?"


@pytest.mark.parametrize("limit", [0, "ten", 1.5, [1], {"a": 1}, 10**400])
async def test_an_ill_typed_argument_is_refused_by_name(limit: Any) -> None:
    problem = await refused("echo", value=1, limit=limit)
    assert problem["message"].startswith("limit: ")
    assert problem["hint"] == "limit: A number."


async def test_a_huge_argument_is_not_sent_back_in_the_error() -> None:
    problem = await refused("echo", value=1, limit="9" * 1_000_000, **{"n" * 1_000_000: 1})
    assert len(json.dumps(problem)) < 2_000


@pytest.mark.parametrize("name", ["\ud800", "a\ud800", "\x00", "", "title", "$ref"])
async def test_an_argument_with_a_strange_name_is_refused(name: str) -> None:
    assert (await refused("echo", value=1, **{name: 1}))["code"] == "invalid_argument"


@pytest.mark.parametrize("text", ["\ud800", "x\udfff"])
async def test_a_lone_surrogate_in_any_argument_is_an_error_that_can_be_sent(text: str) -> None:
    assert (await refused("echo", value=text))["code"] == "invalid_value"
    assert (await refused("echo", value={text: 1}))["code"] == "invalid_value"
    assert (await refused("echo", value=1, branch=text))["code"] == "invalid_value"
    assert (await refused("echo", value=1, items=[{"op": text, "path": "/"}]))["code"] == "invalid_argument"


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 2**63])
async def test_a_number_that_cannot_be_stored_is_an_error_that_can_be_sent(number: float) -> None:
    assert (await refused("echo", value=number))["code"] == "invalid_value"


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec=None)), inner, max_size=3),
    max_leaves=8,
)
_NAMES = st.sampled_from(["value", "branch", "limit", "mode", "items", "options", "padding"]) | st.text()


@given(arguments=st.dictionaries(_NAMES, _JSON, max_size=5))
async def test_any_arguments_at_all_get_a_reply_that_can_be_sent(arguments: dict[str, Any]) -> None:
    reply = await DISPATCHER.dispatch(CONTEXT, "asg_echo", arguments)
    assert json.loads(reply.text.encode())
    if reply.is_error:
        assert json.loads(reply.text)["code"] in ("invalid_argument", "invalid_value", "limit_exceeded")


# --- failures of tools -----------------------------------------------------------------


async def test_an_error_raised_on_purpose_is_told_with_its_code_hint_and_details() -> None:
    assert await refused("fail", how="ref") == {
        "code": "ref_not_found",
        "message": "Branch 'x' not found",
        "hint": BRANCH_HINT,
        "details": {"nearest": ["main", "dev"]},
    }


async def test_an_error_whose_words_are_no_unicode_is_still_told() -> None:
    assert (await refused("fail", how="surrogate"))["code"] == "ref_not_found"


async def test_a_text_that_only_the_handler_finds_to_be_no_unicode_is_told_as_such() -> None:
    assert (await refused("fail", how="encode"))["code"] == "invalid_value"


async def test_an_error_too_large_to_send_says_what_was_left_out() -> None:
    problem = await refused("fail", how="huge")
    assert len(json.dumps(problem)) < REPLY_BYTES_MAX
    assert (problem["code"], problem["hint"]) == ("ref_not_found", BRANCH_HINT)
    assert "at most 32768" in problem["details"]["left_out"]


@pytest.mark.parametrize("how", ["crash", "recursion"])
async def test_an_unexpected_error_is_logged_and_named_by_a_reference_only(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        problem = await refused("fail", how=how)
    assert problem["code"] == "internal"
    assert "secret" not in json.dumps(problem)
    assert problem["details"]["reference"] in caplog.text
    assert "Traceback" in caplog.text


async def test_an_unknown_tool_is_raised_with_the_name_that_was_meant() -> None:
    with pytest.raises(UnknownTool) as caught:
        await call("ecco")
    assert caught.value.hint == "Did you mean asg_echo? tools/list names them all."
    with pytest.raises(UnknownTool) as caught:
        await DISPATCHER.dispatch(CONTEXT, "\ud800" * 1_000_000, None)
    json.dumps(caught.value.as_dict(), ensure_ascii=False).encode()


# --- size ----------------------------------------------------------------------------


async def test_a_reply_over_the_limit_is_refused_with_what_to_ask_instead() -> None:
    problem = await refused("echo", value="x" * REPLY_BYTES_MAX)
    assert problem["code"] == "limit_exceeded"
    assert problem["details"]["limit"] == "REPLY_BYTES_MAX"
    assert "limit" in problem["hint"]
    assert "cursor" in problem["hint"]


async def test_a_write_whose_reply_is_too_large_says_that_it_took_effect() -> None:
    problem = await refused("echo_write", value="x" * REPLY_BYTES_MAX)
    assert "took effect" in problem["message"]
    assert "Do not repeat" in problem["hint"]


async def test_a_tool_whose_caller_sets_the_size_keeps_to_it_itself() -> None:
    class SizedParams(EchoParams):
        max_bytes: int = 0

    tool = Tool("asg_sized", "toy", "Sized.", echo, SizedParams, EchoResult, Effect.READ)
    reply = await Dispatcher((tool,)).dispatch(CONTEXT, "asg_sized", {"value": "x" * REPLY_BYTES_MAX})
    assert not reply.is_error
