"""Garbage collection, the rows: which nodes and large values no commit needs any more.

A commit needs the rows of its tree and the large values of its operations. A row that was written as a delta needs
its base, for it cannot be read without. A base is a node of the state that its commit was made from or was merged
with, and so of an ancestor's, which is kept: following a base as a whole keeps nothing that is not kept anyway.

Every row needs earlier ones alone, as children and bases are stored before what is made of them; so one pass from the
last row down marks all. And nobody finds a row but through a commit that has it: what no commit has is never found
again, and what a commit makes of rows that it found has them.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator

from asg_mcp.core.noderows import references
from asg_mcp.core.values import encode
from asg_mcp.errors import StoreCorrupt, Withheld
from asg_mcp.storage.base import Reader

PAGE_ROWS = 2_000
"""Rows read in one read transaction: 30 ms of a thread."""


def last_row(reader: Reader) -> int:
    """The highest number of a row of a node or of a large value; 0 for none. O(log n) reads."""

    def is_behind(row: int) -> bool:
        return bool(reader.blob_rows(row, 1) or reader.node_rows(row, 1))

    high = 1
    while is_behind(high - 1):
        high *= 2
    low = high // 2 - 1  # there is a row behind `low`, unless there is none at all; there is none behind `high` - 1
    high -= 1
    while high - low > 1:
        middle = (low + high) // 2
        if is_behind(middle):
            low = middle
        else:
            high = middle
    return max(high, 0)


class Rows:
    """The stored rows up to a number and what each of them needs: about 50 bytes a row."""

    def __init__(self, last: int) -> None:
        self._last = last
        self._nodes, self._sizes = array("q"), array("q")
        """The rows of nodes in order, and the bytes of each before compression."""
        self._needs, self._ends = array("q"), array("q")
        """What all of them need, one after the other, and where that of each ends."""
        self._values = array("q")
        self._live = bytearray(last + 1)
        self._read_to = 0

    @property
    def done(self) -> int:
        """How far the nodes were read."""
        return self._read_to

    def read_nodes(self, reader: Reader) -> bool:
        """Take in a page of nodes; False when there are no more. Raises StoreCorrupt."""
        page = reader.node_rows(self._read_to, PAGE_ROWS)
        for row, parts in page:
            if row > self._last:
                return False
            nodes, values = _needs(row, parts)
            if max(nodes, default=0) >= row:
                raise StoreCorrupt(f"Node {row} needs a later one", kind="node", row=row)
            self._nodes.append(row)
            self._sizes.append(len(encode(parts)))
            self._needs.extend(nodes)
            self._needs.extend(values)
            self._ends.append(len(self._needs))
            self._read_to = row
        return len(page) == PAGE_ROWS

    def read_values(self, reader: Reader) -> bool:
        """Take in a page of large values; False when there are no more."""
        page = reader.blob_rows(self._values[-1] if self._values else 0, PAGE_ROWS)
        inside = page[: bisect_right(page, self._last)]
        self._values.extend(inside)
        return len(inside) == PAGE_ROWS

    def keep(self, rows: Iterable[int]) -> None:
        """Say that these are needed, and with them all that they need; later ones than the last are passed over."""
        for row in rows:
            if row <= self._last:
                self._live[row] = 1

    def mark(self) -> bool:
        """Follow what is needed, once all was read and said; whether all of it is there."""
        live, needs, ends = self._live, self._needs, self._ends
        live[0] = 0
        found = 0
        for place in range(len(self._nodes) - 1, -1, -1):
            if live[self._nodes[place]]:
                found += 1
                self.keep(needs[ends[place - 1] if place else 0 : ends[place]])
        found += sum(live[row] for row in self._values)
        return found == sum(live)

    def unneeded_nodes(self) -> Iterator[tuple[int, int]]:
        """(row, bytes) of each node that nothing needs, the lowest row first."""
        return ((row, size) for row, size in zip(self._nodes, self._sizes, strict=True) if not self._live[row])

    def unneeded_values(self) -> array[int]:
        """The rows of the large values that nothing needs, the lowest first."""
        return array("q", [row for row in self._values if not self._live[row]])


def _needs(row: int, parts: list[object]) -> tuple[list[int], list[int]]:
    try:
        return references(parts)
    except (LookupError, TypeError, ValueError) as error:
        raise StoreCorrupt(f"Node {row} cannot be read: {error}", kind="node", row=row) from error


def value_bytes(reader: Reader, rows: Iterable[int]) -> int:
    """The canonical bytes of large values; those that others have dropped, or destroyed the key of, count nothing."""
    total = 0
    for row in rows:
        if reader.blob_rows(row - 1, 1) != [row]:
            continue
        try:
            total += len(encode(reader.blob(row)))
        except Withheld:
            continue
    return total
