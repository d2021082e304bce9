"""The database's own layout: append-only migrations, each applied with the row that records it."""

from __future__ import annotations

import sqlite3
from contextlib import closing

from asg_mcp.core.merkle import HASH_BYTES, TILE_LEVELS
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
    """
    CREATE TABLE records (
        kind INTEGER NOT NULL, key TEXT NOT NULL, opened INTEGER NOT NULL, last INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID;
    CREATE INDEX records_opened ON records (kind, opened);
    CREATE TABLE tiles (
        level INTEGER NOT NULL, place INTEGER NOT NULL, digest BLOB NOT NULL, PRIMARY KEY (level, place)
    ) WITHOUT ROWID;
    """,
    # Leaves of the text index of four to a page of the database: one commit changes a part of one, not two whole ones.
    """
    INSERT INTO texts (texts, rank) VALUES ('pgsz', 1000);
    """,
)
"""Entry n takes a database from layout n to layout n + 1. Never edit one that was released."""


_SCHEMA = "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite~_stat%' ESCAPE '~'"
"""Statistics of the query planner (sqlite_stat1 and its like) may be there: they change no answer."""
_COUNTED = {
    "counter.row": "SELECT max(ifnull((SELECT max(id) FROM nodes), 0), ifnull((SELECT max(id) FROM blobs), 0))",
    "counter.name": "SELECT ifnull(max(id), 0) FROM names",
}
"""Each counter and the highest number that was given out by it and is in use."""
_STRAY_TILES = f"""
    SELECT CAST(level AS TEXT), CAST(place AS TEXT),
        typeof(level) = 'integer' AND level > 0 AND level % {TILE_LEVELS} = 0
            AND typeof(place) = 'integer' AND place >= 0 AS possible
    FROM tiles, (SELECT ifnull(max(id), -1) + 1 AS events FROM events)
    WHERE NOT possible OR place >= events >> level OR typeof(digest) != 'blob' OR length(digest) != {HASH_BYTES}
    ORDER BY level, place LIMIT 10
"""


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


def schema_faults(connection: sqlite3.Connection) -> list[str]:
    """What the schema has besides or instead of what the migrations make, the text index's own tables included."""
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        migrate(fresh)
        ours = set(fresh.execute(_SCHEMA))
    found = set(connection.execute(_SCHEMA))
    names = {(kind, name) for kind, name, _, _ in ours}
    faults = [f"The {kind} {name} of the schema is missing or was changed" for kind, name, _, _ in ours - found]
    faults += [
        f"The {kind} {name} is not part of the schema" for kind, name, _, _ in found - ours if (kind, name) not in names
    ]
    return sorted(faults)


def counter_faults(connection: sqlite3.Connection) -> list[str]:
    """Counters that would give out a number again that is in use."""
    stored = dict(connection.execute("SELECT name, value FROM meta"))
    faults = []
    for name, query in _COUNTED.items():
        used, value = connection.execute(query).fetchone()[0], stored.get(name, 0)
        if type(value) is not int or value < used:
            faults.append(f"{name} is {value!r}, and {used} is in use")
    return faults


def tile_faults(connection: sqlite3.Connection) -> list[str]:
    """Tiles that the log cannot have: of no such level or place, or no hash, or of more events than there are."""
    count = connection.execute("SELECT ifnull(max(id), -1) + 1 FROM events").fetchone()[0]
    faults = []
    for level, place, possible in connection.execute(_STRAY_TILES):
        beyond = possible and int(place) >= count >> int(level)
        wrong = f"covers more events than there are ({count})" if beyond else "is none that a log can have"
        faults.append(f"Tile {place} of level {level} of the log's tree {wrong}")
    return faults
