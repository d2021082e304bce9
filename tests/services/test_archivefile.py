"""The one form of an archive's file: read by any program for zip, and by ours in no other form."""

from __future__ import annotations

import io
import zipfile

import pytest

from asg_mcp.core.values import encode
from asg_mcp.errors import ArchiveDamaged
from asg_mcp.services import archivefile
from asg_mcp.services.archivefile import ArchiveWriter, Part, content_of, read_parts, records_of


def written(files: dict[str, list[bytes]]) -> tuple[io.BytesIO, list[Part]]:
    """An archive, and what its writer says of its files."""
    out = io.BytesIO()
    writer = ArchiveWriter(out)
    for name, pieces in files.items():
        writer.add(name, pieces)
    assert writer.end() == len(out.getvalue())
    return out, writer.parts


def test_what_is_written_in_pieces_is_read_by_any_program_for_zip() -> None:
    out, parts = written({"a": [b"one", b"", b"two"], "folder/b": [], "c": [bytes(3_000_000)]})
    with zipfile.ZipFile(out) as archive:
        assert archive.testzip() is None
        assert {name: archive.read(name) for name in archive.namelist()} == {
            "a": b"onetwo",
            "folder/b": b"",
            "c": bytes(3_000_000),
        }
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    found = read_parts(out)
    assert [(part.name, part.start, part.size, part.crc) for part in found] == [
        (part.name, part.start, part.size, part.crc) for part in parts
    ]
    assert [b"".join(content_of(out, part)) for part in parts] == [b"onetwo", b"", bytes(3_000_000)]


def test_an_archive_without_files_is_one() -> None:
    out, _ = written({})
    assert read_parts(out) == []


@pytest.mark.parametrize("data", [b"", b"PK", b"PK\x03\x04", b"PK\x05\x06" + bytes(18), b"x" * 5_000])
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(ArchiveDamaged, match="byte 0 of the archive"):
        read_parts(io.BytesIO(data))


def test_another_content_of_the_same_length_is_noticed_at_its_end() -> None:
    out, parts = written({"a": [b"one"]})
    out.getbuffer()[parts[0].content] ^= 1
    with pytest.raises(ArchiveDamaged, match="a of the archive: is not what was written"):
        list(content_of(out, parts[0]))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100_000])
def test_records_are_the_same_however_they_fall_into_pieces(monkeypatch: pytest.MonkeyPatch, chunk: int) -> None:
    monkeypatch.setattr(archivefile, "CHUNK_BYTES", chunk)
    records = [[number, "x" * number] for number in (0, 1, 19, 20, 24, 250, 255, 256, 300)]
    raw = b"".join(encode(len(data)) + data for data in map(encode, records))
    out, parts = written({"r": [raw]})
    assert list(records_of(out, parts[0])) == records
    cut, parts = written({"r": [raw[:-1]]})
    with pytest.raises(ArchiveDamaged, match="ends inside a record"):
        list(records_of(cut, parts[0]))
