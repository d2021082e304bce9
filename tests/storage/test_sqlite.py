"""The SQLite backend: what a batch leaves when parts of it, or all of it, fail."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.operations import Op
from asg_mcp.core.values import encode
from asg_mcp.errors import (
    AsgError,
    Conflict,
    InvalidValue,
    StorageError,
    StoreBusy,
    StoreCorrupt,
    StoreFull,
    StoreIncompatible,
    UnknownOutcome,
)
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.results import WriteResult
from asg_mcp.repo.transaction import Request, checked_operations, create_store, run
from asg_mcp.storage import sqlite, thread
from asg_mcp.storage.base import Ref, RefKind, Writer
from asg_mcp.storage.connection import SETTINGS, connect_reader, connect_writer
from asg_mcp.storage.schema import APPLICATION_ID, MIGRATIONS
from asg_mcp.storage.sqlite import SqliteStore, open_store
from tests.repo.stores import ALICE, WHY, Made, made_store, operation
from tests.storage.faulty import Connection, cannot_reopen

Work = Callable[[Writer], Any]

END_SECONDS_MAX = 30.0
"""Bounds what would never end if the store were wrong."""


def setting(made: Made, path: str, value: Any) -> Work:
    """A transaction that sets one path."""
    request = Request("main", checked_operations([operation(Op.SET, path, value)]), WHY, ALICE, Guard())
    return lambda writer: run(writer, made.hasher, request)


def document(store: SqliteStore) -> Any:
    """What main holds, read from the file."""
    with store.reading(stored=True) as reader:
        ref = reader.ref("main")
        assert ref is not None
        state = state_at(reader, store.hasher, reader.commit(ref.seq))
        return state.value(state.root())


async def together(made: Made, *works: Work) -> list[Any]:
    """Transactions that wait at the same time; answers and errors."""
    return await asyncio.gather(*map(made.store.write, works), return_exceptions=True)


async def traced(made: Made) -> list[str]:
    """The statements that the writer runs from now on."""
    statements: list[str] = []
    await made.store._thread.run(lambda db: db.set_trace_callback(statements.append))
    return statements


# --- batches ------------------------------------------------------------------


async def test_transactions_that_wait_together_share_one_durable_commit(made: Made) -> None:
    statements = await traced(made)
    answers = await together(made, *[setting(made, f"/k{number}", number) for number in range(64)])
    assert statements.count("COMMIT") == 1
    assert statements.count("BEGIN IMMEDIATE") == 1
    assert len({answer.commit for answer in answers}) == 64
    assert document(made.store) == {f"k{number}": number for number in range(64)}


async def test_more_than_a_batch_of_waiting_writers_are_all_kept(made: Made) -> None:
    statements = await traced(made)
    await together(made, *[setting(made, f"/k{number}", number) for number in range(130)])
    assert statements.count("COMMIT") == 3
    assert document(made.store) == {f"k{number}": number for number in range(130)}


async def test_a_refused_transaction_leaves_nothing_and_those_beside_it_stay(made: Made) -> None:
    def refused(writer: Writer) -> None:
        setting(made, "/half", "done")(writer)
        raise InvalidValue("no")

    first, error, last = await together(made, setting(made, "/a", 1), refused, setting(made, "/b", 2))
    assert isinstance(error, InvalidValue)
    assert document(made.store) == {"a": 1, "b": 2}
    with made.store.reading() as reader:
        assert reader.last_seq() == 3
        assert reader.events_count() == 3
        assert [reader.commit(seq).id for seq in (2, 3)] == [first.commit, last.commit]


async def test_an_error_of_the_program_inside_a_batch_belongs_to_its_transaction_alone(made: Made) -> None:
    def faulty(writer: Writer) -> None:
        row = writer.next_row()
        writer.put_blob(row, b"\x80")
        writer.put_blob(row, b"\x80")  # the same row twice: found only when it is written

    first, error, last = await together(made, setting(made, "/a", 1), faulty, setting(made, "/b", 2))
    assert isinstance(error, StorageError)
    assert isinstance(first, WriteResult)
    assert isinstance(last, WriteResult)
    assert document(made.store) == {"a": 1, "b": 2}


async def test_a_fault_while_writing_is_never_taken_for_success(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any) -> None:
        raise AssertionError("BUG: made for this test")

    with monkeypatch.context() as patched:
        patched.setattr("asg_mcp.storage.session.SqliteWriter.flush", broken)
        answers = await together(made, setting(made, "/a", 1), setting(made, "/b", 2))
    assert [type(answer) for answer in answers] == [AssertionError, AssertionError]
    assert document(made.store) == {}
    await made.set("/c", 3)
    assert document(made.store) == {"c": 3}


class Stopped(BaseException):
    """What ends a thread from outside, such as SystemExit."""


async def test_a_writer_that_is_stopped_acknowledges_nothing_and_the_next_write_is_served(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_: Any) -> None:
        raise Stopped

    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
    with monkeypatch.context() as patched:
        patched.setattr("asg_mcp.storage.sqlite.SqliteStore._stage", stopped)
        with pytest.raises(UnknownOutcome):
            await made.set("/a", 1)
    assert [type(error) for error in told] == [Stopped], "whoever runs the loop learns of it"
    await made.set("/b", 2)
    assert document(made.store) == {"b": 2}


async def test_a_store_that_is_closed_while_writes_wait_writes_them_first(made: Made) -> None:
    waiting = [asyncio.ensure_future(made.store.write(setting(made, f"/k{n}", n))) for n in range(3)]
    await asyncio.sleep(0)  # they queue
    await made.store.close()
    assert [write.done() for write in waiting] == [True] * 3
    await asyncio.gather(*waiting)
    reopened = await open_store(made.store.path)
    try:
        assert document(reopened) == {"k0": 0, "k1": 1, "k2": 2}
    finally:
        await reopened.close()


def test_an_event_loop_that_ends_with_a_write_under_way_leaves_a_store_that_serves_the_next_loop(
    tmp_path: Path,
) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(_: Writer) -> None:
        began.set()
        assert go_on.wait(END_SECONDS_MAX)

    async def first() -> SqliteStore:
        store = await open_store(tmp_path / "state.db")
        abandoned.append(asyncio.ensure_future(store.write(slow)))
        assert await asyncio.to_thread(began.wait, END_SECONDS_MAX)
        return store

    async def second(store: SqliteStore) -> None:
        async with asyncio.timeout(END_SECONDS_MAX):
            assert await store.write(lambda writer: writer.last_seq()) == 0
            await store.close()

    abandoned: list[asyncio.Future[None]] = []
    store = asyncio.run(first())
    assert abandoned[0].cancelled()
    go_on.set()
    asyncio.run(second(store))


async def test_a_ref_that_is_not_as_it_was_read_is_not_moved(made: Made) -> None:
    stale = Ref("main", RefKind.BRANCH, 1)
    await made.set("/a", 1)
    with pytest.raises(Conflict):
        await made.store.write(lambda writer: writer.swap_ref(stale, Ref("main", RefKind.BRANCH, 1)))
    with pytest.raises(Conflict):
        await made.store.write(lambda writer: writer.swap_ref(None, Ref("main", RefKind.BRANCH, 1)))
    with pytest.raises(Conflict):
        await made.store.write(lambda writer: writer.swap_ref(Ref("gone", RefKind.BRANCH, 1), None))
    assert document(made.store) == {"a": 1}


async def test_a_row_number_is_not_given_out_again_when_its_row_is_deleted_or_its_transaction_refused(
    made: Made,
) -> None:
    numbers: list[int] = []

    def take(writer: Writer) -> None:
        numbers.append(writer.next_row())
        writer.put_blob(numbers[-1], encode(["x"]))

    def refused(writer: Writer) -> None:
        take(writer)
        raise InvalidValue("no")

    await together(made, take, refused, take)
    await made.store._thread.run(lambda db: db.execute("DELETE FROM blobs WHERE id = ?", (numbers[-1],)))
    await made.store.write(take)
    assert numbers == sorted(set(numbers))


async def test_waiting_writers_of_many_callers_that_go_away_leave_the_others_alone(made: Made) -> None:
    tasks = [asyncio.create_task(made.store.write(setting(made, f"/k{number}", number))) for number in range(20)]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    await asyncio.wait(tasks)
    kept = document(made.store)
    assert all(kept[f"k{number}"] == number for number in range(1, 20, 2))
    await made.set("/after", True)


# --- a COMMIT that fails ------------------------------------------------------


async def test_a_commit_that_failed_and_is_not_in_the_file_is_refused(failing: Made) -> None:
    await failing.set("/a", 1)
    Connection.plan = ["before"]
    with pytest.raises(StorageError, match="disk I/O error") as caught:
        await failing.set("/b", 2)
    assert not isinstance(caught.value, UnknownOutcome)
    assert document(failing.store) == {"a": 1}
    await failing.set("/c", 3)
    assert document(failing.store) == {"a": 1, "c": 3}


async def test_a_commit_that_was_reported_failed_and_is_in_the_file_is_acknowledged(failing: Made) -> None:
    Connection.plan = ["after"]
    answers = await together(failing, setting(failing, "/a", 1), setting(failing, "/b", 2))
    with failing.store.reading() as reader:
        assert [answer.commit for answer in answers] == [reader.commit(2).id, reader.commit(3).id]
    assert document(failing.store) == {"a": 1, "b": 2}


async def test_a_transaction_refused_in_a_batch_whose_commit_fails_keeps_its_own_error(failing: Made) -> None:
    def refused(writer: Writer) -> None:
        raise InvalidValue("no")

    for how in ("before", "after"):
        Connection.plan = [how]
        answers = await together(failing, setting(failing, f"/{how}", 1), refused)
        assert isinstance(answers[1], InvalidValue)
    assert document(failing.store) == {"after": 1}


async def test_nothing_of_a_failed_commit_is_left_in_memory(failing: Made) -> None:
    Connection.plan = ["before"]
    lost = await together(failing, setting(failing, "/new", "long " * 600), setting(failing, "/later", 1))
    assert [type(answer) for answer in lost] == [StorageError, StorageError]
    # The numbers of rows, names and commits are given out again, to others.
    kept = await failing.set("/other", "text " * 600)
    with failing.store.reading() as reader:
        assert reader.commit(2).id == kept.commit
        assert reader.last_seq() == 2
        state = state_at(reader, failing.hasher, reader.commit(2))
        assert state.value(state.root()) == {"other": "text " * 600}


async def test_an_outcome_that_cannot_be_looked_up_is_called_unknown_and_the_writer_recovers(
    failing: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    Connection.plan = ["after"]
    with monkeypatch.context() as patched:
        patched.setattr(thread.WriterThread, "reopen", cannot_reopen)
        with pytest.raises(UnknownOutcome):
            await failing.set("/a", 1)
    await failing.set("/b", 2)
    assert document(failing.store) == {"a": 1, "b": 2}


async def test_a_full_disk_refuses_the_write_whole_and_works_again_after(made: Made) -> None:
    await made.set("/a", 1)
    pages = (await made.store._thread.run(lambda db: db.execute("PRAGMA page_count").fetchone()))[0]
    await made.store._thread.run(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 2}").fetchall())
    large = {f"k{number}": os.urandom(2_000).hex() for number in range(40)}
    small, full = await together(made, setting(made, "/small", 1), setting(made, "/large", large))
    assert isinstance(full, StoreFull)
    assert isinstance(small, WriteResult), "what fits is retried alone"
    assert document(made.store) == {"a": 1, "small": 1}
    await made.store._thread.run(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchall())
    await made.set("/large", large)
    assert document(made.store) == {"a": 1, "small": 1, "large": large}
    assert made.store.integrity() == []


# --- the lock among processes --------------------------------------------------

HOLDER = """
import portalocker, sys
file = open(sys.argv[1], "a+b")
portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE)
print("held", flush=True)
sys.stdin.read()
"""


def hold(path: Path) -> subprocess.Popen[str]:
    """Another process that holds the write lock of the store in this file until its input ends."""
    lock = str(path) + ".lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, lock], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


async def test_a_write_that_does_not_get_the_lock_in_time_is_refused_unwritten(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made.set("/a", 1)
    with hold(made.store.path) as holder:
        monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS_MAX", 0.1)
        with pytest.raises(StoreBusy, match="lock"):
            await made.set("/b", 2)
        monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS_MAX", 60)
        later = asyncio.create_task(made.set("/c", 3))
        await asyncio.sleep(0)
        holder.communicate()
    await later
    assert document(made.store) == {"a": 1, "c": 3}


async def test_a_lock_that_cannot_be_had_at_all_is_an_error_and_no_success(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Any) -> None:
        raise StoreBusy("the file system has no locks")

    with monkeypatch.context() as patched:
        patched.setattr("asg_mcp.storage.lock.WriteLock.__enter__", refuse)
        with pytest.raises(StoreBusy):
            await made.set("/a", 1)
    assert document(made.store) == {}


async def test_opening_waits_for_the_lock_no_longer_than_a_write(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS_MAX", 0.1)
    with hold(made.store.path) as holder:
        with pytest.raises(StoreBusy):
            await open_store(made.store.path)
        holder.communicate()


async def test_a_database_held_by_another_program_is_busy_and_not_broken(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made.store._thread.run(lambda db: db.execute("PRAGMA busy_timeout = 1").fetchall())
    other = sqlite3.connect(made.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreBusy):
        await made.set("/a", 1)
    other.close()
    await made.set("/b", 2)
    assert document(made.store) == {"b": 2}


# --- files ----------------------------------------------------------------------


async def test_another_programs_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE things (name)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreIncompatible, match="another program"):
        await open_store(path)
    assert path.read_bytes() == before


async def test_an_empty_database_that_bears_another_programs_mark_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("PRAGMA application_id = 1196444487")
    other.close()
    with pytest.raises(StoreIncompatible, match="another program"):
        await open_store(path)


async def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    newer.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    newer.close()
    with pytest.raises(StoreIncompatible, match="layout"):
        await open_store(path)


@pytest.mark.parametrize("name", ["folder", "text", "file/below"])
async def test_what_is_no_database_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "text").write_text("Dear diary, " * 100)
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreIncompatible):
        await open_store(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
async def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        path = made.store.path
    path.chmod(0)
    with pytest.raises(StoreIncompatible):
        await open_store(path)


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
async def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    store = await open_store(tmp_path / "new" / "deep" / "state.db")
    try:
        await store.write(lambda writer: create_store(writer, store.hasher, "main", ALICE))
        modes = {file.name: file.stat().st_mode & 0o777 for file in store.path.parent.iterdir()}
        assert modes == dict.fromkeys(["state.db", "state.db-shm", "state.db-wal", "state.db.lock"], 0o600)
        assert store.path.parent.stat().st_mode & 0o777 == 0o700
        store.path.chmod(0o644)
        assert any("chmod 600" in problem for problem in (await store.check()).problems)
    finally:
        await store.close()


async def test_the_settings_of_the_writer_are_those_that_were_asked_for(made: Made) -> None:
    def read(db: sqlite3.Connection) -> dict[str, object]:
        return {name: db.execute(f"PRAGMA {name}").fetchone()[0] for name in SETTINGS}

    assert await made.store._thread.run(read) == SETTINGS
    assert (await made.store.check()).problems == ()
    await made.store._thread.run(lambda db: db.execute("PRAGMA synchronous = 0"))
    assert (await made.store.check()).problems == ("the setting synchronous = 0",)


async def test_a_setting_that_does_not_take_refuses_the_file(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SETTINGS, "synchronous", 7)
    with pytest.raises(StoreIncompatible, match="synchronous"):
        connect_writer(made.store.path)


async def test_reading_connections_cannot_write(made: Made) -> None:
    connection = connect_reader(made.store.path)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM refs")
    connection.close()


async def test_closing_writes_the_log_back_into_the_file_and_refuses_what_comes_later(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", 1)
        store = made.store
        wal = tmp_path / "state.db-wal"
        assert wal.stat().st_size > 0
    assert not wal.exists()
    with pytest.raises(StorageError, match="closed"):
        await store.write(lambda writer: None)
    with pytest.raises(StorageError, match="closed"), store.reading():
        pass
    await store.close()
    again = await open_store(store.path)
    assert document(again) == {"a": 1}
    await again.close()


async def test_a_file_has_one_lock_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with made_store(tmp_path) as made:
        link = tmp_path / "link.db"
        link.symlink_to(made.store.path)
        with hold(made.store.path) as holder:
            monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS_MAX", 0.1)
            with pytest.raises(StoreBusy):
                await open_store(link)
            holder.communicate()


async def test_closing_does_not_wait_for_ever_for_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", 1)
        with hold(made.store.path) as holder:
            monkeypatch.setattr(sqlite, "LOCK_WAIT_SECONDS_MAX", 0.1)
            await made.store.close()
            holder.communicate()
    again = await open_store(tmp_path / "state.db")
    assert document(again) == {"a": 1}
    await again.close()


async def test_closing_finishes_what_waits(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        waiting = [asyncio.create_task(made.set(f"/k{number}", number)) for number in range(70)]
        await asyncio.sleep(0)
    await asyncio.gather(*waiting)
    again = await open_store(tmp_path / "state.db")
    assert len(document(again)) == 70
    await again.close()


OPENED: list[tuple[str, int]] = []
WATCHED: list[str] = []


def _audit(event: str, given: tuple[Any, ...]) -> None:
    if event == "open" and WATCHED and str(given[0]).startswith(WATCHED[0]):
        OPENED.append((str(given[0]), given[2]))


async def test_python_never_opens_the_database_files_itself(tmp_path: Path) -> None:
    # Closing such a handle would drop SQLite's locks. Making a file that is not there (O_EXCL) is no such case.
    sys.addaudithook(_audit)
    WATCHED[:] = [str(tmp_path / "state.db")]
    try:
        for _ in range(2):
            async with made_store(tmp_path) as made:
                await made.set("/a", "text " * 600)
                document(made.store)
                await made.store.check()
                made.store.integrity()
    finally:
        WATCHED.clear()
    names = {name.removeprefix(str(tmp_path)) for name, flags in OPENED if not flags & os.O_EXCL}
    assert names == {"/state.db.lock"}


# --- rows -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "what"),
    [("nodes", "node"), ("blobs", "blob"), ("commits", "commit")],
)
async def test_a_flipped_bit_is_found_on_reading_and_named(made: Made, table: str, what: str) -> None:
    await made.set("/a", "long " * 600)
    await made.apply([operation(Op.SET, "/b", 1)], author=ALICE)
    key = "seq" if table == "commits" else "id"

    def flip(db: sqlite3.Connection) -> int:
        row: int
        row, data = db.execute(f"SELECT {key}, data FROM {table} ORDER BY {key} DESC LIMIT 1").fetchone()
        damaged = bytearray(data)
        damaged[-1] ^= 1
        db.execute(f"UPDATE {table} SET data = ? WHERE {key} = ?", (bytes(damaged), row))
        return row

    row = await made.store._thread.run(flip)
    reads: dict[str, Callable[[Any], Any]] = {
        "node": lambda reader: reader.load(row),
        "blob": lambda reader: reader.blob(row),
        "commit": lambda reader: reader.commit(row),
    }
    with made.store.reading(stored=True) as reader, pytest.raises(StoreCorrupt) as caught:
        reads[what](reader)
    assert str(caught.value.details["what"]).startswith(what)


async def test_a_missing_row_is_named(made: Made) -> None:
    with made.store.reading() as reader:
        for read in (reader.load, reader.blob, reader.commit, reader.name):
            with pytest.raises(StoreCorrupt, match="99"):
                read(99)


async def test_a_moved_generation_drops_what_was_kept(made: Made) -> None:
    await made.set("/a", 1)
    forgotten: list[bool] = []
    made.store.on_forget(lambda: forgotten.append(True))
    with made.store.reading() as reader:
        kept = reader.commit(2)
        assert reader.commit(2) is kept
    await made.store._thread.run(lambda db: db.execute("UPDATE meta SET value = value + 1 WHERE name = 'generation'"))
    with made.store.reading() as reader:
        assert reader.commit(2) is not kept
    assert forgotten == [True]


async def test_a_commit_that_was_just_made_is_kept_as_the_file_gives_it(made: Made) -> None:
    done = await made.set("/a", {"list": [1, 2.5, None, True], "text": "longer than what stays inline " * 200})
    with made.store.reading() as kept, made.store.reading(stored=True) as read:
        rows = [reader.commit(reader.last_seq()) for reader in (kept, read)]
        roots = [state_at(reader, made.hasher, row).tree.root for reader, row in zip((kept, read), rows, strict=True)]
    assert rows[0].id == done.commit
    assert repr(rows[0]) == repr(rows[1])
    told = [(root.id, root.row, root.last_key, root.count, root.elements, root.level, root.newest) for root in roots]
    assert told[0] == told[1]


async def test_a_batch_takes_one_hop_to_the_writers_thread(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    # Guards the private queue of aiosqlite that the adapter builds on.
    hops: list[Any] = []
    queue: Any = made.store._thread._aio._tx

    class Counted:
        def put_nowait(self, item: Any) -> None:
            hops.append(item)
            queue.put_nowait(item)

    with monkeypatch.context() as patched:
        patched.setattr(made.store._thread._aio, "_tx", Counted())
        await together(made, *[setting(made, f"/k{number}", number) for number in range(30)])
    assert len(hops) == 1


async def test_errors_of_the_work_reach_their_caller_as_they_are(made: Made) -> None:
    error = KeyError("mine")

    def work(writer: Writer) -> None:
        raise error

    with pytest.raises(KeyError) as caught:
        await made.store.write(work)
    assert caught.value is error
    assert not isinstance(error, AsgError)
