"""Imports killed with SIGKILL at random moments: a store that is there is whole, and what was left goes away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import unmeasured_environment

KILLS = 8
"""In the tests; `python -m tests.faults.import_kill --kills 500` does as many as there is time for."""
WAIT_SECONDS_MAX = 120.0
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are of POSIX")


def test_an_import_that_is_killed_leaves_a_whole_store_or_none(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.import_kill", "--kills", str(KILLS)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**unmeasured_environment(), "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{KILLS} imports killed, ")
