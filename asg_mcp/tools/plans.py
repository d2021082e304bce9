"""The plan tools: asg_plan, asg_update_task, asg_next_task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json

from asg_mcp.errors import Forbidden
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
    TaskLine,
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
_LINE_TEXT_BYTES_MAX = 2_048


async def plan(ctx: ToolContext, p: PlanParams) -> PlanReply:
    """A plan made, extended, closed or opened again; with its name alone, its tasks."""
    who = unpack.acting(ctx, session=p.session)
    request = plans.PlanRequest(
        name=p.name,
        description=p.description,
        tasks=tuple(_new_task(item) for item in p.tasks),
        status=PlanStatus(p.status.value) if p.status else None,
        summary=p.summary,
    )
    done = await plans.change_plan(ctx.repo, _branch(who), request, who, p.request_id)
    fields = _present(done.answer["plan"], PlanFields)
    lines = [_line(task) for task in done.answer["tasks"]]
    told, _ = pack.first(lines, pack.ITEMS_BYTES_MAX - len(to_json(fields)))
    omitted = done.answer["omitted"] + len(lines) - len(told)
    return PlanReply.model_validate({**_done(done), "plan": fields, "tasks": told, **pack.more(omitted)})


def _new_task(item: TaskItem) -> NewTask:
    priority = Priority(item.priority.value)
    return NewTask(item.title, item.id, priority, item.parent, tuple(item.blocked_by), item.agent)


async def update_task(ctx: ToolContext, p: UpdateTaskParams) -> TaskReply:
    """One action on one task."""
    assigns = p.action is TaskAction.ASSIGN
    who = _who(ctx, p.session, "" if assigns else p.agent)
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
    who = _who(ctx, p.session, p.agent)
    wanted = nexttask.NextTask(p.plan, p.claim, p.lease_seconds)
    done = await nexttask.next_task(ctx.repo, _branch(who), wanted, who, p.request_id)
    return NextTaskReply.model_validate({**_done(done), **_task(done.answer)})


def _who(ctx: ToolContext, session: str, agent: str) -> Acting:
    """Who calls; these tools take the agent as an argument of their own, which says nothing else than the session."""
    who = unpack.acting(ctx, session=session)
    if who.session is None:
        return unpack.acting(ctx, session=session, agent=agent) if agent else who
    if agent not in ("", who.author.agent):
        raise Forbidden(
            f"Session {who.session.handle} is that of agent {who.author.agent!r}, and agent says {agent!r}",
            hint="Leave agent out: the session says who acts.",
            agent=who.author.agent,
        )
    return who


def _branch(who: Acting) -> str:
    return who.branch(DEFAULT_BRANCH, said=False)


def _done(done: Transacted) -> pack.Fields:
    fields: pack.Fields = {"ref": done.ref, "commit": done.commit.short}
    return {**fields, "replayed": True} if done.replayed else fields


def _task(answer: Mapping[str, Any]) -> pack.Fields:
    if "task" not in answer:
        return {"plan": answer["plan"], "why": answer["why"]}
    return {"plan": answer["plan"], "task": _present(answer["task"], TaskFields)}


def _present(fields: Mapping[str, Any], shape: type[PlanFields | TaskFields | TaskLine]) -> pack.Fields:
    """The fields that the reply knows, as far as they fit: what others put into the state may be of any size."""
    item = pack.Item()
    for name in shape.model_fields:
        if name in fields:
            item.put(name, fields[name])
    return item.fields


def _line(task: Mapping[str, Any]) -> pack.Fields:
    """A task of a list; a text that would crowd out the others is named with its bytes."""
    fields = _present(task, TaskLine)
    large = {name: len(to_json(item)) for name, item in fields.items() if len(to_json(item)) > _LINE_TEXT_BYTES_MAX}
    kept = {name: item for name, item in fields.items() if name not in large}
    return {**kept, "left_out": {**fields.get("left_out", {}), **large}} if large else fields


TOOLS = (
    Tool(
        "asg_plan",
        "plans",
        "Make, extend or close a plan; its name alone lists tasks. To work: asg_next_task.",
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
        "The next ready task, or why none; claim starts it, leased. Then asg_update_task.",
        next_task,
        NextTaskParams,
        NextTaskReply,
        Effect.WRITE,
    ),
)
