"""A real repository behind a server, with a client of either era connected in memory."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from mcp import Client
from mcp_types import TextResourceContents

from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.profiles import EVERYTHING, Profile
from asg_mcp.tools.catalogue import CATALOGUE
from tests.repo.desk import Desk, open_desk

PRINCIPAL = "local:alice"
Era = Literal["older", "newer"]
ERAS: tuple[Era, ...] = ("older", "newer")


def client_of(
    desk: Desk, era: Era = "newer", *, profile: Profile = EVERYTHING, principal: str = PRINCIPAL, **options: Any
) -> Client:
    """A client of a server on this repository, not connected yet."""
    server = build_server(CATALOGUE, desk.repo, principal, ServerOptions(profile=profile))
    return Client(server, mode="legacy" if era == "older" else "auto", **options)


@asynccontextmanager
async def served(folder: Path, era: Era = "newer", **options: Any) -> AsyncIterator[tuple[Desk, Client]]:
    """A new repository and a client of a server on it."""
    async with open_desk(folder) as desk, client_of(desk, era, **options) as client:
        yield desk, client


async def read_text(client: Client, uri: str) -> str:
    """The text of a resource, which is JSON."""
    (content,) = (await client.read_resource(uri)).contents
    assert isinstance(content, TextResourceContents)
    assert (content.uri, content.mime_type) == (uri, "application/json")
    json.loads(content.text)
    return content.text


async def read(client: Client, uri: str) -> Any:
    """The JSON of a resource."""
    return json.loads(await read_text(client, uri))
