"""Blame: for each path, the commit that last changed it."""

from __future__ import annotations

from itertools import islice, pairwise

from asg_mcp.core.ids import CommitId
from asg_mcp.core.nodes import SCALAR
from asg_mcp.core.operations import ABSENT, Absent
from asg_mcp.core.paths import Tokens
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.core.values import JsonValue
from asg_mcp.repo import cursors
from asg_mcp.repo.history import Step, find_deletion, steps
from asg_mcp.repo.resolve import clock_anomaly
from asg_mcp.repo.results import BlameEntry, BlameResult, LogResult
from asg_mcp.repo.view import View, leaves

VALUE_ENTRIES_MAX = 50
"""A container with more entries is shown by its type alone: get reads it."""


def blame(view: View, ref: str, path: Tokens, *, depth: int, history: bool, limit: int, cursor: str) -> BlameResult:
    """Who last changed a path and every field below it, or who deleted it; with `history`, every change of it.

    Raises PathNotFound when the path never existed in the ref's history.
    """
    cursors.check_limit(limit)
    asked = cursors.digest(ref, path, depth, history)
    row = view.resolve(ref)
    start = 0
    if cursor:
        seq, [start] = cursors.begin(view, ref, "blame", asked, cursor, int)
        row = view.reader.commit(seq)
    state = view.state(row)
    place = state.locate(path)
    entries: list[BlameEntry]
    position: int | None = None
    if history:
        found = list(islice(steps(view, row, path), start, start + limit + 1))
        if not found and not start and isinstance(place, Gap):
            raise state.missing(place)
        entries = [_step(view, path, step) for step in found[:limit]]
        position = start + limit if len(found) > limit else None
    elif isinstance(place, Gap):
        seq_gone = find_deletion(view, row, state, place)
        if seq_gone is None:
            raise state.missing(place)
        entries = [BlameEntry(path, ABSENT, "", view.info(seq_gone))]
    else:
        spots = list(islice(leaves(state, place, depth, start), limit + 1))
        entries = [_entry(view, state, spot) for spot in spots[:limit]]
        position = spots[limit].rank if len(spots) > limit else None
    next_cursor = "" if position is None else cursors.make("blame", asked, [row.seq, position])
    return BlameResult(ref, CommitId(row.id), path, tuple(entries), next_cursor)


def _entry(view: View, state: State, spot: Spot) -> BlameEntry:
    origin = state.tree.newest(spot.rank, spot.end)
    return BlameEntry(spot.tokens, _value(state, spot), state.type_name(spot), view.info(origin))


def _step(view: View, path: Tokens, step: Step) -> BlameEntry:
    if step.spot is None:
        return BlameEntry(path, ABSENT, "", view.info(step.seq))
    value = _value(step.state, step.spot)
    return BlameEntry(step.spot.tokens, value, step.state.type_name(step.spot), view.info(step.seq))


def _value(state: State, spot: Spot) -> JsonValue | Absent:
    if spot.entry.kind != SCALAR and spot.end - spot.rank > VALUE_ENTRIES_MAX:
        return ABSENT
    return state.shown(spot)


def log(view: View, ref: str, path: Tokens, *, limit: int, cursor: str) -> LogResult:
    """Commits that a ref reaches, merged ones included, newest first; with a path, those that changed it."""
    cursors.check_limit(limit)
    asked = cursors.digest(ref, path)
    row = view.resolve(ref)
    position = row.seq + 1 if not path else 0
    if cursor:
        seq, [position] = cursors.begin(view, ref, "log", asked, cursor, int)
        row = view.reader.commit(seq)
    if path:
        found = [step.seq for step in islice(steps(view, row, path), position, position + limit + 1)]
        if not found and not position:
            place = view.state(row).locate(path)
            if isinstance(place, Gap):
                raise view.state(row).missing(place)
        following = position + limit
    else:
        found = list(islice(view.reach(row).descending(position), limit + 1))
        following = found[limit - 1] if len(found) > limit else 0
    more = len(found) > limit
    commits = tuple(view.info(seq) for seq in found[:limit])
    return LogResult(
        ref=ref,
        commits=commits,
        next_cursor=cursors.make("log", asked, [row.seq, following]) if more else "",
        clock_anomaly=any(later.at < earlier.at for later, earlier in pairwise(commits))
        or clock_anomaly(view.reader, ref),
    )
