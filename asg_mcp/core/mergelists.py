"""What is merged as a value: lists, what is in them, and paths under a rule.

A list that both sides changed is merged as a sequence, chunk by chunk (diff3: Khanna, Kunal and Pierce, FSTTCS 2007),
never by index; under a rule, as the rule says. All items are of one store, so values may come from any side.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

from asg_mcp.core.flat import Equality, Held, Item, scalar_value, value_of
from asg_mcp.core.limits import INT_MAX, INT_MIN
from asg_mcp.core.lists import align
from asg_mcp.core.mergerules import COUNTING, Rule, Rules
from asg_mcp.core.nodes import LIST, MAP, SCALAR, NodeSource
from asg_mcp.core.operations import ABSENT, Absent
from asg_mcp.core.paths import APPEND, END, Tokens, map_segment, unescape_segment
from asg_mcp.core.values import JsonValue, checked
from asg_mcp.errors import LimitExceeded


class Unmergeable(Exception):
    """The two sides contradict each other: somebody has to choose."""


class _Inapplicable(Unmergeable):
    """The rule has no meaning for what is there, which does not matter where both sides did the same."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What the three states hold at one path; None is nothing."""

    base: Item | None
    ours: Item | None
    theirs: Item | None


class ItemMerge:
    """One merge of items under the rules of a schema."""

    def __init__(self, source: NodeSource, rules: Rules) -> None:
        self._source = source
        self._rules = rules
        self._number = Equality().number

    # --- by structure ---------------------------------------------------------

    def sequence(self, path: Tokens, base: Item, ours: Item, theirs: Item) -> list[JsonValue]:
        """The merged list, the built-in way. Raises Unmergeable where changes overlap and differ."""
        in_b, in_o, in_t = ([*map(self._number, side.children)] for side in (base, ours, theirs))
        out: list[JsonValue] = []
        for (b0, b1), (o0, o1), (t0, t1) in _chunks(in_b, in_o, in_t):
            chunk_b, chunk_o, chunk_t = in_b[b0:b1], in_o[o0:o1], in_t[t0:t1]
            # As many elements on every side: they stand for each other in their places.
            in_place = len(chunk_b) == len(chunk_o) == len(chunk_t)
            if chunk_t == chunk_b or (chunk_t == chunk_o and not (in_place and self._rules.counting)):
                out += [value_of(item, self._source, Held.of_blob) for item in ours.children[o0:o1]]
            elif chunk_o == chunk_b:
                out += [value_of(item, self._source, Held.of_blob) for item in theirs.children[t0:t1]]
            elif in_place:
                for k in range(len(chunk_b)):
                    sides = Sides(base.children[b0 + k], ours.children[o0 + k], theirs.children[t0 + k])
                    out += self._present(self._settle((*path, str(b0 + k)), sides, (ours, theirs)))
            else:
                raise Unmergeable
        return out

    def _settle(self, path: Tokens, sides: Sides, around: tuple[Item, Item]) -> JsonValue | Absent:
        """One element or field: one side's, or both merged. `around` is the container of ours and of theirs."""
        base, ours, theirs = sides.base, sides.ours, sides.theirs
        in_b, in_o, in_t = (None if side is None else self._number(side) for side in (base, ours, theirs))
        if in_t == in_b or (in_t == in_o and not self._rules.counting):
            return self._value(ours)
        if in_o == in_b:
            return self._value(theirs)
        maps = _are(MAP, ours, theirs)
        rule = self._rules.at(path)
        if rule is Rule.LAST_WRITER_WINS and in_o != in_t:
            return self._last_writers(sides, around)
        if rule is not None and not (maps and rule is Rule.UNION):
            return self.ruled(rule, path, sides)
        if maps and _are(MAP, base or ours):
            return self._fields(path, sides)
        if _are(LIST, base, ours, theirs):
            assert base is not None and ours is not None and theirs is not None, "BUG: all three are lists"
            return self.sequence(path, base, ours, theirs)
        if in_o == in_t:
            return self._value(ours)
        raise Unmergeable

    def _fields(self, path: Tokens, sides: Sides) -> JsonValue:
        """Maps, key by key."""
        ours, theirs = sides.ours, sides.theirs
        assert ours is not None and theirs is not None, "BUG: both are maps"
        in_base = {} if sides.base is None else sides.base.children
        out: dict[str, JsonValue] = {}
        for segment in {**in_base, **ours.children, **theirs.children}:
            name = unescape_segment(segment[: -len(END)])
            below = Sides(*(held.get(segment) for held in (in_base, ours.children, theirs.children)))
            value = self._settle((*path, name), below, (ours, theirs))
            if not isinstance(value, Absent):
                out[name] = value
        return out

    def _value(self, item: Item | None) -> JsonValue | Absent:
        return ABSENT if item is None else value_of(item, self._source, Held.of_blob)

    def _scalar(self, item: Item | None) -> JsonValue:
        """The value of a scalar; None for all else. What was erased is of no type that a rule could work on."""
        if item is None or item.entry.kind != SCALAR:
            return None
        return scalar_value(item.entry, self._source, Held.of_blob)

    def _present(self, value: JsonValue | Absent) -> list[JsonValue]:
        return [] if isinstance(value, Absent) else [value]

    # --- by rule --------------------------------------------------------------

    def ruled(self, rule: Rule, path: Tokens, sides: Sides) -> JsonValue | Absent:
        """The value of a path under a rule, where both sides differ from the base. Raises Unmergeable."""
        agreed = self._same(sides.ours, sides.theirs)
        twice = rule in COUNTING or (rule is Rule.UNION_BY_ID and self._rules.counting)
        if agreed and not twice:
            return self._value(sides.ours)
        try:
            if rule in (Rule.SUM, Rule.MAX, Rule.MIN):
                return self._numbers(rule, sides)
            if rule is Rule.CONCAT:
                return self._concatenated(sides)
            if rule is Rule.UNION:
                return self._union(sides)
            if rule is Rule.UNION_BY_ID:
                return self._union_by_id(path, sides)
            raise Unmergeable  # manual; and the last writer is known where the sides are
        except _Inapplicable:
            if agreed:
                return self._value(sides.ours)
            raise

    def _same(self, left: Item | None, right: Item | None) -> bool:
        if left is None or right is None:
            return left is right
        return self._number(left) == self._number(right)

    def _last_writers(self, sides: Sides, around: tuple[Item, Item]) -> JsonValue | Absent:
        """The side with the newest change. A deletion is as old as the last change of the container's keys."""
        seqs = [
            marked.entry.origin if side is None else _newest(side)
            for side, marked in zip((sides.ours, sides.theirs), around, strict=True)
        ]
        if seqs[0] == seqs[1]:
            raise Unmergeable
        return self._value(sides.ours if seqs[0] > seqs[1] else sides.theirs)

    def _numbers(self, rule: Rule, sides: Sides) -> JsonValue:
        ours, theirs = self._number_at(sides.ours), self._number_at(sides.theirs)
        if rule is not Rule.SUM:
            if ours == theirs:  # 1 and 1.0: it must not matter which side is ours
                return ours if type(ours) is int else theirs
            return max(ours, theirs) if rule is Rule.MAX else min(ours, theirs)
        base = 0 if sides.base is None else self._number_at(sides.base)
        total = Fraction(ours) + Fraction(theirs) - Fraction(base)  # exact, so that the order does not matter
        if type(ours) is type(theirs) is type(base) is int:
            if not INT_MIN <= total <= INT_MAX:
                raise Unmergeable
            return int(total)
        try:
            return float(total)
        except OverflowError:
            raise Unmergeable from None

    def _number_at(self, item: Item | None) -> int | float:
        value = self._scalar(item)
        if type(value) is int or type(value) is float:
            return value
        raise _Inapplicable

    def _concatenated(self, sides: Sides) -> JsonValue:
        """Ours, then what theirs added to the base. Both have to begin with the base."""
        base, ours, theirs = sides.base, sides.ours, sides.theirs
        if _are(LIST, ours, theirs, base or ours):
            assert ours is not None and theirs is not None, "BUG: both are lists"
            known = [] if base is None else [*map(self._number, base.children)]
            for side in (ours, theirs):
                if [*map(self._number, side.children[: len(known)])] != known:
                    raise _Inapplicable
            items = [*ours.children, *theirs.children[len(known) :]]
            return [value_of(item, self._source, Held.of_blob) for item in items]
        text = "" if base is None else self._text(base)
        mine, other = self._text(ours), self._text(theirs)
        if not (mine.startswith(text) and other.startswith(text)):
            raise _Inapplicable
        try:
            return checked(mine + other[len(text) :])
        except LimitExceeded:
            raise Unmergeable from None

    def _text(self, item: Item | None) -> str:
        value = self._scalar(item)
        if isinstance(value, str):
            return value
        raise _Inapplicable

    def _union(self, sides: Sides) -> JsonValue:
        """Lists as sets: ours, then what theirs has besides; what one side took away is gone."""
        base, ours, theirs = self._lists(sides)
        in_b, in_t = ({*map(self._number, side)} for side in (base, theirs))
        kept: dict[int, Item] = {}
        for item in ours:
            number = self._number(item)
            if number in in_t or number not in in_b:
                kept.setdefault(number, item)
        for item in theirs:
            if self._number(item) not in in_b:
                kept.setdefault(self._number(item), item)
        return [value_of(item, self._source, Held.of_blob) for item in kept.values()]

    def _lists(self, sides: Sides) -> tuple[list[Item], list[Item], list[Item]]:
        """The elements of each side; a missing base has none."""
        base, ours, theirs = sides.base, sides.ours, sides.theirs
        if not _are(LIST, ours, theirs, base or ours):
            raise _Inapplicable
        assert ours is not None and theirs is not None, "BUG: both are lists"
        return ([] if base is None else base.children), ours.children, theirs.children

    def _union_by_id(self, path: Tokens, sides: Sides) -> JsonValue:
        """The maps of ours, then those that theirs has besides, each merged with its counterparts."""
        name = self._rules.id_key(path)
        base, ours, theirs = (self._by_id(items, name) for items in self._lists(sides))
        assert sides.ours is not None and sides.theirs is not None, "BUG: both are lists"
        # The index in the base is the same for both sides; what is new has none.
        index = {number: str(at) for at, number in enumerate(base)}
        out: list[JsonValue] = []
        for number in {**ours, **theirs}:
            below = Sides(base.get(number), ours.get(number), theirs.get(number))
            element = (*path, index.get(number, APPEND))
            out += self._present(self._settle(element, below, (sides.ours, sides.theirs)))
        return out

    def _by_id(self, items: list[Item], name: str) -> dict[int, Item]:
        found: dict[int, Item] = {}
        for item in items:
            given = item.children.get(map_segment(name)) if item.entry.kind == MAP else None
            if given is None or given.entry.kind != SCALAR or given.entry.value is None:
                raise _Inapplicable
            if found.setdefault(self._number(given), item) is not item:
                raise _Inapplicable
        return found


def _are(kind: int, *sides: Item | None) -> bool:
    return all(side is not None and side.entry.kind == kind for side in sides)


def _newest(item: Item) -> int:
    return max([item.entry.origin, *map(_newest, item.below())])


_Range = tuple[int, int]


def _chunks(base: list[int], ours: list[int], theirs: list[int]) -> Iterator[tuple[_Range, _Range, _Range]]:
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
