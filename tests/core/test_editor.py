"""Many operations on a state: whatever is done together has the outcome of one after the other."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

from asg_mcp.core.edits import Editor, apply_operation, entries_of
from asg_mcp.core.nodes import Entry
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.core.paths import Tokens
from asg_mcp.core.state import State
from asg_mcp.core.tree import Splice, Tree
from asg_mcp.errors import AsgError
from tests.core.test_diff import random_document, random_value
from tests.core.trees import HASHER, nodes_below, state_of

ORIGIN = 7


class OneByOne:
    """What an editor has to do."""

    def __init__(self, state: State, origin: int) -> None:
        self.state = state
        self._origin = origin

    def do(self, operation: Operation) -> tuple[int, Tokens]:
        edited = apply_operation(self.state, operation, self._origin)
        self.state = edited.state
        return edited.changed, edited.path


def do(editor: Editor, operation: Operation) -> tuple[int, Tokens]:
    entries = entries_of(operation, ORIGIN, HASHER)
    return editor.apply(operation.op, operation.path, operation.source, entries)


def told(work: Any, *args: Any) -> Any:
    """The outcome, or all that an error says."""
    try:
        return work(*args)
    except AsgError as error:
        return type(error), str(error), error.hint, error.details


def some_paths(rng: random.Random, value: Any, path: Tokens = ()) -> list[Tokens]:
    """Every path of a document, some that it has not, and some below what it has."""
    out = [path]
    items: list[tuple[str, Any]] = []
    if isinstance(value, dict):
        items = [*value.items()]
        out += [(*path, name) for name in rng.sample(["a", "b", "-", "0", "k0", "new", "zz"], 2)]
        out.append((*path, "new", rng.choice("xyz")))
    elif isinstance(value, list):
        items = [(str(index), item) for index, item in enumerate(value)]
        out += [(*path, "-"), (*path, str(len(value))), (*path, "x")]
    else:
        out.append((*path, "x"))
    for token, item in items:
        out += some_paths(rng, item, (*path, token))
    return out


def random_operation(rng: random.Random, paths: list[Tokens]) -> Operation:
    path = rng.choice(paths)
    op = rng.choice([Op.SET] * 6 + [Op.DELETE] * 4 + [Op.APPEND, Op.INSERT, Op.MOVE, Op.TEST])
    if op is Op.DELETE:
        return Operation(op, path)
    if op is Op.MOVE:
        return Operation(op, path, ABSENT, rng.choice(paths))
    return Operation(op, path, {"a": {}, "b": random_value(rng)} if path == () else random_value(rng))


def same_trees(one: Tree, other: Tree) -> None:
    assert one.id == other.id
    assert [vars_of(entry) for entry in one.entries()] == [vars_of(entry) for entry in other.entries()]
    links = [[link for link, _ in nodes_below(tree)] for tree in (one, other)]
    for link, twin in zip(*links, strict=True):
        assert (link.id, link.count, link.newest, link.level) == (twin.id, twin.count, twin.newest, twin.level)


def vars_of(entry: Entry) -> tuple[Any, ...]:
    return entry.key, entry.kind, HASHER.value_id(entry), entry.origin


@pytest.mark.parametrize("seed", range(10))
def test_an_editor_does_what_the_operations_do_one_by_one(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(25):
        document = random_document(rng)
        state = state_of(document)
        editor, plain = Editor(state, ORIGIN), OneByOne(state, ORIGIN)
        paths = some_paths(rng, document)
        for _ in range(rng.choice([3, 30])):
            operation = random_operation(rng, paths)
            assert told(do, editor, operation) == told(plain.do, operation)
            if rng.random() < 0.05:
                same_trees(editor.state.tree, plain.state.tree)
        same_trees(editor.state.tree, plain.state.tree)


@pytest.mark.parametrize("seed", range(10))
def test_runs_of_sets_and_deletes_are_those_of_one_by_one(seed: int) -> None:
    """Sorted as merges give them, or not: at one rank often several places come into being."""
    rng = random.Random(seed)
    for _ in range(15):
        document = random_document(rng)
        state = state_of(document)
        editor, plain = Editor(state, ORIGIN), OneByOne(state, ORIGIN)
        paths = list(dict.fromkeys(path for path in some_paths(rng, document) if path))
        rng.shuffle(paths)
        operations = [Operation(Op.DELETE, p) if rng.random() < 0.2 else Operation(Op.SET, p, 9) for p in paths[:60]]
        if rng.random() < 0.5:
            operations.sort(key=lambda operation: operation.path)
        for operation in operations:
            assert told(do, editor, operation) == told(plain.do, operation)
        same_trees(editor.state.tree, plain.state.tree)


def test_operations_at_different_places_are_one_splice(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    splice = Tree.splice

    def counted(tree: Tree, splices: Sequence[Splice]) -> Tree:
        sizes.append(len(splices))
        return splice(tree, splices)

    editor = Editor(state_of({"m": {f"k{number:04}": number for number in range(1_000)}, "l": [[1], [2]]}), ORIGIN)
    monkeypatch.setattr(Tree, "splice", counted)
    for number in range(0, 1_000, 2):
        do(editor, Operation(Op.SET, ("m", f"k{number:04}"), -1 - number))
        do(editor, Operation(Op.DELETE, ("m", f"k{number + 1:04}")))
        do(editor, Operation(Op.TEST, ("l", "0"), [1]))
        do(editor, Operation(Op.SET, ("m", f"new-{number}"), {"a": 1}))
    do(editor, Operation(Op.SET, ("l", "0"), [3]))
    do(editor, Operation(Op.SET, ("l", "1"), [4]))
    assert editor.state.value(editor.state.spot(("l",))) == [[3], [4]]
    assert sizes == [500 + 500 + 500 + 2 + 1], "each set, delete and new key, two elements, and the marker of /m once"
