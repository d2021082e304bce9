"""The command line, for people. `main` is the command `asg-mcp`."""

from __future__ import annotations

from asg_mcp.cli.program import main

__all__ = ["main"]
