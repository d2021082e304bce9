"""Made from `library/speculating.py` by tests/kit/library_sources.py: do not edit it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library.calls import Explained, Retried
from asg_mcp.library.front import Front
from asg_mcp.library.results import Comparison, Discarded, Promoted, Speculation


class BlockingSpeculating(Front):
    """Changes that nobody else sees until they are committed. A speculation is given itself, or by its handle."""

    def speculate(self, ref: str = "main", label: str | None = None, **more: Unpack[Retried]) -> Speculation:
        """A place to try things, begun at any ref; it survives a restart, for the principal that opened it."""
        return self._wait(self._graph.speculate(ref, label, **more))

    def spec_modify(
        self, spec: str | Speculation, operations: Iterable[Mapping[str, Any]], **more: Unpack[Retried]
    ) -> Speculation:
        """Operations inside it, all or none, as in `apply`. Raises HandleNotFound, and as `apply`."""
        return self._wait(self._graph.spec_modify(spec, operations, **more))

    def spec_set(self, spec: str | Speculation, path: str, value: Any, **more: Unpack[Retried]) -> Speculation:
        """Set one value inside it. Raises HandleNotFound, and as `set`."""
        return self._wait(self._graph.spec_set(spec, path, value, **more))

    def spec_get(self, spec: str | Speculation, path: str) -> Any:
        """The value at a path inside it. Raises HandleNotFound, PathNotFound."""
        return self._wait(self._graph.spec_get(spec, path))

    def compare(self, specs: Iterable[str | Speculation]) -> Comparison:
        """Each against its base, and against each other; they are the alternatives of the one committed then.

        Raises HandleNotFound.
        """
        return self._wait(self._graph.compare(specs))

    def commit_speculation(
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
        return self._wait(
            self._graph.commit_speculation(
                spec,
                description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                target=target,
                resolutions=resolutions,
                **more,
            )
        )

    def commit_spec(
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
        return self._wait(
            self._graph.commit_spec(
                spec,
                description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                target=target,
                resolutions=resolutions,
                **more,
            )
        )

    def discard_speculation(self, spec: str | Speculation, lesson: str = "", **more: Unpack[Retried]) -> Discarded:
        """Drop it; its lesson stays findable. Raises HandleNotFound."""
        return self._wait(self._graph.discard_speculation(spec, lesson, **more))

    def discard(self, spec: str | Speculation, lesson: str = "", **more: Unpack[Retried]) -> Discarded:
        """The same as `discard_speculation`, under the tool's name."""
        return self._wait(self._graph.discard(spec, lesson, **more))
