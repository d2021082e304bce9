"""Finding secrets in values, keys and texts.

First one RE2 pass over the canonical bytes, which hold every key and text as UTF-8: it looks for the cues of all rules
at once, and most values have none. Only where it finds one are keys and texts laid out one after the other, each
behind the names that lead to it, and the rules applied whose cues are there. Nothing is decoded (base64, escapes).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import re2

from asg_mcp.core.secretrules import END, NAME, RULES, Rule
from asg_mcp.core.values import JsonValue, encode

PATTERN_MEMORY_BYTES_MAX = 32 * 1_024 * 1_024
"""For the states of one compiled pattern, made as they are met: the pass over all cues falls back to slower ways
beyond."""
NUMBER_MIN = 10**8
"""Smaller numbers are neither cards nor social security numbers."""

SMALL_BYTES = 2_048
"""Canonical bytes below which a value with a cue is laid out as a whole."""
RUN_ITEMS = 64
"""Items of a container that are looked at together before they are looked at one by one."""
LEVELS_NARROWED_MAX = 8
"""Each level encodes what has a cue anew; deeper down it is laid out, which costs about ten times as much a byte."""
NAMES_MAX = 2
"""Names in front of a text: the patterns that need one find it in its key, or in the key above that."""

Step = str | int
"""A key, or the index of an element."""
Names = tuple[str, ...]
Place = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A secret: which rule, where, and which bytes of the text there, as UTF-8. It never holds the secret itself."""

    rule: Rule
    at: Place
    """From the value that was searched to the key or text that holds it."""
    in_key: bool
    start: int
    end: int


def _options() -> Any:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_MEMORY_BYTES_MAX
    options.encoding = re2.Options.Encoding.LATIN1  # bytes: a text is found at the same offsets
    options.never_nl = False
    return options


def _compiled(pattern: str) -> Any:
    return re2.compile(pattern.encode(), _options())


CUES = _compiled("|".join(sorted({cue for rule in RULES for cue in rule.cues})))
_RULES = tuple((rule, _compiled("|".join(rule.cues)), _compiled(rule.pattern)) for rule in RULES)


def may_hold_secrets(canonical: bytes) -> bool:
    """Whether a rule might find something in a structure with these canonical bytes. One pass, linear."""
    return CUES.search(canonical) is not None


def find_secrets(value: JsonValue, names: Names = ()) -> list[Finding]:
    """The secrets in the keys and texts of a (checked) value, none twice.

    `names` are those that lead to the value: some formats are secrets only behind a name such as password.
    """
    sheet = _Sheet()
    sheet.narrow((), names[-NAMES_MAX:], value, 0)
    return sheet.findings() if sheet.parts else []


class _Sheet:
    """Keys and texts one after the other, each between END marks, with the names that lead to it in front."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self.size = 0
        self.starts: list[int] = []
        self.ends: list[int] = []
        self.places: list[tuple[Place, bool]] = []

    def narrow(self, at: Place, names: Names, item: JsonValue, level: int) -> None:
        """Lay out the parts of a value that have a cue: a cue in a large document is no reason to lay out all of it."""
        canonical = encode([*names, item])
        if not may_hold_secrets(canonical):
            return
        if type(item) not in (dict, list) or len(canonical) < SMALL_BYTES or level == LEVELS_NARROWED_MAX:
            self.lay_out(at, names, item)
            return
        items = list(item.items() if type(item) is dict else enumerate(item))
        for start in range(0, len(items), RUN_ITEMS):
            run = items[start : start + RUN_ITEMS]
            size = len(canonical)
            if len(items) > RUN_ITEMS:
                together = encode([*names, [list(pair) for pair in run]])
                if not may_hold_secrets(together):
                    continue
                size = len(together)
            if size < SMALL_BYTES:
                self.lay_out_run(at, names, run)
                continue
            for step, below in run:
                inside = names
                if type(step) is str:
                    inside = (*names, step)[-NAMES_MAX:]
                    if may_hold_secrets(encode(step)):
                        self._add(b"", (*at, step), True, step.encode())
                self.narrow((*at, step), inside, below, level + 1)

    def lay_out(self, at: Place, names: Names, value: JsonValue) -> None:
        """All keys and texts of a value."""
        todo: list[tuple[Place, bytes, Any]] = [(at, _front(names), value)]
        while todo:
            at, front, item = todo.pop()
            if type(item) is dict:
                above = _last_name(front)
                for key, below in item.items():
                    name = key.encode()
                    self._add(b"", (*at, key), True, name)
                    self._add_or_wait((*at, key), above + name + NAME, below, todo)
            elif type(item) is list:
                for index, below in enumerate(item):
                    self._add_or_wait((*at, index), front, below, todo)
            else:
                self._add_or_wait(at, front, item, todo)

    def lay_out_run(self, at: Place, names: Names, run: list[tuple[Step, Any]]) -> None:
        """The same for some items of a container."""
        for step, below in run:
            if type(step) is str:
                self._add(b"", (*at, step), True, step.encode())
                self.lay_out((*at, step), (*names, step)[-NAMES_MAX:], below)
            else:
                self.lay_out((*at, step), names, below)

    def _add_or_wait(self, at: Place, front: bytes, item: JsonValue, todo: list[tuple[Place, bytes, Any]]) -> None:
        kind = type(item)
        if kind is str:
            self._add(front, at, False, item.encode())
        elif kind is dict or kind is list:
            todo.append((at, front, item))
        elif kind is int and abs(item) >= NUMBER_MIN:
            self._add(front, at, False, str(item).encode())

    def _add(self, front: bytes, at: Place, in_key: bool, text: bytes) -> None:
        start = self.size + len(front)
        self.size = start + len(text) + 1
        self.starts.append(start)
        self.ends.append(self.size - 1)
        self.places.append((at, in_key))
        self.parts.append(front + text + END)

    def findings(self) -> list[Finding]:
        """What the rules find; of two that overlap the one that begins first, or is longer."""
        text = b"".join(self.parts)
        found: list[tuple[int, int, Rule]] = []
        for rule, cues, pattern in _RULES:
            if cues.search(text) is not None:
                found += [(start, end, rule) for start, end in _spans(rule, pattern, text)]
        out: list[Finding] = []
        taken = -1
        for start, end, rule in sorted(found, key=lambda item: (item[0], -item[1])):
            index = bisect_right(self.starts, start) - 1
            # What is in the names in front of a text is found where they are keys.
            if start >= taken and index >= 0 and end <= self.ends[index]:
                at, in_key = self.places[index]
                out.append(Finding(rule, at, in_key, start - self.starts[index], end - self.starts[index]))
                taken = end
        return out


def _front(names: Names) -> bytes:
    return b"".join(name.encode() + NAME for name in names)


def _last_name(front: bytes) -> bytes:
    """The last of the names in front of a text, which are NAMES_MAX at most."""
    return front[front.rfind(NAME, 0, -1) + 1 :]


def _spans(rule: Rule, pattern: Any, text: bytes) -> Iterator[tuple[int, int]]:
    at = 0
    while (match := pattern.search(text, at)) is not None:
        start, end = match.span(1)
        if rule.check(text[start:end]):
            yield start, end
        # The byte that ended this one may begin the next, and what was rejected may hide one further on.
        at = max(end, match.start() + 1)
