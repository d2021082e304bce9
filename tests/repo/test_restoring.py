"""A new incarnation: the log goes on under a new name, and what was signed under the old one stays verified."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asg_mcp.core.events import EventKind
from asg_mcp.core.notes import parse_checkpoint, parse_note
from asg_mcp.errors import StorageError, StoreCorrupt
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.logtree import INCARNATION, checkpoint_at, leaf_at, log_origin, log_origins
from asg_mcp.repo.marking import Mark, mark_of
from asg_mcp.repo.restoring import start_incarnation
from asg_mcp.storage.base import TermKind
from asg_mcp.storage.session import term_number
from tests.repo.stores import ALICE
from tests.services.epochs_desk import EpochDesk, open_epoch_desk


def silent(_: str, __: int, ___: int) -> None:
    """Progress that nobody watches."""


def mark(desk: EpochDesk) -> Mark:
    with desk.store.reading() as reader:
        return mark_of(reader)


async def begin_again(desk: EpochDesk) -> Mark:
    """A new incarnation, at a place without a key; the mark of before."""
    before = mark(desk)
    await desk.store.write(lambda writer: start_incarnation(writer, ALICE, before))
    desk.keys.path.unlink(missing_ok=True)
    return before


async def test_each_incarnation_has_a_name_made_from_the_event_it_begins_with(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.commit()
        befores = [await begin_again(desk)]
        await desk.commit()
        befores.append(await begin_again(desk))
        now = mark(desk)
        assert [len(one.origins) for one in (*befores, now)] == [1, 2, 3]
        assert now.origins[:2] == befores[1].origins
        with desk.store.reading() as reader:
            for origin, index in zip(now.origins, (0, befores[0].size, befores[1].size), strict=True):
                assert origin == f"asg-mcp/{leaf_at(reader, index).hex()[:32]}"
            assert log_origin(reader, befores[1].size) == befores[1].origins[-1]
            assert log_origins(reader, 1) == now.origins[:1]
            old = checkpoint_at(reader, befores[0].size, named_at=befores[0].size)
            assert old == befores[0].checkpoint
        assert (await desk.repo.verify(silent)).problems == ()


async def test_work_that_is_called_like_an_incarnation_begins_none(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.store.write(
            lambda writer: log_event(writer, EventKind.OUTCOME, ALICE, subject=INCARNATION, body={"summary": "Done."})
        )
        assert len(mark(desk).origins) == 1
        await begin_again(desk)
        assert len(mark(desk).origins) == 2


async def test_an_incarnation_that_the_index_has_lost_is_found_by_verify(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        before = await begin_again(desk)
        with closing(sqlite3.connect(desk.store.path)) as db, db:
            term = term_number((TermKind.SUBJECT, INCARNATION))
            assert db.execute("DELETE FROM terms WHERE term = ? AND seq = ?", (term, before.size)).rowcount == 1
        [problem] = (await desk.repo.verify(silent)).problems
        assert (problem.kind, problem.what) == ("index", f"event {before.size}")


async def test_the_first_event_of_an_incarnation_names_the_checkpoint_it_goes_on_from(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.commit()
        before = await begin_again(desk)
        with desk.store.reading() as reader:
            row = reader.event(before.size)
            assert row is not None
            assert row.data is not None
            body = row.data[7]
            assert body == {
                "incarnation": 2,
                "origin": before.origins[0],
                "size": before.size,
                "root": before.root.hex(),
                "last_at": reader.commit(reader.last_seq()).at,
            }


async def test_two_restores_of_one_copy_never_share_a_name(tmp_path: Path) -> None:
    """Their events differ by their salts, even where all else is equal."""
    names = set()
    (tmp_path / "one").mkdir()
    async with open_epoch_desk(tmp_path / "one") as desk:
        await desk.commit()
    for place in ("two", "three"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "state.db").write_bytes((tmp_path / "one" / "state.db").read_bytes())
        async with open_epoch_desk(tmp_path / place) as desk:
            await begin_again(desk)
            names.add(mark(desk).origins)
    assert len(names) == 2


async def test_a_store_that_is_not_the_copy_begins_no_incarnation(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        before = mark(desk)
        await desk.commit()
        with pytest.raises(StoreCorrupt, match="under another root"):
            await desk.store.write(lambda writer: start_incarnation(writer, ALICE, before))
        assert mark(desk).origins == before.origins


async def test_what_was_sealed_before_stays_verified_and_new_seals_are_under_the_new_name(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("before")
        await desk.open("after")
        await desk.commit()
        old = await desk.seal("before")
        await begin_again(desk)
        await desk.commit()
        new = await desk.seal("after")
        assert (await desk.repo.verify(silent)).problems == ()
        for info, origin in ((old, mark(desk).origins[0]), (new, mark(desk).origins[1])):
            for note in (info.opening, info.checkpoint):
                assert parse_checkpoint(parse_note(note.encode()).text).origin == origin


async def test_the_key_of_the_old_name_signs_nothing_under_the_new_one(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("one")
        await desk.seal("one")
        key = desk.keys.path.read_bytes()
        await begin_again(desk)
        desk.keys.path.write_bytes(key)
        desk.keys.path.chmod(0o600)
        await desk.open("two")
        with pytest.raises(StorageError, match="is the key of the log"):
            await desk.seal("two")
