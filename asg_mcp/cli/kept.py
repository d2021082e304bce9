"""What is kept outside a store for its sake: its high-water mark, and its backups."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from asg_mcp import config
from asg_mcp.app import marks_of
from asg_mcp.core.times import SECOND
from asg_mcp.errors import AsgError, StoreCorrupt
from asg_mcp.repo.marking import Mark, mark_fault, mark_of
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.view import View

Told = tuple[str, str, str]
"""Name, status and text of a check; see `health.Check`."""
_DAY, _HOUR, _MINUTE = 86_400, 3_600, 60


async def keeping_checks(repository: Repository, path: Path) -> list[Told]:
    """Whether the store's high-water mark is kept, and when it was last backed up. Nothing of a store without a log."""
    try:
        mark = await repository.read(_mark_of)
    except AsgError as error:
        return [("mark", "bad", f"{error.message}. {error.hint}".strip())]
    return [] if mark is None else [_mark_check(path, mark), *_backup_checks(path, mark)]


def _mark_of(view: View) -> Mark | None:
    return mark_of(view.reader) if view.reader.events_count() else None


def _mark_check(path: Path, mark: Mark) -> Told:
    marks = marks_of(path)
    folder = marks.folder(mark.origins[0])
    try:
        marks.raise_to(mark)
    except OSError as error:
        text = (
            f"the high-water mark cannot be kept in {folder} ({error.strerror}), so an older copy of the file would go "
            f"unnoticed. Set {config.STATE_VARIABLE} to a folder that outlives the process and lies outside the store."
        )
        return ("mark", "note", text)
    return ("mark", "ok", f"kept in {folder}: {mark.size} events, incarnation {len(mark.origins)}")


def _backup_checks(path: Path, mark: Mark) -> Iterator[Told]:
    last = marks_of(path).last_backup(mark.origins[0])
    if last is None:
        yield ("backup", "note", f"none was made here yet. Run: {config.PROGRAM} backup --keep 7")
        return
    ago = age_text(time.time_ns() // 1_000 - last.at)
    behind = max(mark.size - last.size, 0)
    text = f"the last one was made {ago}, {behind} event{'s' * (behind != 1)} behind: {last.path}"
    if last.path.exists():
        yield ("backup", "ok", text)
    else:
        yield ("backup", "note", f"{text}, which is not there any more")


def age_text(microseconds: int) -> str:
    """How long ago something was, in its largest unit."""
    seconds = max(microseconds // SECOND, 0)
    for unit, name in ((_DAY, "days"), (_HOUR, "hours"), (_MINUTE, "minutes")):
        if seconds >= 2 * unit:
            return f"{seconds // unit} {name} ago"
    return f"{seconds} seconds ago"


async def mark_problem(repository: Repository, path: Path) -> str | None:
    """How the store falls short of its high-water mark; None where it does not, or where its log cannot be read."""
    try:
        return await repository.read(lambda view: mark_fault(view.reader, marks_of(path)))
    except StoreCorrupt:
        return None
