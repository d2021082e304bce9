"""Tasks: what may be done with one. Each change is one commit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from asg_mcp.core.intents import check_name
from asg_mcp.core.limits import LEASE_SECONDS_DEFAULT, TASK_PROOF_BYTES_MAX, TASK_REASON_BYTES_MAX
from asg_mcp.core.times import SECOND, format_time, parse_time
from asg_mcp.errors import InvalidArgument, TaskBlocked, TaskSettled, TaskTaken
from asg_mcp.repo.repeats import fingerprint
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.transact import Decision, Draft, Transacted
from asg_mcp.repo.view import View
from asg_mcp.services.identity import Acting
from asg_mcp.services.planadd import check_blocker, check_blockers_count, refuse_cycle
from asg_mcp.services.planrules import FINAL, SHOWN_MAX, Board, Priority, Task, TaskStatus
from asg_mcp.services.plans import plan_intent, require_active
from asg_mcp.services.planscan import task_of
from asg_mcp.services.planstate import TASKS, Fields, Plan, changes, checked_text, get_plan, shown


class Action(StrEnum):
    """What can be done with a task."""

    START = "start"
    COMPLETE = "complete"
    ABANDON = "abandon"
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    REPRIORITISE = "reprioritise"
    BLOCK = "block"
    UNBLOCK = "unblock"


class ProofKind(StrEnum):
    """What shows that a task is done. A commit has to exist; the others are taken on the agent's word."""

    COMMIT = "commit"
    FILE = "file"
    TEST = "test"
    TEXT = "text"


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that a task is done."""

    kind: ProofKind
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Update:
    """One action on one task. Empty means not given."""

    plan: str
    task: str
    action: Action
    proof: Proof | None = None
    reason: str = ""
    agent: str = ""
    """The assignee, of assign; whoever else acts is the author."""
    priority: Priority | None = None
    blocked_by: tuple[str, ...] = ()


_NEEDS: Mapping[Action, str] = {
    Action.COMPLETE: "proof",
    Action.ABANDON: "reason",
    Action.ASSIGN: "agent",
    Action.REPRIORITISE: "priority",
    Action.BLOCK: "blocked_by",
}
_TAKES: Mapping[Action, str] = {**_NEEDS, Action.UNBLOCK: "blocked_by"}
_HINTS = {
    "proof": "Give proof as {kind: commit, file, test or text, value}.",
    "reason": "Say in reason why it will not be done.",
    "agent": "Name in agent who is to do it.",
    "priority": "Give low, medium, high or critical.",
    "blocked_by": "Name the tasks it waits for.",
}


async def update_task(repo: Repository, ref: str, update: Update, who: Acting, request_id: str) -> Transacted:
    """Do one action on a task, on a branch. The answer has `plan` and `task`, as it is afterwards.

    Raises InvalidArgument and LimitExceeded for what cannot be kept, PlanNotFound, TaskNotFound, PlanClosed, TaskTaken,
    TaskBlocked, TaskSettled; for a proof that is no commit what `View.resolve` raises; and what `Repository.transact`
    raises.
    """
    checked = _checked(update)
    asked = fingerprint("task", ref, checked, who.author) if request_id else b""
    return await repo.transact(ref, who.author, request_id, asked, lambda draft: _decide(draft, checked, who))


def _checked(update: Update) -> Update:
    """The update, its texts trimmed and measured, with what its action needs and nothing that it has no use for."""
    action, proof = update.action, update.proof
    update = replace(
        update,
        reason=checked_text(update.reason, "reason", "TASK_REASON_BYTES_MAX", TASK_REASON_BYTES_MAX),
        proof=None if proof is None else _checked_proof(proof),
        blocked_by=tuple(dict.fromkeys(update.blocked_by)),
    )
    given = {name for name in _HINTS if getattr(update, name)}
    needed, taken = _NEEDS.get(action), _TAKES.get(action)
    if needed and needed not in given:
        raise InvalidArgument(f"{action.value} needs {needed}", hint=_HINTS[needed], action=action.value)
    if given - {taken, "agent"}:
        unfit = min(given - {taken, "agent"})
        use = next(fit.value for fit, name in _TAKES.items() if name == unfit)
        raise InvalidArgument(
            f"{action.value} takes no {unfit}", hint=f"Leave it out, or use action {use}.", action=action.value
        )
    check_name(update.agent, "agent", empty=True)
    return update


def _checked_proof(proof: Proof) -> Proof:
    value = checked_text(proof.value, "proof", "TASK_PROOF_BYTES_MAX", TASK_PROOF_BYTES_MAX)
    note = checked_text(proof.note, "note of the proof", "TASK_PROOF_BYTES_MAX", TASK_PROOF_BYTES_MAX)
    if not value:
        raise InvalidArgument("The proof is empty", hint=_HINTS["proof"])
    return Proof(proof.kind, value, note)


def _decide(draft: Draft, update: Update, who: Acting) -> Decision:
    plan = get_plan(draft.state, update.plan, format_time(draft.now))
    task = plan.task(update.task)
    _check_open(plan.board, task, update.action)
    if update.action is not Action.COMPLETE:  # work that was begun may be reported
        require_active(plan)
    before = plan.task_fields(task.id)
    step = _Step(draft, plan, task, before, update, who.author.agent)
    after, told = _ACTIONS[update.action](step)
    reasoning = update.reason or (f"{update.proof.kind.value}: {update.proof.value}" if update.proof else "")
    return decision(plan, task.id, before, after, f"Task {task.id} {told} by {step.agent}", who, reasoning)


def decision(
    plan: Plan, name: str, before: Fields, after: Fields, description: str, who: Acting, reasoning: str = ""
) -> Decision:
    """The decision that makes a task's stored fields those of `after`, and tells of the task as it is then."""
    operations = changes(plan.path(TASKS, name), before, after)
    board = Board({**plan.board.tasks, name: task_of(name, after)}, plan.board.now)
    told = answer(replace(plan, board=board), name, after)
    return Decision(tuple(operations), plan_intent(description, who, reasoning), told)


def answer(plan: Plan, name: str, fields: Fields) -> dict[str, Any]:
    """What a caller is told of a task."""
    return {"plan": plan.name, "task": shown(plan.board, name, fields)}


@dataclass(frozen=True, slots=True)
class _Step:
    """What an action works on."""

    draft: Draft
    plan: Plan
    task: Task
    fields: Fields
    update: Update
    agent: str
    """Who acts."""


_Stepped = tuple[Fields, str]
"""The task's fields afterwards, and what happened to it in words."""


def _check_open(board: Board, task: Task, action: Action) -> None:
    """Raise TaskSettled for a task that is final, and for a parent where the action is its children's."""
    standing = board.status(task)
    children = board.children.get(task.id, [])
    rest = [child.id for child in children if board.status(child) not in FINAL]
    if standing in FINAL:
        raise TaskSettled(
            f"{task.id} is {standing.value}, which is final" + (": its children are done" if children else ""),
            hint="Make a new task with asg_plan for what is left to do.",
            task=task.id,
            status=standing.value,
        )
    if (children and action in (Action.START, Action.COMPLETE)) or (rest and action is Action.ABANDON):
        raise TaskSettled(
            f"{task.id} is the parent of {len(children)} tasks, and its status is theirs",
            hint=f"{action.value.capitalize()} its children: {', '.join((rest or [children[0].id])[:SHOWN_MAX])}.",
            task=task.id,
            children=rest[: 20 * SHOWN_MAX],
        )


def _start(step: _Step) -> _Stepped:
    task, board = step.task, step.plan.board
    if board.is_leased(task):
        return _renewed(step), "renewed"
    _check_assigned(task, step.agent)
    waits, abandoned = board.waits_for(task), board.abandoned_blockers(task)
    if waits:
        hint = f"Do {waits[0]} first; asg_next_task names what is ready."
        if abandoned:
            hint = f"{abandoned[0]} was abandoned: unblock the task that names it, then start this one."
        raise TaskBlocked(
            f"{task.id} waits for {', '.join(waits[:SHOWN_MAX])}", hint=hint, task=task.id, waits_for=waits
        )
    return started(step.fields, step.agent, step.draft.now, LEASE_SECONDS_DEFAULT), "started"


def _renewed(step: _Step) -> Fields:
    """The fields of a task whose holder goes on with it: the lease runs on from now, and ends no sooner than before.

    Of two workers under one name that start a task at the same time, one has to be refused. So a lease is renewed from
    its middle on. Raises TaskTaken.
    """
    task, started_at = step.task, step.fields.get("started_at")
    if task.held_by != step.agent or not isinstance(started_at, str):
        raise _held(task)
    _check_assigned(task, step.agent)
    began, until = parse_time(started_at), parse_time(task.lease_until)
    middle = (began + until) // 2
    if step.draft.now < middle:
        raise _held(task, f"If that is you, go on; start renews the lease from {format_time(middle)} on.")
    return {**step.fields, "lease_until": format_time(max(until, step.draft.now + LEASE_SECONDS_DEFAULT * SECOND))}


def started(fields: Fields, agent: str, now: int, lease_seconds: int) -> Fields:
    """The stored fields of a task that an agent starts at `now` (microseconds)."""
    return {
        **fields,
        "status": TaskStatus.IN_PROGRESS.value,
        "held_by": agent,
        "started_at": format_time(now),
        "lease_until": format_time(now + lease_seconds * SECOND),
    }


def _complete(step: _Step) -> _Stepped:
    task, proof, board = step.task, step.update.proof, step.plan.board
    assert proof is not None, "BUG: a proof was asked for"
    if board.is_leased(task) and task.held_by != step.agent:
        raise _held(task)
    if task.status is not TaskStatus.IN_PROGRESS:
        raise TaskSettled(f"{task.id} was not started", hint="Start it first, then complete it.", task=task.id)
    if task.held_by != step.agent:
        raise TaskSettled(
            f"{task.id} is pending again: the lease of {task.held_by} ended at {task.lease_until}",
            hint="Start it first; only who held it last may complete it late.",
            task=task.id,
        )
    if not board.is_leased(task):
        _check_assigned(task, step.agent)
    kept: Fields = {"kind": proof.kind.value, "value": _proven(step.draft.view, proof)}
    after = _without(step.fields, "held_by", "lease_until")
    after |= {
        "status": TaskStatus.DONE.value,
        "completed_at": format_time(step.draft.now),
        "completed_by": step.agent,
        "proof": {**kept, "note": proof.note} if proof.note else kept,
    }
    return after, "completed"


def _proven(view: View, proof: Proof) -> str:
    """The proof as it is kept: of a commit its whole id, which no name that moves and no later commit can change."""
    if proof.kind is not ProofKind.COMMIT:
        return proof.value
    return view.resolve(proof.value).id.hex()


def _abandon(step: _Step) -> _Stepped:
    task = step.task
    if step.plan.board.is_leased(task) and step.agent not in (task.held_by, task.agent):
        raise _held(task)
    after = _without(step.fields, "held_by", "lease_until")
    after |= {
        "status": TaskStatus.ABANDONED.value,
        "abandoned_at": format_time(step.draft.now),
        "abandoned_by": step.agent,
        "reason": step.update.reason,
    }
    return after, "abandoned"


def _assign(step: _Step) -> _Stepped:
    return {**step.fields, "agent": step.update.agent}, f"assigned to {step.update.agent}"


def _unassign(step: _Step) -> _Stepped:
    return _without(step.fields, "agent"), "unassigned"


def _reprioritise(step: _Step) -> _Stepped:
    assert step.update.priority is not None, "BUG: a priority was asked for"
    priority = step.update.priority.value
    return {**step.fields, "priority": priority}, f"made {priority}"


def _block(step: _Step) -> _Stepped:
    task, board, wanted = step.task, step.plan.board, step.update.blocked_by
    for blocker in wanted:
        check_blocker(board, task.id, blocker)
    blocked_by = tuple(dict.fromkeys((*task.blocked_by, *wanted)))
    check_blockers_count(len(blocked_by))
    changed = replace(task, blocked_by=blocked_by)
    refuse_cycle(Board({**board.tasks, task.id: changed}, board.now), {task.id: changed})
    return {**step.fields, "blocked_by": list(blocked_by)}, f"blocked by {_named(wanted)}"


def _unblock(step: _Step) -> _Stepped:
    blockers, wanted = step.task.blocked_by, step.update.blocked_by or step.task.blocked_by
    unknown = [name for name in wanted if name not in blockers]
    if unknown:
        parent = step.plan.board.tasks.get(step.task.parent)
        is_above = parent is not None and unknown[0] in parent.blocked_by
        raise InvalidArgument(
            f"{step.task.id} is not blocked by {unknown[0]}",
            hint=f"Its parent is: unblock {step.task.parent}."
            if is_above
            else f"It is blocked by {_named(blockers) or 'nothing'}.",
            task=step.task.id,
        )
    rest = [name for name in blockers if name not in wanted]
    after = _without(step.fields, "blocked_by")
    return {**after, "blocked_by": list(rest)} if rest else after, f"unblocked from {_named(wanted)}"


def _without(fields: Fields, *names: str) -> Fields:
    return {name: item for name, item in fields.items() if name not in names}


def _named(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - SHOWN_MAX} more" if len(names) > SHOWN_MAX else ""
    return ", ".join(names[:SHOWN_MAX]) + more


def _held(task: Task, hint: str = "Take another with asg_next_task, or wait until the lease ends.") -> TaskTaken:
    return TaskTaken(
        f"{task.id} is held by {task.held_by} until {task.lease_until}",
        hint=hint,
        task=task.id,
        held_by=task.held_by,
        lease_until=task.lease_until,
    )


def _check_assigned(task: Task, agent: str) -> None:
    if task.agent not in ("", agent):
        raise TaskTaken(
            f"{task.id} is assigned to {task.agent}, not to {agent}",
            hint="Take another with asg_next_task, or assign it first.",
            task=task.id,
            agent=task.agent,
        )


_ACTIONS: Mapping[Action, Callable[[_Step], _Stepped]] = {
    Action.START: _start,
    Action.COMPLETE: _complete,
    Action.ABANDON: _abandon,
    Action.ASSIGN: _assign,
    Action.UNASSIGN: _unassign,
    Action.REPRIORITISE: _reprioritise,
    Action.BLOCK: _block,
    Action.UNBLOCK: _unblock,
}
