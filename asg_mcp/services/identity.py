"""Who makes a change: the verified principal, the claimed agent, the observed client, and the session they act in."""

from __future__ import annotations

from dataclasses import dataclass

from asg_mcp.core.intents import Author, known_author
from asg_mcp.errors import Forbidden
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.results import SessionInfo


@dataclass(frozen=True, slots=True)
class Acting:
    """An author, and the session that says what it may do."""

    author: Author
    session: SessionInfo | None = None

    def branch(self, asked: str, *, said: bool) -> str:
        """The branch of a write: what the caller said, else that of its session, else what is written without one."""
        return asked if said or self.session is None else self.session.branch


def acting(
    repo: Repository,
    *,
    principal: str,
    client: str,
    default_agent: str,
    claimed_agent: str = "",
    session: str = "",
    bound_to: str = "",
) -> Acting:
    """Who acts.

    With `bound_to`, the session that the operator bound all calls to, the call is made in that one or in one below it.
    The agent is the session's, else the one claimed with the call, else the connection's default. The principal comes
    from the connection alone. Whether the session is open, and what it may do, is checked by the write itself.

    Raises HandleNotFound for a session that is not this principal's, Forbidden for another agent than the session's,
    InvalidName for a name that cannot be recorded.
    """
    if bound_to and session not in ("", bound_to):
        _check_below(repo, session, bound_to)
    session = session or bound_to
    if not session:
        return Acting(known_author(principal, claimed_agent or default_agent, client, ""))
    found = repo.session(session)
    if claimed_agent and claimed_agent != found.agent:
        raise Forbidden(
            f"Session {session} is that of agent {found.agent!r}, not of {claimed_agent!r}",
            hint="Name no agent: the session says who acts.",
            agent=found.agent,
        )
    return Acting(Author(principal=principal, agent=found.agent, client=client, session=session), found)


def _check_below(repo: Repository, session: str, bound_to: str) -> None:
    """Raise Forbidden unless the session was opened below the one that all calls are bound to."""
    above = repo.session(session).parent
    while above and above != bound_to:
        above = repo.session(above).parent
    if not above:
        raise Forbidden(
            f"This server works in session {bound_to}, and {session} was not opened below it",
            hint="Leave session out, or open one with asg_open_session.",
            session=bound_to,
        )
