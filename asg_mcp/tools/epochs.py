"""The epoch tools: asg_create_epoch, asg_seal_epoch."""

from __future__ import annotations

from asg_mcp.repo.epochs import RootsTold
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
    told = await epochs.roots_told(ctx.repo, made.epoch)
    fields = {"epoch": made.epoch, "state": made.state, "opened_at": made.opened_at, "commits": made.commits}
    given = {"unknown_intents": list(told.unknown), "hint": _hint(made.state, told), "replayed": made.replayed}
    return EpochReply.model_validate(fields | {name: item for name, item in given.items() if item})


def _hint(state: str, told: RootsTold) -> str:
    """What to do about root intents that may not hold what was meant; "" where all is well."""
    hints = []
    if told.earlier and state == "open":
        names = ", ".join(told.earlier)
        hints.append(f"Commits of {names} made before the epoch do not join: to have them, open another with since.")
    if told.unknown:
        names = ", ".join(told.unknown)
        hints.append(f"Nothing is called {names} yet: commits join once they have that intent_id or parent_intent.")
    return " ".join(hints)


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
    given = {"follows": sealed.follows, "replayed": sealed.replayed}
    return SealedReply.model_validate(fields | {name: item for name, item in given.items() if item})


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
