"""Plans: what is kept of them, what they refuse, and how they end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core import limits
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import (
    AsgError,
    Conflict,
    Forbidden,
    InvalidArgument,
    InvalidName,
    LimitExceeded,
    PlanClosed,
    PlanNotFound,
    RequestReused,
    TaskNotFound,
    TaskSettled,
    TaskTaken,
)
from asg_mcp.repo.transact import Decision
from asg_mcp.services import planadd
from asg_mcp.storage.session import SqliteWriter
from tests.repo.desk import Desk
from tests.repo.stores import ALICE
from tests.services.plan_desk import PlanDesk, open_plans

CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("start", {}),
    ("abandon", {"reason": "No"}),
    ("assign", {"agent": "ana"}),
    ("unassign", {}),
    ("reprioritise", {"priority": "low"}),
    ("block", {"blocked_by": ["t-2"]}),
    ("unblock", {}),
]


async def test_a_plan_is_ordinary_state_made_in_one_commit_that_says_so(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        done = await desk.plan("Look", {"id": "fix", "blocked_by": ["t-1"], "priority": "high"}, description="Calm")
        assert done.answer["tasks"] == [{"id": "t-1", "title": "Look"}, {"id": "fix", "title": "fix"}]
        assert done.answer["plan"]["counts"] == {"pending": 2, "in_progress": 0, "done": 0, "abandoned": 0}
        stored = await desk.value("/plans/p/tasks/fix")
        assert (stored["status"], stored["priority"], stored["blocked_by"]) == ("pending", "high", ["t-1"])
        commit = await Desk(desk.repo).head()
        assert (commit.category, commit.agent) == (Category.PLAN, "planner")
        assert commit.description == "Plan p created, 2 tasks added by planner"
        assert await desk.commits() == 2


async def test_a_plan_grows_by_many_tasks_in_one_commit_and_ids_go_on(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", {"id": "t-3"})
        done = await desk.plan(*("More" for _ in range(150)), named=False)
        ids = [task["id"] for task in done.answer["tasks"]]
        (mark,) = {name.split("-")[2] for name in ids}
        assert ids[:3] == [f"t-{number}-{mark}" for number in (3, 4, 5)]
        assert (len(done.answer["tasks"]), done.answer["omitted"], done.answer["plan"]["total"]) == (100, 50, 152)
        assert await desk.commits() == 3


async def test_ids_given_later_in_a_call_are_not_taken_by_those_that_got_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_plans(tmp_path) as desk:
        monkeypatch.setattr(SqliteWriter, "salt", lambda writer: "abcd" * 8)
        done = await desk.plan("One", "Two", {"id": "t-2-abcd"}, named=False)
        assert [task["id"] for task in done.answer["tasks"]] == ["t-1-abcd", "t-3-abcd", "t-2-abcd"]


async def test_ids_made_on_two_branches_or_after_a_revert_are_of_different_tasks(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan(description="Shared")
        other = Desk(desk.repo)
        await other.branch("side")
        await desk.plan("Ours", named=False)
        await desk.plan("Theirs", named=False, ref="side")
        merged = await other.merge("side")
        assert merged.conflicts == ()
        titles = {name: task["title"] for name, task in (await desk.value("/plans/p/tasks")).items()}
        assert sorted(titles.values()) == ["Ours", "Theirs"]
        gone = (await desk.plan("Gone", named=False)).answer["tasks"][0]["id"]
        await other.revert("main")
        again = (await desk.plan("Again", named=False)).answer["tasks"][0]["id"]
        assert again != gone
        assert again not in titles


async def test_a_plan_named_alone_lists_its_tasks_open_ones_first(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "a"}, {"id": "b", "agent": "ana"}, {"id": "c", "blocked_by": ["b"]}, description="Calm")
        await desk.finish("a")
        await desk.do("start", "b", "ana")
        before = await desk.commits()
        seen = await desk.plan()
        told = [(task["id"], task["status"], task.get("waits_for")) for task in seen.answer["tasks"]]
        assert told == [("b", "in_progress", None), ("c", "pending", ["b"]), ("a", "done", None)]
        assert (seen.answer["plan"]["description"], seen.answer["omitted"], seen.changed) == ("Calm", 0, 0)
        await desk.plan(*("More" for _ in range(100)))
        assert (len((await desk.plan()).answer["tasks"]), (await desk.plan()).answer["omitted"]) == (100, 3)
        assert await desk.commits() == before + 1


async def test_tasks_of_one_call_may_name_each_other_in_any_order(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "b", "blocked_by": ["a"], "parent": "all"}, {"id": "a"}, {"id": "all"})
        assert (await desk.next())["task"]["id"] == "a"


@pytest.mark.parametrize(
    ("tasks", "error", "told"),
    [
        (["  "], InvalidArgument, "tasks[0] has no title"),
        ([{"id": "a"}, {"id": "a"}], InvalidArgument, "given twice"),
        ([{"id": "old"}], InvalidArgument, "already"),
        ([{"id": "a", "blocked_by": ["a"]}], InvalidArgument, "by itself"),
        ([{"id": "a", "blocked_by": ["zzz"]}], TaskNotFound, "zzz"),
        ([{"id": "a", "blocked_by": ["b"]}, {"id": "b", "blocked_by": ["a"]}], InvalidArgument, "wait for each other"),
        ([{"id": "a", "parent": "a"}], InvalidArgument, "two levels"),
        ([{"id": "a", "parent": "zzz"}], TaskNotFound, "zzz"),
        ([{"id": "a", "parent": "b"}, {"id": "b", "parent": "old"}], InvalidArgument, "two levels"),
        ([{"id": "a", "parent": "old", "blocked_by": ["old"]}], InvalidArgument, "wait for each other"),
        ([{"id": "a/b"}], InvalidName, "'a-b'"),
        ([{"id": "a", "agent": "x\n"}], InvalidName, "agent"),
        ([{"id": "a" * 65}], LimitExceeded, "65"),
        (["x" * (limits.TASK_TITLE_BYTES_MAX + 1)], LimitExceeded, "title"),
        ([{"id": "a", "blocked_by": [f"b{n}" for n in range(101)]}], LimitExceeded, "101"),
    ],
)
async def test_tasks_that_cannot_be_are_refused_and_nothing_is_written(
    tmp_path: Path, tasks: list[Any], error: type[AsgError], told: str
) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "old"})
        with pytest.raises(error) as refused:
            await desk.plan(*tasks)
        assert told in f"{refused.value.message} {refused.value.hint}"
        assert refused.value.hint
        assert await desk.listed() == ["old"]
        assert await desk.commits() == 2


@pytest.mark.parametrize("name", ["", "a/b", "a b", "ä", "a\n", "a~1b"])
async def test_a_name_that_would_break_a_path_is_refused(tmp_path: Path, name: str) -> None:
    async with open_plans(tmp_path) as desk:
        with pytest.raises(InvalidName):
            await desk.plan("A task", name=name)
        assert await desk.plans() == {}


@pytest.mark.parametrize("name", ["42", "007", ".", "-", "v1.2_b-c", "x" * 64])
async def test_names_of_digits_and_signs_are_names_like_others(tmp_path: Path, name: str) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": name}, name=name)
        assert (await desk.next(plan=name))["task"]["id"] == name
        assert await desk.value(f"/plans/{name}/tasks/{name}/title") == name
        assert list(await desk.plans()) == [name]


async def test_a_plan_takes_no_more_tasks_than_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planadd, "PLAN_TASKS_MAX", 3)
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        with pytest.raises(LimitExceeded) as refused:
            await desk.plan("Three", "Four")
        assert refused.value.details["limit"] == "PLAN_TASKS_MAX"
        await desk.plan("Three")


async def test_closing_names_the_open_tasks_and_takes_a_summary(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        await desk.finish("t-1")
        with pytest.raises(Conflict) as refused:
            await desk.plan(status="completed", summary="Done.")
        assert refused.value.details["open"] == ["t-2"]
        await desk.do("abandon", "t-2", reason="Not needed")
        with pytest.raises(InvalidArgument):
            await desk.plan(status="completed")
        closed = (await desk.plan(status="completed", summary="One was enough.")).answer["plan"]
        assert (closed["status"], closed["summary"], closed["closed_by"]) == ("completed", "One was enough.", "planner")


@pytest.mark.parametrize("status", ["completed", "archived"])
async def test_a_closed_plan_takes_no_task_and_no_start_until_it_is_active_again(tmp_path: Path, status: str) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan(*(["One", "Two"] if status == "archived" else []))
        await desk.plan(status=status, summary="Over.")
        with pytest.raises(PlanClosed) as refused:
            await desk.plan("More")
        assert "status active" in refused.value.hint
        if status == "archived":
            for action, given in CHANGES:
                with pytest.raises(PlanClosed):
                    await desk.do(action, "t-1", **given)
        assert status in (await desk.next(claim=True))["why"]
        reopened = (await desk.plan("More", status="active")).answer["plan"]
        assert reopened["status"] == "active"
        assert not {"summary", "closed_at", "archived_at"} & set(reopened)
        assert await desk.claim()


async def test_work_begun_before_a_plan_was_archived_may_be_completed(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await desk.do("start", "t-1")
        await desk.plan(status="archived")
        assert (await desk.do("complete", "t-1"))["status"] == "done"


async def test_what_changes_nothing_makes_no_commit(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", description="Calm")
        before = await desk.commits()
        for given in ({}, {"description": "Calm"}, {"status": "active"}):
            assert (await desk.plan(**given)).changed == 0
        await desk.do("unassign", "t-1")
        assert await desk.commits() == before


async def test_a_plan_that_is_not_there_is_not_closed_and_its_neighbours_are_named(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan(name="upgrade")
        with pytest.raises(PlanNotFound):
            await desk.plan(name="p", status="archived")
        with pytest.raises(PlanNotFound) as refused:
            await desk.next(plan="upgrde")
        assert refused.value.details["nearest"] == ["upgrade"]


async def test_a_summary_without_an_end_is_refused(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        with pytest.raises(InvalidArgument):
            await desk.plan("One", summary="Done.")


async def test_a_repeated_request_adds_nothing_and_another_with_its_id_is_refused(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        first = await desk.plan("One", request_id="r")
        again = await desk.plan("One", request_id="r")
        assert (again.answer, again.commit, again.replayed) == (first.answer, first.commit, True)
        with pytest.raises(RequestReused):
            await desk.plan("Two", request_id="r")
        assert await desk.listed() == [task["id"] for task in first.answer["tasks"]]


async def test_a_task_in_work_becomes_a_parent_for_its_holder_alone(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await desk.do("start", "t-1", "worker")
        with pytest.raises(TaskTaken):
            await desk.plan({"id": "part", "parent": "t-1"})
        await desk.plan({"id": "part", "parent": "t-1"}, by="worker")
        whole = await desk.shown("t-1")
        assert (whole["status"], whole["children"], "held_by" in whole) == ("pending", 1, False)
        assert await desk.claim("other") == "part"
        assert await desk.status("t-1") == "in_progress"


async def test_a_final_task_takes_no_children_and_blocks_nothing_new(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        await desk.finish("t-1")
        await desk.do("abandon", "t-2", reason="No")
        with pytest.raises(TaskSettled):
            await desk.plan({"id": "part", "parent": "t-1"})
        with pytest.raises(TaskSettled):
            await desk.plan({"id": "later", "blocked_by": ["t-2"]})
        await desk.plan({"id": "later", "blocked_by": ["t-1"]})
        assert await desk.claim() == "later"


async def test_plans_are_changed_by_their_tools_alone_and_survive_a_write_to_the_root(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        other = Desk(desk.repo)
        with pytest.raises(Forbidden):
            await other.set("/plans/p/status", "completed")
        await other.set("/", {"a": 1})
        assert await desk.listed() == ["t-1"]


async def test_the_list_of_plans_tells_how_far_each_is_and_who_made_it(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "a", "agent": "ana"}, {"id": "b"}, {"id": "c"})
        await desk.do("start", "b", "bob")
        item = (await desk.plans())["p"]
        assert item["agent"] == "planner"
        assert (item["total"], item["counts"]["in_progress"], item["at"]) == (3, 1, item["created_at"])
        assert json.dumps(item)


async def test_branches_have_plans_of_their_own(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await Desk(desk.repo).branch("side")
        await desk.plan("Two", ref="side")
        await desk.change("start", "t-1", ref="side")
        assert await desk.listed() == ["t-1"]
        assert (await desk.shown("t-1", ref="side"))["status"] == "in_progress"
        assert await desk.status("t-1") == "pending"


async def test_what_a_merge_made_unreadable_reads_as_unsaid(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", {"id": "b"})
        broken = {"status": 7, "priority": [], "number": "x", "blocked_by": {"b": 1}, "agent": {"a": 1}, "parent": None}
        await _overwrite(desk, "/plans/p/tasks/t-1", broken)
        await _overwrite(desk, "/plans/p/tasks/odd", 5)
        assert await desk.status("t-1") == "pending"
        assert await desk.claim() == "t-1"


async def _overwrite(desk: PlanDesk, path: str, value: Any) -> None:
    """As a merge with a resolution of its own could."""
    decision = Decision((Operation(Op.SET, parse_path(path), value),), Intent(Category.MERGE, "Merged."), {})
    await desk.repo.transact("main", ALICE, "", b"", lambda _: decision)
