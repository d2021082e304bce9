"""Walking a state in document order, from any rank on, with the path of each entry."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from asg_mcp.core.nodes import LIST, MAP, SCALAR, Entry, Leaf, Link
from asg_mcp.core.paths import END, Tokens, depth_of, unescape_segment
from asg_mcp.core.state import Spot, State
from asg_mcp.core.tree import Tree


class Step(NamedTuple):
    """One entry that was met."""

    rank: int
    tokens: Tokens
    entry: Entry
    key: str | None
    """The map key of the entry; None for a list element and for the root."""


class _Open:
    """A container that the walk is inside of."""

    __slots__ = ("index", "is_map", "prefix", "tokens")

    def __init__(self, tokens: Tokens, entry: Entry, index: int = 0) -> None:
        self.tokens = tokens
        self.is_map = entry.kind == MAP
        self.prefix = len(entry.key)
        self.index = index
        """How many of its elements were met, if it is a list."""


def walk(state: State, low: int, high: int, newest_min: int = 0) -> Iterator[Step]:
    """The entries of ranks [low, high) in order.

    Those in nodes where nothing was changed by commit `newest_min` or a later one are passed over: such nodes are
    not opened.
    """
    stack: list[_Open] = []
    expected = -1
    for rank, entry in _ranked(state.tree, state.tree.root, 0, low, high, newest_min):
        depth = depth_of(entry.key)
        if rank != expected:
            stack = _around(state, rank)
        expected = rank + 1
        del stack[depth:]
        tokens: Tokens = ()
        key = None
        if stack:
            inside = stack[-1]
            if inside.is_map:
                key = unescape_segment(entry.key[inside.prefix : -len(END)])
                tokens = (*inside.tokens, key)
            else:
                tokens = (*inside.tokens, str(inside.index))
                inside.index += 1
        if entry.kind != SCALAR:
            stack.append(_Open(tokens, entry))
        yield Step(rank, tokens, entry, key)


def _ranked(tree: Tree, link: Link, start: int, low: int, high: int, newest_min: int) -> Iterator[tuple[int, Entry]]:
    node = tree.open(link)
    if type(node) is Leaf:
        first = max(low - start, 0)
        yield from enumerate(node.items[first : high - start], start + first)
        return
    for child in node.items:
        assert type(child) is Link, "BUG: the items of a branch are links"
        end = start + child.count
        if start >= high:
            return
        if end > low and child.newest >= newest_min:
            yield from _ranked(tree, child, start, low, high, newest_min)
        start = end


def spots_to(state: State, rank: int) -> list[Spot]:
    """The places on the way from the root to the entry of this rank, both included. O(depth · log n)."""
    target = state.tree.entry(rank)
    spot = state.root()
    spots = [spot]
    while spot.rank != rank:
        depth = len(spots)
        if spot.entry.kind == LIST:
            before = state.tree.elements_before(spot.rank + 1, depth)
            child = state.element(spot, state.tree.elements_before(rank + 1, depth) - before - 1)
        else:
            rest = target.key[len(spot.entry.key) :]
            child = state.child(spot, unescape_segment(rest[: rest.index(END)]))
        assert child is not None, "BUG: the entry is below each of its ancestors"
        spot = child
        spots.append(spot)
    return spots


def _around(state: State, rank: int) -> list[_Open]:
    """The containers around a rank, ready for the entry there to be met next."""
    spots = spots_to(state, rank)
    inside = []
    for spot, child in pairwise(spots):
        # The children that lead to the rank count as met; the entry at the rank itself does not yet.
        met = 0 if child.rank == rank else 1
        inside.append(_Open(spot.tokens, spot.entry, int(child.tokens[-1]) + met if spot.entry.kind == LIST else 0))
    return inside
