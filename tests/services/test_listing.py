"""What is listed is what was asked for, or the question is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.operations import Op
from asg_mcp.errors import CommitNotFound, InvalidArgument
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import Query, SessionRequest
from asg_mcp.services import listing
from asg_mcp.services.identity import Acting
from asg_mcp.services.plans import PlanRequest, change_plan
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB, operation
from tests.services.epochs_desk import open_epoch_desk

RECORDS = ("sessions", "epochs", "plans", "speculations")
KNOWN = {"sessions": "expired", "epochs": "sealed", "plans": "archived", "speculations": "discarded"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def listed(desk: Desk, target: str, **filters: Any) -> list[dict[str, Any]]:
    return [dict(item) for item in (await listing.records(desk.repo, Query(target=target, **filters))).items]


@pytest.mark.parametrize("target", RECORDS)
async def test_a_status_that_there_is_not_is_refused_with_those_there_are(desk: Desk, target: str) -> None:
    assert await listed(desk, target, status=KNOWN[target]) == []
    with pytest.raises(InvalidArgument, match="done") as refused:
        await listed(desk, target, status="done")
    assert KNOWN[target] in refused.value.hint


@pytest.mark.parametrize("target", ["intents", "commits", "agents"])
async def test_an_intent_s_status_that_there_is_not_is_refused_too(desk: Desk, target: str) -> None:
    ask = listing.intents if target == "intents" else type(desk.repo).query
    for status in ("", "open", "partially_fulfilled"):
        await ask(desk.repo, Query(target=target, status=status))
    with pytest.raises(InvalidArgument, match="done") as refused:
        await ask(desk.repo, Query(target=target, status="done"))
    assert "partially_fulfilled" in refused.value.hint


@pytest.mark.parametrize("target", [*RECORDS, "intents"])
async def test_an_order_that_would_not_be_kept_is_refused(desk: Desk, target: str) -> None:
    ask = listing.intents if target == "intents" else listing.records
    with pytest.raises(InvalidArgument, match="oldest"):
        await ask(desk.repo, Query(target=target, order_by="oldest"))


@pytest.mark.parametrize("target", ["plans", "speculations"])
async def test_what_has_no_intent_is_not_filtered_by_one(desk: Desk, target: str) -> None:
    with pytest.raises(InvalidArgument, match="intent"):
        await listed(desk, target, intent="move")


async def test_a_count_of_zero_is_told(desk: Desk) -> None:
    await change_plan(desk.repo, "main", PlanRequest("empty", description="Nothing yet."), Acting(ALICE), "")
    await desk.repo.speculations.open("main", "untouched", ALICE)
    assert [item["total"] for item in await listed(desk, "plans")] == [0]
    assert [item["changes"] for item in await listed(desk, "speculations")] == [0]


async def test_an_open_epoch_tells_nothing_of_a_seal(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1", "plan")
        [item] = (await listing.records(desk.repo, Query(target="epochs"))).items
        assert item["commits"] == 0
        assert {"size", "follows", "replayed", "sealed_at"}.isdisjoint(item)


async def test_what_another_principal_tries_is_no_intent_that_can_be_named(desk: Desk) -> None:
    trial = await desk.repo.speculations.open("main", "secret", BOB)
    tried = (await desk.repo.speculations.modify(trial.handle, [operation(Op.SET, "/a", 1)], BOB)).head
    alice = desk.repo.seen_by(ALICE.principal)
    for digits in (6, 12, 64):
        with pytest.raises(CommitNotFound):
            await listing.intents(alice, Query(target="intents", intent=tried.hex()[:digits]))
        assert (await listing.intents(desk.repo, Query(target="intents", intent=tried.hex()[:digits]))).items


async def test_an_intent_whose_parent_is_not_listed_stands_by_itself(desk: Desk) -> None:
    theirs = (await desk.repo.open_session(SessionRequest("fixer"), BOB)).handle
    own = (await desk.repo.open_session(SessionRequest("fixer"), ALICE)).handle
    parents = ["", theirs, own, "nobody-calls-it-that", "goal", "elsewhere", "itself"]
    await desk.branch("side")
    await desk.repo.commit("side", [], Intent(Category.FIX, "Other.", intent_id="elsewhere"), ALICE, Guard())
    goal = await desk.repo.commit("main", [], Intent(Category.FIX, "Goal.", intent_id="goal"), ALICE, Guard())
    for parent in (*parents, goal.commit.short, goal.commit.hex(), goal.commit.hex()[:8]):
        name = "itself" if parent == "itself" else f"below:{parent}"
        intent = Intent(Category.FIX, "Mend.", intent_id=name, parent_intent=parent)
        await desk.repo.commit("main", [], intent, ALICE, Guard())

    async def seen(ref: str) -> tuple[set[str], set[str]]:
        """The intents at the top, and those below another."""
        page = await listing.intents(desk.repo.seen_by(ALICE.principal), Query(target="intents", ref=ref))
        below = {child.name for item in page.items for child in item.children}
        return {item.name for item in page.items}, below

    top, below = await seen("main")
    alone = {f"below:{parent}" for parent in ("", theirs, "nobody-calls-it-that", "elsewhere", goal.commit.hex()[:8])}
    assert alone | {"itself", "goal", own} <= top
    assert below == {f"below:{parent}" for parent in (own, "goal", goal.commit.short, goal.commit.hex())}
    assert top.isdisjoint(below)
    top, below = await seen("")
    assert ("below:elsewhere" in top, "below:elsewhere" in below) == (False, True)
