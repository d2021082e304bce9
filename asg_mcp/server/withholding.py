"""What a caller is not told over the network: of errors and of replies, what lies beyond its grant.

A grant says where a caller may look, and whether at all. The core answers whoever may see everything: errors name what
is nearby and show values, a schema speaks of the whole state, and a commit carries what it was given wherever it wrote.
So both pass here on their way out. What is left out is counted where the reply has a count, and never replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asg_mcp.core.mergerules import SCHEMA_ROOT
from asg_mcp.core.paths import Tokens, is_within, parse_path
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import (
    AsgError,
    Conflict,
    InvalidInput,
    InvalidPath,
    NotFound,
    PathNotFound,
    SchemaViolation,
    WrongType,
)
from asg_mcp.repo.transaction import common_path
from asg_mcp.schemas.base import Wire
from asg_mcp.schemas.speculate import SpecModifyParams
from asg_mcp.schemas.state import ApplyParams
from asg_mcp.services.access import Grant, Verb

Fields = dict[str, JsonValue]
_SHOWN = ("found", "value", "object")
"""Of a conflict's details: what is in the store at its path."""
_OF_COMMITS = ("commits", "entries", "items")
"""Lists in which replies have commits, each with what was given with it."""
_GIVEN = ("provenance", "alternatives", "expected")
"""Of a commit: what may quote any part of the state, such as the arguments of the tools that led to it."""
_OBSERVED = ("observed", "deviations")
"""The same of what was reported of it."""


def withheld(grant: Grant | None, error: AsgError) -> AsgError:
    """The error as its caller may read it: it names nothing nearby, and no value that the grant does not hold."""
    if grant is None or _sees_all(grant):
        return error
    if isinstance(error, NotFound):
        return _nothing(type(error))
    if isinstance(error, WrongType | InvalidPath):
        return _misplaced(grant, error)
    if isinstance(error, SchemaViolation):
        return _violation(grant, error)
    if isinstance(error, Conflict):
        return _conflict(grant, error)
    return error


def kept(grant: Grant | None, params: Wire, reply: Fields) -> Fields:
    """The reply as its caller may read it. O(1) for whoever may see all."""
    if grant is None or (grant.all_paths and Verb.READ in grant.verbs):
        return reply
    told = dict(reply)
    if "warnings" in told:
        _warnings(grant, told)
    if "conflicts" in told:
        _conflicts(grant, told)
    for name in _OF_COMMITS:
        if isinstance(told.get(name), list):
            told[name] = [_commit(item) for item in _items(told, name)]
    if isinstance(told.get("changes"), list):
        told["changes"] = [_change(grant, item) for item in _items(told, "changes")]
    if isinstance(told.get("branches"), list):
        told["branches"] = [{**item, "description": ""} for item in _items(told, "branches")]
    if isinstance(params, ApplyParams | SpecModifyParams) and not grant.holds(common_path(_paths(params) or [()])):
        told.pop("object", None)
    return told


def _sees_all(grant: Grant) -> bool:
    return grant.all_refs and grant.all_paths and Verb.READ in grant.verbs


def _sees(grant: Grant, path: Any) -> bool:
    """Whether what is at a place may be shown. What is no path is not proved to be inside."""
    return Verb.READ in grant.verbs and _holds(grant, path)


def _holds(grant: Grant, path: Any) -> bool:
    try:
        return grant.holds(parse_path(str(path)))
    except InvalidInput:
        return False


# --- errors ------------------------------------------------------------------------


def _nothing(kind: type[AsgError]) -> AsgError:
    told = kind("There is nothing of that name that you may see")
    told.hint = "Check the ref and the path."
    return told


def _misplaced(grant: Grant, error: AsgError) -> AsgError:
    """Of a path that cannot be as it is: where what is in the way lies beyond the grant, that nothing is there."""
    at = error.details.get("at", error.details.get("path"))
    if at is None or _sees(grant, at):
        return error
    if not _holds(grant, at):
        return _nothing(PathNotFound)
    return type(error)(
        "What is there is of a type that does not take this",
        hint="You may not read it: set the whole path instead.",
        path=error.details.get("path", at),
    )


def _violation(grant: Grant, error: AsgError) -> AsgError:
    """Of what a schema does not allow: what it says of places that the caller may see, and how much else."""
    found = error.details.get("violations", [])
    places = _hidden_rules(grant, [item for item in found if _holds(grant, item.get("path"))])
    told = places if Verb.READ in grant.verbs else [{"path": item["path"]} for item in places]
    count = len(found) + int(error.details.get("omitted", 0))
    first = f"{told[0]['path']}: {told[0].get('message', 'not as demanded')}" if told else "where, you may not see"
    return SchemaViolation(
        f"The write would break the schema in {count} {'place' if count == 1 else 'places'}; {first}",
        hint="Nothing was written. Whoever may read /__schema__ can say what it demands.",
        **({"path": told[0]["path"]} if told else {}),
        violations=told,
        omitted=count - len(told),
    )


def _hidden_rules(grant: Grant, violations: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The violations without the places of the schema that they come from, unless it may be seen."""
    if grant.holds((SCHEMA_ROOT,)):
        return violations
    return [{name: part for name, part in item.items() if name != "schema_path"} for item in violations]


def _conflict(grant: Grant, error: AsgError) -> AsgError:
    """A conflict without the values; where two changes meet may be above the path of either."""
    path = error.details.get("path")
    hidden = {"conflicts"} if path is not None and _sees(grant, path) else {"conflicts", *_SHOWN}
    hint = (
        error.hint if "conflicts" not in error.details else "Take the new head as expected_head, and repeat the call."
    )
    told = type(error)(error.message, hint=hint)
    told.details = {name: part for name, part in error.details.items() if name not in hidden}
    return told


# --- replies -----------------------------------------------------------------------


def _items(reply: Mapping[str, JsonValue], name: str) -> list[Any]:
    found = reply[name]
    assert isinstance(found, list), "BUG: it is a list"
    return found


def _leave_out(reply: Fields, name: str, told: Callable[[Any], Any]) -> int:
    """Replace the items of a list by what is told of them; how many nothing is told of."""
    before = _items(reply, name)
    after = [item for item in map(told, before) if item is not None]
    reply[name] = after
    return len(before) - len(after)


def _warnings(grant: Grant, reply: Fields) -> None:
    missing = _leave_out(reply, "warnings", lambda item: item if _sees(grant, item["path"]) else None)
    if missing:
        reply["warnings_omitted"] = _count(reply.get("warnings_omitted")) + missing
    if not reply["warnings"]:
        del reply["warnings"]


def _conflicts(grant: Grant, reply: Fields) -> None:
    missing = _leave_out(reply, "conflicts", lambda item: _sides(grant, item))
    if not missing:
        return
    omitted = reply.get("omitted") or {}
    if isinstance(omitted, dict):
        reply["omitted"] = {**omitted, "conflicts": _count(omitted.get("conflicts")) + missing}
    else:
        reply["omitted"] = _count(omitted) + missing


def _count(given: JsonValue) -> int:
    return given if isinstance(given, int) else 0


def _sides(grant: Grant, item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    if _sees(grant, item["path"]):
        return item
    return {name: item[name] for name in ("path", "rule")} if _leads_to(grant, parse_path(item["path"])) else None


def _leads_to(grant: Grant, path: Tokens) -> bool:
    """Whether the place is on the way to one that the grant holds, or in it: its name is no news then."""
    return grant.holds(path) or any(is_within(root, path) for root in grant.paths)


def _commit(item: Any) -> Any:
    if not isinstance(item, dict):
        return item
    told = _without(item, _GIVEN)
    if isinstance(told.get("outcome"), dict):
        told["outcome"] = _without(told["outcome"], _OBSERVED)
    return told


def _change(grant: Grant, item: Any) -> Any:
    source = item.get("from") if isinstance(item, dict) else None
    return item if source is None or _holds(grant, source) else _without(item, ("from",))


def _without(item: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: part for name, part in item.items() if name not in names}


def _paths(params: ApplyParams | SpecModifyParams) -> list[Tokens]:
    return [parse_path(path) for item in params.operations for path in (item.path, item.source) if path]
