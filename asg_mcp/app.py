"""The composition root: the one place that names a storage backend."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

from asg_mcp import config
from asg_mcp.core.intents import Author
from asg_mcp.errors import InvalidArgument, StoreCorrupt, StoreIncompatible
from asg_mcp.repo.marking import Mark, MarkedSigner, Marker, mark_of
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.restoring import start_incarnation
from asg_mcp.repo.verify import Progress, VerifyReport, verify
from asg_mcp.services.backups import backup_name, default_folder, rotate
from asg_mcp.services.files import make_folder, place_new
from asg_mcp.services.marks import MarkFiles
from asg_mcp.services.signing import KeyFile, PassingKey
from asg_mcp.storage.copies import StillStore, copy_store, workplace
from asg_mcp.storage.memory import MemoryStore
from asg_mcp.storage.sqlite import open_store

KEY_SUFFIX = ".key"
"""After the store's name: the file of the key that signs its checkpoints, made when the first epoch is sealed."""
MARKS_FOLDER = "marks"
"""In the program's state folder."""
_SIGNED = Path("signed")
"""In place of a store's path, which is absolute."""


@asynccontextmanager
async def open_repository(
    path: Path, *, create: bool = True, marked: bool = True, secrets: str = ""
) -> AsyncIterator[Repository]:
    """The repository in this file, closed with the block.

    With `create` a missing store is made, with its first commit; without it a
    missing or empty file is refused, so that a mistyped path makes nothing. With
    `marked` the store is compared with its high-water mark, which then follows it.
    `secrets` is a policy for secrets (docs/secrets.md); "" is that of the environment.

    Raises StoreIncompatible (no store there, another program's file, a newer
    layout), StoreBehind (an older copy of the store), StoreCorrupt and StoreBusy.
    """
    _check_place(path)
    if not create and not has_store(path):
        raise StoreIncompatible(
            f"There is no store at {path}",
            hint="Check the path (--db or ASG_DB). The server makes the store when a client first starts it.",
            path=str(path),
        )
    policy = config.secrets_policy(secrets)
    store = await open_store(path)
    marks = marks_of(path)
    marker = Marker(store, marks)
    try:
        if marked:
            marker.check()
            store.on_durable(marker.wrote)
        repository = Repository(store, MarkedSigner(KeyFile(key_path(path)), store, marks, _signed()), policy)
        if create:
            await repository.create()
        yield repository
    finally:
        try:
            await marker.close()
        finally:
            await store.close()


@asynccontextmanager
async def open_memory() -> AsyncIterator[Repository]:
    """A new repository in memory, gone with the block."""
    store = MemoryStore()
    try:
        repository = Repository(store, PassingKey(), config.secrets_policy())
        await repository.create()
        yield repository
    finally:
        await store.close()


@dataclass(frozen=True, slots=True)
class Copied:
    """What `back_up` and `restore` made. `path` is None where the copy was found damaged, and not kept."""

    report: VerifyReport
    mark: Mark
    """How far the log had come: of the backup, of the copy that was restored."""
    path: Path | None = None
    size_bytes: int = 0
    at: int = 0
    """Microseconds since 1970-01-01 UTC."""
    removed: tuple[Path, ...] = ()
    """Older backups that this one replaces."""


async def back_up(path: Path, to: Path | None, keep: int, progress: Progress) -> Copied:
    """Copy the store at a path while others use it, verify the copy, and only then give it its name.

    `to` is a folder, where the backup gets a name of its own and with `keep` (not 0) older ones of this log are
    removed, or the name of a file that is not there yet; None: the folder beside the store. The key is never copied.

    Raises InvalidArgument, and what `open_repository` and `copy_store` raise.
    """
    folder, name = _place_of_backup(path, to, keep)
    async with open_repository(path, create=False):
        try:
            make_folder(folder)
        except OSError as error:
            raise _unusable(folder, error) from error
        with workplace(folder) as made:
            at = time.time_ns() // 1_000
            mark = await anyio.to_thread.run_sync(lambda: copy_store(path, made, mark_of, progress))
            report = await anyio.to_thread.run_sync(lambda: _read_again(made, mark, progress))
            if not report.ok:
                return Copied(report, mark)
            size = made.stat().st_size
            kept = folder / (name or backup_name(path, mark, at))
            _place(made, kept)
        removed = rotate(folder, path, mark, keep) if keep else []
        with contextlib.suppress(OSError):  # `doctor` tells of a folder of marks that cannot be written to
            marks_of(path).note_backup(mark, kept, at)
    return Copied(report, mark, kept, size, at, tuple(removed))


async def restore(backup: Path, to: Path, author: Author, progress: Progress) -> Copied:
    """Make a new store from a copy of one, verified, with an event that begins a new incarnation of its log.

    The copy stays as it is. `to` must be a path where nothing is: a store that is in use is never replaced.

    Raises InvalidArgument, StoreIncompatible (no store to restore) and what `copy_store` raises.
    """
    if not has_store(backup):
        raise StoreIncompatible(f"There is no store at {backup}", hint="Give the file that `asg-mcp backup` made.")
    to = _new_place(to)
    with workplace(to.parent) as made:
        mark = await anyio.to_thread.run_sync(lambda: copy_store(backup, made, mark_of, progress, still=True))
        store = await open_store(made)
        try:
            report = await anyio.to_thread.run_sync(lambda: verify(store, progress, PassingKey()))
            if report.ok:
                await store.write(lambda writer: start_incarnation(writer, author, mark))
            with store.reading() as reader:
                new = mark_of(reader)
        finally:
            await store.close()
        if not report.ok:
            return Copied(report, mark)
        size = made.stat().st_size
        _place(made, to)
    with contextlib.suppress(OSError):
        marks_of(to).begin(new)
    return Copied(report, mark, to, size)


def _place_of_backup(path: Path, to: Path | None, keep: int) -> tuple[Path, str]:
    """The folder of a backup, and its name where that is given."""
    if to is None or to.is_dir():
        return default_folder(path.resolve()) if to is None else to.resolve(), ""
    if keep:
        raise InvalidArgument("--keep counts the backups in a folder, and --to names a file", hint="Name a folder.")
    _check_free(to)
    return to.parent.resolve(), to.name


def _new_place(to: Path) -> Path:
    """The path of a store to be made, links followed, its folder made where there is none."""
    path = to.resolve()
    _check_free(path)
    try:
        make_folder(path.parent)
    except OSError as error:
        raise _unusable(path.parent, error) from error
    return path


def _read_again(made: Path, mark: Mark, progress: Progress) -> VerifyReport:
    """Verify a copy that is not named yet."""
    store = StillStore(made)
    with store.reading() as reader:
        found = mark_of(reader)
    if found != mark:
        raise StoreCorrupt("The copy's log is not that of the store", hint="Try again, to another disk.")
    try:
        return verify(store, progress, PassingKey())
    finally:
        store.shut()


def _check_free(path: Path) -> None:
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
        if os.path.lexists(file):
            raise InvalidArgument(
                f"There is a file already: {file}", hint="Give a path where nothing is: nothing is ever replaced."
            )


def _place(made: Path, path: Path) -> None:
    try:
        place_new(made, path)
    except FileExistsError as error:
        raise InvalidArgument(
            f"There is a file already: {path}", hint="Somebody was faster. Give a path where nothing is."
        ) from error
    except OSError as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: OSError) -> StoreIncompatible:
    return StoreIncompatible(f"{path} cannot be made: {error.strerror}", hint="Give a place that you may write to.")


def marks_of(path: Path) -> MarkFiles:
    """Where the high-water marks of the store at this path are."""
    return MarkFiles(config.state_folder() / MARKS_FOLDER, path.resolve())


def _signed() -> MarkFiles:
    """The marks of what was signed on this machine, wherever the store was."""
    return MarkFiles(config.state_folder() / MARKS_FOLDER, _SIGNED)


def key_path(path: Path) -> Path:
    """Where the key of the store at this path is; it may not be there yet."""
    file = path.resolve()
    return file.with_name(file.name + KEY_SUFFIX)


def has_store(path: Path) -> bool:
    """Whether there is a file at the path with anything in it.

    Raises StoreIncompatible when the system does not let us look.
    """
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError as error:
        raise StoreIncompatible(
            f"{path} cannot be looked at: {error.strerror}", hint="Give another place with --db or ASG_DB."
        ) from error


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise StoreIncompatible(
            f"{path} is a folder, and a store is one file", hint="Give the path of the file with --db or ASG_DB."
        )
