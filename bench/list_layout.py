"""Two layouts of a long list, side by side in one run: what one change costs.

    python bench/list_layout.py [elements]        (10,000 elements when not given)

counted     the layout in use: elements share one key and are told apart by their
            order; the links of the tree count them, so that position n is found
            by counting, and an insertion changes the key of nothing.
positional  each element has its index in its key, in eight hex digits, and is found
            by a search; an insertion gives every later element another key.

Both use the same Tree class and the same splice. Columns: wall time of one change
in ms (median; the entries' preparation included), new nodes, and the bytes of the
rows that store them (`noderows`: deltas where they are shorter, before
compression). The last lines are reads by index, in µs.
"""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

from asg_mcp.core.edits import apply_operation
from asg_mcp.core.flat import flatten
from asg_mcp.core.noderows import pack_node, stored_as
from asg_mcp.core.nodes import Branch, Entry, Hasher, Link
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import END
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree

HASHER = Hasher(bytes(range(32)), bytes(range(32, 64)))
LIST_KEY = "l" + END
REPEATS = 15
CHANGES = ["insert at the front", "insert in the middle", "append", "set one", "remove in the middle"]


class InMemory:
    """Nodes keep their children, so nothing is ever loaded."""

    def load(self, row: int) -> Any:
        raise AssertionError(f"row {row} is in memory")

    blob = load


class Rows:
    """Stores nodes as rows, and counts them and their bytes."""

    def __init__(self) -> None:
        self.number = 0
        self.bytes = 0

    def store(self, link: Link) -> None:
        """Store what is new at and below this link."""
        node = link.node
        if link.row or node is None:
            return
        if type(node) is Branch:
            for child in node.items:
                self.store(child)
        data, depth = pack_node(node)
        self.number += 1
        self.bytes += len(data)
        link.row = 1 + self.number
        node.stored = stored_as(node, link.row, depth)


class Counted:
    """The list as the program keeps it."""

    def __init__(self, values: list[Any]) -> None:
        self.size = len(values)
        self.state = State(Tree.of(InMemory(), HASHER, flatten({"l": values}, "", 1, HASHER)))
        Rows().store(self.state.tree.root)

    def change(self, name: str, index: int, value: Any) -> Tree:
        at = ("l", str(index))
        operation = {
            "insert at the front": Operation(Op.INSERT, ("l", "0"), value),
            "insert in the middle": Operation(Op.INSERT, at, value),
            "append": Operation(Op.APPEND, ("l",), value),
            "set one": Operation(Op.SET, at, value),
            "remove in the middle": Operation(Op.DELETE, at),
        }[name]
        return apply_operation(self.state, operation, 2).state.tree

    def read(self, index: int) -> Any:
        return self.state.value(self.state.spot(("l", str(index))))


class Positional:
    """The list with the index in the key."""

    def __init__(self, values: list[Any]) -> None:
        self.size = len(values)
        entries = flatten({"l": []}, "", 1, HASHER)
        for index, value in enumerate(values):
            entries += flatten(value, self.key(index), 1, HASHER)
        self.tree = Tree.of(InMemory(), HASHER, entries)
        Rows().store(self.tree.root)

    @staticmethod
    def key(index: int) -> str:
        return f"{LIST_KEY}{index:08x}{END}"

    def rank(self, index: int) -> int:
        return self.tree.lower_bound(self.key(index), 0, len(self.tree))

    def shifted(self, low: int, by: int) -> list[Entry]:
        """The entries from this rank on, their index moved by one."""
        head, out = len(LIST_KEY), []
        for entry in self.tree.entries(low):
            index, rest = int(entry.key[head : head + 8], 16) + by, entry.key[head + 8 + len(END) :]
            twin = Entry(self.key(index) + rest, entry.kind, entry.value, entry.origin)
            twin.value_id = entry.value_id
            out.append(twin)
        return out

    def change(self, name: str, index: int, value: Any) -> Tree:
        index = {"insert at the front": 0, "append": self.size}.get(name, index)
        low, marker = self.rank(index), (1, 2, [self.tree.entry(1).with_origin(2)])
        fresh = flatten(value, self.key(index), 2, HASHER)
        if name == "set one":
            return self.tree.splice([(low, self.rank(index + 1), fresh)])
        if name == "remove in the middle":
            return self.tree.splice([marker, (low, len(self.tree), self.shifted(self.rank(index + 1), -1))])
        return self.tree.splice([marker, (low, len(self.tree), fresh + self.shifted(low, 1))])

    def read(self, index: int) -> Any:
        low = self.rank(index)
        return list(self.tree.entries(low, self.rank(index + 1)))


def measure(layout: Counted | Positional, name: str, fresh: Callable[[int], Any]) -> tuple[float, float, float]:
    """Median ms, and mean new nodes and bytes, of one change."""
    times, rows = [], Rows()
    rng = random.Random(name)
    for number in range(REPEATS):
        index = layout.size // 2 + rng.randint(-500, 500) * layout.size // 10_000
        value = fresh(layout.size + number)
        begin = perf_counter()
        tree = layout.change(name, index, value)
        times.append(perf_counter() - begin)
        rows.store(tree.root)
    return 1_000 * statistics.median(times), rows.number / REPEATS, rows.bytes / REPEATS


def measure_reads(layout: Counted | Positional) -> float:
    """Median µs of a read by index."""
    rng = random.Random(1)
    times = []
    for _ in range(500):
        index = rng.randrange(layout.size)
        begin = perf_counter()
        layout.read(index)
        times.append(perf_counter() - begin)
    return 1e6 * statistics.median(times)


ELEMENTS: dict[str, Callable[[int], Any]] = {
    "distinct integers": lambda number: number * number,
    "small objects": lambda number: {"id": number, "name": f"item {number}", "done": number % 3 == 0},
    "random booleans": lambda number: random.Random(number).random() < 0.5,
    "equal strings": lambda _: "pending",
}


def main(size: int) -> None:
    for kind, element in ELEMENTS.items():
        values = [element(number) for number in range(size)]
        counted, positional = Counted(values), Positional(values)
        print(f"\n{size:,} {kind}        counted                        positional")
        print(f"{'':22}{'ms':>9}{'nodes':>8}{'bytes':>10}    {'ms':>9}{'nodes':>8}{'bytes':>10}")
        for name in CHANGES:
            cells = [measure(layout, name, element) for layout in (counted, positional)]
            print(f"{name:22}" + "    ".join(f"{ms:9.2f}{nodes:8.1f}{size_:10,.0f}" for ms, nodes, size_ in cells))
        print(f"{'read one, µs':22}{measure_reads(counted):9.1f}{'':22}{measure_reads(positional):9.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
