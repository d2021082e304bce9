"""Cursors: where the next page begins, as opaque text.

    cursor = URL-safe base64 of check (6 bytes) + canonical bytes of the position
    check  = BLAKE3 over kind, query and position

A cursor is made for one kind of call with one set of arguments, and answers
InvalidCursor to any other. The position pins the commit that the first page
read, so that later pages neither repeat nor miss anything while others write.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

from blake3 import blake3

from asg_mcp.core.limits import PAGE_ITEMS_MAX
from asg_mcp.core.values import decode_trusted, encode
from asg_mcp.errors import InvalidArgument, InvalidCursor, LimitExceeded
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Reader

_CHECK_BYTES = 6
_CURSOR_CHARS_MAX = 8_192
_SHOWN_CHARS = 40


def digest(*asked: object) -> str:
    """What stands for a call's arguments (limit and cursor left out), for `make` and `read`.

    Made from the arguments' repr, so they are plain data: str, int, None, tuples, enums, frozen dataclasses of these.
    """
    return blake3(repr(asked).encode(errors="surrogatepass")).hexdigest(16)


def make(kind: str, query_digest: str, position: list[Any]) -> str:
    """The cursor of a position: numbers, text, None, and lists of them. Equal input, equal cursor."""
    payload = encode(position)
    return urlsafe_b64encode(_check(kind, query_digest, payload) + payload).decode().rstrip("=")


def read(kind: str, query_digest: str, text: str, *shape: type) -> list[Any]:
    """The position that `make` was given.

    Raises InvalidCursor when the text is no cursor, or one of another kind of call or of other arguments, and when
    the position's items are not of the types of `shape`, where one is given.
    """
    try:
        if len(text) > _CURSOR_CHARS_MAX or not text.isascii():
            raise ValueError("no cursor is as long as that")
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
        check, payload = data[:_CHECK_BYTES], data[_CHECK_BYTES:]
        if check != _check(kind, query_digest, payload) or make(kind, query_digest, decode_trusted(payload)) != text:
            raise ValueError("the check does not hold")
        position = decode_trusted(payload)
    except ValueError:
        raise _invalid(text) from None
    if type(position) is not list or (shape and tuple(type(item) for item in position) != shape):
        raise _invalid(text)
    return position


def begin(view: View, ref: str, kind: str, query_digest: str, text: str, *shape: type) -> tuple[int, list[Any]]:
    """The commit that a call reads and the rest of its position: [] on the first page.

    The first item of such a position is the number of the commit that the first page read; `shape` is that of the
    others. The ref "" stands for the whole store, up to its newest commit. Raises what `read` and `resolve_ref` raise.
    """
    if not text:
        return (view.resolve(ref).seq if ref else view.reader.last_seq()), []
    seq, *position = read(kind, query_digest, text, int, *shape)
    check_seq(view.reader, seq, text)
    return seq, position


def check_seq(reader: Reader, seq: int, text: str) -> None:
    """Raise InvalidCursor unless the store has a commit of this number, which a cursor of another store may name."""
    if not 1 <= seq <= reader.last_seq():
        raise _invalid(text)


def _check(kind: str, query_digest: str, payload: bytes) -> bytes:
    """What ties a position to its call. To sign cursors, or to bind them to a principal, key this hash."""
    return blake3(encode([kind, query_digest]) + payload).digest(_CHECK_BYTES)


def _invalid(text: str) -> InvalidCursor:
    shown = text if len(text) <= _SHOWN_CHARS else text[:_SHOWN_CHARS] + "…"
    return InvalidCursor(
        f"The cursor {shown!r} was not made by this call with these arguments",
        hint="Repeat the call with the arguments it had, or without a cursor to start again from the first page.",
    )


def check_limit(limit: int) -> int:
    """The limit of a page, if it is one. Raises InvalidArgument and LimitExceeded."""
    if limit < 1:
        raise InvalidArgument(f"The limit is {limit}", hint=f"Give a limit from 1 to {PAGE_ITEMS_MAX}.")
    if limit > PAGE_ITEMS_MAX:
        raise LimitExceeded(
            f"The limit is {limit}; a page has at most {PAGE_ITEMS_MAX} items",
            hint="Use next_cursor for the rest.",
            limit="PAGE_ITEMS_MAX",
            max=PAGE_ITEMS_MAX,
        )
    return limit
