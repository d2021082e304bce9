"""A damaged row of the table `meta` is named by whoever opens the store, and nothing is left behind that waits."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.values import encode
from asg_mcp.errors import StoreCorrupt, StoreIncompatible
from asg_mcp.storage import sqlite
from asg_mcp.storage.base import Writer
from asg_mcp.storage.constants import constant_faults
from asg_mcp.storage.copies import StillStore
from asg_mcp.storage.lock import WriteLock
from asg_mcp.storage.rewriting import SHRINK_DUE
from asg_mcp.storage.seeding import Seed, make_store
from asg_mcp.storage.sqlite import open_store
from tests.repo.desk import open_desk

NEEDED = ("store_id", "class_key", "level_salt", "generation", "batch")
OPTIONAL = ("class_pins", "classes", "counter.row", "counter.name")
KEY = b"k" * 32


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of a closed store with something in it."""
    folder = tmp_path_factory.mktemp("written")

    async def make() -> None:
        async with open_desk(folder) as desk:
            await desk.set("/wide", {f"k{number}": number for number in range(40)})

    asyncio.run(make())
    return folder / "state.db"


@pytest.fixture
def copy(written: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copy(written, tmp_path / "state.db")
    return tmp_path / "state.db"


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    """No thread is left that would keep the process from ending."""
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(20)
        assert not thread.is_alive()


def put(path: Path, name: str, value: Any) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def drop(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        assert db.execute("DELETE FROM meta WHERE name = ?", (name,)).rowcount == 1


def rows(path: Path) -> dict[str, Any]:
    with closing(sqlite3.connect(path)) as db:
        return dict(db.execute("SELECT name, value FROM meta"))


async def refused(path: Path, name: str) -> str:
    """Open the store, which must name the row and change nothing; the message."""
    before = rows(path) if name != "undecodable" else {}
    with pytest.raises(StoreCorrupt) as caught:
        await asyncio.wait_for(open_store(path), 20)
    assert name == "undecodable" or f"The row {name} of the table meta" in caught.value.message
    assert "asg-mcp restore FILE" in caught.value.hint
    with pytest.raises(StoreIncompatible, match="no whole store"):
        StillStore(path)
    assert name == "undecodable" or rows(path) == before
    WriteLock(path.with_name("state.db.lock")).close()
    return caught.value.message


@pytest.mark.parametrize("name", [*NEEDED, "counter.row", "counter.name"])
async def test_a_row_that_is_gone_is_named_and_never_made_again(copy: Path, name: str) -> None:
    drop(copy, name)
    assert "is missing" in await refused(copy, name)


@pytest.mark.parametrize("name", [*NEEDED, *OPTIONAL])
@pytest.mark.parametrize("value", ["many", 1.5, "x" * 32])
async def test_a_row_of_another_type_is_named(copy: Path, name: str, value: Any) -> None:
    put(copy, name, value)
    assert "has to be" in await refused(copy, name)


@pytest.mark.parametrize("name", [*NEEDED, *OPTIONAL])
async def test_a_row_of_another_length_or_sign_is_named_and_not_shown(copy: Path, name: str) -> None:
    counted = name in ("generation", "counter.row", "counter.name")
    put(copy, name, -1 if counted else b"\x07")
    assert ("the number -1" if counted else "is 1 byte,") in await refused(copy, name)


@pytest.mark.parametrize("classes", [[["a"]], [["a", [1], False]], [[1, ["a"], False]], [["a", ["b"], 1]], {"a": 1}, 7])
async def test_sensitive_prefixes_that_are_no_list_of_them_are_named(copy: Path, classes: Any) -> None:
    put(copy, "classes", encode(classes))
    await refused(copy, "classes")


async def test_a_text_that_is_no_text_is_told_like_any_other(copy: Path) -> None:
    with closing(sqlite3.connect(copy)) as db, db:
        db.execute("UPDATE meta SET value = CAST(x'FF00FF' AS TEXT) WHERE name = 'class_key'")
    assert "class_key" in await refused(copy, "undecodable")


async def test_all_rows_that_are_damaged_are_named_at_once(copy: Path) -> None:
    for name in NEEDED:
        drop(copy, name)
    message = await refused(copy, "store_id")
    assert all(name in message for name in NEEDED)


async def test_an_empty_store_gets_the_rows_that_it_lacks(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    make_store(path, Seed(KEY, KEY[::-1]))
    store = await open_store(path)
    await store.close()
    assert set(rows(path)) == set(NEEDED)
    assert rows(path)["class_key"] == KEY
    again = await open_store(path)
    await again.close()
    assert again.store_id == store.store_id


@pytest.mark.parametrize(("name", "value", "told"), [("more", 1, "none of a store's"), (SHRINK_DUE, 7, "the number 7")])
async def test_a_row_that_does_no_harm_is_told_and_the_store_opens(
    copy: Path, name: str, value: Any, told: str
) -> None:
    put(copy, name, value)
    store = await open_store(copy)
    try:
        [fault] = store.integrity()
        assert f"The row {name} of the table meta" in fault
        assert told in fault
    finally:
        await store.close()
    drop(copy, name)
    with closing(sqlite3.connect(copy)) as db:
        assert constant_faults(db) == []
        db.execute("INSERT INTO meta (name, value) VALUES (?, 1)", (b"class_key",))
        assert constant_faults(db) == ["The row class_key (a blob) of the table meta is none of a store's"]


async def test_a_row_that_is_damaged_under_an_open_store_fails_what_reads_and_writes_next(copy: Path) -> None:
    def nothing(_: Writer) -> None:
        """Write nothing."""

    store = await open_store(copy)
    try:
        put(copy, "class_key", b"\x07")
        put(copy, "generation", 5)
        with pytest.raises(StoreCorrupt, match="class_key"), store.reading():
            pass
        drop(copy, "generation")
        with pytest.raises(StoreCorrupt, match="generation"):
            await store.write(nothing)
        assert any("class_key" in fault for fault in store.integrity())
    finally:
        await store.close()


async def test_a_counter_that_was_set_back_is_told_as_damage_by_a_write_and_by_the_check(copy: Path) -> None:
    put(copy, "counter.name", 0)
    store = await open_store(copy)
    try:
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match=r"names\.id") as caught:
                await store.write(lambda writer: writer.intern("a new name"))
            assert "asg-mcp verify" in caught.value.hint
        assert any("counter.name is 0" in fault for fault in store.integrity())
    finally:
        await store.close()


async def test_whatever_fails_once_the_file_is_open_leaves_no_thread_and_no_lock(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no store today")

    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "SqliteStore", fail)
        with pytest.raises(RuntimeError, match="no store today"):
            await asyncio.wait_for(open_store(copy), 20)
    assert not copy.with_name("state.db-wal").exists(), "the last close checkpoints"
    lock = WriteLock(copy.with_name("state.db.lock"))
    lock.take(0)
    lock.close()


@pytest.mark.parametrize(("command", "code"), [("verify", 1), ("get", 3)])
def test_a_command_on_a_damaged_store_says_so_and_ends(copy: Path, tmp_path: Path, command: str, code: int) -> None:
    put(copy, "class_key", b"\x00")
    ran = subprocess.run(
        [sys.executable, "-m", "asg_mcp", command, "--db", str(copy)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "ASG_STATE": str(tmp_path / "state")},
    )
    assert ran.returncode == code
    assert "The row class_key of the table meta is 1 byte" in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stderr
