"""The readable GETs: paths, the graph, bundles; answers that a reader may keep; arguments exactly as described."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from asg_mcp.schemas.base import json_schema
from asg_mcp.server.described import checker
from asg_mcp.tools.catalogue import CATALOGUE
from tests.server.described import as_described
from tests.server.http_served import site

WHY = {"intent_category": "Fix", "intent_description": "Because."}


async def post(http: httpx2.AsyncClient, tool: str, /, **arguments: Any) -> dict[str, Any]:
    reply = await http.post(f"/api/tools/asg_{tool}", json=arguments)
    as_described(reply)
    assert reply.status_code == 200, reply.text
    return dict(reply.json())


async def get(http: httpx2.AsyncClient, path: str, status: int = 200, /, **query: Any) -> httpx2.Response:
    headers = query.pop("headers", {})
    reply = await http.get(path, params=query, headers=headers)
    as_described(reply)
    assert reply.status_code == status, (path, reply.text)
    return reply


async def test_paths_are_told_with_their_types_and_last_changes_page_by_page(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        first = await post(http, "set", path="/team", value={"a": 1, "b": ["x", None]}, **WHY)
        second = await post(http, "set", path="/team/a", value=2, **WHY)
        await post(http, "set", path="/zone", value=True, **WHY)
        found = (await get(http, "/api/paths", path="/team")).json()
        assert [(one["path"], one["type"], one["commit"]) for one in found["paths"]] == [
            ("/team/a", "int", second["commit"]),
            ("/team/b/0", "string", first["commit"]),
            ("/team/b/1", "null", first["commit"]),
        ]
        page = (await get(http, "/api/paths", path="/team", limit=2)).json()
        rest = (await get(http, "/api/paths", path="/team", limit=2, cursor=page["next_cursor"])).json()
        assert [*page["paths"], *rest["paths"]] == found["paths"]
        assert (page["omitted"], rest["next_cursor"]) == (1, "")
        assert (await get(http, "/api/paths", 400, target="commits")).json()["code"] == "invalid_argument"


async def test_the_graph_has_each_commit_before_its_parents(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        await post(http, "branch", name="dev")
        ours = await post(http, "set", path="/a", value=1, **WHY)
        theirs = await post(http, "set", ref="dev", path="/b", value=1, **WHY)
        merged = await post(http, "merge", source="dev", intent_description="x")
        commits = (await get(http, "/api/graph")).json()["commits"]
        assert (commits[0]["commit"], commits[0]["parents"]) == (merged["commit"], [ours["commit"], theirs["commit"]])
        order = [one["commit"] for one in commits]
        assert all(order.index(parent) > place for place, one in enumerate(commits) for parent in one["parents"])
        await post(http, "set", ref="dev", path="/c", value=1, **WHY)
        everywhere = (await get(http, "/api/graph", ref="*")).json()
        assert (everywhere["ref"], len(everywhere["commits"])) == ("*", len(commits) + 1)


async def test_the_bundle_of_a_sealed_epoch_is_downloaded_and_that_of_an_open_one_is_not(tmp_path: Path) -> None:
    async with site(tmp_path, "root") as at, at.http(at.token("root", verbs=("read", "write", "seal"))) as http:
        await post(http, "create_epoch", id="2026-q4", description="x")
        await post(http, "set", path="/a", value=1, **WHY)
        assert (await get(http, "/api/epochs/2026-q4/bundle", 409)).json()["hint"]
        await post(http, "seal_epoch", id="2026-q4", summary="x")
        reply = await get(http, "/api/epochs/2026-q4/bundle")
        assert reply.headers["content-type"] == "application/zip"
        assert reply.headers["content-disposition"] == 'attachment; filename="2026-q4.zip"'
        with zipfile.ZipFile(io.BytesIO(reply.content)) as archive:
            assert "verify.py" in {name.rpartition("/")[2] for name in archive.namelist()}
        again = await get(http, "/api/epochs/2026-q4/bundle", 304, headers={"if-none-match": reply.headers["etag"]})
        assert again.content == b""
        await get(http, "/api/epochs/nowhere/bundle", 404)
        await get(http, "/api/epochs/%2E%2E%20%22/bundle", 404)
        async with at.http(at.token("bob", paths=("/team",))) as bob:
            await get(bob, "/api/epochs/2026-q4/bundle", 403)


async def test_what_a_reader_has_already_is_not_sent_again(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        await post(http, "set", path="/a", value=1, **WHY)
        first = await get(http, "/api/state", path="/a")
        assert first.headers["cache-control"] == "private, no-cache"
        tag = first.headers["etag"]
        for known in (tag, f'"x", W/{tag}', "*"):
            same = await get(http, "/api/state", 304, path="/a", headers={"if-none-match": known})
            assert same.headers["etag"] == tag
        await post(http, "set", path="/a", value=2, **WHY)
        changed = await get(http, "/api/state", path="/a", headers={"if-none-match": tag})
        assert changed.json()["value"] == 2
        refused = await get(http, "/api/state", 404, path="/zzz", headers={"if-none-match": "*"})
        assert refused.headers["cache-control"] == "no-store"


NOT_AS_DESCRIBED: list[tuple[str, dict[str, Any]]] = [
    ("get", {"depth": "1"}),
    ("get", {"full_ids": 1}),
    ("get", {"path": None}),
    ("get", {"prefix": "/a"}),  # an older name of path
    ("get", {"max_bytes": 1}),
    ("get", {"depth": 1.5}),
    ("apply", {"operations": '[{"op":"delete","path":"/a"}]', **WHY}),
    ("apply", {"operations": [{"op": "erase", "path": "/a"}], **WHY}),
    ("set", {"path": "/a", "value": 1, **WHY, "provenance": {"authority": {"scope": "x"}}}),
    ("log", {"limit": 0}),
    ("compare", {"handles": [], **WHY}),
]


async def test_arguments_that_are_not_as_described_are_a_400(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        for tool, arguments in NOT_AS_DESCRIBED:
            reply = await http.post(f"/api/tools/asg_{tool}", json=arguments)
            as_described(reply)
            assert (reply.status_code, reply.json()["code"]) == (400, "invalid_argument"), (tool, arguments)


async def test_query_parameters_are_read_as_what_they_are_described_to_be(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        await post(http, "set", path="/1", value=1, **WHY, confidence=0.5, tags=["7"])
        assert (await get(http, "/api/state", path="/1", depth="0", full_ids="true")).json()["value"] == 1
        for query in ({"tags": "7"}, {"tags": ["7", "7"]}, {"confidence_max": "0.5"}, {"confidence_max": "1"}):
            assert len((await get(http, "/api/query", **query)).json()["items"]) == 1
        for wrong in ({"confidence_max": "x"}, {"confidence_max": "NaN"}, {"limit": "ten"}, {"limit": ["1", "2"]}):
            await get(http, "/api/query", 400, **wrong)
        for path in ("/api/stats", "/api/health"):
            await get(http, path, 400, limit="1")


SCHEMAS = [json_schema(tool.params) for tool in CATALOGUE]
PARTS = [part for schema in SCHEMAS for part in (schema, *schema["properties"].values())]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 600) | st.floats(allow_nan=False) | st.text(max_size=3)
    | st.sampled_from(["Fix", "set", "/a", "main"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["path", "op", "value", "from", "principal", "x"]), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip


@given(data=st.data())
def test_the_quick_check_of_a_schema_judges_as_the_standard_does(data: st.DataObject) -> None:
    schema = data.draw(st.sampled_from(PARTS))
    names = st.sampled_from([*schema.get("properties", {"a": 1}), "x"])
    value = data.draw(JSON | st.dictionaries(names, JSON, max_size=5))
    assert (checker(schema)(value) == "") is Draft202012Validator(schema).is_valid(value)


@pytest.mark.parametrize("schema", [{"pattern": "a"}, {"type": "object", "properties": {"a": {"oneOf": []}}}])
def test_a_schema_with_a_word_that_is_not_checked_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="BUG"):
        checker(json.loads(json.dumps(schema)))


async def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        app: Any = at.server.config.app
        app._rates.per_second, app._rates.burst = 0.001, 2
        for _ in range(2):
            await get(http, "/api/state")
        refused = await get(http, "/api/state", 429)
        assert (refused.json()["code"], refused.headers["retry-after"]) == ("rate_exceeded", "1")
