"""What one client cannot take from others, and requests that look like others: HEAD, names given twice, charsets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from asg_mcp.core.events import Event, EventKind
from asg_mcp.repo.ledger import event_of
from asg_mcp.server import http_gate, http_sessions
from asg_mcp.server.http_scopes import METADATA_PATH
from asg_mcp.services.access import Grant
from asg_mcp.services.oauth import ResourceServer
from asg_mcp.services.oauthkeys import KeyFile
from tests.repo.desk import open_desk
from tests.server.http_served import WAIT_SECONDS, site
from tests.server.test_http import ACCEPT, problem
from tests.server.test_identity import Scene
from tests.server.test_oauth import challenge, resource_server, tool_call
from tests.services.issuers import ISSUER, Issuer

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


# --- what one client takes -----------------------------------------------------------


async def test_the_sessions_of_one_token_leave_room_for_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_sessions, "HTTP_SESSIONS_PER_TOKEN_MAX", 2)
    async with site(tmp_path, "root") as at:
        async with at.http(at.token("greedy"), **ACCEPT) as greedy, at.http(at.token("alice"), **ACCEPT) as alice:

            async def opened(client: httpx2.AsyncClient) -> httpx2.Response:
                return await client.post("/mcp", json=INITIALIZE)

            first = await opened(greedy)
            assert [first.status_code, (await opened(greedy)).status_code] == [200, 200]
            assert (await opened(greedy)).status_code == 503
            assert (await opened(alice)).status_code == 200
            ended = await greedy.delete("/mcp", headers={"mcp-session-id": first.headers["mcp-session-id"]})
            assert ended.status_code == 200
            assert (await opened(greedy)).status_code == 200


@pytest.mark.parametrize("path", ["/api/events", "/sse"])
async def test_the_open_requests_of_one_token_leave_room_for_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(http_gate, "HTTP_REQUESTS_OPEN_MAX", 1)
    async with site(tmp_path, "root") as at:
        async with at.http(at.token("greedy")) as greedy, at.http(at.token("alice")) as alice:
            async with greedy.stream("GET", path) as stream:
                await anext(stream.aiter_lines())
                refused = await greedy.get("/api/state")
                assert (refused.status_code, refused.json()["details"]["limit"]) == (429, "HTTP_REQUESTS_OPEN_MAX")
                assert (await alice.get("/api/state")).status_code == 200
            with anyio.fail_after(WAIT_SECONDS):
                while (await greedy.get("/api/state")).status_code == 429:
                    await anyio.lowlevel.checkpoint()


@pytest.mark.parametrize("path", ["/api/events", "/sse", "/api/state", "/metrics", "/mcp", "/healthz"])
async def test_head_is_answered_at_once_and_never_listens(tmp_path: Path, path: str) -> None:
    async with site(tmp_path) as at, at.http(**ACCEPT) as client:
        with anyio.fail_after(WAIT_SECONDS / 2):
            reply = await client.head(path)
            at.server.stop()
        if path in ("/api/events", "/sse"):
            assert (reply.status_code, reply.headers["allow"]) == (405, "GET")
        assert reply.content == b""


async def test_what_takes_get_takes_head_as_the_document_says(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as client:
        described = (await client.get("/api/openapi.json")).json()
        assert "/api/events alone does not" in described["info"]["description"]
        for path, methods in described["paths"].items():
            if "get" in methods and path != "/api/events":
                assert (await client.head(path.replace("{epoch}", "e0"))).status_code != 405, path


# --- what looks like something else --------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/api/events?after=1&after=2", "/api/openapi.json?x=1", "/metrics?x=1", "/healthz?x=1", "/api/stats?x=1"],
)
async def test_parameters_that_are_not_taken_are_told(tmp_path: Path, path: str) -> None:
    async with site(tmp_path) as at, at.http() as client:
        reply = await client.get(path)
        if path.startswith("/healthz"):
            assert reply.status_code == 200  # probes add what they like
        else:
            assert (reply.status_code, reply.json()["code"]) == (400, "invalid_argument")


async def test_a_call_takes_its_arguments_from_the_body_alone(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as client:
        why = {"intent_category": "Fix", "intent_description": "Because."}
        for query, name in (("?ref=dev", "ref"), ("?path=/a&path=/b", "path"), ("?x", "x")):
            reply = await client.post(f"/api/tools/asg_set{query}", json={"path": "/a", "value": 1, **why})
            assert (reply.status_code, reply.json()["code"]) == (400, "invalid_argument")
            assert f"'{name}'" in reply.json()["message"]
            assert "body" in reply.json()["hint"]
        assert (await client.get("/api/state")).json()["value"] == {}


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30, -(10**30), 10**200])
async def test_a_whole_number_that_cannot_be_stored_is_refused_and_never_rounded(tmp_path: Path, number: int) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [
        ("asg_set", {"path": "/a", "value": number}),
        ("asg_set", {"path": "/a", "value": {"b": [1, number]}}),
        ("asg_apply", {"operations": [{"op": "set", "path": "/a", "value": {"b": number}}]}),
    ]
    async with site(tmp_path) as at, at.http() as client, at.client() as mcp:
        for tool, arguments in calls:
            given = {**arguments, "intent_category": "Fix", "intent_description": "Because."}
            reply = await client.post(f"/api/tools/{tool}", json=given)
            assert reply.json() == problem(await mcp.call_tool(tool, given))
            assert reply.json()["code"] == "invalid_value"
        assert (await client.get("/api/state")).json()["value"] == {}


async def test_a_number_of_more_digits_than_are_read_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http(**{"content-type": AS_JSON}) as client:
        for digits in (300, 4_300, 5_000):
            body = b'{"path":"/a","value":%s,"intent_category":"Fix","intent_description":"x"}' % (b"9" * digits)
            assert (await client.post("/api/tools/asg_set", content=body)).status_code in (400, 422), digits


AS_JSON = "application/json"
BODIES: list[tuple[str, bytes, int]] = [
    (AS_JSON, b'{"path":"/a","path":"/"}', 400),
    (AS_JSON, b'{"operations":[{"op":"set","path":"/a","value":{"k":1,"k":2}}]}', 400),
    (AS_JSON, b'{"path":"/","\\u0070ath":"/"}', 400),
    (f"{AS_JSON}; charset=utf-16", b'{"path":"/"}', 415),
    (f"{AS_JSON}; charset=latin-1", b'{"path":"/"}', 415),
    (f'{AS_JSON}; charset="UTF-8"', b'{"path":"/"}', 200),
    (f"{AS_JSON};charset=utf8", b'{"path":"/"}', 200),
]


@pytest.mark.parametrize(("kind", "body", "status"), BODIES)
async def test_a_body_that_could_be_read_in_two_ways_is_not_read(
    tmp_path: Path, kind: str, body: bytes, status: int
) -> None:
    async with site(tmp_path) as at, at.http(**{"content-type": kind}) as client:
        reply = await client.post("/api/tools/asg_get", content=body)
        assert reply.status_code == status, reply.text


async def test_a_token_that_does_not_hold_is_called_invalid_without_an_authorization_server_too(tmp_path: Path) -> None:
    async with site(tmp_path, "alice") as at:
        async with at.http("asg_000000000000_wrong") as client:
            assert (await client.get("/api/state")).headers["www-authenticate"] == 'Bearer error="invalid_token"'
        async with at.http() as client:
            assert (await client.get("/api/state")).headers["www-authenticate"] == "Bearer"


# --- an authorization server ---------------------------------------------------------


async def test_whoever_has_no_token_is_sent_to_the_authorization_server(tmp_path: Path) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        for token in ("", "nonsense"):
            async with at.http(token) as client:
                hint = (await client.get("/api/state")).json()["hint"]
                assert ISSUER in hint
                assert "token add" not in hint


PLACES: list[tuple[str, str]] = [
    ("https://asg.example/mcp", "/mcp"),
    ("https://asg.example/mcp/", "/mcp/"),
    ("https://asg.example/sse", "/sse"),
    ("https://asg.example", ""),
    ("https://asg.example/", ""),
]


@pytest.mark.parametrize(("audience", "own"), PLACES)
async def test_the_metadata_is_where_the_audience_puts_it_and_nowhere_else(
    tmp_path: Path, audience: str, own: str
) -> None:
    place = tmp_path / "keys.json"
    place.write_bytes(Issuer().jwks())
    place.chmod(0o600)
    async with site(tmp_path, oauth=ResourceServer(ISSUER, audience, KeyFile(place))) as at, at.http() as client:
        for path in {"", "/mcp", "/mcp/", "/sse", own}:
            reply = await client.get(METADATA_PATH + path)
            assert reply.status_code == (200 if path == own else 401), path
            if path == own:
                assert reply.json()["resource"] == audience
        assert challenge(await client.get("/api/state"))["resource_metadata"] == (
            f"https://asg.example{METADATA_PATH}{own}"
        )


LACKING: list[tuple[str, dict[str, Any], str, str]] = [
    ("asg_next_task", {"plan": "p", "claim": True}, "asg:read", "asg:write"),
    ("asg_migrate", {"action": "apply"}, "asg:read", "asg:admin"),
    ("asg_migrate", {"action": "check"}, "asg:write", "asg:read"),
    ("asg_open_session", {"agent": "a", "branch": "n"}, "asg:read asg:write", "asg:branch"),
    ("asg_revert", {"ref": "x", "commits": ["abcdef"]}, "asg:write", "asg:read"),
    ("asg_apply", {"operations": [{"op": "test", "path": "/a", "value": 1}]}, "asg:write", "asg:read"),
]


@pytest.mark.parametrize(("tool", "arguments", "scopes", "lacking"), LACKING)
async def test_a_scope_that_the_arguments_ask_for_is_told_as_one(
    tmp_path: Path, tool: str, arguments: dict[str, Any], scopes: str, lacking: str
) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        async with at.http(Issuer().token(scope=scopes), **ACCEPT) as client:
            for reply in (
                await client.post("/mcp", json=tool_call(tool, arguments)),
                await client.post(f"/api/tools/{tool}", json=arguments),
            ):
                assert (reply.status_code, reply.json()["code"]) == (403, "insufficient_scope")
                assert challenge(reply)["error"] == "insufficient_scope"
                assert lacking in challenge(reply)["scope"].split()


# --- agents --------------------------------------------------------------------------


def is_mallorys(event: Event) -> bool:
    return event.author.principal == "mallory" and event.kind is not EventKind.DENIED


def rows_of(reader: Any) -> list[Any]:
    return [reader.event(index) for index in range(reader.events_count())]


@pytest.mark.parametrize("tool", ["asg_speculate", "asg_branch", "asg_plan", "asg_discard"])
async def test_a_token_of_any_agent_of_a_kind_works_in_a_session_of_one(tmp_path: Path, tool: str) -> None:
    planners = Grant("mallory", agents=("planner-*",))
    async with open_desk(tmp_path) as desk:
        at = Scene(desk)
        refused = await at.call("asg_open_session", {"agent": "eve"}, planners)
        assert refused.code == "forbidden"
        session = (await at.done("asg_open_session", {"agent": "planner-1"}, planners))["session"]
        below = await at.call("asg_open_session", {"agent": "eve", "parent": session}, planners)
        assert below.code == "forbidden"
        handle = (await at.done("asg_speculate", {"session": session}, planners))["handle"]
        arguments = {
            "asg_speculate": {},
            "asg_branch": {"name": "new"},
            "asg_plan": {"name": "p", "description": "x"},
            "asg_discard": {"handle": handle, "lesson": "x"},
        }[tool]
        assert "asg_open_session" in (await at.call(tool, arguments, planners)).text
        await at.done(tool, {**arguments, "session": session}, planners)
        # Nothing is recorded under an agent that the token may not be.
        events = await desk.repo.read(lambda view: [event_of(view.reader, row) for row in rows_of(view.reader)])
        assert {event.author.agent for event in events if is_mallorys(event)} == {"planner-1"}
