"""How old things are, by the log's recorded times, whatever the clocks did."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.repo.collectingmarks import Ages

NOW = 1_000


def young(times: list[int], grace: int) -> set[int]:
    """The places of the events that count as younger than the grace period."""
    ages = Ages(NOW, NOW - grace)
    for place, at in enumerate(times):
        ages.add(at, (place,))
    return set(ages.finish())


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([100, 850, 950], {2}),
        ([100, 899, 900, 901], {3}),
        ([950, 100], {0, 1}),  # went back by years: nobody knows when the second was
        ([500, 100, 600, 950], {3}),  # no later than 600, so old
        ([500, 100, 950], {1, 2}),  # it may be as young as what followed it
        ([5_000, 100, 200], set()),  # what is to come says nothing of the others
        ([100, 5_000], {1}),
        ([], set()),
    ],
)
def test_what_was_recorded_under_a_wrong_clock_is_as_young_as_it_may_be(times: list[int], expected: set[int]) -> None:
    assert young(times, 100) == expected


def test_without_a_grace_period_nothing_is_young() -> None:
    assert young([100, 5_000, 50, NOW], 0) == set()


@given(st.lists(st.tuples(st.integers(0, NOW), st.booleans()), min_size=1, max_size=12), st.integers(0, NOW))
def test_no_clock_that_ran_backwards_makes_anything_older(told: list[tuple[int, bool]], grace: int) -> None:
    """`told`: when each event was in truth, and whether a clock said a time before the first of them instead."""
    times = sorted(at for at, _ in told)
    recorded = [at if not (place and told[place][1]) else times[0] - place for place, at in enumerate(times)]
    assert {place for place, at in enumerate(times) if at > NOW - grace} <= young(recorded, grace)
