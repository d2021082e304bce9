"""A plain model of a document that several agents change: values, and who gave each its value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

Path = tuple[str, ...]


@dataclass(slots=True)
class Leaf:
    """A scalar or an empty container."""

    value: Any
    agent: str


Tree = Leaf | dict[str, Any] | list[Any]


@dataclass(frozen=True, slots=True)
class Step:
    """One operation as the tools take it."""

    op: str
    path: Path
    value: Any = None

    def as_operation(self) -> dict[str, Any]:
        told: dict[str, Any] = {"op": self.op, "path": pointer(self.path)}
        return told if self.op == "delete" else {**told, "value": self.value}


@dataclass(slots=True)
class Document:
    """What a branch holds, by the operations of its commits in their order."""

    root: Tree = field(default_factory=dict)

    def apply(self, step: Step, agent: str) -> None:
        parent, token = self._parent(step.path)
        new = None if step.op == "delete" else _tree(step.value, agent)
        if step.op == "append":
            self.at(step.path).append(new)
        elif isinstance(parent, list):
            if step.op == "insert":
                parent.insert(int(token), new)
            elif step.op == "delete":
                del parent[int(token)]
            else:
                parent[int(token)] = new
        elif step.op == "delete":
            del parent[token]
        else:
            parent[token] = new

    def at(self, path: Path) -> Any:
        here: Any = self.root
        for token in path:
            here = here[int(token)] if isinstance(here, list) else here[token]
        return here

    def leaf(self, path: Path) -> Leaf | None:
        """The scalar at a path in a map; None when nothing is there."""
        parent, token = self._parent(path)
        return parent.get(token) if isinstance(parent, dict) else None

    def put(self, path: Path, tree: Tree | None) -> None:
        """Put a value back into its map, with who gave it; None takes out what is there."""
        parent, token = self._parent(path)
        if tree is None:
            parent.pop(token, None)
        else:
            parent[token] = tree

    def value(self, path: Path = ()) -> Any:
        return _value(self.at(path))

    def leaves(self) -> Iterator[tuple[Path, Leaf]]:
        yield from _leaves(self.root, ())

    def _parent(self, path: Path) -> tuple[Any, str]:
        return self.at(path[:-1]), path[-1]


def _tree(value: Any, agent: str) -> Tree:
    if isinstance(value, Mapping) and value:
        return {key: _tree(child, agent) for key, child in value.items()}
    if isinstance(value, list) and value:
        return [_tree(child, agent) for child in value]
    return Leaf(value, agent)


def _value(tree: Tree) -> Any:
    if isinstance(tree, dict):
        return {key: _value(child) for key, child in tree.items()}
    if isinstance(tree, list):
        return [_value(child) for child in tree]
    return tree.value


def _leaves(tree: Tree, path: Path) -> Iterator[tuple[Path, Leaf]]:
    if isinstance(tree, Leaf):
        yield path, tree
        return
    pairs = tree.items() if isinstance(tree, dict) else ((str(index), child) for index, child in enumerate(tree))
    for token, child in pairs:
        yield from _leaves(child, (*path, token))


def pointer(path: Path) -> str:
    """The path as a JSON Pointer."""
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in path) or "/"
