"""Random work on a plan against a slow and obvious model of it: the same refusals, the same tasks, the same order."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from asg_mcp.core.times import format_time
from asg_mcp.errors import AsgError, Conflict, InvalidArgument
from asg_mcp.repo.view import View
from asg_mcp.services.planscan import task_of
from asg_mcp.services.planstate import get_plan
from tests.services.plan_desk import PlanDesk, open_plans

LEASE = 900
IDS = [f"k{number}" for number in range(8)]
AGENTS = ["ana", "bob"]
PRIORITIES = ["low", "medium", "high", "critical"]
FILLERS = 130
"""Older tasks that are nobody's to do, so that the plan has nodes of the tree to itself."""


@dataclass
class Task:
    """A task of the model."""

    parent: str
    blocked_by: list[str]
    priority: str
    agent: str
    status: str = "pending"
    holder: str = ""
    began: int = 0
    until: int = 0


@dataclass
class Model:
    """A plan as a dictionary, every question answered by looking at all of it."""

    tasks: dict[str, Task] = field(default_factory=dict)
    now: int = 0
    """Seconds."""

    def children(self, name: str) -> list[str]:
        return [child for child, task in self.tasks.items() if task.parent == name]

    def status(self, name: str) -> str:
        task = self.tasks[name]
        if task.status in ("done", "abandoned"):
            return task.status
        parts = [self.status(child) for child in self.children(name)]
        if not parts:
            return "in_progress" if task.status == "in_progress" and self.now < task.until else "pending"
        if "in_progress" in parts:
            return "in_progress"
        left = [part for part in parts if part != "abandoned"]
        return "done" if left and all(part == "done" for part in left) else "pending"

    def blockers(self, name: str) -> list[str]:
        task = self.tasks[name]
        return task.blocked_by + (self.tasks[task.parent].blocked_by if task.parent else [])

    def is_ready(self, name: str, agent: str) -> bool:
        task = self.tasks[name]
        return (
            not self.children(name)
            and self.status(name) == "pending"
            and task.agent in ("", agent)
            and all(self.status(blocker) == "done" for blocker in self.blockers(name))
        )

    def next(self, agent: str) -> str:
        ready = [name for name in self.tasks if self.is_ready(name, agent)]  # in the order of creation
        return max(ready, key=lambda name: PRIORITIES.index(self.tasks[name].priority), default="")

    def waits_in_a_circle(self) -> bool:
        """Whether, with everybody working for ever, some task that is not abandoned can never be done."""
        over: set[str] = set()
        while True:
            free = {
                name
                for name in self.tasks
                if all(x in over for x in self.blockers(name)) and all(x in over for x in self.children(name))
            }
            if free <= over:
                return len(over) < len(self.tasks)
            over |= free

    def add(self, name: str, task: Task, by: str) -> bool:
        if name in self.tasks or task.parent == name or name in task.blocked_by:
            return False
        if task.parent:
            parent = self.tasks.get(task.parent)
            if parent is None or parent.parent or parent.status in ("done", "abandoned"):
                return False
            if self._is_leased(parent) and parent.holder != by:
                return False
        if any(x not in self.tasks or self.tasks[x].status == "abandoned" for x in task.blocked_by):
            return False
        self.tasks[name] = task
        if self.waits_in_a_circle():
            del self.tasks[name]
            return False
        if task.parent:
            self.tasks[task.parent].status = (
                "pending" if self.tasks[task.parent].status == "in_progress" else self.tasks[task.parent].status
            )
        return True

    def _is_leased(self, task: Task) -> bool:
        return task.status == "in_progress" and self.now < task.until

    def act(self, action: str, name: str, by: str, given: str) -> bool:
        """Whether the action is allowed; then it is done."""
        if name not in self.tasks or self.status(name) in ("done", "abandoned"):
            return False
        return bool(getattr(self, f"_{action}")(self.tasks[name], name, by, given))

    def _start(self, task: Task, name: str, by: str, _: str) -> bool:
        if self._is_leased(task):
            if self.children(name) or task.holder != by or task.agent not in ("", by):
                return False
            if 2 * self.now < task.began + task.until:
                return False
            task.until = max(task.until, self.now + LEASE)
            return True
        if not self.is_ready(name, by):
            return False
        task.status, task.holder, task.until = "in_progress", by, self.now + LEASE
        task.began = self.now
        return True

    def _complete(self, task: Task, name: str, by: str, _: str) -> bool:
        if self.children(name) or task.status != "in_progress" or task.holder != by:
            return False
        if not self._is_leased(task) and task.agent not in ("", by):
            return False
        task.status = "done"
        return True

    def _abandon(self, task: Task, name: str, by: str, _: str) -> bool:
        if any(self.status(child) in ("pending", "in_progress") for child in self.children(name)):
            return False
        if self._is_leased(task) and by not in (task.holder, task.agent):
            return False
        task.status = "abandoned"
        return True

    def _assign(self, task: Task, name: str, by: str, given: str) -> bool:
        task.agent = given
        return True

    def _unassign(self, task: Task, name: str, by: str, _: str) -> bool:
        task.agent = ""
        return True

    def _block(self, task: Task, name: str, by: str, given: str) -> bool:
        if given == name or given not in self.tasks or self.tasks[given].status == "abandoned":
            return False
        before = task.blocked_by
        task.blocked_by = before if given in before else [*before, given]
        if self.waits_in_a_circle():
            task.blocked_by = before
            return False
        return True

    def _unblock(self, task: Task, name: str, by: str, given: str) -> bool:
        if given not in task.blocked_by:
            return False
        task.blocked_by = [x for x in task.blocked_by if x != given]
        return True


ADDS = st.tuples(
    st.just("add"),
    st.sampled_from(IDS),
    st.sampled_from(AGENTS),
    st.sampled_from(["", "", "", *IDS[:3]]),
    st.lists(st.sampled_from(IDS), max_size=2, unique=True),
    st.sampled_from(PRIORITIES),
    st.sampled_from(["", "", *AGENTS]),
)
ACTIONS = st.tuples(
    st.sampled_from(["start", "start", "complete", "complete", "abandon", "assign", "unassign", "block", "unblock"]),
    st.sampled_from(IDS[:6]),
    st.sampled_from(AGENTS),
    st.sampled_from(IDS[:6]),
)
BEGINNING = [
    ("add", "k0", "ana", "", [], "medium", ""),
    ("add", "k1", "ana", "", [], "high", ""),
    ("add", "k2", "ana", "", [], "critical", ""),
    ("add", "k3", "ana", "k2", ["k1"], "low", ""),
    ("add", "k4", "ana", "", ["k0"], "critical", ""),
]
CLAIMS = st.tuples(st.just("claim"), st.sampled_from(AGENTS))
WAITS = st.tuples(st.just("wait"), st.sampled_from([60, LEASE - 1, LEASE]))
WORK = st.lists(st.one_of(ADDS, ADDS, ACTIONS, ACTIONS, ACTIONS, CLAIMS, WAITS), min_size=10, max_size=40)


@given(work=WORK)
@settings(max_examples=25)
def test_random_work_on_a_plan_goes_as_the_model_says(work: list[tuple[Any, ...]]) -> None:
    asyncio.run(_work(work))


async def _work(work: list[tuple[Any, ...]]) -> None:
    model = Model()
    clock = SimpleNamespace(time_ns=lambda: (1_800_000_000 + model.now) * 1_000_000_000)
    modules = ("storage.session", "services.plans", "services.nexttask")
    patches = [patch(f"asg_mcp.{module}.time", clock) for module in modules]
    with tempfile.TemporaryDirectory() as folder:
        for patched in patches:
            patched.start()
        try:
            async with open_plans(Path(folder)) as desk:
                await desk.plan(*({"id": f"filler-{number}", "agent": "nobody"} for number in range(FILLERS)))
                for step in [*BEGINNING, *work]:
                    await _step(desk, model, step)
                    await _compare(desk, model)
        finally:
            for patched in patches:
                patched.stop()


async def _step(desk: PlanDesk, model: Model, step: tuple[Any, ...]) -> None:
    kind = step[0]
    if kind == "wait":
        model.now += step[1]
    elif kind == "claim":
        expected = model.next(step[1])
        assert await desk.claim(step[1]) == expected
        if expected:
            assert model.act("start", expected, step[1], "")
    elif kind == "add":
        _, name, by, parent, blocked_by, priority, agent = step
        task = Task(parent, list(blocked_by), priority, agent)
        told = {"id": name, "parent": parent, "blocked_by": blocked_by, "priority": priority, "agent": agent}
        assert await _is_done(desk.plan(told, by=by)) == model.add(name, task, by), step
    else:
        _, name, by, given = step
        given = AGENTS[IDS.index(given) % 2] if kind == "assign" else given
        needs: dict[str, dict[str, Any]] = {
            "abandon": {"reason": "No"},
            "assign": {"agent": given},
            "block": {"blocked_by": [given]},
            "unblock": {"blocked_by": [given]},
        }
        assert await _is_done(desk.do(kind, name, by, **needs.get(kind, {}))) == model.act(kind, name, by, given), step


async def _is_done(call: Any) -> bool:
    try:
        await call
    except AsgError as refusal:
        assert isinstance(refusal, Conflict | InvalidArgument) or refusal.code == "task_not_found", refusal
        return False
    return True


async def _compare(desk: PlanDesk, model: Model) -> None:
    """What the plan says of every task, and what is next for everybody."""

    def read(view: View) -> dict[str, Any]:
        moment = format_time((1_800_000_000 + model.now) * 1_000_000)
        plan = get_plan(view.state(view.resolve("main")), "p", moment)
        ours = {name: task for name, task in plan.board.tasks.items() if not name.startswith("filler")}
        assert len(plan.board.tasks) == FILLERS + len(ours)
        for name, task in ours.items():
            assert task == task_of(name, plan.task_fields(name))
        return {name: (plan.board.status(task), list(task.blocked_by), task.agent) for name, task in ours.items()}

    assert await desk.repo.read(read) == {
        name: (model.status(name), task.blocked_by, task.agent) for name, task in model.tasks.items()
    }
    for agent in AGENTS:
        answer = await desk.next(agent)
        assert answer.get("task", {}).get("id", "") == model.next(agent)
        assert ("why" in answer) != ("task" in answer)
