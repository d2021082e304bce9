"""The epoch tools: asg_create_epoch, asg_seal_epoch."""

from __future__ import annotations

from asg_mcp.repo.requests import EpochRequest
from asg_mcp.schemas.epochs import CreateEpochParams, EpochReply, SealedReply, SealEpochParams
from asg_mcp.services import epochs
from asg_mcp.tools import unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext


async def create_epoch(ctx: ToolContext, p: CreateEpochParams) -> EpochReply:
    """An epoch opened."""
    author = unpack.author(ctx, session=p.session)
    request = EpochRequest(p.id, p.description, tuple(p.root_intents), p.since, tuple(p.tags))
    made = await epochs.create_epoch(ctx.repo, request, author, p.request_id)
    return EpochReply(epoch=made.epoch, state=made.state, opened_at=made.opened_at, commits=made.commits)


async def seal_epoch(ctx: ToolContext, p: SealEpochParams) -> SealedReply:
    """An epoch sealed."""
    author = unpack.author(ctx, session=p.session)
    sealed = await epochs.seal_epoch(ctx.repo, p.id, p.summary, author, p.request_id)
    fields = {
        "epoch": sealed.epoch,
        "root": sealed.root,
        "size": sealed.size,
        "commits": sealed.commits,
        "members": sealed.members,
        "bundle": epochs.BUNDLE.format(epoch=sealed.epoch),
        "tag": sealed.tag,
        "checkpoint": sealed.checkpoint,
        "key": sealed.key,
        "sealed_at": sealed.sealed_at,
    }
    return SealedReply.model_validate(fields | ({"follows": sealed.follows} if sealed.follows else {}))


TOOLS = (
    Tool(
        "asg_create_epoch",
        "epochs",
        "Group commits as evidence: those under root intents, or all, join until asg_seal_epoch.",
        create_epoch,
        CreateEpochParams,
        EpochReply,
        Effect.ENSURE,
    ),
    Tool(
        "asg_seal_epoch",
        "epochs",
        "Fix an epoch for ever: members, tag, signed log root. No undo. Returns the bundle.",
        seal_epoch,
        SealEpochParams,
        SealedReply,
        Effect.ENSURE,
    ),
)
