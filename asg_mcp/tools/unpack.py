"""What several handlers read out of their arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.paths import parse_path
from asg_mcp.repo.repository import Guard, Resolution
from asg_mcp.schemas.history import ResolutionItem
from asg_mcp.schemas.intents import Guarded, Reasons
from asg_mcp.services import identity
from asg_mcp.services.identity import Acting
from asg_mcp.tools.registry import ToolContext


def acting(ctx: ToolContext, *, session: str = "", agent: str = "") -> Acting:
    """Who calls, and in which session. Raises HandleNotFound, Forbidden and InvalidName."""
    caller = ctx.caller
    return identity.acting(
        ctx.repo,
        principal=caller.principal,
        client=caller.client,
        default_agent=caller.default_agent,
        claimed_agent=agent,
        session=session,
        bound_to=caller.default_session,
    )


def author(ctx: ToolContext, *, session: str = "", agent: str = "") -> Author:
    """Who calls. Raises as `acting` does."""
    return acting(ctx, session=session, agent=agent).author


def intent(category: Category, description: str, reasons: Reasons, who: Acting | None = None) -> Intent:
    """Why the call is made; in a session, on its authority and in its service where nothing else was said.

    Raises InvalidArgument, InvalidName, InvalidValue or LimitExceeded.
    """
    provenance = reasons.provenance
    kept: dict[str, Any] = provenance.dump()
    for name in ("agent", "intent_id", "parent_intent"):
        kept.pop(name, None)
    session = None if who is None else who.session
    if session is not None and session.authority and "authority" not in kept:
        kept["authority"] = dict(session.authority)
    return Intent(
        category=category,
        description=description,
        reasoning=reasons.reasoning,
        confidence=reasons.confidence,
        tags=tuple(reasons.tags),
        intent_id=provenance.intent_id,
        parent_intent=provenance.parent_intent or (session.handle if session is not None else ""),
        provenance=kept,
    )


def guard(guarded: Guarded, request_id: str) -> Guard:
    """What the caller says it had read."""
    return Guard(guarded.expected_head, guarded.expected_object, request_id)


def resolutions(items: Sequence[ResolutionItem]) -> tuple[Resolution, ...]:
    """How the caller settles conflicts."""
    return tuple(Resolution(parse_path(item.path), item.take.value, item.value) for item in items)
