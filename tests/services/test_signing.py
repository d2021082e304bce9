"""The log's key: one a store, made on first use, read by its owner alone; its signatures hold for what was signed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asg_mcp.core.merkle import leaf_hash
from asg_mcp.core.notes import Checkpoint, Note, Signature, VerifierKey, format_private_key, parse_note
from asg_mcp.errors import InvalidInput, StorageError
from asg_mcp.services.signing import KeyFile, is_signed

LOG = "asg-mcp/0123456789abcdef0123456789abcdef"
TEXT = Checkpoint(LOG, 7, leaf_hash(b"")).text

RFC_SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
RFC_PUBLIC = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
RFC_SIGNATURE = (
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
    "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
"""RFC 8032, section 7.1, test 1: the signature of the empty message."""

MAKE = """
import sys
from pathlib import Path
from asg_mcp.services.signing import KeyFile
sys.stdin.readline()
sys.stdout.write(str(KeyFile(Path(sys.argv[1])).key(sys.argv[2])))
"""


def test_a_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state.db.key")
    key = file.key(LOG)
    text = file.path.read_text()
    assert text.startswith(f"PRIVATE+KEY+{LOG}+{key.key_id.hex()}+")
    assert file.key(LOG) == KeyFile(file.path).key(LOG) == key
    assert file.path.read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["state.db.key"]
    if os.name == "posix":
        assert stat.S_IMODE(file.path.stat().st_mode) == 0o600


def test_a_signature_holds_for_its_text_and_its_key_alone(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state.db.key")
    key, note = file.key(LOG), file.sign(LOG, TEXT)
    assert parse_note(str(note).encode()) == note
    assert file.is_signed(note, key)
    assert not file.is_signed(replace(note, text=TEXT.replace("7", "8")), key)
    assert not file.is_signed(note, KeyFile(tmp_path / "other.key").key(LOG))
    assert not file.is_signed(replace(note, signatures=()), key)


def test_one_false_signature_of_a_key_spoils_the_note(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state.db.key")
    key, note = file.key(LOG), file.sign(LOG, TEXT)
    false = Signature(LOG, key.key_id, b"s" * 64)
    assert not is_signed(Note(TEXT, (*note.signatures, false)), key)
    assert not is_signed(Note(TEXT, (false, *note.signatures)), key)
    assert is_signed(Note(TEXT, (Signature("witness", b"1234", b"s"), *note.signatures)), key)


def test_a_signature_is_that_of_rfc_8032() -> None:
    key = VerifierKey("rfc", bytes.fromhex(RFC_PUBLIC))
    assert is_signed(Note("", (Signature("rfc", key.key_id, bytes.fromhex(RFC_SIGNATURE)),)), key)


def test_threads_that_make_the_key_at_once_end_with_one(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state.db.key")
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: file.key(LOG), range(32)))
    assert keys == {file.key(LOG)}
    assert [path.name for path in tmp_path.iterdir()] == ["state.db.key"]


def test_processes_that_make_the_key_at_once_end_with_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db.key"
    makers = [
        subprocess.Popen(
            [sys.executable, "-c", MAKE, str(path), LOG], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for maker in makers:
        assert maker.stdin is not None
        maker.stdin.write("\n")
        maker.stdin.flush()
    keys = {maker.communicate(timeout=60)[0] for maker in makers}
    assert keys == {str(KeyFile(path).key(LOG))}


@pytest.mark.skipif(os.name != "posix", reason="only POSIX has modes")
def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state.db.key")
    file.key(LOG)
    file.path.chmod(0o640)
    with pytest.raises(StorageError, match="chmod 600"):
        file.sign(LOG, TEXT)


@pytest.mark.parametrize("damage", ["cut", "empty", "other seed", "no key"])
def test_a_damaged_key_is_refused_and_stays_as_it_is(tmp_path: Path, damage: str) -> None:
    file = KeyFile(tmp_path / "state.db.key")
    file.key(LOG)
    text = file.path.read_text()
    public = Ed25519PrivateKey.from_private_bytes(b"s" * 32).public_key().public_bytes_raw()
    other = format_private_key(LOG, b"s" * 32, public).split("+", 4)[4]
    damaged = {
        "cut": text[:-9],
        "empty": "",
        "other seed": "+".join([*text.split("+", 4)[:4], other]),
        "no key": "x",
    }
    file.path.write_text(damaged[damage])
    with pytest.raises(StorageError, match=r"state\.db\.key") as refused:
        file.key(LOG)
    assert text.strip()[-20:] not in str(refused.value)
    assert file.path.read_text() == damaged[damage]


def test_the_key_of_another_log_is_refused(tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "state.db.key")
    file.key(LOG)
    with pytest.raises(StorageError, match="is the key of the log"):
        file.sign("asg-mcp/other", TEXT)


def test_a_place_without_a_folder_and_a_name_without_form_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be used"):
        KeyFile(tmp_path / "none" / "state.db.key").key(LOG)
    with pytest.raises(InvalidInput):
        KeyFile(tmp_path / "state.db.key").key("a b")
    assert list(tmp_path.iterdir()) == []
