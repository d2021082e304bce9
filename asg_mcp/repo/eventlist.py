"""The log as a list, newest first: what happened to the store, what was erased from it, and who was refused."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from asg_mcp.core.events import Event, EventKind
from asg_mcp.repo.ledger import EVENT_KINDS, event_body, event_of
from asg_mcp.repo.receipts import is_withheld
from asg_mcp.repo.view import View
from asg_mcp.storage.base import EventRow


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """One event as the log has it."""

    event: Event
    body: dict[str, Any]
    """What it says of its subject; of one whose body was erased, what is kept."""
    withheld: bool
    """Whether its body was erased."""


def events(view: View, kinds: Collection[EventKind], before: int | None, limit: int) -> list[LoggedEvent]:
    """The newest events of these kinds (none: of all) with an index below `before`. O(events passed)."""
    return [
        LoggedEvent(event, event_body(row), is_withheld(row))
        for event, row in islice(newest_first(view, kinds, before), limit)
    ]


def newest_first(
    view: View, kinds: Collection[EventKind], before: int | None = None
) -> Iterator[tuple[Event, EventRow]]:
    """The events of these kinds (none: of all), each with its row."""
    count = view.reader.events_count()
    for index in reversed(range(count if before is None else min(before, count))):
        row = view.reader.event(index)
        assert row is not None, "BUG: the log has no gaps"
        if not kinds or EVENT_KINDS[row.kind] in kinds:
            yield event_of(view.reader, row), row
