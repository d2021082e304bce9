"""Processes killed with SIGKILL at random moments: what was acknowledged or told is there, and whole."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.processes import unmeasured_environment

WAIT_SECONDS_MAX = 240.0
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL and fork are of POSIX")


# `python -m tests.faults.PROGRAM --kills 1000` does as many as there is time for.
@pytest.mark.parametrize(
    ("program", "kills", "told"),
    [
        pytest.param("kill", 100, "kills, ", id="a repository keeps what it acknowledged"),
        pytest.param("backup_kill", 10, "backups killed, ", id="a backup that looks complete is"),
        pytest.param("import_kill", 8, "imports killed, ", id="an import leaves a whole store or none"),
        pytest.param("gc_kill", 6, "kills of a collection and a backup, ", id="a collection loses nothing reached"),
    ],
)
def test_what_a_killed_program_told_is_true(tmp_path: Path, program: str, kills: int, told: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"tests.faults.{program}", "--kills", str(kills)],
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS_MAX,
        check=False,
        cwd=Path(__file__).parents[2],
        env={**unmeasured_environment(), "TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{kills} {told}")
