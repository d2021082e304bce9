"""What a garbage collection takes: seconds, memory, the file's size, and how long others wait for it.

    python bench/collecting.py [--commits 8000] [--keys 10000]
    python bench/collecting.py --commits 33000      some 131,000 nodes

Makes a store in which half of all commits were tried in speculations that were discarded, looks through it, and
collects them without a grace period, each in a process of its own, whose peak of memory is told above that of a process
that only opens the store. While it is collected another process sets one value after the other, and tells how long
each took; before that it does so alone, for the comparison.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import random
import resource
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.repo.collectingresults import CollectRequest
from asg_mcp.repo.repository import Guard
from asg_mcp.storage.sqlite import SqliteStore

CALLERS = 32
TRIALS = 4
"""Commits of one speculation, and as many on `main` beside them."""
ALONE_SECONDS = 2.0
AUTHOR = Author("local:bench", "bench", "bench")
INTENT = Intent(Category.REFINE, "Measure what a collection takes.", "The evidence is in the figures. " * 8)
Work = Callable[[Path, Any], Coroutine[Any, Any, Any]]


async def build(path: Path, commits_and_keys: tuple[int, int]) -> None:
    commits, keys = commits_and_keys
    rng = random.Random(1)

    def change() -> list[Operation]:
        return [Operation(Op.SET, ("m", f"k{rng.randrange(keys):05}"), rng.randrange(10**9))]

    async with open_repository(path) as repo:
        value = {f"k{number:05}": number for number in range(keys)}
        await repo.commit("main", [Operation(Op.SET, ("m",), value)], INTENT, AUTHOR, Guard())

        async def work(rounds: int) -> None:
            for _ in range(rounds):
                handle = (await repo.speculations.open("main", "t", AUTHOR)).handle
                for _ in range(TRIALS):
                    await repo.speculations.modify(handle, change(), AUTHOR)
                    await repo.commit("main", change(), INTENT, AUTHOR, Guard())
                await repo.speculations.discard(handle, "None.", AUTHOR)

        await asyncio.gather(*(work(commits // (2 * TRIALS * CALLERS)) for _ in range(CALLERS)))


async def collect(path: Path, rehearse: bool) -> str:
    """What one run took, its transactions, and the peak of memory above that before it."""
    turns: list[float] = []
    usual = SqliteStore._attempt

    def timed(store: SqliteStore, db: sqlite3.Connection, jobs: Any) -> bool:
        started = time.perf_counter()
        done = usual(store, db, jobs)
        turns.append(1_000 * (time.perf_counter() - started))
        return done

    async with open_repository(path, create=False) as repo:
        before, started = _peak(), time.perf_counter()
        setattr(SqliteStore, "_attempt", timed)  # noqa: B010 - a method is replaced, to look at the clock around it
        request = CollectRequest(0, rehearse=rehearse, reason="Measured.")
        done = await repo.collect(request, AUTHOR, lambda *_: None)
    took = time.perf_counter() - started
    told = f"{took:.1f} s, {done.commits} commits, {done.nodes} nodes, {_peak() - before} MB"
    return f"{told}, transactions of {_spread(turns)}, file {done.sizes}" if turns else told


async def write(path: Path, ended: Any) -> str:
    """How long sets take, until an event of another process is set."""
    took: list[float] = []
    async with open_repository(path, create=False) as repo:
        while not ended.is_set():
            started = time.perf_counter()
            await repo.commit("main", [Operation(Op.SET, ("w",), len(took))], INTENT, AUTHOR, Guard())
            took.append(1_000 * (time.perf_counter() - started))
    return f"{len(took)} sets of {_spread(took)}"


def _spread(values: list[float]) -> str:
    values = sorted(values)
    middle, late = values[len(values) // 2], values[len(values) * 99 // 100]
    return f"{middle:.1f} ms (99 of 100 below {late:.1f}, the longest {values[-1]:.1f})"


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1_024


def _run(work: Work, path: Path, given: Any, name: str) -> None:
    told = asyncio.run(work(path, given))
    sys.stdout.write(f"{name}: {told}\n" if told else "")
    sys.stdout.flush()


def apart(work: Work, path: Path, given: Any, name: str = "") -> multiprocessing.process.BaseProcess:
    """A process of its own that does the work and tells of it."""
    process = multiprocessing.get_context("spawn").Process(target=partial(_run, work, path, given, name))
    process.start()
    return process


@contextmanager
def writing(path: Path, name: str) -> Iterator[None]:
    """A writer in a process of its own, until the end of the block."""
    ended = multiprocessing.get_context("spawn").Event()
    writer = apart(write, path, ended, name)
    try:
        yield
    finally:
        ended.set()
        writer.join()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=8_000)
    parser.add_argument("--keys", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asg-bench-") as folder:
        os.environ[config.STATE_VARIABLE] = folder
        path = Path(folder) / "state.db"
        apart(build, path, (options.commits, options.keys)).join()
        apart(collect, path, True, "looked through").join()
        with writing(path, "writer alone"):
            time.sleep(ALONE_SECONDS)
        with writing(path, "writer beside"):
            collector = apart(collect, path, False, "collected")
            collector.join()
        return collector.exitcode or 0


if __name__ == "__main__":
    sys.exit(main())
