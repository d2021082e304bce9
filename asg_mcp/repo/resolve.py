"""From text to a commit: branch, then tag, then commit prefix; `~N` and `@TIME` after any of them."""

from __future__ import annotations

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
from asg_mcp.storage.base import CommitRow, Reader, TermKind

_NAMES_LOOKED_AT_MAX = 1_000
_EVENTS_PAGE = 200


def resolve_ref(reader: Reader, graph: Graph, text: str) -> CommitRow:
    """The commit that `text` means.

    Raises RefNotFound, CommitNotFound, AmbiguousPrefix, HandleNotFound or InvalidName.
    """
    revision = parse_revision(text)
    if revision.kind == "spec":
        raise HandleNotFound(
            f"There is no speculation {revision.name!r}", hint="List branches and speculations with asg_list_branches."
        )
    seq = _base(reader, revision)
    if revision.back:
        before = graph.ancestor(reader, seq, revision.back)
        if before is None:
            raise CommitNotFound(
                f"{text} goes back further than the history of {revision.name}", hint="Use a smaller number after ~."
            )
        seq = before
    return reader.commit(seq)


def _base(reader: Reader, revision: Revision) -> int:
    ref = reader.ref(revision.name)
    if ref is not None:
        return ref.seq if revision.at is None else _ref_at(reader, revision)
    seq = commit_by_prefix(reader, revision.name)
    if revision.at is not None:
        raise RefNotFound(
            f"{revision.name} is a commit, and @TIME asks what a branch or tag pointed at",
            hint="Name a branch before the @.",
        )
    return seq


def _ref_at(reader: Reader, revision: Revision) -> int:
    """What the ref pointed at after its last event, in log order, that is not later than the time."""
    assert revision.at is not None, "BUG: there is a time"
    time = parse_time(revision.at)
    before = reader.events_count()
    while True:
        indexes = reader.find((TermKind.REF, revision.name), before, _EVENTS_PAGE)
        for index in indexes:
            event = reader.event(index)
            if event is not None and event.ref == revision.name and event_time(reader, index) <= time:
                if event.new is None:
                    raise RefNotFound(f"{revision.name} did not exist at {revision.at}", hint="Give a later time.")
                return event.new
        if len(indexes) < _EVENTS_PAGE:
            raise RefNotFound(
                f"{revision.name} did not exist yet at {revision.at}", hint="Give a later time; asg_log shows times."
            )
        before = indexes[-1]


def event_time(reader: Reader, index: int) -> int:
    """The recorded time of an event in microseconds."""
    event = reader.event(index)
    assert event is not None, "BUG: the index was found"
    if event.data is not None:
        return int(event.data[0])
    assert event.new is not None, "BUG: an event without data is that of a commit"
    return reader.commit(event.new).at


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
    names = [ref.name for ref in reader.refs("", "", _NAMES_LOOKED_AT_MAX)]
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
