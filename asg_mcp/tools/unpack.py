"""What several handlers read out of their arguments."""

from __future__ import annotations

from collections.abc import Sequence

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.paths import parse_path
from asg_mcp.repo.repository import Guard, Resolution
from asg_mcp.schemas.history import ResolutionItem
from asg_mcp.schemas.intents import Guarded, Reasons
from asg_mcp.services.identity import author_of
from asg_mcp.tools.registry import ToolContext


def author(ctx: ToolContext, *, session: str = "", agent: str = "") -> Author:
    """Who calls. Raises HandleNotFound for a session that is not open."""
    caller = ctx.caller
    return author_of(
        principal=caller.principal,
        client=caller.client,
        default_agent=caller.default_agent,
        claimed_agent=agent,
        session=session or caller.default_session,
    )


def intent(category: Category, description: str, reasons: Reasons) -> Intent:
    """Why the call is made. Raises InvalidArgument, InvalidName, InvalidValue or LimitExceeded."""
    provenance = reasons.provenance
    kept = provenance.dump()
    for name in ("agent", "intent_id", "parent_intent"):
        kept.pop(name, None)
    return Intent(
        category=category,
        description=description,
        reasoning=reasons.reasoning,
        confidence=reasons.confidence,
        tags=tuple(reasons.tags),
        intent_id=provenance.intent_id,
        parent_intent=provenance.parent_intent,
        provenance=kept,
    )


def guard(guarded: Guarded, request_id: str) -> Guard:
    """What the caller says it had read."""
    return Guard(guarded.expected_head, guarded.expected_object, request_id)


def resolutions(items: Sequence[ResolutionItem]) -> tuple[Resolution, ...]:
    """How the caller settles conflicts."""
    return tuple(Resolution(parse_path(item.path), item.take.value, item.value) for item in items)
