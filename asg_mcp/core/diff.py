"""The difference of two states: O(changes · log n), by skipping what both share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asg_mcp.core.flat import Equality, Item, nest, same_scalar
from asg_mcp.core.lists import align
from asg_mcp.core.lockstep import Cursor, step_over_common
from asg_mcp.core.nodes import LIST, SCALAR
from asg_mcp.core.paths import ELEMENT, END, Tokens, map_segment, unescape_segment
from asg_mcp.core.state import UNREADABLE_TYPE, Spot, State
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
        yield from _map_deltas(a, b, old, new)


def _map_deltas(a: State, b: State, old: Spot, new: Spot) -> Iterator[Delta]:
    if old.entry.key != new.entry.key:
        yield from _deltas_elsewhere(a, b, old, new)
        return
    one, other = Cursor(a.tree, old.rank + 1), Cursor(b.tree, new.rank + 1)
    while True:
        step_over_common(one, other, min(old.end - one.rank, new.end - other.rank))
        keys = [cursor.entry().key for cursor, spot in ((one, old), (other, new)) if cursor.rank < spot.end]
        if not keys:
            return
        # Outside lists keys are in order, so the side that stands further on has nothing with the lower key: unless
        # that is of a list inside which the other side stands, for then its marker was common to both.
        unit = min(_unit(key, len(old.entry.key)) for key in keys)
        inside = unit not in keys
        here = _unit_spot(a, old, one, unit, inside=inside)
        there = _unit_spot(b, new, other, unit, inside=inside)
        yield Delta(new.tokens + _tokens_below(unit, new), here, there)
        if here is not None:
            one.seek(here.end)
        if there is not None:
            other.seek(there.end)


def _deltas_elsewhere(a: State, b: State, old: Spot, new: Spot) -> Iterator[Delta]:
    """The same for maps of one path that leads through a list on one side and through a map on the other."""
    left = {child.tokens[-1]: child for child in a.children(old)}
    right = {child.tokens[-1]: child for child in b.children(new)}
    for token in sorted(left.keys() | right.keys(), key=map_segment):
        yield from _deltas(a, b, (*new.tokens, token), left.get(token), right.get(token))


def _unit(key: str, start: int) -> str:
    """The key of the outermost list that an entry is in, as far as that lies behind `start`; else the entry's own."""
    end = key.find(ELEMENT, start)
    return key if end < 0 else key[:end]


def _unit_spot(state: State, base: Spot, cursor: Cursor, key: str, *, inside: bool) -> Spot | None:
    """The place of a key: where the cursor stands, or the list inside or behind which it stands; None for neither."""
    if inside:
        found = state.tree.find(key, base.rank + 1, base.end)
        assert found is not None, "BUG: what is in a list is behind its marker"
        rank, entry = found
    elif cursor.rank < base.end and cursor.entry().key == key:
        rank, entry = cursor.rank, cursor.entry()
    else:
        return None
    end = rank + 1 if entry.kind == SCALAR else state.tree.end_of(key, rank, base.end)
    return Spot(base.tokens + _tokens_below(key, base), entry, rank, end)


def _tokens_below(key: str, base: Spot) -> Tokens:
    return tuple(map(unescape_segment, key[len(base.entry.key) : -len(END)].split(END)))


def element_deltas(a: State, b: State, old: Spot, new: Spot) -> Iterator[Delta]:
    """Where two lists differ whose elements stand for each other in their places: as many, none inserted or removed."""
    one, other = Cursor(a.tree, old.rank + 1), Cursor(b.tree, new.rank + 1)
    while True:
        step_over_common(one, other, min(old.end - one.rank, new.end - other.rank))
        if one.rank >= old.end and other.rank >= new.end:
            return
        left = a.element_at(old, min(one.rank, old.end - 1))
        right = b.element_at(new, min(other.rank, new.end - 1))
        # One may stand inside an element and the other behind it: the earlier one differs.
        first = min(int(left.tokens[-1]), int(right.tokens[-1]))
        here, there = a.element(old, first), b.element(new, first)
        assert here is not None and there is not None, "BUG: the lists are equally long"
        yield from _deltas(a, b, there.tokens, here, there)
        one.seek(here.end)
        other.seek(there.end)


def common_run(a: Tree, at_a: int, b: Tree, at_b: int, most: int) -> int:
    """How many entries from rank `at_a` of one tree are those from `at_b` of the other, at most `most`.

    Nodes with equal ids are skipped whole; origins do not count.
    """
    return step_over_common(Cursor(a, at_a), Cursor(b, at_b), most)


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
        types = {a.type_name(old), b.type_name(new)}
        op = "type" if len(types) > 1 and UNREADABLE_TYPE not in types else "replace"  # nobody knows what it was
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
