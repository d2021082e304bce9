"""Schemas of strangers: what is refused, what is bounded, and what is never fetched."""

from __future__ import annotations

import socket
import urllib.request
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from asg_mcp.core.limits import (
    COUNT_AHEAD_MAX,
    SCHEMA_BYTES_MAX,
    SCHEMA_DEPTH_MAX,
    SCHEMA_PATTERNS_MAX,
    SCHEMA_VALUES_MAX,
)
from asg_mcp.errors import InvalidValue, LimitExceeded
from asg_mcp.repo import schemarun
from asg_mcp.repo.schemarun import Meter
from asg_mcp.repo.stateschema import MESSAGE_CHARS_MAX, Mode, StateSchema, Violation, load_schema


def violations(schema: dict[str, Any] | StateSchema, value: Any) -> list[Violation]:
    found = schema if isinstance(schema, StateSchema) else load_schema(schema)
    return found.violations(found.root, value, Meter())


UNUSABLE: list[tuple[Any, str, str]] = [
    ([], "/__schema__", "a schema is a map, not a list"),
    ({"type": "strin"}, "/__schema__/type", "strin"),
    ({"properties": {"a": {"required": "x"}}}, "/__schema__/properties/a/required", "array"),
    ({"properties": {"a": {"minLength": -1}}}, "/__schema__/properties/a/minLength", "-1"),
    ({"pattern": "(a"}, "/__schema__/pattern", "missing )"),
    ({"items": {"pattern": "(?=a)"}}, "/__schema__/items/pattern", "(?="),
    ({"patternProperties": {"(a)\\1": {}}}, "/__schema__/patternProperties/(a)\\1", "\\1"),
    ({"$ref": "https://example.com/s"}, "/__schema__/$ref", "not local"),
    ({"$dynamicRef": "other.json#a"}, "/__schema__/$dynamicRef", "not local"),
    ({"$ref": "#/$defs/gone"}, "/__schema__/$ref", "leads to no schema"),
    ({"properties": {"a": {"$ref": "#/default"}}, "default": {}}, "/__schema__/properties/a/$ref", "no schema"),
    ({"$ref": "#gone"}, "/__schema__/$ref", "no anchor"),
    ({"$defs": {"a": {"$anchor": "x"}, "b": {"$anchor": "x"}}}, "/__schema__/$defs/b", "twice"),
    ({"$schema": "http://json-schema.org/draft-07/schema#"}, "/__schema__/$schema", "2020-12"),
    ({"items": {"$schema": "http://json-schema.org/draft-07/schema#"}}, "/__schema__/items/$schema", "2020-12"),
    ({"items": {"$id": "https://example.com/"}}, "/__schema__/items/$id", "root"),
    ({"x-asg-validate": "strict"}, "/__schema__/x-asg-validate", "none, warn, enforce"),
    ({"x-asg-validate": ["enforce"]}, "/__schema__/x-asg-validate", "none, warn, enforce"),
    ({"items": {"x-asg-validate": "enforce"}}, "/__schema__/items/x-asg-validate", "root"),
    ({"$ref": "#"}, "/__schema__", "lead back"),
    ({"$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}}, "/__schema__", "back"),
]


@pytest.mark.parametrize(("schema", "path", "what"), UNUSABLE)
def test_an_unusable_schema_is_refused_with_its_place(schema: Any, path: str, what: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        load_schema(schema)
    assert refused.value.details["path"].startswith(path)
    assert what in refused.value.message
    assert refused.value.hint


def test_an_unknown_merge_rule_is_refused_wherever_it_stands() -> None:
    with pytest.raises(InvalidValue, match="newest-wins"):
        load_schema({"properties": {"a": {"x-asg-merge": "newest-wins"}}})


def test_the_mode_is_warn_unless_the_schema_says_otherwise() -> None:
    assert load_schema({}).mode is Mode.WARN
    assert load_schema({"x-asg-validate": "enforce"}).mode is Mode.ENFORCE


def deep(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels - 1):
        schema = {"items": schema}
    return schema


@pytest.mark.parametrize(
    ("schema", "limit"),
    [
        ({"title": "x" * SCHEMA_BYTES_MAX}, "SCHEMA_BYTES_MAX"),
        ({"allOf": [True] * SCHEMA_VALUES_MAX}, "SCHEMA_VALUES_MAX"),
        (deep(SCHEMA_DEPTH_MAX + 1), "SCHEMA_DEPTH_MAX"),
        ({"patternProperties": {f"p{n}": {} for n in range(SCHEMA_PATTERNS_MAX + 1)}}, "SCHEMA_PATTERNS_MAX"),
    ],
)
def test_a_schema_that_is_too_large_is_refused_by_the_name_of_the_limit(schema: Any, limit: str) -> None:
    with pytest.raises(LimitExceeded) as refused:
        load_schema(schema)
    assert refused.value.details["limit"] == limit


def test_a_schema_of_the_greatest_depth_is_checked_and_used() -> None:
    value: Any = 0
    for _ in range(SCHEMA_DEPTH_MAX - 1):
        value = [value]
    assert violations(deep(SCHEMA_DEPTH_MAX), value) == []


def test_nothing_is_fetched_from_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("somebody asked the network")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.com/root.json",
        "$defs": {"a": {"$anchor": "here", "type": "string"}},
        "properties": {"a": {"$ref": "#here"}, "b": {"$dynamicRef": "#here"}, "c": {"$ref": "#/%24defs/a"}},
    }
    assert len(violations(schema, {"a": 1, "b": 1, "c": 1})) == 3


def test_a_property_named_like_a_keyword_is_no_keyword() -> None:
    schema = {"properties": {"$ref": {"type": "string"}, "$schema": {"type": "string"}, "$id": {"pattern": "x"}}}
    assert len(violations(schema, {"$ref": 1, "$schema": 1, "$id": "y"})) == 3


@pytest.mark.parametrize(
    "schema",
    [
        {"additionalProperties": {"pattern": r"^\pL+$"}},
        {"patternProperties": {r"^\pL$": {"type": "string"}}, "additionalProperties": False},
        {"patternProperties": {r"^\pL$": {"type": "string"}}, "unevaluatedProperties": False},
        {"patternProperties": {r"^\pL$": {"type": "string"}, r"^\pN$": False}},
        {"propertyNames": {"pattern": r"^\pL+$"}, "additionalProperties": {"type": "string"}},
    ],
)
def test_every_keyword_with_patterns_matches_as_re2_does(schema: dict[str, Any]) -> None:
    # Python's re knows no \pL.
    assert violations(schema, {"é": "ü"}) == []
    assert len(violations(schema, {"é": "ü", "1": "2"})) == 1


def test_a_pattern_that_would_backtrack_for_ever_is_matched_at_once() -> None:
    pattern = "^(a+)+$"
    schema = {"items": {"pattern": pattern, "patternProperties": {pattern: {}}, "additionalProperties": {}}}
    text = "a" * 10_000 + "!"
    assert len(violations(schema, [text, {"a" * 900 + "!": 1}])) == 1


def test_a_schema_that_doubles_its_work_at_each_level_ends_at_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schemarun, "VALIDATION_STEPS_MAX", 50_000)
    levels = 40
    doubling: dict[str, Any] = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(levels)}
    with pytest.raises(LimitExceeded) as refused:
        violations({"$defs": {**doubling, f"a{levels}": {}}, "$ref": "#/$defs/a0"}, {})
    assert refused.value.details["limit"] == "VALIDATION_STEPS_MAX"
    tree = {"properties": {"x": {"allOf": [{"$ref": "#"}, {"$ref": "#"}]}}, "unevaluatedProperties": False}
    value: dict[str, Any] = {}
    for _ in range(30):
        value = {"x": value}
    with pytest.raises(LimitExceeded):
        violations(tree, value)


def nested(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"x": value}
    return value


def test_recursion_into_a_deep_value_is_an_error_with_a_name_and_not_of_python() -> None:
    tree = load_schema({"properties": {"x": {"$ref": "#"}}, "type": "object"})
    assert violations(tree, nested(70)) == []
    with pytest.raises(LimitExceeded) as refused:
        violations(tree, nested(120))
    assert refused.value.details["limit"] == "VALIDATION_DEPTH_MAX"


def test_recursion_that_leaves_the_stack_too_little_is_the_same_error() -> None:
    tree = load_schema({"properties": {"x": {"$ref": "#"}}, "type": "object"})

    def sink(levels: int) -> list[Violation]:
        return sink(levels - 1) if levels else violations(tree, nested(70))

    with pytest.raises(LimitExceeded) as refused:
        sink(700)
    assert refused.value.details["limit"] == "VALIDATION_DEPTH_MAX"


def test_equal_elements_are_found_among_many_of_any_kind() -> None:
    many: list[Any] = [{"n": n} for n in range(20_000)]
    assert violations({"uniqueItems": True}, many) == []
    found = violations({"uniqueItems": True}, [*many, {"n": 7.0}])
    assert "elements 7 and 20000 are equal" in found[0].message
    assert violations({"uniqueItems": True}, [1, True, "1", [1], None, 0, False, 1e300]) == []


def test_what_is_said_of_a_large_value_is_short() -> None:
    large = {"a": ["x" * 1_000] * 1_000, "long": "y" * 100_000}
    schema = {
        "properties": {"a": {"type": "string"}, "long": {"enum": [1, "z" * 500, {"k": list(range(50))}]}},
        "anyOf": [{"type": "string"}],
        "not": {"type": "object"},
        "propertyNames": {"maxLength": 2},
    }
    found = violations(schema, {**large, "k" * 1_000: 1})
    assert len(found) == 6
    assert all(len(item.message) <= MESSAGE_CHARS_MAX + 1 for item in found)
    said = [item.message for item in found]
    assert "(a list of 1000 elements) is not of type 'string'" in said
    assert "(a map of 3 keys) is not valid under any of the given schemas" in said


def test_no_more_is_looked_for_than_is_told() -> None:
    assert len(violations({"items": {"type": "string"}}, [1] * 1_000)) == COUNT_AHEAD_MAX


def test_a_violation_names_the_place_in_the_value_and_in_the_schema() -> None:
    schema = {"properties": {"a/b": {"$ref": "#/$defs/n"}, "no": False}, "$defs": {"n": {"items": {"minimum": 3}}}}
    assert violations(schema, {"a/b": [5, 2], "no": "here"}) == [
        Violation(("a/b", "1"), "2 is less than the minimum of 3", "/__schema__/$defs/n/items/minimum"),
        Violation(("no",), "'here' is not allowed here", "/__schema__/properties"),
    ]


NAMES_A: dict[str, Any] = {"properties": {"a": {"type": "integer"}}, "required": ["a"]}
BESIDE: list[dict[str, Any]] = [
    {"properties": {"a": {}}},
    {"patternProperties": {"^a": {}}},
    {"allOf": [NAMES_A, {"properties": {"b": {}}}]},
    {"anyOf": [NAMES_A, {"properties": {"b": {}}, "required": ["b"]}, {}]},
    {"oneOf": [NAMES_A, {"properties": {"b": {}}, "required": ["b"]}]},
    {"if": NAMES_A, "then": {"properties": {"b": {}}}, "else": {"properties": {"c": {}}}},
    {"if": NAMES_A},
    {"if": {"required": ["c"]}, "then": {"properties": {"c": {}}}},
    {"not": {"not": NAMES_A}},
    {"$ref": "#/$defs/a"},
    {"$dynamicRef": "#dynamic"},
    {"dependentSchemas": {"a": {"properties": {"a": {}, "b": {}}}}},
    {"allOf": [{"additionalProperties": {"type": "integer"}}]},
    {"allOf": [{"unevaluatedProperties": {"type": "integer"}}]},
    {"allOf": [{"prefixItems": [{}]}, {"prefixItems": [{}, {"type": "integer"}]}]},
    {"anyOf": [{"prefixItems": [{"type": "integer"}]}, {"items": {"type": "string"}}]},
    {"contains": {"type": "integer"}},
    {"allOf": [{"contains": {"const": "x"}}], "minContains": 0},
    {"allOf": [{"unevaluatedItems": {"type": "integer"}}]},
    {"prefixItems": [False]},
    {"prefixItems": [{}], "items": False},
]
VALUES: list[Any] = [
    *({}, {"a": 1}, {"a": "x"}, {"b": 1}, {"a": 1, "b": 1}, {"c": 1}, {"a": 1, "c": "x"}, {"b": "x", "c": 1}),
    *([], [1], ["x"], [1, 2], [1, "x"], ["x", 1], ["x", "y"], [1, 2, 3], "text"),
]


@pytest.mark.parametrize("beside", BESIDE, ids=str)
@pytest.mark.parametrize("rest", [False, {"type": "string"}, {"minimum": 2}], ids=str)
def test_what_no_keyword_looked_at_is_what_the_library_says_it_is(beside: dict[str, Any], rest: Any) -> None:
    defs = {"a": NAMES_A, "d": {**NAMES_A, "$dynamicAnchor": "dynamic"}}
    schema = {**beside, "unevaluatedProperties": rest, "unevaluatedItems": rest, "$defs": defs}
    ours, library = load_schema(schema), Draft202012Validator(schema)
    for value in VALUES:
        assert (violations(ours, value) == []) == library.is_valid(value), value
