"""Comparing speculations: each with its base, with each other, and with what others did on its branch meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations, islice

from asg_mcp.core.diff import differences
from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import CHANGES_COUNTED_MAX, SPECULATION_ALTERNATIVES_MAX, SPECULATIONS_COMPARED_MAX
from asg_mcp.core.state import State
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo.diffing import change
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.permits import check_permit
from asg_mcp.repo.promoting import base_for, rebased
from asg_mcp.repo.repeats import fingerprint, recall, remember
from asg_mcp.repo.resolve import speculation_record
from asg_mcp.repo.results import Conflict
from asg_mcp.repo.settling import named
from asg_mcp.repo.specresults import ChangeSet, Compared, ComparedPair, CompareResult
from asg_mcp.repo.speculation import Speculation, bare, open_speculation, speculation_at
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow, Writer

CHANGES_SHOWN_MAX = 50
"""Changes that a comparison hands out of each set; it counts them further."""


def record_compared(writer: Writer, handles: Sequence[str], author: Author, request_id: str) -> tuple[str, ...]:
    """Record in each of the speculations that it was compared with the others; returns their handles, bare.

    What is recorded already is not recorded again. Raises HandleNotFound, InvalidArgument, LimitExceeded
    and RequestReused.
    """
    keys = tuple(dict.fromkeys(map(bare, handles)))
    if not keys:
        raise InvalidArgument("No speculation is named", hint="Give the handles that asg_speculate returned.")
    if len(keys) > SPECULATIONS_COMPARED_MAX:
        raise LimitExceeded(
            f"{len(keys)} speculations; at most {SPECULATIONS_COMPARED_MAX} are compared at once",
            hint="Compare some, discard what loses, and compare the rest.",
            limit="SPECULATIONS_COMPARED_MAX",
            max=SPECULATIONS_COMPARED_MAX,
        )
    asked = fingerprint("compare", keys, author) if request_id else b""
    if recall(writer, author.principal, request_id, asked) is not None:
        return keys
    found = [open_speculation(writer, key, author.principal) for key in keys]
    for one in found:
        check_permit(writer, author, one.ref, ())
        others = [key for key in keys if key != one.handle]
        before = one.record.data["compared"]
        if not set(others) <= set(before):
            compared = [*(key for key in before if key not in others), *others][-SPECULATION_ALTERNATIVES_MAX:]
            body = {"compared": compared}
            log_event(writer, EventKind.SPECULATION_COMPARED, author, subject=one.handle, body=body)
    remember(writer, author.principal, request_id, asked, [])
    return keys


def compare(view: View, handles: Sequence[str]) -> CompareResult:
    """The speculations of these (bare) handles against their bases and against each other.

    Raises HandleNotFound where one is not there, or has ended.
    """
    found = [_open(view, handle) for handle in handles]
    states = {one.handle: view.state(one.head) for one in found}
    pairs = tuple(
        ComparedPair(one.handle, other.handle, change_set(states[one.handle], states[other.handle]))
        for one, other in combinations(found, 2)
    )
    return CompareResult(tuple(_compared(view, one, states[one.handle]) for one in found), pairs)


def _open(view: View, handle: str) -> Speculation:
    found = speculation_at(view.reader, speculation_record(view.reader, handle, view.principal))
    if found is None:
        view.resolve(f"spec:{handle}")  # raises, saying that it ended
    assert found is not None, "BUG: what has no ref does not resolve"
    return found


def _compared(view: View, one: Speculation, state: State) -> Compared:
    """What committing it to its branch as that is now would bring; where there is none, what was tried in it alone."""
    data = one.record.data
    target = view.reader.ref(data["target"]) if data["target"] else None
    base = one.base if target is None else base_for(view, one, target)
    return Compared(
        handle=one.handle,
        label=data["label"],
        base=CommitId(base.id),
        head=CommitId(one.head.id),
        target=data["target"],
        changed=change_set(view.state(base), state),
        conflicts=None if target is None else _conflicts(view, base, one.head, view.reader.commit(target.seq)),
    )


def _conflicts(view: View, base: CommitRow, tried: CommitRow, head: CommitRow) -> tuple[Conflict, ...]:
    """What would stand in the way at this head of its branch."""
    plan = rebased(view, base, tried, view.state(head), ())
    return named(view, plan.conflicts, head, tried)


def change_set(before: State, after: State) -> ChangeSet:
    """The typed changes from one state to another: the first with their values, all of them counted."""
    found = list(islice(differences(before, after), CHANGES_COUNTED_MAX))
    shown = tuple(change(before, after, item) for item in found[:CHANGES_SHOWN_MAX])
    return ChangeSet(shown, dict(Counter(item.op for item in found)))
