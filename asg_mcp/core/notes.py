"""Signed notes and checkpoints of a log, in the plain-text forms of C2SP.

    note         text, ending in a newline; an empty line; one or more signature lines
    signature    — NAME BASE64(key id ‖ signature)
    key id       first 4 bytes of SHA-256(NAME ‖ 0x0A ‖ 0x01 ‖ public key), for Ed25519
    checkpoint   ORIGIN, SIZE in decimal, BASE64 of the root; each a line; then lines of extensions, if any
    keys         NAME+KEYID+BASE64(0x01 ‖ public key)   PRIVATE+KEY+NAME+KEYID+BASE64(0x01 ‖ seed)

(https://c2sp.org/signed-note, https://c2sp.org/tlog-checkpoint.) Any program that knows
these forms can check what is signed here. Making and checking signatures is for a `Signer`.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

from asg_mcp.core.merkle import HASH_BYTES
from asg_mcp.errors import InvalidInput

NOTE_BYTES_MAX = 1_000_000
SIGNATURES_MAX = 100
"""What other parsers of notes take at most."""
KEY_BYTES = 32
"""Of an Ed25519 public key, and of the seed of a private one."""
KEY_ID_BYTES = 4
_ED25519 = b"\x01"
_PRIVATE = "PRIVATE+KEY+"
_DASH = "— "
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f]")
_SIZE = re.compile(r"0|[1-9][0-9]{0,18}")
_KEY_ID = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature line of a note."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def line(self) -> str:
        """The line, without its newline."""
        return f"{_DASH}{self.name} {b64encode(self.key_id + self.signature).decode()}"


@dataclass(frozen=True, slots=True)
class Note:
    """A text, and who signed it. Parsing verifies nothing."""

    text: str
    """With its last newline: exactly what is signed."""
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return f"{self.text}\n" + "".join(f"{signature.line}\n" for signature in self.signatures)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log was at one size. One origin and size have one root for ever."""

    origin: str
    """The name of the log."""
    size: int
    """How many leaves."""
    root: bytes
    """The RFC 6962 root over them."""

    @property
    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """An Ed25519 public key and the name it signs under."""

    name: str
    public: bytes

    @property
    def key_id(self) -> bytes:
        """The 4 bytes by which a signature line says whose it is."""
        return _key_id(self.name, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{b64encode(_ED25519 + self.public).decode()}"


class Signer(Protocol):
    """Whoever signs notes with a key of its own, and checks signatures of any."""

    def key(self, name: str) -> VerifierKey:
        """The key of a log of this name, made on first use. Raises StorageError where it cannot be read or kept."""
        ...

    def sign(self, name: str, text: str) -> Note:
        """The text as a note with one signature, that of the log's key. Raises as `key` does."""
        ...

    def is_signed(self, note: Note, key: VerifierKey) -> bool:
        """Whether the note has a signature of this key and every signature of this key holds."""
        ...


def parse_note(data: bytes) -> Note:
    """The note that these bytes are; nothing is verified. Raises InvalidInput."""
    if len(data) > NOTE_BYTES_MAX:
        raise _refused("note", f"has {len(data)} bytes; at most {NOTE_BYTES_MAX}")
    try:
        whole = data.decode()
    except UnicodeDecodeError as error:
        raise _refused("note", "is not UTF-8") from error
    if _CONTROL.search(whole):
        raise _refused("note", "has control characters")
    text, mark, below = whole.rpartition("\n\n")
    lines = below.split("\n")
    if not mark or lines.pop() or not lines:
        raise _refused("note", "does not end in an empty line and signature lines")
    if len(lines) > SIGNATURES_MAX:
        raise _refused("note", f"has {len(lines)} signatures; at most {SIGNATURES_MAX}")
    return Note(text + "\n", tuple(_signature(line) for line in lines))


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text is; lines of extensions are passed over. Raises InvalidInput."""
    *lines, last = text.split("\n")
    if last or len(lines) < 3 or "" in lines:
        raise _refused("checkpoint", "is not three lines or more, none of them empty")
    origin, size, root = lines[:3]
    if not _SIZE.fullmatch(size):
        raise _refused("checkpoint", "has no decimal number as its size")
    digest = _decoded("checkpoint", root)
    if len(digest) != HASH_BYTES:
        raise _refused("checkpoint", f"has a root of {len(digest)} bytes")
    return Checkpoint(origin, int(size), digest)


def parse_verifier_key(text: str) -> VerifierKey:
    """The key that `str` of one gives. Raises InvalidInput."""
    name, public = _parsed_key("public key", text)
    return VerifierKey(name, public)


def format_private_key(name: str, seed: bytes, public: bytes) -> str:
    """A private key in its text form, under which it is kept in a file."""
    check_key_name(name)
    return f"{_PRIVATE}{name}+{_key_id(name, public).hex()}+{b64encode(_ED25519 + seed).decode()}"


def parse_private_key(text: str) -> tuple[str, bytes, bytes]:
    """Name, key id and seed of a private key in its text form; the id is not compared. Raises InvalidInput."""
    if not text.startswith(_PRIVATE):
        raise _refused("private key", f"does not begin with {_PRIVATE}")
    name, key_id, seed = _key_parts("private key", text.removeprefix(_PRIVATE))
    return name, key_id, seed


def check_key_name(name: str) -> None:
    """Raise InvalidInput unless a key may have this name: not empty, no white space, no +."""
    if not name or "+" in name or any(character.isspace() for character in name) or _CONTROL.search(name):
        raise _refused("key name", "is empty, or has white space or a +")


def signatures_of(note: Note, key: VerifierKey) -> Iterable[Signature]:
    """The signatures of a note that say they are this key's."""
    return (one for one in note.signatures if (one.name, one.key_id) == (key.name, key.key_id))


def _signature(line: str) -> Signature:
    name, space, rest = line.removeprefix(_DASH).partition(" ")
    if not line.startswith(_DASH) or not space:
        raise _refused("note", "has a signature line of another form")
    check_key_name(name)
    raw = _decoded("note", rest)
    if len(raw) <= KEY_ID_BYTES:
        raise _refused("note", "has a signature that is too short")
    return Signature(name, raw[:KEY_ID_BYTES], raw[KEY_ID_BYTES:])


def _parsed_key(what: str, text: str) -> tuple[str, bytes]:
    name, key_id, key = _key_parts(what, text)
    if key_id != _key_id(name, key):
        raise _refused(what, "has another id than it says")
    return name, key


def _key_parts(what: str, text: str) -> tuple[str, bytes, bytes]:
    parts = text.split("+", 2)  # base64 may have a + of its own
    if len(parts) != 3 or not _KEY_ID.fullmatch(parts[1]):
        raise _refused(what, "is not NAME+KEYID+KEY")
    name, key_id, key = parts[0], bytes.fromhex(parts[1]), _decoded(what, parts[2])
    check_key_name(name)
    if key[:1] != _ED25519 or len(key) != 1 + KEY_BYTES:
        raise _refused(what, "is no Ed25519 key")
    return name, key_id, key[1:]


def _key_id(name: str, public: bytes) -> bytes:
    return sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:KEY_ID_BYTES]


def _decoded(what: str, text: str) -> bytes:
    """Standard base64 with padding, of which there is one spelling. Raises InvalidInput."""
    try:
        raw = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise _refused(what, "has something that is no base64") from error
    if b64encode(raw).decode() != text:
        raise _refused(what, "has base64 in another spelling")
    return raw


def _refused(what: str, fault: str) -> InvalidInput:
    return InvalidInput(
        f"The {what} {fault}", hint="Take it as it was exported, byte for byte: notes are plain text in UTF-8."
    )
