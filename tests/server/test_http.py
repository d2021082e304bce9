"""The HTTP server: every transport, who is let in, and what is refused before anything is read."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp_types import CallToolResult
from starlette.datastructures import Headers

from asg_mcp.core.limits import HTTP_BODY_BYTES_MAX, HTTP_DEPTH_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded, RateExceeded
from asg_mcp.server.http import HttpOptions, is_loopback, listen
from asg_mcp.server.http_gate import Rates, check_depth
from tests.kit.processes import unmeasured_environment
from tests.server.http_served import WAIT_SECONDS, site

TRANSPORTS = ("newer", "older", "sse")
WHY = {"intent_category": "Fix", "intent_description": "Because."}
PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
ACCEPT = {"accept": "application/json, text/event-stream", "content-type": "application/json"}


def content(result: Any) -> dict[str, Any]:
    assert isinstance(result, CallToolResult)
    assert not result.is_error, result.content
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def problem(result: Any) -> dict[str, Any]:
    assert isinstance(result, CallToolResult)
    assert result.is_error
    found: dict[str, Any] = json.loads(result.content[0].text)  # type: ignore[union-attr]
    return found


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_transport_serves_all_tools_to_the_principal_of_the_token(tmp_path: Path, transport: str) -> None:
    async with site(tmp_path, "bob") as at, at.client(transport, at.token("alice")) as client:
        assert len((await client.list_tools()).tools) == 27
        written = content(await client.call_tool("asg_set", {"path": "/a", "value": {"b": 1}, **WHY}))
        blamed = content(await client.call_tool("asg_blame", {"path": "/a/b"}))["entries"][0]
        assert (blamed["commit"], blamed["principal"]) == (written["commit"], "alice")
        read = await client.read_resource("asg://value/main/a")
        assert json.loads(read.contents[0].text) == {"b": 1}  # type: ignore[union-attr]


async def test_nothing_but_health_is_open_where_there_are_tokens(tmp_path: Path) -> None:
    async with site(tmp_path, "alice") as at:
        for token in ("", "asg_000000000000_wrong", "nonsense"):
            async with at.http(token) as http:
                for path in ("/mcp", "/sse", "/messages/?session_id=00", "/metrics", "/api/tools/asg_get"):
                    for reply in (await http.get(path), await http.post(path, json=PING)):
                        assert reply.status_code == 401, (token, path)
                        assert reply.headers["www-authenticate"].split(" ")[0] == "Bearer"
                        assert reply.json()["code"] == "unauthenticated"
                for health in ("/healthz", "/readyz"):
                    assert (await http.get(health)).json() == {"status": "ok"}


async def test_without_tokens_everybody_on_this_machine_is_let_in_until_there_is_one(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        async with at.client() as client:
            content(await client.call_tool("asg_set", {"path": "/a", "value": 1, **WHY}))
        assert (await at.desk.blame("/a"))[0].commit.principal == "anonymous"
        assert (await http.post("/mcp", json=PING, headers=ACCEPT)).status_code != 401
        at.token("alice")
        assert (await http.post("/mcp", json=PING, headers=ACCEPT)).status_code == 401
        at.tokens.revoke(at.tokens.tokens()[0].id)
        assert (await http.post("/mcp", json=PING, headers=ACCEPT)).status_code == 401


async def test_a_revoked_token_is_refused_on_the_connection_that_it_opened(tmp_path: Path) -> None:
    async with site(tmp_path, "bob") as at:
        token = at.token("alice")
        async with at.http(token, **ACCEPT) as http:
            assert (await http.post("/mcp", json=PING)).status_code != 401
            at.tokens.revoke(token)
            assert (await http.post("/mcp", json=PING)).status_code == 401


async def test_an_expired_token_lets_nobody_in(tmp_path: Path) -> None:
    async with site(tmp_path, "bob") as at, at.http(at.token("alice", expires="10"), **ACCEPT) as http:
        assert (await http.post("/mcp", json=PING)).status_code == 401  # it was made in 1970


# --- hosts and origins ------------------------------------------------------------


STRANGERS = (
    ("host", "evil.example", 421),
    ("host", "localhost.evil.example", 421),
    ("host", "localhost@evil.example", 421),
    ("origin", "http://evil.example", 403),
    ("origin", "http://localhost.evil.example", 403),
    ("origin", "null", 403),
    ("origin", "file://", 403),
)


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_another_host_or_origin_is_refused_on_every_bind(tmp_path: Path, host: str) -> None:
    async with site(tmp_path, host=host) as at, at.http() as http:
        for header, value, status in STRANGERS:
            for path in ("/mcp", "/sse", "/messages/", "/healthz", "/api/state"):
                assert (await http.get(path, headers={header: value})).status_code == status, (path, value)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "[::1]", "LOCALHOST", "localhost."])
def test_loopback_names_are_let_in_on_any_port(name: str) -> None:
    for port in ("", ":1", ":3001"):
        HttpOptions().hosts.check(headers(host=name + port, origin=f"http://{name}{port}"))


def test_a_host_that_is_allowed_is_let_in() -> None:
    HttpOptions("0.0.0.0", 1, ("asg.example",)).hosts.check(headers(host="asg.example", origin="https://asg.example"))
    HttpOptions("10.0.0.7", 1).hosts.check(headers(host="10.0.0.7:1"))


def headers(**given: str) -> Headers:
    return Headers(given)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("localhost.example", False),
    ],
)
def test_only_addresses_of_this_machine_are_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_port_that_is_taken_is_told() -> None:
    with listen(HttpOptions(port=0)) as taken, pytest.raises(InvalidArgument, match="Nothing can listen"):
        listen(HttpOptions(port=taken.getsockname()[1]))


# --- limits -----------------------------------------------------------------------


async def test_a_body_that_is_too_large_is_refused_and_the_next_request_works(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http(**ACCEPT) as http:

        async def endless() -> Any:
            for _ in range(HTTP_BODY_BYTES_MAX // 65_536 + 2):
                yield b" " * 65_536

        declared = await http.post("/mcp", content=b" " * (HTTP_BODY_BYTES_MAX + 1))
        assert (declared.status_code, declared.json()["details"]["limit"]) == (413, "HTTP_BODY_BYTES_MAX")
        streamed = await http.post("/mcp", content=endless())
        assert streamed.status_code == 413
        assert (await http.get("/readyz")).status_code == 200


async def test_json_that_is_too_deep_is_refused_and_the_next_request_works(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http(**ACCEPT) as http:
        for body in (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000):
            refused = await http.post("/mcp", content=body)
            assert (refused.status_code, refused.json()["details"]["limit"]) == (400, "HTTP_DEPTH_MAX")
            assert (await http.get("/readyz")).status_code == 200


def test_brackets_in_texts_and_side_by_side_are_no_depth() -> None:
    check_depth(json.dumps(["[{" * 1_000, '"[' * 1_000]).encode())
    check_depth(json.dumps([[]] * 1_000).encode())
    check_depth(b"[" * HTTP_DEPTH_MAX + b"]" * HTTP_DEPTH_MAX)
    with pytest.raises(LimitExceeded):
        check_depth(b"[" * (HTTP_DEPTH_MAX + 1) + b"]" * (HTTP_DEPTH_MAX + 1))


NO_MESSAGES = (b"", b"{", b"[]", b"null", b"NaN", b'{"jsonrpc":"2.0"}', b'"\xff"', b'{"a":"\\ud800"}')


async def test_what_is_no_message_is_refused_and_the_next_request_works(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http(**ACCEPT) as http:
        for version in ("", "2025-11-25", "2026-07-28", "x"):
            for body in NO_MESSAGES:
                given = {"mcp-protocol-version": version} if version else {}
                refused = await http.post("/mcp", content=body, headers=given)
                assert 400 <= refused.status_code < 500, (version, body)
        assert (await http.get("/readyz")).status_code == 200


def test_a_burst_is_let_pass_and_then_one_waits_while_others_do_not() -> None:
    now = [0.0]
    rates = Rates(clock=lambda: now[0], per_second=10, burst=3)
    for _ in range(3):
        rates.take("a")
    with pytest.raises(RateExceeded):
        rates.take("a")
    rates.take("b")
    now[0] = 0.1
    rates.take("a")
    with pytest.raises(RateExceeded):
        rates.take("a")
    now[0] = 100.0
    for _ in range(3):
        rates.take("a")
    with pytest.raises(RateExceeded):
        rates.take("a")


# --- one principal and another ----------------------------------------------------


@pytest.mark.parametrize("transport", ["older", "sse"])
async def test_a_session_of_a_transport_answers_to_its_own_token_alone(tmp_path: Path, transport: str) -> None:
    async with site(tmp_path, "carol") as at, at.http(at.token("mallory"), **ACCEPT) as thief:
        if transport == "older":
            async with at.http(at.token("alice"), **ACCEPT) as http:
                hello = {
                    "protocolVersion": "2025-11-25",
                    "capabilities": {},
                    "clientInfo": {"name": "a", "version": "1"},
                }
                opened = await http.post("/mcp", json={**PING, "method": "initialize", "params": hello})
                session = opened.headers["mcp-session-id"]
                stolen = await thief.post("/mcp", json=PING, headers={"mcp-session-id": session})
                assert stolen.status_code == 404
                assert (await http.post("/mcp", json=PING, headers={"mcp-session-id": session})).status_code == 200
        else:
            async with at.http(at.token("alice")) as http, http.stream("GET", "/sse") as stream:
                lines = stream.aiter_lines()
                async for line in lines:
                    if line.startswith("data: "):
                        break
                assert (await thief.post(line.removeprefix("data: "), json=PING)).status_code == 404
                assert (await http.post(line.removeprefix("data: "), json=PING)).status_code == 202


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_sessions_speculations_and_cursors_of_others_are_as_if_they_were_not_there(
    tmp_path: Path, transport: str
) -> None:
    async with (
        site(tmp_path, "carol") as at,
        at.client(transport, at.token("alice")) as alice,
        at.client(transport, at.token("mallory")) as mallory,
    ):
        await at.desk.apply(*(("set", f"/n{number}", number) for number in range(5)))
        session = content(await alice.call_tool("asg_open_session", {"agent": "a"}))["session"]
        handle = content(await alice.call_tool("asg_speculate", {}))["handle"]
        tried = content(
            await alice.call_tool(
                "asg_spec_modify", {"handle": handle, "operations": [{"op": "set", "path": "/secret", "value": 1}]}
            )
        )
        page = {"query": "n", "limit": 2}
        cursor = content(await alice.call_tool("asg_search", page))["next_cursor"]
        stolen: list[tuple[str, dict[str, Any], str]] = [
            ("asg_set", {"path": "/x", "value": 1, "session": session, **WHY}, "handle_not_found"),
            ("asg_resolve", {"session": session, "outcome": "fulfilled", "summary": "Done."}, "handle_not_found"),
            ("asg_open_session", {"agent": "a", "parent": session}, "handle_not_found"),
            ("asg_get", {"ref": f"spec:{handle}"}, "handle_not_found"),
            ("asg_get", {"ref": tried["commit"]}, "commit_not_found"),
            ("asg_diff", {"ref_b": f"spec:{handle}"}, "handle_not_found"),
            ("asg_compare", {"handles": [handle, handle]}, "handle_not_found"),
            (
                "asg_spec_modify",
                {"handle": handle, "operations": [{"op": "set", "path": "/x", "value": 1}]},
                "handle_not_found",
            ),
            ("asg_commit_spec", {"handle": handle, **WHY}, "handle_not_found"),
            ("asg_discard", {"handle": handle}, "handle_not_found"),
            ("asg_speculate", {"from": f"spec:{handle}"}, "handle_not_found"),
            ("asg_branch", {"name": "mine", "from": f"spec:{handle}"}, "handle_not_found"),
            ("asg_search", {**page, "cursor": cursor}, "invalid_cursor"),
        ]
        for tool, arguments, code in stolen:
            assert problem(await mallory.call_tool(tool, arguments))["code"] == code, tool
        assert content(await alice.call_tool("asg_search", {**page, "cursor": cursor}))["matches"]
        assert (
            problem(await alice.call_tool("asg_search", {**page, "cursor": cursor + "A"}))["code"] == "invalid_cursor"
        )
        for target in ("sessions", "speculations"):
            assert content(await mallory.call_tool("asg_query", {"target": target}))["items"] == []
            assert len(content(await alice.call_tool("asg_query", {"target": target}))["items"]) == 1


# --- the end ----------------------------------------------------------------------


@pytest.mark.parametrize(("path", "first"), [("/sse", "event: endpoint"), ("/api/events", ": the log")])
async def test_streams_that_only_listen_end_with_the_server(tmp_path: Path, path: str, first: str) -> None:
    with anyio.fail_after(WAIT_SECONDS):
        async with site(tmp_path) as at, at.http() as http, http.stream("GET", path) as stream:
            lines = stream.aiter_lines()
            assert (await anext(lines)).startswith(first)
            at.server.stop()
            async for _ in lines:
                pass


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_the_process_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "asg_mcp", "serve", "--http", "--port", "0", "--db", str(tmp_path / "s.db")]
    with anyio.fail_after(WAIT_SECONDS):
        async with await anyio.open_process(command, env=unmeasured_environment()) as process:
            assert process.stderr is not None
            told = (await process.stderr.receive()).decode()
            url = told.partition(" at ")[2].partition("/mcp")[0]
            assert url.startswith("http://127.0.0.1:"), told
            async with httpx2.AsyncClient(base_url=url) as http:
                assert (await http.get("/readyz")).status_code == 200
            process.send_signal(number)
            assert await process.wait() == 0
    assert not (tmp_path / "s.db-wal").exists()
