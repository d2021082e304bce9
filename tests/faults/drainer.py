"""A process whose workers drain a plan and tell of each task that they started, once it is acknowledged.

    python -m tests.faults.drainer FILE PLAN NAME WORKERS

It says when it has the store open, and begins when its input ends, so that all begin together. One line a task on
standard output, as JSON: the worker and the task's id. A worker completes what it started, takes the next, and ends
when none is ready.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author
from asg_mcp.repo.repository import Repository
from asg_mcp.services.identity import Acting
from asg_mcp.services.nexttask import NextTask, next_task
from asg_mcp.services.tasks import Action, Proof, ProofKind, Update, update_task

READY = b"ready\n"
PROVEN = Proof(ProofKind.TEXT, "drained")


async def drain(path: Path, plan: str, name: str, workers: int) -> None:
    """Work until nothing is ready."""
    async with open_repository(path) as repo:
        assert os.write(sys.stdout.fileno(), READY) == len(READY)
        await asyncio.to_thread(sys.stdin.read)
        # All workers of a process have one name: it must not be what keeps them apart.
        await asyncio.gather(*(_work(repo, plan, Acting(Author("tester", name)), number) for number in range(workers)))


async def _work(repo: Repository, plan: str, who: Acting, number: int) -> None:
    while True:
        done = await next_task(repo, "main", NextTask(plan, claim=True), who, "")
        if "task" not in done.answer:
            return
        task = done.answer["task"]["id"]
        line = json.dumps([f"{who.author.agent}-{number}", task]).encode() + b"\n"
        assert os.write(sys.stdout.fileno(), line) == len(line)
        await update_task(repo, "main", Update(plan, task, Action.COMPLETE, PROVEN), who, "")


if __name__ == "__main__":
    asyncio.run(drain(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])))
