"""`redact`: a value, what was ever at a path, or a text goes from the whole store, and its files are searched."""

from __future__ import annotations

import getpass
import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio.to_thread

from asg_mcp import __version__, config
from asg_mcp.app import marks_of, open_repository
from asg_mcp.cli.health import ProgressBar, size_text
from asg_mcp.cli.output import BAD, DIM, GOOD, STRONG, WARN, Output
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import VALUE_BYTES_MAX
from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import JsonValue, checked
from asg_mcp.errors import InvalidArgument, StorageError
from asg_mcp.repo.marking import mark_of
from asg_mcp.repo.redactplan import Finished, Plan, Receipt, Target
from asg_mcp.repo.redactrules import INSIDE_CHARS_MIN, Secret
from asg_mcp.repo.repository import PROGRAM, Repository
from asg_mcp.services.redactproof import files_of, found_in, holding, needles_of

REDACT = "erase a value or a text from all of history; without --yes, only tell what would go"
VALUE = "erase one value wherever it is, in all of history and inside of longer texts"
PATH = "erase every value that was ever at or below a path; the same values elsewhere stay"
COMMIT = "erase the texts of a commit: description, reasoning, tags, provenance"
EVENT = "erase the texts of one event of the log"
RECORD = "erase the texts of a session, outcome, speculation or epoch"
SHOWN_MAX = 20
"""Paths and names shown of each kind; --json has them all."""
_FINISH = f"{config.PROGRAM} redact --finish"


def add_commands(command: ArgumentParser, add: Callable[..., ArgumentParser]) -> None:
    """The options of `redact`, and the commands below it."""
    command.add_argument(
        "--finish", action="store_true", help="make the file anew, where that did not follow a redaction that was done"
    )
    group = command.add_subparsers(title="what to erase", metavar="WHAT")
    for name, text in (("value", VALUE), ("path", PATH), ("commit", COMMIT), ("event", EVENT), ("record", RECORD)):
        below = add(name, redact, text, below=group)
        below.set_defaults(what=name)
        _add_options(below)
        if name == "value":
            source = below.add_mutually_exclusive_group(required=True)
            source.add_argument("--at", metavar="PATH", help="the value that is at this path")
            source.add_argument(
                "--stdin", action="store_true", help="the value on standard input, as text or JSON; never an argument"
            )
            below.add_argument("--ref", default="main", help="where --at reads (default: main)")
        elif name == "path":
            below.add_argument("path", metavar="PATH", help="a JSON Pointer such as /users/7")
        elif name == "record":
            below.add_argument("kind", metavar="KIND", help="session, outcome, speculation or epoch")
            below.add_argument("name", metavar="KEY", help="its handle or name; of an outcome, the intent's")
        else:
            below.add_argument("name", metavar="ID" if name == "commit" else "INDEX", help=f"of the {name}")


def _add_options(command: ArgumentParser) -> None:
    command.add_argument("--reason", metavar="TEXT", required=True, help="why; it stays in the log")
    command.add_argument(
        "--class", metavar="NAME", dest="label", default="", help="what kind of erasure it is, such as gdpr or secret"
    )
    command.add_argument("--yes", action="store_true", help="do it; without this nothing is changed")


async def finish(output: Output, options: Namespace) -> int:
    """`redact` without a command: with --finish, make the file anew."""
    if not options.finish:
        raise InvalidArgument(
            "It is not said what to erase",
            hint=f"Name one of value, path, commit, event, record; {config.PROGRAM} redact --help",
        )
    path = config.store_place(options.db).path
    with ProgressBar(output) as progress:
        async with open_repository(path, create=False) as repository:
            done = await repository.redactions.finish(None, progress)
    if output.as_json:
        output.document({"finished": True, "store": str(path), **_sizes(done)})
    else:
        output.line(("Finished", GOOD), f": {path} was made anew, {_sizes_text(done)}.")
    return 0


async def redact(output: Output, options: Namespace) -> int:
    """Tell what would go, or with --yes erase it and search the files.

    0 when told, or gone; 1 when nothing was found, or not all is gone; 3 when the file was not made anew.
    """
    target = _target(options)
    path = config.store_place(options.db).path
    agent = config.default_agent(options.agent) or PROGRAM
    author = Author(config.local_principal(), agent, f"{config.PROGRAM}/{__version__}")
    receipt: Receipt | None = None
    finished: Finished | None = None
    with ProgressBar(output) as progress:
        async with open_repository(path, create=False) as repository:
            plan = await repository.redactions.find(target, progress)
            backups = await _backups(repository, path, plan)
            told = _told(plan, path, backups)
            told["unfinished"] = (await repository.health()).shrink_due
            if options.yes and plan.found.nothing and told["unfinished"]:
                await repository.redactions.finish(plan, progress)
                told["unfinished"] = False
            if options.yes and not plan.found.nothing:
                names = tuple(file.name for file in backups)
                receipt = await repository.redactions.erase(
                    plan, author, options.reason, options.label, names, progress
                )
                told = {**_told(plan, path, backups), "unfinished": False}
                try:
                    finished = await repository.redactions.finish(plan, progress)
                except StorageError as error:
                    return _unfinished(output, told, receipt, error)
    if receipt is None or finished is None:
        return _show_plan(output, plan, path, told)
    # The store is closed: its files may be opened and read like any others.
    needles = needles_of(plan)
    files = await anyio.to_thread.run_sync(lambda: files_of(path))
    left = await anyio.to_thread.run_sync(lambda: found_in(files, needles))
    told |= _done(plan, receipt, finished, files, left, searched=bool(needles))
    if output.as_json:
        output.document(told)
    else:
        _show_done(output, plan, told, path)
    return 0 if told["gone"] else 1


def _target(options: Namespace) -> Target:
    if options.what == "value":
        if options.stdin:
            return Target("value", value=_read_value())
        return Target("value", path=parse_path(options.at), ref=options.ref)
    if options.what == "path":
        return Target("path", path=parse_path(options.path))
    return Target(options.what, name=options.name, kind=getattr(options, "kind", ""))


def _read_value() -> JsonValue:
    """The value on standard input: a JSON text, number or string as that, all else as it is. Not echoed when typed."""
    if sys.stdin.isatty():
        return _parsed(getpass.getpass("The value to erase: "))
    data = sys.stdin.buffer.read(VALUE_BYTES_MAX + 1)
    if len(data) > VALUE_BYTES_MAX:
        raise InvalidArgument(f"Standard input has more than {VALUE_BYTES_MAX} bytes, and no value is so large")
    try:
        return _parsed(data.decode())
    except UnicodeDecodeError as error:
        raise InvalidArgument("Standard input is no UTF-8 text", hint="Values are texts and numbers.") from error


def _parsed(text: str) -> JsonValue:
    text = text.removesuffix("\n").removesuffix("\r")
    try:
        value = json.loads(text)
    except ValueError:
        return checked(text)
    # A number is looked for as a text, too, with the digits that were given.
    return checked(text) if isinstance(value, int | float) and not isinstance(value, bool) else checked(value)


async def _backups(repository: Repository, path: Path, plan: Plan) -> list[Path]:
    mark = await repository.read(lambda view: mark_of(view.reader))
    marks, first = marks_of(path), plan.found.first_event
    last = marks.last_backup(mark.origins[0])
    other = None if last is None else last.path
    archives = [file for file, size in marks.archives(mark.origins[0]).items() if first is None or size > first]
    found = await anyio.to_thread.run_sync(lambda: holding(path.resolve(), first, other))
    return sorted({*found, *archives})


# --- telling ------------------------------------------------------------------------


def _told(plan: Plan, path: Path, backups: list[Path]) -> dict[str, Any]:
    found = plan.found
    return {
        "store": str(path),
        "what": plan.target.what,
        "found": not found.nothing,
        "counts": plan.counts(),
        "paths": list(found.paths),
        "inside": sorted(found.inside),
        "short": isinstance(plan.rule, Secret) and not plan.rule.needles,
        "elsewhere": found.others(),
        "cannot": list(found.fixed),
        "backups": [str(file) for file in backups],
        "done": False,
    }


def _done(
    plan: Plan, receipt: Receipt, finished: Finished, files: list[Path], left: list[Path], *, searched: bool
) -> dict[str, Any]:
    return {
        "done": True,
        "gone": not (finished.left or left or plan.found.fixed),
        "receipt": receipt.index,
        "rekeyed": receipt.rekeyed,
        "guessable_with": sorted(plan.found.classes),
        "replies": receipt.replies,
        "searched": [str(file) for file in files] if searched else [],
        "left": [str(file) for file in left],
        "left_rows": dict(finished.left),
        **_sizes(finished),
    }


def _sizes(finished: Finished) -> dict[str, int]:
    return {"bytes_before": finished.bytes_before, "bytes_after": finished.bytes_after}


def _sizes_text(finished: Finished) -> str:
    return f"{size_text(finished.bytes_before)} before, {size_text(finished.bytes_after)} now"


def _show_plan(output: Output, plan: Plan, path: Path, told: dict[str, Any]) -> int:
    found = plan.found
    if output.as_json:
        output.document(told)
    elif found.nothing:
        output.line(("Nothing to erase", WARN), f": {path} does not hold it.")
    else:
        output.line(("Would erase", STRONG), f" from {path}:")
        _show_found(output, told)
    if not output.as_json:
        _show_rest(output, told)
        if told["unfinished"]:
            output.field(
                "unfinished", (f"an earlier redaction: its bytes may still be in the file; run {_FINISH}", WARN)
            )
        if not found.nothing:
            output.line(("Nothing was changed. With --yes it is done, and cannot be undone.", DIM))
    return 1 if found.nothing else 0


def _show_found(output: Output, told: dict[str, Any]) -> None:
    counts = told["counts"]
    if counts["places"]:
        values, places, commits = (_many(counts[name + "s"], name) for name in ("value", "place", "commit"))
        output.field("values", f"{values}, in {places} of {commits} and of stored states")
        _show_list(output, "at", told["paths"])
    if told["inside"]:
        _show_list(output, "as part of", told["inside"])
        output.field("", "these longer texts go as a whole")
    if counts["texts"]:
        output.field("commits", f"all texts of {counts['texts']}: description, reasoning, tags, provenance")
    if counts["events"]:
        output.field("events", f"the texts of {counts['events']} of the log")


def _many(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"


def _show_rest(output: Output, told: dict[str, Any]) -> None:
    """What a redaction does not reach."""
    if told["short"]:
        output.field(
            "short", (f"fewer than {INSIDE_CHARS_MIN} characters: it was not looked for in longer texts", WARN)
        )
    if told["elsewhere"]:
        output.field(
            "elsewhere",
            f"the same values were written {_many(told['elsewhere'], 'time')} at other paths, and stay there",
        )
    if told["cannot"]:
        _show_list(output, "cannot", told["cannot"], style=BAD)
        output.field("", "keys and names are part of what every id covers, and cannot be erased")
    if told["backups"]:
        _show_list(output, "backups", told["backups"], style=WARN)
        output.field("", "these hold it still: delete them, and whatever was copied from them")


def _show_list(output: Output, label: str, items: list[str], style: str = "") -> None:
    for number, item in enumerate(items[:SHOWN_MAX]):
        output.field("" if number else label, (item, style))
    if len(items) > SHOWN_MAX:
        output.field("", f"and {len(items) - SHOWN_MAX} more")


def _show_done(output: Output, plan: Plan, told: dict[str, Any], path: Path) -> None:
    output.line(("Erased", GOOD) if told["gone"] else ("Erased, but not all of it is gone", BAD), f" from {path}:")
    _show_found(output, told)
    if told["replies"]:
        output.field("replies", f"{told['replies']} remembered answers had it in their texts")
    output.field("receipt", f"event {told['receipt']} of the log; every id and every proof stands as it was")
    if told["counts"]["values"]:
        text = "nobody can guess a short value from its id: the key was replaced"
        if not told["rekeyed"]:
            text = (
                "the key that ids are made with stays: a short value can be guessed from its id by whoever has the file"
            )
        output.field("ids", (text, "" if told["rekeyed"] else WARN))
    for name in told["guessable_with"]:
        output.field("", (f"but those of the class {name} can be guessed as long as its key is there", WARN))
    if told["left_rows"]:
        output.field("left", (f"in rows of the store: {told['left_rows']}. Repeat the command.", BAD))
    elif told["searched"]:
        names = ", ".join(Path(file).name for file in told["searched"])
        output.field("searched", f"every row, and the bytes of {names}")
    else:
        output.field("searched", "every row; a value this short has no bytes of its own to search for")
    for file in told["left"]:
        why = "a key or a name has it" if plan.found.fixed else f"run {_FINISH}"
        output.field("left", (f"{file} has its bytes still: {why}", BAD))
    _show_rest(output, told)


def _unfinished(output: Output, told: dict[str, Any], receipt: Receipt, error: StorageError) -> int:
    """It is erased, and the file could not be made anew."""
    if output.as_json:
        state = {"done": True, "gone": False, "unfinished": True, "receipt": receipt.index}
        output.document({**told, **state, "error": error.as_dict()})
        return 3
    output.line(("Erased, but not finished", WARN), f": event {receipt.index} of the log is the receipt.")
    output.field("left", f"bytes of it may still be in the file: {error.message}")
    output.field("next", f"run {_FINISH}")
    return 3
