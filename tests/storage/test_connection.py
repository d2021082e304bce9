"""What SQLite reports becomes an error that says what to do next."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from asg_mcp.errors import StorageError, StoreBusy, StoreCorrupt, StoreFull, StoreIncompatible
from asg_mcp.storage.connection import translated

KINDS = {
    "SQLITE_FULL": StoreFull,
    "SQLITE_BUSY_SNAPSHOT": StoreBusy,
    "SQLITE_LOCKED": StoreBusy,
    "SQLITE_NOTADB": StoreIncompatible,
    "SQLITE_CORRUPT_INDEX": StoreCorrupt,
    "SQLITE_CONSTRAINT_PRIMARYKEY": StoreCorrupt,
    "SQLITE_CANTOPEN": StoreIncompatible,
    "SQLITE_IOERR_READ": StorageError,
    "": StorageError,
}


@pytest.mark.parametrize(("name", "kind"), KINDS.items(), ids=[name or "no name" for name in KINDS])
def test_every_error_of_sqlite_becomes_one_of_ours_with_a_next_step(name: str, kind: type[StorageError]) -> None:
    error = sqlite3.OperationalError("as SQLite says it")
    if name:
        error.sqlite_errorname = name
    made = translated(error)
    assert type(made) is kind
    assert "as SQLite says it" in made.message
    assert made.hint


def test_a_text_that_is_no_text_is_damage_and_no_reason_to_try_again() -> None:
    with closing(sqlite3.connect(":memory:")) as db, pytest.raises(sqlite3.OperationalError) as caught:
        db.execute("SELECT CAST(x'FF00FF' AS TEXT)").fetchone()
    made = translated(caught.value)
    assert type(made) is StoreCorrupt
    assert "asg-mcp verify" in made.hint
