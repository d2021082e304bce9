"""Hostile input on stdio, Streamable HTTP and SSE: answered or cleanly refused, and the next ping works."""

from __future__ import annotations

import contextlib
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from asg_mcp.core.limits import LINE_BYTES_MAX
from asg_mcp.server import http_wire
from tests.server.hostile import (
    ACCEPT,
    HELLO,
    LINES,
    WAIT_SECONDS,
    Connection,
    Server,
    Sse,
    Stdio,
    Streamable,
    call,
    open_socket,
    raw,
    server,
)
from tests.server.http_served import site

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
PING = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'
MEGABYTES_MAX = 512
"""The most memory a server may hold at any time, whatever comes."""


@pytest.fixture(scope="module")
def stdio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with server(tmp_path_factory.mktemp("stdio")) as started:
        yield started
        assert started.resident_megabytes_max() < MEGABYTES_MAX


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    with server(tmp_path_factory.mktemp("http"), "--http", "--port", "0") as started:
        yield started, started.url()
        assert started.resident_megabytes_max() < MEGABYTES_MAX


@pytest.fixture(scope="module")
def connections(stdio: Server, http: tuple[Server, str]) -> Iterator[dict[str, Connection]]:
    """One a transport, for all tests: what came before must not matter."""
    with ExitStack() as stack:
        yield {
            "stdio": Stdio(stdio),
            "http": stack.enter_context(contextlib.closing(Streamable(http[1]))),
            "sse": stack.enter_context(contextlib.closing(Sse(http[1]))),
        }


def is_request(line: bytes) -> bool:
    """Whether the line is a request that has to be answered."""
    try:
        message = json.loads(line.decode())
    except (ValueError, RecursionError):
        return False
    return (
        isinstance(message, dict) and isinstance(message.get("method"), str) and type(message.get("id")) in (int, str)
    )


TRANSPORTS = ("stdio", "http", "sse")


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("name", LINES)
def test_each_line_is_answered_or_refused_and_the_next_ping_works(
    connections: dict[str, Connection], transport: str, name: str
) -> None:
    connection = connections[transport]
    to_come = connection.send(LINES[name]) and is_request(LINES[name])
    answers = connection.ping()
    deadline = time.monotonic() + WAIT_SECONDS
    while to_come and not answers:
        assert time.monotonic() < deadline, "a request was not answered"
        answers = connection.ping()  # which may overtake what takes longer
    assert len(answers) <= 1, answers
    for answer in answers:
        assert ("error" in answer) != ("result" in answer) or "code" in answer, answer


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_line_of_80_megabytes_is_refused_and_the_next_ping_works(
    connections: dict[str, Connection], transport: str
) -> None:
    connection = connections[transport]
    line = call(b'"' + b"x" * (80 << 20) + b'"', 80)
    if transport == "stdio":
        connection.send(line)
        (answer,) = connection.ping()
        assert (answer["id"], str(LINE_BYTES_MAX) in answer["error"]["message"]) == (80, True)
    else:
        with contextlib.suppress(httpx2.WriteError):  # it is refused before it was read, and the connection closed
            connection.send(line)
        assert {answer["details"]["limit"] for answer in connection.ping() if "details" in answer} <= {
            "HTTP_BODY_BYTES_MAX"
        }


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_flood_of_notifications_holds_nobody_up(connections: dict[str, Connection], transport: str) -> None:
    connection = connections[transport]
    cancelled = LINES["a cancellation of what was not asked"]
    count = 20_000 if transport == "stdio" else 200
    if transport == "stdio":
        connection.send(b"\n".join([cancelled] * count))
    else:
        for _ in range(count):
            connection.send(cancelled)
    assert connection.ping() == []


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_the_same_id_again_and_again_is_answered_each_time_or_refused(
    connections: dict[str, Connection], transport: str
) -> None:
    connection = connections[transport]
    if transport == "stdio":
        connection.send(b"\n".join([call(b"1", 5)] * 20))
        answers = connection.ping()
        # The ping may be answered before the writes are durable.
        while sum(answer["id"] == 5 for answer in answers) < 20:
            answers += connection.ping()
        assert all("result" in answer or answer["error"]["code"] == -32600 for answer in answers)
        return
    for _ in range(3):
        connection.send(call(b"1", 5))
        connection.ping()


def test_nothing_hostile_was_stored(connections: dict[str, Connection], http: tuple[Server, str]) -> None:
    for transport in TRANSPORTS:
        ask = {"jsonrpc": "2.0", "id": 9, "method": "tools/call", "params": {"name": "asg_get", "arguments": {}}}
        connections[transport].send(json.dumps(ask).encode())
        answers = connections[transport].ping()
        while not answers:
            answers = connections[transport].ping()
        json.dumps(answers, allow_nan=False).encode()
    health = httpx2.get(f"{http[1]}/api/health").json()
    assert health["healthy"], health


# --- HTTP itself ------------------------------------------------------------------


def request(*headers: bytes, body: bytes = b"", line: bytes = b"POST /mcp HTTP/1.1") -> bytes:
    fixed = (
        line,
        b"Host: localhost",
        b"Accept: application/json, text/event-stream",
        b"Content-Type: application/json",
    )
    return b"\r\n".join((*fixed, *headers, b"", b"")) + body


LIES: dict[str, bytes] = {
    "more than comes": request(b"Content-Length: 1000", body=PING),
    "less than comes": request(b"Content-Length: 5", b"Connection: close", body=PING),
    "two lengths": request(b"Content-Length: 5", b"Content-Length: 40", body=PING),
    "a negative length": request(b"Content-Length: -1", body=PING),
    "no number": request(b"Content-Length: many", body=PING),
    "a length of 400 digits": request(b"Content-Length: " + b"9" * 400, body=PING),
    "a length beyond the limit": request(b"Content-Length: 99999999999", body=PING),
    "a length and chunks": request(b"Content-Length: 40", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunks that lie": request(
        b"Transfer-Encoding: chunked", b"Connection: close", body=b"ffffffff\r\nabc\r\n0\r\n\r\n"
    ),
    "a chunk's size that is none": request(b"Transfer-Encoding: chunked", b"Connection: close", body=b"zz\r\nabc\r\n"),
    "another encoding": request(b"Transfer-Encoding: gzip", b"Connection: close", body=PING),
    "a header of a megabyte": request(b"X-Big: " + b"x" * (1 << 20), b"Connection: close", body=b""),
    "10,000 headers": request(*(b"X-%d: 1" % number for number in range(10_000)), b"Connection: close"),
    "a header without a colon": request(b"nonsense", b"Connection: close"),
    "a target of a megabyte": request(b"Connection: close", line=b"GET /" + b"x" * (1 << 20) + b" HTTP/1.1"),
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\xff" * 500,
    "no version": b"GET /\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
    "blank lines": b"\r\n" * 1_000,
    "another request inside": request(
        b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nGET /api/state HTTP/1.1\r\n\r\n"
    ),
    "a protocol to change to": request(b"Upgrade: websocket", b"Connection: Upgrade, close", line=b"GET /mcp HTTP/1.1"),
}


@pytest.mark.parametrize("name", LIES)
def test_a_request_that_lies_is_refused_or_dropped_and_the_next_works(
    http: tuple[Server, str], connections: dict[str, Connection], name: str
) -> None:
    answer = raw(http[1], LIES[name], end=True)
    status = answer[9:12]
    assert not answer or (answer.startswith(b"HTTP/1.1 ") and b"400" <= status < b"500"), answer[:300]
    assert answer.count(b"HTTP/1.1 200") == 0, "something smuggled was answered"
    connections["http"].ping()
    connections["sse"].ping()


def test_clients_that_send_half_a_request_and_wait_hold_up_nobody(
    http: tuple[Server, str], connections: dict[str, Connection]
) -> None:
    halves = (request(b"Content-Length: 40", body=PING[:20]), b"POST /mcp HTTP/1.1\r\nHost: loc", b"", b"P")
    with ExitStack() as stack:
        for number in range(100):
            waiting: socket.socket = stack.enter_context(open_socket(http[1]))
            waiting.sendall(halves[number % len(halves)])
        for transport in TRANSPORTS:
            connections[transport].ping()
        found = httpx2.post(f"{http[1]}/api/tools/asg_get", json={"path": "/"}, timeout=WAIT_SECONDS)
        assert found.status_code == 200


def test_clients_that_go_in_the_middle_leave_nothing_behind(
    http: tuple[Server, str], connections: dict[str, Connection]
) -> None:
    for body in (PING[:20], PING):
        for _ in range(50):
            with open_socket(http[1]) as connection:
                connection.sendall(request(b"Content-Length: %d" % len(PING), body=body))
    connections["http"].ping()
    handles = Path(f"/proc/{http[0].process.pid}/fd")
    connections["http"].ping()
    assert len(list(handles.iterdir())) < 100


def test_sessions_of_nobody_and_of_strangers_are_not_found(http: tuple[Server, str]) -> None:
    with httpx2.Client(base_url=http[1], headers=ACCEPT, timeout=WAIT_SECONDS) as client:
        for session in ("", "x" * 10_000, "\x7f", "00" * 16, "../../etc"):
            reply = client.post("/mcp", content=PING, headers={"mcp-session-id": session})
            assert 400 <= reply.status_code < 500, (session[:20], reply.text)
        for query in ("", "session_id=", "session_id=zz", "session_id=" + "0" * 32, "session_id=" + "9" * 5_000):
            reply = client.post(f"/messages/?{query}", content=PING)
            assert 400 <= reply.status_code < 500, (query[:20], reply.text)


def test_streams_and_sessions_may_be_opened_and_left(
    http: tuple[Server, str], connections: dict[str, Connection]
) -> None:
    for _ in range(15):
        with httpx2.stream("GET", f"{http[1]}/sse", timeout=WAIT_SECONDS) as stream:
            assert next(stream.iter_lines()).startswith("event: endpoint")
        hello: Any = json.dumps(HELLO).encode()
        assert httpx2.post(f"{http[1]}/mcp", content=hello, headers=ACCEPT, timeout=WAIT_SECONDS).status_code == 200
    connections["sse"].ping()
    connections["http"].ping()


@pytest.mark.parametrize(
    "sent", [b"", b"POST /mcp HTTP/1.1\r\nHost: loc", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET"]
)
async def test_a_connection_without_a_whole_head_is_closed_in_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(http_wire, "HTTP_HEAD_SECONDS_MAX", 0.2)
    async with site(tmp_path) as at:
        with anyio.fail_after(WAIT_SECONDS):
            async with await anyio.connect_tcp("127.0.0.1", int(at.url.rpartition(":")[2])) as connection:
                await connection.send(sent)
                with contextlib.suppress(anyio.EndOfStream):
                    while True:
                        await connection.receive()


async def test_an_answer_may_take_longer_than_a_head_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_wire, "HTTP_HEAD_SECONDS_MAX", 0.05)
    async with site(tmp_path) as at, at.http() as client, client.stream("GET", "/api/events") as stream:
        lines = stream.aiter_lines()
        assert (await anext(lines)).startswith(": the log")
        began, number = anyio.current_time(), 0
        while anyio.current_time() < began + 0.2:
            await at.desk.set("/a", number)
            number += 1
        with anyio.fail_after(WAIT_SECONDS):
            async for line in lines:
                if line.startswith("data: "):
                    return
    raise AssertionError("the stream was closed")
