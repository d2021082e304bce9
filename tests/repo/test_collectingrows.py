"""The rows that commits need, and those that nothing needs."""

from __future__ import annotations

from typing import Any, cast

import pytest

from asg_mcp.core.ids import ValueId
from asg_mcp.core.noderows import blobs_in, pack_entries, references
from asg_mcp.core.nodes import SCALAR, Blob, Entry
from asg_mcp.errors import StoreCorrupt, Withheld
from asg_mcp.repo.collectingrows import Rows, last_row, value_bytes
from asg_mcp.storage.base import Reader

ID = ValueId.of(b"a value")
LEAF = [0]


class Shelf:
    """Rows of nodes and of large values, as a reader gives them."""

    def __init__(self, nodes: dict[int, list[Any]], values: dict[int, Any]) -> None:
        self.nodes, self.values = nodes, values

    def node_rows(self, after: int, limit: int) -> list[tuple[int, list[Any]]]:
        return [(row, self.nodes[row]) for row in sorted(self.nodes) if row > after][:limit]

    def blob_rows(self, after: int, limit: int) -> list[int]:
        return [row for row in sorted(self.values) if row > after][:limit]

    def blob(self, row: int) -> Any:
        if self.values[row] is None:
            raise Withheld("Its key was destroyed")
        return self.values[row]


def shelf(nodes: dict[int, list[Any]], *values: int) -> Reader:
    return cast(Reader, Shelf(nodes, dict.fromkeys(values, "v")))


def read(reader: Reader, last: int) -> Rows:
    rows = Rows(last)
    while rows.read_nodes(reader):
        pass
    while rows.read_values(reader):
        pass
    return rows


def branch(*children: int) -> list[Any]:
    """A full branch: what it says of each child besides its row is of no interest here."""
    links: list[list[Any]] = [[row, 0, "k", 1, [], 0] for row in children]
    return [1, 1, b"", *(part for link in links for part in link)]


@pytest.mark.parametrize("highest", [0, 1, 2, 3, 7, 8, 9, 1_000, 4_095, 4_096, 123_456])
def test_the_last_row_is_found_whatever_kind_it_is_of(highest: int) -> None:
    nodes = {row: LEAF for row in (1, 3) if row < highest}
    assert last_row(shelf(nodes, *([highest] if highest else []))) == highest
    assert last_row(shelf({**nodes, highest: LEAF} if highest else {})) == highest


@pytest.mark.parametrize(
    ("parts", "nodes"),
    [
        (branch(3, 4), [3, 4]),
        ([2, 9, 1, 0, 1], [9]),
        ([3, 9, 1, 0, 1, 1, b"", 5, 0, "k", 1, [], 0, 6, 0, "l", 1, [], 0], [9, 5, 6]),
        ([4, 9, 1, 0, 1, b"", 5, 70, 6, 71], [9, 5, 6]),
        ([5, 9, 1, [0, 2], b"", 5, 70, 6, 71], [9, 5, 6]),
    ],
)
def test_a_row_needs_its_base_and_its_children(parts: list[Any], nodes: list[int]) -> None:
    assert references(parts) == (nodes, [])


def test_a_leaf_needs_its_large_values_but_not_those_that_were_erased() -> None:
    entries = [Entry("a", SCALAR, Blob(ID, 7), 1), Entry("b", SCALAR, 7, 1), Entry("c", SCALAR, Blob(ID, 0), 1)]
    packed = pack_entries(entries)
    assert blobs_in(packed) == [7]
    assert references([0, *packed]) == ([], [7])
    assert references([2, 5, 1, 0, 0, *packed]) == ([5], [7])


def test_what_is_needed_is_followed_down_and_the_rest_is_not_needed() -> None:
    reader = shelf({1: LEAF, 2: LEAF, 3: [2, 1, 1, 0, 0], 4: branch(2, 3), 5: LEAF, 6: branch(5)}, 7, 8)
    rows = read(reader, 8)
    rows.keep([4, 8, 99])
    assert rows.mark()
    assert [row for row, _ in rows.unneeded_nodes()] == [5, 6]
    assert list(rows.unneeded_values()) == [7]


def test_later_rows_than_the_last_are_left_out() -> None:
    rows = read(shelf({1: LEAF, 2: LEAF, 5: branch(2)}, 3, 6), 4)
    rows.keep([2, 5])
    assert rows.mark()
    assert [row for row, _ in rows.unneeded_nodes()] == [1]
    assert list(rows.unneeded_values()) == [3]


@pytest.mark.parametrize("missing", [2, 7])
def test_what_is_needed_and_not_there_is_noticed(missing: int) -> None:
    nodes = {row: parts for row, parts in {1: LEAF, 2: LEAF, 4: branch(1, 2)}.items() if row != missing}
    rows = read(shelf(nodes, *[row for row in (7,) if row != missing]), 7)
    rows.keep([4, 7])
    assert not rows.mark()


@pytest.mark.parametrize("parts", [branch(5), branch(9), [2, 6, 1, 0, 0], [9, 1], []])
def test_a_row_that_makes_no_sense_stops_the_collection(parts: list[Any]) -> None:
    with pytest.raises(StoreCorrupt) as told:
        read(shelf({5: parts}), 5)
    assert told.value.details == {"kind": "node", "row": 5}


def test_values_that_are_gone_or_whose_key_was_destroyed_count_no_bytes() -> None:
    reader = cast(Reader, Shelf({}, {1: "text", 2: None}))
    assert value_bytes(reader, [1, 2, 3]) == 5
