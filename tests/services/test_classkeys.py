"""Sensitive prefixes: sealed at rest, gone with their key, and all else as it was."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from asg_mcp.app import back_up, class_keys, destroy_class, make_class, open_repository
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import (
    Conflict,
    InvalidArgument,
    InvalidName,
    InvalidPath,
    NotFound,
    StorageError,
    StoreBusy,
    TestFailed,
    UnknownOutcome,
    Withheld,
    WrongType,
)
from asg_mcp.repo.collectingresults import CollectRequest
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import PromoteRequest
from asg_mcp.services.classkeys import PADDED_BYTES_STEP, ClassKeys
from asg_mcp.storage.dictionary import read_dictionary
from asg_mcp.storage.rows import PAYLOAD_BYTES_MAX
from asg_mcp.storage.sqlite import SqliteStore
from tests.repo.desk import Desk, settle
from tests.repo.stores import ALICE, operation

UNPACK = zstandard.ZstdDecompressor(
    dict_data=zstandard.ZstdCompressionDict(read_dictionary()), format=zstandard.FORMAT_ZSTD1
).decompress

SECRET = "Ada Lovelace has the rare disease"
LARGE = "a long diagnosis " * 400
JOIN = Intent(Category.REFINE, "Brought.")


def quiet(step: str, done: int, total: int) -> None:
    """No progress."""


@pytest.fixture
async def place(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    async with open_repository(path) as repository:
        await Desk(repository).set("/ward", {"beds": 4})
    await make_class(path, "patients", parse_path("/patients"), ALICE)
    return path


def bytes_on_disk(path: Path) -> bytes:
    """All files of a store, its keys left out, and all rows as they were before they were packed."""
    files = [file for file in path.parent.rglob("*") if file.is_file() and not file.name.endswith(".key")]
    return b"".join(file.read_bytes() for file in files) + b"".join(unpacked_rows(path))


def unpacked_rows(path: Path) -> Iterator[bytes]:
    """What every row of every table says: a flag and a checksum come before what may be compressed."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE TABLE%'")]
        for name in names:
            for row in db.execute(f'SELECT * FROM "{name}"'):
                for column in row:
                    data = column if isinstance(column, bytes) else str(column).encode()
                    yield data
                    with contextlib.suppress(zstandard.ZstdError):
                        yield UNPACK(data[5:], max_output_size=PAYLOAD_BYTES_MAX)


async def filled(desk: Desk) -> None:
    await desk.set("/patients", {"7": {"name": SECRET, "sick": True, "note": None, "long": LARGE}})
    await desk.apply(("append", "/patients/7/visits", "monday: " + SECRET), ("set", "/ward/beds", 5))
    await desk.set("/patients/7/sick", False, request_id="r1")


async def test_what_is_below_a_sensitive_prefix_reads_as_any_other_value(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await filled(desk)
        found = await desk.get("/patients/7")
        assert found.value == {
            "name": SECRET,
            "sick": False,
            "note": None,
            "long": LARGE,
            "visits": ["monday: " + SECRET],
        }
        assert (await repository.verify(quiet)).problems == ()
    async with open_repository(place) as repository:
        assert (await Desk(repository).get("/patients/7/note")).value is None


async def story(desk: Desk) -> None:
    """Everything that remembers or repeats what was written: a schema's warnings, a trial, a merge, a revert."""
    rules = {"properties": {"name": {"enum": ["nobody"]}, "sick": {"type": "integer"}, "note": {"maxLength": 3}}}
    schema = {"x-asg-validate": "warn", "properties": {"patients": {"additionalProperties": rules}}}
    await desk.set("/__schema__", schema)
    await filled(desk)
    handle = (await desk.repo.speculations.open("main", "trial", ALICE)).handle
    brought = [operation(Op.SET, "/patients/7/name", "tried: " + SECRET)]
    tried = await desk.repo.speculations.modify(handle, brought, ALICE, "s1")
    await desk.branch("other")
    await desk.set("/patients/7/name", "theirs: " + SECRET, ref="other", request_id="m1")
    await desk.set("/patients/7/name", "ours: " + SECRET, request_id="m2")
    chosen = (settle("/patients/7/name", "value", "chosen: " + SECRET),)
    merged = await desk.merge("other", resolutions=chosen, guard=Guard(request_id="m3"))
    undone = await desk.revert((await desk.head()).id.hex(), guard=Guard(request_id="v1"))
    request = PromoteRequest(handle, resolutions=(settle("/patients/7/name", "value", "kept: " + SECRET),))
    promoted = await desk.repo.speculations.commit(request, JOIN, ALICE, Guard(request_id="s2"))
    for done in (tried, merged, undone, promoted):
        assert SECRET in str(done.warnings), "a warning quotes the value, or there is nothing to be kept out"
    with pytest.raises(TestFailed):
        await desk.apply(("test", "/patients/7/name", "tested: " + SECRET), request_id="t1")


async def test_no_byte_of_a_sealed_value_is_on_the_disk_even_while_its_key_is_there(place: Path) -> None:
    async with open_repository(place) as repository:
        await story(Desk(repository))
        await Desk(repository).set("/open", "plain as day")
    written = bytes_on_disk(place)
    assert b"plain as day" in b"".join(unpacked_rows(place))
    assert SECRET.encode() not in written
    assert b"a long diagnosis" not in written


async def test_destroying_the_key_erases_the_prefix_in_history_and_in_every_backup(place: Path, tmp_path: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await filled(desk)
        before = await desk.get("/")
        ward = await desk.get("/ward")
    made = await back_up(place, tmp_path / "copy.db", 0, quiet)
    assert made.report.ok
    await destroy_class(place, "patients", "the study is over", ALICE)
    assert not class_keys(place).has("patients")
    for path in (place, tmp_path / "copy.db"):
        async with open_repository(path, marked=False) as repository:
            desk = Desk(repository)
            with pytest.raises(Withheld, match="patients"):
                await desk.get("/patients/7/name")
            with pytest.raises(Withheld):
                await desk.get("/patients/7/sick", ref="main~1")
            assert await desk.get("/ward") == ward
            assert (await desk.get("/", depth=0)).object == before.object


async def test_a_destroyed_class_takes_no_write_until_its_prefix_has_a_new_one(place: Path) -> None:
    async with open_repository(place) as repository:
        await filled(Desk(repository))
    await destroy_class(place, "patients", "over", ALICE)
    async with open_repository(place) as repository:
        desk = Desk(repository)
        with pytest.raises(Withheld):
            await desk.set("/patients/8/name", "Grace")
        await desk.set("/ward/beds", 6)
    await make_class(place, "patients-2", parse_path("/patients"), ALICE)
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await desk.set("/patients/8/name", "Grace")
        assert (await desk.get("/patients/8/name")).value == "Grace"
        with pytest.raises(Withheld):
            await desk.get("/patients/7/name")


async def test_equal_values_inside_and_outside_of_a_prefix_have_different_ids(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await desk.apply(("set", "/patients/a", True), ("set", "/patients/b", True), ("set", "/open", True))
        inside, twin, outside = [(await desk.get(path)).object for path in ("/patients/a", "/patients/b", "/open")]
    assert inside == twin
    assert inside != outside


async def test_another_process_that_has_the_store_open_learns_of_the_prefix(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await desk.set("/here", 1)
        await make_class(place, "staff", parse_path("/staff"), ALICE)
        await desk.set("/staff/anna", {"wage": "five thousand a month"})
        await destroy_class(place, "staff", "over", ALICE)
        with pytest.raises(Withheld):
            await desk.get("/staff/anna/wage")
    assert b"five thousand a month" not in bytes_on_disk(place)


@pytest.mark.parametrize(
    ("source", "to"),
    [("/ward", "/patients/9"), ("/patients/7", "/ward/seven"), ("/patients", "/clients"), ("/ward/x", "/patients/7/w")],
)
async def test_a_move_across_the_border_is_refused_and_says_what_to_do(place: Path, source: str, to: str) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await filled(desk)
        await desk.set("/ward/x", "x")
        with pytest.raises(InvalidPath, match="sensitive prefix /patients"):
            await desk.apply(("move", to, source))
        await desk.apply(("move", "/patients/70", "/patients/7"))
        assert (await desk.get("/patients/70/name")).value == SECRET


async def test_merge_revert_blame_and_test_work_below_a_prefix(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await filled(desk)
        await desk.branch("other")
        await desk.set("/patients/7/name", "Ada L.", ref="other")
        await desk.set("/patients/7/sick", True)
        assert (await desk.merge("other", "main")).merged
        assert (await desk.get("/patients/7/name")).value == "Ada L."
        await desk.apply(("test", "/patients/7/name", "Ada L."), ("set", "/patients/7/name", "A."))
        assert (await repository.verify(quiet)).problems == ()


@pytest.mark.parametrize(
    ("name", "path", "error"),
    [
        ("patients", "/other", Conflict),
        ("two", "/patients", Conflict),
        ("two", "/patients/seven", Conflict),
        ("two", "/ward", Conflict),
        ("two", "/", InvalidArgument),
        ("two", "/plans", InvalidArgument),
        ("two", "/records/0/name", InvalidArgument),
        ("two", "/records/-", InvalidArgument),
        ("Two", "/new", InvalidName),
        ("../x", "/new", InvalidName),
    ],
)
async def test_a_class_that_cannot_be_made_is_refused_and_leaves_nothing(
    place: Path, name: str, path: str, error: type[Exception]
) -> None:
    files = sorted(os.listdir(place.parent))
    with pytest.raises(error):
        await make_class(place, name, parse_path(path), ALICE)
    assert sorted(os.listdir(place.parent)) == files


async def test_what_was_once_stored_below_a_path_keeps_it_from_becoming_a_prefix(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await desk.apply(("set", "/was/here", 1), ("set", "/was/here", 2))
        await desk.apply(("delete", "/was"))
        await desk.set("/box", {"in": {"it": 1}})
    for path in ("/was", "/was/here", "/box/in"):
        with pytest.raises(Conflict) as caught:
            await make_class(place, "late", parse_path(path), ALICE)
        assert "redact path" in caught.value.hint
    await make_class(place, "late", parse_path("/was/nothing"), ALICE)


async def test_a_key_that_others_may_read_or_of_another_class_is_not_used(place: Path) -> None:
    keys = class_keys(place)
    async with open_repository(place) as repository:
        desk = Desk(repository)
        keys.path("patients").chmod(0o644)
        with pytest.raises(StorageError, match="chmod 600"):
            await desk.set("/patients/1", 1)
        keys.path("patients").chmod(0o600)
        await desk.set("/patients/1", 1)
        text = keys.path("patients").read_text()
        keys.path("patients").write_text(text.replace("patients", "staff"))
        with pytest.raises(StorageError, match="is not the key"):
            await desk.set("/patients/1", 2)


async def test_whoever_was_stopped_between_the_receipt_and_the_key_has_it_destroyed_at_the_next_start(
    place: Path,
) -> None:
    async with open_repository(place) as repository:
        await repository.classes.destroy("patients", "over", ALICE)
        assert class_keys(place).has("patients")
    async with open_repository(place):
        assert not class_keys(place).has("patients")


async def test_destroying_an_unknown_class_says_where_to_look(place: Path) -> None:
    with pytest.raises(NotFound) as caught:
        await destroy_class(place, "nobody", "why", ALICE)
    assert "class list" in caught.value.hint


def test_the_same_value_is_sealed_to_the_same_bytes_and_a_changed_one_is_noticed(tmp_path: Path) -> None:
    keys = ClassKeys(tmp_path / "state.db")
    keys.make("a")
    sealed = keys.seal("a", b"value")
    assert sealed == keys.seal("a", b"value")
    assert keys.open("a", sealed) == b"value"
    with pytest.raises(StorageError):
        keys.open("a", bytes([sealed[0] ^ 1]) + sealed[1:])
    assert keys.destroy("a")
    assert not keys.destroy("a")
    with pytest.raises(Withheld):
        keys.open("a", sealed)


@pytest.mark.parametrize("size", [0, 1, 30, 31, 32, 100, 4_094, 4_095, 4_096, 10_000])
def test_what_is_sealed_is_padded_and_opens_to_what_it_was(tmp_path: Path, size: int) -> None:
    keys = ClassKeys(tmp_path / "state.db")
    keys.make("a")
    for plain in (b"v" * size, bytes(size), b"\x80" * size):
        sealed = keys.seal("a", plain)
        assert keys.open("a", sealed) == plain
        padded = len(sealed) - 16
        assert padded >= max(32, size + 1)
        assert padded % PADDED_BYTES_STEP == 0 or (padded < PADDED_BYTES_STEP and padded & (padded - 1) == 0)


async def test_short_values_of_different_lengths_are_stored_in_as_many_bytes(place: Path) -> None:
    async with open_repository(place) as repository:
        await Desk(repository).set(
            "/patients/7", {"a": True, "b": "negative", "c": "positive, advanced", "d": 5 * 10**9}
        )
    with contextlib.closing(sqlite3.connect(place)) as db:
        found = [size for (size,) in db.execute("SELECT length(data) FROM blobs")]
    assert (len(found), len(set(found))) == (4, 1)


async def test_a_destroyed_class_opens_and_seals_nothing_though_its_key_is_there_still(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await filled(desk)
        assert await desk.value("/patients/7/name") == SECRET
        async with open_repository(place) as other:
            await other.classes.destroy("patients", "over", ALICE)
        assert class_keys(place).has("patients")
        for ref in ("main", "main~1"):
            with pytest.raises(Withheld):
                await desk.get("/patients/7/name", ref=ref)
        with pytest.raises(Withheld):
            await desk.set("/patients/8", "written after the receipt")


@pytest.mark.parametrize(
    "lose", [Path.unlink, lambda file: file.write_bytes(bytes(file.stat().st_size)), lambda file: file.write_bytes(b"")]
)
async def test_a_key_that_is_gone_or_overwritten_is_noticed_at_once(place: Path, lose: Callable[[Path], Any]) -> None:
    keys = class_keys(place)
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await filled(desk)
        assert await desk.value("/patients/7/name") == SECRET
        text = keys.path("patients").read_bytes()
        lose(keys.path("patients"))
        assert not keys.has("patients")
        with pytest.raises(Withheld):
            await desk.get("/patients/7/name")
        assert (await desk.get("/ward/beds")).value == 5
        assert "$withheld" in str(await desk.value("/"))
        keys.path("patients").write_bytes(text)
        keys.path("patients").chmod(0o600)
        assert await desk.value("/patients/7/name") == SECRET


async def test_a_key_that_cannot_be_destroyed_keeps_nobody_from_the_store(
    place: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    opened = Path.open

    def refused(self: Path, mode: str = "r", *given: Any, **named: Any) -> Any:
        if self.name.endswith(".key") and "+" in mode:
            raise PermissionError(13, "Permission denied", str(self))
        return opened(self, mode, *given, **named)

    monkeypatch.setattr(Path, "open", refused)
    with pytest.raises(StorageError, match="cannot be destroyed") as caught:
        await destroy_class(place, "patients", "over", ALICE)
    assert "Put the store's own key file back" not in caught.value.hint
    with caplog.at_level(logging.WARNING):
        async with open_repository(place) as repository:
            assert (await Desk(repository).get("/ward/beds")).value == 4
    assert "cannot be destroyed" in caplog.text
    monkeypatch.undo()
    async with open_repository(place):
        assert not class_keys(place).has("patients")


@pytest.mark.parametrize("written", [True, False])
async def test_a_class_whose_outcome_nobody_knows_keeps_its_key_and_one_that_was_not_made_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: bool
) -> None:
    path = tmp_path / "state.db"
    async with open_repository(path) as repository:
        await Desk(repository).set("/ward", 1)
    rewrite = SqliteStore.rewrite

    async def failing(self: SqliteStore, work: Any) -> Any:
        if not written:
            raise StoreBusy("Another process writes")
        await rewrite(self, work)
        raise UnknownOutcome("The disk failed")

    monkeypatch.setattr(SqliteStore, "rewrite", failing)
    with pytest.raises(UnknownOutcome if written else StoreBusy) as caught:
        await make_class(path, "patients", parse_path("/patients"), ALICE)
    monkeypatch.undo()
    assert class_keys(path).has("patients") is written
    if written:
        assert "class list" in caught.value.hint
        assert str(class_keys(path).path("patients")) in caught.value.message
    else:
        await make_class(path, "patients", parse_path("/patients"), ALICE)
    async with open_repository(path) as repository:
        await Desk(repository).set("/patients/1", 1)


async def test_a_class_whose_making_failed_after_it_was_durable_keeps_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "state.db"
    rewrite = SqliteStore.rewrite

    async def failing(self: SqliteStore, work: Any) -> Any:
        await rewrite(self, work)
        raise StoreBusy("It took too long")

    async with open_repository(path):
        pass
    monkeypatch.setattr(SqliteStore, "rewrite", failing)
    with pytest.raises(StoreBusy):
        await make_class(path, "patients", parse_path("/patients"), ALICE)
    monkeypatch.undo()
    async with open_repository(path) as repository:
        await Desk(repository).set("/patients/1", 1)


async def test_pruned_commits_keep_nobody_from_making_a_class(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_repository(path) as repository:
        desk = Desk(repository)
        await desk.set("/a", 1)
        await desk.branch("gone")
        await desk.set("/b", 2, ref="gone")
        await repository.delete_branch("gone", ALICE)
        pruning = CollectRequest(0, prune=True, rehearse=False, reason="tidy", shrink=False)
        assert (await repository.collect(pruning, ALICE, quiet)).commits
    assert (await make_class(path, "patients", parse_path("/patients"), ALICE)).name == "patients"


async def test_a_sealed_value_has_the_type_it_has_elsewhere(place: Path) -> None:
    values = {"yes": True, "none": None, "n": 41, "f": 1.5, "text": "a", "long": LARGE}
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await desk.apply(("set", "/open", values), ("set", "/patients", values))
        for name in values:
            inside, outside = [await desk.get(f"/{root}/{name}") for root in ("patients", "open")]
            assert inside.type == outside.type
        kinds = [[entry.type for entry in await desk.blame(f"/{root}")] for root in ("patients", "open")]
        assert kinds[0] == kinds[1]
        omitted = [[part[1] for part in (await desk.get(f"/{root}", depth=0)).omitted] for root in ("patients", "open")]
        assert omitted[0] == omitted[1]
        assert ["type"] * 2 == [await changed_to(desk, f"/{root}/n", "41") for root in ("patients", "open")]
        with pytest.raises(WrongType, match="which is a bool"):
            await desk.get("/patients/yes/x")
        with pytest.raises(TestFailed) as caught:
            await desk.apply(("test", "/patients/f", 2))
        assert caught.value.details["found"] == 1.5
        with pytest.raises(TestFailed) as caught:
            await desk.apply(("test", "/patients/long", 2))
        assert caught.value.details["found"] == "(string)"
    await destroy_class(place, "patients", "over", ALICE)
    async with open_repository(place) as repository:
        desk = Desk(repository)
        assert {entry.type for entry in await desk.blame("/patients")} == {"withheld"}
        with pytest.raises(WrongType, match="which is a withheld"):
            await desk.get("/patients/yes/x")


async def changed_to(desk: Desk, path: str, value: Any) -> str:
    """How a difference is told that this write makes."""
    await desk.set(path, value)
    return (await desk.diff("main~1", "main", path)).changes[0].op
