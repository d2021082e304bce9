"""`install` and `uninstall`: tell a client of this server, in the client's own file, and take that back."""

from __future__ import annotations

import json
import re
import shlex
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from asg_mcp import config
from asg_mcp.cli.installclients import CLIENTS, PROJECT, SCOPES, USER, Client, folders
from asg_mcp.cli.installentries import shown
from asg_mcp.cli.installfiles import Changed, Place, put_server, take_server
from asg_mcp.cli.output import GOOD, STRONG, Output
from asg_mcp.cli.serving import SERVER_KEY, server_command
from asg_mcp.core.intents import check_name
from asg_mcp.errors import InvalidArgument, InvalidName

INSTALL = "have a client start this server: add it to the client's own configuration"
UNINSTALL = "take the server out of a client's configuration again"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
_FLEETING = re.compile(r"/(uv/(.*/)?(archive|environments|builds)-v\d+|pipx/\.cache|\.cache/pipx)/")
"""Where `uvx` and `pipx run` keep a program for as long as they like."""


def add_options(command: ArgumentParser, *, installs: bool) -> None:
    """What both commands take."""
    command.add_argument("client", metavar="CLIENT", choices=tuple(CLIENTS), help=", ".join(CLIENTS))
    command.add_argument("--name", default=SERVER_KEY, help=f"what the client calls the server (default: {SERVER_KEY})")
    command.add_argument(
        "--scope",
        choices=SCOPES,
        default=USER,
        help="user: for you, everywhere; project: for the current folder (default: user)",
    )
    command.add_argument(
        "--config", metavar="FILE", type=_file, help="the client's file, where it is not in its usual place"
    )
    if installs:
        command.add_argument("--print", action="store_true", help="only print what would be added; change nothing")
        command.add_argument("--force", action="store_true", help="replace how a server of that name is started")


async def install(output: Output, options: Namespace) -> int:
    """Add the server to the client's file, or print what would be added."""
    client, place, keys = _asked(options)
    command = _command(client, options)
    variables = _variables()
    entry = client.entry(command, variables)
    by_itself = client.by_itself(options.name, command, options.scope, variables)
    if options.print:
        _print(output, client, place.path, {keys[0]: {keys[1]: entry}}, by_itself)
        return 0
    changed = put_server(place, keys, entry, replace=options.force)
    if output.as_json:
        output.document({**_told(client, keys[1], changed), "entry": entry, **by_itself})
        return 0
    if changed.state == "unchanged":
        output.line(f"Nothing to do: {client.title} has {keys[1]} already, in {changed.file}.")
        return 0
    output.line((changed.state.title(), GOOD), f": {client.title} starts ", (keys[1], STRONG), f", by {changed.file}")
    output.field("command", shlex.join(command))
    _show_backup(output, changed)
    output.field("next", client.restart)
    output.field("undo", shlex.join([*config.launcher(), "uninstall", client.key, *_where(options)]))
    for what, text in by_itself.items():
        output.field(f"or {what}", text)
    if options.scope == PROJECT:
        output.warn(
            "The file has paths of this machine; keep it out of version control, or let each machine make its own."
        )
    return 0


async def uninstall(output: Output, options: Namespace) -> int:
    """Take the server out of the client's file."""
    client, place, keys = _asked(options)
    changed = take_server(place, keys)
    if output.as_json:
        output.document(_told(client, keys[1], changed))
    elif changed.state == "unchanged":
        output.line(f"Nothing to do: {client.title} has no server called {keys[1]} in {changed.file}.")
    else:
        output.line(
            ("Removed", GOOD), f": {client.title} does not start ", (keys[1], STRONG), f" any more, by {changed.file}"
        )
        _show_backup(output, changed)
        output.field("next", client.restart)
        output.field(
            "kept", f"the history, in {config.store_place(options.db).path} unless the server had another --db"
        )
    return 0


def _asked(options: Namespace) -> tuple[Client, Place, tuple[str, str]]:
    if not _NAME.fullmatch(options.name):
        raise InvalidName(
            f"{options.name!r} cannot be the name of a server in every client",
            hint="Use letters, digits, - and _, at most 32.",
        )
    client = CLIENTS[options.client]
    found = folders()
    path = options.config or Path(client.file(options.scope, found))
    within = Path(found.project) if options.scope == PROJECT and not options.config else None
    return client, Place(path, client.title, client.takes_comments, within), (client.container, options.name)


def _command(client: Client, options: Namespace) -> tuple[str, ...]:
    """What the client has to start: absolute, and with the store named, because a client has another environment."""
    launcher = config.launcher()
    if _FLEETING.search(Path(launcher[0]).as_posix()):
        raise InvalidArgument(
            f"This program runs from a cache that may be emptied at any time: {launcher[0]}",
            hint="Install it to stay (`uv tool install`, `pipx install`, or pip in a folder of its own), and run that.",
        )
    if not config.default_agent(options.agent) and not config.bound_session(options.session):
        options.agent = client.key
    check_name(config.default_agent(options.agent), "agent", empty=True)
    options.secrets = config.secrets_text(options.secrets)
    config.secrets_policy(options.secrets)
    place = config.store_place(options.db)
    given = server_command(options)[len(launcher) :]
    db = () if place.named_by else ("--db", str(place.path))
    command = (*launcher, "serve", *db, *given)
    _check_told(command)
    return command


def _variables() -> dict[str, str]:
    """What has no option: where the marks of stores are, if that is not the usual place."""
    if not config.own_environment().get(config.STATE_VARIABLE):
        return {}
    folder = str(config.state_folder())
    _check_told((folder,))
    return {config.STATE_VARIABLE: folder}


def _check_told(words: Sequence[str]) -> None:
    if not all(word.isprintable() for word in words):
        raise InvalidArgument(
            f"Not every client can be told of {shlex.join(words)!a}", hint="Use a path of printable characters."
        )
    if any("$" in word for word in words):
        raise InvalidArgument(
            f"Clients would replace the $ in {shlex.join(words)}", hint="Use a path without it, by --db or a link."
        )


def _print(output: Output, client: Client, path: Path, document: dict[str, Any], by_itself: dict[str, str]) -> None:
    if output.as_json:
        output.document({"client": client.key, "file": str(path), "add": document, **by_itself})
        return
    output.value(json.dumps(document, indent=2, ensure_ascii=False))
    output.warn(f"This goes into {path}; nothing was changed.")
    for what, text in by_itself.items():
        output.warn(f"{'This link' if what == 'link' else 'This command'} does the same: {text}")


def _told(client: Client, name: str, changed: Changed) -> dict[str, Any]:
    """What --json says of both."""
    return {
        "client": client.key,
        "name": name,
        "state": changed.state,
        "file": str(changed.file),
        "backup": None if changed.backup is None else str(changed.backup),
        "before": shown(changed.entry),
    }


def _where(options: Namespace) -> list[str]:
    """The options that name the same entry again."""
    words = [] if options.name == SERVER_KEY else ["--name", options.name]
    words += [] if options.scope == USER else ["--scope", options.scope]
    return words + ([] if options.config is None else ["--config", str(options.config)])


def _show_backup(output: Output, changed: Changed) -> None:
    if changed.backup is not None:
        output.field("backup", str(changed.backup))


def _file(text: str) -> Path:
    return Path(text).expanduser().absolute()
