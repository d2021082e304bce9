"""The rules of plans: who waits for whom, what is ready, what comes next. Pure functions over plain values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from graphlib import CycleError, TopologicalSorter

SHOWN_MAX = 5
"""Tasks named in one sentence."""


class PlanStatus(StrEnum):
    """Where a plan stands."""

    ACTIVE = "active"
    COMPLETED = "completed"
    ARCHIVED = "archived"


class TaskStatus(StrEnum):
    """Where a task stands. The last two are final."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    ABANDONED = "abandoned"


class Priority(StrEnum):
    """How urgent a task is, the least urgent first."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


FINAL = frozenset({TaskStatus.DONE, TaskStatus.ABANDONED})
_RANKS = {priority: rank for rank, priority in enumerate(Priority)}


@dataclass(frozen=True, slots=True)
class Task:
    """What the rules need to know of a task."""

    id: str
    number: int
    """Its place in the order of creation."""
    status: TaskStatus = TaskStatus.PENDING
    """As it is stored; `Board.status` is what it means now."""
    priority: Priority = Priority.MEDIUM
    agent: str = ""
    """Whom it is assigned to."""
    parent: str = ""
    blocked_by: tuple[str, ...] = ()
    held_by: str = ""
    """Who started it."""
    lease_until: str = ""
    """RFC 3339 in UTC with six digits, so that the order of texts is the order of times."""


class Board:
    """All tasks of a plan at one moment. Immutable, but for what it has worked out."""

    def __init__(self, tasks: Mapping[str, Task], now: str) -> None:
        self.tasks = tasks
        self.now = now
        self._known: dict[str, TaskStatus] = {}

    @cached_property
    def children(self) -> dict[str, list[Task]]:
        """The children of each parent."""
        found: dict[str, list[Task]] = {}
        for task in self.tasks.values():
            if task.parent:
                found.setdefault(task.parent, []).append(task)
        return found

    @property
    def next_number(self) -> int:
        """The number of the next task to be made: above that of every task there is."""
        return max((task.number for task in self.tasks.values()), default=0) + 1

    def is_leased(self, task: Task) -> bool:
        """Whether somebody works on the task under a lease that runs."""
        return task.status is TaskStatus.IN_PROGRESS and task.lease_until > self.now

    def status(self, task: Task) -> TaskStatus:
        """Where a task stands now: a parent as its children do, one whose lease has expired is pending again."""
        known = self._known.get(task.id)
        if known is None:
            known = self._known[task.id] = self._status(task)
        return known

    def _status(self, task: Task) -> TaskStatus:
        if task.status in FINAL:
            return task.status
        children = self.children.get(task.id)
        if not children:
            return TaskStatus.IN_PROGRESS if self.is_leased(task) else TaskStatus.PENDING
        standing = {self.status(child) for child in children} if not task.parent else set()
        if TaskStatus.IN_PROGRESS in standing:
            return TaskStatus.IN_PROGRESS
        return TaskStatus.DONE if standing - {TaskStatus.ABANDONED} == {TaskStatus.DONE} else TaskStatus.PENDING

    def counts(self) -> dict[str, int]:
        """How many tasks stand where, every status named."""
        found = Counter(self.status(task) for task in self.tasks.values())
        return {status.value: found[status] for status in TaskStatus}

    def unfinished(self) -> list[Task]:
        """The tasks that are neither done nor abandoned, the oldest first."""
        return sorted((task for task in self.tasks.values() if self.status(task) not in FINAL), key=_age)

    def waits_for(self, task: Task) -> list[str]:
        """The blockers of a task and of its parent that are not done. An abandoned or missing one never is."""
        parent = self.tasks.get(task.parent)
        wanted = (*task.blocked_by, *(parent.blocked_by if parent else ()))
        return [blocker for blocker in dict.fromkeys(wanted) if not self._is_done(blocker)]

    def _is_done(self, blocker: str) -> bool:
        task = self.tasks.get(blocker)
        return task is not None and self.status(task) is TaskStatus.DONE

    def abandoned_blockers(self, task: Task) -> list[str]:
        """The blockers that were abandoned, its parent's included: somebody has to lift them."""
        return [
            blocker
            for blocker in self.waits_for(task)
            if blocker in self.tasks and self.tasks[blocker].status is TaskStatus.ABANDONED
        ]

    def open_tasks(self) -> Iterator[Task]:
        """The pending tasks that somebody could start one day: parents are not among them."""
        for task in self.tasks.values():
            if task.id not in self.children and self.status(task) is TaskStatus.PENDING:
                yield task

    def next(self, agent: str) -> Task | None:
        """The ready task that comes next for an agent: the most urgent, then the oldest."""
        best: Task | None = None
        first: tuple[int, int, str] = (0, 0, "")
        for task in self.tasks.values():
            if task.status in FINAL or task.agent not in ("", agent) or task.id in self.children:
                continue
            order = (-_RANKS[task.priority], task.number, task.id)
            # Who waits for whom is looked up for those alone that would come first.
            if (best is None or order < first) and not self.is_leased(task) and not self.waits_for(task):
                best, first = task, order
        return best

    def cycle(self, starts: Iterable[str]) -> list[str]:
        """The tasks of a circle of waiting that these lead into; empty when there is none.

        A task waits for its blockers and for those of its parent; a parent waits for its children.
        """
        graph: dict[str, list[str]] = {}
        ahead = list(starts)
        while ahead:
            node = ahead.pop()
            if node not in graph:
                graph[node] = self._waits_on(node)
                ahead += graph[node]
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            circle = [node.removesuffix(_GATE) for node in error.args[1]]
            return [node for place, node in enumerate(circle) if place == 0 or node != circle[place - 1]]
        return []

    def _waits_on(self, node: str) -> list[str]:
        """What a task waits for, or the gate of a parent: the point from which its children may start."""
        name, is_gate = node.removesuffix(_GATE), node.endswith(_GATE)
        task = self.tasks.get(name)
        if task is None:
            return []
        if is_gate:
            return list(task.blocked_by)
        above = [task.parent + _GATE] if task.parent else []
        return [*task.blocked_by, *above, *(child.id for child in self.children.get(name, ()))]

    def why_none(self, agent: str) -> str:
        """Why nothing is ready for an agent, in a sentence or two."""
        if not self.tasks:
            return "The plan has no tasks; add some with asg_plan."
        if not self.unfinished():
            return "All tasks are done or abandoned; asg_plan with status completed closes the plan."
        return " ".join(filter(None, (self._why_leased(), self._why_others(agent), self._why_blocked(), self._stuck())))

    def _why_leased(self) -> str:
        held = sorted((task for task in self.tasks.values() if self.is_leased(task)), key=lambda task: task.lease_until)
        if not held:
            return ""
        first = held[0]
        until = f"{first.id} is leased to {first.held_by} until {first.lease_until}"
        return f"{len(held)} in progress: {_named(held)}; {until}."

    def _why_others(self, agent: str) -> str:
        others = sorted(
            (task for task in self.open_tasks() if task.agent not in ("", agent) and not self.waits_for(task)), key=_age
        )
        if not others:
            return ""
        return f"{len(others)} ready but assigned to others: {_named(others)} ({others[0].id} to {others[0].agent})."

    def _why_blocked(self) -> str:
        blocked = sorted((task for task in self.open_tasks() if self.waits_for(task)), key=_age)
        if not blocked:
            return ""
        told = f"{len(blocked)} blocked: {blocked[0].id} waits for {', '.join(self.waits_for(blocked[0])[:SHOWN_MAX])}."
        for task in blocked:
            abandoned = self.abandoned_blockers(task)
            if abandoned:
                return f"{told} {task.id} is blocked by {abandoned[0]}, which was abandoned; unblock it."
        return told

    def _stuck(self) -> str:
        stuck = [
            task
            for task in self.tasks.values()
            if task.id in self.children
            and self.status(task) is TaskStatus.PENDING
            and all(self.status(child) is TaskStatus.ABANDONED for child in self.children[task.id])
        ]
        return f"{_named(stuck)} has abandoned children only; abandon it too, or give it another." if stuck else ""


_GATE = "\x00"


def _age(task: Task) -> tuple[int, str]:
    return (task.number, task.id)


def _named(tasks: list[Task]) -> str:
    more = f" and {len(tasks) - SHOWN_MAX} more" if len(tasks) > SHOWN_MAX else ""
    return ", ".join(task.id for task in tasks[:SHOWN_MAX]) + more
