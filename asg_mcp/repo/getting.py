"""Reading a value or a subtree within a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson

from asg_mcp.core.flat import marker
from asg_mcp.core.ids import CommitId
from asg_mcp.core.nodes import LIST, MAP, SCALAR, Blob
from asg_mcp.core.paths import Tokens
from asg_mcp.core.state import Spot, State
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import LimitExceeded
from asg_mcp.repo import cursors
from asg_mcp.repo.resolve import clock_anomaly
from asg_mcp.repo.results import GetResult
from asg_mcp.repo.view import View

DEPTH_ALL = 1_000
WITHHELD_SHOWN_MAX = 100
"""Paths of erased values that one answer names; more are counted, and marked in the value."""
_ENTRY_BYTES_MIN = 2
_INLINE_ENTRIES_MAX = 2_000
_OMITTED_BYTES = 48
"""What naming a part that is left out takes, besides its path."""
_NOTHING: dict[int, Callable[[], JsonValue]] = {MAP: dict, LIST: list, SCALAR: lambda: None}

Omitted = tuple[Tokens, str, int]


def get(view: View, ref: str, path: Tokens, depth: int | None, max_bytes: int, cursor: str) -> GetResult:
    """The value at a path, complete or as much as `max_bytes` of JSON hold; `cursor` goes on with the next children.

    Containers `depth` levels or more below the path, and what does not fit a page,
    are left out and named with the number of entries below them; an empty container
    (in a list, null for a scalar) stands in their place.
    """
    found = _get(view, ref, path, depth, max_bytes, cursor, None)
    assert found is not None, "BUG: without a limit everything is read"
    return found


def get_small(view: View, ref: str, path: Tokens, depth: int | None, max_bytes: int, cursor: str) -> GetResult | None:
    """The same where it is quick enough to be answered on the event loop, else None."""
    return _get(view, ref, path, depth, max_bytes, cursor, _INLINE_ENTRIES_MAX)


def _get(
    view: View, ref: str, path: Tokens, depth: int | None, max_bytes: int, cursor: str, entries_max: int | None
) -> GetResult | None:
    asked = cursors.digest(ref, path, depth) if cursor else ""
    row = view.resolve(ref)
    start = None
    if cursor:
        seq, [start] = cursors.begin(view, ref, "get", asked, cursor, int)
        row = view.reader.commit(seq)
    state = view.state(row)
    spot = state.spot(path)
    if entries_max is not None and spot.end - spot.rank > entries_max:
        return None
    marks = _Marks()
    value, omitted, position = _page(state, spot, DEPTH_ALL if depth is None else depth, max_bytes, start, marks)
    withheld = list(marks.paths(value, path, _first_index(state, spot, start))) if marks else []
    if position is not None:
        asked = asked or cursors.digest(ref, path, depth)
    newest = spot.entry.origin if spot.entry.kind == SCALAR else state.tree.newest(spot.rank, spot.end)
    return GetResult(
        ref=ref,
        commit=CommitId(row.id),
        path=path,
        value=value,
        type=state.type_name(spot),
        object=state.object(spot),
        truncated=bool(omitted) or position is not None,
        omitted=tuple(omitted),
        next_cursor="" if position is None else cursors.make("get", asked, [row.seq, position]),
        last_change=view.info(newest),
        clock_anomaly=clock_anomaly(view.reader, ref),
        withheld=tuple(withheld[:WITHHELD_SHOWN_MAX]),
        withheld_omitted=max(len(withheld) - WITHHELD_SHOWN_MAX, 0),
    )


class _Marks:
    """The markers that were put in the place of erased values. Falsy while there is none."""

    def __init__(self) -> None:
        self._made: dict[int, JsonValue] = {}

    def __bool__(self) -> bool:
        return bool(self._made)

    def __call__(self, blob: Blob) -> JsonValue:
        made = marker(blob)
        self._made[id(made)] = made
        return made

    def paths(self, value: JsonValue, path: Tokens, first: int = 0) -> Iterator[Tokens]:
        """Where they are in a value, in its order. A map that only looks like a marker is none.

        `first` is the index of the first element, where the value is a list.
        """
        if id(value) in self._made:
            yield path
            return
        if isinstance(value, dict):
            for key, item in value.items():
                yield from self.paths(item, (*path, key))
        elif isinstance(value, list):
            for index, item in enumerate(value, first):
                yield from self.paths(item, (*path, str(index)))


def _first_index(state: State, spot: Spot, start: int | None) -> int:
    """The index of the first element on a page; 0 where it is no list."""
    if start is None or spot.entry.kind != LIST or not spot.rank < start < spot.end:
        return 0
    return int(state.element_at(spot, start).tokens[-1])


def _page(
    state: State, spot: Spot, depth: int, max_bytes: int, start: int | None, marks: _Marks
) -> tuple[JsonValue, list[Omitted], int | None]:
    if spot.entry.kind == SCALAR:
        value = state.value(spot)  # raises Withheld where it was erased: there is nothing else to answer
        size = len(orjson.dumps(value))
        if size > max_bytes:
            raise LimitExceeded(
                f"The value has {size} bytes as JSON; max_bytes is {max_bytes}",
                hint=f"Repeat the call with max_bytes of at least {size}.",
                limit="max_bytes",
                max=max_bytes,
                size=size,
            )
        return value, [], None
    is_map = spot.entry.kind == MAP
    found: list[tuple[str, JsonValue]] = []
    omitted: list[Omitted] = []
    left, fresh = max_bytes, True
    for child in state.children(spot, start):
        fitted = _fit(state, child, depth - 1, left, marks) if depth > 0 else None
        if fitted is None:
            left_out, size = _left_out(state, child), _named_bytes(child)
            # Too large for what is left of this page: it begins the next one, and is left out if it is too large there.
            if (depth > 0 and not fresh) or (omitted and size > left):
                return _assembled(is_map, found), omitted, child.rank
            omitted.append(left_out)
            if not is_map or child.entry.kind != SCALAR:
                # Something stands in its place, as for what is too deep, so that indexes in a list stay right.
                found.append((child.tokens[-1], _NOTHING[child.entry.kind]()))
        else:
            value, deeper, size = fitted
            omitted += deeper
            found.append((child.tokens[-1], value))
            fresh = False
        left -= size
    return _assembled(is_map, found), omitted, None


def _left_out(state: State, spot: Spot) -> Omitted:
    return (spot.tokens, state.type_name(spot), spot.end - spot.rank - 1)


def _named_bytes(spot: Spot) -> int:
    """About what naming a part that is left out takes in the reply."""
    return sum(map(len, spot.tokens)) + len(spot.tokens) + _OMITTED_BYTES


def _assembled(is_map: bool, found: list[tuple[str, JsonValue]]) -> JsonValue:
    return dict(found) if is_map else [value for _, value in found]


def _fit(state: State, spot: Spot, depth: int, left: int, marks: _Marks) -> tuple[JsonValue, list[Omitted], int] | None:
    """The value of a child with what is too deep left out, and its size; None where it does not fit."""
    if (spot.end - spot.rank) * _ENTRY_BYTES_MIN > left:
        return None
    omitted: list[Omitted] = []
    value = _cut(state, spot, depth, omitted, marks)
    size = len(orjson.dumps(value)) + len(spot.tokens[-1]) + 4
    size += sum(sum(map(len, tokens)) + len(tokens) + _OMITTED_BYTES for tokens, _, _ in omitted)
    return None if size > left else (value, omitted, size)


def _cut(state: State, spot: Spot, depth: int, omitted: list[Omitted], marks: _Marks) -> JsonValue:
    if spot.entry.kind == SCALAR or depth >= DEPTH_ALL // 2:
        return state.value(spot, marks)
    if depth <= 0 and spot.end - spot.rank > 1:
        omitted.append(_left_out(state, spot))
        return {} if spot.entry.kind == MAP else []
    found = [(child.tokens[-1], _cut(state, child, depth - 1, omitted, marks)) for child in state.children(spot)]
    return _assembled(spot.entry.kind == MAP, found)
