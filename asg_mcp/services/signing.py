"""The key of a store's log, in a file beside the database, and Ed25519 signatures with it.

    STORE.key        the private key, 0600
    STORE.key.next   during a rotation: the one that comes after it
    STORE.key.lock   held by whoever replaces the key

No tool reaches the files: their bytes leave this module as signatures alone. The log says which key is its own; a
rotation writes the next key, has the log name it, and then puts it in the place of the old one. Whoever is killed
before the log names it leaves a file that nobody uses; after that, the next use of the key finishes (`settle`).
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import portalocker
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
from asg_mcp.errors import Conflict, InvalidInput, StorageError
from asg_mcp.services.files import sync_folder

_MODE = 0o600
_FILE_BYTES_MAX = 4_096
_LOCK_SECONDS_MAX = 10.0
_OWN = "Nothing can be signed without it. Put the store's own key file back, readable by its owner alone."
_WRITABLE = "Make the file and its folder writable for you, and repeat the command."


class KeyFile:
    """A `Signer` whose private key is in a file that only its owner may read (0600), made on first use.

    Nothing is kept in memory between two calls: the file is what counts, and another process may have made it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._next = path.with_name(f"{path.name}.next")

    def key(self, name: str) -> VerifierKey:
        """The public key of the log of this name; both are made if there is no file.

        Raises StorageError when the file cannot be made or read, others may read it, or it is the key of another log.
        """
        check_key_name(name)
        try:
            if not self.path.exists():
                self._make(name)
        except OSError as error:
            raise _unusable(self.path, f"cannot be used: {error}") from error
        return self._load(self.path, name)[1]

    def held(self, name: str) -> VerifierKey | None:
        """The same, and nothing is made: None where there is no file."""
        return self._load(self.path, name)[1] if os.path.lexists(self.path) else None

    def settle(self, name: str, named: VerifierKey | None) -> VerifierKey:
        """The key to sign with, where the log names this one as its own (None: it names none yet).

        A rotation that was interrupted after the log named the new key is finished. Raises StorageError where the file
        has another key than the log names, or is missing, and what `key` raises.
        """
        held = self.held(name)
        if named is None or held == named:
            return held or self.key(name)
        with self.locked(_LOCK_SECONDS_MAX):
            held = self.held(name)
            if held != named and self.waiting(name) == named:
                self.take_over()
                held = self.held(name)
        if held is not None and held == named:
            return held
        raise foreign(self.path, held, named)

    def sign(self, name: str, text: str) -> Note:
        """See Signer."""
        return Note(text, (_signature(name, text, self._load(self.path, name)),))

    def is_signed(self, note: Note, key: VerifierKey) -> bool:
        """See Signer."""
        return is_signed(note, key)

    # --- replacing the key ---

    @contextmanager
    def locked(self, seconds: float) -> Iterator[None]:
        """Be the only one who replaces the key, after so long a wait at most. Raises StorageError and Conflict."""
        lock = portalocker.Lock(
            self.path.with_name(f"{self.path.name}.lock"),
            mode="ab",
            timeout=seconds,
            opener=lambda path, flags: os.open(path, flags, _MODE),
            flags=portalocker.LockFlags.EXCLUSIVE | portalocker.LockFlags.NON_BLOCKING,
        )
        try:
            lock.acquire()
        except portalocker.LockException as error:
            raise Conflict(
                "Another process is rotating the log's key",
                hint="Wait until it is done; `asg-mcp key show` tells the key that the log has then.",
            ) from error
        except OSError as error:
            raise _unusable(self.path, f"cannot be replaced: {error.strerror}", _WRITABLE) from error
        try:
            yield
        finally:
            lock.release()

    def prepare(self, name: str) -> VerifierKey:
        """Make the next key, in a file of its own, durably. Call it with the lock held. Raises StorageError."""
        check_key_name(name)
        if os.path.lexists(self.path) and not os.access(self.path, os.W_OK):
            raise _unusable(
                self.path, "is read-only, and cannot be replaced", _WRITABLE
            )  # before the log names another
        try:
            self.drop_waiting()
            self._make(name, self._next)
        except OSError as error:
            raise _unusable(self.path, f"cannot be replaced: {error.strerror}", _WRITABLE) from error
        return self._load(self._next, name)[1]

    def waiting(self, name: str) -> VerifierKey | None:
        """The next key, where one was made and has not taken over."""
        return self._load(self._next, name)[1] if os.path.lexists(self._next) else None

    def drop_waiting(self) -> None:
        """Forget the next key. Call it with the lock held, and only when the log does not name it."""
        with suppress(FileNotFoundError):
            _wiped(self._next, self._next.unlink)

    def hand_over(self, name: str, text: str, *, lost: bool) -> Note:
        """The text signed by the next key, and before it by the present one unless that was lost."""
        signers = [] if lost else [self._load(self.path, name)]
        signers.append(self._load(self._next, name))
        return Note(text, tuple(_signature(name, text, signer) for signer in signers))

    def take_over(self) -> None:
        """Put the next key in the place of the present one, which is overwritten. Call it with the lock held."""
        try:
            if os.path.lexists(self.path):
                _wiped(self.path, lambda: self._next.replace(self.path))
            else:
                self._next.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise _unusable(
                self.path,
                f"cannot be replaced: {error.strerror}",
                f"The log names the new key already. {_WRITABLE} The next use of the key finishes what is left to do.",
            ) from error

    # --- files ---

    def _load(self, path: Path, name: str) -> _Pair:
        check_key_name(name)
        try:
            held, key_id, seed = parse_private_key(_read(path))
        except (OSError, InvalidInput) as error:
            raise _unusable(path, f"cannot be used: {error}") from error
        private = Ed25519PrivateKey.from_private_bytes(seed)
        key = VerifierKey(held, private.public_key().public_bytes_raw())
        if key.key_id != key_id:
            raise _unusable(path, "is damaged: the key has another id than it says")
        if held != name:
            raise _unusable(path, f"is the key of the log {held}, and this one is {name}")
        return private, key

    def _make(self, name: str, path: Path | None = None) -> None:
        """Write a new key beside the place and put it there whole, unless another process was faster."""
        path = path or self.path
        seed = secrets.token_bytes(KEY_BYTES)
        public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
        made = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        try:
            descriptor = os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE)
            with os.fdopen(descriptor, "wb") as file:
                file.write(format_private_key(name, seed, public).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
            with suppress(FileExistsError):
                # A link is made or refused at once, so nobody ever reads half a key, and no key replaces another.
                os.link(made, path)
                sync_folder(path.parent)
        finally:
            made.unlink(missing_ok=True)


_Pair = tuple[Ed25519PrivateKey, VerifierKey]


def _signature(name: str, text: str, pair: _Pair) -> Signature:
    private, key = pair
    return Signature(name, key.key_id, private.sign(text.encode()))


def _read(path: Path) -> str:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if os.name == "posix" and stat.S_IMODE(mode) & 0o077:
            raise _unusable(path, f"may be read by others (mode {stat.S_IMODE(mode):o}); chmod 600 it")
        return file.read(_FILE_BYTES_MAX).decode("ascii", "replace").rstrip("\n")


def _wiped(path: Path, take_away: Callable[[], object]) -> None:
    """Overwrite the file that was at a path, once it has no name any more. What copies there are is not ours to say."""
    if os.name != "posix":  # Windows takes no name from a file that is open
        take_away()
        return
    descriptor = os.open(path, os.O_RDWR)
    try:
        take_away()
        os.write(descriptor, b"\0" * os.fstat(descriptor).st_size)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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


def foreign(path: Path, held: VerifierKey | None, named: VerifierKey | None) -> StorageError:
    """The error for a key file that is missing, or has another key than the log names."""
    shown = "" if named is None else f", and the log names {named.key_id.hex()} as its own"
    fault = "is missing" if held is None else f"has the key {held.key_id.hex()}"
    return _unusable(
        path,
        f"{fault}{shown}",
        "Put the right file back from where you keep it. If it is lost for good, `asg-mcp key rotate --lost` goes on "
        "with a new key, for which nothing vouches that was signed before.",
    )


def _unusable(path: Path, fault: str, hint: str = _OWN) -> StorageError:
    return StorageError(f"The key file {path} {fault}", hint=hint)
