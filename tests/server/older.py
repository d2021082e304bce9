"""Clients of the older era that send what they like: over Streamable HTTP with a session, and over SSE."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2

ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
WHY = {"intent_category": "Fix", "intent_description": "Because."}
HELLO = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "1"}}


def message(method: str, request: Any = None, **params: Any) -> dict[str, Any]:
    named = {} if request is None else {"id": request}
    return {"jsonrpc": "2.0", **named, "method": method, "params": params}


def tool(request: Any, name: str, **arguments: Any) -> dict[str, Any]:
    return message("tools/call", request, name=name, arguments=arguments)


class Older:
    """One session. What the server sends is in `received`, whichever way it came."""

    def __init__(self, http: httpx2.AsyncClient, path: str, headers: dict[str, str]) -> None:
        self.http = http
        self.path = path
        self.headers = {**ACCEPT, **headers}
        self.received: list[dict[str, Any]] = []
        self._more = anyio.Event()
        self._at_end = False

    async def post(self, sent: dict[str, Any] | bytes) -> httpx2.Response:
        """Send a message; the reply is read to its end."""
        content = sent if isinstance(sent, bytes) else json.dumps(sent).encode()
        reply = await self.http.post(self.path, content=content, headers=self.headers)
        for line in reply.text.splitlines():
            self.take(line if line.startswith("data: ") else f"data: {line}" if line.startswith("{") else "")
        return reply

    def take(self, line: str) -> None:
        """A line of what the server sent."""
        if line.startswith("data: {"):
            self.received.append(json.loads(line.removeprefix("data: ")))
            self._more.set()
            self._more = anyio.Event()

    def end(self) -> None:
        """Nothing more comes."""
        self._at_end = True
        self._more.set()

    async def until(self, found: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first message received that is such a one. Raises EOFError where none can come any more."""
        while True:
            for one in self.received:
                if found(one):
                    return one
            if self._at_end:
                raise EOFError
            await self._more.wait()

    async def reply(self, request: Any) -> dict[str, Any]:
        """The result of a request."""
        found: dict[str, Any] = (await self.until(lambda one: one.get("id") == request and "result" in one))["result"]
        return found

    async def refusal(self, request: Any) -> dict[str, Any]:
        """The error that answers a request."""
        found: dict[str, Any] = (await self.until(lambda one: one.get("id") == request and "error" in one))["error"]
        return found


@asynccontextmanager
async def older(http: httpx2.AsyncClient) -> AsyncIterator[Older]:
    """A session over Streamable HTTP."""
    hello = await http.post("/mcp", json=message("initialize", "hello", **HELLO), headers=ACCEPT)
    named = {"mcp-session-id": hello.headers["mcp-session-id"], "mcp-protocol-version": "2025-11-25"}
    client = Older(http, "/mcp", named)
    await client.post(message("notifications/initialized"))
    yield client


@asynccontextmanager
async def sse(http: httpx2.AsyncClient) -> AsyncIterator[Older]:
    """A session over SSE, whose stream is read all the time. It ends with the block, or when the server ends it."""
    async with http.stream("GET", "/sse") as stream, anyio.create_task_group() as tasks:
        lines = stream.aiter_lines()
        path = ""
        while not path:
            line = await anext(lines)
            path = line.removeprefix("data: ") if line.startswith("data: ") else ""
        client = Older(http, path, {})

        async def listen() -> None:
            async for one in lines:
                client.take(one)
            client.end()

        tasks.start_soon(listen)
        await client.post(message("initialize", "hello", **HELLO))
        await client.reply("hello")
        await client.post(message("notifications/initialized"))
        yield client
        tasks.cancel_scope.cancel()


SESSIONS = {"older": older, "sse": sse}
