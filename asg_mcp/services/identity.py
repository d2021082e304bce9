"""Who makes a change: the verified principal, the claimed agent, the observed client."""

from __future__ import annotations

from asg_mcp.core.intents import Author
from asg_mcp.errors import HandleNotFound


def author_of(*, principal: str, client: str, default_agent: str, claimed_agent: str = "", session: str = "") -> Author:
    """The author of a change.

    The agent is the one claimed with the call, else the session's, else the
    connection's default. The principal comes from the connection alone.

    Raises HandleNotFound when no such session is open, InvalidName when a name
    cannot be recorded.
    """
    if session:
        raise unknown_session(session)
    return Author(principal=principal, agent=claimed_agent or default_agent, client=client)


def unknown_session(session: str) -> HandleNotFound:
    """The refusal of a session that is not open."""
    return HandleNotFound(
        f"There is no open session {session!r}",
        hint="Leave session out, and name the agent in provenance.agent.",
        session=session,
    )
