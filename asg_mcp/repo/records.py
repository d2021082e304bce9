"""Between commits and their stored rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from asg_mcp.core.commits import Header, RecordedOperation, body_id, operations_id
from asg_mcp.core.flat import WITHHELD_TEXT
from asg_mcp.core.ids import Id, NodeId
from asg_mcp.core.intents import Author, Category, known_author
from asg_mcp.core.noderows import blobs_in, pack_entries, unpack_entries
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import Tokens, list_index, parse_path
from asg_mcp.core.times import format_time
from asg_mcp.errors import Pruned, StoreCorrupt
from asg_mcp.repo.results import CommitInfo
from asg_mcp.storage.base import CommitRow, Reader, Record, Term, TermKind, Writer

_CATEGORIES = tuple(Category)
_OPS = tuple(Op)
_NO_CID = b"\x00"
_STAYING = (TermKind.INTENT, TermKind.SESSION)
_PROVENANCE = ("authority", "alternatives", "expected", "tool_calls", "notify")


def pack_commit(
    writer: Writer,
    header: Header,
    salt: str,
    body: dict[str, Any],
    operations: list[RecordedOperation],
    *,
    root_stored: bool,
) -> list[Any]:
    """The parts of a commit's row. Its root is among them only when its tree is not stored."""
    author = header.author
    return [
        header.layout,
        None if root_stored else _NO_CID + header.root.digest,
        _CATEGORIES.index(header.category),
        header.confidence,
        writer.intern(author.principal),
        writer.intern(author.agent),
        writer.intern(author.client) if author.client else 0,
        writer.intern(author.session) if author.session else 0,
        header.intent_id,
        header.parent_intent,
        salt,
        body,
        [_pack_operation(operation) for operation in operations],
    ]


def _pack_operation(operation: RecordedOperation) -> list[Any]:
    packed = None if operation.entries is None else pack_entries(operation.entries)
    return [_OPS.index(operation.op), operation.path, operation.source, packed]


def root_of(reader: Reader, row: CommitRow, hasher: Hasher) -> NodeId:
    """The root of a commit: kept in the row only while its tree is not stored, else that of the stored tree."""
    if row.root_row:
        return hasher.node_id(reader.load(row.root_row))
    return NodeId.from_digest(row.parts[1][len(_NO_CID) :])


def author_of(reader: Reader, row: CommitRow) -> Author:
    """Who made a commit."""
    principal, agent, client, session = row.parts[4:8]
    return known_author(
        reader.name(principal),
        reader.name(agent),
        reader.name(client) if client else "",
        reader.name(session) if session else "",
    )


def category_of(row: CommitRow) -> Category:
    """What kind of change a commit is."""
    number: int = row.parts[2]
    return _CATEGORIES[number]


def intent_id_of(row: CommitRow) -> str:
    """What its caller calls the intent of a commit; "" for nothing."""
    return str(row.parts[8])


def is_pruned(row: CommitRow) -> bool:
    """Whether what a commit held was taken away by garbage collection, so that its header is all there is."""
    return isinstance(row.parts[12], bytes)


def whole(row: CommitRow) -> CommitRow:
    """The commit, unless what it held was taken away. Raises Pruned."""
    if is_pruned(row):
        told = {"commit": row.id.short, "at": format_time(row.at)}
        raise Pruned(f"What commit {row.id.short} held was taken away by gc", **told)
    return row


def stub_of(reader: Reader, row: CommitRow, hasher: Hasher) -> CommitRow:
    """What stays of a commit when it is pruned: all that its id covers, with ids for root, texts and operations.

    Raises StoreCorrupt where what is stored is not what its id covers: what is damaged is not to be taken away unseen.
    """
    header = header_of(reader, row, hasher)
    if header.id != row.id:
        raise StoreCorrupt(f"Commit {row.id.short} does not hash to its id", kind="commit", what=row.id.short)
    parts = list(row.parts)
    parts[1], parts[10:13] = _NO_CID + header.root.digest, ["", header.body, header.operations]
    return replace(row, root_row=0, parts=parts)


def values_of(row: CommitRow) -> list[int]:
    """The rows of the large values among a commit's operations; none of a pruned one."""
    if is_pruned(row):
        return []
    return [value for _, _, _, packed in row.parts[12] if packed is not None for value in blobs_in(packed)]


def operations_of(row: CommitRow) -> list[RecordedOperation]:
    """What a commit did. Raises Pruned."""
    whole(row)
    return [
        RecordedOperation(_OPS[op], path, source, None if packed is None else unpack_entries(packed))
        for op, path, source, packed in row.parts[12]
    ]


def header_of(reader: Reader, row: CommitRow, hasher: Hasher) -> Header:
    """The header of a stored commit, with the ids of its operations and its body made again from what is stored."""
    layout, _, category, confidence, _, _, _, _, intent_id, parent_intent, salt, body = row.parts[:12]
    return Header(
        layout=layout,
        parents=tuple(reader.commit(parent).id for parent in row.parents),
        root=root_of(reader, row, hasher),
        category=_CATEGORIES[category],
        confidence=confidence,
        author=author_of(reader, row),
        intent_id=intent_id,
        parent_intent=parent_intent,
        at=row.at,
        operations=Id(row.parts[12]) if is_pruned(row) else operations_id(operations_of(row), hasher),
        body=Id(body) if isinstance(body, bytes) else body_id(salt, body),
    )


def info_of(reader: Reader, row: CommitRow) -> CommitInfo:
    """A commit as log, blame and query show it."""
    author = author_of(reader, row)
    body = row.parts[11]
    withheld = isinstance(body, bytes)
    text: dict[str, Any] = {} if withheld else body
    return CommitInfo(
        id=row.id,
        seq=row.seq,
        parents=tuple(reader.commit(parent).id for parent in row.parents),
        at=format_time(row.at),
        principal=author.principal,
        agent=author.agent,
        client=author.client,
        session=author.session,
        category=_CATEGORIES[row.parts[2]],
        confidence=row.parts[3],
        intent_id=row.parts[8],
        parent_intent=row.parts[9],
        description=text.get("description", WITHHELD_TEXT if withheld and not is_pruned(row) else ""),
        reasoning=text.get("reasoning", ""),
        tags=tuple(text.get("tags", ())),
        provenance={name: text[name] for name in _PROVENANCE if name in text},
        withheld=withheld,
        pruned=is_pruned(row),
    )


def staying_terms(stub: CommitInfo) -> set[Term]:
    """What a commit is found by still when it was pruned.

    The intents and the session of its header: the members of an epoch are told by them.
    """
    return {term for term in terms_for(stub, []) if term[0] in _STAYING}


def terms_for(info: CommitInfo, operations: list[RecordedOperation]) -> set[Term]:
    """What a commit is found by."""
    names = (info.intent_id, info.parent_intent)
    return _terms((info.agent, info.session), names, info.tags, info.provenance, operations)


def terms_of(header: Header, body: Mapping[str, Any], operations: list[RecordedOperation]) -> set[Term]:
    """The same of a commit in the making."""
    author, names = header.author, (header.intent_id, header.parent_intent)
    return _terms((author.agent, author.session), names, body.get("tags", ()), body, operations)


def _terms(
    author: tuple[str, str],
    intents: tuple[str, str],
    tags: Sequence[str],
    provenance: Mapping[str, Any],
    operations: list[RecordedOperation],
) -> set[Term]:
    agent, session = author
    terms: set[Term] = {(TermKind.AGENT, agent)}
    if session:
        terms.add((TermKind.SESSION, session))
    for tag in tags:
        terms.add((TermKind.TAG, tag))
    for name in intents:
        if name:
            terms.add((TermKind.INTENT, name))
    authority = authority_of(provenance)
    if authority:
        terms.add((TermKind.AUTHORITY, authority))
    for operation in operations:
        for path in _paths_touched(operation):
            terms.add((TermKind.PATH, path))
    return terms


def authority_of(provenance: Any) -> str:
    """The principal on whose authority a change was made, or ""."""
    authority = provenance.get("authority")
    if isinstance(authority, str):
        return authority
    principal = authority.get("principal") if isinstance(authority, dict) else ""
    return principal if isinstance(principal, str) else ""


def _paths_touched(operation: RecordedOperation) -> Iterator[str]:
    """The paths an operation is found under: its own, and its list where other elements move."""
    for path in (operation.path, operation.source):
        if path is None:
            continue
        yield path
        if operation.op not in (Op.DELETE, Op.INSERT, Op.MOVE):
            continue
        tokens: Tokens = parse_path(path)
        if tokens and list_index(tokens[-1]) is not None:
            yield path[: path.rfind("/")] or "/"


def key_of(info: CommitInfo) -> str:
    """What the outcome of a commit's intent is kept under."""
    return info.intent_id or info.id.hex()


def outcome_of(record: Record) -> dict[str, Any]:
    """A filed outcome as it is shown: JSON, with what was given alone."""
    data = record.data
    shown = {name: data[name] for name in ("outcome", "summary", "agent")}
    if data["observed"]:
        shown["observed"] = data["observed"][0]
    if data["deviations"]:
        shown["deviations"] = data["deviations"]
    if data["confidence"] is not None:
        shown["confidence"] = data["confidence"]
    return {**shown, "at": format_time(data["at"])}
