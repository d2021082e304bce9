"""Ids: BLAKE3-256 digests as CIDv1 (dag-cbor, blake3), one Python type a kind.

A commit id never passes where a node id is wanted. The bytes of each id are the
36 bytes of the binary CID (https://github.com/multiformats/cid), which
`libipld` writes as an IPLD link; people see hex digits of the digest.
"""

from __future__ import annotations

from typing import Self

from blake3 import blake3

from asg_mcp.core.limits import PREFIX_DIGITS_MIN, SHORT_ID_DIGITS
from asg_mcp.errors import InvalidName

CID_PREFIX = b"\x01\x71\x1e\x20"
"""CIDv1, codec dag-cbor (0x71), multihash blake3 (0x1e), 32 bytes."""
DIGEST_BYTES = 32
_HEX = frozenset("0123456789abcdef")


class Id(bytes):
    """A binary CID. Build one with `of` (hash bytes) or `from_digest` (stored digest)."""

    __slots__ = ()

    @classmethod
    def of(cls, canonical: bytes) -> Self:
        """The id of canonical DAG-CBOR bytes."""
        return cls(CID_PREFIX + blake3(canonical).digest())

    @classmethod
    def from_digest(cls, digest: bytes) -> Self:
        """The id whose digest (32 bytes) was stored without the prefix that all ids share."""
        assert len(digest) == DIGEST_BYTES, f"BUG: a digest has {DIGEST_BYTES} bytes, not {len(digest)}"
        return cls(CID_PREFIX + digest)

    @property
    def digest(self) -> bytes:
        """The 32 bytes of BLAKE3."""
        return self[4:]

    def hex(self, *_: object) -> str:  # one spelling: digits of the digest
        """All 64 hex digits of the digest."""
        return self[4:].hex()

    @property
    def short(self) -> str:
        """The 12 hex digits that people and models are shown."""
        return self[4 : 4 + SHORT_ID_DIGITS // 2].hex()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.short})"

    def __str__(self) -> str:
        return self.short


class ValueId(Id):
    """CID of [salt, value]."""

    __slots__ = ()


class NodeId(Id):
    """CID of a tree node; that of the top node is the root of a state."""

    __slots__ = ()


class CommitId(Id):
    """CID of a commit header."""

    __slots__ = ()


def parse_prefix(text: str) -> str:
    """Lower-case hex digits of an id prefix.

    Raises InvalidName when `text` has other characters, fewer than 6 or more than 64 digits.
    """
    digits = text.lower()
    if not is_prefix(digits):
        raise InvalidName(
            f"{text!r} is not an id",
            hint=f"An id is {PREFIX_DIGITS_MIN} to 64 hex digits, as the tools print it.",
        )
    return digits


def is_prefix(text: str) -> bool:
    """Whether `text` could be a prefix of an id."""
    return PREFIX_DIGITS_MIN <= len(text) <= 2 * DIGEST_BYTES and _HEX.issuperset(text.lower())
