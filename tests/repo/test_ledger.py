"""A record is what the log says of its subject, and verify makes each again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.repo.ledger import EVENT_KINDS, RECORDED_IN, event_of, log_event, projected
from asg_mcp.repo.requests import OutcomeRequest, SessionRequest
from asg_mcp.repo.verify import Problem
from asg_mcp.storage.base import RecordKind, TermKind
from asg_mcp.storage.session import term_number
from tests.repo.desk import open_desk
from tests.repo.stores import ALICE, made_store


@pytest.fixture
async def store(tmp_path: Path) -> Path:
    async with open_desk(tmp_path) as desk:
        session = await desk.repo.open_session(SessionRequest("fixer", branch="fix"), ALICE)
        acting = Author(ALICE.principal, "fixer", "", session.handle)
        done = await desk.set("/a", 1, ref="fix", author=acting)
        await desk.repo.resolve(OutcomeRequest("failed", "It fell over.", intent=done.commit.short), ALICE)
        await desk.repo.resolve(OutcomeRequest("fulfilled", "It stands.", intent=done.commit.short), ALICE)
        await desk.repo.resolve(OutcomeRequest("fulfilled", "All done.", session=session.handle), acting)
    return tmp_path / "state.db"


async def problems(store: Path) -> tuple[Problem, ...]:
    async with open_desk(store.parent) as desk:
        return (await desk.repo.verify(lambda *_: None)).problems


def damage(store: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        assert db.execute(sql, values).rowcount == 1, "the damage was done"


async def test_a_store_with_records_is_in_order(store: Path) -> None:
    assert await problems(store) == ()


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("DELETE FROM records WHERE kind = 0", "record"),
        ("UPDATE records SET opened = opened - 1 WHERE kind = 0", "record"),
        ("UPDATE records SET last = last - 1 WHERE kind = 0", "record"),
        ("UPDATE records SET key = 'ses-000000000000' WHERE kind = 0", "store_corrupt"),
        ("INSERT INTO records SELECT 3, key, opened, last, data FROM records WHERE kind = 0", "store_corrupt"),
        ("UPDATE records SET data = (SELECT data FROM records WHERE kind = 2 LIMIT 1) WHERE kind = 0", "store_corrupt"),
    ],
)
async def test_a_record_that_the_log_does_not_tell_of_is_found(store: Path, sql: str, kind: str) -> None:
    damage(store, sql)
    [problem] = await problems(store)
    assert problem.kind == kind


async def test_an_event_that_is_not_found_under_its_subject_is_told(store: Path) -> None:
    with closing(sqlite3.connect(store)) as db:
        key = db.execute("SELECT key FROM records WHERE kind = 0").fetchone()[0]
    number = term_number((TermKind.SUBJECT, key))
    with closing(sqlite3.connect(store, isolation_level=None)) as db:
        assert db.execute("DELETE FROM terms WHERE term = ?", (number,)).rowcount > 0
    [problem] = await problems(store)
    assert problem.kind == "index"


async def test_a_report_s_text_is_in_no_header_and_its_body_is_bound_by_it(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        secret = "the password is swordfish"

        def work(writer: Any) -> None:
            log_event(writer, EventKind.OUTCOME, ALICE, subject="move", body={"summary": secret})

        await made.store.write(work)
        with made.store.reading() as reader:
            row = reader.event(reader.events_count() - 1)
            assert row is not None
            event = event_of(reader, row)
            assert event.leaf_hash() == row.leaf
            assert "swordfish" not in repr(event.header())
            assert row.data is not None
            row.data[7]["summary"] = "nothing"
            assert event_of(reader, row).leaf_hash() != row.leaf


def test_a_later_event_speaks_over_an_earlier_one_field_by_field() -> None:
    first = projected(None, EventKind.SESSION_OPENED, "s", 3, {"agent": "a", "status": "open"})
    assert (first.kind, first.opened, first.last) == (RecordKind.SESSION, 3, 3)
    second = projected(first, EventKind.SESSION_CLOSED, "s", 9, {"status": "failed"})
    assert (second.opened, second.last, second.data) == (3, 9, {"agent": "a", "status": "failed"})


def test_every_kind_of_event_with_a_record_is_numbered() -> None:
    assert set(RECORDED_IN) <= set(EVENT_KINDS)
