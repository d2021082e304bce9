"""Members of epochs that were pruned: an epoch with one would be sealed and signed, and could never be exported."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

from asg_mcp.core.events import EventKind
from asg_mcp.core.times import format_time
from asg_mcp.errors import Pruned, StoreBusy
from asg_mcp.repo.ledger import EVENT_KINDS, event_body
from asg_mcp.repo.lineage import Lineage
from asg_mcp.repo.records import is_pruned
from asg_mcp.repo.resolve import tried_in
from asg_mcp.storage.base import Reader


@dataclass(frozen=True, slots=True)
class LookedBehind:
    """What was seen, before an epoch is opened, of the commits that it would take in at once."""

    events: int
    """How long the log was."""
    pruned: int
    """The number of the newest of them that was pruned; 0 where none was."""


def newest_pruned(reader: Reader, lineage: Lineage, known: int = 0) -> int:
    """The number of the newest pruned commit among the members, but for the first `known` that were found; or 0."""
    members = islice(lineage.members, known, None)
    return max((seq for seq in members if is_pruned(reader.commit(seq))), default=0)


def check_members(reader: Reader, seq: int, whose: str) -> None:
    """Raise Pruned for the number of a pruned member: an epoch with it could be sealed, and never be shown."""
    if seq:
        row = reader.commit(seq)
        raise Pruned(
            f"Commit {row.id.short} {whose}, and what it held was taken away: there could be no evidence of it",
            hint=f"Open an epoch with a since after {format_time(row.at)}, or without since.",
            commit=row.id.hex(),
            at=format_time(row.at),
        )


def check_behind(reader: Reader, after: int, looked: LookedBehind) -> None:
    """Raise Pruned for what was seen before, and StoreBusy where a commit behind this number was pruned since then.

    Only the events since then are looked at: this is on the writer's thread.
    """
    check_members(reader, looked.pruned, "would be a member of the epoch")
    for index in range(looked.events, reader.events_count()):
        row = reader.event(index)
        if row is None or EVENT_KINDS[row.kind] is not EventKind.COLLECTED:
            continue
        taken = (seq for commit in event_body(row)["commits"] for seq in reader.commit_seqs(commit, 1))
        if any(seq > after and not tried_in(reader, reader.commit(seq)) for seq in taken):
            raise StoreBusy(
                "Garbage collection is taking away commits that were made since then", hint="Repeat the call."
            )
