"""Rotating the key of a store's log, in an order that leaves one usable state wherever it is interrupted.

1. the next key is written beside the present one     interrupted: the log names the present one; the file is dropped
2. both sign the hand-over                            the same
3. the log names the next key, durably                interrupted: the next use of the key does 4
4. the next key takes the place of the present one    done
"""

from __future__ import annotations

import os

import anyio.to_thread

from asg_mcp.core.intents import Author
from asg_mcp.core.notes import VerifierKey
from asg_mcp.errors import AsgError, Conflict, UnknownOutcome
from asg_mcp.repo.keyring import Rotation, statement
from asg_mcp.repo.repository import Repository
from asg_mcp.services.signing import KeyFile, foreign


async def rotate_key(repo: Repository, keys: KeyFile, author: Author, *, lost: bool = False) -> Rotation:
    """Hand the log over to a new key, and destroy the old one. `lost`: the old one is gone, and signs nothing.

    Raises Conflict when another process rotates it, or has just done so, and when there is nothing to rotate;
    StorageError where a file cannot be read or written.
    """
    origin = await repo.epochs.origin()
    with keys.locked(0):
        named = await repo.keys.named()
        old = await anyio.to_thread.run_sync(lambda: _present(keys, origin, named, lost=lost))
        new = await anyio.to_thread.run_sync(keys.prepare, origin)
        try:
            told = keys.hand_over(origin, statement(old, new, lost=lost), lost=lost)
            rotation = await repo.keys.rotate(author, old, new, told, lost=lost)
        except UnknownOutcome:  # the log tells later whether it names the next key
            raise
        except AsgError:
            keys.drop_waiting()
            raise
        await anyio.to_thread.run_sync(keys.take_over)
    return rotation


def _present(keys: KeyFile, origin: str, named: VerifierKey | None, *, lost: bool) -> VerifierKey:
    """The key that is to be replaced, where the log names this one."""
    waiting = keys.waiting(origin)
    if waiting is not None and waiting == named:
        keys.take_over()  # an earlier rotation was interrupted before this
    if lost:
        if os.path.lexists(keys.path):
            raise Conflict(
                f"There is a key file: {keys.path}",
                hint="Without --lost it signs the hand-over. If it is not the key of this log, move it away first.",
            )
        if named is None:
            raise _nothing(keys)
        return named
    held = keys.held(origin)
    if held is None and named is None:
        raise _nothing(keys)
    if held is None or (named is not None and held != named):
        raise foreign(keys.path, held, named)
    return held


def _nothing(keys: KeyFile) -> Conflict:
    return Conflict(
        f"The log has no key yet ({keys.path})", hint="The first seal of an epoch makes it; there is nothing to rotate."
    )
