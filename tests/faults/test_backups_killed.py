"""Backups under load, killed with SIGKILL at random moments: what looks complete is, and restores to what was told."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import unmeasured_environment

KILLS = 20
"""In the tests; `python -m tests.faults.backup_kill --kills 1000` does as many as there is time for."""
WAIT_SECONDS_MAX = 240.0
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are of POSIX")


def test_a_backup_that_is_killed_leaves_nothing_that_looks_complete_and_is_not(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.backup_kill", "--kills", str(KILLS)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**unmeasured_environment(), "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KILLS} backups killed, ")
