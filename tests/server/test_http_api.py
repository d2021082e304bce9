"""The HTTP API: the tools' own arguments, replies and errors, under the statuses of HTTP; and its description."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from jsonschema import Draft202012Validator

from asg_mcp.errors import AsgError
from asg_mcp.server import http_errors
from asg_mcp.server.http_errors import status_of
from asg_mcp.server.http_metrics import SECONDS, Metrics
from asg_mcp.server.http_routes import TOOLS_PATH
from asg_mcp.server.openapi import document
from asg_mcp.tools.catalogue import CATALOGUE
from tests.server.described import as_described
from tests.server.http_served import WAIT_SECONDS, Site, site

WHY = {"intent_category": "Fix", "intent_description": "Because."}


async def post(http: httpx2.AsyncClient, tool: str, status: int = 200, /, **arguments: Any) -> Any:
    reply = await http.post(f"/api/tools/asg_{tool}", json=arguments)
    assert reply.status_code == status, (tool, reply.text)
    as_described(reply)
    return reply.json()


async def get(http: httpx2.AsyncClient, path: str, status: int = 200, /, **query: Any) -> Any:
    reply = await http.get(path, params=query)
    assert reply.status_code == status, (path, reply.text)
    as_described(reply)
    return reply.json()


async def furnish(http: httpx2.AsyncClient) -> dict[str, str]:
    """Something of everything; the texts by which later calls name it."""
    made = await post(http, "set", path="/team", value={"a": 1, "b": [1, 2]}, **WHY)
    await post(http, "branch", name="dev")
    await post(http, "set", path="/team/a", value=2, **WHY)
    await post(http, "set", ref="dev", path="/team/a", value=3, **WHY)
    handles = [(await post(http, "speculate"))["handle"] for _ in range(3)]
    return {"commit": made["commit"], "spec": handles[0], "other": handles[1], "third": handles[2]}


def every_call(names: dict[str, str]) -> dict[str, dict[str, Any]]:
    """A call of each tool that succeeds."""
    tried = [{"op": "set", "path": "/team/z", "value": 1}]
    return {
        "get": {"path": "/team"},
        "set": {"path": "/x", "value": None, **WHY},
        "delete": {"path": "/x", **WHY},
        "apply": {"operations": [{"op": "append", "path": "/list", "value": 1}], **WHY},
        "search": {"query": "team"},
        "branch": {"name": "tmp"},
        "list_branches": {},
        "delete_branch": {"name": "tmp"},
        "diff": {"ref_b": "dev"},
        "merge": {"source": "dev", "intent_description": "x", "resolutions": [{"path": "/team/a", "take": "theirs"}]},
        "log": {"limit": 2},
        "blame": {"path": "/team"},
        "query": {"target": "agents"},
        "revert": {"path": "/team/a", "source": names["commit"], "intent_description": "x"},
        "speculate": {"label": "l"},
        "spec_modify": {"handle": names["spec"], "operations": tried},
        "compare": {"handles": [names["spec"], names["other"]]},
        "commit_spec": {"handle": names["spec"], **WHY},
        "discard": {"handle": names["other"], "lesson": "No."},
        "open_session": {"agent": "bob"},
        "resolve": {"intent": names["commit"], "outcome": "fulfilled", "summary": "Done."},
        "create_epoch": {"id": "e1", "description": "x"},
        "seal_epoch": {"id": "e1", "summary": "x"},
        "plan": {"name": "p", "description": "x", "tasks": [{"id": "t-1", "title": "one"}]},
        "update_task": {"plan": "p", "task": "t-1", "action": "start"},
        "next_task": {"plan": "p"},
        "migrate": {},
    }


async def test_each_tool_answers_as_its_description_says(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        described = await get(http, "/api/openapi.json")
        calls = every_call(await furnish(http))
        assert [f"asg_{name}" for name in calls] == [tool.name for tool in CATALOGUE]
        for name, arguments in calls.items():
            path = f"/api/tools/asg_{name}"
            await post(http, name, **arguments)
            await post(http, name, 400, **arguments, no_such=1)
            body = described["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
            Draft202012Validator(body).validate(arguments)
        for path in ("/api/epochs", "/api/plans", "/api/sessions", "/api/branches", "/api/log", "/api/query"):
            reply = await get(http, path, limit=1)
            assert len(reply.get("items", reply.get("branches", reply.get("commits")))) == 1


async def test_reads_answer_what_their_tools_answer(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        await furnish(http)
        calls: list[tuple[str, str, dict[str, Any]]] = [
            ("/api/state", "get", {"path": "/team", "depth": 1, "full_ids": True}),
            ("/api/search", "search", {"query": "$.team.b[*]", "mode": "jsonpath"}),
            ("/api/log", "log", {"ref": "dev", "path": "/team/a"}),
            ("/api/blame", "blame", {"path": "/team", "history": True, "limit": 3}),
            ("/api/diff", "diff", {"ref_a": "main", "ref_b": "dev"}),
            ("/api/branches", "list_branches", {"kind": "branch"}),
            ("/api/query", "query", {"filters": {"agent": "python-httpx2"}, "group_by": ["agent", "category"]}),
            ("/api/query", "query", {"filters": {"tags": ["a"], "confidence_min": 0.5}, "group_by": ["agent"]}),
        ]
        for path, tool, arguments in calls:
            query = {**arguments, **arguments.get("filters", {})}  # which stand beside the others in a query
            query.pop("filters", None)
            query = {name: str(item).lower() if isinstance(item, bool) else item for name, item in query.items()}
            assert await get(http, path, **query) == await post(http, tool, **arguments)
        stats = await get(http, "/api/stats")
        assert (stats["branches"], (await get(http, "/api/health"))["healthy"]) == (2, True)
        entry = (await get(http, "/api/blame", path="/team/a"))["entries"][0]
        assert entry["client"].startswith("python-httpx2/")


async def test_errors_have_the_status_and_the_json_of_the_tool(tmp_path: Path) -> None:
    async with site(tmp_path, "bob") as at, at.http(at.token("alice", verbs=("read", "write"))) as http:
        head = (await post(http, "set", path="/a", value=1, **WHY))["parent"]
        await post(http, "set", path="/a", value=2, **WHY)
        moved = await post(http, "set", 409, path="/a", value=3, expected_head=head, **WHY)
        assert (moved["code"], moved["details"]["conflicts"][0]["path"]) == ("head_moved", "/a")
        for status, code, tool, arguments in (
            (400, "invalid_argument", "set", {"path": "/a", "vaule": 1, **WHY}),
            (422, "invalid_path", "get", {"path": "a"}),
            (422, "limit_exceeded", "get", {"path": "/" + "x" * 2_000}),
            (422, "wrong_type", "set", {"path": "/a/b", "value": 1, **WHY}),
            (403, "forbidden", "branch", {"name": "dev"}),
            (404, "path_not_found", "get", {"path": "/zzz"}),
            (404, "ref_not_found", "get", {"ref": "nowhere"}),
            (404, "handle_not_found", "discard", {"handle": "0123456789ab"}),
            (404, "unknown_tool", "frobnicate", {}),
            (413, "limit_exceeded", "set", {"path": "/big", "value": "x" * (5 << 20), **WHY}),
        ):
            problem = await post(http, tool, status, **arguments)
            assert problem["code"] == code
            assert problem["hint"]
        assert (await get(http, "/api/state", 404, path="/zzz"))["code"] == "path_not_found"
        assert (await get(http, "/api/state", 400, pth="/a"))["code"] == "invalid_argument"
        assert (await get(http, "/api/epochs", 400, target="plans"))["code"] == "invalid_argument"
        assert (await get(http, "/api/nowhere", 404))["code"] == "no_such_route"
        assert (await get(http, "/api/tools/asg_get", 405))["code"] == "method_not_allowed"


async def test_conflicts_that_are_told_as_data_are_a_409_with_the_reply(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        await furnish(http)
        merge = {"source": "dev", "intent_description": "x"}
        found = await post(http, "merge", 409, **merge)
        assert (found["merged"], found["conflicts"][0]["path"]) == (False, "/team/a")
        assert (await post(http, "merge", 200, preview=True, **merge))["conflicts"] == found["conflicts"]


async def test_a_body_that_is_no_json_object_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        as_json = {"content-type": "application/json; charset=utf-8"}
        for body in (b"{", b"[]", b"null", b'"a"', b"NaN", b'{"a":NaN}', b'{"a":"\\ud800"}', b"\xff", b"{}{}"):
            reply = await http.post("/api/tools/asg_get", content=body, headers=as_json)
            assert (reply.status_code, reply.json()["code"]) == (400, "invalid_argument"), body
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=a", ""):
            reply = await http.post("/api/tools/asg_get", content=b'{"path":"/"}', headers={"content-type": kind})
            assert (reply.status_code, reply.json()["code"]) == (415, "unsupported_media_type"), kind
        assert (await http.post("/api/tools/asg_get")).status_code == 200


@pytest.mark.parametrize(
    ("code", "status"),
    [("store_busy", 503), ("store_full", 503), ("store_corrupt", 500), ("unknown_outcome", 500), ("internal", 500),
     ("rate_exceeded", 429), ("migration_refused", 409), ("token_not_found", 404)],
)  # fmt: skip
def test_faults_of_the_store_are_no_faults_of_the_caller(code: str, status: int) -> None:
    assert status_of({"code": code, "message": ""}) == status


def test_every_error_there_is_has_a_status() -> None:
    def codes(family: type[AsgError]) -> set[str]:
        return {family.code}.union(*(codes(member) for member in family.__subclasses__()))

    assert codes(AsgError) <= {code for code, _ in http_errors._statuses(AsgError, 500)}


# --- what is granted ---------------------------------------------------------------


async def test_a_token_reads_and_writes_only_what_it_was_granted(tmp_path: Path) -> None:
    async with site(tmp_path, "root", protected=("main",)) as at:
        token = at.token("alice", verbs=("read", "write", "branch"), paths=("/team",), agents=("bob",))
        async with at.http(at.token("root")) as root, at.http(token) as http:
            await furnish(root)
            for path in ("/api/query", "/api/stats", "/api/events", "/api/epochs", "/api/log", "/api/state"):
                assert (await get(http, path, 403))["code"] == "forbidden", path
            assert (await get(http, "/api/state", path="/team/a"))["value"] == 2
            assert (await post(http, "set", 403, path="/team/a", value=9, **WHY))["details"]["protected"] == ["main"]
            written = await post(http, "set", ref="dev", path="/team/a", value=9, **WHY)
            assert written["changed"] == 1
            assert (await get(http, "/api/blame", ref="dev", path="/team/a"))["entries"][0]["agent"] == "bob"
            claim = {"provenance": {"agent": "eve"}, "ref": "dev", "path": "/team/a", "value": 1}
            assert (await post(http, "set", 403, **claim, **WHY))["code"] == "forbidden"


async def test_resources_completions_and_subscriptions_keep_to_the_grant(tmp_path: Path) -> None:
    async with site(tmp_path, "root") as at:
        await at.desk.apply(("set", "/team", {"a": 1}), ("set", "/other", 2))
        async with at.client("newer", at.token("alice", paths=("/team",))) as client:
            assert json.loads((await client.read_resource("asg://value/main/team")).contents[0].text) == {"a": 1}  # type: ignore[union-attr]
            for uri in ("asg://value/main/other", "asg://state/main", "asg://log/main", "asg://stats", "asg://health"):
                with pytest.raises(Exception, match=r"outside|any ref|forbidden"):
                    await client.read_resource(uri)
            with pytest.raises(Exception, match="outside"):
                async with client.listen(resource_subscriptions=["asg://value/main/other"]):
                    pass


# --- events ------------------------------------------------------------------------


async def heard(lines: AsyncIterator[str]) -> dict[str, Any]:
    with anyio.fail_after(WAIT_SECONDS):
        async for line in lines:
            if line.startswith("data: "):
                found: dict[str, Any] = json.loads(line.removeprefix("data: "))
                return found
    raise AssertionError("the stream ended")


async def test_events_are_sent_as_they_happen_and_again_from_where_the_client_was(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        async with http.stream("GET", "/api/events") as stream:
            assert stream.headers["content-type"] == "text/event-stream"
            lines = stream.aiter_lines()
            written = await post(http, "set", path="/a", value=1, **WHY)
            event = await heard(lines)
            assert (event["kind"], event["ref"], event["new"][:12]) == ("commit", "main", written["commit"])
            other = await at.desk.set("/b", 2)  # by somebody else
            assert (await heard(lines))["new"] == other.commit.hex()
        last = str(event["index"])
        for given in ({"params": {"after": last}}, {"headers": {"last-event-id": last}}):
            async with http.stream("GET", "/api/events", **given) as stream:  # type: ignore[arg-type]
                assert (await heard(stream.aiter_lines()))["new"] == other.commit.hex()
        for wrong in ("x", "-1", "1.5", ""):
            assert (await get(http, "/api/events", 400, after=wrong))["code"] == "invalid_argument"
        assert (await get(http, "/api/events", 400, since="1"))["code"] == "invalid_argument"


async def test_of_others_no_session_and_no_speculation_is_heard(tmp_path: Path) -> None:
    async with site(tmp_path, "root") as at, at.http(at.token("alice")) as alice, at.http(at.token("eve")) as eve:
        await post(alice, "open_session", agent="a")
        handle = (await post(alice, "speculate"))["handle"]
        await post(alice, "spec_modify", handle=handle, operations=[{"op": "set", "path": "/x", "value": 1}])
        await post(alice, "set", path="/a", value=1, **WHY)
        async with eve.stream("GET", "/api/events", params={"after": "0"}) as stream:
            event = await heard(stream.aiter_lines())
            assert (event["kind"], event["ref"]) == ("commit", "main")
        async with alice.stream("GET", "/api/events", params={"after": "0"}) as stream:
            assert (await heard(stream.aiter_lines()))["kind"] == "session_opened"


async def test_the_stream_of_a_revoked_token_ends(tmp_path: Path) -> None:
    async with site(tmp_path, "root") as at:
        token = at.token("alice")
        async with at.http(token) as http, http.stream("GET", "/api/events") as stream:
            lines = stream.aiter_lines()
            await anext(lines)
            at.tokens.revoke(token)
            with anyio.fail_after(WAIT_SECONDS):
                async for line in lines:
                    assert not line.startswith("data: ")


def _checkpoint(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0])


async def test_a_client_that_does_not_read_holds_up_nobody(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        for name in ("a", "b", "c"):
            await at.desk.set(f"/big/{name}", ["x" * 1_000] * 4_000)
        port = int(at.url.rpartition(":")[2])
        streams = [await anyio.connect_tcp("127.0.0.1", port) for _ in range(8)]
        request = (
            f"GET /api/state?path=/big&max_bytes={16 << 20} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            "GET /api/events?after=0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        for stream in streams:
            await stream.send(request.encode())
        with anyio.fail_after(WAIT_SECONDS):
            for number in range(20):
                await post(http, "set", path="/a", value=number, **WHY)
            with contextlib.closing(
                sqlite3.connect(tmp_path / "state.db", timeout=WAIT_SECONDS, check_same_thread=False)
            ) as beside:
                # It succeeds only where nobody is in the middle of reading.
                busy = await anyio.to_thread.run_sync(_checkpoint, beside)
            assert not busy
            assert (await get(http, "/api/state", path="/a"))["value"] == 19
        for stream in streams:
            await stream.aclose()


# --- descriptions ------------------------------------------------------------------


async def test_the_document_has_every_route_of_the_api_and_no_other(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        described = await get(http, "/api/openapi.json")
        assert described == json.loads(json.dumps(document(CATALOGUE)))
        app: Any = at.server.config.app
        tools = [TOOLS_PATH.format(name=tool.name) for tool in CATALOGUE]
        served = {
            (path, method)
            for route in app._app.routes
            for path in (tools if route.path == TOOLS_PATH else [route.path])
            for method in (getattr(route, "methods", None) or {"ALL"}) - {"HEAD"}
            if not path.startswith(("/mcp", "/sse", "/messages", "/.well-known"))
        }
        assert served == {(path, method.upper()) for path, methods in described["paths"].items() for method in methods}
        for path, methods in described["paths"].items():
            for method in {"get", "post", "put", "delete", "patch"} - methods.keys():
                refused = await http.request(method.upper(), path)
                assert (refused.status_code, refused.headers["allow"].split(", ")[0] != "") == (405, True), path
        operations = [one["operationId"] for methods in described["paths"].values() for one in methods.values()]
        assert len(set(operations)) == len(operations)


def test_each_schema_of_the_document_is_one() -> None:
    described = document(CATALOGUE)
    for methods in described["paths"].values():
        for operation in methods.values():
            for parameter in operation.get("parameters", ()):
                Draft202012Validator.check_schema(parameter.get("schema", {}))
            for response in operation["responses"].values():
                for kind in response.get("content", {}).values():
                    Draft202012Validator.check_schema(kind["schema"])


# --- metrics -----------------------------------------------------------------------

SAMPLE = re.compile(r'[a-z_]+(\{([a-z]+="[^"]*",?)+\})? [0-9.e+-]+')


async def samples(at: Site, http: httpx2.AsyncClient) -> dict[str, float]:
    reply = await http.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in reply.text.splitlines() if not line.startswith("#")]
    assert all(SAMPLE.fullmatch(line) for line in lines), reply.text
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


async def test_metrics_count_calls_refusals_and_what_the_store_holds(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        await post(http, "set", path="/a", value=1, **WHY)
        await post(http, "get", 404, path="/zzz")
        async with at.client() as client:
            await client.call_tool("asg_get", {"path": "/a"})
        await http.get("/healthz", headers={"host": "evil"})
        found = await samples(at, http)
        assert found['asgmcp_tool_calls_total{tool="asg_set",code="ok"}'] == 1
        assert found['asgmcp_tool_calls_total{tool="asg_get",code="ok"}'] == 1
        assert found['asgmcp_tool_calls_total{tool="asg_get",code="path_not_found"}'] == 1
        assert found['asgmcp_http_requests_total{route="/healthz",status="421"}'] == 1
        assert found['asgmcp_http_requests_total{route="/api",status="404"}'] == 1
        assert found["asgmcp_commits"] == 2
        assert found["asgmcp_healthy"] == 1
        assert found['asgmcp_tool_seconds_bucket{tool="asg_get",le="+Inf"}'] == 2


async def test_no_client_makes_the_metrics_grow(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        before = len(await samples(at, http))
        for number in range(20):
            await http.get(f"/nowhere/{number}")
            await http.post(f"/api/tools/asg_{number}", json={})
        assert len(await samples(at, http)) <= before + 3


async def test_durations_are_counted_in_the_bucket_that_holds_them() -> None:
    metrics = Metrics()
    for seconds in (0.0, SECONDS[0], SECONDS[0] * 1.5, SECONDS[-1] * 2):
        metrics.call("t", "ok", seconds)
    lines = list(metrics._counted())
    assert f'asgmcp_tool_seconds_bucket{{tool="t",le="{SECONDS[0]}"}} 2' in lines
    assert f'asgmcp_tool_seconds_bucket{{tool="t",le="{SECONDS[-1]}"}} 3' in lines
    assert 'asgmcp_tool_seconds_bucket{tool="t",le="+Inf"} 4' in lines
