"""What a commit reaches, against a walk over the parents."""

from __future__ import annotations

import random
from typing import Any

import pytest

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
