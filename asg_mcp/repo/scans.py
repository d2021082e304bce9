"""The two scans of a query: over commits, and over the entries of a state with the commits that last changed them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from asg_mcp.core.flat import scalar_value
from asg_mcp.core.limits import SCAN_COMMITS_MAX, SCAN_ENTRIES_MAX
from asg_mcp.core.nodes import SCALAR, Hasher
from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import format_path
from asg_mcp.errors import LimitExceeded, Withheld
from asg_mcp.repo.filters import CommitFilter
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.patterns import compile_pattern
from asg_mcp.repo.requests import Query
from asg_mcp.repo.resolve import Sight, state_at
from asg_mcp.repo.results import CommitInfo, StateItem
from asg_mcp.repo.search import selected
from asg_mcp.repo.streams import intersection
from asg_mcp.repo.walk import Step, walk
from asg_mcp.storage.base import Reader


@dataclass(slots=True)
class Scan:
    """The commits that match, found through the index where it knows a filter; `examined` counts those looked at."""

    reader: Reader
    graph: Graph
    filter: CommitFilter
    head: int
    everywhere: bool
    examined: int = 0
    stopped_at: int | None = None
    """The number to go on from, when the limit of commits was reached."""
    principal: str = ""
    """Who looks: what others tried in their speculations is passed over."""

    def matches(self, start: int | None = None, *, rising: bool = False) -> Iterator[CommitInfo]:
        """From `start` on, until there are no more or SCAN_COMMITS_MAX were examined."""
        low, high = self.filter.bounds()
        high = self.head if high is None else min(high, self.head)
        if start is not None:
            low, high = (max(low, start), high) if rising else (low, min(high, start))
        reach = None if self.everywhere else self.graph.reach(self.reader, self.head)
        sight = Sight(self.reader, self.graph, self.principal if self.everywhere else "")
        hidden = 0
        streams = self.filter.streams(high, rising=rising)
        for seq in intersection(streams, reach, max(low, 1), high, rising=rising):
            if self.examined + hidden >= SCAN_COMMITS_MAX:
                self.stopped_at = seq
                return
            row = self.reader.commit(seq)
            if sight.hides(row):
                hidden += 1
                continue
            self.examined += 1
            info = self.filter.match(row)
            if info is not None:
                yield info

    def all(self) -> Iterator[CommitInfo]:
        """All that match, newest first. Raises LimitExceeded when they cannot all be looked at."""
        yield from self.matches()
        if self.stopped_at is not None:
            raise _too_many("SCAN_COMMITS_MAX", SCAN_COMMITS_MAX, "commits", "agent, session, tags, since or until")


class Owned(NamedTuple):
    """A scalar entry and the commit that last changed it."""

    step: Step
    info: CommitInfo


class Owners:
    """The scalars of a state, below a path, whose last-changing commit matches; `examined` counts entries looked at."""

    def __init__(self, reader: Reader, hasher: Hasher, query: Query, head: int) -> None:
        self._reader = reader
        self._state = state_at(reader, hasher, reader.commit(head))
        spots = selected(reader, self._state, query.jsonpath) if query.jsonpath else [self._state.spot(query.path)]
        self._ranges = _united([(spot.rank, spot.end) for spot in spots])
        self._filter = CommitFilter(reader, hasher, query)
        self._search = compile_pattern(query.pattern) if query.pattern else None
        self._verdicts: dict[int, CommitInfo | None] = {}
        self.examined = 0
        self.stopped_at: int | None = None
        """The rank to go on from, when the limit of entries was reached."""

    def matches(self, start: int | None = None) -> Iterator[Owned]:
        """From rank `start` on, in path order, until there are no more or SCAN_ENTRIES_MAX were examined."""
        oldest, newest = self._filter.bounds()
        if newest is not None and newest < oldest:
            return
        for step in self._steps(start or 0, oldest):
            if self.examined >= SCAN_ENTRIES_MAX:
                self.stopped_at = step.rank
                return
            self.examined += 1
            if step.entry.kind == SCALAR:
                info = self._verdict(step.entry.origin)
                if info is not None and (self._search is None or self._search(format_path(step.tokens)) is not None):
                    yield Owned(step, info)

    def _steps(self, start: int, oldest: int) -> Iterator[Step]:
        for low, high in self._ranges:
            if start < high:
                yield from walk(self._state, max(low, start), high, oldest)

    def _verdict(self, origin: int) -> CommitInfo | None:
        if origin not in self._verdicts:
            self._verdicts[origin] = self._filter.match(self._reader.commit(origin))
        return self._verdicts[origin]

    def page(self, start: int | None, limit: int) -> tuple[list[Owned], int | None]:
        """At most `limit` of them, and the rank to go on from; None at the end."""
        found: list[Owned] = []
        for owned in self.matches(start):
            if len(found) == limit:
                return found, owned.step.rank
            found.append(owned)
        return found, self.stopped_at

    def all(self) -> Iterator[Owned]:
        """All of them. Raises LimitExceeded when they cannot all be looked at."""
        yield from self.matches()
        if self.stopped_at is not None:
            raise _too_many("SCAN_ENTRIES_MAX", SCAN_ENTRIES_MAX, "state entries", "path or since")

    def item(self, owned: Owned) -> StateItem:
        """What to show of one; an erased value is absent."""
        entry = owned.step.entry
        try:
            value = scalar_value(entry, self._reader)
        except Withheld:
            value = ABSENT
        return StateItem(owned.step.tokens, value, self._state.entry_type(entry), owned.info)


def _united(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges in order and without what lies in another: places of a tree lie apart or inside each other."""
    out: list[tuple[int, int]] = []
    for low, high in sorted(ranges, key=lambda item: (item[0], -item[1])):
        if not out or low >= out[-1][1]:
            out.append((low, high))
    return out


def _too_many(name: str, most: int, what: str, filters: str) -> LimitExceeded:
    return LimitExceeded(
        f"The query would have to look at more than {most} {what}",
        hint=f"Narrow it down with {filters}; groups, agents and the order by confidence need all of them at once.",
        limit=name,
        max=most,
    )
