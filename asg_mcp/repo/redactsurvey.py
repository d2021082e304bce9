"""Looking through all that a store holds for what a redaction is after.

Values are looked for where they are stored: in the operations of commits, in the rows of
nodes, in rows of their own; texts in the bodies of commits and events. What stays is noted
too, for the salts of values that stay are pinned when the class key is replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from blake3 import blake3

from asg_mcp.core.commitments import pins_of
from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import DIGEST_BYTES, ValueId
from asg_mcp.core.limits import REDACT_PINS_MAX
from asg_mcp.core.noderows import erase_packed, key_before, leaf_entries, packed_entries
from asg_mcp.core.nodes import SCALAR, Blob, Hasher, Leaf
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import (
    APPEND,
    ELEMENT,
    END,
    Tokens,
    format_path,
    list_index,
    map_segment,
    parse_path,
    unescape_segment,
)
from asg_mcp.core.state import Spot, State
from asg_mcp.core.values import JsonValue, encode
from asg_mcp.errors import Withheld
from asg_mcp.repo.ledger import EVENT_KINDS, event_body
from asg_mcp.repo.receipts import is_withheld
from asg_mcp.repo.records import author_of, is_pruned
from asg_mcp.repo.redactrules import Place, Rule, Secret, kept_of
from asg_mcp.repo.resolve import state_at
from asg_mcp.storage.base import CommitRow, EventRow, Reader

ROWS_PAGE = 500
"""Rows looked at in one read transaction: a longer one would keep the log of writes from being emptied."""
PATHS_NOTED_MAX = 10_000
_OPS = tuple(Op)
_BRINGING = (EventKind.COMMIT, EventKind.STORE_CREATED)
_NOTHING: Any = object()


@dataclass(slots=True)
class Seen:
    """How far a store was looked through."""

    row: int = 0
    seq: int = 0
    blob: int = 0
    events: int = 0
    learned: int = 0


@dataclass(slots=True)
class Finds:
    """What was found. Numbers of rows, commits and events; values by their ids."""

    nodes: set[int] = field(default_factory=set)
    operations: set[int] = field(default_factory=set)
    """Commits with values among their operations."""
    texts: set[int] = field(default_factory=set)
    """Commits whose texts go."""
    events: set[int] = field(default_factory=set)
    values: dict[ValueId, None] = field(default_factory=dict)
    places: int = 0
    """How often they are stored, in operations and in nodes."""
    paths: dict[str, None] = field(default_factory=dict)
    inside: set[str] = field(default_factory=set)
    """Paths of longer texts that only contain what is looked for."""
    fixed: dict[str, None] = field(default_factory=dict)
    """What cannot be erased: keys and names that contain it."""
    blobs: set[int] = field(default_factory=set)
    blobs_kept: set[int] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)
    """Classes that values which go are sealed in: while such a key is there, their ids can be guessed from."""
    plain: dict[bytes, JsonValue] = field(default_factory=dict)
    """What goes, by its canonical bytes: for the proof, and for telling where else it is. Never logged."""
    elsewhere: dict[bytes, int] = field(default_factory=dict)
    """How often each value that stays was written, by its canonical bytes; only where a path is looked at."""
    first_seq: int = 0
    """The first commit that has any of it; 0 for none."""
    first_event: int | None = None

    @property
    def nothing(self) -> bool:
        """Whether there is nothing to erase."""
        return not (self.nodes or self.operations or self.texts or self.events or self.dropped)

    @property
    def dropped(self) -> set[int]:
        """Rows of large values that nothing needs any more."""
        return self.blobs - self.blobs_kept

    def others(self) -> int:
        """How often values that go were written elsewhere, where they stay."""
        return sum(count for plain, count in self.elsewhere.items() if plain in self.plain)


class Survey:
    """One look through a store, which goes on where it was. `key` is the class key to come."""

    def __init__(self, hasher: Hasher, rule: Rule | None, key: bytes) -> None:
        self.rule, self.found, self.seen = rule, Finds(), Seen()
        self.key = key
        self._hasher = hasher
        self._known: set[bytes] = set()
        self.pins: set[bytes] = set()
        self.pins_over = False
        """Whether more values stay than can be pinned."""

    @property
    def value_ids_state(self) -> object:
        """What the store's class key is now."""
        return self._hasher.value_ids.state

    def begin_again(self) -> None:
        """Look at everything once more, and forget what was found but for the elements of lists that are known."""
        self.found, self.seen = Finds(), Seen(learned=self.seen.learned)
        self._known, self.pins = set(), set()

    # --- in pages ---

    def learn(self, reader: Reader, upto: int) -> bool:
        """For a path: note what was reached through lists, in the next commits; whether anything was news."""
        news = False
        last = min(upto, self.seen.learned + ROWS_PAGE)
        if isinstance(self.rule, Place) and any(map(_may_be_index, self.rule.path)):
            for seq in range(self.seen.learned + 1, last + 1):
                row = reader.commit(seq)
                if not is_pruned(row):
                    news = self._learn(state_at(reader, self._hasher, row), self.rule) or news
        self.seen.learned = last
        return news

    def _learn(self, state: State, place: Place) -> bool:
        spot = state.locate(place.path)
        if not isinstance(spot, Spot) or place.is_above(spot.entry.key):
            return False
        news = False
        for entry in state.tree.entries(spot.rank, spot.end):
            value_id = self._hasher.value_id(entry)
            news = (value_id is not None and place.learn(entry.key, value_id)) or news
        return news

    def commits(self, reader: Reader, upto: int) -> None:
        """Look at the next commits: their operations, their texts, the names in them."""
        last = min(upto, self.seen.seq + ROWS_PAGE)
        for seq in range(self.seen.seq + 1, last + 1):
            row = reader.commit(seq)
            if not is_pruned(row):
                self._operations(reader, row)
            if isinstance(self.rule, Secret):
                self._text(reader, row, self.rule)
        self.seen.seq = last

    def nodes(self, reader: Reader) -> bool:
        """Look at the next rows of nodes; whether there were any."""
        page = reader.node_rows(self.seen.row, ROWS_PAGE)
        for row, parts in page:
            self._node(reader, row, parts)
            self.seen.row = row
        return bool(page)

    def blobs(self, reader: Reader) -> bool:
        """Look at the next values that have rows of their own; whether there were any."""
        page = reader.blob_rows(self.seen.blob, ROWS_PAGE)
        for row in page:
            self.seen.blob = row
            value = _opened(reader, row)
            if isinstance(self.rule, Secret) and value is not _NOTHING and self.rule.is_value(value):
                self.found.blobs.add(row)
        return bool(page)

    def events(self, reader: Reader, upto: int) -> None:
        """Look at the next events: their bodies, and the names in their headers."""
        last = min(upto, self.seen.events + ROWS_PAGE)
        for index in range(self.seen.events, last):
            row = reader.event(index)
            if row is None:
                continue
            if EVENT_KINDS[row.kind] in _BRINGING and row.new == self.found.first_seq:
                first = self.found.first_event
                self.found.first_event = index if first is None else min(first, index)
            if isinstance(self.rule, Secret):
                self._event(row, self.rule)
        self.seen.events = last

    # --- values ---

    def _operations(self, reader: Reader, row: CommitRow) -> None:
        for op, path, source, packed in row.parts[12]:
            if isinstance(self.rule, Secret):
                for told in (path, source):
                    if told is not None and self.rule.is_inside(told):
                        self._fix("a key", told)
            if packed is None:
                continue
            below = self.keys_of(reader, row, _OPS[op], path) if isinstance(self.rule, Place) else [""]
            for _, key, kind, value in packed_entries(packed):
                if isinstance(self.rule, Secret) and self.rule.is_inside(key):
                    self._fix("a key", path + _shown(key))
                if kind == SCALAR and self._entry(reader, [base + key for base in below], value, count=True):
                    self.found.operations.add(row.seq)
                    self.found.first_seq = min(row.seq, self.found.first_seq or row.seq)
                    self._note(("" if path == "/" else path) + _shown(key), reader, value)

    def _node(self, reader: Reader, row: int, parts: list[Any]) -> None:
        start, base, splice = leaf_entries(parts)
        if not start:
            return
        for _, key, kind, value in packed_entries(parts, start, self._before(reader, base, splice)):
            if kind == SCALAR and self._entry(reader, [key], value):
                self.found.nodes.add(row)

    def _before(self, reader: Reader, base: int, splice: int) -> str:
        """The key before the first entry of a row; only a path has to know it."""
        if not base or not isinstance(self.rule, Place):
            return ""
        node = reader.load(base)
        assert type(node) is Leaf, "BUG: a leaf is a splice of a leaf"
        return key_before(node, splice)

    def erase_in(self, reader: Reader, parts: list[Any]) -> bool:
        """Leave only the ids of the values that go, and since when, in the row of a leaf; whether there were any."""
        start, base, splice = leaf_entries(parts)
        return bool(start) and self._erase(reader, parts, start, self._before(reader, base, splice), [""])

    def erased_operations(self, reader: Reader, row: CommitRow) -> list[Any]:
        """The operations of a commit with only the ids of the values that go."""
        out = []
        for op, path, source, packed in row.parts[12]:
            if packed is not None:
                packed = list(packed)
                below = self.keys_of(reader, row, _OPS[op], path) if isinstance(self.rule, Place) else [""]
                self._erase(reader, packed, 0, "", below)
            out.append([op, path, source, packed])
        return out

    def _erase(self, reader: Reader, parts: list[Any], start: int, before: str, below: Sequence[str]) -> bool:
        erased, last = [], reader.last_seq()
        for at, key, kind, value in packed_entries(parts, start, before):
            blob = value if type(value) is Blob else None
            if kind != SCALAR or (blob is not None and blob.erased):
                continue
            value = value if blob is None else _opened(reader, blob.row)
            if self.hits([base + key for base in below], value, blob):
                # What is in a row of its own compares by its id, so for replaying it never changed.
                found = (blob.id, 0) if blob is not None else (self._hasher.value_ids.of(value), last)
                erased.append((at, *found))
        for at, value_id, after in erased:
            erase_packed(parts, at, value_id, after)
        return bool(erased)

    def _entry(self, reader: Reader, keys: Sequence[str], value: Any, *, count: bool = False) -> bool:
        """Whether the value of an entry goes. What stays is noted with its salt."""
        blob = value if type(value) is Blob else None
        if blob is not None:
            if blob.erased:
                return False
            value = _opened(reader, blob.row)
        if self.hits(keys, value, blob):
            self.found.places += 1
            self.found.values[blob.id if blob is not None else self._hasher.value_ids.of(value)] = None
            if blob is not None:
                self.found.blobs.add(blob.row)
                group = reader.blob_group(blob.row)
                if group:
                    self.found.classes.add(group)
            if value is not _NOTHING:
                self.found.plain[encode(value)] = value
            return True
        if blob is not None:
            self.found.blobs_kept.add(blob.row)
        if value is not _NOTHING and (blob is None or not reader.blob_group(blob.row)):
            self._stays(encode(value), count=count)
        return False

    def hits(self, keys: Sequence[str], value: Any, blob: Blob | None) -> bool:
        """Whether an entry with one of these keys and this value goes. A value that cannot be opened is _NOTHING."""
        if isinstance(self.rule, Secret):
            return value is not _NOTHING and self.rule.is_value(value)
        assert self.rule is not None, "BUG: without a rule no value goes"
        if any(map(self.rule.is_above, keys)):
            return True
        if not self.rule.may_be_named():
            return False
        value_id = blob.id if blob is not None else self._hasher.value_ids.of(value)
        return any(self.rule.is_at(key, value_id) for key in keys)

    def stays(self, canonical: bytes) -> bool:
        """Whether a value, by its canonical bytes, was found where it stays; not known where too many do."""
        return _pinned_name(canonical) in self._known

    def _stays(self, canonical: bytes, *, count: bool) -> None:
        if count and isinstance(self.rule, Place):
            self.found.elsewhere[canonical] = self.found.elsewhere.get(canonical, 0) + 1
        name = _pinned_name(canonical)
        if name in self._known or self.pins_over:
            return
        self._known.add(name)
        if len(self._known) > REDACT_PINS_MAX:
            self.pins_over = True
            self._known, self.pins = set(), set()
            return
        self.pins.add(pins_of([canonical], self._hasher.value_ids.salt_of, self.key))

    # --- keys and paths ---

    def keys_of(self, reader: Reader, row: CommitRow, op: Op, path: str) -> list[str]:
        """The flat keys that the path of an operation may have had: in the state it made, and in that before."""
        tokens = parse_path(path)
        if not any(map(_may_be_index, tokens)):
            return [flat(None, tokens, op)]
        rows = [row, *(reader.commit(seq) for seq in row.parents[:1])]
        states = [state_at(reader, self._hasher, found) for found in rows if not is_pruned(found)]
        return [*{flat(state, tokens, op): None for state in states}]

    def _note(self, path: str, reader: Reader, value: Any) -> None:
        value = _opened(reader, value.row) if type(value) is Blob else value
        if isinstance(self.rule, Secret):
            path = self.rule.masked(path)
            if value not in self.rule.values:
                self.found.inside.add(path)
        if len(self.found.paths) < PATHS_NOTED_MAX:
            self.found.paths[path or "/"] = None

    # --- texts and names ---

    def _text(self, reader: Reader, row: CommitRow, rule: Secret) -> None:
        if rule.is_told(row.parts[11]):
            self.found.texts.add(row.seq)
            self.found.first_seq = min(row.seq, self.found.first_seq or row.seq)
        author = author_of(reader, row)
        for name in (author.principal, author.agent, author.client, author.session, *row.parts[8:10]):
            if rule.is_inside(name):
                self._fix("a name in a commit's header", name)

    def _event(self, row: EventRow, rule: Secret) -> None:
        names = [row.ref, *(row.data[1:6] if row.data is not None else ())]
        for name in names:
            if isinstance(name, str) and rule.is_inside(name):
                self._fix("a name in the log", name)
        body = event_body(row)
        if not is_withheld(row) and rule.is_told(body):
            self.found.events.add(row.index)
            first = self.found.first_event
            self.found.first_event = row.index if first is None else min(first, row.index)
            body = kept_of(EVENT_KINDS[row.kind], body)
        if rule.is_told(body):
            self._fix("a name in an event", f"event {row.index}")

    def _fix(self, what: str, text: str) -> None:
        assert isinstance(self.rule, Secret), "BUG: only a value is looked for in names"
        if len(self.found.fixed) < PATHS_NOTED_MAX:
            self.found.fixed[f"{what}: {self.rule.masked(text)}"] = None


def flat(state: State | None, tokens: Tokens, op: Op) -> str:
    """The flat key below which an operation with this path put its value, its tokens read as a state has them."""
    key = ""
    spot = None if state is None else state.root()
    last = len(tokens) - 1
    for index, token in enumerate(tokens):
        in_list = spot is not None and state is not None and state.type_name(spot) == "list"
        key += ELEMENT if in_list or (op is Op.INSERT and index == last) else map_segment(token)
        spot = None if spot is None or state is None else state.child(spot, token)
    return key + ELEMENT if op is Op.APPEND else key


def _pinned_name(canonical: bytes) -> bytes:
    return canonical if len(canonical) <= DIGEST_BYTES else blake3(canonical).digest()


def _may_be_index(token: str) -> bool:
    return token == APPEND or list_index(token) is not None


def _opened(reader: Reader, row: int) -> Any:
    """The value in a row of its own; _NOTHING where its key is not there."""
    try:
        return reader.blob(row)
    except Withheld:
        return _NOTHING


def _shown(key: str) -> str:
    """A flat key as a path; an element of a list, which has no number there, as *."""
    segments = key[: -len(END)].split(END) if key else []
    mark = ELEMENT.removesuffix(END)
    return "".join("/*" if segment == mark else format_path((unescape_segment(segment),)) for segment in segments)
