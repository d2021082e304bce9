"""Whether a commit changed a path or anything below it."""

from __future__ import annotations

from collections.abc import Iterator

from asg_mcp.core.nodes import Hasher
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import APPEND, Tokens, is_within, list_index, parse_path
from asg_mcp.core.state import Gap
from asg_mcp.repo.records import operations_of
from asg_mcp.repo.resolve import state_at
from asg_mcp.storage.base import CommitRow, Reader


def touches(reader: Reader, hasher: Hasher, row: CommitRow, path: Tokens) -> bool:
    """Whether a commit changed the path or anything below it, seen from its first parent.

    An operation at the path or below it says so by itself. One above it (or one
    that moves the elements of a list above it) does when the two states differ.
    """
    if not path:
        return True
    above = False
    for target, reach in _reaches(row):
        if is_within(target, path):
            return True
        above = above or is_within(path, reach)
    return above and _differs(reader, hasher, row, path)


def _reaches(row: CommitRow) -> Iterator[tuple[Tokens, Tokens]]:
    """(path, the path all of whose content may be another) of each recorded operation."""
    for operation in operations_of(row):
        for text in (operation.path, operation.source):
            if text is None:
                continue
            path = reach = parse_path(text)
            if APPEND in path:
                reach = path[: path.index(APPEND)]
            elif path and operation.op in (Op.INSERT, Op.DELETE, Op.MOVE) and list_index(path[-1]) is not None:
                reach = path[:-1]
            yield path, reach


def _differs(reader: Reader, hasher: Hasher, row: CommitRow, path: Tokens) -> bool:
    after = state_at(reader, hasher, row)
    new = after.locate(path)
    if not row.parents:
        return not isinstance(new, Gap)
    before = state_at(reader, hasher, reader.commit(row.parents[0]))
    old = before.locate(path)
    if isinstance(old, Gap) or isinstance(new, Gap):
        return type(old) is not type(new)
    return before.object(old) != after.object(new)
