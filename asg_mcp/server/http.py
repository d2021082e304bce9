"""The HTTP server: Streamable HTTP at /mcp, SSE at /sse for older clients, the API, health and metrics; one app."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import uvicorn
from mcp.server import Server
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp
from pydantic_core import to_json
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from asg_mcp.core.limits import (
    DRAIN_SECONDS_MAX,
    HTTP_CONNECTIONS_MAX,
    NAME_BYTES_MAX,
)
from asg_mcp.errors import AsgError, InvalidArgument
from asg_mcp.repo.observing import observe
from asg_mcp.repo.repository import Repository
from asg_mcp.server.http_api import Api, failed, no_parameters, no_route
from asg_mcp.server.http_errors import answer, refusal
from asg_mcp.server.http_events import EventStream
from asg_mcp.server.http_gate import Denied, Gate, Hosts, Verify, grant_of
from asg_mcp.server.http_messages import Messages
from asg_mcp.server.http_metrics import CONTENT_TYPE, Metrics
from asg_mcp.server.http_routes import EVENTS_PATH, METRICS_PATH, OPENAPI_PATH
from asg_mcp.server.http_scopes import Challenges
from asg_mcp.server.http_sessions import MESSAGES_PATH, FairSessions, SseSessions
from asg_mcp.server.http_wire import PunctualProtocol
from asg_mcp.server.mcp import Offer, ServerOptions, client_name, server_of
from asg_mcp.server.openapi import document
from asg_mcp.server.subscriptions import Watcher
from asg_mcp.services.access import Verb, decide
from asg_mcp.services.oauth import ResourceServer
from asg_mcp.tools.registry import Catalogue

logger = logging.getLogger(__name__)

MCP_PATH, SSE_PATH = "/mcp", "/sse"
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"0.0.0.0", "::"})


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """Where to listen, and to whom."""

    host: str = "127.0.0.1"
    port: int = 3001
    """0 is any that is free."""
    allowed_hosts: tuple[str, ...] = ()
    """Names under which clients may call the server, besides its own."""

    @property
    def hosts(self) -> Hosts:
        """Every name under which it may be called."""
        own = {self.host.strip("[]").lower()} - _WILDCARDS
        local = LOOPBACK_NAMES if is_loopback(self.host) or self.host in _WILDCARDS else frozenset[str]()
        return Hosts(frozenset(own | local | {name.strip("[]").lower() for name in self.allowed_hosts}))


def is_loopback(host: str) -> bool:
    """Whether nobody on another machine reaches what listens there. A name other than localhost may be anywhere."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def listen(options: HttpOptions) -> socket.socket:
    """A socket that listens there. Raises InvalidArgument when the system does not allow it."""
    try:
        family, kind, number, _, address = socket.getaddrinfo(
            options.host.strip("[]"), options.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, number)
        try:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
            found.listen(HTTP_CONNECTIONS_MAX)
        except BaseException:
            found.close()
            raise
    except (OSError, OverflowError) as error:
        raise InvalidArgument(
            f"Nothing can listen on {options.host}:{options.port}: {error}",
            hint="Give another --port, or another --host; something may be listening there already.",
        ) from error
    return found


def address_of(listening: socket.socket) -> str:
    """The URL of a socket."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def make_app(
    catalogue: Catalogue,
    repo: Repository,
    options: ServerOptions,
    hosts: Hosts,
    verify: Verify,
    stopping: anyio.Event,
    served: Callable[[Offer], Server[Watcher]] = server_of,
    oauth: ResourceServer | None = None,
) -> ASGIApp:
    """All of it as one ASGI application. `verify` says what a token allows; `stopping` ends what only listens.

    `served` makes the MCP server of what is offered. `oauth` is what verifies the tokens of an authorization server,
    where there is one: clients are told of it.

    Raises InvalidArgument where the options' profile names what is not there.
    """
    metrics = Metrics()
    offer = Offer(catalogue, repo, options, identify=lambda request: grant_of(request.scope), observe=metrics.call)
    server = served(offer)
    manager = FairSessions(server)
    sse = SseSessions(server, stopping)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    async def denied(scope: Scope, what: str, error: AsgError) -> None:
        name, _, version = Headers(scope=scope).get("user-agent", "").split(" ")[0].partition("/")
        client = client_name(name[:NAME_BYTES_MAX], version[:NAME_BYTES_MAX])
        await offer.refused(offer.context(client, grant_of(scope)), what, error)

    challenges = None if oauth is None else Challenges(oauth)
    routes: list[BaseRoute] = [
        Route(MCP_PATH, Messages(StreamableHTTPASGIApp(manager))),
        _stream(SSE_PATH, sse.listen),
        Mount(MESSAGES_PATH, app=Messages(sse.post)),
        *_health(repo),
        *Api(offer).routes(),
        *_descriptions(offer, metrics, denied),
        _stream(EVENTS_PATH, EventStream(repo, verify, denied)),
        *([] if challenges is None else challenges.routes()),
    ]
    handlers = {404: no_route, 405: no_route, Exception: failed}
    app = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    app.router.redirect_slashes = False  # a redirect would name whatever Host says
    return Gate(
        app,
        hosts,
        verify,
        stopping,
        metrics,
        oauth=oauth,
        challenges=challenges,
        denied=denied,
        ends_itself=frozenset({SSE_PATH}),
    )


def _descriptions(offer: Offer, metrics: Metrics, denied: Denied) -> Iterator[Route]:
    described = to_json(document(offer.catalogue))

    async def openapi(request: Request) -> Response:
        try:
            no_parameters(request)
        except AsgError as error:
            return refusal(error)
        return answer(described)

    async def measured(request: Request) -> Response:
        try:
            no_parameters(request)
            decide(grant_of(request.scope), Verb.READ)
            return Response(await metrics.text(offer.repo), media_type=CONTENT_TYPE)
        except AsgError as error:
            await denied(request.scope, METRICS_PATH, error)
            return refusal(error)

    yield Route(OPENAPI_PATH, openapi, methods=["GET"])
    yield Route(METRICS_PATH, measured, methods=["GET"])


def _stream(path: str, app: ASGIApp) -> Route:
    """What only listens. A HEAD of it would be answered by no end of nothing, so it is not taken."""
    route = Route(path, _Raw(app), methods=["GET"])
    route.methods = {"GET"}
    return route


class _Raw:
    """An ASGI application for a route, which takes a plain function for a handler of requests."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _health(repo: Repository) -> Iterator[Route]:
    async def alive(_: Request) -> Response:
        return answer(b'{"status":"ok"}')

    async def ready(_: Request) -> Response:
        try:
            await repo.read(observe)
        except AsgError as error:
            logger.warning("not ready: %s", error.message)
            return answer(b'{"status":"unavailable"}', 503)
        return answer(b'{"status":"ok"}')

    yield Route("/healthz", alive, methods=["GET"])
    yield Route("/readyz", ready, methods=["GET"])


class HttpServer(uvicorn.Server):
    """Uvicorn, ended by a signal or by `stop`: calls under way finish, then the caller goes on."""

    def __init__(self, app: ASGIApp, stopping: anyio.Event) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=PunctualProtocol,
                ws="none",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=HTTP_CONNECTIONS_MAX,
                timeout_graceful_shutdown=int(DRAIN_SECONDS_MAX),
                # The principal's address is the peer's: headers of proxies are not believed.
                proxy_headers=False,
            )
        )
        self._stopping = stopping

    def stop(self) -> None:
        """End, from this thread or another."""
        self.should_exit = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what listens, and wait for the rest."""
        self._stopping.set()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals end the server and nothing more; uvicorn raises them again, and the store would not be closed."""
        if not _is_main_thread():
            yield
            return
        before: dict[int, Any] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                # No method of this object: sse_starlette, by which the SDK streams, looks for a server behind the
                # handler, and ends every stream as soon as that is to end, whatever reply is still to come.
                before[int(number)] = signal.signal(number, lambda _, __: self.stop())
            yield
        finally:
            for caught, handler in before.items():
                signal.signal(caught, handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


async def serve_http(
    catalogue: Catalogue,
    repo: Repository,
    options: ServerOptions,
    verify: Verify,
    listening: socket.socket,
    hosts: Hosts,
    started: Callable[[HttpServer], None] = lambda _: None,
    oauth: ResourceServer | None = None,
) -> None:
    """Serve until a signal comes or the server handed to `started` is stopped."""
    stopping = anyio.Event()
    server = HttpServer(make_app(catalogue, repo, options, hosts, verify, stopping, oauth=oauth), stopping)
    started(server)
    await server.serve([listening])
