"""What the memory backend keeps, and a view of it.

What is written is appended to tables that only grow, so a view needs no copy and no lock: it is a `Moment`, which
says how much of each table it sees, and holds the few small maps in which things are replaced.

Rows are kept as the canonical bytes that a file would hold, without seals and compression: they take a tenth of the
memory of the objects made from them, and nobody can change a stored row by changing what was read from it.
"""

from __future__ import annotations

import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from asg_mcp.core.ids import CommitId
from asg_mcp.core.limits import COMMIT_CACHE_BYTES_MAX, NODE_CACHE_BYTES_MAX, VALUE_CACHE_BYTES_MAX
from asg_mcp.core.noderows import unpack_node
from asg_mcp.core.nodes import Node
from asg_mcp.errors import StoreCorrupt
from asg_mcp.storage.base import CommitRow, EventRow, Record, RecordKind, Ref, RefKind, StoredReply, Term, TermKind
from asg_mcp.storage.cache import ByteCache
from asg_mcp.storage.keys import COMMIT_BYTES, node_bytes, reply_key
from asg_mcp.storage.rows import unpack

_OF_EVENTS = (TermKind.REF, TermKind.SUBJECT)
PREFIX_DIGITS = 6
"""The shortest prefix of a commit id that can be asked for; commits are indexed by so much."""


@dataclass(frozen=True, slots=True)
class KeptCommit:
    """A stored commit but for its number."""

    id: CommitId
    parents: tuple[int, ...]
    at: int
    root_row: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """A stored event but for its index."""

    kind: int
    ref: str
    ref_kind: RefKind
    old: int | None
    new: int | None
    leaf: bytes
    payload: bytes | None


@dataclass(frozen=True, slots=True)
class KeptRecord:
    """A stored record but for its key."""

    opened: int
    last: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Moment:
    """How much a view sees. Its maps are replaced, never changed."""

    number: int = 0
    seq: int = 0
    events: int = 0
    refs: Mapping[str, Ref] = field(default_factory=dict)
    records: Mapping[RecordKind, Mapping[str, KeptRecord]] = field(default_factory=dict)


@dataclass(slots=True)
class Tables:
    """What only grows. The commit with number n is at n - 1; tiles and replies say since which moment."""

    nodes: dict[int, bytes] = field(default_factory=dict)
    blobs: dict[int, bytes] = field(default_factory=dict)
    commits: list[KeptCommit] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    by_prefix: dict[str, list[int]] = field(default_factory=dict)
    terms: dict[Term, list[int]] = field(default_factory=dict)
    events: list[KeptEvent] = field(default_factory=list)
    tiles: dict[tuple[int, int], tuple[int, bytes]] = field(default_factory=dict)
    replies: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class MemoryCaches:
    """What the views of one store share. Numbers are never used twice, so nothing in here goes stale."""

    nodes: ByteCache[Node] = field(default_factory=lambda: ByteCache(NODE_CACHE_BYTES_MAX))
    blobs: ByteCache[Any] = field(default_factory=lambda: ByteCache(VALUE_CACHE_BYTES_MAX))
    commits: ByteCache[CommitRow] = field(default_factory=lambda: ByteCache(COMMIT_CACHE_BYTES_MAX))


class MemoryReader:
    """A `Reader` of one moment."""

    def __init__(self, tables: Tables, caches: MemoryCaches, moment: Moment) -> None:
        self._tables = tables
        self._caches = caches
        self._moment = moment
        self._time: int | None = None

    def now(self) -> int:
        """See Reader."""
        if self._time is None:
            self._time = time.time_ns() // 1_000
        return self._time

    def load(self, row: int) -> Node:
        """See NodeSource."""
        node = self._caches.nodes.get(row)
        if node is None:
            node = unpack_node(row, _stored(self._tables.nodes, row, "node"), self.load)
            self._caches.nodes.put(row, node, node_bytes(node))
        return node

    def blob(self, row: int) -> Any:
        """See NodeSource."""
        value = self._caches.blobs.get(row)
        if value is None:
            value = _stored(self._tables.blobs, row, "blob")[0]
            self._caches.blobs.put(row, value, len(str(value)))
        return value

    # --- refs and commits -----------------------------------------------------

    def ref(self, name: str) -> Ref | None:
        """See Reader."""
        return self._moment.refs.get(name)

    def refs(self, prefix: str, after: str, limit: int) -> list[Ref]:
        """See Reader."""
        names = sorted(name for name in self._moment.refs if name.startswith(prefix) and (name > after or not after))
        return [self._moment.refs[name] for name in names[:limit]]

    def refs_count(self, prefix: str, kind: RefKind | None) -> int:
        """See Reader."""
        found = (ref for name, ref in self._moment.refs.items() if name.startswith(prefix))
        return sum(kind is None or ref.kind is kind for ref in found)

    def commit(self, seq: int) -> CommitRow:
        """See Reader."""
        if not 0 < seq <= self._moment.seq:
            raise StoreCorrupt(f"commit {seq} is missing", kind="commit", row=seq)
        row = self._caches.commits.get(seq)
        if row is None:
            kept = self._tables.commits[seq - 1]
            parts: list[Any] = unpack(kept.payload, f"commit {kept.id.short}")
            row = CommitRow(seq, kept.id, kept.parents, kept.at, kept.root_row, parts)
            self._caches.commits.put(seq, row, COMMIT_BYTES + 2 * len(kept.payload))
        return row

    def commit_seqs(self, prefix: str, limit: int) -> list[int]:
        """See Reader."""
        candidates = self._tables.by_prefix.get(prefix[:PREFIX_DIGITS], [])
        seen = candidates[: bisect_right(candidates, self._moment.seq)]
        return [seq for seq in seen if self._tables.commits[seq - 1].id.hex().startswith(prefix)][:limit]

    def last_seq(self) -> int:
        """See Reader."""
        return self._moment.seq

    def parents_after(self, seq: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """See Reader."""
        for number in range(max(seq, 0) + 1, self._moment.seq + 1):
            yield number, self._tables.commits[number - 1].parents

    def seqs_between(self, since: int | None, until: int | None) -> tuple[int, int]:
        """See Reader."""

        def first(seqs: Iterable[int]) -> int | None:
            times = ((seq, self._tables.commits[seq - 1].at) for seq in seqs)
            inside = (seq for seq, at in times if (since is None or at >= since) and (until is None or at <= until))
            return next(inside, None)

        low = first(range(1, self._moment.seq + 1))
        high = None if low is None else first(range(self._moment.seq, 0, -1))
        return (1, 0) if low is None or high is None else (low, high)

    # --- the index --------------------------------------------------------------

    def find(self, term: Term, before: int, limit: int, *, after: int | None = None) -> list[int]:
        """See Reader."""
        seen = self._moment.events if term[0] in _OF_EVENTS else self._moment.seq + 1
        numbers = self._tables.terms.get(term, [])
        end = bisect_left(numbers, min(before, seen))
        if after is None:
            return numbers[max(end - limit, 0) : end][::-1]
        start = bisect_right(numbers, after)
        return numbers[start : min(start + limit, end)]

    def find_text(self, words: Sequence[str], before: int, limit: int, *, after: int | None = None) -> list[int]:
        """See Reader. A word inside a longer one is a candidate too."""
        asked = [word.casefold() for word in words]
        last = min(before - 1, self._moment.seq)
        seqs = range(last, 0, -1) if after is None else range(max(after, 0) + 1, last + 1)
        holding = (seq for seq in seqs if all(word in self._tables.texts[seq - 1] for word in asked))
        return list(islice(holding, limit))

    # --- events, records, replies, names ----------------------------------------

    def event(self, index: int) -> EventRow | None:
        """See Reader."""
        if not 0 <= index < self._moment.events:
            return None
        kept = self._tables.events[index]
        data: list[Any] | None = None if kept.payload is None else unpack(kept.payload, f"event {index}")
        return EventRow(index, kept.kind, kept.ref, kept.ref_kind, kept.old, kept.new, kept.leaf, data)

    def events_count(self) -> int:
        """See Reader."""
        return self._moment.events

    def record(self, kind: RecordKind, key: str) -> Record | None:
        """See Reader."""
        kept = self._moment.records.get(kind, {}).get(key)
        return None if kept is None else record_of(kind, key, kept)

    def records(self, kind: RecordKind, before: int, limit: int) -> list[Record]:
        """See Reader."""
        kept = [(key, row) for key, row in self._moment.records.get(kind, {}).items() if row.opened < before]
        kept.sort(key=lambda item: item[1].opened, reverse=True)
        return [record_of(kind, key, row) for key, row in kept[:limit]]

    def tile(self, level: int, index: int) -> bytes | None:
        """See Reader."""
        since, digest = self._tables.tiles.get((level, index), (0, None))
        return digest if since <= self._moment.number else None

    def reply(self, principal: str, request_id: str) -> StoredReply | None:
        """See Reader."""
        since, payload = self._tables.replies.get(reply_key(principal, request_id), (0, None))
        return None if payload is None or since > self._moment.number else _reply(payload)

    def replies(self, after: bytes, limit: int) -> list[tuple[bytes, StoredReply]]:
        """See Reader."""
        seen = sorted((key, kept) for key, kept in list(self._tables.replies.items()) if key > after)
        return [(key, _reply(payload)) for key, (since, payload) in seen if since <= self._moment.number][:limit]

    def name(self, number: int) -> str:
        """See Reader."""
        text = self._tables.names.get(number)
        if text is None:
            raise StoreCorrupt(f"name {number} is missing", kind="name", row=number)
        return text

    def generation(self) -> int:
        """See Reader. Nothing is ever changed or taken away."""
        return 0

    def node_rows(self, after: int, limit: int) -> list[tuple[int, list[Any]]]:
        """See Reader."""
        rows = sorted(row for row in list(self._tables.nodes) if row > after)[:limit]
        return [(row, _stored(self._tables.nodes, row, "node")) for row in rows]

    def blob_group(self, row: int) -> str:
        """See Reader. A store in memory has no classes."""
        return ""

    def blob_rows(self, after: int, limit: int) -> list[int]:
        """See Reader."""
        return sorted(row for row in list(self._tables.blobs) if row > after)[:limit]


def _stored(rows: Mapping[int, bytes], row: int, what: str) -> list[Any]:
    payload = rows.get(row)
    if payload is None:
        raise StoreCorrupt(f"{what} {row} is missing", kind=what, row=row)
    return unpack(payload, f"{what} {row}")


def record_of(kind: RecordKind, key: str, kept: KeptRecord) -> Record:
    """A kept record as it is read."""
    parts: list[Any] = unpack(kept.payload, f"{kind.name.lower()} {key}")
    return Record(kind, key, kept.opened, kept.last, parts[0])


def _reply(payload: bytes) -> StoredReply:
    parts: list[Any] = unpack(payload, "a reply")
    return StoredReply(bytes.fromhex(parts[0]), parts[1])
