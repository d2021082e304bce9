"""A store that goes on from a copy: the event with which its new incarnation begins."""

from __future__ import annotations

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.errors import StoreCorrupt
from asg_mcp.repo.ledger import event_time, log_event
from asg_mcp.repo.logtree import INCARNATION
from asg_mcp.repo.marking import Mark, mark_of
from asg_mcp.storage.base import Writer


def start_incarnation(writer: Writer, author: Author, source: Mark) -> None:
    """Log that the store was restored from a copy whose log was at `source`; the log has a new name from then on.

    Nobody can sign for both: the log under the old name may go on in the file that was copied, and one name and size
    must never have two roots. Raises StoreCorrupt where the store is not that copy.
    """
    found = mark_of(writer)
    if found != source:
        raise StoreCorrupt(
            f"The copy has {found.size} events under another root than the {source.size} that were copied",
            hint="Try again; if it lasts, the disk returns other bytes than were written.",
        )
    body = {
        "incarnation": len(source.origins) + 1,
        "origin": source.origins[-1],
        "size": source.size,
        "root": source.root.hex(),
        "last_at": event_time(writer, source.size - 1),
    }
    log_event(writer, EventKind.RESTORED, author, subject=INCARNATION, body=body)
