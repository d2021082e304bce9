"""Whether a brief transaction may run on the event loop, where whatever it waits for holds up everybody."""

from __future__ import annotations

HERE_SECONDS_MAX = 0.005
"""Of a whole transaction: one that took longer may be of a kind that does."""
COMMIT_SECONDS_MAX = 0.002
"""Of a commit: a disk that took longer is waited for on the thread."""
HERE_IN_A_ROW_MAX = 32
"""Then one goes to the thread, whose commit may go on to a checkpoint; some 500 pages have come since the last."""


class Pace:
    """What the last transactions took. The first one runs on the thread, and tells."""

    def __init__(self) -> None:
        self._was_quick = False
        self._in_a_row = 0

    def note(self, seconds: float, commit_seconds: float, transactions: int) -> None:
        """So long took a batch of so many, and the commit at its end."""
        self._was_quick = seconds <= HERE_SECONDS_MAX * transactions and commit_seconds <= COMMIT_SECONDS_MAX

    def take_turn(self) -> bool:
        """Whether the next one may run on the event loop, which is then counted."""
        self._in_a_row = (self._in_a_row + 1) % (HERE_IN_A_ROW_MAX + 1)
        return self._was_quick and self._in_a_row > 0
