"""The wire rules hold for every tool there is: what one client in ten refuses, none gets."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.schemas.base import json_schema
from asg_mcp.schemas.history import Filters
from asg_mcp.tools.aliases import ALIASES
from asg_mcp.tools.catalogue import CATALOGUE, CORE
from asg_mcp.tools.reference import GROUPS
from asg_mcp.tools.registry import Hints, Tool
from tests.schemas.validation import check_schema

ROOT = Path(__file__).parents[2]
CATALOGUE_BYTES_MAX = 18_000
"""Name, description and input schema of all tools: what a model reads before it does anything."""
CORE_BYTES_MAX = 8_000
NAME_CHARS_MAX = 30
DESCRIPTION_CHARS = range(80, 401)
SCHEMA_KEYWORDS = {
    *("type", "description", "properties", "required", "additionalProperties", "items", "enum", "anyOf", "default"),
    *("minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
}
"""All that a schema may use; $ref, oneOf, allOf, const, format, pattern and title are refused by some client each."""

each_tool = pytest.mark.parametrize("tool", CATALOGUE, ids=lambda tool: tool.name)
sides = pytest.mark.parametrize("side", ["input", "output"])


def schema_of(tool: Tool, side: str) -> dict[str, Any]:
    return json_schema(tool.params, brief=True) if side == "input" else json_schema(tool.result)


def nodes(schema: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield where, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{where}/{name}")
    for place, branch in enumerate(schema.get("anyOf", ())):
        yield from nodes(branch, f"{where}/anyOf/{place}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{where}/{key}")


def listed_bytes(tool: Tool) -> int:
    schema = json.dumps(schema_of(tool, "input"), separators=(",", ":"), ensure_ascii=False)
    return len((tool.name + tool.description + schema).encode())


@each_tool
@sides
def test_the_root_of_every_schema_is_an_object_and_nothing_else(tool: Tool, side: str) -> None:
    schema = schema_of(tool, side)
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert "anyOf" not in schema
    assert "description" not in schema, "the tool has one"


@each_tool
@sides
def test_schemas_use_only_keywords_that_every_client_takes(tool: Tool, side: str) -> None:
    for where, node in nodes(schema_of(tool, side)):
        assert set(node) <= SCHEMA_KEYWORDS, where
        assert node, f"{where} is an empty schema"
        assert isinstance(node.get("type", ""), str), f"{where} has an array of types"
        assert node.get("type") == "array" or "items" not in node, where
        assert node.get("type") != "array" or "items" in node, f"{where} is an array of nothing"
        assert "enum" not in node or node["type"] == "string", f"{where}: only strings are enumerated"


@each_tool
@sides
def test_every_node_says_its_type_but_the_elements_of_a_free_array(tool: Tool, side: str) -> None:
    for where, node in nodes(schema_of(tool, side)):
        assert "type" in node or "anyOf" in node or re.search(r"/anyOf/\d+/items$", where), where


@each_tool
@sides
def test_every_field_is_described_in_few_words(tool: Tool, side: str) -> None:
    for where, node in nodes(schema_of(tool, side)):
        for name, field in node.get("properties", {}).items():
            assert 2 <= len(field["description"]) <= 160, f"{where}/{name}"


@each_tool
def test_null_is_offered_for_free_values_alone(tool: Tool) -> None:
    for where, node in nodes(schema_of(tool, "input")):
        assert {"type": "null"} not in node.get("anyOf", ()) or where.rsplit("/", 1)[1] == "value", where


@each_tool
def test_every_listed_object_with_fields_is_closed(tool: Tool) -> None:
    for where, node in nodes(schema_of(tool, "input")):
        assert node.get("additionalProperties", True) is ("properties" not in node), where


@each_tool
def test_the_full_input_schema_differs_from_the_listed_one_in_detail_only(tool: Tool) -> None:
    full, listed = json_schema(tool.params), schema_of(tool, "input")
    assert full["properties"].keys() == listed["properties"].keys()
    assert full.get("required") == listed.get("required")


@each_tool
@sides
def test_every_schema_is_valid_json_schema(tool: Tool, side: str) -> None:
    check_schema(schema_of(tool, side))


@each_tool
def test_names_and_descriptions_keep_to_their_bounds(tool: Tool) -> None:
    assert re.fullmatch(r"asg_[a-z_]+", tool.name)
    assert len(tool.name) <= NAME_CHARS_MAX
    assert len(tool.description) in DESCRIPTION_CHARS
    assert tool.description.isascii()
    assert tool.description.endswith(".")
    assert tool.group in GROUPS


@each_tool
def test_descriptions_point_to_tools_that_exist(tool: Tool) -> None:
    names = {known.name for known in CATALOGUE}
    assert set(re.findall(r"asg_[a-z_]+", tool.description)) <= names


@each_tool
def test_all_four_annotations_are_told_and_agree_with_each_other(tool: Tool) -> None:
    hints = tool.effect.hints
    assert isinstance(hints, Hints)
    assert not (hints.read_only and hints.destructive)
    assert not hints.open_world


@each_tool
def test_tools_that_write_take_a_request_id_and_readers_do_not(tool: Tool) -> None:
    assert ("request_id" in tool.params.model_fields) is not tool.effect.hints.read_only


@each_tool
def test_every_list_in_a_reader_has_a_limit_and_a_cursor(tool: Tool) -> None:
    if tool.effect.hints.read_only and tool.name != "asg_get":
        assert {"limit", "cursor"} <= set(tool.params.model_fields)
    if tool.effect.hints.read_only:
        assert "next_cursor" in schema_of(tool, "output")["required"]


def test_no_two_tools_answer_to_one_name() -> None:
    names = [*(tool.name for tool in CATALOGUE), *(alias.name for alias in ALIASES)]
    assert len(names) == len(set(names))


def test_there_are_exactly_twenty_seven_tools() -> None:
    assert len(CATALOGUE) == 27


def test_the_names_of_the_reference_project_lead_to_tools_and_their_arguments_to_arguments() -> None:
    tools = {tool.name: tool for tool in CATALOGUE}
    for alias in ALIASES:
        taken = set(json_schema(tools[alias.tool].params)["properties"])
        if alias.tool == "asg_query":
            taken |= set(Filters.model_fields)
        assert {*alias.renamed.values(), *alias.fixed} <= taken, alias.name


def test_what_models_read_of_all_tools_stays_inside_the_budget() -> None:
    assert sum(map(listed_bytes, CATALOGUE)) <= CATALOGUE_BYTES_MAX


def test_every_tool_that_the_program_or_its_page_names_is_there() -> None:
    texts = [ROOT / "README.md", *(ROOT / "asg_mcp").rglob("*.py")]
    named = {name for file in texts for name in re.findall(r"\basg_[a-z_]+", file.read_text(encoding="utf-8"))}
    assert named - {"asg_mcp"} == {tool.name for tool in CATALOGUE}


def test_what_models_read_of_the_core_profile_stays_inside_its_budget() -> None:
    assert sum(listed_bytes(tool) for tool in CATALOGUE if tool.name in CORE) <= CORE_BYTES_MAX
