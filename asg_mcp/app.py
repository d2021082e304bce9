"""The composition root: the one place that names a storage backend."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio.to_thread

from asg_mcp import config
from asg_mcp.core.classes import ValueClass, Vault
from asg_mcp.core.intents import Author
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.paths import Tokens
from asg_mcp.errors import (
    AsgError,
    LimitExceeded,
    StorageError,
    StoreBusy,
    StoreCorrupt,
    StoreIncompatible,
    UnknownOutcome,
)
from asg_mcp.repo.archived import damaged
from asg_mcp.repo.importing import ArchiveHead, Importing, read_log
from asg_mcp.repo.keyring import LogSigner, Rotation
from asg_mcp.repo.marking import Mark, MarkedSigner, Marker, mark_of
from asg_mcp.repo.replaying import pins_in
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.restoring import start_incarnation
from asg_mcp.repo.verify import Progress, VerifyReport, verify
from asg_mcp.services.archives import (
    ArchiveFile,
    Exported,
    bundle_files,
    check_signer,
    write_archive,
    write_bundles,
)
from asg_mcp.services.backups import backup_name, rotate
from asg_mcp.services.classkeys import ClassKeys
from asg_mcp.services.files import make_folder, new_file, remove
from asg_mcp.services.keys import rotate_key
from asg_mcp.services.marks import BackupPlace, MarkFiles
from asg_mcp.services.places import (
    archive_place,
    check_class_keys,
    new_place,
    place_file,
    place_of_backup,
    place_with_keys,
    restored_from,
    unusable,
)
from asg_mcp.services.planscan import forget as forget_plans
from asg_mcp.services.signing import KeyFile, PassingKey
from asg_mcp.storage.copies import StillStore, copy_store, workplace
from asg_mcp.storage.memory import MemoryStore
from asg_mcp.storage.seeding import Seed, make_store
from asg_mcp.storage.sqlite import open_store

logger = logging.getLogger(__name__)
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
    keys = class_keys(path)
    store = await open_store(path, keys)
    marks = marks_of(path)
    marker = Marker(store, marks)
    try:
        _finish_destroying(store.hasher.classes.all, keys)
        if marked:
            marker.check()
            store.on_durable(marker.wrote)
        store.on_forget(forget_plans)
        signer = LogSigner(KeyFile(key_path(path)), store)
        repository = Repository(store, MarkedSigner(signer, store, marks, _signed()), policy)
        if create:
            await repository.create()
        yield repository
    finally:
        try:
            await marker.close()
        finally:
            await store.close()


def _finish_destroying(classes: Iterable[ValueClass], keys: ClassKeys) -> None:
    """Destroy keys of classes that are destroyed: whoever did that may have been stopped before the key was gone.

    A key that cannot be destroyed is in use nowhere and keeps nobody from working; `doctor` tells of it.
    """
    for group in classes:
        if group.destroyed:
            try:
                keys.destroy(group.name)
            except StorageError as error:
                logger.warning("%s", error.message)


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
    folder, name = place_of_backup(path, to, keep)
    async with open_repository(path, create=False) as repository:
        try:
            make_folder(folder)
        except OSError as error:
            raise unusable(folder, error) from error
        if (await repository.health()).shrink_due:
            raise StoreBusy(
                "Something was erased, and its bytes may still be in the file: a copy would have them too",
                hint="Finish that first: asg-mcp redact --finish",
            )
        await _note_place(repository, path, BackupPlace(folder / name, is_folder=not name))
        with workplace(folder) as made:
            at = time.time_ns() // 1_000
            mark = await anyio.to_thread.run_sync(lambda: copy_store(path, made, mark_of, progress))
            report = await anyio.to_thread.run_sync(lambda: _read_again(made, mark, progress, class_keys(path)))
            if not report.ok:
                return Copied(report, mark)
            size = made.stat().st_size
            kept = folder / (name or backup_name(path, mark, at))
            place_file(made, kept)
            try:
                _check_not_erased(repository, mark.size)
            except StoreBusy:
                kept.unlink()  # no receipt names this copy, and it may hold what is gone from the store
                raise
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
    to = new_place(to)
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
        place_file(made, to)
    with contextlib.suppress(OSError):
        marks_of(to).begin(new)
    with contextlib.suppress(OSError, LimitExceeded):
        # What is erased from the new store is in what it was made from still.
        marks_of(to).note_place(new.origins[0], restored_from(backup, mark.size))
    return Copied(report, mark, to, size)


async def _note_place(repository: Repository, path: Path, place: BackupPlace) -> None:
    """Remember where a backup goes, so that `redact` looks there. Raises LimitExceeded."""
    store = await repository.read(lambda view: mark_of(view.reader).origins[0])
    with contextlib.suppress(OSError):  # `doctor` tells of a folder of marks that cannot be written to
        marks_of(path).note_place(store, place)


async def export_repository(path: Path, to: Path, progress: Progress, *, force: bool = False) -> Exported:
    """Write all of the store at a path to an archive (0600), which has its keys: the same store gives the same bytes.

    Its checkpoint is signed where the store has a key; none is made for it. Raises InvalidArgument where something is
    at `to`, unless it is to be replaced, and what `open_repository` and `write_archive` raise.
    """
    target = archive_place(to, force=force)
    keys = class_keys(path)
    async with open_repository(path, create=False) as repository:
        signer = repository.epochs.signer if key_path(path).exists() else None
        with workplace(target.parent) as made:
            try:
                with new_file(made) as file:
                    exported = await write_archive(repository, file, keys.exported, signer, progress)
                    file.flush()
                    os.fsync(file.fileno())
            except OSError as error:
                raise unusable(target, error) from error
            mark = await repository.read(lambda view: mark_of(view.reader))
            with contextlib.suppress(OSError):  # before it is looked: a redaction finds the note, or is found
                marks_of(path).note_archive(mark.origins[0], target, exported.checkpoint.size)
            _check_not_erased(repository, exported.checkpoint.size)
            place_file(made, target, force=force)
            try:
                _check_not_erased(repository, exported.checkpoint.size)
            except StoreBusy:
                target.unlink()  # no receipt names it, and it may hold what is gone from the store
                raise
    return exported


def _check_not_erased(repository: Repository, size: int) -> None:
    """Raise StoreBusy where something was erased, or a class destroyed, since the log had this size."""
    if repository.erased_since(size):
        raise StoreBusy("Something was erased from the store while it was copied", hint="Repeat the command.")


@dataclass(frozen=True, slots=True)
class Imported:
    """An archive that was read, and what was made of it."""

    head: ArchiveHead
    report: VerifyReport
    mark: Mark
    """How far the new log has come."""
    bundles: tuple[str, ...]
    """The sealed epochs whose evidence is in the archive."""
    classes: tuple[str, ...]
    """Sensitive prefixes whose keys were in it."""
    path: Path | None = None
    """The new store; None where the archive was only checked."""
    size_bytes: int = 0
    written: tuple[Path, ...] = ()
    """Bundles that were written out."""


async def import_repository(
    archive: Path,
    to: Path | None,
    author: Author,
    progress: Progress,
    *,
    bundles: Path | None = None,
    key: str = "",
) -> Imported:
    """Make a new store from an archive, every hash made again; with `to` None only check that it could be made.

    Nothing may be at `to`. With `bundles` the evidence of the sealed epochs is written to that folder; `key` is the
    public key that must have signed the archive's checkpoint. Raises InvalidArgument, ArchiveDamaged, which names the
    place, StoreIncompatible and StorageError; nothing is left then.
    """
    try:
        file = archive.open("rb")
    except OSError as error:
        raise StoreIncompatible(
            f"{archive} cannot be read: {error.strerror}", hint="Give the file that `asg-mcp export-repo` wrote."
        ) from error
    with file, contextlib.ExitStack() as stack:
        found = await anyio.to_thread.run_sync(ArchiveFile, file)
        if key:
            check_signer(found.head, key)
        files = {} if bundles is None else bundle_files(found, bundles)
        path = None if to is None else new_place(to)
        if path is not None:
            check_class_keys(path, found.keys.class_keys)
        folder = Path(stack.enter_context(TemporaryDirectory())) if path is None else path.parent
        made = stack.enter_context(workplace(folder))
        imported = await _imported(found, made, author, progress)
        if path is None:
            return imported
        size = made.stat().st_size
        try:
            await anyio.to_thread.run_sync(write_bundles, found, files)
        except OSError as error:
            raise unusable(bundles or path, error) from error
        try:
            place_with_keys(made, path, imported.classes)
        except AsgError:
            remove(files.values())
            raise
        with contextlib.suppress(OSError):
            marks_of(path).begin(imported.mark)
    return replace(imported, path=path, size_bytes=size, written=tuple(files.values()))


async def _imported(archive: ArchiveFile, made: Path, author: Author, progress: Progress) -> Imported:
    """Make the store of an archive in an empty folder, with its class keys beside it, and verify it."""
    source = await anyio.to_thread.run_sync(read_log, archive, progress)
    await anyio.to_thread.run_sync(archive.check_bundles, source, progress)
    keys, vault = archive.keys, class_keys(made)
    for name, key in keys.class_keys.items():
        vault.put(name, key)
    pins = b""
    if archive.head.counts["salts"]:
        hasher = Hasher(keys.class_key, keys.level_salt)
        hasher.classes.load(keys.classes, vault)
        pins = await anyio.to_thread.run_sync(pins_in, archive.commits(), hasher, archive.head.counts["commits"])
    make_store(made, Seed(keys.class_key, keys.level_salt, pins, keys.classes))
    store = await open_store(made, vault)
    try:
        await Importing(store, archive, source, progress).run(author)
        report = await anyio.to_thread.run_sync(lambda: verify(store, progress, PassingKey()))
        with store.reading() as reader:
            mark = mark_of(reader)
    finally:
        await store.close()
    for problem in report.problems:
        raise damaged(problem.what, problem.message)
    return Imported(archive.head, report, mark, tuple(archive.bundles), tuple(keys.class_keys))


def _read_again(made: Path, mark: Mark, progress: Progress, vault: Vault) -> VerifyReport:
    """Verify a copy that is not named yet."""
    store = StillStore(made, vault)
    with store.reading() as reader:
        found = mark_of(reader)
    if found != mark:
        raise StoreCorrupt("The copy's log is not that of the store", hint="Try again, to another disk.")
    try:
        return verify(store, progress, PassingKey())
    finally:
        store.shut()


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


async def rotate_log_key(path: Path, author: Author, *, lost: bool) -> Rotation:
    """Hand the log of the store at a path over to a new key; see `rotate_key`, whose errors it raises."""
    async with open_repository(path, create=False) as repository:
        return await rotate_key(repository, KeyFile(key_path(path)), author, lost=lost)


def class_keys(path: Path) -> ClassKeys:
    """The keys of the sensitive prefixes of the store at this path."""
    return ClassKeys(path.resolve())


async def make_class(path: Path, name: str, prefix: Tokens, author: Author) -> ValueClass:
    """Give a prefix of the store at a path a key of its own. Raises what `repo.classing` and `ClassKeys` raise."""
    async with open_repository(path, create=False) as repository:
        await repository.classes.check(name, prefix)
        keys = class_keys(path)
        keys.make(name)
        try:
            return await repository.classes.make(name, prefix, author)
        except UnknownOutcome as error:
            raise UnknownOutcome(
                f"{error.message}. The key is kept: {keys.path(name)}",
                hint=f"Look with `asg-mcp class list`. Where {name} is not listed, remove the file and repeat.",
            ) from error
        except AsgError:
            # A class without its key would be of no use to anybody, for ever; a key without its class is only a file.
            if all(group.name != name for group in repository.classes.all()):
                keys.destroy(name)
            raise


async def destroy_class(path: Path, name: str, reason: str, author: Author) -> ValueClass:
    """Destroy the key of a sensitive prefix, once that is in the log. Raises NotFound and StorageError."""
    async with open_repository(path, create=False) as repository:
        group = await repository.classes.destroy(name, reason, author)
        class_keys(path).destroy(name)
    return group


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
