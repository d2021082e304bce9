"""Evidence bundles: one file a sealed epoch, made from the store alone, and verified before it is handed out."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files as package_files

import anyio.to_thread
from blake3 import blake3

from asg_mcp.core.limits import BUNDLE_BYTES_MAX
from asg_mcp.errors import LimitExceeded, StoreCorrupt
from asg_mcp.evidence.verify import (
    DERIVED,
    NOT_PROVED,
    PROPERTIES,
    Evidence,
    archive,
    derive,
    examine,
    exit_code,
    parse_key,
    verify,
)
from asg_mcp.repo.bundling import evidence_files
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.view import View

MEDIA_TYPE = "application/zip"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle and what it shows."""

    epoch: str
    data: bytes
    commits: int
    size: int
    """How many events the log had with the seal."""
    root: str
    """The root of the log at that size, in hex digits."""
    key: str
    """The public key that signed it. To be handed to whoever verifies by another way than the bundle."""
    not_proved: tuple[str, ...]
    """What the bundle leaves unproved when the key is known."""
    withheld: int
    """How many texts and values were erased."""

    @property
    def sha256(self) -> str:
        """Of the bytes, in hex digits: the same store gives the same."""
        return sha256(self.data).hexdigest()


async def bundle(repo: Repository, epoch: str, *, bytes_max: int = BUNDLE_BYTES_MAX) -> Bundle:
    """The evidence bundle of a sealed epoch: the same bytes whenever and wherever it is made from this store.

    It is made on a thread, and verified like a stranger would. Raises NotFound, Conflict (not sealed), LimitExceeded
    and StoreCorrupt, where what is stored does not verify.
    """
    program = verifier_source()
    files = await repo.read(lambda view: evidence_files(view, epoch))
    return await anyio.to_thread.run_sync(_made, epoch, {**files, "verify.py": program}, program, bytes_max)


def bundle_in(view: View, epoch: str) -> Bundle:
    """The same, made of one moment of the repository, on the thread that this is called on."""
    program = verifier_source()
    return _made(epoch, {**evidence_files(view, epoch), "verify.py": program}, program, BUNDLE_BYTES_MAX)


def verifier_source() -> bytes:
    """verify.py, as it is copied into each bundle."""
    return package_files("asg_mcp.evidence").joinpath("verify.py").read_bytes()


def _made(epoch: str, files: dict[str, bytes], program: bytes, bytes_max: int) -> Bundle:
    ev = Evidence(files, _digest)
    if examine(ev):
        pieces: dict[str, list[bytes]] = {name: [] for name in DERIVED}
        derive(ev, lambda name, piece: pieces[name].append(piece))
        files.update({name: b"".join(parts) for name, parts in pieces.items()})
    if ev.findings.violated:
        faults = [f"{name}: {ev.findings.reasons(name)[0]}" for name in ev.findings.violated]
        raise StoreCorrupt(f"Epoch {epoch} is not exported, for it does not verify: {faults[0]}", epoch=epoch)
    size = sum(map(len, files.values()))
    if size > bytes_max:
        raise LimitExceeded(
            f"The bundle of epoch {epoch} has {size} bytes; at most {bytes_max} are handed out here",
            hint=f"`asg-mcp export {epoch} -o FILE` writes up to {BUNDLE_BYTES_MAX}; a shorter epoch has less.",
            limit="BUNDLE_BYTES_MAX",
            max=bytes_max,
        )
    key = parse_key(files["key.txt"].decode())
    checked = verify(files, key, program, _digest)
    assert not exit_code(checked.findings, strict=False), "BUG: what is derived is derived again alike"
    return Bundle(
        epoch,
        b"".join(archive(files)),
        len(checked.members),
        checked.size,
        checked.sealing.root.hex(),
        str(key),
        tuple(name for name in PROPERTIES if checked.findings.status(name) == NOT_PROVED),
        len(checked.withheld),
    )


def _digest(data: bytes) -> bytes:
    return blake3(data).digest()
