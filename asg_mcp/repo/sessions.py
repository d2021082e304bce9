"""Opening a session: an agent's branch, paths, authority and time, each no wider than its parent's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author, Category, Intent, check_name
from asg_mcp.core.limits import SCOPE_PATHS_MAX, SESSION_SECONDS_DEFAULT, SESSION_SECONDS_MAX
from asg_mcp.core.paths import ELEMENT, Tokens, format_path, is_within, parse_path
from asg_mcp.core.state import Gap, State
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.errors import Forbidden, InvalidArgument, LimitExceeded
from asg_mcp.repo.branches import DEFAULT_BRANCH, make_ref
from asg_mcp.repo.intents import records_of
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.permits import open_session_record
from asg_mcp.repo.records import outcome_of
from asg_mcp.repo.repeats import fingerprint, recall, remember
from asg_mcp.repo.requests import SessionRequest
from asg_mcp.repo.resolve import SPECULATION_PREFIX
from asg_mcp.repo.results import SessionInfo
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Record, RecordKind, RefKind, Writer

_HANDLE_DIGITS = 12
_SECOND = 1_000_000
DELEGATIONS_MAX = 64
"""Links of a delegation chain: sessions opened by sessions."""


def open_session(
    writer: Writer, view: View, request: SessionRequest, author: Author, request_id: str = ""
) -> SessionInfo:
    """Open a session for an agent; makes its branch when there is none of that name.

    Under a parent it gets at most what the parent has: its branch or a new one made from it, paths within its paths,
    its authority, its time. Raises InvalidName, InvalidArgument, InvalidPath, Forbidden, HandleNotFound (the parent).
    """
    asked = fingerprint("open_session", request) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    if known is not None:
        record = writer.record(RecordKind.SESSION, known[0])
        assert record is not None, "BUG: a session stays in the store"
        return replace(session_info(record), replayed=True)
    check_name(request.agent, "agent")
    if request.description:
        Intent(Category.CUSTOM, request.description)  # the same rules as any intent's description
    parent = None
    if request.parent:
        parent = open_session_record(writer, request.parent, author.principal, writer.now()).data
    scope = _scope(request, parent)
    branch, seq = _branch(writer, view, request, parent, author)
    _check_elements(view.state_of(seq), scope)
    body: dict[str, Any] = {
        "agent": request.agent,
        "principal": author.principal,
        "client": author.client,
        "branch": branch,
        "scope": [format_path(path) for path in scope],
        "parent": request.parent,
        "description": request.description,
        "authority": _authority(request, parent),
        "opened_at": writer.now(),
        "expires": _expires(request, parent, writer.now()),
        "status": "open",
    }
    handle = _handle(writer)
    log_event(writer, EventKind.SESSION_OPENED, author, subject=handle, body=body)
    record = writer.record(RecordKind.SESSION, handle)
    assert record is not None, "BUG: the event made it"
    remember(writer, author.principal, request_id, asked, [handle])
    return session_info(record)


def session_info(record: Record) -> SessionInfo:
    """A session as it is shown."""
    data = record.data
    return SessionInfo(
        handle=record.key,
        agent=data["agent"],
        principal=data["principal"],
        branch=data["branch"],
        scope=tuple(data["scope"]),
        parent=data["parent"],
        description=data["description"],
        authority=data["authority"],
        opened_at=format_time(data["opened_at"]),
        expires=format_time(data["expires"]),
        status=data["status"],
    )


def session_items(view: View) -> Iterator[SessionInfo]:
    """The sessions that whoever looks may see, with what was reported of them, the newest first."""
    for record in records_of(view, RecordKind.SESSION):
        filed = view.reader.record(RecordKind.OUTCOME, record.key)
        info = session_info(record)
        yield info if filed is None else replace(info, outcome=outcome_of(filed))


def _handle(writer: Writer) -> str:
    while True:
        handle = f"ses-{writer.salt()[:_HANDLE_DIGITS]}"
        if writer.record(RecordKind.SESSION, handle) is None:
            return handle


def _scope(request: SessionRequest, parent: Mapping[str, Any] | None) -> list[Tokens]:
    if len(request.scope) > SCOPE_PATHS_MAX:
        raise LimitExceeded(
            f"The scope has {len(request.scope)} paths; at most {SCOPE_PATHS_MAX}",
            hint="Name paths that lie higher.",
            limit="SCOPE_PATHS_MAX",
            max=SCOPE_PATHS_MAX,
        )
    allowed = [parse_path(path) for path in parent["scope"]] if parent else []
    wanted = sorted(set(request.scope)) or allowed
    for path in wanted:
        if allowed and not any(is_within(path, root) for root in allowed):
            assert parent is not None, "BUG: it has a scope"
            raise Forbidden(
                f"{format_path(path)} is outside the parent session's scope: {', '.join(parent['scope'])}",
                hint="Name paths below those, or leave path_scope out to have the same.",
                path=format_path(path),
            )
    return wanted


def _check_elements(state: State, scope: Sequence[Tokens]) -> None:
    """Raise InvalidArgument for a scope that names a list's element: an index means another one when the list moves."""
    for path in scope:
        place = state.locate(path)
        spot = place.deepest if isinstance(place, Gap) else place
        if ELEMENT in spot.entry.key or (isinstance(place, Gap) and state.type_name(spot) == "list"):
            raise InvalidArgument(
                f"{format_path(path)} names an element of a list, which is no place that stays",
                hint="Name the list itself, or keep what the session may write in a map.",
                path=format_path(path),
            )


def _branch(
    writer: Writer, view: View, request: SessionRequest, parent: Mapping[str, Any] | None, author: Author
) -> tuple[str, int]:
    """The branch of the session and the number of its head; made from the parent's branch when it is new."""
    home = parent["branch"] if parent else DEFAULT_BRANCH
    name = request.branch or home
    # Whether there is a speculation of that handle or not: others may not learn that.
    ref = None if name.startswith(SPECULATION_PREFIX) else writer.ref(name)
    if ref is None:
        make_ref(writer, view, name, RefKind.BRANCH.label, home, author, "")
        return name, view.resolve(home).seq
    if ref.kind is not RefKind.BRANCH:
        raise Forbidden(f"{name} is a {ref.kind.label}, and a session works on a branch", hint="Choose another name.")
    if parent and name != home:
        raise Forbidden(
            f"The parent session works on {home}, and {name} is there already",
            hint=f"Leave branch out to work on {home}, or name a new branch, which is made from it.",
            branch=home,
        )
    return str(name), ref.seq


def _authority(request: SessionRequest, parent: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """On whose authority: the parent's, with one more link; a chain can be made longer and never wider."""
    given = dict(request.authority) if request.authority else None
    if parent is None or parent["authority"] is None:
        return given
    above = parent["authority"]
    if given is not None and given.get("principal") != above["principal"]:
        raise Forbidden(
            f"The parent session acts on the authority of {above['principal']}, not of {given.get('principal')}",
            hint="Leave authority out: it is handed down with the delegation.",
        )
    link = {"from": parent["agent"], "to": request.agent, "scope": (given or {}).get("scope") or request.description}
    chain = [*above.get("delegation_chain", []), {name: text for name, text in link.items() if text}]
    if len(chain) > DELEGATIONS_MAX:
        raise LimitExceeded(
            f"The delegation chain would have {len(chain)} links; at most {DELEGATIONS_MAX}",
            hint="Open the session from one that is higher up.",
            limit="DELEGATIONS_MAX",
            max=DELEGATIONS_MAX,
        )
    return {**above, "delegation_chain": chain}


def _expires(request: SessionRequest, parent: Mapping[str, Any] | None, now: int) -> int:
    until = now + SESSION_SECONDS_DEFAULT * _SECOND
    if request.expires:
        seconds = request.expires if request.expires.isascii() and request.expires.isdigit() else ""
        # More digits than the limit has are over it in any case, and are never converted.
        length = int(seconds) if seconds and len(seconds) <= len(str(SESSION_SECONDS_MAX)) else SESSION_SECONDS_MAX + 1
        until = now + length * _SECOND if seconds else parse_time(request.expires)
        if until <= now:
            raise InvalidArgument(
                f"The session would expire at {format_time(until)}, which has passed",
                hint="Give a time to come, RFC 3339 in UTC, or a number of seconds.",
            )
        if until > now + SESSION_SECONDS_MAX * _SECOND:
            raise LimitExceeded(
                f"A session lasts at most {SESSION_SECONDS_MAX} seconds",
                hint="Give an earlier time; a session can be opened again.",
                limit="SESSION_SECONDS_MAX",
                max=SESSION_SECONDS_MAX,
            )
    if parent is None:
        return until
    if request.expires and until > parent["expires"]:
        raise Forbidden(
            f"The parent session expires at {format_time(parent['expires'])}, and this one would outlive it",
            hint="Leave expires out to have the parent's.",
        )
    return min(until, int(parent["expires"]))
