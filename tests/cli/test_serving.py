from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from asg_mcp import __version__, config
from asg_mcp.cli.serving import client_configuration
from tests.cli.conftest import Run
from tests.kit.rpc import RawClient, raw_client

WAIT_SECONDS = 60
MODULE = [sys.executable, "-m", "asg_mcp"]
posix = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals and file modes are of POSIX")


def _at_a_terminal(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the program with a terminal as its standard input."""
    master, terminal = os.openpty()
    try:
        return subprocess.run(
            [*MODULE, *arguments],
            stdin=terminal,
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
            check=False,
            env={**config.own_environment(), "XDG_DATA_HOME": str(home)},
        )
    finally:
        os.close(master)
        os.close(terminal)


@posix
def test_at_a_terminal_it_says_what_it_is_and_ends(tmp_path: Path) -> None:
    told = _at_a_terminal(home=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    for text in (
        f"asg-mcp {__version__}",
        "state.db (made when a client first starts the server)",
        "claude mcp add asg -- /",
        "claude_desktop_config.json",
        "~/.cursor/mcp.json",
        "get, log, blame, diff, branches",
        "demo",
    ):
        assert text in told.stdout
    assert list(tmp_path.iterdir()) == []


@posix
def test_at_a_terminal_it_repeats_the_options_it_was_given(tmp_path: Path) -> None:
    told = _at_a_terminal("--db", "my state.db", "--agent", "bob", "--json", home=tmp_path)
    document = json.loads(told.stdout)
    place = str(Path("my state.db").absolute())
    server = document["connect"]["claude_desktop_and_cursor"]["mcpServers"]["asg"]
    assert Path(server["command"]).is_absolute()
    assert server["args"][-4:] == ["--db", place, "--agent", "bob"]
    assert f"'{place}'" in document["connect"]["claude_code"]


async def _blame(client: RawClient, path: str) -> dict[str, str]:
    reply = await client.ask(client.call("asg_blame", {"path": path}))
    (entry,) = reply["result"]["structuredContent"]["entries"]
    return dict(entry)


async def test_without_a_command_it_serves_a_client_and_makes_a_private_store(tmp_path: Path) -> None:
    path = tmp_path / "new" / "state.db"
    async with raw_client("-m", "asg_mcp", env={"ASG_DB": str(path), "ASG_AGENT": "bob"}) as client:
        await client.handshake()
        write = {"path": "/a", "value": 1, "intent_category": "Custom", "intent_description": "Try"}
        written = await client.ask(client.call("asg_set", write))
        assert written["result"]["structuredContent"]["changed"] == 1
        entry = await _blame(client, "/a")
        client.end_input()
        assert await client.exit_code() == 0
    assert (entry["agent"], entry["principal"], entry["client"]) == ("bob", config.local_principal(), "raw/1")
    if os.name == "posix":
        assert path.stat().st_mode & 0o777 == 0o600
        assert path.parent.stat().st_mode & 0o777 == 0o700


async def test_the_agent_is_the_client_where_none_is_named(tmp_path: Path) -> None:
    async with raw_client("-m", "asg_mcp", "serve", "--db", str(tmp_path / "state.db")) as client:
        await client.handshake("some-client", "2")
        write = {"path": "/a", "value": 1, "intent_category": "Custom", "intent_description": "Try"}
        await client.ask(client.call("asg_set", write))
        entry = await _blame(client, "/a")
    assert (entry["agent"], entry["client"]) == ("some-client", "some-client/2")


@pytest.mark.parametrize("agent", [" outer spaces ", "line\nbreak"])
def test_an_agent_that_cannot_be_recorded_is_refused_at_once(run: Run, tmp_path: Path, agent: str) -> None:
    ran = run("serve", "--agent", agent, "--db", str(tmp_path / "state.db"))
    assert ran.code == 2
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_cannot_be_opened_is_told_on_standard_error(run: Run, tmp_path: Path) -> None:
    ran = run("serve", "--db", str(tmp_path))
    assert (ran.code, ran.out) == (3, "")
    assert "Error: " in ran.err


def test_a_command_of_several_words_becomes_command_and_args() -> None:
    assert client_configuration(["/a", "-m", "b"]) == {"mcpServers": {"asg": {"command": "/a", "args": ["-m", "b"]}}}
    assert client_configuration(["/a"]) == {"mcpServers": {"asg": {"command": "/a"}}}


@posix
def test_a_reader_that_goes_away_is_no_error(store: Path) -> None:
    command = f"'{sys.executable}' -m asg_mcp log --db '{store}' | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", command],
        env=dict(config.own_environment()),
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
        check=True,
    )
    assert done.stdout.strip() in ("0", "141")
    assert done.stderr == ""


@posix
def test_serve_at_a_terminal_says_that_it_serves_until_the_input_ends(tmp_path: Path) -> None:
    master, terminal = os.openpty()
    with subprocess.Popen(
        [*MODULE, "serve", "--db", str(tmp_path / "state.db")],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=terminal,
        env=dict(config.own_environment()),
    ) as process:
        os.close(terminal)
        shown = b""
        while b"Ctrl-C" not in shown:
            shown += os.read(master, 1_024)
        os.write(master, b"\x04")  # the end of the input, as a person types it
        assert process.wait(WAIT_SECONDS) == 0
        assert process.stdout is not None
        assert process.stdout.read() == b""
    os.close(master)
    assert b"Serving MCP on this terminal" in shown


def test_an_interrupted_command_ends_with_its_own_exit_code(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("asg_mcp.cli.render.log", interrupt)
    assert run("log", "--db", str(store)).code == 130


# --- which tools are offered -------------------------------------------------------


async def _offered(*arguments: str, **variables: str) -> list[str]:
    async with raw_client("-m", "asg_mcp", "serve", *arguments, env=variables) as client:
        await client.handshake()
        listed = await client.ask(client.request("tools/list"))
    return [tool["name"] for tool in listed["result"]["tools"]]


async def test_the_operator_chooses_the_tools_by_options_and_by_variables(tmp_path: Path) -> None:
    db = ("--db", str(tmp_path / "state.db"))
    chosen = await _offered(*db, "--tools", "asg_get,asg_set,asg_log", "--exclude-tools", "asg_log")
    assert chosen == ["asg_get", "asg_set"]
    assert await _offered(*db, ASG_TOOLSETS="branch", ASG_READ_ONLY="1", ASG_EXCLUDE_TOOLS="asg_diff") == [
        "asg_list_branches"
    ]


def test_a_toolset_that_is_not_there_is_refused_before_a_store_is_made(run: Run, tmp_path: Path) -> None:
    ran = run("serve", "--toolsets", "stat", "--db", str(tmp_path / "state.db"))
    assert ran.code == 2
    assert "Did you mean state?" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_server_makes_no_store(run: Run, tmp_path: Path) -> None:
    ran = run("serve", "--read-only", "--db", str(tmp_path / "state.db"))
    assert ran.code == 3
    assert list(tmp_path.iterdir()) == []


@posix
def test_at_a_terminal_it_repeats_the_choice_of_tools(tmp_path: Path) -> None:
    told = _at_a_terminal(
        "--toolsets", "core,branch", "--exclude-tools=asg_set", "--read-only", "--json", home=tmp_path
    )
    server = json.loads(told.stdout)["connect"]["claude_desktop_and_cursor"]["mcpServers"]["asg"]
    assert server["args"][-5:] == ["--toolsets", "core,branch", "--exclude-tools", "asg_set", "--read-only"]
