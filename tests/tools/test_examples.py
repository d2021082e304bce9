"""The examples of the reference pages fit the tools they show, and the comparison with a reply bites."""

from __future__ import annotations

import pytest

from asg_mcp.schemas.base import json_schema
from asg_mcp.tools.examples import filled, mismatches
from asg_mcp.tools.story import STORY
from tests.schemas.validation import faults
from tests.tools.recorder import BY_NAME


@pytest.mark.parametrize("place", range(len(STORY)))
def test_the_arguments_shown_fit_the_listed_schema(place: int) -> None:
    example = STORY[place]
    schema = json_schema(BY_NAME[example.tool].params, brief=True)
    assert faults(example.arguments, schema) == []


def test_a_reply_that_differs_from_what_is_shown_is_told_with_its_place() -> None:
    known: dict[str, str] = {}
    assert mismatches({"a": [{"b": 1}], "c": "<c>"}, {"a": [{"b": 1, "more": 2}], "c": "x"}, known) == []
    assert known == {"<c>": "x"}
    assert mismatches({"c": "<c>"}, {"c": "y"}, known) == ["reply.c is 'y', not 'x'"]
    assert mismatches({"a": [1]}, {"a": [1, 2]}, known) == ["reply.a is [1, 2], not [1]"]
    assert mismatches({"a": 1}, {"b": 1}, known) == ["reply.a is missing"]
    assert mismatches({"a": 1}, {"a": True}, known) == ["reply.a is True, not 1"]


def test_arguments_take_the_texts_of_earlier_replies() -> None:
    known = {"<a>": "1f"}
    assert filled({"x": ["<a>", {"y": "<a>"}, "<b>", 1, None]}, known) == {"x": ["1f", {"y": "1f"}, "<b>", 1, None]}
