"""What README.md tells people to type works, and what it shows is what they will see."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from asg_mcp import config
from asg_mcp.cli.arguments import parse, parser
from tests.kit.readme import OUTPUT, README, anonymous, play, printed, section, tables

ROOT = README.parent
PAGE = README.read_text(encoding="utf-8")
OUTPUTS = OUTPUT.findall(PAGE)


@pytest.fixture(scope="module")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that `asg-mcp demo --keep` leaves."""
    return play(tmp_path_factory.mktemp("readme"))


@pytest.mark.parametrize("marker", tables())
def test_each_table_of_the_page_is_what_the_code_says(marker: str) -> None:
    assert section(PAGE, marker) == tables()[marker]


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
    named = re.findall(r"`asg-mcp ([a-z][^`]*)`", PAGE) + re.findall(r"bin/asg-mcp ([a-z]+)$", PAGE, re.MULTILINE)
    usages = {line.split("`")[1].removeprefix("asg-mcp ") for line in tables()["commands"].splitlines()[3:]}
    assert named
    for command in set(named) - usages:
        parse(shlex.split(command))


def test_every_option_and_variable_that_the_page_names_exists() -> None:
    known = parser().format_help() + "".join(
        usage.format_help() for action in parser()._actions for usage in dict(action.choices or {}).values()
    )
    for name in set(re.findall(r"`(--[a-z]+|ASG_[A-Z]+)", PAGE)):
        assert name in known


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#:]+)[^):]*\)", PAGE))))
def test_every_file_that_the_page_links_to_is_there(link: str) -> None:
    assert (ROOT / link).exists()


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
