"""Trying things apart: speculate, spec_modify, compare, commit_spec, discard."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field

from asg_mcp.core.limits import OPERATIONS_MAX
from asg_mcp.schemas.base import FROM_TEXT, SUMMED_UP, AnyObject, Params, Ref, Texts, Wire
from asg_mcp.schemas.entries import ChangeItem, ConflictItem
from asg_mcp.schemas.history import Resolutions
from asg_mcp.schemas.intents import Guarded, Intended, Keyed, Reasons
from asg_mcp.schemas.state import OperationItem, WarningItem

Handle = Annotated[str, Field(description="Handle", min_length=1, validation_alias=AliasChoices("handle", "handle_id"))]
Replayed = Annotated[bool, Field(description="Whether this is the answer to an earlier call with this request_id.")]


class _Speculate(Params):
    source: Annotated[Ref, Field(alias="from", description="Default main")] = "main"
    label: Annotated[str, Field(description="Name")] = ""


class SpeculateParams(Keyed, _Speculate):
    """Where to begin."""


class _SpecModify(Params):
    handle: Handle
    operations: Annotated[
        list[OperationItem],
        FROM_TEXT,
        Field(
            min_length=1,
            max_length=OPERATIONS_MAX,
            description="As in asg_apply",
            json_schema_extra=SUMMED_UP,
        ),
    ]


class SpecModifyParams(Keyed, _SpecModify):
    """What to try."""


class SpeculationReply(Wire):
    handle: Annotated[str, Field(description="Give it to the other tools of this group; it works for you alone.")]
    ref: Annotated[str, Field(description="Its name for every tool that reads a ref.")]
    label: Annotated[str, Field(description="Its short name.")] = ""
    base: Annotated[str, Field(description="The commit it began at.")]
    commit: Annotated[str, Field(description="Its newest commit; the base while nothing was tried.")]
    changed: Annotated[int, Field(description="Paths whose value this call changed.")]
    target: Annotated[
        str, Field(description="The branch that asg_commit_spec brings it to; missing if it came from none.")
    ] = ""
    expires: Annotated[str, Field(description="Until when it can be used, RFC 3339 in UTC.")]
    warnings: Annotated[list[WarningItem], Field(description="What the schema at /__schema__ says against it.")] = []
    warnings_omitted: Annotated[int, Field(description="Further warnings.")] = 0
    replayed: Replayed = False


class CompareParams(Params):
    handles: Annotated[
        Texts, Field(min_length=1, description="2 to 8", validation_alias=AliasChoices("handles", "handle_ids"))
    ]
    request_id: Annotated[str, Field(description="For retries")] = ""


class ComparedItem(Wire):
    handle: Annotated[str, Field(description="The speculation.")]
    label: Annotated[str, Field(description="Its short name.")] = ""
    base: Annotated[str, Field(description="The commit it began at.")]
    commit: Annotated[str, Field(description="Its newest commit.")]
    counts: Annotated[AnyObject, Field(description="Changes from its base, by kind.")]
    changes: Annotated[list[ChangeItem], Field(description="The first of them.")]
    omitted: Annotated[int, Field(description="Changes that are not shown.")] = 0
    target: Annotated[str, Field(description="The branch it goes back to; missing if it came from none.")] = ""
    clean: Annotated[
        bool, Field(description="Whether asg_commit_spec would need no resolutions now; missing without target.")
    ] = True
    conflicts: Annotated[list[str], Field(description="Paths that were changed on the target too.")] = []
    conflicts_omitted: Annotated[int, Field(description="Conflicts that are not shown.")] = 0


class PairItem(Wire):
    one: Annotated[str, Field(description="A speculation.")]
    other: Annotated[str, Field(description="Another.")]
    counts: Annotated[AnyObject, Field(description="Changes that lead from one to the other, by kind.")]
    changes: Annotated[list[ChangeItem], Field(description="The first of them: old is in one, new in the other.")]
    omitted: Annotated[int, Field(description="Changes that are not shown.")] = 0


class CompareReply(Wire):
    speculations: Annotated[list[ComparedItem], Field(description="Each against its base.")]
    pairs: Annotated[list[PairItem], Field(description="Each against each other.")]


class _CommitSpec(Params):
    handle: Handle
    target: Annotated[str, Field(description="Branch")] = ""
    resolutions: Annotated[Resolutions, Field(description="As in asg_merge", json_schema_extra=SUMMED_UP)] = []


class CommitSpecParams(Keyed, Guarded, Reasons, Intended, _CommitSpec):
    """Which one won, and why."""


class CommitSpecReply(Wire):
    handle: Annotated[str, Field(description="The speculation; still open if there are conflicts.")]
    ref: Annotated[str, Field(description="What it was committed to.")]
    commit: Annotated[
        str, Field(description="The commit made; the head if nothing was left to change; missing with conflicts.")
    ] = ""
    parent: Annotated[str, Field(description="The commit before it.")]
    object: Annotated[str, Field(description="The object of the whole state.")] = ""
    changed: Annotated[int, Field(description="Paths whose value changed; 0 means no commit was made.")]
    rebased: Annotated[bool, Field(description="Whether others had moved the branch meanwhile; their work stays.")]
    conflicts: Annotated[
        list[ConflictItem], Field(description="Paths that others changed too: nothing was written; settle each.")
    ]
    omitted: Annotated[
        dict[str, int], Field(description="How many of each list did not fit; missing when all did.")
    ] = {}
    alternatives: Annotated[list[str], Field(description="The speculations recorded as alternatives in the commit.")]
    warnings: Annotated[list[WarningItem], Field(description="What the schema at /__schema__ says against it.")] = []
    warnings_omitted: Annotated[int, Field(description="Further warnings.")] = 0
    replayed: Replayed = False


class _Discard(Params):
    handle: Handle
    lesson: Annotated[str, Field(description="Why not")] = ""


class DiscardParams(Keyed, _Discard):
    """What was learned."""


class DiscardReply(Wire):
    handle: Annotated[str, Field(description="The speculation that was dropped.")]
    label: Annotated[str, Field(description="Its short name.")] = ""
    lesson: Annotated[str, Field(description="What it taught; asg_query with target speculations finds it.")]
    commit: Annotated[str, Field(description="Its newest commit, by which it can still be read.")]
    replayed: Replayed = False
