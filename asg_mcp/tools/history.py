"""The history tools: asg_log, asg_blame, asg_query, asg_revert."""

from __future__ import annotations

from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.core.values import JsonValue
from asg_mcp.repo import results as r
from asg_mcp.repo.repository import Query, RevertRequest
from asg_mcp.schemas.history import (
    EVERYWHERE,
    BlameParams,
    BlameReply,
    LogParams,
    LogReply,
    QueryParams,
    QueryReply,
    RevertParams,
    RevertReply,
    Target,
    View,
)
from asg_mcp.services import listing
from asg_mcp.tools import pack, unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext


async def log(ctx: ToolContext, p: LogParams) -> LogReply:
    """The commits a ref reaches, or those that changed a path."""
    path = parse_path(p.path)

    async def fetch(limit: int) -> r.LogResult:
        return await ctx.repo.log(p.ref, path, limit=limit, cursor=p.cursor)

    found, commits = await pack.page(p.limit, fetch, lambda result: [pack.commit(info) for info in result.commits])
    fields = {"ref": found.ref, "commits": commits, "next_cursor": found.next_cursor, **pack.more(found.omitted)}
    return LogReply.model_validate({**fields, "clock_anomaly": True} if found.clock_anomaly else fields)


async def blame(ctx: ToolContext, p: BlameParams) -> BlameReply:
    """Who changed a path, and why."""
    path = parse_path(p.path)

    async def fetch(limit: int) -> r.BlameResult:
        return await ctx.repo.blame(p.ref, path, depth=p.depth, history=p.history, limit=limit, cursor=p.cursor)

    found, entries = await pack.page(p.limit, fetch, lambda result: [pack.blamed(entry) for entry in result.entries])
    return BlameReply.model_validate(
        {
            "ref": found.ref,
            "commit": found.commit.short,
            "path": format_path(found.path),
            "entries": entries,
            "next_cursor": found.next_cursor,
            **pack.more(found.omitted),
        }
    )


async def query(ctx: ToolContext, p: QueryParams) -> QueryReply:
    """What passes all filters, or the groups of it."""
    full = p.view is View.FULL

    async def fetch(limit: int) -> r.QueryResult | r.IntentPage | r.RecordPage:
        asked = _query(p, limit)
        if p.target is Target.INTENTS:
            return await listing.intents(ctx.repo, asked)
        if p.target in (Target.COMMITS, Target.AGENTS, Target.STATE):
            return await ctx.repo.query(asked)
        return await listing.records(ctx.repo, asked)

    def packed(result: r.QueryResult | r.IntentPage | r.RecordPage) -> list[pack.Fields]:
        if isinstance(result, r.RecordPage):
            return [pack.record(item) for item in result.items]
        if isinstance(result, r.IntentPage):
            return [pack.intent(item) for item in result.items]
        if p.group_by:
            return [pack.group(found) for found in result.groups]
        return [_item(item, full=full) for item in result.items]

    found, items = await pack.page(p.limit, fetch, packed)
    fields: pack.Fields = {
        "ref": p.ref,
        "groups" if p.group_by else "items": items,
        "next_cursor": found.next_cursor,
        **pack.more(found.omitted),
    }
    if isinstance(found, r.QueryResult):
        fields["examined"] = found.examined
    return QueryReply.model_validate(fields)


def _query(p: QueryParams, limit: int) -> Query:
    filters = p.filters
    return Query(
        target=p.target.value,
        ref="" if p.ref == EVERYWHERE else p.ref,
        path=() if filters.path.startswith("$") else parse_path(filters.path),
        jsonpath=filters.path if filters.path.startswith("$") else "",
        agent=filters.agent,
        principal=filters.principal,
        client=filters.client,
        session=filters.session,
        category=filters.category,
        tags=tuple(filters.tags),
        authority=filters.authority,
        intent=filters.intent,
        text=filters.text,
        pattern=filters.pattern,
        confidence_min=filters.confidence_min,
        confidence_max=filters.confidence_max,
        since=filters.since,
        until=filters.until,
        status=filters.status,
        has_deviations=filters.has_deviations,
        group_by=tuple(key.value for key in p.group_by),
        order_by=p.order_by.value,
        limit=limit,
        cursor=p.cursor,
    )


def _item(item: r.CommitInfo | r.AgentInfo | r.StateItem, *, full: bool) -> pack.Fields:
    if isinstance(item, r.CommitInfo):
        return pack.commit(item, full=full)
    if isinstance(item, r.StateItem):
        return pack.blamed(item, full=full)
    return pack.agent(item)


async def revert(ctx: ToolContext, p: RevertParams) -> RevertReply:
    """Commits undone, or what stands in the way."""
    # The session says whose commits to undo, unless that is said otherwise: then it is the caller's own.
    selects = bool(p.session) and not (p.commits or p.agent or p.path)
    who = unpack.acting(ctx, session="" if selects else p.session, agent=p.provenance.agent)
    request = RevertRequest(
        ref=who.branch(p.ref, said="ref" in p.model_fields_set),
        commits=tuple(p.commits),
        agent=p.agent,
        session=p.session if selects else "",
        since=p.since,
        path=parse_path(p.path) if p.path else None,
        source=p.source,
        resolutions=unpack.resolutions(p.resolutions),
        preview=p.preview,
    )
    done = await ctx.repo.revert(
        request,
        unpack.intent(p.intent_category, p.intent_description, p, who),
        who.author,
        unpack.guard(p, p.request_id),
    )
    return RevertReply.model_validate(_reverted(done, preview=p.preview))


def _reverted(done: r.RevertResult, *, preview: bool) -> pack.Fields:
    """The lists share one reply, those first on which the caller has to act; the changes, the longest, come last."""
    lists: dict[str, list[JsonValue]] = {
        "conflicts": [pack.conflict(item) for item in done.conflicts],
        "reverted": [commit.short for commit in done.reverted],
    }
    if preview:
        lists["changes"] = [pack.change(item) for item in done.changes]
    # The repository hands out the first of the changes, and counts them all.
    fields = {**pack.written(done), **pack.fitted(lists, {"changes": done.changed}), **pack.warned(done.warnings)}
    return {**fields, "skipped": list(done.skipped)} if done.skipped else fields


TOOLS = (
    Tool(
        "asg_log",
        "history",
        "List a ref's commits, newest first, with who and why; with path, those that changed it. "
        "To filter use asg_query.",
        log,
        LogParams,
        LogReply,
        Effect.READ,
    ),
    Tool(
        "asg_blame",
        "history",
        "Explain a value: who last changed it and each field below, why, on whose authority, how sure, "
        "what came of it; deletions too.",
        blame,
        BlameParams,
        BlameReply,
        Effect.READ,
    ),
    Tool(
        "asg_query",
        "history",
        "Find commits, agents, intents, sessions and more by filters that all hold, or count them. "
        "For values use asg_search.",
        query,
        QueryParams,
        QueryReply,
        Effect.READ,
    ),
    Tool(
        "asg_revert",
        "history",
        "Undo commits, or an agent's since a time, or restore a path, as a new commit. "
        "Later changes come back as conflicts.",
        revert,
        RevertParams,
        RevertReply,
        Effect.WRITE,
    ),
)
