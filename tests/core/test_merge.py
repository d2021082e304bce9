"""Three-way merge: its laws, and what a person would expect of small documents."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from asg_mcp.core.edits import apply_operation
from asg_mcp.core.merge import Clash, merge
from asg_mcp.core.mergerules import NO_RULES, Rules
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.core.state import State
from asg_mcp.core.values import encode
from tests.core.test_diff import changed, random_document
from tests.core.trees import document_of, edit, state_of


def merged(base: Any, ours: Any, theirs: Any) -> tuple[Any, set[tuple[str, str]]]:
    """The document that a merge gives, and its clashes as (path, rule)."""
    state, clashes = merged_states(state_of(base), state_of(ours), state_of(theirs))
    return document_of(state), {(format_path(clash.tokens), clash.rule) for clash in clashes}


def merged_states(
    base: State, ours: State, theirs: State, rules: Rules = NO_RULES, *, manual: bool = False
) -> tuple[State, tuple[Clash, ...]]:
    outcome = merge(base, ours, theirs, rules, manual=manual)
    state = ours
    for operation in outcome.operations:
        state = apply_operation(state, operation, 9).state
    return state, outcome.clashes


# --- laws -----------------------------------------------------------------------


def triples(seed: int, count: int) -> Any:
    rng = random.Random(seed)
    for _ in range(count):
        base = random_document(rng)
        yield base, changed(rng, base), changed(rng, base)


@pytest.mark.parametrize("seed", range(10))
def test_a_side_that_changed_nothing_takes_the_other(seed: int) -> None:
    for base, side, _ in triples(seed, 25):
        b, x = state_of(base), state_of(side)
        for ours, theirs in ((b, x), (x, b), (x, x)):
            state, clashes = merged_states(b, ours, theirs)
            assert (state.tree.id, clashes) == (x.tree.id, ())


@pytest.mark.parametrize("seed", range(10))
def test_swapping_the_sides_changes_nothing(seed: int) -> None:
    clean = 0
    for base, ours, theirs in triples(1_000 + seed, 60):
        left, right = merged(base, ours, theirs), merged(base, theirs, ours)
        assert left[1] == right[1], (base, ours, theirs)
        if not left[1]:
            clean += 1
            assert encode(left[0]) == encode(right[0])
    assert clean > 5


@pytest.mark.parametrize("seed", range(10))
def test_changes_of_different_keys_all_come_through(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        base: dict[str, Any] = {"mine": random_document(rng), "yours": random_document(rng), "still": 1}
        ours, theirs = copy.deepcopy(base), copy.deepcopy(base)
        ours["mine"] = changed(rng, base["mine"])
        theirs["yours"] = changed(rng, base["yours"])
        document, clashes = merged(base, ours, theirs)
        assert clashes == set()
        assert encode(document) == encode({**base, "mine": ours["mine"], "yours": theirs["yours"]})


# --- maps and scalars -------------------------------------------------------------

GONE = object()


def side(value: Any) -> dict[str, Any]:
    """A document with this value at /a, or without it."""
    return {"k": 1} if value is GONE else {"k": 1, "a": value}


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result"),
    [
        (1, 2, 1, 2),
        (1, GONE, 1, GONE),
        (1, GONE, GONE, GONE),
        (GONE, 1, GONE, 1),
        (GONE, 1, 1, 1),
        ({"x": 1, "y": 1}, {"x": 2, "y": 1}, {"x": 1, "y": 2}, {"x": 2, "y": 2}),
        ({"x": 1}, {}, {"x": 1, "y": 1}, {"y": 1}),
        ({"x": {"y": 1}}, {"x": {"y": 1, "m": 1}}, {"x": {"y": 1, "n": 2}}, {"x": {"y": 1, "m": 1, "n": 2}}),
        (GONE, {"x": 1}, {"y": 2}, {"x": 1, "y": 2}),
        (GONE, {"n": {"x": 1}}, {"n": {"y": [2]}}, {"n": {"x": 1, "y": [2]}}),
        (GONE, {}, {"y": 2}, {"y": 2}),
        (1, {"x": 1}, {"x": 1}, {"x": 1}),
    ],
)
def test_what_does_not_contradict_is_merged(base: Any, ours: Any, theirs: Any, result: Any) -> None:
    assert merged(side(base), side(ours), side(theirs)) == (side(result), set())
    assert merged(side(base), side(theirs), side(ours)) == (side(result), set())


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "path", "rule"),
    [
        (1, 2, 3, "/a", "scalar"),
        (1, 1.0, True, "/a", "scalar"),
        (1, GONE, 2, "/a", "scalar"),
        (GONE, 1, 2, "/a", "scalar"),
        ({"x": 1}, GONE, {"x": 2}, "/a", "container"),
        ({"x": 1}, GONE, {}, "/a", "container"),
        ({"x": {"y": 1}}, GONE, {"x": {"y": 2}}, "/a", "container"),
        ({"x": {"y": 1}}, {}, {"x": {"y": 2}}, "/a/x", "container"),
        ({"x": {"y": 1}}, 7, {"x": {"y": 2}}, "/a", "container"),
        ({"x": {"y": 1}}, [], {"x": {"y": 2}}, "/a", "container"),
        ({"0": {"y": 1}}, [{"y": 1}], {"0": {"y": 2}}, "/a", "container"),
        ({"0": {"y": 1}}, [{"y": 3}], {"0": {"y": 2}}, "/a", "container"),
        ({"0": {"y": 1}}, [{}], {"0": {"y": 2}}, "/a", "container"),
        (1, {"x": 1}, 2, "/a", "container"),
        (5, {"x": 1}, {"y": 2}, "/a", "container"),
        (1, {"x": 1}, [1], "/a", "container"),
        (GONE, {"x": 1}, 2, "/a", "container"),
        (GONE, {"x": 1}, {"x": 2}, "/a/x", "scalar"),
        (GONE, {"x": {"y": 1}}, {"x": 2}, "/a/x", "container"),
        ([1], GONE, [1, 2], "/a", "container"),
        ([1], {"x": 1}, [1, 2], "/a", "container"),
    ],
)
def test_what_contradicts_is_a_conflict_where_somebody_has_to_choose(
    base: Any, ours: Any, theirs: Any, path: str, rule: str
) -> None:
    document, clashes = merged(side(base), side(ours), side(theirs))
    assert clashes == {(path, rule)}
    assert document["k"] == 1
    assert merged(side(base), side(theirs), side(ours))[1] == clashes


def test_several_changes_below_one_removed_container_are_one_conflict() -> None:
    base = {"a": {"x": 1, "y": 1, "z": 1}}
    assert merged(base, {}, {"a": {"x": 2, "y": 2}})[1] == {("/a", "container")}


def test_what_does_not_clash_is_merged_beside_what_does() -> None:
    document, clashes = merged({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 3, "b": 5, "c": 6})
    assert (document, clashes) == ({"a": 2, "b": 5, "c": 6}, {("/a", "scalar")})


# --- lists --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "result"),
    [
        ("abc", "xabc", "abcy", "xabcy"),
        ("abc", "bc", "ab", "b"),
        ("abc", "axc", "abcy", "axcy"),
        ("abcdef", "abxcdef", "abcdyef", "abxcdyef"),
        ("abc", "abcx", "abcx", "abcx"),
        ("abc", "ac", "ac", "ac"),
        ("abc", "", "abc", ""),
        ("abcdef", "cdef", "abcd", "cd"),
        ("ab", "xb", "ay", "xy"),
    ],
)
def test_lists_are_merged_as_sequences(base: str, ours: str, theirs: str, result: str) -> None:
    lists = [{"l": [*text]} for text in (base, ours, theirs)]
    assert merged(*lists) == ({"l": [*result]}, set())
    assert merged(lists[0], lists[2], lists[1]) == ({"l": [*result]}, set())


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [("abc", "axc", "ayc"), ("abc", "abcx", "abcy"), ("abc", "ac", "axc"), ("", "x", "y"), ("ab", "xyb", "zb")],
)
def test_changes_of_a_list_that_overlap_are_one_conflict_at_the_list(base: str, ours: str, theirs: str) -> None:
    lists = [{"l": [*text]} for text in (base, ours, theirs)]
    assert merged(*lists)[1] == {("/l", "list")}
    assert merged(lists[0], lists[2], lists[1])[1] == {("/l", "list")}


def test_maps_in_a_list_are_merged_field_by_field_in_their_places() -> None:
    def doc(*items: Any) -> Any:
        return {"l": list(items)}

    base, ours, theirs = doc({"x": 1, "y": 1}, 5), doc({"x": 2, "y": 1}, 5), doc({"x": 1, "y": 2, "z": 3}, 5)
    assert merged(base, ours, theirs) == (doc({"x": 2, "y": 2, "z": 3}, 5), set())
    assert merged(base, theirs, ours) == (doc({"x": 2, "y": 2, "z": 3}, 5), set())
    assert merged(base, ours, doc({"x": 3, "y": 1}, 5))[1] == {("/l", "list")}
    gone = doc({"y": 1}, 5)
    assert merged(base, gone, doc({"x": 1, "y": 2}, 5)) == (doc({"y": 2}, 5), set())
    assert merged(base, gone, ours)[1] == {("/l", "list")}


def test_lists_and_maps_inside_a_list_are_merged_as_they_are_outside() -> None:
    def doc(value: Any) -> Any:
        return {"l": [{"in": value}, 5]}

    assert merged(doc([1, 2]), doc([0, 1, 2]), doc([1, 2, 3])) == (doc([0, 1, 2, 3]), set())
    assert merged(doc(1), doc([1]), doc([1, 2]))[1] == {("/l", "list")}
    new = [{"l": [{"k": 1, **more}]} for more in ({}, {"m": {"x": 1}}, {"m": {"y": 2}}, {"m": {"x": 1, "y": 2}})]
    assert merged(new[0], new[1], new[2]) == (new[3], set())


def test_a_key_that_looks_like_an_index_is_not_taken_for_one_in_an_element_that_became_a_list() -> None:
    base = state_of({"l": [{"0": 1}]})
    ours, theirs = edit(base, "set", "/l/0", [1]).state, edit(base, "set", "/l/0/0", 2, origin=3).state
    for left, right in ((ours, theirs), (theirs, ours)):
        state, clashes = merged_states(base, left, right)
        assert (state.tree.id, clashes) == (left.tree.id, (Clash(("l",), "list"),))


def test_elements_are_not_taken_for_those_in_their_places_where_one_side_shifted_them() -> None:
    base = state_of({"l": [{"k": 1}, {"k": 2}, {"k": 3}]})
    shifted = edit(edit(base, "delete", "/l/0").state, "append", "/l", {"k": 4}).state
    changed_one = edit(base, "set", "/l/1/n", 5, origin=3).state
    for ours, theirs in ((shifted, changed_one), (changed_one, shifted)):
        assert merged_states(base, ours, theirs) == (ours, (Clash(("l",), "list"),))


def test_equal_elements_do_not_confuse_the_merge() -> None:
    assert merged({"l": [0, 0, 0]}, {"l": [0, 0, 0, 0]}, {"l": [0, 0, 0]}) == ({"l": [0] * 4}, set())
    assert merged({"l": [1, True, 1.0]}, {"l": [1, True, 1.0, 2]}, {"l": [1, True, 1.0]})[0] == {"l": [1, True, 1.0, 2]}


@pytest.mark.parametrize("seed", range(40))
def test_a_list_without_insertions_is_merged_in_place_as_it_would_be_as_a_sequence(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The short cut for lists whose elements stand for each other gives what the long way gives, with distinct ids."""
    rng = random.Random(seed)
    length = rng.choice([1, 3, 40])
    items = [{"id": number, "a": 0, "b": {"c": 0, "l": [1, 2, 3]}} for number in range(length)]
    base = state_of({"x": {"l": items}, "y": 1})

    def edited(origin: int) -> State:
        state = base
        for _ in range(rng.randint(1, 4)):
            field = rng.choice(["a", "b/c", "b/l/1", "new"])
            path = f"/x/l/{rng.randrange(length)}/{field}"
            told = Operation(Op.SET, parse_path(path), rng.randint(1, 3))
            state = apply_operation(state, told, origin).state
        return state

    ours, theirs = edited(2), edited(3)
    state, clashes = merged_states(base, ours, theirs)
    other, other_clashes = merged_states(base, theirs, ours)
    monkeypatch.setattr("asg_mcp.core.merge._Merge._in_place", lambda *_: None)
    long_way, long_clashes = merged_states(base, ours, theirs)
    assert bool(clashes) == bool(other_clashes)
    assert {clash.tokens for clash in clashes} <= {("x", "l")}
    if not clashes:
        assert state.tree.id == other.tree.id
        assert (state.tree.id, long_clashes) == (long_way.tree.id, ())


# --- the schema's version, and the strategy without compromises ---------------------


@pytest.mark.parametrize(
    ("base", "ours", "theirs"),
    [
        ({"schema_version": 1}, {"schema_version": 2}, {"schema_version": 3}),
        ({"schema_version": 1}, {"schema_version": 2}, {"schema_version": 1, "note": "n"}),
        ({"schema_version": 1}, GONE, {"schema_version": 3}),
        (GONE, {"schema_version": 2}, {"note": "n"}),
        ({"steps": [1]}, {"steps": [0, 1]}, {"steps": [1, 2]}),
    ],
)
def test_two_migrations_are_one_conflict_whatever_the_schema_says(base: Any, ours: Any, theirs: Any) -> None:
    rules = Rules.of({"additionalProperties": {"x-asg-merge": "last-writer-wins"}})
    states = [state_of({"k": 1} if value is GONE else {"k": 1, "_meta": value}) for value in (base, ours, theirs)]
    for manual in (False, True):
        for left, right in ((states[1], states[2]), (states[2], states[1])):
            state, clashes = merged_states(states[0], left, right, rules, manual=manual)
            assert clashes == (Clash(("_meta",), "migration"),)
            assert state.tree.id == left.tree.id


def test_a_migration_on_one_side_and_the_same_one_on_both_come_through() -> None:
    before, after = {"_meta": {"schema_version": 1}, "k": 1}, {"_meta": {"schema_version": 2, "by": "m"}, "k": 1}
    for sides in ((before, after), (after, before), (after, after)):
        assert merged(before, *sides) == (after, set())


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "clash"),
    [
        ([1, 2], [0, 1, 2], [1, 2, 3], ("/a", "list")),
        ([{"x": 1, "y": 1}], [{"x": 2, "y": 1}], [{"x": 1, "y": 2}], ("/a", "list")),
        (1, 2, 3, ("/a", "scalar")),
        ({"x": 1, "y": 1}, {"x": 2, "y": 1}, {"x": 3, "y": 2}, ("/a/x", "scalar")),
        (GONE, {"x": 1}, {"x": 2, "y": 2}, ("/a/x", "scalar")),
    ],
)
def test_the_manual_strategy_settles_nothing_that_both_changed_but_keys_of_maps(
    base: Any, ours: Any, theirs: Any, clash: tuple[str, str]
) -> None:
    states = [state_of(side(value)) for value in (base, ours, theirs)]
    rules = Rules.of({"properties": {"a": {"x-asg-merge": "last-writer-wins"}}})
    for left, right in ((states[1], states[2]), (states[2], states[1])):
        clashes = merged_states(states[0], left, right, rules, manual=True)[1]
        assert {(format_path(found.tokens), found.rule) for found in clashes} == {clash}


def test_the_manual_strategy_settles_what_both_did_alike_in_their_places() -> None:
    base = state_of({"l": [{"x": 1}, {"x": 1}]})
    ours, theirs = edit(base, "set", "/l/0/x", 2).state, edit(base, "set", "/l/0/x", 2, origin=3).state
    assert merged_states(base, ours, theirs, manual=True) == (ours, ())
    theirs = edit(theirs, "set", "/l/1/x", 2, origin=3).state
    assert merged_states(base, ours, theirs, manual=True)[1] == (Clash(("l",), "list"),)
