"""Undoing commits: what comes back, what conflicts, and how a conflict is settled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import ABSENT, Op
from asg_mcp.errors import (
    Forbidden,
    HeadMoved,
    InvalidArgument,
    InvalidValue,
    NotFound,
    ObjectChanged,
    PathNotFound,
    RefNotFound,
)
from asg_mcp.repo import transaction
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.transact import Decision
from tests.repo.desk import Desk, open_desk, paths, settle, shown
from tests.repo.stores import ALICE, BOB, operation

CAROL = Author("local:carol", "carol")


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        await opened.set("/a", {"x": 1, "y": 1})
        await opened.set("/l", [1, 2, 3])
        yield opened


@pytest.mark.parametrize(
    "told",
    [
        ("set", "/a/x", 2),
        ("set", "/a", 5),
        ("set", "/new/deep", {"k": [1]}),
        ("delete", "/a"),
        ("delete", "/a/x"),
        ("append", "/l", {"m": 1}),
        ("insert", "/l/1", 9),
        ("delete", "/l/0"),
        ("move", "/l/0", "/l/2"),
        ("move", "/b", "/a/x"),
        ("set", "/", {}),
        ("set", "/l", "a long text " * 300),
    ],
)
async def test_a_commit_is_undone_and_what_came_after_stays(desk: Desk, told: Any) -> None:
    before = await desk.value()
    undone = await desk.apply(told)
    await desk.set("/other", 1)
    answer = await desk.revert(undone.commit.hex())
    assert await desk.value() == {**before, "other": 1}
    assert answer.conflicts == ()
    assert answer.reverted == (undone.commit,)
    assert answer.commit == (await desk.head()).id
    assert answer.changed
    assert answer.object == (await desk.get()).object
    assert (await desk.head()).category == "Rollback"


async def test_a_revert_can_be_reverted(desk: Desk) -> None:
    await desk.set("/a/x", 2)
    await desk.revert("main")
    assert await desk.value("/a/x") == 1
    await desk.revert("main")
    assert await desk.value("/a/x") == 2


async def test_blame_names_the_revert_where_it_changed_something_and_no_more(desk: Desk) -> None:
    y = (await desk.blame("/a/y"))[0].commit
    await desk.set("/a/x", 2)
    answer = await desk.revert("main")
    assert [entry.commit.id for entry in await desk.blame("/a")] == [answer.commit, y.id]


async def test_several_commits_are_undone_newest_first_whatever_their_order(desk: Desk) -> None:
    one = await desk.set("/a/x", 2)
    two = await desk.set("/a/x", 3)
    three = await desk.set("/b", 1)
    answer = await desk.revert(one.commit.hex(), three.commit.hex(), two.commit.hex(), one.commit.short)
    assert answer.reverted == (three.commit, two.commit, one.commit)
    assert await desk.value() == {"a": {"x": 1, "y": 1}, "l": [1, 2, 3]}
    assert len(await desk.log()) == 7, "one commit for all"


async def test_everything_of_an_agent_since_a_time_is_undone(desk: Desk) -> None:
    await desk.set("/b", 1, author=BOB)
    since = (await desk.set("/c", 1)).commit
    at = (await desk.repo.log(since.hex(), (), limit=1, cursor="")).commits[0].at
    await desk.set("/d", 1, author=BOB)
    await desk.set("/e", 1)
    await desk.set("/d", 2, author=BOB)
    answer = await desk.revert(agent=BOB.agent, since=at)
    assert len(answer.reverted) == 2
    assert (await desk.value()).keys() == {"a", "l", "b", "c", "e"}


async def test_another_branch_is_not_touched_by_what_an_agent_did_there(desk: Desk) -> None:
    await desk.branch("side")
    await desk.set("/s", 1, ref="side", author=CAROL)
    with pytest.raises(NotFound, match="carol"):
        await desk.revert(agent="carol")
    await desk.revert(agent="carol", ref="side")
    assert await desk.value("/", "side") == await desk.value()


@pytest.mark.parametrize(
    ("path", "value"), [("/a/x", 1), ("/a", {"x": 1, "y": 1}), ("/l", [1, 2, 3]), ("/l/0", 1), ("/", None)]
)
async def test_a_path_is_restored_from_a_source(desk: Desk, path: str, value: Any) -> None:
    await desk.branch("v1", kind="tag")
    await desk.apply(("set", "/a", {"x": 5}), ("set", "/l", [9, 2]), ("set", "/z", 1))
    answer = await desk.revert(path=path, source="v1")
    assert answer.reverted == ()
    expected = value if value is not None else {"a": {"x": 1, "y": 1}, "l": [1, 2, 3]}
    assert await desk.value(path) == expected
    assert answer.object == (await desk.get(path)).object
    if path != "/":
        assert await desk.value("/z") == 1


async def test_restoring_brings_back_what_was_deleted_and_deletes_what_was_not_there(desk: Desk) -> None:
    await desk.apply(("delete", "/a"), ("set", "/new", 1))
    await desk.revert(path="/a/x", source="main~1")
    assert await desk.value("/a") == {"x": 1}
    await desk.revert(path="/new", source="main~2")
    assert "new" not in await desk.value()
    with pytest.raises(PathNotFound):
        await desk.revert(path="/never", source="main~1")


async def test_restoring_the_root_leaves_the_kept_roots_alone(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(transaction, "KEPT_ROOTS", {})
        await desk.set("/plans/p", 1)
        await desk.set("/plans/q", 2)
    await desk.set("/a", 2)
    await desk.revert(path="/", source="main~2")
    assert await desk.value() == {"a": {"x": 1, "y": 1}, "l": [1, 2, 3], "plans": {"p": 1, "q": 2}}
    with pytest.raises(Forbidden):
        await desk.revert(path="/plans", source="main~4")


async def test_nothing_left_to_undo_makes_no_commit(desk: Desk) -> None:
    done = await desk.set("/b", 1)
    await desk.apply(("delete", "/b"))
    before = await desk.log()
    answer = await desk.revert(done.commit.hex())
    assert (answer.commit, answer.changed, answer.conflicts) == (None, 0, ())
    assert answer.parent == (await desk.head()).id
    assert await desk.log() == before


# --- conflicts ------------------------------------------------------------------


async def quarrel(desk: Desk) -> str:
    """Bob's commit, of which others have changed /a/x and removed /a/new, and left /b."""
    bobs = await desk.apply(("set", "/a/x", 2), ("set", "/a/new", {"k": 1}), ("set", "/b", 1), author=BOB)
    await desk.apply(("set", "/a/x", 3), ("set", "/a/new/k", 2))
    return bobs.commit.hex()


async def test_what_others_changed_since_is_a_conflict_and_nothing_is_written(desk: Desk) -> None:
    bobs = await quarrel(desk)
    before = await desk.log()
    answer = await desk.revert(bobs)
    assert answer.commit is None
    assert await desk.log() == before
    told = {shown(item.path): (item.base, item.ours, item.theirs, item.rule) for item in answer.conflicts}
    assert told == {
        "/a/x": (2, 3, 1, "scalar"),
        "/a/new": ({"k": 1}, {"k": 2}, ABSENT, "container"),
    }


@pytest.mark.parametrize(
    ("take", "value", "x", "new"),
    [
        ("ours", None, 3, {"k": 2}),
        ("theirs", None, 1, None),
        ("base", None, 2, {"k": 1}),
        ("value", [7], [7], [7]),
        ("value", None, None, None),
    ],
)
async def test_a_conflict_is_settled_as_the_caller_says(desk: Desk, take: str, value: Any, x: Any, new: Any) -> None:
    bobs = await quarrel(desk)
    answer = await desk.revert(bobs, resolutions=(settle("/a/x", take, value), settle("/a/new", take, value)))
    assert answer.conflicts == ()
    expected = {"x": x, "y": 1} if take == "theirs" else {"x": x, "y": 1, "new": new}
    assert await desk.value("/a") == expected
    assert "b" not in await desk.value(), "what does not conflict is undone too"


async def test_one_side_can_be_taken_for_all_below_a_path_and_the_nearest_resolution_counts(desk: Desk) -> None:
    bobs = await quarrel(desk)
    await desk.revert(bobs, resolutions=(settle("/", "ours"), settle("/a/x", "theirs")))
    assert await desk.value("/a") == {"x": 1, "y": 1, "new": {"k": 2}}


async def test_some_conflicts_settled_and_some_not_writes_nothing(desk: Desk) -> None:
    bobs = await quarrel(desk)
    answer = await desk.revert(bobs, resolutions=(settle("/a/x", "theirs"),))
    assert (answer.commit, paths(answer.conflicts)) == (None, ["/a/new"])


@pytest.mark.parametrize(
    ("resolution", "error"),
    [
        (settle("/a/y", "ours"), InvalidArgument),
        (settle("/a/x/deeper", "ours"), InvalidArgument),
        (settle("/a", "value", {}), InvalidArgument),
        (settle("/a/x", "mine"), InvalidArgument),
        (settle("/a/x", "value", float("nan")), InvalidValue),
        (settle("/a/x", "value", 2**64), InvalidValue),
    ],
)
async def test_a_resolution_that_settles_nothing_or_makes_no_sense_is_refused(
    desk: Desk, resolution: Any, error: type[Exception]
) -> None:
    bobs = await quarrel(desk)
    before = await desk.log()
    with pytest.raises(error):
        await desk.revert(bobs, resolutions=(resolution, settle("/a/new", "ours")))
    assert await desk.log() == before


async def test_several_undone_commits_of_one_path_are_one_conflict_between_the_ends(desk: Desk) -> None:
    one = await desk.set("/a/x", 2, author=BOB)
    await desk.set("/a/x", 3, author=BOB)
    await desk.set("/a/x", 9)
    answer = await desk.revert(agent=BOB.agent)
    assert [(item.base, item.ours, item.theirs) for item in answer.conflicts] == [(3, 9, 1)]
    assert answer.reverted[-1] == one.commit
    for take, value in (("base", 3), ("ours", 9), ("theirs", 1)):
        await desk.branch(take)
        await desk.revert(agent=BOB.agent, ref=take, resolutions=(settle("/a/x", take),))
        assert await desk.value("/a/x", take) == value


async def test_a_value_that_was_chosen_is_not_undone_by_an_older_commit(desk: Desk) -> None:
    for value in (2, 3, 4):
        await desk.set("/a/x", value, author=BOB)
    await desk.set("/a/x", 9)
    await desk.revert(agent=BOB.agent, resolutions=(settle("/a/x", "value", 2),))
    assert await desk.value("/a/x") == 2


async def test_a_list_that_others_changed_too_is_undone_as_a_sequence(desk: Desk) -> None:
    done = await desk.apply(("insert", "/l/0", 0))
    await desk.apply(("append", "/l", 4))
    await desk.revert(done.commit.hex())
    assert await desk.value("/l") == [1, 2, 3, 4]


# --- previews and guards ----------------------------------------------------------


async def test_a_preview_shows_what_would_be_and_writes_nothing(desk: Desk) -> None:
    bobs = await quarrel(desk)
    before = await desk.log()
    answer = await desk.revert(bobs, preview=True)
    assert [(change.op, shown(change.path), change.old) for change in answer.changes] == [("remove", "/b", 1)]
    assert (answer.changed, len(answer.conflicts), answer.commit) == (1, 2, None)
    settled = await desk.revert(bobs, preview=True, resolutions=(settle("/a", "theirs"),))
    assert (settled.changed, settled.conflicts) == (3, ())
    assert await desk.log() == before


async def test_a_revert_heeds_the_expected_head(desk: Desk) -> None:
    done = await desk.set("/a/x", 2)
    read = (await desk.head()).id.hex()
    await desk.set("/other", 1)
    assert (await desk.revert(done.commit.hex(), guard=Guard(expected_head=read))).rebased
    again = await desk.set("/a/x", 3)
    read = (await desk.head()).id.hex()
    await desk.set("/a/x", 4)
    with pytest.raises(HeadMoved):
        await desk.revert(again.commit.hex(), guard=Guard(expected_head=read), resolutions=(settle("/a/x", "theirs"),))


async def test_a_restore_heeds_the_expected_object(desk: Desk) -> None:
    read = (await desk.get("/a")).object.short
    await desk.set("/a/x", 2)
    with pytest.raises(ObjectChanged):
        await desk.revert(path="/a", source="main~2", guard=Guard(expected_object="abcdef"))
    restored = await desk.revert(
        path="/a", source="main~1", guard=Guard(expected_object=(await desk.get("/a")).object.short)
    )
    assert restored.object is not None
    assert restored.object.short == read


async def test_a_revert_made_again_is_answered_and_not_done_again(desk: Desk) -> None:
    done = await desk.set("/a/x", 2)
    first = await desk.revert(done.commit.hex(), guard=Guard(request_id="r-1"))
    await desk.set("/a/x", 7)
    again = await desk.revert(done.commit.hex(), guard=Guard(request_id="r-1"))
    assert again.replayed
    assert (again.commit, again.parent, again.reverted, again.changed, again.object) == (
        first.commit,
        first.parent,
        first.reverted,
        first.changed,
        first.object,
    )
    assert await desk.value("/a/x") == 7


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"agent": "a", "path": "/a", "source": "main"},
        {"path": "/a"},
        {"source": "main"},
        {"since": "2026-01-01"},
        {"path": "/a", "source": "main", "since": "2026-01-01"},
    ],
)
async def test_what_to_undo_must_be_said_in_one_way(desk: Desk, asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        await desk.revert(**asked)


async def test_only_commits_of_the_branch_that_have_a_parent_can_be_undone(desk: Desk) -> None:
    await desk.branch("side")
    elsewhere = await desk.set("/s", 1, ref="side")
    with pytest.raises(NotFound, match="not in the history"):
        await desk.revert(elsewhere.commit.hex())
    with pytest.raises(InvalidArgument, match="first commit"):
        await desk.revert("main~2")
    await desk.branch("v1", kind="tag")
    with pytest.raises(Forbidden):
        await desk.revert("main", ref="v1")
    with pytest.raises(RefNotFound):
        await desk.revert("main", ref="nowhere")
    with pytest.raises(NotFound):
        await desk.revert(agent="nobody")


async def test_the_author_of_the_revert_is_who_asked_for_it(desk: Desk) -> None:
    await desk.set("/a/x", 2, author=BOB)
    await desk.revert("main", author=CAROL)
    assert (await desk.blame("/a/x"))[0].commit.principal == CAROL.principal
    assert ALICE.principal != CAROL.principal


async def test_what_became_another_kind_of_thing_and_was_changed_since_is_a_conflict(desk: Desk) -> None:
    undone = await desk.set("/a", "scalar", author=BOB)
    await desk.set("/a", {"amy": 9}, author=CAROL)
    answer = await desk.revert(undone.commit.short)
    assert (answer.commit, paths(answer.conflicts)) == (None, ["/a"])
    assert await desk.value("/a") == {"amy": 9}


async def test_a_change_of_more_paths_than_one_call_may_name_is_undone(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "OPERATIONS_MAX", 20)
    await desk.set("/big", {f"k{number}": 0 for number in range(50)})
    undone = await desk.set("/big", {f"k{number}": 1 for number in range(50)})
    await desk.revert(undone.commit.short)
    assert set((await desk.value("/big")).values()) == {0}


async def test_a_revert_that_found_nothing_to_do_is_remembered(desk: Desk) -> None:
    undone = await desk.set("/a/x", 5)
    await desk.set("/a/x", 1)
    guard = Guard(request_id="u-1")
    assert (await desk.revert(undone.commit.short, guard=guard)).commit is None
    await desk.set("/a/x", 5)
    again = await desk.revert(undone.commit.short, guard=guard)
    assert (again.commit, again.replayed) == (None, True)
    assert await desk.value("/a/x") == 5


async def test_the_tasks_of_an_agent_stay_when_its_work_is_undone(desk: Desk) -> None:
    planned = Decision((operation(Op.SET, "/plans/work", {"t-1": 1}),), Intent(Category.PLAN, "A plan."), {})
    await desk.repo.transact("main", BOB, "", b"", lambda _: planned)
    await desk.set("/d", 1, author=BOB)
    answer = await desk.revert(agent=BOB.agent, preview=True)
    assert (paths(answer.changes), answer.skipped) == (["/d"], ("/plans",))
    answer = await desk.revert(agent=BOB.agent)
    assert (answer.changed, answer.skipped, answer.conflicts) == (1, ("/plans",), ())
    assert "work" in await desk.value("/plans")
