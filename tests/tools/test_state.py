"""The state tools hand the repository what they were told, and hand back what it said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import REPLY_BYTES_MAX, VALUE_DEPTH_MAX
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.errors import HandleNotFound, InvalidArgument, InvalidPath, LimitExceeded
from asg_mcp.repo import results as r
from asg_mcp.repo.repository import Guard
from tests.tools.recorder import HEAD, PARENT, ROOT, WRITTEN, called, commit_info

WHY: dict[str, Any] = {"intent_category": "Fix", "intent_description": "Mend it"}
FOUND = r.GetResult(
    ref="main",
    commit=HEAD,
    path=("a b", "c/d"),
    value={"x": None},
    type="map",
    object=ROOT,
    truncated=True,
    omitted=((("a b", "big"), "list", 7),),
    next_cursor="more",
    last_change=commit_info(confidence=0.0),
)


async def test_set_is_one_operation_with_its_intent_author_and_guard() -> None:
    arguments = WHY | {
        "path": "/a~1b/0",
        "value": None,
        "reasoning": "seen twice",
        "confidence": 0.73,
        "tags": ["x"],
        "expected_head": "abcdef",
        "expected_object": "fedcba",
        "request_id": "r1",
        "provenance": {"agent": "planner", "intent_id": "i1", "parent_intent": "i0", "authority": "on-call"},
    }
    recorder, reply = await called("asg_set", arguments, commit=WRITTEN)
    intent = Intent(
        Category.FIX,
        "Mend it",
        reasoning="seen twice",
        confidence=0.73,
        tags=("x",),
        intent_id="i1",
        parent_intent="i0",
        provenance={"authority": {"principal": "on-call"}},
    )
    operation = Operation(Op.SET, ("a/b", "0"), None)
    author = Author("ana", "planner", "probe/1.0")
    assert recorder.calls == [(("main", [operation], intent, author, Guard("abcdef", "fedcba", "r1")), {})]
    assert reply == {
        "commit": HEAD.short,
        "ref": "main",
        "parent": PARENT.short,
        "object": ROOT.short,
        "changed": 1,
        "rebased": False,
    }


async def test_delete_is_one_operation_and_its_reply_has_no_object() -> None:
    gone = replace(WRITTEN, object=None, parent=None, replayed=True)
    recorder, reply = await called("asg_delete", WHY | {"ref": "dev", "path": "/a"}, commit=gone)
    assert recorder.calls[0][0][:2] == ("dev", [Operation(Op.DELETE, ("a",))])
    assert "object" not in reply
    assert "parent" not in reply
    assert reply["replayed"] is True


async def test_apply_hands_all_operations_down_in_order() -> None:
    operations = [
        {"op": "set", "path": "/a", "value": [1]},
        {"op": "delete", "path": "/b", "value": None},
        {"op": "append", "path": "/c", "value": "x"},
        {"op": "insert", "path": "/c/0", "value": None},
        {"op": "move", "path": "/d", "from": "/e"},
        {"op": "test", "path": "/f", "value": False},
    ]
    recorder, _ = await called("asg_apply", WHY | {"operations": operations}, commit=WRITTEN)
    assert recorder.calls[0][0][1] == [
        Operation(Op.SET, ("a",), [1]),
        Operation(Op.DELETE, ("b",), ABSENT),
        Operation(Op.APPEND, ("c",), "x"),
        Operation(Op.INSERT, ("c", "0"), None),
        Operation(Op.MOVE, ("d",), ABSENT, ("e",)),
        Operation(Op.TEST, ("f",), False),
    ]


async def test_apply_without_operations_is_a_checkpoint() -> None:
    recorder, _ = await called("asg_apply", WHY, commit=WRITTEN)
    assert recorder.calls[0][0][1] == []


@pytest.mark.parametrize(
    ("operation", "problem"),
    [
        ({"op": "set", "path": "/a"}, "set needs value"),
        ({"op": "delete", "path": "/a", "value": 1}, "delete takes no value"),
        ({"op": "move", "path": "/a"}, "move needs from"),
        ({"op": "test", "path": "/a", "value": 1, "from": "/b"}, "test takes no from"),
    ],
)
async def test_an_operation_with_the_wrong_parts_is_named_by_its_place(operation: dict[str, Any], problem: str) -> None:
    fine = {"op": "set", "path": "/a", "value": 1}
    with pytest.raises(InvalidArgument, match=rf"operations\[1\]: {problem}") as refused:
        await called("asg_apply", WHY | {"operations": [fine, operation]})
    assert refused.value.details == {"index": 1}


@pytest.mark.parametrize("tool", ["asg_set", "asg_delete", "asg_apply"])
async def test_a_write_under_a_session_that_is_not_open_is_refused(tool: str) -> None:
    own: dict[str, dict[str, Any]] = {"asg_set": {"path": "/a", "value": 1}, "asg_delete": {"path": "/a"}}
    with pytest.raises(HandleNotFound):
        await called(tool, WHY | own.get(tool, {}) | {"session": "s1"})


async def test_faulty_paths_and_reasons_are_refused_before_the_repository_is_called() -> None:
    with pytest.raises(InvalidPath):
        await called("asg_set", WHY | {"path": "a", "value": 1})
    with pytest.raises(InvalidArgument, match="outside 0 to 1"):
        await called("asg_set", WHY | {"path": "/a", "value": 1, "confidence": 73})
    with pytest.raises(LimitExceeded):
        await called("asg_set", WHY | {"path": "/a", "value": 1, "reasoning": "x" * 70_000})


async def test_get_reads_the_root_of_main_by_default() -> None:
    recorder, _ = await called("asg_get", {}, get=FOUND)
    assert recorder.calls == [(("main", ()), {"depth": None, "max_bytes": REPLY_BYTES_MAX, "cursor": ""})]


async def test_get_tells_what_was_left_out_and_who_changed_it_last() -> None:
    arguments = {"ref": "dev", "path": "/a", "depth": VALUE_DEPTH_MAX, "max_bytes": 256, "cursor": "c"}
    recorder, reply = await called("asg_get", arguments, get=FOUND)
    assert recorder.calls == [(("dev", ("a",)), {"depth": VALUE_DEPTH_MAX, "max_bytes": 256, "cursor": "c"})]
    assert reply == {
        "ref": "main",
        "commit": HEAD.short,
        "path": "/a b/c~1d",
        "value": {"x": None},
        "type": "map",
        "object": ROOT.short,
        "truncated": True,
        "omitted": [{"path": "/a b/big", "type": "list", "entries": 7}],
        "next_cursor": "more",
        "last_change": {
            "commit": HEAD.short,
            "agent": "night-watch",
            "category": "Fix",
            "description": "Take node-3 out of rotation",
            "confidence": 0.0,
            "at": commit_info().at,
        },
    }


async def test_get_gives_whole_ids_when_asked() -> None:
    _, reply = await called("asg_get", {"full_ids": True}, get=FOUND)
    assert (reply["commit"], reply["object"]) == (HEAD.hex(), ROOT.hex())
    assert reply["last_change"]["commit"] == HEAD.hex()


async def test_a_stored_null_is_told_as_null_and_missing_confidence_is_missing() -> None:
    _, reply = await called("asg_get", {}, get=replace(FOUND, value=None, last_change=commit_info()))
    assert reply["value"] is None
    assert "confidence" not in reply["last_change"]


async def test_search_tells_scalars_and_keys_apart() -> None:
    found = r.SearchResult(
        ref="main",
        commit=HEAD,
        matches=(
            r.Match(("a",), None, "null", "value"),
            r.Match(("b",), ABSENT, "map", "key"),
            r.Match(("c",), "x" * 20_000, "string", "value"),
        ),
        next_cursor="",
        scanned=3,
    )
    arguments = {"query": "$..a", "mode": "jsonpath", "prefix": "/p", "max_results": 5}
    recorder, reply = await called("asg_search", arguments, search=found)
    expected = {"mode": "jsonpath", "prefix": ("p",), "limit": 5, "cursor": ""}
    assert recorder.calls == [(("main", "$..a"), expected)]
    assert type(recorder.calls[0][1]["mode"]) is str
    assert reply["matches"] == [
        {"path": "/a", "value": None, "type": "null", "on": "value"},
        {"path": "/b", "type": "map", "on": "key"},
        {"path": "/c", "type": "string", "on": "value", "left_out": {"value": 20_002}},
    ]
