"""A reader of C2SP notes, checkpoints and tlog-proofs, and of RFC 6962 proofs, that knows nothing of this project.

Written from the specifications alone (c2sp.org/signed-note, /tlog-checkpoint, /tlog-proof; RFC 9162, 2.1.3 and 2.1.4),
with signatures checked by another library than the verifier's own code.
"""

from __future__ import annotations

from base64 import b64decode
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def open_note(note: str, vkey: str) -> str:
    """The text of a note that the key signed."""
    name, key_id, key = vkey.split("+", 2)
    raw = b64decode(key)
    assert raw[0] == 1
    assert sha256(name.encode() + b"\n" + raw).digest()[:4].hex() == key_id
    split = note.rindex("\n\n")
    text, signatures = note[: split + 1], note[split + 2 :].splitlines()
    for line in signatures:
        dash, signer, signature = line.split(" ")
        blob = b64decode(signature)
        if dash == "—" and signer == name and blob[:4].hex() == key_id:
            Ed25519PublicKey.from_public_bytes(raw[1:]).verify(blob[4:], text.encode())
            return text
    raise AssertionError("not signed by the key")


def tree_head(text: str) -> tuple[str, int, bytes]:
    """Origin, size and root."""
    origin, size, root = text.splitlines()[:3]
    return origin, int(size), b64decode(root)


def tlog_proof(text: str) -> tuple[int, list[bytes], str]:
    """Index, hashes and checkpoint of a tlog-proof."""
    head, checkpoint = text.split("\n\n", 1)
    first, index, *hashes = head.split("\n")
    assert first == "c2sp.org/tlog-proof@v1"
    assert index.startswith("index ")
    return int(index[6:]), [b64decode(line) for line in hashes], checkpoint


def check_inclusion(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    """RFC 9162, 2.1.3.2."""
    if index >= size:
        return False
    fn, sn, r = index, size - 1, leaf
    for p in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            r = sha256(b"\x01" + p + r).digest()
            if not fn & 1:
                while fn and not fn & 1:
                    fn, sn = fn >> 1, sn >> 1
        else:
            r = sha256(b"\x01" + r + p).digest()
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and r == root


def check_consistency(first: int, second: int, first_root: bytes, second_root: bytes, path: list[bytes]) -> bool:
    """RFC 9162, 2.1.4.2, for 0 < first < second."""
    if first & (first - 1) == 0:
        path = [first_root, *path]
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = sha256(b"\x01" + c + fr).digest(), sha256(b"\x01" + c + sr).digest()
            if not fn & 1:
                while fn and not fn & 1:
                    fn, sn = fn >> 1, sn >> 1
        else:
            sr = sha256(b"\x01" + sr + c).digest()
        fn, sn = fn >> 1, sn >> 1
    return fr == first_root and sr == second_root and sn == 0
