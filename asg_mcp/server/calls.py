"""tools/call by the short way, and tracing where somebody traces: the middleware of the server.

On the SDK's way a call is validated three times before the handler sees it, and its result twice behind it (mcp 2.3,
`mcp/server/runner.py`). Here the arguments are checked against the tool's own model and the result is made from one, so
a call of the plain shape is answered in its wire form at once; whatever is unusual about it takes the SDK's way, and so
does a tool that is not of the catalogue. A test holds both ways to the same answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container, Mapping
from functools import partial
from typing import Any, Final

from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp_types import SERVER_INFO_META_KEY
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from orjson import Fragment

from asg_mcp.server.dispatch import Reply
from asg_mcp.server.express import Express
from asg_mcp.server.plain import CALL, is_known, is_plain, is_traced
from asg_mcp.server.subscriptions import Watcher
from asg_mcp.tools.registry import ToolContext

_TRACING: Final = "OpenTelemetryMiddleware"

CallerOf = Callable[[ServerRequestContext[Watcher]], ToolContext]
"""From a request to what a call in it is made with."""
Call = Callable[[ToolContext, str, str, Mapping[str, Any]], Awaitable[Reply]]
"""From that, the revision of the protocol, the tool's name and its arguments to the reply. Raises MCPError."""


def use_middleware(server: Server[Watcher], names: Container[str], caller_of: CallerOf, call: Call) -> None:
    """Give a server the short way for calls of the tools of these names; its SDK traces where a tracer is set up."""
    traced = [_Traced(each) if type(each).__name__ == _TRACING else each for each in server.middleware]
    server.middleware[:] = [*traced, _ShortWay(server, names, caller_of, call)]


class _Traced(ServerMiddleware[Watcher]):
    """Leaves tracing out while nobody traces: its spans would go nowhere, and take a tenth of a call to make."""

    def __init__(self, tracing: ServerMiddleware[Watcher]) -> None:
        self._tracing = tracing

    async def __call__(self, ctx: ServerRequestContext[Watcher, Any], call_next: CallNext) -> HandlerResult:
        return await (self._tracing(ctx, call_next) if is_traced() else call_next(ctx))


class _ShortWay(ServerMiddleware[Watcher]):
    def __init__(self, server: Server[Watcher], names: Container[str], caller_of: CallerOf, call: Call) -> None:
        self._server = server
        self._names = names
        self._caller_of = caller_of
        self._call = call

    async def __call__(self, ctx: ServerRequestContext[Watcher, Any], call_next: CallNext) -> HandlerResult:
        params = ctx.params
        if ctx.method != CALL or params is None or not is_plain(params, self._names) or not is_known(ctx):
            return await call_next(ctx)
        stamp = self._server.server_info_stamp if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS else None
        caller, version = self._caller_of(ctx), ctx.protocol_version
        if isinstance(ctx.request, Express):
            ctx.request.learn(params, self._names, partial(self._in_short, caller, version, stamp))
        reply = await self._call(caller, version, params["name"], params["arguments"])
        return _result(reply, reply.structured, stamp)

    async def _in_short(
        self, caller: ToolContext, version: str, stamp: dict[str, Any] | None, name: str, arguments: dict[str, Any]
    ) -> dict[str, Any]:
        """A result to be written at once, with the reply's own JSON in it."""
        reply = await self._call(caller, version, name, arguments)
        return _result(reply, None if reply.structured is None else Fragment(reply.text), stamp)


def _result(reply: Reply, structured: dict[str, Any] | Fragment | None, stamp: dict[str, Any] | None) -> dict[str, Any]:
    """The wire form of a reply; with the stamp of the server, in which the newer era has its name."""
    result: dict[str, Any] = {"content": [{"type": "text", "text": reply.text}]}
    if structured is not None:
        result["structuredContent"] = structured
    result["isError"] = reply.is_error
    if stamp is not None:
        result["resultType"] = "complete"
        result["_meta"] = {SERVER_INFO_META_KEY: stamp}
    return result
