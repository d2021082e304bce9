"""The real HTTP server with the fixtures of the suite on a loopback port."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio

from asg_mcp.server.http import HttpOptions, HttpServer, address_of, listen, make_app
from asg_mcp.server.mcp import ServerOptions
from asg_mcp.services.tokens import Door, TokenFile
from asg_mcp.tools.catalogue import CATALOGUE
from tests.conformance.fixtures import with_fixtures
from tests.repo.desk import open_desk


@asynccontextmanager
async def fixture_site(folder: Path) -> AsyncIterator[str]:
    """Its address, for as long as the block lasts."""
    options, stopping = HttpOptions(port=0), anyio.Event()
    door = Door(TokenFile(folder / "tokens"))
    async with open_desk(folder) as desk:
        app = make_app(CATALOGUE, desk.repo, ServerOptions(), options.hosts, door.verify, stopping, with_fixtures)
        server = HttpServer(app, stopping)
        with listen(options) as listening:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.serve, [listening])
                try:
                    yield address_of(listening)
                finally:
                    server.stop()
