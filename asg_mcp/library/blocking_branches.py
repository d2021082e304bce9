"""Made from `library/branches.py` by tests/kit/library_sources.py: do not edit it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library.calls import Guarded, Retried
from asg_mcp.library.front import Front
from asg_mcp.library.reading import Page
from asg_mcp.library.results import Branch, Change, Merged


class BlockingBranches(Front):
    """Branches, tags, and what differs between them."""

    def branch(self, name: str, from_ref: str = "main", *, kind: str = "branch", **more: Unpack[Retried]) -> Branch:
        """Make a branch, or with kind tag a name that never moves, from any ref. Raises RefExists, RefNotFound."""
        return self._wait(self._graph.branch(name, from_ref, kind=kind, **more))

    def list_branches(
        self, prefix: str | None = None, *, kind: str | None = None, limit: int = 500, cursor: str = ""
    ) -> Page[Branch]:
        """Branches, tags and open speculations in the order of their names, each ahead of and behind main."""
        return self._wait(self._graph.list_branches(prefix, kind=kind, limit=limit, cursor=cursor))

    def delete_branch(self, name: str, **more: Unpack[Retried]) -> Branch:
        """Drop a branch's name; its commits stay, and the answer says where it was. Raises RefNotFound, Forbidden."""
        return self._wait(self._graph.delete_branch(name, **more))

    def diff(self, a: str, b: str, path: str = "/", *, limit: int = 10000, cursor: str = "") -> Page[Change]:
        """What leads from one ref to another, at or below a path, in path order. Raises RefNotFound, PathNotFound."""
        return self._wait(self._graph.diff(a, b, path, limit=limit, cursor=cursor))

    def merge(
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
        return self._wait(
            self._graph.merge(
                source,
                target,
                description=description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                strategy=strategy,
                resolutions=resolutions,
                preview=preview,
                **more,
            )
        )
