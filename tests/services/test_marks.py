"""High-water marks in files: they rise, and nothing but a new beginning takes them back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.errors import LimitExceeded
from asg_mcp.repo.marking import Mark
from asg_mcp.services import marks as marks_module
from asg_mcp.services.marks import BackupPlace, MarkFiles

FIRST, SECOND, SIBLING = "asg-mcp/aa", "asg-mcp/bb", "asg-mcp/cc"


def mark(size: int, *origins: str) -> Mark:
    return Mark(origins or (FIRST,), size, sha256(str((size, origins)).encode()).digest())


@pytest.fixture
def marks(tmp_path: Path) -> MarkFiles:
    return MarkFiles(tmp_path / "marks", tmp_path / "state.db")


def files(marks: MarkFiles) -> list[str]:
    return os.listdir(marks.folder(FIRST))


def test_what_was_raised_is_held_by_every_process(marks: MarkFiles, tmp_path: Path) -> None:
    assert marks.held(FIRST) is None
    marks.raise_to(mark(3))
    assert MarkFiles(tmp_path / "marks", tmp_path / "state.db").held(FIRST) == mark(3)
    assert marks.held(SECOND) is None, "another store at the same place has a mark of its own"
    assert MarkFiles(tmp_path / "marks", tmp_path / "copy.db").held(FIRST) is None, "a copy elsewhere has none"


def test_a_mark_only_rises_and_one_file_is_kept_of_it(marks: MarkFiles) -> None:
    for size in (5, 3, 5, 9, 1):
        marks.raise_to(mark(size))
    assert marks.held(FIRST) == mark(9)
    assert len(files(marks)) == 1


@given(st.lists(st.integers(1, 2**40), min_size=1, max_size=8))
def test_whatever_order_processes_write_in_the_highest_mark_is_held(
    tmp_path_factory: pytest.TempPathFactory, sizes: Sequence[int]
) -> None:
    """All of them have seen none there: each puts its own."""
    marks = MarkFiles(tmp_path_factory.mktemp("marks"), Path("/state.db"))
    for size in sizes:
        marks._put(mark(size))
    assert marks.held(FIRST) == mark(max(sizes))


def test_a_process_that_lost_its_breath_between_reading_and_writing_takes_nothing_back(
    marks: MarkFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    marks.raise_to(mark(5))
    with monkeypatch.context() as slow:
        slow.setattr(marks, "held", lambda _: None)  # what it read before the others wrote
        marks.raise_to(mark(2))
    assert marks.held(FIRST) == mark(5)


def test_a_later_incarnation_takes_the_place_of_an_earlier_one_and_never_gives_it_back(marks: MarkFiles) -> None:
    marks.raise_to(mark(50))
    marks.raise_to(mark(20, FIRST, SECOND))
    assert marks.held(FIRST) == mark(20, FIRST, SECOND)
    marks.raise_to(mark(60))
    assert marks.held(FIRST) == mark(20, FIRST, SECOND)


def test_another_restored_store_that_is_moved_here_has_its_own_mark(marks: MarkFiles) -> None:
    marks.raise_to(mark(50, FIRST, SECOND))
    marks.raise_to(mark(20, FIRST, SIBLING))
    assert marks.held(FIRST) == mark(20, FIRST, SIBLING)


def test_a_store_that_is_placed_anew_begins_with_its_own_mark(marks: MarkFiles) -> None:
    marks.raise_to(mark(50, FIRST, SECOND))
    marks.begin(mark(20, FIRST, SECOND))
    assert marks.held(FIRST) == mark(20, FIRST, SECOND)


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"origins": [], "size": 3, "root": ""}', '{"origins": ["asg-mcp/aa"], "size": 3, "root": "00"}'],
)
def test_what_is_no_mark_is_passed_over_and_goes_with_the_next(marks: MarkFiles, content: str) -> None:
    marks.raise_to(mark(5))
    (marks.folder(FIRST) / "00000000000000000009-0.mark").write_text(content)
    assert marks.held(FIRST) == mark(5)
    marks.raise_to(mark(6))
    assert marks.held(FIRST) == mark(6)
    assert len(files(marks)) == 1


def test_a_mark_that_was_not_finished_is_no_mark(marks: MarkFiles) -> None:
    marks.raise_to(mark(5))
    (marks.folder(FIRST) / ".00000000000000000009-0.mark").write_text(marks._files(FIRST)[0].read_text())
    assert marks.held(FIRST) == mark(5)
    assert len(marks._files(FIRST)) == 1


def test_archives_are_remembered_for_as_long_as_they_are_where_they_were_made(marks: MarkFiles, tmp_path: Path) -> None:
    one, two, gone = (tmp_path / name for name in ("one.zip", "two.zip", "gone.zip"))
    assert marks.archives(FIRST) == {}
    for size, path in ((5, one), (6, gone), (7, two), (9, one)):
        marks.note_archive(FIRST, path, size)
        path.touch()
    gone.unlink()
    marks.raise_to(mark(20))
    marks.begin(mark(30))
    (marks.folder(FIRST) / "archive-torn.json").write_text("{")
    assert marks.archives(FIRST) == {one: 9, two: 7}
    assert marks.held(FIRST) == mark(30)


def test_every_place_that_backups_went_to_is_remembered(marks: MarkFiles, tmp_path: Path) -> None:
    assert marks.places(FIRST) == ([], [])
    folder, one = BackupPlace(tmp_path / "there", is_folder=True), BackupPlace(tmp_path / "one.db", is_folder=False)
    for place in (folder, one, folder):
        marks.note_place(FIRST, place)
    marks.note_backup(mark(5), one.path, 1_000)
    marks.note_backup(mark(7), folder.path / "state.db", 2_000)
    places, damaged = marks.places(FIRST)
    assert set(places) == {folder, BackupPlace(one.path, is_folder=False, size=5)}
    assert damaged == []
    assert marks.places(SECOND) == ([], [])


def test_a_note_of_a_place_that_cannot_be_read_is_told(marks: MarkFiles, tmp_path: Path) -> None:
    place = BackupPlace(tmp_path / "there", is_folder=True)
    marks.note_place(FIRST, place)
    for number, content in enumerate(["", "{", "[]", '{"path": "/x", "folder": true}', '{"path": 3, "size": null}']):
        (marks.folder(FIRST) / f"place-{number}.json").write_text(content)
    places, damaged = marks.places(FIRST)
    assert places == [place]
    assert [file.name for file in damaged] == [f"place-{number}.json" for number in range(5)]


def test_the_backup_that_an_earlier_program_remembered_is_not_forgotten_with_the_next(
    marks: MarkFiles, tmp_path: Path
) -> None:
    marks.note_backup(mark(5), tmp_path / "old.db", 1_000)
    before = BackupPlace(tmp_path / "old.db", is_folder=False, size=5)
    assert marks.places(FIRST) == ([before], [])
    new = BackupPlace(tmp_path / "there", is_folder=True)
    marks.note_place(FIRST, new)
    marks.note_backup(mark(7), new.path / "x.db", 2_000)
    assert set(marks.places(FIRST)[0]) == {before, new}


def test_of_too_many_places_the_first_that_is_gone_is_forgotten_and_none_that_is_there(
    marks: MarkFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks_module, "BACKUP_PLACES_MAX", 3)
    places = [BackupPlace(tmp_path / str(number), is_folder=False) for number in range(6)]
    for number, place in enumerate(places[:3]):
        marks.note_place(FIRST, place)
        [note] = (file for file in marks.folder(FIRST).glob("place-*") if str(place.path) in file.read_text())
        os.utime(note, (number, number))
    places[0].path.touch()
    marks.note_place(FIRST, places[3])
    assert set(marks.places(FIRST)[0]) == {places[0], places[2], places[3]}, "1 was the oldest that is gone"
    marks.note_place(FIRST, places[2])
    assert len(marks.places(FIRST)[0]) == 3, "it was one of them"
    for place in places[2:4]:
        place.path.touch()
    with pytest.raises(LimitExceeded, match="at 3 places already") as caught:
        marks.note_place(FIRST, places[4])
    assert caught.value.details["limit"] == "BACKUP_PLACES_MAX"
    assert set(marks.places(FIRST)[0]) == {places[0], places[2], places[3]}


def test_the_last_backup_is_remembered_with_the_place_and_the_time(marks: MarkFiles, tmp_path: Path) -> None:
    assert marks.last_backup(FIRST) is None
    marks.note_backup(mark(5), tmp_path / "one", 1_000)
    marks.note_backup(mark(7), tmp_path / "two", 2_000)
    last = marks.last_backup(FIRST)
    assert last is not None
    assert (last.path, last.at, last.size) == (tmp_path / "two", 2_000, 7)
    (marks.folder(FIRST) / "backup.json").write_text("{}")
    assert marks.last_backup(FIRST) is None
