"""What the methods return: small typed objects that read as dictionaries too.

A field is an attribute and a key: `entry.agent` is `entry["agent"]`. What was not given has its default; only the
values of a change or a conflict are missing where there is nothing, because null is a value (`"old" in change`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_type_hints

from asg_mcp.core.values import JsonValue

T = TypeVar("T")
_REQUIRED: Any = object()
NOTHING: Any = object()
"""The default of a field that is missing where there is nothing; its attribute is None then."""


class _Key:
    """A field of a result, read as an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, owner: Result | None, kind: type[Result]) -> Any:
        if owner is None:
            return self
        return owner.get(self._name)


class Result(dict[str, Any]):
    """The base of all results: a dictionary whose fields are attributes too."""

    _defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        names = [name for name in cls.__dict__.get("__annotations__", {}) if not name.startswith("_")]
        cls._defaults = {**cls._defaults, **{name: cls.__dict__.get(name, _REQUIRED) for name in names}}
        for name in names:
            setattr(cls, name, _Key(name))

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """The result with these fields, parts of it as results of their own types."""
        typed = _parts(cls)
        made = {name: _made(typed[name], value) if name in typed else value for name, value in fields.items()}
        for name, default in cls._defaults.items():
            if name not in made and default not in (_REQUIRED, NOTHING):
                made[name] = default.copy() if isinstance(default, list | dict) else default
        return cls(made)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({super().__repr__()})"


def _made(part: type[Result], value: Any) -> Any:
    if isinstance(value, list):
        return [part.of(item) for item in value]
    return part.of(value) if isinstance(value, dict) else value


@lru_cache
def _parts(kind: type[Result]) -> dict[str, type[Result]]:
    """The fields of a type that hold results, or lists of them."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        candidates = [hint, *get_args(hint)]
        parts = [one for one in candidates if isinstance(one, type) and issubclass(one, Result)]
        if parts:
            found[name] = parts[0]
    return found


class Row(Result):
    """A result of any kind: its fields are those that the tool's page names for what was asked."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"This {type(self).__name__} has no {name}; it has {', '.join(self)}")


class Page(list[T], Generic[T]):
    """A list that says what is behind it."""

    def __init__(self, items: Iterable[T] = (), next_cursor: str = "", omitted: int = 0) -> None:
        super().__init__(items)
        self.next_cursor = next_cursor
        """Give it as `cursor` for what follows; empty at the end."""
        self.omitted = omitted
        """How much more there is; 100 stands for 100 or more."""


# --- what was written --------------------------------------------------------------


class Warned(Result):
    """Where a commit, though made, breaks the schema at /__schema__."""

    path: str
    message: str


class Written(Result):
    """What a write did."""

    commit: str
    """The commit made; the head where nothing changed."""
    ref: str
    parent: str = ""
    object: str = ""
    """The object now at the path: give it as expected_object."""
    changed: int
    """Paths whose value changed; 0 means that no commit was made."""
    rebased: bool = False
    """Whether others had moved the branch past expected_head, elsewhere."""
    replayed: bool = False
    """Whether an earlier call with this request_id did it."""
    warnings: list[Warned] = []
    warnings_omitted: int = 0


class Found(Result):
    """A value with what a careful writer needs besides."""

    path: str
    ref: str
    commit: str
    """The commit it was read at: give it as expected_head."""
    object: str
    """What names the value: give it as expected_object."""
    type: str
    """null, bool, int, float, string, list or map."""
    value: JsonValue
    last_change: Entry
    """Who last changed the path or anything below it."""


class Match(Result):
    """A key or value that a search found."""

    path: str
    value: JsonValue = NOTHING
    type: str
    on: str
    """key or value."""
    left_out: dict[str, int] = {}


# --- history --------------------------------------------------------------------------


class Intent(Result):
    """Why a commit was made."""

    category: str
    description: str
    tags: list[str] = []
    id: str = ""
    """The caller's own name for it."""
    parent: str = ""
    """The intent it serves."""


class Entry(Row):
    """A commit with everything that explains it."""

    id: str
    """The commit; `commit` is the same."""
    commit: str
    intent: Intent
    agent: str
    """Who made it, as claimed."""
    principal: str
    """Who made it, as verified."""
    client: str
    """The program that called, as observed."""
    session: str = ""
    reasoning: str = ""
    confidence: float | None = None
    timestamp: str
    """RFC 3339 in UTC; `at` is the same."""
    authority: dict[str, Any] = {}
    alternatives: list[dict[str, Any]] = []
    expected: JsonValue = NOTHING
    outcome: dict[str, Any] = {}
    """What was reported of its intent."""
    parents: list[str] = []
    withheld: bool = False
    left_out: dict[str, int] = {}
    """Bytes of each field that was too large to show."""


class Blame(Entry):
    """Who last changed a path, and why."""

    path: str
    value: JsonValue = NOTHING
    type: str = ""
    deleted: bool = False
    entries: list[Blame] = []
    """This change and the others asked for: of each field below the path, or with history of each change of it."""
    next_cursor: str = ""
    omitted: int = 0


class Change(Result):
    """One typed difference."""

    op: str
    """add, remove, replace, move, or type: another type of value."""
    path: str
    old: JsonValue = NOTHING
    new: JsonValue = NOTHING
    left_out: dict[str, int] = {}


class Seen(Change):
    """A change that a watch saw, and the commit that made it."""

    ref: str
    commit: str
    """The commit behind the change; empty where the branch was dropped and made again elsewhere."""
    agent: str
    category: str
    description: str
    timestamp: str


class ChangedBy(Result):
    """Who changed one side of a conflict."""

    commit: str
    agent: str
    description: str
    at: str


class Conflict(Result):
    """A path on which two sides disagree."""

    path: str
    rule: str
    base: JsonValue = NOTHING
    ours: JsonValue = NOTHING
    theirs: JsonValue = NOTHING
    ours_by: ChangedBy | None = None
    theirs_by: ChangedBy | None = None
    left_out: dict[str, int] = {}


class Merged(Written):
    """What a merge did, or what stands in its way."""

    merged: bool
    already: bool = False
    """Whether the branch had the source before."""
    commit: str = ""
    conflicts: list[Conflict] = []
    changes: list[Change] = []
    """What it would do; only in a preview."""
    omitted: dict[str, int] = {}


class Reverted(Written):
    """What a revert did, or what stands in its way."""

    commit: str = ""
    reverted: list[str] = []
    conflicts: list[Conflict] = []
    changes: list[Change] = []
    omitted: dict[str, int] = {}


class Branch(Result):
    """A branch, tag or open speculation."""

    name: str
    kind: str
    commit: str
    at: str
    agent: str
    description: str
    ahead: int | None = None
    behind: int | None = None


# --- speculations ----------------------------------------------------------------------


class Speculation(Result):
    """A place to try things."""

    handle: str
    ref: str
    """Its name for every method that reads a ref."""
    label: str = ""
    base: str
    commit: str
    changed: int
    target: str = ""
    expires: str
    warnings: list[Warned] = []
    warnings_omitted: int = 0
    replayed: bool = False


class Compared(Result):
    """A speculation against its base."""

    handle: str
    label: str = ""
    base: str
    commit: str
    counts: dict[str, int]
    changes: list[Change]
    omitted: int = 0
    target: str = ""
    clean: bool | None = None
    """Whether it could be committed without resolutions now; None without a target."""
    conflicts: list[str] = []
    conflicts_omitted: int = 0


class Pair(Result):
    """Two speculations against each other."""

    one: str
    other: str
    counts: dict[str, int]
    changes: list[Change]
    omitted: int = 0


class Comparison(Result):
    """Speculations side by side."""

    speculations: list[Compared]
    pairs: list[Pair]


class Promoted(Written):
    """What became of a speculation that was committed, or what stands in its way."""

    handle: str
    commit: str = ""
    conflicts: list[Conflict] = []
    omitted: dict[str, int] = {}
    alternatives: list[str] = []


class Discarded(Result):
    """A speculation that was dropped."""

    handle: str
    label: str = ""
    lesson: str
    commit: str
    replayed: bool = False


# --- sessions, epochs, plans, migrations -------------------------------------------------


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

    epoch: str
    """Its id."""
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
