"""MCP over the process's stdin and stdout: one JSON-RPC message a line.

The connection outlives what a client may get wrong (a line that is no message, or
too long) and ends in order: when stdin ends, or on SIGTERM or SIGINT, calls that
are under way finish and their replies are written. A second signal ends it at once.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, Self

import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest, RequestId

from asg_mcp.core.limits import DRAIN_SECONDS_MAX
from asg_mcp.server.exchange import Exchange
from asg_mcp.server.express import Express
from asg_mcp.server.lines import ENDLESS_METHODS, Line, LineSplitter, NotAMessage, is_blank, parse
from asg_mcp.server.pipes import CHUNK_BYTES, claimed_stdio, open_input, open_output
from asg_mcp.server.streams import Stream

_CANCELLED = "notifications/cancelled"


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
        exchange = Exchange(output)
        try:
            with anyio.CancelScope() as scope, _signals(transport.close, scope.cancel):
                async with Express(exchange) as express:
                    inbox, outbox = _Inbox(reader, exchange, express), _Outbox(exchange)
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


class _Inbox(Stream):
    """The messages of the client that the SDK has to see. Ends when stdin has and the calls under way have finished.

    The SDK cancels every running call when its input ends; so the end is held back.
    """

    def __init__(self, reader: asyncio.StreamReader, exchange: Exchange, express: Express) -> None:
        self._reader = reader
        self._exchange = exchange
        self._express = express
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
            if isinstance(message, JSONRPCNotification) and message.method == _CANCELLED:
                if self._express.cancel(message.params):
                    continue
            if not isinstance(message, JSONRPCRequest) or message.method in ENDLESS_METHODS:
                return SessionMessage(message)
            refusal = self._exchange.begin(message.id, line_bytes=len(line))
            if refusal is not None:
                self._exchange.refuse(refusal)
            elif not self._express.take(message):
                return SessionMessage(message, self._metadata(message.id))
            elif self._exchange.is_crowded:
                await asyncio.sleep(0)  # Those taken get their turn. Until then they begin together, and share commits.
        await self._exchange.settled()
        raise StopAsyncIteration

    def _metadata(self, request: RequestId) -> ServerMessageMetadata:
        unanswered = partial(self._exchange.ended, request)
        # What the SDK calls the request's context is how the middleware finds the connection.
        return ServerMessageMetadata(on_request_unanswered=unanswered, request_context=self._express)

    async def _next_line(self) -> Line | None:
        while not self._lines and not self._at_end:
            chunk = await self._reader.read(CHUNK_BYTES)
            if chunk:
                self._lines.extend(self._splitter.feed(chunk))
            else:
                self._at_end = True
                self._lines.append(self._splitter.rest())
        return self._lines.popleft() if self._lines else None


class _Outbox(Stream):
    """The messages to the client. Never blocks, so that a client may write all it has before it reads."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def send(self, item: SessionMessage, /) -> None:
        self._exchange.send(item.message)
