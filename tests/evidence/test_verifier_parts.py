"""The verifier's own hashes, signatures, decoder, trees and archive agree with published vectors and other programs."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from glob import glob
from pathlib import Path
from random import Random
from typing import Any

import anyio
import libipld
import pytest
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from asg_mcp.core import merkle
from asg_mcp.core.values import decode, encode
from asg_mcp.errors import AsgError
from asg_mcp.evidence import verify as v
from tests.evidence.histories import random_bundle

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors"


def published(name: str) -> Any:
    file = VECTORS / name
    if not file.exists():
        pytest.skip(f"the published vectors are not here: {file}")
    return json.loads(file.read_text(encoding="utf-8"))


def test_blake3_gives_its_published_digests() -> None:
    for case in published("blake3/test_vectors.json")["cases"]:
        data = bytes(number % 251 for number in range(case["input_len"]))
        assert v.blake3(data).hex() == case["hash"][:64]


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 2049, 3072, 4097, 8193, 20_000])
def test_blake3_agrees_with_the_library_at_every_edge(size: int) -> None:
    data = Random(size).randbytes(size)
    assert v.blake3(memoryview(data)) == blake3(data).digest()


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 64 * 8 - 1))
@settings(max_examples=25, deadline=None)
def test_a_signature_holds_and_no_altered_one_does(seed: bytes, message: bytes, bit: int) -> None:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    public, signature = private.public_key().public_bytes_raw(), private.sign(message)
    altered = bytearray(signature)
    altered[bit // 8] ^= 1 << bit % 8
    assert v.ed25519_holds(public, message, signature)
    assert not v.ed25519_holds(public, message, bytes(altered))
    assert not v.ed25519_holds(public, message + b"x", signature)


def test_ed25519_judges_the_published_cases_as_they_say() -> None:
    seen = set()
    for group in published("ed25519/ed25519_test.json")["testGroups"]:
        public = bytes.fromhex(group["publicKey"]["pk"])
        for case in group["tests"]:
            held = v.ed25519_holds(public, bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            assert held == (case["result"] == "valid"), case["tcId"]
            seen.add(held)
    assert seen == {True, False}


def test_a_key_of_small_order_signs_nothing() -> None:
    zero = bytes(32)
    for y in (1, 2**255 - 20, 0):
        key = y.to_bytes(32, "little")
        assert not v.ed25519_holds(key, b"anything", key + zero)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda x: x or 0.0)
    | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


@given(JSON)
@settings(max_examples=200, deadline=None)
def test_what_the_program_writes_is_read_back(value: Any) -> None:
    data = encode(value)
    cbor = v.Cbor(memoryview(data), "value")
    found = cbor.item()
    assert encode(found) == data
    assert not cbor.more


@given(JSON, st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
@example(0, 0, 0xF9).via("a float of 16 bits")
def test_bytes_are_refused_unless_they_are_the_one_form_of_what_they_say(value: Any, at: int, byte: int) -> None:
    data = bytearray(encode([value, 1, "a", {"b": 2.5}]))
    data[at % len(data)] = byte
    try:
        strict: Any = decode(bytes(data))
    except AsgError:
        strict = None
    cbor = v.Cbor(bytes(data), "value")
    try:
        found = cbor.item()
    except v.Malformed:
        found = None
    if found is not None and not cbor.more:
        assert libipld.encode_dag_cbor(found) == bytes(data)
    else:
        assert strict is None


BROKEN = (
    *("1801", "9f01ff", "f97e00", "fa47c35000", "fb7ff8000000000000", "fb8000000000000000", "1b8000000000000000"),
    *("a2616202616101", "a2616101616102", "a10101", "4101", "c101", "d82a450001711e20", "f7", "62c328", "82", "1c"),
    *("3b8000000000000000", "7a00000001", "9bffffffffffffffff", "f818", "81" * 300 + "f6"),
)


@pytest.mark.parametrize("data", BROKEN)
def test_other_spellings_and_broken_items_are_refused(data: str) -> None:
    with pytest.raises(v.Malformed):
        v.Cbor(bytes.fromhex(data), "value").item()


def test_published_dag_cbor_fixtures_are_read_as_their_json_or_refused() -> None:
    read = 0
    for fixture in published("dag-cbor/fixtures.json")["valid"]:
        cbor = v.Cbor(bytes.fromhex(fixture["dag_cbor_hex"]), fixture["name"])
        try:
            found = cbor.item()
        except v.Malformed:
            continue
        assert found == json.loads(fixture["dag_json"]), fixture["name"]
        read += 1
    assert read > 50
    for fixture in published("dag-cbor/fixtures.json")["invalid_decode"]:
        with pytest.raises(v.Malformed):
            cbor = v.Cbor(bytes.fromhex(fixture["hex"]), "invalid")
            cbor.item()
            cbor.take(0 if not cbor.more else len(cbor.data) + 1)


@given(st.integers(1, 70), st.data())
@settings(max_examples=60, deadline=None)
def test_a_tree_from_its_frontier_on_gives_the_roots_and_proofs_of_the_whole(size: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(0, size - 1))
    index, old = data.draw(st.integers(first, size - 1)), data.draw(st.integers(first + 1, size))
    leaves = [merkle.leaf_hash(bytes((number,))) for number in range(size)]

    def node(level: int, place: int) -> bytes:
        return merkle.complete_root(leaves[place << level : (place + 1) << level])

    tree = v.LogTree(first, [node(*place) for place in v.subtrees(0, first)])
    for leaf in leaves[first:]:
        tree.add(leaf)
    assert tree.root(size) == merkle.tree_root(size, node)
    assert tree.root(old) == merkle.tree_root(old, node)
    assert tree.inclusion(index, size) == merkle.inclusion_proof(index, size, node)
    assert tree.consistency(old, size) == merkle.consistency_proof(old, size, node)
    proof, root = tree.inclusion(index, size), tree.root(size)
    assert v.included(index, size, leaves[index], proof, root)
    assert not v.included(index, size, leaves[index], [*proof, root], root)
    assert not v.included(index, size, merkle.leaf_hash(b"other"), proof, root)
    if index:
        assert not v.included(index - 1, size, leaves[index], proof, root)


@pytest.mark.parametrize("number", [0, 1, 127, 128, 300, 2**21, 2**28])
def test_lengths_of_blocks_have_one_spelling(number: int) -> None:
    data = v.varint(number)
    assert v.read_varint(data, 0) == (number, len(data))
    longer = data[:-1] + bytes((data[-1] | 128, 0))
    with pytest.raises(v.Malformed):
        v.read_varint(longer, 0)


def test_canonical_json_is_that_of_rfc_8785_where_there_are_no_floats() -> None:
    value = {
        "\u20ac": "Euro",
        "\r": "CR",
        "\ufb33": "Hebrew",
        "1": 1,
        "\U0001f600": "Grin",
        "\x80": None,
        "ö": "ö\x0f\n",
    }
    expected = '{"\\r":"CR","1":1,"\x80":null,"ö":"ö\\u000f\\n","€":"Euro","😀":"Grin","\ufb33":"Hebrew"}'
    assert v.canonical_json(value) == expected


# --- other Pythons ------------------------------------------------------------------

PROGRAM = Path(v.__file__)
PRETENDING = """
import runpy, sys
sys.hexversion, sys.version, sys.argv = 0x030900F0, "3.9.0 (pretended)", ["verify.py", "b.zip"]
runpy.run_path({program!r}, run_name="__main__")
"""


def pythons(minor: int) -> list[str]:
    """The Pythons of that version that are on this machine."""
    name = f"python3.{minor}"
    known = [shutil.which(name), *glob(str(Path.home() / f".pyenv/versions/3.{minor}.*/bin/python"))]
    say = "import sys; print(sys.version_info[1])"
    found = []
    for one in filter(None, known):
        ran = subprocess.run([one, "-c", say], capture_output=True, text=True, check=False, timeout=60)
        found += [one] * (ran.stdout == f"{minor}\n")
    return found


def test_the_verifier_can_be_read_by_pythons_that_cannot_run_it() -> None:
    source = PROGRAM.read_text(encoding="utf-8")
    assert "from __future__" not in source  # no Python before 3.7 gets past a future that it does not know
    ast.parse(source, feature_version=(3, 7))


def test_an_older_python_is_told_in_one_sentence_which_one_is_needed() -> None:
    script = PRETENDING.format(program=str(PROGRAM))
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr == "verify.py needs Python 3.10 or newer, and this is Python 3.9.0.\n"
    assert (ran.returncode, ran.stdout) == (v.USAGE, "")


@pytest.mark.parametrize("minor", [6, 7, 8, 9])
def test_each_older_python_of_this_machine_says_so_itself(minor: int) -> None:
    found = pythons(minor)
    if not found:
        pytest.skip(f"there is no Python 3.{minor} on this machine")
    ran = subprocess.run([found[0], str(PROGRAM), "b.zip"], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr.startswith(f"verify.py needs Python 3.10 or newer, and this is Python 3.{minor}.")
    assert ran.stderr.count("\n") == 1
    assert ran.returncode == v.USAGE


def test_each_python_from_3_10_on_of_this_machine_verifies_a_bundle(tmp_path: Path) -> None:
    file = tmp_path / "b.zip"
    file.write_bytes(anyio.run(random_bundle, tmp_path, 5).data)
    found = [python for minor in range(10, 16) for python in pythons(minor)[:1]]
    for python in found:
        command = [python, "-I", "-W", "error", str(PROGRAM), str(file), "--json"]
        ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert (ran.returncode, ran.stderr) == (v.OK, "")
        assert json.loads(ran.stdout)["ok"]
