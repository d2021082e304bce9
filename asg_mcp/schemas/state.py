"""Reading and writing the state: get, set, delete, apply, search."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import AliasChoices, Field

from asg_mcp.core.limits import (
    OPERATIONS_MAX,
    PAGE_ITEMS_DEFAULT,
    PAGE_ITEMS_MAX,
    REPLY_BYTES_ASKED_MAX,
    REPLY_BYTES_MAX,
    VALUE_DEPTH_MAX,
)
from asg_mcp.core.operations import Op
from asg_mcp.schemas.base import (
    FROM_TEXT,
    SUMMED_UP,
    AnyJson,
    Branch,
    Cursor,
    Limit,
    MoreBehind,
    NextCursor,
    Params,
    Path,
    Ref,
    Wire,
)
from asg_mcp.schemas.entries import LastChange, LeftOut
from asg_mcp.schemas.intents import PROVENANCE_SUMMARY, CategoryName, Provenance, WriteArguments


class GetParams(Params):
    ref: Annotated[Ref, Field(description="Default main; main~3, main@TIME")] = "main"
    path: Annotated[
        Path, Field(description="JSON Pointer; default / (all)", validation_alias=AliasChoices("path", "prefix"))
    ] = "/"
    depth: Annotated[int | None, Field(ge=0, le=VALUE_DEPTH_MAX, description="Levels; default all")] = None
    max_bytes: Annotated[int, Field(ge=256, le=REPLY_BYTES_ASKED_MAX, description="Default 32768")] = REPLY_BYTES_MAX
    cursor: Cursor = ""
    full_ids: Annotated[bool, Field(description="64 digits")] = False


class OmittedPart(Wire):
    path: Annotated[str, Field(description="What was left out; get it by this path.")]
    type: Annotated[str, Field(description="Its type.")]
    entries: Annotated[int, Field(description="Entries below it, on all levels: values and containers.")]


class GetReply(Wire):
    ref: Annotated[str, Field(description="The ref that was asked for.")]
    commit: Annotated[str, Field(description="The commit it stood at; usable as expected_head.")]
    path: Annotated[str, Field(description="The path that was read.")]
    value: Annotated[AnyJson, Field(description="The value, without the parts named in omitted.")]
    type: Annotated[str, Field(description="null, bool, int, float, string, list or map.")]
    object: Annotated[str, Field(description="Names the content at the path; usable as expected_object.")]
    truncated: Annotated[bool, Field(description="Whether parts were left out.")]
    omitted: Annotated[list[OmittedPart], Field(description="What is below depth or did not fit max_bytes.")]
    next_cursor: NextCursor
    last_change: Annotated[LastChange, Field(description="Who last changed the path or anything below it, and why.")]
    withheld: Annotated[
        list[str],
        Field(
            description="Where the value has {$withheld: id} in the place of one that was erased; missing if nowhere."
        ),
    ] = []
    withheld_omitted: Annotated[int, Field(description="How many more of them it has; missing when none.")] = 0
    clock_anomaly: Annotated[bool, Field(description="Whether recorded times run backwards around a given TIME.")] = (
        False
    )


class _Set(Params):
    ref: Branch = "main"
    path: Path
    value: Annotated[AnyJson, Field(description="Any JSON")]


class SetParams(WriteArguments, _Set):
    """One value."""

    intent_category: Annotated[CategoryName, Field(description="Kind")]
    provenance: Annotated[Provenance, FROM_TEXT, Field(description=PROVENANCE_SUMMARY, json_schema_extra=SUMMED_UP)] = (
        Provenance()
    )


class _Delete(Params):
    ref: Branch = "main"
    path: Path


class DeleteParams(WriteArguments, _Delete):
    """One path."""


class OperationItem(Params):
    op: Annotated[Op, Field(description="Kind")]
    path: Annotated[str, Field(description="JSON Pointer")]
    value: Annotated[AnyJson, Field(description="Any JSON")] = None
    source: Annotated[str, Field(alias="from", description="Path to move")] = ""


OPERATIONS_SUMMARY = "{op: set|delete|append|insert|move|test, path, value, from}"


class _Apply(Params):
    ref: Branch = "main"
    operations: Annotated[
        list[OperationItem],
        FROM_TEXT,
        Field(max_length=OPERATIONS_MAX, description=OPERATIONS_SUMMARY, json_schema_extra=SUMMED_UP),
    ] = []


class ApplyParams(WriteArguments, _Apply):
    """Many operations."""


class WarningItem(Wire):
    path: Annotated[str, Field(description="Where the write does not keep to /__schema__.")]
    message: Annotated[str, Field(description="What the schema says there.")]


class WriteReply(Wire):
    commit: Annotated[str, Field(description="The commit made; the head where nothing changed.")]
    ref: Annotated[str, Field(description="The branch written.")]
    parent: Annotated[str, Field(description="The commit before it; missing for the first.")] = ""
    object: Annotated[str, Field(description="The object now at the path; missing where the path is gone.")] = ""
    changed: Annotated[int, Field(description="Paths whose value changed; 0 means no commit was made.")]
    rebased: Annotated[bool, Field(description="Whether others had moved the branch past expected_head, elsewhere.")]
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False
    warnings: Annotated[
        list[WarningItem], Field(description="Where the commit, though made, breaks /__schema__; missing when nowhere.")
    ] = Field(default_factory=list)
    warnings_omitted: Annotated[int, Field(description="How many more there are; missing when none.")] = 0


class SearchMode(StrEnum):
    TEXT = "text"
    JSONPATH = "jsonpath"


class SearchParams(Params):
    ref: Ref = "main"
    query: Annotated[str, Field(min_length=1, description="Text or JSONPath")]
    mode: Annotated[SearchMode, Field(description="Default text")] = SearchMode.TEXT
    prefix: Annotated[str, Field(description="Search below it")] = "/"
    limit: Annotated[Limit, Field(ge=1, le=PAGE_ITEMS_MAX, validation_alias=AliasChoices("limit", "max_results"))] = (
        PAGE_ITEMS_DEFAULT
    )
    cursor: Cursor = ""


class MatchItem(Wire):
    path: Annotated[str, Field(description="Where.")]
    value: Annotated[AnyJson, Field(description="The scalar found; missing for a container or a long text.")] = None
    left_out: LeftOut = {}
    type: Annotated[str, Field(description="Its type.")]
    on: Annotated[str, Field(description="What matched: key or value.")]


class SearchReply(Wire):
    ref: Annotated[str, Field(description="The ref that was searched.")]
    commit: Annotated[str, Field(description="The commit it stood at.")]
    matches: Annotated[list[MatchItem], Field(description="In path order.")]
    next_cursor: NextCursor
    omitted: MoreBehind = 0
    scanned: Annotated[int, Field(description="State entries read by this call.")]
    withheld: Annotated[
        int, Field(description="How many of them were erased, so that nobody knows; missing when none.")
    ] = 0
