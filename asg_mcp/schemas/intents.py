"""Why and by whom: the arguments that every write shares, and the closed model of `provenance`."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, model_validator

from asg_mcp.core.intents import Category
from asg_mcp.schemas.base import FROM_TEXT, SUMMED_UP, AnyJson, Params, Texts


def _any_case(given: Any) -> Any:
    """A category however it is capitalised."""
    return given.strip().capitalize() if isinstance(given, str) else given


CategoryName = Annotated[Category, BeforeValidator(_any_case)]


class Link(Params):
    """One step of a delegation. Its text alone names who delegated."""

    source: Annotated[str, Field(alias="from", description="Who delegated.")] = ""
    to: Annotated[str, Field(description="To whom.")] = ""
    scope: Annotated[str, Field(description="What for.")] = ""
    granted_at: Annotated[str, Field(description="When, RFC 3339.")] = ""
    expires: Annotated[str, Field(description="Until when, RFC 3339.")] = ""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"from": given} if isinstance(given, str) else given


class Authority(Params):
    """On whose authority. Its text alone is the principal."""

    principal: Annotated[str, Field(min_length=1, description="Who allowed it: a person, a role or a policy.")]
    scope: Annotated[str, Field(description="What it allows, in words or as a path.")] = ""
    granted_at: Annotated[str, Field(description="When, RFC 3339.")] = ""
    expires: Annotated[str, Field(description="Until when, RFC 3339.")] = ""
    delegation_chain: Annotated[
        list[Link], FROM_TEXT, Field(description="From the first principal to the agent. A string is {from}.")
    ] = []

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"principal": given} if isinstance(given, str) else given


class Alternative(Params):
    """What else was considered. Its text alone is the description."""

    description: Annotated[str, Field(min_length=1, description="What could have been done instead.")]
    confidence: Annotated[float | None, Field(ge=0, le=1, description="How good it looked, 0 to 1.")] = None
    why_not: Annotated[str, Field(description="Why it was not taken.")] = ""
    handle: Annotated[str, Field(description="The speculation in which it was tried.")] = ""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"description": given} if isinstance(given, str) else given


class ToolCall(Params):
    """One call of another tool that led to the change."""

    tool: Annotated[
        str, Field(min_length=1, validation_alias=AliasChoices("tool", "tool_name"), description="Name of the tool.")
    ]
    arguments: Annotated[AnyJson, Field(description="What it was given.")] = None
    result: Annotated[AnyJson, Field(description="What it answered, shortened where long.")] = None
    tokens: Annotated[int | None, Field(ge=0, description="Tokens it cost.")] = None
    cost: Annotated[float | None, Field(ge=0, description="Money it cost, in US dollars.")] = None
    duration_ms: Annotated[float | None, Field(ge=0, description="How long it took, in milliseconds.")] = None
    at: Annotated[str, Field(validation_alias=AliasChoices("at", "timestamp"), description="When, RFC 3339.")] = ""


class Urgency(StrEnum):
    ROUTINE = "routine"
    PRIORITY = "priority"
    CRITICAL = "critical"


class Notice(Params):
    """Who should hear of the change. Its text alone is the name."""

    who: Annotated[str, Field(min_length=1, description="A person, a team or an agent.")]
    urgency: Annotated[Urgency, Field(description="How soon.")] = Urgency.ROUTINE

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"who": given} if isinstance(given, str) else given


class Provenance(Params):
    """The circumstances of a change, kept with its commit and shown by blame."""

    agent: Annotated[str, Field(description="The agent that acts; the session's or the client's name if absent.")] = ""
    authority: Annotated[
        Authority | None, FROM_TEXT, Field(description="On whose authority. A string is {principal}.")
    ] = None
    alternatives: Annotated[
        list[Alternative], FROM_TEXT, Field(description="What else was considered. A string is {description}.")
    ] = []
    expected: Annotated[AnyJson, Field(description="What should be observed afterwards, in words or as JSON.")] = None
    intent_id: Annotated[str, Field(description="Your own name for this intent.")] = ""
    parent_intent: Annotated[str, Field(description="The intent it serves: an intent_id or a commit.")] = ""
    tool_calls: Annotated[
        list[ToolCall], FROM_TEXT, Field(description="The calls that led to the change, in order.")
    ] = []
    notify: Annotated[list[Notice], FROM_TEXT, Field(description="Who should hear of it. A string is {who}.")] = []


# Told in full by asg_set alone, which is in every profile that writes: the other tools refer to it.
PROVENANCE_SUMMARY = "agent, authority, alternatives, expected, intent_id, parent_intent, tool_calls, notify"


class Intended(Params):
    """The kind of a write and its reason in one sentence."""

    # The choices are listed by asg_set alone, like the inside of provenance; a wrong one is refused with all of them.
    intent_category: Annotated[CategoryName, Field(description="As in asg_set", json_schema_extra=SUMMED_UP)]
    intent_description: Annotated[str, Field(description="Why")]


class Reasons(Params):
    """What every tool that makes a commit takes besides."""

    reasoning: Annotated[str, Field(description="Evidence")] = ""
    confidence: Annotated[float | None, Field(description="0 to 1")] = None
    tags: Annotated[Texts, Field(description="Labels")] = Field(default_factory=list)
    provenance: Annotated[Provenance, FROM_TEXT, Field(description="As in asg_set", json_schema_extra=SUMMED_UP)] = (
        Provenance()
    )


class Guarded(Params):
    """What the caller says it had read."""

    expected_head: Annotated[str, Field(description="As read")] = ""
    expected_object: Annotated[str, Field(description="As read")] = ""


class Keyed(Params):
    """What every writing tool takes."""

    session: Annotated[str, Field(description="Session")] = ""
    request_id: Annotated[str, Field(description="Retry")] = ""


class WriteArguments(Keyed, Guarded, Reasons, Intended):
    """The shared arguments of set, delete and apply."""
