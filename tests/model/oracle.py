"""A state as plain nested nodes that know when they last changed: slow, and obvious.

It shares nothing with the tree but the alignment of lists that can be aligned in
several ways, which is the aligner's to choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.lists import align
from asg_mcp.core.values import encode

Path = tuple[str, ...]


@dataclass
class Cell:
    """One path: what it holds and the number of the change that last changed it.

    `content` is a dict of cells, a list of cells, or a scalar.
    """

    content: Any
    origin: int

    def value(self) -> Any:
        """The plain JSON value."""
        if isinstance(self.content, dict):
            return {name: cell.value() for name, cell in self.content.items()}
        if isinstance(self.content, list):
            return [cell.value() for cell in self.content]
        return self.content

    def copy(self) -> Cell:
        """A cell that shares nothing with this one."""
        if isinstance(self.content, dict):
            return Cell({name: cell.copy() for name, cell in self.content.items()}, self.origin)
        if isinstance(self.content, list):
            return Cell([cell.copy() for cell in self.content], self.origin)
        return Cell(self.content, self.origin)

    def walk(self, path: Path = ()) -> Iterator[tuple[Path, Cell]]:
        """Every path below and its cell, itself first, map keys by their bytes."""
        yield path, self
        if isinstance(self.content, dict):
            for name in sorted(self.content, key=str.encode):
                yield from self.content[name].walk((*path, name))
        elif isinstance(self.content, list):
            for index, cell in enumerate(self.content):
                yield from cell.walk((*path, str(index)))

    def at(self, path: Path) -> Cell:
        """The cell at a path that exists."""
        cell = self
        for token in path:
            cell = cell.content[int(token) if isinstance(cell.content, list) else token]
        return cell


def plant(value: Any, origin: int) -> Cell:
    """New cells for a value, all of one origin."""
    if isinstance(value, dict):
        return Cell({name: plant(item, origin) for name, item in value.items()}, origin)
    if isinstance(value, list):
        return Cell([plant(item, origin) for item in value], origin)
    return Cell(value, origin)


def set_(root: Cell, path: Path, value: Any, origin: int) -> None:
    """The path gets the value; the maps on the way are made where they are missing."""
    if not path:
        replaced = merged(root, value, origin)
        root.content, root.origin = replaced.content, replaced.origin
        return
    if isinstance(root.content, list):
        set_(root.content[int(path[0])], path[1:], value, origin)
    elif path[0] in root.content:
        set_(root.content[path[0]], path[1:], value, origin)
    else:
        for name in reversed(path[1:]):
            value = {name: value}
        root.content[path[0]] = plant(value, origin)
        root.origin = origin


def delete(root: Cell, path: Path, origin: int) -> None:
    """The path goes, and its container has changed."""
    parent = root.at(path[:-1])
    del parent.content[int(path[-1]) if isinstance(parent.content, list) else path[-1]]
    parent.origin = origin


def insert(root: Cell, path: Path, cell: Cell, origin: int) -> None:
    """The cell becomes the element at this position (`-`: the last), and the list has changed."""
    parent = root.at(path[:-1])
    parent.content.insert(len(parent.content) if path[-1] == "-" else int(path[-1]), cell)
    parent.origin = origin


def move(root: Cell, source: Path, path: Path, origin: int) -> None:
    """A delete and a set or an insert; an element that moves inside its list stays what it was."""
    if source == path:
        return
    before = root.copy()
    moved = root.at(source).copy()
    delete(root, source, origin)
    try:
        into_list = isinstance(root.at(path[:-1]).content, list)
    except KeyError:
        into_list = False
    if not into_list:
        set_(root, path, moved.value(), origin)
        return
    inside = source[:-1] == path[:-1]
    insert(root, path, moved if inside else plant(moved.value(), origin), origin)
    if inside and same(before, root):
        root.content, root.origin = before.content, before.origin


def same(left: Cell, right: Cell) -> bool:
    """Whether two cells hold the same value; 1 is neither 1.0 nor true."""
    return encode(left.value()) == encode(right.value())


def merged(old: Cell, value: Any, origin: int) -> Cell:
    """What a path holds after a value is set where `old` was: what stays equal stays what it was."""
    new = plant(value, origin)
    if isinstance(old.content, dict) and isinstance(value, dict):
        cells = {
            name: merged(old.content[name], item, origin) if name in old.content else plant(item, origin)
            for name, item in value.items()
        }
        return Cell(cells, old.origin if cells.keys() == old.content.keys() else origin)
    if isinstance(old.content, list) and isinstance(value, list):
        return _merged_list(old, new, origin)
    return old if same(old, new) else new


def _merged_list(old: Cell, new: Cell, origin: int) -> Cell:
    """Elements that stay in order are kept; between two of them the others are matched by position."""
    pairs = _kept(old.content, new.content)
    cells: list[Cell] = []
    shifted = False
    gap_old = gap_new = 0
    for i, j in [*pairs, (len(old.content), len(new.content))]:
        was, now = old.content[gap_old:i], new.content[gap_new:j]
        for number, cell in enumerate(now):
            cells.append(merged(was[number], cell.value(), origin) if number < len(was) else cell)
        shifted = shifted or len(was) != len(now)
        if i < len(old.content):
            cells.append(old.content[i])
        gap_old, gap_new = i + 1, j + 1
    return Cell(cells, origin if shifted else old.origin)


def _kept(old: list[Cell], new: list[Cell]) -> list[tuple[int, int]]:
    """Which elements are the same as before.

    Where every element differs from the others of its list and the common ones
    keep their order, only one answer keeps them all.
    """
    left, right = [encode(cell.value()) for cell in old], [encode(cell.value()) for cell in new]
    if len(set(left)) == len(left) and len(set(right)) == len(right):
        pairs = [(i, right.index(element)) for i, element in enumerate(left) if element in right]
        if [j for _, j in pairs] == sorted(j for _, j in pairs):
            return pairs
    return align(left, right)
