"""The clients that people use do the same work, each in its own way: set, blame, branch, conflict, merge, seal.

They are other people's programs, in environments of their own (`python -m tests.kit.client_packages`); where one is
not installed, its tests are skipped and say why. What they hand to a model is judged, not what they were sent.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import config
from asg_mcp.services.access import EVERY_VERB
from tests.clients.client_list import BEGIN, CLIENTS, PAGE, Driven, with_table
from tests.clients.conducting import perform, started
from tests.kit.client_packages import Missing
from tests.kit.processes import unmeasured_environment
from tests.server.http_served import site

PRINCIPAL = "erin"
PATHS = {"http": "/mcp", "sse": "/sse"}


def cases() -> Iterator[Any]:
    for client in CLIENTS:
        for transport in client.transports:
            yield pytest.param(client, transport, id=f"{client.name}, {transport}")


@asynccontextmanager
async def served(folder: Path, transport: str) -> AsyncIterator[tuple[dict[str, Any], str]]:
    """Where a server is that has an empty store, and whom it takes the client for."""
    if transport == "stdio":
        arguments = ["-m", "asg_mcp", "serve", "--db", str(folder / "state.db")]
        yield (
            {
                "transport": transport,
                "command": sys.executable,
                "args": arguments,
                "env": unmeasured_environment(),
            },
            config.local_principal(),
        )
        return
    async with site(folder, "somebody else") as running:
        headers = {"Authorization": f"Bearer {running.token(PRINCIPAL, verbs=tuple(EVERY_VERB))}"}
        yield {"transport": transport, "url": running.url + PATHS[transport], "headers": headers}, PRINCIPAL


@pytest.mark.parametrize(("client", "transport"), list(cases()))
async def test_the_client_does_the_scenario(tmp_path: Path, client: Driven, transport: str) -> None:
    try:
        client.environment({}, tmp_path)
        client.command({})
    except Missing as missing:
        pytest.skip(f"{client.name}: {missing}")
    home = tmp_path / "home"
    home.mkdir()
    failed: AssertionError | None = None
    async with served(tmp_path, transport) as (server, principal), started(client, server, home) as driver:
        try:
            ready = await driver.hear()
            # Some frameworks do not tell.
            assert ready["protocol"] in ("", client.speaks)
            await perform(driver, {"principal": principal})
        except AssertionError as error:
            failed = error  # The tasks of the server would wrap it.
    if failed is not None:
        raise failed


def test_the_page_lists_these_clients() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert BEGIN in page
    assert page == with_table(page), "write it anew: python -m tests.clients.client_list"
