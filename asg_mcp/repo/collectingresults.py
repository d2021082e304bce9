"""Garbage collection: what it is asked to do, and what it answers."""

from __future__ import annotations

from dataclasses import dataclass

from asg_mcp.core.limits import GRACE_SECONDS_DEFAULT, GRACE_SECONDS_MAX
from asg_mcp.errors import LimitExceeded
from asg_mcp.repo.results import CommitInfo


@dataclass(frozen=True, slots=True)
class CollectRequest:
    """What garbage collection is asked to do."""

    grace_seconds: int = GRACE_SECONDS_DEFAULT
    prune: bool = False
    """Whether to take away, too, what no branch, tag, epoch or open speculation reaches any more."""
    rehearse: bool = True
    """Whether to tell what would be done, and write nothing."""
    shrink: bool = True
    reason: str = ""
    """Why, for the receipt."""

    def check(self) -> None:
        """Raise LimitExceeded unless the grace period is within bounds."""
        if not 0 <= self.grace_seconds <= GRACE_SECONDS_MAX:
            raise LimitExceeded(
                f"A grace period of {self.grace_seconds} seconds",
                hint=f"Give one from 0 to {GRACE_SECONDS_MAX} seconds.",
                limit="GRACE_SECONDS_MAX",
                max=GRACE_SECONDS_MAX,
            )


@dataclass(frozen=True, slots=True)
class Collected:
    """What was taken away, or would be."""

    expired: int = 0
    """Speculations that were too old, and whose end is recorded now."""
    within_grace: int = 0
    """Ends of speculations and deletions of branches that the grace period still covers."""
    tried: int = 0
    """Commits that speculations had tried."""
    unreached: int = 0
    """Commits of branches that were deleted."""
    shown: tuple[CommitInfo, ...] = ()
    """The newest of both, as they were."""
    nodes: int = 0
    values: int = 0
    bytes: int = 0
    """Of all that, as it was before compression."""
    sizes: tuple[int, int] | None = None
    """Of the file with its log of writes, before and after; None where it was not made anew."""
    not_shrunk: str = ""
    """Why the room could not be given back."""

    @property
    def commits(self) -> int:
        """Commits that are stubs now, or would be."""
        return self.tried + self.unreached

    @property
    def nothing(self) -> bool:
        """Whether there was nothing to take away."""
        return not (self.expired or self.commits or self.nodes or self.values)
