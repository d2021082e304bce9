"""What a hostile client sends, and a connection of each transport to one server process that has to live through it."""

from __future__ import annotations

import json
import queue
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx2

from tests.kit.processes import unmeasured_environment
from tests.kit.rpc import REPOSITORY_ROOT

WAIT_SECONDS = 60.0
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
HELLO = {
    "jsonrpc": "2.0",
    "id": "hello",
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "hostile", "version": "1"}},
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}
_CALL = b'{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"asg_set","arguments":{"path":"/h","value":'
_WHY = b',"intent_category":"Fix","intent_description":"x"}}}'
_DEEP = 100_000


def call(value: bytes, number: int = 7) -> bytes:
    """A set of this value, which need be no JSON."""
    return _CALL % number + value + _WHY


def _message(**parts: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", **parts}).encode()


# The lines, by what is wrong with them.
LINES: dict[str, bytes] = {
    "nothing but a brace": b"{",
    "words": b"hello, is anybody there",
    "half a request": b'{"jsonrpc":"2.0","id":1,"method":"tools/ca',
    "a request and more": b'{"jsonrpc":"2.0","id":1,"method":"ping"}}',
    "two requests": b'{"jsonrpc":"2.0","id":1,"method":"ping"}{"jsonrpc":"2.0","id":2,"method":"ping"}',
    "zero bytes": b"\x00" * 1_000,
    "a comment": b'{"jsonrpc":"2.0","id":1,"method":"ping"} // really',
    "single quotes": b"{'jsonrpc':'2.0','id':1,'method':'ping'}",
    "UTF-16": '{"jsonrpc":"2.0","id":1,"method":"ping"}'.encode("utf-16"),
    "NaN": call(b"NaN"),
    "minus infinity": call(b"-Infinity"),
    "a number beyond all floats": call(b"1e400"),
    "an integer of 5,000 digits": call(b"1" * 5_000),
    "an integer beyond 64 bits": call(b"18446744073709551616"),
    "a lone surrogate in a value": call(b'"\\ud800"'),
    "a lone surrogate in a key": call(b'{"\\udfff":1}'),
    "a lone surrogate in a method": b'{"jsonrpc":"2.0","id":1,"method":"\\ud800"}',
    "a lone surrogate in an id": b'{"jsonrpc":"2.0","id":"\\ud800","method":"ping"}',
    "a lone surrogate in a tool's name": b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"\\ud800"}}',
    "a lone surrogate in an argument's name": _message(
        id=1, method="tools/call", params={"name": "asg_get", "arguments": {"\ud800": 1}}
    ),
    "depth 100,000, open": call(b"[" * _DEEP),
    "depth 100,000, closed": call(b"[" * _DEEP + b"]" * _DEEP),
    "depth 100,000, objects": call(b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
    "depth 100,000, and nothing else": b"[" * _DEEP,
    "depth 1,000": call(b"[" * 1_000 + b"]" * 1_000),
    "an empty batch": b"[]",
    "a batch": b'[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"ping"}]',
    "bytes that are no UTF-8": b'{"jsonrpc":"2.0","id":1,"method":"\xff\xfe"}',
    "no UTF-8 in a value": call(b'"\xc3\x28 \xf8\x88\x80\x80\x80"'),
    "an id that is true": _message(id=True, method="ping"),
    "an id that is a fraction": _message(id=1.5, method="ping"),
    "an id that is null": _message(id=None, method="ping"),
    "an id that is an object": _message(id={"a": 1}, method="ping"),
    "an id of 300 digits": _message(id=10**300, method="ping"),
    "an id of a megabyte": _message(id="x" * (1 << 20), method="ping"),
    "a method that is a number": _message(id=1, method=5),
    "a method of a megabyte": _message(id=1, method="m" * (1 << 20)),
    "a method that is not there": _message(id=1, method="tools/destroy"),
    "params that are a list": _message(id=1, method="tools/call", params=[1]),
    "params that are a text": _message(id=1, method="tools/call", params="asg_get"),
    "arguments that are a list": _message(id=1, method="tools/call", params={"name": "asg_get", "arguments": [1]}),
    "a tool's name that is an object": _message(id=1, method="tools/call", params={"name": {}, "arguments": {}}),
    "no method": _message(id=1),
    "another version of JSON-RPC": b'{"jsonrpc":"1.0","id":1,"method":"ping"}',
    "the same key twice": b'{"jsonrpc":"2.0","id":1,"id":2,"method":"ping","method":"tools/list"}',
    "an answer to what was not asked": _message(id=99, result={"a": 1}),
    "an error about what was not asked": _message(id=99, error={"code": 1, "message": "x"}),
    "a result and an error": _message(id=99, result={}, error={"code": 1, "message": "x"}),
    "a cancellation of what was not asked": _message(method="notifications/cancelled", params={"requestId": 12345}),
    "a cancellation without anything": _message(method="notifications/cancelled"),
    "a notification that is not there": _message(method="notifications/x", params={"a": [1] * 1_000}),
    "progress of what was not asked": _message(
        method="notifications/progress", params={"progressToken": "x", "progress": 1e308}
    ),
    "a handshake once more": _message(id=1, method="initialize", params=HELLO["params"]),
    "a handshake of nonsense": _message(id=1, method="initialize", params={"protocolVersion": 7}),
    "an envelope of nonsense": _message(
        id=1, method="tools/list", params={"_meta": {"io.modelcontextprotocol/protocolVersion": {"a": 1}}}
    ),
    "a resource of a megabyte": _message(id=1, method="resources/read", params={"uri": "asg://" + "x" * (1 << 20)}),
    "a cursor of nonsense": _message(id=1, method="tools/list", params={"cursor": "\x00"}),
    "a subscription to nothing": _message(id=1, method="resources/subscribe", params={"uri": "file:///etc/passwd"}),
}


class Connection(Protocol):
    """One client's connection, of any transport."""

    def send(self, line: bytes) -> bool:
        """Send a message, which need be none; whether an answer to it, if it is a request, is still to come."""

    def ping(self) -> list[dict[str, Any]]:
        """Ask for a sign of life and wait for it; what was answered before it."""


class Server:
    """A process of the program, with its messages to people on a file."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.log = folder / "log"
        argv = [sys.executable, "-m", "asg_mcp", "serve", "--db", str(folder / "s.db"), *options]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=REPOSITORY_ROOT,
                env=unmeasured_environment(),
            )

    def url(self) -> str:
        """Where it listens, once it says so."""
        deadline = time.monotonic() + WAIT_SECONDS
        while (found := re.search(r"http://[0-9.]+:\d+", self.log.read_text())) is None:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "the server does not listen"
            time.sleep(0.02)
        return found[0]

    def resident_megabytes_max(self) -> float:
        """The most memory it ever held."""
        told = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(told.partition("VmHWM:")[2].split()[0]) / 1_024


@contextmanager
def server(folder: Path, *options: str) -> Iterator[Server]:
    """A server process, which has to end in good order."""
    started = Server(folder, *options)
    process = started.process
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield started
        assert process.poll() is None, started.log.read_text()
        if "--http" in options:
            process.terminate()
        process.stdin.close()
        assert process.wait(WAIT_SECONDS) == 0, started.log.read_text()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


class Stdio:
    """See Connection."""

    def __init__(self, started: Server) -> None:
        self._process = started.process
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._number = 0
        threading.Thread(target=self._read, daemon=True).start()
        self.send(json.dumps(HELLO).encode())
        self.send(json.dumps(READY).encode())
        self.ping()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)

    def send(self, line: bytes) -> bool:
        assert self._process.stdin is not None
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        return True

    def ping(self) -> list[dict[str, Any]]:
        self._number += 1
        mine, before = f"ping {self._number}", []
        self.send(json.dumps({"jsonrpc": "2.0", "id": mine, "method": "ping"}).encode())
        while (found := json.loads(self._lines.get(timeout=WAIT_SECONDS))).get("id") != mine:
            before.append(found)
        assert found["result"] == {}
        return before


class Streamable:
    """See Connection. One session of the older era; each message is a request of HTTP, which has to be answered."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=WAIT_SECONDS, headers=ACCEPT)
        opened = self._http.post("/mcp", json=HELLO)
        self._http.headers["mcp-session-id"] = opened.headers["mcp-session-id"]
        self.send(json.dumps(READY).encode())
        self._before: list[dict[str, Any]] = []

    def send(self, line: bytes) -> bool:
        reply = self._http.post("/mcp", content=line)
        assert reply.status_code < 500, reply.text
        if reply.status_code == 200:
            self._before = [*_events(reply.text)]
        else:
            self._before = [reply.json()] if reply.content else []
        return False

    def ping(self) -> list[dict[str, Any]]:
        before, reply = self._before, self._http.post("/mcp", json={"jsonrpc": "2.0", "id": "p", "method": "ping"})
        assert reply.status_code == 200, reply.text
        assert [*_events(reply.text)][-1]["result"] == {}
        self._before = []
        return before

    def close(self) -> None:
        self._http.close()


def _events(text: str) -> Iterator[dict[str, Any]]:
    if text.startswith("{"):
        yield json.loads(text)
        return
    for line in text.splitlines():
        if line.startswith("data: ") and line != "data: ":
            yield json.loads(line.removeprefix("data: "))


class Sse:
    """See Connection. Messages are posted, answers come by the stream."""

    def __init__(self, url: str) -> None:
        self._http = httpx2.Client(base_url=url, timeout=WAIT_SECONDS, headers={"content-type": "application/json"})
        self._stream = self._http.stream("GET", "/sse")
        self._lines = self._stream.__enter__().iter_lines()
        self._post = self._next()
        self._number = 0
        self.send(json.dumps(HELLO).encode())
        self.send(json.dumps(READY).encode())
        self.ping()

    def _next(self) -> str:
        return next(line for line in self._lines if line.startswith("data: ")).removeprefix("data: ")

    def send(self, line: bytes) -> bool:
        reply = self._http.post(self._post, content=line)
        assert reply.status_code < 500, reply.text
        return reply.status_code == 202

    def ping(self) -> list[dict[str, Any]]:
        self._number += 1
        mine, before = f"ping {self._number}", []
        self.send(json.dumps({"jsonrpc": "2.0", "id": mine, "method": "ping"}).encode())
        while (found := json.loads(self._next())).get("id") != mine:
            before.append(found)
        return before

    def close(self) -> None:
        self._stream.__exit__(None, None, None)
        self._http.close()


def raw(url: str, data: bytes, *, end: bool = False) -> bytes:
    """Bytes to the port and what comes back until the server closes the connection; `end` closes our side first."""
    with open_socket(url) as connection:
        parts = []
        with suppress(OSError):  # it may be closed while we are still sending
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while part := connection.recv(65_536):
                parts.append(part)
        return b"".join(parts)


def open_socket(url: str) -> socket.socket:
    """A connection to the server's port."""
    host, _, port = url.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=WAIT_SECONDS)
