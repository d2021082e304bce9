"""Commits: what a header binds, and how its id is made.

    commit id  = CID of the header
    header     = {v, layout, parents, root, category, confidence?, principal, agent, client?, session?,
                  intent?, parent_intent?, at, ops, body}
    ops        = CID of [[op, path, source or null, [[key, kind, value id or null], …] or null], …]
    body       = CID of [random salt, {description, reasoning?, tags?, …provenance}]

Texts and values are behind commitments, so that erasing one leaves the id as it
was. Names (principal, agent, client, session, intent ids) and paths are in the
header and in the operations, and can not be erased.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.commitments import commitment
from asg_mcp.core.ids import CommitId, Id, NodeId
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.nodes import Entry, Hasher
from asg_mcp.core.operations import Op
from asg_mcp.core.times import format_time
from asg_mcp.core.values import encode

HEADER_VERSION = 1
TREE_LAYOUT = 1
"""The chunking and hashing rules of `tree`, `nodes` and `limits`; another layout is another number."""


@dataclass(frozen=True, slots=True)
class RecordedOperation:
    """An operation as a commit keeps it: paths as JSON Pointers, the value as entries below the key ""."""

    op: Op
    path: str
    source: str | None
    entries: Sequence[Entry] | None

    def hashed(self, hasher: Hasher) -> list[Any]:
        """The form that is hashed: value ids, no values."""
        entries = None
        if self.entries is not None:
            entries = [[entry.key, entry.kind, hasher.value_id(entry)] for entry in self.entries]
        return [self.op.value, self.path, self.source, entries]


@dataclass(frozen=True, slots=True)
class Header:
    """What a commit id covers."""

    layout: int
    parents: tuple[CommitId, ...]
    root: NodeId
    category: Category
    confidence: float | None
    author: Author
    intent_id: str
    parent_intent: str
    at: int
    """Microseconds since 1970-01-01 UTC."""
    operations: Id
    body: Id

    @property
    def id(self) -> CommitId:
        """The commit id."""
        return CommitId.of(encode(self.as_map()))

    def as_map(self) -> dict[str, Any]:
        """The header as it is hashed and exported; absent fields are left out."""
        fields = {
            "v": HEADER_VERSION,
            "layout": self.layout,
            "parents": list(self.parents),
            "root": self.root,
            "category": self.category.value,
            "confidence": self.confidence,
            "principal": self.author.principal,
            "agent": self.author.agent,
            "client": self.author.client or None,
            "session": self.author.session or None,
            "intent": self.intent_id or None,
            "parent_intent": self.parent_intent or None,
            "at": format_time(self.at),
            "ops": self.operations,
            "body": self.body,
        }
        return {name: value for name, value in fields.items() if value is not None}


def operations_id(operations: Sequence[RecordedOperation], hasher: Hasher) -> Id:
    """The CID of a commit's operations."""
    return Id.of(encode([operation.hashed(hasher) for operation in operations]))


def body_of(intent: Intent) -> dict[str, Any]:
    """The erasable part of an intent, as it is committed to and stored."""
    body: dict[str, Any] = {**intent.provenance, "description": intent.description}
    if intent.reasoning:
        body["reasoning"] = intent.reasoning
    if intent.tags:
        body["tags"] = list(intent.tags)
    return body


def body_id(salt: str, body: Mapping[str, Any]) -> Id:
    """The commitment to a body under its salt (32 hex digits, random)."""
    return commitment(salt, dict(body))
