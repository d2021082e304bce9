"""Verify an evidence bundle: one sealed epoch of an asg-mcp store, exported by `asg-mcp export`.

    python verify.py BUNDLE [--key KEY] [--json] [--strict]

It needs Python 3.10 or newer and nothing else: no network, no database, no package. Nothing in the bundle is run or
believed. KEY is the public key of the log (a line NAME+ID+KEY, or a file with it) as you got it by another way than
with the bundle; without it, whose signature it is cannot be proved. Take this program, too, by another way than
with the bundle: `asg-mcp` installs it, and a forged bundle may carry a forged one.

Exit code: 0 nothing is violated (with --strict: and all is proved); 1 something is violated; 2 the command line was
not understood; 3 the file is no bundle that this program reads; 4 --strict, and something is not proved.

What is in a bundle (a zip file, stored, in this order), and what is hashed, in short:

    report.html           a page for a person                                                  derived
    manifest.json         what each file is                                                    derived
    checkpoint-open.txt   size and root of the log at the opening, signed (C2SP signed note)
    checkpoint-seal.txt   the same with the seal as the last event
    key.txt               the public key that the store says is its own
    log.json              epoch, first event, opening, size; the hashes of the complete subtrees before the first event
    events.cborseq        the headers of all events from the first to the seal, one DAG-CBOR item each
    commits.cborseq       [header, operations, [salt, body]] of each commit of those events; of members alone with
                          operations and body; a body that was erased is null
    bodies.cborseq        [index, [salt, body]] of the events that are about this epoch
    values.cborseq        [salt, value] of each value that members wrote; where it was erased, its id
    context.cborseq       [event, commit header, [salt, body], proof] of what came before and links a member to a root
    objects.car           the tree nodes of the state of each member (CARv1)
    proofs.json           inclusion of each member's event, consistency of the two checkpoints      derived
    seal.tlog-proof       inclusion of the seal (C2SP tlog-proof)                                   derived
    audit.jsonl           field names of draft-sharif-agent-audit-trail (a mapping, not conformance)   derived
    verify.py             this program

    id (of a value, node, commit, body) = CIDv1 (dag-cbor, blake3) of canonical DAG-CBOR
    value id = id of [salt, value]      body = id of [salt, body]      commit = id of its header
    leaf of the log = SHA-256(0x00, event header)      node of the log = SHA-256(0x01, left, right)

What is derived is made again here from what is proved, and must be equal byte for byte.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import html
import json
import math
import mmap
import os
import re
import struct
import sys
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256, sha512
from typing import Any, NamedTuple

FORMAT = 1
"""Of the bundle. Another one is read by the verify.py of that format."""
EARLIER_VERIFIERS: tuple[str, ...] = ()
"""SHA-256 of published versions of this file for the same format: bundles that carry one are not forged for that."""

Bytes = Any
"""bytes or memoryview."""

ARCHIVE_BYTES_MAX = 4_000_000_000
"""Where zip needs another form. Everything is stored, never compressed, so nothing unpacks to more than it is."""
DEPTH_MAX = 200
"""Levels of one item: values have at most 128."""
ITEMS_MAX = 20_000_000
"""Events of one bundle; about 150 bytes of memory each."""
FAULTS_SHOWN_MAX = 10

WHAT = {
    "report.html": "a page for a person: what happened, by whom, why, on whose authority; derived",
    "manifest.json": "what each file is; derived",
    "checkpoint-open.txt": "the log at the opening of the epoch: a signed checkpoint (C2SP)",
    "checkpoint-seal.txt": "the log with the seal as its last event: a signed checkpoint (C2SP)",
    "key.txt": "the public key that the store says is its own; compare it with what you got by another way",
    "log.json": "which part of the log this is, and the hashes of what is before it",
    "events.cborseq": "the header of every event from the first to the seal: canonical DAG-CBOR, one item each",
    "commits.cborseq": "[header, operations, [salt, body]] of every commit in it; all of a member, the header of others",
    "bodies.cborseq": "[index, [salt, body]] of the events about this epoch",
    "values.cborseq": "[salt, value] of every value that members wrote, or the id of one that was erased",
    "context.cborseq": "what came before the first event and links a member to a root intent, each with its proof",
    "objects.car": "the tree nodes of the state of every member (CARv1)",
    "proofs.json": "inclusion of every member's event, consistency of the checkpoints (RFC 6962); derived",
    "seal.tlog-proof": "inclusion of the seal with the checkpoint in one file (C2SP tlog-proof); derived",
    "audit.jsonl": "the same in the field names of draft-sharif-agent-audit-trail, a mapping; derived",
    "verify.py": "the program that verifies all this; take it by another way than with the bundle",
}
NAMES = tuple(WHAT)
DERIVED = ("proofs.json", "seal.tlog-proof", "audit.jsonl", "report.html", "manifest.json")

PROPERTIES = {
    "P1": ("coverage", "headers bind all there is about a change: intent, authority, agent, parents, root, times"),
    "P2": ("state", "the root of every member's state is made again from the exported objects"),
    "P3": ("order", "events have numbers without gaps, parents precede children, refs move from where they were"),
    "P4": ("completeness", "every header from the first event to the seal is here, and the members are all of them"),
    "P5": ("truncation", "nothing was cut off: the log was signed at the size that ends with the seal"),
    "P6": ("sealed", "nothing was written to the epoch after its seal"),
    "P7": ("non-equivocation", "nobody is shown another log"),
    "P8": ("time", "when it happened is vouched for by somebody else"),
    "P9": ("authenticity", "the checkpoints are signed by the log's key"),
    "P10": ("attribution", "who did it: principal, agent and client"),
    "P11": ("redaction", "what was erased is marked as withheld, and all ids and proofs stand"),
    "P12": ("selective disclosure", "each value shown is the one that was committed to, under its salt"),
    "P13": ("independence", "verified without the program, the database or a network"),
    "P14": ("determinism", "the same store gives these very bytes"),
}
PROVED, NOT_PROVED, VIOLATED = "proved", "not proved", "violated"
OK, BROKEN, USAGE, UNREADABLE, UNPROVED = 0, 1, 2, 3, 4
NONSENSE = (KeyError, TypeError, ValueError, IndexError, AttributeError, RecursionError, OverflowError, struct.error)
"""What wrong types in a forged file can raise."""


class Unreadable(Exception):
    """The file is no bundle of this format."""


class Malformed(Exception):
    """A file of the bundle is not in its form; says where."""


# --- BLAKE3 (https://github.com/BLAKE3-team/BLAKE3-specs) ---------------------------
# The four columns of the state are worked on at once: a row is one integer of four 64-bit lanes with 32 bits in each.

_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_PERMUTATION = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_LANES = 0x00000000FFFFFFFF_00000000FFFFFFFF_00000000FFFFFFFF_00000000FFFFFFFF
_ONE, _TWO, _THREE = (1 << 64) - 1, (1 << 128) - 1, (1 << 192) - 1
_CHUNK_START, _CHUNK_END, _PARENT, _ROOT = 1, 2, 4, 8
_CHUNK_BYTES, _BLOCK_BYTES = 1024, 64
_WORDS = struct.Struct("<16I")
_EIGHT = struct.Struct("<8I")
_ROW = struct.Struct("<4Q")


def _row(a: int, b: int, c: int, d: int) -> int:
    return a | b << 64 | c << 128 | d << 192


def _schedules() -> list[tuple[int, ...]]:
    order = tuple(range(16))
    orders = []
    for _ in range(7):
        # Each round takes its words in the order: x of the columns, y of the columns, x and y of the diagonals.
        orders.append(order[0:8:2] + order[1:8:2] + order[8:16:2] + order[9:16:2])
        order = tuple(order[at] for at in _PERMUTATION)
    return orders


_SCHEDULES = _schedules()
_IV_ROW = _row(*_IV[:4])


def _compress(chain: tuple[int, ...], block: Bytes, counter: int, length: int, flags: int) -> tuple[int, ...]:
    """The chaining value after one block of 64 bytes: eight 32-bit words."""
    words = _WORDS.unpack(block)
    a, b, c = _row(*chain[:4]), _row(*chain[4:]), _IV_ROW
    d = _row(counter & 0xFFFFFFFF, counter >> 32, length, flags)
    for s in _SCHEDULES:
        m = [words[at] for at in s]
        for x, y in ((0, 4), (8, 12)):
            a = (a + b + _row(m[x], m[x + 1], m[x + 2], m[x + 3])) & _LANES
            d ^= a
            d = (d >> 16 | d << 16) & _LANES
            c = (c + d) & _LANES
            b ^= c
            b = (b >> 12 | b << 20) & _LANES
            a = (a + b + _row(m[y], m[y + 1], m[y + 2], m[y + 3])) & _LANES
            d ^= a
            d = (d >> 8 | d << 24) & _LANES
            c = (c + d) & _LANES
            b ^= c
            b = (b >> 7 | b << 25) & _LANES
            # From columns to diagonals and, the second time, back.
            if x == 0:
                b, c, d = b >> 64 | (b & _ONE) << 192, c >> 128 | (c & _TWO) << 128, d >> 192 | (d & _THREE) << 64
            else:
                b, c, d = b >> 192 | (b & _THREE) << 64, c >> 128 | (c & _TWO) << 128, d >> 64 | (d & _ONE) << 192
    low, high = (a ^ c).to_bytes(32, "little"), (b ^ d).to_bytes(32, "little")
    return (*_ROW.unpack(low), *_ROW.unpack(high))


def _chunk(data: Bytes, counter: int, root: int) -> tuple[int, ...]:
    chain: tuple[int, ...] = _IV
    flags, last = _CHUNK_START, max(len(data) - 1, 0) // _BLOCK_BYTES
    for number in range(last + 1):
        block = bytes(data[number * _BLOCK_BYTES : (number + 1) * _BLOCK_BYTES])
        if number == last:
            flags |= _CHUNK_END | root
        chain = _compress(chain, block.ljust(_BLOCK_BYTES, b"\0"), counter, len(block), flags)
        flags = 0
    return chain


def blake3(data: Bytes) -> bytes:
    """BLAKE3-256 of the bytes, about 2 MB/s."""
    if len(data) <= _CHUNK_BYTES:
        return _EIGHT.pack(*_chunk(data, 0, _ROOT))
    stack: list[tuple[int, ...]] = []
    chunks = (len(data) + _CHUNK_BYTES - 1) // _CHUNK_BYTES
    for number in range(chunks):
        chain = _chunk(data[number * _CHUNK_BYTES : (number + 1) * _CHUNK_BYTES], number, 0)
        done = number + 1
        while not done & 1 and done and number + 1 < chunks:
            chain = _parent(stack.pop(), chain, 0)
            done >>= 1
        stack.append(chain)
    chain = stack.pop()
    while stack:
        chain = _parent(stack.pop(), chain, 0 if stack else _ROOT)
    return _EIGHT.pack(*chain)


def _parent(left: tuple[int, ...], right: tuple[int, ...], root: int) -> tuple[int, ...]:
    return _compress(_IV, _WORDS.pack(*left, *right), 0, _BLOCK_BYTES, _PARENT | root)


# --- Ed25519 (RFC 8032) --------------------------------------------------------------

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]
_IDENTITY: _Point = (0, 1, 1, 0)


def _add(p: _Point, q: _Point) -> _Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % _P, (p[1] + p[0]) * (q[1] + q[0]) % _P
    c, d = 2 * p[3] * q[3] * _D % _P, 2 * p[2] * q[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _point(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = _P - x if x & 1 != sign else x
    return x, y, 1, x * y % _P


def _times_two(a: int, p: _Point, b: int, q: _Point) -> _Point:
    """a·p + b·q."""
    both, out = _add(p, q), _IDENTITY
    for bit in range(max(a.bit_length(), b.bit_length()) - 1, -1, -1):
        out = _add(out, out)
        which = (a >> bit & 1) | (b >> bit & 1) << 1
        if which:
            out = _add(out, (p, q, both)[which - 1])
    return out


def ed25519_holds(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether the signature is that of the key over the message. Keys of small order are refused."""
    if len(public) != 32 or len(signature) != 64:
        return False
    key, s = _point(public), int.from_bytes(signature[32:], "little")
    base = _point((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))
    if key is None or base is None or s >= _ORDER:
        return False
    eight = _times_two(8, key, 0, key)
    if eight[0] % _P == 0 and (eight[1] - eight[2]) % _P == 0:
        return False
    k = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % _ORDER
    x, y, z, _ = _times_two(s, base, _ORDER - k, key)
    inverse = pow(z, _P - 2, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


# --- DAG-CBOR, strictly: one form for each item ----------------------------------------

_CID_PREFIX = b"\x01\x71\x1e\x20"
_CID_BYTES = 36


class Link(bytes):
    """An id as it is in an item: a binary CID of 36 bytes."""

    @property
    def digits(self) -> str:
        """The 64 hex digits of its digest."""
        return bytes(self[4:]).hex()


class Cbor:
    """Reads items one after the other and refuses whatever is not canonical. `at` is where the next one begins."""

    def __init__(self, data: Bytes, name: str) -> None:
        self.data, self.name, self.at = data, name, 0

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self.data)

    def fault(self, what: str) -> Malformed:
        """The error for something that is wrong here."""
        return Malformed(f"{self.name}, byte {self.at}: {what}")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > len(self.data) - self.at:
            raise self.fault("cut off")
        self.at += size
        return bytes(self.data[self.at - size : self.at])

    def head(self) -> tuple[int, int, int]:
        """Major type, additional information, argument."""
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if info < 24:
            return major, info, info
        if info > 27:
            raise self.fault("an indefinite length")
        argument = int.from_bytes(self.take(1 << info - 24), "big")
        if major != 7 and argument < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise self.fault("a number that is not in its shortest form")
        return major, info, argument

    def items(self, expected: int) -> None:
        """The head of a list of so many."""
        major, _, count = self.head()
        if major != 4 or count != expected:
            raise self.fault(f"not a list of {expected}")

    def item(self, depth: int = 0) -> Any:
        """The next item: null, bool, int, float, str, Link, list or dict."""
        if depth > DEPTH_MAX:
            raise self.fault(f"nested more than {DEPTH_MAX} levels deep")
        major, info, argument = self.head()
        if major == 3:
            return self._text(argument)
        if major == 4:
            if argument > len(self.data) - self.at:
                raise self.fault("cut off")
            return [self.item(depth + 1) for _ in range(argument)]
        if major == 5:
            return self._map(argument, depth)
        if major in (0, 1):
            if argument >> 63:
                raise self.fault("an integer of more than 64 bits")
            return argument if major == 0 else -1 - argument
        if major == 6:
            return self._link(argument)
        if major == 7:
            return self._simple(info, argument)
        raise self.fault("a byte string outside a link")

    def _text(self, size: int) -> str:
        try:
            return self.take(size).decode()
        except UnicodeDecodeError:
            raise self.fault("text that is not UTF-8") from None

    def _map(self, count: int, depth: int) -> dict[str, Any]:
        if count > len(self.data) - self.at:
            raise self.fault("cut off")
        out: dict[str, Any] = {}
        before: tuple[int, bytes] = (-1, b"")
        for _ in range(count):
            major, _, size = self.head()
            if major != 3:
                raise self.fault("a key that is no text")
            key = self._text(size)
            order = (size, key.encode())
            if order <= before:
                raise self.fault("keys that are not in order, or twice")
            before = order
            out[key] = self.item(depth + 1)
        return out

    def _link(self, tag: int) -> Link:
        if tag != 42 or self.take(3) != b"\x58\x25\x00":
            raise self.fault("a tag that is no link")
        cid = self.take(_CID_BYTES)
        if not cid.startswith(_CID_PREFIX):
            raise self.fault("a link to something else than DAG-CBOR by BLAKE3")
        return Link(cid)

    def _simple(self, info: int, argument: int) -> Any:
        if info in (20, 21, 22):
            return (False, True, None)[info - 20]
        if info != 27:
            raise self.fault("a float that has not 64 bits, or another simple value")
        number: float = struct.unpack(">d", argument.to_bytes(8, "big"))[0]
        if not math.isfinite(number) or (number == 0 and math.copysign(1, number) < 0):
            raise self.fault("a float that is no JSON number")
        return number


# --- the Merkle tree of RFC 6962 --------------------------------------------------------

EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(leaf: Bytes) -> bytes:
    """The hash of a leaf."""
    return sha256(b"\0" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node."""
    return sha256(b"\1" + left + right).digest()


def subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """(level, index) of the complete subtrees that make up leaves [start, end) of a tree, from the left."""
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            level = min(level, (start & -start).bit_length() - 1)
        yield level, start >> level
        start += 1 << level


class LogTree:
    """The tree of a log of which the leaves from `first` on are known, and of those before the complete subtrees."""

    def __init__(self, first: int, frontier: Sequence[bytes]) -> None:
        places = list(subtrees(0, first))
        if len(places) != len(frontier):
            raise Malformed(f"log.json: {len(frontier)} hashes before event {first}, where there are {len(places)}")
        self.first = first
        self.size = first
        self._nodes = dict(zip(places, frontier, strict=True))

    def add(self, leaf: bytes) -> None:
        """The next leaf, by its hash."""
        level, index = 0, self.size
        self._nodes[0, index] = leaf
        self.size += 1
        while index & 1 and (level, index - 1) in self._nodes:
            leaf = node_hash(self._nodes[level, index - 1], leaf)
            level, index = level + 1, index >> 1
            self._nodes[level, index] = leaf

    def leaf(self, index: int) -> bytes:
        """The hash of a known leaf."""
        return self._nodes[0, index]

    def _range(self, start: int, end: int) -> bytes:
        hashes = [self._nodes[place] for place in subtrees(start, end)]
        root = hashes.pop()
        while hashes:
            root = node_hash(hashes.pop(), root)
        return root

    def root(self, size: int) -> bytes:
        """The root of the first `size` leaves, not fewer than `first`."""
        return self._range(0, size) if size else EMPTY_ROOT

    def inclusion(self, index: int, size: int) -> list[bytes]:
        """The proof that leaf `index` is in the tree of the first `size`."""
        proof = []
        start, end = 0, size
        while end - start > 1:
            middle = start + (1 << (end - start - 1).bit_length() - 1)
            if index < middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        return proof[::-1]

    def consistency(self, old: int, new: int) -> list[bytes]:
        """The proof that the tree of the first `old` leaves is the beginning of that of the first `new`."""
        proof = []
        start, end = 0, new
        while end != old:
            middle = start + (1 << (end - start - 1).bit_length() - 1)
            if old <= middle:
                proof.append(self._range(middle, end))
                end = middle
            else:
                proof.append(self._range(start, middle))
                start = middle
        if start:
            proof.append(self._range(start, end))
        return proof[::-1]


def included(index: int, size: int, leaf: bytes, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows the leaf hash to be leaf `index` of the tree of this size and root."""
    position, last = index, size - 1
    if not 0 <= index < size:
        return False
    for sibling in proof:
        if not last:
            return False
        if position & 1 or position == last:
            leaf = node_hash(sibling, leaf)
            while not position & 1 and position:
                position, last = position >> 1, last >> 1
        else:
            leaf = node_hash(leaf, sibling)
        position, last = position >> 1, last >> 1
    return not last and leaf == root


def root_over(leaves: Iterable[bytes]) -> bytes:
    """The root over these leaves (their bytes)."""
    tree = LogTree(0, ())
    for leaf in leaves:
        tree.add(leaf_hash(leaf))
    return tree.root(tree.size)


# --- C2SP signed notes and checkpoints ---------------------------------------------------


class Key(NamedTuple):
    """A public key and the name it signs under."""

    name: str
    id: bytes
    public: bytes

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64(b'%c' % 1 + self.public)}"


class Checkpoint(NamedTuple):
    """A log at one size."""

    origin: str
    size: int
    root: bytes


def b64(data: bytes) -> str:
    """Base64 as text."""
    return base64.b64encode(data).decode()


def unb64(text: str) -> bytes:
    """The bytes of base64 in its one spelling. Raises ValueError."""
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if b64(data) != text:
        raise ValueError("base64 in another spelling")
    return data


def parse_key(text: str) -> Key:
    """The key that a line NAME+ID+KEY is. Raises ValueError."""
    parts = text.strip("\n").split("+", 2)
    if len(parts) != 3 or not re.fullmatch(r"[0-9a-f]{8}", parts[1]):
        raise ValueError("a key is NAME+ID+KEY")
    name, raw = parts[0], unb64(parts[2])
    if len(raw) != 33 or raw[:1] != b"\1" or re.search(r"[\s+]", name) or not name:
        raise ValueError("not an Ed25519 key")
    if sha256(name.encode() + b"\n" + raw).digest()[:4].hex() != parts[1]:
        raise ValueError("the key has another id than it says")
    return Key(name, bytes.fromhex(parts[1]), raw[1:])


def opened_note(data: bytes, key: Key) -> Checkpoint:
    """The checkpoint in a note that has one signature, which holds under the key. Raises ValueError."""
    whole = data.decode()
    text, mark, below = whole.rpartition("\n\n")
    lines = below.split("\n")
    if not mark or len(lines) != 2 or lines[1] or re.search(r"[\x00-\x09\x0b-\x1f]", whole):
        raise ValueError("it is not a text, an empty line and one signature")
    text += "\n"
    parts = lines[0].split(" ")
    if len(parts) != 3 or parts[0] != "\N{EM DASH}":
        raise ValueError("its signature line has another form")
    raw = unb64(parts[2])
    if parts[1] != key.name or raw[:4] != key.id:
        raise ValueError("it is signed by another key than key.txt")
    if not ed25519_holds(key.public, text.encode(), raw[4:]):
        raise ValueError("its signature does not hold")
    return parse_checkpoint(text)


def parse_checkpoint(text: str) -> Checkpoint:
    """The checkpoint that a note's text is. Raises ValueError."""
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not re.fullmatch(r"0|[1-9][0-9]{0,18}", lines[1]):
        raise ValueError("its text is not origin, size and root")
    root = unb64(lines[2])
    if len(root) != 32:
        raise ValueError("its root has not 32 bytes")
    return Checkpoint(lines[0], int(lines[1]), root)
