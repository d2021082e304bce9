"""Kill garbage collections and backups with SIGKILL at random moments while others write, and look at what they leave.

    python -m tests.faults.gc_kill --kills 6
    python -m tests.faults.gc_kill --kills 100 --seed 7

A round starts two writers, garbage collections one after the other without a grace period, and
a backup, and kills all of them: the collection and the backup at one random moment, the
writers with them. The writers try things in speculations, end them in every way, bring ended
trials back by branches, merges and restores, and delete branches, so that the collection
always has something to take away and somebody who just then wants it back. Then the store is
read whole: every write that was acknowledged on `main` is there under its own commit; every
branch and speculation that a writer was told of holds what it held, and every ref of the
store can be read to its last value; it verifies; and the next collection takes nothing of that.
Every backup that looks complete restores to the root that was reported. Ten rounds share a file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import REPLY_BYTES_ASKED_MAX
from asg_mcp.core.operations import Op, Operation
from asg_mcp.errors import AsgError, Pruned
from asg_mcp.repo import collecting
from asg_mcp.repo.collectingresults import CollectRequest
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.requests import MergeRequest, PromoteRequest, RevertRequest
from asg_mcp.repo.resolve import resolve_ref
from asg_mcp.repo.view import View
from tests.faults import backup_kill
from tests.faults.backup_kill import complete_in, ended, in_child, silent
from tests.faults.kill import forked

WRITERS = 2
ROUNDS_OF_A_FILE = 10
DELAY_SECONDS_MAX = 0.9
"""A kill comes so long at most after the start: a few collections of such a store."""
PAUSE_SECONDS = 0.002
AUTHOR = Author("tester", "collector")
INTENT = Intent(Category.REFINE, "A write while garbage is collected")
LARGE = "large " * 500
_CHUNK = 65_536
_SEEDS = 1_000_000_000

Told = dict[str, Any]


# --- those who write --------------------------------------------------------------


class Worker:
    """One writer, which tells of each thing before it asks for it and when it was acknowledged."""

    def __init__(self, repository: Repository, name: str, into: int, seed: int) -> None:
        self.repository, self.name, self._into = repository, name, into
        # Whoever is killed leaves trials open, and a principal may have a hundred: so each process is one of its own.
        self._author = Author(f"tester-{seed}", name)
        self._rng = random.Random(seed)
        self._number = 0
        self._open: dict[str, str] = {}
        self._ended: list[str] = []
        self._branches: list[str] = []

    async def work(self) -> None:
        """Do random things for ever."""
        chores = (self._write, self._try, self._try, self._end, self._end, self._bring_back, self._merge, self._drop)
        while True:
            self._number += 1
            await self._rng.choice(chores)()
            await asyncio.sleep(PAUSE_SECONDS)

    def _tell(self, what: str, **more: Any) -> None:
        os.write(self._into, json.dumps({"what": what, **more}).encode() + b"\n")

    def _value(self) -> str:
        return f"{self.name}/{self._number} {LARGE if self._number % 3 else ''}"

    def _operation(self) -> list[Operation]:
        return [Operation(Op.SET, (self.name, str(self._number % 9)), self._value())]

    async def _write(self) -> None:
        [operation] = self._operation()
        done = await self.repository.commit("main", [operation], INTENT, self._author, Guard())
        self._tell("kept", ref=done.commit.hex(), path=operation.path, value=operation.value)

    async def _try(self) -> None:
        source = self._rng.choice(["main", *(f"spec:{handle}" for handle in self._open)])
        handle = (await self.repository.speculations.open(source, "t", self._author)).handle
        [operation] = self._operation()
        done = await self.repository.speculations.modify(handle, [operation], self._author)
        self._open[handle] = done.head.hex()
        self._tell("kept", ref=f"spec:{handle}", path=operation.path, value=operation.value)

    async def _end(self) -> None:
        if not self._open:
            return
        handle = self._rng.choice(list(self._open))
        self._tell("ends", ref=f"spec:{handle}")
        if self._number % 4:
            await self.repository.speculations.discard(handle, "", self._author)
        else:
            done = await self.repository.speculations.commit(
                PromoteRequest(handle, "main"), INTENT, self._author, Guard()
            )
            if done.conflicts:
                return
        self._ended.append(self._open.pop(handle))

    async def _bring_back(self) -> None:
        """Give an ended trial a name again, or take its values over, if it is still there."""
        if not self._ended:
            return
        tried = self._ended.pop(self._rng.randrange(len(self._ended)))
        try:
            if self._number % 3 == 0:
                request = RevertRequest(ref="main", path=(self.name,), source=tried)
                await self.repository.revert(request, INTENT, self._author, Guard())
                return
            name = f"{self.name}-{self._number}"
            await self.repository.branch(name, "branch", tried, self._author)
        except Pruned:
            return
        found = await self.repository.get(name, (self.name,), depth=None, max_bytes=REPLY_BYTES_ASKED_MAX, cursor="")
        self._branches.append(name)
        self._tell("kept", ref=name, path=(self.name,), value=found.value)

    async def _merge(self) -> None:
        if self._branches:
            request = MergeRequest(self._rng.choice(self._branches), "main", strategy="theirs")
            await self.repository.merge(request, INTENT, self._author, Guard())

    async def _drop(self) -> None:
        if len(self._branches) > 2:
            name = self._branches.pop(self._rng.randrange(len(self._branches)))
            self._tell("ends", ref=name)
            await self.repository.delete_branch(name, self._author)


async def _write_on(store: Path, name: str, seed: int, into: int) -> None:
    async with open_repository(store) as repository:
        await Worker(repository, name, into, seed).work()


async def _collect_on(store: Path, seed: int) -> None:
    """Collections until it is killed, some of them with what deleted branches held, and some with a new file."""
    rng = random.Random(seed)
    collecting.BATCH_COMMITS_MAX, collecting.BATCH_ROWS_MAX = rng.choice(((2, 5), (200, 1_000)))
    while True:
        async with open_repository(store) as repository:
            await collect(repository, prune=rng.random() < 0.5, shrink=rng.random() < 0.3)


async def collect(repository: Repository, *, prune: bool, shrink: bool) -> None:
    """One collection of all that may go."""
    request = CollectRequest(0, prune=prune, rehearse=False, shrink=shrink, reason="Killed any moment.")
    await repository.collect(request, AUTHOR, silent)


async def make(store: Path) -> None:
    """A store with a state of some nodes."""
    async with open_repository(store) as repository:
        value = {f"key-{number}": {"value": number, "text": "x" * 40} for number in range(300)}
        await repository.commit("main", [Operation(Op.SET, ("all",), value)], INTENT, AUTHOR, Guard())


# --- what must hold ---------------------------------------------------------------


@dataclass
class Model:
    """What the writers of one file were told."""

    kept: list[Told] = field(default_factory=list)
    ended: set[str] = field(default_factory=set)
    """Refs whose end was asked for: they may be there or not."""

    def take_in(self, lines: list[Told]) -> None:
        self.kept += [line for line in lines if line["what"] == "kept"]
        self.ended |= {line["ref"] for line in lines if line["what"] == "ends"}


async def look(store: Path, model: Model) -> None:
    """Raise AssertionError where something is not as it must be, before a further collection or after it."""
    async with open_repository(store, create=False) as repository:
        for _ in range(2):
            await _read_all(repository)
            for line in model.kept:
                await _look_at(repository, line, may_be_gone=line["ref"] in model.ended)
            report = await repository.verify(silent)
            assert report.ok, report.problems
            await collect(repository, prune=False, shrink=False)


async def _look_at(repository: Repository, line: Told, *, may_be_gone: bool) -> None:
    try:
        found = await repository.get(
            line["ref"], tuple(line["path"]), depth=None, max_bytes=REPLY_BYTES_ASKED_MAX, cursor=""
        )
    except AsgError as error:
        assert may_be_gone and error.code in ("handle_not_found", "ref_not_found", "commit_not_found"), (line, error)
        return
    assert found.value == line["value"], f"{line['ref']} has another value than was acknowledged"


async def _read_all(repository: Repository) -> None:
    """Read every ref, and every commit that it reaches, to the last value."""

    def work(view: View) -> None:
        seen: set[int] = set()
        after = ""
        while page := view.reader.refs("", after, 500):
            after = page[-1].name
            for ref in page:
                row = resolve_ref(view.reader, Graph(), view.reader.commit(ref.seq).id.hex())
                seen |= set(view.reach(row).descending(row.seq + 1))
        for seq in sorted(seen):
            state = view.state_of(seq)
            state.value(state.root())

    await repository.read(work)


# --- rounds -----------------------------------------------------------------------


def _lines(told: bytes) -> list[Told]:
    """What was told; a line that was cut off by the end was not."""
    return [json.loads(line) for line in told.split(b"\n")[:-1]]


def _piped(work: Callable[[int], Coroutine[Any, Any, None]]) -> tuple[int, int]:
    """The pid of a process that does some work, and the pipe on which it tells."""
    out, into = os.pipe()
    pid = forked(lambda: asyncio.run(work(into)))
    os.close(into)
    return pid, out


def round_of(store: Path, folder: Path, number: int, rng: random.Random) -> tuple[list[Told], list[Told]]:
    """One round: what the writers were told, and what the backup reported."""
    names = [f"w{number}-{index}" for index in range(WRITERS)]
    writers = [_piped(partial(_write_on, store, name, rng.randrange(_SEEDS))) for name in names]
    collector = forked(partial(_collecting, store, rng.randrange(_SEEDS)))
    backup, reports = backup_kill.started(store, folder)
    try:
        told = _drained([pipe for _, pipe in writers], rng.uniform(0.02, DELAY_SECONDS_MAX))
    finally:
        for victim in (collector, backup, *(pid for pid, _ in writers)):
            os.kill(victim, signal.SIGKILL)
    for pid in (collector, *(pid for pid, _ in writers)):
        _, status = os.waitpid(pid, 0)
        assert os.WIFSIGNALED(status), "a process ended by itself; see above"
    os.waitpid(backup, 0)
    for pipe, early in told.items():
        with os.fdopen(pipe, "rb") as rest:
            told[pipe] = early + rest.read()
    return [line for early in told.values() for line in _lines(early)], ended(reports)


def _drained(pipes: list[int], seconds: float) -> dict[int, bytes]:
    """What is told within some seconds: a pipe that nobody reads would stop its writer."""
    told = dict.fromkeys(pipes, b"")
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        for pipe in select.select(pipes, [], [], left)[0]:
            told[pipe] += os.read(pipe, _CHUNK)
    return told


def _collecting(store: Path, seed: int) -> None:
    asyncio.run(_collect_on(store, seed))


def run(kills: int, seed: int, folder: Path) -> tuple[int, int, int]:
    """How many things were acknowledged, commits collected, and backups complete; raises at the first fault."""
    rng = random.Random(seed)
    acknowledged = complete = 0
    model = Model()
    collected: list[int] = []
    store = backups = folder
    for number in range(kills):
        if number % ROUNDS_OF_A_FILE == 0:
            model = Model()
            store, backups = folder / f"{number}.db", folder / f"{number}.backups"
            backups.mkdir()
            in_child(partial(make, store))
        told, reports = round_of(store, backups, number, rng)
        model.take_in(told)
        acknowledged += sum(line["what"] == "kept" for line in told)
        complete += len(complete_in(backups))
        try:
            in_child(partial(look, store, model))
            in_child(partial(backup_kill.look, store, backups, reports))
        except AssertionError as error:
            raise AssertionError(f"round {number} of seed {seed}, {store}: {error}") from error
        if (number + 1) % ROUNDS_OF_A_FILE == 0 or number + 1 == kills:
            collected.append(_stubs(store))
    return acknowledged, sum(collected), complete


def _stubs(store: Path) -> int:
    """How many commits of a store were collected; asked in a process of its own."""
    pid, pipe = _piped(partial(_tell_stubs, store))
    with os.fdopen(pipe, "rb") as told:
        [line] = _lines(told.read())
    os.waitpid(pid, 0)
    return int(line["pruned"])


async def _tell_stubs(store: Path, into: int) -> None:
    async with open_repository(store, create=False) as repository:
        report = await repository.verify(silent)
        os.write(into, json.dumps({"pruned": report.counts["pruned_commits"]}).encode() + b"\n")


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asg-gc-kill-") as folder:
        os.environ[config.STATE_VARIABLE] = str(Path(folder) / "state")
        acknowledged, collected, complete = run(options.kills, options.seed, Path(folder))
    sys.stdout.write(
        f"{options.kills} kills of a collection and a backup, {acknowledged} writes acknowledged, {collected} commits"
        f" collected, {complete} backups complete; nothing that is reached was lost\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
