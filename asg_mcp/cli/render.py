"""Replies as people read them: at night, in a narrow window, or through grep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from asg_mcp.cli.output import BAD, DIM, GOOD, LABEL, STRONG, WARN, Output, Piece
from asg_mcp.core.times import parse_time
from asg_mcp.core.values import JsonValue
from asg_mcp.schemas.branch import RefItem
from asg_mcp.schemas.entries import ChangeItem, CommitItem, Explained
from asg_mcp.schemas.history import BlameItem

VALUE_CHARS_MAX = 400
"""Of a value shown inside a sentence; `get` shows all of it."""
_UNITS = (("day", 86_400), ("hour", 3_600), ("minute", 60))
_SIGNS = {"add": ("+", GOOD), "remove": ("-", BAD), "replace": ("~", WARN), "type": ("~", WARN), "move": (">", LABEL)}


def compact(value: JsonValue) -> str:
    """A value on one line, cut with its length where long."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) <= VALUE_CHARS_MAX:
        return text
    return f"{text[:VALUE_CHARS_MAX]}… ({len(text)} characters; asg-mcp get shows all)"


def when(at: str) -> str:
    """2026-11-21 02:14:07 UTC."""
    return f"{at[:19].replace('T', ' ')} UTC"


def ago(at: str, now: datetime) -> str:
    """How long before `now` that was, in one unit; empty when it is not before."""
    seconds = int(now.timestamp()) - parse_time(at) // 1_000_000
    if seconds < 0:
        return ""
    for unit, size in _UNITS:
        if seconds >= size:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''} ago"
    return "just now"


def percent(confidence: float) -> str:
    """0.73 as 73 %."""
    return f"{confidence * 100:.3g} %"


# --- blame ----------------------------------------------------------------------


def blame(output: Output, ref: str, items: Iterable[BlameItem]) -> None:
    """The paths each commit gave their values, and under them the chain that explains it."""
    groups: dict[str, list[BlameItem]] = {}
    for item in items:
        groups.setdefault(item.commit, []).append(item)
    for number, group in enumerate(groups.values()):
        if number:
            output.line()
        for item in group:
            output.hanging(0, *_given(item, ref))
        chain(output, group[0])


def _given(item: BlameItem, ref: str) -> Iterator[Piece]:
    yield item.path, STRONG
    if item.deleted:
        yield " was deleted", BAD
    elif "value" in item.model_fields_set:
        yield f" = {compact(item.value)}"
    elif item.left_out.get("value"):
        yield f": a {item.type} of {item.left_out['value']} bytes"
    else:
        yield f": a {item.type}"
    yield f"  on {ref}", DIM


def chain(output: Output, item: Explained) -> None:
    """Who, what, when, why, how sure, on whose authority, what else, what was expected."""
    output.field("who", (item.agent, STRONG), (" (agent, as claimed)", DIM))
    output.field("", item.principal, (" (principal, verified)", DIM))
    if item.client:
        output.field("", item.client, (" (client, as observed)", DIM))
    if item.session:
        output.field("", item.session, (" (session)", DIM))
    output.field("what", (item.category, STRONG), f": {item.description}" if item.description else "")
    age = ago(item.at, datetime.now(UTC))
    output.field("when", when(item.at), (f" ({age})" if age else "", DIM))
    for label, text in _reasons(item):
        output.field(label, text)
    output.field("commit", (item.commit, WARN))


def _reasons(item: Explained) -> Iterator[tuple[str, str]]:
    if item.pruned:
        yield "why", "(gc took away what this commit held; that it was made is on record)"
    elif item.withheld:
        yield "why", "(the texts of this commit were erased; that they existed is on record)"
    if item.reasoning:
        yield "why", item.reasoning
    if "confidence" in item.model_fields_set:
        yield "how sure", percent(item.confidence)
    if item.authority:
        yield from _labelled("authority", _authority(item.authority))
    yield from _labelled("considered", [_alternative(found) for found in item.alternatives])
    if "expected" in item.model_fields_set:
        yield "expected", item.expected if isinstance(item.expected, str) else compact(item.expected)
    if item.tags:
        yield "tags", ", ".join(item.tags)
    if item.intent_id:
        yield "intent", item.intent_id
    if item.parent_intent:
        yield "serves", item.parent_intent
    yield from _labelled("too large", [f"{name}: {size} bytes" for name, size in item.left_out.items()])


def _labelled(label: str, texts: Iterable[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        yield "" if number else label, text


def _authority(given: Mapping[str, Any]) -> Iterator[str]:
    known = {"principal", "scope", "delegation_chain"}
    yield _joined(": ", given.get("principal"), given.get("scope"))
    for link in given.get("delegation_chain", ()):
        yield _delegation(link)
    for name in given.keys() - known:
        yield f"{name}: {given[name] if isinstance(given[name], str) else compact(given[name])}"


def _delegation(link: Any) -> str:
    if not isinstance(link, Mapping):
        return compact(link)
    step = _joined(" → ", link.get("from"), link.get("to"))
    until = f"until {link['expires']}" if link.get("expires") else ""
    return _joined(", ", _joined(": ", step, link.get("scope")), until)


def _alternative(given: Mapping[str, Any]) -> str:
    sure = given.get("confidence")
    looked = f" ({percent(sure)})" if isinstance(sure, int | float) else ""
    return _joined(". Not taken: ", f"{given.get('description', compact(dict(given)))}{looked}", given.get("why_not"))


def _joined(between: str, *texts: Any) -> str:
    return between.join(str(text) for text in texts if text)


# --- log, branches, diff ----------------------------------------------------------


def log(output: Output, commits: list[CommitItem]) -> None:
    """One commit a line."""
    agents = _width(item.agent for item in commits)
    for item in commits:
        sure = percent(item.confidence) if "confidence" in item.model_fields_set else ""
        head = f"{item.commit}  {item.at[:16].replace('T', ' ')}  {item.agent:<{agents}}  {sure:>5}  "
        first, _, more = ("(gc took away what it held)" if item.pruned else item.description).partition("\n")
        merged = ("merge ", DIM) if len(item.parents) > 1 else ""
        output.hanging(len(head), merged, (item.category, STRONG), f": {first}{' …' if more else ''}", first=head)


def branches(output: Output, refs: list[RefItem]) -> None:
    """One ref a line."""
    names, agents = _width(ref.name for ref in refs), _width(ref.agent for ref in refs)
    distances = [_distance(ref) for ref in refs]
    apart = _width(distances)
    for ref, distance in zip(refs, distances, strict=True):
        kind = "tag   " if ref.kind == "tag" else "branch"
        head = f"{kind}  {ref.name:<{names}}  {ref.commit}  {distance:<{apart}}  {ref.at[:16].replace('T', ' ')}  "
        head += f"{ref.agent:<{agents}}  "
        output.hanging(len(head), ref.description.partition("\n")[0], first=head)


def _distance(ref: RefItem) -> str:
    """Ahead and behind of the default branch."""
    if not {"ahead", "behind"} & ref.model_fields_set:
        return ""
    return f"+{ref.ahead} -{ref.behind}"


def diff(output: Output, changes: list[ChangeItem]) -> None:
    """One change a line: + added, - removed, ~ replaced, > moved."""
    for change in changes:
        sign, colour = _SIGNS.get(change.op, ("?", WARN))
        output.hanging(2, *_difference(change), first=(sign, colour))


def _difference(change: ChangeItem) -> Iterator[Piece]:
    yield change.path, STRONG
    if change.source:
        yield f" (from {change.source})"
    old, new = _side(change, "old"), _side(change, "new")
    if change.op == "move":
        return
    yield "  "
    yield from ((old, "red"),) if old else ()
    yield " → " if old and new else ""
    yield from ((new, GOOD),) if new else ()


def _side(change: ChangeItem, name: str) -> str:
    if name in change.model_fields_set:
        return compact(getattr(change, name))
    return f"({change.left_out[name]} bytes)" if name in change.left_out else ""


def _width(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)
