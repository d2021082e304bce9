"""Verify passes on what the program wrote, and names the object when anything at all is otherwise."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.values import decode_trusted, encode
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.verify import Problem, VerifyReport
from asg_mcp.storage.base import TermKind
from asg_mcp.storage.rows import Sealer
from asg_mcp.storage.session import term_number
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import BOB


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a closed store with all kinds of rows in it."""
    folder = tmp_path_factory.mktemp("written")
    asyncio.run(fill(folder))
    return folder


async def fill(folder: Path) -> None:
    async with open_desk(folder) as desk:
        await desk.set("/wide", {f"k{number}": number for number in range(150)})
        await desk.set("/text", "long " * 700)
        for number in range(25):
            await desk.set(f"/wide/k{number % 7}", {"n": number}, author=BOB)
        await desk.apply(("set", "/l", [1, {"x": 2}, 3]), ("insert", "/l/1", "new"), ("set", "/tmp", "gone " * 600))
        await desk.apply(("delete", "/tmp"), ("move", "/m", "/l/0"))
        await desk.branch("side")
        await desk.apply(("set", "/once", "over " * 600), ("set", "/once", 1), ref="side")
        await desk.branch("v1", kind="tag")
        await desk.branch("short")
        await desk.repo.delete_branch("short", BOB)
        await desk.revert("main")
        await desk.apply(request_id="r-1")


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """A copy of that store, to be damaged."""
    shutil.copy(written / "state.db", tmp_path / "state.db")
    return tmp_path / "state.db"


async def verified(path: Path) -> VerifyReport:
    async with open_repository(path, create=False) as repo:
        return await repo.verify(silent)


async def problem(path: Path) -> Problem:
    """What verify finds wrong; it must find something."""
    report = await verified(path)
    assert not report.ok
    [found] = report.problems
    return found


def damage(path: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute(sql, values).rowcount == 1, "the damage was done"


def one(path: Path, sql: str, *values: Any) -> Any:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql, values).fetchone()


async def test_a_store_as_it_was_written_is_in_order(written: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    async with open_repository(written / "state.db", create=False) as repo:
        report = await repo.verify(lambda *told: seen.append(told))
    assert report.problems == ()
    assert report.ok
    counts = report.counts
    assert counts["commits"] == one(written / "state.db", "SELECT count(*) FROM commits")[0]
    assert counts["nodes"] == one(written / "state.db", "SELECT count(*) FROM nodes")[0]
    assert counts["values"] == one(written / "state.db", "SELECT count(*) FROM blobs")[0]
    assert counts["events"] == one(written / "state.db", "SELECT count(*) FROM events")[0]
    assert counts["refs"] == 3
    assert counts["operations"] > counts["commits"]
    assert seen == [("commits", counts["commits"], counts["commits"]), ("events", counts["events"], counts["events"])]


COLUMNS = [
    ("nodes", "id", "data", "node"),
    ("blobs", "id", "data", "blob"),
    ("commits", "seq", "data", "commit"),
    ("commits", "seq", "id", "commit"),
    ("events", "id", "leaf", "event"),
    ("events", "id", "data", "event"),
]


@pytest.mark.parametrize("seed", range(4))
async def test_any_flipped_bit_of_a_stored_row_is_found_and_its_row_named(
    written: Path, tmp_path: Path, seed: int
) -> None:
    rng = random.Random(seed)
    path = tmp_path / "state.db"
    shutil.copy(written / "state.db", path)
    async with open_repository(path, create=False) as repo:
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            for _ in range(50):
                table, key, column, kind = rng.choice(COLUMNS)
                rows = db.execute(f"SELECT {key}, {column} FROM {table} WHERE {column} IS NOT NULL").fetchall()
                number, data = rng.choice(rows)
                flipped = bytearray(data)
                flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (bytes(flipped), number))
                report = await repo.verify(silent)
                assert not report.ok, (table, column, number)
                what = report.problems[0].what
                assert what.startswith(kind), (table, column, number, report.problems)
                if kind in ("node", "blob"):
                    assert what == f"{kind} {number}"
                db.execute(f"UPDATE {table} SET {column} = ? WHERE {key} = ?", (data, number))
            assert (await repo.verify(silent)).ok


def reseal(path: Path, table: str, number: int, change: Callable[[list[Any]], None]) -> None:
    """Change the contents of a node or blob row and give it a right checksum again."""
    sealer, kind = Sealer(), table.removesuffix("s")
    identity = f"{kind}{number}".encode()
    parts = decode_trusted(sealer.open(one(path, f"SELECT data FROM {table} WHERE id = ?", number)[0], identity, "it"))
    change(parts)
    damage(path, f"UPDATE {table} SET data = ? WHERE id = ?", sealer.seal(encode(parts), identity), number)


def newest_leaf_delta(path: Path) -> int:
    sealer = Sealer()
    with closing(sqlite3.connect(path)) as db:
        for number, data in db.execute("SELECT id, data FROM nodes ORDER BY id DESC"):
            parts = decode_trusted(sealer.open(data, b"node%d" % number, "it"))
            if parts[0] == 2 and len(parts) > 5:  # it brings an entry, and does not only take some away
                return int(number)
    raise AssertionError("no leaf delta")


async def test_a_wrong_origin_under_a_right_checksum_is_found(copy: Path) -> None:
    number = newest_leaf_delta(copy)

    def older(parts: list[Any]) -> None:
        parts[9] -= 1

    reseal(copy, "nodes", number, older)
    found = await problem(copy)
    assert found.kind == "node"


async def test_another_value_under_a_right_checksum_is_found(copy: Path) -> None:
    number = one(copy, "SELECT min(id) FROM blobs")[0]
    reseal(copy, "blobs", number, lambda parts: parts.__setitem__(0, "another text"))
    found = await problem(copy)
    assert (found.kind, found.what) == ("value", f"blob {number}")


async def test_a_value_that_only_operations_hold_is_checked_too(copy: Path) -> None:
    # "/once" was set twice in one commit: no tree has its first value.
    with closing(sqlite3.connect(copy)) as db:
        numbers = [number for (number,) in db.execute("SELECT id FROM blobs ORDER BY id")]
    sealer = Sealer()
    for number in numbers:
        text = decode_trusted(
            sealer.open(one(copy, "SELECT data FROM blobs WHERE id = ?", number)[0], b"blob%d" % number, "")
        )
        if text[0].startswith("over"):
            reseal(copy, "blobs", number, lambda parts: parts.__setitem__(0, "another"))
            assert (await problem(copy)).what == f"blob {number}"
            return
    raise AssertionError("the value is stored")


@pytest.mark.parametrize(
    ("sql", "kind", "what"),
    [
        ("UPDATE refs SET seq = seq - 1 WHERE name = 'main'", "ref", "main"),
        ("UPDATE refs SET kind = 0 WHERE name = 'v1'", "ref", "v1"),
        ("DELETE FROM refs WHERE name = 'side'", "ref", "side"),
        ("INSERT INTO refs (name, kind, seq) VALUES ('ghost', 0, 1)", "ref", "ghost"),
        ("DELETE FROM events WHERE id = 4", "event", "event 4"),
        ("DELETE FROM events WHERE id = (SELECT max(id) FROM events)", "ref", "main"),
        ("UPDATE events SET new = new - 1 WHERE id = 4", "event", "event 4"),
        ("UPDATE events SET kind = 77 WHERE id = 4", "event", "event 4"),
        ("UPDATE events SET kind = 0 WHERE id = 4", "event", "event 4"),
        ("UPDATE events SET ref_kind = 5 WHERE id = 4", "event", "event 4"),
        ("UPDATE names SET text = 'mallory' WHERE text = 'fixer'", "commit", None),
        ("UPDATE names SET text = '' WHERE text = 'fixer'", "commit", None),
        ("UPDATE names SET text = 'maim' WHERE text = 'main'", "event", "event 0"),
        ("UPDATE commits SET at = at + 1 WHERE seq = 3", "store_corrupt", None),
        ("UPDATE commits SET p1 = 1 WHERE seq = 5", "store_corrupt", None),
        ("UPDATE commits SET root = 1 WHERE seq = 5", "store_corrupt", None),
        ("DELETE FROM commits WHERE seq = 5", "store_corrupt", "commit 5"),
        ("DELETE FROM nodes WHERE id = 3", "store_corrupt", "node 3"),
        ("DELETE FROM blobs WHERE id = (SELECT min(id) FROM blobs)", "store_corrupt", None),
    ],
)
async def test_rows_that_were_changed_by_hand_are_found(copy: Path, sql: str, kind: str, what: str | None) -> None:
    damage(copy, sql)
    found = await problem(copy)
    assert found.kind == kind, found
    assert what is None or found.what == what


@pytest.mark.parametrize(
    ("term", "number"),
    [
        ((TermKind.AGENT, "fixer"), 7),
        ((TermKind.PATH, "/text"), 3),
        ((TermKind.SESSION, "s-1"), 9),
        ((TermKind.REF, "main"), 4),
    ],
)
async def test_a_missing_index_row_is_found(copy: Path, term: tuple[TermKind, str], number: int) -> None:
    damage(copy, "DELETE FROM terms WHERE term = ? AND seq = ?", term_number(term), number)
    found = await problem(copy)
    assert found.kind == "index"
    assert term[1] in found.message


@pytest.mark.parametrize("name", ["class_key", "level_salt"])
async def test_another_key_of_the_store_is_found(copy: Path, name: str) -> None:
    damage(copy, "UPDATE meta SET value = ? WHERE name = ?", b"x" * 32, name)
    assert (await problem(copy)).what.startswith(("commit", "node"))


@asynccontextmanager
async def warm(path: Path) -> AsyncIterator[Repository]:
    async with open_repository(path, create=False) as repo:
        desk = Desk(repo)
        await desk.value()
        await desk.log()
        yield repo


async def test_a_process_that_remembers_the_right_rows_still_checks_the_stored_ones(copy: Path) -> None:
    async with warm(copy) as repo:
        number, data = one(copy, "SELECT id, data FROM nodes ORDER BY id DESC LIMIT 1")
        damage(copy, "UPDATE nodes SET data = ? WHERE id = ?", data[:-1] + bytes([data[-1] ^ 1]), number)
        report = await repo.verify(silent)
        assert report.problems[0].what == f"node {number}"


async def test_others_may_write_meanwhile(copy: Path) -> None:
    async with open_repository(copy, create=False) as repo:
        report = await repo.verify(silent)
        await Desk(repo).set("/later", 1)
        assert report.ok
        assert (await repo.verify(silent)).ok
