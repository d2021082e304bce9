"""A walk along a schema and two states at once, to what a write changed.

From the root down, keywords that judge the keys of a value, or one child alone, are applied to the keys and children
that differ. A value is read as a whole where it is new, and where a keyword judges it as a whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from asg_mcp.core.diff import Delta, common_run, deltas, element_deltas, elements, list_deltas
from asg_mcp.core.flat import Equality
from asg_mcp.core.limits import COUNT_AHEAD_MAX
from asg_mcp.core.mergerules import META_ROOT, SCHEMA_ROOT
from asg_mcp.core.nodes import LIST, MAP, SCALAR
from asg_mcp.core.paths import Tokens, is_within
from asg_mcp.core.state import Spot, State
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import Withheld
from asg_mcp.repo.schemarun import REFERENCES, Meter, Schema, not_allowed
from asg_mcp.repo.stateschema import StateSchema, Violation

NOT_VALIDATED = frozenset((SCHEMA_ROOT, META_ROOT, "plans"))
"""Roots that the schema does not see."""
_AS_A_WHOLE = frozenset(
    (
        *("anyOf", "oneOf", "not", "if", "const", "enum", "contains", "uniqueItems"),
        *("unevaluatedItems", "unevaluatedProperties", "dependentSchemas"),
    )
)
"""Keywords whose verdict on a container depends on more than its keys, their number, or one child."""


def changed_places(before: State, after: State, changed: Iterable[Tokens]) -> list[Tokens]:
    """The changed paths as far as both states lead through maps, none below another, in order."""
    found: list[Tokens] = []
    for path in sorted({min(_before_list(before, path), _before_list(after, path), key=len) for path in changed}):
        if not found or not is_within(path, found[-1]):
            found.append(path)
    return found


def _before_list(state: State, path: Tokens) -> Tokens:
    """A path up to the first list on it: further down, indexes of one operation are not those of another."""
    spot: Spot | None = state.root()
    for depth, token in enumerate(path):
        if spot is None or spot.entry.kind == LIST:
            return path if spot is None else path[:depth]
        spot = state.child(spot, token)
    return path


@dataclass(slots=True)
class _Changed:
    """A place at or below which something changed, and where below it, as far as maps lead."""

    below: dict[str, _Changed] = field(default_factory=dict)

    @classmethod
    def by(cls, found: Iterable[Delta], depth: int = 0) -> _Changed:
        """The changes as a tree, from the tokens at `depth` on."""
        root = cls()
        for delta in found:
            place = root
            for token in delta.tokens[depth:]:
                place = place.below.setdefault(token, cls())
        return root


class _Enough(Exception):
    """As many violations were found as are told."""


class Walk:
    """One validation of a state against another. It adds to `found`, paths from the root, at most COUNT_AHEAD_MAX."""

    def __init__(self, schema: StateSchema, before: State, after: State) -> None:
        self.found: list[Violation] = []
        self._schema = schema
        self._before = before
        self._after = after
        self._meter = Meter()

    def everything(self) -> None:
        """Validate the whole state."""
        with suppress(_Enough):
            self._whole(self._schema.root, None, self._after.root())

    def differences(self, places: Sequence[Tokens]) -> None:
        """Validate what differs at or below these paths."""
        changed = _Changed.by(delta for path in places for delta in deltas(self._before, self._after, path))
        for token in NOT_VALIDATED:
            changed.below.pop(token, None)
        if changed.below:
            with suppress(_Enough):
                self._inside(self._schema.root, self._before.root(), self._after.root(), changed)

    def _tell(self, path: Tokens, message: str, schema: Schema, keyword: str) -> None:
        place = self._schema.path_of(schema)
        self._add(Violation(path, message, f"{place}/{keyword}" if place else ""))

    def _add(self, violation: Violation) -> None:
        if violation not in self.found:
            self.found.append(violation)
        if len(self.found) >= COUNT_AHEAD_MAX:
            raise _Enough

    # --- a container that stayed one, changed below ------------------------------

    def _inside(self, schema: Schema, old: Spot, new: Spot, changed: _Changed) -> None:
        self._meter.take()
        if schema is True:
            return
        if schema is False or not schema.keys().isdisjoint(_AS_A_WHOLE):
            self._whole(schema, old, new)
            return
        for word in REFERENCES:
            if word in schema:
                self._inside(self._schema.target(schema[word]), old, new, changed)
        for below in schema.get("allOf", ()):
            self._inside(below, old, new, changed)
        if new.entry.kind == MAP:
            self._map(schema, old, new, changed)
        else:
            self._list(schema, old, new)

    def _child(self, schema: Schema, old: Spot | None, new: Spot, changed: _Changed) -> None:
        if old is not None and old.entry.kind == new.entry.kind != SCALAR:
            self._inside(schema, old, new, changed)
        else:
            self._whole(schema, None, new)

    def _map(self, schema: Any, old: Spot, new: Spot, changed: _Changed) -> None:
        came: dict[str, None] = {}
        went: set[str] = set()
        for token, below in changed.below.items():
            child_old, child = self._before.child(old, token), self._after.child(new, token)
            if child is None:
                went.add(token)
                continue
            if child_old is None:
                came[token] = None
            for word, said in self._schema.described(schema, token):
                self._meter.take()
                if said is False and word == "additionalProperties":
                    self._tell(child.tokens, not_allowed(token), schema, word)
                else:
                    self._child(said, child_old, child, below)
        if came or went:
            self._keys(schema, new, came, went)

    def _keys(self, schema: Any, new: Spot, came: dict[str, None], went: set[str]) -> None:
        """The keywords about keys, of a map that got and lost some."""
        for key in schema.get("required", ()):
            if key in went:
                self._tell(new.tokens, f"{key!r} is a required property", schema, "required")
        for key, needed in schema.get("dependentRequired", {}).items():
            missed = [name for name in needed if (key in came or name in went) and not self._has(new, name)]
            if missed and self._has(new, key):
                self._tell(new.tokens, f"{missed[0]!r} is a dependency of {key!r}", schema, "dependentRequired")
        for key in came if "propertyNames" in schema else ():
            for found in self._schema.violations(schema["propertyNames"], key, self._meter):
                self._add(Violation(new.tokens, f"the key {key!r}: {found.message}", found.schema_path))
        most, least = schema.get("maxProperties"), schema.get("minProperties")
        if came and most is not None and self._count(new, most + 1) > most:
            self._tell(new.tokens, f"it has more than {most} keys", schema, "maxProperties")
        if went and least is not None and self._count(new, least) < least:
            self._tell(new.tokens, f"it has fewer than {least} keys", schema, "minProperties")

    def _has(self, spot: Spot, key: str) -> bool:
        self._meter.take()
        return self._after.child(spot, key) is not None and not _hidden(spot, key)

    def _count(self, spot: Spot, most: float) -> int:
        """The number of keys of a map, counted up to `most`."""
        count = 0
        for child in self._after.children(spot):
            self._meter.read(1)
            count += not _hidden(spot, child.tokens[-1])
            if count >= most:
                break
        return count

    # --- lists -----------------------------------------------------------------------

    def _list(self, schema: Any, old: Spot, new: Spot) -> None:
        length_old, length = self._before.length(old), self._after.length(new)
        if length > length_old and length > schema.get("maxItems", length):
            self._tell(new.tokens, f"it has {length} elements, more than {schema['maxItems']}", schema, "maxItems")
        if length < length_old and length < schema.get("minItems", 0):
            self._tell(new.tokens, f"it has {length} elements, fewer than {schema['minItems']}", schema, "minItems")
        if "items" not in schema and "prefixItems" not in schema:
            return
        if length == length_old:
            pairs: Iterable[tuple[int | None, int]] = self._in_place(old, new)
        else:
            pairs = self._resized(old, new, length_old, length, len(schema.get("prefixItems", ())))
        for index_old, index in pairs:
            self._element(schema, old, new, index_old, index)

    def _element(self, schema: Any, old: Spot, new: Spot, index_old: int | None, index: int) -> None:
        first = schema.get("prefixItems", ())
        said = first[index] if index < len(first) else schema.get("items", True)
        element = self._after.element(new, index)
        assert element is not None, "BUG: the index is one of the list"
        element_old = None if index_old is None else self._before.element(old, index_old)
        if index_old != index:
            self._whole(said, element_old, element)
        else:
            found = deltas(self._before, self._after, element.tokens)
            self._child(said, element_old, element, _Changed.by(found, len(element.tokens)))

    def _in_place(self, old: Spot, new: Spot) -> Iterator[tuple[int, int]]:
        last = -1
        for delta in element_deltas(self._before, self._after, old, new):
            index = int(delta.tokens[len(new.tokens)])
            if index != last:
                yield index, index
            last = index

    def _resized(
        self, old: Spot, new: Spot, length_old: int, length: int, firsts: int
    ) -> Iterator[tuple[int | None, int]]:
        """The elements to look at in a list that became longer or shorter, with the old ones they stand for."""
        a, b = self._before, self._after
        most = min(old.end - old.rank, new.end - new.rank) - 1
        run = common_run(a.tree, old.rank + 1, b.tree, new.rank + 1, most)
        start = min(
            length_old if old.rank + 1 + run >= old.end else int(a.element_at(old, old.rank + 1 + run).tokens[-1]),
            length if new.rank + 1 + run >= new.end else int(b.element_at(new, new.rank + 1 + run).tokens[-1]),
        )
        grown = length - length_old
        shifted = abs(grown)
        if self._same_tail(old, new, start + max(-grown, 0), start + max(grown, 0)):
            yield from ((None, index) for index in range(start, start + max(grown, 0)))
            moved_to = range(start + max(grown, 0), min(length, firsts + shifted))
        else:
            yield from self._aligned(old, new)
            moved_to = range(start, length if firsts else 0)
        if start < firsts:  # what stands elsewhere than before is judged by another subschema there
            yield from ((None, index) for index in moved_to)

    def _same_tail(self, old: Spot, new: Spot, index_old: int, index: int) -> bool:
        one, other = self._before.element(old, index_old), self._after.element(new, index)
        if one is None or other is None:
            return one is other
        size = old.end - one.rank
        if size != new.end - other.rank:
            return False
        return common_run(self._before.tree, one.rank, self._after.tree, other.rank, size) >= size

    def _aligned(self, old: Spot, new: Spot) -> Iterator[tuple[int | None, int]]:
        self._meter.read(old.end - old.rank + new.end - new.rank)
        number = Equality().number
        left, right = elements(self._before, old), elements(self._after, new)  # kept: they are numbered by identity
        for found in list_deltas([*map(number, left)], [*map(number, right)]):
            if found.new_index is not None and not found.moved:
                yield found.old_index, found.new_index

    # --- a whole value -----------------------------------------------------------------

    def _whole(self, schema: Schema, old: Spot | None, new: Spot) -> None:
        """Validate a value as a whole. What was wrong in the same way before is not held against the write."""
        found = self._violations(schema, self._after, new)
        if found and old is not None and old.entry.kind == new.entry.kind != SCALAR:
            known = set(self._violations(schema, self._before, old))
            found = [item for item in found if item not in known]
        for item in found:
            self._add(Violation((*new.tokens, *item.path), item.message, item.schema_path))

    def _violations(self, schema: Schema, state: State, spot: Spot) -> list[Violation]:
        if not self._schema.demands(schema):
            return []
        try:
            value = self._value(state, spot) if spot.tokens else self._document(state)
        except Withheld:
            return []  # what was erased cannot be judged, and whoever writes beside it cannot help that
        return self._schema.violations(schema, value, self._meter)

    def _value(self, state: State, spot: Spot) -> JsonValue:
        self._meter.read(spot.end - spot.rank)
        return state.value(spot)

    def _document(self, state: State) -> dict[str, JsonValue]:
        """The root as the schema sees it."""
        found = [child for child in state.children(state.root()) if child.tokens[0] not in NOT_VALIDATED]
        return {child.tokens[0]: self._value(state, child) for child in found}


def _hidden(spot: Spot, key: str) -> bool:
    return not spot.tokens and key in NOT_VALIDATED
