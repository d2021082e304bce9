"""The log's tree: roots and proofs are those of its leaves, whichever tiles are kept."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asg_mcp.core.merkle import (
    consistency_fault,
    inclusion_fault,
    leaf_hash,
    root_of_leaves,
    tile_hash,
    tiles_completed,
)
from asg_mcp.errors import StoreCorrupt
from asg_mcp.repo.ledger import event_of
from asg_mcp.repo.logtree import (
    TileReplay,
    check_tiles,
    checkpoint_at,
    consistency_proof,
    inclusion_proof,
    leaf_at,
    log_origin,
    log_root,
    tile_fault,
)
from asg_mcp.storage.base import EventRow, Reader, RefKind
from tests.repo.stores import made_store

LEAVES = [leaf_hash(b"event %d" % number) for number in range(1_500)]


class Log:
    """As much of a reader as the tree of the log asks for."""

    def __init__(self, size: int, kept: Iterable[tuple[int, int]] = ()) -> None:
        self.size = size
        self.tiles = {(level, index): self._tile(level, index) for level, index in kept}
        self.asked = 0

    def _tile(self, level: int, index: int) -> bytes:
        return root_of_leaves(LEAVES[index << level : (index + 1) << level])

    def events_count(self) -> int:
        return self.size

    def event(self, index: int) -> EventRow | None:
        self.asked += 1
        return EventRow(index, 1, "", RefKind.BRANCH, None, None, LEAVES[index], []) if index < self.size else None

    def tile(self, level: int, index: int) -> bytes | None:
        return self.tiles.get((level, index))


def log_of(size: int, kept: Iterable[tuple[int, int]] = ()) -> Reader:
    return cast(Reader, Log(size, kept))


SIZES = st.integers(1, len(LEAVES))
KEPT = st.sets(st.integers(0, len(LEAVES) // 256 - 1)).map(lambda places: [(8, place) for place in places])


@settings(max_examples=30, deadline=None)
@given(SIZES, KEPT)
def test_a_root_is_that_of_the_leaves_whichever_tiles_are_kept(size: int, kept: list[tuple[int, int]]) -> None:
    assert log_root(log_of(size, [tile for tile in kept if (tile[1] + 1) << 8 <= size]), size) == root_of_leaves(
        LEAVES[:size]
    )


@settings(max_examples=30, deadline=None)
@given(st.data(), KEPT)
def test_proofs_hold_whichever_tiles_are_kept(data: st.DataObject, kept: list[tuple[int, int]]) -> None:
    size = data.draw(SIZES)
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(0, size))
    reader = log_of(len(LEAVES), kept)
    root = log_root(reader, size)
    assert inclusion_fault(index, size, LEAVES[index], inclusion_proof(reader, index, size), root) is None
    proof = consistency_proof(reader, old, size)
    assert consistency_fault(old, size, log_root(reader, old), root, proof) is None


def test_a_root_and_a_proof_read_a_part_of_the_log_that_does_not_grow_with_it() -> None:
    log = Log(1_400, [(8, place) for place in range(5)])
    reader = cast(Reader, log)
    log_root(reader, 1_400)
    assert log.asked == 1_400 - 5 * 256
    log.asked = 0
    inclusion_proof(reader, 700, 1_400)
    assert log.asked <= 2 * 256


@settings(max_examples=20, deadline=None)
@given(SIZES)
def test_replayed_tiles_are_those_that_each_size_completes(size: int) -> None:
    replay = TileReplay()
    for count in range(1, size + 1):
        made = replay.add(LEAVES[count - 1])
        assert [(level, index) for level, index, _ in made] == tiles_completed(count)
        assert all(digest == tile_hash(LEAVES[index << 8 : (index + 1) << 8]) for _, index, digest in made)


def test_a_replay_makes_tiles_of_tiles() -> None:
    replay = TileReplay()
    made = [tile for _ in range(2 * 65_536) for tile in replay.add(LEAVES[0])]
    low = tile_hash([LEAVES[0]] * 256)
    assert {digest for level, _, digest in made if level == 8} == {low}
    assert [tile for tile in made if tile[0] == 16] == [
        (16, 0, tile_hash([low] * 256)),
        (16, 1, tile_hash([low] * 256)),
    ]


def test_tiles_are_right_when_all_some_or_none_are_kept() -> None:
    for kept in ([], [(8, 1)], [(8, place) for place in range(4)]):
        assert check_tiles(log_of(1_100, kept)) is None


def test_a_tile_of_another_hash_and_one_beyond_the_log_are_found() -> None:
    wrong = Log(1_100, [(8, 0), (8, 3)])
    wrong.tiles[8, 3] = LEAVES[0]
    assert "Tile 3 of level 8" in (check_tiles(cast(Reader, wrong)) or "")
    assert tile_fault(cast(Reader, wrong), (8, 0, LEAVES[0]))
    beyond = log_of(1_100, [(8, 4)])
    assert "covers more events" in (check_tiles(beyond) or "")


def test_a_log_with_a_hole_has_no_root() -> None:
    with pytest.raises(StoreCorrupt, match="event 7 is missing"):
        log_root(log_of(7), 8)


async def test_the_log_of_a_store_has_the_root_over_the_headers_of_its_events(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        for number in range(300):
            await made.set("/n", number)
        with made.store.reading() as reader:
            size = reader.events_count()
            leaves = []
            for index in range(size):
                row = reader.event(index)
                assert row is not None
                leaves.append(event_of(reader, row).leaf_hash())
            assert size > 300
            assert log_root(reader, size) == root_of_leaves(leaves)
            assert check_tiles(reader) is None
            checkpoint = checkpoint_at(reader, 257)
            assert checkpoint.origin == log_origin(reader) == f"asg-mcp/{leaf_at(reader, 0).hex()[:32]}"
            assert (checkpoint.size, checkpoint.root) == (257, root_of_leaves(leaves[:257]))
