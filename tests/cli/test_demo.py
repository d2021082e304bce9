from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import config
from asg_mcp.app import open_repository
from tests.cli.conftest import Ran, Run

WAIT_SECONDS = 120
"""Bounds the wait for a process; none should come near."""


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The demo as people run it: a process of its own, here with a folder for its temporary files."""
    folder = tmp_path_factory.mktemp("demo")
    done = subprocess.run(
        [sys.executable, "-m", "asg_mcp", "demo"],
        env={**config.own_environment(), "TMPDIR": str(folder), "ASG_DB": str(folder / "in-use.db")},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert list(folder.iterdir()) == [], "the demo left something behind"
    return Ran(done.returncode, done.stdout, done.stderr)


def _lines_after(text: str, start: str) -> Iterator[str]:
    yield from text[text.index(start) :].splitlines()[1:]


def test_the_demo_ends_well_and_says_nothing_on_standard_error(played: Ran) -> None:
    assert (played.code, played.err) == (0, "")


def test_the_demo_prints_the_chain_that_blame_gives(played: Ran) -> None:
    for told in (
        '/cluster/node-3/status = "draining"',
        "night-watch (agent, as claimed)",
        f"{config.local_principal()} (principal, verified)",
        "night-shift/",
        "Fix: Drain node-3 before its disk fails",
        "37 disk errors in 10 minutes",
        "73 %",
        "alice@ops: keep the cluster serving",
        "on-call → night-watch: drain at most one node",
        "Reboot node-3 (20 %). Not taken: the disk errors would come back",
        "node-3 is empty within 15 minutes",
    ):
        assert told in played.out


def test_the_demo_shows_the_calls_and_replies(played: Ran) -> None:
    calls = re.findall(r"^  → (asg_\w+)", played.out, re.MULTILINE)
    expected = ["set", "get", "apply", "set", "blame", "diff", "revert", "diff"]
    assert calls == [f"asg_{name}" for name in expected]
    assert played.out.count("  ← ") == len(calls)


def test_the_revert_of_the_demo_leaves_the_others_work(played: Ran) -> None:
    after = list(_lines_after(played.out, "Bob takes back what night-watch did"))
    assert '~ /services/checkout/version  "2.4.0" → "2.4.1"' in after
    assert not any("draining" in line and line.startswith("~") for line in after)


def test_a_kept_store_of_the_demo_is_whole_and_can_be_looked_at(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "demo.db"
    played = run("demo", "--json", "--db", str(path))
    assert played.code == 0
    assert played.document["store"] == str(path)
    assert {call["client"] for call in played.document["calls"]} == {
        "provisioning",
        "night-shift",
        "delivery",
        "help-desk",
    }
    assert run("verify", "--db", str(path)).code == 0
    assert '"ready"' in run("get", "/cluster/node-3/status", "--db", str(path)).out
    assert "bob" in run("blame", "/cluster/node-3/status", "--db", str(path)).out


def test_the_demo_does_not_touch_a_store_that_exists(run: Run, store: Path) -> None:
    before = store.read_bytes()
    ran = run("demo", "--db", str(store))
    assert ran.code == 2
    assert "exists already" in ran.err
    assert store.read_bytes() == before


def test_the_commands_that_the_demo_names_work(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("asg_mcp.cli.demo._play", _make_a_store)
    ran = run("demo", "--keep")
    named = [line.split() for line in _lines_after(ran.out, "To look further:")]
    assert len(named) == 4
    for words in named:
        # The paths of the story are not in this store: what counts is that each command is understood.
        assert run(*words[len(config.launcher()) :]).code in (0, 1)


async def _make_a_store(stage: Any) -> None:
    async with open_repository(stage.path):
        pass


class _Scripted:
    """A connection that answers the demo from a script, in which one agent did everything."""

    def __init__(self, agent: str) -> None:
        blamed = {"agent": agent, "principal": "local:a", "client": "b/1", "category": "Fix", "description": "Why"}
        entry = {**blamed, "path": "/a", "type": "int", "value": 1, "commit": "a" * 12, "at": "2026-11-21T02:00:00Z"}
        refs = {"ref_a": "main", "ref_b": "main", "commit_a": "a" * 12, "commit_b": "b" * 12}
        about = {"ref": "main", "commit": "a" * 12, "path": "/a", "next_cursor": "", "omitted": 0}
        self.replies: dict[str, dict[str, Any]] = {
            "asg_blame": {**about, "entries": [entry]},
            "asg_diff": {**refs, "changes": [], "next_cursor": ""},
        }

    async def call(self, tool: str, _: object) -> dict[str, Any]:
        return self.replies.get(tool, {"commit": "a" * 12})


@pytest.mark.parametrize(
    ("agent", "told"),
    [
        ("somebody-else", "Blame does not name the agent"),
        ("night-watch", "The revert did not take back the work of one agent"),
    ],
)
def test_the_demo_fails_when_the_store_answers_wrongly(
    run: Run, monkeypatch: pytest.MonkeyPatch, agent: str, told: str
) -> None:
    @asynccontextmanager
    async def scripted(*_: object) -> AsyncIterator[_Scripted]:
        yield _Scripted(agent)

    monkeypatch.setattr("asg_mcp.cli.demo.connected", scripted)
    ran = run("demo")
    assert ran.code == 1
    assert told in ran.err
