"""Reading and writing inside one SQLite transaction."""

from __future__ import annotations

import secrets
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from blake3 import blake3

from asg_mcp.core.events import Event
from asg_mcp.core.ids import CommitId
from asg_mcp.core.limits import COMMIT_CACHE_BYTES_MAX, NODE_CACHE_BYTES_MAX, VALUE_CACHE_BYTES_MAX
from asg_mcp.core.merkle import TILE_WIDTH, completed_tiles
from asg_mcp.core.noderows import unpack_node
from asg_mcp.core.nodes import Node
from asg_mcp.core.values import encode
from asg_mcp.errors import Conflict, StoreCorrupt
from asg_mcp.storage.base import CommitRow, EventRow, Record, RecordKind, Ref, RefKind, StoredReply, Term, TermKind
from asg_mcp.storage.cache import ByteCache
from asg_mcp.storage.counters import Counters
from asg_mcp.storage.keys import COMMIT_BYTES, node_bytes, reply_key
from asg_mcp.storage.rows import Sealer, unpack
from asg_mcp.storage.staging import with_staged

_HASHED_TERM_BITS = 43
_KIND_BITS = 4
_REF_KINDS = {int(kind): kind for kind in RefKind}


@dataclass(slots=True)
class Caches:
    """What the sessions of one store share. Numbers are never used twice, so nothing in here goes stale."""

    nodes: ByteCache[Node] = field(default_factory=lambda: ByteCache(NODE_CACHE_BYTES_MAX))
    blobs: ByteCache[Any] = field(default_factory=lambda: ByteCache(VALUE_CACHE_BYTES_MAX))
    commits: ByteCache[CommitRow] = field(default_factory=lambda: ByteCache(COMMIT_CACHE_BYTES_MAX))
    names: dict[int, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    generation: int = 0

    def clear(self) -> None:
        """Forget all rows: the store's generation moved, or a batch was rolled back."""
        for cache in (self.nodes, self.blobs, self.commits):
            cache.clear()
        self.names.clear()
        self.numbers.clear()


class SqliteReader:
    """A `Reader` over one connection that has a transaction open."""

    def __init__(self, connection: sqlite3.Connection, caches: Caches, sealer: Sealer) -> None:
        self._db = connection
        self._caches = caches
        self._sealer = sealer
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
            node = unpack_node(row, self._payload("nodes", "node", row), self.load)
            self._caches.nodes.put(row, node, node_bytes(node))
        return node

    def blob(self, row: int) -> Any:
        """See NodeSource."""
        value = self._caches.blobs.get(row)
        if value is None:
            parts = self._payload("blobs", "blob", row)
            value = self._sealer.opened(parts, f"blob {row}")
            if len(parts) == 1:  # what is sealed is opened each time, so that a key which goes is noticed at once
                self._caches.blobs.put(row, value, len(str(value)))
        return value

    def _payload(self, table: str, what: str, row: int) -> list[Any]:
        found = self._db.execute(f"SELECT data FROM {table} WHERE id = ?", (row,)).fetchone()
        if found is None:
            raise StoreCorrupt(f"{what} {row} is missing", kind=what, row=row)
        return unpack(self._sealer.open(found[0], f"{what}{row}".encode(), f"{what} {row}"), f"{what} {row}")

    # --- refs and commits -----------------------------------------------------

    def ref(self, name: str) -> Ref | None:
        """See Reader."""
        found = self._db.execute("SELECT kind, seq FROM refs WHERE name = ?", (name,)).fetchone()
        return None if found is None else Ref(name, _ref_kind(found[0], name), found[1])

    def refs(self, prefix: str, after: str, limit: int) -> list[Ref]:
        """See Reader."""
        # A prefix is a range of names: the names are ASCII, and U+FFFF sorts behind them all.
        low = after if after > prefix else prefix
        comparison = ">" if after >= prefix and after else ">="
        found = self._db.execute(
            f"SELECT name, kind, seq FROM refs WHERE name {comparison} ? AND name < ? ORDER BY name LIMIT ?",
            (low, prefix + "\uffff", limit),
        )
        return [Ref(name, _ref_kind(kind, name), seq) for name, kind, seq in found]

    def refs_count(self, prefix: str, kind: RefKind | None) -> int:
        """See Reader."""
        found = self._db.execute(
            "SELECT count(*) FROM refs WHERE name >= ? AND name < ? AND kind BETWEEN ? AND ?",
            (prefix, prefix + "\uffff", min(RefKind) if kind is None else kind, max(RefKind) if kind is None else kind),
        )
        return int(found.fetchone()[0])

    def commit(self, seq: int) -> CommitRow:
        """See Reader."""
        row = self._caches.commits.get(seq)
        if row is None:
            found = self._db.execute("SELECT id, p1, p2, at, root, data FROM commits WHERE seq = ?", (seq,)).fetchone()
            if found is None:
                raise StoreCorrupt(f"commit {seq} is missing", kind="commit", row=seq)
            digest, p1, p2, at, root, data = found
            parents = tuple(parent for parent in (p1, p2) if parent is not None)
            what = f"commit {digest.hex()[:12]}"
            payload = self._sealer.open(data, commit_identity(seq, digest, parents, at, root), what)
            row = CommitRow(seq, CommitId.from_digest(digest), parents, at, root, unpack(payload, what))
            self._caches.commits.put(seq, row, COMMIT_BYTES + 2 * len(payload))
        return row

    def commit_seqs(self, prefix: str, limit: int) -> list[int]:
        """See Reader."""
        low, high = (bytes.fromhex(prefix[:12].ljust(12, digit)) for digit in "0f")
        found = self._db.execute(
            "SELECT seq, id FROM commits WHERE substr(id, 1, 6) BETWEEN ? AND ? ORDER BY seq", (low, high)
        )
        return [seq for seq, digest in found if digest.hex().startswith(prefix)][:limit]

    def last_seq(self) -> int:
        """See Reader."""
        return int(self._db.execute("SELECT ifnull(max(seq), 0) FROM commits").fetchone()[0])

    def parents_after(self, seq: int) -> Iterator[tuple[int, tuple[int, ...]]]:
        """See Reader."""
        for number, p1, p2 in self._db.execute("SELECT seq, p1, p2 FROM commits WHERE seq > ? ORDER BY seq", (seq,)):
            yield number, () if p1 is None else (p1,) if p2 is None else (p1, p2)

    def seqs_between(self, since: int | None, until: int | None) -> tuple[int, int]:
        """See Reader."""
        low, high = self._db.execute(
            "SELECT ifnull(min(seq), 1), ifnull(max(seq), 0) FROM commits WHERE at >= ? AND at <= ?",
            (-(2**63) if since is None else since, 2**63 - 1 if until is None else until),
        ).fetchone()
        return int(low), int(high)

    # --- the index --------------------------------------------------------------

    def find(self, term: Term, before: int, limit: int, *, after: int | None = None) -> list[int]:
        """See Reader."""
        order = "DESC" if after is None else "ASC"
        found = self._db.execute(
            f"SELECT seq FROM terms WHERE term = ? AND seq < ? AND seq > ? ORDER BY seq {order} LIMIT ?",
            (term_number(term), before, -1 if after is None else after, limit),
        )
        return [seq for (seq,) in found]

    def find_text(self, words: Sequence[str], before: int, limit: int, *, after: int | None = None) -> list[int]:
        """See Reader."""
        match = " ".join('"' + word.replace('"', '""') + '"' for word in words)
        order = "DESC" if after is None else "ASC"
        found = self._db.execute(
            f"SELECT rowid FROM texts WHERE texts MATCH ? AND rowid < ? AND rowid > ? ORDER BY rowid {order} LIMIT ?",
            (match, before, -1 if after is None else after, limit),
        )
        return [seq for (seq,) in found]

    # --- events, replies, names ---------------------------------------------------

    def event(self, index: int) -> EventRow | None:
        """See Reader."""
        found = self._db.execute(
            "SELECT kind, ref, ref_kind, old, new, leaf, data FROM events WHERE id = ?", (index,)
        ).fetchone()
        if found is None:
            return None
        kind, ref, ref_kind, old, new, leaf, data = found
        parts = None
        if data is not None:
            parts = unpack(self._sealer.open(data, f"event{index}".encode(), f"event {index}"), f"event {index}")
        return EventRow(index, kind, self.name(ref), RefKind(ref_kind), old, new, leaf, parts)

    def events_count(self) -> int:
        """See Reader."""
        return int(self._db.execute("SELECT ifnull(max(id), -1) + 1 FROM events").fetchone()[0])

    def record(self, kind: RecordKind, key: str) -> Record | None:
        """See Reader."""
        found = self._db.execute(
            "SELECT key, opened, last, data FROM records WHERE kind = ? AND key = ?", (int(kind), key)
        ).fetchone()
        return None if found is None else self._record(kind, *found)

    def records(self, kind: RecordKind, before: int, limit: int) -> list[Record]:
        """See Reader."""
        found = self._db.execute(
            "SELECT key, opened, last, data FROM records WHERE kind = ? AND opened < ? ORDER BY opened DESC LIMIT ?",
            (int(kind), before, limit),
        )
        return [self._record(kind, *row) for row in found]

    def _record(self, kind: RecordKind, key: str, opened: int, last: int, data: bytes) -> Record:
        what = f"{kind.name.lower()} {key}"
        parts: list[Any] = unpack(self._sealer.open(data, record_identity(kind, key), what), what)
        return Record(kind, key, opened, last, parts[0])

    def tile(self, level: int, index: int) -> bytes | None:
        """See Reader."""
        found = self._db.execute("SELECT digest FROM tiles WHERE level = ? AND place = ?", (level, index)).fetchone()
        return None if found is None else bytes(found[0])

    def reply(self, principal: str, request_id: str) -> StoredReply | None:
        """See Reader."""
        key = reply_key(principal, request_id)
        found = self._db.execute("SELECT data FROM replies WHERE id = ?", (key,)).fetchone()
        return None if found is None else self._reply(key, found[0])

    def replies(self, after: bytes, limit: int) -> list[tuple[bytes, StoredReply]]:
        """See Reader."""
        found = self._db.execute("SELECT id, data FROM replies WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [(key, self._reply(key, data)) for key, data in found]

    def _reply(self, key: bytes, data: bytes) -> StoredReply:
        what = f"reply {key.hex()[:12]}"
        parts: list[Any] = unpack(self._sealer.open(data, b"reply" + key, what), what)
        try:
            fingerprint, answer = parts
            return StoredReply(bytes.fromhex(fingerprint), answer)
        except (TypeError, ValueError) as error:
            raise StoreCorrupt(f"The stored bytes of {what} are no reply: {error}", what=what) from error

    def name(self, number: int) -> str:
        """See Reader."""
        text = self._caches.names.get(number)
        if text is None:
            found = self._db.execute("SELECT text FROM names WHERE id = ?", (number,)).fetchone()
            if found is None:
                raise StoreCorrupt(f"name {number} is missing", kind="name", row=number)
            text = self._caches.names[number] = str(found[0])
        return text

    def generation(self) -> int:
        """See Reader."""
        return int(self._db.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0])

    def node_rows(self, after: int, limit: int) -> list[tuple[int, list[Any]]]:
        """See Reader."""
        found = self._db.execute("SELECT id, data FROM nodes WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [
            (row, unpack(self._sealer.open(data, b"node%d" % row, f"node {row}"), f"node {row}")) for row, data in found
        ]

    def blob_group(self, row: int) -> str:
        """See Reader."""
        parts = self._payload("blobs", "blob", row)
        return "" if len(parts) == 1 else str(parts[0])

    def blob_rows(self, after: int, limit: int) -> list[int]:
        """See Reader."""
        found = self._db.execute("SELECT id FROM blobs WHERE id > ? ORDER BY id LIMIT ?", (after, limit))
        return [row for (row,) in found]


class SqliteWriter(SqliteReader):
    """A `Writer`: stages what one transaction writes, and writes it when the work has not raised."""

    def __init__(self, connection: sqlite3.Connection, caches: Caches, sealer: Sealer, counters: Counters) -> None:
        super().__init__(connection, caches, sealer)
        self._counters = counters
        self._staged: list[tuple[str, tuple[Any, ...]]] = []
        self._new_names: dict[str, int] = {}
        self._new_nodes: dict[int, Node] = {}
        self._new_commits: list[tuple[CommitRow, bytes]] = []
        self._new_records: dict[tuple[RecordKind, str], Record] = {}
        self._new_leaves: dict[int, bytes] = {}
        self._last_seq: int | None = None
        self._events: int | None = None
        self._new_refs: dict[str, Ref | None] = {}
        self._known_refs: dict[str, Ref | None] = {}
        """As this transaction read them: nobody else writes while it lasts."""

    def salt(self) -> str:
        """See Writer."""
        return secrets.token_hex(16)

    def intern(self, text: str) -> int:
        """See Writer."""
        number = self._caches.numbers.get(text) or self._new_names.get(text)
        if number is None:
            found = self._db.execute("SELECT id FROM names WHERE text = ?", (text,)).fetchone()
            if found is not None:
                self._caches.numbers[text] = number = int(found[0])
            else:
                number = self._counters.take("name")
                self._new_names[text] = number
                self._stage("INSERT INTO names (id, text) VALUES (?, ?)", number, text)
        return number

    def name(self, number: int) -> str:
        """See Reader."""
        for text, new in self._new_names.items():
            if new == number:
                return text
        return super().name(number)

    def load(self, row: int) -> Node:
        """See NodeSource. What this transaction has staged can be read too."""
        return self._new_nodes.get(row) or super().load(row)

    def next_row(self) -> int:
        """See Writer."""
        return self._counters.take("row")

    def put_node(self, row: int, payload: bytes, node: Node) -> None:
        """See Writer."""
        self._stage("INSERT INTO nodes (id, data) VALUES (?, ?)", row, self._sealer.seal(payload, b"node%d" % row))
        self._new_nodes[row] = node

    def put_blob(self, row: int, payload: bytes, group: str = "") -> None:
        """See Writer."""
        if group:
            payload = self._sealer.closed(group, payload)
        self._stage("INSERT INTO blobs (id, data) VALUES (?, ?)", row, self._sealer.seal(payload, b"blob%d" % row))

    def last_seq(self) -> int:
        """See Reader."""
        return self._ends()[0] if self._last_seq is None else self._last_seq

    def events_count(self) -> int:
        """See Reader."""
        return self._ends()[1] if self._events is None else self._events

    def _ends(self) -> tuple[int, int]:
        """The last seq and the number of events, read at once, for each commit needs both."""
        last, behind = self._db.execute(
            "SELECT ifnull((SELECT max(seq) FROM commits), 0), ifnull((SELECT max(id) FROM events), -1) + 1"
        ).fetchone()
        self._last_seq = int(last) if self._last_seq is None else self._last_seq
        self._events = int(behind) if self._events is None else self._events
        return self._last_seq, self._events

    def ref(self, name: str) -> Ref | None:
        """See Reader. What this transaction has staged can be read too."""
        if name in self._new_refs:
            return self._new_refs[name]
        if name not in self._known_refs:
            self._known_refs[name] = super().ref(name)
        return self._known_refs[name]

    def refs(self, prefix: str, after: str, limit: int) -> list[Ref]:
        """See Reader. What this transaction has staged can be read too."""
        there = super().refs(prefix, after, limit + len(self._new_refs))
        return with_staged(there, self._new_refs, prefix, after)[:limit]

    def put_commit(self, row: CommitRow, terms: Iterable[Term], text: str) -> None:
        """See Writer."""
        assert row.seq == self.last_seq() + 1, "BUG: commits are numbered without gaps"
        digest = row.id.digest
        identity, payload = commit_identity(row.seq, digest, row.parents, row.at, row.root_row), encode(row.parts)
        p1, p2 = (*row.parents, None, None)[:2]
        self._stage(
            "INSERT INTO commits (seq, id, p1, p2, at, root, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            *(row.seq, digest, p1, p2, row.at, row.root_row, self._sealer.seal(payload, identity)),
        )
        for number in sorted({term_number(term) for term in terms}):
            self._stage("INSERT INTO terms (term, seq) VALUES (?, ?)", number, row.seq)
        self._stage("INSERT INTO texts (rowid, text) VALUES (?, ?)", row.seq, text)
        self._last_seq = row.seq
        self._new_commits.append((row, payload))

    def swap_ref(self, old: Ref | None, new: Ref | None) -> None:
        """See Writer."""
        name = (old or new or Ref("", RefKind.BRANCH, 0)).name
        if self.ref(name) != old:
            raise Conflict(f"{name} is no longer what it was read as", hint="Repeat the call.", ref=name)
        if new is None:
            self._stage("DELETE FROM refs WHERE name = ?", name)
        elif old is None:
            self._stage("INSERT INTO refs (name, kind, seq) VALUES (?, ?, ?)", name, int(new.kind), new.seq)
        else:
            self._stage("UPDATE refs SET seq = ? WHERE name = ? AND seq = ?", new.seq, name, old.seq)
        self._new_refs[name] = new

    def append_event(self, event: Event, kind: int, old: int | None, new: int | None, data: list[Any] | None) -> None:
        """See Writer."""
        assert event.index == self.events_count(), "BUG: events are numbered without gaps"
        leaf = self._new_leaves[event.index] = event.leaf_hash()
        sealed = None if data is None else self._sealer.seal(encode(data), b"event%d" % event.index)
        ref_kind = int(RefKind[event.ref_kind.upper()]) if event.ref else 0
        self._stage(
            "INSERT INTO events (id, kind, ref, ref_kind, old, new, leaf, data) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            *(event.index, kind, self.intern(event.ref), ref_kind, old, new, leaf, sealed),
        )
        for term in ((TermKind.REF, event.ref), (TermKind.SUBJECT, event.subject)):
            if term[1]:
                self._stage("INSERT INTO terms (term, seq) VALUES (?, ?)", term_number(term), event.index)
        self._events = event.index + 1
        for level, index, digest in completed_tiles(self._events, self._kept_hashes):
            self.put_tile(level, index, digest)

    def _kept_hashes(self, level: int, first: int) -> list[bytes]:
        """The hashes that are kept of one level of the log's tree (0: its leaves), from an index on, 256 at most."""
        table = "SELECT id, leaf FROM events WHERE id >= ? AND id < ? ORDER BY id"
        if level:
            table = f"SELECT place, digest FROM tiles WHERE level = {level} AND place >= ? AND place < ? ORDER BY place"
        staged = self._new_leaves if not level else {}
        last = first + TILE_WIDTH
        found = {int(place): bytes(digest) for place, digest in self._db.execute(table, (first, last))}
        found |= {place: digest for place, digest in staged.items() if first <= place < last}
        return [found[place] for place in sorted(found)]

    def record(self, kind: RecordKind, key: str) -> Record | None:
        """See Reader. What this transaction has staged can be read too."""
        return self._new_records.get((kind, key)) or super().record(kind, key)

    def put_record(self, record: Record) -> None:
        """See Writer."""
        sealed = self._sealer.seal(encode([record.data]), record_identity(record.kind, record.key))
        self._stage(
            "INSERT INTO records (kind, key, opened, last, data) VALUES (?, ?, ?, ?, ?)"
            " ON CONFLICT (kind, key)"
            " DO UPDATE SET opened = excluded.opened, last = excluded.last, data = excluded.data",
            *(int(record.kind), record.key, record.opened, record.last, sealed),
        )
        self._new_records[record.kind, record.key] = record

    def put_tile(self, level: int, index: int, digest: bytes) -> None:
        """See Writer. One that is there already stays; where it is another, StoreCorrupt is raised."""
        kept = self._db.execute("SELECT digest FROM tiles WHERE level = ? AND place = ?", (level, index)).fetchone()
        if kept is None:
            self._stage("INSERT INTO tiles (level, place, digest) VALUES (?, ?, ?)", level, index, digest)
        elif kept[0] != digest:
            raise StoreCorrupt(
                f"Tile {index} of level {level} of the log's tree is there before its events, and is not their hash",
                hint="Nothing was written, and nothing more can be. `asg-mcp verify` names what is damaged; go on from "
                "a backup: `asg-mcp restore FILE --to NEWFILE`.",
                what=f"tile {index} of level {level}",
            )

    def put_reply(self, principal: str, request_id: str, reply: StoredReply) -> None:
        """See Writer."""
        key = reply_key(principal, request_id)
        payload = encode([reply.fingerprint.hex(), reply.answer])
        self._stage("INSERT INTO replies (id, data) VALUES (?, ?)", key, self._sealer.seal(payload, b"reply" + key))

    def _stage(self, sql: str, *values: Any) -> None:
        self._staged.append((sql, values))

    def flush(self) -> None:
        """Write what was staged. Raises sqlite3.Error; the batch is rolled back then."""
        for sql, values in self._staged:
            changed = self._db.execute(sql, values).rowcount
            assert changed == 1, f"BUG: {changed} rows changed by {sql}"
        for row, node in self._new_nodes.items():
            self._caches.nodes.put(row, node, node_bytes(node))
        for commit, payload in self._new_commits:  # as reading it would give it
            parts = unpack(payload, "a commit")
            kept = CommitRow(commit.seq, commit.id, commit.parents, commit.at, commit.root_row, parts)
            self._caches.commits.put(commit.seq, kept, COMMIT_BYTES + 2 * len(payload))


def _ref_kind(number: int, name: str) -> RefKind:
    try:
        return _REF_KINDS[number]
    except KeyError as error:
        raise StoreCorrupt(f"The kind of the ref {name} is {number}, which is none", kind="ref", what=name) from error


def commit_identity(seq: int, digest: bytes, parents: Sequence[int], at: int, root: int) -> bytes:
    """What a commit row says besides its data, for the checksum."""
    return b"commit%d %b %b %d %d" % (seq, digest, ",".join(map(str, parents)).encode(), at, root)


def record_identity(kind: RecordKind, key: str) -> bytes:
    """What a record's row says besides its data, for the checksum; the log tells when it was opened and changed."""
    return b"record%d %b" % (kind, key.encode())


@lru_cache(maxsize=1_024)  # the same few agents, refs and paths come again and again
def term_number(term: Term) -> int:
    """The index's number of a term: its kind and 43 bits of a hash of its text. A collision is one candidate more."""
    kind, text = term
    hashed = int.from_bytes(blake3(text.encode()).digest(8), "big") >> (64 - _HASHED_TERM_BITS)
    return hashed << _KIND_BITS | int(kind)
