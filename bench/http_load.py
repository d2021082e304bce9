"""Clients that write and read over HTTP at once, with every acknowledged write looked up at the end.

Run as `python -m bench.http_load [--clients 64] [--seconds 60] [--api mcp|api]` from the repository's root.

The server is a process of its own (`asg-mcp serve --http`). Each client has one connection and calls one after the
other: a write of a value that no other call writes (with a request_id, which now and then is sent a second time, as
after a lost answer), and a read of it, which must give it. At the end the whole log is read: each acknowledged value
must be that of exactly one commit, the one that answered, and none may be there that nobody was told of. The server's
memory is sampled twice a second, and the medians of the first and the last third of the run are compared. Before that,
--warm-up writes of the same kind fill the server's caches of nodes and commits, which are bounded in bytes.

Beside it, in the same run and in turns with it, an echo tool on the SDK's low-level server behind the same kind of HTTP
server answers the same clients. On a machine with two cores, clients and server share them: the p99 is of that.

Exits with 1 when a write was lost or made twice, when a status was 500 or more, or when memory grew.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.routing import Route

from bench.stdio_calls import echo_server

REPEATED_EACH = 10
"""One write in so many is sent twice with its request_id: the second must be answered as the first."""
GROWTH_MAX = 1.05
"""Of the memory between the first and the last third; what is above is a leak."""
WARM_UP = 20_000
"""Writes (by the API, which is the quicker way) before memory and times are looked at: the caches are full then."""
SAMPLES_PER_SECOND = 2
SLICE_SECONDS = 3.0
"""Of load, before the echo has its turn; below the 5 s after which servers close a connection that says nothing."""
ECHO_SHARE = 0.2
"""Of a slice of load, the time that the echo gets after it."""
MARK = "written by client "
VERSION = "2025-11-25"
HELLO = {"protocolVersion": VERSION, "capabilities": {}, "clientInfo": {"name": "load", "version": "1"}}
Json = dict[str, Any]


# --- a client that costs little ---------------------------------------------------


class Connection:
    """One connection of HTTP/1.1, kept open; enough of a client for replies of a length or in chunks."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._headers = b"Accept: application/json, text/event-stream\r\nContent-Type: application/json\r\n"

    async def open(self) -> None:
        """Connect."""
        self._reader, self._writer = await asyncio.open_connection(self._host, self._port)

    async def post(self, path: str, body: Json) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer."""
        data = json.dumps(body).encode()
        head = f"POST {path} HTTP/1.1\r\nHost: {self._host}\r\nContent-Length: {len(data)}\r\n".encode()
        self._writer.write(head + self._headers + b"\r\n" + data)
        start = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in start[1:])}
        if "content-length" in headers:
            found = await self._reader.readexactly(int(headers["content-length"]))
        else:
            found = b"".join([part async for part in self._chunks()])
        return int(start[0].split(" ")[1]), headers, found

    async def _chunks(self) -> AsyncIterator[bytes]:
        while size := int(await self._reader.readuntil(b"\r\n"), 16):
            yield (await self._reader.readexactly(size + 2))[:-2]
        await self._reader.readexactly(2)

    async def start_session(self) -> None:
        """The handshake of the older era."""
        _, headers, _ = await self.post("/mcp", {"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HELLO})
        session = f"Mcp-Session-Id: {headers['mcp-session-id']}\r\nMcp-Protocol-Version: {VERSION}\r\n"
        self._headers += session.encode()
        await self.post("/mcp", {"jsonrpc": "2.0", "method": "notifications/initialized"})

    def close(self) -> None:
        """Disconnect."""
        self._writer.close()


@dataclass(slots=True)
class Caller:
    """Calls tools by one of the two ways."""

    connection: Connection
    api: bool
    number: int = 0
    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    async def call(self, tool: str, arguments: Json) -> Json:
        """The tool's structured reply."""
        self.number += 1
        if self.api:
            path, body = f"/api/tools/{tool}", arguments
        else:
            params = {"name": tool, "arguments": arguments}
            path, body = "/mcp", {"jsonrpc": "2.0", "id": self.number, "method": "tools/call", "params": params}
        while True:
            start = time.perf_counter()
            status, _, found = await self.connection.post(path, body)
            self.statuses[status] += 1
            if status != 429:
                break
            await asyncio.sleep(1)  # all have one token, and an idle machine is faster than a token may be: as told
        self.seconds.append(time.perf_counter() - start)
        assert status == 200, (status, found[:500])
        if self.api:
            return dict(json.loads(found))
        text = found if found.startswith(b"{") else re.search(rb"^data: (\{.*)$", found, re.MULTILINE)[1]  # type: ignore[index]
        result = json.loads(text)["result"]
        assert not result.get("isError"), result
        return dict(result["structuredContent"])


# --- the two servers ----------------------------------------------------------------


@contextmanager
def started(argv: list[str], folder: Path, name: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process that says on stderr where it listens; ended with the block."""
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, *argv], stderr=file)
    try:
        for _ in range(300):
            found = re.search(rb"http://127\.0\.0\.1:(\d+)", log.read_bytes())
            if found:
                break
            time.sleep(0.1)
        else:
            raise RuntimeError(log.read_text())
        yield process, int(found[1])
        process.terminate()
        # Uvicorn by itself raises the signal that ended it once more.
        assert process.wait(60) in (0, -signal.SIGTERM), log.read_text()
    finally:
        process.kill()
        process.wait()


def serve_echo() -> None:
    """The echo tool behind uvicorn, with the options of our own server."""
    manager = StreamableHTTPSessionManager(echo_server())

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with manager.run():
            yield

    app = Starlette(routes=[Route("/mcp", StreamableHTTPASGIApp(manager))], lifespan=lifespan)
    config = uvicorn.Config(app, port=0, http="h11", ws="none", log_config=None, access_log=False, server_header=False)
    server = uvicorn.Server(config)

    async def run() -> None:
        listening = config.bind_socket()
        listening.listen()
        print(f"http://127.0.0.1:{listening.getsockname()[1]}", file=sys.stderr, flush=True)
        await server.serve([listening])

    asyncio.run(run())


@asynccontextmanager
async def callers(port: int, count: int, *, api: bool) -> AsyncIterator[list[Caller]]:
    """Clients that are connected."""
    made = [Caller(Connection("127.0.0.1", port), api) for _ in range(count)]
    for one in made:
        await one.connection.open()
        if not api:
            await one.connection.start_session()
    try:
        yield made
    finally:
        for one in made:
            one.connection.close()


# --- the load -----------------------------------------------------------------------


@dataclass(slots=True)
class Load:
    """What the clients did."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    """From the value of a write to the commit that answered it."""
    wrong: list[str] = field(default_factory=list)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def write_and_read(self, caller: Caller, client: int, until: float) -> None:
        """One client: a write, a read of it, and so on."""
        step = 0
        while time.perf_counter() < until:
            step += 1
            value = f"{client}-{step}-{next(self.numbers)}"
            path = f"/clients/c{client}/n{step % 16}"
            write = {"path": path, "value": value, "request_id": value}
            write |= {"intent_category": "Fix", "intent_description": MARK + value}
            done = await caller.call("asg_set", write)
            self.acknowledged[value] = done["commit"]
            if step % REPEATED_EACH == 0:
                again = await caller.call("asg_set", write)
                if (again["commit"], again.get("replayed")) != (done["commit"], True):
                    self.wrong.append(f"{value} was made again: {again}")
            found = await caller.call("asg_get", {"path": path})
            if found["value"] != value:
                self.wrong.append(f"{path} is {found['value']} after {value} was acknowledged")

    def compare(self, stored: Counter[str], commits: Mapping[str, str]) -> None:
        """Note what is not in the log once, as it was acknowledged, and what is there though nobody was told."""
        for value, commit in self.acknowledged.items():
            if stored[value] != 1 or commits.get(value) != commit:
                self.wrong.append(f"{value} was acknowledged as {commit}, and is in the log {stored[value]} times")
        # What was under way when the time was over is answered too, so there is nothing else.
        told = (f"{value} is in the log, and nobody was told" for value in sorted(stored.keys() - self.acknowledged))
        self.wrong += told


async def echoes(caller: Caller, until: float) -> None:
    """One client of the echo."""
    while time.perf_counter() < until:
        await caller.call("echo", {"value": {"a": caller.number}})


def check(load: Load, url: str) -> None:
    """Read the whole log, and compare it with what was acknowledged: a commit's description is the value written."""
    stored: Counter[str] = Counter()
    commits: dict[str, str] = {}
    with httpx2.Client(base_url=url, timeout=60) as http:
        cursor, more = "", True
        while more:
            reply = http.get("/api/graph", params={"limit": 500, "cursor": cursor})
            assert reply.status_code == 200, reply.text
            for one in reply.json()["commits"]:
                if one["description"].startswith(MARK):
                    value = one["description"].removeprefix(MARK)
                    stored[value] += 1
                    commits[value] = one["commit"]
            cursor = reply.json()["next_cursor"]
            more = bool(cursor)
    load.compare(stored, commits)


def resident_kilobytes(process: subprocess.Popen[bytes]) -> int:
    """What the process holds in memory."""
    return int(Path(f"/proc/{process.pid}/status").read_text().partition("VmRSS:")[2].split()[0])


# --- the run ------------------------------------------------------------------------


async def run(clients: int, seconds: float, *, api: bool, folder: Path, warm_up: int = 0) -> Result:
    """The load and the echo in turns, then the check."""
    load, memory = Load(), list[int]()
    ours = ["-m", "asg_mcp", "serve", "--http", "--port", "0", "--db", str(folder / "s.db")]
    with (
        started(ours, folder, "ours") as (process, port),
        started(["-m", "bench.http_load", "--serve-echo"], folder, "echo") as (_, echo_port),
    ):
        async with callers(port, clients, api=True) as made:
            while len(load.acknowledged) < warm_up:
                until = time.perf_counter() + SLICE_SECONDS / 2
                await asyncio.gather(*(load.write_and_read(one, number, until) for number, one in enumerate(made)))
        warm = len(load.acknowledged)
        async with callers(port, clients, api=api) as ours_made, callers(echo_port, clients, api=False) as echo_made:
            sampling = asyncio.create_task(_sample(process, memory))
            slices = max(int(seconds // SLICE_SECONDS), 1)
            for _ in range(slices):
                until = time.perf_counter() + seconds / slices
                await asyncio.gather(*(load.write_and_read(one, number, until) for number, one in enumerate(ours_made)))
                until = time.perf_counter() + seconds / slices * ECHO_SHARE
                await asyncio.gather(*(echoes(one, until) for one in echo_made))
            sampling.cancel()
        check(load, f"http://127.0.0.1:{port}")
    statuses: Counter[int] = sum((one.statuses for one in ours_made), Counter())
    return Result(
        load,
        statuses,
        _sorted(one.seconds for one in ours_made),
        _sorted(one.seconds for one in echo_made),
        memory,
        seconds,
        warm,
    )


async def _sample(process: subprocess.Popen[bytes], memory: list[int]) -> None:
    while True:
        memory.append(resident_kilobytes(process))
        await asyncio.sleep(1 / SAMPLES_PER_SECOND)


def _sorted(parts: Iterable[list[float]]) -> list[float]:
    return sorted(second for part in parts for second in part)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a run."""

    load: Load
    statuses: Counter[int]
    ours: list[float]
    echo: list[float]
    memory: list[int]
    seconds: float
    warm: int
    """Writes before that."""

    @property
    def thirds(self) -> tuple[float, float]:
        """Median kilobytes in the first and the last third."""
        third = max(len(self.memory) // 3, 1)
        return statistics.median(self.memory[:third]), statistics.median(self.memory[-third:])

    @property
    def faults(self) -> list[str]:
        """Everything that should not be."""
        first, last = self.thirds
        grown = [f"memory grew from {first:,.0f} to {last:,.0f} KB"] if last > first * GROWTH_MAX else []
        failed = [
            f"{count} answers with {status}" for status, count in self.statuses.items() if status not in (200, 429)
        ]
        return [*self.load.wrong, *failed, *grown]

    def show(self) -> None:
        """Print it."""
        first, last = self.thirds
        looked_up = len(self.load.acknowledged)
        writes = looked_up - self.warm
        print(f"{writes:,} writes among {len(self.ours):,} calls in {self.seconds:.0f} s, {self.warm:,} before that")
        print(f"statuses: {dict(self.statuses)}; each of {looked_up:,} writes looked up in the log")
        print(f"memory: {first / 1_024:.1f} MB in the first third, {last / 1_024:.1f} MB in the last")
        for name, times in (("ours", self.ours), ("echo", self.echo)):
            told = ", ".join(f"{label} {_at(times, share) * 1e3:.1f} ms" for label, share in _SHARES.items())
            print(f"{name}: {told}")
        print(f"p99 of ours is {_at(self.ours, 0.99) / _at(self.echo, 0.99):.2f} times that of the echo")
        for fault in self.faults[:20]:
            print(f"FAULT: {fault}")


_SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def _at(times: list[float], share: float) -> float:
    return times[min(int(len(times) * share), len(times) - 1)]


def main() -> int:
    """0 when nothing was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--warm-up", type=int, default=WARM_UP, help="writes before the measured time")
    parser.add_argument("--api", choices=("mcp", "api"), default="mcp", help="which way the clients call")
    parser.add_argument("--serve-echo", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_echo:
        serve_echo()
        return 0
    print(f"{options.clients} clients by /{options.api}, load of the machine {os.getloadavg()[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        api = options.api == "api"
        found = asyncio.run(
            run(options.clients, options.seconds, api=api, folder=Path(folder), warm_up=options.warm_up)
        )
    found.show()
    return 1 if found.faults else 0


if __name__ == "__main__":
    sys.exit(main())
