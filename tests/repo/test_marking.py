"""The high-water mark follows what is written, is never ahead of it, and tells an older copy."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from asg_mcp.core.notes import Note, VerifierKey
from asg_mcp.errors import StoreBehind
from asg_mcp.repo import marking
from asg_mcp.repo.marking import Mark, MarkedSigner, Marker, mark_fault, mark_of
from asg_mcp.repo.restoring import start_incarnation
from asg_mcp.services.signing import PassingKey
from tests.repo.stores import ALICE, Made, made_store

WAIT_SECONDS_MAX = 30.0


class Kept:
    """Marks in memory; each is compared with the file when it comes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.marks: list[Mark] = []
        self.fails = False
        self._loop = asyncio.get_running_loop()
        self._came = asyncio.Event()

    def held(self, store: str) -> Mark | None:
        return next((mark for mark in self.marks[::-1] if mark.origins[0] == store), None)

    def raise_to(self, mark: Mark) -> None:
        with closing(sqlite3.connect(self.path)) as db:
            assert db.execute("SELECT count(*) FROM events").fetchone()[0] >= mark.size, "ahead of the file"
        if not self.fails:
            self.marks.append(mark)
        self._loop.call_soon_threadsafe(self._came.set)
        if self.fails:
            raise PermissionError(13, "Permission denied")

    async def one_came(self) -> None:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            await self._came.wait()
        self._came.clear()


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    async with made_store(tmp_path) as store:
        yield store


@pytest.fixture
async def kept(made: Made) -> Kept:
    return Kept(made.store.path)


@pytest.fixture
async def marker(made: Made, kept: Kept) -> AsyncIterator[Marker]:
    marker = Marker(made.store, kept)
    made.store.on_durable(marker.wrote)
    yield marker
    await marker.close()


def now(made: Made) -> Mark:
    with made.store.reading() as reader:
        return mark_of(reader)


def fault(made: Made, kept: Kept) -> str | None:
    with made.store.reading() as reader:
        return mark_fault(reader, kept)


@pytest.mark.usefixtures("marker")
async def test_a_mark_follows_a_write_by_itself(made: Made, kept: Kept) -> None:
    await made.set("/a", 1)
    await kept.one_came()
    assert kept.marks == [now(made)]


async def test_writes_in_a_row_share_a_mark_and_closing_leaves_it_exact(
    made: Made, kept: Kept, marker: Marker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marking, "MARK_SECONDS", 3_600.0)
    await made.set("/a", 1)
    await kept.one_came()
    for number in range(50):
        await made.set("/a", number)
    await marker.close()
    assert [mark.size for mark in kept.marks] == [2, now(made).size]
    assert kept.marks[-1] == now(made)


async def test_a_mark_is_moved_again_for_what_was_written_while_it_was_moved(
    made: Made, kept: Kept, monkeypatch: pytest.MonkeyPatch, marker: Marker
) -> None:
    monkeypatch.setattr(marking, "MARK_SECONDS", 0.0)
    for number in range(200):
        await made.set("/a", number)
    while kept.marks[-1:] != [now(made)]:
        await kept.one_came()
    assert [mark.size for mark in kept.marks] == sorted(mark.size for mark in kept.marks)


async def test_nothing_is_marked_where_nothing_was_written(kept: Kept, marker: Marker) -> None:
    await marker.close()
    assert kept.marks == []


async def test_a_mark_that_cannot_be_kept_costs_no_write(
    made: Made, kept: Kept, marker: Marker, caplog: pytest.LogCaptureFixture
) -> None:
    kept.fails = True
    await made.set("/a", 1)
    await kept.one_came()
    await made.set("/a", 2)
    await marker.close()
    assert (kept.marks, now(made).size) == ([], 3)
    assert "was not moved: [Errno 13] Permission denied" in caplog.text


async def test_a_log_that_has_all_that_it_had_is_in_order(made: Made, kept: Kept) -> None:
    assert fault(made, kept) is None
    kept.marks.append(now(made))
    assert fault(made, kept) is None
    for number in range(300):
        await made.set("/a", number)
    assert fault(made, kept) is None


async def test_a_log_that_is_shorter_or_another_one_is_told(made: Made, kept: Kept) -> None:
    await made.set("/a", 1)
    mark = now(made)
    kept.marks = [replace(mark, size=mark.size + 1)]
    assert fault(made, kept) == "its log has 2 events, and had 3"
    with pytest.raises(StoreBehind) as raised:
        Marker(made.store, kept).check()
    assert raised.value.code == "store_behind"
    assert "asg-mcp restore" in raised.value.hint
    kept.marks = [replace(mark, root=bytes(32))]
    assert fault(made, kept) == "its first 2 events are not those that it had"


async def test_an_earlier_incarnation_is_told_and_a_later_one_is_in_order(made: Made, kept: Kept) -> None:
    await made.set("/a", 1)
    before = now(made)
    kept.marks = [replace(before, origins=(*before.origins, "asg-mcp/restored"))]
    assert fault(made, kept) == "it is of incarnation 1, and incarnation 2 was here"
    kept.marks = [replace(before, size=before.size + 50)]  # what was lost when the copy was restored here
    await made.store.write(lambda writer: start_incarnation(writer, ALICE, before))
    assert fault(made, kept) is None
    kept.marks = [replace(before, origins=(*before.origins, "asg-mcp/sibling"))]
    assert fault(made, kept) is None


async def test_damage_is_left_to_verify_and_does_not_keep_a_store_closed(
    made: Made, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    await made.set("/a", 1)
    kept.marks.append(now(made))
    await made.store._thread.run(lambda db: db.execute("DELETE FROM events WHERE id = 0").rowcount)
    Marker(made.store, kept).check()
    assert "was not compared" in caplog.text


class Signing(PassingKey):
    """A key that tells what was marked when it signed."""

    def __init__(self, kept: Kept) -> None:
        super().__init__()
        self.kept = kept
        self.marked: list[int] = []

    def sign(self, name: str, text: str) -> Note:
        self.marked.append(len(self.kept.marks))
        return super().sign(name, text)


async def test_a_checkpoint_is_marked_before_it_is_signed_and_other_texts_are_signed_as_they_are(
    made: Made, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    key = Signing(kept)
    signed = Kept(made.store.path)
    signer = MarkedSigner(key, made.store, kept, signed)
    checkpoint = now(made).checkpoint
    note = signer.sign("n", checkpoint.text)
    assert (key.marked, kept.marks, signed.marks) == ([1], [now(made)], [now(made)])
    verifier: VerifierKey = signer.key("n")
    assert signer.is_signed(note, verifier)
    kept.fails = True
    signer.sign("n", checkpoint.text)
    assert "was not moved before a signature" in caplog.text
    signer.sign("n", "a text\n")
    assert key.marked == [1, 1, 1]


async def test_nothing_is_signed_of_a_log_that_its_mark_contradicts(made: Made, kept: Kept) -> None:
    key = Signing(kept)
    kept.marks = [replace(now(made), root=bytes(32))]
    with pytest.raises(StoreBehind, match="Nothing is signed"):
        MarkedSigner(key, made.store, kept, Kept(made.store.path)).sign("n", now(made).checkpoint.text)
    with pytest.raises(StoreBehind, match="another copy of the store"):
        MarkedSigner(key, made.store, Kept(made.store.path), kept).sign("n", now(made).checkpoint.text)
    assert key.marked == []
