"""What callers ask of the repository: plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asg_mcp.core.intents import Category
from asg_mcp.core.operations import ABSENT, Absent
from asg_mcp.core.paths import Tokens
from asg_mcp.core.values import JsonValue


@dataclass(frozen=True, slots=True)
class Resolution:
    """How the caller settles one conflict: take ours, theirs, base, or `value` with this value."""

    path: Tokens
    take: str
    value: JsonValue = None


@dataclass(frozen=True, slots=True)
class Query:
    """The filters of one query, all of which must hold. Empty means not asked."""

    target: str = "commits"
    """commits, agents, state, intents; the rest is for `services.listing`"""
    ref: str = "main"
    """"" asks for every commit of the store, whatever reaches it."""
    path: Tokens = ()
    jsonpath: str = ""
    """Instead of the path, for the target state: the values at and below what it selects (RFC 9535)."""
    agent: str = ""
    principal: str = ""
    client: str = ""
    session: str = ""
    category: Category | None = None
    tags: tuple[str, ...] = ()
    authority: str = ""
    intent: str = ""
    """Commits whose intent_id or parent_intent is this, or that commit itself."""
    text: str = ""
    """Words that description or reasoning contain, all of them."""
    pattern: str = ""
    """An RE2 regular expression over description and reasoning (target state: over the path)."""
    confidence_min: float | None = None
    confidence_max: float | None = None
    since: str = ""
    until: str = ""
    status: str = ""
    """What was reported of the intent: open (nothing yet), fulfilled, partially_fulfilled, failed, deferred."""
    has_deviations: bool | None = None
    group_by: tuple[str, ...] = ()
    """agent, principal, client, session, category, tag, day, authority"""
    order_by: str = "newest"
    """newest, oldest, confidence (lowest first); groups: count"""
    limit: int = 20
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class RevertRequest:
    """What to undo. Give commits, or an agent or session (with since), or a path with the source to restore it from."""

    ref: str = "main"
    commits: tuple[str, ...] = ()
    agent: str = ""
    session: str = ""
    since: str = ""
    path: Tokens | None = None
    source: str = ""
    resolutions: tuple[Resolution, ...] = field(default=())
    preview: bool = False


@dataclass(frozen=True, slots=True)
class MergeRequest:
    """What to merge into which branch, and how to settle what both changed."""

    source: str
    target: str = "main"
    strategy: str = "auto"
    """auto leaves conflicts open; ours and theirs settle them; manual makes each change of both sides a conflict."""
    resolutions: tuple[Resolution, ...] = ()
    preview: bool = False


@dataclass(frozen=True, slots=True)
class SessionRequest:
    """What a session is opened with. Empty means not said."""

    agent: str
    branch: str = ""
    scope: tuple[Tokens, ...] = ()
    """Paths below which it may write; empty for all that its parent may."""
    parent: str = ""
    description: str = ""
    """The intent that is delegated."""
    authority: Mapping[str, JsonValue] | None = None
    """principal, scope, delegation_chain …"""
    expires: str = ""
    """An RFC 3339 time, or a number of seconds."""


@dataclass(frozen=True, slots=True)
class OutcomeRequest:
    """What became of an intent, or of a session, which is closed with it."""

    outcome: str
    summary: str
    intent: str = ""
    session: str = ""
    observed: JsonValue | Absent = ABSENT
    deviations: tuple[Mapping[str, JsonValue], ...] = ()
    """description and impact of each."""
    confidence: float | None = None


@dataclass(frozen=True, slots=True)
class PromoteRequest:
    """Which speculation to commit, onto what, and how to settle what others changed meanwhile."""

    handle: str
    target: str = ""
    """A branch, or another open speculation; "" is the branch that it came from."""
    resolutions: tuple[Resolution, ...] = ()


@dataclass(frozen=True, slots=True)
class EpochRequest:
    """Which work an epoch groups. Empty means not said."""

    epoch: str
    description: str
    root_intents: tuple[str, ...] = ()
    """Intent ids, sessions or commits; without any it holds every commit."""
    since: str = ""
    """An RFC 3339 time from which commits belong to it; else from when it is opened."""
    tags: tuple[str, ...] = ()
