"""Whose key signs for a log, as the log itself tells.

The first key is that of the first signed epoch. From then on the key changes by a rotation alone: an event with both
public keys and a statement of the hand-over, signed by both. A key that was lost cannot sign: then the event says so,
and whoever relies on the new key has to get it by another way. A new incarnation of the log has a key of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import anyio.to_thread

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.notes import Note, Signer, VerifierKey, parse_note, parse_verifier_key
from asg_mcp.errors import AsgError, Conflict
from asg_mcp.repo.epochs import epoch_records
from asg_mcp.repo.ledger import EVENT_KINDS, event_body, log_event
from asg_mcp.repo.logtree import log_origin
from asg_mcp.storage.base import EventRow, Reader, Store, TermKind, Writer

T = TypeVar("T")
KEYS = "log:key"
"""The subject of the events that hand the log over to another key."""
_HEAD = "asg-mcp key rotation"
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Rotation:
    """One change of a log's key."""

    index: int
    """Of its event."""
    at: int
    """Microseconds since 1970-01-01 UTC."""
    old: VerifierKey
    new: VerifierKey
    lost: bool
    """Whether the old key was lost: then it did not sign the hand-over."""


def statement(old: VerifierKey, new: VerifierKey, *, lost: bool) -> str:
    """What both keys sign, and where the old one was lost the new one alone: the text of a C2SP note, no checkpoint."""
    return f"{_HEAD}\n{new.name}\nfrom {old}{' (lost)' if lost else ''}\nto {new}\n"


def named_key(reader: Reader) -> VerifierKey | None:
    """The key that the log says is its own now; None while none has signed or was handed over to. O(epochs)."""
    key = _rotated_to(reader)
    if key is not None:
        return key
    origin = log_origin(reader)
    signed = (record for record in epoch_records(reader) if "key" in record.data)
    told = ((record.last, parse_verifier_key(record.data["key"])) for record in signed)
    return max(((last, key) for last, key in told if key.name == origin), default=(0, None), key=lambda one: one[0])[1]


def _rotated_to(reader: Reader) -> VerifierKey | None:
    """The key that the log was handed over to last, under its present name."""
    origin = log_origin(reader)
    found = (rotation.new for rotation in _newest_first(reader, reader.events_count()))
    return next((key for key in found if key.name == origin), None)


def rotations(reader: Reader) -> list[Rotation]:
    """Every change of the key, of earlier incarnations too, the first one first."""
    return list(_newest_first(reader, reader.events_count()))[::-1]


def _newest_first(reader: Reader, before: int) -> Iterator[Rotation]:
    while page := reader.find((TermKind.SUBJECT, KEYS), before, _PAGE):
        for index in page:
            row = reader.event(index)
            if row is not None and EVENT_KINDS[row.kind] is EventKind.KEY_ROTATED:
                yield rotation_of(row)
        before = page[-1]


def rotation_of(row: EventRow) -> Rotation:
    """What an event of a rotation says. Raises InvalidInput and LookupError where it makes no sense."""
    body = event_body(row)
    assert row.data is not None, "BUG: an event of a rotation has data"
    old, new = (parse_verifier_key(body[name]) for name in ("old", "new"))
    return Rotation(row.index, row.data[0], old, new, bool(body["lost"]))


def log_rotation(writer: Writer, author: Author, old: VerifierKey, new: VerifierKey, told: Note, *, lost: bool) -> int:
    """Log that the key of the log is another from now on; returns the event's index.

    Raises Conflict when the log was handed over to another key than the old one meanwhile.
    """
    check_named(writer, old)
    body: dict[str, Any] = {"old": str(old), "new": str(new), "statement": str(told), "lost": lost}
    index = writer.events_count()
    log_event(writer, EventKind.KEY_ROTATED, author, subject=KEYS, body=body)
    return index


def check_named(reader: Reader, key: VerifierKey) -> None:
    """Raise Conflict when the log was handed over to another key than this one. O(1)."""
    named = _rotated_to(reader)
    if named is not None and named != key:
        raise Conflict(
            f"The log's key is {named.key_id.hex()} now, and no longer {key.key_id.hex()}: it was rotated meanwhile",
            hint="Repeat the call: it goes on with the new key. `asg-mcp key show` tells which keys there were.",
        )


class KeptKey(Protocol):
    """Where the private key of a log is kept."""

    def settle(self, name: str, named: VerifierKey | None) -> VerifierKey:
        """The key to sign with, where the log of this name names `named` as its own. Raises StorageError."""
        ...

    def sign(self, name: str, text: str) -> Note:
        """See Signer."""
        ...

    def is_signed(self, note: Note, key: VerifierKey) -> bool:
        """See Signer."""
        ...


class LogSigner:
    """A `Signer` with the key that the log names as its own, and with no other."""

    def __init__(self, kept: KeptKey, store: Store) -> None:
        self._kept = kept
        self._store = store

    def key(self, name: str) -> VerifierKey:
        """See Signer."""
        with self._store.reading() as reader:
            named = named_key(reader)
        return self._kept.settle(name, named)

    def sign(self, name: str, text: str) -> Note:
        """See Signer."""
        self.key(name)
        return self._kept.sign(name, text)

    def is_signed(self, note: Note, key: VerifierKey) -> bool:
        """See Signer."""
        return self._kept.is_signed(note, key)


class Keys:
    """The keys of an open store's log."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def named(self) -> VerifierKey | None:
        """The key that the log names as its own; None while it names none."""
        return await self._apart(named_key)

    async def rotations(self) -> list[Rotation]:
        """Every change of the key, the first one first."""
        return await self._apart(rotations)

    async def rotate(self, author: Author, old: VerifierKey, new: VerifierKey, told: Note, *, lost: bool) -> Rotation:
        """Have the log name another key as its own, durably. See `log_rotation`."""
        index = await self._store.write(lambda writer: log_rotation(writer, author, old, new, told, lost=lost))
        return next(rotation for rotation in await self.rotations() if rotation.index == index)

    async def _apart(self, work: Callable[[Reader], T]) -> T:
        def read() -> T:
            with self._store.reading() as reader:
                return work(reader)

        return await anyio.to_thread.run_sync(read)


class Keyring:
    """Follows the keys of a log through its events, in order."""

    def __init__(self) -> None:
        self.rotations: list[Rotation] = []
        self._keys: dict[str, VerifierKey] = {}
        """By the name of the log: its key, as far as the log has come."""

    @classmethod
    def before(cls, reader: Reader, index: int) -> Keyring:
        """The keys as the events below an index leave them, which are not checked."""
        ring = cls()
        signed = (one for one in epoch_records(reader) if "key" in one.data and one.last < index)
        told = [(record.last, parse_verifier_key(record.data["key"])) for record in signed]
        told += [(rotation.index, rotation.new) for rotation in _newest_first(reader, index)]
        for _, key in sorted(told, key=lambda one: one[0]):
            ring._keys[key.name] = key
        return ring

    def advance(self, reader: Reader, row: EventRow, signer: Signer | None) -> str | None:
        """Take in the next event: what is wrong with it as far as keys go, None where nothing is."""
        kind = EVENT_KINDS[row.kind]
        if kind is EventKind.EPOCH_SIGNED:
            return self._signed(reader, row)
        return self._rotated(reader, row, signer) if kind is EventKind.KEY_ROTATED else None

    def _signed(self, reader: Reader, row: EventRow) -> str | None:
        text = event_body(row).get("key", "")
        try:
            key = parse_verifier_key(text)
        except AsgError as error:
            return f"Event {row.index} names no key: {error.message}"
        if key.name != log_origin(reader, row.index + 1):
            return f"Event {row.index} is signed under the name of another log"
        if self._keys.setdefault(key.name, key) != key:
            return f"Event {row.index} is not signed by the key that was the log's then"
        return None

    def _rotated(self, reader: Reader, row: EventRow, signer: Signer | None) -> str | None:
        body, origin = event_body(row), log_origin(reader, row.index + 1)
        try:
            found = rotation_of(row)
            note = parse_note(body["statement"].encode())
        except (AsgError, LookupError, AttributeError) as error:
            return f"Event {row.index} is no rotation of a key: {error}"
        old = found.old
        if not old.name == found.new.name == origin or self._keys.get(origin, old) != old:
            return f"Event {row.index} does not hand over the key that was the log's then"
        if note.text != statement(old, found.new, lost=found.lost):
            return f"Event {row.index} has a statement of another hand-over"
        signers = (found.new,) if found.lost else (old, found.new)
        if signer is not None and not all(signer.is_signed(note, key) for key in signers):
            return f"Event {row.index} has a statement whose signature does not hold"
        self._keys[origin] = found.new
        self.rotations.append(found)
        return None
