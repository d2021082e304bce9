"""Branches, tags and what differs between them: branch, list_branches, delete_branch, diff."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from asg_mcp.core.intents import Category
from asg_mcp.core.limits import PAGE_ITEMS_DEFAULT
from asg_mcp.schemas.base import SUMMED_UP, Branch, Cursor, Limit, MoreBehind, NextCursor, Params, Ref, Wire
from asg_mcp.schemas.entries import ChangeItem, ConflictItem
from asg_mcp.schemas.history import Resolutions
from asg_mcp.schemas.intents import CategoryName, Guarded, Keyed, Reasons
from asg_mcp.schemas.state import WarningItem


class RefKind(StrEnum):
    BRANCH = "branch"
    TAG = "tag"


class ListedKind(StrEnum):
    BRANCH = "branch"
    TAG = "tag"
    SPECULATION = "speculation"


class _Branch(Params):
    name: Annotated[str, Field(description="New name")]
    source: Annotated[Ref, Field(alias="from")] = "main"
    kind: Annotated[RefKind, Field(description="Default branch")] = RefKind.BRANCH


class BranchParams(Keyed, _Branch):
    """A new ref."""


class RefItem(Wire):
    name: Annotated[str, Field(description="Its name.")]
    kind: Annotated[str, Field(description="branch, tag or speculation.")]
    commit: Annotated[str, Field(description="The commit it names.")]
    at: Annotated[str, Field(description="When that commit was made, RFC 3339 in UTC.")]
    agent: Annotated[str, Field(description="Who made that commit.")]
    description: Annotated[str, Field(description="Why that commit was made.")]
    ahead: Annotated[int, Field(description="Commits it has and the default branch lacks.")] = 0
    behind: Annotated[int, Field(description="Commits the default branch has and it lacks.")] = 0


class ListBranchesParams(Params):
    prefix: Annotated[str, Field(description="Of the name")] = ""
    kind: Annotated[ListedKind | None, Field(description="Default all")] = None
    limit: Limit = PAGE_ITEMS_DEFAULT
    cursor: Cursor = ""


class ListBranchesReply(Wire):
    branches: Annotated[list[RefItem], Field(description="In order of their names.")]
    total: Annotated[int, Field(description="How many there are on all pages.")]
    next_cursor: NextCursor


class _DeleteBranch(Params):
    name: Annotated[str, Field(description="Branch or tag")]


class DeleteBranchParams(Keyed, _DeleteBranch):
    """A ref to drop."""


class DiffParams(Params):
    ref_a: Annotated[Ref, Field(description="Old side; default main")] = "main"
    ref_b: Annotated[Ref, Field(description="New side")]
    path: Annotated[str, Field(description="Only below it")] = "/"
    limit: Limit = PAGE_ITEMS_DEFAULT
    cursor: Cursor = ""


class DiffReply(Wire):
    ref_a: Annotated[str, Field(description="The old side.")]
    ref_b: Annotated[str, Field(description="The new side.")]
    commit_a: Annotated[str, Field(description="The commit of the old side.")]
    commit_b: Annotated[str, Field(description="The commit of the new side.")]
    changes: Annotated[list[ChangeItem], Field(description="What leads from the old side to the new, in path order.")]
    next_cursor: NextCursor
    omitted: MoreBehind = 0


class Strategy(StrEnum):
    AUTO = "auto"
    OURS = "ours"
    THEIRS = "theirs"
    MANUAL = "manual"


class _Merge(Params):
    source: Annotated[str, Field(description="Merged")]
    target: Branch = "main"
    strategy: Annotated[Strategy, Field(description="Default auto")] = Strategy.AUTO
    resolutions: Resolutions = []
    preview: Annotated[bool, Field(description="Dry run")] = False


class _Merging(Params):
    intent_category: Annotated[CategoryName, Field(description="Default Merge", json_schema_extra=SUMMED_UP)] = (
        Category.MERGE
    )
    intent_description: Annotated[str, Field(description="Why")]


class MergeParams(Keyed, Guarded, Reasons, _Merging, _Merge):
    """What to merge into which branch."""


class MergeReply(Wire):
    merged: Annotated[bool, Field(description="Whether the branch has the source now; false with conflicts.")]
    already: Annotated[bool, Field(description="Whether it had it before, so that no commit was needed.")] = False
    ref: Annotated[str, Field(description="The branch merged into.")]
    commit: Annotated[str, Field(description="Its head now, the merge; missing with conflicts or in a preview.")] = ""
    parent: Annotated[str, Field(description="Its head before.")]
    object: Annotated[str, Field(description="The object of the whole state now.")] = ""
    changed: Annotated[int, Field(description="Paths of the branch whose value changed, or would change.")]
    conflicts: Annotated[list[ConflictItem], Field(description="Paths that both changed; settle with resolutions.")]
    changes: Annotated[list[ChangeItem], Field(description="What the merge would do; only in a preview.")] = []
    omitted: Annotated[
        dict[str, int], Field(description="How many of each list did not fit; missing when all did.")
    ] = {}
    rebased: Annotated[bool, Field(description="Whether others had moved the branch past expected_head, elsewhere.")]
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False
    warnings: Annotated[
        list[WarningItem], Field(description="Where the merge, though made, breaks /__schema__; missing when nowhere.")
    ] = []
    warnings_omitted: Annotated[int, Field(description="How many more there are; missing when none.")] = 0
