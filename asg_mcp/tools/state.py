"""The state tools: asg_get, asg_set, asg_delete, asg_apply, asg_search."""

from __future__ import annotations

from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.errors import InvalidArgument
from asg_mcp.repo import results as r
from asg_mcp.schemas.state import (
    ApplyParams,
    DeleteParams,
    GetParams,
    GetReply,
    OperationItem,
    SearchParams,
    SearchReply,
    SetParams,
    WriteReply,
)
from asg_mcp.tools import pack, unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext


async def get(ctx: ToolContext, p: GetParams) -> GetReply:
    """A value at a ref, with what was left out and its last change."""
    found = await ctx.repo.get(p.ref, parse_path(p.path), depth=p.depth, max_bytes=p.max_bytes, cursor=p.cursor)
    return GetReply.model_validate(
        {
            **({"clock_anomaly": True} if found.clock_anomaly else {}),
            "ref": found.ref,
            "commit": pack.shown(found.commit, full=p.full_ids),
            "path": format_path(found.path),
            "value": found.value,
            "type": found.type,
            "object": pack.shown(found.object, full=p.full_ids),
            "truncated": found.truncated,
            "omitted": [
                {"path": format_path(path), "type": kind, "entries": entries} for path, kind, entries in found.omitted
            ],
            "next_cursor": found.next_cursor,
            "last_change": pack.last_change(found.last_change, full_ids=p.full_ids),
            **pack.withheld(found),
        }
    )


async def set_value(ctx: ToolContext, p: SetParams) -> WriteReply:
    """One value, one commit."""
    return await _commit(ctx, p, [Operation(Op.SET, parse_path(p.path), p.value)])


async def delete(ctx: ToolContext, p: DeleteParams) -> WriteReply:
    """One path gone, one commit."""
    return await _commit(ctx, p, [Operation(Op.DELETE, parse_path(p.path))])


async def apply(ctx: ToolContext, p: ApplyParams) -> WriteReply:
    """Many operations, one commit."""
    return await _commit(ctx, p, [operation(item, place) for place, item in enumerate(p.operations)])


async def _commit(
    ctx: ToolContext, p: SetParams | DeleteParams | ApplyParams, operations: list[Operation]
) -> WriteReply:
    who = unpack.acting(ctx, session=p.session, agent=p.provenance.agent)
    done = await ctx.repo.commit(
        who.branch(p.ref, said="ref" in p.model_fields_set),
        operations,
        unpack.intent(p.intent_category, p.intent_description, p, who),
        who.author,
        unpack.guard(p, p.request_id),
    )
    return WriteReply.model_validate(pack.written(done))


def operation(item: OperationItem, place: int) -> Operation:
    """One operation of a list, checked for the fields that its kind needs.

    Raises InvalidArgument, which names the operation by its place, and InvalidPath.
    """
    takes_value, is_move = item.op not in (Op.DELETE, Op.MOVE), item.op is Op.MOVE
    # Some clients fill in what they were not given, so a null or blank that means nothing here is let pass.
    if (("value" in item.model_fields_set) if takes_value else (item.value is not None)) != takes_value:
        raise _unfit(item, place, "value", given=not takes_value)
    if bool(item.source) != is_move:
        raise _unfit(item, place, "from", given=not is_move)
    return Operation(
        item.op,
        parse_path(item.path),
        item.value if takes_value else ABSENT,
        parse_path(item.source) if is_move else None,
    )


def _unfit(item: OperationItem, place: int, field: str, *, given: bool) -> InvalidArgument:
    problem = f"takes no {field}" if given else f"needs {field}"
    return InvalidArgument(
        f"operations[{place}]: {item.op} {problem}",
        hint="set, append, insert and test need value; move needs from; delete needs neither.",
        index=place,
    )


async def search(ctx: ToolContext, p: SearchParams) -> SearchReply:
    """Keys and values that match."""
    prefix = parse_path(p.prefix)

    async def fetch(limit: int) -> r.SearchResult:
        return await ctx.repo.search(p.ref, p.query, mode=p.mode.value, prefix=prefix, limit=limit, cursor=p.cursor)

    found, matches = await pack.page(p.limit, fetch, lambda result: [pack.match(item) for item in result.matches])
    return SearchReply.model_validate(
        {
            "ref": found.ref,
            "commit": found.commit.short,
            "matches": matches,
            "next_cursor": found.next_cursor,
            **pack.more(found.omitted),
            "scanned": found.scanned,
            **({"withheld": found.withheld} if found.withheld else {}),
        }
    )


TOOLS = (
    Tool(
        "asg_get",
        "state",
        "Read a value or subtree at any ref, and who last changed it; omitted names the rest. "
        "To find paths use asg_search.",
        get,
        GetParams,
        GetReply,
        Effect.READ,
    ),
    Tool(
        "asg_set",
        "state",
        "Write one value as one commit, with its reason; asg_apply writes several. Fails with head_moved.",
        set_value,
        SetParams,
        WriteReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_delete",
        "state",
        "Remove a path and all below it; history keeps it. To undo a change use asg_revert. Fails with path_not_found.",
        delete,
        DeleteParams,
        WriteReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_apply",
        "state",
        "Run many operations as one commit, all or none; without any, make a checkpoint. For one value use asg_set.",
        apply,
        ApplyParams,
        WriteReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_search",
        "state",
        "Find keys and values in the state by text or JSONPath; returns paths. For reasons use asg_query.",
        search,
        SearchParams,
        SearchReply,
        Effect.READ,
    ),
)
