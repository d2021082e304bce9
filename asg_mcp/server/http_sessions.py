"""The sessions of clients of the older era, over Streamable HTTP and over SSE: what of theirs is under way."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Self

import anyio
import anyio.lowlevel
from mcp.server import Server
from mcp.server.auth.middleware.bearer_auth import AuthorizationContext
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp_types import JSONRPCError, JSONRPCRequest, JSONRPCResponse, RequestId
from starlette.types import Message, Receive, Scope, Send

from asg_mcp.core.limits import (
    DRAIN_SECONDS_MAX,
    HTTP_BODY_BYTES_MAX,
    HTTP_SESSIONS_MAX,
    HTTP_SESSIONS_PER_TOKEN_MAX,
)
from asg_mcp.server.http_gate import OPEN
from asg_mcp.server.http_messages import refused, request_of
from asg_mcp.server.lines import ENDLESS_METHODS, still_under_way
from asg_mcp.server.streams import Stream
from asg_mcp.server.subscriptions import Watcher

MESSAGES_PATH = "/messages/"
SSE_DRAIN_SECONDS_MAX = DRAIN_SECONDS_MAX - 1
"""Then the calls under way are given up, in order; uvicorn would break off what is left a second later."""
# The gate has checked them, on every bind; the SDK would do so on some.
_CHECKED_ALREADY = TransportSecuritySettings(enable_dns_rebinding_protection=False)


class Tally:
    """How much is under way."""

    def __init__(self) -> None:
        self._count = 0
        self._none = anyio.Event()

    def begin(self) -> None:
        """One more."""
        self._count += 1

    def end(self, number: int = 1) -> None:
        """So many fewer."""
        self._count -= number
        if not self._count:
            self._none.set()
            self._none = anyio.Event()

    @contextmanager
    def one(self) -> Iterator[None]:
        """One more, as long as the block lasts."""
        self.begin()
        try:
            yield
        finally:
            self.end()

    async def none(self) -> None:
        """Return when nothing is."""
        while self._count:
            await self._none.wait()


class Underway:
    """The requests of one session that are not answered, by their ids: as texts, since to the SDK 1 and "1" are one."""

    def __init__(self, tally: Tally) -> None:
        self._tally = tally
        self._ids: set[str] = set()

    def begin(self, request: RequestId) -> JSONRPCError | None:
        """Note that `request` is being worked on, or return the error that refuses it."""
        if str(request) in self._ids:
            return still_under_way(request)
        self._ids.add(str(request))
        self._tally.begin()
        return None

    def end(self, request: RequestId) -> None:
        """Note that it is answered, or never will be."""
        if str(request) in self._ids:
            self._ids.discard(str(request))
            self._tally.end()

    def end_all(self) -> None:
        """Note that the session has ended."""
        self._tally.end(len(self._ids))
        self._ids.clear()


class _Outbox(Stream):
    """The messages to the client; a response ends the request that it answers."""

    def __init__(self, writing: Any, underway: Underway) -> None:
        self._writing = writing
        self._underway = underway

    async def send(self, item: SessionMessage, /) -> None:
        message = item.message
        if not isinstance(message, JSONRPCResponse | JSONRPCError) or message.id is None:
            await self._writing.send(item)
            return
        try:
            await self._writing.send(item)
            # The SDK has it, and only in its own turn looks by the id whose it is: the next to have the id comes after.
            await anyio.lowlevel.checkpoint()
        finally:
            self._underway.end(message.id)

    async def refuse(self, error: JSONRPCError) -> None:
        """Send an error about a request that was never begun, and whose id may be that of another."""
        await self._writing.send(SessionMessage(error))

    async def aclose(self) -> None:
        await self._writing.aclose()


# --- Streamable HTTP --------------------------------------------------------------


class FairSessions(StreamableHTTPSessionManager):
    """The SDK's sessions, of which one token cannot have all: they last for half an hour after their last request."""

    def __init__(self, server: Server[Watcher]) -> None:
        super().__init__(
            server,
            security_settings=_CHECKED_ALREADY,
            max_request_body_size=HTTP_BODY_BYTES_MAX,
            max_sessions=HTTP_SESSIONS_MAX,
        )

    def _admit_session(self, requestor: AuthorizationContext | None) -> StreamableHTTPServerTransport | None:
        owned = sum(owner == requestor for owner in self._session_owners.values())
        if requestor is not None and requestor["client_id"] != OPEN and owned >= HTTP_SESSIONS_PER_TOKEN_MAX:
            return None
        made = super()._admit_session(requestor)
        if made is None or made.mcp_session_id is None:
            return None
        session = _Session(
            made.mcp_session_id, security_settings=self.security_settings, idle_timeout=self.session_idle_timeout
        )
        self._server_instances[made.mcp_session_id] = session
        return session


class _Session(StreamableHTTPServerTransport):
    """A session in which an id stands for one request at a time: the SDK would answer the last one that came alone.

    An id is free again when its request is answered, which is so even where the client has gone before.
    """

    def __init__(self, session: str, **given: Any) -> None:
        super().__init__(session, **given)
        self._unanswered = Underway(Tally())
        self._posts: dict[str, anyio.Event] = {}

    async def handle_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = request_of(scope)
        if request is None:
            await super().handle_request(scope, receive, send)
            return
        if (error := self._unanswered.begin(request)) is not None:
            await refused(error)(scope, receive, send)
            return
        statuses: list[int] = []

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])
            await send(message)

        try:
            async with self._post(str(request)):
                await super().handle_request(scope, receive, watched)
        finally:
            if statuses[:1] != [200]:
                self._unanswered.end(request)  # it was refused, and never came to the server

    @asynccontextmanager
    async def _post(self, request: str) -> AsyncGenerator[None, None]:
        """The POST of a request. One before it may be answered and not over: the SDK clears up by the id."""
        while (before := self._posts.get(request)) is not None:
            await before.wait()
        self._posts[request] = anyio.Event()
        try:
            yield
        finally:
            self._posts.pop(request).set()

    @asynccontextmanager
    async def connect(self) -> AsyncGenerator[tuple[Any, Any], None]:
        async with super().connect() as (reading, writing):
            yield reading, _Outbox(writing, self._unanswered)

    async def _terminate_unanswered_request(self, request_id: RequestId) -> None:
        try:
            await super()._terminate_unanswered_request(request_id)
        finally:
            self._unanswered.end(request_id)


# --- SSE --------------------------------------------------------------------------


class SseSessions:
    """Streams of server-sent events, and the messages that are posted for them.

    `stopping` ends the streams when all that was posted is answered, or in time.
    """

    def __init__(self, server: Server[Watcher], stopping: anyio.Event) -> None:
        self._server = server
        self._stopping = stopping
        self._transport = SseServerTransport(MESSAGES_PATH, _CHECKED_ALREADY, HTTP_BODY_BYTES_MAX)
        self._tally = Tally()

    async def listen(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application of the streams."""
        underway = Underway(self._tally)
        try:
            async with self._transport.connect_sse(scope, receive, send) as (reading, writing):
                outbox = _Outbox(writing, underway)
                inbox = _Inbox(reading, outbox, underway)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(self._end, reading)
                    await self._server.run(inbox, outbox, self._server.create_initialization_options())
                    tasks.cancel_scope.cancel()
        finally:
            underway.end_all()

    async def post(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application of the messages. One counts until its session has it, where it counts as a request."""
        with self._tally.one():
            await self._transport.handle_post_message(scope, receive, send)

    async def _end(self, reading: Any) -> None:
        await self._stopping.wait()
        with anyio.move_on_after(SSE_DRAIN_SECONDS_MAX):
            await self._tally.none()
        # The server ends when its input does, and the stream when all that the server sent is on it.
        await reading.aclose()


class _Inbox(Stream):
    """The messages of the client, without requests whose id is taken."""

    def __init__(self, reading: Any, outbox: _Outbox, underway: Underway) -> None:
        self._reading = reading
        self._outbox = outbox
        self._underway = underway

    @property
    def last_context(self) -> Any:
        """Whence the last message came, which the SDK works on it in."""
        return self._reading.last_context

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SessionMessage | Exception:
        try:
            return await self.receive()
        except anyio.EndOfStream:
            raise StopAsyncIteration from None

    async def receive(self) -> SessionMessage | Exception:
        """The next message. Raises anyio.EndOfStream after the last."""
        while True:
            try:
                item: SessionMessage | Exception = await self._reading.receive()
            except anyio.ClosedResourceError:
                raise anyio.EndOfStream from None
            if isinstance(item, Exception) or not isinstance(item.message, JSONRPCRequest):
                return item
            if item.message.method in ENDLESS_METHODS:
                return item
            error = self._underway.begin(item.message.id)
            if error is None:
                return self._noted(item, item.message.id)
            await self._outbox.refuse(error)

    def _noted(self, item: SessionMessage, request: RequestId) -> SessionMessage:
        async def unanswered() -> None:
            self._underway.end(request)

        if isinstance(item.metadata, ServerMessageMetadata):
            item.metadata.on_request_unanswered = unanswered
        return item

    async def aclose(self) -> None:
        await self._reading.aclose()
