"""What of a store goes into an evidence bundle: the files that are not derived, each a function of the store alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asg_mcp.core.ids import DIGEST_BYTES, Id, is_prefix
from asg_mcp.core.nodes import Blob, Branch, Hasher
from asg_mcp.core.values import encode
from asg_mcp.errors import Conflict, StoreCorrupt, Withheld
from asg_mcp.evidence.verify import (
    BRINGS,
    Intent,
    about,
    ancestry,
    car_header,
    log_json,
    served,
    subtrees,
    varint,
)
from asg_mcp.evidence.verify import Event as Told
from asg_mcp.evidence.verify import Link as ToldLink
from asg_mcp.repo.epochs import SEALED, epoch_record, lineage_of
from asg_mcp.repo.ledger import EVENT_KINDS, event_of
from asg_mcp.repo.lineage import whole_id
from asg_mcp.repo.logtree import inclusion_proof, subtree_hash
from asg_mcp.repo.records import header_of, info_of, operations_of
from asg_mcp.repo.resolve import state_at, tried_in
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.view import View
from asg_mcp.storage.base import CommitRow, EventRow, Reader, Record, RecordKind, TermKind

_PAGE = 500
_NULL = b"\xf6"


def evidence_files(view: View, epoch: str) -> dict[str, bytes]:
    """The files of a sealed epoch's bundle that are not derived, by name, without the program.

    Raises NotFound, Conflict where the epoch is not sealed and signed, and StoreCorrupt.
    """
    record = epoch_record(view.reader, epoch)
    data = record.data
    if data["state"] != SEALED or "checkpoint" not in data:
        raise Conflict(
            f"Epoch {epoch} is {'not signed' if data['state'] == SEALED else 'still open'}",
            hint="Seal it with asg_seal_epoch (the same summary again where it is sealed); what is sealed is exported.",
            epoch=epoch,
            state=data["state"],
        )
    collected = _Collected(view.reader, view.hasher, record)
    return {
        "checkpoint-open.txt": data["opening"].encode(),
        "checkpoint-seal.txt": data["checkpoint"].encode(),
        "key.txt": f"{data['key']}\n".encode(),
        "log.json": collected.log(),
        "events.cborseq": b"".join(collected.events()),
        "commits.cborseq": b"".join(collected.commits()),
        "bodies.cborseq": b"".join(collected.bodies()),
        "values.cborseq": b"".join(collected.values()),
        "context.cborseq": b"".join(collected.context()),
        "objects.car": b"".join(collected.objects()),
    }


class _Collected:
    """One epoch: which events and commits its bundle has, and their bytes."""

    def __init__(self, reader: Reader, hasher: Hasher, record: Record) -> None:
        self._reader, self._hasher, self._record = reader, hasher, record
        self._size: int = record.data["size"]
        self._after = _seq_of(reader, record.data["after"])
        self._members = set(lineage_of(reader, record).members)
        self._first = min(record.opened, _bringing_event(reader, self._after)) if self._after else 0
        self._linked: dict[int, tuple[Intent, CommitRow | None]] = {}
        """Events that may link a member to a root intent: what each says, and the commit that it brought."""
        self._context: list[int] = []
        """Those from before the epoch without any of which a member would not be linked."""
        roots = record.data["roots"]
        self._names = self._above(roots) if roots else None

    # --- what links members to the root intents ---

    def _above(self, roots: list[str]) -> set[str]:
        """The names of the members, and of all above them up to the roots."""
        intents = [_intent(self._reader, info_of(self._reader, row)) for row in self._rows()]
        ancestry(intents, roots, self._before)
        inside = [link for index, (link, row) in self._linked.items() if index >= self._first and row is None]
        before = sorted(index for index, (_, row) in self._linked.items() if index < self._first or row is not None)
        self._context = self._needed([*inside, *intents], roots, before, [])
        kept: dict[str, list[tuple[str, ...]]] = {}
        for link in [*inside, *[self._linked[index][0] for index in self._context]]:
            for name in link.names:
                kept.setdefault(name, []).append((*link.names[1:], *link.parents))
        above = ancestry(intents, roots, lambda name: kept.get(name, ()))
        return above | {name for intent in intents for name in intent.names}

    def _needed(self, intents: list[Intent], roots: list[str], part: list[int], others: list[int]) -> list[int]:
        """Those of a part of the events before the epoch that cannot all be left out while the others stay.

        What is left has nothing that could be left out unseen, and what has no need to be known is not disclosed.
        """
        links = [self._linked[index][0]._replace(commit=None) for index in others]
        if not part or len(served([*links, *intents], roots)) == len(self._members):
            return []
        if len(part) == 1:
            return part
        middle = len(part) // 2
        left = self._needed(intents, roots, part[:middle], [*others, *part[middle:]])
        return [*left, *self._needed(intents, roots, part[middle:], [*others, *left])]

    def _before(self, name: str) -> Iterator[tuple[str, ...]]:
        """What the session and the commits from before the epoch that go by a name serve."""
        reader = self._reader
        session = reader.record(RecordKind.SESSION, name)
        if session is not None and session.opened < self._size:
            parent = session.data.get("parent")
            link = Intent((name,), (parent,) if parent else (), None)
            self._linked[session.opened] = link, None
            yield link.parents
        for info in _named(reader, name, self._after):
            link = _intent(reader, info)
            self._linked[_bringing_event(reader, info.seq)] = link, reader.commit(info.seq)
            yield (*link.names[1:], *link.parents)

    def _rows(self) -> Iterator[CommitRow]:
        return (self._reader.commit(seq) for seq in sorted(self._members))

    # --- the files ---

    def log(self) -> bytes:
        hashes = [subtree_hash(self._reader, level, index).hex() for level, index in subtrees(0, self._first)]
        return log_json(
            self._record.key, self._record.data["after"], self._first, self._record.opened, self._size, hashes
        )

    def _event_rows(self) -> Iterator[EventRow]:
        return (_event_row(self._reader, index) for index in range(self._first, self._size))

    def events(self) -> Iterator[bytes]:
        return (encode(event_of(self._reader, row).header()) for row in self._event_rows())

    def commits(self) -> Iterator[bytes]:
        for row in self._event_rows():
            if not _brings(row) or row.new is None or row.new <= self._after:
                continue
            commit = self._reader.commit(row.new)
            yield b"\x83" + encode(header_of(self._reader, commit, self._hasher).as_map())
            if commit.seq in self._members:
                yield encode([operation.hashed(self._hasher) for operation in operations_of(commit)])
                yield _salted(commit.parts[10], commit.parts[11])
            else:
                yield _NULL + _NULL

    def bodies(self) -> Iterator[bytes]:
        for row in self._event_rows():
            if about(self._told(row), self._record.key, self._names):
                yield b"\x82" + encode(row.index) + _event_salted(row)

    def _told(self, row: EventRow) -> Told:
        event = event_of(self._reader, row)
        body = None if event.body is None else ToldLink(event.body)
        return Told(row.index, event.kind.value, event.ref, None, None, event.subject, body, "", "", "", "", "")

    def values(self) -> Iterator[bytes]:
        seen = set()
        for row in self._rows():
            for operation in operations_of(row):
                for entry in operation.entries or ():
                    value_id = self._hasher.value_id(entry)
                    if value_id is not None and value_id not in seen:
                        seen.add(value_id)
                        yield self._value(value_id, entry.value)

    def _value(self, value_id: Id, value: Any) -> bytes:
        if type(value) is Blob:
            if value.erased:
                return encode(value_id)
            try:
                group = self._reader.blob_group(value.row)
                value = self._reader.blob(value.row)
                return encode([self._hasher.ids_of(group).salt_of(encode(value)), value])
            except Withheld:  # its class key was destroyed
                return encode(value_id)
        return encode([self._hasher.value_ids.salt_of(encode(value)), value])

    def context(self) -> Iterator[bytes]:
        for index in self._context:
            row, commit = _event_row(self._reader, index), self._linked[index][1]
            yield b"\x84" + encode(event_of(self._reader, row).header())
            yield _NULL if commit is None else encode(header_of(self._reader, commit, self._hasher).as_map())
            yield _event_salted(row) if commit is None else _NULL
            yield encode([digest.hex() for digest in inclusion_proof(self._reader, index, self._size)])

    def objects(self) -> Iterator[bytes]:
        links = [state_at(self._reader, self._hasher, row).tree.root for row in self._rows()]
        roots = {link.id: link for link in links}
        yield car_header(list(roots))
        seen: set[Id] = set()
        value_id = self._hasher.value_id
        for root in roots.values():
            todo = [root]
            while todo:
                link = todo.pop()
                if link.id in seen:
                    continue
                seen.add(link.id)
                node = link.node if link.node is not None else self._reader.load(link.row)
                if type(node) is Branch:
                    block = encode([node.height, [child.id for child in node.items]])
                    todo += reversed(node.items)
                else:
                    block = encode([0, [[entry.key, entry.kind, value_id(entry)] for entry in node.items]])
                yield varint(len(link.id) + len(block)) + link.id + block


def _intent(reader: Reader, info: CommitInfo) -> Intent:
    """What a commit serves, as `lineage` has it."""
    names = (info.id.hex(), info.intent_id) if info.intent_id else (info.id.hex(),)
    whole = whole_id(reader, info.parent_intent, info.seq)
    return Intent(names, tuple(sorted({info.parent_intent, whole, info.session} - {""})), ToldLink(info.id))


def _named(reader: Reader, name: str, last: int) -> Iterator[CommitInfo]:
    """The commits on branches up to number `last` that go by a name: their whole id, or their intent_id."""
    if len(name) == 2 * DIGEST_BYTES and is_prefix(name):
        for seq in reader.commit_seqs(name, 1):
            if seq <= last and not tried_in(reader, reader.commit(seq)):
                yield info_of(reader, reader.commit(seq))
    before = last + 1
    while found := reader.find((TermKind.INTENT, name), before, _PAGE):
        before = found[-1]
        rows = (reader.commit(seq) for seq in found)
        infos = (info_of(reader, row) for row in rows if not tried_in(reader, row))
        yield from (info for info in infos if info.intent_id == name)


def _brings(row: EventRow) -> bool:
    return EVENT_KINDS[row.kind].value in BRINGS


def _event_row(reader: Reader, index: int) -> EventRow:
    row = reader.event(index)
    if row is None:
        raise StoreCorrupt(f"event {index} is missing", kind="event", row=index)
    return row


def _bringing_event(reader: Reader, seq: int) -> int:
    """The index of the event that brought a commit. O(log n): commits and their events are in one order."""
    low, high = 0, reader.events_count()
    while low < high:
        middle = (low + high) // 2
        place, row = middle, _event_row(reader, middle)
        while not _brings(row) and place + 1 < high:
            place += 1
            row = _event_row(reader, place)
        if _brings(row) and row.new == seq:
            return place
        if _brings(row) and row.new is not None and row.new < seq:
            low = place + 1
        else:
            high = middle
    raise StoreCorrupt(f"no event brought commit {seq}", kind="commit", row=seq)


def _seq_of(reader: Reader, commit: str) -> int:
    if not commit:
        return 0
    [seq] = reader.commit_seqs(commit, 2)
    return seq


def _salted(salt: str, content: Any) -> bytes:
    """[salt, content], or null where the content was erased and its commitment alone is kept."""
    return _NULL if isinstance(content, bytes | list) else encode([salt, content])


def _event_salted(row: EventRow) -> bytes:
    if row.data is None or len(row.data) < 8 or row.data[7] is None:
        return _NULL
    return _salted(row.data[6], row.data[7])
