"""The speculations of an open store: one call of a tool is one call of a method here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import anyio.to_thread

from asg_mcp.core.intents import Author, Intent
from asg_mcp.core.operations import Operation
from asg_mcp.repo.comparing import compare, record_compared
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.promoting import commit_spec
from asg_mcp.repo.requests import PromoteRequest
from asg_mcp.repo.screening import Screen, names_of
from asg_mcp.repo.specresults import CompareResult, DiscardResult, PromoteResult, SpeculationResult
from asg_mcp.repo.speculation import discard, spec_modify, speculate
from asg_mcp.repo.transaction import checked_operations
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Reader, Store, Writer


class Speculations:
    """What principals try apart from all branches. Whoever the author is sees its own, and no other ones."""

    def __init__(self, store: Store, graph: Graph, screen: Screen) -> None:
        self._store = store
        self._screen = screen
        self._graph = graph

    async def open(self, source: str, label: str, author: Author, request_id: str = "") -> SpeculationResult:
        """Open one at a ref; it costs the same however large the state is. See `speculate`."""
        label = self._screen.texts({"label": label}, names_of(author))["label"]
        return await self._store.write(
            lambda writer: speculate(writer, self._view(writer, author), source, label, author, request_id)
        )

    async def modify(
        self, handle: str, operations: Sequence[Operation], author: Author, request_id: str = ""
    ) -> SpeculationResult:
        """Do operations in one, all or none. See `spec_modify`."""
        given, told = await self._screen.operations_apart(checked_operations(operations))
        self._screen.texts({}, names_of(author))
        judge = self._screen.moved
        done = await self._store.write(
            lambda writer: spec_modify(writer, self._view(writer, author), handle, given, author, request_id, judge)
        )
        return replace(done, warnings=(*done.warnings, *told)) if told else done

    async def compare(self, handles: Sequence[str], author: Author, request_id: str = "") -> CompareResult:
        """Compare some with their bases and each other; each remembers what it was compared with. See `compare`."""
        self._screen.texts({}, names_of(author))
        keys = await self._store.write(lambda writer: record_compared(writer, handles, author, request_id))

        def read() -> CompareResult:
            with self._store.reading() as reader:
                return compare(self._view(reader, author), keys)

        return await anyio.to_thread.run_sync(read)

    async def commit(self, request: PromoteRequest, intent: Intent, author: Author, guard: Guard) -> PromoteResult:
        """Commit what one tried, on top of what others did; conflicts are data and keep it. See `commit_spec`."""
        kept = self._screen.intent(intent, author)
        told = self._screen.told(intent, kept)
        request = replace(request, resolutions=self._screen.resolutions(request.resolutions))
        done = await self._store.write(
            lambda writer: commit_spec(writer, self._view(writer, author), request, kept, author, guard)
        )
        return replace(done, warnings=(*done.warnings, *told)) if told else done

    async def discard(self, handle: str, lesson: str, author: Author, request_id: str = "") -> DiscardResult:
        """Drop one and keep its lesson. See `discard`."""
        lesson = self._screen.texts({"lesson": lesson}, names_of(author))["lesson"]
        return await self._store.write(
            lambda writer: discard(writer, self._view(writer, author), handle, lesson, author, request_id)
        )

    def _view(self, reader: Reader | Writer, author: Author) -> View:
        return View(reader, self._store.hasher, self._graph, author.principal)
