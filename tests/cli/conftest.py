"""A small store, and the command line run in this process."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.cli import main
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import JsonValue
from asg_mcp.repo.repository import Guard

ESCAPE = "\x1b[2J"
"""What clears a terminal, if it is written to one."""


@dataclass(frozen=True)
class Ran:
    """What a command wrote, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found = json.loads(self.out)
        assert isinstance(found, dict)
        return found


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run `asg-mcp` with these arguments in this process."""

    def run_command(*arguments: str) -> Ran:
        capsys.readouterr()
        try:
            code = main(list(arguments))
        except SystemExit as left:  # --help and --version
            code = int(left.code or 0)
        written = capsys.readouterr()
        return Ran(code, written.out, written.err)

    return run_command


async def _commit(path: Path, agent: str, intent: Intent, *operations: tuple[Op, str, JsonValue]) -> None:
    author = Author(principal="local:tester", agent=agent, client="pytest/1")
    steps = [
        Operation(op, parse_path(at)) if op is Op.DELETE else Operation(op, parse_path(at), value)
        for op, at, value in operations
    ]
    async with open_repository(path) as repository:
        await repository.commit("main", steps, intent, author, Guard())


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with four commits after the first, by three agents, and a branch `evening` at the first of them."""
    path = tmp_path / "state.db"
    nodes: JsonValue = {"node-1": {"status": "ready"}, "node-3": {"status": "ready", "pods": 11}}
    provenance: dict[str, JsonValue] = {
        "authority": {
            "principal": "alice@ops",
            "scope": "nights",
            "delegation_chain": [{"from": "alice@ops", "to": "night-watch", "scope": "drain one node"}],
        },
        "alternatives": [{"description": "Reboot it", "confidence": 0.2, "why_not": "errors would come back"}],
        "expected": {"pods": 0},
    }
    drain = Intent(
        Category.FIX,
        "Drain node-3",
        reasoning="Its disk reports errors.",
        confidence=0.73,
        tags=("incident",),
        provenance=provenance,
    )

    async def build() -> None:
        await _commit(path, "provisioner", Intent(Category.CHECKPOINT, "Set up"), (Op.SET, "/cluster", nodes))
        async with open_repository(path) as repository:
            await repository.branch("evening", "branch", "main", Author("local:tester", "provisioner"))
        await _commit(path, "night-watch", drain, (Op.SET, "/cluster/node-3/status", "draining"))
        await _commit(path, "release-bot", Intent(Category.REFINE, "Roll out"), (Op.SET, "/version", "2.4.1"))
        hostile = Intent(Category.CUSTOM, f"Say {ESCAPE} to the terminal")
        await _commit(
            path, "jester", hostile, (Op.SET, "/note", f"clear {ESCAPE} it"), (Op.DELETE, "/cluster/node-1", None)
        )

    asyncio.run(build())
    return path
