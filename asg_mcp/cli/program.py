"""The command: parse, run, and turn errors into messages and exit codes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from asg_mcp.cli.arguments import parse
from asg_mcp.cli.output import Output
from asg_mcp.errors import AsgError, InvalidInput, StorageError

DONE, NO, NOT_UNDERSTOOD, NOT_OPENED, INTERRUPTED, NOBODY_READS = 0, 1, 2, 3, 130, 141
"""Exit codes. The last two are 128 and the number of the signal, as shells have it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. `arguments` are those of the process unless given."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    output = Output(as_json="--json" in given)
    try:
        options = parse(given)
        code = asyncio.run(options.run(output, options))
        output.flush()
    except AsgError as error:
        output.error(error)
        code = exit_code(error)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # Python would write what is left at its exit, and complain again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = NOBODY_READS
    return int(code)


def exit_code(error: AsgError) -> int:
    """The exit code that tells a script what kind of error it was."""
    if isinstance(error, InvalidInput):
        return NOT_UNDERSTOOD
    return NOT_OPENED if isinstance(error, StorageError) else NO
