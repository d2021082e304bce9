"""Sealing: what must hold of a seal, found again from the log, before it is signed and whenever it is verified."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TypeVar

import anyio.to_thread

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.merkle import EMPTY_ROOT, consistency_fault, inclusion_fault
from asg_mcp.core.notes import Checkpoint, Note, Signer, VerifierKey, parse_checkpoint, parse_note, parse_verifier_key
from asg_mcp.errors import AsgError, StoreCorrupt
from asg_mcp.repo.epochmembers import check_members, newest_pruned
from asg_mcp.repo.epochs import (
    OPEN,
    SEALED,
    checked_request,
    epoch_info,
    epoch_record,
    epoch_records,
    lineage_of,
    looked_behind,
    open_epoch,
    seal_epoch,
    sign_epoch,
)
from asg_mcp.repo.keyring import check_named
from asg_mcp.repo.ledger import EVENT_KINDS, event_of
from asg_mcp.repo.lineage import Lineage
from asg_mcp.repo.logtree import checkpoint_at, consistency_proof, inclusion_proof, log_origin, log_root
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.results import EpochInfo
from asg_mcp.repo.screening import Screen, names_of
from asg_mcp.storage.base import Reader, Record, RecordKind, RefKind, Store, Writer

T = TypeVar("T")


class Epochs:
    """The epochs of an open store. Long passes are made on a thread, and no writer waits for one."""

    def __init__(self, store: Store, signer: Signer | None, screen: Screen) -> None:
        self._store = store
        self._screen = screen
        self.signer = signer
        """None where the store was opened without a key: then nothing can be sealed."""

    async def create(self, request: EpochRequest, author: Author, request_id: str = "") -> EpochInfo:
        """Open an epoch; see `open_epoch`."""
        checked_request(request)
        request = self._screen.epoch(request, author)
        looked = None
        if request.since and await self._apart(lambda reader: reader.record(RecordKind.EPOCH, request.epoch)) is None:
            looked = await self._apart(lambda reader: looked_behind(reader, request))
        record, replayed = await self._store.write(
            lambda writer: open_epoch(writer, request, author, request_id, looked)
        )
        return replace(await self._apart(lambda reader: epoch_info(reader, record)), replayed=replayed)

    async def seal(self, epoch: str, summary: str, author: Author, request_id: str = "") -> EpochInfo:
        """Fix an epoch, durably; it is signed after that. See `seal_epoch`."""
        summary = self._screen.texts({"summary": summary}, names_of(author))["summary"]
        lineage = await self._apart(lambda reader: _counted(reader, epoch))
        record, replayed = await self._store.write(
            lambda writer: seal_epoch(writer, epoch, summary, author, request_id, lineage)
        )
        return replace(await self._apart(lambda reader: epoch_info(reader, record)), replayed=replayed)

    async def checkpoints(self, epoch: str) -> tuple[Checkpoint, Checkpoint]:
        """What is to be signed of a sealed epoch, proved from stored rows; see `proved_checkpoints`."""
        return await self._apart(lambda reader: proved_checkpoints(reader, epoch_record(reader, epoch)), stored=True)

    async def sign(self, epoch: str, opening: Note, sealing: Note, key: VerifierKey, author: Author) -> EpochInfo:
        """Keep the signed checkpoints of a sealed epoch. Raises Conflict when the log's key was rotated meanwhile."""

        def work(writer: Writer) -> Record:
            if "checkpoint" not in epoch_record(writer, epoch).data:
                check_named(writer, key)
            return sign_epoch(writer, epoch, opening, sealing, key, author)

        record = await self._store.write(work)
        return await self._apart(lambda reader: epoch_info(reader, record))

    async def info(self, epoch: str) -> EpochInfo:
        """An epoch as it is now. Raises NotFound."""
        return await self._apart(lambda reader: epoch_info(reader, epoch_record(reader, epoch)))

    async def origin(self) -> str:
        """The name of the store's log, under which its key signs."""
        return await self._apart(log_origin)

    async def _apart(self, work: Callable[[Reader], T], *, stored: bool = False) -> T:
        def read() -> T:
            with self._store.reading(stored=stored) as reader:
                return work(reader)

        return await anyio.to_thread.run_sync(read)


def _counted(reader: Reader, epoch: str) -> Lineage | None:
    """The members of an open epoch so far, their root included, so that the seal has only the newest left to do."""
    record = epoch_record(reader, epoch)
    if record.data["state"] != OPEN:
        return None
    lineage = lineage_of(reader, record)
    check_members(reader, newest_pruned(reader, lineage), f"is a member of epoch {epoch}")
    lineage.root()
    return lineage


def proved_checkpoints(reader: Reader, record: Record) -> tuple[Checkpoint, Checkpoint]:
    """The checkpoints of the log with the opening and with the durable seal as its last event, all they cover checked.

    What was signed before vouches for the events up to there; the headers of those since are hashed again: O(events
    since). Raises StoreCorrupt when something does not hold: a signature would make it evidence.
    """
    size = record.data["size"]
    before = max((signed for signed in _signed(reader) if signed[0] < size), default=(0, EMPTY_ROOT))
    after = min((signed for signed in _signed(reader) if signed[0] > size), default=None)
    checkpoint = checkpoint_at(reader, size, trusted=before[0])
    fault = _growth_fault(reader, before, (size, checkpoint.root))
    if after is not None:
        fault = fault or _growth_fault(reader, (size, checkpoint.root), after)
    opening = checkpoint_at(reader, record.opened + 1, trusted=before[0])
    fault = fault or _growth_fault(reader, (opening.size, opening.root), (size, checkpoint.root))
    fault = fault or _headers_fault(reader, before[0], size) or seal_fault(reader, record, checkpoint)
    if fault:
        raise StoreCorrupt(f"Epoch {record.key} is not signed: {fault}", epoch=record.key)
    return opening, checkpoint


def seal_fault(reader: Reader, record: Record, checkpoint: Checkpoint) -> str | None:
    """What of a seal is not as its event says, under this checkpoint; None where all is."""
    index = checkpoint.size - 1
    row = reader.event(index)
    if row is None or EVENT_KINDS[row.kind] is not EventKind.EPOCH_SEALED:
        return f"event {index} is not its seal"
    event = event_of(reader, row)
    if event.subject != record.key or event.leaf_hash() != row.leaf:
        return f"event {index} is not its seal"
    proof = inclusion_proof(reader, index, checkpoint.size)
    fault = inclusion_fault(index, checkpoint.size, row.leaf, proof, checkpoint.root)
    if fault:
        return f"its seal is not shown to be in the log: {fault}"
    lineage = lineage_of(reader, record)
    if len(lineage.members) != record.data["commits"] or lineage.root().hex() != record.data["members"]:
        return "its members are not those that the seal fixed"
    tag = reader.ref(record.data["tag"])
    if tag is None or tag.kind is not RefKind.TAG:
        return f"its tag {record.data['tag']} is missing"
    return None


def epoch_fault(reader: Reader, record: Record, signer: Signer) -> str | None:
    """What of a sealed epoch does not hold, its signature included; None where all does, or where it is open.

    The key is the one that the epoch names: whose key that is, is for whoever got it by another way to say.
    """
    data = record.data
    if data["state"] != SEALED:
        return None
    signed = record.last + 1  # nothing follows a signature: the log had the name then that was signed
    checkpoint = checkpoint_at(reader, data["size"], named_at=signed)
    fault = seal_fault(reader, record, checkpoint)
    if fault or "checkpoint" not in data:
        return fault
    opening = checkpoint_at(reader, record.opened + 1, named_at=signed)
    if data["root"] != checkpoint.root.hex():
        return "the root that was signed is not that of the log"
    return _note_fault(data["opening"], opening, data["key"], signer) or _note_fault(
        data["checkpoint"], checkpoint, data["key"], signer
    )


def _note_fault(text: str, checkpoint: Checkpoint, key_text: str, signer: Signer) -> str | None:
    try:
        note, key = parse_note(text.encode()), parse_verifier_key(key_text)
        signed = parse_checkpoint(note.text)
    except AsgError as error:
        return error.message
    if signed != checkpoint:
        return "the checkpoint that was signed is not that of the log"
    return None if signer.is_signed(note, key) else "the signature of a checkpoint does not hold"


def _signed(reader: Reader) -> Iterator[tuple[int, bytes]]:
    """Size and root of every checkpoint that was signed."""
    for record in epoch_records(reader):
        if "checkpoint" in record.data:
            yield record.data["size"], bytes.fromhex(record.data["root"])


def _growth_fault(reader: Reader, old: tuple[int, bytes], new: tuple[int, bytes]) -> str | None:
    """Why the log of one size and root is not the beginning of the other: no size may ever have two roots."""
    proof = consistency_proof(reader, old[0], new[0])
    if log_root(reader, old[0]) != old[1] or consistency_fault(old[0], new[0], old[1], new[1], proof):
        return f"the log of {old[0]} events is not the beginning of that of {new[0]}"
    return None


def _headers_fault(reader: Reader, first: int, end: int) -> str | None:
    for index in range(first, end):
        row = reader.event(index)
        if row is None or event_of(reader, row).leaf_hash() != row.leaf:
            return f"the leaf of event {index} is not that of its header"
    return None
