"""The migration tool: asg_migrate."""

from __future__ import annotations

from asg_mcp.schemas.migrate import MigrateParams, MigrateReply
from asg_mcp.services.migrate import Action, Migrated, Step
from asg_mcp.services.migrate import migrate as run_migrations
from asg_mcp.tools import pack, unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext


async def migrate(ctx: ToolContext, p: MigrateParams) -> MigrateReply:
    """How a ref stands, what its migrations would do, or what they did."""
    author = unpack.author(ctx, session=p.session)
    found = await run_migrations(ctx.repo, Action(p.action.value), p.ref, p.to, author, p.request_id)
    return MigrateReply.model_validate(_packed(found))


def _packed(found: Migrated) -> pack.Fields:
    """The reply: all steps that fit, and in what room is left the changes of a dry run."""
    fields: pack.Fields = {
        "ref": found.ref,
        "commit": found.commit.short,
        "state": found.standing.value,
        "from": found.version,
        "to": found.to,
    }
    steps, room = pack.first([_step(step) for step in found.steps], pack.ITEMS_BYTES_MAX)
    for fields_of_step, step in zip(steps, found.steps, strict=False):
        if step.changes:
            changes, room = pack.first([pack.change(item) for item in step.changes], room)
            fields_of_step["changes"] = changes
    fields |= {"steps": steps, **pack.more(len(found.steps) - len(steps))}
    if found.note:
        fields["note"] = found.note
    return {**fields, "replayed": True} if found.replayed else fields


def _step(step: Step) -> pack.Fields:
    told = step.migration
    fields: pack.Fields = {
        "name": told.name,
        "from": told.from_version,
        "to": told.to_version,
        "description": told.description,
    }
    if told.package:
        fields["package"] = told.package
    if step.operations is not None:
        fields |= {"operations": step.operations, "changed": step.changed}
    if step.commit is not None:
        fields["commit"] = step.commit.short
    return {**fields, "skipped": True} if step.skipped else fields


TOOLS = (
    Tool(
        "asg_migrate",
        "migrate",
        "Migrate the state to a newer schema version, or check what that would do. Returns its steps.",
        migrate,
        MigrateParams,
        MigrateReply,
        Effect.ENSURE,
    ),
)
