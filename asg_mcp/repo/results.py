"""What the repository answers: plain data, packed for the wire by the tools."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Category
from asg_mcp.core.operations import Absent
from asg_mcp.core.paths import Tokens
from asg_mcp.core.values import JsonValue


@dataclass(frozen=True, slots=True)
class CommitInfo:
    """One commit, as log, blame and query show it."""

    id: CommitId
    seq: int
    """The number of the commit inside this file; never hashed, signed or exported."""
    parents: tuple[CommitId, ...]
    at: str
    """RFC 3339, UTC, microseconds."""
    principal: str
    agent: str
    client: str
    session: str
    category: Category
    confidence: float | None
    intent_id: str
    parent_intent: str
    description: str
    reasoning: str
    tags: tuple[str, ...]
    provenance: Mapping[str, JsonValue]
    """authority, alternatives, expected, tool_calls, notify, where given."""
    withheld: bool = False
    """Whether the texts were erased; the description is WITHHELD_TEXT then, and the others are empty."""
    outcome: Mapping[str, JsonValue] | None = None
    """What was reported of its intent; None while nothing was, and where it was not asked for."""
    pruned: bool = False
    """Whether all that it held was taken away by garbage collection; what its header says is all there is."""


@dataclass(frozen=True, slots=True)
class SchemaWarning:
    """What a write does that the schema at /__schema__ does not allow, where that schema only warns."""

    path: Tokens
    message: str


@dataclass(frozen=True, slots=True)
class WriteResult:
    """What a write answers. `changed` counts the paths whose entry changed; 0 means that no commit was made."""

    commit: CommitId
    ref: str
    parent: CommitId | None
    object: Id | None
    """The object at the written path afterwards; None where the path is gone."""
    changed: int
    rebased: bool
    replayed: bool = False
    """Whether this is the remembered answer of an earlier call with the same request_id."""
    warnings: tuple[SchemaWarning, ...] = ()
    """At most COUNT_AHEAD_MAX; none under any other mode than warn."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """One path on which two sides disagree. An absent side is ABSENT; None is a stored null."""

    path: Tokens
    base: JsonValue | Absent
    ours: JsonValue | Absent
    theirs: JsonValue | Absent
    rule: str = "scalar"
    """Why it conflicts: scalar, container, list, migration, manual or another rule of the schema, or resolution."""
    ours_by: CommitInfo | None = None
    """The commit that last changed the path, or deleted it, on our side; None where it never was, or was not asked."""
    theirs_by: CommitInfo | None = None


@dataclass(frozen=True, slots=True)
class GetResult:
    """A value or subtree, and who last changed it."""

    ref: str
    commit: CommitId
    path: Tokens
    value: JsonValue
    """Complete, or with the containers that did not fit left out and named in `omitted`."""
    type: str
    object: Id
    truncated: bool
    omitted: tuple[tuple[Tokens, str, int], ...]
    """(path, type, number of entries below it) of each part that was left out, in path order."""
    next_cursor: str
    last_change: CommitInfo
    """The commit that last changed the path or anything below it."""
    clock_anomaly: bool = False
    """Whether the recorded times around the TIME of the ref run backwards."""
    withheld: tuple[Tokens, ...] = ()
    """Where in `value` a marker stands in the place of a value that was erased, at most WITHHELD_SHOWN_MAX."""
    withheld_omitted: int = 0
    """How many more there are in `value`."""


@dataclass(frozen=True, slots=True)
class Match:
    """One place that a search found."""

    path: Tokens
    value: JsonValue | Absent
    """The scalar found, or ABSENT where a container's key matched."""
    type: str
    on: str
    """key or value"""


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One page of what a search found."""

    ref: str
    commit: CommitId
    matches: tuple[Match, ...]
    next_cursor: str
    scanned: int
    """State entries read by this call."""
    omitted: int = 0
    """How many more there are behind this page, counted up to COUNT_AHEAD_MAX."""
    withheld: int = 0
    """How many of the entries were erased, so that nobody knows whether they would match."""


@dataclass(frozen=True, slots=True)
class RefInfo:
    """A branch or tag and the commit it names."""

    name: str
    kind: str
    """branch or tag"""
    commit: CommitId
    at: str
    agent: str
    description: str
    ahead: int | None = None
    """Commits it has that the default branch lacks; None for the default branch itself."""
    behind: int | None = None


@dataclass(frozen=True, slots=True)
class RefList:
    """One page of refs."""

    refs: tuple[RefInfo, ...]
    total: int
    next_cursor: str


@dataclass(frozen=True, slots=True)
class Change:
    """One typed difference. An absent side is ABSENT; None is a stored null."""

    op: str
    """add, remove, replace, type (another type of value), move (a list element elsewhere in its list)"""
    path: Tokens
    old: JsonValue | Absent
    new: JsonValue | Absent
    source: Tokens | None = None
    """The old path of a move, or of a list element whose index differs between the two sides."""


@dataclass(frozen=True, slots=True)
class DiffResult:
    """One page of typed changes between two commits."""

    ref_a: str
    ref_b: str
    commit_a: CommitId
    commit_b: CommitId
    changes: tuple[Change, ...]
    next_cursor: str
    omitted: int = 0
    """How many more there are behind this page, counted up to COUNT_AHEAD_MAX."""


@dataclass(frozen=True, slots=True)
class LogResult:
    """One page of history, newest first."""

    ref: str
    commits: tuple[CommitInfo, ...]
    next_cursor: str
    clock_anomaly: bool = False
    omitted: int = 0
    """How many more there are behind this page, counted up to COUNT_AHEAD_MAX."""


@dataclass(frozen=True, slots=True)
class BlameEntry:
    """A path and the commit that last changed it."""

    path: Tokens
    value: JsonValue | Absent
    """The value that the commit gave the path; ABSENT when it deleted it."""
    type: str
    """The type of the value; "" for a deletion."""
    commit: CommitInfo


@dataclass(frozen=True, slots=True)
class BlameResult:
    """One page of blame."""

    ref: str
    commit: CommitId
    path: Tokens
    entries: tuple[BlameEntry, ...]
    next_cursor: str
    omitted: int = 0
    """How many more there are behind this page, counted up to COUNT_AHEAD_MAX."""


@dataclass(frozen=True, slots=True)
class Group:
    """One group of a query and its count."""

    key: Mapping[str, JsonValue]
    count: int
    first_at: str
    last_at: str


@dataclass(frozen=True, slots=True)
class Calibration:
    """How sure an agent said it was, against what became of it. All but the count are from 0 to 1."""

    reported: int
    """Intents with a stated confidence and a settled outcome."""
    stated: float
    """Mean of the stated confidences."""
    achieved: float
    """Mean of the outcomes: fulfilled 1, partially fulfilled 0.5, failed 0."""
    brier: float
    """Mean squared difference of the two (Brier 1950); 0 is perfect, 0.25 what always saying 0.5 gets."""


@dataclass(frozen=True, slots=True)
class AgentInfo:
    """What one agent did, as far as the filters let it be seen."""

    agent: str
    commits: int
    principals: tuple[str, ...]
    clients: tuple[str, ...]
    categories: Mapping[str, int]
    confidence_mean: float | None
    first_at: str
    last_at: str
    outcomes: Mapping[str, int] = field(default_factory=dict)
    """Reported outcomes of its intents, counted."""
    calibration: Calibration | None = None


@dataclass(frozen=True, slots=True)
class StateItem:
    """One entry of the state with the commit that last changed it: query's target `state`."""

    path: Tokens
    value: JsonValue | Absent
    type: str
    commit: CommitInfo


@dataclass(frozen=True, slots=True)
class QueryResult:
    """One page of a query: items, or groups."""

    ref: str
    items: tuple[CommitInfo | AgentInfo | StateItem, ...]
    groups: tuple[Group, ...]
    next_cursor: str
    examined: int
    omitted: int = 0
    """How many more there are behind this page, counted up to COUNT_AHEAD_MAX."""


@dataclass(frozen=True, slots=True)
class RevertResult:
    """What a revert did, would do, or could not decide."""

    ref: str
    commit: CommitId | None
    """None when there were conflicts, in a preview, or when nothing was left to undo."""
    parent: CommitId | None
    reverted: tuple[CommitId, ...]
    changed: int
    changes: tuple[Change, ...]
    """What the revert does, in a preview only."""
    conflicts: tuple[Conflict, ...]
    object: Id | None = None
    rebased: bool = False
    skipped: tuple[str, ...] = ()
    """Roots with tools of their own that the commits had changed, and that stay as they are."""
    replayed: bool = False
    warnings: tuple[SchemaWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class MergeResult:
    """What a merge did, would do, or could not decide."""

    ref: str
    """The branch merged into."""
    merged: bool
    """Whether the source is in the branch now: False in a preview and with conflicts."""
    commit: CommitId | None
    """The merge, or the head where the source was there already; None in a preview and with conflicts."""
    parent: CommitId
    """The head before."""
    source: CommitId
    bases: tuple[CommitId, ...]
    """The best common ancestors: several where the branches had been merged into each other."""
    changed: int
    changes: tuple[Change, ...]
    """What the merge does to the branch, in a preview only."""
    conflicts: tuple[Conflict, ...]
    already: bool = False
    """Whether the source was in the branch already, so that no commit was made."""
    object: Id | None = None
    rebased: bool = False
    replayed: bool = False
    warnings: tuple[SchemaWarning, ...] = ()


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session: what an agent may do, and until when."""

    handle: str
    agent: str
    principal: str
    branch: str
    scope: tuple[str, ...]
    """Paths as JSON Pointers; empty for the whole state."""
    parent: str
    description: str
    authority: Mapping[str, JsonValue] | None
    opened_at: str
    expires: str
    status: str
    """open, or the outcome it was closed with."""
    outcome: Mapping[str, JsonValue] | None = None
    """What was reported when it was closed; None where it was not asked for."""
    replayed: bool = False
    """Whether this is the answer to an earlier request with the same request_id."""


@dataclass(frozen=True, slots=True)
class ChildInfo:
    """An intent or session below another, and what was reported of it."""

    intent: str
    agent: str
    description: str
    status: str
    outcome: Mapping[str, JsonValue] | None


@dataclass(frozen=True, slots=True)
class OutcomeResult:
    """What a report answers."""

    intent: str
    outcome: str
    children: tuple[ChildInfo, ...]
    omitted: int
    """Children besides those shown."""
    closed: bool = False
    """Whether it is a session, which this closed."""
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class EpochInfo:
    """An epoch: which work it groups and, once it is sealed, what fixes it."""

    epoch: str
    state: str
    """open or sealed"""
    description: str
    root_intents: tuple[str, ...]
    since: str
    tags: tuple[str, ...]
    principal: str
    """Who opened it."""
    agent: str
    opened_at: str
    opened: int
    """The index of the event that opened it."""
    commits: int
    """Its members: those so far, or those that the seal fixed."""
    follows: int = 0
    """Commits under the same root intents that were made after the seal."""
    sealed_at: str = ""
    summary: str = ""
    tag: str = ""
    size: int = 0
    """Of the log with the seal's event as its last."""
    members: str = ""
    """The RFC 6962 root over the members' commit ids, in hex."""
    root: str = ""
    """The root of the log at that size, in hex; empty while it is not signed."""
    checkpoint: str = ""
    """The signed note over both."""
    opening: str = ""
    """The signed note over the log with the opening as its last event."""
    key: str = ""
    """The public key that signed it, in the form in which note verifiers take it."""
    replayed: bool = False
    """Whether this is the answer to an earlier request with the same request_id."""


@dataclass(frozen=True, slots=True)
class IntentInfo:
    """An intent, what became of it, and what serves it."""

    key: str
    """What tells it from all others."""
    name: str
    """What people call it: intent_id, session or commit."""
    agent: str
    description: str
    parent: str
    at: str
    outcome: Mapping[str, JsonValue] | None
    commit: CommitInfo | None
    """None for a session."""
    children: tuple[IntentInfo, ...] = ()
    more_children: int = 0
    """Children besides those shown."""

    @property
    def status(self) -> str:
        """open, or the outcome."""
        return "open" if self.outcome is None else str(self.outcome["outcome"])


@dataclass(frozen=True, slots=True)
class IntentPage:
    """One page of intents."""

    ref: str
    items: tuple[IntentInfo, ...]
    next_cursor: str
    omitted: int = 0
    """How many more there are behind this page, counted up to COUNT_AHEAD_MAX."""


@dataclass(frozen=True, slots=True)
class RecordPage:
    """One page of sessions, epochs, plans or speculations, each as JSON."""

    items: tuple[Mapping[str, JsonValue], ...]
    next_cursor: str
    omitted: int = 0
