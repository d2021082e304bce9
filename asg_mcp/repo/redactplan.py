"""What a redaction is asked for, what it would take away, and what it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice

from asg_mcp.core.paths import Tokens
from asg_mcp.core.values import JsonValue
from asg_mcp.repo.redactrules import Rule, Secret
from asg_mcp.repo.redactsurvey import Finds, Survey

PROVED_CHARS_MIN = 6
"""A shorter text, or a number, may be anywhere by chance."""
PROVED_TEXTS_MAX = 1_000
"""Different texts of a path or a commit that are looked for inside of answers and in the bytes of the files."""
PROVED_WORDS_MIN = 12
"""Characters. A shorter text of a commit or an event may be a word that the layout of the file has, too."""


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


@dataclass(frozen=True, slots=True)
class Proof:
    """Of the different values or texts that go: how many are looked for in the bytes of files, and why not all are."""

    texts: int
    searched: int
    mentioned: int
    """Those that are in other texts, too, which stay. The rest is too short, or equal to a value that stays."""


@dataclass(slots=True)
class Plan:
    """What a redaction would take away."""

    target: Target
    rule: Rule | None
    survey: Survey
    state: object
    """What the store's class key was then."""
    texts: dict[str, None] = field(default_factory=dict)
    """The texts that go with commits and events. Never logged."""
    mentioned: set[str] = field(default_factory=set)
    """Forms of texts that go which are elsewhere in the store too, and stay there. Never logged."""

    @property
    def found(self) -> Finds:
        """What was found so far."""
        return self.survey.found

    def texts_gone(self) -> list[Secret]:
        """What may be in no text any more: the value, or the texts that go and stay nowhere else.

        Those are as many as can be looked for, and long enough not to be anywhere by chance.
        """
        if isinstance(self.rule, Secret):
            return [self.rule]
        return [Secret(text) for text in islice(self._long(), PROVED_TEXTS_MAX) if text not in self.mentioned]

    def forms_gone(self) -> set[str]:
        """What may be in no byte any more: the same as it is, as JSON writes it, and in small letters, for indexes."""
        forms = {form for secret in self.texts_gone() for form in forms_of(secret)}
        return forms - self.mentioned

    def _long(self) -> Iterator[str]:
        if self.rule is None:
            yield from (text for text in self.texts if len(text) >= PROVED_WORDS_MIN)
            return
        found = self.found
        gone = (value for plain, value in found.plain.items() if plain not in found.elsewhere)
        yield from (value for value in gone if isinstance(value, str) and len(value) >= PROVED_CHARS_MIN)

    def stays_equal(self) -> bool:
        """Whether a value that goes is equal to one that stays elsewhere, and so has the same id."""
        return any(map(self.survey.stays, self.found.plain))

    def proof(self) -> Proof:
        """How much of what goes is looked for in the bytes of files."""
        if isinstance(self.rule, Secret):
            return Proof(1, int(bool(self.forms_gone())), 0)
        of = len(self.texts) if self.rule is None else len(self.found.plain)
        return Proof(of, len(self.texts_gone()), sum(text in self.mentioned for text in self._long()))

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


def forms_of(secret: Secret) -> set[str]:
    """The forms of a text that are looked for in bytes."""
    forms = [form for form in secret.needles if len(form) >= PROVED_CHARS_MIN]
    return {found for form in forms for found in (form, form.lower())}


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
