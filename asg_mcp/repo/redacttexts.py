"""Texts that go with a commit or an event: what they are, and whether the same are elsewhere in the store, too.

A tag, a name or a sentence may be in other commits as well, where it stays. What stays is in the bytes of the store's
files by right, so only what is nowhere else can be searched for in them, to prove that it is gone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Any

from asg_mcp.core.nodes import Hasher
from asg_mcp.core.values import JsonValue
from asg_mcp.repo.ledger import EVENT_KINDS, event_body, without_body
from asg_mcp.repo.receipts import is_withheld
from asg_mcp.repo.redactrules import Secret, kept_of
from asg_mcp.repo.redactsurvey import Survey
from asg_mcp.storage.base import CommitRow, EventRow, Reader


def strings_in(told: Any) -> Iterator[str]:
    """The texts in a JSON value, the keys of maps but for those of the outermost among them."""
    if isinstance(told, str):
        yield told
    elif isinstance(told, list | tuple):
        for item in told:
            yield from _strings(item)
    elif isinstance(told, dict):
        for item in told.values():
            yield from _strings(item)


def _strings(told: Any) -> Iterator[str]:
    if isinstance(told, dict):
        yield from told
    yield from strings_in(told)


def strings_of_event(row: EventRow) -> Iterator[str]:
    """The texts of an event that go when it is erased."""
    body = event_body(row)
    kept = kept_of(EVENT_KINDS[row.kind], body)
    for name, told in body.items():
        if kept[name] != told:
            yield from strings_in([told])


class Mentions(Secret):
    """A rule by which nothing goes: it notes which forms of texts are somewhere, by themselves or in longer texts."""

    def __init__(self, forms: Iterable[str]) -> None:
        self.values: tuple[JsonValue, ...] = ()
        self.needles = ()
        self.found: set[str] = set()
        """The forms that are somewhere, in whatever case of the letters that an index may have them in."""
        self._sought = sorted(forms, key=len)
        self._sizes = [len(form) for form in self._sought]

    def is_value(self, value: JsonValue) -> bool:
        """See Secret."""
        return isinstance(value, str) and self.is_inside(value)

    def is_inside(self, text: str) -> bool:
        """See Secret."""
        upto = bisect_right(self._sizes, len(text))
        if upto:
            small = text.lower()
            self.found.update(form for form in self._sought[:upto] if form in text or form in small)
        return False

    def is_told(self, told: Any) -> bool:
        """See Secret."""
        for text in _strings(told):
            self.is_inside(text)
        return False


class Listening(Survey):
    """A look through a store that notes mentions alone, but for the texts of some commits and events, which go."""

    def __init__(self, hasher: Hasher, rule: Mentions, commits: Collection[int], events: Collection[int]) -> None:
        super().__init__(hasher, rule, b"")
        self._commits, self._going = commits, events

    def _stays(self, canonical: bytes, *, count: bool) -> None:
        """No value goes, so none is pinned."""

    def _text(self, reader: Reader, row: CommitRow, rule: Secret) -> None:
        if row.seq in self._commits:
            parts = list(row.parts)
            parts[11] = {}
            row = replace(row, parts=parts)
        super()._text(reader, row, rule)

    def _event(self, row: EventRow, rule: Secret) -> None:
        if row.index in self._going and not is_withheld(row):
            row = replace(row, data=without_body(row, kept_of(EVENT_KINDS[row.kind], event_body(row))))
        super()._event(row, rule)
