"""The writer keeps the tiles of the log as it grows, in the transaction that makes each complete."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path

import anyio
import pytest

from asg_mcp.core.events import EventKind
from asg_mcp.core.merkle import complete_root, leaf_hash, root_of_leaves
from asg_mcp.errors import StoreCorrupt
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.logtree import TileReplay, check_tiles, leaf_at, log_root
from asg_mcp.storage.base import Writer
from asg_mcp.storage.sqlite import open_store
from tests.repo.stores import ALICE, made_store
from tests.repo.tiles import missing_tiles


def append(count: int, writer: Writer) -> None:
    """So many events in one transaction."""
    for number in range(count):
        log_event(writer, EventKind.REF_DELETED, ALICE, subject=f"s{number}")


@pytest.mark.parametrize("sizes", [[254], [255], [254, 1, 3, 300], [700, 68], [1_100]])
async def test_each_tile_is_kept_however_events_fall_into_transactions(tmp_path: Path, sizes: list[int]) -> None:
    async with made_store(tmp_path) as made:
        for size in sizes:
            await made.store.write(partial(append, size))
        with made.store.reading() as reader:
            assert missing_tiles(reader) == []
            assert check_tiles(reader) is None
            count = reader.events_count()
            assert (reader.tile(8, 0) is None) is (count < 256)
            assert log_root(reader, count) == root_of_leaves([leaf_at(reader, index) for index in range(count)])


async def test_transactions_of_one_batch_make_their_tiles_together(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        async with anyio.create_task_group() as group:
            for _ in range(60):
                group.start_soon(made.store.write, partial(append, 9))
        with made.store.reading() as reader:
            assert missing_tiles(reader) == []
            assert check_tiles(reader) is None


async def test_a_refused_transaction_leaves_no_tile(tmp_path: Path) -> None:
    def refuse(writer: Writer) -> None:
        append(600, writer)
        raise KeyError("refused")

    async with made_store(tmp_path) as made:
        with pytest.raises(KeyError):
            await made.store.write(refuse)
        with made.store.reading() as reader:
            assert reader.tile(8, 0) is None
        await made.store.write(partial(append, 600))
        with made.store.reading() as reader:
            assert check_tiles(reader) is None
            assert missing_tiles(reader) == []


async def test_a_tile_of_tiles_is_kept_too(tmp_path: Path) -> None:
    async with made_store(tmp_path):
        pass
    path, replay = tmp_path / "state.db", TileReplay()
    with closing(sqlite3.connect(path)) as database, database:
        [(first,)] = database.execute("SELECT leaf FROM events")
        leaves = [first] + [leaf_hash(b"%d" % number) for number in range(1, 65_300)]
        database.executemany(
            "INSERT INTO events (id, kind, ref, ref_kind, leaf) VALUES (?, 1, 1, 0, ?)", list(enumerate(leaves))[1:]
        )
        tiles = [tile for leaf in leaves for tile in replay.add(leaf)]
        database.executemany("INSERT INTO tiles (level, place, digest) VALUES (?, ?, ?)", tiles)
    store = await open_store(path)
    try:
        await store.write(partial(append, 230))
        await store.write(partial(append, 30))
        with store.reading() as reader:
            leaves += [leaf_at(reader, index) for index in range(65_300, 65_536)]
            assert reader.tile(16, 0) == complete_root(leaves)
            assert [reader.tile(8, index) for index in (254, 255)] == [
                complete_root(leaves[65_024:65_280]),
                complete_root(leaves[65_280:]),
            ]
    finally:
        await store.close()


# --- tiles that are there before their events ---------------------------------------


def keep_tile(path: Path, level: object, place: int, digest: object) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO tiles (level, place, digest) VALUES (?, ?, ?)", (level, place, digest))


async def test_a_tile_that_is_there_already_and_is_right_stops_nobody(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.store.write(partial(append, 260))
        with made.store.reading() as reader:
            digest = reader.tile(8, 0)
        assert digest is not None
        await made.store.write(lambda writer: writer.put_tile(8, 0, digest))
        await made.store.write(partial(append, 300))
        with made.store.reading() as reader:
            assert check_tiles(reader) is None
        assert made.store.integrity() == []


@pytest.mark.parametrize("digest", [bytes(32), b"short", "no hash", 7])
async def test_a_wrong_tile_ahead_of_its_events_is_named_with_what_to_do(tmp_path: Path, digest: object) -> None:
    async with made_store(tmp_path) as made:
        keep_tile(tmp_path / "state.db", 8, 0, digest)
        await made.store.write(partial(append, 254))
        for _ in range(2):
            with pytest.raises(StoreCorrupt, match="Tile 0 of level 8 ") as caught:
                await made.store.write(partial(append, 1))
            assert "asg-mcp verify" in caught.value.hint
            assert "asg-mcp restore FILE" in caught.value.hint
        with made.store.reading() as reader:
            assert reader.events_count() == 255


@pytest.mark.parametrize(
    ("level", "place", "digest", "told"),
    [
        (8, 0, bytes(32), "covers more events than there are (1)"),
        (8, 5, bytes(32), "covers more events than there are (1)"),
        (16, 0, bytes(32), "covers more events than there are (1)"),
        (72, 0, bytes(32), "covers more events than there are (1)"),
        (0, 0, bytes(32), "is none that a log can have"),
        (7, 0, bytes(32), "is none that a log can have"),
        (8, -1, bytes(32), "is none that a log can have"),
        (-8, 0, bytes(32), "is none that a log can have"),
        ("x", 0, bytes(32), "is none that a log can have"),
    ],
)
async def test_a_stray_tile_is_found_wherever_it_is(
    tmp_path: Path, level: object, place: int, digest: object, told: str
) -> None:
    async with made_store(tmp_path) as made:
        assert made.store.integrity() == []
        keep_tile(tmp_path / "state.db", level, place, digest)
        assert made.store.integrity() == [f"Tile {place} of level {level} of the log's tree {told}"]


async def test_a_kept_tile_that_is_no_hash_is_found(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.store.write(partial(append, 300))
        with closing(sqlite3.connect(tmp_path / "state.db")) as database, database:
            database.execute("UPDATE tiles SET digest = x'00'")
        assert made.store.integrity() == ["Tile 0 of level 8 of the log's tree is none that a log can have"]
