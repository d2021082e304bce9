"""Undoing: a three-way merge with base = the commit, ours = the head, theirs = its first parent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from asg_mcp.core.diff import differences
from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Author, Intent
from asg_mcp.core.merge import merge
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.operations import Absent, Op, Operation
from asg_mcp.core.paths import Tokens
from asg_mcp.core.state import Gap, State
from asg_mcp.core.times import parse_time
from asg_mcp.errors import InvalidArgument, LimitExceeded, NotFound
from asg_mcp.repo.diffing import change
from asg_mcp.repo.guards import Guard, check_head, check_object
from asg_mcp.repo.records import author_of, whole
from asg_mcp.repo.repeats import asked_for, kept_warnings, recall, recalled_warnings, remember
from asg_mcp.repo.requests import RevertRequest
from asg_mcp.repo.results import RevertResult
from asg_mcp.repo.settling import CHANGES_SHOWN_MAX, Settling, check_resolutions, named, net, side_at
from asg_mcp.repo.transaction import KEPT_ROOTS, apply_all, branch_of, check_kept, check_schema, object_at, write_commit
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow, TermKind, Writer

REVERT_COMMITS_MAX = 10_000
"""Commits undone by one call: each is a merge of its own."""
_PAGE = 1_000


def check_request(request: RevertRequest) -> None:
    """Raise InvalidArgument unless the request says in exactly one way what to undo."""
    ways = [
        name
        for name, given in (
            ("commits", bool(request.commits)),
            ("agent or session", bool(request.agent or request.session)),
            ("path and source", request.path is not None or bool(request.source)),
        )
        if given
    ]
    if len(ways) != 1:
        raise InvalidArgument(
            "Say what to undo in exactly one way" + (f", not by {' and '.join(ways)}" if ways else ""),
            hint="Give commits; or agent or session, with since; or path with source to restore it from.",
        )
    if (request.path is None) != (not request.source):
        raise InvalidArgument("path and source go together", hint="Give the path and the ref to restore it from.")
    if request.since and not (request.agent or request.session):
        raise InvalidArgument("since goes with agent or session", hint="Leave it out, or name the agent.")
    check_resolutions(request.resolutions)


def revert(
    writer: Writer, view: View, request: RevertRequest, intent: Intent, author: Author, guard: Guard
) -> RevertResult:
    """Undo commits, all by an agent or session, or restore a path; conflicts are answered as data.

    Nothing is written in a preview, when there are unsettled conflicts, or when nothing is left to undo.
    """
    check_request(request)
    asked = asked_for(view.hasher, guard.request_id, "revert", request, intent, author, guard)
    known = recall(writer, author.principal, guard.request_id, asked)
    if known is not None:
        return _recalled(known)
    ref = branch_of(writer, request.ref)
    head = writer.commit(ref.seq)
    state = view.state(head)
    plan = _Plan(state, request.resolutions)
    undone = [] if request.path is not None else _commits(view, head, request)
    if request.path is not None:
        plan.restore(view.state(view.resolve(request.source)), request.path)
    for row in undone:
        plan.undo(view.state(row), view.state_of(row.parents[0]))
    plan.check_used()
    # What comes from the store was checked when it was written, and may be more than one caller may ask for at once.
    operations = net(state, plan.state)
    if request.path is not None:
        check_kept(operations)
    operations, skipped = _without_kept(operations)
    edited = apply_all(state, operations, view.hasher, writer.last_seq() + 1)
    rebased = check_head(writer, view.hasher, view.graph, guard.expected_head, head, state, operations, view.principal)
    result = RevertResult(
        ref=ref.name,
        commit=None,
        parent=head.id,
        reverted=tuple(CommitId(row.id) for row in undone),
        changed=0,
        changes=(),
        conflicts=named(view, [item for item in plan.conflicts if not _is_kept(item.path)], head, None),
        rebased=rebased,
        skipped=skipped,
    )
    at = request.path or ()
    if request.preview:
        check_schema(state, edited)
        found = [change(state, edited.state, item) for item in differences(state, edited.state)]
        result = replace(result, changes=tuple(found[:CHANGES_SHOWN_MAX]), changed=len(found))
        return replace(result, warnings=tuple(edited.warnings))
    settled = check_object(guard.expected_object, state, edited.state, at, writes=True)
    if result.conflicts:
        return replace(result, object=object_at(state, at))
    if settled or not operations:
        result = replace(result, object=object_at(state, at))
        remember(writer, author.principal, guard.request_id, asked, _memory(view.hasher, result))
        return result
    result = replace(result, changed=edited.changed, object=object_at(edited.state, at))
    commit = write_commit(writer, view.hasher, ref, head, edited, intent, author)
    result = replace(result, commit=commit.id, warnings=tuple(edited.warnings))
    remember(writer, author.principal, guard.request_id, asked, _memory(view.hasher, result))
    return result


def _is_kept(path: Tokens) -> bool:
    return path[:1] != () and path[0] in KEPT_ROOTS


def _without_kept(operations: list[Operation]) -> tuple[list[Operation], tuple[str, ...]]:
    """The operations but those on roots with tools of their own, and the paths of those roots.

    Undoing an agent's work undoes no task that it took and no migration: tasks have states of their own, and others
    have gone on from there.
    """
    skipped = {f"/{operation.path[0]}" for operation in operations if _is_kept(operation.path)}
    return [operation for operation in operations if not _is_kept(operation.path)], tuple(sorted(skipped))


class _Plan(Settling):
    """The state as the revert would leave it."""

    def restore(self, source: State, path: Tokens) -> None:
        """Put the path back as it is in `source`; its absence too."""
        there, here = source.locate(path), self.state.locate(path)
        if isinstance(there, Gap):
            if isinstance(here, Gap):
                raise source.missing(there)
            self.apply(Operation(Op.DELETE, path))
        else:
            value = source.carried(there)
            if not path:  # the roots with tools of their own stay as they are, as in any write to /
                kept = {root: side_at(self.state, (root,)) for root in KEPT_ROOTS}
                value = {key: item for key, item in {**value, **kept}.items() if not isinstance(item, Absent)}
            self.apply(Operation(Op.SET, path, value))

    def undo(self, commit: State, parent: State) -> None:
        """Undo one commit, given the state it made and the one before."""
        merged = merge(commit, self.state, parent)
        for path in self.open_paths:
            if object_at(commit, path) != object_at(parent, path):
                # Another commit to undo changed it before: what undoing both would restore is what this one found.
                self.reopen(path, side_at(parent, path))
        self.bring(commit, parent, merged)


def _commits(view: View, head: CommitRow, request: RevertRequest) -> list[CommitRow]:
    """The commits to undo, newest first, all reached by the head."""
    reach = view.reach(head)
    if not request.commits:
        found = list(_by_author(view, head, request))
        if not found:
            since = f" since {request.since}" if request.since else ""
            who = f"agent {request.agent!r}" if request.agent else f"session {request.session!r}"
            raise NotFound(
                f"No commit of {who}{since} is in the history of {request.ref}",
                hint="asg_query with target agents lists who wrote.",
            )
        return found
    rows = {}
    for text in request.commits:
        row = whole(view.resolve(text))
        if row.seq not in reach:
            raise NotFound(
                f"{text} is not in the history of {request.ref}", hint="Name the branch that holds it as ref."
            )
        if not row.parents:
            raise InvalidArgument(f"{text} is the first commit, and there is nothing before it", hint="Set / to {}.")
        rows[row.seq] = row
    return [rows[seq] for seq in sorted(rows, reverse=True)]


def _by_author(view: View, head: CommitRow, request: RevertRequest) -> Iterator[CommitRow]:
    reach = view.reach(head)
    since = parse_time(request.since) if request.since else None
    term = (TermKind.AGENT, request.agent) if request.agent else (TermKind.SESSION, request.session)
    before, count = head.seq + 1, 0
    while True:
        found = view.reader.find(term, before, _PAGE)
        for seq in found:
            if seq not in reach:
                continue
            row = view.reader.commit(seq)
            author = author_of(view.reader, row)
            if (
                (not request.agent or author.agent == request.agent)
                and (not request.session or author.session == request.session)
                and (since is None or row.at >= since)
                and row.parents
            ):
                count += 1
                if count > REVERT_COMMITS_MAX:
                    raise LimitExceeded(
                        f"More than {REVERT_COMMITS_MAX} commits would be undone",
                        hint="Give a later since, or restore a path from a source.",
                        limit="REVERT_COMMITS_MAX",
                        max=REVERT_COMMITS_MAX,
                    )
                yield row
        if len(found) < _PAGE:
            return
        before = found[-1]


def _memory(hasher: Hasher, result: RevertResult) -> list[Any]:
    return [
        result.ref,
        result.commit,
        result.parent,
        list(result.reverted),
        result.changed,
        result.object,
        result.rebased,
        kept_warnings(hasher, result.warnings),
    ]


def _recalled(answer: list[Any]) -> RevertResult:
    ref, commit, parent, reverted, changed, content, rebased, *told = answer  # older programs kept no warnings
    return RevertResult(
        ref=ref,
        commit=None if commit is None else CommitId(commit),
        parent=CommitId(parent),
        reverted=tuple(CommitId(item) for item in reverted),
        changed=changed,
        changes=(),
        conflicts=(),
        object=None if content is None else Id(content),
        rebased=rebased,
        replayed=True,
        warnings=recalled_warnings(told[0] if told else ()),
    )
