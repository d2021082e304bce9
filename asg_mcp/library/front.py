"""What the synchronous groups of methods stand on: an `AsyncStateGraph` on a loop of its own."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from asg_mcp.library.graph import AsyncStateGraph
from asg_mcp.library.loop import LoopThread

T = TypeVar("T")


class Front:
    """The graph behind the front, and the loop it lives on."""

    _graph: AsyncStateGraph
    _loop: LoopThread

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        return self._loop.run(call)
