"""The members of epochs that were sealed in a log before this one: what was imported has their commits, and no seal.

The first event of a log that was begun by an import tells, for each epoch that was sealed in its source, by what the
members are found: root intents, and the commits before the first and at the last of what could become one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from asg_mcp.core.events import EventKind
from asg_mcp.repo.ledger import EVENT_KINDS, event_body
from asg_mcp.repo.lineage import Lineage
from asg_mcp.storage.base import Reader

LINEAGES = "lineages"
"""In the body of the event of an import: [epoch, names of root intents, id of the commit before, id of the last]."""
EARLIER = "earlier"
"""In the same body: those of the imports before, the newest first."""


def lineage_told(epoch: str, opened: Mapping[str, Any], sealed: Mapping[str, Any]) -> list[Any]:
    """By what the members of an epoch are found, from the bodies of its opening and of its seal."""
    return [epoch, opened["roots"], opened["after"], sealed["last"]]


def inherited(reader: Reader) -> Iterator[Lineage]:
    """The members of each epoch that was sealed in an earlier log. Raises ValueError for what makes no sense."""
    row = reader.event(0)
    if row is None or EVENT_KINDS[row.kind] is not EventKind.IMPORTED:
        return
    body = event_body(row)
    for told in (body, *body.get(EARLIER, ())):
        for epoch, roots, after, last in told.get(LINEAGES, ()):
            if type(roots) is not list or any(type(name) is not str for name in (epoch, *roots)):
                raise ValueError(f"epoch {epoch!r} has other root intents than names")
            lineage = Lineage(roots, whole_seq(reader, after))
            lineage.advance(reader, whole_seq(reader, last))
            yield lineage


def whole_seq(reader: Reader, commit: Any) -> int:
    """The number of the commit with a whole id, all of its digits; 0 for "". Raises ValueError for anything else."""
    if commit == "":
        return 0
    found = reader.commit_seqs(commit, 2) if type(commit) is str else []
    if len(found) != 1 or reader.commit(found[0]).id.hex() != commit:
        raise ValueError(f"{commit!r} is no commit")
    return found[0]
