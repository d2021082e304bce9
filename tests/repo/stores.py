"""Builders of real stores for the tests of the repository's reading side."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.results import WriteResult
from asg_mcp.repo.transaction import EditedAll, Request, checked_operations, create_store, run, store_commit
from asg_mcp.storage.base import Ref, RefKind, Writer
from asg_mcp.storage.session import SqliteWriter
from asg_mcp.storage.sqlite import SqliteStore, open_store

ALICE = Author("local:alice", "planner", "claude/1.0")
BOB = Author("local:bob", "fixer")
WHY = Intent(Category.REFINE, "A change.")


def operation(op: Op, path: str, value: Any = ABSENT, source: str | None = None) -> Operation:
    """One operation, its paths as text."""
    return Operation(op, parse_path(path), value, None if source is None else parse_path(source))


class Made:
    """A store under construction: its commits are made one by one."""

    def __init__(self, store: SqliteStore) -> None:
        self.store = store
        self.graph = Graph()

    @property
    def hasher(self) -> Hasher:
        return self.store.hasher

    async def apply(
        self,
        operations: Sequence[Operation],
        ref: str = "main",
        author: Author = ALICE,
        intent: Intent = WHY,
        at: int | None = None,
    ) -> WriteResult:
        """One commit; `at` is its time in microseconds."""
        request = Request(ref, checked_operations(operations), intent, author, Guard())

        def work(writer: Writer) -> WriteResult:
            _set_time(writer, at)
            return run(writer, self.hasher, request)

        return await self.store.write(work)

    async def set(self, path: str, value: Any, **given: Any) -> WriteResult:
        """One commit that sets one path."""
        return await self.apply([operation(Op.SET, path, value)], **given)

    async def merge(self, target: str, source: str, intent: Intent = WHY) -> int:
        """A commit with two parents that keeps the target's state; returns its number."""

        def work(writer: Writer) -> int:
            ours, theirs = writer.ref(target), writer.ref(source)
            assert ours is not None
            assert theirs is not None
            heads = (writer.commit(ours.seq), writer.commit(theirs.seq))
            edited = EditedAll(state_at(writer, self.hasher, heads[0]), 0, [], [], None)
            row = store_commit(writer, self.hasher, heads, edited, intent, ALICE)
            writer.swap_ref(ours, replace(ours, seq=row.seq))
            return row.seq

        return await self.store.write(work)

    async def branch(self, name: str, source: str = "main", kind: RefKind = RefKind.BRANCH) -> None:
        """A new name for the head of another."""

        def work(writer: Writer) -> None:
            found = writer.ref(source)
            assert found is not None
            writer.swap_ref(None, Ref(name, kind, found.seq))

        await self.store.write(work)


def _set_time(writer: Writer, at: int | None) -> None:
    if at is not None:
        assert isinstance(writer, SqliteWriter)
        writer._time = at


@asynccontextmanager
async def made_store(folder: Path) -> AsyncIterator[Made]:
    """A new store with its first commit and `main`."""
    store = await open_store(folder / "state.db")
    try:
        await store.write(lambda writer: create_store(writer, store.hasher, "main", ALICE))
        yield Made(store)
    finally:
        await store.close()
