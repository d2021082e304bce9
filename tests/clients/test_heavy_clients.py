"""Command-line agents connect. They are hundreds of megabytes, so they are installed by hand alone:

python -m tests.kit.client_packages --heavy
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.kit import client_packages
from tests.kit.processes import unmeasured_environment

RUN_SECONDS_MAX = 120
CLAUDE, GEMINI = "@anthropic-ai/claude-code", "@google/gemini-cli"


def claude() -> list[str]:
    """What starts it: the binary for this machine. Raises Missing."""
    modules = client_packages.folder("heavy") / "node_modules" / "@anthropic-ai"
    for found in sorted(modules.glob("claude-code-*/claude")):
        return [str(found)]
    raise client_packages.Missing("there is no binary of Claude Code for this machine")


def gemini() -> list[str]:
    """What starts it. Raises Missing."""
    about = json.loads(client_packages.module_of(GEMINI, "package.json", part="heavy").read_text())
    return [
        str(client_packages.node()),
        str(client_packages.module_of(GEMINI, about["bin"]["gemini"], part="heavy")),
    ]


async def told(command: list[str], home: Path) -> str:
    """What it printed."""
    own = unmeasured_environment()
    quiet = {"DISABLE_TELEMETRY": "1", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
    with anyio.fail_after(RUN_SECONDS_MAX):
        done = await anyio.run_process(
            command,
            check=False,
            cwd=home,
            stderr=subprocess.STDOUT,
            env={"PATH": own.get("PATH", ""), "HOME": str(home), **quiet},
        )
    return done.stdout.decode(errors="replace")


def server(home: Path) -> dict[str, object]:
    """The server as their configurations have it."""
    # Gemini refuses a PYTHONPATH in `env`, which an installed server does not need and the tests' own may.
    own = [f"{name}={text}" for name, text in unmeasured_environment().items() if name.startswith(("PYTHON", "ASG_"))]
    return {
        "command": "/usr/bin/env",
        "args": [*own, sys.executable, "-m", "asg_mcp", "serve", "--db", str(home / "state.db")],
    }


async def test_claude_code_says_that_it_is_connected(tmp_path: Path) -> None:
    try:
        program = claude()
    except client_packages.Missing as missing:
        pytest.skip(f"Claude Code: {missing}")
    await told([*program, "mcp", "add-json", "--scope", "user", "asg", json.dumps(server(tmp_path))], tmp_path)
    assert "Connected" in await told([*program, "mcp", "list"], tmp_path)


async def test_gemini_says_that_it_is_connected(tmp_path: Path) -> None:
    try:
        program = gemini()
    except client_packages.Missing as missing:
        pytest.skip(f"Gemini CLI: {missing}")
    settings = tmp_path / ".gemini"
    settings.mkdir()
    (settings / "settings.json").write_text(json.dumps({"mcpServers": {"asg": server(tmp_path)}}))
    (settings / "trustedFolders.json").write_text(json.dumps({str(tmp_path): "TRUST_FOLDER"}))
    assert "Connected" in await told([*program, "mcp", "list"], tmp_path)
