"""Branches, tags and what differs between them: branch, list_branches, delete_branch, diff."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from asg_mcp.core.limits import PAGE_ITEMS_DEFAULT
from asg_mcp.schemas.base import Cursor, Limit, MoreBehind, NextCursor, Params, Ref, Wire
from asg_mcp.schemas.entries import ChangeItem
from asg_mcp.schemas.intents import Keyed


class RefKind(StrEnum):
    BRANCH = "branch"
    TAG = "tag"


class _Branch(Params):
    name: Annotated[str, Field(description="New name")]
    source: Annotated[Ref, Field(alias="from")] = "main"
    kind: Annotated[RefKind, Field(description="Default branch")] = RefKind.BRANCH


class BranchParams(Keyed, _Branch):
    """A new ref."""


class RefItem(Wire):
    name: Annotated[str, Field(description="Its name.")]
    kind: Annotated[str, Field(description="branch or tag.")]
    commit: Annotated[str, Field(description="The commit it names.")]
    at: Annotated[str, Field(description="When that commit was made, RFC 3339 in UTC.")]
    agent: Annotated[str, Field(description="Who made that commit.")]
    description: Annotated[str, Field(description="Why that commit was made.")]
    ahead: Annotated[int, Field(description="Commits it has and the default branch lacks.")] = 0
    behind: Annotated[int, Field(description="Commits the default branch has and it lacks.")] = 0


class ListBranchesParams(Params):
    prefix: Annotated[str, Field(description="Of the name")] = ""
    kind: Annotated[RefKind | None, Field(description="Default both")] = None
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
