"""Tasks: what may be done with them, by whom, and what comes next."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from asg_mcp.core import limits
from asg_mcp.errors import (
    AsgError,
    InvalidArgument,
    InvalidName,
    LimitExceeded,
    RefNotFound,
    RequestReused,
    TaskBlocked,
    TaskNotFound,
    TaskSettled,
    TaskTaken,
)
from asg_mcp.repo.view import View
from asg_mcp.services.planstate import get_plan
from asg_mcp.services.tasks import Proof, ProofKind
from tests.repo.desk import Desk
from tests.services.plan_desk import PLAN, PROVEN, open_plans

MINUTE = 60 * 1_000_000_000


class Clock:
    """A clock that tests wind on."""

    def __init__(self) -> None:
        self.now = 1_800_000_000_000_000_000

    def time_ns(self) -> int:
        return self.now

    def pass_minutes(self, minutes: float) -> None:
        self.now += int(minutes * MINUTE)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of the store and of the services."""
    clock = Clock()
    for module in ("asg_mcp.storage.session", "asg_mcp.services.plans", "asg_mcp.services.nexttask"):
        monkeypatch.setattr(f"{module}.time", SimpleNamespace(time_ns=clock.time_ns))
    return clock


async def test_a_task_is_started_and_completed_with_a_proof_and_blame_tells_both(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        started = await desk.do("start", "t-1", "worker")
        assert (started["status"], started["held_by"]) == ("in_progress", "worker")
        done = await desk.do("complete", "t-1", "worker", proof=Proof(ProofKind.TEST, "pytest -q", "12 passed"))
        assert (done["status"], done["completed_by"]) == ("done", "worker")
        assert done["proof"] == {"kind": "test", "value": "pytest -q", "note": "12 passed"}
        assert "lease_until" not in done
        entry = (await Desk(desk.repo).blame("/plans/p/tasks/t-1/status"))[0]
        assert (entry.commit.agent, entry.commit.description) == ("worker", "Task t-1 completed by worker")
        assert entry.commit.reasoning == "test: pytest -q"
        (title,) = await Desk(desk.repo).blame("/plans/p/tasks/t-1/title")
        assert title.commit.description.startswith("Plan p created")


@pytest.mark.parametrize("end", ["done", "abandoned"])
@pytest.mark.parametrize(
    ("action", "given"),
    [
        ("start", {}),
        ("complete", {}),
        ("abandon", {"reason": "No"}),
        ("assign", {"agent": "ana"}),
        ("unassign", {}),
        ("reprioritise", {"priority": "low"}),
        ("block", {"blocked_by": ["t-2"]}),
        ("unblock", {}),
    ],
)
async def test_done_and_abandoned_are_final(tmp_path: Path, end: str, action: str, given: dict[str, Any]) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        await (desk.finish("t-1") if end == "done" else desk.do("abandon", "t-1", reason="No"))
        before = await desk.shown("t-1")
        with pytest.raises(TaskSettled) as refused:
            await desk.do(action, "t-1", **given)
        assert end in refused.value.message
        assert await desk.shown("t-1") == before


@pytest.mark.parametrize(
    ("action", "given", "error"),
    [
        ("complete", {"proof": None}, InvalidArgument),
        ("complete", {"proof": Proof(ProofKind.TEXT, " \n")}, InvalidArgument),
        ("complete", {"proof": Proof(ProofKind.COMMIT, "0123456789ab")}, AsgError),
        ("complete", {"proof": Proof(ProofKind.COMMIT, "no-branch")}, RefNotFound),
        ("complete", {"proof": Proof(ProofKind.TEXT, "x" * (limits.TASK_PROOF_BYTES_MAX + 1))}, LimitExceeded),
        ("complete", {"reason": "x"}, InvalidArgument),
        ("abandon", {}, InvalidArgument),
        ("abandon", {"reason": " "}, InvalidArgument),
        ("assign", {}, InvalidArgument),
        ("assign", {"agent": "a\nb"}, InvalidName),
        ("reprioritise", {}, InvalidArgument),
        ("block", {}, InvalidArgument),
        ("block", {"blocked_by": ["t-1"]}, InvalidArgument),
        ("block", {"blocked_by": ["t-9"]}, TaskNotFound),
        ("unblock", {"blocked_by": ["t-2"]}, InvalidArgument),
        ("start", {"proof": PROVEN}, InvalidArgument),
        ("start", {"priority": "low"}, InvalidArgument),
    ],
)
async def test_what_an_action_lacks_or_has_no_use_for_is_refused(
    tmp_path: Path, action: str, given: dict[str, Any], error: type[AsgError]
) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        if action == "complete":
            await desk.do("start", "t-1")
        before = await desk.shown("t-1")
        with pytest.raises(error) as refused:
            await desk.do(action, "t-1", **given)
        assert refused.value.hint
        assert await desk.shown("t-1") == before


async def test_a_proof_by_commit_keeps_the_commit_and_not_a_name_that_moves(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        head = (await Desk(desk.repo).set("/a", 1)).commit
        await desk.do("start", "t-1")
        await desk.do("start", "t-2")
        head = (await Desk(desk.repo).set("/a", 2)).commit
        by_name = await desk.do("complete", "t-1", proof=Proof(ProofKind.COMMIT, "main"))
        by_id = await desk.do("complete", "t-2", proof=Proof(ProofKind.COMMIT, head.hex()[:6]))
        assert by_name["proof"] == by_id["proof"] == {"kind": "commit", "value": head.hex()}


async def test_a_task_cannot_be_completed_before_it_was_started(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        with pytest.raises(TaskSettled, match="not started"):
            await desk.do("complete", "t-1")


async def test_an_unknown_task_is_answered_with_those_like_it(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "fix-dns"})
        with pytest.raises(TaskNotFound) as refused:
            await desk.do("start", "fix-dsn")
        assert refused.value.details["nearest"] == ["fix-dns"]


async def test_a_held_task_is_started_by_nobody_else_and_its_holder_renews_the_lease(
    tmp_path: Path, clock: Clock
) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        first = await desk.do("start", "t-1", "worker")
        clock.pass_minutes(7)
        for who, hint in (("worker", "start renews the lease from"), ("other", "wait until the lease ends")):
            with pytest.raises(TaskTaken) as refused:
                await desk.do("start", "t-1", who)
            assert refused.value.details["held_by"] == "worker"
            assert hint in refused.value.hint
        clock.pass_minutes(3)
        again = await desk.do("start", "t-1", "worker")
        assert again == {**first, "lease_until": again["lease_until"]}
        clock.pass_minutes(14)
        assert await desk.status("t-1") == "in_progress"
        await desk.claim("worker", lease_seconds=86_400)
        clock.pass_minutes(12.5 * 60)
        long = await desk.shown("t-2")
        assert await desk.do("start", "t-2", "worker") == long


async def test_while_the_lease_runs_only_its_holder_completes(tmp_path: Path, clock: Clock) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await desk.do("start", "t-1", "worker")
        clock.pass_minutes(14.9)
        with pytest.raises(TaskTaken):
            await desk.do("complete", "t-1", "other")
        assert (await desk.do("complete", "t-1", "worker"))["status"] == "done"


async def test_after_its_lease_a_task_is_pending_again_without_a_write(tmp_path: Path, clock: Clock) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        assert await desk.claim("first", lease_seconds=60) == "t-1"
        assert "leased to first" in (await desk.next("second"))["why"]
        commits = await desk.commits()
        clock.pass_minutes(1)
        assert await desk.status("t-1") == "pending"
        assert (await desk.plans())["p"]["counts"]["pending"] == 1
        assert (await desk.next("second"))["task"]["id"] == "t-1"
        assert await desk.commits() == commits
        with pytest.raises(TaskSettled, match="pending again"):
            await desk.do("complete", "t-1", "second")
        assert await desk.claim("second") == "t-1"
        with pytest.raises(TaskTaken):
            await desk.do("complete", "t-1", "first")


async def test_late_work_is_not_lost_if_nobody_took_the_task_meanwhile(tmp_path: Path, clock: Clock) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await desk.claim("worker")
        clock.pass_minutes(15)
        assert (await desk.do("complete", "t-1", "worker"))["status"] == "done"


async def test_an_assignment_does_not_take_a_task_from_its_holder(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await desk.claim("worker")
        await desk.do("assign", "t-1", agent="ana")
        assert (await desk.do("complete", "t-1", "worker"))["completed_by"] == "worker"


async def test_late_work_of_a_task_given_to_another_is_refused(tmp_path: Path, clock: Clock) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await desk.claim("worker")
        await desk.do("assign", "t-1", agent="ana")
        clock.pass_minutes(15)
        with pytest.raises(TaskTaken):
            await desk.do("complete", "t-1", "worker")


@pytest.mark.parametrize(("seconds", "error"), [(0, InvalidArgument), (-1, InvalidArgument), (86_401, LimitExceeded)])
async def test_a_lease_outside_its_limits_is_refused(tmp_path: Path, seconds: int, error: type[AsgError]) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        with pytest.raises(error):
            await desk.claim(lease_seconds=seconds)
        assert await desk.status("t-1") == "pending"


async def test_the_most_urgent_comes_first_and_then_the_oldest_by_number(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan(*("Filler" for _ in range(9)), {"title": "Low", "priority": "low"}, "Ten", "Eleven")
        await desk.do("reprioritise", "t-12", priority="critical")
        await desk.do("reprioritise", "t-11", priority="high")
        await desk.do("reprioritise", "t-9", priority="high")
        claimed = [await desk.claim() for _ in range(12)]
        assert claimed == ["t-12", "t-9", "t-11", *(f"t-{number}" for number in range(1, 9)), "t-10"]
        assert await desk.claim() == ""


async def test_looking_starts_nothing_and_claiming_again_gives_another(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        commits = await desk.commits()
        for _ in range(2):
            assert (await desk.next())["task"]["id"] == "t-1"
        assert await desk.commits() == commits
        assert [await desk.claim(), await desk.claim()] == ["t-1", "t-2"]


async def test_the_same_request_gets_the_same_task_and_starts_no_other(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        first = await desk.next(claim=True, request_id="r")
        assert await desk.next(claim=True, request_id="r") == first
        assert await desk.status("t-2") == "pending"
        await desk.change("complete", "t-1", request_id="c")
        assert (await desk.change("complete", "t-1", request_id="c")).replayed
        for other in ({"lease_seconds": 5}, {"by": "ana"}):
            with pytest.raises(RequestReused):
                await desk.next(claim=True, request_id="r", **other)


async def test_tasks_of_others_are_passed_over_and_not_started(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "hers", "agent": "ana", "priority": "critical"}, {"id": "free"})
        assert await desk.claim("bob") == "free"
        assert "hers to ana" in (await desk.next("bob"))["why"]
        with pytest.raises(TaskTaken):
            await desk.do("start", "hers", "bob")
        assert await desk.claim("ana") == "hers"


async def test_an_assigned_task_is_anybodys_once_it_is_unassigned(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        assert (await desk.do("assign", "t-1", agent="ana"))["agent"] == "ana"
        assert await desk.claim("bob") == ""
        assert "agent" not in await desk.do("unassign", "t-1")
        assert await desk.claim("bob") == "t-1"


async def test_a_blocked_task_waits_until_all_its_blockers_are_done(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "a"}, {"id": "b"}, {"id": "c", "priority": "critical", "blocked_by": ["a", "b"]})
        await desk.finish("a")
        with pytest.raises(TaskBlocked) as refused:
            await desk.do("start", "c")
        assert refused.value.details["waits_for"] == ["b"]
        assert (await desk.shown("c"))["waits_for"] == ["b"]
        assert await desk.claim() == "b"
        assert "c waits for b" in (await desk.next())["why"]
        await desk.do("complete", "b")
        assert await desk.claim() == "c"


async def test_an_abandoned_blocker_blocks_is_shown_and_can_be_lifted(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "a"}, {"id": "b"}, {"id": "c", "blocked_by": ["a", "b"]})
        await desk.do("abandon", "a", reason="No")
        await desk.finish("b")
        assert (await desk.shown("c"))["blocked_by_abandoned"] == ["a"]
        assert "blocked by a, which was abandoned" in (await desk.next())["why"]
        with pytest.raises(TaskBlocked, match="waits for a") as refused:
            await desk.do("start", "c")
        assert "unblock" in refused.value.hint
        lifted = await desk.do("unblock", "c", blocked_by=["a"])
        assert (lifted["blocked_by"], "waits_for" in lifted) == (["b"], False)
        assert await desk.claim() == "c"


async def test_unblocking_without_names_lifts_all(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "a"}, {"id": "b"}, {"id": "c", "blocked_by": ["a", "b"], "priority": "high"})
        assert "blocked_by" not in await desk.do("unblock", "c")
        assert await desk.claim() == "c"


async def test_a_circle_of_blockers_is_refused_however_long(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        chain = [{"id": f"n{number}", "blocked_by": [f"n{number - 1}"]} for number in range(1, 1_500)]
        await desk.plan({"id": "n0"}, *chain)
        with pytest.raises(InvalidArgument, match="wait for each other"):
            await desk.do("block", "n0", blocked_by=["n1499"])
        await desk.do("block", "n1499", blocked_by=["n0"])


async def test_a_parent_waits_for_its_children_and_they_for_its_blockers(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan(
            {"id": "gate"}, {"id": "all", "blocked_by": ["gate"]}, {"id": "part", "parent": "all"}, {"id": "x"}
        )
        with pytest.raises(TaskBlocked):
            await desk.do("start", "part")
        for task, blocker in (("part", "all"), ("all", "part"), ("gate", "part"), ("gate", "all")):
            with pytest.raises(InvalidArgument, match="wait for each other"):
                await desk.do("block", task, blocked_by=[blocker])
        await desk.do("block", "x", blocked_by=["all"])
        await desk.finish("gate", "part")
        assert await desk.status("all") == "done"
        assert await desk.claim() == "x"


async def test_the_status_of_a_parent_is_its_childrens(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "all", "priority": "critical"}, *({"id": name, "parent": "all"} for name in "abc"))
        assert await desk.status("all") == "pending"
        await desk.do("start", "a")
        assert await desk.status("all") == "in_progress"
        await desk.do("complete", "a")
        assert await desk.status("all") == "pending"
        await desk.do("abandon", "b", reason="No")
        for action in ("start", "complete"):
            with pytest.raises(TaskSettled, match="parent"):
                await desk.do(action, "all")
        with pytest.raises(TaskSettled) as refused:
            await desk.do("abandon", "all", reason="No")
        assert refused.value.details["children"] == ["c"]
        assert await desk.claim() == "c"
        await desk.do("complete", "c")
        assert await desk.status("all") == "done"
        assert "asg_plan with status completed" in (await desk.next())["why"]


async def test_a_parent_whose_children_were_all_abandoned_is_abandoned_by_hand(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "all"}, {"id": "a", "parent": "all"})
        await desk.do("abandon", "a", reason="No")
        assert await desk.status("all") == "pending"
        assert "all has abandoned children only" in (await desk.next())["why"]
        await desk.do("abandon", "all", reason="No")
        await desk.plan(status="completed", summary="Given up.")


async def test_a_worker_whose_task_was_abandoned_is_told_so(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One")
        await desk.claim("worker")
        with pytest.raises(TaskTaken):
            await desk.do("abandon", "t-1", "planner", reason="Not needed")
        await desk.do("assign", "t-1", agent="planner")
        abandoned = await desk.do("abandon", "t-1", "planner", reason="Not needed")
        assert (abandoned["reason"], "lease_until" in abandoned) == ("Not needed", False)
        with pytest.raises(TaskSettled, match="abandoned"):
            await desk.do("complete", "t-1", "worker")


async def test_what_is_leased_is_abandoned_by_its_holder_and_after_the_lease_by_anybody(
    tmp_path: Path, clock: Clock
) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan("One", "Two")
        assert [await desk.claim("worker"), await desk.claim("worker")] == ["t-1", "t-2"]
        await desk.do("abandon", "t-1", "worker", reason="Too hard")
        clock.pass_minutes(15)
        assert (await desk.do("abandon", "t-2", "planner", reason="No"))["abandoned_by"] == "planner"


async def test_a_hint_names_a_parent_only_where_that_is_what_to_unblock(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan({"id": "gate"}, {"id": "all", "blocked_by": ["gate"]}, {"id": "part", "parent": "all"})
        hints = []
        for task, blocker in (("part", "gate"), ("part", "all"), ("gate", "all")):
            with pytest.raises(InvalidArgument) as refused:
                await desk.do("unblock", task, blocked_by=[blocker])
            hints.append(refused.value.hint)
        assert hints == ["Its parent is: unblock all.", "It is blocked by nothing.", "It is blocked by nothing."]


async def test_an_empty_plan_says_that_it_has_no_tasks(tmp_path: Path) -> None:
    async with open_plans(tmp_path) as desk:
        await desk.plan()
        assert await desk.next(claim=True) == {"plan": PLAN, "why": "The plan has no tasks; add some with asg_plan."}


@pytest.mark.parametrize(("count", "blockers"), [(1, 0), (5, 1), (300, 1), (1_200, 1), (150, 40)])
async def test_a_plan_of_any_size_is_read_as_it_was_written(tmp_path: Path, count: int, blockers: int) -> None:
    async with open_plans(tmp_path) as desk:
        names = [f"k{number}" for number in range(count)]
        wanted = {name: names[max(0, place - blockers) : place] for place, name in enumerate(names)}
        await desk.plan(name="before")
        await desk.plan({"id": "other"}, name="q")
        await desk.plan(*({"id": name, "blocked_by": wanted[name]} for name in names))

        def read(view: View) -> dict[str, list[str]]:
            plan = get_plan(view.state(view.resolve("main")), PLAN, "2026")
            return {name: list(task.blocked_by) for name, task in plan.board.tasks.items()}

        for finished in (0, 1):  # the second time most of it is remembered
            assert await desk.repo.read(read) == wanted
            assert await desk.listed() == names
            await desk.finish(names[finished % count])
            if blockers and count > 1:
                assert (await desk.next())["task"]["id"] == names[finished + 1]
            else:
                return
