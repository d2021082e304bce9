"""The log as an RFC 6962 tree: its roots and proofs, from the leaves of its events and the tiles that are kept.

A tile is read where it is kept and made from what is below it where it is not, so the
answers never depend on which are kept; `check_tiles` compares them with the leaves.
"""

from __future__ import annotations

from collections.abc import Iterator

from asg_mcp.core import merkle
from asg_mcp.core.events import EventKind
from asg_mcp.core.merkle import TILE_LEVELS, TILE_WIDTH, NodeAt, complete_root, tile_hash
from asg_mcp.core.notes import Checkpoint
from asg_mcp.errors import StoreCorrupt
from asg_mcp.repo.ledger import EVENT_KINDS
from asg_mcp.storage.base import Reader, TermKind

ORIGIN = "asg-mcp/"
ORIGIN_DIGITS = 32
"""Of a leaf, 128 bits: two stores never have one origin by chance."""
INCARNATION = "log:incarnation"
"""The subject of the events that give the log a new name."""
_PAGE = 100

Tile = tuple[int, int, bytes]
"""Level, index, hash."""


def log_origins(reader: Reader, size: int | None = None) -> tuple[str, ...]:
    """The names that the log had up to its first `size` events (None: all), the first one first.

    Each is made from the event that it begins with, so whoever has that event can tell whose log it is: the first event
    of the store, and each that restored it from a copy. The copy's own log goes on under the old name, and one name and
    size must never have two roots.
    """
    before = reader.events_count() if size is None else size
    found = [_origin(reader, 0)]
    after = 0
    while page := reader.find((TermKind.SUBJECT, INCARNATION), before, _PAGE, after=after):
        for index in page:
            event = reader.event(index)
            if event is not None and EVENT_KINDS[event.kind] is EventKind.RESTORED:
                found.append(_origin(reader, index))
        after = page[-1]
    return tuple(found)


def log_origin(reader: Reader, size: int | None = None) -> str:
    """The name of the log when it had `size` events; None: as it is now. See `log_origins`."""
    return log_origins(reader, size)[-1]


def _origin(reader: Reader, index: int) -> str:
    return ORIGIN + leaf_at(reader, index).hex()[:ORIGIN_DIGITS]


def log_root(reader: Reader, size: int, *, trusted: int | None = None) -> bytes:
    """The root over the first `size` events, which must be there.

    With `trusted` no tile is used that covers more than the first so many: all behind them is hashed again.
    """
    return merkle.tree_root(size, _node_of(reader, trusted))


def checkpoint_at(reader: Reader, size: int, *, trusted: int | None = None, named_at: int | None = None) -> Checkpoint:
    """What the log was when it had `size` events; see `log_root`. Its name is that at `named_at` (None: now)."""
    return Checkpoint(log_origin(reader, named_at), size, log_root(reader, size, trusted=trusted))


def inclusion_proof(reader: Reader, index: int, size: int) -> list[bytes]:
    """That event `index` is in the tree of the first `size` events; see `merkle.inclusion_fault`."""
    return merkle.inclusion_proof(index, size, _node_of(reader))


def consistency_proof(reader: Reader, old: int, new: int) -> list[bytes]:
    """That the tree of `old` events is the beginning of that of `new`; see `merkle.consistency_fault`."""
    return merkle.consistency_proof(old, new, _node_of(reader))


def subtree_hash(reader: Reader, level: int, index: int) -> bytes:
    """The hash of a complete subtree: leaves [index · 2^level, (index + 1) · 2^level), which must be there."""
    return _node_of(reader)(level, index)


def leaf_at(reader: Reader, index: int) -> bytes:
    """The leaf hash of an event. Raises StoreCorrupt when it is missing."""
    event = reader.event(index)
    if event is None:
        raise StoreCorrupt(f"event {index} is missing", kind="event", row=index)
    return event.leaf


class TileReplay:
    """Makes the tiles of a log again from its leaves, one leaf after the other. Keeps at most 256 hashes a level."""

    def __init__(self) -> None:
        self._open: list[list[bytes]] = [[]]
        """For each tiled level, the hashes since its last complete tile."""
        self._size = 0

    def add(self, leaf: bytes) -> list[Tile]:
        """The tiles that this leaf hash completes, lowest first."""
        self._size += 1
        self._open[0].append(leaf)
        made: list[Tile] = []
        for level, index in merkle.tiles_completed(self._size):
            below = level // TILE_LEVELS - 1
            digest = tile_hash(self._open[below])
            self._open[below] = []
            if below + 1 == len(self._open):
                self._open.append([])
            self._open[below + 1].append(digest)
            made.append((level, index, digest))
        return made


def tile_fault(reader: Reader, tile: Tile) -> str | None:
    """How the kept tile differs from one that was made again; None where it is equal, or not kept."""
    level, index, digest = tile
    kept = reader.tile(level, index)
    return None if kept in (None, digest) else f"Tile {index} of level {level} is not the hash of what is below it"


def check_tiles(reader: Reader) -> str | None:
    """What is wrong with the first tile that is; None when all are right. O(n)."""
    size = reader.events_count()
    for tile in _made_again(reader, size):
        fault = tile_fault(reader, tile)
        if fault:
            return fault
    level = TILE_LEVELS
    while size:
        size //= TILE_WIDTH
        if reader.tile(level, size) is not None:
            return f"Tile {size} of level {level} covers more events than there are"
        level += TILE_LEVELS
    return None


def _made_again(reader: Reader, size: int) -> Iterator[Tile]:
    replay = TileReplay()
    for index in range(size):
        yield from replay.add(leaf_at(reader, index))


def _node_of(reader: Reader, trusted: int | None = None) -> NodeAt:
    def node(level: int, index: int) -> bytes:
        if level == 0:
            return leaf_at(reader, index)
        above = level % TILE_LEVELS
        if not above:
            kept = reader.tile(level, index)
            if kept is not None and (trusted is None or (index + 1) << level <= trusted):
                return kept
            above = TILE_LEVELS
        first = index << above
        return complete_root([node(level - above, place) for place in range(first, first + (1 << above))])

    return node
