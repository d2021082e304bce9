"""A session binds what is written in it, and never gives more than its parent has."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import SCOPE_PATHS_MAX, SESSION_SECONDS_MAX
from asg_mcp.core.paths import parse_path
from asg_mcp.core.times import format_time
from asg_mcp.errors import Forbidden, HandleNotFound, InvalidArgument, InvalidName, LimitExceeded, RequestReused
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import OutcomeRequest, SessionRequest
from asg_mcp.repo.results import SessionInfo
from asg_mcp.repo.verify import Problem
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE

AUTHORITY = {"principal": "on-call", "scope": "the cluster"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        await desk.apply(("set", "/a", {"x": 1, "y": 1}), ("set", "/a2", 1), ("set", "/b", 1))
        yield desk


async def opened(desk: Desk, agent: str = "fixer", *, author: Author = ALICE, **asked: Any) -> SessionInfo:
    scope = tuple(parse_path(path) for path in asked.pop("scope", ()))
    return await desk.repo.open_session(SessionRequest(agent, scope=scope, **asked), author)


def acting(session: SessionInfo) -> Author:
    return Author(session.principal, session.agent, "", session.handle)


async def problems(desk: Desk) -> tuple[Problem, ...]:
    return (await desk.repo.verify(lambda *_: None)).problems


async def test_a_session_has_its_branch_made_and_says_what_it_may_do(desk: Desk) -> None:
    session = await opened(desk, branch="work/fix", scope=["/a"], description="Mend a", authority=AUTHORITY)
    assert session.handle.startswith("ses-")
    assert (session.branch, session.scope, session.status) == ("work/fix", ("/a",), "open")
    assert await desk.value("/", "work/fix") == await desk.value()
    assert desk.repo.session(session.handle) == session
    assert await problems(desk) == ()


async def test_a_session_outlives_the_program(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        session = await opened(desk, scope=["/a"])
    async with open_desk(tmp_path) as desk:
        await desk.set("/a", 1, author=acting(session))
        with pytest.raises(Forbidden):
            await desk.set("/b", 1, author=acting(session))
        assert (await desk.head()).session == session.handle


@pytest.mark.parametrize(
    "told",
    [
        [("set", "/b", 2)],
        [("set", "/a2", 2)],
        [("set", "/", {"a": {}})],
        [("delete", "/b")],
        [("set", "/a/x", 2), ("set", "/b", 2)],
        [("move", "/a/z", "/b")],
        [("move", "/c", "/a/x")],
    ],
)
async def test_what_lies_outside_the_scope_is_not_written_by_any_operation(desk: Desk, told: list[Any]) -> None:
    session = await opened(desk, scope=["/a"])
    before = await desk.value()
    with pytest.raises(Forbidden, match="outside the scope"):
        await desk.apply(*told, author=acting(session))
    assert await desk.value() == before
    await desk.apply(("set", "/a/x", 2), ("delete", "/a/y"), author=acting(session))
    assert await desk.value("/a") == {"x": 2}


async def test_a_revert_in_a_session_stays_in_its_scope(desk: Desk) -> None:
    session = await opened(desk, scope=["/a"])
    inside = await desk.set("/a/x", 5)
    outside = await desk.set("/b", 5)
    with pytest.raises(Forbidden, match="/b is outside"):
        await desk.revert(outside.commit.hex(), author=acting(session))
    await desk.revert(inside.commit.hex(), author=acting(session))
    assert (await desk.value("/a/x"), await desk.value("/b")) == (1, 5)


async def test_everything_of_a_session_is_undone_at_once(desk: Desk) -> None:
    session = await opened(desk, scope=["/a"])
    await desk.set("/a/x", 5, author=acting(session))
    await desk.set("/b", 5)
    await desk.set("/a/y", 5, author=acting(session))
    assert len((await desk.revert(session=session.handle)).reverted) == 2
    assert await desk.value() == {"a": {"x": 1, "y": 1}, "a2": 1, "b": 5}


async def test_a_session_writes_to_its_own_branch_and_drops_no_other(desk: Desk) -> None:
    session = await opened(desk, branch="fix")
    await desk.branch("dev")
    with pytest.raises(Forbidden, match="works on fix, not on main") as refused:
        await desk.set("/b", 2, author=acting(session))
    assert refused.value.details["branch"] == "fix"
    with pytest.raises(Forbidden, match="works on fix, not on dev"):
        await desk.repo.delete_branch("dev", acting(session))
    await desk.set("/b", 2, ref="fix", author=acting(session))


async def test_another_agent_s_name_cannot_be_used_with_a_session(desk: Desk) -> None:
    session = await opened(desk)
    with pytest.raises(Forbidden, match="agent 'fixer'"):
        await desk.set("/b", 2, author=Author(ALICE.principal, "planner", "", session.handle))


async def test_another_principal_cannot_use_a_session_that_it_has_heard_of(desk: Desk) -> None:
    session = await opened(desk)
    mallory = Author("local:mallory", session.agent, "", session.handle)
    with pytest.raises(HandleNotFound):
        await desk.set("/b", 2, author=mallory)
    with pytest.raises(HandleNotFound):
        desk.repo.seen_by("local:mallory").session(session.handle)
    with pytest.raises(HandleNotFound):
        await desk.repo.open_session(SessionRequest("x", parent=session.handle), Author("local:mallory", "x"))


async def test_a_closed_session_writes_nothing_more(desk: Desk) -> None:
    session = await opened(desk)
    done = OutcomeRequest("fulfilled", "Mended.", session=session.handle)
    await desk.repo.resolve(done, acting(session))
    assert desk.repo.session(session.handle).status == "fulfilled"
    with pytest.raises(HandleNotFound, match="closed"):
        await desk.set("/b", 2, author=acting(session))
    with pytest.raises(HandleNotFound, match="closed already, as fulfilled"):
        await desk.repo.resolve(done, acting(session))
    assert await problems(desk) == ()


async def test_an_expired_session_writes_nothing_more_but_can_report(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(desk, expires="60")
    later = time.time_ns() + 61 * 10**9
    monkeypatch.setattr("asg_mcp.storage.session.time.time_ns", lambda: later)
    with pytest.raises(HandleNotFound, match="expired"):
        await desk.set("/b", 2, author=acting(session))
    await desk.repo.resolve(OutcomeRequest("failed", "Too late.", session=session.handle), acting(session))


async def test_a_child_session_has_no_more_than_its_parent(desk: Desk) -> None:
    parent = await opened(desk, "planner", branch="work", scope=["/a"], authority=AUTHORITY, expires="3600")
    child = await opened(desk, parent=parent.handle, scope=["/a/x"], description="Mend x")
    assert (child.branch, child.scope, child.expires) == ("work", ("/a/x",), parent.expires)
    assert child.authority == {
        **AUTHORITY,
        "delegation_chain": [{"from": "planner", "to": "fixer", "scope": "Mend x"}],
    }
    same = await opened(desk, parent=parent.handle)
    assert same.scope == ("/a",)
    await desk.branch("other")
    for wider, said in (
        ({"scope": ["/"]}, "outside the parent session's scope"),
        ({"scope": ["/a2"]}, "outside the parent session's scope"),
        ({"branch": "main"}, "works on work, and main is there already"),
        ({"branch": "other"}, "there already"),
        ({"authority": {"principal": "the board"}}, "authority of on-call, not of the board"),
        ({"expires": "7200"}, "would outlive it"),
    ):
        with pytest.raises(Forbidden, match=said):
            await opened(desk, parent=parent.handle, **wider)
    grandchild = await opened(desk, "tester", parent=child.handle, branch="work/x")
    assert grandchild.authority is not None
    assert [link["to"] for link in grandchild.authority["delegation_chain"]] == ["fixer", "tester"]
    await desk.repo.resolve(OutcomeRequest("fulfilled", "Done.", session=parent.handle), acting(parent))
    with pytest.raises(HandleNotFound, match="closed"):
        await opened(desk, parent=parent.handle)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"agent": ""}, InvalidName),
        ({"agent": "two\nlines"}, InvalidName),
        ({"branch": "no such~name"}, InvalidName),
        ({"expires": "yesterday"}, InvalidArgument),
        ({"expires": "0"}, InvalidArgument),
        ({"expires": format_time(0)}, InvalidArgument),
        ({"expires": str(SESSION_SECONDS_MAX + 1)}, LimitExceeded),
        ({"expires": "9" * 5_000}, LimitExceeded),
        ({"scope": [f"/{number}" for number in range(SCOPE_PATHS_MAX + 1)]}, LimitExceeded),
        ({"parent": "ses-000000000000"}, HandleNotFound),
        ({"description": " "}, InvalidArgument),
    ],
)
async def test_a_session_that_makes_no_sense_is_refused_and_leaves_nothing(
    desk: Desk, asked: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await opened(desk, **{"agent": "fixer", "branch": "new", **asked})
    assert [ref.name for ref in (await desk.repo.list_refs("", kind="all", limit=9, cursor="")).refs] == ["main"]


async def test_a_session_works_on_no_tag(desk: Desk) -> None:
    await desk.branch("v1", kind="tag")
    with pytest.raises(Forbidden, match="v1 is a tag"):
        await opened(desk, branch="v1")


async def test_a_repeated_request_opens_one_session(desk: Desk) -> None:
    request = SessionRequest("fixer", branch="once")
    first = await desk.repo.open_session(request, ALICE, "r1")
    assert await desk.repo.open_session(request, ALICE, "r1") == replace(first, replayed=True)
    with pytest.raises(RequestReused):
        await desk.repo.open_session(SessionRequest("other"), ALICE, "r1")


async def test_the_outcome_of_an_intent_is_told_with_the_commit_that_bears_it(desk: Desk) -> None:
    done = await desk.set("/b", 2, description="Raise b")
    expected = OutcomeRequest(
        "partially_fulfilled",
        "b rose, a fell.",
        intent=done.commit.short,
        observed={"b": 2},
        deviations=({"description": "a fell", "impact": "slower"},),
        confidence=0.5,
    )
    answer = await desk.repo.resolve(expected, ALICE)
    assert (answer.intent, answer.outcome, answer.children) == (done.commit.short, "partially_fulfilled", ())
    outcome = (await desk.blame("/b"))[0].commit.outcome
    assert outcome is not None
    assert (outcome["observed"], outcome["confidence"]) == ({"b": 2}, 0.5)
    assert outcome["deviations"] == [{"description": "a fell", "impact": "slower"}]
    await desk.repo.resolve(OutcomeRequest("fulfilled", "All well now.", intent=done.commit.short), ALICE)
    outcome = (await desk.blame("/b"))[0].commit.outcome
    assert outcome is not None
    assert (outcome["outcome"], outcome.get("observed")) == ("fulfilled", None)
    assert await problems(desk) == ()


async def test_a_parent_hears_what_its_children_reported(desk: Desk) -> None:
    async def write(intent: Intent, author: Author = ALICE) -> str:
        done = await desk.repo.commit("main", [], intent, author, Guard())
        return done.commit.short

    await write(Intent(Category.PLAN, "Move the cluster", intent_id="move"))
    child = await write(Intent(Category.FIX, "Move node 1", parent_intent="move"))
    silent = await write(Intent(Category.FIX, "Move node 2", parent_intent="move"))
    await desk.repo.resolve(OutcomeRequest("failed", "It did not boot.", intent=child), ALICE)
    answer = await desk.repo.resolve(OutcomeRequest("partially_fulfilled", "One of two.", intent="move"), ALICE)
    assert [(item.intent, item.status) for item in answer.children] == [(child, "failed")]
    assert silent not in [item.intent for item in answer.children]

    parent = await opened(desk, "planner")
    first = await opened(desk, parent=parent.handle, description="One half")
    second = await opened(desk, parent=parent.handle, description="Other half")
    await desk.repo.resolve(OutcomeRequest("fulfilled", "Done.", session=first.handle), acting(first))
    answer = await desk.repo.resolve(OutcomeRequest("deferred", "Half done.", session=parent.handle), acting(parent))
    told = [(item.intent, item.status) for item in answer.children]
    assert told == [(second.handle, "open"), (first.handle, "fulfilled")]


@pytest.mark.parametrize(
    "asked",
    [
        {"outcome": "fulfilled", "summary": "x"},
        {"outcome": "splendid", "summary": "x", "intent": "main"},
        {"outcome": "failed", "summary": " ", "session": "ses-1"},
        {"outcome": "failed", "summary": "x", "session": "ses-1", "confidence": 1.5},
    ],
)
async def test_a_report_that_makes_no_sense_is_refused(desk: Desk, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        await desk.repo.resolve(OutcomeRequest(**asked), ALICE)
