"""The tree: one Merkle search tree over all entries of a state.

Entries are a sequence, told apart by rank (position in the whole sequence).
Outside lists the sequence is sorted by key, and a search by key is a binary
search; an element of a list is found by counting. Both cost O(log n), and so
does taking a range out.

The layout of the nodes is a function of the sequence alone: scanning from the
left, a leaf closes behind an entry of level 1 or more once it has
LEAF_ENTRIES_MIN entries, and at LEAF_ENTRIES_MAX in any case; a branch of height
h closes behind a link of level h + 1 or more in the same way. (Merkle search
trees: Auvolat and Taïani, SRDS 2019; size-bounded content-defined chunks as in
prolly trees.) So equal content has an equal root however it was reached.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from asg_mcp.core.builder import Builder
from asg_mcp.core.ids import NodeId
from asg_mcp.core.nodes import Branch, Entry, Hasher, Leaf, Link, Node, NodeSource
from asg_mcp.core.paths import ELEMENT, END, depth_of

Splice = tuple[int, int, Sequence[Entry]]
"""(first rank, rank behind the last, what takes their place)"""


class Tree:
    """An immutable sequence of entries. `root` links to its top node; there is always at least one entry."""

    __slots__ = ("_top", "hasher", "root", "source")

    def __init__(self, source: NodeSource, hasher: Hasher, root: Link, top: Node | None = None) -> None:
        self.source = source
        self.hasher = hasher
        self.root = root
        self._top = top

    @classmethod
    def of(cls, source: NodeSource, hasher: Hasher, entries: Sequence[Entry]) -> Tree:
        """A tree in memory with these entries, at least one."""
        builder = Builder(hasher)
        for entry in entries:
            builder.add_entry(entry)
        return cls(source, hasher, builder.finish())

    @property
    def id(self) -> NodeId:
        """The root: the id of the top node, a function of the content alone."""
        return self.root.id

    def __len__(self) -> int:
        return self.root.count

    @property
    def top(self) -> Node:
        """The top node, where every search begins: opened once."""
        if self._top is None:
            self._top = self.open(self.root)
        return self._top

    def open(self, link: Link) -> Node:
        """The node that a link leads to."""
        return link.node if link.node is not None else self.source.load(link.row)

    # --- search -------------------------------------------------------------

    def lower_bound(self, key: str, low: int, high: int) -> int:
        """The first rank in [low, high) whose key is not less than `key`; `high` when there is none.

        The range must not begin inside a list that `key` lies outside of.
        """
        if low >= high:
            return high
        _, offset, index = self._search(key, low, high)
        return offset + index

    def _search(self, key: str, low: int, high: int) -> tuple[Leaf, int, int]:
        """The leaf in which a search by key in a range that is not empty ends, its first rank, and where in it."""
        node, offset = self.top, 0
        while type(node) is Branch:
            starts = node.starts
            first = bisect_right(starts, low - offset) - 1 if low > offset else 0
            last = bisect_left(starts, high - offset) - 1 if high - offset < starts[-1] else len(node.items) - 1
            child = bisect_left(node.keys, key, first, last)
            offset += starts[child]
            node = self.open(node.items[child])
        assert type(node) is Leaf, "BUG: below the branches there are leaves"
        index = bisect_left(node.keys, key, max(low - offset, 0), min(high - offset, len(node.keys)))
        return node, offset, index

    def find(self, key: str, low: int, high: int) -> tuple[int, Entry] | None:
        """Rank and entry of `key` in [low, high), or None."""
        if low >= high:
            return None
        leaf, offset, index = self._search(key, low, high)
        if offset + index >= high or index == len(leaf.items) or leaf.keys[index] != key:
            return None
        return offset + index, leaf.items[index]

    def end_of(self, key: str, low: int, high: int) -> int:
        """The rank behind the last entry at or below `key` in [low, high)."""
        return high if key == "" else self.lower_bound(key[: -len(END)] + "\x01", low, high)

    def entry(self, rank: int) -> Entry:
        """The entry of this rank."""
        node = self.top
        while type(node) is Branch:
            child = node.child_at(rank)
            rank -= node.starts[child]
            node = self.open(node.items[child])
        assert type(node) is Leaf, "BUG: below the branches there are leaves"
        return node.items[rank]

    def elements_before(self, rank: int, depth: int) -> int:
        """How many list elements of this depth have a lower rank."""
        node, total = self.top, 0
        while type(node) is Branch:
            for link in node.items:
                if rank < link.count:
                    node = self.open(link)
                    break
                rank -= link.count
                total += link.elements.get(depth, 0)
            else:
                return total
        return total + sum(1 for key in node.keys[:rank] if is_element(key, depth))

    def element_rank(self, number: int, depth: int) -> int:
        """The rank of the list element that has `number` elements of its depth before it."""
        node, offset = self.top, 0
        while type(node) is Branch:
            for link in node.items:
                here = link.elements.get(depth, 0)
                if number < here:
                    node = self.open(link)
                    break
                number -= here
                offset += link.count
            else:
                raise AssertionError("BUG: there are fewer elements of that depth")
        for index, key in enumerate(node.keys):
            if is_element(key, depth):
                if number == 0:
                    return offset + index
                number -= 1
        raise AssertionError("BUG: the counts of the leaf's link are wrong")

    # --- ranges -------------------------------------------------------------

    def entries(self, low: int = 0, high: int | None = None) -> Iterator[Entry]:
        """The entries of ranks [low, high), in order."""
        yield from self._entries(self.top, low, len(self) if high is None else high)

    def _entries(self, node: Node, low: int, high: int) -> Iterator[Entry]:
        if type(node) is Leaf:
            yield from node.items[max(low, 0) : high]
            return
        position = 0
        for link in node.items:
            if position >= high:
                return
            if position + link.count > low:
                yield from self._entries(self.open(link), low - position, high - position)
            position += link.count

    def newest(self, low: int, high: int) -> int:
        """The largest origin among ranks [low, high), which must not be empty."""
        return self._newest(self.root, low, high)

    def _newest(self, link: Link, low: int, high: int) -> int:
        if low <= 0 and high >= link.count:
            return link.newest
        node = self.open(link)
        if type(node) is Leaf:
            return max(entry.origin for entry in node.items[max(low, 0) : high])
        position, best = 0, 0
        for child in node.items:
            if position < high and position + child.count > low:
                best = max(best, self._newest(child, low - position, high - position))
            position += child.count
        return best

    def since(self, origin: int) -> Iterator[tuple[int, Entry]]:
        """Rank and entry of all that was changed by commit `origin` or a later one, in order."""
        yield from self._since(self.root, origin, 0)

    def _since(self, link: Link, origin: int, start: int) -> Iterator[tuple[int, Entry]]:
        if link.newest < origin:
            return
        node = self.open(link)
        if type(node) is Leaf:
            yield from ((start + at, entry) for at, entry in enumerate(node.items) if entry.origin >= origin)
            return
        for child in node.items:
            yield from self._since(child, origin, start)
            start += child.count

    def origins(self, low: int, high: int, known: set[int]) -> set[int]:
        """The origins of ranks [low, high), but for the nodes in `known`: rows looked at before; more are added."""
        found: set[int] = set()
        self._origins(self.root, low, high, known, found)
        return found

    def _origins(self, link: Link, low: int, high: int, known: set[int], found: set[int]) -> None:
        if low >= link.count or high <= 0 or link.row in known:
            return
        if low <= 0 and high >= link.count and link.row:
            known.add(link.row)
        node = self.open(link)
        if type(node) is Leaf:
            found.update(entry.origin for entry in node.items[max(low, 0) : high])
            return
        for child in node.items:
            self._origins(child, low, high, known, found)
            low, high = low - child.count, high - child.count

    def range_id(self, low: int, high: int) -> NodeId:
        """The root of the canonical tree over ranks [low, high): equal content at a path, equal id. O(log n)."""
        if low == 0 and high == len(self):
            return self.id
        builder = Builder(self.hasher)
        self._feed(builder, low, high, final=high == len(self))
        return self._finish(builder).id

    # --- change -------------------------------------------------------------

    def splice(self, splices: Sequence[Splice]) -> Tree:
        """The tree after replacing ranges of ranks; they are in order and do not overlap.

        Nodes that no splice touches are shared; O(log n) nodes are new for each.
        """
        if len(splices) == 1:
            ((low, high, entries),) = splices
            if high - low == 1 == len(entries):
                root = self._replaced(self.root, self.top, low, entries[0])
                if root is not None:
                    return Tree(self.source, self.hasher, root, root.node)
        builder = Builder(self.hasher)
        position = 0
        for low, high, entries in splices:
            assert position <= low <= high, "BUG: splices are in order"
            self._feed(builder, position, low, final=False)
            if low < high:
                self._touch(builder, low)
            for entry in entries:
                builder.add_entry(entry)
            position = high
        self._feed(builder, position, len(self), final=True)
        return Tree(self.source, self.hasher, self._finish(builder))

    def _replaced(self, link: Link, node: Node, rank: int, entry: Entry) -> Link | None:
        """The link to a twin of a subtree with an entry in the place of another, where that moves no boundary of nodes.

        Outside of lists boundaries go by keys alone. None where it is in a list, has another key, or is there already.
        """
        twin: Node
        if type(node) is Leaf:
            old = node.items[rank]
            if ELEMENT in entry.key or old is entry or old.key != entry.key:
                return None
            twin = node.with_item(rank, entry)
        else:
            assert type(node) is Branch, "BUG: a node is a leaf or a branch"
            place = node.child_at(rank)
            child = node.items[place]
            new = self._replaced(child, self.open(child), rank - node.starts[place], entry)
            if new is None:
                return None
            twin = node.with_item(place, new)
        node_id = self.hasher.node_id(twin)
        if entry.origin < link.newest:  # which may have been that of the entry that goes
            return self.hasher.link_to(twin, node_id)
        return Link(node_id, 0, link.last_key, link.count, link.elements, link.level, entry.origin, twin)

    def with_origins(self, changed: Sequence[tuple[int, Entry]]) -> Tree:
        """The tree with entries of other origins at these ranks, in order; all else of an entry is as it was.

        No origin is hashed, so the nodes are the same ones and keep their ids.
        """
        return Tree(self.source, self.hasher, self._with_origins(self.root, changed, 0)) if changed else self

    def _with_origins(self, link: Link, changed: Sequence[tuple[int, Entry]], start: int) -> Link:
        node = self.open(link)
        twin: Node
        if type(node) is Leaf:
            entries = [*node.items]
            for rank, entry in changed:
                entries[rank - start] = entry
            twin = Leaf(entries, node.stored)
        else:
            assert type(node) is Branch, "BUG: a node is a leaf or a branch"
            links = []
            done = 0
            for child, low in zip(node.items, node.starts, strict=False):
                first, behind = done, start + low + child.count
                while done < len(changed) and changed[done][0] < behind:
                    done += 1
                links.append(self._with_origins(child, changed[first:done], start + low) if done > first else child)
            twin = Branch(node.height, links, node.stored)
        return self.hasher.link_to(twin, link.id)

    def _finish(self, builder: Builder) -> Link:
        """The link to the new top node.

        The last node of a height may have one child. When nothing before it is
        left and it was taken whole, its child is the top.
        """
        link = builder.finish()
        node = self.open(link)
        while type(node) is Branch and len(node.items) == 1:
            link = node.items[0]
            node = self.open(link)
        return link

    def _feed(self, builder: Builder, low: int, high: int, *, final: bool) -> None:
        """Hand ranks [low, high) to the builder, whole nodes where it can take them."""
        if low < high:
            height = self.top.height
            self._feed_link(builder, self.root, height, low, high, closed=final)

    def _feed_link(self, builder: Builder, link: Link, height: int, low: int, high: int, *, closed: bool) -> None:
        """The same for one subtree, with ranks inside it.

        `closed` tells whether its node may be taken whole: the last node of each
        height only when nothing follows it.
        """
        if closed and low <= 0 and high >= link.count and builder.takes(height):
            builder.add_link(height, link)
            return
        node = self.open(link)
        builder.opened(node, link)
        if type(node) is Leaf:
            for entry in node.items[max(low, 0) : high]:
                builder.add_entry(entry)
            return
        assert type(node) is Branch, "BUG: a node is a leaf or a branch"
        last = len(node.items) - 1
        first = bisect_right(node.starts, low) - 1 if low > 0 else 0
        for index in range(first, last + 1):
            start, child = node.starts[index], node.items[index]
            if start >= high:
                return
            whole = closed or index < last
            if whole and start >= low and start + child.count <= high and builder.takes(height - 1):
                builder.add_link(height - 1, child)
            else:
                self._feed_link(builder, child, height - 1, low - start, high - start, closed=whole)

    def _touch(self, builder: Builder, rank: int) -> None:
        """Tell the builder which nodes a replaced rank was in, so that the new ones can be stored as deltas of them."""
        link = self.root
        while True:
            node = self.open(link)
            builder.opened(node, link)
            if type(node) is not Branch:
                return
            child = node.child_at(rank)
            rank -= node.starts[child]
            link = node.items[child]


def is_element(key: str, depth: int) -> bool:
    """Whether this is the key of a list element of this depth."""
    return key.endswith(ELEMENT) and depth_of(key) == depth
