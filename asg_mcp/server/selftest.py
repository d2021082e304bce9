"""A client of our own server: the SDK's, over a real process's pipes. For `doctor` and `demo`."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

import anyio
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import Implementation, TextContent

from asg_mcp import __version__
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import AsgError

START_SECONDS_MAX = 60.0
"""How long the server may take to start and answer; a loaded machine needs a few seconds."""
CALL_SECONDS_MAX = 60.0
"""How long one call may take: longer than a write waits for its turn among processes."""


class ServerFault(AsgError):
    """The server did not start, did not answer, or refused a call that it should take."""

    code = "server_fault"
    default_hint = "`asg-mcp doctor` checks the program and the store."


@dataclass(frozen=True, slots=True)
class Launch:
    """How to start a server process."""

    command: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What a connected server offers."""

    protocol: str
    tools: tuple[str, ...]


class Connection:
    """A connected client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def facts(self) -> ServerFacts:
        """The protocol revision agreed on, and the tools listed. Raises ServerFault."""
        with _faults():
            listed = await self._client.list_tools()
        return ServerFacts(self._client.protocol_version, tuple(tool.name for tool in listed.tools))

    async def call(self, tool: str, arguments: Mapping[str, JsonValue]) -> dict[str, Any]:
        """The reply of a tool. Raises ServerFault, with the tool's own error when that refuses."""
        with _faults():
            reply = await self._client.call_tool(tool, dict(arguments))
        if not reply.is_error:
            return dict(reply.structured_content or {})
        told = json.loads("".join(part.text for part in reply.content if isinstance(part, TextContent)))
        raise ServerFault(f"{tool} answered: {told['message']}", hint=told.get("hint", ""), error=told)


@asynccontextmanager
async def connected(launch: Launch, client: str, version: str = __version__) -> AsyncIterator[Connection]:
    """A server process with a client that calls itself `client`/`version`, ended with the block.

    Raises ServerFault when the process does not start or does not speak the protocol.
    """
    command, *arguments = launch.command
    parameters = StdioServerParameters(command=command, args=arguments, env=dict(launch.environment))
    about = Implementation(name=client, version=version)
    inside: BaseException | None = None
    try:
        with anyio.move_on_after(START_SECONDS_MAX) as starting:
            async with Client(parameters, client_info=about, read_timeout_seconds=CALL_SECONDS_MAX) as opened:
                starting.deadline = float("inf")
                try:
                    yield Connection(opened)
                except BaseException as error:
                    inside = error
                    raise
    except (OSError, MCPError, ExceptionGroup) as error:
        if inside is not None:  # the client's task groups have wrapped it
            raise inside from None
        raise _fault(error) from error
    if starting.cancelled_caught:
        raise ServerFault(f"The server did not answer within {START_SECONDS_MAX:.0f} s")


@contextmanager
def _faults() -> Iterator[None]:
    try:
        yield
    except MCPError as error:
        raise _fault(error) from error


def _fault(error: Exception) -> ServerFault:
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]
    return ServerFault(f"The server cannot be talked to: {str(error) or type(error).__name__}")
