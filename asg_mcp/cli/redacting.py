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
from asg_mcp.repo.marking import Mark, mark_of
from asg_mcp.repo.redactplan import (
    PROVED_CHARS_MIN,
    PROVED_TEXTS_MAX,
    PROVED_WORDS_MIN,
    Finished,
    Plan,
    Receipt,
    Target,
)
from asg_mcp.repo.redactrules import INSIDE_CHARS_MIN, Secret
from asg_mcp.repo.repository import PROGRAM, Repository
from asg_mcp.services.redactproof import Held, files_of, found_in, holding, needles_of

REDACT = "erase a value or a text from all of history; without --yes, only tell what would go"
VALUE = "erase one value wherever it is, in all of history and inside of longer texts"
PATH = "erase every value that was ever at or below a path; the same values elsewhere stay"
COMMIT = "erase the texts of a commit: description, reasoning, tags, provenance"
EVENT = "erase the texts of one event of the log"
RECORD = "erase the texts of a session, outcome, speculation or epoch"
EXIT_CODES = f"""\
exit codes:
  0    told what would go; with --yes: all of it is gone
  1    nothing found to erase, or something of it is left: the answer says what
  2    the command line was not understood
  3    the store could not be opened; or it was erased and the file not made anew: {config.PROGRAM} redact --finish
  130  interrupted; doctor tells whether --finish is due
"""
SHOWN_MAX = 20
"""Paths and names shown of each kind; --json has them all."""
_FINISH = f"{config.PROGRAM} redact --finish"


def add_commands(command: ArgumentParser, add: Callable[..., ArgumentParser]) -> None:
    """The options of `redact`, and the commands below it."""
    command.epilog = EXIT_CODES
    command.add_argument(
        "--finish", action="store_true", help="make the file anew, where that did not follow a redaction that was done"
    )
    group = command.add_subparsers(title="what to erase", metavar="WHAT")
    for name, text in (("value", VALUE), ("path", PATH), ("commit", COMMIT), ("event", EVENT), ("record", RECORD)):
        below = add(name, redact, text, below=group)
        below.set_defaults(what=name)
        below.epilog = EXIT_CODES
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
            held = await _held(repository, path, plan)
            told = _told(plan, path, held)
            told["unfinished"] = (await repository.health()).shrink_due
            if options.yes and plan.found.nothing and told["unfinished"]:
                await repository.redactions.finish(plan, progress)
                told["unfinished"] = False
            if options.yes and not plan.found.nothing:
                receipt = await repository.redactions.erase(
                    plan, author, options.reason, options.label, _names(held), progress
                )
                # A backup that came since is there by now, or finds that something was erased and is taken away.
                held = await _held(repository, path, plan)
                told = {**_told(plan, path, held), "unfinished": False}
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


async def _held(repository: Repository, path: Path, plan: Plan) -> Held:
    """What is around the store; of nothing, where there is nothing to erase."""
    if plan.found.nothing:
        return Held()
    mark = await repository.read(lambda view: mark_of(view.reader))
    return await anyio.to_thread.run_sync(lambda: _look_around(path, mark, plan.found.first_event))


def _look_around(path: Path, mark: Mark, first: int | None) -> Held:
    marks, store = marks_of(path), mark.origins[0]
    places, damaged = marks.places(store)
    archives = [file for file, size in marks.archives(store).items() if first is None or size > first]
    held = holding(marks.path, mark.origins, first, places)
    return Held(tuple(sorted({*held.files, *archives})), tuple(sorted({*held.unread, *damaged})))


def _names(held: Held) -> tuple[str, ...]:
    """What the receipt names: a log that is kept for ever needs no paths of this machine."""
    names = *(file.name for file in held.files), *(f"{file.name} (not looked into)" for file in held.unread)
    return tuple(name.encode(errors="replace").decode() for name in names)


# --- telling ------------------------------------------------------------------------


def _told(plan: Plan, path: Path, held: Held) -> dict[str, Any]:
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
        "equal_elsewhere": plan.stays_equal(),
        "mentioned": plan.proof().mentioned,
        "backups": [str(file) for file in held.files],
        "unread": [str(file) for file in held.unread],
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
        "searched_for": plan.proof().searched if searched else 0,
        "mentioned": plan.proof().mentioned,
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
        held = "holds it in what cannot be erased" if told["cannot"] else "does not hold it"
        output.line(("Nothing to erase", WARN), f": {path} {held}.")
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
    elif told["equal_elsewhere"]:
        output.field("elsewhere", "some of the same values are at other paths, and stay there")
    same = told["elsewhere"] or told["equal_elsewhere"]
    if told["mentioned"]:
        output.field(
            "" if same else "elsewhere", f"{told['mentioned']} of the texts are in other texts too, and stay there"
        )
    if told["mentioned"] or same:
        output.field("", "`redact value` erases a text or a number everywhere, `redact path` what is at another path")
    if told["cannot"]:
        _show_list(output, "cannot", told["cannot"], style=BAD)
        output.field("", "keys and names are part of what every id covers, and cannot be erased")
    if told["backups"]:
        _show_list(output, "backups", told["backups"], style=WARN)
        output.field("", "these hold it still: delete them, and whatever was copied from them")
    if told["unread"]:
        _show_list(output, "not looked", told["unread"], style=WARN)
        output.field("", "into these: backups were made there, and they are gone or cannot be read; they may hold it")


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
        _show_ids(output, told)
    for name in told["guessable_with"]:
        output.field("", (f"but those of the class {name} can be guessed as long as its key is there", WARN))
    if told["left_rows"]:
        output.field("left", (f"in rows of the store: {told['left_rows']}. Repeat the command.", BAD))
    else:
        _show_search(output, plan, told)
    for file in told["left"]:
        why = "a key or a name has it" if plan.found.fixed else f"run {_FINISH}"
        output.field("left", (f"{file} has its bytes still: {why}", BAD))
    _show_rest(output, told)


def _show_ids(output: Output, told: dict[str, Any]) -> None:
    """Whether what went can be told from its id."""
    if not told["rekeyed"]:
        text = "the key that ids are made with stays: a short value can be guessed from its id by whoever has the file"
        output.field("ids", (text, WARN))
    elif told["equal_elsewhere"]:
        text = (
            "some of what went is equal to a value that stays, and has the same id: whoever can read that one can tell"
        )
        output.field("ids", (text, WARN))
    else:
        output.field("ids", "nobody can guess a short value from its id: the key was replaced")


def _show_search(output: Output, plan: Plan, told: dict[str, Any]) -> None:
    """What was looked through for what went, and why not all of it was looked for in the bytes of files."""
    proof, names = plan.proof(), ", ".join(Path(file).name for file in told["searched"])
    # Without a value or a path to look for, and without a text, nothing but what was erased is looked at again.
    rows = "every row" if plan.rule is not None or names else "the rows that were erased"
    if not names:
        if isinstance(plan.rule, Secret):
            output.field("searched", f"{rows}; a value this short has no bytes of its own to search for")
            return
        output.field("searched", f"{rows}, and no bytes of files")
    else:
        of = "" if proof.searched == proof.texts else f", for {proof.searched} of {_many(proof.texts, _what(plan))}"
        output.field("searched", f"{rows}, and the bytes of {names}{of}")
    others = proof.texts - proof.searched - proof.mentioned
    if others:
        output.field("", f"{others} {'has' if others == 1 else 'have'} no bytes to search for: {_why_not(plan)}")


def _what(plan: Plan) -> str:
    return "text" if plan.rule is None else "value"


def _why_not(plan: Plan) -> str:
    """Why not every text that goes is looked for in bytes."""
    if plan.rule is None:
        why = f"shorter than {PROVED_WORDS_MIN} characters"
    else:
        why = f"shorter than {PROVED_CHARS_MIN} characters, no text, or equal to a value that stays"
    return f"{why}; or beyond {PROVED_TEXTS_MAX}" if plan.proof().texts > PROVED_TEXTS_MAX else why


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
