"""Query's target `intents`: what was intended, what serves it, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from heapq import merge
from itertools import islice
from typing import Any

from asg_mcp.core.times import format_time, parse_time
from asg_mcp.repo import cursors
from asg_mcp.repo.filters import CommitFilter
from asg_mcp.repo.graph import Reach
from asg_mcp.repo.intents import IntentName, bearers_of, children_of, intent_named, name_of, own_session, records_of
from asg_mcp.repo.records import authority_of, key_of, outcome_of
from asg_mcp.repo.requests import Query
from asg_mcp.repo.results import CommitInfo, IntentInfo, IntentPage
from asg_mcp.repo.scans import Scan
from asg_mcp.repo.view import View
from asg_mcp.repo.words import asked_words, words_of
from asg_mcp.storage.base import Record, RecordKind

INTENT_DEPTH_MAX = 8
"""Levels of children below one intent; a deeper one is asked for by its own name."""
INTENT_NODES_MAX = 200
"""Children of one intent on all levels together; the rest is counted."""


def list_intents(view: View, query: Query) -> IntentPage:
    """One page of intents, newest first.

    With `intent`, that one and all that serves it. Without any filter, the intents that serve no other that is listed,
    each with its children. With filters, every commit and session that matches, each with its children. Raises what
    CommitFilter and the scan raise, NotFound and InvalidCursor.
    """
    cursors.check_limit(query.limit)
    asked = cursors.digest(replace(query, limit=0, cursor=""))
    head, position = cursors.begin(view, query.ref, "intents", asked, query.cursor, int)
    start = position[0] if position else 0
    tree = _Tree(view)
    if query.intent:
        found = [tree.of_name(intent_named(view, query.intent))]
    else:
        found = list(islice(_matching(view, tree, query, head), start, start + query.limit + 1))
    more = len(found) > query.limit
    items = tuple(tree.grown(item) for item in found[: query.limit])
    cursor = cursors.make("intents", asked, [head, start + query.limit]) if more else ""
    return IntentPage(query.ref, items, cursor)


def _matching(view: View, tree: _Tree, query: Query, head: int) -> Iterator[IntentInfo]:
    """Commits and sessions together, newest first, each intent once."""
    browsing = query == Query(
        target=query.target, ref=query.ref, order_by=query.order_by, limit=query.limit, cursor=query.cursor
    )
    chosen = CommitFilter(view.reader, view.hasher, query)
    scan = Scan(view.reader, view.graph, chosen, head, everywhere=not query.ref, principal=view.principal)
    within = view.graph.reach(view.reader, head) if query.ref else None
    commits = (tree.of_commit(info) for info in scan.all() if not (browsing and tree.is_below(info, within)))
    sessions = (
        tree.of_session(record)
        for record in tree.sessions
        if _session_matches(view, query, record) and not (browsing and record.data["parent"])
    )
    seen: set[str] = set()
    for item in merge(commits, sessions, key=lambda item: item.at, reverse=True):
        if item.key not in seen:
            seen.add(item.key)
            yield item


def _session_matches(view: View, query: Query, record: Record) -> bool:
    data = record.data
    if query.category or query.tags or query.pattern or query.path or query.jsonpath:
        return False
    if query.client not in ("", data["client"]):
        return False
    if query.confidence_min is not None or query.confidence_max is not None:
        return False
    wanted = ((query.agent, data["agent"]), (query.principal, data["principal"]), (query.session, record.key))
    if any(asked not in ("", held) for asked, held in wanted):
        return False
    if query.authority and authority_of({"authority": data["authority"]}) != query.authority:
        return False
    if query.text and not set(asked_words(query.text)) <= words_of(data["description"]):
        return False
    at = data["opened_at"]
    if (query.since and at < parse_time(query.since)) or (query.until and at > parse_time(query.until)):
        return False
    filed = view.reader.record(RecordKind.OUTCOME, record.key)
    deviates = filed is not None and bool(filed.data["deviations"])
    status = "open" if filed is None else filed.data["outcome"]
    return query.status in ("", status) and query.has_deviations in (None, deviates)


@dataclass(slots=True)
class _Tree:
    """Makes intents out of commits and sessions, and finds their children."""

    view: View
    sessions: list[Record] = field(init=False)
    _listed: dict[str, bool] = field(default_factory=dict)
    """Whether an intent of this name is in the list."""

    def __post_init__(self) -> None:
        self.sessions = list(records_of(self.view, RecordKind.SESSION))

    def of_name(self, intent: IntentName) -> IntentInfo:
        if intent.session is not None:
            return self.of_session(intent.session)
        assert intent.commit is not None, "BUG: an intent is a commit or a session"
        return self.of_commit(intent.commit)

    def of_commit(self, info: CommitInfo) -> IntentInfo:
        """The intent that a commit bears, as the first that bears it tells it, at the time of this one."""
        first = (name_of(self.view, info).commit if info.intent_id else None) or info
        return IntentInfo(
            key=key_of(info),
            name=info.intent_id or info.id.short,
            agent=first.agent,
            description=first.description,
            parent=first.parent_intent,
            at=info.at,
            outcome=self._outcome(key_of(info)),
            commit=first,
        )

    def of_session(self, record: Record) -> IntentInfo:
        data = record.data
        return IntentInfo(
            key=record.key,
            name=record.key,
            agent=data["agent"],
            description=data["description"],
            parent=data["parent"],
            at=format_time(data["opened_at"]),
            outcome=self._outcome(record.key),
            commit=None,
        )

    def is_below(self, info: CommitInfo, within: Reach | None) -> bool:
        """Whether a commit is shown below its parent, which needs one that is listed: `within` are its commits."""
        name = info.parent_intent
        if not name or name in (info.intent_id, info.id.short, info.id.hex()):
            return False
        if name not in self._listed:
            self._listed[name] = self._is_listed(name, within)
        return self._listed[name]

    def _is_listed(self, name: str, within: Reach | None) -> bool:
        if own_session(self.view, name) is not None:
            return True
        return any(within is None or seq in within for seq in bearers_of(self.view, name))

    def _outcome(self, key: str) -> dict[str, Any] | None:
        filed = self.view.reader.record(RecordKind.OUTCOME, key)
        return None if filed is None else outcome_of(filed)

    def grown(self, item: IntentInfo) -> IntentInfo:
        """The intent with its children, theirs, and so on."""
        return self._grown(item, INTENT_DEPTH_MAX, [INTENT_NODES_MAX], frozenset({item.key}))

    def _grown(self, item: IntentInfo, depth: int, room: list[int], above: frozenset[str]) -> IntentInfo:
        # Whoever names its own descendant as its parent makes a circle, and no level of it is shown twice.
        found = [child for child in self._children(item) if child.key not in above]
        kept: list[IntentInfo] = []
        for child in found:
            if depth == 0 or room[0] == 0:
                break
            room[0] -= 1
            kept.append(self._grown(child, depth - 1, room, above | {child.key}))
        return replace(item, children=tuple(kept), more_children=len(found) - len(kept))

    def _children(self, item: IntentInfo) -> list[IntentInfo]:
        name = IntentName(item.key, frozenset({item.key}), None, None)
        if item.commit is not None:
            name = name_of(self.view, item.commit)
        children = {child.key: child for child in map(self.of_commit, children_of(self.view, name))}
        for record in self.sessions:
            if record.data["parent"] in name.names:
                children[record.key] = self.of_session(record)
        return sorted(children.values(), key=lambda child: child.at, reverse=True)
