"""Verify: replay every commit, hash everything again, and compare with what is stored.

What it cannot know: whether a remembered reply was deleted, for nothing else
tells that there was one; and whether a whole store was replaced by another one
that is right in itself, an earlier copy of it for instance.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from threading import Event

import anyio
import anyio.to_thread

from asg_mcp.core.notes import Signer
from asg_mcp.errors import AsgError, InvalidInput, NotFound, StoreBusy, StoreCorrupt
from asg_mcp.repo.keyring import Keyring
from asg_mcp.repo.logtree import check_tiles
from asg_mcp.repo.marking import Mark, mark_of
from asg_mcp.repo.verifying import Check, Problem, Reached, Sampled, VerifyReport, Wrong, named
from asg_mcp.repo.verifying_commits import check_commit
from asg_mcp.repo.verifying_log import LogCheck, check_event, check_replies, classes_fault, refs_after
from asg_mcp.repo.verifying_rows import orphans_told
from asg_mcp.repo.verifying_scope import Journal, Kept, Scope, Start, check_node, chosen, kept_fault, start_of
from asg_mcp.storage.base import Reader, Store

__all__ = ["Journal", "Problem", "Progress", "Scope", "Stopped", "VerifyReport", "verify"]

Progress = Callable[[str, int, int], None]
"""(what is being checked, how many are done, how many there are)"""

CHUNK_ROWS = 500
"""Rows checked in one read transaction: a longer one would keep the WAL from being checkpointed."""
KEEP_SECONDS = 1.0
"""Between two writings of the journal: what a run that is killed has to do again."""
_WHOLE = Scope()


class Stopped(Exception):
    """A run was asked to stop. What it had done is in its journal."""


def verify(
    store: Store,
    progress: Progress,
    signer: Signer | None = None,
    scope: Scope = _WHOLE,
    journal: Journal | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> VerifyReport:
    """Check a store as it is when the call begins: all of it, or what the scope says. Stops at the first problem.

    Each commit is replayed on its parent's stored state, and gives the stored
    nodes, entry by entry with their origins; every node, value, operation list and
    body is hashed again; ids, index rows, events and refs must agree with them,
    and the events with the commits, one each. Every remembered reply is opened.
    What was erased or collected must be named by a receipt.
    Commits made meanwhile are not checked, but their events are: the refs are
    compared with the log as both are at the end. With a signer, the seals of epochs
    are checked too, their signatures included.

    With a journal a whole run that is stopped can be gone on with. Raises Stopped when `stop` says so, and
    InvalidArgument and NotFound for a scope that names what is not there.
    """
    check = Check(store, signer)
    try:
        for fault in store.integrity():
            raise Wrong("database", "file", fault)
        _Run(check, progress, scope, journal, stop).all()
    except Wrong as wrong:
        check.report.problems = (wrong.problem,)
    except StoreBusy:
        raise  # what others did meanwhile is no damage
    except (InvalidInput, NotFound) as error:
        if scope.since:
            raise
        check.report.problems = (_problem(error),)
    except AsgError as error:
        check.report.problems = (_problem(error),)
    for name in sorted(check.keyless):
        check.report.notices += (f"The values of the class {name} were not checked: its key is not here",)
    return check.report


async def verify_apart(
    store: Store, progress: Progress, signer: Signer | None, scope: Scope, journal: Journal | None
) -> VerifyReport:
    """The same on a thread. Whoever cancels it has it stop at the next commit, and waits until it has."""
    stop = Event()

    def work() -> VerifyReport | None:
        with contextlib.suppress(Stopped):
            return verify(store, progress, signer, scope, journal, stop.is_set)
        return None

    running = asyncio.ensure_future(anyio.to_thread.run_sync(work))
    try:
        report = await asyncio.shield(running)
    except asyncio.CancelledError:
        stop.set()
        with anyio.CancelScope(shield=True):
            await asyncio.wait([running])
        raise
    assert report is not None, "BUG: it was not asked to stop"
    return report


def _problem(error: AsgError) -> Problem:
    told = [str(error.details[name]) for name in ("kind", "row") if name in error.details]
    return Problem(error.code, str(error.details.get("what") or " ".join(told) or "store"), error.message)


@contextlib.contextmanager
def _sensible(what: str) -> Iterator[None]:
    """Lay what cannot be read at the door of what is stored, and let pass what is said of the scope."""
    try:
        yield
    except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
        raise Wrong("event", what, f"What is stored of {what} makes no sense: {error}") from error


@dataclass(slots=True)
class _Run:
    """One pass over a store, in chunks of one read transaction each."""

    check: Check
    progress: Progress
    scope: Scope
    journal: Journal | None
    stop: Callable[[], bool]
    generation: int = 0
    kept: Kept | None = None
    """How far the run had come at the end of the last chunk of commits."""
    kept_at: float = float("-inf")
    """When that was last given to the journal, on the process's clock."""
    began: Mark | None = field(default=None)
    """How far the log was when the run began; None where nothing is kept of it."""

    def all(self) -> None:
        with self.check.store.reading(stored=True) as reader:
            last = reader.last_seq()
            if self.journal is not None and reader.events_count():
                with contextlib.suppress(StoreCorrupt):  # of a damaged log nothing is kept
                    self.began = mark_of(reader)
            with _sensible("the log"):
                start = start_of(reader, self.scope.since)
            self._begin(reader)
        self.check.report.trusted = start.told
        if self.scope.percent:
            self._sample(last)
            return
        done = start.commits or self._resumed()
        try:
            self._commits(done + 1, last)
            self._log(start)
            self._classes()
        except (Wrong, AsgError):
            self._forget()
            raise
        self._rows(None if self.scope.since else last)
        self._forget()

    def _begin(self, reader: Reader) -> None:
        self.generation = reader.generation()
        with named("event", "the receipts"):
            self.check.begin(reader)

    def _rewritten(self, reader: Reader) -> bool:
        """Whether something was erased meanwhile; then what is known of rows and bodies is learnt anew.

        Of what was collected there are receipts more, and nothing else changed: so a run ends beside a writer that
        collects all the time.
        """
        if reader.generation() == self.generation:
            return False
        self.generation = reader.generation()
        with named("event", "the receipts"):
            if not self.check.go_on(reader):
                return False
            self.check.begin(reader)
        return True

    # --- all, and what came after something ---

    def _commits(self, first: int, last: int) -> None:
        for start in range(first, last + 1, CHUNK_ROWS):
            with self.check.store.reading(stored=True) as reader:
                self._rewritten(reader)
                for seq in range(start, min(start + CHUNK_ROWS, last + 1)):
                    self._check_stop()
                    row = reader.commit(seq)
                    with named("commit", f"commit {row.id.short}"):
                        check_commit(self.check, reader, row)
            done = min(start + CHUNK_ROWS - 1, last)
            self._keep(done)
            self.progress("commits", done, last)

    def _log(self, start: Start) -> None:
        log: LogCheck | None = None
        whole = False
        while not whole:
            self._check_stop()
            with self.check.store.reading(stored=True) as reader:
                events = reader.events_count()
                if self._rewritten(reader) or log is None:  # records are made from bodies, which may be others now
                    log = self._log_from(reader, start)
                for index in range(log.done, min(log.done + CHUNK_ROWS, events)):
                    with named("event", f"event {index}"):
                        log.advance(reader, index)
                whole = log.done >= events
                if whole:  # in this very transaction: an event more, and the refs would be others
                    log.compare(reader)
            self.progress("events", log.done, events)

    def _log_from(self, reader: Reader, start: Start) -> LogCheck:
        self.check.reset("log", "refs", "records", "epochs", "speculations")
        with named("event", "the log"):
            keys = Keyring.before(reader, start.events) if start.events else Keyring()
            return LogCheck(self.check, keys, refs_after(reader, start.events), start.events, start.commits)

    def _classes(self) -> None:
        """The sensitive prefixes are those that the log tells of."""
        while fault := self._classes_fault():
            with self.check.store.reading(stored=True) as reader:
                if reader.generation() == self.generation:  # else the store knew of more than was read
                    raise Wrong("class", "the sensitive prefixes", fault)

    def _classes_fault(self) -> str:
        with self.check.store.reading(stored=True) as reader:
            self._rewritten(reader)
            return classes_fault(self.check)

    def _rows(self, last: int | None) -> None:
        after: bytes | None = b""
        while after is not None:
            with self.check.store.reading(stored=True) as reader, named("reply", "a remembered reply"):
                after = check_replies(self.check, reader, after)
        with self.check.store.reading(stored=True) as reader:
            # Others write: what they stored meanwhile was not looked at.
            if reader.last_seq() == last and reader.generation() == self.generation:
                told = orphans_told(self.check, reader)
                self.check.report.notices += (told,) if told else ()

    # --- stopping, and going on ---

    def _resumed(self) -> int:
        """How many commits an earlier run has checked, if this one goes on from it."""
        if self.journal is None or self.began is None or not self.scope.resume:
            return 0
        kept = Kept.unpacked(self.journal.load(self.began.origins[0]))
        if kept is None:
            self.check.report.notices += ("No earlier run was stopped here: this one began at the beginning",)
            return 0
        with self.check.store.reading(stored=True) as reader:
            fault = kept_fault(reader, kept)
        if fault:
            self.check.report.notices += (f"This run began at the beginning again: {fault}",)
            return 0
        self.check.report.counts.update(
            {name: count for name, count in kept.counts.items() if name in self.check.report.counts}
        )
        self.check.reached, self.check.erased = kept.reached, kept.erased
        self.check.report.trusted = kept.told
        self.began = kept.mark
        return kept.done

    def _check_stop(self) -> None:
        if self.stop():
            if self.journal is not None and self.kept is not None:
                self.journal.save(self.kept.mark.origins[0], self.kept.packed())
            raise Stopped

    def _keep(self, done: int) -> None:
        if self.journal is None or self.began is None or self.scope.since:
            return
        check, now = self.check, time.monotonic()
        counts, reached, erased = dict(check.report.counts), Reached(bytes(check.reached)), set(check.erased)
        self.kept = Kept(self.began, self.generation, done, time.time_ns() // 1_000, counts, reached, erased)
        if now - self.kept_at >= KEEP_SECONDS:
            self.journal.save(self.began.origins[0], self.kept.packed())
            self.kept_at = now

    def _forget(self) -> None:
        if self.journal is not None and self.began is not None and not self.scope.since:
            self.journal.clear(self.began.origins[0])

    # --- a sample ---

    def _sample(self, last: int) -> None:
        """Some commits, events and nodes, and always all refs and the log's tree."""
        rng = Random(self.scope.seed)
        with self.check.store.reading(stored=True) as reader:
            events = reader.events_count()
            top = max((reader.commit(seq).root_row for seq in range(max(last - CHUNK_ROWS, 1), last + 1)), default=0)
            fault = check_tiles(reader)
            if fault:
                raise StoreCorrupt(fault, what="the log's tree")
            with named("event", "the log"):
                refs = refs_after(reader, events)
            LogCheck(self.check, Keyring(), refs, events, last).compare(reader)
        self._classes()
        looked = {
            name: (self._some(name, chosen(range(first, count), self.scope.percent, rng), rng), count - first)
            for name, first, count in (("commits", 1, last + 1), ("events", 0, events), ("nodes", 1, top + 1))
            if count > first
        }
        self.check.report.sample = Sampled(self.scope.percent, self.scope.seed, looked)

    def _some(self, name: str, numbers: list[int], rng: Random) -> int:
        looked = 0
        for start in range(0, len(numbers), CHUNK_ROWS):
            with self.check.store.reading(stored=True) as reader:
                self._rewritten(reader)
                for number in numbers[start : start + CHUNK_ROWS]:
                    if self.stop():
                        raise Stopped
                    looked += self._one(reader, name, number, rng)
            self.progress(name, looked, len(numbers))
        return looked

    def _one(self, reader: Reader, name: str, number: int, rng: Random) -> bool:
        if name == "nodes":
            with named("node", f"node {number}"):
                return check_node(self.check, reader, number, rng)
        if name == "events":
            with named("event", f"event {number}"):
                check_event(self.check, reader, number)
        else:
            row = reader.commit(number)
            with named("commit", f"commit {row.id.short}"):
                check_commit(self.check, reader, row)
        return True
