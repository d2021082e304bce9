"""Every name and every text that a tool takes: a secret in it is refused with rule and place, and in no row after."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.schemas.base import json_schema
from asg_mcp.server.dispatch import Dispatcher
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.registry import Caller, Effect, ToolContext
from tests.kit.secret_samples import credentials
from tests.kit.store_texts import store_tells

TOKEN = next(sample.secret for sample in credentials(5) if sample.rule == "github-token")
RULE = "github-token"
WHY = {"intent_category": "Fix", "intent_description": "Mend it."}
SET = {"path": "/new", "value": 1, **WHY}
SETTLE = [{"path": "/a", "take": "value", "value": 9}]
PRINCIPAL = "local:alice"
TOOLS = {tool.name: tool for tool in CATALOGUE}

USUAL: dict[str, dict[str, Any]] = {
    "asg_get": {},
    "asg_set": SET,
    "asg_delete": {"path": "/a", **WHY},
    "asg_apply": {"operations": [{"op": "set", "path": "/new", "value": 1}], **WHY},
    "asg_search": {"query": "a"},
    "asg_branch": {"name": "other"},
    "asg_list_branches": {},
    "asg_delete_branch": {"name": "work"},
    "asg_diff": {"ref_a": "main", "ref_b": "work"},
    "asg_merge": {"source": "work", "resolutions": SETTLE, **WHY},
    "asg_log": {},
    "asg_blame": {"path": "/a"},
    "asg_query": {},
    "asg_revert": {"commits": ["main"], **WHY},
    "asg_speculate": {},
    "asg_spec_modify": {"handle": "$spec", "operations": [{"op": "set", "path": "/new", "value": 1}]},
    "asg_compare": {"handles": ["$spec"]},
    "asg_commit_spec": {"handle": "$spec", **WHY},
    "asg_discard": {"handle": "$spec"},
    "asg_open_session": {"agent": "worker"},
    "asg_resolve": {"intent": "known", "outcome": "failed", "summary": "It broke."},
    "asg_create_epoch": {"id": "e2", "description": "The work."},
    "asg_seal_epoch": {"id": "e1", "summary": "Done."},
    "asg_plan": {"name": "night", "description": "Look at it."},
    "asg_update_task": {"plan": "night", "task": "one", "action": "start"},
    "asg_next_task": {"plan": "night", "claim": True},
    "asg_migrate": {},
}
"""A call of each tool that would be answered. `$spec` stands for the handle of the speculation."""


@dataclass(frozen=True)
class Brought:
    """What a call brings besides its usual arguments, and the place that the refusal has to name."""

    tool: str
    arguments: dict[str, Any]
    place: str


def _why(tool: str) -> list[Brought]:
    """The reasons that every tool takes which makes a commit for its caller."""
    chain = {"principal": "boss", "delegation_chain": [{"from": "boss", "to": TOKEN}]}
    provenance = [
        ({"intent_id": TOKEN}, "intent_id"),
        ({"parent_intent": TOKEN}, "parent_intent"),
        ({"agent": TOKEN}, "agent"),
        ({"authority": TOKEN}, "provenance/authority/principal"),
        ({"authority": {"principal": "boss", "scope": TOKEN}}, "provenance/authority/scope"),
        ({"authority": {"principal": "boss", "granted_at": TOKEN}}, "provenance/authority/granted_at"),
        ({"authority": {"principal": "boss", "expires": TOKEN}}, "provenance/authority/expires"),
        ({"authority": chain}, "provenance/authority/delegation_chain/0/to"),
        ({"alternatives": [TOKEN]}, "provenance/alternatives/0/description"),
        ({"alternatives": [{"description": "b", "why_not": TOKEN}]}, "provenance/alternatives/0/why_not"),
        ({"alternatives": [{"description": "b", "handle": TOKEN}]}, "provenance/alternatives/0/handle"),
        ({"expected": {"seen": TOKEN}}, "provenance/expected/seen"),
        ({"tool_calls": [{"tool": TOKEN}]}, "provenance/tool_calls/0/tool"),
        ({"tool_calls": [{"tool": "sh", "arguments": {"x": TOKEN}}]}, "provenance/tool_calls/0/arguments/x"),
        ({"tool_calls": [{"tool": "sh", "result": TOKEN}]}, "provenance/tool_calls/0/result"),
        ({"tool_calls": [{"tool": "sh", "at": TOKEN}]}, "provenance/tool_calls/0/at"),
        ({"notify": [TOKEN]}, "provenance/notify/0/who"),
    ]
    return [
        Brought(tool, {"intent_description": f"Use {TOKEN}."}, "description"),
        Brought(tool, {"reasoning": f"It is {TOKEN}."}, "reasoning"),
        Brought(tool, {"tags": ["a", TOKEN]}, "tags/1"),
        *(Brought(tool, {"provenance": given}, place) for given, place in provenance),
    ]


def _operations(tool: str) -> list[Brought]:
    told = [
        ({"op": "set", "path": "/x", "value": {"k": [TOKEN]}}, "/x/k/0"),
        ({"op": "set", "path": "/x", "value": {TOKEN: 1}}, f"/x/[{RULE}]"),
        ({"op": "set", "path": f"/{TOKEN}", "value": 1}, f"/[{RULE}]"),
        ({"op": "append", "path": "/list", "value": TOKEN}, "/list/-"),
        ({"op": "insert", "path": "/list/0", "value": TOKEN}, "/list/0"),
        ({"op": "move", "path": f"/{TOKEN}", "from": "/a"}, f"/[{RULE}]"),
    ]
    return [Brought(tool, {"operations": [operation]}, place) for operation, place in told]


SETTLED = {"resolutions": [{"path": "/a", "take": "value", "value": TOKEN}]}
TASK = "/plans/night/tasks"
REFUSED: list[Brought] = [
    *_why("asg_set"),
    *_why("asg_delete"),
    *_why("asg_apply"),
    *_why("asg_merge"),
    *_why("asg_revert"),
    *_why("asg_commit_spec"),
    Brought("asg_set", {"value": TOKEN}, "/new"),
    Brought("asg_set", {"path": f"/{TOKEN}/x"}, f"/[{RULE}]/x"),
    *_operations("asg_apply"),
    *_operations("asg_spec_modify"),
    *(Brought(tool, SETTLED, "/a") for tool in ("asg_merge", "asg_revert", "asg_commit_spec")),
    Brought("asg_branch", {"name": TOKEN}, "name"),
    Brought("asg_branch", {"name": f"team/{TOKEN}", "kind": "tag"}, "name"),
    Brought("asg_speculate", {"label": TOKEN}, "label"),
    Brought("asg_discard", {"lesson": TOKEN}, "lesson"),
    Brought("asg_open_session", {"agent": TOKEN}, "agent"),
    Brought("asg_open_session", {"branch": TOKEN}, "branch"),
    Brought("asg_open_session", {"path_scope": [f"/a/{TOKEN}"]}, "scope/0/1"),
    Brought("asg_open_session", {"intent_description": TOKEN}, "description"),
    Brought("asg_open_session", {"authority": TOKEN}, "authority/principal"),
    Brought("asg_open_session", {"authority": {"principal": "boss", "scope": TOKEN}}, "authority/scope"),
    Brought(
        "asg_open_session",
        {"authority": {"principal": "boss", "delegation_chain": [TOKEN]}},
        "authority/delegation_chain/0/from",
    ),
    Brought("asg_resolve", {"summary": TOKEN}, "summary"),
    Brought("asg_resolve", {"observed": TOKEN}, "observed"),
    Brought("asg_resolve", {"deviations": [TOKEN]}, "deviations/0/description"),
    Brought("asg_resolve", {"deviations": [{"description": "x", "impact": TOKEN}]}, "deviations/0/impact"),
    Brought("asg_resolve", {"deviations": [{"description": "x", "path": TOKEN}]}, "deviations/0/path"),
    Brought("asg_create_epoch", {"id": TOKEN}, "epoch"),
    Brought("asg_create_epoch", {"description": TOKEN}, "description"),
    Brought("asg_create_epoch", {"root_intents": ["a", TOKEN]}, "root_intents/1"),
    Brought("asg_create_epoch", {"tags": [TOKEN]}, "tags/0"),
    Brought("asg_seal_epoch", {"summary": TOKEN}, "summary"),
    Brought("asg_plan", {"name": TOKEN}, f"/plans/[{RULE}]"),
    Brought("asg_plan", {"description": TOKEN}, "/plans/night/description"),
    Brought("asg_plan", {"status": "archived", "summary": TOKEN}, "/plans/night/summary"),
    Brought("asg_plan", {"tasks": [{"id": "two", "title": TOKEN}]}, f"{TASK}/two/title"),
    Brought("asg_plan", {"tasks": [{"id": TOKEN, "title": "Two"}]}, f"{TASK}/[{RULE}]"),
    Brought("asg_plan", {"tasks": [{"id": "two", "title": "Two", "agent": TOKEN}]}, f"{TASK}/two/agent"),
    Brought("asg_update_task", {"action": "assign", "agent": TOKEN}, f"{TASK}/one/agent"),
    Brought("asg_update_task", {"agent": TOKEN}, f"{TASK}/one/held_by"),
    Brought("asg_update_task", {"action": "abandon", "reason": TOKEN}, f"{TASK}/one/reason"),
    Brought("asg_next_task", {"agent": TOKEN}, f"{TASK}/one/held_by"),
]


class Client:
    """Calls tools as one principal, with a speculation, a plan, an epoch and two branches there to call them on."""

    def __init__(self, repo: Any) -> None:
        self._repo = repo.seen_by(PRINCIPAL)
        self._dispatcher = Dispatcher(CATALOGUE)
        self.spec = ""

    async def call(self, tool: str, arguments: dict[str, Any], **caller: Any) -> tuple[bool, dict[str, Any]]:
        """Whether it failed, and the reply."""
        named = {"handle": self.spec, "handles": [self.spec]}
        given = {name: named[name] if item in ("$spec", ["$spec"]) else item for name, item in arguments.items()}
        who = replace(Caller(PRINCIPAL, "probe/1.0", "probe"), **caller)
        reply = await self._dispatcher.dispatch(ToolContext(self._repo, who), tool, given)
        return reply.is_error, json.loads(reply.text)

    async def prepare(self) -> None:
        """What the usual calls are about."""
        for tool, arguments in (
            ("asg_set", {**SET, "path": "/a", "provenance": {"intent_id": "known"}}),
            ("asg_set", {**SET, "path": "/list", "value": [1]}),
            ("asg_branch", {"name": "work"}),
            ("asg_set", {**SET, "path": "/a", "value": 2, "ref": "work"}),
            ("asg_set", {**SET, "path": "/a", "value": 3}),
            ("asg_create_epoch", {"id": "e1", "description": "The work."}),
            ("asg_plan", {"name": "night", "tasks": [{"id": "one", "title": "Look"}]}),
        ):
            failed, reply = await self.call(tool, arguments)
            assert not failed, reply
        self.spec = (await self.call("asg_speculate", {}))[1]["handle"]


@asynccontextmanager
async def ready(folder: Path) -> AsyncIterator[Client]:
    """A new store with all that the calls need; once it is closed, none of its rows may tell the secret."""
    async with open_repository(folder / "state.db") as repo:
        client = Client(repo)
        await client.prepare()
        yield client
    assert store_tells(folder / "state.db", TOKEN) == []


async def test_every_name_and_text_with_a_secret_is_refused_with_rule_and_place(tmp_path: Path) -> None:
    wrong = []
    async with ready(tmp_path) as client:
        for row in REFUSED:
            _, reply = await client.call(row.tool, {**USUAL[row.tool], **row.arguments})
            details = reply.get("details", {})
            told = (reply.get("code"), details.get("rule"), details.get("path"), TOKEN in json.dumps(reply))
            if told != ("secret_refused", RULE, row.place, False):
                wrong.append((row, told, reply.get("message")))
    assert wrong == []


def _texts_of(tool: str) -> list[tuple[str, Any]]:
    """Each argument that a text can be given in, with the secret as that text."""
    kinds = {name: part.get("type") for name, part in json_schema(TOOLS[tool].params)["properties"].items()}
    given = {"string": TOKEN, "array": [TOKEN], "object": {TOKEN: 1, "note": TOKEN}, "number": TOKEN, None: TOKEN}
    return [(name, given.get(kind, TOKEN)) for name, kind in kinds.items()]


@pytest.mark.parametrize("tool", list(USUAL))
async def test_no_argument_of_any_tool_leaves_a_secret_or_says_it_again(tool: str, tmp_path: Path) -> None:
    async with ready(tmp_path) as client:
        for name, given in _texts_of(tool):
            _, reply = await client.call(tool, {**USUAL[tool], name: given})
            assert TOKEN not in json.dumps(reply), (name, reply)
        _, reply = await client.call(tool, {**USUAL[tool], TOKEN: 1})
        assert TOKEN not in json.dumps(reply)


async def test_no_error_says_a_part_of_a_long_secret_or_fails_over_hostile_arguments(tmp_path: Path) -> None:
    long = next(sample.secret for sample in credentials(5) if sample.rule == "anthropic-key")
    async with ready(tmp_path) as client:
        for arguments in (
            {"confidence": long},
            {"confidence": [long, 10**5_000]},
            {"path": f"{long}\ud800"},
            {"ref": f"\ud800 {long}"},
            {long: 10**5_000, "path": {long: 1}},
            {"value": 10**5_000, "ref": long},
        ):
            failed, reply = await client.call("asg_set", {**USUAL["asg_set"], **arguments})
            assert failed
            assert reply["code"] != "internal"
            assert long[:40] not in json.dumps(reply)


def test_there_is_a_call_of_every_tool() -> None:
    assert set(USUAL) == set(TOOLS)


@pytest.mark.parametrize("name", ["principal", "client", "default_agent"])
async def test_whoever_is_called_by_a_secret_cannot_write(name: str, tmp_path: Path) -> None:
    codes = {}
    async with ready(tmp_path) as client:
        for tool in (tool for tool in CATALOGUE if tool.effect is not Effect.READ):
            _, reply = await client.call(tool.name, USUAL[tool.name], **{name: TOKEN})
            codes[tool.name] = reply.get("code")
            assert TOKEN not in json.dumps(reply), tool.name
    assert codes.pop("asg_migrate") is None  # nothing is installed, so it only says what there would be
    assert set(codes.values()) == {"secret_refused"}, codes
