"""Plans: made, extended with many tasks at once, closed, archived and opened again, each as one commit."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.limits import COMMIT_BYTES_MAX, DESCRIPTION_BYTES_MAX, PLAN_SUMMARY_BYTES_MAX
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.times import format_time
from asg_mcp.core.values import JsonValue, encode
from asg_mcp.errors import Conflict, InvalidArgument, LimitExceeded, PlanClosed, PlanNotFound
from asg_mcp.repo.repeats import fingerprint
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.transact import Decision, Draft, Transacted
from asg_mcp.repo.view import View
from asg_mcp.services.identity import Acting
from asg_mcp.services.planadd import TASKS_SHOWN_MAX, Added, NewTask, check_count, checked_task
from asg_mcp.services.planrules import FINAL, SHOWN_MAX, Board, PlanStatus
from asg_mcp.services.planstate import (
    TASKS,
    Fields,
    Plan,
    all_plans,
    changes,
    check_plan_name,
    checked_text,
    find_plan,
    shown,
)


@dataclass(frozen=True, slots=True)
class PlanRequest:
    """What a plan is to become. Empty means not asked."""

    name: str
    description: str = ""
    tasks: tuple[NewTask, ...] = ()
    status: PlanStatus | None = None
    summary: str = ""


async def change_plan(repo: Repository, ref: str, request: PlanRequest, who: Acting, request_id: str) -> Transacted:
    """Make a plan or change it, on a branch, as one commit. The answer has `plan`, `tasks` (the new) and `omitted`.

    Where nothing but the name of a plan that is there is given, nothing is written, and `tasks` are all of them as they
    stand, open ones first, up to TASKS_SHOWN_MAX.

    Raises InvalidArgument, InvalidName and LimitExceeded for what cannot be kept, PlanNotFound for closing what is not
    there, PlanClosed for adding to a plan that is not active, TaskNotFound, TaskSettled and TaskTaken for a parent or
    blocker that cannot be one, Conflict for closing a plan with open tasks; and what `Repository.transact` raises.
    """
    checked = _checked(request)
    if checked == PlanRequest(request.name):
        seen = await repo.read(lambda view: _look(view, ref, request.name))
        if seen is not None:
            return seen
    asked = fingerprint("plan", ref, checked, who.author) if request_id else b""
    return await repo.transact(ref, who.author, request_id, asked, lambda draft: _decide(draft, checked, who))


def plan_items(view: View, ref: str) -> Iterator[Fields]:
    """The plans of a ref with the counts of their tasks, in the order of their names."""
    for plan in all_plans(view.state(view.resolve(ref)), format_time(time.time_ns() // 1_000)):
        made = {"at": plan.fields.get("created_at", ""), "agent": plan.fields.get("created_by", "")}
        yield {**plan_fields(plan.name, plan.fields, plan.board), **made}


def _look(view: View, ref: str, name: str) -> Transacted | None:
    """A plan with its tasks as they stand, the open ones first, then the oldest; None where there is no such plan."""
    head = view.resolve(ref)
    plan = find_plan(view.state(head), name, format_time(time.time_ns() // 1_000))
    if plan is None:
        return None
    board = plan.board
    order = sorted(board.tasks.values(), key=lambda task: (board.status(task) in FINAL, task.number, task.id))
    tasks: list[JsonValue] = [shown(board, task.id, plan.task_fields(task.id)) for task in order[:TASKS_SHOWN_MAX]]
    told = {"plan": plan_fields(name, plan.fields, board), "tasks": tasks, "omitted": len(order) - len(tasks)}
    return Transacted(told, head.id, ref, 0)


def plan_fields(name: str, fields: Mapping[str, JsonValue], board: Board) -> Fields:
    """A plan as callers see it, with the counts of its tasks."""
    return {"name": name, **fields, "counts": dict(board.counts()), "total": len(board.tasks)}


def plan_intent(description: str, who: Acting, reasoning: str = "") -> Intent:
    """Why a plan or task changed; in a session, on its authority and in its service."""
    session = who.session
    return Intent(
        Category.PLAN,
        description,
        reasoning=reasoning,
        parent_intent=session.handle if session else "",
        provenance={"authority": dict(session.authority)} if session and session.authority else {},
    )


def require_active(plan: Plan) -> None:
    """Raise PlanClosed unless the plan takes new tasks and starts."""
    if plan.status is not PlanStatus.ACTIVE:
        raise PlanClosed(
            f"Plan {plan.name} is {plan.status.value}",
            hint="Reopen it with asg_plan status active, or use another plan.",
            plan=plan.name,
            status=plan.status.value,
        )


def _checked(request: PlanRequest) -> PlanRequest:
    """The request, its texts trimmed and measured, before anything waits for the writer."""
    check_plan_name(request.name, "plan name")
    closes = request.status in (PlanStatus.COMPLETED, PlanStatus.ARCHIVED)
    summary = checked_text(request.summary, "summary", "PLAN_SUMMARY_BYTES_MAX", PLAN_SUMMARY_BYTES_MAX)
    if summary and not closes:
        raise InvalidArgument(
            "A summary is given, and the plan is not closed", hint="Give status completed with it, or leave it out."
        )
    check_count(len(request.tasks))
    tasks = tuple(checked_task(task, place) for place, task in enumerate(request.tasks))
    size = sum(len(encode([task.id, task.title, task.agent, task.parent, *task.blocked_by])) + 200 for task in tasks)
    if size > COMMIT_BYTES_MAX:
        raise LimitExceeded(
            f"The tasks carry more than {COMMIT_BYTES_MAX} bytes",
            hint="Add them in several calls.",
            limit="COMMIT_BYTES_MAX",
            max=COMMIT_BYTES_MAX,
        )
    description = checked_text(request.description, "description", "DESCRIPTION_BYTES_MAX", DESCRIPTION_BYTES_MAX)
    return replace(request, description=description, summary=summary, tasks=tasks)


def _decide(draft: Draft, request: PlanRequest, who: Acting) -> Decision:
    now = format_time(draft.now)
    found = find_plan(draft.state, request.name, now)
    agent = who.author.agent
    if found is None:
        if request.status not in (None, PlanStatus.ACTIVE):
            raise PlanNotFound(f"There is no plan {request.name!r} to close", hint="Make it with its tasks first.")
        born: Fields = {"status": PlanStatus.ACTIVE.value, "created_at": now, "created_by": agent}
        plan = Plan(draft.state, request.name, born, Board({}, now))
    else:
        plan = found
    after, told = _plan_after(plan, request, agent, now, is_new=found is None)
    added = Added(plan, agent, now, draft.salt)
    if request.tasks:
        require_active(replace(plan, fields=after))
        added.add(request.tasks)
    board = Board({**plan.board.tasks, **added.tasks}, now)
    if request.status is PlanStatus.COMPLETED:
        _check_finished(plan.name, board)
    if found is None:
        operations = [Operation(Op.SET, plan.path(), {**after, TASKS: dict(added.fields)})]
    else:
        operations = [*changes(plan.path(), plan.fields, after), *added.operations()]
    answer = {"plan": plan_fields(plan.name, after, board), **added.answer(request.tasks)}
    if request.tasks:
        count = len(request.tasks)
        told.append(f"{count} task{'s' if count > 1 else ''} added")
    intent = plan_intent(f"Plan {plan.name} {', '.join(told)} by {agent}", who, request.summary) if told else None
    return Decision(tuple(operations), intent, answer)


def _plan_after(
    plan: Plan, request: PlanRequest, agent: str, now: str, *, is_new: bool
) -> tuple[dict[str, JsonValue], list[str]]:
    """The plan's own fields afterwards, and what happened to it in words."""
    after, told = dict(plan.fields), ["created"] if is_new else []
    if request.description and request.description != after.get("description"):
        after["description"] = request.description
        told += [] if is_new else ["described"]
    if request.summary and plan.status is request.status and request.summary != after.get("summary"):
        after["summary"] = request.summary
        told.append("summed up anew")
    if request.status is None or request.status is plan.status:
        return after, told
    if request.status is PlanStatus.ACTIVE:
        for name in ("summary", "closed_at", "closed_by", "archived_at", "archived_by"):
            after.pop(name, None)
        after["status"] = PlanStatus.ACTIVE.value
        return after, [*told, "reopened"]
    if request.status is PlanStatus.COMPLETED:
        require_active(plan)
        if not request.summary:
            raise InvalidArgument("A plan is completed with a summary", hint="Say in summary what came of it.")
    verb = "closed" if request.status is PlanStatus.COMPLETED else "archived"
    after |= {"status": request.status.value, f"{verb}_at": now, f"{verb}_by": agent}
    if request.summary:
        after["summary"] = request.summary
    return after, [*told, verb]


def _check_finished(name: str, board: Board) -> None:
    rest = board.unfinished()
    if rest:
        shown_ids = ", ".join(task.id for task in rest[:SHOWN_MAX])
        more = f" and {len(rest) - SHOWN_MAX} more" if len(rest) > SHOWN_MAX else ""
        raise Conflict(
            f"Plan {name} has {len(rest)} unfinished tasks: {shown_ids}{more}",
            hint="Complete or abandon them with asg_update_task first, or archive the plan.",
            plan=name,
            open=[task.id for task in rest[:TASKS_SHOWN_MAX]],
            count=len(rest),
        )
