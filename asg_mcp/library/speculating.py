"""Trying things apart: speculate, spec_modify, compare, commit_spec, discard, under their shorter names too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library import calls
from asg_mcp.library.calls import Calls, Explained, Retried
from asg_mcp.library.entries import handle_of, ref_of
from asg_mcp.library.results import Comparison, Discarded, Promoted, Speculation
from asg_mcp.library.state import StateMethods
from asg_mcp.schemas.speculate import CommitSpecParams, CompareParams, DiscardParams, SpecModifyParams, SpeculateParams
from asg_mcp.tools import speculate


class SpeculationMethods(StateMethods, Calls):
    """Changes that nobody else sees until they are committed. A speculation is given itself, or by its handle."""

    async def speculate(self, ref: str = "main", label: str | None = None, **more: Unpack[Retried]) -> Speculation:
        """A place to try things, begun at any ref; it survives a restart, for the principal that opened it."""
        given = {"from": ref, "label": label, **more}
        return Speculation.of((await self._ask(_speculate, SpeculateParams, given)).dump())

    async def spec_modify(
        self, spec: str | Speculation, operations: Iterable[Mapping[str, Any]], **more: Unpack[Retried]
    ) -> Speculation:
        """Operations inside it, all or none, as in `apply`. Raises HandleNotFound, and as `apply`."""
        tried = calls.plain([dict(item) for item in operations])
        given = {"handle": handle_of(spec), "operations": tried, **more}
        return Speculation.of((await self._ask(speculate.spec_modify, SpecModifyParams, given)).dump())

    async def spec_set(self, spec: str | Speculation, path: str, value: Any, **more: Unpack[Retried]) -> Speculation:
        """Set one value inside it. Raises HandleNotFound, and as `set`."""
        return await self.spec_modify(spec, [{"op": "set", "path": path, "value": value}], **more)

    async def spec_get(self, spec: str | Speculation, path: str) -> Any:
        """The value at a path inside it. Raises HandleNotFound, PathNotFound."""
        return await self.get(path, ref_of(spec))

    async def compare(self, specs: Iterable[str | Speculation]) -> Comparison:
        """Each against its base, and against each other; they are the alternatives of the one committed then.

        Raises HandleNotFound.
        """
        given = {"handles": [handle_of(spec) for spec in specs]}
        return Comparison.of((await self._ask(speculate.compare, CompareParams, given)).dump())

    async def commit_speculation(
        self,
        spec: str | Speculation,
        description: str,
        *,
        category: str = "Checkpoint",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        target: str = "",
        resolutions: Iterable[Mapping[str, Any]] = (),
        **more: Unpack[Explained],
    ) -> Promoted:
        """Make one commit of it on its branch, on top of what others did there meanwhile.

        Conflicts are answered as in `merge`, and leave it open. Raises HandleNotFound, HeadMoved, Forbidden.
        """
        why = calls.reasons(description, category, agent, reasoning, confidence, tags, more)
        settled = calls.plain([dict(item) for item in resolutions])
        given = {"handle": handle_of(spec), "target": target, "resolutions": settled, **why}
        return Promoted.of((await self._ask(speculate.commit_spec, CommitSpecParams, given)).dump())

    async def commit_spec(
        self,
        spec: str | Speculation,
        description: str,
        *,
        category: str = "Checkpoint",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        target: str = "",
        resolutions: Iterable[Mapping[str, Any]] = (),
        **more: Unpack[Explained],
    ) -> Promoted:
        """The same as `commit_speculation`, under the tool's name."""
        why: calls.Arguments = {"category": category, "agent": agent, "reasoning": reasoning}
        why |= {"confidence": confidence, "tags": tags}
        rest: calls.Arguments = {"target": target, "resolutions": resolutions}
        return await self.commit_speculation(spec, description, **why, **rest, **more)

    async def discard_speculation(
        self, spec: str | Speculation, lesson: str = "", **more: Unpack[Retried]
    ) -> Discarded:
        """Drop it; its lesson stays findable. Raises HandleNotFound."""
        given = {"handle": handle_of(spec), "lesson": lesson, **more}
        return Discarded.of((await self._ask(speculate.discard, DiscardParams, given)).dump())

    async def discard(self, spec: str | Speculation, lesson: str = "", **more: Unpack[Retried]) -> Discarded:
        """The same as `discard_speculation`, under the tool's name."""
        return await self.discard_speculation(spec, lesson, **more)


# A method is called like the module.
_speculate = speculate.speculate
