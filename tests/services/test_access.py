"""The one function that decides, and the table of what each tool needs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.paths import Tokens, parse_path
from asg_mcp.errors import Forbidden, InvalidName
from asg_mcp.server.dispatch import Dispatcher
from asg_mcp.services.access import ANYWHERE, EVERY_VERB, Grant, Verb, decide
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.needs import NEEDS
from asg_mcp.tools.registry import Caller, Effect, ToolContext
from tests.repo.desk import Desk, open_desk

ALL = Grant("alice")
TOKENS = st.lists(st.sampled_from(["a", "b", "ab", ""]), max_size=4).map(tuple)


def allows(grant: Grant, verb: Verb, ref: str = "", *paths: str, agent: str | None = None) -> bool:
    try:
        decide(grant, verb, ref, [parse_path(path) for path in paths], agent)
    except Forbidden as refused:
        assert refused.hint
        return False
    return True


@pytest.mark.parametrize("verb", Verb)
def test_a_verb_is_needed_for_itself_alone(verb: Verb) -> None:
    assert allows(Grant("a", verbs=frozenset({verb})), verb)
    assert not allows(Grant("a", verbs=EVERY_VERB - {verb}), verb)


@given(root=TOKENS, path=TOKENS)
def test_a_path_is_inside_by_whole_segments_alone(root: Tokens, path: Tokens) -> None:
    inside = len(path) >= len(root) and all(path[place] == token for place, token in enumerate(root))
    assert Grant("a", paths=(root,)).holds(path) is inside


def test_every_path_of_a_call_has_to_be_inside() -> None:
    grant = Grant("a", paths=(("team",), ("shared", "x")))
    assert allows(grant, Verb.WRITE, "", "/team/a", "/shared/x")
    assert not allows(grant, Verb.WRITE, "", "/team/a", "/shared")
    assert not allows(grant, Verb.READ, "", "/")
    assert not allows(grant, Verb.READ, "", "/teams")


@pytest.mark.parametrize(
    ("ref", "allowed"),
    [
        ("team/a", True),
        ("team/a~3", True),
        ("team/a@2026-11-21", True),
        ("dev", True),
        ("main", False),
        ("team", False),
        ("developer", False),
        (ANYWHERE, False),
        ("spec:abc", False),
        # Either is also the beginning of a commit's id, which may be on any ref.
        ("abcdef", False),
        ("dec0de", False),
    ],
)
def test_a_ref_is_one_of_the_globs_and_never_a_commit(ref: str, allowed: bool) -> None:
    grant = Grant("a", refs=("team/*", "dev", "abcdef", "dec*"))
    assert allows(grant, Verb.READ, ref) is allowed
    assert allows(ALL, Verb.READ, ref)


def test_speculations_need_a_glob_of_their_own() -> None:
    assert allows(Grant("a", refs=("main", "spec:*")), Verb.READ, "spec:0123456789ab")


def test_what_is_no_ref_at_all_is_told_as_such() -> None:
    with pytest.raises(InvalidName):
        decide(Grant("a", refs=("main",)), Verb.READ, "..")


@pytest.mark.parametrize(("agent", "allowed"), [("planner-1", True), ("bob", True), ("bobby", False), ("", False)])
def test_an_agent_is_claimed_only_where_the_grant_names_it(agent: str, allowed: bool) -> None:
    assert allows(Grant("a", agents=("planner-*", "bob")), Verb.WRITE, agent=agent) is allowed


def test_a_protected_ref_is_changed_by_those_who_may_merge_alone() -> None:
    writer = Grant("a", verbs=frozenset({Verb.READ, Verb.WRITE, Verb.BRANCH}), protected=("main", "release/*"))
    merger = Grant("a", verbs=frozenset({Verb.WRITE, Verb.MERGE}), protected=("main",))
    for ref in ("main", "release/1", ANYWHERE):
        assert not allows(writer, Verb.WRITE, ref)
        assert not allows(writer, Verb.BRANCH, ref)
        assert allows(writer, Verb.READ, ref)
    assert allows(writer, Verb.WRITE, "dev")
    assert allows(merger, Verb.WRITE, "main")
    assert allows(merger, Verb.WRITE, ANYWHERE)


@pytest.mark.parametrize(
    ("prefix", "listed"), [("team/", True), ("team/a", True), ("team", False), ("", False), ("x", False)]
)
def test_names_are_listed_only_where_all_of_them_are_in_the_grant(prefix: str, listed: bool) -> None:
    assert Grant("a", refs=("team/*", "x")).lists(prefix) is listed
    assert ALL.lists(prefix)


def test_the_agent_of_a_call_that_names_none_is_the_first_that_is_fixed() -> None:
    assert Grant("a", agents=("bob", "c*")).agent == "bob"
    assert Grant("a", agents=("c*", "bob")).agent == ""


# --- the table --------------------------------------------------------------------


def test_every_tool_has_a_row_and_no_row_is_left_over() -> None:
    assert list(NEEDS) == [tool.name for tool in CATALOGUE]


CALLS: dict[str, tuple[dict[str, Any], set[Verb], bool, bool]] = {
    # arguments, verbs needed, whether a grant of main alone is enough, whether one of /team alone is
    "asg_get": ({"path": "/team/a"}, {Verb.READ}, True, True),
    "asg_set": ({"path": "/team/a", "value": 1}, {Verb.WRITE}, True, True),
    "asg_delete": ({"path": "/team/a"}, {Verb.WRITE}, True, True),
    "asg_apply": ({"operations": [{"op": "set", "path": "/team/z", "value": 1}]}, {Verb.WRITE}, True, True),
    "asg_search": ({"query": "a", "prefix": "/team"}, {Verb.READ}, True, True),
    "asg_branch": ({"name": "b1"}, {Verb.BRANCH, Verb.READ}, False, True),
    "asg_list_branches": ({}, {Verb.READ}, False, True),
    "asg_delete_branch": ({"name": "old"}, {Verb.BRANCH}, False, True),
    "asg_diff": ({"ref_a": "main", "ref_b": "main~1", "path": "/team"}, {Verb.READ}, True, True),
    "asg_merge": ({"source": "old"}, {Verb.MERGE, Verb.READ}, False, False),
    "asg_log": ({"path": "/team"}, {Verb.READ}, True, True),
    "asg_blame": ({"path": "/team/a"}, {Verb.READ}, True, True),
    "asg_query": ({"filters": {"path": "/team"}}, {Verb.READ}, True, True),
    "asg_revert": ({"path": "/team/a", "source": "main~1"}, {Verb.WRITE, Verb.READ}, True, True),
    "asg_speculate": ({}, {Verb.WRITE, Verb.READ}, True, True),
    "asg_spec_modify": (
        {"handle": "<spec>", "operations": [{"op": "set", "path": "/team/y", "value": 1}]},
        {Verb.WRITE},
        False,
        True,
    ),
    "asg_compare": ({"handles": ["<spec>", "<other>"]}, {Verb.READ}, False, False),
    "asg_commit_spec": ({"handle": "<spec>", "target": "main"}, {Verb.WRITE, Verb.READ}, False, False),
    "asg_discard": ({"handle": "<spec>"}, {Verb.WRITE}, False, True),
    "asg_open_session": ({"agent": "bob"}, {Verb.WRITE}, True, True),
    "asg_resolve": (
        {"session": "<session>", "outcome": "fulfilled", "summary": "Done."},
        {Verb.WRITE, Verb.READ},
        True,
        True,
    ),
    "asg_create_epoch": ({"id": "e1", "description": "x"}, {Verb.SEAL}, False, False),
    "asg_seal_epoch": ({"id": "e0", "summary": "x"}, {Verb.SEAL}, False, False),
    "asg_plan": ({"name": "p1", "description": "x"}, {Verb.WRITE, Verb.READ}, True, False),
    "asg_update_task": (
        {"plan": "p0", "task": "t-1", "action": "start", "agent": "bob"},
        {Verb.WRITE, Verb.READ},
        True,
        False,
    ),
    "asg_next_task": ({"plan": "p0", "agent": "bob"}, {Verb.READ}, True, False),
    "asg_migrate": ({}, {Verb.READ}, True, False),
}
WHY = {"intent_category": "Fix", "intent_description": "Because."}


class Office:
    """A store with something of everything in it, and calls under any grant."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._dispatcher = Dispatcher(CATALOGUE)
        self._made: dict[str, str] = {}

    async def furnish(self) -> None:
        """Make what the calls are about."""
        await self._desk.apply(("set", "/team", {"a": 1}), ("set", "/other", {"secret": 2}))
        await self._desk.set("/team/a", 2)
        await self._desk.branch("old")
        for name in ("<spec>", "<other>"):
            self._made[name] = (await self.done("asg_speculate", {}))["handle"]
        self._made["<session>"] = (await self.done("asg_open_session", {"agent": "bob"}))["session"]
        await self.done("asg_create_epoch", {"id": "e0", "description": "x"})
        await self.done("asg_plan", {"name": "p0", "description": "x", "tasks": [{"id": "t-1", "title": "one"}]})

    async def done(self, tool: str, arguments: dict[str, Any], grant: Grant = ALL) -> dict[str, Any]:
        """The reply of a call that succeeds."""
        reply = await self.reply(tool, arguments, grant)
        assert not reply.is_error, (tool, grant, reply.text)
        found: dict[str, Any] = reply.structured
        return found

    async def reply(self, tool: str, arguments: dict[str, Any], grant: Grant) -> Any:
        """The reply of a call."""
        model = next(one for one in CATALOGUE if one.name == tool).params
        why = {name: text for name, text in WHY.items() if name in model.model_fields}
        repo = self._desk.repo.seen_by(grant.principal)
        caller = Caller(grant.principal, "test/1", grant.agent or "bob", grant=grant)
        return await self._dispatcher.dispatch(ToolContext(repo, caller), tool, {**self._filled(arguments), **why})

    def _filled(self, given: Any) -> Any:
        if isinstance(given, dict):
            return {name: self._filled(item) for name, item in given.items()}
        if isinstance(given, list):
            return [self._filled(item) for item in given]
        return self._made.get(given, given) if isinstance(given, str) else given


def test_the_calls_below_are_of_every_tool_and_reads_need_reading_alone() -> None:
    assert list(CALLS) == [tool.name for tool in CATALOGUE]
    for tool in CATALOGUE:
        if tool.effect is Effect.READ:
            assert CALLS[tool.name][1] == {Verb.READ}


@pytest.mark.parametrize("tool", CALLS)
async def test_each_tool_needs_its_verbs_its_refs_and_its_paths(tmp_path: Path, tool: str) -> None:
    arguments, verbs, main_is_enough, team_is_enough = CALLS[tool]
    async with open_desk(tmp_path) as desk:
        office = Office(desk)
        await office.furnish()
        before = (await desk.repo.read(lambda view: view.reader.events_count()),)
        for verb in verbs:
            reply = await office.reply(tool, arguments, Grant("alice", verbs=EVERY_VERB - {verb}))
            assert '"code":"forbidden"' in reply.text, verb
        grants = {
            Grant("alice", refs=("main",)): main_is_enough,
            Grant("alice", paths=(("team",),)): team_is_enough,
            Grant("alice", paths=(("tea",),)): False,
            Grant("alice", refs=("mai",)): False,
        }
        for grant, is_enough in grants.items():
            if not is_enough and not _asks_nothing(tool, grant):
                reply = await office.reply(tool, arguments, grant)
                assert '"code":"forbidden"' in reply.text, grant
                assert "secret" not in reply.text
        # Nothing that was refused left a trace.
        assert (await desk.repo.read(lambda view: view.reader.events_count()),) == before
        exact = Grant(
            "alice",
            verbs=frozenset(verbs),
            refs=("main",) if main_is_enough else ("*",),
            paths=(("team",),) if team_is_enough else ((),),
        )
        await office.done(tool, arguments, exact)


def _asks_nothing(tool: str, grant: Grant) -> bool:
    """Whether the tool's call is about no ref, or no path, so that a grant of another is as good."""
    no_paths = {
        *("asg_branch", "asg_list_branches", "asg_delete_branch", "asg_speculate", "asg_discard", "asg_open_session"),
        "asg_resolve",
    }
    no_refs = {"asg_resolve"}
    return tool in (no_refs if grant.all_paths else no_paths)


OUTSIDE: list[tuple[str, dict[str, Any]]] = [
    ("asg_get", {}),
    ("asg_get", {"path": "/other/secret"}),
    ("asg_get", {"path": "/teams"}),
    ("asg_blame", {"path": "/other/secret"}),
    ("asg_search", {"query": "secret"}),
    ("asg_search", {"query": "$..secret", "mode": "jsonpath"}),
    ("asg_diff", {"ref_b": "main~1"}),
    ("asg_log", {}),
    ("asg_query", {}),
    ("asg_query", {"target": "state", "filters": {"path": "$..secret"}}),
    ("asg_query", {"target": "agents"}),
    ("asg_query", {"target": "intents"}),
    ("asg_query", {"target": "epochs"}),
    ("asg_query", {"target": "plans"}),
    ("asg_apply", {"operations": [{"op": "move", "path": "/team/z", "from": "/other/secret"}]}),
    ("asg_apply", {"operations": [{"op": "test", "path": "/other/secret", "value": 2}]}),
    ("asg_apply", {"operations": [{"op": "set", "path": "/team/z", "value": 1}, {"op": "delete", "path": "/other"}]}),
    ("asg_revert", {"agent": "bob"}),
    ("asg_revert", {"path": "/other", "source": "main~1"}),
    ("asg_spec_modify", {"handle": "<spec>", "operations": [{"op": "move", "path": "/team/z", "from": "/other"}]}),
    ("asg_resolve", {"intent": "main", "outcome": "failed", "summary": "x"}),
    ("asg_migrate", {"action": "apply", "to": "1.0.0"}),
]


async def test_a_grant_of_one_path_reads_and_writes_nothing_beside_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        office = Office(desk)
        await office.furnish()
        for tool, arguments in OUTSIDE:
            reply = await office.reply(tool, arguments, Grant("alice", paths=(("team",),)))
            assert '"code":"forbidden"' in reply.text, (tool, arguments, reply.text)


async def test_what_is_missing_names_nothing_beside_the_grant(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        office = Office(desk)
        await office.furnish()
        reply = await office.reply("asg_get", {"path": "/oth"}, Grant("alice", paths=(("oth",),)))
        assert '"code":"path_not_found"' in reply.text
        assert "other" not in reply.text.replace("nothing else", "")
        reply = await office.reply("asg_get", {"ref": "ol"}, Grant("alice", refs=("ol",)))
        assert '"code":"ref_not_found"' in reply.text
        assert "old" not in reply.text


async def test_a_session_is_used_only_by_whoever_may_be_its_agent_on_its_branch(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        office = Office(desk)
        await office.furnish()
        session = (await office.done("asg_open_session", {"agent": "carol", "branch": "old"}))["session"]
        write = {"path": "/team/a", "value": 9, "session": session}
        for grant in (Grant("alice", agents=("bob",)), Grant("alice", refs=("main",))):
            assert '"code":"forbidden"' in (await office.reply("asg_set", write, grant)).text
        assert (await office.done("asg_set", write, Grant("alice", agents=("carol",), refs=("old",))))["ref"] == "old"
        claim = {"agent": "eve"}
        assert (
            '"code":"forbidden"'
            in (await office.reply("asg_open_session", claim, Grant("alice", agents=("bob",)))).text
        )
