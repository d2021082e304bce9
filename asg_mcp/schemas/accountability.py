"""Sessions and outcomes: open_session, resolve."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasChoices, BeforeValidator, Field, WithJsonSchema, model_validator

from asg_mcp.core.values import JsonValue
from asg_mcp.schemas.base import FROM_TEXT, SUMMED_UP, AnyObject, Params, Texts, Wire
from asg_mcp.schemas.intents import Authority


class OpenSessionParams(Params):
    agent: Annotated[
        str, Field(description="Who will act", validation_alias=AliasChoices("agent", "agent_id", "agent_name"))
    ]
    branch: Annotated[
        str,
        Field(
            description="Default main",
            validation_alias=AliasChoices("branch", "working_branch", "ref"),
        ),
    ] = ""
    path_scope: Annotated[Texts, Field(description="Writes below")] = []
    parent: Annotated[
        str,
        Field(description="Delegating session", validation_alias=AliasChoices("parent", "parent_session", "session")),
    ] = ""
    intent_description: Annotated[
        str,
        Field(
            description="What for",
            validation_alias=AliasChoices("intent_description", "delegated_intent", "description"),
        ),
    ] = ""
    authority: Annotated[
        Authority | None,
        FROM_TEXT,
        Field(description="{principal, scope}", json_schema_extra=SUMMED_UP),
    ] = None
    expires: Annotated[str, BeforeValidator(lambda given: str(given)), Field(description="RFC 3339, or seconds")] = ""
    request_id: Annotated[str, Field(description="Retry")] = ""


class OpenSessionReply(Wire):
    session: Annotated[str, Field(description="Give it as session with each call.")]
    agent: Annotated[str, Field(description="Who acts in it.")]
    branch: Annotated[str, Field(description="The branch it works on; writes without ref go there.")]
    scope: Annotated[list[str], Field(description="Paths it may write below; empty for all.")]
    parent: Annotated[str, Field(description="The session that delegated.")] = ""
    authority: Annotated[AnyObject, Field(description="On whose authority, with the delegation chain.")] = {}
    expires: Annotated[str, Field(description="Until when, RFC 3339 in UTC.")]
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False


class OutcomeName(StrEnum):
    FULFILLED = "fulfilled"
    PARTIALLY_FULFILLED = "partially_fulfilled"
    FAILED = "failed"
    DEFERRED = "deferred"


def _plain(given: Any) -> Any:
    """An outcome however it is written: Partially Fulfilled, PartiallyFulfilled."""
    if not isinstance(given, str):
        return given
    name = given.strip().lower().replace(" ", "_").replace("-", "_")
    return "partially_fulfilled" if name in ("partiallyfulfilled", "partial", "partially") else name


class Deviation(Params):
    """What went otherwise than intended. Its text alone is the description."""

    description: Annotated[str, Field(min_length=1, description="What went otherwise.")]
    impact: Annotated[str, Field(description="What follows from it.")] = ""
    path: Annotated[str, Field(description="Where, if it is one place.")] = ""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"description": given} if isinstance(given, str) else given


class ResolveParams(Params):
    intent: Annotated[
        str,
        Field(description="intent_id or commit", validation_alias=AliasChoices("intent", "intent_id", "commit")),
    ] = ""
    session: Annotated[str, Field(description="To close")] = ""
    outcome: Annotated[
        OutcomeName,
        BeforeValidator(_plain),
        Field(description="How it ended", validation_alias=AliasChoices("outcome", "status")),
    ]
    summary: Annotated[str, Field(description="In a sentence")]
    observed: Annotated[JsonValue, WithJsonSchema({"type": "string"}), Field(description="What was seen")] = None
    deviations: Annotated[
        list[Deviation], FROM_TEXT, Field(description="{description, impact, path}", json_schema_extra=SUMMED_UP)
    ] = []
    confidence: Annotated[float | None, Field(description="0 to 1")] = None
    request_id: Annotated[str, Field(description="Retry")] = ""


class ChildItem(Wire):
    intent: Annotated[str, Field(description="The intent or session below it.")]
    agent: Annotated[str, Field(description="Who acted.")]
    description: Annotated[str, Field(description="What for.")] = ""
    status: Annotated[str, Field(description="open, or its outcome.")]
    outcome: Annotated[AnyObject, Field(description="What was reported: summary, observed, deviations.")] = {}


class ResolveReply(Wire):
    intent: Annotated[str, Field(description="The intent or session that was reported on.")]
    outcome: Annotated[str, Field(description="Its outcome.")]
    children: Annotated[list[ChildItem], Field(description="Intents and sessions below it, and what they reported.")]
    omitted: Annotated[int, Field(description="Children besides these.")] = 0
    closed: Annotated[bool, Field(description="Whether it is a session, which this closed.")] = False
    hint: Annotated[str, Field(description="What was not done, and how to do it.")] = ""
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False
