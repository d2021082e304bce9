"""The process's own stdin and stdout, read and written without ever blocking the event loop.

Pipes and sockets are used non-blocking: no thread is woken for a message. Anything
else (a file, a terminal, any handle on Windows) is read and written by a thread.
"""

from __future__ import annotations

import asyncio
import os
import queue
import stat
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Protocol

CHUNK_BYTES = 256 * 1_024
"""Read at once; the kernel's pipe buffers hold 64 KiB to 1 MiB."""


@contextmanager
def claimed_stdio() -> Iterator[tuple[int, int]]:
    """Take stdin and stdout for the protocol; yields private descriptors of both.

    Meanwhile descriptor 0 is empty and descriptor 1 is stderr, so that a stray
    print, or a child process, cannot corrupt the protocol. Undone at the end.
    """
    sys.stdout.flush()
    wire_in, wire_out = _dup_above_std(0), _dup_above_std(1)
    were_blocking = {fd: os.get_blocking(fd) for fd in (wire_in, wire_out) if _is_pollable(fd)}
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    try:
        os.dup2(2, 1)
    except OSError:  # no stderr
        os.dup2(nothing, 1)
    os.close(nothing)
    try:
        yield wire_in, wire_out
    finally:
        sys.stdout.flush()
        # The flag belongs to the pipe and not to the descriptor: others may hold it too.
        for fd, blocking in were_blocking.items():
            os.set_blocking(fd, blocking)
        os.dup2(wire_in, 0)
        os.dup2(wire_out, 1)
        # The private descriptors stay open: a thread may still be blocked on one, and its number must not be reused.


async def open_input(fd: int) -> tuple[asyncio.StreamReader, asyncio.ReadTransport]:
    """A reader of `fd`. Closing the transport ends the stream: what was read already is still delivered."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=CHUNK_BYTES)
    if not _is_pollable(fd):
        pump = _ThreadInput(loop, fd, reader)
        reader.set_transport(pump)
        return reader, pump
    pipe = os.fdopen(os.dup(fd), "rb", buffering=0)
    transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
    return reader, transport


class Output(Protocol):
    """Bytes on their way out, in order. Writing never blocks and never fails."""

    pending_bytes: int
    """Accepted and not yet taken by the operating system."""

    def write(self, data: bytes) -> None:
        """Send `data`, as soon as the other side reads; nothing once it is gone."""

    async def flush(self) -> None:
        """Return when nothing is pending, or the other side is gone."""

    def close(self) -> None:
        """Drop what is pending."""


def open_output(fd: int, on_broken: Callable[[], None]) -> Output:
    """An output to `fd`. `on_broken` is called once, when the other side is gone."""
    loop = asyncio.get_running_loop()
    return _PipeOutput(loop, fd, on_broken) if _is_pollable(fd) else _ThreadOutput(loop, fd, on_broken)


def _is_pollable(fd: int) -> bool:
    mode = os.fstat(fd).st_mode
    return sys.platform != "win32" and (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode))


def _dup_above_std(fd: int) -> int:
    """A duplicate of `fd` that is not 0, 1 or 2, even where one of those is closed."""
    duplicate = os.dup(fd)
    if duplicate > 2:
        return duplicate
    try:
        return _dup_above_std(fd)
    finally:
        os.close(duplicate)


class _ThreadInput(asyncio.ReadTransport):
    """Reads blocking, in a thread, one chunk ahead. The thread may outlive it, waiting for input that never comes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, reader: asyncio.StreamReader) -> None:
        super().__init__()
        self._loop, self._fd, self._reader = loop, fd, reader
        self._closed = False
        self._paused = False
        self._may_read = threading.Event()
        self._may_read.set()
        threading.Thread(target=self._work, name="stdin", daemon=True).start()

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._may_read.set()

    def is_closing(self) -> bool:
        return self._closed

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._reader.feed_eof()

    def _work(self) -> None:
        chunk = b"more"
        while chunk:
            self._may_read.wait()
            self._may_read.clear()
            try:
                chunk = os.read(self._fd, CHUNK_BYTES)
            except OSError:
                chunk = b""
            try:
                self._loop.call_soon_threadsafe(self._arrived, chunk)
            except RuntimeError:  # the loop is closed
                return

    def _arrived(self, chunk: bytes) -> None:
        if self._closed:
            return
        if not chunk:
            self.close()
            return
        self._reader.feed_data(chunk)  # may pause
        if not self._paused:
            self._may_read.set()


class _PipeOutput:
    """Writes what the pipe takes at once and the rest when it is writable again."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, on_broken: Callable[[], None]) -> None:
        os.set_blocking(fd, False)
        self._loop, self._fd, self._on_broken = loop, fd, on_broken
        self._queue: deque[memoryview] = deque()
        self._idle = asyncio.Event()
        self._idle.set()
        self._broken = False
        self.pending_bytes = 0

    def write(self, data: bytes) -> None:
        if self._broken:
            return
        rest = memoryview(data)
        if not self._queue:
            rest = rest[self._taken(rest) :]
            if not rest or self._broken:
                return
            self._idle.clear()
            self._loop.add_writer(self._fd, self._resume)
        self._queue.append(rest)
        self.pending_bytes += len(rest)

    async def flush(self) -> None:
        await self._idle.wait()

    def close(self) -> None:
        if self._queue:
            self._queue.clear()
            self._loop.remove_writer(self._fd)
        self.pending_bytes = 0
        self._idle.set()

    def _taken(self, data: memoryview) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:
            self._broken = True
            self.close()
            self._on_broken()
            return 0

    def _resume(self) -> None:
        while self._queue:
            first = self._queue[0]
            taken = self._taken(first)
            if self._broken:
                return
            self.pending_bytes -= taken
            if taken < len(first):
                self._queue[0] = first[taken:]
                return
            if len(self._queue) == 1:
                self._loop.remove_writer(self._fd)
                self._idle.set()
            self._queue.popleft()


class _ThreadOutput:
    """Writes blocking, in a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fd: int, on_broken: Callable[[], None]) -> None:
        self._loop, self._fd, self._on_broken = loop, fd, on_broken
        self._queue: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._idle = asyncio.Event()
        self._idle.set()
        self._broken = False
        self.pending_bytes = 0
        threading.Thread(target=self._work, name="stdout", daemon=True).start()

    def write(self, data: bytes) -> None:
        if not self._broken:
            self.pending_bytes += len(data)
            self._idle.clear()
            self._queue.put(data)

    async def flush(self) -> None:
        await self._idle.wait()

    def close(self) -> None:
        self._broken = True
        self._queue.put(b"")

    def _work(self) -> None:
        while data := self._queue.get():
            rest = memoryview(data)
            try:
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
            except OSError:
                self._tell(self._broke)
                return
            self._tell(partial(self._wrote, len(data)))

    def _tell(self, news: Callable[[], None]) -> None:
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(news)

    def _wrote(self, size: int) -> None:
        self.pending_bytes -= size
        if not self.pending_bytes:
            self._idle.set()

    def _broke(self) -> None:
        self._broken = True
        self.pending_bytes = 0
        self._idle.set()
        self._on_broken()
