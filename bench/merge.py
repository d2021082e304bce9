"""What a merge of two long branches costs, against single commits on the same store.

    python bench/merge.py [--commits 10000] [--keys 100000] [--differ 100] [--rounds 5] [--json]

Two branches of 10,000 commits each, from one map of 100,000 keys, come to differ in 100
keys: each side changed 50 of them over and over. One merge brings the one into the other;
100 single commits change one key each. Both are durable when they are answered
(synchronous=FULL), one caller, measured in turns; a ratio is the median of the paired
ratios. A merge is warm on a store that merged before, and cold where it is the first
thing done after the store was opened: then nothing of either branch is in memory. The
100 commits are the same for both. Ends with 1 when either merge takes longer than they.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from time import perf_counter

from workload import Writers, flat_map, set_leaf

from asg_mcp.app import open_repository
from asg_mcp.core.operations import Op, Operation
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import MergeRequest, Repository

CALLERS = 64
TARGET = 1.0


async def build(repo: Repository, writers: Writers, commits: int, keys: int, differ: int) -> list[str]:
    """`main` and `side`, grown apart; the keys that each changed, half of them its own."""
    every = [f"key-{number:06}" for number in range(0, keys, keys // differ)][:differ]
    start = [Operation(Op.SET, ("map",), flat_map(keys))]
    await repo.commit("main", start, writers.intent(), writers.author(), Guard())
    await repo.branch("side", "branch", "main", writers.author())
    for ref, mine in (("main", every[::2]), ("side", every[1::2])):
        todo = iter(range(commits))

        async def call(ref: str = ref, mine: list[str] = mine, todo: Iterator[int] = todo) -> None:
            for number in todo:
                path = ("map", mine[number % len(mine)])
                await repo.commit(ref, set_leaf(path, number), writers.intent(), writers.author(), Guard())

        await asyncio.gather(*(call() for _ in range(CALLERS)))
        print(f"{ref}: {commits} commits", file=sys.stderr, flush=True)
    return every


async def merge_once(repo: Repository, writers: Writers, target: str, differ: int) -> float:
    """Seconds of one merge of `side` into a new branch."""
    await repo.branch(target, "branch", "main", writers.author())
    start = perf_counter()
    done = await repo.merge(MergeRequest("side", target), writers.intent(), writers.author(), Guard())
    taken = perf_counter() - start
    if not done.merged or done.changed != differ // 2:
        raise SystemExit(f"the merge changed {done.changed} paths")
    return taken


async def run(commits: int, keys: int, differ: int, rounds: int) -> dict[str, float]:
    """Seconds of a cold merge, a warm one and as many single commits as keys differ, and the ratios."""
    writers = Writers(1)
    cold: list[float] = []
    warm: list[float] = []
    singles: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "state.db"
        async with open_repository(file) as repo:
            changed = await build(repo, writers, commits, keys, differ)
        for turn in range(rounds):
            async with open_repository(file) as repo:
                cold.append(await merge_once(repo, writers, f"cold-{turn}", len(changed)))
                warm.append(await merge_once(repo, writers, f"warm-{turn}", len(changed)))
                await repo.branch(f"apart-{turn}", "branch", "main", writers.author())
                start = perf_counter()
                for number, key in islice(enumerate(changed), differ):
                    operations = set_leaf(("map", key), turn * differ + number + commits)
                    await repo.commit(f"apart-{turn}", operations, writers.intent(), writers.author(), Guard())
                singles.append(perf_counter() - start)
    return {
        "cold_merge_s": statistics.median(cold),
        "warm_merge_s": statistics.median(warm),
        f"commits_{differ}_s": statistics.median(singles),
        "cold_ratio": statistics.median(merge / single for merge, single in zip(cold, singles, strict=True)),
        "warm_ratio": statistics.median(merge / single for merge, single in zip(warm, singles, strict=True)),
    }


def main() -> None:
    """Print the figures; end with 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--commits", type=int, default=10_000)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--differ", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = asyncio.run(run(asked.commits, asked.keys, asked.differ, asked.rounds))
    if asked.json:
        print(json.dumps(figures))
    else:
        for name, figure in figures.items():
            print(f"{name:>16} {figure:10.4f}")
    raise SystemExit(max(figures["cold_ratio"], figures["warm_ratio"]) > TARGET)


if __name__ == "__main__":
    main()
