"""`StateGraph`: the same graph for programs without an event loop. Its methods are made from those of its twin."""

from __future__ import annotations

import os
import weakref
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Self, Unpack

from asg_mcp.errors import StorageError
from asg_mcp.library import calls
from asg_mcp.library.blocking_branches import BlockingBranches
from asg_mcp.library.blocking_history import BlockingHistory
from asg_mcp.library.blocking_speculating import BlockingSpeculating
from asg_mcp.library.blocking_state import BlockingState
from asg_mcp.library.blocking_working import BlockingWorking
from asg_mcp.library.calls import Explained
from asg_mcp.library.front import Front
from asg_mcp.library.graph import AsyncStateGraph, Update
from asg_mcp.library.loop import LoopThread
from asg_mcp.library.results import Seen, Written
from asg_mcp.library.watching import AsyncWatch


class StateGraph(BlockingState, BlockingBranches, BlockingHistory, BlockingSpeculating, BlockingWorking):
    """A state graph in a file, or in memory: `with StateGraph("state.db") as graph`, or `close` it at the end.

    Without a path, or with ":memory:", it is in memory and gone when it is closed. Any number of threads may call it at
    the same time; servers and other programs may have the same file open. The principal is the local user; `agent` is
    who acts where a call names nobody, else ASG_AGENT, else the program; `session` is the session that every call
    belongs to. All methods raise the errors of `asg_mcp.errors`; the constructor raises StoreIncompatible,
    StoreCorrupt and StoreBusy. What was never closed is closed when it is collected, or when the program ends.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, agent: str | None = None, session: str | None = None
    ) -> None:
        self._graph = AsyncStateGraph(path, agent=agent, session=session)
        self._loop = LoopThread("asg-mcp library", self._graph.close)
        # The loop and the graph know nothing of the front, so that it can be collected while they run.
        self._end = weakref.finalize(self, self._loop.stop, wait=False)
        self._end.atexit = False
        try:
            self._wait(self._graph.open())
        except BaseException:
            self._loop.stop(wait=True)
            raise

    # --- life -------------------------------------------------------------------

    def close(self) -> None:
        """Let the calls that are under way finish, end the watches, and close. Closing twice is no fault."""
        try:
            self._wait(self._graph.close())
        except StorageError:
            if not self._loop.stopped:  # else another thread closed it
                raise
        finally:
            self._loop.stop(wait=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- read-modify-write ------------------------------------------------------

    def update(
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

        `change` may be called several times, in the calling thread. Where nothing is there it is given `default`. With
        `as_`, it is given a value of that type. Raises Conflict when others were faster UPDATE_ATTEMPTS_MAX times,
        whatever `change` raises, and as `set`.
        """
        graph = self._graph
        ref = self._wait(graph._branch(ref, more.get("session", "")))
        attempt = 0
        while True:
            value, head = self._wait(graph._look(path, ref, default, as_))
            attempt += 1
            given: calls.Arguments = {"ref": ref, "category": category, "agent": agent, "reasoning": reasoning}
            given |= {"confidence": confidence, "tags": tags, **more}
            done = self._wait(graph._put(path, change(value), description, head, attempt, given))
            if done is not None:
                return done

    # --- watching ---------------------------------------------------------------

    def watch(
        self, pattern: str = "/", ref: str = "main", *, since: str = "", idle_seconds: float | None = None
    ) -> Watch:
        """Every change of what the pattern means, from the moment this returns, whichever process makes it.

        `for change in graph.watch("/jobs/*/status")`. The pattern is a path whose segments may be globs, with `**` for
        any number of segments; it means what it matches and all below. `since` starts behind a commit of the branch
        instead, so that a program goes on where it was. It ends with `close` of the watch or the graph, or when nothing
        changed for `idle_seconds`. Raises RefNotFound, CommitNotFound, InvalidPath.
        """
        return Watch(self, self._wait(self._graph.watch(pattern, ref, since=since, idle_seconds=idle_seconds)))


class Watch(Front):
    """The changes of a branch, as they come. Made by `StateGraph.watch`; for one reader, closed by any thread."""

    def __init__(self, front: Front, watch: AsyncWatch) -> None:
        self._front = front  # a graph is not collected while it is watched
        self._loop = front._loop
        self._watch = watch

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Seen:
        try:
            return self._wait(self._watch.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None
        except StorageError:
            if self._loop.stopped:
                raise StopIteration from None
            raise

    def close(self) -> None:
        """End it: what waits for a change in another thread ends too."""
        if not self._loop.stopped:
            self._wait(self._watch.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
