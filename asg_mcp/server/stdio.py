"""MCP over the process's stdin and stdout: one JSON-RPC message a line.

The connection outlives what a client may get wrong (a line that is no message, or
too long) and ends in order: when stdin ends, or on SIGTERM or SIGINT, calls that
are under way finish and their replies are written. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import Any, Self

import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import (
    INTERNAL_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCRequest,
    JSONRPCResponse,
    RequestId,
)

from asg_mcp.core.limits import DRAIN_SECONDS_MAX, PENDING_BYTES_MAX
from asg_mcp.errors import LimitExceeded
from asg_mcp.server.lines import ENDLESS_METHODS, Line, LineSplitter, NotAMessage, is_blank, parse, still_under_way
from asg_mcp.server.pipes import CHUNK_BYTES, Output, claimed_stdio, open_input, open_output

logger = logging.getLogger(__name__)

_REQUEST_OVERHEAD_BYTES = 8 * 1_024
"""Held for a request besides its line: its task, its context, its parsed form."""


async def serve_stdio(server: Server[Any], *, sdk: bool = sys.platform == "win32") -> None:
    """Serve one client on stdin and stdout, until it is gone or a signal asks the process to end.

    With `sdk` the transport of the MCP SDK is used. It is the fallback where pipes
    cannot be non-blocking, which is Windows: it costs three thread hops a call, and
    gives up running calls when stdin ends.
    """
    if sdk:
        async with stdio_server() as (inbox_of_sdk, outbox_of_sdk):
            await server.run(inbox_of_sdk, outbox_of_sdk, server.create_initialization_options())
        return
    with claimed_stdio() as (wire_in, wire_out):
        reader, transport = await open_input(wire_in)
        output = open_output(wire_out, on_broken=transport.close)
        exchange = _Exchange(output)
        try:
            with anyio.CancelScope() as scope, _signals(transport.close, scope.cancel):
                inbox, outbox = _Inbox(reader, exchange), _Outbox(exchange)
                await server.run(inbox, outbox, server.create_initialization_options())
                with anyio.move_on_after(DRAIN_SECONDS_MAX):
                    await output.flush()
        finally:
            transport.close()
            output.close()


@contextmanager
def _signals(on_first: Callable[[], None], on_second: Callable[[], None]) -> Iterator[None]:
    """Call `on_first` at the first SIGTERM or SIGINT, `on_second` at those that follow."""
    loop = asyncio.get_running_loop()
    steps = deque((on_first,))

    def arrived() -> None:
        (steps.popleft() if steps else on_second)()

    handled = []
    # Windows, and threads that are not the main one, keep Python's own handling.
    with suppress(NotImplementedError, RuntimeError, ValueError):
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, arrived)
            handled.append(number)
    try:
        yield
    finally:
        for number in handled:
            loop.remove_signal_handler(number)


class _Exchange:
    """Which requests are being worked on, and how much memory they and their replies hold."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._pending: dict[RequestId, int] = {}
        self._pending_bytes = 0
        self._settled = asyncio.Event()
        self._settled.set()

    def begin(self, request: RequestId, line_bytes: int) -> JSONRPCError | None:
        """Note that `request` is being worked on, or return the error that refuses it."""
        if request in self._pending:
            return still_under_way(request)
        size = line_bytes + _REQUEST_OVERHEAD_BYTES
        if self._pending and self._pending_bytes + self._output.pending_bytes + size > PENDING_BYTES_MAX:
            refusal = LimitExceeded(
                f"Requests and unread replies hold more than {PENDING_BYTES_MAX} bytes",
                hint="Read the replies to earlier requests before sending more.",
                limit="PENDING_BYTES_MAX",
                max=PENDING_BYTES_MAX,
            )
            return _error(request, INTERNAL_ERROR, f"{refusal.message}. {refusal.hint}", refusal.as_dict())
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

    def refuse(self, error: JSONRPCError) -> None:
        """Write an error about a request that was never begun."""
        self._output.write(_encoded(error))

    def end(self, request: RequestId) -> None:
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


class _Stream:
    """What the SDK wants of both its streams besides the messages."""

    async def aclose(self) -> None:
        """Nothing: `serve_stdio` closes what it opened."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


class _Inbox(_Stream):
    """The messages of the client. Ends when stdin has ended and the calls under way have finished.

    The SDK cancels every running call when its input ends; so the end is held back.
    """

    def __init__(self, reader: asyncio.StreamReader, exchange: _Exchange) -> None:
        self._reader = reader
        self._exchange = exchange
        self._splitter = LineSplitter()
        self._lines: deque[Line] = deque()
        self._at_end = False

    def __aiter__(self) -> Self:
        return self

    async def receive(self) -> SessionMessage:
        """The next message. Raises anyio.EndOfStream after the last."""
        try:
            return await anext(self)
        except StopAsyncIteration:
            raise anyio.EndOfStream from None

    async def __anext__(self) -> SessionMessage:
        while (line := await self._next_line()) is not None:
            if is_blank(line):
                continue
            try:
                message = parse(line)
            except NotAMessage as problem:
                self._exchange.refuse(problem.reply)
                continue
            if not isinstance(message, JSONRPCRequest) or message.method in ENDLESS_METHODS:
                return SessionMessage(message)
            refusal = self._exchange.begin(message.id, line_bytes=len(line))
            if refusal is None:
                unanswered = partial(self._exchange.ended, message.id)
                return SessionMessage(message, ServerMessageMetadata(on_request_unanswered=unanswered))
            self._exchange.refuse(refusal)
        await self._exchange.settled()
        raise StopAsyncIteration

    async def _next_line(self) -> Line | None:
        while not self._lines and not self._at_end:
            chunk = await self._reader.read(CHUNK_BYTES)
            if chunk:
                self._lines.extend(self._splitter.feed(chunk))
            else:
                self._at_end = True
                self._lines.append(self._splitter.rest())
        return self._lines.popleft() if self._lines else None


class _Outbox(_Stream):
    """The messages to the client. Never blocks, so that a client may write all it has before it reads."""

    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange

    async def send(self, item: SessionMessage, /) -> None:
        self._exchange.send(item.message)


def _encoded(message: JSONRPCMessage) -> bytes:
    """One line; of a reply that cannot be written, the error in its place, and of a notification nothing."""
    try:
        return message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n"
    except ValueError:  # text that is no Unicode, or nesting too deep
        logger.exception("a message could not be written as JSON")
    if not isinstance(message, JSONRPCResponse | JSONRPCError):
        return b""
    reason = "The reply could not be written as JSON; the server's log has the details"
    return _encoded(_error(message.id, INTERNAL_ERROR, reason))


def _error(request: RequestId | None, code: int, message: str, data: dict[str, Any] | None = None) -> JSONRPCError:
    error = ErrorData(code=code, message=message) if data is None else ErrorData(code=code, message=message, data=data)
    return JSONRPCError(jsonrpc="2.0", id=request, error=error)
