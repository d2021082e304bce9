"""`verify`: go through the history, all of it or a part, and tell what is damaged."""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import sys
import time
from argparse import Namespace
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from asg_mcp import config
from asg_mcp.app import marks_of, open_repository
from asg_mcp.cli.health import ProgressBar
from asg_mcp.cli.kept import mark_problem
from asg_mcp.cli.output import BAD, GOOD, WARN, Output
from asg_mcp.errors import InvalidArgument, NotFound, StoreBehind, StoreCorrupt
from asg_mcp.repo.verify import Problem, Progress, Scope, VerifyReport
from asg_mcp.services.runs import RunFile

VERIFY = "replay and re-hash everything in the store; name what is damaged"
EXIT_CODES = """\
exit codes:
  0    what was looked at is as it was written
  1    damage was found, or the file is an older copy of the store
  2    the command line was not understood, or --since names what is not there
  3    the store could not be opened
  130  interrupted; --resume goes on
"""
NOT_UNDERSTOOD = 2
SEED_BITS = 32
DAMAGED_TOLD = (1, 10, 100)
"""For so many damaged commits a sample says how likely they go unseen."""
_BAR, _JSON, _NONE = "bar", "json", "none"


def add_options(command: argparse.ArgumentParser) -> None:
    """What can be said about how much is checked."""
    group = command.add_mutually_exclusive_group()
    group.add_argument(
        "--since",
        metavar="POINT",
        default="",
        help="check only what came after a branch, tag, commit, time or index of the log; what was before is trusted",
    )
    group.add_argument(
        "--sample",
        metavar="N%",
        type=_percent,
        default=0.0,
        help="check a random part of commits, events and nodes, and always refs, the log's tree and the file",
    )
    group.add_argument("--resume", action="store_true", help="go on where an interrupted run stopped")
    command.add_argument("--seed", metavar="N", type=_seed, help="of the sample, to repeat one (default: random, told)")
    command.add_argument(
        "--progress",
        choices=(_BAR, _JSON, _NONE),
        default=_BAR,
        help="on standard error: a bar at a terminal, one JSON object a line, or nothing (default: bar)",
    )


class ProgressLines:
    """Progress as JSON, one object a line, on standard error."""

    def __init__(self) -> None:
        self._started_at = time.monotonic()

    def __call__(self, step: str, done: int, total: int) -> None:
        """`done` of `total` of a step are done."""
        told = {"step": step, "done": done, "total": total, "seconds": round(time.monotonic() - self._started_at, 3)}
        sys.stderr.write(json.dumps(told) + "\n")
        sys.stderr.flush()


async def verify(output: Output, options: Namespace) -> int:
    """Check the store. 0 when all that was looked at is as it was written, 1 when something is not."""
    path = config.store_place(options.db).path
    if options.seed is not None and not options.sample:
        raise InvalidArgument("--seed is of a sample", hint="Give --sample too, such as --sample 5%.")
    seed = secrets.randbits(SEED_BITS) if options.seed is None else options.seed
    scope = Scope(options.since, options.sample, seed if options.sample else 0, options.resume)
    try:
        report = await _checked(output, path, scope, options.progress)
    except StoreCorrupt as error:  # damage that keeps the store from being opened is damage too
        output.error(error)
        return 1
    except NotFound as error:  # 1 would say that there is damage
        output.error(error)
        return NOT_UNDERSTOOD
    except asyncio.CancelledError:
        if not scope.since and not scope.percent:
            output.warn("Interrupted. `asg-mcp verify --resume`, with the same --db, goes on from here.")
        raise
    if output.as_json:
        output.document(_document(path, scope, report))
    else:
        _show(output, path, scope, report)
    return 0 if report.ok else 1


async def _checked(output: Output, path: Path, scope: Scope, shown: str) -> VerifyReport:
    bar = ProgressBar(output) if shown == _BAR else nullcontext(ProgressLines() if shown == _JSON else _quiet)
    progress: Progress
    with bar as progress:
        # Without its mark: what an older copy of the store holds is to be told too.
        async with open_repository(path, create=False, marked=False) as repository:
            report = await repository.verify(progress, scope, RunFile(marks_of(path)))
            fault = await mark_problem(repository, path)
    if fault:
        report.problems += (Problem("mark", str(path), f"This is an older copy of the store, or was changed: {fault}"),)
    return report


def _quiet(step: str, done: int, total: int) -> None:
    """Show no progress."""


def _document(path: Path, scope: Scope, report: VerifyReport) -> dict[str, Any]:
    sample = None
    if report.sample is not None:
        looked = {name: {"looked_at": some, "of": there} for name, (some, there) in report.sample.of.items()}
        unseen = {str(number): round(report.sample.unseen(number), 6) for number in DAMAGED_TOLD}
        sample = {"percent": scope.percent, "seed": scope.seed, **looked, "chance_unseen": unseen}
    return {
        "ok": report.ok,
        "store": str(path),
        "whole": report.ok and not (scope.since or scope.percent),
        "since": scope.since or None,
        "trusted": report.trusted or None,
        "sample": sample,
        "counts": report.counts,
        "areas": report.areas(),
        "problems": [asdict(problem) for problem in report.problems],
        "notices": list(report.notices),
    }


def _show(output: Output, path: Path, scope: Scope, report: VerifyReport) -> None:
    names = ("commits", "operations", "nodes", "values", "events", "refs")
    counts = ", ".join(_counted(name, report.counts[name]) for name in names)
    if not report.ok:
        output.line(("Damaged", BAD), f": {path}")
        for problem in report.problems:
            output.hanging(2, (f"{problem.kind} {problem.what}", BAD), f": {problem.message}")
        output.line(f"Checked until then: {counts}.")
        output.line(_advice(report))
        return
    if scope.percent:
        output.line(("Sampled", GOOD), f": nothing of what was looked at in {path} is damaged ({counts}).")
    elif scope.since:
        output.line(("Verified since", GOOD), f" {scope.since}: {path} holds what was written since ({counts}).")
    else:
        output.line(("Verified", GOOD), f": {path} holds what was written ({counts}).")
    for area, found in report.areas().items():
        told = [_counted(name, count) for name, count in found.items() if count and name not in names]
        if told:
            output.field(area, ", ".join(told))
    _show_limits(output, report)


def _advice(report: VerifyReport) -> str:
    """What to do; a copy that falls behind its mark is opened by no other command."""
    behind = [problem.kind == "mark" for problem in report.problems]
    if all(behind):
        return StoreBehind.default_hint
    return "Restore a backup." if any(behind) else "Restore a backup, or read what is still whole with get and log."


def _show_limits(output: Output, report: VerifyReport) -> None:
    if report.trusted:
        output.field("trusted", report.trusted)
    for notice in report.notices:
        output.hanging(2, ("note", WARN), f": {notice}")
    sample = report.sample
    if sample is None:
        return
    parts = (f"{some} of {there} {name}" for name, (some, there) in sample.of.items())
    output.field("looked at", f"{sample.percent:g} %, seed {sample.seed}: {', '.join(parts)}")
    unseen = (f"{sample.unseen(number):.1%} with {number} damaged" for number in DAMAGED_TOLD)
    output.field("unseen", f"the chance that no damaged commit was looked at: {', '.join(unseen)}")


def _counted(name: str, count: int) -> str:
    shown = name.replace("_", " ")
    one = f"{shown[:-3]}y" if shown.endswith("ies") else shown[:-1]
    return f"{count} {shown if count != 1 else one}"


def _percent(text: str) -> float:
    try:
        number = float(text.removesuffix("%").strip())
    except ValueError:
        number = 0.0
    if not 0 < number <= 100:
        raise argparse.ArgumentTypeError(f"{text!r} is not a part of up to 100%, such as 5%")
    return number


def _seed(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 up")
    return int(text)
