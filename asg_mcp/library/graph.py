"""`AsyncStateGraph`: the repository of a server, without the server."""

from __future__ import annotations

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from inspect import isawaitable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from asg_mcp import config
from asg_mcp.app import open_memory, open_repository
from asg_mcp.core.intents import check_name
from asg_mcp.core.limits import UPDATE_ATTEMPTS_MAX, UPDATE_PAUSE_SECONDS_MAX
from asg_mcp.core.patterns import Pattern
from asg_mcp.errors import Conflict, HeadMoved, PathNotFound, StorageError
from asg_mcp.library import calls
from asg_mcp.library.branches import BranchMethods
from asg_mcp.library.calls import Explained
from asg_mcp.library.history import HistoryMethods
from asg_mcp.library.results import Written
from asg_mcp.library.speculating import SpeculationMethods
from asg_mcp.library.watching import AsyncWatch
from asg_mcp.library.working import WorkMethods
from asg_mcp.repo.following import Position, Step, begin, follow
from asg_mcp.repo.repository import Repository
from asg_mcp.tools.registry import Caller, ToolContext

IN_MEMORY = ":memory:"
Update = Callable[[Any], Any]


class AsyncStateGraph(SpeculationMethods, BranchMethods, HistoryMethods, WorkMethods):
    """A state graph in a file, or in memory: `async with AsyncStateGraph("state.db") as graph`.

    Without a path, or with ":memory:", it is in memory and gone when it is closed. It is opened by `async with`, by
    `open`, or by the first call, and belongs to the event loop that opened it. Servers and other programs may have the
    same file open. The principal is the local user; `agent` is who acts where a call names nobody, else ASG_AGENT, else
    the program; `session` is the session that every call belongs to. All methods raise the errors of `asg_mcp.errors`.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, agent: str | None = None, session: str | None = None
    ) -> None:
        self._path = None if path is None or path == IN_MEMORY else Path(path).expanduser().absolute()
        program = Path(sys.argv[0]).stem if sys.argv and sys.argv[0].isprintable() else ""
        self._program = program.strip("- ") or "python"
        self._agent = config.default_agent(agent or "") or self._program
        check_name(self._agent, "agent")
        self._session = session or ""
        self._stack = AsyncExitStack()
        self._context: ToolContext | None = None
        self._opening = asyncio.Lock()
        self._closed = asyncio.Event()
        self._calls = 0
        self._quiet = asyncio.Event()

    # --- life -------------------------------------------------------------------

    async def open(self) -> Self:
        """Open it now and not at the first call. Raises StoreIncompatible, StoreCorrupt, StoreBusy."""
        async with self._opening:
            if self._context is None and not self._closed.is_set():
                opening = open_memory() if self._path is None else open_repository(self._path)
                repo: Repository = await self._stack.enter_async_context(opening)
                principal = config.local_principal()
                caller = Caller(principal, f"library/{self._program}", self._agent, self._session)
                self._context = ToolContext(repo.seen_by(principal), caller)
        return self

    async def close(self) -> None:
        """Let the calls that are under way finish, end the watches, and close. Closing twice is no fault."""
        self._closed.set()
        while self._calls:
            self._quiet.clear()
            await self._quiet.wait()
        async with self._opening:
            await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @asynccontextmanager
    async def _calling(self) -> AsyncIterator[ToolContext]:
        if self._context is None:
            await self.open()
        if self._closed.is_set() or self._context is None:
            raise StorageError("The graph is closed", hint="Open it again: make a new one with the same path.")
        self._calls += 1
        try:
            yield self._context
        finally:
            self._calls -= 1
            self._quiet.set()

    # --- read-modify-write ------------------------------------------------------

    async def update(
        self,
        path: str,
        change: Update,
        description: str = "",
        *,
        default: Any = None,
        as_: type[Any] | None = None,
        ref: str = "main",
        category: str = "Refine",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        **more: Unpack[Explained],
    ) -> Written:
        """Set a path to what `change` makes of its value, and again if somebody changed it meanwhile.

        `change` may be called several times; it may be async. Where nothing is there it is given `default`. With
        `as_`, it is given a value of that type. Raises Conflict when others were faster UPDATE_ATTEMPTS_MAX times,
        whatever `change` raises, and as `set`.
        """
        ref = await self._branch(ref, more.get("session", ""))
        attempt = 0
        while True:
            value, head = await self._look(path, ref, default, as_)
            changed = change(value)
            if isawaitable(changed):
                changed = await changed
            attempt += 1
            given: calls.Arguments = {"ref": ref, "category": category, "agent": agent, "reasoning": reasoning}
            given |= {"confidence": confidence, "tags": tags, **more}
            done = await self._put(path, changed, description, head, attempt, given)
            if done is not None:
                return done

    async def _branch(self, ref: str, session: str) -> str:
        """The branch that a write goes to: in a session its own, where none is said."""
        session = session or self._session
        if ref != calls.MAIN or not session:
            return ref
        async with self._calling() as context:
            return context.repo.session(session).branch

    async def _look(self, path: str, ref: str, default: Any, as_: type[Any] | None) -> tuple[Any, str]:
        """The value at a path and the commit it was read at."""
        # The commit is read first: what happens between the two reads is a conflict, never lost.
        head = (await self.read("/", ref, depth=0)).commit
        try:
            value = (await self.read(path, head)).value
        except PathNotFound:
            return default, head
        return (value if as_ is None else calls.typed(value, as_, path)), head

    async def _put(
        self, path: str, value: Any, description: str, head: str, attempt: int, given: calls.Arguments
    ) -> Written | None:
        """Set the path if it is as it was read; None when it is to be tried again."""
        try:
            # Not by the object: two who make the same of the same value would both be right, and one change lost.
            return await self.set(path, value, description or f"Update {path}.", expected_head=head, **given)
        except HeadMoved as error:
            if attempt >= UPDATE_ATTEMPTS_MAX:
                raise Conflict(
                    f"{path} was changed by others each time, {attempt} times",
                    hint="Fewer should write to one place: give each its own key, or append.",
                    path=path,
                    limit="UPDATE_ATTEMPTS_MAX",
                    max=UPDATE_ATTEMPTS_MAX,
                ) from error
        await asyncio.sleep(random.uniform(0.0, min(0.002 * attempt, UPDATE_PAUSE_SECONDS_MAX)))
        return None

    # --- watching ---------------------------------------------------------------

    async def watch(
        self, pattern: str = "/", ref: str = "main", *, since: str = "", idle_seconds: float | None = None
    ) -> AsyncWatch:
        """Every change of what the pattern means, from the moment this returns, whichever process makes it.

        `async for change in await graph.watch("/jobs/*/status")`. The pattern is a path whose segments may be globs,
        with `**` for any number of segments; it means what it matches and all below. `since` starts behind a commit of
        the branch instead, so that a program goes on where it was. It ends with `close` of the watch or the graph, or
        when nothing changed for `idle_seconds`. Raises RefNotFound, CommitNotFound, InvalidPath.
        """
        matched = Pattern(pattern)
        async with self._calling() as context:
            position = await context.repo.read(lambda view: begin(view, ref, since))
        return AsyncWatch(self._followed, self._closed, ref, matched, position, idle_seconds)

    async def _followed(self, ref: str, pattern: Pattern, position: Position) -> tuple[list[Step], Position]:
        async with self._calling() as context:
            return await context.repo.read(lambda view: follow(view, ref, pattern, position))
