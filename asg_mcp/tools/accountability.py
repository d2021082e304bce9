"""The accountability tools: asg_open_session, asg_resolve."""

from __future__ import annotations

from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import HandleNotFound, InvalidArgument
from asg_mcp.repo.requests import OutcomeRequest, SessionRequest
from asg_mcp.repo.results import ChildInfo
from asg_mcp.schemas.accountability import OpenSessionParams, OpenSessionReply, ResolveParams, ResolveReply
from asg_mcp.tools import pack, unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext


async def open_session(ctx: ToolContext, p: OpenSessionParams) -> OpenSessionReply:
    """An agent's working context."""
    parent = p.parent or ctx.caller.default_session
    opened = await ctx.repo.open_session(
        SessionRequest(
            agent=p.agent,
            branch=p.branch,
            scope=tuple(parse_path(path) for path in p.path_scope),
            parent=parent,
            description=p.intent_description,
            authority=None if p.authority is None else p.authority.dump(),
            expires=p.expires,
        ),
        unpack.author(ctx, session=parent, agent="" if parent else _opener(ctx, p.agent)),
        p.request_id,
    )
    fields = {
        "session": opened.handle,
        "agent": opened.agent,
        "branch": opened.branch,
        "scope": list(opened.scope),
        "expires": opened.expires,
    }
    given = {"parent": opened.parent, "authority": dict(opened.authority or {}), "replayed": opened.replayed}
    return OpenSessionReply.model_validate({**fields, **{name: item for name, item in given.items() if item}})


def _opener(ctx: ToolContext, agent: str) -> str:
    """The agent that opens a session outside of any: of a token that may not be the connection's default, its own."""
    grant = ctx.caller.grant
    return agent if grant is not None and not grant.claims(ctx.caller.default_agent) else ""


async def resolve(ctx: ToolContext, p: ResolveParams) -> ResolveReply:
    """What became of an intent or a session."""
    intent, session = _reported_on(ctx, p)
    done = await ctx.repo.resolve(
        OutcomeRequest(
            outcome=p.outcome.value,
            summary=p.summary,
            intent=intent,
            session=session,
            observed=ABSENT if p.observed is None else p.observed,
            deviations=tuple(deviation.dump() for deviation in p.deviations),
            confidence=p.confidence,
        ),
        unpack.author(ctx, session=session),
        p.request_id,
    )
    children = pack.first([_child(child) for child in done.children], pack.ITEMS_BYTES_MAX)[0]
    omitted = done.omitted + len(done.children) - len(children)
    fields = {"intent": done.intent, "outcome": done.outcome, "children": children, **pack.more(omitted)}
    hint = f"Session {session} stays open: session without intent closes it." if p.session and intent else ""
    given = {"closed": done.closed, "hint": hint, "replayed": done.replayed}
    return ResolveReply.model_validate({**fields, **{name: item for name, item in given.items() if item}})


def _reported_on(ctx: ToolContext, p: ResolveParams) -> tuple[str, str]:
    """The intent that is reported on, and the session that this is done in; without an intent, the session to close.

    A session is closed by whichever of the two names it: who may do that is checked for a session alone.
    """
    if not p.intent or not _is_session(ctx, p.intent):
        return p.intent, p.session or ("" if p.intent else ctx.caller.default_session)
    if p.session not in ("", p.intent):
        raise InvalidArgument(
            f"intent names session {p.intent}, and session {p.session}",
            hint="Give session alone: the one to close.",
        )
    return "", p.intent


def _is_session(ctx: ToolContext, name: str) -> bool:
    try:
        ctx.repo.session(name)
    except HandleNotFound:
        return False
    return True


def _child(child: ChildInfo) -> pack.Fields:
    item = pack.Item(intent=child.intent, agent=child.agent, status=child.status)
    item.put_given(description=child.description, outcome=dict(child.outcome or {}))
    return item.fields


TOOLS = (
    Tool(
        "asg_open_session",
        "accountability",
        "Give an agent a branch, paths, authority and time, all enforced. Pass session with each write.",
        open_session,
        OpenSessionParams,
        OpenSessionReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_resolve",
        "accountability",
        "Report what became of an intent, or of a session, which that closes. Returns what its children reported.",
        resolve,
        ResolveParams,
        ResolveReply,
        Effect.WRITE,
    ),
)
