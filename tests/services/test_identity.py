"""Who makes a change."""

from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.errors import Forbidden, HandleNotFound, InvalidName
from asg_mcp.repo.requests import SessionRequest
from asg_mcp.services.identity import acting
from tests.repo.desk import open_desk

CONNECTION = {"principal": "ana", "client": "probe/1.0", "default_agent": "probe"}


async def test_the_agent_is_the_one_claimed_else_the_default_of_the_connection(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        assert acting(desk.repo, **CONNECTION, claimed_agent="planner").author == Author("ana", "planner", "probe/1.0")
        assert acting(desk.repo, **CONNECTION).author == Author("ana", "probe", "probe/1.0")


async def test_a_session_says_who_acts_and_another_claim_is_refused(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        opened = await desk.repo.open_session(SessionRequest("fixer", branch="fix"), Author("ana", "planner"))
        who = acting(desk.repo, **CONNECTION, session=opened.handle)
        assert who.author == Author("ana", "fixer", "probe/1.0", opened.handle)
        assert (who.branch("main", said=False), who.branch("main", said=True)) == ("fix", "main")
        with pytest.raises(Forbidden, match="planner") as refused:
            acting(desk.repo, **CONNECTION, session=opened.handle, claimed_agent="planner")
        assert "the session says who acts" in refused.value.hint


async def test_a_session_of_another_principal_is_as_if_it_were_not_there(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        opened = await desk.repo.open_session(SessionRequest("fixer"), Author("bob", "planner"))
        for handle in ("ses-000000000000", opened.handle):
            with pytest.raises(HandleNotFound, match=f"no session '{handle}'"):
                acting(desk.repo.seen_by("ana"), **CONNECTION, session=handle)


async def test_a_server_bound_to_a_session_works_in_it_or_below_it(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        ana = Author("ana", "planner")
        bound = (await desk.repo.open_session(SessionRequest("fixer"), ana)).handle
        child = (await desk.repo.open_session(SessionRequest("helper", parent=bound), ana)).handle
        below = (await desk.repo.open_session(SessionRequest("tester", parent=child), ana)).handle
        other = (await desk.repo.open_session(SessionRequest("fixer"), ana)).handle
        for given, agent in (("", "fixer"), (bound, "fixer"), (child, "helper"), (below, "tester")):
            assert acting(desk.repo, **CONNECTION, session=given, bound_to=bound).author.agent == agent
        with pytest.raises(Forbidden, match="not opened below it"):
            acting(desk.repo, **CONNECTION, session=other, bound_to=bound)


async def test_an_agent_name_that_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        with pytest.raises(InvalidName):
            acting(desk.repo, **CONNECTION, claimed_agent="two\nlines")
