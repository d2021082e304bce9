"""The Go team's own packages for notes and transparent logs accept checkpoints and proofs, and refuse what was changed.

tests/evidence/c2sp has the program. `python -m tests.kit.client_packages` gets what it is made of; where that was not
to be had, or there is no Go, these tests are skipped and say why.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from asg_mcp.evidence import verify as v
from asg_mcp.services.bundles import Bundle, bundle
from asg_mcp.services.signing import KeyFile
from tests.evidence.forging import archived, items
from tests.evidence.histories import random_bundle
from tests.kit import client_packages
from tests.kit.processes import unmeasured_environment
from tests.services.epochs_desk import open_epoch_desk

SECONDS_MAX = 120
COMMITS = (4, 4, 1, 2, 1, 3)
"""Of each epoch of the log that grows, so that the tree has odd sizes, even ones and powers of two."""
SEEDS = (1, 2, 3, 9)
NOTES = ("checkpoint-open.txt", "checkpoint-seal.txt", "seal.tlog-proof")
Files = dict[str, bytes]


@dataclass(frozen=True)
class Sample:
    """A clean bundle, its key, and the file with the key that signed it."""

    files: Files
    key: str
    signer: KeyFile

    @property
    def origin(self) -> str:
        return self.key.split("+")[0]

    @property
    def proofs(self) -> Any:
        return json.loads(self.files["proofs.json"])

    def with_json(self, name: str, told: Any) -> Files:
        return {**self.files, name: json.dumps(told).encode()}

    def signed(self, name: str, *lines: str | int) -> Files:
        """With another checkpoint in a file, signed by the log's own key."""
        text = "".join(f"{line}\n" for line in lines)
        return {**self.files, name: str(self.signer.sign(self.origin, text)).encode()}


@dataclass(frozen=True)
class Checker:
    """The program."""

    path: Path
    folder: Path

    def check(self, files: Files, key: str) -> tuple[int, str]:
        """The exit code, and what was said."""
        file = self.folder / "bundle.zip"
        file.write_bytes(archived(files))
        done = subprocess.run(
            [self.path, file, key], capture_output=True, encoding="utf-8", timeout=SECONDS_MAX, check=False
        )
        return done.returncode, (done.stdout + done.stderr).strip()


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Checker:
    """The program, built from what is in the tree now, without the network."""
    try:
        home, go = client_packages.folder("go"), client_packages.go()
    except client_packages.Missing as missing:
        pytest.skip(f"Go's packages for notes and logs: {missing}")
    folder = tmp_path_factory.mktemp("c2sp")
    program = folder / ("c2spcheck.exe" if os.name == "nt" else "c2spcheck")
    environment = {**unmeasured_environment(), **client_packages.go_environment(home), "GOPROXY": "off"}
    done = subprocess.run(
        [go, "build", "-mod=readonly", "-buildvcs=false", "-o", program, "."],
        cwd=client_packages.GO_SOURCE,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return Checker(program, folder)


async def _grown(folder: Path) -> list[Sample]:
    """Bundles of one log as it grows."""
    found = []
    async with open_epoch_desk(folder) as desk:
        for number, commits in enumerate(COMMITS):
            await desk.open(f"e{number}")
            for _ in range(commits):
                await desk.commit()
            await desk.seal(f"e{number}")
            found.append(_sample(folder, await bundle(desk.repo, f"e{number}")))
    return found


def _sample(folder: Path, made: Bundle) -> Sample:
    files = {name: bytes(data) for name, data in v.opened_archive(made.data).items()}
    return Sample(files, made.key, KeyFile(folder / "state.db.key"))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    return anyio.run(_grown, tmp_path_factory.mktemp("log"))


def _bit(data: bytes, at: int, bit: int = 0) -> bytes:
    """The bytes with one bit flipped."""
    return data[:at] + bytes((data[at] ^ 1 << bit,)) + data[at + 1 :]


def _base64_bit(text: str, at: int, bit: int = 0) -> str:
    return b64encode(_bit(b64decode(text), at, bit)).decode()


# --- what is accepted ----------------------------------------------------------------------------------


def test_all_checkpoints_and_proofs_of_a_log_that_grows_are_accepted(checker: Checker, grown: list[Sample]) -> None:
    sizes = []
    for sample, commits in zip(grown, COMMITS, strict=True):
        told = sample.proofs
        assert len(told["inclusion"]) == commits
        # Besides, the seal is proved.
        accepted = (
            f"accepted: {sample.origin}, checkpoints of sizes {told['opening']['size']} and {told['seal']['size']}, "
            f"{commits + 1} proofs of inclusion, 1 of consistency"
        )
        assert checker.check(sample.files, sample.key) == (0, accepted)
        sizes.append(told["seal"]["size"])
    assert sizes == sorted({*sizes})
    assert {size % 2 for size in sizes} == {0, 1}
    assert any(size.bit_count() == 1 for size in sizes)


@pytest.mark.parametrize("seed", SEEDS)
def test_those_of_a_random_history_are_accepted(checker: Checker, tmp_path: Path, seed: int) -> None:
    sample = _sample(tmp_path, anyio.run(random_bundle, tmp_path, seed))
    code, told = checker.check(sample.files, sample.key)
    assert code == 0, told
    assert f"{len(sample.proofs['inclusion']) + 1} proofs of inclusion" in told


# --- what is refused: each kind is (what was changed, what must be said) ------------------------------


def _signatures(sample: Sample) -> Iterator[tuple[Files, str]]:
    for name in NOTES:
        before, _, signature = sample.files[name].decode().rstrip("\n").rpartition(" ")
        for at in (0, 3, 4, 35, 36, 67):
            note = f"{before} {_base64_bit(signature, at, at % 8)}\n"
            # The first four bytes are the key's id: with another one the signature is somebody else's.
            wanted = "note has no verifiable signatures" if at < 4 else "invalid signature for key"
            yield {**sample.files, name: note.encode()}, f"{name}: {wanted}"


def _texts(sample: Sample) -> Iterator[tuple[Files, str]]:
    for name in NOTES:
        note = sample.files[name]
        text = note[: note.rindex(b"\n\n")]
        # A tlog-proof has its checkpoint, the text of the note, behind an empty line.
        begin = text.index(b"\n\n") + 2 if name == "seal.tlog-proof" else 0
        for at in range(begin, len(text)):
            yield {**sample.files, name: _bit(note, at, at % 7)}, f"{name}: (invalid signature for|malformed note)"


def _hashes(sample: Sample) -> Iterator[tuple[Files, str]]:
    told = sample.proofs
    assert told["consistency"]
    for at, hash_ in enumerate(told["consistency"]):
        changed = [*told["consistency"][:at], _base64_bit(hash_, at, at % 8), *told["consistency"][at + 1 :]]
        files = sample.with_json("proofs.json", {**told, "consistency": changed})
        yield files, "proofs.json: consistency: invalid transparency proof"
    for entry in range(len(told["inclusion"])):
        for at in range(len(told["inclusion"][entry]["proof"])):
            told = sample.proofs
            proof = told["inclusion"][entry]["proof"]
            proof[at] = _base64_bit(proof[at], 31 - at, at % 8)
            wanted = f"proofs.json: inclusion of {told['inclusion'][entry]['index']}: invalid transparency proof"
            yield sample.with_json("proofs.json", told), wanted
    lines = sample.files["seal.tlog-proof"].decode().split("\n")
    for at in range(2, lines.index("")):
        changed = [*lines[:at], _base64_bit(lines[at], at), *lines[at + 1 :]]
        files = {**sample.files, "seal.tlog-proof": "\n".join(changed).encode()}
        yield files, "seal.tlog-proof: invalid transparency proof"


def _left_out(sample: Sample) -> Iterator[tuple[Files, str]]:
    told = sample.proofs
    files = sample.with_json("proofs.json", {**told, "consistency": told["consistency"][:-1]})
    yield files, "proofs.json: consistency: invalid transparency proof"
    told["inclusion"][0]["proof"].pop()
    yield sample.with_json("proofs.json", told), "proofs.json: inclusion of .*: invalid transparency proof"


def _leaves(sample: Sample) -> Iterator[tuple[Files, str]]:
    told, first = sample.proofs, json.loads(sample.files["log.json"])["first"]
    records = items(sample.files["events.cborseq"])
    for entry in range(len(told["inclusion"])):
        told = sample.proofs
        one = told["inclusion"][entry]
        index = one["index"]
        one["leaf"] = _base64_bit(one["leaf"], entry, entry % 8)
        yield sample.with_json("proofs.json", told), f"inclusion of {index}: invalid transparency proof"
        yield _with_record(sample, records, index - first), f"inclusion of {index}: the leaf is not the record's"
    yield _with_record(sample, records, len(records) - 1), "seal.tlog-proof: invalid transparency proof"


def _with_record(sample: Sample, records: list[bytes], at: int) -> Files:
    changed = [*records[:at], _bit(records[at], len(records[at]) - 1), *records[at + 1 :]]
    return {**sample.files, "events.cborseq": b"".join(changed)}


def _indexes(sample: Sample) -> Iterator[tuple[Files, str]]:
    for entry in range(len(sample.proofs["inclusion"])):
        for bit in range(4):
            told = sample.proofs
            told["inclusion"][entry]["index"] ^= 1 << bit
            index = told["inclusion"][entry]["index"]
            wanted = f"proofs.json: inclusion of {index}: (invalid transparency proof|.*invalid inputs)"
            yield sample.with_json("proofs.json", told), wanted
    spelled = sample.files["seal.tlog-proof"]
    index = sample.proofs["seal"]["size"] - 1
    for bit in range(4):
        changed = spelled.replace(b"\nindex %d\n" % index, b"\nindex %d\n" % (index ^ 1 << bit))
        wanted = "seal.tlog-proof: (invalid transparency proof|the bundle has no record)"
        yield {**sample.files, "seal.tlog-proof": changed}, wanted
    about = json.loads(sample.files["log.json"])
    about["first"] ^= 1
    yield sample.with_json("log.json", about), "the leaf is not the record's|the bundle has no record"


def _lies_of_the_signer(sample: Sample) -> Iterator[tuple[Files, str]]:
    told = sample.proofs
    (old, old_root), (size, root) = ((told[name]["size"], told[name]["root"]) for name in ("opening", "seal"))
    for files in (
        sample.signed("checkpoint-open.txt", sample.origin, old, _base64_bit(old_root, 9)),
        sample.signed("checkpoint-open.txt", sample.origin, old - 1, old_root),
        sample.signed("checkpoint-seal.txt", sample.origin, size, _base64_bit(root, 9)),
    ):
        yield files, "proofs.json: consistency: invalid transparency proof"
    yield sample.signed("checkpoint-seal.txt", sample.origin, f"0{size}", root), "malformed tree note"
    yield sample.signed("checkpoint-seal.txt", "another/log", size, root), 'the checkpoint is one of "another/log"'


@pytest.mark.parametrize(
    "changes",
    [_signatures, _texts, _hashes, _left_out, _leaves, _indexes, _lies_of_the_signer],
    ids=lambda changes: changes.__name__.strip("_"),
)
def test_what_was_changed_is_refused_where_it_is(
    checker: Checker, grown: list[Sample], changes: Callable[[Sample], Iterator[tuple[Files, str]]]
) -> None:
    sample = grown[-1]
    for files, wanted in changes(sample):
        assert files != sample.files
        code, told = checker.check(files, sample.key)
        assert (code, bool(re.search(f"^refused: .*({wanted})", told))) == (1, True), (wanted, told)


def test_another_logs_key_and_a_changed_one_are_refused(checker: Checker, grown: list[Sample], tmp_path: Path) -> None:
    sample = grown[0]
    other = str(KeyFile(tmp_path / "other.key").key(sample.origin))
    code, told = checker.check(sample.files, other)
    assert (code, told) == (1, "refused: checkpoint-open.txt: note has no verifiable signatures")
    name, key_id, key = sample.key.split("+", 2)
    assert checker.check(sample.files, f"{name}+{key_id}+{_base64_bit(key, 9)}")[0] == 1
