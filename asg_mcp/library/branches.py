"""Branches: branch, list_branches, delete_branch, diff, merge."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library import calls
from asg_mcp.library.calls import Calls, Guarded, Retried
from asg_mcp.library.reading import Page
from asg_mcp.library.results import Branch, Change, Merged
from asg_mcp.schemas.branch import BranchParams, DeleteBranchParams, DiffParams, ListBranchesParams, MergeParams
from asg_mcp.tools import branch


class BranchMethods(Calls):
    """Branches, tags, and what differs between them."""

    async def branch(
        self, name: str, from_ref: str = "main", *, kind: str = "branch", **more: Unpack[Retried]
    ) -> Branch:
        """Make a branch, or with kind tag a name that never moves, from any ref. Raises RefExists, RefNotFound."""
        given = {"name": name, "from": from_ref, "kind": kind, **more}
        return Branch.of((await self._ask(branch.branch, BranchParams, given)).dump())

    async def list_branches(
        self, prefix: str | None = None, *, kind: str | None = None, limit: int = 500, cursor: str = ""
    ) -> Page[Branch]:
        """Branches, tags and open speculations in the order of their names, each ahead of and behind main."""
        given = {"prefix": prefix or "", "kind": kind, "cursor": cursor}
        return await self._page(
            branch.list_branches,
            ListBranchesParams,
            given,
            limit,
            lambda reply: [Branch.of(one.dump()) for one in reply.branches],
        )

    async def delete_branch(self, name: str, **more: Unpack[Retried]) -> Branch:
        """Drop a branch's name; its commits stay, and the answer says where it was. Raises RefNotFound, Forbidden."""
        return Branch.of((await self._ask(branch.delete_branch, DeleteBranchParams, {"name": name, **more})).dump())

    async def diff(self, a: str, b: str, path: str = "/", *, limit: int = 10_000, cursor: str = "") -> Page[Change]:
        """What leads from one ref to another, at or below a path, in path order. Raises RefNotFound, PathNotFound."""
        given = {"ref_a": a, "ref_b": b, "path": path, "cursor": cursor}
        return await self._page(
            branch.diff, DiffParams, given, limit, lambda reply: [Change.of(one.dump()) for one in reply.changes]
        )

    async def merge(
        self,
        source: str,
        target: str = "main",
        *,
        description: str = "",
        category: str = "Merge",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        strategy: str = "auto",
        resolutions: Iterable[Mapping[str, Any]] = (),
        preview: bool = False,
        **more: Unpack[Guarded],
    ) -> Merged:
        """Merge a ref into a branch, by three-way merge with the rules of the state's schema.

        Conflicts are answered, not raised: `merged` is false, `conflicts` names each path, and `resolutions`
        ({path, take: ours, theirs, base or value, value}) settles them. Raises HeadMoved, RefNotFound, Forbidden.
        """
        told = description or f"Merge {source} into {target}."
        why = calls.reasons(told, category, agent, reasoning, confidence, tags, more)
        given = {"source": source, "target": target, "strategy": strategy, "preview": preview, **why}
        settled = calls.plain([dict(item) for item in resolutions])
        reply = await self._ask(branch.merge, MergeParams, {**given, "resolutions": settled})
        return Merged.of(reply.dump())
