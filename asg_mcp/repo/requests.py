"""What callers ask of the repository: plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

from asg_mcp.core.intents import Category
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
    """commits, agents or state"""
    ref: str = "main"
    """"" asks for every commit of the store, whatever reaches it."""
    path: Tokens = ()
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
