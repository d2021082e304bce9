"""Bytes to lines to JSON-RPC messages, with every way it can go wrong answered.

Pure: no I/O. A line that is too long is never held whole, and one that is not a
message gets an error reply; the connection goes on with the next line.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

import orjson
from mcp_types import (
    INVALID_REQUEST,
    PARSE_ERROR,
    ErrorData,
    JSONRPCError,
    JSONRPCMessage,
    JSONRPCNotification,
    JSONRPCRequest,
    RequestId,
    jsonrpc_message_adapter,
)
from pydantic import ValidationError
from pydantic_core import from_json

from asg_mcp.core.limits import LINE_BYTES_MAX
from asg_mcp.server.arguments import shown

ENDLESS_METHODS = frozenset({"subscriptions/listen"})
"""Requests answered only when the connection ends; nobody waits for them to finish."""
_END_BYTES = 4_096
"""Kept of both ends of a line that is too long: the id of a request is at one of them."""
_ID = rb'"id"\s*:\s*(?P<id>-?\d{1,18}|"[^"\\\x00-\x1f]{0,200}")\s*'
# Writers put the id first, behind the version, or last. An id found so is the
# request's own: before it only the version and method passed, or after it the outermost brace closes.
_ID_AT_START = re.compile(rb'\s*\{\s*(?:"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*,\s*)*' + _ID + rb"[,}]")
_QUOTES = 12
"""In a request besides its params and its id: around the names jsonrpc, id, method and params, and around two texts."""
_ID_AT_END = re.compile(rb"[,{]\s*" + _ID + rb'(?:,\s*"(?:jsonrpc|method)"\s*:\s*"[^"\\]*"\s*)*\}\s*\Z')


@dataclass(frozen=True, slots=True)
class OverlongLine:
    """What is left of a line over the limit."""

    head: bytes
    tail: bytes
    size: int
    """In bytes."""

    def __len__(self) -> int:
        return self.size


Line = bytes | OverlongLine


class NotAMessage(Exception):
    """A line that is no message. `reply` is what its writer is told."""

    def __init__(self, code: int, message: str, request: RequestId | None) -> None:
        super().__init__(message)
        self.reply = JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=code, message=message))


class LineSplitter:
    """Cuts a stream of chunks into lines, holding at most one line and never more of it than the limit."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._parts: list[bytes] = []
        self._size = 0
        self._head = b""
        self._tail = b""

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that `chunk` completes, without their line feeds."""
        lines: list[Line] = []
        start = 0
        while (end := chunk.find(b"\n", start)) >= 0:
            self._add(chunk[start:end])
            lines.append(self._take())
            start = end + 1
        if start < len(chunk):
            self._add(chunk[start:])
        return lines

    def rest(self) -> Line:
        """The last line, when the stream ends without a line feed; empty otherwise."""
        return self._take()

    def _add(self, part: bytes) -> None:
        overlong = self._size > self._line_bytes_max
        self._size += len(part)
        if overlong:
            self._tail = (self._tail + part)[-_END_BYTES:]
        elif self._size > self._line_bytes_max:
            self._parts.append(part)
            held = b"".join(self._parts)
            self._parts.clear()
            self._head, self._tail = held[:_END_BYTES], held[-_END_BYTES:]
        else:
            self._parts.append(part)

    def _take(self) -> Line:
        line: Line
        if self._size > self._line_bytes_max:
            line = OverlongLine(self._head, self._tail, self._size)
        else:
            line = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts, self._size, self._head, self._tail = [], 0, b"", b""
        return line


def is_blank(line: Line) -> bool:
    """Whether there is nothing in a line, which is then no message and no mistake."""
    return isinstance(line, bytes) and (not line or line.isspace())


def parse(line: Line) -> JSONRPCMessage:
    """The message in a line that is not blank. Raises NotAMessage."""
    if isinstance(line, OverlongLine):
        size = f"The message has {line.size} bytes; at most {LINE_BYTES_MAX} are read"
        raise NotAMessage(
            INVALID_REQUEST, f"{size}. Split the work over several calls.", _salvaged_id(line.head, line.tail)
        )
    try:
        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValidationError:
        return _parsed_leniently(line)
    if isinstance(message, JSONRPCRequest):
        check_names(line, message.id, message.params)
    elif isinstance(message, JSONRPCNotification):
        check_id(from_json(line))
    return message


def check_id(document: Any) -> None:
    """Raise NotAMessage for a call whose id is none: taken for a notification, it would do its work and say nothing."""
    if isinstance(document, dict) and {"id", "method"} <= document.keys() and type(document["id"]) not in (int, str):
        raise NotAMessage(INVALID_REQUEST, "The id of a request is a whole number or a text", None)


def check_names(line: bytes, request: RequestId, params: Any) -> None:
    """Raise NotAMessage if an object in the line has a key twice: whoever looked at it before may have read the other.

    `params` are what was read of the line. Most writers write them as they are written here, to the byte, so nothing
    in them was left out; and then a count of quotes tells that nothing else was. That takes 2.5 us for a line of 1 KB,
    and what follows 10.
    """
    try:
        written = orjson.dumps(params)
    except TypeError:  # integers beyond 64 bits
        written = b""
    quotes = line.count(b'"') - written.count(b'"') - 2 * isinstance(request, str)
    if quotes == _QUOTES and len(written) > len(b"{}") and written in line:
        return
    try:
        _DECODER.decode(line.decode())
    except _NamedTwice as problem:
        raise _twice(problem, request) from None


class _NamedTwice(Exception):
    """An object has the key that this names twice."""


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _NamedTwice(next(name for place, name in enumerate(names) if name in names[:place]))
    return found


_DECODER = json.JSONDecoder(object_pairs_hook=_named_once, parse_int=float)
"""Looks for names alone; float reads whole numbers of any length."""


def _twice(problem: _NamedTwice, request: RequestId | None) -> NotAMessage:
    text = f"An object in the message has the key {shown(problem.args[0])} twice. Name each key once."
    return NotAMessage(INVALID_REQUEST, text, request)


def still_under_way(request: RequestId) -> JSONRPCError:
    """The error of a request whose id is that of another, not yet answered: replies could not be told apart."""
    message = f"A request with the id {request!r} is still being worked on"
    return JSONRPCError(jsonrpc="2.0", id=request, error=ErrorData(code=INVALID_REQUEST, message=message))


def _parsed_leniently(line: bytes) -> JSONRPCMessage:
    """The second look at a line the fast parser refused.

    It refuses lone surrogates and deep nesting as bad JSON, without the id; read
    this way, the call reaches the check that names the value to the caller.
    """
    try:
        document = json.loads(line, object_pairs_hook=_named_once)
    except _NamedTwice as problem:
        raise _twice(problem, _salvaged_id(line[:_END_BYTES], line[-_END_BYTES:])) from None
    except RecursionError:
        known = _salvaged_id(line[:_END_BYTES], line[-_END_BYTES:])
        raise NotAMessage(INVALID_REQUEST, "The message is nested too deep to be read", known) from None
    except ValueError:
        # Of bad JSON the end says nothing: what closes there need not be the outermost object.
        known = _salvaged_id(line[:_END_BYTES], b"")
        raise NotAMessage(PARSE_ERROR, "The line is not JSON; each message is one line of JSON", known) from None
    given = document.get("id") if isinstance(document, dict) else None
    check_id(document)
    known = given if type(given) is int or (isinstance(given, str) and given.isprintable()) else None
    try:
        message = jsonrpc_message_adapter.validate_python(document, by_name=False)
    except ValidationError:
        raise NotAMessage(
            INVALID_REQUEST, "The line is no JSON-RPC 2.0 message; batches are not taken, send one a line", known
        ) from None
    if isinstance(given, str) and not _is_unicode(given):
        # No reply could carry it.
        raise NotAMessage(INVALID_REQUEST, "The id of the message is no Unicode text", None)
    return message


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _salvaged_id(head: bytes, tail: bytes) -> RequestId | None:
    found = _ID_AT_START.match(head) or _ID_AT_END.search(tail)
    if found is None:
        return None
    written = found["id"]
    return written[1:-1].decode(errors="replace") if written.startswith(b'"') else int(written)
