"""Which backups may hold what was erased, and the search of the bytes of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp.errors import InvalidArgument
from asg_mcp.repo.redactrules import Secret
from asg_mcp.services import redactproof
from asg_mcp.services.redactproof import files_of, found_in, holding

NAME = "state-0a1b2c3d-20261121T073000.250Z-{}.db"


def made(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def test_backups_that_are_older_than_what_was_erased_are_not_named(tmp_path: Path) -> None:
    store, folder = tmp_path / "state.db", tmp_path / "state.db.backups"
    old, new = made(folder / NAME.format(7)), made(folder / NAME.format(8))
    assert holding(store, 7, None) == [new]
    assert holding(store, None, None) == [old, new]


def test_what_nothing_is_known_of_is_named(tmp_path: Path) -> None:
    store, folder = tmp_path / "state.db", tmp_path / "state.db.backups"
    by_hand = made(folder / "before-the-holidays.db")
    left = tmp_path / ".asg-copy-0123.part"
    left.mkdir()
    elsewhere = made(tmp_path / "usb.db")
    assert holding(store, 7, elsewhere) == sorted([by_hand, left, elsewhere])
    assert holding(store, 7, tmp_path / "gone.db") == sorted([by_hand, left])


def test_a_needle_is_found_wherever_the_chunks_are_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redactproof, "_CHUNK_BYTES", 7)
    file = made(tmp_path / "state.db")
    for before in range(20):
        file = made(tmp_path / "state.db", b"." * before + b"hunter2-secret" + b"." * 9)
        assert found_in([file], [b"nothing", b"hunter2-secret"]) == [file]
    assert found_in([made(tmp_path / "state.db", b"hunter2-secre" * 9)], [b"hunter2-secret"]) == []
    assert found_in([file], []) == []


def test_all_files_of_a_store_are_searched(tmp_path: Path) -> None:
    store = made(tmp_path / "state.db")
    wal, lock = made(tmp_path / "state.db-wal"), made(tmp_path / "state.db.lock")
    made(tmp_path / "other.db")
    assert files_of(store) == [store, wal, lock]


@pytest.mark.parametrize(
    ("secret", "value", "found"),
    [
        ("hunter2", "hunter2", True),
        ("hunter2", "my hunter2!", True),
        ("hunter2", "HUNTER2", False),
        ('pa"ss\\w', '{"p": "pa\\"ss\\\\w"}', True),
        ("straße-7", 'as JSON: "stra\\u00dfe-7"', True),
        ("abc", "abc", True),
        ("abc", "abcd", False),
        ("123456", 123456, True),
        (123456, "123456", True),
        (123456, "card 123456 x", True),
        (123456, 1234567, False),
        (1.5, 1.5, True),
        (1.5, 1, False),
        (7, 7, True),
        (7, "77", False),
        (1, True, False),
        ("1", 1, True),
    ],
)
def test_a_value_is_found_by_itself_in_both_its_forms_and_inside_of_texts(
    secret: object, value: object, found: bool
) -> None:
    assert Secret(secret).is_value(value) is found


def test_a_short_number_in_a_body_is_a_count_and_a_longer_one_is_found() -> None:
    assert not Secret(7).is_told({"count": 7, "deep": [7]})
    assert Secret(4_711_000).is_told({"deep": [{"id": 4_711_000}]})
    assert Secret("hunter2").is_told({"hunter2": 1})


def test_answers_are_masked_and_keep_their_form() -> None:
    answer = ["hunter2", {"a": ["x hunter2 y", 1, None, b"\x00"]}]
    assert Secret("hunter2").masked_answer(answer) == ["***", {"a": ["x *** y", 1, None, b"\x00"]}]


@pytest.mark.parametrize("value", [None, True, False, "", {}, [1]])
def test_what_is_everywhere_or_no_single_value_is_refused(value: object) -> None:
    with pytest.raises(InvalidArgument, match=r".") as caught:
        Secret(value)
    assert "redact path" in caught.value.hint
