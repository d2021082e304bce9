from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from asg_mcp.cli.health import BAR_AFTER_SECONDS, Check, ProgressBar, file_checks, size_text
from asg_mcp.cli.output import Output
from asg_mcp.storage.sqlite import open_store
from tests.cli.conftest import Run

posix = pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")


@pytest.fixture
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor without its trial of a server, which takes a second and is tested by others."""

    async def fine(*_: object, **__: object) -> Check:
        return Check("server", "ok", "not tried")

    monkeypatch.setattr("asg_mcp.cli.health._self_test", fine)


def test_a_progress_bar_is_drawn_only_after_a_second(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    now = [100.0]
    monkeypatch.setattr("asg_mcp.cli.health.time.monotonic", lambda: now[0])
    with ProgressBar(Output()) as progress:
        progress("commits", 1, 3)
        assert capsys.readouterr().err == ""
        now[0] += BAR_AFTER_SECONDS
        progress("commits", 2, 3)
        progress("commits", 3, 3)
        progress("events", 1, 1)
    assert "commits" in capsys.readouterr().err


def test_no_progress_bar_is_drawn_where_nobody_watches(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asg_mcp.cli.health.BAR_AFTER_SECONDS", 0.0)
    with ProgressBar(Output()) as progress:
        progress("commits", 1, 3)
    assert capsys.readouterr().err == ""


def test_doctor_checks_program_store_and_server(run: Run, store: Path) -> None:
    ran = run("doctor", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    for told in ("python", "principal", "sqlite", "settings", "reading", "server", "tools over MCP", "All is well."):
        assert told in ran.out


@pytest.mark.usefixtures("no_server")
def test_doctor_with_json_has_every_check_with_its_status(run: Run, store: Path) -> None:
    ran = run("doctor", "--json", "--db", str(store))
    assert ran.document["ok"] is True
    assert {check["status"] for check in ran.document["checks"]} <= {"ok", "note"}


@posix
@pytest.mark.usefixtures("no_server")
def test_doctor_finds_a_store_that_others_may_read(run: Run, store: Path) -> None:
    store.chmod(0o644)
    ran = run("doctor", "--db", str(store))
    assert ran.code == 1
    assert f"chmod 600 {store}" in ran.out
    assert "1 to mend." in ran.out


@posix
@pytest.mark.usefixtures("no_server")
def test_doctor_notes_a_folder_that_others_may_write_to(run: Run, store: Path) -> None:
    store.parent.chmod(0o777)
    ran = run("doctor", "--db", str(store))
    assert ran.code == 0
    assert "chmod go-w" in ran.out


def test_doctor_reports_a_damaged_store_and_goes_on(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database at all, " * 100)
    path.chmod(0o600)
    ran = run("doctor", "--db", str(path))
    assert ran.code == 1
    assert "store" in ran.out
    assert "server" in ran.out


def test_doctor_without_a_store_yet_tries_the_server_on_another(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asg_mcp.config.default_path", lambda: tmp_path / "asg-mcp" / "state.db")
    ran = run("doctor")
    assert ran.code == 0
    assert "none yet" in ran.out
    assert "a trial store" in ran.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_server")
def test_doctor_of_a_mistyped_path_says_that_nothing_is_there(run: Run, tmp_path: Path) -> None:
    ran = run("doctor", "--db", str(tmp_path / "mistyped.db"))
    assert ran.code == 3
    assert "which --db names" in ran.out
    assert list(tmp_path.iterdir()) == []


def test_doctor_reports_a_server_that_does_not_start(run: Run, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asg_mcp.config.own_command", lambda: (sys.executable, "-c", "raise SystemExit(7)"))
    ran = run("doctor", "--db", str(store))
    assert ran.code == 1
    assert "bad   server" in ran.out


@pytest.mark.usefixtures("no_server")
def test_doctor_reports_a_store_without_a_branch(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    async def make() -> None:
        await (await open_store(path)).close()

    asyncio.run(make())
    ran = run("doctor", "--db", str(path))
    assert ran.code == 1
    assert "the store has no branch" in ran.out


@pytest.mark.parametrize(
    ("count", "told"), [(0, "0 bytes"), (2_048, "2 KiB"), (3 * 2**20, "3 MiB"), (5 * 2**30, "5 GiB")]
)
def test_a_size_is_told_in_its_largest_unit(count: int, told: str) -> None:
    assert size_text(count) == told


def test_file_modes_are_left_alone_where_the_system_has_none(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as changed:
        changed.setattr(os, "name", "nt")
        checks = list(file_checks(store))
    assert checks == []
