"""The catalogue as an MCP server, on the SDK's low-level `Server`.

The definitions are made once: lists never vary by connection. A server serves both
eras of the protocol and any number of connections.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import mcp_types as types
from mcp.server import Server
from mcp.server.caching import CacheableMethod, CacheHint
from mcp.server.context import ServerRequestContext
from mcp.shared.exceptions import MCPError

from asg_mcp import __version__
from asg_mcp.core.limits import NAME_BYTES_MAX
from asg_mcp.errors import AsgError
from asg_mcp.repo.observing import Target
from asg_mcp.repo.observing import observe as look_at
from asg_mcp.repo.repository import Repository
from asg_mcp.schemas.base import json_schema
from asg_mcp.server.calls import use_middleware
from asg_mcp.server.completion import complete
from asg_mcp.server.dispatch import Dispatcher, Reply, UnknownTool
from asg_mcp.server.faults import protocol_error
from asg_mcp.server.guarding import logged, reading
from asg_mcp.server.instructions import INSTRUCTIONS
from asg_mcp.server.profiles import EVERYTHING, Profile, select
from asg_mcp.server.prompts import PromptBook
from asg_mcp.server.resources import Shelf
from asg_mcp.server.subscriptions import Watcher, check_count, watching
from asg_mcp.server.withholding import withheld
from asg_mcp.services.access import Grant, Verb, decide
from asg_mcp.services.denials import Denials
from asg_mcp.tools.aliases import ALIASES
from asg_mcp.tools.registry import Caller, Catalogue, Tool, ToolContext

SERVER_NAME = "asg"
SERVER_TITLE = "AgentStateGraph"
UNKNOWN_CLIENT = "unknown client"
LIST_TTL_MS = 60 * 60 * 1_000
"""The definitions change with the program alone; an hour bounds how long an upgrade goes unseen."""
# Not "public": what a list holds may come to depend on what the caller may do.
_LISTED_ONCE = CacheHint(LIST_TTL_MS, "private")

_LISTS: tuple[CacheableMethod, ...] = (
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "prompts/list",
    "server/discover",
)
_Request = ServerRequestContext[Watcher]
Listed = TypeVar("Listed")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """What the operator fixed for all callers of a server. Empty means not fixed."""

    agent: str = ""
    """The agent recorded when a call names none; otherwise that is the client's name."""
    session: str = ""
    """The session every call belongs to."""
    profile: Profile = EVERYTHING
    """Which tools are offered."""


Identify = Callable[[Any], Grant]
"""From the HTTP request that brought a message to what its sender may do. Never from the message."""
Observe = Callable[[str, str, float], None]
"""Told of each call of a tool: its name, the code of its error or "ok", and the seconds it took."""


def build_server(catalogue: Catalogue, repo: Repository, principal: str, options: ServerOptions) -> Server[Watcher]:
    """A server that answers for `principal`, the verified identity behind all of its connections.

    Raises InvalidArgument where the options' profile names what is not there.
    """
    return server_of(Offer(catalogue, repo.seen_by(principal), options, principal))


def server_of(offer: Offer) -> Server[Watcher]:
    """The offer as a server of the SDK, for any number of connections."""
    schemas: Mapping[str, Mapping[str, Any]] = {tool.name: tool.input_schema for tool in offer.tools.tools}
    server = _FixedLists(
        SERVER_NAME,
        version=__version__,
        title=SERVER_TITLE,
        instructions=INSTRUCTIONS,
        lifespan=lambda _: watching(offer.repo),
        cache_hints=dict.fromkeys(_LISTS, _LISTED_ONCE),
        # Without it, the HTTP transport runs a whole tools/list for each call.
        get_tool_input_schema=schemas.get,
        on_list_tools=_page_of(offer.tools),
        on_call_tool=offer.call_tool,
        on_list_resources=_page_of(offer.shelf.listed),
        on_list_resource_templates=_page_of(offer.shelf.templates),
        on_read_resource=offer.read_resource,
        on_subscribe_resource=offer.subscribe,
        on_unsubscribe_resource=offer.unsubscribe,
        on_subscriptions_listen=offer.listen,
        on_list_prompts=_page_of(offer.prompts.listed),
        on_get_prompt=offer.get_prompt,
        on_completion=offer.complete,
    )
    use_middleware(server, frozenset(_names(offer.catalogue)), offer.caller_of, offer.answer)
    return server


class _FixedLists(Server[Watcher]):
    """The SDK's server, told that no list of it ever changes."""

    def get_capabilities(self, *args: Any, **kwargs: Any) -> types.ServerCapabilities:
        # In the newer era the SDK derives listChanged from subscriptions/listen, which is for resources alone here.
        told = super().get_capabilities(*args, **kwargs)
        for lists in (told.tools, told.prompts, told.resources):
            if lists is not None:
                lists.list_changed = False
        return told


class Offer:
    """What a server offers, and its answers. Holds no state of a connection.

    `repo` is the repository as all callers together may see it, and `identify` says who they are one by one; without
    it all are `principal`, the local user. Raises InvalidArgument where the profile names what is not there.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        repo: Repository,
        options: ServerOptions,
        principal: str = "",
        identify: Identify | None = None,
        observe: Observe | None = None,
    ) -> None:
        assert bool(principal) != bool(identify), "BUG: it has to be known who calls"
        chosen = select(catalogue, options.profile)
        self._switched_off = frozenset(_names(catalogue)) - frozenset(_names(chosen))
        self.repo = repo
        self._principal = principal
        self._identify = identify
        self._observe = observe
        self._options = options
        self.catalogue = chosen
        # A server that is offered for reading writes nothing, not even who was refused; the metrics count it.
        self.denials = None if options.profile.read_only else Denials(repo)
        self._dispatcher = Dispatcher(chosen, denied=None if self.denials is None else logged(self.denials))
        self._context_of = lru_cache(maxsize=256)(self._new_context)
        self.tools = types.ListToolsResult(tools=[_definition(tool) for tool in chosen])
        self.shelf = Shelf(chosen, self._dispatcher)
        self.prompts = PromptBook(chosen)

    def context(self, client: str, grant: Grant | None) -> ToolContext:
        """What a call of this client, under this grant, is made with."""
        return self._context_of(client, grant)

    def _new_context(self, client: str, grant: Grant | None) -> ToolContext:
        # The agent is named after the program without its version: an upgrade makes no other agent of it.
        agent = self._options.agent or client.rsplit("/", 1)[0]
        if grant is None:
            return ToolContext(self.repo, Caller(self._principal, client, agent, self._options.session))
        caller = Caller(grant.principal, client, grant.agent or agent, self._options.session, grant)
        return ToolContext(self.repo.seen_by(grant.principal), caller)

    def caller_of(self, request: _Request) -> ToolContext:
        """What a call in this request is made with."""
        grant = None if self._identify is None else self._identify(request.request)
        return self._context_of(_client_of(request), grant)

    async def refused(self, context: ToolContext, what: str, error: AsgError) -> None:
        """Have it logged that a caller was refused what is no call of a tool."""
        await self._dispatcher.refused(context, reading(what), error)

    async def call(self, context: ToolContext, name: str, arguments: Mapping[str, Any] | None) -> Reply:
        """Call a tool by its name or an alias. Raises UnknownTool alone."""
        if name in self._switched_off:
            raise UnknownTool(f"There is no tool {name}", hint="The operator of this server switched it off.")
        if self._observe is None:
            return await self._dispatcher.dispatch(context, name, arguments)
        began = time.perf_counter()
        reply = await self._dispatcher.dispatch(context, name, arguments)
        self._observe(name, reply.code, time.perf_counter() - began)
        return reply

    async def answer(self, context: ToolContext, version: str, name: str, arguments: Mapping[str, Any] | None) -> Reply:
        """The reply to a client of a revision that calls a tool. Raises MCPError where there is none of that name."""
        try:
            return await self.call(context, name, arguments)
        except UnknownTool as error:
            raise protocol_error(error, version) from None

    async def call_tool(self, request: _Request, params: types.CallToolRequestParams) -> types.CallToolResult:
        """tools/call."""
        context = self.caller_of(request)
        return _result(await self.answer(context, request.protocol_version, params.name, params.arguments))

    async def read_resource(
        self, request: _Request, params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """resources/read."""
        return await self.shelf.read(self.caller_of(request), params.uri, request.protocol_version)

    async def _watchable(self, request: _Request, uri: str) -> Target:
        """What a subscription to the address watches, where the caller may see it."""
        context, target = self.caller_of(request), self.shelf.target(uri)
        if context.caller.grant is not None:
            try:
                decide(context.caller.grant, Verb.READ, target.ref, (target.path or (),))
                # The watcher sees what all callers together may see.
                await context.repo.read(lambda view: look_at(view, (target,), must_exist=True))
            except AsgError as error:
                await self.refused(context, request.method, error)
                raise withheld(context.caller.grant, error) from None
        return target

    async def subscribe(self, request: _Request, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """resources/subscribe, of the older era."""
        subscriber = request.lifespan_context.subscriber(request.session)
        with _refusals(request):
            await subscriber.subscribe(params.uri, await self._watchable(request, params.uri))
        return types.EmptyResult()

    async def unsubscribe(self, request: _Request, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """resources/unsubscribe, of the older era."""
        await request.lifespan_context.subscriber(request.session).unsubscribe(params.uri)
        return types.EmptyResult()

    async def listen(
        self, request: _Request, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """subscriptions/listen, of the newer era."""
        # No list of this server ever changes, so a stream is for resources alone, and is acknowledged as that.
        uris = list(dict.fromkeys(params.notifications.resource_subscriptions or ()))
        honoured = types.SubscriptionFilter(resource_subscriptions=uris)
        with _refusals(request):
            check_count(len(uris))
            targets = {uri: await self._watchable(request, uri) for uri in uris}
            async with request.lifespan_context.watched_all(targets):
                return await request.lifespan_context.listen(
                    request, params.model_copy(update={"notifications": honoured})
                )

    async def get_prompt(self, request: _Request, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        """prompts/get."""
        with _refusals(request):
            return self.prompts.get(params.name, params.arguments or {})

    async def complete(self, request: _Request, params: types.CompleteRequestParams) -> types.CompleteResult:
        """completion/complete."""
        with _refusals(request):
            return types.CompleteResult(
                completion=await complete(self.caller_of(request), self.shelf, self.prompts, params)
            )


@contextmanager
def _refusals(request: _Request) -> Iterator[None]:
    try:
        yield
    except AsgError as error:
        raise protocol_error(error, request.protocol_version) from None


def _page_of(listed: Listed) -> Callable[[_Request, types.PaginatedRequestParams | None], Awaitable[Listed]]:
    """The handler of a list that has one page."""

    async def list_all(request: _Request, params: types.PaginatedRequestParams | None) -> Listed:
        if params is not None and params.cursor is not None:
            raise MCPError(types.INVALID_PARAMS, f"All are on the first page; repeat {request.method} without a cursor")
        return listed

    return list_all


def _names(catalogue: Catalogue) -> Iterator[str]:
    """All names that the tools answer to."""
    tools = {tool.name for tool in catalogue}
    yield from tools
    yield from (alias.name for alias in ALIASES if alias.tool in tools)


def _definition(tool: Tool) -> types.Tool:
    hints = tool.effect.hints
    return types.Tool(
        name=tool.name,
        description=tool.description,
        input_schema=json_schema(tool.params, brief=True),
        output_schema=json_schema(tool.result),
        annotations=types.ToolAnnotations(
            read_only_hint=hints.read_only,
            destructive_hint=hints.destructive,
            idempotent_hint=hints.idempotent,
            open_world_hint=hints.open_world,
        ),
    )


def _result(reply: Reply) -> types.CallToolResult:
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=reply.text)],
        structured_content=reply.structured,
        is_error=reply.is_error,
    )


def _client_of(request: _Request) -> str:
    """What the connection says it is: from the handshake, or from the request's own envelope in the newer era."""
    params = request.session.client_params
    if params is None:
        return UNKNOWN_CLIENT
    name, version = params.client_info.name, params.client_info.version
    return client_name(name[:NAME_BYTES_MAX], version[:NAME_BYTES_MAX])


@lru_cache(maxsize=256)
def client_name(name: str, version: str) -> str:
    """name/version as it may be recorded: printable, without outer spaces, at most NAME_BYTES_MAX bytes."""
    printable = "".join(char for char in name if char.isprintable()).strip()
    if not printable:
        return UNKNOWN_CLIENT
    printable += "".join(char for char in f"/{version}" if char.isprintable()).rstrip(" /")
    return printable.encode()[:NAME_BYTES_MAX].decode(errors="ignore").strip()
