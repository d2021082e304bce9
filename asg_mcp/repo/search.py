"""Searching the state at a ref: keys and scalars by text or pattern, or nodes by JSONPath."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from asg_mcp.core.flat import Item, nest, scalar_value
from asg_mcp.core.limits import QUERY_TEXT_BYTES_MAX, SCAN_ENTRIES_MAX
from asg_mcp.core.nodes import LIST, SCALAR, Blob, Entry, NodeSource
from asg_mcp.core.operations import ABSENT, Absent
from asg_mcp.core.paths import END, Tokens, unescape_segment
from asg_mcp.core.state import Spot, State
from asg_mcp.core.values import JsonValue, type_names
from asg_mcp.errors import InvalidArgument, LimitExceeded, Withheld
from asg_mcp.repo import cursors
from asg_mcp.repo.jsonpaths import Expression
from asg_mcp.repo.patterns import Span, compile_pattern
from asg_mcp.repo.results import Match, SearchResult
from asg_mcp.repo.view import View
from asg_mcp.repo.walk import Step, walk
from asg_mcp.storage.base import CommitRow, Reader

EXCERPT_CHARS_MAX = 200
"""A longer string is shown as the part around what was found, with … where it was cut."""
_BEFORE_CHARS = 60
"""How much of an excerpt comes before what was found."""
_CUT = "…"
_ENTRY_BYTES = 256
"""A value stored apart counts as one more scanned entry for every so many characters: it has to be fetched."""

Finder = Callable[[str], Span | None]


def search(view: View, ref: str, text: str, mode: str, prefix: Tokens, limit: int, cursor: str) -> SearchResult:
    """Search below `prefix` in the state at `ref`; later pages read the commit that the first page read.

    mode "text": map keys and scalars that contain the text, whatever its case; a number, true, false and null are
    taken as JSON writes them. mode "regex": the same with an RE2 pattern. Both give one match a path, in path order,
    `on` "key" where the key (also) matches; the key of `prefix` itself is not looked at. A page ends at
    SCAN_ENTRIES_MAX entries, empty if need be. mode "jsonpath": the nodes that an RFC 9535 expression selects, in
    its order, each once, "$" being what is at `prefix`; a container has no value in the match.

    Erased values are passed over, and counted. Raises InvalidArgument (mode, pattern, expression), InvalidCursor,
    LimitExceeded (a long text; for jsonpath too much below the prefix), and what `resolve_ref` and `State.spot` raise.
    """
    cursors.check_limit(limit)
    finder = _finder(text, mode)
    asked = cursors.digest(ref, text, mode, prefix)
    head, position = cursors.begin(view, ref, "search", asked, cursor, int)
    row = view.reader.commit(head)
    state = view.state(row)
    spot = state.spot(prefix)
    run = _Search(view.reader, state, spot, limit, position[0] if position else None)
    if isinstance(finder, Expression):
        run.select(finder)
    else:
        run.find(finder)
    return run.result(ref, row, lambda at: cursors.make("search", asked, [head, at]))


def _finder(text: str, mode: str) -> Finder | Expression:
    if mode not in ("text", "regex", "jsonpath"):
        raise InvalidArgument(f"There is no search mode {mode!r}", hint="Use text, regex or jsonpath.")
    if not text:
        raise InvalidArgument("There is nothing to search for", hint="Give a text; asg_get lists what is at a path.")
    if mode == "regex":
        return compile_pattern(text)
    if mode == "jsonpath":
        return Expression(text)
    if len(text.encode(errors="surrogatepass")) > QUERY_TEXT_BYTES_MAX:
        raise LimitExceeded(
            f"The text to search for has more than {QUERY_TEXT_BYTES_MAX} bytes",
            hint="Search for a shorter part of it.",
            limit="QUERY_TEXT_BYTES_MAX",
            max=QUERY_TEXT_BYTES_MAX,
        )
    folded = text.casefold()

    def find(within: str) -> Span | None:
        # Folding may make a text longer; the place in the folded text is near enough for an excerpt.
        start = within.casefold().find(folded)
        return None if start < 0 else (start, start + len(folded))

    return find


class _Search:
    """One page of a search in the making."""

    def __init__(self, reader: Reader, state: State, spot: Spot, limit: int, start: int | None) -> None:
        self._reader = reader
        self._state = state
        self._spot = spot
        self._limit = limit
        self._start = start
        self._matches: list[Match] = []
        self._scanned = 0
        self._go_on: int | None = None
        self._withheld = 0

    def result(self, ref: str, row: CommitRow, cursor: Callable[[int], str]) -> SearchResult:
        next_cursor = "" if self._go_on is None else cursor(self._go_on)
        matches = tuple(self._matches)
        return SearchResult(ref, row.id, matches, next_cursor, self._scanned, withheld=self._withheld)

    def find(self, finder: Finder) -> None:
        """Text and pattern: walk the entries; a position is a rank."""
        low = self._spot.rank if self._start is None else max(self._start, self._spot.rank)
        budget = SCAN_ENTRIES_MAX
        for step in walk(self._state, low, self._spot.end):
            if budget <= 0 or len(self._matches) == self._limit:
                self._go_on = step.rank
                return
            self._scanned += 1
            budget -= 1
            value: JsonValue | Absent = ABSENT
            if step.entry.kind == SCALAR:
                value = _present(step.entry, self._reader)
                self._withheld += value is ABSENT
                budget -= _extra(step.entry, value)
            found = self._match(step, value, finder)
            if found is not None:
                self._matches.append(found)

    def _match(self, step: Step, value: JsonValue | Absent, finder: Finder) -> Match | None:
        scalar = value is not ABSENT
        span = finder(_text_of(value)) if scalar else None
        on_key = step.key is not None and step.rank != self._spot.rank and finder(step.key) is not None
        if span is None and not on_key:
            return None
        kind = self._state.entry_type(step.entry)
        return Match(step.tokens, _shown(value, span), kind, "key" if on_key else "value")

    def select(self, expression: Expression) -> None:
        """JSONPath: make the value below the prefix, evaluate; a position is how many nodes were given before."""
        before = max(self._start or 0, 0)
        value = self.document()
        prefix = self._spot.tokens
        seen: set[Tokens] = set()
        for below, node in expression.nodes(value):
            if node is ERASED or below in seen:
                continue
            if len(seen) == before + self._limit:
                self._go_on = len(seen)
                return
            seen.add(below)
            if len(seen) > before:
                self._matches.append(Match((*prefix, *below), _shown_node(node), type_names[type(node)], "value"))

    def document(self) -> Any:
        """The value below the prefix, erased parts marked."""
        self._scanned = self._spot.end - self._spot.rank
        making = _Making(self._reader, SCAN_ENTRIES_MAX - self._scanned)
        document = making.value(nest(self._state.tree.entries(self._spot.rank, self._spot.end)))
        self._withheld = making.withheld
        return document


def selected(reader: Reader, state: State, text: str) -> list[Spot]:
    """The places that a JSONPath selects in a state, in its order. Raises InvalidArgument and LimitExceeded."""
    expression = Expression(text)
    run = _Search(reader, state, state.root(), 0, None)
    found = (state.locate(below) for below, node in expression.nodes(run.document()) if node is not ERASED)
    return [place for place in found if isinstance(place, Spot)]


class _Erased:
    """The type of ERASED, which stands for an erased value while an expression is evaluated: it equals nothing."""


ERASED = _Erased()


class _Making:
    """Makes the value of a subtree, up to a number of entries; what is stored apart counts by its size."""

    def __init__(self, source: NodeSource, budget: int) -> None:
        self._source = source
        self._budget = budget
        self.withheld = 0
        self._check()

    def _check(self) -> None:
        if self._budget < 0:
            raise LimitExceeded(
                f"There are more than {SCAN_ENTRIES_MAX} entries to evaluate the JSONPath on",
                hint="Give a prefix with less below it; mode text has no such limit.",
                limit="SCAN_ENTRIES_MAX",
                max=SCAN_ENTRIES_MAX,
            )

    def value(self, item: Item) -> Any:
        if item.children is None:
            value = _present(item.entry, self._source)
            self._budget -= _extra(item.entry, value)
            self._check()
            self.withheld += value is ABSENT
            return ERASED if value is ABSENT else value
        if item.entry.kind == LIST:
            return [self.value(child) for child in item.children]
        return {unescape_segment(key[: -len(END)]): self.value(child) for key, child in item.children.items()}


def _present(entry: Entry, source: NodeSource) -> JsonValue | Absent:
    """The value of a scalar entry; ABSENT when it was erased, or its key is not there."""
    try:
        return scalar_value(entry, source)
    except Withheld:
        return ABSENT


def _extra(entry: Entry, value: JsonValue | Absent) -> int:
    """What a value that was stored apart costs beside its entry."""
    return len(value) // _ENTRY_BYTES if type(entry.value) is Blob and isinstance(value, str) else 0


def _text_of(value: JsonValue) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _shown(value: JsonValue | Absent, span: Span | None) -> JsonValue | Absent:
    """The scalar itself, or the part of a long string around what was found."""
    if not isinstance(value, str) or len(value) <= EXCERPT_CHARS_MAX:
        return value
    start = 0 if span is None else max(0, min(span[0], len(value)) - _BEFORE_CHARS)
    start = min(start, len(value) - EXCERPT_CHARS_MAX)
    end = start + EXCERPT_CHARS_MAX
    return (_CUT if start else "") + value[start:end] + (_CUT if end < len(value) else "")


def _shown_node(node: Any) -> JsonValue | Absent:
    return ABSENT if isinstance(node, Mapping | list) else _shown(node, None)
