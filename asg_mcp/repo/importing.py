"""An archive made a store: every commit replayed on its parents, every hash made again, and a log of its own begun.

The first event names the log that the archive was made from, and how far that had come. Then all that happened in it
follows as events of this log, in order, with the authors and times of then. What is about the other log itself stays
there, in the archive: its seals, its signatures, its keys and its incarnations prove nothing of this one.
"""

from __future__ import annotations

from array import array
from asyncio import gather
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any, Protocol

import anyio.to_thread

from asg_mcp.core.events import EventKind, event_body_id
from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import ARCHIVE_SOURCES_MAX, BATCH_TRANSACTIONS_MAX
from asg_mcp.core.merkle import EMPTY_ROOT, node_hash
from asg_mcp.core.notes import Checkpoint
from asg_mcp.core.refs import check_ref_name
from asg_mcp.repo.archived import (
    ArchivedCommit,
    ArchivedEvent,
    Commits,
    Malformed,
    damaged,
    event_from,
    place,
    ref_from,
)
from asg_mcp.repo.archivedrecords import look_at
from asg_mcp.repo.archiving import VERSIONS, Progress
from asg_mcp.repo.branches import DEFAULT_BRANCH
from asg_mcp.repo.inherited import EARLIER, LINEAGES, inherited, lineage_told
from asg_mcp.repo.ledger import EVENT_KINDS, RECORDED_IN, log_event, projected
from asg_mcp.repo.logtree import INCARNATION, ORIGIN, ORIGIN_DIGITS
from asg_mcp.repo.receipts import NO_RECEIPTS, RECEIPTS, Receipts
from asg_mcp.repo.replaying import put_commit
from asg_mcp.repo.resolve import SPECULATION_PREFIX
from asg_mcp.storage.base import CommitRow, EventRow, Reader, RecordKind, Ref, RefKind, Store, Writer

_BRINGING = (EventKind.STORE_CREATED, EventKind.COMMIT)
_OF_THE_SOURCE = (EventKind.RESTORED, EventKind.IMPORTED, EventKind.KEY_ROTATED)
"""What is about the log itself that it is in, and means nothing in another."""
_OF_EPOCHS = (EventKind.EPOCH_OPENED, EventKind.EPOCH_SEALED, EventKind.EPOCH_SIGNED)
_INDEXES = ("events", "goes_on")
"""What receipts name events by."""
WAITING_BYTES_MAX = 16 * 1_024 * 1_024
"""Of values in commits that are written together: what is read further on waits for them."""
_PAGE = 500


@dataclass(frozen=True, slots=True)
class ArchiveHead:
    """What the manifest of an archive says of it."""

    checkpoint: Checkpoint
    note: str
    """The checkpoint, signed; "" where the store had no key."""
    key: str
    """The public key that signed it."""
    counts: Mapping[str, int]
    sealed: Mapping[str, tuple[int, bytes]]
    """The sealed epochs: how long the log was with the seal, and its root then."""
    classes: Mapping[str, tuple[str, bool]]
    """The sensitive prefixes: their paths, and whether their keys were destroyed."""
    version: int
    """Of the form of its commits; see `archiving`."""


class Archive(Protocol):
    """An archive, whose files can be read from the beginning as often as they are asked for."""

    head: ArchiveHead

    def commits(self) -> Iterator[Any]:
        """The records of the commits, and the values behind them. Raises ArchiveDamaged."""
        ...

    def events(self) -> Iterator[Any]:
        """The records of the events. Raises ArchiveDamaged."""
        ...

    def refs(self) -> Iterator[Any]:
        """The records of the refs. Raises ArchiveDamaged."""
        ...


class GrowingRoot:
    """The root of a log whose leaves are told one after the other. Keeps one hash for each complete subtree."""

    def __init__(self) -> None:
        self.size = 0
        self._subtrees: list[bytes] = []

    def add(self, leaf: bytes) -> None:
        """One leaf hash more."""
        self.size += 1
        self._subtrees.append(leaf)
        size = self.size
        while size % 2 == 0:
            right = self._subtrees.pop()
            self._subtrees[-1] = node_hash(self._subtrees[-1], right)
            size //= 2

    def root(self) -> bytes:
        """The root over all leaves so far."""
        if not self._subtrees:
            return EMPTY_ROOT
        *others, root = self._subtrees
        for subtree in reversed(others):
            root = node_hash(subtree, root)
        return root


@dataclass(slots=True)
class SourceLog:
    """The log that an archive tells of, as far as it was read."""

    log: GrowingRoot = field(default_factory=GrowingRoot)
    origin: str = ""
    commits: int = 0
    sealed: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    lineages: list[list[Any]] = field(default_factory=list)
    """By what the members of the sealed epochs are found; see `inherited`."""
    _opened: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What the openings of the epochs say."""
    earlier: list[dict[str, Any]] = field(default_factory=list)
    """What its own first event says of the log that it was imported from, if it was."""
    classes: dict[str, str] = field(default_factory=dict)
    """The sensitive prefixes that were made, and their paths."""
    receipts: list[tuple[EventRow, int]] = field(default_factory=list)
    erased: array[int] = field(default_factory=lambda: array("q"))
    """The events whose bodies were erased."""

    def add(self, one: ArchivedEvent) -> None:
        """Take in the next event. Raises ArchiveDamaged."""
        event, leaf = one.event, one.event.leaf_hash()
        self.log.add(leaf)
        if one.erased:
            self.erased.append(one.index)
        if one.index == 0 or (event.kind is EventKind.RESTORED and event.subject == INCARNATION):
            self.origin = ORIGIN + leaf.hex()[:ORIGIN_DIGITS]
        if event.kind in _BRINGING:
            self.commits += 1
        elif event.kind in RECEIPTS:
            self.receipts.append((_row_of(one), self.commits))
        elif event.kind is EventKind.CLASS_MADE:
            self.classes[event.subject] = str((one.body or {}).get("path", ""))
        elif event.kind is EventKind.EPOCH_OPENED:
            self._opened[event.subject] = one.body or {}
        elif event.kind is EventKind.EPOCH_SEALED:
            if event.subject in self.sealed:
                raise damaged(one.where, f"seals epoch {event.subject} again")
            if event.subject not in self._opened:
                raise damaged(one.where, f"seals epoch {event.subject}, which is not open")
            self.sealed[event.subject] = (one.index + 1, self.log.root())
            self.lineages.append(lineage_told(event.subject, self._opened.pop(event.subject), one.body or {}))
        elif event.kind is EventKind.IMPORTED:
            if one.index:
                raise damaged(one.where, "begins a log that has begun")
            told = dict(one.body or {})
            self.earlier = [told, *told.pop(EARLIER, [])][:ARCHIVE_SOURCES_MAX]

    def compare(self, head: ArchiveHead) -> None:
        """Raise ArchiveDamaged unless this is the log that the manifest names."""
        if Checkpoint(self.origin, self.log.size, self.log.root()) != head.checkpoint:
            raise damaged("The log", "its events are not those of the checkpoint in the manifest")
        if self.sealed != dict(head.sealed):
            raise damaged("The manifest", "its sealed epochs are not those of the log")
        if list(self.classes.items()) != [(name, path) for name, (path, _) in head.classes.items()]:
            raise damaged("The keys", "their sensitive prefixes are not those of the log")
        if (head.counts["events"], head.counts["commits"]) != (self.log.size, self.commits):
            raise damaged("The manifest", "its counts of events and commits are not those of the log")


def read_log(archive: Archive, progress: Progress) -> SourceLog:
    """Go through the log of an archive, each event hashed again, before anything is made. Raises ArchiveDamaged."""
    source, count = SourceLog(), archive.head.counts["events"]
    for index, record in enumerate(archive.events()):
        with place(f"event {index}"):
            source.add(event_from(record, index))
        if (index + 1) % _PAGE == 0:
            progress("log", index + 1, count)
    source.compare(archive.head)
    return source


class Importing:
    """One archive on its way into a new, empty store."""

    def __init__(self, store: Store, archive: Archive, source: SourceLog, progress: Progress) -> None:
        self._store, self._archive, self._source, self._progress = store, archive, source, progress
        with place("The log"):
            self._receipts = Receipts.counting(source.receipts) if source.receipts else NO_RECEIPTS
        for index in source.erased:
            if index not in self._receipts.events:
                raise damaged(f"event {index}", "has no body, and no receipt says that it was erased")
        destroyed = {name for name, (_, gone) in archive.head.classes.items() if gone}
        if destroyed != self._receipts.classes:
            raise damaged("The keys", "the classes that were destroyed are not those of the log")
        if archive.head.version != VERSIONS[0] and not self._receipts.values:
            raise damaged("The manifest", "its version is that of an archive from which values were erased")
        self._indexes = array("q")
        """Where each event of the archive is in the new log; -1 for one that stays in the archive."""
        self._next = 1
        self._salts = self._waiting = 0

    async def run(self, author: Author) -> None:
        """Make all of it. Raises ArchiveDamaged, which names the place, and what the store raises."""
        count = self._archive.head.counts["events"]
        await self._store.write(lambda writer: self._begin(writer, author))
        commits = Commits(self._archive.commits(), self._store.hasher)
        jobs: list[Callable[[Writer], None]] = []
        for index, record in enumerate(self._archive.events()):
            jobs += self._jobs(event_from(record, index), commits)
            if len(jobs) >= BATCH_TRANSACTIONS_MAX or self._waiting > WAITING_BYTES_MAX or index + 1 == count:
                await self._write(jobs)
                jobs, self._waiting = [], 0
                self._progress("import", index + 1, count)
        commits.end()
        await anyio.to_thread.run_sync(self._compare)

    async def _write(self, jobs: list[Callable[[Writer], None]]) -> None:
        """All of them in one durable commit. The first error is that of the place where the archive is wrong."""
        done = await gather(*(self._store.write(job) for job in jobs), return_exceptions=True)
        for error in done:
            if isinstance(error, BaseException):
                raise error

    def _begin(self, writer: Writer, author: Author) -> None:
        """The first event of the new log."""
        assert not writer.events_count(), "BUG: the store is new"
        head = self._archive.head
        body: dict[str, Any] = {
            "origin": head.checkpoint.origin,
            "size": head.checkpoint.size,
            "root": head.checkpoint.root.hex(),
            "note": head.note,
            "key": head.key,
            "sealed": [[epoch, size, root.hex()] for epoch, (size, root) in self._source.sealed.items()],
            LINEAGES: self._source.lineages,
            EARLIER: self._source.earlier,
        }
        told = {name: part for name, part in body.items() if part}
        log_event(writer, EventKind.IMPORTED, author, subject=head.checkpoint.origin, body=told)

    # --- one event ---

    def _jobs(self, one: ArchivedEvent, commits: Commits) -> list[Callable[[Writer], None]]:
        """What is to be written for an event: nothing where it stays in the archive."""
        kind, event = one.event.kind, one.event
        if kind in _OF_THE_SOURCE or (kind in _OF_EPOCHS and event.subject in self._source.sealed):
            if event.ref:
                raise damaged(one.where, "moves a ref, which such an event never does")
            self._indexes.append(-1)
            return []
        index, self._next = self._next, self._next + 1
        self._indexes.append(index)
        commit = commits.next() if kind in _BRINGING else None
        if commit is not None:
            self._salts += sum(salt is not None for _, salt in commit.salts)
            self._waiting += commit.bytes

        def work(writer: Writer) -> None:
            with place(one.where if commit is None else commit.where):
                row = None if commit is None else self._brought(writer, one, commit)
                self._put_event(writer, one, index, row)

        return [work]

    def _brought(self, writer: Writer, one: ArchivedEvent, commit: ArchivedCommit) -> CommitRow:
        event, header = one.event, commit.header
        if event.new != header.id or (event.author, event.at) != (header.author, header.at):
            raise Malformed(f"is not the one that {one.where} brought")
        if event.body is not None or event.subject or event.old != (header.parents[0] if header.parents else None):
            raise Malformed(f"was brought by {one.where}, which says something else of it")
        return put_commit(writer, self._store.hasher, commit, self._receipts, self._archive.head.version)

    def _put_event(self, writer: Writer, one: ArchivedEvent, index: int, commit: CommitRow | None) -> None:
        event = one.event
        if writer.events_count() != index:
            raise Malformed("is not the next one")
        old, new = self._side(writer, event.old, None), self._side(writer, event.new, commit)
        kind = RefKind[event.ref_kind.upper()] if event.ref else RefKind.BRANCH
        if event.ref:
            _check_ref(event.ref, kind)
            sides = [None if seq is None else Ref(event.ref, kind, seq) for seq in (old, new)]
            writer.swap_ref(sides[0], sides[1])
        body = None if one.body is None else self._renumbered(one)
        body_id = event.body if body is None or one.erased else event_body_id(one.salt, body)
        author = event.author
        data: list[Any] | None = None
        if commit is None:
            data = [event.at, author.principal, author.agent, author.client, author.session]
            if event.subject or body is not None:
                data += [event.subject, one.salt, [body_id, body] if one.erased else body]
        made = replace(event, index=index, body=body_id)
        writer.append_event(made, EVENT_KINDS.index(event.kind), old, new, data)
        if event.kind in RECORDED_IN:
            before = writer.record(RECORDED_IN[event.kind], event.subject)
            writer.put_record(projected(before, event.kind, event.subject, index, body or {}))

    def _side(self, writer: Writer, commit: CommitId | None, brought: CommitRow | None) -> int | None:
        if commit is None or brought is not None:
            return None if brought is None else brought.seq
        found = writer.commit_seqs(commit.hex(), 1)
        if not found:
            raise Malformed(f"names commit {commit.short}, which comes later or never")
        return found[0]

    def _renumbered(self, one: ArchivedEvent) -> dict[str, Any]:
        """A body as it is in the new log: a receipt names events by their indexes, which are others there."""
        body = one.body or {}
        if one.event.kind not in RECEIPTS:
            return body
        told = {name: body[name] if name == "events" else [body[name]] for name in _INDEXES if name in body}
        for name, indexes in told.items():
            if any(type(index) is not int or not 0 <= index < one.index for index in indexes):
                raise Malformed("names events that are not before it")
            here = [self._indexes[index] for index in indexes]
            body = {**body, name: [index for index in here if index >= 0] if name == "events" else here[0]}
        return body

    # --- the end ---

    def _compare(self) -> None:
        """Raise ArchiveDamaged unless the refs are those that the archive has, and every record makes sense."""
        with self._store.reading(stored=True) as reader:
            self._compare_refs(reader)
            if self._salts != self._archive.head.counts["salts"]:
                raise damaged("The manifest", "its count of salts is not that of the commits")
            main = reader.ref(DEFAULT_BRANCH)
            if main is None or main.kind is not RefKind.BRANCH:
                raise damaged("The refs", f"there is no branch {DEFAULT_BRANCH}")
            for kind in RecordKind:
                before = reader.events_count()
                while page := reader.records(kind, before, _PAGE):
                    before = page[-1].opened
                    for record in page:
                        with place(f"{kind.name.lower()} {record.key}"):
                            look_at(reader, record)
            with place("The story of sealed epochs"):
                for _ in inherited(reader):
                    pass

    def _compare_refs(self, reader: Reader) -> None:
        count = 0
        for record, ref in zip_longest(self._archive.refs(), _refs(reader)):
            count += 1
            told = None if record is None else ref_from(record, count)
            if ref is None or told != (ref.name, ref.kind, reader.commit(ref.seq).id):
                raise damaged(f"ref {count}", "the refs are not where the log left them")
        if count != self._archive.head.counts["refs"]:
            raise damaged("The manifest", "its count of refs is not that of the refs")


def _row_of(one: ArchivedEvent) -> EventRow:
    """A receipt as it would be stored."""
    event = one.event
    held: Any = one.body if not one.erased else [event.body, one.body]
    data = [event.at, event.author.principal, event.author.agent, "", "", event.subject, one.salt, held]
    number = EVENT_KINDS.index(event.kind)
    return EventRow(one.index, number, "", RefKind.BRANCH, None, None, event.leaf_hash(), data)


def _check_ref(name: str, kind: RefKind) -> None:
    if name.startswith(SPECULATION_PREFIX) is not (kind is RefKind.SPECULATION):
        raise Malformed(f"has a ref {name!r} that is no {kind.label}")
    check_ref_name(name.removeprefix(SPECULATION_PREFIX))


def _refs(reader: Reader) -> Iterator[Ref]:
    after = ""
    while page := reader.refs("", after, _PAGE):
        yield from page
        after = page[-1].name
