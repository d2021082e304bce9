"""A store of every earlier layout of the database opens, keeps what it holds, and can be written on."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asg_mcp.storage.schema import MIGRATIONS
from tests.repo.desk import open_desk

FIXTURES = Path(__file__).parent / "fixtures"
EARLIER = range(1, len(MIGRATIONS))
HEADS = {
    "main": "e13aa2901fd7892a60b9e8a5f8c6166851253d4a34f69c33f14164eb5fdf7f1a",
    "dev": "71b10e810538a71e6ba85cfca88b32ae27cd8264ca39860bc9448b1f6c51764f",
}
"""What the story of the fixtures ended with: one store, grown by the program of each layout."""


def test_there_is_a_store_of_every_earlier_layout() -> None:
    found = {path.name for path in FIXTURES.glob("layout-*.bin")}
    assert found == {f"layout-{number}.bin" for number in EARLIER}


@pytest.mark.parametrize("layout", EARLIER)
async def test_a_store_of_an_earlier_layout_is_read_written_and_verified(layout: int, tmp_path: Path) -> None:
    shutil.copy(FIXTURES / f"layout-{layout}.bin", tmp_path / "state.db")
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (layout,)
    async with open_desk(tmp_path) as desk:
        for ref, head in HEADS.items():
            assert (await desk.get("/", ref)).commit.hex() == head
        assert await desk.value("/cluster/node-2/status") == "ready"
        assert await desk.value("/notes", "dev") == "x" * 5000
        assert (await desk.blame("/cluster/node-2/status"))[0].commit.agent == "fixer"
        await desk.set("/cluster/node-3", {"status": "new"})
    async with open_desk(tmp_path) as desk:
        assert (await desk.repo.verify(lambda *_: None)).problems == ()
        assert await desk.value("/cluster/node-3/status") == "new"
    with closing(sqlite3.connect(tmp_path / "state.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
        assert db.execute("SELECT v FROM texts_config WHERE k = 'pgsz'").fetchone() == (1_000,)
