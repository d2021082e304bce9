"""`redact`: it tells first, erases when told to, proves it, and says what it cannot do."""

from __future__ import annotations

import asyncio
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import StoreBusy
from asg_mcp.repo.ledger import event_body
from asg_mcp.repo.redacting import Redactions
from asg_mcp.repo.redactplan import Receipt
from asg_mcp.repo.repository import Guard
from asg_mcp.storage.sqlite import SqliteStore
from tests.cli.conftest import Run
from tests.repo.desk import Desk
from tests.repo.redactdesk import holding

SECRET, WORD = "hunter2-Qx91zz", "qx91zz"
WHY = ("--reason", "It was pasted.")


class _Stdin(io.TextIOWrapper):
    def isatty(self) -> bool:
        return False


@pytest.fixture
def pasted(store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with the secret in it."""
    monkeypatch.setenv("ASG_SECRETS", "/=allow")

    async def write() -> None:
        async with open_repository(store, create=False) as repository:
            desk = Desk(repository)
            await desk.set("/db/password", SECRET, author=Author("local:tester", "writer"))
            await desk.set("/db/url", f"postgres://u:{SECRET}@host")
            await desk.set("/ages/bob", 37)
            await desk.set("/other", 37)

    asyncio.run(write())
    return store


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr(sys, "stdin", _Stdin(io.BytesIO(text.encode())))


def files(store: Path) -> list[Path]:
    return [file for file in store.parent.rglob("*") if file.is_file() and "backups" not in str(file)]


def test_without_yes_it_tells_what_would_go_and_changes_nothing(
    run: Run, pasted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = pasted.read_bytes()
    typed(monkeypatch, f"{SECRET}\n")
    ran = run("redact", "value", "--stdin", "--db", str(pasted), *WHY)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Would erase from")
    assert "/db/password" in ran.out
    assert "as part of  /db/url" in ran.out
    assert SECRET not in ran.out
    assert "Nothing was changed." in ran.out
    assert pasted.read_bytes() == before


def test_with_yes_it_is_in_no_file_and_no_fresh_backup_and_the_old_backup_is_named(
    run: Run, pasted: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run("backup", "--db", str(pasted)).code == 0
    [old] = pasted.with_name("state.db.backups").iterdir()
    typed(monkeypatch, json.dumps(SECRET))
    ran = run("redact", "value", "--stdin", "--db", str(pasted), "--yes", "--json", "--class", "secret", *WHY)
    assert ran.code == 0
    told = ran.document
    assert told["done"]
    assert told["gone"]
    assert told["rekeyed"]
    assert told["backups"] == [str(old)]
    assert str(pasted) in told["searched"]
    assert run("backup", "--db", str(pasted), "--to", str(tmp_path / "fresh.db")).code == 0
    assert [name for name in holding(pasted.parent, SECRET, WORD) if old.name not in name] == []
    assert holding(old.parent, SECRET) != []
    assert run("verify", "--db", str(pasted)).code == 0
    got = run("get", "/db", "--db", str(pasted), "--json").document
    assert got["withheld"] == ["/db/password", "/db/url"]
    assert run("get", "/db/password", "--db", str(pasted)).code == 1
    typed(monkeypatch, SECRET)
    assert run("redact", "value", "--stdin", "--db", str(pasted), "--yes", *WHY).code == 1


def test_an_archive_that_was_made_before_is_named_as_one_that_holds_it_still(
    run: Run, pasted: Path, tmp_path: Path
) -> None:
    archive, gone = tmp_path / "all.zip", tmp_path / "gone.zip"
    for file in (archive, gone):
        assert run("export-repo", str(file), "--db", str(pasted)).code == 0
    gone.unlink()
    ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", *WHY)
    assert f" {archive}\n" in ran.out and "these hold it still" in ran.out
    assert str(gone) not in ran.out

    async def write() -> None:
        async with open_repository(pasted, create=False) as repository:
            await Desk(repository).set("/db/password", "another-Secret-77")

    asyncio.run(write())
    told = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", "--json", *WHY).document
    assert told["backups"] == []  # what was written later is not in it


def test_backups_at_every_place_are_named_in_the_answer_and_in_the_receipt(
    run: Run, pasted: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folders = [tmp_path / name for name in ("A", "B", "gone")]
    for folder in folders:
        folder.mkdir()
    one, deleted = tmp_path / "one.db", tmp_path / "deleted.db"
    places = [*folders[:1] * 2, *folders[1:], one, deleted, folders[0] / "two.db"]
    made = []
    for place in places:
        keep = ("--keep", "5") if place in folders else ()
        made.append(Path(run("backup", "--db", str(pasted), "--to", str(place), *keep, "--json").document["path"]))
    deleted.unlink()
    made[3].unlink()
    folders[2].rmdir()
    left = tmp_path / "B" / ".asg-copy-0123.part"
    left.mkdir()
    there = sorted({*made, left} - {deleted, made[3]})
    assert len(there) == 6
    typed(monkeypatch, SECRET)
    ran = run("redact", "value", "--stdin", "--db", str(pasted), "--yes", "--json", *WHY)
    assert ran.document["backups"] == [str(file) for file in there]
    assert ran.document["unread"] == [str(folders[2])]
    body = _event_body(pasted, ran.document["receipt"])
    assert body["backups"] == [*(file.name for file in there), "gone (not looked into)"]


def test_a_place_of_backups_that_cannot_be_looked_into_is_said_to_be_that(
    run: Run, pasted: Path, tmp_path: Path
) -> None:
    (tmp_path / "usb").mkdir()
    assert run("backup", "--db", str(pasted), "--to", str(tmp_path / "usb" / "one.db")).code == 0
    (tmp_path / "usb").rename(tmp_path / "away")
    ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), *WHY)
    assert f"not looked  {tmp_path / 'usb'}\n" in ran.out
    assert "these hold it still" not in ran.out


def test_a_backup_whose_name_is_the_secret_is_not_in_the_receipt_by_it(run: Run, pasted: Path, tmp_path: Path) -> None:
    assert run("backup", "--db", str(pasted), "--to", str(tmp_path / f"{SECRET}.db")).code == 0
    ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", "--json", *WHY)
    assert ran.document["gone"]
    assert _event_body(pasted, ran.document["receipt"])["backups"] == ["***.db"]


def test_a_backup_that_is_made_while_something_is_erased_is_named(
    run: Run, pasted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    erase, made = Redactions.erase, pasted.with_name("state.db.backups") / "just-now.db"

    async def slow(self: Redactions, *given: Any) -> Receipt:
        made.parent.mkdir()
        made.touch()
        return await erase(self, *given)

    monkeypatch.setattr(Redactions, "erase", slow)
    ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", "--json", *WHY)
    assert ran.document["backups"] == [str(made)]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_backup_whose_name_is_no_text_keeps_nothing_from_being_erased(run: Run, pasted: Path) -> None:
    folder = pasted.with_name("state.db.backups")
    folder.mkdir()
    (folder / os.fsdecode(b"old-\xff.db")).touch()
    ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", *WHY)
    assert ran.code == 0
    assert run("verify", "--db", str(pasted)).code == 0


def test_where_there_is_nothing_to_erase_nothing_is_said_of_backups(run: Run, pasted: Path) -> None:
    assert run("backup", "--db", str(pasted)).code == 0
    for options in ((), ("--yes",)):
        ran = run("redact", "path", "/nope", "--db", str(pasted), *WHY, *options)
        assert (ran.code, ran.out) == (1, f"Nothing to erase: {pasted} does not hold it.\n")
    assert run("redact", "path", "/nope", "--db", str(pasted), "--json", *WHY).document["backups"] == []


def test_a_value_that_only_a_key_has_is_not_said_not_to_be_there(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASG_SECRETS", "/=allow")
    _write(store, f"/keys/{SECRET}", 1)
    typed(monkeypatch, SECRET)
    ran = run("redact", "value", "--stdin", "--db", str(store), *WHY)
    assert ran.code == 1
    assert ran.out.startswith(f"Nothing to erase: {store} holds it in what cannot be erased.")


def _event_body(store: Path, index: int) -> dict[str, Any]:
    async def read() -> dict[str, Any]:
        async with open_repository(store, create=False) as repository:
            row = await repository.read(lambda view: view.reader.event(index))
            assert row is not None
            return event_body(row)

    return asyncio.run(read())


def _write(store: Path, path: str, value: JsonValue, intent: Intent | None = None) -> str:
    async def write() -> str:
        async with open_repository(store, create=False) as repository:
            told = intent or Intent(Category.FIX, "A change.")
            operation = Operation(Op.SET, parse_path(path), value)
            done = await repository.commit("main", [operation], told, Author("local:tester", "writer"), Guard())
            return done.commit.hex()

    return asyncio.run(write())


LONG_WHY = "Ludmilla Pelargonium told us so. " * 20


def test_the_bytes_of_the_files_are_searched_for_the_texts_of_a_commit(run: Run, store: Path) -> None:
    commit = _write(
        store, "/a", 1, Intent(Category.FIX, "The Pelargonium protocol", LONG_WHY, tags=("shared-by-two", "bug"))
    )
    _write(store, "/b", 1, Intent(Category.FIX, "For shared-by-two."))
    ran = run("redact", "commit", commit, "--db", str(store), "--yes", *WHY)
    assert ran.code == 0
    assert "searched    every row, and the bytes of state.db" in ran.out
    assert "for 2 of 4 texts" in ran.out
    assert "1 has no bytes to search for: shorter than 12 characters" in ran.out
    assert "elsewhere   1 of the texts are in other texts too, and stay there" in ran.out
    assert "a value this short" not in ran.out
    assert holding(store.parent, LONG_WHY, "pelargonium") == []


def test_texts_of_a_commit_whose_bytes_are_in_a_file_still_are_no_success(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = _write(store, "/a", 1, Intent(Category.FIX, "The Pelargonium protocol"))

    async def idle(_: object) -> tuple[int, int]:
        """As if the file had not been made anew."""
        store.with_name("state.db.lock").write_bytes(b"The Pelargonium protocol")
        return 1, 1

    monkeypatch.setattr(SqliteStore, "shrink", idle)
    ran = run("redact", "commit", commit, "--db", str(store), "--yes", "--json", *WHY)
    assert ran.code == 1
    assert not ran.document["gone"]
    assert str(store.with_name("state.db.lock")) in ran.document["left"]


def test_texts_too_short_to_search_for_are_said_to_be_that(run: Run, store: Path) -> None:
    commit = _write(store, "/a", 1, Intent(Category.FIX, "Moved."))
    ran = run("redact", "commit", commit, "--db", str(store), "--yes", *WHY)
    assert ran.code == 0
    assert "searched    the rows that were erased, and no bytes of files" in ran.out
    assert "1 has no bytes to search for: shorter than 12 characters" in ran.out


def test_values_of_a_path_without_bytes_of_their_own_are_said_to_be_that(run: Run, store: Path) -> None:
    _write(store, "/users/7", {"name": "Ludmilla", "age": 37})
    ran = run("redact", "path", "/users/7", "--db", str(store), "--yes", *WHY)
    assert "searched    every row, and the bytes of state.db" in ran.out
    assert "for 1 of 2 values" in ran.out
    assert "1 has no bytes to search for: shorter than 6 characters, no text" in ran.out
    assert "nobody can guess a short value from its id" in ran.out


def test_a_value_that_stays_elsewhere_is_said_to_be_told_by_its_id(run: Run, store: Path) -> None:
    _write(store, "/users/7/hiv", True)
    _write(store, "/flag", True)
    ran = run("redact", "path", "/users/7", "--db", str(store), "--yes", *WHY)
    assert ran.code == 0
    assert "nobody can guess" not in ran.out
    assert "some of what went is equal to a value that stays, and has the same id" in ran.out
    assert "`redact path` what is at another path" in ran.out
    _write(store, "/users/8/hiv", False)
    told = run("redact", "path", "/users/8", "--db", str(store), "--yes", "--json", *WHY).document
    assert (told["rekeyed"], told["equal_elsewhere"]) == (True, False)


@pytest.mark.parametrize("given", [(), ("value",), ("commit",)])
def test_help_tells_what_its_own_exit_codes_mean(run: Run, given: tuple[str, ...]) -> None:
    told = run("redact", *given, "--help").out
    assert "something of it is left" in told
    assert "redact --finish" in told.partition("exit codes:")[2]
    assert "verify and doctor" not in told


def test_the_receipt_tells_who_why_and_what_and_not_the_value(
    run: Run, pasted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", "--json", *WHY)
    index = ran.document["receipt"]

    async def read() -> list[object]:
        async with open_repository(pasted, create=False) as repository:
            row = await repository.read(lambda view: view.reader.event(index))
            assert row is not None
            assert row.data is not None
            return row.data

    data = asyncio.run(read())
    body = data[7]
    assert isinstance(body, dict)
    assert (body["what"], body["reason"]) == ("value", "It was pasted.")
    assert body["paths"] == ["/db/password", "/db/url"]
    assert len(body["values"]) == 2
    assert SECRET not in json.dumps(body)


def test_a_path_goes_and_the_same_value_elsewhere_stays_and_is_told(run: Run, pasted: Path) -> None:
    ran = run("redact", "path", "/ages/bob", "--db", str(pasted), "--yes", *WHY)
    assert ran.code == 0
    assert "the same values were written 1 time at other paths" in ran.out
    assert run("get", "/other", "--db", str(pasted)).out == "37\n"
    assert run("get", "/ages/bob", "--db", str(pasted)).code == 1


def test_keys_that_hold_it_are_told_and_are_no_success(run: Run, pasted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def write() -> None:
        async with open_repository(pasted, create=False) as repository:
            await Desk(repository).set(f"/keys/{SECRET}", 1)

    asyncio.run(write())
    typed(monkeypatch, SECRET)
    ran = run("redact", "value", "--stdin", "--db", str(pasted), "--yes", *WHY)
    assert ran.code == 1
    assert "a key: /keys/***" in ran.out
    assert SECRET not in ran.out


def test_what_could_not_be_finished_says_so_and_finish_does_it(
    run: Run, pasted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def busy(*_: object) -> None:
        raise StoreBusy("Others read for too long")

    with monkeypatch.context() as patch:
        patch.setattr(Redactions, "finish", busy)
        ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", *WHY)
    assert ran.code == 3
    assert "redact --finish" in ran.out
    typed(monkeypatch, SECRET)
    ran = run("redact", "value", "--stdin", "--db", str(pasted), *WHY)
    assert "an earlier redaction" in ran.out
    ran = run("redact", "--finish", "--db", str(pasted))
    assert (ran.code, ran.out.split(":")[0]) == (0, "Finished")
    assert holding(pasted.parent, SECRET, WORD) == []


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (("redact",), "Name one of value"),
        (("redact", "value", "--at", "/db", *WHY), "redact path"),
        (("redact", "path", "/", *WHY), "Name a path"),
        (("redact", "record", "nonsense", "x", *WHY), "session"),
        (("redact", "value", *WHY), "--help"),
        (("redact", "path", "/ages"), "--help"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_to_do(
    run: Run, pasted: Path, given: tuple[str, ...], hint: str
) -> None:
    ran = run(*given, "--db", str(pasted))
    assert ran.code == 2
    assert hint in ran.err


def test_a_short_value_is_said_to_be_looked_for_by_itself_alone(run: Run, pasted: Path) -> None:
    ran = run("redact", "value", "--at", "/other", "--db", str(pasted), *WHY)
    assert ran.code == 0
    assert "it was not looked for in longer texts" in ran.out


def test_a_reason_with_the_value_in_it_is_refused(run: Run, pasted: Path) -> None:
    ran = run("redact", "value", "--at", "/db/password", "--db", str(pasted), "--yes", "--reason", f"{SECRET} leaked")
    assert ran.code == 2
    assert run("get", "/db/password", "--db", str(pasted)).out == f'"{SECRET}"\n'


def test_a_value_that_was_sealed_is_told_to_be_guessable_while_the_key_of_its_class_is_there(
    run: Run, store: Path
) -> None:
    run("class", "add", "/patients", "--name", "patients", "--db", str(store))

    async def write() -> None:
        async with open_repository(store, create=False) as repository:
            await Desk(repository).set("/patients/sick", True)

    asyncio.run(write())
    told = run("redact", "path", "/patients/sick", *WHY, "--yes", "--json", "--db", str(store)).document
    assert told["guessable_with"] == ["patients"]


def test_a_commit_is_named_by_its_id_and_by_no_name_that_moves(run: Run, pasted: Path) -> None:
    ran = run("redact", "commit", "main~1", "--db", str(pasted), *WHY)
    assert ran.code in (1, 2)
    assert "'main~1' is no id of a commit" in ran.err
    assert "asg-mcp log" in ran.err
