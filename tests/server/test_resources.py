"""Resources: what can be read by address."""

from __future__ import annotations

import json
import re
import sys
import zipfile
from base64 import b64decode
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client, MCPError
from mcp_types import INTERNAL_ERROR, INVALID_PARAMS, BlobResourceContents, TextContent

from asg_mcp.core.limits import REPLY_BYTES_MAX, URI_CHARS_MAX
from asg_mcp.core.paths import format_path
from asg_mcp.errors import StoreCorrupt
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.server.faults import RESOURCE_NOT_FOUND
from asg_mcp.server.profiles import Profile
from asg_mcp.server.resources import RESOURCES, Resource
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.tools.catalogue import CATALOGUE
from tests.repo.desk import open_desk
from tests.repo.stores import ALICE
from tests.server.served import ERAS, Era, client_of, read, read_text, served

BY_NAME = {resource.name: resource for resource in RESOURCES}


async def call(client: Client, tool: str, **arguments: Any) -> str:
    (content,) = (await client.call_tool(tool, arguments)).content
    assert isinstance(content, TextContent)
    return content.text


async def refused(client: Client, uri: str) -> MCPError:
    with pytest.raises(MCPError) as error:
        await client.read_resource(uri)
    assert error.value.data["uri"] == uri[:URI_CHARS_MAX]
    return error.value


# --- what there is ----------------------------------------------------------------


@pytest.mark.parametrize("era", ERAS)
async def test_addresses_and_templates_are_listed_with_their_type(tmp_path: Path, era: Era) -> None:
    async with served(tmp_path, era) as (_, client):
        listed = (await client.list_resources()).resources
        templates = (await client.list_resource_templates()).resource_templates
    assert {one.uri for one in listed} == {
        "asg://branches",
        "asg://plans",
        "asg://sessions",
        "asg://epochs",
        "asg://stats",
        "asg://health",
    }
    assert {one.uri_template for one in templates} == {
        "asg://state/{ref}{+path}",
        "asg://value/{ref}{+path}",
        "asg://log/{ref}",
        "asg://diff/{ref_a}/{ref_b}",
        "asg://commit/{ref}",
        "asg://epoch/{epoch}",
        "asg://epoch/{epoch}/bundle",
    }
    kinds = {one.uri_template: one.mime_type for one in templates}
    assert kinds.pop("asg://epoch/{epoch}/bundle") == "application/zip"
    assert {*(one.mime_type for one in listed), *kinds.values()} == {"application/json"}
    assert all([*(one.description for one in listed), *(one.description for one in templates)])


async def test_everything_that_is_listed_can_be_read(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        for resource in (await client.list_resources()).resources:
            assert await read_text(client, resource.uri)


def test_every_resource_stands_for_a_reading_tool_that_takes_its_variables() -> None:
    tools = {tool.name: tool for tool in CATALOGUE}
    for resource in RESOURCES:
        if resource.tool:
            assert tools[resource.tool].effect.hints.read_only
            assert {*resource.variables, *resource.arguments} <= set(tools[resource.tool].params.model_fields)


async def test_a_resource_whose_tool_is_switched_off_is_not_offered(tmp_path: Path) -> None:
    async with served(tmp_path, profile=Profile(exclude=("asg_get",))) as (_, client):
        templates = [one.name for one in (await client.list_resource_templates()).resource_templates]
        assert (await refused(client, "asg://state/main/a")).data["code"] == "resource_not_found"
    assert "log" in templates
    assert not {"state", "value"} & set(templates)


# --- what they hold -----------------------------------------------------------------


async def test_what_a_resource_holds_is_what_its_tool_answers(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.set("/a", {"b": [1, None]})
        await desk.branch("dev")
        await desk.set("/a/c", 2, ref="dev")
        for uri, tool, arguments in (
            ("asg://state/main", "asg_get", {}),
            ("asg://state/dev/a/b/0", "asg_get", {"ref": "dev", "path": "/a/b/0"}),
            ("asg://log/dev", "asg_log", {"ref": "dev"}),
            ("asg://diff/main/dev", "asg_diff", {"ref_a": "main", "ref_b": "dev"}),
            ("asg://branches", "asg_list_branches", {}),
        ):
            assert await read_text(client, uri) == await call(client, tool, **arguments)


async def test_a_value_is_the_bare_json(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.set("/a", {"b": [1, None, "é"]})
        assert await read_text(client, "asg://value/main/a") == '{"b":[1,null,"é"]}'
        assert await read_text(client, "asg://value/main/a/b/1") == "null"
        assert await read(client, "asg://value/main") == {"a": {"b": [1, None, "é"]}}
        assert await read(client, "asg://value/main~1") == {}


async def test_a_commit_is_told_with_all_that_was_recorded_of_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        done = await desk.set("/a", 1, description="The first.")
        await desk.set("/a", 2, description="The second.")
        commit = await read(client, f"asg://commit/{done.commit.short}")
    assert (commit["commit"], commit["description"], len(commit["parents"])) == (done.commit.short, "The first.", 1)


async def test_stats_count_what_is_there(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        before = await read(client, "asg://stats")
        await desk.set("/a", 1)
        await desk.branch("v1", kind="tag")
        after = await read(client, "asg://stats")
    assert {name: after[name] - before[name] for name in ("commits", "branches", "tags")} == {
        "commits": 1,
        "branches": 0,
        "tags": 1,
    }
    assert after["events"] > before["events"]


async def test_the_health_of_the_store_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        health = await read(client, "asg://health")
    assert (health["healthy"], health["problems"]) == (True, [])


async def test_an_epoch_is_told_with_what_fixes_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await create_epoch(desk.repo, EpochRequest("migration-1", "The first."), ALICE)
        opened = await read(client, "asg://epoch/migration-1")
        await desk.repo.epochs.seal("migration-1", "Done.", ALICE)
        sealed = await read(client, "asg://epoch/migration-1")
        missing = await refused(client, "asg://epoch/migration-2")
    assert (opened["state"], opened["description"], "sealed_at" in opened) == ("open", "The first.", False)
    assert (sealed["state"], sealed["summary"], sealed["tag"]) == ("sealed", "Done.", "epoch/migration-1")
    assert missing.data["details"]["nearest"] == ["migration-1"]


async def test_the_evidence_of_a_sealed_epoch_is_read_as_a_file_that_verifies_itself(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await create_epoch(desk.repo, EpochRequest("migration-1", "The first."), ALICE)
        await desk.set("/a", 1)
        await refused(client, "asg://epoch/migration-1/bundle")
        sealed = await seal_epoch(desk.repo, "migration-1", "Done.", ALICE)
        [held] = (await client.read_resource(sealed_uri := "asg://epoch/migration-1/bundle")).contents
    assert sealed_uri.endswith(f"{sealed.epoch}/bundle")
    assert isinstance(held, BlobResourceContents)
    (tmp_path / "bundle.zip").write_bytes(b64decode(held.blob))
    with zipfile.ZipFile(tmp_path / "bundle.zip") as archive:
        [program] = [name for name in archive.namelist() if name.endswith("verify.py")]
        (tmp_path / "verify.py").write_bytes(archive.read(program))
    with anyio.fail_after(60):
        command = [sys.executable, str(tmp_path / "verify.py"), str(tmp_path / "bundle.zip")]
        done = await anyio.run_process(command, check=False)
    assert done.returncode == 0, done.stdout


# --- bounds -------------------------------------------------------------------------


async def test_a_state_that_is_too_large_says_what_was_left_out(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.set("/big", {f"k{number}": "x" * 100 for number in range(1_000)})
        text = await read_text(client, "asg://state/main/big")
    assert json.loads(text)["truncated"]
    assert json.loads(text)["next_cursor"]
    assert len(text) <= REPLY_BYTES_MAX


@pytest.mark.parametrize("value", ["x" * REPLY_BYTES_MAX, {f"k{number}": "x" * 100 for number in range(1_000)}])
async def test_a_value_that_is_too_large_names_the_tool_that_pages(tmp_path: Path, value: Any) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.set("/big", value)
        error = await refused(client, "asg://value/main/big")
    assert error.code == INVALID_PARAMS
    assert error.data["code"] == "limit_exceeded"
    assert "asg_get" in error.message


async def test_an_address_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        error = await refused(client, "asg://state/main/" + "a" * URI_CHARS_MAX)
    assert error.data["details"]["limit"] == "URI_CHARS_MAX"


# --- what is not there ----------------------------------------------------------------


@pytest.mark.parametrize(("era", "code"), [("older", RESOURCE_NOT_FOUND), ("newer", INVALID_PARAMS)])
@pytest.mark.parametrize(
    ("uri", "told"),
    [
        ("asg://state/main/nowhere", "path_not_found"),
        ("asg://state/nowhere/a", "ref_not_found"),
        ("asg://log/abcdef012345", "commit_not_found"),
        ("asg://nothing", "resource_not_found"),
        ("asg://stat/main/a", "resource_not_found"),
        ("asg://branches/", "resource_not_found"),
        ("asg://log/", "resource_not_found"),
        ("asg://log/team/fix", "resource_not_found"),
        ("https://example.org/", "resource_not_found"),
        ("", "resource_not_found"),
    ],
)
async def test_what_is_not_there_is_an_error_of_the_protocol_with_a_hint(
    tmp_path: Path, era: Era, code: int, uri: str, told: str
) -> None:
    async with served(tmp_path, era) as (_, client):
        error = await refused(client, uri)
    assert (error.code, error.data["code"]) == (code, told)
    assert error.data["hint"] in error.message


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        ("asg://state/main/a/~2", "invalid_path"),
        ("asg://state/a%20b/a", "invalid_name"),
        ("asg://state/main/%ff", "invalid_argument"),
        ("asg://state/main//a", "invalid_path"),
    ],
)
@pytest.mark.parametrize("era", ERAS)
async def test_an_address_that_makes_no_sense_is_refused_with_the_reason(
    tmp_path: Path, era: Era, uri: str, code: str
) -> None:
    async with served(tmp_path, era) as (_, client):
        error = await refused(client, uri)
    assert (error.code, error.data["code"]) == (INVALID_PARAMS, code)


async def test_a_store_that_cannot_be_read_is_an_internal_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(tmp_path) as desk:

        async def fail() -> None:
            raise StoreCorrupt("A row is damaged")

        monkeypatch.setattr(type(desk.repo), "health", lambda _: fail())
        async with client_of(desk) as client:
            error = await refused(client, "asg://health")
    assert (error.code, error.data["code"]) == (INTERNAL_ERROR, "store_corrupt")


# --- addresses ------------------------------------------------------------------------

_keys = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)


@given(
    st.text("abcXYZ09._/-~@:%?#é ", min_size=1, max_size=20).filter(lambda ref: not re.fullmatch(r"/*", ref)),
    st.lists(_keys, max_size=4).map(lambda keys: "" if not keys else format_path(tuple(keys))),
)
def test_any_ref_and_any_path_come_back_from_their_address(ref: str, path: str) -> None:
    state = BY_NAME["state"]
    uri = state.address(ref=ref, path=path)
    assert uri.isascii()
    assert state.match(uri) == {"ref": ref, "path": path}


@pytest.mark.parametrize(
    ("resource", "uri", "variables"),
    [
        ("state", "asg://state/main", {"ref": "main", "path": ""}),
        ("state", "asg://state/team%2Ffix/a/b%25c", {"ref": "team/fix", "path": "/a/b%c"}),
        ("state", "asg://state/main/what?now#then", {"ref": "main", "path": "/what?now#then"}),
        ("diff", "asg://diff/a%2Fb/c", {"ref_a": "a/b", "ref_b": "c"}),
        ("diff", "asg://diff/a/b/c", None),
        ("state", "asg://value/main", None),
    ],
)
def test_an_address_is_taken_apart_at_its_slashes(resource: str, uri: str, variables: dict[str, str] | None) -> None:
    assert BY_NAME[resource].match(uri) == variables


def test_a_template_is_matched_as_it_stands() -> None:
    assert Resource("asg://a.b/{x}", "a", "").match("asg://aXb/1") is None


async def test_keys_and_refs_of_any_kind_are_read(tmp_path: Path) -> None:
    keys = ("a/b", "50%", "50%25", "~", "ü ?#&", "..", "{x}")
    async with served(tmp_path) as (desk, client):
        await desk.branch("team/fix-42")
        for number, key in enumerate(keys):
            path = format_path((key,))
            await desk.set(path, number, ref="team/fix-42")
            assert await read(client, BY_NAME["value"].address(ref="team/fix-42", path=path)) == number
