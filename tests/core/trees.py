"""Trees and states in memory, for the tests of the core."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from asg_mcp.core.edits import Edited, apply_operation
from asg_mcp.core.flat import flatten
from asg_mcp.core.nodes import SCALAR, Branch, Entry, Hasher, Link, Node
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.core.paths import ELEMENT, END, parse_path
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree

HASHER = Hasher(bytes(range(32)), bytes(range(32, 64)))


class NothingStored:
    """The source of a tree whose nodes are all in memory."""

    def load(self, row: int) -> NoReturn:
        raise AssertionError(f"row {row} was asked for, and nothing is stored")

    def blob(self, row: int) -> NoReturn:
        raise AssertionError(f"row {row} was asked for, and nothing is stored")


SOURCE = NothingStored()


def scalar(name: str, value: Any = 0, origin: int = 1) -> Entry:
    """A map entry directly below the root."""
    return Entry(name + END, SCALAR, value, origin)


def element(value: Any, origin: int = 1) -> Entry:
    """An element of the list /l."""
    return Entry("l" + END + ELEMENT, SCALAR, value, origin)


def tree_of(entries: Sequence[Entry]) -> Tree:
    return Tree.of(SOURCE, HASHER, entries)


def state_of(document: dict[str, Any], origin: int = 1) -> State:
    return State(tree_of(flatten(document, "", origin, HASHER)))


def nodes_below(tree: Tree, link: Link | None = None) -> Iterator[tuple[Link, Node]]:
    """Every node with the link that leads to it, the top first."""
    link = link or tree.root
    node = tree.open(link)
    yield link, node
    if type(node) is Branch:
        for child in node.items:
            yield from nodes_below(tree, child)


def height_of(tree: Tree) -> int:
    return tree.open(tree.root).height


def edit(
    state: State, op: str, path: str, value: Any = ABSENT, *, source: str | None = None, origin: int = 2
) -> Edited:
    """Apply one operation, with paths as text."""
    where = None if source is None else parse_path(source)
    return apply_operation(state, Operation(Op(op), parse_path(path), value, where), origin)


def document_of(state: State) -> Any:
    return state.value(state.root())


def origin_at(state: State, path: str) -> int:
    return state.spot(parse_path(path)).entry.origin
