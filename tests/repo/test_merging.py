"""Merging branches: what comes together, what conflicts and how that is settled, and who is blamed afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.core.operations import ABSENT
from asg_mcp.errors import (
    Forbidden,
    HeadMoved,
    InvalidArgument,
    InvalidValue,
    LimitExceeded,
    ObjectChanged,
    RefNotFound,
    RequestReused,
    SchemaViolation,
)
from asg_mcp.repo import history, merging, settling, transaction
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.records import operations_of
from tests.core.trees import state_of
from tests.repo.desk import Desk, open_desk, paths, settle, shown
from tests.repo.stores import ALICE, BOB

CAROL = Author("local:carol", "carol")
START = {"m": {"a": 1, "b": 1}, "l": [1, 2, 3], "s": "x"}


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """`main` and `side` at the same commit."""
    async with open_desk(tmp_path) as opened:
        await opened.apply(*[("set", f"/{key}", value) for key, value in START.items()])
        await opened.branch("side")
        yield opened


async def verified(desk: Desk) -> bool:
    """Whether a replay of everything gives what is stored."""
    return (await desk.repo.verify(lambda what, done, total: None)).problems == ()


# --- what comes together ------------------------------------------------------


async def test_changes_of_both_sides_come_together_in_one_commit_with_both_parents(desk: Desk) -> None:
    ours = await desk.apply(("set", "/m/a", 2), ("insert", "/l/0", 0))
    theirs = await desk.apply(("set", "/m/c", {"d": 1}), ("append", "/l", 4), ("delete", "/s"), ref="side", author=BOB)
    base = (await desk.head("main~1")).id
    answer = await desk.merge("side", author=CAROL)
    assert await desk.value() == {"m": {"a": 2, "b": 1, "c": {"d": 1}}, "l": [0, 1, 2, 3, 4]}
    assert (answer.merged, answer.already, answer.conflicts) == (True, False, ())
    assert (answer.parent, answer.source, answer.bases) == (ours.commit, theirs.commit, (base,))
    assert answer.object == (await desk.get()).object
    head = await desk.head()
    assert (head.id, head.parents, head.category) == (answer.commit, (ours.commit, theirs.commit), "Merge")
    assert head.principal == CAROL.principal
    assert await desk.value("/", "side") == {"m": {"a": 1, "b": 1, "c": {"d": 1}}, "l": [1, 2, 3, 4]}
    assert await verified(desk)


async def test_a_merge_makes_a_commit_even_where_the_branch_could_just_move_on(desk: Desk) -> None:
    await desk.set("/m/a", 2, ref="side")
    before = await desk.head()
    answer = await desk.merge("side")
    assert (await desk.head()).parents == (before.id, (await desk.head("side")).id)
    assert (answer.changed, await desk.value("/m/a")) == (1, 2)


async def test_a_merge_that_changes_nothing_is_recorded_too(desk: Desk) -> None:
    await desk.set("/m/a", 2, ref="side")
    await desk.set("/m/a", 1, ref="side")
    answer = await desk.merge("side")
    assert (answer.merged, answer.already, answer.changed) == (True, False, 0)
    assert len((await desk.head()).parents) == 2
    assert (await desk.merge("side")).already


async def test_what_the_branch_has_already_makes_no_commit(desk: Desk) -> None:
    await desk.set("/m/a", 2)
    before = await desk.log()
    for source, preview in (("side", False), ("main", False), ("main~1", True)):
        answer = await desk.merge(source, preview=preview)
        assert (answer.merged, answer.already, answer.changed, answer.commit) == (True, True, 0, answer.parent)
    assert await desk.log() == before


async def test_the_same_change_on_both_sides_is_no_conflict(desk: Desk) -> None:
    for ref in ("main", "side"):
        await desk.apply(("set", "/m/a", 2), ("append", "/l", 4), ("delete", "/s"), ref=ref)
    answer = await desk.merge("side")
    assert (answer.merged, answer.changed) == (True, 0)
    assert await desk.value() == {"m": {"a": 2, "b": 1}, "l": [1, 2, 3, 4]}


async def test_any_ref_can_be_merged_and_only_into_a_branch(desk: Desk) -> None:
    done = await desk.set("/m/a", 2, ref="side")
    await desk.set("/m/a", 3, ref="side")
    await desk.merge(done.commit.short)
    assert await desk.value("/m/a") == 2
    await desk.branch("v1", "side", kind="tag")
    await desk.merge("v1")
    assert await desk.value("/m/a") == 3
    with pytest.raises(Forbidden):
        await desk.merge("main", "v1")
    with pytest.raises(RefNotFound):
        await desk.merge("nowhere")
    with pytest.raises(RefNotFound):
        await desk.merge("side", "nowhere")
    with pytest.raises(InvalidArgument, match="speculation"):
        await desk.merge("spec:0123456789ab")


async def test_branches_that_go_on_after_a_merge_are_merged_from_there(desk: Desk) -> None:
    await desk.set("/m/a", 2, ref="side")
    await desk.merge("side")
    await desk.set("/m/a", 3, ref="side")
    await desk.set("/m/b", 9)
    answer = await desk.merge("side")
    assert answer.bases == ((await desk.head("side~1")).id,)
    assert await desk.value("/m") == {"a": 3, "b": 9}


# --- several bases --------------------------------------------------------------


async def crossed(desk: Desk, *, rule: str = "") -> None:
    """Both branches count, and each takes over the other's head before the last merge."""
    if rule:
        await desk.set("/__schema__", {"properties": {"n": {"x-asg-merge": rule}}})
    await desk.set("/n", 0)
    await desk.merge("main", "side")
    await desk.set("/n", 1)
    await desk.set("/n", 10, ref="side")
    heads = [(await desk.head(ref)).id.hex() for ref in ("main", "side")]
    takes = () if rule else (settle("/n", "ours"),)
    await desk.merge(heads[1], resolutions=takes)
    await desk.merge(heads[0], "side", resolutions=takes)


async def test_a_sum_over_a_crosswise_merge_counts_each_change_once(desk: Desk) -> None:
    await crossed(desk, rule="sum")
    assert [await desk.value("/n", ref) for ref in ("main", "side")] == [11, 11]
    await desk.set("/n", 12)
    answer = await desk.merge("side")
    assert len(answer.bases) == 2
    assert await desk.value("/n") == 12
    assert await verified(desk)


async def test_the_last_writer_among_three_bases_is_the_one_who_wrote_last(desk: Desk) -> None:
    await desk.apply(
        ("set", "/__schema__", {"properties": {"w": {"x-asg-merge": "last-writer-wins"}}}), ("set", "/w", 0)
    )
    await desk.merge("main", "side")
    for turn in (1, 2, 3):
        await desk.branch(f"try-{turn}")
        await desk.set("/w", turn, ref=f"try-{turn}")
    for ref in ("main", "side"):
        for turn in (1, 2, 3):
            await desk.merge(f"try-{turn}", ref)
    await desk.set("/w", 2)
    answer = await desk.merge("main", "side")
    assert len(answer.bases) == 3
    assert await desk.value("/w", "side") == 2


async def test_bases_that_contradict_each_other_leave_the_choice_to_the_caller(desk: Desk) -> None:
    await crossed(desk)
    answer = await desk.merge("side")
    assert len(answer.bases) == 2
    assert [(item.base, item.ours, item.theirs) for item in answer.conflicts] == [(0, 1, 10)]


async def test_bases_of_bases_are_merged_up_to_a_limit(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    for turn in range(3):
        heads = [(await desk.head(ref)).id.hex() for ref in ("main", "side")]
        await desk.merge(heads[1], strategy="ours")
        await desk.merge(heads[0], "side", strategy="ours")
        await desk.set(f"/main-{turn}", turn)
        await desk.set(f"/side-{turn}", turn, ref="side")
    monkeypatch.setattr(merging, "BASES_MERGED_MAX", 0)
    with pytest.raises(LimitExceeded) as caught:
        await desk.merge("side")
    assert caught.value.details["limit"] == "BASES_MERGED_MAX"
    monkeypatch.undo()
    assert (await desk.merge("side")).merged
    assert {f"{ref}-{turn}" for ref in ("main", "side") for turn in range(3)} <= (await desk.value()).keys()


# --- conflicts --------------------------------------------------------------------


async def quarrel(desk: Desk) -> None:
    """Carol on main and Bob on side changed /m/a, /s and the middle of /l; Bob removed /m/b, which Carol changed."""
    await desk.apply(("set", "/m/a", 2), ("set", "/m/b", 7), author=CAROL, description="Mine")
    await desk.apply(("set", "/s", "ours"), ("set", "/l/1", "o"), author=CAROL)
    await desk.apply(("set", "/m/a", 3), ("set", "/s", "theirs"), ("set", "/l/1", "t"), ref="side", author=BOB)
    await desk.apply(("delete", "/m/b"), ref="side", author=BOB, description="Not needed")
    await desk.set("/new", 1, ref="side", author=BOB)


async def test_conflicts_tell_all_three_sides_and_who_changed_them_and_nothing_is_written(desk: Desk) -> None:
    await quarrel(desk)
    before = await desk.log()
    answer = await desk.merge("side")
    assert (answer.merged, answer.commit, answer.changed) == (False, None, 0)
    assert await desk.log() == before
    told = {shown(item.path): (item.base, item.ours, item.theirs, item.rule) for item in answer.conflicts}
    assert told == {
        "/m/a": (1, 2, 3, "scalar"),
        "/m/b": (1, 7, ABSENT, "scalar"),
        "/s": ("x", "ours", "theirs", "scalar"),
        "/l": ([1, 2, 3], [1, "o", 3], [1, "t", 3], "list"),
    }
    by = {shown(item.path): (item.ours_by, item.theirs_by) for item in answer.conflicts}
    for ours, theirs in by.values():
        assert ours is not None and theirs is not None
        assert (ours.agent, theirs.agent) == (CAROL.agent, BOB.agent)
    ours, theirs = by["/m/b"]
    assert ours is not None and theirs is not None
    assert (ours.description, theirs.description) == ("Mine", "Not needed")


@pytest.mark.parametrize(
    ("take", "value", "expected"),
    [
        ("ours", None, {"m": {"a": 2, "b": 7}, "s": "ours", "l": [1, "o", 3]}),
        ("theirs", None, {"m": {"a": 3}, "s": "theirs", "l": [1, "t", 3]}),
        ("base", None, START),
        ("value", [7], {"m": {"a": [7], "b": [7]}, "s": [7], "l": [7]}),
        ("value", None, {"m": {"a": None, "b": None}, "s": None, "l": None}),
    ],
)
async def test_conflicts_are_settled_path_by_path_in_one_more_call(
    desk: Desk, take: str, value: Any, expected: Any
) -> None:
    await quarrel(desk)
    found = (await desk.merge("side")).conflicts
    answer = await desk.merge("side", resolutions=tuple(settle(path, take, value) for path in paths(found)))
    assert (answer.merged, answer.conflicts) == (True, ())
    assert await desk.value() == {**expected, "new": 1}
    assert await verified(desk)


async def test_one_side_is_taken_for_all_below_a_path_and_the_nearest_resolution_counts(desk: Desk) -> None:
    await quarrel(desk)
    await desk.merge("side", resolutions=(settle("/", "theirs"), settle("/m", "ours"), settle("/m/b", "theirs")))
    assert await desk.value() == {"m": {"a": 2}, "s": "theirs", "l": [1, "t", 3], "new": 1}


@pytest.mark.parametrize(
    ("strategy", "expected"), [("ours", {"a": 2, "b": 7}), ("theirs", {"a": 3}), ("auto", None), ("manual", None)]
)
async def test_a_strategy_settles_what_no_resolution_names(desk: Desk, strategy: str, expected: Any) -> None:
    await quarrel(desk)
    answer = await desk.merge("side", strategy=strategy, resolutions=(settle("/s", "base"),))
    assert answer.merged == (expected is not None)
    if expected is not None:
        assert (await desk.value("/m"), await desk.value("/s"), await desk.value("/new")) == (expected, "x", 1)


async def test_manual_leaves_a_list_that_both_changed_to_the_caller(desk: Desk) -> None:
    await desk.apply(("insert", "/l/0", 0))
    await desk.apply(("append", "/l", 4), ref="side")
    assert paths((await desk.merge("side", strategy="manual", preview=True)).conflicts) == ["/l"]
    assert (await desk.merge("side", preview=True)).conflicts == ()


@pytest.mark.parametrize(
    ("resolution", "error"),
    [
        (settle("/m/c", "ours"), InvalidArgument),
        (settle("/m/a/deeper", "ours"), InvalidArgument),
        (settle("/m", "value", {}), InvalidArgument),
        (settle("/m/a", "mine"), InvalidArgument),
        (settle("/m/a", "value", float("nan")), InvalidValue),
        (settle("/_meta/version", "value", 2), Forbidden),
        (settle("/plans/p", "value", {}), Forbidden),
    ],
)
async def test_a_resolution_that_settles_nothing_or_may_not_be_is_refused(
    desk: Desk, resolution: Any, error: type[Exception]
) -> None:
    await quarrel(desk)
    before = await desk.log()
    with pytest.raises(error):
        await desk.merge("side", resolutions=(resolution, settle("/", "ours")))
    with pytest.raises(InvalidArgument):
        await desk.merge("side", strategy="best")
    assert await desk.log() == before


async def test_a_value_that_settles_a_conflict_is_stored_as_any_other(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quarrel(desk)
    await desk.merge("side", strategy="ours", resolutions=(settle("/m/a", "value", -0.0),))
    assert repr(await desk.value("/m/a")) == "0.0"
    await desk.set("/m/a", 1)
    await desk.set("/m/a", 2, ref="side")
    monkeypatch.setattr(transaction, "COMMIT_BYTES_MAX", 10)
    with pytest.raises(LimitExceeded):
        await desk.merge("side", resolutions=(settle("/m/a", "value", "a long text"),))


async def test_only_the_first_of_very_many_conflicts_name_who_changed_them(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quarrel(desk)
    monkeypatch.setattr(settling, "CONFLICTS_BLAMED_MAX", 1)
    found = (await desk.merge("side")).conflicts
    assert [item.ours_by is not None for item in found] == [True, False, False, False]


async def test_a_deletion_that_takes_too_long_to_find_leaves_the_conflict_without_its_author(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await quarrel(desk)
    monkeypatch.setattr(history, "SCAN_COMMITS_MAX", 0)
    told = {shown(item.path): (item.ours_by, item.theirs_by) for item in (await desk.merge("side")).conflicts}
    assert told["/m/b"][1] is None
    assert told["/m/b"][0] is not None


# --- rules and kept roots -----------------------------------------------------------


async def test_the_rules_are_those_of_the_branch_that_is_merged_into(desk: Desk) -> None:
    schema = {"properties": {"n": {"x-asg-merge": "sum"}}, "patternProperties": {"^top": {"x-asg-merge": "max"}}}
    await desk.apply(("set", "/n", 1), ("set", "/top-1", 1))
    await desk.merge("main", "side")
    await desk.apply(("set", "/__schema__", schema), ("set", "/n", 3), ("set", "/top-1", 5))
    await desk.apply(("set", "/n", 11), ("set", "/top-1", 4), ref="side")
    assert sorted(paths((await desk.merge("main", "side", preview=True)).conflicts)) == ["/n", "/top-1"]
    await desk.merge("side")
    assert (await desk.value("/n"), await desk.value("/top-1")) == (13, 5)
    assert (await desk.blame("/n"))[0].commit.id == (await desk.head()).id


def test_a_pattern_that_cannot_be_run_describes_no_key() -> None:
    patterns = {"(?=x)": {"x-asg-merge": "max"}, "^top": {"x-asg-merge": "sum"}}
    rules = merging.rules_of(state_of({"__schema__": {"patternProperties": patterns}}))
    assert [rules.at((key,)) for key in ("x", "top-1")] == [None, "sum"]


async def made_of(desk: Desk, monkeypatch: pytest.MonkeyPatch, ref: str, path: str, value: Any) -> None:
    """A change of a root that ordinary writes leave alone."""
    with monkeypatch.context() as patched:
        patched.setattr(transaction, "KEPT_ROOTS", {})
        await desk.set(path, value, ref=ref)


async def test_plans_merge_like_other_state_and_a_migration_of_one_side_comes_through(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made_of(desk, monkeypatch, "main", "/plans/p", {"tasks": {"t-1": "open"}})
    await made_of(desk, monkeypatch, "side", "/plans/q", {"tasks": {}})
    await made_of(desk, monkeypatch, "side", "/_meta/schema_version", 2)
    assert (await desk.merge("side")).merged
    assert (await desk.value("/plans")).keys() == {"p", "q"}
    assert await desk.value("/_meta") == {"schema_version": 2}


async def test_two_migrations_conflict_and_only_a_side_can_be_taken(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made_of(desk, monkeypatch, "main", "/_meta/schema_version", 2)
    await made_of(desk, monkeypatch, "side", "/_meta/schema_version", 3)
    answer = await desk.merge("side")
    assert [(shown(item.path), item.rule) for item in answer.conflicts] == [("/_meta", "migration")]
    with pytest.raises(Forbidden, match="_meta"):
        await desk.merge("side", resolutions=(settle("/_meta", "value", {}),))
    assert (await desk.merge("side", resolutions=(settle("/_meta", "theirs"),))).merged
    assert await desk.value("/_meta/schema_version") == 3


# --- previews and guards --------------------------------------------------------------


async def test_a_preview_shows_changes_and_conflicts_and_writes_nothing(desk: Desk) -> None:
    await quarrel(desk)
    before = await desk.log()
    answer = await desk.merge("side", preview=True)
    assert [(change.op, shown(change.path), change.new) for change in answer.changes] == [("add", "/new", 1)]
    assert (answer.merged, answer.commit, answer.changed, len(answer.conflicts)) == (False, None, 1, 4)
    settled = await desk.merge("side", preview=True, resolutions=(settle("/", "theirs"),))
    assert (settled.changed, settled.conflicts, settled.commit) == (5, (), None)
    assert await desk.log() == before


async def test_a_merge_heeds_the_expected_head(desk: Desk) -> None:
    await desk.set("/m/a", 2, ref="side")
    read = (await desk.head()).id.hex()
    await desk.set("/other", 1)
    assert (await desk.merge("side", guard=Guard(expected_head=read))).rebased
    await desk.set("/m/a", 3, ref="side")
    read = (await desk.head()).id.hex()
    await desk.set("/m", {"a": 4})
    with pytest.raises(HeadMoved):
        await desk.merge("side", guard=Guard(expected_head=read), strategy="theirs")
    with pytest.raises(HeadMoved):
        await desk.merge("main~1", guard=Guard(expected_head=(await desk.head("side")).id.hex()))


async def test_a_merge_heeds_the_expected_object_of_the_whole_state(desk: Desk) -> None:
    await desk.set("/m/a", 2, ref="side")
    with pytest.raises(ObjectChanged):
        await desk.merge("side", guard=Guard(expected_object="abcdef"))
    read = (await desk.get()).object.short
    assert (await desk.merge("side", guard=Guard(expected_object=read))).merged


async def test_a_merge_made_again_is_answered_and_not_done_again(desk: Desk) -> None:
    await desk.set("/m/a", 2, ref="side")
    first = await desk.merge("side", guard=Guard(request_id="m-1"))
    await desk.set("/m/a", 5, ref="side")
    again = await desk.merge("side", guard=Guard(request_id="m-1"))
    assert again.replayed
    assert (again.commit, again.parent, again.source, again.bases, again.changed, again.object) == (
        first.commit,
        first.parent,
        first.source,
        first.bases,
        first.changed,
        first.object,
    )
    with pytest.raises(RequestReused):
        await desk.merge("side", strategy="ours", guard=Guard(request_id="m-1"))
    assert await desk.value("/m/a") == 2
    nothing = await desk.merge("main~1", guard=Guard(request_id="m-2"))
    assert (nothing.already, (await desk.merge("main~1", guard=Guard(request_id="m-2"))).already) == (True, True)


async def test_conflicts_are_not_remembered_under_the_request(desk: Desk) -> None:
    await quarrel(desk)
    guard = Guard(request_id="m-3")
    assert (await desk.merge("side", guard=guard)).conflicts
    await desk.apply(("set", "/m", {"a": 3}), ("set", "/s", "theirs"), ("set", "/l", [1, "t", 3]))
    assert (await desk.merge("side", guard=guard)).merged


# --- blame ----------------------------------------------------------------------------


async def by(desk: Desk, path: str) -> str:
    """The agent that changed a path last."""
    [entry] = await desk.blame(path, depth=0)
    return entry.commit.agent


async def test_the_merger_is_blamed_for_nothing_that_came_from_either_side(desk: Desk) -> None:
    await desk.apply(("insert", "/l/0", 0), ("set", "/m/a", 2), author=CAROL)
    await desk.apply(("append", "/l", {"k": [1]}), ("set", "/m/c", {"d": [{}]}), ref="side", author=BOB)
    await desk.apply(("delete", "/s"), ref="side", author=BOB)
    await desk.merge("side", author=Author("local:merger", "merger"))
    told = {path: await by(desk, path) for path in ("/l/0", "/l/1", "/l/4", "/m/a", "/m/b", "/m/c", "/m/c/d/0", "/s")}
    assert told == {
        "/l/0": "carol",
        "/l/1": ALICE.agent,
        "/l/4": BOB.agent,
        "/m/a": "carol",
        "/m/b": ALICE.agent,
        "/m/c": BOB.agent,
        "/m/c/d/0": BOB.agent,
        "/s": BOB.agent,
    }
    assert await by(desk, "/m") == BOB.agent, "the map that both changed is blamed on the later of them"
    assert await by(desk, "/l") == "merger", "neither side had these elements in this order"
    assert await verified(desk)


async def test_the_merger_is_blamed_for_the_values_and_deletions_it_chose_itself(desk: Desk) -> None:
    await quarrel(desk)
    resolutions = (settle("/m/a", "value", 9), settle("/m/b", "theirs"), settle("/l", "ours"), settle("/s", "theirs"))
    await desk.merge("side", resolutions=resolutions, author=Author("local:merger", "merger"))
    told = [await by(desk, path) for path in ("/m/a", "/m/b", "/l/1", "/s")]
    assert told == ["merger", BOB.agent, CAROL.agent, BOB.agent]


async def test_verify_finds_a_merge_whose_origins_are_not_those_of_its_sides(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.set("/m/a", 2, ref="side")
    monkeypatch.setattr(merging, "adopt", lambda ours, theirs, result, seq: result)
    await desk.merge("side")
    [problem] = (await desk.repo.verify(lambda what, done, total: None)).problems
    assert problem.kind == "node"


async def test_elements_changed_in_place_are_recorded_one_by_one(desk: Desk) -> None:
    await desk.set("/l", list(range(200)))
    await desk.merge("main", "side")
    await desk.apply(("set", "/l/5", "ours"), ("set", "/s", "ours"))
    await desk.apply(("set", "/l/150", "theirs"), ("set", "/s", "theirs"), ref="side", author=BOB)
    answer = await desk.merge("side", strategy="theirs")
    assert answer.changed == 2
    assert (await by(desk, "/l/150"), (await desk.value("/l"))[5]) == (BOB.agent, "ours")
    found = await desk.repo.blame("main", ("l", "150"), depth=0, history=True, limit=9, cursor="")
    assert [entry.value for entry in found.entries] == ["theirs", 150]
    recorded = await desk.repo.read(lambda view: operations_of(view.resolve("main")))
    assert [operation.path for operation in recorded] == ["/l/150", "/s"]


# --- undoing a merge --------------------------------------------------------------------


async def test_a_merge_is_undone_to_what_the_branch_was_before_it(desk: Desk) -> None:
    await desk.apply(("set", "/m/a", 2), ("insert", "/l/0", 0))
    before = await desk.value()
    await desk.apply(("set", "/m/c", 1), ("append", "/l", 4), ("delete", "/s"), ref="side")
    merged = await desk.merge("side")
    assert merged.commit is not None
    await desk.set("/later", 1)
    answer = await desk.revert(merged.commit.hex())
    assert answer.reverted == (merged.commit,)
    assert await desk.value() == {**before, "later": 1}
    assert (await desk.merge("side")).already, "the commits of the branch stay in the history"


async def test_reverting_an_agent_finds_what_it_did_on_merged_branches(desk: Desk) -> None:
    await desk.set("/b", 1, ref="side", author=BOB)
    await desk.set("/m/a", 2, ref="side", author=BOB)
    await desk.set("/kept", 1, ref="side")
    await desk.merge("side")
    answer = await desk.revert(agent=BOB.agent)
    assert len(answer.reverted) == 2
    assert await desk.value() == {**START, "kept": 1}


async def test_a_conflict_of_a_revert_names_who_changed_the_path_since(desk: Desk) -> None:
    undone = await desk.set("/m/a", 2)
    await desk.set("/m/a", 3, author=CAROL)
    [conflict] = (await desk.revert(undone.commit.hex())).conflicts
    assert conflict.ours_by is not None
    assert (conflict.ours_by.agent, conflict.theirs_by) == (CAROL.agent, None)


async def test_two_long_branches_that_differ_in_few_keys_merge_to_all_of_them(desk: Desk) -> None:
    await desk.set("/map", {f"k{number:04}": 0 for number in range(1_000)})
    await desk.merge("main", "side")
    for number in range(60):
        await desk.set(f"/map/k{number % 10 * 100:04}", number + 1)
        await desk.set(f"/map/k{number % 10 * 100 + 50:04}", number + 1, ref="side")
    answer = await desk.merge("side")
    assert (answer.merged, answer.changed, len(answer.bases)) == (True, 10, 1)
    held = await desk.value("/map")
    assert {key for key, value in held.items() if value} == {f"k{number * 50:04}" for number in range(20)}
    assert await verified(desk)


async def test_a_merge_and_a_revert_say_where_they_break_the_states_schema(desk: Desk) -> None:
    await desk.set("/m/a", "text", ref="side")
    await desk.set("/__schema__", {"properties": {"m": {"properties": {"a": {"type": "integer"}}}}})
    answer = await desk.merge("side", guard=Guard(request_id="m-4"))
    assert [shown(item.path) for item in answer.warnings] == ["/m/a"]
    assert (await desk.merge("side", guard=Guard(request_id="m-4"))).warnings == answer.warnings
    fixed = await desk.set("/m/a", 5)
    undone = await desk.revert(fixed.commit.hex())
    assert [shown(item.path) for item in undone.warnings] == ["/m/a"]


async def test_a_preview_reads_and_says_what_the_schema_will_say(desk: Desk) -> None:
    schema = {
        "x-asg-validate": "enforce",
        "properties": {"n": {"type": "integer", "maximum": 10, "x-asg-merge": "sum"}},
    }
    await desk.apply(("set", "/__schema__", schema), ("set", "/n", 1))
    await desk.branch("apart")
    await desk.set("/n", 7, ref="apart")
    await desk.set("/n", 6)
    for preview in (True, False):
        with pytest.raises(SchemaViolation, match="/n would break the schema"):
            await desk.merge("apart", preview=preview)
    await desk.set("/n", 2)
    head = await desk.head()
    shown = await desk.merge("apart", preview=True)
    assert [(paths([change]), change.new) for change in shown.changes] == [(["/n"], 8)]
    assert (shown.merged, await desk.head()) == (False, head)
    assert (await desk.merge("apart")).changed == shown.changed == 1
    assert await desk.value("/n") == 8


async def test_a_mistyped_resolution_is_told_where_the_conflicts_are(desk: Desk) -> None:
    await desk.set("/a", 0)
    await desk.branch("apart")
    await desk.set("/a", 1, ref="apart")
    await desk.set("/a", 2)
    with pytest.raises(InvalidArgument, match="no conflict at /b") as refused:
        await desk.merge("apart", resolutions=(settle("/b", "ours"),))
    assert refused.value.details["conflicts"] == ["/a"]
    with pytest.raises(InvalidArgument, match="Two resolutions name one path"):
        await desk.merge("apart", resolutions=(settle("/a", "ours"), settle("/a", "theirs")))
