"""Environments for the processes that tests start."""

from __future__ import annotations

from asg_mcp import config

_COVERAGE = "COV"


def unmeasured_environment() -> dict[str, str]:
    """Our own environment without what makes coverage measure a child.

    For processes that are started by the hundred, or that do the heavy work of a scenario: what they run is measured
    elsewhere, and measuring makes them several times slower.
    """
    return {name: value for name, value in config.own_environment().items() if not name.startswith(_COVERAGE)}
