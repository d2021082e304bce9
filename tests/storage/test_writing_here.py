"""A brief transaction of a lone caller on the event loop: as durable as on the writer's thread, and in nobody's way."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import marks_of, open_repository
from asg_mcp.core.operations import Op
from asg_mcp.errors import InvalidValue, StorageError, UnknownOutcome
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.logtree import log_origins
from asg_mcp.repo.marking import mark_of
from asg_mcp.repo.results import WriteResult
from asg_mcp.storage import pace, thread
from asg_mcp.storage.base import Writer
from asg_mcp.storage.connection import wrong_settings
from asg_mcp.storage.sqlite import open_store
from tests.repo.stores import ALICE, WHY, Made, made_store, operation
from tests.storage.faulty import Connection, cannot_reopen
from tests.storage.test_sqlite import END_SECONDS_MAX, Work, document, hold, setting


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every disk is quick enough."""
    monkeypatch.setattr(pace, "HERE_SECONDS_MAX", 3_600.0)
    monkeypatch.setattr(pace, "COMMIT_SECONDS_MAX", 3_600.0)


async def brief(made: Made, work: Work) -> Any:
    """A transaction that may run on the event loop."""
    return await made.store.write(work, brief=True)


async def where(made: Made) -> threading.Thread:
    """The thread that a brief transaction runs on now."""
    found: threading.Thread = await brief(made, lambda _: threading.current_thread())
    return found


async def next_turn() -> None:
    """Let the event loop go round."""
    await asyncio.sleep(0)


def is_here(found: threading.Thread) -> bool:
    """Whether that is the event loop's own thread."""
    return found is threading.current_thread()


async def test_a_brief_write_of_a_lone_caller_runs_here_and_is_durable_when_it_is_answered(made: Made) -> None:
    assert is_here(await where(made))
    await next_turn()
    done = await brief(made, setting(made, "/a", 1))
    other = sqlite3.connect(made.store.path)  # as another process sees the file
    try:
        assert other.execute("SELECT seq FROM refs WHERE name = 'main'").fetchone() == (2,)
    finally:
        other.close()
    assert isinstance(done, WriteResult)
    assert document(made.store) == {"a": 1}


async def test_a_write_that_is_not_said_to_be_brief_keeps_to_the_thread(made: Made) -> None:
    assert not is_here(await made.store.write(lambda _: threading.current_thread()))


async def test_writers_who_come_in_the_same_turn_share_one_commit_on_the_thread(made: Made) -> None:
    statements: list[str] = []
    await made.store._thread.run(lambda db: db.set_trace_callback(statements.append))
    await asyncio.gather(*[brief(made, setting(made, f"/k{number}", number)) for number in range(30)])
    assert statements.count("COMMIT") == 2, "the first here, for it was alone, the others together"
    assert document(made.store) == {f"k{number}": number for number in range(30)}


async def test_a_brief_write_waits_in_line_behind_one_that_is_under_way(made: Made) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(writer: Writer) -> None:
        began.set()
        assert go_on.wait(END_SECONDS_MAX)
        setting(made, "/a", "slow")(writer)

    first = asyncio.ensure_future(made.store.write(slow))
    assert await asyncio.to_thread(began.wait, END_SECONDS_MAX)
    second = asyncio.ensure_future(brief(made, setting(made, "/a", "brief")))
    await next_turn()
    assert not second.done()
    go_on.set()
    await asyncio.gather(first, second)
    assert document(made.store) == {"a": "brief"}


async def test_while_the_thread_has_the_connection_for_other_work_nothing_runs_here(made: Made) -> None:
    began, go_on = threading.Event(), threading.Event()

    def slow(_: sqlite3.Connection) -> None:
        began.set()
        assert go_on.wait(END_SECONDS_MAX)

    shrinking = asyncio.ensure_future(made.store._thread.run(slow))
    assert await asyncio.to_thread(began.wait, END_SECONDS_MAX)
    write = asyncio.ensure_future(where(made))
    await next_turn()
    assert not write.done()
    go_on.set()
    await shrinking
    assert not is_here(await write)


async def test_another_process_with_the_lock_is_waited_for_on_the_thread(made: Made) -> None:
    with hold(made.store.path) as holder:
        write = asyncio.ensure_future(where(made))
        await next_turn()  # the loop goes on
        assert not write.done()
        holder.communicate()
    assert not is_here(await write)


async def test_another_program_in_the_database_is_waited_for_on_the_thread(made: Made) -> None:
    other = sqlite3.connect(made.store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    write = asyncio.ensure_future(where(made))
    await next_turn()  # the loop goes on
    assert not write.done()
    other.execute("ROLLBACK")
    other.close()
    assert not is_here(await write)
    await next_turn()
    assert is_here(await where(made))


async def test_the_writing_connection_is_as_it_was_after_a_write_here(made: Made) -> None:
    await brief(made, setting(made, "/a", 1))
    assert await made.store._thread.run(wrong_settings) == []


@pytest.mark.parametrize("limit", ["HERE_SECONDS_MAX", "COMMIT_SECONDS_MAX"])
async def test_after_what_took_long_the_next_one_runs_on_the_thread(
    made: Made, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    assert is_here(await where(made))
    await next_turn()
    with monkeypatch.context() as patched:
        patched.setattr(pace, limit, 0.0)
        assert is_here(await where(made))
        await next_turn()
        assert not is_here(await where(made))
    assert not is_here(await where(made)), "it took too long as well"
    assert is_here(await where(made))


async def test_of_many_in_a_row_some_run_on_the_thread_and_checkpoints_are_made_there_alone(made: Made) -> None:
    def touched() -> int:
        return made.store.path.stat().st_mtime_ns  # the file itself is written by checkpoints alone

    def set_to(number: int) -> Work:
        return lambda writer: (setting(made, "/a", number)(writer), threading.current_thread())[1]

    places, before = {True: 0, False: 0}, touched()
    for number in range(6 * (pace.HERE_IN_A_ROW_MAX + 1)):  # some 2,000 pages
        here = is_here(await brief(made, set_to(number)))
        await next_turn()
        places[here] += 1
        if here:
            assert touched() == before
        before = touched()
    assert places == {True: 6 * pace.HERE_IN_A_ROW_MAX, False: 6}
    assert made.store.path.stat().st_size > 40_960, "there was a checkpoint"


async def test_the_first_write_to_a_disk_is_waited_for_on_the_thread(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        path = made.store.path
    again = Made(await open_store(path))
    try:
        assert not is_here(await where(again))
        assert is_here(await where(again))
    finally:
        await again.store.close()


# --- what goes wrong ------------------------------------------------------------


async def test_a_refused_write_here_leaves_nothing(made: Made) -> None:
    def refused(writer: Writer) -> None:
        setting(made, "/half", "done")(writer)
        raise InvalidValue("no")

    with pytest.raises(InvalidValue):
        await brief(made, refused)
    await brief(made, setting(made, "/a", 1))
    assert document(made.store) == {"a": 1}


async def test_a_commit_here_that_failed_and_is_not_in_the_file_is_refused(failing: Made) -> None:
    Connection.plan = ["before"]
    with pytest.raises(StorageError, match="disk I/O error") as caught:
        await brief(failing, setting(failing, "/a", 1))
    assert not isinstance(caught.value, UnknownOutcome)
    await next_turn()
    assert is_here(await where(failing))
    await brief(failing, setting(failing, "/b", 2))
    assert document(failing.store) == {"b": 2}


async def test_a_commit_here_that_was_reported_failed_and_is_in_the_file_is_acknowledged(failing: Made) -> None:
    Connection.plan = ["after"]
    done = await brief(failing, setting(failing, "/a", 1))
    with failing.store.reading() as reader:
        assert reader.commit(2).id == done.commit
    assert document(failing.store) == {"a": 1}


async def test_an_outcome_here_that_cannot_be_looked_up_is_called_unknown_and_the_thread_recovers(
    failing: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    Connection.plan = ["after"]
    with monkeypatch.context() as patched:
        patched.setattr(thread.WriterThread, "reopen", cannot_reopen)
        with pytest.raises(UnknownOutcome):
            await brief(failing, setting(failing, "/a", 1))
    await next_turn()
    assert not is_here(await where(failing))
    await brief(failing, setting(failing, "/b", 2))
    assert document(failing.store) == {"a": 1, "b": 2}


async def test_what_stops_a_write_here_reaches_the_caller_and_the_next_is_served(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(BaseException):
        """What ends a program from outside, such as SystemExit."""

    def stopped(*_: Any) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr("asg_mcp.storage.sqlite.SqliteStore._stage", stopped)
        with pytest.raises(Stopped):
            await brief(made, setting(made, "/a", 1))
    await brief(made, setting(made, "/b", 2))
    assert document(made.store) == {"b": 2}


async def test_a_store_that_is_closed_right_after_a_write_here_is_closed_in_order(made: Made) -> None:
    first = asyncio.ensure_future(brief(made, setting(made, "/a", 1)))
    second = asyncio.ensure_future(brief(made, setting(made, "/b", 2)))
    await next_turn()
    await made.store.close()
    await asyncio.gather(first, second)
    reopened = await open_store(made.store.path)
    try:
        assert document(reopened) == {"a": 1, "b": 2}
    finally:
        await reopened.close()


async def test_a_write_here_whose_lock_cannot_be_given_back_is_answered_all_the_same(
    made: Made, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(_: Any) -> None:
        raise OSError("no locks available")

    with monkeypatch.context() as patched:
        patched.setattr("asg_mcp.storage.lock.WriteLock.release", fails)
        assert isinstance(await brief(made, setting(made, "/a", 1)), WriteResult)
    assert "cannot be unlocked" in caplog.text
    await next_turn()
    await brief(made, setting(made, "/b", 2))
    assert document(made.store) == {"a": 1, "b": 2}


async def test_a_connection_that_takes_no_settings_is_left_to_the_thread(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ill(_: sqlite3.Connection) -> Any:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patched:
        patched.setattr("asg_mcp.storage.sqlite.in_haste", ill)
        assert not is_here(await where(made))
    assert is_here(await where(made))


async def test_what_follows_the_writes_is_told_of_one_here_before_its_caller_goes_on(made: Made) -> None:
    told: list[str] = []
    made.store.on_durable(lambda: told.append("durable"))
    await brief(made, setting(made, "/a", 1))
    told.append("answered")
    await next_turn()
    assert told == ["durable", "answered"]


async def test_closing_right_after_a_write_here_leaves_the_high_water_mark_exact(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "marked.db"

    def is_marked(repo: Any) -> bool:
        with repo._store.reading() as reader:
            return marks_of(path).held(log_origins(reader)[0]) == mark_of(reader)

    async with open_repository(path) as repo, asyncio.timeout(END_SECONDS_MAX):
        while not is_marked(repo):
            await next_turn()
        for _ in range(10):  # whoever moved the mark has ended
            await next_turn()
        await repo.commit("main", [operation(Op.SET, "/a", 1)], WHY, ALICE, Guard())
    async with open_repository(path) as repo:
        assert is_marked(repo)
    assert not caplog.records
