"""The catalogue as MCP shows it."""

from __future__ import annotations

import re
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client, MCPError

from asg_mcp.core.intents import check_name
from asg_mcp.server.instructions import INSTRUCTIONS
from asg_mcp.server.mcp import UNKNOWN_CLIENT, ServerOptions, build_server, client_name
from asg_mcp.tools.catalogue import CATALOGUE as REAL_CATALOGUE
from tests.server.toy_server import CATALOGUE, NO_REPOSITORY


def connect(options: ServerOptions) -> Client:
    return Client(build_server(CATALOGUE, NO_REPOSITORY, "local:tester", options))


async def test_every_definition_has_both_schemas_and_all_four_annotations() -> None:
    async with connect(ServerOptions()) as client:
        tools = (await client.list_tools()).tools
    assert [tool.name for tool in tools] == [tool.name for tool in CATALOGUE]
    for tool in tools:
        assert tool.input_schema["type"] == "object"
        assert tool.input_schema["additionalProperties"] is False
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert tool.annotations is not None
        assert None not in tool.annotations.model_dump(exclude={"title"}).values()


async def test_reading_tools_and_destructive_ones_are_told_apart() -> None:
    async with connect(ServerOptions()) as client:
        hints = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}
    told = {
        name: (hint.read_only_hint, hint.destructive_hint, hint.idempotent_hint, hint.open_world_hint)
        for name, hint in hints.items()
        if hint is not None
    }
    assert told["asg_echo"] == (True, False, True, False)
    assert told["asg_echo_write"] == (False, False, False, False)
    assert told["asg_fail"] == (False, True, True, False)


async def test_there_is_no_second_page_of_tools() -> None:
    async with connect(ServerOptions()) as client:
        with pytest.raises(MCPError):
            await client.list_tools(cursor="2")


async def test_the_list_may_be_cached() -> None:
    async with connect(ServerOptions()) as client:
        listed = await client.list_tools()
    assert listed.ttl_ms == 3_600_000
    assert listed.cache_scope == "private"


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_subscriptions_are_announced_and_no_list_that_changes(mode: Literal["legacy", "auto"]) -> None:
    server = build_server(CATALOGUE, NO_REPOSITORY, "local:tester", ServerOptions())
    async with Client(server, mode=mode) as client:
        told = client.server_capabilities
    assert told.tools is not None
    assert told.prompts is not None
    assert told.resources is not None
    assert told.resources.subscribe is True
    assert not (told.tools.list_changed or told.prompts.list_changed or told.resources.list_changed)


async def test_the_agent_of_the_options_is_recorded_in_place_of_the_clients_name() -> None:
    async with connect(ServerOptions(agent="planner")) as client:
        result = await client.call_tool("asg_who", {})
    assert result.structured_content["agent"] == "planner"
    assert result.structured_content["client"] != "planner"


def test_instructions_fit_what_clients_read() -> None:
    assert len(INSTRUCTIONS) < 2_048
    for word in ("intent_category", "intent_description", "expected_head", "asg_blame", "WHEN TO RECORD"):
        assert word in INSTRUCTIONS


def test_instructions_name_every_tool_and_no_other() -> None:
    assert set(re.findall(r"asg_[a-z_]+", INSTRUCTIONS)) == {tool.name for tool in REAL_CATALOGUE}


@pytest.mark.parametrize(
    ("name", "version", "shown"),
    [
        ("claude-code", "2.1.197", "claude-code/2.1.197"),
        ("a\nb\x1b[0m", "1", "ab[0m/1"),
        (" spaced ", "", "spaced"),
        ("", "1", UNKNOWN_CLIENT),
        ("\u200b", "", UNKNOWN_CLIENT),
    ],
)
def test_a_client_is_named_by_name_and_version(name: str, version: str, shown: str) -> None:
    assert client_name(name, version) == shown


@given(name=st.text(st.characters(codec=None), max_size=300), version=st.text(st.characters(codec=None), max_size=300))
def test_whatever_a_client_calls_itself_may_be_recorded(name: str, version: str) -> None:
    check_name(client_name(name, version), "client")
