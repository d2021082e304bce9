"""Merge rules: which one a schema gives a path, and what a person would expect of each."""

from __future__ import annotations

from typing import Any

import pytest

from asg_mcp.core.merge import Clash, merge
from asg_mcp.core.mergerules import NO_RULES, Rule, Rules, check_rules
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.core.values import encode
from asg_mcp.errors import InvalidValue
from tests.core.test_merge import merged_states
from tests.core.trees import document_of, edit, state_of

SUM, MAX = {"x-asg-merge": "sum"}, {"x-asg-merge": "max"}

# --- where a path leads in a schema -----------------------------------------------


@pytest.mark.parametrize(
    ("schema", "path", "rule"),
    [
        ({"properties": {"a": SUM}}, "/a", "sum"),
        ({"properties": {"a": SUM}}, "/b", None),
        ({"properties": {"a": SUM}}, "/a/b", None),
        ({"properties": {"a": {"properties": {"b/c": SUM}}}}, "/a/b~1c", "sum"),
        ({"additionalProperties": SUM, "properties": {"b": {}}}, "/a", "sum"),
        ({"additionalProperties": SUM, "properties": {"b": {}}}, "/b", None),
        ({"additionalProperties": SUM, "properties": {"b": True}}, "/b", None),
        ({"properties": {"l": {"items": SUM}}}, "/l/7", "sum"),
        ({"properties": {"l": {"items": SUM}}}, "/l/-", "sum"),
        ({"properties": {"l": {"items": SUM}}}, "/l/x", None),
        ({"properties": {"l": {"items": SUM, "prefixItems": [MAX, True]}}}, "/l/0", "max"),
        ({"properties": {"l": {"items": SUM, "prefixItems": [MAX, True]}}}, "/l/1", None),
        ({"properties": {"l": {"items": SUM, "prefixItems": [MAX, True]}}}, "/l/2", "sum"),
        ({"properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": SUM}}, "/a", "sum"),
        ({"properties": {"a": {"$ref": "#/$defs/a~1b%20c"}}, "$defs": {"a/b c": SUM}}, "/a", "sum"),
        ({"properties": {"a": {"$ref": "#/prefixItems/1"}}, "prefixItems": [{}, SUM]}, "/a", "sum"),
        ({"properties": {"a": {"$ref": "#/$defs/none"}}}, "/a", None),
        ({"properties": {"a": {"$ref": "https://example.com/#/$defs/x"}}, "$defs": {"x": SUM}}, "/a", None),
        ({"properties": {"a": {"$ref": "#"}, "n": SUM}}, "/a/a/a/n", "sum"),
        ({"properties": {"a": {"$ref": "#/$defs/x", **MAX}}, "$defs": {"x": SUM}}, "/a", "max"),
        ({"$defs": {"x": {"$ref": "#/$defs/y"}, "y": {"$ref": "#/$defs/x"}}, "$ref": "#/$defs/x"}, "/a", None),
        (
            {"anyOf": [True, {"properties": {"a": {}}}, {"properties": {"a": SUM}}, {"properties": {"a": MAX}}]},
            "/a",
            "sum",
        ),
        ({"oneOf": [{"allOf": [{"properties": {"a": SUM}}]}]}, "/a", "sum"),
        ({"patternProperties": {"n$": SUM}, "additionalProperties": MAX}, "/in", "sum"),
        ({"patternProperties": {"n$": SUM}, "additionalProperties": MAX}, "/out", "max"),
        (SUM, "/", None),
        ({"properties": {"a": {"$ref": "#"}}, **SUM}, "/a", "sum"),
        ({"additionalProperties": {"additionalProperties": SUM, **SUM}}, "/__schema__", None),
        ({"additionalProperties": {"additionalProperties": SUM, **SUM}}, "/__schema__/properties", None),
        ({"additionalProperties": {"additionalProperties": SUM, **SUM}}, "/_meta/schema_version", None),
        ({"default": {"properties": {"a": SUM}}, "enum": [SUM]}, "/a", None),
        (True, "/a", None),
        (None, "/a", None),
    ],
)
def test_a_path_has_the_rule_of_the_first_subschema_that_gives_it_one(schema: Any, path: str, rule: str | None) -> None:
    rules = Rules.of(schema, lambda pattern, text: text.endswith(pattern.rstrip("$")))
    assert rules.at(parse_path(path)) == rule


def test_the_rules_on_the_way_to_a_path_come_from_the_outermost_to_its_own() -> None:
    inner = {"x-asg-merge": "union-by-id", "items": {"properties": {"n": SUM}}}
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "manual", "properties": {"l": inner}}}})
    path = parse_path("/a/l/3/n/deeper")
    assert list(rules.along(path)) == [(path[:1], "manual"), (path[:2], "union-by-id"), (path[:4], "sum")]
    assert list(rules.along(path, 3)) == [(path[:4], "sum")]


def test_the_id_of_a_rows_map_is_the_key_beside_its_rule() -> None:
    by_name = {"x-asg-merge": "union-by-id", "x-asg-id": "name"}
    plain = {"x-asg-merge": "union-by-id"}
    rules = Rules.of({"properties": {"a": by_name, "b": plain, "c": {"allOf": [{"x-asg-id": "no"}, by_name]}}})
    assert [rules.id_key((key,)) for key in "abcd"] == ["name", "id", "name", "id"]


def test_without_a_matcher_patterns_describe_nothing() -> None:
    rules = Rules.of({"patternProperties": {"": SUM}, "additionalProperties": MAX})
    assert rules.at(("a",)) is Rule.MAX


def test_a_schema_without_rules_costs_nothing() -> None:
    assert Rules.of({"properties": {"x-asg-merge": {"type": "string"}}, "default": {"x-asg-merge": "no"}}) is NO_RULES


@pytest.mark.parametrize(
    "schema",
    [
        {"x-asg-merge": "add"},
        {"x-asg-merge": ["sum"]},
        {"properties": {"a": {"items": {"not": {"x-asg-merge": "Sum"}}}}},
        {"$defs": {"a": {"anyOf": [{"x-asg-merge": None}]}}},
        {"$ref": "#/elsewhere/x", "elsewhere": {"x": {"x-asg-merge": "add"}}},
        {"x-asg-merge": "union-by-id", "x-asg-id": 7},
    ],
)
def test_a_rule_that_does_not_exist_is_refused_with_those_that_do(schema: Any) -> None:
    for check in (check_rules, Rules.of):
        with pytest.raises(InvalidValue) as caught:
            check(schema)
        assert "last-writer-wins" in caught.value.hint or "x-asg-id" in caught.value.message


def test_a_schema_that_refers_to_itself_in_a_circle_is_checked_once() -> None:
    check_rules({"$defs": {"a": {"properties": {"a": {"$ref": "#"}}, "anyOf": [{"$ref": "#/$defs/a"}, SUM]}}})
    check_rules(None)
    check_rules([])


def test_a_schema_whose_ways_double_with_every_level_is_followed_all_the_same() -> None:
    twice = [{"properties": {"a": {"$ref": "#/$defs/x"}}} for _ in range(2)]
    rules = Rules.of({"$ref": "#/$defs/x", "$defs": {"x": {"anyOf": [*twice, {"properties": {"n": SUM}}]}}})
    assert rules.at(("a",) * 120 + ("n",)) is Rule.SUM


# --- what each rule does ------------------------------------------------------------

GONE = object()
CLASH = object()


def outcome(rules: Rules, base: State, ours: State, theirs: State) -> Any:
    """What /a becomes; GONE, or CLASH at /a under the rule's name."""
    state, clashes = merged_states(base, ours, theirs, rules)
    if clashes:
        assert clashes == (Clash(("a",), str(rules.at(("a",)))),)
        assert type(clashes[0].rule) is str
        assert state.tree.id == ours.tree.id
        return CLASH
    return document_of(state).get("a", GONE)


def side(value: Any, origin: int) -> State:
    return state_of({"k": 1} if value is GONE else {"k": 1, "a": value}, origin)


def rows(*items: Any) -> list[dict[str, Any]]:
    return [{"id": name, "n": number} for name, number in items]


@pytest.mark.parametrize(
    ("rule", "base", "ours", "theirs", "result", "swapped"),
    [
        ("sum", 10, 13, 8, 11, 11),
        ("sum", 10, 13, 13, 16, 16),
        ("sum", GONE, 2, 3, 5, 5),
        ("sum", GONE, 2, 2, 4, 4),
        ("sum", 1, 1.0, 3, 3.0, 3.0),
        ("sum", 0.1, 0.2, 0.4, 0.5, 0.5),
        ("sum", 2**53, 2**53 + 1, 2**53 + 2, 2**53 + 3, 2**53 + 3),
        ("sum", 0, 2**62, 2**62, CLASH, CLASH),
        ("sum", 0, 1e308, 1.5e308, CLASH, CLASH),
        ("sum", 1, GONE, 2, CLASH, CLASH),
        ("sum", 1, GONE, GONE, GONE, GONE),
        ("sum", 1, "x", "x", "x", "x"),
        ("sum", None, 1, 2, CLASH, CLASH),
        ("sum", 1, True, 2, CLASH, CLASH),
        ("sum", {"x": 1}, {"x": 2}, {"y": 1}, CLASH, CLASH),
        ("max", 5, 3, 4, 4, 4),
        ("max", GONE, 3, 4.5, 4.5, 4.5),
        ("max", None, 1, 1.0, 1, 1),
        ("max", 5, GONE, 6, CLASH, CLASH),
        ("max", 5, "z", 6, CLASH, CLASH),
        ("min", 5, 7, 8, 7, 7),
        ("min", 5, 1, 1.0, 1, 1),
        ("min", 5, [1], 6, CLASH, CLASH),
        ("concat", "a", "ab", "ac", "abc", "acb"),
        ("concat", "a", "ab", "ab", "abb", "abb"),
        ("concat", GONE, "x", "y", "xy", "yx"),
        ("concat", "ab", "b", "abc", CLASH, CLASH),
        ("concat", "ab", "b", "b", "b", "b"),
        ("concat", "a", GONE, "ab", CLASH, CLASH),
        ("concat", "", "x" * (3 << 20), "y" * (2 << 20), CLASH, CLASH),
        ("concat", [1], [1, 2], [1, 3, 4], [1, 2, 3, 4], [1, 3, 4, 2]),
        ("concat", [1], [1, 2], [1, 2], [1, 2, 2], [1, 2, 2]),
        ("concat", GONE, [1], [1], [1, 1], [1, 1]),
        ("concat", [1], [1.0, 2], [1, 3], CLASH, CLASH),
        ("concat", GONE, [1], "x", CLASH, CLASH),
        ("concat", "a", "ab", ["a"], CLASH, CLASH),
        ("union", [1, 2, 3], [2, 3, 4], [1, 3, 5], [3, 4, 5], [3, 5, 4]),
        ("union", [], [1, 1.0, True], [1, "1"], [1, 1.0, True, "1"], [1, "1", 1.0, True]),
        ("union", GONE, [{"x": 1}], [{"x": 1}, {"x": 2}], [{"x": 1}, {"x": 2}], [{"x": 1}, {"x": 2}]),
        ("union", [1], [1, 2, 2], [1, 2, 2], [1, 2, 2], [1, 2, 2]),
        ("union", [1], [2, 1], GONE, CLASH, CLASH),
        ("union", 1, [1], [2], CLASH, CLASH),
        ("union", {"x": 1}, {"x": 1, "y": 1}, {"x": 1, "z": 1}, {"x": 1, "y": 1, "z": 1}, {"x": 1, "y": 1, "z": 1}),
        ("union-by-id", rows("ab"), rows("ac", "bd"), rows("ab"), rows("ac", "bd"), rows("ac", "bd")),
        ("union-by-id", rows("ab", "bb"), rows("bc", "ab"), rows("ad", "bb"), rows("bc", "ad"), rows("ad", "bc")),
        ("union-by-id", rows("ab", "bb"), rows("ab"), rows("ac", "bb", "cd"), rows("ac", "cd"), rows("ac", "cd")),
        ("union-by-id", rows("ab", "bb"), rows("ab"), rows("ab", "bc"), CLASH, CLASH),
        ("union-by-id", GONE, rows("ab"), rows("ab", "bb"), rows("ab", "bb"), rows("ab", "bb")),
        ("union-by-id", GONE, rows("ab"), rows("ac"), CLASH, CLASH),
        ("union-by-id", rows("ab"), rows("ac"), rows("ad"), CLASH, CLASH),
        ("union-by-id", rows("ab"), [*rows("ab"), {"n": 1}], rows("ac"), CLASH, CLASH),
        ("union-by-id", rows("ab"), rows("ab", "cc", "cd"), rows("ad"), CLASH, CLASH),
        ("union-by-id", rows("ab"), rows((1, 1)), rows(("1", 1)), rows((1, 1), ("1", 1)), rows(("1", 1), (1, 1))),
        ("union-by-id", rows("ab"), [5], rows("ac"), CLASH, CLASH),
        ("union-by-id", rows("ab"), [5], [5], [5], [5]),
        ("union-by-id", rows("ab"), [*rows("ab"), {"id": None}], rows("ac"), CLASH, CLASH),
        ("union-by-id", rows("ab"), [*rows("ab"), {"id": [1]}], rows("ac"), CLASH, CLASH),
        ("manual", 1, 2, 2, 2, 2),
        ("manual", 1, 2, 3, CLASH, CLASH),
        ("manual", {"x": 1, "y": 1}, {"x": 2, "y": 1}, {"x": 1, "y": 2}, CLASH, CLASH),
        ("manual", GONE, {"x": 1}, {"y": 1}, CLASH, CLASH),
        ("manual", {"x": 1}, GONE, {"x": 2}, CLASH, CLASH),
        ("last-writer-wins", 1, 2, 3, 3, 2),
        ("last-writer-wins", 1, "x", {"y": [1]}, {"y": [1]}, "x"),
        ("last-writer-wins", {"x": 1, "y": 1}, {"x": 2}, {"x": 1, "y": 3}, {"x": 1, "y": 3}, {"x": 2}),
        ("last-writer-wins", GONE, {"x": 1}, {"y": 1}, {"y": 1}, {"x": 1}),
        ("last-writer-wins", [1], [1, 2], GONE, GONE, [1, 2]),
    ],
)
def test_a_rule_settles_what_both_sides_changed(
    rule: str, base: Any, ours: Any, theirs: Any, result: Any, swapped: Any
) -> None:
    rules = Rules.of({"properties": {"a": {"x-asg-merge": rule}}})
    left, right = (side(value, origin) for value, origin in ((ours, 2), (theirs, 3)))
    assert_same(outcome(rules, side(base, 1), left, right), result)
    # Only the last writer is known by the origin, and the sides that are swapped have theirs swapped with them.
    left, right = (side(value, origin) for value, origin in ((theirs, 2), (ours, 3)))
    assert_same(outcome(rules, side(base, 1), left, right), swapped)


def assert_same(found: Any, expected: Any) -> None:
    assert found is expected or encode(found) == encode(expected)


def test_the_last_writer_is_the_side_with_the_newest_commit_wherever_it_stands() -> None:
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "last-writer-wins"}}})
    base = state_of({"a": {"x": {"y": 1}, "z": 1}, "b": 1})
    early, late = edit(base, "set", "/a/x/y", 2, origin=4).state, edit(base, "delete", "/a/z", origin=5).state
    for ours, theirs in ((early, late), (late, early)):
        state, clashes = merged_states(base, ours, theirs, rules)
        assert (document_of(state), clashes) == ({"a": {"x": {"y": 1}}, "b": 1}, ())
    gone = edit(base, "delete", "/a", origin=3).state
    for ours, theirs in ((early, gone), (gone, early)):
        assert document_of(merged_states(base, ours, theirs, rules)[0])["a"] == {"x": {"y": 2}, "z": 1}
    gone = edit(base, "delete", "/a", origin=6).state
    for ours, theirs in ((early, gone), (gone, early)):
        assert document_of(merged_states(base, ours, theirs, rules)[0]) == {"b": 1}


def test_two_versions_of_one_commit_have_no_last_writer() -> None:
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "last-writer-wins"}}})
    base = state_of({"a": 1})
    ours, theirs = (edit(base, "set", "/a", value, origin=4).state for value in (2, 3))
    assert merged_states(base, ours, theirs, rules)[1] == (Clash(("a",), "last-writer-wins"),)


def test_rows_that_one_commit_left_different_have_no_last_writer() -> None:
    items = {"x-asg-merge": "last-writer-wins"}
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "union-by-id", "items": items}}})
    base = side(rows(("a", 1)), 1)
    ours, theirs = (edit(base, "set", "/a/0/n", value, origin=4).state for value in (2, 3))
    assert outcome(rules, base, ours, theirs) is CLASH


def test_an_element_has_the_rule_of_its_place_in_the_base() -> None:
    rules = Rules.of({"properties": {"a": {"prefixItems": [True, {"properties": {"n": SUM}}]}}})
    base, ours, theirs = side(["x", {"n": 1}], 1), side(["x", {"n": 2}], 2), side(["new", "x", {"n": 3}], 3)
    for left, right in ((ours, theirs), (theirs, ours)):
        assert outcome(rules, base, left, right) == ["new", "x", {"n": 4}]


def test_the_last_writers_value_costs_only_what_differs() -> None:
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "last-writer-wins"}}})
    base = state_of({"a": {f"k{number}": 1 for number in range(300)}})
    ours, theirs = edit(base, "set", "/a/k1", 2).state, edit(base, "set", "/a/k2", 3, origin=3).state
    assert [operation.path for operation in merge(base, ours, theirs, rules).operations] == [("a", "k1"), ("a", "k2")]


def test_rows_known_by_an_id_are_merged_field_by_field_under_the_rules_of_their_fields() -> None:
    union, last = {"x-asg-merge": "union"}, {"x-asg-merge": "last-writer-wins"}
    items = {"properties": {"n": SUM, "tags": union, "map": union, "note": last}}
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "union-by-id", "x-asg-id": "key", "items": items}}})
    base = side([{"key": "x", "n": 1, "tags": [1, 2]}, {"key": "y", "n": 1, "map": {}}], 1)
    ours = side([{"key": "y", "n": 4, "map": {"o": 1}}, {"key": "x", "n": 2, "tags": [2, 3], "note": "o"}], 2)
    theirs = side([{"key": "x", "n": 5, "tags": [1, 2, 4], "note": "t"}, {"key": "y", "n": 4, "map": {"t": 1}}], 3)
    merged = [{"key": "y", "n": 7, "map": {"o": 1, "t": 1}}, {"key": "x", "n": 6, "tags": [2, 3, 4], "note": "t"}]
    assert outcome(rules, base, ours, theirs) == merged
    assert sorted(outcome(rules, base, theirs, ours), key=lambda row: str(row["key"])) == [
        {"key": "x", "n": 6, "tags": [2, 4, 3], "note": "t"},
        {"key": "y", "n": 7, "map": {"o": 1, "t": 1}},
    ]


def test_rows_that_both_changed_alike_count_twice_where_their_fields_do() -> None:
    for rule in ({}, {"x-asg-merge": "union-by-id"}):
        rules = Rules.of({"properties": {"a": {**rule, "items": {"properties": {"n": SUM}}}}})
        base, changed = side(rows(("a", 1), ("b", 1)), 1), rows(("a", 4), ("b", 1))
        assert outcome(rules, base, side(changed, 2), side(changed, 3)) == rows(("a", 7), ("b", 1))


def test_what_both_sides_have_from_one_commit_needs_no_last_writer() -> None:
    items = {"properties": {"n": SUM, "last": {"x-asg-merge": "last-writer-wins"}}}
    for rule in ({}, {"x-asg-merge": "union-by-id"}):
        rules = Rules.of({"properties": {"a": {**rule, "items": items}}})
        changed = side([{"id": 1, "n": 2, "last": 2}], 2)
        assert outcome(rules, side([{"id": 1, "n": 1, "last": 1}], 1), changed, changed) == [
            {"id": 1, "n": 3, "last": 2}
        ]


def test_a_row_that_one_side_removed_follows_the_rule_of_its_rows() -> None:
    items = {"x-asg-merge": "last-writer-wins"}
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "union-by-id", "items": items}}})
    base = state_of({"a": rows(("a", 1), ("b", 1))})
    changed = edit(base, "set", "/a/1/n", 5, origin=7).state
    for seq, left in ((6, rows(("a", 1), ("b", 5))), (8, rows(("a", 1)))):
        gone = edit(base, "delete", "/a/1", origin=seq).state
        assert outcome(rules, base, changed, gone) == outcome(rules, base, gone, changed) == left


@pytest.mark.parametrize("instead", [GONE, 5, [3], ["x", {"0": 1}]])
def test_a_rule_below_a_container_that_one_side_removed_or_retyped_does_not_apply(instead: Any) -> None:
    rules = Rules.of({"properties": {"a": {"properties": {"0": SUM}}}})
    base, changed, other = side({"0": 1}, 1), side({"0": 2}, 2), side(instead, 3)
    for ours, theirs in ((changed, other), (other, changed)):
        assert merged_states(base, ours, theirs, rules)[1] == (Clash(("a",), "container"),)


def test_maps_that_both_sides_added_follow_the_rules_of_their_fields() -> None:
    inner = {"properties": {"n": SUM, "s": {"x-asg-merge": "union"}, "h": {"x-asg-merge": "manual"}}}
    rules = Rules.of({"properties": {"a": {"properties": {"in": inner}}}})
    ours = side({"in": {"n": 2, "s": [1], "x": 1, "h": 1}}, 2)
    theirs = side({"in": {"n": 2, "s": [2], "y": 1, "h": 2}}, 3)
    state, clashes = merged_states(side(GONE, 1), ours, theirs, rules)
    assert document_of(state)["a"] == {"in": {"n": 4, "s": [1, 2], "x": 1, "y": 1, "h": 1}}
    assert clashes == (Clash(("a", "in", "h"), "manual"),)


def test_the_schema_itself_is_merged_without_rules() -> None:
    rules = Rules.of({"additionalProperties": {"x-asg-merge": "manual"}})
    base, ours, theirs = (
        state_of({"__schema__": {"type": "object", **more}}) for more in ({}, {"title": "t"}, {"$comment": "c"})
    )
    state, clashes = merged_states(base, ours, theirs, rules)
    assert (document_of(state), clashes) == ({"__schema__": {"type": "object", "title": "t", "$comment": "c"}}, ())
