"""Origins after a merge: what theirs has too is theirs, what the merge made itself is its own."""

from __future__ import annotations

import random
from typing import Any

import pytest

from asg_mcp.core.adopt import adopt
from asg_mcp.core.edits import apply_operation
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree
from tests.core.trees import state_of
from tests.model import oracle
from tests.model.graph_model import merged_cell
from tests.model.oracle import Cell, plant
from tests.model.test_state_model import assert_same

OURS, THEIRS, MERGE = 5, 6, 9


def changed(value: Any, origin: int, *changes: Any) -> State:
    """A state of origin 1 after some paths were set (or deleted, with ...) by one commit."""
    state = state_of(value, origin=1)
    for path, new in changes:
        state = put(state, path, new, origin)
    return state


def put(state: State, path: str, new: Any, origin: int) -> State:
    """The state with a path set, or deleted with ... as its value."""
    tokens = parse_path(path)
    operation = Operation(Op.DELETE, tokens) if new is ... else Operation(Op.SET, tokens, new)
    return apply_operation(state, operation, origin).state


def origins(state: State) -> dict[str, int]:
    """The origin of every key; elements of a list are told apart by their order alone."""
    return {f"{rank} {entry.key.strip(chr(0))}": entry.origin for rank, entry in enumerate(state.tree.entries())}


def of(ours: State, theirs: State, *changes: Any) -> dict[str, int]:
    """The origins after a merge that set these paths of ours."""
    result = ours
    for path, new in changes:
        result = put(result, path, new, MERGE)
    return origins(adopt(ours, theirs, result, MERGE))


def test_a_value_taken_from_theirs_has_the_origin_it_has_there() -> None:
    ours, theirs = changed({"a": 1, "b": 1}, OURS), changed({"a": 1, "b": 1}, THEIRS, ("/a", 2))
    assert of(ours, theirs, ("/a", 2)) == {"0 ": 1, "1 a": THEIRS, "2 b": 1}


def test_a_value_that_theirs_has_not_is_the_merges_own() -> None:
    ours, theirs = changed({"a": 1}, OURS), changed({"a": 1}, THEIRS, ("/a", 2))
    for value in (3, 2.0, "2", {"x": 2}, [2]):
        assert of(ours, theirs, ("/a", value))["1 a"] == MERGE


def test_what_the_merge_did_not_touch_keeps_its_origin_on_our_side() -> None:
    ours, theirs = changed({"a": 1}, OURS, ("/a", 2)), changed({"a": 1}, THEIRS, ("/a", 2))
    assert adopt(ours, theirs, ours, MERGE) is ours
    assert of(ours, theirs) == {"0 ": 1, "1 a": OURS}


@pytest.mark.parametrize(
    ("ours", "theirs", "result", "marker"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, {"a": 1, "b": 2}, THEIRS),
        ({"a": 1, "o": 1}, {"a": 1, "t": 2}, {"a": 1, "o": 1, "t": 2}, THEIRS),
        ({"a": 1, "o": 1}, {"t": 2}, {"o": 1, "t": 2}, THEIRS),
        ({"a": 1, "o": 1}, {"t": 2}, {"o": 1, "t": 2, "own": 3}, MERGE),
        ({"a": 1, "o": 1}, {"a": 1, "t": 2}, {"o": 1, "t": 2}, MERGE),
        ({"a": 1}, 5, {}, MERGE),
        (5, {"c": 1}, {"c": 1}, THEIRS),
        (5, {"c": 1}, {"b": 1, "c": 1}, MERGE),
    ],
)
def test_a_map_is_the_later_sides_unless_the_merge_chose_its_keys(
    ours: Any, theirs: Any, result: Any, marker: int
) -> None:
    base = {"m": {"a": 1}}
    mine, other = changed(base, OURS, ("/m", ours)), changed(base, THEIRS, ("/m", theirs))
    found = put(mine, "/m", result, MERGE)
    assert adopt(mine, other, found, MERGE).spot(("m",)).entry.origin == marker


def test_a_map_that_both_sides_widened_has_the_later_origin_whichever_side_that_is() -> None:
    base: Any = {"m": {"a": 1}}
    mine, other = changed(base, 8, ("/m/o", 1)), changed(base, THEIRS, ("/m/t", 1))
    found = adopt(mine, other, put(mine, "/m/t", 1, MERGE), MERGE)
    assert found.spot(("m",)).entry.origin == 8
    assert found.spot(("m", "t")).entry.origin == THEIRS


def test_elements_of_a_list_keep_the_origin_of_the_side_they_came_from() -> None:
    base: Any = {"l": [1, 2, 3]}
    mine, other = changed(base, OURS, ("/l", [0, 1, 2, 3])), changed(base, THEIRS, ("/l", [1, 2, 3, {"k": [4]}]))
    found = adopt(mine, other, put(mine, "/l", [0, 1, 2, 3, {"k": [4]}], MERGE), MERGE)
    assert [entry.origin for entry in found.tree.entries()] == [1, MERGE, OURS, 1, 1, 1, *[THEIRS] * 3]


def test_a_list_that_is_theirs_to_the_last_element_has_their_marker() -> None:
    base: Any = {"l": [1, 2, 3]}
    other = changed(base, THEIRS, ("/l", [1, 3, 4]))
    found = adopt(changed(base, OURS), other, put(changed(base, OURS), "/l", [1, 3, 4], MERGE), MERGE)
    assert found.spot(("l",)).entry.origin == THEIRS
    assert found.spot(("l", "2")).entry.origin == THEIRS


def test_elements_changed_in_place_on_both_sides_are_matched_by_their_places() -> None:
    base: Any = {"l": [7, 7, 7, {"k": 1}]}
    mine, other = changed(base, OURS, ("/l/0", 8)), changed(base, THEIRS, ("/l/2", 8), ("/l/3/k", 2))
    result = put(put(mine, "/l/2", 8, MERGE), "/l/3/k", 2, MERGE)
    found = adopt(mine, other, result, MERGE)
    assert [entry.origin for entry in found.tree.entries()] == [1, 1, OURS, 1, THEIRS, 1, THEIRS]


def test_a_list_and_a_map_with_keys_like_indexes_are_never_taken_for_each_other() -> None:
    base: Any = {"x": 1}
    mine, other = changed(base, OURS, ("/x", [1])), changed(base, THEIRS, ("/x", {"0": 2}))
    assert of(mine, other, ("/x/0", 2))["2 x\x00\x02"] == MERGE
    mine, other = changed(base, OURS, ("/x", {"0": 1})), changed(base, THEIRS, ("/x", [2]))
    assert of(mine, other, ("/x/0", 2))["2 x\x000"] == MERGE


# --- against a model ------------------------------------------------------------


class Values:
    """Random documents whose list elements are all different, so that there is one way to align them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.fresh = 0

    def new(self, depth: int = 0) -> Any:
        kind = self.rng.random()
        self.fresh += 1
        if depth > 2 or kind < 0.4:
            return self.fresh
        if kind < 0.7:
            return {name: self.new(depth + 1) for name in "abcde" if self.rng.random() < 0.6}
        return [self.new(depth + 1) if self.rng.random() < 0.3 else self.unique() for _ in range(self.rng.randrange(5))]

    def unique(self) -> int:
        self.fresh += 1
        return self.fresh

    def varied(self, value: Any, chance: float = 0.15) -> Any:
        """Much the same: parts changed, gone, new."""
        if self.rng.random() < chance / 3:
            return self.new(1)
        if isinstance(value, dict):
            kept = {name: self.varied(item, chance) for name, item in value.items() if self.rng.random() > chance / 2}
            return {**kept, **({self.rng.choice("abcdefg"): self.new(2)} if self.rng.random() < chance else {})}
        if isinstance(value, list):
            items = [self.varied(item, chance) for item in value if self.rng.random() > chance / 2]
            if self.rng.random() < chance:
                items.insert(self.rng.randint(0, len(items)), self.unique())
            return items
        return self.unique() if self.rng.random() < chance / 2 else value

    def mixed(self, ours: Any, theirs: Any) -> Any:
        """Parts of both and some of neither, as a merge with resolutions may give."""
        if isinstance(ours, dict) and isinstance(theirs, dict):
            out = {}
            for name in sorted({*ours, *theirs}):
                if name in ours and name in theirs:
                    out[name] = self.mixed(ours[name], theirs[name])
                elif self.rng.random() < 0.7:
                    out[name] = ours.get(name, theirs.get(name))
            return out
        return self.varied(self.rng.choice([ours, theirs]), 0.05)


@pytest.mark.parametrize("seed", range(150))
def test_adoption_equals_a_model_that_compares_everything(seed: int) -> None:
    values = Values(seed)
    base = {name: values.new() for name in "abcd"}
    mine, other = values.varied(base, 0.3), values.varied(base, 0.3)
    mine, other = (side if isinstance(side, dict) else base for side in (mine, other))
    cells: list[Cell] = [
        oracle.merged(plant(base, 1), value, number).copy() for value, number in ((mine, 5), (other, 6))
    ]
    ours, theirs = (put(state_of(base, origin=1), "/", value, number) for value, number in ((mine, 5), (other, 6)))
    assert_same(ours, cells[0])
    value = values.mixed(mine, other)
    result = put(ours, "/", value, MERGE)
    found = adopt(ours, theirs, result, MERGE)
    assert_same(found, merged_cell(cells[0], cells[1], value, MERGE))
    assert found.tree.id == result.tree.id
    assert [entry.key for entry in found.tree.entries()] == [entry.key for entry in result.tree.entries()]


# --- cost -------------------------------------------------------------------------


class Counter:
    """Counts the calls of a method, and lets them through."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
        self.calls = 0
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            return original(*args, **kwargs)

        monkeypatch.setattr(owner, name, counted)


def test_what_the_merge_did_not_change_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {f"k{number:05}": number for number in range(20_000)}
    mine, other = changed(base, OURS, ("/k00001", 0)), changed(base, THEIRS, ("/k10000", 0), ("/new", {"a": [1] * 50}))
    result = put(put(mine, "/k10000", 0, MERGE), "/new", {"a": [1] * 50}, MERGE)
    opened = Counter(monkeypatch, Tree, "open")
    found = adopt(mine, other, result, MERGE)
    assert 0 < opened.calls < 800, "the tree has about 900 leaves"
    assert found.spot(("k10000",)).entry.origin == THEIRS
    assert found.root().entry.origin == THEIRS
    assert found.spot(("new", "a", "7")).entry.origin == THEIRS


def test_of_a_long_list_that_nobody_added_to_only_the_changed_elements_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    base: Any = {"l": list(range(20_000))}
    mine, other = changed(base, OURS, ("/l/5", "o")), changed(base, THEIRS, ("/l/9000", "t"), ("/l/9001", {"k": 1}))
    result = put(put(mine, "/l/9000", "t", MERGE), "/l/9001", {"k": 1}, MERGE)
    opened = Counter(monkeypatch, Tree, "open")
    found = adopt(mine, other, result, MERGE)
    assert 0 < opened.calls < 800, "the tree has about 900 leaves"
    assert [found.spot(("l", index)).entry.origin for index in ("5", "8999", "9000", "9001")] == [
        OURS,
        1,
        THEIRS,
        THEIRS,
    ]


def test_a_large_part_that_came_whole_is_taken_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    part = {f"k{number:04}": {"x": [number]} for number in range(1_000)}
    mine, other = changed({}, OURS), changed({}, THEIRS, ("/part", part))
    result = put(mine, "/part", part, MERGE)
    looked_for = Counter(monkeypatch, State, "locate")
    found = adopt(mine, other, result, MERGE)
    assert looked_for.calls < 20
    assert {entry.origin for entry in found.tree.entries()} == {THEIRS}
