"""Query's targets besides commits, agents and state: intents, sessions, epochs, plans and speculations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from itertools import islice

from asg_mcp.core.ids import CommitId
from asg_mcp.core.limits import COUNT_AHEAD_MAX
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidArgument
from asg_mcp.repo import cursors
from asg_mcp.repo.epochs import epoch_info, epoch_records
from asg_mcp.repo.intenttree import list_intents
from asg_mcp.repo.outcomes import OUTCOMES
from asg_mcp.repo.records import authority_of
from asg_mcp.repo.repository import Query, Repository
from asg_mcp.repo.results import IntentPage, RecordPage
from asg_mcp.repo.sessions import session_items
from asg_mcp.repo.speculation import speculation_items
from asg_mcp.repo.view import View
from asg_mcp.repo.words import asked_words, words_of
from asg_mcp.services.planrules import PlanStatus
from asg_mcp.services.plans import plan_items

Item = dict[str, JsonValue]
_TEXTS = ("description", "label", "lesson", "summary", "name")
_NAMES = {"agent": "agent", "principal": "principal", "session": "session"}


async def intents(repo: Repository, query: Query) -> IntentPage:
    """One page of intents as trees, the newest first. Raises InvalidArgument for another order."""
    _check_order(query)

    def page(view: View) -> IntentPage:
        found = list_intents(view, query)
        if not found.next_cursor:
            return found
        rest = list_intents(view, replace(query, limit=COUNT_AHEAD_MAX, cursor=found.next_cursor))
        return replace(found, omitted=len(rest.items))

    return await repo.read(page)


async def records(repo: Repository, query: Query) -> RecordPage:
    """One page of sessions, epochs, plans or speculations, the newest first; plans in the order of their names.

    Filters: agent, principal, session, authority, status, text, since and until, where the target has them. Raises
    InvalidArgument for a filter that it has not.
    """
    listed = _LISTS[query.target]
    _check(query)

    def page(view: View) -> RecordPage:
        asked = cursors.digest(replace(query, limit=0, cursor=""))
        cursors.check_limit(query.limit)
        start = cursors.read("records", asked, query.cursor, int)[0] if query.cursor else 0
        matching = (item for item in listed(view, query) if _holds(query, item))
        found = list(islice(matching, start, start + query.limit + COUNT_AHEAD_MAX))
        kept, rest = found[: query.limit], found[query.limit :]
        cursor = cursors.make("records", asked, [start + query.limit]) if rest else ""
        return RecordPage(tuple(kept), cursor, len(rest))

    return await repo.read(page)


def _sessions(view: View, _: Query) -> Iterator[Item]:
    now = format_time(time.time_ns() // 1_000)
    for info in session_items(view):
        item = _given(asdict(info))
        item["session"] = item.pop("handle")
        item["at"] = item.pop("opened_at")
        if info.status == "open" and info.expires <= now:
            item["status"] = "expired"
        yield item


def _epochs(view: View, _: Query) -> Iterator[Item]:
    for record in epoch_records(view.reader):
        item = _given(asdict(epoch_info(view.reader, record)))
        item.pop("opened", None)
        item["at"] = item.pop("opened_at")
        for name in ("follows", "size"):
            if item[name] == 0:  # nothing follows, or there is no seal yet
                del item[name]
        yield {**item, "status": item["state"]}


def _speculations(view: View, _: Query) -> Iterator[Item]:
    for info in speculation_items(view):
        item = _given(asdict(info))
        item.pop("index", None)
        yield item


def _plans(view: View, query: Query) -> Iterator[Item]:
    for item in plan_items(view, query.ref or "main"):
        yield _given(dict(item))


_STATUS: Mapping[str, Sequence[str]] = {
    "sessions": ("open", "expired", *OUTCOMES),
    "epochs": ("open", "sealed"),
    "plans": tuple(PlanStatus),
    "speculations": ("open", "committed", "discarded", "expired"),
}
_LISTS: Mapping[str, Callable[[View, Query], Iterable[Item]]] = {
    "sessions": _sessions,
    "epochs": _epochs,
    "plans": _plans,
    "speculations": _speculations,
}


def _given(fields: Mapping[str, object]) -> Item:
    """The fields that say something, ids as they are shown."""
    shown = {name: item.short if isinstance(item, CommitId) else item for name, item in fields.items()}
    return {
        name: list(item) if isinstance(item, tuple) else item
        for name, item in shown.items()
        if item is not False and item not in (None, "", (), [], {})
    }


def _check_status(query: Query, words: Sequence[str]) -> None:
    """Raise InvalidArgument for a status that nothing of this kind can have."""
    if query.status and query.status not in words:
        raise InvalidArgument(f"No {query.target} have the status {query.status!r}", hint=f"Use {', '.join(words)}.")


def _check_order(query: Query) -> None:
    if query.order_by != "newest":
        raise InvalidArgument(
            f"{query.target} cannot be ordered by {query.order_by}", hint="Leave order_by out: the newest come first."
        )


def _check(query: Query) -> None:
    _check_status(query, _STATUS[query.target])
    _check_order(query)
    unfit = [
        name
        for name, given in (
            ("category", query.category),
            ("tags", query.tags),
            ("pattern", query.pattern),
            ("path", query.path or query.jsonpath),
            ("client", query.client),
            ("confidence_min", query.confidence_min),
            ("confidence_max", query.confidence_max),
            ("group_by", query.group_by),
            ("intent", query.intent if query.target in ("plans", "speculations") else ""),
        )
        if given not in (None, (), "")
    ]
    if unfit:
        raise InvalidArgument(
            f"{query.target} cannot be filtered by {', '.join(unfit)}",
            hint="Use agent, principal, session, authority, intent, status, has_deviations, text, since or until.",
        )


def _holds(query: Query, item: Item) -> bool:
    if any(getattr(query, asked) not in ("", item.get(name, "")) for asked, name in _NAMES.items()):
        return False
    if query.status and query.status != item.get("status"):
        return False
    if query.intent and query.intent not in (item.get("parent"), item.get("session"), *_list(item, "root_intents")):
        return False
    if query.authority and authority_of({"authority": item.get("authority")}) != query.authority:
        return False
    if query.has_deviations is not None:
        outcome = item.get("outcome")
        if (isinstance(outcome, dict) and bool(outcome.get("deviations"))) != query.has_deviations:
            return False
    if query.text:
        held = "\n".join(str(item.get(name, "")) for name in _TEXTS)
        if not set(asked_words(query.text)) <= words_of(held):
            return False
    at = item.get("at")
    if not isinstance(at, str):
        return not query.since and not query.until
    return not (
        (query.since and parse_time(at) < parse_time(query.since))
        or (query.until and parse_time(at) > parse_time(query.until))
    )


def _list(item: Item, name: str) -> list[JsonValue]:
    found = item.get(name)
    return found if isinstance(found, list) else []
