"""The published test vectors, byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from asg_mcp.core import values
from asg_mcp.errors import InvalidValue

FOLDER = Path(__file__).parents[2].parent / "shared" / "vectors"


def load(name: str) -> Any:
    file = FOLDER / name
    if not file.is_file():
        pytest.skip(f"the published vectors are not here: {file}")
    return json.loads(file.read_text(encoding="utf-8"))


def test_every_dag_cbor_fixture_is_decoded_and_written_again_byte_for_byte() -> None:
    """ipld/codec-fixtures, all 128 of them; links and byte strings included."""
    valid = load("dag-cbor/fixtures.json")["valid"]
    assert len(valid) == 128
    for fixture in valid:
        data = bytes.fromhex(fixture["dag_cbor_hex"])
        assert values.encode(values.decode_block(data)) == data, fixture["name"]


def holds_more_than_json(block: Any) -> bool:
    """Whether a block has a byte string, a link, or an integer beyond 64 bits."""
    if isinstance(block, (list, dict)):
        return any(map(holds_more_than_json, block.values() if isinstance(block, dict) else block))
    return isinstance(block, bytes) or (isinstance(block, int) and not -(2**63) <= block < 2**63)


def test_a_dag_cbor_fixture_is_a_value_exactly_when_json_can_hold_it() -> None:
    """DESIGN 4: bytes, links and integers beyond 64 bits are refused, and nothing else is."""
    refused = 0
    for fixture in load("dag-cbor/fixtures.json")["valid"]:
        data = bytes.fromhex(fixture["dag_cbor_hex"])
        if holds_more_than_json(values.decode_block(data)):
            refused += 1
            with pytest.raises(InvalidValue):
                values.decode(data)
        else:
            assert values.encode(values.decode(data)) == data, fixture["name"]
    assert 0 < refused < 128


def test_values_agree_with_the_dag_json_of_their_fixture() -> None:
    """The fixtures' own JSON spelling is an oracle that shares no code with the decoder."""
    compared = 0
    for fixture in load("dag-cbor/fixtures.json")["valid"]:
        block = values.decode_block(bytes.fromhex(fixture["dag_cbor_hex"]))
        if not holds_more_than_json(block):
            assert block == json.loads(fixture["dag_json"]), fixture["name"]
            compared += 1
    assert compared > 50


def test_every_published_bad_encoding_is_refused() -> None:
    for fixture in load("dag-cbor/fixtures.json")["invalid_decode"]:
        with pytest.raises(InvalidValue):
            values.decode_block(bytes.fromhex(fixture["hex"]))


def test_blake3_agrees_with_its_published_vectors_in_hash_and_keyed_mode() -> None:
    """BLAKE3 test_vectors.json: extended outputs, and the 32 bytes that ids are made of."""
    vectors = load("blake3/test_vectors.json")
    key = vectors["key"].encode()
    assert len(vectors["cases"]) == 35
    for case in vectors["cases"]:
        data = bytes(i % 251 for i in range(case["input_len"]))
        for hasher, expected in ((blake3(data), case["hash"]), (blake3(data, key=key), case["keyed_hash"])):
            wanted = bytes.fromhex(expected)
            assert hasher.digest(len(wanted)) == wanted
            assert hasher.digest() == wanted[:32]
