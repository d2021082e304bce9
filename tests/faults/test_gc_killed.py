"""Garbage collections and backups under load, killed at random moments: nothing that is reached is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import unmeasured_environment

KILLS = 6
"""In the tests; `python -m tests.faults.gc_kill --kills 100` does as many as there is time for."""
WAIT_SECONDS_MAX = 240.0
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are of POSIX")


def test_a_collection_that_is_killed_loses_nothing_that_is_reached(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.gc_kill", "--kills", str(KILLS)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**unmeasured_environment(), "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KILLS} kills of a collection and a backup, ")
