"""From text to a commit: branch, then tag, then commit prefix; `~N` and `@TIME` after any of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from difflib import get_close_matches

from asg_mcp.core.ids import is_prefix
from asg_mcp.core.limits import NAME_BYTES_MAX, NEAREST_MAX
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.refs import Revision, parse_revision
from asg_mcp.core.state import State
from asg_mcp.core.times import parse_time
from asg_mcp.core.tree import Tree
from asg_mcp.errors import AmbiguousPrefix, CommitNotFound, HandleNotFound, RefNotFound
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.ledger import event_time, ref_of_commit
from asg_mcp.repo.records import author_of
from asg_mcp.storage.base import CommitRow, Reader, Record, RecordKind, RefKind, TermKind

SPECULATION_PREFIX = "spec:"
"""Before the handle, in the name of a speculation's ref: no branch can have such a name."""
_NAMES_LOOKED_AT_MAX = 1_000
_EVENTS_PAGE = 200


def resolve_ref(reader: Reader, graph: Graph, text: str, principal: str = "") -> CommitRow:
    """The commit that `text` means to a principal; "" is whoever may see everything.

    Raises RefNotFound, CommitNotFound, AmbiguousPrefix, HandleNotFound or InvalidName.
    """
    revision = parse_revision(text)
    if revision.kind == "spec":
        speculation_record(reader, revision.name, principal)
        revision = replace(revision, name=SPECULATION_PREFIX + revision.name)
    seq = _base(reader, revision, principal)
    if revision.back:
        before = graph.ancestor(reader, seq, revision.back)
        if before is None:
            raise CommitNotFound(
                f"{text} goes back further than the history of {revision.name}", hint="Use a smaller number after ~."
            )
        seq = before
    return reader.commit(seq)


def _base(reader: Reader, revision: Revision, principal: str) -> int:
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
    seq = commit_by_prefix(reader, revision.name)
    if is_hidden(reader, reader.commit(seq), principal):
        raise CommitNotFound(
            f"No branch, tag or commit is called {revision.name}",
            hint="asg_log lists commits, asg_list_branches names.",
        )
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


def is_hidden(reader: Reader, row: CommitRow, principal: str) -> bool:
    """Whether a commit was tried in another principal's speculation, which nobody else sees."""
    if not principal or author_of(reader, row).principal == principal:
        return False
    ref = ref_of_commit(reader, row.seq)
    if not ref.startswith(SPECULATION_PREFIX):
        return False
    record = reader.record(RecordKind.SPECULATION, ref.removeprefix(SPECULATION_PREFIX))
    return record is None or record.data["principal"] != principal


def speculation_record(reader: Reader, handle: str, principal: str) -> Record:
    """The record of a speculation, open or not, as `principal` may see it; "" sees all.

    Raises HandleNotFound: to others than its own principal it is as if it were not there.
    """
    record = reader.record(RecordKind.SPECULATION, handle)
    if record is None or (principal and record.data["principal"] != principal):
        raise HandleNotFound(
            f"There is no speculation {handle!r}",
            hint="asg_list_branches with kind speculation lists the open ones; asg_speculate opens one.",
        )
    return record


def commit_by_prefix(reader: Reader, text: str) -> int:
    """The number of the only commit whose id begins with these digits."""
    if is_prefix(text):
        found = reader.commit_seqs(text.lower(), NEAREST_MAX + 1)
        if len(found) == 1:
            return found[0]
        if found:
            ids = [reader.commit(seq).id.hex()[: len(text) + 4] for seq in found[:NEAREST_MAX]]
            raise AmbiguousPrefix(f"Several commits begin with {text}: {', '.join(ids)}", candidates=ids)
        raise CommitNotFound(
            f"No branch, tag or commit is called {text}", hint="asg_log lists commits, asg_list_branches names."
        )
    names = [ref.name for ref in reader.refs("", "", _NAMES_LOOKED_AT_MAX) if ref.kind is not RefKind.SPECULATION]
    nearest = get_close_matches(text[:NAME_BYTES_MAX], names, n=NEAREST_MAX, cutoff=0.5) or names[:NEAREST_MAX]
    raise RefNotFound(
        f"No branch or tag is called {text!r}",
        hint=f"There is {', '.join(nearest)}; asg_branch makes a new one.",
        ref=text,
        nearest=nearest,
    )


def state_at(reader: Reader, hasher: Hasher, row: CommitRow) -> State:
    """The state that a commit holds."""
    assert row.root_row, "BUG: the tree of every commit is stored"
    node = reader.load(row.root_row)
    return State(Tree(reader, hasher, hasher.link_to(node, hasher.node_id(node), row.root_row)))
