"""Committing a speculation: what was tried in it, merged onto what others did meanwhile, as one commit.

The merge has the speculation's base as base, the target's head as ours and the speculation's head as theirs, so what
others committed is never undone: where both changed the same, the caller is asked, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Author, Intent
from asg_mcp.core.limits import SPECULATION_ALTERNATIVES_MAX
from asg_mcp.core.merge import merge
from asg_mcp.core.state import State
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo.guards import Guard, check_head, check_object, fingerprint, recall, remember
from asg_mcp.repo.merging import rules_of
from asg_mcp.repo.permits import check_permit
from asg_mcp.repo.requests import PromoteRequest, Resolution
from asg_mcp.repo.resolve import SPECULATION_PREFIX, speculation_record
from asg_mcp.repo.results import SchemaWarning
from asg_mcp.repo.settling import Settling, check_resolutions, named, net
from asg_mcp.repo.specresults import PromoteResult
from asg_mcp.repo.speculation import (
    Speculation,
    bare,
    changes_of,
    commit_of,
    end,
    open_speculation,
)
from asg_mcp.repo.transaction import apply_all, branch_of, check_kept, object_at, write_commit
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow, Reader, Record, RecordKind, Ref, Writer


def commit_spec(
    writer: Writer, view: View, request: PromoteRequest, intent: Intent, author: Author, guard: Guard
) -> PromoteResult:
    """Commit a speculation to its branch, or to another target, and end it; conflicts are answered as data.

    With conflicts nothing is written and the speculation stays open, as it does when this raises: HandleNotFound,
    InvalidArgument, RefNotFound, Forbidden, HeadMoved, ObjectChanged, LimitExceeded, RequestReused.
    """
    check_resolutions(request.resolutions)
    request = replace(request, handle=bare(request.handle))
    asked = fingerprint("commit_spec", request, intent, author, guard) if guard.request_id else b""
    known = recall(writer, author.principal, guard.request_id, asked)
    if known is not None:
        return _recalled(known)
    found = open_speculation(writer, request.handle, author.principal)
    ref = _target(writer, found, request.target, author.principal)
    check_permit(writer, author, ref, ())
    head = writer.commit(ref.seq)
    state = view.state(head)
    base = base_for(writer, found, ref.name)
    plan = rebased(view, base, found.head, state, request.resolutions)
    plan.check_used()
    operations = net(state, plan.state)
    check_kept(operations)
    moved = check_head(writer, view.hasher, view.graph, guard.expected_head, head, state, operations)
    result = PromoteResult(
        handle=found.handle,
        ref=ref.name,
        commit=None,
        parent=CommitId(head.id),
        changed=0,
        conflicts=named(view, plan.conflicts, head, found.head),
        alternatives=(),
        object=object_at(state, ()),
        rebased=moved or head.seq != base.seq,
    )
    if result.conflicts:
        return result
    settled = check_object(guard.expected_object, state, plan.state, (), writes=True)
    result = replace(result, commit=CommitId(head.id))
    if operations and not settled:
        intent, handles = _with_alternatives(view, found.record, intent)
        edited = apply_all(state, operations, view.hasher, writer.last_seq() + 1)
        row = write_commit(writer, view.hasher, ref, head, edited, intent, author)
        result = replace(
            result,
            commit=CommitId(row.id),
            changed=edited.changed,
            object=object_at(edited.state, ()),
            alternatives=handles,
            warnings=tuple(edited.warnings),
        )
    assert result.commit is not None, "BUG: there is a commit, or the head"
    body = {"status": "committed", "commit": result.commit.hex(), "target": ref.name}
    end(writer, view, found, EventKind.SPECULATION_COMMITTED, author, body)
    remember(writer, author.principal, guard.request_id, asked, _memory(result))
    return result


def _target(writer: Writer, found: Speculation, asked: str, principal: str) -> Ref:
    name = asked or found.record.data["target"]
    if not name:
        raise InvalidArgument(
            f"Speculation {found.handle} was opened from {found.record.data['from']}, which is no branch",
            hint="Name the branch to commit it to as target.",
        )
    if not name.startswith(SPECULATION_PREFIX):
        return branch_of(writer, name)
    if bare(name) == found.handle:
        raise InvalidArgument("A speculation cannot be committed to itself", hint="Leave target out.")
    return open_speculation(writer, name, principal).ref


def base_for(reader: Reader, found: Speculation, target: str) -> CommitRow:
    """The commit that the net operations of a speculation begin at, for this target.

    One that was opened from another brings what that one had tried as well, unless it goes back there.
    """
    record = found.record
    while record.data["parent"] and SPECULATION_PREFIX + record.data["parent"] != target:
        above = reader.record(RecordKind.SPECULATION, record.data["parent"])
        assert above is not None, "BUG: records stay"
        record = above
    return commit_of(reader, record.data["base"])


def rebased(view: View, base: CommitRow, head: CommitRow, target: State, resolutions: Sequence[Resolution]) -> Settling:
    """The state of a target with the net operations of a speculation, by the merge rules of the target's schema."""
    theirs, began = view.state(head), view.state(base)
    plan = Settling(target, resolutions)
    plan.bring(began, theirs, merge(began, target, theirs, rules_of(target)))
    return plan


def _with_alternatives(view: View, record: Record, intent: Intent) -> tuple[Intent, tuple[str, ...]]:
    """The intent with the speculations that this one was compared with; and the handles of all that it names.

    Raises HandleNotFound where the caller names a speculation that is not its own.
    """
    given = intent.provenance.get("alternatives", [])
    listed: list[JsonValue] = []
    handles: list[str] = []
    for item in given if isinstance(given, list) else [given]:
        handle = item.get("handle") if isinstance(item, dict) else None
        if isinstance(item, dict) and isinstance(handle, str) and handle:
            other = speculation_record(view.reader, bare(handle), view.principal)
            handles.append(other.key)
            item = {**_alternative(view, other), **item, "handle": other.key}
        listed.append(item)
    for handle in record.data["compared"]:
        if handle not in handles:
            other = speculation_record(view.reader, handle, view.principal)
            handles.append(handle)
            listed.append(_alternative(view, other))
    if len(handles) > 2 * SPECULATION_ALTERNATIVES_MAX:
        raise LimitExceeded(
            f"{len(handles)} speculations are named as alternatives",
            hint=f"Name at most {SPECULATION_ALTERNATIVES_MAX} by their handles.",
            limit="SPECULATION_ALTERNATIVES_MAX",
            max=SPECULATION_ALTERNATIVES_MAX,
        )
    if not handles:
        return intent, ()
    return replace(intent, provenance={**intent.provenance, "alternatives": listed}), tuple(handles)


def _alternative(view: View, record: Record) -> dict[str, JsonValue]:
    """A speculation that was not taken, as the winner's commit tells of it."""
    data: Mapping[str, Any] = record.data
    told: dict[str, JsonValue] = {"description": data["label"] or f"speculation {record.key}", "handle": record.key}
    changes = changes_of(view, record)
    if changes is not None:
        told["changes"] = changes
    if data.get("lesson"):
        told["why_not"] = data["lesson"]
    return told


def _memory(result: PromoteResult) -> list[Any]:
    return [
        result.handle,
        result.ref,
        result.commit,
        result.parent,
        result.changed,
        list(result.alternatives),
        result.object,
        result.rebased,
        [[list(item.path), item.message] for item in result.warnings],
    ]


def _recalled(answer: list[Any]) -> PromoteResult:
    handle, ref, commit, parent, changed, alternatives, content, moved, told = answer
    return PromoteResult(
        handle=handle,
        ref=ref,
        commit=CommitId(commit),
        parent=CommitId(parent),
        changed=changed,
        conflicts=(),
        alternatives=tuple(alternatives),
        object=None if content is None else Id(content),
        rebased=moved,
        warnings=tuple(SchemaWarning(tuple(path), message) for path, message in told),
        replayed=True,
    )
