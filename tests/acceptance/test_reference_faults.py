"""Every fault known of the project that this one follows: where it is tested here, or why it cannot occur."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import Forbidden, StoreCorrupt
from asg_mcp.repo.requests import SessionRequest
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE

TESTS = Path(__file__).parents[1]
NOT_HERE = "There is no "
FAULTS = {
    "lost updates on concurrent set": "faults/test_two_processes.py",
    "a promoted speculation reverts the work of others": "acceptance/test_reference_faults_speculation.py",
    "a write costs what the history is long": "acceptance/test_costs.py",
    "a merge costs the history's length cubed": "acceptance/test_reference_faults_merge.py",
    "an equal state drops the commits of a branch": "acceptance/test_reference_faults_merge.py",
    "a merge over a pruned base overwrites the target": NOT_HERE + "pruning: every commit row stays",
    "garbage collection breaks a speculation": NOT_HERE + "collection: what a ref reaches is never taken away",
    "a diff over missing objects says that there is no difference": "test_a_diff_over_a_missing_node_is_an_error",
    "blame is wrong past a thousand commits and on merges": "acceptance/test_reference_faults_merge.py",
    "log and query do not see merged commits": "acceptance/test_reference_faults_merge.py",
    "secrets are read through ancestors and diff": NOT_HERE + "path that reads are kept from; a grant's paths are",
    "the reserved root is rewritten through its ancestors": "acceptance/test_reference_faults_migrate.py",
    "numeric keys cannot be reached": "acceptance/test_reference_faults_merge.py",
    "a speculation makes text of JSON values": "acceptance/test_reference_faults_speculation.py",
    "a speculation in a namespace is lost": "acceptance/test_reference_faults_speculation.py",
    "sealing in one place blocks all others": "services/test_epochs.py",
    "a seal has no hash": "services/test_epochs.py",
    "search finds what is gone and misses what is new": "test_a_search_finds_what_is_there_and_nothing_else",
    "a taint is evaded": NOT_HERE + "taint: permissions are a session's scope, checked on what a commit changes",
    "a task is started twice": "faults/test_task_race.py",
    "a plan's name breaks the list of plans": "acceptance/test_reference_faults_plans.py",
    "reminders are in memory": NOT_HERE + "reminder",
    "a session's path scope is ignored": "test_a_scope_holds_for_what_it_names_and_not_for_what_begins_alike",
    "two processes that make the key wait for each other": "services/test_signing.py",
    "the 716th task overwrites another": "acceptance/test_reference_faults_plans.py",
    "a commit's prefix reads another namespace": NOT_HERE + "namespace: one file is one store",
    "a new namespace cannot be used": NOT_HERE + "namespace: one file is one store",
}
"""Found by reading and running the reference project; in the order of the research notes."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_its_test_or_its_reason(fault: str) -> None:
    place = FAULTS[fault]
    if place.startswith(NOT_HERE):
        return
    if place.endswith(".py"):
        assert re.search(r"^(async )?def test_", (TESTS / place).read_text(encoding="utf-8"), re.MULTILINE)
    else:
        assert callable(globals()[place])


async def found(desk: Desk, text: str, ref: str = "main") -> list[tuple[str, ...]]:
    page = await desk.repo.search(ref, text, mode="text", prefix=(), limit=100, cursor="")
    return [match.path for match in page.matches]


async def test_a_search_finds_what_is_there_and_nothing_else(desk: Desk) -> None:
    await desk.set("/a", {"walrus": 1, "name": "old walrus"})
    assert await found(desk, "walrus") == [("a", "name"), ("a", "walrus")]
    await desk.set("/a/name", "seal")
    assert await found(desk, "walrus") == [("a", "walrus")]
    await desk.branch("dev")
    await desk.set("/b", "walrus", ref="dev")
    assert (await found(desk, "walrus"), await found(desk, "walrus", "dev")) == (
        [("a", "walrus")],
        [("a", "walrus"), ("b",)],
    )
    await desk.repo.delete_branch("dev", ALICE)
    await desk.branch("dev")
    assert await found(desk, "walrus", "dev") == [("a", "walrus")]
    assert await found(desk, "a") != await found(desk, "%")
    assert await found(desk, "%") == await found(desk, "_") == []


async def test_a_diff_over_a_missing_node_is_an_error(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/", {f"k{number}": number for number in range(500)})
        await desk.branch("old", kind="tag")
        await desk.set("/k7", "new")
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as db:
        db.execute("DELETE FROM nodes WHERE id = (SELECT root FROM commits WHERE seq = 3)")
    async with open_desk(tmp_path) as desk:
        with pytest.raises(StoreCorrupt):
            await desk.diff("old", "main")


@pytest.mark.parametrize(("path", "allowed"), [("/config", True), ("/config/a", True), ("/config2", False)])
async def test_a_scope_holds_for_what_it_names_and_not_for_what_begins_alike(
    desk: Desk, path: str, allowed: bool
) -> None:
    request = SessionRequest("fixer", scope=(parse_path("/config"),))
    session = await desk.repo.open_session(request, ALICE)
    author = Author(ALICE.principal, "fixer", "", session.handle)
    if allowed:
        await desk.set(path, {}, author=author)
    else:
        with pytest.raises(Forbidden):
            await desk.set(path, {}, author=author)


async def test_writers_of_one_key_at_once_all_leave_their_commit(desk: Desk) -> None:
    answers: list[Any] = await asyncio.gather(*(desk.set("/n", number) for number in range(200)))
    assert len({answer.commit for answer in answers}) == 200
    assert len(await desk.past("/n")) == 100, "a page of the two hundred changes"
    assert await desk.value("/n") in range(200)
