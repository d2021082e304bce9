"""The changes of a branch as they come, in this process or another."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from asg_mcp.core.limits import SUBSCRIPTION_POLL_SECONDS
from asg_mcp.core.patterns import Pattern
from asg_mcp.library.results import Seen
from asg_mcp.repo.following import Position, Step
from asg_mcp.tools import pack


class AsyncWatch:
    """The changes of a branch, as they come. Made by `AsyncStateGraph.watch`; for one reader."""

    def __init__(
        self,
        look: Callable[[str, Pattern, Position], Awaitable[tuple[list[Step], Position]]],
        graph_closed: asyncio.Event,
        ref: str,
        pattern: Pattern,
        position: Position,
        idle_seconds: float | None,
    ) -> None:
        self._look = look
        self._graph_closed = graph_closed
        self._closed = asyncio.Event()
        self._ref = ref
        self._pattern = pattern
        self._position = position
        self._idle_seconds = idle_seconds
        self._seen: deque[Seen] = deque()
        """What was found and not handed out yet: that of one look at most."""

    def __aiter__(self) -> Self:
        return self

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def __anext__(self) -> Seen:
        quiet_since = asyncio.get_running_loop().time()
        while not self._closed.is_set() and not self._graph_closed.is_set():
            if self._seen:
                return self._seen.popleft()
            steps, position = await self._look(self._ref, self._pattern, self._position)
            self._seen.extend(self._shown(steps))
            is_behind = position.event > self._position.event
            self._position = position
            if self._seen or is_behind:
                continue
            left = SUBSCRIPTION_POLL_SECONDS
            if self._idle_seconds is not None:
                left = min(left, quiet_since + self._idle_seconds - asyncio.get_running_loop().time())
            if left <= 0:
                break
            await self._pause(left)
        raise StopAsyncIteration

    async def _pause(self, seconds: float) -> None:
        ends = [asyncio.create_task(event.wait()) for event in (self._closed, self._graph_closed)]
        await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()

    def _shown(self, steps: list[Step]) -> list[Seen]:
        shown = []
        for step in steps:
            info = step.commit
            why = {"ref": self._ref, "commit": info.id.short, "agent": info.agent, "category": info.category.value}
            why |= {"description": info.description, "timestamp": info.at}
            shown += [Seen.of({**pack.change(change), **why}) for change in step.changes]
        return shown

    async def close(self) -> None:
        """End it: what waits for a change ends too."""
        self._closed.set()
