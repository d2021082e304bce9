"""`gc`: what ended speculations tried is taken away, and what nothing needs any more."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import Any

from asg_mcp import __version__, config
from asg_mcp.app import open_repository
from asg_mcp.cli.health import ProgressBar, size_text
from asg_mcp.cli.output import GOOD, STRONG, WARN, Output
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import GRACE_SECONDS_DEFAULT
from asg_mcp.errors import AsgError
from asg_mcp.repo.collectingresults import Collected, CollectRequest
from asg_mcp.repo.repository import PROGRAM
from asg_mcp.repo.results import CommitInfo
from asg_mcp.services.gc import grace_text, parse_grace

GC = "take away what ended speculations tried, and what nothing needs any more; without --yes, only tell"


def add_options(command: ArgumentParser) -> None:
    """The options of `gc`."""
    command.add_argument("--yes", action="store_true", help="do it; without this nothing is changed")
    command.add_argument(
        "--grace",
        metavar="TIME",
        type=_grace,
        default=GRACE_SECONDS_DEFAULT,
        help=f"how long ago a speculation or branch must have ended: 36h, 2w, 0 (default: "
        f"{grace_text(GRACE_SECONDS_DEFAULT)})",
    )
    command.add_argument(
        "--prune",
        action="store_true",
        help="also take away what no branch, tag, epoch or open speculation reaches: what deleted branches held",
    )
    command.add_argument("--reason", metavar="TEXT", default="", help="why, for the receipt in the log")
    command.add_argument(
        "--no-shrink", action="store_true", help="leave the file as large as it is; its room is used again"
    )


async def gc(output: Output, options: Namespace) -> int:
    """Rehearse a garbage collection, or with --yes do it. 0 when it was done, or told; 1 when the file stayed large."""
    path = config.store_place(options.db).path
    agent = config.default_agent(options.agent) or PROGRAM
    author = Author(config.local_principal(), agent, f"{config.PROGRAM}/{__version__}")
    request = CollectRequest(
        grace_seconds=options.grace,
        prune=options.prune,
        rehearse=not options.yes,
        shrink=not options.no_shrink,
        reason=options.reason,
    )
    with ProgressBar(output) as progress:
        async with open_repository(path, create=False) as repository:
            done = await repository.collect(request, author, progress)
    if output.as_json:
        output.document(_told(done, request, str(path)))
    else:
        _show(output, done, request, str(path))
    return 1 if done.not_shrunk else 0


def _show(output: Output, done: Collected, request: CollectRequest, path: str) -> None:
    if done.nothing:
        output.line(("Nothing to take away", GOOD), f": {path}")
    elif request.rehearse:
        output.line(("Would take away", STRONG), f" from {path}:")
    else:
        output.line(("Took away", GOOD), f" from {path}:")
    for label, count, one, many in _counts(done):
        if count:
            output.field(label, f"{count} {one if count == 1 else many}")
    for info in done.shown:
        output.hanging(4, *_line(info))
    if done.commits > len(done.shown):
        output.hanging(4, f"… and {done.commits - len(done.shown)} more")
    if done.bytes:
        output.field("size", f"{size_text(done.bytes)} before compression")
    if done.within_grace:
        since = grace_text(request.grace_seconds)
        output.field(
            "kept", f"what ended within the last {since}: speculations and branches, {done.within_grace} in all"
        )
    if done.sizes is not None:
        output.field("file", f"{size_text(done.sizes[0])} before, {size_text(done.sizes[1])} now")
    if done.not_shrunk:
        output.warn(f"the file stays as large as it was. {done.not_shrunk}")
    if request.rehearse and not done.nothing:
        output.line("Nothing was changed. Make a backup, then run it again with --yes to do it.")
    elif not done.nothing:
        output.line("Every id, header and proof stays; asking for what was taken away answers ", ("pruned", WARN), ".")


def _counts(done: Collected) -> list[tuple[str, int, str, str]]:
    """What was taken away: (label, count, what one is, what several are)."""
    return [
        ("ended", done.expired, "speculation that is too old", "speculations that are too old"),
        ("tried", done.tried, "commit of an ended speculation", "commits of ended speculations"),
        (
            "unreached",
            done.unreached,
            "commit that only a deleted branch held",
            "commits that only deleted branches held",
        ),
        ("nodes", done.nodes, "part of a state that no commit needs", "parts of states that no commit needs"),
        ("values", done.values, "large value that no commit needs", "large values that no commit needs"),
    ]


def _line(info: CommitInfo) -> tuple[str, ...]:
    return (f"{info.id.short}  {info.at[:10]}  {info.agent}  {info.category.value}: {info.description}",)


def _told(done: Collected, request: CollectRequest, path: str) -> dict[str, Any]:
    """What --json says."""
    return {
        "store": path,
        "rehearsal": request.rehearse,
        "grace_seconds": request.grace_seconds,
        "prune": request.prune,
        "expired": done.expired,
        "within_grace": done.within_grace,
        "commits": {"tried": done.tried, "unreached": done.unreached},
        "newest": [
            {"commit": info.id.hex(), "at": info.at, "agent": info.agent, "description": info.description}
            for info in done.shown
        ],
        "nodes": done.nodes,
        "values": done.values,
        "bytes": done.bytes,
        "file_bytes": None if done.sizes is None else {"before": done.sizes[0], "after": done.sizes[1]},
        "not_shrunk": done.not_shrunk,
    }


def _grace(text: str) -> int:
    try:
        return parse_grace(text)
    except AsgError as error:
        raise ArgumentTypeError(f"{error.message}. {error.hint}") from error
