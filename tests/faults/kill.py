"""Kill writers with SIGKILL at random moments, over and over, and look at what they leave.

    python -m tests.faults.kill --kills 300
    python -m tests.faults.kill --kills 10000 --seed 7      a night's worth

A round starts three writers on one file, kills each of them at its own moment,
opens the file anew, compares it with what the writers were told, and verifies it.
Ten rounds share a file; then a new one is begun, so that a check stays cheap. A
writer is a fork of this process, which has loaded everything and opened nothing.
Failing, it prints the seed, and the file stays.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import select
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from tests.faults.checks import check
from tests.faults.writer import TASKS, Told, telling_to, told_in, write

WRITERS = 3
ROUNDS_OF_A_FILE = 10
ACKS_MAX = 12
"""A writer is killed once it was told of so many writes at most; of none: while it opens the store."""
WAIT_SECONDS_MAX = 60.0
DELAY_SECONDS_MAX = 0.004
"""Up to so long after that: about two commits of the database."""
OPENING_SECONDS = 0.03
_CHUNK = 65_536
_FOREVER = 1_000_000


@dataclass(slots=True)
class Victim:
    """A writer that will be killed."""

    pid: int
    pipe: int
    acks: int
    delay: float
    output: bytearray = field(default_factory=bytearray)
    dies_at: float | None = None
    """On the monotonic clock, once it was told of its number of writes."""

    def read(self) -> bool:
        """Take in what there is; False at the end of its output."""
        chunk = os.read(self.pipe, _CHUNK)
        self.output += chunk
        if self.dies_at is None and self.output.count(b"\n") >= self.acks:
            self.dies_at = time.monotonic() + self.delay
        return bool(chunk)

    def kill(self) -> list[Told]:
        """End it, and return all that it was told before."""
        os.kill(self.pid, signal.SIGKILL)
        while self.read():
            pass
        os.close(self.pipe)
        _, status = os.waitpid(self.pid, 0)
        assert os.WIFSIGNALED(status), f"a writer ended by itself with {status}"
        return told_in(bytes(self.output))


def forked(work: Callable[[], object]) -> int:
    """The pid of a child that does the work and ends; 0 is its exit code when nothing was raised."""
    pid = os.fork()
    if pid:
        return pid
    _end_with(work)


def _end_with(work: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def start(store: Path, name: str, rng: random.Random) -> Victim:
    """A writer on the store that goes on until it is killed."""
    out, into = os.pipe()
    pid = forked(lambda: asyncio.run(write(store, name, _FOREVER, telling_to(into))))
    os.close(into)
    victim = Victim(pid, out, rng.randrange(ACKS_MAX + 1), rng.uniform(0, DELAY_SECONDS_MAX))
    if not victim.acks:  # it dies while it opens the store, or makes it
        victim.dies_at = time.monotonic() + rng.uniform(0, OPENING_SECONDS)
    return victim


def round_of(store: Path, number: int, rng: random.Random) -> list[Told]:
    """Start the writers and kill each at its moment; what they were told."""
    victims = [start(store, f"w{number}-{index}", rng) for index in range(WRITERS)]
    try:
        return _watch(victims)
    finally:  # a round that failed leaves no writer behind
        for victim in victims:
            os.kill(victim.pid, signal.SIGKILL)


def _watch(victims: list[Victim]) -> list[Told]:
    """Kill each victim at its moment, and take it out of the list."""
    told: list[Told] = []
    while victims:
        due = min((victim.dies_at for victim in victims if victim.dies_at is not None), default=None)
        seconds = WAIT_SECONDS_MAX if due is None else max(0.0, due - time.monotonic())
        ready, _, _ = select.select([victim.pipe for victim in victims], [], [], seconds)
        assert ready or due is not None, "no writer was told of anything for too long"
        for victim in victims:
            assert victim.pipe not in ready or victim.read(), "a writer ended by itself; see above"
        now = time.monotonic()
        for victim in [victim for victim in victims if victim.dies_at is not None and victim.dies_at <= now]:
            victims.remove(victim)
            told += victim.kill()
    return told


def look(store: Path, told: list[Told], rounds: int) -> None:
    """Check the store in a process of its own, so that this one never has it open."""
    in_flight = rounds * WRITERS * TASKS
    pid = forked(lambda: asyncio.run(check(store, told, in_flight)))
    _, status = os.waitpid(pid, 0)
    assert status == 0, "the check failed; see above"


def run(kills: int, seed: int, folder: Path) -> int:
    """The number of writes that were acknowledged; raises at the first that is not as it should be."""
    rng = random.Random(seed)
    rounds = -(-kills // WRITERS)
    acknowledged = 0
    told: list[Told] = []
    store = folder / "0.db"
    for number in range(rounds):
        at = number % ROUNDS_OF_A_FILE
        if at == 0:
            told, store = [], folder / f"{number}.db"
        new = round_of(store, number, rng)
        acknowledged += sum(line.kind == "kept" for line in new)
        told += new
        try:
            look(store, told, at + 1)
        except AssertionError as error:
            raise AssertionError(f"round {number} of seed {seed}, file {store}: {error}") from error
    return acknowledged


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="asg-kill-"))
    acknowledged = run(options.kills, options.seed, folder)
    sys.stdout.write(f"{options.kills} kills, {acknowledged} writes acknowledged, all there; every file verified\n")
    for left in folder.iterdir():
        left.unlink()
    folder.rmdir()
    return 0


if __name__ == "__main__":
    sys.exit(main())
