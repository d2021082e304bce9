"""Commitments: ids that survive the erasure of what they name.

A value id is the CID of [salt, value], where salt is the hex of the first 16
bytes of BLAKE3 keyed with a class key over the canonical value. Inside a store
equal values have equal ids; whoever lacks the class key learns nothing from one;
and when value and salt are erased, the id stands as it was. (The construction is
a keyed, salted hash commitment as in SD-JWT, RFC 9901, with a derived salt.)
"""

from __future__ import annotations

from typing import Any

from blake3 import blake3

from asg_mcp.core.ids import CID_PREFIX, Id, ValueId
from asg_mcp.core.values import encode

CLASS_KEY_BYTES = 32
SALT_BYTES = 16
_PAIR_HEAD = b"\x82\x78\x20"  # CBOR: a list of two, whose first is a text of 32 bytes


class ValueIdMaker:
    """Makes value ids under one class key (32 bytes)."""

    def __init__(self, class_key: bytes) -> None:
        assert len(class_key) == CLASS_KEY_BYTES, "BUG: a class key has 32 bytes"
        self._key = class_key

    def salt_of(self, canonical: bytes) -> str:
        """The salt, as 32 hex digits, of a value given by its canonical bytes."""
        return blake3(canonical, key=self._key).digest(SALT_BYTES).hex()

    def of(self, value: Any) -> ValueId:
        """The id of a checked value."""
        canonical = encode(value)
        salt = blake3(canonical, key=self._key).digest(SALT_BYTES).hex().encode()
        return ValueId(CID_PREFIX + blake3(_PAIR_HEAD + salt + canonical).digest())


def commitment(salt: str, content: Any) -> Id:
    """CID of [salt, content]: the same form with a salt of the caller's, random for texts."""
    return Id.of(encode([salt, content]))
