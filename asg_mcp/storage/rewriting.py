"""Changing and taking away what is stored in SQLite: the transaction of redaction and garbage collection."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from asg_mcp.core.classes import ValueClass
from asg_mcp.core.commitments import CLASS_KEY_BYTES
from asg_mcp.core.values import decode_trusted, encode
from asg_mcp.storage.base import CommitRow, StoredReply, Term
from asg_mcp.storage.session import SqliteWriter, commit_identity, term_number

SHRINK_TRIES_MAX = 240
"""How often the log of writes is asked to become empty, a quarter of a second apart: a minute, as others may read."""
SHRINK_PAUSE_SECONDS = 0.25
_EMPTYING_MS = 50
"""How long one such try waits for readers: nobody can write meanwhile."""


SHRINK_DUE = "shrink_due"
"""In `meta` from the transaction that erases something until the file was made anew without it."""


STILL_THERE = "something was erased, and its bytes may still be in the file; run: asg-mcp redact --finish"


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

    def replace_classes(self, classes: Sequence[ValueClass]) -> None:
        """See Rewriter."""
        self._stage(
            "INSERT INTO meta (name, value) VALUES ('classes', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            encode([[group.name, list(group.path), group.destroyed] for group in classes]),
        )

    def replace_class_key(self, key: bytes, pins: bytes) -> None:
        """See Rewriter."""
        assert len(key) == CLASS_KEY_BYTES, f"BUG: a class key has {CLASS_KEY_BYTES} bytes"
        self._stage("UPDATE meta SET value = ? WHERE name = 'class_key'", key)
        self._stage(
            "INSERT INTO meta (name, value) VALUES ('class_pins', ?)"
            " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            pins,
        )

    def owe_shrink(self) -> None:
        """See Rewriter."""
        self._stage(
            "INSERT INTO meta (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = 1", SHRINK_DUE
        )

    def flush(self) -> None:
        """Write what was staged, and raise the generation, so that every process drops what it has read."""
        self._stage("UPDATE meta SET value = value + 1 WHERE name = 'generation'")
        super().flush()


def classes_in(meta: Mapping[str, Any]) -> list[ValueClass]:
    """The sensitive prefixes that a store's constants tell of."""
    return [ValueClass(name, tuple(path), gone) for name, path, gone in decode_trusted(meta.get("classes", encode([])))]


def is_shrink_due(db: sqlite3.Connection) -> bool:
    """Whether something was erased, and the file was not made anew since."""
    return db.execute("SELECT 1 FROM meta WHERE name = ?", (SHRINK_DUE,)).fetchone() is not None


def remake(db: sqlite3.Connection) -> int:
    """Make the file anew without the room of what was taken away; the caller holds the write lock.

    The text index keeps words of deleted rows until its segments are merged, a page that was freed keeps its bytes
    until it is used again, and the log of writes keeps all of that until `empty_log` has emptied it: so each of the
    three is done, in this order (measured; SQLite's manual on `secure_delete`, FTS5 'optimize', `wal_checkpoint`).

    Returns the generation that it was made at. Raises sqlite3.Error; what was due is due then still.
    """
    db.execute("INSERT INTO texts (texts) VALUES ('optimize')")
    generation = int(db.execute("SELECT value FROM meta WHERE name = 'generation'").fetchone()[0])
    # The new file is made in a temporary file first, in SQLITE_TMPDIR or the system's folder for such, for it may be
    # larger than the memory. It holds nothing that was erased, and it goes when the connection is done with it.
    store = db.execute("PRAGMA temp_store").fetchone()[0]
    db.execute("PRAGMA temp_store = 1")
    try:
        db.execute("VACUUM")
    finally:
        db.execute(f"PRAGMA temp_store = {store}")
    return generation


def empty_log(db: sqlite3.Connection, generation: int) -> bool:
    """Empty the log of writes, and say so in the store; False while somebody reads what it holds.

    The caller holds the write lock. What others have taken away since `generation` is due still.
    """
    wait = db.execute("PRAGMA busy_timeout").fetchone()[0]
    db.execute(f"PRAGMA busy_timeout = {_EMPTYING_MS}")
    try:
        if db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
            return False
    finally:
        db.execute(f"PRAGMA busy_timeout = {wait}")
    now = "(SELECT value FROM meta WHERE name = 'generation')"
    db.execute(f"DELETE FROM meta WHERE name = ? AND {now} = ?", (SHRINK_DUE, generation))
    return True
