"""Builds tree nodes from a stream of entries and of whole nodes, left to right."""

from __future__ import annotations

from typing import Any

from asg_mcp.core.limits import BRANCH_ENTRIES_MAX, BRANCH_ENTRIES_MIN, LEAF_ENTRIES_MAX, LEAF_ENTRIES_MIN
from asg_mcp.core.nodes import LEVEL_MAX, Branch, Entry, Hasher, Leaf, Link, Node, Stored


class _Level:
    """What is open at one height."""

    __slots__ = ("base", "flushed", "items", "known", "last")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.flushed = False
        self.known: dict[int, tuple[Node, Link]] = {}
        """Old nodes that were opened, by the identity of their first item: what comes out unchanged is used again."""
        self.base: Stored | None = None
        self.last: Stored | None = None


class Builder:
    """Greedy chunking as the tree's layout demands; see `tree`. Use once: feed, then `finish`."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher
        self._levels = [_Level()]
        self._lowest = LEVEL_MAX
        """The lowest height at which something is open."""

    def add_entry(self, entry: Entry) -> None:
        """The next entry."""
        items = self._levels[0].items
        items.append(entry)
        self._lowest = 0
        size = len(items)
        if size >= LEAF_ENTRIES_MIN and (size >= LEAF_ENTRIES_MAX or self._hasher.level(entry) > 0):
            self._flush(0)

    def takes(self, height: int) -> bool:
        """Whether a whole node of this height may come next: nothing below its parent is open."""
        return height < self._lowest

    def add_link(self, height: int, link: Link) -> None:
        """A whole node of this height; `takes(height)` must hold.

        The node must be closed, as every node but the last of its height is, or
        nothing may follow it.
        """
        self._lowest = height + 1
        items = self._level(height + 1).items
        items.append(link)
        size = len(items)
        if size >= BRANCH_ENTRIES_MIN and (size >= BRANCH_ENTRIES_MAX or link.level > height + 1):
            self._flush(height + 1)

    def opened(self, node: Node, link: Link) -> None:
        """An old node from which some of the next items come, or which held what they replace."""
        level = self._level(node.height)
        level.known[id(node.items[0])] = (node, link)
        level.last = node.stored
        if level.base is None:
            level.base = node.stored

    def finish(self) -> Link:
        """The link to the top node. At least one entry must have been fed."""
        height = 0
        while True:
            level = self._levels[height]
            top = height + 1 == len(self._levels) or not any(
                above.items or above.flushed for above in self._levels[height + 1 :]
            )
            if height and top and len(level.items) == 1 and not level.flushed:
                link: Link = level.items[0]
                return link
            if level.items:
                self._flush(height)
            height += 1

    def _level(self, height: int) -> _Level:
        while len(self._levels) <= height:
            self._levels.append(_Level())
        return self._levels[height]

    def _flush(self, height: int) -> None:
        level = self._levels[height]
        items, level.items, level.flushed = level.items, [], True
        base, level.base = level.base or level.last, None
        known = level.known.get(id(items[0]))
        if known is not None and len(known[0].items) == len(items) and all(map(_same, known[0].items, items)):
            self.add_link(height, known[1])
        else:
            node: Node = Branch(height, items, base) if height else Leaf(items, base)
            self.add_link(height, self._hasher.link_to(node, self._hasher.node_id(node)))


def _same(left: object, right: object) -> bool:
    return left is right
