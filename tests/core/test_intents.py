"""Who and why: what may be written beside a change."""

from __future__ import annotations

import math
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent, check_name
from asg_mcp.core.limits import (
    DESCRIPTION_BYTES_MAX,
    NAME_BYTES_MAX,
    PROVENANCE_BYTES_MAX,
    REASONING_BYTES_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
)
from asg_mcp.errors import AsgError, InvalidArgument, InvalidName, InvalidValue, LimitExceeded


def intent(**parts: Any) -> Intent:
    return Intent(**{"category": Category.FIX, "description": "Because.", **parts})


def test_the_categories_are_the_published_nine() -> None:
    assert [str(category) for category in Category] == [
        "Explore", "Refine", "Fix", "Rollback", "Checkpoint", "Merge", "Migrate", "Plan", "Custom",
    ]  # fmt: skip


def test_an_intent_needs_no_more_than_a_category_and_a_description() -> None:
    made = intent()
    assert (made.reasoning, made.confidence, made.tags, made.provenance) == ("", None, (), {})


@pytest.mark.parametrize("description", ["", " ", "\n\t "])
def test_an_intent_that_says_nothing_is_refused(description: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        intent(description=description)
    assert caught.value.hint


@pytest.mark.parametrize("confidence", [0.0, 0.73, 1.0, 0, 1])
def test_a_confidence_from_0_to_1_is_kept(confidence: float) -> None:
    assert intent(confidence=confidence).confidence == confidence


@pytest.mark.parametrize("confidence", [-0.01, 1.01, 73, math.nan, math.inf, -math.inf])
def test_a_confidence_outside_0_to_1_is_refused(confidence: float) -> None:
    with pytest.raises(InvalidArgument) as caught:
        intent(confidence=confidence)
    assert "0.73" in caught.value.hint


@pytest.mark.parametrize(
    ("parts", "limit"),
    [
        ({"description": "é" * (DESCRIPTION_BYTES_MAX // 2) + "x"}, "DESCRIPTION_BYTES_MAX"),
        ({"reasoning": "x" * (REASONING_BYTES_MAX + 1)}, "REASONING_BYTES_MAX"),
        ({"tags": ("x",) * (TAGS_MAX + 1)}, "TAGS_MAX"),
        ({"tags": ("x" * (TAG_BYTES_MAX + 1),)}, "TAG_BYTES_MAX"),
        ({"provenance": {"tool_calls": "x" * PROVENANCE_BYTES_MAX}}, "PROVENANCE_BYTES_MAX"),
    ],
)
def test_a_text_over_its_limit_is_refused_with_the_limits_name(parts: dict[str, Any], limit: str) -> None:
    with pytest.raises(LimitExceeded) as caught:
        intent(**parts)
    assert caught.value.details["limit"] == limit
    assert caught.value.hint


def test_texts_of_exactly_the_limit_are_kept() -> None:
    made = intent(
        description="x" * DESCRIPTION_BYTES_MAX,
        reasoning="x" * REASONING_BYTES_MAX,
        tags=("x" * TAG_BYTES_MAX,) * TAGS_MAX,
    )
    assert len(made.tags) == TAGS_MAX


@pytest.mark.parametrize(
    ("parts", "error"),
    [
        ({"description": "a\ud800"}, InvalidValue),
        ({"reasoning": "\udfff"}, InvalidValue),
        ({"tags": ("\ud800",)}, InvalidValue),
        ({"tags": ("a", "")}, InvalidName),
        ({"provenance": {"cost": math.nan}}, InvalidValue),
        ({"provenance": {"tool_calls": (1, 2)}}, InvalidValue),
        ({"provenance": {1: 2}}, InvalidValue),
        ({"intent_id": "a\nb"}, InvalidName),
        ({"parent_intent": " a"}, InvalidName),
    ],
)
def test_what_cannot_be_stored_is_refused_before_it_reaches_a_commit(
    parts: dict[str, Any], error: type[AsgError]
) -> None:
    with pytest.raises(error) as caught:
        intent(**parts)
    assert caught.value.hint


def test_a_later_change_of_the_callers_provenance_does_not_reach_the_intent() -> None:
    calls: list[Any] = [{"tool": "ping", "seconds": -0.0}]
    provenance = {"tool_calls": calls}
    made = intent(provenance=provenance)
    calls.append(math.nan)
    provenance["more"] = []
    assert made.provenance == {"tool_calls": [{"tool": "ping", "seconds": 0.0}]}


# --- names ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a", "agent/planner-7", "Ünïcode 名前", "local:mary@host", "x" * NAME_BYTES_MAX])
def test_printable_names_are_kept(name: str) -> None:
    check_name(name, "agent")
    assert Author(principal=name, agent=name, client=name, session=name).agent == name


@pytest.mark.parametrize(
    "name", ["", " ", " a", "a ", "a\nb", "a\x00", "\x1b[31m", "a\u202eb", "a\u2028b", "\ud800", "é" * 101, "x" * 201]
)
def test_names_that_could_deceive_or_fill_a_header_are_refused(name: str) -> None:
    """A header cannot be erased: control characters, bidirectional marks and long names stay out of it."""
    for parts in ({"principal": name, "agent": "a"}, {"principal": "p", "agent": name}):
        with pytest.raises(InvalidName) as caught:
            Author(**parts)
        assert caught.value.hint


def test_client_and_session_may_be_absent_but_not_ill_formed() -> None:
    assert Author(principal="p", agent="a") == Author("p", "a", "", "")
    for parts in ({"client": "a\n"}, {"session": " "}):
        with pytest.raises(InvalidName):
            Author(principal="p", agent="a", **parts)
