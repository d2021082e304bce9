"""What `asg-mcp key` shows, hands over, and refuses; what doctor says of the key."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from asg_mcp.app import open_repository
from asg_mcp.cli.health import Check
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.services.signing import KeyFile
from tests.cli.conftest import Run
from tests.repo.stores import ALICE


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Doctor without its trial of a server."""

    async def fine(*_: object, **__: object) -> Check:
        return Check("server", "ok", "not tried")

    monkeypatch.setattr("asg_mcp.cli.health._self_test", fine)


def _seal(store: Path, epoch: str) -> str:
    async def seal() -> str:
        async with open_repository(store) as repository:
            await create_epoch(repository, EpochRequest(epoch, "Some work."), ALICE)
            return (await seal_epoch(repository, epoch, "Done.", ALICE)).key

    return asyncio.run(seal())


def _key_check(run: Run, store: Path) -> dict[str, str]:
    checks: list[dict[str, str]] = run("doctor", "--json", "--db", str(store)).document["checks"]
    [found] = [check for check in checks if check["name"] == "key"]
    return found


def test_a_log_without_a_key_shows_none_and_makes_none(run: Run, store: Path) -> None:
    ran = run("key", "show", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    assert "none yet" in ran.out
    assert run("key", "--json", "--db", str(store)).document["key"] is None
    assert _key_check(run, store)["status"] == "ok"
    assert not store.with_name("state.db.key").exists()
    ran = run("key", "rotate", "--db", str(store))
    assert ran.code == 1
    assert "no key yet" in ran.err


def test_a_rotation_shows_both_keys_and_what_to_do_with_them(run: Run, store: Path) -> None:
    old = _seal(store, "e1")
    shown = run("key", "show", "--db", str(store))
    assert old in shown.out
    assert "verify.py BUNDLE --key KEY" in shown.out
    ran = run("key", "rotate", "--db", str(store))
    assert ran.code == 0
    assert ran.out.startswith("Rotated: from ")
    assert old in ran.out
    told = run("key", "show", "--json", "--db", str(store)).document
    assert told["key"] == _seal(store, "e2")
    assert [(change["old"], change["new"], change["lost"]) for change in told["rotations"]] == [
        (old, told["key"], False)
    ]
    assert "rotated" in run("key", "show", "--db", str(store)).out
    again = run("key", "rotate", "--json", "--db", str(store)).document
    assert again["rotations"][0]["old"] == told["key"]


def test_no_private_key_is_ever_printed(run: Run, store: Path) -> None:
    _seal(store, "e1")
    secret = store.with_name("state.db.key").read_text().strip().split("+", 4)[-1]  # its digits may have a + too
    printed = [run(*command, "--db", str(store)) for command in (("key", "show"), ("key", "rotate"), ("doctor",))]
    assert all(secret not in ran.out + ran.err for ran in printed)


def test_a_lost_key_is_replaced_only_when_that_is_said(run: Run, store: Path) -> None:
    _seal(store, "e1")
    store.with_name("state.db.key").unlink()
    assert _key_check(run, store)["status"] == "bad"
    assert "which is not there" in run("key", "show", "--db", str(store)).out
    ran = run("key", "rotate", "--db", str(store))
    assert ran.code == 3
    assert "key rotate --lost" in ran.err
    ran = run("key", "rotate", "--lost", "--db", str(store))
    assert ran.code == 0
    assert "which was lost" in ran.out
    assert "has to get the new key from you" in ran.out
    assert _key_check(run, store)["status"] == "ok"


def test_doctor_tells_of_a_foreign_key_and_of_a_rotation_that_was_interrupted(run: Run, store: Path) -> None:
    _seal(store, "e1")
    path = store.with_name("state.db.key")
    before = path.read_bytes()
    run("key", "rotate", "--db", str(store))
    path.rename(path.with_name("state.db.key.next"))
    path.write_bytes(before)
    path.chmod(0o600)
    check = _key_check(run, store)
    assert (check["status"], "interrupted" in check["text"]) == ("note", True)
    ran = run("key", "show", "--db", str(store))
    assert (ran.code, "interrupted" in ran.out) == (0, True)
    path.with_name("state.db.key.next").unlink()
    check = _key_check(run, store)
    assert (check["status"], "names" in check["text"]) == ("bad", True)
    path.write_text("no key")
    assert _key_check(run, store)["status"] == "bad"
    path.unlink()
    KeyFile(path).key("asg-mcp/other")
    named = run("key", "show", "--json", "--db", str(store)).document["rotations"][0]["new"]
    ran = run("key", "show", "--db", str(store))
    assert (ran.code, ran.err) == (1, ""), "the log itself names its key, whatever file lies there"
    assert named in ran.out
    assert "is the key of the log asg-mcp/other" in ran.out
    document = run("key", "show", "--json", "--db", str(store)).document
    assert document["key"] == named
    assert "is the key of the log asg-mcp/other" in document["file_fault"]


def test_an_old_key_that_was_copied_back_is_told_and_is_no_success(run: Run, store: Path) -> None:
    _seal(store, "e1")
    path = store.with_name("state.db.key")
    before = path.read_bytes()
    run("key", "rotate", "--db", str(store))
    assert run("key", "show", "--db", str(store)).code == 0
    path.write_bytes(before)
    [change] = run("key", "show", "--json", "--db", str(store)).document["rotations"]
    old, new = (change[name].split("+")[1] for name in ("old", "new"))
    ran = run("key", "show", "--db", str(store))
    assert (ran.code, ran.err) == (1, "")
    assert change["new"] in ran.out, "the key that the log names is shown all the same"
    assert f"has the key {old}, and the log names {new} as its own" in " ".join(ran.out.split())
    ran = run("key", "show", "--json", "--db", str(store))
    assert ran.code == 1
    assert (ran.document["key"], f"has the key {old}" in ran.document["file_fault"]) == (change["new"], True)


def test_a_foreign_key_file_beside_a_log_that_names_no_key_is_an_error(run: Run, store: Path) -> None:
    KeyFile(store.with_name("state.db.key")).key("asg-mcp/other")
    ran = run("key", "show", "--db", str(store))
    assert ran.code == 3
    assert "is the key of the log asg-mcp/other" in ran.err
