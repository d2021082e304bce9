"""The next task for a worker: looked at, or claimed atomically under a lease."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.limits import LEASE_SECONDS_DEFAULT, LEASE_SECONDS_MAX
from asg_mcp.core.times import format_time
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo.repeats import fingerprint
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.transact import Decision, Draft, Transacted
from asg_mcp.repo.view import View
from asg_mcp.services.identity import Acting
from asg_mcp.services.planrules import PlanStatus
from asg_mcp.services.planstate import Plan, get_plan
from asg_mcp.services.tasks import answer, decision, started


@dataclass(frozen=True, slots=True)
class NextTask:
    """The next ready task of a plan, looked at or claimed for so many seconds."""

    plan: str
    claim: bool = False
    lease_seconds: int = LEASE_SECONDS_DEFAULT


async def next_task(repo: Repository, ref: str, wanted: NextTask, who: Acting, request_id: str) -> Transacted:
    """The next ready task for an agent on a branch. The answer has `plan`, and `task` or `why` there is none.

    With `claim` it is started under a lease in the same transaction, so no two callers get the same. Whoever repeats
    the call gets another one, held ones are not handed out again, unless the request_id is the same. Without it nothing
    is written, and request_id means nothing. Raises PlanNotFound, LimitExceeded and InvalidArgument, and what
    `Repository.transact` raises.
    """
    _check_lease(wanted.lease_seconds)
    if not wanted.claim:
        return await repo.read(lambda view: _look(view, ref, wanted.plan, who.author.agent))
    asked = fingerprint("next", ref, wanted, who.author) if request_id else b""
    return await repo.transact(ref, who.author, request_id, asked, lambda draft: _claim(draft, wanted, who))


def _look(view: View, ref: str, name: str, agent: str) -> Transacted:
    head = view.resolve(ref)
    plan = get_plan(view.state(head), name, format_time(time.time_ns() // 1_000))
    task = plan.board.next(agent) if plan.status is PlanStatus.ACTIVE else None
    told = _none(plan, agent) if task is None else answer(plan, task.id, plan.task_fields(task.id))
    return Transacted(told, head.id, ref, 0)


def _claim(draft: Draft, wanted: NextTask, who: Acting) -> Decision:
    plan = get_plan(draft.state, wanted.plan, format_time(draft.now))
    agent = who.author.agent
    task = plan.board.next(agent) if plan.status is PlanStatus.ACTIVE else None
    if task is None:
        return Decision((), None, _none(plan, agent))
    before = plan.task_fields(task.id)
    after = started(before, agent, draft.now, wanted.lease_seconds)
    return decision(plan, task.id, before, after, f"Task {task.id} started by {agent}", who)


def _none(plan: Plan, agent: str) -> dict[str, Any]:
    if plan.status is PlanStatus.ACTIVE:
        return {"plan": plan.name, "why": plan.board.why_none(agent)}
    return {
        "plan": plan.name,
        "why": f"Plan {plan.name} is {plan.status.value}; asg_plan with status active reopens it.",
    }


def _check_lease(seconds: int) -> None:
    if seconds < 1:
        raise InvalidArgument(f"A lease of {seconds} seconds is none", hint="Give at least 1, or leave it out.")
    if seconds > LEASE_SECONDS_MAX:
        raise LimitExceeded(
            f"A lease of {seconds} seconds; at most {LEASE_SECONDS_MAX}",
            hint="Give less: after the lease its last holder may still complete the task if nobody took it.",
            limit="LEASE_SECONDS_MAX",
            max=LEASE_SECONDS_MAX,
        )
