"""Commitments: ids that survive the erasure of what they name.

A value id is the CID of [salt, value], where salt is the hex of the first 16
bytes of BLAKE3 keyed with a class key over the canonical value. Inside a store
equal values have equal ids; whoever lacks the class key learns nothing from one;
and when value and salt are erased, the id stands as it was. (The construction is
a keyed, salted hash commitment as in SD-JWT, RFC 9901, with a derived salt.)

A class key can be replaced, which is what makes an erased value of few bits safe
from whoever holds the file: nobody can make its salt again. The values that stay
keep their ids, so their salts are kept as pins, beside the new key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from blake3 import blake3

from asg_mcp.core.ids import CID_PREFIX, Id, ValueId
from asg_mcp.core.values import encode

CLASS_KEY_BYTES = 32
SALT_BYTES = 16
_PIN_BYTES = 2 * SALT_BYTES
_PAIR_HEAD = b"\x82\x78\x20"  # CBOR: a list of two, whose first is a text of 32 bytes


class ValueIdMaker:
    """Makes value ids under one class key (32 bytes) and the pins of earlier ones; see `pins_of`."""

    def __init__(self, class_key: bytes, pins: bytes = b"") -> None:
        self._held = (b"", b"")
        self.rekey(class_key, pins)

    def rekey(self, class_key: bytes, pins: bytes) -> bool:
        """Go on under another class key, with pins for the values that keep their ids; False if that is so already."""
        assert len(class_key) == CLASS_KEY_BYTES, f"BUG: a class key has {CLASS_KEY_BYTES} bytes"
        assert len(pins) % _PIN_BYTES == 0, f"BUG: a pin has {_PIN_BYTES} bytes"
        if self._held == (class_key, pins):
            return False
        self._held = class_key, pins  # replaced at once: other threads make ids meanwhile
        return True

    @property
    def class_key(self) -> bytes:
        """The key: whoever has it can guess values of few bits from their ids."""
        return self._held[0]

    @property
    def pinned(self) -> bool:
        """Whether some values keep salts of an earlier key."""
        return bool(self._held[1])

    @property
    def state(self) -> object:
        """What is another object once the class key or the pins were replaced."""
        return self._held

    def salt_of(self, canonical: bytes) -> str:
        """The salt, as 32 hex digits, of a value given by its canonical bytes."""
        key, pins = self._held
        if not pins:
            return blake3(canonical, key=key).digest(SALT_BYTES).hex()
        digest = blake3(canonical, key=key).digest(_PIN_BYTES)
        return (_pinned(pins, digest[SALT_BYTES:]) or digest[:SALT_BYTES]).hex()

    def of(self, value: Any) -> ValueId:
        """The id of a checked value."""
        canonical = encode(value)
        return ValueId(CID_PREFIX + blake3(_PAIR_HEAD + self.salt_of(canonical).encode() + canonical).digest())


def pins_of(values: Iterable[bytes], salt_of: Callable[[bytes], str], class_key: bytes) -> bytes:
    """The pins under a new class key of values (canonical bytes, each once) with the salts they have now.

    A pin is 16 bytes that name the value (the second half of BLAKE3 keyed with the new key over it, whose first half
    would be its salt) and the 16 bytes of its salt; all are in order, so that one is found by bisection.
    """
    made = (
        blake3(value, key=class_key).digest(_PIN_BYTES)[SALT_BYTES:] + bytes.fromhex(salt_of(value)) for value in values
    )
    return b"".join(sorted(made))


def _pinned(pins: bytes, name: bytes) -> bytes | None:
    low, high = 0, len(pins) // _PIN_BYTES
    while low < high:
        middle = (low + high) // 2
        at = middle * _PIN_BYTES
        found = pins[at : at + SALT_BYTES]
        if found == name:
            return pins[at + SALT_BYTES : at + _PIN_BYTES]
        if found < name:
            low = middle + 1
        else:
            high = middle
    return None


def commitment(salt: str, content: Any) -> Id:
    """CID of [salt, content]: the same form with a salt of the caller's, random for texts."""
    return Id.of(encode([salt, content]))
