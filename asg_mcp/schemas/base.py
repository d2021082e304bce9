"""The base of all wire types, and the one function that turns a type into a portable JSON Schema.

Convention for results: a field that was never set is missing from the reply, and
a field set to None is a stored null. So a result is built with the fields that
are present and only those, and dumped with `exclude_unset`.

Convention for arguments: a missing argument has its default, and a null is a
missing argument, except in the fields that hold any JSON (`NULL_FIELDS`). Where
an object or an array is declared, its JSON text is taken too, because some
clients send it so; where any JSON is declared, a string stays a string.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from asg_mcp.core.limits import PAGE_ITEMS_DEFAULT, PAGE_ITEMS_MAX
from asg_mcp.core.values import JsonValue

NULL_FIELDS = frozenset({"value", "expected", "arguments", "result"})
"""The argument fields in which null is a value."""
_LEFT_OUT = frozenset({"title", "$defs", "$ref", "x-summed-up"})
_BRIEF_LEFT_OUT = _LEFT_OUT | {"default", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"}
"""What a brief schema lacks: descriptions tell the defaults, and the error that refuses a value tells its range."""
_SUMMED_UP = "x-summed-up"
SUMMED_UP = {_SUMMED_UP: True}
"""For `json_schema_extra`: a brief schema lists the objects of this field as free ones, and its description names the
keys. They are checked against their closed model all the same. (Models pay for every byte of a schema; the full one of
provenance, in every write, would cost more than all other arguments together.)"""


class Wire(BaseModel):
    """Arguments or a result as they travel: closed, and immutable once made."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True, serialize_by_alias=True
    )

    def __deepcopy__(self, _: dict[int, Any] | None = None) -> Self:
        # Pydantic copies a default for each call; of what never changes there need be one.
        return self

    def dump(self) -> dict[str, Any]:
        """The JSON object that travels: set fields only, under their wire names."""
        return self.model_dump(mode="json", exclude_unset=True)


class Params(Wire):
    """Arguments: a null means what absence means, except where any JSON may stand."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, given: Any) -> Any:
        if not isinstance(given, Mapping) or (type(given) is dict and None not in given.values()):
            return given
        return {key: item for key, item in given.items() if item is not None or not cls._is_nullable_name(key)}

    @classmethod
    def _is_nullable_name(cls, name: str) -> bool:
        """Whether a null under this name is dropped. Unknown names are kept, so that they are refused."""
        return name not in NULL_FIELDS and name in argument_names(cls)


def argument_names(model: type[BaseModel]) -> list[str]:
    """The names under which the fields of `model` appear in its schema."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _parsed(given: Any) -> Any:
    """The array or object that a client sent as its JSON text; anything else as it is."""
    if isinstance(given, str) and given.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(given)
        except (ValueError, RecursionError):
            return given
    return given


def _one_or_many(given: Any) -> Any:
    """A list of strings, where a single string is a list of one."""
    parsed = _parsed(given)
    return [parsed] if isinstance(parsed, str) and parsed else parsed or []


FROM_TEXT = BeforeValidator(_parsed)
Texts = Annotated[list[str], BeforeValidator(_one_or_many)]
"""An array of strings."""

_ANY_JSON = {
    "anyOf": [
        {"type": "object"},
        {"type": "array", "items": {"description": "any"}},
        {"type": "string"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "null"},
    ]
}
# An array without `items` makes OpenAI, Gemini and VS Code refuse the whole tool list, and `{}`
# makes Claude Code send strings, so the elements are described and nothing more is said of them.
AnyJson = Annotated[JsonValue, WithJsonSchema(_ANY_JSON)]
"""Any JSON value, spelled out branch by branch. A string is a string, never parsed."""
AnyObject = Annotated[dict[str, Any], WithJsonSchema({"type": "object", "additionalProperties": True})]
"""A JSON object of any content."""

Ref = Annotated[str, Field(description="Default main")]
Branch = Annotated[str, Field(description="Default main")]
Path = Annotated[str, Field(description="JSON Pointer")]
Limit = Annotated[int, Field(ge=1, le=PAGE_ITEMS_MAX, description=f"Default {PAGE_ITEMS_DEFAULT}")]
Cursor = Annotated[str, Field(description="next_cursor")]
MoreBehind = Annotated[int, Field(description="How many more there are behind this page; 100 means 100 or more.")]
NextCursor = Annotated[str, Field(description="Give it as cursor for the next page; empty on the last.")]


def json_schema(model: type[BaseModel], *, brief: bool = False) -> dict[str, Any]:
    """The schema of `model` as every client takes it.

    The root is a closed object; references are inlined; generated titles and the
    docstrings of nested types are left out; an optional field is one that is not
    required, never one that may be null. A brief schema, as models read it, leaves
    out defaults, ranges, and the inside of what is summed up.
    """
    raw = {name: part for name, part in _generated(model).items() if name != "description"}
    schema = _Portable(raw.get("$defs", {}), _BRIEF_LEFT_OUT if brief else _LEFT_OUT).node(raw)
    return {"type": "object", "properties": {}, **schema}


@cache
def _generated(model: type[BaseModel]) -> Mapping[str, Any]:
    """What pydantic makes of the model, once: it takes some 7 ms, and a server asks for each several times."""
    return model.model_json_schema(by_alias=True, mode="validation")


@dataclass(frozen=True, slots=True)
class _Portable:
    """Rewrites schema nodes."""

    definitions: Mapping[str, Any]
    left_out: frozenset[str]

    def node(self, schema: dict[str, Any]) -> dict[str, Any]:
        schema = _without_null(schema)
        if "$ref" in schema:
            target = {**self.definitions[schema["$ref"].rsplit("/", 1)[1]]}
            target.pop("description", None)
            return self.node({**target, **{key: item for key, item in schema.items() if key != "$ref"}})
        if self.left_out is _BRIEF_LEFT_OUT and _SUMMED_UP in schema:
            return _summary(schema)
        ordered = sorted(schema.items(), key=_position)
        return {key: self._part(key, item) for key, item in ordered if not self._is_left_out(key, item)}

    def _is_left_out(self, key: str, item: Any) -> bool:
        return key in self.left_out or (key == "default" and not isinstance(item, str | int | float))

    def _part(self, key: str, item: Any) -> Any:
        if key == "properties":
            return {name: self.node(field) for name, field in item.items()}
        if key == "anyOf":
            return [self.node(branch) for branch in item]
        return self.node(item) if key in ("items", "additionalProperties") and isinstance(item, dict) else item


def _summary(schema: dict[str, Any]) -> dict[str, Any]:
    summary = {key: schema[key] for key in ("type", "description")}
    return {**summary, "items": {"type": "object"}} if summary["type"] == "array" else summary


def _position(part: tuple[str, Any]) -> int:
    """People look for the type first, then for what it is."""
    return ("type", "enum", "description").index(part[0]) if part[0] in ("type", "enum", "description") else 3


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`X or null, by default null` is an optional X; any JSON stays any JSON."""
    branches = schema.get("anyOf", [])
    if schema.get("default", ...) is not None or {"type": "null"} not in branches or branches == _ANY_JSON["anyOf"]:
        return schema
    rest = [branch for branch in branches if branch != {"type": "null"}]
    others = {key: item for key, item in schema.items() if key != "anyOf"}
    return {**rest[0], **others} if len(rest) == 1 else {"anyOf": rest, **others}
