"""The keywords of JSON Schema (2020-12) as the library `jsonschema` has them, made safe for schemas of strangers.

Each keyword takes steps from a meter and adds to a bounded depth. References are looked up in the schema at hand and
nowhere else. Patterns run on RE2. Elements that shall be unique are compared by their bytes, all at once. Texts of
errors name large values by their size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Protocol

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from jsonschema.validators import create

from asg_mcp.core.limits import VALIDATION_DEPTH_MAX, VALIDATION_ENTRIES_MAX, VALIDATION_STEPS_MAX
from asg_mcp.core.mergerules import SCHEMA_ROOT
from asg_mcp.core.values import JsonValue, encode
from asg_mcp.errors import LimitExceeded

REFERENCES = ("$ref", "$dynamicRef")
_TEXT_CHARS = 80
"""A longer text is shown by its beginning."""
_SHOWN_WEIGHT_MAX = 12
"""A heavier map or list is shown by its size."""
_STEP_CHARS = 256
"""Characters that are one step to compare or search."""
_STEP_ITEMS = 32
"""Names or items of a schema that are looked up in one step."""
_LARGE = float(2**63)

Schema = Any
"""A subschema: a map, true or false."""

# --- values that know their size ------------------------------------------------


class QuietMap(dict[str, Any]):
    """A map that knows how much is in it and never writes all of it into a message."""

    __slots__ = ("weight",)
    weight: int

    def __repr__(self) -> str:
        return dict.__repr__(self) if self.weight <= _SHOWN_WEIGHT_MAX else f"(a map of {len(self)} keys)"


class QuietList(list[Any]):
    """The same of a list."""

    __slots__ = ("weight",)
    weight: int

    def __repr__(self) -> str:
        return list.__repr__(self) if self.weight <= _SHOWN_WEIGHT_MAX else f"(a list of {len(self)} elements)"


class _QuietText(str):
    __slots__ = ()

    def __repr__(self) -> str:
        return f"{self[:_TEXT_CHARS]!r}… ({len(self)} characters)"


def quiet(value: JsonValue) -> Any:
    """A copy of a value whose parts know their size."""
    if isinstance(value, dict):
        copy = QuietMap()
        for key, item in value.items():
            copy[key] = quiet(item)
        copy.weight = 1 + sum(map(weight_of, copy.values()))
        return copy
    if isinstance(value, list):
        items = QuietList(map(quiet, value))
        items.weight = 1 + sum(map(weight_of, items))
        return items
    return _QuietText(value) if isinstance(value, str) and len(value) > _TEXT_CHARS else value


def weight_of(value: Any) -> int:
    """Roughly how many values are in it; a long text counts by its length."""
    if isinstance(value, QuietMap | QuietList):
        return value.weight
    return 1 + len(value) // _STEP_CHARS if isinstance(value, str) else 1


# --- a run within limits --------------------------------------------------------


class Meter:
    """What one validation may still do: steps, entries read, levels of keywords inside each other."""

    def __init__(self) -> None:
        self._steps = VALIDATION_STEPS_MAX
        self._entries = VALIDATION_ENTRIES_MAX
        self.depth = 0

    def take(self, steps: int = 1) -> None:
        """Raises LimitExceeded when there are no steps left."""
        self._steps -= steps
        if self._steps < 0:
            raise _too_much("VALIDATION_STEPS_MAX", VALIDATION_STEPS_MAX, "takes more steps than")

    def read(self, entries: int) -> None:
        """Take entries of the state. Raises LimitExceeded when there are none left."""
        self._entries -= entries
        if self._entries < 0:
            raise _too_much("VALIDATION_ENTRIES_MAX", VALIDATION_ENTRIES_MAX, "reads more entries than")

    def enter(self) -> None:
        """One keyword inside another. Raises LimitExceeded where it is too deep."""
        self.depth += 1
        if self.depth > VALIDATION_DEPTH_MAX:
            raise too_deep()


def _too_much(name: str, most: int, what: str) -> LimitExceeded:
    return LimitExceeded(
        f"To validate this write by /{SCHEMA_ROOT} {what} {most}",
        hint="Write less at once; put anyOf, oneOf, if, not, contains, uniqueItems and unevaluated… deeper into the "
        "schema, for the whole value there is read at each change below; or set x-asg-validate to none.",
        limit=name,
        max=most,
    )


def too_deep() -> LimitExceeded:
    """The error for keywords that lie too deep inside each other."""
    return LimitExceeded(
        f"Keywords of /{SCHEMA_ROOT} lie more than {VALIDATION_DEPTH_MAX} deep inside each other for this value",
        hint="Use fewer levels of $ref, allOf and the like, or a flatter value.",
        limit="VALIDATION_DEPTH_MAX",
        max=VALIDATION_DEPTH_MAX,
    )


class Lookups(Protocol):
    """What the keywords need to know of the schema as a whole."""

    def target(self, reference: str) -> Schema:
        """The subschema that a $ref leads to."""

    def matches(self, pattern: str, text: str) -> bool:
        """Whether a pattern of the schema is found in a text."""

    def described(self, schema: QuietMap, key: str) -> list[tuple[str, Schema]]:
        """The keywords of a map's schema that say something about the value at a key, with what they say."""


@dataclass(frozen=True, slots=True)
class Run:
    """One validation: by which schema, within which limits."""

    schema: Lookups
    meter: Meter


RUN: ContextVar[Run] = ContextVar("run")

# --- keywords -------------------------------------------------------------------

Check = Callable[[Any, Any, Any, Any], Iterator[ValidationError]]
_EACH = {
    *("patternProperties", "propertyNames", "additionalProperties", "items", "contains", "uniqueItems"),
    *("unevaluatedItems", "unevaluatedProperties"),
}
"""Keywords that look at each key or element of the value."""
_SOME = {"properties", "prefixItems"}
"""Keywords that look at as many of them as they name."""
_COMPARED = {"enum", "const", "dependentRequired"}


def _steps(keyword: str, said: Any, value: Any) -> int:
    items = len(value) if isinstance(value, dict | list) else 0
    names = len(said) if isinstance(said, dict | list) else 0
    if keyword in _COMPARED:
        return 1 + weight_of(said) // _STEP_ITEMS
    if keyword == "uniqueItems":
        return 1 + weight_of(value)
    if keyword == "patternProperties":
        return 1 + names * items
    if keyword in _EACH:
        return 1 + items
    if keyword == "pattern":
        return 1 + len(value) // _STEP_CHARS if isinstance(value, str) else 1
    return 1 + names // _STEP_ITEMS + (min(names, items) if keyword in _SOME else 0)


def _guarded(keyword: str, check: Check) -> Check:
    def run(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        meter = RUN.get().meter
        meter.take(_steps(keyword, said, value))
        meter.enter()
        try:
            yield from check(validator, said, value, schema)
        finally:
            meter.depth -= 1

    return run


def _reference(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    yield from validator.descend(value, RUN.get().schema.target(said))


def _pattern(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and not RUN.get().schema.matches(said, value):
        yield ValidationError(f"{value!r} does not match {said!r}")


def _below(validator: Any, value: Any, schema: Schema, key: str | int) -> Iterator[ValidationError]:
    if schema is False:  # the library leaves the key out of the path of these
        yield ValidationError(f"{value!r} is not allowed here", path=[key])
    else:
        yield from validator.descend(value, schema, path=key)


def _properties(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        for key in said:
            if key in value:
                yield from _below(validator, value[key], said[key], key)


def _prefix_items(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, list):
        for index in range(min(len(said), len(value))):
            yield from _below(validator, value[index], said[index], index)


def _items(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, list):
        yield from _not_foreseen(validator, said, value, range(len(schema.get("prefixItems", ())), len(value)))


def _pattern_properties(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not isinstance(value, dict):
        return
    matches = RUN.get().schema.matches
    for pattern, below in said.items():
        for key, item in value.items():
            if matches(pattern, key):
                yield from _below(validator, item, below, key)


def _additional(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        others = [key for key in value if not _named(schema, key)]
        yield from _not_foreseen(validator, said, value, others)


def _not_foreseen(validator: Any, said: Any, value: Any, keys: Any) -> Iterator[ValidationError]:
    for key in keys:
        if said is False:
            yield ValidationError(not_allowed(key), path=[key])
        else:
            yield from validator.descend(value[key], said, path=key)


def not_allowed(key: str | int) -> str:
    """What is said of a key or an element that a schema leaves no room for."""
    return f"the key {key!r} is not allowed" if isinstance(key, str) else "a further element is not allowed"


def _named(schema: QuietMap, key: str) -> bool:
    said = RUN.get().schema.described(schema, key)
    return bool(said) and said[0][0] != "additionalProperties"


def _unique(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if not said or not isinstance(value, list):
        return
    seen: dict[bytes, int] = {}
    for index, item in enumerate(value):
        first = seen.setdefault(encode(_comparable(item)), index)
        if first != index:
            yield ValidationError(f"elements {first} and {index} are equal, and all shall differ")
            return


def _comparable(value: JsonValue) -> JsonValue:
    """A value in a form in which equal numbers are the same: to JSON Schema, 1.0 is 1."""
    if isinstance(value, dict):
        return {key: _comparable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, float) and value.is_integer() and -_LARGE <= value < _LARGE:
        return int(value)
    return str(value) if isinstance(value, str) else value


def _unevaluated(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    seen = _evaluated(validator, value, schema, inner=False)
    keys = value if isinstance(value, dict) else range(len(value))
    yield from _not_foreseen(validator, said, value, [key for key in keys if key not in seen])


def _unevaluated_properties(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, dict):
        yield from _unevaluated(validator, said, value, schema)


def _unevaluated_items(validator: Any, said: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(value, list):
        yield from _unevaluated(validator, said, value, schema)


def _evaluated(validator: Any, value: Any, schema: Schema, *, inner: bool = True) -> set[str | int]:
    """The keys or indexes that some keyword of a schema has looked at. Only valid branches count."""
    if not isinstance(schema, dict):
        return set()
    run = RUN.get()
    run.meter.take(1 + len(value))
    run.meter.enter()
    found = (
        _by_keys(run, value, schema, inner) if isinstance(value, dict) else _by_place(validator, value, schema, inner)
    )
    for below in _applied(run, validator, value, schema):
        found |= _evaluated(validator, value, below)
    run.meter.depth -= 1
    return found


def _by_keys(run: Run, value: Any, schema: Any, inner: bool) -> set[str | int]:
    if "additionalProperties" in schema or (inner and "unevaluatedProperties" in schema):
        return set(value)
    run.meter.take(len(value) * len(schema.get("patternProperties", ())))
    return {key for key in value if _named(schema, key)}


def _by_place(validator: Any, value: Any, schema: Any, inner: bool) -> set[str | int]:
    if "items" in schema or (inner and "unevaluatedItems" in schema):
        return set(range(len(value)))
    found: set[str | int] = set(range(min(len(value), len(schema.get("prefixItems", ())))))
    if "contains" in schema:
        found |= {index for index, item in enumerate(value) if _is_valid(validator, item, schema["contains"])}
    return found


def _applied(run: Run, validator: Any, value: Any, schema: Any) -> Iterator[Schema]:
    """The subschemas that a schema applies to the same value and that it fits."""
    for word in REFERENCES:
        if word in schema:
            yield run.schema.target(schema[word])
    yield from schema.get("allOf", ())
    for word in ("anyOf", "oneOf"):
        yield from (below for below in schema.get(word, ()) if _is_valid(validator, value, below))
    if "if" in schema:
        holds = _is_valid(validator, value, schema["if"])
        if holds:
            yield schema["if"]
        yield schema.get("then" if holds else "else", True)
    if isinstance(value, dict):
        yield from (below for key, below in schema.get("dependentSchemas", {}).items() if key in value)


def _is_valid(validator: Any, value: Any, schema: Schema) -> bool:
    return next(validator.descend(value, schema), None) is None


_OURS: dict[str, Check] = {
    "$ref": _reference,
    "$dynamicRef": _reference,
    "pattern": _pattern,
    "properties": _properties,
    "prefixItems": _prefix_items,
    "items": _items,
    "patternProperties": _pattern_properties,
    "additionalProperties": _additional,
    "uniqueItems": _unique,
    "unevaluatedItems": _unevaluated_items,
    "unevaluatedProperties": _unevaluated_properties,
}
KEYWORDS = frozenset(Draft202012Validator.VALIDATORS) - {"format"}
"""The keywords that can refuse a value. `format` is an annotation, as 2020-12 has it by default."""
Guarded = create(
    meta_schema=Draft202012Validator.META_SCHEMA,
    validators={
        word: _guarded(word, _OURS.get(word, Draft202012Validator.VALIDATORS[word])) for word in sorted(KEYWORDS)
    },
    type_checker=Draft202012Validator.TYPE_CHECKER,
)
"""The library's validator with these keywords. It needs a Run in RUN."""
