"""The parts that several replies share: a commit as people read it, a change, a conflict."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asg_mcp.schemas.base import AnyJson, AnyObject, Wire

LeftOut = Annotated[
    dict[str, int], Field(description="The bytes of each field that was too large to show; missing when none was.")
]


class LastChange(Wire):
    """The short answer to who and why."""

    commit: Annotated[str, Field(description="The commit that made the change.")]
    agent: Annotated[str, Field(description="Who made it, as claimed.")]
    category: Annotated[str, Field(description="What kind of change.")]
    description: Annotated[str, Field(description="Why.")]
    confidence: Annotated[float, Field(description="How sure the agent was, 0 to 1.")] = 0.0
    at: Annotated[str, Field(description="When, RFC 3339 in UTC.")]


class Explained(Wire):
    """A commit with everything that explains it. What was not given is missing."""

    commit: Annotated[str, Field(description="The commit.")]
    agent: Annotated[str, Field(description="Who made it, as claimed by the caller.")]
    principal: Annotated[str, Field(description="Who made it, as verified.")]
    client: Annotated[str, Field(description="The program that called, as observed.")]
    session: Annotated[str, Field(description="The session it was made in.")] = ""
    category: Annotated[str, Field(description="What kind of change.")]
    description: Annotated[str, Field(description="Why, in a sentence.")]
    reasoning: Annotated[str, Field(description="The evidence.")] = ""
    confidence: Annotated[float, Field(description="How sure the agent was, 0 to 1.")] = 0.0
    authority: Annotated[AnyObject, Field(description="On whose authority: principal, scope, delegation_chain.")] = {}
    alternatives: Annotated[list[AnyObject], Field(description="What else was considered, and why not.")] = []
    expected: Annotated[AnyJson, Field(description="What was expected to follow.")] = None
    tags: Annotated[list[str], Field(description="Its labels.")] = []
    intent_id: Annotated[str, Field(description="The caller's name for the intent.")] = ""
    parent_intent: Annotated[str, Field(description="The intent it serves.")] = ""
    at: Annotated[str, Field(description="When, RFC 3339 in UTC.")]
    outcome: Annotated[
        AnyObject, Field(description="What was reported of its intent: outcome, summary, observed, deviations.")
    ] = {}
    withheld: Annotated[bool, Field(description="Whether its texts were erased from the record.")] = False
    pruned: Annotated[bool, Field(description="Whether gc took away all that it held but its header.")] = False
    provenance: Annotated[AnyObject, Field(description="All that was given, tool calls included; in a full view.")] = {}
    left_out: LeftOut = {}


class CommitItem(Explained):
    parents: Annotated[list[str], Field(description="The commits it follows; two for a merge.")]


class ChangeItem(Wire):
    op: Annotated[str, Field(description="add, remove, replace, move, or type: another type of value.")]
    path: Annotated[str, Field(description="Where; after a move, the new path.")]
    source: Annotated[str, Field(alias="from", description="The old path of a moved element.")] = ""
    old: Annotated[AnyJson, Field(description="The value before; missing where there was none.")] = None
    new: Annotated[AnyJson, Field(description="The value after; missing where there is none.")] = None
    left_out: LeftOut = {}


class ChangedBy(Wire):
    """Who changed one side of a conflict."""

    commit: Annotated[str, Field(description="The commit that last changed the path, or deleted it.")]
    agent: Annotated[str, Field(description="Who made it, as claimed.")]
    description: Annotated[str, Field(description="Why.")]
    at: Annotated[str, Field(description="When, RFC 3339 in UTC.")]


class ConflictItem(Wire):
    path: Annotated[str, Field(description="Where the two sides disagree.")]
    base: Annotated[AnyJson, Field(description="The value both began with; a missing side has none.")] = None
    ours: Annotated[AnyJson, Field(description="The value on the branch.")] = None
    theirs: Annotated[AnyJson, Field(description="The value to be brought in.")] = None
    rule: Annotated[str, Field(description="Why it conflicts: scalar, container, list, migration, or a merge rule.")]
    ours_by: Annotated[ChangedBy | None, Field(description="Who changed it on the branch; missing if nobody did.")] = (
        None
    )
    theirs_by: Annotated[ChangedBy | None, Field(description="Who changed it on the other side.")] = None
    left_out: LeftOut = {}
