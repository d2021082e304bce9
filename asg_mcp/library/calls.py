"""One call of a tool's own handler from Python: the arguments checked, the reply as a typed result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, TypedDict, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from asg_mcp.core.limits import PAGE_ITEMS_MAX
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidArgument, InvalidValue
from asg_mcp.library.reading import Page, Result
from asg_mcp.schemas.base import Params, Wire
from asg_mcp.tools.registry import ToolContext

T = TypeVar("T")
P = TypeVar("P", bound=Params)
R = TypeVar("R", bound=Wire)
Item = TypeVar("Item", bound=Result)
Arguments = dict[str, Any]
MAIN = "main"

_PROVENANCE = ("authority", "alternatives", "expected", "intent_id", "parent_intent", "tool_calls", "notify")


class Retried(TypedDict, total=False):
    """What every writing method takes besides."""

    session: str
    """The session it belongs to; else that of the graph."""
    request_id: str
    """The same request again, with the same id, is answered and not repeated."""


class Explained(Retried, total=False):
    """What every method that makes a commit takes besides."""

    authority: str | Mapping[str, Any]
    """On whose authority: a name, or {principal, scope, delegation_chain}."""
    alternatives: list[Any]
    """What else was considered: texts, or {description, confidence, why_not, handle}."""
    expected: JsonValue
    """What should be observed afterwards."""
    intent_id: str
    """Your own name for the intent."""
    parent_intent: str
    """The intent it serves."""
    tool_calls: list[Mapping[str, Any]]
    """The calls that led to it."""
    notify: list[Any]
    """Who should hear of it."""
    expected_head: str
    """The commit that was read: refused with HeadMoved if what is written changed since."""


class Guarded(Explained, total=False):
    """What the methods that write given paths take besides."""

    expected_object: str
    """The object that was read at the path: refused with ObjectChanged if it is another now."""


class Calls(ABC):
    """What the groups of methods stand on."""

    @abstractmethod
    def _calling(self) -> AbstractAsyncContextManager[ToolContext]:
        """The context of a call, which the graph is not closed under."""

    async def _ask(self, handler: Callable[[ToolContext, P], Awaitable[R]], model: type[P], arguments: Arguments) -> R:
        params = checked(model, arguments)
        async with self._calling() as context:
            return await handler(context, params)

    async def _page(
        self,
        handler: Callable[[ToolContext, P], Awaitable[R]],
        model: type[P],
        arguments: Arguments,
        limit: int,
        items: Callable[[R], Iterable[Item]],
    ) -> Page[Item]:
        """Items of as many replies as it takes: a reply is bounded for models, a list for programs is not."""
        found: Page[Item] = Page()
        async with self._calling() as context:
            while True:
                asked = {**arguments, "limit": max(1, min(limit - len(found), PAGE_ITEMS_MAX))}
                reply = await handler(context, checked(model, asked))
                found.extend(items(reply))
                fields = reply.model_dump(include={"next_cursor", "omitted"})
                found.next_cursor, found.omitted = fields["next_cursor"], fields.get("omitted", 0)
                if not found.next_cursor or len(found) >= limit:
                    return found
                arguments = {**arguments, "cursor": found.next_cursor}


def checked(model: type[P], arguments: Arguments) -> P:
    """The arguments of a tool. Raises InvalidArgument, which names each one that does not fit."""
    try:
        return model.model_validate(arguments)
    except ValidationError as error:
        told = [
            f"{'.'.join(map(str, problem['loc'])) or 'arguments'}: {problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False, include_context=False)
        ]
        raise InvalidArgument("; ".join(told), hint=f"It takes {', '.join(model.model_fields)}.") from None


def on(ref: str) -> Arguments:
    """The branch of a write: main is left out, so that in a session its own branch is written."""
    return {} if ref == MAIN else {"ref": ref}


def reasons(
    description: str,
    category: str,
    agent: str | None,
    reasoning: str | None,
    confidence: float | None,
    tags: Iterable[str] | None,
    more: Mapping[str, Any],
) -> Arguments:
    """The arguments that all tools share which make commits."""
    rest = dict(more)
    provenance = {name: rest.pop(name) for name in _PROVENANCE if name in rest}
    if agent:
        provenance["agent"] = agent
    return {
        "intent_category": category,
        "intent_description": description,
        "reasoning": reasoning,
        "confidence": confidence,
        "tags": None if tags is None else list(tags),
        **({"provenance": provenance} if provenance else {}),
        **rest,
    }


def plain(value: Any) -> JsonValue:
    """The JSON that stands for a value: models as their fields, everything else as it is.

    Raises InvalidValue for a model that JSON cannot hold.
    """
    if isinstance(value, BaseModel):
        try:
            dumped: JsonValue = value.model_dump(mode="json", by_alias=True)
        except ValueError as error:
            raise InvalidValue(f"A {type(value).__name__} cannot be stored: {error}") from error
        return dumped
    if type(value) is list:
        return [plain(item) for item in value]
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    stored: JsonValue = value
    return stored


def typed(value: JsonValue, kind: type[T], path: str) -> T:
    """A stored value as a value of a type. Raises InvalidValue when it is none."""
    try:
        return TypeAdapter(kind).validate_json(to_json(value))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = "".join(f"/{part}" for part in first["loc"])
        raise InvalidValue(
            f"{path} holds no {getattr(kind, '__name__', kind)}: {place or 'the value'}: {first['msg']}",
            hint="Read it without as_ to see what is there.",
            path=path,
        ) from None
