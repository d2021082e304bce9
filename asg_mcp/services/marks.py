"""High-water marks in files: one folder for each store and place, outside the store.

    FOLDER/DIGEST/SIZE-RANDOM.mark     what the log was at that size
    FOLDER/DIGEST/backup.json          when it was last backed up, and where to
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

from asg_mcp.core.merkle import HASH_BYTES
from asg_mcp.repo.marking import Mark
from asg_mcp.services.files import make_folder, write_whole

_SUFFIX = ".mark"
_BACKUP = "backup.json"
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

    def last_backup(self, store: str) -> LastBackup | None:
        """The backup that was made last, wherever it is now; None where none was, or nothing legible is kept of it."""
        try:
            told = json.loads((self.folder(store) / _BACKUP).read_bytes())
            return LastBackup(Path(told["path"]), int(told["at"]), int(told["size"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def note_archive(self, store: str, path: Path, size: int) -> None:
        """Remember an archive of the store with this first name, whose log had this size. Raises OSError."""
        folder = self.folder(store)
        make_folder(folder)
        name = sha256(str(path).encode("utf-8", "surrogateescape")).hexdigest()[:_DIGITS]
        write_whole(folder / f"{_ARCHIVE}{name}.json", _json({"path": str(path), "size": size}))

    def archives(self, store: str) -> dict[Path, int]:
        """The archives that were made and are where they were made, and the sizes of the log in them."""
        found: dict[Path, int] = {}
        for file in self.folder(store).glob(f"{_ARCHIVE}*.json"):
            with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
                told = json.loads(file.read_bytes())
                found[Path(told["path"])] = int(told["size"])
        return {path: size for path, size in found.items() if path.exists()}

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
