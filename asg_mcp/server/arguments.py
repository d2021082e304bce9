"""The check of a call's arguments, and what the caller is told when they do not pass.

Clients bend arguments on the way: objects arrive as JSON text, numbers as strings,
absent ones as "". What can be bent back without guessing is; where a text may
really be meant as text, it stays one. (That null is absent, the models say.)
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from asg_mcp.core.limits import NEAREST_MAX
from asg_mcp.core.secretscan import find_secrets
from asg_mcp.errors import InvalidArgument, InvalidValue
from asg_mcp.schemas.base import Wire, json_schema
from asg_mcp.tools.registry import Tool

SHOWN_CHARS_MAX = 80
"""Of a caller's own text inside an error."""
NOT_UNICODE_HINT = "It is no Unicode text; escape it or send it as base64."
_UNKNOWN = "extra_forbidden"
_CONTAINERS = {"object": dict, "array": list}


@dataclass(frozen=True, slots=True)
class ArgumentRules:
    """How the arguments of one tool are read. Made once a tool."""

    tool: Tool
    schema: dict[str, Any]
    unwrapped: Mapping[str, tuple[type, ...]]
    """Arguments that are objects or lists and nothing else: their JSON text is taken for them."""
    blank_is_absent: frozenset[str]

    @classmethod
    def of(cls, tool: Tool) -> ArgumentRules:
        """The rules for `tool`, read off its schema."""
        schema = json_schema(tool.params)
        required = schema.get("required", ())
        types = {name: _types_of(part) for name, part in schema["properties"].items()}
        return cls(
            tool,
            schema,
            unwrapped={
                name: tuple(_CONTAINERS[kind] for kind in sorted(kinds))
                for name, kinds in types.items()
                if kinds and kinds <= _CONTAINERS.keys()
            },
            # A free value takes a string among other types, and "" is a value there.
            blank_is_absent=frozenset(
                name for name, kinds in types.items() if len(kinds) == 1 and name not in required
            ),
        )

    def parse(self, arguments: Mapping[str, Any]) -> Wire:
        """The checked arguments. Raises InvalidArgument, or what a validator of the model raises."""
        for name, given in arguments.items():
            if type(given) is str and not given.isascii():
                _require_unicode(name, given)
        straight = {
            name: self._unwrapped(name, given) if name in self.unwrapped and type(given) is str else given
            for name, given in arguments.items()
            if given != "" or name not in self.blank_is_absent
        }
        try:
            return self.tool.params.model_validate(straight)
        except ValidationError as error:
            raise self._invalid(error) from None

    def _unwrapped(self, name: str, given: str) -> Any:
        try:
            unwrapped = json.loads(given)
        except (ValueError, RecursionError):
            return given
        return unwrapped if isinstance(unwrapped, self.unwrapped[name]) else given

    def _invalid(self, error: ValidationError) -> InvalidArgument:
        problems = error.errors(include_url=False, include_context=True)
        # A misspelt name is the cause where another is missing, so it comes first.
        problems.sort(key=lambda problem: problem["type"] != _UNKNOWN)
        told = [self._told(problem) for problem in problems[:NEAREST_MAX]]
        more = len(problems) - len(told)
        message = "; ".join(problem.message for problem in told) + (f"; and {more} more" if more else "")
        hints = list(dict.fromkeys(problem.hint for problem in told if problem.hint))
        return InvalidArgument(
            message,
            hint=" ".join(hints),
            arguments=[problem.argument for problem in told],
        )

    def _told(self, problem: ErrorDetails) -> _Told:
        location, kind = problem["loc"], problem["type"]
        argument = _spelled(location)
        if kind == _UNKNOWN:
            return self._unknown(argument, location)
        if kind == "missing":
            return _Told(argument, f"The argument {argument} is missing", self._described(argument, location))
        message = problem["msg"].removeprefix("Value error, ")
        expected = problem.get("ctx", {}).get("expected")
        guess = nearest(problem["input"], _quoted(expected)) if isinstance(problem["input"], str) else ""
        hint = f"Did you mean {guess} for {argument}?" if guess else self._described(argument, location)
        return _Told(argument, f"{argument}: {message} (given: {shown(problem['input'])})", hint)

    def _described(self, argument: str, location: tuple[int | str, ...]) -> str:
        schema = self._at(location)
        described = schema.get("description", "").rstrip(".")
        choice = " or ".join(map(str, schema.get("enum", ())))
        words = "; ".join(part for part in (described, choice) if part)
        return f"{argument}: {words}." if words else ""

    def _unknown(self, argument: str, location: tuple[int | str, ...]) -> _Told:
        names = self._names(location[:-1])
        guess = nearest(str(location[-1]), names)
        also = f"Did you mean {guess}? " if guess else ""
        holder = _spelled(location[:-1]) or self.tool.name
        return _Told(argument, f"There is no argument {argument}", f"{also}{holder} takes: {_listed(names)}.")

    def _names(self, location: tuple[int | str, ...]) -> list[str]:
        return list(self._at(location).get("properties", ()))

    def _at(self, location: tuple[int | str, ...]) -> dict[str, Any]:
        """The schema of an argument or of a part of one; empty where a location leads nowhere in it."""
        schema = self.schema
        for step in location:
            part = schema.get("items") if isinstance(step, int) else schema.get("properties", {}).get(step)
            if not isinstance(part, dict):
                return {}
            schema = part
        return schema


@dataclass(frozen=True, slots=True)
class _Told:
    argument: str
    message: str
    hint: str


def shown(given: Any) -> str:
    """A caller's value inside an error: short, printable whatever it holds; its rule stands for a secret."""
    if isinstance(given, str):
        found = find_secrets(sendable(given))
        if found:
            return repr(f"[{found[0].rule.name}]")
        return sendable(repr(given if len(given) <= SHOWN_CHARS_MAX else given[:SHOWN_CHARS_MAX] + "…"))
    if isinstance(given, dict):
        return f"an object with {len(given)} members"
    if isinstance(given, list | tuple):
        return f"a list of {len(given)} elements"
    if isinstance(given, int) and given.bit_length() > 2 * SHOWN_CHARS_MAX:
        return f"an integer of {given.bit_length()} bits"
    if given is None or isinstance(given, bool):
        return json.dumps(given)
    return repr(given)[:SHOWN_CHARS_MAX]


def _require_unicode(name: str, text: str) -> None:
    """The models take any Python string; one with a lone surrogate could be neither stored nor sent back."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"{shown(name)[1:-1]} has a lone surrogate at position {error.start}",
            hint=NOT_UNICODE_HINT,
        ) from None


def sendable(text: str) -> str:
    """`text` without lone surrogates, which no reply can carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def nearest(given: str, names: Iterable[str]) -> str:
    """The name most like what was given, or "" when none is."""
    # The comparison is quadratic in the length, and no name is as long.
    return next(iter(difflib.get_close_matches(given[:SHOWN_CHARS_MAX], list(names), n=1)), "")


def _types_of(schema: Mapping[str, Any]) -> frozenset[str]:
    """The JSON types an argument takes, through anyOf; empty when anything goes."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset((kind,))
    branches = [_types_of(branch) for branch in schema.get("anyOf", ())]
    return frozenset[str]().union(*branches) if all(branches) else frozenset()


def _spelled(location: tuple[int | str, ...]) -> str:
    """A place in the arguments as people write it, such as operations[0].path."""
    text = ""
    for step in location:
        text += f"[{step}]" if isinstance(step, int) else f".{shown(step)[1:-1]}"
    return text.removeprefix(".")


def _quoted(expected: Any) -> list[str]:
    """The alternatives in pydantic's "'a', 'b' or 'c'"."""
    return str(expected).split("'")[1::2] if expected else []


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "no arguments"
