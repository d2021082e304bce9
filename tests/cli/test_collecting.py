"""`gc`: told first, done with --yes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author
from asg_mcp.errors import StoreBusy
from asg_mcp.storage.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.repo.test_collecting import LARGE, Yard

AUTHOR = Author("local:tester", "night-watch")


def _trials(path: Path, count: int = 1) -> list[str]:
    """Speculations that were tried and discarded; the ids of what was tried."""

    async def work() -> list[str]:
        async with open_repository(path, create=False) as repository:
            return [await Yard(repository).trial(f"{number} {LARGE}", author=AUTHOR) for number in range(count)]

    return asyncio.run(work())


@pytest.fixture
def tried(store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of what was tried in a speculation of the store."""

    async def drop(self: Yard, handle: str, lesson: str = "", **_: Any) -> Any:
        return await self.repo.speculations.discard(handle, lesson, AUTHOR)

    async def attempt(self: Yard, handle: str, *told: Any, **_: Any) -> Any:
        return await super(Yard, self).attempt(handle, *told, author=AUTHOR)

    monkeypatch.setattr(Yard, "drop", drop)
    monkeypatch.setattr(Yard, "attempt", attempt, raising=False)
    return _trials(store)[0]


def _gc(run: Run, store: Path, *options: str) -> Any:
    return run("gc", "--db", str(store), *options)


def test_it_only_tells_what_it_would_do_unless_told_to_do_it(run: Run, store: Path, tried: str) -> None:
    ran = _gc(run, store, "--grace", "0")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Would take away from ")
    assert "1 commit of an ended speculation" in ran.out
    assert tried[:12] in ran.out
    assert ran.out.endswith("Make a backup, then run it again with --yes to do it.\n")
    assert run("get", "/tried", "--ref", tried, "--db", str(store)).code == 0


def test_with_yes_it_is_done_and_the_file_is_smaller(run: Run, store: Path, tried: str) -> None:
    ran = _gc(run, store, "--grace", "0", "--yes", "--reason", "Spring cleaning.")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Took away from ")
    assert " before, " in ran.out
    gone = run("get", "/tried", "--ref", tried, "--db", str(store))
    assert gone.code == 1
    assert "was taken away by gc" in gone.err
    assert "Explore: (gc took away what it held)" in run("log", "--ref", tried, "--db", str(store)).out
    assert run("verify", "--db", str(store)).code == 0
    assert _gc(run, store, "--grace", "0").out.startswith("Nothing to take away: ")


def test_the_grace_period_spares_what_ended_lately_and_says_so(run: Run, store: Path, tried: str) -> None:
    ran = _gc(run, store)
    assert ran.out.startswith("Nothing to take away: ")
    assert "what ended within the last 14d: speculations and branches, 1 in all" in ran.out
    assert tried[:12] not in ran.out


def test_json_tells_all_of_it(run: Run, store: Path, tried: str) -> None:
    told = _gc(run, store, "--grace", "0", "--json").document
    assert (told["rehearsal"], told["grace_seconds"], told["prune"]) == (True, 0, False)
    assert told["commits"] == {"tried": 1, "unreached": 0}
    assert told["newest"][0]["commit"] == tried
    assert told["file_bytes"] is None
    done = _gc(run, store, "--grace", "0", "--json", "--yes").document
    assert done["file_bytes"]["after"] <= done["file_bytes"]["before"]
    assert (done["nodes"], done["values"], done["bytes"]) == (told["nodes"], told["values"], told["bytes"])


def test_deleted_branches_go_with_prune_and_the_room_stays_without_shrinking(run: Run, store: Path) -> None:
    async def drop() -> None:
        async with open_repository(store, create=False) as repository:
            await Yard(repository).dropped()

    asyncio.run(drop())
    assert _gc(run, store, "--grace", "0").out.startswith("Nothing to take away: ")
    ran = _gc(run, store, "--grace", "0", "--prune", "--yes", "--no-shrink")
    assert "1 commit that only a deleted branch held" in ran.out
    assert " before, " not in ran.out


def test_a_long_list_names_the_newest_and_counts_the_rest(run: Run, store: Path, tried: str) -> None:
    assert tried
    _trials(store, 24)
    ran = _gc(run, store, "--grace", "0")
    assert "25 commits of ended speculations" in ran.out
    assert "… and 5 more" in ran.out


def test_a_file_that_stays_large_is_warned_of_and_is_a_failure(
    run: Run, store: Path, tried: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_: SqliteStore) -> tuple[int, int]:
        raise StoreBusy("Others read for too long")

    monkeypatch.setattr(SqliteStore, "shrink", busy)
    ran = _gc(run, store, "--grace", "0", "--yes")
    assert ran.code == 1
    assert "the file stays as large as it was. Others read for too long" in ran.err
    assert tried[:12] in ran.out


@pytest.mark.parametrize("grace", ["soon", "-1", "9999999999w"])
def test_what_is_no_grace_period_is_not_understood(run: Run, store: Path, grace: str) -> None:
    ran = _gc(run, store, f"--grace={grace}")
    assert ran.code == 2
    assert "14d" in ran.err


def test_a_store_that_is_not_there_is_not_made(run: Run, tmp_path: Path) -> None:
    ran = _gc(run, tmp_path / "none.db", "--yes")
    assert ran.code == 3
    assert not (tmp_path / "none.db").exists()
