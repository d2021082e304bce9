"""The token file: what is kept, who is let in, and what happens when it cannot be used."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from asg_mcp.core.limits import TOKENS_MAX
from asg_mcp.errors import InvalidInput, LimitExceeded, StorageError
from asg_mcp.services.access import Grant, Verb
from asg_mcp.services.tokens import Door, TokenFile, TokenNotFound, TokenRequest
from tests.cli.conftest import Run, run

NOW = 1_700_000_000_000_000
posix = pytest.mark.skipif(os.name != "posix", reason="file modes are of POSIX")
__all__ = ["run"]


@pytest.fixture
def file(tmp_path: Path) -> TokenFile:
    return TokenFile(tmp_path / "folder" / "state.db.tokens")


def test_a_token_lets_in_with_what_was_granted(file: TokenFile) -> None:
    request = TokenRequest("alice", ("bob", "c-*"), ("read", "write"), ("team/*",), ("/team", "/a~1b/c"))
    text, _ = file.add(request, NOW)
    grant = file.verify(text, NOW)
    assert grant == Grant(
        "alice",
        ("bob", "c-*"),
        frozenset({Verb.READ, Verb.WRITE}),
        ("team/*",),
        (("team",), ("a/b", "c")),
        credential=text.split("_")[1],
    )
    assert TokenFile(file.path).verify(text, NOW) == grant


def test_neither_the_text_nor_the_secret_is_in_the_file(file: TokenFile) -> None:
    text, token = file.add(TokenRequest("alice"), NOW)
    stored = file.path.read_text()
    assert text not in stored
    assert text.rpartition("_")[2] not in stored
    assert "hash" not in token.shown()


def test_a_text_that_is_not_whole_lets_nobody_in(file: TokenFile) -> None:
    text, _ = file.add(TokenRequest("alice"), NOW)
    other, _ = file.add(TokenRequest("bob"), NOW)
    prefix, name, secret = text.split("_", 2)
    wrong = [
        "",
        "asg_",
        text[:-1],
        text + "a",
        text.upper(),
        f"{name}_{secret}",
        f"{prefix}_{name}_",
        f"{prefix}_{name}",
    ]
    for one in (*wrong, f"{prefix}_{other.split('_')[1]}_{secret}", "asg__", "\ud800", f"x{text}"):
        assert file.verify(one, NOW) is None, one
    assert file.verify(text, NOW)


@posix
def test_the_file_is_its_owners_alone_and_refused_where_it_is_not(file: TokenFile) -> None:
    text, _ = file.add(TokenRequest("alice"), NOW)
    assert file.path.stat().st_mode & 0o777 == 0o600
    assert file.path.parent.stat().st_mode & 0o777 == 0o700
    file.path.chmod(0o640)
    with pytest.raises(StorageError, match="chmod 600"):
        file.verify(text, NOW)


def test_a_token_expires_at_its_time(file: TokenFile) -> None:
    text, token = file.add(TokenRequest("alice", expires="60"), NOW)
    assert token.expires == NOW + 60_000_000
    assert file.verify(text, NOW + 59_999_999)
    assert file.verify(text, NOW + 60_000_000) is None
    dated, _ = file.add(TokenRequest("alice", expires="2030-01-01T00:00:00Z"), NOW)
    assert file.verify(dated, NOW)


@pytest.mark.parametrize(
    "request_",
    [
        TokenRequest(""),
        TokenRequest(" alice"),
        TokenRequest("a", verbs=("fly",)),
        TokenRequest("a", verbs=()),
        TokenRequest("a", agents=("",)),
        TokenRequest("a", paths=("team",)),
        TokenRequest("a", expires="0"),
        TokenRequest("a", expires="2001-01-01"),
        TokenRequest("a", expires="soon"),
        TokenRequest("anonymous"),
        TokenRequest("local:root"),
        TokenRequest("a", refs=("main~3",)),
        TokenRequest("a", refs=("main@2026-01-01T00:00:00Z",)),
        TokenRequest("a", refs=("team/*", "a b")),
        TokenRequest("a", refs=("speculations:*",)),
    ],
)
def test_what_cannot_be_granted_is_refused_and_nothing_is_written(file: TokenFile, request_: TokenRequest) -> None:
    with pytest.raises(InvalidInput):
        file.add(request_, NOW)
    assert not file.path.exists()


def test_another_process_revokes_and_the_next_request_knows(file: TokenFile) -> None:
    text, token = file.add(TokenRequest("alice"), NOW)
    kept, _ = file.add(TokenRequest("bob"), NOW)
    assert file.verify(text, NOW)
    assert TokenFile(file.path).revoke(token.id) == token
    assert file.verify(text, NOW) is None
    assert file.verify(kept, NOW)
    with pytest.raises(TokenNotFound):
        file.revoke(token.id)


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version":1}', '{"version":2,"tokens":[]}', '{"version":1,"tokens":[{"id":"x"}]}']
)
def test_a_damaged_file_lets_nobody_in_and_is_never_overwritten(file: TokenFile, content: str) -> None:
    text, _ = file.add(TokenRequest("alice"), NOW)
    file.path.write_text(content)
    for attempt in (lambda: file.verify(text, NOW), lambda: file.add(TokenRequest("bob"), NOW), file.tokens):
        with pytest.raises(StorageError):
            attempt()
    assert file.path.read_text() == content


def test_tokens_made_at_the_same_time_are_all_kept(file: TokenFile) -> None:
    def make(name: str) -> None:
        TokenFile(file.path).add(TokenRequest(name), NOW)

    threads = [threading.Thread(target=make, args=(f"p{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(token.principal for token in file.tokens()) == [f"p{number}" for number in range(8)]


def test_there_are_at_most_so_many_tokens(file: TokenFile) -> None:
    file.add(TokenRequest("alice"), NOW)
    document = json.loads(file.path.read_text())
    document["tokens"] = [{**document["tokens"][0], "id": f"{number:012x}"} for number in range(TOKENS_MAX)]
    file.path.write_text(json.dumps(document))
    with pytest.raises(LimitExceeded, match="tokens already"):
        file.add(TokenRequest("bob"), NOW)


# --- the door ---------------------------------------------------------------------


def test_a_door_without_tokens_is_open_until_there_is_one_and_never_again(file: TokenFile) -> None:
    door = Door(file, ("main",))
    assert door.is_open
    assert door.verify("") == Grant("anonymous")
    assert door.verify("asg_x_y") is None
    text, token = file.add(TokenRequest("alice"), NOW)
    assert door.verify("") is None
    granted = door.verify(text)
    assert granted is not None
    assert (granted.principal, granted.protected) == ("alice", ("main",))
    file.revoke(token.id)
    assert door.verify("") is None
    assert not door.is_open


def test_a_door_whose_file_is_lost_while_it_runs_stays_closed(file: TokenFile) -> None:
    text, _ = file.add(TokenRequest("alice"), NOW)
    door = Door(file)
    file.path.unlink()
    assert door.verify("") is None
    assert door.verify(text) is None


def test_a_file_of_tokens_keeps_the_door_shut_even_when_none_in_it_holds(file: TokenFile) -> None:
    _, token = file.add(TokenRequest("alice"), NOW)
    assert not Door(file).is_shut
    file.revoke(token.id)
    restarted = Door(TokenFile(file.path))
    assert restarted.verify("") is None
    assert (restarted.is_open, restarted.is_shut) == (False, True)
    file.add(TokenRequest("bob", expires="10"), NOW)  # which was long ago
    restarted = Door(TokenFile(file.path))
    assert (restarted.is_open, restarted.is_shut) == (False, True)
    file.path.unlink()
    restarted = Door(TokenFile(file.path))
    assert (restarted.is_open, restarted.is_shut) == (True, False)


# --- the command line -------------------------------------------------------------


def test_the_command_makes_lists_and_revokes(run: Run, tmp_path: Path) -> None:
    db = ("--db", str(tmp_path / "state.db"))
    made = run("token", "add", "alice", "--verb", "read", "--path", "/team", "--ref", "main", "--json", *db).document
    file = TokenFile(tmp_path / "state.db.tokens")
    granted = file.verify(made["token"], NOW)
    assert granted is not None
    assert (granted.verbs, granted.paths, granted.refs) == (frozenset({Verb.READ}), (("team",),), ("main",))
    listed = run("token", "list", "--json", *db).document["tokens"]
    assert [one["id"] for one in listed] == [made["id"]]
    assert "alice" in run("token", *db).out
    plain = run("token", "add", "bob", *db).out.strip()
    assert file.verify(plain, NOW)
    assert run("token", "revoke", made["id"], *db).code == 0
    assert run("token", "revoke", made["id"], *db).code == 1
    assert file.verify(made["token"], NOW) is None
    assert run("token", "add", "carol", "--verb", "fly", *db).code == 2


def test_whoever_revokes_the_last_token_is_told_what_that_means(run: Run, tmp_path: Path) -> None:
    db = ("--db", str(tmp_path / "state.db"))
    file = str(tmp_path / "state.db.tokens")
    assert run("token", "list", *db).err == ""
    made = [run("token", "add", name, "--json", *db).document["id"] for name in ("alice", "bob")]
    assert run("token", "revoke", made[0], *db).err == ""
    for command in (("revoke", made[1]), ("list",)):
        told = run("token", *command, *db)
        assert "nobody in" in told.err
        assert file in told.err


def test_a_wildcard_in_a_path_is_told_to_be_none(run: Run, tmp_path: Path) -> None:
    db = ("--db", str(tmp_path / "state.db"))
    for path in ("/team/*", "/te?m", "/[ab]"):
        told = run("token", "add", "alice", "--path", path, *db)
        assert told.code == 0
        assert f"{path} is that very path" in told.err
    assert "very path" not in run("token", "add", "alice", "--path", "/team", "--ref", "team/*", *db).err


def test_a_server_over_http_is_bound_to_no_session(run: Run, tmp_path: Path) -> None:
    refused = run("serve", "--http", "--session", "ses-0123456789ab", "--port", "0", "--db", str(tmp_path / "state.db"))
    assert refused.code == 2
    assert "--session" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_other_machines_are_let_in_only_with_tokens_or_when_said_so(run: Run, tmp_path: Path) -> None:
    refused = run("serve", "--http", "--host", "0.0.0.0", "--port", "0", "--db", str(tmp_path / "state.db"))
    assert refused.code == 2
    assert "--allow-anonymous" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_is_none_is_refused(run: Run) -> None:
    assert run("serve", "--http", "--port", "65536").code == 2
