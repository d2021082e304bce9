"""Places of stores, backups and archives: where nothing is yet, and where what is finished gets its name."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from asg_mcp.errors import AsgError, InvalidArgument, StoreIncompatible
from asg_mcp.services.backups import default_folder
from asg_mcp.services.classkeys import ClassKeys
from asg_mcp.services.files import make_folder, place_new, sync_folder
from asg_mcp.services.marks import BackupPlace


def place_of_backup(path: Path, to: Path | None, keep: int) -> tuple[Path, str]:
    """The folder of a backup, and its name where that is given."""
    if to is None or to.is_dir():
        return default_folder(path.resolve()) if to is None else to.resolve(), ""
    if keep:
        raise InvalidArgument("--keep counts the backups in a folder, and --to names a file", hint="Name a folder.")
    _check_free(to)
    return to.parent.resolve(), to.name


def restored_from(backup: Path, size: int) -> BackupPlace:
    """The backup that a store was made from, links followed, whose log has this size."""
    return BackupPlace(backup.resolve(), is_folder=False, size=size)


def new_place(to: Path) -> Path:
    """The path of a store to be made, links followed, its folder made where there is none."""
    path = to.resolve()
    _check_free(path)
    try:
        make_folder(path.parent)
    except OSError as error:
        raise unusable(path.parent, error) from error
    return path


def archive_place(to: Path, *, force: bool) -> Path:
    """Where an archive goes, links followed. Raises InvalidArgument where something is there, unless forced."""
    target = to.resolve()
    if os.path.lexists(target) and not (force and target.is_file()):
        raise InvalidArgument(f"There is a file already: {to}", hint="Give another name, or --force to replace a file.")
    return target


def _check_free(path: Path) -> None:
    for file in (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal"))):
        if os.path.lexists(file):
            raise InvalidArgument(
                f"There is a file already: {file}", hint="Give a path where nothing is: nothing is ever replaced."
            )


def check_class_keys(path: Path, keys: Mapping[str, str]) -> None:
    """Raise InvalidArgument where the place of a class key that comes along holds another one."""
    held = ClassKeys(path)
    for name, key in keys.items():
        if held.has(name) and held.exported(name) != key:
            raise InvalidArgument(
                f"{held.path(name)} is the key of another class {name}",
                hint="Give another path for the store, or move that key to where its own store is.",
            )


def place_with_keys(made: Path, path: Path, classes: tuple[str, ...]) -> None:
    """Give a store its name once its class keys have theirs: it is never there without them."""
    placed: list[Path] = []
    keys = ClassKeys(path)
    try:
        for name in classes:
            if not keys.has(name):  # whoever was killed here before has left the same key
                place_file(ClassKeys(made).path(name), keys.path(name))
                placed.append(keys.path(name))
        place_file(made, path)
    except AsgError:
        for file in placed:
            file.unlink(missing_ok=True)
        raise


def place_file(made: Path, path: Path, *, force: bool = False) -> None:
    """Give a finished file its name. Raises StoreIncompatible, and InvalidArgument where something is there.

    With `force` it replaces what is there.
    """
    try:
        if force:
            made.replace(path)
            sync_folder(path.parent)
        else:
            place_new(made, path)
    except FileExistsError as error:
        raise InvalidArgument(
            f"There is a file already: {path}", hint="Somebody was faster. Give a path where nothing is."
        ) from error
    except OSError as error:
        raise unusable(path, error) from error


def unusable(path: Path, error: OSError) -> StoreIncompatible:
    """The error for a place that the system refuses."""
    return StoreIncompatible(f"{path} cannot be made: {error.strerror}", hint="Give a place that you may write to.")
