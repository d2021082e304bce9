"""The check of the log: its leaves, tiles and index, and the refs and records that are made again from it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asg_mcp.core.events import EventKind
from asg_mcp.core.merkle import TILE_LEVELS, TILE_WIDTH, tile_hash, tiles_completed
from asg_mcp.core.paths import format_path
from asg_mcp.repo.keyring import Keyring
from asg_mcp.repo.ledger import EVENT_KINDS, RECORDED_IN, event_body, event_of, projected
from asg_mcp.repo.logtree import TileReplay, subtree_hash, tile_fault
from asg_mcp.repo.receipts import is_withheld
from asg_mcp.repo.records import is_pruned
from asg_mcp.repo.sealing import epoch_fault
from asg_mcp.repo.verifying import Check, Wrong, named
from asg_mcp.storage.base import EventRow, Reader, Record, RecordKind, Ref, TermKind

PAGE = 500
_BRINGING = (EventKind.STORE_CREATED, EventKind.COMMIT)
_COUNTED = {
    RecordKind.SESSION: "sessions",
    RecordKind.OUTCOME: "outcomes",
    RecordKind.SPECULATION: "speculations",
    RecordKind.EPOCH: "epochs",
}


class LogCheck:
    """Goes through the events in order, and then compares what the log says with what is stored.

    With `trusted` the first so many events, and what they made, are taken as they are stored: where the refs were then
    is read from them, and records are looked up where they are needed.
    """

    def __init__(self, check: Check, keys: Keyring, refs: dict[str, Ref], trusted: int = 0, recorded: int = 0) -> None:
        self.done = trusted
        """How many events are behind."""
        self._check = check
        self._trusted = trusted
        self._recorded = recorded
        """The highest number of a commit that an event brought."""
        self._refs = dict(refs)
        self._records: dict[tuple[RecordKind, str], Record] = {}
        self._tiles = TileReplay()
        self._keys = keys

    def advance(self, reader: Reader, index: int) -> None:
        """Check the next event."""
        row = check_event(self._check, reader, index)
        self._check_tiles(reader, row)
        self._project(reader, row)
        fault = self._keys.advance(reader, row, self._check.signer)
        if fault:
            raise Wrong(
                "epoch" if EVENT_KINDS[row.kind] is EventKind.EPOCH_SIGNED else "event", f"event {index}", fault
            )
        self._check.report.counts["key_rotations"] = len(self._keys.rotations)
        if row.ref:
            self._brought(reader, row)
            before = self._refs.get(row.ref)
            if (None if before is None else before.seq) != row.old:
                raise Wrong("event", f"event {index}", f"Event {index} does not begin where {row.ref} was")
            _move(self._refs, row)
        self.done = index + 1

    def compare(self, reader: Reader) -> None:
        """What is stored of refs, records and tiles, against the log that was gone through to its end."""
        with named("ref", "the refs"):
            self._compare_refs(reader)
        with named("record", "the records"):
            self._compare_records(reader)
        with named("event", "the log's tree"):
            self._no_more_tiles(reader)

    # --- one event ---

    def _check_tiles(self, reader: Reader, row: EventRow) -> None:
        if self._trusted:
            made = list(_tiles_of(reader, row.index + 1))
        else:
            made = self._tiles.add(row.leaf)
        for tile in made:
            fault = tile_fault(reader, tile)
            if fault:
                raise Wrong("event", f"event {row.index}", fault)
            self._check.count("tiles")

    def _project(self, reader: Reader, row: EventRow) -> None:
        """Make the record that the event is about again, as far as the log has come."""
        kind = EVENT_KINDS[row.kind]
        if kind not in RECORDED_IN:
            return
        subject = subject_of(row)
        key = (RECORDED_IN[kind], subject)
        before = self._records.get(key)
        if before is None and self._trusted:
            before = self._record_before(reader, key)
        self._records[key] = projected(before, kind, subject, row.index, event_body(row))

    def _record_before(self, reader: Reader, key: tuple[RecordKind, str]) -> Record | None:
        """A record as the trusted events leave it."""
        record: Record | None = None
        after = -1
        while page := reader.find((TermKind.SUBJECT, key[1]), self._trusted, PAGE, after=after):
            for index in page:
                row = reader.event(index)
                kind = None if row is None else EVENT_KINDS[row.kind]
                if row is not None and kind in RECORDED_IN and subject_of(row) == key[1]:
                    if RECORDED_IN[kind] is key[0]:
                        record = projected(record, kind, key[1], index, event_body(row))
            after = page[-1]
        return record

    def _brought(self, reader: Reader, row: EventRow) -> None:
        """The commit that an event brought is the next one, and was made on what the ref pointed at."""
        what = f"event {row.index}"
        if EVENT_KINDS[row.kind] not in _BRINGING:
            return
        if row.new != self._recorded + 1:
            raise Wrong("event", what, f"Event {row.index} brings commit {row.new}, not commit {self._recorded + 1}")
        self._recorded = row.new
        if reader.commit(row.new).parents[:1] != (() if row.old is None else (row.old,)):
            raise Wrong("event", what, f"The commit of event {row.index} has another parent than {row.ref} had")

    # --- at the end ---

    def _compare_refs(self, reader: Reader) -> None:
        stored: dict[str, Ref] = {}
        after = ""
        while page := reader.refs("", after, PAGE):
            stored.update({ref.name: ref for ref in page})
            after = page[-1].name
        for name in sorted(stored.keys() | self._refs.keys()):
            found = stored.get(name)
            if found != self._refs.get(name):
                raise Wrong("ref", name, f"{name} does not point where the event log left it")
            if found is not None and is_pruned(reader.commit(found.seq)):
                raise Wrong("ref", name, f"What {name} points at was collected")
            self._check.count("refs")
        if self._recorded != reader.last_seq():
            name = f"commit {reader.commit(self._recorded + 1).id.short}"
            raise Wrong("commit", name, f"No event brought {name}: the log has lost it, and the branch it was made on")

    def _compare_records(self, reader: Reader) -> None:
        found = 0
        for kind in RecordKind:
            before = reader.events_count()
            while page := reader.records(kind, before, PAGE):
                for record in page:
                    if record.last >= self._trusted or (kind, record.key) in self._records:
                        self._compare_record(reader, record)
                        found += 1
                before = page[-1].opened
        if found != len(self._records):
            raise Wrong("record", "records", f"{len(self._records) - found} records that the log tells of are missing")

    def _compare_record(self, reader: Reader, record: Record) -> None:
        what = f"{record.kind.name.lower()} {record.key}"
        if self._records.get((record.kind, record.key)) != record:
            raise Wrong("record", what, f"{what} is not what the event log says of it")
        self._check.count(_COUNTED[record.kind])
        if record.kind is RecordKind.EPOCH:
            check_epoch(self._check, reader, record)

    def _no_more_tiles(self, reader: Reader) -> None:
        size, level = self.done, TILE_LEVELS
        while size:
            size //= TILE_WIDTH
            if reader.tile(level, size) is not None:
                raise Wrong("event", f"event {self.done}", f"Tile {size} of level {level} covers more events than are")
            level += TILE_LEVELS


def check_event(check: Check, reader: Reader, index: int) -> EventRow:
    """An event that is that of its leaf, whole or withheld, and in the index. Raises Wrong and StoreCorrupt."""
    what = f"event {index}"
    row = reader.event(index)
    if row is None:
        raise Wrong("event", what, f"Event {index} is missing")
    if event_of(reader, row).leaf_hash() != row.leaf:
        raise Wrong("event", what, f"The leaf hash of event {index} is not that of its header")
    if is_withheld(row):
        _check_withheld(check, row)
    for kind, text in ((TermKind.REF, row.ref), (TermKind.SUBJECT, subject_of(row))):
        if text:
            if reader.find((kind, text), index + 1, 1) != [index]:
                raise Wrong("index", what, f"Event {index} is not in the index under {text}")
            check.count("terms")
    check.count("events")
    return row


def _check_withheld(check: Check, row: EventRow) -> None:
    what = f"event {row.index}"
    assert row.data is not None, "BUG: it has a body"
    if row.index not in check.receipts.events:
        raise Wrong("event", what, f"The body of event {row.index} is gone, and no receipt says that it was erased")
    if row.data[6]:
        raise Wrong("event", what, f"The body of event {row.index} was erased, and its salt is still there")
    check.count("withheld_bodies")


def check_epoch(check: Check, reader: Reader, record: Record) -> None:
    """The seal of an epoch: its members, the roots that were signed, and the signatures."""
    if check.signer is None:
        return
    fault = epoch_fault(reader, record, check.signer)
    if fault:
        raise Wrong("epoch", f"epoch {record.key}", f"Epoch {record.key}: {fault}")
    check.count("signatures", 2 * ("checkpoint" in record.data))


def check_replies(check: Check, reader: Reader, after: bytes) -> bytes | None:
    """Read one page of remembered replies; where the next one begins, None at the end."""
    page: list[tuple[bytes, Any]] = reader.replies(after, PAGE)
    check.count("replies", len(page))
    return page[-1][0] if page else None


def classes_fault(check: Check) -> str:
    """What of the sensitive prefixes is not as the log tells; "" for nothing."""
    told, held = check.receipts.made, check.store.hasher.classes.all
    if [(group.name, format_path(group.path)) for group in held] != list(told.items()):
        names = {group.name: format_path(group.path) for group in held}
        wrong = next((name for name in {**told, **names} if told.get(name) != names.get(name)), "")
        if not wrong:
            return "The sensitive prefixes are not in the order in which the log made them"
        here, there = names.get(wrong, "no prefix"), told.get(wrong, "no prefix")
        return f"The class {wrong} has {here}, and the log gave it {there}"
    for group in held:
        if group.destroyed is not (group.name in check.receipts.classes):
            says = "was destroyed, and no receipt says so" if group.destroyed else "was destroyed, and is in use"
            return f"The class {group.name} {says}"
    return ""


def subject_of(row: EventRow) -> str:
    """What an event is about; "" for nothing."""
    return str(row.data[5]) if row.data is not None and len(row.data) > 5 else ""


def refs_after(reader: Reader, count: int) -> dict[str, Ref]:
    """The refs as the first `count` events leave them, which are not checked."""
    refs: dict[str, Ref] = {}
    for index in range(count):
        row = reader.event(index)
        if row is not None and row.ref:
            _move(refs, row)
    return refs


def _move(refs: dict[str, Ref], row: EventRow) -> None:
    if row.new is None:
        refs.pop(row.ref, None)
    else:
        refs[row.ref] = Ref(row.ref, row.ref_kind, row.new)


def _tiles_of(reader: Reader, size: int) -> Iterator[tuple[int, int, bytes]]:
    """The tiles that the last of `size` leaves completes, each from what is kept below it."""
    for level, index in tiles_completed(size):
        first = index << TILE_LEVELS
        below = [subtree_hash(reader, level - TILE_LEVELS, first + place) for place in range(TILE_WIDTH)]
        yield level, index, tile_hash(below)
