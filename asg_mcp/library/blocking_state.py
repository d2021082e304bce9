"""Made from `library/state.py` by tests/kit/library_sources.py: do not edit it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, Unpack, overload

from asg_mcp.library.calls import Explained, Guarded
from asg_mcp.library.front import Front
from asg_mcp.library.reading import Page
from asg_mcp.library.results import Found, Match, Written

T = TypeVar("T")


class BlockingState(Front):
    """Reading and writing the state."""

    def set(
        self,
        path: str,
        value: Any,
        description: str,
        *,
        category: str = "Checkpoint",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        ref: str = "main",
        **more: Unpack[Guarded],
    ) -> Written:
        """Write one value as one commit, with its reason; durable when it returns.

        `value` is any JSON, or a pydantic model, which is stored as its fields. Raises HeadMoved, ObjectChanged,
        InvalidPath, InvalidValue, WrongType, SchemaViolation, LimitExceeded, Forbidden, RefNotFound.
        """
        return self._wait(
            self._graph.set(
                path,
                value,
                description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                ref=ref,
                **more,
            )
        )

    def set_json(
        self,
        path: str,
        value: Any,
        description: str,
        *,
        category: str = "Checkpoint",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        ref: str = "main",
        **more: Unpack[Guarded],
    ) -> Written:
        """Write a map or list as one commit: the same as `set`."""
        return self._wait(
            self._graph.set_json(
                path,
                value,
                description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                ref=ref,
                **more,
            )
        )

    @overload
    def get(self, path: str, ref: str = "main", *, as_: None = None) -> Any: ...

    @overload
    def get(self, path: str, ref: str = "main", *, as_: type[T]) -> T: ...

    def get(self, path: str, ref: str = "main", *, as_: type[Any] | None = None) -> Any:
        """The value at a path, whole; with `as_`, as a value of that type, such as a pydantic model.

        `ref` is any branch, tag, commit, `main~3`, `main@TIME` or `spec:HANDLE`. Raises PathNotFound, RefNotFound,
        and InvalidValue where the value is none of the type.
        """
        return self._wait(self._graph.get(path, ref, as_=as_))

    def read(self, path: str, ref: str = "main", *, depth: int | None = None) -> Found:
        """The value at a path with its type, its object, the commit it was read at, and who last changed it.

        With `depth`, containers so many levels down are left empty. Raises PathNotFound and RefNotFound.
        """
        return self._wait(self._graph.read(path, ref, depth=depth))

    def delete(
        self,
        path: str,
        description: str,
        *,
        category: str = "Checkpoint",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        ref: str = "main",
        **more: Unpack[Guarded],
    ) -> Written:
        """Remove a path and all below it, as one commit; history keeps it. Raises PathNotFound, and as `set`."""
        return self._wait(
            self._graph.delete(
                path,
                description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                ref=ref,
                **more,
            )
        )

    def apply(
        self,
        operations: Iterable[Mapping[str, Any]],
        description: str,
        *,
        category: str = "Checkpoint",
        agent: str | None = None,
        reasoning: str | None = None,
        confidence: float | None = None,
        tags: Iterable[str] | None = None,
        ref: str = "main",
        **more: Unpack[Explained],
    ) -> Written:
        """Run many operations as one commit, all or none; without any, make a checkpoint.

        An operation is {op, path, value, from}: set, delete, append, insert, move, test. Raises TestFailed, and as
        `set`.
        """
        return self._wait(
            self._graph.apply(
                operations,
                description,
                category=category,
                agent=agent,
                reasoning=reasoning,
                confidence=confidence,
                tags=tags,
                ref=ref,
                **more,
            )
        )

    def search(
        self, query: str, ref: str = "main", *, mode: str = "text", prefix: str = "/", limit: int = 20, cursor: str = ""
    ) -> Page[Match]:
        """Keys and values below `prefix` that hold a text, or that a JSONPath (mode jsonpath) selects.

        Raises InvalidArgument for a query that cannot be read, RefNotFound.
        """
        return self._wait(self._graph.search(query, ref, mode=mode, prefix=prefix, limit=limit, cursor=cursor))
