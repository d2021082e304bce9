"""Who is killed while it erases leaves a store that is whole, that says what is due, and that can be finished."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repo.redactdesk import holding, open_redact_desk, quiet

SECRET, WORD = "hunter2-Qx91zz", "qx91zz"
_CHILD = """
import asyncio, os, sys
from pathlib import Path
from tests.repo.redactdesk import open_redact_desk, quiet

async def main(folder, finish):
    async with open_redact_desk(Path(folder)) as desk:
        plan = await desk.find("value", value="hunter2-Qx91zz")
        print("found", flush=True)
        await desk.erase(plan)
        print("erased", flush=True)
        while finish:
            await desk.repo.redactions.finish(plan, quiet)
        sys.stdin.readline()

asyncio.run(main(sys.argv[1], sys.argv[2] == "finish"))
"""


def killed(folder: Path, at: str, *, finish: bool, wait: float = 0.0) -> None:
    """Start to erase, and kill it `wait` seconds after it said that it has come so far."""
    child = subprocess.Popen(
        [sys.executable, "-c", _CHILD, str(folder), "finish" if finish else ""],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    try:
        while child.stdout.readline() != f"{at}\n":
            assert child.poll() is None
        if wait:
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(wait)
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate()


async def filled(folder: Path) -> None:
    async with open_redact_desk(folder) as desk:
        await desk.set("/a", SECRET, description=f"Uses {SECRET}.")
        for number in range(20):
            await desk.set(f"/n/{number}", f"{SECRET} {number}" * 200)


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
async def test_a_redaction_that_was_killed_before_the_file_was_made_anew_is_told_and_finished(tmp_path: Path) -> None:
    await filled(tmp_path)
    await asyncio.to_thread(killed, tmp_path, "erased", finish=False)
    assert holding(tmp_path, SECRET, WORD) != []
    async with open_redact_desk(tmp_path) as desk:
        health = await desk.repo.health()
        assert health.shrink_due
        assert any("redact --finish" in problem for problem in health.problems)
        assert (await desk.find("value", value=SECRET)).found.nothing
        await desk.repo.redactions.finish(None, quiet)
        assert not (await desk.repo.health()).shrink_due
        assert (await desk.repo.verify(quiet)).ok
    assert holding(tmp_path, SECRET, WORD) == []


@pytest.mark.skipif(os.name != "posix", reason="kills as POSIX does")
@pytest.mark.parametrize("at", ["found", "erased"])
async def test_wherever_it_is_killed_the_store_is_whole_and_repeating_the_command_is_enough(
    tmp_path: Path, at: str
) -> None:
    await filled(tmp_path)
    wait = random.uniform(0.001, 0.05)
    await asyncio.to_thread(killed, tmp_path, at, finish=True, wait=wait)
    async with open_redact_desk(tmp_path) as desk:
        assert (await desk.repo.verify(quiet)).ok
        plan = await desk.find("value", value=SECRET)
        if not plan.found.nothing:
            await desk.erase(plan)
        finished = await desk.repo.redactions.finish(plan, quiet)
        assert finished.left == {}
        assert (await desk.repo.verify(quiet)).ok
    assert holding(tmp_path, SECRET, WORD) == []
