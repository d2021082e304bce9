"""Ancestry: which commits a commit reaches.

A parent's seq is lower than its child's, so seq does what a generation number
does elsewhere: a walk stops as soon as it is below what it looks for.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from heapq import heapify, heappop, heappush
from threading import Lock

from asg_mcp.storage.base import Reader

REACH_KEPT_MAX = 16
"""Bitmaps kept: one bit a commit each, 125 KB at a million commits."""
WALK_COMMITS_MAX = 256
"""Commits between two that are walked one by one to tell whether one reaches the other."""
_NONE = 0
_ONE, _OTHER, _STALE = 1, 2, 4
"""Colours of the walk for common ancestors; stale is what a common ancestor that was found reaches."""


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
    """The parents of every commit, in memory (24 bytes each), read on as commits come. Safe for several threads."""

    def __init__(self) -> None:
        self._first = array("q", [_NONE])
        self._second = array("q", [_NONE])
        self._streak = array("q", [_NONE])
        """For each commit, how far down each one's only parent is the one numbered just before it."""
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

    def descend(self, reader: Reader, seq: int, floor: int) -> int:
        """Where the line that ends in `seq` is no more above `floor`, or is a merge or the first commit."""
        with self._lock:
            self._read_on(reader, seq)
            first, second, streak = self._first, self._second, self._streak
            while seq > floor:
                if streak[seq] < seq:
                    seq = max(streak[seq], floor)
                elif first[seq] and not second[seq]:
                    seq = first[seq]
                else:
                    break
            return seq

    def parents(self, reader: Reader, seq: int) -> tuple[int, ...]:
        """The parents of a commit."""
        with self._lock:
            self._read_on(reader, seq)
            return tuple(parent for parent in (self._first[seq], self._second[seq]) if parent)

    def bases(self, reader: Reader, ones: Sequence[int], others: Sequence[int]) -> list[int]:
        """The best common ancestors of two commits, highest first: those that no other common ancestor reaches.

        A side that is several commits stands for a merge of them that was never made. The walk ends where every
        commit that is left is reached by an answer.
        """
        with self._lock:
            self._read_on(reader, max(*ones, *others))
            return self._common(ones, others)

    def _common(self, ones: Sequence[int], others: Sequence[int]) -> list[int]:
        first, second = self._first, self._second
        colours = dict.fromkeys(ones, _ONE)
        for seq in others:
            colours[seq] = colours.get(seq, 0) | _OTHER
        # Parents have lower numbers, so whatever is taken off the heap has every colour it will ever have.
        heap = [-seq for seq in colours]
        heapify(heap)
        live, found = len(heap), []
        while live:
            seq = -heappop(heap)
            colour = colours.pop(seq)
            if colour < _STALE:
                live -= 1
            if colour == _ONE | _OTHER:
                found.append(seq)
                colour |= _STALE
            parent, another = first[seq], second[seq]
            while parent:
                known = colours.get(parent, 0)
                colours[parent] = known | colour
                if not known:
                    heappush(heap, -parent)
                    live += colour < _STALE
                elif known < _STALE <= colour:
                    live -= 1
                parent, another = another, _NONE
        return found

    def forget(self) -> None:
        """Drop everything: it is read again when it is needed."""
        with self._lock:
            del self._first[1:], self._second[1:], self._streak[1:]
            self._kept.clear()

    def _read_on(self, reader: Reader, seq: int) -> None:
        known = len(self._first) - 1
        if seq <= known:
            return
        for number, parents in reader.parents_after(known):
            assert number == len(self._first), "BUG: commits are numbered without gaps"
            self._first.append(parents[0] if parents else _NONE)
            self._second.append(parents[1] if len(parents) > 1 else _NONE)
            self._streak.append(self._streak[-1] if parents == (number - 1,) else number)

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
