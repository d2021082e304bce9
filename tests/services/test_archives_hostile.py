"""Archives that are not what export-repo wrote: each is refused with the place, and nothing is made of it."""

from __future__ import annotations

import asyncio
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.events import event_body_id
from asg_mcp.core.ids import Id
from asg_mcp.core.merkle import leaf_hash
from asg_mcp.core.values import decode_block, encode
from asg_mcp.errors import ArchiveDamaged, StoreIncompatible
from asg_mcp.evidence.verify import archive, opened_archive
from asg_mcp.repo.importing import GrowingRoot
from asg_mcp.repo.requests import OutcomeRequest, SessionRequest
from asg_mcp.services.archives import COMMITS, EVENTS, KEYS, MANIFEST, REFS
from tests.services.archive_desk import (
    WHO,
    archive_from,
    archive_of,
    files_of,
    imported,
    manifest_bytes,
    records_from,
    records_in,
    sealed_store,
    small_store,
)

MUTATIONS = int(os.environ.get("MUTATIONS", 140))
RAW_MUTATIONS = 80


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The archive of a small store, without a sealed epoch."""

    async def made() -> bytes:
        return await archive_of(await small_store(tmp_path_factory.mktemp("source")))

    return asyncio.run(made())


async def refused(data: bytes, folder: Path) -> str:
    """Why an archive is refused; nothing is made of it."""
    with pytest.raises((ArchiveDamaged, StoreIncompatible)) as told:
        await imported(data, folder / "new" / "new.db")
    return told.value.message


# --- at random ----------------------------------------------------------------------


def edited(value: Any, random: Random) -> Any:
    """Another value in the place of one that is somewhere in an archive."""
    if isinstance(value, bool) or value is None:
        return random.choice([not value, 0, "x", []])
    if isinstance(value, int | float):
        return random.choice([value + 1, -1, 2**63 - 1, str(value), None, value + 0.5])
    if isinstance(value, str):
        return random.choice([value + "x", value[:-1], "", "/", "\x00", None, 7, value.swapcase() + "~"])
    if isinstance(value, bytes):
        return random.choice([value[:-1] + bytes([value[-1] ^ 1]), b"\x00" * 5, None, "id", [value]])
    return random.choice([None, {}, [], [value], "x", 3])


def mutated(record: Any, random: Random) -> Any:
    """A record with one thing in it that is another, is missing, or is there twice."""
    roll = random.random()
    if isinstance(record, dict) and record and random.random() < 0.9:
        record, key = dict(record), random.choice(sorted(record))
        if roll < 0.15:
            del record[key]
        elif roll < 0.25:
            record["more"] = 1
        else:
            record[key] = mutated(record[key], random)
        return record
    if isinstance(record, list) and record and random.random() < 0.9:
        record, at = list(record), random.randrange(len(record))
        if roll < 0.08:
            del record[at]
        elif roll < 0.16:
            record.insert(at, record[at])
        elif roll < 0.22:
            record[at], record[at - 1] = record[at - 1], record[at]
        else:
            record[at] = mutated(record[at], random)
        return record
    return edited(record, random)


def tampered(files: dict[str, bytes], random: Random) -> dict[str, bytes]:
    """The files of an archive with one record edited, gone, twice or elsewhere, or with another manifest or key."""
    files, name = dict(files), random.choice([COMMITS, COMMITS, COMMITS, EVENTS, EVENTS, REFS, KEYS, MANIFEST])
    if name == MANIFEST:
        files[name] = manifest_bytes(mutated(json.loads(files[name]), random))
        return files
    if name == KEYS:
        files[name] = encode(mutated(decode_block(files[name]), random))
        return files
    records, roll = records_in(files[name]), random.random()
    at = random.randrange(len(records))
    if roll < 0.1:
        del records[at]
    elif roll < 0.2:
        records.insert(random.randrange(len(records) + 1), records[at])
    elif roll < 0.3:
        records.insert(random.randrange(len(records)), records.pop(at))
    else:
        records[at] = mutated(records[at], random)
    files[name] = records_from(records)
    return files


async def test_no_edited_archive_is_taken_for_a_whole_one_even_with_all_its_checksums_made_again(
    small: bytes, tmp_path: Path
) -> None:
    files, random, done = files_of(small), Random(MUTATIONS), 0
    while done < MUTATIONS:
        other = tampered(files, random)
        if other == files:
            continue
        done += 1
        data = archive_from(other, resealed=other[MANIFEST] == files[MANIFEST])
        try:
            message = await refused(data, tmp_path / "there")
        except pytest.fail.Exception:
            changed = [name for name in files if other[name] != files[name]]
            raise AssertionError(f"mutation {done} of {changed} was taken") from None
        assert "archive" in message


async def test_no_byte_of_an_archive_can_be_another_one(small: bytes, tmp_path: Path) -> None:
    random = Random(8)
    for _ in range(RAW_MUTATIONS):
        data, at = bytearray(small), random.randrange(len(small))
        end = min(at + random.randint(1, 40), len(data))
        roll = random.randrange(6)
        if roll < 2:
            data[at] ^= 1 << random.randrange(8)
        elif roll == 2:
            del data[at:end]
        elif roll == 3:
            data[at:at] = random.randbytes(end - at)
        elif roll == 4:
            del data[at:]
        else:
            data += random.randbytes(end - at)
        assert "archive" in await refused(bytes(data), tmp_path / "there")


# --- by name ------------------------------------------------------------------------

Edit = Callable[[dict[str, Any], dict[str, bytes]], None]


def manifest_with(**more: Any) -> Edit:
    def edit(manifest: dict[str, Any], _: dict[str, bytes]) -> None:
        manifest.update(more)

    return edit


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (manifest_with(version=3), "has version 3, and this program reads 2"),
        (manifest_with(version=2), "its version is that of an archive from which values were erased"),
        (manifest_with(version=True), "another form"),
        (manifest_with(version=0), "another form"),
        (manifest_with(format="a diary"), "that of something else"),
        (manifest_with(more=1), "has more, or less"),
        (lambda manifest, _: manifest["checkpoint"].update(size=10**18), "not those of the checkpoint"),
        (lambda manifest, _: manifest["checkpoint"].update(origin="asg-mcp/0"), "not those of the checkpoint"),
        (lambda manifest, _: manifest["counts"].update(commits=3), "its counts"),
        (lambda manifest, _: manifest["counts"].update(salts=1), "its count of salts"),
        (manifest_with(note="x", key=""), "a note without a key"),
        (manifest_with(epochs=[{"epoch": "e", "size": 1, "root": "00", "file": None}]), "sealed epochs are not"),
        (manifest_with(epochs=[{"epoch": "../evil", "size": 1, "root": "00", "file": None}]), "begins with ."),
        (manifest_with(epochs=[{"epoch": "a/b", "size": 1, "root": "00", "file": None}]), "no name for one"),
        (
            manifest_with(epochs=[{"epoch": "e", "size": 1, "root": "00", "file": "../../etc/passwd"}]),
            "has other files than export-repo writes",
        ),
    ],
)
async def test_a_manifest_that_tells_something_else_is_refused(
    small: bytes, tmp_path: Path, edit: Edit, message: str
) -> None:
    files = files_of(small)
    manifest = json.loads(files[MANIFEST])
    edit(manifest, files)
    files[MANIFEST] = manifest_bytes(manifest)
    assert message in await refused(archive_from(files), tmp_path)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "bundles/000001.zip", "C:\\x", "a" * 300, "keys.cbor"])
async def test_no_file_of_another_name_is_in_an_archive(small: bytes, tmp_path: Path, name: str) -> None:
    files = files_of(small)
    manifest = files.pop(MANIFEST)
    data = archive_from({**files, name: b"x", MANIFEST: manifest})
    assert "other files" in await refused(data, tmp_path) or len(name) > 100 or name in files


async def test_files_in_another_order_are_refused(small: bytes, tmp_path: Path) -> None:
    files = files_of(small)
    order = [KEYS, EVENTS, COMMITS, REFS, MANIFEST]
    assert "other files" in await refused(archive_from({name: files[name] for name in order}), tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
async def test_a_zip_of_another_program_is_refused_before_anything_is_unpacked(
    small: bytes, tmp_path: Path, method: int
) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in files_of(small).items():
            archive.writestr(name, data if name != COMMITS else bytes(10_000_000))
    assert "byte 0 of the archive" in await refused(out.getvalue(), tmp_path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x1a\x07\xff\xff\xff", "ends inside a record"),
        (b"\x1a\xff\xff\xff\xff", "has a record of 4294967295 bytes"),
        (b"\x1b" + b"\xff" * 8, "has no length"),
        (b"\x18\x05hello", "its length in another form"),
        (b"\x00", "has a record of 0 bytes"),
        (b"\x09\x9b\x0f" + b"\xff" * 7, "not DAG-CBOR"),
        (b"\x1a\x00\x01\x00\x00" + b"\x81" * 65_536, "not DAG-CBOR"),
        (b"\x02\x18\x01", "not canonical"),
        (b"", "is missing"),
    ],
)
async def test_what_is_no_record_is_refused_without_taking_its_word_for_its_size(
    small: bytes, tmp_path: Path, data: bytes, message: str
) -> None:
    files = files_of(small)
    told = await refused(archive_from({**files, COMMITS: data}), tmp_path)
    assert message in told


async def test_a_commit_that_goes_before_its_parent_is_refused(small: bytes, tmp_path: Path) -> None:
    files = files_of(small)
    records = records_in(files[COMMITS])
    records[0][0] = {**records[0][0], "parents": [records[1][0]["root"]]}
    assert "commit 1" in await refused(archive_from({**files, COMMITS: records_from(records)}), tmp_path)


async def test_another_class_key_gives_other_ids_and_another_salt_of_levels_other_roots(
    small: bytes, tmp_path: Path
) -> None:
    files = files_of(small)
    for name, message in (("class_key", "has a salt"), ("level_salt", "another root")):
        keys = {**decode_block(files[KEYS]), name: "11" * 32}
        assert message in await refused(archive_from({**files, KEYS: encode(keys)}), tmp_path)


async def test_what_differs_is_named_by_the_first_hash_that_does_not_hold(small: bytes, tmp_path: Path) -> None:
    files = files_of(small)
    records = records_in(files[COMMITS])
    operation = records[1][1][0]
    entries = [[*entry[:2], 3.5] if entry[2] == 2.5 else entry for entry in operation[3]]
    assert entries != operation[3]
    other = [records[0], [records[1][0], [[*operation[:3], entries]], records[1][2]], *records[2:]]
    told = await refused(archive_from({**files, COMMITS: records_from(other)}), tmp_path)
    assert told.endswith("has other operations than its header commits to") and told.startswith("commit 2 (")
    salt, value = records[2]
    for large in ([salt, value + "x"], ["0" * 32, value], [salt, value, None]):
        told = await refused(
            archive_from({**files, COMMITS: records_from([*records[:2], large, *records[3:]])}), tmp_path
        )
        assert "has something else where the value" in told or "no list of 2" in told
    header = {**records[1][0], "confidence": 0.5}
    other = [records[0], [header, *records[1][1:]], *records[2:]]
    told = await refused(archive_from({**files, COMMITS: records_from(other)}), tmp_path)
    assert told.endswith("is not the one that event 1 brought")


@pytest.mark.parametrize("name", [COMMITS, EVENTS])
async def test_a_header_has_nothing_that_is_not_hashed(small: bytes, tmp_path: Path, name: str) -> None:
    files = files_of(small)
    records = records_in(files[name])
    other = [records[0], [{**records[1][0], "more": 1}, *records[1][1:]], *records[2:]]
    told = await refused(archive_from({**files, name: records_from(other)}), tmp_path)
    assert "has a header of another form" in told


async def test_texts_of_another_salt_or_form_are_refused(small: bytes, tmp_path: Path) -> None:
    files = files_of(small)
    records = records_in(files[COMMITS])
    salt, body = records[1][2]
    for texts in (["0" * 32, body], [salt, {**body, "description": "Another."}], [salt, {**body, "tags": []}]):
        other = [records[0], [*records[1][:2], texts], *records[2:]]
        told = await refused(archive_from({**files, COMMITS: records_from(other)}), tmp_path)
        assert "has other texts than its header commits to" in told


def with_log(files: dict[str, bytes], events: list[Any], **more: bytes) -> bytes:
    """An archive with another log, whose root and size its manifest tells as well."""
    growing = GrowingRoot()
    for event in events:
        growing.add(leaf_hash(encode(event[0])))
    manifest = json.loads(files[MANIFEST])
    manifest["checkpoint"].update(size=growing.size, root=growing.root().hex())
    kinds = [event[0]["kind"] for event in events]
    manifest["counts"].update(events=growing.size, commits=kinds.count("commit") + kinds.count("store_created"))
    return archive_from({**files, EVENTS: records_from(events), **more, MANIFEST: manifest_bytes(manifest)})


async def test_a_whole_other_log_that_brings_a_commit_twice_is_refused(small: bytes, tmp_path: Path) -> None:
    files = files_of(small)
    events, commits = records_in(files[EVENTS]), records_in(files[COMMITS])
    assert with_log(files, events) == small
    made = next(event[0] for event in events if event[0]["kind"] == "ref_created")
    brought = next(event[0] for event in events if event[0]["kind"] == "commit")
    place = len(events)
    events.append([{**made, "ref": "x", "new": brought["old"], "index": place}, None, None])
    events.append([{**brought, "ref": "x", "index": place + 1}, None, None])
    again = next(commit for commit in commits if len(commit) > 2 and commit_id(commit[0]) == brought["new"])
    values = commits[commits.index(again) + 1 :]
    commits += [again, *values[: next(at for at, record in enumerate(values) if len(record) > 2)]]
    told = await refused(with_log(files, events, **{COMMITS: records_from(commits)}), tmp_path)
    assert "is there twice" in told


def commit_id(header: dict[str, Any]) -> bytes:
    """The id of a commit, from its header."""
    return bytes(Id.of(encode(header)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ref": "a..b"}, "two dots in a row"),
        ({"ref": "spec:1", "ref_kind": "branch"}, "that is no branch"),
        ({"ref_kind": "planet"}, "a ref without a commit"),
        ({"kind": "imported"}, "begins a log that has begun"),
        ({"kind": "restored"}, "moves a ref"),
        ({"kind": "session_opened", "subject": "ses-1"}, "session ses-1"),
        ({"kind": "epoch_sealed", "subject": "e"}, "seals epoch e, which is not open"),
        ({"ref": "main"}, "main is no longer what it was read as"),
        ({"agent": " "}, "control characters or outer spaces"),
    ],
)
async def test_an_event_that_makes_no_sense_is_refused_even_in_a_log_that_has_all_hashes_right(
    small: bytes, tmp_path: Path, change: dict[str, str], message: str
) -> None:
    files = files_of(small)
    events = records_in(files[EVENTS])
    at = next(number for number, event in enumerate(events) if event[0]["kind"] == "ref_created")
    events[at] = [{**events[at][0], **change}, None, None]
    assert message in await refused(with_log(files, events), tmp_path)


MISSING = object()
FIELDS: dict[str, dict[str, tuple[Any, ...]]] = {
    "session_opened": {
        "agent": ([1], "", "a\x00"),
        "principal": (7,),
        "client": (7,),
        "branch": (None,),
        "scope": ("/s", [1], ["no path"]),
        "parent": (7,),
        "description": ([],),
        "authority": (7, {"principal": 1}, {"principal": "p", "delegation_chain": 7}),
        "opened_at": (2**62,),
        "expires": (2**62, True, "soon", None),
        "status": ("asleep", [1]),
    },
    "outcome": {
        "outcome": ("won", [1]),
        "summary": (1,),
        "observed": (1, [1, 2]),
        "deviations": ([1], {}),
        "confidence": ("x", 2, True),
        "agent": (1,),
        "at": ("now",),
    },
    "speculation_opened": {
        "label": (7,),
        "from": (None,),
        "target": (7,),
        "base": ("00", 7),
        "expires": (2**62,),
        "status": ("committed", "ended"),
        "compared": ("x", [1]),
        "lesson": (7,),
        "brought": ({"main": 7},),
    },
    "epoch_opened": {
        "state": ([1], 2**62, "sealed", "closed"),
        "roots": (7, [1], [""]),
        "after": ("00", 7),
        "opened_at": (-(2**62),),
        "since": ("then",),
        "root_intents": ({},),
        "tags": ([1],),
        "checkpoint": ("signed",),
    },
}
"""Fields of events' bodies, by kind, with what can never be in them."""


async def test_nonsense_in_a_body_is_refused_even_in_a_log_that_has_all_hashes_right(tmp_path: Path) -> None:
    store = await small_store(tmp_path / "source")
    async with open_repository(store) as repo:
        session = (await repo.open_session(SessionRequest("worker"), WHO)).handle
        await repo.resolve(OutcomeRequest("fulfilled", "Done.", session=session), WHO)
        await repo.open_session(SessionRequest("worker"), WHO)
    files = files_of(await archive_of(store))
    events = records_in(files[EVENTS])
    for kind, fields in FIELDS.items():
        at = max(number for number, event in enumerate(events) if event[0]["kind"] == kind)
        header, salt, body = events[at]
        for name, values in fields.items():
            for value in (*values, MISSING):
                other = {**body, name: value}
                if value is MISSING:
                    if name not in body:
                        continue
                    del other[name]
                told = [{**header, "body": event_body_id(salt, other)}, salt, other]
                data = with_log(files, [*events[:at], told, *events[at + 1 :]])
                try:
                    message = await refused(data, tmp_path / "there")
                except pytest.fail.Exception:
                    raise AssertionError(f"{value!r} was taken for the {name} of {kind}") from None
                assert header["subject"] in message or f"event {at}" in message, (kind, name, value)


@pytest.mark.parametrize("path", [[], ["people"], ["a", "b"]])
async def test_a_sensitive_prefix_that_the_log_does_not_tell_of_is_refused(
    small: bytes, tmp_path: Path, path: list[str]
) -> None:
    files = files_of(small)
    keys = {**decode_block(files[KEYS]), "classes": [["more", path, False]], "class_keys": {"more": "22" * 32}}
    told = await refused(archive_from({**files, KEYS: encode(keys)}), tmp_path)
    assert "not those of the log" in told or "a class of another form" in told


async def test_texts_that_are_gone_without_a_receipt_are_refused(small: bytes, tmp_path: Path) -> None:
    files = files_of(small)
    records = records_in(files[COMMITS])
    assert len(records[2]) == 2, "the long value that the commit before is the first to have"
    records[3][2] = None
    told = await refused(archive_from({**files, COMMITS: records_from(records)}), tmp_path)
    assert "no receipt says that they were erased" in told
    records[3][1:] = None, None
    told = await refused(archive_from({**files, COMMITS: records_from(records)}), tmp_path)
    assert "no receipt says that it was collected" in told


async def test_bodies_that_are_gone_without_a_receipt_are_refused_even_where_they_stay_in_the_archive(
    tmp_path: Path,
) -> None:
    files = files_of(await archive_of(await sealed_store(tmp_path / "one")))
    files[MANIFEST] = manifest_bytes({**json.loads(files[MANIFEST]), "note": "", "key": ""})
    records = records_in(files[EVENTS])
    for at, record in enumerate(records):
        if record[1] is not None:
            other = [*records[:at], [record[0], None, record[2]], *records[at + 1 :]]
            told = await refused(archive_from({**files, EVENTS: records_from(other)}), tmp_path)
            assert told == f"event {at} of the archive: has no body, and no receipt says that it was erased"


async def test_a_bundle_of_another_epoch_or_a_damaged_one_is_refused(tmp_path: Path) -> None:
    files = files_of(await archive_of(await sealed_store(tmp_path / "one")))
    other = files_of(await archive_of(await sealed_store(tmp_path / "two")))
    files[MANIFEST] = manifest_bytes({**json.loads(files[MANIFEST]), "note": "", "key": ""})
    name = "bundles/000001.zip"
    parts = {part: bytes(data) for part, data in opened_archive(files[name]).items()}
    changed = {**parts, "commits.cborseq": parts["commits.cborseq"][:-1] + b"\x00"}
    for bundle in (
        b"".join(archive(changed)),
        other[name],
        files[name][:-1],
        files[name].replace(b"epoch", b"epocH", 1),
        b"",
    ):
        assert name in await refused(archive_from({**files, name: bundle}), tmp_path)


async def test_a_signature_covers_all_that_is_in_the_archive(tmp_path: Path) -> None:
    files = files_of(await archive_of(await sealed_store(tmp_path / "one")))
    manifest = json.loads(files[MANIFEST])
    keys = {**decode_block(files[KEYS]), "level_salt": "11" * 32}
    assert "signature of something else" in await refused(archive_from({**files, KEYS: encode(keys)}), tmp_path)
    note = manifest["note"]
    other = {**manifest, "note": note[:-8] + ("A" if note[-8] != "A" else "B") + note[-7:]}
    told = await refused(archive_from({**files, MANIFEST: manifest_bytes(other)}), tmp_path)
    assert "signature" in told
