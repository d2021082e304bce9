"""One principal and the handles of another, tool by tool, from the registry: what has no row here fails.

Alice made everything. Mallory may do everything too, or some, and tries with what is Alice's or lies beyond her grant.
"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import anyio
import mcp_types as types
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types.version import LATEST_HANDSHAKE_VERSION

from asg_mcp import config
from asg_mcp.repo.denying import Denial, denials
from asg_mcp.schemas.base import json_schema
from asg_mcp.server.completion import complete
from asg_mcp.server.dispatch import Dispatcher, Reply
from asg_mcp.server.guarding import logged
from asg_mcp.server.mcp import Offer, ServerOptions
from asg_mcp.server.profiles import Profile
from asg_mcp.server.prompts import PROMPTS
from asg_mcp.server.resources import RESOURCES
from asg_mcp.services.access import EVERY_VERB, Grant, Verb
from asg_mcp.services.denials import Denials
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.registry import Caller, Effect, ToolContext
from tests.repo.desk import Desk, open_desk

HIDDEN = "hidden-value"
"""What is in all that Mallory may not see."""
ALICE, MALLORY = Grant("alice"), Grant("mallory")
ON_MAIN = Grant("mallory", refs=("main", "new"))
IN_TEAM = Grant("mallory", paths=(("team",),))
AS_BOB = Grant("mallory", agents=("bob",))
DISPATCHER = Dispatcher(CATALOGUE)
WHY = {"intent_category": "Fix", "intent_description": "Because."}
SET = {"op": "set", "path": "/team/x", "value": 1}

BASE: dict[str, dict[str, Any]] = {
    "asg_get": {"path": "/team/a"},
    "asg_set": {"path": "/team/a", "value": 1},
    "asg_delete": {"path": "/team/a"},
    "asg_apply": {"operations": [SET]},
    "asg_search": {"query": "a", "prefix": "/team"},
    "asg_branch": {"name": "new"},
    "asg_list_branches": {},
    "asg_delete_branch": {"name": "spare"},
    "asg_diff": {"ref_a": "main", "ref_b": "main~1", "path": "/team"},
    "asg_merge": {"source": "spare"},
    "asg_log": {"path": "/team"},
    "asg_blame": {"path": "/team/a"},
    "asg_query": {"filters": {"path": "/team"}},
    "asg_revert": {"path": "/team/a", "source": "main~1"},
    "asg_speculate": {},
    "asg_spec_modify": {"handle": "{spec}", "operations": [SET]},
    "asg_compare": {"handles": ["{spec}", "{other}"]},
    "asg_commit_spec": {"handle": "{spec}", "target": "main"},
    "asg_discard": {"handle": "{spec}"},
    "asg_open_session": {"agent": "bob"},
    "asg_resolve": {"session": "{session}", "outcome": "fulfilled", "summary": "Done."},
    "asg_create_epoch": {"id": "e1", "description": "x"},
    "asg_seal_epoch": {"id": "e0", "summary": "x"},
    "asg_plan": {"name": "p1", "description": "x"},
    "asg_update_task": {"plan": "p0", "task": "t-1", "action": "start", "agent": "bob"},
    "asg_next_task": {"plan": "p0", "agent": "bob"},
    "asg_migrate": {},
}
"""A call of each tool that works for whoever has what {spec}, {other} and {session} stand for."""

PLAIN = frozenset(
    {
        *(
            "depth",
            "max_bytes",
            "full_ids",
            "value",
            "query",
            "mode",
            "limit",
            "kind",
            "strategy",
            "preview",
            "history",
        ),
        *("group_by", "order_by", "view", "label", "lesson", "expires", "outcome", "summary", "observed", "deviations"),
        *(
            "confidence",
            "description",
            "tags",
            "reasoning",
            "intent_category",
            "intent_description",
            "status",
            "action",
        ),
        *("proof", "reason", "priority", "blocked_by", "claim", "lease_seconds", "to", "since", "tasks", "authority"),
        "expected_object",
    }
)
"""Arguments that name nothing that could be somebody else's."""


@dataclass(frozen=True)
class Attack:
    """One argument, set to what is not Mallory's."""

    value: Any
    codes: tuple[str, ...]
    grant: Grant = MALLORY
    more: Mapping[str, Any] = field(default_factory=dict)


def session(**more: Any) -> list[Attack]:
    return [Attack("{alice:session}", ("handle_not_found",), more=more)]


def read_ref(spec: str = "handle_not_found", **more: Any) -> list[Attack]:
    """A ref that is read: Alice's speculation, a commit in it, a branch and a commit beyond the grant."""
    return [
        Attack("spec:{alice:spec}", (spec,), more=more),
        Attack("{alice:tried}", ("commit_not_found",), more=more),
        Attack("old", ("forbidden",), ON_MAIN, more),
        Attack("{alice:old}", ("forbidden",), ON_MAIN, more),
    ]


def written_ref(**more: Any) -> list[Attack]:
    """A ref that is changed."""
    missing = ("forbidden", "handle_not_found", "ref_not_found", "invalid_name", "invalid_argument")
    return [Attack("spec:{alice:spec}", missing, more=more), Attack("old", ("forbidden",), ON_MAIN, more)]


def path(value: Any = "/other", **more: Any) -> list[Attack]:
    return [Attack(value, ("forbidden",), IN_TEAM, more)]


def operations(**more: Any) -> list[Attack]:
    return [
        attack
        for item in (
            {"op": "set", "path": "/other", "value": 1},
            {"op": "test", "path": "/other", "value": 1},
            {"op": "move", "path": "/team/y", "from": "/other"},
            {"op": "delete", "path": "/"},
        )
        for attack in path([SET, item], **more)
    ]


def agent(value: Any = "eve", **more: Any) -> list[Attack]:
    return [Attack(value, ("forbidden",), AS_BOB, more)]


CURSOR = [Attack("{cursor}", ("invalid_cursor",), more={"limit": 1})]
HEAD = [Attack("{alice:tried}", ("commit_not_found",))]
REPLAY: list[Attack] = []
"""Tested below: the same request_id of another is another request."""
RESOLUTIONS = path([{"path": "/other/x", "take": "ours"}])
PROVENANCE = agent({"agent": "eve"})
WRITES = {"provenance": PROVENANCE, "expected_head": HEAD, "session": session(), "request_id": REPLAY}

ATTACKS: dict[str, dict[str, list[Attack]]] = {
    "asg_get": {
        "ref": read_ref(),
        "path": path(),
        "cursor": [Attack("{cursor}", ("invalid_cursor",), more={"path": "/long", "max_bytes": 256})],
    },
    "asg_set": {"ref": written_ref(), "path": path(), **WRITES},
    "asg_delete": {"ref": written_ref(), "path": path(), **WRITES},
    "asg_apply": {"ref": written_ref(), "operations": operations(), **WRITES},
    "asg_search": {"ref": read_ref(), "prefix": path(), "cursor": CURSOR},
    "asg_branch": {"name": written_ref(), "from": read_ref(name="new"), "session": session(), "request_id": REPLAY},
    "asg_list_branches": {"prefix": [Attack("ol", ("forbidden",), ON_MAIN)], "cursor": CURSOR},
    "asg_delete_branch": {"name": written_ref(), "session": session(), "request_id": REPLAY},
    "asg_diff": {
        "ref_a": read_ref(),
        "ref_b": read_ref(),
        "path": path(),
        "cursor": [Attack("{cursor}", ("invalid_cursor",), more={"path": "/", "ref_b": "main~2", "limit": 1})],
    },
    "asg_merge": {
        "source": read_ref("invalid_argument"),
        "target": written_ref(source="main"),
        "resolutions": RESOLUTIONS,
        **WRITES,
    },
    "asg_log": {"ref": read_ref(), "path": path(), "cursor": CURSOR},
    "asg_blame": {
        "ref": read_ref(),
        "path": path(),
        "cursor": [Attack("{cursor}", ("invalid_cursor",), more={"path": "/", "limit": 1})],
    },
    "asg_query": {
        "target": [Attack(target, ("forbidden",), IN_TEAM) for target in ("intents", "epochs", "plans")],
        "ref": read_ref(),
        "filters": [*path({"path": "/other"}), *path({"path": "$..x"}, target="state")],
        "cursor": CURSOR,
    },
    "asg_revert": {
        "ref": written_ref(),
        "commits": [
            Attack(["{alice:tried}"], ("commit_not_found",), more={"path": None, "source": None}),
            Attack(["{alice:old}"], ("forbidden",), ON_MAIN, {"path": None, "source": None}),
        ],
        "agent": [Attack("bob", ("forbidden",), ON_MAIN, {"path": None, "source": None})],
        "session": [
            # It says whose commits to undo, and of which nobody hears what they held.
            Attack("{alice:session}", ("forbidden",), ON_MAIN, {"path": None, "source": None}),
            Attack("{alice:session}", ("handle_not_found",)),
        ],
        "path": path(),
        "source": read_ref(),
        "resolutions": path([{"path": "/other/x", "take": "ours"}], path="/"),
        **{name: WRITES[name] for name in ("provenance", "expected_head", "request_id")},
    },
    "asg_speculate": {"from": read_ref(), "session": session(), "request_id": REPLAY},
    "asg_spec_modify": {
        "handle": [Attack("{alice:spec}", ("handle_not_found",))],
        "operations": operations(),
        "session": session(),
        "request_id": REPLAY,
    },
    "asg_compare": {
        "handles": [Attack(["{spec}", "{alice:spec}"], ("handle_not_found",))],
        "request_id": REPLAY,
    },
    "asg_commit_spec": {
        "handle": [Attack("{alice:spec}", ("handle_not_found",))],
        "target": written_ref(),
        "resolutions": RESOLUTIONS,
        **WRITES,
    },
    "asg_discard": {
        "handle": [Attack("{alice:spec}", ("handle_not_found",))],
        "session": session(),
        "request_id": REPLAY,
    },
    "asg_open_session": {
        "agent": agent(),
        "branch": written_ref(),
        "path_scope": [],  # it binds Mallory herself: what is in it she has to be allowed at each write
        "parent": session(),
        "request_id": REPLAY,
    },
    "asg_resolve": {
        "intent": [Attack("main", ("forbidden",), IN_TEAM, {"session": None})],
        "session": session(),
        "request_id": REPLAY,
    },
    "asg_create_epoch": {
        "id": [Attack("e1", ("forbidden",), Grant("mallory", verbs=EVERY_VERB - {Verb.SEAL}))],
        "root_intents": [Attack(["main"], ("forbidden",), Grant("mallory", verbs=EVERY_VERB - {Verb.SEAL}))],
        "session": session(),
        "request_id": REPLAY,
    },
    "asg_seal_epoch": {
        "id": [Attack("e0", ("forbidden",), Grant("mallory", verbs=EVERY_VERB - {Verb.SEAL}))],
        "session": session(),
        "request_id": REPLAY,
    },
    "asg_plan": {"name": path("p0"), "session": session(), "request_id": REPLAY},
    "asg_update_task": {
        "plan": path("p0"),
        "task": path("t-1"),
        "agent": agent(),
        "session": session(),
        "request_id": REPLAY,
    },
    "asg_next_task": {
        "plan": path("p0"),
        "agent": agent(claim=True),
        "session": session(),
        "request_id": REPLAY,
    },
    "asg_migrate": {"ref": read_ref(), "session": session(), "request_id": REPLAY},
}
"""For each tool, the arguments that may name what is another's, and what is tried with them."""


class Scene:
    """A store of Alice's, and calls of anybody."""

    def __init__(self, desk: Desk, names: Mapping[str, str] | None = None) -> None:
        self.desk = desk
        self.dispatcher = DISPATCHER
        self._named: dict[str, str] = dict(names or {})

    @cached_property
    def offer(self) -> Offer:
        return Offer(CATALOGUE, self.desk.repo, ServerOptions(), "nobody")

    async def furnish(self) -> Mapping[str, str]:
        await self.desk.apply(
            ("set", "/team", {"a": 1, "b": 2, "ab": 3}),
            ("set", "/other", {"x": HIDDEN}),
            ("set", "/long", ["l" * 40] * 20),
        )
        await self.desk.set("/team/a", 2)
        await self.desk.branch("old")
        await self.desk.branch("spare")
        self._named["alice:old"] = (await self.desk.set("/team/a", HIDDEN, ref="old")).commit.hex()
        for who in (ALICE, MALLORY):
            mine = f"{who.principal}:"
            for name in ("spec", "other"):
                self._named[mine + name] = (await self.done("asg_speculate", {}, who))["handle"]
            opened = await self.done("asg_open_session", {"agent": "bob"}, who)
            self._named[mine + "session"] = opened["session"]
            tried = {"op": "set", "path": "/team/tried", "value": HIDDEN}
            told = await self.done("asg_spec_modify", {"handle": "{spec}", "operations": [tried]}, who)
            self._named[mine + "tried"] = told["commit"]
        await self.done("asg_create_epoch", {"id": "e0", "description": "x"}, ALICE)
        for tool, attacks in ATTACKS.items():
            for attack in attacks.get("cursor", ()):
                paged = {**BASE[tool], **attack.more}
                first = await self.done(tool, paged, ALICE)
                assert first["next_cursor"]
                self._named[f"cursor:{tool}"] = first["next_cursor"]
                assert await self.done(tool, {**paged, "cursor": first["next_cursor"]}, ALICE)
        tasks = [{"id": "t-1", "title": "one"}]
        await self.done("asg_plan", {"name": "p0", "description": "x", "tasks": tasks}, ALICE)
        return self._named

    def context(self, grant: Grant) -> ToolContext:
        caller = Caller(grant.principal, "test/1", grant.agent or "bob", grant=grant)
        return ToolContext(self.desk.repo.seen_by(grant.principal), caller)

    async def call(self, tool: str, arguments: Mapping[str, Any], grant: Grant) -> Reply:
        model = next(one for one in CATALOGUE if one.name == tool).params
        why = {name: text for name, text in WHY.items() if name in model.model_fields}
        if tool == "asg_open_session":
            why = {}
        given = {**why, **{name: item for name, item in arguments.items() if item is not None}}
        return await self.dispatcher.dispatch(self.context(grant), tool, self.filled(given, tool, grant))

    async def done(self, tool: str, arguments: Mapping[str, Any], grant: Grant) -> dict[str, Any]:
        reply = await self.call(tool, arguments, grant)
        assert not reply.is_error, (tool, reply.text)
        assert reply.structured is not None
        return reply.structured

    def filled(self, given: Any, tool: str, grant: Grant) -> Any:
        if isinstance(given, dict):
            return {name: self.filled(item, tool, grant) for name, item in given.items()}
        if isinstance(given, list):
            return [self.filled(item, tool, grant) for item in given]
        if not isinstance(given, str):
            return given
        if given == "{cursor}":
            return self._named[f"cursor:{tool}"]
        for name in ("spec", "other", "session", "tried"):
            given = given.replace(f"{{{name}}}", self._named.get(f"{grant.principal}:{name}", ""))
        for name, found in self._named.items():
            given = given.replace(f"{{{name}}}", found)
        return given

    @contextmanager
    def named(self, names: Mapping[str, str]) -> Iterator[None]:
        """Other names stand for these inside the block."""
        before = dict(self._named)
        self._named.update(names)
        yield
        self._named = before

    async def state(self) -> Any:
        """All that a call could change."""

        def look(view: Any) -> Any:
            refs = view.reader.refs("", "", 100)
            return view.reader.events_count(), view.reader.last_seq(), [(ref.name, ref.seq) for ref in refs]

        return await self.desk.repo.read(look)


Furnished = tuple[Path, Mapping[str, str]]


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Furnished:
    """The folder of a store that is furnished, and what in it is whose."""
    folder = tmp_path_factory.mktemp("furnished")

    async def made() -> Mapping[str, str]:
        async with open_desk(folder) as desk:
            return await Scene(desk).furnish()

    return folder, anyio.run(made)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each copy is on a machine of its own: of two copies on one, the second signs nothing."""
    monkeypatch.setenv(config.STATE_VARIABLE, str(tmp_path / "machine"))


@asynccontextmanager
async def scene(folder: Path, furnished: Furnished) -> AsyncIterator[Scene]:
    """A copy of the furnished store."""
    shutil.copytree(furnished[0], folder, dirs_exist_ok=True)
    async with open_desk(folder) as desk:
        yield Scene(desk, furnished[1])


def test_every_argument_of_every_tool_has_a_row_or_names_nothing_of_anybody() -> None:
    assert list(ATTACKS) == list(BASE) == [tool.name for tool in CATALOGUE]
    for tool in CATALOGUE:
        names = set(json_schema(tool.params)["properties"])
        assert names - PLAIN == set(ATTACKS[tool.name]), tool.name


@pytest.mark.parametrize("tool", ATTACKS)
async def test_what_is_of_another_or_beyond_the_grant_is_refused_and_nothing_of_it_told(
    tmp_path: Path, furnished: Furnished, tool: str
) -> None:
    async with scene(tmp_path, furnished) as at:
        before = await at.state()
        for name, attacks in ATTACKS[tool].items():
            for attack in attacks:
                arguments = {**BASE[tool], **attack.more, name: attack.value}
                reply = await at.call(tool, arguments, attack.grant)
                assert reply.is_error, (name, attack, reply.text)
                assert reply.code in attack.codes, (name, attack, reply.text)
                assert HIDDEN not in reply.text
        assert await at.state() == before
        await at.done(tool, BASE[tool], MALLORY)


MADE_UP = {"alice:spec": "0123456789ab", "alice:session": "ses-0123456789ab", "alice:tried": "0123456789ab"}


@pytest.mark.parametrize("tool", ATTACKS)
async def test_a_handle_of_another_is_answered_like_one_that_never_was(
    tmp_path: Path, furnished: Furnished, tool: str
) -> None:
    async with scene(tmp_path, furnished) as at:
        for name, attacks in ATTACKS[tool].items():
            for attack in attacks:
                asked = {**BASE[tool], **attack.more, name: attack.value}
                used = [named for named in MADE_UP if f"{{{named}}}" in str(attack.value)]
                if not used or attack.grant is not MALLORY:
                    continue
                true = (await at.call(tool, asked, MALLORY)).text
                with at.named(MADE_UP):
                    made_up = (await at.call(tool, asked, MALLORY)).text
                for named in used:
                    true = true.replace(at.filled(f"{{{named}}}", tool, MALLORY), MADE_UP[named])
                assert true == made_up, (name, attack)


WRITING = [tool.name for tool in CATALOGUE if "request_id" in json_schema(tool.params)["properties"]]


@pytest.mark.parametrize("tool", WRITING)
async def test_a_request_of_one_principal_is_never_answered_with_that_of_another(
    tmp_path: Path, furnished: Furnished, tool: str
) -> None:
    async with scene(tmp_path, furnished) as at:
        await at.done(tool, {**BASE[tool], "request_id": "r-1"}, ALICE)
        reply = await at.call(tool, {**BASE[tool], "request_id": "r-1"}, MALLORY)
        assert '"replayed":true' not in reply.text
        assert reply.is_error is False or reply.code not in ("request_reused", "internal"), reply.text
        changed = {**BASE[tool], "request_id": "r-1"}
        for other in ({"path": "/team/b"}, {"name": "another"}, {"id": "e9"}, {"label": "x"}, {"lesson": "x"}):
            if other.keys() <= set(
                json_schema(next(one for one in CATALOGUE if one.name == tool).params)["properties"]
            ):
                changed = {**changed, **other}
        assert (await at.call(tool, changed, Grant("eve"))).code != "request_reused"


@pytest.mark.parametrize("tool", [tool.name for tool in CATALOGUE if tool.effect is not Effect.READ])
async def test_a_protected_ref_is_not_changed_by_whoever_may_not_merge(
    tmp_path: Path, furnished: Furnished, tool: str
) -> None:
    async with scene(tmp_path, furnished) as at:

        def heads(view: Any) -> Any:
            return [(ref.name, ref.seq) for ref in view.reader.refs("", "", 100) if not ref.name.startswith("spec:")]

        before = await at.desk.repo.read(heads)
        writer = Grant("mallory", verbs=EVERY_VERB - {Verb.MERGE}, protected=("*",))
        reply = await at.call(tool, BASE[tool], writer)
        if tool not in ("asg_create_epoch", "asg_seal_epoch"):  # its tag is of the one who may seal
            assert await at.desk.repo.read(heads) == before, reply.text
        changes = {"asg_set", "asg_delete", "asg_apply", "asg_branch", "asg_delete_branch", "asg_merge", "asg_revert"}
        changes |= {"asg_commit_spec", "asg_plan", "asg_update_task"}
        assert not changes & {tool} or reply.code == "forbidden"


# --- resources, completion, subscriptions ------------------------------------------

ADDRESSES: dict[str, list[tuple[str, Grant]]] = {
    "branches": [("asg://branches", ON_MAIN)],
    "plans": [("asg://plans", IN_TEAM)],
    "sessions": [],
    "epochs": [("asg://epochs", IN_TEAM), ("asg://epochs", ON_MAIN)],
    "stats": [("asg://stats", IN_TEAM), ("asg://stats", ON_MAIN)],
    "health": [("asg://health", IN_TEAM)],
    "state": [
        ("asg://state/main/other", IN_TEAM),
        ("asg://state/old/team", ON_MAIN),
        ("asg://state/spec:{alice:spec}/team", MALLORY),
        ("asg://state/{alice:tried}/team", MALLORY),
    ],
    "value": [
        ("asg://value/main/other/x", IN_TEAM),
        ("asg://value/old/team/a", ON_MAIN),
        ("asg://value/spec:{alice:spec}/team/tried", MALLORY),
    ],
    "log": [("asg://log/main", IN_TEAM), ("asg://log/old", ON_MAIN), ("asg://log/spec:{alice:spec}", MALLORY)],
    "diff": [
        ("asg://diff/main/old", ON_MAIN),
        ("asg://diff/main/main", IN_TEAM),
        ("asg://diff/main/spec:{alice:spec}", MALLORY),
    ],
    "commit": [
        ("asg://commit/old", ON_MAIN),
        ("asg://commit/{alice:old}", ON_MAIN),
        ("asg://commit/{alice:tried}", MALLORY),
        ("asg://commit/main", IN_TEAM),
    ],
    "epoch": [("asg://epoch/e0", IN_TEAM), ("asg://epoch/e0", ON_MAIN)],
    "bundle": [("asg://epoch/e0/bundle", IN_TEAM), ("asg://epoch/e0/bundle", ON_MAIN)],
}


def test_every_resource_has_a_row() -> None:
    assert set(ADDRESSES) >= {one.name for one in RESOURCES}


async def test_no_resource_tells_what_its_reader_may_not_see(tmp_path: Path, furnished: Furnished) -> None:
    async with scene(tmp_path, furnished) as at:
        before = await at.state()
        for name, rows in ADDRESSES.items():
            for uri, grant in rows:
                filled = at.filled(uri, "", grant)
                with pytest.raises(MCPError) as refused:
                    await at.offer.shelf.read(at.context(grant), filled, LATEST_HANDSHAKE_VERSION)
                told = str(refused.value.error)
                assert HIDDEN not in told
                assert refused.value.error.data["code"] in ("forbidden", "handle_not_found", "commit_not_found"), (
                    name,
                    told,
                )
        sessions = await at.offer.shelf.read(at.context(Grant("eve")), "asg://sessions", LATEST_HANDSHAKE_VERSION)
        assert "ses-" not in str(sessions)
        assert (await at.state())[1:] == before[1:]  # the log alone has grown


def completions() -> Iterator[tuple[types.ResourceTemplateReference | types.PromptReference, str]]:
    for resource in RESOURCES:
        if resource.is_template:
            yield from ((types.ResourceTemplateReference(uri=resource.uri), name) for name in resource.variables)
    for prompt in PROMPTS:
        yield from ((types.PromptReference(name=prompt.name), one.name) for one in prompt.arguments)


async def test_no_completion_tells_a_name_to_whoever_may_see_some_alone(tmp_path: Path, furnished: Furnished) -> None:
    async with scene(tmp_path, furnished) as at:
        found = list(completions())
        assert len(found) > 10
        for ref, name in found:
            asked = types.CompleteRequestParams(ref=ref, argument=types.CompletionArgument(name=name, value=""))
            for grant in (ON_MAIN, IN_TEAM, Grant("mallory", verbs=frozenset({Verb.WRITE}))):
                told = await complete(at.context(grant), at.offer.shelf, at.offer.prompts, asked)
                assert (told.values, told.total) == ([], 0), (ref, name)
        asked = types.CompleteRequestParams(
            ref=types.ResourceTemplateReference(uri="asg://log/{ref}"),
            argument=types.CompletionArgument(name="ref", value="spec:"),
        )
        told = await complete(at.context(MALLORY), at.offer.shelf, at.offer.prompts, asked)
        assert not any("alice" in value or at.filled("{alice:spec}", "", MALLORY) in value for value in told.values)


# --- refusals in the log -------------------------------------------------------------


@pytest.mark.parametrize("tool", ATTACKS)
async def test_who_tries_it_is_in_the_log(tmp_path: Path, furnished: Furnished, tool: str) -> None:
    async with scene(tmp_path, furnished) as at:
        noted = [("forbidden", rule) for rule in ("verb", "ref", "path", "agent", "operation")]
        for name, attacks in ATTACKS[tool].items():
            for attack in attacks:
                at.dispatcher = Dispatcher(CATALOGUE, denied=logged(Denials(at.desk.repo)))
                before = (await at.state())[0]
                reply = await at.call(tool, {**BASE[tool], **attack.more, name: attack.value}, attack.grant)
                count = (await at.state())[0] - before
                of_alice = reply.code == "handle_not_found"
                assert count == int(reply.code == "forbidden" or of_alice), (name, attack, reply.text)
                if count:
                    (last,) = await at.desk.repo.read(lambda view: denials(view, 1))
                    assert (last.principal, last.denial.what) == ("mallory", tool)
                    assert (reply.code, last.denial.rule) in (*noted, ("handle_not_found", "handle"))
                    assert HIDDEN not in str(last)
        report = await at.desk.repo.verify(lambda *_: None)
        assert not report.problems


async def test_what_a_session_binds_is_in_the_log_under_the_local_user_too(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        repo = desk.repo.seen_by("local:ana")
        offer = Offer(CATALOGUE, repo, ServerOptions(), "local:ana")
        context = ToolContext(repo, Caller("local:ana", "test/1", "bob"))
        opened = await offer.call(context, "asg_open_session", {"agent": "bob", "path_scope": ["/team"]})
        assert opened.structured is not None
        write = {"path": "/other", "value": HIDDEN, "session": opened.structured["session"], **WHY}
        assert (await offer.call(context, "asg_set", write)).code == "forbidden"
        (last,) = await desk.repo.read(lambda view: denials(view, 9))
        assert (last.principal, last.denial) == ("local:ana", Denial("asg_set", "session", "write", path="/other"))


async def test_a_server_for_reading_logs_nothing(tmp_path: Path, furnished: Furnished) -> None:
    async with scene(tmp_path, furnished) as at:
        options = ServerOptions(profile=Profile(read_only=True))
        offer = Offer(CATALOGUE, at.desk.repo, options, "nobody")
        before = await at.state()
        reply = await offer.call(at.context(IN_TEAM), "asg_get", {"path": "/other"})
        assert reply.code == "forbidden"
        assert await at.state() == before


def test_a_denial_has_no_field_for_a_value() -> None:
    assert set(Denial.__dataclass_fields__) == {
        *("what", "rule", "verb", "ref", "path", "agent", "handle", "repeated", "others"),
    }
