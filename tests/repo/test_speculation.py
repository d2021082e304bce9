"""Speculations: tried apart, kept to their principal, and committed on top of what others did."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import (
    CHANGES_COUNTED_MAX,
    LESSON_BYTES_MAX,
    SPECULATION_ALTERNATIVES_MAX,
    SPECULATION_SECONDS,
    SPECULATIONS_COMPARED_MAX,
    SPECULATIONS_OPEN_MAX,
)
from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import (
    AsgError,
    Forbidden,
    HandleNotFound,
    HeadMoved,
    InvalidArgument,
    InvalidName,
    LimitExceeded,
    ObjectChanged,
    PathNotFound,
    RefNotFound,
    RequestReused,
    StoreFull,
    TestFailed,
)
from asg_mcp.repo import promoting, speculation
from asg_mcp.repo import specresults as sr
from asg_mcp.repo.ledger import event_of
from asg_mcp.repo.repository import Guard, PromoteRequest, Repository
from asg_mcp.repo.requests import SessionRequest
from asg_mcp.repo.speculation import speculation_items
from asg_mcp.repo.view import View
from asg_mcp.storage.base import RecordKind
from asg_mcp.storage.session import SqliteReader
from tests.repo.desk import Desk, open_desk, ops, paths, settle
from tests.repo.stores import ALICE, BOB

WINNER = Intent(Category.REFINE, "The best of them.", reasoning="It was the fastest.")


@dataclass
class Lab(Desk):
    """A desk at which things are tried."""

    repo: Repository

    async def open(
        self, source: str = "main", label: str = "", author: Author = ALICE, request_id: str = ""
    ) -> sr.SpeculationResult:
        """A new speculation."""
        return await self.repo.speculations.open(source, label, author, request_id)

    async def attempt(
        self, handle: str, *told: tuple[Any, ...], author: Author = ALICE, request_id: str = ""
    ) -> sr.SpeculationResult:
        """Operations in a speculation."""
        return await self.repo.speculations.modify(handle, ops(*told), author, request_id)

    async def tried(self, *told: tuple[Any, ...], **given: Any) -> str:
        """The handle of a new speculation in which something was tried."""
        handle = (await self.open(**given)).handle
        await self.attempt(handle, *told, author=given.get("author", ALICE))
        return handle

    async def promote(
        self,
        handle: str,
        target: str = "",
        *,
        resolutions: tuple[Any, ...] = (),
        intent: Intent = WINNER,
        author: Author = ALICE,
        **guard: str,
    ) -> sr.PromoteResult:
        """Commit a speculation."""
        return await self.repo.speculations.commit(
            PromoteRequest(handle, target, resolutions), intent, author, Guard(**guard)
        )

    async def drop(self, handle: str, lesson: str = "", author: Author = ALICE, request_id: str = "") -> Any:
        """Discard a speculation."""
        return await self.repo.speculations.discard(handle, lesson, author, request_id)

    async def speculations(self, principal: str = "") -> list[str]:
        """The names of the open ones, as a principal sees them."""
        found = await self.repo.seen_by(principal).list_refs("", kind="speculation", limit=500, cursor="")
        assert found.total == len(found.refs)
        return [ref.name for ref in found.refs]

    def items(self, principal: str = "", **given: Any) -> list[sr.SpeculationInfo]:
        """All of them, as a principal sees them."""
        return self.repo.seen_by(principal)._read(lambda view: list(speculation_items(view, **given)))

    async def events(self) -> int:
        """How long the log is."""
        return self.repo._read(lambda view: view.reader.events_count())

    async def is_whole(self) -> bool:
        """Whether the store passes its own check."""
        report = await self.repo.verify(lambda what, done, total: None)
        assert report.problems == ()
        return report.ok


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    """A new repository; whatever a test did to it, it passes its check."""
    async with open_desk(tmp_path) as desk:
        made = Lab(desk.repo)
        await made.set("/plan", {"region": "eu", "nodes": 3})
        yield made
        await made.is_whole()


class Clock:
    """The time of transactions, moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0
        real = SqliteReader.now
        monkeypatch.setattr(SqliteReader, "now", lambda reader: real(reader) + self.ahead)

    def pass_by(self, seconds: float) -> None:
        self.ahead += int(seconds * 1_000_000)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


# --- opening --------------------------------------------------------------------


async def test_a_new_one_stands_where_its_source_does_and_can_be_read_like_any_ref(lab: Lab) -> None:
    made = await lab.open(label="cheaper")
    head = await lab.head()
    assert (made.base, made.head, made.changed, made.label, made.target) == (head.id, head.id, 0, "cheaper", "main")
    assert len(made.handle) == 12
    assert int(made.handle, 16) >= 0
    ref = f"spec:{made.handle}"
    assert await lab.value("/plan", ref) == {"region": "eu", "nodes": 3}
    assert await lab.speculations() == [ref]
    assert (await lab.open()).handle != made.handle
    assert [commit.seq for commit in (await lab.repo.log(ref, (), limit=9, cursor="")).commits] == await lab.log()


async def test_opening_reads_no_state_so_it_costs_the_same_however_large_that_is(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(View, "state", lambda view, row: pytest.fail("a state was read"))
    await lab.open()


async def test_any_ref_can_be_tried_on_and_only_a_branch_is_gone_back_to(lab: Lab) -> None:
    before = await lab.head()
    await lab.branch("v1", kind="tag")
    await lab.set("/plan/nodes", 4)
    for source, target in (("main~1", "main"), ("v1", ""), (before.id.hex()[:10], "")):
        made = await lab.open(source)
        assert (made.base, made.target, made.source) == (before.id, target, source)
        assert await lab.value("/plan/nodes", f"spec:{made.handle}") == 3
    with pytest.raises(RefNotFound):
        await lab.open("nowhere")
    with pytest.raises(InvalidName):
        await lab.open(label="two\nlines")


async def test_what_was_opened_and_tried_outlives_the_process(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        handle = await Lab(desk.repo).tried(("set", "/a", 1), label="kept")
    async with open_desk(tmp_path) as desk:
        again = Lab(desk.repo)
        assert await again.value("/a", f"spec:{handle}") == 1
        assert (await again.attempt(handle, ("set", "/b", 2))).label == "kept"
        assert (await again.promote(handle)).changed == 2
        assert await again.value() == {"a": 1, "b": 2}
        assert await again.is_whole()


async def test_a_repeated_request_opens_one_speculation(lab: Lab) -> None:
    one = await lab.open(request_id="r1")
    await lab.attempt(one.handle, ("set", "/a", 1))
    again = await lab.open(request_id="r1")
    assert again == replace(one, replayed=True)
    assert len(await lab.speculations()) == 1
    with pytest.raises(RequestReused):
        await lab.open(label="other", request_id="r1")


# --- trying ---------------------------------------------------------------------


async def test_what_is_tried_stays_apart_until_it_is_committed(lab: Lab) -> None:
    one, other = await lab.tried(("set", "/plan/nodes", 5)), await lab.tried(("delete", "/plan/region"))
    assert await lab.value("/plan") == {"region": "eu", "nodes": 3}
    assert await lab.value("/plan", f"spec:{one}") == {"region": "eu", "nodes": 5}
    assert await lab.value("/plan", f"spec:{other}") == {"nodes": 3}
    await lab.set("/plan/owner", "ana")
    assert "owner" not in await lab.value("/plan", f"spec:{one}")


async def test_a_trial_is_one_commit_that_says_what_it_is(lab: Lab) -> None:
    handle = (await lab.open(label="cheaper")).handle
    done = await lab.attempt(f"spec:{handle}", ("set", "/a", {"b": [1, "2", None]}), ("set", "/plan/nodes", 1))
    assert (done.handle, done.changed, done.label) == (handle, 6, "cheaper")
    commit = await lab.head(f"spec:{handle}")
    assert commit.id == done.head
    assert (commit.category, commit.description) == (Category.EXPLORE, "Tried in speculation cheaper.")
    assert (commit.agent, commit.principal) == (ALICE.agent, ALICE.principal)
    assert await lab.value("/a", f"spec:{handle}") == {"b": [1, "2", None]}
    unnamed = await lab.tried(("set", "/x", 1))
    assert (await lab.head(f"spec:{unnamed}")).description == "Tried in a speculation."


@pytest.mark.parametrize("text", ['{"a": 1}', "[1, 2]", "12", "null", "true"])
async def test_a_text_that_looks_like_json_stays_a_text(lab: Lab, text: str) -> None:
    handle = await lab.tried(("set", "/text", text), ("set", "/parsed", {"text": [text]}))
    assert await lab.value("/text", f"spec:{handle}") == text
    await lab.promote(handle)
    assert await lab.value("/parsed") == {"text": [text]}


async def test_operations_are_done_together_or_not_at_all(lab: Lab) -> None:
    handle = (await lab.open()).handle
    for bad, error in (
        (("delete", "/nothing"), PathNotFound),
        (("test", "/plan/nodes", 4), TestFailed),
        (("set", "/_meta/schema_version", "9"), Forbidden),
        (("set", "/", {"_meta": {}}), Forbidden),
        (("set", "/plans/p", {}), Forbidden),
    ):
        with pytest.raises(error):
            await lab.attempt(handle, ("set", "/a", 1), bad)
    with pytest.raises(InvalidArgument):
        await lab.attempt(handle)
    assert await lab.value("/", f"spec:{handle}") == await lab.value()


async def test_what_changes_nothing_makes_no_commit(lab: Lab) -> None:
    made = await lab.open()
    same = await lab.attempt(made.handle, ("set", "/plan/nodes", 3), ("test", "/plan/region", "eu"))
    assert (same.changed, same.head) == (0, made.base)


async def test_a_repeated_request_tries_once(lab: Lab) -> None:
    handle = (await lab.open()).handle
    one = await lab.attempt(handle, ("append", "/list", 1), request_id="r1")
    again = await lab.attempt(f"spec:{handle}", ("append", "/list", 1), request_id="r1")
    assert again == replace(one, replayed=True)
    assert await lab.value("/list", f"spec:{handle}") == [1]
    with pytest.raises(RequestReused):
        await lab.attempt(handle, ("append", "/list", 2), request_id="r1")


@pytest.mark.parametrize("write", ["apply", "revert", "delete_branch", "branch over it"])
async def test_the_tools_for_branches_leave_speculations_alone(lab: Lab, write: str) -> None:
    handle = await lab.tried(("set", "/a", 1))
    calls: dict[str, Callable[[], Awaitable[Any]]] = {
        "apply": lambda: lab.set("/a", 2, ref=f"spec:{handle}"),
        "revert": lambda: lab.revert(f"spec:{handle}", ref=f"spec:{handle}"),
        "delete_branch": lambda: lab.repo.delete_branch(f"spec:{handle}", ALICE),
        "branch over it": lambda: lab.branch(f"spec:{handle}"),
    }
    with pytest.raises((Forbidden, RefNotFound, InvalidName)):
        await calls[write]()
    assert await lab.value("/a", f"spec:{handle}") == 1


# --- to others ------------------------------------------------------------------


def calls_of_bob(lab: Lab, handle: str, own: str) -> list[Callable[[], Awaitable[Any]]]:
    """All that somebody can do with a handle, done by another than its owner."""
    seen = Desk(lab.repo.seen_by(BOB.principal))
    named = Intent(Category.FIX, "Mine.", provenance={"alternatives": [{"description": "x", "handle": handle}]})
    return [
        lambda: seen.value("/", f"spec:{handle}"),
        lambda: seen.diff("main", f"spec:{handle}"),
        lambda: seen.branch("copy", f"spec:{handle}"),
        lambda: lab.open(f"spec:{handle}", author=BOB),
        lambda: lab.attempt(handle, ("set", "/a", 2), author=BOB),
        lambda: lab.repo.speculations.compare([own, handle], BOB),
        lambda: lab.promote(handle, author=BOB),
        lambda: lab.promote(own, f"spec:{handle}", author=BOB),
        lambda: lab.promote(own, intent=named, author=BOB),
        lambda: lab.drop(handle, author=BOB),
        lambda: lab.set("/a", 2, ref=f"spec:{handle}", author=BOB),
        lambda: lab.repo.delete_branch(f"spec:{handle}", BOB),
    ]


async def refused(call: Callable[[], Awaitable[Any]]) -> AsgError:
    """The error of a call that must fail."""
    with pytest.raises(AsgError) as caught:
        await call()
    return caught.value


async def test_to_another_principal_it_is_as_if_it_were_not_there(lab: Lab) -> None:
    mine, own = await lab.tried(("set", "/a", 1), label="secret"), await lab.tried(("set", "/b", 1), author=BOB)
    told = []
    for handle in (mine, "0123456789ab"):
        errors = [await refused(call) for call in calls_of_bob(lab, handle, own)]
        assert [error.code for error in errors] == ["handle_not_found"] * 10 + ["forbidden", "ref_not_found"]
        told.append([str(error.as_dict()).replace(handle, "HANDLE") for error in errors])
    assert told[0] == told[1]
    assert await lab.speculations(BOB.principal) == [f"spec:{own}"]
    assert [item.handle for item in lab.items(BOB.principal)] == [own]
    assert [item.handle for item in lab.items()] == [own, mine]
    assert await lab.speculations() == sorted([f"spec:{own}", f"spec:{mine}"])
    assert await lab.value("/a", f"spec:{mine}") == 1


# --- quotas and age -------------------------------------------------------------


async def test_nobody_holds_more_than_the_quota_open(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    assert SPECULATIONS_OPEN_MAX == 100
    monkeypatch.setattr(speculation, "SPECULATIONS_OPEN_MAX", 3)
    monkeypatch.setattr(speculation, "_PAGE", 2)
    handles = [(await lab.open()).handle for _ in range(3)]
    with pytest.raises(LimitExceeded) as caught:
        await lab.open()
    assert caught.value.details["limit"] == "SPECULATIONS_OPEN_MAX"
    await lab.open(author=BOB)
    await lab.drop(handles[0])
    await lab.open()


async def test_one_that_is_too_old_is_of_no_use_and_goes_when_its_principal_opens_another(
    lab: Lab, clock: Clock
) -> None:
    old, others = await lab.tried(("set", "/a", 1)), await lab.tried(("set", "/a", 2), author=BOB)
    clock.pass_by(SPECULATION_SECONDS - 60)
    young = await lab.tried(("set", "/b", 1))
    clock.pass_by(60)
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: lab.attempt(old, ("set", "/a", 2)),
        lambda: lab.promote(old),
        lambda: lab.repo.speculations.compare([young, old], ALICE),
        lambda: lab.open(f"spec:{old}"),
        lambda: lab.value("/a", f"spec:{old}"),
        lambda: lab.diff("main", f"spec:{old}"),
    ]
    for call in calls:
        with pytest.raises(HandleNotFound, match="expired"):
            await call()
    assert await lab.speculations(ALICE.principal) == [f"spec:{young}"]
    assert {item.handle: item.status for item in lab.items()}[old] == "expired"
    newest = (await lab.open()).handle
    assert await lab.speculations() == sorted(f"spec:{handle}" for handle in (young, newest))
    assert {item.handle: item.status for item in lab.items()}[others] == "expired"
    with pytest.raises(HandleNotFound, match="expired at") as caught:
        await lab.promote(old)
    assert caught.value.details["status"] == "expired"
    with pytest.raises(HandleNotFound):
        await lab.value("/a", f"spec:{old}")
    assert {item.handle: item.status for item in lab.items()}[old] == "expired"
    assert {item.handle: item.changes for item in lab.items()}[old] == 1


@pytest.mark.parametrize("is_dropped", [False, True])
async def test_what_an_expired_one_taught_can_still_be_kept(lab: Lab, clock: Clock, is_dropped: bool) -> None:
    old = await lab.tried(("set", "/a", 1))
    clock.pass_by(SPECULATION_SECONDS)
    if is_dropped:
        await lab.open()
    with pytest.raises(HandleNotFound):
        await lab.drop(old, "not yours", author=BOB)
    kept = await lab.drop(old, "Too slow.", request_id="r")
    assert (kept.handle, kept.lesson) == (old, "Too slow.")
    assert (await lab.drop(old, "Too slow.", request_id="r")).replayed
    item = next(item for item in lab.items() if item.handle == old)
    assert (item.status, item.lesson, item.changes) == ("discarded", "Too slow.", 1)
    assert len(await lab.speculations()) == int(is_dropped)
    with pytest.raises(HandleNotFound, match="discarded: Too slow"):
        await lab.drop(old)


async def test_what_others_hold_open_is_not_looked_at(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [replace(BOB, principal=f"local:{number}") for number in range(40)]
    for other in others:
        await lab.open(author=other)
    mine = [(await lab.open()).handle for _ in range(3)]
    await lab.branch("zz")
    looked: list[str] = []
    real = SqliteReader.record

    def look(reader: SqliteReader, kind: RecordKind, key: str) -> Any:
        looked.append(key)
        return real(reader, kind, key)

    monkeypatch.setattr(SqliteReader, "record", look)
    newest = (await lab.open()).handle
    assert len(looked) <= 3 + 4
    looked.clear()
    assert await lab.speculations(ALICE.principal) == sorted(f"spec:{handle}" for handle in (*mine, newest))
    assert set(looked) == {*mine, newest}
    everything = await lab.repo.seen_by(ALICE.principal).list_refs("", kind="all", limit=500, cursor="")
    assert [ref.name for ref in everything.refs if ref.kind != "speculation"] == ["main", "zz"]
    assert (everything.total, len(everything.refs)) == (6, 6)
    assert len(await lab.speculations()) == 44


async def test_the_log_tells_what_became_of_each(lab: Lab, clock: Clock) -> None:
    expired = await lab.tried(("set", "/a", 1))
    clock.pass_by(SPECULATION_SECONDS)
    compared, dropped = await lab.tried(("set", "/a", 2)), (await lab.open()).handle
    await lab.repo.speculations.compare([compared, dropped], ALICE)
    await lab.drop(dropped)
    await lab.promote(compared)

    def events(view: View) -> list[tuple[str, str, bool, bool]]:
        rows = [view.reader.event(index) for index in range(view.reader.events_count())]
        found = [event_of(view.reader, row) for row in rows if row is not None]
        return [
            (event.kind.value, event.subject, event.old is not None, event.new is not None)
            for event in found
            if event.subject
        ]

    assert lab.repo._read(events) == [
        ("speculation_opened", expired, False, True),
        ("speculation_expired", expired, True, False),
        ("speculation_opened", compared, False, True),
        ("speculation_opened", dropped, False, True),
        ("speculation_compared", compared, False, False),
        ("speculation_compared", dropped, False, False),
        ("speculation_discarded", dropped, True, False),
        ("speculation_committed", compared, True, False),
    ]


async def test_age_does_not_count_against_the_quota(lab: Lab, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speculation, "SPECULATIONS_OPEN_MAX", 2)
    await lab.open()
    await lab.open()
    clock.pass_by(SPECULATION_SECONDS)
    await lab.open()
    assert len(await lab.speculations()) == 1


# --- comparing ------------------------------------------------------------------


async def test_each_is_compared_with_its_base_and_with_every_other(lab: Lab) -> None:
    await lab.set("/list", [1, 2, 3])
    one = await lab.tried(("set", "/plan/nodes", 5), ("delete", "/plan/region"), label="five")
    other = await lab.tried(("set", "/plan/nodes", 9), ("append", "/list", 4), ("set", "/plan/region", 1))
    third = (await lab.open()).handle
    found = await lab.repo.speculations.compare([one, f"spec:{other}", third, one], ALICE)
    assert [item.handle for item in found.speculations] == [one, other, third]
    first, second, idle = found.speculations
    assert (first.label, first.target, first.conflicts) == ("five", "main", ())
    assert first.changed.counts == {"remove": 1, "replace": 1}
    assert [(item.op, *paths([item]), item.old, item.new) for item in first.changed.changes] == [
        ("replace", "/plan/nodes", 3, 5),
        ("remove", "/plan/region", "eu", ABSENT),
    ]
    assert second.changed.counts == {"add": 1, "replace": 1, "type": 1}
    assert (idle.changed, idle.base, idle.head) == (sr.ChangeSet((), {}), idle.base, idle.base)
    assert [(pair.one, pair.other) for pair in found.pairs] == [(one, other), (one, third), (other, third)]
    assert found.pairs[0].changed.counts == {"add": 2, "replace": 1}
    assert found.pairs[1].changed.counts == {"add": 1, "replace": 1}


async def test_comparing_tells_what_would_stand_in_the_way_on_the_branch(lab: Lab) -> None:
    handle = await lab.tried(("set", "/plan/nodes", 5), ("set", "/plan/owner", "ana"))
    lost = await lab.tried(("set", "/a", 1), source="main~0")
    await lab.branch("v1", kind="tag")
    homeless = await lab.tried(("set", "/a", 1), source="v1")
    await lab.set("/plan/nodes", 8, author=BOB)
    found = await lab.repo.speculations.compare([handle, lost, homeless], ALICE)
    conflicts = found.speculations[0].conflicts
    assert conflicts is not None
    assert [(*paths([item]), item.base, item.ours, item.theirs) for item in conflicts] == [("/plan/nodes", 3, 8, 5)]
    assert conflicts[0].ours_by is not None
    assert conflicts[0].ours_by.principal == BOB.principal
    assert [item.conflicts for item in found.speculations[1:]] == [(), None]
    assert await lab.value("/plan/nodes") == 8


async def test_what_was_compared_is_recorded_once(lab: Lab) -> None:
    handles = [await lab.tried(("set", "/n", number)) for number in range(3)]
    await lab.repo.speculations.compare(handles[:2], ALICE)
    length = await lab.events()
    await lab.repo.speculations.compare(handles[1::-1], ALICE)
    await lab.repo.speculations.compare(handles[:1], ALICE)
    assert await lab.events() == length
    await lab.repo.speculations.compare(handles, ALICE, "r1")
    assert await lab.events() == length + 3
    await lab.repo.speculations.compare(handles, ALICE, "r1")
    with pytest.raises(RequestReused):
        await lab.repo.speculations.compare(handles[:2], ALICE, "r1")
    recorded = lab.repo._read(
        lambda view: {one.key: one.data["compared"] for one in view.reader.records(RecordKind.SPECULATION, 999, 9)}
    )
    assert {key: sorted(compared) for key, compared in recorded.items()} == {
        key: sorted(set(handles) - {key}) for key in handles
    }


async def test_a_comparison_has_a_limit_and_counts_what_it_does_not_show(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidArgument):
        await lab.repo.speculations.compare([], ALICE)
    with pytest.raises(LimitExceeded):
        await lab.repo.speculations.compare([str(number) for number in range(SPECULATIONS_COMPARED_MAX + 1)], ALICE)
    handle = await lab.tried(("set", "/many", {f"k{number}": number for number in range(60)}))
    await lab.set("/many", {})
    await lab.set("/a", 0)
    wide = await lab.tried(*(("set", f"/many/k{number}", number) for number in range(60)))
    found = await lab.repo.speculations.compare([handle, wide], ALICE)
    assert len(found.speculations[1].changed.changes) == 50
    assert found.speculations[1].changed.counts == {"add": 60}
    assert sum(found.pairs[0].changed.counts.values()) <= CHANGES_COUNTED_MAX


# --- committing -----------------------------------------------------------------


async def test_what_others_committed_meanwhile_is_never_reverted(lab: Lab) -> None:
    handle = await lab.tried(("set", "/plan/nodes", 5), ("delete", "/plan/region"))
    others = await lab.set("/plan/owner", "bob", author=BOB)
    await lab.set("/z", 1, author=BOB)
    done = await lab.promote(handle)
    head = await lab.head()
    assert (done.commit, done.ref, done.rebased, done.conflicts) == (head.id, "main", True, ())
    assert await lab.value() == {"plan": {"nodes": 5, "owner": "bob"}, "z": 1}
    assert (head.category, head.description, head.reasoning) == (WINNER.category, WINNER.description, WINNER.reasoning)
    assert head.parents == (done.parent,)
    assert others.commit in [item.id for item in (await lab.repo.log("main", (), limit=9, cursor="")).commits]
    assert (await lab.blame("/plan/owner"))[0].commit.principal == BOB.principal
    assert (await lab.blame("/plan/nodes"))[0].commit.id == head.id
    assert await lab.speculations() == []


async def test_many_trials_become_one_commit_of_their_net_effect(lab: Lab) -> None:
    handle = (await lab.open()).handle
    await lab.attempt(handle, ("set", "/scratch", 1), ("set", "/plan/nodes", 4))
    await lab.attempt(handle, ("delete", "/scratch"), ("set", "/plan/nodes", 6))
    before = await lab.head()
    done = await lab.promote(handle)
    assert (done.changed, done.rebased, done.parent) == (1, False, before.id)
    assert await lab.log() == [(await lab.head()).seq, before.seq, 1]
    assert await lab.value() == {"plan": {"region": "eu", "nodes": 6}}


async def test_both_sides_of_a_conflict_come_back_and_the_handle_stays(lab: Lab) -> None:
    handle = await lab.tried(("set", "/plan/nodes", 5), ("set", "/a", 1))
    await lab.set("/plan/nodes", 8, author=BOB)
    length = await lab.events()
    found = await lab.promote(handle, request_id="r1")
    [conflict] = found.conflicts
    assert (found.commit, found.changed) == (None, 0)
    assert (*paths([conflict]), conflict.base, conflict.ours, conflict.theirs) == ("/plan/nodes", 3, 8, 5)
    assert conflict.ours_by is not None
    assert conflict.theirs_by is not None
    assert (conflict.ours_by.principal, conflict.theirs_by.principal) == (BOB.principal, ALICE.principal)
    assert await lab.events() == length
    await lab.attempt(handle, ("set", "/b", 2))
    with pytest.raises(InvalidArgument):
        await lab.promote(handle, resolutions=(settle("/plan/region", "ours"),))
    done = await lab.promote(handle, resolutions=(settle("/plan/nodes", "value", 6),), request_id="r1")
    assert done.commit == (await lab.head()).id
    assert await lab.value() == {"plan": {"region": "eu", "nodes": 6}, "a": 1, "b": 2}


@pytest.mark.parametrize(("take", "nodes"), [("ours", 8), ("theirs", 5), ("base", 3)])
async def test_a_conflict_is_settled_by_taking_a_side(lab: Lab, take: str, nodes: int) -> None:
    handle = await lab.tried(("set", "/plan/nodes", 5), ("set", "/a", 1))
    await lab.set("/plan/nodes", 8, author=BOB)
    done = await lab.promote(handle, resolutions=(settle("/plan", take),))
    assert await lab.value("/plan/nodes") == nodes
    assert await lab.value("/a") == 1
    assert done.conflicts == ()


async def test_the_rules_in_the_schema_of_the_target_settle_what_they_can(lab: Lab) -> None:
    rule = {"properties": {"hits": {"x-asg-merge": "sum"}}}
    await lab.apply(("set", "/__schema__", rule), ("set", "/hits", 10))
    handle = await lab.tried(("set", "/hits", 15))
    await lab.set("/hits", 12, author=BOB)
    assert (await lab.promote(handle)).conflicts == ()
    assert await lab.value("/hits") == 17


async def test_what_the_caller_read_is_checked_and_a_refusal_keeps_the_handle(lab: Lab) -> None:
    first = (await lab.repo.log("main", (), limit=9, cursor="")).commits[-1].id.hex()
    read = (await lab.head()).id.hex()
    handle = await lab.tried(("set", "/plan/nodes", 5))
    await lab.set("/plan/region", "us", author=BOB)
    with pytest.raises(HeadMoved):
        await lab.promote(handle, expected_head=first)  # there was no /plan then
    with pytest.raises(ObjectChanged):
        await lab.promote(handle, expected_object="0" * 12)
    assert await lab.speculations() == [f"spec:{handle}"]
    done = await lab.promote(handle, expected_head=read)
    assert (done.rebased, await lab.value("/plan")) == (True, {"region": "us", "nodes": 5})


async def test_a_storage_error_in_the_middle_keeps_the_handle(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    handle = await lab.tried(("set", "/a", 1))

    def full(*_: Any) -> None:
        raise StoreFull("No space is left")

    with monkeypatch.context() as patched:
        patched.setattr(promoting, "end", full)
        with pytest.raises(StoreFull):
            await lab.promote(handle)
    assert "a" not in await lab.value()
    await lab.promote(handle)
    assert await lab.value("/a") == 1


async def test_a_trial_without_effect_ends_without_a_commit(lab: Lab) -> None:
    handle = await lab.tried(("set", "/a", 1))
    others = await lab.set("/a", 1, author=BOB)
    done = await lab.promote(handle)
    assert (done.commit, done.changed, done.alternatives) == (others.commit, 0, ())
    assert await lab.speculations() == []


async def test_another_target_gets_what_was_tried_and_nothing_else(lab: Lab) -> None:
    await lab.branch("release")
    await lab.set("/a", "of main")
    handle = await lab.tried(("set", "/plan/nodes", 5))
    done = await lab.promote(handle, "release")
    assert (done.ref, await lab.value("/", "release")) == ("release", {"plan": {"region": "eu", "nodes": 5}})
    assert await lab.value("/plan/nodes") == 3


async def test_what_came_from_no_branch_needs_a_target(lab: Lab) -> None:
    await lab.branch("v1", kind="tag")
    handle = await lab.tried(("set", "/plan/nodes", 5), source="v1")
    with pytest.raises(InvalidArgument, match="v1"):
        await lab.promote(handle)
    with pytest.raises(Forbidden):
        await lab.promote(handle, "v1")
    with pytest.raises(RefNotFound):
        await lab.promote(handle, "nowhere")
    with pytest.raises(InvalidArgument):
        await lab.promote(handle, f"spec:{handle}")
    assert (await lab.promote(handle, "main")).changed == 1


async def test_nothing_that_has_tools_of_its_own_changes_through_a_speculation(lab: Lab) -> None:
    handle = await lab.tried(("set", "/", {"fresh": True}))
    done = await lab.promote(handle, resolutions=())
    assert await lab.value() == {"fresh": True}
    assert done.changed == 4
    with pytest.raises(Forbidden):
        await lab.tried(("move", "/_meta", "/fresh"))


async def test_a_repeated_request_commits_once(lab: Lab) -> None:
    handle, other = await lab.tried(("set", "/a", 1)), await lab.tried(("set", "/a", 2))
    await lab.repo.speculations.compare([handle, other], ALICE)
    done = await lab.promote(handle, request_id="r1")
    assert await lab.promote(f"spec:{handle}", request_id="r1") == replace(done, replayed=True)
    assert done.alternatives == (other,)
    with pytest.raises(RequestReused):
        await lab.promote(other, request_id="r1")
    assert len(await lab.log()) == 3


async def test_ending_twice_is_answered_with_what_became_of_it(lab: Lab) -> None:
    handle, other = await lab.tried(("set", "/a", 1)), await lab.tried(("set", "/b", 2))
    done = await lab.promote(handle)
    assert done.commit is not None
    await lab.drop(other, "Too slow.")
    calls: list[Callable[[str], Awaitable[Any]]] = [
        lab.promote,
        lab.drop,
        lambda ended: lab.attempt(ended, ("set", "/a", 3)),
    ]
    for call in calls:
        with pytest.raises(HandleNotFound, match=f"committed to main as {done.commit.short}") as caught:
            await call(handle)
        assert (caught.value.details["status"], caught.value.details["commit"]) == ("committed", done.commit.hex())
        with pytest.raises(HandleNotFound, match=r"discarded: Too slow"):
            await call(other)


async def test_of_two_commits_at_once_one_wins_and_the_other_learns_of_it(lab: Lab) -> None:
    handle, other = await lab.tried(("append", "/list", 1)), await lab.tried(("set", "/b", 2))
    calls = [lab.promote(handle), lab.promote(handle), lab.promote(other, request_id="r"), lab.drop(handle)]
    found = await asyncio.gather(*calls, lab.promote(other, request_id="r"), return_exceptions=True)
    assert [type(item) for item in (found[1], found[3])] == [HandleNotFound, HandleNotFound]
    assert found[4] == replace(cast(sr.PromoteResult, found[2]), replayed=True)
    assert await lab.value("/list") == [1]


# --- a speculation of a speculation ---------------------------------------------


async def test_one_opened_from_another_brings_what_both_tried(lab: Lab) -> None:
    outer = await lab.tried(("set", "/plan/nodes", 5), ("set", "/new", {"a": 1}))
    inner = await lab.tried(("set", "/new/b", 2), source=f"spec:{outer}")
    await lab.attempt(outer, ("set", "/later", True))
    await lab.set("/z", 1, author=BOB)
    done = await lab.promote(inner)
    assert done.ref == "main"
    assert await lab.value() == {"plan": {"region": "eu", "nodes": 5}, "new": {"a": 1, "b": 2}, "z": 1}
    assert await lab.speculations() == [f"spec:{outer}"]
    await lab.promote(outer)
    assert (await lab.value("/later"), await lab.value("/new")) == (True, {"a": 1, "b": 2})


async def test_one_opened_from_another_can_go_back_to_it_alone(lab: Lab) -> None:
    outer = await lab.tried(("set", "/a", 1))
    inner = await lab.tried(("set", "/b", 2), source=f"spec:{outer}")
    await lab.attempt(outer, ("set", "/c", 3), ("delete", "/a"))
    done = await lab.promote(inner, f"spec:{outer}")
    assert done.ref == f"spec:{outer}"
    assert "b" not in await lab.value()
    assert await lab.value("/", f"spec:{outer}") == {"plan": await lab.value("/plan"), "b": 2, "c": 3}
    await lab.promote(outer)
    assert await lab.value() == {"plan": await lab.value("/plan"), "b": 2, "c": 3}


COUNTED = {"properties": {"n": {"x-asg-merge": "sum"}, "log": {"x-asg-merge": "concat"}}}
STEP = (("set", "/n", 1), ("append", "/log", "outer"))


async def _counted(lab: Lab) -> None:
    """A state in which what is brought twice shows."""
    await lab.apply(("set", "/__schema__", COUNTED), ("set", "/n", 0), ("set", "/log", []))


async def _once(lab: Lab, ref: str = "main") -> bool:
    return (await lab.value("/n", ref), await lab.value("/log", ref)) == (1, ["outer"])


@pytest.mark.parametrize("ends", ["oi", "io", "oij", "ijo", "ioj", "jio"])
async def test_what_a_family_tried_is_brought_once_in_whatever_order_it_is_committed(lab: Lab, ends: str) -> None:
    await _counted(lab)
    outer = await lab.tried(*STEP)
    inner = await lab.tried(("set", "/x", 1), source=f"spec:{outer}")
    other = await lab.tried(("set", "/y", 1), source=f"spec:{outer}")
    for name in ends:
        handle = {"o": outer, "i": inner, "j": other}[name]
        before = await lab.value("/n")
        (shown,) = (await lab.repo.speculations.compare([handle], ALICE)).speculations
        done = await lab.promote(handle)
        assert (shown.conflicts, done.conflicts) == ((), ())
        assert await _once(lab)
        assert ("/n" in paths(shown.changed.changes)) is (before == 0)
    assert (await lab.value("/x")) == 1


async def test_what_was_reverted_meanwhile_does_not_come_back_with_a_child(lab: Lab) -> None:
    outer = await lab.tried(("set", "/a", 1))
    inner = await lab.tried(("set", "/x", 1), source=f"spec:{outer}")
    sibling = await lab.tried(("set", "/y", 1), source=f"spec:{outer}")
    done = await lab.promote(outer)
    assert done.commit is not None
    await lab.revert(done.commit.hex())
    (shown,) = (await lab.repo.speculations.compare([inner], ALICE)).speculations
    assert paths(shown.changed.changes) == ["/x"]
    await lab.promote(inner)
    await lab.promote(sibling)
    assert set(await lab.value()) == {"plan", "x", "y"}


async def test_what_came_by_way_of_another_branch_or_speculation_is_brought_once(lab: Lab) -> None:
    await _counted(lab)
    await lab.branch("side")
    outer = await lab.tried(*STEP)
    inner, other, last = [await lab.tried(("set", path, 1), source=f"spec:{outer}") for path in ("/x", "/y", "/z")]
    await lab.promote(inner, "side")
    await lab.merge("side")
    await lab.promote(other, f"spec:{outer}")
    assert await _once(lab, f"spec:{outer}")
    await lab.promote(outer)
    await lab.promote(last)
    assert await _once(lab)
    assert set(await lab.value()) == {"__schema__", "plan", "n", "log", "x", "y", "z"}


async def test_a_sibling_takes_only_what_it_has_not(lab: Lab) -> None:
    await _counted(lab)
    outer = await lab.tried(*STEP)
    inner, other = [await lab.tried(("set", path, 1), source=f"spec:{outer}") for path in ("/x", "/y")]
    await lab.promote(inner, f"spec:{other}")
    assert await _once(lab, f"spec:{other}")
    await lab.promote(other)
    await lab.promote(outer)
    assert await _once(lab)


async def test_what_was_committed_elsewhere_is_brought_here_still(lab: Lab) -> None:
    await lab.branch("side")
    outer = await lab.tried(("set", "/a", 1))
    inner = await lab.tried(("set", "/b", 1), source=f"spec:{outer}")
    await lab.promote(outer, "side")
    await lab.attempt(inner, ("set", "/c", 1))
    await lab.promote(inner)
    assert set(await lab.value()) == {"plan", "a", "b", "c"}


async def test_two_that_go_to_each_other_come_to_an_end(lab: Lab) -> None:
    one, other = await lab.tried(("set", "/a", 1)), await lab.tried(("set", "/b", 1))
    of_one = await lab.tried(("set", "/c", 1), source=f"spec:{one}")
    of_other = await lab.tried(("set", "/d", 1), source=f"spec:{other}")
    await lab.promote(of_one, f"spec:{other}")
    await lab.promote(of_other, f"spec:{one}")
    await lab.promote(one)
    await lab.promote(other)
    assert set(await lab.value()) == {"plan", "a", "b", "c", "d"}


async def test_one_opened_before_the_other_began_reverts_nothing(lab: Lab) -> None:
    await lab.set("/kept", 1)
    outer = await lab.tried(("set", "/a", 1))
    inner = await lab.tried(("set", "/b", 2), source=f"spec:{outer}~2")
    await lab.promote(inner)
    assert await lab.value() == {"plan": await lab.value("/plan"), "kept": 1, "b": 2}


# --- alternatives ---------------------------------------------------------------


async def test_the_commit_names_what_it_was_compared_with_beside_what_the_caller_names(lab: Lab) -> None:
    winner = await lab.tried(("set", "/a", 1), label="one")
    beaten = await lab.tried(("set", "/a", 2), ("set", "/b", 2), label="two")
    unnamed = await lab.tried(("set", "/a", 3))
    alone = await lab.tried(("set", "/a", 4), label="four")
    await lab.repo.speculations.compare([winner, beaten, unnamed, alone], ALICE)
    await lab.drop(beaten, "It lost the order.")
    given = [
        {"description": "Do nothing", "why_not": "It burns."},
        {"description": "The quick one", "handle": f"spec:{alone}", "why_not": "Too quick."},
    ]
    intent = replace(WINNER, provenance={"alternatives": given, "expected": "calm"})
    done = await lab.promote(winner, intent=intent)
    assert done.alternatives == (alone, beaten, unnamed)
    assert (await lab.head()).provenance == {
        "expected": "calm",
        "alternatives": [
            {"description": "Do nothing", "why_not": "It burns."},
            {"description": "The quick one", "handle": alone, "changes": 1, "why_not": "Too quick."},
            {"description": "two", "handle": beaten, "changes": 2, "why_not": "It lost the order."},
            {"description": f"speculation {unnamed}", "handle": unnamed, "changes": 1},
        ],
    }


async def test_the_last_ones_compared_are_remembered(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("asg_mcp.repo.comparing.SPECULATION_ALTERNATIVES_MAX", 2)
    handles = [await lab.tried(("set", "/a", number)) for number in range(1, 5)]
    for other in handles[1:]:
        await lab.repo.speculations.compare([handles[0], other], ALICE)
    assert (await lab.promote(handles[0])).alternatives == (handles[2], handles[3])
    assert SPECULATION_ALTERNATIVES_MAX >= SPECULATIONS_COMPARED_MAX


async def test_too_many_named_alternatives_are_refused(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(promoting, "SPECULATION_ALTERNATIVES_MAX", 1)
    handles = [await lab.tried(("set", "/a", number)) for number in range(4)]
    named = [{"description": "x", "handle": handle} for handle in handles[1:]]
    with pytest.raises(LimitExceeded):
        await lab.promote(handles[0], intent=replace(WINNER, provenance={"alternatives": named}))
    assert await lab.value("/a", f"spec:{handles[0]}") == 0


# --- discarding and listing -----------------------------------------------------


async def test_a_lesson_is_kept_with_what_was_tried(lab: Lab) -> None:
    handle = await lab.tried(("set", "/a", 1), ("set", "/b", 2), label="bold")
    tried = await lab.head(f"spec:{handle}")
    done = await lab.drop(f"spec:{handle}", "Bold is slow.", request_id="r1")
    assert (done.handle, done.label, done.lesson, done.head) == (handle, "bold", "Bold is slow.", tried.id)
    assert await lab.drop(handle, "Bold is slow.", request_id="r1") == replace(done, replayed=True)
    with pytest.raises(HandleNotFound):
        await lab.value("/", f"spec:{handle}")
    assert (await lab.value("/a", done.head.hex()), await lab.speculations()) == (1, [])
    [item] = lab.items()
    assert (item.status, item.lesson, item.label, item.changes) == ("discarded", "Bold is slow.", "bold", 2)
    assert (item.agent, item.principal, item.source, item.target) == (ALICE.agent, ALICE.principal, "main", "main")
    assert item.ended_at >= item.at


async def test_a_lesson_has_a_limit_and_may_be_missing(lab: Lab) -> None:
    handle = (await lab.open()).handle
    with pytest.raises(LimitExceeded):
        await lab.drop(handle, "é" * (LESSON_BYTES_MAX // 2 + 1))
    assert (await lab.drop(handle)).lesson == ""
    with pytest.raises(HandleNotFound, match=r"was discarded$"):
        await lab.drop(handle)


async def test_what_an_ended_one_changed_is_not_counted_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    won, lost = await lab.tried(("set", "/a", 1)), await lab.tried(("set", "/b", 1), ("set", "/c", 1))
    await lab.promote(won)
    await lab.drop(lost)
    monkeypatch.setattr(speculation, "differences", lambda *_: pytest.fail("counted again"))
    assert [item.changes for item in lab.items()] == [2, 1]


async def test_all_are_listed_newest_first_page_by_page(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speculation, "_PAGE", 2)
    handles = [await lab.tried(("set", "/n", number), label=f"n{number}") for number in range(5)]
    done = await lab.promote(handles[3])
    await lab.drop(handles[1], "No.")
    found = lab.items()
    assert [item.handle for item in found] == handles[::-1]
    assert [item.status for item in found] == ["open", "committed", "open", "discarded", "open"]
    assert [item.commit for item in found] == [None, done.commit, None, None, None]
    assert all(item.changes == 1 for item in found)
    rest = lab.items(before=found[1].index, wanted=lambda item: item.status == "open")
    assert [item.label for item in rest] == ["n2", "n0"]


# --- sessions -------------------------------------------------------------------


async def test_a_session_is_bound_to_its_paths_and_its_branch_here_too(lab: Lab) -> None:
    await lab.branch("release")
    opened = await lab.repo.open_session(SessionRequest("worker", "main", (parse_path("/plan"),)), ALICE)
    worker = Author(ALICE.principal, "worker", "", opened.handle)
    inside, wide = await lab.tried(("set", "/plan/nodes", 5), author=worker), await lab.tried(("set", "/a", 1))
    with pytest.raises(Forbidden):
        await lab.attempt(inside, ("set", "/plan/nodes", 6), ("set", "/a", 1), author=worker)
    with pytest.raises(Forbidden):
        await lab.promote(inside, "release", author=worker)
    with pytest.raises(Forbidden):
        await lab.promote(wide, author=worker)
    other = replace(worker, agent="somebody else")
    calls: list[Callable[[], Awaitable[Any]]] = [
        lambda: lab.open(author=other),
        lambda: lab.drop(inside, author=other),
        lambda: lab.repo.speculations.compare([inside, wide], other),
        lambda: lab.attempt(inside, ("set", "/plan/nodes", 5), author=other),
    ]
    for call in calls:
        with pytest.raises(Forbidden):
            await call()
    assert len(await lab.speculations()) == 2
    idle = (await lab.open(author=worker)).handle
    with pytest.raises(Forbidden):
        await lab.promote(idle, "release", author=worker)  # though there is nothing to write
    await lab.promote(inside, author=worker)
    assert (await lab.head()).session == opened.handle
    assert await lab.value("/plan/nodes") == 5
