"""A repository to erase from, and a look at every byte of its files that uses nothing of the program's readers."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import zstandard

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.core.secretpolicy import parse_policy
from asg_mcp.repo.redactplan import Finished, Plan, Receipt, Target
from asg_mcp.repo.repository import Guard, Repository
from asg_mcp.services.signing import KeyFile
from asg_mcp.storage.dictionary import read_dictionary
from asg_mcp.storage.sqlite import SqliteStore, open_store

ALICE = Author("local:alice", "planner", "claude/1.0")
OPERATOR = Author("local:op", "asg-mcp")
_HEAD = 5
"""Of a row at rest: a flag and a checksum."""


def quiet(*_: object) -> None:
    """Progress that nobody watches."""


class RedactDesk:
    """Calls of one repository, with the arguments that hardly vary filled in."""

    def __init__(self, repo: Repository, store: SqliteStore) -> None:
        self.repo, self.store = repo, store

    async def set(self, path: str, value: Any, ref: str = "main", request_id: str = "", **why: Any) -> str:
        """One commit; its whole id."""
        return await self.apply([Operation(Op.SET, parse_path(path), value)], ref, request_id, **why)

    async def apply(self, operations: list[Operation], ref: str = "main", request_id: str = "", **why: Any) -> str:
        """One commit; its whole id."""
        intent = Intent(Category.REFINE, **{"description": "A change.", **why})
        done = await self.repo.commit(ref, operations, intent, ALICE, Guard(request_id=request_id))
        return done.commit.hex()

    async def get(self, path: str = "/", ref: str = "main", **given: Any) -> Any:
        """What get answers."""
        return await self.repo.get(
            ref, parse_path(path), **{"depth": None, "max_bytes": 1_000_000, "cursor": "", **given}
        )

    async def find(self, what: str, **given: Any) -> Plan:
        """A dry run."""
        return await self.repo.redactions.find(Target(what, **given), quiet)

    async def redact(self, what: str, **given: Any) -> tuple[Receipt, Finished]:
        """A redaction, from end to end."""
        plan = await self.find(what, **given)
        receipt = await self.repo.redactions.erase(plan, OPERATOR, "It was pasted.", "secret", (), quiet)
        return receipt, await self.repo.redactions.finish(plan, quiet)

    async def erase(self, plan: Plan) -> Receipt:
        """The transaction of a redaction alone."""
        return await self.repo.redactions.erase(plan, OPERATOR, "It was pasted.", "secret", (), quiet)


@asynccontextmanager
async def open_redact_desk(folder: Path) -> AsyncIterator[RedactDesk]:
    """A repository in a new file, or again in the same one."""
    store, keys = await open_store(folder / "state.db"), KeyFile(folder / "state.db.key")
    try:
        repo = Repository(store, keys, parse_policy("/=allow"))
        await repo.create()
        yield RedactDesk(repo, store)
    finally:
        await store.close()


def everything(folder: Path) -> Iterator[tuple[str, bytes]]:
    """What lies in a folder: the bytes of every file, of each store among them every row unpacked as well, and every
    word of the text index. Nobody may have them open in this process."""
    for file in sorted(found for found in folder.rglob("*") if found.is_file()):
        raw = file.read_bytes()
        yield file.name, raw
        if raw.startswith(b"SQLite format 3"):
            yield from _rows(file)


def _rows(file: Path) -> Iterator[tuple[str, bytes]]:
    unpack = zstandard.ZstdDecompressor(dict_data=zstandard.ZstdCompressionDict(read_dictionary())).decompress
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        for table in ("nodes", "blobs", "commits", "events", "replies", "records"):
            for (data,) in db.execute(f"SELECT data FROM {table} WHERE data IS NOT NULL"):
                yield f"{file.name} {table}", unpack(data[_HEAD:]) if data[0] else data[_HEAD:]
        db.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, texts, row)")
        for (word,) in db.execute("SELECT term FROM temp.words"):
            yield f"{file.name} words", word.encode()


def holding(folder: Path, *texts: str) -> list[str]:
    """Where in a folder one of the texts is, in any case of its letters."""
    forms = [text.lower().encode() for text in texts]
    return sorted({name for name, data in everything(folder) if any(form in data.lower() for form in forms)})
