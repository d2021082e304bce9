"""Three-way merge of states: what `theirs` changed since `base`, done to `ours`.

A path that one side changed takes that side. A path that both changed alike is settled. A path under a rule of the
schema is merged as the rule says, a list as a sequence (`core/mergelists`), a map key by key. What is left is a
conflict at the path: different scalars, a container removed or retyped against a change below it, a list whose
changes do not align, what a rule cannot settle.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

from asg_mcp.core.diff import Delta, deltas, element_deltas
from asg_mcp.core.flat import Item, nest
from asg_mcp.core.mergelists import ItemMerge, Sides, Unmergeable
from asg_mcp.core.mergerules import META_ROOT, NO_RULES, Rule, Rules
from asg_mcp.core.nodes import LIST, MAP, SCALAR
from asg_mcp.core.operations import Absent, Op, Operation
from asg_mcp.core.paths import END, Tokens
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.core.values import JsonValue, equal

MIGRATION = "migration"
"""The rule of /_meta: one conflict there when both sides changed it."""


@dataclass(frozen=True, slots=True)
class Clash:
    """A path on which both sides differ from the base and from each other."""

    tokens: Tokens
    rule: str
    """scalar, container, list or migration; under a rule of the schema, its name"""


@dataclass(frozen=True, slots=True)
class Merged:
    """What to do to `ours`, and where somebody has to choose first."""

    operations: tuple[Operation, ...]
    clashes: tuple[Clash, ...]


_Outcome = Operation | Clash


def merge(base: State, ours: State, theirs: State, rules: Rules = NO_RULES, *, manual: bool = False) -> Merged:
    """Merge what changed from `base` to `theirs` into `ours`. All three are of one store.

    With `manual`, nothing is settled that both sides changed differently: there are no rules, and lists are not
    merged as sequences. Maps still merge per key. It costs what differs, and the whole of each list that differs.
    """
    run = _Merge(base, ours, theirs, NO_RULES if manual else rules, manual)
    operations: list[Operation] = []
    clashes: dict[Clash, None] = {}
    for delta in deltas(base, theirs):
        for outcome in run.settle(delta):
            if isinstance(outcome, Operation):
                operations.append(outcome)
            else:
                clashes[outcome] = None
    return Merged(tuple(operations), tuple(clashes))


class _Merge:
    """One merge. Each method gives operations on ours, nothing (ours has it), or clashes."""

    def __init__(self, base: State, ours: State, theirs: State, rules: Rules, manual: bool) -> None:
        self._base = base
        self._ours = ours
        self._theirs = theirs
        self._rules = rules
        self._manual = manual
        self._done: set[Tokens] = set()
        """Paths under a rule: however much changed below one, it is settled once."""

    def settle(self, delta: Delta, start: int = 0) -> Iterable[_Outcome]:
        """One change of theirs; what it leads through in less than `start` tokens is under no rule."""
        unit = self._unit(delta.tokens, start)
        if unit is not None:
            return self._settle_unit(*unit)
        here = self._ours.locate(delta.tokens)
        in_place = self._in_place(delta, here)
        if in_place is not None:
            return in_place
        if delta.old is None and isinstance(here, Spot) and not _strays(delta, here) and _both_maps(here, delta.new):
            assert delta.new is not None, "BUG: both are maps"
            return self._added_maps(here, delta.new)
        return self._settle_whole(delta, here)

    # --- rules ----------------------------------------------------------------

    def _unit(self, tokens: Tokens, start: int) -> tuple[Tokens, str] | None:
        """The outermost path on the way to a change of theirs, from `start` tokens on, that is merged as one.

        None where ours did not change it, or removed or retyped a container on the way to it.
        """
        units: Iterable[tuple[Tokens, str]] = self._rules.along(tokens, start)
        if tokens[0] == META_ROOT:
            units = [(tokens[:1], MIGRATION)]
        for path, rule in units:
            if path in self._done:
                return path, rule
            around, counterpart = self._ours.locate(path[:-1]), self._theirs.spot(path[:-1])
            if isinstance(around, Gap) or not _alike(around, counterpart):
                return None
            if rule == Rule.UNION and _both_maps(self._ours.locate(path), self._theirs.locate(path)):
                continue
            return None if self._same(path, self._base, self._ours) else (path, rule)
        return None

    def _settle_unit(self, path: Tokens, rule: str) -> Iterator[_Outcome]:
        """A path that both sides changed, merged as one."""
        if path in self._done:
            return
        self._done.add(path)
        if rule in (MIGRATION, Rule.MANUAL, Rule.LAST_WRITER_WINS):
            if self._same(path, self._ours, self._theirs):
                return
            mine, other = _newest(self._ours, path), _newest(self._theirs, path)
            if rule != Rule.LAST_WRITER_WINS or mine == other:
                yield Clash(path, rule)
            elif mine < other:
                yield from self._taken(path)
            return
        sides = Sides(*(_item(state, path) for state in (self._base, self._ours, self._theirs)))
        try:
            value = self._items().ruled(Rule(rule), path, sides)
        except Unmergeable:
            yield Clash(path, rule)
            return
        yield from self._set(path, value)

    def _taken(self, path: Tokens) -> Iterator[Operation]:
        """What makes a path of ours what it is in theirs."""
        for delta in deltas(self._ours, self._theirs, path):
            if delta.new is None:
                yield Operation(Op.DELETE, delta.tokens)
            else:
                yield Operation(Op.SET, delta.tokens, self._theirs.carried(delta.new))

    def _same(self, path: Tokens, left: State, right: State) -> bool:
        here, there = left.locate(path), right.locate(path)
        if isinstance(here, Gap) or isinstance(there, Gap):
            return isinstance(here, Gap) and isinstance(there, Gap)
        return left.object(here) == right.object(there)

    def _items(self) -> ItemMerge:
        return ItemMerge(self._ours.tree.source, self._rules)

    def _set(self, path: Tokens, value: JsonValue | Absent) -> Iterator[Operation]:
        here = self._ours.locate(path)
        if isinstance(value, Absent):
            return  # both sides removed it: no rule removes what one side has
        if isinstance(here, Gap) or not equal(value, self._ours.carried(here)):
            yield Operation(Op.SET, path, value)

    # --- without rules --------------------------------------------------------

    def _in_place(self, delta: Delta, here: Spot | Gap) -> list[Operation] | None:
        """The merge of a list to which neither side added and from which neither took, element by element.

        It costs what changed, where the merge as a sequence costs the whole list. None where it does not apply, or
        where somebody would have to choose: a conflict is the whole list's.
        """
        if self._manual or isinstance(here, Gap) or delta.old is None or delta.new is None:
            return None
        if _strays(delta, here) or not _all_lists(delta, here):
            return None
        # A list's marker carries the commit that last changed the number or order of its elements.
        if not delta.old.entry.origin == delta.new.entry.origin == here.entry.origin:
            return None
        base, ours, theirs = self._base, self._ours, self._theirs
        if not base.length(delta.old) == theirs.length(delta.new) == ours.length(here):
            return None
        out: list[Operation] = []
        for inner in element_deltas(base, theirs, delta.old, delta.new):
            for outcome in self.settle(inner, len(delta.tokens) + 1):
                if isinstance(outcome, Clash):
                    return None
                out.append(outcome)
        return out

    def _added_maps(self, here: Spot, new: Spot) -> Iterator[_Outcome]:
        """Two maps that came where the base has none, key by key."""
        for child in self._theirs.children(new):
            mine = self._ours.child(here, child.tokens[-1])
            rule = self._rules.at(child.tokens)
            maps = mine is not None and _both_maps(mine, child)
            if mine is None:
                yield Operation(Op.SET, child.tokens, self._theirs.carried(child))
            elif rule is not None and not (maps and rule is Rule.UNION):
                yield from self._settle_unit(child.tokens, rule.value)
            elif maps:
                yield from self._added_maps(mine, child)
            elif self._ours.object(mine) != self._theirs.object(child):
                yield Clash(child.tokens, _kind_of(mine, child))

    def _settle_whole(self, delta: Delta, here: Spot | Gap) -> Iterator[_Outcome]:
        tokens, base, ours, theirs = delta.tokens, self._base, self._ours, self._theirs
        strays = _strays(delta, here)
        if strays is not None:
            yield Clash(strays, "container")
        elif isinstance(here, Gap):
            blocked = _blocked(base, here)
            if blocked is not None:
                yield Clash(blocked, "container")
            elif delta.new is not None and delta.old is None:
                yield Operation(Op.SET, tokens, theirs.carried(delta.new))
            elif delta.new is not None:
                yield Clash(tokens, _kind_of(delta.old, delta.new))
        elif delta.old is not None and base.object(delta.old) == ours.object(here):
            if delta.new is None:
                yield Operation(Op.DELETE, tokens)
            else:
                yield Operation(Op.SET, tokens, theirs.carried(delta.new))
        elif self._rules.counting and _all_lists(delta, here):
            yield from self._settle_list(tokens)
        elif delta.new is not None and theirs.object(delta.new) == ours.object(here):
            return
        elif not self._manual and _all_lists(delta, here):
            yield from self._settle_list(tokens)
        else:
            yield Clash(tokens, "list" if _all_lists(delta, here) else _kind_of(delta.old, delta.new, here))

    def _settle_list(self, tokens: Tokens) -> Iterator[_Outcome]:
        base, ours, theirs = (_item(state, tokens) for state in (self._base, self._ours, self._theirs))
        assert base is not None and ours is not None and theirs is not None, "BUG: all three are lists"
        try:
            merged = self._items().sequence(tokens, base, ours, theirs)
        except Unmergeable:
            yield Clash(tokens, "list")
            return
        yield from self._set(tokens, merged)


def _item(state: State, path: Tokens) -> Item | None:
    place = state.locate(path)
    return None if isinstance(place, Gap) else nest(state.tree.entries(place.rank, place.end))


def _newest(state: State, path: Tokens) -> int:
    """The seq of the newest change of a path; for one that is gone, of the keys of the container it was in."""
    place = state.locate(path)
    return place.deepest.entry.origin if isinstance(place, Gap) else state.tree.newest(place.rank, place.end)


def _strays(delta: Delta, here: Spot | Gap) -> Tokens | None:
    """The container at which a path leads elsewhere in ours: a key that looks like an index, in a list."""
    spot = delta.old or delta.new
    assert spot is not None, "BUG: a delta has a side"
    way = (here.deepest if isinstance(here, Gap) else here).entry.key
    if spot.entry.key.startswith(way):
        return None
    pairs = zip_longest(spot.entry.key.split(END), way.split(END))
    return delta.tokens[: next(depth for depth, (theirs, ours) in enumerate(pairs) if theirs != ours)]


def _blocked(base: State, gap: Gap) -> Tokens | None:
    """The container on the way to a changed path that ours removed or retyped; None when there is none."""
    deepest = gap.deepest
    if deepest.entry.kind != MAP:
        return deepest.tokens
    missing = gap.tokens[: len(deepest.tokens) + 1]
    if len(missing) < len(gap.tokens) and isinstance(base.locate(missing), Spot):
        return missing
    return None


def _alike(here: Spot, there: Spot) -> bool:
    """Whether the same container stands at a path: two lists or two maps, reached through the same."""
    return here.entry.key == there.entry.key and here.entry.kind == there.entry.kind


def _both_maps(here: Spot | Gap | None, there: Spot | Gap | None) -> bool:
    return isinstance(here, Spot) and isinstance(there, Spot) and here.entry.kind == there.entry.kind == MAP


def _all_lists(delta: Delta, here: Spot) -> bool:
    return all(side is not None and side.entry.kind == LIST for side in (delta.old, delta.new, here))


def _kind_of(*sides: Spot | None) -> str:
    return "scalar" if all(side is None or side.entry.kind == SCALAR for side in sides) else "container"
