"""The write lock among processes: a lock on a file beside the database.

SQLite's own busy handler lets one process starve (measured: 1 commit in 3 s while
seven others made thousands); waiters on a file lock take turns. The file is never
the database itself: opening and closing that by hand would drop SQLite's locks.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import IO

import portalocker

from asg_mcp.errors import StoreBusy, StoreIncompatible

if sys.platform != "win32":
    import fcntl

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.02

# Each write takes the lock once. On POSIX portalocker's lock is flock, with 6 µs of Python around it (measured).
if sys.platform == "win32":

    def _lock(file: IO[bytes]) -> None:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE)

    def _lock_free(file: IO[bytes]) -> None:
        portalocker.lock(file, portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING)

    def _unlock(file: IO[bytes]) -> None:
        portalocker.unlock(file)

else:

    def _lock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX)

    def _lock_free(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: IO[bytes]) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


class WriteLock:
    """Held by at most one process at a time. Not for several threads of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("a+b")
        path.chmod(0o600)

    def __enter__(self) -> None:
        try:
            _lock(self._file)
        except (portalocker.LockException, OSError) as error:
            raise StoreBusy(f"The lock file {self.path} cannot be locked: {error}") from error

    @contextlib.contextmanager
    def if_free(self) -> Iterator[bool]:
        """Whether nobody else had the lock: then it is held as long as the block lasts."""
        is_free = self._take_free()
        try:
            yield is_free
        finally:
            if is_free:
                try:
                    self.release()
                except OSError:  # what was done under it is done, and is not to be told as an error
                    logger.exception("the lock file %s cannot be unlocked", self.path)

    def _take_free(self) -> bool:
        try:
            _lock_free(self._file)
        except (portalocker.LockException, OSError):  # what else may be wrong, who waits for the lock is told
            return False
        return True

    def take(self, seconds_max: float) -> None:
        """Take the lock without queueing for it, for at most so long: opening a store must not hang.

        Raises StoreBusy. Give it back with `release`.
        """
        until = time.monotonic() + seconds_max
        while not self._take_free():
            if time.monotonic() >= until:
                raise StoreBusy(f"{self.path} was held by another process for {seconds_max:.0f} s")
            time.sleep(_POLL_SECONDS)

    def release(self) -> None:
        """Give the lock back."""
        _unlock(self._file)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def close(self) -> None:
        """Give the file back."""
        self._file.close()


def make_file(path: Path) -> WriteLock:
    """The lock of a store; the store's folder (0700) and file (0600) are made where they are missing.

    Raises StoreIncompatible when the system does not let us.
    """
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = WriteLock(path.with_name(path.name + ".lock"))
        with contextlib.suppress(FileExistsError):
            # Made by hand for its mode. Only where no file was: closing a handle on a database that this
            # process has open would drop SQLite's locks on it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreIncompatible(
            f"The store {path} cannot be opened: {error.strerror}", hint="Give another place with --db or ASG_DB."
        ) from error
    return lock


def absolute(path: Path) -> Path:
    """The path from the root of the file system, links followed: one file must have one lock, whatever it is called."""
    return path.resolve()
