"""Ids: CIDs of BLAKE3 digests, one type a kind."""

from __future__ import annotations

import base64

import pytest
from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.ids import CID_PREFIX, CommitId, Id, NodeId, ValueId, is_prefix, parse_prefix
from asg_mcp.core.values import decode_block, encode
from asg_mcp.errors import InvalidName

EMPTY_MAP = bytes.fromhex("a0")


def test_the_id_of_an_empty_map_stays_what_it_was() -> None:
    """Golden: a change here orphans every store."""
    node = NodeId.of(EMPTY_MAP)
    assert bytes(node).hex() == "01711e20" + node.hex()
    assert node.hex() == "1f94cbf313b3ce23257a7251ea0fc95a24556ea611e4f8f475e549971baedb02"
    assert node.short == str(node) == "1f94cbf313b3"


def test_an_id_is_the_digest_behind_the_prefix_of_a_version_1_dag_cbor_blake3_cid() -> None:
    made = ValueId.of(EMPTY_MAP)
    assert bytes(made) == bytes([1, 0x71, 0x1E, 32]) + blake3(EMPTY_MAP).digest()
    assert made.digest == blake3(EMPTY_MAP).digest()
    assert ValueId.from_digest(made.digest) == made
    assert len(made) == 36 and made.startswith(CID_PREFIX)


def test_an_id_in_a_block_is_written_as_a_link_and_read_back_as_its_bytes() -> None:
    """Stock IPLD tools find the links: tag 42, then the CID behind a zero byte."""
    made = CommitId.of(b"x")
    data = encode([bytes(made)])
    assert data == bytes.fromhex("81d82a582500") + bytes(made)
    assert decode_block(data) == [bytes(made)]
    assert encode([made]) == data


def test_each_kind_of_id_keeps_its_type() -> None:
    for kind in (ValueId, NodeId, CommitId):
        made = kind.of(b"x")
        assert type(made) is kind
        assert type(kind.from_digest(made.digest)) is kind
        assert repr(made) == f"{kind.__name__}({made.short})"
    assert issubclass(CommitId, Id) and not issubclass(CommitId, NodeId)


def test_a_digest_of_another_length_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="BUG"):
        NodeId.from_digest(b"short")


@given(st.binary(max_size=40))
def test_the_printed_id_is_a_prefix_of_the_whole_and_both_are_accepted(data: bytes) -> None:
    made = CommitId.of(data)
    assert made.hex().startswith(made.short) and len(made.short) == 12 and len(made.hex()) == 64
    for text in (made.short, made.hex(), made.hex()[:6]):
        assert parse_prefix(text) == text
        assert parse_prefix(text.upper()) == text
    assert base64.b16decode(made.hex(), casefold=True) == made.digest


@pytest.mark.parametrize(
    "text", ["", "abcde", "abcdeg", "0" * 65, "0x1234", " abcdef", "abcdef\n", "ａｂｃｄｅｆ", "١٢٣٤٥٦"]
)
def test_text_that_is_no_prefix_of_an_id_is_refused(text: str) -> None:
    assert not is_prefix(text)
    with pytest.raises(InvalidName) as caught:
        parse_prefix(text)
    assert "6 to 64 hex digits" in caught.value.hint
