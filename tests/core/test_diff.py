"""The difference of two states, against a comparison of the plain documents."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.diff import ListDelta, common_run, deltas, differences, list_deltas
from asg_mcp.core.flat import same_content
from asg_mcp.core.lockstep import Cursor
from asg_mcp.core.nodes import Link, Node
from asg_mcp.core.paths import map_segment
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree
from asg_mcp.core.values import encode, type_of
from tests.core.trees import height_of, state_of

NAMES = ["a", "b", "0", "1", "-", "k/~", "é", "a\x00", "\x02", "zz"]
SCALARS = [None, True, False, 0, 1, 1.0, "", "x", "long " * 600]


def random_value(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.random()
    if depth > 3 or kind < 0.5:
        return rng.choice(SCALARS)
    if kind < 0.8:
        return {rng.choice(NAMES): random_value(rng, depth + 1) for _ in range(rng.randint(0, 4))}
    return [random_value(rng, depth + 1) for _ in range(rng.randint(0, 4))]


def random_document(rng: random.Random) -> dict[str, Any]:
    wide = {f"k{number:03}": random_value(rng) for number in range(rng.choice([0, 3, 90]))}
    return {**wide, **{rng.choice(NAMES): random_value(rng) for _ in range(3)}}


def containers(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        yield value
        for item in list(value.values() if isinstance(value, dict) else value):
            yield from containers(item)


def changed(rng: random.Random, document: dict[str, Any]) -> dict[str, Any]:
    """A few small changes anywhere in the document."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, 4)):
        place = rng.choice(list(containers(document)))
        kind = rng.random()
        if isinstance(place, dict):
            if place and kind < 0.7:
                name = rng.choice(sorted(place))
                if kind < 0.4:
                    place[name] = random_value(rng, 2)
                else:
                    del place[name]
            else:
                place[rng.choice(NAMES)] = random_value(rng, 2)
        elif place and kind < 0.6:
            index = rng.randrange(len(place))
            if kind < 0.3:
                place[index] = random_value(rng, 2)
            else:
                del place[index]
        else:
            place.insert(rng.randint(0, len(place)), random_value(rng, 2))
    return document


def slow(a: Any, b: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where two documents differ, as deep as maps go."""
    if encode(a) == encode(b):
        return
    if isinstance(a, dict) and isinstance(b, dict):
        for name in sorted(a.keys() | b.keys(), key=map_segment):
            if name in a and name in b:
                yield from slow(a[name], b[name], (*path, name))
            else:
                yield (*path, name)
    else:
        yield path


@pytest.mark.parametrize("seed", range(12))
def test_each_difference_is_found_once_as_deep_as_it_can_be(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(40):
        old = random_document(rng)
        new = changed(rng, old) if rng.random() < 0.9 else random_document(rng)
        a, b = state_of(old), state_of(new, origin=5)
        assert [delta.tokens for delta in deltas(a, b)] == list(slow(old, new))
        assert [delta.tokens for delta in deltas(b, a)] == list(slow(new, old))


@pytest.mark.parametrize("seed", range(12))
def test_the_difference_is_empty_exactly_when_the_roots_are_equal(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(30):
        old = random_document(rng)
        new = rng.choice([old, changed(rng, old)])
        a, b = state_of(old), state_of(new, origin=5)
        assert (list(differences(a, b)) == []) == (a.tree.id == b.tree.id)


def value_at(value: Any, tokens: tuple[str, ...]) -> Any:
    for token in tokens:
        value = value[int(token) if isinstance(value, list) else token]
    return value


@pytest.mark.parametrize("seed", range(12))
def test_every_change_tells_what_was_and_what_is_at_its_paths(seed: int) -> None:
    rng = random.Random(100 + seed)
    for _ in range(30):
        old = random_document(rng)
        new = changed(rng, old)
        a, b = state_of(old), state_of(new, origin=5)
        told: list[tuple[str, tuple[str, ...]]] = []
        for change in differences(a, b):
            told.append(("old" if change.new is None else "new", change.tokens))
            if change.old is not None:
                was = value_at(old, change.source or change.tokens)
                assert encode(a.value(change.old)) == encode(was)
            if change.new is not None:
                assert encode(b.value(change.new)) == encode(value_at(new, change.tokens))
            assert change.op == expected_op(a, b, change)
        assert len(told) == len(set(told)), "each place once"


def expected_op(a: State, b: State, change: Any) -> str:
    if change.old is None:
        return "add"
    if change.new is None:
        return "remove"
    old, new = a.value(change.old), b.value(change.new)
    if encode(old) == encode(new):
        return "move"
    return "replace" if type_of(old) == type_of(new) else "type"


numbers = st.lists(st.integers(0, 5), max_size=12)


@given(numbers, numbers)
def test_a_list_can_be_made_again_from_its_deltas(old: list[int], new: list[int]) -> None:
    told = list_deltas(old, new)
    gone = {delta.old_index for delta in told if delta.old_index is not None}
    come = {delta.new_index: delta for delta in told if delta.new_index is not None}
    stays = iter(element for index, element in enumerate(old) if index not in gone)
    again = []
    for index in range(len(new)):
        delta = come.get(index)
        if delta is None:
            again.append(next(stays))
        elif delta.moved:
            assert delta.old_index is not None
            again.append(old[delta.old_index])
        else:
            again.append(new[index])
    assert again == new
    assert list(stays) == []
    indexes = [delta.old_index for delta in told if delta.old_index is not None]
    assert len(indexes) == len(set(indexes))


def test_elements_that_change_places_moved_and_did_not_come_and_go() -> None:
    assert list_deltas([1, 2, 3], [3, 1, 2]) == [ListDelta(2, 0, moved=True)]
    assert list_deltas([1, 2], [1, 9, 2]) == [ListDelta(None, 1)]
    assert list_deltas([1, 2, 3], [1, 3]) == [ListDelta(1, None)]
    assert list_deltas([1, 2, 3], [1, 9, 3]) == [ListDelta(1, 1)]


def test_elements_of_a_list_are_compared_inside() -> None:
    a = state_of({"l": [{"x": 1, "y": 1}, 5]})
    b = state_of({"l": [9, {"x": 1, "y": 2}, "5"]})
    told = [(change.op, change.tokens, change.source) for change in differences(a, b)]
    assert told == [("type", ("l", "0"), None), ("type", ("l", "1"), None), ("add", ("l", "2"), None)]
    a, b = state_of({"l": [7, {"x": 1, "y": 1}]}), state_of({"l": [7, {"x": 1, "y": 2}]})
    assert [(change.op, change.tokens) for change in differences(a, b)] == [("replace", ("l", "1", "y"))]


def test_only_what_lies_below_the_path_is_told() -> None:
    a, b = state_of({"p": {"x": 1, "y": [1]}, "q": 1}), state_of({"p": {"x": 2, "y": [2]}, "q": 2})
    assert [change.tokens for change in differences(a, b, ("p",))] == [("p", "x"), ("p", "y", "0")]
    assert [change.tokens for change in differences(a, b, ("p", "y", "0"))] == [("p", "y", "0")]
    assert list(differences(a, b, ("nowhere",))) == []


def test_a_change_deep_in_a_large_state_opens_few_nodes() -> None:
    document = {f"k{number}": number for number in range(20_000)}
    a, b = state_of(document), state_of({**document, "k777": -1}, origin=2)
    assert [delta.tokens for delta in deltas(a, b)] == [("k777",)]
    assert common_run(a.tree, 0, a.tree, 0, len(a.tree)) == len(a.tree)


@pytest.mark.parametrize("seed", range(6))
def test_a_common_run_is_what_the_entries_have_in_common(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(20):
        document = random_document(rng)
        a, b = state_of(document).tree, state_of(changed(rng, document), origin=5).tree
        for _ in range(10):
            at_a = rng.randint(0, len(a))
            at_b = rng.choice([min(at_a, len(b)), rng.randint(0, len(b))])
            most = rng.randint(0, min(len(a) - at_a, len(b) - at_b))
            pairs = zip(a.entries(at_a, at_a + most), b.entries(at_b, at_b + most), strict=True)
            same = [same_content([one], [other]) for one, other in pairs]
            assert common_run(a, at_a, b, at_b, most) == [*same, False].index(False)


def test_a_cursor_finds_every_rank_from_wherever_it_stands() -> None:
    rng = random.Random(1)
    tree = state_of({f"k{number:04}": number for number in range(3_000)}).tree
    entries = [*tree.entries()]
    cursor = Cursor(tree, 5)
    for _ in range(300):
        rank = rng.choice([rng.randrange(len(tree)), min(cursor.rank + rng.randrange(40), len(tree) - 1)])
        cursor.seek(rank)
        assert (cursor.rank, cursor.entry()) == (rank, entries[rank])
        if rng.random() < 0.2:
            cursor.seek(len(tree))
            assert cursor.rank == len(tree)


@pytest.mark.parametrize("keys", [300, 20_000])
def test_each_difference_opens_the_nodes_on_the_way_to_it_and_no_others(
    keys: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {f"k{number:05}": number for number in range(keys)}
    names = [f"k{number:05}" for number in range(0, keys, keys // 50)]
    a, b = state_of(document), state_of({**document, **dict.fromkeys(names, -1)}, origin=2)
    opened = 0
    open_node = Tree.open

    def counted(tree: Tree, link: Link) -> Node:
        nonlocal opened
        opened += 1
        return open_node(tree, link)

    monkeypatch.setattr(Tree, "open", counted)
    assert [delta.tokens for delta in deltas(a, b)] == [(name,) for name in names]
    heights = height_of(a.tree) + 1
    assert opened <= 2 * heights * (len(names) + 5), "the nodes on the way to a difference, on both sides"


def test_maps_of_one_path_that_leads_through_a_list_and_through_a_map_are_compared_by_key() -> None:
    rows = [{"x": number, "y": {"z": 1}, "l": [1]} for number in range(12)]
    a = state_of({"p": rows})
    b = state_of({"p": {str(number): {**row, "x": 0} for number, row in enumerate(rows)}}, origin=2)
    path = ("p", "11")
    assert [change.tokens for change in differences(a, b, path)] == [(*path, "x")]
    assert [change.tokens for change in differences(b, a, path)] == [(*path, "x")]
