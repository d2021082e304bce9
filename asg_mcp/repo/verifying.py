"""What the parts of `verify` share: problems, the report, and what receipts say was taken away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from asg_mcp.core.classes import ValueClass
from asg_mcp.core.ids import Id
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.notes import Signer
from asg_mcp.errors import AsgError, StorageError
from asg_mcp.repo.receipts import NO_RECEIPTS, Gathered, Receipts
from asg_mcp.storage.base import Reader, Store

AREAS = {
    "objects": ("nodes", "values", "erased_values", "sealed_values"),
    "commits": ("commits", "operations", "withheld_texts", "pruned_commits"),
    "log": ("events", "tiles", "withheld_bodies", "key_rotations"),
    "indexes": ("terms", "texts"),
    "refs": ("refs",),
    "records": ("sessions", "outcomes"),
    "epochs": ("epochs", "signatures"),
    "speculations": ("speculations",),
    "replies": ("replies",),
}
"""What is counted, by what it is a part of."""


@dataclass(frozen=True, slots=True)
class Problem:
    """The first thing that is not as it should be."""

    kind: str
    """database, commit, node, value, index, event, key, ref, record, epoch or reply; the code where reading failed"""
    what: str
    message: str


@dataclass(frozen=True, slots=True)
class Sampled:
    """How much of a store a sample looked at."""

    percent: float
    seed: int
    of: dict[str, tuple[int, int]]
    """(looked at, there are), by what: commits, events, nodes"""

    def unseen(self, damaged: int) -> float:
        """The chance that damage in so many commits goes unseen."""
        looked, there = self.of["commits"]
        chance = 1.0
        for number in range(min(damaged, there)):
            chance *= max(there - looked - number, 0) / (there - number)
        return chance


@dataclass(slots=True)
class VerifyReport:
    """What was checked. `problems` is empty when all of it is as it was written; the check stops at the first."""

    counts: dict[str, int] = field(default_factory=lambda: {name: 0 for names in AREAS.values() for name in names})
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    """What is worth knowing and no damage."""
    trusted: str = ""
    """What was taken as it is stored, and not checked; "" for nothing."""
    sample: Sampled | None = None
    """None where all was looked at."""

    @property
    def ok(self) -> bool:
        """Whether everything is as it was written."""
        return not self.problems

    def areas(self) -> dict[str, dict[str, int]]:
        """The counts by what they are a part of."""
        return {area: {name: self.counts[name] for name in names} for area, names in AREAS.items()}


class Wrong(Exception):
    """Something is not as it should be: the check ends."""

    def __init__(self, kind: str, what: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(kind, what, message)


@contextmanager
def named(kind: str, what: str) -> Iterator[None]:
    """Lay whatever else goes wrong in the block at the door of the object that is being checked."""
    try:
        yield
    except (StorageError, Wrong):
        raise
    except (AsgError, ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise Wrong(kind, what, f"What is stored of {what} makes no sense: {error}") from error


class Reached:
    """Which row numbers something led to. Nodes and large values are numbered together."""

    def __init__(self, rows: bytes = b"") -> None:
        self._rows = bytearray(rows)

    def __bytes__(self) -> bytes:
        return bytes(self._rows)

    def __contains__(self, row: int) -> bool:
        return row < len(self._rows) and self._rows[row] != 0

    def add(self, row: int) -> bool:
        """Take in a row; whether it is new."""
        if row >= len(self._rows):
            self._rows.extend(bytes(row + 1 - len(self._rows)))
        new = not self._rows[row]
        self._rows[row] = 1
        return new

    def missed_after(self, row: int) -> int:
        """The lowest number above this one that nothing led to."""
        found = self._rows.find(0, row + 1)
        return max(len(self._rows), row + 1) if found < 0 else found


@dataclass(slots=True)
class Check:
    """One run of `verify`."""

    store: Store
    signer: Signer | None
    report: VerifyReport = field(default_factory=VerifyReport)
    receipts: Receipts = NO_RECEIPTS
    reached: Reached = field(default_factory=Reached)
    values: dict[int, Id] = field(default_factory=dict)
    """The ids that stored values hash to, by their rows."""
    sealed: dict[int, ValueClass] = field(default_factory=dict)
    """The classes of stored values that nobody here can read, by their rows."""
    erased: set[bytes] = field(default_factory=set)
    """The digests of erased values that were met."""
    keyless: set[str] = field(default_factory=set)
    """Classes whose key is not here, though no receipt says that it was destroyed."""
    hasher: Hasher = field(init=False)
    """The store's, for replay."""
    _gathered: Gathered = field(default_factory=Gathered)

    def __post_init__(self) -> None:
        self.hasher = self.store.hasher.for_replay()

    def count(self, name: str, more: int = 1) -> None:
        """Say that so many more were checked."""
        self.report.counts[name] += more

    def reset(self, *areas: str) -> None:
        """Begin to count anew what these areas have."""
        for area in areas:
            self.report.counts.update(dict.fromkeys(AREAS[area], 0))

    def begin(self, reader: Reader) -> None:
        """Learn what receipts say, as the log is now; what is known of stored values goes."""
        self._gathered = Gathered()
        self.go_on(reader)
        self.values.clear()
        self.sealed.clear()

    def go_on(self, reader: Reader) -> bool:
        """Learn what receipts say that were written since; whether one is of an erasure: then `begin` has to follow."""
        erased = self._gathered.advance(reader)
        self.receipts = self._gathered.receipts()
        return erased
