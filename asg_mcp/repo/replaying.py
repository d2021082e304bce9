"""One commit of an archive, replayed on its parents and stored."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from asg_mcp.core.adopt import adopt
from asg_mcp.core.classes import flat_key
from asg_mcp.core.commitments import pins_of
from asg_mcp.core.commits import operations_id
from asg_mcp.core.edits import apply_entries
from asg_mcp.core.nodes import NOTHING, Blob, Branch, Entry, Hasher, Leaf, Link, NodeSource
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree
from asg_mcp.core.values import encode
from asg_mcp.repo.archived import ArchivedCommit, Commits, Malformed, damaged
from asg_mcp.repo.archiving import VERSIONS, derived_salt
from asg_mcp.repo.receipts import Before, Receipts
from asg_mcp.repo.records import info_of, is_pruned, pack_commit, staying_terms, terms_for
from asg_mcp.repo.transaction import store_tree
from asg_mcp.storage.base import CommitRow, Reader, Writer

_NO_CID = b"\x00"
PIN_NAME_BYTES = 16
"""Of a pin: what says whose it is."""


def put_commit(writer: Writer, hasher: Hasher, commit: ArchivedCommit, receipts: Receipts, version: int) -> CommitRow:
    """Store a commit of an archive of a version, its tree and its index rows, with all that its id covers made again.

    Raises Malformed where something is not as it says, and what operations raise.
    """
    header = commit.header
    if writer.last_seq() + 1 != commit.number:
        raise Malformed("is not the next one")
    if writer.commit_seqs(header.id.hex(), 1):
        raise Malformed("is there twice")
    if commit.dated and version == VERSIONS[0]:
        raise Malformed("tells since when a value is erased, which its version does not")
    parents = [_parent(writer, parent.hex()) for parent in header.parents]
    if bool(parents) is (commit.number == 1):
        raise Malformed("is the first and has a parent, or is not and has none")
    _check_salts(hasher, commit)
    root_row = 0
    if commit.operations is None:
        if header.id.digest not in receipts.pruned:
            raise Malformed("has no operations, and no receipt says that it was collected")
    else:
        root_row = _put_tree(writer, hasher.for_replay(), commit, parents, receipts, version)
    if commit.body is None and commit.operations is not None and header.id.digest not in receipts.texts:
        raise Malformed("has no texts, and no receipt says that they were erased")
    parts = pack_commit(
        writer, header, commit.salt, commit.body or {}, commit.operations or [], root_stored=bool(root_row)
    )
    if commit.body is None:
        parts[11] = header.body
    if commit.operations is None:
        parts[12] = header.operations
    row = CommitRow(commit.number, header.id, tuple(parent.seq for parent in parents), header.at, root_row, parts)
    if commit.operations is None:
        writer.put_commit(row, staying_terms(info_of(writer, row)), "")
    else:
        info = info_of(writer, row)
        writer.put_commit(row, terms_for(info, commit.operations), f"{info.description}\n{info.reasoning}")
    return row


def _parent(writer: Writer, commit: str) -> CommitRow:
    found = writer.commit_seqs(commit, 1)
    if not found:
        raise Malformed(f"has the parent {commit[:12]}, which comes later or never")
    return writer.commit(found[0])


def _check_salts(hasher: Hasher, commit: ArchivedCommit) -> None:
    """Raise Malformed unless a salt is told of exactly those values that have one of an earlier class key."""
    ids = hasher.value_ids
    if not ids.pinned:
        if any(salt is not None for _, salt in commit.salts):
            raise Malformed("has a salt, where the keys say that there are none of an earlier key")
        return
    for canonical, salt in commit.salts:
        derived = derived_salt(ids.class_key, canonical)
        if salt == derived or ids.salt_of(canonical) != (salt or derived):
            raise Malformed("has a value with two salts, or with one that need not be told")


def _put_tree(
    writer: Writer,
    hasher: Hasher,
    commit: ArchivedCommit,
    parents: Sequence[CommitRow],
    receipts: Receipts,
    version: int,
) -> int:
    """Store the tree that a commit makes of its parents', and its large values; returns the row of the tree's root."""
    operations = commit.operations
    assert operations is not None, "BUG: it was not pruned"
    if operations_id(operations, hasher) != commit.header.operations:
        raise Malformed("has other operations than its header commits to")
    if any(is_pruned(parent) for parent in parents):
        raise Malformed("was not collected, and its parent was")
    for blob, value in commit.fresh:
        blob.row = writer.next_row()  # before replaying: what has no row is taken for erased
        _put_blob(writer, blob, value)
    for operation in operations:
        _suppose(operation.entries or (), flat_key(parse_path(operation.path)), receipts)
    before = Before(writer, hasher, receipts, commit.number) if receipts.newest >= commit.number else None
    source: NodeSource = before or writer
    roots = [_root(writer, hasher, parent) for parent in parents]
    states = [State(Tree(source, hasher, root)) for root in roots]
    state = states[0] if states else State.empty(source, hasher, commit.number)
    for operation in operations:
        path, moved = parse_path(operation.path), None if operation.source is None else parse_path(operation.source)
        entries: Sequence[Entry] | None = operation.entries
        if before is not None and entries is not None:
            entries = before.entries(entries, path)
        state = apply_entries(state, operation.op, path, moved, entries, commit.number).state
    if len(states) > 1:
        state = adopt(states[0], states[1], state, commit.number)
    if state.tree.id != commit.header.root:
        raise Malformed("has another root than its operations give")
    root = state.tree.root
    if before is not None:
        standing = _Standing(writer, hasher, commit, receipts, roots[0] if roots else None)
        root = standing.put(root, ranked=version > VERSIONS[0])
    elif commit.standing:
        raise Malformed("tells what stands where no value was erased later")
    return store_tree(writer, root)


def _put_blob(writer: Writer, blob: Blob, value: Any) -> None:
    if value is NOTHING:
        # Of a class whose key was destroyed: sealed bytes that nobody can open are as good as none.
        writer.put_blob(blob.row, encode([blob.group, _NO_CID]))
    else:
        writer.put_blob(blob.row, encode([value]), blob.group)


def _suppose(entries: Iterable[Entry], at: str, receipts: Receipts) -> None:
    """Where nothing tells since when a value is erased, decide it here, once and for all that is replayed later."""
    for entry in entries:
        blob = entry.value
        if type(blob) is Blob and blob.erased and blob.erased_after is None:
            blob.erased_after = receipts.supposed(entry, at)


def _root(reader: Reader, hasher: Hasher, row: CommitRow) -> Link:
    node = reader.load(row.root_row)
    return hasher.link_to(node, hasher.node_id(node), row.root_row)


class _Standing:
    """Puts into the new leaves of a commit what stands there now of the values that were erased later, somewhere."""

    def __init__(
        self, writer: Writer, hasher: Hasher, commit: ArchivedCommit, receipts: Receipts, ours: Link | None
    ) -> None:
        self._writer, self._hasher, self._receipts, self._ours = writer, hasher, receipts, ours
        self._told = deque(commit.standing)
        self._place = 0
        """How many entries the new leaves had so far."""

    def put(self, root: Link, *, ranked: bool) -> Link:
        """The link to the tree with it. `ranked` says that it is told by rank, and not by place among the new leaves.

        Raises Malformed unless it is told of each of them, and of nothing else.
        """
        root = self._below(root, 0 if ranked else None)
        if self._told:
            raise Malformed("tells what stands where no value was erased")
        return root

    def _below(self, link: Link, rank: int | None) -> Link:
        node = link.node
        if type(node) is Leaf:
            return self._leaf(link, node, self._place if rank is None else rank)
        if type(node) is Branch:
            for at, child in enumerate(node.items):
                node.items[at] = self._below(child, None if rank is None else rank + node.starts[at])
        return link

    def _leaf(self, link: Link, leaf: Leaf, start: int) -> Link:
        found = [(at, self._hasher.value_id(entry)) for at, entry in enumerate(leaf.items)]
        named = [(at, value) for at, value in found if value is not None and value.digest in self._receipts.values]
        if named and (not self._told or self._told[0][0] != start + named[0][0]):
            # Replaying does one operation after the other, and may make a leaf again that was taken as it was when
            # the commit was made, which does them at once.
            return self._taken(link, leaf)
        self._place += len(leaf.items)
        for at, value_id in named:
            number, standing = self._told.popleft() if self._told else (-1, leaf.items[at])
            if number != start + at or self._hasher.value_id(standing) != value_id:
                raise Malformed("does not tell what stands where a value was erased later")
            entry = leaf.items[at]
            twin = Entry(entry.key, entry.kind, standing.value, entry.origin)
            twin.value_id, twin.level = value_id, entry.level
            _suppose([twin], "", self._receipts)
            leaf.items[at] = twin
        return link

    def _taken(self, link: Link, leaf: Leaf) -> Link:
        """The link to the same leaf in the state before. Raises Malformed where there is none."""
        todo, origins = [self._ours] if self._ours is not None else [], [entry.origin for entry in leaf.items]
        while todo:
            other = todo.pop()
            node = self._writer.load(other.row)
            if type(node) is Branch:
                todo += [child for child in node.items if node.height > 1 or child.id == link.id]
            elif other.id == link.id and [entry.origin for entry in node.items] == origins:
                return other
        raise Malformed("does not tell what stands where a value was erased later")


def pins_in(records: Iterable[Any], hasher: Hasher, count: int) -> bytes:
    """The pins of the values among `count` commits whose salts do not come from the class key; see `core.commitments`.

    The hasher has the class key and no pins. Raises ArchiveDamaged.
    """
    commits = Commits(records, hasher)
    class_key = hasher.value_ids.class_key
    found: dict[bytes, bytes] = {}
    for _ in range(count):
        commit = commits.next()
        for canonical, salt in commit.salts:
            if salt is not None:
                pin = pins_of([canonical], {canonical: salt}.__getitem__, class_key)
                if found.setdefault(pin[:PIN_NAME_BYTES], pin) != pin:
                    raise damaged(commit.where, "has a value with two salts")
    return b"".join(found[name] for name in sorted(found))
