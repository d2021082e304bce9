"""States that were stored one after the other come back as they were, whatever forms their rows have."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.edits import apply_operation
from asg_mcp.core.flat import flatten
from asg_mcp.core.limits import DELTA_DEPTH_MAX
from asg_mcp.core.noderows import pack_entries, pack_node, stored_as, unpack_entries, unpack_node
from asg_mcp.core.nodes import SCALAR, Blob, Branch, Entry, Leaf, Link, Node
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree
from asg_mcp.core.values import decode_trusted, encode
from asg_mcp.errors import StoreCorrupt
from tests.core.trees import HASHER


class Shelf:
    """Rows in memory. `load` keeps what it read until `forget`."""

    def __init__(self) -> None:
        self.rows: dict[int, bytes] = {}
        self.blobs: set[int] = set()
        self.kept: dict[int, Node] = {}

    def load(self, row: int) -> Node:
        if row not in self.kept:
            self.kept[row] = unpack_node(row, decode_trusted(self.rows[row]), self.load)
        return self.kept[row]

    def blob(self, row: int) -> Any:
        return decode_trusted(self.rows[row])[0]

    def forget(self) -> None:
        self.kept.clear()

    def store(self, link: Link) -> int:
        """Store what of a tree is only in memory; returns the row of its top node."""
        node = link.node
        if node is None:
            return link.row
        if type(node) is Branch:
            for child in node.items:
                self.store(child)
        else:
            for entry in node.items:
                self.store_blob(entry)
        payload, depth = pack_node(node)
        row = len(self.rows) + 1
        self.rows[row], self.kept[row] = payload, node
        node.stored = stored_as(node, row, depth)
        link.row, link.node = row, None
        return row

    def store_blob(self, entry: Any) -> None:
        blob = entry.value
        if type(blob) is Blob and not blob.row and not blob.erased:
            row = len(self.rows) + 1
            self.rows[row] = encode([blob.value])
            self.blobs.add(row)
            blob.row, blob.value = row, None

    def state(self, row: int) -> State:
        node = self.load(row)
        return State(Tree(self, HASHER, HASHER.link_to(node, HASHER.node_id(node), row)))

    def chain(self, row: int) -> int:
        """How many rows lie between this row and a full one, found by following them."""
        parts = decode_trusted(self.rows[row])
        return 0 if parts[0] in (0, 1) else 1 + self.chain(parts[1])


def told(entry: Entry) -> tuple[Any, ...]:
    value = entry.value
    shown = (value.id, value.row) if type(value) is Blob else encode(value)
    return entry.key, entry.kind, shown, entry.origin


def assert_alike(left: State, right: State, a: Link, b: Link) -> None:
    """The same links and nodes all the way down."""
    for name in ("id", "last_key", "count", "elements", "level", "newest"):
        assert getattr(a, name) == getattr(b, name), name
    node, twin = left.tree.open(a), right.tree.open(b)
    assert node.height == twin.height
    assert len(node.items) == len(twin.items)
    if type(node) is Branch and type(twin) is Branch:
        for child, other in zip(node.items, twin.items, strict=True):
            assert_alike(left, right, child, other)
    elif type(node) is Leaf and type(twin) is Leaf:
        assert [told(entry) for entry in node.items] == [told(entry) for entry in twin.items]
        assert HASHER.node_id(twin) == a.id


@pytest.mark.parametrize(("seed", "keys", "steps"), [(1, 20, 150), (2, 400, 250), (3, 3_000, 250)])
def test_states_stored_one_after_the_other_come_back_as_they_were(seed: int, keys: int, steps: int) -> None:
    rng = random.Random(seed)
    shelf = Shelf()
    first = {f"k{number}": number for number in range(keys)}
    state = State(Tree.of(shelf, HASHER, flatten({**first, "l": [0] * 30}, "", 1, HASHER)))
    made: list[tuple[int, Any]] = []
    for origin in range(2, steps + 2):
        made.append((shelf.store(state.tree.root), state.tree.id))
        operation = rng.choice(
            [
                Operation(Op.SET, (f"k{rng.randrange(8)}",), rng.random()),
                Operation(Op.SET, (f"k{rng.randrange(keys)}",), rng.choice([None, True, 1, 1.5, "x", "text " * 600])),
                Operation(Op.SET, (f"k{rng.randrange(keys)}",), {f"n{rng.randrange(9)}": [origin]}),
                Operation(Op.SET, (f"new {origin}",), [1, {"y": "z" * 3_000}]),
                Operation(Op.APPEND, ("l",), {"a": origin, "b": [origin]}),
                Operation(Op.INSERT, ("l", str(rng.randrange(20))), rng.randrange(3)),
            ]
        )
        state = apply_operation(state, operation, origin).state
        if rng.random() < 0.2:  # as another process would go on: from what is stored alone
            row = shelf.store(state.tree.root)
            shelf.forget()
            state = shelf.state(row)
    top = shelf.store(state.tree.root)
    shelf.forget()
    again = shelf.state(top)
    assert_alike(state, again, state.tree.root, again.tree.root)
    for row, name in rng.sample(made, 20):  # older states stay what they were
        shelf.forget()
        old = shelf.state(row)
        assert old.tree.id == name == Tree.of(shelf, HASHER, list(old.tree.entries())).id
    nodes = sorted(shelf.rows.keys() - shelf.blobs)
    assert 1 < max(map(shelf.chain, nodes)) <= DELTA_DEPTH_MAX
    for row in rng.sample(nodes, 50):
        stored = shelf.load(row).stored
        assert stored is not None
        assert stored.depth == shelf.chain(row)


floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | floats | st.text(max_size=9)
documents = st.dictionaries(st.text(min_size=1, max_size=6), scalars | st.lists(scalars, max_size=4), max_size=30)


@given(documents, st.text(max_size=4))
def test_entries_come_back_from_their_rows(document: dict[str, Any], before: str) -> None:
    entries = flatten(document, "", 7, HASHER)
    packed = decode_trusted(encode(pack_entries(entries, before)))
    assert [told(entry) for entry in unpack_entries(packed, before)] == [told(entry) for entry in entries]


def test_an_erased_value_keeps_its_id() -> None:
    blob = Blob(HASHER.value_ids.of("gone"), 0)
    [entry] = unpack_entries(decode_trusted(encode(pack_entries([Entry("a\x00", SCALAR, blob, 3)]))))
    assert type(entry.value) is Blob
    assert entry.value.erased
    assert entry.value.id == blob.id
    assert entry.kind == SCALAR


@pytest.mark.parametrize("parts", [[9], [0, 0], [0, 0, "a", 0], [1], [], [2, 1, 1, 0], [4, 1], [0] * 6, [5, 1, 2]])
def test_a_list_that_is_no_node_is_corrupt_and_named(parts: list[Any]) -> None:
    def load(row: int) -> Node:
        return Leaf([Entry("a\x00", SCALAR, 1, 1)])

    with pytest.raises(StoreCorrupt) as caught:
        unpack_node(12, parts, load)
    assert "12" in str(caught.value)
