"""Between values and entries, and what setting a whole container keeps."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.flat import (
    flatten,
    nest,
    placed,
    reconcile,
    relative,
    same_content,
    same_scalar,
    scalar_value,
    splices_between,
    value_of,
)
from asg_mcp.core.ids import ValueId
from asg_mcp.core.limits import VALUE_INLINE_BYTES_MAX
from asg_mcp.core.nodes import LIST, MAP, SCALAR, Blob, Entry
from asg_mcp.core.paths import ELEMENT, END
from asg_mcp.core.values import encode
from asg_mcp.errors import LimitExceeded, Withheld
from tests.core.trees import HASHER, SOURCE

FLOATS = st.floats(allow_nan=False, allow_infinity=False, width=16)
TEXTS = st.text(st.sampled_from("ab\x00\x01\x02/~é😀"), max_size=3)
SCALARS = st.none() | st.booleans() | st.integers(-3, 3) | FLOATS | TEXTS
KEYS = st.text(st.sampled_from("ab\x00\x01\x02\x03/~é😀 "), max_size=3)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)


def flat(value: Any, origin: int = 1, key: str = "") -> list[Entry]:
    return flatten(value, key, origin, HASHER)


@given(VALUES)
def test_a_value_comes_back_from_its_entries(value: Any) -> None:
    assert encode(value_of(nest(flat(value)), SOURCE)) == encode(value)


@given(VALUES)
def test_entries_know_their_container_by_their_key_and_maps_are_in_key_order(value: Any) -> None:
    entries = flat(value, key="k" + END)
    assert all(entry.key.startswith("k" + END) for entry in entries)
    outside_lists = [entry.key for entry in entries if ELEMENT not in entry.key]
    assert outside_lists == sorted(set(outside_lists))
    item = nest(entries)
    assert item.size() == len(entries)


@given(VALUES, VALUES)
def test_reconciling_keeps_the_objects_of_what_stays_and_counts_what_does_not(old: Any, new: Any) -> None:
    before = flat(old, 1)
    after, changed = reconcile(nest(before), nest(flat(new, 2)), 2)
    assert encode(value_of(nest(after), SOURCE)) == encode(new)
    assert (changed == 0) == (encode(old) == encode(new))
    kept = {id(entry) for entry in before}
    assert all((id(entry) in kept) == (entry.origin == 1) for entry in after)
    if not changed:
        assert [*map(id, after)] == [*map(id, before)]


@given(VALUES, VALUES)
def test_the_splices_between_two_runs_of_entries_turn_one_into_the_other(old: Any, new: Any) -> None:
    before = flat(old, 1)
    after, _ = reconcile(nest(before), nest(flat(new, 2)), 2)
    plain = [None] * 7 + [*before]
    for low, high, fresh in reversed(splices_between(before, after, 7)):
        plain[low:high] = fresh
    assert [*map(id, plain[7:])] == [*map(id, after)]


def origins(old: Any, new: Any) -> list[int]:
    return [entry.origin for entry in reconcile(nest(flat(old, 1)), nest(flat(new, 2)), 2)[0]]


@pytest.mark.parametrize(
    ("old", "new", "wanted"),
    [
        pytest.param({"a": 1, "b": 2}, {"b": 2, "a": 3}, [1, 2, 1], id="one value of a map"),
        pytest.param({"a": 1, "b": 2}, {"a": 1}, [2, 1], id="a key went"),
        pytest.param({"a": 1}, {"a": 1, "b": {}}, [2, 1, 2], id="a key came"),
        pytest.param({"a": 1}, {"a": 1.0}, [1, 2], id="int to float"),
        pytest.param({"a": True}, {"a": 1}, [1, 2], id="bool to int"),
        pytest.param({"a": {"x": 1}}, {"a": [1]}, [1, 2, 2], id="map to list"),
        pytest.param({"a": {}}, {"a": []}, [1, 2], id="empty map to empty list"),
        pytest.param([1, 2, 3], [0, 1, 2, 3], [2, 2, 1, 1, 1], id="inserted at the front"),
        pytest.param([1, 2, 3], [2, 3], [2, 1, 1], id="removed at the front"),
        pytest.param([1, 2, 3], [1, 9, 3], [1, 1, 2, 1], id="one element replaced"),
        pytest.param([1, 2, 3], [3, 1, 2], [2, 2, 1, 1], id="reordered"),
        pytest.param([{"a": 1, "b": 1}, 5], [{"a": 1, "b": 2}, 5], [1, 1, 1, 2, 1], id="inside an element"),
        pytest.param([[1], [2]], [[0], [1], [2]], [2, 2, 2, 1, 1, 1, 1], id="lists in a list"),
        pytest.param([1, True, 1.0], [True, 1.0], [2, 1, 1], id="equal to Python alone"),
        pytest.param([], [], [1], id="nothing"),
    ],
)
def test_a_whole_container_set_again_keeps_the_origins_of_what_stays(old: Any, new: Any, wanted: list[int]) -> None:
    assert origins(old, new) == wanted


def test_a_long_text_is_kept_out_of_line_and_a_text_at_the_limit_is_not() -> None:
    for text, apart in (
        ("x" * VALUE_INLINE_BYTES_MAX, False),
        ("x" * (VALUE_INLINE_BYTES_MAX + 1), True),
        ("é" * (VALUE_INLINE_BYTES_MAX // 2), False),
        ("é" * (VALUE_INLINE_BYTES_MAX // 2 + 1), True),
    ):
        (entry,) = flat(text)
        assert (type(entry.value) is Blob) == apart
        assert scalar_value(entry, SOURCE) == text
        assert HASHER.value_id(entry) == HASHER.value_ids.of(text)


def test_an_out_of_line_value_that_is_stored_is_read_from_its_row() -> None:
    class OneRow:
        def load(self, row: int) -> Any:
            raise AssertionError("no node is asked for")

        def blob(self, row: int) -> Any:
            return f"row {row}"

    entry = Entry("a" + END, SCALAR, Blob(HASHER.value_ids.of("text"), 7), 1)
    assert scalar_value(entry, OneRow()) == "row 7"


def test_an_erased_value_is_withheld_and_keeps_its_id() -> None:
    value_id = HASHER.value_ids.of("secret")
    entry = Entry("a" + END, SCALAR, Blob(value_id, 0), 1)
    with pytest.raises(Withheld) as caught:
        scalar_value(entry, SOURCE)
    assert caught.value.details == {"value": value_id.short}
    assert caught.value.hint
    assert HASHER.value_id(entry) == value_id


def test_scalars_are_the_same_only_with_the_same_type_and_value() -> None:
    def entry(value: Any) -> Entry:
        return Entry("a" + END, SCALAR, value, 1)

    long, other = "x" * 3_000, "y" * 3_000
    values = [None, False, 0, 0.0, True, 1, 1.0, "", "1", long, other]
    for left in values:
        for right in values:
            same = same_scalar(flat(left)[0], flat(right)[0])
            assert same == (encode(left) == encode(right)), (left, right)
    assert not same_scalar(entry(Blob(ValueId.of(b"x"), 1)), entry("x"))


@given(VALUES)
def test_entries_placed_elsewhere_and_taken_back_are_the_same_content(value: Any) -> None:
    entries = flat(value, 3)
    moved = placed(entries, "a" + END + ELEMENT, 5)
    assert {entry.origin for entry in moved} == {5}
    assert same_content(moved, flat(value, 1, "a" + END + ELEMENT))
    back = relative(moved, "a" + END + ELEMENT)
    assert same_content(back, entries)
    assert {entry.origin for entry in back} == {5}


def test_a_value_whose_paths_would_be_too_long_to_name_is_refused() -> None:
    value: Any = 1
    for _ in range(5):
        value = {"x" * 1_000: value}
    with pytest.raises(LimitExceeded) as caught:
        placed(flat(value), "a" + END, 1)
    assert caught.value.details["limit"] == "PATH_BYTES_MAX"
    assert caught.value.hint


def test_content_differs_by_key_kind_value_and_length() -> None:
    base = flat({"a": 1, "b": [1]})
    for other in (
        {"a": 1, "c": [1]},
        {"a": 1.0, "b": [1]},
        {"a": 1, "b": {}},
        {"a": 1, "b": [1, 1]},
        {"a": 1, "b": []},
    ):
        assert not same_content(base, flat(other))
    assert [flat({})[0].kind, flat([])[0].kind] == [MAP, LIST]
