"""What every backend promises: views of one moment, all or nothing, numbers without gaps, the same answers."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.events import Event, EventKind
from asg_mcp.core.ids import CommitId
from asg_mcp.core.merkle import TILE_WIDTH
from asg_mcp.core.values import encode
from asg_mcp.errors import Conflict, StorageError, StoreCorrupt
from asg_mcp.storage.base import (
    CommitRow,
    Reader,
    Record,
    RecordKind,
    Ref,
    RefKind,
    Store,
    StoredReply,
    TermKind,
    Writer,
)
from asg_mcp.storage.memory import MemoryStore
from asg_mcp.storage.sqlite import open_store
from tests.repo.stores import ALICE


@pytest.fixture(params=["sqlite", "memory"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of each backend."""
    made: Store = MemoryStore() if request.param == "memory" else await open_store(tmp_path / "state.db")
    yield made
    await made.close()


@pytest.fixture
def often_switching() -> Iterator[None]:
    """Threads give way to each other all the time, so that what is not kept apart meets."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def event(index: int, ref: str = "main", subject: str = "") -> Event:
    """An event of the log, with nothing in it that matters here."""
    return Event(EventKind.REF_CREATED, index, ref, "branch", None, None, ALICE, 1, subject)


def commit(seq: int, *parents: int, at: int = 0, number: int = 0) -> CommitRow:
    """A commit with an id of its own."""
    digest = bytes([seq]) * 4 + number.to_bytes(4, "big") + bytes(24)
    return CommitRow(seq, CommitId.from_digest(digest), parents, at or seq, 7, [seq, {"text": "t" * seq}])


def put_commits(*rows: CommitRow, text: str = "") -> Callable[[Writer], None]:
    """A transaction that stores commits under one term."""

    def work(writer: Writer) -> None:
        for row in rows:
            writer.put_commit(row, [(TermKind.TAG, "x"), (TermKind.TAG, "x")], text or f"words number{row.seq}")

    return work


def found(store: Store, look: Callable[[Reader], Any]) -> Any:
    """What one view says."""
    with store.reading() as reader:
        return look(reader)


def whole(reader: Reader) -> Any:
    """Everything a view has to tell, as far as these tests write it."""
    return {
        "refs": reader.refs("", "", 100),
        "commits": [reader.commit(seq) for seq in range(1, reader.last_seq() + 1)],
        "parents": list(reader.parents_after(0)),
        "between": reader.seqs_between(None, None),
        "events": [reader.event(index) for index in range(reader.events_count())],
        "records": [reader.records(kind, 1_000, 100) for kind in RecordKind],
        "terms": [reader.find((kind, "x"), 1_000, 100) for kind in TermKind],
        "texts": reader.find_text(["words"], 1_000, 100),
        "replies": reader.replies(b"", 100),
        "tile": reader.tile(8, 0),
    }


def write_all(number: int) -> Callable[[Writer], None]:
    """A transaction with rows of every kind."""

    def work(writer: Writer) -> None:
        row = commit(writer.last_seq() + 1, number=number)
        writer.put_commit(row, [(TermKind.TAG, "x")], f"words {number}")
        writer.swap_ref(None, Ref(f"ref{number}", RefKind.BRANCH, row.seq))
        for _ in range(200):
            index = writer.events_count()
            writer.append_event(event(index, "x"), 0, None, row.seq, [index, {}])
        writer.put_record(Record(RecordKind.EPOCH, f"key{number}", writer.events_count() - 1, 5, {"n": number}))
        writer.put_reply("ana", f"r{number}", StoredReply(b"f" * 16, [number]))

    return work


# --- transactions ---------------------------------------------------------------


async def test_a_view_keeps_its_moment_while_others_write(store: Store) -> None:
    await store.write(write_all(1))
    with store.reading() as reader:
        before = whole(reader)
        # The writer has its own thread or task: the block is held open around a whole write on purpose.
        await store.write(write_all(2))
        assert whole(reader) == before
        assert reader.ref("ref2") is None
        assert reader.reply("ana", "r2") is None
        assert reader.record(RecordKind.EPOCH, "key2") is None
        assert reader.refs_count("", None) == 1
    after = found(store, whole)
    assert after != before
    assert after["tile"] is not None
    assert [ref.name for ref in after["refs"]] == ["ref1", "ref2"]


async def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    await store.write(write_all(1))
    before = found(store, whole)

    def fails(writer: Writer) -> None:
        write_all(2)(writer)
        writer.put_node(writer.next_row(), b"", None)  # type: ignore[arg-type]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await store.write(fails)
    assert found(store, whole) == before
    await store.write(write_all(3))
    assert found(store, lambda reader: reader.last_seq()) == 2


async def test_writers_that_wait_together_all_have_their_turn(store: Store, often_switching: None) -> None:
    await asyncio.gather(*[store.write(write_all(number)) for number in range(20)])
    assert found(store, lambda reader: reader.last_seq()) == 20
    assert found(store, lambda reader: reader.refs_count("ref", RefKind.BRANCH)) == 20
    assert found(store, lambda reader: reader.refs_count("ref", RefKind.TAG)) == 0


async def test_what_is_staged_can_be_read_where_the_contract_says_so(store: Store) -> None:
    def work(writer: Writer) -> None:
        first, last = writer.last_seq(), writer.events_count()
        number = writer.intern("a new name")
        assert writer.name(number) == "a new name"
        assert writer.intern("a new name") == number
        write_all(1)(writer)
        assert (writer.last_seq(), writer.events_count()) == (first + 1, last + 200)
        held = writer.record(RecordKind.EPOCH, "key1")
        assert held is not None
        assert held.data == {"n": 1}
        assert writer.now() == writer.now()
        assert writer.salt() != writer.salt()

    await store.write(work)
    assert found(store, lambda reader: reader.name(1)) == "a new name"


async def test_numbers_of_rows_are_never_given_out_twice(store: Store) -> None:
    taken = [await store.write(lambda writer: [writer.next_row() for _ in range(3)]) for _ in range(3)]
    numbers = [number for batch in taken for number in batch]
    assert len(set(numbers)) == 9
    assert numbers == sorted(numbers)


async def test_a_ref_moves_only_from_where_it_is(store: Store) -> None:
    main = Ref("main", RefKind.BRANCH, 1)
    await store.write(lambda writer: writer.swap_ref(None, main))
    for old, new in ((None, main), (replace(main, seq=2), main), (replace(main, kind=RefKind.TAG), None)):
        with pytest.raises(Conflict, match="no longer"):
            await store.write(lambda writer, old=old, new=new: writer.swap_ref(old, new))  # type: ignore[misc]
    await store.write(lambda writer: writer.swap_ref(main, replace(main, seq=5)))
    assert found(store, lambda reader: reader.ref("main")) == replace(main, seq=5)
    await store.write(lambda writer: writer.swap_ref(replace(main, seq=5), None))
    assert found(store, lambda reader: reader.ref("main")) is None


async def test_a_transaction_reads_the_refs_that_it_has_moved(store: Store) -> None:
    main, other = Ref("main", RefKind.BRANCH, 1), Ref("other", RefKind.TAG, 2)
    await store.write(lambda writer: writer.swap_ref(None, main))

    def work(writer: Writer) -> list[list[Ref]]:
        seen = []
        steps = ((main, replace(main, seq=2)), (replace(main, seq=2), None), (None, other), (None, main), (main, None))
        for old, new in steps:
            writer.swap_ref(old, new)
            assert writer.ref((old or other).name if new is None else new.name) == new
            seen.append(writer.refs("", "", 9))
        with pytest.raises(Conflict, match="no longer"):
            writer.swap_ref(main, replace(main, seq=3))
        return seen

    told = await store.write(work)
    assert told == [[replace(main, seq=2)], [], [other], [main, other], [other]]
    assert found(store, lambda reader: reader.refs("", "", 9)) == [other]


async def test_a_view_has_one_time(store: Store) -> None:
    with store.reading() as reader:
        times = {reader.now() for _ in range(5)}
    assert len(times) == 1
    assert await store.write(lambda writer: writer.now()) >= times.pop()


async def test_a_closed_store_neither_reads_nor_writes(store: Store) -> None:
    waiting = asyncio.gather(*[store.write(write_all(number)) for number in range(3)])
    await asyncio.sleep(0)
    await store.close()
    assert await waiting == [None] * 3  # what waited was finished
    with pytest.raises(StorageError, match="closed"), store.reading():
        pass
    with pytest.raises(StorageError, match="closed"):
        await store.write(lambda writer: None)
    await store.close()


# --- reading ----------------------------------------------------------------------


async def test_refs_are_listed_in_order_by_prefix_and_from_a_place_on(store: Store) -> None:
    names = ["a", "a/b", "a/c", "ab", "b", "a.x", "a-1"]

    def work(writer: Writer) -> None:
        for name in names:
            writer.swap_ref(None, Ref(name, RefKind.BRANCH, 1))

    await store.write(work)

    def listed(prefix: str, after: str, limit: int) -> list[str]:
        return [ref.name for ref in found(store, lambda reader: reader.refs(prefix, after, limit))]

    assert listed("", "", 99) == sorted(names)
    assert listed("a", "", 3) == ["a", "a-1", "a.x"]
    assert listed("a", "a.x", 99) == ["a/b", "a/c", "ab"]
    assert listed("a/", "a/b", 99) == ["a/c"]
    assert listed("b", "a", 99) == ["b"]
    assert listed("a", "z", 99) == []
    assert found(store, lambda reader: reader.refs_count("a/", None)) == 2


async def test_commits_are_found_by_number_prefix_time_and_parents(store: Store) -> None:
    rows = [commit(1, at=50), commit(2, 1, at=40), commit(3, 2, 1, at=60), commit(4, 3, at=45)]
    await store.write(put_commits(*rows))

    def look(reader: Reader) -> Any:
        assert [reader.commit(seq) for seq in range(1, 5)] == rows
        assert reader.commit_seqs("030303", 5) == [3]
        assert reader.commit_seqs("0303030300000000", 5) == [3]
        assert reader.commit_seqs("03030304", 5) == []
        assert list(reader.parents_after(2)) == [(3, (2, 1)), (4, (3,))]
        assert reader.seqs_between(45, 50) == (1, 4)
        assert reader.seqs_between(60, None) == (3, 3)
        assert reader.seqs_between(None, 44) == (2, 2)
        assert reader.seqs_between(51, 59) == (1, 0)
        for missing in (0, 5):
            with pytest.raises(StoreCorrupt, match=f"commit {missing} is missing"):
                reader.commit(missing)

    found(store, look)


async def test_the_index_pages_both_ways(store: Store) -> None:
    await store.write(put_commits(*[commit(seq) for seq in range(1, 8)]))

    def look(reader: Reader) -> None:
        term = (TermKind.TAG, "x")
        assert reader.find(term, 100, 3) == [7, 6, 5]
        assert reader.find(term, 5, 99) == [4, 3, 2, 1]
        assert reader.find(term, 100, 2, after=3) == [4, 5]
        assert reader.find(term, 6, 99, after=3) == [4, 5]
        assert reader.find(term, 1, 99) == reader.find((TermKind.TAG, "y"), 99, 99) == []
        assert reader.find((TermKind.AGENT, "x"), 99, 99) == []
        assert reader.find_text(["words"], 100, 2) == [7, 6]
        assert reader.find_text(["words", "number3"], 100, 9) == [3]
        assert reader.find_text(["words"], 5, 2, after=1) == [2, 3]
        assert reader.find_text(["absent"], 100, 9) == []

    found(store, look)


async def test_events_are_found_by_their_ref_and_subject(store: Store) -> None:
    def work(writer: Writer) -> None:
        for index, ref in enumerate(["main", "side", "main", ""]):
            writer.append_event(event(index, ref, subject="s" if index else ""), 3, index, None, None)

    await store.write(work)

    def look(reader: Reader) -> None:
        assert reader.find((TermKind.REF, "main"), 9, 9) == [2, 0]
        assert reader.find((TermKind.REF, "main"), 9, 9, after=0) == [2]
        assert reader.find((TermKind.SUBJECT, "s"), 9, 9) == [3, 2, 1]
        row = reader.event(1)
        assert row is not None
        assert (row.index, row.kind, row.ref, row.old, row.new, row.data) == (1, 3, "side", 1, None, None)
        assert row.leaf == event(1, "side", subject="s").leaf_hash()
        assert reader.event(4) is None

    found(store, look)


async def test_tiles_are_kept_as_the_log_completes_them(store: Store) -> None:
    def work(writer: Writer) -> None:
        for _ in range(100):
            writer.append_event(event(writer.events_count()), 0, None, None, None)

    for _ in range(6):
        await store.write(work)
    tiles = found(store, lambda reader: [reader.tile(8, place) for place in range(3)])
    assert [tile is not None for tile in tiles] == [True, True, False]
    assert found(store, lambda reader: reader.events_count()) > 2 * TILE_WIDTH


async def test_records_are_replaced_and_listed_newest_first(store: Store) -> None:
    def work(writer: Writer) -> None:
        for opened in (3, 1, 2):
            writer.put_record(Record(RecordKind.SESSION, f"k{opened}", opened, opened, {"n": 0}))
        writer.put_record(Record(RecordKind.SESSION, "k1", 1, 9, {"n": 1}))

    await store.write(work)

    def look(reader: Reader) -> None:
        assert [record.key for record in reader.records(RecordKind.SESSION, 99, 9)] == ["k3", "k2", "k1"]
        assert [record.key for record in reader.records(RecordKind.SESSION, 3, 1)] == ["k2"]
        assert reader.record(RecordKind.SESSION, "k1") == Record(RecordKind.SESSION, "k1", 1, 9, {"n": 1})
        assert reader.record(RecordKind.EPOCH, "k1") is None

    found(store, look)


async def test_replies_are_listed_in_the_order_of_their_keys(store: Store) -> None:
    def work(writer: Writer) -> None:
        for number in range(5):
            writer.put_reply("ana", f"r{number}", StoredReply(bytes([number]) * 16, [{"n": number}]))

    await store.write(work)

    def look(reader: Reader) -> None:
        listed = reader.replies(b"", 99)
        assert [key for key, _ in listed] == sorted(key for key, _ in listed)
        assert reader.replies(listed[1][0], 2) == listed[2:4]
        assert reader.reply("ana", "r3") == StoredReply(b"\x03" * 16, [{"n": 3}])
        assert reader.reply("bo", "r3") is reader.reply("ana", "r9") is None

    found(store, look)


async def test_stored_rows_are_not_changed_through_what_was_read(store: Store) -> None:
    await store.write(write_all(1))
    before = found(store, whole)
    with store.reading(stored=True) as reader:
        reader.commit(1).parts[1]["text"] = "changed"
        reader.records(RecordKind.EPOCH, 999, 1)[0].data.clear()
        reader.replies(b"", 1)[0][1].answer.clear()
    assert found(store, whole) == before


async def test_rows_that_are_missing_are_named(store: Store) -> None:
    def look(reader: Reader) -> None:
        for read, what in ((reader.load, "node 9"), (reader.blob, "blob 9"), (reader.name, "name 9")):
            with pytest.raises(StoreCorrupt, match=f"{what} is missing"):
                read(9)

    found(store, look)


async def test_large_values_are_kept_in_rows_of_their_own(store: Store) -> None:
    row = await store.write(lambda writer: writer.next_row())
    await store.write(lambda writer: writer.put_blob(row, encode([{"large": "x" * 9_000}])))
    assert found(store, lambda reader: reader.blob(row)) == {"large": "x" * 9_000}
