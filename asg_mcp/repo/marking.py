"""The high-water mark: how far a store's log had come, kept outside its file.

A database file cannot tell that it is an older copy of itself: all in it is right. The
mark can. It is only ever made from what is durable, so it is never ahead of the file that
it is of; it may be behind, by what was written since it was last moved.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

import anyio.to_thread

from asg_mcp.core.limits import MARK_SECONDS
from asg_mcp.core.notes import Checkpoint, Note, Signer, VerifierKey, parse_checkpoint
from asg_mcp.errors import AsgError, InvalidInput, StoreBehind, StoreCorrupt
from asg_mcp.repo.logtree import log_origins, log_root
from asg_mcp.storage.base import Reader, Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Mark:
    """How far a log had come."""

    origins: tuple[str, ...]
    """The names it had, the present one last; see `log_origins`. Their number is the store's incarnation."""
    size: int
    root: bytes

    @property
    def checkpoint(self) -> Checkpoint:
        """The same under the present name."""
        return Checkpoint(self.origins[-1], self.size, self.root)


class Marks(Protocol):
    """Where the marks of the store at one place are kept."""

    def held(self, store: str) -> Mark | None:
        """The mark of the store whose first name this is, at this place; None where none is kept or none is legible."""
        ...

    def raise_to(self, mark: Mark) -> None:
        """Keep the mark durably, unless a higher one of the same log is. Raises OSError."""
        ...


def mark_of(reader: Reader) -> Mark:
    """How far the log has come; it must have an event."""
    size = reader.events_count()
    return Mark(log_origins(reader), size, log_root(reader, size))


def mark_fault(reader: Reader, marks: Marks) -> str | None:
    """How the log falls short of its mark; None where it does not, or where there is none.

    A log with a name that the mark does not know is a later incarnation, or another store: the mark says nothing of it.
    """
    size = reader.events_count()
    if not size:
        return None
    origins = log_origins(reader)
    held = marks.held(origins[0])
    if held is None or origins[-1] not in held.origins:
        return None
    if origins[-1] != held.origins[-1]:
        return f"it is of incarnation {len(origins)}, and incarnation {len(held.origins)} was here"
    if size < held.size:
        return f"its log has {size} events, and had {held.size}"
    if log_root(reader, held.size) != held.root:
        return f"its first {held.size} events are not those that it had"
    return None


class Marker:
    """Moves the mark of an open store behind what is written, at most once in MARK_SECONDS, and at the end.

    A mark that cannot be kept costs no write: it is logged, and `doctor` tells.
    """

    def __init__(self, store: Store, marks: Marks) -> None:
        self._store = store
        self._marks = marks
        self._wrote = False
        """Whether anything was written since the mark was last moved."""
        self._moved_at = float("-inf")
        """On the event loop's clock."""
        self._next: asyncio.TimerHandle | None = None
        self._moving: asyncio.Task[None] | None = None

    def check(self) -> None:
        """Raise StoreBehind when the store has not all that its mark says it had."""
        try:
            with self._store.reading() as reader:
                fault = mark_fault(reader, self._marks)
        except StoreCorrupt as error:  # what is whole can still be read, and `verify` names what is not
            logger.warning("The store was not compared with its high-water mark: %s", error)
            return
        if fault:
            raise StoreBehind(f"The store's file is an older copy of itself, or was changed: {fault}")

    def wrote(self) -> None:
        """Something was made durable. Call it on the event loop."""
        self._wrote = True
        if self._next is None and self._moving is None:
            loop = asyncio.get_running_loop()
            self._next = loop.call_at(max(loop.time(), self._moved_at + MARK_SECONDS), self._start)

    def _start(self) -> None:
        self._next = None
        self._moving = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        self._wrote = False
        await anyio.to_thread.run_sync(self._move)
        self._moved_at = asyncio.get_running_loop().time()
        self._moving = None
        if self._wrote:
            self.wrote()

    def _move(self) -> None:
        try:
            with self._store.reading() as reader:
                mark = mark_of(reader)
            self._marks.raise_to(mark)
        except (OSError, AsgError) as error:
            logger.warning("The high-water mark was not moved: %s", error)

    async def close(self) -> None:
        """Leave the mark at what is durable now. Call it before the store is closed."""
        if self._moving is not None:
            await asyncio.wait([self._moving])
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._wrote:
            # Here, and not on a thread: whoever is being cancelled can wait for nothing more.
            self._wrote = False
            self._move()


class MarkedSigner:
    """A `Signer` that signs no checkpoint before the marks are there, and none of a log that they contradict.

    `marks` are those of the store's place. `signed` are those of whatever was signed under the log's name, at any
    place: two copies of a store that both have its key must not sign two roots for one size.
    """

    def __init__(self, signer: Signer, store: Store, marks: Marks, signed: Marks) -> None:
        self._signer = signer
        self._store = store
        self._marks = marks
        self._signed = signed

    def key(self, name: str) -> VerifierKey:
        """See Signer."""
        return self._signer.key(name)

    def sign(self, name: str, text: str) -> Note:
        """See Signer. Raises StoreBehind too."""
        if _is_checkpoint(text):
            with self._store.reading() as reader:
                mark, fault = mark_of(reader), mark_fault(reader, self._marks)
                other = mark_fault(reader, self._signed)
            if fault:
                raise StoreBehind(f"Nothing is signed: the store's file was replaced by an older copy: {fault}")
            if other:
                raise StoreBehind(f"Nothing is signed: another copy of the store has signed under its name: {other}")
            try:
                self._marks.raise_to(mark)
                self._signed.raise_to(mark)
            except OSError as error:
                logger.warning("The high-water mark was not moved before a signature: %s", error)
        return self._signer.sign(name, text)

    def is_signed(self, note: Note, key: VerifierKey) -> bool:
        """See Signer."""
        return self._signer.is_signed(note, key)


def _is_checkpoint(text: str) -> bool:
    try:
        parse_checkpoint(text)
    except InvalidInput:
        return False
    return True
