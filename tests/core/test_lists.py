"""Alignment of lists: what every alignment must be, and how much it keeps."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asg_mcp.core.lists import CELLS_MAX, TABLE_CELLS_MAX, Allowance, Pair, align

SMALL_LISTS = st.lists(st.integers(0, 3), max_size=12)
LISTS = st.lists(st.integers(0, 40), max_size=150)


def assert_lawful(old: Sequence[object], new: Sequence[object], pairs: list[Pair]) -> None:
    assert all(old[i] == new[j] for i, j in pairs)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))


def longest(old: Sequence[object], new: Sequence[object]) -> int:
    """The length of a longest common subsequence, row by row."""
    row = [0] * (len(new) + 1)
    for left in old:
        before = row
        row = [0]
        for index, right in enumerate(new):
            row.append(before[index] + 1 if left == right else max(before[index + 1], row[-1]))
    return row[-1]


@given(LISTS, LISTS)
def test_an_alignment_pairs_equal_elements_in_order(old: list[int], new: list[int]) -> None:
    assert_lawful(old, new, align(old, new))


@settings(max_examples=300)
@given(SMALL_LISTS, SMALL_LISTS)
def test_an_alignment_of_short_lists_keeps_as_much_as_any(old: list[int], new: list[int]) -> None:
    assert len(align(old, new)) == longest(old, new)


@given(LISTS, LISTS)
def test_an_alignment_depends_on_equality_alone(old: list[int], new: list[int]) -> None:
    """Not on hashes or identities: replay in another process must find the same."""
    names = {number: f"element {number}" for number in range(41)}
    assert align([names[number] for number in old], [names[number] for number in new]) == align(old, new)


@given(LISTS)
def test_equal_lists_align_completely(elements: list[int]) -> None:
    assert align(elements, list(elements)) == [(index, index) for index in range(len(elements))]


@pytest.mark.parametrize("size", [5, 150, 3_000])
def test_distinct_elements_keep_as_much_as_any(size: int) -> None:
    rng = random.Random(size)
    for _ in range(5):
        old = list(range(size))
        new = [number for number in old if rng.random() > 0.05]
        for _ in range(size // 20):
            new.insert(rng.randint(0, len(new)), -rng.randint(1, 10**9))
        kept = len(set(old) & set(new))
        pairs = align(old, new)
        assert_lawful(old, new, pairs)
        assert len(pairs) == kept


def test_a_block_that_moved_is_given_up_and_all_around_it_kept() -> None:
    old = list(range(1_000))
    new = [*old[:100], *old[150:900], *old[100:150], *old[900:]]
    assert len(align(old, new)) == 950


def test_repeated_elements_between_distinct_ones_are_kept() -> None:
    old = [part for number in range(600) for part in (f"id {number}", "x", "x")]
    new = [*old[:300], *old[306:900], "x", *old[900:1_500], *old[1_503:]]
    pairs = align(old, new)
    assert_lawful(old, new, pairs)
    assert len(pairs) == len(old) - 9


def test_elements_that_repeat_are_kept_where_a_table_is_small_enough() -> None:
    old = [number % 10 for number in range(400)]
    new = ["a", *old[:200], "b", "c", *old[203:], "d"]
    assert len(align(["z", *old, "y"], new)) == longest(["z", *old, "y"], new)


def test_a_large_gap_without_unique_elements_is_left_unmatched() -> None:
    side = int(TABLE_CELLS_MAX**0.5) + 1
    old = ["x", *[number % 2 for number in range(side)]]
    new = [*[number % 2 for number in range(side)], "y"]
    assert align(old, new) == []


def test_gaps_within_gaps_within_gaps_do_not_exhaust_the_stack() -> None:
    """Each level has one element that is unique in it alone, so each is searched inside the one before."""
    old: list[str] = []
    new: list[str] = []
    for level in range(3_000):
        old = [f"x{level}", *old, f"c{level + 1}", f"c{level}"]
        new = [f"y{level}", *new, f"c{level + 1}", f"z{level}"]
    pairs = align(old, new)
    assert_lawful(old, new, pairs)
    assert pairs


def test_lists_aligned_by_one_operation_share_the_cells_they_may_use() -> None:
    side = int(TABLE_CELLS_MAX**0.5)
    old = ["x", *[number % 2 for number in range(side - 1)]]
    new = [*[number % 2 for number in range(side - 1)], "y"]
    allowance = Allowance()
    found = [len(align(old, new, allowance)) for _ in range(CELLS_MAX // TABLE_CELLS_MAX + 3)]
    assert found[0] == side - 1
    assert found[-1] == 0
    assert 0 <= allowance.cells < TABLE_CELLS_MAX
    assert len(align(old, new)) == side - 1
