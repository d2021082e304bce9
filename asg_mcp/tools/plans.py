"""The plan tools: asg_plan, asg_update_task, asg_next_task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from asg_mcp.repo.transact import Transacted
from asg_mcp.schemas.plans import (
    NextTaskParams,
    NextTaskReply,
    PlanFields,
    PlanParams,
    PlanReply,
    TaskAction,
    TaskFields,
    TaskItem,
    TaskReply,
    UpdateTaskParams,
)
from asg_mcp.services import nexttask, plans, tasks
from asg_mcp.services.identity import Acting
from asg_mcp.services.planadd import NewTask
from asg_mcp.services.planrules import PlanStatus, Priority
from asg_mcp.tools import pack, unpack
from asg_mcp.tools.registry import Effect, Tool, ToolContext

DEFAULT_BRANCH = "main"


async def plan(ctx: ToolContext, p: PlanParams) -> PlanReply:
    """A plan made, extended, closed or opened again."""
    who = unpack.acting(ctx, session=p.session)
    request = plans.PlanRequest(
        name=p.name,
        description=p.description,
        tasks=tuple(_new_task(item) for item in p.tasks),
        status=PlanStatus(p.status.value) if p.status else None,
        summary=p.summary,
    )
    done = await plans.change_plan(ctx.repo, _branch(who), request, who, p.request_id)
    added, _ = pack.first(done.answer["tasks"], pack.ITEM_BYTES_MAX // 2)
    omitted = done.answer["omitted"] + len(done.answer["tasks"]) - len(added)
    fields = _present(done.answer["plan"], PlanFields)
    return PlanReply.model_validate({**_done(done), "plan": fields, "tasks": added, **pack.more(omitted)})


def _new_task(item: TaskItem) -> NewTask:
    priority = Priority(item.priority.value)
    return NewTask(item.title, item.id, priority, item.parent, tuple(item.blocked_by), item.agent)


async def update_task(ctx: ToolContext, p: UpdateTaskParams) -> TaskReply:
    """One action on one task."""
    assigns = p.action is TaskAction.ASSIGN
    who = unpack.acting(ctx, session=p.session, agent="" if assigns else p.agent)
    proof = None
    if p.proof is not None:
        proof = tasks.Proof(tasks.ProofKind(p.proof.kind.value), p.proof.value, p.proof.note)
    update = tasks.Update(
        plan=p.plan,
        task=p.task,
        action=tasks.Action(p.action.value),
        proof=proof,
        reason=p.reason,
        agent=p.agent if assigns else "",
        priority=Priority(p.priority.value) if p.priority else None,
        blocked_by=tuple(p.blocked_by),
    )
    done = await tasks.update_task(ctx.repo, _branch(who), update, who, p.request_id)
    return TaskReply.model_validate({**_done(done), **_task(done.answer)})


async def next_task(ctx: ToolContext, p: NextTaskParams) -> NextTaskReply:
    """The next ready task, or why there is none."""
    who = unpack.acting(ctx, session=p.session, agent=p.agent)
    wanted = nexttask.NextTask(p.plan, p.claim, p.lease_seconds)
    done = await nexttask.next_task(ctx.repo, _branch(who), wanted, who, p.request_id)
    return NextTaskReply.model_validate({**_done(done), **_task(done.answer)})


def _branch(who: Acting) -> str:
    return who.branch(DEFAULT_BRANCH, said=False)


def _done(done: Transacted) -> pack.Fields:
    fields: pack.Fields = {"ref": done.ref, "commit": done.commit.short}
    return {**fields, "replayed": True} if done.replayed else fields


def _task(answer: Mapping[str, Any]) -> pack.Fields:
    if "task" not in answer:
        return {"plan": answer["plan"], "why": answer["why"]}
    return {"plan": answer["plan"], "task": _present(answer["task"], TaskFields)}


def _present(fields: Mapping[str, Any], shape: type[PlanFields | TaskFields]) -> pack.Fields:
    """The fields that the reply knows, as far as they fit: what others put into the state may be of any size."""
    item = pack.Item()
    for name in shape.model_fields:
        if name in fields:
            item.put(name, fields[name])
    return item.fields


TOOLS = (
    Tool(
        "asg_plan",
        "plans",
        "Make a plan, add tasks, close or reopen it; returns ids. To work use asg_next_task.",
        plan,
        PlanParams,
        PlanReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_update_task",
        "plans",
        "Change a task; complete needs proof, abandon reason. Fails with task_taken, task_blocked.",
        update_task,
        UpdateTaskParams,
        TaskReply,
        Effect.WRITE,
    ),
    Tool(
        "asg_next_task",
        "plans",
        "The next ready task, or why none; claim starts it under a lease. Then asg_update_task.",
        next_task,
        NextTaskParams,
        NextTaskReply,
        Effect.WRITE,
    ),
)
