"""Calls of tools in every shape that a client may give them, and what surrounds them on a connection."""

from __future__ import annotations

from typing import Any

from mcp.server import Server
from mcp_types import CLIENT_CAPABILITIES_META_KEY, LOG_LEVEL_META_KEY
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS, MODERN_PROTOCOL_VERSIONS

from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.subscriptions import Watcher
from asg_mcp.tools.registry import Tool
from tests.kit.rpc import Message, enveloped
from tests.server.toy_server import CATALOGUE, NO_REPOSITORY, Nothing, WhoResult, tool, who

PRINCIPAL = "local:tester"
VERSIONS = (*HANDSHAKE_PROTOCOL_VERSIONS, *MODERN_PROTOCOL_VERSIONS)
CALLS: dict[str, Any] = {
    "plain": {"name": "asg_echo", "arguments": {"value": {"a": [1, None, "ü"]}, "branch": "dev"}},
    "a null": {"name": "asg_echo", "arguments": {"value": None}},
    "a long number": {"name": "asg_echo", "arguments": {"value": 2**70}},
    "half a letter": {"name": "asg_echo", "arguments": {"value": "\ud800"}},
    "refused by the tool": {"name": "asg_fail", "arguments": {"how": "ref"}},
    "a refusal that is no Unicode": {"name": "asg_fail", "arguments": {"how": "surrogate"}},
    "a crash": {"name": "asg_fail", "arguments": {"how": "crash"}},
    "wrong arguments": {"name": "asg_echo", "arguments": {"valu": 1}},
    "an alias": {"name": "agentstategraph_get", "arguments": {}},
    "no such tool": {"name": "asg_ecko", "arguments": {}},
    "no arguments": {"name": "asg_who"},
    "null arguments": {"name": "asg_who", "arguments": None},
    "arguments that are a list": {"name": "asg_who", "arguments": [1]},
    "no name": {"arguments": {}},
    "a name that is a number": {"name": 7, "arguments": {}},
    "one more parameter": {"name": "asg_who", "arguments": {}, "cursor": "x"},
    "a task": {"name": "asg_who", "arguments": {}, "task": {"ttl": 1}},
    "a task that is a text": {"name": "asg_who", "arguments": {}, "task": "x"},
    "a progress token": {"name": "asg_who", "arguments": {}, "_meta": {"progressToken": 3}},
    "a progress token that is a text": {"name": "asg_who", "arguments": {}, "_meta": {"progressToken": "ü"}},
    "a progress token that is a list": {"name": "asg_who", "arguments": {}, "_meta": {"progressToken": []}},
    "a progress token that is true": {"name": "asg_who", "arguments": {}, "_meta": {"progressToken": True}},
    "a progress token that is half a number": {"name": "asg_who", "arguments": {}, "_meta": {"progressToken": 0.5}},
    "a progress token that is half a letter": {
        "name": "asg_who",
        "arguments": {},
        "_meta": {"progressToken": "\ud800"},
    },
    "a level to log at": {"name": "asg_who", "arguments": {}, "_meta": {LOG_LEVEL_META_KEY: "info"}},
    "a level that is none": {"name": "asg_who", "arguments": {}, "_meta": {LOG_LEVEL_META_KEY: "bogus"}},
    "capabilities that are none": {"name": "asg_who", "arguments": {}, "_meta": {CLIENT_CAPABILITIES_META_KEY: 1}},
    "a meta of somebody else": {"name": "asg_who", "arguments": {}, "_meta": {"example.org/x": [1]}},
    "a meta with half a letter": {"name": "asg_who", "arguments": {}, "_meta": {"example.org/x": "\ud800"}},
    "an empty meta": {"name": "asg_who", "arguments": {}, "_meta": {}},
    "a meta that is null": {"name": "asg_who", "arguments": {}, "_meta": None},
    "a meta that is a text": {"name": "asg_who", "arguments": {}, "_meta": "x"},
    "a meta that is an empty text": {"name": "asg_who", "arguments": {}, "_meta": ""},
    "no parameters": None,
}
# One tool has a name under which the reference project knows it.
TOOLS: tuple[Tool, ...] = (*CATALOGUE, tool("get", who, Nothing, WhoResult))


def server_of_toys(*others: Tool) -> Server[Watcher]:
    """A server of these tools."""
    return build_server((*TOOLS, *others), NO_REPOSITORY, PRINCIPAL, ServerOptions())


def request(number: Any, params: Any) -> Message:
    """A call with this id."""
    message: Message = {"jsonrpc": "2.0", "id": number, "method": "tools/call"}
    return message if params is None else {**message, "params": params}


def handshake(version: str, client: str = "raw", number: int = 0) -> list[Message]:
    """How a connection of the older era begins."""
    told = {"protocolVersion": version, "capabilities": {}, "clientInfo": {"name": client, "version": "1"}}
    return [
        {"jsonrpc": "2.0", "id": number, "method": "initialize", "params": told},
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
    ]


def in_envelope(call: Message, client: str = "raw") -> Message:
    """The call of a client of the newer era; what a call has in its place besides is kept."""
    if "params" not in call:
        return call
    meta, own = enveloped(call, client)["params"]["_meta"], call["params"].get("_meta", {})
    return {**call, "params": {**call["params"], "_meta": {**meta, **own} if isinstance(own, dict) else own}}


def conversation(version: str, calls: list[Message]) -> list[Message]:
    """What a client of this revision sends to make these calls."""
    if version in HANDSHAKE_PROTOCOL_VERSIONS:
        return [*handshake(version), *calls]
    return [in_envelope(call) for call in calls]
