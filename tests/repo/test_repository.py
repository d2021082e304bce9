"""A repository as its callers see it: many at once, other processes, failures, opening again."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import has_store, open_repository
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import AsgError, HeadMoved, StorageError, StoreIncompatible
from asg_mcp.repo import getting, repository, transaction
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import Query, Repository, RevertRequest
from asg_mcp.repo.results import WriteResult
from asg_mcp.storage import pace
from tests.repo.desk import UNDO, Desk, open_desk
from tests.repo.stores import ALICE, BOB


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


async def test_a_new_store_has_main_and_its_first_commit(desk: Desk) -> None:
    head = await desk.head()
    assert (head.seq, head.parents, head.category) == (1, (), "Checkpoint")
    assert await desk.value() == {}
    await desk.repo.create()
    assert await desk.log() == [1]


async def test_opening_again_finds_everything_and_makes_nothing(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/a", {"text": "long " * 700})
        await desk.branch("v1", kind="tag")
        value, head = await desk.value(), await desk.head()
    async with open_desk(tmp_path) as again:
        assert (await again.value(), await again.head(), await again.value("/", "v1")) == (value, head, value)
        assert await again.log() == [2, 1]


async def test_a_missing_store_is_not_made_unless_that_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(StoreIncompatible):
        async with open_repository(tmp_path / "state.db", create=False):
            pass
    assert not has_store(tmp_path / "state.db")


async def test_64_callers_at_once_all_write_and_each_is_told_its_own_commit(desk: Desk) -> None:
    answers = await asyncio.gather(*[desk.set(f"/k{number}", number) for number in range(64)])
    assert await desk.value() == {f"k{number}": number for number in range(64)}
    assert len({answer.commit for answer in answers}) == 64
    for number, answer in enumerate(answers):
        assert await desk.value(f"/k{number}", answer.commit.hex()) == number
        [entry] = await desk.blame(f"/k{number}")
        assert entry.commit.id == answer.commit


async def test_of_many_that_read_the_same_value_one_wins(desk: Desk) -> None:
    await desk.set("/n", 0)
    head = (await desk.head()).id.hex()
    answers = await asyncio.gather(
        *[desk.set("/n", number, expected_head=head) for number in range(1, 11)], return_exceptions=True
    )
    won = [answer for answer in answers if not isinstance(answer, BaseException)]
    assert len(won) == 1
    assert sum(isinstance(answer, HeadMoved) for answer in answers) == 9


async def test_two_repositories_on_one_file_see_each_others_commits(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as one, open_desk(tmp_path) as two:
        for number in range(10):
            await one.set(f"/one{number}", number)
            await two.set(f"/two{number}", number, author=BOB)
        assert await one.value() == await two.value()
        assert await one.log() == await two.log() == list(range(21, 0, -1))
        await asyncio.gather(*[side.apply(("append", "/l", n)) for n in range(20) for side in (one, two)])
        assert sorted(await one.value("/l")) == sorted([*range(20), *range(20)])
        assert (await two.repo.verify(lambda *told: None)).ok


async def test_reads_while_others_write_see_one_moment(desk: Desk) -> None:
    await desk.apply(("set", "/a", 0), ("set", "/b", 0))

    async def write() -> None:
        for number in range(1, 30):
            await desk.apply(("set", "/a", number), ("set", "/b", number))

    async def read() -> None:
        for _ in range(30):
            found = await desk.value()
            assert found["a"] == found["b"]

    await asyncio.gather(write(), read(), read())


async def test_nothing_of_a_batch_that_was_rolled_back_stays_in_memory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A revert reads the ancestry of a commit that an earlier transaction of its batch has made; then the batch fails.
    monkeypatch.setattr(pace, "HERE_SECONDS_MAX", 0.0)  # so that both are in one batch
    await desk.branch("side")
    await desk.set("/a", 1)
    await desk.set("/s", 1, ref="side")
    store: Any = desk.repo._store
    failing = [True]
    attempt = type(store)._attempt

    def fails_once(self: Any, db: Any, jobs: Any) -> bool:
        if failing and len(jobs) == 2:
            failing.clear()
            attempt(self, Refusing(db), jobs)
            for job in jobs:
                job.error = StorageError("made for this test")
                job.decided = True
            return True
        return bool(attempt(self, db, jobs))

    monkeypatch.setattr(type(store), "_attempt", fails_once)
    lost = await asyncio.gather(desk.set("/b", 1), desk.revert("main~1"), return_exceptions=True)
    assert all(isinstance(answer, StorageError) for answer in lost)
    await desk.set("/s", 2, ref="side")  # takes the number that the lost commit had
    await desk.set("/s", 3, ref="side")
    assert await desk.log() == [3, 2, 1] or await desk.log() == [2, 1]
    line = await desk.log(ref="side")
    assert line == sorted(line, reverse=True)
    assert (await desk.head("side")).seq == 5
    assert set(line) == {5, 4, 3, 1}
    assert (await desk.repo.verify(lambda *told: None)).ok


class Refusing:
    """A connection whose staging is rolled back at its end."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def execute(self, sql: str, *values: Any) -> Any:
        if sql.startswith("UPDATE meta SET value = ? WHERE name = 'batch'"):
            raise sqlite3.OperationalError("disk I/O error")
        return self._db.execute(sql, *values)


async def test_large_reads_leave_the_event_loop_free(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    await desk.set("/a", list(range(50)))
    apart: list[Any] = []
    read_apart = Repository._read_apart

    async def counted(self: Any, work: Any) -> Any:
        apart.append(work)
        return await read_apart(self, work)

    monkeypatch.setattr(Repository, "_read_apart", counted)
    assert await desk.value("/a/3") == 3
    assert apart == []
    monkeypatch.setattr(getting, "_INLINE_ENTRIES_MAX", 10)
    assert len(await desk.value("/a")) == 50
    assert len(apart) == 1


async def test_every_failure_is_one_of_ours(desk: Desk) -> None:
    calls = [
        desk.get("/gone"),
        desk.get("/", "no such ref"),
        desk.diff("main", "nowhere"),
        desk.blame("/gone"),
        desk.log("/", "main~7"),
        desk.revert("main"),
        desk.repo.revert(RevertRequest(), UNDO, ALICE, Guard()),
        desk.repo.delete_branch("gone", ALICE),
        desk.branch("a b"),
        desk.set("/a/b", 1, ref="v9"),
    ]
    for call in calls:
        with pytest.raises(AsgError) as caught:
            await call
        assert caught.value.message
        assert caught.value.hint or caught.value.details


async def test_health_names_the_file_and_the_library(desk: Desk, tmp_path: Path) -> None:
    health = await desk.repo.health()
    assert (health.path, health.sqlite_version) == (str(tmp_path / "state.db"), sqlite3.sqlite_version)
    assert health.problems == ()
    assert health.file_bytes > 0


async def test_a_page_says_how_many_more_there_are_and_stops_counting_at_the_limit(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        await desk.set("/k", {f"item-{index}": number for index in range(9)})
    repo, path = desk.repo, parse_path("/k")

    async def left(limit: int) -> list[int]:
        return [
            (await repo.log("main", path, limit=limit, cursor="")).omitted,
            (await repo.blame("main", path, depth=9, history=False, limit=limit, cursor="")).omitted,
            (await repo.diff("main~1", "main", path, limit=limit, cursor="")).omitted,
            (await repo.search("main", "item", mode="text", prefix=path, limit=limit, cursor="")).omitted,
            (await repo.query(Query(path=path, limit=limit))).omitted,
        ]

    assert await left(4) == [8, 5, 5, 5, 8]
    assert await left(100) == [0, 0, 0, 0, 0]
    monkeypatch.setattr(repository, "COUNT_AHEAD_MAX", 3)
    assert await left(4) == [3, 3, 3, 3, 3]


async def test_small_writes_of_a_lone_caller_run_on_the_event_loop_and_large_ones_on_the_writers_thread(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, threads = transaction.run, []

    def noted(*given: Any) -> WriteResult:
        threads.append(threading.current_thread())
        return run(*given)

    monkeypatch.setattr(pace, "HERE_SECONDS_MAX", 3_600.0)
    monkeypatch.setattr(pace, "COMMIT_SECONDS_MAX", 3_600.0)
    await desk.set("/v", "old")
    await asyncio.sleep(0)  # writes in one turn of the loop would be company
    monkeypatch.setattr(repository, "run", noted)
    for told, is_here in (
        (("set", "/v", 1), True),
        (("set", "/v", {"a": [1, 2]}), True),
        (("set", "/v", "x" * 2_000), False),
        (("set", "/v", {f"k{number}": number for number in range(1_000)}), False),
        (("move", "/w", "/v"), False),
        (("delete", "/w"), False),
        (("set", "/", {"a": 1}), False),
        (("set", "/__schema__", {"type": "object"}), False),
    ):
        await desk.apply(told)
        await asyncio.sleep(0)
        assert (threads.pop() is threading.current_thread()) is is_here, told
