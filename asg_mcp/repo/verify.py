"""Verify: replay every commit, hash everything again, and compare with what is stored.

What it cannot know: whether a remembered reply was deleted, for nothing else
tells that there was one; and whether a whole store was replaced by another one
that is right in itself, an earlier copy of it for instance.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from asg_mcp.core.adopt import adopt
from asg_mcp.core.commits import RecordedOperation
from asg_mcp.core.edits import apply_entries
from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import Id
from asg_mcp.core.nodes import SCALAR, Blob, Branch, Entry, Hasher, Leaf, Link
from asg_mcp.core.notes import Signer
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.errors import AsgError, StorageError
from asg_mcp.repo.ledger import EVENT_KINDS, RECORDED_IN, event_body, event_of, projected
from asg_mcp.repo.logtree import TileReplay, tile_fault
from asg_mcp.repo.records import header_of, info_of, operations_of, root_of, terms_for
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.sealing import epoch_fault
from asg_mcp.repo.words import indexed, words_of
from asg_mcp.storage.base import CommitRow, EventRow, Reader, Record, RecordKind, Ref, Store, TermKind

Progress = Callable[[str, int, int], None]
"""(what is being checked, how many are done, how many there are)"""

CHUNK_ROWS = 500
"""Rows checked in one read transaction: a longer one would keep the WAL from being checkpointed."""
WORDS_CHECKED = 8
"""Words of each commit, the longest ones, that the text index must find it by."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The first thing that is not as it should be."""

    kind: str
    """database, commit, node, value, index, event, ref, record, epoch or reply; the code where reading failed"""
    what: str
    message: str


@dataclass(slots=True)
class VerifyReport:
    """What was checked. `problems` is empty when all of it is as it was written; the check stops at the first."""

    counts: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys(("commits", "operations", "nodes", "values", "events", "refs"), 0)
    )
    problems: tuple[Problem, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return not self.problems


@contextmanager
def _named(kind: str, what: str) -> Iterator[None]:
    """Lay whatever else goes wrong in the block at the door of the object that is being checked."""
    try:
        yield
    except (StorageError, _Wrong):
        raise
    except (AsgError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _Wrong(kind, what, f"What is stored of {what} makes no sense: {error}") from error


class _Wrong(Exception):
    def __init__(self, kind: str, what: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(kind, what, message)


def verify(store: Store, progress: Progress, signer: Signer | None = None) -> VerifyReport:
    """Check a whole store as it is when the call begins; stops at the first problem.

    Each commit is replayed on its parent's stored state, and gives the stored
    nodes, entry by entry with their origins; every node, value, operation list and
    body is hashed again; ids, index rows, events and refs must agree with them,
    and the events with the commits, one each. Every remembered reply is opened.
    Commits made meanwhile are not checked, but their events are: the refs are
    compared with the log as both are at the end. With a signer, the seals of epochs
    are checked too, their signatures included.
    """
    checker = _Checker(store, signer)
    try:
        for fault in store.integrity():
            raise _Wrong("database", "file", fault)
        checker.run(progress)
    except _Wrong as wrong:
        checker.report.problems = (wrong.problem,)
    except AsgError as error:
        named = [str(error.details[name]) for name in ("kind", "row") if name in error.details]
        what = str(error.details.get("what") or " ".join(named) or "store")
        checker.report.problems = (Problem(error.code, what, error.message),)
    return checker.report


@dataclass(slots=True)
class _Checker:
    store: Store
    signer: Signer | None
    report: VerifyReport = field(default_factory=VerifyReport)
    refs: dict[str, Ref] = field(default_factory=dict)
    records: dict[tuple[RecordKind, str], Record] = field(default_factory=dict)
    values: dict[int, Id] = field(default_factory=dict)
    """The ids that the values hash to, by their rows."""
    tiles: TileReplay = field(default_factory=TileReplay)
    recorded: int = 0
    """The highest number of a commit that an event brought."""

    def run(self, progress: Progress) -> None:
        with self.store.reading(stored=True) as reader:
            last = reader.last_seq()
        for start in range(1, last + 1, CHUNK_ROWS):
            with self.store.reading(stored=True) as reader:
                for seq in range(start, min(start + CHUNK_ROWS, last + 1)):
                    commit = _Commit(self, reader, reader.commit(seq))
                    with _named("commit", commit.name):
                        commit.check()
                    self.report.counts["commits"] += 1
            progress("commits", self.report.counts["commits"], last)
        whole = False
        while not whole:
            with self.store.reading(stored=True) as reader:
                done, events = self.report.counts["events"], reader.events_count()
                for index in range(done, min(done + CHUNK_ROWS, events)):
                    with _named("event", f"event {index}"):
                        self._event(reader, index)
                    self.report.counts["events"] += 1
                whole = self.report.counts["events"] >= events
                if whole:  # in this very transaction: an event more, and the refs would be others
                    self._refs(reader)
                    self._records(reader)
            progress("events", self.report.counts["events"], events)
        self._replies()

    def _event(self, reader: Reader, index: int) -> None:
        row = reader.event(index)
        if row is None:
            raise _Wrong("event", f"event {index}", f"Event {index} is missing")
        if event_of(reader, row).leaf_hash() != row.leaf:
            raise _Wrong("event", f"event {index}", f"The leaf hash of event {index} is not that of its header")
        for tile in self.tiles.add(row.leaf):
            fault = tile_fault(reader, tile)
            if fault:
                raise _Wrong("event", f"event {index}", fault)
        self._projected(reader, row)
        if not row.ref:
            return
        if reader.find((TermKind.REF, row.ref), index + 1, 1) != [index]:
            raise _Wrong("index", f"event {index}", f"Event {index} is not in the index under {row.ref}")
        self._brought(reader, row)
        before = self.refs.get(row.ref)
        if (None if before is None else before.seq) != row.old:
            raise _Wrong("event", f"event {index}", f"Event {index} does not begin where {row.ref} was")
        if row.new is None:
            self.refs.pop(row.ref, None)
        else:
            self.refs[row.ref] = Ref(row.ref, row.ref_kind, row.new)

    def _projected(self, reader: Reader, row: EventRow) -> None:
        """Make the record that the event is about again, as far as the log has come."""
        kind = EVENT_KINDS[row.kind]
        subject = event_of(reader, row).subject
        if kind in RECORDED_IN:
            key = (RECORDED_IN[kind], subject)
            self.records[key] = projected(self.records.get(key), kind, subject, row.index, event_body(row))
        if subject and reader.find((TermKind.SUBJECT, subject), row.index + 1, 1) != [row.index]:
            raise _Wrong("index", f"event {row.index}", f"Event {row.index} is not in the index under {subject}")

    def _brought(self, reader: Reader, row: EventRow) -> None:
        """The commit that an event brought is the next one, and was made on what the ref pointed at."""
        what = f"event {row.index}"
        if EVENT_KINDS[row.kind] not in (EventKind.STORE_CREATED, EventKind.COMMIT):
            return
        if row.new != self.recorded + 1:
            raise _Wrong("event", what, f"Event {row.index} brings commit {row.new}, not commit {self.recorded + 1}")
        self.recorded = row.new
        if reader.commit(row.new).parents[:1] != (() if row.old is None else (row.old,)):
            raise _Wrong("event", what, f"The commit of event {row.index} has another parent than {row.ref} had")

    def _refs(self, reader: Reader) -> None:
        stored = {}
        after = ""
        while page := reader.refs("", after, CHUNK_ROWS):
            stored.update({ref.name: ref for ref in page})
            after = page[-1].name
        for name in sorted(stored.keys() | self.refs.keys()):
            if stored.get(name) != self.refs.get(name):
                raise _Wrong("ref", name, f"{name} does not point where the event log left it")
            self.report.counts["refs"] += 1
        if self.recorded != reader.last_seq():
            name = f"commit {reader.commit(self.recorded + 1).id.short}"
            raise _Wrong("commit", name, f"No event brought {name}: the log has lost it, and the branch it was made on")

    def _records(self, reader: Reader) -> None:
        found = 0
        for kind in RecordKind:
            before = reader.events_count()
            while page := reader.records(kind, before, CHUNK_ROWS):
                for record in page:
                    if self.records.get((kind, record.key)) != record:
                        what = f"{kind.name.lower()} {record.key}"
                        raise _Wrong("record", what, f"{what} is not what the event log says of it")
                    self._seal(reader, record)
                found += len(page)
                before = page[-1].opened
        if found != len(self.records):
            raise _Wrong("record", "records", f"{len(self.records) - found} records that the log tells of are missing")

    def _seal(self, reader: Reader, record: Record) -> None:
        """The seal of an epoch: its members, the roots that were signed, and the signatures."""
        if record.kind is not RecordKind.EPOCH or self.signer is None:
            return
        fault = epoch_fault(reader, record, self.signer)
        if fault:
            raise _Wrong("epoch", f"epoch {record.key}", f"Epoch {record.key}: {fault}")

    def _replies(self) -> None:
        after: bytes | None = b""
        while after is not None:
            with self.store.reading(stored=True) as reader, _named("reply", "a remembered reply"):
                page = reader.replies(after, CHUNK_ROWS)
            after = page[-1][0] if page else None


class _Commit:
    """The check of one commit."""

    def __init__(self, checker: _Checker, reader: Reader, row: CommitRow) -> None:
        self.checker = checker
        self.reader = reader
        self.row = row
        self.hasher: Hasher = checker.store.hasher
        self.name = f"commit {row.id.short}"

    def check(self) -> None:
        reader, row = self.reader, self.row
        info = info_of(reader, row)
        if info.withheld:
            message = f"The texts of {self.name} are gone, and nothing of this store was ever erased"
            raise _Wrong("commit", self.name, message)
        if header_of(reader, row, self.hasher).id != row.id:
            raise _Wrong("commit", self.name, f"The id of {self.name} is not that of its header, operations and texts")
        operations = operations_of(row)
        self._replay(operations)
        for operation in operations:
            for entry in operation.entries or ():
                self._blob(entry)
        self._index(info, operations)
        self.checker.report.counts["operations"] += len(operations)

    def _replay(self, operations: list[RecordedOperation]) -> None:
        row = self.row
        if row.parents:
            state = state_at(self.reader, self.hasher, self.reader.commit(row.parents[0]))
        else:
            state = State.empty(self.reader, self.hasher, row.seq)
        for operation in operations:
            source = None if operation.source is None else parse_path(operation.source)
            path = parse_path(operation.path)
            state = apply_entries(state, operation.op, path, source, operation.entries, row.seq).state
        if len(row.parents) > 1:
            ours, theirs = (state_at(self.reader, self.hasher, self.reader.commit(seq)) for seq in row.parents)
            state = adopt(ours, theirs, state, row.seq)
        if state.tree.id != root_of(self.reader, row, self.hasher):
            raise _Wrong("commit", self.name, f"Replaying {self.name} gives another root")
        self._same(state.tree.root, state_at(self.reader, self.hasher, row).tree.root)

    def _same(self, made: Link, stored: Link) -> None:
        """The node that replay gave against the stored one; a shared node must be the very same row."""
        what = f"node {stored.row}"
        for name in ("id", "last_key", "count", "elements", "level", "newest"):
            if getattr(made, name) != getattr(stored, name):
                raise _Wrong("node", what, f"The {name} of {what} in {self.name} is not what replay gives")
        if made.node is None:
            if made.row != stored.row:
                raise _Wrong("node", what, f"{self.name} should share node {made.row} and has {what}")
            return
        node, kept = made.node, self.reader.load(stored.row)
        if len(node.items) != len(kept.items) or node.height != kept.height:
            raise _Wrong("node", what, f"{what} of {self.name} has other items than replay gives")
        if type(node) is Branch and type(kept) is Branch:
            for child, other in zip(node.items, kept.items, strict=True):
                self._same(child, other)
        elif type(node) is Leaf and type(kept) is Leaf:
            for entry, twin in zip(node.items, kept.items, strict=True):
                self._same_entry(entry, twin, what)
        if self.hasher.node_id(kept) != stored.id:
            raise _Wrong("node", what, f"{what} does not hash to its id {stored.id.short}")
        self.checker.report.counts["nodes"] += 1

    def _same_entry(self, made: Entry, stored: Entry, what: str) -> None:
        path = stored.key.replace("\x00", "/")
        if (made.key, made.kind, self.hasher.value_id(made)) != (stored.key, stored.kind, self.hasher.value_id(stored)):
            raise _Wrong("node", what, f"The entry {path} in {what} of {self.name} is not what replay gives")
        if made.origin != stored.origin:
            raise _Wrong("node", what, f"The entry {path} in {what} of {self.name} names another origin than replay")
        self._blob(stored)

    def _blob(self, entry: Entry) -> None:
        blob = entry.value
        if entry.kind != SCALAR or type(blob) is not Blob:
            return
        if blob.erased:
            what = f"value {blob.id.short}"
            raise _Wrong("value", what, f"{what} in {self.name} is gone, and nothing of this store was ever erased")
        known = self.checker.values.get(blob.row)
        found = self.hasher.value_ids.of(self.reader.blob(blob.row)) if known is None else known
        if found != blob.id:
            raise _Wrong("value", f"blob {blob.row}", f"The value in blob {blob.row} does not hash to its id")
        if known is None:
            self.checker.values[blob.row] = found
            self.checker.report.counts["values"] += 1

    def _index(self, info: CommitInfo, operations: list[RecordedOperation]) -> None:
        seq = self.row.seq
        words = [word for word in words_of(f"{info.description}\n{info.reasoning}") if indexed(word)]
        words.sort(key=lambda word: (-len(word), word))
        if words and self.reader.find_text(words[:WORDS_CHECKED], seq + 1, 1, after=seq - 1) != [seq]:
            raise _Wrong("index", self.name, f"{self.name} is not in the text index under all of its words")
        for term in terms_for(info, operations):
            if self.reader.find(term, self.row.seq + 1, 1) != [self.row.seq]:
                raise _Wrong("index", self.name, f"{self.name} is not in the index under {term[0].name} {term[1]!r}")
