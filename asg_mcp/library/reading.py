"""What results are: small typed objects that read as dictionaries too.

A field is an attribute and a key: `entry.agent` is `entry["agent"]`. What was not given has its default; only the
values of a change or a conflict are missing where there is nothing, because null is a value (`"old" in change`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from inspect import get_annotations
from typing import Any, ClassVar, Generic, Self, TypeVar, get_args, get_type_hints

T = TypeVar("T")
_REQUIRED: Any = object()
MISSING: Any = object()
"""The default of a field that is missing where there is nothing; its attribute is None then."""


class _Key:
    """A field of a result, read as an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __get__(self, owner: Result | None, kind: type[Result]) -> Any:
        if owner is None:
            return self
        return owner.get(self._name)


class Result(dict[str, Any]):
    """The base of all results: a dictionary whose fields are attributes too."""

    _defaults: ClassVar[Mapping[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        names = [name for name in get_annotations(cls) if not name.startswith("_")]
        cls._defaults = {**cls._defaults, **{name: cls.__dict__.get(name, _REQUIRED) for name in names}}
        for name in names:
            setattr(cls, name, _Key(name))

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """The result with these fields, parts of it as results of their own types."""
        typed = _parts(cls)
        made = {name: _made(typed[name], value) if name in typed else value for name, value in fields.items()}
        for name, default in cls._defaults.items():
            if name not in made and default not in (_REQUIRED, MISSING):
                made[name] = default.copy() if isinstance(default, list | dict) else default
        return cls(made)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({super().__repr__()})"


def _made(part: type[Result], value: Any) -> Any:
    if isinstance(value, list):
        return [part.of(item) for item in value]
    return part.of(value) if isinstance(value, dict) else value


@lru_cache
def _parts(kind: type[Result]) -> dict[str, type[Result]]:
    """The fields of a type that hold results, or lists of them."""
    found = {}
    for name, hint in get_type_hints(kind).items():
        candidates = [hint, *get_args(hint)]
        parts = [one for one in candidates if isinstance(one, type) and issubclass(one, Result)]
        if parts:
            found[name] = parts[0]
    return found


class Row(Result):
    """A result of any kind: its fields are those that the tool's page names for what was asked."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(f"This {type(self).__name__} has no {name}; it has {', '.join(self)}")


class Page(list[T], Generic[T]):
    """A list that says what is behind it."""

    def __init__(self, items: Iterable[T] = (), next_cursor: str = "", omitted: int = 0) -> None:
        super().__init__(items)
        self.next_cursor = next_cursor
        """Give it as `cursor` for what follows; empty at the end."""
        self.omitted = omitted
        """How much more there is; 100 stands for 100 or more."""
