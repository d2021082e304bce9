"""The JSON Schema (2020-12) that the state keeps for itself at /__schema__: checked when it is written, then run.

References are local, lead to subschemas, and never in a circle at one place of the value; nothing is ever fetched.
Patterns are those of RE2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from graphlib import CycleError, TopologicalSorter
from itertools import islice
from urllib.parse import unquote

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from referencing import Registry

from asg_mcp.core.limits import (
    COUNT_AHEAD_MAX,
    SCHEMA_BYTES_MAX,
    SCHEMA_DEPTH_MAX,
    SCHEMA_PATTERNS_MAX,
    SCHEMA_VALUES_MAX,
)
from asg_mcp.core.mergerules import SCHEMA_ROOT, check_rules
from asg_mcp.core.paths import Tokens, format_path
from asg_mcp.core.values import JsonValue, encode, type_of
from asg_mcp.errors import InvalidInput, InvalidValue, LimitExceeded
from asg_mcp.repo.patterns import Span, compile_pattern
from asg_mcp.repo.schemarun import KEYWORDS, REFERENCES, RUN, Guarded, Meter, QuietMap, Run, Schema, quiet, too_deep

MODE_KEYWORD = "x-asg-validate"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
LISTED = ("allOf", "anyOf", "oneOf", "prefixItems")
SINGLE = (
    *("additionalProperties", "propertyNames", "items", "contains", "not", "if", "then", "else"),
    *("unevaluatedItems", "unevaluatedProperties", "contentSchema"),
)
"""Where subschemas stand: in a map, in a list, alone."""
MESSAGE_CHARS_MAX = 400
"""Of what is said about one violation; values in it are short already, keys may be long."""
_SAME_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")


class Mode(StrEnum):
    """What becomes of a write that the schema does not allow."""

    NONE = "none"
    WARN = "warn"
    ENFORCE = "enforce"


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that a value does and the schema does not allow."""

    path: Tokens
    """From the value that was validated."""
    message: str
    schema_path: str
    """The path of the keyword in the state, or of the subschema that led there."""


class StateSchema:
    """A schema that may be run. Immutable, and safe for threads."""

    def __init__(self, root: QuietMap, mode: Mode) -> None:
        self.root = root
        self.mode = mode
        self._place: dict[int, Tokens] = {}
        self._targets: dict[str, Schema] = {}
        self._patterns: dict[str, Callable[[str], Span | None]] = {}
        _prepare(self)

    def target(self, reference: str) -> Schema:
        """The subschema that a $ref leads to."""
        return self._targets[reference]

    def path_of(self, schema: Schema) -> str:
        """Where in the state a subschema is; "" for true and false, which are anywhere."""
        place = self._place.get(id(schema))
        return "" if place is None else format_path((SCHEMA_ROOT, *place))

    def matches(self, pattern: str, text: str) -> bool:
        """Whether a pattern of the schema is found in a text."""
        return self._patterns[pattern](str(text)) is not None

    def described(self, schema: QuietMap, key: str) -> list[tuple[str, Schema]]:
        """The keywords of a map's schema that say something about the value at a key, with what they say."""
        found = []
        if key in schema.get("properties", ()):
            found.append(("properties", schema["properties"][key]))
        for pattern, below in schema.get("patternProperties", {}).items():
            if self.matches(pattern, key):
                found.append(("patternProperties", below))
        if not found and "additionalProperties" in schema:
            found.append(("additionalProperties", schema["additionalProperties"]))
        return found

    def demands(self, schema: Schema) -> bool:
        """Whether a subschema can refuse anything."""
        return not schema.keys().isdisjoint(KEYWORDS) if isinstance(schema, dict) else schema is False

    def violations(self, schema: Schema, value: JsonValue, meter: Meter) -> list[Violation]:
        """What a value does that a subschema does not allow, up to COUNT_AHEAD_MAX of it. Raises LimitExceeded."""
        token = RUN.set(Run(self, meter))
        try:
            errors = Guarded(schema, registry=Registry()).iter_errors(quiet(value))
            return [self._told(error, schema) for error in islice(errors, COUNT_AHEAD_MAX)]
        except RecursionError:
            raise too_deep() from None
        finally:
            RUN.reset(token)

    def _told(self, error: ValidationError, schema: Schema) -> Violation:
        keyword = error.validator if isinstance(error.validator, str) else ""
        place = self.path_of(error.schema) or self.path_of(schema) or f"/{SCHEMA_ROOT}"
        message = error.message
        if error.validator is None:
            message = f"{error.instance!r} is not allowed here"
        if len(message) > MESSAGE_CHARS_MAX:
            message = f"{message[:MESSAGE_CHARS_MAX]}…"
        path = tuple(str(part) for part in error.absolute_path)
        return Violation(path, message, f"{place}/{keyword}" if keyword and self.path_of(error.schema) else place)


# --- loading --------------------------------------------------------------------


def load_schema(value: JsonValue) -> StateSchema:
    """The schema that the value at /__schema__ is.

    Raises InvalidValue where it is none or does what is not available here, naming the place, and LimitExceeded.
    """
    if not isinstance(value, dict):
        raise invalid_schema((), f"a schema is a map, not a {type_of(value)}")
    size = len(encode(value))
    if size > SCHEMA_BYTES_MAX:
        raise _too_large("SCHEMA_BYTES_MAX", SCHEMA_BYTES_MAX, f"has {size} bytes")
    if _levels(value) > SCHEMA_DEPTH_MAX:
        raise _too_large("SCHEMA_DEPTH_MAX", SCHEMA_DEPTH_MAX, f"is nested {_levels(value)} levels deep")
    root: QuietMap = quiet(value)
    if root.weight > SCHEMA_VALUES_MAX:
        raise _too_large("SCHEMA_VALUES_MAX", SCHEMA_VALUES_MAX, f"has {root.weight} values")
    _check_by_its_own_schema(root)
    mode = root.get(MODE_KEYWORD, Mode.WARN)
    if not isinstance(mode, str) or mode not in {*Mode}:
        raise invalid_schema((MODE_KEYWORD,), f"{mode!r} is no mode; use {', '.join(Mode)}")
    check_rules(value)
    return StateSchema(root, Mode(mode))


def _check_by_its_own_schema(root: QuietMap) -> None:
    try:
        judge = Draft202012Validator(Draft202012Validator.META_SCHEMA, registry=Registry())
        error = best_match(islice(judge.iter_errors(root), COUNT_AHEAD_MAX))
    except RecursionError:
        raise _too_large("SCHEMA_DEPTH_MAX", SCHEMA_DEPTH_MAX, "is nested too deep") from None
    if error is not None:
        raise invalid_schema(tuple(map(str, error.absolute_path)), error.message)


def _levels(value: JsonValue) -> int:
    deepest, todo = 0, [(value, 1)]
    while todo:
        here, level = todo.pop()
        if isinstance(here, dict | list):
            deepest = max(deepest, level)
            todo += [(item, level + 1) for item in (here.values() if isinstance(here, dict) else here)]
    return deepest


def invalid_schema(place: Tokens, what: str) -> InvalidValue:
    """The error for a schema that would be wrong at a place."""
    path = format_path((SCHEMA_ROOT, *place))
    return InvalidValue(
        f"/{SCHEMA_ROOT} would be no usable JSON Schema: at {path}, {what}",
        hint="Schemas are 2020-12, with local $ref and RE2 patterns. Mend that place in the same write.",
        path=path,
    )


def _too_large(name: str, most: int, what: str) -> LimitExceeded:
    return LimitExceeded(
        f"/{SCHEMA_ROOT} {what}; at most {most} are allowed",
        hint="Say less, or say it once under $defs and refer to it.",
        limit=name,
        max=most,
    )


def subschemas(schema: Schema, place: Tokens = ()) -> Iterator[tuple[Tokens, Schema]]:
    """A schema and all below it, with their places."""
    yield place, schema
    if not isinstance(schema, dict):
        return
    for word in NAMED:
        for key, below in schema.get(word, {}).items():
            yield from subschemas(below, (*place, word, key))
    for word in LISTED:
        for index, below in enumerate(schema.get(word, ())):
            yield from subschemas(below, (*place, word, str(index)))
    for word in SINGLE:
        if word in schema:
            yield from subschemas(schema[word], (*place, word))


def _prepare(schema: StateSchema) -> None:
    """Find places, patterns and targets, and refuse what cannot be had."""
    by_place = dict(subschemas(schema.root))
    named: dict[str, Schema] = {}
    for place, below in by_place.items():
        if not isinstance(below, QuietMap):
            continue
        schema._place[id(below)] = place
        _check_names(below, place, named)
        patterns = [((*place, "patternProperties", key), key) for key in below.get("patternProperties", ())]
        if "pattern" in below:
            patterns.append(((*place, "pattern"), below["pattern"]))
        for at, pattern in patterns:
            schema._patterns[pattern] = _compiled(at, pattern)
    if len(schema._patterns) > SCHEMA_PATTERNS_MAX:
        raise _too_large("SCHEMA_PATTERNS_MAX", SCHEMA_PATTERNS_MAX, f"has {len(schema._patterns)} patterns")
    for place, below in by_place.items():
        for word in REFERENCES:
            if isinstance(below, dict) and word in below:
                schema._targets[below[word]] = _target((*place, word), below[word], by_place, named)
    _check_circles(schema, by_place)


def _check_names(schema: QuietMap, place: Tokens, named: dict[str, Schema]) -> None:
    if schema.pop("$schema", DIALECT).rstrip("#") != DIALECT:
        raise invalid_schema((*place, "$schema"), f"only {DIALECT} is available")
    # Without these the library has nothing by which it could leave this document.
    if "$id" in schema and place:
        raise invalid_schema((*place, "$id"), "$id is available at the root alone")
    schema.pop("$id", None)
    if MODE_KEYWORD in schema and place:
        raise invalid_schema((*place, MODE_KEYWORD), f"{MODE_KEYWORD} belongs at the root of the schema")
    for name in {schema.pop(word, "") for word in ("$anchor", "$dynamicAnchor")} - {""}:
        if name in named:
            raise invalid_schema(place, f"the anchor {name!r} is given twice")
        named[name] = schema


def _compiled(place: Tokens, pattern: str) -> Callable[[str], Span | None]:
    try:
        return compile_pattern(str(pattern))
    except InvalidInput as error:
        raise invalid_schema(place, error.message) from None


def _target(place: Tokens, reference: str, by_place: dict[Tokens, Schema], named: dict[str, Schema]) -> Schema:
    if not reference.startswith("#"):
        raise invalid_schema(place, f"{reference!r} is not local; use # and a path, such as #/$defs/name")
    pointer = unquote(reference[1:])
    if not pointer.startswith("/") and pointer:
        if pointer in named:
            return named[pointer]
        raise invalid_schema(place, f"there is no anchor {pointer!r}")
    parts = tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:])
    if parts not in by_place:
        raise invalid_schema(place, f"{reference!r} leads to no schema")
    return by_place[parts]


def _check_circles(schema: StateSchema, by_place: dict[Tokens, Schema]) -> None:
    """Refuse references that come back to where they were without going down into the value."""
    graph: dict[int, list[int]] = {}
    for below in by_place.values():
        if isinstance(below, QuietMap):
            graph[id(below)] = [id(inner) for _, inner in same_place(schema, below) if isinstance(inner, dict)]
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        place = schema._place[error.args[1][0]]
        raise invalid_schema(place, "references lead back to it without going down into the value") from None


def same_place(schema: StateSchema, here: QuietMap) -> Iterator[tuple[str, Schema]]:
    """The subschemas that a schema applies to the very value it is applied to, with their keywords."""
    for word in REFERENCES:
        if word in here:
            yield word, schema.target(here[word])
    for word in _SAME_PLACE:
        held = here.get(word, ())
        if word in LISTED:
            yield from ((word, inner) for inner in held)
        elif word in NAMED:
            yield from ((word, inner) for inner in here.get(word, {}).values())
        elif word in here:
            yield word, held
