"""Garbage collection, the commits: which of them are kept.

Kept are, each with all of its ancestors:

    what a branch, a tag or an open speculation points at
    what a speculation or a branch pointed at that ended within the grace period
    every commit that was not tried in a speculation; when pruning, only the members of epochs that were sealed in this
    log or in one that it was imported from, and what was made since an open epoch began, which can become a member
    until its seal

All others are doomed. No kept commit descends from a doomed one, so a name for a kept commit never leads to one.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from asg_mcp.core.events import EventKind
from asg_mcp.repo.epochs import OPEN, epoch_records, lineage_of
from asg_mcp.repo.inherited import inherited
from asg_mcp.repo.ledger import EVENT_KINDS, event_body
from asg_mcp.repo.records import values_of
from asg_mcp.repo.resolve import SPECULATION_PREFIX, is_expired
from asg_mcp.storage.base import EventRow, Reader, RecordKind, Ref, RefKind

OWED = "shrink"
"""In a receipt: whether the file is to be made anew. In the receipt that it was, it is not any more."""
_PAGE = 500


class History:
    """Every commit up to a number: its parents, time, root row, and the rows of its operations' large values.

    The commit with number n is at n; 0 has none. 32 bytes a commit, and 16 a large value.
    """

    def __init__(self) -> None:
        self.parents = (array("q", [0]), array("q", [0]))
        self.at = array("q", [0])
        self.root_rows = array("q", [0])
        """0 for a commit that was pruned."""
        self.owners, self.values = array("q"), array("q")
        """The numbers of commits with large values, and the rows of these."""

    @property
    def last(self) -> int:
        """The number of the last commit that was read."""
        return len(self.at) - 1

    def read_on(self, reader: Reader, upto: int) -> None:
        """Take in the commits up to this number."""
        for seq in range(self.last + 1, upto + 1):
            row = reader.commit(seq)
            for number, side in enumerate(self.parents):
                side.append(row.parents[number] if number < len(row.parents) else 0)
            self.at.append(row.at)
            self.root_rows.append(row.root_row)
            for value in values_of(row):
                self.owners.append(seq)
                self.values.append(value)


@dataclass(frozen=True, slots=True)
class Moment:
    """What garbage collection begins from, seen in one view."""

    last: int
    """The number of the newest commit."""
    events: int
    now: int
    heads: tuple[int, ...]
    """What refs point at."""
    overdue: tuple[Ref, ...]
    """Speculations that are too old, and whose end is not recorded yet; their heads are not among the others."""


def moment_of(reader: Reader) -> Moment:
    """The present moment of a store."""
    heads, overdue, after = [], [], ""
    while page := reader.refs("", after, _PAGE):
        after = page[-1].name
        for ref in page:
            if is_overdue(reader, ref):
                overdue.append(ref)
            else:
                heads.append(ref.seq)
    return Moment(reader.last_seq(), reader.events_count(), reader.now(), tuple(heads), tuple(overdue))


def is_overdue(reader: Reader, ref: Ref) -> bool:
    """Whether a ref is that of a speculation that is too old."""
    if ref.kind is not RefKind.SPECULATION:
        return False
    record = reader.record(RecordKind.SPECULATION, ref.name.removeprefix(SPECULATION_PREFIX))
    return record is not None and is_expired(record, reader.now())


class Ages:
    """Which of the things that the log tells of are younger than a time, by clocks that may have run backwards.

    A recorded time counts if it is not before that of an earlier event and not yet to come. What was recorded under
    any other counts as if it had happened at the next time that does, or now: never as older than it is.
    """

    def __init__(self, now: int, since: int) -> None:
        self.young: list[int] = []
        """The numbers of the commits that were told of at or after `since`."""
        self._now, self._since = now, since
        self._highest: int | None = None
        self._waiting: list[int] = []

    def add(self, at: int, seqs: Iterable[int] = ()) -> None:
        """The next event of the log, recorded at this time, and the commits that it is about."""
        self._waiting += seqs
        if at > self._now or (self._highest is not None and at < self._highest):
            return
        self._highest = at
        self._settle(at)

    def finish(self) -> list[int]:
        """All that are young, when the log has been read."""
        self._settle(self._now)
        return self.young

    def _settle(self, at: int) -> None:
        if at > self._since:
            self.young += self._waiting
        self._waiting = []


class Marks:
    """A byte for each commit up to a moment: whether it is kept. Say first what the events tell, then `finish`."""

    def __init__(self, history: History, moment: Moment, grace: int, *, prune: bool, rehearsal: bool) -> None:
        """`grace` is in microseconds. A rehearsal ends the overdue speculations in mind alone."""
        self._history, self._prune = history, prune
        self._kept = bytearray(moment.last + 1)
        self._tried = bytearray(moment.last + 1)
        self._taken_in: set[int] = set()
        """Newer commits whose parents were followed."""
        self._ages = Ages(moment.now, moment.now - grace)
        ended = [ref.seq for ref in moment.overdue]
        self._roots = [*moment.heads, *([] if rehearsal and not grace else ended)]
        self.within_grace = 0
        """How many ends of speculations and branches the grace period still covers."""
        self.owes_shrink = False
        """Whether the last run ended before it could make the file anew."""

    def read_events(self, reader: Reader, first: int, end: int) -> None:
        """Take in events of the log, in order."""
        for index in range(first, end):
            row = reader.event(index)
            assert row is not None, "BUG: the log has no gaps"
            if EVENT_KINDS[row.kind] is EventKind.COMMIT and row.ref_kind is RefKind.SPECULATION:
                assert row.new is not None, "BUG: a commit's event has the commit"
                self._tried[row.new] = 1
            elif EVENT_KINDS[row.kind] is EventKind.COLLECTED:
                self.owes_shrink = bool(event_body(row).get(OWED))
            ends = (row.old,) if row.old is not None and row.new is None else ()
            self._ages.add(self._time(row), ends)

    def _time(self, row: EventRow) -> int:
        return int(row.data[0]) if row.data is not None else self._history.at[row.new or 0]

    def finish(self, reader: Reader) -> None:
        """Mark what is kept."""
        kept, last = self._kept, len(self._kept) - 1
        young = self._ages.finish()
        self.within_grace = len(young)
        for seq in (*self._roots, *young):
            kept[seq] = 1
        if self._prune:
            for record in epoch_records(reader):
                if record.data["state"] == OPEN:
                    self._mark_since(_seq_of(reader, record.data["after"]))
                else:
                    for seq in lineage_of(reader, record).members:
                        kept[seq] = 1
            for lineage in inherited(reader):
                for seq in lineage.members:
                    kept[seq] = 1
        else:
            self._mark_since(0)
        # Parents have lower numbers, so when a commit's turn comes all that descends from it had theirs.
        first, second = self._history.parents
        for seq in range(last, 0, -1):
            if kept[seq]:
                kept[first[seq]] = kept[second[seq]] = 1

    def _mark_since(self, after: int) -> None:
        """Keep the commits above a number that were made on branches."""
        kept, tried = self._kept, self._tried
        for seq in range(after + 1, len(kept)):
            if not tried[seq]:
                kept[seq] = 1

    def doomed(self) -> array[int]:
        """The numbers of the commits that are not kept and were not pruned before, the lowest first."""
        kept, root_rows = self._kept, self._history.root_rows
        return array("q", [seq for seq in range(1, len(kept)) if not kept[seq] and root_rows[seq]])

    def keeps(self, seq: int) -> bool:
        """Whether a commit is kept."""
        return bool(self._kept[seq])

    def was_tried(self, seq: int) -> bool:
        """Whether a commit was made in a speculation."""
        return bool(self._tried[seq])

    def take_in(self, reader: Reader, since: int) -> int:
        """Keep what the events from index `since` on have reached again; returns how many events there are now.

        Every change of a ref is an event, so this finds whatever was brought back since the marks were made.
        """
        events = reader.events_count()
        for index in range(since, events):
            row = reader.event(index)
            assert row is not None, "BUG: the log has no gaps"
            if row.new is not None:
                self._reach(reader, row.new)
            if EVENT_KINDS[row.kind] is EventKind.EPOCH_OPENED and self._prune:
                assert row.data is not None, "BUG: an epoch's event has a subject"
                record = reader.record(RecordKind.EPOCH, row.data[5])
                assert record is not None, "BUG: the event made it"
                for seq in range(_seq_of(reader, record.data["after"]) + 1, len(self._kept)):
                    if not self._tried[seq]:
                        self._reach(reader, seq)
        return events

    def _reach(self, reader: Reader, seq: int) -> None:
        todo, first_new = [seq], len(self._kept)
        while todo:
            number = todo.pop()
            if number >= first_new:
                if number not in self._taken_in:
                    self._taken_in.add(number)
                    todo += reader.commit(number).parents
            elif number and not self._kept[number]:
                self._kept[number] = 1
                todo += [side[number] for side in self._history.parents]


def _seq_of(reader: Reader, commit: str) -> int:
    """The number of the commit with a whole id; 0 for ""."""
    return reader.commit_seqs(commit, 1)[0] if commit else 0
