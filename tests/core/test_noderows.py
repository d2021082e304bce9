from __future__ import annotations

import random
from typing import Any

from asg_mcp.core.edits import apply_operation
from asg_mcp.core.flat import flatten
from asg_mcp.core.limits import DELTA_DEPTH_MAX
from asg_mcp.core.noderows import pack_node, stored_as, unpack_node
from asg_mcp.core.nodes import Branch, Entry, Link, Node
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree
from asg_mcp.core.values import decode_trusted
from tests.core.trees import HASHER

KEYS = 2_000
CHANGES = 400
RENEWAL = 5


class Rows:
    """Stored rows, and a cache of the nodes unpacked from them."""

    def __init__(self) -> None:
        self.payloads: list[bytes] = [b""]
        self.depths: list[int] = [0]
        self.nodes: dict[int, Node] = {}

    def parts(self, row: int) -> list[Any]:
        found: Any = decode_trusted(self.payloads[row])
        return list(found)

    def load(self, row: int) -> Node:
        if row not in self.nodes:
            self.nodes[row] = unpack_node(row, self.parts(row), self.load)
        return self.nodes[row]

    def blob(self, row: int) -> Any:
        raise AssertionError(f"blob {row} was asked for")

    def store(self, link: Link) -> int:
        """Store what is new at and below a link, children first."""
        node = link.node
        if node is None:
            return link.row
        if type(node) is Branch:
            for child in node.items:
                self.store(child)
        payload, depth = pack_node(node)
        self.payloads.append(payload)
        self.depths.append(depth)
        row = len(self.payloads) - 1
        node.stored = stored_as(node, row, depth)
        self.nodes[row] = node
        link.row, link.node = row, None
        return row


def _changed(rows: Rows) -> list[tuple[int, Tree]]:
    """The root rows of many one-leaf changes, and the trees that they should be."""
    state = State(Tree.of(rows, HASHER, flatten({f"k{n:04}": n for n in range(KEYS)}, "", 1, HASHER)))
    rng = random.Random(5)
    out = [(rows.store(state.tree.root), state.tree)]
    for number in range(CHANGES):
        operation = Operation(Op.SET, (f"k{rng.randrange(KEYS):04}",), f"new {number}")
        state = apply_operation(state, operation, number + 2).state
        out.append((rows.store(state.tree.root), state.tree))
    return out


def _entries(rows: Rows, row: int) -> list[Entry]:
    node = rows.load(row)
    if type(node) is not Branch:
        return node.items
    return [entry for link in node.items for entry in _entries(rows, link.row)]


def test_what_was_stored_as_deltas_and_renewals_is_read_back_as_it_was() -> None:
    rows = Rows()
    changed = _changed(rows)
    assert RENEWAL in {rows.parts(row)[0] for row in range(1, len(rows.payloads))}
    rows.nodes.clear()  # as a process that has just started
    for row, tree in changed[:: CHANGES // 8]:
        assert HASHER.node_id(rows.load(row)) == tree.id
        told = [(entry.key, entry.kind, entry.value, entry.origin) for entry in _entries(rows, row)]
        assert told == [(entry.key, entry.kind, entry.value, entry.origin) for entry in tree.entries()]


def test_no_chain_of_deltas_grows_beyond_its_limit() -> None:
    rows = Rows()
    _changed(rows)
    assert max(rows.depths) == DELTA_DEPTH_MAX
    for row in range(1, len(rows.payloads)):
        parts = rows.parts(row)
        if parts[0] > 1:
            assert rows.depths[row] == rows.depths[parts[1]] + 1


def test_a_renewal_builds_on_a_full_row_and_repeats_no_keys() -> None:
    rows = Rows()
    _changed(rows)
    renewals = [parts for row in range(1, len(rows.payloads)) if (parts := rows.parts(row))[0] == RENEWAL]
    assert renewals
    for parts in renewals:
        assert rows.depths[parts[1]] == 0
        assert not any(isinstance(part, str) for part in parts)
