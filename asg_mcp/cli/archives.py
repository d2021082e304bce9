"""`export-repo` and `import-repo`: all of a store in one file, and a new store from one."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

from asg_mcp import __version__, config
from asg_mcp.app import Imported, export_repository, import_repository, key_path
from asg_mcp.cli.health import ProgressBar, size_text
from asg_mcp.cli.output import GOOD, STRONG, WARN, Output
from asg_mcp.core.intents import Author
from asg_mcp.core.notes import Checkpoint
from asg_mcp.repo.repository import PROGRAM

EXPORT = "write all of the store to one file that any machine can make a store of, and check"
IMPORT = "make a new store from an archive, and check every hash in it"


def add_export_options(command: ArgumentParser, place: Callable[[str], Path]) -> None:
    """What `export-repo` takes."""
    command.add_argument("file", metavar="FILE", type=place, help="where to write the archive, a zip file")
    command.add_argument("--force", action="store_true", help="replace FILE if it is there")


def add_import_options(command: ArgumentParser, place: Callable[[str], Path]) -> None:
    """What `import-repo` takes."""
    command.add_argument("file", metavar="FILE", type=place, help="the archive that export-repo wrote")
    command.add_argument("--dry-run", action="store_true", help="only check the archive, all of it; make nothing")
    command.add_argument("--key", metavar="KEY", default="", help="the public key that must have signed it")
    command.add_argument(
        "--bundles", metavar="DIR", type=place, help="write the evidence bundles of sealed epochs there, one file each"
    )


async def export_repo(output: Output, options: Namespace) -> int:
    """Write the archive."""
    path = config.store_place(options.db).path
    with ProgressBar(output) as progress:
        made = await export_repository(path, options.file, progress, force=options.force)
    left_out = [epoch for epoch, is_in in made.epochs.items() if not is_in]
    if output.as_json:
        output.document(
            {
                "ok": True,
                "file": str(options.file),
                "bytes": made.size_bytes,
                "sha256": made.sha256,
                "checkpoint": _checkpoint(made.checkpoint),
                "signed": made.signed,
                "counts": dict(made.counts),
                "holds_keys": True,
                "classes": list(made.classes),
                "epochs": sorted(made.epochs.keys() - set(left_out)),
                "epochs_without_bundle": left_out,
            }
        )
        return 0
    counts = made.counts
    output.line(("Exported", GOOD), f": {options.file} ({size_text(made.size_bytes)}), SHA-256 {made.sha256}")
    output.field("holds", f"{counts['commits']} commits, {counts['events']} events, {counts['refs']} refs")
    _show_log(output, "log", made.checkpoint, "signed" if made.signed else "not signed: the store has no key yet")
    classes = f" and those of the classes {', '.join(made.classes)}" if made.classes else ""
    output.field("keys", (f"it holds the store's keys{classes}: whoever has the file can read all. Keep it so.", WARN))
    output.field("", "The key that signs is not in it.")
    for epoch in left_out:
        output.field("without", f"the bundle of epoch {epoch}: not signed yet, too large, or with a pruned commit.")
    output.field("import", f"{config.PROGRAM} import-repo {options.file} --db NEWFILE")
    return 0


async def import_repo(output: Output, options: Namespace) -> int:
    """Make the store, or only check the archive."""
    to = None if options.dry_run else config.store_place(options.db).path
    agent = config.default_agent(options.agent) or PROGRAM
    author = Author(config.local_principal(), agent, f"{config.PROGRAM}/{__version__}")
    bundles = None if options.dry_run else options.bundles
    with ProgressBar(output) as progress:
        made = await import_repository(options.file, to, author, progress, bundles=bundles, key=options.key)
    if output.as_json:
        output.document(_told(made, options))
        return 0
    counts = made.report.counts
    done = f": {options.file} can be imported." if made.path is None else f": {made.path}, a log of its own, verified."
    output.line(("Checked" if made.path is None else "Imported", GOOD), done)
    output.field("holds", f"{counts['commits']} commits, {counts['events'] - 1} events, {counts['refs']} refs")
    signed = "signed" if made.head.note else "not signed"
    if made.head.note and not options.key:
        signed = f"signed by {made.head.key}; whose key that is, is not proved: give --key"
    _show_log(output, "from", made.head.checkpoint, signed)
    if made.path is not None:
        _show_next(output, made)
    return 0


def _show_next(output: Output, made: Imported) -> None:
    assert made.path is not None, "BUG: a store was made"
    _show_log(output, "log", made.mark.checkpoint, "its first event names the one above")
    output.line()
    output.line(("What to do next", STRONG))
    output.field("use it", f"{config.DB_VARIABLE}={made.path} or --db {made.path}, in every client's configuration.")
    key = key_path(made.path)
    if key.exists():
        output.field("key", (f"{key} is of another log: move it away, or no epoch can be sealed here.", WARN))
    else:
        output.field("key", f"the new log signs with a new key: the first seal makes {key}.")
    if made.classes:
        output.field("classes", f"the keys of {', '.join(made.classes)} are beside the store. Back them up apart.")
    if made.head.sealed:
        output.field("sealed", f"{', '.join(made.head.sealed)}: their tags came over, their seals stay with their log.")
        written = f"written to {made.written[0].parent}" if made.written else "in the archive; --bundles DIR writes it"
        output.field("", f"Their evidence is {written}, and is verified with the key of then.")
    output.field("not here", "remembered replies: a request_id used before is a new request here.")


def _told(made: Imported, options: Namespace) -> dict[str, Any]:
    key = None if made.path is None else key_path(made.path)
    return {
        "ok": True,
        "dry_run": made.path is None,
        "source": str(options.file),
        "path": None if made.path is None else str(made.path),
        "bytes": made.size_bytes,
        "from": {**_checkpoint(made.head.checkpoint), "signed_by": made.head.key or None},
        "signer_checked": bool(options.key),
        "checkpoint": None if made.path is None else _checkpoint(made.mark.checkpoint),
        "counts": made.report.counts,
        "classes": list(made.classes),
        "sealed": [
            {"epoch": epoch, "size": size, "root": root.hex(), "bundle": epoch in made.bundles}
            for epoch, (size, root) in made.head.sealed.items()
        ],
        "bundles": [str(file) for file in made.written],
        "key": None if key is None else str(key),
        "key_is_there": key is not None and key.exists(),
    }


def _checkpoint(checkpoint: Checkpoint) -> dict[str, Any]:
    return {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}


def _show_log(output: Output, label: str, checkpoint: Checkpoint, more: str) -> None:
    root = b64encode(checkpoint.root).decode()
    output.field(label, f"{checkpoint.origin}, {checkpoint.size} events, root {root}")
    output.field("", more)
