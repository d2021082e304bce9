"""Neither history nor width makes a write dearer: shown by counting, where `bench/costs.py` shows it by the clock."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.results import BlameEntry
from asg_mcp.storage import session
from asg_mcp.storage.session import SqliteReader

LONG_AGO = 5_000
"""Commits between a change and the question who made it; `bench/costs.py` does it with 50,000."""
CALLERS = 64
SETS = 48
"""Three rounds of delta chains, so that a full row falls on as many sets in both counts."""


@dataclass(slots=True)
class Cost:
    """What some sets took."""

    loads: int = 0
    """Rows of nodes asked for, from the cache or from the file."""
    node_rows: int = 0
    other_rows: int = 0
    data_bytes: int = 0


async def _commit(repository: Repository, agent: str, *operations: Operation) -> str:
    author, intent = Author("tester", agent), Intent(Category.REFINE, "A change among many")
    return (await repository.commit("main", operations, intent, author, Guard())).commit.short


def _set(keys: tuple[str, ...], value: Any) -> Operation:
    return Operation(Op.SET, keys, value)


async def _many(repository: Repository, count: int, width: int = 100) -> None:
    """So many commits to a flat map, by many callers at once."""
    for start in range(0, count, CALLERS):
        batch = range(start, min(start + CALLERS, count))
        sets = [_set(("many", f"key-{number % width:03}"), f"value {number}") for number in batch]
        await asyncio.gather(*(_commit(repository, "crowd", one) for one in sets))


@asynccontextmanager
async def _repository(path: Path) -> AsyncIterator[Repository]:
    async with open_repository(path) as repository:
        yield repository


def _rows(path: Path) -> tuple[int, int, int]:
    """Rows of nodes; bytes of nodes and commits; rows of commits, terms and events."""
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as db:
        (nodes, size), (_, more) = (
            db.execute(f"SELECT count(*), sum(length(data)) FROM {table}").fetchone() for table in ("nodes", "commits")
        )
        others = sum(
            db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in ("commits", "terms", "events")
        )
    db.close()
    return nodes, size + more, others


async def _cost_of_sets(repository: Repository, path: Path, home: str, keys: list[str], counted: list[int]) -> Cost:
    """The cost of SETS sets of existing keys, one after the other."""
    nodes, size, others = _rows(path)
    before = len(counted)
    for number in range(SETS):
        await _commit(repository, "one", _set((home, keys[number * 7 % len(keys)]), f"new {number}"))
    nodes_after, size_after, others_after = _rows(path)
    return Cost(len(counted) - before, nodes_after - nodes, others_after - others, size_after - size)


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The node rows that any reader or writer asks for, as they are asked for."""
    counted: list[int] = []
    load = SqliteReader.load

    def counting(self: SqliteReader, row: int) -> Any:
        counted.append(row)
        return load(self, row)

    monkeypatch.setattr(session.SqliteReader, "load", counting)
    return counted


async def test_a_set_reads_and_writes_no_more_after_a_long_history(tmp_path: Path, loads: list[int]) -> None:
    path = tmp_path / "state.db"
    keys = [f"key-{number:03}" for number in range(100)]
    async with _repository(path) as repository:
        await _many(repository, 500)
        young = await _cost_of_sets(repository, path, "many", keys, loads)
        await _many(repository, LONG_AGO)
        old = await _cost_of_sets(repository, path, "many", keys, loads)
    assert old.loads <= young.loads * 1.3
    assert old.node_rows <= young.node_rows * 1.3
    assert old.data_bytes <= young.data_bytes * 1.3
    assert old.other_rows == young.other_rows


async def test_a_set_in_a_map_a_thousand_times_as_wide_writes_a_few_rows_more_and_no_more(
    tmp_path: Path, loads: list[int]
) -> None:
    costs = []
    for width in (100, 100_000):
        path = tmp_path / f"{width}.db"
        keys = [f"key-{number:06}" for number in range(width)]
        async with _repository(path) as repository:
            await _commit(repository, "loader", _set(("wide",), dict.fromkeys(keys, 0)))
            costs.append(await _cost_of_sets(repository, path, "wide", keys, loads))
    narrow, wide = costs
    # Two to five levels of nodes, depending on the store's salt: a thousand times the width is three levels more.
    assert wide.loads <= narrow.loads * 3
    assert wide.node_rows <= narrow.node_rows * 3
    assert wide.data_bytes <= narrow.data_bytes * 2.5
    assert wide.other_rows == narrow.other_rows


async def test_blame_finds_a_change_and_a_deletion_of_long_ago_without_walking_there(
    tmp_path: Path, loads: list[int]
) -> None:
    async with _repository(tmp_path / "state.db") as repository:
        await _commit(repository, "loader", _set(("old",), {"kept": 1, "dropped": 2}))
        change = await _commit(repository, "night-watch", _set(("old", "kept"), 3))
        deletion = await _commit(repository, "janitor", Operation(Op.DELETE, ("old", "dropped")))
        await _many(repository, LONG_AGO)
        before = len(loads)
        kept = await _blame(repository, "kept")
        assert (kept.commit.agent, kept.commit.id.short, kept.value) == ("night-watch", change, 3)
        dropped = await _blame(repository, "dropped")
        assert (dropped.commit.agent, dropped.commit.id.short, dropped.type) == ("janitor", deletion, "")
        assert len(loads) - before < 100, "nodes of a few states were read, not of thousands"


async def _blame(repository: Repository, key: str) -> BlameEntry:
    (entry,) = (await repository.blame("main", ("old", key), depth=0, history=False, limit=20, cursor="")).entries
    return entry
