"""The published contract and reference are what the code makes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mcp import Client

from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.reference import contract, reference, write
from asg_mcp.tools.story import STORY
from tests.tools.recorder import Recorder

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = contract() | reference()


@pytest.mark.parametrize("path", sorted(PAGES))
def test_the_published_page_equals_what_the_code_generates(path: str) -> None:
    assert (REPOSITORY / path).read_text(encoding="utf-8") == PAGES[path], "run: python -m asg_mcp.tools.reference"


def test_nothing_is_published_that_the_code_does_not_generate() -> None:
    published = {*REPOSITORY.glob("schemas/*"), *REPOSITORY.glob("tools/*")}
    assert {path.relative_to(REPOSITORY).as_posix() for path in published} == set(PAGES)


def test_every_tool_has_a_section_with_an_example() -> None:
    assert {example.tool for example in STORY} == {tool.name for tool in CATALOGUE}
    for tool in CATALOGUE:
        assert f"\n## {tool.name}\n" in PAGES[f"tools/{tool.group}.md"]


def test_writing_twice_changes_nothing_and_stale_pages_go(tmp_path: Path) -> None:
    assert set(write(tmp_path)) == set(PAGES)
    assert write(tmp_path) == []
    (tmp_path / "schemas" / "asg_gone.json").write_text("{}")
    assert write(tmp_path) == ["schemas/asg_gone.json"]
    assert not (tmp_path / "schemas" / "asg_gone.json").exists()


async def test_what_a_client_is_listed_is_what_is_published() -> None:
    server = build_server(CATALOGUE, Recorder(), "ana", ServerOptions())
    async with Client(server) as client:
        listed = (await client.list_tools()).tools
    assert [tool.name for tool in listed] == [tool.name for tool in CATALOGUE]
    for tool in listed:
        sent = tool.model_dump(mode="json", by_alias=True, exclude_none=True)
        published = json.loads(PAGES[f"schemas/{tool.name}.json"])
        assert {key: sent[key] for key in published} == published
