"""From what the tools answer to what the library returns, where the two differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asg_mcp.library.reading import Row
from asg_mcp.library.results import Blame, Entry, Speculation
from asg_mcp.schemas.base import Wire

Fields = dict[str, Any]
_INTENT = {"category": "category", "description": "description", "tags": "tags", "id": "intent_id"}


def explained(fields: Mapping[str, Any]) -> Fields:
    """The fields of a commit under the names that programs use, besides those of the tools."""
    intent = {name: fields[key] for name, key in (*_INTENT.items(), ("parent", "parent_intent")) if key in fields}
    return {**fields, "id": fields["commit"], "timestamp": fields["at"], "intent": intent}


def entry(item: Wire) -> Entry:
    """A commit."""
    return Entry.of(explained(item.dump()))


def blame(items: list[Wire], next_cursor: str, omitted: int) -> Blame:
    """The first of the changes, with all of them as its entries."""
    fields = [explained(item.dump()) for item in items]
    return Blame.of({**fields[0], "entries": fields, "next_cursor": next_cursor, "omitted": omitted})


def row(item: Wire | Mapping[str, Any]) -> Row:
    """One item of a query: a commit, or whatever else was asked for."""
    fields = item.dump() if isinstance(item, Wire) else dict(item)
    is_commit = isinstance(item, Wire) and "parents" in fields
    return Entry.of(explained(fields)) if is_commit else Row.of(fields)


def handle_of(speculation: str | Speculation) -> str:
    """The handle of a speculation, which may be given itself."""
    return speculation if isinstance(speculation, str) else speculation.handle


def ref_of(speculation: str | Speculation) -> str:
    """The name of a speculation for everything that reads a ref."""
    return f"spec:{handle_of(speculation)}"
