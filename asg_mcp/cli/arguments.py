"""What can be typed: the commands, their options, and their help."""

from __future__ import annotations

import argparse
import os
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from asg_mcp import __version__, config
from asg_mcp.cli import (
    archives,
    classes,
    collecting,
    demo,
    events,
    exporting,
    health,
    httpserving,
    install,
    keeping,
    keys,
    migrating,
    reading,
    redacting,
    serving,
    tokens,
    verifying,
)
from asg_mcp.cli.output import Output
from asg_mcp.core.limits import BACKUPS_KEPT_MAX, PAGE_ITEMS_DEFAULT, VALUE_DEPTH_MAX
from asg_mcp.errors import InvalidArgument
from asg_mcp.server.profiles import toolset_names
from asg_mcp.tools.catalogue import CATALOGUE

Command = Callable[[Output, argparse.Namespace], Awaitable[int]]
"""What runs a command; returns its exit code."""

ABOUT = """\
Versioned, blameable state for AI agents, served over the Model Context Protocol from one SQLite file.
Without a command it serves a client on standard input and output; at a terminal it says how to connect one.
"""
EXIT_CODES = """\
exit codes:
  0    done; verify and doctor: all is well
  1    the answer is no: no such path or ref, damage found, something to mend
  2    the command line was not understood
  3    the store could not be opened or read
  130  interrupted
"""
VARIABLES = f"""\
environment:
  {config.DB_VARIABLE}     the store file, where --db is not given
  {config.AGENT_VARIABLE}  the agent recorded for calls that name none, where --agent is not given
  {config.SESSION_VARIABLE}  the session that all calls belong to, where --session is not given
  {config.TOOLSETS_VARIABLE}, {config.TOOLS_VARIABLE}, {config.EXCLUDE_TOOLS_VARIABLE}
             names between commas, where --toolsets, --tools, --exclude-tools are not given
  {config.READ_ONLY_VARIABLE}  1 for --read-only
  {config.SECRETS_VARIABLE}  what becomes of secrets in writes, where --secrets is not given (default: /=reject)
  {config.STATE_VARIABLE}  the folder of what must lie outside a store: how far its log had come
             (default: {config.state_folder()})
  NO_COLOR   set to anything for output without colours
"""
MIGRATE = "bring the state on a branch to the newest version that the installed packages know"
_PATH_HELP = "a JSON Pointer such as /cluster/node-3/status; / is the whole state"
_REF_HELP = "a branch, a tag, a commit id, main~3 or main@2026-11-21T02:00:00Z (default: main)"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InvalidArgument(message[:1].upper() + message[1:], hint=f"`{self.prog} --help` shows what can be given.")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options: db, agent, json and run (a Command) always, the others with their command.

    Raises InvalidArgument; --help and --version print and leave by SystemExit.
    """
    options = argparse.Namespace(
        db="",
        agent="",
        session="",
        secrets="",
        json=False,
        toolsets="",
        tools="",
        exclude_tools="",
        read_only=False,
        http=False,
        run=serving.serve_or_tell,
    )
    return parser().parse_args(arguments, options)


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    # Suppressed defaults: an option may stand before or behind the command, and the later one counts.
    common = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--db", metavar="FILE", help=f"the store file (default: {config.default_path()})")
    answering = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    answering.add_argument("--json", action="store_true", help="answer with one JSON document on standard output")
    serving_options = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    serving_options.add_argument("--agent", metavar="NAME", help="the agent recorded for calls that name none")
    tool_options = _Parser(add_help=False, argument_default=argparse.SUPPRESS)
    tool_options.add_argument(
        "--session", metavar="ID", help="bind all that is written to this session: its agent, branch, paths and time"
    )
    tool_options.add_argument(
        "--secrets",
        metavar="POLICY",
        help="what becomes of secrets in writes, such as /=reject,/notes=mask; actions: reject, mask, salt, allow",
    )
    _add_profile(tool_options.add_argument_group("tools that a client is offered"))
    program = _Parser(
        prog=config.PROGRAM,
        parents=[common, answering, serving_options, tool_options],
        description=ABOUT,
        epilog=f"{EXIT_CODES}\n{VARIABLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    program.add_argument("--version", action="version", version=f"{config.PROGRAM} {__version__}")
    commands = program.add_subparsers(title="commands", metavar="COMMAND", dest="command")

    def add(
        name: str, run: Command, text: str, *, parents: Sequence[_Parser] = (answering,), below: Any = commands
    ) -> _Parser:
        command: _Parser = below.add_parser(
            name,
            parents=[common, *parents],
            help=text,
            description=f"{text[:1].upper()}{text[1:]}.",
            epilog=EXIT_CODES,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        command.set_defaults(run=run)
        return command

    command = add(
        "serve",
        serving.serve,
        "serve MCP on standard input and output, or over HTTP",
        parents=[serving_options, tool_options],
    )
    httpserving.add_options(command.add_argument_group("HTTP"))
    command = add("install", install.install, install.INSTALL, parents=[answering, serving_options, tool_options])
    install.add_options(command, installs=True)
    install.add_options(add("uninstall", install.uninstall, install.UNINSTALL), installs=False)
    _add_reading(add)
    _add_migrate(add("migrate", migrating.migrate, MIGRATE, parents=[answering, serving_options]))
    _add_export(add("export", exporting.export, "write the evidence bundle of a sealed epoch, for anybody to verify"))
    _add_checking(add)
    _add_keeping(add)
    archives.add_export_options(add("export-repo", archives.export_repo, archives.EXPORT), _file)
    command = add("import-repo", archives.import_repo, archives.IMPORT, parents=[answering, serving_options])
    archives.add_import_options(command, _file)
    collecting.add_options(add("gc", collecting.gc, collecting.GC, parents=[answering, serving_options]))
    redacting.add_commands(add("redact", redacting.finish, redacting.REDACT), add)
    _add_classes(add)
    _add_tokens(add)
    command = add("demo", demo.demo, "play the 2 AM incident through a real MCP client and server")
    command.add_argument("--keep", action="store_true", help="keep the store of the demo, to look around in it")
    return program


def _add_profile(group: argparse._ArgumentGroup) -> None:
    toolsets = ", ".join(toolset_names(CATALOGUE))
    group.add_argument("--toolsets", metavar="NAMES", help=f"toolsets between commas: {toolsets} (default: all)")
    group.add_argument("--tools", metavar="NAMES", help="tools between commas, together with those of --toolsets")
    group.add_argument("--exclude-tools", metavar="NAMES", help="tools between commas that are left out of these")
    group.add_argument("--read-only", action="store_true", help="only tools that change nothing")


def _add_checking(add: Callable[..., _Parser]) -> None:
    command = add("verify", verifying.verify, verifying.VERIFY)
    command.epilog = verifying.EXIT_CODES
    verifying.add_options(command)
    add("doctor", health.doctor, "check the program, the store's surroundings and a server of its own")
    group = add("key", keys.show, keys.SHOW).add_subparsers(title="commands", metavar="COMMAND")
    add("show", keys.show, keys.SHOW, below=group)
    keys.add_options(add("rotate", keys.rotate, keys.ROTATE, below=group))


def _add_reading(add: Callable[[str, Command, str], _Parser]) -> None:
    command = add("get", reading.get, "print the value at a path")
    command.add_argument("path", metavar="PATH", nargs="?", default="/", help=f"{_PATH_HELP} (default: /)")
    _add_ref(command)
    command.add_argument("--depth", metavar="N", type=_depth, help="levels below the path (default: all)")
    command = add("log", reading.log, "list commits, newest first")
    _add_ref(command)
    command.add_argument("--path", default="/", help="only commits that changed this path or something below it")
    _add_count(command)
    command = add("blame", reading.blame, "tell who changed a path, why, how sure, on whose authority")
    command.add_argument("path", metavar="PATH", help=_PATH_HELP)
    _add_ref(command)
    command.add_argument(
        "--depth",
        metavar="N",
        type=_depth,
        help="explain what is N levels down as a whole (default: each field)",
    )
    command.add_argument("--history", action="store_true", help="every change of the path, not only the last")
    _add_count(command)
    command = add("diff", reading.diff, "list what differs between two refs")
    command.add_argument("ref_a", metavar="A", help="the old side: a branch, a tag, a commit id, main~3, main@TIME")
    command.add_argument("ref_b", metavar="B", help="the new side")
    command.add_argument("path", metavar="PATH", nargs="?", default="/", help="only at or below this path")
    _add_count(command)
    command = add("branches", reading.branches, "list branches and tags")
    command.add_argument("--prefix", default="", help="only those whose names begin so")
    _add_count(command)
    command = add("events", events.events, events.EVENTS)
    events.add_options(command)
    _add_count(command)


def _add_migrate(command: argparse.ArgumentParser) -> None:
    command.epilog = f"{EXIT_CODES}\n{migrating.EXIT_CODES}"
    command.add_argument("--ref", metavar="BRANCH", default="main", help="the branch (default: main)")
    command.add_argument("--to", metavar="N.N.N", default="", help="the version (default: the newest that is reached)")
    group = command.add_mutually_exclusive_group()
    group.add_argument("--check", action="store_true", help="only tell whether a migration is available")
    group.add_argument("--dry-run", action="store_true", help="tell what each step would change, and write nothing")


def _add_keeping(add: Callable[..., _Parser]) -> None:
    command = add("backup", keeping.backup, "copy the store while it is in use, and verify the copy")
    command.add_argument(
        "--to",
        metavar="PLACE",
        type=_place,
        help="a folder for backups, or the name of a new file (default: a folder beside the store)",
    )
    command.add_argument(
        "--keep", metavar="N", type=_kept, default=0, help="remove all but the newest N backups of this store there"
    )
    command = add("restore", keeping.restored, "make a new store from a backup, as a new incarnation of its log")
    command.add_argument(
        "backup", metavar="BACKUP", type=_file, help="the file that backup made, or any copy of a store"
    )
    command.add_argument(
        "--to", metavar="FILE", type=_file, required=True, help="the new store; nothing may be there yet"
    )


def _add_classes(add: Callable[..., _Parser]) -> None:
    group = add("class", classes.listed, classes.LIST).add_subparsers(title="commands", metavar="COMMAND")
    classes.add_options(add("add", classes.add, classes.ADD, below=group))
    add("list", classes.listed, classes.LIST, below=group)
    classes.destroy_options(add("destroy", classes.destroy, classes.DESTROY, below=group))


def _add_tokens(add: Callable[..., _Parser]) -> None:
    group = add("token", tokens.listed, tokens.LIST).add_subparsers(title="commands", metavar="COMMAND")
    tokens.add_options(add("add", tokens.add, tokens.ADD, below=group))
    add("list", tokens.listed, tokens.LIST, below=group)
    _add_count(add("denials", tokens.denials, tokens.DENIALS, below=group))
    command = add("revoke", tokens.revoke, tokens.REVOKE, below=group)
    command.add_argument("id", metavar="ID", help="the id of the token, or all of it")


def _add_export(command: argparse.ArgumentParser) -> None:
    command.add_argument("epoch", metavar="EPOCH", help="the id of the epoch, as it was sealed")
    command.add_argument(
        "-o", "--output", metavar="FILE", required=True, help="where to write the bundle, a zip file; - for a pipe"
    )
    command.add_argument("--force", action="store_true", help="replace FILE if it is there")


def _add_ref(command: argparse.ArgumentParser) -> None:
    command.add_argument("--ref", default="main", help=_REF_HELP)


def _add_count(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "-n",
        dest="count",
        metavar="N",
        type=_count,
        default=PAGE_ITEMS_DEFAULT,
        help=f"how many to show; 0 for all (default: {PAGE_ITEMS_DEFAULT})",
    )


def _file(text: str) -> Path:
    return Path(text).expanduser().absolute()


def _place(text: str) -> Path:
    path = _file(text)
    if text.endswith(("/", os.sep)) and not path.is_dir():
        raise argparse.ArgumentTypeError(
            f"{text} is no folder. Make it first, or name a new file without a / at its end"
        )
    return path


def _kept(text: str) -> int:
    number = _count(text)
    if not 1 <= number <= BACKUPS_KEPT_MAX:
        raise argparse.ArgumentTypeError(f"{text} is not a number from 1 to {BACKUPS_KEPT_MAX}")
    return number


def _depth(text: str) -> int:
    number = _count(text)
    if number > VALUE_DEPTH_MAX:
        raise argparse.ArgumentTypeError(f"{text} is more than {VALUE_DEPTH_MAX} levels")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)
