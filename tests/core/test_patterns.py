"""Patterns of paths, against regular expressions over whole paths."""

from __future__ import annotations

import re
from fnmatch import translate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.paths import Tokens, format_path
from asg_mcp.core.patterns import Pattern
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidPath

TOKENS = st.sampled_from(["a", "b", "ab", "c"])
SEGMENTS = st.sampled_from(["a", "b", "*", "**", "a*", "?", "[ab]"])
DOCUMENTS = st.recursive(
    st.integers(0, 3),
    lambda inner: st.dictionaries(TOKENS, inner, max_size=3) | st.lists(inner, max_size=3),
    max_leaves=12,
)


def meant(segments: list[str], path: Tokens) -> bool:
    """Whether the whole path is matched, by one regular expression."""
    parts = [
        "(?:/[^/]+)*" if segment == "**" else "/" + translate(segment)[4:-3].replace(".*", "[^/]*").replace(".", "[^/]")
        for segment in segments
    ]
    return re.fullmatch("".join(parts), "".join(f"/{token}" for token in path)) is not None


def walked(value: JsonValue, path: Tokens = ()) -> dict[Tokens, JsonValue]:
    """Every place in a value."""
    out = {path: value}
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for token, item in children:
        out |= walked(item, (*path, str(token)))
    return out


@given(st.lists(SEGMENTS, max_size=4), st.lists(TOKENS, max_size=5))
def test_a_path_is_covered_when_it_or_what_is_above_it_is_meant(segments: list[str], path: list[str]) -> None:
    above = [tuple(path[:length]) for length in range(len(path) + 1)]
    expected = any(meant(segments, tokens) for tokens in above)
    assert Pattern(format_path(tuple(segments))).covers(tuple(path)) == expected


@given(st.lists(SEGMENTS, max_size=4), DOCUMENTS)
def test_the_places_of_a_value_are_the_highest_that_are_meant(segments: list[str], document: JsonValue) -> None:
    places = walked(document)
    found = {path for path in places if meant(segments, path)}
    highest = {path: places[path] for path in found if not any(path[:length] in found for length in range(len(path)))}
    assert dict(Pattern(format_path(tuple(segments))).places((), document)) == highest


@given(st.lists(SEGMENTS, max_size=4), DOCUMENTS)
def test_all_that_is_meant_lies_below_the_plain_prefix(segments: list[str], document: JsonValue) -> None:
    pattern = Pattern(format_path(tuple(segments)))
    for path, _ in pattern.places((), document):
        assert path[: len(pattern.prefix)] == pattern.prefix


def test_a_plain_path_means_itself_and_all_below() -> None:
    pattern = Pattern("/jobs/1")
    assert pattern.prefix == ("jobs", "1")
    assert [pattern.covers(path) for path in (("jobs", "1"), ("jobs", "1", "x"), ("jobs", "11"), ("jobs",))] == [
        *(True, True, False, False)
    ]


@pytest.mark.parametrize("everything", ["/", "", "/**"])
def test_the_root_means_everything(everything: str) -> None:
    assert Pattern(everything).covers(())
    assert Pattern(everything).covers(("a", "b"))


def test_a_key_with_a_sign_of_globs_is_meant_in_brackets() -> None:
    assert Pattern("/a[*]").covers(("a*",))
    assert not Pattern("/a[*]").covers(("ab",))


def test_a_pattern_that_is_no_path_is_refused() -> None:
    with pytest.raises(InvalidPath, match="begin"):
        Pattern("jobs/*")
