"""The memory backend: the same contract without files and without a database, gone with the process.

A transaction stages what it writes. When its work has not raised, the rows are appended to tables that only grow, and
then the store's moment is replaced by the next one: that is what makes them visible, all at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, TypeVar

import anyio.to_thread

from asg_mcp.core.commitments import CLASS_KEY_BYTES
from asg_mcp.core.events import Event
from asg_mcp.core.limits import WRITE_QUEUE_MAX
from asg_mcp.core.merkle import TILE_WIDTH, completed_tiles
from asg_mcp.core.nodes import Hasher, Node
from asg_mcp.core.values import encode
from asg_mcp.errors import Conflict, StorageError, StoreBusy
from asg_mcp.storage.base import (
    CommitRow,
    Health,
    Record,
    RecordKind,
    Ref,
    RefKind,
    Rewriter,
    StoredReply,
    Term,
    TermKind,
    Writer,
)
from asg_mcp.storage.keys import node_bytes, reply_key
from asg_mcp.storage.staging import with_staged
from asg_mcp.storage.tables import (
    PREFIX_DIGITS,
    KeptCommit,
    KeptEvent,
    KeptRecord,
    MemoryCaches,
    MemoryReader,
    Moment,
    Tables,
    record_of,
)

T = TypeVar("T")
PLACE = ":memory:"
"""What stands for a path where there is no file."""


class MemoryWriter(MemoryReader):
    """A `Writer`: stages what one transaction writes."""

    def __init__(self, tables: Tables, caches: MemoryCaches, moment: Moment, numbers: Callable[[], int]) -> None:
        super().__init__(tables, caches, moment)
        self._number = numbers
        self._staged: list[Callable[[], object]] = []
        """What to do to the tables when the work has not raised; none of it can fail."""
        self._new_nodes: dict[int, Node] = {}
        self._new_names: dict[str, int] = {}
        self._new_refs: dict[str, Ref | None] = {}
        self._new_records: dict[RecordKind, dict[str, KeptRecord]] = {}
        self._new_hashes: dict[tuple[int, int], bytes] = {}
        """Leaves (level 0) and tiles."""
        self._last_seq = moment.seq
        self._events = moment.events

    def salt(self) -> str:
        """See Writer."""
        return secrets.token_hex(16)

    def intern(self, text: str) -> int:
        """See Writer."""
        number = self._tables.numbers.get(text) or self._new_names.get(text)
        if number is None:
            number = self._new_names[text] = self._number()
        return number

    def name(self, number: int) -> str:
        """See Reader. What this transaction has staged can be read too."""
        staged = (text for text, new in self._new_names.items() if new == number)
        return next(staged, None) or super().name(number)

    def load(self, row: int) -> Node:
        """See NodeSource. What this transaction has staged can be read too."""
        return self._new_nodes.get(row) or super().load(row)

    def next_row(self) -> int:
        """See Writer."""
        return self._number()

    def put_node(self, row: int, payload: bytes, node: Node) -> None:
        """See Writer."""
        self._staged.append(lambda: self._tables.nodes.setdefault(row, payload))
        self._new_nodes[row] = node

    def put_blob(self, row: int, payload: bytes, group: str = "") -> None:
        """See Writer. A store in memory has no classes."""
        self._staged.append(lambda: self._tables.blobs.setdefault(row, payload))

    def last_seq(self) -> int:
        """See Reader."""
        return self._last_seq

    def events_count(self) -> int:
        """See Reader."""
        return self._events

    def put_commit(self, row: CommitRow, terms: Iterable[Term], text: str) -> None:
        """See Writer."""
        assert row.seq == self._last_seq + 1, "BUG: commits are numbered without gaps"
        kept = KeptCommit(row.id, row.parents, row.at, row.root_row, encode(row.parts))
        folded, found_by = text.casefold(), set(terms)

        def put() -> None:
            self._tables.commits.append(kept)
            self._tables.texts.append(folded)
            self._tables.by_prefix.setdefault(row.id.hex()[:PREFIX_DIGITS], []).append(row.seq)
            for term in found_by:
                self._tables.terms.setdefault(term, []).append(row.seq)

        self._staged.append(put)
        self._last_seq = row.seq

    def ref(self, name: str) -> Ref | None:
        """See Reader. What this transaction has staged can be read too."""
        return self._new_refs[name] if name in self._new_refs else super().ref(name)

    def refs(self, prefix: str, after: str, limit: int) -> list[Ref]:
        """See Reader. What this transaction has staged can be read too."""
        there = super().refs(prefix, after, limit + len(self._new_refs))
        return with_staged(there, self._new_refs, prefix, after)[:limit]

    def swap_ref(self, old: Ref | None, new: Ref | None) -> None:
        """See Writer."""
        name = (old or new or Ref("", RefKind.BRANCH, 0)).name
        if self.ref(name) != old:
            raise Conflict(f"{name} is no longer what it was read as", hint="Repeat the call.", ref=name)
        self._new_refs[name] = new

    def append_event(self, event: Event, kind: int, old: int | None, new: int | None, data: list[Any] | None) -> None:
        """See Writer."""
        assert event.index == self._events, "BUG: events are numbered without gaps"
        ref_kind = RefKind[event.ref_kind.upper()] if event.ref else RefKind.BRANCH
        payload = None if data is None else encode(data)
        kept = KeptEvent(kind, event.ref, ref_kind, old, new, event.leaf_hash(), payload)
        self._new_hashes[0, event.index] = kept.leaf
        found_by = [term for term in ((TermKind.REF, event.ref), (TermKind.SUBJECT, event.subject)) if term[1]]

        def put() -> None:
            self._tables.events.append(kept)
            for term in found_by:
                self._tables.terms.setdefault(term, []).append(event.index)

        self._staged.append(put)
        self._events = event.index + 1
        for level, index, digest in completed_tiles(self._events, self._kept_hashes):
            self.put_tile(level, index, digest)

    def _kept_hashes(self, level: int, first: int) -> list[bytes]:
        """The hashes that are kept of one level of the log's tree (0: its leaves), from an index on, 256 at most."""
        if level == 0:
            kept = [event.leaf for event in self._tables.events[first : min(first + TILE_WIDTH, self._moment.events)]]
        else:
            found = (super(MemoryWriter, self).tile(level, first + place) for place in range(TILE_WIDTH))
            kept = [digest for digest in found if digest is not None]
        places = range(first, first + TILE_WIDTH)
        return kept + [self._new_hashes[level, place] for place in places if (level, place) in self._new_hashes]

    def record(self, kind: RecordKind, key: str) -> Record | None:
        """See Reader. What this transaction has staged can be read too."""
        kept = self._new_records.get(kind, {}).get(key)
        return super().record(kind, key) if kept is None else record_of(kind, key, kept)

    def put_record(self, record: Record) -> None:
        """See Writer."""
        kept = KeptRecord(record.opened, record.last, encode([record.data]))
        self._new_records.setdefault(record.kind, {})[record.key] = kept

    def put_tile(self, level: int, index: int, digest: bytes) -> None:
        """See Writer."""
        since = self._moment.number + 1
        self._new_hashes[level, index] = digest
        self._staged.append(lambda: self._tables.tiles.setdefault((level, index), (since, digest)))

    def put_reply(self, principal: str, request_id: str, reply: StoredReply) -> None:
        """See Writer."""
        key, since = reply_key(principal, request_id), self._moment.number + 1
        payload = encode([reply.fingerprint.hex(), reply.answer])
        self._staged.append(lambda: self._tables.replies.setdefault(key, (since, payload)))

    def flush(self) -> Moment:
        """Put what was staged into the tables, and return the moment at which it can be seen."""
        for put in self._staged:
            put()
        for text, number in self._new_names.items():
            self._tables.names[number] = text
            self._tables.numbers[text] = number
        for row, node in self._new_nodes.items():
            self._caches.nodes.put(row, node, node_bytes(node))
        return Moment(self._moment.number + 1, self._last_seq, self._events, self._refs_after(), self._records_after())

    def _refs_after(self) -> Mapping[str, Ref]:
        if not self._new_refs:
            return self._moment.refs
        after = {**self._moment.refs, **self._new_refs}
        return {name: ref for name, ref in after.items() if ref is not None}

    def _records_after(self) -> Mapping[RecordKind, Mapping[str, KeptRecord]]:
        before = self._moment.records
        return {**before, **{kind: {**before.get(kind, {}), **new} for kind, new in self._new_records.items()}}


class MemoryStore:
    """See `storage.base.Store`. For one event loop; its views may be on any thread."""

    def __init__(self) -> None:
        self.hasher = Hasher(secrets.token_bytes(CLASS_KEY_BYTES), secrets.token_bytes(CLASS_KEY_BYTES))
        self._tables = Tables()
        self._caches = MemoryCaches()
        self._moment = Moment()
        self._turn = asyncio.Lock()
        self._waiting = 0
        self._closed = False
        numbers = count(1)
        self._number = lambda: next(numbers)

    @contextlib.contextmanager
    def reading(self, *, stored: bool = False) -> Iterator[MemoryReader]:
        """See Store."""
        self._check_open()
        yield MemoryReader(self._tables, MemoryCaches() if stored else self._caches, self._moment)

    async def write(self, work: Callable[[Writer], T], *, brief: bool = False) -> T:
        """See Store. There is no disk to share, so each transaction is one of its own."""
        self._check_open()
        if self._waiting >= WRITE_QUEUE_MAX:
            raise StoreBusy(f"{WRITE_QUEUE_MAX} writes are waiting already")
        self._waiting += 1
        try:
            async with self._turn:
                self._check_open()
                return await anyio.to_thread.run_sync(self._run, work)
        finally:
            self._waiting -= 1

    def _run(self, work: Callable[[Writer], T]) -> T:
        writer = MemoryWriter(self._tables, self._caches, self._moment, self._number)
        result = work(writer)
        self._moment = writer.flush()
        return result

    def _check_open(self) -> None:
        if self._closed:
            raise StorageError("The store is closed", hint="Open it again.")

    async def rewrite(self, work: Callable[[Rewriter], T]) -> T:
        """See Store. Always raises StorageError: what is in memory alone goes with the process."""
        raise StorageError(
            "A store in memory is never rewritten",
            hint="Close it: nothing of it stays. Use a file to redact or collect.",
        )

    async def shrink(self) -> tuple[int, int]:
        """See Store. There is no file to make smaller."""
        return 0, 0

    def on_forget(self, forget: Callable[[], None]) -> None:
        """See Store. What was read stays so here: only work that has not raised is put into the tables."""

    async def check(self) -> Health:
        """See Store."""
        return Health(PLACE, sqlite_version="", faults=(), settings={}, file_bytes=0, wal_bytes=0, problems=())

    def integrity(self) -> list[str]:
        """See Store."""
        return []

    async def close(self) -> None:
        """See Store."""
        async with self._turn:
            self._closed = True
