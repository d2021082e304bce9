"""Rows at rest: what was sealed comes back, and nothing else does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.errors import StoreCorrupt
from asg_mcp.storage.rows import Sealer, unpack

SEALER = Sealer()


@given(st.binary(max_size=400) | st.text(min_size=50, max_size=400).map(str.encode), st.binary(max_size=20))
def test_what_was_sealed_comes_back(payload: bytes, identity: bytes) -> None:
    assert SEALER.open(SEALER.seal(payload, identity), identity, "row 1") == payload


@given(st.binary(max_size=200) | st.just(b"the same again " * 20), st.data())
def test_any_flipped_bit_is_found(payload: bytes, data: st.DataObject) -> None:
    sealed = bytearray(SEALER.seal(payload, b"node1"))
    at = data.draw(st.integers(0, len(sealed) * 8 - 1))
    sealed[at // 8] ^= 1 << at % 8
    with pytest.raises(StoreCorrupt, match="node 1"):
        SEALER.open(bytes(sealed), b"node1", "node 1")


def test_a_row_under_another_number_is_not_accepted() -> None:
    sealed = SEALER.seal(b"payload", b"node1")
    with pytest.raises(StoreCorrupt):
        SEALER.open(sealed, b"node2", "node 2")


@pytest.mark.parametrize("stored", [b"", b"\x00", b"\x00\x00\x00\x00"])
def test_a_row_that_was_cut_off_is_not_accepted(stored: bytes) -> None:
    with pytest.raises(StoreCorrupt):
        SEALER.open(stored, b"node1", "node 1")


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xa0", b"\x01"])
def test_a_payload_that_is_no_list_is_not_accepted(payload: bytes) -> None:
    with pytest.raises(StoreCorrupt, match="node 1"):
        unpack(payload, "node 1")
