"""The composition root: the one place that names a storage backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from asg_mcp.errors import StoreIncompatible
from asg_mcp.repo.repository import Repository
from asg_mcp.services.signing import KeyFile, PassingKey
from asg_mcp.storage.memory import MemoryStore
from asg_mcp.storage.sqlite import open_store

KEY_SUFFIX = ".key"
"""After the store's name: the file of the key that signs its checkpoints, made when the first epoch is sealed."""


@asynccontextmanager
async def open_repository(path: Path, *, create: bool = True) -> AsyncIterator[Repository]:
    """The repository in this file, closed with the block.

    With `create` a missing store is made, with its first commit; without it a
    missing or empty file is refused, so that a mistyped path makes nothing.

    Raises StoreIncompatible (no store there, another program's file, a newer
    layout), StoreCorrupt and StoreBusy.
    """
    _check_place(path)
    if not create and not has_store(path):
        raise StoreIncompatible(
            f"There is no store at {path}",
            hint="Check the path (--db or ASG_DB). The server makes the store when a client first starts it.",
            path=str(path),
        )
    store = await open_store(path)
    try:
        repository = Repository(store, KeyFile(key_path(path)))
        if create:
            await repository.create()
        yield repository
    finally:
        await store.close()


@asynccontextmanager
async def open_memory() -> AsyncIterator[Repository]:
    """A new repository in memory, gone with the block."""
    store = MemoryStore()
    try:
        repository = Repository(store, PassingKey())
        await repository.create()
        yield repository
    finally:
        await store.close()


def key_path(path: Path) -> Path:
    """Where the key of the store at this path is; it may not be there yet."""
    file = path.resolve()
    return file.with_name(file.name + KEY_SUFFIX)


def has_store(path: Path) -> bool:
    """Whether there is a file at the path with anything in it.

    Raises StoreIncompatible when the system does not let us look.
    """
    try:
        return path.is_file() and path.stat().st_size > 0
    except OSError as error:
        raise StoreIncompatible(
            f"{path} cannot be looked at: {error.strerror}", hint="Give another place with --db or ASG_DB."
        ) from error


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise StoreIncompatible(
            f"{path} is a folder, and a store is one file", hint="Give the path of the file with --db or ASG_DB."
        )
