"""Writes judged by the schema that the state keeps for itself."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from jsonschema import Draft202012Validator

from asg_mcp.core.commitments import ValueIdMaker
from asg_mcp.core.edits import apply_operation
from asg_mcp.core.flat import flatten
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.limits import COUNT_AHEAD_MAX, VIOLATIONS_SHOWN_MAX
from asg_mcp.core.nodes import MAP, SCALAR, Blob, Entry
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import format_path, map_segment
from asg_mcp.core.state import State
from asg_mcp.errors import AsgError, InvalidValue, LimitExceeded, SchemaViolation, WrongType
from asg_mcp.repo import schemarun, validation
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import MergeRequest, PromoteRequest
from asg_mcp.repo.results import SchemaWarning
from asg_mcp.repo.validation import SCHEMAS_KEPT_MAX, check_against_schema
from asg_mcp.tools import pack
from tests.core.trees import HASHER, state_of, tree_of
from tests.repo.desk import Desk, open_desk, ops
from tests.repo.schemas_at_random import changed, document, schema, value
from tests.repo.stores import ALICE

Doc = dict[str, Any]
TYPED: Doc = {"properties": {"n": {"type": "integer"}, "s": {"type": "string"}}}
WHY = Intent(Category.MERGE, "Together.")


@pytest_asyncio.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as made:
        yield made


def judged(rules: Doc, before: Doc, after: Doc, mode: str = "warn") -> list[tuple[str, str]]:
    """The warnings about a write, as (path, message)."""
    kept = {"__schema__": {**rules, "x-asg-validate": mode}}
    found = check_against_schema(state_of({**before, **kept}), state_of({**after, **kept}), [()])
    return [(format_path(item.path), item.message) for item in found]


def allowed(rules: Doc, before: Doc, after: Doc) -> bool:
    return not judged(rules, before, after)


# --- against the library, on the whole document -------------------------------------


def test_the_verdict_on_a_change_is_that_of_the_library_on_the_whole_document() -> None:
    compared, refused = 0, 0
    for seed in range(140):
        rng = random.Random(seed)
        rules = schema(rng)
        library = Draft202012Validator(rules)
        for _ in range(3):
            before = document(rng)
            valid = library.is_valid(before)
            for _ in range(4):
                after = changed(rng, before)
                was_valid, valid = valid, library.is_valid(after)
                if was_valid:
                    assert allowed(rules, before, after) == valid, (seed, rules, before, after)
                    compared, refused = compared + 1, refused + (not valid)
                before = after
    assert compared > 700
    assert refused > 25


LISTS: list[Doc] = [
    {"items": {"type": "integer"}},
    {"prefixItems": [{"type": "string"}, {"type": "integer"}], "items": {"type": ["integer", "object"]}},
    {"prefixItems": [{}, {"type": "integer"}, {"type": ["integer", "object"]}]},
    {"prefixItems": [{}, {}], "items": {"minimum": 3, "properties": {"k": {"type": "integer"}}}},
    {"minItems": 60, "maxItems": 80, "items": {"type": ["integer", "object"]}},
    {"prefixItems": [{"type": "integer"}] * 30, "items": {"minimum": 0, "maximum": 8}},
]


def changed_list(rng: random.Random, items: list[Any]) -> list[Any]:
    items = list(items)
    for _ in range(rng.choice([1, 1, 2, 4])):
        index = rng.choice([rng.randrange(len(items)), rng.randrange(4)])
        kind = rng.random()
        new = rng.choice([rng.randint(0, 9), rng.randint(0, 9), {"k": rng.choice([1, "x"])}, "text"])
        if kind < 0.3:
            items.insert(index, new)
        elif kind < 0.6:
            del items[index]
        elif kind < 0.8:
            items[index] = new
        else:
            items.insert(index, items.pop(rng.randrange(len(items))))
    return items


def test_the_verdict_on_a_change_of_a_long_list_is_that_of_the_library() -> None:
    compared, refused = 0, 0
    for seed in range(180):
        rng = random.Random(seed)
        rules = {"properties": {"l": rng.choice(LISTS)}}
        library = Draft202012Validator(rules)
        before: list[Any] = [rng.randint(3, 8) for _ in range(rng.choice([62, 70, 150]))]
        if rng.random() < 0.5:
            before[0] = "text"
        valid = library.is_valid({"l": before})
        for _ in range(4):
            after = changed_list(rng, before)
            was_valid, valid = valid, library.is_valid({"l": after})
            if was_valid:
                assert allowed(rules, {"l": before}, {"l": after}) == valid, (seed, rules, before, after)
                compared, refused = compared + 1, refused + (not valid)
            before = after
    assert compared > 300
    assert refused > 50


def test_the_paths_of_operations_lead_to_everything_that_they_changed() -> None:
    told = 0
    for seed in range(180):
        rng = random.Random(seed)
        rules = {**schema(rng), "x-asg-validate": "warn"}
        before = state_of({**document(rng), "l": [value(rng, 1) for _ in range(3)], "__schema__": rules})
        after, paths = before, []
        for _ in range(rng.randint(1, 6)):
            try:
                operation = _operation(rng)
                after = apply_operation(after, operation, 2).state
            except AsgError:
                continue
            paths += [operation.path, *([operation.source] if operation.source else [])]
        found = check_against_schema(before, after, paths)
        assert found == check_against_schema(before, after, [()]), (seed, paths)
        told += bool(found)
    assert told > 20


def _operation(rng: random.Random) -> Operation:
    def path() -> tuple[str, ...]:
        return tuple(rng.choice(["a", "b", "l", "l", "0", "1", "-"]) for _ in range(rng.randint(1, 3)))

    kind = rng.choice([Op.SET, Op.SET, Op.DELETE, Op.APPEND, Op.INSERT, Op.MOVE])
    if kind in (Op.DELETE, Op.MOVE):
        return Operation(kind, path(), source=path() if kind is Op.MOVE else None)
    return Operation(kind, path(), value(rng, 1))


# --- what a write costs ---------------------------------------------------------------


def test_a_write_is_judged_by_what_it_changed_however_large_the_state_is(monkeypatch: pytest.MonkeyPatch) -> None:
    rules: Doc = {
        "type": "object",
        "additionalProperties": {
            "required": ["k1"],
            "minItems": 1,
            "additionalProperties": {"type": "integer"},
            "prefixItems": [{"type": "integer"}],
            "items": {"type": "integer"},
        },
    }
    large: Doc = {"map": {f"k{n}": n for n in range(5_000)}, "list": list(range(5_000))}
    judged(rules, large, large)
    monkeypatch.setattr(schemarun, "VALIDATION_ENTRIES_MAX", 4)
    monkeypatch.setattr(schemarun, "VALIDATION_STEPS_MAX", 40)

    def told(part: str, given: Any) -> list[tuple[str, str]]:
        return judged(rules, large, {**large, part: given}, "warn")

    numbers, keys = large["list"], large["map"]
    assert told("map", {**keys, "k7": "x"}) == [("/map/k7", "'x' is not of type 'integer'")]
    assert told("map", {**keys, "new": 1}) == []
    assert told("map", {name: n for name, n in keys.items() if n != 1}) == [("/map", "'k1' is a required property")]
    assert told("list", [*numbers[:2_000], "x", *numbers[2_000:]]) == [("/list/2000", "'x' is not of type 'integer'")]
    assert told("list", [*numbers[:2_000], *numbers[2_001:]]) == []
    assert told("list", ["x", *numbers]) == [("/list/0", "'x' is not of type 'integer'")]
    assert told("list", [*numbers, "x"]) == [("/list/5000", "'x' is not of type 'integer'")]
    assert told("list", numbers[:-1]) == []
    assert told("list", [*numbers[:70], "x", *numbers[71:]]) == [("/list/70", "'x' is not of type 'integer'")]


def test_a_value_that_is_judged_as_a_whole_is_bounded_by_a_limit_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rules = {"properties": {"set": {"uniqueItems": True}}}
    before, after = {"set": list(range(50)), "n": 1}, {"set": [*range(50), 77], "n": 1}
    monkeypatch.setattr(schemarun, "VALIDATION_ENTRIES_MAX", 40)
    with pytest.raises(LimitExceeded) as refused:
        judged(rules, before, after, "enforce")
    assert refused.value.details["limit"] == "VALIDATION_ENTRIES_MAX"
    assert "uniqueItems" in refused.value.hint
    [(path, message)] = judged(rules, before, after, "warn")
    assert (path, message[:25]) == ("/", "Not validated to the end:")
    assert judged(rules, before, {**before, "n": 2}, "enforce") == []


@pytest.mark.parametrize(
    ("rules", "before", "after", "told"),
    [
        ({"required": ["a"]}, {"a": 1}, {}, "'a' is a required property"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1, "b": 1}, {"a": 1}, "'b' is a dependency of 'a'"),
        ({"dependentRequired": {"a": ["b"]}}, {"c": 1}, {"c": 1, "a": 1}, "'b' is a dependency of 'a'"),
        ({"minProperties": 2}, {"a": 1, "b": 1}, {"a": 1}, "it has fewer than 2 keys"),
        ({"maxProperties": 1}, {"a": 1}, {"a": 1, "b": 1}, "it has more than 1 keys"),
        ({"propertyNames": {"maxLength": 1}}, {"a": 1}, {"a": 1, "bb": 1}, "the key 'bb': 'bb' is too long"),
        ({"additionalProperties": False, "properties": {"a": {}}}, {"a": 1}, {"a": 1, "b": 1}, "'b' is not allowed"),
        ({"minItems": 2}, [1, 2], [1], "it has 1 elements, fewer than 2"),
        ({"maxItems": 2}, [1, 2], [1, 2, 3], "it has 3 elements, more than 2"),
    ],
)
def test_keys_and_elements_that_come_or_go_are_judged_by_what_is_left(
    rules: Doc, before: Any, after: Any, told: str
) -> None:
    [(_, message)] = judged({"properties": {"m": rules}}, {"m": before}, {"m": after})
    assert told in message
    assert judged({"properties": {"m": rules}}, {"m": after}, {"m": before}) == []


def test_elements_that_shift_are_judged_by_the_subschema_of_their_new_place() -> None:
    rules = {"properties": {"l": {"prefixItems": [{"type": "string"}, {"type": "integer"}]}}}
    before = ["a", 1, "b", *range(3, 90)]
    for after, paths in [
        (before[1:], ["/l/0", "/l/1"]),
        (["new", *before], ["/l/1"]),
        (["new", *before, "more"], ["/l/1"]),
        (["a", *before[2:]], ["/l/1"]),
    ]:
        assert [path for path, _ in judged(rules, {"l": before}, {"l": after})] == paths


def test_an_element_that_shifts_and_changes_is_judged_by_its_change() -> None:
    rules = {"properties": {"l": {"items": {"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}}}}}
    before: Doc = {"l": [5, {"a": "old", "b": 1}, 7, 8]}
    assert judged(rules, before, {"l": [0, 5, {"a": "old", "b": 2}, 7, 8, 9]}) == []
    assert [path for path, _ in judged(rules, before, {"l": [0, 5, {"a": "old", "b": "x"}, 7, 8, 9]})] == ["/l/2/b"]


# --- whose fault it is -------------------------------------------------------------------


@pytest.mark.parametrize(
    "rules",
    [
        {"properties": {"old": {"type": "integer"}, "m": {"required": ["r"], "maxProperties": 3}}},
        {
            "properties": {
                "old": {"type": "integer"},
                "m": {"required": ["r"], "if": True, "then": {"maxProperties": 3}},
            }
        },
        {"properties": {"old": {"type": "integer"}}, "unevaluatedProperties": {"required": ["r"], "maxProperties": 3}},
        {"allOf": [{"$ref": "#/$defs/all"}], "$defs": {"all": {"additionalProperties": {"enum": [{}, 1]}}}},
    ],
)
def test_what_was_wrong_before_elsewhere_is_not_held_against_a_write(rules: Doc) -> None:
    before: Doc = {"old": "text", "m": {"a": 1}, "n": 1}
    if "allOf" not in rules:
        assert judged(rules, before, {**before, "m": {"a": 1, "b": 2}}) == []
        assert judged(rules, before, {**before, "m": {"a": 1, "b": 2, "c": 3, "d": 4}}) != []
    assert judged(rules, before, {**before, "n": {}}) == ([] if "unevaluatedProperties" not in rules else _lacks_r())
    assert judged(rules, before, {**before, "old": "another text"}) != []


def _lacks_r() -> list[tuple[str, str]]:
    return [("/n", "'r' is a required property")]


def test_the_schema_and_what_has_tools_of_its_own_are_not_judged() -> None:
    rules: Doc = {"properties": {"a": {}}, "additionalProperties": False, "maxProperties": 1, "minProperties": 1}
    before: Doc = {"a": 1}
    after: Doc = {**before, "plans": {"p": 1}, "_meta": {"schema_version": 2}}
    assert judged(rules, before, after) == []
    assert judged({**rules, "anyOf": [{}]}, before, after) == []
    assert judged(rules, after, {"plans": {}}) == [("/", "it has fewer than 1 keys")]
    assert judged({**rules, "dependentRequired": {"a": ["plans"]}}, {}, after) == [
        ("/", "'plans' is a dependency of 'a'")
    ]


def test_what_was_erased_is_not_judged_and_stops_nobody() -> None:
    rules = {"properties": {"m": {"anyOf": [{"required": ["k"]}]}}}
    entries = [entry for entry in flatten({"__schema__": rules, "n": 1}, "", 1, HASHER) if entry.key]
    erased = Entry(map_segment("m") + map_segment("a"), SCALAR, Blob(ValueIdMaker(bytes(32)).of("secret"), 0), 1)
    rest = [erased, Entry(map_segment("m"), MAP, None, 1), *entries]

    def state(*more: Entry) -> State:
        return State(tree_of([Entry("", MAP, None, 1), *sorted([*rest, *more], key=lambda entry: entry.key)]))

    assert check_against_schema(state(), state(Entry(map_segment("m") + map_segment("b"), SCALAR, 1, 1)), [()]) == ()


# --- a schema in the way ---------------------------------------------------------------------


def test_a_schema_that_was_kept_before_it_was_looked_at_blocks_nobody() -> None:
    unusable = {"__schema__": {"type": "strin"}}
    [told] = check_against_schema(state_of(unusable), state_of({**unusable, "a": 1}), [("a",)])
    assert told.path == ("__schema__",)
    assert "Nothing is validated" in told.message
    with pytest.raises(InvalidValue):
        check_against_schema(state_of({}), state_of(unusable), [("__schema__", "type")])
    assert check_against_schema(state_of(unusable), state_of({"a": 1}), [()]) == ()


def test_a_few_compiled_schemas_are_kept_and_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(SCHEMAS_KEPT_MAX + 5):
        judged({"title": f"Number {number}"}, {}, {"a": 1})
    assert len(validation._KEPT._schemas) == SCHEMAS_KEPT_MAX
    monkeypatch.setattr(validation, "load_schema", None)
    assert judged({"title": f"Number {SCHEMAS_KEPT_MAX + 4}"}, {}, {"a": 1}) == []


# --- through the repository --------------------------------------------------------------------


async def test_enforce_refuses_a_write_with_what_is_wrong_and_writes_nothing(desk: Desk) -> None:
    await desk.set("/__schema__", {**TYPED, "x-asg-validate": "enforce"})
    await desk.set("/n", 1)
    head = await desk.head()
    with pytest.raises(SchemaViolation) as refused:
        await desk.apply(("set", "/s", "fine"), ("set", "/n", "one"))
    assert refused.value.code == "schema_violation"
    assert refused.value.message == "/n would break the schema: 'one' is not of type 'integer'"
    assert refused.value.details["path"] == "/n"
    assert refused.value.details["schema_path"] == "/__schema__/properties/n/type"
    assert "/__schema__/properties/n/type" in refused.value.hint
    assert (await desk.head()).id == head.id
    assert await desk.value("/n") == 1


async def test_warn_is_the_default_and_tells_what_is_wrong_with_the_commit_made(desk: Desk) -> None:
    await desk.set("/__schema__", TYPED)
    done = await desk.set("/n", "one", request_id="again")
    assert done.changed == 1
    assert done.warnings == (SchemaWarning(("n",), "'one' is not of type 'integer'"),)
    assert await desk.value("/n") == "one"
    again = await desk.set("/n", "one", request_id="again")
    assert again.replayed
    assert again.warnings == done.warnings
    assert (await desk.set("/s", "fine")).warnings == ()


async def test_a_reply_names_some_warnings_and_counts_the_others(desk: Desk) -> None:
    await desk.set("/__schema__", {"additionalProperties": {"type": "string"}})
    done = await desk.apply(*[("set", f"/k{number:03}", number) for number in range(COUNT_AHEAD_MAX + 20)])
    assert len(done.warnings) == COUNT_AHEAD_MAX
    shown = pack.written(done)
    assert len(shown["warnings"]) == VIOLATIONS_SHOWN_MAX
    assert shown["warnings"][0] == {"path": "/k000", "message": "0 is not of type 'string'"}
    assert shown["warnings_omitted"] == COUNT_AHEAD_MAX - VIOLATIONS_SHOWN_MAX
    assert "warnings" not in pack.written(await desk.set("/k000", "fine"))


async def test_none_looks_at_nothing(desk: Desk) -> None:
    await desk.set("/__schema__", {**TYPED, "x-asg-validate": "none"})
    assert (await desk.set("/n", "one")).warnings == ()


async def test_a_schema_is_enforced_only_on_a_state_that_is_as_it_says(desk: Desk) -> None:
    await desk.set("/n", "one")
    assert [item.path for item in (await desk.set("/__schema__", TYPED)).warnings] == [("n",)]
    with pytest.raises(SchemaViolation) as refused:
        await desk.set("/__schema__/x-asg-validate", "enforce")
    assert refused.value.hint.startswith("Mend /n in the same write")
    await desk.apply(("set", "/__schema__/x-asg-validate", "enforce"), ("set", "/n", 1))
    await desk.apply(("delete", "/__schema__"), ("set", "/n", "one"))


async def test_a_write_below_the_schema_must_leave_a_valid_one(desk: Desk) -> None:
    await desk.set("/__schema__", {**TYPED, "x-asg-validate": "none"})
    for told in [("set", "/__schema__/properties/n/type", "strin"), ("append", "/__schema__/properties", {})]:
        with pytest.raises((InvalidValue, WrongType)):
            await desk.apply(told)
    with pytest.raises(InvalidValue) as refused:
        await desk.set("/__schema__/properties/n/pattern", "(?!x)")
    assert refused.value.details["path"] == "/__schema__/properties/n/pattern"
    assert await desk.value("/__schema__/properties/n") == {"type": "integer"}


async def test_a_moved_value_is_judged_where_it_arrives_and_missed_where_it_was(desk: Desk) -> None:
    rules = {"properties": {"n": {"type": "integer"}, "m": {"required": ["k"]}}, "x-asg-validate": "enforce"}
    await desk.apply(("set", "/__schema__", rules), ("set", "/free", "text"), ("set", "/m", {"k": 1}))
    with pytest.raises(SchemaViolation, match="/n would break"):
        await desk.apply(("move", "/n", "/free"))
    with pytest.raises(SchemaViolation, match="/m would break"):
        await desk.apply(("move", "/elsewhere", "/m/k"))


async def test_operations_that_shift_each_others_elements_are_judged_by_what_they_leave(desk: Desk) -> None:
    rules = {"properties": {"l": {"items": {"type": "integer"}}}, "x-asg-validate": "enforce"}
    await desk.apply(("set", "/__schema__", rules), ("set", "/l", [1, 2, 3]))
    with pytest.raises(SchemaViolation, match="/l/3 would break"):
        await desk.apply(("set", "/l/2", "x"), ("insert", "/l/0", 0))
    await desk.apply(("set", "/l/2", "x"), ("insert", "/l/0", 0), ("delete", "/l/3"))
    await desk.set("/l", [1, 1, 1])
    with pytest.raises(SchemaViolation, match="/l/3 would break"):
        await desk.apply(("set", "/l/2", "x"), ("insert", "/l/0", 1))


async def test_every_way_to_a_commit_is_judged(desk: Desk) -> None:
    await desk.set("/n", "one")
    early = (await desk.head()).id
    await desk.set("/n", 1)
    await desk.branch("side")
    await desk.set("/n", "side", ref="side")
    handle = (await desk.repo.speculations.open("main", "", ALICE)).handle
    await desk.repo.speculations.modify(handle, ops(("set", "/n", "spec")), ALICE)
    head = await desk.set("/__schema__", {**TYPED, "x-asg-validate": "enforce"})
    with pytest.raises(SchemaViolation):
        await desk.revert(path="/n", source=early.hex())
    with pytest.raises(SchemaViolation):
        await desk.repo.merge(MergeRequest("side"), WHY, ALICE, Guard())
    with pytest.raises(SchemaViolation):
        await desk.repo.speculations.commit(PromoteRequest(handle), WHY, ALICE, Guard())
    assert (await desk.head()).id == head.commit
