"""Who makes a change."""

from __future__ import annotations

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.errors import HandleNotFound, InvalidName
from asg_mcp.services.identity import author_of

CONNECTION = {"principal": "ana", "client": "probe/1.0", "default_agent": "probe"}


def test_the_agent_is_the_one_claimed_else_the_default_of_the_connection() -> None:
    assert author_of(**CONNECTION, claimed_agent="planner") == Author("ana", "planner", "probe/1.0")
    assert author_of(**CONNECTION) == Author("ana", "probe", "probe/1.0")


def test_a_session_that_is_not_open_is_refused_with_a_way_out() -> None:
    with pytest.raises(HandleNotFound, match="'s1'") as refused:
        author_of(**CONNECTION, session="s1")
    assert "provenance.agent" in refused.value.hint


def test_an_agent_name_that_cannot_be_recorded_is_refused() -> None:
    with pytest.raises(InvalidName):
        author_of(**CONNECTION, claimed_agent="two\nlines")
