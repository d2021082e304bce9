"""Which backups may hold what was erased, and the search of the bytes of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp.errors import InvalidArgument
from asg_mcp.repo.redactrules import Secret
from asg_mcp.services import redactproof
from asg_mcp.services.marks import BackupPlace
from asg_mcp.services.redactproof import Held, files_of, found_in, holding

NAME = "state-0a1b2c3d-20261121T073000.250Z-{}.db"
LOG = ("asg-mcp/99999999ffff", "asg-mcp/0a1b2c3d4e5f")


def made(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    return path


def test_backups_that_are_older_than_what_was_erased_are_not_named(tmp_path: Path) -> None:
    store, folder = tmp_path / "state.db", tmp_path / "state.db.backups"
    old, new = made(folder / NAME.format(7)), made(folder / NAME.format(8))
    (folder / "a-folder").mkdir()
    assert holding(store, LOG, 7) == Held((new,))
    assert holding(store, LOG, None) == Held((old, new))


def test_what_nothing_is_known_of_is_named(tmp_path: Path) -> None:
    store, folder = tmp_path / "state.db", tmp_path / "state.db.backups"
    by_hand = made(folder / "before-the-holidays.db")
    left = tmp_path / ".asg-copy-0123.part"
    left.mkdir()
    elsewhere = BackupPlace(made(tmp_path / "usb.db"), is_folder=False)
    assert holding(store, LOG, 7, [elsewhere]) == Held(tuple(sorted([by_hand, left, elsewhere.path])))
    gone = BackupPlace(tmp_path / "gone.db", is_folder=False)
    assert holding(store, LOG, 7, [gone]) == Held(tuple(sorted([by_hand, left])))


def test_every_place_that_backups_went_to_is_looked_into(tmp_path: Path) -> None:
    store, shared = tmp_path / "here" / "state.db", tmp_path / "shared"
    ours = [made(shared / NAME.format(number)) for number in (8, 9)]
    earlier_log = made(shared / "old-name-99999999-20261121T073000.250Z-30.db")
    made(shared / NAME.format(7))
    made(shared / "other-77777777-20261121T073000.250Z-30.db")
    made(shared / "letters.txt")
    (tmp_path / "usb" / ".asg-copy-0123.part").mkdir(parents=True)
    late, early = made(tmp_path / "usb" / "late.db"), made(tmp_path / "usb" / "early.db")
    places = [
        BackupPlace(shared, is_folder=True),
        BackupPlace(late, is_folder=False, size=8),
        BackupPlace(early, is_folder=False, size=7),
    ]
    found = holding(store, LOG, 7, places)
    assert set(found.files) == {*ours, earlier_log, late, tmp_path / "usb" / ".asg-copy-0123.part"}
    assert found.unread == ()


def test_a_folder_that_is_gone_or_cannot_be_read_is_named_as_one_that_was_not_looked_into(tmp_path: Path) -> None:
    loop, unmounted = tmp_path / "loop", tmp_path / "usb"
    loop.symlink_to(loop)
    places = [BackupPlace(loop, is_folder=True), BackupPlace(unmounted / "one.db", is_folder=False)]
    assert holding(tmp_path / "state.db", LOG, 7, places) == Held((), (loop, unmounted))
    of_the_store = BackupPlace(tmp_path / "state.db.backups", is_folder=True)
    assert holding(tmp_path / "state.db", LOG, 7, [of_the_store]) == Held(), "nobody mounts a disk there"


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
