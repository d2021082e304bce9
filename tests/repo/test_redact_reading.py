"""Whatever meets an erased value or text says so: it does not crash, and does not answer empty or wrong."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.commitments import ValueIdMaker
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import HeadMoved, RequestReused, TestFailed, Withheld
from asg_mcp.repo.repository import Guard, MergeRequest, Query, Resolution
from asg_mcp.repo.requests import EpochRequest, OutcomeRequest, PromoteRequest, RevertRequest, SessionRequest
from asg_mcp.repo.results import StateItem
from asg_mcp.services.bundles import bundle
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.services.listing import intents, records
from tests.repo.redactdesk import ALICE, RedactDesk, holding, open_redact_desk, quiet
from tests.services.plan_desk import PlanDesk

SECRET, WORD = "hunter2-Qx91zz", "qx91zz"
WHY = Intent(Category.REFINE, "It goes on.")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[RedactDesk]:
    async with open_redact_desk(tmp_path) as made:
        yield made
        assert (await made.repo.verify(quiet)).ok


def op(kind: str, path: str, *value: Any) -> Operation:
    return Operation(Op(kind), parse_path(path), *value)


def is_marker(value: Any) -> bool:
    return isinstance(value, dict) and value.keys() == {"$withheld"} and len(value["$withheld"]) == 12


async def test_a_subtree_has_markers_and_names_their_paths_and_the_path_itself_is_withheld(desk: RedactDesk) -> None:
    lookalike = {"$withheld": "0123456789ab"}
    await desk.set("/db", {"password": SECRET, "hosts": ["a", SECRET], "port": 1, "like": lookalike})
    object_before = (await desk.get("/db")).object
    await desk.redact("value", value=SECRET)
    found = await desk.get("/db")
    assert found.object == object_before
    assert is_marker(found.value["password"])
    assert found.value["hosts"][0] == "a"
    assert is_marker(found.value["hosts"][1])
    assert found.value["like"] == lookalike
    assert found.withheld == (("db", "hosts", "1"), ("db", "password"))
    with pytest.raises(Withheld, match="was erased"):
        await desk.get("/db/password")


async def test_pages_of_a_list_name_the_elements_by_their_places_in_the_list(desk: RedactDesk) -> None:
    await desk.set("/l", ["x" * 60] * 8 + [SECRET] + ["y" * 60])
    await desk.redact("value", value=SECRET)
    page = await desk.get("/l", max_bytes=300)
    named = list(page.withheld)
    while page.next_cursor:
        page = await desk.get("/l", max_bytes=300, cursor=page.next_cursor)
        named += page.withheld
    assert named == [("l", "8")]


async def test_diff_blame_log_search_and_query_say_withheld(desk: RedactDesk) -> None:
    first = await desk.set("/a", {"password": SECRET, "n": 1})
    await desk.set("/a/password", "other")
    await desk.redact("value", value=SECRET)
    [change] = (await desk.repo.diff(first, "main", (), limit=10, cursor="")).changes
    assert is_marker(change.old)
    assert change.new == "other"
    entries = (await desk.repo.blame("main", ("a", "password"), depth=0, history=True, limit=10, cursor="")).entries
    assert [entry.type for entry in entries] == ["string", "withheld"]
    assert is_marker(entries[1].value)
    assert (await desk.repo.log("main", ("a", "password"), limit=10, cursor="")).commits[1].id.hex() == first
    found = await desk.repo.search(first, "hunter", mode="text", prefix=(), limit=10, cursor="")
    assert (found.matches, found.withheld) == ((), 1)
    [match] = (await desk.repo.search(first, "password", mode="text", prefix=(), limit=10, cursor="")).matches
    assert (match.on, match.type) == ("key", "withheld")
    found = await desk.repo.search(first, "$..password", mode="jsonpath", prefix=(), limit=10, cursor="")
    assert (found.matches, found.withheld) == ((), 1)
    items = (await desk.repo.query(Query("state", ref=first, limit=10))).items
    assert sorted(item.type for item in items if isinstance(item, StateItem)) == ["int", "withheld"]


async def test_an_erased_value_can_be_set_again_and_is_another_then(desk: RedactDesk) -> None:
    await desk.set("/a", SECRET)
    old = (await desk.get("/a")).object
    await desk.redact("value", value=SECRET)
    head = (await desk.get("/")).commit.hex()
    with pytest.raises(TestFailed, match="another value"):
        await desk.apply([op("test", "/a", SECRET)])
    assert await desk.set("/a", SECRET) != head
    again = await desk.get("/a")
    assert (again.value, again.withheld) == (SECRET, ())
    assert again.object != old


async def test_a_value_that_stays_elsewhere_can_be_set_again_where_it_was_erased(desk: RedactDesk) -> None:
    await desk.set("/a", {"x": True, "y": True})
    await desk.redact("path", path=("a", "x"))
    head = (await desk.get("/")).commit.hex()
    assert await desk.set("/a/x", True) != head
    assert (await desk.get("/a")).value == {"x": True, "y": True}
    await desk.redact("path", path=("a", "x"))
    assert is_marker((await desk.get("/a")).value["x"])


async def test_what_was_read_with_markers_and_is_set_again_leaves_what_was_erased_as_it_is(desk: RedactDesk) -> None:
    await desk.set("/a", {"l": ["x", SECRET], "p": SECRET, "n": 1})
    await desk.redact("value", value=SECRET)
    value = (await desk.get("/a")).value
    head = (await desk.get("/")).commit.hex()
    assert await desk.set("/a", value) == head
    assert await desk.set("/a/p", value["p"]) == head
    await desk.set("/a", {**value, "l": ["front", *value["l"]], "n": 2})
    found = await desk.get("/a")
    assert found.withheld == (("a", "l", "2"), ("a", "p"))
    await desk.set("/b", value)  # elsewhere it is a map like any other
    assert (await desk.get("/b")).withheld == ()


async def test_merges_carry_what_was_erased_on_any_side(desk: RedactDesk) -> None:
    await desk.set("/", {"base": SECRET, "list": [1, SECRET, 2], "map": {"k": SECRET}})
    await desk.repo.branch("side", "branch", "main", ALICE)
    await desk.set("/theirs", {"a": SECRET, "b": 1}, ref="side")
    await desk.apply([op("append", "/list", 3)], ref="side")
    await desk.set("/ours", SECRET)
    await desk.apply([op("insert", "/list/0", 0)])
    await desk.redact("value", value=SECRET)
    done = await desk.repo.merge(MergeRequest("side", "main"), WHY, ALICE, Guard())
    assert done.merged
    value = (await desk.get("/")).value
    assert [is_marker(value[name]) for name in ("base", "ours")] == [True, True]
    assert is_marker(value["theirs"]["a"])
    assert [item if isinstance(item, int) else is_marker(item) for item in value["list"]] == [0, 1, True, 2, 3]


async def test_conflicts_with_erased_sides_are_told_and_settled(desk: RedactDesk) -> None:
    await desk.set("/a", "base")
    await desk.repo.branch("side", "branch", "main", ALICE)
    await desk.set("/a", SECRET, ref="side")
    await desk.set("/a", "ours")
    await desk.redact("value", value=SECRET)
    request = MergeRequest("side", "main")
    [conflict] = (await desk.repo.merge(request, WHY, ALICE, Guard())).conflicts
    assert (conflict.base, conflict.ours) == ("base", "ours")
    assert is_marker(conflict.theirs)
    request = MergeRequest("side", "main", resolutions=(Resolution(("a",), "theirs"),))
    assert (await desk.repo.merge(request, WHY, ALICE, Guard())).merged
    with pytest.raises(Withheld):
        await desk.get("/a")


async def test_rules_of_a_schema_meet_what_was_erased_as_a_conflict(desk: RedactDesk) -> None:
    await desk.set("/__schema__", {"properties": {"n": {"x-asg-merge": "sum"}, "t": {"x-asg-merge": "concat"}}})
    await desk.set("/n", 7_123_456)
    await desk.repo.branch("side", "branch", "main", ALICE)
    await desk.set("/n", 8_123_456, ref="side")
    await desk.set("/n", 9_123_456)
    await desk.redact("value", value=9_123_456)
    [conflict] = (await desk.repo.merge(MergeRequest("side", "main"), WHY, ALICE, Guard())).conflicts
    assert is_marker(conflict.ours)
    assert conflict.theirs == 8_123_456


async def test_a_revert_restores_what_was_erased_as_what_it_is(desk: RedactDesk) -> None:
    before = await desk.set("/a", {"password": SECRET, "n": 1})
    after = await desk.set("/a", {"password": "new", "n": 2})
    await desk.redact("value", value=SECRET)
    await desk.repo.revert(RevertRequest("main", commits=(after,)), WHY, ALICE, Guard())
    assert is_marker((await desk.get("/a")).value["password"])
    await desk.set("/a", 1)
    await desk.repo.revert(RevertRequest("main", path=("a",), source=before), WHY, ALICE, Guard())
    assert (await desk.get("/a")).withheld == (("a", "password"),)


async def test_speculations_with_erased_values_are_compared_and_committed(desk: RedactDesk) -> None:
    seen = desk.repo.seen_by(ALICE.principal).speculations
    handles = [(await seen.open("main", label, ALICE)).handle for label in ("one", SECRET)]
    for handle in handles:
        await seen.modify(handle, [op("set", "/t", {"s": SECRET, "h": handle})], ALICE)
    receipt, _ = await desk.redact("value", value=SECRET)
    assert receipt.counts["events"] == 1
    result = await seen.compare(handles, ALICE)
    new: Any = result.speculations[0].changed.changes[0].new
    assert is_marker(new["s"])
    done = await seen.commit(PromoteRequest(handles[0]), WHY, ALICE, Guard())
    assert done.commit is not None
    assert is_marker((await desk.get("/t")).value["s"])
    await seen.discard(handles[1], "It was as good.", ALICE)


async def test_plans_whose_texts_were_erased_are_shown_and_worked_on(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        plans = PlanDesk(desk.repo)
        await plans.plan({"title": f"Rotate {SECRET}"}, "Tell them", description=f"About {SECRET}")
        plan = await desk.find("value", value=SECRET)
        await desk.erase(plan)
        await desk.repo.redactions.finish(plan, quiet)
        told = await plans.next()
        assert "(withheld)" in str(told)
        assert await plans.claim()
        value = (await desk.get("/plans/p")).value
        assert is_marker(value["description"])
        assert is_marker(next(iter(value["tasks"].values()))["title"])
        await plans.plan("One more")
        assert (await desk.repo.verify(quiet)).ok
    assert holding(tmp_path, SECRET, WORD) == []


async def test_a_schema_with_an_erased_part_judges_nothing_and_says_so(desk: RedactDesk) -> None:
    await desk.set("/__schema__", {"properties": {"a": {"const": SECRET}}, "x-asg-mode": "warn"})
    await desk.redact("value", value=SECRET)
    await desk.set("/b", 1)


async def test_texts_of_commits_are_withheld_and_found_no_more(desk: RedactDesk) -> None:
    told: dict[str, Any] = {"description": f"Use {SECRET} there.", "reasoning": "It works.", "tags": ("night",)}
    commit = await desk.set("/a", 1, provenance={"authority": {"principal": "alice@ops"}}, **told)
    await desk.redact("commit", name=commit[:12])
    [info, *_] = (await desk.repo.log("main", (), limit=1, cursor="")).commits
    assert (info.withheld, info.description, info.reasoning, info.tags) == (True, "(withheld)", "", ())
    assert (await desk.repo.query(Query("commits", text=WORD, limit=10))).items == ()
    assert (await desk.repo.query(Query("commits", tags=("night",), limit=10))).items == ()
    assert (await desk.repo.query(Query("commits", authority="alice@ops", limit=10))).items == ()
    assert (await desk.get("/a")).last_change.withheld
    assert (await desk.find("commit", name=commit)).found.nothing


async def test_sessions_outcomes_lessons_and_epochs_whose_texts_went_say_so_and_go_on(desk: RedactDesk) -> None:
    repo = desk.repo.seen_by(ALICE.principal)
    session = await repo.open_session(SessionRequest(agent="planner", description=f"With {SECRET}"), ALICE)
    wrong = OutcomeRequest(session=session.handle, outcome="failed", summary=f"{SECRET} was wrong")
    await desk.repo.resolve(wrong, ALICE)
    made = await repo.speculations.open("main", "try", ALICE)
    await repo.speculations.discard(made.handle, f"Never use {SECRET}.", ALICE)
    await create_epoch(desk.repo, EpochRequest("e1", f"About {SECRET}"), ALICE)
    await desk.set("/a", 1)
    await seal_epoch(desk.repo, "e1", f"No {SECRET}.", ALICE)
    earlier = await bundle(desk.repo, "e1")
    receipt, finished = await desk.redact("value", value=SECRET)
    assert (receipt.counts["events"], finished.left) == (5, {})
    [shown] = (await records(repo, Query("sessions", limit=10))).items
    assert shown["description"] == "(withheld)"
    assert shown["outcome"]["summary"] == "(withheld)"
    assert shown["outcome"]["outcome"] == "failed"
    [shown] = (await records(repo, Query("speculations", limit=10))).items
    assert shown["lesson"] == "(withheld)"
    [shown] = (await records(repo, Query("epochs", limit=10))).items
    assert (shown["description"], shown["summary"], shown["commits"]) == ("(withheld)", "(withheld)", 1)
    again = await seal_epoch(desk.repo, "e1", f"No {SECRET}.", ALICE)
    assert again.root == shown["root"]
    after = await bundle(desk.repo, "e1")
    assert after.withheld > earlier.withheld
    assert SECRET.encode() not in after.data
    assert SECRET.encode() in earlier.data


async def test_one_record_and_one_event_can_be_withheld_alone(desk: RedactDesk) -> None:
    repo = desk.repo.seen_by(ALICE.principal)
    await desk.set("/a", 1, intent_id="goal")
    for summary in ("The first try.", "The second try."):
        await desk.repo.resolve(OutcomeRequest(intent="goal", outcome="failed", summary=summary), ALICE)
    last = (await desk.repo.read(lambda view: view.reader.events_count())) - 1
    await desk.redact("event", name=str(last))
    [info, *_] = (await intents(repo, Query("intents", limit=10))).items
    assert info.outcome is not None
    assert info.outcome["summary"] == "(withheld)"
    await desk.repo.resolve(OutcomeRequest(intent="goal", outcome="fulfilled", summary="Done."), ALICE)
    [info, *_] = (await intents(repo, Query("intents", limit=10))).items
    assert info.outcome is not None
    assert info.outcome["summary"] == "Done."
    receipt, _ = await desk.redact("record", kind="outcome", name="goal")
    assert receipt.counts["events"] == 2


async def test_a_repeated_request_is_answered_without_its_texts_and_never_done_again(desk: RedactDesk) -> None:
    await desk.set("/__schema__", {"properties": {"a": {"maxLength": 3}}, "x-asg-mode": "warn"})
    first = await desk.set("/a", SECRET, request_id="r1")
    await desk.redact("value", value=SECRET)
    head = (await desk.get("/")).commit
    assert await desk.set("/a", SECRET, request_id="r1") == first
    assert await desk.set("/a", "whatever", request_id="r1") == first
    assert (await desk.get("/")).commit == head
    with pytest.raises(RequestReused):  # of another kind: its answer would have another form
        await desk.repo.merge(MergeRequest("main", "main"), WHY, ALICE, Guard(request_id="r1"))


async def test_a_conflict_of_heads_shows_no_erased_value(desk: RedactDesk) -> None:
    first = await desk.set("/a", SECRET)
    await desk.set("/a", "more")
    await desk.redact("value", value=SECRET)
    with pytest.raises(HeadMoved) as caught:
        guard = Guard(expected_head=first)
        await desk.repo.commit("main", [op("set", "/a", 3)], WHY, ALICE, guard)
    assert is_marker(caught.value.details["conflicts"][0]["base"])


async def test_a_value_of_few_bits_cannot_be_guessed_from_what_remains(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/pin", "4711", request_id="r1")
        await desk.set("/other", "4712")
        await desk.redact("value", value="4711")
        erased = (await desk.get("/")).value["pin"]["$withheld"]
    async with open_redact_desk(tmp_path) as desk:  # whoever has the file has the key and the pins
        with desk.store.reading() as reader:
            maker = desk.store.hasher.value_ids
            assert isinstance(maker, ValueIdMaker)
            guesses = {maker.of("".join(digits)).short for digits in itertools.product("0123456789", repeat=4)}
            assert erased not in guesses
            assert maker.of("4712").short in guesses
            _, reply = reader.replies(b"", 10)[0]
            assert len(reply.fingerprint) == 4


async def test_elements_that_were_ever_at_an_index_go_wherever_they_have_moved(desk: RedactDesk) -> None:
    await desk.set("/l", ["keep", SECRET, "also"])
    await desk.apply([op("insert", "/l/0", "front")])  # the secret is at 2 now
    await desk.redact("path", path=("l", "1"))
    value = (await desk.get("/l")).value
    assert [item if isinstance(item, str) else is_marker(item) for item in value] == ["front", True, True, "also"]


async def test_an_element_that_comes_to_the_index_before_the_transaction_goes_from_all_of_history(
    tmp_path: Path,
) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/l", [SECRET, "looked at", "stays"])
        plan = await desk.find("path", path=("l", "1"))
        await desk.apply([op("insert", "/l/0", "front")])  # the secret is at 1 now
        await desk.erase(plan)
        assert (await desk.repo.redactions.finish(plan, quiet)).left == {}
        assert (await desk.get("/l")).withheld == (("l", "1"), ("l", "2"))
        assert (await desk.get("/l", "main~1")).withheld == (("l", "0"), ("l", "1"))
        assert (await desk.repo.verify(quiet)).ok
    assert holding(tmp_path, SECRET) == []


async def test_what_is_written_between_the_look_and_the_transaction_goes_too(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/a", SECRET)
        plan = await desk.find("value", value=SECRET)
        await desk.set("/b", f"{SECRET} again", description=f"Used {SECRET}.")
        await desk.erase(plan)
        assert (await desk.repo.redactions.finish(plan, quiet)).left == {}
        assert len((await desk.get("/")).withheld) == 2
        assert (await desk.repo.verify(quiet)).ok
    assert holding(tmp_path, SECRET, WORD) == []


async def test_two_redactions_that_were_looked_for_together_are_both_done(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        await desk.set("/a", SECRET)
        await desk.set("/b", "other-Zy55kk")
        plans = [await desk.find("value", value=value) for value in (SECRET, "other-Zy55kk")]
        for plan in plans:
            await desk.erase(plan)
        for plan in plans:
            assert (await desk.repo.redactions.finish(plan, quiet)).left == {}
        for seen in (SECRET, "other-Zy55kk"):  # neither is pinned by the other's look at the store
            assert (await desk.find("value", value=seen)).found.nothing
        ids = [(await desk.get("/")).value[name]["$withheld"] for name in "ab"]
        made = [desk.store.hasher.value_ids.of(value).short for value in (SECRET, "other-Zy55kk")]
        assert not set(ids) & set(made)
        assert (await desk.repo.verify(quiet)).ok
    assert holding(tmp_path, SECRET, "other-Zy55kk") == []


async def test_with_more_values_than_can_be_pinned_the_key_stays_and_that_is_said(
    desk: RedactDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asg_mcp.repo.redactsurvey.REDACT_PINS_MAX", 2)
    await desk.set("/a", {"s": SECRET, "x": 1, "y": 2, "z": 3})
    receipt, _ = await desk.redact("value", value=SECRET)
    assert not receipt.rekeyed


@pytest.mark.parametrize("target", [{"what": "value", "value": SECRET}, {"what": "path", "path": ("a",)}])
async def test_many_ids_are_in_several_receipts(
    desk: RedactDesk, monkeypatch: pytest.MonkeyPatch, target: dict[str, Any]
) -> None:
    monkeypatch.setattr("asg_mcp.repo.redacterasing.RECEIPT_IDS_MAX", 3)
    await desk.set("/a", {str(number): f"{SECRET} {number}" for number in range(8)})
    receipt, _ = await desk.redact(**target)
    assert await desk.repo.read(lambda view: view.reader.events_count()) == receipt.index + 3


async def test_the_reason_in_a_receipt_can_be_erased_and_the_receipt_goes_on_to_count(desk: RedactDesk) -> None:
    await desk.set("/a", SECRET)
    receipt, _ = await desk.redact("path", path=("a",))
    await desk.redact("event", name=str(receipt.index))
    row = await desk.repo.read(lambda view: view.reader.event(receipt.index))
    assert row is not None
    assert row.data is not None
    assert row.data[7][1]["reason"] == "(withheld)"
    assert row.data[7][1]["path"] == "/a"


async def test_warnings_of_a_schema_in_remembered_answers_are_masked(tmp_path: Path) -> None:
    async with open_redact_desk(tmp_path) as desk:
        enums = {name: {"enum": ["x"]} for name in "ab"}
        await desk.set("/__schema__", {"x-asg-mode": "warn", "properties": enums})
        await desk.set("/a", SECRET, request_id="r1")
        await desk.set("/b", "gone-from-the-path", request_id="r2")
        with desk.store.reading() as reader:
            told = str([reply.answer for _, reply in reader.replies(b"", 10)])
        assert SECRET in told
        assert "gone-from-the-path" in told
        receipt, finished = await desk.redact("value", value=SECRET)
        assert (receipt.replies, finished.left) == (1, {})
        receipt, finished = await desk.redact("path", path=("b",))
        assert (receipt.replies, finished.left) == (1, {})
        with desk.store.reading() as reader:
            told = str([reply.answer for _, reply in reader.replies(b"", 10)])
        assert "***" in told
    assert holding(tmp_path, SECRET, "gone-from-the-path") == []
