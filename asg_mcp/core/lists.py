"""Alignment of two versions of a list, so that blame can follow elements."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence

EXACT_CELLS_MAX = 10_000
"""Up to this size (100 by 100) what lies between head and tail is aligned by the table, which keeps the most."""
TABLE_CELLS_MAX = 250_000
"""A gap without such elements gets a table up to this size (500 by 500); in a larger one nothing is matched."""
CELLS_MAX = 4_000_000
"""Cells of all tables of one operation, about two seconds: it runs while every other writer waits."""
ROUNDS_MAX = 32
"""How often a gap between matches is searched for elements that are unique inside it; each time costs its length."""

Pair = tuple[int, int]
_Gap = tuple[int, int, int, int]


class Allowance:
    """What is left of CELLS_MAX; lists within lists that are aligned by one operation share one."""

    __slots__ = ("cells",)

    def __init__(self) -> None:
        self.cells = CELLS_MAX


def align(old: Sequence[Hashable], new: Sequence[Hashable], allowance: Allowance | None = None) -> list[Pair]:
    """Pairs (i, j) with old[i] == new[j], increasing in both, that keep as much as is cheap to find.

    Equal heads and tails first. What is left is aligned by a longest common
    subsequence table where it is small; where it is not, the elements that occur
    exactly once on both sides come first, by a longest increasing subsequence
    (patience diff, Bram Cohen), then each gap between them likewise. It is a
    function of its arguments alone: origins are re-derived by replay.
    """
    allowance = allowance or Allowance()
    pairs: list[Pair] = []
    # Gaps are kept on a list, from left to right: a list can be made whose gaps are nested thousands deep.
    gaps = [((0, len(old), 0, len(new)), 0)]
    while gaps:
        gap, rounds = gaps.pop()
        i, i_end, j, j_end = gap = _trim(old, new, gap, pairs)
        if i == i_end or j == j_end:
            continue
        cells = (i_end - i) * (j_end - j)
        anchors: list[Pair] = []
        if rounds < ROUNDS_MAX and cells > EXACT_CELLS_MAX:
            anchors = _unique_anchors(old, new, i, i_end, j, j_end)
        if anchors:
            pairs.extend(anchors)
            gaps.extend((between, rounds + 1) for between in reversed(_between(gap, anchors)))
        elif cells <= min(TABLE_CELLS_MAX, allowance.cells):
            allowance.cells -= cells
            _table(old, new, i, i_end, j, j_end, pairs)
    return sorted(pairs)


def _trim(old: Sequence[Hashable], new: Sequence[Hashable], gap: _Gap, pairs: list[Pair]) -> _Gap:
    """Match equal heads and tails; what lies between them is left."""
    i, i_end, j, j_end = gap
    while i < i_end and j < j_end and old[i] == new[j]:
        pairs.append((i, j))
        i, j = i + 1, j + 1
    while i < i_end and j < j_end and old[i_end - 1] == new[j_end - 1]:
        i_end, j_end = i_end - 1, j_end - 1
        pairs.append((i_end, j_end))
    return i, i_end, j, j_end


def _between(gap: _Gap, anchors: list[Pair]) -> list[_Gap]:
    """The gaps that the anchors leave of a gap."""
    i, i_end, j, j_end = gap
    ends = [*anchors, (i_end, j_end)]
    starts = [(i, j), *[(a + 1, b + 1) for a, b in anchors]]
    return [(i, a, j, b) for (i, j), (a, b) in zip(starts, ends, strict=True)]


def _unique_anchors(
    old: Sequence[Hashable], new: Sequence[Hashable], i: int, i_end: int, j: int, j_end: int
) -> list[Pair]:
    """The longest increasing run of pairs among the elements that occur once on each side."""
    places: dict[Hashable, int] = {}
    for index in range(j, j_end):
        places[new[index]] = -1 if new[index] in places else index
    once: dict[Hashable, int] = {}
    for index in range(i, i_end):
        once[old[index]] = -1 if old[index] in once else index
    pairs = [(index, places[element]) for element, index in once.items() if index >= 0 and places.get(element, -1) >= 0]
    ends: list[int] = []
    chain: list[int] = []
    previous = [-1] * len(pairs)
    for number, (_, place) in enumerate(pairs):
        at = bisect_left(ends, place)
        if at == len(ends):
            ends.append(place)
            chain.append(number)
        else:
            ends[at], chain[at] = place, number
        previous[number] = chain[at - 1] if at else -1
    run: list[Pair] = []
    number = chain[-1] if chain else -1
    while number >= 0:
        run.append(pairs[number])
        number = previous[number]
    return run[::-1]


def _table(
    old: Sequence[Hashable], new: Sequence[Hashable], i: int, i_end: int, j: int, j_end: int, pairs: list[Pair]
) -> None:
    """Longest common subsequence by the textbook table; at a tie the earlier old element is given up."""
    width = j_end - j + 1
    rows = [[0] * width for _ in range(i_end - i + 1)]
    for a in range(i_end - i - 1, -1, -1):
        row, below, element = rows[a], rows[a + 1], old[i + a]
        for b in range(width - 2, -1, -1):
            row[b] = below[b + 1] + 1 if element == new[j + b] else max(below[b], row[b + 1])
    a = b = 0
    while a < i_end - i and b < width - 1:
        if old[i + a] == new[j + b]:
            pairs.append((i + a, j + b))
            a, b = a + 1, b + 1
        elif rows[a + 1][b] >= rows[a][b + 1]:
            a += 1
        else:
            b += 1
