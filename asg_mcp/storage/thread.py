"""The one place that knows how aiosqlite runs things.

aiosqlite hops to its thread for every statement; a batch is run in one hop by
handing it a whole function. Those are the private `_execute` and `_tx`, and tests guard them.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any, TypeVar

import aiosqlite

from asg_mcp.errors import StoreBusy
from asg_mcp.storage.lock import WriteLock

T = TypeVar("T")

_ITER_CHUNK = 64  # aiosqlite asks for it; cursors are never iterated through it here


class WriterThread:
    """A thread that owns the writing connection, and lends it to the event loop while it does nothing."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self._connect = connect
        self._aio = aiosqlite.Connection(connect, _ITER_CHUNK)
        self._in_use = Lock()

    async def start(self) -> None:
        """Start the thread and connect."""
        try:
            await self._aio
        except Exception:
            # aiosqlite has told the thread to end; it still answers on this loop, which must not be closed before.
            self._aio._thread.join()
            raise

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on the thread, in one hop."""
        execute: Any = self._aio._execute  # aiosqlite has no types for it

        def run() -> T:
            with self._in_use:
                return work(self._aio._conn)

        result: T = await execute(run)
        return result

    def submit(self, work: Callable[[sqlite3.Connection], None], done: Callable[[BaseException | None], None]) -> None:
        """Run `work` on the thread, and then `done` on this event loop, with what `work` raised.

        The same hop as `run`, without a task that waits for it: two turns of the event loop less.
        """
        loop = asyncio.get_running_loop()

        def run() -> None:
            try:
                with self._in_use:
                    work(self._aio._conn)
            except BaseException as error:  # whatever it is, who waits is told
                loop.call_soon_threadsafe(done, error)
                raise
            loop.call_soon_threadsafe(done, None)

        self._aio._tx.put_nowait((None, run))

    @contextmanager
    def lent(self) -> Iterator[sqlite3.Connection | None]:
        """The connection, unless the thread is using it. As long as the block lasts, the thread waits for it."""
        is_lent = self._in_use.acquire(blocking=False)
        try:
            yield self._aio._conn if is_lent else None
        finally:
            if is_lent:
                self._in_use.release()

    @property
    def connection(self) -> sqlite3.Connection:
        """The connection; for use on the thread, or by whom it is lent to."""
        return self._aio._conn

    def reopen(self) -> sqlite3.Connection:
        """Close the connection, however ill it is, and connect anew. For who may use it."""
        try:
            self.connection.close()
        finally:
            self._aio._connection = self._connect()
        return self.connection

    async def close(self, lock: WriteLock, wait_seconds_max: float) -> None:
        """Close under the write lock, for the last close checkpoints the WAL, and end the thread.

        When another process keeps the lock for longer, it has the file open too, so this close is not the last one
        and checkpoints nothing: then it is done without the lock.
        """

        def close(connection: sqlite3.Connection) -> None:
            try:
                lock.take(wait_seconds_max)
            except StoreBusy:
                connection.close()
                return
            try:
                connection.close()
            finally:
                lock.release()

        try:
            await self.run(close)
        finally:
            ended = self._aio.stop()
            if ended is not None:
                await ended
