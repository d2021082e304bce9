"""The Merkle tree of RFC 6962 and RFC 9162: roots, proofs, and the refusal of proofs that do not hold.

    leaf hash = SHA-256(0x00 ‖ leaf)      node hash = SHA-256(0x01 ‖ left ‖ right)

A tree of n leaves is, from the left, complete subtrees of falling sizes. So all that
is ever asked for is made of complete subtrees, named (level, index): the leaves
[index · 2^level, (index + 1) · 2^level). Their hashes never change once they are full.
Kept are those of every eighth level, called tiles.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of a tree without leaves."""
TILE_LEVELS = 8
"""A tile is the hash of 256 leaves, or of 256 tiles: one row in 256 events, and at most 255 reads a level."""
TILE_WIDTH = 1 << TILE_LEVELS

NodeAt = Callable[[int, int], bytes]
"""(level, index) -> the hash of that complete subtree."""


def leaf_hash(leaf: bytes) -> bytes:
    """The hash of a leaf's bytes, 32 bytes."""
    return sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of two subtrees' hashes, 32 bytes."""
    return sha256(b"\x01" + left + right).digest()


def complete_root(hashes: Sequence[bytes]) -> bytes:
    """The hash of a complete subtree, from those of its 2^n children."""
    assert hashes and len(hashes) & (len(hashes) - 1) == 0, "BUG: a complete subtree has a power of two of children"
    while len(hashes) > 1:
        hashes = [node_hash(hashes[at], hashes[at + 1]) for at in range(0, len(hashes), 2)]
    return hashes[0]


def tree_root(size: int, node: NodeAt) -> bytes:
    """The root of the first `size` leaves, from at most log2(size) + 1 subtrees."""
    return _range_root(0, size, node) if size else EMPTY_ROOT


def root_of_leaves(hashes: Sequence[bytes]) -> bytes:
    """The root over leaf hashes that are all at hand. O(n)."""
    return tree_root(len(hashes), lambda level, index: complete_root(hashes[index << level : (index + 1) << level]))


def inclusion_proof(index: int, size: int, node: NodeAt) -> list[bytes]:
    """The hashes that lead from leaf `index` to the root of the first `size` leaves, lowest first."""
    assert 0 <= index < size, "BUG: the leaf is in the tree"
    proof = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(start, middle, node))
            start = middle
    return proof[::-1]


def consistency_proof(old: int, new: int, node: NodeAt) -> list[bytes]:
    """The hashes that show the tree of `old` leaves to be the beginning of that of `new`, lowest first."""
    assert 0 <= old <= new, "BUG: a tree only grows"
    if not old:
        return []
    proof = []
    start, end = 0, new
    while end != old:
        middle = start + _split(end - start)
        if old <= middle:
            proof.append(_range_root(middle, end, node))
            end = middle
        else:
            proof.append(_range_root(start, middle, node))
            start = middle
    if start:  # else the old tree is a subtree whose hash is the old root, which the verifier has
        proof.append(_range_root(start, end, node))
    return proof[::-1]


def inclusion_fault(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> str | None:
    """Why `proof` does not show that the leaf hash is at `index` in the tree of this size and root; None if it does."""
    if not 0 <= index < size:
        return f"there is no leaf {index} in a tree of {size}"
    if not _are_hashes([leaf, root, *proof]):
        return f"a hash has {HASH_BYTES} bytes, and one of these has not"
    found, position, last = leaf, index, size - 1
    for sibling in proof:
        if not last:
            return "the proof is too long"
        if position & 1 or position == last:
            found = node_hash(sibling, found)
            position, last = _up_to_left_sibling(position, last)
        else:
            found = node_hash(found, sibling)
        position, last = position >> 1, last >> 1
    if last:
        return "the proof is too short"
    return None if found == root else "the proof leads to another root"


def consistency_fault(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> str | None:
    """Why `proof` does not show that the old tree is the beginning of the new one; None if it does."""
    if not 0 <= old <= new:
        return f"a tree of {new} does not begin with one of {old}"
    if not _are_hashes([old_root, new_root, *proof]):
        return f"a hash has {HASH_BYTES} bytes, and one of these has not"
    if old == new or not old:
        return _trivial_fault(old, new, old_root, new_root, proof)
    if not proof:
        return "the proof is empty"
    return _grown_fault(old, new, old_root, new_root, proof)


def tiles_completed(size: int) -> list[tuple[int, int]]:
    """The tiles, lowest first, that the last of `size` leaves made complete; none for most sizes."""
    tiles = []
    level, index = TILE_LEVELS, size
    while index and index % TILE_WIDTH == 0:
        index //= TILE_WIDTH
        tiles.append((level, index - 1))
        level += TILE_LEVELS
    return tiles


def completed_tiles(size: int, below: Callable[[int, int], Sequence[bytes]]) -> list[tuple[int, int, bytes]]:
    """(level, index, hash) of the tiles that the last of `size` leaves made complete, lowest first.

    `below` gives the hashes that are kept of one level (0: the leaves), from an index on. A tile with others missing
    below it, as in a log that was begun without tiles, is left out, and so are those above it.
    """
    made: list[tuple[int, int, bytes]] = []
    for level, index in tiles_completed(size):
        children = [*below(level - TILE_LEVELS, index << TILE_LEVELS), *(digest for _, _, digest in made[-1:])]
        if len(children) != TILE_WIDTH:
            break
        made.append((level, index, tile_hash(children)))
    return made


def tile_hash(children: Sequence[bytes]) -> bytes:
    """The hash of a tile from the 256 hashes (leaves or tiles) directly below it."""
    assert len(children) == TILE_WIDTH, f"BUG: a tile has {TILE_WIDTH} children"
    return complete_root(children)


def _range_root(start: int, end: int, node: NodeAt) -> bytes:
    """The hash over leaves [start, end), where `start` is a multiple of a power of two that holds the range."""
    hashes = [node(level, index) for level, index in _complete_subtrees(start, end)]
    root = hashes.pop()
    while hashes:
        root = node_hash(hashes.pop(), root)
    return root


def _complete_subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        level = (end - start).bit_length() - 1
        yield level, start >> level
        start += 1 << level


def _split(size: int) -> int:
    """The largest power of two below `size`: how many leaves the left subtree has."""
    return 1 << ((size - 1).bit_length() - 1)


def _up_to_left_sibling(position: int, last: int) -> tuple[int, int]:
    """Climb from the right-most node to where it is a right child: levels that it has alone have no sibling."""
    while not position & 1 and position:
        position, last = position >> 1, last >> 1
    return position, last


def _trivial_fault(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> str | None:
    if proof:
        return "the proof is too long"
    if not old and old_root != EMPTY_ROOT:
        return "an empty tree has another root"
    return "the roots of one size differ" if old == new and old_root != new_root else None


def _grown_fault(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> str | None:
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    # Where the old tree is one complete subtree, its root is where both paths begin.
    begin, rest = (proof[0], proof[1:]) if position else (old_root, proof)
    from_old = from_new = begin
    for sibling in rest:
        if not last:
            return "the proof is too long"
        if position & 1 or position == last:
            from_old, from_new = node_hash(sibling, from_old), node_hash(sibling, from_new)
            position, last = _up_to_left_sibling(position, last)
        else:
            from_new = node_hash(from_new, sibling)
        position, last = position >> 1, last >> 1
    if last:
        return "the proof is too short"
    if from_old != old_root:
        return "the proof leads to another old root"
    return None if from_new == new_root else "the proof leads to another new root"


def _are_hashes(hashes: Sequence[bytes]) -> bool:
    return all(len(item) == HASH_BYTES for item in hashes)
