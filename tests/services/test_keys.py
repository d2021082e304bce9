"""Rotating the log's key: one usable key at every moment, and all that older keys signed still verifies."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess

import anyio
import pytest

from asg_mcp.app import key_path, open_repository, restore, rotate_log_key
from asg_mcp.config import own_command
from asg_mcp.core.events import EventKind
from asg_mcp.core.notes import Note, VerifierKey, parse_note, parse_verifier_key
from asg_mcp.errors import Conflict, StorageError, StoreFull, UnknownOutcome
from asg_mcp.evidence import verify as v
from asg_mcp.repo import keyring
from asg_mcp.repo.keyring import Keys, Rotation, log_rotation, statement
from asg_mcp.repo.ledger import event_body, log_event
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.view import View
from asg_mcp.services.bundles import bundle, verifier_source
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.services.keys import rotate_key
from asg_mcp.services.signing import KeyFile, PassingKey, is_signed
from asg_mcp.storage.sqlite import SqliteStore, open_store
from tests.repo.desk import Desk
from tests.repo.stores import ALICE

posix = pytest.mark.skipif(os.name != "posix", reason="signals and modes are of POSIX")


ROOT = Path(__file__).parents[2]


def silent(*_: object) -> None:
    """No progress."""


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Repository]:
    async with open_repository(folder / "state.db") as repo:
        yield repo


async def sealed(folder: Path, epoch: str) -> str:
    """Seal an epoch with one commit; the key that signed it."""
    async with opened(folder) as repo:
        await create_epoch(repo, EpochRequest(epoch, "Some work."), ALICE)
        await Desk(repo).set("/n", epoch)
        return (await seal_epoch(repo, epoch, "Done.", ALICE)).key


async def rotated(folder: Path, *, lost: bool = False) -> Rotation:
    return await rotate_log_key(folder / "state.db", ALICE, lost=lost)


async def problems(folder: Path) -> list[str]:
    async with opened(folder) as repo:
        return [problem.message for problem in (await repo.verify(silent)).problems]


def proved(data: bytes, key: str) -> bool:
    files = {name: bytes(content) for name, content in v.opened_archive(data).items()}
    return not v.verify(files, v.parse_key(key), verifier_source()).findings.violated


async def bundled(folder: Path, epoch: str) -> bytes:
    async with opened(folder) as repo:
        return (await bundle(repo, epoch)).data


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_a_rotation_hands_the_log_over_with_both_signatures(tmp_path: Path) -> None:
    old = await sealed(tmp_path, "e1")
    change = await rotated(tmp_path)
    new = await sealed(tmp_path, "e2")
    assert (str(change.old), str(change.new), change.lost) == (old, new, False)
    assert old != new
    async with opened(tmp_path) as repo:
        row = await repo.read(lambda view: view.reader.event(change.index))
        assert row is not None
        note = parse_note(event_body(row)["statement"].encode())
        assert await repo.keys.rotations() == [change]
    assert note.text == statement(change.old, change.new, lost=False)
    assert all(is_signed(note, key) for key in (change.old, change.new))
    assert len(note.signatures) == 2
    assert await problems(tmp_path) == []


async def test_the_old_private_key_is_gone_and_the_new_one_is_its_owners_alone(tmp_path: Path) -> None:
    await sealed(tmp_path, "e1")
    path = tmp_path / "state.db.key"
    before = path.read_bytes()
    with path.open("rb") as still_open:
        await rotated(tmp_path)
        if os.name == "posix":
            assert still_open.read() == bytes(len(before)), "what was in the old file was overwritten"
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    left = contents(tmp_path)
    assert before.strip().split(b"+")[-1] not in b"".join(left.values())
    assert sorted(name for name in left if ".key" in name) == ["state.db.key", "state.db.key.lock"]


async def test_bundles_of_before_and_after_verify_with_the_key_of_their_time_and_no_other(tmp_path: Path) -> None:
    first = await sealed(tmp_path, "e1")
    early = await bundled(tmp_path, "e1")
    async with opened(tmp_path) as repo:
        await create_epoch(repo, EpochRequest("across", "Work during which the key is rotated."), ALICE)
    await rotated(tmp_path)
    second = await sealed(tmp_path, "across-2")
    async with opened(tmp_path) as repo:
        across = await seal_epoch(repo, "across", "Done.", ALICE)
    assert across.key == second
    assert await bundled(tmp_path, "e1") == early, "the same store, the same bytes, whatever key it has now"
    assert [proved(early, key) for key in (first, second)] == [True, False]
    late = await bundled(tmp_path, "across")
    assert [proved(late, key) for key in (first, second)] == [False, True]
    headers = v.opened_archive(late)["events.cborseq"]
    assert b"key_rotated" in bytes(headers), "the hand-over is among the events that the bundle has"
    assert await problems(tmp_path) == []


async def test_a_log_without_a_key_has_nothing_to_rotate(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with pytest.raises(Conflict, match="no key yet"):
        await rotated(tmp_path)
    with pytest.raises(Conflict, match="no key yet"):
        await rotated(tmp_path, lost=True)
    assert not key_path(tmp_path / "state.db").exists()


async def test_a_missing_key_is_never_made_anew_in_silence(tmp_path: Path) -> None:
    old = await sealed(tmp_path, "e1")
    (tmp_path / "state.db.key").unlink()
    with pytest.raises(StorageError, match="is missing") as refused:
        await sealed(tmp_path, "e2")
    assert "--lost" in refused.value.hint
    with pytest.raises(StorageError, match="is missing"):
        await rotated(tmp_path)
    change = await rotated(tmp_path, lost=True)
    assert (str(change.old), change.lost) == (old, True)
    async with opened(tmp_path) as repo:
        assert (await seal_epoch(repo, "e2", "Done.", ALICE)).key == str(change.new)
    assert await problems(tmp_path) == []


async def test_a_key_that_is_there_is_not_lost(tmp_path: Path) -> None:
    await sealed(tmp_path, "e1")
    with pytest.raises(Conflict, match="There is a key file"):
        await rotated(tmp_path, lost=True)


async def test_another_key_in_the_place_of_the_logs_own_signs_nothing(tmp_path: Path) -> None:
    old = parse_verifier_key(await sealed(tmp_path, "e1"))
    path = tmp_path / "state.db.key"
    before = path.read_bytes()
    path.unlink()
    KeyFile(path).key(old.name)
    with pytest.raises(StorageError, match=f"names {old.key_id.hex()} as its own"):
        await sealed(tmp_path, "e2")
    with pytest.raises(StorageError, match="as its own"):
        await rotated(tmp_path)
    path.write_bytes(before)
    path.chmod(0o600)
    await rotated(tmp_path)
    rotated_to = path.read_bytes()
    path.write_bytes(before)
    with pytest.raises(StorageError, match="as its own"):
        await sealed(tmp_path, "e3")
    path.write_bytes(rotated_to)
    assert await sealed(tmp_path, "e4")


async def test_a_disk_that_refuses_the_next_key_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await sealed(tmp_path, "e1")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as changed:
        changed.setattr("asg_mcp.services.signing.os.link", refuse)
        with pytest.raises(StorageError, match="cannot be replaced: Permission denied"):
            await rotated(tmp_path)
    assert await sealed(tmp_path, "e2") == old


async def test_a_read_only_key_is_refused_before_the_log_names_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = await sealed(tmp_path, "e1")
    with monkeypatch.context() as changed:
        changed.setattr("asg_mcp.services.signing.os.access", lambda *_: False)
        with pytest.raises(StorageError, match="is read-only"):
            await rotated(tmp_path)
    async with opened(tmp_path) as repo:
        assert str(await repo.keys.named()) == old
        assert await repo.keys.rotations() == []


async def test_a_file_that_cannot_be_replaced_is_replaced_by_the_next_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await sealed(tmp_path, "e1")

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as changed:
        changed.setattr(Path, "replace", refuse)
        with pytest.raises(StorageError, match="cannot be replaced") as refused:
            await rotated(tmp_path)
    assert "finishes" in refused.value.hint
    async with opened(tmp_path) as repo:
        named = await repo.keys.named()
    assert await sealed(tmp_path, "e2") == str(named)


# --- interrupted --------------------------------------------------------------------

KILLED = """
import asyncio, os, signal, sys
from pathlib import Path
from asg_mcp.app import rotate_log_key
from asg_mcp.repo.keyring import Keys
from asg_mcp.services import signing
from tests.repo.stores import ALICE

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

owner, name, after = {
    "with half a file": (signing, "format_private_key", False),
    "before the event": (Keys, "rotate", False),
    "after the event": (Keys, "rotate", True),
    "before the rename": (Path, "replace", False),
    "after the rename": (Path, "replace", True),
}[sys.argv[2]]
there = getattr(owner, name)

def stand_in(*given, **named):
    if not after:
        die()
    found = there(*given, **named)
    if asyncio.iscoroutine(found):
        async def wait():
            await found
            die()
        return wait()
    die()

if name == "replace":
    def only_keys(path, to):
        return stand_in(path, to) if path.name.endswith(".next") else there(path, to)
    setattr(owner, name, only_keys)
else:
    setattr(owner, name, stand_in)
asyncio.run(rotate_log_key(Path(sys.argv[1]), ALICE, lost=False))
"""
STEPS = {
    "with half a file": False,
    "before the event": False,
    "after the event": True,
    "before the rename": True,
    "after the rename": True,
}
"""Where a rotation is killed, and whether the log has the new key after it."""


@posix
@pytest.mark.parametrize("step", STEPS)
async def test_a_rotation_that_is_killed_leaves_one_key_that_the_log_names(tmp_path: Path, step: str) -> None:
    old = await sealed(tmp_path, "e1")
    command = [sys.executable, "-c", KILLED, str(tmp_path / "state.db"), step]
    with anyio.fail_after(60):
        ran = await anyio.run_process(command, check=False, cwd=ROOT)
    assert ran.returncode == -signal.SIGKILL
    used = await sealed(tmp_path, "e2")
    assert (used != old) is STEPS[step]
    async with opened(tmp_path) as repo:
        changes = await repo.keys.rotations()
    assert [str(change.new) for change in changes] == ([used] if STEPS[step] else [])
    assert str((await rotated(tmp_path)).old) == used
    assert await problems(tmp_path) == []
    assert not (tmp_path / "state.db.key.next").exists()


@pytest.mark.parametrize(("error", "dropped"), [(StoreFull("full"), True), (UnknownOutcome("who knows"), False)])
async def test_the_next_key_is_dropped_only_when_the_log_surely_does_not_name_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, dropped: bool
) -> None:
    old = await sealed(tmp_path, "e1")

    async def fail(*_: object, **__: object) -> None:
        raise error

    with monkeypatch.context() as changed:
        changed.setattr(Keys, "rotate", fail)
        with pytest.raises(type(error)):
            await rotated(tmp_path)
    assert (tmp_path / "state.db.key.next").exists() is not dropped
    assert await sealed(tmp_path, "e2") == old
    assert str((await rotated(tmp_path)).old) == old


# --- at once ------------------------------------------------------------------------


async def test_while_one_process_rotates_another_is_told_so(tmp_path: Path) -> None:
    await sealed(tmp_path, "e1")
    with KeyFile(tmp_path / "state.db.key").locked(0), pytest.raises(Conflict, match="Another process"):
        await rotated(tmp_path)


async def test_of_processes_that_rotate_at_once_those_that_come_too_late_are_told_so(tmp_path: Path) -> None:
    await sealed(tmp_path, "e1")
    command = [*own_command(), "key", "rotate", "--json", "--db", str(tmp_path / "state.db")]
    ran: list[CompletedProcess[bytes]] = []

    async def run() -> None:
        ran.append(await anyio.run_process(command, check=False, cwd=ROOT))

    with anyio.fail_after(60):
        async with anyio.create_task_group() as group:
            for _ in range(2):
                group.start_soon(run)
    won = [one for one in ran if one.returncode == 0]
    assert won
    for one in ran:
        if one.returncode:
            assert (one.returncode, json.loads(one.stdout)["error"]["code"]) == (1, "conflict")
    async with opened(tmp_path) as repo:
        assert len(await repo.keys.rotations()) == len(won)
    assert await sealed(tmp_path, "e2")
    assert await problems(tmp_path) == []


async def test_a_rotation_of_a_key_that_is_no_longer_the_logs_is_refused(tmp_path: Path) -> None:
    old = parse_verifier_key(await sealed(tmp_path, "e1"))
    await rotated(tmp_path)
    other = PassingKey()
    new = other.key(old.name)
    store = await open_store(tmp_path / "state.db")
    try:
        told = other.sign(old.name, statement(old, new, lost=False))
        with pytest.raises(Conflict, match="rotated meanwhile"):
            await store.write(lambda writer: log_rotation(writer, ALICE, old, new, told, lost=False))
    finally:
        await store.close()


async def test_a_seal_signed_with_the_key_of_before_a_rotation_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The notes were signed, then the key was rotated, then they would have been kept."""
    await sealed(tmp_path, "e1")
    async with opened(tmp_path) as repo:
        await create_epoch(repo, EpochRequest("e2", "Some work."), ALICE)
        keep = repo.epochs.sign

        async def late(*given: object) -> object:
            await rotate_key(repo, KeyFile(tmp_path / "state.db.key"), ALICE)
            return await keep(*given)  # type: ignore[arg-type]

        with monkeypatch.context() as changed:
            changed.setattr(repo.epochs, "sign", late)
            with pytest.raises(Conflict, match="rotated meanwhile"):
                await seal_epoch(repo, "e2", "Done.", ALICE)
        info = await seal_epoch(repo, "e2", "Done.", ALICE)
        assert info.key == str(await repo.keys.named())
        assert (await repo.verify(silent)).problems == ()


# --- what verify makes of forged rotations ------------------------------------------


async def forge(folder: Path, told: dict[str, object]) -> None:
    """Log a rotation that says this, without the checks of the program."""
    store: SqliteStore = await open_store(folder / "state.db")
    try:
        kind = EventKind.KEY_ROTATED
        await store.write(lambda writer: log_event(writer, kind, ALICE, subject=keyring.KEYS, body=told))
    finally:
        await store.close()


@pytest.mark.parametrize("how", ["unsigned by the old", "another old", "another text", "another log", "no note"])
async def test_a_rotation_that_the_logs_key_has_not_signed_is_found(tmp_path: Path, how: str) -> None:
    old = parse_verifier_key(await sealed(tmp_path, "e1"))
    own, thief = KeyFile(tmp_path / "state.db.key"), PassingKey()
    new = thief.key(old.name)
    claimed = thief.key(old.name) if how == "another old" else old
    if how == "another log":
        claimed, new = thief.key("asg-mcp/other"), thief.key("asg-mcp/other")
    text = statement(claimed, new, lost=False)
    if how == "another text":
        text = text.replace("rotation", "rotations")
    signatures = thief.sign(new.name, text).signatures
    if how in ("another text", "another log"):
        signatures = (*own.sign(old.name, text).signatures, *signatures)
    note = str(Note(text, signatures))
    told = {"old": str(claimed), "new": str(new), "lost": False, "statement": "no" if how == "no note" else note}
    await forge(tmp_path, told)
    [message] = await problems(tmp_path)
    assert message.startswith("Event "), message


async def test_a_key_that_was_declared_lost_is_no_damage_and_the_file_of_before_signs_nothing(tmp_path: Path) -> None:
    await sealed(tmp_path, "e1")
    change = await rotated(tmp_path)
    thief = PassingKey()
    new = thief.key(change.new.name)
    told = thief.sign(new.name, statement(change.new, new, lost=True))
    await forge(tmp_path, {"old": str(change.new), "new": str(new), "lost": True, "statement": str(told)})
    assert await problems(tmp_path) == []
    with pytest.raises(StorageError, match="as its own"):
        await sealed(tmp_path, "e3")


async def test_a_signature_of_a_key_that_was_handed_over_already_is_found(tmp_path: Path) -> None:
    await sealed(tmp_path, "e1")
    change = await rotated(tmp_path)
    second = await sealed(tmp_path, "e2")

    def faults(view: View, key: VerifierKey) -> list[str]:
        ring, found = keyring.Keyring(), []
        for index in range(view.reader.events_count()):
            row = view.reader.event(index)
            assert row is not None
            if event_body(row).get("key") == second:
                assert row.data is not None
                row = replace(row, data=[*row.data[:7], {**event_body(row), "key": str(key)}])
            found.append(ring.advance(view.reader, row, PassingKey()))
        return [fault for fault in found if fault]

    async with opened(tmp_path) as repo:
        assert await repo.read(lambda view: faults(view, change.new)) == []
        [fault] = await repo.read(lambda view: faults(view, change.old))
    assert "not signed by the key" in fault


async def test_a_restored_store_has_no_key_of_its_own_yet(tmp_path: Path) -> None:
    await sealed(tmp_path, "e1")
    await rotated(tmp_path)
    (tmp_path / "new").mkdir()
    made = await restore(tmp_path / "state.db", tmp_path / "new" / "state.db", ALICE, silent)
    assert made.report.problems == ()
    async with opened(tmp_path / "new") as repo:
        assert await repo.keys.named() is None
        assert len(await repo.keys.rotations()) == 1
    await sealed(tmp_path / "new", "e2")
    await rotated(tmp_path / "new")
    assert await problems(tmp_path / "new") == []
