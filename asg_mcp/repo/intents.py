"""What an intent is called, what it serves, and what serves it.

An intent is a commit, named by its id or by the caller's `intent_id`, or a session,
named by its handle. A child names its parent in `parent_intent`; what is written in
a session without one serves the session; a session serves its parent session.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from asg_mcp.core.ids import DIGEST_BYTES, is_prefix
from asg_mcp.core.limits import NEAREST_MAX, RECORDS_SCANNED_MAX, SHORT_ID_DIGITS
from asg_mcp.errors import NotFound
from asg_mcp.repo.records import info_of, intent_id_of
from asg_mcp.repo.resolve import commit_by_prefix, commits_seen
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.streams import seqs_of
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Record, RecordKind, TermKind

_RECORDS_PAGE = 500


@dataclass(frozen=True, slots=True)
class IntentName:
    """One intent, however it was asked for."""

    key: str
    """What its outcome is kept under: the caller's intent_id, else the session's handle, else the commit's whole id."""
    names: frozenset[str]
    """All that a child may call it."""
    commit: CommitInfo | None
    """The first commit that bears it; None for a session."""
    session: Record | None


def intent_named(view: View, text: str) -> IntentName:
    """The intent that a text names: a session's handle, an intent_id, or a commit.

    Raises NotFound, and what a commit's prefix raises.
    """
    session = own_session(view, text)
    if session is not None:
        return IntentName(text, frozenset({text}), None, session)
    bearer = _bearer(view, text)
    if bearer is not None:
        return name_of(view, bearer)
    if is_prefix(text):
        return name_of(view, view.info(commit_by_prefix(view.reader, view.graph, text, view.principal)))
    raise NotFound(
        f"No intent is called {text!r}",
        hint="Give the intent_id of a commit, its commit id, or a session; asg_query with target intents lists them.",
        intent=text,
    )


def name_of(view: View, info: CommitInfo) -> IntentName:
    """The intent that a commit bears."""
    names = {info.id.short, info.id.hex()}
    if info.intent_id:
        first = _bearer(view, info.intent_id) or info
        return IntentName(info.intent_id, frozenset({info.intent_id} | names), first, None)
    return IntentName(info.id.hex(), frozenset(names), info, None)


def children_of(view: View, intent: IntentName) -> Iterator[CommitInfo]:
    """The commits that serve an intent directly, newest first."""
    seen: set[int] = set()
    for name in sorted(intent.names):
        for seq in seqs_of(view.reader, (TermKind.INTENT, name)):
            info = info_of(view.reader, view.reader.commit(seq))
            if info.parent_intent in intent.names and seq not in seen:
                seen.add(seq)
                yield info


def bearers_of(view: View, name: str) -> Iterator[int]:
    """The numbers of the commits that a child may call its parent by this name, of those that may be seen."""
    if len(name) in (SHORT_ID_DIGITS, 2 * DIGEST_BYTES) and is_prefix(name) and name == name.lower():
        yield from commits_seen(view.reader, view.graph, name, view.principal, NEAREST_MAX)
    for seq in seqs_of(view.reader, (TermKind.INTENT, name), rising=True):
        if intent_id_of(view.reader.commit(seq)) == name:
            yield seq


def records_of(view: View, kind: RecordKind) -> Iterator[Record]:
    """Records that whoever looks may see, newest first, the first RECORDS_SCANNED_MAX of them."""
    before, left = view.reader.events_count(), RECORDS_SCANNED_MAX
    while left > 0:
        page = view.reader.records(kind, before, min(_RECORDS_PAGE, left))
        yield from (record for record in page if _is_own(view, record))
        if len(page) < _RECORDS_PAGE:
            return
        before, left = page[-1].opened, left - len(page)


def own_session(view: View, handle: str) -> Record | None:
    """The record of a session that whoever looks may see; None where there is none."""
    record = view.reader.record(RecordKind.SESSION, handle)
    return record if record is not None and _is_own(view, record) else None


def _is_own(view: View, record: Record) -> bool:
    """Whether the principal that looks may see a record: sessions and speculations are their principal's own."""
    bound = record.kind in (RecordKind.SESSION, RecordKind.SPECULATION)
    return not (bound and view.principal and record.data["principal"] != view.principal)


def _bearer(view: View, text: str) -> CommitInfo | None:
    """The first commit with this intent_id."""
    # The index has children under the name too, but few of them before the first commit that bears it.
    found = seqs_of(view.reader, (TermKind.INTENT, text), rising=True)
    return next((view.info(seq) for seq in found if intent_id_of(view.reader.commit(seq)) == text), None)
