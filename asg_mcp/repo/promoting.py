"""Committing a speculation: what was tried in it, merged onto what others did meanwhile, as one commit.

The merge has the speculation's base as base, the target's head as ours and the speculation's head as theirs, so what
others committed is never undone: where both changed the same, the caller is asked, and nothing is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Author, Intent
from asg_mcp.core.limits import SPECULATION_ALTERNATIVES_MAX
from asg_mcp.core.merge import merge
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.state import State
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo.graph import is_ancestor
from asg_mcp.repo.guards import Guard, check_head, check_object
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.merging import rules_of
from asg_mcp.repo.permits import check_permit
from asg_mcp.repo.repeats import asked_for, kept_warnings, recall, recalled_warnings, remember
from asg_mcp.repo.requests import PromoteRequest, Resolution
from asg_mcp.repo.resolve import SPECULATION_PREFIX, speculation_record
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
from asg_mcp.storage.base import CommitRow, Reader, Record, RecordKind, Ref, RefKind, Writer


def commit_spec(
    writer: Writer, view: View, request: PromoteRequest, intent: Intent, author: Author, guard: Guard
) -> PromoteResult:
    """Commit a speculation to its branch, or to another target, and end it; conflicts are answered as data.

    With conflicts nothing is written and the speculation stays open, as it does when this raises: HandleNotFound,
    InvalidArgument, RefNotFound, Forbidden, HeadMoved, ObjectChanged, LimitExceeded, RequestReused.
    """
    check_resolutions(request.resolutions)
    request = replace(request, handle=bare(request.handle))
    asked = asked_for(view.hasher, guard.request_id, "commit_spec", request, intent, author, guard)
    known = recall(writer, author.principal, guard.request_id, asked)
    if known is not None:
        return _recalled(known)
    found = open_speculation(writer, request.handle, author.principal)
    ref = _target(writer, found, request.target, author.principal)
    check_permit(writer, author, ref, ())
    head = writer.commit(ref.seq)
    state = view.state(head)
    base = base_for(view, found, ref)
    plan = rebased(view, base, found.head, state, request.resolutions)
    plan.check_used()
    operations = net(state, plan.state)
    check_kept(operations)
    moved = check_head(writer, view.hasher, view.graph, guard.expected_head, head, state, operations, view.principal)
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
    _tell_family(view, writer, found, ref, result.commit, author)
    end(writer, view, found, EventKind.SPECULATION_COMMITTED, author, body)
    remember(writer, author.principal, guard.request_id, asked, _memory(view.hasher, result))
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


def base_for(view: View, found: Speculation, target: Ref) -> CommitRow:
    """The commit that the net operations of a speculation begin at, for this target.

    One that was opened from another brings what that one had tried as well, except for what has come to the target
    already, by way of any of the family: it is not brought twice, and what was reverted there since stays reverted.
    """
    reader, family = view.reader, [found.record, *_above(view.reader, found.record)]
    first = commit_of(reader, family[-1].data["base"])
    arrived = [seq for record in family for seq in _arrived(view, record, target, frozenset())]
    if len(family) == 1 and not arrived and target.kind is not RefKind.SPECULATION:
        return first
    # What was tried stands in one line, so the highest number is the last of it that the target knows.
    common = view.graph.bases(reader, [found.head.seq], [target.seq, *arrived])
    return reader.commit(max(first.seq, *common))


def _above(reader: Reader, record: Record) -> Iterator[Record]:
    """The speculations that one was opened from, the nearest first."""
    while record.data["parent"]:
        above = reader.record(RecordKind.SPECULATION, record.data["parent"])
        assert above is not None, "BUG: records stay"
        yield above
        record = above


def _arrived(view: View, record: Record, target: Ref, seen: frozenset[str]) -> list[int]:
    """The numbers of the commits of a speculation up to which its work has come to the target."""
    data, seen = record.data, seen | {record.key}
    told = [(onto, at, commit) for onto, (at, commit) in data.get("brought", {}).items()]
    if data["status"] == "committed":
        told.append((data["target"], data["head"], data["commit"]))
    return [commit_of(view.reader, at).seq for onto, at, commit in told if _is_in(view, onto, commit, target, seen)]


def _is_in(view: View, onto: str, commit: str, target: Ref, seen: frozenset[str]) -> bool:
    """Whether what was committed to a ref is in the target, if need be by way of another speculation."""
    seq = commit_of(view.reader, commit).seq
    if is_ancestor(view.reader, view.graph, seq, target.seq):
        return True
    via = view.reader.record(RecordKind.SPECULATION, bare(onto)) if onto.startswith(SPECULATION_PREFIX) else None
    return via is not None and via.key not in seen and any(at >= seq for at in _arrived(view, via, target, seen))


def _tell_family(view: View, writer: Writer, found: Speculation, target: Ref, commit: CommitId, author: Author) -> None:
    """Record with those that a speculation was opened from how much of their work it has brought to the target."""
    opened_at = found.record.data["base"]
    for above in _above(writer, found.record):
        if SPECULATION_PREFIX + above.key == target.name:
            return
        brought: dict[str, list[str]] = above.data.get("brought", {})
        before = brought.get(target.name)
        # Less than another has brought there is nothing new, as long as that is still there.
        is_less = before is not None and commit_of(writer, before[0]).seq > commit_of(writer, opened_at).seq
        if before is None or not is_less or not _is_in(view, target.name, before[1], target, frozenset()):
            body = {"brought": {**brought, target.name: [opened_at, commit.hex()]}}
            log_event(writer, EventKind.SPECULATION_BROUGHT, author, subject=above.key, body=body)
        opened_at = above.data["base"]


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


def _memory(hasher: Hasher, result: PromoteResult) -> list[Any]:
    return [
        result.handle,
        result.ref,
        result.commit,
        result.parent,
        result.changed,
        list(result.alternatives),
        result.object,
        result.rebased,
        kept_warnings(hasher, result.warnings),
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
        warnings=recalled_warnings(told),
        replayed=True,
    )
