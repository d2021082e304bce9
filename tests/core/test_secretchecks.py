"""Checksums, ranges and the look of generated texts."""

from __future__ import annotations

from base64 import urlsafe_b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core import secretchecks as check

CARDS = ("4111111111111111", "5555555555554444", "2223003122003222", "378282246310005", "6011111111111117",
         "3530111333300000", "30569309025904", "6200000000000005")  # fmt: skip
IBANS = ("DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "NO9386011117947", "MT84MALT011000012345MTLCAST001S",
         "FR1420041010050500013M02606")  # fmt: skip


@pytest.mark.parametrize("number", CARDS)
def test_published_test_numbers_are_cards_and_one_digit_off_is_none(number: str) -> None:
    assert check.card(number.encode())
    for place in range(4, len(number)):
        wrong = number[:place] + str((int(number[place]) + 1) % 10) + number[place + 1 :]
        assert not check.card(wrong.encode())


@given(st.text("0123456789", min_size=1, max_size=19))
def test_the_check_digit_is_that_of_a_plain_sum(digits: str) -> None:
    total = 0
    for place, digit in enumerate(reversed([int(char) for char in digits])):
        total += sum(divmod(digit * 2, 10)) if place % 2 else digit
    assert check.luhn(digits.encode()) is (total % 10 == 0)


def test_numbers_of_other_lengths_and_issuers_are_no_cards() -> None:
    for number in ("0" * 16, "1" * 16, "4222222222222", "9999999999999995", "411111111111111111", "1763683200123456"):
        assert not check.card(number.encode())


@pytest.mark.parametrize("number", IBANS)
def test_an_iban_holds_and_with_two_characters_swapped_does_not(number: str) -> None:
    assert check.iban(number.encode())
    plain = number.replace(" ", "")
    for place in range(4, len(plain) - 1):
        if plain[place] != plain[place + 1]:
            swapped = plain[:place] + plain[place + 1] + plain[place] + plain[place + 2 :]
            assert not check.iban(swapped.encode())
    assert not check.iban(plain[:-1].encode())


@pytest.mark.parametrize(
    "number", ["000-12-3456", "666-12-3456", "900-12-3456", "536-00-4399", "536-90-0000", "111111111"]
)
def test_numbers_that_were_never_issued_are_no_social_security_numbers(number: str) -> None:
    assert not check.ssn(number.encode())
    assert check.ssn(b"536-90-4399")


@pytest.mark.parametrize("text", [b"", b"a", b"aaaaaaaaaaaaaaaa", b"xxxx-xxxx-xxxx"])
def test_what_repeats_itself_does_not_look_random(text: bytes) -> None:
    assert not check.random_looking(text)


def test_a_token_has_to_have_an_algorithm_in_its_header() -> None:
    header = b"eyJhbGciOiJIUzI1NiJ9"
    assert check.jwt(header + b"." + urlsafe_b64encode(b'{"sub":"ana"}') + b".x")
    assert check.jwt(header + b".not-json.x"), "what it says cannot be told"
    assert not check.jwt(header + b"." + urlsafe_b64encode(b'{"some":"payload"}') + b".x"), "a sample of a manual"
    for text in (b"eyJ1c2VyIjoxfQ.e30.x", b"eyJ.e30.x", b"WzFd.e30.x", b"eyJ\xff.e30.x"):
        assert not check.jwt(text)


def test_only_user_and_password_make_basic_credentials() -> None:
    assert check.basic(b"ZGVwbG95OmJsdWUtaG9yc2UtOQ==")
    assert not check.basic(b"understanding")
    assert not check.basic(b"dXNlcjpwYXNzd29yZA==")  # user:password
