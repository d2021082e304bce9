"""`class`: what is typed, told and changed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from asg_mcp.cli.health import Check
from tests.cli.conftest import Run


def test_a_class_is_made_listed_and_destroyed_with_what_to_do_next(run: Run, store: Path) -> None:
    key = store.with_name("state.db.class-patients.key")
    ran = run("class", "add", "/patients", "--name", "patients", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    assert f"{key}. Lose it, and they are lost" in ran.out
    assert str(key) in run("class", "--db", str(store)).out

    ran = run("class", "destroy", "patients", "--reason", "over", "--db", str(store))
    assert ran.code == 1
    assert "Nothing was changed. With --yes this erases, for good: /patients" in ran.out
    assert key.exists()

    ran = run("class", "destroy", "patients", "--reason", "over", "--yes", "--db", str(store))
    assert ran.code == 0
    assert "archives of `export-repo`" in ran.out
    assert not key.exists()
    assert "destroyed; nobody can read" in run("class", "list", "--db", str(store)).out


def test_every_answer_can_be_had_as_a_document(run: Run, store: Path) -> None:
    place = ("--db", str(store), "--json")
    made = run("class", "add", "/patients", "--name", "patients", *place).document
    assert (made["path"], made["destroyed"], made["key_is_there"]) == ("/patients", False, True)
    assert run("class", "list", *place).document == {"classes": [made]}
    gone = run("class", "destroy", "patients", "--reason", "over", "--yes", *place).document
    assert (gone["destroyed"], gone["key_is_there"]) == (True, False)


def test_a_missing_key_is_told_where_the_classes_are_listed(run: Run, store: Path) -> None:
    run("class", "add", "/patients", "--name", "patients", "--db", str(store))
    store.with_name("state.db.class-patients.key").unlink()
    assert "Nothing below can be read or written until it is back" in run("class", "--db", str(store)).out


def test_a_backup_says_that_the_keys_of_classes_are_not_in_it(run: Run, store: Path) -> None:
    run("class", "add", "/patients", "--name", "patients", "--db", str(store))
    key = store.with_name("state.db.class-patients.key")
    assert f"not included. Keep {key} apart too" in run("backup", "--db", str(store)).out
    assert run("backup", "--db", str(store), "--json").document["class_keys"] == [str(key)]


def told_by_doctor(run: Run, store: Path) -> list[tuple[str, str]]:
    checks = run("doctor", "--db", str(store), "--json").document["checks"]
    return [(check["status"], check["text"]) for check in checks if check["name"] == "class keys"]


def test_doctor_tells_of_keys_that_are_missing_open_to_others_or_still_there(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fine(*_: object, **__: object) -> Check:
        return Check("server", "ok", "not tried")

    monkeypatch.setattr("asg_mcp.cli.health._self_test", fine)
    key = store.with_name("state.db.class-patients.key")
    assert told_by_doctor(run, store) == []
    run("class", "add", "/patients", "--name", "patients", "--db", str(store))
    assert told_by_doctor(run, store) == [("ok", f"patients has its own in {key}")]
    text = key.read_text()
    key.unlink()
    [(status, said)] = told_by_doctor(run, store)
    assert (status, "is missing" in said) == ("note", True)
    key.write_text(text)
    if os.name == "posix":
        key.chmod(0o644)
        [(status, said)] = told_by_doctor(run, store)
        assert (status, "chmod 600" in said) == ("bad", True)
    run("class", "destroy", "patients", "--reason", "over", "--yes", "--db", str(store))
    assert told_by_doctor(run, store) == [("ok", "patients is destroyed, and so is its key")]
    key.write_text(text)
    monkeypatch.setattr("asg_mcp.app._finish_destroying", lambda *_: None)
    [(status, said)] = told_by_doctor(run, store)
    assert (status, "still there" in said) == ("bad", True)


def test_mistakes_are_answered_with_what_to_do(run: Run, store: Path) -> None:
    for arguments, said in (
        (("add", "/cluster", "--name", "late"), "redact path"),
        (("add", "/x", "--name", "No Good"), "a to z"),
        (("destroy", "nobody", "--reason", "why", "--yes"), "class list"),
        (("destroy", "nobody", "--reason", "why"), "class list"),
    ):
        ran = run("class", *arguments, "--db", str(store), "--json")
        assert ran.code in (1, 2)
        assert said in json.dumps([ran.out, ran.err])
