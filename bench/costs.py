"""What a write costs, and that neither history nor width makes it dearer.

    python bench/costs.py [--quick] [--json]

Prints, with the target beside each figure that has one:

history     a set in a store of 50,000 commits against one in a store of 500
width       a set in a flat map of 100,000 keys against one in a map of 100
disk        bytes a commit takes, for one-leaf changes of a 10,000-leaf document
            with about 400 bytes of intent (real prose; see workload.py)
floor       SQLite alone in the same run: one table, one row of path, value and intent
            a commit, synchronous=FULL, WAL
and reads, a blame 50,000 commits back, a diff, and 64 callers against one.

Every commit is durable before the next begins (synchronous=FULL), except where 64
callers wait at once. What is compared is measured in turns (one of each, over and
over), so that noise of the machine falls on both; a ratio is the median of the
paired ratios. CPU is that of the whole process, all threads. --quick uses 5,000
commits for 50,000 and fewer samples; its figures are for trying the program only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import random
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, process_time

from workload import Writers, as_json, cluster, flat_map, paths_of, set_leaf

from asg_mcp.app import open_repository
from asg_mcp.core.operations import Op, Operation
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import Repository

LEAVES = 10_000
SHORT_HISTORY, LONG_HISTORY = 500, 50_000
NARROW, WIDE = 100, 100_000
PAIRS = 1_000
READS = 2_000
DISK_COMMITS = 10_000
CALLERS = 64
TARGET_HISTORY, TARGET_WIDTH, TARGET_DISK = 1.3, 2.0, 1_000.0

Action = Callable[[], Awaitable[object]]
Path_ = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the result."""

    name: str
    figure: float
    unit: str
    n: int
    target: float | None = None

    @property
    def met(self) -> bool:
        return self.target is None or self.figure <= self.target


@dataclass(slots=True)
class Bench:
    """The figures so far, and the sizes of this run."""

    folder: Path
    long_history: int = LONG_HISTORY
    pairs: int = PAIRS
    disk_commits: int = DISK_COMMITS
    writers: Writers = field(default_factory=lambda: Writers(1))
    rows: list[Row] = field(default_factory=list)

    def add(self, name: str, figure: float, unit: str, n: int, target: float | None = None) -> None:
        self.rows.append(Row(name, figure, unit, n, target))
        say(f"{name}: {figure:,.2f} {unit}")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


# --- measuring ----------------------------------------------------------------


@dataclass(slots=True)
class Samples:
    """Wall and CPU seconds of each repetition."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    async def take(self, action: Action) -> None:
        cpu, wall = process_time(), perf_counter()
        await action()
        self.wall.append(perf_counter() - wall)
        self.cpu.append(process_time() - cpu)

    @property
    def wall_us(self) -> float:
        return statistics.median(self.wall) * 1e6

    @property
    def cpu_us(self) -> float:
        return statistics.median(self.cpu) * 1e6


def ratio(ours: list[float], base: list[float]) -> float:
    """The median of the paired ratios."""
    return statistics.median(a / b for a, b in zip(ours, base, strict=True))


async def in_turns(count: int, *actions: Action) -> list[Samples]:
    """Measure the actions in turns; the order changes every round, so that none always follows the same other."""
    samples = [Samples() for _ in actions]
    order = list(range(len(actions)))
    for _ in range(count):
        for number in order:
            await samples[number].take(actions[number])
        order.append(order.pop(0))
    return samples


# --- stores ---------------------------------------------------------------------


class Subject:
    """A store with a document in it, and the next change to make."""

    def __init__(self, repository: Repository, writers: Writers, paths: list[Path_]) -> None:
        self.repository = repository
        self.paths = paths
        self._writers = writers
        self._rng = random.Random(7)
        self._number = 0

    async def load(self, path: Path_, document: object) -> None:
        await self.commit([Operation(Op.SET, path, document)])  # type: ignore[arg-type]

    async def commit(self, operations: list[Operation]) -> None:
        intent, author = self._writers.intent(), self._writers.author()
        await self.repository.commit("main", operations, intent, author, Guard())

    async def set_one(self) -> None:
        """One leaf, chosen at random, gets a new value."""
        self._number += 1
        await self.commit(set_leaf(self._rng.choice(self.paths), self._number))

    async def set_many(self, count: int) -> None:
        """So many commits, by many callers at once."""
        for start in range(0, count, CALLERS):
            await asyncio.gather(*(self.set_one() for _ in range(min(CALLERS, count - start))))

    def some_path(self) -> Path_:
        return self._rng.choice(self.paths)


async def subject(bench: Bench, stack: AsyncExitStack, name: str, document: object, commits: int) -> Subject:
    """A new store with the document below /d and so many commits."""
    repository = await stack.enter_async_context(open_repository(bench.folder / f"{name}.db"))
    made = Subject(repository, bench.writers, [("d", *path) for path in paths_of(document)])  # type: ignore[arg-type]
    await made.load(("first",), "the first change")
    await made.load(("d",), document)
    started = perf_counter()
    await made.set_many(commits - 3)  # the store's own first commit, and these two
    say(f"[{name}: {commits} commits made in {perf_counter() - started:.0f} s]")
    return made


class Floor:
    """SQLite alone: a row of the same payload for each commit, as durable as ours."""

    def __init__(self, path: Path, writers: Writers, paths: list[Path_]) -> None:
        self.path = path
        self._db = sqlite3.connect(path, isolation_level=None)
        for setting in ("journal_mode = wal", "synchronous = full"):
            self._db.execute(f"PRAGMA {setting}")
        self._db.execute("CREATE TABLE history (seq INTEGER PRIMARY KEY, path TEXT, value TEXT, intent TEXT)")
        self._writers, self._paths = writers, paths
        self._rng = random.Random(7)
        self._number = 0

    async def set_one(self) -> None:
        self._number += 1
        text = as_json(self._writers.intent(), self._writers.author())
        row = ("/" + "/".join(self._rng.choice(self._paths)), f"changed-{self._number:08}", text)
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("INSERT INTO history (path, value, intent) VALUES (?, ?, ?)", row)
        self._db.execute("COMMIT")

    def close(self) -> None:
        self._db.close()


def bytes_at_rest(path: Path) -> int:
    """The database's pages in use, when the WAL is empty."""
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages, free, size = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in _PAGES)
    db.close()
    return int((pages - free) * size)


_PAGES = ("page_count", "freelist_count", "page_size")


# --- the measurements -------------------------------------------------------------


async def history_and_reads(bench: Bench) -> None:
    """A set at both ends of a long history, beside the floor; then reads of the long one."""
    document = cluster(LEAVES)
    async with AsyncExitStack() as stack:
        young = await subject(bench, stack, "young", document, SHORT_HISTORY)
        old = await subject(bench, stack, "old", document, bench.long_history)
        floor = Floor(bench.folder / "floor.db", bench.writers, old.paths)
        stack.callback(floor.close)
        await in_turns(20, young.set_one, old.set_one, floor.set_one)
        first, last, base = await in_turns(bench.pairs, young.set_one, old.set_one, floor.set_one)
        bench.add(f"set at {SHORT_HISTORY:,} commits", first.wall_us, "µs", bench.pairs)
        bench.add(f"set at {bench.long_history:,} commits", last.wall_us, "µs", bench.pairs)
        bench.add("  long / short history", ratio(last.wall, first.wall), "x", bench.pairs, TARGET_HISTORY)
        bench.add("  the same in CPU", ratio(last.cpu, first.cpu), "x", bench.pairs, TARGET_HISTORY)
        bench.add("SQLite floor, one row", base.wall_us, "µs", bench.pairs)
        bench.add("  set / floor", ratio(last.wall, base.wall), "x", bench.pairs)
        bench.add("CPU of a set", last.cpu_us, "µs", bench.pairs)
        bench.add("CPU of the floor's row", base.cpu_us, "µs", bench.pairs)
        await reads(bench, old)
        await callers(bench, old)


async def reads(bench: Bench, old: Subject) -> None:
    repository = old.repository

    async def get() -> None:
        await repository.get("main", old.some_path(), depth=None, max_bytes=4_096, cursor="")

    async def blame_of(path: Path_) -> None:
        await repository.blame("main", path, depth=0, history=False, limit=20, cursor="")

    found = await repository.blame("main", ("first",), depth=0, history=False, limit=20, cursor="")
    assert found.entries[0].commit.seq == 2, "the change long ago is not what blame names"
    count = min(READS, bench.pairs * 2)
    await in_turns(count // 4, get, lambda: blame_of(old.some_path()))
    got, blamed, long_ago = await in_turns(count, get, lambda: blame_of(old.some_path()), lambda: blame_of(("first",)))
    bench.add("get of a leaf, warm", got.wall_us, "µs", count)
    bench.add("blame of a leaf, warm", blamed.wall_us, "µs", count)
    bench.add(f"blame of a change {bench.long_history:,} commits back", long_ago.wall_us, "µs", count)


async def callers(bench: Bench, old: Subject) -> None:
    """Group commit: a round of 64 callers at once against one caller 64 times."""
    rounds = max(5, bench.pairs // 50)

    async def one_by_one() -> None:
        for _ in range(CALLERS):
            await old.set_one()

    alone, together = await in_turns(rounds, one_by_one, lambda: old.set_many(CALLERS))
    bench.add("commits a second, 1 caller", CALLERS / statistics.median(alone.wall), "/s", rounds)
    bench.add(f"commits a second, {CALLERS} callers", CALLERS / statistics.median(together.wall), "/s", rounds)
    bench.add("  64 callers / 1", ratio(alone.wall, together.wall), "x", rounds)


async def width(bench: Bench) -> None:
    """A set in a wide map against one in a narrow map; and a diff of ten changes in the wide one."""
    async with AsyncExitStack() as stack:
        narrow = await subject(bench, stack, "narrow", flat_map(NARROW), SHORT_HISTORY)
        wide = await subject(bench, stack, "wide", flat_map(WIDE), SHORT_HISTORY)
        await in_turns(20, narrow.set_one, wide.set_one)
        few, many = await in_turns(bench.pairs, narrow.set_one, wide.set_one)
        bench.add(f"set in a map of {NARROW:,}", few.wall_us, "µs", bench.pairs)
        bench.add(f"set in a map of {WIDE:,}", many.wall_us, "µs", bench.pairs)
        bench.add("  wide / narrow", ratio(many.wall, few.wall), "x", bench.pairs, TARGET_WIDTH)
        bench.add("  the same in CPU", ratio(many.cpu, few.cpu), "x", bench.pairs, TARGET_WIDTH)

        async def diff() -> None:
            found = await wide.repository.diff("main~10", "main", (), limit=100, cursor="")
            assert len(found.changes) == 10, "ten changes were made"

        for path in random.Random(3).sample(wide.paths, 10):
            await wide.commit(set_leaf(path, -1))
        (taken,) = await in_turns(min(READS, bench.pairs) // 4, diff)
        bench.add(f"diff of 10 changes in {WIDE:,} keys", taken.wall_us, "µs", len(taken.wall))


async def disk(bench: Bench) -> None:
    """The bytes that commits add to the file, at rest."""
    document = cluster(LEAVES)
    path, count = bench.folder / "disk.db", bench.disk_commits
    async with AsyncExitStack() as stack:
        made = await subject(bench, stack, "disk", document, SHORT_HISTORY)
    before = bytes_at_rest(path)
    async with open_repository(path) as repository:
        made.repository = repository
        await made.set_many(count)
    bench.add("bytes on disk a commit", (bytes_at_rest(path) - before) / count, "B", count, TARGET_DISK)
    floor = Floor(bench.folder / "floor-disk.db", bench.writers, made.paths)
    for _ in range(count):
        await floor.set_one()
    floor.close()
    bench.add("  bytes a row, SQLite floor", bytes_at_rest(floor.path) / count, "B", count)
    texts = [len(as_json(bench.writers.intent(), bench.writers.author()).encode()) for _ in range(200)]
    bench.add("  bytes of an intent as JSON", statistics.mean(texts), "B", len(texts))
    for table, size in sizes_by_table(path):
        bench.add(f"  in {table}, all commits", size / (count + SHORT_HISTORY), "B", count + SHORT_HISTORY)


def sizes_by_table(path: Path) -> list[tuple[str, int]]:
    """Bytes of each table and index, largest first; nothing where SQLite was built without dbstat."""
    with sqlite3.connect(path) as db:
        try:
            sizes = db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC LIMIT 6").fetchall()
        except sqlite3.OperationalError:
            sizes = []
    db.close()
    return sizes


# --- the command --------------------------------------------------------------------


def machine() -> str:
    return (
        f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()} "
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )


def show(rows: list[Row]) -> None:
    print(f"{'':46}{'figure':>12}      {'n':>6}  target")
    for row in rows:
        target = "" if row.target is None else f"<= {row.target:,.1f} {'met' if row.met else 'MISSED'}"
        print(f"{row.name:46}{row.figure:12,.2f} {row.unit:4} {row.n:6,}  {target}")


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="smaller stores and fewer samples")
    parser.add_argument("--json", action="store_true", help="the figures as one JSON document")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asg-bench-") as folder:
        bench = Bench(Path(folder))
        if options.quick:
            bench.long_history, bench.pairs, bench.disk_commits = 5_000, 150, 1_000
        say(machine())
        for measure in (disk, width, history_and_reads):
            await measure(bench)
    if options.json:
        named = [{"name": row.name.strip(), "figure": row.figure, "unit": row.unit, "n": row.n} for row in bench.rows]
        print(json.dumps({"machine": machine(), "rows": named}, indent=1))
    else:
        print(machine())
        show(bench.rows)
    return 0 if all(row.met for row in bench.rows) else 1


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
