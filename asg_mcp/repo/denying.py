"""Denials as events of the log: who was refused what, and by which rule.

The header names the principal and what was called; what was asked for is in the body, which can be erased: the texts
come from whoever was refused. Values are never in it, and what looks like a secret is named by the rule that finds it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from itertools import islice

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import DENIED_TEXT_BYTES_MAX
from asg_mcp.core.paths import Tokens, format_path
from asg_mcp.core.secretscan import find_secrets
from asg_mcp.core.times import format_time
from asg_mcp.repo.eventlist import newest_first
from asg_mcp.repo.ledger import event_body, log_event
from asg_mcp.repo.screening import shown_path
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Reader, RecordKind, Writer


@dataclass(frozen=True, slots=True)
class Denial:
    """What was refused."""

    what: str
    """The tool, or what else was called: a method of the protocol, a route."""
    rule: str
    """What refused it; "" where the error names none."""
    verb: str = ""
    ref: str = ""
    path: str = ""
    """As far as DENIED_TEXT_BYTES_MAX of it, in whole segments."""
    agent: str = ""
    handle: str = ""
    """The session or speculation of another that was named."""
    repeated: int = 0
    """How often the same principal was refused the same verb on the same ref since the event before, with none made."""
    others: int = 0
    """How many other refusals of the principal came to no event since its last one."""


@dataclass(frozen=True, slots=True)
class LoggedDenial:
    """A denial as the log has it."""

    index: int
    at: str
    principal: str
    agent: str
    client: str
    denial: Denial


def log_denial(writer: Writer, author: Author, denial: Denial) -> None:
    """Log it."""
    body = {name: part for name, part in asdict(denial).items() if part and name != "what"}
    log_event(writer, EventKind.DENIED, author, subject=denial.what, body=body)


def presentable(denial: Denial, path: Tokens = ()) -> Denial:
    """The denial as it may be stored: short, and without what looks like a secret."""
    while path and len(format_path(path).encode()) > DENIED_TEXT_BYTES_MAX:
        path = path[:-1]
    return replace(
        denial,
        ref=shown_text(denial.ref),
        agent=shown_text(denial.agent),
        handle=shown_text(denial.handle),
        path=shown_path(path) if path else denial.path and "/",
    )


def shown_text(text: str) -> str:
    """A text of a caller, short; what looks like a secret is named by the rule that finds it."""
    found = find_secrets(text)
    cut = text.encode(errors="replace")[:DENIED_TEXT_BYTES_MAX].decode(errors="ignore")
    return f"[{found[0].rule.name}]" if found else cut


def is_of_another(reader: Reader, handle: str, principal: str) -> bool:
    """Whether there is a session or speculation of this handle, and it is another principal's."""
    for kind in (RecordKind.SESSION, RecordKind.SPECULATION):
        record = reader.record(kind, handle)
        if record is not None:
            return bool(record.data["principal"] != principal)
    return False


def denials(view: View, limit: int) -> list[LoggedDenial]:
    """The last denials in the log, the newest first; one whose body was erased still names who was refused."""
    found = []
    for event, row in islice(newest_first(view, (EventKind.DENIED,)), limit):
        who = event.author
        denial = Denial(what=event.subject, **{"rule": "", **event_body(row)})
        found.append(LoggedDenial(event.index, format_time(event.at), who.principal, who.agent, who.client, denial))
    return found
