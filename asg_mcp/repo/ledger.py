"""Writing events, reading them back, and the records that are projected from them.

A record is what the events about one subject say together: the bodies of its
events, the later over the earlier, field by field. So the log tells all that a
record holds, and `verify` makes each again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asg_mcp.core.events import Event, EventKind, event_body_id
from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Author
from asg_mcp.repo.records import author_of
from asg_mcp.storage.base import CommitRow, EventRow, Reader, Record, RecordKind, Ref, Writer

EVENT_KINDS = tuple(EventKind)
_NUMBERS = {kind: number for number, kind in enumerate(EVENT_KINDS)}
RECORDED_IN = {
    EventKind.SESSION_OPENED: RecordKind.SESSION,
    EventKind.SESSION_CLOSED: RecordKind.SESSION,
    EventKind.OUTCOME: RecordKind.OUTCOME,
    EventKind.SPECULATION_OPENED: RecordKind.SPECULATION,
    EventKind.SPECULATION_COMPARED: RecordKind.SPECULATION,
    EventKind.SPECULATION_COMMITTED: RecordKind.SPECULATION,
    EventKind.SPECULATION_DISCARDED: RecordKind.SPECULATION,
    EventKind.SPECULATION_EXPIRED: RecordKind.SPECULATION,
    EventKind.SPECULATION_BROUGHT: RecordKind.SPECULATION,
    EventKind.EPOCH_OPENED: RecordKind.EPOCH,
    EventKind.EPOCH_SEALED: RecordKind.EPOCH,
    EventKind.EPOCH_SIGNED: RecordKind.EPOCH,
}
"""Which record the events of a kind are about. Those of other kinds are about none."""
WITHHELD = "withheld"
"""In what is kept of a body that was withheld: the names of the fields that were erased."""


def log_commit(
    writer: Writer, kind: EventKind, ref: Ref, old: CommitRow | None, row: CommitRow, author: Author
) -> None:
    """The event of a commit; all that its header says besides the ref is in the commit's own row."""
    ids = (None if old is None else old.id, row.id)
    event = Event(kind, writer.events_count(), ref.name, ref.kind.label, *ids, author, row.at)
    writer.append_event(event, _NUMBERS[kind], None if old is None else old.seq, row.seq, None)


def log_event(
    writer: Writer,
    kind: EventKind,
    author: Author,
    *,
    old: Ref | None = None,
    new: Ref | None = None,
    subject: str = "",
    body: Mapping[str, Any] | None = None,
) -> None:
    """Any other event: `old` and `new` say what it did to a ref, `body` is what it says of its subject (JSON).

    A body with the subject of a record goes into the record too.
    """
    index, at, ref = writer.events_count(), writer.now(), new or old
    ids = [None if side is None else CommitId(writer.commit(side.seq).id) for side in (old, new)]
    salt = "" if body is None else writer.salt()
    event = Event(
        kind=kind,
        index=index,
        ref="" if ref is None else ref.name,
        ref_kind="" if ref is None else ref.kind.label,
        old=ids[0],
        new=ids[1],
        author=author,
        at=at,
        subject=subject,
        body=None if body is None else event_body_id(salt, body),
    )
    data: list[Any] = [at, author.principal, author.agent, author.client, author.session]
    if subject or body is not None:
        data += [subject, salt, None if body is None else dict(body)]
    seqs = [None if side is None else side.seq for side in (old, new)]
    writer.append_event(event, _NUMBERS[kind], seqs[0], seqs[1], data)
    if kind in RECORDED_IN:
        writer.put_record(projected(writer.record(RECORDED_IN[kind], subject), kind, subject, index, body or {}))


def projected(before: Record | None, kind: EventKind, subject: str, index: int, body: Mapping[str, Any]) -> Record:
    """The record after an event.

    A body that was withheld names in WITHHELD the fields that it has no more; they count until a later event gives
    them again.
    """
    if before is None:
        return Record(RECORDED_IN[kind], subject, index, index, dict(body))
    data = {**before.data, **body}
    lacking = [name for name in before.data.get(WITHHELD, ()) if name not in body]
    data[WITHHELD] = sorted({*lacking, *body.get(WITHHELD, ())})
    if not data[WITHHELD]:
        del data[WITHHELD]
    return Record(before.kind, subject, before.opened, index, data)


def is_lacking(record: Record, name: str) -> bool:
    """Whether what a record said in a field was erased."""
    return name in record.data.get(WITHHELD, ())


def event_of(reader: Reader, row: EventRow) -> Event:
    """A stored event, its header made from the commit row or from its own data."""
    ids = [None if seq is None else reader.commit(seq).id for seq in (row.old, row.new)]
    subject, body = "", None
    if row.data is not None:
        at, principal, agent, client, session = row.data[:5]
        author = Author(principal, agent, client, session)
        if len(row.data) > 5:
            subject, salt, held = row.data[5:]
            body = None if held is None else committed_id(salt, held)
    else:
        assert row.new is not None, "BUG: an event without data is that of a commit"
        commit = reader.commit(row.new)
        author, at = author_of(reader, commit), commit.at
    label = row.ref_kind.label if row.ref else ""
    return Event(EVENT_KINDS[row.kind], row.index, row.ref, label, ids[0], ids[1], author, at, subject, body)


def event_time(reader: Reader, index: int) -> int:
    """The recorded time of an event in microseconds."""
    event = reader.event(index)
    assert event is not None, "BUG: the index was found"
    if event.data is not None:
        return int(event.data[0])
    assert event.new is not None, "BUG: an event without data is that of a commit"
    return reader.commit(event.new).at


def ref_of_commit(reader: Reader, seq: int) -> str:
    """The name of the ref that a commit was made on. O(log n): commits and their events are in one order."""
    low, high = 0, reader.events_count()
    while low < high:
        middle = place = (low + high) // 2
        row = reader.event(place)
        while row is not None and EVENT_KINDS[row.kind] not in (EventKind.COMMIT, EventKind.STORE_CREATED):
            place += 1  # an event of another kind brought no commit
            row = reader.event(place) if place < high else None
        if row is not None and row.new == seq:
            return row.ref
        if row is not None and row.new is not None and row.new < seq:
            low = place + 1
        else:
            high = middle
    return ""


def event_body(row: EventRow) -> dict[str, Any]:
    """What an event says of its subject; of a body that was withheld what is kept; {} where it says nothing."""
    held = row.data[7] if row.data is not None and len(row.data) > 5 else None
    if isinstance(held, list):
        held = held[1]
    return held if isinstance(held, dict) else {}


def committed_id(salt: str, held: Any) -> Id:
    """The commitment to an event's body, which is stored whole, or as its id with what is kept of it."""
    if isinstance(held, dict):
        return event_body_id(salt, held)
    return Id(held[0] if isinstance(held, list) else held)


def without_body(row: EventRow, kept: Mapping[str, Any]) -> list[Any]:
    """The data of an event whose body is withheld but for `kept`; its leaf and its id stay."""
    assert row.data is not None and len(row.data) > 5 and row.data[7] is not None, "BUG: an event without a body"
    return [*row.data[:6], "", [committed_id(row.data[6], row.data[7]), dict(kept)]]
