"""A repository on a real file, driven with paths as text."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import REPLY_BYTES_ASKED_MAX, VALUE_DEPTH_MAX
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import Tokens, format_path, parse_path
from asg_mcp.repo.repository import Guard, MergeRequest, Repository, Resolution, RevertRequest
from asg_mcp.repo.results import BlameEntry, CommitInfo, DiffResult, GetResult, MergeResult, RevertResult, WriteResult
from tests.repo.stores import ALICE, operation

JOIN = Intent(Category.MERGE, "Merged.")
UNDO = Intent(Category.ROLLBACK, "Undone.")


def ops(*told: tuple[Any, ...]) -> list[Operation]:
    """Operations as (op, path, value) or (move, path, source)."""
    out = []
    for op, path, *rest in told:
        if op == "move":
            out.append(operation(Op.MOVE, path, source=rest[0]))
        else:
            out.append(operation(Op(op), path, *rest))
    return out


class Desk:
    """Calls of one repository, with the arguments that hardly vary filled in."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo

    async def apply(
        self,
        *told: tuple[Any, ...],
        ref: str = "main",
        author: Author = ALICE,
        description: str = "A change.",
        **guard: str,
    ) -> WriteResult:
        """One commit of operations."""
        intent = Intent(Category.REFINE, description)
        return await self.repo.commit(ref, ops(*told), intent, author, Guard(**guard))

    async def set(self, path: str, value: Any, **given: Any) -> WriteResult:
        """One commit that sets one path."""
        return await self.apply(("set", path, value), **given)

    async def get(
        self, path: str = "/", ref: str = "main", depth: int | None = None, max_bytes: int = REPLY_BYTES_ASKED_MAX
    ) -> GetResult:
        """A first page."""
        return await self.repo.get(ref, parse_path(path), depth=depth, max_bytes=max_bytes, cursor="")

    async def value(self, path: str = "/", ref: str = "main") -> Any:
        """A whole value."""
        return (await self.get(path, ref)).value

    async def branch(self, name: str, source: str = "main", kind: str = "branch", **given: Any) -> Any:
        """A new branch or tag."""
        return await self.repo.branch(name, kind, source, ALICE, **given)

    async def head(self, ref: str = "main") -> CommitInfo:
        """The newest commit of a ref."""
        return (await self.repo.log(ref, (), limit=1, cursor="")).commits[0]

    async def blame(self, path: str, ref: str = "main", *, depth: int = VALUE_DEPTH_MAX) -> tuple[BlameEntry, ...]:
        """A first page of blame."""
        tokens = parse_path(path)
        return (await self.repo.blame(ref, tokens, depth=depth, history=False, limit=100, cursor="")).entries

    async def past(self, path: str, ref: str = "main") -> list[tuple[int, str, Any]]:
        """Every change of a path: (commit's number, path then, value or what stands for none)."""
        found = await self.repo.blame(ref, parse_path(path), depth=VALUE_DEPTH_MAX, history=True, limit=100, cursor="")
        return [(entry.commit.seq, format_path(entry.path), entry.value) for entry in found.entries]

    async def log(self, path: str = "/", ref: str = "main") -> list[int]:
        """The numbers of the commits of a ref, or of a path, newest first."""
        found = await self.repo.log(ref, parse_path(path), limit=100, cursor="")
        return [commit.seq for commit in found.commits]

    async def diff(self, a: str, b: str, path: str = "/", limit: int = 100, cursor: str = "") -> DiffResult:
        """A page of differences."""
        return await self.repo.diff(a, b, parse_path(path), limit=limit, cursor=cursor)

    async def revert(
        self, *commits: str, author: Author = ALICE, guard: Guard | None = None, **asked: Any
    ) -> RevertResult:
        """Undo commits, or what else `asked` says."""
        if "path" in asked:
            asked["path"] = parse_path(asked["path"])
        request = RevertRequest(commits=commits, **asked)
        return await self.repo.revert(request, UNDO, author, guard or Guard())

    async def merge(
        self, source: str, target: str = "main", *, author: Author = ALICE, guard: Guard | None = None, **asked: Any
    ) -> MergeResult:
        """Merge a ref into a branch."""
        return await self.repo.merge(MergeRequest(source, target, **asked), JOIN, author, guard or Guard())


def settle(path: str, take: str, value: Any = None) -> Resolution:
    """How a conflict is settled."""
    return Resolution(parse_path(path), take, value)


def paths(found: Any) -> list[str]:
    """The paths of a list of results, as text."""
    return [shown(item.path) for item in found]


def shown(tokens: Tokens) -> str:
    """A path as text."""
    return format_path(tokens)


@asynccontextmanager
async def open_desk(folder: Path) -> AsyncIterator[Desk]:
    """A repository in a new file, or again in the same one."""
    async with open_repository(folder / "state.db") as repo:
        yield Desk(repo)
