"""The branch tools: asg_branch, asg_list_branches, asg_delete_branch, asg_diff, asg_merge."""

from __future__ import annotations

from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import JsonValue
from asg_mcp.repo import results as r
from asg_mcp.repo.repository import MergeRequest
from asg_mcp.schemas.branch import (
    BranchParams,
    DeleteBranchParams,
    DiffParams,
    DiffReply,
    ListBranchesParams,
    ListBranchesReply,
    MergeParams,
    MergeReply,
    RefItem,
)
from asg_mcp.tools import pack, unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext


async def branch(ctx: ToolContext, p: BranchParams) -> RefItem:
    """A new branch or tag."""
    author = unpack.author(ctx, session=p.session)
    return RefItem.model_validate(pack.ref(await ctx.repo.branch(p.name, p.kind.value, p.source, author, p.request_id)))


async def list_branches(ctx: ToolContext, p: ListBranchesParams) -> ListBranchesReply:
    """The refs there are."""

    async def fetch(limit: int) -> r.RefList:
        return await ctx.repo.list_refs(p.prefix, kind=p.kind.value if p.kind else "all", limit=limit, cursor=p.cursor)

    found, branches = await pack.page(p.limit, fetch, lambda result: [pack.ref(item) for item in result.refs])
    return ListBranchesReply.model_validate(
        {"branches": branches, "total": found.total, "next_cursor": found.next_cursor}
    )


async def delete_branch(ctx: ToolContext, p: DeleteBranchParams) -> RefItem:
    """A ref dropped; what it named."""
    author = unpack.author(ctx, session=p.session)
    return RefItem.model_validate(pack.ref(await ctx.repo.delete_branch(p.name, author, p.request_id)))


async def diff(ctx: ToolContext, p: DiffParams) -> DiffReply:
    """What leads from one ref to another."""
    path = parse_path(p.path)

    async def fetch(limit: int) -> r.DiffResult:
        return await ctx.repo.diff(p.ref_a, p.ref_b, path, limit=limit, cursor=p.cursor)

    found, changes = await pack.page(p.limit, fetch, lambda result: [pack.change(item) for item in result.changes])
    return DiffReply.model_validate(
        {
            "ref_a": found.ref_a,
            "ref_b": found.ref_b,
            "commit_a": found.commit_a.short,
            "commit_b": found.commit_b.short,
            "changes": changes,
            "next_cursor": found.next_cursor,
            **pack.more(found.omitted),
        }
    )


async def merge(ctx: ToolContext, p: MergeParams) -> MergeReply:
    """A branch merged into another, or what stands in the way."""
    who = unpack.acting(ctx, session=p.session, agent=p.provenance.agent)
    request = MergeRequest(
        source=p.source,
        target=who.branch(p.target, said="target" in p.model_fields_set),
        strategy=p.strategy.value,
        resolutions=unpack.resolutions(p.resolutions),
        preview=p.preview,
    )
    done = await ctx.repo.merge(
        request,
        unpack.intent(p.intent_category, p.intent_description, p, who),
        who.author,
        unpack.guard(p, p.request_id),
    )
    return MergeReply.model_validate(_merged(done, preview=p.preview))


def _merged(done: r.MergeResult, *, preview: bool) -> pack.Fields:
    fields = {**pack.written(done), "merged": done.merged}
    if done.already:
        fields["already"] = True
    lists: dict[str, list[JsonValue]] = {"conflicts": [pack.conflict(item) for item in done.conflicts]}
    if preview:
        lists["changes"] = [pack.change(item) for item in done.changes]
    # The repository hands out the first of the changes, and counts them all.
    return {**fields, **pack.fitted(lists, {"changes": done.changed}), **pack.warned(done.warnings)}


TOOLS = (
    Tool(
        "asg_branch",
        "branch",
        "Make a branch to work apart, or a tag that never moves, from any ref. Fails with ref_exists.",
        branch,
        BranchParams,
        RefItem,
        Effect.ENSURE,
    ),
    Tool(
        "asg_list_branches",
        "branch",
        "List branches, tags and open speculations, each ahead of and behind main. For what differs use asg_diff.",
        list_branches,
        ListBranchesParams,
        ListBranchesReply,
        Effect.READ,
    ),
    Tool(
        "asg_delete_branch",
        "branch",
        "Drop the name of a branch; its commits stay, and asg_branch makes it again from the one returned.",
        delete_branch,
        DeleteBranchParams,
        RefItem,
        Effect.DESTRUCTIVE,
    ),
    Tool(
        "asg_diff",
        "branch",
        "What differs between two refs, as typed changes with old and new values. For who made them use asg_blame.",
        diff,
        DiffParams,
        DiffReply,
        Effect.READ,
    ),
    Tool(
        "asg_merge",
        "branch",
        "Merge a ref into a branch, in one commit. Conflicts come back as data: call again with resolutions.",
        merge,
        MergeParams,
        MergeReply,
        Effect.WRITE,
    ),
)
