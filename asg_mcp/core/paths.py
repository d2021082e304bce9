"""Paths: JSON Pointers outside, tree keys inside.

A path is a JSON Pointer (RFC 6901) with one exception: "/" alone is the root, as
"" is. Inside, a path is a tuple of tokens, and the tree orders its entries by a
flat text key:

    key = every segment followed by U+0000
    map segment: the map key, with U+0000, U+0001, U+0002 written as U+0001 and
                 U+0003, U+0004, U+0005 (the order stays, and no map segment holds
                 the marks U+0000 and U+0002 before its end)
    list segment: U+0002, whatever the position

A container's key is a prefix of the keys below it and of no others, and text
order is UTF-8 byte order, so a subtree is one contiguous range. A list segment
carries no position: elements of a list share one key and are told apart by
their order in the tree, so that an insertion moves none of them.
"""

from __future__ import annotations

from asg_mcp.core.limits import KEY_BYTES_MAX, PATH_BYTES_MAX, VALUE_DEPTH_MAX
from asg_mcp.errors import InvalidPath, LimitExceeded

Tokens = tuple[str, ...]
"""Unescaped reference tokens of a JSON Pointer; () is the root."""

END = "\x00"
ELEMENT = "\x02" + END
"""The segment of a list element."""
APPEND = "-"
_ESCAPES = str.maketrans({"\x00": "\x01\x03", "\x01": "\x01\x04", "\x02": "\x01\x05"})
_UNESCAPES = {"\x03": "\x00", "\x04": "\x01", "\x05": "\x02"}


def parse_path(text: str) -> Tokens:
    """The tokens of a path as people and agents write it.

    Raises InvalidPath (no leading slash, a `~` that is neither ~0 nor ~1, the
    empty key directly below the root, a lone surrogate) and LimitExceeded.
    """
    if text in ("", "/"):
        return ()
    if not text.startswith("/"):
        raise InvalidPath(f"The path {text!r} does not begin with /", hint=f"Did you mean {('/' + text)!r}?")
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidPath("The path has a lone surrogate", hint="It is no Unicode text.") from None
    if size > PATH_BYTES_MAX:
        raise _limit("PATH_BYTES_MAX", PATH_BYTES_MAX, f"The path has {size} bytes")
    parts = text[1:].split("/")
    if len(parts) > VALUE_DEPTH_MAX:
        raise _limit("VALUE_DEPTH_MAX", VALUE_DEPTH_MAX, f"The path has {len(parts)} levels")
    if parts[0] == "":
        raise InvalidPath(
            f"The path {text!r} begins with an empty key",
            hint=f"The empty key directly below the root is not available. Did you mean {'/' + text.lstrip('/')!r}?",
        )
    return tuple(_unescape_token(part, text) for part in parts) if "~" in text else _sized(tuple(parts))


def _unescape_token(part: str, text: str) -> str:
    pieces = part.split("~")
    for piece in pieces[1:]:
        if not piece.startswith(("0", "1")):
            raise InvalidPath(f"The path {text!r} has a ~ that is neither ~0 nor ~1")
    token = part.replace("~1", "/").replace("~0", "~")
    _sized((token,))
    return token


def _sized(tokens: Tokens) -> Tokens:
    for token in tokens:
        if len(token) * 4 > KEY_BYTES_MAX and len(token.encode()) > KEY_BYTES_MAX:
            raise _limit("KEY_BYTES_MAX", KEY_BYTES_MAX, f"A key of the path has {len(token.encode())} bytes")
    return tokens


def _limit(name: str, most: int, what: str) -> LimitExceeded:
    return LimitExceeded(f"{what}; at most {most} are allowed", hint="Use a shorter path.", limit=name, max=most)


def format_path(tokens: Tokens) -> str:
    """The JSON Pointer of the tokens; "/" for the root."""
    if not tokens:
        return "/"
    text = "/" + "/".join(tokens)
    if "~" not in text and text.count("/") == len(tokens):
        return text
    return "/" + "/".join(token.replace("~", "~0").replace("/", "~1") for token in tokens)


def list_index(token: str) -> int | None:
    """The position that a token names in a list, or None when it names none (leading zeros included)."""
    if token.isascii() and token.isdigit() and (token == "0" or token[0] != "0") and len(token) <= 10:
        return int(token)
    return None


def map_segment(key: str) -> str:
    """The key segment of a map key, its end mark included."""
    if "\x00" in key or "\x01" in key or "\x02" in key:
        key = key.translate(_ESCAPES)
    return key + END


def unescape_segment(segment: str) -> str:
    """The map key of a map segment (without its end mark)."""
    if "\x01" not in segment:
        return segment
    chars = iter(segment)
    return "".join([_UNESCAPES[next(chars)] if char == "\x01" else char for char in chars])


def depth_of(key: str) -> int:
    """How many segments a key has."""
    return key.count(END)


def is_within(path: Tokens, ancestor: Tokens) -> bool:
    """Whether `path` is `ancestor` or lies below it, by segments."""
    return path[: len(ancestor)] == ancestor
