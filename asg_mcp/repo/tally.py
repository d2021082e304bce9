"""Counting what a query found: groups and agents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import product
from math import fsum
from typing import Any

from asg_mcp.repo.records import authority_of
from asg_mcp.repo.results import AgentInfo, Calibration, CommitInfo, Group

GROUP_KEYS = ("agent", "principal", "client", "session", "category", "tag", "day", "authority")
ACHIEVED = {"fulfilled": 1.0, "partially_fulfilled": 0.5, "failed": 0.0}
"""What an outcome counts for when stated confidence is held against it. What was deferred is not settled."""
_DAY_CHARS = len("2026-11-21")


class _Tally:
    """What is known of one group."""

    __slots__ = ("count", "first_at", "last_at", "newest", "oldest")

    def __init__(self, info: CommitInfo) -> None:
        self.count = 0
        self.first_at = self.last_at = info.at
        self.newest = self.oldest = info.seq

    def add(self, info: CommitInfo) -> None:
        self.count += 1
        self.first_at, self.last_at = min(self.first_at, info.at), max(self.last_at, info.at)
        self.oldest, self.newest = min(self.oldest, info.seq), max(self.newest, info.seq)

    def rank(self, order_by: str) -> int:
        """What to sort by for newest, oldest or count."""
        return {"newest": -self.newest, "oldest": self.oldest, "count": -self.count}[order_by]


def groups_of(infos: Iterable[CommitInfo], keys: tuple[str, ...], order_by: str) -> list[Group]:
    """The groups of what was found, one for each commit or state entry.

    A commit with several tags counts in the group of each; what a commit lacks is "".
    Order: newest (whose newest commit is newest), oldest, or count; then by key.
    """
    tallies: dict[tuple[str, ...], _Tally] = {}
    for info in infos:
        for key in product(*[_keys_of(info, name) for name in keys]):
            tally = tallies.get(key)
            if tally is None:
                tally = tallies[key] = _Tally(info)
            tally.add(info)
    ordered = sorted(tallies.items(), key=lambda item: (item[1].rank(order_by), item[0]))
    return [
        Group(dict(zip(keys, key, strict=True)), tally.count, tally.first_at, tally.last_at) for key, tally in ordered
    ]


def _keys_of(info: CommitInfo, name: str) -> tuple[str, ...]:
    if name == "tag":
        return tuple(dict.fromkeys(info.tags)) or ("",)
    if name == "day":
        return (info.at[:_DAY_CHARS],)
    if name == "authority":
        return (authority_of(info.provenance),)
    return (str(getattr(info, name)),)


class _Agent(_Tally):
    __slots__ = ("categories", "clients", "confidences", "name", "outcomes", "principals", "reported")

    def __init__(self, info: CommitInfo) -> None:
        super().__init__(info)
        self.name = info.agent
        self.principals: set[str] = set()
        self.clients: set[str] = set()
        self.categories: Counter[str] = Counter()
        self.confidences: list[float] = []
        self.outcomes: Counter[str] = Counter()
        self.reported: list[tuple[float, float]] = []
        """(stated, achieved) of each intent that said how sure it was and that was settled."""

    def add(self, info: CommitInfo) -> None:
        super().add(info)
        self.principals.add(info.principal)
        self.clients.update({info.client} - {""})
        self.categories[info.category.value] += 1
        if info.confidence is not None:
            self.confidences.append(info.confidence)
        if info.outcome is not None:
            outcome = str(info.outcome["outcome"])
            self.outcomes[outcome] += 1
            if info.confidence is not None and outcome in ACHIEVED:
                self.reported.append((info.confidence, ACHIEVED[outcome]))

    @property
    def mean(self) -> float | None:
        return fsum(self.confidences) / len(self.confidences) if self.confidences else None

    @property
    def calibration(self) -> Calibration | None:
        if not self.reported:
            return None
        count = len(self.reported)
        return Calibration(
            reported=count,
            stated=fsum(stated for stated, _ in self.reported) / count,
            achieved=fsum(achieved for _, achieved in self.reported) / count,
            brier=fsum((stated - achieved) ** 2 for stated, achieved in self.reported) / count,
        )

    def info(self) -> AgentInfo:
        return AgentInfo(
            agent=self.name,
            commits=self.count,
            principals=tuple(sorted(self.principals)),
            clients=tuple(sorted(self.clients)),
            categories=dict(sorted(self.categories.items(), key=lambda item: (-item[1], item[0]))),
            confidence_mean=self.mean,
            outcomes=dict(sorted(self.outcomes.items())),
            calibration=self.calibration,
            first_at=self.first_at,
            last_at=self.last_at,
        )


def agents_of(infos: Iterable[CommitInfo], order_by: str) -> list[AgentInfo]:
    """The agents that made the commits.

    Order: newest (whose newest commit is newest), oldest, count, or confidence (lowest mean first, none last); then
    by name.
    """
    agents: dict[str, _Agent] = {}
    for info in infos:
        agent = agents.get(info.agent)
        if agent is None:
            agent = agents[info.agent] = _Agent(info)
        agent.add(info)

    def rank(agent: _Agent) -> tuple[Any, ...]:
        if order_by == "confidence":
            return by_confidence(agent.mean, -agent.newest)
        return (agent.rank(order_by),)

    return [agent.info() for agent in sorted(agents.values(), key=lambda agent: (*rank(agent), agent.name))]


def by_confidence(confidence: float | None, then: int) -> tuple[bool, float, int]:
    """What to sort by: the lowest confidence first, none last."""
    return confidence is None, confidence or 0.0, then


def sorted_by_confidence(infos: Iterator[CommitInfo]) -> list[CommitInfo]:
    """Commits, the least sure first, those that say nothing last; the newest first among equals."""
    return sorted(infos, key=lambda info: by_confidence(info.confidence, -info.seq))
