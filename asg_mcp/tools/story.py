"""The calls shown on the reference pages: one story on a fresh store, told in order and run by a test."""

from __future__ import annotations

from asg_mcp.tools.examples import Example
from asg_mcp.tools.story_first import FIRST
from asg_mcp.tools.story_second import SECOND

STORY: tuple[Example, ...] = (*FIRST, *SECOND)
