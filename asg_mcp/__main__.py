"""`python -m asg_mcp` is the command `asg-mcp`."""

from __future__ import annotations

import sys

from asg_mcp.cli import main

if __name__ == "__main__":
    sys.exit(main())
