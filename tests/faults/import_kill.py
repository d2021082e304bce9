"""Kill imports of an archive with SIGKILL at random moments, and look at what they leave.

    python -m tests.faults.import_kill --kills 20
    python -m tests.faults.import_kill --kills 500 --seed 7

A round starts an import and kills it at a moment between its start and somewhat after its end. Then at the place of the
new store there is nothing, or a whole one: it verifies, and has all commits of the archive. What else was left is out
of sight, and the next import, which succeeds, removes it once it is old enough to be nobody's.
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
from functools import partial
from pathlib import Path

from asg_mcp import config
from asg_mcp.app import export_repository, import_repository, make_class, open_repository
from asg_mcp.core.intents import Author
from tests.faults.backup_kill import in_child, silent, write
from tests.faults.kill import forked

WRITES = 40
LATE = 1.3
"""A kill comes at a random moment of so many times what an import takes alone."""
WHO = Author("tester", "tester")
_HIDDEN = ".asg-copy-"


async def build(folder: Path) -> None:
    """A store with a sensitive prefix, and its archive."""
    store = folder / "source.db"
    await write(store, "first", WRITES)
    await make_class(store, "people", ("people",), WHO)
    await write(store, "people", WRITES)
    await export_repository(store, folder / "all.zip", silent)


async def bring(folder: Path, into: int | None = None) -> None:
    made = await import_repository(folder / "all.zip", folder / "new" / "new.db", WHO, silent)
    assert made.path is not None
    if into is not None:
        os.write(into, b"done")


async def look(folder: Path, *, complete: bool) -> None:
    """Raise AssertionError where something is not as it must be."""
    new = folder / "new"
    seen = {file.name for file in new.iterdir() if not file.name.startswith(_HIDDEN)} if new.exists() else set()
    assert seen <= {"new.db", "new.db.class-people.key"}, seen
    assert "new.db" in seen or not complete, "an import that was reported is missing"
    if "new.db" in seen:
        assert len(seen) == 2, "a store is never there without its class keys"
        async with open_repository(new / "new.db", create=False) as repository:
            report = await repository.verify(silent)
            assert report.ok, report.problems
            assert report.counts["commits"] == 2 * WRITES + 1
        for name in ("new.db", "new.db.lock"):
            (new / name).unlink(missing_ok=True)
    for left in new.glob(f"{_HIDDEN}*") if new.exists() else ():
        os.utime(left, (0, 0))


def round_of(folder: Path, delay: float) -> bool:
    """One round; whether the import had reported before it was killed."""
    out, into = os.pipe()
    pid = forked(lambda: asyncio.run(bring(folder, into)))
    os.close(into)
    select.select([out], [], [], delay)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    with os.fdopen(out, "rb") as reports:
        return bool(reports.read())


def run(kills: int, seed: int, folder: Path) -> tuple[int, int]:
    """How many imports were complete before their kill, and how many left something that the next one removed."""
    rng = random.Random(seed)
    in_child(partial(build, folder))
    began = time.monotonic()
    in_child(partial(bring, folder))
    took = time.monotonic() - began
    in_child(partial(look, folder, complete=True))
    complete = left = 0
    for number in range(kills):
        done = round_of(folder, rng.uniform(0, LATE * took))
        complete += done
        left += any((folder / "new").glob(f"{_HIDDEN}*"))
        try:
            in_child(partial(look, folder, complete=done))
        except AssertionError as error:
            raise AssertionError(f"round {number} of seed {seed}: {error}") from error
    in_child(partial(bring, folder))
    assert not list((folder / "new").glob(f"{_HIDDEN}*")), "what was left stays"
    in_child(partial(look, folder, complete=True))
    return complete, left


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="asg-import-kill-") as folder:
        os.environ[config.STATE_VARIABLE] = str(Path(folder) / "state")
        complete, left = run(options.kills, options.seed, Path(folder))
    sys.stdout.write(
        f"{options.kills} imports killed, {complete} of them complete, {left} left something; all is whole\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
