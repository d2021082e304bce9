"""Following a branch: every change of the places that a pattern means, commit by commit, in the order of the log.

What is followed are the events of the branch, so nothing is lost between two looks, whichever process made it, and a
follower that was stopped goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asg_mcp.core.diff import differences
from asg_mcp.core.limits import FOLLOWED_CHANGES_MAX, FOLLOWED_EVENTS_MAX
from asg_mcp.core.operations import ABSENT, Absent
from asg_mcp.core.paths import Tokens
from asg_mcp.core.patterns import Pattern
from asg_mcp.core.state import State
from asg_mcp.core.values import JsonValue, encode
from asg_mcp.errors import CommitNotFound, RefNotFound
from asg_mcp.repo.diffing import change
from asg_mcp.repo.results import Change, CommitInfo
from asg_mcp.repo.view import View
from asg_mcp.storage.base import TermKind

_EVENTS_PAGE = 200


@dataclass(frozen=True, slots=True)
class Position:
    """How far a follower has come."""

    event: int
    """The last event of the log that it has seen."""
    seq: int
    """What the branch held then, or last held."""


@dataclass(frozen=True, slots=True)
class Step:
    """What one commit, or one other move of the branch, changed."""

    commit: CommitInfo
    changes: tuple[Change, ...]


def begin(view: View, name: str, since: str) -> Position:
    """Where to follow a branch from: the commit `since`, or now.

    Raises RefNotFound, and CommitNotFound for a commit at which the branch never was.
    """
    head = view.resolve(name)
    count = view.reader.events_count()
    if view.reader.ref(name) is None:
        raise RefNotFound(f"{name} is a commit, and only a branch or speculation moves", hint="Give its name alone.")
    if not since:
        return Position(count - 1, head.seq)
    wanted = view.resolve(since).seq
    before = count
    while True:
        indexes = view.reader.find((TermKind.REF, name), before, _EVENTS_PAGE)
        for index in indexes:
            event = view.reader.event(index)
            if event is not None and event.ref == name and event.new == wanted:
                return Position(index, wanted)
        if len(indexes) < _EVENTS_PAGE:
            raise CommitNotFound(f"{name} was never at {since}", hint="asg_log of the branch lists its commits.")
        before = indexes[-1]


def follow(view: View, name: str, pattern: Pattern, position: Position) -> tuple[list[Step], Position]:
    """What changed since, as far as FOLLOWED_EVENTS_MAX and FOLLOWED_CHANGES_MAX let one look go, and where that is."""
    count = view.reader.events_count()
    if count - 1 <= position.event:
        return [], position
    indexes = view.reader.find((TermKind.REF, name), count, FOLLOWED_EVENTS_MAX, after=position.event)
    # The term is a hash: what belongs to another ref is passed over.
    steps: list[Step] = []
    found, seq = 0, position.seq
    for index in indexes:
        event = view.reader.event(index)
        if event is None or event.ref != name or event.new is None:
            continue
        changes = tuple(_changes(view.state_of(seq), view.state_of(event.new), pattern))
        seq = event.new
        if changes:
            steps.append(Step(view.info(seq), changes))
            found += len(changes)
        if found >= FOLLOWED_CHANGES_MAX:
            return steps, Position(index, seq)
    return steps, Position(indexes[-1] if len(indexes) == FOLLOWED_EVENTS_MAX else count - 1, seq)


def _changes(a: State, b: State, pattern: Pattern) -> Iterator[Change]:
    for item in differences(a, b, pattern.prefix):
        if pattern.covers(item.tokens) or (item.source is not None and pattern.covers(item.source)):
            yield change(a, b, item)
        else:
            yield from _inside(change(a, b, item), pattern)


def _inside(whole: Change, pattern: Pattern) -> Iterator[Change]:
    """The changes of places that are meant inside a container that came, went or was replaced."""
    old, new = _places(whole.path, whole.old, pattern), _places(whole.path, whole.new, pattern)
    for path in [*old, *(path for path in new if path not in old)]:
        before, after = old.get(path, ABSENT), new.get(path, ABSENT)
        if isinstance(before, Absent) or isinstance(after, Absent):
            yield Change("add" if isinstance(before, Absent) else "remove", path, before, after)
        elif encode(before) != encode(after):
            yield Change("replace", path, before, after)


def _places(path: Tokens, value: JsonValue | Absent, pattern: Pattern) -> dict[Tokens, JsonValue]:
    return {} if isinstance(value, Absent) else dict(pattern.places(path, value))
