"""Copies of a store: one moment of it, whole or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from asg_mcp.errors import StorageError, StoreCorrupt, StoreIncompatible
from asg_mcp.repo.marking import Mark, mark_of
from asg_mcp.storage import copies
from asg_mcp.storage.base import Reader
from asg_mcp.storage.connection import connect_still
from asg_mcp.storage.copies import LEFT_SECONDS_MIN, StillStore, copy_store, workplace
from asg_mcp.storage.lock import WriteLock
from asg_mcp.storage.sqlite import open_store
from tests.repo.stores import Made, made_store

WRITES_BETWEEN = 5


def silent(_: str, __: int, ___: int) -> None:
    """Progress that nobody watches."""


def mark_in(path: Path) -> Mark:
    store = StillStore(path)
    with store.reading() as reader:
        mark = mark_of(reader)
    store.shut()
    return mark


def filled(folder: Path, count: int = 40) -> Path:
    async def fill() -> None:
        async with made_store(folder) as made:
            for number in range(count):
                await made.set(f"/k{number}", "text " * 200)

    asyncio.run(fill())
    return folder / "state.db"


async def test_what_is_copied_is_one_moment_whatever_is_written_meanwhile(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        for number in range(50):
            await made.set(f"/k{number}", "text " * 300)
        loop = asyncio.get_running_loop()
        wrote: list[int] = []

        def write_between(step: str, done: int, total: int) -> None:
            """In the middle of the copy, others write and are told that it is durable."""
            assert step == "pages"
            if len(wrote) == WRITES_BETWEEN:
                return
            wrote.append(done)
            asyncio.run_coroutine_threadsafe(made.set("/late", len(wrote)), loop).result(30)

        copies_of = asyncio.to_thread(_copy, made, tmp_path / "copy.db", write_between)
        told = await copies_of
        assert len(wrote) > 1, "it was copied in one step, which proves nothing"
        with made.store.reading() as reader:
            assert mark_of(reader).size == told.size + len(wrote)
    assert mark_in(tmp_path / "copy.db") == told


def _copy(made: Made, to: Path, progress: Callable[[str, int, int], None]) -> Mark:
    copies.STEP_PAGES = 16
    try:
        return copy_store(made.store.path, to, mark_of, progress)
    finally:
        copies.STEP_PAGES = 256


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_copy_is_one_file_for_its_owner_alone_and_reading_it_makes_no_other(tmp_path: Path) -> None:
    path = filled(tmp_path)
    (tmp_path / "there").mkdir()
    copy_store(path, tmp_path / "there" / "copy.db", mark_of, silent)
    (tmp_path / "there" / "copy.db.lock").unlink()
    mark_in(tmp_path / "there" / "copy.db")
    assert os.listdir(tmp_path / "there") == ["copy.db"]
    assert (tmp_path / "there" / "copy.db").stat().st_mode & 0o777 == 0o600


def test_a_copy_is_in_order_and_refuses_to_be_written_to(tmp_path: Path) -> None:
    path = filled(tmp_path)
    copy_store(path, tmp_path / "copy.db", mark_of, silent)
    store = StillStore(tmp_path / "copy.db")
    assert store.integrity() == []
    health = asyncio.run(store.check())
    assert (health.problems, health.file_bytes) == ((), (tmp_path / "copy.db").stat().st_size)
    store.on_forget(lambda: None)
    with pytest.raises(StorageError, match="is a copy"):
        asyncio.run(store.write(lambda writer: None))
    asyncio.run(store.close())
    with pytest.raises(StorageError), store.reading() as reader:
        reader.last_seq()
    assert store.integrity() != []


def test_a_store_with_a_log_of_writes_beside_it_is_copied_with_it(tmp_path: Path) -> None:
    """As the file of a program that was killed is: the newest commits are only in its log."""

    async def leave() -> Mark:
        async with made_store(tmp_path) as made:
            await made.set("/a", 1)
            for suffix in ("", "-wal"):
                shutil.copy(tmp_path / f"state.db{suffix}", tmp_path / f"killed.db{suffix}")
            with made.store.reading() as reader:
                return mark_of(reader)

    mark = asyncio.run(leave())
    assert (tmp_path / "killed.db-wal").stat().st_size > 0
    assert copy_store(tmp_path / "killed.db", tmp_path / "copy.db", mark_of, silent, still=True) == mark
    assert mark_in(tmp_path / "copy.db") == mark


def test_reading_a_store_that_was_only_copied_by_hand_makes_nothing_beside_it(tmp_path: Path) -> None:
    path = filled(tmp_path, 3)
    (tmp_path / "there").mkdir()
    shutil.copy(path, tmp_path / "there" / "older.db")
    seen = []

    def look(reader: Reader) -> Mark:
        found = mark_of(reader)
        seen.extend(os.listdir(tmp_path / "there"))
        return found

    copy_store(tmp_path / "there" / "older.db", tmp_path / "copy.db", look, silent, still=True)
    assert seen == ["older.db"]


@pytest.mark.parametrize("content", [b"", b"Dear diary, " * 100])
def test_what_is_no_store_is_not_copied(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "it").write_bytes(content)
    with pytest.raises(StoreIncompatible):
        copy_store(tmp_path / "it", tmp_path / "copy.db", mark_of, silent, still=True)
    with pytest.raises(StoreIncompatible):
        StillStore(tmp_path / "it")


def test_a_store_without_its_keys_is_no_whole_store(tmp_path: Path) -> None:
    path = filled(tmp_path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM meta WHERE name = 'class_key'")
    with pytest.raises(StoreIncompatible, match="no whole store"):
        StillStore(path)


def test_a_failing_read_of_the_source_is_told_as_ours(tmp_path: Path) -> None:
    path = filled(tmp_path)

    def fail(_: Reader) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    with pytest.raises(StorageError, match="malformed"):
        copy_store(path, tmp_path / "copy.db", fail, silent)
    with closing(connect_still(path)) as still, pytest.raises(sqlite3.OperationalError, match="readonly"):
        still.execute("DELETE FROM refs")


# --- where copies are made --------------------------------------------------------


def test_nothing_is_left_of_a_workplace_whatever_happens_in_it(tmp_path: Path) -> None:
    with pytest.raises(StoreCorrupt), workplace(tmp_path) as made:
        made.write_bytes(b"half")
        assert made.parent.name.startswith(".")
        raise StoreCorrupt("It does not verify")
    assert os.listdir(tmp_path) == []


def test_what_a_killed_copy_left_is_removed_by_the_next_one_unless_it_is_at_work(tmp_path: Path) -> None:
    old = time.time() - 2 * LEFT_SECONDS_MIN
    for name in ("killed", "at-work", "young"):
        folder = tmp_path / f".asg-copy-{name}.part"
        folder.mkdir()
        (folder / "state.db").write_bytes(b"half")
        if name != "young":
            (folder / "alive.lock").write_bytes(b"")
            os.utime(folder, (old, old))
    lock = WriteLock(tmp_path / ".asg-copy-at-work.part" / "alive.lock")
    lock.take(0)
    with workplace(tmp_path):
        names = {file.name for file in tmp_path.iterdir()}
    lock.close()
    assert ".asg-copy-killed.part" not in names
    assert {".asg-copy-at-work.part", ".asg-copy-young.part"} <= names


def test_a_folder_that_cannot_be_written_to_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreIncompatible, match="No copy can be made"), workplace(tmp_path / "file"):
        pass


async def test_a_copy_becomes_a_store_again_with_all_its_settings(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", 1)
        mark = await asyncio.to_thread(copy_store, made.store.path, tmp_path / "copy.db", mark_of, silent)
    store = await open_store(tmp_path / "copy.db")
    try:
        assert (await store.check()).problems == ()
        with store.reading() as reader:
            assert mark_of(reader) == mark
    finally:
        await store.close()
