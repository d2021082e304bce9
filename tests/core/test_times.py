"""RFC 3339 outside, microseconds inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.times import TIME_MAX, TIME_MIN, format_time, parse_time
from asg_mcp.errors import InvalidArgument

SECOND = 1_000_000


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:30:00-00:30", 0),
        ("1970-01-01T00:00:00-00:00", 0),
        ("1970-01-01t00:00:01z", SECOND),
        ("1970-01-01 00:00:01Z", SECOND),
        ("1970-01-02", 86_400 * SECOND),
        ("2026-11-21", 1_795_219_200 * SECOND),
        ("2001-09-09T01:46:40Z", 1_000_000_000 * SECOND),
        ("1970-01-01T00:00:00.5Z", 500_000),
        ("1970-01-01T00:00:00.123456789Z", 123_456),
        ("1970-01-01T00:00:00.9999999Z", 999_999),
        ("1969-12-31T23:59:59.9999999Z", -1),
        ("2024-02-29T00:00:00Z", 1_709_164_800 * SECOND),
    ],
)
def test_a_time_is_counted_in_microseconds_since_1970(text: str, micros: int) -> None:
    assert parse_time(text) == micros


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("1985-04-12T23:20:50.52Z", "1985-04-12T23:20:50.520000Z"),
        ("1996-12-19T16:39:57-08:00", "1996-12-20T00:39:57.000000Z"),
        ("1990-12-31T23:59:60Z", "1991-01-01T00:00:00.000000Z"),
        ("1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00.000000Z"),
        ("1937-01-01T12:00:27.87+00:20", "1937-01-01T11:40:27.870000Z"),
    ],
)
def test_the_examples_of_rfc_3339_section_5_8_name_their_moment_in_utc(text: str, utc: str) -> None:
    assert format_time(parse_time(text)) == utc


@given(st.integers(TIME_MIN, TIME_MAX))
def test_every_moment_comes_back_from_its_text(micros: int) -> None:
    text = format_time(micros)
    assert parse_time(text) == micros
    assert len(text) == 27 and text.endswith("Z")


@given(st.integers(TIME_MIN, TIME_MAX), st.integers(TIME_MIN, TIME_MAX))
def test_texts_sort_as_their_moments_do(left: int, right: int) -> None:
    assert (format_time(left) < format_time(right)) == (left < right)


@given(
    st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31)),
    st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_an_offset_is_taken_off_as_the_standard_library_does(naive: datetime, zone: timezone) -> None:
    local = naive.replace(tzinfo=zone)
    expected = (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert parse_time(local.isoformat()) == expected
    assert format_time(expected) == local.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "now", "yesterday", "1795219200", "2026", "2026-11", "20261121", "2026-W47-6", "2026-325",
        "2026-13-01", "2026-00-01", "2026-02-29", "2026-11-31", "2026-11-00", "0000-01-01", "26-11-21",
        "2026-11-21T", "2026-11-21Z", "2026-11-21T08Z", "2026-11-21T08:00Z", "2026-11-21T24:00:00Z",
        "2026-11-21T08:60:00Z", "2026-11-21T08:00:61Z", "2026-11-21T08:00:60Z", "2026-11-21T08:00:00.Z",
        "2026-11-21T08:00:00,5Z", "2026-11-21T08:00:00.1234567890Z", "2026-11-21T08:00:00+1",
        "2026-11-21T08:00:00+0100", "2026-11-21T08:00:00+24:00", "2026-11-21T08:00:00+01:60",
        "2026-11-21T08:00:00 +01:00", "2026-11-21T08:00:00UTC", " 2026-11-21", "2026-11-21\n", "-2026-11-21",
        "+02026-11-21", "２０２６-11-21", "٢٠٢٦-11-21", "2026-11-21T08:00:00Z\x00", "9" * 10_000,
        "0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "9999-12-31T23:59:60Z",
    ],
    ids=lambda text: repr(text[:40]),
)  # fmt: skip
def test_text_that_is_no_time_is_refused_with_an_example_of_one(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_time(text)
    assert "2026-11-21T08:00:00Z" in caught.value.hint
    assert len(caught.value.message) < 200


@pytest.mark.parametrize("text", ["2026-11-21T08:00:00", "2026-11-21T08:00:00.25", "2026-11-21 08:00:00"])
def test_a_time_without_an_offset_is_refused_with_the_utc_time_as_a_suggestion(text: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse_time(text)
    assert repr(text + "Z") in caught.value.hint
    parse_time(text + "Z")


@given(st.text(st.sampled_from("0123456789-:.TtZz+ "), max_size=30))
def test_any_text_is_a_time_or_an_invalid_argument(text: str) -> None:
    try:
        assert TIME_MIN <= parse_time(text) <= TIME_MAX
    except InvalidArgument as error:
        assert error.hint


@pytest.mark.parametrize("micros", [TIME_MIN - 1, TIME_MAX + 1])
def test_formatting_a_moment_outside_the_years_1_to_9999_is_a_bug(micros: int) -> None:
    with pytest.raises(AssertionError, match="BUG"):
        format_time(micros)
