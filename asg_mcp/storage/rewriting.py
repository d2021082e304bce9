"""Changing and taking away what is stored in SQLite: the transaction of redaction and garbage collection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from asg_mcp.core.commitments import CLASS_KEY_BYTES
from asg_mcp.core.values import encode
from asg_mcp.errors import StoreBusy
from asg_mcp.storage.base import CommitRow, StoredReply, Term
from asg_mcp.storage.session import SqliteWriter, commit_identity, term_number

SHRINK_TRIES_MAX = 6
"""How often the log of writes is asked to become empty; each time SQLite waits 10 s for readers, as it does always."""


class SqliteRewriter(SqliteWriter):
    """A `Rewriter`: stages changes of rows too."""

    def put_node_parts(self, row: int, parts: list[Any]) -> None:
        """See Rewriter."""
        self._stage("UPDATE nodes SET data = ? WHERE id = ?", self._sealer.seal(encode(parts), b"node%d" % row), row)

    def drop_nodes(self, rows: Iterable[int]) -> None:
        """See Rewriter."""
        for row in rows:
            self._stage("DELETE FROM nodes WHERE id = ?", row)

    def drop_blobs(self, rows: Iterable[int]) -> None:
        """See Rewriter."""
        for row in rows:
            self._stage("DELETE FROM blobs WHERE id = ?", row)

    def replace_commit(
        self, row: CommitRow, terms: tuple[Iterable[Term], Iterable[Term]], text: tuple[str, str]
    ) -> None:
        """See Rewriter."""
        identity = commit_identity(row.seq, row.id.digest, row.parents, row.at, row.root_row)
        data = self._sealer.seal(encode(row.parts), identity)
        self._stage("UPDATE commits SET root = ?, data = ? WHERE seq = ?", row.root_row, data, row.seq)
        before, after = ({term_number(term) for term in side} for side in terms)
        for number in sorted(before - after):
            self._stage("DELETE FROM terms WHERE term = ? AND seq = ?", number, row.seq)
        for number in sorted(after - before):
            self._stage("INSERT INTO terms (term, seq) VALUES (?, ?)", number, row.seq)
        if text[0] != text[1]:
            # The index keeps no texts, so it has to be told what it was told then.
            self._stage("INSERT INTO texts (texts, rowid, text) VALUES ('delete', ?, ?)", row.seq, text[0])
            self._stage("INSERT INTO texts (rowid, text) VALUES (?, ?)", row.seq, text[1])

    def replace_event(self, index: int, data: list[Any]) -> None:
        """See Rewriter."""
        sealed = self._sealer.seal(encode(data), b"event%d" % index)
        self._stage("UPDATE events SET data = ? WHERE id = ? AND data IS NOT NULL", sealed, index)

    def replace_reply(self, key: bytes, reply: StoredReply) -> None:
        """See Rewriter."""
        sealed = self._sealer.seal(encode([reply.fingerprint.hex(), reply.answer]), b"reply" + key)
        self._stage("UPDATE replies SET data = ? WHERE id = ?", sealed, key)

    def replace_class_key(self, key: bytes, pins: bytes) -> None:
        """See Rewriter."""
        assert len(key) == CLASS_KEY_BYTES, f"BUG: a class key has {CLASS_KEY_BYTES} bytes"
        self._stage("UPDATE meta SET value = ? WHERE name = 'class_key'", key)
        self._stage(
            "INSERT INTO meta (name, value) VALUES ('class_pins', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            pins,
        )

    def flush(self) -> None:
        """Write what was staged, and raise the generation, so that every process drops what it has read."""
        self._stage("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
        super().flush()


def vacuum(db: sqlite3.Connection) -> None:
    """Make the file anew without the room of what was taken away; the caller holds the write lock.

    The text index keeps words of deleted rows until its segments are merged, a page that was freed keeps its bytes
    until it is used again, and the log of writes keeps all of that until it is emptied: so each of the three is done,
    in this order (measured; SQLite's manual on `secure_delete`, FTS5 'optimize' and `wal_checkpoint(TRUNCATE)`).

    Raises StoreBusy while others read what the log of writes holds, and sqlite3.Error.
    """
    db.execute("INSERT INTO texts (texts) VALUES ('optimize')")
    # The new file is made beside the old one in a temporary file, which may be larger than the memory.
    store = db.execute("PRAGMA temp_store").fetchone()[0]
    db.execute("PRAGMA temp_store = 1")
    try:
        db.execute("VACUUM")
    finally:
        db.execute(f"PRAGMA temp_store = {store}")
    for _ in range(SHRINK_TRIES_MAX):
        if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0:
            return
    raise StoreBusy(
        "Others read for too long: the store's log of writes still has what was taken away",
        hint="Repeat the command when they are done; it goes on from where it was.",
    )
