"""What lies around a store that is erased from: backups that hold it still, and the bytes of the store's own files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from asg_mcp.repo.redactplan import Plan
from asg_mcp.services.backups import default_folder, size_told
from asg_mcp.services.marks import BackupPlace, is_gone

_SIZE = re.compile(r"-\d{8}T\d{6}\.\d{3}Z-(\d{1,19})\.db")
_COPIES = ".asg-copy-*.part"
"""Folders in which copies of stores are made; who was killed has left one."""
_CHUNK_BYTES = 4 * 1_024 * 1_024
_SUFFIXES = ("", "-wal", "-shm", "-journal", ".lock")


@dataclass(frozen=True, slots=True)
class Held:
    """What is left of what goes, outside of the store."""

    files: tuple[Path, ...] = ()
    """Backups, archives and left-over copies that may hold it."""
    unread: tuple[Path, ...] = ()
    """Places that could not be looked into: nobody knows what is there."""


def holding(store: Path, origins: Sequence[str], first_event: int | None, places: Iterable[BackupPlace] = ()) -> Held:
    """The backups and left-over copies that may hold what first came with an event of this index.

    `origins` are the names of the store's log, `places` where backups of it went. A backup's name says how many events
    its log has; of any other file nothing is known, so it is named. A file that is gone from its folder is left out; a
    folder that is not there may be on a disk that will be there again, so it is not looked into.
    """
    default = default_folder(store)
    folders, found, unread = {default: False, store.parent: False}, set[Path](), set[Path]()
    for place in places:
        folder = place.path if place.is_folder else place.path.parent
        folders[folder] = folder != default
        if not place.is_folder and not is_gone(place.path) and _is_later(place.size, first_event):
            found.add(place.path)
    for folder, noted in folders.items():
        try:
            names = os.listdir(folder)
        except (FileNotFoundError, NotADirectoryError):
            unread.update({folder} if noted else ())
            continue
        except OSError:
            unread.add(folder)
            continue
        files = (folder / name for name in names)
        found.update(file for file in files if _may_hold(file, origins, first_event, folder == default))
    return Held(tuple(sorted(found)), tuple(sorted(unread)))


def _may_hold(file: Path, origins: Sequence[str], first_event: int | None, own: bool) -> bool:
    """Whether to name what is in the store's own folder of backups, or in one that others may share."""
    if fnmatchcase(file.name, _COPIES):
        return True
    if own:
        told = _SIZE.search(file.name)
        size = None if told is None else int(told[1])
        return not file.name.startswith(".") and not os.path.isdir(file) and _is_later(size, first_event)
    size = size_told(file.name, origins)
    return size is not None and _is_later(size, first_event)


def _is_later(size: int | None, first_event: int | None) -> bool:
    """Whether a log of this size has an event; where one of the two is not known it is taken to have it."""
    return size is None or first_event is None or size > first_event


def files_of(store: Path) -> list[Path]:
    """The files of a store that are there."""
    files = (store.with_name(store.name + suffix) for suffix in _SUFFIXES)
    return [file for file in files if file.exists()]


def needles_of(plan: Plan) -> list[bytes]:
    """What to look for in bytes: the texts that went, as they are and in small letters, as indexes have them."""
    return sorted(form.encode(errors="surrogatepass") for form in plan.forms_gone())


def found_in(files: Iterable[Path], needles: Sequence[bytes]) -> list[Path]:
    """The files whose bytes have one of the needles.

    Nobody in this process may have the store open: closing a file that SQLite has open here would drop its locks.
    """
    return [file for file in files if needles and _has(file, needles)]


def _has(file: Path, needles: Sequence[bytes]) -> bool:
    overlap = max(map(len, needles)) - 1
    before = b""
    for chunk in _chunks(file):
        window = before + chunk
        if any(needle in window for needle in needles):
            return True
        before = window[-overlap:] if overlap else b""
    return False


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk
