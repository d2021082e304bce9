"""`export`: writes the evidence bundle of a sealed epoch to a file."""

from __future__ import annotations

import os
import secrets
import sys
from argparse import Namespace
from pathlib import Path

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.cli.output import DIM, GOOD, STRONG, WARN, Output
from asg_mcp.errors import InvalidArgument
from asg_mcp.services.bundles import Bundle, bundle

STANDARD_OUTPUT = "-"
FORCE_HINT = "Choose another file, or give --force to replace it."


async def export(output: Output, options: Namespace) -> int:
    """The bundle, to a file that is whole or not there, or to a pipe."""
    to_pipe = options.output == STANDARD_OUTPUT
    target = Path(options.output)
    _check(options, target, to_pipe=to_pipe)
    async with open_repository(config.store_place(options.db).path, create=False) as repository:
        made = await bundle(repository, options.epoch)
    if to_pipe:
        sys.stdout.buffer.write(made.data)
        return 0
    _write(target, made.data, replace=options.force)
    if output.as_json:
        output.document(_document(made, options.output))
    else:
        _tell(output, made, options.output)
    return 0


def _check(options: Namespace, target: Path, *, to_pipe: bool) -> None:
    if to_pipe and (sys.stdout.isatty() or options.json):
        what = "--json answers on" if options.json else "a terminal is"
        raise InvalidArgument(
            f"A bundle is not text, and {what} standard output",
            hint="Give a file: -o FILE; or pipe it, without --json.",
        )
    if not to_pipe and target.exists() and (not options.force or not target.is_file()):
        raise InvalidArgument(f"There is a {_kind(target)} {target} already", hint=FORCE_HINT)


def _kind(target: Path) -> str:
    return "folder" if target.is_dir() else "file"


def _write(target: Path, data: bytes, *, replace: bool) -> None:
    """Write beside the place, and put it there whole; without `replace` never over another file."""
    made = target.with_name(f".{target.name}.{secrets.token_hex(8)}")
    try:
        with made.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if replace:
            made.replace(target)
        else:
            os.link(made, target)
    except FileExistsError as error:
        raise InvalidArgument(f"There is a file {target} already", hint=FORCE_HINT) from error
    except OSError as error:
        raise InvalidArgument(f"{target} cannot be written: {error.strerror}", hint="Give another file.") from error
    finally:
        made.unlink(missing_ok=True)


def _document(made: Bundle, file: str) -> dict[str, object]:
    return {
        "file": file,
        "epoch": made.epoch,
        "bytes": len(made.data),
        "sha256": made.sha256,
        "commits": made.commits,
        "size": made.size,
        "root": made.root,
        "key": made.key,
        "withheld": made.withheld,
        "not_proved": list(made.not_proved),
    }


def _tell(output: Output, made: Bundle, file: str) -> None:
    output.line(("Exported", GOOD), f" epoch {made.epoch} to ", (file, STRONG))
    output.field("holds", f"{made.commits} commits, {len(made.data):,} bytes, SHA-256 {made.sha256}")
    output.field("log", f"{made.size} events, root {made.root}")
    output.field("key", made.key)
    if made.withheld:
        output.field("withheld", (f"{made.withheld} texts or values were erased; their ids and proofs stand", WARN))
    output.line(("Hand the key over by another way than the bundle. Whoever has both verifies it anywhere with", DIM))
    output.line((f"  python verify.py {file} --key '{made.key}'", DIM))
    output.line(("where verify.py is asg_mcp/evidence/verify.py, Python 3.10 or newer; the bundle has a copy.", DIM))
