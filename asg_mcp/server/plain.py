"""What makes a call of a tool plain: nothing about it that the MCP SDK would have to judge, or would do."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import Any, Final

from mcp.server.context import ServerRequestContext
from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from opentelemetry.trace import ProxyTracerProvider, get_tracer_provider
from pydantic_core import to_json

CALL: Final = "tools/call"
_PLAIN: Final = frozenset({"name", "arguments", "_meta"})
_TOKEN: Final = "progressToken"
_PLAIN_META: Final = frozenset({PROTOCOL_VERSION_META_KEY, CLIENT_INFO_META_KEY, CLIENT_CAPABILITIES_META_KEY, _TOKEN})


def is_plain(params: Mapping[str, Any] | None, names: Container[str]) -> bool:
    """Whether the parameters of a call are one of these names, arguments, and nothing else but `_meta`."""
    return (
        params is not None
        and params.keys() <= _PLAIN
        and type(params.get("name")) is str
        and type(params.get("arguments")) is dict
        and params["name"] in names
    )


def is_known(ctx: ServerRequestContext[Any, Any]) -> bool:
    """Whether the SDK would find nothing wrong with who sent a request: a known client, in an envelope it can read."""
    return (
        ctx.request_id is not None
        and ctx.session.client_params is not None
        and ctx.params is not None
        # The SDK leaves a malformed envelope out; its own way tells what is wrong with it.
        and ("_meta" not in ctx.params or (ctx.meta is not None and ctx.params["_meta"].keys() <= _PLAIN_META))
    )


def envelope_of(params: Mapping[str, Any]) -> bytes | None:
    """What is equal in requests that the SDK judges alike: `_meta` without the token of one. None: it has to see."""
    meta = params.get("_meta", {})
    if type(meta) is not dict:
        return None
    if _TOKEN in meta:
        token = meta[_TOKEN]
        if type(token) is not int and not (type(token) is str and token.isascii()):
            return None
        meta = {key: value for key, value in meta.items() if key != _TOKEN}
    try:
        return to_json(meta)  # Dicts compare 1, 1.0 and true as equal, and the SDK may not.
    except ValueError:
        return None


def is_traced() -> bool:
    """Whether somebody set up a tracer, who is to be told of every request."""
    return not isinstance(get_tracer_provider(), ProxyTracerProvider)
