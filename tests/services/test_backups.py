"""The names of backups, and which are kept."""

from __future__ import annotations

import os
from pathlib import Path

from asg_mcp.repo.marking import Mark
from asg_mcp.services.backups import backup_name, backups_in, default_folder, rotate

STORE = Path("/somewhere/state.db")
AT = 1_795_248_000_007_654


def mark(size: int, origin: str = "asg-mcp/0123456789abcdef") -> Mark:
    return Mark((origin,), size, bytes(32))


def made(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"")


def test_a_backup_is_named_by_store_log_time_and_size() -> None:
    assert backup_name(STORE, mark(12), AT) == "state-01234567-20261121T080000.007Z-12.db"
    assert default_folder(STORE) == Path("/somewhere/state.db.backups")


def test_the_newest_are_those_with_the_longest_log_whatever_the_clock_said(tmp_path: Path) -> None:
    names = [backup_name(STORE, mark(size), AT - size * 10**9) for size in (9, 10, 101)]
    made(tmp_path, *names)
    assert [file.name for file in backups_in(tmp_path, STORE, mark(1))] == names[::-1]


def test_rotation_removes_the_oldest_of_this_log_and_nothing_else(tmp_path: Path) -> None:
    ours = [backup_name(STORE, mark(size), AT) for size in range(1, 6)]
    others = [
        backup_name(STORE, mark(1, "asg-mcp/fedcba9876543210"), AT),
        backup_name(Path("/elsewhere/other.db"), mark(1), AT),
        "state.db",
        "state-01234567-20261121T080000.007Z-1.db.key",
        "state-01234567-yesterday-1.db",
        "notes.txt",
    ]
    made(tmp_path, *ours, *others)
    removed = rotate(tmp_path, STORE, mark(6), 2)
    assert sorted(file.name for file in removed) == ours[:3]
    assert sorted(os.listdir(tmp_path)) == sorted([*ours[3:], *others])
    assert rotate(tmp_path, STORE, mark(6), 2) == []
