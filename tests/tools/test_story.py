"""Every example of the reference pages is run, in order, against a real store."""

from __future__ import annotations

import json
from pathlib import Path

from asg_mcp.app import open_repository
from asg_mcp.schemas.base import json_schema
from asg_mcp.server.dispatch import Dispatcher
from asg_mcp.tools.catalogue import CATALOGUE
from asg_mcp.tools.examples import filled, mismatches
from asg_mcp.tools.registry import ToolContext
from asg_mcp.tools.story import STORY
from tests.schemas.validation import faults
from tests.tools.recorder import BY_NAME, CALLER


async def test_the_story_of_the_pages_happens_as_it_is_told(tmp_path: Path) -> None:
    known: dict[str, str] = {}
    dispatcher = Dispatcher(CATALOGUE)
    async with open_repository(tmp_path / "story.db") as repo:
        for place, example in enumerate(STORY):
            arguments = filled(example.arguments, known)
            reply = await dispatcher.dispatch(ToolContext(repo, CALLER), example.tool, arguments)
            assert not reply.is_error, f"call {place}, {example.tool}: {reply.text}"
            assert reply.structured is not None
            assert mismatches(example.reply, reply.structured, known) == [], f"call {place}, {example.tool}"
            assert json.loads(reply.text) == reply.structured
            assert faults(reply.structured, json_schema(BY_NAME[example.tool].result)) == []
