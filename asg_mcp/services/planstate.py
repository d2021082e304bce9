"""Plans as they lie in the state: /plans/NAME with status, description and tasks/ID, each task a map."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from asg_mcp.core.flat import WITHHELD_TEXT
from asg_mcp.core.limits import NEAREST_MAX, PLAN_NAME_CHARS_MAX
from asg_mcp.core.nodes import MAP, SCALAR, Blob
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import Tokens
from asg_mcp.core.state import Gap, Spot, State
from asg_mcp.core.values import JsonValue, checked
from asg_mcp.errors import InvalidName, LimitExceeded, PlanNotFound, TaskNotFound
from asg_mcp.services.planrules import FINAL, Board, PlanStatus, Task
from asg_mcp.services.planscan import tasks_at

Fields = dict[str, JsonValue]
PLANS = "plans"
TASKS = "tasks"
_NAME = re.compile(rf"[A-Za-z0-9._-]{{1,{PLAN_NAME_CHARS_MAX}}}")


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan of a state, with its tasks as the rules see them."""

    state: State
    name: str
    fields: Mapping[str, JsonValue]
    """What is said of the plan itself: status, description, created_at and so on."""
    board: Board

    @property
    def status(self) -> PlanStatus:
        """Where the plan stands."""
        return _one_of(PlanStatus, self.fields.get("status"), PlanStatus.ACTIVE)

    def path(self, *rest: str) -> Tokens:
        """A path below the plan."""
        return (PLANS, self.name, *rest)

    def task(self, name: str) -> Task:
        """A task by its id. Raises TaskNotFound with the ids nearest to it."""
        task = self.board.tasks.get(name)
        if task is None:
            near = get_close_matches(name, self.board.tasks, n=NEAREST_MAX, cutoff=0.6)
            raise TaskNotFound(
                f"Plan {self.name} has no task {name!r}",
                hint=f"Did you mean {near[0]}?" if near else f"asg_get of /plans/{self.name}/tasks shows them all.",
                plan=self.name,
                nearest=near,
            )
        return task

    def task_fields(self, name: str) -> Fields:
        """All that is stored of a task."""
        value = self.state.value(self.state.spot(self.path(TASKS, name)), _withheld)
        return dict(value) if isinstance(value, dict) else {}


def check_plan_name(name: str, what: str) -> str:
    """The name of a plan or the id of a task. Raises InvalidName and LimitExceeded."""
    if len(name) > PLAN_NAME_CHARS_MAX:
        raise LimitExceeded(
            f"The {what} has {len(name)} characters; at most {PLAN_NAME_CHARS_MAX}",
            hint="Use a short one; the title or description may be longer.",
            limit="PLAN_NAME_CHARS_MAX",
            max=PLAN_NAME_CHARS_MAX,
        )
    if not _NAME.fullmatch(name):
        raise InvalidName(
            f"The {what} {name!r} is not made of letters, digits, '.', '_' and '-'",
            hint=f"Did you mean {re.sub('[^A-Za-z0-9._-]+', '-', name).strip('-') or 'plan-1'!r}?",
        )
    return name


def find_plan(state: State, name: str, now: str) -> Plan | None:
    """The plan of this name at a moment (RFC 3339), or None."""
    place = state.locate((PLANS, name))
    return None if isinstance(place, Gap) or place.entry.kind != MAP else _plan_at(state, place, now)


def get_plan(state: State, name: str, now: str) -> Plan:
    """The same. Raises PlanNotFound with the names nearest to it."""
    found = find_plan(state, check_plan_name(name, "plan name"), now)
    if found is None:
        names = [spot.tokens[-1] for spot in _plan_spots(state)]
        near = get_close_matches(name, names, n=NEAREST_MAX, cutoff=0.6) or names[:NEAREST_MAX]
        raise PlanNotFound(
            f"There is no plan {name!r} on this branch",
            hint=f"There is {', '.join(near)}; asg_plan makes new ones." if near else "Make it with asg_plan.",
            nearest=near,
        )
    return found


def all_plans(state: State, now: str) -> Iterator[Plan]:
    """Every plan of a state, in the order of their names."""
    for spot in _plan_spots(state):
        yield _plan_at(state, spot, now)


def _plan_spots(state: State) -> Iterator[Spot]:
    place = state.locate((PLANS,))
    if not isinstance(place, Gap):
        yield from (spot for spot in state.children(place) if spot.entry.kind == MAP)


def _plan_at(state: State, spot: Spot, now: str) -> Plan:
    fields: Fields = {}
    for child in state.children(spot):
        if child.entry.kind == SCALAR:
            fields[child.tokens[-1]] = state.value(child, _withheld)
    tasks = state.child(spot, TASKS)
    found = tasks_at(state.tree, tasks) if tasks is not None and tasks.entry.kind == MAP else {}
    return Plan(state, spot.tokens[-1], fields, Board(found, now))


def _withheld(_: Blob) -> JsonValue:
    """What stands for an erased text: texts are what the fields of plans and tasks are."""
    return WITHHELD_TEXT


def _one_of(kind: type[PlanStatus], value: JsonValue, default: PlanStatus) -> PlanStatus:
    return kind(value) if isinstance(value, str) and value in set(kind) else default


def changes(path: Tokens, before: Mapping[str, JsonValue], after: Mapping[str, JsonValue]) -> list[Operation]:
    """The operations that make the map at a path of `before` that of `after`, field by field."""
    made = [
        Operation(Op.SET, (*path, name), value)
        for name, value in after.items()
        if name not in before or before[name] != value
    ]
    return made + [Operation(Op.DELETE, (*path, name)) for name in before if name not in after]


def checked_text(text: str, what: str, limit: str, bytes_max: int) -> str:
    """The text without outer white space. Raises LimitExceeded, and InvalidValue for what is no Unicode."""
    checked(text)
    size = len(text.encode())
    if size > bytes_max:
        raise LimitExceeded(
            f"The {what} has {size} bytes; at most {bytes_max}",
            hint="Shorten it; long material is kept at a path or in a file that it names.",
            limit=limit,
            max=bytes_max,
        )
    return text.strip()


def shown(board: Board, name: str, fields: Mapping[str, JsonValue]) -> Fields:
    """A task as callers see it: what is stored, and what that means now."""
    task = board.tasks[name]
    told: Fields = {"id": name, **fields, "status": board.status(task).value}
    told.pop("number", None)
    if task.status not in FINAL:
        waits, abandoned = board.waits_for(task), board.abandoned_blockers(task)
        told |= {"waits_for": list(waits)} if waits else {}
        told |= {"blocked_by_abandoned": list(abandoned)} if abandoned else {}
    children = board.children.get(name)
    if children:
        told["children"] = len(children)
    return told
