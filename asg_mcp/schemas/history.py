"""What happened, who did it, and undoing it: log, blame, query, revert."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AliasChoices, Field, model_validator

from asg_mcp.core.intents import Category
from asg_mcp.core.limits import PAGE_ITEMS_DEFAULT, VALUE_DEPTH_MAX
from asg_mcp.schemas.base import (
    FROM_TEXT,
    SUMMED_UP,
    AnyJson,
    AnyObject,
    Branch,
    Cursor,
    Limit,
    MoreBehind,
    NextCursor,
    Params,
    Path,
    Ref,
    Texts,
    Wire,
)
from asg_mcp.schemas.entries import ChangeItem, CommitItem, ConflictItem, Explained, LeftOut
from asg_mcp.schemas.intents import CategoryName, Guarded, Reasons
from asg_mcp.schemas.state import WarningItem


class LogParams(Params):
    ref: Ref = "main"
    path: Annotated[str, Field(description="Only its changes")] = "/"
    limit: Limit = PAGE_ITEMS_DEFAULT
    cursor: Cursor = ""


class LogReply(Wire):
    ref: Annotated[str, Field(description="The ref that was asked for.")]
    commits: Annotated[list[CommitItem], Field(description="Newest first.")]
    next_cursor: NextCursor
    omitted: MoreBehind = 0
    clock_anomaly: Annotated[bool, Field(description="Whether recorded times run backwards around a given TIME.")] = (
        False
    )


class BlameParams(Params):
    ref: Ref = "main"
    path: Path
    depth: Annotated[int, Field(ge=0, le=VALUE_DEPTH_MAX, description="Levels; default all")] = VALUE_DEPTH_MAX
    history: Annotated[bool, Field(description="All its changes")] = False
    limit: Limit = PAGE_ITEMS_DEFAULT
    cursor: Cursor = ""


class BlameItem(Explained):
    path: Annotated[str, Field(description="The path that was changed.")]
    value: Annotated[AnyJson, Field(description="The value it was given; missing when deleted or too large.")] = None
    type: Annotated[str, Field(description="The type of the value; missing when deleted.")] = ""
    deleted: Annotated[bool, Field(description="Whether the change removed the path.")] = False


class BlameReply(Wire):
    ref: Annotated[str, Field(description="The ref that was asked for.")]
    commit: Annotated[str, Field(description="The commit it stood at.")]
    path: Annotated[str, Field(description="The path that was asked for.")]
    entries: Annotated[list[BlameItem], Field(description="One a path, or one a change with history.")]
    next_cursor: NextCursor
    omitted: MoreBehind = 0


class Target(StrEnum):
    COMMITS = "commits"
    AGENTS = "agents"
    STATE = "state"
    INTENTS = "intents"
    SESSIONS = "sessions"
    EPOCHS = "epochs"
    PLANS = "plans"
    SPECULATIONS = "speculations"


class GroupKey(StrEnum):
    AGENT = "agent"
    PRINCIPAL = "principal"
    CLIENT = "client"
    SESSION = "session"
    CATEGORY = "category"
    TAG = "tag"
    DAY = "day"
    AUTHORITY = "authority"


class Order(StrEnum):
    NEWEST = "newest"
    OLDEST = "oldest"
    CONFIDENCE = "confidence"
    COUNT = "count"


class View(StrEnum):
    BRIEF = "brief"
    FULL = "full"


EVERYWHERE = "*"
"""The ref that stands for every commit of the store."""


class Filters(Params):
    """All that are given must hold."""

    path: Annotated[str, Field(description="Changed at or below it; for the target state, a JSONPath ($…) too.")] = "/"
    agent: Annotated[str, Field(validation_alias=AliasChoices("agent", "agent_id"), description="Claimed name.")] = ""
    principal: Annotated[str, Field(description="Verified name.")] = ""
    client: Annotated[str, Field(description="Calling program.")] = ""
    session: Annotated[str, Field(description="Session it was made in.")] = ""
    category: Annotated[
        CategoryName | None,
        Field(validation_alias=AliasChoices("category", "intent_category"), description="Kind."),
    ] = None
    tags: Annotated[Texts, Field(description="All of these.")] = []
    authority: Annotated[
        str,
        Field(validation_alias=AliasChoices("authority", "authority_principal"), description="Who allowed it."),
    ] = ""
    intent: Annotated[str, Field(description="intent_id, commit or session, and what serves it.")] = ""
    text: Annotated[
        str, Field(validation_alias=AliasChoices("text", "reasoning_contains"), description="Words in the reasons.")
    ] = ""
    pattern: Annotated[str, Field(description="RE2 on reasons; for state, on paths.")] = ""
    confidence_min: Annotated[float | None, Field(ge=0, le=1, description="At least.")] = None
    confidence_max: Annotated[float | None, Field(ge=0, le=1, description="At most.")] = None
    since: Annotated[
        str, Field(validation_alias=AliasChoices("since", "date_from"), description="RFC 3339, inclusive.")
    ] = ""
    until: Annotated[
        str, Field(validation_alias=AliasChoices("until", "date_to"), description="RFC 3339, inclusive.")
    ] = ""
    status: Annotated[
        str,
        Field(
            validation_alias=AliasChoices("status", "intent_status"),
            description="open, fulfilled, partially_fulfilled, failed, deferred; that of a plan, epoch or speculation.",
        ),
    ] = ""
    has_deviations: Annotated[bool | None, Field(description="Whether deviations were reported.")] = None


FILTERS_SUMMARY = (
    "path, agent, principal, client, session, category, tags, authority, intent, text, pattern, "
    "confidence_min, confidence_max, since, until, status, has_deviations"
)
_FILTER_NAMES = frozenset(
    name
    for field, info in Filters.model_fields.items()
    for name in (field, *(info.validation_alias.choices if isinstance(info.validation_alias, AliasChoices) else ()))
)


class QueryParams(Params):
    target: Annotated[Target, Field(description="Default commits")] = Target.COMMITS
    ref: Annotated[Ref, Field(description="Default main; * for all")] = "main"
    filters: Annotated[Filters, FROM_TEXT, Field(description=FILTERS_SUMMARY, json_schema_extra=SUMMED_UP)] = Filters()
    group_by: Annotated[list[GroupKey], FROM_TEXT, Field(description="Count by")] = []
    order_by: Annotated[Order, Field(description="Default newest")] = Order.NEWEST
    view: Annotated[View, Field(description="Default brief")] = View.BRIEF
    limit: Limit = PAGE_ITEMS_DEFAULT
    cursor: Cursor = ""

    @model_validator(mode="before")
    @classmethod
    def _filters_beside(cls, given: Any) -> Any:
        """Filters given as arguments of their own are taken too, as people and older callers write them."""
        if not isinstance(given, Mapping) or not isinstance(given.get("filters", {}) or {}, Mapping):
            return given
        beside = {name: item for name, item in given.items() if name in _FILTER_NAMES}
        if not beside:
            return given
        rest = {name: item for name, item in given.items() if name not in _FILTER_NAMES}
        return {**rest, "filters": {**(given.get("filters") or {}), **beside}}


class AgentItem(Wire):
    agent: Annotated[str, Field(description="The claimed name.")]
    commits: Annotated[int, Field(description="How many it made.")]
    principals: Annotated[list[str], Field(description="Who called under that name, as verified.")]
    clients: Annotated[list[str], Field(description="The programs that called.")]
    categories: Annotated[AnyObject, Field(description="Commits by category.")]
    confidence_mean: Annotated[float, Field(description="Mean of the confidences it gave; missing if none.")] = 0.0
    outcomes: Annotated[AnyObject, Field(description="Reported outcomes of its intents, counted.")] = {}
    calibration: Annotated[
        AnyObject,
        Field(
            description="Stated confidence against outcomes: reported, stated and achieved (means, 0 to 1), brier "
            "(mean squared error; 0 is perfect)."
        ),
    ] = {}
    first_at: Annotated[str, Field(description="Its first commit, RFC 3339 in UTC.")]
    last_at: Annotated[str, Field(description="Its last commit.")]


class IntentItem(Wire):
    intent: Annotated[str, Field(description="Its name: intent_id, session or commit.")]
    agent: Annotated[str, Field(description="Who acts.")]
    description: Annotated[str, Field(description="What for.")]
    category: Annotated[str, Field(description="What kind of change; missing for a session.")] = ""
    confidence: Annotated[float, Field(description="How sure the agent was, 0 to 1.")] = 0.0
    status: Annotated[str, Field(description="open, fulfilled, partially_fulfilled, failed or deferred.")]
    outcome: Annotated[AnyObject, Field(description="What was reported: summary, observed, deviations.")] = {}
    parent: Annotated[str, Field(description="The intent it serves.")] = ""
    commit: Annotated[str, Field(description="The commit; missing for a session.")] = ""
    at: Annotated[str, Field(description="When, RFC 3339 in UTC.")]
    children: Annotated[list[AnyObject], Field(description="Intents that serve it, in the same shape.")] = []
    more_children: Annotated[int, Field(description="Children that are not shown; 0 is missing.")] = 0
    pruned: Annotated[bool, Field(description="Whether gc took away what its commit held.")] = False
    left_out: LeftOut = {}


class GroupItem(Wire):
    key: Annotated[AnyObject, Field(description="The value of each group_by key.")]
    count: Annotated[int, Field(description="Commits, or state entries, in the group.")]
    first_at: Annotated[str, Field(description="The first of them, RFC 3339 in UTC.")]
    last_at: Annotated[str, Field(description="The last of them.")]


class QueryReply(Wire):
    ref: Annotated[str, Field(description="The ref that was asked; * for the whole store.")]
    items: Annotated[
        list[CommitItem | AgentItem | BlameItem | IntentItem | AnyObject],
        Field(
            description="Commits, agents, state entries with their last change, trees of intents, or records of the "
            "target asked for; missing with group_by."
        ),
    ] = []
    groups: Annotated[list[GroupItem], Field(description="The groups; only with group_by.")] = []
    next_cursor: NextCursor
    omitted: MoreBehind = 0
    examined: Annotated[int, Field(description="Commits or entries looked at by this call.")] = 0


class Take(StrEnum):
    OURS = "ours"
    THEIRS = "theirs"
    BASE = "base"
    VALUE = "value"


class ResolutionItem(Params):
    path: Annotated[str, Field(description="Of the conflict.")]
    take: Annotated[Take, Field(description="ours is the branch's.")]
    value: Annotated[AnyJson, Field(description="With take value, and only then.")] = None


Resolutions = Annotated[
    list[ResolutionItem],
    FROM_TEXT,
    Field(description="{path, take: ours|theirs|base|value, value}", json_schema_extra=SUMMED_UP),
]


class _Revert(Params):
    ref: Branch = "main"
    commits: Annotated[Texts, Field(description="These")] = []
    agent: Annotated[str, Field(description="All by it")] = ""
    session: Annotated[str, Field(description="All in it")] = ""
    since: Annotated[str, Field(description="RFC 3339")] = ""
    path: Annotated[str, Field(description="Restore this")] = ""
    source: Annotated[str, Field(description="To restore from")] = ""
    resolutions: Resolutions = []
    preview: Annotated[bool, Field(description="Dry run")] = False


class _Rollback(Params):
    intent_category: Annotated[CategoryName, Field(description="Default Rollback", json_schema_extra=SUMMED_UP)] = (
        Category.ROLLBACK
    )
    intent_description: Annotated[str, Field(description="Why")]


class _RequestId(Params):
    request_id: Annotated[str, Field(description="Retry")] = ""


class RevertParams(_RequestId, Guarded, Reasons, _Rollback, _Revert):
    """What to undo. Its `session` selects commits; the caller's own session is the connection's."""


class RevertReply(Wire):
    ref: Annotated[str, Field(description="The branch.")]
    commit: Annotated[
        str, Field(description="The commit made; missing with conflicts, in a preview, or if none was needed.")
    ] = ""
    parent: Annotated[str, Field(description="The commit before it.")] = ""
    object: Annotated[str, Field(description="The object now at the restored path, or the root.")] = ""
    reverted: Annotated[list[str], Field(description="The commits that were undone.")]
    changed: Annotated[int, Field(description="Paths whose value changed, or would change.")]
    conflicts: Annotated[
        list[ConflictItem], Field(description="Paths that others changed later; settle with resolutions.")
    ]
    changes: Annotated[list[ChangeItem], Field(description="What the revert would do; only in a preview.")] = []
    omitted: Annotated[
        dict[str, int], Field(description="How many of each list did not fit; missing when all did.")
    ] = {}
    skipped: Annotated[
        list[str], Field(description="/plans, /_meta: changed by these commits, and left as they are; missing if not.")
    ] = []
    rebased: Annotated[bool, Field(description="Whether others had moved the branch past expected_head, elsewhere.")]
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False
    warnings: Annotated[
        list[WarningItem], Field(description="Where the revert, though made, breaks /__schema__; missing when nowhere.")
    ] = []
    warnings_omitted: Annotated[int, Field(description="How many more there are; missing when none.")] = 0
