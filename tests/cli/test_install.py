"""`install` and `uninstall` in a home of their own: what clients find there, and what is never touched."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import config
from asg_mcp.cli import installfiles
from asg_mcp.cli.arguments import parse
from asg_mcp.cli.installclients import CLIENTS
from asg_mcp.core.limits import CLIENT_CONFIG_BYTES_MAX
from tests.cli.conftest import Ran, Run

LAUNCHER = ("/opt/asg/bin/asg-mcp",)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; the current folder is a project in it."""
    for name in ("APPDATA", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "CLAUDE_CONFIG_DIR", config.DB_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv(config.STATE_VARIABLE, raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(config, "launcher", lambda: LAUNCHER)
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    return tmp_path


def _servers(file: Path, container: str = "mcpServers") -> dict[str, Any]:
    found = json.loads(file.read_text(encoding="utf-8"))[container]
    assert isinstance(found, dict)
    return found


def _file(ran: Ran) -> Path:
    return Path(ran.document["file"])


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_installed_can_be_parsed_by_the_server_it_starts(home: Path, run: Run, client: str) -> None:
    ran = run("install", client, "--json", "--toolsets", "core", "--secrets", "/=reject")
    assert (ran.code, ran.document["state"]) == (0, "added")
    entry = _servers(_file(ran), CLIENTS[client].container)["asg"]
    assert entry == ran.document["entry"]
    assert (entry["command"], entry["args"][0]) == (LAUNCHER[0], "serve")
    options = parse(entry["args"])
    assert Path(options.db) == config.default_path()
    assert (options.agent, options.toolsets, options.secrets) == (client, "core", "/=reject")


@pytest.mark.parametrize("client", CLIENTS)
def test_a_second_run_changes_nothing_and_says_so(home: Path, run: Run, client: str) -> None:
    file = _file(run("install", client, "--json"))
    before = (file.read_bytes(), file.stat().st_mtime_ns, sorted(file.parent.iterdir()))
    ran = run("install", client)
    assert ran.code == 0
    assert ran.out.startswith("Nothing to do:")
    assert (file.read_bytes(), file.stat().st_mtime_ns, sorted(file.parent.iterdir())) == before


def test_a_relative_store_becomes_absolute_and_a_session_needs_no_agent(home: Path, run: Run) -> None:
    args = run("install", "cursor", "--json", "--db", "x.db", "--session", "ses-1").document["entry"]["args"]
    assert args == ["serve", "--db", str(home / "project" / "x.db"), "--session", "ses-1"]


def test_what_variables_say_is_written_down_because_clients_have_others(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (
        (config.DB_VARIABLE, "/data/a.db"),
        (config.AGENT_VARIABLE, "ann"),
        (config.READ_ONLY_VARIABLE, "1"),
    ):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(config.SECRETS_VARIABLE, "/=mask")
    args = run("install", "cursor", "--json").document["entry"]["args"]
    assert args == ["serve", "--db", "/data/a.db", "--agent", "ann", "--secrets", "/=mask", "--read-only"]


VS_CODE = """\
{
\t// my servers
\t"servers": {
\t\t"other": { "command": "npx", "args": ["-y", "x"], }, // keep
\t},
\t"inputs": [] /* none */
}
"""


def test_comments_stay_and_uninstall_gives_the_file_back(home: Path, run: Run) -> None:
    file = home / "project" / ".vscode" / "mcp.json"
    file.parent.mkdir()
    file.write_text(VS_CODE, encoding="utf-8")
    ran = run("install", "vscode", "--scope", "project")
    assert ran.code == 0
    assert "version control" in ran.err
    for line in VS_CODE.splitlines():
        assert line in file.read_text(encoding="utf-8")
    assert run("uninstall", "vscode", "--scope", "project").code == 0
    assert file.read_text(encoding="utf-8") == VS_CODE


def test_the_backup_is_the_file_as_it_was_with_its_mode(home: Path, run: Run) -> None:
    file = home / ".claude.json"
    content = b'\xef\xbb\xbf{"oauth": "\xc3\xa4",\r\n "mcpServers": {"a": {"command": "b"}}}'
    file.write_bytes(content)
    file.chmod(0o640)
    document = run("install", "claude-code", "--json").document
    assert Path(document["backup"]).read_bytes() == content
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    again = run("uninstall", "claude-code", "--json").document
    assert (again["state"], again["backup"] != document["backup"]) == ("removed", True)
    assert file.read_bytes() == content


def test_an_entry_that_was_changed_by_hand_stays_until_force_is_given(home: Path, run: Run) -> None:
    file = home / ".cursor" / "mcp.json"
    run("install", "cursor")
    edited = file.read_text(encoding="utf-8").replace('"serve",', '"serve", "--read-only",')
    edited = edited.replace('"command"', '"env": {"MINE": "1"},\n      "command"')
    file.write_text(edited, encoding="utf-8")
    ran = run("install", "cursor")
    assert (ran.code, file.read_text(encoding="utf-8")) == (1, edited)
    assert "--force" in ran.err
    forced = run("install", "cursor", "--force", "--json").document
    assert (forced["state"], forced["before"]["args"][1]) == ("updated", "--read-only")
    entry = _servers(file)["asg"]
    assert (entry["env"], "--read-only" in entry["args"]) == ({"MINE": "1"}, False)


@pytest.mark.parametrize("command", [("install",), ("install", "--force"), ("uninstall",)])
def test_another_program_under_the_name_is_left_alone(home: Path, run: Run, command: tuple[str, ...]) -> None:
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    text = '{"mcpServers": {"asg": {"command": "other", "args": ["asg"]}}}'
    file.write_text(text, encoding="utf-8")
    ran = run(command[0], "cursor", *command[1:], "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "server_name_taken")
    assert file.read_text(encoding="utf-8") == text
    if command[0] == "install":
        assert run("install", "cursor", "--name", "asg-2").code == 0
        assert set(_servers(file)) == {"asg", "asg-2"}


def test_print_writes_nothing_and_shows_what_to_add(home: Path, run: Run) -> None:
    ran = run("install", "cursor", "--print")
    assert json.loads(ran.out)["mcpServers"]["asg"]["command"] == LAUNCHER[0]
    assert "cursor://" in ran.err
    assert not (home / ".cursor").exists()
    assert "mcp/install?" in run("install", "vscode", "--print", "--json").document["link"]
    assert run("install", "claude-code", "--print", "--json").document["command"].startswith("claude mcp add")


def test_uninstall_of_what_is_not_there_makes_no_file(home: Path, run: Run) -> None:
    ran = run("uninstall", "gemini")
    assert (ran.code, ran.out.startswith("Nothing to do:")) == (0, True)
    assert not (home / ".gemini").exists()


BROKEN = [
    b'{"mcpServers": {',
    b"[]",
    b'{"mcpServers": []}',
    b'{"mcpServers": null}',
    b'{"mcpServers": {"asg": "x"}}',
    b'{"mcpServers": {}, "mcpServers": {}}',
    b"\xff\xfe{\x00}\x00",
    b"{'mcpServers': {}}",
]


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_file_that_is_not_understood_is_left_as_it_is(home: Path, run: Run, content: bytes, command: str) -> None:
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_bytes(content)
    ran = run(command, "cursor", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "client_config_broken")
    assert "run this again" in ran.document["error"]["hint"]
    assert (file.read_bytes(), list(file.parent.iterdir())) == (content, [file])


def test_comments_are_refused_where_the_client_reads_none(home: Path, run: Run) -> None:
    (home / ".claude.json").write_text('{"a": 1} // mine', encoding="utf-8")
    ran = run("install", "claude-code")
    assert ran.code == 1
    assert "Claude Code reads neither" in ran.err


@pytest.mark.parametrize("content", ["", " \n", "{}", "{}\n"])
def test_an_empty_file_is_filled(home: Path, run: Run, content: str) -> None:
    file = home / ".gemini" / "settings.json"
    file.parent.mkdir()
    file.write_text(content, encoding="utf-8")
    assert run("install", "gemini").code == 0
    assert "asg" in _servers(file)


def _a_folder(file: Path) -> None:
    file.mkdir()


def _a_dangling_link(file: Path) -> None:
    file.symlink_to(file.parent / "nowhere")


def _a_link_to_itself(file: Path) -> None:
    file.symlink_to(file)


def _too_large(file: Path) -> None:
    with file.open("wb") as opened:
        opened.truncate(CLIENT_CONFIG_BYTES_MAX + 1)


def _below_a_file(file: Path) -> None:
    file.parent.rmdir()
    file.parent.write_text("", encoding="utf-8")


def _a_link_out_of_the_project(file: Path) -> None:
    target = file.parents[2] / "elsewhere.json"
    target.write_text("{}", encoding="utf-8")
    file.symlink_to(target)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right of their own there")
@pytest.mark.parametrize(
    "make", [_a_folder, _a_dangling_link, _a_link_to_itself, _too_large, _below_a_file, _a_link_out_of_the_project]
)
def test_what_cannot_be_used_is_refused_with_what_to_do(home: Path, run: Run, make: Callable[[Path], None]) -> None:
    file = home / "project" / ".cursor" / "mcp.json"
    file.parent.mkdir()
    make(file)
    ran = run("install", "cursor", "--scope", "project", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "client_config_unusable")
    assert ran.document["error"]["hint"]
    if make is _a_folder:
        assert "is no file" in ran.document["error"]["message"]


def test_a_link_of_the_user_stays_a_link(home: Path, run: Run) -> None:
    kept = home / "dotfiles" / "cursor.json"
    kept.parent.mkdir()
    kept.write_text('{"mcpServers": {}}', encoding="utf-8")
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.symlink_to(kept)
    assert run("install", "cursor", "--json").document["file"] == str(kept)
    assert file.is_symlink()
    assert "asg" in _servers(kept)


@pytest.mark.parametrize("failing", ["new_file", "_stamp"])
def test_a_write_that_fails_leaves_the_file_and_says_why(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text("{}", encoding="utf-8")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    stamps = iter([(1,), (2,)])
    monkeypatch.setattr(installfiles, failing, refuse if failing == "new_file" else lambda _: next(stamps))
    ran = run("install", "cursor", "--json")
    assert (ran.code, ran.document["error"]["code"]) == (1, "client_config_unusable")
    assert file.read_text(encoding="utf-8") == "{}"


@pytest.mark.skipif(sys.platform == "win32", reason="files there have no owner of this kind")
def test_a_file_of_another_user_is_not_taken_over(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("install", "cursor")
    owner = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    ran = run("uninstall", "cursor")
    assert ran.code == 1
    assert "another user" in ran.err


@pytest.mark.parametrize(
    "launcher",
    [
        "/home/ann/.cache/uv/archive-v0/Zx/bin/asg-mcp",
        "/home/ann/.local/share/pipx/.cache/ab12/bin/asg-mcp",
        "/home/ann/.cache/pipx/ab12/bin/asg-mcp",
    ],
)
def test_a_program_in_a_cache_is_not_installed_by_its_path(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    monkeypatch.setattr(config, "launcher", lambda: (launcher,))
    ran = run("install", "cursor")
    assert ran.code == 2
    assert "uv tool install" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ("emacs",),
        ("cursor", "--name", "a b"),
        ("cursor", "--name", "x" * 33),
        ("cursor", "--scope", "team"),
        ("cursor", "--db", "/data/$HOME.db"),
        ("cursor", "--db", "/data/\udcff.db"),
        ("cursor", "--db", "/data/a\nb.db"),
        ("cursor", "--toolsets", "nothing"),
        ("cursor", "--secrets", "/=explode"),
        ("cursor", "--agent", "a\nb"),
        ("claude-desktop", "--scope", "project"),
    ],
)
def test_what_the_server_or_the_client_would_refuse_is_refused_now(
    home: Path, run: Run, arguments: tuple[str, ...]
) -> None:
    before = sorted(home.rglob("*"))
    assert run("install", *arguments).code == 2
    assert sorted(home.rglob("*")) == before


def test_a_variable_of_claude_code_moves_its_file(home: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home / "cc"))
    assert _file(run("install", "claude-code", "--json")) == home / "cc" / ".claude.json"


@pytest.mark.parametrize("where", [("--name", "two", "--config", "there.json"), ("--scope", "project"), ()])
def test_the_way_back_names_the_same_entry(home: Path, run: Run, where: tuple[str, ...]) -> None:
    ran = run("install", "cursor", *where)
    (undo,) = [line.split()[2:] for line in ran.out.splitlines() if line.split()[:1] == ["undo"]]
    removed = run(*undo, "--json")
    assert (removed.code, removed.document["state"]) == (0, "removed")
    assert not _file(removed).exists()


def test_the_way_back_can_be_typed_where_the_program_is_on_no_path(home: Path, run: Run) -> None:
    assert f"{LAUNCHER[0]} uninstall cursor" in run("install", "cursor").out


SECRET = "sk-live-4242"
FOREIGN = {
    "command": "npx",
    "args": ["-y", "files", f"--key={SECRET}"],
    "env": {"API_KEY": SECRET},
    "headers": {"X": SECRET},
}


@pytest.mark.parametrize("command", [("install",), ("install", "--force"), ("uninstall",)])
@pytest.mark.parametrize("entry", [FOREIGN, {"command": f"KEY={SECRET} npx"}, {"url": f"https://x/?key={SECRET}"}])
def test_keys_of_another_program_are_not_shown(
    home: Path, run: Run, command: tuple[str, ...], entry: dict[str, Any]
) -> None:
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"mcpServers": {"asg": entry}}), encoding="utf-8")
    ran = run(command[0], "cursor", *command[1:], "--json")
    assert ran.document["error"]["code"] == "server_name_taken"
    assert SECRET not in ran.out + ran.err


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_variables_of_our_own_entry_are_not_shown(home: Path, run: Run, command: str) -> None:
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    docker = ["run", "-i", "--rm", "-e", f"KEY={SECRET}", "asg-mcp", "serve", "--read-only"]
    entry = {"command": "docker", "args": docker, "env": {"KEY": SECRET}}
    file.write_text(json.dumps({"mcpServers": {"asg": entry}}), encoding="utf-8")
    ran = run(command, "cursor", "--json")
    told = ran.document["before"] if command == "uninstall" else ran.document["error"]["details"]["has"]
    assert told == {"command": "docker", "args": ["…"] * 6 + ["serve", "--read-only"]}
    assert SECRET not in ran.out + ran.err


OURS: list[dict[str, Any]] = [
    {"command": "/opt/asg-mcp"},
    {"command": "C:\\Tools\\asg-mcp.EXE", "args": ["serve"]},
    {"command": "/usr/bin/python3.11", "args": ["-m", "asg_mcp", "serve"]},
    {"command": "docker", "args": ["run", "-i", "--rm", "-v", "asg-data:/data", "ghcr.io/x/asg-mcp:0.1", "serve"]},
]
THEIRS: list[dict[str, Any]] = [
    {"command": "npx", "args": ["@modelcontextprotocol/server-filesystem", "/home/u/src/asg-mcp"]},
    {"command": "python3", "args": ["server.py", "asg_mcp"]},
    {"command": "docker", "args": ["run", "-i", "-v", "/src/asg-mcp", "files", "asg-mcp"]},
    {"command": "docker", "args": ["exec", "asg-mcp", "sh"]},
    {"command": ["asg-mcp"]},
    {"command": "asg-mcp-files"},
]


@pytest.mark.parametrize("entry", [*OURS, *THEIRS])
def test_only_what_starts_this_program_is_taken_away(home: Path, run: Run, entry: dict[str, Any]) -> None:
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"mcpServers": {"asg": entry, "more": {}}}), encoding="utf-8")
    ran = run("uninstall", "cursor")
    assert (ran.code == 0) is (entry in OURS)
    assert ("asg" in _servers(file)) is (entry in THEIRS)


def _place(home: Path, text: str) -> installfiles.Place:
    file = home / "client.json"
    file.write_text(text, encoding="utf-8")
    return installfiles.Place(file, "Client", takes_comments=True)


@pytest.mark.parametrize("exists", [True, False])
def test_what_a_client_saves_while_the_new_text_is_written_is_not_replaced(
    home: Path, monkeypatch: pytest.MonkeyPatch, exists: bool
) -> None:
    place = _place(home, '{"history": [1]}')
    if not exists:
        place.path.unlink()
    saved = '{"history": [1, 2], "login": "new"}'
    fsync = os.fsync

    def the_client_saves(descriptor: int) -> None:
        place.path.write_text(saved, encoding="utf-8")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", the_client_saves)
    with pytest.raises(installfiles.ClientConfigUnusable, match="by another program"):
        installfiles.put_server(place, ("mcpServers", "asg"), {"command": "asg-mcp"}, replace=False)
    assert place.path.read_text(encoding="utf-8") == saved
    assert not list(home.glob("*client.json.*"))


def test_what_a_client_makes_at_the_last_moment_is_not_replaced(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = _place(home, "")
    place.path.unlink()
    stamp = installfiles._stamp

    def the_client_saves(path: Path) -> tuple[int, ...] | None:
        found = stamp(path)
        path.write_text("{}", encoding="utf-8")
        return found

    monkeypatch.setattr(installfiles, "_stamp", the_client_saves)
    with pytest.raises(installfiles.ClientConfigUnusable, match="by another program"):
        installfiles.put_server(place, ("mcpServers", "asg"), {"command": "asg-mcp"}, replace=False)
    assert place.path.read_text(encoding="utf-8") == "{}"


def test_two_who_install_at_once_take_turns(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = _place(home, '{"first": 1}')
    fsync, refused = os.fsync, []

    def somebody_else_installs(descriptor: int) -> None:
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(installfiles, "_LOCK_SECONDS_MAX", 0.05)
        try:
            installfiles.put_server(place, ("mcpServers", "two"), {"command": "asg-mcp"}, replace=False)
        except installfiles.ClientConfigUnusable as error:
            refused.append(str(error))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", somebody_else_installs)
    installfiles.put_server(place, ("mcpServers", "one"), {"command": "asg-mcp"}, replace=False)
    assert len(refused) == 1
    assert "at work" in refused[0]
    installfiles.put_server(place, ("mcpServers", "two"), {"command": "asg-mcp"}, replace=False)
    assert set(_servers(place.path)) == {"one", "two"}


def test_a_backup_replaces_nothing_that_appears_meanwhile(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = _place(home, "{}")
    monkeypatch.setattr(os.path, "lexists", lambda _: False)
    monkeypatch.setattr(time, "strftime", lambda *_: "20260101T000000Z")
    there = home / "client.json.20260101T000000Z.bak"
    there.write_text("mine", encoding="utf-8")
    changed = installfiles.put_server(place, ("mcpServers", "asg"), {"command": "asg-mcp"}, replace=False)
    assert there.read_text(encoding="utf-8") == "mine"
    assert changed.backup is not None
    assert changed.backup.read_text(encoding="utf-8") == "{}"


@pytest.mark.parametrize(
    "text", ["", "{}", '{"a":1}\n', '{\n  "a": 1\n}\n', "\ufeff{}\r\n", '{"mcpServers": {}}', "// a\n{}\n"]
)
def test_uninstall_gives_back_the_text_as_it_was(home: Path, run: Run, text: str) -> None:
    file = home / ".cursor" / "mcp.json"
    file.parent.mkdir()
    file.write_bytes(text.encode())
    assert run("install", "cursor").code == 0
    assert run("install", "cursor", "--name", "two").code == 0
    assert run("uninstall", "cursor", "--name", "two").code == 0
    assert run("uninstall", "cursor").code == 0
    assert file.read_bytes() == text.encode()


def test_a_container_that_install_made_goes_though_the_client_saved_since(home: Path, run: Run) -> None:
    file = home / ".claude.json"
    for before, after in (('{"a": 1}', {"a": 2}), ('{"a": 1, "mcpServers": {}}', {"a": 2, "mcpServers": {}})):
        for old in home.glob(".claude.json*"):
            old.unlink()
        file.write_text(before, encoding="utf-8")
        run("install", "claude-code")
        file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), "a": 2}), encoding="utf-8")
        assert run("uninstall", "claude-code").code == 0
        assert json.loads(file.read_text(encoding="utf-8")) == after


def test_a_file_that_install_made_goes_unless_it_holds_something(home: Path, run: Run) -> None:
    file = _file(run("install", "gemini", "--json"))
    assert Path(run("uninstall", "gemini", "--json").document["backup"]).exists()
    assert not file.exists()
    run("install", "gemini")
    file.write_text("// mine\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    run("uninstall", "gemini")
    assert file.read_text(encoding="utf-8").split() == ["//", "mine", "{}"]


@pytest.mark.skipif(sys.platform == "win32", reason="files there have no such mode")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_the_file_and_its_backup_keep_mode_and_group(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    file = home / ".claude.json"
    file.write_text("{}", encoding="utf-8")
    if os.geteuid() == 0:
        os.chown(file, -1, 12345)
    group = file.stat().st_gid
    file.chmod(mode)
    backup = Path(run("install", "claude-code", "--json").document["backup"])
    for kept in (file, backup):
        assert (stat.S_IMODE(kept.stat().st_mode), kept.stat().st_gid) == (mode, group)

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", refuse)
    run("uninstall", "claude-code")
    assert stat.S_IMODE(file.stat().st_mode) == mode & 0o707


def test_where_the_marks_are_is_told_to_the_server_of_the_client(
    home: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(config.STATE_VARIABLE, str(home / "marks"))
    file = _file(run("install", "cursor", "--json"))
    env = {config.STATE_VARIABLE: str(home / "marks")}
    assert _servers(file)["asg"]["env"] == env
    assert run("install", "cursor").out.startswith("Nothing to do:")
    mine = file.read_text(encoding="utf-8").replace('"env": {', '"env": {"MINE": "1",')
    file.write_text(mine, encoding="utf-8")
    assert run("install", "cursor").out.startswith("Nothing to do:")
    monkeypatch.setenv(config.STATE_VARIABLE, str(home / "other"))
    assert run("install", "cursor").code == 1
    assert run("install", "cursor", "--force").code == 0
    assert _servers(file)["asg"]["env"] == {"MINE": "1", config.STATE_VARIABLE: str(home / "other")}
    monkeypatch.setenv(config.STATE_VARIABLE, "/marks/$HOME")
    assert run("install", "gemini").code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="the mode of a file is another thing there")
@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_file_that_is_read_only_stays_as_it_is(home: Path, run: Run, command: str) -> None:
    file = home / ".cursor" / "mcp.json"
    run("install", "cursor", "--name", "one")
    before = file.read_bytes()
    file.chmod(0o444)
    names = sorted(file.parent.iterdir())
    ran = run(command, "cursor", "--name", "two" if command == "install" else "one")
    assert (ran.code, file.read_bytes(), sorted(file.parent.iterdir())) == (1, before, names)
    assert "read-only" in ran.err


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_the_help_names_every_client_and_its_options(run: Run, command: str) -> None:
    ran = run(command, "--help")
    assert ran.code == 0
    for told in (*CLIENTS, "--scope", "--name", "--config", "--db", "exit codes:"):
        assert told in ran.out
    assert ("--force" in ran.out) is (command == "install")
