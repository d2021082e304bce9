"""The names of backups, and which of them are kept.

    STORE-NAME8-20261121T073000.250Z-1234.db

the store's file, the last name of its log, the time, and how many events the log has. Only
files of this form and of this very log are ever removed: two stores may share a folder, and
an older incarnation's backups are not a newer one's to throw away.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from asg_mcp.core.times import SECOND
from asg_mcp.repo.marking import Mark

FOLDER_SUFFIX = ".backups"
"""After the store's name: the folder of its backups, where none is given."""
_SUFFIX = ".db"
_ORIGIN_CHARS = 8
_TOLD = re.compile(r"(\d{8}T\d{6}\.\d{3}Z)-(\d{1,19})")
_NAME = re.compile(rf".+-(.{{{_ORIGIN_CHARS}}})-{_TOLD.pattern}{re.escape(_SUFFIX)}", re.DOTALL)


def default_folder(store: Path) -> Path:
    """Where the backups of the store at this path go unless told otherwise."""
    return store.with_name(store.name + FOLDER_SUFFIX)


def backup_name(store: Path, mark: Mark, at: int) -> str:
    """The name of a backup taken at this mark and time (microseconds since 1970-01-01 UTC)."""
    seconds, micros = divmod(at, SECOND)
    when = datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%S")
    return f"{_stem(store, mark)}{when}.{micros // 1_000:03}Z-{mark.size}{_SUFFIX}"


def backups_in(folder: Path, store: Path, mark: Mark) -> list[Path]:
    """The backups of this log in a folder, the newest first: by the length of the log, for clocks may go back."""
    found = []
    stem = _stem(store, mark)
    for file in folder.iterdir():
        if file.name.startswith(stem) and file.suffix == _SUFFIX:
            told = _TOLD.fullmatch(file.name[len(stem) : -len(_SUFFIX)])
            if told:
                found.append((int(told[2]), told[1], file))
    return [file for _, _, file in sorted(found, reverse=True)]


def rotate(folder: Path, store: Path, mark: Mark, keep: int) -> list[Path]:
    """Remove all but the newest `keep` backups of this log; returns what was removed. Raises OSError."""
    removed = backups_in(folder, store, mark)[keep:]
    for file in removed:
        file.unlink(missing_ok=True)
    return removed


def size_told(name: str, origins: Sequence[str]) -> int | None:
    """How many events the log of a backup has, by its name; None for what is no backup of a log of these names."""
    told = _NAME.fullmatch(name)
    ours = told is not None and any(origin.rpartition("/")[2][:_ORIGIN_CHARS] == told[1] for origin in origins)
    return int(told[3]) if told is not None and ours else None


def _stem(store: Path, mark: Mark) -> str:
    return f"{store.stem}-{mark.origins[-1].rpartition('/')[2][:_ORIGIN_CHARS]}-"
