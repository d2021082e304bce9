"""Rows at rest: a flag, a checksum over all that the row says, and the payload, compressed where that helps."""

from __future__ import annotations

import zlib
from typing import Any, Final

import zstandard

from asg_mcp.core.classes import Vault, keyless
from asg_mcp.core.commitments import ValueIdMaker
from asg_mcp.core.values import decode_trusted, encode
from asg_mcp.errors import StoreCorrupt
from asg_mcp.storage.dictionary import read_dictionary

_PLAIN, _ZSTD = b"\x00", b"\x01"
_HEAD = 5
_NO_CID = b"\x00"
"""First byte of a byte string that must not be taken for a CID by the encoder."""
COMPRESS_FROM_BYTES = 64
"""Below this the frame costs more than it saves."""
PAYLOAD_BYTES_MAX = 64 * 1_024 * 1_024
"""No row is larger when unpacked: a guard against a damaged length."""


LEVEL = 2
_DICTIONARY = zstandard.ZstdCompressionDict(read_dictionary())


class NoKeys:
    """A `Vault` without keys."""

    def value_ids(self, name: str) -> ValueIdMaker:
        """See Vault. Always raises Withheld."""
        raise keyless(name)

    def seal(self, name: str, plain: bytes) -> bytes:
        """See Vault. Always raises Withheld."""
        raise keyless(name)

    def open(self, name: str, sealed: bytes) -> bytes:
        """See Vault. Always raises Withheld."""
        raise keyless(name)


NO_KEYS: Final = NoKeys()


class Sealer:
    """Seals and opens rows. One for each connection: the compressor's contexts belong to one thread.

    With a vault it also opens what is stored under the keys of sensitive prefixes.
    """

    def __init__(self, vault: Vault = NO_KEYS) -> None:
        self._vault = vault
        self._compress = zstandard.ZstdCompressor(
            level=LEVEL, dict_data=_DICTIONARY, write_checksum=False, write_content_size=True, write_dict_id=False
        ).compress
        self._decompress = zstandard.ZstdDecompressor(
            dict_data=_DICTIONARY, max_window_size=PAYLOAD_BYTES_MAX, format=zstandard.FORMAT_ZSTD1
        ).decompress

    def seal(self, payload: bytes, identity: bytes) -> bytes:
        """The stored bytes. `identity` is what else the row says (kind, number, columns); the checksum covers it."""
        flag, data = _PLAIN, payload
        if len(payload) >= COMPRESS_FROM_BYTES:
            packed = self._compress(payload)
            if len(packed) < len(payload):
                flag, data = _ZSTD, packed
        check = zlib.crc32(data, zlib.crc32(flag + identity))
        return flag + check.to_bytes(4, "big") + data

    def open(self, stored: bytes, identity: bytes, what: str) -> bytes:
        """The payload. Raises StoreCorrupt, naming `what`, unless the bytes are those that were sealed."""
        flag, data = stored[:1], stored[_HEAD:]
        check = zlib.crc32(data, zlib.crc32(flag + identity))
        if len(stored) < _HEAD or check.to_bytes(4, "big") != stored[1:_HEAD]:
            raise StoreCorrupt(f"The stored bytes of {what} are damaged", what=what)
        if flag == _PLAIN:
            return data
        try:
            return self._decompress(data, max_output_size=PAYLOAD_BYTES_MAX)
        except zstandard.ZstdError as error:
            raise StoreCorrupt(f"The stored bytes of {what} cannot be unpacked: {error}", what=what) from error

    def closed(self, group: str, payload: bytes) -> bytes:
        """The payload of a blob as it is stored under the key of a class. Raises Withheld without that key."""
        return encode([group, _NO_CID + self._vault.seal(group, payload)])

    def opened(self, parts: list[Any], what: str) -> Any:
        """The value in the parts of a blob. Raises Withheld when it is under a key that is not there."""
        if len(parts) == 1:
            return parts[0]
        group, sealed = parts
        return unpack(self._vault.open(group, sealed[len(_NO_CID) :]), what)[0]


def unpack(payload: bytes, what: str) -> list[object]:
    """The list that a payload holds. Raises StoreCorrupt when it is none."""
    try:
        parts = decode_trusted(payload)
    except ValueError as error:  # the checksum held, so this is a fault of the writer and no flipped bit
        raise StoreCorrupt(f"The stored bytes of {what} are no list: {error}", what=what) from error
    if type(parts) is not list:
        raise StoreCorrupt(f"The stored bytes of {what} are no list", what=what)
    return parts
