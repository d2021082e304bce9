"""OAuth over HTTP: who is let in by the tokens of an authorization server, what clients are told, when streams end."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client.subscriptions import SubscriptionLost
from mcp.shared.exceptions import MCPError

from asg_mcp.core.limits import HTTP_REQUESTS_BURST, TOKEN_CHECK_SECONDS
from asg_mcp.repo.denying import LoggedDenial, denials
from asg_mcp.server import http_gate
from asg_mcp.server.http_scopes import METADATA_PATH, called
from asg_mcp.services.access import Verb
from asg_mcp.services.oauth import SCOPES, ResourceServer
from asg_mcp.services.oauthkeys import FetchedKeys, KeyFile
from asg_mcp.tools.aliases import ALIASES
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.needs import NEEDS
from tests.kit.processes import unmeasured_environment
from tests.server.http_served import WAIT_SECONDS, Site, site
from tests.server.test_http import ACCEPT, PING, TRANSPORTS, WHY, content, problem
from tests.server.test_identity import BASE
from tests.services.issuers import AUDIENCE, ISSUER, Issuer, private_key

METADATA_URL = f"https://asg.example{METADATA_PATH}/mcp"


def resource_server(folder: Path, issuer: Issuer | None = None) -> ResourceServer:
    place = folder / "keys.json"
    place.write_bytes((issuer or Issuer()).jwks())
    place.chmod(0o600)
    return ResourceServer(ISSUER, AUDIENCE, KeyFile(place))


def challenge(reply: httpx2.Response) -> dict[str, str]:
    header = reply.headers["www-authenticate"]
    assert header.startswith("Bearer ")
    return dict(re.findall(r'(\w+)="([^"]*)"', header))


async def refused(at: Site, count: int = 1) -> list[LoggedDenial]:
    return await at.desk.repo.read(lambda view: denials(view, count))


def tool_call(tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return {**PING, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


# --- who is let in -------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_transport_serves_the_subject_of_a_token_beside_those_of_the_file(
    tmp_path: Path, transport: str
) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        for token, principal in ((Issuer().token("ana"), f"{ISSUER}#ana"), (at.token("bo"), "bo")):
            async with at.client(transport, token) as client:
                content(await client.call_tool("asg_set", {"path": "/a", "value": principal, **WHY}))
                blamed = content(await client.call_tool("asg_blame", {"path": "/a"}))["entries"][0]
                assert blamed["principal"] == principal


async def test_without_a_token_that_counts_nobody_is_let_in_and_each_is_told_where_to_get_one(tmp_path: Path) -> None:
    issuer = Issuer()
    wrong = ["", "nonsense", "a.b.c", issuer.token(aud="https://other.example/mcp"), issuer.token(exp=1), "asg_0_0"]
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        for token in wrong:
            async with at.http(token, **ACCEPT) as http:
                for path in (
                    "/mcp",
                    "/sse",
                    "/messages/?session_id=00",
                    "/metrics",
                    "/api/tools/asg_get",
                    "/api/state",
                ):
                    for reply in (await http.get(path), await http.post(path, json=PING)):
                        assert reply.status_code == 401, (token, path)
                        told = challenge(reply)
                        assert told["resource_metadata"] == METADATA_URL
                        assert told.get("error") == ("invalid_token" if token else None)
        async with at.http(issuer.token()) as http:
            counted = (await http.get("/metrics")).text
        assert re.search(r'asgmcp_http_requests_total\{route="/mcp",status="401"\} 12\b', counted)
        assert await refused(at) == []  # nobody knows who they were


async def test_whoever_guesses_tokens_is_slowed_and_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_gate.Rates, "take", slow := Slow())
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        async with at.http("guess") as http:
            assert [(await http.get("/api/state")).status_code for _ in range(4)] == [401, 401, 429, 429]
        async with at.http(Issuer().token()) as http:
            assert (await http.get("/api/state")).status_code == 200
    assert HTTP_REQUESTS_BURST > 2
    assert any(name.startswith("token oauth-") for name in slow.names)


class Slow:
    """Lets each name that is refused pass twice."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._real = http_gate.Rates(burst=2, per_second=0)

    def __call__(self, who: str) -> None:
        self.names.append(who)
        if who.startswith("refused"):
            ORIGINAL_TAKE(self._real, who)


ORIGINAL_TAKE = http_gate.Rates.take


async def test_the_metadata_of_the_resource_is_open_and_names_the_issuer(tmp_path: Path) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at, at.http() as http:
        reply = await http.get(f"{METADATA_PATH}/mcp")
        assert reply.status_code == 200
        assert reply.json() == {
            "resource": AUDIENCE,
            "authorization_servers": [ISSUER],
            "scopes_supported": list(SCOPES),
            "bearer_methods_supported": ["header"],
            "resource_name": "AgentStateGraph",
        }
        assert (await http.get(f"{METADATA_PATH}/other")).status_code == 401


async def test_without_an_authorization_server_there_is_no_such_metadata(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        assert (await http.get(METADATA_PATH)).status_code == 404


async def test_a_key_that_the_issuer_made_anew_is_fetched_with_the_first_token_that_names_it(tmp_path: Path) -> None:
    issuer, now = Issuer(), [0.0]
    keys = FetchedKeys(ISSUER, f"{ISSUER}/keys", lambda _: issuer.jwks(), lambda: now[0])
    async with site(tmp_path, oauth=ResourceServer(ISSUER, AUDIENCE, keys)) as at:
        async with at.http(issuer.token()) as http:
            assert (await http.get("/api/state")).status_code == 200
        old = issuer.token()
        issuer.keys = {"k2": ("ES384", private_key("ES384"))}
        now[0] += 60
        for token, status in ((issuer.token(kid="k2"), 200), (old, 401)):
            async with at.http(token) as http:
                assert (await http.get("/api/state")).status_code == status


# --- what a token lacks ----------------------------------------------------------------


def test_what_every_call_of_a_tool_needs_is_part_of_what_each_call_needs() -> None:
    for name, row in NEEDS.items():
        assert row.verbs <= frozenset(Verb)
        assert row.verbs or name == "asg_migrate", name


@pytest.mark.parametrize("verb", Verb)
async def test_a_call_without_its_scope_is_answered_403_and_told_which_one_it_lacks(tmp_path: Path, verb: Verb) -> None:
    scopes = [scope for scope in SCOPES if scope != f"asg:{verb}"]
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        async with at.http(Issuer().token(scope=" ".join(scopes)), **ACCEPT) as http:
            lacking = [tool.name for tool in CATALOGUE if verb in NEEDS[tool.name].verbs]
            lacking += [alias.name for alias in ALIASES if verb in NEEDS[alias.tool].verbs][:2]
            for tool in lacking:
                call = tool_call(tool, BASE.get(tool, {}))
                replies = [await http.post("/mcp", json=call)]
                if tool in NEEDS:
                    replies.append(await http.post(f"/api/tools/{tool}", json={}))
                for reply in replies:
                    assert reply.status_code == 403, tool
                    told = challenge(reply)
                    assert told["error"] == "insufficient_scope"
                    assert set(told["scope"].split()) == set(SCOPES)
                    assert told["resource_metadata"] == METADATA_URL
                    assert reply.json()["code"] == "insufficient_scope"
            if lacking:
                (denial,) = await refused(at)
                assert (denial.principal, denial.denial.rule, denial.denial.verb) == (f"{ISSUER}#alice", "verb", verb)
            assert (await http.post("/mcp", json=PING)).status_code != 403


async def test_reading_needs_its_scope_wherever_something_is_read(tmp_path: Path) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        async with at.http(Issuer().token(scope="asg:write"), **ACCEPT) as http:
            for path in ("/api/state", "/api/events", "/api/log", "/metrics"):
                assert (await http.get(path)).status_code == 403, path
            for method in ("resources/read", "subscriptions/listen", "completion/complete", "resources/subscribe"):
                assert (await http.post("/mcp", json={**PING, "method": method, "params": {}})).status_code == 403
            for body in (
                b"[]",
                b"{",
                b'{"method": ["tools/call"]}',
                b'{"method": "tools/call", "params": {"name": []}}',
            ):
                assert (await http.post("/mcp", content=body)).status_code == 400, body


@pytest.mark.parametrize(
    ("method", "path", "body", "told"),
    [
        ("GET", "/api/state", b"", "/api/state"),
        ("GET", "/api/made-up", b"", "/api/"),
        ("POST", "/api/tools/asg_set", b"", "asg_set"),
        ("POST", "/api/tools/made-up", b"", "/api/tools/"),
        ("POST", "/mcp", b'{"method": "tools/call", "params": {"name": "asg_get"}}', "asg_get"),
        ("POST", "/mcp", b'{"method": "tools/call", "params": {"name": "made-up"}}', "tools/call"),
        ("POST", "/made-up", b'{"method": "resources/read"}', "resources/read"),
        ("POST", "/made-up", b'{"method": "made-up"}', "tools/call"),
    ],
)
def test_what_the_log_says_was_called_is_never_a_text_of_the_client(
    method: str, path: str, body: bytes, told: str
) -> None:
    # It is in the header of the event, which can never be erased.
    assert called({"method": method, "path": path}, body) == told


async def test_a_token_of_the_file_is_answered_as_before(tmp_path: Path) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        async with at.client("newer", at.token("bo", verbs=("read",))) as client:
            assert problem(await client.call_tool("asg_set", {"path": "/a", "value": 1, **WHY}))["code"] == "forbidden"


async def test_claims_bind_refs_paths_and_agents_and_refs_stay_protected(tmp_path: Path) -> None:
    claims: dict[str, Any] = {"asg:refs": ["main", "team/*"], "asg:paths": ["/team"], "asg:agents": ["bob"]}
    token = Issuer().token(scope="asg:read asg:write", **claims)
    async with site(tmp_path, protected=("main",), oauth=resource_server(tmp_path)) as at:
        await at.desk.set("/team", {"a": 1})
        await at.desk.branch("team/x")
        async with at.client("newer", token) as client:

            async def code(tool: str, **arguments: Any) -> str:
                return str(problem(await client.call_tool(tool, arguments))["details"]["rule"])

            assert content(await client.call_tool("asg_get", {"path": "/team/a"}))["value"] == 1
            assert await code("asg_get", path="/") == "path"
            assert await code("asg_get", ref="old", path="/team") == "ref"
            assert await code("asg_set", path="/team/a", value=2, **WHY) == "protected"
            write = {"ref": "team/x", "path": "/team/a", "value": 2, **WHY}
            assert await code("asg_set", **{**write, "provenance": {"agent": "eve"}}) == "agent"
            content(await client.call_tool("asg_set", write))
        blamed = (await at.desk.blame("/team/a", "team/x"))[0].commit
        assert (blamed.principal, blamed.agent) == (f"{ISSUER}#alice", "bob")
        assert {one.denial.rule for one in await refused(at, 9)} == {"path", "ref", "protected", "agent"}


async def test_a_session_of_a_transport_goes_on_with_a_fresh_token_of_the_same_user_alone(tmp_path: Path) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        async with at.http(Issuer().token(jti="1"), **ACCEPT) as http:
            opened = await http.post("/mcp", json={**PING, "method": "initialize", "params": hello})
        headers = {**ACCEPT, "mcp-session-id": opened.headers["mcp-session-id"]}
        for token, status in (
            (Issuer().token(jti="2"), 200),
            (Issuer().token("mallory"), 404),
            (Issuer().token(client_id="other"), 404),
            (at.token("alice"), 404),
        ):
            async with at.http(token, **headers) as http:
                assert (await http.post("/mcp", json=PING)).status_code == status


# --- the token goes nowhere ------------------------------------------------------------


async def test_no_token_is_in_the_log_the_store_or_a_reply(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    tokens = [
        Issuer().token("ana", nonce="n-0123456789"),
        Issuer().token("bo", scope="asg:read"),
        Issuer().token(exp=1),
    ]
    told = ""
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        for token in tokens:
            async with at.http(token, **ACCEPT) as http:
                told += (await http.post("/api/tools/asg_set", json={"path": "/a", "value": 1, **WHY})).text
                told += (await http.get("/api/state")).text + (await http.get("/metrics")).text
        async with at.client("newer", tokens[0]) as client:
            content(await client.call_tool("asg_set", {"path": "/b", "value": 1, **WHY}))
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("asg_mcp"))
    stored = b"".join((tmp_path / name).read_bytes() for name in os.listdir(tmp_path) if name != "keys.json")
    for token in tokens:
        for piece in token.split(".")[1:]:
            assert piece not in told
            assert piece not in ours
            assert piece.encode() not in stored


# --- who hears of it -------------------------------------------------------------------


async def test_of_denials_only_those_who_grant_and_whoever_was_refused_hear(tmp_path: Path) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        mallory, ana = Issuer().token("mallory", scope="asg:read"), Issuer().token("ana", scope="asg:read")
        async with at.http(mallory) as http:
            assert (await http.post("/api/tools/asg_set", json={})).status_code == 403
        await at.desk.set("/a", 1)
        for token, kinds in (
            (mallory, ["denied", "commit"]),
            (Issuer().token("root"), ["denied", "commit"]),
            (ana, ["commit"]),
        ):
            async with at.http(token) as http, http.stream("GET", "/api/events", params={"after": "0"}) as stream:
                lines = stream.aiter_lines()
                heard: list[str] = []
                with anyio.fail_after(WAIT_SECONDS):
                    while len(heard) < len(kinds):
                        line = await anext(lines)
                        if line.startswith("data: "):
                            heard.append(json.loads(line.removeprefix("data: "))["kind"])
                assert heard == kinds


@pytest.mark.filterwarnings("ignore:resources/subscribe is removed")
@pytest.mark.parametrize("transport", ["newer", "older"])
async def test_a_subscription_beyond_the_grant_is_refused_logged_and_names_nothing_nearby(
    tmp_path: Path, transport: str
) -> None:
    claims: dict[str, Any] = {"asg:refs": ["ma*"], "asg:paths": ["/team", "/oth"]}
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        await at.desk.apply(("set", "/team", {"a": 1}), ("set", "/other", 2))
        await at.desk.branch("mhidden")
        beyond = ("asg://state/main", "asg://log/main", "asg://log/old", "asg://plans")
        async with at.client(transport, Issuer().token(**claims)) as client:
            for uri in (*beyond, "asg://state/maidden/team"):
                with pytest.raises((MCPError, SubscriptionLost)) as told:
                    if transport == "older":
                        await client.session.subscribe_resource(uri)
                    else:
                        async with client.listen(resource_subscriptions=[uri]):
                            pass
                assert not re.search("mhidden|/other", str(told.value))
        found = {(one.denial.what, one.denial.rule) for one in await refused(at, 9)}
        method = "resources/subscribe" if transport == "older" else "subscriptions/listen"
        assert found == {(method, "path"), (method, "ref")}


# --- the program -------------------------------------------------------------------------


async def test_the_program_lets_in_whom_the_issuer_sends_and_listens_to_the_name_in_their_tokens(
    tmp_path: Path,
) -> None:
    resource_server(tmp_path)
    given = ("--oauth-issuer", ISSUER, "--oauth-audience", AUDIENCE, "--oauth-jwks", str(tmp_path / "keys.json"))
    command = [
        sys.executable,
        "-m",
        "asg_mcp",
        "serve",
        "--http",
        "--port",
        "0",
        "--db",
        str(tmp_path / "s.db"),
        *given,
    ]
    with anyio.fail_after(WAIT_SECONDS):
        async with await anyio.open_process(command, env=unmeasured_environment()) as process:
            assert process.stderr is not None
            told = (await process.stderr.receive()).decode()
            assert "without tokens" not in told
            async with httpx2.AsyncClient(base_url=told.partition(" at ")[2].partition("/mcp")[0]) as http:
                assert (await http.get("/api/state")).status_code == 401
                headers = {"authorization": f"Bearer {Issuer().token()}", "host": "asg.example"}
                assert (await http.get("/api/state", headers=headers)).status_code == 200
            process.terminate()
            assert await process.wait() == 0


# --- the end of a token ----------------------------------------------------------------


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open streams are looked at more often than in earnest."""
    assert TOKEN_CHECK_SECONDS <= 5
    monkeypatch.setattr(http_gate, "TOKEN_CHECK_SECONDS", 0.05)


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("path", ["/sse", "/api/events"])
@pytest.mark.parametrize("how", ["revoked", "narrowed", "file lost"])
async def test_a_stream_ends_soon_after_its_token(tmp_path: Path, path: str, how: str) -> None:
    async with site(tmp_path, "root") as at:
        token = at.token("alice")
        async with at.http(token) as http, http.stream("GET", path) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            if how == "revoked":
                at.tokens.revoke(token)
            elif how == "narrowed":
                document = json.loads(at.tokens.path.read_bytes())
                document["tokens"][-1]["verbs"] = ["write"]
                at.tokens.path.write_text(json.dumps(document))
            else:
                at.tokens.path.write_text("nonsense")
            with anyio.fail_after(WAIT_SECONDS):
                async for line in lines:
                    assert not line.startswith("data: {")


@pytest.mark.usefixtures("soon")
@pytest.mark.parametrize("path", ["/sse", "/api/events"])
async def test_a_stream_ends_when_its_token_expires(tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async with site(tmp_path, oauth=resource_server(tmp_path)) as at:
        async with at.http(Issuer().token()) as http, http.stream("GET", path) as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            later = time.time_ns() + 2 * 3_600 * 10**9
            monkeypatch.setattr("asg_mcp.services.tokens.time.time_ns", lambda: later)
            with anyio.fail_after(WAIT_SECONDS):
                async for _ in lines:
                    pass


@pytest.mark.usefixtures("soon")
async def test_the_standing_stream_of_the_older_era_ends_with_its_token(tmp_path: Path) -> None:
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "a", "version": "1"}}
    async with site(tmp_path, "root") as at:
        token = at.token("alice")
        async with at.http(token, **ACCEPT) as http:
            opened = await http.post("/mcp", json={**PING, "method": "initialize", "params": hello})
            headers = {"mcp-session-id": opened.headers["mcp-session-id"], "accept": "text/event-stream"}
            async with http.stream("GET", "/mcp", headers=headers) as stream:
                assert stream.status_code == 200
                at.tokens.revoke(token)
                with anyio.fail_after(WAIT_SECONDS):
                    async for _ in stream.aiter_bytes():
                        pass


@pytest.mark.usefixtures("soon")
async def test_a_listen_stream_of_the_newer_era_ends_with_its_token_and_one_of_another_stays(tmp_path: Path) -> None:
    async with site(tmp_path, "root") as at:
        await at.desk.set("/a", 0)
        token = at.token("alice")
        async with at.client("newer", at.token("root2")) as other, at.client("newer", token) as client:
            async with other.listen(resource_subscriptions=["asg://value/main/a"]) as stays:
                with anyio.fail_after(WAIT_SECONDS):
                    with pytest.raises(SubscriptionLost):
                        async with client.listen(resource_subscriptions=["asg://value/main/a"]) as ends:
                            at.tokens.revoke(token)
                            async for _ in ends:
                                pass
                    await at.desk.set("/a", 1)
                    async for _ in stays:
                        break


@pytest.mark.usefixtures("soon")
async def test_a_call_under_way_is_finished_though_its_token_ends(tmp_path: Path) -> None:
    async with site(tmp_path, "root") as at:
        token = at.token("alice")
        async with at.http(token, **ACCEPT) as http:
            reached, go = anyio.Event(), anyio.Event()
            commit = at.desk.repo.commit

            async def slow(*args: Any, **given: Any) -> Any:
                reached.set()
                await go.wait()
                return await commit(*args, **given)

            replies: list[bool] = []

            async def write(client: Any) -> None:
                call = {"path": "/a", "value": 1, **WHY}
                replies.append((await client.call_tool("asg_set", call)).is_error)

            async def stream_ends() -> None:
                other = at.token("bo")
                async with at.http(other) as second, second.stream("GET", "/sse") as stream:
                    lines = stream.aiter_lines()
                    await anext(lines)
                    at.tokens.revoke(other)
                    async for _ in lines:
                        pass

            type(at.desk.repo).commit, before = slow_of(slow), type(at.desk.repo).commit  # type: ignore[method-assign]
            try:
                with anyio.fail_after(WAIT_SECONDS):
                    async with at.client("newer", token) as client, anyio.create_task_group() as tasks:
                        await client.list_tools()  # it would ask for them at the end of its first call
                        tasks.start_soon(write, client)
                        await reached.wait()
                        at.tokens.revoke(token)
                        await stream_ends()  # one that began after that: its token was looked at in vain, as this one
                        go.set()
            finally:
                type(at.desk.repo).commit = before  # type: ignore[method-assign]
            assert replies == [False]
            assert (await http.get("/api/state")).status_code == 401


def slow_of(slow: Any) -> Any:
    return lambda _, *args, **given: slow(*args, **given)
