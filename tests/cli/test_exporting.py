"""A sealed epoch is exported to a file that verifies on its own; what is there already is never lost."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.services.epochs import create_epoch, seal_epoch
from tests.cli.conftest import Run

ANA = Author("local:ana", "planner")


@pytest.fixture
def sealed(store: Path) -> Path:
    """The store with an epoch of all its commits, sealed, and one that is open."""

    async def seal() -> None:
        async with open_repository(store) as repo:
            await create_epoch(repo, EpochRequest("night-1", "The 2 AM incident.", (), since="2001-01-01"), ANA)
            await create_epoch(repo, EpochRequest("night-2", "The next one.", ()), ANA)
            await seal_epoch(repo, "night-1", "Drained.", ANA)

    asyncio.run(seal())
    return store


def test_the_exported_file_is_verified_by_the_program_that_it_carries(sealed: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "night-1.zip"
    told = run("export", "night-1", "-o", str(file), "--db", str(sealed), "--json").document
    assert told["commits"] == 5
    assert told["bytes"] == file.stat().st_size
    assert told["not_proved"] == ["P7", "P8", "P10"]
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(file), str(tmp_path / "out")], check=True)
    carried = tmp_path / "out" / "verify.py"
    # -I -S: no package of this environment can be imported.
    command = [sys.executable, "-I", "-S", str(carried), str(file), "--key", told["key"], "--json"]
    ran = subprocess.run(command, check=True, capture_output=True, text=True, encoding="utf-8", cwd=tmp_path)
    verdict = json.loads(ran.stdout)
    assert verdict["ok"]
    assert {one["id"] for one in verdict["properties"] if one["status"] == "not proved"} == {"P7", "P8", "P10"}


def test_what_is_exported_is_told_with_the_key_to_hand_over(sealed: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "night-1.zip"
    ran = run("export", "night-1", "-o", str(file), "--db", str(sealed))
    assert ran.code == 0
    assert "5 commits" in ran.out
    assert "--key 'asg-mcp/" in ran.out


def test_a_file_that_is_there_is_replaced_only_by_force(sealed: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "there.zip"
    file.write_bytes(b"mine")
    refused = run("export", "night-1", "-o", str(file), "--db", str(sealed))
    assert (refused.code, file.read_bytes()) == (2, b"mine")
    assert "--force" in refused.err
    assert run("export", "night-1", "-o", str(file), "--db", str(sealed), "--force").code == 0
    assert file.read_bytes()[:2] == b"PK"
    assert [path.name for path in tmp_path.iterdir() if "there" in path.name] == ["there.zip"]


def test_a_folder_is_not_replaced_even_by_force(sealed: Path, tmp_path: Path, run: Run) -> None:
    ran = run("export", "night-1", "-o", str(tmp_path), "--db", str(sealed), "--force")
    assert (ran.code, "folder" in ran.err) == (2, True)


def test_a_place_that_cannot_be_written_is_named(sealed: Path, tmp_path: Path, run: Run) -> None:
    ran = run("export", "night-1", "-o", str(tmp_path / "no" / "such.zip"), "--db", str(sealed))
    assert (ran.code, "cannot be written" in ran.err) == (2, True)


def test_an_open_epoch_is_not_exported_and_an_unknown_one_is_named(sealed: Path, tmp_path: Path, run: Run) -> None:
    file = tmp_path / "e.zip"
    still_open = run("export", "night-2", "-o", str(file), "--db", str(sealed))
    assert (still_open.code, "still open" in still_open.err) == (1, True)
    unknown = run("export", "nigth-1", "-o", str(file), "--db", str(sealed), "--json")
    assert unknown.document["error"]["details"]["nearest"][0] == "night-1"
    assert not file.exists()


def test_a_pipe_gets_the_same_bytes_and_a_terminal_or_json_none(
    sealed: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "night-1.zip"
    run("export", "night-1", "-o", str(file), "--db", str(sealed))
    command = [sys.executable, "-m", "asg_mcp", "export", "night-1", "-o", "-", "--db", str(sealed)]
    piped = subprocess.run(command, check=True, capture_output=True, env={**os.environ})
    assert piped.stdout == file.read_bytes()
    assert run("export", "night-1", "-o", "-", "--db", str(sealed), "--json").code == 2
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    refused = run("export", "night-1", "-o", "-", "--db", str(sealed))
    assert (refused.code, refused.out) == (2, "")
