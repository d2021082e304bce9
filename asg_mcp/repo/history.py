"""Which commits changed a path, newest first: blame's and log's common ground.

What exists is told by origins: an entry carries the commit that last changed it,
so one step costs what a read costs, however long ago it was. What was deleted is
looked for among the commits that the index gives for the path and its ancestors,
and each is confirmed: the path is in its parent and not in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge

from asg_mcp.core.flat import same_content
from asg_mcp.core.limits import SCAN_COMMITS_MAX
from asg_mcp.core.nodes import Entry
from asg_mcp.core.paths import ELEMENT, Tokens, format_path
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.errors import LimitExceeded
from asg_mcp.repo.view import View, path_of
from asg_mcp.storage.base import CommitRow, TermKind

_CANDIDATES_PAGE = 256


@dataclass(frozen=True, slots=True)
class Step:
    """One commit that changed the path: what it left there (None where it deleted it), and where."""

    seq: int
    state: State
    spot: Spot | None


def steps(view: View, row: CommitRow, tokens: Tokens) -> Iterator[Step]:
    """The commits that changed the path or anything below it, newest first, as far as the path can be followed.

    A path through a list follows its element while the element can be told from its siblings.
    """
    path: Tokens | None = tokens
    while path is not None:
        state = view.state(row)
        place = state.locate(path)
        if isinstance(place, Gap):
            deleted = find_deletion(view, row, state, place)
            if deleted is None:
                return
            yield Step(deleted, view.state_of(deleted), None)
            row = view.reader.commit(view.reader.commit(deleted).parents[0])
            continue
        seq = state.tree.newest(place.rank, place.end)
        then = view.state_of(seq)
        path = _path_then(state, place, seq, then)
        here = then.locate(path) if path is not None else place
        yield Step(seq, then if path is not None else state, here if isinstance(here, Spot) else None)
        parents = view.reader.commit(seq).parents
        if not parents or (path is not None and _made_in_list(then, path, seq)):
            return
        row = view.reader.commit(parents[0])


def find_deletion(view: View, row: CommitRow, state: State, gap: Gap) -> int | None:
    """The newest commit that `row` reaches and that deleted the path; None when it never existed there.

    Raises LimitExceeded when more commits touch the path and its ancestors than one call examines.
    """
    reach = view.reach(row)
    # The deletion changed the container that is left, or moved what is there now in a list above it: the newest of
    # them bounds the search.
    left = [gap.deepest.entry, *_lists_above(state, gap.deepest.tokens)]
    before = max(entry.origin for entry in left) + 1
    examined = 0
    for seq in _candidates(view, gap.tokens, before):
        examined += 1
        if examined > SCAN_COMMITS_MAX:
            raise LimitExceeded(
                f"{SCAN_COMMITS_MAX} commits touch {format_path(gap.tokens)} or what is above it",
                hint="Ask with an older ref, such as a tag or main@TIME.",
                limit="SCAN_COMMITS_MAX",
                max=SCAN_COMMITS_MAX,
            )
        if seq not in reach:
            continue
        commit = view.reader.commit(seq)
        if not commit.parents or isinstance(view.state(commit).locate(gap.tokens), Spot):
            continue
        if isinstance(view.state_of(commit.parents[0]).locate(gap.tokens), Spot):
            return seq
    return None


def _candidates(view: View, tokens: Tokens, before: int) -> Iterator[int]:
    paths = [format_path(tokens[:length]) for length in range(len(tokens) + 1)]
    last = None
    for seq in merge(*(_indexed(view, path, before) for path in paths), reverse=True):
        if seq != last:
            yield seq
        last = seq


def _indexed(view: View, path: str, before: int) -> Iterator[int]:
    while True:
        found = view.reader.find((TermKind.PATH, path), before, _CANDIDATES_PAGE)
        yield from found
        if len(found) < _CANDIDATES_PAGE:
            return
        before = found[-1]


def _lists_above(state: State, path: Tokens) -> list[Entry]:
    """The markers of the lists that a path goes through."""
    markers = []
    spot: Spot | None = state.root()
    for token in path:
        assert spot is not None, "BUG: the path exists"
        if state.type_name(spot) == "list":
            markers.append(spot.entry)
        spot = state.child(spot, token)
    return markers


def _path_then(state: State, spot: Spot, seq: int, then: State) -> Tokens | None:
    """Where the entry was when commit `seq` changed it; None when it cannot be told."""
    if ELEMENT not in spot.entry.key:
        return spot.tokens
    if all(marker.origin <= seq for marker in _lists_above(state, spot.tokens)):
        return spot.tokens
    changed = next(entry for entry in state.tree.entries(spot.rank, spot.end) if entry.origin == seq)
    ranks = [
        rank
        for rank, entry in enumerate(then.tree.entries())
        if entry.origin == seq and same_content([entry], [changed])
    ]
    if len(ranks) != 1:
        return None
    path = path_of(then, ranks[0])
    return path[: len(spot.tokens)]


def _made_in_list(then: State, path: Tokens, seq: int) -> bool:
    """Whether the commit put the element there: then its history begins with it."""
    return any(marker.origin == seq for marker in _lists_above(then, path))
