"""What README.md tells people to type works, and what it shows is what they will see."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from asg_mcp import StateGraph, config
from asg_mcp.cli.arguments import parse, parser
from asg_mcp.tools.catalogue import CATALOGUE, CORE
from tests.kit.readme import INSTALL, OUTPUT, README, anonymous, install_tables, play, printed, section, tables

ROOT = README.parent
PAGE = README.read_text(encoding="utf-8")
PAGES = (PAGE, INSTALL.read_text(encoding="utf-8"))
OUTPUTS = OUTPUT.findall(PAGE)
TYPED = re.compile(r"`asg-mcp ([a-z][^`]*)`|bin/asg-mcp ([a-z][^\n]*)$", re.MULTILINE)


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that `asg-mcp demo --keep` leaves."""
    return play(tmp_path_factory.mktemp("readme"))


@pytest.mark.parametrize("marker", tables())
def test_each_table_of_the_page_is_what_the_code_says(marker: str) -> None:
    assert section(PAGE, marker) == tables()[marker]


def test_each_file_of_a_client_on_the_page_is_the_one_that_is_written() -> None:
    for marker, table in install_tables().items():
        assert section(PAGES[1], marker) == table


def test_the_page_shows_the_outputs_it_promises() -> None:
    assert [command.split()[0] for command, _ in OUTPUTS] == ["blame", "log", "diff", "verify"]


@pytest.mark.parametrize(("command", "shown"), OUTPUTS, ids=[command.split()[0] for command, _ in OUTPUTS])
def test_each_output_on_the_page_is_what_the_command_prints(demo_store: Path, command: str, shown: str) -> None:
    assert anonymous(shown) == anonymous(printed(command, demo_store))


@pytest.mark.parametrize("marker", ["run-command", "test-command"])
def test_the_page_has_one_command_for_each_thing_that_ci_runs(marker: str) -> None:
    blocks = re.findall(rf"^<!-- {marker} -->\n```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    assert len(blocks[0].splitlines()) == 1


def test_every_command_that_the_page_names_can_be_typed() -> None:
    named = [command for page in PAGES for command in re.findall(TYPED, page)]
    usages = {line.split("`")[1].removeprefix("asg-mcp ") for line in tables()["commands"].splitlines()[3:]}
    assert named
    for command in {found or line for found, line in named} - usages:
        parse(shlex.split(command, comments=True))


def test_every_option_and_variable_that_the_page_names_exists() -> None:
    known = parser().format_help() + "".join(
        usage.format_help() for action in parser()._actions for usage in dict(action.choices or {}).values()
    )
    for page in PAGES:
        for name in set(re.findall(r"`(--[a-z-]+|ASG_[A-Z_]+)", page)):
            assert name in known


@pytest.mark.parametrize("page", [README, INSTALL], ids=["README", "install"])
def test_every_file_that_the_page_links_to_is_there(page: Path) -> None:
    links = set(re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text(encoding="utf-8")))
    assert links
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_call_in_the_conversation_is_one_that_the_tool_takes() -> None:
    calls = re.findall(r"`(asg_\w+) (\{.*?\})`", PAGE)
    assert [name for name, _ in calls] == ["asg_blame", "asg_revert"]
    (shown,) = [shown for command, shown in OUTPUTS if command.startswith("blame")]
    for name, arguments in calls:
        (tool,) = [tool for tool in CATALOGUE if tool.name == name]
        tool.params.model_validate_json(arguments)
        for word in ("node-3", "81b28f2bed62"):
            assert word not in arguments or word in shown


def test_the_page_counts_as_many_tools_as_there_are() -> None:
    assert f"All {len(CATALOGUE)} cost a model" in PAGE
    ten = {10: "ten"}[len(CORE)]
    assert f"`--toolsets core` offers the {ten}" in PAGE


def test_the_example_configuration_starts_this_program() -> None:
    example = json.loads((ROOT / "claude_desktop_config.example.json").read_text(encoding="utf-8"))
    (server,) = example["mcpServers"].values()
    assert server["command"].startswith("/absolute/path/to/")
    assert server["command"] in PAGE
    options = parse(server["args"])
    assert options.agent == "claude-desktop"


def test_the_default_place_on_the_page_is_the_one_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    shown = str(config.default_path()).replace(str(Path.home()), "~")
    assert f"`{shown}`" in PAGE


def test_what_the_agent_says_in_the_conversation_is_what_happens(demo_store: Path, tmp_path: Path) -> None:
    copy = tmp_path / "state.db"
    shutil.copy(demo_store, copy)
    with StateGraph(copy) as graph:
        graph.branch("morning", "main~1")
        drained = graph.blame("/cluster/node-3/status", "morning")
        found = (drained.agent, drained["confidence"], drained["authority"]["principal"])
        assert found == ("night-watch", 0.73, "alice@ops")
        graph.revert(drained["commit"], "The disk was replaced at 7 AM", ref="morning")
        state = graph.get("/", "morning")
    assert state["cluster"]["node-3"]["status"] == "ready"
    assert state["services"]["checkout"]["version"] == "2.4.1"
