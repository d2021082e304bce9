"""`gc`: what the grace period of a garbage collection may be called, and how long it is."""

from __future__ import annotations

import re

from asg_mcp.core.limits import GRACE_SECONDS_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded

_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 7 * 86_400}
_FORM = re.compile(r"([0-9]{1,12})([smhdw]?)")


def parse_grace(text: str) -> int:
    """The seconds of a grace period: a number with s, m, h, d or w behind it; without one, days.

    Raises InvalidArgument for any other form, and LimitExceeded for more than GRACE_SECONDS_MAX.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise InvalidArgument(f"{text[:40]!r} is no grace period", hint="Write 14d, 36h, 2w, or 0 for none.")
    seconds = int(found[1]) * _UNITS[found[2] or "d"]
    if seconds > GRACE_SECONDS_MAX:
        raise LimitExceeded(
            f"A grace period of {text} is longer than any store lasts",
            hint="Write 14d, 36h, 2w, or 0 for none.",
            limit="GRACE_SECONDS_MAX",
            max=GRACE_SECONDS_MAX,
        )
    return seconds


def grace_text(seconds: int) -> str:
    """A grace period in its largest unit that divides it: 14d."""
    unit = next(unit for unit in reversed(_UNITS) if seconds % _UNITS[unit] == 0 and unit != "w")
    return f"{seconds // _UNITS[unit]}{unit}"
