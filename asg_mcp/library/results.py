"""What the methods return about the state, its history, branches and speculations."""

from __future__ import annotations

from typing import Any

from asg_mcp.core.values import JsonValue
from asg_mcp.library.reading import MISSING, Result, Row

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
    value: JsonValue = MISSING
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
    category: str
    description: str
    tags: list[str] = []
    reasoning: str = ""
    confidence: float | None = None
    timestamp: str
    """RFC 3339 in UTC; `at` is the same."""
    authority: dict[str, Any] = {}
    alternatives: list[dict[str, Any]] = []
    expected: JsonValue = MISSING
    outcome: dict[str, Any] = {}
    """What was reported of its intent."""
    parents: list[str] = []
    withheld: bool = False
    pruned: bool = False
    """Whether gc took away all that it held: its header is all there is."""
    left_out: dict[str, int] = {}
    """Bytes of each field that was too large to show."""


class Blame(Entry):
    """Who last changed a path, and why."""

    path: str
    value: JsonValue = MISSING
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
    old: JsonValue = MISSING
    new: JsonValue = MISSING
    left_out: dict[str, int] = {}


class Seen(Change):
    """A change that a watch saw, and the commit that made it."""

    ref: str
    commit: str
    """The commit that made the change."""
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
    base: JsonValue = MISSING
    ours: JsonValue = MISSING
    theirs: JsonValue = MISSING
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
