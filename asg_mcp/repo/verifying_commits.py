"""The check of one commit: replayed on its parent's stored state, and all that it stored hashed again."""

from __future__ import annotations

from collections.abc import Sequence

from asg_mcp.core.adopt import adopt
from asg_mcp.core.classes import flat_key
from asg_mcp.core.commits import RecordedOperation
from asg_mcp.core.edits import apply_entries
from asg_mcp.core.nodes import SCALAR, Blob, Branch, Entry, Leaf, Link, NodeSource
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.core.tree import Tree
from asg_mcp.errors import AsgError, StorageError, Withheld
from asg_mcp.repo.receipts import Before
from asg_mcp.repo.records import header_of, info_of, is_pruned, operations_of, root_of, staying_terms, terms_for
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.verifying import Check, Wrong
from asg_mcp.repo.words import indexed, words_of
from asg_mcp.storage.base import CommitRow, Reader, Term

WORDS_CHECKED = 8
"""Words of each commit, the longest ones, that the text index must find it by."""


_WAYS = ((False, False), (False, True), (True, False), (True, True))
"""Whether what may have been erased before was so already in the states before a commit, and in its operations.

Of what is erased today each value tells itself, and there is one way."""


def check_commit(check: Check, reader: Reader, row: CommitRow) -> None:
    """Raise Wrong, StoreCorrupt or whatever reading raises unless the commit is as it was written."""
    (_Pruned if is_pruned(row) else _Commit)(check, reader, row).check()
    check.count("commits")


class _Pruned:
    """A commit of which the header alone is left."""

    def __init__(self, check: Check, reader: Reader, row: CommitRow) -> None:
        self.check_of = check
        self.reader = reader
        self.row = row
        self.name = f"commit {row.id.short}"

    def check(self) -> None:
        row = self.row
        if row.id.digest not in self.check_of.receipts.pruned:
            raise self.wrong(f"What {self.name} held is gone, and no receipt says that it was collected")
        if row.root_row or not isinstance(row.parts[11], bytes) or row.parts[10]:
            raise self.wrong(f"{self.name} was collected, and something of what it held is still there")
        self.header()
        info = info_of(self.reader, row)
        staying = staying_terms(info)
        for term in terms_for(info, []):
            there = self.reader.find(term, row.seq + 1, 1) == [row.seq]
            if there and term not in staying:
                raise Wrong("index", self.name, f"{self.name} was collected, and is still in the index")
            if not there and term in staying:
                raise self.unfound(term)
        self.check_of.count("terms", len(staying))
        self.check_of.count("pruned_commits")

    def header(self) -> None:
        """The id is that of the header, made again."""
        if header_of(self.reader, self.row, self.check_of.hasher).id != self.row.id:
            raise self.wrong(f"The id of {self.name} is not that of its header, operations and texts")

    def unfound(self, term: Term) -> Wrong:
        return Wrong("index", self.name, f"{self.name} is not in the index under {term[0].name} {term[1]!r}")

    def wrong(self, message: str) -> Wrong:
        return Wrong("commit", self.name, message)


class _Commit(_Pruned):
    """A commit of which all is there, but for what was erased."""

    def check(self) -> None:
        info = info_of(self.reader, self.row)
        if info.withheld:
            self._withheld()
        self.header()
        operations = operations_of(self.row)
        self._replay(operations)
        for operation in operations:
            at = flat_key(parse_path(operation.path))
            for entry in operation.entries or ():
                self._value(entry, at)
        self._index(info, operations)
        self.check_of.count("operations", len(operations))

    def _withheld(self) -> None:
        if self.row.id.digest not in self.check_of.receipts.texts:
            raise self.wrong(f"The texts of {self.name} are gone, and no receipt says that they were erased")
        if self.row.parts[10]:
            raise self.wrong(f"The texts of {self.name} were erased, and their salt is still there")
        self.check_of.count("withheld_texts")

    def _replay(self, operations: list[RecordedOperation]) -> None:
        """Replaying gives what is stored: where nothing tells how erased values stood, in one of the possible ways."""
        row, reader, hasher = self.row, self.reader, self.check_of.hasher
        receipts, counts = self.check_of.receipts, self.check_of.report.counts
        if receipts.newest < row.seq:
            self._replay_on(None, operations)
            return
        first: Wrong | AsgError | None = None
        nodes = counts["nodes"]
        for came, given in _WAYS:
            before = Before(reader, hasher, receipts, row.seq, came_erased=came, given_erased=given)
            try:
                self._replay_on(before, operations)
            except StorageError:
                raise
            except (Wrong, AsgError) as wrong:  # a test fails, for one, where what it compares stood otherwise
                first = first or wrong
                counts["nodes"] = nodes
                if not before.guessed:
                    break
            else:
                return
        assert first is not None, "BUG: there is a way"
        raise first

    def _replay_on(self, before: Before | None, operations: list[RecordedOperation]) -> None:
        row, reader, hasher = self.row, self.reader, self.check_of.hasher
        source: NodeSource = before or reader
        parents = [self._parent(source, seq) for seq in row.parents]
        state = parents[0] if parents else State.empty(source, hasher, row.seq)
        for operation in operations:
            moved = None if operation.source is None else parse_path(operation.source)
            entries: Sequence[Entry] | None = operation.entries
            path = parse_path(operation.path)
            if before is not None and entries is not None:
                entries = before.entries(entries, path)
            state = apply_entries(state, operation.op, path, moved, entries, row.seq).state
        if len(parents) > 1:
            ours, theirs = parents
            state = adopt(ours, theirs, state, row.seq)
        if state.tree.id != root_of(reader, row, hasher):
            raise self.wrong(f"Replaying {self.name} gives another root")
        self._same(state.tree.root, self._root(reader, row))

    def _parent(self, source: NodeSource, seq: int) -> State:
        row = self.reader.commit(seq)
        if is_pruned(row):
            raise self.wrong(f"What the parent of {self.name} held was collected, and {self.name} was not")
        return State(Tree(source, self.check_of.hasher, self._root(self.reader, row)))

    def _root(self, reader: Reader, row: CommitRow) -> Link:
        hasher, node = self.check_of.hasher, reader.load(row.root_row)
        return hasher.link_to(node, hasher.node_id(node), row.root_row)

    def _same(self, made: Link, stored: Link) -> None:
        """The node that replay gave against the stored one; a shared node must be the very same row."""
        what = f"node {stored.row}"
        for name in ("id", "last_key", "count", "elements", "level", "newest"):
            if getattr(made, name) != getattr(stored, name):
                raise Wrong("node", what, f"The {name} of {what} in {self.name} is not what replay gives")
        if made.node is None:
            if made.row != stored.row:
                raise Wrong("node", what, f"{self.name} should share node {made.row} and has {what}")
            return
        node, kept = made.node, self.reader.load(stored.row)
        if len(node.items) != len(kept.items) or node.height != kept.height:
            raise Wrong("node", what, f"{what} of {self.name} has other items than replay gives")
        if type(node) is Branch and type(kept) is Branch:
            for child, other in zip(node.items, kept.items, strict=True):
                self._same(child, other)
        elif type(node) is Leaf and type(kept) is Leaf:
            for entry, twin in zip(node.items, kept.items, strict=True):
                self._same_entry(entry, twin, what)
        if self.check_of.hasher.node_id(kept) != stored.id:
            raise Wrong("node", what, f"{what} does not hash to its id {stored.id.short}")
        self.check_of.reached.add(stored.row)
        self.check_of.count("nodes")

    def _same_entry(self, made: Entry, stored: Entry, what: str) -> None:
        path, value_id = stored.key.replace("\x00", "/"), self.check_of.hasher.value_id
        if (made.key, made.kind, value_id(made)) != (stored.key, stored.kind, value_id(stored)):
            raise Wrong("node", what, f"The entry {path} in {what} of {self.name} is not what replay gives")
        if made.origin != stored.origin:
            raise Wrong("node", what, f"The entry {path} in {what} of {self.name} names another origin than replay")
        self._value(stored)

    def _value(self, entry: Entry, at: str = "") -> None:
        """The value of an entry below a key; one of a list has its index in the key of an operation."""
        blob, key = entry.value, at + entry.key
        if entry.kind != SCALAR or type(blob) is not Blob:
            return
        check_blob(self.check_of, self.reader, blob, key, self.name)
        if blob.erased and not self.check_of.receipts.covers(blob, key, self.row.seq):
            what, path = f"value {blob.id.short}", shown_path(key)
            raise Wrong("value", what, f"{what} at {path} in {self.name} is gone, and was erased at other paths alone")

    def _index(self, info: CommitInfo, operations: list[RecordedOperation]) -> None:
        seq, reader = self.row.seq, self.reader
        # What the index has in the place of texts that were erased is of no importance.
        told = "" if info.withheld else f"{info.description}\n{info.reasoning}"
        words = [word for word in words_of(told) if indexed(word)]
        words.sort(key=lambda word: (-len(word), word))
        if words and reader.find_text(words[:WORDS_CHECKED], seq + 1, 1, after=seq - 1) != [seq]:
            raise Wrong("index", self.name, f"{self.name} is not in the text index under all of its words")
        self.check_of.count("texts", bool(words))
        terms = terms_for(info, operations)
        for term in terms:
            if reader.find(term, seq + 1, 1) != [seq]:
                raise self.unfound(term)
        self.check_of.count("terms", len(terms))


def shown_path(key: str) -> str:
    """A flat key as a path, near enough for people."""
    return "/" + key.replace("\x00", "/").rstrip("/")


def check_blob(check: Check, reader: Reader, blob: Blob, key: str, where: str) -> None:
    """A value that is not in its entry, whose flat key is given: stored apart, and of its id, or taken away.

    What went is named by a receipt. A value that nobody can read is of the class whose prefix it is below.
    """
    if blob.erased:
        what = f"value {blob.id.short}"
        if blob.id.digest not in check.receipts.values:
            raise Wrong("value", what, f"{what} in {where} is gone, and no receipt says that it was erased")
        if blob.id.digest not in check.erased:
            check.erased.add(blob.id.digest)
            check.count("erased_values")
        return
    row = blob.row
    if row not in check.values and row not in check.sealed:
        _look_at(check, reader, row)
        if check.reached.add(row):
            check.count("sealed_values" if row in check.sealed else "values")
    group = check.sealed.get(row)
    if group is None and check.values[row] != blob.id:
        raise Wrong("value", f"blob {row}", f"The value in blob {row} does not hash to its id")
    if group is not None and not key.startswith(group.key):
        told = f"The value in blob {row} at {shown_path(key)} in {where} is of the class {group.name}, which is not"
        raise Wrong("value", f"blob {row}", f"{told} that of its path")


def _look_at(check: Check, reader: Reader, row: int) -> None:
    """Note the id that a stored value has, or the class whose key it takes to read it."""
    group = reader.blob_group(row) if check.store.hasher.classes else ""
    try:
        check.values[row] = check.store.hasher.ids_of(group).of(reader.blob(row))
    except Withheld as error:
        made = next((known for known in check.store.hasher.classes.all if known.name == group), None)
        if made is None:
            raise Wrong("value", f"blob {row}", f"The value in blob {row} is of a class that nobody made") from error
        if group not in check.receipts.classes:
            check.keyless.add(group)  # no damage: keys lie apart from the store, and so from every copy of it
        check.sealed[row] = made
