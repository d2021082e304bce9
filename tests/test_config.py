"""What the machine says: places, names, and the commands that start this program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from asg_mcp import config
from asg_mcp.core.intents import check_name
from asg_mcp.errors import InvalidArgument

posix = pytest.mark.skipif(os.name != "posix", reason="accounts are told otherwise on Windows")


def test_the_option_goes_before_the_variable_and_the_variable_before_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert (config.store_place().path, config.store_place().named_by) == (config.default_path(), "")
    monkeypatch.setenv("ASG_DB", "/srv/a.db")
    assert (config.store_place().path, config.store_place().named_by) == (Path("/srv/a.db"), "ASG_DB")
    assert (config.store_place("/b.db").path, config.store_place("/b.db").named_by) == (Path("/b.db"), "--db")


def test_a_place_is_absolute_and_knows_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert config.store_place("~/a.db").path == tmp_path / "a.db"
    assert config.store_place("a.db").path == Path.cwd() / "a.db"


def test_the_session_comes_from_the_option_then_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.bound_session() == ""
    monkeypatch.setenv("ASG_SESSION", "ses-1")
    assert config.bound_session() == "ses-1"
    assert config.bound_session("ses-2") == "ses-2"


def test_the_agent_comes_from_the_option_then_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert config.default_agent() == ""
    monkeypatch.setenv("ASG_AGENT", "night-watch")
    assert config.default_agent() == "night-watch"
    assert config.default_agent("other") == "other"


@posix
def test_no_variable_can_change_who_the_local_user_is(monkeypatch: pytest.MonkeyPatch) -> None:
    before = config.local_principal()
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert config.local_principal() == before
    check_name(before, "principal")


@posix
def test_a_user_without_an_account_is_known_by_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 987_654)
    assert config.local_principal() == "local:uid-987654"


def test_the_launcher_is_absolute_and_starts_this_program() -> None:
    command = config.launcher()
    assert Path(command[0]).is_absolute()
    done = subprocess.run(
        [*command, "--version"], env=dict(config.own_environment()), capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("asg-mcp ")


def test_the_launcher_is_the_command_beside_the_interpreter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("python", "asg-mcp"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    assert config.launcher() == (str(tmp_path / "asg-mcp"),)


def test_without_an_installed_command_the_launcher_is_the_module(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "python"))
    monkeypatch.setattr("sys.argv", [str(tmp_path / "__main__.py")])
    monkeypatch.setenv("PATH", str(tmp_path))
    assert config.launcher() == (str(tmp_path / "python"), "-m", "asg_mcp")


def test_a_second_process_runs_this_code_wherever_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong module')")
    monkeypatch.setenv("ASG_DB", "/somewhere")
    environment = dict(config.own_environment())
    assert [name for name in environment if name.startswith("ASG_")] == ["ASG_STATE"]
    done = subprocess.run(
        [*config.own_command(), "--version"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sys.executable == config.own_command()[0]


@pytest.mark.parametrize(
    ("given", "variable", "names"),
    [
        ("", None, ()),
        ("state,history", None, ("state", "history")),
        (" state , ,state", None, ("state",)),
        ("", "branch, core", ("branch", "core")),
        ("state", "branch", ("state",)),
    ],
)
def test_names_stand_between_commas_and_the_option_comes_before_its_variable(
    monkeypatch: pytest.MonkeyPatch, given: str, variable: str | None, names: tuple[str, ...]
) -> None:
    monkeypatch.delenv(config.TOOLSETS_VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(config.TOOLSETS_VARIABLE, variable)
    assert config.names(given, config.TOOLSETS_VARIABLE) == names


@pytest.mark.parametrize(
    ("text", "given", "answer"),
    [("", False, False), ("1", False, True), (" Yes", False, True), ("0", False, False), ("off", True, True)],
)
def test_read_only_is_given_or_said_by_its_variable(
    monkeypatch: pytest.MonkeyPatch, text: str, given: bool, answer: bool
) -> None:
    monkeypatch.setenv(config.READ_ONLY_VARIABLE, text)
    assert config.read_only(given=given) is answer


def test_a_variable_that_says_neither_yes_nor_no_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.READ_ONLY_VARIABLE, "maybe")
    with pytest.raises(InvalidArgument, match="ASG_READ_ONLY is 'maybe'"):
        config.read_only()
