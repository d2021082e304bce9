"""Cursors lead on, and lead nowhere else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.limits import INT_MAX, INT_MIN, PAGE_ITEMS_MAX, VALUE_DEPTH_MAX
from asg_mcp.errors import InvalidArgument, InvalidCursor, LimitExceeded
from asg_mcp.repo import cursors
from tests.repo.desk import open_desk

POSITIONS = st.lists(
    st.one_of(st.none(), st.integers(INT_MIN, INT_MAX), st.text(st.characters(exclude_categories=["Cs"]))), max_size=5
)


@given(st.text(st.characters(exclude_categories=["Cs"])), POSITIONS)
def test_a_cursor_gives_its_position_back(kind: str, position: list[Any]) -> None:
    asked = cursors.digest("main", ("a", None), 0.5)
    text = cursors.make(kind, asked, position)
    assert cursors.read(kind, asked, text) == position
    assert cursors.make(kind, asked, position) == text


def test_a_cursor_is_short_and_needs_no_escaping_in_a_url() -> None:
    text = cursors.make("log", cursors.digest("main"), [1_000_000, 999_000])
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,30}", text)


def test_a_cursor_of_another_call_or_of_other_arguments_is_refused() -> None:
    asked = cursors.digest("main")
    text = cursors.make("log", asked, [7])
    for kind, digest in (("blame", asked), ("log", cursors.digest("other"))):
        with pytest.raises(InvalidCursor, match="not made by this call") as caught:
            cursors.read(kind, digest, text)
        assert "without a cursor" in caught.value.hint


@pytest.mark.parametrize("text", ["A", "!!!!", "ü", "AAAA", "AAAAAAAAAAAA", "A" * 100_000, "\ud800", "AAAA=", " "])
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidCursor):
        cursors.read("log", cursors.digest("main"), text)


def test_every_changed_character_makes_a_cursor_invalid() -> None:
    asked = cursors.digest("main")
    text = cursors.make("log", asked, [123_456, "name"])
    for index, char in enumerate(text):
        for other in {"A", "z", "_"} - {char}:
            with pytest.raises(InvalidCursor):
                cursors.read("log", asked, text[:index] + other + text[index + 1 :])


def test_a_position_of_another_shape_is_refused() -> None:
    asked = cursors.digest("main")
    text = cursors.make("log", asked, [1, "a"])
    assert cursors.read("log", asked, text, int, str) == [1, "a"]
    for shape in ((int,), (str, int), (int, str, int)):
        with pytest.raises(InvalidCursor):
            cursors.read("log", asked, text, *shape)


def test_arguments_have_equal_digests_only_when_they_are_equal() -> None:
    asked = [("main", ("a",)), ("main", ("a", "")), ("main", "a"), ("main", None), ("main",), ()]
    assert len({cursors.digest(*each) for each in asked}) == len(asked)


def test_a_page_has_one_to_the_most_items() -> None:
    assert cursors.check_limit(1) == 1
    assert cursors.check_limit(PAGE_ITEMS_MAX) == PAGE_ITEMS_MAX
    with pytest.raises(InvalidArgument):
        cursors.check_limit(0)
    with pytest.raises(LimitExceeded):
        cursors.check_limit(PAGE_ITEMS_MAX + 1)


async def test_a_cursor_of_a_larger_store_is_refused_and_no_sign_of_damage(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/a", list(range(5)))
        digests = {
            "log": cursors.digest("main", ()),
            "blame": cursors.digest("main", (), VALUE_DEPTH_MAX, False),
            "get": cursors.digest("main", (), None),
        }
        made = {kind: cursors.make(kind, digest, [61, 1]) for kind, digest in digests.items()}
        for call in (
            desk.repo.log("main", (), limit=1, cursor=made["log"]),
            desk.repo.blame("main", (), depth=VALUE_DEPTH_MAX, history=False, limit=1, cursor=made["blame"]),
            desk.repo.get("main", (), depth=None, max_bytes=100, cursor=made["get"]),
            desk.diff("main", "main", cursor=cursors.make("diff", cursors.digest("main", "main", ()), [61, 2, 0])),
            desk.diff("main", "main", cursor=cursors.make("diff", cursors.digest("main", "main", ()), [2, 61, 0])),
        ):
            with pytest.raises(InvalidCursor):
                await call
