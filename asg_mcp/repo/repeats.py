"""How a repeated request is known, and what is kept of it.

A fingerprint tells whether a request is the one that its request_id was used for before. Three forms are kept:

- 16 bytes: the kind (4 bytes, with the ref that the request goes to), and a digest of all that was asked for.
- the kind alone, once something was erased that could be guessed from the rest (`forgotten`).
- of a request that brings values below sensitive prefixes, whose digest would outlive their keys: the kind, a digest
  of all but these values, a digest of all under a key made from those of the prefixes, and a byte for each of them.

One rule holds for all: what is left to compare must be equal, else RequestReused; where it is, the remembered answer is
given, as `replayed`. While the keys are there nothing is missing from the comparison. Once one is gone, a repeat that
differs in the sealed values alone cannot be told from the first: it is answered and not done again, and nothing can be
written below that prefix any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from blake3 import blake3

from asg_mcp.core.classes import ValueClass, ValueClasses
from asg_mcp.core.intents import Author, check_name
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.operations import Absent, Operation
from asg_mcp.core.values import encode
from asg_mcp.errors import RequestReused, Withheld
from asg_mcp.repo.requests import Resolution
from asg_mcp.repo.results import SchemaWarning
from asg_mcp.storage.base import Reader, StoredReply, Writer

KIND_BYTES = 4
"""Of a fingerprint, at its beginning: the kind of request, so that the answer has the form that is expected."""
_DIGEST_BYTES = 12
_FINGERPRINT_BYTES = KIND_BYTES + _DIGEST_BYTES
_KEY_CONTEXT = "asg-mcp 2026-11-21 class requests"
NOT_KEPT = "(not kept: below a sensitive prefix)"
"""In a repeated answer, in place of a warning that may quote a sealed value."""


def fingerprint(kind: str, *asked: object) -> bytes:
    """A digest of all that a request asks for, so that a repeated one is told from another with its id.

    The order of a map's keys and the client's version have no part in it: a retry may differ in both.
    """
    return _kind(kind, asked) + _digest([kind, _plain(asked)])


def forgotten(fingerprint: bytes) -> bytes:
    """What is kept of a fingerprint when a value is erased, which could be guessed from all of it: the kind alone."""
    return fingerprint[:KIND_BYTES]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that may bring values below sensitive prefixes."""

    classes: ValueClasses
    kind: str
    asked: tuple[object, ...]

    def kept(self) -> bytes:
        """The fingerprint to be stored. Raises Withheld where the key of a prefix is not there."""
        held = list(enumerate(self.classes.all))
        numbers = [number for number, group in held if not group.destroyed and any(_brings(self.asked, [group]))]
        return self._sealed(numbers) if numbers else fingerprint(self.kind, *self.asked)

    def is_same(self, known: bytes) -> bool:
        """Whether all that can be compared with a fingerprint that was kept is equal."""
        if len(known) <= _FINGERPRINT_BYTES:
            return known == fingerprint(self.kind, *self.asked)[: max(len(known), KIND_BYTES)]
        numbers = list(known[_FINGERPRINT_BYTES + _DIGEST_BYTES :])
        if max(numbers) >= len(self.classes.all):
            return False
        if known[:_FINGERPRINT_BYTES] != self._open(numbers):
            return False
        try:
            return known == self._sealed(numbers)
        except Withheld:
            return True

    def _sealed(self, numbers: list[int]) -> bytes:
        groups = [self.classes.all[number] for number in numbers]
        keys = b"".join(self.classes.value_ids(group.name).class_key for group in groups)
        key = blake3(keys, derive_key_context=_KEY_CONTEXT).digest()
        sealed = blake3(encode([self.kind, _plain(self.asked)]), key=key).digest(_DIGEST_BYTES)
        return self._open(numbers) + sealed + bytes(numbers)

    def _open(self, numbers: list[int]) -> bytes:
        """The part that no key is needed for."""
        hidden = [self.classes.all[number] for number in numbers]
        return _kind(self.kind, self.asked) + _digest([self.kind, _plain(self.asked, hidden)])


def asked_for(hasher: Hasher, request_id: str, kind: str, *asked: object) -> bytes | Asked:
    """The fingerprint of a request that may bring values; nothing for one without an id, which is not remembered."""
    if not request_id:
        return b""
    return Asked(hasher.classes, kind, asked) if hasher.classes else fingerprint(kind, *asked)


def _digest(asked: object) -> bytes:
    return blake3(encode(asked)).digest(_DIGEST_BYTES)


def _kind(kind: str, asked: Sequence[Any]) -> bytes:
    """The kind of request and the ref that it goes to: what the first part of it says, or is."""
    first = asked[0] if asked else ""
    names = [first] if isinstance(first, str) else [getattr(first, name, "") for name in ("handle", "ref", "target")]
    return blake3(encode([kind, *map(str, names)])).digest(KIND_BYTES)


def _plain(asked: Any, hidden: Sequence[ValueClass] = ()) -> Any:
    """Requests, their parts and JSON values, as one JSON value; without the values for the classes `hidden`."""
    if isinstance(asked, Author):
        return [asked.agent, asked.session]
    if isinstance(asked, Absent):
        return "absent"
    if is_dataclass(asked):
        hides = bool(hidden) and isinstance(asked, Operation | Resolution) and any(_brings(asked, hidden))
        return [
            None if hides and part.name == "value" else _plain(getattr(asked, part.name), hidden)
            for part in fields(asked)
        ]
    if isinstance(asked, Mapping):
        return {key: _plain(item) for key, item in asked.items()}
    if isinstance(asked, list | tuple):
        return [_plain(item, hidden) for item in asked]
    return str(asked) if isinstance(asked, str) else asked


def _brings(asked: Any, groups: Sequence[ValueClass]) -> Iterator[bool]:
    """For each operation and resolution in a request: whether it has a value for one of the classes."""
    if isinstance(asked, Operation | Resolution):
        if isinstance(asked, Operation) or asked.take == "value":
            yield any(_reaches(asked.path, asked.value, group) for group in groups)
    elif is_dataclass(asked):
        for part in fields(asked):
            yield from _brings(getattr(asked, part.name), groups)
    elif isinstance(asked, list | tuple):
        for item in asked:
            yield from _brings(item, groups)


def _reaches(path: Sequence[str], value: Any, group: ValueClass) -> bool:
    """Whether a value at a path has a part in a class."""
    if isinstance(value, Absent):
        return False
    if tuple(path[: len(group.path)]) == group.path:
        return True
    if group.path[: len(path)] != tuple(path):
        return False
    for token in group.path[len(path) :]:
        if not isinstance(value, Mapping) or token not in value:
            return False
        value = value[token]
    return True


# --- what is remembered -----------------------------------------------------------


def recall(reader: Reader, principal: str, request_id: str, asked: bytes | Asked) -> list[Any] | None:
    """The remembered answer to a request, or None when it is new.

    Raises RequestReused when the id was used for another request.
    """
    if not request_id:
        return None
    check_name(request_id, "request_id")
    known = reader.reply(principal, request_id)
    if known is None:
        return None
    kept = known.fingerprint
    same = asked.is_same(kept) if isinstance(asked, Asked) else asked[: max(len(kept), KIND_BYTES)] == kept
    if not same:
        raise RequestReused(f"request_id {request_id!r} was used before, with other arguments", request_id=request_id)
    return known.answer


def remember(writer: Writer, principal: str, request_id: str, asked: bytes | Asked, answer: list[Any]) -> None:
    """Keep the answer, in the same transaction as what it tells of."""
    if request_id:
        kept = asked.kept() if isinstance(asked, Asked) else asked
        writer.put_reply(principal, request_id, StoredReply(kept, answer))


def kept_warnings(hasher: Hasher, warnings: Iterable[SchemaWarning]) -> list[Any]:
    """What is remembered of warnings: of one that may quote a sealed value the path alone."""
    classes = hasher.classes
    return [[list(item.path), NOT_KEPT if classes.touched_by([item.path]) else item.message] for item in warnings]


def recalled_warnings(kept: Iterable[Any]) -> tuple[SchemaWarning, ...]:
    """The inverse of `kept_warnings`."""
    return tuple(SchemaWarning(tuple(path), message) for path, message in kept)
