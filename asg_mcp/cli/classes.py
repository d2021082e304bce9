"""`class`: sensitive prefixes, each with a key of its own, whose destruction erases what is below for good."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from asg_mcp import __version__, config
from asg_mcp.app import class_keys, destroy_class, make_class, open_repository
from asg_mcp.cli.output import BAD, DIM, GOOD, STRONG, WARN, Output
from asg_mcp.core.classes import ValueClass
from asg_mcp.core.intents import Author
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.errors import AsgError
from asg_mcp.repo.repository import PROGRAM, Repository
from asg_mcp.services.classkeys import ClassKeys

LIST = "list the sensitive prefixes, each with a key of its own"
ADD = "give a prefix a key of its own; what is stored below it from then on is sealed with it"
DESTROY = "destroy the key of a sensitive prefix: what was stored below it is gone, in every backup too"


def add_options(command: ArgumentParser) -> None:
    """The options of `class add`."""
    command.add_argument("path", metavar="PREFIX", help="a path below which nothing was ever stored, such as /patients")
    command.add_argument("--name", required=True, help="what to call it: a to z, 0 to 9 and -; it cannot be erased")


def destroy_options(command: ArgumentParser) -> None:
    """The options of `class destroy`."""
    command.add_argument("name", metavar="NAME", help="the name of the class")
    command.add_argument("--reason", required=True, help="why: recorded in the log with who and when")
    command.add_argument("--yes", action="store_true", help="do it; without this nothing is changed")


async def listed(output: Output, options: Namespace) -> int:
    """Tell which classes there are, and whether their keys are here."""
    path = config.store_place(options.db).path
    async with open_repository(path, create=False) as repository:
        groups = repository.classes.all()
    if output.as_json:
        output.document({"classes": [_told(path, group) for group in groups]})
        return 0
    if not groups:
        output.note("There are none. `asg-mcp class add /patients --name patients` makes one.")
    for group in groups:
        key = class_keys(path).path(group.name)
        output.line((group.name, STRONG), f"  {format_path(group.path)}")
        if group.destroyed:
            output.field("key", ("destroyed; nobody can read what was stored below", DIM))
        elif class_keys(path).has(group.name):
            output.field("key", f"{key}. Keep a copy apart from the backups, and destroy it with the key.")
        else:
            output.field("key", (f"missing: {key}. Nothing below can be read or written until it is back.", WARN))
    return 0


async def add(output: Output, options: Namespace) -> int:
    """Make a class."""
    path = config.store_place(options.db).path
    group = await make_class(path, options.name, parse_path(options.path), _author())
    key = class_keys(path).path(group.name)
    if output.as_json:
        output.document(_told(path, group))
        return 0
    output.line(
        ("Made", GOOD), f": from now on values below {format_path(group.path)} are sealed with a key of their own."
    )
    output.field("key", f"{key}. Lose it, and they are lost: it is in no backup. Keep a copy apart from them.")
    output.field("erase", f"{config.PROGRAM} class destroy {group.name} --reason WHY --yes")
    return 0


async def destroy(output: Output, options: Namespace) -> int:
    """Destroy a class; without --yes tell what that would do. 1 when nothing was done."""
    path = config.store_place(options.db).path
    if not options.yes:
        async with open_repository(path, create=False) as repository:
            group = repository.classes.named(options.name)
        if output.as_json:
            output.document({"destroyed": False, "classes": [_told(path, group)]})
        else:
            shown = format_path(group.path)
            output.line(("Nothing was changed", WARN), f". With --yes this erases, for good: {shown}.")
            output.line("Every value that was ever stored below it, in this store, its history and all of its backups.")
            output.line("Names of keys, and what agents wrote about it in their reasons, stay; `redact` erases texts.")
            output.line("Copies of its key, and archives of `export-repo`, which hold it, are yours to destroy.")
        return 1
    group = await destroy_class(path, options.name, options.reason, _author())
    if output.as_json:
        output.document({"destroyed": True, **_told(path, group)})
        return 0
    output.line(("Destroyed", BAD), f": nobody can read what was stored below {format_path(group.path)} any more.")
    output.line("Ids, roots and proofs stand, and the log has the receipt. Destroy your copies of the key too,")
    output.line("and the archives of `export-repo`: each has the keys of its day in it, and so all that they seal.")
    return 0


def _told(path: Path, group: ValueClass) -> dict[str, object]:
    key = class_keys(path).path(group.name)
    told = {"name": group.name, "path": format_path(group.path), "destroyed": group.destroyed, "key": str(key)}
    return {**told, "key_is_there": class_keys(path).has(group.name)}


async def class_checks(repository: Repository, path: Path) -> list[tuple[str, str, str]]:
    """Whether the keys of sensitive prefixes are there, theirs alone, and gone where they should be; see `doctor`."""
    return [_checked(class_keys(path), group) for group in repository.classes.all()]


def _checked(keys: ClassKeys, group: ValueClass) -> tuple[str, str, str]:
    file, there = keys.path(group.name), keys.has(group.name)
    if group.destroyed:
        if there:
            text = f"{group.name} is destroyed, and its key is still there. Let {file} be written to, and repeat"
            return ("class keys", "bad", text)
        return ("class keys", "ok", f"{group.name} is destroyed, and so is its key")
    if not there:
        text = f"{file} is missing: nothing below {format_path(group.path)} can be read or written until it is back"
        return ("class keys", "note", text)
    try:
        keys.value_ids(group.name)
    except AsgError as error:
        return ("class keys", "bad", f"{error.message}. {error.hint}".strip())
    return ("class keys", "ok", f"{group.name} has its own in {file}")


def _author() -> Author:
    return Author(config.local_principal(), PROGRAM, f"{config.PROGRAM}/{__version__}")
