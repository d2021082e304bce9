"""The state: set, get, delete, apply, search."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, Unpack, overload

from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.library import calls
from asg_mcp.library.calls import Calls, Explained, Guarded
from asg_mcp.library.entries import explained
from asg_mcp.library.reading import Page
from asg_mcp.library.results import Found, Match, Written
from asg_mcp.schemas.state import ApplyParams, DeleteParams, SearchParams, SetParams
from asg_mcp.tools import pack, state

T = TypeVar("T")
_NO_LIMIT_BYTES = 2**62
"""A value is read whole: it fitted in memory when it was written."""


class StateMethods(Calls):
    """Reading and writing the state."""

    async def set(
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
        why = calls.reasons(description, category, agent, reasoning, confidence, tags, more)
        given = {"path": path, "value": calls.plain(value), **calls.on(ref), **why}
        return Written.of((await self._ask(state.set_value, SetParams, given)).dump())

    async def set_json(
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
        why: calls.Arguments = {"category": category, "agent": agent, "reasoning": reasoning}
        why |= {"confidence": confidence, "tags": tags}
        return await self.set(path, value, description, ref=ref, **why, **more)

    @overload
    async def get(self, path: str, ref: str = "main", *, as_: None = None) -> Any: ...

    @overload
    async def get(self, path: str, ref: str = "main", *, as_: type[T]) -> T: ...

    async def get(self, path: str, ref: str = "main", *, as_: type[Any] | None = None) -> Any:
        """The value at a path, whole; with `as_`, as a value of that type, such as a pydantic model.

        `ref` is any branch, tag, commit, `main~3`, `main@TIME` or `spec:HANDLE`. Raises PathNotFound, RefNotFound,
        and InvalidValue where the value is none of the type.
        """
        found = (await self.read(path, ref)).value
        return found if as_ is None else calls.typed(found, as_, path)

    async def read(self, path: str, ref: str = "main", *, depth: int | None = None) -> Found:
        """The value at a path with its type, its object, the commit it was read at, and who last changed it.

        With `depth`, containers so many levels down are left empty. Raises PathNotFound and RefNotFound.
        """
        tokens = parse_path(path)
        async with self._calling() as context:
            found = await context.repo.get(ref, tokens, depth=depth, max_bytes=_NO_LIMIT_BYTES, cursor="")
        fields = {"path": format_path(found.path), "ref": found.ref, "value": found.value, "type": found.type}
        ids = {"commit": found.commit.short, "object": found.object.short}
        last = {**pack.commit(found.last_change), "category": found.last_change.category.value}
        return Found.of({**fields, **ids, "last_change": explained(last)})

    async def delete(
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
        why = calls.reasons(description, category, agent, reasoning, confidence, tags, more)
        reply = await self._ask(state.delete, DeleteParams, {"path": path, **calls.on(ref), **why})
        return Written.of(reply.dump())

    async def apply(
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
        why = calls.reasons(description, category, agent, reasoning, confidence, tags, more)
        given = {"operations": calls.plain([dict(item) for item in operations]), **calls.on(ref), **why}
        return Written.of((await self._ask(state.apply, ApplyParams, given)).dump())

    async def search(
        self,
        query: str,
        ref: str = "main",
        *,
        mode: str = "text",
        prefix: str = "/",
        limit: int = 20,
        cursor: str = "",
    ) -> Page[Match]:
        """Keys and values below `prefix` that hold a text, or that a JSONPath (mode jsonpath) selects.

        Raises InvalidArgument for a query that cannot be read, RefNotFound.
        """
        given = {"query": query, "ref": ref, "mode": mode, "prefix": prefix, "cursor": cursor}
        return await self._page(
            state.search, SearchParams, given, limit, lambda reply: [Match.of(one.dump()) for one in reply.matches]
        )
