"""What refs and paths hold at one moment, as texts that differ when it does: what a watcher compares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from asg_mcp.core.paths import Tokens
from asg_mcp.core.state import Spot
from asg_mcp.errors import AmbiguousPrefix, NotFound
from asg_mcp.repo.view import View

ABSENT_PRINT = "absent"


@dataclass(frozen=True, slots=True)
class Target:
    """What is observed: the object at a path of a ref, or with no path the commit that the ref means."""

    ref: str
    path: Tokens | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """All of one read transaction."""

    events: int
    """Length of the log: as long as it stays, nothing else changes either."""
    commits: int
    prints: tuple[str, ...]
    """One a target: an id, `absent` where the path is not there, or the code of the error where the ref is not."""


def observe(view: View, targets: Sequence[Target] = (), *, must_exist: bool = False) -> Observation:
    """What the targets hold now. A ref that is gone is an answer too; with `must_exist` it raises."""
    look = fingerprint if must_exist else _fingerprint_or_code
    prints = tuple(look(view, target) for target in targets)
    return Observation(view.reader.events_count(), view.reader.last_seq(), prints)


def fingerprint(view: View, target: Target) -> str:
    """What one target holds now. Raises what `resolve_ref` raises where the ref means nothing."""
    row = view.resolve(target.ref)
    if target.path is None:
        return row.id.hex()
    state = view.state(row)
    place = state.locate(target.path)
    return state.object(place).hex() if isinstance(place, Spot) else ABSENT_PRINT


def _fingerprint_or_code(view: View, target: Target) -> str:
    try:
        return fingerprint(view, target)
    except (NotFound, AmbiguousPrefix) as error:
        return error.code
