"""Where clients keep their files on each system, and what they are told."""

from __future__ import annotations

import json
import shlex
from base64 import b64decode
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from asg_mcp.cli.installclients import CLIENTS, PROJECT, USER, Folders, settings_folder
from asg_mcp.errors import InvalidArgument

COMMAND = ("/opt/my tools/asg-mcp", "serve", "--db", "/data/ä&b.db", "--toolsets", "~~~~~~>>>>>>??????")
"""Its base64 has + and /, which a link would lose."""


def _folders(system: str, named: PurePath | None = None) -> Folders:
    kind = PureWindowsPath if system == "win32" else PurePosixPath
    home = kind({"win32": r"C:\Users\ann", "darwin": "/Users/ann"}.get(system, "/home/ann"))
    return Folders(home, settings_folder(system, home, named), home, home / "project")


@pytest.mark.parametrize(
    ("system", "client", "file"),
    [
        ("linux", "claude-desktop", "/home/ann/.config/Claude/claude_desktop_config.json"),
        ("darwin", "claude-desktop", "/Users/ann/Library/Application Support/Claude/claude_desktop_config.json"),
        ("win32", "claude-desktop", r"C:\Users\ann\AppData\Roaming\Claude\claude_desktop_config.json"),
        ("linux", "claude-code", "/home/ann/.claude.json"),
        ("darwin", "claude-code", "/Users/ann/.claude.json"),
        ("win32", "claude-code", r"C:\Users\ann\.claude.json"),
        ("linux", "cursor", "/home/ann/.cursor/mcp.json"),
        ("darwin", "cursor", "/Users/ann/.cursor/mcp.json"),
        ("win32", "cursor", r"C:\Users\ann\.cursor\mcp.json"),
        ("linux", "vscode", "/home/ann/.config/Code/User/mcp.json"),
        ("darwin", "vscode", "/Users/ann/Library/Application Support/Code/User/mcp.json"),
        ("win32", "vscode", r"C:\Users\ann\AppData\Roaming\Code\User\mcp.json"),
        ("linux", "gemini", "/home/ann/.gemini/settings.json"),
        ("darwin", "gemini", "/Users/ann/.gemini/settings.json"),
        ("win32", "gemini", r"C:\Users\ann\.gemini\settings.json"),
    ],
)
def test_each_client_has_its_file_on_each_system(system: str, client: str, file: str) -> None:
    assert str(CLIENTS[client].file(USER, _folders(system))) == file


@pytest.mark.parametrize(
    ("client", "file"),
    [
        ("claude-code", "/home/ann/project/.mcp.json"),
        ("cursor", "/home/ann/project/.cursor/mcp.json"),
        ("vscode", "/home/ann/project/.vscode/mcp.json"),
        ("gemini", "/home/ann/project/.gemini/settings.json"),
    ],
)
def test_a_project_has_files_of_its_own(client: str, file: str) -> None:
    assert str(CLIENTS[client].file(PROJECT, _folders("linux"))) == file


def test_claude_desktop_knows_no_projects() -> None:
    with pytest.raises(InvalidArgument, match="no servers of a project"):
        CLIENTS["claude-desktop"].file(PROJECT, _folders("linux"))


def test_variables_move_the_settings_where_the_system_has_them() -> None:
    named = PurePosixPath("/elsewhere")
    assert settings_folder("linux", PurePosixPath("/home/ann"), named) == named
    assert settings_folder("win32", PureWindowsPath("C:/Users/ann"), PureWindowsPath("D:/R")) == PureWindowsPath("D:/R")
    assert settings_folder("darwin", PurePosixPath("/Users/ann"), named) != named


def test_the_link_of_cursor_carries_the_entry() -> None:
    link = urlsplit(CLIENTS["cursor"].by_itself("asg", COMMAND, USER)["link"])
    asked = parse_qs(link.query)
    assert (link.scheme, link.netloc, link.path) == ("cursor", "anysphere.cursor-deeplink", "/mcp/install")
    assert asked["name"] == ["asg"]
    assert {"+", "/"} <= set(asked["config"][0])
    assert json.loads(b64decode(asked["config"][0])) == {"command": COMMAND[0], "args": list(COMMAND[1:])}


def test_the_link_of_vs_code_carries_the_entry_and_the_name() -> None:
    link = CLIENTS["vscode"].by_itself("asg", COMMAND, USER)["link"]
    assert link.startswith("vscode:mcp/install?")
    assert json.loads(unquote(link.partition("?")[2])) == {
        "name": "asg",
        "type": "stdio",
        "command": COMMAND[0],
        "args": list(COMMAND[1:]),
    }


def test_the_command_of_claude_code_is_quoted_for_a_shell() -> None:
    command = CLIENTS["claude-code"].by_itself("asg", COMMAND, PROJECT)["command"]
    start, rest = command.split(" -- ")
    assert start == "claude mcp add --scope project asg"
    assert shlex.split(rest) == list(COMMAND)


def test_the_command_of_gemini_keeps_our_options_from_its_own() -> None:
    command = CLIENTS["gemini"].by_itself("asg", COMMAND, USER)["command"]
    assert shlex.split(command) == ["gemini", "mcp", "add", "--scope", "user", "asg", COMMAND[0], "--", *COMMAND[1:]]


def test_every_way_in_carries_the_variables() -> None:
    variables = {"ASG_STATE": "/marks of mine"}
    for client in CLIENTS.values():
        entry = client.entry(COMMAND, variables)
        assert entry["env"] == variables
        for what, told in client.by_itself("asg", COMMAND, USER, variables).items():
            if what == "command":
                words = shlex.split(told)
                assert words[3:6] == ["--env", "ASG_STATE=/marks of mine", "--scope"]
            elif client.key == "cursor":
                assert json.loads(b64decode(parse_qs(urlsplit(told).query)["config"][0])) == entry
            else:
                assert json.loads(unquote(told.partition("?")[2]))["env"] == variables
