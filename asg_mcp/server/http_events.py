"""The log as server-sent events: one a change of the store, from any place on, whichever process made it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from urllib.parse import parse_qs

import anyio
from pydantic_core import to_json
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from asg_mcp.core.events import Event, EventKind
from asg_mcp.core.ids import Id
from asg_mcp.core.limits import SUBSCRIPTION_POLL_SECONDS
from asg_mcp.errors import AsgError, InvalidArgument
from asg_mcp.repo.ledger import event_of
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.view import View
from asg_mcp.server.http_errors import refusal
from asg_mcp.server.http_gate import Denied, Verify, bearer, grant_of, holds
from asg_mcp.server.http_routes import EVENTS_PATH
from asg_mcp.services.access import ANYWHERE, Grant, Verb, decide

PAGE = 200
"""Events read at once; they are sent before the next are read, so a slow client holds no read transaction."""
QUIET_LOOKS_MAX = int(15 / SUBSCRIPTION_POLL_SECONDS)
"""Looks that find nothing before a comment shows that the stream is alive."""
_PRIVATE = frozenset(
    {
        *(EventKind.SESSION_OPENED, EventKind.SESSION_CLOSED, EventKind.SPECULATION_OPENED),
        *(EventKind.SPECULATION_COMPARED, EventKind.SPECULATION_COMMITTED, EventKind.SPECULATION_DISCARDED),
        EventKind.SPECULATION_BROUGHT,
        EventKind.SPECULATION_EXPIRED,
    }
)
"""Of others, a principal does not hear these."""
_DIGITS_MAX = 15
_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]


class EventStream:
    """The route. `after`, or Last-Event-ID, is the last event that the client has; without it, those to come."""

    def __init__(self, repo: Repository, verify: Verify, denied: Denied) -> None:
        self._repo = repo
        self._denied = denied
        self._verify = verify

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        grant = grant_of(scope)
        try:
            decide(grant, Verb.READ, ANYWHERE, ((),))
            after = await self._start(scope)
        except AsgError as error:
            await self._denied(scope, EVENTS_PATH, error)
            await refusal(error)(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        async with anyio.create_task_group() as tasks:

            async def gone() -> None:
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

            tasks.start_soon(gone)
            async for chunk in self._chunks(grant, after):
                if not holds(self._verify, bearer(Headers(scope=scope)), grant):
                    break  # revoked, or expired
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            tasks.cancel_scope.cancel()

    async def _start(self, scope: Scope) -> int:
        given = _asked(scope)
        count: int = await self._repo.read(lambda view: view.reader.events_count())
        if given is None:
            return count - 1
        if not (given.isascii() and given.isdigit()):
            raise InvalidArgument(f"{given[:_DIGITS_MAX]!r} is no index of an event", hint="Give the id of an event.")
        return min(int(given), count - 1) if len(given) <= _DIGITS_MAX else count - 1

    async def _chunks(self, grant: Grant, after: int) -> AsyncIterator[bytes]:
        quiet = 0
        yield b": the log, from here on\n\n"
        while True:
            start = after
            found, after = await self._repo.read(partial(_page, start, grant))
            if found:
                quiet = 0
                yield b"".join(found)
            elif after == start:
                quiet += 1
                yield b": alive\n\n" if quiet % QUIET_LOOKS_MAX == 0 else b""
                await anyio.sleep(SUBSCRIPTION_POLL_SECONDS)


def _asked(scope: Scope) -> str | None:
    headers = dict(scope["headers"])
    if b"last-event-id" in headers:
        return str(headers[b"last-event-id"].decode("latin-1"))
    query = parse_qs(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    unknown = query.keys() - {"after"}
    if unknown:
        raise InvalidArgument(f"There is no query parameter {min(unknown)[:80]!r}", hint="There is after.")
    given = query.get("after", [])
    if len(given) > 1:
        raise InvalidArgument("after is given more than once", hint="Give the id of one event.")
    return given[0] if given else None


def _page(after: int, grant: Grant, view: View) -> tuple[list[bytes], int]:
    last = min(after + PAGE, view.reader.events_count() - 1)
    found = []
    for index in range(after + 1, last + 1):
        row = view.reader.event(index)
        assert row is not None, "BUG: the log has no gaps"
        event = event_of(view.reader, row)
        if event.author.principal == grant.principal or not _is_private(event, grant):
            found.append(_encoded(event))
    return found, max(last, after)


def _is_private(event: Event, grant: Grant) -> bool:
    if event.kind is EventKind.DENIED:
        return Verb.ADMIN not in grant.verbs  # who was refused what is for those who grant it
    return event.kind in _PRIVATE or event.ref.startswith("spec:")


def _encoded(event: Event) -> bytes:
    header: dict[str, Any] = {
        name: item.hex() if isinstance(item, Id) else item for name, item in event.header().items()
    }
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.index, event.kind.value.encode(), to_json(header))
