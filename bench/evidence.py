"""Clean bundles of random histories all verify; random forgeries are all rejected, with the right property named.

    python bench/evidence.py [BUNDLES [FORGERIES [SEED]]]        1,000 and 10,000 unless given; about 10 minutes

Each bundle is verified by the verifier alone, as a stranger would: pure Python, no library.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from random import Random

import anyio

sys.path.insert(0, str(Path(__file__).parents[1]))

from asg_mcp.evidence import verify as v
from asg_mcp.services.bundles import verifier_source
from tests.evidence.forging import ARCHIVE, forged, verdict
from tests.evidence.histories import random_bundle


def one(job: tuple[int, int]) -> tuple[Counter[str], list[str], float, int, int]:
    """One bundle and its forgeries: how many of each kind, what was judged wrong, seconds, bytes, commits."""
    seed, forgeries = job
    own = verifier_source()
    with tempfile.TemporaryDirectory() as folder:
        made = anyio.run(random_bundle, Path(folder), seed)
    counts, wrong = Counter[str](), []
    begin = time.perf_counter()
    found = verdict(made.data, made.key, own)
    seconds = time.perf_counter() - begin
    if found:
        wrong.append(f"seed {seed}: clean, and {sorted(found)} violated")
    files = {name: bytes(data) for name, data in v.opened_archive(made.data).items()}
    random = Random(seed)
    for number in range(forgeries):
        name, data, wanted = forged(files, made.data, random)
        found = verdict(data, made.key, own)
        counts[name] += 1
        if not found & wanted or (name == "bytes of the archive" and found != ARCHIVE):
            wrong.append(f"seed {seed}, forgery {number}: {name}: found {sorted(found)}, wanted {sorted(wanted)}")
    return counts, wrong, seconds, len(made.data) - len(own), made.commits


def main() -> int:
    """Print the figures; 1 when anything was judged wrong."""
    given = [int(text) for text in sys.argv[1:]]
    bundles, forgeries, seed = (*given, *(1_000, 10_000, 0)[len(given) :])
    jobs = [
        (seed + number, (number + 1) * forgeries // bundles - number * forgeries // bundles)
        for number in range(bundles)
    ]
    counts, wrong, seconds, sizes, commits = Counter[str](), [], 0.0, [], 0
    begin = time.perf_counter()
    with ProcessPoolExecutor(os.cpu_count()) as pool:
        for made, faults, took, size, members in pool.map(one, jobs, chunksize=4):
            counts += made
            wrong += faults
            seconds += took
            sizes.append(size)
            commits += members
    for name, count in sorted(counts.items()):
        print(f"{count:6} {name}")
    print(f"{bundles} clean bundles, {commits} commits, {sorted(sizes)[bundles // 2]} bytes without verify.py (median)")
    print(f"{counts.total()} forgeries of {len(counts)} kinds; {len(wrong)} judged wrong")
    print(f"{seconds / bundles * 1_000:.0f} ms to verify one; {time.perf_counter() - begin:.0f} s in all")
    for fault in wrong:
        print(fault)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
