"""Random schemas, documents and changes of documents, small enough that many documents are valid."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

NAMES = ["a", "b", "c", "aa"]
SCALARS: list[Any] = [None, True, 0, 1, 1.0, 2.5, "", "x", "xy"]
Doc = dict[str, Any]


def value(rng: random.Random, depth: int = 0) -> Any:
    """A value of up to three levels."""
    kind = rng.random()
    if depth > 2 or kind < 0.4:
        return rng.choice(SCALARS)
    if kind < 0.7:
        return {rng.choice(NAMES): value(rng, depth + 1) for _ in range(rng.randint(0, 3))}
    return [value(rng, depth + 1) for _ in range(rng.randint(0, 4))]


def document(rng: random.Random) -> Doc:
    """A root."""
    return {rng.choice(NAMES): value(rng) for _ in range(rng.randint(0, 4))}


def schema(rng: random.Random) -> Doc:
    """A schema with local references."""
    defs = {name: _schema(rng, 1) for name in ("p", "q")}
    # References lead forward alone at one place, so that no circle is made: r refers to p and q, s to r through a key.
    return {**_schema(rng, 0, refs=True), "$defs": {**defs, "r": _schema(rng, 1, refs=True)}}


def _schema(rng: random.Random, depth: int, *, refs: bool = False) -> Any:
    if depth and rng.random() < 0.2:
        return rng.random() < 0.8
    out: Doc = {}
    for _ in range(rng.choice([1, 1, 2, 3])):
        word = rng.choice(_WORDS if depth < 3 else _FLAT)
        if word == "$ref" and not refs:
            continue
        out[word] = _said(rng, word, depth + 1, refs)
    return out


_FLAT = [
    *("type", "required", "minProperties", "maxProperties", "minItems", "maxItems", "minimum", "maxLength", "pattern"),
    *("dependentRequired", "enum", "const", "uniqueItems", "title", "multipleOf"),
]
_DEEP = [
    *("properties", "properties", "properties", "items", "items", "prefixItems", "additionalProperties"),
    *("patternProperties", "propertyNames", "allOf", "anyOf", "oneOf", "not", "if", "contains", "dependentSchemas"),
    *("unevaluatedProperties", "unevaluatedItems", "$ref"),
]
_WORDS = [*_FLAT, *_DEEP, *_DEEP]


def _said(rng: random.Random, word: str, depth: int, refs: bool) -> Any:
    def below() -> Any:
        return _schema(rng, depth, refs=refs)

    def name() -> str:
        return rng.choice(NAMES)

    made: dict[str, Callable[[], Any]] = {
        "type": lambda: rng.sample(["object", "array", "string", "number", "integer", "null", "boolean"], 4),
        "required": lambda: [name()],
        "minProperties": lambda: rng.randint(0, 2),
        "maxProperties": lambda: rng.randint(1, 3),
        "minItems": lambda: rng.randint(0, 2),
        "maxItems": lambda: rng.randint(1, 4),
        "minimum": lambda: rng.randint(0, 1),
        "maxLength": lambda: rng.randint(0, 1),
        "pattern": lambda: rng.choice(["x", "^y", "a|b"]),
        "dependentRequired": lambda: {name(): [name()]},
        "enum": lambda: [value(rng, 2) for _ in range(4)],
        "const": lambda: value(rng, 2),
        "uniqueItems": lambda: True,
        "title": lambda: "A title",
        "multipleOf": lambda: rng.choice([1, 0.5]),
        "properties": lambda: {name(): below() for _ in range(2)},
        "patternProperties": lambda: {rng.choice(["^a", "b|c"]): below()},
        "dependentSchemas": lambda: {name(): below()},
        "prefixItems": lambda: [below() for _ in range(rng.randint(1, 2))],
        "allOf": lambda: [below() for _ in range(2)],
        "anyOf": lambda: [below() for _ in range(2)],
        "oneOf": lambda: [below() for _ in range(2)],
        "propertyNames": lambda: {"pattern": rng.choice(["^[ab]", "^.$"])},
        "$ref": lambda: f"#/$defs/{rng.choice('pq')}",
    }
    return made.get(word, below)()


def _containers(root: Any) -> Iterator[Any]:
    if isinstance(root, dict | list):
        yield root
        for item in list(root.values() if isinstance(root, dict) else root):
            yield from _containers(item)


def changed(rng: random.Random, root: Doc) -> Doc:
    """A document after a few changes: keys and elements come, go, move and get other values."""
    root = copy.deepcopy(root)
    for _ in range(rng.randint(1, 3)):
        place = rng.choice(list(_containers(root)))
        kind = rng.random()
        if isinstance(place, dict):
            if place and kind < 0.3:
                del place[rng.choice(sorted(place))]
            else:
                place[rng.choice(NAMES)] = value(rng, 1)
        elif not place or kind < 0.3:
            place.insert(rng.randint(0, len(place)), value(rng, 2))
        elif kind < 0.5:
            del place[rng.randrange(len(place))]
        elif kind < 0.7:
            place.insert(rng.randrange(len(place)), place.pop())
        else:
            place[rng.randrange(len(place))] = value(rng, 2)
    return root
