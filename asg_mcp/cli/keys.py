"""`key`: the public key of the store's log, and replacing it."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from typing import Any

import anyio.to_thread

from asg_mcp import __version__, config
from asg_mcp.app import key_path, open_repository, rotate_log_key
from asg_mcp.cli.output import GOOD, Output
from asg_mcp.core.intents import Author
from asg_mcp.core.notes import VerifierKey
from asg_mcp.core.times import format_time
from asg_mcp.errors import AsgError
from asg_mcp.repo.keyring import Rotation
from asg_mcp.repo.repository import PROGRAM, Repository
from asg_mcp.services.signing import KeyFile

SHOW = "show the public key of the store's log, and which it had before"
ROTATE = "hand the store's log over to a new key, and destroy the old one"
_INTERRUPTED = "a rotation was interrupted; the next seal or `key rotate` finishes it."
Told = tuple[str, str, str]
"""Name, status and text of a check; see `health.Check`."""


def add_options(command: argparse.ArgumentParser) -> None:
    """What can be said about a rotation."""
    command.add_argument(
        "--lost",
        action="store_true",
        help="the old key is lost for good: it signs no hand-over, and nothing that it signed vouches for the new one",
    )


async def show(output: Output, options: Namespace) -> int:
    """Tell the key that signs, for whoever is to verify bundles. Makes none. 1 when the file has another one."""
    path = config.store_place(options.db).path
    async with open_repository(path, create=False) as repository:
        origin, named = await repository.epochs.origin(), await repository.keys.named()
        changes = await repository.keys.rotations()
    file, held, note, fault = KeyFile(key_path(path)), None, "", ""
    try:
        held = await anyio.to_thread.run_sync(file.held, origin)
        if held is not None and named is not None and held != named:
            if await anyio.to_thread.run_sync(file.waiting, origin) == named:
                note = _INTERRUPTED
            else:
                fault = _foreign(file.path, held, named)
    except AsgError as error:
        if named is None:
            raise  # what the log's key is nobody knows
        fault = f"{error.message}. {error.hint}".strip()
    key = named or held
    if output.as_json:
        output.document({**_document(origin, key, file.path, changes), "file_fault": fault or None})
        return 1 if fault else 0
    output.field("log", origin)
    if key is None:
        output.field("key", "none yet: the first seal of an epoch makes it.")
    else:
        output.field("key", str(key))
        output.field("id", key.key_id.hex())
    output.field("file", fault or f"{file.path}{'' if held is not None else ', which is not there'}")
    if note:
        output.field("note", note)
    for change in changes:
        output.field("rotated", _told(change))
    if key is not None:
        output.field(
            "use", "give the key to whoever verifies, by another way than the bundle: verify.py BUNDLE --key KEY"
        )
    return 1 if fault else 0


async def rotate(output: Output, options: Namespace) -> int:
    """Replace the key. 0 when the log has a new one, 1 when there is none to replace or somebody else was faster."""
    path = config.store_place(options.db).path
    author = Author(config.local_principal(), PROGRAM, f"{config.PROGRAM}/{__version__}")
    change = await rotate_log_key(path, author, lost=options.lost)
    if output.as_json:
        output.document(_document(change.new.name, change.new, key_path(path), [change]))
        return 0
    output.line(("Rotated", GOOD), f": {_told(change)}")
    output.field("key", str(change.new))
    output.field("old", str(change.old))
    if change.lost:
        output.field(
            "next", "whoever verifies has to get the new key from you: nothing that was signed before names it."
        )
    else:
        output.field("next", "keep the old public key: bundles that it signed are verified with it, now as before.")
    return 0


async def key_checks(repository: Repository, path: Path) -> list[Told]:
    """Whether the log's key is there, and the one that the log names."""
    file = KeyFile(key_path(path))
    try:
        origin, named = await repository.epochs.origin(), await repository.keys.named()
        held = await anyio.to_thread.run_sync(file.held, origin)
        waiting = await anyio.to_thread.run_sync(file.waiting, origin)
    except AsgError as error:
        return [("key", "bad", f"{error.message}. {error.hint}".strip())]
    if named is not None and held != named:
        if waiting == named:
            return [("key", "note", _INTERRUPTED)]
        return [("key", "bad", _foreign(file.path, held, named))]
    if held is None:
        return [("key", "ok", f"none yet; the first seal of an epoch makes {file.path}")]
    return [("key", "ok", f"{held.key_id.hex()} in {file.path}")]


def _foreign(file: Path, held: VerifierKey | None, named: VerifierKey) -> str:
    """What to say of a file that is missing, or has another key of the log than the one it names."""
    text = "is missing" if held is None else f"has the key {held.key_id.hex()}"
    advice = "Put the right file back. If it is lost for good: asg-mcp key rotate --lost"
    return f"{file} {text}, and the log names {named.key_id.hex()} as its own. {advice}"


def _told(change: Rotation) -> str:
    lost = ", which was lost" if change.lost else ""
    old, new = change.old.key_id.hex(), change.new.key_id.hex()
    return f"from {old}{lost} to {new}, event {change.index}, {format_time(change.at)}"


def _document(origin: str, key: VerifierKey | None, file: Path, changes: list[Rotation]) -> dict[str, Any]:
    return {
        "log": origin,
        "key": None if key is None else str(key),
        "key_id": None if key is None else key.key_id.hex(),
        "file": str(file),
        "rotations": [
            {
                "index": change.index,
                "at": format_time(change.at),
                "old": str(change.old),
                "new": str(change.new),
                "lost": change.lost,
            }
            for change in changes
        ],
    }
