"""Taking things away by hand, in the stored forms that redaction and collection leave: with or without receipts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from asg_mcp.core.commits import body_id
from asg_mcp.core.events import EventKind
from asg_mcp.core.ids import ValueId
from asg_mcp.core.intents import Author
from asg_mcp.core.nodes import Hasher
from asg_mcp.repo.ledger import log_event, without_body
from asg_mcp.repo.records import info_of, operations_of, stub_of, terms_for
from asg_mcp.storage.base import Rewriter, Term
from asg_mcp.storage.sqlite import open_store

T = TypeVar("T")
OPERATOR = Author("local:root", "asg-mcp")
_SCALAR, _BLOB = 0, 3
_FIRST_ENTRY = {0: 1, 2: 5}
"""By the tag of a leaf's row."""


async def rewrite(path: Path, work: Callable[[Rewriter, Hasher], T]) -> T:
    """One rewriting transaction on a store that nobody has open."""
    store = await open_store(path)
    try:
        return await store.rewrite(lambda writer: work(writer, store.hasher))
    finally:
        await store.close()


def receipt(writer: Rewriter, kind: EventKind = EventKind.REDACTED, **body: Any) -> None:
    """Log that something was taken away."""
    log_event(writer, kind, OPERATOR, body={"reason": "Asked for.", **body})


def erase(writer: Rewriter, hasher: Hasher, *values: Any) -> list[str]:
    """Leave of these values their ids alone, wherever they are; the ids as hex."""
    done: set[ValueId] = set()

    def gone(parts: list[Any], first: int) -> bool:
        changed = False
        for at in range(first, len(parts), 5):
            kind, value = parts[at + 2 : at + 4]
            if kind == _BLOB and value[0] and writer.blob(value[0]) in values:
                value_id = ValueId(value[1])
            elif kind == _SCALAR and value in values:
                value_id = hasher.value_ids.of(value)
            else:
                continue
            parts[at + 2 : at + 4] = [_BLOB, [0, value_id]]
            done.add(value_id)
            changed = True
        return changed

    after = 0
    while page := writer.node_rows(after, 100):
        for row, parts in page:
            if parts[0] in _FIRST_ENTRY and gone(parts, _FIRST_ENTRY[parts[0]]):
                writer.put_node_parts(row, parts)
        after = page[-1][0]
    for seq in range(1, writer.last_seq() + 1):
        commit = writer.commit(seq)
        operations = [[*told[:3], None if told[3] is None else list(told[3])] for told in commit.parts[12]]
        if sum(gone(told[3], 0) for told in operations if told[3] is not None):
            parts = [*commit.parts[:12], operations]
            writer.replace_commit(replace(commit, parts=parts), ((), ()), ("", ""))
    return sorted(value_id.hex() for value_id in done)


def withhold_texts(writer: Rewriter, hasher: Hasher, seq: int, salt: str = "") -> str:
    """Erase the texts of a commit; its id as hex."""
    row = writer.commit(seq)
    info = info_of(writer, row)
    before, text = terms_for(info, operations_of(row)), f"{info.description}\n{info.reasoning}"
    parts = list(row.parts)
    parts[10:12] = [salt, bytes(body_id(row.parts[10], row.parts[11]))]
    made = replace(row, parts=parts)
    writer.replace_commit(made, (before, terms_for(info_of(writer, made), operations_of(made))), (text, "\n"))
    return row.id.hex()


def withhold_body(writer: Rewriter, index: int, kept: dict[str, Any] | None = None) -> int:
    """Erase the body of an event but for what is kept of it."""
    row = writer.event(index)
    assert row is not None
    writer.replace_event(index, without_body(row, kept or {}))
    return index


def prune(writer: Rewriter, hasher: Hasher, seqs: Iterable[int], *, indexed: bool = False) -> list[str]:
    """Take away what commits held; their ids as hex. `indexed` leaves them in the index."""
    done = []
    for seq in seqs:
        row = writer.commit(seq)
        info = info_of(writer, row)
        terms: set[Term] = terms_for(info, operations_of(row))
        stub = stub_of(writer, row, hasher)
        text = f"{info.description}\n{info.reasoning}"
        writer.replace_commit(stub, (terms, terms if indexed else ()), (text, "\n"))
        done.append(row.id.hex())
    return done
