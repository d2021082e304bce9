"""Sensitive prefixes: what is below one has value ids under a class key of its own, and is stored sealed.

The key is kept outside of the store. While it is there, all is as with any other
value; when it is destroyed, the ids stand as they were, and nobody can read the
values or guess them, in the store and in every copy of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from asg_mcp.core.commitments import ValueIdMaker
from asg_mcp.core.paths import Tokens, map_segment
from asg_mcp.errors import Withheld


@dataclass(frozen=True, slots=True)
class ValueClass:
    """One sensitive prefix."""

    name: str
    path: Tokens
    destroyed: bool = False
    key: str = field(init=False)
    """The flat key of the path: the keys of all that is below begin with it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", flat_key(self.path))


class Vault(Protocol):
    """The keys of the classes of one store."""

    def value_ids(self, name: str) -> ValueIdMaker:
        """What makes the ids of the values of a class. Raises Withheld when its key is not there."""
        ...

    def seal(self, name: str, plain: bytes) -> bytes:
        """What is stored of a value of a class: the same for the same value. Raises Withheld likewise."""
        ...

    def open(self, name: str, sealed: bytes) -> bytes:
        """The inverse of `seal`.

        Raises Withheld when the key is not there, and StoreCorrupt when the bytes are not what was sealed.
        """
        ...


class ValueClasses:
    """The classes of one store, and a `Vault` of those that are not destroyed. Falsy while there are none: in most."""

    def __init__(self) -> None:
        self._held: tuple[tuple[ValueClass, ...], Vault | None] = ((), None)

    def load(self, classes: Iterable[ValueClass], vault: Vault) -> None:
        """Go on with these classes."""
        self._held = tuple(classes), vault  # replaced at once: other threads look at it meanwhile

    def __bool__(self) -> bool:
        return bool(self._held[0])

    @property
    def all(self) -> tuple[ValueClass, ...]:
        """Every class that was ever made, the destroyed ones included."""
        return self._held[0]

    def of_key(self, key: str) -> ValueClass | None:
        """The class of what is at a flat key; None for the store's own.

        A destroyed class stays the class of its prefix until the prefix gets a new one: nothing new is put there in
        the meantime that would be less protected than what was there before.
        """
        found = None
        for group in self._held[0]:
            if key.startswith(group.key) and (found is None or not group.destroyed):
                found = group
        return found

    def value_ids(self, name: str) -> ValueIdMaker:
        """See Vault. A class that was destroyed has no key, whether its file is there still or not."""
        return self._vault_of(name).value_ids(name)

    def seal(self, name: str, plain: bytes) -> bytes:
        """See Vault, and `value_ids`."""
        return self._vault_of(name).seal(name, plain)

    def open(self, name: str, sealed: bytes) -> bytes:
        """See Vault, and `value_ids`."""
        return self._vault_of(name).open(name, sealed)

    def _vault_of(self, name: str) -> Vault:
        classes, vault = self._held
        if vault is None or any(group.name == name and group.destroyed for group in classes):
            raise keyless(name)
        return vault

    def touched_by(self, paths: Iterable[Sequence[str]]) -> bool:
        """Whether one of the paths is inside of a sensitive prefix, or above one."""
        keys = [flat_key(path) for path in paths]
        return any(key.startswith(group.key) or group.key.startswith(key) for group in self.all for key in keys)

    def crossed_by(self, source: Sequence[str], path: Sequence[str]) -> ValueClass | None:
        """The class whose border a move would cross; None where it crosses none."""
        a, b = flat_key(source), flat_key(path)
        for group in self.all:
            inside = [key.startswith(group.key) for key in (a, b)]
            if not all(inside) and (any(inside) or group.key.startswith((a, b))):
                return group
        return None


def keyless(name: str) -> Withheld:
    """The error for a value below a sensitive prefix whose key is not there."""
    return Withheld(
        f"The key of the class {name!r} is not here, and its values cannot be read or written without it",
        hint="It was destroyed, or its file was not copied with the store. `asg-mcp class list` tells.",
        group=name,
    )


def flat_key(path: Sequence[str]) -> str:
    """The flat key of a path whose tokens are all keys of maps."""
    return "".join(map(map_segment, path))
