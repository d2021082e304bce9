"""The HTTP/1.1 of uvicorn, with a time in which the head of a request has to come."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from asg_mcp.core.limits import HTTP_HEAD_SECONDS_MAX


class PunctualProtocol(H11Protocol):
    """Closes a connection on which no whole head of a request comes in time.

    Uvicorn would wait for ever, and a thousand of such clients would take all connections there are.
    """

    _deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """A client is there."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        super().connection_lost(exc)
        self._forget()

    def handle_events(self) -> None:
        """Something came from it."""
        super().handle_events()
        self._watch()

    def on_response_complete(self) -> None:
        """It has its answer."""
        super().on_response_complete()
        self._watch()

    def _watch(self) -> None:
        if not self._waits() or self.transport.is_closing():
            self._forget()
        elif self._deadline is None:
            self._deadline = self.loop.call_later(HTTP_HEAD_SECONDS_MAX, self._too_late)

    def _waits(self) -> bool:
        """Whether no request is under way."""
        cycle: Any = self.cycle
        return cycle is None or bool(cycle.response_complete)

    def _forget(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _too_late(self) -> None:
        self._deadline = None
        self.transport.close()
