"""Copies of a store, made while others write to it, and read again before anybody relies on them.

A copy is made in a folder of its own beside the place that it is for, and named only when it is whole and durable:
whoever is killed on the way leaves that folder, which the next one removes.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from asg_mcp.core.classes import Vault
from asg_mcp.core.nodes import Hasher
from asg_mcp.errors import StorageError, StoreBusy, StoreCorrupt, StoreIncompatible
from asg_mcp.storage.base import Health, Reader, Rewriter, Writer
from asg_mcp.storage.connection import connect_copy, connect_reader, connect_still, translated
from asg_mcp.storage.constants import constants_of
from asg_mcp.storage.faults import file_faults
from asg_mcp.storage.lock import WriteLock, make_file
from asg_mcp.storage.rewriting import classes_in
from asg_mcp.storage.rows import NO_KEYS, Sealer
from asg_mcp.storage.session import Caches, SqliteReader

T = TypeVar("T")
STEP_PAGES = 256
"""Copied at a time, 1 MiB: between two steps others get the processor, and progress is told."""
LEFT_SECONDS_MIN = 600.0
"""A folder of a copy that is younger may be in use, even where its lock was not taken yet."""
_PARTS = (".asg-copy-", ".part")
_FILE, _LOCK = "state.db", "alive.lock"


@contextlib.contextmanager
def workplace(folder: Path) -> Iterator[Path]:
    """The path of a file to be made, in a new folder (0700) below this one that goes with the block.

    What others left here when they were killed is removed first. Raises StoreIncompatible where nothing can be made.
    """
    made = folder / f"{_PARTS[0]}{secrets.token_hex(8)}{_PARTS[1]}"
    try:
        _sweep(folder)
        made.mkdir(mode=0o700)
        lock = WriteLock(made / _LOCK)
    except OSError as error:
        raise StoreIncompatible(
            f"No copy can be made in {folder}: {error.strerror}", hint="Give another place, one that you may write to."
        ) from error
    try:
        lock.take(0)
        yield made / _FILE
    finally:
        lock.close()
        shutil.rmtree(made, ignore_errors=True)


def _sweep(folder: Path) -> None:
    for left in folder.glob(f"{_PARTS[0]}*{_PARTS[1]}"):
        if time.time() - left.stat().st_mtime < LEFT_SECONDS_MIN:
            continue
        lock = WriteLock(left / _LOCK)
        try:
            lock.take(0)
        except StoreBusy:
            continue
        finally:
            lock.close()
        shutil.rmtree(left, ignore_errors=True)


def copy_store(
    path: Path, to: Path, told: Callable[[Reader], T], progress: Callable[[str, int, int], None], *, still: bool = False
) -> T:
    """Copy one moment of a store to a new file (0600, durable, without a log of writes), and return what `told` read.

    Others may write meanwhile; what they write is not in the copy. The moment is one read transaction: as long as it
    lasts, the store's log of writes grows. `still`: the store is one that nobody writes to; see `connect_still`.

    Raises StoreFull, StoreCorrupt, StoreIncompatible and StorageError.
    """
    make_file(to).close()
    source = connect_still(path) if still else connect_reader(path)
    with contextlib.closing(source):
        try:
            source.execute("BEGIN")
            answer = told(SqliteReader(source, Caches(), Sealer()))
            with contextlib.closing(connect_copy(to)) as target:
                source.backup(target, pages=STEP_PAGES, progress=_telling(progress))
                # The copy says that it has a log of writes, as its source has; one file must do.
                mode = target.execute("PRAGMA journal_mode = delete").fetchone()[0]
                if mode != "delete":
                    raise StorageError(f"The copy keeps a log of writes ({mode})", hint="Try again, at another place.")
        except sqlite3.Error as error:
            raise translated(error) from error
    return answer


def _telling(progress: Callable[[str, int, int], None]) -> Callable[[int, int, int], None]:
    def tell(_: int, remaining: int, total: int) -> None:
        progress("pages", total - remaining, total)

    return tell


class StillStore:
    """A `Store` over a file that nobody writes to: it can be read and checked, and never changes."""

    def __init__(self, path: Path, vault: Vault = NO_KEYS) -> None:
        self._path = path
        self._connection = connect_still(path)
        try:
            meta = constants_of(self._connection)
            self.hasher = Hasher(meta["class_key"], meta["level_salt"], meta.get("class_pins", b""))
            self.hasher.classes.load(classes_in(meta), vault)
        except (sqlite3.Error, StoreCorrupt) as error:
            self._connection.close()
            raise StoreIncompatible(f"{path} is no whole store: {error}", hint="Give another backup.") from error

    @contextlib.contextmanager
    def reading(self, *, stored: bool = False) -> Iterator[SqliteReader]:
        """See Store. Each reading has caches of its own, so every row is read from the file."""
        try:
            yield SqliteReader(self._connection, Caches(), Sealer(self.hasher.classes))
        except sqlite3.Error as error:
            raise translated(error) from error

    async def write(self, work: Callable[[Writer], T], *, brief: bool = False) -> T:
        """See Store. Always raises StorageError."""
        raise StorageError(f"{self._path} is a copy, and is not written to", hint="Restore it to another file.")

    async def rewrite(self, work: Callable[[Rewriter], T]) -> T:
        """See Store. Always raises StorageError."""
        raise StorageError(f"{self._path} is a copy, and is not written to", hint="Restore it to another file.")

    async def shrink(self) -> tuple[int, int]:
        """See Store. A copy stays as it is."""
        size = self._path.stat().st_size
        return size, size

    def on_forget(self, forget: Callable[[], None]) -> None:
        """See Store. Nothing is ever forgotten."""

    async def check(self) -> Health:
        """See Store."""
        size = self._path.stat().st_size
        return Health(str(self._path), sqlite3.sqlite_version, (), {}, size, 0, ())

    def integrity(self) -> list[str]:
        """See Store."""
        try:
            return file_faults(self._connection)
        except sqlite3.Error as error:
            return [str(error)]

    async def close(self) -> None:
        """See Store."""
        self.shut()

    def shut(self) -> None:
        """Close, where no event loop runs."""
        self._connection.close()
