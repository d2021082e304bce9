"""Ancestry: which commits a commit reaches.

A parent's seq is lower than its child's, so seq does what a generation number
does elsewhere: a walk stops as soon as it is below what it looks for.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator
from threading import Lock

from asg_mcp.storage.base import Reader

REACH_KEPT_MAX = 16
"""Bitmaps kept: one bit a commit each, 125 KB at a million commits."""
WALK_COMMITS_MAX = 256
"""Commits between two that are walked one by one to tell whether one reaches the other."""
_NONE = 0


class Reach:
    """The set of commits that one commit reaches, itself included: a bit a seq."""

    __slots__ = ("bits", "head")

    def __init__(self, head: int, bits: bytearray) -> None:
        self.head = head
        self.bits = bits

    def __contains__(self, seq: int) -> bool:
        return 0 < seq <= self.head and bool(self.bits[seq >> 3] & (1 << (seq & 7)))

    def descending(self, before: int) -> Iterator[int]:
        """Members below `before`, highest first."""
        bits = self.bits
        for seq in range(min(before - 1, self.head), 0, -1):
            if bits[seq >> 3] & (1 << (seq & 7)):
                yield seq

    def __len__(self) -> int:
        return int.from_bytes(self.bits, "little").bit_count()

    def without(self, other: Reach) -> int:
        """How many members the other set lacks."""
        return (int.from_bytes(self.bits, "little") & ~int.from_bytes(other.bits, "little")).bit_count()


class Graph:
    """The parents of every commit, in memory (16 bytes each), read on as commits come. Safe for several threads."""

    def __init__(self) -> None:
        self._first = array("q", [_NONE])
        self._second = array("q", [_NONE])
        self._kept: OrderedDict[int, Reach] = OrderedDict()
        self._lock = Lock()

    def reach(self, reader: Reader, head: int) -> Reach:
        """What `head` reaches."""
        with self._lock:
            found = self._kept.get(head)
            if found is not None:
                self._kept.move_to_end(head)
                return found
            self._read_on(reader, head)
            reach = Reach(head, self._walk(head))
            self._kept[head] = reach
            if len(self._kept) > REACH_KEPT_MAX:
                self._kept.popitem(last=False)
            return reach

    def ancestor(self, reader: Reader, seq: int, back: int) -> int | None:
        """The commit `back` first parents before `seq`; None when history is shorter."""
        with self._lock:
            self._read_on(reader, seq)
            for _ in range(back):
                seq = self._first[seq]
                if seq == _NONE:
                    return None
            return seq

    def forget(self) -> None:
        """Drop everything: it is read again when it is needed."""
        with self._lock:
            del self._first[1:], self._second[1:]
            self._kept.clear()

    def _read_on(self, reader: Reader, seq: int) -> None:
        known = len(self._first) - 1
        if seq <= known:
            return
        for number, parents in reader.parents_after(known):
            assert number == len(self._first), "BUG: commits are numbered without gaps"
            self._first.append(parents[0] if parents else _NONE)
            self._second.append(parents[1] if len(parents) > 1 else _NONE)

    def _walk(self, head: int) -> bytearray:
        bits = bytearray((head >> 3) + 1)
        bits[head >> 3] |= 1 << (head & 7)
        base = max((seq for seq in self._kept if seq < head), default=0)
        first, second = self._first, self._second
        for seq in range(head, base, -1):
            if bits[seq >> 3] & (1 << (seq & 7)):
                for parent in (first[seq], second[seq]):
                    if parent:
                        bits[parent >> 3] |= 1 << (parent & 7)
        if base and bits[base >> 3] & (1 << (base & 7)):
            # What a kept set holds need not be walked again, unless the walk came down beside it.
            kept = int.from_bytes(self._kept[base].bits, "little")
            own = int.from_bytes(bits, "little")
            if not own & ((1 << (base + 1)) - 1) & ~kept:
                return bytearray((own | kept).to_bytes(len(bits), "little"))
        for seq in range(base, 0, -1):
            if bits[seq >> 3] & (1 << (seq & 7)):
                for parent in (first[seq], second[seq]):
                    if parent:
                        bits[parent >> 3] |= 1 << (parent & 7)
        return bits


def is_ancestor(reader: Reader, graph: Graph, seq: int, head: int) -> bool:
    """Whether `head` reaches `seq`. What lies between is walked when it is little, else the bitmap is asked."""
    if head - seq > WALK_COMMITS_MAX:
        return seq in graph.reach(reader, head)
    seen = {head}
    todo = [head]
    while todo:
        number = todo.pop()
        if number == seq:
            return True
        for parent in reader.commit(number).parents:
            if parent >= seq and parent not in seen:
                seen.add(parent)
                todo.append(parent)
    return False
