"""Histories with merges as plain dictionaries: values, common ancestors, origins and blame by walking everything."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from asg_mcp.core.lists import align
from asg_mcp.core.mergerules import NO_RULES, Rules
from asg_mcp.core.values import encode
from tests.model import oracle
from tests.model.merge_oracle import GONE, Clashes, merge_values
from tests.model.oracle import Cell, Path


@dataclass
class Made:
    """One commit: its id, its parents' numbers, and the state it made."""

    commit: str
    parents: tuple[int, ...]
    root: Cell


@dataclass
class GraphModel:
    """All commits by number. Every question is answered by looking at all of them."""

    commits: dict[int, Made] = field(default_factory=dict)

    def reached(self, *heads: int) -> set[int]:
        """The commits that these reach, themselves included."""
        seen: set[int] = set()
        todo = list(heads)
        while todo:
            number = todo.pop()
            if number not in seen:
                seen.add(number)
                todo += self.commits[number].parents
        return seen

    def bases(self, ones: Sequence[int], others: Sequence[int]) -> list[int]:
        """The common ancestors that no other common ancestor reaches, highest first."""
        common = self.reached(*ones) & self.reached(*others)
        worse = {number for one in common for number in self.reached(one) - {one}}
        return sorted(common - worse, reverse=True)

    def base(self, ones: Sequence[int], others: Sequence[int], rules: Rules) -> Any:
        """The value that two sides began with: several bases merged, the oldest first; clashes as in their own base."""
        oldest, *rest = reversed(self.bases(ones, others))
        value, taken = self.commits[oldest].root.value(), [oldest]
        for number in rest:
            began = self.base(taken, [number], rules)
            value, clashes = merge_values(began, value, self.commits[number].root.value(), rules)
            for path, _ in clashes:
                value = put(value, path, at(began, path))
            taken.append(number)
        return value

    def merge(self, ours: int, theirs: int, *, manual: bool = False) -> tuple[Any, Any, Clashes]:
        """(base, merged value, clashes) of merging `theirs` into `ours`, by the rules that ours holds."""
        mine, other = (self.commits[number].root.value() for number in (ours, theirs))
        rules = Rules.of(mine["__schema__"]) if "__schema__" in mine else NO_RULES
        base = self.base([ours], [theirs], rules)
        value, clashes = merge_values(base, mine, other, rules, manual=manual)
        return base, value, clashes

    # --- who --------------------------------------------------------------------

    def blamed(self, number: int, path: Path) -> int | None:
        """Who changed a path last, or deleted it; None when it never was."""
        if exists(self.commits[number].root, path):
            return max(cell.origin for _, cell in self.commits[number].root.at(path).walk())
        return self.deleted(number, path)

    def deleted(self, number: int, path: Path) -> int | None:
        """The newest commit without the path whose parents all have it, reached through commits without it."""
        lacking: set[int] = set()
        todo = [number]
        while todo:
            here = todo.pop()
            if here not in lacking and not exists(self.commits[here].root, path):
                lacking.add(here)
                todo += self.commits[here].parents
        found = [
            here
            for here in lacking
            if self.commits[here].parents
            and all(exists(self.commits[parent].root, path) for parent in self.commits[here].parents)
        ]
        return max(found, default=None)

    def steps(self, number: int, path: Path) -> set[int]:
        """Every change of a path, on every line that its present content came from."""
        found: set[int] = set()
        seen: set[int] = set()
        todo = [number]
        while todo:
            here = todo.pop()
            if here in seen:
                continue
            seen.add(here)
            root = self.commits[here].root
            if exists(root, path):
                changed = {cell.origin for _, cell in root.at(path).walk()}
            else:
                gone = self.deleted(here, path)
                changed = set() if gone is None else {gone}
            for step in changed:
                found.add(step)
                todo += self.commits[step].parents
        return found

    def given(self, number: int, path: Path) -> int:
        """Who gave a scalar outside lists its value: a merge only where neither side has it."""
        value = at(self.commits[number].root.value(), path)
        for parent in self.commits[number].parents:
            before = at(self.commits[parent].root.value(), path)
            if before is not GONE and encode(before) == encode(value):
                return self.given(parent, path)
        return number


def adopted(result: Cell, ours: Cell | None, theirs: Cell | None, number: int) -> None:
    """What merge `number` changed and theirs has too was changed by whoever changed it there."""
    ours, theirs = (side if side is not None and kind(side) is kind(result) else None for side in (ours, theirs))
    if result.origin == number and theirs is not None:
        if isinstance(result.content, dict):
            here, there = {*result.content}, {*theirs.content}
            mine = None if ours is None else {*ours.content}
            if here == there:
                result.origin = theirs.origin
            elif ours is not None and mine is not None and mine & there <= here <= mine | there:
                result.origin = max(ours.origin, theirs.origin)
        elif oracle.same(result, theirs):
            result.origin = theirs.origin
    if isinstance(result.content, dict):
        for name, cell in result.content.items():
            sides = [None if side is None else side.content.get(name) for side in (ours, theirs)]
            adopted(cell, sides[0], sides[1], number)
    elif isinstance(result.content, list):
        for cell, mine_, other in zip(result.content, partners(result, ours), partners(result, theirs), strict=True):
            adopted(cell, mine_, other, number)


def kind(cell: Cell) -> type:
    """dict, list, or object for a scalar."""
    return type(cell.content) if isinstance(cell.content, dict | list) else object


def partners(result: Cell, side: Cell | None) -> Iterator[Cell | None]:
    """For each element of a list the one of the side's that stands for it: an equal one, or that in its place."""
    if side is None:
        yield from [None] * len(result.content)
        return
    old, new = [encode(cell.value()) for cell in side.content], [encode(cell.value()) for cell in result.content]
    i = j = 0
    for pair_i, pair_j in [*align(old, new), (len(old), len(new))]:
        for place in range(pair_j - j):
            yield side.content[i + place] if i + place < pair_i else None
        if pair_j < len(new):
            yield side.content[pair_i]
        i, j = pair_i + 1, pair_j + 1


def merged_cell(ours: Cell, theirs: Cell, value: Any, number: int) -> Cell:
    """What merge `number` makes of ours."""
    cell = oracle.merged(ours.copy(), value, number).copy()
    adopted(cell, ours, theirs, number)
    return cell


def exists(root: Cell, path: Path) -> bool:
    """Whether a state has the path."""
    try:
        root.at(path)
    except (KeyError, IndexError, ValueError, TypeError):
        return False
    return True


def at(value: Any, path: Path) -> Any:
    """The value at a path, or GONE."""
    for token in path:
        try:
            value = value[int(token) if isinstance(value, list) else token]
        except (KeyError, IndexError, ValueError, TypeError):
            return GONE
    return value


def put(value: Any, path: Path, part: Any) -> Any:
    """The value with another part at a path; GONE takes it away."""
    value = deepcopy(value)
    holder = value
    for token in path[:-1]:
        holder = holder[int(token) if isinstance(holder, list) else token]
    if part is GONE:
        holder.pop(path[-1], None)
    else:
        holder[path[-1]] = deepcopy(part)
    return value
