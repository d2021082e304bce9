"""Three-way merge of states: what `theirs` changed since `base`, done to `ours`.

A path that one side changed takes that side. A path that both changed alike is
settled. A list that both changed is merged as a sequence, chunk by chunk (diff3:
Khanna, Kunal and Pierce, FSTTCS 2007), never by index. What is left is a conflict
at the path: different scalars, a container removed or retyped against a change
below it, a list whose changes do not align.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asg_mcp.core.diff import Delta, deltas, element_deltas, elements
from asg_mcp.core.flat import Equality, Item, value_of
from asg_mcp.core.lists import align
from asg_mcp.core.mergerules import NO_RULES, Rules
from asg_mcp.core.nodes import LIST, MAP, SCALAR
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import ELEMENT, END, Tokens, depth_of, unescape_segment
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.core.values import JsonValue


@dataclass(frozen=True, slots=True)
class Clash:
    """A path on which both sides differ from the base and from each other."""

    tokens: Tokens
    rule: str
    """scalar, container or list"""


@dataclass(frozen=True, slots=True)
class Merged:
    """What to do to `ours`, and where somebody has to choose first."""

    operations: tuple[Operation, ...]
    clashes: tuple[Clash, ...]


def merge(base: State, ours: State, theirs: State, rules: Rules = NO_RULES, *, manual: bool = False) -> Merged:
    """Merge what changed from `base` to `theirs` into `ours`. All three are of one store."""
    operations: list[Operation] = []
    clashes: list[Clash] = []
    for delta in deltas(base, theirs):
        in_place = _in_place(base, ours, theirs, delta)
        for outcome in _settle(base, ours, theirs, delta) if in_place is None else in_place:
            if isinstance(outcome, Operation):
                operations.append(outcome)
            elif outcome not in clashes:
                clashes.append(outcome)
    return Merged(tuple(operations), tuple(clashes))


def _in_place(base: State, ours: State, theirs: State, delta: Delta) -> list[Operation] | None:
    """The merge of a list to which neither side added and from which neither took, element by element.

    It costs what changed, where the merge as a sequence costs the whole list. None where it does not apply, or where
    somebody would have to choose: a conflict is the whole list's.
    """
    here = ours.locate(delta.tokens)
    if not isinstance(here, Spot) or delta.old is None or delta.new is None or not _all_lists(delta, here):
        return None
    # A list's marker carries the commit that last changed the number or order of its elements.
    if not delta.old.entry.origin == delta.new.entry.origin == here.entry.origin:
        return None
    if not base.length(delta.old) == theirs.length(delta.new) == ours.length(here):
        return None
    out: list[Operation] = []
    for inner in element_deltas(base, theirs, delta.old, delta.new):
        nested = _in_place(base, ours, theirs, inner)
        if nested is not None:
            out += nested
            continue
        outcome = _settle_whole(base, ours, theirs, inner, ours.locate(inner.tokens), in_place=True)
        if isinstance(outcome, Clash):
            return None
        if outcome is not None:
            out.append(outcome)
    return out


def _settle(base: State, ours: State, theirs: State, delta: Delta) -> Iterator[Operation | Clash]:
    """One change of theirs: an operation on ours, nothing (ours has it), or a clash; a new map may be several."""
    here = ours.locate(delta.tokens)
    came = delta.old is None and isinstance(here, Spot) and ELEMENT not in here.entry.key
    if came and isinstance(here, Spot) and _both_maps(here, delta.new):
        assert delta.new is not None, "BUG: both are maps"
        yield from _union(ours, here, theirs, delta.new)
        return
    outcome = _settle_whole(base, ours, theirs, delta, here)
    if outcome is not None:
        yield outcome


def _both_maps(here: Spot, new: Spot | None) -> bool:
    return new is not None and here.entry.kind == new.entry.kind == MAP


def _union(ours: State, here: Spot, theirs: State, new: Spot) -> Iterator[Operation | Clash]:
    """Two maps that came where the base has none, key by key."""
    for child in theirs.children(new):
        mine = ours.child(here, child.tokens[-1])
        if mine is None:
            yield Operation(Op.SET, child.tokens, theirs.value(child))
        elif _both_maps(mine, child):
            yield from _union(ours, mine, theirs, child)
        elif ours.object(mine) != theirs.object(child):
            yield Clash(child.tokens, "scalar" if mine.entry.kind == child.entry.kind == SCALAR else "container")


def _settle_whole(
    base: State, ours: State, theirs: State, delta: Delta, here: Spot | Gap, *, in_place: bool = False
) -> Operation | Clash | None:
    tokens = delta.tokens
    way = (here.deepest if isinstance(here, Gap) else here).entry.key
    if ELEMENT in way and not in_place:
        # A key that looks like an index, in what is a map on their side and a list on ours.
        return Clash(tokens[: depth_of(way[: way.index(ELEMENT)])], "container")
    if isinstance(here, Gap):
        blocked = _blocked(base, here)
        if blocked is not None:
            return Clash(blocked, "container")
        if delta.new is None:
            return None
        if delta.old is None:
            return Operation(Op.SET, tokens, theirs.value(delta.new))
        return Clash(tokens, _rule(delta, None))
    same_as_base = delta.old is not None and base.object(delta.old) == ours.object(here)
    same_as_theirs = delta.new is not None and theirs.object(delta.new) == ours.object(here)
    if same_as_theirs:
        return None
    if same_as_base:
        if delta.new is None:
            return Operation(Op.DELETE, tokens)
        return Operation(Op.SET, tokens, theirs.value(delta.new))
    if _all_lists(delta, here):
        assert delta.old is not None and delta.new is not None, "BUG: all three are lists"
        sides = elements(base, delta.old), elements(ours, here), elements(theirs, delta.new)
        try:
            merged = _ListMerge(ours).lists(*sides)
        except _Unaligned:
            return Clash(tokens, "list")
        return Operation(Op.SET, tokens, merged)
    return Clash(tokens, _rule(delta, here))


def _blocked(base: State, gap: Gap) -> Tokens | None:
    """The container on the way to a changed path that ours removed or retyped; None when there is none."""
    deepest = gap.deepest
    if deepest.entry.kind != MAP:
        return deepest.tokens
    missing = gap.tokens[: len(deepest.tokens) + 1]
    if len(missing) < len(gap.tokens) and isinstance(base.locate(missing), Spot):
        return missing
    return None


def _rule(delta: Delta, here: Spot | None) -> str:
    kinds = {side.entry.kind for side in (delta.old, delta.new, here) if side is not None}
    return "scalar" if kinds <= {SCALAR} else "container"


def _all_lists(delta: Delta, here: Spot) -> bool:
    return all(side is not None and side.entry.kind == LIST for side in (delta.old, delta.new, here))


class _Unaligned(Exception):
    """The two sides' changes of a list overlap and differ."""


Range = tuple[int, int]


def _chunks(base: list[int], ours: list[int], theirs: list[int]) -> Iterator[tuple[Range, Range, Range]]:
    """The three lists cut at the elements that all three keep; each such element is a chunk of its own."""
    in_ours, in_theirs = dict(align(base, ours)), dict(align(base, theirs))
    b = o = t = 0
    for index in range(len(base)):
        if index in in_ours and index in in_theirs:
            next_o, next_t = in_ours[index], in_theirs[index]
            if (b, o, t) != (index, next_o, next_t):
                yield (b, index), (o, next_o), (t, next_t)
            yield (index, index + 1), (next_o, next_o + 1), (next_t, next_t + 1)
            b, o, t = index + 1, next_o + 1, next_t + 1
    if (b, o, t) != (len(base), len(ours), len(theirs)):
        yield (b, len(base)), (o, len(ours)), (t, len(theirs))


_GONE = object()


class _ListMerge:
    """One merge of a list. Values may come from any side: all are of one store."""

    def __init__(self, state: State) -> None:
        self._source = state.tree.source
        self._number = Equality().number

    def lists(self, base: list[Item], ours: list[Item], theirs: list[Item]) -> list[JsonValue]:
        """The merged list. Raises _Unaligned."""
        in_b, in_o, in_t = ([*map(self._number, side)] for side in (base, ours, theirs))
        out: list[JsonValue] = []
        for (b0, b1), (o0, o1), (t0, t1) in _chunks(in_b, in_o, in_t):
            chunk_b, chunk_o, chunk_t = in_b[b0:b1], in_o[o0:o1], in_t[t0:t1]
            if chunk_t in (chunk_o, chunk_b):
                out += [value_of(item, self._source) for item in ours[o0:o1]]
            elif chunk_o == chunk_b:
                out += [value_of(item, self._source) for item in theirs[t0:t1]]
            elif len(chunk_b) == len(chunk_o) == len(chunk_t):
                # As many elements on every side: they stand for each other in their places.
                out += [self._items(base[b0 + k], ours[o0 + k], theirs[t0 + k]) for k in range(len(chunk_b))]
            else:
                raise _Unaligned
        return out

    def _items(self, base: Item | None, ours: Item | None, theirs: Item | None) -> JsonValue:
        """One element or field: one side's, or maps merged key by key."""
        in_b, in_o, in_t = (None if side is None else self._number(side) for side in (base, ours, theirs))
        if in_t in (in_o, in_b):
            return _GONE if ours is None else value_of(ours, self._source)
        if in_o == in_b:
            return _GONE if theirs is None else value_of(theirs, self._source)
        if base is None or ours is None or theirs is None:
            raise _Unaligned
        if not base.entry.kind == ours.entry.kind == theirs.entry.kind == MAP:
            raise _Unaligned
        out: dict[str, JsonValue] = {}
        for segment in {**base.children, **ours.children, **theirs.children}:
            kept = self._items(*(side.children.get(segment) for side in (base, ours, theirs)))
            if kept is not _GONE:
                out[unescape_segment(segment[: -len(END)])] = kept
        return out
