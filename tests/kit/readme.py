"""The parts of README.md and docs/install.md that are made from the code, or shown as the program printed them.

Run as `python -m tests.kit.readme`, it writes them into the pages.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath

from asg_mcp import config
from asg_mcp.cli.arguments import parser
from asg_mcp.cli.installclients import CLIENTS, USER, Folders, settings_folder
from asg_mcp.core import limits
from asg_mcp.tools.catalogue import CATALOGUE
from tests.kit.settings import settings

README = Path(__file__).parents[2] / "README.md"
INSTALL = README.parent / "docs" / "install.md"
OUTPUT = re.compile(r"<!-- output: asg-mcp ([^\n]*) -->\n```text\n(.*?)```", re.DOTALL)
"""A command and what it printed on the store that the demo keeps."""
_SECONDS = 60

SHOWN_LIMITS = {
    "VALUE_BYTES_MAX": "Bytes of one value",
    "COMMIT_BYTES_MAX": "Bytes of all values of one commit",
    "VALUE_DEPTH_MAX": "Levels of nesting",
    "KEY_BYTES_MAX": "Bytes of one map key",
    "PATH_BYTES_MAX": "Bytes of one path",
    "OPERATIONS_MAX": "Operations of one `asg_apply`",
    "REASONING_BYTES_MAX": "Bytes of the reasoning of one commit",
    "REPLY_BYTES_MAX": "Bytes of a reply, unless more is asked for",
    "LOCK_WAIT_SECONDS_MAX": "Seconds that a write waits for its turn among processes",
}


def tables() -> dict[str, str]:
    """Marker -> the table between `<!-- marker -->` and `<!-- /marker -->`."""
    return {"tools": _tools(), "settings": _settings(), "commands": _commands(), "limits": _limits()}


def install_tables() -> dict[str, str]:
    """The same of docs/install.md."""
    return {"clients": _clients()}


def section(page: str, marker: str) -> str:
    """What the page has between the two marks."""
    found = re.search(rf"<!-- {marker} -->\n(.*?)<!-- /{marker} -->", page, re.DOTALL)
    assert found is not None, f"README.md has no section {marker}"
    return found[1]


def _tools() -> str:
    rows = ["| Tool | Effect | What it does |", "|---|---|---|"]
    for tool in CATALOGUE:
        name = f"[`{tool.name}`](tools/{tool.group}.md#{tool.name})"
        hints = tool.effect.hints
        effect = "reads" if hints.read_only else "removes" if hints.destructive else "writes"
        purpose = tool.description.split(". ")[0].rstrip(".")
        rows.append(f"| {name} | {effect} | {purpose} |")
    return "\n".join(rows) + "\n"


def _settings() -> str:
    rows = ["| Option of `serve` | Variable | Default | What it says |", "|---|---|---|---|"]
    for setting in settings():
        option = f"`{' '.join(filter(None, (setting.option, setting.metavar)))}`" if setting.option else ""
        variable = f"`{setting.variable}`" if setting.variable else ""
        rows.append(f"| {option} | {variable} | {setting.default} | {setting.meaning} |")
    return "\n".join(rows) + "\n"


def _folders(system: str, home: PurePath) -> Folders:
    return Folders(home, settings_folder(system, home, None), home, home)


_SYSTEMS = {
    "Linux": _folders("linux", PurePosixPath("~")),
    "macOS": _folders("darwin", PurePosixPath("~")),
    "Windows": _folders("win32", PureWindowsPath("%USERPROFILE%")),
}


def _clients() -> str:
    rows = ["| `CLIENT` | your file | a project's |", "|---|---|---|"]
    for client in CLIENTS.values():
        files = {str(client.file(USER, folders)): name for name, folders in _SYSTEMS.items()}
        shown = [f"{name}: `{file}`" for file, name in files.items()]
        if len({file.split("~")[-1] for file in files if "~" in file}) == 1:
            shown = [f"`{next(iter(files))}`"]
        rows.append(
            f"| {client.key} | {'<br>'.join(shown)} | {f'`{client.project_file}`' if client.project_file else ''} |"
        )
    return "\n".join(rows) + "\n"


def _commands() -> str:
    alone = "| `asg-mcp` | serve a client; in a terminal, say how to connect one |"
    return "\n".join(["| Command | What it does |", "|---|---|", alone, *_rows("asg-mcp", parser())]) + "\n"


def _rows(program: str, of: argparse.ArgumentParser) -> Iterator[str]:
    (commands,) = (action for action in of._actions if isinstance(action, argparse._SubParsersAction))
    for about in commands._choices_actions:
        command = commands.choices[about.dest]
        places = command._get_positional_actions()
        if any(isinstance(place, argparse._SubParsersAction) for place in places):
            yield from _rows(f"{program} {about.dest}", command)
            continue
        shown = [f"[{place.metavar}]" if place.nargs == "?" else str(place.metavar) for place in places]
        yield f"| `{' '.join([program, about.dest, *shown])}` | {about.help} |"


def _limits() -> str:
    rows = [f"| {text} | {getattr(limits, name):,.0f} | `{name}` |" for name, text in SHOWN_LIMITS.items()]
    return "\n".join(["| What | At most | Name |", "|---|---|---|", *rows]) + "\n"


def printed(command: str, store: Path) -> str:
    """What a command prints on a store of the demo."""
    done = subprocess.run(
        [*config.own_command(), *command.split(), "--db", str(store)],
        env=dict(config.own_environment()),
        capture_output=True,
        encoding="utf-8",
        timeout=_SECONDS,
        check=True,
    )
    return done.stdout.replace(str(store), "state.db").replace(config.local_principal(), "local:alice")


def play(folder: Path) -> Path:
    """A store of the demo."""
    store = folder / "state.db"
    subprocess.run(
        [*config.own_command(), "demo", "--db", str(store)],
        env=dict(config.own_environment()),
        capture_output=True,
        timeout=_SECONDS,
        check=True,
    )
    return store


def anonymous(text: str) -> str:
    """The text without what differs from run to run: ids, times, ages, and how the store's own salt cuts the tree."""
    text = re.sub(r"\b\d+ nodes?\b", "<nodes>", text)
    text = re.sub(r"\b[0-9a-f]{12}\b", "<commit>", text)
    text = re.sub(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}(:\d{2} UTC)?", "<time>", text)
    return re.sub(r" \((just now|\d+ \w+ ago)\)", "", text)


def with_tables(page: str, made_now: dict[str, str]) -> str:
    """The page with each table in its place."""
    for marker, table in made_now.items():
        head, rest = page.split(f"<!-- {marker} -->\n")
        _, tail = rest.split(f"<!-- /{marker} -->")
        page = f"{head}<!-- {marker} -->\n{table}<!-- /{marker} -->{tail}"
    return page


def made(page: str, store: Path) -> str:
    """The page with its tables and outputs as the code now makes them. An output that differs in ids alone is kept."""
    page = with_tables(page, tables())

    def output(found: re.Match[str]) -> str:
        text = printed(found[1], store)
        shown = found[2] if anonymous(text) == anonymous(found[2]) else text
        return f"<!-- output: asg-mcp {found[1]} -->\n```text\n{shown}```"

    return OUTPUT.sub(output, page)


if __name__ == "__main__":
    INSTALL.write_text(with_tables(INSTALL.read_text(encoding="utf-8"), install_tables()), encoding="utf-8")
    with tempfile.TemporaryDirectory() as scratch:
        README.write_text(made(README.read_text(encoding="utf-8"), play(Path(scratch))), encoding="utf-8")
