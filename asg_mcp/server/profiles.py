"""Which tools a server offers: what the operator asked for, checked when it starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from asg_mcp.errors import InvalidArgument
from asg_mcp.server.arguments import nearest
from asg_mcp.tools.aliases import ALIASES
from asg_mcp.tools.catalogue import CORE
from asg_mcp.tools.registry import Catalogue, Effect

ALL_TOOLSET = "all"
CORE_TOOLSET = "core"
"""Enough to work and to explain, for clients with little room."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A choice among the tools: the toolsets and the tools together (all where neither is given), less the excluded."""

    toolsets: tuple[str, ...] = ()
    """Groups of the catalogue, `core` or `all`."""
    tools: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    read_only: bool = False
    """Only tools that change nothing, whatever else was asked for."""


EVERYTHING = Profile()


def toolset_names(catalogue: Catalogue) -> list[str]:
    """What can be asked for as a toolset."""
    return list(dict.fromkeys((ALL_TOOLSET, CORE_TOOLSET, *(tool.group for tool in catalogue))))


def select(catalogue: Catalogue, profile: Profile) -> Catalogue:
    """The tools of the catalogue that the profile asks for, in its order.

    Raises InvalidArgument for a name that is not there, with the nearest that is, and when no tool is left.
    """
    toolsets = toolset_names(catalogue)
    names = [tool.name for tool in catalogue]
    _require_known("--toolsets", "toolset", profile.toolsets, toolsets, {})
    aliases = {alias.name: alias.tool for alias in ALIASES}
    for option, asked in (("--tools", profile.tools), ("--exclude-tools", profile.exclude)):
        _require_known(option, "tool", asked, names, aliases)
    wanted = set(profile.tools) if profile.toolsets or profile.tools else set(names)
    for tool in catalogue:
        if {ALL_TOOLSET, tool.group} & set(profile.toolsets) or (
            CORE_TOOLSET in profile.toolsets and tool.name in CORE
        ):
            wanted.add(tool.name)
    wanted -= set(profile.exclude)
    chosen = tuple(
        tool for tool in catalogue if tool.name in wanted and (tool.effect is Effect.READ or not profile.read_only)
    )
    if not chosen:
        raise InvalidArgument(
            "No tool is left of what --toolsets, --tools, --exclude-tools and --read-only ask for",
            hint="Exclude less, or name more toolsets.",
        )
    return chosen


def _require_known(option: str, kind: str, asked: Iterable[str], known: list[str], aliases: dict[str, str]) -> None:
    for name in asked:
        if name in known:
            continue
        guess = aliases.get(name) or nearest(name, known)
        also = f"Did you mean {guess}? " if guess else ""
        raise InvalidArgument(
            f"{option}: there is no {kind} {name!r}",
            hint=f"{also}There are {', '.join(known)}.",
            option=option,
            name=name,
        )
