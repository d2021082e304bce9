"""Read, decide and write in one transaction: what services make their commits with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author, Intent
from asg_mcp.core.operations import Operation
from asg_mcp.core.state import State
from asg_mcp.repo.repeats import recall, remember
from asg_mcp.repo.transaction import apply_all, branch_of, write_commit
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow, Writer


@dataclass(frozen=True, slots=True)
class Draft:
    """What a decision is made on. It lives inside the transaction and must not be kept."""

    view: View
    head: CommitRow
    state: State
    """The state at the head of the branch."""
    now: int
    """The time of the transaction in microseconds."""
    salt: str
    """32 hex digits that nobody could have known before."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be written, and what the caller is told. Without operations or without an intent, nothing is."""

    operations: tuple[Operation, ...]
    intent: Intent | None
    answer: dict[str, Any]
    """JSON; remembered under the caller's request_id."""


@dataclass(frozen=True, slots=True)
class Transacted:
    """What became of a decision."""

    answer: dict[str, Any]
    commit: CommitId
    """The commit made; the head where nothing was written."""
    ref: str
    changed: int
    replayed: bool = False
    """Whether this is the remembered answer of an earlier call with the same request_id."""


Decide = Callable[[Draft], Decision]


def transact(
    writer: Writer, view: View, ref_name: str, author: Author, request_id: str, asked: bytes, decide: Decide
) -> Transacted:
    """Let `decide` see the head of a branch, and commit what it says; nobody writes in between.

    `asked` is the `guards.fingerprint` of the request. The operations may change the roots that have tools of their
    own. Raises what `decide` and the operations raise, RefNotFound, Forbidden and RequestReused; then nothing is
    written.
    """
    known = recall(writer, author.principal, request_id, asked)
    if known is not None:
        answer, commit, name, changed = known
        return Transacted(answer, CommitId(commit), name, changed, replayed=True)
    ref = branch_of(writer, ref_name)
    head = writer.commit(ref.seq)
    state = view.state(head)
    decision = decide(Draft(view, head, state, writer.now(), writer.salt()))
    done = Transacted(decision.answer, head.id, ref.name, 0)
    if decision.operations and decision.intent is not None:
        edited = apply_all(state, decision.operations, view.hasher, writer.last_seq() + 1)
        if edited.changed:
            row = write_commit(writer, view.hasher, ref, head, edited, decision.intent, author)
            done = Transacted(decision.answer, row.id, ref.name, edited.changed)
    remember(writer, author.principal, request_id, asked, [done.answer, done.commit, done.ref, done.changed])
    return done
