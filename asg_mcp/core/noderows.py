"""The stored form of tree nodes: what a row holds, before compression and checksum.

A row is a list whose first item says what follows:

    [0, entry…]                                   a leaf
    [1, height, digests, link…]                   a branch
    [2, base row, depth, start, removed, entry…]  a leaf as one splice of another
    [3, base row, depth, start, removed, height, digests, link…]   a branch likewise
    [4, base row, depth, start, height, digests, (row, newest)…]   links that differ in these alone
    [5, full row, height, positions, digests, (row, newest)…]      the same, anywhere in the last full row

The last is written where a chain of deltas would grow too long: it begins the
next one without repeating the keys.

An entry takes five items (shared, suffix, kind, value, origin) and a link six
(row, shared, suffix, count, elements, level·newest): `shared` characters of the
key before it, then `suffix`; the key before the first of a leaf's splice is that
which stands at its start in the base. The value of a blob is [row, id], and
[0, id, erased after] where it was erased and tells since when. Ids of other
values are not stored: they are made from the value when a hash is needed. None
of this is hashed, so it may change with the database's layout.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from asg_mcp.core.ids import DIGEST_BYTES, NodeId, ValueId
from asg_mcp.core.limits import DELTA_DEPTH_MAX
from asg_mcp.core.nodes import LEVEL_MAX, SCALAR, Blob, Branch, Entry, Leaf, Link, Node, Stored
from asg_mcp.core.values import encode
from asg_mcp.errors import StoreCorrupt

_LEAF, _BRANCH, _LEAF_DELTA, _BRANCH_DELTA, _BRANCH_PATCH, _BRANCH_RENEWAL = range(6)
_BLOB = 3
_LEVELS = LEVEL_MAX + 1
_NO_CID = b"\x00"
"""First byte of a byte string that must not be taken for a CID by the encoder."""

Rows = list[Any]


def pack_node(node: Node) -> tuple[bytes, int]:
    """The row of a node whose children are all stored, and the depth of its delta chain (0: complete)."""
    base = node.stored
    if base is None or not base.row:
        return _pack_full(node), 0
    if base.depth >= DELTA_DEPTH_MAX:
        renewal = _pack_renewal(node, base.full)
        return (_pack_full(node), 0) if renewal is None else (renewal, 1)
    delta = _pack_delta(node, base)
    return (_pack_full(node), 0) if delta is None else (delta, base.depth + 1)


def _pack_full(node: Node) -> bytes:
    if type(node) is Leaf:
        return encode([_LEAF, *pack_entries(node.items)])
    assert type(node) is Branch, "BUG: a node is a leaf or a branch"
    return encode([_BRANCH, node.height, _digests(node.items), *_pack_links(node.items)])


def _pack_delta(node: Node, base: Stored) -> bytes | None:
    """The node as one splice of its base; None where that would not be much smaller."""
    start, tail = _kept(base.items, node.items)
    head = [base.row, base.depth + 1, start]
    removed = len(base.items) - start - tail
    if type(node) is Leaf:
        come = node.items[start : len(node.items) - tail]
        if len(come) * 2 > len(node.items):
            return None
        return encode([_LEAF_DELTA, *head, removed, *pack_entries(come, _key_at(base.items, start))])
    assert type(node) is Branch, "BUG: a node is a leaf or a branch"
    links = node.items[start : len(node.items) - tail]
    if len(links) * 2 > len(node.items):
        return None
    if removed == len(links) and all(map(_alike, base.items[start : start + removed], links)):
        pairs = [part for link in links for part in (link.row, link.newest)]
        return encode([_BRANCH_PATCH, *head, node.height, _digests(links), *pairs])
    return encode([_BRANCH_DELTA, *head, removed, node.height, _digests(links), *_pack_links(links)])


def _pack_renewal(node: Node, full: Stored | None) -> bytes | None:
    """A branch as what differs from the last full row; None where it has other links."""
    if full is None or type(node) is not Branch or len(node.items) != len(full.items):
        return None
    changed = [number for number, link in enumerate(node.items) if link.row != full.items[number].row]
    if not all(_alike(full.items[number], node.items[number]) for number in changed):
        return None
    links = [node.items[number] for number in changed]
    pairs = [part for link in links for part in (link.row, link.newest)]
    return encode([_BRANCH_RENEWAL, full.row, node.height, changed, _digests(links), *pairs])


def stored_as(node: Node, row: int, depth: int) -> Stored:
    """What is known of a node once it has its row; `depth` is that which `pack_node` gave."""
    return _stored(row, depth, node.items, node.stored if depth and type(node) is Branch else None)


def _stored(row: int, depth: int, items: Sequence[Any], base: Stored | None) -> Stored:
    """With the full row at the end of the chain, which is the base or is known to it. Leaves need none."""
    return Stored(row, depth, items, base.full or base if base is not None else None)


def _key_at(entries: Sequence[Entry], start: int) -> str:
    return entries[min(start, len(entries) - 1)].key


def _kept(old: Sequence[Any], new: Sequence[Any]) -> tuple[int, int]:
    """How many items at the start, and how many at the end, are the same objects."""
    most = min(len(old), len(new))
    start = tail = 0
    while start < most and old[start] is new[start]:
        start += 1
    while tail < most - start and old[-1 - tail] is new[-1 - tail]:
        tail += 1
    return start, tail


def _alike(old: Link, new: Link) -> bool:
    return (old.last_key, old.count, old.level, old.elements) == (new.last_key, new.count, new.level, new.elements)


def _digests(links: Sequence[Link]) -> bytes:
    return _NO_CID + b"".join([link.id[4:] for link in links])


def _shared(left: str, right: str) -> int:
    if right.startswith(left):
        return len(left)
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def pack_entries(entries: Sequence[Entry], before: str = "") -> Rows:
    """Entries as a flat list, five items each; their blobs are stored already. `before` is the key before the first."""
    out: Rows = []
    for entry in entries:
        key, kind, value = entry.key, entry.kind, entry.value
        if type(value) is Blob:
            kind, value = _BLOB, _pack_blob(value)
        shared = _shared(before, key)
        out += (shared, key[shared:], kind, value, entry.origin)
        before = key
    return out


def unpack_entries(parts: Rows, key: str = "") -> list[Entry]:
    """The entries of such a list. `key` is the one before the first."""
    out: list[Entry] = []
    for at in range(0, len(parts), 5):
        shared, suffix, kind, value, origin = parts[at : at + 5]
        key = key[:shared] + suffix
        if kind == _BLOB:
            kind, value = SCALAR, _unpack_blob(value)
        out.append(Entry(key, kind, value, origin))
    return out


def packed_entries(parts: Rows, start: int = 0, key: str = "") -> Iterator[tuple[int, str, int, Any]]:
    """The entries of such a list from a position on: where each begins, its key, kind and packed value, a Blob or not.

    The kind of a blob is that of a scalar. `key` is the one before the first.
    """
    for at in range(start, len(parts), 5):
        shared, suffix, kind, value = parts[at : at + 4]
        key = key[:shared] + suffix
        yield (at, key, SCALAR, _unpack_blob(value)) if kind == _BLOB else (at, key, kind, value)


def _pack_blob(blob: Blob) -> Rows:
    return [blob.row, blob.id] if blob.erased_after is None else [blob.row, blob.id, blob.erased_after]


def _unpack_blob(parts: Rows) -> Blob:
    return Blob(ValueId(parts[1]), parts[0], erased_after=parts[2] if len(parts) > 2 else None)


def erase_packed(parts: Rows, at: int, value_id: ValueId, after: int | None = None) -> None:
    """Leave only the id of the value of the scalar entry that begins at a position; `after` is as `Blob` has it."""
    parts[at + 2], parts[at + 3] = _BLOB, _pack_blob(Blob(value_id, 0, erased_after=after))


def leaf_entries(parts: Rows) -> tuple[int, int, int]:
    """Where the entries begin in the row of a leaf; then the base row that it is a splice of, and where, or 0 and 0.

    (0, 0, 0) for the row of a branch.
    """
    if parts[0] == _LEAF:
        return 1, 0, 0
    return (5, parts[1], parts[3]) if parts[0] == _LEAF_DELTA else (0, 0, 0)


def key_before(base: Leaf, start: int) -> str:
    """The key that the entries of a splice begin with, as `pack_entries` has it."""
    return _key_at(base.items, start)


def _pack_links(links: Sequence[Link]) -> Rows:
    out: Rows = []
    before = ""
    for link in links:
        assert link.row, "BUG: children are stored before their parent"
        shared = _shared(before, link.last_key)
        elements = [part for pair in sorted(link.elements.items()) for part in pair]
        out += (link.row, shared, link.last_key[shared:], link.count, elements, link.newest * _LEVELS + link.level)
        before = link.last_key
    return out


def _unpack_links(digests: bytes, parts: Rows) -> list[Link]:
    out: list[Link] = []
    key, position = "", len(_NO_CID)
    for at in range(0, len(parts), 6):
        row, shared, suffix, count, elements, mixed = parts[at : at + 6]
        key = key[:shared] + suffix
        newest, level = divmod(mixed, _LEVELS)
        counts = dict(zip(elements[::2], elements[1::2], strict=True))
        node_id = NodeId.from_digest(digests[position : position + DIGEST_BYTES])
        out.append(Link(node_id, row, key, count, counts, level, newest))
        position += DIGEST_BYTES
    return out


def references(parts: Rows) -> tuple[list[int], list[int]]:
    """The rows without which a row's list cannot be read whole: of nodes (its base, its children) and of large values.

    A delta is told with its base and not with what it takes over from there: whoever follows the base finds that.
    """
    tag = parts[0]
    if tag == _LEAF:
        return [], blobs_in(parts[1:])
    if tag == _BRANCH:
        return parts[3::6], []
    if tag == _LEAF_DELTA:
        return [parts[1]], blobs_in(parts[5:])
    first, step = {_BRANCH_DELTA: (7, 6), _BRANCH_PATCH: (6, 2), _BRANCH_RENEWAL: (5, 2)}[tag]
    return [parts[1], *parts[first::step]], []


def blobs_in(parts: Rows) -> list[int]:
    """The rows of the large values among packed entries; those that were erased have none."""
    return [value[0] for kind, value in zip(parts[2::5], parts[3::5], strict=True) if kind == _BLOB and value[0]]


def unpack_node(row: int, parts: Rows, load: Callable[[int], Node]) -> Node:
    """The node of a row's list; `load` gives the node that a delta builds on.

    Raises StoreCorrupt when the list is no node.
    """
    try:
        return _unpack(row, parts, load)
    except (ValueError, TypeError, IndexError, AssertionError) as error:
        raise StoreCorrupt(f"Node {row} cannot be read: {error}", kind="node", row=row) from error


def _unpack(row: int, parts: Rows, load: Callable[[int], Node]) -> Node:
    tag = parts[0]
    if tag == _LEAF:
        entries = unpack_entries(parts[1:])
        return Leaf(entries, Stored(row, 0, entries))
    if tag == _BRANCH:
        links = _unpack_links(parts[2], parts[3:])
        return Branch(parts[1], links, Stored(row, 0, links))
    base = load(parts[1])
    if tag == _BRANCH_RENEWAL and type(base) is Branch:
        links = _patched(base.items, parts[3], parts[4], parts[5:])
        return Branch(parts[2], links, _stored(row, 1, links, base.stored))
    depth, start = parts[2:4]
    if tag == _LEAF_DELTA and type(base) is Leaf:
        fresh = unpack_entries(parts[5:], _key_at(base.items, start))
        entries = [*base.items[:start], *fresh, *base.items[start + parts[4] :]]
        return Leaf(entries, Stored(row, depth, entries))
    if tag == _BRANCH_DELTA and type(base) is Branch:
        come = _unpack_links(parts[6], parts[7:])
        links = [*base.items[:start], *come, *base.items[start + parts[4] :]]
        return Branch(parts[5], links, _stored(row, depth, links, base.stored))
    if tag != _BRANCH_PATCH or type(base) is not Branch:
        raise ValueError(f"unknown tag {tag}, or a base of another kind")
    links = _patched(base.items, range(start, start + len(parts[6:]) // 2), parts[5], parts[6:])
    return Branch(parts[4], links, _stored(row, depth, links, base.stored))


def _patched(base: Sequence[Link], positions: Sequence[int], digests: bytes, pairs: Rows) -> list[Link]:
    """The links of the base, those at the positions with other ids, rows and newest."""
    links = list(base)
    for number, position in enumerate(positions):
        old = links[position]
        digest = digests[len(_NO_CID) + number * DIGEST_BYTES :][:DIGEST_BYTES]
        row, newest = pairs[2 * number : 2 * number + 2]
        node_id = NodeId.from_digest(digest)
        links[position] = Link(node_id, row, old.last_key, old.count, old.elements, old.level, newest)
    return links
