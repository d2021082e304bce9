"""One consistent view of a repository: the reader, the store's hash rules, and the graph of its commits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from asg_mcp.core.nodes import MAP, SCALAR, Hasher
from asg_mcp.core.paths import END, Tokens
from asg_mcp.core.state import Spot, State
from asg_mcp.repo.graph import Graph, Reach
from asg_mcp.repo.records import info_of, key_of, outcome_of
from asg_mcp.repo.resolve import resolve_ref, state_at
from asg_mcp.repo.results import CommitInfo
from asg_mcp.storage.base import CommitRow, Reader, RecordKind


@dataclass(frozen=True, slots=True)
class View:
    """What a read works on. It lives inside one read transaction and must not be kept."""

    reader: Reader
    hasher: Hasher
    graph: Graph
    principal: str = ""
    """Who looks: the verified principal, or "" for whoever may see everything."""

    def resolve(self, ref: str) -> CommitRow:
        """The commit that a ref, prefix or revision means."""
        return resolve_ref(self.reader, self.graph, ref, self.principal)

    def state(self, row: CommitRow) -> State:
        """The state a commit holds."""
        return state_at(self.reader, self.hasher, row)

    def state_of(self, seq: int) -> State:
        """The state of the commit with this number."""
        return self.state(self.reader.commit(seq))

    def info(self, seq: int) -> CommitInfo:
        """The commit with this number, as it is shown, with what was reported of its intent."""
        info = info_of(self.reader, self.reader.commit(seq))
        filed = self.reader.record(RecordKind.OUTCOME, key_of(info))
        return info if filed is None else replace(info, outcome=outcome_of(filed))

    def reach(self, row: CommitRow) -> Reach:
        """What a commit reaches."""
        return self.graph.reach(self.reader, row.seq)


def leaves(state: State, spot: Spot, depth: int, start: int = 0) -> Iterator[Spot]:
    """The scalars and empty containers at or below a place, in order, from rank `start` on.

    A container `depth` levels below stands for all that is in it. O(log n) each.
    """
    if spot.end <= start:
        return
    if spot.entry.kind == SCALAR or spot.end - spot.rank == 1 or depth == 0:
        if spot.rank >= start:
            yield spot
        return
    for child in state.children(spot, _child_start(state, spot, start)):
        yield from leaves(state, child, depth - 1, start)


def _child_start(state: State, spot: Spot, start: int) -> int | None:
    """The rank of the child of `spot` that holds rank `start`; None for the first child."""
    if start <= spot.rank + 1:
        return None
    if spot.entry.kind == MAP:
        key, prefix = state.tree.entry(start).key, len(spot.entry.key)
        found = state.tree.find(key[: key.index(END, prefix) + 1], spot.rank + 1, spot.end)
        assert found is not None, "BUG: what is below a map is below one of its children"
        return found[0]
    return state.element_at(spot, start).rank


def path_of(state: State, rank: int) -> Tokens:
    """The path of the entry with this rank."""
    spot = state.root()
    while spot.rank != rank:
        spot = next(state.children(spot, _child_start(state, spot, rank)))
    return spot.tokens
