"""What a redaction is after: a value wherever it is, or whatever was ever at a path."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from asg_mcp.core.classes import flat_key
from asg_mcp.core.events import EventKind
from asg_mcp.core.flat import WITHHELD_TEXT
from asg_mcp.core.ids import ValueId
from asg_mcp.core.paths import Tokens
from asg_mcp.core.values import JsonValue, encode
from asg_mcp.errors import InvalidArgument
from asg_mcp.repo.ledger import WITHHELD

INSIDE_CHARS_MIN = 4
"""A shorter text is erased where it is a value by itself, and not looked for inside of longer ones."""
MASK = "***"
"""What is shown in place of the value that is to be erased."""
_TEXTS: dict[str, JsonValue] = {
    "description": WITHHELD_TEXT,
    "summary": WITHHELD_TEXT,
    "observed": [WITHHELD_TEXT],
    "deviations": [{"path": WITHHELD_TEXT}],
    "authority": {"principal": WITHHELD_TEXT},
    "lesson": WITHHELD_TEXT,
    "label": WITHHELD_TEXT,
    "tags": [WITHHELD_TEXT],
    "reason": WITHHELD_TEXT,
}
"""The fields of events' bodies that are a caller's free text, and what stands in each when it was withheld."""
_TEXTS_OF_KIND: dict[EventKind, dict[str, JsonValue]] = {
    EventKind.DENIED: dict.fromkeys(("verb", "ref", "path", "agent", "handle"), WITHHELD_TEXT),
}


class Secret:
    """A scalar value that is to be gone wherever it is: as a value by itself, and inside of longer texts."""

    def __init__(self, value: JsonValue) -> None:
        """Raises InvalidArgument for what is no single value, or what nobody could want to erase everywhere."""
        if isinstance(value, dict | list):
            raise InvalidArgument(
                "A value that is erased wherever it is is a text or a number, not a map or a list",
                hint="`asg-mcp redact path PATH` erases all that was ever at or below a path.",
            )
        if value is None or isinstance(value, bool) or value == "":
            raise InvalidArgument(
                f"{json.dumps(value)} is in too many places to be a secret by itself",
                hint="`asg-mcp redact path PATH` erases what was ever at or below one path.",
            )
        text = value if isinstance(value, str) else json.dumps(value)
        self.values: tuple[JsonValue, ...] = (value, *_twins(value))
        self._wholes = {encode(found) for found in self.values}
        self._texts = {found for found in self.values if isinstance(found, str)}
        forms = {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        self.needles = tuple(sorted(forms, key=len)) if len(text) >= INSIDE_CHARS_MIN else ()
        """The forms that are looked for inside of texts: as it is, and as JSON writes it."""

    def is_value(self, value: JsonValue) -> bool:
        """Whether a scalar is it, or contains it."""
        if isinstance(value, str):
            return value in self._texts or self.is_inside(value)
        return value is not None and not isinstance(value, bool) and encode(value) in self._wholes

    def is_inside(self, text: str) -> bool:
        """Whether a text contains it."""
        return any(needle in text for needle in self.needles)

    def is_told(self, told: Any) -> bool:
        """Whether a text, or anything in a JSON value or its keys, is it or contains it.

        A number of few digits is looked for among values alone: in bodies it is a count or a version.
        """
        if isinstance(told, dict):
            return any(self.is_told(key) or self.is_told(item) for key, item in told.items())
        if isinstance(told, list | tuple):
            return any(self.is_told(item) for item in told)
        if isinstance(told, str):
            return self.is_value(told)
        return bool(self.needles) and not isinstance(told, bytes) and self.is_value(told)

    def masked(self, text: str) -> str:
        """The text with a mask in its place."""
        for needle in reversed(self.needles):
            text = text.replace(needle, MASK)
        return MASK if text in self._texts else text

    def masked_answer(self, told: Any) -> Any:
        """A remembered answer, its texts without it."""
        if isinstance(told, dict):
            return {key: self.masked_answer(item) for key, item in told.items()}
        if isinstance(told, list):
            return [self.masked_answer(item) for item in told]
        return self.masked(told) if isinstance(told, str) else told


def _twins(value: JsonValue) -> Iterator[JsonValue]:
    """The same as a text and as a number: a number that was pasted may have been kept as either."""
    if isinstance(value, str):
        try:
            number = json.loads(value)
        except ValueError:
            return
        small = isinstance(number, int) and not isinstance(number, bool) and -(2**63) <= number < 2**63
        if small or (isinstance(number, float) and math.isfinite(number)):
            yield number
    elif isinstance(value, int | float):
        yield json.dumps(value)


class Place:
    """A path: what was ever at or below it.

    Elements of a list have no keys of their own, so those that were ever reached through an index are named one by one,
    by `learn`.
    """

    def __init__(self, path: Tokens) -> None:
        if not path:
            raise InvalidArgument(
                "The root is the whole state", hint="Name a path; a new store forgets everything else, too."
            )
        self.path = path
        self._key = flat_key(path)
        self._named: set[tuple[str, bytes]] = set()

    def learn(self, key: str, value_id: ValueId) -> bool:
        """A value with this flat key was at the path; whether that is news."""
        before = len(self._named)
        if not key.startswith(self._key):
            self._named.add((key, bytes(value_id)))
        return len(self._named) > before

    def may_be_named(self) -> bool:
        """Whether a value is only known by its id."""
        return bool(self._named)

    def is_at(self, key: str, value_id: ValueId) -> bool:
        """Whether a value with this flat key and id was at the path."""
        return key.startswith(self._key) or (key, bytes(value_id)) in self._named

    def is_above(self, key: str) -> bool:
        """Whether everything with this flat key was at the path, whatever it is."""
        return key.startswith(self._key)


Rule = Secret | Place


def kept_of(kind: EventKind, body: Mapping[str, Any]) -> dict[str, Any]:
    """What the store still needs of an event's body when its texts are withheld, and which fields are lacking."""
    texts = {**_TEXTS, **_TEXTS_OF_KIND.get(kind, {})}
    lacking = {name for name, told in body.items() if name in texts and told}  # what was empty says nothing
    kept = {name: texts[name] if name in lacking else told for name, told in body.items()}
    return {**kept, WITHHELD: sorted({*lacking, *body.get(WITHHELD, ())})}
