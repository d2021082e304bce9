"""Events: the leaves of the log.

Every change of the store is one event. A leaf is the canonical DAG-CBOR of its
header; its hash is that of RFC 6962 (SHA-256 over 0x00 and the leaf). A header has
no texts that may have to be erased: those are in the commits it names by their ids.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any

from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author
from asg_mcp.core.times import format_time
from asg_mcp.core.values import encode

EVENT_VERSION = 1


class EventKind(StrEnum):
    """What happened."""

    STORE_CREATED = "store_created"
    COMMIT = "commit"
    REF_CREATED = "ref_created"
    REF_DELETED = "ref_deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """One event. `index` is its place in the log; `old` and `new` are what `ref` pointed at."""

    kind: EventKind
    index: int
    ref: str
    ref_kind: str
    old: CommitId | None
    new: CommitId | None
    author: Author
    at: int
    """Microseconds since 1970-01-01 UTC."""

    def header(self) -> dict[str, Any]:
        """The header as it is hashed and exported; absent fields are left out."""
        fields = {
            "v": EVENT_VERSION,
            "kind": self.kind.value,
            "index": self.index,
            "ref": self.ref,
            "ref_kind": self.ref_kind,
            "old": self.old,
            "new": self.new,
            "principal": self.author.principal,
            "agent": self.author.agent,
            "client": self.author.client or None,
            "session": self.author.session or None,
            "at": format_time(self.at),
        }
        return {name: value for name, value in fields.items() if value is not None}

    def leaf_hash(self) -> bytes:
        """The RFC 6962 hash of the leaf, 32 bytes."""
        return sha256(b"\x00" + encode(self.header())).digest()
