"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from asg_mcp.services.files import make_folder, place_new, sync_folder, write_whole

posix = pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")


def test_a_file_is_replaced_whole_and_nothing_else_is_left(tmp_path: Path) -> None:
    for content in (b"one", b"another"):
        write_whole(tmp_path / "it", content)
        assert (tmp_path / "it").read_bytes() == content
    assert os.listdir(tmp_path) == ["it"]


def test_what_could_not_be_written_leaves_the_file_of_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_whole(tmp_path / "it", b"before")

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        write_whole(tmp_path / "it", b"after")
    assert os.listdir(tmp_path) == ["it"]
    assert (tmp_path / "it").read_bytes() == b"before"


@posix
def test_files_and_folders_are_their_owners_alone(tmp_path: Path) -> None:
    make_folder(tmp_path / "deep" / "er")
    write_whole(tmp_path / "deep" / "er" / "it", b"")
    assert (tmp_path / "deep" / "er").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "deep" / "er" / "it").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("links", [True, False])
def test_a_file_is_placed_under_its_name_and_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "made").write_bytes(b"new")
    place_new(tmp_path / "made", tmp_path / "it")
    assert os.listdir(tmp_path) == ["it"]
    (tmp_path / "made").write_bytes(b"newer")
    with pytest.raises(FileExistsError):
        place_new(tmp_path / "made", tmp_path / "it")
    assert (tmp_path / "it").read_bytes() == b"new"
    assert (tmp_path / "made").read_bytes() == b"newer"


def test_a_folder_that_cannot_be_synced_is_none_of_our_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: int) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "fsync", refuse)
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "name", "nt")
    sync_folder(tmp_path)
