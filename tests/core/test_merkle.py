"""The Merkle tree: roots and proofs are those of RFC 6962, and whatever was changed in a proof is refused."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    TILE_LEVELS,
    TILE_WIDTH,
    complete_root,
    completed_tiles,
    consistency_fault,
    consistency_proof,
    inclusion_fault,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of_leaves,
    tile_hash,
    tiles_completed,
    tree_root,
)

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "merkle"
SIZES = st.integers(0, 130)
LEAVES = [leaf_hash(b"leaf %d" % number) for number in range(600)]

PUBLISHED_LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
"""The eight leaves, in hex, of the test tree that the Certificate Transparency implementations share."""
PUBLISHED_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def node(level: int, index: int) -> bytes:
    """The complete subtrees over LEAVES."""
    return complete_root(LEAVES[index << level : (index + 1) << level])


def naive_root(leaves: list[bytes]) -> bytes:
    """MTH as RFC 6962 section 2.1 writes it."""
    if not leaves:
        return EMPTY_ROOT
    if len(leaves) == 1:
        return leaves[0]
    k = naive_split(len(leaves))
    return node_hash(naive_root(leaves[:k]), naive_root(leaves[k:]))


def naive_split(size: int) -> int:
    k = 1
    while 2 * k < size:
        k *= 2
    return k


def naive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """PATH as RFC 6962 section 2.1.1 writes it."""
    if len(leaves) == 1:
        return []
    k = naive_split(len(leaves))
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_subproof(old: int, leaves: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF as RFC 6962 section 2.1.2 writes it."""
    if old == len(leaves):
        return [] if whole else [naive_root(leaves)]
    k = naive_split(len(leaves))
    if old <= k:
        return [*naive_subproof(old, leaves[:k], whole), naive_root(leaves[k:])]
    return [*naive_subproof(old - k, leaves[k:], False), naive_root(leaves[:k])]


def _cases(name: str) -> list[dict[str, Any]]:
    file = VECTORS / f"{name}.json"
    if not file.exists():
        pytest.skip(f"the published cases are not at {file}")
    cases: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["cases"]
    return cases


def test_every_published_inclusion_case_is_decided_as_published() -> None:
    cases = _cases("inclusion")
    assert len(cases) == 98
    for case in cases:
        proof = [b64decode(item) for item in case["proof"] or []]
        fault = inclusion_fault(
            case["leafIdx"], case["treeSize"], b64decode(case["leafHash"]), proof, b64decode(case["root"])
        )
        assert (fault is not None) is case["wantErr"], case["file"]


def test_every_published_consistency_case_but_one_is_decided_as_published() -> None:
    cases = _cases("consistency")
    assert len(cases) == 98
    others = []
    for case in cases:
        proof = [b64decode(item) for item in case["proof"] or []]
        roots = b64decode(case["root1"]), b64decode(case["root2"])
        fault = consistency_fault(case["size1"], case["size2"], *roots, proof)
        if (fault is not None) is not case["wantErr"]:
            others.append((case["file"], len(roots[0])))
    # Its roots are no hashes; a verifier of ours takes none that has not 32 bytes.
    assert others == [("consistency/additional/sizes-are-equal-one-and-proof-is-empty.json", 12)]


@pytest.mark.parametrize(("size", "root"), PUBLISHED_ROOTS.items())
def test_the_roots_of_the_shared_test_tree_are_those_published(size: int, root: str) -> None:
    leaves = [leaf_hash(bytes.fromhex(leaf)) for leaf in PUBLISHED_LEAVES]
    assert root_of_leaves(leaves[:size]).hex() == root


@given(SIZES)
def test_a_root_equals_that_of_the_recursive_definition(size: int) -> None:
    assert tree_root(size, node) == root_of_leaves(LEAVES[:size]) == naive_root(LEAVES[:size])


@given(st.data())
def test_an_inclusion_proof_is_the_path_of_the_definition_and_holds(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 130))
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(index, size, node)
    assert proof == naive_path(index, LEAVES[:size])
    assert inclusion_fault(index, size, LEAVES[index], proof, tree_root(size, node)) is None


@given(st.data())
def test_a_consistency_proof_is_that_of_the_definition_and_holds(data: st.DataObject) -> None:
    new = data.draw(st.integers(1, 130))
    old = data.draw(st.integers(0, new))
    proof = consistency_proof(old, new, node)
    assert proof == (naive_subproof(old, LEAVES[:new], True) if old else [])
    assert consistency_fault(old, new, tree_root(old, node), tree_root(new, node), proof) is None


def _changed(data: st.DataObject, proof: list[bytes]) -> list[bytes]:
    """The proof with one hash flipped in one bit, left out, repeated, or swapped with another."""
    at = data.draw(st.integers(0, len(proof) - 1))
    how = data.draw(st.sampled_from(["flip", "drop", "repeat", "add", "swap"]))
    if how == "flip":
        bit = data.draw(st.integers(0, 8 * HASH_BYTES - 1))
        flipped = int.from_bytes(proof[at], "big") ^ (1 << bit)
        return [*proof[:at], flipped.to_bytes(HASH_BYTES, "big"), *proof[at + 1 :]]
    if how == "swap" and len(proof) > 1:
        return [*proof[1:], proof[0]]
    if how == "repeat":
        return [*proof[:at], proof[at], *proof[at:]]
    return proof[:at] + proof[at + 1 :] if how == "drop" else [*proof, EMPTY_ROOT]


@given(st.data())
def test_a_changed_inclusion_proof_place_leaf_or_root_is_refused(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, 130))
    index = data.draw(st.integers(0, size - 1))
    proof, root = inclusion_proof(index, size, node), tree_root(size, node)
    other = data.draw(st.integers(-1, 2 * size).filter(lambda place: place != index))
    assert inclusion_fault(index, size, LEAVES[index], _changed(data, proof), root)
    assert inclusion_fault(other, size, LEAVES[index], proof, root)
    assert inclusion_fault(index, size, LEAVES[599], proof, root)
    assert inclusion_fault(index, size, LEAVES[index], proof, LEAVES[599])
    assert inclusion_fault(index, size, LEAVES[index][:12], proof, root)


@given(st.data())
def test_a_changed_consistency_proof_or_root_is_refused(data: st.DataObject) -> None:
    new = data.draw(st.integers(2, 130))
    old = data.draw(st.integers(1, new - 1))
    proof, roots = consistency_proof(old, new, node), (tree_root(old, node), tree_root(new, node))
    assert consistency_fault(old, new, *roots, _changed(data, proof))
    assert consistency_fault(old, new, LEAVES[599], roots[1], proof)
    assert consistency_fault(old, new, roots[0], LEAVES[599], proof)
    assert consistency_fault(new, old, roots[1], roots[0], proof)
    assert consistency_fault(old, new, roots[0], roots[1], [])


def test_a_proof_of_a_tree_of_another_height_is_refused() -> None:
    proof, root = inclusion_proof(0, 4, node), tree_root(4, node)
    assert inclusion_fault(0, 4, LEAVES[0], proof, root) is None
    assert inclusion_fault(0, 8, LEAVES[0], proof, root) == "the proof is too short"
    assert inclusion_fault(0, 2, LEAVES[0], proof, root) == "the proof is too long"
    assert inclusion_fault(0, 1, LEAVES[0][:12], [], LEAVES[0][:12])


def test_nothing_but_an_empty_proof_and_one_root_shows_a_tree_to_be_itself() -> None:
    root = tree_root(5, node)
    assert consistency_fault(5, 5, root, root, []) is None
    assert consistency_fault(5, 5, root, tree_root(6, node), [])
    assert consistency_fault(5, 5, root, root, [root])
    assert consistency_fault(0, 5, EMPTY_ROOT, root, []) is None
    assert consistency_fault(0, 5, root, root, [])


def test_a_proof_asks_for_no_more_subtrees_than_the_tree_is_high() -> None:
    size = 1_000_003

    def counted(level: int, index: int) -> bytes:
        asked.append((level, index))
        return leaf_hash(b"%d %d" % (level, index))

    for index in (0, 5, 524_287, 524_288, 1_000_001, 1_000_002):
        asked: list[tuple[int, int]] = []
        root = tree_root(size, counted)
        inclusion_proof(index, size, counted)
        consistency_proof(index + 1, size, counted)
        assert len(asked) <= 4 * size.bit_length()
        assert all((place + 1) << level <= size for level, place in asked)
        assert root == tree_root(size, counted)


@given(st.integers(1, TILE_WIDTH**3))
def test_a_tile_is_complete_at_each_multiple_of_its_width(size: int) -> None:
    tiles = tiles_completed(size)
    expected = []
    width, level = TILE_WIDTH, TILE_LEVELS
    while size % width == 0:
        expected.append((level, size // width - 1))
        width, level = width * TILE_WIDTH, level + TILE_LEVELS
    assert tiles == expected


def test_tiles_are_complete_one_in_256_and_one_in_65536() -> None:
    assert [tiles_completed(size) for size in (1, 255, 256, 257, 512)] == [[], [], [(8, 0)], [], [(8, 1)]]
    assert tiles_completed(65_536) == [(8, 255), (16, 0)]
    assert tiles_completed(0) == []


def test_a_tile_is_the_subtree_over_its_256_children() -> None:
    assert tile_hash(LEAVES[256:512]) == naive_root(LEAVES[256:512])
    with pytest.raises(AssertionError, match="256 children"):
        tile_hash(LEAVES[:255])


def test_tiles_of_tiles_are_made_as_a_log_grows() -> None:
    kept: dict[int, list[bytes]] = {0: [], 8: [], 16: []}
    for number in range(2 * 65_536):
        kept[0].append(LEAVES[number % 7])
        for level, index, digest in completed_tiles(number + 1, lambda level, index: kept[level][index:]):
            assert index == len(kept[level])
            kept[level].append(digest)
    assert (len(kept[8]), len(kept[16])) == (512, 2)
    assert kept[8][3] == complete_root(kept[0][768:1024])
    assert kept[16] == [complete_root(kept[0][:65_536]), complete_root(kept[0][65_536:])]


def test_a_tile_with_one_missing_below_it_is_left_out_with_those_above() -> None:
    leaves = [LEAVES[0]] * 65_536
    tiles = completed_tiles(65_536, lambda level, index: leaves[index:] if level == 0 else [LEAVES[1]] * 254)
    assert tiles == [(8, 255, tile_hash(leaves[:256]))]
    assert completed_tiles(256, lambda _, __: leaves[:255]) == []
