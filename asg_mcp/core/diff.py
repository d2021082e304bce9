"""The difference of two states: O(changes · log n), by skipping what both share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asg_mcp.core.flat import Equality, Item, nest, same_scalar
from asg_mcp.core.ids import NodeId
from asg_mcp.core.lists import align
from asg_mcp.core.nodes import LIST, SCALAR, Branch, Entry, Leaf, Link
from asg_mcp.core.paths import END, Tokens, unescape_segment
from asg_mcp.core.state import Spot, State, entry_type
from asg_mcp.core.tree import Tree


@dataclass(frozen=True, slots=True)
class Delta:
    """One path at which two states differ. A side that is None has nothing there.

    Both sides are lists where a list differs: how its elements differ is told by
    `list_deltas`. Everywhere else a difference is as deep as it can be.
    """

    tokens: Tokens
    old: Spot | None
    new: Spot | None


def deltas(a: State, b: State, path: Tokens = ()) -> Iterator[Delta]:
    """Where `b` differs from `a` at or below `path`, in key order, down to lists."""
    old, new = a.locate(path), b.locate(path)
    yield from _deltas(a, b, path, old if isinstance(old, Spot) else None, new if isinstance(new, Spot) else None)


def _deltas(a: State, b: State, tokens: Tokens, old: Spot | None, new: Spot | None) -> Iterator[Delta]:
    if old is None and new is None:
        return
    if old is None or new is None or old.entry.kind != new.entry.kind:
        yield Delta(tokens, old, new)
    elif old.entry.kind == SCALAR:
        if not same_scalar(old.entry, new.entry):
            yield Delta(tokens, old, new)
    elif old.entry.kind == LIST:
        size = old.end - old.rank
        if size != new.end - new.rank or common_run(a.tree, old.rank, b.tree, new.rank, size) < size:
            yield Delta(tokens, old, new)
    else:
        yield from _map_deltas(a, b, tokens, old, new)


def _map_deltas(a: State, b: State, tokens: Tokens, old: Spot, new: Spot) -> Iterator[Delta]:
    prefix = len(old.entry.key)
    at_a, at_b = old.rank + 1, new.rank + 1
    while at_a < old.end or at_b < new.end:
        run = common_run(a.tree, at_a, b.tree, at_b, min(old.end - at_a, new.end - at_b))
        segments = [
            _segment(state.tree.entry(rank + run).key, prefix)
            for state, rank, end in ((a, at_a, old.end), (b, at_b, new.end))
            if rank + run < end
        ]
        if not segments:
            return
        # The first child that differs is the lower of the two at which the common run ends: the run may
        # end inside it, or where one side has it and the other has not.
        token = unescape_segment(min(segments))
        child_a, child_b = a.child(old, token), b.child(new, token)
        yield from _deltas(a, b, (*tokens, token), child_a, child_b)
        key = old.entry.key + min(segments) + END
        at_a = child_a.end if child_a else a.tree.lower_bound(key, max(at_a, old.rank + 1), old.end)
        at_b = child_b.end if child_b else b.tree.lower_bound(key, max(at_b, new.rank + 1), new.end)


def element_deltas(a: State, b: State, old: Spot, new: Spot) -> Iterator[Delta]:
    """Where two lists differ whose elements stand for each other in their places: as many, none inserted or removed."""
    at_a, at_b = old.rank + 1, new.rank + 1
    while at_a < old.end and at_b < new.end:
        run = common_run(a.tree, at_a, b.tree, at_b, min(old.end - at_a, new.end - at_b))
        if at_a + run >= old.end and at_b + run >= new.end:
            return
        child_a = a.element_at(old, min(at_a + run, old.end - 1))
        child_b = b.element_at(new, min(at_b + run, new.end - 1))
        # The run may end inside an element on one side and behind it on the other: the earlier one differs.
        first = min(int(child_a.tokens[-1]), int(child_b.tokens[-1]))
        one, other = a.element(old, first), b.element(new, first)
        assert one is not None and other is not None, "BUG: the lists are equally long"
        yield from _deltas(a, b, other.tokens, one, other)
        at_a, at_b = one.end, other.end


def _segment(key: str, prefix: int) -> str:
    return key[prefix : key.index(END, prefix)]


def common_run(a: Tree, at_a: int, b: Tree, at_b: int, most: int) -> int:
    """How many entries from rank `at_a` of one tree are those from `at_b` of the other, at most `most`.

    Nodes with equal ids are skipped whole; origins do not count.
    """
    run = 0
    while run < most:
        nodes_a, leaf_a, in_a = _nodes_at(a, at_a + run)
        nodes_b, leaf_b, in_b = _nodes_at(b, at_b + run)
        skip = max(
            (nodes_a[same] for same in nodes_a.keys() & nodes_b.keys() if nodes_a[same] <= most - run), default=0
        )
        if not skip:
            bound = min(len(leaf_a.items) - in_a, len(leaf_b.items) - in_b, most - run)
            skip = _common(leaf_a.items, in_a, leaf_b.items, in_b, bound)
            if skip < bound:
                return run + skip
        run += skip
    return run


def _common(left: list[Entry], at_left: int, right: list[Entry], at_right: int, bound: int) -> int:
    for count in range(bound):
        a, b = left[at_left + count], right[at_right + count]
        if a is not b and (a.key != b.key or a.kind != b.kind or (a.kind == SCALAR and not same_scalar(a, b))):
            return count
    return bound


def _nodes_at(tree: Tree, rank: int) -> tuple[dict[NodeId, int], Leaf, int]:
    """Ids and sizes of the nodes whose first entry has this rank, the leaf that holds it, and where in it."""
    starting: dict[NodeId, int] = {}
    link: Link = tree.root
    while True:
        if rank == 0:
            starting[link.id] = link.count
        node = tree.open(link)
        if type(node) is not Branch:
            assert type(node) is Leaf, "BUG: a node is a leaf or a branch"
            return starting, node, rank
        child = node.child_at(rank)
        rank -= node.starts[child]
        link = node.items[child]


# --- lists --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ListDelta:
    """One element that came, went, moved, or changed in place; indexes in the old and in the new list."""

    old_index: int | None
    new_index: int | None
    moved: bool = False


def elements(state: State, spot: Spot) -> list[Item]:
    """The elements of a list as items. O(its size)."""
    children: list[Item] = nest(state.tree.entries(spot.rank, spot.end)).children
    return children


def list_deltas(old: list[int], new: list[int]) -> list[ListDelta]:
    """How two lists, given by numbers for their elements, differ: in the order of the new one, then what went."""
    out: list[ListDelta] = []
    gone: list[int] = []
    come: list[int] = []
    i = j = 0
    for pair_i, pair_j in [*align(old, new), (len(old), len(new))]:
        while i < pair_i and j < pair_j:
            out.append(ListDelta(i, j))
            i, j = i + 1, j + 1
        gone += range(i, pair_i)
        come += range(j, pair_j)
        i, j = pair_i + 1, pair_j + 1
    places: dict[int, list[int]] = {}
    for index in gone:
        places.setdefault(old[index], []).append(index)
    for index in come:
        sources = places.get(new[index])
        out.append(ListDelta(sources.pop(0), index, moved=True) if sources else ListDelta(None, index))
    out += [ListDelta(index, None) for index in sorted(index for left in places.values() for index in left)]
    return sorted(out, key=_place)


def _place(delta: ListDelta) -> tuple[int, int]:
    if delta.new_index is None:
        return (1, delta.old_index or 0)
    return (0, delta.new_index)


# --- changes ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Difference:
    """One typed change between two states, with the places to read its values from.

    `op` is add, remove, replace, type or move. `source` is the old path, where it is another.
    """

    op: str
    tokens: Tokens
    old: Spot | None
    new: Spot | None
    source: Tokens | None = None


def differences(a: State, b: State, path: Tokens = ()) -> Iterator[Difference]:
    """All typed changes from `a` to `b` at or below `path`, lists element by element.

    Paths are those of `b`; of `a` for what was removed.
    """
    for delta in deltas(a, b, path):
        yield from _typed(a, b, delta)


def _typed(a: State, b: State, delta: Delta) -> Iterator[Difference]:
    old, new = delta.old, delta.new
    if old is not None and new is not None and old.entry.kind == new.entry.kind == LIST:
        yield from _list_differences(a, b, old, new)
    elif old is None:
        yield Difference("add", delta.tokens, None, new)
    elif new is None:
        yield Difference("remove", delta.tokens, old, None)
    else:
        op = "replace" if entry_type(old.entry) == entry_type(new.entry) else "type"
        source = old.tokens if old.tokens != new.tokens else None
        yield Difference(op, new.tokens, old, new, source)


def _list_differences(a: State, b: State, old: Spot, new: Spot) -> Iterator[Difference]:
    number = Equality().number
    left, right = elements(a, old), elements(b, new)  # kept: items are numbered by identity
    for change in list_deltas([*map(number, left)], [*map(number, right)]):
        before = None if change.old_index is None else a.element(old, change.old_index)
        after = None if change.new_index is None else b.element(new, change.new_index)
        if before is None:
            assert after is not None, "BUG: a list delta has a side"
            yield Difference("add", after.tokens, None, after)
        elif after is None:
            yield Difference("remove", before.tokens, before, None)
        elif change.moved:
            yield Difference("move", after.tokens, before, after, before.tokens)
        else:
            for delta in _deltas(a, b, after.tokens, before, after):
                yield from _typed(a, b, delta)
