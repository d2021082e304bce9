"""An event loop on a thread of its own, for programs that have none."""

from __future__ import annotations

import asyncio
import atexit
import os
import weakref
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Future
from threading import Lock, Thread, current_thread
from typing import Any, TypeVar

from asg_mcp.errors import StorageError

T = TypeVar("T")
_running: weakref.WeakSet[LoopThread] = weakref.WeakSet()


class LoopThread:
    """Runs coroutines for any number of calling threads until `stop`; then `at_end`, on the loop, once.

    The thread is a daemon, and those that are started from it are, so that a program which never stops it can end;
    at exit it is stopped in order.
    """

    def __init__(self, name: str, at_end: Callable[[], Awaitable[None]]) -> None:
        self._at_end = at_end
        self._process = os.getpid()
        self._order = Lock()
        self._stopped = False
        started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()
        self._thread = Thread(target=lambda: asyncio.run(self._main(started)), name=name, daemon=True)
        self._thread.start()
        self._loop, self._stop = started.result()
        _running.add(self)

    async def _main(self, started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
        stop = asyncio.Event()
        started.set_result((asyncio.get_running_loop(), stop))
        await stop.wait()
        await self._at_end()
        # What was handed over before the end has its answer; nothing may be cancelled under a thread that waits for it.
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others)

    @property
    def stopped(self) -> bool:
        """Whether nothing can be run any more."""
        return self._stopped

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns or raises. Raises StorageError once it is stopped."""
        if os.getpid() != self._process:
            work.close()
            raise StorageError("The graph was opened before a fork", hint="Open it again in this process: a new one.")
        # Whatever is handed over before the stop is run before it.
        with self._order:
            future = None if self._stopped else asyncio.run_coroutine_threadsafe(work, self._loop)
        if future is None:
            work.close()
            raise StorageError("The graph is closed", hint="Open it again: make a new one with the same path.")
        try:
            return future.result()
        except BaseException:
            future.cancel()  # Ctrl-C in the calling thread: nobody waits for it any more
            raise

    def stop(self, *, wait: bool) -> None:
        """Let what was handed over finish, call `at_end`, and end the thread. Twice is no fault."""
        if os.getpid() != self._process:
            return  # the thread stayed behind in a fork, and its loop is another process's
        with self._order:
            if not self._stopped:
                self._stopped = True
                self._loop.call_soon_threadsafe(self._stop.set)
        if wait and self._thread is not current_thread():
            self._thread.join()


def stop_all() -> None:
    """Stop what still runs: what a program left open when it ended."""
    for thread in list(_running):
        thread.stop(wait=True)


atexit.register(stop_all)
