"""Garbage collection: what is taken away, what is kept, and what answers in its place."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_memory
from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.limits import GRACE_SECONDS_DEFAULT, GRACE_SECONDS_MAX, SPECULATION_SECONDS
from asg_mcp.core.operations import Op
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.errors import HandleNotFound, LimitExceeded, Pruned, StorageError, StoreBusy, StoreCorrupt
from asg_mcp.repo import collecting, sealing
from asg_mcp.repo.collecting import Collection
from asg_mcp.repo.collectingmarks import Marks
from asg_mcp.repo.collectingresults import Collected, CollectRequest
from asg_mcp.repo.epochmembers import LookedBehind
from asg_mcp.repo.epochs import epoch_record, lineage_of, looked_behind
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.ledger import EVENT_KINDS, event_body
from asg_mcp.repo.records import header_of, is_pruned, operations_of
from asg_mcp.repo.repository import Query, Repository
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.view import View
from asg_mcp.services.bundles import bundle
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.storage.base import Reader
from asg_mcp.storage.rewriting import SqliteRewriter
from asg_mcp.storage.session import SqliteReader
from asg_mcp.storage.sqlite import SqliteStore
from tests.repo.desk import open_desk, ops
from tests.repo.stores import ALICE, BOB, operation
from tests.repo.test_speculation import Clock, Lab

DAY = 24 * 3_600
LARGE = "large " * 1_000


def silent(_: str, __: int, ___: int) -> None:
    """Progress that nobody watches."""


class Yard(Lab):
    """A desk with a garbage collection."""

    async def gc(self, grace: int = 0, *, yes: bool = True, **given: Any) -> Collected:
        """One run."""
        request = CollectRequest(grace_seconds=grace, rehearse=not yes, reason="A test.", **given)
        return await self.repo.collect(request, ALICE, silent)

    async def trial(self, value: Any = LARGE, **given: Any) -> str:
        """The id of what was tried in a speculation that was discarded."""
        handle = (await self.open(**given)).handle
        done = await self.attempt(handle, ("set", "/tried", value))
        await self.drop(handle, "It did not help.")
        return done.head.hex()

    async def dropped(self, name: str = "side", value: Any = LARGE) -> str:
        """The id of what a branch held that was deleted."""
        await self.branch(name)
        done = await self.set(f"/{name}", value, ref=name)
        await self.repo.delete_branch(name, ALICE)
        return done.commit.hex()

    async def pruned(self) -> list[str]:
        """The ids of all stubs."""

        def found(view: View) -> list[str]:
            rows = (view.reader.commit(seq) for seq in range(1, view.reader.last_seq() + 1))
            return [row.id.hex() for row in rows if is_pruned(row)]

        return await self.repo.read(found)

    async def receipts(self) -> list[dict[str, Any]]:
        """The bodies of all receipts of garbage collection."""

        def found(view: View) -> list[dict[str, Any]]:
            events = (view.reader.event(index) for index in range(view.reader.events_count()))
            rows = (event for event in events if event is not None)
            return [event_body(row) for row in rows if EVENT_KINDS[row.kind] is EventKind.COLLECTED]

        return await self.repo.read(found)

    async def rows(self) -> tuple[int, int]:
        """How many rows of nodes and of large values there are."""
        return await self.repo.read(
            lambda view: (len(view.reader.node_rows(0, 1_000_000)), len(view.reader.blob_rows(0, 1_000_000)))
        )


@pytest.fixture
async def yard(tmp_path: Path) -> AsyncIterator[Yard]:
    """A new repository; whatever a test did to it, it passes its check."""
    async with open_desk(tmp_path) as desk:
        made = Yard(desk.repo)
        await made.set("/plan", {"region": "eu", "nodes": 3})
        yield made
        await made.is_whole()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# --- what is taken away ---------------------------------------------------------


async def test_what_an_ended_speculation_tried_becomes_a_stub_and_its_rows_go(yard: Yard) -> None:
    before = await yard.rows()
    tried = await yard.trial()
    assert (await yard.rows())[1] == before[1] + 1
    done = await yard.gc()
    assert (done.tried, done.unreached, done.values) == (1, 0, 1)
    assert done.bytes > len(LARGE)
    assert await yard.rows() == before
    assert await yard.pruned() == [tried]


async def test_a_second_run_finds_nothing_and_writes_nothing(yard: Yard) -> None:
    await yard.trial()
    await yard.gc()
    events = await yard.events()
    assert (await yard.gc()).nothing
    assert (await yard.gc(prune=True)).nothing
    assert await yard.events() == events


async def test_a_rehearsal_tells_what_the_run_then_does_and_changes_nothing(yard: Yard, clock: Clock) -> None:
    await yard.trial()
    await yard.dropped()
    await yard.tried(("set", "/left", LARGE))
    clock.pass_by(SPECULATION_SECONDS + 1)
    events, rows = await yard.events(), await yard.rows()
    told = await yard.gc(prune=True, yes=False)
    assert (await yard.events(), await yard.rows()) == (events, rows)
    done = await yard.gc(prune=True, shrink=False)
    assert (told.expired, told.tried, told.unreached) == (1, 2, 1)
    assert (done.expired, done.tried, done.unreached) == (1, 2, 1)
    assert (done.nodes, done.values, done.bytes) == (told.nodes, told.values, told.bytes)


@pytest.mark.parametrize("end", ["discard", "commit", "expire"])
async def test_each_end_of_a_speculation_gives_up_what_it_tried(yard: Yard, clock: Clock, end: str) -> None:
    handle = await yard.tried(("set", "/plan/nodes", 5))
    if end == "discard":
        await yard.drop(handle)
    elif end == "commit":
        await yard.promote(handle)
    else:
        clock.pass_by(SPECULATION_SECONDS + 1)
    done = await yard.gc()
    assert (done.tried, done.expired) == (1, int(end == "expire"))
    assert await yard.value("/plan/nodes") == (5 if end == "commit" else 3)
    status = yard.items()[0].status
    assert status == {"discard": "discarded", "commit": "committed", "expire": "expired"}[end]


async def test_an_end_that_was_not_recorded_is_recorded_and_begins_the_grace_period(yard: Yard, clock: Clock) -> None:
    await yard.tried(("set", "/plan/nodes", 5))
    clock.pass_by(100 * DAY)
    done = await yard.gc(grace=14 * DAY)
    assert (done.expired, done.commits, done.within_grace) == (1, 0, 1)
    clock.pass_by(15 * DAY)
    assert (await yard.gc(grace=14 * DAY)).tried == 1


async def test_the_room_is_given_back_and_the_file_has_none_of_it(yard: Yard, tmp_path: Path) -> None:
    text = "".join(f"{number:x}" for number in range(20_000))
    for number in range(20):
        await yard.trial(f"{number} {text[number:]}")
    done = await yard.gc(shrink=False)
    assert done.sizes is None
    await yard.trial("last")
    done = await yard.gc()
    assert done.sizes is not None
    assert done.sizes[1] < done.sizes[0] // 2
    assert (tmp_path / "state.db").stat().st_size == done.sizes[1]


async def test_deleted_branches_are_taken_away_on_demand_alone(yard: Yard) -> None:
    held = await yard.dropped()
    assert (await yard.gc()).nothing
    assert await yard.value("/side", held) == LARGE
    done = await yard.gc(prune=True)
    assert (done.tried, done.unreached) == (0, 1)
    assert await yard.pruned() == [held]


async def test_the_newest_of_what_goes_are_shown_as_they_were(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "SHOWN_MAX", 2)
    ids = [await yard.trial(number) for number in range(4)]
    done = await yard.gc()
    assert [info.id.hex() for info in done.shown] == [ids[3], ids[2]]
    assert done.shown[0].description == "Tried in a speculation."


# --- what is kept ---------------------------------------------------------------


async def test_an_open_speculation_keeps_all_that_it_is_made_of(yard: Yard) -> None:
    first = await yard.tried(("set", "/a", LARGE))
    second = (await yard.open(f"spec:{first}")).handle
    await yard.attempt(second, ("set", "/b", 2))
    await yard.drop(first)
    done = await yard.gc()
    assert (done.commits, done.values) == (0, 0)
    assert await yard.value("/a", f"spec:{second}") == LARGE
    await yard.promote(second)
    assert await yard.value("/a") == LARGE
    await yard.gc()
    assert await yard.value("/a") == LARGE


async def test_a_large_value_that_only_an_operation_has_stays_with_its_commit(yard: Yard) -> None:
    done = await yard.apply(("set", "/a", LARGE), ("set", "/a", 1))
    await yard.trial()
    assert (await yard.gc()).values == 1

    def carried(view: View) -> Any:
        [operation, _] = operations_of(view.resolve(done.commit.hex()))
        assert operation.entries is not None
        return view.reader.blob(operation.entries[0].value.row)

    assert await yard.repo.read(carried) == LARGE


@pytest.mark.parametrize("kind", ["branch", "tag"])
async def test_a_name_for_a_trial_keeps_it(yard: Yard, kind: str) -> None:
    tried = await yard.trial()
    await yard.branch("saved", tried, kind)
    assert (await yard.gc(prune=True)).nothing
    assert await yard.value("/tried", "saved") == LARGE


async def test_a_trial_under_the_commits_of_a_deleted_branch_stays_with_them(yard: Yard) -> None:
    tried = await yard.trial()
    await yard.branch("saved", tried)
    on_it = (await yard.set("/more", 1, ref="saved")).commit.hex()
    await yard.repo.delete_branch("saved", ALICE)
    assert (await yard.gc()).commits == 0
    assert await yard.value("/tried", on_it) == LARGE
    done = await yard.gc(prune=True)
    assert (done.tried, done.unreached) == (1, 1)


async def test_what_was_merged_stays_when_its_branch_is_deleted(yard: Yard) -> None:
    await yard.branch("side")
    held = (await yard.set("/side", LARGE, ref="side")).commit.hex()
    await yard.merge("side")
    await yard.repo.delete_branch("side", ALICE)
    assert (await yard.gc(prune=True)).commits == 0
    assert await yard.value("/side", held) == LARGE


async def test_the_grace_period_is_counted_from_the_end_and_not_from_the_commit(yard: Yard, clock: Clock) -> None:
    handle = await yard.tried(("set", "/a", LARGE))
    await yard.branch("side")
    held = (await yard.set("/side", 1, ref="side")).commit.hex()
    clock.pass_by(6 * DAY)
    await yard.drop(handle)
    await yard.repo.delete_branch("side", ALICE)
    clock.pass_by(13 * DAY)
    done = await yard.gc(GRACE_SECONDS_DEFAULT, prune=True)
    assert (done.commits, done.within_grace) == (0, 2)
    assert await yard.value("/side", held) == 1
    clock.pass_by(2 * DAY)
    assert (await yard.gc(GRACE_SECONDS_DEFAULT, prune=True)).commits == 2


async def test_a_clock_that_ran_backwards_makes_nothing_older(yard: Yard, clock: Clock) -> None:
    await yard.set("/n", 1)
    clock.pass_by(-400 * DAY)
    await yard.trial()  # recorded as of last year
    clock.pass_by(400 * DAY)
    assert (await yard.gc(GRACE_SECONDS_DEFAULT)).commits == 0
    await yard.set("/n", 2)  # the first time that is right again: no earlier than that was it tried, as far as is known
    clock.pass_by(13 * DAY)
    assert (await yard.gc(GRACE_SECONDS_DEFAULT)).commits == 0
    clock.pass_by(2 * DAY)
    assert (await yard.gc(GRACE_SECONDS_DEFAULT)).commits == 1


async def test_a_clock_that_once_ran_ahead_does_not_keep_everything_for_ever(yard: Yard, clock: Clock) -> None:
    clock.pass_by(3_000 * DAY)
    await yard.set("/n", 1)
    clock.pass_by(-3_000 * DAY)
    await yard.trial()
    clock.pass_by(15 * DAY)
    assert (await yard.gc(GRACE_SECONDS_DEFAULT)).commits == 1


async def _work_for_an_epoch(yard: Yard) -> str:
    """A commit that serves the intent `audit`, on a branch that is deleted."""
    await yard.branch("work")
    intent = Intent(Category.FIX, "Serves the audit.", parent_intent="audit")
    done = await yard.repo.commit("work", ops(("set", "/work", LARGE)), intent, ALICE, Guard())
    await yard.repo.delete_branch("work", ALICE)
    return done.commit.hex()


@pytest.mark.parametrize("sealed", [False, True])
async def test_members_of_epochs_stay_whatever_became_of_their_branches(yard: Yard, sealed: bool) -> None:
    await create_epoch(yard.repo, EpochRequest("e1", "The audit.", ("audit",)), ALICE)
    member = await _work_for_an_epoch(yard)
    other = await yard.dropped()
    await yard.trial()
    if sealed:
        await seal_epoch(yard.repo, "e1", "All done.", ALICE)
    done = await yard.gc(prune=True)
    # Which commits an open epoch has as members is known at its seal alone, so all that can become one stay.
    assert (done.tried, done.unreached) == (1, int(sealed))
    assert (other in await yard.pruned()) is sealed
    assert await yard.value("/work", member) == LARGE
    if not sealed:
        await seal_epoch(yard.repo, "e1", "All done.", ALICE)
    assert (await bundle(yard.repo, "e1")).commits == 1  # it is verified as it is made


@pytest.mark.parametrize("roots", [(), ("audit",)])
async def test_no_epoch_is_opened_over_what_was_pruned_and_the_error_tells_since_when_it_can_be(
    yard: Yard, clock: Clock, roots: tuple[str, ...]
) -> None:
    member = await _work_for_an_epoch(yard)
    clock.pass_by(10)
    trial = await yard.trial()  # nothing that was tried is ever a member
    await yard.gc(prune=True)
    assert sorted(await yard.pruned()) == sorted([member, trial])
    with pytest.raises(Pruned, match=f"Commit {member[:12]} would be a member of the epoch") as told:
        await create_epoch(yard.repo, EpochRequest("late", "All since.", roots, since="2020-01-01"), ALICE)
    assert told.value.details["at"] in told.value.hint
    await create_epoch(yard.repo, EpochRequest("other", "Others.", ("other",), since="2020-01-01"), ALICE)
    later = format_time(parse_time(told.value.details["at"]) + 1)
    opened = await create_epoch(yard.repo, EpochRequest("late", "All since.", roots, since=later), ALICE)
    assert opened.state == "open"
    assert await create_epoch(yard.repo, EpochRequest("late", "All since.", roots, since=later), ALICE) == opened
    assert (await seal_epoch(yard.repo, "late", "All done.", ALICE)).state == "sealed"
    assert (await bundle(yard.repo, "late")).data


@pytest.mark.parametrize("early", [False, True])
async def test_an_epoch_is_not_sealed_over_a_commit_that_was_pruned_before_it_was_known_as_a_member(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    await yard.branch("side")
    served = Intent(Category.FIX, "A part.", parent_intent="goal")
    done = await yard.repo.commit("side", ops(("set", "/part", 1)), served, ALICE, Guard())
    await yard.repo.delete_branch("side", ALICE)
    await yard.gc(prune=True)
    await create_epoch(yard.repo, EpochRequest("e1", "The audit.", ("audit",), since="2020-01-01"), ALICE)
    if early:  # the seal's transaction is the first to see what links it to the root
        seen = await yard.repo.read(lambda view: lineage_of(view.reader, epoch_record(view.reader, "e1")))
        monkeypatch.setattr(sealing, "_counted", lambda *_: seen)
    goal = Intent(Category.FIX, "The goal.", intent_id="goal", parent_intent="audit")
    await yard.repo.commit("main", ops(("set", "/goal", 1)), goal, ALICE, Guard())
    with pytest.raises(Pruned, match=f"Commit {done.commit.short} is a member of epoch e1"):
        await seal_epoch(yard.repo, "e1", "All done.", ALICE)
    assert (await yard.repo.epochs.info("e1")).state == "open"


async def test_an_epoch_that_is_opened_between_two_batches_has_no_pruned_member(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("s1", "s2", "s3"):
        await yard.dropped(name)
    monkeypatch.setattr(collecting, "BATCH_COMMITS_MAX", 1)
    answers: list[str] = []
    request = EpochRequest("late", "All since.", since="2020-01-01")
    look, prune = looked_behind, Collection._prune_some

    async def between(self: Collection, marks: Marks, todo: Any) -> None:
        async def some() -> Any:
            batch = await self.store.rewrite(lambda rewriter: prune(self, rewriter, marks, todo))
            todo.left, todo.seen = batch.left, batch.seen
            return batch

        def pruned_behind(reader: Reader, asked: EpochRequest) -> LookedBehind:
            """Looks before the first batch; it is taken before the epoch is opened."""
            return looked

        with self.store.reading() as reader:
            looked = look(reader, request)
        await some()
        for how in (pruned_behind, look):
            monkeypatch.setattr(sealing, "looked_behind", how)
            with pytest.raises((StoreBusy, Pruned)) as told:
                await create_epoch(yard.repo, request, ALICE)
            answers.append(told.value.code)
        while todo.left:
            await some()

    monkeypatch.setattr(Collection, "_prune", between)
    await yard.gc(prune=True)
    assert answers == ["store_busy", "pruned"]
    assert len(await yard.pruned()) == 3


async def test_the_bundle_of_an_epoch_is_the_same_before_and_after(yard: Yard) -> None:
    await create_epoch(yard.repo, EpochRequest("e1", "Some work."), ALICE)
    await yard.trial()
    await yard.set("/n", 1)
    handle = await yard.tried(("set", "/n", 2))
    await yard.promote(handle)
    await seal_epoch(yard.repo, "e1", "All done.", ALICE)
    before = await bundle(yard.repo, "e1")
    assert (await yard.gc(prune=True)).tried == 2
    after = await bundle(yard.repo, "e1")
    assert after.data == before.data


async def test_an_intent_that_was_pruned_still_leads_to_the_root_of_an_epoch(yard: Yard) -> None:
    await yard.branch("old")
    link = Intent(Category.PLAN, "Links.", intent_id="link", parent_intent="audit")
    await yard.repo.commit("old", ops(("set", "/x", 1)), link, ALICE, Guard())
    await yard.repo.delete_branch("old", ALICE)
    assert (await yard.gc(prune=True)).unreached == 1
    await create_epoch(yard.repo, EpochRequest("e1", "The audit.", ("audit",)), ALICE)
    serves = Intent(Category.FIX, "Serves the link.", parent_intent="link")
    await yard.repo.commit("main", ops(("set", "/y", 1)), serves, ALICE, Guard())
    assert (await seal_epoch(yard.repo, "e1", "All done.", ALICE)).commits == 1
    assert (await bundle(yard.repo, "e1")).commits == 1  # it is verified as it is made


# --- what answers in its place --------------------------------------------------


def _reading(repo: Repository, ref: str) -> dict[str, Callable[[], Awaitable[Any]]]:
    """Every call that needs what a commit held."""
    plan = Yard(repo)
    return {
        "get": lambda: plan.get("/", ref),
        "get of a path": lambda: plan.get("/tried", ref),
        "diff": lambda: plan.diff("main", ref),
        "diff from it": lambda: plan.diff(ref, "main"),
        "log of a path": lambda: plan.log("/tried", ref),
        "blame": lambda: plan.blame("/tried", ref),
        "history": lambda: plan.past("/tried", ref),
        "search": lambda: repo.search(ref, "large", mode="text", prefix=(), limit=10, cursor=""),
        "query of the state": lambda: repo.query(Query(target="state", ref=ref)),
        "query by path": lambda: repo.query(Query(target="commits", ref=ref, path=("tried",))),
        "query by text": lambda: repo.query(Query(target="commits", ref=ref, text="speculation")),
        "query by tag": lambda: repo.query(Query(target="commits", ref=ref, tags=("t",))),
        "merge": lambda: plan.merge(ref),
        "preview": lambda: plan.merge(ref, preview=True),
        "revert": lambda: plan.revert(ref, ref="main"),
        "restore": lambda: plan.revert(ref="main", path="/tried", source=ref),
        "branch": lambda: plan.branch("again", ref),
        "tag": lambda: plan.branch("v1", ref, "tag"),
        "speculate": lambda: plan.open(ref),
    }


async def test_whatever_needs_what_is_gone_is_told_that_it_was_pruned(yard: Yard) -> None:
    tried = await yard.trial()
    await yard.gc()
    events = await yard.events()
    for name, call in _reading(yard.repo, tried).items():
        with pytest.raises(Pruned) as told:
            await call()
        assert told.value.details["commit"] == tried[:12], name
        assert "header" in told.value.hint
    assert await yard.events() == events


async def test_a_page_that_was_begun_before_goes_on_with_the_same_answer(yard: Yard) -> None:
    tried = await yard.trial({str(number): LARGE for number in range(5)})
    first = await yard.repo.get(tried, ("tried",), depth=None, max_bytes=8_000, cursor="")
    found = await yard.repo.search(tried, "large", mode="text", prefix=(), limit=1, cursor="")
    assert first.next_cursor
    assert found.next_cursor
    await yard.gc()
    with pytest.raises(Pruned):
        await yard.repo.get(tried, ("tried",), depth=None, max_bytes=8_000, cursor=first.next_cursor)
    with pytest.raises(Pruned):
        await yard.repo.search(tried, "large", mode="text", prefix=(), limit=1, cursor=found.next_cursor)


async def test_log_and_query_show_what_the_header_says_and_that_it_was_pruned(yard: Yard) -> None:
    tried = await yard.trial()
    [before] = (await yard.repo.log(tried, (), limit=1, cursor="")).commits
    await yard.gc()
    [shown] = (await yard.repo.log(tried, (), limit=1, cursor="")).commits
    listed = (await yard.repo.query(Query(ref=""))).items
    assert [info.pruned for info in listed if isinstance(info, CommitInfo) and info.id == shown.id] == [True]
    assert (shown.pruned, before.pruned) == (True, False)
    for name in ("id", "parents", "at", "principal", "agent", "client", "category", "confidence", "session"):
        assert getattr(shown, name) == getattr(before, name)
    assert (shown.description, shown.reasoning) == ("", "")


async def test_the_words_and_paths_of_what_is_gone_are_in_no_index(yard: Yard) -> None:
    await yard.branch("side")
    intent = Intent(Category.FIX, "A peculiar undertaking.", tags=("odd",))
    await yard.repo.commit("side", [operation(Op.SET, "/odd", 1)], intent, BOB, Guard())
    await yard.repo.delete_branch("side", ALICE)
    await yard.gc(prune=True)
    for asked in (Query(ref="", text="peculiar"), Query(ref="", tags=("odd",)), Query(ref="", path=("odd",))):
        assert (await yard.repo.query(asked)).items == ()


async def test_an_ended_speculation_keeps_its_record_and_its_count_of_changes(yard: Yard, clock: Clock) -> None:
    discarded, left = await yard.tried(("set", "/a", 1)), await yard.tried(("set", "/b", 1))
    await yard.drop(discarded, "It broke the build.")
    clock.pass_by(SPECULATION_SECONDS + 1)
    await yard.gc()
    items = {item.handle: item for item in yard.items()}
    assert (items[discarded].lesson, items[discarded].changes) == ("It broke the build.", 1)
    assert (items[left].status, items[left].changes) == ("expired", None)
    with pytest.raises(HandleNotFound):
        await yard.repo.speculations.compare([discarded, left], ALICE)


async def test_another_process_sees_at_once_that_it_was_pruned(yard: Yard, tmp_path: Path) -> None:
    tried = await yard.trial()
    async with open_desk(tmp_path) as other:
        assert await other.value("/tried", tried) == LARGE
        await yard.gc()
        with pytest.raises(Pruned):
            await other.value("/tried", tried)
        with pytest.raises(Pruned):
            await other.branch("again", tried)
        assert await other.log("/", tried) == await yard.log("/", tried)


async def test_every_header_and_every_leaf_stays(yard: Yard) -> None:
    for number in range(3):
        await yard.trial(number)

    count = await yard.events()

    def told(view: View) -> list[Any]:
        reader = view.reader
        rows = [reader.commit(seq) for seq in range(1, reader.last_seq() + 1)]
        events = [reader.event(index) for index in range(count)]
        headers = [header_of(reader, row, view.hasher) for row in rows]
        return [headers, [row.id for row in rows], [event.leaf for event in events if event is not None]]

    before = await yard.repo.read(told)
    assert (await yard.gc()).tried == 3
    assert await yard.repo.read(told) == before


# --- receipts -------------------------------------------------------------------


async def test_the_receipts_say_who_took_what_away_when_and_why(yard: Yard) -> None:
    tried, held = await yard.trial(), await yard.dropped()
    done = await yard.gc(prune=True)
    pruning, sweeping, shrinking = await yard.receipts()
    assert sorted(pruning["commits"]) == sorted([tried, held])
    assert (pruning["reason"], pruning["prune"], pruning["grace_seconds"]) == ("A test.", True, 0)
    assert pruning["counts"] == {"commits": 2, "nodes": 0, "values": 0}
    assert sweeping["counts"] == {"commits": 0, "nodes": done.nodes, "values": done.values}
    assert pruning["bytes"] + sweeping["bytes"] == done.bytes
    assert done.sizes is not None
    assert shrinking["file_bytes"] == list(done.sizes)


async def test_each_batch_has_a_receipt_of_its_own(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "BATCH_COMMITS_MAX", 2)
    monkeypatch.setattr(collecting, "BATCH_ROWS_MAX", 2)
    ids = [await yard.trial(number) for number in range(5)]
    await yard.gc()
    named = [receipt["commits"] for receipt in await yard.receipts() if receipt["commits"]]
    assert named == [[ids[4], ids[3]], [ids[2], ids[1]], [ids[0]]]


async def test_a_secret_in_the_reason_is_refused_before_anything_is_done(yard: Yard) -> None:
    await yard.trial()
    with pytest.raises(Exception, match="secret"):
        request = CollectRequest(0, rehearse=False, reason="token ghp_16C7e42F292c6912E7710c838347Ae178B4a")
        await yard.repo.collect(request, ALICE, silent)
    assert await yard.pruned() == []


# --- others meanwhile -----------------------------------------------------------


async def _brought_back(yard: Yard, how: str, tried: str) -> str:
    """Bring a commit back while it is being collected; where its value is then."""
    if how in ("branch", "tag"):
        await yard.branch("saved", tried, how)
    elif how == "speculate":
        return f"spec:{(await yard.open(tried)).handle}"
    elif how == "merge":
        await yard.merge(tried)
        return "main"
    elif how == "restore":
        await yard.revert(ref="main", path="/tried", source=tried)
        return "main"
    elif how == "branch that goes on":
        await yard.branch("saved", tried)
        for number in range(3):
            await yard.set("/n", number, ref="saved")
    return "saved"


@pytest.mark.parametrize("how", ["branch", "tag", "speculate", "merge", "restore", "branch that goes on"])
async def test_what_others_bring_back_between_the_mark_and_the_pruning_stays(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    tried = await yard.trial()
    gone = await yard.trial("Another.")
    found = []
    described = Collection._describe

    async def bring_back(run: Collection, doomed: Any) -> None:
        await described(run, doomed)
        found.append(await _brought_back(yard, how, tried))

    monkeypatch.setattr(Collection, "_describe", bring_back)
    await yard.gc(prune=True)
    assert await yard.value("/tried", found[0]) == LARGE
    assert await yard.pruned() == [tried, gone] if how == "restore" else [gone]
    monkeypatch.undo()
    await yard.is_whole()
    await yard.gc(prune=True)
    assert await yard.value("/tried", found[0]) == LARGE


async def test_an_epoch_that_is_opened_meanwhile_keeps_what_can_become_its_member(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    since = (await yard.head()).at
    clock.pass_by(1)
    held = await yard.dropped()
    tried = await yard.trial()
    described = Collection._describe

    async def open_it(run: Collection, doomed: Any) -> None:
        await described(run, doomed)
        await create_epoch(yard.repo, EpochRequest("late", "All since.", since=since), ALICE)

    monkeypatch.setattr(Collection, "_describe", open_it)
    done = await yard.gc(prune=True)
    assert (done.tried, done.unreached) == (1, 0)
    assert await yard.pruned() == [tried]
    assert await yard.value("/side", held) == LARGE


async def test_much_that_others_write_is_taken_in_before_the_writers_turn(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "CATCH_UP_EVENTS_MAX", 2)
    tried = await yard.trial()
    described = Collection._describe

    async def write(run: Collection, doomed: Any) -> None:
        await described(run, doomed)
        await yard.branch("saved", tried)
        for number in range(5):
            await yard.set("/n", number)

    monkeypatch.setattr(Collection, "_describe", write)
    assert (await yard.gc()).commits == 0


async def test_two_runs_at_once_take_everything_away_once(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [await yard.trial(f"{number} {LARGE}") for number in range(4)]
    described, once = Collection._describe, [True]

    async def run_another(run: Collection, doomed: Any) -> None:
        await described(run, doomed)
        if once:
            once.clear()
            assert (await yard.gc()).tried == 4

    monkeypatch.setattr(Collection, "_describe", run_another)
    done = await yard.gc()
    assert (done.tried, done.nodes, done.values) == (0, 0, 0)
    assert await yard.pruned() == ids


async def test_what_another_run_has_swept_is_passed_over(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    await yard.trial()
    swept, once = Collection._sweep, [True]

    async def run_another(run: Collection, *told: Any) -> None:
        if once:
            once.clear()
            assert (await yard.gc(shrink=False)).values == 1
        await swept(run, *told)

    monkeypatch.setattr(Collection, "_sweep", run_another)
    await yard.gc()
    assert await yard.is_whole()


@pytest.mark.parametrize("step", ["_expire", "_prune", "_sweep", "_shrink"])
@pytest.mark.parametrize("when", ["before", "after"])
async def test_what_an_interrupted_run_leaves_is_done_by_the_next(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, clock: Clock, step: str, when: str
) -> None:
    before = await yard.rows()
    await yard.trial()
    await yard.tried(("set", "/left", LARGE))
    clock.pass_by(SPECULATION_SECONDS + 1)
    usual = getattr(Collection, step)

    async def interrupted(run: Collection, *told: Any) -> None:
        if when == "after":
            await usual(run, *told)
        raise KeyError("interrupted")

    with monkeypatch.context() as patched:
        patched.setattr(Collection, step, interrupted)
        with pytest.raises(KeyError):
            await yard.gc()
    assert await yard.is_whole()
    await yard.gc()
    assert await yard.rows() == before
    assert len(await yard.pruned()) == 2
    assert (await yard.gc()).nothing


async def test_a_batch_that_fails_once_is_done_again_whole(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [await yard.trial(number) for number in range(3)]
    usual = SqliteRewriter.flush
    failed: list[bool] = []

    def flush(rewriter: SqliteRewriter) -> None:
        usual(rewriter)
        if not failed:
            failed.append(True)
            raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(SqliteRewriter, "flush", flush)
    assert (await yard.gc()).tried == 3
    assert failed
    assert await yard.pruned() == ids


# --- faults ---------------------------------------------------------------------


async def test_a_store_whose_rows_are_missing_is_not_swept(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    await yard.trial()
    rows = await yard.rows()
    usual = SqliteReader.node_rows

    def holed(reader: SqliteReader, after: int, limit: int) -> list[tuple[int, list[Any]]]:
        return [one for one in usual(reader, after, limit) if one[0] != 2]

    with monkeypatch.context() as patched:
        patched.setattr(SqliteReader, "node_rows", holed)
        with pytest.raises(StoreCorrupt, match="missing"):
            await yard.gc()
    assert await yard.rows() == rows


async def test_a_commit_that_does_not_hash_to_its_id_is_not_taken_away(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = await yard.trial()
    usual = SqliteReader.commit

    def changed(reader: SqliteReader, seq: int) -> Any:
        row = usual(reader, seq)
        if row.id.hex() == tried:
            row.parts[9] = "another"
        return row

    with monkeypatch.context() as patched:
        patched.setattr(SqliteReader, "commit", changed)
        with pytest.raises(StoreCorrupt, match="does not hash"):
            await yard.gc()
    await yard.repo.read(lambda view: view.reader)
    assert await yard.pruned() == []


async def test_a_file_that_cannot_be_made_anew_is_told_and_all_else_is_done(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(_: SqliteStore) -> tuple[int, int]:
        raise StoreBusy("Others read for too long")

    await yard.trial()
    monkeypatch.setattr(SqliteStore, "shrink", busy)
    done = await yard.gc()
    assert (done.tried, done.sizes) == (1, None)
    assert done.not_shrunk.startswith("Others read for too long")


async def test_a_run_that_ended_before_the_file_was_made_anew_leaves_that_to_the_next(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(_: SqliteStore) -> tuple[int, int]:
        raise KeyError("killed")

    await yard.trial()
    with monkeypatch.context() as patched:
        patched.setattr(SqliteStore, "shrink", killed)
        with pytest.raises(KeyError):
            await yard.gc()
    done = await yard.gc()
    assert done.nothing
    assert done.sizes is not None
    assert (await yard.gc()).sizes is None


async def test_whoever_wants_the_room_left_in_the_file_owes_nothing(yard: Yard) -> None:
    await yard.trial()
    await yard.gc(shrink=False)
    assert (await yard.gc()).sizes is None


async def test_a_store_in_memory_has_no_rows_to_take_away() -> None:
    async with open_memory() as repo:
        yard = Yard(repo)
        await yard.trial()
        with pytest.raises(StorageError):
            await yard.gc()


@pytest.mark.parametrize("seconds", [-1, GRACE_SECONDS_MAX + 1])
async def test_a_grace_period_out_of_bounds_names_the_limit(yard: Yard, seconds: int) -> None:
    with pytest.raises(LimitExceeded) as told:
        await yard.gc(seconds)
    assert told.value.details["limit"] == "GRACE_SECONDS_MAX"
