"""Made from `library/history.py` by tests/kit/library_sources.py: do not edit it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library.calls import Guarded
from asg_mcp.library.front import Front
from asg_mcp.library.reading import Page, Row
from asg_mcp.library.results import Blame, Entry, Reverted


class BlockingHistory(Front):
    """Who did what, and why; and undoing it."""

    def log(self, ref: str = "main", limit: int = 20, *, path: str = "/", cursor: str = "") -> Page[Entry]:
        """The commits a ref reaches, newest first; with `path`, those that changed it.

        Raises RefNotFound, PathNotFound.
        """
        return self._wait(self._graph.log(ref, limit, path=path, cursor=cursor))

    def blame(
        self, path: str, ref: str = "main", *, depth: int = 0, history: bool = False, limit: int = 20, cursor: str = ""
    ) -> Blame:
        """Who last changed a path, or deleted it, why, on whose authority, how sure.

        With `depth`, `entries` has one for each field so many levels below; with `history`, one for each change of the
        path, the newest first. Raises PathNotFound where there never was anything, RefNotFound.
        """
        return self._wait(self._graph.blame(path, ref, depth=depth, history=history, limit=limit, cursor=cursor))

    def query(
        self,
        agent_id: str | None = None,
        intent_category: str | None = None,
        tags: Iterable[str] | None = None,
        reasoning_contains: str | None = None,
        confidence_min: float | None = None,
        confidence_max: float | None = None,
        limit: int = 20,
        *,
        ref: str = "main",
        target: str = "commits",
        path: str | None = None,
        principal: str | None = None,
        client: str | None = None,
        session: str | None = None,
        authority: str | None = None,
        intent: str | None = None,
        pattern: str | None = None,
        since: str | None = None,
        until: str | None = None,
        status: str | None = None,
        has_deviations: bool | None = None,
        group_by: Iterable[str] = (),
        order_by: str = "newest",
        view: str = "brief",
        cursor: str = "",
    ) -> Page[Row]:
        """What passes all filters that are given.

        `target` is commits, agents, state, intents, sessions, epochs, plans or speculations; `ref` "*" is the whole
        store; with `group_by` (agent, category, day, ...) groups are counted. Raises InvalidArgument for a filter that
        the target has not.
        """
        return self._wait(
            self._graph.query(
                agent_id,
                intent_category,
                tags,
                reasoning_contains,
                confidence_min,
                confidence_max,
                limit,
                ref=ref,
                target=target,
                path=path,
                principal=principal,
                client=client,
                session=session,
                authority=authority,
                intent=intent,
                pattern=pattern,
                since=since,
                until=until,
                status=status,
                has_deviations=has_deviations,
                group_by=group_by,
                order_by=order_by,
                view=view,
                cursor=cursor,
            )
        )

    def revert(
        self,
        commits: str | Iterable[str] = (),
        description: str = "",
        *,
        category: str = "Rollback",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        ref: str = "main",
        by_agent: str = "",
        by_session: str = "",
        since: str = "",
        path: str = "",
        source: str = "",
        resolutions: Iterable[Mapping[str, Any]] = (),
        preview: bool = False,
        **more: Unpack[Guarded],
    ) -> Reverted:
        """Undo commits, or all by an agent or in a session since a time, or restore a path from `source`.

        It makes a new commit. What others changed later comes back as `conflicts`, settled with `resolutions` as in
        `merge`. Raises CommitNotFound, HeadMoved, Forbidden.
        """
        return self._wait(
            self._graph.revert(
                commits,
                description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                ref=ref,
                by_agent=by_agent,
                by_session=by_session,
                since=since,
                path=path,
                source=source,
                resolutions=resolutions,
                preview=preview,
                **more,
            )
        )
