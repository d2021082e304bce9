"""The tree against a plain list of entries."""

from __future__ import annotations

import random
from collections.abc import Iterable
from itertools import count, islice
from typing import Any

import pytest

from asg_mcp.core.flat import flatten
from asg_mcp.core.limits import BRANCH_ENTRIES_MAX, BRANCH_ENTRIES_MIN, LEAF_ENTRIES_MAX, LEAF_ENTRIES_MIN
from asg_mcp.core.nodes import LEVEL_MAX, LIST, MAP, SCALAR, Branch, Entry, Hasher
from asg_mcp.core.paths import ELEMENT, END, map_segment
from asg_mcp.core.tree import Tree, is_element
from tests.core.trees import (
    HASHER,
    SOURCE,
    document_of,
    edit,
    element,
    height_of,
    nodes_below,
    scalar,
    state_of,
    tree_of,
)


def named(number: int, *, first: int = 0) -> list[Entry]:
    return [scalar(f"k{index:06d}", index) for index in range(first, first + number)]


def nested_document(rng: random.Random, size: int) -> dict[str, object]:
    """Lists in maps in lists, with names that sort around the marks of the key format."""
    names = ["a", "b", "", "0", "k/~", "\x00", "\x01\x02", "é", "😀", " ", *[f"n{number}" for number in range(20)]]

    def value(depth: int) -> object:
        kind = rng.random()
        if depth > 4 or kind < 0.4:
            return rng.choice([1, True, None, "x", rng.randint(0, 9)])
        if kind < 0.7:
            return {rng.choice(names): value(depth + 1) for _ in range(rng.randint(0, 6))}
        return [value(depth + 1) for _ in range(rng.choice([0, 1, 2, 5, 30]))]

    document: dict[str, object] = {}
    while len(flatten(document, "", 1, HASHER)) < size:
        document[rng.choice(["a", "b", "é", *[f"m{number}" for number in range(40)]])] = value(1)
    return document


# --- change -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_a_splice_gives_the_tree_that_is_built_from_scratch(seed: int) -> None:
    """Keys need not be in order here: the layout is a function of any sequence."""
    rng = random.Random(seed)
    plain = named(3000)
    tree = tree_of(plain)
    for _ in range(120):
        splices, position = [], 0
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            low = rng.randint(position, len(plain))
            high = min(len(plain), low + rng.choice([0, 0, 1, 1, 2, 5, 100, 700]))
            fresh = [rng.choice([element(rng.randint(0, 3)), scalar(f"y{rng.random()}")])
                     for _ in range(rng.choice([0, 1, 1, 2, 70, 300]))]  # fmt: skip
            splices.append((low, high, fresh))
            position = high
        for low, high, fresh in reversed(splices):
            plain[low:high] = fresh
        tree = tree.splice(splices)
        assert [*map(id, tree.entries())] == [*map(id, plain)]
        assert tree.id == tree_of(plain).id
        assert len(tree) == len(plain)
        low = rng.randrange(len(plain))
        high = rng.randint(low + 1, len(plain))
        assert tree.range_id(low, high) == tree_of(plain[low:high]).id
        assert [*map(id, tree.entries(low, high))] == [*map(id, plain[low:high])]
        assert tree.entry(low) is plain[low]


def test_what_is_left_of_a_last_branch_with_one_child_has_the_root_of_its_content() -> None:
    """The last node of a height may have one child; taken alone, its child is the top."""
    plain = named(700)
    checked = 0
    for size in range(65, 700):
        tree = tree_of(plain[:size])
        node, start = tree.open(tree.root), 0
        while type(node) is Branch:
            start += node.starts[-2]
            node = tree.open(node.items[-1])
            if type(node) is Branch and len(node.items) == 1:
                alone = tree_of(plain[start:size])
                assert tree.range_id(start, size) == alone.id
                rest = tree.splice([(0, start, [])])
                assert (rest.id, height_of(rest)) == (alone.id, height_of(alone))
                checked += 1
    assert checked > 20


def test_a_change_of_a_value_makes_one_new_node_a_height() -> None:
    plain = named(20_000)
    tree = tree_of(plain)
    before = {id(node) for _, node in nodes_below(tree)}
    for rank in range(0, 20_000, 997):
        changed = tree.splice([(rank, rank + 1, [Entry(plain[rank].key, 0, "new", 2)])])
        fresh = [node for _, node in nodes_below(changed) if id(node) not in before]
        assert len(fresh) == height_of(tree) + 1
        assert changed.id != tree.id


@pytest.mark.parametrize("seed", range(3))
def test_an_entry_in_the_place_of_another_gives_the_tree_that_is_built_from_scratch(seed: int) -> None:
    """Of any kind, in maps and in lists, where a new value may move the boundaries of nodes."""
    rng = random.Random(seed)
    plain = flatten(nested_document(rng, 1_500), "", 1, HASHER)
    tree = tree_of(plain)
    for rank in rng.sample(range(1, len(plain)), 60):
        come = Entry(plain[rank].key, *rng.choice([(SCALAR, "new"), (SCALAR, None), (MAP, None), (LIST, None)]), 2)
        wanted = tree_of([*plain[:rank], come, *plain[rank + 1 :]])
        found = tree.splice([(rank, rank + 1, [come])])
        assert found.id == wanted.id
        assert [node.height for _, node in nodes_below(found)] == [node.height for _, node in nodes_below(wanted)]
        assert found.newest(0, len(plain)) == 2
        beside = rank - 1 or 2
        older = found.splice([(beside, beside + 1, [Entry(plain[beside].key, plain[beside].kind, "older", 1)])])
        assert older.newest(0, len(plain)) == 2
        assert older.splice([(rank, rank + 1, [plain[rank]])]).newest(0, len(plain)) == 1


def test_an_added_or_removed_entry_makes_few_new_nodes() -> None:
    plain = named(20_000)
    tree = tree_of(plain)
    heights = height_of(tree) + 1
    before = {id(node) for _, node in nodes_below(tree)}
    total = 0
    for rank in range(0, 20_000, 197):
        for splice in ((rank, rank + 1, []), (rank, rank, [scalar(plain[rank].key[:-1] + "x")])):
            fresh = [node for _, node in nodes_below(tree.splice([splice])) if id(node) not in before]
            total += len(fresh)
            assert len(fresh) <= 4 * heights
    assert total / 204 < 1.5 * heights


def test_replacing_an_entry_by_itself_keeps_every_node() -> None:
    plain = named(3000)
    tree = tree_of(plain)
    assert tree.splice([(1500, 1501, [plain[1500]])]).root is tree.root


def test_the_root_does_not_depend_on_the_way_there() -> None:
    rng = random.Random(5)
    document = nested_document(rng, 900)
    wanted = state_of(document).tree.id
    for _ in range(6):
        names = list(document)
        rng.shuffle(names)
        state = state_of({"detour": {"a": [1, 2]}})
        for name in names:
            state = edit(state, "set", f"/{name}", rng.choice([None, {"x": 1}, [3]])).state
            state = edit(state, "set", f"/{name}", document[name]).state
            state = edit(state, "set", "/detour", len(name)).state
        state = edit(state, "delete", "/detour").state
        assert state.tree.id == wanted
        assert document_of(state) == document


def test_the_root_of_a_list_does_not_depend_on_the_order_of_insertion() -> None:
    rng = random.Random(6)
    wanted = [rng.randint(0, 5) for _ in range(300)]
    for _ in range(3):
        state = state_of({"l": []})
        placed: list[int] = []
        order = list(range(300))
        rng.shuffle(order)
        for number in order:
            index = sum(1 for other in placed if other < number)
            state = edit(state, "insert", f"/l/{index}", wanted[number]).state
            placed.append(number)
        assert state.tree.id == state_of({"l": wanted}).tree.id


def test_stores_with_other_keys_have_other_roots() -> None:
    entries = flatten({"a": 1, "b": [2]}, "", 1, HASHER)
    ids = {
        Tree.of(SOURCE, Hasher(key * 32, salt * 32), flatten({"a": 1, "b": [2]}, "", 1, Hasher(key * 32, salt * 32))).id
        for key in (b"a", b"b")
        for salt in (b"c", b"d")
    }
    # A small tree has one node, so the salt, which moves boundaries alone, does not show.
    assert len(ids) == 2
    assert tree_of(entries).id not in ids


# --- search -------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
def test_a_search_by_key_finds_what_a_scan_finds(seed: int) -> None:
    rng = random.Random(seed)
    tree = state_of(nested_document(rng, 1500)).tree
    plain = list(tree.entries())
    maps = [rank for rank, entry in enumerate(plain) if entry.kind == MAP]
    for rank in rng.sample(maps, 60):
        prefix = plain[rank].key
        low = rank + 1
        end = next((r for r in range(low, len(plain)) if not plain[r].key.startswith(prefix)), len(plain))
        if is_element(prefix, prefix.count(END)):
            # The next element of the list has the same key.
            end = next((r for r in range(low, end) if plain[r].key == prefix), end)
        children = [entry.key for entry in plain[low:end] if entry.key.count(END) == prefix.count(END) + 1]
        for key in [*children, *[prefix + map_segment(name) for name in ("", "\x00", "\x02", "b", "zz", "😀")]]:
            wanted = next((r for r in range(low, end) if plain[r].key >= key), end)
            assert tree.lower_bound(key, low, end) == wanted
            found = tree.find(key, low, end)
            assert (found is not None) == (key in children)
            if found is not None:
                assert found == (wanted, plain[wanted])
                behind = next((r for r in range(wanted, end) if not plain[r].key.startswith(key)), end)
                assert tree.end_of(key, wanted, end) == behind
    assert tree.end_of("", 0, len(tree)) == len(tree)


@pytest.mark.parametrize("seed", range(3))
def test_elements_are_counted_by_depth(seed: int) -> None:
    rng = random.Random(seed)
    tree = state_of(nested_document(rng, 1500)).tree
    plain = list(tree.entries())
    for depth in range(1, 7):
        ranks = [rank for rank, entry in enumerate(plain) if is_element(entry.key, depth)]
        for number in rng.sample(range(len(ranks)), min(20, len(ranks))):
            assert tree.element_rank(number, depth) == ranks[number]
            assert tree.elements_before(ranks[number], depth) == number
        assert tree.elements_before(len(tree), depth) == len(ranks)


def test_the_newest_origin_of_a_range_is_that_of_a_scan() -> None:
    rng = random.Random(3)
    plain = [scalar(f"k{index:06d}", index, rng.randint(1, 10**6)) for index in range(3000)]
    tree = tree_of(plain)
    for _ in range(200):
        low = rng.randrange(3000)
        high = rng.randint(low + 1, 3000)
        assert tree.newest(low, high) == max(entry.origin for entry in plain[low:high])
    assert tree.newest(0, 3000) == tree.root.newest


# --- layout -------------------------------------------------------------------


def assert_sizes_hold(tree: Tree) -> None:
    """Every node is within its bounds; the last of its height may be smaller."""
    rows: dict[int, list[int]] = {}
    for _, node in nodes_below(tree):
        rows.setdefault(node.height, []).append(len(node.items))
    for height, sizes in rows.items():
        low, high = (BRANCH_ENTRIES_MIN, BRANCH_ENTRIES_MAX) if height else (LEAF_ENTRIES_MIN, LEAF_ENTRIES_MAX)
        assert all(low <= size <= high for size in sizes[:-1]), (height, sizes)
        assert 1 <= sizes[-1] <= high
    top = tree.open(tree.root)
    assert len(top.items) > 1 or top.height == 0


def ground(levels: Iterable[int]) -> list[Entry]:
    """Entries in key order whose keys have these levels, as somebody who knows the salt could choose them."""
    entries = (scalar(f"g{index:08d}") for index in count())
    return [next(entry for entry in entries if HASHER.level(entry) == level) for level in levels]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([element(0) for _ in range(10_000)], id="equal-elements"),
        pytest.param([element(value) for value in (True, False) * 5_000], id="booleans"),
        pytest.param([element(index % 10) for index in range(10_000)], id="digits"),
        pytest.param([element(index) for index in range(10_000)], id="distinct-elements"),
        pytest.param([Entry("l" + END + ELEMENT, LIST, None, 1) for _ in range(10_000)], id="empty-lists"),
        pytest.param(ground([0] * 5_000), id="ground-to-close-nothing"),
        pytest.param(ground([1] * 1_000), id="ground-to-close-every-leaf"),
        pytest.param(ground([0] * 200 + [2, 1] * 40 + [0] * 300), id="ground-to-close-branches"),
        pytest.param(named(10_000), id="ordinary"),
    ],
)
def test_no_choice_of_content_makes_a_node_too_large_or_too_small(entries: list[Entry]) -> None:
    tree = tree_of(entries)
    assert_sizes_hold(tree)
    rng = random.Random(1)
    for _ in range(5):
        low = rng.randrange(len(entries))
        splice = (low, min(len(entries), low + 3), [entries[0], entries[-1]])
        assert_sizes_hold(tree.splice([splice]))


@pytest.mark.parametrize("value", [0, 1, True, "x"])
def test_equal_elements_make_a_low_tree_whatever_their_level(value: object) -> None:
    """All have one level, so either all close a node or none does; the bounds decide."""
    for salt in range(40):
        hasher = Hasher(b"k" * 32, bytes([salt]) * 32)
        tree = Tree.of(SOURCE, hasher, [element(value) for _ in range(3_000)])
        assert_sizes_hold(tree)
        assert 1 <= height_of(tree) <= 5


def test_levels_come_from_the_key_and_below_lists_from_the_value_too() -> None:
    def fresh(key: str, value: object) -> int:
        return HASHER.level(Entry(key, 0, value, 1))

    keys = [f"k{number}" + END for number in range(200)]
    assert [fresh(key, 1) for key in keys] == [fresh(key, "other") for key in keys]
    in_list = {fresh("l" + END + ELEMENT, value) for value in range(2_000)}
    assert {0, 1} <= in_list <= set(range(LEVEL_MAX + 1))


def test_about_one_entry_in_sixteen_may_close_a_leaf_and_one_in_sixteen_of_those_a_branch() -> None:
    levels = [HASHER.level(entry) for entry in named(40_000)]
    assert 2_300 < sum(level >= 1 for level in levels) < 2_700
    assert 110 < sum(level >= 2 for level in levels) < 210


# --- the layout cannot drift ---------------------------------------------------


GOLDEN: dict[str, dict[str, Any]] = {
    "empty": {},
    "scalars": {"a": 1, "b": 1.0, "c": None, "d": True, "e": "text", "f": 2**63 - 1, "": "below"},
    "nested": {"a": {"b": {"c": [1, [2, []], {"d": {}}]}}, "42": {"0": "zero", "~/": " ", "😀": "\x00"}},
    "long text": {"t": "x" * 5_000},
}
GOLDEN_ROOTS = {
    "empty": "90f66139a4a70043ad3a6887851ad323d414f64cd890b677e347c84aeae4f42b",
    "scalars": "7d4f4c84151e488e25119d3c2e83009713736d6bc88f3c11d4fa1ae5dcc37bc9",
    "nested": "7f95a049fda8d3f0a2d2cd787a8049748b3269c2c29f6d623fc00d47aec22307",
    "long text": "f5a2da2c10ded5a6e6efe307b11967ae06e6daf2893378f86eae38ac7a690377",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_small_document_has_the_root_it_always_had(name: str) -> None:
    assert state_of(GOLDEN[name]).tree.id.hex() == GOLDEN_ROOTS[name]


def test_a_document_of_12345_entries_has_the_root_it_always_had() -> None:
    """Small and large maps, and long lists of distinct, repeated and nested elements."""
    document = {
        "flat": {f"key-{number:05d}": number * 0.5 for number in range(5_000)},
        "list": [number * number for number in range(3_000)],
        "flags": [number % 3 == 0 for number in range(1_000)],
        "rows": [{"id": number, "tags": ["a", str(number % 7)], "x": None} for number in range(500)],
    }
    tree = state_of(document).tree
    missing = 12_345 - len(tree)
    rest = {f"{number}": "" for number in islice(count(), missing - 1)}
    tree = state_of({**document, "rest": rest}).tree
    assert (len(tree), height_of(tree)) == (12_345, 2)
    assert tree.id.hex() == "0ef0c9a8b7b4ef6b8e5ee210443359b14252e1665a77e333660b29aae1333224"
    sizes = [sum(1 for _, node in nodes_below(tree) if node.height == height) for height in range(3)]
    assert sizes == [658, 49, 1]


@pytest.mark.parametrize("seed", range(4))
def test_the_origins_of_a_range_and_what_changed_since_one_are_those_of_its_entries(seed: int) -> None:
    rng = random.Random(seed)
    entries = [
        scalar(f"k{number:05}", number, origin=rng.choice([3, 5, 7, rng.randrange(1, 40)])) for number in range(900)
    ]
    tree = tree_of(entries)
    for _ in range(60):
        low = rng.randrange(900)
        high = rng.randint(low + 1, 900)
        assert tree.origins(low, high, set()) == {entry.origin for entry in entries[low:high]}
        since = rng.randrange(45)
        assert [*tree.since(since)] == [(rank, entry) for rank, entry in enumerate(entries) if entry.origin >= since]


def test_rows_whose_origins_are_known_are_passed_over_and_those_in_part_are_not_known() -> None:
    tree = tree_of([scalar(f"k{number:05}", number, origin=number) for number in range(900)])
    for row, (link, _) in enumerate(nodes_below(tree), start=1):
        link.row = row
    known: set[int] = set()
    part = tree.origins(0, 450, known)
    assert part == set(range(450))
    assert tree.origins(0, 900, known) >= set(range(450, 900))
    assert tree.origins(0, 900, known) == set()


@pytest.mark.parametrize("seed", range(4))
def test_other_origins_are_what_a_splice_of_the_same_entries_makes_and_keep_every_node(seed: int) -> None:
    rng = random.Random(seed)
    tree = state_of(nested_document(rng, 400)).tree
    for origin in range(2, 12):
        ranks = sorted(rng.sample(range(len(tree)), rng.choice([0, 1, 30])))
        fresh = [(rank, tree.entry(rank).with_origin(origin)) for rank in ranks]
        renewed = tree.with_origins(fresh)
        plain = tree.splice([(rank, rank + 1, [entry]) for rank, entry in fresh])
        assert [*renewed.entries()] == [*plain.entries()]
        for (link, node), (twin, _), (old, before) in zip(
            nodes_below(renewed), nodes_below(plain), nodes_below(tree), strict=True
        ):
            assert (link.id, link.count, link.newest, link.level) == (twin.id, twin.count, twin.newest, twin.level)
            assert (link.id, link.elements, link.last_key) == (old.id, old.elements, old.last_key)
            assert HASHER.node_id(node) == link.id
            assert node.stored is before.stored
        tree = renewed
