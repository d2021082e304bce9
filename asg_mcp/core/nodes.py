"""Tree nodes: entries, leaves, branches, and how they are hashed.

A leaf is hashed as [0, [[key, kind, value id or null], …]] and a branch as
[height, [link, …]] (DAG-CBOR). Values, origins, counts and row ids are stored
beside the hashed bytes, never in them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from copy import copy
from itertools import accumulate
from typing import Any, Final, Protocol, final

from blake3 import blake3

from asg_mcp.core.classes import ValueClasses
from asg_mcp.core.commitments import ValueIdMaker
from asg_mcp.core.ids import NodeId, ValueId
from asg_mcp.core.limits import BRANCH_BOUNDARY_ONE_IN, LEAF_BOUNDARY_ONE_IN
from asg_mcp.core.paths import ELEMENT, depth_of
from asg_mcp.core.values import encode

SCALAR, MAP, LIST = 0, 1, 2
"""Kinds of an entry: a scalar, or the marker of a container, whose entries follow it."""

NOTHING: Final = object()
"""The value of a blob that has none any more, or never had one here; None is a null."""
LEVEL_MAX = 16
"""More levels than a tree of 2^63 entries can have."""


@final
class Blob:
    """A value that is not in the entry: kept in a row of its own, or erased.

    `row` is 0 until it is stored; `value` is there only before that. An erased
    value has neither: its id is all that is left. `group` is the name of the class
    that it will be sealed in, "" for none; see `core.classes`.

    `erased_after` tells of an erased value since when it is one, for replaying what
    was done before: the seq of the last commit that found it whole in its entry; 0 for
    one that was kept in a row, which compares by its id, erased or not; None where
    nothing tells, as an earlier program erased it.
    """

    __slots__ = ("erased_after", "group", "id", "row", "value")

    def __init__(
        self, value_id: ValueId, row: int, value: Any = NOTHING, group: str = "", erased_after: int | None = None
    ) -> None:
        self.id = value_id
        self.row = row
        self.value = value
        self.group = group
        self.erased_after = erased_after

    @property
    def erased(self) -> bool:
        return self.row == 0 and self.value is NOTHING


class Entry:
    """One path of the state: a scalar with its value, or the marker of a container.

    Never changed once made, but for the two cached hashes; nodes share entries,
    and an entry kept by a change is the same object before and after it.
    """

    __slots__ = ("key", "kind", "level", "origin", "value", "value_id")

    def __init__(self, key: str, kind: int, value: Any, origin: int) -> None:
        self.key = key
        self.kind = kind
        self.value = value
        self.origin = origin
        self.value_id: ValueId | None = value.id if type(value) is Blob else None
        self.level = -1

    def with_origin(self, origin: int) -> Entry:
        """The same content, changed last by another commit."""
        twin = Entry(self.key, self.kind, self.value, origin)
        twin.value_id, twin.level = self.value_id, self.level
        return twin


class Link:
    """A child of a branch: where it is stored and what a search needs to know without opening it."""

    __slots__ = ("count", "elements", "id", "last_key", "level", "newest", "node", "row")

    def __init__(
        self,
        node_id: NodeId,
        row: int,
        last_key: str,
        count: int,
        elements: dict[int, int],
        level: int,
        newest: int,
        node: Leaf | Branch | None = None,
    ) -> None:
        self.id = node_id
        self.row = row
        """Row id of the stored node; 0 while it is only in memory, in `node`."""
        self.last_key = last_key
        self.count = count
        """Entries below."""
        self.elements = elements
        """How many list elements of each depth are below, for finding the n-th."""
        self.level = level
        """Level of the last entry: whether a branch may close here."""
        self.newest = newest
        """The largest origin below."""
        self.node = node


class Stored:
    """A stored node: its row, the depth of its delta chain, and its items."""

    __slots__ = ("depth", "full", "items", "row")

    def __init__(self, row: int, depth: int, items: Sequence[Any], full: Stored | None = None) -> None:
        self.row = row
        self.depth = depth
        """How many delta rows lie between this row and a full one."""
        self.items = items
        self.full = full
        """The full row at the end of a branch's delta chain; None for a full row, and for a leaf."""


@final
class Leaf:
    """Entries in order."""

    __slots__ = ("items", "keys", "link", "stored")
    height = 0

    def __init__(self, items: list[Entry], stored: Stored | None = None) -> None:
        self.items = items
        self.keys = [entry.key for entry in items]
        self.stored = stored
        """Where this node is stored; while it is not, where the node is that it was made from."""
        self.link: Link | None = None
        """The link to this node, once it is stored and somebody has made one."""

    def with_item(self, place: int, entry: Entry) -> Leaf:
        """A twin with another entry of the same key at a place."""
        twin = Leaf.__new__(Leaf)
        twin.items, twin.keys, twin.stored, twin.link = [*self.items], self.keys, self.stored, None
        twin.items[place] = entry
        return twin


@final
class Branch:
    """Links to nodes of the height below, in order."""

    __slots__ = ("height", "items", "keys", "link", "starts", "stored")

    def __init__(self, height: int, items: list[Link], stored: Stored | None = None) -> None:
        self.height = height
        self.items = items
        self.keys = [link.last_key for link in items]
        self.starts = [0, *accumulate(link.count for link in items)]
        """The rank, inside this node, of each child's first entry; one more at the end."""
        self.stored = stored
        self.link: Link | None = None
        """See Leaf."""

    def with_item(self, place: int, link: Link) -> Branch:
        """A twin with another link of the same last key and count at a place."""
        twin = Branch.__new__(Branch)
        twin.height, twin.items, twin.keys, twin.starts = self.height, [*self.items], self.keys, self.starts
        twin.stored, twin.link = self.stored, None
        twin.items[place] = link
        return twin

    def child_at(self, rank: int) -> int:
        """The index of the child that holds this rank (of this node)."""
        return bisect_right(self.starts, rank) - 1


Node = Leaf | Branch


class NodeSource(Protocol):
    """Where stored nodes come from."""

    def load(self, row: int) -> Node:
        """The node stored under this row id.

        Raises StoreCorrupt when the row is missing or not what was written.
        """
        ...

    def blob(self, row: int) -> Any:
        """The value stored in this row of its own. Raises StoreCorrupt likewise."""
        ...


class Hasher:
    """The rules of one store: its class key makes value ids, its salt makes levels."""

    def __init__(self, class_key: bytes, level_salt: bytes, pins: bytes = b"") -> None:
        self.value_ids = ValueIdMaker(class_key, pins)
        self.classes = ValueClasses()
        self._level_salt = level_salt

    @property
    def level_salt(self) -> bytes:
        """What levels are made with: whoever knows it can choose keys that make one huge node."""
        return self._level_salt

    def for_replay(self) -> Hasher:
        """The same rules without classes: they bind what is written now, never what was written before them."""
        twin = copy(self)
        twin.classes = ValueClasses()
        return twin

    def ids_of(self, group: str) -> ValueIdMaker:
        """What makes the ids of the values of a class; of the store's own for "".

        Raises Withheld when the key of the class is not there.
        """
        return self.classes.value_ids(group) if group else self.value_ids

    def value_id(self, entry: Entry) -> ValueId | None:
        """The id of a scalar entry's value; None for a container's marker."""
        if entry.kind != SCALAR:
            return None
        if entry.value_id is None:
            entry.value_id = self.value_ids.of(entry.value)
        return entry.value_id

    def level(self, entry: Entry) -> int:
        """How many heights of nodes may close behind this entry.

        It comes from a hash of the key under the store's salt, so that nobody who
        lacks the salt can choose keys that make one huge node, and a change of
        value moves no boundary. Elements of a list share their keys, so below a
        list the value has a say too.
        """
        if entry.level < 0:
            data = entry.key.encode()
            if ELEMENT in entry.key:
                data += b"\xff" + (self.value_id(entry) or bytes((entry.kind,)))
            number = int.from_bytes(blake3(data, key=self._level_salt).digest(8), "big")
            number, rest = divmod(number, LEAF_BOUNDARY_ONE_IN)
            level = 0
            while rest == 0 and level < LEVEL_MAX:
                level += 1
                number, rest = divmod(number, BRANCH_BOUNDARY_ONE_IN)
            entry.level = level
        return entry.level

    def leaf_id(self, entries: Sequence[Entry]) -> NodeId:
        """The id of a leaf with these entries."""
        for entry in entries:
            if entry.value_id is None and entry.kind == SCALAR:
                self.value_id(entry)
        return NodeId.of(encode([0, [[entry.key, entry.kind, entry.value_id] for entry in entries]]))

    def node_id(self, node: Node) -> NodeId:
        """The id of any node, from its items."""
        if type(node) is Leaf:
            return self.leaf_id(node.items)
        assert type(node) is Branch, "BUG: a node is a leaf or a branch"
        return NodeId.of(encode([node.height, [link.id for link in node.items]]))

    def link_to(self, node: Node, node_id: NodeId, row: int = 0) -> Link:
        """The link that a parent holds to a node; with row 0 it holds the node itself too."""
        kept = None if row else node
        elements: dict[int, int] = {}
        if type(node) is Leaf:
            entries = node.items
            for key in node.keys:
                if key.endswith(ELEMENT):
                    depth = depth_of(key)
                    elements[depth] = elements.get(depth, 0) + 1
            newest, level = max([entry.origin for entry in entries]), self.level(entries[-1])
            return Link(node_id, row, node.keys[-1], len(entries), elements, level, newest, kept)
        assert type(node) is Branch, "BUG: a node is a leaf or a branch"
        links = node.items
        for link in links:
            for depth, number in link.elements.items():
                elements[depth] = elements.get(depth, 0) + number
        newest = max([link.newest for link in links])
        return Link(node_id, row, node.keys[-1], node.starts[-1], elements, links[-1].level, newest, kept)
