"""The parts of README.md that are made from the code, or shown as the program printed them.

Run as `python -m tests.kit.readme`, it writes them into the page.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import tempfile
from pathlib import Path

from asg_mcp import config
from asg_mcp.cli.arguments import parser
from asg_mcp.core import limits
from asg_mcp.tools.catalogue import CATALOGUE

README = Path(__file__).parents[2] / "README.md"
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
    return {"tools": _tools(), "commands": _commands(), "limits": _limits()}


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


def _commands() -> str:
    alone = "| `asg-mcp` | serve a client; in a terminal, say how to connect one |"
    rows = ["| Command | What it does |", "|---|---|", alone]
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    for about in commands._choices_actions:
        places = commands.choices[about.dest]._get_positional_actions()
        shown = [f"[{place.metavar}]" if place.nargs == "?" else str(place.metavar) for place in places]
        rows.append(f"| `{' '.join(['asg-mcp', about.dest, *shown])}` | {about.help} |")
    return "\n".join(rows) + "\n"


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


def made(page: str, store: Path) -> str:
    """The page with its tables and outputs as the code now makes them. An output that differs in ids alone is kept."""
    for marker, table in tables().items():
        head, rest = page.split(f"<!-- {marker} -->\n")
        _, tail = rest.split(f"<!-- /{marker} -->")
        page = f"{head}<!-- {marker} -->\n{table}<!-- /{marker} -->{tail}"

    def output(found: re.Match[str]) -> str:
        text = printed(found[1], store)
        shown = found[2] if anonymous(text) == anonymous(found[2]) else text
        return f"<!-- output: asg-mcp {found[1]} -->\n```text\n{shown}```"

    return OUTPUT.sub(output, page)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        README.write_text(made(README.read_text(encoding="utf-8"), play(Path(scratch))), encoding="utf-8")
