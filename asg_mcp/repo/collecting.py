"""Garbage collection: what ended speculations tried is taken away, and what nothing needs any more.

    expire      speculations that are too old end, as they would when their principal opens the next one
    mark        which commits are kept (see `collectingmarks`); long scans, in many short reads
    prune       the others become stubs, the newest first, each batch with its receipt
    sweep       nodes and large values that no commit needs are dropped (see `collectingrows`)
    shrink      the file is made anew without their room

Others write meanwhile. What they may bring back are commits, by a name, a merge or an epoch, and each of these is an
event: the transaction that prunes looks at all events since the mark before it takes anything. A stub is never brought
back, so rows that no commit has when the sweep begins are had by none ever after, and dropping them needs no look.

It may end at any point, by a signal or by a cut of power: a batch is taken whole, with its receipt, or not at all; a
stub never has a child that is none; and rows that were not swept yet are found by the next run.
"""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import TypeVar

import anyio.to_thread

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.times import SECOND
from asg_mcp.core.values import JsonValue, encode
from asg_mcp.errors import StorageError, StoreCorrupt
from asg_mcp.repo.collectingmarks import OWED, History, Marks, Moment, is_overdue, moment_of
from asg_mcp.repo.collectingresults import Collected, CollectRequest
from asg_mcp.repo.collectingrows import Rows, last_row, value_bytes
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.records import info_of, is_pruned, operations_of, staying_terms, stub_of, terms_for
from asg_mcp.repo.speculation import expire
from asg_mcp.storage.base import CommitRow, Reader, Rewriter, Store, Writer

Progress = Callable[[str, int, int], None]
"""(what is being done, how much is done, how much there is)"""

PAGE_COMMITS = 500
PAGE_EVENTS = 1_000
"""Read in one read transaction: a longer one would keep the log of writes from being emptied."""
BATCH_SECONDS = 0.01
"""How long one transaction takes things in, on the writer's thread; writing them out takes about as long again."""
BATCH_COMMITS_MAX = 200
"""Of one transaction, and so of one receipt."""
BATCH_ROWS_MAX = 1_000
PAUSE_SECONDS = 0.005
"""Between two transactions, in which others write: the lock is had in turns anyway."""
EXPIRED_BATCH_MAX = 50
CATCH_UP_EVENTS_MAX = 100
"""Events that others wrote since, of which a pruning transaction takes in no more while others wait."""
MARK_TRIES_MAX = 3
"""Another run of garbage collection may take what this one saw: then it looks again."""
SHOWN_MAX = 20
"""Commits that a report names."""


T = TypeVar("T")


@dataclass(slots=True)
class _Todo:
    """How far the pruning has come."""

    doomed: array[int]
    left: int
    """How many of the doomed, from the first on, were not looked at yet."""
    seen: int
    """Events that were taken in."""


@dataclass(frozen=True, slots=True)
class _Batch:
    left: int
    seen: int
    taken: tuple[CommitRow, ...] = ()
    bytes: int = 0


@dataclass(slots=True)
class Collection:
    """One run of garbage collection over an open store."""

    store: Store
    request: CollectRequest
    author: Author
    progress: Progress
    _history: History = field(default_factory=History)
    _done: Collected = field(default_factory=Collected)

    async def run(self) -> Collected:
        """Do it, or rehearse it. Raises LimitExceeded, StoreCorrupt and what `Store.rewrite` raises."""
        self.request.check()
        rehearse = self.request.rehearse
        found = await self.store.check()
        if not rehearse:
            await self._expire()
        moment = await self._read(moment_of)
        if rehearse:
            self._done = replace(self._done, expired=len(moment.overdue))
        marks = await self._marked(moment)
        doomed = marks.doomed()
        await self._describe(doomed)
        if rehearse:
            tried = sum(marks.was_tried(seq) for seq in doomed)
            held = await self._bytes_of(doomed)
            self._count(tried=tried, unreached=len(doomed) - tried, bytes=held)
        else:
            await self._prune(marks, _Todo(doomed, len(doomed), moment.events))
        nodes, values, size = await self._unneeded(doomed if rehearse else array("q"))
        self._count(bytes=size, nodes=len(nodes), values=len(values))
        if not rehearse:
            await self._sweep(nodes, values, size)
            if self.request.shrink and (nodes or values or self._done.commits or marks.owes_shrink):
                await self._shrink(found.file_bytes + found.wal_bytes)
        return self._done

    # --- ends that were not recorded ---

    async def _expire(self) -> None:
        moment = await self._read(moment_of)
        for start in range(0, len(moment.overdue), EXPIRED_BATCH_MAX):
            names = [ref.name for ref in moment.overdue[start : start + EXPIRED_BATCH_MAX]]

            def work(writer: Writer, names: list[str] = names) -> int:
                count = 0
                for name in names:
                    ref = writer.ref(name)
                    if ref is not None and is_overdue(writer, ref):
                        expire(writer, ref, self.author)
                        count += 1
                return count

            self._count(expired=await self.store.write(work))

    # --- marking ---

    async def _marked(self, moment: Moment) -> Marks:
        await self._read_history(moment.last)
        request = self.request
        grace = request.grace_seconds * SECOND
        marks = Marks(self._history, moment, grace, prune=request.prune, rehearsal=request.rehearse)
        for first in range(0, moment.events, PAGE_EVENTS):
            end = min(first + PAGE_EVENTS, moment.events)
            await self._read(partial(marks.read_events, first=first, end=end))
            self.progress("events", end, moment.events)
        await self._read(marks.finish)
        self._done = replace(self._done, within_grace=marks.within_grace)
        return marks

    async def _read_history(self, last: int) -> None:
        while self._history.last < last:
            upto = min(self._history.last + PAGE_COMMITS, last)
            await self._read(partial(self._history.read_on, upto=upto))
            self.progress("commits", upto, last)

    async def _describe(self, doomed: array[int]) -> None:
        newest = doomed[: -SHOWN_MAX - 1 : -1]
        shown = await self._read(lambda reader: tuple(info_of(reader, reader.commit(seq)) for seq in newest))
        self._done = replace(self._done, shown=shown)

    async def _bytes_of(self, doomed: array[int]) -> int:
        total = 0
        for start in range(0, len(doomed), PAGE_COMMITS):
            page = doomed[start : start + PAGE_COMMITS]
            total += await self._read(partial(_held_by, seqs=page))
        return total

    # --- pruning ---

    async def _prune(self, marks: Marks, todo: _Todo) -> None:
        total = todo.left
        while todo.left:
            # What others wrote meanwhile is taken in on a reader, and the transaction has to look at the last of it.
            while await self._read(_events_count) - todo.seen > CATCH_UP_EVENTS_MAX:
                todo.seen = await self._read(partial(marks.take_in, since=todo.seen))
            batch = await self.store.rewrite(lambda rewriter: self._prune_some(rewriter, marks, todo))
            todo.left, todo.seen = batch.left, batch.seen
            for row in batch.taken:
                self._history.root_rows[row.seq] = 0
            tried = sum(marks.was_tried(row.seq) for row in batch.taken)
            self._count(tried=tried, unreached=len(batch.taken) - tried, bytes=batch.bytes)
            self.progress("pruned", total - todo.left, total)
            await asyncio.sleep(PAUSE_SECONDS)

    def _prune_some(self, rewriter: Rewriter, marks: Marks, todo: _Todo) -> _Batch:
        """Make stubs of the last of the doomed, which are the newest: what descends from a stub is one already."""
        seen, left = marks.take_in(rewriter, todo.seen), todo.left
        taken: list[CommitRow] = []
        size = 0
        until = time.monotonic() + BATCH_SECONDS
        while left and len(taken) < BATCH_COMMITS_MAX and time.monotonic() < until:
            left -= 1
            seq = todo.doomed[left]
            row = rewriter.commit(seq)
            if marks.keeps(seq) or is_pruned(row):
                continue
            taken.append(row)
            size += _held(row)
            self._make_stub(rewriter, row)
        if taken:
            ids = [row.id.hex() for row in taken]
            self._receipt(rewriter, ids, {"commits": len(ids), "nodes": 0, "values": 0}, size)
        return _Batch(left, seen, tuple(taken), size)

    def _make_stub(self, rewriter: Rewriter, row: CommitRow) -> None:
        info = info_of(rewriter, row)
        stub = stub_of(rewriter, row, self.store.hasher)
        terms = terms_for(info, operations_of(row)), staying_terms(info_of(rewriter, stub))
        rewriter.replace_commit(stub, terms, (f"{info.description}\n{info.reasoning}", ""))

    def _receipt(
        self,
        writer: Writer,
        ids: list[str],
        counts: dict[str, int],
        size: int,
        more: Mapping[str, JsonValue] = MappingProxyType({}),
    ) -> None:
        request = self.request
        body = {
            "reason": request.reason,
            "prune": request.prune,
            "grace_seconds": request.grace_seconds,
            "commits": ids,
            "counts": counts,
            "bytes": size,
            OWED: request.shrink,  # whoever is killed before that leaves it to the next run
            **more,
        }
        log_event(writer, EventKind.COLLECTED, self.author, body=body)

    # --- sweeping ---

    async def _unneeded(self, doomed: array[int]) -> tuple[array[int], array[int], int]:
        """The rows of nodes and of large values that no commit has but the doomed, and their bytes."""
        for _ in range(MARK_TRIES_MAX):
            rows = await self._rows(doomed)
            if await anyio.to_thread.run_sync(rows.mark):
                break
            self._history = History()
        else:
            raise StoreCorrupt("Rows that commits need are missing, so nothing was swept", what="nodes")
        nodes, values = array("q"), rows.unneeded_values()
        size = 0
        for row, held in rows.unneeded_nodes():
            nodes.append(row)
            size += held
        for start in range(0, len(values), BATCH_ROWS_MAX):
            page = values[start : start + BATCH_ROWS_MAX]
            size += await self._read(partial(value_bytes, rows=page))
        return nodes, values, size

    async def _rows(self, doomed: array[int]) -> Rows:
        # Whatever commit comes later has only rows of commits that are not stubs by then, and new ones.
        last, newest = await self._read(lambda reader: (last_row(reader), reader.last_seq()))
        await self._read_history(newest)
        rows = Rows(last)
        while await self._read(rows.read_nodes):
            self.progress("rows", rows.done, last)
        while await self._read(rows.read_values):
            pass
        self.progress("rows", last, last)
        history = self._history
        gone = bytearray(history.last + 1)
        for seq in doomed:
            gone[seq] = 1
        rows.keep(row for seq, row in enumerate(history.root_rows) if not gone[seq])
        kept = zip(history.owners, history.values, strict=True)
        rows.keep(row for seq, row in kept if history.root_rows[seq] and not gone[seq])
        return rows

    async def _sweep(self, nodes: array[int], values: array[int], size: int) -> None:
        total = len(nodes) + len(values)
        done = 0
        while done < total:

            def work(rewriter: Rewriter, done: int = done) -> int:
                if not done:
                    self._receipt(rewriter, [], {"commits": 0, "nodes": len(nodes), "values": len(values)}, size)
                return _sweep_some(rewriter, nodes, values, done)

            done = await self.store.rewrite(work)
            self.progress("swept", done, total)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _shrink(self, before: int) -> None:
        try:
            _, after = await self.store.shrink()
            self._done = replace(self._done, sizes=(before, after))
            none = dict.fromkeys(("commits", "nodes", "values"), 0)
            told: dict[str, JsonValue] = {OWED: False, "file_bytes": [before, after]}
            await self.store.write(lambda writer: self._receipt(writer, [], none, 0, told))
        except StorageError as error:  # all else is done, and stays so
            self._done = replace(self._done, not_shrunk=f"{error.message}. {error.hint}".strip())

    # --- helpers ---

    def _count(self, **more: int) -> None:
        self._done = replace(self._done, **{name: getattr(self._done, name) + count for name, count in more.items()})

    async def _read(self, work: Callable[[Reader], T]) -> T:
        """What `work` makes of one moment of the file, on a thread, past all caches."""

        def read() -> T:
            with self.store.reading(stored=True) as reader:
                return work(reader)

        return await anyio.to_thread.run_sync(read)


def _sweep_some(rewriter: Rewriter, nodes: array[int], values: array[int], done: int) -> int:
    """Drop some of the rows, from place `done` on; what another run has dropped is passed over. The place after."""
    until = time.monotonic() + BATCH_SECONDS
    first, end = done, min(done + BATCH_ROWS_MAX, len(nodes) + len(values))
    gone_nodes, gone_values = [], []
    while done < end and (done == first or time.monotonic() < until):
        if done < len(nodes):
            row = nodes[done]
            if [found for found, _ in rewriter.node_rows(row - 1, 1)] == [row]:
                gone_nodes.append(row)
        else:
            row = values[done - len(nodes)]
            if rewriter.blob_rows(row - 1, 1) == [row]:
                gone_values.append(row)
        done += 1
    rewriter.drop_nodes(gone_nodes)
    rewriter.drop_blobs(gone_values)
    return done


def _events_count(reader: Reader) -> int:
    return reader.events_count()


def _held_by(reader: Reader, seqs: Iterable[int]) -> int:
    return sum(_held(reader.commit(seq)) for seq in seqs)


def _held(row: CommitRow) -> int:
    """The bytes of what a commit says that its stub does not."""
    return len(encode(row.parts[10:13]))
