"""What was intended, by whom, what serves it, and what came of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.errors import LimitExceeded, NotFound
from asg_mcp.repo import intenttree
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import OutcomeRequest, Query, SessionRequest
from asg_mcp.repo.results import AgentInfo, IntentInfo
from asg_mcp.services import listing
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def meant(desk: Desk, description: str, *, author: Author = ALICE, **given: Any) -> str:
    """A commit that bears an intent; what it is called."""
    intent = Intent(Category.FIX, description, **given)
    done = await desk.repo.commit("main", [], intent, author, Guard())
    return intent.intent_id or done.commit.short


async def told(desk: Desk, intent: str, outcome: str, *deviations: str) -> None:
    found = tuple({"description": deviation} for deviation in deviations)
    await desk.repo.resolve(OutcomeRequest(outcome, f"It {outcome}.", intent=intent, deviations=found), ALICE)


async def asked(desk: Desk, **filters: Any) -> list[IntentInfo]:
    return list((await listing.intents(desk.repo, Query(target="intents", **filters))).items)


def names(items: list[IntentInfo] | tuple[IntentInfo, ...]) -> list[Any]:
    """Each intent's name, with those below it where there are any."""
    return [(item.name, names(item.children)) if item.children else item.name for item in items]


async def test_intents_are_shown_as_the_trees_that_their_parents_make(desk: Desk) -> None:
    root = await meant(desk, "Move the cluster", intent_id="move")
    one = await meant(desk, "Move node 1", parent_intent="move")
    deep = await meant(desk, "Drain node 1", parent_intent=one)
    two = await meant(desk, "Move node 2", parent_intent="move")
    other = await meant(desk, "Something else")
    first = names(await asked(desk))
    assert first[:2] == [other, (root, [two, (one, [deep])])]
    assert names(await asked(desk, intent=one)) == [(one, [deep])]
    assert names(await asked(desk, intent="move")) == [(root, [two, (one, [deep])])]
    with pytest.raises(NotFound, match="nothing-like-it"):
        await asked(desk, intent="nothing-like-it")


async def test_an_intent_that_several_commits_bear_is_one(desk: Desk) -> None:
    await meant(desk, "First step", intent_id="move")
    await meant(desk, "Second step", intent_id="move")
    found = [item for item in await asked(desk) if item.name == "move"]
    assert [item.description for item in found] == ["First step"]


async def test_a_session_is_an_intent_above_what_is_done_in_it(desk: Desk) -> None:
    parent = await desk.repo.open_session(SessionRequest("planner", description="Mend all"), ALICE)
    child = await desk.repo.open_session(SessionRequest("fixer", parent=parent.handle), ALICE)
    author = Author(ALICE.principal, "fixer", "", child.handle)
    work = await meant(desk, "Mend one", author=author, parent_intent=child.handle)
    assert names(await asked(desk, intent=parent.handle)) == [(parent.handle, [(child.handle, [work])])]
    assert names(await asked(desk))[0] == (parent.handle, [(child.handle, [work])])
    assert names(await asked(desk, agent="planner"))[-1] == (parent.handle, [(child.handle, [work])])


async def test_intents_are_found_by_what_became_of_them(desk: Desk) -> None:
    done, lost, odd, still = [await meant(desk, f"Task {number}") for number in range(4)]
    await told(desk, done, "fulfilled")
    await told(desk, lost, "failed")
    await told(desk, odd, "partially_fulfilled", "slower than expected")
    assert names(await asked(desk, status="failed")) == [lost]
    assert names(await asked(desk, has_deviations=True)) == [odd]
    assert still in names(await asked(desk, status="open"))
    assert not {done, lost, odd} & set(names(await asked(desk, status="open")))
    [item] = await asked(desk, intent=odd)
    assert item.outcome is not None
    assert item.outcome["deviations"] == [{"description": "slower than expected"}]


async def test_pages_of_intents_together_are_the_whole(desk: Desk) -> None:
    made = [await meant(desk, f"Task {number}") for number in range(7)]
    await desk.repo.open_session(SessionRequest("planner"), ALICE)
    whole = names(await asked(desk, limit=50))
    assert set(made) <= set(whole)
    found: list[Any] = []
    cursor, left = "", []
    while True:
        page = await listing.intents(desk.repo, Query(target="intents", limit=3, cursor=cursor))
        found += names(page.items)
        left.append(page.omitted)
        await meant(desk, "Another, in between")
        cursor = page.next_cursor
        if not cursor:
            break
    assert found == whole
    assert left == [len(whole) - 3, len(whole) - 6, 0]


async def test_a_circle_of_parents_ends(desk: Desk) -> None:
    await meant(desk, "A", intent_id="a", parent_intent="b")
    await meant(desk, "B", intent_id="b", parent_intent="a")
    assert names(await asked(desk, intent="a")) == [("a", ["b"])]


async def test_more_children_than_are_shown_are_counted(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intenttree, "INTENT_NODES_MAX", 2)
    await meant(desk, "Root", intent_id="root")
    for number in range(5):
        await meant(desk, f"Child {number}", parent_intent="root")
    [root] = await asked(desk, intent="root")
    assert (len(root.children), root.more_children) == (2, 3)


async def test_a_scan_that_would_look_at_too_much_says_so(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asg_mcp.repo.scans.SCAN_COMMITS_MAX", 3)
    for number in range(5):
        await meant(desk, f"Task {number}")
    with pytest.raises(LimitExceeded):
        await asked(desk, confidence_min=0.9)


async def test_confidence_is_held_against_what_came_of_it_agent_by_agent(desk: Desk) -> None:
    for confidence, outcome in ((0.9, "fulfilled"), (0.9, "failed"), (0.6, "partially_fulfilled"), (0.5, "deferred")):
        await told(desk, await meant(desk, "Try", confidence=confidence), outcome)
    await told(desk, await meant(desk, "Unsaid"), "fulfilled")
    await meant(desk, "Quiet", author=BOB, confidence=0.2)
    page = await desk.repo.query(Query(target="agents"))
    agents = {item.agent: item for item in page.items if isinstance(item, AgentInfo)}
    planner = agents[ALICE.agent]
    assert planner.outcomes == {"deferred": 1, "failed": 1, "fulfilled": 2, "partially_fulfilled": 1}
    calibration = planner.calibration
    assert calibration is not None
    assert calibration.reported == 3
    assert calibration.stated == pytest.approx(0.8)
    assert calibration.achieved == pytest.approx(0.5)
    assert calibration.brier == pytest.approx((0.01 + 0.81 + 0.01) / 3)
    assert (agents[BOB.agent].calibration, agents[BOB.agent].outcomes) == (None, {})


async def test_sessions_are_listed_with_their_status_to_their_own_principal(desk: Desk) -> None:
    first = await desk.repo.open_session(
        SessionRequest("fixer", description="Mend it", authority={"principal": "on-call"}), ALICE
    )
    second = await desk.repo.open_session(SessionRequest("tester", branch="t"), BOB)
    closing = Author(ALICE.principal, "fixer", "", first.handle)
    report = OutcomeRequest("failed", "No.", session=first.handle, deviations=({"description": "It broke"},))
    await desk.repo.resolve(report, closing)

    async def listed(principal: str = "", **filters: Any) -> list[str]:
        page = await listing.records(desk.repo.seen_by(principal), Query(target="sessions", **filters))
        return [str(item["session"]) for item in page.items]

    assert await listed() == [second.handle, first.handle]
    assert await listed(BOB.principal) == [second.handle]
    assert await listed(status="failed") == await listed(has_deviations=True) == [first.handle]
    assert await listed(status="open") == await listed(agent="tester") == [second.handle]
    assert await listed(text="mend") == await listed(authority="on-call") == [first.handle]
    assert await listed(since="2100-01-01T00:00:00Z") == []
