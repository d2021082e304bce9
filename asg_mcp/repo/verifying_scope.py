"""How much of a store `verify` looks at: all, what came after something, or a sample; and going on with a run."""

from __future__ import annotations

import json
import zlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

from asg_mcp.core.events import EventKind
from asg_mcp.core.nodes import SCALAR, Blob, Branch
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.errors import InvalidArgument, StoreCorrupt
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.ledger import EVENT_KINDS
from asg_mcp.repo.logtree import log_root
from asg_mcp.repo.marking import Mark, mark_of
from asg_mcp.repo.resolve import resolve_ref
from asg_mcp.repo.verifying import Check, Reached, Wrong
from asg_mcp.repo.verifying_commits import check_blob
from asg_mcp.storage.base import Reader

VERSION = 1


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run is to look at. At most one of the three is given."""

    since: str = ""
    """A branch, a tag, a commit, a time or the index of an event: only what came after it is checked."""
    percent: float = 0.0
    """A random sample of so much."""
    seed: int = 0
    """Of the sample."""
    resume: bool = False
    """Go on where an earlier run stopped."""


class Journal(Protocol):
    """Where a run keeps how far it has come, outside the store."""

    def load(self, store: str) -> bytes:
        """What was kept for the store with this first name; empty for nothing."""
        ...

    def save(self, store: str, content: bytes) -> None:
        """Keep it, durably, in place of what was kept before."""
        ...

    def clear(self, store: str) -> None:
        """Keep nothing any more."""
        ...


# --- since ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Start:
    """Where a run begins: so many events and commits are taken as they are stored."""

    events: int = 0
    commits: int = 0

    @property
    def told(self) -> str:
        """What that is, in words."""
        if not self.events:
            return ""
        return (
            f"the first {self.events} events and the first {self.commits} commits were taken as they are stored, with "
            "the states and records that they left"
        )


def start_of(reader: Reader, since: str) -> Start:
    """Where what came after `since` begins.

    A branch or tag of that name comes first, then an index of the log, a time, and the beginning of a commit's id.
    Raises InvalidArgument, RefNotFound, CommitNotFound, AmbiguousPrefix.
    """
    if not since:
        return Start()
    events = reader.events_count()
    if since.isascii() and since.isdigit() and reader.ref(since) is None:
        if int(since) < events:
            return Start(int(since) + 1, brought_by(reader, int(since)))
        if len(since) < _DIGITS_MIN:
            raise InvalidArgument(
                f"The log has {events} events, and none with the index {since}", hint=f"Give 0 to {events - 1}."
            )
    seq = _by_time(reader, since)
    if seq is None:
        seq = resolve_ref(reader, Graph(), since).seq
    return Start(_event_of(reader, seq) + 1, seq) if seq else Start()


_DIGITS_MIN = 6
"""Of the beginning of a commit's id."""


def _by_time(reader: Reader, text: str) -> int | None:
    try:
        time = parse_time(text)
    except InvalidArgument:
        return None
    return reader.seqs_between(None, time)[1]


def brought_by(reader: Reader, index: int) -> int:
    """The highest number of a commit that the events up to this index brought."""
    while index >= 0:
        row = reader.event(index)
        if row is None:
            raise StoreCorrupt(f"event {index} is missing", kind="event", row=index)
        if EVENT_KINDS[row.kind] in (EventKind.COMMIT, EventKind.STORE_CREATED):
            return row.new or 0
        index -= 1
    return 0


def _event_of(reader: Reader, seq: int) -> int:
    """The index of the event that brought a commit. Commits and their events are in one order."""
    low, high = 0, reader.events_count()
    while low < high:
        middle = (low + high) // 2
        if brought_by(reader, middle) < seq:
            low = middle + 1
        else:
            high = middle
    return low


# --- a sample ---------------------------------------------------------------------


def chosen(numbers: range, percent: float, rng: Random) -> list[int]:
    """So much of the numbers, at least one where there is one, in order."""
    count = min(max(round(len(numbers) * percent / 100), 1), len(numbers))
    return sorted(rng.sample(numbers, count))


def check_node(check: Check, reader: Reader, row: int, rng: Random) -> bool:
    """Check the node at a row or the next one behind: a child of it, or its large values. False where there is none."""
    page = reader.node_rows(row - 1, 1)
    if not page:
        return False
    found = page[0][0]
    node = reader.load(found)
    if type(node) is Branch:
        link = rng.choice(node.items)
        child = reader.load(link.row)
        made = check.hasher.link_to(child, check.hasher.node_id(child), link.row)
        for name in ("id", "last_key", "count", "elements", "level", "newest"):
            if getattr(made, name) != getattr(link, name):
                what = f"node {link.row}"
                raise Wrong("node", what, f"The {name} of {what} is not what node {found} says of it")
    else:
        for entry in node.items:
            if entry.kind == SCALAR and type(entry.value) is Blob:
                check_blob(check, reader, entry.value, entry.key, f"node {found}")
    check.count("nodes")
    return True


# --- going on -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """How far a run has come: what a journal keeps."""

    mark: Mark
    """Of the log, when the run began."""
    generation: int
    done: int
    """Commits."""
    at: int
    """Microseconds since 1970-01-01 UTC."""
    counts: dict[str, int]
    reached: Reached
    erased: set[bytes]

    def packed(self) -> bytes:
        """The form in which it is kept."""
        told = {
            "version": VERSION,
            "origins": self.mark.origins,
            "size": self.mark.size,
            "root": self.mark.root.hex(),
            "generation": self.generation,
            "done": self.done,
            "at": self.at,
            "counts": self.counts,
            "reached": b64encode(zlib.compress(bytes(self.reached), 1)).decode(),
            "erased": sorted(digest.hex() for digest in self.erased),
        }
        return json.dumps(told).encode() + b"\n"

    @classmethod
    def unpacked(cls, content: bytes) -> Kept | None:
        """The inverse of `packed`; None for anything else."""
        try:
            told: dict[str, Any] = json.loads(content)
            if told["version"] != VERSION:
                return None
            return cls(
                Mark(tuple(map(str, told["origins"])), int(told["size"]), bytes.fromhex(told["root"])),
                int(told["generation"]),
                int(told["done"]),
                int(told["at"]),
                {str(name): int(count) for name, count in told["counts"].items()},
                Reached(zlib.decompress(b64decode(told["reached"]))),
                {bytes.fromhex(digest) for digest in told["erased"]},
            )
        except (ValueError, LookupError, TypeError, AttributeError, zlib.error):
            return None

    @property
    def told(self) -> str:
        """What is taken over from it, in words."""
        return f"commits 1 to {self.done} were checked by an earlier run, until {format_time(self.at)}"


def kept_fault(reader: Reader, kept: Kept) -> str:
    """Why a run cannot go on from there; "" where it can."""
    now = mark_of(reader)
    if now.origins != kept.mark.origins:
        return "the store was restored since, as a new incarnation of its log"
    if reader.generation() != kept.generation:
        return "stored rows were changed or taken away since, by redaction or garbage collection"
    if now.size < kept.mark.size or log_root(reader, kept.mark.size) != kept.mark.root:
        return f"the log does not begin with the {kept.mark.size} events that it had"
    if kept.done > reader.last_seq():
        return f"it had {kept.done} commits, and has fewer"
    return ""
