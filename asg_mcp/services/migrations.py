"""Migrations of the state: what packages register, and which steps lead from one version to another.

The version is that of the shape of the users' own document, at /_meta/schema_version; it has nothing to do with the
layout of the database. It is text, `N.N.N`: that is how packages number what they release, and how they tell a change
that breaks readers from one that does not. A state without it is UNVERSIONED.

A package adds migrations by an entry point that gives an iterable of `Migration`:

    # pyproject.toml
    [project.entry-points."asg_mcp.migrations"]
    my-app = "my_app.migrations:MIGRATIONS"

    # my_app/migrations.py
    from asg_mcp.services.migrations import Migration

    def split_names(state):
        first, _, last = state["name"].partition(" ")
        return [{"op": "set", "path": "/name", "value": {"first": first, "last": last}}]

    MIGRATIONS = [Migration("1.0.0", "1.1.0", "split-names", "A name is first and last name now.", split_names)]
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from itertools import islice
from types import TracebackType
from typing import Any

from asg_mcp.core.intents import check_name
from asg_mcp.core.limits import DESCRIPTION_BYTES_MAX, MIGRATIONS_MAX, NEAREST_MAX
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidArgument, MigrationError, MigrationRefused, MigrationsBroken

GROUP = "asg_mcp.migrations"
"""The entry points that are looked at."""
UNVERSIONED = "absent"
"""What stands for the version of a state that has none: in `from_version`, and in what is answered."""
STAMP = "stamp"
"""The name of the step that sets the first version and changes nothing else."""
_VERSION = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


def is_version(text: Any) -> bool:
    """Whether this is a version: three numbers of at most nine digits, without leading zeros."""
    return isinstance(text, str) and _VERSION.fullmatch(text) is not None


def version_key(version: str) -> tuple[int, ...]:
    """What versions are ordered by; UNVERSIONED comes first."""
    return () if version == UNVERSIONED else tuple(map(int, version.split(".")))


@dataclass(frozen=True, slots=True)
class Migration:
    """One step from a version of the state to a later one.

    `migrate` is given the whole state as plain JSON, which is its own copy, and returns what is to be done, in order:
    dictionaries with `op` (set, delete, append, insert, move, test), `path`, and `value` or `from`, as asg_apply takes
    them. It must be a pure function of the state: a dry run calls it, and where other writers were faster it is called
    again. It leaves /_meta/schema_version alone, which moves with its commit; every other path is open to it, /plans
    and the rest of /_meta too.

    Raises InvalidArgument and InvalidName when made with a version, name or description that cannot be used.
    """

    from_version: str
    """N.N.N, or UNVERSIONED for states without a version."""
    to_version: str
    name: str
    description: str
    """What changes and why, in a sentence: the commit's description."""
    migrate: Callable[[JsonValue], Iterable[Mapping[str, JsonValue]]] = field(repr=False)
    package: str = ""
    """The package that registered it; filled in when it is loaded."""

    def __post_init__(self) -> None:
        check_name(self.name, "name of a migration")
        for version in (self.from_version, self.to_version):
            if not is_version(version) and (version is self.to_version or version != UNVERSIONED):
                raise InvalidArgument(
                    f"{version!r} is no version of a migration", hint=f"Write N.N.N; {UNVERSIONED!r} to begin without."
                )
        if not 0 < len(str(self.description).strip().encode(errors="replace")) <= DESCRIPTION_BYTES_MAX:
            raise InvalidArgument(
                f"The migration {self.name} has no description of 1 to {DESCRIPTION_BYTES_MAX} bytes",
                hint="Say in one sentence what it changes.",
            )

    @property
    def label(self) -> str:
        """Its name, its package and what it leads from and to."""
        package = f" of {self.package}" if self.package else ""
        return f"{self.name}{package} ({self.from_version} to {self.to_version})"


class Standing(StrEnum):
    """Where a state stands among the migrations that this program has."""

    UP_TO_DATE = "up_to_date"
    AVAILABLE = "available"
    NEWER = "newer"
    """Its version is beyond every one that the installed packages know."""
    UNVERSIONED = "unversioned"
    """It has no version, and no migration begins there."""
    CORRUPT = "corrupt"
    """What is at /_meta/schema_version is no version."""
    NO_PATH = "no_path"
    """Newer versions are known, but no migration begins at this one."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The steps from one version to another."""

    standing: Standing
    version: str
    """What the state is at; empty where that is corrupt."""
    to: str
    """What the steps lead to; `version` without any."""
    steps: tuple[Migration, ...] = ()
    note: str = ""
    """What keeps the state from being up to date, and what helps; empty when it is or can be."""


class Registry:
    """Migrations that lead to one version from another in one way at most, and always onwards.

    Raises MigrationsBroken, which names them, when two begin at the same version or one leads back.
    """

    def __init__(self, migrations: Iterable[Migration] = ()) -> None:
        self._next: dict[str, Migration] = {}
        for migration in migrations:
            other = self._next.setdefault(migration.from_version, migration)
            if other is not migration:
                raise MigrationsBroken(
                    f"Two migrations begin at {migration.from_version}: {other.label} and {migration.label}",
                    hint="Only one step may begin at a version. Upgrade or remove one of the packages.",
                    migrations=[other.label, migration.label],
                )
        for migration in self._next.values():
            self._check_onwards(migration)

    def _check_onwards(self, migration: Migration) -> None:
        if version_key(migration.to_version) > version_key(migration.from_version):
            return
        forth = self._next.get(migration.to_version)
        circle = f", where {forth.label} begins" if forth is not None and forth is not migration else ""
        raise MigrationsBroken(
            f"The migration {migration.label} leads back{circle}",
            hint="Migrations lead to later versions alone; to go back, branch from a commit before the migration.",
            migrations=[found.label for found in (migration, forth) if found is not None],
        )

    @property
    def versions(self) -> list[str]:
        """Every version that a migration begins at or leads to, the newest last; UNVERSIONED is none."""
        known = {version for step in self._next.values() for version in (step.from_version, step.to_version)}
        return sorted(known - {UNVERSIONED}, key=version_key)

    def chain(self, version: str) -> tuple[Migration, ...]:
        """All steps that follow one another from a version on."""
        steps = []
        while version in self._next:
            steps.append(self._next[version])
            version = self._next[version].to_version
        return tuple(steps)

    def plan(self, version: str, to: str = "") -> Plan:
        """The steps from a version to another, or to the newest that can be reached.

        Raises MigrationRefused when nothing leads to `to`, InvalidArgument when it is no version.
        """
        steps = self.chain(version)
        if to:
            return self._plan_to(version, to, steps)
        if steps:
            return Plan(Standing.AVAILABLE, version, steps[-1].to_version, steps)
        standing = self._standing(version)
        return Plan(standing, version, version, note=self._note(standing, version))

    def _standing(self, version: str) -> Standing:
        """Where a version stands at which no step begins."""
        if version == UNVERSIONED:
            return Standing.UNVERSIONED
        newest = self.versions[-1:]
        if not newest or newest == [version]:
            return Standing.UP_TO_DATE
        return Standing.NEWER if version_key(version) > version_key(newest[0]) else Standing.NO_PATH

    def _note(self, standing: Standing, version: str) -> str:
        known = f"the newest version that the installed packages know is {''.join(self.versions[-1:])}"
        notes = {
            Standing.NEWER: f"The state is at {version}, and {known}. Upgrade them before you write to it.",
            Standing.NO_PATH: f"No migration begins at {version}, and {known}. The package with that step is missing.",
            Standing.UNVERSIONED: "The state has no version. To set the first one, apply with to.",
        }
        return notes.get(standing, "")

    def _plan_to(self, version: str, to: str, steps: tuple[Migration, ...]) -> Plan:
        if not is_version(to):
            raise InvalidArgument(f"{to!r} is no version", hint="Give three numbers, such as 1.2.0.", to=to)
        if to == version:
            return Plan(Standing.UP_TO_DATE, version, to)
        targets = [step.to_version for step in steps]
        if to in targets:
            return Plan(Standing.AVAILABLE, version, to, steps[: targets.index(to) + 1])
        if version == UNVERSIONED and not steps and (not self.versions or to in self.versions):
            return Plan(Standing.UNVERSIONED, version, to, (stamp(to),))
        raise self._no_way(version, to)

    def _no_way(self, version: str, to: str) -> MigrationRefused:
        hint = "Leave to out to go as far as the installed packages lead; one with the missing step may help."
        if version_key(to) < version_key(version):
            hint = "Migrations never lead back. Branch from a commit before the migration instead."
        near = get_close_matches(to, self.versions, NEAREST_MAX, 0.0)
        standing = Standing.AVAILABLE if self.chain(version) else self._standing(version)
        details = {"state": standing.value, "from": version, "to": to, "known": near}
        return MigrationRefused(f"No migration leads from {version} to {to}", hint=hint, **details)


def stamp(to: str) -> Migration:
    """The step that says which version an unversioned state has, on whoever's word asks for it."""
    return Migration(UNVERSIONED, to, STAMP, f"The state is declared to be at version {to}.", lambda state: ())


class ForeignCode:
    """Runs code of other packages: whatever it raises becomes an error of ours that says whose it was."""

    def __init__(self, error: type[MigrationError], whose: str, **details: JsonValue) -> None:
        self._error, self._whose, self._details = error, whose, details

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # A module that ends the process when it is imported must not end the server.
        if isinstance(error, Exception | SystemExit):
            text = f"{type(error).__name__}: {error}"
            raise self._error(f"{self._whose} raised {text[:DESCRIPTION_BYTES_MAX]}", **self._details) from error


def installed() -> Registry:
    """The migrations of all installed packages, looked up anew; it imports their modules, so run it on a thread.

    Raises MigrationsBroken, naming the package whose entry point cannot be used.
    """
    with ForeignCode(MigrationsBroken, "Reading the entry points of the installed packages"):
        entries = sorted(entry_points(group=GROUP), key=lambda entry: (_package(entry), entry.name))
    found: list[Migration] = []
    for entry in entries:
        found += _loaded(entry)
        if len(found) > MIGRATIONS_MAX:
            raise MigrationsBroken(
                f"The installed packages register more than {MIGRATIONS_MAX} migrations; {_package(entry)} is the last",
                limit="MIGRATIONS_MAX",
                max=MIGRATIONS_MAX,
            )
    return Registry(found)


def _loaded(entry: EntryPoint) -> list[Migration]:
    package = _package(entry)
    where = f"The migrations of the package {package} ({entry.name} = {entry.value})"
    with ForeignCode(MigrationsBroken, f"{where} cannot be loaded: it", package=package):
        given = entry.load()
        told = list(islice(given, MIGRATIONS_MAX + 1))
    for item in told:
        if not isinstance(item, Migration):
            raise MigrationsBroken(f"{where} hold a {type(item).__name__}, not only Migrations", package=package)
    return [replace(item, package=package) for item in told]


def _package(entry: EntryPoint) -> str:
    return str(entry.dist.name) if entry.dist is not None else entry.value.partition(":")[0]
