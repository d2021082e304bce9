"""Transactions that wait for the writer's thread."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Lock
from typing import Any

from asg_mcp.errors import UnknownOutcome


class Job:
    """One waiting transaction. Whoever moves it out of `waiting` first decides what becomes of it."""

    __slots__ = ("_lock", "alone", "decided", "error", "future", "result", "state", "work")

    def __init__(self, work: Callable[..., Any], loop: asyncio.AbstractEventLoop, *, alone: bool = False) -> None:
        self.work = work
        self.alone = alone
        """Whether it may change stored rows, and so shares its transaction with no other."""
        self.future: asyncio.Future[Any] = loop.create_future()
        self.state = "waiting"
        self.decided = False
        """Whether the result or the error is what became of it."""
        self.result: Any = None
        self.error: BaseException | None = None
        self._lock = Lock()

    def claim(self, state: str) -> bool:
        """Leave `waiting` for this state; False when somebody else was first."""
        with self._lock:
            if self.state != "waiting":
                return False
            self.state = state
            return True

    def answer(self) -> None:
        """Tell the caller, on the event loop. A caller that has gone is told nothing."""
        if self.future.done() or self.state == "abandoned":
            return
        if self.error is None and self.decided:
            self.future.set_result(self.result)
            return
        # Without a decision nothing may be acknowledged, whatever stopped the writer.
        self.future.set_exception(self.error or UnknownOutcome("The writer was stopped while the write was under way"))
        self.future.exception()  # a cancelled caller does not fetch it
