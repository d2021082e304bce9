"""Completing a path that is being typed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from asg_mcp.core.limits import COMPLETION_SCAN_MAX
from asg_mcp.core.nodes import LIST, MAP
from asg_mcp.core.paths import END, Tokens, format_path, map_segment
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.repo.view import View


@dataclass(frozen=True, slots=True)
class Completed:
    """How what was typed may go on."""

    values: tuple[str, ...]
    total: int | None
    """How many there are in all; None where they were not counted to the end."""
    more: bool
    """Whether there are more than `values`."""


def complete_path(view: View, ref: str, typed: str, limit: int) -> Completed:
    """Paths that go on from `typed`: children of the deepest container on its way whose names begin as it goes on.

    Raises what `resolve_ref` raises.
    """
    state = view.state(view.resolve(ref))
    parent, begun = _deepest(state, _tokens(typed))
    found = _names(state, parent, begun)
    values = tuple(format_path((*parent.tokens, name)) for name in islice(found, limit))
    rest = sum(1 for _ in islice(found, COMPLETION_SCAN_MAX))
    total = None if rest == COMPLETION_SCAN_MAX else len(values) + rest
    return Completed(values, total, rest > 0)


def _tokens(typed: str) -> Tokens:
    """The tokens of what has been typed so far, of which the last is the beginning of a name."""
    typed = typed.removeprefix("/")
    # A ~ at the end is half of ~0 or ~1: it stands for either, so it is left to be typed again.
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in typed.removesuffix("~").split("/"))


def _deepest(state: State, tokens: Tokens) -> tuple[Spot, str]:
    place = state.locate(tokens[:-1])
    if isinstance(place, Gap):
        return place.deepest, tokens[len(place.deepest.tokens)]
    return place, tokens[-1]


def _names(state: State, parent: Spot, begun: str) -> Iterator[str]:
    """The names of the children that begin so, in order."""
    if parent.entry.kind == MAP:
        return _keys(state, parent, begun)
    if parent.entry.kind == LIST:
        return (str(index) for index in range(state.length(parent)) if str(index).startswith(begun))
    return iter(())


def _keys(state: State, parent: Spot, begun: str) -> Iterator[str]:
    # Keys are in order, so those that begin alike stand together.
    first = parent.entry.key + map_segment(begun).removesuffix(END)
    start = state.tree.lower_bound(first, parent.rank + 1, parent.end)
    if start >= parent.end:
        return
    for child in state.children(parent, start):
        if not child.tokens[-1].startswith(begun):
            return
        yield child.tokens[-1]
