"""What a call of ours costs over stdio, beside an echo tool on the same low-level server.

Run as `python -m bench.stdio_calls [--rounds N] [--era legacy|modern|both] [--folder DIR]` from the repository's root.

get     a warm asg_get of a leaf, against the echo. Target: at most 1.3 times.
set     a durable asg_set of a leaf, against the echo plus three raw durable commits. Target: at most once.
raw     one row of path, value and intent a commit, in SQLite alone: WAL, synchronous=FULL, the same file system.

The echo is the SDK's low-level server with one tool (pydantic in, pydantic out, structured content and text), served by
the SDK's own `stdio_server`, as its documentation has it. `piped` is the same echo behind our own transport, which is
faster than the SDK's: what is left when that gain is taken out is given beside, without a target. All servers are
processes of their own; the client is raw JSON-RPC over blocking pipes, so that its own cost stays small. One round
takes one of each, in an order that turns, so that noise of the machine falls on all; a ratio is made within a round,
and the median of the rounds is given. On a machine with other work the quietest quarter of the rounds (by the sum of
all times of a round) says more; it is given beside.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.server.context import ServerRequestContext
from mcp.server.stdio import stdio_server
from pydantic import BaseModel, ConfigDict
from pydantic_core import to_json

from asg_mcp.server.stdio import serve_stdio
from tests.kit.rpc import enveloped

GET_TARGET = 1.3
SET_TARGET = 1.0
RAW_COMMITS = 3
LEAVES = 1_000
WARM_UP = 100
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}
WHY = {
    "intent_category": "Fix",
    "intent_description": "Node 3 did not answer the health check for two minutes.",
    "reasoning": "Three probes in a row failed, and the kubelet reports disk pressure since the last rollout.",
    "confidence": 0.8,
}
PARTS = ("echo", "piped", "get", "raw", "set")
ECHOED = {"value": {"a": 1}, "branch": "dev"}
Message = dict[str, Any]


# --- the echo ------------------------------------------------------------------


class _EchoIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    value: Any
    branch: str = "main"


class _EchoOut(BaseModel):
    value: Any
    branch: str


async def _echo(_: ServerRequestContext[Any], params: types.CallToolRequestParams) -> types.CallToolResult:
    given = _EchoIn.model_validate(params.arguments or {})
    reply = _EchoOut(value=given.value, branch=given.branch).model_dump(mode="json")
    text = types.TextContent(type="text", text=to_json(reply).decode())
    return types.CallToolResult(content=[text], structured_content=reply, is_error=False)


async def _tools(_: Any, __: types.PaginatedRequestParams | None) -> types.ListToolsResult:
    schema, made = _EchoIn.model_json_schema(), _EchoOut.model_json_schema()
    return types.ListToolsResult(tools=[types.Tool(name="echo", input_schema=schema, output_schema=made)])


def echo_server() -> Server[Any]:
    """The SDK's server with one tool, which does nothing."""
    return Server("echo", on_list_tools=_tools, on_call_tool=_echo)


# --- the client ----------------------------------------------------------------


class Client:
    """One server process, called and waited for."""

    def __init__(self, argv: list[str], era: str) -> None:
        self.process = subprocess.Popen([sys.executable, *argv], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._in, self._out = self.process.stdin, self.process.stdout
        self._is_modern = era == "modern"
        self._number = 0
        if not self._is_modern:
            self._in.write(_line({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE}))
            self._in.flush()
            self._out.readline()
            self._in.write(_line({"jsonrpc": "2.0", "method": "notifications/initialized"}))

    def seconds(self, tool: str, arguments: Message) -> float:
        """How long one call takes, from the first byte written to the last byte read."""
        self._number += 1
        params = {"name": tool, "arguments": arguments}
        message = {"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}
        line = _line(enveloped(message) if self._is_modern else message)
        start = time.perf_counter()
        self._in.write(line)
        self._in.flush()
        reply = self._out.readline()
        taken = time.perf_counter() - start
        assert b'"structuredContent"' in reply, reply[:2_000]
        return taken

    def end(self) -> None:
        """Close its stdin and wait."""
        self._in.close()
        self.process.wait(60)


def _line(message: Message) -> bytes:
    return json.dumps(message).encode() + b"\n"


class Raw:
    """SQLite alone: a durable row a commit."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None)
        for setting in ("journal_mode = wal", "synchronous = full"):
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute("CREATE TABLE history (seq INTEGER PRIMARY KEY, path TEXT, value TEXT, intent TEXT)")
        self._number = 0

    def seconds(self) -> float:
        """How long one commit takes."""
        self._number += 1
        row = (f"/nodes/n{self._number}/status", f"changed-{self._number:08}", json.dumps(WHY))
        start = time.perf_counter()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO history (path, value, intent) VALUES (?, ?, ?)", row)
        self._db.execute("COMMIT")
        return time.perf_counter() - start

    def close(self) -> None:
        self._db.close()


# --- measuring -----------------------------------------------------------------


def rounds(folder: Path, era: str, count: int) -> list[dict[str, float]]:
    """The seconds of each thing in each round."""
    ours = Client(["-m", "asg_mcp", "serve", "--db", str(folder / f"{era}.db")], era)
    echoes = {how: Client(["-m", "bench.stdio_calls", "--serve-echo", how], era) for how in ("echo", "piped")}
    raw = Raw(folder / f"raw-{era}.db")
    ours.seconds("asg_set", {"path": "/nodes", "value": {f"n{n}": {"status": "up"} for n in range(LEAVES)}, **WHY})
    numbers = itertools.count()

    def set_one() -> float:
        number = next(numbers)
        path = f"/nodes/n{number % LEAVES}/status"
        return ours.seconds("asg_set", {"path": path, "value": f"changed-{number:08}", **WHY})

    actions: dict[str, Callable[[], float]] = {
        "echo": lambda: echoes["echo"].seconds("echo", ECHOED),
        "piped": lambda: echoes["piped"].seconds("echo", ECHOED),
        "get": lambda: ours.seconds("asg_get", {"path": "/nodes/n7/status"}),
        "raw": lambda: sum(raw.seconds() for _ in range(RAW_COMMITS)),
        "set": set_one,
    }
    order, found = list(actions), []
    for _ in range(count + WARM_UP):
        found.append({name: actions[name]() for name in order})
        order.append(order.pop(0))
    for each in (ours, *echoes.values()):
        each.end()
    raw.close()
    return found[WARM_UP:]


def table(era: str, found: list[dict[str, float]]) -> bool:
    """Print the figures; whether the targets are met in the quietest quarter."""
    quiet = sorted(found, key=lambda one: sum(one.values()))[: max(len(found) // 4, 1)]
    met = True
    for name, chosen in (("all", found), ("quiet", quiet)):
        times = {part: statistics.median(one[part] for one in chosen) * 1e6 for part in PARTS}
        ratios = {}
        for echo in ("echo", "piped"):
            ratios[f"get/{echo}"] = statistics.median(one["get"] / one[echo] for one in chosen)
            ratios[f"set/{echo}"] = statistics.median(one["set"] / (one[echo] + one["raw"]) for one in chosen)
        met = ratios["get/echo"] <= GET_TARGET and ratios["set/echo"] <= SET_TARGET
        told = [*(f"{times[part]:>8.0f}" for part in PARTS), *(f"{ratio:>17.2f}" for ratio in ratios.values())]
        print(f"{era:8}{name:6}{len(chosen):>6}{''.join(told)}", flush=True)
    return met


async def serve_echo(how: str) -> None:
    """Serve the echo over the SDK's own transport ("echo") or over ours ("piped")."""
    server = echo_server()
    if how == "piped":
        await serve_stdio(server)
        return
    async with stdio_server() as (inbox, outbox):
        await server.run(inbox, outbox, server.create_initialization_options())


def main() -> int:
    """0 when the targets are met in the quietest quarter of the rounds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=2_000)
    parser.add_argument("--era", choices=("legacy", "modern", "both"), default="both")
    parser.add_argument("--folder", help="where the stores lie (default: a temporary folder)")
    parser.add_argument("--serve-echo", choices=("echo", "piped"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve_echo:
        asyncio.run(serve_echo(options.serve_echo))
        return 0
    print(f"load {os.getloadavg()[0]:.2f}; medians in µs; raw is {RAW_COMMITS} commits")
    names = ("get/echo", "set/(echo+raw)", "get/piped", "set/(piped+raw)")
    print(f"{'era':8}{'':6}{'rounds':>6}{''.join(f'{part:>8}' for part in PARTS)}{''.join(f'{n:>17}' for n in names)}")
    print(f"{'':60}{f'<= {GET_TARGET}':>17}{f'<= {SET_TARGET}':>17}")
    met = True
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        for era in ("legacy", "modern") if options.era == "both" else (options.era,):
            met &= table(era, rounds(Path(folder), era, options.rounds))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
