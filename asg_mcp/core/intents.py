"""Why a change was made, and by whom: the words that travel with every commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache

from asg_mcp.core.limits import (
    DESCRIPTION_BYTES_MAX,
    NAME_BYTES_MAX,
    PROVENANCE_BYTES_MAX,
    REASONING_BYTES_MAX,
    TAG_BYTES_MAX,
    TAGS_MAX,
)
from asg_mcp.core.values import JsonValue, checked_sized, text_bytes
from asg_mcp.errors import InvalidArgument, InvalidName, LimitExceeded


class Category(StrEnum):
    """What kind of change an intent is."""

    EXPLORE = "Explore"
    REFINE = "Refine"
    FIX = "Fix"
    ROLLBACK = "Rollback"
    CHECKPOINT = "Checkpoint"
    MERGE = "Merge"
    MIGRATE = "Migrate"
    PLAN = "Plan"
    CUSTOM = "Custom"


@dataclass(frozen=True, slots=True)
class Author:
    """Who makes a change: three different things, never mixed."""

    principal: str
    """Verified: the local user on stdio, the token's subject over HTTP."""
    agent: str
    """Claimed by the caller."""
    client: str = ""
    """Observed by the protocol: name/version of the connected client."""
    session: str = ""

    def __post_init__(self) -> None:
        check_name(self.principal, "principal")
        check_name(self.agent, "agent")
        check_name(self.client, "client", empty=True)
        check_name(self.session, "session", empty=True)


@dataclass(frozen=True, slots=True)
class Intent:
    """Why, how sure, and what else was considered."""

    category: Category
    description: str
    reasoning: str = ""
    confidence: float | None = None
    tags: tuple[str, ...] = ()
    intent_id: str = ""
    parent_intent: str = ""
    provenance: Mapping[str, JsonValue] = field(default_factory=dict)
    """authority, alternatives, expected, tool_calls, notify: JSON, kept with the commit and erasable."""

    def __post_init__(self) -> None:
        if not self.description.strip():
            raise InvalidArgument("The description is empty", hint="Say in one sentence why the change is made.")
        _check_text(self.description, "description", DESCRIPTION_BYTES_MAX)
        _check_text(self.reasoning, "reasoning", REASONING_BYTES_MAX)
        if self.confidence is not None and not 0.0 <= self.confidence <= 1.0:
            raise InvalidArgument(f"confidence {self.confidence} is outside 0 to 1", hint="Give 0.73 for 73 percent.")
        if self.confidence is not None:
            object.__setattr__(self, "confidence", float(self.confidence))  # 1 and 1.0 are one confidence
        if len(self.tags) > TAGS_MAX:
            raise LimitExceeded(
                f"There are {len(self.tags)} tags; at most {TAGS_MAX} are allowed",
                hint="Keep the tags that somebody will search for.",
                limit="TAGS_MAX",
                max=TAGS_MAX,
            )
        for tag in self.tags:
            _check_text(tag, "tag", TAG_BYTES_MAX)
            if not tag:
                raise InvalidName("A tag is empty", hint="Leave it out, or give it a name.")
        check_name(self.intent_id, "intent_id", empty=True)
        check_name(self.parent_intent, "parent_intent", empty=True)
        # A copy, so that what was checked is what will be stored, whatever the caller does with its own.
        provenance, size = checked_sized(dict(self.provenance))
        object.__setattr__(self, "provenance", provenance)
        if size > PROVENANCE_BYTES_MAX:
            raise LimitExceeded(
                f"The provenance has {size} bytes; at most {PROVENANCE_BYTES_MAX}",
                hint="Shorten the tool calls' results.",
                limit="PROVENANCE_BYTES_MAX",
                max=PROVENANCE_BYTES_MAX,
            )


known_author = lru_cache(maxsize=256)(Author)
"""An author by its names: few authors make many changes, and their names are checked once."""


def check_name(name: str, what: str, *, empty: bool = False) -> None:
    """Raise InvalidName unless `name` may be recorded as an agent, principal, client, session or intent id.

    Names are hashed into headers and can never be erased, so they are short,
    printable and without control characters.
    """
    if not name:
        if empty:
            return
        raise InvalidName(f"The {what} is empty", hint=f"Give the {what} a name.")
    if not name.isprintable() or name != name.strip():
        raise InvalidName(
            f"The {what} {name!r} has control characters or outer spaces", hint="Use printable characters."
        )
    if len(name.encode(errors="surrogatepass")) > NAME_BYTES_MAX:
        raise InvalidName(f"The {what} has more than {NAME_BYTES_MAX} bytes", hint="Use a shorter name.")


def _check_text(text: str, what: str, bytes_max: int) -> None:
    size = text_bytes(text)
    if size > bytes_max:
        raise LimitExceeded(
            f"The {what} has {size} bytes; at most {bytes_max}",
            hint="Shorten it; long material can be stored as a value.",
            limit=f"{what.upper()}_BYTES_MAX",
            max=bytes_max,
        )
