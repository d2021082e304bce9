"""Forging bundles: whoever has one and every program, but not the key, may try all of this.

A forgery is made well: the archive is built anew, what is derived is derived again, and hashes are recomputed as far as
the mutation says. What is left to find is what it is about.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import libipld
from blake3 import blake3
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from asg_mcp.core.notes import VerifierKey
from asg_mcp.evidence import verify as v

CID = b"\x01\x71\x1e\x20"
ARCHIVE = frozenset({"P14"})
"""What is found violated, and nothing else, where the archive has not its one form, so that nothing in it is read."""


def digest(data: Any) -> bytes:
    return blake3(bytes(data)).digest()


def cid(item: Any) -> bytes:
    return CID + digest(encoded(item))


def encoded(item: Any) -> bytes:
    data: bytes = libipld.encode_dag_cbor(item)
    return data


def items(data: bytes) -> list[bytes]:
    """The items of a CBOR sequence."""
    cbor, found = v.Cbor(data, "forged"), []
    while cbor.more:
        start = cbor.at
        cbor.item()
        found.append(data[start : cbor.at])
    return found


def decoded(data: bytes) -> list[Any]:
    return [libipld.decode_dag_cbor(item) for item in items(data)]


def archived(files: dict[str, bytes]) -> bytes:
    return b"".join(v.archive(files))


def rederived(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with all that is derived from the others made again, where anything can be."""
    ev = v.Evidence(files, digest)
    v.examine(ev)
    made = dict.fromkeys(v.DERIVED, b"")

    def take(name: str, piece: bytes) -> None:
        made[name] += piece

    try:
        v.derive(ev, take)
    except (v.Malformed, *v.NONSENSE):
        return files
    return {**files, **made}


def verdict(data: bytes, key: str, own: bytes) -> set[str]:
    """Which properties are found violated in a bundle. Raises v.Unreadable where nothing tells that it was one."""
    ev = v.verify_archive(data, v.parse_key(key) if key else None, own)
    assert set(ev.findings.violated) <= set(v.PROPERTIES)
    return set(ev.findings.violated)


@dataclass
class Forger:
    """One bundle in its parts. `rechain` makes all hashes agree again; `files` is what comes out."""

    original: dict[str, bytes]
    random: Random
    files: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.files = dict(self.original)
        self.events: list[Any] = decoded(self.files["events.cborseq"])
        self.commits: list[Any] = decoded(self.files["commits.cborseq"])
        self.bodies: list[Any] = decoded(self.files["bodies.cborseq"])
        self.first: int = self.events[0]["index"]

    def pick(self, things: list[Any]) -> int:
        return self.random.randrange(len(things))

    def put(self) -> None:
        """Write events, commits and bodies as they are now."""
        for name, parts in (("events", self.events), ("commits", self.commits), ("bodies", self.bodies)):
            self.files[f"{name}.cborseq"] = b"".join(map(encoded, parts))

    def tree(self) -> v.LogTree:
        frontier = [bytes.fromhex(text) for text in json_of(self.files["log.json"])["frontier"]]
        tree = v.LogTree(self.first, frontier)
        for event in self.events:
            tree.add(v.leaf_hash(encoded(event)))
        return tree

    def rechain(self) -> None:
        """Recompute every id, commitment, root and checkpoint; all that lacks is the key."""
        moved: dict[bytes, bytes] = {}
        brought = [event for event in self.events if event["kind"] in v.BRINGS]
        brought = brought[len(brought) - len(self.commits) :]  # without the last commit before the epoch
        for commit, event in zip(self.commits, brought, strict=True):
            header, operations, body = commit
            header["parents"] = [moved.get(parent, parent) for parent in header["parents"]]
            if operations is not None:
                header["ops"] = cid(operations)
                header["body"] = header["body"] if body is None else cid(body)
            moved[event["new"]] = cid(header)
        for event in self.events:
            for side in ("old", "new"):
                if side in event:
                    event[side] = moved.get(event[side], event[side])
        told = self.bodies[-1][1][1]
        members = [cid(header) for header, operations, _ in self.commits if operations is not None]
        told["members"], told["commits"] = v.root_over(members).hex(), len(members)
        told["last"] = cid(self.commits[-1][0])[4:].hex() if self.commits else told["last"]
        by_index = {event["index"]: event for event in self.events}
        for index, salted in self.bodies:
            if salted is not None:
                by_index[index]["body"] = cid(salted)
        self.put()
        tree = self.tree()
        self.checkpoint("checkpoint-open.txt", json_of(self.files["log.json"])["opened"] + 1, tree)
        self.checkpoint("checkpoint-seal.txt", tree.size, tree)

    def checkpoint(self, name: str, size: int, tree: v.LogTree) -> None:
        """Another size and root under the old signature."""
        origin, _, _, blank, line, end = self.files[name].decode().split("\n")
        self.files[name] = "\n".join([origin, str(size), v.b64(tree.root(size)), blank, line, end]).encode()

    def sign(self) -> None:
        """Sign both checkpoints with a key of the forger's own, under the log's name."""
        private = Ed25519PrivateKey.from_private_bytes(bytes(self.random.randrange(256) for _ in range(32)))
        name = self.files["key.txt"].decode().split("+")[0]
        key = VerifierKey(name, private.public_key().public_bytes_raw())
        self.files["key.txt"] = f"{key}\n".encode()
        for file in ("checkpoint-open.txt", "checkpoint-seal.txt"):
            text = self.files[file].decode().rpartition("\n\n")[0] + "\n"
            line = b64encode(key.key_id + private.sign(text.encode())).decode()
            self.files[file] = f"{text}\n\N{EM DASH} {name} {line}\n".encode()


def json_of(data: bytes) -> Any:
    return json.loads(data)


# --- mutations: each names what must be found, or None where it has nothing to change ---

Mutation = Callable[[Forger], "frozenset[str] | None"]


def _set(*names: str) -> frozenset[str]:
    return frozenset(names)


def edit_an_event(f: Forger) -> frozenset[str]:
    event = f.events[f.pick(f.events)]
    name = f.random.choice(["principal", "agent", "at", "subject", "session", "client"])
    event[name] = event.get(name, "") + f.random.choice(["x", "\u202e", "0"])
    f.put()
    return _set("P4")


def backdate_an_event(f: Forger) -> frozenset[str]:
    event = f.events[f.pick(f.events)]
    event["at"] = f"1999{event['at'][4:]}"
    f.put()
    return _set("P4")


def remove_an_event(f: Forger) -> frozenset[str]:
    f.events.pop(f.pick(f.events))
    f.put()
    return _set("P3", "P5", "P4")


def remove_an_event_and_count_again(f: Forger) -> frozenset[str] | None:
    if len(f.events) < 4:
        return None
    f.events.pop(f.random.randrange(1, len(f.events) - 1))
    for index, event in enumerate(f.events, f.first):
        event["index"] = index
    f.put()
    return _set("P4", "P5")


def swap_two_events(f: Forger) -> frozenset[str] | None:
    if len(f.events) < 2:
        return None
    at = f.random.randrange(len(f.events) - 1)
    f.events[at], f.events[at + 1] = f.events[at + 1], f.events[at]
    f.put()
    return _set("P3")


def insert_an_event(f: Forger) -> frozenset[str]:
    at = f.pick(f.events)
    f.events.insert(at, {**f.events[at], "agent": "somebody"})
    f.put()
    return _set("P3", "P5")


def append_after_the_seal(f: Forger) -> frozenset[str]:
    f.events.append({**f.events[-1], "index": f.events[-1]["index"] + 1, "kind": "epoch_sealed"})
    f.put()
    return _set("P5", "P6")


def cut_off_the_tail(f: Forger) -> frozenset[str]:
    del f.events[f.random.randrange(len(f.events)) :]
    f.put()
    return _set("P5", "P4")


def cut_off_the_tail_and_say_so(f: Forger) -> frozenset[str] | None:
    told = json_of(f.files["log.json"])
    keep = f.random.randrange(len(f.events))
    size = f.first + keep
    if size <= told["opened"] + 1:
        return None
    del f.events[keep:]
    f.put()
    f.files["log.json"] = v.log_json(
        told["epoch"], told["after"], told["first"], told["opened"], size, told["frontier"]
    )
    return _set("P5")


def edit_a_commit(f: Forger) -> frozenset[str] | None:
    if not f.commits:
        return None
    header = f.commits[f.pick(f.commits)][0]
    _edit_header(f, header)
    f.put()
    return _set("P1")


def _edit_header(f: Forger, header: dict[str, Any]) -> None:
    name = f.random.choice(["category", "agent", "principal", "at", "confidence", "parent_intent", "intent", "root"])
    if name == "confidence":
        header[name] = 0.999 if header.get(name) != 0.999 else 0.5
    elif name == "root":
        header[name] = CID + digest(header[name])
    else:
        header[name] = header.get(name, "") + "x"


def edit_a_text(f: Forger) -> frozenset[str] | None:
    told = [body for _, operations, body in f.commits if operations is not None and body is not None]
    if not told:
        return None
    body = f.random.choice(told)
    body[1]["description"] += "!"
    if f.random.random() < 0.5:
        body[1]["authority"] = "the-forger"
    f.put()
    return _set("P1")


def edit_a_salt(f: Forger) -> frozenset[str] | None:
    told = [*[body for _, _, body in f.commits if body is not None], *[salted for _, salted in f.bodies]]
    salted = f.random.choice(told)
    salted[0] = ("0" if salted[0][0] != "0" else "1") + salted[0][1:]
    f.put()
    return _set("P1")


def edit_operations(f: Forger) -> frozenset[str] | None:
    told = [operations for _, operations, _ in f.commits if operations]
    if not told:
        return None
    operations = f.random.choice(told)
    kind = f.random.randrange(3)
    if kind == 0:
        operations[f.pick(operations)][1] += "x"
    elif kind == 1:
        operations.pop(f.pick(operations))
    else:
        operations.insert(0, ["delete", "/evidence", None, None])
    f.put()
    return _set("P1")


def hide_a_member(f: Forger) -> frozenset[str] | None:
    told = [commit for commit in f.commits if commit[1] is not None]
    if not told:
        return None
    commit = f.random.choice(told)
    commit[1] = commit[2] = None
    f.put()
    return _set("P4")


def smuggle_in_a_member(f: Forger) -> frozenset[str] | None:
    told = [commit for commit in f.commits if commit[1] is None]
    if not told:
        return None
    f.random.choice(told)[1:] = [[["set", "/a", None, []]], ["0" * 32, {"description": "It was me."}]]
    f.put()
    return _set("P4", "P1")


def remove_or_swap_commits(f: Forger) -> frozenset[str] | None:
    if len(f.commits) < 2:
        return None
    at = f.random.randrange(len(f.commits) - 1)
    if f.random.random() < 0.5:
        f.commits.pop(at)
    else:
        f.commits[at], f.commits[at + 1] = f.commits[at + 1], f.commits[at]
    f.put()
    return _set("P1")


def edit_the_body_of_an_event(f: Forger) -> frozenset[str] | None:
    body = f.random.choice(f.bodies)[1][1]
    name = f.random.choice(sorted(body))
    body[name] = f"{body[name]}!" if isinstance(body[name], str) else "forged"
    f.put()
    return _set("P1")


def remove_the_body_of_an_event(f: Forger) -> frozenset[str]:
    f.bodies.pop(f.pick(f.bodies))
    f.put()
    return _set("P4", "P5") if f.bodies else _set("P4")


def edit_a_value(f: Forger) -> frozenset[str] | None:
    told = decoded(f.files["values.cborseq"])
    if not told:
        return None
    at = f.pick(told)
    roll = f.random.randrange(4)
    if roll == 0:
        told[at] = [told[at][0], "forged"]
    elif roll == 1:
        told.pop(at)
    elif roll == 2:
        told.append(told[at])
    else:
        told[at] = ["0" * 32, told[at][1]]
    f.files["values.cborseq"] = b"".join(map(encoded, told))
    return None if f.files["values.cborseq"] == f.original["values.cborseq"] else _set("P12")


def blocks_of(data: bytes) -> tuple[bytes, list[bytes]]:
    """The header of a CAR file, and its blocks with their lengths."""
    size, at = v.read_varint(data, 0)
    head, at, blocks = data[: at + size], at + size, []
    while at < len(data):
        start = at
        size, at = v.read_varint(data, at)
        at += size
        blocks.append(data[start:at])
    return head, blocks


def edit_the_nodes(f: Forger) -> frozenset[str] | None:
    head, blocks = blocks_of(f.files["objects.car"])
    if not blocks:
        return None
    at, roll = f.pick(blocks), f.random.randrange(5)
    if roll == 0:
        blocks.pop(at)
    elif roll == 1:
        blocks.insert(at, blocks[f.pick(blocks)])
    elif roll == 2:
        f.random.shuffle(blocks)
    elif roll == 3:
        head = head[:-1] + bytes((head[-1] ^ 1,))
    else:
        _, start = v.read_varint(blocks[at], 0)
        node = libipld.decode_dag_cbor(blocks[at][start + 36 :])
        node[1] = node[1][:-1] or [["", 1, None]]
        block = CID + digest(encoded(node)) + encoded(node)
        blocks[at] = v.varint(len(block)) + block
    f.files["objects.car"] = head + b"".join(blocks)
    return None if f.files["objects.car"] == f.original["objects.car"] else _set("P2")


def edit_the_context(f: Forger) -> frozenset[str] | None:
    told = decoded(f.files["context.cborseq"])
    if not told:
        return None
    at, roll = f.pick(told), f.random.randrange(4)
    if roll == 0:
        told.pop(at)
    elif roll == 1:
        told[at][0]["agent"] += "x"
    elif roll == 2:
        told[at][3] = [*told[at][3][1:], "00" * 32]
    else:
        told.append(told[at])
    f.files["context.cborseq"] = b"".join(map(encoded, told))
    return _set("P4", "P1")


def edit_a_checkpoint(f: Forger) -> frozenset[str]:
    name = f.random.choice(["checkpoint-open.txt", "checkpoint-seal.txt"])
    lines = f.files[name].decode().split("\n")
    roll = f.random.randrange(5)
    if roll == 0:
        lines[1] = str(int(lines[1]) + f.random.choice([-1, 1, 10]))
    elif roll == 1:
        lines[2] = v.b64(digest(lines[2].encode()))
    elif roll == 2:
        lines[0] += "x"
    elif roll == 3:
        parts = lines[4].split(" ")
        raw = bytearray(v.unb64(parts[2]))
        raw[f.random.randrange(4, len(raw))] ^= 1 << f.random.randrange(8)
        lines[4] = " ".join([*parts[:2], v.b64(bytes(raw))])
    else:
        lines.insert(5, lines[4])
    f.files[name] = "\n".join(lines).encode()
    return _set("P9")


def give_a_checkpoint_for_the_other(f: Forger) -> frozenset[str] | None:
    names = ["checkpoint-open.txt", "checkpoint-seal.txt"]
    f.random.shuffle(names)
    f.files[names[0]] = f.files[names[1]]
    return None if f.original[names[0]] == f.original[names[1]] else _set("P5")


def edit_the_log(f: Forger) -> frozenset[str] | None:
    told = json_of(f.files["log.json"])
    roll = f.random.randrange(3)
    if roll == 0 and told["frontier"]:
        at = f.pick(told["frontier"])
        told["frontier"][at] = digest(told["frontier"][at].encode()).hex()
        wanted = _set("P4", "P5")
    elif roll == 1:
        told["opened"] += f.random.choice([-1, 1])
        wanted = _set("P5", "P4")
    elif roll == 2:
        told["epoch"] += "x"
        wanted = _set("P5", "P4")
    else:
        return None
    if told["opened"] < 0:
        return None
    f.files["log.json"] = v.log_json(
        told["epoch"], told["after"], told["first"], told["opened"], told["size"], told["frontier"]
    )
    return wanted


def rechain_without_the_key(f: Forger) -> frozenset[str] | None:
    """One change, and every hash behind it computed again; the signature is the one thing that cannot be."""
    return _set("P9") if change_and_rechain(f) else None


def rechain_under_another_key(f: Forger) -> frozenset[str] | None:
    """The same, signed with the forger's key: only whoever knows the log's key can tell."""
    if not change_and_rechain(f):
        return None
    f.sign()
    return _set("P9")


def rechain_and_keep_the_checkpoints(f: Forger) -> frozenset[str] | None:
    """The same under the checkpoints that were signed: they have another root."""
    if not change_and_rechain(f):
        return None
    for name in ("checkpoint-open.txt", "checkpoint-seal.txt"):
        f.files[name] = f.original[name]
    return _set("P4")


def change_and_rechain(f: Forger) -> bool:
    """A change of the story with all of its consequences; whether there was anything to change."""
    told = [commit for commit in f.commits if commit[1] is not None and commit[2] is not None]
    roll = f.random.randrange(4)
    if roll == 0 and told:
        f.random.choice(told)[2][1]["description"] = "What should have been."
    elif roll == 1 and told:
        f.random.choice(told)[0]["confidence"] = 0.123
    elif roll == 2:
        f.bodies[-1][1][1]["summary"] = "All went well."
    else:
        for event, commit in _pairs(f):
            event["at"] = commit["at"] = f"1999{event['at'][4:]}"
    f.rechain()
    return f.files["events.cborseq"] != f.original["events.cborseq"]


def _pairs(f: Forger) -> Iterator[tuple[Any, Any]]:
    brought = [event for event in f.events if event["kind"] in v.BRINGS]
    brought = brought[len(brought) - len(f.commits) :]
    yield from ((event, commit[0]) for event, commit in zip(brought, f.commits, strict=True))


MUTATIONS: tuple[Mutation, ...] = (
    edit_an_event,
    backdate_an_event,
    remove_an_event,
    remove_an_event_and_count_again,
    swap_two_events,
    insert_an_event,
    append_after_the_seal,
    cut_off_the_tail,
    cut_off_the_tail_and_say_so,
    edit_a_commit,
    edit_a_text,
    edit_a_salt,
    edit_operations,
    hide_a_member,
    smuggle_in_a_member,
    remove_or_swap_commits,
    edit_the_body_of_an_event,
    remove_the_body_of_an_event,
    edit_a_value,
    edit_the_nodes,
    edit_the_context,
    edit_a_checkpoint,
    give_a_checkpoint_for_the_other,
    edit_the_log,
    rechain_without_the_key,
    rechain_under_another_key,
    rechain_and_keep_the_checkpoints,
)
"""Forgeries whose derived files are made again."""

RAW_OF = {
    "report.html": _set("P14"),
    "manifest.json": _set("P14"),
    "checkpoint-open.txt": _set("P9"),
    "checkpoint-seal.txt": _set("P9", "P14"),
    "key.txt": _set("P9"),
    "log.json": _set("P4", "P5"),
    "events.cborseq": _set("P4", "P3", "P5"),
    "commits.cborseq": _set("P1", "P4", "P12"),
    "bodies.cborseq": _set("P1", "P4", "P5"),
    "values.cborseq": _set("P12"),
    "context.cborseq": _set("P4", "P1"),
    "objects.car": _set("P2"),
    "proofs.json": _set("P14"),
    "seal.tlog-proof": _set("P14"),
    "audit.jsonl": _set("P14"),
    "verify.py": _set("P14"),
}
"""What must be found where bytes of a file are changed: an edit, a cut, an insertion, a removal, a reordering."""


def mutate_bytes(data: bytes, random: Random) -> bytes:
    """Bytes flipped, removed, put in, cut off, or two stretches exchanged."""
    at, roll = random.randrange(len(data) + 1), random.randrange(5)
    size = random.randint(1, 40)
    if roll == 0 and data:
        at = min(at, len(data) - 1)
        return data[:at] + bytes((data[at] ^ 1 << random.randrange(8),)) + data[at + 1 :]
    if roll == 1:
        return data[:at] + data[at + size :]
    if roll == 2:
        return data[:at] + random.randbytes(size) + data[at:]
    if roll == 3:
        return data[:at]
    return data[:at] + data[at + size : at + 2 * size] + data[at : at + size] + data[at + 2 * size :]


NOTHING_BYTES_MAX = 100
"""What is cut off as early as this is not told from any other file."""


def forged(original: dict[str, bytes], whole: bytes, random: Random) -> tuple[str, bytes, frozenset[str]]:
    """A forgery of a bundle: how it was made, its bytes, and of which at least one must be found violated."""
    while True:
        roll = random.random()
        if roll < 0.1:
            data, name, wanted = mutate_bytes(whole, random), "bytes of the archive", ARCHIVE
        elif roll < 0.35:
            name = random.choice(v.NAMES)
            data, wanted = archived({**original, name: mutate_bytes(original[name], random)}), RAW_OF[name]
        else:
            mutation = random.choice(MUTATIONS)
            forger = Forger(original, random)
            found = mutation(forger)
            if found is None:
                continue
            name, data, wanted = mutation.__name__, archived(rederived(forger.files)), found
        if data != whole and len(data) > NOTHING_BYTES_MAX:
            return name, data, wanted
