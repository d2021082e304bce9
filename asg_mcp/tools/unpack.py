"""What several handlers read out of their arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import Forbidden, InvalidArgument
from asg_mcp.repo.repository import Guard, Resolution
from asg_mcp.schemas.history import ResolutionItem, Take
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
    kept: dict[str, Any] = provenance.dump() if provenance.model_fields_set else {}
    for name in ("agent", "intent_id", "parent_intent"):
        kept.pop(name, None)
    session = None if who is None else who.session
    if session is not None and session.authority:
        kept["authority"] = _within(session.handle, session.authority, kept.get("authority"))
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


def _within(session: str, held: Mapping[str, Any], claimed: Mapping[str, Any] | None) -> dict[str, Any]:
    """The session's authority, with the narrower scope that the call names."""
    if claimed and claimed.get("principal") != held.get("principal"):
        raise Forbidden(
            f"Session {session} acts on the authority of {held.get('principal')}, not of {claimed.get('principal')}",
            hint="Leave provenance.authority out: the session has it.",
        )
    return {**held, **({"scope": claimed["scope"]} if claimed and claimed.get("scope") else {})}


def guard(guarded: Guarded, request_id: str) -> Guard:
    """What the caller says it had read."""
    return Guard(guarded.expected_head, guarded.expected_object, request_id)


def resolutions(items: Sequence[ResolutionItem]) -> tuple[Resolution, ...]:
    """How the caller settles conflicts. Raises InvalidArgument where a value is missing, or none is taken."""
    for place, item in enumerate(items):
        # Some clients fill in what they were not given, so a null beside another choice is let pass.
        takes_value = item.take is Take.VALUE
        if (("value" in item.model_fields_set) if takes_value else (item.value is not None)) != takes_value:
            problem = "needs a value" if takes_value else "takes no value"
            raise InvalidArgument(
                f"resolutions[{place}]: take {item.take.value} {problem}",
                hint="Give value with take: value, null included; leave it out otherwise.",
                index=place,
            )
    return tuple(Resolution(parse_path(item.path), item.take.value, item.value) for item in items)
