"""Servers killed with SIGKILL at random moments: what was acknowledged is there, and `verify` passes."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import sys
from pathlib import Path

import pytest

from tests.faults.checks import check
from tests.faults.writer import Told
from tests.kit.rpc import raw_client

SERVER_ROUNDS, SERVERS = 5, 2
PIPELINED = 40
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are of POSIX")


async def test_a_server_that_is_killed_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(20)
    store = tmp_path / "state.db"
    told: list[Told] = []
    for number in range(1, SERVER_ROUNDS + 1):
        names = [f"s{number}-{index}" for index in range(SERVERS)]
        acks = [rng.randrange(PIPELINED) for _ in names]
        for lines in await asyncio.gather(*map(_killed_server, [store] * SERVERS, names, acks)):
            told += lines
        await check(store, told, in_flight_max=number * SERVERS * PIPELINED)
    assert len(told) > SERVER_ROUNDS


async def _killed_server(store: Path, name: str, acks: int) -> list[Told]:
    """Give a server many writes at once and kill it after so many replies; all that it replied."""
    async with raw_client("-m", "asg_mcp", "serve", "--db", str(store), measured=False) as client:
        await client.handshake()
        requests = {}
        for number in range(PIPELINED):
            write = {"path": f"/writers/{name}/{number % 9}", "value": f"{name}/{number}"}
            request = client.call("asg_set", {**write, "intent_category": "Fix", "intent_description": "Try"})
            requests[request["id"]] = write
            client.write(request)
        replies = [await client.read() for _ in range(acks)]
        client.process.send_signal(signal.SIGKILL)
        assert await client.exit_code() == -signal.SIGKILL
        assert client.process.stdout is not None
        # What was in the pipe when it died counts as acknowledged too.
        while (line := await client.process.stdout.readline()).endswith(b"\n"):
            replies.append(json.loads(line))
    told = []
    for reply in replies:
        found = reply["result"]["structuredContent"]
        told.append(Told("kept", found_value(requests, reply), requests[reply["id"]]["path"], found["commit"]))
    return told


def found_value(requests: dict[int, dict[str, str]], reply: dict[str, int]) -> str:
    return requests[reply["id"]]["value"]
