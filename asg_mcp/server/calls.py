"""tools/call by the short way, and tracing where somebody traces: the middleware of the server.

On the SDK's way a call is validated three times before the handler sees it, and its result twice behind it (mcp 2.3,
`mcp/server/runner.py`). Here the arguments are checked against the tool's own model and the result is made from one, so
a call of the plain shape is answered in its wire form at once; whatever is unusual about it takes the SDK's way, and so
does a tool that is not of the catalogue. A test holds both ways to the same answers.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Any, Final

from mcp.server import Server
from mcp.server.context import CallNext, HandlerResult, ServerMiddleware, ServerRequestContext
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CLIENT_INFO_META_KEY,
    PROTOCOL_VERSION_META_KEY,
    SERVER_INFO_META_KEY,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider

from asg_mcp.server.dispatch import Reply
from asg_mcp.server.subscriptions import Watcher

_METHOD: Final = "tools/call"
_PLAIN: Final = frozenset({"name", "arguments", "_meta"})
_PLAIN_META: Final = frozenset(
    {PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY, "progressToken"}
)
_TRACING: Final = "OpenTelemetryMiddleware"

Call = Callable[[ServerRequestContext[Watcher], str, dict[str, Any]], Awaitable[Reply]]
"""From the request, the tool's name and its arguments to the reply. Raises MCPError."""


def use_middleware(server: Server[Watcher], names: Container[str], call: Call) -> None:
    """Give a server the short way for calls of the tools of these names; its SDK traces where a tracer is set up."""
    traced = [_Traced(each) if type(each).__name__ == _TRACING else each for each in server.middleware]
    server.middleware[:] = [*traced, _ShortWay(server, names, call)]


class _Traced(ServerMiddleware[Watcher]):
    """Leaves tracing out while nobody traces: its spans would go nowhere, and take a tenth of a call to make."""

    def __init__(self, tracing: ServerMiddleware[Watcher]) -> None:
        self._tracing = tracing

    async def __call__(self, ctx: ServerRequestContext[Watcher, Any], call_next: CallNext) -> HandlerResult:
        if isinstance(get_tracer_provider(), ProxyTracerProvider):
            return await call_next(ctx)
        return await self._tracing(ctx, call_next)


class _ShortWay(ServerMiddleware[Watcher]):
    def __init__(self, server: Server[Watcher], names: Container[str], call: Call) -> None:
        self._server = server
        self._names = names
        self._call = call

    async def __call__(self, ctx: ServerRequestContext[Watcher, Any], call_next: CallNext) -> HandlerResult:
        if not (_is_plain(ctx) and ctx.params is not None and ctx.params["name"] in self._names):
            return await call_next(ctx)
        reply = await self._call(ctx, ctx.params["name"], ctx.params["arguments"])
        result: dict[str, Any] = {"content": [{"type": "text", "text": reply.text}]}
        if reply.structured is not None:
            result["structuredContent"] = reply.structured
        result["isError"] = reply.is_error
        if ctx.protocol_version in MODERN_PROTOCOL_VERSIONS:
            result["resultType"] = "complete"
            result["_meta"] = {SERVER_INFO_META_KEY: self._server.server_info_stamp}
        return result


def _is_plain(ctx: ServerRequestContext[Watcher, Any]) -> bool:
    """Whether the SDK would find nothing wrong with a request: a call with a name and arguments of a known client."""
    params = ctx.params
    return (
        ctx.method == _METHOD
        and ctx.request_id is not None
        and ctx.session.client_params is not None
        and params is not None
        and params.keys() <= _PLAIN
        and type(params.get("name")) is str
        and type(params.get("arguments")) is dict
        # The SDK leaves a malformed envelope out; its own way tells what is wrong with it.
        and ("_meta" not in params or (ctx.meta is not None and params["_meta"].keys() <= _PLAIN_META))
    )
