"""What the methods return about sessions, epochs, plans and migrations."""

from __future__ import annotations

from typing import Any

from asg_mcp.library.reading import Result, Row
from asg_mcp.library.results import Change


class Session(Result):
    """An agent's working context."""

    session: str
    agent: str
    branch: str
    scope: list[str]
    parent: str = ""
    authority: dict[str, Any] = {}
    expires: str


class Child(Result):
    """An intent or session below one that was reported on."""

    intent: str
    agent: str
    description: str = ""
    status: str
    outcome: dict[str, Any] = {}


class Outcome(Result):
    """What was reported of an intent."""

    intent: str
    outcome: str
    children: list[Child]
    omitted: int = 0
    replayed: bool = False


class Epoch(Row):
    """Work that is evidence together."""

    id: str
    """Its id; `epoch` is the same."""
    state: str
    """open or sealed."""
    description: str = ""
    commits: int = 0
    root: str = ""
    """The root of the log at the seal, in hex; empty while it is open."""
    size: int = 0
    tag: str = ""
    checkpoint: str = ""
    key: str = ""


class PlanState(Row):
    """A plan as it is now."""

    name: str
    status: str
    description: str = ""
    summary: str = ""
    counts: dict[str, int]
    total: int


class Added(Result):
    """A task that was added."""

    id: str
    title: str


class Plan(Result):
    """What a call of `plan` did."""

    ref: str
    commit: str
    plan: PlanState
    tasks: list[Added]
    omitted: int = 0
    replayed: bool = False


class Task(Row):
    """A task as it is now."""

    id: str
    title: str = ""
    status: str
    priority: str = "medium"
    agent: str = ""
    held_by: str = ""
    lease_until: str = ""
    parent: str = ""
    blocked_by: list[str] = []
    waits_for: list[str] = []


class TaskDone(Result):
    """What an action on a task did, or which task is next."""

    ref: str
    commit: str
    plan: str
    task: Task | None = None
    """None where no task is ready."""
    why: str = ""
    """Why none is ready."""
    replayed: bool = False


class Step(Result):
    """One step of a migration."""

    name: str
    to: str
    description: str
    package: str = ""
    operations: int = 0
    changed: int = 0
    changes: list[Change] = []
    commit: str = ""
    skipped: bool = False


class Migration(Result):
    """The version of a state's own shape, and the steps that lead on. Its key `from` is the version before."""

    ref: str
    commit: str
    state: str
    to: str
    steps: list[Step]
    omitted: int = 0
    note: str = ""
    replayed: bool = False
