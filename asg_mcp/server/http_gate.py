"""What every HTTP request passes before anything else looks at it: host, origin, token, rate, size.

The SDK checks hosts and origins on loopback alone, and each of its transports in its own way; so it is done here,
once, for all of them and for the API.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from asg_mcp.core.limits import (
    HTTP_BODY_BYTES_MAX,
    HTTP_BODY_SECONDS_MAX,
    HTTP_DEPTH_MAX,
    HTTP_RATES_KEPT_MAX,
    HTTP_REQUESTS_BURST,
    HTTP_REQUESTS_OPEN_MAX,
    HTTP_REQUESTS_PER_SECOND,
    HTTP_SEND_SECONDS_MAX,
    TOKEN_CHECK_SECONDS,
)
from asg_mcp.errors import (
    AsgError,
    ForeignOrigin,
    InvalidInput,
    LimitExceeded,
    Misdirected,
    RateExceeded,
    Unauthenticated,
)
from asg_mcp.server.arguments import shown
from asg_mcp.server.http_errors import refusal
from asg_mcp.server.http_metrics import Metrics
from asg_mcp.server.http_scopes import Challenges, called, check_scope, listens
from asg_mcp.services.access import Grant
from asg_mcp.services.oauth import ResourceServer

logger = logging.getLogger(__name__)

GRANT_KEY = "asg_mcp.grant"
"""Of the ASGI scope, once the request has passed."""
OPEN = "open"
"""The SDK's name for all who need no token."""
OPEN_PATHS = frozenset({"/healthz", "/readyz"})
"""What tells nothing but that the server is there needs no token."""
_BEARER = "bearer "
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = re.compile(rb"[\[{]+|[\]}]+")

Verify = Callable[[str], Grant | None]
"""From the text of a token, or "" where none was sent, to what it allows; None lets nobody in."""


Denied = Callable[[Scope, str, AsgError], Awaitable[None]]
"""Told of a request that is refused to whom it has let in: the request, what it calls, the error."""


def grant_of(scope: Scope) -> Grant:
    """What the sender of a request that has passed may do."""
    grant = scope[GRANT_KEY]
    assert isinstance(grant, Grant), "BUG: nothing passes without a grant"
    return grant


@dataclass(slots=True)
class Rates:
    """A bucket of requests for each token, or for each address where there is none."""

    clock: Callable[[], float] = time.monotonic
    per_second: float = HTTP_REQUESTS_PER_SECOND
    burst: float = HTTP_REQUESTS_BURST
    _left: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def take(self, who: str) -> None:
        """Raise RateExceeded when this one comes too soon."""
        now = self.clock()
        left, then = self._left.pop(who, (self.burst, now))
        left = min(self.burst, left + (now - then) * self.per_second)
        self._left[who] = (max(left - 1, 0) if left >= 1 else left, now)
        if len(self._left) > HTTP_RATES_KEPT_MAX:
            self._left.popitem(last=False)
        if left < 1:
            raise RateExceeded(
                f"More than {self.per_second:.0f} requests a second",
                hint="Wait a second. Several changes fit in one asg_apply.",
                limit="HTTP_REQUESTS_PER_SECOND",
                max=self.per_second,
            )


class Places:
    """The requests and streams of each token that are not answered to the end."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, who: str) -> None:
        """Take one, or raise RateExceeded. Those who need no token have the connections alone for a bound."""
        if who and self._taken[who] >= HTTP_REQUESTS_OPEN_MAX:
            raise RateExceeded(
                f"More than {HTTP_REQUESTS_OPEN_MAX} requests and streams of one token are open",
                hint="End a stream, or wait for an answer.",
                limit="HTTP_REQUESTS_OPEN_MAX",
                max=HTTP_REQUESTS_OPEN_MAX,
            )
        self._taken[who] += 1

    def give_back(self, who: str) -> None:
        """Give one back."""
        self._taken[who] -= 1
        if not self._taken[who]:
            del self._taken[who]


@dataclass(frozen=True, slots=True)
class Hosts:
    """The names under which clients may call this server, and pages may be served that call it; in any port."""

    names: frozenset[str]

    def check(self, headers: Headers) -> None:
        """Raise Misdirected or ForeignOrigin unless the request names this server, and comes from no other site."""
        hosts = headers.getlist("host")
        if len(hosts) != 1 or _name(f"//{hosts[0]}") not in self.names:
            raise Misdirected(
                f"This server is not called {shown(', '.join(hosts))}",
                hint=f"It answers to {', '.join(sorted(self.names))}; --allow-host adds a name.",
            )
        for origin in headers.getlist("origin"):
            if not origin.startswith(("http://", "https://")) or _name(origin) not in self.names:
                raise ForeignOrigin(
                    f"Pages from {shown(origin)} may not call this server",
                    hint="--allow-host adds the name of a site that may.",
                )


def _name(url: str) -> str:
    try:
        parts = urlsplit(url)
        if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
            return ""
        _ = parts.port  # raises where it is none
        return (parts.hostname or "").rstrip(".")
    except ValueError:
        return ""


class Gate:
    """The ASGI application around all others. `stopping` ends streams that clients only listen to.

    But for the paths in `ends_itself`: replies are still to come on them, and whoever serves them ends them.
    """

    def __init__(
        self,
        app: ASGIApp,
        hosts: Hosts,
        verify: Verify,
        stopping: anyio.Event,
        metrics: Metrics,
        *,
        oauth: ResourceServer | None = None,
        challenges: Challenges | None = None,
        denied: Denied | None = None,
        ends_itself: frozenset[str] = frozenset(),
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._oauth = oauth
        self._challenges = challenges
        self._denied = denied
        self._open_paths = OPEN_PATHS if challenges is None else OPEN_PATHS | challenges.open_paths
        self._hosts = hosts
        self._verify = verify
        self._stopping = stopping
        self._ends_itself = ends_itself
        self._rates = Rates()
        self._places = Places()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let the request pass, or answer it with what is wrong."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        reply = _Patient(send, lambda status: self._metrics.request(scope["path"], status))
        with contextlib.ExitStack() as leaving:
            try:
                body = await self._pass(scope, receive, leaving)
            except AsgError as error:
                told = error if self._challenges is None else self._challenges.addressed(error)
                await refusal(told, self._challenge(scope, told))(scope, receive, reply)
                return
            except _ClientGone:
                return
            await self._let_in(scope, receive, reply, body)

    async def _let_in(self, scope: Scope, receive: Receive, reply: _Patient, body: bytes) -> None:
        # What only listens is ended with the server, and with the token; a call under way is finished.
        ended = self._ended(scope) if listens(scope, body) else None
        try:
            await self._app(scope, _Replay(body, receive, ended), reply)
            await reply.end()
        except TimeoutError:
            logger.info("a client did not read its reply; the connection is closed")

    async def _pass(self, scope: Scope, receive: Receive, leaving: contextlib.ExitStack) -> bytes:
        headers = Headers(scope=scope)
        self._hosts.check(headers)
        client = scope.get("client") or ("",)
        if scope["path"] in self._open_paths:
            self._rates.take(f"address {client[0]}")
            return b""
        grant = await self._identify(headers, client[0])
        scope[GRANT_KEY] = grant
        # The SDK ties its own sessions to this: they answer to no other token.
        token = AccessToken(token="", client_id=grant.credential or OPEN, scopes=[], subject=grant.principal)
        scope["user"] = AuthenticatedUser(token)
        self._rates.take(f"token {grant.credential}" if grant.credential else f"address {client[0]}")
        self._places.take(grant.credential)
        leaving.callback(self._places.give_back, grant.credential)
        body = await _body(headers, receive)
        check_depth(body)
        try:
            check_scope(grant, scope, body)
        except AsgError as error:
            if self._denied is not None:
                await self._denied(scope, called(scope, body), error)
            raise
        return body

    async def _identify(self, headers: Headers, address: str) -> Grant:
        given = bearer(headers)
        if given and self._oauth is not None:
            await self._oauth.prepare(given)
        grant = self._verify(given)
        if grant is None:
            # Whoever guesses tokens has a bucket too, one that no token of the same address empties.
            self._rates.take(f"refused {address}")
            raise Unauthenticated("The token does not hold" if given else "This server asks for a token")
        return grant

    def _challenge(self, scope: Scope, error: AsgError) -> dict[str, str]:
        has_token = "authorization" in Headers(scope=scope)
        if self._challenges is not None:
            return self._challenges.header(error, has_token=has_token)
        is_refused = isinstance(error, Unauthenticated) and has_token
        return {"www-authenticate": 'Bearer error="invalid_token"'} if is_refused else {}

    def _ended(self, scope: Scope) -> Callable[[], Awaitable[None]]:
        """What waits until the server stops, or the sender may not do any more what it might when it was let in."""
        grant = scope.get(GRANT_KEY)
        token = "" if grant is None else bearer(Headers(scope=scope))

        stopping = anyio.Event() if scope["path"] in self._ends_itself else self._stopping

        async def ended() -> None:
            while grant is None or holds(self._verify, token, grant):
                with anyio.move_on_after(TOKEN_CHECK_SECONDS):
                    await stopping.wait()
                    return

        return ended


def bearer(headers: Headers) -> str:
    """The token that a request shows, or "". Raises Unauthenticated where it shows something else."""
    given = headers.getlist("authorization")
    if len(given) > 1 or (given and not given[0].lower().startswith(_BEARER)):
        raise Unauthenticated("The Authorization header is not one Bearer token")
    token = given[0][len(_BEARER) :].strip() if given else ""
    if given and not token:
        raise Unauthenticated("The Authorization header has no token")
    return token


def holds(verify: Verify, token: str, grant: Grant) -> bool:
    """Whether the token still allows what it did. One that cannot be verified does not."""
    try:
        return verify(token) == grant
    except AsgError as error:
        logger.warning("a stream is ended: %s", error.message)
        return False


class _ClientGone(Exception):
    """The client went away before its request was whole."""


async def _body(headers: Headers, receive: Receive) -> bytes:
    declared = headers.get("content-length", "")
    if declared.isdigit() and int(declared) > HTTP_BODY_BYTES_MAX:
        raise _too_large()
    parts, size, more = [], 0, True
    with anyio.move_on_after(HTTP_BODY_SECONDS_MAX):
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise _ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > HTTP_BODY_BYTES_MAX:
                raise _too_large()
            parts.append(part)
            more = message.get("more_body", False)
    if more:
        raise InvalidInput(f"The body did not come within {HTTP_BODY_SECONDS_MAX:.0f} s", hint="Send it again.")
    return b"".join(parts)


def _too_large() -> LimitExceeded:
    return LimitExceeded(
        f"The body has more than {HTTP_BODY_BYTES_MAX} bytes",
        hint="Split the work over several calls.",
        limit="HTTP_BODY_BYTES_MAX",
        max=HTTP_BODY_BYTES_MAX,
    )


def check_depth(body: bytes) -> None:
    """Raise LimitExceeded for JSON of more than HTTP_DEPTH_MAX levels: decoders behind this one recurse."""
    if body.count(b"[") + body.count(b"{") <= HTTP_DEPTH_MAX:
        return
    if max(_levels(body), default=0) > HTTP_DEPTH_MAX:
        raise LimitExceeded(
            f"The JSON has more than {HTTP_DEPTH_MAX} levels",
            hint="Store what is deep as JSON text, or flatten it.",
            limit="HTTP_DEPTH_MAX",
            max=HTTP_DEPTH_MAX,
        )


def _levels(body: bytes) -> Iterator[int]:
    level = 0
    for found in _BRACKETS.finditer(_STRING.sub(b"", body)):
        level += len(found[0]) if found[0][0] in b"[{" else -len(found[0])
        yield level


class _Replay:
    """The body again, for whoever is inside; then whether the client is gone, or has to go: once `ended` returns."""

    def __init__(self, body: bytes, receive: Receive, ended: Callable[[], Awaitable[None]] | None) -> None:
        self._body: bytes | None = body
        self._receive = receive
        self._ended = ended

    async def __call__(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        if self._ended is None:
            return await self._receive()
        wait = self._ended
        message: Message = {"type": "http.disconnect"}

        async def end() -> None:
            await wait()
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(end)
            message = await self._receive()
            tasks.cancel_scope.cancel()
        return message


class _Patient:
    """Sends that wait for a client that reads slowly, and not for ever."""

    def __init__(self, send: Send, answered: Callable[[int], None]) -> None:
        self._send = send
        self._answered = answered
        self._is_open = False

    async def __call__(self, message: Message) -> None:
        self._is_open = message["type"] == "http.response.start" or message.get("more_body", False)
        if message["type"] == "http.response.start":
            self._answered(message["status"])
        with anyio.fail_after(HTTP_SEND_SECONDS_MAX):
            await self._send(message)

    async def end(self) -> None:
        """End a stream that was left open, as the streams of the SDK are when they are told to stop."""
        if self._is_open:
            await self({"type": "http.response.body", "body": b"", "more_body": False})
