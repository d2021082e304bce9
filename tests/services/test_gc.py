"""What the grace period of a garbage collection may be called."""

from __future__ import annotations

import pytest

from asg_mcp.core.limits import GRACE_SECONDS_DEFAULT, GRACE_SECONDS_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.services.gc import grace_text, parse_grace


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("14", 1_209_600), ("14d", 1_209_600), ("36h", 129_600), ("2w", 1_209_600), ("90m", 5_400), ("7s", 7)],
)
def test_a_number_with_its_unit_is_a_grace_period(text: str, seconds: int) -> None:
    assert parse_grace(text) == seconds


@pytest.mark.parametrize("text", ["", "d", "-1d", "1.5d", "1 d", "14days", "1D", "１d", "2026-11-21"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidArgument) as told:
        parse_grace(text)
    assert "14d" in told.value.hint


def test_one_longer_than_any_store_lasts_names_the_limit() -> None:
    assert parse_grace(f"{GRACE_SECONDS_MAX}s") == GRACE_SECONDS_MAX
    with pytest.raises(LimitExceeded) as told:
        parse_grace("999999999999w")
    assert told.value.details["limit"] == "GRACE_SECONDS_MAX"


@pytest.mark.parametrize(
    ("seconds", "text"), [(GRACE_SECONDS_DEFAULT, "14d"), (129_600, "36h"), (90, "90s"), (0, "0d")]
)
def test_it_is_told_in_its_largest_unit(seconds: int, text: str) -> None:
    assert grace_text(seconds) == text
    assert parse_grace(text) == seconds
