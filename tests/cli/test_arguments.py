from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp import __version__
from asg_mcp.cli.arguments import parse
from asg_mcp.errors import InvalidArgument
from tests.cli.conftest import Run

COMMANDS = (
    *("serve", "get", "log", "blame", "diff", "branches", "migrate", "verify", "doctor", "demo", "backup", "restore"),
    *("export", "export-repo", "import-repo", "redact", "gc", "class", "key", "token", "install", "uninstall"),
)


def test_the_version_is_printed_with_the_name(run: Run) -> None:
    ran = run("--version")
    assert (ran.code, ran.out) == (0, f"asg-mcp {__version__}\n")


def test_help_names_every_command_variable_and_exit_code(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for name in (*COMMANDS, "ASG_DB", "ASG_AGENT", "NO_COLOR", "exit codes:"):
        assert name in ran.out


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_options_and_exit_codes(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0
    for told in ("--db", "exit codes:"):
        assert told in ran.out
    assert ("--json" in ran.out) is (command != "serve")


def test_options_may_stand_before_and_behind_the_command() -> None:
    assert parse(["--db", "a.db", "--json", "log"]).db == "a.db"
    assert parse(["log", "--db", "a.db"]).db == "a.db"
    assert parse(["--db", "a.db", "log", "--db", "b.db"]).db == "b.db"
    assert parse(["--agent", "a", "serve"]).agent == "a"
    assert parse([]).db == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["get", "/a", "--reff", "main"],
        ["blame"],
        ["diff", "main"],
        ["log", "-n", "-1"],
        ["log", "-n", "many"],
        ["get", "/", "--depth", "129"],
        ["verify", "--d", "x"],
    ],
)
def test_what_is_not_understood_is_refused_with_a_hint(run: Run, arguments: list[str]) -> None:
    with pytest.raises(InvalidArgument):
        parse(arguments)
    ran = run(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert "--help" in ran.err


def test_a_usage_error_is_a_document_when_json_is_asked_for(run: Run) -> None:
    ran = run("blame", "--json")
    assert ran.code == 2
    assert ran.document["error"]["code"] == "invalid_argument"


def test_the_help_tells_where_the_store_is(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "500")
    assert "state.db" in run("--help").out
