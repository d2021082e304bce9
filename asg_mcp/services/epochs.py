"""Opening and sealing epochs: what is done in which order, so that a signature only covers what is durable and true."""

from __future__ import annotations

from dataclasses import replace

import anyio.to_thread

from asg_mcp.core.intents import Author
from asg_mcp.core.notes import Checkpoint, Note, Signer, VerifierKey, parse_note
from asg_mcp.errors import StorageError
from asg_mcp.repo.epochs import RootsTold, epoch_record
from asg_mcp.repo.epochs import roots_told as told_of_roots
from asg_mcp.repo.repository import PROGRAM, Repository
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.results import EpochInfo

BUNDLE = "asg://epoch/{epoch}/bundle"
"""The resource that has everything a stranger needs to verify a sealed epoch."""


async def create_epoch(repo: Repository, request: EpochRequest, author: Author, request_id: str = "") -> EpochInfo:
    """Open an epoch: from now on commits join it by what they serve.

    Raises InvalidName, InvalidArgument, LimitExceeded, Conflict (the id is taken), RefExists, RequestReused.
    """
    return await repo.epochs.create(request, author, request_id)


async def roots_told(repo: Repository, epoch: str) -> RootsTold:
    """Which root intents of an epoch are not known yet, and which have commits from before it."""
    return await repo.read(lambda view: told_of_roots(view, epoch_record(view.reader, epoch)))


async def seal_epoch(repo: Repository, epoch: str, summary: str, author: Author, request_id: str = "") -> EpochInfo:
    """Fix an epoch for ever, and sign the log up to its seal. Once sealed, the same summary has the same answer.

    1. The key is read, or made: what could not be signed is not sealed.
    2. Members, tag and seal are written in one transaction. A crash before its end leaves the epoch open; after it,
       sealed and unsigned, and the next call goes on at 3.
    3. What was written is read back from stored rows and proved: the headers since the last signature, the seal in the
       tree, the members, the log that was signed before as the beginning of this one. What does not hold is not signed.
    4. The checkpoints at the opening and at the seal are signed, the signatures verified, and kept as an event that
       follows the seal.

    Raises NotFound, Conflict (sealed with another summary), RefExists, RequestReused, StoreCorrupt, and StorageError
    where the key cannot be used.
    """
    signer = repo.epochs.signer
    if signer is None:
        raise StorageError(
            "The store was opened without a key, so nothing can be sealed", hint="Open it with asg_mcp.app."
        )
    origin = await repo.epochs.origin()
    key = await anyio.to_thread.run_sync(signer.key, origin)
    sealed = await repo.epochs.seal(epoch, summary, author, request_id)
    signed = sealed if sealed.checkpoint else await _signed(repo, signer, key, epoch)
    return replace(signed, replayed=sealed.replayed)


async def _signed(repo: Repository, signer: Signer, key: VerifierKey, epoch: str) -> EpochInfo:
    opening, sealing = [await _note(signer, key, checkpoint) for checkpoint in await repo.epochs.checkpoints(epoch)]
    return await repo.epochs.sign(epoch, opening, sealing, key, Author(PROGRAM, PROGRAM))


async def _note(signer: Signer, key: VerifierKey, checkpoint: Checkpoint) -> Note:
    note = await anyio.to_thread.run_sync(signer.sign, checkpoint.origin, checkpoint.text)
    if not signer.is_signed(parse_note(str(note).encode()), key):
        raise StorageError(
            f"The signature of the log at {checkpoint.size} events does not hold, and was not kept",
            hint="Repeat the call; if it fails again, the key file was replaced meanwhile, or is damaged.",
        )
    return note
