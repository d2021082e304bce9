"""What a commit reaches, against a walk over the parents."""

from __future__ import annotations

import random
from heapq import heappop
from typing import Any

import pytest

from asg_mcp.repo import graph as graph_module
from asg_mcp.repo.graph import REACH_KEPT_MAX, Graph, is_ancestor


class Parents:
    """A reader that knows parents alone, up to a number."""

    def __init__(self, seed: int, commits: int) -> None:
        rng = random.Random(seed)
        self.parents: dict[int, tuple[int, ...]] = {1: ()}
        self.last = commits
        for number in range(2, commits + 1):
            count = rng.choice([0, 1, 1, 1, 1, 2]) if number > 5 else 1
            near = range(max(1, number - 12), number)
            self.parents[number] = tuple(rng.sample(list(near), min(count, len(near))))

    def parents_after(self, seq: int) -> Any:
        return ((number, self.parents[number]) for number in range(seq + 1, self.last + 1))

    def commit(self, seq: int) -> Any:
        class Row:
            parents = self.parents[seq]

        return Row

    def reached(self, head: int) -> set[int]:
        seen, todo = {head}, [head]
        while todo:
            for parent in self.parents[todo.pop()]:
                if parent not in seen:
                    seen.add(parent)
                    todo.append(parent)
        return seen


@pytest.mark.parametrize("seed", range(8))
def test_what_is_reached_is_what_a_walk_finds(seed: int) -> None:
    rng = random.Random(seed)
    reader: Any = Parents(seed, 150)
    graph = Graph()
    for step in range(120):
        reader.last = min(150, 10 + 2 * step)  # commits come while the graph is in use
        head = rng.randint(1, reader.last)
        reach, expected = graph.reach(reader, head), reader.reached(head)
        assert {number for number in range(-1, 160) if number in reach} == expected
        assert list(reach.descending(head + 1)) == sorted(expected, reverse=True)
        before = rng.randint(1, 150)
        assert list(reach.descending(before)) == sorted((n for n in expected if n < before), reverse=True)
        assert len(reach) == len(expected)
        other = rng.randint(1, reader.last)
        assert reach.without(graph.reach(reader, other)) == len(expected - reader.reached(other))
        assert is_ancestor(reader, graph, other, head) == (other in expected)
        assert len(graph._kept) <= REACH_KEPT_MAX


@pytest.mark.parametrize("seed", range(3))
def test_steps_back_follow_first_parents(seed: int) -> None:
    reader: Any = Parents(seed, 100)
    graph = Graph()
    for head in range(1, 101):
        expected: int | None = head
        for back in range(12):
            assert graph.ancestor(reader, head, back) == expected
            expected = next(iter(reader.parents[expected]), None) if expected is not None else None


def test_what_was_forgotten_is_read_again() -> None:
    reader: Any = Parents(1, 20)
    graph = Graph()
    graph.reach(reader, 20)
    reader.parents[20] = (1,)  # another commit took the number of one that was rolled back
    graph.forget()
    assert set(graph.reach(reader, 20).descending(21)) == {20, 1}


def best(reader: Parents, ones: list[int], others: list[int]) -> list[int]:
    """Common ancestors that no other one reaches, by making every set there is."""
    sides = [{number for one in side for number in reader.reached(one)} for side in (ones, others)]
    common = sides[0] & sides[1]
    worse = {number for one in common for number in reader.reached(one) - {one}}
    return sorted(common - worse, reverse=True)


@pytest.mark.parametrize("seed", range(8))
def test_the_best_common_ancestors_are_those_that_no_other_one_reaches(seed: int) -> None:
    rng = random.Random(seed)
    reader: Any = Parents(seed, 150)
    for number in range(30, 151, 2):  # more merges, so that some pairs have several bases
        reader.parents[number] = tuple(rng.sample(range(number - 12, number), 2))
    graph = Graph()
    several = 0
    for _ in range(300):
        ones, others = ([rng.randint(1, 150) for _ in range(rng.choice([1, 1, 2]))] for _ in range(2))
        found = graph.bases(reader, ones, others)
        assert found == best(reader, ones, others)
        several += len(found) > 1
    assert several, "no pair with several bases"
    assert graph.bases(reader, [7], [7]) == [7]


def test_the_search_for_common_ancestors_ends_a_little_below_the_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    reader: Any = Parents(0, 5_000)
    reader.parents = {number: (number - 1,) if number > 1 else () for number in range(1, 5_001)}
    reader.parents[5_000] = (4_990,)
    taken = 0

    def counted(heap: list[int]) -> int:
        nonlocal taken
        taken += 1
        return heappop(heap)

    monkeypatch.setattr(graph_module, "heappop", counted)
    assert Graph().bases(reader, [4_999], [5_000]) == [4_990]
    assert taken < 20


def test_a_line_is_followed_down_to_a_merge_the_first_commit_or_a_number() -> None:
    reader: Any = Parents(0, 9)
    reader.parents = {1: (), 2: (1,), 3: (2,), 4: (2,), 5: (4, 3), 6: (5,), 7: (6,), 8: (3,), 9: (8,)}
    graph = Graph()
    assert [graph.descend(reader, 7, floor) for floor in (0, 4, 5, 6, 7, 8)] == [5, 5, 5, 6, 7, 7]
    assert [graph.descend(reader, 9, floor) for floor in (0, 1, 2, 5, 8)] == [1, 1, 2, 3, 8]
    assert [graph.parents(reader, seq) for seq in (1, 5, 9)] == [(), (4, 3), (8,)]


@pytest.mark.parametrize("seed", range(4))
def test_following_a_line_goes_parent_by_parent_however_far_it_jumps(seed: int) -> None:
    rng = random.Random(seed)
    reader: Any = Parents(seed, 120)
    for number in range(2, 121):
        if rng.random() < 0.8:
            reader.parents[number] = (number - 1,)
    graph = Graph()
    for _ in range(500):
        seq, floor = rng.randint(1, 120), rng.randint(0, 120)
        expected = seq
        while expected > floor and len(reader.parents[expected]) == 1:
            [expected] = reader.parents[expected]
        assert graph.descend(reader, seq, floor) == expected
