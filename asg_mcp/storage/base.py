"""The contract of a backend: rows, refs, events, and one indexed query.

A `Reader` is one consistent view of the store; it belongs to one thread and must
not be kept over an await. A `Writer` is a reader inside the one transaction that
is being made; what it is told to write becomes visible, all of it or nothing,
when the transaction is durable. A transaction that raises leaves nothing.

`seq` numbers commits and `index` numbers events, both without gaps and in the
order in which they became durable; parents have lower numbers than children.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Protocol, TypeVar

from asg_mcp.core.classes import ValueClass
from asg_mcp.core.events import Event
from asg_mcp.core.ids import CommitId
from asg_mcp.core.nodes import Hasher, Node, NodeSource

T = TypeVar("T")


class RefKind(IntEnum):
    """What a ref is."""

    BRANCH = 0
    TAG = 1
    SPECULATION = 2

    @property
    def label(self) -> str:
        """The word for it: branch, tag or speculation."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Ref:
    """A name for a commit."""

    name: str
    kind: RefKind
    seq: int


@dataclass(frozen=True, slots=True)
class CommitRow:
    """A stored commit. `parts` is the repository's own list; `root_row` is 0 while its tree is not stored."""

    seq: int
    id: CommitId
    parents: tuple[int, ...]
    at: int
    root_row: int
    parts: list[Any]


@dataclass(frozen=True, slots=True)
class EventRow:
    """A stored event: its leaf hash and what its header is made from."""

    index: int
    kind: int
    ref: str
    ref_kind: RefKind
    old: int | None
    new: int | None
    leaf: bytes
    data: list[Any] | None
    """Author, time, subject and body, where no commit row tells them."""


class RecordKind(IntEnum):
    """What a record is about."""

    SESSION = 0
    SPECULATION = 1
    OUTCOME = 2
    EPOCH = 3


@dataclass(frozen=True, slots=True)
class Record:
    """What the events about one subject say of it together: a projection of the log, kept so that it can be read."""

    kind: RecordKind
    key: str
    opened: int
    """The index of its first event."""
    last: int
    """The index of its last event."""
    data: dict[str, Any]


class TermKind(IntEnum):
    """What the index finds numbers by. REF and SUBJECT find events, all others commits."""

    REF = 0
    AGENT = 1
    SESSION = 2
    PATH = 3
    TAG = 4
    INTENT = 5
    AUTHORITY = 6
    SUBJECT = 7


Term = tuple[TermKind, str]


@dataclass(frozen=True, slots=True)
class StoredReply:
    """What a request was answered, and a digest of its arguments."""

    fingerprint: bytes
    answer: list[Any]


class Reader(NodeSource, Protocol):
    """One consistent view. Every method raises StoreCorrupt when stored bytes are not what was written."""

    def now(self) -> int:
        """The time of this view or transaction in microseconds: the same however often it is asked."""
        ...

    def ref(self, name: str) -> Ref | None:
        """The ref of exactly this name."""
        ...

    def refs(self, prefix: str, after: str, limit: int) -> list[Ref]:
        """Refs whose names begin with `prefix` and sort behind `after`, in name order."""
        ...

    def commit(self, seq: int) -> CommitRow:
        """The commit of this number, which must exist."""
        ...

    def commit_seqs(self, prefix: str, limit: int) -> list[int]:
        """Numbers of commits whose id begins with these hex digits (at least 6), lowest first."""
        ...

    def last_seq(self) -> int:
        """The highest number of a commit."""
        ...

    def parents_after(self, seq: int) -> Iterable[tuple[int, tuple[int, ...]]]:
        """(number, parents' numbers) of every commit above `seq`, in order."""
        ...

    def seqs_between(self, since: int | None, until: int | None) -> tuple[int, int]:
        """The lowest and highest number of a commit with a time (microseconds) in [since, until]; (1, 0) for none."""
        ...

    def find(self, term: Term, before: int, limit: int, *, after: int | None = None) -> list[int]:
        """Numbers below `before` that were indexed under the term, highest first; with `after`, above it, lowest first.

        A term's text is hashed, so an answer is a candidate that the caller confirms.
        """
        ...

    def find_text(self, words: Sequence[str], before: int, limit: int, *, after: int | None = None) -> list[int]:
        """Numbers of commits whose texts hold all the words (one token each), in the same order; candidates too."""
        ...

    def refs_count(self, prefix: str, kind: RefKind | None) -> int:
        """How many refs of this kind (None: of any) have names that begin with `prefix`."""
        ...

    def event(self, index: int) -> EventRow | None:
        """The event of this index."""
        ...

    def events_count(self) -> int:
        """How many events the log has."""
        ...

    def record(self, kind: RecordKind, key: str) -> Record | None:
        """The record of this key."""
        ...

    def records(self, kind: RecordKind, before: int, limit: int) -> list[Record]:
        """Records whose first event is below `before`, the newest first."""
        ...

    def tile(self, level: int, index: int) -> bytes | None:
        """The hash of a complete subtree of the log, 32 bytes; None where none is kept."""
        ...

    def reply(self, principal: str, request_id: str) -> StoredReply | None:
        """The remembered answer to a request."""
        ...

    def replies(self, after: bytes, limit: int) -> list[tuple[bytes, StoredReply]]:
        """Remembered answers with the keys that the backend keeps them under, those behind `after`, in key order."""
        ...

    def name(self, number: int) -> str:
        """The interned text of this number."""
        ...

    def generation(self) -> int:
        """How often stored rows were changed or taken away: what was read before it moved may not be so any more."""
        ...

    def node_rows(self, after: int, limit: int) -> list[tuple[int, list[Any]]]:
        """Rows of tree nodes above `after` with what they hold (see `core.noderows`), lowest first."""
        ...

    def blob_group(self, row: int) -> str:
        """The name of the class that a value of its own row is sealed in; "" for none. Needs no key."""
        ...

    def blob_rows(self, after: int, limit: int) -> list[int]:
        """Rows of large values above `after`, lowest first."""
        ...


class Writer(Reader, Protocol):
    """The transaction in the making."""

    def salt(self) -> str:
        """A new random salt, 32 hex digits."""
        ...

    def intern(self, text: str) -> int:
        """A small number that stands for a name for ever."""
        ...

    def next_row(self) -> int:
        """A row number that was never used before."""
        ...

    def put_node(self, row: int, payload: bytes, node: Node) -> None:
        """Store a tree node under a number from `next_row`; `node` is what loading it gives."""
        ...

    def put_blob(self, row: int, payload: bytes, group: str = "") -> None:
        """Store a value under a number from `next_row`; with the name of a class, sealed under its key.

        Raises Withheld when that key is not there.
        """
        ...

    def put_commit(self, row: CommitRow, terms: Iterable[Term], text: str) -> None:
        """Store a commit, indexed under the terms and the words of the text. Its seq is last_seq() + 1."""
        ...

    def swap_ref(self, old: Ref | None, new: Ref | None) -> None:
        """Move, make (`old` None) or drop (`new` None) a ref, if it is still as `old` says.

        Raises Conflict when it is not: this is the only way to move a ref.
        """
        ...

    def append_event(self, event: Event, kind: int, old: int | None, new: int | None, data: list[Any] | None) -> None:
        """Append to the log. Its index is events_count()."""
        ...

    def put_record(self, record: Record) -> None:
        """Store a record in place of the one with its key."""
        ...

    def put_tile(self, level: int, index: int, digest: bytes) -> None:
        """Keep the hash of a complete subtree of the log."""
        ...

    def put_reply(self, principal: str, request_id: str, reply: StoredReply) -> None:
        """Remember an answer."""
        ...


class Rewriter(Writer, Protocol):
    """The one transaction that may change or take away what is stored. Garbage collection and redaction alone use it.

    Ids, numbers and leaves of the log stay as they are. What is rewritten can be read in the next transaction.
    """

    def put_node_parts(self, row: int, parts: list[Any]) -> None:
        """Store other parts for a tree node that is there."""
        ...

    def drop_nodes(self, rows: Iterable[int]) -> None:
        """Take tree nodes away. Their numbers are never used again."""
        ...

    def drop_blobs(self, rows: Iterable[int]) -> None:
        """Take large values away. Their numbers are never used again."""
        ...

    def replace_commit(
        self, row: CommitRow, terms: tuple[Iterable[Term], Iterable[Term]], text: tuple[str, str]
    ) -> None:
        """Store other parts and another root row for a commit that is there.

        `terms` and `text` are what it was indexed under and what it is to be indexed under: (before, after). The text
        before must be exactly what `put_commit` was told.
        """
        ...

    def replace_event(self, index: int, data: list[Any]) -> None:
        """Store other data for an event that has data; its leaf stays."""
        ...

    def replace_reply(self, key: bytes, reply: StoredReply) -> None:
        """Store another remembered answer under a key that `replies` gave."""
        ...

    def owe_shrink(self) -> None:
        """Note in the store that `shrink` has to follow: until then `Health.shrink_due` says so."""
        ...

    def replace_classes(self, classes: Sequence[ValueClass]) -> None:
        """Keep these as the sensitive prefixes from now on."""
        ...

    def replace_class_key(self, key: bytes, pins: bytes) -> None:
        """Make value ids under another class key from now on; `pins` are those of values that keep their ids.

        See `core.commitments`. The old key is gone from the file once it is shrunk.
        """
        ...


@dataclass(frozen=True, slots=True)
class Health:
    """What `doctor` and the start-up check tell about a store."""

    path: str
    sqlite_version: str
    faults: tuple[str, ...]
    """Known faults of the database library in use, and what keeps them away."""
    settings: dict[str, Any]
    file_bytes: int
    wal_bytes: int
    problems: tuple[str, ...]
    """What should be mended; empty when all is well."""
    shrink_due: bool = False
    """Whether something was erased, and `shrink` was not done since: its bytes may still be in the file."""


class Store(Protocol):
    """An open store."""

    hasher: Hasher

    def reading(self, *, stored: bool = False) -> AbstractContextManager[Reader]:
        """A consistent view for the length of the block, which must hold no await.

        With `stored` every row is read from the file, and none from a cache.
        """
        ...

    async def write(self, work: Callable[[Writer], T], *, brief: bool = False) -> T:
        """Run `work` in a transaction on the writer's thread and return its result once that is durable.

        Transactions that wait at the same time share one durable commit. One that is said to be `brief` may run on the
        event loop instead, when that keeps nobody waiting. Raises
        what `work` raises, StoreBusy, StoreFull, UnknownOutcome; in each case but
        the last nothing was written.
        """
        ...

    async def rewrite(self, work: Callable[[Rewriter], T]) -> T:
        """Run `work` in a durable transaction of its own that may change stored rows, and raise the generation.

        So every process that has the store open drops its caches. Raises what `write` raises, and StorageError from a
        backend that has no rows to take away.
        """
        ...

    async def shrink(self) -> tuple[int, int]:
        """Give the room of what was taken away back to the disk: sizes in bytes, before and after.

        When it returns, no byte of a row that was changed or taken away is in any file of the store. Raises StoreBusy
        when others read for too long, and StoreFull.
        """
        ...

    def on_forget(self, forget: Callable[[], None]) -> None:
        """Call `forget` whenever what was read may not be so any more.

        That is when a batch was rolled back, whose later transactions had read what its earlier ones wrote, and when
        rows were taken away. It may be called on any thread.
        """
        ...

    async def check(self) -> Health:
        """Settings read back, versions, sizes, known faults."""
        ...

    def integrity(self) -> list[str]:
        """What the database's own integrity check finds wrong, and how its schema and counters differ from ours.

        Empty when all is well.
        """
        ...

    async def close(self) -> None:
        """Finish waiting transactions and close."""
        ...
