"""What a redaction is asked for, what it would take away, and what it did."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice

from asg_mcp.core.paths import Tokens
from asg_mcp.core.values import JsonValue
from asg_mcp.repo.redactrules import Rule, Secret
from asg_mcp.repo.redactsurvey import Finds, Survey

PROVED_CHARS_MIN = 6
"""A shorter text, or a number, may be anywhere by chance."""
PROVED_TEXTS_MAX = 1_000
"""Different texts of a path that are looked for inside of answers and in the bytes of the files."""


@dataclass(frozen=True, slots=True)
class Target:
    """What is to go. `what` is value, path, commit, event or record; the fields that it needs are given."""

    what: str
    value: JsonValue = None
    path: Tokens | None = None
    """Of a path; of a value, where it stands at `ref`."""
    ref: str = ""
    name: str = ""
    """The prefix of a commit's id, the index of an event, the key of a record."""
    kind: str = ""
    """Of a record: session, outcome, speculation or epoch."""


@dataclass(slots=True)
class Plan:
    """What a redaction would take away."""

    target: Target
    rule: Rule | None
    survey: Survey
    state: object
    """What the store's class key was then."""

    @property
    def found(self) -> Finds:
        """What was found so far."""
        return self.survey.found

    def texts_gone(self) -> list[Secret]:
        """What may be in no text any more: the value, or the texts that go from a path and stay nowhere else.

        Those of a path are as many as can be looked for, and long enough not to be anywhere by chance.
        """
        if isinstance(self.rule, Secret):
            return [self.rule]
        found = self.found
        gone = (value for plain, value in found.plain.items() if plain not in found.elsewhere)
        texts = (value for value in gone if isinstance(value, str) and len(value) >= PROVED_CHARS_MIN)
        return [Secret(text) for text in islice(texts, PROVED_TEXTS_MAX)]

    def counts(self) -> dict[str, int]:
        """How much of what goes."""
        found = self.found
        return {
            "values": len(found.values),
            "places": found.places,
            "commits": len(found.operations),
            "rows": len(found.nodes),
            "large": len(found.dropped),
            "texts": len(found.texts),
            "events": len(found.events),
        }


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was done. `index` is the event of the first receipt."""

    index: int
    counts: Mapping[str, int]
    rekeyed: bool
    """Whether the class key was replaced, so that nobody can guess an erased value of few bits from its id."""
    replies: int = 0
    """Remembered answers whose texts had it."""


@dataclass(frozen=True, slots=True)
class Finished:
    """How the file was made anew, and what looking through it again found: nothing, where all is well."""

    bytes_before: int
    bytes_after: int
    left: Mapping[str, int] = field(default_factory=dict)
