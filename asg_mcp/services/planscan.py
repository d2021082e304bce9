"""The tasks of a plan, read out of the tree: what the rules need of each, and no titles, proofs or times.

A node of the tree is named by its content, so what was read of one is kept under its id. Between two calls few nodes
change: reading a plan of 1,000 tasks anew costs about a tenth of reading it first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Any

from asg_mcp.core.ids import NodeId
from asg_mcp.core.nodes import MAP, SCALAR, Entry, Leaf, Link
from asg_mcp.core.paths import ELEMENT, END
from asg_mcp.core.state import Spot
from asg_mcp.core.tree import Tree
from asg_mcp.services.planrules import Priority, Task, TaskStatus

CHUNK_HEIGHT = 1
"""The height of the nodes that are kept: about 600 entries, 80 tasks."""
CHUNKS_MAX = 512
"""Nodes kept in one process, about 20 KB each."""
_LIST_MARK = ELEMENT.removesuffix(END)
_READ = frozenset({"number", "status", "priority", "agent", "parent", "blocked_by", "held_by", "lease_until"})
_STATUSES = {status.value: status for status in TaskStatus}
_PRIORITIES = {priority.value: priority for priority in Priority}
_Raw = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Chunk:
    """What a run of entries tells of tasks."""

    whole: Mapping[str, Task]
    """Those that begin and end in it."""
    parts: tuple[tuple[str, _Raw], ...]
    """What it has of the first and the last, which may begin before it and go on behind it."""


def tasks_at(tree: Tree, spot: Spot) -> dict[str, Task]:
    """The tasks of the map at this place, by id."""
    tasks: dict[str, Task] = {}
    parts: dict[str, _Raw] = {}
    for chunk in _chunks(tree, tree.root, spot.rank + 1, spot.end, len(spot.entry.key)):
        tasks.update(chunk.whole)
        for name, raw in chunk.parts:
            known = parts.setdefault(name, {})
            blockers = [*known.get("blocked_by", ()), *raw.get("blocked_by", ())]
            known.update(raw)
            if blockers:
                known["blocked_by"] = blockers
    tasks.update((name, task_of(name, raw)) for name, raw in parts.items())
    return tasks


def task_of(name: str, fields: Mapping[str, Any]) -> Task:
    """A task of its stored fields. What a merge or an import left unreadable reads as if it had not been said."""
    get = fields.get
    number = get("number", 0)
    return Task(
        name,
        number if type(number) is int else 0,
        _STATUSES.get(_text(get("status")), TaskStatus.PENDING),
        _PRIORITIES.get(_text(get("priority")), Priority.MEDIUM),
        _text(get("agent")),
        _text(get("parent")),
        tuple(get("blocked_by", ())),
        _text(get("held_by")),
        _text(get("lease_until")),
    )


def _text(value: Any) -> str:
    return value if type(value) is str else ""


class _Kept:
    """The chunks read last. Readers and the writer run on different threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._chunks: dict[NodeId, _Chunk] = {}

    def get(self, key: NodeId) -> _Chunk | None:
        return self._chunks.get(key)

    def clear(self) -> None:
        with self._lock:
            self._chunks.clear()

    def put(self, key: NodeId, chunk: _Chunk) -> None:
        with self._lock:
            if len(self._chunks) >= CHUNKS_MAX:
                del self._chunks[next(iter(self._chunks))]
            self._chunks[key] = chunk


_KEPT = _Kept()


def forget() -> None:
    """Forget what was read: something was erased, and an id may stand for less than it did."""
    _KEPT.clear()


def _chunks(tree: Tree, link: Link, low: int, high: int, prefix: int) -> Iterator[_Chunk]:
    """Ranks [low, high) of what is below a link, in runs; `prefix` is the length of the key of the map of tasks."""
    is_whole = low <= 0 and high >= link.count
    known = _KEPT.get(link.id) if is_whole else None
    if known is not None:
        yield known
        return
    node = tree.open(link)
    if type(node) is Leaf:
        yield _read(node.items[max(low, 0) : high], prefix)
    elif is_whole and node.height == CHUNK_HEIGHT:
        entries = (entry for child in node.items for entry in _entries(tree, child))
        chunk = _read(entries, prefix)
        _KEPT.put(link.id, chunk)
        yield chunk
    else:
        for child in node.items:
            if low < child.count and high > 0:
                yield from _chunks(tree, child, low, high, prefix)
            low, high = low - child.count, high - child.count


def _entries(tree: Tree, link: Link) -> Iterable[Entry]:
    leaf = tree.open(link)
    assert type(leaf) is Leaf, "BUG: below height 1 there are leaves"
    return leaf.items


def _read(entries: Iterable[Entry], prefix: int) -> _Chunk:
    found: dict[str, _Raw] = {}
    begun: set[str] = set()
    raw: _Raw = {}
    last = ""
    for entry in entries:
        parts = entry.key[prefix:].split(END)
        name = parts[0]
        if name != last or not found:
            last, raw = name, {}
            if len(parts) == 2 and entry.kind != MAP:
                continue
            found[name] = raw
        if len(parts) == 2:
            begun.add(name)
        elif parts[1] in _READ:
            if len(parts) == 3 and entry.kind == SCALAR:
                raw[parts[1]] = entry.value
            elif len(parts) == 4 and parts[2] == _LIST_MARK and type(entry.value) is str:
                raw.setdefault("blocked_by", []).append(entry.value)
    names = list(found)
    cut = {name for name in names[:1] if name not in begun} | set(names[-1:])
    whole = {name: task_of(name, told) for name, told in found.items() if name not in cut}
    return _Chunk(whole, tuple((name, found[name]) for name in names if name in cut))
