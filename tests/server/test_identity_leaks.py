"""What a token that may see some alone, or write alone, is told: in replies and errors, nothing of what it may not see.

All that is beyond the grants of these rows has `hidden` in it: values, reasons, names of keys, the schema's demands.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Category
from asg_mcp.errors import PathNotFound, SchemaViolation, WrongType
from asg_mcp.schemas.state import ApplyParams
from asg_mcp.server.withholding import kept, withheld
from asg_mcp.services.access import EVERY_VERB, Grant, Verb
from asg_mcp.tools.catalogue import CATALOGUE
from tests.repo.desk import open_desk
from tests.server.test_identity import ALICE, Scene

TEAM = Grant("mallory", paths=(("team",),))
PAIR = Grant("mallory", paths=(("team", "a"), ("team", "b")))
DEEP = Grant("mallory", paths=(("vault", "pin", "x"), ("list", "here", "0")))
BLIND = Grant("mallory", verbs=EVERY_VERB - {Verb.READ})
BLIND_TEAM = Grant("mallory", verbs=EVERY_VERB - {Verb.READ}, paths=(("team",),))
A, B = ({"op": "set", "path": f"/team/{key}", "value": 5} for key in "ab")
WRONG = "bbbbbbbb"


@dataclass(frozen=True)
class Leak:
    """A call that told something, and how it has to end."""

    tool: str
    arguments: dict[str, Any]
    grant: Grant
    code: str = "forbidden"
    also: tuple[str, ...] = ()
    """What it is not told either."""


LEAKS = {
    "object above what two paths have in common": Leak(
        "asg_apply", {"operations": [A, B], "expected_object": WRONG}, PAIR
    ),
    "object of the whole state": Leak("asg_apply", {"operations": [], "expected_object": WRONG}, TEAM),
    "object of the whole state at a checkpoint": Leak("asg_apply", {"operations": []}, TEAM),
    "checkpoint of a speculation": Leak(
        "asg_spec_modify", {"handle": "{spec}", "operations": []}, TEAM, "invalid_argument"
    ),
    "id above what two paths have in common": Leak("asg_apply", {"operations": [A, B]}, PAIR, "ok", ('"object"',)),
    "schema that demands something elsewhere": Leak(
        "asg_set", {"ref": "strict", "path": "/team/a", "value": 99}, TEAM, "schema_violation", ("/vault", "schema__/")
    ),
    "schema that demands something here": Leak(
        "asg_set", {"ref": "strict", "path": "/team/n", "value": "x"}, TEAM, "schema_violation", ("schema_path",)
    ),
    "schema that warns": Leak("asg_set", {"ref": "mild", "path": "/team/a", "value": 99}, TEAM, "ok", ("/vault",)),
    "schema that warns whoever may not read": Leak(
        "asg_set", {"ref": "mild", "path": "/team/a", "value": 99}, BLIND, "ok", ("message",)
    ),
    "schema that refuses whoever may not read": Leak(
        "asg_set", {"ref": "strict", "path": "/team/a", "value": 99}, BLIND, "schema_violation", ('message":"\'',)
    ),
    "test of a value": Leak("asg_apply", {"operations": [{"op": "test", "path": "/team/c", "value": 1}]}, BLIND),
    "test in a speculation": Leak(
        "asg_spec_modify",
        {"handle": "{spec}", "operations": [{"op": "test", "path": "/team/c", "value": 1}]},
        BLIND,
    ),
    "value that is no longer as read": Leak(
        "asg_set", {"path": "/team/c", "value": 1, "expected_object": WRONG}, BLIND, "object_changed", ('"object"',)
    ),
    "deleted value that is no longer as read": Leak(
        "asg_delete", {"path": "/team/c", "expected_object": WRONG}, BLIND_TEAM, "object_changed", ('"object"',)
    ),
    "what was written meanwhile": Leak(
        "asg_set",
        {"path": "/team/c", "value": 1, "expected_head": "{first}"},
        BLIND,
        "head_moved",
        ("conflicts",),
    ),
    "names nearby": Leak("asg_delete", {"path": "/vault/hiddenkez"}, BLIND, "path_not_found", ("nearest",)),
    "type of what is in the way": Leak(
        "asg_set", {"path": "/team/c/x", "value": 1}, BLIND, "wrong_type", ("string", '"type"')
    ),
    "plan with its tasks": Leak("asg_plan", {"name": "p0"}, BLIND),
    "task": Leak("asg_update_task", {"plan": "p0", "task": "t-1", "action": "start", "agent": "bob"}, BLIND),
    "next task": Leak("asg_next_task", {"plan": "p0", "agent": "bob", "claim": True}, BLIND),
    "what came of an intent": Leak(
        "asg_resolve", {"intent": "main", "outcome": "fulfilled", "summary": "Done."}, BLIND
    ),
    "epoch over all paths": Leak("asg_create_epoch", {"id": "e1", "description": "x"}, TEAM),
    "epoch over all refs": Leak("asg_create_epoch", {"id": "e1", "description": "x"}, Grant("mallory", refs=("main",))),
    "epoch of another sealed by paths": Leak("asg_seal_epoch", {"id": "e0", "summary": "x"}, TEAM),
    "epoch of another sealed by refs": Leak(
        "asg_seal_epoch", {"id": "e0", "summary": "x"}, Grant("mallory", refs=("main", "epoch/*"))
    ),
    "all that a commit was given": Leak(
        "asg_query", {"filters": {"path": "/team"}, "view": "full"}, TEAM, "ok", ("provenance",)
    ),
    "what a commit expected and did not take": Leak("asg_log", {"path": "/team"}, TEAM, "ok", ("alternatives",)),
    "the same of a path": Leak("asg_blame", {"path": "/team", "depth": 3}, TEAM, "ok", ("expected",)),
    "the same of a state": Leak(
        "asg_query", {"target": "state", "filters": {"path": "/team"}, "view": "full"}, TEAM, "ok", ("provenance",)
    ),
    "where an element came from": Leak("asg_diff", {"ref_a": "main~1", "ref_b": "main", "path": "/team"}, TEAM, "ok"),
    "reasons of the newest commits of branches": Leak("asg_list_branches", {}, TEAM, "ok"),
    "type of an ancestor, read": Leak("asg_get", {"path": "/vault/pin/x"}, DEEP, "path_not_found", ("string",)),
    "type of an ancestor, written": Leak(
        "asg_set", {"path": "/vault/pin/x", "value": 1}, DEEP, "path_not_found", ("string",)
    ),
    "type of an ancestor, inserted": Leak(
        "asg_apply",
        {"operations": [{"op": "insert", "path": "/list/here/0", "value": 1}]},
        DEEP,
        "path_not_found",
        ("a map",),
    ),
    "type of an ancestor, listed": Leak(
        "asg_get", {"path": "/team/list/x/y"}, Grant("mallory", paths=(("team", "list", "x"),)), "path_not_found"
    ),
    "type of an ancestor, blamed": Leak("asg_blame", {"path": "/vault/pin/x"}, DEEP, "path_not_found", ("string",)),
}

SCHEMA = {
    "properties": {"team": {"properties": {"n": {"type": "integer"}}}},
    "if": {"properties": {"team": {"properties": {"a": {"const": 99}}}}},
    "then": {"properties": {"vault": {"properties": {"pin": {"enum": ["hidden-demand"]}}}}},
}
GIVEN = {
    "tool_calls": [{"tool": "t", "arguments": {"k": "hidden-argument"}}],
    "alternatives": [{"description": "hidden-alternative"}],
    "expected": {"x": "hidden-expectation"},
}


@asynccontextmanager
async def stocked(folder: Path) -> AsyncIterator[Scene]:
    """A store with something hidden in every place."""
    async with open_desk(folder) as desk:
        at = Scene(desk)
        vault = {"pin": "hidden-pin", "hiddenkey": 1}
        team = {"a": 1, "b": 2, "c": "unread", "list": [1, 2]}
        first = await desk.apply(("set", "/", {"team": team, "vault": vault, "list": {"here": {"x": 1}}}))
        await desk.set("/team/c", "unread-again")
        for name, mode in (("strict", "enforce"), ("mild", "warn")):
            await desk.branch(name)
            await desk.set("/__schema__", {**SCHEMA, "x-asg-validate": mode}, ref=name)
        spec = await at.done("asg_speculate", {}, BLIND_READER)
        names = {"first": first.commit.hex(), "mallory:spec": spec["handle"]}
        await at.done("asg_create_epoch", {"id": "e0", "description": "x"}, ALICE)
        tasks = [{"id": "t-1", "title": "hidden-task"}]
        await at.done("asg_plan", {"name": "p0", "description": "hidden-plan", "tasks": tasks}, ALICE)
        both = [{"op": "set", "path": "/team/d", "value": 1}, {"op": "set", "path": "/vault/e", "value": 1}]
        await at.done("asg_apply", {"operations": both, "provenance": GIVEN}, ALICE)
        why = {"intent_description": "hidden-reason"}
        await at.done("asg_set", {"path": "/vault/f", "value": "hidden-f", **why}, ALICE)
        with at.named(names):
            yield at


BLIND_READER = Grant("mallory")
"""Mallory with every right, to make what the rows are about."""


@pytest.mark.parametrize("name", LEAKS)
async def test_nothing_is_told_of_what_the_token_may_not_see(tmp_path: Path, name: str) -> None:
    leak = LEAKS[name]
    async with stocked(tmp_path) as at:
        reply = await at.call(leak.tool, leak.arguments, leak.grant)
        assert reply.code == leak.code, reply.text
        assert "hidden" not in reply.text.replace("hiddenkez", "")
        unread = ("unread",) if Verb.READ not in leak.grant.verbs else ()
        for text in (*leak.also, *unread):
            assert text not in reply.text
        if reply.structured is not None:
            # It is still what the tool's description says.
            next(tool for tool in CATALOGUE if tool.name == leak.tool).result.model_validate(reply.structured)


async def test_what_a_schema_demands_of_a_path_of_ones_own_is_told(tmp_path: Path) -> None:
    async with stocked(tmp_path) as at:
        refused = (await at.call("asg_set", {"ref": "strict", "path": "/team/n", "value": "x"}, TEAM)).text
        warned = await at.done("asg_set", {"ref": "mild", "path": "/team/n", "value": "x"}, TEAM)
        elsewhere = await at.done("asg_set", {"ref": "mild", "path": "/team/a", "value": 99}, TEAM)
        assert "'x' is not of type 'integer'" in refused
        assert [item["path"] for item in warned["warnings"]] == ["/team/n"]
        assert (elsewhere.get("warnings"), elsewhere["warnings_omitted"]) == (None, 1)


async def test_whoever_may_read_all_is_told_all(tmp_path: Path) -> None:
    async with stocked(tmp_path) as at:
        told = await at.call("asg_set", {"ref": "strict", "path": "/team/a", "value": 99}, ALICE)
        assert "hidden-demand" in told.text
        told = await at.call("asg_set", {"path": "/team/c", "value": 1, "expected_object": WRONG}, ALICE)
        assert "unread-again" in told.text
        assert "hidden-argument" in (await at.call("asg_query", {"view": "full"}, ALICE)).text


async def test_whoever_may_seal_everywhere_seals_without_the_right_to_merge(tmp_path: Path) -> None:
    async with stocked(tmp_path) as at:
        sealer = Grant("mallory", verbs=frozenset({Verb.SEAL}), protected=("main",))
        await at.done("asg_create_epoch", {"id": "e1", "description": "x"}, sealer)
        await at.done("asg_seal_epoch", {"id": "e1", "summary": "Done."}, sealer)


CONFLICTS = {"conflicts": [{"path": path, "rule": "scalar", "ours": "hidden"} for path in ("/", "/team", "/vault")]}


def test_conflicts_beyond_the_grant_show_no_values_and_those_beside_it_not_even_their_place() -> None:
    told = kept(
        PAIR,
        ApplyParams(intent_category=Category.FIX, intent_description="x"),
        {**CONFLICTS, "omitted": {"conflicts": 1}},
    )
    places = [{"path": path, "rule": "scalar"} for path in ("/", "/team")]
    assert told == {"conflicts": places, "omitted": {"conflicts": 2}}


def test_what_is_withheld_leaves_the_error_of_whoever_logs_it_as_it_is() -> None:
    for error in (
        WrongType("/vault/pin is a string", path="/vault/pin/x", at="/vault/pin", type="string"),
        SchemaViolation(
            "/vault hidden", path="/vault", violations=[{"path": "/vault", "message": "hidden"}], omitted=2
        ),
        PathNotFound("hidden", nearest=["/hidden"]),
    ):
        before = str(error.as_dict())
        assert "hidden" not in str(withheld(DEEP, error).as_dict())
        assert str(error.as_dict()) == before
