"""What the synchronous library costs above the core: a durable set by each, in turns, in the same run.

    python bench/library.py [--sets 100] [--rounds 25]

The core is `Repository.commit` awaited on an event loop, with SQLite's synchronous=FULL as ever; the library is
`StateGraph.set`: a hop to its loop's thread and back, arguments checked, a typed result. Both set one of 100 keys in a
new file of their own, and begin to count after the first WARM_UP sets. Many short rounds in turns: the machine's noise
falls on both sides of a pair. Prints the medians over the rounds, and the median of the paired ratios; ends with 1 when
it misses the target.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from asg_mcp import StateGraph
from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.repo.repository import Guard

KEYS = 100
WARM_UP = 20
TARGET = 1.3
WHY = "Measure what a set costs."
REASONING = "The figure belongs to the same run as the one it is compared with."


async def core_round(path: Path, sets: int) -> float:
    """Seconds a set, by the core."""
    author, started = Author("local:bench", "bench", "bench"), 0.0
    async with open_repository(path) as repo:
        for number in range(-WARM_UP, sets):
            if number == 0:
                started = time.perf_counter()
            intent = Intent(Category.CHECKPOINT, WHY, REASONING, 0.7)
            operation = Operation(Op.SET, ("keys", f"k{number % KEYS}"), number)
            await repo.commit("main", [operation], intent, author, Guard())
        return (time.perf_counter() - started) / sets


def library_round(path: Path, sets: int) -> float:
    """Seconds a set, by the library."""
    started = 0.0
    with StateGraph(path, agent="bench") as graph:
        for number in range(-WARM_UP, sets):
            if number == 0:
                started = time.perf_counter()
            graph.set(f"/keys/k{number % KEYS}", number, WHY, reasoning=REASONING, confidence=0.7)
        return (time.perf_counter() - started) / sets


def main() -> int:
    """Measure in turns and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sets", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=25)
    options = parser.parse_args()
    ways: dict[str, Callable[[Path], float]] = {
        "core": lambda path: asyncio.run(core_round(path, options.sets)),
        "library": lambda path: library_round(path, options.sets),
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            with tempfile.TemporaryDirectory() as folder:
                taken[name].append(ways[name](Path(folder) / "state.db"))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    for name, median in medians.items():
        print(f"{name:8} {median * 1e6:8.0f} µs a durable set")
    pairs = [library / core for core, library in zip(taken["core"], taken["library"], strict=True)]
    ratio = statistics.median(pairs)
    print(f"ratio    {ratio:8.2f} (median of {options.rounds} pairs; target {TARGET})")
    return int(ratio > TARGET)


if __name__ == "__main__":
    sys.exit(main())
