"""What lies around a store that is erased from: backups that hold it still, and the bytes of the store's own files."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from asg_mcp.repo.redactplan import PROVED_CHARS_MIN, Plan
from asg_mcp.services.backups import default_folder

_SIZE = re.compile(r"-\d{8}T\d{6}\.\d{3}Z-(\d{1,19})\.db")
_COPIES = ".asg-copy-*.part"
"""Folders in which copies of stores are made; who was killed has left one."""
_CHUNK_BYTES = 4 * 1_024 * 1_024
_SUFFIXES = ("", "-wal", "-shm", "-journal", ".lock")


def holding(store: Path, first_event: int | None, other: Path | None) -> list[Path]:
    """The backups and left-over copies that may hold what first came with an event of this index.

    A backup's name says how many events its log has; of any other file nothing is known, so it is named. `other` is a
    backup that lies elsewhere.
    """
    folders = [default_folder(store), store.parent]
    found = {other} if other is not None and other.exists() else set()
    for folder in folders:
        if folder.is_dir():
            found.update(folder.glob(_COPIES))
    if folders[0].is_dir():
        found.update(file for file in folders[0].iterdir() if file.is_file() and not file.name.startswith("."))
    return sorted(file for file in found if _may_hold(file, first_event))


def _may_hold(file: Path, first_event: int | None) -> bool:
    told = _SIZE.search(file.name)
    return told is None or first_event is None or int(told[1]) > first_event


def files_of(store: Path) -> list[Path]:
    """The files of a store that are there."""
    files = (store.with_name(store.name + suffix) for suffix in _SUFFIXES)
    return [file for file in files if file.exists()]


def needles_of(plan: Plan) -> list[bytes]:
    """What to look for in bytes: the texts that went, as they are and in small letters, as indexes have them."""
    forms = {form for secret in plan.texts_gone() for form in secret.needles if len(form) >= PROVED_CHARS_MIN}
    return sorted({text.encode(errors="surrogatepass") for form in forms for text in (form, form.lower())})


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
