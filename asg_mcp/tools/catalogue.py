"""Every tool there is."""

from __future__ import annotations

from asg_mcp.tools import accountability, branch, epochs, history, migrate, plans, speculate, state
from asg_mcp.tools.registry import Catalogue

CATALOGUE: Catalogue = (
    *state.TOOLS,
    *branch.TOOLS,
    *history.TOOLS,
    *speculate.TOOLS,
    *accountability.TOOLS,
    *epochs.TOOLS,
    *plans.TOOLS,
    *migrate.TOOLS,
)
"""In the order in which they are listed and described."""
CORE = frozenset(
    {
        "asg_get",
        "asg_set",
        "asg_apply",
        "asg_log",
        "asg_blame",
        "asg_diff",
        "asg_branch",
        "asg_merge",
        "asg_revert",
        "asg_search",
    }
)
"""The tools of the core profile: enough to work and to explain, for clients with little room."""
