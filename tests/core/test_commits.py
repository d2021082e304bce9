"""What a commit id covers, and what it does not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from asg_mcp.core.commits import Header, RecordedOperation, body_id, body_of, operations_id
from asg_mcp.core.edits import apply_entries
from asg_mcp.core.flat import flatten
from asg_mcp.core.ids import CommitId, NodeId
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.nodes import SCALAR, Blob, Entry
from asg_mcp.core.operations import Op
from asg_mcp.core.paths import parse_path
from asg_mcp.core.state import State
from asg_mcp.core.values import decode_block, encode
from asg_mcp.errors import Withheld
from tests.core.trees import HASHER, SOURCE

SALT = "00112233445566778899aabbccddeeff"
INTENT = Intent(Category.FIX, "Mend it", reasoning="It broke", confidence=0.5, tags=("ops",), intent_id="i-1")
OPERATIONS = [
    RecordedOperation(Op.SET, "/a", None, flatten({"b": [1, 2.0, None], "c": "secret"}, "", 2, HASHER)),
    RecordedOperation(Op.MOVE, "/d", "/a/c", None),
]
HEADER = Header(
    layout=1,
    parents=(CommitId.of(b"parent"),),
    root=NodeId.of(b"root"),
    category=Category.FIX,
    confidence=0.5,
    author=Author("local:ana", "fixer", "probe/1", "s-1"),
    intent_id="i-1",
    parent_intent="",
    at=1_795_248_000_000_000,
    operations=operations_id(OPERATIONS, HASHER),
    body=body_id(SALT, body_of(INTENT)),
)


def test_the_commit_id_of_a_fixed_header_never_changes() -> None:
    assert HEADER.operations.hex() == "057b26261ebf16f6fecb2743b51a5c88eabaacd0144115129076b2cea832f087"
    assert HEADER.body.hex() == "a38703a4252825592e544e758cca6a11d9263ea3a6c50fe876a43e38dba758a6"
    assert HEADER.id.hex() == "61e0f07615736dec5f59403ecd7af27f9a2163b8a00149da2b059835c6e7c07e"


def test_the_header_is_exported_as_it_is_hashed_without_absent_fields() -> None:
    fields = decode_block(encode(HEADER.as_map()))
    assert sorted(fields) == sorted(
        "v layout parents root category confidence principal agent client session intent at ops body".split()
    )
    assert fields["at"] == "2026-11-21T08:00:00.000000Z"


@pytest.mark.parametrize(
    "change",
    [
        {"parents": ()},
        {"root": NodeId.of(b"other")},
        {"category": Category.REFINE},
        {"confidence": None},
        {"author": Author("local:ana", "fixer", "probe/1")},
        {"author": Author("local:bo", "fixer", "probe/1", "s-1")},
        {"intent_id": ""},
        {"parent_intent": "i-0"},
        {"at": HEADER.at + 1},
        {"layout": 2},
        {"operations": HEADER.body},
        {"body": HEADER.operations},
    ],
)
def test_every_field_of_the_header_is_bound_by_the_id(change: dict[str, Any]) -> None:
    assert replace(HEADER, **change).id != HEADER.id


@pytest.mark.parametrize(
    "other",
    [
        RecordedOperation(Op.SET, "/b", None, OPERATIONS[0].entries),
        RecordedOperation(Op.INSERT, "/a", None, OPERATIONS[0].entries),
        RecordedOperation(Op.SET, "/a", "/x", OPERATIONS[0].entries),
        RecordedOperation(Op.SET, "/a", None, None),
        RecordedOperation(Op.SET, "/a", None, flatten({"b": [1, 2, None], "c": "secret"}, "", 2, HASHER)),
        RecordedOperation(Op.SET, "/a", None, flatten({"b": [1, 2.0], "c": "secret"}, "", 2, HASHER)),
    ],
)
def test_every_part_of_an_operation_is_bound(other: RecordedOperation) -> None:
    assert operations_id([other, OPERATIONS[1]], HASHER) != HEADER.operations


def test_the_origin_of_an_entry_is_not_hashed() -> None:
    assert (
        operations_id(
            [
                replace(OPERATIONS[0], entries=flatten({"b": [1, 2.0, None], "c": "secret"}, "", 99, HASHER)),
                OPERATIONS[1],
            ],
            HASHER,
        )
        == HEADER.operations
    )


def erased(entries: list[Entry]) -> list[Entry]:
    """The entries with every text erased: what is left of one is its id."""
    out = []
    for entry in entries:
        value_id = HASHER.value_id(entry)
        if entry.kind == SCALAR and (isinstance(entry.value, str) or type(entry.value) is Blob):
            assert value_id is not None
            entry = Entry(entry.key, SCALAR, Blob(value_id, 0), entry.origin)
        out.append(entry)
    return out


@pytest.mark.parametrize("text", ["secret", "long secret " * 400])
def test_erasing_a_value_leaves_ids_roots_and_replay_as_they_were(text: str) -> None:
    entries = flatten({"keep": 1, "text": text, "list": [text, 2]}, "", 2, HASHER)
    gone = erased(entries)
    before = RecordedOperation(Op.SET, "/a", None, entries)
    after = RecordedOperation(Op.SET, "/a", None, gone)
    assert operations_id([after], HASHER) == operations_id([before], HASHER)
    states = []
    for operation in (before, after):
        state = State.empty(SOURCE, HASHER, 1)
        state = apply_entries(state, operation.op, parse_path("/a"), None, operation.entries, 2).state
        states.append(apply_entries(state, Op.MOVE, parse_path("/b"), parse_path("/a/list"), None, 3).state)
    assert states[0].tree.id == states[1].tree.id
    assert [entry.origin for entry in states[0].tree.entries()] == [entry.origin for entry in states[1].tree.entries()]
    assert states[1].value(states[1].spot(("a", "keep"))) == 1
    with pytest.raises(Withheld):
        states[1].value(states[1].spot(("a", "text")))


def test_a_body_holds_the_texts_that_were_given_and_its_commitment_needs_the_salt() -> None:
    assert body_of(INTENT) == {"description": "Mend it", "reasoning": "It broke", "tags": ["ops"]}
    assert body_of(Intent(Category.FIX, "x", provenance={"authority": "ana"})) == {
        "description": "x",
        "authority": "ana",
    }
    assert body_id(SALT, body_of(INTENT)) != body_id("f" * 32, body_of(INTENT))
