"""Times: RFC 3339 text outside, microseconds since 1970-01-01T00:00:00Z inside.

Nothing here reads a clock. Clocks only annotate; the order of things is the order
of the event log.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from asg_mcp.errors import InvalidArgument

SECOND = 1_000_000
"""Microseconds of one second."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EPOCH_NAIVE = _EPOCH.replace(tzinfo=None)
_MICROSECOND = timedelta(microseconds=1)
TIME_MIN = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""0001-01-01T00:00:00Z in microseconds; RFC 3339 has no year with more or fewer than four digits."""
TIME_MAX = (datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC) - _EPOCH) // _MICROSECOND
"""9999-12-31T23:59:59.999999Z in microseconds."""
_HINT = "Write a time as 2026-11-21T08:00:00Z or 2026-11-21T09:00:00+01:00, or a day as 2026-11-21 (midnight UTC)."
_TEXT_CHARS_MAX = 40
_FORM = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{2})-(?P<day>[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,9}))?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<offset_hours>[0-9]{2}):(?P<offset_minutes>[0-9]{2})))?"
)


def parse_time(text: str) -> int:
    """Microseconds since the epoch, in UTC, of an RFC 3339 time or of a day (its midnight in UTC).

    A space may stand for the T. Digits finer than a microsecond are cut, so that the
    result is never later than the text. A leap second is the first of the next minute.

    Raises InvalidArgument for any other form, an impossible day or hour, or a time
    outside the years 1 to 9999.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise _not_a_time(text)
    parts = found.groupdict()
    second = int(parts["second"] or 0)
    try:
        local = datetime(
            int(parts["year"]),
            int(parts["month"]),
            int(parts["day"]),
            int(parts["hour"] or 0),
            int(parts["minute"] or 0),
            min(second, 59) if second <= 60 else second,
            tzinfo=UTC,
        )
    except ValueError as error:
        raise InvalidArgument(f"{_shown(text)} is not a time: {error}", hint=_HINT) from None
    micros = (local - _EPOCH) // _MICROSECOND - _offset(parts, text)
    if second == 60:
        micros += SECOND
        if micros % (86_400 * SECOND):
            raise InvalidArgument(
                f"{_shown(text)} is not a time: a leap second comes at the end of a day in UTC", hint=_HINT
            )
    micros += int((parts["fraction"] or "").ljust(6, "0")[:6])
    if not TIME_MIN <= micros <= TIME_MAX:
        raise InvalidArgument(f"{_shown(text)} is outside the years 1 to 9999 in UTC", hint=_HINT)
    return micros


@lru_cache(maxsize=1_024)  # the time of a commit is written in its header, in its event and in what is read of it
def format_time(micros: int) -> str:
    """RFC 3339 text, in UTC with six fractional digits and Z, of microseconds since the epoch."""
    assert TIME_MIN <= micros <= TIME_MAX, f"BUG: {micros} microseconds are outside the years 1 to 9999"
    return (_EPOCH_NAIVE + timedelta(microseconds=micros)).isoformat(timespec="microseconds") + "Z"


def _offset(parts: dict[str, str | None], text: str) -> int:
    hours, minutes = int(parts["offset_hours"] or 0), int(parts["offset_minutes"] or 0)
    if hours > 23 or minutes > 59:
        raise InvalidArgument(f"{_shown(text)} is not a time: an offset is at most 23:59", hint=_HINT)
    micros = (hours * 60 + minutes) * 60 * SECOND
    return -micros if parts["sign"] == "-" else micros


def _not_a_time(text: str) -> InvalidArgument:
    if len(text) <= _TEXT_CHARS_MAX and _FORM.fullmatch(text + "Z"):
        return InvalidArgument(
            f"The time {text!r} has no offset from UTC", hint=f"Did you mean {text + 'Z'!r}, which is UTC?"
        )
    return InvalidArgument(f"{_shown(text)} is not an RFC 3339 time", hint=_HINT)


def _shown(text: str) -> str:
    return repr(text if len(text) <= _TEXT_CHARS_MAX else text[:_TEXT_CHARS_MAX] + "…")
