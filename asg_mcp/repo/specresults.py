"""What the calls on speculations answer: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asg_mcp.core.ids import CommitId, Id
from asg_mcp.repo.results import Change, Conflict, SchemaWarning


@dataclass(frozen=True, slots=True)
class SpeculationResult:
    """A speculation after it was opened or changed."""

    handle: str
    label: str
    source: str
    """What it was opened from, as it was named."""
    target: str
    """The branch that it goes back to; "" where it was opened from a tag or a commit."""
    base: CommitId
    """The commit that it was opened at."""
    head: CommitId
    """Its newest commit; the base while nothing was tried."""
    expires: str
    """RFC 3339, UTC."""
    changed: int
    """Paths whose entry this call changed."""
    warnings: tuple[SchemaWarning, ...] = ()
    """What the schema in the state says of it."""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class SpeculationInfo:
    """A speculation, open or ended, as it is listed."""

    handle: str
    label: str
    status: str
    """open, committed, discarded or expired"""
    source: str
    target: str
    """The branch that it goes back to; where it was committed, what it was committed to."""
    base: CommitId
    agent: str
    principal: str
    session: str
    at: str
    """When it was opened, RFC 3339 in UTC."""
    expires: str
    lesson: str
    """What was learned, if it was discarded."""
    index: int
    """The number of its first event: newer ones have higher numbers."""
    ended_at: str = ""
    commit: CommitId | None = None
    """The commit that it became."""
    changes: int | None = None
    """Typed changes from its base, counted up to CHANGES_COUNTED_MAX; None where they were not counted, or are gone."""


@dataclass(frozen=True, slots=True)
class ChangeSet:
    """The typed changes between two states: the first of them, and how many there are."""

    changes: tuple[Change, ...]
    counts: Mapping[str, int]
    """By op; together up to CHANGES_COUNTED_MAX."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One of the speculations compared."""

    handle: str
    label: str
    base: CommitId
    head: CommitId
    target: str
    changed: ChangeSet
    """From its base."""
    conflicts: tuple[Conflict, ...] | None
    """What would stand in the way of committing it now; None where it has no branch to go to."""


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """What leads from one speculation to another."""

    one: str
    other: str
    changed: ChangeSet


@dataclass(frozen=True, slots=True)
class CompareResult:
    """Speculations against their bases, and against each other."""

    speculations: tuple[Compared, ...]
    pairs: tuple[ComparedPair, ...]


@dataclass(frozen=True, slots=True)
class PromoteResult:
    """What committing a speculation did, or could not decide."""

    handle: str
    ref: str
    """What it was committed to."""
    commit: CommitId | None
    """None with conflicts; the head where nothing was left to change."""
    parent: CommitId
    changed: int
    conflicts: tuple[Conflict, ...]
    alternatives: tuple[str, ...]
    """The handles recorded as alternatives."""
    object: Id | None = None
    rebased: bool = False
    """Whether the branch had moved since the speculation was opened, or past expected_head."""
    warnings: tuple[SchemaWarning, ...] = ()
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class DiscardResult:
    """A speculation that was dropped, and what it taught."""

    handle: str
    label: str
    lesson: str
    head: CommitId
    """Its newest commit, by which what was tried can still be read."""
    replayed: bool = False
