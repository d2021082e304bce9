"""One query over commits, agents and the state: filters that must all hold, groups, orders, pages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeVar

from asg_mcp.core.nodes import Hasher
from asg_mcp.errors import InvalidArgument
from asg_mcp.repo import cursors
from asg_mcp.repo.filters import CommitFilter
from asg_mcp.repo.records import whole
from asg_mcp.repo.requests import Query
from asg_mcp.repo.results import AgentInfo, CommitInfo, Group, QueryResult, StateItem
from asg_mcp.repo.scans import Owners, Scan
from asg_mcp.repo.tally import GROUP_KEYS, agents_of, by_confidence, groups_of, sorted_by_confidence
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Reader

ORDERS = {
    "commits": ("newest", "oldest", "confidence"),
    "agents": ("newest", "oldest", "confidence", "count"),
    "state": ("newest", "confidence"),
    "groups": ("newest", "oldest", "count"),
}
"""What each target can be ordered by. State entries come in path order, unless by confidence."""

T = TypeVar("T")
Item = CommitInfo | AgentInfo | StateItem


def run_query(view: View, query: Query) -> QueryResult:
    """Answer a query. Later pages read the commit that the first page read.

    Pages of commits (newest, oldest) and of state entries hold what was found within the scan's limit and may be
    empty, with a cursor; what has to see everything first (groups, agents, the order by confidence) raises
    LimitExceeded instead. Raises InvalidArgument, InvalidCursor, and what `resolve_ref` and `State.spot` raise.
    """
    _check(query)
    asked = cursors.digest(replace(query, limit=0, cursor=""))
    head, position = cursors.begin(view, query.ref, "query", asked, query.cursor, int)
    start = position[0] if position else None
    if query.target == "state":
        return _over_state(view.reader, view.hasher, query, asked, head, start)
    if query.ref and (query.path or query.text or query.pattern or query.tags or query.authority):
        whole(view.reader.commit(head))  # of what was pruned nobody can tell whether such a filter holds
    chosen = CommitFilter(view.reader, view.hasher, query)
    scan = Scan(view.reader, view.graph, chosen, head, everywhere=not query.ref, principal=view.principal)
    if query.group_by or query.target == "agents" or query.order_by == "confidence":
        ordered = _ordered(query, scan.all())
        return _page(query, asked, head, start or 0, ordered, scan.examined)
    return _commits(query, asked, head, start, scan)


def _check(query: Query) -> None:
    cursors.check_limit(query.limit)
    if query.target not in ("commits", "agents", "state"):
        raise InvalidArgument(f"There is no target {query.target!r}", hint="Use commits, agents or state.")
    for key in query.group_by:
        if key not in GROUP_KEYS:
            raise InvalidArgument(f"Nothing is grouped by {key!r}", hint=f"Use {', '.join(GROUP_KEYS)}.")
    if len(set(query.group_by)) < len(query.group_by):
        raise InvalidArgument("group_by names a key twice", hint="Name each key once.")
    what = "groups" if query.group_by else query.target
    if query.order_by not in ORDERS[what]:
        raise InvalidArgument(
            f"The {what} cannot be ordered by {query.order_by!r}", hint=f"Use {' or '.join(ORDERS[what])}."
        )
    if query.jsonpath and query.target != "state":
        raise InvalidArgument("A JSONPath selects values of the state", hint="Use target state, or a JSON Pointer.")
    if query.target == "state" and not query.ref:
        raise InvalidArgument("The state is that of one ref", hint="Name a ref, such as main.")


def _commits(query: Query, asked: str, head: int, start: int | None, scan: Scan) -> QueryResult:
    rising = query.order_by == "oldest"
    found: list[CommitInfo] = []
    go_on = None
    for info in scan.matches(start, rising=rising):
        if len(found) == query.limit:
            go_on = info.seq
            break
        found.append(info)
    if go_on is None:
        go_on = scan.stopped_at
    cursor = "" if go_on is None else cursors.make("query", asked, [head, go_on])
    return QueryResult(query.ref, tuple(found), (), cursor, scan.examined)


def _ordered(query: Query, infos: Iterator[CommitInfo]) -> Sequence[Item | Group]:
    if query.group_by:
        return groups_of(infos, query.group_by, query.order_by)
    if query.target == "agents":
        return agents_of(infos, query.order_by)
    return sorted_by_confidence(infos)


def _page(
    query: Query, asked: str, head: int, start: int, ordered: Sequence[Item | Group], examined: int
) -> QueryResult:
    page, cursor = _slice(query, asked, head, start, ordered)
    groups = tuple(item for item in page if isinstance(item, Group))
    items = tuple(item for item in page if not isinstance(item, Group))
    return QueryResult(query.ref, items, groups, cursor, examined)


def _slice(query: Query, asked: str, head: int, start: int, ordered: Sequence[T]) -> tuple[Sequence[T], str]:
    start = max(start, 0)
    end = start + query.limit
    return ordered[start:end], cursors.make("query", asked, [head, end]) if end < len(ordered) else ""


def _over_state(reader: Reader, hasher: Hasher, query: Query, asked: str, head: int, start: int | None) -> QueryResult:
    owners = Owners(reader, hasher, query, head)
    if query.group_by:
        groups = groups_of((owned.info for owned in owners.all()), query.group_by, query.order_by)
        return _page(query, asked, head, start or 0, groups, owners.examined)
    if query.order_by == "confidence":
        ordered = sorted(owners.all(), key=lambda owned: by_confidence(owned.info.confidence, owned.step.rank))
        found, cursor = _slice(query, asked, head, start or 0, ordered)
    else:
        found, go_on = owners.page(start, query.limit)
        cursor = "" if go_on is None else cursors.make("query", asked, [head, go_on])
    return QueryResult(query.ref, tuple(owners.item(owned) for owned in found), (), cursor, owners.examined)
