"""Whether a write keeps the state as the JSON Schema at /__schema__ (2020-12) has it.

`x-asg-validate` at the root of that schema says what becomes of a write that it does not allow: `enforce` refuses it,
`warn` makes the commit and tells what is wrong, `none` looks at nothing. Without the keyword it is `warn`: a schema
that is kept for its merge rules or as documentation blocks nobody, and whoever writes learns what it says.

The schema itself must be a valid one: a write that would leave another is refused, whatever the mode. /__schema__,
/_meta and /plans are not validated by it; it sees the root without them. `format` is an annotation.

A write is not charged for the whole state. From the root down, keywords that judge the keys of a value, or one child
alone, are applied to the keys and children that the write changed; a value is read as a whole where it is new, and
where a keyword judges it as a whole (anyOf, if, contains, uniqueItems, …). What was wrong before elsewhere is not held
against a write. When the schema changes, the whole state is validated.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from threading import Lock
from typing import Any

from asg_mcp.core.ids import Id
from asg_mcp.core.limits import VIOLATIONS_SHOWN_MAX
from asg_mcp.core.mergerules import SCHEMA_ROOT
from asg_mcp.core.paths import Tokens, format_path, map_segment
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.errors import InvalidInput, LimitExceeded, SchemaViolation, Withheld
from asg_mcp.repo.results import SchemaWarning
from asg_mcp.repo.schemawalk import Walk, changed_places
from asg_mcp.repo.stateschema import Mode, StateSchema, Violation, invalid_schema, load_schema

SCHEMAS_KEPT_MAX = 16
"""Compiled schemas in memory: one a store, and one a branch that changes its own."""


def check_against_schema(before: State, after: State, changed: Iterable[Tokens]) -> tuple[SchemaWarning, ...]:
    """Judge a write by the schema that is in the state after it.

    `changed` are the paths of its operations, sources of moves included; whatever differs lies at or below one of them,
    or in a list that one leads through. There are at most COUNT_AHEAD_MAX warnings. O(what the write changed).

    Raises SchemaViolation and LimitExceeded under `enforce`, and, where the write changes the schema, InvalidValue and
    LimitExceeded for one that cannot be had.
    """
    if not has_schema(after):
        return ()
    here = after.spot((SCHEMA_ROOT,))
    identity = after.object(here)
    places = changed_places(before, after, changed)
    new = any(path[:1] in ((), (SCHEMA_ROOT,)) for path in places) and _object_at(before, (SCHEMA_ROOT,)) != identity
    schema = _KEPT.get(identity, after, here)
    if isinstance(schema, InvalidInput):
        if new:
            raise schema
        return (SchemaWarning((SCHEMA_ROOT,), f"Nothing is validated: {schema.message}"),)
    if schema.mode is Mode.NONE:
        return ()
    walk = Walk(schema, before, after)
    try:
        if new:
            walk.everything()
        else:
            walk.differences(places)
    except LimitExceeded as error:
        if schema.mode is Mode.ENFORCE:
            raise
        walk.found.append(Violation((), f"Not validated to the end: {error.message}. {error.hint}", ""))
    if schema.mode is Mode.ENFORCE and walk.found:
        raise _refusal(walk.found, new=new)
    return tuple(SchemaWarning(item.path, item.message) for item in walk.found)


def has_schema(state: State) -> bool:
    """Whether there is something at /__schema__."""
    return state.tree.find(map_segment(SCHEMA_ROOT), 0, len(state.tree)) is not None


def _object_at(state: State, path: Tokens) -> Id | None:
    place = state.locate(path)
    return None if isinstance(place, Gap) else state.object(place)


def _refusal(found: list[Violation], *, new: bool) -> SchemaViolation:
    first, others = found[0], len(found) - 1
    shown = [_shown(item) for item in found[:VIOLATIONS_SHOWN_MAX]]
    more = f" ({others} more)" if others else ""
    where = first.schema_path or f"/{SCHEMA_ROOT}"
    path = format_path(first.path)
    hint = f"Read {where} for what is demanded there, and write what fits; nothing was written."
    if new:
        hint = f"Mend {path} in the same write, or set x-asg-validate to warn; nothing was written."
    return SchemaViolation(
        f"{path} would break the schema{more}: {first.message}",
        hint=hint,
        path=path,
        schema_path=where,
        violations=shown,
        omitted=len(found) - len(shown),
    )


def _shown(item: Violation) -> dict[str, str]:
    return {"path": format_path(item.path), "message": item.message, "schema_path": item.schema_path}


# --- compiled schemas -------------------------------------------------------------


class _Kept:
    """The schemas last used, by the object at /__schema__; what is wrong with those that cannot be used."""

    def __init__(self) -> None:
        self._schemas: OrderedDict[Id, StateSchema | tuple[type[InvalidInput], str, str, dict[str, Any]]] = (
            OrderedDict()
        )
        self._lock = Lock()

    def get(self, identity: Id, state: State, spot: Spot) -> StateSchema | InvalidInput:
        with self._lock:
            known = self._schemas.get(identity)
            if known is not None:
                self._schemas.move_to_end(identity)
        if known is None:
            known = _load(state, spot)
            with self._lock:
                self._schemas[identity] = known
                while len(self._schemas) > SCHEMAS_KEPT_MAX:
                    self._schemas.popitem(last=False)
        if isinstance(known, StateSchema):
            return known
        kind, message, hint, details = known
        return kind(message, hint=hint, **details)

    def clear(self) -> None:
        with self._lock:
            self._schemas.clear()


def _load(state: State, spot: Spot) -> StateSchema | tuple[type[InvalidInput], str, str, dict[str, Any]]:
    try:
        return load_schema(state.value(spot))
    except Withheld:
        error: InvalidInput = invalid_schema((), "a part of it was erased")
    except InvalidInput as wrong:
        error = wrong
    return type(error), error.message, error.hint, error.details


_KEPT = _Kept()


def forget() -> None:
    """Forget the schemas that were used: a part of one may have been erased."""
    _KEPT.clear()
