"""A real repository behind a real HTTP server on a loopback port, with clients of every transport."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
from mcp import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client

from asg_mcp.server.http import HttpOptions, HttpServer, address_of, listen, serve_http
from asg_mcp.server.mcp import ServerOptions
from asg_mcp.services.oauth import ResourceServer
from asg_mcp.services.tokens import Door, TokenFile, TokenRequest
from asg_mcp.tools.catalogue import CATALOGUE
from tests.repo.desk import Desk, open_desk

WAIT_SECONDS = 30.0
NOW = 1_000_000


@dataclass(frozen=True)
class Site:
    """A running server."""

    desk: Desk
    url: str
    tokens: TokenFile
    server: HttpServer

    def token(self, principal: str, **given: Any) -> str:
        """A new token."""
        return self.tokens.add(TokenRequest(principal, **given), NOW)[0]

    def http(self, token: str = "", **headers: str) -> httpx2.AsyncClient:
        """A plain HTTP client."""
        given = {"authorization": f"Bearer {token}"} if token else {}
        return httpx2.AsyncClient(base_url=self.url, headers={**given, **headers}, timeout=WAIT_SECONDS)

    @asynccontextmanager
    async def client(self, transport: str = "newer", token: str = "") -> AsyncIterator[Client]:
        """An MCP client: newer, older (both Streamable HTTP) or sse."""
        async with self.http(token) as http:
            if transport == "sse":
                headers = {"authorization": f"Bearer {token}"} if token else None
                streams: Any = sse_client(f"{self.url}/sse", headers=headers)
            else:
                streams = streamable_http_client(f"{self.url}/mcp", http_client=http)
            async with Client(streams, mode="auto" if transport == "newer" else "legacy") as client:
                yield client


@asynccontextmanager
async def site(
    folder: Path,
    *tokens: str,
    host: str = "127.0.0.1",
    protected: tuple[str, ...] = (),
    oauth: ResourceServer | None = None,
) -> AsyncIterator[Site]:
    """A server on a new store, stopped with the block. `tokens` are principals that have one before it starts.

    `oauth` is what verifies the tokens of an authorization server besides.
    """
    file = TokenFile(folder / "state.db.tokens")
    for principal in tokens:
        file.add(TokenRequest(principal), NOW)
    options = HttpOptions(host, 0)
    door = Door(file, protected, oauth)
    ready = anyio.Event()
    servers: list[HttpServer] = []

    def started(server: HttpServer) -> None:
        servers.append(server)
        ready.set()

    async with open_desk(folder) as desk:
        with listen(options) as listening:
            async with anyio.create_task_group() as tasks:
                serving = partial(serve_http, CATALOGUE, desk.repo, ServerOptions(), door.verify, oauth=oauth)
                tasks.start_soon(serving, listening, options.hosts, started)
                await ready.wait()
                port = address_of(listening).rpartition(":")[2]
                try:
                    yield Site(desk, f"http://127.0.0.1:{port}", file, servers[0])
                finally:
                    servers[0].stop()
