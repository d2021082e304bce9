"""`doctor` looks at everything around the store; progress of what takes long."""

from __future__ import annotations

import os
import platform
import stat
import sys
import tempfile
import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from asg_mcp import __version__, config
from asg_mcp.app import has_store, open_repository
from asg_mcp.cli.classes import class_checks
from asg_mcp.cli.kept import keeping_checks
from asg_mcp.cli.keys import key_checks
from asg_mcp.cli.output import BAD, GOOD, WARN, Output
from asg_mcp.errors import AsgError
from asg_mcp.repo.branches import DEFAULT_BRANCH
from asg_mcp.repo.repository import Repository
from asg_mcp.server.selftest import Launch, connected
from asg_mcp.services.migrate import notice

BAR_AFTER_SECONDS = 1.0
"""What is done sooner needs no progress bar."""
_FINE, _NOTE, _BAD = "ok", "note", "bad"
_STYLES = {_FINE: GOOD, _NOTE: WARN, _BAD: BAD}


class ProgressBar:
    """A bar on standard error for what takes longer than a second, when somebody watches."""

    def __init__(self, output: Output) -> None:
        self._console = None if output.as_json else output.progress_console
        self._started_at = time.monotonic()
        self._bar: Progress | None = None
        self._steps: dict[str, TaskID] = {}

    def __call__(self, step: str, done: int, total: int) -> None:
        """`done` of `total` of a step are done."""
        if self._bar is None:
            if self._console is None or time.monotonic() - self._started_at < BAR_AFTER_SECONDS:
                return
            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True)
            self._bar.start()
        if step not in self._steps:
            self._steps[step] = self._bar.add_task(step, total=total)
        self._bar.update(self._steps[step], completed=done, total=total)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()


# --- doctor ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at. `status` is ok, note (worth knowing) or bad (to be mended)."""

    name: str
    status: str
    text: str


async def doctor(output: Output, options: Namespace) -> int:
    """Look at everything around the store. 0 when nothing has to be mended, 1 otherwise, 3 without a named store."""
    place = config.store_place(options.db)
    checks = list(_program())
    exists = has_store(place.path)
    if exists:
        checks += file_checks(place.path)
        checks += await _store(place.path)
    elif place.named_by:
        text = f"none at {place.path}, which {place.named_by} names. Check the path, or start the server to make it."
        checks.append(Check("store", _BAD, text))
    else:
        checks.append(Check("store", _NOTE, f"none yet at {place.path}; the server makes it when it first starts."))
    with ExitStack() as kept:
        folder = None if exists else Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="asg-doctor-")))
        checks.append(await _self_test(place.path if folder is None else folder / "state.db", trial=not exists))
    ok = all(check.status != _BAD for check in checks)
    if output.as_json:
        output.document({"ok": ok, "store": str(place.path), "checks": [asdict(check) for check in checks]})
    else:
        _show(output, checks)
        bad = sum(check.status == _BAD for check in checks)
        output.line()
        output.line(("All is well.", GOOD) if ok else (f"{bad} to mend.", BAD))
    if place.named_by and not exists:
        return 3
    return 0 if ok else 1


def _show(output: Output, checks: list[Check]) -> None:
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = f"{check.status:<4}  {check.name:<{width}}  "
        output.hanging(len(mark), check.text, first=(mark, _STYLES[check.status]))


def _program() -> Iterator[Check]:
    yield Check("program", _FINE, f"{config.PROGRAM} {__version__}, {' '.join(config.launcher())}")
    yield Check("python", _FINE, f"{platform.python_version()} on {platform.system()}, {sys.executable}")
    yield Check("principal", _FINE, f"{config.local_principal()}, as the system knows you")


def file_checks(path: Path) -> Iterator[Check]:
    """Who may read the file, those beside it, and their folder. Windows keeps that elsewhere."""
    if os.name != "posix":
        return
    for file in (path, *(path.with_name(path.name + suffix) for suffix in (".lock", "-wal", "-shm"))):
        if not file.exists():
            continue
        mode = stat.S_IMODE(file.stat().st_mode)
        if mode & 0o077:
            yield Check("permissions", _BAD, f"{file} is open to other users (mode {mode:o}). Run: chmod 600 {file}")
        else:
            yield Check("permissions", _FINE, f"{file.name} is yours alone (mode {mode:o})")
    mode = stat.S_IMODE(path.parent.stat().st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        text = f"other users may put files into {path.parent} (mode {mode:o}). Run: chmod go-w {path.parent}"
        yield Check("folder", _NOTE, text)


async def _store(path: Path) -> list[Check]:
    try:
        async with open_repository(path, create=False) as repository:
            return [
                *await _health(repository),
                await _read(repository),
                *await _migrations(repository),
                *(Check(*told) for told in await key_checks(repository, path)),
                *(Check(*told) for told in await class_checks(repository, path)),
                *(Check(*told) for told in await keeping_checks(repository, path)),
            ]
    except AsgError as error:
        return [Check("store", _BAD, f"{error.message}. {error.hint}".strip())]


async def _health(repository: Repository) -> list[Check]:
    found = await repository.health()
    settings = ", ".join(f"{name} {value}" for name, value in found.settings.items())
    return [
        Check("store", _FINE, f"{found.path}, {size_text(found.file_bytes)} and a log of {size_text(found.wal_bytes)}"),
        Check("sqlite", _FINE, found.sqlite_version),
        *(Check("sqlite", _NOTE, fault) for fault in found.faults),
        Check("settings", _FINE, settings),
        # The modes of the files are told above, file by file.
        *(Check("store", _BAD, problem) for problem in found.problems if "chmod" not in problem),
    ]


async def _read(repository: Repository) -> Check:
    """Read through all layers: a name, its commit, and the root of its state."""
    refs = await repository.list_refs("", kind="all", limit=1, cursor="")
    if not refs.refs:
        return Check("reading", _BAD, "the store has no branch. Run verify, and restore a backup if it reports damage.")
    first = refs.refs[0]
    found = await repository.get(first.name, (), depth=0, max_bytes=1_024, cursor="")
    text = f"branches and tags: {refs.total}; {first.name} is at {found.commit.short}, root {found.object.short}"
    return Check("reading", _FINE, text)


async def _migrations(repository: Repository) -> list[Check]:
    text = await notice(repository, DEFAULT_BRANCH)
    return [Check("migrations", _NOTE, text)] if text else []


async def _self_test(path: Path, *, trial: bool) -> Check:
    """Start this very program as a server and talk to it as a client does."""
    started_at = time.monotonic()
    environment = config.own_environment(path.parent if trial else None)
    launch = Launch((*config.own_command(), "serve", "--db", str(path)), environment)
    try:
        async with connected(launch, "asg-mcp-doctor") as connection:
            facts = await connection.facts()
            await connection.call("asg_list_branches", {"limit": 1})
    except AsgError as error:
        return Check("server", _BAD, f"{error.message}. {error.hint}".strip())
    store = "a trial store" if trial else "this store"
    took = time.monotonic() - started_at
    text = f"started on {store}, {len(facts.tools)} tools over MCP {facts.protocol}, answered and ended in {took:.1f} s"
    return Check("server", _FINE, text)


def size_text(count: int) -> str:
    """A number of bytes in its largest unit, rounded down."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1_024:
            return f"{count} {unit}"
        count //= 1_024
    return f"{count} GiB"
