"""A repository whose epochs can be sealed, and what an epoch is asked for with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import parse_path
from asg_mcp.repo.repository import Guard, Repository
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.results import EpochInfo
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.services.signing import KeyFile
from asg_mcp.storage.sqlite import SqliteStore, open_store
from tests.repo.stores import ALICE, operation


class EpochDesk:
    """Calls of one repository, with the arguments that hardly vary filled in."""

    def __init__(self, repo: Repository, store: SqliteStore, keys: KeyFile) -> None:
        self.repo, self.store, self.keys = repo, store, keys
        self._made = 0

    async def commit(self, intent_id: str = "", parent: str = "", author: Author = ALICE, ref: str = "main") -> str:
        """One more commit; returns its whole id."""
        self._made += 1
        intent = Intent(Category.REFINE, "A change.", intent_id=intent_id, parent_intent=parent)
        change = [operation(Op.SET, "/n", self._made)]
        return (await self.repo.commit(ref, change, intent, author, Guard())).commit.hex()

    async def open(self, epoch: str = "e1", *roots: str, request_id: str = "", **given: Any) -> EpochInfo:
        """An epoch."""
        request = EpochRequest(epoch, given.pop("description", "Some work."), roots, **given)
        return await create_epoch(self.repo, request, ALICE, request_id)

    async def seal(self, epoch: str = "e1", summary: str = "It is done.", request_id: str = "") -> EpochInfo:
        """A sealed epoch."""
        return await seal_epoch(self.repo, epoch, summary, ALICE, request_id)

    async def value(self, ref: str = "main") -> Any:
        """What is at /n."""
        return (await self.repo.get(ref, parse_path("/n"), depth=None, max_bytes=1_000, cursor="")).value


@asynccontextmanager
async def open_epoch_desk(folder: Path) -> AsyncIterator[EpochDesk]:
    """A repository in a new file, or again in the same one."""
    store, keys = await open_store(folder / "state.db"), KeyFile(folder / "state.db.key")
    try:
        repo = Repository(store, keys)
        await repo.create()
        yield EpochDesk(repo, store, keys)
    finally:
        await store.close()
