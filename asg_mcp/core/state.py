"""A state: the document that one tree holds, read by path."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import NamedTuple

from asg_mcp.core.flat import KIND_NAMES, Held, Unreadable, flatten, marker, nest, scalar_value, value_of
from asg_mcp.core.ids import Id
from asg_mcp.core.limits import NEAREST_MAX
from asg_mcp.core.nodes import LIST, MAP, SCALAR, Blob, Entry, Hasher, NodeSource
from asg_mcp.core.paths import (
    APPEND,
    END,
    Tokens,
    depth_of,
    format_path,
    list_index,
    map_segment,
    unescape_segment,
)
from asg_mcp.core.tree import Tree
from asg_mcp.core.values import JsonValue, type_of
from asg_mcp.errors import AsgError, InvalidPath, PathNotFound, Withheld, WrongType

UNREADABLE_TYPE = "withheld"
"""In place of the type of a value that nobody can read any more."""
NEAREST_SCAN_MAX = 1_000
"""Children of a container that are looked at for names like the one that was not found."""


class Spot(NamedTuple):
    """A place that exists: the entry and the range of ranks at and below it."""

    tokens: Tokens
    entry: Entry
    rank: int
    end: int


class Gap(NamedTuple):
    """A place that does not exist: the deepest place on the way that does. tokens[len(deepest.tokens)] is missing."""

    tokens: Tokens
    deepest: Spot


class State:
    """Read access to one tree by path. Immutable."""

    __slots__ = ("tree",)

    def __init__(self, tree: Tree) -> None:
        self.tree = tree

    @classmethod
    def empty(cls, source: NodeSource, hasher: Hasher, origin: int) -> State:
        """The state that holds the empty map."""
        return cls(Tree.of(source, hasher, flatten({}, "", origin, hasher)))

    # --- navigation ---------------------------------------------------------

    def root(self) -> Spot:
        """The root, which is always a map."""
        return Spot((), self.tree.entry(0), 0, len(self.tree))

    def locate(self, tokens: Tokens) -> Spot | Gap:
        """Where a path leads, or how far it leads."""
        if not tokens:
            return self.root()
        # A path through maps alone is one search; whatever it does not find is looked for step by step.
        key = "".join([map_segment(token) for token in tokens])
        found = self.tree.find(key, 0, len(self.tree))
        if found is not None:
            rank, entry = found
            end = rank + 1 if entry.kind == SCALAR else self.tree.end_of(key, rank, len(self.tree))
            return Spot(tokens, entry, rank, end)
        spot = self.root()
        for index in range(len(tokens)):
            child = self.child(spot, tokens[index])
            if child is None:
                return Gap(tokens, spot)
            spot = child
        return spot

    def child(self, spot: Spot, token: str) -> Spot | None:
        """The child of a container that a token names, or None. A scalar has none."""
        tokens = (*spot.tokens, token)
        if spot.entry.kind == MAP:
            key = spot.entry.key + map_segment(token)
            found = self.tree.find(key, spot.rank + 1, spot.end)
            if found is None:
                return None
            rank, entry = found
            end = rank + 1 if entry.kind == SCALAR else self.tree.end_of(key, rank, spot.end)
            return Spot(tokens, entry, rank, end)
        if spot.entry.kind == LIST:
            index = list_index(token)
            return self.element(spot, index) if index is not None else None
        return None

    def element(self, spot: Spot, index: int) -> Spot | None:
        """The element of a list at this index, or None past the end."""
        depth, before = self._element_base(spot)
        length = self.tree.elements_before(spot.end, depth) - before
        if index >= length:
            return None
        rank = self.tree.element_rank(before + index, depth)
        end = spot.end if index + 1 == length else self.tree.element_rank(before + index + 1, depth)
        return Spot((*spot.tokens, str(index)), self.tree.entry(rank), rank, end)

    def element_at(self, spot: Spot, rank: int) -> Spot:
        """The element of a list that holds this rank, which must lie below the list."""
        depth, before = self._element_base(spot)
        element = self.element(spot, self.tree.elements_before(rank + 1, depth) - before - 1)
        assert element is not None, "BUG: what is below a list is in one of its elements"
        return element

    def length(self, spot: Spot) -> int:
        """The number of elements of a list."""
        depth, before = self._element_base(spot)
        return self.tree.elements_before(spot.end, depth) - before

    def _element_base(self, spot: Spot) -> tuple[int, int]:
        depth = depth_of(spot.entry.key) + 1
        return depth, self.tree.elements_before(spot.rank + 1, depth)

    def children(self, spot: Spot, start: int | None = None) -> Iterator[Spot]:
        """The children of a container in order, from the child at rank `start` on.

        O(log n) for each container among them, O(1) for each scalar of a run.
        """
        rank = spot.rank + 1 if start is None else start
        is_map, prefix, index = spot.entry.kind == MAP, len(spot.entry.key), 0
        if not is_map:
            depth, before = self._element_base(spot)
            index = self.tree.elements_before(rank, depth) - before
        while rank < spot.end:
            for entry in self.tree.entries(rank, spot.end):
                token = unescape_segment(entry.key[prefix : -len(END)]) if is_map else str(index)
                end = rank + 1
                if entry.kind != SCALAR:
                    end = self._child_end(spot, entry, rank, index)
                yield Spot((*spot.tokens, token), entry, rank, end)
                rank, index = end, index + 1
                if entry.kind != SCALAR:
                    break

    def _child_end(self, spot: Spot, entry: Entry, rank: int, index: int) -> int:
        if spot.entry.kind == MAP:
            return self.tree.end_of(entry.key, rank, spot.end)
        element = self.element(spot, index)
        assert element is not None, "BUG: an element that was met can be found"
        return element.end

    # --- reading ------------------------------------------------------------

    def spot(self, tokens: Tokens) -> Spot:
        """The place of a path. Raises PathNotFound, WrongType or InvalidPath, naming what is there instead."""
        place = self.locate(tokens)
        if isinstance(place, Gap):
            raise self.missing(place)
        return place

    def value(self, spot: Spot, unreadable: Unreadable | None = None) -> JsonValue:
        """The whole value at a place. Raises Withheld where a part was erased, unless told what to take for it."""
        if spot.entry.kind == SCALAR:
            return scalar_value(spot.entry, self.tree.source, unreadable)
        return value_of(nest(self.tree.entries(spot.rank, spot.end)), self.tree.source, unreadable)

    def carried(self, spot: Spot) -> JsonValue:
        """The same for another state of this store: what was erased goes along as what it is."""
        return self.value(spot, Held.of_blob)

    def shown(self, spot: Spot) -> JsonValue:
        """The same for people and agents: a marker stands in the place of what was erased."""
        return self.value(spot, marker)

    def type_name(self, spot: Spot) -> str:
        """null, bool, int, float, string, list or map; withheld where nobody can read it."""
        return self.entry_type(spot.entry)

    def entry_type(self, entry: Entry) -> str:
        """The same of an entry. A value of a sensitive prefix is opened for it: any may be stored apart there."""
        value = entry.value
        if type(value) is not Blob or value.erased or self.tree.hasher.classes.of_key(entry.key) is None:
            return entry_type(entry)
        try:
            return type_of(scalar_value(entry, self.tree.source))
        except Withheld:
            return UNREADABLE_TYPE

    def object(self, spot: Spot) -> Id:
        """The id of the content at a place: a value id, or the root of the canonical tree below it."""
        value_id = self.tree.hasher.value_id(spot.entry)
        return value_id if value_id is not None else self.tree.range_id(spot.rank, spot.end)

    def missing(self, gap: Gap) -> AsgError:
        """The error for a path that does not exist, with the nearest that do."""
        deepest, path = gap.deepest, format_path(gap.tokens)
        token = gap.tokens[len(deepest.tokens)]
        here = format_path(deepest.tokens)
        kind = self.type_name(deepest)
        if deepest.entry.kind == SCALAR:
            return WrongType(
                f"{path} leads through {here}, which is a {kind}",
                hint=f"Read {here}; to put something below it, set {here} to a map first.",
                path=path,
                at=here,
                type=kind,
            )
        if deepest.entry.kind == LIST:
            length = self.length(deepest)
            if list_index(token) is None and token != APPEND:
                return InvalidPath(
                    f"{here} is a list, and {token!r} is not an index",
                    hint=f"Use an index from 0 to {length - 1}, or - to append." if length else "Use - to append.",
                    path=path,
                    at=here,
                )
            return PathNotFound(
                f"{path} does not exist: {here} has {length} elements",
                hint=f"Indexes run from 0 to {length - 1}." if length else "The list is empty; append with -.",
                path=path,
                nearest=here,
                length=length,
            )
        names = [child.tokens[-1] for child in islice(self.children(deepest), NEAREST_SCAN_MAX)]
        close = get_close_matches(token, names, n=NEAREST_MAX, cutoff=0.6)
        nearest = [format_path((*deepest.tokens, name)) for name in close or names[:NEAREST_MAX]]
        if close:
            hint = f"Did you mean {nearest[0]}?"
        elif names:
            hint = f"{here} has {', '.join(nearest)}" + (" and more." if len(names) > NEAREST_MAX else ".")
        else:
            hint = f"{here} is an empty map."
        return PathNotFound(f"{path} does not exist", hint=hint, path=path, nearest=nearest or [here])


def entry_type(entry: Entry) -> str:
    """The type name of an entry's value, which is not below a sensitive prefix; see `State.entry_type`."""
    if entry.kind != SCALAR:
        return KIND_NAMES[entry.kind]
    value = entry.value
    if type(value) is not Blob:
        return type_of(value)
    return UNREADABLE_TYPE if value.erased else "string"
