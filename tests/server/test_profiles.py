"""Which tools a server offers."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import Client, MCPError
from mcp_types import INVALID_PARAMS

from asg_mcp.errors import InvalidArgument
from asg_mcp.repo.observing import observe
from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.profiles import EVERYTHING, Profile, select, toolset_names
from asg_mcp.tools.catalogue import CATALOGUE, CORE
from asg_mcp.tools.registry import Effect
from tests.server.served import served
from tests.server.toy_server import CATALOGUE as TOYS
from tests.server.toy_server import NO_REPOSITORY


def names(profile: Profile) -> list[str]:
    return [tool.name for tool in select(CATALOGUE, profile)]


ALL = [tool.name for tool in CATALOGUE]


@pytest.mark.parametrize("profile", [EVERYTHING, Profile(toolsets=("all",)), Profile(("all", "core"), ("asg_get",))])
def test_without_a_choice_or_with_all_every_tool_is_offered(profile: Profile) -> None:
    assert names(profile) == ALL


def test_the_core_is_a_toolset() -> None:
    assert set(names(Profile(toolsets=("core",)))) == CORE & set(ALL)


def test_toolsets_and_tools_are_offered_together_in_the_order_of_the_catalogue() -> None:
    chosen = names(Profile(toolsets=("branch",), tools=("asg_log", "asg_get")))
    branch = [tool.name for tool in CATALOGUE if tool.group == "branch"]
    assert chosen == [name for name in ALL if name in (*branch, "asg_log", "asg_get")]


def test_what_is_excluded_is_left_out_of_whatever_was_asked_for() -> None:
    assert names(Profile(exclude=("asg_get",))) == [name for name in ALL if name != "asg_get"]
    assert names(Profile(tools=("asg_get", "asg_log"), exclude=("asg_get",))) == ["asg_log"]


def test_read_only_leaves_the_tools_that_change_nothing() -> None:
    assert {tool.effect for tool in select(CATALOGUE, Profile(read_only=True))} == {Effect.READ}
    assert names(Profile(tools=("asg_get", "asg_set"), read_only=True)) == ["asg_get"]


@pytest.mark.parametrize(
    ("profile", "said", "meant"),
    [
        (Profile(toolsets=("stat",)), "--toolsets: there is no toolset 'stat'", "Did you mean state?"),
        (Profile(tools=("asg_gett",)), "--tools: there is no tool 'asg_gett'", "Did you mean asg_get?"),
        (Profile(tools=("agentstategraph_get",)), "no tool 'agentstategraph_get'", "Did you mean asg_get?"),
        (Profile(exclude=("asg_st",)), "--exclude-tools: there is no tool 'asg_st'", "Did you mean asg_set?"),
        (Profile(toolsets=("state", "")), "no toolset ''", "There are all, core, state"),
    ],
)
def test_a_name_that_is_not_there_is_refused_with_the_nearest_that_is(profile: Profile, said: str, meant: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        select(CATALOGUE, profile)
    assert said in refused.value.message
    assert meant in refused.value.hint


def test_a_profile_that_leaves_no_tool_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="No tool is left"):
        select(CATALOGUE, Profile(tools=("asg_set",), read_only=True))


def test_every_group_of_the_catalogue_is_a_toolset() -> None:
    assert set(toolset_names(CATALOGUE)) == {"all", "core", *(tool.group for tool in CATALOGUE)}


def connect(profile: Profile) -> Client:
    return Client(build_server(TOYS, NO_REPOSITORY, "local:tester", ServerOptions(profile=profile)))


async def test_only_what_was_chosen_is_listed() -> None:
    async with connect(Profile(tools=("asg_who", "asg_echo"))) as client:
        assert [tool.name for tool in (await client.list_tools()).tools] == ["asg_echo", "asg_who"]


async def test_a_call_of_a_tool_that_was_switched_off_is_one_of_an_unknown_tool_and_says_who_switched_it_off() -> None:
    async with connect(Profile(exclude=("asg_echo",))) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("asg_echo", {"value": 1})
        assert (await client.call_tool("asg_who", {})).is_error is False
    assert refused.value.code == INVALID_PARAMS
    assert refused.value.data["code"] == "unknown_tool"
    assert "operator" in refused.value.message


async def test_the_aliases_of_a_tool_are_switched_off_with_it() -> None:
    server = build_server(CATALOGUE, NO_REPOSITORY, "local:tester", ServerOptions(profile=Profile(read_only=True)))
    async with Client(server) as client:
        with pytest.raises(MCPError) as refused:
            await client.call_tool("agentstategraph_set", {})
    assert "operator" in refused.value.message


def test_a_server_is_not_made_with_a_profile_that_names_what_is_not_there() -> None:
    with pytest.raises(InvalidArgument):
        build_server(TOYS, NO_REPOSITORY, "local:tester", ServerOptions(profile=Profile(tools=("asg_eco",))))


async def test_the_tools_of_a_read_only_server_leave_the_log_as_it_is(tmp_path: Path) -> None:
    given = {"path": "/", "query": "a", "ref_b": "main"}
    async with served(tmp_path, profile=Profile(read_only=True)) as (desk, client):
        before = await desk.repo.read(observe)
        for tool in (await client.list_tools()).tools:
            required = tool.input_schema.get("required", [])
            done = await client.call_tool(tool.name, {name: given[name] for name in required})
            assert not done.is_error, done.content
        assert await desk.repo.read(observe) == before
