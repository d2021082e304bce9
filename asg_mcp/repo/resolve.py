"""From text to a commit: branch, then tag, then commit prefix; `~N` and `@TIME` after any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches
from heapq import heappop, heappush

from blake3 import blake3

from asg_mcp.core.ids import is_prefix
from asg_mcp.core.intents import Category
from asg_mcp.core.limits import NAME_BYTES_MAX, NEAREST_MAX
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.refs import Revision, parse_revision
from asg_mcp.core.state import State
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.core.tree import Tree
from asg_mcp.errors import AmbiguousPrefix, CommitNotFound, HandleNotFound, RefNotFound
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.ledger import event_time, ref_of_commit
from asg_mcp.repo.records import author_of, category_of, whole
from asg_mcp.storage.base import CommitRow, Reader, Record, RecordKind, RefKind, TermKind

SPECULATION_PREFIX = "spec:"
"""Before the handle, in the name of a speculation's ref: no branch can have such a name."""
TRIED = Category.EXPLORE
"""The category of every commit that is made in a speculation."""
_OWNER_DIGITS = 4
_NAMES_LOOKED_AT_MAX = 1_000
_EVENTS_PAGE = 200


def resolve_ref(reader: Reader, graph: Graph, text: str, principal: str = "") -> CommitRow:
    """The commit that `text` means to a principal; "" is whoever may see everything.

    Raises RefNotFound, CommitNotFound, AmbiguousPrefix, HandleNotFound or InvalidName.
    """
    revision = parse_revision(text)
    if revision.kind == "spec":
        record = speculation_record(reader, revision.name, principal)
        if revision.at is None and is_expired(record, reader.now()):
            raise too_old(record)
        revision = replace(revision, name=SPECULATION_PREFIX + revision.name)
    seq = _base(reader, graph, revision, principal)
    if revision.back:
        before = graph.ancestor(reader, seq, revision.back)
        if before is None:
            raise CommitNotFound(
                f"{text} goes back further than the history of {revision.name}", hint="Use a smaller number after ~."
            )
        seq = before
    return reader.commit(seq)


def _base(reader: Reader, graph: Graph, revision: Revision, principal: str) -> int:
    ref = reader.ref(revision.name)
    # What a branch pointed at is known when it has been dropped since, too.
    if revision.at is not None and (ref or reader.find((TermKind.REF, revision.name), reader.events_count(), 1)):
        return _ref_at(reader, revision)
    if ref is not None:
        return ref.seq
    if revision.kind == "spec":
        raise HandleNotFound(
            f"{revision.name} is not open any more: it was committed, discarded or expired",
            hint="Open another with asg_speculate; asg_query with target speculations tells what became of it.",
        )
    seq = commit_by_prefix(reader, graph, revision.name, principal)
    if revision.at is not None:
        raise RefNotFound(
            f"{revision.name} is a commit, and @TIME asks what a branch or tag pointed at",
            hint="Name a branch before the @.",
        )
    return seq


def clock_anomaly(reader: Reader, text: str) -> bool:
    """Whether the recorded times around the TIME of `NAME@TIME` run backwards; False for any other text.

    Raises what `resolve_ref` raises, which has been called with the text before.
    """
    revision = parse_revision(text)
    if revision.at is None:
        return False
    if revision.kind == "spec":
        revision = replace(revision, name=SPECULATION_PREFIX + revision.name)
    events = _events(reader, revision.name)
    chosen = next(index for index in events if event_time(reader, index) <= parse_time(revision.at or ""))
    earlier = next(events, None)
    return earlier is not None and event_time(reader, earlier) > event_time(reader, chosen)


def _ref_at(reader: Reader, revision: Revision) -> int:
    """What the ref pointed at after its last event, in log order, that is not later than the time."""
    assert revision.at is not None, "BUG: there is a time"
    time = parse_time(revision.at)
    for index in _events(reader, revision.name):
        if event_time(reader, index) <= time:
            event = reader.event(index)
            if event is None or event.new is None:
                raise RefNotFound(f"{revision.name} did not exist at {revision.at}", hint="Give a later time.")
            return event.new
    raise RefNotFound(
        f"{revision.name} did not exist yet at {revision.at}", hint="Give a later time; asg_log shows times."
    )


def _events(reader: Reader, name: str) -> Iterator[int]:
    """The indexes of a ref's events, the newest first."""
    before = reader.events_count()
    while True:
        indexes = reader.find((TermKind.REF, name), before, _EVENTS_PAGE)
        for index in indexes:
            event = reader.event(index)
            if event is not None and event.ref == name:
                yield index
        if len(indexes) < _EVENTS_PAGE:
            return
        before = indexes[-1]


def tried_in(reader: Reader, row: CommitRow) -> str:
    """The handle of the speculation in which a commit was tried; "" for a commit that was made on a branch.

    O(log n) for commits of the category of trials, and O(1) for all others.
    """
    if category_of(row) is not TRIED:
        return ""
    ref = ref_of_commit(reader, row.seq)
    return ref.removeprefix(SPECULATION_PREFIX) if ref.startswith(SPECULATION_PREFIX) else ""


class Sight:
    """Which commits a principal may see; "" sees all.

    What was tried in another principal's speculation is hidden while no branch and no tag reaches it: whoever tried it
    may publish it, by a branch made from it or by a merge. What branches and tags reach is walked once, from the newest
    commit down, and no further than to what was asked about; without trials of others it is not walked at all.
    """

    def __init__(self, reader: Reader, graph: Graph, principal: str) -> None:
        self._reader, self._graph, self._principal = reader, graph, principal
        self._reached: bytearray | None = None
        self._todo: list[int] = []
        """A heap of the commits whose parents are still to be walked, negated: the highest number comes first."""

    def hides(self, row: CommitRow) -> bool:
        """Whether the principal may not see a commit."""
        if not self._principal or author_of(self._reader, row).principal == self._principal:
            return False
        handle = tried_in(self._reader, row)
        if not handle:
            return False
        record = self._reader.record(RecordKind.SPECULATION, handle)
        if record is not None and record.data["principal"] == self._principal:
            return False
        return not self._is_public(row.seq)

    def _is_public(self, seq: int) -> bool:
        if self._reached is None:
            self._reached = bytearray((self._reader.last_seq() >> 3) + 1)
            self._begin()
        while self._todo and -self._todo[0] > seq:
            for parent in self._graph.parents(self._reader, -heappop(self._todo)):
                self._reach(parent)
        return bool(self._reached[seq >> 3] & (1 << (seq & 7)))

    def _begin(self) -> None:
        after = ""
        while page := self._reader.refs("", after, _NAMES_LOOKED_AT_MAX):
            after = page[-1].name
            for ref in page:
                if ref.kind is not RefKind.SPECULATION:
                    self._reach(ref.seq)

    def _reach(self, seq: int) -> None:
        assert self._reached is not None, "BUG: the walk has begun"
        if not self._reached[seq >> 3] & (1 << (seq & 7)):
            self._reached[seq >> 3] |= 1 << (seq & 7)
            heappush(self._todo, -seq)


def speculation_record(reader: Reader, handle: str, principal: str) -> Record:
    """The record of a speculation, open or not, as `principal` may see it; "" sees all.

    Raises HandleNotFound: to others than its own principal it is as if it were not there.
    """
    record = reader.record(RecordKind.SPECULATION, handle)
    if record is None or (principal and record.data["principal"] != principal):
        raise HandleNotFound(
            f"There is no speculation {handle!r}",
            hint="asg_list_branches with kind speculation lists the open ones; asg_speculate opens one.",
            handle=handle,
        )
    return record


def own_prefix(principal: str) -> str:
    """How the names of a principal's speculations begin: its own are read without those of all others.

    Another's may begin so too, one in 65,536 by chance, so the record is what tells.
    """
    return SPECULATION_PREFIX + (blake3(principal.encode()).hexdigest()[:_OWNER_DIGITS] if principal else "")


def is_expired(record: Record, now: int) -> bool:
    """Whether nobody ended a speculation and at `now` (microseconds) it is too old to be of use."""
    return record.data["status"] == "open" and now >= int(record.data["expires"])


def too_old(record: Record) -> HandleNotFound:
    """The error that says so."""
    return HandleNotFound(
        f"Speculation {record.key} expired at {format_time(record.data['expires'])}",
        hint="Open another with asg_speculate; asg_discard still keeps what this one taught.",
        handle=record.key,
        status="expired",
    )


def commit_by_prefix(reader: Reader, graph: Graph, text: str, principal: str) -> int:
    """The number of the only commit whose id begins with these digits, of those that `principal` may see; "" sees all.

    Raises AmbiguousPrefix, CommitNotFound, and RefNotFound for what is no beginning of an id.
    """
    if not is_prefix(text):
        raise no_such_ref(reader, text)
    found = commits_seen(reader, graph, text, principal, NEAREST_MAX + 1)
    if len(found) == 1:
        return found[0]
    if found:
        ids = [reader.commit(seq).id.hex()[: len(text) + 4] for seq in found[:NEAREST_MAX]]
        raise AmbiguousPrefix(f"Several commits begin with {text}: {', '.join(ids)}", candidates=ids)
    raise CommitNotFound(
        f"No branch, tag or commit is called {text}", hint="asg_log lists commits, asg_list_branches names."
    )


def commits_seen(reader: Reader, graph: Graph, prefix: str, principal: str, limit: int) -> list[int]:
    """The numbers of at most `limit` commits whose ids begin so and that `principal` may see, lowest first."""
    sight = Sight(reader, graph, principal)
    asked = limit
    while True:
        found = reader.commit_seqs(prefix.lower(), asked)
        seen = [seq for seq in found if not sight.hides(reader.commit(seq))]
        if len(seen) >= limit or len(found) < asked:
            return seen[:limit]
        asked *= 2  # those that are hidden leave room for others


def no_such_ref(reader: Reader, text: str) -> RefNotFound:
    """That no branch or tag is called so, with the nearest that are."""
    names = [ref.name for ref in reader.refs("", "", _NAMES_LOOKED_AT_MAX) if ref.kind is not RefKind.SPECULATION]
    nearest = get_close_matches(text[:NAME_BYTES_MAX], names, n=NEAREST_MAX, cutoff=0.5) or names[:NEAREST_MAX]
    return RefNotFound(
        f"No branch or tag is called {text!r}",
        hint=f"There is {', '.join(nearest)}; asg_branch makes a new one.",
        ref=text,
        nearest=nearest,
    )


def state_at(reader: Reader, hasher: Hasher, row: CommitRow) -> State:
    """The state that a commit holds. Raises Pruned."""
    assert whole(row).root_row, "BUG: the tree of every commit that was not pruned is stored"
    node = reader.load(row.root_row)
    if node.link is None:
        node.link = hasher.link_to(node, hasher.node_id(node), row.root_row)
    return State(Tree(reader, hasher, node.link, node))
