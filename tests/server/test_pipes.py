"""Reading and writing descriptors that are no pipes, and taking the standard ones."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from asg_mcp.server import pipes
from asg_mcp.server.pipes import CHUNK_BYTES, claimed_stdio, open_input, open_output
from tests.kit.rpc import WAIT_SECONDS


async def test_a_file_is_read_no_further_ahead_than_the_reader_allows(tmp_path: Path) -> None:
    content = os.urandom(8 * CHUNK_BYTES + 5)
    (tmp_path / "in").write_bytes(content)
    with (tmp_path / "in").open("rb") as file:
        reader, transport = await open_input(file.fileno())
        assert isinstance(transport, pipes._ThreadInput)
        async with asyncio.timeout(WAIT_SECONDS):
            while not transport._paused:  # noqa: ASYNC110  # no event tells of it
                await asyncio.sleep(0)
            for _ in range(10_000):  # Time enough to read on, if it did.
                await asyncio.sleep(0)
            assert os.lseek(file.fileno(), 0, os.SEEK_CUR) <= 4 * CHUNK_BYTES
            assert await reader.read() == content
    assert transport.is_closing()


async def test_a_file_is_read_to_its_end_or_until_closed(tmp_path: Path) -> None:
    (tmp_path / "in").write_bytes(b"one\n")
    with (tmp_path / "in").open("rb") as file:
        reader, transport = await open_input(file.fileno())
        transport.close()
        async with asyncio.timeout(WAIT_SECONDS):
            assert await reader.read() in (b"", b"one\n")


async def test_what_is_written_to_a_file_is_there_after_a_flush(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        output = open_output(file.fileno(), on_broken=lambda: None)
        output.write(b"a" * 1_000_000)
        output.write(b"b")
        async with asyncio.timeout(WAIT_SECONDS):
            await output.flush()
        output.close()
        assert output.pending_bytes == 0
    assert (tmp_path / "out").read_bytes() == b"a" * 1_000_000 + b"b"


async def test_what_a_pipe_does_not_take_waits_until_it_is_read() -> None:
    wire_in, wire_out = os.pipe()
    output = open_output(wire_out, on_broken=lambda: None)
    output.write(b"a" * 1_000_000)
    output.write(b"b" * 1_000_000)
    assert output.pending_bytes > 1_000_000
    reader, transport = await open_input(wire_in)
    async with asyncio.timeout(WAIT_SECONDS):
        assert await reader.readexactly(2_000_000) == b"a" * 1_000_000 + b"b" * 1_000_000
        await output.flush()
    assert output.pending_bytes == 0
    transport.close()
    output.close()
    os.close(wire_out)
    os.close(wire_in)


@pytest.mark.parametrize("size", [10, 1_000_000])
async def test_a_pipe_that_nobody_reads_any_more_is_reported_once_and_takes_everything(size: int) -> None:
    wire_in, wire_out = os.pipe()
    broken: list[bool] = []
    output = open_output(wire_out, on_broken=lambda: broken.append(True))
    if size > 10:
        output.write(b"a" * size)  # more than a pipe holds: the rest waits
    os.close(wire_in)
    output.write(b"b" * size)
    async with asyncio.timeout(WAIT_SECONDS):
        await output.flush()
    output.write(b"c")
    assert (broken, output.pending_bytes) == ([True], 0)
    output.close()
    os.close(wire_out)


def test_the_standard_descriptors_are_given_back(capfd: pytest.CaptureFixture[str]) -> None:
    with claimed_stdio() as (_, wire_out):
        os.write(1, b"stray\n")
        os.write(wire_out, b"wire\n")
        assert os.read(0, 1) == b""
    os.write(1, b"after\n")
    said = capfd.readouterr()
    assert (said.out, said.err) == ("wire\nafter\n", "stray\n")


def test_a_pipe_is_left_as_it_was_for_others_who_hold_it() -> None:
    wire_in, wire_out = os.pipe()
    kept = os.dup(1)
    os.dup2(wire_out, 1)
    try:
        with claimed_stdio() as (_, claimed_out):
            os.set_blocking(claimed_out, False)
            assert not os.get_blocking(wire_out)
        assert os.get_blocking(wire_out)
    finally:
        os.dup2(kept, 1)
        for fd in (wire_in, wire_out, kept):
            os.close(fd)
