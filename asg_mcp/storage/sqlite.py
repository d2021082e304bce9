"""The SQLite backend: one writer with group commit, and readers that never write.

One write, in order, with what a crash leaves at each step:

1. transactions wait in a queue of this process                 nothing
2. the writer's thread takes up to 64 of them and the lock file  nothing
3. BEGIN IMMEDIATE; each transaction reads, decides and stages   nothing
4. what it staged is written, unless it raised                   nothing (SQLite rolls back)
5. COMMIT with synchronous=FULL                                  before it nothing, after it everything
6. callers are answered                                          everything

A short transaction of a caller who is alone runs on the event loop, in the same steps, as long as the disk is quick and
nobody has the lock: the way to the thread and back takes as long as a good part of it.

An I/O error at 5 has an unknown outcome: the connection is opened anew, which
runs SQLite's recovery, and what the file then holds is the answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

from asg_mcp.core.classes import Vault
from asg_mcp.core.limits import BATCH_TRANSACTIONS_MAX, LOCK_WAIT_SECONDS_MAX, WRITE_QUEUE_MAX
from asg_mcp.core.nodes import Hasher
from asg_mcp.errors import AsgError, StorageError, StoreBusy, StoreIncompatible, UnknownOutcome
from asg_mcp.storage.base import Health, Rewriter, Writer
from asg_mcp.storage.connection import (
    SETTINGS,
    SQLITE_MIN,
    connect_reader,
    connect_writer,
    in_haste,
    library_faults,
    translated,
    wrong_settings,
)
from asg_mcp.storage.constants import constants_of, constants_of_new, generation_of
from asg_mcp.storage.counters import Counters
from asg_mcp.storage.faults import faults_in_use
from asg_mcp.storage.jobs import Job
from asg_mcp.storage.lock import WriteLock, absolute, make_file
from asg_mcp.storage.pace import Pace
from asg_mcp.storage.rewriting import (
    SHRINK_DUE,
    SHRINK_PAUSE_SECONDS,
    SHRINK_TRIES_MAX,
    STILL_THERE,
    SqliteRewriter,
    classes_in,
    empty_log,
    is_shrink_due,
    remake,
)
from asg_mcp.storage.rows import NO_KEYS, Sealer
from asg_mcp.storage.schema import migrate
from asg_mcp.storage.session import Caches, SqliteReader, SqliteWriter
from asg_mcp.storage.thread import WriterThread

T = TypeVar("T")
logger = logging.getLogger(__name__)


class SqliteStore:
    """See `storage.base.Store`. Make one with `open_store`; one for each file and process is enough."""

    def __init__(
        self, path: Path, thread: WriterThread, lock: WriteLock, hasher: Hasher, store_id: str, vault: Vault
    ) -> None:
        self.path = path
        self.store_id = store_id
        self.hasher = hasher
        self._thread = thread
        self._lock = lock
        self._caches = Caches()
        self._vault = vault
        self._sealer = Sealer(hasher.classes)  # which knows of those that are destroyed, whatever keys are there
        self._readers: list[tuple[sqlite3.Connection, Sealer]] = []
        self._readers_lock = Lock()
        self._generation_lock = Lock()
        self._rekeyed = 0
        """The generation at which the class key was last seen to be another one."""
        self._queue: deque[Job] = deque()
        self._serving: asyncio.AbstractEventLoop | None = None
        """The event loop on which writes wait or are under way."""
        self._settled = asyncio.Event()
        """Set whenever the last of them is answered."""
        self._pace = Pace()
        self._closed = False
        self._ill = False
        """Whether the writing connection could not be opened anew after a failed commit."""
        self._forgetters: list[Callable[[], None]] = []
        self._told: list[Callable[[], None]] = []

    def on_forget(self, forget: Callable[[], None]) -> None:
        """See Store."""
        self._forgetters.append(forget)

    def on_durable(self, tell: Callable[[], None]) -> None:
        """Call `tell` on the event loop after each batch of transactions, before their callers go on."""
        self._told.append(tell)

    def _forget(self, generation: int | None = None) -> None:
        # New caches, and not empty ones: a view of an earlier moment may still be read, and fills those it began with.
        self._caches = Caches(generation=self._caches.generation if generation is None else generation)
        for forget in self._forgetters:
            forget()

    # --- reading --------------------------------------------------------------

    @contextlib.contextmanager
    def reading(self, *, stored: bool = False) -> Iterator[SqliteReader]:
        """See Store."""
        if self._closed:
            raise StorageError("The store is closed", hint="Open it again.")
        with self._readers_lock:
            pooled = self._readers.pop() if self._readers else None
        connection, sealer = pooled or (connect_reader(self.path), Sealer(self.hasher.classes))
        ids = self.hasher.value_ids.state
        try:
            connection.execute("BEGIN")
            try:
                caches = self._caches_of(connection)
                ids = self.hasher.value_ids.state
                yield SqliteReader(connection, Caches() if stored else caches, sealer)
                self._check_ids(ids)
            finally:
                connection.execute("ROLLBACK")
        except sqlite3.Error as error:
            connection.close()
            raise translated(error) from error
        except AsgError:
            self._give_back(connection, sealer)
            self._check_ids(ids)  # what went wrong may be that
            raise
        except BaseException:
            self._give_back(connection, sealer)
            raise
        self._give_back(connection, sealer)

    def _give_back(self, connection: sqlite3.Connection, sealer: Sealer) -> None:
        with self._readers_lock:
            if not self._closed:
                self._readers.append((connection, sealer))
                return
        connection.close()

    def _caches_of(self, connection: sqlite3.Connection) -> Caches:
        """The caches for what this connection sees: new ones when rows were changed or taken away since the last time.

        That is what garbage collection and redaction do, here or in another process; class keys may be others too.
        """
        generation = generation_of(connection)
        with self._generation_lock:
            if generation > self._caches.generation:
                meta = constants_of(connection)
                if self.hasher.value_ids.rekey(meta["class_key"], meta.get("class_pins", b"")):
                    self._rekeyed = generation
                self.hasher.classes.load(classes_in(meta), self._vault)
                self._forget(generation)
            if generation < self._rekeyed:
                raise StoreBusy("Something was erased from the store just now", hint="Repeat the call.")
            return self._caches if generation == self._caches.generation else Caches(generation=generation)

    def _check_ids(self, then: object) -> None:
        """Ids of values that others have erased meanwhile are made under another key now, and would be wrong."""
        if self.hasher.value_ids.state is not then:
            raise StoreBusy("Something was erased from the store while it was read", hint="Repeat the call.")

    # --- writing --------------------------------------------------------------

    async def write(self, work: Callable[[Writer], T], *, brief: bool = False) -> T:
        """See Store."""
        done = self._done_here(work) if brief else None
        result: T = await self._queued(Job(work, asyncio.get_running_loop())) if done is None else done.future.result()
        return result

    async def rewrite(self, work: Callable[[Rewriter], T]) -> T:
        """See Store."""
        result: T = await self._queued(Job(work, asyncio.get_running_loop(), alone=True))
        return result

    async def shrink(self) -> tuple[int, int]:
        """See Store."""
        if self._closed:
            raise StorageError("The store is closed", hint="Open it again.")
        before = self.path.stat().st_size
        generation = await self._thread.run(partial(self._locked, remake))
        for _ in range(SHRINK_TRIES_MAX):
            if await self._thread.run(partial(self._locked, lambda db: empty_log(db, generation))):
                return before, self.path.stat().st_size
            await asyncio.sleep(SHRINK_PAUSE_SECONDS)  # without the lock: others go on writing
        raise StoreBusy(
            "Others read for too long: the store's log of writes still has what was taken away",
            hint="Repeat the command when they are done; `asg-mcp redact --finish` does this part alone.",
        )

    def _locked(self, work: Callable[[sqlite3.Connection], T], db: sqlite3.Connection) -> T:
        with self._lock:
            if self._ill:
                db = self._thread.reopen()
                self._ill = False
            try:
                return work(db)
            except sqlite3.Error as error:
                raise translated(error) from error

    def _done_here(self, work: Callable[[Writer], Any]) -> Job | None:
        """A job that was run on the event loop itself, and is decided. With None nothing was written."""
        if self._closed or self._is_serving() or self._ill or not self._pace.take_turn():
            return None
        with self._thread.lent() as db:
            # The thread may have the lock already, which is the process's and not its own.
            if db is None:
                return None
            with self._lock.if_free() as is_free:
                if not is_free:
                    return None
                job = Job(work, asyncio.get_running_loop())
                job.claim("running")
                try:
                    with in_haste(db):
                        if not self._attempt(db, [job]):
                            return None
                except sqlite3.Error:  # those of the transaction are the job's: this is one of the settings
                    return None
        job.answer()
        # Who writes in this turn of the loop too goes to the thread: others together, and one caller by turns.
        self._serving = asyncio.get_running_loop()
        self._serving.call_soon(self._go_on)
        self._tell()
        return job

    async def _queued(self, job: Job) -> Any:
        if self._closed:
            raise StorageError("The store is closed", hint="Open it again.")
        serving, loop = self._is_serving(), asyncio.get_running_loop()
        if len(self._queue) >= WRITE_QUEUE_MAX:
            raise StoreBusy(f"{WRITE_QUEUE_MAX} writes are waiting already")
        self._queue.append(job)
        if not serving:
            self._serving = loop
            loop.call_soon(self._hand_over)  # after whoever else has something to write in this turn of the loop
        overdue = loop.call_later(LOCK_WAIT_SECONDS_MAX, self._give_up, job)
        try:
            return await job.future
        except asyncio.CancelledError:
            job.claim("abandoned")
            raise
        finally:
            overdue.cancel()

    def _give_up(self, job: Job) -> None:
        """Let a caller go whose job did not get its turn; one that is under way is waited for, however long."""
        if job.claim("abandoned") and not job.future.done():
            job.future.set_exception(
                StoreBusy(
                    f"The write did not get its turn within {LOCK_WAIT_SECONDS_MAX:.0f} s (lock file {self._lock.path})"
                )
            )

    def _is_serving(self) -> bool:
        """Whether writes wait or are under way; those of an event loop that ended are gone with their callers."""
        if self._serving is not None and self._serving.is_closed():
            self._queue.clear()
            self._serving, self._settled = None, asyncio.Event()
        return self._serving is not None

    def _hand_over(self) -> None:
        """Hand the next batch of what waits to the writer's thread."""
        batch = [self._queue.popleft()]
        while self._queue and not (batch[0].alone or self._queue[0].alone) and len(batch) < BATCH_TRANSACTIONS_MAX:
            batch.append(self._queue.popleft())
        self._thread.submit(partial(self._run_batch, batch), partial(self._answer, batch))

    def _go_on(self) -> None:
        if self._queue:
            self._hand_over()
        else:
            self._serving = None
            self._settled.set()

    def _tell(self) -> None:
        for tell in self._told:
            tell()

    def _answer(self, batch: list[Job], error: BaseException | None) -> None:
        """Tell the callers of a batch, and go on with the next one."""
        if isinstance(error, sqlite3.Error):
            error = translated(error)
        for job in batch:
            if not job.decided and isinstance(error, AsgError):
                job.error = error
            job.answer()
        self._go_on()
        self._tell()
        if error is not None and not isinstance(error, AsgError):
            raise error

    # --- by whoever has the connection and the lock -------------------------------

    def _run_batch(self, batch: list[Job], db: sqlite3.Connection) -> None:
        """One durable commit for the batch; one each when that fails as a whole."""
        with self._lock:
            if self._ill:
                db = self._thread.reopen()
                self._ill = False
            jobs = [job for job in batch if job.claim("running")]
            if not jobs or self._attempt(db, jobs):
                return
            for job in jobs:
                self._attempt(self._thread.connection, [job])

    def _attempt(self, db: sqlite3.Connection, jobs: list[Job]) -> bool:
        """Whether each job is decided: durable, refused by its own work, or of an outcome that recovery told.

        False leaves nothing written, and each job's error says why.
        """
        began = time.perf_counter()
        token = secrets.token_bytes(16)
        try:
            db.execute("BEGIN IMMEDIATE")
            caches = self._caches_of(db)
            counters = Counters(db)
            for job in jobs:
                self._stage(db, job, caches, counters)
            counters.flush()
            db.execute("UPDATE meta SET value = ? WHERE name = 'batch'", (token,))
        except Exception as error:  # it belongs to one of the jobs: alone, each of them finds its own
            self._roll_back(db)
            for job in jobs:
                job.result, job.error = None, translated(error) if isinstance(error, sqlite3.Error) else error
                job.decided = True
            return False
        except BaseException:
            self._roll_back(db)
            raise
        staged = time.perf_counter()
        try:
            db.execute("COMMIT")
        except sqlite3.Error as error:
            self._recover(jobs, token, error)
        ended = time.perf_counter()
        self._pace.note(ended - began, ended - staged, len(jobs))
        for job in jobs:
            job.decided = True
        return True

    def _stage(self, db: sqlite3.Connection, job: Job, caches: Caches, counters: Counters) -> None:
        writer = (SqliteRewriter if job.alone else SqliteWriter)(db, caches, self._sealer, counters)
        job.error, job.decided = None, False
        try:
            job.result = job.work(writer)
        except sqlite3.Error:
            raise
        except Exception as error:  # it belongs to the caller; the work has only staged, so nothing is written
            job.error = error
            return
        writer.flush()

    def _roll_back(self, db: sqlite3.Connection) -> None:
        # Rows that were read inside the batch may be rows that it made: their numbers will be given out again.
        self._forget()
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")

    def _recover(self, jobs: list[Job], token: bytes, error: sqlite3.Error) -> None:
        """After an error at COMMIT: open anew, and let the file say whether the batch is in it.

        The write lock is still held, so the last batch in the file is this one or the one before it.
        """
        self._forget()
        try:
            found = self._thread.reopen().execute("SELECT value FROM meta WHERE name = 'batch'").fetchone()[0]
        except (sqlite3.Error, StorageError):
            self._ill = True
            for job in jobs:
                job.error = job.error or UnknownOutcome(f"The disk failed while the write was made durable: {error}")
            return
        if found != token:
            for job in jobs:
                job.error = job.error or translated(error)

    # --- life -------------------------------------------------------------------

    async def check(self) -> Health:
        """See Store."""
        problems = [f"the setting {fault}" for fault in await self._thread.run(wrong_settings)]
        due = bool(await self._thread.run(is_shrink_due))
        if due:
            problems.append(STILL_THERE)
        mode = self.path.stat().st_mode & 0o777
        if os.name == "posix" and mode & 0o077:
            problems.append(f"{self.path} can be read by other users (mode {mode:o}); run: chmod 600 {self.path}")
        wal = self.path.with_name(self.path.name + "-wal")
        return Health(
            path=str(self.path),
            sqlite_version=sqlite3.sqlite_version,
            faults=tuple(library_faults()),
            settings=dict(SETTINGS),
            file_bytes=self.path.stat().st_size,
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            problems=tuple(problems),
            shrink_due=due,
        )

    def integrity(self) -> list[str]:
        """See Store."""
        return faults_in_use(self.path)

    async def close(self) -> None:
        """See Store."""
        if self._closed:
            return
        self._closed = True
        while self._is_serving():
            self._settled.clear()
            await self._settled.wait()
        with self._readers_lock:
            readers, self._readers = self._readers, []
        for connection, _ in readers:
            connection.close()
        await self._thread.close(self._lock, LOCK_WAIT_SECONDS_MAX)
        self._lock.close()


async def open_store(path: Path, vault: Vault = NO_KEYS) -> SqliteStore:
    """Open the store in this file, making it if there is none. File 0600, and its folder 0700 where it is made.

    The vault has the keys of its sensitive prefixes.

    Raises StoreIncompatible (another program's file, a newer layout, no such place), StoreCorrupt and StoreBusy.
    """
    if sqlite3.sqlite_version_info < SQLITE_MIN:
        raise StoreIncompatible(
            f"SQLite {sqlite3.sqlite_version} is too old", hint="Use a Python built with SQLite 3.35 or newer."
        )
    for fault in library_faults():
        logger.info("%s", fault)
    path = absolute(path)  # the folder may change while connections come and go
    lock = make_file(path)
    meta: dict[str, bytes] = {}

    def connect() -> sqlite3.Connection:
        connection = connect_writer(path)
        try:
            migrate(connection)
            meta.update(constants_of_new(connection))
        except sqlite3.Error as error:
            connection.close()
            raise translated(error) from error
        except BaseException:
            connection.close()
            raise
        return connection

    def connect_in_turn() -> sqlite3.Connection:
        # A reconnection after a failed commit happens inside a batch, which holds the lock already.
        if meta:
            return connect()
        lock.take(LOCK_WAIT_SECONDS_MAX)
        try:
            return connect()
        finally:
            lock.release()

    thread = WriterThread(connect_in_turn)
    try:
        await thread.start()
    except BaseException:
        lock.close()
        raise
    try:
        if SHRINK_DUE in meta:
            logger.warning("%s: %s", path, STILL_THERE)
        hasher = Hasher(meta["class_key"], meta["level_salt"], meta.get("class_pins", b""))
        hasher.classes.load(classes_in(meta), vault)
        return SqliteStore(path, thread, lock, hasher, meta["store_id"].hex(), vault)
    except BaseException:  # the thread would keep the process from ending
        try:
            await thread.close(lock, LOCK_WAIT_SECONDS_MAX)
        finally:
            lock.close()
        raise
