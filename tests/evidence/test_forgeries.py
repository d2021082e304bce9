"""Whoever has a bundle and every program, but not the key, cannot change it unseen; and the right property is named."""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random

import anyio
import pytest

from asg_mcp.evidence import verify as v
from asg_mcp.services.bundles import Bundle, verifier_source
from tests.evidence.forging import (
    ARCHIVE,
    MUTATIONS,
    NOTHING_BYTES_MAX,
    RAW_OF,
    Forger,
    archived,
    change_and_rechain,
    forged,
    mutate_bytes,
    rederived,
    verdict,
)
from tests.evidence.histories import random_bundle

OWN = verifier_source()
BUNDLES = 12
FORGERIES = 500


@dataclass(frozen=True)
class Sample:
    """A clean bundle."""

    made: Bundle
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Clean bundles of random histories."""
    found = []
    for seed in range(BUNDLES):
        made = anyio.run(random_bundle, tmp_path_factory.mktemp("history"), seed)
        found.append(Sample(made, {name: bytes(data) for name, data in v.opened_archive(made.data).items()}))
    return found


def test_clean_bundles_of_random_histories_have_no_violation(samples: list[Sample]) -> None:
    for sample in samples:
        assert verdict(sample.made.data, sample.made.key, OWN) == set()
        assert verdict(sample.made.data, "", OWN) == set()


def test_every_forgery_is_rejected_with_the_right_property_named(samples: list[Sample]) -> None:
    random, made = Random(4), Counter[str]()
    for number in range(FORGERIES):
        sample = samples[number % BUNDLES]
        name, data, wanted = forged(sample.files, sample.made.data, random)
        found = verdict(data, sample.made.key, OWN)
        assert found & wanted, (number, name, found, wanted)
        assert name != "bytes of the archive" or found == ARCHIVE
        made[name] += 1
    assert len(made) > 35


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.__name__)
def test_a_forgery_of_each_kind_is_rejected(samples: list[Sample], mutation: object) -> None:
    tried = 0
    for sample in samples:
        forger = Forger(sample.files, Random(7))
        assert callable(mutation)
        wanted = mutation(forger)
        if wanted is not None and forger.files != sample.files:
            found = verdict(archived(rederived(forger.files)), sample.made.key, OWN)
            assert found & wanted, (found, wanted)
            tried += 1
    assert tried


@pytest.mark.parametrize("name", v.NAMES)
def test_changed_bytes_of_each_file_are_found_where_they_are(samples: list[Sample], name: str) -> None:
    for number, sample in enumerate(samples[:4]):
        data = mutate_bytes(sample.files[name], Random(number))
        if data != sample.files[name]:
            found = verdict(archived({**sample.files, name: data}), sample.made.key, OWN)
            assert found & RAW_OF[name], found


def test_a_story_rewritten_with_every_hash_is_caught_by_the_signature_alone(samples: list[Sample]) -> None:
    """The control: under the forger's key it has no fault but whose key that is. So the forgeries are well made."""
    rewritten = 0
    for sample in samples:
        forger = Forger(sample.files, Random(1))
        if forger.files["context.cborseq"] or not change_and_rechain(forger):
            continue  # what is linked by proofs from before would need the whole log to be made again
        unsigned = archived(rederived(forger.files))
        forger.sign()
        signed = archived(rederived(forger.files))
        assert verdict(unsigned, sample.made.key, OWN) == {"P9"}
        assert verdict(signed, sample.made.key, OWN) == {"P9"}
        assert verdict(signed, "", OWN) == set()
        files = v.opened_archive(signed)
        assert v.verify(files, None, OWN).findings.status("P9") == v.NOT_PROVED
        rewritten += 1
    assert rewritten > 3


# --- hostile archives ---------------------------------------------------------------


def repacked(files: dict[str, bytes], change: str) -> bytes:
    """The files in a zip of another form."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED if change == "compressed" else zipfile.ZIP_STORED) as packed:
        for name, data in files.items():
            packed.writestr(name, data)
        if change == "a file more":
            packed.writestr("more.txt", "unknown")
        if change == "a path that leads out":
            packed.writestr("../../evil.py", "evil")
        if change == "a bomb":
            packed.writestr("bomb", bytes(10_000_000), zipfile.ZIP_DEFLATED)
    return out.getvalue()


@pytest.mark.parametrize(
    "change", ["repacked", "compressed", "a file more", "a path that leads out", "a bomb", "a file less"]
)
def test_a_zip_of_any_other_form_is_refused_unread(samples: list[Sample], change: str) -> None:
    files = dict(samples[0].files)
    if change == "a file less":
        files.pop("audit.jsonl")
    assert verdict(repacked(files, change), "", OWN) == ARCHIVE


def test_a_name_that_is_there_twice_or_in_another_order_is_refused(samples: list[Sample]) -> None:
    whole = samples[0].made.data
    second = whole.index(b"PK\x03\x04", 4)
    assert verdict(whole[:second] + whole, "", OWN) == ARCHIVE
    assert verdict(whole[second:] + whole[:second], "", OWN) == ARCHIVE
    assert verdict(b"#!/bin/sh\n" + whole, "", OWN) == ARCHIVE
    assert verdict(whole + b"\0", "", OWN) == ARCHIVE


@pytest.mark.parametrize("damage", ["a bit flipped", "cut off in the middle", "the last byte cut off", "a byte more"])
def test_damage_to_the_archive_is_a_violation_and_proves_nothing_else(
    samples: list[Sample], damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, file = samples[0].made.data, tmp_path / "b.zip"
    at = whole.index(samples[0].files["objects.car"])
    data = {
        "a bit flipped": whole[:at] + bytes((whole[at] ^ 4,)) + whole[at + 1 :],
        "cut off in the middle": whole[: len(whole) // 2],
        "the last byte cut off": whole[:-1],
        "a byte more": whole + b"\0",
    }[damage]
    file.write_bytes(data)
    assert v.main([str(file), "--key", samples[0].made.key]) == v.BROKEN
    text = capsys.readouterr()
    assert "P14  determinism           violated    the archive is not as it was made: " in text.out
    assert "0 proved, 13 not proved, 1 violated" in text.out
    assert "not looked at: the archive is damaged" in text.out
    assert not text.err
    assert v.main([str(file), "--json"]) == v.BROKEN
    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert {one["id"] for one in told["properties"] if one["status"] == v.VIOLATED} == ARCHIVE
    assert {one["status"] for one in told["properties"]} == {v.VIOLATED, v.NOT_PROVED}


def test_every_flipped_bit_and_every_length_of_a_cut_name_a_property(samples: list[Sample]) -> None:
    whole, random = samples[0].made.data, Random(9)
    for _ in range(200):
        at, flipped = random.randrange(len(whole)), bytearray(whole)
        flipped[at] ^= 1 << random.randrange(8)
        assert verdict(bytes(flipped), "", OWN) == ARCHIVE
        assert verdict(whole[: max(at, NOTHING_BYTES_MAX)], "", OWN) == ARCHIVE


@pytest.mark.parametrize("data", [b"", b"hello", b"PK", b"PK\x03\x04" + bytes(200), Random(1).randbytes(4_000)])
def test_a_file_that_was_never_a_bundle_is_called_none(
    data: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "other.zip"
    file.write_bytes(data)
    assert v.main([str(file)]) == v.UNREADABLE
    text = capsys.readouterr()
    assert not text.out
    assert text.err.startswith(f"{file} is no bundle of format 1: ")
    assert text.err.endswith(". Give the file that `asg-mcp export EPOCH -o FILE` wrote.\n")


def test_the_archive_of_a_repository_is_told_from_a_damaged_bundle(samples: list[Sample]) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("keys.cbor", b"keys")
        packed.writestr("bundles/000001.zip", samples[0].made.data)
    with pytest.raises(v.Unreadable, match="the archive of a whole repository"):
        verdict(out.getvalue(), "", OWN)


def test_a_file_that_is_missing_or_a_folder_is_said_to_be_that_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, why in ((tmp_path / "none.zip", "No such file or directory"), (tmp_path, "Is a directory")):
        assert v.main([str(path)]) == v.UNREADABLE
        said = capsys.readouterr()
        assert said.err == f"{path} cannot be read: {why}. Give the file that `asg-mcp export EPOCH -o FILE` wrote.\n"
        assert v.main([str(path), "--json"]) == v.UNREADABLE
        assert json.loads(capsys.readouterr().out) == {"ok": False, "unreadable": said.err.strip()}


def test_names_that_lead_out_of_a_folder_are_refused_in_both_directories(samples: list[Sample]) -> None:
    whole = samples[0].made.data
    assert verdict(whole.replace(b"report.html", b"../../x.exe"), "", OWN) == ARCHIVE
    last = whole.rindex(b"report.html")
    assert verdict(whole[:last] + b"../../x.exe" + whole[last + 11 :], "", OWN) == ARCHIVE


def test_a_standard_zip_program_reads_the_same_files(samples: list[Sample]) -> None:
    with zipfile.ZipFile(io.BytesIO(samples[0].made.data)) as packed:
        assert packed.testzip() is None
        assert {name: packed.read(name) for name in packed.namelist()} == samples[0].files
        assert tuple(packed.namelist()) == v.NAMES


def test_lies_about_sizes_take_neither_memory_nor_time(samples: list[Sample], tmp_path: Path) -> None:
    files = samples[0].files
    huge = {
        "events.cborseq": b"\x9b\x00\xff\xff\xff\xff\xff\xff\xff",
        "commits.cborseq": b"\x83" + b"\x81" * 5_000,
        "bodies.cborseq": b"\x82\x00\xbb\x00\x00\xff\xff\xff\xff\xff\xff",
        "objects.car": b"\xff\xff\xff\xff\x0f",
        "log.json": v.log_json("e", "", 0, 0, 2**63, []),
    }
    for name, data in huge.items():
        assert verdict(archived({**files, name: data}), samples[0].made.key, OWN) & RAW_OF[name]


def test_files_and_items_beyond_their_limits_are_refused_before_they_are_read(
    samples: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    files = samples[0].files
    swollen = archived({**files, "log.json": b"[" * (v.SMALL_BYTES_MAX + 1)})
    assert verdict(swollen, samples[0].made.key, OWN) == ARCHIVE
    assert verdict(samples[0].made.data, samples[0].made.key, OWN) == set()
    monkeypatch.setattr(v, "ITEM_BYTES_MAX", 100)
    assert verdict(samples[0].made.data, samples[0].made.key, OWN) == {"P4"}
