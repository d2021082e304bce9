"""Values: what may be stored, and their canonical bytes.

A value is JSON: null, bool, 64-bit integer, 64-bit float, string, list, map with
string keys. Canonical bytes are strict DAG-CBOR
(https://ipld.io/specs/codecs/dag-cbor/spec/), written by `libipld`. That encoder
is not strict by itself: it writes byte strings that parse as a CID as links, and
takes integers up to 2^64. So values are checked before they reach it, and decoding
ends with a comparison against the re-encoded bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import libipld

from asg_mcp.core.limits import INT_MAX, INT_MIN, KEY_BYTES_MAX, VALUE_BYTES_MAX, VALUE_DEPTH_MAX
from asg_mcp.errors import InvalidValue, LimitExceeded

type_names = {type(None): "null", bool: "bool", int: "int", float: "float", str: "string", list: "list", dict: "map"}

JsonValue = Any
"""null, bool, int, float, str, list or dict. (A recursive alias costs mypy more than it finds.)"""


def type_of(value: JsonValue) -> str:
    """The name of a value's type: null, bool, int, float, string, list or map."""
    return type_names[type(value)]


def checked(value: JsonValue, *, depth: int = 0) -> JsonValue:
    """A copy of `value` that may be stored: -0.0 is 0.0, and every limit holds.

    `depth` is the nesting that the path above already uses up. The walk does not
    recurse, so that a hostile depth is an error and not a crash.

    Raises InvalidValue (NaN, infinity, an integer beyond 64 bits, a lone
    surrogate, a type that JSON does not have) and LimitExceeded (nesting over
    128, a key over 1 KiB, a value over VALUE_BYTES_MAX).
    """
    copy = _checked_copy(value, depth)
    if type(copy) in (dict, list):
        _checked_size(copy)
    return copy


def checked_sized(value: JsonValue, *, depth: int = 0) -> tuple[JsonValue, int]:
    """The same, and how many canonical bytes it has."""
    copy = _checked_copy(value, depth)
    return copy, _checked_size(copy)


def text_bytes(text: str) -> int:
    """How many bytes of UTF-8 a text has that may be stored. Raises what `checked` raises."""
    if type(text) is not str:
        raise _no_json(text)
    return _checked_text(text)


def _checked_size(value: JsonValue) -> int:
    size = len(encode(value))
    if size > VALUE_BYTES_MAX:
        raise _too_large(size)
    return size


def _checked_copy(value: JsonValue, depth: int) -> JsonValue:
    if type(value) in _SCALARS:
        return _checked_scalar(value)
    root = _empty_like(value)
    todo: list[tuple[Any, Any, int]] = [(value, root, depth + 1)]
    items = 0
    while todo:
        source, target, level = todo.pop()
        # An item has at least one byte. Counting here ends the copying of a small object that holds
        # one list many times over, and that one many times, before it fills the memory.
        items += len(source)
        if items > VALUE_BYTES_MAX:
            raise _too_large(items)
        if level > VALUE_DEPTH_MAX:
            raise LimitExceeded(
                f"The value is nested more than {VALUE_DEPTH_MAX} levels deep",
                hint="Store the inner part under a path of its own, or as a string.",
                limit="VALUE_DEPTH_MAX",
                max=VALUE_DEPTH_MAX,
            )
        if type(source) is dict:
            for key, item in source.items():
                check_key(key)
                if type(item) in _SCALARS:
                    target[key] = _checked_scalar(item)
                else:
                    target[key] = child = _empty_like(item)
                    todo.append((item, child, level + 1))
        else:
            for item in source:
                if type(item) in _SCALARS:
                    target.append(_checked_scalar(item))
                else:
                    child = _empty_like(item)
                    target.append(child)
                    todo.append((item, child, level + 1))
    return root


_SCALARS = (type(None), bool, int, float, str)
_TEXT_HEAD_BYTES = 5
"""What CBOR puts before a text of 64 KiB to 4 GiB, the only ones near the limit."""


def _empty_like(value: Any) -> Any:
    if type(value) is dict:
        return {}
    if type(value) is list:
        return []
    raise _no_json(value)


def _no_json(value: Any) -> InvalidValue:
    return InvalidValue(
        f"A {type(value).__name__} is not a JSON value",
        hint="Use null, true, false, a number, a string, a list or a map with string keys.",
    )


def _checked_scalar(value: Any) -> Any:
    kind = type(value)
    if kind is str:
        _checked_text(value)
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidValue(
                f"{value} is not a JSON number", hint="Store null, or a string such as 'NaN', for a missing number."
            )
        if value == 0.0:
            return 0.0
    elif kind is int and not INT_MIN <= value <= INT_MAX:
        raise InvalidValue(
            f"The integer {_abbreviated(value)} does not fit 64 bits",
            hint="Integers run from -2^63 to 2^63-1; store a larger one as a string.",
        )
    return value


def _abbreviated(number: int) -> str:
    return f"of {number.bit_length()} bits" if number.bit_length() > 128 else str(number)


def _checked_text(text: str) -> int:
    """How many bytes of UTF-8 it has."""
    if text.isascii():
        size = len(text)
    else:
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise InvalidValue(
                f"The string has a lone surrogate at position {error.start}",
                hint="It is no Unicode text; escape it or store it as base64.",
            ) from None
    if size + _TEXT_HEAD_BYTES > VALUE_BYTES_MAX:
        raise _too_large(size + _TEXT_HEAD_BYTES)
    return size


def check_key(key: Any) -> None:
    """Raise InvalidValue or LimitExceeded unless `key` may be a map key."""
    if type(key) is not str:
        raise InvalidValue(f"The map key {key!r} is not a string", hint="Map keys are strings.")
    if len(key) * 4 > KEY_BYTES_MAX or not key.isascii():
        try:
            size = len(key.encode())
        except UnicodeEncodeError:
            raise InvalidValue(
                "A map key has a lone surrogate", hint="It is no Unicode text; choose another key."
            ) from None
        if size > KEY_BYTES_MAX:
            raise LimitExceeded(
                f"A map key has {size} bytes; at most {KEY_BYTES_MAX} are allowed",
                hint="Use a short key and store the long text as a value.",
                limit="KEY_BYTES_MAX",
                max=KEY_BYTES_MAX,
            )


def _too_large(size: int) -> LimitExceeded:
    return LimitExceeded(
        f"The value has {size} bytes or more; one operation may carry {VALUE_BYTES_MAX}",
        hint="Split it over several paths and set them one by one.",
        limit="VALUE_BYTES_MAX",
        max=VALUE_BYTES_MAX,
    )


_CANONICAL_HINT = "Take the bytes unchanged from where they were exported, or encode the value anew as DAG-CBOR."


encode: Callable[[JsonValue], bytes] = libipld.encode_dag_cbor
"""Canonical bytes of a checked value (or of a structure of checked values and ids)."""


def decode(data: bytes) -> JsonValue:
    """The value whose canonical bytes are `data`.

    Raises InvalidValue when `data` is anything else than exactly what `encode`
    writes for a value: other encodings of the same value, byte strings, links.
    Raises LimitExceeded as `checked` does.
    """
    if len(data) > VALUE_BYTES_MAX:
        raise _too_large(len(data))
    value = _checked_copy(decode_block(data), 0)
    if encode(value) != data:
        raise InvalidValue("The bytes are not the canonical form of a value", hint=_CANONICAL_HINT)
    return value


def decode_block(data: bytes) -> Any:
    """Any DAG-CBOR block, links and byte strings included, read strictly.

    Raises InvalidValue unless encoding the result gives `data` again.
    """
    try:
        block = libipld.decode_dag_cbor(data)
        again = libipld.encode_dag_cbor(block)
    except (ValueError, RecursionError) as error:
        raise InvalidValue(f"The bytes are not DAG-CBOR: {error}", hint=_CANONICAL_HINT) from None
    if again != data:
        raise InvalidValue("The bytes are not canonical DAG-CBOR", hint=_CANONICAL_HINT)
    return block


def decode_trusted(data: bytes) -> Any:
    """A DAG-CBOR block that this program wrote and whose checksum held. Raises ValueError when it is none."""
    return libipld.decode_dag_cbor(data)


def equal(left: JsonValue, right: JsonValue) -> bool:
    """Equality of canonical bytes: 1 is not 1.0, and true is not 1."""
    return left is right or encode(left) == encode(right)
