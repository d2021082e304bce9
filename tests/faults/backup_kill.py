"""Kill backups with SIGKILL at random moments while others write, and look at what they leave.

    python -m tests.faults.backup_kill --kills 20
    python -m tests.faults.backup_kill --kills 1000 --seed 7

A round starts two writers and one backup, and kills all three: the backup at a moment
between its start and somewhat after its end. Then every file in the folder that looks like a
backup must be one: it verifies, and its root is the one that was reported, if it was. It is
restored, and the restored log begins with that very root. The store itself opens, so its
mark is not ahead of it, and verifies. Ten rounds share a file.
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
from functools import partial
from pathlib import Path
from typing import Any

from asg_mcp import config
from asg_mcp.app import back_up, open_repository, restore
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.logtree import log_root
from asg_mcp.repo.marking import mark_of
from asg_mcp.repo.view import View
from tests.faults.kill import forked

WRITERS = 2
ROUNDS_OF_A_FILE = 10
WRITES_AT_FIRST = 60
PAUSE_SECONDS = 0.003
"""Between two writes of a writer: a store that grows without bound takes ever longer to verify."""
WAIT_SECONDS_MAX = 60.0
_FOREVER = 1_000_000_000
LATE = 8.0
"""A kill comes at a random moment of so many times what a backup takes alone, or once it has reported."""

Told = dict[str, Any]


def silent(_: str, __: int, ___: int) -> None:
    """Progress that nobody watches."""


async def write(store: Path, name: str, count: int) -> None:
    async with open_repository(store) as repository:
        for number in range(count):
            operations = [Operation(Op.SET, (name, str(number % 7)), f"{name}/{number}")]
            intent = Intent(Category.REFINE, "A write while a backup is made")
            await repository.commit("main", operations, intent, Author("tester", name), Guard())
            await asyncio.sleep(PAUSE_SECONDS)


async def tell_backup(store: Path, folder: Path, into: int) -> None:
    made = await back_up(store, folder, 0, silent)
    assert made.path is not None, made.report.problems
    told = {"path": str(made.path), "size": made.mark.size, "root": made.mark.root.hex()}
    os.write(into, json.dumps(told).encode())


def complete_in(folder: Path) -> list[Path]:
    """The files that whoever looks into the folder takes for backups."""
    return [file for file in folder.iterdir() if not file.name.startswith(".")]


async def look(store: Path, folder: Path, told: list[Told]) -> None:
    """Raise AssertionError where something is not as it must be."""
    reported = {one["path"]: one for one in told}
    files = complete_in(folder)
    assert set(reported) <= {str(file) for file in files}, "a backup that was reported is missing"
    for number, file in enumerate(files):
        to = folder.parent / f"{store.stem}-restored-{number}.db"
        made = await restore(file, to, Author("tester", "tester"), silent)
        assert made.path is not None, f"{file} looks complete, and does not verify: {made.report.problems}"
        expected = reported.get(str(file), {"size": made.mark.size, "root": made.mark.root.hex()})
        async with open_repository(to, create=False) as repository:
            size = int(expected["size"])
            root = await repository.read(partial(_root, size))
            assert root.hex() == expected["root"], f"{file} was reported with another root"
            now = await repository.read(lambda view: mark_of(view.reader))
            assert (now.size, len(now.origins)) == (size + 1, 2)
            report = await repository.verify(silent)
            assert report.ok, report.problems
        file.unlink()
        to.unlink()
    async with open_repository(store, create=False) as repository:  # not behind its mark
        report = await repository.verify(silent)
        assert report.ok, report.problems


def _root(size: int, view: View) -> bytes:
    return log_root(view.reader, size)


def in_child(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it in a process of its own, so that this one never has the store open."""
    _, status = os.waitpid(forked(lambda: asyncio.run(work())), 0)
    assert status == 0, "a child failed; see above"


def started(store: Path, folder: Path) -> tuple[int, int]:
    """The pid of a process that makes a backup, and the pipe on which it reports."""
    out, into = os.pipe()
    pid = forked(lambda: asyncio.run(tell_backup(store, folder, into)))
    os.close(into)
    return pid, out


def ended(pipe: int) -> list[Told]:
    """What was reported on the pipe before its end."""
    with os.fdopen(pipe, "rb") as reports:
        text = reports.read()
    return [json.loads(text)] if text else []


def _write_on(store: Path, name: str) -> None:
    asyncio.run(write(store, name, _FOREVER))


def round_of(store: Path, folder: Path, number: int, delay: float) -> list[Told]:
    """One round; what the backup reported before it was killed."""
    pids = [forked(partial(_write_on, store, f"w{number}-{index}")) for index in range(WRITERS)]
    pid, pipe = started(store, folder)
    select.select([pipe], [], [], delay)
    for victim in (pid, *pids):
        os.kill(victim, signal.SIGKILL)
        os.waitpid(victim, 0)
    return ended(pipe)


def run(kills: int, seed: int, folder: Path) -> tuple[int, int]:
    """How many backups were complete before their kill, and how many left only a folder behind."""
    rng = random.Random(seed)
    complete = left = 0
    took = 0.0
    for number in range(kills):
        store, backups = folder / f"{number // ROUNDS_OF_A_FILE}.db", folder / f"{number // ROUNDS_OF_A_FILE}.backups"
        if number % ROUNDS_OF_A_FILE == 0:
            backups.mkdir()
            in_child(partial(write, store, "first", WRITES_AT_FIRST))
            began = time.monotonic()
            pid, pipe = started(store, backups)
            [told] = ended(pipe)
            os.waitpid(pid, 0)
            took = time.monotonic() - began
            in_child(partial(look, store, backups, [told]))
        reports = round_of(store, backups, number, rng.uniform(0, LATE * took))
        complete += len(complete_in(backups))
        left += len(list(backups.glob(".asg-copy-*")))
        try:
            in_child(partial(look, store, backups, reports))
        except AssertionError as error:
            raise AssertionError(f"round {number} of seed {seed}, {store}: {error}") from error
    return complete, left


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asg-backup-kill-") as folder:
        os.environ[config.STATE_VARIABLE] = str(Path(folder) / "state")
        complete, _ = run(options.kills, options.seed, Path(folder))
    sys.stdout.write(f"{options.kills} backups killed, {complete} of them complete; all that look complete are\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
