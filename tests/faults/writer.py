"""A process that drives the repository and tells of each write on standard output once it is acknowledged.

    python -m tests.faults.writer FILE NAME COUNT

writes COUNT values in four tasks at once (so that they share commits of the
database) and ends. One line a write, as JSON: `kept` with the commit, path and
value, or `refused` with the value. Every tenth write is to /shared, on condition
that nobody else has written there since; those are what may be refused. A write
that the store failed is `refused` too, unless its outcome is `unknown`.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.errors import Conflict, StorageError, UnknownOutcome
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import Repository

TASKS = 4
PATHS_OF_A_TASK = 5
SHARED = ("shared",)
SHARED_ONE_IN = 10
READ_BYTES_MAX = 65_536
INTENT = Intent(Category.REFINE, "A write of the fault tests", reasoning="To see whether it is still there afterwards.")


@dataclass(frozen=True, slots=True)
class Told:
    """One line of a writer."""

    kind: str
    value: str
    path: str = ""
    commit: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        return tuple(self.path.split("/"))[1:]


Tell = Callable[[Told], None]


def telling_to(descriptor: int) -> Tell:
    """Write each line at once and whole; a process that is killed has told all that it was told."""

    def tell(told: Told) -> None:
        line = json.dumps([told.kind, told.value, told.path, told.commit]).encode() + b"\n"
        assert os.write(descriptor, line) == len(line)

    return tell


def told_in(output: bytes) -> list[Told]:
    """The lines that a writer finished."""
    return [Told(*json.loads(line)) for line in output.split(b"\n")[:-1]]


async def write(path: Path, name: str, count: int, tell: Tell) -> None:
    """Make `count` writes that are kept, in TASKS tasks."""
    async with open_repository(path) as repository:
        shares = [(count + number) // TASKS for number in range(TASKS)]
        writers = [_Writer(repository, f"{name}-{number}", tell) for number in range(TASKS)]
        await asyncio.gather(*(writer.work(share) for writer, share in zip(writers, shares, strict=True)))


class _Writer:
    def __init__(self, repository: Repository, name: str, tell: Tell) -> None:
        self._repository = repository
        self._name = name
        self._author = Author("tester", name)
        self._tell = tell

    async def work(self, count: int) -> None:
        kept = number = 0
        while kept < count:
            number += 1
            value = f"{self._name}/{number}"
            shared = number % SHARED_ONE_IN == 0
            keys = SHARED if shared else ("writers", self._name, str(number % PATHS_OF_A_TASK))
            guard = Guard(expected_head=await self._head()) if shared else Guard()
            try:
                operations = [Operation(Op.SET, keys, value)]
                result = await self._repository.commit("main", operations, INTENT, self._author, guard)
            except (Conflict, StorageError) as error:
                self._tell(Told("unknown" if isinstance(error, UnknownOutcome) else "refused", value))
                continue
            kept += 1
            self._tell(Told("kept", value, "/" + "/".join(keys), result.commit.short))

    async def _head(self) -> str:
        found = await self._repository.get("main", (), depth=0, max_bytes=READ_BYTES_MAX, cursor="")
        return found.commit.short


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), telling_to(sys.stdout.fileno())))
