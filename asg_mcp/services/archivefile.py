"""The file of an archive: zip, stored and never compressed, in one fixed form, written and read piece by piece.

Names, times, attributes and order are fixed and all sizes are in zip64 form, so the same files give the same bytes,
two programs cannot read two different things in it, no name can lead out of a folder, and nothing unpacks to more than
it is. (APPNOTE.TXT 6.3.10, sections 4.3.7 to 4.3.16 and 4.5.3.)
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, BinaryIO

from asg_mcp.core.limits import ARCHIVE_RECORD_BYTES_MAX
from asg_mcp.core.values import decode_block
from asg_mcp.errors import InvalidValue
from asg_mcp.repo.archived import damaged

CHUNK_BYTES = 1_024 * 1_024
_LOCAL = struct.Struct("<IHHHHHIIIHH")
_LOCAL_SIZES = struct.Struct("<HHQQ")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_CENTRAL_SIZES = struct.Struct("<HHQQQ")
_END_64 = struct.Struct("<IQHHIIQQQQ")
_LOCATOR = struct.Struct("<IIQI")
_END = struct.Struct("<IHHHHIIH")
_DATE = 0x21  # 1980-01-01, the first that zip has
_VERSION = 45  # the first with zip64
_MADE_BY = 3 << 8 | _VERSION  # Unix, for the attributes
_MODE = 0o100600 << 16
_FULL, _FULL_16 = 0xFFFFFFFF, 0xFFFF
_NAME_BYTES_MAX = 100


@dataclass(frozen=True, slots=True)
class Part:
    """One file in an archive."""

    name: str
    start: int
    """Of its local header, in bytes from the beginning."""
    size: int
    crc: int
    sha256: str

    @property
    def content(self) -> int:
        """Where its bytes begin."""
        return self.start + _LOCAL.size + len(self.name) + _LOCAL_SIZES.size


def _local(name: str, crc: int, size: int) -> bytes:
    head = _LOCAL.pack(0x04034B50, _VERSION, 0, 0, 0, _DATE, crc, _FULL, _FULL, len(name), _LOCAL_SIZES.size)
    return head + name.encode() + _LOCAL_SIZES.pack(1, _LOCAL_SIZES.size - 4, size, size)


def _central(part: Part) -> bytes:
    head = (0x02014B50, _MADE_BY, _VERSION, 0, 0, 0, _DATE, part.crc, _FULL, _FULL, len(part.name))
    rest = _CENTRAL.pack(*head, _CENTRAL_SIZES.size, 0, 0, 0, _MODE, _FULL)
    sizes = _CENTRAL_SIZES.pack(1, _CENTRAL_SIZES.size - 4, part.size, part.size, part.start)
    return rest + part.name.encode() + sizes


def _directory(parts: Iterable[Part], start: int) -> bytes:
    """What stands behind the last file."""
    entries = [_central(part) for part in parts]
    central, count = b"".join(entries), len(entries)
    end = start + len(central)
    whole = _END_64.pack(0x06064B50, _END_64.size - 12, _MADE_BY, _VERSION, 0, 0, count, count, len(central), start)
    locator = _LOCATOR.pack(0x07064B50, 0, end, 1)
    return central + whole + locator + _END.pack(0x06054B50, 0, 0, _FULL_16, _FULL_16, _FULL, _FULL, 0)


class ArchiveWriter:
    """Writes an archive to a file that can be sought in, from its beginning."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._at = 0
        self.parts: list[Part] = []

    def add(self, name: str, pieces: Iterable[bytes]) -> Part:
        """One file more. Raises OSError, and what `pieces` raises."""
        start, crc, size, digest = self._at, 0, 0, sha256()
        self._file.write(_local(name, 0, 0))
        for piece in pieces:
            self._file.write(piece)
            crc, size = zlib.crc32(piece, crc), size + len(piece)
            digest.update(piece)
        part = Part(name, start, size, crc, digest.hexdigest())
        self._file.seek(start)
        self._file.write(_local(name, crc, size))
        self._at = part.content + size
        self._file.seek(self._at)
        self.parts.append(part)
        return part

    def end(self) -> int:
        """Write the directory; how many bytes the archive has."""
        self._file.write(_directory(self.parts, self._at))
        return self._file.tell()


def read_parts(file: BinaryIO) -> list[Part]:
    """The files of an archive, whose bytes are not looked at. Raises ArchiveDamaged unless all else is as written."""
    size = file.seek(0, 2)
    parts: list[Part] = []
    at = 0
    while (head := _read(file, at, _LOCAL.size))[:4] == b"PK\x03\x04":
        if len(head) < _LOCAL.size:
            raise damaged(f"byte {at}", "the file ends inside the header of a file")
        length = _LOCAL.unpack(head)[9]
        whole = _read(file, at, _LOCAL.size + min(length, _NAME_BYTES_MAX) + _LOCAL_SIZES.size)
        part = _part_of(whole, at)
        if part is None or part.content + part.size > size:
            raise damaged(f"byte {at}", "has a file in another form than export-repo writes, or it is cut off")
        parts.append(part)
        at = part.content + part.size
    if _read(file, at, size - at if size - at < 200 * (len(parts) + 2) else 0) != _directory(parts, at):
        raise damaged(f"byte {at}", "has something else behind its files than their directory, or is cut off")
    return parts


def _part_of(head: bytes, at: int) -> Part | None:
    """The file that a local header tells of; None where it is not in the one form that it may have."""
    if len(head) < _LOCAL.size + _LOCAL_SIZES.size:
        return None
    crc = _LOCAL.unpack_from(head)[6]
    raw = head[_LOCAL.size : -_LOCAL_SIZES.size]
    if not raw.isascii():
        return None
    name, size = raw.decode(), _LOCAL_SIZES.unpack_from(head, len(head) - _LOCAL_SIZES.size)[2]
    return Part(name, at, size, crc, "") if head == _local(name, crc, size) else None


def _read(file: BinaryIO, at: int, count: int) -> bytes:
    file.seek(at)
    return file.read(count)


def content_of(file: BinaryIO, part: Part) -> Iterator[bytes]:
    """The bytes of a file, in pieces. Raises ArchiveDamaged at its end where they are not those that were written."""
    crc, digest, at, left = 0, sha256(), part.content, part.size
    while left:
        piece = _read(file, at, min(left, CHUNK_BYTES))
        if not piece:
            raise damaged(part.name, "is cut off")
        crc = zlib.crc32(piece, crc)
        digest.update(piece)
        at, left = at + len(piece), left - len(piece)
        yield piece
    if crc != part.crc or digest.hexdigest() != part.sha256:
        raise damaged(part.name, "is not what was written (SHA-256 or CRC-32)")


def records_of(file: BinaryIO, part: Part) -> Iterator[Any]:
    """The records of a file, each with its length before it. Raises ArchiveDamaged, which names the place."""
    buffer, at, offset = bytearray(), 0, 0
    """What was read and not yet taken, where in it the next record begins, and where it begins in the file."""
    for piece in content_of(file, part):
        del buffer[:at]
        buffer += piece
        offset, at = offset + at, 0
        while True:
            head = _length(buffer, at, f"{part.name}, byte {offset + at}")
            if head is None or len(buffer) - head[0] < head[1]:
                break
            start, length = head
            yield _decoded(bytes(buffer[start : start + length]), f"{part.name}, byte {offset + at}")
            at = start + length
    if at != len(buffer):
        raise damaged(f"{part.name}, byte {offset + at}", "ends inside a record")


def _length(buffer: bytearray, at: int, where: str) -> tuple[int, int] | None:
    """Where the next record begins and how long it is; None where that is not all here."""
    if at == len(buffer):
        return None
    first = buffer[at]
    more = {24: 1, 25: 2, 26: 4}.get(first, 0)
    if first >> 5 or (first >= 24 and not more):
        raise damaged(where, "has no length before a record")
    if len(buffer) - at <= more:
        return None
    length = int.from_bytes(buffer[at + 1 : at + 1 + more], "big") if more else first
    if not 0 < length <= ARCHIVE_RECORD_BYTES_MAX or (more and length < (24, 1 << 8, 0, 1 << 16)[more - 1]):
        raise damaged(where, f"has a record of {length} bytes, or its length in another form")
    return at + 1 + more, length


def _decoded(data: bytes, where: str) -> Any:
    try:
        return decode_block(data)
    except InvalidValue as error:
        raise damaged(where, error.message) from error
