"""What the records of an archive say, looked at before a store is made of it.

Events' bodies are bound by their hashes, and whoever made the archive made these. So every field that is used later has
its type and its range checked here: what is not refused now would fail whoever reads or writes with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asg_mcp.core.intents import check_name
from asg_mcp.core.paths import parse_path
from asg_mcp.core.times import TIME_MAX, TIME_MIN, parse_time
from asg_mcp.repo.archived import Malformed
from asg_mcp.repo.epochs import OPEN, epoch_info
from asg_mcp.repo.inherited import whole_seq
from asg_mcp.repo.outcomes import OUTCOMES
from asg_mcp.repo.records import outcome_of
from asg_mcp.repo.resolve import SPECULATION_PREFIX
from asg_mcp.repo.sessions import session_info
from asg_mcp.repo.speculation import speculation_info
from asg_mcp.storage.base import Reader, Record, RecordKind

_Check = Callable[[Any], bool]
_SPECULATION_STATES = ("open", "committed", "discarded", "expired")
_OF_A_SEAL = ("sealed_at", "commits", "members", "last", "tag", "size", "root", "opening", "checkpoint", "key")
"""Fields that only events of a sealed epoch give, and these stay in the archive."""


def look_at(reader: Reader, record: Record) -> None:
    """Raise Malformed, or whatever reading raises, where what a record says cannot be read as it will be."""
    data = record.data
    if not record.key:
        raise Malformed("has no name")
    for name, check in _FORMS[record.kind].items():
        if not check(data[name]):
            raise Malformed(f"says what cannot be in its field {name}")
    for name, check in _MORE.items():
        if name in data and not check(data[name]):
            raise Malformed(f"says what cannot be in its field {name}")
    if record.kind is RecordKind.SESSION:
        check_name(data["agent"], "agent")
        for path in data["scope"]:
            parse_path(path)
        session_info(record)
    elif record.kind is RecordKind.OUTCOME:
        outcome_of(record)
    elif record.kind is RecordKind.EPOCH:
        _look_at_epoch(reader, record)
    else:
        speculation_info(record, reader.now())
        for name in ("base", "head", "commit"):
            if name in data and not whole_seq(reader, data[name]):
                raise Malformed(f"names no commit in its field {name}")
        ref = reader.ref(SPECULATION_PREFIX + record.key)
        if (ref is not None) is not (data["status"] == "open"):
            raise Malformed("is open without a ref, or has one and is not")


def _look_at_epoch(reader: Reader, record: Record) -> None:
    data = record.data
    if any(name in data for name in _OF_A_SEAL):
        raise Malformed("says what only the seal of an epoch says, and was not sealed")
    if data["since"]:
        parse_time(data["since"])
    whole_seq(reader, data["after"])
    for name in data["roots"]:
        check_name(name, "root intent")
    epoch_info(reader, record)


# --- what can be in a field -----------------------------------------------------------


def _text(told: Any) -> bool:
    return type(told) is str


def _texts(told: Any) -> bool:
    return type(told) is list and all(map(_text, told))


def _time(told: Any) -> bool:
    return type(told) is int and TIME_MIN <= told <= TIME_MAX


def _one_of(*names: str) -> _Check:
    return lambda told: type(told) is str and told in names


def _confidence(told: Any) -> bool:
    return told is None or (type(told) in (int, float) and 0 <= told <= 1)


def _authority(told: Any) -> bool:
    if told is None:
        return True
    return type(told) is dict and _text(told.get("principal")) and _maps(told.get("delegation_chain", []))


def _maps(told: Any) -> bool:
    return type(told) is list and all(type(one) is dict for one in told)


def _at_most_one(told: Any) -> bool:
    return type(told) is list and len(told) <= 1


def _count_or_none(told: Any) -> bool:
    return told is None or (type(told) is int and told >= 0)


def _pairs(told: Any) -> bool:
    return type(told) is dict and all(_texts(pair) and len(pair) == 2 for pair in told.values())


_MORE: Mapping[str, _Check] = {
    "head": _text,
    "commit": _text,
    "lesson": _text,
    "changes": _count_or_none,
    "ended_at": _time,
    "brought": _pairs,
}
"""Fields that a record may have."""
_FORMS: Mapping[RecordKind, Mapping[str, _Check]] = {
    RecordKind.SESSION: {
        **dict.fromkeys(("agent", "principal", "client", "branch", "parent", "description"), _text),
        "scope": _texts,
        "authority": _authority,
        "opened_at": _time,
        "expires": _time,
        "status": _one_of("open", *OUTCOMES),
    },
    RecordKind.OUTCOME: {
        **dict.fromkeys(("summary", "agent", "principal"), _text),
        "outcome": _one_of(*OUTCOMES),
        "observed": _at_most_one,
        "deviations": _maps,
        "confidence": _confidence,
        "at": _time,
    },
    RecordKind.SPECULATION: {
        **dict.fromkeys(("principal", "agent", "session", "label", "from", "target", "parent", "base"), _text),
        "opened_at": _time,
        "expires": _time,
        "status": _one_of(*_SPECULATION_STATES),
        "compared": _texts,
    },
    RecordKind.EPOCH: {
        **dict.fromkeys(("description", "since", "after", "principal", "agent"), _text),
        **dict.fromkeys(("root_intents", "tags", "roots"), _texts),
        "opened_at": _time,
        "state": _one_of(OPEN),
    },
}
"""Fields that a record must have."""
