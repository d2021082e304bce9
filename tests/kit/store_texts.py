"""What a closed store's file holds, row by row and unpacked: a text in a compressed row is in no byte of the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from zstandard import ZstdCompressionDict, ZstdDecompressor, ZstdError

from asg_mcp.storage.dictionary import read_dictionary

_FRAME = b"\x28\xb5\x2f\xfd"
"""The first bytes of everything that is compressed."""


def store_tells(path: Path, secret: str) -> list[str]:
    """The tables in which a text is, in any case of letters; its parts, too, as an index of words has them."""
    words = {part.lower().encode() for part in (secret, *secret.split("_")) if len(part) > len(secret) // 2}
    return sorted({table for table, held in _cells(path) if any(word in held.lower() for word in words)})


def _cells(path: Path) -> Iterator[tuple[str, bytes]]:
    unpack = ZstdDecompressor(dict_data=ZstdCompressionDict(read_dictionary()))
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        # The tables of a virtual one hold what is in it.
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE 'CREATE VIRTUAL%'"
        for (table,) in database.execute(tables).fetchall():
            for row in database.execute(f'SELECT * FROM "{table}"'):
                for cell in row:
                    held = cell if isinstance(cell, bytes) else str(cell).encode()
                    yield table, held
                    yield from ((table, text) for text in _unpacked(unpack, held))


def _unpacked(unpack: ZstdDecompressor, held: bytes) -> Iterator[bytes]:
    at = held.find(_FRAME)
    while at >= 0:
        try:
            yield unpack.decompressobj().decompress(held[at:])
        except ZstdError:  # the same four bytes by chance
            pass
        at = held.find(_FRAME, at + 1)
