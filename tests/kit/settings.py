"""What a server can be told: each option of `serve` with its variable, its default and its meaning, from the parser."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from asg_mcp import config
from asg_mcp.cli.arguments import parser

VARIABLES = {value for name, value in vars(config).items() if name.endswith("_VARIABLE")}

_DEFAULTS = {"db": "[your data folder](#where-your-data-is)", "secrets": "`/=reject`"}
_MEANINGS = {"port": "which port; 0 for any that is free"}
"""What the help of an option leaves to its surroundings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting."""

    option: str
    """Empty for what has a variable alone."""
    metavar: str
    variable: str
    """Empty for what has an option alone."""
    default: str
    meaning: str


def settings() -> list[Setting]:
    """Those of `asg-mcp serve`, in the order of its help, and the folder of what must lie outside a store."""
    (commands,) = (action for action in parser()._actions if isinstance(action, argparse._SubParsersAction))
    serve = commands.choices["serve"]
    found = [
        _setting(action)
        for group in serve._action_groups
        for action in group._group_actions
        if action.option_strings and action.dest != "help"
    ]
    outside = Setting(
        "",
        "FOLDER",
        config.STATE_VARIABLE,
        "your state folder",
        "the folder of what must lie outside a store",
    )
    return [*found, outside]


def _setting(action: argparse.Action) -> Setting:
    variable = f"ASG_{action.dest.upper()}"
    meaning, _, default = (action.help or "").partition(" (default: ")
    default = _DEFAULTS.get(action.dest, default.removesuffix(")"))
    return Setting(
        action.option_strings[0],
        "" if action.nargs == 0 else str(action.metavar or action.dest.upper()),
        variable if variable in VARIABLES else "",
        default,
        _MEANINGS.get(action.dest, meaning),
    )
