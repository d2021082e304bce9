"""Diff between any two commits, as pages of typed changes."""

from __future__ import annotations

from itertools import islice

from asg_mcp.core.diff import Difference, differences
from asg_mcp.core.ids import CommitId
from asg_mcp.core.operations import ABSENT, Absent
from asg_mcp.core.paths import Tokens
from asg_mcp.core.state import Spot, State
from asg_mcp.core.values import JsonValue
from asg_mcp.repo import cursors
from asg_mcp.repo.results import Change, DiffResult
from asg_mcp.repo.view import View


def diff(view: View, ref_a: str, ref_b: str, path: Tokens, *, limit: int, cursor: str) -> DiffResult:
    """What changed from one ref to another at or below a path. A cursor pins both commits."""
    cursors.check_limit(limit)
    asked = cursors.digest(ref_a, ref_b, path)
    start = 0
    if cursor:
        seq_a, [seq_b, start] = cursors.begin(view, ref_a, "diff", asked, cursor, int, int)
        cursors.check_seq(view.reader, seq_b, cursor)
        row_a, row_b = view.reader.commit(seq_a), view.reader.commit(seq_b)
    else:
        row_a, row_b = view.resolve(ref_a), view.resolve(ref_b)
    a, b = view.state(row_a), view.state(row_b)
    if not any(isinstance(state.locate(path), Spot) for state in (a, b)):
        b.spot(path)  # raises, naming the nearest paths
    found = list(islice(differences(a, b, path), start, start + limit + 1))
    more = len(found) > limit
    return DiffResult(
        ref_a=ref_a,
        ref_b=ref_b,
        commit_a=CommitId(row_a.id),
        commit_b=CommitId(row_b.id),
        changes=tuple(change(a, b, item) for item in found[:limit]),
        next_cursor=cursors.make("diff", asked, [row_a.seq, row_b.seq, start + limit]) if more else "",
    )


def change(a: State, b: State, item: Difference) -> Change:
    """A difference with its values."""
    return Change(item.op, item.tokens, _side(a, item.old), _side(b, item.new), item.source)


def _side(state: State, spot: Spot | None) -> JsonValue | Absent:
    return ABSENT if spot is None else state.shown(spot)
