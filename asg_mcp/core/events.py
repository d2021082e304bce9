"""Events: the leaves of the log.

Every change of the store is one event. A leaf is the canonical DAG-CBOR of its
header; its hash is that of RFC 6962 (SHA-256 over 0x00 and the leaf). A header has
no texts that may have to be erased: those are in the commits it names by their ids,
or in the event's body, of which the header has a salted commitment alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from asg_mcp.core.commitments import commitment
from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Author
from asg_mcp.core.times import format_time
from asg_mcp.core.values import encode

EVENT_VERSION = 1


class EventKind(StrEnum):
    """What happened. A stored row has the place in this list, so new kinds come last."""

    STORE_CREATED = "store_created"
    COMMIT = "commit"
    REF_CREATED = "ref_created"
    REF_DELETED = "ref_deleted"
    SESSION_OPENED = "session_opened"
    SESSION_CLOSED = "session_closed"
    OUTCOME = "outcome"
    SPECULATION_OPENED = "speculation_opened"
    SPECULATION_COMPARED = "speculation_compared"
    SPECULATION_COMMITTED = "speculation_committed"
    SPECULATION_DISCARDED = "speculation_discarded"
    SPECULATION_EXPIRED = "speculation_expired"
    EPOCH_OPENED = "epoch_opened"
    EPOCH_SEALED = "epoch_sealed"
    EPOCH_SIGNED = "epoch_signed"
    RESTORED = "restored"
    SPECULATION_BROUGHT = "speculation_brought"
    DENIED = "denied"
    REDACTED = "redacted"
    COLLECTED = "collected"
    KEY_ROTATED = "key_rotated"
    IMPORTED = "imported"
    CLASS_MADE = "class_made"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `index` is its place in the log; `old` and `new` are what `ref` pointed at; "" where it has no ref."""

    kind: EventKind
    index: int
    ref: str
    ref_kind: str
    old: CommitId | None
    new: CommitId | None
    author: Author
    at: int
    """Microseconds since 1970-01-01 UTC."""
    subject: str = ""
    """The public name of what it is about: a session, an intent, a speculation, an epoch."""
    body: Id | None = None
    """The commitment to its body, made by `event_body_id`."""

    def header(self) -> dict[str, Any]:
        """The header as it is hashed and exported; absent fields are left out."""
        fields = {
            "v": EVENT_VERSION,
            "kind": self.kind.value,
            "index": self.index,
            "ref": self.ref or None,
            "ref_kind": self.ref_kind if self.ref else None,
            "old": self.old,
            "new": self.new,
            "principal": self.author.principal,
            "agent": self.author.agent,
            "client": self.author.client or None,
            "session": self.author.session or None,
            "at": format_time(self.at),
            "subject": self.subject or None,
            "body": self.body,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def leaf_hash(self) -> bytes:
        """The RFC 6962 hash of the leaf, 32 bytes."""
        return sha256(b"\x00" + encode(self.header())).digest()


def event_body_id(salt: str, body: Mapping[str, Any]) -> Id:
    """The commitment to an event's body under its salt (32 hex digits, random), as commits have one to theirs."""
    return commitment(salt, dict(body))
