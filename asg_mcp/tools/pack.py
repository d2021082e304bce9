"""From what the repository answers to what travels: present fields only, short ids, bounded sizes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

from pydantic_core import to_json

from asg_mcp.core.ids import Id
from asg_mcp.core.limits import REPLY_BYTES_MAX, VIOLATIONS_SHOWN_MAX
from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import format_path
from asg_mcp.core.values import JsonValue
from asg_mcp.repo import results as r

ITEM_BYTES_MAX = REPLY_BYTES_MAX // 2
"""Of the values and texts in one item of a list; the next is named in `left_out`, so one item always fits a reply."""
ITEMS_BYTES_MAX = REPLY_BYTES_MAX * 3 // 4
"""Of all items of one reply; the rest is for refs, paths and cursors."""

Fields = dict[str, Any]
"""The present fields of a result under their wire names."""
Answer = TypeVar("Answer")


class Item:
    """The fields of one item of a list, as far as they fit in ITEM_BYTES_MAX."""

    def __init__(self, **small: JsonValue) -> None:
        self.fields: Fields = small
        self._room = ITEM_BYTES_MAX

    def put(self, name: str, value: JsonValue) -> None:
        """Add a field of any size; one too large is named with its bytes in `left_out`."""
        size = len(to_json(value))
        if size > self._room:
            self.fields.setdefault("left_out", {})[name] = size
            return
        self._room -= size
        self.fields[name] = value

    def put_side(self, name: str, value: JsonValue) -> None:
        """Add a side of a change, unless there is nothing on that side."""
        if value is not ABSENT:
            self.put(name, value)

    def put_given(self, **texts: JsonValue) -> None:
        """Add the fields that were given, which are those that are not empty."""
        for name, value in texts.items():
            if value not in (None, "", [], {}):
                self.put(name, value)


def shown(identifier: Id | None, *, full: bool = False) -> str:
    """An id as people and models read it."""
    return "" if identifier is None else identifier.hex() if full else identifier.short


def last_change(info: r.CommitInfo, *, full_ids: bool) -> Fields:
    """The short answer to who and why."""
    fields = {
        "commit": shown(info.id, full=full_ids),
        "agent": info.agent,
        "category": info.category,
        "description": info.description,
        "at": info.at,
    }
    return fields if info.confidence is None else {**fields, "confidence": info.confidence}


def explained(item: Item, info: r.CommitInfo, *, full: bool = False) -> Fields:
    """Add all that explains a commit. `full` adds everything given with it, tool calls included."""
    item.fields |= {
        "commit": info.id.short,
        "agent": info.agent,
        "principal": info.principal,
        "client": info.client,
        "category": info.category,
        "description": info.description,
        "at": info.at,
    }
    item.put_given(reasoning=info.reasoning, confidence=info.confidence, session=info.session, tags=list(info.tags))
    item.put_given(intent_id=info.intent_id, parent_intent=info.parent_intent)
    if info.pruned:
        item.fields["pruned"] = True
    elif info.withheld:
        item.fields["withheld"] = True
    for name in ("authority", "alternatives", "expected"):
        if name in info.provenance:
            item.put(name, info.provenance[name])
    item.put_given(outcome=None if info.outcome is None else dict(info.outcome))
    if full:
        item.put_given(provenance=dict(info.provenance))
    return item.fields


def more(omitted: int) -> Fields:
    """The count of what is behind a page; a missing field where nothing is."""
    return {"omitted": omitted} if omitted else {}


def withheld(found: r.GetResult) -> Fields:
    """Where what was read has markers in the place of erased values; missing fields where it has none."""
    fields: Fields = {"withheld": [format_path(path) for path in found.withheld]} if found.withheld else {}
    return {**fields, "withheld_omitted": found.withheld_omitted} if found.withheld_omitted else fields


def commit(info: r.CommitInfo, *, full: bool = False) -> Fields:
    """A commit, explained, with its parents."""
    return explained(Item(parents=[parent.short for parent in info.parents]), info, full=full)


def blamed(entry: r.BlameEntry | r.StateItem, *, full: bool = False) -> Fields:
    """A path, what it was given, and the commit that gave it."""
    item = Item(path=format_path(entry.path))
    if entry.value is ABSENT and not entry.type:
        item.fields["deleted"] = True
    else:
        item.fields["type"] = entry.type
        item.put_side("value", entry.value)
    return explained(item, entry.commit, full=full)


def change(found: r.Change) -> Fields:
    """One difference. An absent side is a missing field."""
    item = Item(op=found.op, path=format_path(found.path))
    if found.source is not None:
        item.fields["from"] = format_path(found.source)
    item.put_side("old", found.old)
    item.put_side("new", found.new)
    return item.fields


def conflict(found: r.Conflict) -> Fields:
    """One path on which two sides disagree. An absent side is a missing field."""
    item = Item(path=format_path(found.path), rule=found.rule)
    for name, side in (("base", found.base), ("ours", found.ours), ("theirs", found.theirs)):
        item.put_side(name, side)
    for name, info in (("ours_by", found.ours_by), ("theirs_by", found.theirs_by)):
        if info is not None:
            item.fields[name] = changed_by(info)
    return item.fields


def changed_by(info: r.CommitInfo) -> Fields:
    """Who changed one side of a conflict, and why."""
    return {"commit": info.id.short, "agent": info.agent, "description": info.description, "at": info.at}


def match(found: r.Match) -> Fields:
    """One key or value found."""
    item = Item(path=format_path(found.path), type=found.type, on=found.on)
    item.put_side("value", found.value)
    return item.fields


def ref(found: r.RefInfo) -> Fields:
    """A branch or tag."""
    fields: Fields = {
        "name": found.name,
        "kind": found.kind,
        "commit": found.commit.short,
        "at": found.at,
        "agent": found.agent,
        "description": found.description,
    }
    if found.ahead is not None:
        fields["ahead"] = found.ahead
    if found.behind is not None:
        fields["behind"] = found.behind
    return fields


def agent(found: r.AgentInfo) -> Fields:
    """One agent, over all its commits."""
    fields: Fields = {
        "agent": found.agent,
        "commits": found.commits,
        "principals": list(found.principals),
        "clients": list(found.clients),
        "categories": dict(found.categories),
        "first_at": found.first_at,
        "last_at": found.last_at,
    }
    if found.confidence_mean is not None:
        fields["confidence_mean"] = found.confidence_mean
    if found.outcomes:
        fields["outcomes"] = dict(found.outcomes)
    if found.calibration is not None:
        fields["calibration"] = asdict(found.calibration)
    return fields


def intent(found: r.IntentInfo, room: int = ITEM_BYTES_MAX) -> Fields:
    """An intent with what serves it, as much of that as fits in `room` bytes; the rest is counted."""
    item = Item(intent=found.name, agent=found.agent, description=found.description, status=found.status, at=found.at)
    if found.commit is not None:
        item.fields |= {"commit": found.commit.id.short, "category": found.commit.category.value}
        item.put_given(confidence=found.commit.confidence)
        if found.commit.pruned:
            item.fields["pruned"] = True
    item.put_given(parent=found.parent, outcome=None if found.outcome is None else dict(found.outcome))
    room -= len(to_json(item.fields))
    children: list[Fields] = []
    for child in found.children:
        packed = intent(child, room)
        room -= len(to_json(packed)) + 1
        if room < 0:
            break
        children.append(packed)
    more_children = found.more_children + len(found.children) - len(children)
    if children:
        item.fields["children"] = children
    if more_children:
        item.fields["more_children"] = more_children
    return item.fields


def record(found: Mapping[str, JsonValue]) -> Fields:
    """A session, epoch, plan or speculation, its large parts left out where they do not fit."""
    item = Item()
    for name, value in found.items():
        item.put(name, value)
    return item.fields


def group(found: r.Group) -> Fields:
    """One group of a query."""
    return {"key": dict(found.key), "count": found.count, "first_at": found.first_at, "last_at": found.last_at}


def written(done: r.WriteResult | r.RevertResult | r.MergeResult) -> Fields:
    """What every reply to a write has."""
    fields: Fields = {"ref": done.ref, "changed": done.changed, "rebased": done.rebased}
    for name, identifier in (("commit", done.commit), ("parent", done.parent), ("object", done.object)):
        if identifier is not None:
            fields[name] = identifier.short
    if done.replayed:
        fields["replayed"] = True
    if isinstance(done, r.WriteResult):
        fields.update(warned(done.warnings))
    return fields


def warned(warnings: Sequence[r.SchemaWarning]) -> Fields:
    """What the state's schema says of a commit that was made, as far as it is shown; missing where it says nothing."""
    if not warnings:
        return {}
    items: list[JsonValue] = [{"path": format_path(found.path), "message": found.message} for found in warnings]
    shown, _ = first(items[:VIOLATIONS_SHOWN_MAX], ITEM_BYTES_MAX)
    omitted = len(items) - len(shown)
    return {"warnings": shown, "warnings_omitted": omitted} if omitted else {"warnings": shown}


def first(items: Sequence[JsonValue], room: int) -> tuple[list[JsonValue], int]:
    """The first items that fit in `room` bytes of JSON, and the room that is left."""
    for count, item in enumerate(items):
        size = len(to_json(item)) + 1
        if size > room:
            return list(items[:count]), 0
        room -= size
    return list(items), room


def fitted(lists: Mapping[str, Sequence[JsonValue]], totals: Mapping[str, int]) -> Fields:
    """Lists that share one reply, the first of them first, and how many of each did not fit; of all that there are."""
    fields: Fields = {}
    omitted: dict[str, int] = {}
    room = ITEMS_BYTES_MAX
    for name, items in lists.items():
        fields[name], room = first(items, room)
        left = totals.get(name, len(items)) - len(fields[name])
        if left:
            omitted[name] = left
    return {**fields, "omitted": omitted} if omitted else fields


async def page(
    limit: int, fetch: Callable[[int], Awaitable[Answer]], pack: Callable[[Answer], list[Fields]]
) -> tuple[Answer, list[Fields]]:
    """One page of at most `limit` items that fits a reply.

    A page that does not fit is fetched again with as many items as do: only the
    repository can make the cursor that goes on behind the last of them.
    """
    while True:
        answer = await fetch(limit)
        items = pack(answer)
        count = len(first(items, ITEMS_BYTES_MAX)[0])
        if count == len(items) or limit == 1:
            return answer, items
        limit = max(1, min(count, limit - 1))
