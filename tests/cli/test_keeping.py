"""`backup`, `restore`, and what doctor and verify tell of backups and marks."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.cli.health import Check
from asg_mcp.cli.kept import age_text
from asg_mcp.core.intents import Author
from tests.cli.conftest import Run
from tests.repo.desk import Desk


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor without its trial of a server, which takes a second and is tested by others."""

    async def fine(*_: object, **__: object) -> Check:
        return Check("server", "ok", "not tried")

    monkeypatch.setattr("asg_mcp.cli.health._self_test", fine)


def _write(path: Path, value: int) -> None:
    async def write() -> None:
        async with open_repository(path, create=False) as repository:
            await Desk(repository).set("/n", value, author=Author("local:tester", "writer"))

    asyncio.run(write())


def _damage(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE nodes SET data = zeroblob(20) WHERE id = 1")


def test_a_backup_is_told_with_its_log_and_how_it_is_restored(run: Run, store: Path) -> None:
    ran = run("backup", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    [backup] = store.with_name("state.db.backups").iterdir()
    assert ran.out.startswith(f"Backed up: {backup} (")
    assert "6 events, root " in ran.out
    assert f"asg-mcp restore {backup} --to NEWFILE" in ran.out
    assert "key" not in ran.out


def test_a_backup_says_that_the_key_is_not_in_it(run: Run, store: Path) -> None:
    key = store.with_name("state.db.key")
    key.write_text("secret")
    ran = run("backup", "--db", str(store))
    assert f"not included. Keep {key} apart" in ran.out
    document = run("backup", "--json", "--db", str(store)).document
    assert (document["key_included"], document["key"]) == (False, str(key))


def test_a_backup_with_json_tells_checkpoint_place_and_what_was_removed(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    first = run("backup", "--json", "--db", str(store), "--to", str(tmp_path / "there"), "--keep", "1").document
    _write(store, 1)
    second = run("backup", "--json", "--db", str(store), "--to", str(tmp_path / "there"), "--keep", "1").document
    assert (first["ok"], first["removed"], first["problems"], first["key"]) == (True, [], [], None)
    assert second["removed"] == [first["path"]]
    assert os.listdir(tmp_path / "there") == [Path(second["path"]).name]
    assert second["checkpoint"]["size"] == first["checkpoint"]["size"] + 1
    assert second["checkpoint"]["origin"] == first["checkpoint"]["origin"]


def test_the_removal_of_older_backups_is_told(run: Run, store: Path) -> None:
    run("backup", "--db", str(store))
    _write(store, 1)
    assert "removed" in run("backup", "--db", str(store), "--keep", "1").out


def test_a_damaged_store_gives_no_backup_and_says_what_is_damaged(run: Run, store: Path) -> None:
    _damage(store)
    ran = run("backup", "--db", str(store))
    assert ran.code == 1
    assert "Damaged" in ran.out
    assert "nothing was kept" in ran.out
    ran = run("backup", "--json", "--db", str(store))
    assert (ran.code, ran.document["ok"], ran.document["path"]) == (1, False, None)
    assert len(ran.document["problems"]) == 1
    assert list(store.with_name("state.db.backups").iterdir()) == []


@pytest.mark.parametrize("keep", ["0", "-1", "many", "10001"])
def test_a_number_of_backups_that_is_none_is_refused(run: Run, store: Path, keep: str) -> None:
    assert run("backup", "--db", str(store), "--keep", keep).code == 2


def test_a_folder_for_backups_that_is_not_there_is_no_file_name(run: Run, store: Path, tmp_path: Path) -> None:
    ran = run("backup", "--db", str(store), "--to", f"{tmp_path / 'nowhere'}/")
    assert ran.code == 2
    assert "is no folder" in ran.err
    assert not (tmp_path / "nowhere").exists()


def test_without_a_store_there_is_nothing_to_back_up(run: Run, tmp_path: Path) -> None:
    assert run("backup", "--db", str(tmp_path / "none.db")).code == 3
    assert os.listdir(tmp_path) == []


def test_a_restored_store_is_told_with_what_to_do_next(run: Run, store: Path, tmp_path: Path) -> None:
    backup = run("backup", "--json", "--db", str(store)).document["path"]
    ran = run("restore", backup, "--to", str(tmp_path / "new.db"))
    assert (ran.code, ran.err) == (0, "")
    for told in (
        f"Restored: {tmp_path / 'new.db'}, incarnation 2",
        f"ASG_DB={tmp_path / 'new.db'}",
        f"the first seal makes {tmp_path / 'new.db.key'}",
        "is not in it",
    ):
        assert told in ran.out
    assert run("get", "/version", "--db", str(tmp_path / "new.db")).out.strip() == '"2.4.1"'


def test_a_key_that_lies_at_the_new_place_is_told(run: Run, store: Path, tmp_path: Path) -> None:
    (tmp_path / "new.db.key").write_text("other")
    assert "is of another log" in run("restore", str(store), "--to", str(tmp_path / "new.db")).out
    document = run("restore", "--json", str(store), "--to", str(tmp_path / "newer.db")).document
    assert (document["incarnation"], document["key_is_there"], document["ok"]) == (2, False, True)


def test_where_the_keys_of_classes_belong_beside_a_restored_store_is_told(
    run: Run, store: Path, tmp_path: Path
) -> None:
    for name in ("med", "old"):
        assert run("class", "add", f"/{name}", "--name", name, "--db", str(store)).code == 0
    assert run("class", "destroy", "old", "--yes", "--reason", "Over.", "--db", str(store)).code == 0
    ran = run("restore", str(store), "--to", str(tmp_path / "new.db"))
    assert f"put it here: {tmp_path / 'new.db.class-med.key'}" in ran.out
    assert "class-old" not in ran.out, "there is no key of it any more"
    shutil.copy(store.with_name("state.db.class-med.key"), tmp_path / "newer.db.class-med.key")
    assert "put it here" not in run("restore", str(store), "--to", str(tmp_path / "newer.db")).out
    document = run("restore", "--json", str(store), "--to", str(tmp_path / "newest.db")).document
    assert document["class_keys"] == [str(tmp_path / "newest.db.class-med.key")]


def test_nothing_is_restored_over_a_store(run: Run, store: Path) -> None:
    ran = run("restore", str(store), "--to", str(store))
    assert ran.code == 2
    assert "nothing is ever replaced" in ran.err


def test_a_damaged_backup_is_not_restored(run: Run, store: Path, tmp_path: Path) -> None:
    _damage(store)
    assert run("restore", str(store), "--to", str(tmp_path / "new.db")).code == 1
    assert not (tmp_path / "new.db").exists()


def test_an_older_copy_is_refused_with_what_to_do_and_verify_names_it(run: Run, store: Path, tmp_path: Path) -> None:
    shutil.copy(store, tmp_path / "older")
    _write(store, 1)
    shutil.copy(tmp_path / "older", store)
    ran = run("get", "/", "--db", str(store))
    assert ran.code == 3
    assert "older copy of itself" in ran.err
    assert "asg-mcp restore FILE --to NEWFILE" in ran.err
    assert run("get", "/", "--json", "--db", str(store)).document["error"]["code"] == "store_behind"
    ran = run("verify", "--json", "--db", str(store))
    assert (ran.code, ran.document["ok"]) == (1, False)
    assert ran.document["problems"][0]["kind"] == "mark"
    ran = run("verify", "--db", str(store))
    assert "asg-mcp restore FILE --to NEWFILE" in " ".join(ran.out.split())
    assert "get and log" not in ran.out, "they refuse it too"
    ran = run("doctor", "--db", str(store))
    assert ran.code == 1
    assert "older copy of itself" in ran.out


def test_damage_is_named_by_verify_even_where_the_mark_cannot_be_compared(run: Run, store: Path) -> None:
    with closing(sqlite3.connect(store)) as db, db:
        db.execute("DELETE FROM events WHERE id = 0")
    ran = run("verify", "--json", "--db", str(store))
    assert (ran.code, ran.document["problems"][0]["kind"]) == (1, "event")
    ran = run("doctor", "--db", str(store))
    assert "bad   mark" in ran.out


def test_doctor_tells_of_the_mark_and_of_the_last_backup(run: Run, store: Path) -> None:
    assert "none was made here yet" in run("doctor", "--db", str(store)).out
    backup = run("backup", "--json", "--db", str(store)).document["path"]
    _write(store, 1)
    out = run("doctor", "--db", str(store)).out
    assert "7 events, incarnation 1" in out
    assert "1 event behind" in out
    assert backup in out
    Path(backup).unlink()
    out = run("doctor", "--db", str(store)).out
    assert "not there any more" in out
    assert "All is well." in out


def test_doctor_notes_a_mark_that_cannot_be_kept(
    run: Run, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv(config.STATE_VARIABLE, str(tmp_path / "file"))
    ran = run("doctor", "--db", str(store))
    assert ran.code == 0
    assert "note  mark" in ran.out
    assert config.STATE_VARIABLE in ran.out


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-5, "0 seconds"), (90, "90 seconds"), (150, "2 minutes"), (7_300, "2 hours"), (10 * 86_400, "10 days")],
)
def test_an_age_is_told_in_its_largest_unit(seconds: int, told: str) -> None:
    assert age_text(seconds * 1_000_000) == f"{told} ago"
