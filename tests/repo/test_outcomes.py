"""A report is filed at once, on what the caller may see, and closes the session it is about."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import DESCRIPTION_BYTES_MAX
from asg_mcp.core.operations import Op
from asg_mcp.errors import CommitNotFound, HandleNotFound, InvalidArgument, LimitExceeded, NotFound
from asg_mcp.repo import repository
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.outcomes import resolve
from asg_mcp.repo.requests import OutcomeRequest, SessionRequest
from asg_mcp.repo.view import View
from asg_mcp.storage.base import Writer
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB, operation


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as desk:
        yield desk


async def meant(desk: Desk, intent_id: str = "", parent: str = "") -> str:
    """A commit that bears an intent."""
    intent = Intent(Category.FIX, "Mend.", intent_id=intent_id, parent_intent=parent)
    return (await desk.repo.commit("main", [], intent, ALICE, Guard())).commit.short


async def opened(desk: Desk, author: Author = ALICE, parent: str = "") -> tuple[str, Author]:
    info = await desk.repo.open_session(SessionRequest("fixer", parent=parent), author)
    return info.handle, Author(author.principal, "fixer", "", info.handle)


async def test_a_session_named_as_intent_is_closed_like_one_named_as_session(desk: Desk) -> None:
    alice = desk.repo.seen_by(ALICE.principal)
    for by_intent in (True, False):
        handle, acting = await opened(desk)
        named = ("", handle) if by_intent else (handle, "")
        done = await alice.resolve(OutcomeRequest("failed", "No.", session=named[0], intent=named[1]), ALICE)
        assert (done.intent, done.closed, desk.repo.session(handle).status) == (handle, True, "failed")
        with pytest.raises(HandleNotFound, match="closed"):
            await desk.set("/a", 1, author=acting)
        with pytest.raises(HandleNotFound, match="closed already, as failed"):
            await alice.resolve(OutcomeRequest("fulfilled", "Yes.", intent=handle), ALICE)
    theirs, _ = await opened(desk, BOB)
    with pytest.raises(NotFound):
        await alice.resolve(OutcomeRequest("failed", "No.", intent=theirs), ALICE)
    assert desk.repo.session(theirs).status == "open"


async def test_a_closed_session_reports_on_nothing_more(desk: Desk) -> None:
    handle, acting = await opened(desk)
    intent = await meant(desk)
    await desk.repo.resolve(OutcomeRequest("failed", "No.", session=handle), acting)
    with pytest.raises(HandleNotFound, match="closed"):
        await desk.repo.resolve(OutcomeRequest("fulfilled", "Yes.", intent=intent, session=handle), acting)


async def test_nothing_is_filed_on_what_another_principal_tries(desk: Desk) -> None:
    trial = await desk.repo.speculations.open("main", "secret", BOB)
    tried = await desk.repo.speculations.modify(trial.handle, [operation(Op.SET, "/a", 1)], BOB)
    alice, bob = desk.repo.seen_by(ALICE.principal), desk.repo.seen_by(BOB.principal)
    for digits in (6, 12, 64):
        with pytest.raises(CommitNotFound):
            await alice.resolve(OutcomeRequest("failed", "No.", intent=tried.head.hex()[:digits]), ALICE)
        done = await bob.resolve(OutcomeRequest("failed", "No.", intent=tried.head.hex()[:digits]), BOB)
        assert done.intent == tried.head.short


async def test_an_empty_or_endless_summary_is_refused_by_its_name(desk: Desk) -> None:
    intent = await meant(desk)
    with pytest.raises(InvalidArgument, match="The summary is empty"):
        await desk.repo.resolve(OutcomeRequest("failed", " ", intent=intent), ALICE)
    with pytest.raises(LimitExceeded, match="The summary has"):
        await desk.repo.resolve(OutcomeRequest("failed", "x" * (DESCRIPTION_BYTES_MAX + 1), intent=intent), ALICE)


async def test_what_serves_an_intent_is_not_looked_at_in_the_transaction(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often an intent was borne, served and reported on, the writer reads no more for another report."""
    looked: list[int] = []

    class Counting:
        """A writer whose reads of commits and records are counted."""

        def __init__(self, writer: Writer) -> None:
            self.writer = writer

        def __getattr__(self, name: str) -> Any:
            looked[-1] += name in ("commit", "record", "records")
            return getattr(self.writer, name)

    def counted(writer: Writer, view: View, *rest: Any) -> Any:
        looked.append(0)
        counting: Any = Counting(writer)
        return resolve(counting, replace(view, reader=counting), *rest)

    monkeypatch.setattr(repository, "resolve", counted)
    await meant(desk, intent_id="big")
    for _ in range(2):
        for number in range(30):
            await meant(desk, intent_id="big")
            child = await meant(desk, parent="big")
            await opened(desk)
            if number % 3 == 0:
                await desk.repo.resolve(OutcomeRequest("failed", "No.", intent=child), ALICE)
        looked.clear()
        told = await desk.repo.resolve(OutcomeRequest("fulfilled", "Yes.", intent="big"), ALICE)
        assert len(told.children) + told.omitted in (10, 20)
        assert len(looked) == 1
        assert looked[0] < 12
