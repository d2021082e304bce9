"""The key of a store's log, in a file beside the database, and Ed25519 signatures with it.

No tool reaches the file: its bytes leave this module as signatures alone.
"""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from asg_mcp.core.notes import (
    KEY_BYTES,
    Note,
    Signature,
    VerifierKey,
    check_key_name,
    format_private_key,
    parse_private_key,
    signatures_of,
)
from asg_mcp.errors import InvalidInput, StorageError

_MODE = 0o600
_FILE_BYTES_MAX = 4_096


class KeyFile:
    """A `Signer` whose private key is in a file that only its owner may read (0600), made on first use.

    Nothing is kept in memory between two calls: the file is what counts, and another process may have made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def key(self, name: str) -> VerifierKey:
        """The public key of the log of this name; both are made if there is no file.

        Raises StorageError when the file cannot be made or read, others may read it, or it is the key of another log.
        """
        return self._load(name)[1]

    def sign(self, name: str, text: str) -> Note:
        """See Signer."""
        private, key = self._load(name)
        return Note(text, (Signature(name, key.key_id, private.sign(text.encode())),))

    def is_signed(self, note: Note, key: VerifierKey) -> bool:
        """See Signer."""
        return is_signed(note, key)

    def _load(self, name: str) -> tuple[Ed25519PrivateKey, VerifierKey]:
        check_key_name(name)
        try:
            if not self.path.exists():
                self._make(name)
            text = self._read()
            held, key_id, seed = parse_private_key(text)
        except (OSError, InvalidInput) as error:
            raise _unusable(self.path, f"cannot be used: {error}") from error
        private = Ed25519PrivateKey.from_private_bytes(seed)
        key = VerifierKey(held, private.public_key().public_bytes_raw())
        if key.key_id != key_id:
            raise _unusable(self.path, "is damaged: the key has another id than it says")
        if held != name:
            raise _unusable(self.path, f"is the key of the log {held}, and this one is {name}")
        return private, key

    def _read(self) -> str:
        with self.path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
                raise _unusable(self.path, f"may be read by others (mode {stat.S_IMODE(mode):o}); chmod 600 it")
            return file.read(_FILE_BYTES_MAX).decode("ascii", "replace").rstrip("\n")

    def _make(self, name: str) -> None:
        """Write a new key beside the place and put it there whole, unless another process was faster."""
        seed = secrets.token_bytes(KEY_BYTES)
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        made = self.path.with_name(f"{self.path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(format_private_key(name, seed, public).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            self._place(made)
        finally:
            made.unlink(missing_ok=True)

    def _place(self, made: Path) -> None:
        try:
            # A link is made or refused at once, so nobody ever reads half a key, and no key replaces another.
            os.link(made, self.path)
        except FileExistsError:
            return
        if os.name == "posix":
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


class PassingKey:
    """A `Signer` whose private key is never written down: for a store that goes with the process, as its key does."""

    def __init__(self) -> None:
        self._private = Ed25519PrivateKey.generate()

    def key(self, name: str) -> VerifierKey:
        """See Signer."""
        check_key_name(name)
        return VerifierKey(name, self._private.public_key().public_bytes_raw())

    def sign(self, name: str, text: str) -> Note:
        """See Signer."""
        return Note(text, (Signature(name, self.key(name).key_id, self._private.sign(text.encode())),))

    def is_signed(self, note: Note, key: VerifierKey) -> bool:
        """See Signer."""
        return is_signed(note, key)


def is_signed(note: Note, key: VerifierKey) -> bool:
    """Whether the note has a signature of this key, and every signature that says it is this key's holds."""
    public = Ed25519PublicKey.from_public_bytes(key.public)
    text, found = note.text.encode(), False
    for signature in signatures_of(note, key):
        try:
            public.verify(signature.signature, text)
        except InvalidSignature:
            return False
        found = True
    return found


def _unusable(path: Path, fault: str) -> StorageError:
    return StorageError(
        f"The key file {path} {fault}",
        hint="Nothing can be signed without it. Put the store's own key file back, readable by its owner alone.",
    )
