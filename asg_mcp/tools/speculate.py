"""The speculation tools: asg_speculate, asg_spec_modify, asg_compare, asg_commit_spec, asg_discard."""

from __future__ import annotations

from pydantic_core import to_json

from asg_mcp.core.limits import SPECULATIONS_COMPARED_MAX
from asg_mcp.core.paths import format_path
from asg_mcp.repo import results as r
from asg_mcp.repo import specresults as sr
from asg_mcp.repo.repository import PromoteRequest
from asg_mcp.schemas.speculate import (
    CommitSpecParams,
    CommitSpecReply,
    CompareParams,
    CompareReply,
    DiscardParams,
    DiscardReply,
    SpecModifyParams,
    SpeculateParams,
    SpeculationReply,
)
from asg_mcp.tools import pack, unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext
from asg_mcp.tools.state import operation

CHANGE_BYTES_MAX = 1_024
"""One change in a comparison; there are many lists in its reply, so that less is left where they are all long."""
CONFLICTS_BYTES_MAX = 1_024
"""The paths of conflicts that a comparison names for one speculation."""


async def speculate(ctx: ToolContext, p: SpeculateParams) -> SpeculationReply:
    """A place to try things."""
    author = unpack.author(ctx, session=p.session)
    return _speculation(await ctx.repo.speculations.open(p.source, p.label, author, p.request_id))


async def spec_modify(ctx: ToolContext, p: SpecModifyParams) -> SpeculationReply:
    """Something tried, all of it or nothing."""
    operations = [operation(item, place) for place, item in enumerate(p.operations)]
    author = unpack.author(ctx, session=p.session)
    return _speculation(await ctx.repo.speculations.modify(p.handle, operations, author, p.request_id))


def _speculation(done: sr.SpeculationResult) -> SpeculationReply:
    fields = {
        "handle": done.handle,
        "ref": f"spec:{done.handle}",
        "base": done.base.short,
        "commit": done.head.short,
        "changed": done.changed,
        "expires": done.expires,
        **_given(label=done.label, target=done.target, replayed=done.replayed),
        **pack.warned(done.warnings),
    }
    return SpeculationReply.model_validate(fields)


def _given(**fields: object) -> pack.Fields:
    """The fields that say something."""
    return {name: item for name, item in fields.items() if item}


async def compare(ctx: ToolContext, p: CompareParams) -> CompareReply:
    """Speculations side by side."""
    found = await ctx.repo.speculations.compare(p.handles, unpack.author(ctx), p.request_id)
    changed = [*(one.changed for one in found.speculations), *(pair.changed for pair in found.pairs)]
    sets = _shared(changed)
    speculations = [{**_compared(one), **sets.pop(0)} for one in found.speculations]
    pairs = [{"one": pair.one, "other": pair.other, **sets.pop(0)} for pair in found.pairs]
    return CompareReply.model_validate({"speculations": speculations, "pairs": pairs})


def _compared(one: sr.Compared) -> pack.Fields:
    fields: pack.Fields = {"handle": one.handle, "base": one.base.short, "commit": one.head.short}
    fields |= _given(label=one.label, target=one.target)
    if one.conflicts is not None:
        paths = [format_path(conflict.path) for conflict in one.conflicts]
        shown = pack.first(paths, CONFLICTS_BYTES_MAX)[0]
        fields |= {"clean": not paths, **_given(conflicts=shown, conflicts_omitted=len(paths) - len(shown))}
    return fields


def _shared(found: list[sr.ChangeSet]) -> list[pack.Fields]:
    """Sets of changes that share one reply, each with its counts: what one does not need, the later ones have."""
    out: list[pack.Fields] = []
    room = pack.ITEMS_BYTES_MAX - SPECULATIONS_COMPARED_MAX * CONFLICTS_BYTES_MAX
    for place, changed in enumerate(found):
        share = room // (len(found) - place)
        shown = pack.first([_change(item, min(share, CHANGE_BYTES_MAX)) for item in changed.changes], share)[0]
        room -= len(to_json(shown))
        omitted = sum(changed.counts.values()) - len(shown)
        out.append({"counts": dict(changed.counts), "changes": shown, **pack.more(omitted)})
    return out


def _change(found: r.Change, bytes_max: int) -> pack.Fields:
    """One change; its values are left out where they are too large."""
    fields = pack.change(found)
    if len(to_json(fields)) >= bytes_max:
        sizes = {name: len(to_json(fields.pop(name))) for name in ("old", "new") if name in fields}
        fields["left_out"] = {**fields.get("left_out", {}), **sizes}
    return fields


async def commit_spec(ctx: ToolContext, p: CommitSpecParams) -> CommitSpecReply:
    """The winner, on top of what others did; or what stands in the way."""
    who = unpack.acting(ctx, session=p.session, agent=p.provenance.agent)
    done = await ctx.repo.speculations.commit(
        PromoteRequest(p.handle, p.target, unpack.resolutions(p.resolutions)),
        unpack.intent(p.intent_category, p.intent_description, p, who),
        who.author,
        unpack.guard(p, p.request_id),
    )
    fields: pack.Fields = {
        "handle": done.handle,
        "ref": done.ref,
        "parent": done.parent.short,
        "changed": done.changed,
        "rebased": done.rebased,
        "alternatives": list(done.alternatives),
        **_given(commit=pack.shown(done.commit), object=pack.shown(done.object), replayed=done.replayed),
        **pack.warned(done.warnings),
        **pack.fitted({"conflicts": [pack.conflict(item) for item in done.conflicts]}, {}),
    }
    return CommitSpecReply.model_validate(fields)


async def discard(ctx: ToolContext, p: DiscardParams) -> DiscardReply:
    """A speculation dropped; its lesson."""
    done = await ctx.repo.speculations.discard(p.handle, p.lesson, unpack.author(ctx, session=p.session), p.request_id)
    fields = {"handle": done.handle, "lesson": done.lesson, "commit": done.head.short}
    return DiscardReply.model_validate({**fields, **_given(label=done.label, replayed=done.replayed)})


TOOLS = (
    Tool(
        "asg_speculate",
        "speculate",
        "Try things on a private copy of any ref, for 7 days. To share work use asg_branch.",
        speculate,
        SpeculateParams,
        SpeculationReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_spec_modify",
        "speculate",
        "Try operations in a speculation, all or none; read the result as ref spec:HANDLE.",
        spec_modify,
        SpecModifyParams,
        SpeculationReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_compare",
        "speculate",
        "Compare speculations with base, branch and each other; the winner's commit names them.",
        compare,
        CompareParams,
        CompareReply,
        Effect.ENSURE,
    ),
    Tool(
        "asg_commit_spec",
        "speculate",
        "Commit what a speculation tried onto its branch. Conflicts come back uncommitted.",
        commit_spec,
        CommitSpecParams,
        CommitSpecReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_discard",
        "speculate",
        "Drop a speculation. Its lesson stays: asg_query finds it with target speculations.",
        discard,
        DiscardParams,
        DiscardReply,
        Effect.DESTRUCTIVE,
    ),
)
