"""What one stdio connection holds: the requests that are being worked on, and the replies on their way out."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio
import orjson
from mcp_types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCResponse,
    RequestId,
)

from asg_mcp.core.limits import DRAIN_SECONDS_MAX, PENDING_BYTES_MAX
from asg_mcp.errors import LimitExceeded
from asg_mcp.server.lines import still_under_way
from asg_mcp.server.pipes import Output

logger = logging.getLogger(__name__)

_REQUEST_OVERHEAD_BYTES = 8 * 1_024
"""Held for a request besides its line: its task, its context, its parsed form."""


class Exchange:
    """Which requests are being worked on, and how much memory they and their replies hold."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._pending: dict[RequestId, int] = {}
        self._pending_bytes = 0
        self._settled = asyncio.Event()
        self._settled.set()

    @property
    def under_way(self) -> int:
        """How many requests are being worked on."""
        return len(self._pending)

    @property
    def is_crowded(self) -> bool:
        """Whether half of what may be held is."""
        return self._held > PENDING_BYTES_MAX // 2

    @property
    def _held(self) -> int:
        return self._pending_bytes + self._output.pending_bytes

    def begin(self, request: RequestId, line_bytes: int) -> JSONRPCError | None:
        """Note that `request` is being worked on, or return the error that refuses it."""
        if request in self._pending:
            return still_under_way(request)
        size = line_bytes + _REQUEST_OVERHEAD_BYTES
        if self._held and self._held + size > PENDING_BYTES_MAX:
            refusal = LimitExceeded(
                f"Requests and unread replies hold more than {PENDING_BYTES_MAX} bytes",
                hint="Read the replies to earlier requests before sending more.",
                limit="PENDING_BYTES_MAX",
                max=PENDING_BYTES_MAX,
            )
            told = f"{refusal.message}. {refusal.hint}"
            return error_of(request, ErrorData(code=INTERNAL_ERROR, message=told, data=refusal.as_dict()))
        self._pending[request] = size
        self._pending_bytes += size
        self._settled.clear()
        return None

    def send(self, message: JSONRPCMessage) -> None:
        """Write a message; a response ends the request that it answers."""
        if line := _encoded(message):
            self._output.write(line)
        if isinstance(message, JSONRPCResponse | JSONRPCError) and message.id is not None:
            self.end(message.id)

    def answer(self, request: RequestId, result: dict[str, Any]) -> None:
        """Write a result, which may have orjson.Fragments in it, and end the request. Its id has at most 64 bits."""
        try:
            line = orjson.dumps({"jsonrpc": "2.0", "id": request, "result": result}) + b"\n"
        except TypeError:
            line = _unwritable(request)
        self._output.write(line)
        self.end(request)

    def refuse(self, error: JSONRPCError) -> None:
        """Write an error about a request that was never begun."""
        self._output.write(_encoded(error))

    def end(self, request: RequestId) -> None:
        """Note that `request` is answered, or never will be."""
        self._pending_bytes -= self._pending.pop(request, 0)
        if not self._pending:
            self._settled.set()

    async def ended(self, request: RequestId) -> None:
        """`end`, as the SDK calls it for a request that is never answered."""
        self.end(request)

    async def settled(self) -> None:
        """Return when no request is being worked on."""
        with anyio.move_on_after(DRAIN_SECONDS_MAX) as scope:
            await self._settled.wait()
        if scope.cancelled_caught:
            logger.warning("%d calls did not finish in %s s and are given up", len(self._pending), DRAIN_SECONDS_MAX)


def error_of(request: RequestId, error: ErrorData) -> JSONRPCError:
    """The error as the reply to a request."""
    return JSONRPCError(jsonrpc="2.0", id=request, error=error)


def _encoded(message: JSONRPCMessage) -> bytes:
    """One line; of a reply that cannot be written, the error in its place, and of a notification nothing."""
    try:
        return _line(message)
    except ValueError:  # text that is no Unicode, or nesting too deep
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            return _unwritable(message.id)
        logger.exception("a message could not be written as JSON")
        return b""


def _line(message: JSONRPCMessage) -> bytes:
    return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"


def _unwritable(request: RequestId | None) -> bytes:
    """The line in place of a reply whose writing failed just now."""
    logger.exception("a reply could not be written as JSON")
    reason = "The reply could not be written as JSON; the server's log has the details"
    return _line(JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=INTERNAL_ERROR, message=reason)))
