"""A disk that is full, or that fails: refused writes leave nothing, and the store works again afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from asg_mcp.app import back_up, open_repository, restore
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.errors import StoreFull
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repository import Repository
from tests.faults.checks import check
from tests.faults.writer import Told, told_in
from tests.kit.processes import unmeasured_environment

DISK_BYTES = 4 * 1_024 * 1_024
WRITES_MAX = 2_000
VALUE_CHARS = 20_000
WAIT_SECONDS_MAX = 60.0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(place)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own cannot be mounted here: that takes root")
    try:
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture
def strace() -> str:
    """The program that makes system calls fail."""
    found = shutil.which("strace")
    if found is None or subprocess.run([found, "-qq", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace is not here, or may not trace")
    return found


async def _set(repository: Repository, number: int, text: str) -> Told:
    value = f"{number} {text}"
    operations = [Operation(Op.SET, ("writers", str(number)), value)]
    author, intent = Author("tester", "filler"), Intent(Category.REFINE, "Fill the disk")
    result = await repository.commit("main", operations, intent, author, Guard())
    return Told("kept", value, f"/writers/{number}", result.commit.short)


async def test_on_a_full_disk_writes_are_refused_whole_and_work_again_when_there_is_room(small_disk: Path) -> None:
    store, filler = small_disk / "state.db", small_disk / "filler"
    told: list[Told] = []
    async with open_repository(store) as repository:
        told.append(await _set(repository, 0, "before"))
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while file.write(bytes(4_096)):
                pass
        with pytest.raises(StoreFull):
            for number in range(1, WRITES_MAX):
                kept = await _set(repository, number, "x" * VALUE_CHARS)
                told.append(kept)
        found = await repository.get("main", ("writers", "0"), depth=None, max_bytes=32_768, cursor="")
        assert found.value == "0 before", "reading goes on"
        filler.unlink()
        told.append(await _set(repository, WRITES_MAX, "after"))
    assert await check(store, told, in_flight_max=0) == len(told) + 1


async def test_a_backup_that_does_not_fit_leaves_nothing_and_the_store_goes_on(
    small_disk: Path, tmp_path: Path
) -> None:
    store = tmp_path / "state.db"
    async with open_repository(store) as repository:
        told = [await _set(repository, 0, "before")]
    with contextlib.suppress(OSError), (small_disk / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(4_096)):
            pass
    with pytest.raises(StoreFull):
        await back_up(store, small_disk, 0, lambda step, done, total: None)
    with pytest.raises(StoreFull):
        await restore(store, small_disk / "new.db", Author("tester", "tester"), lambda step, done, total: None)
    assert os.listdir(small_disk) == ["filler"]
    async with open_repository(store) as repository:
        told.append(await _set(repository, 1, "after"))
    await check(store, told, in_flight_max=0)


@pytest.mark.parametrize(
    ("call", "error", "when"),
    [("fdatasync", "EIO", "25+6"), ("pwrite64", "EIO", "150+41"), ("pwrite64", "ENOSPC", "150+41")],
)
async def test_a_write_that_the_disk_failed_is_not_acknowledged_and_nothing_else_is_lost(
    tmp_path: Path, strace: str, call: str, error: str, when: str
) -> None:
    """Every so many calls of the database's fail, once the store has been made."""
    store = tmp_path / "state.db"
    files = [part for suffix in ("", "-wal") for part in ("-P", f"{store}{suffix}")]
    process = await asyncio.create_subprocess_exec(
        *(
            strace,
            "-f",
            "-qq",
            "-o",
            "/dev/null",
            "-e",
            f"trace={call}",
            "-e",
            f"inject={call}:error={error}:when={when}",
        ),
        *(*files, sys.executable, "-m", "tests.faults.writer", str(store), "a", "300"),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=unmeasured_environment(),
    )
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        output, _ = await process.communicate()
    told = told_in(output)
    failed = [line for line in told if line.kind != "kept" and not line.value.endswith("0")]
    assert failed, "no write met the failing disk"
    assert len([line for line in told if line.kind == "kept"]) == 300
    unknown = [line for line in told if line.kind == "unknown"]
    await check(store, told, in_flight_max=len(unknown))
