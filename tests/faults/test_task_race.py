"""Ten workers in four processes drain one plan: each task is started exactly once."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

from tests.faults.drainer import READY
from tests.kit.processes import unmeasured_environment
from tests.services.plan_desk import open_plans

WORKERS = (3, 3, 2, 2)
"""Of each process."""
TASKS = 1_000
WAIT_SECONDS_MAX = 240.0


async def _start(store: Path, name: str, workers: int) -> asyncio.subprocess.Process:
    """A process that has the store open and waits for its input to end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.drainer", str(store), "p", name, str(workers)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=unmeasured_environment(),
    )
    assert process.stdout is not None
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        assert await process.stdout.readline() == READY
    return process


async def _drain(process: asyncio.subprocess.Process) -> list[tuple[str, str]]:
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        output, _ = await process.communicate(b"")
    assert process.returncode == 0
    return [tuple(json.loads(line)) for line in output.splitlines()]


async def test_ten_workers_in_four_processes_start_each_task_exactly_once(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan(*(f"Task {number}" for number in range(TASKS)))
    places = [_start(tmp_path / "state.db", f"process-{place}", workers) for place, workers in enumerate(WORKERS)]
    told = await asyncio.gather(*map(_drain, await asyncio.gather(*places)))
    started = Counter(task for lines in told for _, task in lines)
    assert started == Counter({f"t-{number}": 1 for number in range(1, TASKS + 1)})
    assert len({worker for lines in told for worker, _ in lines}) == sum(WORKERS), "some never worked"
    async with open_plans(tmp_path) as desk:
        plan = (await desk.plans())["p"]
        assert plan["counts"] == {"pending": 0, "in_progress": 0, "done": TASKS, "abandoned": 0}
        assert (await desk.repo.verify(lambda what, done, total: None)).problems == ()
