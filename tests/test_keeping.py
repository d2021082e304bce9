"""Marks, backups and restores of whole stores: what protects a user from an older copy, and from losing the newest."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import app, config
from asg_mcp.app import back_up, key_path, marks_of, open_repository, restore
from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.errors import InvalidArgument, StoreBehind, StoreBusy, StoreCorrupt, StoreIncompatible
from asg_mcp.repo.ledger import log_event
from asg_mcp.repo.logtree import log_root
from asg_mcp.repo.marking import Mark, mark_of
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.results import EpochInfo
from asg_mcp.repo.verify import Problem, VerifyReport
from asg_mcp.services import places
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.services.marks import BackupPlace
from asg_mcp.storage.base import Reader
from tests.kit.processes import unmeasured_environment
from tests.repo.desk import Desk
from tests.repo.stores import ALICE

WHO = Author("local:tester", "tester")
WAIT_SECONDS_MAX = 120.0


def silent(_: str, __: int, ___: int) -> None:
    """Progress that nobody watches."""


async def mark(repo: Repository) -> Mark:
    return await repo.read(lambda view: mark_of(view.reader))


async def write(path: Path, *values: int) -> Mark:
    """Set /n to each value; the mark of then."""
    async with open_repository(path) as repo:
        for value in values:
            await Desk(repo).set("/n", value)
        return await mark(repo)


async def value(path: Path) -> object:
    async with open_repository(path, create=False) as repo:
        return await Desk(repo).value("/n")


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "state.db"


# --- the mark -----------------------------------------------------------------------


async def test_an_older_copy_that_is_put_in_place_is_refused_and_the_newest_file_is_not(
    store: Path, tmp_path: Path
) -> None:
    await write(store, 1, 2)
    shutil.copy(store, tmp_path / "older")
    await write(store, 3)
    shutil.copy(store, tmp_path / "newest")
    shutil.copy(tmp_path / "older", store)
    with pytest.raises(StoreBehind, match="its log has 3 events, and had 4"):
        await write(store)
    shutil.copy(tmp_path / "newest", store)
    assert await value(store) == 3


async def test_a_copy_that_went_its_own_way_is_refused_where_it_did_not_come_from(store: Path, tmp_path: Path) -> None:
    await write(store, 1)
    shutil.copy(store, tmp_path / "other.db")
    await write(store, 2)
    await write(tmp_path / "other.db", 7, 8, 9)
    shutil.copy(tmp_path / "other.db", store)
    with pytest.raises(StoreBehind, match="are not those that it had"):
        await write(store)
    assert await value(tmp_path / "other.db") == 9, "where it lives, it goes on"


async def test_a_store_that_is_moved_goes_on_at_its_new_place(store: Path, tmp_path: Path) -> None:
    await write(store, 1)
    os.rename(store, tmp_path / "moved.db")
    await write(tmp_path / "moved.db", 2)
    assert await value(tmp_path / "moved.db") == 2


async def test_a_store_has_one_mark_whatever_it_is_called(store: Path, tmp_path: Path) -> None:
    older = await write(store, 1)
    shutil.copy(store, tmp_path / "older")
    (tmp_path / "link.db").symlink_to(store)
    await write(tmp_path / "link.db", 2)
    shutil.copy(tmp_path / "older", store)
    with pytest.raises(StoreBehind):
        await write(store)
    assert older.size == 2


async def test_two_processes_on_one_file_leave_its_mark_exact(store: Path) -> None:
    async def run(name: str) -> None:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.faults.writer", str(store), name, "150"),
            stdout=asyncio.subprocess.DEVNULL,
            cwd=Path(__file__).parents[1],
            env=unmeasured_environment(),
        )
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            assert await process.wait() == 0

    await asyncio.gather(run("one"), run("two"))
    async with open_repository(store, create=False) as repo:
        now = await mark(repo)
    assert now.size == 301
    assert marks_of(store).held(now.origins[0]) == now


async def test_reading_neither_marks_nor_is_kept_from_an_unmarked_store(store: Path) -> None:
    async with open_repository(store, marked=False) as repo:
        await Desk(repo).set("/n", 1)
        now = await mark(repo)
    assert await value(store) == 1
    assert marks_of(store).held(now.origins[0]) is None


async def test_where_no_mark_can_be_kept_everything_else_works(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(config.STATE_VARIABLE, str(tmp_path / "file" / "below"))
    await write(store, 1, 2)
    assert await value(store) == 2
    made = await back_up(store, None, 0, silent)
    assert made.path is not None
    assert (await restore(made.path, tmp_path / "new.db", WHO, silent)).path == tmp_path / "new.db"


async def test_what_is_signed_is_marked_before(store: Path) -> None:
    async with open_repository(store, marked=False) as repo:
        await create_epoch(repo, EpochRequest("e1", "Some work.", ()), WHO)
        sealed = await seal_epoch(repo, "e1", "Done.", WHO)
        held = marks_of(store).held((await mark(repo)).origins[0])
    assert held is not None
    assert sealed.size is not None
    assert held.size >= sealed.size


async def test_two_copies_that_have_the_key_never_sign_two_roots_for_one_size(store: Path, tmp_path: Path) -> None:
    async def seal(path: Path, epoch: str, *values: int) -> EpochInfo:
        async with open_repository(path) as repo:
            for value in values:
                await Desk(repo).set("/n", value)
            await create_epoch(repo, EpochRequest(epoch, "Some work.", ()), WHO)
            return await seal_epoch(repo, epoch, "Done.", WHO)

    await seal(store, "e1", 1)
    for suffix in ("", ".key"):
        shutil.copy(tmp_path / f"state.db{suffix}", tmp_path / f"copy.db{suffix}")
    await seal(store, "e2", 2)
    with pytest.raises(StoreBehind, match="another copy of the store has signed"):
        await seal(tmp_path / "copy.db", "e3", 3, 4, 5)
    assert await value(tmp_path / "copy.db") == 5, "all but signing goes on"
    await seal(store, "e4", 6)


# --- backups ------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
async def test_a_backup_is_one_verified_file_for_its_owner_alone_without_the_key(store: Path) -> None:
    now = await write(store, 1)
    key_path(store).write_text("secret")
    made = await back_up(store, None, 0, silent)
    assert made.path is not None
    assert (made.mark, made.report.ok, made.report.counts["commits"]) == (now, True, 2)
    assert os.listdir(store.with_name("state.db.backups")) == [made.path.name]
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.path.parent.stat().st_mode & 0o777 == 0o700
    assert made.size_bytes == made.path.stat().st_size
    assert b"secret" not in made.path.read_bytes()
    last = marks_of(store).last_backup(now.origins[0])
    assert last is not None
    assert (last.path, last.at, last.size) == (made.path, made.at, now.size)


async def test_the_newest_backups_are_kept_and_the_others_removed(store: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    made = []
    for number in range(4):
        await write(store, number)
        made.append(await back_up(store, tmp_path / "there", 2, silent))
    assert [len(one.removed) for one in made] == [0, 0, 1, 1]
    assert made[3].removed == (made[1].path,)
    assert set((tmp_path / "there").iterdir()) == {made[2].path, made[3].path}


async def test_a_backup_can_be_named_and_replaces_nothing(store: Path, tmp_path: Path) -> None:
    await write(store, 1)
    made = await back_up(store, tmp_path / "mine.db", 0, silent)
    assert made.path == tmp_path / "mine.db"
    with pytest.raises(InvalidArgument, match="There is a file already"):
        await back_up(store, tmp_path / "mine.db", 0, silent)
    with pytest.raises(InvalidArgument, match="--keep counts"):
        await back_up(store, tmp_path / "other.db", 3, silent)


async def test_where_a_backup_goes_is_noted_before_it_is_made(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = await write(store, 1)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(app, "copy_store", killed)
        with pytest.raises(KeyboardInterrupt):
            await back_up(store, tmp_path / "one.db", 0, silent)
    one = BackupPlace(tmp_path / "one.db", is_folder=False)
    assert marks_of(store).places(now.origins[0]) == ([one], [])
    (tmp_path / "there").mkdir()
    await back_up(store, one.path, 0, silent)
    await back_up(store, tmp_path / "there", 0, silent)
    there = BackupPlace(tmp_path / "there", is_folder=True)
    assert set(marks_of(store).places(now.origins[0])[0]) == {replace(one, size=now.size), there}


async def test_a_restored_store_remembers_what_it_was_made_from(store: Path, tmp_path: Path) -> None:
    now = await write(store, 1)
    await back_up(store, tmp_path / "one.db", 0, silent)
    await restore(tmp_path / "one.db", tmp_path / "new.db", WHO, silent)
    one = BackupPlace(tmp_path / "one.db", is_folder=False, size=now.size)
    assert marks_of(tmp_path / "new.db").places(now.origins[0]) == ([one], [])


async def test_a_damaged_store_has_no_backup_and_the_older_ones_stay(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, 1)
    good = await back_up(store, None, 1, silent)
    report = VerifyReport(problems=(Problem("node", "node 1", "It is damaged"),))
    monkeypatch.setattr(app, "verify", lambda *_: report)
    made = await back_up(store, None, 1, silent)
    assert (made.path, made.report.ok) == (None, False)
    assert good.path is not None
    assert list(good.path.parent.iterdir()) == [good.path]


async def test_a_copy_with_another_root_than_was_read_is_no_backup(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, 1)
    seen = []

    def other(reader: Reader) -> Mark:
        seen.append(mark_of(reader))
        return replace(seen[-1], size=len(seen))

    monkeypatch.setattr(app, "mark_of", other)
    with pytest.raises(StoreCorrupt, match="is not that of the store"):
        await back_up(store, None, 0, silent)
    assert os.listdir(store.with_name("state.db.backups")) == []


async def test_where_nothing_can_be_made_the_place_is_named(store: Path, tmp_path: Path) -> None:
    now = await write(store, 1)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreIncompatible, match="cannot be made"):
        await back_up(store, tmp_path / "file" / "it.db", 0, silent)
    with pytest.raises(StoreIncompatible, match="cannot be made"):
        await restore(store, tmp_path / "file" / "it.db", WHO, silent)
    assert now.size == 2


async def test_a_backup_that_cannot_be_named_is_told_and_leaves_nothing(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    await write(store, 1)
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(places, "place_new", fail)
    with pytest.raises(StoreIncompatible, match="cannot be made: Permission denied"):
        await back_up(store, tmp_path / "there", 0, silent)
    assert os.listdir(tmp_path / "there") == []


# --- restoring ----------------------------------------------------------------------


async def test_a_restored_store_goes_on_from_the_root_that_was_reported(store: Path, tmp_path: Path) -> None:
    now = await write(store, 1, 2)
    backup = (await back_up(store, None, 0, silent)).path
    assert backup is not None
    content = backup.read_bytes()
    await write(store, 3)
    made = await restore(backup, tmp_path / "deep" / "new.db", WHO, silent)
    assert made.path is not None
    assert (made.path, made.mark) == (tmp_path / "deep" / "new.db", now)
    assert os.listdir(tmp_path / "deep") == ["new.db"]
    async with open_repository(made.path, create=False) as repo:
        assert await repo.read(lambda view: log_root(view.reader, now.size)) == now.root
        new = await mark(repo)
        assert (new.size, len(new.origins), new.origins[0]) == (now.size + 1, 2, now.origins[0])
        assert marks_of(made.path).held(now.origins[0]) == new
        assert await Desk(repo).value("/n") == 2
        await Desk(repo).set("/n", 4)
        assert (await repo.verify(silent)).problems == ()
    assert await value(store) == 3, "the old store goes on as it was"
    assert backup.read_bytes() == content, "the backup is still the same"


async def test_an_older_copy_that_was_refused_is_restored_and_takes_the_place(store: Path, tmp_path: Path) -> None:
    await write(store, 1)
    shutil.copy(store, tmp_path / "older")
    await write(store, 2)
    shutil.copy(tmp_path / "older", store)
    await restore(store, tmp_path / "new.db", WHO, silent)
    os.replace(tmp_path / "new.db", store)
    now = await write(store, 5)
    assert (await value(store), len(now.origins)) == (5, 2)
    shutil.copy(tmp_path / "older", store)
    with pytest.raises(StoreBehind, match="it is of incarnation 1, and incarnation 2 was here"):
        await write(store)


async def test_a_store_restored_twice_to_one_place_is_no_older_copy_of_itself(store: Path, tmp_path: Path) -> None:
    await write(store, 1)
    to = tmp_path / "new.db"
    await restore(store, to, WHO, silent)
    await write(to, 2, 3, 4)
    os.unlink(to)
    await restore(store, to, WHO, silent)
    await write(to, 5)
    assert await value(to) == 5


@pytest.mark.parametrize("name", ["new.db", "new.db-wal", "new.db-journal"])
async def test_nothing_is_restored_over_what_is_there(store: Path, tmp_path: Path, name: str) -> None:
    await write(store, 1)
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(InvalidArgument, match="There is a file already"):
        await restore(store, tmp_path / "new.db", WHO, silent)
    assert (tmp_path / name).read_bytes() == b"mine"


async def test_a_place_that_is_taken_meanwhile_is_not_taken_back(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write(store, 1)
    monkeypatch.setattr(places, "_check_free", lambda _: None)
    (tmp_path / "new.db").write_bytes(b"mine")
    with pytest.raises(InvalidArgument, match="There is a file already"):
        await restore(store, tmp_path / "new.db", WHO, silent)
    assert (tmp_path / "new.db").read_bytes() == b"mine"
    assert sorted(os.listdir(tmp_path)) == ["new.db", "state.db", "state.db.lock"]


async def test_what_is_no_store_is_not_restored_and_a_damaged_one_neither(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreIncompatible, match="There is no store"):
        await restore(store, tmp_path / "new.db", WHO, silent)
    await write(store, 1)
    report = VerifyReport(problems=(Problem("node", "node 1", "It is damaged"),))
    monkeypatch.setattr(app, "verify", lambda *_: report)
    made = await restore(store, tmp_path / "new.db", WHO, silent)
    assert (made.path, made.report.ok) == (None, False)
    assert not (tmp_path / "new.db").exists()


async def test_a_copy_that_an_erasure_overtook_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "state.db"
    async with open_repository(store) as repository:
        await Desk(repository).set("/n", "a")
    verified = app._read_again

    def overtaken(*given: Any) -> VerifyReport:
        report = verified(*given)

        async def erase() -> None:
            async with open_repository(store) as repository:
                await repository._store.rewrite(
                    lambda writer: log_event(writer, EventKind.REDACTED, ALICE, body={"what": "value", "values": []})
                )

        asyncio.run(erase())
        return report

    monkeypatch.setattr(app, "_read_again", overtaken)
    with pytest.raises(StoreBusy, match="while it was copied"):
        await back_up(store, tmp_path / "copy.db", 0, silent)
    assert not (tmp_path / "copy.db").exists()
