"""One commit of an archive, replayed on its parents and stored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from asg_mcp.core.adopt import adopt
from asg_mcp.core.commitments import pins_of
from asg_mcp.core.commits import operations_id
from asg_mcp.core.edits import apply_entries
from asg_mcp.core.nodes import NOTHING, Blob, Branch, Entry, Hasher, Leaf, Link, NodeSource
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree
from asg_mcp.core.values import encode
from asg_mcp.repo.archived import ArchivedCommit, Commits, Malformed, damaged
from asg_mcp.repo.archiving import derived_salt
from asg_mcp.repo.receipts import Before, Receipts
from asg_mcp.repo.records import info_of, is_pruned, pack_commit, staying_terms, terms_for
from asg_mcp.repo.transaction import store_tree
from asg_mcp.storage.base import CommitRow, Reader, Writer

_NO_CID = b"\x00"
PIN_NAME_BYTES = 16
"""Of a pin: what says whose it is."""


def put_commit(writer: Writer, hasher: Hasher, commit: ArchivedCommit, receipts: Receipts) -> CommitRow:
    """Store a commit of an archive, its tree and its index rows, with all that its id covers made again.

    Raises Malformed where something is not as it says, and what operations raise.
    """
    header = commit.header
    if writer.last_seq() + 1 != commit.number:
        raise Malformed("is not the next one")
    if writer.commit_seqs(header.id.hex(), 1):
        raise Malformed("is there twice")
    parents = [_parent(writer, parent.hex()) for parent in header.parents]
    if bool(parents) is (commit.number == 1):
        raise Malformed("is the first and has a parent, or is not and has none")
    _check_salts(hasher, commit)
    root_row = 0
    if commit.operations is None:
        if header.id.digest not in receipts.pruned:
            raise Malformed("has no operations, and no receipt says that it was collected")
    else:
        root_row = _put_tree(writer, hasher.for_replay(), commit, parents, receipts)
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
    writer: Writer, hasher: Hasher, commit: ArchivedCommit, parents: Sequence[CommitRow], receipts: Receipts
) -> int:
    """Store the tree that a commit makes of its parents', and its large values; returns the row of the tree's root."""
    operations = commit.operations
    assert operations is not None, "BUG: it was not pruned"
    if operations_id(operations, hasher) != commit.header.operations:
        raise Malformed("has other operations than its header commits to")
    if any(is_pruned(parent) for parent in parents):
        raise Malformed("was not collected, and its parent was")
    for blob, value in commit.fresh:
        blob.row, blob.value = 0, value  # when a batch of transactions failed, this is done again
    before = Before(writer, hasher, receipts, commit.number) if receipts.newest >= commit.number else None
    source: NodeSource = before or writer
    states = [State(Tree(source, hasher, _root(writer, hasher, parent))) for parent in parents]
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
    if before is not None:
        _put_standing(hasher, state.tree.root, commit, receipts)
    elif commit.standing:
        raise Malformed("tells what stands where no value was erased later")
    for blob, value in commit.fresh:
        blob.row = writer.next_row()
        _put_blob(writer, blob, value)
        blob.value = NOTHING
    return store_tree(writer, state.tree.root)


def _put_blob(writer: Writer, blob: Blob, value: Any) -> None:
    if value is NOTHING:
        # Of a class whose key was destroyed: sealed bytes that nobody can open are as good as none.
        writer.put_blob(blob.row, encode([blob.group, _NO_CID]))
    else:
        writer.put_blob(blob.row, encode([value]), blob.group)


def _root(reader: Reader, hasher: Hasher, row: CommitRow) -> Link:
    node = reader.load(row.root_row)
    return hasher.link_to(node, hasher.node_id(node), row.root_row)


def _put_standing(hasher: Hasher, root: Link, commit: ArchivedCommit, receipts: Receipts) -> None:
    """Put into the new leaves what stands there now of the values that were erased later, at this path or at another.

    Raises Malformed unless it is told of each of them, and of nothing else.
    """
    told, place = iter(commit.standing), 0
    for leaf in _new_leaves(root):
        for at, entry in enumerate(leaf.items):
            value_id = hasher.value_id(entry)
            if value_id is None or value_id.digest not in receipts.values:
                continue
            number, standing = next(told, (-1, entry))
            if number != place + at or hasher.value_id(standing) != value_id:
                raise Malformed("does not tell what stands where a value was erased later")
            twin = Entry(entry.key, entry.kind, standing.value, entry.origin)
            twin.value_id, twin.level = value_id, entry.level
            leaf.items[at] = twin
        place += len(leaf.items)
    if next(told, None) is not None:
        raise Malformed("tells what stands where no value was erased")


def _new_leaves(link: Link) -> Iterator[Leaf]:
    """The leaves that are not stored yet, in order."""
    node = link.node
    if type(node) is Leaf:
        yield node
    elif type(node) is Branch:
        for child in node.items:
            yield from _new_leaves(child)


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
