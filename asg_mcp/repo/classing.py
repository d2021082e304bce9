"""Sensitive prefixes: made where nothing is stored under the store's own class key, and destroyed for good."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import anyio.to_thread

from asg_mcp.core.classes import ValueClass, flat_key
from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import CLASSES_MAX
from asg_mcp.core.mergerules import SCHEMA_ROOT
from asg_mcp.core.nodes import SCALAR, Blob, Entry, Leaf
from asg_mcp.core.paths import APPEND, Tokens, format_path, list_index, parse_path
from asg_mcp.errors import Conflict, InvalidArgument, InvalidName, LimitExceeded, NotFound
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.records import is_pruned, operations_of
from asg_mcp.repo.screening import Screen, names_of
from asg_mcp.repo.transaction import KEPT_ROOTS
from asg_mcp.storage.base import Reader, Rewriter, Store

CHUNK_ROWS = 500
"""Rows looked at in one read transaction."""
NAME_CHARS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")
NAME_CHARS_MAX = 32


@dataclass(frozen=True, slots=True)
class _Looked:
    """How far a store was searched: the last row of a node, and the last commit."""

    row: int = 0
    seq: int = 0


class Classes:
    """The sensitive prefixes of an open store."""

    def __init__(self, store: Store, screen: Screen) -> None:
        self._store = store
        self._screen = screen

    def all(self) -> tuple[ValueClass, ...]:
        """Every one that was ever made."""
        with self._store.reading():  # so that those which another process has made are known
            return self._store.hasher.classes.all

    def named(self, name: str) -> ValueClass:
        """The class of this name. Raises NotFound."""
        for group in self.all():
            if group.name == name:
                return group
        raise NotFound(f"There is no class {name!r}", hint="`asg-mcp class list` shows those that there are.")

    async def check(self, name: str, path: Tokens) -> None:
        """Raise unless a class of this name can be made for this path.

        InvalidName and InvalidArgument for what can never be one, Conflict for a name that was used, a prefix inside of
        another or above one, and a prefix below which something is stored, LimitExceeded for one too many.
        """
        self._screen.texts({}, {"class": name, "path": list(path)})
        _check_name(name)
        if not path or path[0] in (*KEPT_ROOTS, SCHEMA_ROOT):
            raise InvalidArgument(
                f"{format_path(path)} cannot be a sensitive prefix", hint="Name a path of your own, such as /patients."
            )
        if any(token == APPEND or list_index(token) is not None for token in path):
            raise InvalidArgument(
                f"{format_path(path)} names a place in a list, or may come to, and elements move",
                hint="A sensitive prefix is made of names: choose the list itself, or a map such as /patients.",
            )
        await anyio.to_thread.run_sync(lambda: self._look(name, path, _Looked()))

    async def make(self, name: str, path: Tokens, author: Author) -> ValueClass:
        """Make a class whose key is there already. Raises what `check` raises."""
        await self.check(name, path)
        looked = await anyio.to_thread.run_sync(lambda: self._look(name, path, _Looked()))
        group = ValueClass(name, path)

        def work(writer: Rewriter) -> None:
            _refuse(writer, self._store.hasher.classes.all, group)
            _search(writer, path, looked)
            writer.replace_classes([*self._store.hasher.classes.all, group])
            log_event(
                writer, EventKind.CLASS_MADE, author, subject=name, body={"class": name, "path": format_path(path)}
            )

        await self._store.rewrite(work)
        return group

    async def destroy(self, name: str, reason: str, author: Author) -> ValueClass:
        """Log that a class is destroyed, durably; its key can be destroyed after that. Repeating it changes nothing.

        Raises NotFound.
        """
        reason = self._screen.texts({"reason": reason}, names_of(author))["reason"]
        group = self.named(name)
        if group.destroyed:
            return group
        gone = replace(group, destroyed=True)

        def work(writer: Rewriter) -> None:
            now = self._store.hasher.classes.all
            writer.replace_classes([gone if held.name == name else held for held in now])
            body = {"reason": reason, "what": "class", "class": name, "paths": [format_path(group.path)]}
            log_event(writer, EventKind.REDACTED, author, subject=name, body={**body, "at": writer.now()})

        await self._store.rewrite(work)
        return gone

    def _look(self, name: str, path: Tokens, looked: _Looked) -> _Looked:
        with self._store.reading() as reader:
            _refuse(reader, self._store.hasher.classes.all, ValueClass(name, path))
            last = reader.last_seq()
        while True:
            with self._store.reading() as reader:
                rows = reader.node_rows(looked.row, CHUNK_ROWS)
                seqs = range(looked.seq + 1, min(last, looked.seq + CHUNK_ROWS) + 1)
                _search(reader, path, looked, rows=[row for row, _ in rows], seqs=seqs)
            if not rows and not seqs:
                return looked
            looked = _Looked(rows[-1][0] if rows else looked.row, seqs[-1] if seqs else looked.seq)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= NAME_CHARS_MAX or not NAME_CHARS.issuperset(name):
        raise InvalidName(
            f"{name!r} cannot be the name of a class",
            hint=f"A name is 1 to {NAME_CHARS_MAX} of a to z, 0 to 9 and -; it can never be erased.",
        )


def _refuse(reader: Reader, there: tuple[ValueClass, ...], group: ValueClass) -> None:
    if len(there) >= CLASSES_MAX:
        raise LimitExceeded(
            f"The store has had {CLASSES_MAX} classes, the destroyed ones included",
            hint="One prefix can hold what several would: use one that is there.",
            limit="CLASSES_MAX",
            max=CLASSES_MAX,
        )
    for held in there:
        if held.name == group.name:
            raise Conflict(f"The name {group.name!r} is that of another class", hint="Choose a name never used before.")
        near = held.key.startswith(group.key) or group.key.startswith(held.key)
        if near and not (held.destroyed and held.key == group.key):
            raise Conflict(
                f"{format_path(group.path)} is inside of the sensitive prefix {format_path(held.path)}, or above it",
                hint="Sensitive prefixes are apart from one another. Choose another path.",
            )


def _search(
    reader: Reader, path: Tokens, looked: _Looked, rows: list[int] | None = None, seqs: range | None = None
) -> None:
    """Raise Conflict when something below a path is stored that is not sealed in a class."""
    if rows is None:
        rows = [row for row, _ in _rows_after(reader, looked.row)]
    if seqs is None:
        seqs = range(looked.seq + 1, reader.last_seq() + 1)
    key = flat_key(path)
    for row in rows:
        node = reader.load(row)
        if type(node) is Leaf:
            _check_plain(reader, path, (entry for entry in node.items if entry.key.startswith(key)))
    for seq in seqs:
        commit = reader.commit(seq)
        if is_pruned(commit):
            continue  # what it held is gone, operations and all
        for operation in operations_of(commit):
            at = flat_key(parse_path(operation.path))
            below = (entry for entry in operation.entries or () if (at + entry.key).startswith(key))
            _check_plain(reader, path, below)


def _rows_after(reader: Reader, row: int) -> Iterator[tuple[int, object]]:
    while found := reader.node_rows(row, CHUNK_ROWS):
        yield from found
        row = found[-1][0]


def _check_plain(reader: Reader, path: Tokens, entries: Iterator[Entry]) -> None:
    for entry in entries:
        blob = entry.value
        if entry.kind != SCALAR or (type(blob) is Blob and (blob.erased or reader.blob_group(blob.row))):
            continue
        raise Conflict(
            f"There are or were values below {format_path(path)} that are stored under the store's own key",
            hint="Choose a path where nothing ever was, or erase its history first: asg-mcp redact path.",
            path=format_path(path),
        )
