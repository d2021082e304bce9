"""What a session may do: its branch, its paths, its time. Checked in the transaction that makes the commit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from asg_mcp.core.commits import RecordedOperation
from asg_mcp.core.intents import Author
from asg_mcp.core.paths import Tokens, format_path, is_within, parse_path
from asg_mcp.core.times import format_time
from asg_mcp.errors import Forbidden, HandleNotFound
from asg_mcp.storage.base import Reader, Record, RecordKind, Ref, RefKind, Writer


def session_record(reader: Reader, handle: str, principal: str) -> Record:
    """The record of a session, open or not, as `principal` may see it; "" sees all.

    Raises HandleNotFound: to others than its own principal it is as if it were not there.
    """
    record = reader.record(RecordKind.SESSION, handle)
    if record is None or (principal and record.data["principal"] != principal):
        raise HandleNotFound(
            f"There is no session {handle!r}",
            hint="asg_open_session makes one; asg_query with target sessions lists yours.",
            session=handle,
        )
    return record


def open_session_record(reader: Reader, handle: str, principal: str, now: int) -> Record:
    """The record of a session that is open at `now` (microseconds). Raises HandleNotFound."""
    record = session_record(reader, handle, principal)
    data = record.data
    if data["status"] != "open":
        raise HandleNotFound(f"Session {handle} was closed", hint="Open another with asg_open_session.", session=handle)
    if data["expires"] is not None and now >= data["expires"]:
        raise HandleNotFound(
            f"Session {handle} expired at {format_time(data['expires'])}",
            hint="Open another with asg_open_session.",
            session=handle,
        )
    if data["parent"]:
        try:
            open_session_record(reader, data["parent"], principal, now)
        except HandleNotFound as error:
            raise HandleNotFound(
                f"Session {handle} ended with the one that it was opened by: {error.message}",
                hint="Report with asg_resolve, and ask for another session.",
                session=handle,
            ) from error
    return record


def check_permit(
    writer: Writer,
    author: Author,
    ref: Ref,
    recorded: Sequence[RecordedOperation],
    decided: Sequence[Tokens] = (),
) -> None:
    """Raise Forbidden or HandleNotFound unless the author's session, if it has one, may make this commit on `ref`.

    Every commit on a ref passes here with the operations that it records, those of merges, reverts and speculations
    included, and with the paths on which a merge decided: whoever merges keeps the other side's change from ever coming
    again. A speculation has no branch: its branch is checked when it is committed.
    """
    if not author.session:
        return
    data = open_session_record(writer, author.session, author.principal, writer.now()).data
    if author.agent != data["agent"]:
        raise Forbidden(
            f"Session {author.session} is that of agent {data['agent']!r}, not of {author.agent!r}",
            hint="Leave provenance.agent out: the session says who acts.",
            agent=data["agent"],
        )
    if ref.kind is not RefKind.SPECULATION:
        check_branch(author.session, data, ref.name)
    scope = [parse_path(path) for path in data["scope"]]
    if not scope:
        return
    told = [path for operation in recorded for path in (operation.path, operation.source) if path is not None]
    for tokens in (*map(parse_path, told), *decided):
        if not any(is_within(tokens, root) for root in scope):
            raise Forbidden(
                f"{format_path(tokens)} is outside the scope of session {author.session}: {', '.join(data['scope'])}",
                hint="Write below its scope, or have whoever opened the session open one that holds this path.",
                path=format_path(tokens),
                scope=data["scope"],
            )


def check_branch(session: str, data: dict[str, Any], name: str) -> None:
    """Raise Forbidden unless the session works on this branch."""
    if data["branch"] != name:
        raise Forbidden(
            f"Session {session} works on {data['branch']}, not on {name}",
            hint=f"Write to {data['branch']}; whoever opened the session can merge it into {name}.",
            branch=data["branch"],
        )
