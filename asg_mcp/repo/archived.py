"""What an archive holds, read and checked: nothing in here trusts it.

Ids, salts and forms are checked as far as one record tells; what a commit does to the state, and whether the log is the
one that was named, is for `importing`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from asg_mcp.core.commitments import commitment
from asg_mcp.core.commits import TREE_LAYOUT, Header, RecordedOperation, body_of
from asg_mcp.core.events import Event, EventKind
from asg_mcp.core.flat import flatten, nest, value_of
from asg_mcp.core.ids import CID_PREFIX, DIGEST_BYTES, CommitId, Id, NodeId, ValueId
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import VALUE_DEPTH_MAX, VALUE_INLINE_BYTES_MAX
from asg_mcp.core.nodes import LIST, MAP, NOTHING, SCALAR, Blob, Entry, Hasher, Node
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import END, depth_of, format_path, parse_path, unescape_segment
from asg_mcp.core.times import parse_time
from asg_mcp.core.values import check_key, checked, encode
from asg_mcp.errors import ArchiveDamaged, AsgError, StorageError
from asg_mcp.repo.archiving import derived_salt
from asg_mcp.storage.base import RefKind

_SALT_DIGITS = frozenset("0123456789abcdef")
_SALT_CHARS = 32
_ENTRY_BYTES = 300
"""An estimate of what an entry takes in memory besides its value."""
_TEXTS = ("description", "reasoning", "tags")
_NONSENSE = (
    *(AsgError, ArithmeticError, AssertionError, AttributeError, LookupError, RecursionError, StopIteration),
    *(TypeError, ValueError),
)


class Malformed(Exception):
    """Something in an archive is not as it must be."""


@contextmanager
def place(where: str) -> Iterator[None]:
    """Raise ArchiveDamaged, with the place, for whatever turns out to be wrong in the block."""
    try:
        yield
    except Malformed as error:
        raise damaged(where, str(error)) from error
    except StorageError:
        raise
    except AsgError as error:
        raise damaged(where, error.message) from error
    except _NONSENSE as error:
        raise damaged(where, f"makes no sense: {type(error).__name__}: {error}") from error


def damaged(where: str, what: str) -> ArchiveDamaged:
    """The error for a place in an archive."""
    return ArchiveDamaged(f"{where} of the archive: {what}", place=where)


@dataclass(slots=True)
class ArchivedCommit:
    """A commit of an archive. Without operations it was pruned, without a body its texts were erased."""

    number: int
    """Its place among the commits, from 1: its number in the store that is made."""
    header: Header
    operations: list[RecordedOperation] | None
    salt: str = ""
    body: dict[str, Any] | None = None
    fresh: list[tuple[Blob, Any]] = field(default_factory=list)
    """The values apart that it is the first to have; NOTHING for one of a class whose key was destroyed."""
    standing: list[tuple[int, Entry]] = field(default_factory=list)
    """What stands now in the leaves that it made, by rank or place, where values were erased later."""
    salts: list[tuple[bytes, str | None]] = field(default_factory=list)
    """Canonical bytes of values under the store's own key, with the salts that are told of them."""

    dated: bool = False
    """Whether an erased value tells since when it is one, as in version 2."""

    @property
    def where(self) -> str:
        """What it is called in an error."""
        return f"commit {self.number} ({self.header.id.short})"

    @property
    def bytes(self) -> int:
        """About what its values take in memory."""
        large = sum(len(value) for _, value in self.fresh if type(value) is str)
        return large + sum(_ENTRY_BYTES + len(canonical) for canonical, _ in self.salts)


@dataclass(slots=True)
class ArchivedEvent:
    """An event of an archive: `body` is what it says, or with `erased` what is kept of it."""

    index: int
    event: Event
    salt: str = ""
    body: dict[str, Any] | None = None
    erased: bool = False

    @property
    def where(self) -> str:
        """What it is called in an error."""
        return f"event {self.index}"


class Commits:
    """The commits of an archive, one after the other. Values apart that were met stay known by their ids."""

    def __init__(self, records: Iterable[Any], hasher: Hasher) -> None:
        self._records = iter(records)
        self._hasher = hasher
        self._known: dict[bytes, Blob] = {}
        self._destroyed = {group.name for group in hasher.classes.all if group.destroyed}
        self._number = 0

    def next(self) -> ArchivedCommit:
        """The next commit. Raises ArchiveDamaged, where there is none too."""
        self._number += 1
        with place(f"commit {self._number}"):
            record = next(self._records, None)
            if record is None:
                raise Malformed("is missing")
            told, operations, texts, *standing = _list(record)
            found = ArchivedCommit(self._number, _header(told), None)
            if operations is not None:
                found.operations = [self._operation(operation, found) for operation in _list(operations)]
            if standing:
                found.standing = [self._standing(one, found) for one in _items(standing, 1)[0]]
            if texts is not None:
                found.salt, found.body = _items(texts, 2)
                _check_texts(found)
            if found.operations is None and (found.body is not None or standing):
                raise Malformed("was pruned, and its texts or values are here")
            if standing and not found.standing:
                raise Malformed("has a list of nothing")
            for number, (blob, _) in enumerate(found.fresh):
                if blob.group not in self._destroyed:
                    found.fresh[number] = blob, self._apart(next(self._records, None), blob, found)
        return found

    def end(self) -> None:
        """Raise ArchiveDamaged where something follows."""
        if next(self._records, None) is not None:
            raise damaged(f"commit {self._number + 1}", "no event brought it")

    def _operation(self, told: Any, commit: ArchivedCommit) -> RecordedOperation:
        name, path, source, entries = _items(told, 4)
        op = Op(name)
        for text in (path, source):
            if text is not None and format_path(parse_path(text)) != text:
                raise Malformed(f"has the path {text!r}, which is written otherwise")
        if (source is None) is (op is Op.MOVE) or (entries is None) is not (op in (Op.MOVE, Op.DELETE)):
            raise Malformed(f"has a {name} without what it needs, or with more")
        if op is Op.TEST:
            raise Malformed("records a test, which changes nothing")
        if entries is None:
            return RecordedOperation(op, path, source, None)
        found = [self._entry(entry, commit) for entry in _list(entries)]
        _check_form(found)
        return RecordedOperation(op, path, source, found)

    def _entry(self, told: Any, commit: ArchivedCommit) -> Entry:
        key, kind, value, *more = _list(told)
        if type(key) is not str or type(kind) is not int or kind not in (SCALAR, MAP, LIST) or len(more) > 1:
            raise Malformed("has an entry of another form")
        if kind != SCALAR:
            if value is not None or more:
                raise Malformed("has a marker with a value")
            return Entry(key, kind, None, commit.number)
        if type(value) is bytes:
            blob = Blob(ValueId(link(value)), 0, erased_after=more[0] if more else None)
            if more and (type(more[0]) is not int or more[0] < 0):
                raise Malformed("was erased after what is no commit")
            commit.dated = commit.dated or bool(more)
            return Entry(key, SCALAR, blob, commit.number)
        if type(value) is list:
            if more:
                raise Malformed("has an id with a salt")
            return Entry(key, SCALAR, self._blob(value, commit), commit.number)
        canonical = _scalar(value)
        if type(value) is str and len(value.encode()) > VALUE_INLINE_BYTES_MAX:
            raise Malformed("has a large value that is not apart")
        commit.salts.append((canonical, _salt(more[0]) if more else None))
        return Entry(key, SCALAR, value, commit.number)

    def _standing(self, told: Any, commit: ArchivedCommit) -> tuple[int, Entry]:
        at, *value = _list(told)
        if type(at) is not int:
            raise Malformed("has a value in no place")
        return at, self._entry(["", SCALAR, *value], commit)

    def _blob(self, told: list[Any], commit: ArchivedCommit) -> Blob:
        value_id, group = ValueId(link(told[0])), ""
        if len(told) > 1:
            _, group = _items(told, 2)
            if group not in {held.name for held in self._hasher.classes.all}:
                raise Malformed(f"has a value of the class {group!r}, which there is none of")
        blob = self._known.get(value_id.digest)
        if blob is None:
            blob = self._known[value_id.digest] = Blob(value_id, 0, group=group)
            commit.fresh.append((blob, NOTHING))
        if blob.group != group:
            raise Malformed(f"has the value {value_id.short} in two classes")
        return blob

    def _apart(self, record: Any, blob: Blob, commit: ArchivedCommit) -> Any:
        """The value of a blob, from the record that follows."""
        if record is None:
            raise Malformed(f"lacks the value {blob.id.short}")
        salt, value = _items(record, 2)
        canonical = _scalar(value)
        if commitment(_salt(salt), value) != blob.id:
            raise Malformed(f"has something else where the value {blob.id.short} belongs")
        if not blob.group:
            if type(value) is not str or len(value.encode()) <= VALUE_INLINE_BYTES_MAX:
                raise Malformed("has a small value apart")
            derived = derived_salt(self._hasher.value_ids.class_key, canonical)
            commit.salts.append((canonical, None if salt == derived else salt))
        elif self._hasher.ids_of(blob.group).salt_of(canonical) != salt:
            raise Malformed(f"has a value of the class {blob.group} under another key")
        return value


def event_from(record: Any, index: int) -> ArchivedEvent:
    """An event of an archive, whose place is `index`. Raises ArchiveDamaged."""
    with place(f"event {index}"):
        told, salt, body = _items(record, 3)
        found = ArchivedEvent(index, _event(told))
        if found.event.index != index:
            raise Malformed(f"says that it is event {found.event.index}")
        if body is not None:
            if type(body) is not dict or encode(checked(body)) != encode(body):
                raise Malformed("has a body that is no JSON map")
            found.body, found.erased = body, salt is None
            if salt is not None:
                found.salt = _salt(salt)
                if commitment(salt, body) != found.event.body:
                    raise Malformed("has another body than its header commits to")
        if (found.event.body is None) is not (body is None) or (body is None and salt is not None):
            raise Malformed("has a body, or has none, against its header")
    return found


def ref_from(record: Any, number: int) -> tuple[str, RefKind, CommitId]:
    """A ref of an archive. Raises ArchiveDamaged."""
    with place(f"ref {number}"):
        name, kind, commit = _items(record, 3)
        if type(name) is not str:
            raise Malformed("has no name")
        return name, RefKind[str(kind).upper()], CommitId(link(commit))


def link(told: Any) -> bytes:
    """The bytes of an id."""
    if type(told) is not bytes or len(told) != len(CID_PREFIX) + DIGEST_BYTES or not told.startswith(CID_PREFIX):
        raise Malformed("has something else where an id belongs")
    return told


def _items(told: Any, count: int) -> Any:
    if type(told) is not list or len(told) != count:
        raise Malformed(f"is or has something that is no list of {count}")
    return told


def _list(told: Any) -> Any:
    if type(told) is not list:
        raise Malformed("has something else where a list belongs")
    return told


def _salt(told: Any) -> str:
    if type(told) is not str or len(told) != _SALT_CHARS or not _SALT_DIGITS.issuperset(told):
        raise Malformed("has a salt that is not 32 hex digits")
    return told


def _scalar(value: Any) -> bytes:
    """The canonical bytes of a scalar that may be stored."""
    canonical = encode(value)
    if type(value) in (dict, list) or encode(checked(value)) != canonical:
        raise Malformed("has a value that cannot be stored")
    return canonical


def _author(told: dict[str, Any]) -> Author:
    return Author(told["principal"], told["agent"], told.get("client", ""), told.get("session", ""))


def _same(header: dict[str, Any], told: dict[str, Any]) -> None:
    """Raise Malformed unless the header that was made of what is told is that very one."""
    if encode(header) != encode(told):
        raise Malformed("has a header of another form")


def _header(told: Any) -> Header:
    if told["layout"] != TREE_LAYOUT:
        raise Malformed(f"is of the tree layout {told['layout']}, and this program knows {TREE_LAYOUT}")
    confidence = told.get("confidence")
    if confidence is not None and type(confidence) is not float:
        raise Malformed("has a confidence that is no float")
    header = Header(
        layout=TREE_LAYOUT,
        parents=tuple(CommitId(link(parent)) for parent in _list(told["parents"])),
        root=NodeId(link(told["root"])),
        category=Category(told["category"]),
        confidence=confidence,
        author=_author(told),
        intent_id=told.get("intent", ""),
        parent_intent=told.get("parent_intent", ""),
        at=parse_time(told["at"]),
        operations=Id(link(told["ops"])),
        body=Id(link(told["body"])),
    )
    _same(header.as_map(), told)
    if len(header.parents) > 2:
        raise Malformed("has more than two parents")
    Intent(
        header.category,
        "Checked.",
        confidence=confidence,
        intent_id=header.intent_id,
        parent_intent=header.parent_intent,
    )
    return header


def _check_texts(found: ArchivedCommit) -> None:
    body = found.body
    if type(body) is not dict or commitment(_salt(found.salt), body) != found.header.body:
        raise Malformed("has other texts than its header commits to")
    intent = Intent(
        found.header.category,
        body["description"],
        reasoning=body.get("reasoning", ""),
        tags=tuple(body.get("tags", ())),
        provenance={name: part for name, part in body.items() if name not in _TEXTS},
    )
    if encode(body_of(intent)) != encode(body):
        raise Malformed("has texts of another form")


def _event(told: Any) -> Event:
    event = Event(
        kind=EventKind(told["kind"]),
        index=told["index"],
        ref=told.get("ref", ""),
        ref_kind=told.get("ref_kind", ""),
        old=CommitId(link(told["old"])) if "old" in told else None,
        new=CommitId(link(told["new"])) if "new" in told else None,
        author=_author(told),
        at=parse_time(told["at"]),
        subject=told.get("subject", ""),
        body=Id(link(told["body"])) if "body" in told else None,
    )
    _same(event.header(), told)
    if type(event.index) is not int or {type(event.subject), type(event.ref)} != {str}:
        raise Malformed("has a header of another form")
    if bool(event.ref) is not bool(event.old or event.new) or (event.ref and event.ref_kind not in _REF_KINDS):
        raise Malformed("has a ref without a commit, or a commit without a ref")
    return event


_REF_KINDS = {kind.label for kind in RefKind}


class _NoRows:
    """A `NodeSource` for entries that need none."""

    def load(self, row: int) -> Node:
        """See NodeSource."""
        raise Malformed(f"names row {row}")

    def blob(self, row: int) -> Any:
        """See NodeSource."""
        raise Malformed(f"names row {row}")


def _check_form(entries: list[Entry]) -> None:
    """Raise Malformed unless the entries are those of one value, in the one form that it has."""
    if not entries or any(depth_of(entry.key) > VALUE_DEPTH_MAX for entry in entries):
        raise Malformed("has no entry, or one that is nested too deeply")
    for entry in entries:
        _, _, last = entry.key[: -len(END)].rpartition(END)
        check_key(unescape_segment(last))
    plain = [Entry(entry.key, entry.kind, None, 0) for entry in entries]
    if len(plain) == 1:
        again = plain if entries[0].key == "" else []
    else:
        value = value_of(nest(plain), _NoRows())
        again = flatten(value, "", 0, Hasher(bytes(DIGEST_BYTES), bytes(DIGEST_BYTES)))
    if [(entry.key, entry.kind) for entry in again] != [(entry.key, entry.kind) for entry in plain]:
        raise Malformed("has a value whose entries have another form")
