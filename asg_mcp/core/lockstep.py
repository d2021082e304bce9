"""Two trees read side by side: what both share is stepped over, and what is open stays open.

A cursor stands before the widest node that begins at its rank. Where both stand before equal ids, both step over
them; else the higher one is opened. So to come from one difference to the next opens the nodes that lead to it, and no
others.
"""

from __future__ import annotations

from asg_mcp.core.flat import same_scalar
from asg_mcp.core.nodes import SCALAR, Branch, Entry, Leaf, Node
from asg_mcp.core.tree import Tree


class Cursor:
    """A place in a tree: before the item `index` of `node`, which is the entry or the node that begins at `rank`."""

    __slots__ = ("_above", "_start", "index", "node", "rank", "tree")

    def __init__(self, tree: Tree, rank: int = 0) -> None:
        self.tree = tree
        self.node: Node = Branch(tree.open(tree.root).height + 1, [tree.root])
        self.index = 0
        self.rank = 0
        self._start = 0
        """The rank of the first entry of `node`."""
        self._above: list[tuple[Node, int, int]] = []
        self.seek(rank)

    def seek(self, rank: int) -> None:
        """Go to a rank, the one behind the last entry included."""
        while self._above and not self._start < rank < self._start + _size(self.node):
            self._leave()
        while True:
            offset = rank - self._start
            if type(self.node) is not Branch or offset >= self.node.starts[-1]:
                self.rank, self.index = rank, min(offset, len(self.node.items))
                return
            self.index = self.node.child_at(offset)
            self.rank = self._start + self.node.starts[self.index]
            if self.rank == rank:
                return
            self.enter()

    def enter(self) -> None:
        """Open the node that begins here, and stand before its first item."""
        assert type(self.node) is Branch, "BUG: an entry cannot be opened"
        child = self.tree.open(self.node.items[self.index])
        self._above.append((self.node, self.index, self._start))
        self.node, self.index, self._start = child, 0, self.rank

    def step(self, items: int, entries: int) -> None:
        """Step over some items of the node, which hold so many entries in all."""
        self.index += items
        self.rank += entries
        while self._above and self.index == len(self.node.items):
            self._leave()
            self.index += 1

    def entry(self) -> Entry:
        """The entry that begins here."""
        while type(self.node) is Branch:
            self.enter()
        assert type(self.node) is Leaf, "BUG: a node is a leaf or a branch"
        return self.node.items[self.index]

    def _leave(self) -> None:
        self.node, self.index, self._start = self._above.pop()


def _size(node: Node) -> int:
    return node.starts[-1] if type(node) is Branch else len(node.items)


def step_over_common(one: Cursor, other: Cursor, most: int) -> int:
    """Step both over the entries that they have in common from where they stand, at most `most`; returns how many.

    Origins do not count. Both then stand at the first entry that differs, or as far on as they were allowed to.
    """
    run = 0
    while run < most:
        left, right = one.node, other.node
        if type(left) is Branch and left.height > right.height:
            one.enter()
        elif type(right) is Branch and right.height > left.height:
            other.enter()
        elif type(left) is Branch and type(right) is Branch:
            link, twin = left.items[one.index], right.items[other.index]
            if link.id == twin.id and link.count <= most - run:
                run += link.count
                one.step(1, link.count)
                other.step(1, link.count)
            else:
                one.enter()
                other.enter()
        else:
            assert type(left) is Leaf and type(right) is Leaf, "BUG: nodes of one height are of one type"
            bound = min(len(left.items) - one.index, len(right.items) - other.index, most - run)
            count = _common(left.items, one.index, right.items, other.index, bound)
            run += count
            one.step(count, count)
            other.step(count, count)
            if count < bound:
                break
    return run


def _common(left: list[Entry], at_left: int, right: list[Entry], at_right: int, bound: int) -> int:
    for count in range(bound):
        a, b = left[at_left + count], right[at_right + count]
        if a is not b and (a.key != b.key or a.kind != b.kind or (a.kind == SCALAR and not same_scalar(a, b))):
            return count
    return bound
