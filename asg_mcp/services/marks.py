"""High-water marks in files: one folder for each store and place, outside the store.

    FOLDER/DIGEST/SIZE-RANDOM.mark     what the log was at that size
    FOLDER/DIGEST/backup.json          when it was last backed up, and where to
    FOLDER/DIGEST/place-DIGEST.json    a folder or a file that it was backed up to, once
    FOLDER/DIGEST/archive-DIGEST.json  an archive of it, and how long the log in it is

The digest is of the store's first name and of its path. The path counts, because a copy
made on purpose may live its own life elsewhere: it has no key there, so it signs nothing
under the old name. Files are added whole and those that they outdo removed, in this order,
so processes need no lock among them, and a crash leaves a file too many, never too few.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from asg_mcp.core.limits import BACKUP_PLACES_MAX
from asg_mcp.core.merkle import HASH_BYTES
from asg_mcp.errors import LimitExceeded
from asg_mcp.repo.marking import Mark
from asg_mcp.services.files import make_folder, write_whole

_SUFFIX = ".mark"
_BACKUP = "backup.json"
_PLACE = "place-"
_ARCHIVE = "archive-"
_DIGITS = 32
_SIZE_DIGITS = 20


@dataclass(frozen=True, slots=True)
class LastBackup:
    """The backup of a store that was made last."""

    path: Path
    at: int
    """Microseconds since 1970-01-01 UTC."""
    size: int
    """How many events its log has."""


@dataclass(frozen=True, slots=True)
class BackupPlace:
    """Where a store was backed up to, or what it was restored from."""

    path: Path
    is_folder: bool
    """Whether backups get names of their own there; else it is one file."""
    size: int | None = None
    """How many events the log in that file has; None where that was not noted."""


class MarkFiles:
    """See `repo.marking.Marks`: the marks of the stores at one path."""

    def __init__(self, folder: Path, path: Path) -> None:
        self._folder = folder
        self.path = path
        """Of the store, from the root of the file system, links followed."""

    def held(self, store: str) -> Mark | None:
        """See Marks."""
        kept = [mark for mark in map(_read, self._files(store)) if mark is not None and mark.origins[0] == store]
        return max(kept, key=lambda mark: (len(mark.origins), mark.size), default=None)

    def raise_to(self, mark: Mark) -> None:
        """See Marks."""
        held = self.held(mark.origins[0])
        if held is not None and mark.origins[-1] in held.origins:
            if mark.origins[-1] != held.origins[-1] or mark.size <= held.size:
                return
        self._put(mark)

    def begin(self, mark: Mark) -> None:
        """Keep this mark and no other: the store was placed here anew. Raises OSError."""
        made = self._put(mark)
        for file in self._files(mark.origins[0]):
            if file != made:
                file.unlink(missing_ok=True)

    def note_backup(self, mark: Mark, path: Path, at: int) -> None:
        """Remember a backup, taken at this mark and time. Raises OSError."""
        folder = self.folder(mark.origins[0])
        make_folder(folder)
        write_whole(folder / _BACKUP, _json({"path": str(path), "at": at, "size": mark.size}))
        note = folder / _name(_PLACE, path)
        if note.exists():
            _write_place(note, BackupPlace(path, is_folder=False, size=mark.size))

    def last_backup(self, store: str) -> LastBackup | None:
        """The backup that was made last, wherever it is now; None where none was, or nothing legible is kept of it."""
        try:
            told = json.loads((self.folder(store) / _BACKUP).read_bytes())
            return LastBackup(Path(told["path"]), int(told["at"]), int(told["size"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def note_place(self, store: str, place: BackupPlace) -> None:
        """Remember where a backup of the store with this first name goes, before it is made: a kill leaves copies.

        Of BACKUP_PLACES_MAX places the one that was noted first and is not there any more is forgotten for it. Raises
        LimitExceeded where all of them are there, and OSError.
        """
        folder = self.folder(store)
        make_folder(folder)
        last = self.last_backup(store)
        # Earlier programs noted the last backup alone, and the next one is about to take its place.
        if last is not None and not any((folder / _name(_PLACE, at)).exists() for at in (last.path, last.path.parent)):
            _write_place(folder / _name(_PLACE, last.path), BackupPlace(last.path, is_folder=False, size=last.size))
        note = folder / _name(_PLACE, place.path)
        if not note.exists():
            _make_room(list(folder.glob(f"{_PLACE}*.json")))
        _write_place(note, place)

    def places(self, store: str) -> tuple[list[BackupPlace], list[Path]]:
        """Where backups of the store with this first name went, and the notes about that which cannot be read."""
        places, damaged = [], []
        for file in sorted(self.folder(store).glob(f"{_PLACE}*.json")):
            try:
                places.append(_place(file))
            except (OSError, ValueError, LookupError, TypeError):
                damaged.append(file)
        last = self.last_backup(store)
        if last is not None and not any(place.path in (last.path, last.path.parent) for place in places):
            places.append(BackupPlace(last.path, is_folder=False, size=last.size))
        return places, damaged

    def note_archive(self, store: str, path: Path, size: int) -> None:
        """Remember an archive of the store with this first name, whose log had this size. Raises OSError."""
        folder = self.folder(store)
        make_folder(folder)
        write_whole(folder / _name(_ARCHIVE, path), _json({"path": str(path), "size": size}))

    def archives(self, store: str) -> dict[Path, int]:
        """The archives that were made and are where they were made, and the sizes of the log in them.

        Where that cannot be looked up, the archive is taken to be there.
        """
        found: dict[Path, int] = {}
        for file in self.folder(store).glob(f"{_ARCHIVE}*.json"):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                told = json.loads(file.read_bytes())
                found[Path(told["path"])] = int(told["size"])
        return {path: size for path, size in found.items() if not is_gone(path)}

    def folder(self, store: str) -> Path:
        """Where the marks of the store with this first name are."""
        return self._folder / sha256(f"{store}\n{self.path}".encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]

    def _files(self, store: str) -> list[Path]:
        return list(self.folder(store).glob(f"[!.]*{_SUFFIX}"))

    def _put(self, mark: Mark) -> Path:
        folder = self.folder(mark.origins[0])
        make_folder(folder)
        before = self._files(mark.origins[0])
        made = folder / f"{mark.size:0{_SIZE_DIGITS}}-{secrets.token_hex(4)}{_SUFFIX}"
        told = {"path": str(self.path), "origins": list(mark.origins), "size": mark.size, "root": mark.root.hex()}
        write_whole(made, _json(told))
        for file in before:
            held = _read(file)
            if held is None or held.origins != mark.origins or held.size <= mark.size:
                file.unlink(missing_ok=True)
        return made


def is_gone(path: Path) -> bool:
    """Whether there is nothing at a path. What cannot be looked up is not taken to be gone."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _name(prefix: str, path: Path) -> str:
    """The name of the note about a path."""
    return f"{prefix}{sha256(str(path).encode('utf-8', 'surrogateescape')).hexdigest()[:_DIGITS]}.json"


def _make_room(notes: list[Path]) -> None:
    """Let go of places that are gone, the first noted first, until there is room for one more."""
    excess = len(notes) + 1 - BACKUP_PLACES_MAX
    if excess <= 0:
        return
    for note in sorted(notes, key=lambda file: file.stat().st_mtime_ns):
        with contextlib.suppress(ValueError, LookupError, TypeError):  # nobody knows what a damaged note told
            if is_gone(_place(note).path):
                note.unlink(missing_ok=True)
                excess -= 1
                if not excess:
                    return
    raise LimitExceeded(
        f"Backups of this store are at {len(notes)} places already, and no more are remembered",
        hint="Name one of their folders with --to: all backups in a folder are one place. Or delete older files.",
        limit="BACKUP_PLACES_MAX",
        max=BACKUP_PLACES_MAX,
    )


def _write_place(note: Path, place: BackupPlace) -> None:
    write_whole(note, _json({"path": str(place.path), "folder": place.is_folder, "size": place.size}))


def _place(note: Path) -> BackupPlace:
    told = json.loads(note.read_bytes())
    size = told["size"]
    return BackupPlace(Path(told["path"]), bool(told["folder"]), None if size is None else int(size))


def _read(file: Path) -> Mark | None:
    """The mark in a file; None where another process has just removed it, or where it is damaged."""
    try:
        told = json.loads(file.read_bytes())
        mark = Mark(tuple(map(str, told["origins"])), int(told["size"]), bytes.fromhex(told["root"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None
    return mark if mark.origins and mark.size > 0 and len(mark.root) == HASH_BYTES else None


def _json(told: dict[str, Any]) -> bytes:
    return json.dumps(told, indent=1).encode() + b"\n"
