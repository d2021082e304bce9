"""What the leaf of an event covers."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from asg_mcp.core.events import Event, EventKind
from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author
from asg_mcp.core.values import encode

OLD, NEW = CommitId.of(b"old"), CommitId.of(b"new")
EVENT = Event(EventKind.COMMIT, 7, "main", "branch", OLD, NEW, Author("local:ana", "fixer", "probe/1", "s-1"), 10**15)


def test_the_leaf_hash_of_a_fixed_event_never_changes() -> None:
    assert EVENT.leaf_hash().hex() == "0f8d286b8fb2f8523671df10713f813700af6dd8c3bed338340c7e9a3ac030c8"


def test_a_leaf_is_hashed_as_rfc_6962_says() -> None:
    assert EVENT.leaf_hash() == sha256(b"\x00" + encode(EVENT.header())).digest()


def test_absent_fields_are_left_out() -> None:
    event = replace(EVENT, old=None, author=Author("p", "a"))
    assert event.header().keys() == {"v", "kind", "index", "ref", "ref_kind", "new", "principal", "agent", "at"}


@pytest.mark.parametrize(
    "change",
    [
        {"kind": EventKind.REF_CREATED},
        {"index": 8},
        {"ref": "dev"},
        {"ref_kind": "tag"},
        {"old": None},
        {"old": NEW, "new": OLD},
        {"author": Author("local:bo", "fixer", "probe/1", "s-1")},
        {"author": Author("local:ana", "fixer")},
        {"at": 10**15 + 1},
    ],
)
def test_every_field_is_bound_by_the_leaf(change: dict[str, Any]) -> None:
    assert replace(EVENT, **change).leaf_hash() != EVENT.leaf_hash()


def test_the_number_of_a_kind_in_stored_rows_is_its_place_and_never_moves() -> None:
    assert [kind.value for kind in EventKind][:4] == ["store_created", "commit", "ref_created", "ref_deleted"]
