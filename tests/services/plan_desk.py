"""A repository driven through the plan services, with the arguments that hardly vary filled in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from asg_mcp.app import open_repository
from asg_mcp.core.paths import parse_path
from asg_mcp.core.times import format_time
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.transact import Transacted
from asg_mcp.repo.view import View
from asg_mcp.services.identity import Acting
from asg_mcp.services.nexttask import NextTask, next_task
from asg_mcp.services.planadd import NewTask
from asg_mcp.services.planrules import PlanStatus, Priority
from asg_mcp.services.plans import PlanRequest, change_plan, plan_items
from asg_mcp.services.planstate import get_plan, shown
from asg_mcp.services.tasks import Action, Proof, ProofKind, Update, update_task
from tests.repo.stores import ALICE

PLANNER = "planner"
PROVEN = Proof(ProofKind.TEXT, "seen")
PLAN = "p"


def acting(agent: str) -> Acting:
    """Somebody on the same machine under this name."""
    return Acting(replace(ALICE, agent=agent))


def new(told: str | dict[str, Any]) -> NewTask:
    """A task to add: its title, or its fields."""
    given: dict[str, Any] = {"title": told} if isinstance(told, str) else {"title": told.get("id", "A task"), **told}
    if "priority" in given:
        given["priority"] = Priority(given["priority"])
    if "blocked_by" in given:
        given["blocked_by"] = tuple(given["blocked_by"])
    return NewTask(**given)


class PlanDesk:
    """Calls about one plan, `p` unless another is named."""

    def __init__(self, repo: Repository) -> None:
        self.repo = repo
        self.made: dict[str, int] = {}
        """How many tasks each plan got: one that is given without an id is called by its number, unless `named` is
        False."""

    async def plan(
        self, *tasks: str | dict[str, Any], name: str = PLAN, by: str = PLANNER, ref: str = "main", **given: Any
    ) -> Transacted:
        """Make or change the plan."""
        request_id = given.pop("request_id", "")
        if "status" in given:
            given["status"] = PlanStatus(given["status"])
        first = self.made.get(name, 0) + 1
        wanted = [new(task) for task in tasks]
        if given.pop("named", not request_id):
            wanted = [replace(task, id=task.id or f"t-{number}") for number, task in enumerate(wanted, first)]
        done = await change_plan(
            self.repo, ref, PlanRequest(name, tasks=tuple(wanted), **given), acting(by), request_id
        )
        self.made[name] = first - 1 + len(tasks)
        return done

    async def do(self, action: str, task: str, by: str = PLANNER, **given: Any) -> dict[str, Any]:
        """One action; the task afterwards."""
        return dict((await self.change(action, task, by, **given)).answer["task"])

    async def change(self, action: str, task: str, by: str = PLANNER, **given: Any) -> Transacted:
        """The same with all that is answered."""
        plan, ref, request_id = given.pop("plan", PLAN), given.pop("ref", "main"), given.pop("request_id", "")
        if action == "complete":
            given.setdefault("proof", PROVEN)
        if "blocked_by" in given:
            given["blocked_by"] = tuple(given["blocked_by"])
        if "priority" in given:
            given["priority"] = Priority(given["priority"])
        return await update_task(self.repo, ref, Update(plan, task, Action(action), **given), acting(by), request_id)

    async def next(self, by: str = PLANNER, *, request_id: str = "", **given: Any) -> dict[str, Any]:
        """The next task, looked at."""
        wanted = NextTask(given.pop("plan", PLAN), **given)
        return (await next_task(self.repo, "main", wanted, acting(by), request_id)).answer

    async def claim(self, by: str = PLANNER, **given: Any) -> str:
        """The id of the next task, started; "" for none."""
        answer = await self.next(by, claim=True, **given)
        return str(answer["task"]["id"]) if "task" in answer else ""

    async def finish(self, *tasks: str, by: str = PLANNER) -> None:
        """Start and complete tasks."""
        for task in tasks:
            await self.do("start", task, by)
            await self.do("complete", task, by)

    async def shown(self, task: str, plan: str = PLAN, ref: str = "main") -> dict[str, Any]:
        """A task as lists show it."""

        def read(view: View) -> dict[str, Any]:
            found = get_plan(view.state(view.resolve(ref)), plan, format_time(view.reader.now()))
            return shown(found.board, task, found.task_fields(task))

        return await self.repo.read(read)

    async def listed(self, plan: str = PLAN) -> list[str]:
        """The ids of all tasks, the oldest first."""

        def read(view: View) -> list[str]:
            found = get_plan(view.state(view.resolve("main")), plan, "2026")
            return sorted(found.board.tasks, key=lambda task: found.board.tasks[task].number)

        return await self.repo.read(read)

    async def plans(self, ref: str = "main") -> dict[str, dict[str, Any]]:
        """All plans by name."""
        found = await self.repo.read(lambda view: list(plan_items(view, ref)))
        return {str(item["name"]): item for item in found}

    async def status(self, task: str) -> str:
        """Where a task stands."""
        return str((await self.shown(task))["status"])

    async def value(self, path: str) -> Any:
        """What the state holds."""
        return (await self.repo.get("main", parse_path(path), depth=None, max_bytes=10**6, cursor="")).value

    async def commits(self) -> int:
        """How many commits main has, up to 100."""
        return len((await self.repo.log("main", (), limit=100, cursor="")).commits)


@asynccontextmanager
async def open_plans(folder: Path) -> AsyncIterator[PlanDesk]:
    """A repository in a new file, or again in the same one."""
    async with open_repository(folder / "state.db") as repo:
        yield PlanDesk(repo)
