"""`backup` and `restore`: copies of a store, and going on from one."""

from __future__ import annotations

from argparse import Namespace
from base64 import b64encode
from pathlib import Path
from typing import Any

from asg_mcp import __version__, config
from asg_mcp.app import Copied, back_up, class_keys, key_path, open_repository, restore
from asg_mcp.cli.health import ProgressBar, size_text
from asg_mcp.cli.output import BAD, GOOD, STRONG, Output
from asg_mcp.core.intents import Author
from asg_mcp.core.times import format_time
from asg_mcp.repo.marking import Mark
from asg_mcp.repo.repository import PROGRAM
from asg_mcp.services.classkeys import class_key_files


async def backup(output: Output, options: Namespace) -> int:
    """Copy the store and verify the copy. 0 when there is a backup, 1 when the copy is damaged and was not kept."""
    path = config.store_place(options.db).path
    with ProgressBar(output) as progress:
        made = await back_up(path, options.to, options.keep, progress)
    key = key_path(path)
    told = {**_told(made, path), "removed": [str(file) for file in made.removed], "key_included": False}
    if made.path is None:
        return _damaged(output, made, path, {**told, "key": str(key)})
    if output.as_json:
        files = [str(file) for file in class_key_files(path.resolve())]
        output.document({**told, "key": str(key) if key.exists() else None, "class_keys": files})
        return 0
    output.line(("Backed up", GOOD), f": {made.path} ({size_text(made.size_bytes)}), verified.")
    _show_mark(output, made.mark)
    for file in made.removed:
        output.field("removed", str(file))
    if key.exists():
        output.field("key", f"not included. Keep {key} apart from the backups, where nobody else can read it.")
    for file in class_key_files(path.resolve()):
        output.field("class key", f"not included. Keep {file} apart too: without it what it seals cannot be read.")
    output.field("restore", f"{config.PROGRAM} restore {made.path} --to NEWFILE")
    return 0


async def restored(output: Output, options: Namespace) -> int:
    """Make a new store from a backup. 0 when there is one, 1 when the backup is damaged and nothing was made."""
    source: Path = options.backup
    agent = config.default_agent(options.agent) or PROGRAM
    author = Author(config.local_principal(), agent, f"{config.PROGRAM}/{__version__}")
    with ProgressBar(output) as progress:
        made = await restore(source, options.to, author, progress)
    told = {**_told(made, source), "incarnation": len(made.mark.origins) + 1}
    if made.path is None:
        return _damaged(output, made, source, told)
    key, lacking = key_path(made.path), await _class_keys_lacking(made.path)
    if output.as_json:
        document = {**told, "key": str(key), "key_is_there": key.exists()}
        output.document({**document, "class_keys": [str(file) for file in lacking]})
        return 0
    output.line(("Restored", GOOD), f": {made.path}, incarnation {told['incarnation']} of the store, verified.")
    _show_mark(output, made.mark)
    output.line()
    output.line(("What to do next", STRONG))
    output.field("use it", f"{config.DB_VARIABLE}={made.path} or --db {made.path}, in every client's configuration.")
    output.field("", "Servers that run on another file go on there, and notice nothing.")
    if key.exists():
        text = f"{key} is of another log: move it away, or no epoch can be sealed here."
    else:
        text = f"the log goes on under a new name, so it signs with a new key: the first seal makes {key}."
    output.field("key", text)
    output.field("", "What was signed before is verified with the public key of before.")
    for file in lacking:
        output.field("class key", f"put it here: {file}. Without it what it seals cannot be read.")
    output.field("lost", "what was written after this copy was taken is not in it; the log says from where it goes on.")
    return 0


async def _class_keys_lacking(path: Path) -> list[Path]:
    """Where the keys of a store's sensitive prefixes belong that are not there, but for those that were destroyed."""
    async with open_repository(path, create=False) as repository:
        groups = repository.classes.all()
    keys = class_keys(path)
    return [keys.path(group.name) for group in groups if not group.destroyed and not keys.has(group.name)]


def _told(made: Copied, source: Path) -> dict[str, Any]:
    """What --json says of both."""
    checkpoint = made.mark.checkpoint
    return {
        "ok": made.report.ok,
        "source": str(source),
        "path": None if made.path is None else str(made.path),
        "bytes": made.size_bytes,
        "at": format_time(made.at) if made.at else None,
        "checkpoint": {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()},
        "counts": made.report.counts,
        "problems": [
            {"kind": problem.kind, "what": problem.what, "message": problem.message} for problem in made.report.problems
        ],
    }


def _damaged(output: Output, made: Copied, source: Path, told: dict[str, Any]) -> int:
    if output.as_json:
        output.document(told)
        return 1
    output.line(("Damaged", BAD), f": what was copied from {source} does not verify; nothing was kept.")
    for problem in made.report.problems:
        output.hanging(2, (f"{problem.kind} {problem.what}", BAD), f": {problem.message}")
    output.line(f"Run `{config.PROGRAM} verify` on the store itself, and keep the older backups.")
    return 1


def _show_mark(output: Output, mark: Mark) -> None:
    root = b64encode(mark.root).decode()
    output.field("log", f"{mark.checkpoint.origin}, {mark.size} events, root {root}")
