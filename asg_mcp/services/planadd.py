"""Tasks added to a plan: named, numbered, and checked for what they would wait for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from asg_mcp.core.intents import check_name
from asg_mcp.core.limits import PLAN_TASKS_MAX, TASK_BLOCKERS_MAX, TASK_TITLE_BYTES_MAX
from asg_mcp.core.operations import Op, Operation
from asg_mcp.errors import InvalidArgument, LimitExceeded, TaskNotFound, TaskSettled, TaskTaken
from asg_mcp.services.planrules import FINAL, SHOWN_MAX, Board, Priority, Task, TaskStatus
from asg_mcp.services.planscan import task_of
from asg_mcp.services.planstate import TASKS, Fields, Plan, changes, check_plan_name, checked_text

TASKS_SHOWN_MAX = 100
"""Tasks named in a reply; the others are counted."""
_MARK_DIGITS = 4
"""Of 65,536 marks two calls have the same one by chance, which matters where both make a task of the same number."""


@dataclass(frozen=True, slots=True)
class NewTask:
    """A task to be added. An empty id gets one."""

    title: str
    id: str = ""
    priority: Priority = Priority.MEDIUM
    parent: str = ""
    blocked_by: tuple[str, ...] = ()
    agent: str = ""


def checked_task(task: NewTask, place: int) -> NewTask:
    """The task with its texts trimmed and measured. Raises InvalidArgument, InvalidName and LimitExceeded."""
    title = checked_text(task.title, f"title of tasks[{place}]", "TASK_TITLE_BYTES_MAX", TASK_TITLE_BYTES_MAX)
    if not title:
        raise InvalidArgument(f"tasks[{place}] has no title", hint="Say in one line what is to be done.", index=place)
    if task.id:
        check_plan_name(task.id, "task id")
    check_name(task.agent, "agent", empty=True)
    blockers = tuple(dict.fromkeys(task.blocked_by))
    check_blockers_count(len(blockers))
    return replace(task, title=title, blocked_by=blockers)


def check_blockers_count(count: int) -> None:
    """Raise LimitExceeded for more blockers than one task may have."""
    if count > TASK_BLOCKERS_MAX:
        raise LimitExceeded(
            f"{count} blockers of one task; at most {TASK_BLOCKERS_MAX}",
            hint="Put a task between them: it waits for some, and this one waits for it.",
            limit="TASK_BLOCKERS_MAX",
            max=TASK_BLOCKERS_MAX,
        )


def check_count(count: int) -> None:
    """Raise LimitExceeded for more tasks than a plan may have."""
    if count > PLAN_TASKS_MAX:
        raise LimitExceeded(
            f"The plan would have {count} tasks; at most {PLAN_TASKS_MAX}, finished ones included",
            hint="Put the others into another plan.",
            limit="PLAN_TASKS_MAX",
            max=PLAN_TASKS_MAX,
        )


class Added:
    """The tasks that one call adds to a plan, and what they change about tasks that were there."""

    def __init__(self, plan: Plan, agent: str, now: str, salt: str) -> None:
        self._plan, self._agent, self._now = plan, agent, now
        self._mark = salt[:_MARK_DIGITS]
        self.fields: dict[str, Fields] = {}
        self.tasks: dict[str, Task] = {}
        self._changed: list[Operation] = []

    def add(self, wanted: Sequence[NewTask]) -> None:
        """Number, name and check them all."""
        check_count(len(self._plan.board.tasks) + len(wanted))
        for name, number, asked in self._named(wanted):
            self.fields[name] = self._fields_of(asked, number)
            self.tasks[name] = task_of(name, self.fields[name])
        for place, (name, task) in enumerate(list(self.tasks.items())):
            self._check_links(name, task, place)
        board = Board({**self._plan.board.tasks, **self.tasks}, self._now)
        refuse_cycle(board, self.tasks)

    def operations(self) -> list[Operation]:
        """One for each new task, and those of the parents that had been started."""
        path = self._plan.path(TASKS)
        return [*self._changed, *(Operation(Op.SET, (*path, name), fields) for name, fields in self.fields.items())]

    def answer(self, wanted: Sequence[NewTask]) -> dict[str, Any]:
        """The first of the new tasks, and how many more there are."""
        told = [
            {"id": name, "title": task.title}
            for name, task in list(zip(self.fields, wanted, strict=True))[:TASKS_SHOWN_MAX]
        ]
        return {"tasks": told, "omitted": max(len(wanted) - len(told), 0)}

    def _named(self, wanted: Sequence[NewTask]) -> Iterator[tuple[str, int, NewTask]]:
        """(id, number, task). A generated id has the task's number, which is above all there are, and the call's mark.

        On another branch, or after a revert, the same number goes to another task: under another id.
        """
        there = self._plan.board.tasks
        taken = set(there)
        for place, task in enumerate(wanted):
            if task.id and task.id in taken:
                again = "is in the plan already" if task.id in there else "is given twice"
                raise InvalidArgument(
                    f"tasks[{place}]: the id {task.id} {again}",
                    hint="Give another id, or none: then it gets one.",
                    index=place,
                )
            taken.add(task.id)
        number = self._plan.board.next_number
        for task in wanted:
            while not task.id and f"t-{number}-{self._mark}" in taken:
                number += 1
            yield task.id or f"t-{number}-{self._mark}", number, task
            number += 1

    def _fields_of(self, task: NewTask, number: int) -> Fields:
        fields: Fields = {
            "title": task.title,
            "status": TaskStatus.PENDING.value,
            "priority": task.priority.value,
            "number": number,
            "created_at": self._now,
            "created_by": self._agent,
        }
        for name, given in (("agent", task.agent), ("parent", task.parent), ("blocked_by", list(task.blocked_by))):
            if given:
                fields[name] = given
        return fields

    def _check_links(self, name: str, task: Task, place: int) -> None:
        board = self._plan.board
        for blocker in task.blocked_by:
            check_blocker(board, name, blocker, self.tasks)
        if not task.parent:
            return
        parent = self.tasks.get(task.parent) or board.tasks.get(task.parent)
        if parent is None:
            raise TaskNotFound(
                f"tasks[{place}]: there is no task {task.parent!r} to be the parent of {name}",
                hint="Name a task of this plan or of this call.",
                index=place,
            )
        if parent.parent or task.parent == name:
            raise InvalidArgument(
                f"tasks[{place}]: {task.parent} cannot be the parent of {name}: there are two levels, and it is below"
                f" {parent.parent or 'itself'}",
                hint=f"Give {parent.parent} as the parent, or none." if task.parent != name else "Leave parent out.",
                index=place,
            )
        if parent.id in board.tasks:
            self._take_in(parent)

    def _take_in(self, parent: Task) -> None:
        """Make a parent of a task that was there: its status is its children's from now on."""
        board = self._plan.board
        if parent.status in FINAL:
            raise TaskSettled(
                f"{parent.id} is {parent.status.value}, which is final, and takes no children",
                hint="Make a new task for the parent.",
                task=parent.id,
            )
        if board.is_leased(parent) and parent.held_by != self._agent:
            raise TaskTaken(
                f"{parent.id} is held by {parent.held_by} until {parent.lease_until}; others give it no children",
                hint="Wait until it is done, or choose another parent.",
                task=parent.id,
                held_by=parent.held_by,
            )
        if parent.status is TaskStatus.IN_PROGRESS:
            before = self._plan.task_fields(parent.id)
            after = {key: item for key, item in before.items() if key not in ("held_by", "lease_until", "started_at")}
            after["status"] = TaskStatus.PENDING.value
            self._changed += changes(self._plan.path(TASKS, parent.id), before, after)
            self.tasks.setdefault(parent.id, task_of(parent.id, after))


def check_blocker(board: Board, name: str, blocker: str, new: Mapping[str, Task] | None = None) -> None:
    """Raise TaskNotFound, InvalidArgument or TaskSettled where a task could never be blocked by this one."""
    found = (new or {}).get(blocker) or board.tasks.get(blocker)
    if blocker == name:
        raise InvalidArgument(f"{name} cannot be blocked by itself", hint="Leave it out of blocked_by.", task=name)
    if found is None:
        raise TaskNotFound(
            f"{name} cannot be blocked by {blocker!r}: there is no such task in the plan",
            hint="Name tasks of this plan; new ones may name each other by the ids given with them.",
            task=blocker,
        )
    if found.status is TaskStatus.ABANDONED:
        raise TaskSettled(
            f"{name} cannot be blocked by {blocker}: it was abandoned and never will be done",
            hint="Leave it out of blocked_by.",
            task=blocker,
        )


def refuse_cycle(board: Board, starts: Mapping[str, Task]) -> None:
    """Raise InvalidArgument where these tasks lead into a circle of waiting."""
    circle = board.cycle(starts)
    if circle:
        raise InvalidArgument(
            f"These tasks would wait for each other for ever: {' -> '.join(circle[: 2 * SHOWN_MAX])}",
            hint="Leave one of them out of blocked_by. A parent waits for its children, and they for its blockers.",
            cycle=circle[:TASKS_SHOWN_MAX],
        )
