"""A raw JSON-RPC client on a process's pipes: what an MCP client does, without the client."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp_types import CLIENT_CAPABILITIES_META_KEY, CLIENT_INFO_META_KEY, PROTOCOL_VERSION_META_KEY
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from tests.kit.processes import unmeasured_environment

REPOSITORY_ROOT = Path(__file__).parents[2]
WAIT_SECONDS = 60.0
"""Bounds each wait; a test that reaches it has failed."""
END_SECONDS = 20.0
"""How long a server may take to end once its input has; none should come near."""
_LINE_BYTES_MAX = 128 * 1_024 * 1_024

Message = dict[str, Any]


class RawClient:
    """One connection to a server process. Ids are counted from 1."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._last_id = 0
        self._early: dict[Any, Message] = {}

    def request(self, method: str, params: Mapping[str, Any] | None = None) -> Message:
        """A request with the next id, not sent yet."""
        self._last_id += 1
        return {"jsonrpc": "2.0", "id": self._last_id, "method": method, "params": dict(params or {})}

    def call(self, tool: str, arguments: Mapping[str, Any]) -> Message:
        """A tools/call with the next id, not sent yet."""
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def write(self, *messages: Message | bytes) -> None:
        """Hand messages, or raw lines, to the pipe without waiting."""
        assert self.process.stdin is not None
        for message in messages:
            line = message if isinstance(message, bytes) else json.dumps(message).encode()
            self.process.stdin.write(line + b"\n")

    async def written(self) -> None:
        """Return when the server has taken all but one buffer of what was written."""
        assert self.process.stdin is not None
        async with asyncio.timeout(WAIT_SECONDS):
            await self.process.stdin.drain()

    async def read(self) -> Message:
        """The next message, whatever it is. Every byte of stdout must be JSON-RPC."""
        assert self.process.stdout is not None
        async with asyncio.timeout(WAIT_SECONDS):
            line = await self.process.stdout.readline()
        assert line, "the server closed its output"
        message = json.loads(line)
        assert message["jsonrpc"] == "2.0"
        return dict(message)

    async def reply_to(self, request: Message) -> Message:
        """The reply to one request; others that come first are kept for their turn."""
        while request["id"] not in self._early:
            message = await self.read()
            self._early[message.get("id")] = message
        return self._early.pop(request["id"])

    async def ask(self, request: Message) -> Message:
        """Send one request and wait for its reply."""
        self.write(request)
        return await self.reply_to(request)

    async def ping(self) -> None:
        """Fail unless the connection still answers."""
        assert (await self.ask(self.request("ping")))["result"] == {}

    async def handshake(self, client: str = "raw", version: str = "1") -> Message:
        """`initialize`, as clients of the older era do it."""
        about = {"name": client, "version": version}
        request = {"protocolVersion": LATEST_HANDSHAKE_VERSION, "capabilities": {}, "clientInfo": about}
        reply = await self.ask(self.request("initialize", request))
        self.write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return dict(reply["result"])

    def end_input(self) -> None:
        """Close the server's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.close()

    async def exit_code(self) -> int:
        """The exit code of the process, when it has ended."""
        async with asyncio.timeout(WAIT_SECONDS):
            return await self.process.wait()


def enveloped(request: Message, client: str = "raw", version: str = "1") -> Message:
    """The request as clients of the newer era send it, with who they are inside."""
    meta = {
        PROTOCOL_VERSION_META_KEY: LATEST_MODERN_VERSION,
        CLIENT_CAPABILITIES_META_KEY: {},
        CLIENT_INFO_META_KEY: {"name": client, "version": version},
    }
    return {**request, "params": {**request["params"], "_meta": meta}}


@asynccontextmanager
async def raw_client(
    *argv: str, env: Mapping[str, str] | None = None, stderr: int | None = None, measured: bool = True
) -> AsyncIterator[RawClient]:
    """Start `python *argv` in the repository's root and connect to its pipes; it is ended with the block."""
    own = dict(os.environ) if measured else unmeasured_environment()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *argv,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=stderr,
        cwd=REPOSITORY_ROOT,
        env={**own, "PYTHONFAULTHANDLER": "1", **(env or {})},
        limit=_LINE_BYTES_MAX,
    )
    client = RawClient(process)
    try:
        yield client
    finally:
        client.end_input()
        try:
            async with asyncio.timeout(END_SECONDS):
                await process.communicate()
        except TimeoutError:
            process.send_signal(signal.SIGABRT)  # The fault handler tells on stderr where it hangs.
            await process.communicate()
            raise


def tool_error(reply: Message) -> Message:
    """The error inside a tool's reply: one JSON text and no structured content."""
    result = reply["result"]
    assert result["isError"] is True
    assert "structuredContent" not in result
    (content,) = result["content"]
    assert content["type"] == "text"
    return dict(json.loads(content["text"]))


def ids_of(messages: Sequence[Message]) -> list[Any]:
    """Their ids, in order."""
    return [message["id"] for message in messages]
