"""Cost of one call over stdio: our transport against the SDK's, same server, same client, same run.

Run as `python -m bench.stdio_transport [rounds]` from the repository's root. The client is raw
JSON-RPC over blocking pipes, so that its own cost stays small; rounds alternate between the two.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from mcp.server.stdio import stdio_server

from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.stdio import serve_stdio
from tests.kit.rpc import enveloped
from tests.server.toy_server import CATALOGUE, NO_REPOSITORY

CALLS = 1_000
PIPELINED = 64
HANDSHAKE = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


async def _serve(transport: str) -> None:
    server = build_server(CATALOGUE, NO_REPOSITORY, "local:bench", ServerOptions())
    if transport == "ours":
        await serve_stdio(server)
        return
    async with stdio_server() as (read, write):
        await server.run(read, write, server.create_initialization_options())


class _Client:
    def __init__(self, transport: str, era: str) -> None:
        argv = [sys.executable, "-m", "bench.stdio_transport", "--serve", transport]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._modern = era == "modern"
        self._number = 0
        if not self._modern:
            self._write({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": HANDSHAKE})
            self._read()
            self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.stdin.flush()

    def _read(self) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _call(self) -> None:
        self._number += 1
        params = {"name": "asg_echo", "arguments": {"value": {"a": 1}, "branch": "dev"}}
        message = {"jsonrpc": "2.0", "id": self._number, "method": "tools/call", "params": params}
        self._write(enveloped(message) if self._modern else message)

    def microseconds_per_call(self, pipelined: int) -> float:
        start = time.perf_counter()
        for _ in range(CALLS // pipelined):
            for _ in range(pipelined):
                self._call()
            for _ in range(pipelined):
                assert b'"structuredContent"' in self._read()
        return (time.perf_counter() - start) / (CALLS // pipelined * pipelined) * 1e6

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


def main(rounds: int) -> None:
    """Print medians of `rounds` rounds of 1,000 calls each."""
    print(f"{'era':8}{'in flight':>10}{'SDK us':>10}{'ours us':>10}{'ratio':>8}")
    for era in ("legacy", "modern"):
        clients = {transport: _Client(transport, era) for transport in ("sdk", "ours")}
        for pipelined in (1, PIPELINED):
            figures: dict[str, list[float]] = {transport: [] for transport in clients}
            for _ in range(rounds + 1):
                for transport, client in clients.items():
                    figures[transport].append(client.microseconds_per_call(pipelined))
            sdk, ours = (statistics.median(figures[transport][1:]) for transport in ("sdk", "ours"))
            print(f"{era:8}{pipelined:>10}{sdk:>10.0f}{ours:>10.0f}{ours / sdk:>8.2f}")
        for client in clients.values():
            client.end()


if __name__ == "__main__":
    if "--serve" in sys.argv:
        asyncio.run(_serve(sys.argv[-1]))
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
