"""`redact`: it tells first, erases when told to, proves it, and says what it cannot do."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from pathlib import Path

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author
from asg_mcp.errors import StoreBusy
from asg_mcp.repo.redacting import Redactions
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
