"""Verify an evidence bundle: one sealed epoch of an asg-mcp store, exported by `asg-mcp export`.

    python verify.py BUNDLE [--key KEY] [--seen CHECKPOINT]... [--json] [--strict]

It needs Python 3.10 or newer and nothing else: no network, no database, no package. Nothing in the bundle is run or
believed. KEY is the public key of the log (a line NAME+ID+KEY, or a file with it) as you got it by another way than
with the bundle; without it, whose signature it is cannot be proved. CHECKPOINT is a file with a signed checkpoint of
the log that somebody kept: of one log, all must agree. One that the bundle has itself proves nothing by agreeing, nor
does any without --key. Take this program, too, by another way than with the bundle: `asg-mcp` installs it, and a forged
bundle may carry a forged one.

Exit code: 0 nothing is violated (with --strict: and all is proved); 1 something is violated, or the bundle is damaged;
2 the command line was not understood, or Python is too old; 3 there is no such file, it cannot be read, or it is no
bundle at all; 4 --strict, and something is not proved.

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
    audit.jsonl           a mapping to draft-sharif-agent-audit-trail-06, not conformance   derived
    verify.py             this program

    id (of a value, node, commit, body) = CIDv1 (dag-cbor, blake3) of canonical DAG-CBOR
    value id = id of [salt, value]      body = id of [salt, body]      commit = id of its header
    leaf of the log = SHA-256(0x00, event header)      node of the log = SHA-256(0x01, left, right)

What is derived is made again here from what is proved, and must be equal byte for byte.
"""

import sys

if sys.hexversion < 0x030A0000:  # an older Python can read all of this file, and run it no further than here
    sys.stderr.write(f"verify.py needs Python 3.10 or newer, and this is Python {sys.version.split()[0]}.\n")
    sys.exit(2)

import argparse
import base64
import binascii
import html
import itertools
import json
import math
import mmap
import os
import re
import struct
import zlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from hashlib import sha256, sha512
from typing import Any, NamedTuple
from urllib.parse import quote

FORMAT = 1
"""Of the bundle. Another one is read by the verify.py of that format."""
EARLIER_VERIFIERS: tuple[str, ...] = ("f5d36ba7687fe1a853f6d394f1726e6681de969372a498bbb207dabd671a542f",)
"""SHA-256 of published versions of this file for the same format: bundles that carry one are not forged for that.
Their audit.jsonl has the form that it had then, see `earlier_audit_jsonl`."""

Bytes = Any
"""bytes or memoryview."""

ARCHIVE_BYTES_MAX = 4_000_000_000
"""Where zip needs another form. Everything is stored, never compressed, so nothing unpacks to more than it is."""
SMALL_BYTES_MAX = 1_000_000
"""Of the files that are read as a whole: checkpoints, key, log.json, and the program."""
SMALL = ("checkpoint-open.txt", "checkpoint-seal.txt", "key.txt", "log.json", "verify.py")
ITEM_BYTES_MAX = 256_000_000
"""Of one item, which is held in memory: a commit of 8 MB of one-byte values has the most, 48 bytes an entry."""
DEPTH_MAX = 200
"""Levels of one item: values have at most 128."""
ITEMS_MAX = 5_000_000
"""Events of one bundle; each takes about 500 bytes of memory."""
FAULTS_SHOWN_MAX = 10

WHAT = {
    "report.html": "a page for a person: what happened, by whom, why, on whose authority; derived",
    "manifest.json": "what each file is; derived",
    "checkpoint-open.txt": "the log at the opening of the epoch: a signed checkpoint (C2SP)",
    "checkpoint-seal.txt": "the log with the seal as its last event: a signed checkpoint (C2SP)",
    "key.txt": "the public key that the store says is its own; compare it with what you got by another way",
    "log.json": "which part of the log this is, and the hashes of what is before it",
    "events.cborseq": "the header of every event from the first to the seal: canonical DAG-CBOR, one item each",
    "commits.cborseq": "[header, operations, [salt, body]] of each commit in it; of others than members the header",
    "bodies.cborseq": "[index, [salt, body]] of the events about this epoch",
    "values.cborseq": "[salt, value] of every value that members wrote, or the id of one that was erased",
    "context.cborseq": "what came before the first event and links a member to a root intent, each with its proof",
    "objects.car": "the tree nodes of the state of every member (CARv1)",
    "proofs.json": "inclusion of every member's event, consistency of the checkpoints (RFC 6962); derived",
    "seal.tlog-proof": "inclusion of the seal with the checkpoint in one file (C2SP tlog-proof); derived",
    "audit.jsonl": "the same as records of draft-sharif-agent-audit-trail-06, a mapping, not conformance; derived",
    "verify.py": "the program that verifies all this; take it by another way than with the bundle",
}
EARLIER_WHAT = {
    **WHAT,
    "audit.jsonl": "the same in the field names of draft-sharif-agent-audit-trail, a mapping; derived",
}
"""For bundles that carry an earlier verifier."""
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


class Damaged(Unreadable):
    """The file is one in parts: cut off, changed, packed again, or with something more in it."""


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
        self._item_end = len(data)

    @property
    def more(self) -> bool:
        """Whether anything is left."""
        return self.at < len(self.data)

    def fault(self, what: str) -> Malformed:
        """The error for something that is wrong here."""
        return Malformed(f"{self.name}, byte {self.at}: {what}")

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > self._item_end - self.at:
            raise self.fault("cut off, or an item that is too large")
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
        self._item_end = len(self.data)
        major, _, count = self.head()
        if major != 4 or count != expected:
            raise self.fault(f"not a list of {expected}")

    def item(self, depth: int = 0) -> Any:
        """The next item: null, bool, int, float, str, Link, list or dict."""
        if depth > DEPTH_MAX:
            raise self.fault(f"nested more than {DEPTH_MAX} levels deep")
        if not depth:
            self._item_end = min(len(self.data), self.at + ITEM_BYTES_MAX)
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


def unhex(text: str) -> bytes:
    """A hash of 32 bytes from its hex digits in their one spelling. Raises Malformed."""
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Malformed("a hash that is not 64 hex digits")
    return bytes.fromhex(text)


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


# --- the archive ---------------------------------------------------------------------------
# There is one archive for given files: fixed order, names, times and attributes, nothing compressed. So two programs
# cannot read two different things in it, it cannot lead out of a folder, and it cannot unpack to more than it is.

_LOCAL = struct.Struct("<IHHHHHIIIHH")
_CENTRAL = struct.Struct("<IHHHHHHIIIHHHHHII")
_END = struct.Struct("<IHHHHIIH")
_DATE = 0x21  # 1980-01-01, the first that zip has


def _local(name: str, crc: int, size: int) -> bytes:
    return _LOCAL.pack(0x04034B50, 20, 0, 0, 0, _DATE, crc, size, size, len(name), 0) + name.encode()


def _central(entries: Sequence[tuple[str, int, int, int]], start: int) -> bytes:
    out = b""
    for name, crc, size, offset in entries:
        head = (0x02014B50, 3 << 8 | 20, 20, 0, 0, 0, _DATE, crc, size, size, len(name), 0, 0, 0, 0)
        out += _CENTRAL.pack(*head, 0o100644 << 16, offset) + name.encode()
    return out + _END.pack(0x06054B50, 0, 0, len(entries), len(entries), len(out), start, 0)


def archive(files: Mapping[str, bytes]) -> Iterator[bytes]:
    """The bytes of the bundle with these files, all of NAMES. Raises Unreadable where they are too many bytes."""
    entries, offset = [], 0
    if sum(map(len, files.values())) > ARCHIVE_BYTES_MAX:
        raise Unreadable(f"a bundle has at most {ARCHIVE_BYTES_MAX} bytes")
    for name in NAMES:
        data = files[name]
        crc = zlib.crc32(data)
        head = _local(name, crc, len(data))
        yield head
        yield data
        entries.append((name, crc, len(data), offset))
        offset += len(head) + len(data)
    yield _central(entries, offset)


_END_BYTES = 100_000
"""More than the directory of a bundle has."""


def opened_archive(data: Bytes) -> dict[str, memoryview]:
    """The files of a bundle, none of them copied. Raises Unreadable for anything that `archive` does not write.

    It is Damaged where the first file's name, or another one in the directory, tells that it was a bundle.
    """
    view = memoryview(data)
    try:
        return _opened(view)
    except Unreadable as error:
        first, last = bytes(view[:1_000]), bytes(view[-10_000:])
        if first[_LOCAL.size :].startswith(b"keys.cbor"):
            raise Unreadable(
                "it is the archive of a whole repository, whose epochs have bundles of their own"
            ) from None
        if NAMES[0].encode() in first or b"checkpoint-seal.txt" in last:
            raise Damaged(str(error)) from None
        raise Unreadable("nothing in it is of a bundle") from None


def _opened(view: memoryview) -> dict[str, memoryview]:
    files: dict[str, memoryview] = {}
    entries, offset = [], 0
    for name in NAMES:
        head = bytes(view[offset : offset + _LOCAL.size + len(name)])
        if len(head) < _LOCAL.size + len(name):
            raise Unreadable(f"the archive ends before {name}")
        crc, size = _LOCAL.unpack_from(head)[6:8]
        if head != _local(name, crc, size):
            raise Unreadable(f"the archive has not {name} at byte {offset}, in the one form it may have")
        start = offset + len(head)
        if name in SMALL and size > SMALL_BYTES_MAX:
            raise Unreadable(f"{name} has {size} bytes, and is small")
        content = view[start : start + size]
        if len(content) < size:
            raise Unreadable(f"the archive ends inside {name}")
        if zlib.crc32(content) != crc:
            raise Unreadable(f"{name} is not what the archive says (CRC-32)")
        files[name] = content
        entries.append((name, crc, size, offset))
        offset = start + size
    if bytes(view[offset : offset + _END_BYTES]) != _central(entries, offset):
        raise Unreadable(f"the archive has something else behind {NAMES[-1]} than its directory")
    return files


# --- what is in the files ------------------------------------------------------------------------

BRINGS = ("store_created", "commit")
"""Events that bring a commit, each commit by one of them."""
_EVENT_FIELDS = {
    "v": int,
    "kind": str,
    "index": int,
    "ref": str,
    "ref_kind": str,
    "old": Link,
    "new": Link,
    "principal": str,
    "agent": str,
    "client": str,
    "session": str,
    "at": str,
    "subject": str,
    "body": Link,
}
_EVENT_ALWAYS = ("v", "kind", "index", "principal", "agent", "at")
_COMMIT_FIELDS = {
    "v": int,
    "layout": int,
    "parents": list,
    "root": Link,
    "category": str,
    "confidence": (int, float),
    "principal": str,
    "agent": str,
    "client": str,
    "session": str,
    "intent": str,
    "parent_intent": str,
    "at": str,
    "ops": Link,
    "body": Link,
}
_COMMIT_ALWAYS = ("v", "layout", "parents", "root", "category", "principal", "agent", "at", "ops", "body")
SCALAR, MAP, LIST = 0, 1, 2


@dataclass(frozen=True)
class Event:
    """The header of an event."""

    index: int
    kind: str
    ref: str
    old: Link | None
    new: Link | None
    subject: str
    body: Link | None
    principal: str
    agent: str
    client: str
    session: str
    at: str


@dataclass(frozen=True)
class Commit:
    """The header of a commit, and where it is."""

    id: Link
    parents: tuple[Link, ...]
    root: Link
    ops: Link
    body: Link
    category: str
    confidence: float | None
    principal: str
    agent: str
    client: str
    session: str
    intent: str
    parent_intent: str
    at: str
    index: int
    """Of the event that brought it."""
    offset: int
    """Of its operations in commits.cborseq."""

    @property
    def key(self) -> str:
        """What an outcome of its intent is filed under."""
        return self.intent or self.id.digits


class Intent(NamedTuple):
    """What a commit or a session serves."""

    names: tuple[str, ...]
    parents: tuple[str, ...]
    commit: Link | None


def _checked(cbor: Cbor, what: Any, fields: Mapping[str, Any], always: Sequence[str]) -> dict[str, Any]:
    if type(what) is not dict or not all(name in what for name in always):
        raise cbor.fault("not a header")
    for name, value in what.items():
        if name not in fields or not isinstance(value, fields[name]) or isinstance(value, bool):
            raise cbor.fault(f"a header with a wrong {name}")
    if what["v"] != 1:
        raise cbor.fault(f"a header of version {what['v']}")
    return what


def read_event(cbor: Cbor) -> tuple[Event, bytes]:
    """The next item as the header of an event, and its leaf hash."""
    start = cbor.at
    head = _checked(cbor, cbor.item(), _EVENT_FIELDS, _EVENT_ALWAYS)
    leaf = leaf_hash(cbor.data[start : cbor.at])
    texts = [head.get(name, "") for name in ("principal", "agent", "client", "session", "at")]
    moved = head.get("ref", ""), head.get("old"), head.get("new"), head.get("subject", ""), head.get("body")
    return Event(head["index"], head["kind"], *moved, *texts), leaf


Hash = Callable[[Bytes], bytes]


def read_commit(cbor: Cbor, index: int, digest: Hash) -> Commit:
    """The next item as the header of a commit."""
    start = cbor.at
    head = _checked(cbor, cbor.item(), _COMMIT_FIELDS, _COMMIT_ALWAYS)
    if not all(isinstance(parent, Link) for parent in head["parents"]):
        raise cbor.fault("a header with a wrong parent")
    own = Link(_CID_PREFIX + digest(cbor.data[start : cbor.at]))
    texts = ("principal", "agent", "client", "session", "intent", "parent_intent", "at")
    return Commit(
        id=own,
        parents=tuple(head["parents"]),
        root=head["root"],
        ops=head["ops"],
        body=head["body"],
        category=head["category"],
        confidence=head.get("confidence"),
        index=index,
        offset=cbor.at,
        **{name: head.get(name, "") for name in texts},
    )


def read_salted(cbor: Cbor, digest: Hash) -> tuple[Link, Any] | None:
    """The next item as [salt, content] under its id; None for null, which stands for what was erased."""
    if bytes(cbor.data[cbor.at : cbor.at + 1]) == b"\xf6":
        cbor.at += 1
        return None
    start = cbor.at
    pair = cbor.item()
    if type(pair) is not list or len(pair) != 2 or not re.fullmatch(r"[0-9a-f]{32}", str(pair[0])):
        raise cbor.fault("not a salt of 32 hex digits and what it salts")
    return Link(_CID_PREFIX + digest(cbor.data[start : cbor.at])), pair[1]


def read_operations(cbor: Cbor) -> list[tuple[str, str, str | None, list[Any] | None]]:
    """The next item as the operations of a commit: (op, path, source, [[key, kind, value id], …])."""
    found = cbor.item()
    if type(found) is not list:
        raise cbor.fault("no list of operations")
    for op in found:
        if len(op) != 4 or not isinstance(op[0], str) or not isinstance(op[1], str):
            raise cbor.fault("an operation of another form")
        check_entries(cbor, op[3] or ())
    return [(op[0], op[1], op[2], op[3]) for op in found]


def check_entries(cbor: Cbor, entries: Sequence[Any]) -> None:
    """Raise Malformed unless these are [key, kind, value id or null]."""
    for entry in entries:
        key, kind, value = entry
        if not isinstance(key, str) or kind not in (SCALAR, MAP, LIST) or isinstance(kind, bool):
            raise cbor.fault("an entry of another form")
        if (kind == SCALAR) != isinstance(value, Link):
            raise cbor.fault("a scalar without a value id, or a container with one")


def is_prefix(text: str) -> bool:
    """Whether text could be the beginning of an id."""
    return re.fullmatch(r"[0-9a-fA-F]{6,64}", text) is not None


def served(intents: Iterable[Intent], roots: Iterable[str]) -> set[Link]:
    """The commits whose intent, or an ancestor of it, is one of the roots."""
    names, members = set(roots), set()
    waiting: dict[str, list[Intent]] = {}
    for intent in intents:
        if names.isdisjoint(intent.names) and names.isdisjoint(intent.parents):
            for name in (*intent.names, *intent.parents):
                waiting.setdefault(name, []).append(intent)
            continue
        todo = [intent]
        while todo:
            one = todo.pop()
            if one.commit is not None:
                members.add(one.commit)
            for name in one.names:
                names.add(name)
                todo += waiting.pop(name, ())
    return members


def ancestry(
    members: Iterable[Intent], roots: Iterable[str], before: Callable[[str], Iterable[tuple[str, ...]]]
) -> set[str]:
    """The names above the members, up to the roots; `before` gives what each thing of a name in turn serves.

    Another commit of the same intent may say what that serves, so names of intents are followed like parents.
    """
    top = set(roots)
    names: set[str] = set()
    todo = [name for member in members for name in (*member.names[1:], *member.parents)]
    while todo:
        name = todo.pop()
        if name in names or name in top:
            continue
        names.add(name)
        for parents in before(name):
            todo += parents
    return names


def about(event: Event, epoch: str, names: set[str] | None) -> bool:
    """Whether the body of an event is in the bundle: `names` of intents and sessions, None for all.

    What was tried in a speculation is of no epoch; what came of it is told by the commit that brought it to a branch.
    """
    if event.body is None or event.kind.startswith("speculation_"):
        return False
    return names is None or event.subject == epoch or event.subject in names


def handle_of(event: Event) -> str:
    """The handle of the speculation that the event's ref is, or ""."""
    return event.ref[5:] if event.ref.startswith("spec:") else ""


# --- the verdict ------------------------------------------------------------------------------------


class Findings:
    """What was found of each property."""

    def __init__(self) -> None:
        self.violated: dict[str, list[str]] = {}
        self.doubts: dict[str, list[str]] = {}
        self.shown: dict[str, list[str]] = {}

    def violate(self, name: str, where: str) -> None:
        """It does not hold, and where."""
        self.violated.setdefault(name, []).append(where)

    def doubt(self, name: str, why: str) -> None:
        """It is not proved, and why."""
        self.doubts.setdefault(name, []).append(why)

    def show(self, name: str, what: str) -> None:
        """What was checked of it."""
        self.shown.setdefault(name, []).append(what)

    def status(self, name: str) -> str:
        """proved, not proved or violated."""
        if name in self.violated:
            return VIOLATED
        return NOT_PROVED if name in self.doubts or name not in self.shown else PROVED

    def reasons(self, name: str) -> list[str]:
        """What to say of it."""
        status = self.status(name)
        found = self.violated if status == VIOLATED else self.doubts if status == NOT_PROVED else self.shown
        reasons = found.get(name, ["not looked at: what it needs does not hold, or cannot be read"])
        more = len(reasons) - FAULTS_SHOWN_MAX
        return reasons if more <= 0 else [*reasons[:FAULTS_SHOWN_MAX], f"and {more} more"]


class Evidence:
    """The checks, and what they leave known. Texts and values are read again where they are shown, never kept."""

    def __init__(self, files: Mapping[str, Bytes], digest: Hash = blake3) -> None:
        self.files, self.digest = files, digest
        self.findings = Findings()
        self.earlier = sha256(bytes(files.get("verify.py", b""))).hexdigest() in EARLIER_VERIFIERS
        """Whether the bundle carries an earlier published verifier, and its derived files are in the form of then."""
        self.key: Key | None = None
        self.opening = self.sealing = Checkpoint("", 0, b"")
        self.epoch, self.after, self.first, self.opened, self.size = "", "", 0, 0, 0
        self.tree = LogTree(0, ())
        self.events: list[Event] = []
        self.bodies: dict[int, int] = {}
        """Where the body of an event is in bodies.cborseq."""
        self.withheld: list[str] = []
        self.blind = False
        """Whether the text of a session is withheld: what it served is not known then."""
        self.told: dict[str, Any] = {}
        """What the bodies of the opening and of the seal say."""
        self.commits: list[Commit] = []
        self.members: list[Commit] = []
        self.values: dict[Link, int] = {}
        """Where a value is in values.cborseq; -1 for one that is withheld."""
        self.sessions: dict[str, str] = {}
        """The parent of each session that is told of."""
        self.before: list[Commit] = []
        """Commits of the context."""

    def cbor(self, name: str, at: int = 0) -> Cbor:
        """A reader of one of the files."""
        cbor = Cbor(self.files[name], name)
        cbor.at = at
        return cbor

    # --- stages, in this order: each is one or two properties ---

    def check_notes(self) -> None:
        """P9: the key and the two signed checkpoints."""
        try:
            text = bytes(self.files["key.txt"]).decode("ascii")
            self.key = parse_key(text)
            if f"{self.key}\n" != text:
                raise ValueError("another spelling")
        except (ValueError, UnicodeDecodeError) as error:
            raise Malformed(f"key.txt: {error}") from None
        found = []
        for name in ("checkpoint-open.txt", "checkpoint-seal.txt"):
            try:
                found.append(opened_note(bytes(self.files[name]), self.key))
            except ValueError as error:
                raise Malformed(f"{name}: {error}") from None
            if found[-1].origin != self.key.name:
                raise Malformed(f"{name}: it is of the log {found[-1].origin!r}, the key of {self.key.name!r}")
        self.opening, self.sealing = found
        self.findings.show("P9", f"both checkpoints are signed by {self.key}")

    def check_log(self) -> None:
        """P4, P5: which part of the log this is."""
        raw = bytes(self.files["log.json"])
        told = json.loads(raw)
        texts, numbers = (told["epoch"], told["after"]), (told["first"], told["opened"], told["size"])
        if log_json(*texts, *numbers, told["frontier"]) != raw:
            raise Malformed("log.json: not in its one form")
        if not all(type(number) is int and number >= 0 for number in numbers) or set(map(type, texts)) != {str}:
            raise Malformed("log.json: texts or numbers of events are none")
        (self.epoch, self.after), (self.first, self.opened, self.size) = texts, numbers
        if not self.first <= self.opened < self.size or self.size - self.first > ITEMS_MAX:
            raise Malformed("log.json: first, opened and size are not in order, or too far apart")
        if (self.opening.size, self.sealing.size) != (self.opened + 1, self.size):
            sizes = f"signed are {self.opening.size} and {self.sealing.size} events"
            self.findings.violate("P5", f"{sizes}; the bundle says {self.opened + 1} and {self.size}")
        self.tree = LogTree(self.first, [unhex(text) for text in told["frontier"]])

    def check_events(self) -> None:
        """P3, P5, P6: the headers one after the other; P4: their tree is the one that was signed."""
        cbor = self.cbor("events.cborseq")
        refs: dict[str, Link | None] = {}
        while cbor.more:
            event, leaf = read_event(cbor)
            index = self.first + len(self.events)
            if event.index != index:
                self.findings.violate("P3", f"event {event.index} stands where event {index} belongs")
            if event.ref:
                if refs.get(event.ref, event.old) != event.old:
                    self.findings.violate("P3", f"event {index} does not begin where {event.ref} was")
                refs[event.ref] = event.new
            self.events.append(event)
            self.tree.add(leaf)
            if len(self.events) > self.size - self.first:
                break
        if len(self.events) != self.size - self.first:
            there = "more" if len(self.events) > self.size - self.first else f"{len(self.events)}"
            self.findings.violate("P5", f"there are {there} events, where {self.size - self.first} belong")
        self._check_root()
        self._check_ends()
        late = [one.index for one, two in zip(self.events, self.events[1:], strict=False) if two.at < one.at]
        self.findings.doubt("P8", "times are those of the server's clock; no timestamp token is in the bundle")
        if late:
            self.findings.doubt("P8", f"the clock went back {len(late)} times, first behind event {late[0]}")
        self.findings.show("P3", f"events {self.first} to {self.size - 1}, in order")

    def _check_root(self) -> None:
        size = self.tree.size
        if size != self.size or self.tree.root(size) != self.sealing.root:
            self.findings.violate("P4", "the headers are not those of the log that was signed: they have another root")
        if size > self.opened and self.tree.root(self.opened + 1) != self.opening.root:
            self.findings.violate("P5", "the log that was signed at the opening is not the beginning of this one")
        if self.first == 0 and self.events and self.sealing.origin == f"asg-mcp/{self.tree.leaf(0).hex()[:32]}":
            self.findings.show("P9", "the log is named after its first event, which is here")
        self.findings.show("P4", f"{len(self.events)} headers recompute the root that was signed")
        self.findings.show("P5", f"the seal is the last of the {self.size} events that were signed")

    def _check_ends(self) -> None:
        place = self.opened - self.first
        if not self.events or place >= len(self.events):
            raise Malformed("events.cborseq: the opening is not in it")
        opening, seal = self.events[place], self.events[-1]
        if (opening.kind, opening.subject) != ("epoch_opened", self.epoch):
            self.findings.violate("P4", f"event {self.opened} does not open epoch {self.epoch}")
        if (seal.kind, seal.subject) != ("epoch_sealed", self.epoch):
            self.findings.violate("P5", f"event {seal.index} is not the seal of epoch {self.epoch}")
        others = [one.index for one in self.events[:-1] if one.subject == self.epoch and one.kind == "epoch_sealed"]
        if others:
            self.findings.violate("P6", f"the epoch was sealed at event {others[0]}, and goes on to {self.size - 1}")
        self.findings.show("P6", "nothing follows the seal in the log that was signed; later checkpoints tell the rest")

    def check_bodies(self) -> None:
        """P1: what is told of events is what their headers commit to."""
        cbor, last = self.cbor("bodies.cborseq"), -1
        while cbor.more:
            cbor.items(2)
            index = cbor.item()
            if type(index) is not int or index <= last or not self.first <= index < self.first + len(self.events):
                raise cbor.fault("not the number of a later event of this bundle")
            last, at = index, cbor.at
            event, found = self.events[index - self.first], read_salted(cbor, self.digest)
            self.bodies[index] = at
            if found is None:
                self.withheld.append(f"the text of event {index}")
                self.blind = self.blind or event.kind == "session_opened"
            elif found[0] != event.body:
                self.findings.violate("P1", f"the body of event {index} is not what its header commits to")
            if event.kind == "session_opened" and found is not None:
                self.sessions[event.subject] = str(found[1].get("parent", ""))
            if index in (self.opened, self.size - 1) and found is not None:
                self.told.update(found[1])
        for index in (self.opened, self.size - 1):
            if index not in self.bodies:
                self.findings.violate("P4", f"the body of event {index}, the opening or the seal, is missing")
        self.findings.show("P1", f"{len(self.bodies)} bodies of events")
        if self.told.get("size", self.size) != self.size:
            self.findings.violate("P5", f"the seal says that it ends a log of {self.told['size']} events")

    def check_context(self) -> None:
        """P4: what came before and links a member to a root intent was in the log that was signed."""
        cbor, last = self.cbor("context.cborseq"), -1
        while cbor.more:
            cbor.items(4)
            event, leaf = read_event(cbor)
            if not last < event.index <= self.first:  # the first brings the last commit before the epoch
                raise cbor.fault("not an event from before the epoch, in order")
            last, commit = event.index, None
            if bytes(cbor.data[cbor.at : cbor.at + 1]) == b"\xf6":
                cbor.at += 1
            else:
                commit = read_commit(cbor, event.index, self.digest)
                if commit.id != event.new or event.kind not in BRINGS or handle_of(event):
                    self.findings.violate("P1", f"event {event.index} did not bring that commit")
                self.before.append(commit)
            found = read_salted(cbor, self.digest)
            if found is not None and found[0] != event.body:
                self.findings.violate("P1", f"the body of event {event.index} is not what its header commits to")
            if found is None and commit is None:
                self.withheld.append(f"the text of event {event.index}")
                self.blind = True
            if event.kind == "session_opened" and found is not None:
                self.sessions[event.subject] = str(found[1].get("parent", ""))
            proof = [unhex(text) for text in cbor.item()]
            if not included(event.index, self.sealing.size, leaf, proof, self.sealing.root):
                self.findings.violate("P4", f"event {event.index} is not shown to be in the log")

    def check_commits(self) -> None:
        """P1, P3, P10: the commits that the events brought, and who made them."""
        cbor = self.cbor("commits.cborseq")
        after = self.after
        if self.told.get("after", after) != after:
            self.findings.violate("P4", "the epoch does not begin behind the commit that log.json names")
        brought = [event for event in self.events if event.kind in BRINGS]
        if after:
            first = brought.pop(0) if brought else None
            if first is None or first.index != self.first or first.new is None or first.new.digits != after:
                self.findings.violate("P4", "the bundle does not begin with the last commit before the epoch")
        elif self.first:
            self.findings.violate("P4", "the epoch begins with the store, and the bundle does not")
        shown: set[Link] = set()
        for event in brought:
            cbor.items(3)
            commit = read_commit(cbor, event.index, self.digest)
            if commit.id != event.new:
                self.findings.violate("P1", f"the commit of event {event.index} has another header than it commits to")
            elif commit.parents[:1] != (() if event.old is None else (event.old,)):
                self.findings.violate("P3", f"the commit of event {event.index} was not made on what {event.ref} was")
            self._check_author(event, commit)
            self.commits.append(commit)
            self._check_texts(cbor, commit, shown)
        if cbor.more:
            raise cbor.fault("more commits than the events brought")
        known = {event.new: event.index for event in brought}
        for commit in self.commits:
            if any(known.get(parent, -1) >= commit.index for parent in commit.parents):
                self.findings.violate("P3", f"a parent of the commit of event {commit.index} comes after it")
        self.members = [commit for commit in self.commits if commit.id in shown]
        self.findings.show("P1", f"{len(self.commits)} commits, {len(self.members)} of them members")

    def _check_author(self, event: Event, commit: Commit) -> None:
        said = (event.principal, event.agent, event.client, event.session, event.at)
        if said != (commit.principal, commit.agent, commit.client, commit.session, commit.at):
            self.findings.violate("P10", f"event {event.index} and its commit name different authors or times")

    def _check_texts(self, cbor: Cbor, commit: Commit, shown: set[Link]) -> None:
        """The operations and the body of a commit, of which others than members have none here."""
        start, name = cbor.at, commit.id.digits[:12]
        if bytes(cbor.data[start : start + 2]) == b"\xf6\xf6":
            cbor.at += 2
            return
        shown.add(commit.id)
        operations = read_operations(cbor)
        if Link(_CID_PREFIX + self.digest(cbor.data[start : cbor.at])) != commit.ops:
            self.findings.violate("P1", f"the operations of {name} are not those its header commits to")
        for _, _, _, entries in operations:
            for _, _, value in entries or ():
                if value is not None:
                    self.values.setdefault(value, -1)
        found = read_salted(cbor, self.digest)
        if found is None:
            self.withheld.append(f"the text of {name}")
        elif found[0] != commit.body:
            self.findings.violate("P1", f"the text of {name} is not what its header commits to")

    def check_values(self) -> None:
        """P12: every value that members wrote, under its salt, in the order in which they wrote them."""
        cbor, count = self.cbor("values.cborseq"), 0
        for wanted in self.values:
            at = cbor.at
            if bytes(cbor.data[at : at + 1]) == b"\xd8":
                found = cbor.item()
                self.withheld.append(f"the value {found.digits[:12]}")
            else:
                salted = read_salted(cbor, self.digest)
                if salted is None:
                    raise cbor.fault("no value")
                found, count = salted[0], count + 1
                self.values[wanted] = at
            if found != wanted:
                self.findings.violate("P12", f"byte {at} of values.cborseq is not the value {wanted.digits[:12]}")
        if cbor.more:
            self.findings.violate("P12", f"values.cborseq has more from byte {cbor.at} on than the members wrote")
        self.findings.show("P12", f"{count} values open the ids that the members' operations have")
        for what in self.withheld:
            self.findings.doubt("P11", f"withheld: {what}; its id and the proofs stand")
        self.findings.show("P11", "nothing is withheld")

    # --- membership ---

    def _whole(self, name: str, before: int = 0, digits_min: int = 6) -> str:
        """The only known commit older than event `before` whose id begins with the name; "" for none or several."""
        if not is_prefix(name) or len(name) < digits_min:
            return ""
        name, found = name.lower(), []
        at = bisect_left(self._ids, (name, -1))
        while at < len(self._ids) and self._ids[at][0].startswith(name):
            if self._ids[at][1] < before:
                found.append(self._ids[at][0])
            at += 1
        return found[0] if len(found) == 1 else ""

    _ids: Sequence[tuple[str, int]] = ()
    """(digits, index of the event) of every known commit, sorted."""

    _trials: Set[int] = frozenset()
    """The indexes of the events on speculations: what was tried there is no member, and links nothing to a root."""

    def _intents(self, digits_min: int) -> Iterator[Intent]:
        for name, parent in self.sessions.items():
            yield Intent((name,), (parent,) if parent else (), None)
        for commit in self.before:
            yield self.intent_of(commit)._replace(commit=None)
        for commit in self.commits:
            if commit.index not in self._trials:
                yield self.intent_of(commit, digits_min)

    def intent_of(self, commit: Commit, digits_min: int = 6) -> Intent:
        """What a commit serves."""
        names = (commit.id.digits, commit.intent) if commit.intent else (commit.id.digits,)
        whole = self._whole(commit.parent_intent, commit.index, digits_min)
        parents = {commit.parent_intent, whole, commit.session} - {""}
        return Intent(names, tuple(sorted(parents)), commit.id)

    def check_members(self) -> None:
        """P4: the members are those that the seal fixed, and those that the rule gives."""
        findings, told = self.findings, self.told
        self._ids = sorted((commit.id.digits, commit.index) for commit in (*self.before, *self.commits))
        self._trials = {event.index for event in self.events if handle_of(event)}
        if "members" not in told or "after" not in told:
            findings.doubt("P4", "what the opening or the seal says was erased, so the members cannot be compared")
            return
        root = root_over(bytes(member.id) for member in self.members).hex()
        if (told["members"], told["commits"]) != (root, len(self.members)):
            findings.violate("P4", f"the {len(self.members)} members are not the {told['commits']} that the seal fixed")
        last = self.commits[-1].id.digits if self.commits else told["after"]
        if told["last"] != last:
            findings.violate("P4", "the last commit is not the one that the seal names")
        shown, roots = {member.id for member in self.members}, told["roots"]
        names: set[str] | None = None
        if not roots:
            must = may = {commit.id for commit in self.commits if commit.index not in self._trials}
        else:
            # A short prefix may be that of a commit from before, too, which is not here: it is believed for members.
            must, may = served(self._intents(12), roots), served(self._intents(6), roots)
            names = self._names(roots)
        for commit in sorted(must - shown):
            findings.violate("P4", f"{commit.digits[:12]} belongs to the epoch, and is not shown as a member")
        for commit in sorted(shown - may):
            what = f"nothing that is disclosed links {commit.digits[:12]} to a root intent"
            (findings.doubt if self.blind else findings.violate)("P4", what)
        want = {event.index for event in self.events if about(event, self.epoch, names)}
        for index in sorted(want - self.bodies.keys() if self.blind else want ^ self.bodies.keys()):
            findings.violate(
                "P4", f"the body of event {index} is {'missing' if index in want else 'not of this epoch'}"
            )
        findings.show("P4", f"the {len(self.members)} members are those that the seal fixed and that the rule gives")
        if roots and not findings.doubts.get("P4"):
            findings.show("P4", "links through sessions and commits that are not members are as the seal fixed them")

    def _names(self, roots: Sequence[str]) -> set[str]:
        """The names of the members and of all above them, up to the roots."""
        by_name: dict[str, list[tuple[str, ...]]] = {}
        for commit in self.before:
            one = self.intent_of(commit)
            for name in one.names:
                by_name.setdefault(name, []).append((*one.names[1:], *one.parents))
        for name, parent in self.sessions.items():
            by_name.setdefault(name, []).append((parent,) if parent else ())
        intents = [self.intent_of(member) for member in self.members]
        above = ancestry(intents, roots, lambda name: by_name.get(name, ()))
        for commit in self.before:
            if above.isdisjoint((commit.id.digits, commit.intent)):
                name = commit.id.digits[:12]
                self.findings.violate("P4", f"the context has {name}, which links no member to a root")
        return above | {name for intent in intents for name in intent.names}

    # --- states ---

    def check_objects(self) -> None:
        """P2: the nodes of each member's state, each once, in the order in which they are reached."""
        data, at = self.files["objects.car"], 0
        roots = list(dict.fromkeys(member.root for member in self.members))
        head = car_header(roots)
        if bytes(data[: len(head)]) != head:
            self.findings.violate("P2", "objects.car does not begin with the roots of the members' states")
            return
        at, seen = len(head), set[bytes]()
        for root in roots:
            todo: list[tuple[Link, int]] = [(root, -1)]
            while todo:
                wanted, height = todo.pop()
                if wanted in seen:
                    continue
                seen.add(wanted)
                at = self._check_node(data, at, wanted, height, todo)
                if not at:
                    return
        if at != len(data):
            self.findings.violate("P2", f"objects.car has something at byte {at} that no state reaches")
        self.findings.show("P2", f"{len(roots)} roots from {len(seen)} nodes")

    def _check_node(self, data: Bytes, at: int, wanted: Link, height: int, todo: list[tuple[Link, int]]) -> int:
        """The node at this byte, its children added to what is to come; where the next one is, 0 where it is wrong."""
        size, at = read_varint(data, at)
        block = Cbor(data[at + _CID_BYTES : at + size], "objects.car")
        if bytes(data[at : at + _CID_BYTES]) != wanted:
            self.findings.violate("P2", f"byte {at} of objects.car is not the node {wanted.digits[:12]}, which is next")
            return 0
        if _CID_PREFIX + self.digest(block.data) != wanted or len(block.data) != size - _CID_BYTES:
            self.findings.violate("P2", f"the node {wanted.digits[:12]} has other bytes than its id")
            return 0
        node = block.item()
        level, items = node
        if block.more or type(level) is not int or level < 0 or (height >= 0 and level != height) or not items:
            raise block.fault(f"the node {wanted.digits[:12]} is of another form")
        if level == 0:
            check_entries(block, items)
        else:
            if not all(isinstance(item, Link) for item in items):
                raise block.fault(f"the branch {wanted.digits[:12]} has something else than links")
            todo += [(item, level - 1) for item in reversed(items)]
        return at + size

    # --- reading again what is shown ---

    def text_of(self, member: Commit) -> dict[str, Any] | None:
        """The body of a member; None where it is withheld."""
        cbor = self.cbor("commits.cborseq", member.offset)
        cbor.item()
        pair = cbor.item()
        return None if pair is None else dict(pair[1])

    def operations_of(self, member: Commit) -> list[tuple[str, str, str | None, list[Any] | None]]:
        """The operations of a member."""
        return read_operations(self.cbor("commits.cborseq", member.offset))

    def body_of(self, event: Event) -> dict[str, Any]:
        """What an event tells; {} where that is withheld or not in the bundle."""
        if event.index not in self.bodies:
            return {}
        pair = self.cbor("bodies.cborseq", self.bodies[event.index]).item()
        return {} if pair is None else dict(pair[1])

    def value_of(self, entries: Sequence[Any]) -> Any:
        """The value of an operation, with « withheld » for what was erased."""
        stack: list[Any] = []
        keys: list[str] = []
        top: Any = None
        for key, kind, link in entries:
            value: Any = {} if kind == MAP else []
            if kind == SCALAR:
                at = self.values.get(link, -1)
                value = "« withheld »" if at < 0 else self.cbor("values.cborseq", at).item()[1]
            depth = key.count("\0")
            del stack[depth:]
            if not depth:
                top = value
            elif isinstance(stack[-1], list):
                stack[-1].append(value)
            else:
                stack[-1][_map_key(key[len(keys[depth - 1]) : -1])] = value
            keys[depth:] = [key]
            if kind != SCALAR:
                stack.append(value)
        return top


def _map_key(segment: str) -> str:
    for mark, char in (("\1\3", "\0"), ("\1\5", "\2"), ("\1\4", "\1")):
        segment = segment.replace(mark, char)
    return segment


def read_varint(data: Bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number in its shortest form, and where it ends."""
    number = shift = 0
    while True:
        if at >= len(data) or shift > 28:
            raise Malformed(f"objects.car, byte {at}: cut off, or a block that is too large")
        byte = data[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            if not byte and shift > 7:
                raise Malformed(f"objects.car, byte {at}: a length that is not in its shortest form")
            return number, at


def varint(number: int) -> bytes:
    """The number in unsigned LEB128."""
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


def car_header(roots: Sequence[bytes]) -> bytes:
    """How a CARv1 file with these roots begins."""
    count = len(roots)
    head = bytes((0x80 | count,)) if count < 24 else b""
    for size, first in ((1, 0x98), (2, 0x99), (4, 0x9A)):
        if not head and count < 1 << 8 * size:
            head = bytes((first,)) + count.to_bytes(size, "big")
    links = b"".join(b"\xd8\x2a\x58\x25\0" + bytes(root) for root in roots)
    body = b"\xa2\x65roots" + head + links + b"\x67version\x01"
    return varint(len(body)) + body


def log_json(epoch: str, after: str, first: int, opened: int, size: int, frontier: Sequence[str]) -> bytes:
    """The file log.json. `after` is the last commit before the epoch, or ""; hashes as hex digits."""
    told = {"after": after, "epoch": epoch, "first": first, "frontier": list(frontier), "opened": opened, "size": size}
    return (json.dumps(told, sort_keys=True, separators=(",", ":")) + "\n").encode()


# --- what is derived: proofs ---------------------------------------------------------------------------


def _lines(document: Mapping[str, Any]) -> Iterator[str]:
    yield json.dumps(document, sort_keys=True, indent=1) + "\n"


def proofs_json(ev: Evidence) -> Iterator[str]:
    """Inclusion of the events of members, and the consistency of the two checkpoints."""
    tree, size = ev.tree, ev.size
    head = {
        "hash": "SHA-256, RFC 6962; hashes in base64, lowest first",
        "opening": {"size": ev.opened + 1, "root": b64(tree.root(ev.opened + 1))},
        "seal": {"size": size, "root": b64(tree.root(size))},
        "consistency": [b64(digest) for digest in tree.consistency(ev.opened + 1, size)],
    }
    yield "{" + json.dumps(head, sort_keys=True)[1:-1] + ', "inclusion": [\n'
    for number, member in enumerate(ev.members):
        index = member.index
        proof = [b64(digest) for digest in tree.inclusion(index, size)]
        entry = {"commit": member.id.digits, "index": index, "leaf": b64(tree.leaf(index)), "proof": proof}
        yield (",\n" if number else "") + json.dumps(entry, sort_keys=True)
    yield "\n]}\n"


def seal_proof(ev: Evidence) -> Iterator[str]:
    """The inclusion of the seal, with the checkpoint, as a C2SP tlog-proof."""
    yield f"c2sp.org/tlog-proof@v1\nindex {ev.size - 1}\n"
    for digest in ev.tree.inclusion(ev.size - 1, ev.size):
        yield b64(digest) + "\n"
    yield "\n" + bytes(ev.files["checkpoint-seal.txt"]).decode()


def manifest_json(ev: Evidence, derived: Mapping[str, tuple[int, str]]) -> Iterator[str]:
    """What each file is; `derived` has size and SHA-256 of those that are made again."""
    files = []
    for name in NAMES:
        if name == "manifest.json":
            continue
        data = ev.files[name] if name not in derived else b""
        size, digest = derived.get(name) or (len(data), sha256(data).hexdigest())
        what = (EARLIER_WHAT if ev.earlier else WHAT)[name]
        files.append({"name": name, "what": what, "bytes": size, "sha256": digest})
    properties = [{"id": name, "name": title, "means": text} for name, (title, text) in PROPERTIES.items()]
    yield from _lines({"format": FORMAT, "epoch": ev.epoch, "files": files, "properties": properties})


# --- what is derived: the mapping to the agent audit trail ------------------------------------------------


def _exact(value: Any) -> Any:
    """JSON of which there is one spelling in every language: floats as text."""
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, dict):
        return {key: _exact(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_exact(item) for item in value]
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value


AUDIT_DRAFT = "draft-sharif-agent-audit-trail-06"
"""An individual Internet-Draft of 29 September 2026, with no standing in the IETF."""


class Audited(NamedTuple):
    """What is told of an event in audit.jsonl."""

    event: Event
    commit: bool
    detail: dict[str, Any]
    outcome: str
    above: int | None
    """The event that brought what this serves, where it is told of too."""


def _audited(ev: Evidence) -> Iterator[Audited]:
    """Each member, and each event about the epoch whose body is here."""
    members = {member.index: member for member in ev.members}
    records: dict[str, int] = {}
    for member in ev.members:
        for name in filter(None, (member.id.digits, member.intent)):
            records.setdefault(name, member.index)
    for event in ev.events:
        if event.kind == "session_opened" and event.index in ev.bodies:
            records.setdefault(event.subject, event.index)
    for event in ev.events:
        found = members.get(event.index)
        if found is not None:
            detail, outcome, parent = _audited_commit(ev, event, found)
        elif event.index in ev.bodies:
            detail, outcome, parent = _audited_event(ev, event)
        else:
            continue
        yield Audited(event, found is not None, _exact(detail), outcome, records.get(parent))


def audit_jsonl(ev: Evidence) -> Iterator[str]:
    """The records of AUDIT_DRAFT: one that opens the trail, then one for each of `_audited`, in the log's order.

    The trail is one chain and one session of the draft, for the epoch; the store's own sessions are in action_detail.
    parent_record_id is the record before, prev_hash the SHA-256 of its line (RFC 8785), both null in the first.
    The draft's ids are random; these are made from the log's name, so that the same store gives the same bytes.
    """
    log = ev.sealing.origin
    before: dict[str, Any] = {"parent_record_id": None, "prev_hash": None}
    for own in itertools.chain((_audit_opening(ev),), (_audit_record(log, told) for told in _audited(ev))):
        record = {
            **own,
            **before,
            "agent_id": f"urn:agent:{quote(own['action_detail']['agent'], safe='')}",
            "agent_version": "0.0.0",
            "session_id": record_uuid(log, "session", ev.epoch),
            "trust_level": "L0",
            "recording_component": f"urn:{quote(log).replace('/', ':')}",
        }
        line = canonical_json(record)
        before = {"parent_record_id": record["record_id"], "prev_hash": sha256(line.encode()).hexdigest()}
        yield line + "\n"


def _audit_opening(ev: Evidence) -> dict[str, Any]:
    """The record that a trail must begin with; it names the draft."""
    log, agent = ev.sealing.origin, ev.events[ev.opened - ev.first].agent
    head = {"event": "session_start", "new_state": "active", "trigger": "export", "recording_mode": "independent"}
    return {
        "record_id": record_uuid(log, "trail", ev.epoch),
        "timestamp": ev.events[0].at,
        "action_type": "lifecycle",
        "action_detail": {**head, "draft": AUDIT_DRAFT, "epoch": ev.epoch, "log": log, "agent": agent},
        "outcome": "success",
        "record_phase": "concurrent",
    }


def _audit_record(log: str, told: Audited) -> dict[str, Any]:
    """What a record has of its own: neither its agent nor its place in the trail."""
    event, kind = told.event, "state_change" if told.commit else told.event.kind
    above = None if told.above in (None, event.index) else record_uuid(log, "event", str(told.above))
    # A change and the record of it are one transaction. What was refused was recorded in place of it.
    phase = {"denied": "pre_execution", "outcome": "post_execution"}.get(kind, "concurrent")
    decided = kind in ("state_change", "denied")
    return {
        "record_id": record_uuid(log, "event", str(event.index)),
        "timestamp": event.at,
        "action_type": "decision" if decided else "lifecycle",
        "action_detail": {
            **told.detail,
            "decision_type" if decided else "event": kind,
            "agent": event.agent,
            "session": event.session,
            "log_index": event.index,
            "serves_record_id": above,
        },
        "outcome": told.outcome,
        "record_phase": phase,
    }


def record_uuid(*parts: str) -> str:
    """An id in the form of a random UUID, the same for the same parts."""
    raw = bytearray(sha256("\n".join(("asg-mcp audit trail", *parts)).encode()).digest()[:16])
    raw[6], raw[8] = raw[6] & 0x0F | 0x40, raw[8] & 0x3F | 0x80
    digits = raw.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def earlier_audit_jsonl(ev: Evidence) -> Iterator[str]:
    """The form that EARLIER_VERIFIERS gave it: without record_phase, and with links of intents for its parents."""
    before = "0" * 64
    for event, commit, detail, outcome, above in _audited(ev):
        record = {
            "record_id": f"{ev.sealing.origin}/{event.index}",
            "timestamp": event.at,
            "agent_id": event.agent,
            "agent_version": "unknown",
            "session_id": event.session or "none",
            "action_type": "state_change" if commit else event.kind,
            "action_detail": detail,
            "outcome": outcome,
            "trust_level": "L0",
            "parent_record_id": None if above is None else f"{ev.sealing.origin}/{above}",
            "prev_hash": before,
        }
        line = canonical_json(record)
        before = sha256(line.encode()).hexdigest()
        yield line + "\n"


def canonical_json(value: Any) -> str:
    """RFC 8785 of a value without floats."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: key.encode("utf-16-be"))
        return "{" + ",".join(f"{canonical_json(key)}:{canonical_json(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(canonical_json, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def _audited_commit(ev: Evidence, event: Event, member: Commit) -> tuple[dict[str, Any], str, str]:
    operations = [{"op": op, "path": path, "from": source or ""} for op, path, source, _ in ev.operations_of(member)]
    detail: dict[str, Any] = {
        "commit": member.id.digits,
        "ref": event.ref,
        "category": member.category,
        "principal": member.principal,
        "client": member.client,
        "intent": member.key,
        "confidence": member.confidence,
        "operations": operations,
        "state_root": member.root.digits,
    }
    text = ev.text_of(member)
    detail["intent_text"] = "withheld" if text is None else text
    return detail, "success", member.parent_intent or member.session


def _audited_event(ev: Evidence, event: Event) -> tuple[dict[str, Any], str, str]:
    body = ev.body_of(event)
    detail = {"subject": event.subject, "principal": event.principal, "client": event.client, "body": body}
    said = body.get("outcome") if event.kind == "outcome" else ""
    outcome = {"failed": "failure", "deferred": "failure"}.get(str(said), "success")
    outcome = "denied" if event.kind == "denied" else outcome
    return detail, outcome, event.subject if event.kind == "outcome" else str(body.get("parent", ""))


# --- what is derived: the page for a person -----------------------------------------------------------------

_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
SHOWN_CHARS_MAX = 2_000
STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #8886}code,pre{font:13px/1.4 ui-monospace,monospace;
overflow-wrap:anywhere;white-space:pre-wrap}
dl{display:grid;grid-template-columns:9rem 1fr;gap:.2rem 1rem;margin:.5rem 0}
dt{opacity:.7}dd{margin:0;overflow-wrap:anywhere}article{border:1px solid #8886;border-radius:.5rem;padding:.2rem 1rem;
margin:1rem 0}li{margin:.3rem 0}.w{opacity:.6;font-style:italic}.d{border-left:3px solid #c60;padding-left:.6rem}
"""


def shown(text: object, most: int = SHOWN_CHARS_MAX) -> str:
    """Text of others, as HTML: nothing in it is obeyed, and what would hide or turn it is made visible."""
    said = str(text)
    if len(said) > most:
        said = f"{said[:most]} … ({len(said) - most} more characters are in the bundle)"
    return html.escape(_HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", said))


def shown_json(value: Any) -> str:
    """A JSON value, as HTML."""
    return f"<code>{shown(json.dumps(value, ensure_ascii=False))}</code>"


def _field(label: str, content: str) -> str:
    return f"<dt>{label}</dt><dd>{content}</dd>\n" if content else ""


def report_html(ev: Evidence) -> Iterator[str]:
    """The page: one file, nothing loaded, nothing run."""
    told = ev.told
    title = shown(f"Epoch {ev.epoch}")
    yield '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
    yield f'<meta name="viewport" content="width=device-width">\n<title>{title}</title><style>{STYLE}</style></head>\n'
    yield f"<body><h1>{title}</h1>\n<p>{shown(told.get('description', '« withheld »'))}</p>\n<dl>"
    yield _field("opened", _who(ev.events[ev.opened - ev.first]))
    yield _field("sealed", _who(ev.events[-1]))
    yield _field("outcome", shown(told.get("summary", "« withheld »"), 100_000))
    yield _field("root intents", shown(", ".join(told.get("root_intents", ())) or "none: every commit belongs to it"))
    yield _field("members", f"{len(ev.members)} commits, of {len(ev.commits)} made in that time")
    yield _field("log", f"<code>{shown(ev.sealing.origin)}</code>, events {ev.first} to {ev.size - 1}")
    yield _field("root of the log", f"<code>{b64(ev.sealing.root)}</code>")
    yield _field("signed by", f"<code>{shown(ev.key)}</code>")
    yield "</dl>\n"
    yield from _people(ev)
    yield from _intents_html(ev)
    yield from _deviations_html(ev)
    yield "<h2>What was done, in order</h2>\n"
    for member in ev.members:
        yield from _member_html(ev, member)
    yield _PROOFS_HTML
    yield "</body></html>\n"


def _who(event: Event) -> str:
    client = f", client <b>{shown(event.client)}</b> (observed)" if event.client else ""
    return (
        f"{shown(event.at)}, event {event.index}: principal <b>{shown(event.principal)}</b> (verified by the server), "
        f"agent <b>{shown(event.agent)}</b> (claimed){client}"
    )


def _people(ev: Evidence) -> Iterator[str]:
    counts: dict[tuple[str, str, str], int] = {}
    for member in ev.members:
        who = member.principal, member.agent, member.client
        counts[who] = counts.get(who, 0) + 1
    yield "<h2>Who</h2>\n<ul>\n"
    for (principal, agent, client), count in sorted(counts.items()):
        said = f"principal <b>{shown(principal)}</b>, agent <b>{shown(agent)}</b>, client <b>{shown(client or '-')}</b>"
        yield f"<li>{said}: {count}</li>\n"
    yield "</ul>\n<p>The principal was verified by the server, the agent is what the caller said of itself, and the "
    yield "client is what the protocol showed. They are three different things.</p>\n"


def outcomes(ev: Evidence) -> dict[str, dict[str, Any]]:
    """What was reported of each intent or session, by its name; the later report over the earlier."""
    found: dict[str, dict[str, Any]] = {}
    for event in ev.events:
        if event.kind == "outcome" and event.index in ev.bodies:
            found.setdefault(event.subject, {}).update(ev.body_of(event))
    return found


def _forest(ev: Evidence) -> tuple[list[str], dict[str, list[str]], dict[str, str]]:
    """Names of intents and sessions without a parent here; the children of each; the first text of each."""
    lines: dict[str, str] = {}
    parents: dict[str, str] = {}
    alias: dict[str, str] = {}
    for event in ev.events:
        if event.kind == "session_opened" and event.index in ev.bodies:
            body = ev.body_of(event)
            lines[event.subject] = f"session of {body.get('agent', event.agent)}: {body.get('description', '')}"
            parents[event.subject] = str(body.get("parent", ""))
    for member in ev.members:
        text = ev.text_of(member)
        said = "« withheld »" if text is None else str(text.get("description", ""))[:300]
        if member.key not in lines:
            lines[member.key] = f"{member.category}: {said} ({member.agent})"
        alias[member.id.digits] = member.key
        intent = ev.intent_of(member)
        above = [name for name in intent.parents if name != member.session] or [member.session]
        parents.setdefault(member.key, next((name for name in above if name in alias or name in lines), above[0]))
    tops, children = [], dict[str, list[str]]()
    for name in lines:
        parent = alias.get(parents.get(name, ""), parents.get(name, ""))
        if parent in lines and parent != name:
            children.setdefault(parent, []).append(name)
        else:
            tops.append(name)
    return tops, children, lines


def _intents_html(ev: Evidence) -> Iterator[str]:
    tops, children, lines = _forest(ev)
    filed, done = outcomes(ev), set[str]()
    yield "<h2>Why: the tree of intents</h2>\n<ul>\n"
    for top in (*tops, *lines):  # the second time for what is only reached from itself
        todo: list[str | None] = [top]
        while todo:
            name = todo.pop()
            if name is None:
                yield "</ul></li>\n"
                continue
            if name in done:
                continue
            done.add(name)
            report = filed.get(name)
            result = (
                f" → <b>{shown(report.get('outcome', '?'))}</b>: {shown(report.get('summary', ''))}" if report else ""
            )
            yield f"<li>{shown(lines[name])} <code>{shown(name if len(name) < 64 else name[:12])}</code>{result}<ul>\n"
            todo += [None, *reversed(children.get(name, ()))]
    yield "</ul>\n"


def _deviations_html(ev: Evidence) -> Iterator[str]:
    yield "<h2>Deviations and observations</h2>\n"
    count = 0
    for name, report in outcomes(ev).items():
        for title, found in (("deviation", report.get("deviations")), ("observed", report.get("observed"))):
            for one in found or ():
                count += 1
                yield f'<p class="d">{title} of <code>{shown(name[:64])}</code>: {shown_json(one)}</p>\n'
    if not count:
        yield "<p>None were reported up to the seal.</p>\n"


def _member_html(ev: Evidence, member: Commit) -> Iterator[str]:
    event, text = ev.events[member.index - ev.first], ev.text_of(member)
    name = member.id.digits
    yield f'<article id="c{name[:12]}"><dl>\n'
    yield _field("commit", f"<code>{name[:12]}</code> on {shown(event.ref)}, {shown(member.category)}")
    yield _field("when, who", _who(event))
    yield _field("session", shown(member.session))
    if text is None:
        yield '<dt>why</dt><dd class="w">withheld: the text was erased; its commitment stands</dd>\n'
        text = {}
    for field in ("description", "reasoning"):
        yield _field("why" if field == "description" else field, shown(text[field], 10_000) if field in text else "")
    yield _field("confidence", "" if member.confidence is None else shown(member.confidence))
    yield _field("on the authority of", _authority_html(text.get("authority")))
    for field in sorted(text.keys() - {"description", "reasoning", "authority"}):
        yield _field(shown(field.replace("_", " ")), shown_json(text[field]))
    for op, path, source, entries in ev.operations_of(member):
        value = "" if entries is None else f" = {shown_json(ev.value_of(entries))}"
        came = f" from <code>{shown(source)}</code>" if source is not None else ""
        yield _field(shown(op), f"<code>{shown(path)}</code>{came}{value}")
    yield _field("state after it", f"<code>{member.root.digits}</code>")
    yield "</dl></article>\n"


def _authority_html(authority: Any) -> str:
    if not isinstance(authority, dict):
        return f"<b>{shown(authority)}</b>" if authority else ""
    rest = {name: value for name, value in authority.items() if name != "principal"}
    return f"<b>{shown(authority.get('principal', ''))}</b> {shown_json(rest) if rest else ''}"


_PROOFS_HTML = """<h2>What the proofs show, and what they do not</h2>
<p>This page proves nothing by itself. Run <code>python verify.py BUNDLE --key KEY</code> with a <code>verify.py</code>
and a KEY that you got by another way than with this bundle: it makes this page again from the evidence and refuses the
bundle where a byte differs.</p>
<p>If it says so, it is shown that the records were in the log when the log was signed at the seal; that every header
from the beginning of the epoch to the seal is here, in order, and none was changed, added or left out; that the members
are those that the seal fixed; that texts and values are those that were committed to; that the states of the members
are those whose roots were recorded; and, with a KEY, that the checkpoints are signed by it.</p>
<p>It is not shown that what was recorded is true; that an agent did nothing without recording it; that the clock was
right; who stood behind an agent's name; that nobody was shown another log (give checkpoints that others kept to
<code>--seen</code>); or what happened after the seal. What is marked as withheld was erased or is not disclosed: its id
and its proofs stand, its content cannot be known from here.</p>
"""
RENDER: Mapping[str, Callable[[Evidence], Iterator[str]]] = {
    "proofs.json": proofs_json,
    "seal.tlog-proof": seal_proof,
    "audit.jsonl": audit_jsonl,
    "report.html": report_html,
}


def derive(ev: Evidence, take: Callable[[str, bytes], None]) -> None:
    """Hand the pieces of every derived file to `take`, one file after the other, the manifest last."""
    sizes = {}
    for name, render in RENDER.items():
        if ev.earlier and name == "audit.jsonl":
            render = earlier_audit_jsonl
        size, digest = 0, sha256()
        for piece in render(ev):
            data = piece.encode()
            size += len(data)
            digest.update(data)
            take(name, data)
        sizes[name] = size, digest.hexdigest()
    for piece in manifest_json(ev, sizes):
        take("manifest.json", piece.encode())


# --- all of it -----------------------------------------------------------------------------------------------

_STAGES: tuple[tuple[str, Callable[[Evidence], None]], ...] = (
    ("P9", Evidence.check_notes),
    ("P4", Evidence.check_log),
    ("P4", Evidence.check_events),
    ("P1", Evidence.check_bodies),
    ("P4", Evidence.check_context),
    ("P1", Evidence.check_commits),
    ("P12", Evidence.check_values),
    ("P4", Evidence.check_members),
    ("P2", Evidence.check_objects),
)


def examine(ev: Evidence) -> bool:
    """Check all that is not derived; whether every file could be read."""
    findings = ev.findings
    for name, stage in _STAGES:
        try:
            stage(ev)
        except Malformed as error:
            findings.violate(name, str(error))
            return False
        except NONSENSE as error:
            findings.violate(name, f"{stage.__name__}: what is told makes no sense: {type(error).__name__}: {error}")
            return False
    return True


def verify(
    files: Mapping[str, Bytes],
    key: Key | None,
    own: bytes | None,
    digest: Hash = blake3,
    seen: Sequence[tuple[str, bytes]] = (),
) -> Evidence:
    """Check the files of a bundle. `own` is this very file, if it could be read; `seen` are names and notes."""
    ev = Evidence(files, digest)
    readable = examine(ev)
    findings = ev.findings
    if ev.key is not None:
        if key is None:
            findings.doubt("P9", "whose key it is: give --key, got by another way. The bundle says " + str(ev.key))
        elif key != ev.key:
            findings.violate("P9", f"the bundle is signed by {ev.key}, and not by {key}")
    _check_seen(ev, key, seen if readable else ())
    findings.doubt("P10", "principal, agent and client are as the server recorded them; no agent signed")
    findings.show("P13", "by the standard library of Python alone, from the bundle alone")
    if readable:
        _check_derived(ev, own)
    return ev


def damaged(why: str) -> Evidence:
    """The verdict over a bundle whose archive is not in its one form, so that nothing in it is read."""
    ev = Evidence({})
    for name in PROPERTIES:
        ev.findings.doubt(name, "not looked at: the archive is damaged, and nothing in it is read")
    ev.findings.violate("P14", f"the archive is not as it was made: {why}. Get the bundle again from who exported it")
    return ev


def verify_archive(
    data: Bytes, key: Key | None, own: bytes | None, digest: Hash = blake3, seen: Sequence[tuple[str, bytes]] = ()
) -> Evidence:
    """Check the bytes of a bundle, which may be damaged. Raises Unreadable where they are none at all."""
    try:
        files = opened_archive(data)
    except Damaged as error:
        return damaged(str(error))
    return verify(files, key, own, digest, seen)


def _check_seen(ev: Evidence, key: Key | None, seen: Sequence[tuple[str, bytes]]) -> None:
    """P7: the log of the bundle is that of which others kept checkpoints, as far as it covers them.

    That proves something only of a checkpoint that whoever made the bundle did not have to give: signed with a key
    that came by another way, and none of the two that are in the bundle.
    """
    findings, own = ev.findings, []
    for name, note in seen:
        try:
            if ev.key is None:
                raise ValueError("the key of the bundle cannot be read")
            kept = opened_note(note, key or ev.key)
        except ValueError as error:
            findings.doubt("P7", f"{name} tells nothing of this log: {error}")
            continue
        if not ev.first <= kept.size <= ev.tree.size:
            findings.doubt("P7", f"{name} is of {kept.size} events; the bundle has {ev.first} to {ev.tree.size}")
        elif ev.tree.root(kept.size) != kept.root:
            findings.violate("P7", f"{name} has another root for {kept.size} events: two logs of one name")
        elif key is None:
            findings.doubt("P7", f"{name} agrees, but whose signature it has is not known without --key")
        elif kept in (ev.opening, ev.sealing):
            own.append(name)
        else:
            findings.show("P7", f"{name}: the same log at {kept.size} events")
    for name in own:
        say = findings.show if "P7" in findings.shown else findings.doubt
        say("P7", f"{name} is a checkpoint that is in the bundle itself: that it agrees proves nothing")
    if not {"P7"} & (findings.shown.keys() | findings.doubts.keys()):
        findings.doubt("P7", "no witness has cosigned; give checkpoints that others kept of this log with --seen")


def _check_derived(ev: Evidence, own: bytes | None) -> None:
    findings, carried = ev.findings, bytes(ev.files["verify.py"])
    if carried != own:
        if own is None or ev.earlier:
            what = "the bundle has an earlier published verify.py" if ev.earlier else "this file is unknown"
            findings.doubt("P14", what)
        else:
            findings.violate("P14", "verify.py in the bundle is not this program; do not run it")
    at = dict.fromkeys(DERIVED, 0)

    def compare(name: str, piece: bytes) -> None:
        start = at[name]
        if start >= 0 and bytes(ev.files[name][start : start + len(piece)]) == piece:
            at[name] = start + len(piece)
        else:
            at[name] = -1

    try:
        derive(ev, compare)
    except (Malformed, *NONSENSE) as error:
        findings.violate("P14", f"nothing can be derived from this: {type(error).__name__}: {error}")
        return
    for name, end in at.items():
        if end != len(ev.files[name]):
            findings.violate("P14", f"{name} is not what the evidence gives")
    findings.show("P14", f"{', '.join(DERIVED)} made again, byte for byte")


def _printable(text: str) -> str:
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text).replace("\n", "\\n")


def as_text(ev: Evidence) -> Iterator[str]:
    """The verdict for a person, line by line."""
    findings = ev.findings
    counts = dict.fromkeys((PROVED, NOT_PROVED, VIOLATED), 0)
    counted = f"{len(ev.members)} commits, {ev.size} events"
    yield _printable(f"Epoch {ev.epoch} of the log {ev.sealing.origin}: {counted}" if ev.files else "A damaged bundle")
    for name, (title, _) in PROPERTIES.items():
        status = findings.status(name)
        counts[status] += 1
        first, *rest = findings.reasons(name)
        yield f"{name:4} {title:21} {status:10}  {_printable(first)}"
        for reason in rest:
            yield f"{'':38}  {_printable(reason)}"
    yield ", ".join(f"{count} {status}" for status, count in counts.items())


def as_json(ev: Evidence) -> dict[str, Any]:
    """The verdict for a program."""
    findings = ev.findings
    properties = [
        {"id": name, "name": title, "status": findings.status(name), "reasons": findings.reasons(name)}
        for name, (title, _) in PROPERTIES.items()
    ]
    return {
        "format": FORMAT,
        "epoch": ev.epoch,
        "origin": ev.sealing.origin,
        "size": ev.size,
        "root": b64(ev.sealing.root),
        "key": str(ev.key or ""),
        "commits": len(ev.members),
        "withheld": ev.withheld,
        "ok": not findings.violated,
        "properties": properties,
    }


def exit_code(findings: Findings, *, strict: bool) -> int:
    """See the top of this file."""
    if findings.violated:
        return BROKEN
    whole = all(findings.status(name) == PROVED for name in PROPERTIES)
    return UNPROVED if strict and not whole else OK


def _given_key(text: str) -> Key:
    if os.path.isfile(text):
        with open(text, encoding="utf-8") as file:
            text = file.read(4096)
    return parse_key(text)


def _kept_note(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(1_000_000)


def _own_source() -> bytes | None:
    try:
        with open(__file__, "rb") as file:
            return file.read()
    except (OSError, NameError):
        return None


def verify_file(path: str, key: Key | None, digest: Hash = blake3, seen: Sequence[tuple[str, bytes]] = ()) -> Evidence:
    """Check the bundle in a file, which is mapped, not read. Raises Unreadable and OSError."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if not 0 < size <= ARCHIVE_BYTES_MAX + 1_000_000:
            raise Unreadable("it is larger than a bundle can be" if size else "it is empty")
        data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return verify_archive(data, key, _own_source(), digest, seen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify the bundle that the command line names."""
    parser = argparse.ArgumentParser(description="Verify an evidence bundle of asg-mcp.")
    parser.add_argument("bundle", metavar="BUNDLE")
    parser.add_argument("--key", default="", help="the log's public key, or a file with it, got by another way")
    parser.add_argument(
        "--seen", metavar="FILE", action="append", default=[], help="a checkpoint that others kept; needs --key"
    )
    parser.add_argument("--json", action="store_true", help="the verdict as one JSON document")
    parser.add_argument("--strict", action="store_true", help="exit code 4 when something is not proved")
    options = parser.parse_args(arguments)
    try:
        key = _given_key(options.key) if options.key else None
        seen = [(path, _kept_note(path)) for path in options.seen]
    except (ValueError, OSError) as error:
        sys.stderr.write(f"--key or --seen: {error}\n")
        return USAGE
    try:
        ev = verify_file(options.bundle, key, seen=seen)
    except (Unreadable, OSError) as error:
        why = f"{options.bundle} is no bundle of format {FORMAT}: {error}"
        if isinstance(error, OSError):
            why = f"{options.bundle} cannot be read: {error.strerror or error}"
        why += ". Give the file that `asg-mcp export EPOCH -o FILE` wrote."
        if options.json:
            sys.stdout.write(json.dumps({"ok": False, "unreadable": why}) + "\n")
        sys.stderr.write(_printable(why) + "\n")
        return UNREADABLE
    if options.json:
        sys.stdout.write(json.dumps(as_json(ev), indent=1) + "\n")
    else:
        for line in as_text(ev):
            sys.stdout.buffer.write(line.encode() + b"\n")
    return exit_code(ev.findings, strict=options.strict)


if __name__ == "__main__":
    sys.exit(main())
