"""Rows that nothing leads to: they do no harm, and are told as a notice."""

from __future__ import annotations

from collections.abc import Iterator

from asg_mcp.core.noderows import references
from asg_mcp.repo.verifying import Check
from asg_mcp.storage.base import Reader

_PAGE = 500
SHOWN_MAX = 10


def orphans_told(check: Check, reader: Reader) -> str:
    """What to say of the rows that no commit leads to; "" where there are none.

    Numbers that something leads to are passed over at once, so a whole store costs next to nothing. The base of a
    delta is needed by it, whoever leads to that.
    """
    nodes = list(_unreached_nodes(check, reader))
    if nodes:
        needed = _needed(check, reader)
        nodes = [row for row in nodes if row not in needed]
    blobs = [row for row in _blobs(reader) if row not in check.reached]
    parts = [_told(rows, what) for rows, what in ((nodes, "tree node"), (blobs, "large value")) if rows]
    return f"No commit leads to {' and '.join(parts)}: that takes up room, and does no harm" if parts else ""


def _told(rows: list[int], what: str) -> str:
    shown = ", ".join(map(str, rows[:SHOWN_MAX]))
    return f"{len(rows)} {what}{'s' * (len(rows) != 1)} ({shown}{', …' * (len(rows) > SHOWN_MAX)})"


def _unreached_nodes(check: Check, reader: Reader) -> Iterator[int]:
    row = check.reached.missed_after(0)
    while page := reader.node_rows(row - 1, 1):
        found = page[0][0]
        if found not in check.reached:
            yield found
        row = check.reached.missed_after(found)


def _needed(check: Check, reader: Reader) -> set[int]:
    """The rows that others are built on to which something leads: a delta needs its base, whoever leads to that."""
    found, after = dict[int, list[int]](), 0
    while page := reader.node_rows(after, _PAGE):
        found.update((row, references(parts)[0]) for row, parts in page)
        after = page[-1][0]
    needed: set[int] = set()
    todo = [row for row in found if row in check.reached]
    while todo:
        for row in found.get(todo.pop(), ()):
            if row not in check.reached and row not in needed:
                needed.add(row)
                todo.append(row)
    return needed


def _blobs(reader: Reader) -> Iterator[int]:
    after = 0
    while page := reader.blob_rows(after, _PAGE):
        yield from page
        after = page[-1]
