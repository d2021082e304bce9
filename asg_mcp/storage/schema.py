"""The database's own layout: append-only migrations, each applied with the row that records it."""

from __future__ import annotations

import sqlite3

from asg_mcp.errors import StoreIncompatible

APPLICATION_ID = 0x41534731
"""What `file` and SQLite's header show for a store of ours: "ASG1"."""

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE names (id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE);
    CREATE TABLE nodes (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE blobs (id INTEGER PRIMARY KEY, data BLOB NOT NULL);
    CREATE TABLE commits (
        seq INTEGER PRIMARY KEY, id BLOB NOT NULL, p1 INTEGER, p2 INTEGER,
        at INTEGER NOT NULL, root INTEGER NOT NULL, data BLOB NOT NULL
    );
    CREATE INDEX commits_id ON commits (substr(id, 1, 6));
    CREATE INDEX commits_at ON commits (at);
    CREATE TABLE refs (name TEXT PRIMARY KEY, kind INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE events (
        id INTEGER PRIMARY KEY, kind INTEGER NOT NULL, ref INTEGER NOT NULL, ref_kind INTEGER NOT NULL,
        old INTEGER, new INTEGER, leaf BLOB NOT NULL, data BLOB
    );
    CREATE TABLE terms (term INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (term, seq)) WITHOUT ROWID;
    CREATE TABLE replies (id BLOB PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
    CREATE VIRTUAL TABLE texts USING fts5 (text, content = '', detail = none, columnsize = 0);
    """,
)
"""Entry n takes a database from layout n to layout n + 1. Never edit one that was released."""


def layout_of(connection: sqlite3.Connection) -> int:
    """The layout number of a database; 0 for an empty file.

    Raises StoreIncompatible for a database of another program or a newer one of ours.
    """
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    application = int(connection.execute("PRAGMA application_id").fetchone()[0])
    tables = int(connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0])
    if application != APPLICATION_ID and (application or tables or version):
        raise StoreIncompatible(
            "The file is an SQLite database of another program", hint="Give another path with --db or ASG_DB."
        )
    if version > len(MIGRATIONS):
        raise StoreIncompatible(
            f"The store has layout {version}; this program knows up to {len(MIGRATIONS)}",
            hint="Use a newer asg-mcp: this one would not understand what it reads.",
        )
    return version


def migrate(connection: sqlite3.Connection) -> int:
    """Bring a database to the newest layout, one transaction a step; returns the layout it had."""
    before = layout_of(connection)
    for number in range(before, len(MIGRATIONS)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in MIGRATIONS[number].split(";"):
                if statement.strip():
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number + 1}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
    return before
