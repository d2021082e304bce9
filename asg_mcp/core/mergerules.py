"""Which rule merges a path: the keyword `x-asg-merge` of the JSON Schema that is kept at /__schema__.

A path is followed through the schema (2020-12) as far as the schema tells where it leads: properties,
patternProperties, additionalProperties, items, prefixItems, a local $ref, and the members of allOf, anyOf and oneOf.
Where several subschemas describe a path, the first that gives a rule is followed. The root, /__schema__ and /_meta
take no rule.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import unquote

from asg_mcp.core.paths import APPEND, Tokens, list_index
from asg_mcp.core.values import JsonValue, type_of
from asg_mcp.errors import InvalidValue

RULE_KEYWORD = "x-asg-merge"
ID_KEYWORD = "x-asg-id"
ID_KEY_DEFAULT = "id"
SCHEMA_ROOT = "__schema__"
"""The state's own schema: ordinary state, merged without rules."""
META_ROOT = "_meta"
"""The version of that schema: what a migration on one side changes comes through, and two migrations conflict."""


class Rule(StrEnum):
    """How a path is merged that both sides changed."""

    LAST_WRITER_WINS = "last-writer-wins"
    """The whole path as the side has it whose newest commit there has the higher seq."""
    UNION = "union"
    """Lists as sets: what either side added, without what either side removed. Maps merge as without a rule."""
    UNION_BY_ID = "union-by-id"
    """Lists of maps that are known by an id: each is merged per field, wherever it stands."""
    SUM = "sum"
    """Numbers: both changes are added to the base."""
    MAX = "max"
    """The larger of two numbers."""
    MIN = "min"
    """The smaller of two numbers."""
    CONCAT = "concat"
    """Texts or lists: what both sides appended, the target's first."""
    MANUAL = "manual"
    """Whatever both sides changed, anywhere below the path, is one conflict."""


COUNTING = frozenset({Rule.SUM, Rule.CONCAT})
"""Under these, equal changes of both sides are two changes."""

Matches = Callable[[str, str], bool]
"""Whether a text holds a match of a pattern: (pattern, text)."""
_Schema = dict[str, Any]

_NAMED = ("properties", "patternProperties", "$defs", "definitions", "dependentSchemas")
"""Keywords that hold a map of schemas."""
_LISTED = ("prefixItems", "allOf", "anyOf", "oneOf")
"""Keywords that hold a list of schemas."""
_SINGLE = (
    *("additionalProperties", "items", "contains", "not", "if", "then", "else", "propertyNames"),
    *("unevaluatedProperties", "unevaluatedItems", "contentSchema"),
)
"""Keywords that hold one schema."""


def _no_match(pattern: str, text: str) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one schema. Immutable, but for what it remembers of `$ref`."""

    schema: JsonValue | None = None
    matches: Matches = _no_match
    counting: bool = False
    """Whether some rule counts equal changes twice, so that what both sides made alike has to be looked into."""
    _expanded: dict[int, tuple[_Schema, ...]] = field(default_factory=dict, compare=False, repr=False)

    @classmethod
    def of(cls, schema: JsonValue | None, matches: Matches = _no_match) -> Rules:
        """The rules of the value at /__schema__, or of None, which has none.

        Core has no regular expressions: without `matches`, patternProperties describe no key.
        Raises InvalidValue as check_rules does.
        """
        found = {given[RULE_KEYWORD] for given in _subschemas(schema) if RULE_KEYWORD in given and check_rule(given)}
        return cls(schema, matches, not COUNTING.isdisjoint(found)) if found else NO_RULES

    def at(self, path: Tokens) -> Rule | None:
        """The rule of exactly this path; None where the merge is the built-in one."""
        given = self._given(path)
        return None if given is None else Rule(given[RULE_KEYWORD])

    def id_key(self, path: Tokens) -> str:
        """The key by which the maps of a list under union-by-id are known."""
        given = self._given(path)
        return ID_KEY_DEFAULT if given is None else str(given.get(ID_KEYWORD, ID_KEY_DEFAULT))

    def along(self, path: Tokens, start: int = 0) -> Iterator[tuple[Tokens, str]]:
        """The names of the rules of what a path leads through, from `start` tokens on and down to the path itself."""
        for length, schemas in enumerate(self._walk(path)):
            given = _ruled(schemas) if length >= max(start, 1) else None
            if given is not None:
                yield path[:length], given[RULE_KEYWORD]

    def _given(self, path: Tokens) -> _Schema | None:
        """The subschema that gives a path its rule."""
        places = list(self._walk(path))
        return _ruled(places[-1]) if path and len(places) == len(path) + 1 else None

    def _walk(self, path: Tokens) -> Iterator[list[_Schema]]:
        """The subschemas that describe the root, then each place on the way, while there are any."""
        if not isinstance(self.schema, dict) or path[:1] in ((SCHEMA_ROOT,), (META_ROOT,)):
            return
        schemas = list(self._expand(self.schema))
        yield schemas
        for token in path:
            steps = [below for schema in schemas for below in self._step(schema, token)]
            # Each once: a schema can be written in which the ways to one place double with every level.
            schemas = list({id(inner): inner for below in steps for inner in self._expand(below)}.values())
            if not schemas:
                return
            yield schemas

    def _step(self, schema: _Schema, token: str) -> Iterator[JsonValue]:
        """The subschemas of one schema for a key or an element."""
        properties, patterns = _map(schema, "properties"), _map(schema, "patternProperties")
        named = [properties[token]] if token in properties else []
        named += [below for pattern, below in patterns.items() if self.matches(pattern, token)]
        yield from named
        if not named:
            yield schema.get("additionalProperties")
        index = list_index(token)
        if index is not None or token == APPEND:
            first = _list(schema, "prefixItems")
            yield first[index] if index is not None and index < len(first) else schema.get("items")

    def _expand(self, schema: JsonValue) -> tuple[_Schema, ...]:
        """A schema, then those it says to apply at the same place. A cycle of them ends where it closes."""
        if not isinstance(schema, dict):
            return ()
        known = self._expanded.get(id(schema))
        if known is not None:
            return known
        found: dict[int, _Schema] = {}
        todo: list[JsonValue] = [schema]
        while todo:
            here = todo.pop()
            if not isinstance(here, dict) or id(here) in found:
                continue
            found[id(here)] = here
            members = [member for word in ("allOf", "anyOf", "oneOf") for member in _list(here, word)]
            todo += reversed([_target(self.schema, here.get("$ref")), *members])
        self._expanded[id(schema)] = tuple(found.values())
        return self._expanded[id(schema)]


NO_RULES = Rules()
"""No path has a rule."""


def check_rules(schema: JsonValue | None) -> None:
    """Check every rule in a schema that is about to be kept at /__schema__.

    Raises InvalidValue for a rule that does not exist, or an x-asg-id that is no text.
    """
    for given in _subschemas(schema):
        check_rule(given)


def check_rule(schema: _Schema) -> bool:
    """The same for one subschema alone; true, so that it can stand in a condition."""
    rule, key = schema.get(RULE_KEYWORD, Rule.UNION), schema.get(ID_KEYWORD, ID_KEY_DEFAULT)
    if not isinstance(rule, str) or rule not in {*Rule}:
        raise InvalidValue(
            f"{RULE_KEYWORD} {rule!r} in /{SCHEMA_ROOT} is no merge rule",
            hint=f"Use one of {', '.join(Rule)}; leave it out for the built-in merge.",
            rules=[*Rule],
        )
    if not isinstance(key, str):
        raise InvalidValue(
            f"{ID_KEYWORD} in /{SCHEMA_ROOT} is a {type_of(key)}",
            hint=f"Give the key that tells the maps of a list apart; without it, that is {ID_KEY_DEFAULT!r}.",
        )
    return True


def _ruled(schemas: list[_Schema]) -> _Schema | None:
    return next((schema for schema in schemas if RULE_KEYWORD in schema), None)


def _map(schema: _Schema, word: str) -> dict[str, JsonValue]:
    held = schema.get(word)
    return held if isinstance(held, dict) else {}


def _list(schema: _Schema, word: str) -> list[JsonValue]:
    held = schema.get(word)
    return held if isinstance(held, list) else []


def _target(schema: JsonValue, reference: JsonValue) -> JsonValue:
    """What a local reference, # or #/a/pointer, leads to; None for any other."""
    if not isinstance(reference, str) or not (reference == "#" or reference.startswith("#/")):
        return None
    place = schema
    for part in unquote(reference).split("/")[1:]:
        token = part.replace("~1", "/").replace("~0", "~")
        index = list_index(token)
        if isinstance(place, list) and index is not None and index < len(place):
            place = place[index]
        else:
            place = place.get(token) if isinstance(place, dict) else None
    return place


def _subschemas(schema: JsonValue) -> Iterator[_Schema]:
    """A schema, all below it, and what it refers to. What stands in a default, an example or an enum is no schema."""
    todo: list[JsonValue] = [schema]
    met: set[int] = set()
    while todo:
        here = todo.pop()
        if not isinstance(here, dict) or id(here) in met:
            continue
        met.add(id(here))
        yield here
        todo += [below for word in _NAMED for below in _map(here, word).values()]
        todo += [below for word in _LISTED for below in _list(here, word)]
        todo += [here.get(word) for word in _SINGLE]
        todo.append(_target(schema, here.get("$ref")))
