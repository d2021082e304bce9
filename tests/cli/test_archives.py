"""`export-repo` and `import-repo`, as they are told to people and to scripts."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from asg_mcp.app import make_class, open_repository
from asg_mcp.core.intents import Author
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.services.epochs import create_epoch, seal_epoch
from tests.cli.conftest import Run
from tests.repo.desk import Desk

WHO = Author("local:tester", "tester")


@pytest.fixture
def sealed(store: Path) -> Path:
    """The store with a sealed epoch, so with a key, and a sensitive prefix."""

    async def build() -> None:
        await make_class(store, "people", ("people",), WHO)
        async with open_repository(store) as repo:
            await create_epoch(repo, EpochRequest("night", "The night.", ()), WHO)
            await Desk(repo).set("/people/ann", "ward 3")
            await seal_epoch(repo, "night", "Done.", WHO)

    asyncio.run(build())
    return store


def test_an_export_says_what_it_holds_and_that_it_holds_keys(run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    ran = run("export-repo", str(file), "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Exported: {file} (")
    assert "5 commits, 6 events, 2 refs" in ran.out
    assert "not signed: the store has no key yet" in ran.out
    assert "it holds the store's keys: whoever has the file can read all" in ran.out
    assert f"asg-mcp import-repo {file} --db NEWFILE" in ran.out


def test_an_export_is_never_written_over_a_file_unless_told_so(run: Run, store: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    file.write_bytes(b"mine")
    ran = run("export-repo", str(file), "--db", str(store))
    assert (ran.code, file.read_bytes()) == (2, b"mine")
    assert "There is a file already" in ran.err and "--force" in ran.err
    assert run("export-repo", str(file), "--db", str(store), "--force").code == 0
    assert run("import-repo", str(file), "--dry-run").code == 0


def test_a_script_learns_of_an_export_and_an_import_all_that_people_do(run: Run, sealed: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "all.zip", tmp_path / "new" / "new.db"
    told = run("export-repo", str(file), "--db", str(sealed), "--json").document
    assert told["signed"] is True and told["holds_keys"] is True
    assert (told["classes"], told["epochs"], told["epochs_without_bundle"]) == (["people"], ["night"], [])
    assert told["bytes"] == file.stat().st_size
    checked = run("import-repo", str(file), "--dry-run", "--json").document
    assert (checked["ok"], checked["dry_run"], checked["path"], checked["checkpoint"]) == (True, True, None, None)
    assert not new.parent.exists()
    made = run("import-repo", str(file), "--db", str(new), "--bundles", str(tmp_path / "evidence"), "--json").document
    assert made["from"] == {**told["checkpoint"], "signed_by": checked["from"]["signed_by"]}
    assert made["checkpoint"]["origin"] != told["checkpoint"]["origin"]
    assert made["bundles"] == [str(tmp_path / "evidence" / "night.zip")]
    assert [one["epoch"] for one in made["sealed"]] == ["night"]
    assert (made["key"], made["key_is_there"]) == (f"{new}.key", False)
    assert json.loads(run("get", "/people/ann", "--db", str(new), "--json").out)["value"] == "ward 3"
    assert run("verify", "--db", str(new)).code == 0


def test_an_import_says_what_comes_next(run: Run, sealed: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "all.zip", tmp_path / "new.db"
    run("export-repo", str(file), "--db", str(sealed))
    ran = run("import-repo", str(file), "--db", str(new))
    assert ran.out.startswith(f"Imported: {new}, a log of its own, verified.")
    assert "whose key that is, is not proved: give --key" in ran.out
    assert f"the new log signs with a new key: the first seal makes {new}.key" in ran.out
    assert "night: their tags came over, their seals stay with their log." in ran.out
    assert "in the archive; --bundles DIR writes it" in ran.out
    assert "the keys of people are beside the store" in ran.out
    assert "a request_id used before is a new request here" in ran.out
    ran = run("import-repo", str(file), "--db", str(new))
    assert (ran.code, "There is a file already" in ran.err) == (2, True)


def test_the_key_that_must_have_signed_is_asked_for(run: Run, sealed: Path, tmp_path: Path) -> None:
    file = tmp_path / "all.zip"
    run("export-repo", str(file), "--db", str(sealed))
    key = run("import-repo", str(file), "--dry-run", "--json").document["from"]["signed_by"]
    ran = run("import-repo", str(file), "--dry-run", "--key", key)
    assert ran.code == 0 and "signed\n" in ran.out
    other = "asg-mcp/3d70fab41d6594a9dc860787656c694c+92bc0d6c+AQBjQ0vOnqxJs2M41CjFDkhLuxzzOAmG19jlPdl1NPV3"
    ran = run("import-repo", str(file), "--dry-run", "--key", other)
    assert (ran.code, "and not by" in ran.err) == (2, True)


def test_a_damaged_archive_is_named_with_the_place_and_leaves_nothing(run: Run, store: Path, tmp_path: Path) -> None:
    file, new = tmp_path / "all.zip", tmp_path / "new" / "new.db"
    run("export-repo", str(file), "--db", str(store))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    ran = run("import-repo", str(file), "--db", str(new), "--json")
    assert ran.code == 3
    assert ran.document["error"]["code"] == "archive_damaged"
    assert ran.document["error"]["details"]["place"]
    assert list(new.parent.iterdir()) == []
    ran = run("import-repo", str(tmp_path / "none.zip"), "--db", str(new))
    assert (ran.code, "cannot be read" in ran.err) == (3, True)
