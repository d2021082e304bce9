"""Speculations: hidden refs to try something on. Each belongs to one principal, and is in the file like all else.

A speculation is a ref `spec:HANDLE`, whose commits are what was tried, and a record, which its events tell. It ends
when it is committed (see `promoting`), discarded, or too old; then the ref is dropped and the record says what became
of it. To any other principal it is as if it were not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from asg_mcp.core.diff import differences
from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author, Intent, check_name
from asg_mcp.core.limits import (
    CHANGES_COUNTED_MAX,
    LESSON_BYTES_MAX,
    SPECULATION_SECONDS,
    SPECULATIONS_OPEN_MAX,
)
from asg_mcp.core.operations import Operation
from asg_mcp.core.refs import parse_revision
from asg_mcp.core.times import SECOND, format_time
from asg_mcp.core.values import checked
from asg_mcp.errors import HandleNotFound, InvalidArgument, LimitExceeded
from asg_mcp.repo.graph import is_ancestor
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.permits import check_permit
from asg_mcp.repo.records import is_pruned, whole
from asg_mcp.repo.repeats import asked_for, fingerprint, kept_warnings, recall, recalled_warnings, remember
from asg_mcp.repo.resolve import SPECULATION_PREFIX, TRIED, is_expired, own_prefix, speculation_record, too_old
from asg_mcp.repo.specresults import DiscardResult, SpeculationInfo, SpeculationResult
from asg_mcp.repo.transaction import Judge, apply_all, write_commit
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow, Reader, Record, RecordKind, Ref, RefKind, Writer

_HANDLE_DIGITS = 12
_PAGE = 500


@dataclass(frozen=True, slots=True)
class Speculation:
    """An open speculation."""

    record: Record
    ref: Ref
    base: CommitRow
    head: CommitRow

    @property
    def handle(self) -> str:
        """What its principal calls it."""
        return self.record.key


def bare(handle: str) -> str:
    """A handle without the `spec:` that its ref has."""
    return handle.removeprefix(SPECULATION_PREFIX)


def open_speculation(writer: Writer, handle: str, principal: str) -> Speculation:
    """The speculation of this handle, which must be open and the principal's own.

    Raises HandleNotFound, which says what became of it.
    """
    record = speculation_record(writer, bare(handle), principal)
    data = record.data
    if data["status"] != "open":
        raise _ended(record)
    if is_expired(record, writer.now()):
        raise too_old(record)
    found = speculation_at(writer, record)
    assert found is not None, "BUG: an open speculation has a ref"
    return found


def speculation_at(reader: Reader, record: Record) -> Speculation | None:
    """The speculation of a record; None where its ref is dropped."""
    ref = reader.ref(SPECULATION_PREFIX + record.key)
    if ref is None:
        return None
    return Speculation(record, ref, commit_of(reader, record.data["base"]), reader.commit(ref.seq))


def commit_of(reader: Reader, digits: str) -> CommitRow:
    """The commit of a whole id that a record has."""
    return reader.commit(reader.commit_seqs(digits, 1)[0])


def _ended(record: Record) -> HandleNotFound:
    data = record.data
    status = data["status"]
    if status == "committed":
        message = f"was committed to {data['target']} as {data['commit'][:_HANDLE_DIGITS]}"
        return _gone(record, message, "Read the commit, or open another with asg_speculate.", commit=data["commit"])
    if status == "discarded":
        lesson = f": {data['lesson']}" if data["lesson"] else ""
        return _gone(record, f"was discarded{lesson}", "Open another with asg_speculate.")
    return too_old(record)


def _gone(record: Record, what: str, hint: str, **details: Any) -> HandleNotFound:
    told = {"handle": record.key, "status": record.data["status"], **details}
    return HandleNotFound(f"Speculation {record.key} {what}", hint=hint, **told)


# --- opening --------------------------------------------------------------------


def speculate(
    writer: Writer, view: View, source: str, label: str, author: Author, request_id: str
) -> SpeculationResult:
    """Open a speculation at the commit that `source` means; its principal's over-age ones are dropped first.

    Costs the same however large the state is. Raises what resolving the source raises, InvalidName for the label,
    LimitExceeded, and Forbidden or HandleNotFound where the author's session may not.
    """
    check_name(label, "label", empty=True)
    asked = fingerprint("speculate", source, label, author) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    if known is not None:
        record = speculation_record(writer, known[0], author.principal)
        return _result(record, CommitId(commit_of(writer, record.data["base"]).id), 0, replayed=True)
    _make_room(writer, author)
    base = whole(view.resolve(source))
    target, parent = _origin(writer, view, source, base)
    handle = _handle(writer, author.principal)
    ref = Ref(SPECULATION_PREFIX + handle, RefKind.SPECULATION, base.seq)
    check_permit(writer, author, ref, ())
    body = {
        "principal": author.principal,
        "agent": author.agent,
        "session": author.session,
        "label": label,
        "from": source,
        "target": target,
        "parent": parent,
        "base": base.id.hex(),
        "opened_at": writer.now(),
        "expires": writer.now() + SPECULATION_SECONDS * SECOND,
        "status": "open",
        "compared": [],
    }
    writer.swap_ref(None, ref)
    log_event(writer, EventKind.SPECULATION_OPENED, author, new=ref, subject=handle, body=body)
    remember(writer, author.principal, request_id, asked, [handle])
    return _result(speculation_record(writer, handle, author.principal), CommitId(base.id), 0)


def _handle(writer: Writer, principal: str) -> str:
    begun = bare(own_prefix(principal))
    while True:
        handle = (begun + writer.salt())[:_HANDLE_DIGITS]
        if writer.record(RecordKind.SPECULATION, handle) is None:
            return handle


def _origin(writer: Writer, view: View, source: str, base: CommitRow) -> tuple[str, str]:
    """The branch that a speculation goes back to, and the speculation whose trial it goes on with; "" for none."""
    revision = parse_revision(source)
    if revision.kind == "name":
        ref = writer.ref(revision.name)
        return (ref.name if ref is not None and ref.kind is RefKind.BRANCH else ""), ""
    record = speculation_record(writer, revision.name, view.principal)
    began = commit_of(writer, record.data["base"])
    # `spec:HANDLE~9` may lie before the other one began, and then has nothing that was tried in it.
    goes_on = is_ancestor(writer, view.graph, began.seq, base.seq)
    return record.data["target"], record.key if goes_on else ""


def _make_room(writer: Writer, author: Author) -> None:
    """Drop the principal's over-age speculations. Raises LimitExceeded where too many are left."""
    count = 0
    for ref, record in list(_own_refs(writer, author.principal)):
        if not is_expired(record, writer.now()):
            count += 1
        else:
            expire(writer, ref, author)
    if count >= SPECULATIONS_OPEN_MAX:
        raise LimitExceeded(
            f"{count} speculations are open, and {SPECULATIONS_OPEN_MAX} are allowed",
            hint="Commit or discard some; asg_list_branches with kind speculation lists them.",
            limit="SPECULATIONS_OPEN_MAX",
            max=SPECULATIONS_OPEN_MAX,
        )


def _own_refs(reader: Reader, principal: str) -> Iterator[tuple[Ref, Record]]:
    prefix, after = own_prefix(principal), ""
    while page := reader.refs(prefix, after, _PAGE):
        after = page[-1].name
        for ref in page:
            record = reader.record(RecordKind.SPECULATION, bare(ref.name))
            if record is not None and record.data["principal"] == principal:
                yield ref, record


def expire(writer: Writer, ref: Ref, author: Author) -> None:
    """Drop the ref of a speculation that is too old; its changes are counted when somebody asks, while they can be."""
    body = {"status": "expired", "head": writer.commit(ref.seq).id.hex(), "ended_at": writer.now()}
    _drop(writer, ref, EventKind.SPECULATION_EXPIRED, author, body)


def _drop(writer: Writer, ref: Ref, kind: EventKind, author: Author, body: dict[str, Any]) -> None:
    writer.swap_ref(ref, None)
    log_event(writer, kind, author, old=ref, subject=bare(ref.name), body=body)


def _result(record: Record, head: CommitId, changed: int, *, replayed: bool = False) -> SpeculationResult:
    data = record.data
    return SpeculationResult(
        handle=record.key,
        label=data["label"],
        source=data["from"],
        target=data["target"],
        base=CommitId.from_digest(bytes.fromhex(data["base"])),
        head=head,
        expires=format_time(data["expires"]),
        changed=changed,
        replayed=replayed,
    )


# --- trying ---------------------------------------------------------------------


def spec_modify(
    writer: Writer,
    view: View,
    handle: str,
    operations: Sequence[Operation],
    author: Author,
    request_id: str,
    judge: Judge | None = None,
) -> SpeculationResult:
    """Do all of the (checked) operations in a speculation as one commit on it, or none; `judge` as in `run`.

    Raises what the operations raise, HandleNotFound, Forbidden, RequestReused and InvalidArgument without operations.
    """
    if not operations:
        raise InvalidArgument("There are no operations", hint="Give at least one, as for asg_apply.")
    asked = asked_for(view.hasher, request_id, "spec_modify", bare(handle), tuple(operations), author)
    known = recall(writer, author.principal, request_id, asked)
    if known is not None:
        key, commit, changed, told = known
        record = speculation_record(writer, key, author.principal)
        done = _result(record, CommitId(commit), changed, replayed=True)
        return replace(done, warnings=recalled_warnings(told))
    found = open_speculation(writer, handle, author.principal)
    edited = apply_all(view.state(found.head), operations, view.hasher, writer.last_seq() + 1, judge)
    head = found.head
    if edited.changed:
        head = write_commit(writer, view.hasher, found.ref, head, edited, _tried(found.record), author)
    else:
        check_permit(writer, author, found.ref, ())
    done = _result(found.record, CommitId(head.id), edited.changed)
    done = replace(done, warnings=tuple(edited.warnings))
    told = kept_warnings(view.hasher, done.warnings)
    remember(writer, author.principal, request_id, asked, [done.handle, done.head, done.changed, told])
    return done


def _tried(record: Record) -> Intent:
    label = record.data["label"]
    return Intent(TRIED, f"Tried in speculation {label}." if label else "Tried in a speculation.")


# --- ending ---------------------------------------------------------------------


def discard(writer: Writer, view: View, handle: str, lesson: str, author: Author, request_id: str) -> DiscardResult:
    """Drop a speculation and keep what it taught, of one that is too old by now too.

    Raises HandleNotFound, LimitExceeded, Forbidden and RequestReused.
    """
    _check_lesson(lesson)
    asked = fingerprint("discard", bare(handle), lesson, author) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    if known is not None:
        return _discarded(speculation_record(writer, known[0], author.principal), replayed=True)
    record = speculation_record(writer, bare(handle), author.principal)
    if record.data["status"] not in ("open", "expired"):
        raise _ended(record)
    body = {"status": "discarded", "lesson": lesson}
    found = speculation_at(writer, record)
    if found is not None:
        check_permit(writer, author, found.ref, ())
        end(writer, view, found, EventKind.SPECULATION_DISCARDED, author, body)
    else:  # its age has dropped the ref, and what it had tried is known by its last commit
        head = commit_of(writer, record.data["head"]).seq
        check_permit(writer, author, Ref(SPECULATION_PREFIX + record.key, RefKind.SPECULATION, head), ())
        log_event(writer, EventKind.SPECULATION_DISCARDED, author, subject=record.key, body=body)
    remember(writer, author.principal, request_id, asked, [record.key])
    return _discarded(speculation_record(writer, record.key, author.principal))


def end(writer: Writer, view: View, found: Speculation, kind: EventKind, author: Author, body: dict[str, Any]) -> None:
    """Drop the ref of a speculation, and record what became of it: how much it had changed is not counted again."""
    told = {"head": found.head.id.hex(), "changes": changes_of(view, found.record), "ended_at": writer.now()}
    _drop(writer, found.ref, kind, author, {**body, **told})


def _check_lesson(lesson: str) -> None:
    checked(lesson)
    size = len(lesson.encode())
    if size > LESSON_BYTES_MAX:
        raise LimitExceeded(
            f"The lesson has {size} bytes; at most {LESSON_BYTES_MAX}",
            hint="Say in a few sentences what the trial showed; what it did is in its commits.",
            limit="LESSON_BYTES_MAX",
            max=LESSON_BYTES_MAX,
        )


def _discarded(record: Record, *, replayed: bool = False) -> DiscardResult:
    data = record.data
    head = CommitId.from_digest(bytes.fromhex(data["head"]))
    return DiscardResult(record.key, data["label"], data["lesson"], head, replayed)


# --- listing --------------------------------------------------------------------


def _all(_: SpeculationInfo) -> bool:
    return True


def speculation_items(
    view: View, before: int | None = None, wanted: Callable[[SpeculationInfo], bool] = _all
) -> Iterator[SpeculationInfo]:
    """The speculations that whoever looks may see, open and ended, the newest first, with their changes counted.

    `before` is the `index` of the item that the page before ended with. `wanted` sees an item before its changes are
    counted, which costs what they are.
    """
    place = view.reader.events_count() if before is None else before
    while page := view.reader.records(RecordKind.SPECULATION, place, _PAGE):
        place = page[-1].opened
        for record in page:
            if view.principal and record.data["principal"] != view.principal:
                continue
            info = speculation_info(record, view.reader.now())
            if wanted(info):
                yield replace(info, changes=changes_of(view, record))


def speculation_info(record: Record, now: int) -> SpeculationInfo:
    """A speculation as it is listed at `now` (microseconds), its changes uncounted."""
    data = record.data
    return SpeculationInfo(
        handle=record.key,
        label=data["label"],
        status="expired" if is_expired(record, now) else data["status"],
        source=data["from"],
        target=data["target"],
        base=CommitId.from_digest(bytes.fromhex(data["base"])),
        agent=data["agent"],
        principal=data["principal"],
        session=data["session"],
        at=format_time(data["opened_at"]),
        expires=format_time(data["expires"]),
        lesson=data.get("lesson", ""),
        index=record.opened,
        ended_at=format_time(data["ended_at"]) if "ended_at" in data else "",
        commit=CommitId.from_digest(bytes.fromhex(data["commit"])) if "commit" in data else None,
    )


def changes_of(view: View, record: Record) -> int | None:
    """How many typed changes a speculation made to its base, up to CHANGES_COUNTED_MAX; None where they are gone."""
    if "changes" in record.data:
        return int(record.data["changes"])
    ref = view.reader.ref(SPECULATION_PREFIX + record.key)
    head = [ref.seq] if ref is not None else view.reader.commit_seqs(record.data["head"], 1)
    base = view.reader.commit_seqs(record.data["base"], 1)
    if not head or not base or is_pruned(view.reader.commit(head[0])):
        return None
    found = differences(view.state_of(base[0]), view.state_of(head[0]))
    return sum(1 for _ in islice(found, CHANGES_COUNTED_MAX))
