"""What may be stored, and its one canonical form."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asg_mcp.core import values
from asg_mcp.core.limits import INT_MAX, INT_MIN, KEY_BYTES_MAX, VALUE_BYTES_MAX, VALUE_DEPTH_MAX
from asg_mcp.errors import InvalidValue, LimitExceeded

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(INT_MIN, INT_MAX)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=5),
    max_leaves=20,
)


def nested(levels: int) -> Any:
    """A list in a list, `levels` lists in all."""
    value: Any = []
    for _ in range(levels - 1):
        value = [value]
    return value


def reordered(value: Any, rng: random.Random) -> Any:
    """The same value with every map filled in another order."""
    if isinstance(value, list):
        return [reordered(item, rng) for item in value]
    if isinstance(value, dict):
        keys = list(value)
        rng.shuffle(keys)
        return {key: reordered(value[key], rng) for key in keys}
    return value


# --- the canonical form -------------------------------------------------------


@given(VALUES)
def test_what_is_stored_comes_back_with_the_same_types_and_bytes(value: Any) -> None:
    checked = values.checked(value)
    data = values.encode(checked)
    again = values.decode(data)
    assert again == checked
    assert values.encode(again) == data


@given(VALUES, st.randoms(use_true_random=False))
def test_bytes_do_not_depend_on_the_order_in_which_a_map_was_filled(value: Any, rng: random.Random) -> None:
    checked = values.checked(value)
    other = reordered(checked, rng)
    assert values.encode(other) == values.encode(checked)
    assert values.equal(other, checked)


@given(VALUES)
def test_checking_changes_nothing_but_negative_zero(value: Any) -> None:
    checked = values.checked(value)
    assert checked == value
    assert values.encode(values.checked(checked)) == values.encode(checked)


@given(VALUES)
def test_a_checked_value_is_told_with_the_bytes_it_has(value: Any) -> None:
    copy = values.checked(value)
    assert values.checked_sized(value) == (copy, len(values.encode(copy)))


@pytest.mark.parametrize("text", ["", "abc", "grün", "\U0001f600" * 3])
def test_a_text_that_may_be_stored_is_told_with_its_bytes(text: str) -> None:
    assert values.text_bytes(text) == len(text.encode())


@pytest.mark.parametrize("bad", ["\ud800", "x" * VALUE_BYTES_MAX, type("Text", (str,), {})("abc")])
def test_a_text_is_refused_as_a_value_would_be(bad: str) -> None:
    with pytest.raises((InvalidValue, LimitExceeded)) as refused:
        values.checked(bad)
    with pytest.raises(type(refused.value)) as again:
        values.text_bytes(bad)
    assert again.value.as_dict() == refused.value.as_dict()


def test_checking_gives_a_copy_that_shares_no_container_with_the_caller() -> None:
    inner: list[Any] = [1]
    value: dict[str, Any] = {"a": inner, "b": {"c": inner}}
    checked = values.checked(value)
    inner.append(2)
    value["d"] = 3
    assert checked == {"a": [1], "b": {"c": [1]}}


def test_one_as_integer_float_and_bool_are_three_values() -> None:
    """Python calls all three equal; canonical bytes do not."""
    for left, right in ((1, 1.0), (1, True), (1.0, True), (0, False), (0, 0.0), (None, False), ("1", 1)):
        assert not values.equal(left, right)
        assert not values.equal([left], [right])
        assert not values.equal({"k": left}, {"k": right})
    assert type(values.decode(values.encode(1))) is int
    assert type(values.decode(values.encode(1.0))) is float
    assert values.decode(values.encode(True)) is True


def test_negative_zero_is_stored_as_zero_at_any_depth() -> None:
    checked = values.checked([-0.0, {"k": [-0.0]}])
    assert math.copysign(1, checked[0]) == 1.0
    assert math.copysign(1, checked[1]["k"][0]) == 1.0
    assert math.copysign(1, values.checked(-0.0)) == 1.0
    assert values.equal(values.checked(-0.0), 0.0)


def test_every_type_has_its_name() -> None:
    samples: list[Any] = [None, True, 1, 1.0, "", [], {}]
    assert [values.type_of(sample) for sample in samples] == [
        "null", "bool", "int", "float", "string", "list", "map",
    ]  # fmt: skip


# --- refusals of Python values --------------------------------------------------


class Text(str):
    """A subclass, whose equality and encoding could be anything."""


@pytest.mark.parametrize(
    "bad",
    [
        math.nan, math.inf, -math.inf, 2**63, -(2**63) - 1, 2**64, 10**6000, "\ud800", "a\udfffb",
        (), (1, 2), b"", b"abc", bytearray(b"a"), {1}, frozenset(), object(), 1j, Text("a"), range(3),
    ],
    ids=lambda bad: f"{bad.bit_length()}bits" if isinstance(bad, int) else f"{type(bad).__name__}-{str(bad)[:12]!a}",
)  # fmt: skip
def test_what_json_cannot_hold_is_refused_alone_and_inside(bad: Any) -> None:
    for value in (bad, [bad], {"k": bad}, {"k": [0, {"k": bad}]}):
        with pytest.raises(InvalidValue) as caught:
            values.checked(value)
        assert caught.value.hint
        assert len(caught.value.message) < 300


@pytest.mark.parametrize("key", [1, None, True, 1.5, b"k", ("a",), Text("k"), "\ud800", "ok\udc00"])
def test_a_map_key_that_is_no_unicode_string_is_refused(key: Any) -> None:
    for value in ({key: 1}, [{"a": {key: 1}}]):
        with pytest.raises(InvalidValue) as caught:
            values.checked(value)
        assert caught.value.hint


def test_the_ends_of_the_integer_range_are_stored() -> None:
    for number in (INT_MAX, INT_MIN):
        assert values.decode(values.encode(values.checked(number))) == number


@pytest.mark.parametrize("char", ["a", "é", "🙂"])
def test_a_key_of_1024_bytes_is_stored_and_one_byte_more_is_refused(char: str) -> None:
    key = char * (KEY_BYTES_MAX // len(char.encode()))
    assert values.checked({key: 1}) == {key: 1}
    with pytest.raises(LimitExceeded) as caught:
        values.checked({key + "b": 1})
    assert caught.value.details == {"limit": "KEY_BYTES_MAX", "max": KEY_BYTES_MAX}


def test_128_levels_are_stored_and_129_are_refused() -> None:
    assert values.decode(values.encode(values.checked(nested(VALUE_DEPTH_MAX)))) == nested(VALUE_DEPTH_MAX)
    with pytest.raises(LimitExceeded) as caught:
        values.checked(nested(VALUE_DEPTH_MAX + 1))
    assert caught.value.details["limit"] == "VALUE_DEPTH_MAX"


def test_the_levels_of_the_path_above_count_as_levels_of_the_value() -> None:
    values.checked(nested(VALUE_DEPTH_MAX - 5), depth=5)
    with pytest.raises(LimitExceeded):
        values.checked(nested(VALUE_DEPTH_MAX - 4), depth=5)


def test_a_list_that_holds_itself_is_refused_and_does_not_hang() -> None:
    loop: list[Any] = [1]
    loop += [loop, loop]
    with pytest.raises(LimitExceeded):
        values.checked(loop)


def test_a_small_object_that_unfolds_to_more_than_a_value_may_hold_is_refused() -> None:
    """64 levels of ten references to one list would be 10^64 items."""
    bomb: Any = [0] * 10
    for _ in range(64):
        bomb = [bomb] * 10
    with pytest.raises(LimitExceeded) as caught:
        values.checked(bomb)
    assert caught.value.details["limit"] == "VALUE_BYTES_MAX"


def test_the_limit_of_a_value_counts_canonical_bytes_of_strings_and_containers_alike() -> None:
    fits = "x" * (VALUE_BYTES_MAX - 5)
    assert len(values.encode(values.checked(fits))) == VALUE_BYTES_MAX
    assert values.decode(values.encode(fits)) == fits
    too_large = (fits + "x", "é" * (VALUE_BYTES_MAX // 2), [fits], ["x" * 1000] * 4200, {"k": fits[1:]})
    for value in too_large:
        with pytest.raises(LimitExceeded) as caught:
            values.checked(value)
        assert caught.value.details == {"limit": "VALUE_BYTES_MAX", "max": VALUE_BYTES_MAX}
    with pytest.raises(LimitExceeded):
        values.decode(values.encode([fits]))


# --- refusals of bytes ------------------------------------------------------------

CID = "01711e20" + "00" * 32
NOT_CANONICAL = {
    "integer 1 in two bytes": "1801",
    "integer 1 in five bytes": "1a00000001",
    "negative integer in two bytes": "3800",
    "string length in two bytes": "780161",
    "list length in two bytes": "980101",
    "map length in two bytes": "b801616101",
    "float16": "f93c00",
    "float32": "fa3f800000",
    "indefinite list": "9f01ff",
    "indefinite bytes": "5f41ffff",
    "indefinite string": "7f6161ff",
    "indefinite map": "bf616101ff",
    "undefined": "f7",
    "simple value": "e0",
    "simple value in two bytes": "f8ff",
    "bool in two bytes": "f815",
    "integer key": "a10102",
    "bytes key": "a1416101",
    "key twice": "a2616101616102",
    "keys out of order": "a2616201616101",
    "longer key first": "a262616101616202",
    "NaN": "fb7ff8000000000000",
    "infinity": "fb7ff0000000000000",
    "minus infinity": "fbfff0000000000000",
    "negative zero": "fb8000000000000000",
    "two objects": "0101",
    "nothing": "",
    "string that is not UTF-8": "61ff",
    "lone surrogate": "63eda080",
    "lone surrogate as key": "a163eda08001",
    "truncated": "8201",
    "length beyond the end": "9bffffffffffffffff",
    "other tag": "c000",
    "link that is no CID": "d82a4100",
    "link under a long tag": "d9002a5825" + "00" + CID,
    "bytes that parse as a CID": "5824" + CID,
    "100,000 levels": "81" * 100_000 + "80",
}


@pytest.mark.parametrize("data", NOT_CANONICAL.values(), ids=NOT_CANONICAL.keys())
def test_bytes_that_are_not_canonical_dag_cbor_are_refused(data: str) -> None:
    for read in (values.decode_block, values.decode):
        with pytest.raises(InvalidValue) as caught:
            read(bytes.fromhex(data))
        assert caught.value.hint


@pytest.mark.parametrize(
    "data",
    ["41ff", "d82a5825" + "00" + CID, "8141ff", "a1616b" + "41ff", "1b8000000000000000", "3b8000000000000000"],
    ids=["bytes", "link", "bytes in a list", "bytes in a map", "2^63", "-2^63-1"],
)
def test_canonical_blocks_that_are_no_json_are_blocks_but_no_values(data: str) -> None:
    raw = bytes.fromhex(data)
    assert values.encode(values.decode_block(raw)) == raw
    with pytest.raises(InvalidValue):
        values.decode(raw)


def test_decoding_holds_the_limits_of_depth_and_key_size() -> None:
    with pytest.raises(LimitExceeded):
        values.decode(b"\x81" * VALUE_DEPTH_MAX + b"\x80")
    with pytest.raises(LimitExceeded):
        values.decode(values.encode({"k" * (KEY_BYTES_MAX + 1): 1}))


@settings(max_examples=400)
@given(st.binary(max_size=64))
def test_any_bytes_are_decoded_to_what_encodes_to_them_or_refused(data: bytes) -> None:
    decodes_strictly(data)


@settings(max_examples=400)
@given(VALUES, st.data())
def test_any_damage_to_canonical_bytes_is_refused_or_is_another_value(value: Any, data: st.DataObject) -> None:
    raw = bytearray(values.encode(values.checked(value)))
    at = data.draw(st.integers(0, len(raw) - 1))
    length = data.draw(st.integers(0, 2))
    raw[at : at + length] = data.draw(st.binary(max_size=3))
    decodes_strictly(bytes(raw))


def decodes_strictly(data: bytes) -> None:
    try:
        block = values.decode_block(data)
    except InvalidValue:
        with pytest.raises(InvalidValue):
            values.decode(data)
        return
    assert values.encode(block) == data
    try:
        value = values.decode(data)
    except (InvalidValue, LimitExceeded):
        return
    assert values.encode(value) == data
    assert values.encode(values.checked(value)) == data
