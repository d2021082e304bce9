"""Notes and checkpoints: what is written is read again, and every other form is refused."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.merkle import leaf_hash
from asg_mcp.core.notes import (
    NOTE_BYTES_MAX,
    Checkpoint,
    Note,
    Signature,
    VerifierKey,
    check_key_name,
    format_private_key,
    parse_checkpoint,
    parse_note,
    parse_private_key,
    parse_verifier_key,
    signatures_of,
)
from asg_mcp.errors import InvalidInput

GO_SUM_KEY = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
"""The key of Go's checksum database, as every Go program carries it: made by others, with base64 that has a +."""
KEY = VerifierKey("asg.test/log", bytes(range(32)))
ROOT = leaf_hash(b"")
CHECKPOINT = Checkpoint("asg.test/log", 7, ROOT)
NOTE = Note(CHECKPOINT.text, (Signature(KEY.name, KEY.key_id, b"s" * 64),))
SPELLED = str(NOTE).encode()

names = st.text(st.characters(exclude_characters="+", exclude_categories=["Z", "C"]), min_size=1, max_size=20)
lines = st.text(st.characters(exclude_categories=["C"]), max_size=30).filter(lambda line: "\n\n" not in line)
signatures = st.builds(Signature, names, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=70))


def test_a_key_made_by_others_has_the_id_that_they_gave_it() -> None:
    key = parse_verifier_key(GO_SUM_KEY)
    assert (key.name, key.key_id.hex()) == ("sum.golang.org", "033de0ae")
    assert str(key) == GO_SUM_KEY


@given(st.lists(lines, min_size=1, max_size=5), st.lists(signatures, min_size=1, max_size=4))
def test_a_note_is_read_as_it_was_written(texts: list[str], signed: list[Signature]) -> None:
    note = Note("".join(f"{line}\n" for line in texts), tuple(signed))
    assert parse_note(str(note).encode()) == note


@given(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1),
    st.integers(0, 10**18),
    st.binary(min_size=32, max_size=32),
)
def test_a_checkpoint_is_read_as_it_was_written(origin: str, size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin, size, root)
    assert parse_checkpoint(checkpoint.text) == checkpoint


@given(st.binary(min_size=32, max_size=32), names)
def test_keys_are_read_as_they_were_written(secret: bytes, name: str) -> None:
    key = VerifierKey(name, secret)
    assert parse_verifier_key(str(key)) == key
    assert parse_private_key(format_private_key(name, secret[::-1], secret)) == (name, key.key_id, secret[::-1])


def test_a_checkpoint_is_three_lines_and_its_note_ends_in_a_signature_line() -> None:
    root = b64encode(ROOT).decode()
    assert CHECKPOINT.text == f"asg.test/log\n7\n{root}\n"
    signed = b64encode(KEY.key_id + b"s" * 64).decode()
    assert SPELLED.decode() == f"asg.test/log\n7\n{root}\n\n— asg.test/log {signed}\n"


def test_lines_of_extensions_are_passed_over() -> None:
    assert parse_checkpoint(CHECKPOINT.text + "extension 1\n") == CHECKPOINT


@pytest.mark.parametrize(
    ("was", "becomes", "fault"),
    [
        (b"\n\n", b"\n", "empty line"),
        (b"M=\n", b"M=", "signature lines"),
        ("— ".encode(), b"- ", "another form"),
        ("— asg".encode(), "— a+sg".encode(), "white space or a"),
        ("— asg.test/log ".encode(), "—  ".encode(), "is empty"),
        (b"7\n", b"7\r\n", "control"),
        (b"7\n", b"\xff\n", "UTF-8"),
        (b"M=\n", b"M\n", "base64"),
        (b"M=\n", b"M=\n\n", "signature lines"),
    ],
)
def test_a_note_of_another_form_is_refused(was: bytes, becomes: bytes, fault: str) -> None:
    assert was in SPELLED
    with pytest.raises(InvalidInput, match=fault):
        parse_note(SPELLED.replace(was, becomes))


def test_a_note_too_large_or_signed_too_often_is_refused() -> None:
    with pytest.raises(InvalidInput, match="bytes"):
        parse_note(b"a" * (NOTE_BYTES_MAX + 1))
    with pytest.raises(InvalidInput, match="101 signatures"):
        parse_note(str(Note("a\n", NOTE.signatures * 101)).encode())
    with pytest.raises(InvalidInput, match="too short"):
        parse_note(f"a\n\n— n {b64encode(b'1234').decode()}\n".encode())


@pytest.mark.parametrize("size", ["-1", "+7", "07", "7.0", "", " 7", "0x7", "٧", "9" * 20])
def test_a_size_has_one_spelling(size: str) -> None:
    with pytest.raises(InvalidInput):
        parse_checkpoint(CHECKPOINT.text.replace("\n7\n", f"\n{size}\n"))


@pytest.mark.parametrize("text", ["", "a\n7\n", "a\n7", "\n7\nAAAA\n", "a\n7\nAAAA\n", "a\n7\n!\n"])
def test_a_checkpoint_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_checkpoint(text)


def test_no_line_of_a_checkpoint_is_empty() -> None:
    for text in (CHECKPOINT.text + "\n", CHECKPOINT.text + "\nmore\n", CHECKPOINT.text.replace("asg.test/log", "")):
        with pytest.raises(InvalidInput, match="none of them empty"):
            parse_checkpoint(text)


def test_base64_has_one_spelling() -> None:
    root = b64encode(ROOT).decode()
    assert root.endswith("0=")
    with pytest.raises(InvalidInput, match="spelling"):
        parse_checkpoint(f"a\n7\n{root[:-2]}1=\n")


@pytest.mark.parametrize(
    "text",
    [
        GO_SUM_KEY.replace("sum.", "sun."),
        GO_SUM_KEY.replace("+033de0ae", "+033de0af"),
        GO_SUM_KEY.replace("+033de0ae", "+033DE0AE"),
        GO_SUM_KEY.replace("+Ac4", "+Bc4"),
        "sum.golang.org+033de0ae+AQ==",
        "sum.golang.org",
        "",
    ],
)
def test_a_public_key_of_another_form_or_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        parse_verifier_key(text)


def test_a_private_key_says_that_it_is_one() -> None:
    with pytest.raises(InvalidInput, match="PRIVATE"):
        parse_private_key(GO_SUM_KEY)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u00a0b", "a\x01"])
def test_a_key_name_without_an_end_of_its_own_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput):
        check_key_name(name)


def test_a_signature_is_a_keys_own_when_name_and_id_are() -> None:
    ours = NOTE.signatures[0]
    others = (Signature("other", KEY.key_id, b"s"), Signature(KEY.name, b"1234", b"s"))
    assert list(signatures_of(Note("a\n", (others[0], ours, others[1])), KEY)) == [ours]
