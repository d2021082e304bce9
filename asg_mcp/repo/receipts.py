"""What the log's receipts name: values, texts, bodies and commits that were taken away on purpose.

A receipt is an event of redaction or of garbage collection. One whose own body was withheld counts only where
another receipt, one that counts, names it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import Any

from asg_mcp.core.classes import flat_key
from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import ValueId
from asg_mcp.core.nodes import SCALAR, Blob, Entry, Hasher, Leaf, Node
from asg_mcp.core.paths import Tokens, list_index, parse_path
from asg_mcp.repo.ledger import EVENT_KINDS, event_body, event_of
from asg_mcp.storage.base import EventRow, Reader

RECEIPTS = (EventKind.REDACTED, EventKind.COLLECTED)
_TOLD_IN = (*RECEIPTS, EventKind.CLASS_MADE)
_BRINGING = (EventKind.COMMIT, EventKind.STORE_CREATED)


@dataclass(frozen=True, slots=True)
class Receipts:
    """What was taken away, and how many commits there were then."""

    count: int = 0
    values: Mapping[bytes, int] = field(default_factory=dict)
    """By digest: the number of the last commit before the last receipt that names the value."""
    texts: frozenset[bytes] = frozenset()
    """Digests of commits whose texts were erased."""
    pruned: frozenset[bytes] = frozenset()
    events: frozenset[int] = frozenset()
    """Indexes of events whose bodies were withheld."""
    classes: frozenset[str] = frozenset()
    """Names of classes whose keys were destroyed."""
    newest: int = 0
    """The highest of the numbers in `values`."""
    scopes: Mapping[bytes, tuple[tuple[int, str], ...]] = field(default_factory=dict)
    """By digest: for each receipt that number, and the flat key at or below which the value went; "": anywhere."""
    made: Mapping[str, str] = field(default_factory=dict)
    """The paths of the classes that were made, by their names, in the order of the log."""

    @classmethod
    def of(cls, reader: Reader) -> Receipts:
        """Those of a whole log, each hashed again. O(events), and no commit is read."""
        gathered = Gathered()
        gathered.advance(reader)
        return gathered.receipts()

    @classmethod
    def counting(cls, found: Sequence[tuple[EventRow, int]]) -> Receipts:
        """What all receipts of a log name, each given with the number of the last commit before it.

        Those that are whole count, then those that they name, and so on.
        """
        waiting, events, taken = list(found), set[int](), list[tuple[EventRow, int]]()
        while ready := [one for one in waiting if not is_withheld(one[0]) or one[0].index in events]:
            waiting = [one for one in waiting if one not in ready]
            taken += ready
            for row, _ in ready:
                events.update(event_body(row).get("events", ()))
        values: dict[bytes, int] = {}
        scopes: dict[bytes, list[tuple[int, str]]] = {}
        said = {row.index: event_body(row) for row, _ in taken}
        texts, pruned, classes = set[bytes](), set[bytes](), set[str]()
        for row, last in taken:
            body = event_body(row)
            commits = {bytes.fromhex(commit) for commit in body.get("commits", ())}
            if EVENT_KINDS[row.kind] is EventKind.COLLECTED:
                pruned |= commits
                continue
            texts |= commits
            where = _scope(said.get(body.get("goes_on", -1), body))
            for digest in _digests(body):
                values[digest] = max(last, values.get(digest, 0))
                scopes.setdefault(digest, []).append((last, where))
            if body.get("what") == "class" and body.get("class"):
                classes.add(body["class"])
        newest = max(values.values(), default=0)
        named = (frozenset(texts), frozenset(pruned), frozenset(events), frozenset(classes))
        return cls(len(found), values, *named, newest, {digest: tuple(told) for digest, told in scopes.items()})

    def covers(self, erased: Blob, key: str, seq: int) -> bool:
        """Whether one of the receipts of an erased value tells of it at a flat key, in what commit `seq` stored.

        Where the value says since when it is erased, it is the receipt of then. A commit that was made after the value
        had gone may have it from elsewhere, by a move, a merge or a revert; that is not followed. What was stored
        before went where the receipt says.
        """
        return any(key.startswith(where) or last < seq for last, where in self._of(erased))

    def _of(self, erased: Blob) -> Sequence[tuple[int, str]]:
        """The receipts by which a value can have gone, as `scopes` has them."""
        scopes, after = self.scopes.get(erased.id.digest, ()), erased.erased_after
        return [told for told in scopes if told[0] == after] if after else scopes

    def supposed(self, entry: Entry, at: str) -> int | None:
        """What to take for the `erased_after` of an entry below a key where nothing tells; None where nothing fits.

        What one of its receipts covers that came later than the entry went by the first of them. Where there is none,
        it was erased already when it came.
        """
        told = self.scopes.get(entry.value.id.digest, ())
        since = [last for last, where in told if last >= entry.origin and (at + entry.key).startswith(where)]
        return min(since) if since else max((last for last, _ in told if last < entry.origin), default=None)


NO_RECEIPTS = Receipts()


@dataclass(slots=True)
class Gathered:
    """What of a log tells of receipts, as far as it was read."""

    size: int = 0
    """How many events were read."""
    _last: int = 0
    _found: list[tuple[EventRow, int]] = field(default_factory=list)
    _made: dict[str, str] = field(default_factory=dict)

    def advance(self, reader: Reader) -> bool:
        """Read what came since, each receipt hashed again; whether something was erased there.

        What was read before may be another then: a redaction changes the bodies of events. O(events since).
        """
        erased = False
        for index in range(self.size, reader.events_count()):
            try:
                row = reader.event(index)
            except ValueError:
                row = None
            self.size = index + 1
            if row is None or row.kind >= len(EVENT_KINDS):
                continue  # it is no receipt, and whoever checks the log tells what is wrong with it
            kind = EVENT_KINDS[row.kind]
            if kind in _BRINGING:
                self._last = row.new or self._last
            elif kind in _TOLD_IN and event_of(reader, row).leaf_hash() == row.leaf:
                erased = erased or kind is EventKind.REDACTED
                if kind in RECEIPTS:
                    self._found.append((row, self._last))
                else:
                    self._made[event_of(reader, row).subject] = str(event_body(row).get("path", ""))
        return erased

    def receipts(self) -> Receipts:
        """What they name together."""
        return replace(Receipts.counting(self._found), made=dict(self._made))


def is_withheld(row: EventRow) -> bool:
    """Whether the body of an event was erased."""
    return row.data is not None and len(row.data) > 5 and not isinstance(row.data[7], dict | None)


def _digests(body: Mapping[str, Any]) -> list[bytes]:
    return [bytes.fromhex(value) for value in body.get("values", ())]


def _scope(body: Mapping[str, Any]) -> str:
    """The flat key at or below which a receipt's values were erased; what is inside of a list has that of the list."""
    path: Tokens = parse_path(body["path"]) if body.get("what") == "path" and body.get("path") else ()
    return flat_key(list(takewhile(lambda token: list_index(token) is None, path)))


class Before:
    """The nodes as they were when a commit was made, as far as comparing goes, where values were erased since.

    A value may be erased at one path and kept at another. When the commit was made the two were equal, and how list
    elements were matched, and what was found unchanged, went by that. So each that has the id of a value which was
    erased later stands as that id here, and two of them are equal again. What was erased before the commit was no
    longer equal to anything that was not, and is unequal to it here. An erased value says since when it is one.

    Only where an earlier program erased it nothing tells: what came to its place after a receipt, and is erased by a
    later one, may have been whole in between, or have come erased by a move, a merge or a revert. `came_erased` and
    `given_erased` say what to take it for: entries of states, and those of the commit's operations.
    """

    def __init__(
        self,
        reader: Reader,
        hasher: Hasher,
        receipts: Receipts,
        seq: int,
        *,
        came_erased: bool = False,
        given_erased: bool = False,
    ) -> None:
        self._reader, self._hasher, self._seq = reader, hasher, seq
        self._came_erased, self._given_erased = came_erased, given_erased
        self._values, self._scopes = receipts.values, receipts.scopes
        self._leaves: dict[int, Leaf] = {}
        self.guessed = False
        """Whether there was something of which nothing tells."""

    def load(self, row: int) -> Node:
        """See NodeSource."""
        known = self._leaves.get(row)
        if known is not None:
            return known
        node = self._reader.load(row)
        if type(node) is not Leaf:
            return node
        leaf = self._leaves[row] = Leaf(self.entries(node.items), node.stored)
        return leaf

    def blob(self, row: int) -> Any:
        """See NodeSource."""
        return self._reader.blob(row)

    def entries(self, entries: Sequence[Entry], path: Tokens = ()) -> list[Entry]:
        """The same entries as they compared then; those of an operation are below its path."""
        at = flat_key(path)
        return [entry if entry.kind != SCALAR else self._as_then(entry, at) for entry in entries]

    def _as_then(self, entry: Entry, at: str) -> Entry:
        value_id = self._hasher.value_id(entry)
        assert value_id is not None, "BUG: a scalar has a value"
        if self._values.get(value_id.digest, 0) < self._seq or (type(entry.value) is Blob and not entry.value.erased):
            return entry
        gone = type(entry.value) is Blob and self._was_gone(value_id, entry, at)
        twin = Entry(entry.key, SCALAR, Blob(_other(value_id) if gone else ValueId(value_id), 0), entry.origin)
        twin.value_id, twin.level = value_id, entry.level
        return twin

    def _was_gone(self, value_id: ValueId, entry: Entry, at: str) -> bool:
        """Whether a value compared as an erased one before the commit.

        Where nothing tells: by a receipt that came after the entry, and covers it. Where no receipt that came after
        the entry covers it, it was erased already when it came, by a move for one.
        """
        after = entry.value.erased_after
        if after is not None:
            return bool(0 < after < self._seq)
        key, origin = at + entry.key, entry.origin
        since = [last for last, where in self._scopes[value_id.digest] if last >= origin and key.startswith(where)]
        if not since or min(since) < self._seq:
            return True
        if all(last >= origin for last, _ in self._scopes[value_id.digest]):
            return False
        self.guessed = True
        return self._given_erased if origin >= self._seq else self._came_erased


def _other(value_id: ValueId) -> ValueId:
    """What stands for the same value, erased: it is compared, and never hashed."""
    return ValueId.from_digest(value_id.digest[::-1])


def erased_since(reader: Reader, size: int) -> bool:
    """Whether something was erased behind the first `size` events of the log. O(events since)."""
    rows = (reader.event(index) for index in range(size, reader.events_count()))
    return any(row is not None and EVENT_KINDS[row.kind] is EventKind.REDACTED for row in rows)
