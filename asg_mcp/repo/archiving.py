"""The archive of a whole repository: what its files hold, and how they are made from a store.

    commits   [header, operations | null, [salt, body] | null] of every commit in order: null where operations were
              pruned, or texts erased, whose ids the header has. Behind each the values [salt, value] that are kept
              apart and that it is the first to have, in the order of its operations.
              A fourth item is there where values were erased later: for each entry of the leaves that the commit made
              whose value was erased somewhere, [its rank in the state, what stands there now]. Replaying does not tell
              that: a value may be erased at one path, and stay at another that it was moved to. (In version 1: its
              place among the entries of these leaves, and `erased after` is not told.)
    events    [header, salt | null, body | null] of every event: without a salt, what is kept of an erased body
    refs      [name, kind, commit] by name

An operation is [op, path, source | null, entries | null], an entry one of

    [key, kind, null]              the marker of a map or a list
    [key, 0, value]                a scalar
    [key, 0, value, salt]          one whose salt does not come from the class key
    [key, 0, id, erased after]     one that was erased, and since when: the last commit that found it whole, by its
                                   place in the archive, or 0; see `Blob`
    [key, 0, id]                   one that an earlier program erased, so that nothing tells
    [key, 0, [id]]                 one that is kept apart, as large ones are
    [key, 0, [id, class]]          one below a sensitive prefix; of a class whose key was destroyed it never follows

All of it is canonical DAG-CBOR, ids are links, and each record has its length in bytes before it, as an integer: so a
file is a CBOR sequence (RFC 8742), and whoever reads it knows how large a record is before it is decoded. Nothing in
here depends on the file that the store is in: parents go by their ids, and what a record or an index says is made
again from the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from blake3 import blake3

from asg_mcp.core.commitments import SALT_BYTES
from asg_mcp.core.ids import Id
from asg_mcp.core.limits import ARCHIVE_RECORD_BYTES_MAX
from asg_mcp.core.nodes import SCALAR, Blob, Branch, Entry, Hasher, Leaf
from asg_mcp.core.notes import Checkpoint
from asg_mcp.core.values import encode
from asg_mcp.errors import LimitExceeded, StorageError, StoreCorrupt, Withheld
from asg_mcp.repo.epochs import SEALED, epoch_records
from asg_mcp.repo.ledger import event_of
from asg_mcp.repo.logtree import checkpoint_at
from asg_mcp.repo.receipts import Receipts
from asg_mcp.repo.records import header_of, operations_of
from asg_mcp.storage.base import CommitRow, EventRow, Reader, Record

VERSIONS = (1, 2)
"""Of the form of the commits: where no value was erased they are the same in both, and it is the first."""
_PAGE = 500
Progress = Callable[[str, int, int], None]


def record_bytes(record: Any) -> bytes:
    """A record with its length before it. Raises LimitExceeded."""
    data = encode(record)
    if len(data) > ARCHIVE_RECORD_BYTES_MAX:
        raise LimitExceeded(
            f"A commit or event has {len(data)} bytes in the archive; at most {ARCHIVE_RECORD_BYTES_MAX}",
            hint="`asg-mcp backup` copies the store as it is, whatever its commits hold.",
            limit="ARCHIVE_RECORD_BYTES_MAX",
            max=ARCHIVE_RECORD_BYTES_MAX,
        )
    return encode(len(data)) + data


def derived_salt(class_key: bytes, canonical: bytes) -> str:
    """The salt that a value has under a class key when none is pinned."""
    return blake3(canonical, key=class_key).digest(SALT_BYTES).hex()


class Exporting:
    """One moment of a store as the records of an archive."""

    def __init__(self, reader: Reader, hasher: Hasher, progress: Progress) -> None:
        self._reader, self._hasher, self._progress = reader, hasher, progress
        self._shown: set[bytes] = set()
        """Digests of the values apart that were shown."""
        self._destroyed = {group.name for group in hasher.classes.all if group.destroyed}
        self._receipts = Receipts.of(reader)
        self._last_row = 0
        """The highest row of a node of the commits before."""
        self.counts = {"commits": reader.last_seq(), "events": reader.events_count(), "refs": 0, "salts": 0}
        """`salts` are those that do not come from the class key."""

    @property
    def version(self) -> int:
        """That of the form of the commits."""
        return VERSIONS[bool(self._receipts.values)]

    def checkpoint(self) -> Checkpoint:
        """How far the log has come."""
        return checkpoint_at(self._reader, self.counts["events"])

    def keys(self) -> dict[str, Any]:
        """The keys of the store's own, and its sensitive prefixes."""
        ids = self._hasher.value_ids
        return {
            "class_key": ids.class_key.hex(),
            "level_salt": self._hasher.level_salt.hex(),
            "classes": [[group.name, list(group.path), group.destroyed] for group in self._hasher.classes.all],
        }

    def commits(self) -> Iterator[bytes]:
        """The records of all commits. Raises StoreCorrupt where one is not what its id says."""
        last = self.counts["commits"]
        for seq in range(1, last + 1):
            apart: list[tuple[Blob, str]] = []
            yield record_bytes(self._commit(self._reader.commit(seq), apart))
            for blob, group in apart:
                yield record_bytes(self._value(blob, group))
            if seq % _PAGE == 0 or seq == last:
                self._progress("commits", seq, last)

    def _commit(self, row: CommitRow, apart: list[tuple[Blob, str]]) -> list[Any]:
        header = header_of(self._reader, row, self._hasher)
        if header.id != row.id:
            raise StoreCorrupt(f"The id of commit {row.id.short} is not that of its header", kind="commit", row=row.seq)
        salt, body, held = row.parts[10:13]
        operations = None
        if not isinstance(held, bytes):
            operations = [
                [
                    operation.op.value,
                    operation.path,
                    operation.source,
                    None if operation.entries is None else self._entries(operation.entries, apart),
                ]
                for operation in operations_of(row)
            ]
        standing = [] if operations is None else self._standing(row, apart)
        told = [header.as_map(), operations, None if isinstance(body, bytes) else [salt, body]]
        return [*told, standing] if standing else told

    def _standing(self, row: CommitRow, apart: list[tuple[Blob, str]]) -> list[list[Any]]:
        """What stands now where a commit put values that were erased later, at this path or at another."""
        before, self._last_row = self._last_row, max(self._last_row, row.root_row)
        if row.seq > self._receipts.newest or row.root_row <= before:
            return []
        found: list[list[Any]] = []
        todo = [(row.root_row, 0)]
        while todo:
            number, rank = todo.pop()
            node = self._reader.load(number)
            if type(node) is Branch:  # rows are numbered in the order of commits, so what is new has higher numbers
                children = zip(node.items, node.starts, strict=False)
                todo += [(link.row, rank + start) for link, start in children if link.row > before][::-1]
                continue
            assert type(node) is Leaf, "BUG: a node is a leaf or a branch"
            for at, entry in enumerate(node.items, rank):
                value_id = self._hasher.value_id(entry)
                if value_id is not None and value_id.digest in self._receipts.values:
                    found.append([at, *self._entry(entry, apart)[2:]])
        return found

    def _entries(self, entries: Iterable[Entry], apart: list[tuple[Blob, str]]) -> list[list[Any]]:
        return [self._entry(entry, apart) for entry in entries]

    def _entry(self, entry: Entry, apart: list[tuple[Blob, str]]) -> list[Any]:
        value = entry.value
        if entry.kind != SCALAR or type(value) is not Blob:
            told = [entry.key, entry.kind, value]
            if entry.kind == SCALAR and (salt := self._pinned(value)):
                told.append(salt)
            return told
        if value.erased:
            return [entry.key, SCALAR, value.id, *([] if value.erased_after is None else [value.erased_after])]
        group = self._reader.blob_group(value.row)
        if value.id.digest not in self._shown:
            self._shown.add(value.id.digest)
            if group not in self._destroyed:
                apart.append((value, group))
        return [entry.key, SCALAR, [value.id, group] if group else [value.id]]

    def _pinned(self, value: Any) -> str:
        """The salt of a value, where it does not come from the class key; else ""."""
        ids = self._hasher.value_ids
        if not ids.pinned:
            return ""
        canonical = encode(value)
        salt = ids.salt_of(canonical)
        if salt == derived_salt(ids.class_key, canonical):
            return ""
        self.counts["salts"] += 1
        return salt

    def _value(self, blob: Blob, group: str) -> list[Any]:
        try:
            value = self._reader.blob(blob.row)
            told = [self._hasher.ids_of(group).salt_of(encode(value)), value]
            if not group:
                self._pinned(value)
        except Withheld as error:
            raise StorageError(
                f"The key of the class {group!r} is not here, so its values cannot be exported",
                hint="Put its key file back beside the store, or destroy the class: asg-mcp class destroy.",
                group=group,
            ) from error
        if Id.of(encode(told)) != blob.id:
            raise StoreCorrupt(f"The value in blob {blob.row} does not hash to its id", kind="value", row=blob.row)
        return told

    def events(self) -> Iterator[bytes]:
        """The records of all events. Raises StoreCorrupt where one is not what its leaf says."""
        count = self.counts["events"]
        for index in range(count):
            row = self._reader.event(index)
            if row is None or (event := event_of(self._reader, row)).leaf_hash() != row.leaf:
                raise StoreCorrupt(f"The leaf of event {index} is not that of its header", kind="event", row=index)
            yield record_bytes([event.header(), *_told(row)])
            if (index + 1) % _PAGE == 0 or index + 1 == count:
                self._progress("events", index + 1, count)

    def refs(self) -> Iterator[bytes]:
        """The records of all refs."""
        after = ""
        while page := self._reader.refs("", after, _PAGE):
            for ref in page:
                yield record_bytes([ref.name, ref.kind.label, self._reader.commit(ref.seq).id])
            self.counts["refs"] += len(page)
            after = page[-1].name

    def sealed(self) -> list[Record]:
        """The sealed epochs, in the order of their seals."""
        sealed = [record for record in epoch_records(self._reader) if record.data["state"] == SEALED]
        return sorted(sealed, key=lambda record: int(record.data["size"]))

    def root_at(self, size: int) -> bytes:
        """The root of the log's first events."""
        return checkpoint_at(self._reader, size).root


def _told(row: EventRow) -> tuple[Any, Any]:
    """Salt and body of an event; without a salt, what is kept of a body that was erased."""
    if row.data is None or len(row.data) < 8 or row.data[7] is None:
        return None, None
    salt, held = row.data[6:8]
    if isinstance(held, bytes):
        return None, {}
    if isinstance(held, list):
        return None, held[1]
    return salt, held
