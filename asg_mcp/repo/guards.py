"""What a caller may say it had read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.ids import parse_prefix
from asg_mcp.core.limits import SHORT_ID_DIGITS
from asg_mcp.core.nodes import SCALAR, Hasher
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.core.paths import APPEND, ELEMENT, Tokens, format_path
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.errors import HeadMoved, ObjectChanged
from asg_mcp.repo.graph import Graph, is_ancestor
from asg_mcp.repo.resolve import commit_by_prefix, state_at
from asg_mcp.storage.base import CommitRow, Reader, TermKind

SHOWN_CHARS_MAX = 200
"""A value in a conflict's details is shown up to here; the caller can read the rest."""


@dataclass(frozen=True, slots=True)
class Guard:
    """What the caller says it had read, and how a repeated call is recognised. Empty means not said."""

    expected_head: str = ""
    expected_object: str = ""
    request_id: str = ""


def check_head(
    reader: Reader,
    hasher: Hasher,
    graph: Graph,
    expected: str,
    head: CommitRow,
    state: State,
    operations: Sequence[Operation],
    principal: str,
) -> bool:
    """Whether the write is rebased: the head moved since `expected`, but nothing that it touches changed.

    Raises HeadMoved with each path that did, or when `expected` is not an ancestor of the head, and what
    `commit_by_prefix` raises: what `principal` may not see is as if it were not there.
    """
    if not expected:
        return False
    seq = commit_by_prefix(reader, graph, parse_prefix(expected), principal)
    if seq == head.seq:
        return False
    if not is_ancestor(reader, graph, seq, head.seq):
        raise HeadMoved(
            f"expected_head {expected[:SHORT_ID_DIGITS]} is not in the history of this branch",
            hint="Read the branch again; its head is in details.",
            head=head.id.short,
        )
    before = state_at(reader, hasher, reader.commit(seq))
    conflicts = []
    for operation in operations:
        for path in (operation.path, operation.source):
            found = None if path is None else _changed(before, state, path, operation)
            if found is None and path is not None:
                found = _replaced(reader, before, state, path, seq)
            if found is not None:
                conflicts.append(_conflict(before, state, found, operation))
    if conflicts:
        raise HeadMoved(
            f"The branch moved from {expected[:SHORT_ID_DIGITS]} to {head.id.short},"
            f" and {conflicts[0]['path']} changed meanwhile",
            head=head.id.short,
            expected_head=expected[:SHORT_ID_DIGITS],
            conflicts=conflicts,
        )
    return True


def _changed(before: State, after: State, path: Tokens, operation: Operation) -> Tokens | None:
    """Where what an operation touches differs between two states: the path, what is below it, or an ancestor."""
    old, new = before.locate(path), after.locate(path)
    keys = [(side.deepest if isinstance(side, Gap) else side).entry.key for side in (old, new)]
    if type(old) is not type(new) or keys[0] != keys[1]:
        return path
    # `-` names the end of a list, whatever others put there: only the lists around that one count.
    elements = _list_ancestors(before, path[:-1] if path[-1:] == (APPEND,) else path)
    for tokens in elements:
        # An index means another element once the list has lost or gained some.
        there, here = before.locate(tokens), after.locate(tokens)
        if not isinstance(there, Spot) or not isinstance(here, Spot) or there.entry.origin != here.entry.origin:
            return tokens
    if isinstance(old, Gap) or isinstance(new, Gap):
        assert isinstance(old, Gap) and isinstance(new, Gap), "BUG: both are gaps"
        return None if old.deepest.entry.kind == new.deepest.entry.kind else path
    if operation.op is Op.APPEND and old.entry.kind == new.entry.kind != SCALAR:
        return None  # elements come behind whatever others appended meanwhile
    return None if before.object(old) == after.object(new) else path


def _replaced(reader: Reader, before: State, after: State, path: Tokens, since: int) -> Tokens | None:
    """The list element on the way to a path that another may stand in the place of, or None.

    An index is no name: when somebody set the element, its list or what is above it as a whole, what stands at the
    index may be another element, though the lists are equally long.
    """
    for tokens in _list_ancestors(before, path):
        element = path[: len(tokens) + 1]
        old, new = before.locate(element), after.locate(element)
        if not isinstance(old, Spot) or not isinstance(new, Spot) or before.object(old) == after.object(new):
            continue
        for length in range(len(element) + 1):
            newest = reader.find((TermKind.PATH, format_path(element[:length])), reader.last_seq() + 1, 1)
            if newest and newest[0] > since:
                return element
    return None


def _list_ancestors(state: State, path: Tokens) -> list[Tokens]:
    """The lists on the way to a path whose indexes it goes through."""
    place = state.locate(path)
    if isinstance(place, Spot) and ELEMENT not in place.entry.key:
        return []
    lists = []
    spot: Spot | None = state.root()
    for index, token in enumerate(path):
        if spot is None:
            break
        if state.type_name(spot) == "list":
            lists.append(path[:index])
        spot = state.child(spot, token)
    return lists


def _conflict(before: State, after: State, path: Tokens, operation: Operation) -> dict[str, Any]:
    sides: dict[str, Any] = {"path": format_path(path)}
    for name, state in (("base", before), ("ours", after)):
        place = state.locate(path)
        if isinstance(place, Spot):
            sides[name] = shown(state, place)
    if operation.value is not ABSENT and path == operation.path:
        sides["theirs"] = operation.value if len(repr(operation.value)) <= SHOWN_CHARS_MAX else "(your value)"
    return sides


def shown(state: State, spot: Spot) -> Any:
    """A value for an error's details: itself when it is short, its type and size when it is not."""
    if spot.entry.kind != SCALAR and spot.end - spot.rank > SHOWN_CHARS_MAX // 4:
        return f"({state.type_name(spot)}, {spot.end - spot.rank - 1} entries)"
    value = state.shown(spot)
    return value if len(repr(value)) <= SHOWN_CHARS_MAX else f"({state.type_name(spot)}, {len(repr(value))} characters)"


def check_object(expected: str, before: State, after: State, path: Tokens, *, writes: bool) -> bool:
    """Whether the path already was what the write would make it, so that nothing remains to do.

    A request that writes nothing (`writes` false: tests alone, or a checkpoint) makes it nothing, so it has to hold.

    Raises ObjectChanged when it is neither that nor what the caller had read.
    """
    if not expected:
        return False
    digits = parse_prefix(expected)
    old = before.locate(path)
    if isinstance(old, Spot) and before.object(old).hex().startswith(digits):
        return False
    new = after.locate(path)
    if writes and isinstance(old, Gap) and isinstance(new, Gap):
        return True
    if writes and isinstance(old, Spot) and isinstance(new, Spot) and before.object(old) == after.object(new):
        return True
    found: dict[str, Any] = {"path": format_path(path), "expected_object": expected}
    if isinstance(old, Spot):
        found.update(object=before.object(old).short, value=shown(before, old))
    raise ObjectChanged(f"{format_path(path)} is no longer {expected}", **found)
