"""Connections to the database file, and what is known to be wrong with its library."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from asg_mcp.core.limits import SQLITE_BUSY_MS
from asg_mcp.errors import StorageError, StoreBusy, StoreCorrupt, StoreFull, StoreIncompatible
from asg_mcp.storage.schema import layout_of

WAL_BYTES_MAX = 64 * 1_024 * 1_024
CHECKPOINT_PAGES = 1_000
CACHE_KIB = 16 * 1_024
WAL_RESET_FIXED = (3, 51, 3)
"""SQLite 3.7.0 to 3.51.2 can corrupt a WAL file when two connections write and checkpoint at the same moment
(sqlite.org, release notes of 3.51.3)."""
SQLITE_MIN = (3, 35, 0)
"""The first with all the SQL used here."""

SETTINGS: dict[str, object] = {
    "journal_mode": "wal",
    "synchronous": 2,
    "foreign_keys": 1,
    "busy_timeout": SQLITE_BUSY_MS,
    "trusted_schema": 0,
    "cell_size_check": 1,
    "secure_delete": 1,
    "mmap_size": 0,
    "wal_autocheckpoint": CHECKPOINT_PAGES,
    "journal_size_limit": WAL_BYTES_MAX,
    "cache_size": -CACHE_KIB,
    "temp_store": 2,
}
"""Set on the writer one by one and read back. synchronous 2 is FULL."""
_WAITS = ("busy_timeout", "wal_autocheckpoint")
_FULLFSYNC = "fullfsync"
_NO_TEXT = "Could not decode to UTF-8"
"""How Python's sqlite3 begins to say it, without a code."""


def connect_writer(path: Path) -> sqlite3.Connection:
    """The one writing connection of this process; the caller holds the write lock. The file must exist."""
    connection = _connect(path, "rw")
    try:
        layout_of(connection)  # before any setting: journal_mode is written into the file, which may not be ours
        for name, value in SETTINGS.items():
            connection.execute(f"PRAGMA {name} = {value}")
        if sys.platform == "darwin":
            connection.execute(f"PRAGMA {_FULLFSYNC} = 1")
        faults = wrong_settings(connection)
        if faults:
            raise StoreIncompatible(
                f"The database refuses the settings it needs: {', '.join(faults)}",
                hint="WAL needs a local file system; move the file off the network share.",
            )
    except sqlite3.DatabaseError as error:
        connection.close()
        raise translated(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


@contextmanager
def in_haste(connection: sqlite3.Connection) -> Iterator[None]:
    """As long as the block lasts, the connection waits for no other program and leaves checkpoints for later."""
    try:
        for name in _WAITS:
            connection.execute(f"PRAGMA {name} = 0")
        yield
    finally:
        with suppress(sqlite3.Error):  # of a connection that is closed or ill, which is made anew
            for name in _WAITS:
                connection.execute(f"PRAGMA {name} = {SETTINGS[name]}")


def connect_reader(path: Path) -> sqlite3.Connection:
    """A connection that can neither write nor checkpoint."""
    connection = _connect(path, "ro")
    try:
        for name in ("trusted_schema", "cell_size_check", "mmap_size", "busy_timeout"):
            connection.execute(f"PRAGMA {name} = {SETTINGS[name]}")
        connection.execute("PRAGMA query_only = 1")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise translated(error) from error
    return connection


def connect_still(path: Path) -> sqlite3.Connection:
    """A reading connection to a store that may lie where nothing can be written, and that nobody writes to.

    Where a log of writes lies beside the file the store may be in use, and the log belongs to it: then it is opened as
    any other. Else nothing at all is made beside the file.
    """
    connection = _connect(path, "ro" if path.with_name(path.name + "-wal").exists() else "ro&immutable=1")
    try:
        connection.execute("PRAGMA query_only = 1")
        if not layout_of(connection):
            raise StoreIncompatible(f"There is no store in {path}", hint="Give the file that `asg-mcp backup` made.")
    except sqlite3.DatabaseError as error:
        connection.close()
        raise translated(error) from error
    except BaseException:
        connection.close()
        raise
    return connection


def connect_copy(path: Path) -> sqlite3.Connection:
    """A writing connection to an empty file that a store is to be copied to, as durable as the store's own."""
    connection = _connect(path, "rw")
    connection.execute(f"PRAGMA synchronous = {SETTINGS['synchronous']}")
    if sys.platform == "darwin":
        connection.execute(f"PRAGMA {_FULLFSYNC} = 1")
    return connection


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    try:
        return sqlite3.connect(
            _uri(path, mode), uri=True, isolation_level=None, check_same_thread=False, timeout=SQLITE_BUSY_MS / 1_000
        )
    except sqlite3.DatabaseError as error:
        raise translated(error) from error


def wrong_settings(connection: sqlite3.Connection) -> list[str]:
    """Settings that did not take, as `name = what it is`."""
    wrong = []
    for name, value in SETTINGS.items():
        row = connection.execute(f"PRAGMA {name}").fetchone()
        found = row[0] if row else None
        if found != value:
            wrong.append(f"{name} = {found}")
    return wrong


def library_faults() -> list[str]:
    """Known faults of the SQLite library that this process has loaded, and what keeps them away."""
    if sqlite3.sqlite_version_info < WAL_RESET_FIXED:
        return [
            f"SQLite {sqlite3.sqlite_version} has the WAL-reset race (fixed in 3.51.3): two connections that write and "
            "checkpoint at once can corrupt the file. asg-mcp holds its lock file over every commit, checkpoint and "
            "close, which keeps the race away from its own processes; let no other program write to the file."
        ]
    return []


def translated(error: sqlite3.Error) -> StorageError:
    """One of our errors for one of SQLite's."""
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL"):
        return StoreFull(f"The disk is full: {error}")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StoreBusy(f"Another program holds the database: {error}")
    if name.startswith("SQLITE_NOTADB"):
        return StoreIncompatible(
            f"The file is no SQLite database, or its first page is damaged: {error}",
            hint="Check the path (--db or ASG_DB); if a store was there, restore a backup.",
        )
    if name.startswith("SQLITE_CORRUPT"):
        return StoreCorrupt(f"The database file is damaged: {error}")
    if name.startswith("SQLITE_CONSTRAINT"):  # numbers are given out once, so no two writes make one row
        return StoreCorrupt(f"Nothing was written: a row is there that only this write makes: {error}")
    if name.startswith("SQLITE_CANTOPEN"):
        return StoreIncompatible(
            f"The database cannot be opened: {error}", hint="Check that the folder exists and that you may write to it."
        )
    if str(error).startswith(_NO_TEXT):
        return StoreCorrupt(f"A stored row is damaged: {error}")
    return StorageError(
        f"The database reports: {error} ({name or type(error).__name__})",
        hint="Try again; if it lasts, `asg-mcp doctor` checks the file and its settings, `asg-mcp verify` the data.",
    )


def _uri(path: Path, mode: str) -> str:
    return f"file:{quote(str(path))}?mode={mode}"
