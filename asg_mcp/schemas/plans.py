"""Plans and their tasks: plan, update_task, next_task."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from asg_mcp.core.limits import LEASE_SECONDS_DEFAULT
from asg_mcp.schemas.base import FROM_TEXT, SUMMED_UP, Params, Texts, Wire
from asg_mcp.schemas.intents import Keyed


def _lower(given: Any) -> Any:
    """A word of a closed set however it is capitalised."""
    return given.strip().lower() if isinstance(given, str) else given


def _british(given: Any) -> Any:
    word = _lower(given)
    return "reprioritise" if word == "reprioritize" else word


def _listed(given: Any) -> Any:
    """A list of tasks, where a single title is a list of one."""
    return [given] if isinstance(given, str) and given.lstrip()[:1] not in ("[", "{") else given


class PlanStatus(StrEnum):
    ACTIVE = "active"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class PriorityName(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class TaskAction(StrEnum):
    START = "start"
    COMPLETE = "complete"
    ABANDON = "abandon"
    ASSIGN = "assign"
    UNASSIGN = "unassign"
    REPRIORITISE = "reprioritise"
    BLOCK = "block"
    UNBLOCK = "unblock"


class ProofKind(StrEnum):
    COMMIT = "commit"
    FILE = "file"
    TEST = "test"
    TEXT = "text"


AnyPriority = Annotated[PriorityName, BeforeValidator(_lower)]


class TaskItem(Params):
    """A task to add. Its text alone is the title."""

    title: Annotated[str, Field(description="What is to be done, in one line.")]
    id: Annotated[str, Field(description="Your own id; else it gets one such as t-7-3fa9; the reply has it.")] = ""
    priority: Annotated[AnyPriority, Field(description="How urgent it is.")] = PriorityName.MEDIUM
    parent: Annotated[str, Field(description="The task it is a part of; a parent has no parent itself.")] = ""
    blocked_by: Annotated[Texts, Field(description="Tasks to be done before, those of this call included.")] = []
    agent: Annotated[str, Field(description="Who is to do it; anybody if absent.")] = ""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"title": given} if isinstance(given, str) else given


class _Plan(Params):
    name: Annotated[str, Field(description="Name")]
    description: Annotated[str, Field(description="Aim")] = ""
    tasks: Annotated[
        list[TaskItem],
        FROM_TEXT,
        BeforeValidator(_listed),
        Field(description="title, id, priority, parent, blocked_by, agent", json_schema_extra=SUMMED_UP),
    ] = []
    status: Annotated[PlanStatus | None, BeforeValidator(_lower), Field(description="New")] = None
    summary: Annotated[str, Field(description="Result")] = ""


class PlanParams(Keyed, _Plan):
    """A plan to make or change."""


class ProofItem(Params):
    """What shows that a task is done. Its text alone is a proof of kind text."""

    kind: Annotated[ProofKind, BeforeValidator(_lower), Field(description="What value names; a commit must exist.")]
    value: Annotated[str, Field(description="The commit, the path of the file, the test, or the text itself.")]
    note: Annotated[str, Field(description="What it shows.")] = ""

    @model_validator(mode="before")
    @classmethod
    def _of_text(cls, given: Any) -> Any:
        return {"kind": "text", "value": given} if isinstance(given, str) else given


class _UpdateTask(Params):
    plan: Annotated[str, Field(description="Name")]
    task: Annotated[str, Field(description="Id")]
    action: Annotated[TaskAction, BeforeValidator(_british), Field(description="Verb")]
    proof: Annotated[
        ProofItem | None,
        FROM_TEXT,
        Field(description="kind commit, file, test or text; value", json_schema_extra=SUMMED_UP),
    ] = None
    reason: Annotated[str, Field(description="Why")] = ""
    agent: Annotated[str, Field(description="You; assignee")] = ""
    priority: Annotated[PriorityName | None, BeforeValidator(_lower), Field(description="New")] = None
    blocked_by: Annotated[Texts, Field(description="Ids")] = []


class UpdateTaskParams(Keyed, _UpdateTask):
    """One action on a task."""


class _NextTask(Params):
    plan: Annotated[str, Field(description="Name")]
    agent: Annotated[str, Field(description="You")] = ""
    claim: Annotated[bool, Field(description="Start")] = False
    lease_seconds: Annotated[int, Field(description="Default 900")] = LEASE_SECONDS_DEFAULT


class NextTaskParams(Keyed, _NextTask):
    """Whose next task, and whether it is started."""


class PlanFields(Wire):
    name: Annotated[str, Field(description="Its name.")]
    status: Annotated[str, Field(description="active, completed or archived.")]
    description: Annotated[str, Field(description="Its aim.")] = ""
    summary: Annotated[str, Field(description="What came of it.")] = ""
    created_at: Annotated[str, Field(description="When it was made, RFC 3339 in UTC.")] = ""
    created_by: Annotated[str, Field(description="The agent that made it.")] = ""
    closed_at: Annotated[str, Field(description="When it was completed.")] = ""
    closed_by: Annotated[str, Field(description="The agent that completed it.")] = ""
    archived_at: Annotated[str, Field(description="When it was archived.")] = ""
    archived_by: Annotated[str, Field(description="The agent that archived it.")] = ""
    counts: Annotated[dict[str, int], Field(description="Tasks that are pending, in_progress, done, abandoned.")]
    total: Annotated[int, Field(description="All its tasks.")]
    left_out: Annotated[dict[str, int], Field(description="Bytes of each text too large for this reply.")] = {}


class TaskLine(Wire):
    """A task in the list of a plan. Of one that was just added, id and title are told."""

    id: Annotated[str, Field(description="Its id.")]
    title: Annotated[str, Field(description="What is to be done.")] = ""
    status: Annotated[
        str, Field(description="pending, in_progress, done or abandoned; a parent's is its children's.")
    ] = ""
    priority: Annotated[str, Field(description="low, medium, high or critical.")] = ""
    agent: Annotated[str, Field(description="Whom it is assigned to.")] = ""
    held_by: Annotated[str, Field(description="Who started it.")] = ""
    lease_until: Annotated[str, Field(description="Until when it is theirs; afterwards it is pending again.")] = ""
    parent: Annotated[str, Field(description="The task it is a part of.")] = ""
    children: Annotated[int, Field(description="How many parts it has.")] = 0
    waits_for: Annotated[list[str], Field(description="Those to be done before it, its parent's included.")] = []
    blocked_by_abandoned: Annotated[list[str], Field(description="Those that never will be done: unblock it.")] = []
    completed_by: Annotated[str, Field(description="The agent that completed it.")] = ""
    reason: Annotated[str, Field(description="Why it was abandoned.")] = ""
    left_out: Annotated[dict[str, int], Field(description="Bytes of each text too large for this reply.")] = {}


class PlanReply(Wire):
    ref: Annotated[str, Field(description="The branch.")]
    commit: Annotated[str, Field(description="The commit made, or the head if nothing changed.")]
    plan: Annotated[PlanFields, Field(description="The plan as it is now.")]
    tasks: Annotated[list[TaskLine], Field(description="Those added, in order; of a name alone all, open ones first.")]
    omitted: Annotated[int, Field(description="How many more tasks there are.")] = 0
    replayed: Annotated[bool, Field(description="Whether an earlier call with this request_id did it.")] = False


class ProofFields(Wire):
    kind: Annotated[str, Field(description="commit, file, test or text.")]
    value: Annotated[str, Field(description="What shows that it is done.")]
    note: Annotated[str, Field(description="What it shows.")] = ""


class TaskFields(Wire):
    id: Annotated[str, Field(description="Its id.")]
    title: Annotated[str, Field(description="What is to be done.")] = ""
    status: Annotated[str, Field(description="pending, in_progress, done or abandoned; a parent's is its children's.")]
    priority: Annotated[str, Field(description="low, medium, high or critical.")] = "medium"
    agent: Annotated[str, Field(description="Whom it is assigned to.")] = ""
    held_by: Annotated[str, Field(description="Who started it.")] = ""
    lease_until: Annotated[str, Field(description="Until when it is theirs; afterwards it is pending again.")] = ""
    parent: Annotated[str, Field(description="The task it is a part of.")] = ""
    children: Annotated[int, Field(description="How many parts it has.")] = 0
    blocked_by: Annotated[list[str], Field(description="The tasks it was said to wait for.")] = []
    waits_for: Annotated[list[str], Field(description="Those not done yet, its parent's included.")] = []
    blocked_by_abandoned: Annotated[list[str], Field(description="Those that never will be done: unblock it.")] = []
    proof: Annotated[ProofFields, Field(description="What shows that it is done.")] = None  # type: ignore[assignment]
    reason: Annotated[str, Field(description="Why it was abandoned.")] = ""
    created_at: Annotated[str, Field(description="When it was made, RFC 3339 in UTC.")] = ""
    created_by: Annotated[str, Field(description="The agent that made it.")] = ""
    started_at: Annotated[str, Field(description="When it was started last.")] = ""
    completed_at: Annotated[str, Field(description="When it was completed.")] = ""
    completed_by: Annotated[str, Field(description="The agent that completed it.")] = ""
    abandoned_at: Annotated[str, Field(description="When it was abandoned.")] = ""
    abandoned_by: Annotated[str, Field(description="The agent that abandoned it.")] = ""
    left_out: Annotated[dict[str, int], Field(description="Bytes of each text too large for this reply.")] = {}


class TaskReply(Wire):
    ref: Annotated[str, Field(description="The branch.")]
    commit: Annotated[str, Field(description="The commit made, or the head if nothing changed.")]
    plan: Annotated[str, Field(description="The plan's name.")]
    task: Annotated[TaskFields, Field(description="The task as it is now.")]
    replayed: Annotated[bool, Field(description="Whether an earlier call with this request_id did it.")] = False


class NextTaskReply(Wire):
    ref: Annotated[str, Field(description="The branch.")]
    commit: Annotated[str, Field(description="The commit made, or the head if nothing was started.")]
    plan: Annotated[str, Field(description="The plan's name.")]
    task: Annotated[TaskFields, Field(description="The next task; missing where none is ready.")] = None  # type: ignore[assignment]
    why: Annotated[str, Field(description="Why none is ready.")] = ""
    replayed: Annotated[bool, Field(description="Whether an earlier call with this request_id did it.")] = False
