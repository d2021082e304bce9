"""Verify passes on what the program wrote, and names the object when anything at all is otherwise."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.commits import body_id
from asg_mcp.core.values import decode_trusted, encode
from asg_mcp.repo import verify as verify_module
from asg_mcp.repo.ledger import event_of
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.verify import Problem, VerifyReport
from asg_mcp.storage.base import TermKind
from asg_mcp.storage.rows import Sealer
from asg_mcp.storage.session import commit_identity, term_number
from asg_mcp.storage.sqlite import open_store
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


# --- what agrees with itself, and is not what was written -----------------------


COMMIT_ID = "SELECT id FROM commits WHERE seq = ?"


def script(path: Path, *statements: str) -> None:
    """Run statements that do not tell how many rows they changed."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in statements:
            db.execute(statement)


async def test_a_commit_that_no_event_brought_is_found(copy: Path) -> None:
    seq, old = one(copy, "SELECT new, old FROM events ORDER BY id DESC LIMIT 1")
    damage(copy, "DELETE FROM events WHERE id = (SELECT max(id) FROM events)")
    damage(copy, "UPDATE refs SET seq = ? WHERE name = 'main' AND seq = ?", old, seq)
    found = await problem(copy)
    assert (found.kind, found.what) == ("commit", f"commit {one(copy, COMMIT_ID, seq)[0].hex()[:12]}")


async def test_an_event_that_brings_a_commit_a_second_time_is_found(copy: Path) -> None:
    # A copy of the newest event, with a right leaf: the ref goes from where it is to where it is.
    store = await open_store(copy)
    with store.reading() as reader:
        newest = reader.event(reader.events_count() - 1)
        assert newest is not None
        index = newest.index + 1
        told = replace(newest, index=index, old=newest.new)
        leaf = event_of(reader, told).leaf_hash()
    await store.close()
    columns = "id + 1, kind, ref, ref_kind, new, new, ?, data"
    damage(copy, f"INSERT INTO events SELECT {columns} FROM events WHERE id = ?", leaf, newest.index)
    damage(copy, "INSERT INTO terms (term, seq) VALUES (?, ?)", term_number((TermKind.REF, told.ref)), index)
    found = await problem(copy)
    assert (found.kind, found.what) == ("event", f"event {index}")


@pytest.mark.parametrize("moved_back", [False, True])
async def test_refs_are_compared_with_the_log_while_others_write(
    copy: Path, monkeypatch: pytest.MonkeyPatch, moved_back: bool
) -> None:
    monkeypatch.setattr(verify_module, "CHUNK_ROWS", 7)
    if moved_back:
        damage(copy, "UPDATE refs SET seq = seq - 1 WHERE name = 'side'")
    async with open_repository(copy, create=False) as repo:
        loop = asyncio.get_running_loop()
        written: list[int] = []

        def write_meanwhile(what: str, done: int, total: int) -> None:
            if len(written) < 3 and (what == "events" or done == total):
                asyncio.run_coroutine_threadsafe(Desk(repo).set("/later", done), loop).result(10)
                written.append(done)

        report = await repo.verify(write_meanwhile)
    assert len(written) == 3
    assert [(found.kind, found.what) for found in report.problems] == ([("ref", "side")] if moved_back else [])


async def test_an_emptied_text_index_is_found(copy: Path) -> None:
    script(copy, "INSERT INTO texts (texts) VALUES ('delete-all')")
    found = await problem(copy)
    assert (found.kind, found.what) == ("index", f"commit {one(copy, COMMIT_ID, 1)[0].hex()[:12]}")


async def test_one_commit_that_is_not_in_the_text_index_is_found(copy: Path) -> None:
    script(
        copy,
        "INSERT INTO texts (texts) VALUES ('delete-all')",
        "INSERT INTO texts (rowid, text) SELECT seq, 'The store was created. A change. Undone.'"
        " FROM commits WHERE seq <> 5",
    )
    found = await problem(copy)
    assert (found.kind, found.what) == ("index", f"commit {one(copy, COMMIT_ID, 5)[0].hex()[:12]}")


@pytest.mark.parametrize("text", ["\U0001f600 \u212b ngstr\xf6m \u0130stanbul", "\U0001f600 !", "x" * 900])
async def test_any_description_is_found_in_the_text_index(copy: Path, text: str) -> None:
    async with open_repository(copy, create=False) as repo:
        await Desk(repo).set("/later", 1, description=text)
        assert (await repo.verify(silent)).problems == ()


async def test_a_garbled_reply_is_found(copy: Path) -> None:
    [key] = one(copy, "SELECT id FROM replies")
    damage(copy, "UPDATE replies SET data = x'00'")
    found = await problem(copy)
    assert (found.kind, found.what) == ("store_corrupt", f"reply {key.hex()[:12]}")


async def test_a_reply_that_is_none_under_a_right_checksum_is_found(copy: Path) -> None:
    [key] = one(copy, "SELECT id FROM replies")
    damage(copy, "UPDATE replies SET data = ?", Sealer().seal(encode(["no hex", []]), b"reply" + key))
    assert (await problem(copy)).what == f"reply {key.hex()[:12]}"


def point_elsewhere(path: Path, was: int, row: int) -> None:
    """Let every entry of a stored tree that points at one blob row point at another."""
    changed = 0
    sealer = Sealer()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for number, data in db.execute("SELECT id, data FROM nodes").fetchall():
            parts = decode_trusted(sealer.open(data, b"node%d" % number, "it"))
            blobs = [part for part in parts if type(part) is list and len(part) == 2 and part[0] == was]
            for blob in blobs:
                blob[0] = row
            if blobs:
                sealed = sealer.seal(encode(parts), b"node%d" % number)
                db.execute("UPDATE nodes SET data = ? WHERE id = ?", (sealed, number))
            changed += len(blobs)
    assert changed, "the damage was done"


async def test_an_entry_that_points_at_the_checked_row_of_another_value_is_found(copy: Path) -> None:
    async with open_repository(copy, create=False) as repo:
        await Desk(repo).set("/other", "other " * 700)
    first, last = one(copy, "SELECT min(id), max(id) FROM blobs")
    point_elsewhere(copy, last, first)
    found = await problem(copy)
    assert (found.kind, found.what) == ("value", f"blob {first}")


async def test_a_value_that_is_gone_without_having_been_erased_is_found(copy: Path) -> None:
    point_elsewhere(copy, one(copy, "SELECT min(id) FROM blobs")[0], 0)
    found = await problem(copy)
    assert found.kind == "value"
    assert "gone" in found.message


async def test_texts_that_are_gone_without_having_been_erased_are_found(copy: Path) -> None:
    sealer = Sealer()
    digest, p1, at, root, data = one(copy, "SELECT id, p1, at, root, data FROM commits WHERE seq = 5")
    identity = commit_identity(5, digest, (p1,), at, root)
    parts = decode_trusted(sealer.open(data, identity, "it"))
    parts[11] = bytes(body_id(parts[10], parts[11]))
    damage(copy, "UPDATE commits SET data = ? WHERE seq = 5", sealer.seal(encode(parts), identity))
    found = await problem(copy)
    assert (found.kind, found.what) == ("commit", f"commit {digest.hex()[:12]}")
    assert "gone" in found.message


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("CREATE TRIGGER t AFTER INSERT ON refs BEGIN DELETE FROM refs WHERE name = 'side'; END", "trigger t "),
        ("DROP INDEX commits_id", "index commits_id "),
        ("CREATE TABLE more (x)", "table more "),
        ("CREATE INDEX other ON events (ref)", "index other "),
        ("ALTER TABLE refs ADD COLUMN more", "table refs "),
        ("UPDATE meta SET value = 1 WHERE name = 'counter.row'", "counter.row is 1,"),
        ("INSERT INTO blobs (id, data) VALUES (99999, x'00')", "99999 is in use"),
        ("INSERT INTO meta (name, value) VALUES ('evil', 1)", "row evil of"),
        ("INSERT INTO tiles (level, place, digest) VALUES (8, 0, zeroblob(32))", "Tile 0 of level 8 "),
        ("INSERT INTO tiles (level, place, digest) VALUES (0, 0, x'00')", "Tile 0 of level 0 "),
    ],
)
async def test_another_schema_lowered_counters_and_stray_rows_are_found(copy: Path, statement: str, named: str) -> None:
    script(copy, statement)
    found = await problem(copy)
    assert (found.kind, found.what) == ("database", "file")
    assert named in found.message


async def test_statistics_of_the_query_planner_are_let_be(copy: Path) -> None:
    script(copy, "ANALYZE")
    assert (await verified(copy)).problems == ()
