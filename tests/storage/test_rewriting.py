"""Rows that are changed or taken away: every reader sees one moment or the other, and what went is in no file."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.commitments import CLASS_KEY_BYTES, pins_of
from asg_mcp.core.ids import ValueId
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.noderows import erase_packed, leaf_entries, packed_entries
from asg_mcp.core.nodes import Blob
from asg_mcp.core.values import encode
from asg_mcp.errors import StorageError, StoreBusy
from asg_mcp.repo.records import info_of, operations_of, terms_for
from asg_mcp.repo.resolve import state_at
from asg_mcp.storage.base import CommitRow, Reader, Rewriter, TermKind
from asg_mcp.storage.memory import MemoryStore
from asg_mcp.storage.sqlite import SqliteStore, open_store
from tests.repo.redactdesk import holding
from tests.repo.stores import made_store

SECRET, WORD = "hunter2-Qx91zz", "qx91zz"
LARGE = SECRET + " and more" * 400
NEW_KEY = bytes(range(CLASS_KEY_BYTES))


def value_at(store: SqliteStore, reader: Reader, *path: str) -> Any:
    """What a scalar entry at a path of `main` holds: the value, or the blob it is in."""
    ref = reader.ref("main")
    assert ref is not None
    return state_at(reader, store.hasher, reader.commit(ref.seq)).spot(path).entry.value


def seen(store: SqliteStore, *path: str) -> Any:
    with store.reading() as reader:
        return value_at(store, reader, *path)


def erasing(store: SqliteStore, secret: str = SECRET, keep: tuple[Any, ...] = ()) -> Callable[[Rewriter], None]:
    """A transaction that erases a value from all rows of nodes, and replaces the class key."""

    def work(writer: Rewriter) -> None:
        for row, parts in writer.node_rows(0, 1_000):
            start, _, _ = leaf_entries(parts)
            entries = packed_entries(parts, start) if start else ()
            found = [at for at, _, _, value in entries if value == secret]
            for at in found:
                erase_packed(parts, at, store.hasher.value_ids.of(secret))
            if found:
                writer.put_node_parts(row, parts)
        pins = pins_of([encode(value) for value in keep], store.hasher.value_ids.salt_of, NEW_KEY)
        writer.replace_class_key(NEW_KEY, pins)
        writer.owe_shrink()

    return work


def _why(description: str) -> Intent:
    return Intent(Category.REFINE, description)


async def test_a_reader_that_an_erasure_overtakes_is_told_to_repeat_and_leaves_nothing_in_a_cache(
    tmp_path: Path,
) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", SECRET)
        # The ids that it would have made of what it saw are made under another key by now.
        with pytest.raises(StoreBusy, match="while it was read"), made.store.reading() as before:
            await made.store.rewrite(erasing(made.store))
            assert seen(made.store, "a").erased  # a reader that began behind it
            assert value_at(made.store, before, "a") == SECRET
            assert seen(made.store, "a").erased
        assert seen(made.store, "a").erased


async def test_a_reader_is_not_disturbed_by_a_rewriting_that_leaves_the_class_key(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", SECRET)
        with made.store.reading() as before:
            await made.store.rewrite(lambda writer: writer.drop_blobs([]))
            with made.store.reading():
                pass
            assert value_at(made.store, before, "a") == SECRET


async def test_another_opener_of_the_file_drops_its_caches_and_makes_ids_with_the_new_key(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", SECRET)
        await made.set("/b", "stays")
        other = await open_store(tmp_path / "state.db")
        try:
            assert seen(other, "a") == SECRET  # in its caches now
            ids = [other.hasher.value_ids.of(value) for value in ("stays", SECRET, "new")]
            await made.store.rewrite(erasing(made.store, keep=("stays",)))
            assert seen(other, "a").erased
            assert seen(other, "a").id == ids[1]
            again = [other.hasher.value_ids.of(value) for value in ("stays", SECRET, "new")]
            assert again[0] == ids[0]
            assert again[1] != ids[1]
            assert again[2] != ids[2]
            assert seen(made.store, "b") == "stays"
            assert again == [made.hasher.value_ids.of(value) for value in ("stays", SECRET, "new")]
        finally:
            await other.close()


async def test_another_process_that_has_read_the_value_reads_it_no_more_and_writes_on(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", SECRET)
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _CHILD, str(tmp_path / "state.db"), stdin=PIPE, stdout=PIPE
        )
        assert child.stdout is not None
        assert await child.stdout.readline() == f"{SECRET}\n".encode()
        await made.store.rewrite(erasing(made.store))
        out, _ = await asyncio.wait_for(child.communicate(b"go on\n"), 60)
        assert out == b"erased\nwritten\n"
        assert seen(made.store, "b") == "more"
        with made.store.reading(stored=True) as reader:
            blob = value_at(made.store, reader, "a")
            assert type(blob) is Blob
            assert blob.erased


_CHILD = """
import asyncio, sys
from pathlib import Path
from asg_mcp.storage.sqlite import open_store
from tests.repo.stores import Made
from tests.storage.test_rewriting import seen

async def main():
    store = await open_store(Path(sys.argv[1]))
    print(seen(store, "a"), flush=True)
    sys.stdin.readline()
    print("erased" if seen(store, "a").erased else "still there", flush=True)
    await Made(store).set("/b", "more")
    print("written", flush=True)
    await store.close()

asyncio.run(main())
"""


async def test_the_ids_of_values_that_stay_are_pinned_and_roots_stay_what_they_were(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        values = [f"v{number}" for number in range(200)] + [0, 1, True, None, 1.5]
        await made.set("/all", {str(number): value for number, value in enumerate(values)})
        await made.set("/a", SECRET)
        ids = [made.hasher.value_ids.of(value) for value in values]
        root = (await made.set("/b", "x")).object
        await made.store.rewrite(erasing(made.store, keep=(*values, "x")))
        assert seen(made.store, "b") == "x"
        assert [made.hasher.value_ids.of(value) for value in values] == ids
        assert (await made.set("/b", "y")).object != root
        assert (await made.set("/b", "x")).object == root


async def test_a_text_that_is_replaced_is_found_no_more_and_its_neighbours_are(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", 1, intent=_why(f"Set {SECRET} for alpha."))
        await made.set("/a", 2, intent=_why("Left alpha alone."))

        def work(writer: Rewriter) -> None:
            row = writer.commit(2)
            info = info_of(writer, row)
            parts = [*row.parts[:11], {**row.parts[11], "description": ""}, *row.parts[12:]]
            terms = terms_for(info, operations_of(row))
            gone = {term for term in terms if term[0] is TermKind.AGENT}
            new = CommitRow(row.seq, row.id, row.parents, row.at, row.root_row, parts)
            writer.replace_commit(new, (terms, terms - gone), (f"{info.description}\n{info.reasoning}", ""))

        await made.store.rewrite(work)
        with made.store.reading() as reader:
            assert reader.find_text([WORD], 10, 10) == []
            assert reader.find_text(["alpha"], 10, 10) == [3]
            assert reader.find((TermKind.AGENT, "planner"), 10, 10) == [3, 1]
        assert made.store.integrity() == []
        assert holding(tmp_path, WORD) != []  # the index keeps words until it is made anew
        await made.store.shrink()
    assert holding(tmp_path, SECRET, WORD) == []


async def test_what_was_taken_away_is_in_no_file_once_the_store_is_shrunk(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/large", LARGE)
        await made.set("/larger", "".join(map(chr, range(0x4E00, 0x9E00))))

        gone: list[int] = []

        def work(writer: Rewriter) -> None:
            gone.extend(writer.blob_rows(0, 10))
            writer.drop_blobs(gone)
            writer.owe_shrink()

        await made.store.rewrite(work)
        health = await made.store.check()
        assert health.shrink_due
        _, after = await made.store.shrink()
        assert after < health.file_bytes + health.wal_bytes
        assert not (await made.store.check()).shrink_due
        await made.set("/again", LARGE.replace(SECRET, "other"))
        with made.store.reading() as reader:
            [row] = reader.blob_rows(0, 10)
            assert row > max(gone)  # numbers are not given out again
        assert made.store.integrity() == []
    assert holding(tmp_path, SECRET) == []


async def test_a_shrink_that_readers_hold_up_is_due_still(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asg_mcp.storage.sqlite.SHRINK_TRIES_MAX", 1)
    async with made_store(tmp_path) as made:
        await made.set("/a", SECRET)
        with made.store.reading() as reader:
            reader.last_seq()
            await made.store.rewrite(erasing(made.store))
            with pytest.raises(StoreBusy):
                await made.store.shrink()
        assert (await made.store.check()).shrink_due
        await made.store.shrink()
        assert not (await made.store.check()).shrink_due


async def test_work_that_raises_changes_nothing(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", SECRET)
        key = made.hasher.value_ids.class_key

        def work(writer: Rewriter) -> None:
            erasing(made.store)(writer)
            raise StorageError("No.")

        with pytest.raises(StorageError):
            await made.store.rewrite(work)
        assert seen(made.store, "a") == SECRET
        assert made.hasher.value_ids.class_key == key
        assert not (await made.store.check()).shrink_due
    again = await open_store(tmp_path / "state.db")
    assert again.hasher.value_ids.class_key == key
    await again.close()


async def test_writes_that_wait_with_a_rewrite_are_made_before_and_behind_it(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.set("/a", SECRET)
        work = erasing(made.store)
        await asyncio.gather(
            *(made.set(f"/n/{number}", number) for number in range(5)),
            made.store.rewrite(work),
            *(made.set(f"/m/{number}", number) for number in range(5)),
        )
        assert seen(made.store, "a").erased
        assert seen(made.store, "n", "4") == 4
        assert seen(made.store, "m", "4") == 4
        with made.store.reading() as reader:
            assert reader.last_seq() == 12


async def test_a_store_in_memory_takes_nothing_away() -> None:
    store = MemoryStore()
    with pytest.raises(StorageError):
        await store.rewrite(lambda writer: writer.owe_shrink())
    await store.close()


def test_an_erased_entry_keeps_its_id_and_its_neighbours() -> None:
    value_id = ValueId.of(b"x")
    parts: list[Any] = [0, 0, "a\x00", 0, "one", 7, 1, "b\x00", 0, SECRET, 8]
    erase_packed(parts, 6, value_id)
    [first, second] = packed_entries(parts, 1)
    assert first == (1, "a\x00", 0, "one")
    assert second[3].erased
    assert second[3].id == value_id
    assert parts[-1] == 8
