"""Which tiles a log should keep and does not."""

from __future__ import annotations

from asg_mcp.repo.logtree import TileReplay, leaf_at
from asg_mcp.storage.base import Reader


def missing_tiles(reader: Reader) -> list[tuple[int, int]]:
    """The level and place of each complete tile that is not kept."""
    replay = TileReplay()
    made = (tile for index in range(reader.events_count()) for tile in replay.add(leaf_at(reader, index)))
    return [(level, place) for level, place, _ in made if reader.tile(level, place) is None]
