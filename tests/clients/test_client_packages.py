"""Installing the clients: what cannot be had is left out with its reason, and the rest is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kit import client_packages
from tests.kit.client_packages import Installer, Missing, folder, go


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The commands that would have run, of which those with npm fail."""
    commands: list[str] = []

    def run(*command: str | Path, cwd: Path | None = None, **_: str) -> None:
        words = " ".join(map(str, command))
        commands.append(words)
        if "npm-cli.js" in words:
            raise Missing("node ended with 1: 404 Not Found")

    monkeypatch.setattr(client_packages, "_run", run)
    monkeypatch.setattr(client_packages, "go", lambda: Path("go"))
    return commands


def test_what_a_registry_lacks_is_left_out_with_its_reason(tmp_path: Path, ran: list[str]) -> None:
    told = Installer(tmp_path).make()
    assert told == {"tools": "", "mcp1": "", "mcp2": "", "go": "", "npm": "node ended with 1: 404 Not Found"}
    assert folder("mcp1", tmp_path) == tmp_path / "mcp1"
    with pytest.raises(Missing, match="404 Not Found"):
        folder("npm", tmp_path)


def test_what_is_there_already_is_left_as_it_is(tmp_path: Path, ran: list[str]) -> None:
    Installer(tmp_path).make()
    first = len(ran)
    Installer(tmp_path).make()
    again = ran[first:]
    assert [word for word in again if "npm-cli.js" not in word and "uv==" not in word] == []


def test_another_lock_is_installed_anew(tmp_path: Path, ran: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    Installer(tmp_path).make()
    ran.clear()
    monkeypatch.setattr(client_packages, "_lock", lambda name: f"another {name}")
    Installer(tmp_path).make()
    assert any("mcp1.txt" in words for words in ran)


def test_who_installed_nothing_is_told_how(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"python -m tests\.kit\.client_packages$"):
        folder("mcp1", tmp_path)
    with pytest.raises(Missing, match=r"--heavy$"):
        folder("heavy", tmp_path)


def test_installing_builds_nothing_and_runs_nothing_of_what_it_installs(tmp_path: Path, ran: list[str]) -> None:
    Installer(tmp_path).make(heavy=True)
    for words in ran:
        assert "--no-build" in words or "uv pip install" not in words
        assert "--ignore-scripts" in words or "npm-cli.js" not in words


def test_go_is_found_where_its_installers_put_it_or_is_told_to_be_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GO", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(client_packages, "GO_PLACES", (str(tmp_path),))
    with pytest.raises(Missing, match=r"no Go here.*https://go\.dev/dl"):
        go()
    program = tmp_path / ("go.exe" if os.name == "nt" else "go")
    program.write_text("")
    program.chmod(0o755)
    assert go() == program
    monkeypatch.setenv("GO", "another-go")
    with pytest.raises(Missing):
        go()
