"""What became of an intent: filed once it is known, shown by blame and query ever after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import CHILDREN_SHOWN_MAX, DESCRIPTION_BYTES_MAX, DEVIATIONS_MAX
from asg_mcp.core.operations import Absent
from asg_mcp.core.values import checked
from asg_mcp.errors import HandleNotFound, InvalidArgument, LimitExceeded
from asg_mcp.repo.intents import IntentName, children_of, intent_named, name_of, records_of
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.permits import open_session_record, session_record
from asg_mcp.repo.records import key_of, outcome_of
from asg_mcp.repo.repeats import fingerprint, recall, remember
from asg_mcp.repo.requests import OutcomeRequest
from asg_mcp.repo.results import ChildInfo, OutcomeResult
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Record, RecordKind, Writer

OUTCOMES = ("fulfilled", "partially_fulfilled", "failed", "deferred")


@dataclass(frozen=True, slots=True)
class Filed:
    """An outcome that was filed."""

    intent: IntentName
    outcome: str
    closed: bool
    """Whether it closed a session."""
    replayed: bool


def resolve(writer: Writer, view: View, request: OutcomeRequest, author: Author, request_id: str = "") -> Filed:
    """File the outcome of an intent, or of a session, which it closes, by whichever of the two names it is given.

    An intent's outcome may be filed again, and the newest is shown; the log keeps all. What it costs does not grow with
    what serves the intent: `reported` tells of that, on a reader. Raises InvalidArgument, NotFound, HandleNotFound and
    LimitExceeded.
    """
    asked = fingerprint("resolve", request) if request_id else b""
    known = recall(writer, author.principal, request_id, asked)
    if known is None:
        _check(request)
        intent = _intent(view, request)
        if author.session and author.session != intent.key:
            open_session_record(writer, author.session, author.principal, writer.now())
        _file(writer, request, intent, author)
        remember(writer, author.principal, request_id, asked, [intent.key])
        return Filed(intent, request.outcome, intent.session is not None, replayed=False)
    intent = intent_named(view, known[0])
    return Filed(intent, request.outcome, intent.session is not None, replayed=True)


def reported(view: View, filed: Filed) -> OutcomeResult:
    """What is answered to a report: what the children of the intent have reported, too."""
    intent = filed.intent
    children = _children(view, intent)
    return OutcomeResult(
        intent=intent.key if intent.commit is None or intent.commit.intent_id else intent.commit.id.short,
        outcome=filed.outcome,
        children=tuple(children[:CHILDREN_SHOWN_MAX]),
        omitted=len(children) - len(children[:CHILDREN_SHOWN_MAX]),
        closed=filed.closed,
        replayed=filed.replayed,
    )


def _check(request: OutcomeRequest) -> None:
    if not request.intent and not request.session:
        raise InvalidArgument(
            "Nothing is named whose outcome this is", hint="Give intent (an intent_id or a commit), or session."
        )
    if request.outcome not in OUTCOMES:
        raise InvalidArgument(f"{request.outcome!r} is no outcome", hint=f"Use {', '.join(OUTCOMES)}.")
    _check_summary(request.summary)
    Intent(Category.CUSTOM, "Checked.", confidence=request.confidence)  # the same rules as those of any commit
    if not isinstance(request.observed, Absent):
        checked(request.observed)
    if len(request.deviations) > DEVIATIONS_MAX:
        raise LimitExceeded(
            f"There are {len(request.deviations)} deviations; at most {DEVIATIONS_MAX}",
            hint="Report those that matter to whoever relies on it.",
            limit="DEVIATIONS_MAX",
            max=DEVIATIONS_MAX,
        )
    for deviation in request.deviations:
        checked(dict(deviation))


def _check_summary(summary: str) -> None:
    checked(summary)
    size = len(summary.encode())
    if not summary.strip():
        raise InvalidArgument("The summary is empty", hint="Say in one sentence what came of it.")
    if size > DESCRIPTION_BYTES_MAX:
        raise LimitExceeded(
            f"The summary has {size} bytes; at most {DESCRIPTION_BYTES_MAX}",
            hint="Shorten it; observed and deviations hold the details.",
            limit="DESCRIPTION_BYTES_MAX",
            max=DESCRIPTION_BYTES_MAX,
        )


def _intent(view: View, request: OutcomeRequest) -> IntentName:
    if request.intent:
        intent = intent_named(view, request.intent)
    else:
        record = session_record(view.reader, request.session, view.principal)
        intent = IntentName(record.key, frozenset({record.key}), None, record)
    if intent.session is not None and intent.session.data["status"] != "open":
        raise HandleNotFound(
            f"Session {intent.key} was closed already, as {intent.session.data['status']}",
            hint="asg_query with target sessions shows what was reported.",
            session=intent.key,
        )
    return intent


def _file(writer: Writer, request: OutcomeRequest, intent: IntentName, author: Author) -> None:
    body: dict[str, Any] = {
        "outcome": request.outcome,
        "summary": request.summary,
        "observed": [] if isinstance(request.observed, Absent) else [request.observed],
        "deviations": [dict(deviation) for deviation in request.deviations],
        "confidence": request.confidence,
        "agent": author.agent,
        "principal": author.principal,
        "at": writer.now(),
    }
    if intent.session is not None:
        log_event(writer, EventKind.SESSION_CLOSED, author, subject=intent.key, body={"status": request.outcome})
    log_event(writer, EventKind.OUTCOME, author, subject=intent.key, body=body)


def _children(view: View, intent: IntentName) -> list[ChildInfo]:
    """The intents below this one that have been reported on, and the sessions below it, open ones too; newest first."""
    found = []
    for record in records_of(view, RecordKind.SESSION):
        if record.data["parent"] in intent.names:
            filed = view.reader.record(RecordKind.OUTCOME, record.key)
            found.append(_child(record.key, record.data["agent"], record.data["description"], record.opened, filed))
    keys = set()
    for info in children_of(view, intent):
        key = key_of(info)
        filed = view.reader.record(RecordKind.OUTCOME, key) if key not in keys else None
        keys.add(key)
        if filed is not None:
            first = name_of(view, info).commit or info
            found.append(_child(info.intent_id or info.id.short, first.agent, first.description, filed.opened, filed))
    return [child for _, child in sorted(found, key=lambda item: -item[0])]


def _child(intent: str, agent: str, description: str, opened: int, filed: Record | None) -> tuple[int, ChildInfo]:
    outcome = None if filed is None else outcome_of(filed)
    return opened, ChildInfo(intent, agent, description, "open" if outcome is None else outcome["outcome"], outcome)
