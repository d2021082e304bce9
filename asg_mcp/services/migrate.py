"""Bringing the state on a branch to a newer version: look, try, do. One step is one Migrate commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import Any

import anyio.to_thread

from asg_mcp.core.diff import differences
from asg_mcp.core.flat import Held, marker, unmarked
from asg_mcp.core.ids import CommitId, Id
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import COMMIT_BYTES_MAX, MIGRATION_CHANGES_MAX, OPERATIONS_MAX
from asg_mcp.core.nodes import Blob
from asg_mcp.core.operations import ABSENT, Absent, Op, Operation
from asg_mcp.core.paths import Tokens, format_path, is_within, parse_path
from asg_mcp.core.state import Gap, State
from asg_mcp.core.values import JsonValue, checked, encode
from asg_mcp.errors import (
    AsgError,
    Forbidden,
    HandleNotFound,
    InvalidArgument,
    LimitExceeded,
    MigrationFailed,
    MigrationRefused,
    RefNotFound,
    RequestReused,
)
from asg_mcp.repo.diffing import change
from asg_mcp.repo.repeats import fingerprint
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.results import Change
from asg_mcp.repo.transact import Decision, Draft, Transacted
from asg_mcp.repo.transaction import apply_all
from asg_mcp.repo.validation import check_against_schema
from asg_mcp.repo.view import View
from asg_mcp.services.migrations import (
    UNVERSIONED,
    ForeignCode,
    Migration,
    Plan,
    Registry,
    Standing,
    installed,
    is_version,
)

VERSION_PATH: Tokens = ("_meta", "schema_version")
OVERTAKEN_MAX = 3
"""How often a step is worked out anew because others wrote meanwhile; then they wait until it is done."""
_FIELDS = frozenset({"op", "path", "value", "from"})
_REFUSED = (Forbidden, HandleNotFound, RequestReused)
"""What refuses the caller and not the migration."""


class Action(StrEnum):
    """What to do about the migrations of a state."""

    CHECK = "check"
    DRY_RUN = "dry_run"
    APPLY = "apply"


@dataclass(frozen=True, slots=True)
class Step:
    """One migration, and what it did or would do."""

    migration: Migration
    operations: int | None = None
    """What it asked for; None where it was not asked."""
    changed: int = 0
    """Paths whose value changes, that of the version among them."""
    changes: tuple[Change, ...] = ()
    """The first MIGRATION_CHANGES_MAX of them, in a dry run."""
    commit: CommitId | None = None
    skipped: bool = False
    """Whether somebody else had applied it meanwhile."""


@dataclass(frozen=True, slots=True)
class Migrated:
    """Where a state stands and which steps lead on; after an apply, where it stands now and which led there."""

    ref: str
    commit: CommitId
    """The commit that was looked at; after an apply, the head."""
    standing: Standing
    version: str
    """What it was at; UNVERSIONED without one, empty where that is corrupt."""
    to: str
    steps: tuple[Step, ...] = ()
    note: str = ""
    replayed: bool = False


async def migrate(
    repo: Repository, action: Action, ref: str, to: str, author: Author, request_id: str = ""
) -> Migrated:
    """Check, try or apply the migrations from the state of a ref to version `to`, by default the newest reachable.

    Only apply writes, and to a branch alone: one commit a step, each in a transaction of its own that looks again at
    what it changes. A repeated request_id is answered as before, and goes on where the first call was cut off.

    Raises MigrationsBroken, MigrationRefused, MigrationFailed, InvalidArgument, and what reading or writing the ref
    raises.
    """
    registry = await anyio.to_thread.run_sync(installed)
    if action is Action.APPLY:
        return await _Application(repo, registry, ref, author, request_id).run(to)
    return await repo.read(lambda view: _look(view, registry, ref, to, trial=action is Action.DRY_RUN))


async def notice(repo: Repository, ref: str) -> str:
    """One line on the migrations of a branch, for whoever starts the program; empty when there is nothing to do."""
    try:
        registry = await anyio.to_thread.run_sync(installed)
        found = await repo.read(lambda view: _look(view, registry, ref, "", trial=False))
    except RefNotFound:
        return ""
    except AsgError as error:
        return error.message
    if found.standing is Standing.AVAILABLE:
        count = f"{len(found.steps)} step{'s' if len(found.steps) > 1 else ''}"
        return f"A migration of {ref} from {found.version} to {found.to} is available ({count}): asg-mcp migrate"
    return "" if found.standing is Standing.UNVERSIONED else found.note


# --- looking --------------------------------------------------------------------


def _look(view: View, registry: Registry, ref: str, to: str, *, trial: bool) -> Migrated:
    row = view.resolve(ref)
    state = view.state(row)
    plan = plan_of(state, registry, to)
    steps = _tried(view, state, plan.steps) if trial else [Step(migration) for migration in plan.steps]
    return Migrated(ref, row.id, plan.standing, plan.version, plan.to, tuple(steps), plan.note)


def plan_of(state: State, registry: Registry, to: str = "") -> Plan:
    """The steps that a state needs. Raises MigrationRefused and InvalidArgument."""
    version = version_of(state)
    if version:
        return registry.plan(version, to)
    note = (
        f"There is no version at {format_path(VERSION_PATH)} but {_found(state)}. asg_blame tells who put it there:"
        " go on from a branch made of a commit before."
    )
    return Plan(Standing.CORRUPT, "", "", note=note)


def version_of(state: State) -> str:
    """The version of a state; UNVERSIONED without one, and empty where something else stands in its place."""
    place = state.locate(VERSION_PATH)
    if isinstance(place, Gap):
        above = state.locate(VERSION_PATH[:1])
        return UNVERSIONED if isinstance(above, Gap) or state.type_name(above) == "map" else ""
    value = str(state.value(place)) if state.type_name(place) == "string" else ""
    return value if is_version(value) else ""


def _found(state: State) -> str:
    place = state.locate(VERSION_PATH)
    if isinstance(place, Gap):
        return f"a {state.type_name(place.deepest)} at {format_path(place.deepest.tokens)}"
    kind = state.type_name(place)
    return f"a {kind}" if kind in ("map", "list") else repr(state.shown(place))[:100]


def _tried(view: View, state: State, migrations: Sequence[Migration]) -> list[Step]:
    steps: list[Step] = []
    for migration in migrations:
        try:
            operations = worked_out(migration, state)
            edited = apply_all(state, operations, view.hasher, 0)  # nothing is stored, so there is no commit to name
            written = (path for told in operations for path in (told.path, told.source) if path is not None)
            check_against_schema(state, edited.state, written)
        except AsgError as error:
            hint = error.hint or "Nothing was written. Upgrade the package, or mend what it stumbles over."
            raise _failure(0, migrations, steps, error, hint) from error
        shown = islice(differences(state, edited.state), MIGRATION_CHANGES_MAX)
        changes = tuple(change(state, edited.state, item) for item in shown)
        steps.append(Step(migration, len(operations) - 1, edited.changed, changes))
        state = edited.state
    return steps


# --- what a migration asks for ----------------------------------------------------


def worked_out(migration: Migration, state: State) -> tuple[Operation, ...]:
    """What one step does to a state, checked as any operations are; the last one sets the version.

    Raises MigrationFailed for whatever its code raises, InvalidArgument, InvalidPath, InvalidValue, LimitExceeded and
    Forbidden for what it may not ask.
    """
    held: dict[str, Held] = {}
    document = state.value(state.root(), lambda blob: _marked(blob, held))
    with ForeignCode(MigrationFailed, "its code"):
        told = list(islice(migration.migrate(document), OPERATIONS_MAX))
    if len(told) == OPERATIONS_MAX:
        raise _too_much(f"{OPERATIONS_MAX} operations or more", "OPERATIONS_MAX", OPERATIONS_MAX)
    operations, size = [], 0
    for place, item in enumerate(told):
        operation = _operation(place, item)
        if not isinstance(operation.value, Absent):
            operation = replace(operation, value=checked(operation.value, depth=len(operation.path)))
            size += len(encode(operation.value))
            operation = replace(operation, value=unmarked(operation.value, held) if held else operation.value)
        if size > COMMIT_BYTES_MAX:
            raise _too_much(f"more than {COMMIT_BYTES_MAX} bytes", "COMMIT_BYTES_MAX", COMMIT_BYTES_MAX)
        _check_version_kept(place, operation)
        operations.append(operation)
    return (*operations, Operation(Op.SET, VERSION_PATH, migration.to_version))


def _marked(blob: Blob, held: dict[str, Held]) -> JsonValue:
    """What a migration sees in the place of an erased value, noted so that it can be carried to where it is put."""
    held[blob.id.short] = Held.of_blob(blob)
    return marker(blob)


def _too_much(found: str, limit: str, most: int) -> LimitExceeded:
    hint = "One step is one commit: its package has to split it into several migrations."
    return LimitExceeded(f"it asks for {found}", hint=hint, limit=limit, max=most)


def _operation(place: int, item: Any) -> Operation:
    """The operation that a migration told as {op, path, value, from}. Raises InvalidArgument and InvalidPath."""
    if not isinstance(item, Mapping) or not {"op", "path"} <= item.keys() <= _FIELDS:
        raise _unfit(place, "is no object of op, path, value and from")
    if item["op"] not in list(Op):
        raise _unfit(place, f"has the unknown op {repr(item['op'])[:100]}")
    op, path, source = Op(item["op"]), item["path"], item.get("from", "")
    if ("value" in item) != (op not in (Op.DELETE, Op.MOVE)) or ("from" in item) != (op is Op.MOVE):
        raise _unfit(place, f"is a {op} with the wrong fields")
    if not isinstance(path, str) or not isinstance(source, str):
        raise _unfit(place, "has something else than text for a path")
    return Operation(op, parse_path(path), item.get("value", ABSENT), parse_path(source) if op is Op.MOVE else None)


def _unfit(place: int, what: str) -> InvalidArgument:
    return InvalidArgument(
        f"operations[{place}] {what}",
        hint="set, append, insert and test have value, move has from, delete has neither; all have op and path.",
        index=place,
    )


def _check_version_kept(place: int, operation: Operation) -> None:
    if operation.op is Op.TEST:
        return
    if operation.op is Op.SET and operation.path == ():
        # A write to the root keeps what it does not name.
        touched = isinstance(operation.value, dict) and VERSION_PATH[0] in operation.value
    else:
        paths = [path for path in (operation.path, operation.source) if path is not None]
        touched = any(is_within(path, VERSION_PATH) or is_within(VERSION_PATH, path) for path in paths)
    if touched:
        raise Forbidden(
            f"operations[{place}] changes {format_path(VERSION_PATH)} by {operation.op} {format_path(operation.path)}",
            hint="The version moves with the commit of each step; a migration leaves it alone.",
            index=place,
        )


# --- applying -------------------------------------------------------------------


class _Overtaken(Exception):
    """The state is no longer the one that a step was worked out on."""


@dataclass(frozen=True, slots=True)
class _Work:
    """What a step does to the state with this root; nothing where it was not at the version it begins with."""

    root: Id
    operations: tuple[Operation, ...]


class _Application:
    """The steps of one call of apply, one transaction each."""

    def __init__(self, repo: Repository, registry: Registry, ref: str, author: Author, request_id: str) -> None:
        self._repo, self._registry, self._ref = repo, registry, ref
        self._author, self._request_id = author, request_id

    async def run(self, to: str) -> Migrated:
        """Plan, and do it step by step."""
        planned = await self._transact(
            self._request_id, fingerprint("migrate", self._ref, to, self._author), partial(self._plan, to)
        )
        version, target = planned.answer["from"], planned.answer["to"]
        migrations = self._registry.plan(version, target).steps
        steps: list[Step] = []
        head = planned.commit
        for migration in migrations:
            try:
                step, head = await self._step(migration)
            except AsgError as error:
                if not steps and isinstance(error, _REFUSED):
                    raise
                raise _failure(len(steps), migrations, steps, error, error.hint) from error
            steps.append(step)
        after = self._registry.plan(target)
        return Migrated(planned.ref, head, after.standing, version, target, tuple(steps), after.note, planned.replayed)

    async def _transact(self, request_id: str, asked: bytes, decide: Any) -> Transacted:
        return await self._repo.transact(self._ref, self._author, request_id, asked, decide)

    def _plan(self, to: str, draft: Draft) -> Decision:
        plan = plan_of(draft.state, self._registry, to)
        if not plan.steps and plan.standing is not Standing.UP_TO_DATE:
            raise MigrationRefused(
                f"{self._ref} cannot be migrated. {plan.note}",
                hint="asg_migrate with action check tells how a ref stands.",
                state=plan.standing.value,
            )
        return Decision((), None, {"from": plan.version, "to": plan.to})

    async def _step(self, migration: Migration) -> tuple[Step, CommitId]:
        asked = fingerprint("migrate step", self._ref, self._request_id, migration.from_version, migration.to_version)
        key = f"migrate-{asked.hex()}" if self._request_id else ""
        overtaken = 0
        while True:
            work = None
            if overtaken < OVERTAKEN_MAX:
                work = await self._repo.read(lambda view: self._work(view, migration))
            try:
                done = await self._transact(key, asked, partial(self._decide, migration, work))
            except _Overtaken:
                overtaken += 1
            else:
                return self._told(migration, done), done.commit

    def _work(self, view: View, migration: Migration) -> _Work:
        """What the step does to the state as it is now. The writers of others go on meanwhile."""
        state = view.state(view.resolve(self._ref))
        is_due = version_of(state) == migration.from_version
        return _Work(state.tree.id, worked_out(migration, state) if is_due else ())

    def _decide(self, migration: Migration, work: _Work | None, draft: Draft) -> Decision:
        version = version_of(draft.state)
        if self._is_past(migration, version):
            return Decision((), None, {"operations": 0, "skipped": True})
        if version != migration.from_version:
            raise MigrationRefused(
                f"somebody brought {self._ref} to {version or 'no version'} meanwhile",
                hint="Check again, and apply what is left.",
            )
        if work is None:
            operations = worked_out(migration, draft.state)
        elif work.root == draft.state.tree.id:
            operations = work.operations
        else:
            raise _Overtaken
        reasoning = f"The migration {migration.label}."
        intent = Intent(Category.MIGRATE, migration.description, reasoning, tags=("migration",))
        return Decision(operations, intent, {"operations": len(operations) - 1, "skipped": False})

    def _is_past(self, migration: Migration, version: str) -> bool:
        later = (step.to_version for step in self._registry.chain(migration.to_version))
        return version == migration.to_version or version in later

    def _told(self, migration: Migration, done: Transacted) -> Step:
        if done.answer["skipped"]:
            return Step(migration, skipped=True)
        return Step(migration, done.answer["operations"], done.changed, commit=done.commit)


def _failure(
    place: int, migrations: Sequence[Migration], steps: Sequence[Step], error: AsgError, hint: str
) -> MigrationFailed:
    """Which step failed, why, and how far it came: to where the migration at `place` begins."""
    failed, reached = migrations[len(steps)], migrations[place].from_version
    return MigrationFailed(
        f"Step {len(steps) + 1} of {len(migrations)}, {failed.label}, failed: {error.message}. It is at {reached} now",
        hint=hint,
        step=failed.name,
        reached=reached,
        applied=[step.commit.short for step in steps if step.commit is not None],
        cause=error.as_dict(),
    )
