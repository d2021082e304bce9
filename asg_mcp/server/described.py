"""Whether a value is as a JSON Schema describes it: exactly, where the models of tools are kind to clients that bend.

Agents' clients send numbers as texts and objects as JSON texts, and the tools take them. Programs that call the HTTP
API read its description, so what they send is checked against that first. Made for the schemas of
`schemas.base.json_schema`, which use few keywords: a checker is a closure a schema, some microseconds for a call, where
jsonschema takes half a second for the largest one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from asg_mcp.server.arguments import shown

Check = Callable[[Any], str]
"""From a value to what is wrong with it, or ""."""
Json = Mapping[str, Any]
_READ_HERE = frozenset({"type", "enum", "properties", "required", "items", "minimum", "maximum"})
_READ_HERE |= {"minLength", "maxLength", "minItems", "maxItems", "additionalProperties", "anyOf"}
_SAYS_NOTHING = frozenset({"description", "default"})


def checker(schema: Json) -> Check:
    """The check of one schema, made once."""
    assert schema.keys() <= _READ_HERE | _SAYS_NOTHING, f"BUG: a keyword that nothing checks in {sorted(schema)}"
    if "anyOf" in schema:
        checks = [checker(branch) for branch in schema["anyOf"]]
        return lambda value: "" if not all(check(value) for check in checks) else checks[0](value)
    kind = schema.get("type")
    if kind is None:
        return lambda _: ""
    return _MAKERS[kind](schema)


def _of_type(is_one: Callable[[Any], bool], name: str) -> Callable[[Json], Check]:
    def made(schema: Json) -> Check:
        choice = schema.get("enum")
        least, most = schema.get("minimum"), schema.get("maximum")
        shortest, longest = schema.get("minLength", 0), schema.get("maxLength")

        def check(value: Any) -> str:
            if not is_one(value):
                return f" is no {name} (given: {shown(value)})"
            if choice is not None and value not in choice:
                return f" is none of {', '.join(map(str, choice))} (given: {shown(value)})"
            if (least is not None and value < least) or (most is not None and value > most):
                return f" is not between {_end(least)} and {_end(most)} (given: {shown(value)})"
            if name == "string" and (len(value) < shortest or (longest is not None and len(value) > longest)):
                return f" has not between {shortest} and {_end(longest)} characters"
            return ""

        return check

    return made


def _end(limit: Any) -> str:
    return "any" if limit is None else str(limit)


def _array(schema: Json) -> Check:
    inner = checker(schema.get("items", {}))
    least, most = schema.get("minItems", 0), schema.get("maxItems")

    def check(value: Any) -> str:
        if type(value) is not list:
            return f" is no array (given: {shown(value)})"
        if len(value) < least or (most is not None and len(value) > most):
            return f" has {len(value)} elements, not between {least} and {_end(most)}"
        for place, item in enumerate(value):
            if fault := inner(item):
                return f"[{place}]{fault}"
        return ""

    return check


def _object(schema: Json) -> Check:
    parts = {name: checker(part) for name, part in schema.get("properties", {}).items()}
    required = tuple(schema.get("required", ()))
    others = schema.get("additionalProperties", True)
    other = checker(others) if isinstance(others, Mapping) else (lambda _: "" if others else " is not described")

    def check(value: Any) -> str:
        if type(value) is not dict:
            return f" is no object (given: {shown(value)})"
        for name in required:
            if name not in value:
                return f".{name} is missing"
        for name, item in value.items():
            if fault := parts.get(name, other)(item):
                return f".{shown(name)[1:-1]}{fault}"
        return ""

    return check


def _is_integer(value: Any) -> bool:
    return type(value) is int or (type(value) is float and value.is_integer())


_MAKERS: Mapping[str, Callable[[Json], Check]] = {
    "string": _of_type(lambda value: type(value) is str, "string"),
    "integer": _of_type(_is_integer, "integer"),
    "number": _of_type(lambda value: type(value) in (int, float), "number"),
    "boolean": _of_type(lambda value: type(value) is bool, "boolean"),
    "null": _of_type(lambda value: value is None, "null"),
    "array": _array,
    "object": _object,
}
