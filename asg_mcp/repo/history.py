"""Which commits changed a path, newest first: blame's and log's common ground.

What exists is told by origins: an entry carries the commit that last changed it,
so one step costs what a read costs, however long ago it was, and a merge leads to
the commits that it brought, on every line that the content came from. What was
deleted is looked for among the commits that the index gives for the path and its
ancestors: the newest whose parents all have the path and that is without it, and
that is reached through commits without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappop, heappush, merge

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

    Each commit that the present content came from leads on to all of its parents. A path through a list follows its
    element while the element can be told from its siblings.
    """
    lines = _Lines(view)
    lines.follow(row, tokens)
    while lines.waiting:
        step, onward = lines.next()
        yield step
        for parent, path in onward:
            lines.follow(parent, path)


class _Lines:
    """The lines of history that are followed, each down to the next commit that changed the path."""

    def __init__(self, view: View) -> None:
        self.waiting: list[int] = []
        """A heap of minus the numbers of those commits."""
        self._view = view
        self._left: dict[int, dict[Tokens, tuple[State, Spot | Gap]]] = {}
        """For each of them, by path: a later state that has what it left there, and where."""
        self._known: set[int] = set()
        """Rows of nodes whose origins were taken over: two versions of a container share most of them."""

    def follow(self, row: CommitRow, path: Tokens) -> None:
        """Find the newest commits that led to what the path holds at a commit."""
        state = self._view.state(row)
        place = state.locate(path)
        if isinstance(place, Gap):
            deleted = find_deletion(self._view, row, state, place)
            if deleted is not None:
                self._wait(deleted, state, place)
            return
        newest = state.tree.newest(place.rank, place.end)
        self._wait(newest, state, place)
        if place.end - place.rank > 1 and self._view.graph.descend(self._view.reader, row.seq, newest) != newest:
            # A merge lies between, and what it brought may be on another line than the newest change.
            for seq in state.tree.origins(place.rank, place.end, self._known):
                self._wait(seq, state, place)

    def _wait(self, seq: int, state: State, place: Spot | Gap) -> None:
        if seq not in self._left:
            self._left[seq] = {}
            heappush(self.waiting, -seq)
        self._left[seq].setdefault(place.tokens, (state, place))

    def next(self) -> tuple[Step, list[tuple[CommitRow, Tokens]]]:
        """The newest of the commits that are waiting, and what to follow before the next one is asked for."""
        seq = -heappop(self.waiting)
        parents = [self._view.reader.commit(parent) for parent in self._view.reader.commit(seq).parents]
        found = [self._step(seq, state, place) for state, place in self._left.pop(seq).values()]
        onward = [(parent, path) for _, path in found if path is not None for parent in parents]
        return found[0][0], onward

    def _step(self, seq: int, state: State, place: Spot | Gap) -> tuple[Step, Tokens | None]:
        """What a commit did, and the path to follow from it on; None where its history begins or is lost."""
        then = self._view.state_of(seq)
        if isinstance(place, Gap):
            return Step(seq, then, None), place.tokens
        path = _path_then(state, place, seq, then)
        if path is None:
            return Step(seq, state, place), None
        here = then.locate(path)
        on = None if _made_in_list(then, path, seq) else path
        return Step(seq, then, here if isinstance(here, Spot) else None), on


def find_deletion(view: View, row: CommitRow, state: State, gap: Gap) -> int | None:
    """The newest commit that deleted the path: absent in it, there in all of its parents, and not made again since.

    None when the path never existed on a line that `row` reaches. A merge that took a deletion over is not the one
    that deleted. Raises LimitExceeded when more commits touch the path and its ancestors than one call examines.
    """
    search = _Search(view, gap.tokens)
    search.add(row.seq, state)
    start = search.start()
    for seq in _candidates(view, gap.tokens, start + 1):
        search.down_to(seq)
        if not search.absent:
            return None
        if -search.absent[0] == seq and search.deleted():
            return seq
    return None


class _Search:
    """A search for a deletion: the commits without the path that it has come down to, on all lines."""

    def __init__(self, view: View, tokens: Tokens) -> None:
        self.absent: list[int] = []
        """A heap of minus the numbers of commits, none of which has the path."""
        self._view = view
        self._tokens = tokens
        self._bounds: dict[int, int] = {}
        """For each of them, what nothing above, down to the next merge, can have deleted the path."""
        self._examined = 0

    def add(self, seq: int, state: State) -> None:
        """Search below this commit too, unless it has the path."""
        place = state.locate(self._tokens)
        if seq in self._bounds or isinstance(place, Spot):
            return
        # The deletion changed the container that is left, or moved what is there now in a list above it: the newest
        # of them bounds the search, until a merge brings what was changed elsewhere.
        left = [place.deepest.entry, *_lists_above(state, place.deepest.tokens)]
        self._bounds[seq] = max(entry.origin for entry in left)
        heappush(self.absent, -seq)

    def start(self) -> int:
        """The highest number that a deletion can have."""
        seq = -self.absent[0]
        return self._view.graph.descend(self._view.reader, seq, self._bounds[seq])

    def down_to(self, seq: int) -> None:
        """Follow all lines down to commit `seq`, through commits without the path.

        A merge on the way is none that deleted the path: what it did to its first parent is in the index as well.
        """
        self._count()
        while self.absent and -self.absent[0] > seq:
            top = -heappop(self.absent)
            below = self._view.graph.descend(self._view.reader, top, seq)
            if below == top:
                self._through(top)
            elif below not in self._bounds:
                self._bounds[below] = min(self._bounds[top], below)
                heappush(self.absent, -below)

    def deleted(self) -> bool:
        """Whether the commit reached is the deletion; if not, the search goes on below it."""
        seq = -heappop(self.absent)
        parents = self._view.graph.parents(self._view.reader, seq)
        if len(parents) == 1 and self._bounds[seq] < seq:
            heappush(self.absent, -seq)  # it changed nothing that a deletion changes
            return False
        return self._through(seq)

    def _through(self, seq: int) -> bool:
        """Go on to the parents that are without the path; whether there are parents, and all of them have it."""
        self._count()
        parents = self._view.graph.parents(self._view.reader, seq)
        states = [self._view.state_of(parent) for parent in parents]
        for parent, state in zip(parents, states, strict=True):
            self.add(parent, state)
        return bool(parents) and all(isinstance(state.locate(self._tokens), Spot) for state in states)

    def _count(self) -> None:
        self._examined += 1
        if self._examined > SCAN_COMMITS_MAX:
            raise LimitExceeded(
                f"{SCAN_COMMITS_MAX} commits touch {format_path(self._tokens)} or what is above it",
                hint="Ask with an older ref, such as a tag or main@TIME.",
                limit="SCAN_COMMITS_MAX",
                max=SCAN_COMMITS_MAX,
            )


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
