"""What happened: log, blame, query, revert."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library import calls, entries
from asg_mcp.library.calls import Calls, Guarded
from asg_mcp.library.reading import Page, Row
from asg_mcp.library.results import Blame, Entry, Reverted
from asg_mcp.schemas.history import BlameParams, LogParams, QueryParams, RevertParams
from asg_mcp.tools import history


class HistoryMethods(Calls):
    """Who did what, and why; and undoing it."""

    async def log(self, ref: str = "main", limit: int = 20, *, path: str = "/", cursor: str = "") -> Page[Entry]:
        """The commits a ref reaches, newest first; with `path`, those that changed it.

        Raises RefNotFound, PathNotFound.
        """
        given = {"ref": ref, "path": path, "cursor": cursor}
        return await self._page(
            history.log, LogParams, given, limit, lambda reply: [entries.entry(one) for one in reply.commits]
        )

    async def blame(
        self,
        path: str,
        ref: str = "main",
        *,
        depth: int = 0,
        history: bool = False,
        limit: int = 20,
        cursor: str = "",
    ) -> Blame:
        """Who last changed a path, or deleted it, why, on whose authority, how sure.

        With `depth`, `entries` has one for each field so many levels below; with `history`, one for each change of the
        path, the newest first. Raises PathNotFound where there never was anything, RefNotFound.
        """
        given = {"path": path, "ref": ref, "depth": depth, "history": history, "limit": limit, "cursor": cursor}
        reply = await self._ask(_blame, BlameParams, given)
        return entries.blame([*reply.entries], reply.next_cursor, reply.omitted)

    async def query(
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
        filters = {
            "agent": agent_id,
            "category": intent_category,
            "tags": None if tags is None else list(tags),
            "text": reasoning_contains,
            "confidence_min": confidence_min,
            "confidence_max": confidence_max,
            "path": path,
            "principal": principal,
            "client": client,
            "session": session,
            "authority": authority,
            "intent": intent,
            "pattern": pattern,
            "since": since,
            "until": until,
            "status": status,
            "has_deviations": has_deviations,
        }
        given = {"target": target, "ref": ref, "filters": filters, "group_by": list(group_by), "order_by": order_by}
        return await self._page(
            _query,
            QueryParams,
            {**given, "view": view, "cursor": cursor},
            limit,
            lambda reply: [entries.row(one) for one in (*reply.items, *reply.groups)],
        )

    async def revert(
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
        undone = [commits] if isinstance(commits, str) else list(commits)
        told = description or f"Revert {', '.join(undone) or by_agent or by_session or path}."
        why = calls.reasons(told, category, agent, reasoning, confidence, tags, more)
        chosen = {"commits": undone, "agent": by_agent, "since": since, "path": path, "source": source}
        if by_session:
            chosen["session"] = by_session
        settled = calls.plain([dict(item) for item in resolutions])
        given = {**calls.on(ref), **why, **chosen, "resolutions": settled, "preview": preview}
        return Reverted.of((await self._ask(_revert, RevertParams, given)).dump())


# A method is called like the module, and its own argument like the tool.
_blame, _query, _revert = history.blame, history.query, history.revert
