"""Value ids: equal inside a store, opaque outside, and still there after erasure."""

from __future__ import annotations

import random
from typing import Any

import pytest
from blake3 import blake3
from hypothesis import assume, given
from hypothesis import strategies as st

from asg_mcp.core.commitments import ValueIdMaker, commitment
from asg_mcp.core.ids import Id, ValueId
from asg_mcp.core.values import checked, encode

KEY = bytes(range(32))
GOLDEN: list[tuple[Any, str, str]] = [
    (None, "f6", "65e1d8ed71e70f1c431929d1a7814d8baada759ef0416447ee108f135b414030"),
    (True, "f5", "f75c343d401a045a48954dd0eddf52feef92d4433c8b7f81829bca6f62b7986c"),
    (False, "f4", "06208cd935f1b7557b2e3f39badaff571e63e7d1d47830dc879ad3d69da2d6bf"),
    (0, "00", "1711c489cb241d24c8b4941a705c5f05ddbfcf1791e9f4a4b51baffea6b941d3"),
    (1, "01", "aa105b6fdf9f767447f39275556f28be54b64ae5f307d3a3719da83f9731a92e"),
    (-1, "20", "951e168b452dd308094b3bdc7fb3054694c71b6aed212ebb02192e7b7e7ba58f"),
    (1.0, "fb3ff0000000000000", "bcb978f88d3808c6ec221746e0c3f302ff65fa9a5331d77e7ed78b3cc25a7d0f"),
    (-0.0, "fb0000000000000000", "565e2d4340c4abd6537088f2ac57de7db07ba3b8b115287e29c1d26215a2bb3b"),
    (0.0, "fb0000000000000000", "565e2d4340c4abd6537088f2ac57de7db07ba3b8b115287e29c1d26215a2bb3b"),
    (23, "17", "ca9a31777712c8a941bfd330c805ad2b8428df3273c3c79cb243f828a4f8f852"),
    (24, "1818", "4fa2dccf2d6f9b0f7c3b9cbf012f0909bad3180d8dd829cce89f23d2cc6766b0"),
    (2**63 - 1, "1b7fffffffffffffff", "7798a2cbce70f5ee85854e63c8a7e36dce62dd99594c7db578e64e03c6855954"),
    (-(2**63), "3b7fffffffffffffff", "ce39349e873ff79f86c3e90754bf908be769c6c8c6668ce5ad95387333e220ec"),
    (0.1, "fb3fb999999999999a", "a2daa4cc4917107fa1d5dda2e2b079d8f51bcb4a811e19d8ce46bed315caef15"),
    ("", "60", "1714f58851dfa73d400fcc15f8d96c1f562cb4490ce4d7054d4ed1ce45f1f902"),
    ("é", "62c3a9", "95503e7580863c52b5f57d348aa800ff9841911a8a77100751c5ca8d37787ba1"),
    ("e\u0301", "6365cc81", "b776a6513595b09b8c0fd2707c5914ade0e60093d7fca8b2533ce81deb332f90"),
    ("a\x00b", "63610062", "ae1aba56a24a4500f58472200224202e42879eb18a0e4c400321d33d324930d1"),
    ([], "80", "1df55b2b0a4fc0e10e83c2d99292dbfcb68863b9ad32f6576cb51b98a2392cf9"),
    ({}, "a0", "e9d1b1cdfea1c1ed053dc57e8b74162dd95f00f7ce31c3401f6bf2c7c422479c"),
    ([[]], "8180", "42387cdd47fba243c7ccca83c4a2e0b6d1becfcf2defbc69b31a491f62b5b6c5"),
    ([1, 1.0, True], "8301fb3ff0000000000000f5", "872c4d365c441f12921f1f780a71dc29419e4d22f03847c5a7c38f0a77a8b21a"),
    ({"b": 1, "a": 2}, "a2616102616201", "dd9be5d9d0617cd06748ff5ac9e8e478c3ccefb8da8bb53548d3d9b3dc7790ee"),
    (
        {"aa": 1, "b": {"c": [None, "🙂"]}},
        "a26162a1616382f664f09f998262616101",
        "e975523551f92550a5cb04ba99d3cb293cd59f95ae78c506f12e5ccb4837b5ed",
    ),
]
"""Value, canonical bytes, digest of its id under KEY. A change here orphans every store."""

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@pytest.mark.parametrize(("value", "canonical", "digest"), GOLDEN, ids=[repr(row[0])[:40] for row in GOLDEN])
def test_canonical_bytes_and_value_ids_stay_what_they_were(value: Any, canonical: str, digest: str) -> None:
    ready = checked(value)
    assert encode(ready).hex() == canonical
    assert ValueIdMaker(KEY).of(ready).hex() == digest


def test_the_golden_values_have_different_ids_but_for_negative_zero() -> None:
    digests = [digest for value, _, digest in GOLDEN if repr(value) != "-0.0"]
    assert len(set(digests)) == len(digests)


@given(VALUES)
def test_a_value_id_is_the_cid_of_salt_and_value_and_nothing_else(value: Any) -> None:
    """DESIGN 4, written out a second time with the encoder alone."""
    ready = checked(value)
    salt = blake3(encode(ready), key=KEY).digest()[:16].hex()
    maker = ValueIdMaker(KEY)
    made = maker.of(ready)
    assert maker.salt_of(encode(ready)) == salt
    assert made == Id.of(encode([salt, ready])) == commitment(salt, ready)
    assert type(made) is ValueId


@given(VALUES, st.binary(min_size=32, max_size=32))
def test_whoever_lacks_the_class_key_computes_other_ids(value: Any, other: bytes) -> None:
    assume(other != KEY)
    ready = checked(value)
    assert ValueIdMaker(other).of(ready) != ValueIdMaker(KEY).of(ready)
    assert Id.of(encode(ready)) != ValueIdMaker(KEY).of(ready)


@given(VALUES)
def test_salt_and_value_alone_recompute_an_id_without_the_class_key(value: Any) -> None:
    """What a bundle discloses is enough to check it, and tells nothing of any other value."""
    ready = checked(value)
    maker = ValueIdMaker(KEY)
    disclosed = (maker.salt_of(encode(ready)), ready)
    assert commitment(*disclosed) == maker.of(ready)
    assert commitment("0" * 32, ready) != maker.of(ready)


@given(VALUES, VALUES)
def test_two_values_share_an_id_exactly_when_their_canonical_bytes_are_equal(left: Any, right: Any) -> None:
    maker = ValueIdMaker(KEY)
    left, right = checked(left), checked(right)
    assert (maker.of(left) == maker.of(right)) == (encode(left) == encode(right))


@given(st.dictionaries(st.text(max_size=6), VALUES, min_size=2, max_size=6), st.randoms(use_true_random=False))
def test_a_map_has_one_id_in_whatever_order_it_was_filled(value: dict[str, Any], rng: random.Random) -> None:
    keys = list(value)
    rng.shuffle(keys)
    maker = ValueIdMaker(KEY)
    assert maker.of(checked({key: value[key] for key in keys})) == maker.of(checked(value))


def test_a_commitment_stays_what_it_was() -> None:
    """Golden: the list of a 32-digit salt and the text, by hand: 82, 78 20 salt, 65 h e l l o."""
    salt = "00112233445566778899aabbccddeeff"
    made = commitment(salt, "hello")
    assert made == Id.of(bytes.fromhex("827820") + salt.encode() + bytes.fromhex("65") + b"hello")
    assert made.hex() == "38b547d6fce3810f9831997ae21d73f0cb9a9965f7d6af5ac3931020f493b6fd"
    assert (
        commitment(salt, {"b": 1, "a": [None]}).hex()
        == "7c73dd7d3110f88b443ddb51d11a19fe89a16331bd8dddcb24a6ba3c1b4fddb4"
    )


def test_a_commitment_under_another_salt_is_another_id() -> None:
    assert commitment("0" * 32, "hello") != commitment("1" * 32, "hello")


def test_a_class_key_of_another_length_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="BUG"):
        ValueIdMaker(b"short")
