"""Callers' patterns run on RE2, and say what is wrong with them."""

from __future__ import annotations

import pytest

from asg_mcp.core.limits import PATTERN_BYTES_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo.patterns import compile_pattern


def test_a_pattern_tells_where_it_matches_in_characters() -> None:
    assert compile_pattern("(?i)WÖRLD")("hellö wörld") == (6, 11)
    assert compile_pattern("^x")("ax") is None


@pytest.mark.parametrize("pattern", ["(", "a{2000}", "(?=a)", r"(a)\1", "*", "[z-a]", "\ud800", r"\q"])
def test_a_bad_pattern_is_an_error_that_names_it(pattern: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidArgument, match="not a regular expression") as caught:
        compile_pattern(pattern)
    assert "RE2" in caught.value.hint
    assert capfd.readouterr().err == ""


def test_a_long_pattern_is_refused() -> None:
    compile_pattern("a" * PATTERN_BYTES_MAX)
    with pytest.raises(LimitExceeded):
        compile_pattern("a" * (PATTERN_BYTES_MAX + 1))


def test_a_pattern_that_would_backtrack_for_ever_ends() -> None:
    assert compile_pattern("(a|aa)+$")("a" * 100_000 + "b") is None
