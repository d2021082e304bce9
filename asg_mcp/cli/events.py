"""events: the log of the store, newest first, with what each event says besides."""

from __future__ import annotations

import re
from argparse import ArgumentParser, Namespace
from typing import Any, Final

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.cli.output import DIM, LABEL, STRONG, WARN, Output
from asg_mcp.cli.render import compact, when
from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import Id
from asg_mcp.core.limits import SHORT_ID_DIGITS
from asg_mcp.core.times import format_time
from asg_mcp.repo.eventlist import LoggedEvent
from asg_mcp.repo.eventlist import events as list_events

EVENTS: Final = "list what happened to the store: changes, erasures, collections, refusals, keys"
_DIGEST = re.compile("[0-9a-f]{64}")
_SHOWN_ITEMS_MAX = 3
"""Of a list in what an event says; --json gives all."""


def add_options(command: ArgumentParser) -> None:
    """The options of `events`."""
    kinds = [kind.value for kind in EventKind]
    command.add_argument(
        "--kind",
        action="append",
        choices=kinds,
        default=[],
        metavar="KIND",
        help=f"only events of this kind; may be given again: {', '.join(kinds)}",
    )
    command.add_argument("--before", metavar="N", type=int, help="only events with a number below this one")


async def events(output: Output, options: Namespace) -> int:
    """Tell what happened."""
    kinds = {EventKind(kind) for kind in options.kind}
    async with open_repository(config.store_place(options.db).path, create=False) as repository:
        count = options.count or await repository.read(lambda view: view.reader.events_count())
        found = await repository.read(lambda view: list_events(view, kinds, options.before, count + 1))
    shown, more = found[:count], len(found) > count
    if output.as_json:
        output.document({"events": [_document(one) for one in shown], "more": more})
        return 0
    for one in shown:
        _show(output, one)
    if not shown:
        output.note("There is no such event.")
    if more:
        output.line((f"There is more: --before {shown[-1].event.index} goes on, -n 0 shows all of it.", DIM))
    return 0


def _show(output: Output, one: LoggedEvent) -> None:
    event = one.event
    ids = " → ".join(commit.short for commit in (event.old, event.new) if commit is not None)
    output.hanging(
        9,
        (f"{when(format_time(event.at))}  ", DIM),
        (event.kind.value, STRONG),
        *((f"  {event.ref}", LABEL) if event.ref else "",),
        f"  {ids}" if ids else "",
        f"  {event.subject}" if event.subject else "",
        (f"  by {event.author.agent} ({event.author.principal})", DIM),
        first=f"{event.index:>7}  ",
    )
    if one.withheld:
        output.field("", ("what it said was erased; that it happened is on record", WARN))
    for name, part in one.body.items():
        if part not in ("", [], {}, None, event.at):
            output.field(name, _part(part))


def _part(part: Any) -> str:
    if isinstance(part, str):
        return part[:SHORT_ID_DIGITS] if _DIGEST.fullmatch(part) else part
    if isinstance(part, list):
        shown = ", ".join(_part(item) for item in part[:_SHOWN_ITEMS_MAX])
        return shown if len(part) <= _SHOWN_ITEMS_MAX else f"{shown}, … ({len(part)} in all)"
    if isinstance(part, dict) and all(isinstance(item, int | str) for item in part.values()):
        return ", ".join(f"{name} {_part(item)}" for name, item in part.items() if item)
    return compact(part)


def _document(one: LoggedEvent) -> dict[str, Any]:
    header = {name: item.hex() if isinstance(item, Id) else item for name, item in one.event.header().items()}
    return {**header, **({"withheld": True} if one.withheld else {}), **({"says": one.body} if one.body else {})}
