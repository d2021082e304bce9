"""What was erased or collected is accepted where a receipt names it, and is damage where none does."""

from __future__ import annotations

import random
import shutil
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import back_up, class_keys, destroy_class, make_class, restore
from asg_mcp.core.classes import ValueClass
from asg_mcp.core.events import EventKind
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.paths import parse_path
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.redactplan import Target
from asg_mcp.repo.requests import SessionRequest
from asg_mcp.repo.verify import VerifyReport
from asg_mcp.repo.verifying import Check
from asg_mcp.repo.verifying_rows import orphans_told
from asg_mcp.storage.base import RecordKind, Rewriter
from asg_mcp.storage.sqlite import open_store
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB
from tests.repo.taking_away import erase, prune, receipt, rewrite, withhold_body, withhold_texts

SECRET = "the patient is Ada"
LONG = "a long secret " * 300


def silent(*_: object) -> None:
    """No progress."""


async def verified(folder: Path) -> VerifyReport:
    async with open_desk(folder) as desk:
        return await desk.repo.verify(silent)


async def damaged(folder: Path) -> str:
    report = await verified(folder)
    [problem] = report.problems
    return problem.message


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """The folder of a closed store in which a secret went through sets, lists, moves, merges and a revert."""
    async with open_desk(tmp_path) as desk:
        await desk.set("/p", {"name": SECRET, "age": 7, "notes": [1, SECRET, 3, SECRET], "long": LONG})
        await desk.set("/wide", {f"k{number}": number for number in range(200)})
        await desk.branch("side")
        await desk.set("/p/notes", [SECRET, 1, 3, 4, SECRET], author=BOB)
        await desk.set("/p/copy", SECRET, ref="side")
        await desk.apply(("insert", "/p/notes/0", SECRET), ("set", "/p/notes/1", 9), ref="side")
        await desk.merge("side", resolutions=(), preview=False)
        await desk.apply(("move", "/q", "/p/name"), ("set", "/p/long", LONG + "!"))
        await desk.set("/p/name", SECRET)
        await desk.revert("main")
        await desk.set("/k", SECRET, request_id="r-1")
    yield tmp_path


async def test_an_erased_value_is_accepted_where_a_receipt_names_it(folder: Path) -> None:
    def work(writer: Rewriter, hasher: Hasher) -> None:
        receipt(writer, values=erase(writer, hasher, SECRET, LONG))

    before = await verified(folder)
    await rewrite(folder / "state.db", work)
    report = await verified(folder)
    assert report.problems == ()
    assert report.counts["erased_values"] == 2
    assert report.counts["nodes"] == before.counts["nodes"]
    assert report.counts["values"] == before.counts["values"] - 1
    assert len(report.notices) == 1, "the row of the large value is still there, and nothing leads to it"


async def test_an_erased_value_without_a_receipt_is_damage(folder: Path) -> None:
    await rewrite(folder / "state.db", lambda writer, hasher: receipt(writer, values=erase(writer, hasher, SECRET)[1:]))
    assert "no receipt" in await damaged(folder)


@pytest.mark.parametrize("seed", range(4))
async def test_replay_goes_by_ids_where_a_value_was_erased_at_some_places_and_kept_at_others(
    tmp_path: Path, seed: int
) -> None:
    """Equal values stood at paths of which one was erased; how lists were matched then went by their being equal."""
    rng = random.Random(seed)
    async with open_desk(tmp_path) as desk:
        await desk.set("/a", [True, 1, "x"])
        await at_random(desk, rng, 12)
        await desk.branch("side")
        await at_random(desk, rng, 4, ref="side")
        await at_random(desk, rng, 4)
        await desk.merge("side", strategy=rng.choice(["ours", "theirs"]))
        for path in ("/a", "/b", "/a", "/c/0"):
            plan = await desk.repo.redactions.find(Target("path", path=parse_path(path)), silent)
            await desk.repo.redactions.erase(plan, ALICE, "Asked for.", "", (), silent)
            assert (await desk.repo.verify(silent)).problems == ()
            await at_random(desk, rng, 8)
            assert (await desk.repo.verify(silent)).problems == ()


async def at_random(desk: Desk, rng: random.Random, count: int, **given: Any) -> None:
    values: list[Callable[[], Any]] = [lambda: True, lambda: rng.randrange(3), lambda: "x"]
    for _ in range(count):
        some = [rng.choice(values)() for _ in range(rng.randrange(1, 6))]
        await desk.set(rng.choice(["/a", "/b", "/c"]), some if rng.random() < 0.7 else some[0], **given)


async def test_withheld_texts_are_accepted_where_a_receipt_names_the_commit(folder: Path) -> None:
    async with open_desk(folder) as desk:
        await desk.set("/w", 1, description="An unrepeatable word: Xyzzyx.")
        seq = (await desk.head()).seq
    path = folder / "state.db"
    await rewrite(path, lambda writer, hasher: receipt(writer, commits=[withhold_texts(writer, hasher, seq)]))
    report = await verified(folder)
    assert (report.problems, report.counts["withheld_texts"]) == ((), 1)
    await rewrite(path, lambda writer, hasher: withhold_texts(writer, hasher, 3))
    assert "no receipt" in await damaged(folder)


async def test_a_salt_that_outlived_its_texts_is_found(folder: Path) -> None:
    def work(writer: Rewriter, hasher: Hasher) -> None:
        salt = writer.commit(3).parts[10]
        receipt(writer, commits=[withhold_texts(writer, hasher, 3, salt)])

    await rewrite(folder / "state.db", work)
    assert "salt is still there" in await damaged(folder)


async def test_a_withheld_body_is_accepted_where_a_receipt_names_the_event(folder: Path) -> None:
    async with open_desk(folder) as desk:
        session = await desk.repo.open_session(SessionRequest("fixer", description="About Ada."), ALICE)
        index = (await desk.repo.read(lambda view: view.reader.events_count())) - 1
    path = folder / "state.db"

    def withhold(writer: Rewriter, hasher: Hasher) -> int:
        row = writer.event(index)
        assert row is not None
        assert row.data is not None
        kept = {name: said for name, said in row.data[7].items() if said != "About Ada."}
        [record] = writer.records(RecordKind.SESSION, writer.events_count(), 1)
        writer.put_record(replace(record, data=kept))
        return withhold_body(writer, index, kept)

    await rewrite(path, lambda writer, hasher: receipt(writer, events=[withhold(writer, hasher)]))
    report = await verified(folder)
    assert (report.problems, report.counts["withheld_bodies"]) == ((), 1)
    assert session.handle


async def test_a_withheld_body_without_a_receipt_is_damage(folder: Path) -> None:
    path = folder / "state.db"
    await rewrite(path, lambda writer, _: receipt(writer, values=["ab" * 32]))
    async with open_desk(folder) as desk:
        index = (await desk.repo.read(lambda view: view.reader.events_count())) - 1
    await rewrite(path, lambda writer, _: withhold_body(writer, index))
    assert "no receipt" in await damaged(folder)


async def test_a_receipt_whose_body_was_withheld_counts_where_another_names_it(folder: Path) -> None:
    path = folder / "state.db"

    def first(writer: Rewriter, hasher: Hasher) -> tuple[int, list[str]]:
        gone = erase(writer, hasher, SECRET)
        receipt(writer, values=gone)
        return writer.events_count() - 1, gone

    index, gone = await rewrite(path, first)
    await rewrite(path, lambda writer, _: withhold_body(writer, index, {"values": gone}))
    assert (await damaged(folder)).startswith("value "), "it names the value, and counts for nothing itself"
    await rewrite(path, lambda writer, _: receipt(writer, events=[index]))
    assert (await verified(folder)).problems == ()


async def test_what_a_receipt_names_may_still_be_there_and_may_never_have_been(folder: Path) -> None:
    def work(writer: Rewriter, hasher: Hasher) -> None:
        kept = hasher.value_ids.of(SECRET).hex()
        receipt(writer, values=[kept, "ab" * 32], commits=[writer.commit(3).id.hex()], events=[1])
        receipt(writer, EventKind.COLLECTED, commits=[writer.commit(4).id.hex()])

    await rewrite(folder / "state.db", work)
    assert (await verified(folder)).problems == ()


@pytest.fixture
async def dropped(folder: Path) -> Path:
    """The same store with two more commits that no ref reaches: the last two."""
    async with open_desk(folder) as desk:
        await desk.branch("dead")
        await desk.set("/dead", 1, ref="dead")
        await desk.set("/dead", 2, ref="dead")
        await desk.repo.delete_branch("dead", ALICE)
    return folder


def collect(count: int, named: int, **how: bool) -> Callable[[Rewriter, Hasher], None]:
    """Prune the last so many commits, and name so many of them."""

    def work(writer: Rewriter, hasher: Hasher) -> None:
        last = writer.last_seq()
        gone = prune(writer, hasher, range(last - count + 1, last + 1), **how)
        receipt(writer, EventKind.COLLECTED, commits=gone[count - named :], counts={}, bytes=0)

    return work


async def test_a_pruned_commit_is_accepted_where_a_receipt_names_it(dropped: Path) -> None:
    await rewrite(dropped / "state.db", collect(2, 2))
    report = await verified(dropped)
    assert (report.problems, report.counts["pruned_commits"]) == ((), 2)
    assert "tree node" in report.notices[0], "its nodes are still there, and nothing leads to them"


async def test_a_pruned_commit_without_a_receipt_is_damage(dropped: Path) -> None:
    await rewrite(dropped / "state.db", collect(2, 1))
    assert "no receipt" in await damaged(dropped)


async def test_a_pruned_commit_that_is_still_in_the_index_is_found(dropped: Path) -> None:
    await rewrite(dropped / "state.db", collect(2, 2, indexed=True))
    assert "still in the index" in await damaged(dropped)


async def test_a_receipt_of_redaction_does_not_cover_a_pruned_commit(dropped: Path) -> None:
    def work(writer: Rewriter, hasher: Hasher) -> None:
        receipt(writer, commits=prune(writer, hasher, [writer.last_seq()]))

    await rewrite(dropped / "state.db", work)
    assert "no receipt" in await damaged(dropped)


async def test_a_pruned_commit_that_a_kept_one_descends_from_is_damage(dropped: Path) -> None:
    def work(writer: Rewriter, hasher: Hasher) -> None:
        gone = prune(writer, hasher, [writer.last_seq() - 1])
        receipt(writer, EventKind.COLLECTED, commits=gone)

    await rewrite(dropped / "state.db", work)
    assert "was not" in await damaged(dropped)


async def test_a_ref_to_a_pruned_commit_is_damage(dropped: Path) -> None:
    async with open_desk(dropped) as desk:
        await desk.branch("late")
        await desk.set("/late", 1, ref="late")
    await rewrite(dropped / "state.db", collect(1, 1))
    assert await damaged(dropped) == "What late points at was collected"


async def test_the_values_of_a_destroyed_class_are_accepted_and_without_its_key_they_are_told_as_not_checked(
    tmp_path: Path,
) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/ward", {"beds": 4})
    await make_class(path, "patients", parse_path("/patients"), ALICE)
    async with open_desk(tmp_path) as desk:
        await desk.set("/patients/7", {"name": SECRET, "sick": True})
        assert (await desk.repo.verify(silent)).counts["values"] == 2
    shutil.copytree(tmp_path, tmp_path / "copy")
    await destroy_class(path, "patients", "over", ALICE)
    report = await verified(tmp_path)
    assert (report.problems, report.counts["sealed_values"], report.counts["values"]) == ((), 2, 0)
    class_keys(tmp_path / "copy" / "state.db").destroy("patients")
    report = await verified(tmp_path / "copy")
    assert (report.problems, report.counts["sealed_values"]) == ((), 2)
    assert report.notices == ("The values of the class patients were not checked: its key is not here",)


async def test_a_copy_from_before_a_class_was_destroyed_can_be_restored(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/ward", {"beds": 4})
    await make_class(path, "patients", parse_path("/patients"), ALICE)
    async with open_desk(tmp_path) as desk:
        await desk.set("/patients/7", {"name": SECRET})
    copied = await back_up(path, tmp_path / "copy.db", 0, silent)
    await destroy_class(path, "patients", "over", ALICE)
    assert copied.path is not None
    made = await restore(copied.path, tmp_path / "new.db", ALICE, silent)
    assert made.report.ok
    assert made.path == tmp_path / "new.db"


async def test_a_value_of_a_class_that_nobody_made_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/ward", {"beds": 4})
    await make_class(path, "patients", parse_path("/patients"), ALICE)
    async with open_desk(tmp_path) as desk:
        await desk.set("/patients/7", {"name": SECRET})
    class_keys(path).destroy("patients")
    await rewrite(path, lambda writer, _: writer.replace_classes([ValueClass("others", ("others",))]))
    assert "nobody made" in await damaged(tmp_path)


async def test_a_move_from_before_a_prefix_became_sensitive_is_replayed_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/people", {"7": 1})
        await desk.apply(("move", "/patients", "/people"))
        await desk.apply(("move", "/people", "/patients"))

    def work(writer: Rewriter, _: Hasher) -> None:
        writer.replace_classes([ValueClass("patients", ("patients",))])
        told = {"class": "patients", "path": "/patients"}
        log_event(writer, EventKind.CLASS_MADE, ALICE, subject="patients", body=told)

    await rewrite(path, work)
    assert (await verified(tmp_path)).problems == ()


async def test_a_row_that_others_are_built_on_is_no_orphan(folder: Path) -> None:
    store = await open_store(folder / "state.db")
    try:
        with store.reading() as reader:
            rows = dict(reader.node_rows(0, 10_000))
            bases = {parts[1] for parts in rows.values() if parts[0] in (2, 3, 4, 5)}
            base = min(bases)
            top = max(row for row in rows if row not in bases and rows[row][0] in (2, 3, 4, 5))
            check = Check(store, None)
            for row in (*rows, *reader.blob_rows(0, 100)):
                if row not in (base, top):
                    check.reached.add(row)
            assert orphans_told(check, reader).startswith(f"No commit leads to 1 tree node ({top})")
            check.reached.add(top)
            assert orphans_told(check, reader) == ""
    finally:
        await store.close()
