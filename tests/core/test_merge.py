"""Three-way merge: its laws, and what a person would expect of small documents."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from asg_mcp.core.edits import apply_operation
from asg_mcp.core.merge import Clash, merge
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.core.state import State
from asg_mcp.core.values import encode
from tests.core.test_diff import changed, random_document
from tests.core.trees import document_of, state_of


def merged(base: Any, ours: Any, theirs: Any) -> tuple[Any, set[tuple[str, str]]]:
    """The document that a merge gives, and its clashes as (path, rule)."""
    state, clashes = merged_states(*map(state_of, (base, ours, theirs)))
    return document_of(state), {(format_path(clash.tokens), clash.rule) for clash in clashes}


def merged_states(base: State, ours: State, theirs: State) -> tuple[State, tuple[Clash, ...]]:
    outcome = merge(base, ours, theirs)
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
    monkeypatch.setattr("asg_mcp.core.merge._in_place", lambda *_: None)
    long_way, long_clashes = merged_states(base, ours, theirs)
    assert bool(clashes) == bool(other_clashes)
    assert {clash.tokens for clash in clashes} <= {("x", "l")}
    if not clashes:
        assert state.tree.id == other.tree.id
        assert (state.tree.id, long_clashes) == (long_way.tree.id, ())
