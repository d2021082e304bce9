"""The keys of sensitive prefixes, each in a file of its own beside the database: STORE.class-NAME.key.

Outside of the database they are in no copy of it: whoever destroys the file has erased the values in every backup.
Two keys are made of the 32 bytes in the file: one for the salts of value ids, as the store has its own, and one for
AES-SIV (RFC 5297), which gives the same bytes for the same value and notices every change. What is sealed is padded
before, so that its length tells little once the key is gone.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import stat
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from asg_mcp.core.classes import keyless
from asg_mcp.core.commitments import CLASS_KEY_BYTES, ValueIdMaker
from asg_mcp.errors import Conflict, InvalidName, StorageError, StoreCorrupt
from asg_mcp.services.files import place_new, sync_folder, write_whole

_SEALING_BYTES = 64
_LINE = re.compile(rb"asg-class-key 1 ([a-z0-9-]{1,32}) ([0-9a-f]{64})\n")
_PAD = b"\x80"
"""Ends a value before it is sealed; zeros follow up to a length of `_padded_bytes`."""
PADDED_BYTES_MIN, PADDED_BYTES_STEP = 32, 4_096
_IDS, _SEALING = "asg-mcp 2026-11-21 class value ids", "asg-mcp 2026-11-21 class sealing"


class _Key(NamedTuple):
    seen: tuple[int, int]
    """Time and size of the file that it was read from."""
    ids: ValueIdMaker
    sealing: AESSIV


class ClassKeys:
    """A `Vault` over the files beside a store. A file that goes is noticed at once, in every process."""

    def __init__(self, store: Path) -> None:
        self._store = store
        self._keys: dict[str, _Key] = {}

    def path(self, name: str) -> Path:
        """The file of a key, which may not be there."""
        return self._store.with_name(f"{self._store.name}.class-{name}.key")

    def has(self, name: str) -> bool:
        """Whether there is a key of this name; one that was overwritten is none."""
        try:
            return not _is_blank(self.path(name).read_bytes())
        except FileNotFoundError:
            return False
        except OSError:  # something is there, though nobody here may read it
            return True

    def make(self, name: str) -> None:
        """Make a key; nothing is ever replaced. Raises Conflict when there is one of this name, and StorageError."""
        path = self.path(name)
        made = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            write_whole(made, b"asg-class-key 1 %b %b\n" % (name.encode(), secrets.token_hex(32).encode()))
            place_new(made, path)
        except FileExistsError as error:
            made.unlink(missing_ok=True)
            raise Conflict(
                f"There is a key file already: {path}",
                hint="Another command is making the class. If none is, the file is a left-over: remove it.",
            ) from error
        except OSError as error:
            raise _unusable(self.path(name), f"cannot be made: {error.strerror}") from error

    def exported(self, name: str) -> str:
        """A key as hex digits, for the archive of a whole repository. Raises Withheld when it is not there."""
        self._key(name)  # so that it is one, and nobody else may read it
        found = _LINE.fullmatch(self.path(name).read_bytes())
        if found is None:
            raise keyless(name)
        return found[2].decode()

    def put(self, name: str, key: str) -> None:
        """Keep a key that an archive had, as `exported` gives it. Raises InvalidName and StorageError."""
        line = b"asg-class-key 1 %b %b\n" % (name.encode(), key.encode())
        if not _LINE.fullmatch(line):
            raise InvalidName(f"{name!r} and its key are no class", hint="Take the archive again, byte for byte.")
        try:
            write_whole(self.path(name), line)
        except OSError as error:
            raise _unusable(self.path(name), f"cannot be made: {error.strerror}") from error

    def destroy(self, name: str) -> bool:
        """Overwrite a key and take its file away; False where there is none.

        A disk or a file system that writes elsewhere than it was told may keep the old bytes, and so may whoever
        copied the file. Raises StorageError.
        """
        self._keys.pop(name, None)
        path = self.path(name)
        try:
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
                file.flush()
                os.fsync(file.fileno())
            path.unlink()
            sync_folder(path.parent)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise StorageError(
                f"The key file {path} cannot be destroyed: {error.strerror}",
                hint="Nobody can read the class with this store any more. Let the file be written to and open the store"
                " again, which destroys it; or overwrite and remove it yourself.",
            ) from error
        return True

    def value_ids(self, name: str) -> ValueIdMaker:
        """See Vault."""
        return self._key(name).ids

    def seal(self, name: str, plain: bytes) -> bytes:
        """See Vault."""
        padded = (plain + _PAD).ljust(_padded_bytes(len(plain) + 1), b"\0")
        return self._key(name).sealing.encrypt(padded, [name.encode()])

    def open(self, name: str, sealed: bytes) -> bytes:
        """See Vault."""
        try:
            return self._key(name).sealing.decrypt(sealed, [name.encode()]).rstrip(b"\0").removesuffix(_PAD)
        except InvalidTag as error:
            raise StoreCorrupt(
                f"A value of the class {name} does not open with the key in {self.path(name)}",
                hint="Put the store's own key file back; else what is stored is damaged. Run verify.",
                what=f"class {name}",
            ) from error

    def _key(self, name: str) -> _Key:
        path = self.path(name)
        try:
            status = path.stat()
            seen = (status.st_mtime_ns, status.st_size)
            known = self._keys.get(name)
            if known is not None and known.seen == seen:
                return known
            if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
                raise _unusable(path, f"may be read by others (mode {stat.S_IMODE(status.st_mode):o}); chmod 600 it")
            text = path.read_bytes()
            found = _LINE.fullmatch(text)
        except FileNotFoundError:
            self._keys.pop(name, None)
            raise keyless(name) from None
        except OSError as error:
            raise _unusable(path, f"cannot be read: {error.strerror}") from error
        if _is_blank(text):  # whoever destroyed it was stopped before its name was gone
            raise keyless(name)
        if found is None or found[1].decode() != name:
            raise _unusable(path, f"is not the key of the class {name}")
        held = bytes.fromhex(found[2].decode())
        ids = blake3(held, derive_key_context=_IDS).digest(CLASS_KEY_BYTES)
        sealing = blake3(held, derive_key_context=_SEALING).digest(_SEALING_BYTES)
        key = self._keys[name] = _Key(seen, ValueIdMaker(ids), AESSIV(sealing))
        return key


def class_key_files(store: Path) -> list[Path]:
    """The key files beside a store, by name."""
    with contextlib.suppress(OSError):
        return sorted(store.parent.glob(f"{store.name}.class-*.key"))
    return []


def _is_blank(text: bytes) -> bool:
    return not text.strip(b"\0")


def _padded_bytes(size: int) -> int:
    """The length that a value of this many bytes is padded to: a power of two, and a multiple of 4 KiB above that."""
    if size > PADDED_BYTES_STEP:
        return -(-size // PADDED_BYTES_STEP) * PADDED_BYTES_STEP
    return max(PADDED_BYTES_MIN, 1 << (size - 1).bit_length())


def _unusable(path: Path, fault: str) -> StorageError:
    return StorageError(
        f"The key file {path} {fault}",
        hint="The values of its class cannot be read or written without it. Put the store's own key file back.",
    )
