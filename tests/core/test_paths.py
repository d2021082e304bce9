"""JSON Pointers outside, tree keys inside."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from asg_mcp.core import paths
from asg_mcp.core.limits import KEY_BYTES_MAX, PATH_BYTES_MAX, VALUE_DEPTH_MAX
from asg_mcp.core.paths import ELEMENT, END, format_path, list_index, map_segment, parse_path, unescape_segment
from asg_mcp.errors import InvalidPath, LimitExceeded

# Weighted towards what the two escapes and the two marks are made of.
KEYS = st.text(st.sampled_from("\x00\x01\x02\x03\x04\x05~/01ab-é\uffff🙂") | st.characters(codec="utf-8"), max_size=6)
TOKENS = st.lists(KEYS, max_size=6).map(tuple)
SEGMENTS = st.lists(KEYS.map(map_segment) | st.just(ELEMENT), max_size=4)
TREE_KEYS = SEGMENTS.map("".join)


# --- JSON Pointer -----------------------------------------------------------------


def evaluate(document: object, tokens: paths.Tokens) -> object:
    """RFC 6901 section 4, as plainly as it can be written."""
    for token in tokens:
        if isinstance(document, list):
            index = list_index(token)
            assert index is not None
            document = document[index]
        else:
            assert isinstance(document, dict)
            document = document[token]
    return document


RFC_6901_DOCUMENT = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", RFC_6901_DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/a~1b", 1), ("/c%d", 2),
        ("/e^f", 3), ("/g|h", 4), ("/i\\j", 5), ('/k"l', 6), ("/ ", 7), ("/m~0n", 8),
        ("/", RFC_6901_DOCUMENT),  # the one exception: the RFC names the empty key here
    ],
)  # fmt: skip
def test_the_examples_of_rfc_6901_section_5_name_what_the_rfc_says(text: str, found: object) -> None:
    assert evaluate(RFC_6901_DOCUMENT, parse_path(text)) == found


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("/~01", ("~1",)), ("/~10", ("/0",)), ("/~0~1", ("~/",)), ("/~1~0", ("/~",)), ("/~00", ("~0",)),
        ("/a/", ("a", "")), ("/a//b", ("a", "", "b")), ("/a/-", ("a", "-")), ("/a/007", ("a", "007")),
    ],
)  # fmt: skip
def test_escapes_are_undone_in_the_order_that_never_makes_a_new_one(text: str, tokens: paths.Tokens) -> None:
    """RFC 6901 section 4: ~1 first, then ~0, so that ~01 is ~1 and not /."""
    assert parse_path(text) == tokens
    assert format_path(tokens) == text


@pytest.mark.parametrize("text", ["/~", "/~2", "/a~", "/~~0", "/~a/b", "/a/b~/c", "/~0~", "/~ 1"])
def test_a_tilde_that_escapes_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidPath) as caught:
        parse_path(text)
    assert "~0" in caught.value.hint and "~1" in caught.value.hint


@pytest.mark.parametrize("text", ["a", "a/b", "#/a", " /a", "~1", "\\a"])
def test_a_path_without_its_slash_is_refused_with_the_path_that_was_meant(text: str) -> None:
    with pytest.raises(InvalidPath) as caught:
        parse_path(text)
    assert repr("/" + text) in caught.value.hint


@pytest.mark.parametrize("text", ["//", "//a", "///"])
def test_the_empty_key_directly_below_the_root_is_refused(text: str) -> None:
    with pytest.raises(InvalidPath) as caught:
        parse_path(text)
    assert "empty key" in caught.value.hint


@pytest.mark.parametrize("text", ["/\ud800", "/a/\udfff~0", "/a~1\udc00"])
def test_a_path_with_a_lone_surrogate_is_refused(text: str) -> None:
    with pytest.raises(InvalidPath):
        parse_path(text)


def test_each_limit_of_a_path_holds_to_the_byte() -> None:
    key = "k" * KEY_BYTES_MAX
    assert parse_path("/" + key) == (key,)
    assert parse_path("/a" * VALUE_DEPTH_MAX) == ("a",) * VALUE_DEPTH_MAX
    assert parse_path("/" + "~1" * KEY_BYTES_MAX) == ("/" * KEY_BYTES_MAX,)
    long = "/" + "/".join(["k" * 1023] * 4)
    assert len(long) == PATH_BYTES_MAX and len(parse_path(long)) == 4
    for text, limit in (
        ("/a/" + key + "k", "KEY_BYTES_MAX"),
        ("/" + "é" * (KEY_BYTES_MAX // 2) + "k", "KEY_BYTES_MAX"),
        ("/~0" + key, "KEY_BYTES_MAX"),
        ("/~0/" + key + "k", "KEY_BYTES_MAX"),
        ("/a" * (VALUE_DEPTH_MAX + 1), "VALUE_DEPTH_MAX"),
        (long + "k", "PATH_BYTES_MAX"),
    ):
        with pytest.raises(LimitExceeded) as caught:
            parse_path(text)
        assert caught.value.details["limit"] == limit


@given(TOKENS)
def test_formatted_tokens_are_parsed_to_the_same_tokens(tokens: paths.Tokens) -> None:
    assume(not tokens or tokens[0] != "")
    assert parse_path(format_path(tokens)) == tokens


@given(st.text(st.sampled_from("/~01ab-é"), max_size=12))
def test_text_is_a_path_in_exactly_one_spelling_or_is_refused(text: str) -> None:
    try:
        tokens = parse_path(text)
    except InvalidPath:
        return
    assert format_path(tokens) == (text or "/")


def test_the_root_is_written_as_a_slash() -> None:
    assert parse_path("") == parse_path("/") == ()
    assert format_path(()) == "/"


@pytest.mark.parametrize(
    ("token", "index"),
    [
        ("0", 0), ("7", 7), ("10", 10), ("9999999999", 9_999_999_999),
        ("", None), ("-", None), ("-1", None), ("+1", None), ("01", None), ("00", None), ("1.0", None), ("1e3", None),
        (" 1", None), ("1\n", None), ("٣", None), ("²", None), ("1" * 11, None), ("1_0", None),
    ],
)  # fmt: skip
def test_a_list_position_is_digits_without_leading_zeros(token: str, index: int | None) -> None:
    assert list_index(token) == index


@given(TOKENS, TOKENS)
def test_a_path_is_within_its_ancestors_by_whole_tokens(head: paths.Tokens, tail: paths.Tokens) -> None:
    assert paths.is_within(head + tail, head)
    assert paths.is_within(head, head + tail) == (tail == ())
    assert paths.is_within(head, ())


def test_a_sibling_with_a_longer_name_is_not_within_a_path() -> None:
    assert not paths.is_within(("ab",), ("a",))
    assert not paths.is_within(("a",), ("a", "b"))


# --- tree keys --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "segment"),
    [
        ("", "\x00"), ("a", "a\x00"), ("é", "é\x00"), ("0", "0\x00"), ("a/b~", "a/b~\x00"), ("\x03", "\x03\x00"),
        ("\x00", "\x01\x03\x00"), ("\x01", "\x01\x04\x00"), ("\x02", "\x01\x05\x00"),
        ("a\x00\x01\x02b", "a\x01\x03\x01\x04\x01\x05b\x00"),
    ],
)  # fmt: skip
def test_map_segments_stay_what_they_were(key: str, segment: str) -> None:
    """Golden: tree keys are hashed, so a change here is a new tree layout."""
    assert map_segment(key) == segment
    assert unescape_segment(segment[:-1]) == key


def test_the_segment_of_a_list_element_stays_what_it_was() -> None:
    assert ELEMENT == "\x02\x00"


@given(KEYS)
def test_a_map_key_comes_back_from_its_segment_which_holds_no_mark(key: str) -> None:
    segment = map_segment(key)
    assert unescape_segment(segment[:-1]) == key
    assert segment.endswith(END) and segment.count(END) == 1
    assert "\x02" not in segment


@given(KEYS, KEYS)
def test_segments_sort_as_their_map_keys_do_by_code_point_and_by_utf_8_byte(left: str, right: str) -> None:
    assert (map_segment(left) < map_segment(right)) == (left < right)
    assert (map_segment(left).encode() < map_segment(right).encode()) == (left.encode() < right.encode())
    assert (map_segment(left) == map_segment(right)) == (left == right)


@given(SEGMENTS, SEGMENTS)
def test_a_key_is_a_prefix_of_another_exactly_when_its_segments_are(left: list[str], right: list[str]) -> None:
    assert "".join(right).startswith("".join(left)) == (right[: len(left)] == left)


@settings(max_examples=300)
@given(st.sets(TREE_KEYS, max_size=25), SEGMENTS)
def test_the_keys_of_a_subtree_are_one_run_of_the_sorted_tree(keys: set[str], top: list[str]) -> None:
    """The run begins with the container's own key, and nothing foreign stands inside it."""
    root = "".join(top)
    within = {root + key for key in keys} | {root}
    ordered = sorted(keys | within)
    inside = [key.startswith(root) for key in ordered]
    first, count = inside.index(True), sum(inside)
    assert all(inside[first : first + count])
    assert ordered[first] == root
    assert [key.encode() for key in ordered] == sorted(key.encode() for key in ordered)


@given(SEGMENTS)
def test_the_segment_of_a_list_element_is_found_in_a_key_exactly_where_one_was_put(segments: list[str]) -> None:
    """Whatever the map keys hold, U+0001 included: plain text search tells list elements from map keys."""
    key = "".join(segments)
    assert (ELEMENT in key) == (ELEMENT in segments)
    assert key.endswith(ELEMENT) == (segments[-1:] == [ELEMENT])


@given(SEGMENTS)
def test_the_depth_is_read_off_a_key(segments: list[str]) -> None:
    assert paths.depth_of("".join(segments)) == len(segments)
