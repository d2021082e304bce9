"""Random changes on several branches, against an oracle that is slow and obvious."""

from __future__ import annotations

import random
from typing import Any

import pytest

from asg_mcp.core.edits import apply_operation
from asg_mcp.core.flat import flatten, scalar_value
from asg_mcp.core.nodes import SCALAR
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.state import State
from asg_mcp.core.values import encode
from tests.core.trees import HASHER, SOURCE, document_of, state_of, tree_of
from tests.model import oracle
from tests.model.oracle import Cell, Path

NAMES = ["a", "b", "c", "0", "1", "42", "", "-", "k/~", " ", "é", "😀", "\x03", "a\x00", "a\x02"]
NAMES += [f"key {number}" for number in range(60)]
SCALARS = [None, True, False, 0, 1, 1.0, 0.5, -7, 2**63 - 1, -(2**63), "", "x", "é" * 3, "long " * 600]
BRANCHES_MAX = 4


class Walk:
    """One random walk: branches of (state, oracle), and the number of the next change."""

    def __init__(self, seed: int, entries_max: int) -> None:
        self.rng = random.Random(seed)
        self.entries_max = entries_max
        self.origin = 0
        self.branches: list[tuple[State, Cell]] = [(State.empty(SOURCE, HASHER, 0), oracle.plant({}, 0))]

    def grow(self, entries: int) -> None:
        """Fill the first branch before the walk."""
        state, root = self.branches[0]
        while len(state.tree) < entries:
            self.origin += 1
            operation = Operation(Op.SET, (f"part {self.origin}",), self.value())
            state = apply_operation(state, operation, self.origin).state
            apply_to_oracle(root, operation, self.origin)
        self.branches[0] = (state, root)

    def value(self, depth: int = 0) -> Any:
        rng = self.rng
        kind = rng.random()
        if depth > 3 or kind < 0.5:
            return rng.choice(SCALARS) if rng.random() < 0.5 else rng.randint(0, 30)
        if kind < 0.75:
            return {rng.choice(NAMES): self.value(depth + 1) for _ in range(rng.choice([0, 1, 3, 6]))}
        if depth == 0 and kind > 0.96:
            return [rng.randint(0, 3) for _ in range(rng.randint(60, 200))]
        return [self.value(depth + 1) for _ in range(rng.choice([0, 1, 2, 4, 12]))]

    def varied(self, value: Any) -> Any:
        """Much the same value: some parts changed, some gone, some new."""
        rng = self.rng
        if isinstance(value, dict):
            kept = {name: self.varied(item) for name, item in value.items() if name and rng.random() > 0.08}
            return {**kept, rng.choice(NAMES[7:]): self.value(3)} if rng.random() < 0.15 else kept
        if isinstance(value, list):
            kept_items = [self.varied(item) for item in value if rng.random() > 0.08]
            for _ in range(rng.choice([0, 0, 1, 2])):
                kept_items.insert(rng.randint(0, len(kept_items)), self.value(3))
            return kept_items
        return value if rng.random() > 0.1 else self.value(3)

    def operation(self, root: Cell) -> Operation:
        """An operation that the document can take."""
        rng = self.rng
        places = list(root.walk())
        lists = [place for place in places if isinstance(place[1].content, list)]
        while True:
            path, cell = rng.choice(lists if lists and rng.random() < 0.3 else places)
            # Few changes may be sweeping, or the document would never grow.
            sweeping = len(list(cell.walk())) > self.entries_max // 20 and rng.random() < 0.95
            parent = root.at(path[:-1]).content if path else None
            op = rng.choice(["set", "vary", "new", "deep", "delete", "append", "insert", "move", "empty"])
            if op == "set" and path and not sweeping:
                return Operation(Op.SET, path, self.value())
            if op == "vary" and isinstance(cell.content, dict | list):
                return Operation(Op.SET, path, self.varied(cell.value()))
            if op in ("new", "deep") and isinstance(cell.content, dict):
                names = [rng.choice(NAMES) for _ in range(1 if op == "new" else 3)]
                target = (*path, *names)
                if target[0] and self.is_free(root, target):
                    return Operation(Op.SET, target, self.value(1))
            if op == "delete" and path and not sweeping and (len(places) > 20 or rng.random() < 0.2):
                return Operation(Op.DELETE, path)
            if op == "append" and isinstance(cell.content, list):
                return Operation(Op.APPEND, path, self.value(1))
            if op == "insert" and isinstance(cell.content, list):
                index = str(rng.randint(0, len(cell.content)))
                return Operation(Op.INSERT, (*path, rng.choice([index, index, "-"])), self.value(1))
            if op == "move" and path:
                goal = self.goal_of_move(root, path, places)
                if goal:
                    return Operation(Op.MOVE, goal, source=path)
            if op == "empty" and isinstance(parent, dict) and not sweeping:
                return Operation(Op.SET, path, rng.choice([{}, []]))

    def is_free(self, root: Cell, target: Path) -> bool:
        """Whether the way to the target leads through maps alone, as far as it exists."""
        for end in range(len(target)):
            try:
                if not isinstance(root.at(target[:end]).content, dict):
                    return False
            except KeyError:
                return True
        return True

    def goal_of_move(self, root: Cell, source: Path, places: list[tuple[Path, Cell]]) -> Path | None:
        """Where this may go: a place in its own list, a key of a map, or a position in another list."""
        rng = self.rng
        parent = root.at(source[:-1])
        if isinstance(parent.content, list) and rng.random() < 0.5:
            return (*source[:-1], rng.choice([*[str(index) for index in range(len(parent.content))], "-"]))
        path, cell = rng.choice(places)
        if path[: len(source)] == source:
            return None
        if isinstance(parent.content, list) and path[: len(source) - 1] == source[:-1]:
            return None  # below a later element of the same list, which the removal moves up
        if isinstance(cell.content, dict):
            target = (*path, rng.choice(NAMES))
            return target if target[0] and target[: len(source)] != source else None
        if isinstance(cell.content, list):
            return (*path, str(rng.randint(0, len(cell.content))))
        return None

    def step(self) -> tuple[State, Cell]:
        """Change one branch; now and then fork one, or start one again."""
        rng = self.rng
        number = rng.randrange(len(self.branches))
        state, root = self.branches[number]
        if rng.random() < 0.02:
            fork = (state, root.copy())
            if len(self.branches) < BRANCHES_MAX:
                self.branches.append(fork)
            else:
                self.branches[rng.choice([other for other in range(BRANCHES_MAX) if other != number])] = fork
        if len(state.tree) > self.entries_max:
            largest = max(root.content, key=lambda name: len(list(root.content[name].walk())))
            operation = Operation(Op.DELETE, (largest,))
        else:
            operation = self.operation(root)
        self.origin += 1
        edited = apply_operation(state, operation, self.origin)
        before = encode(root.value())
        apply_to_oracle(root, operation, self.origin)
        assert (edited.changed == 0) == (encode(root.value()) == before), operation
        self.branches[number] = (edited.state, root)
        return edited.state, root


def apply_to_oracle(root: Cell, operation: Operation, origin: int) -> None:
    path, value = operation.path, operation.value
    match operation.op:
        case Op.SET:
            oracle.set_(root, path, value, origin)
        case Op.DELETE:
            oracle.delete(root, path, origin)
        case Op.APPEND:
            oracle.insert(root, (*path, "-"), oracle.plant(value, origin), origin)
        case Op.INSERT:
            oracle.insert(root, path, oracle.plant(value, origin), origin)
        case Op.MOVE:
            assert operation.source is not None
            oracle.move(root, operation.source, path, origin)


def assert_same(state: State, root: Cell) -> None:
    """Same paths, same values, same origins, entry by entry."""
    entries = list(state.tree.entries())
    cells = [cell for _, cell in root.walk()]
    assert len(entries) == len(cells)
    for entry, cell in zip(entries, cells, strict=True):
        assert entry.origin == cell.origin
        if entry.kind == SCALAR:
            held = scalar_value(entry, SOURCE)
            assert type(held) is type(cell.content) and held == cell.content


def assert_found_by_path(state: State, root: Cell, rng: random.Random, number: int) -> None:
    places = list(root.walk())
    for path, cell in rng.sample(places, min(number, len(places))):
        spot = state.spot(path)
        assert spot.entry.origin == cell.origin
        assert encode(state.value(spot)) == encode(cell.value())


def assert_canonical(state: State, root: Cell) -> None:
    """The root is that of the same content written at once."""
    value = root.value()
    assert encode(document_of(state)) == encode(value)
    assert tree_of(flatten(value, "", 1, HASHER)).id == state.tree.id


@pytest.mark.parametrize(
    ("seed", "entries_max", "steps"),
    [*[(seed, 80, 2_000) for seed in range(6)], *[(seed, 500, 1_000) for seed in range(6, 13)], (13, 3_000, 1_000)],
)
def test_states_equal_the_oracle_after_every_change(seed: int, entries_max: int, steps: int) -> None:
    walk = Walk(seed, entries_max)
    walk.grow(entries_max // 2)
    for number in range(steps):
        state, root = walk.step()
        if entries_max < 3_000 or number % 10 == 0:
            assert_same(state, root)
        if number % 5 == 0:
            assert_found_by_path(state, root, walk.rng, 3)
        if number % 20 == 0:
            assert_canonical(state, root)
    for state, root in walk.branches:
        assert_same(state, root)
        assert_canonical(state, root)


def test_branches_with_the_same_content_have_the_same_root_and_their_own_origins() -> None:
    walk = Walk(99, 200)
    for _ in range(300):
        state, root = walk.step()
        other = state_of(root.value(), origin=10**6)
        assert other.tree.id == state.tree.id
        assert {entry.origin for entry in other.tree.entries()} == {10**6}
        assert_same(state, root)
