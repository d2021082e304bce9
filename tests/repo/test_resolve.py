"""From text to a commit."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.core.operations import Op
from asg_mcp.core.times import format_time, parse_time
from asg_mcp.errors import (
    AmbiguousPrefix,
    AsgError,
    CommitNotFound,
    HandleNotFound,
    HeadMoved,
    InvalidName,
    RefNotFound,
)
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.requests import MergeRequest, RevertRequest, SessionRequest
from asg_mcp.repo.resolve import Sight, clock_anomaly, commit_by_prefix, commits_seen, resolve_ref
from asg_mcp.storage.base import CommitRow, RefKind
from tests.repo.desk import open_desk
from tests.repo.stores import ALICE, BOB, WHY, Made, made_store, operation

START = 1_800_000_000_000_000


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    """Commits 2 to 5 on main, one second apart."""
    async with made_store(tmp_path) as opened:
        for number in range(1, 5):
            await opened.set("/a", number, at=START + number * 1_000_000)
        yield opened


def found(made: Made, text: str) -> int:
    with made.store.reading() as reader:
        return resolve_ref(reader, Graph(), text).seq


async def test_branches_tags_and_prefixes_name_commits(made: Made) -> None:
    await made.branch("v1", kind=RefKind.TAG)
    await made.set("/a", 9)
    with made.store.reading() as reader:
        name = reader.commit(3).id.hex()
    assert found(made, "main") == 6
    assert found(made, "v1") == 5
    for digits in (6, 12, 64):
        assert found(made, name[:digits]) == found(made, name[:digits].upper()) == 3


async def test_a_branch_comes_before_a_commit_of_the_same_name(made: Made) -> None:
    with made.store.reading() as reader:
        name = reader.commit(3).id.short
    await made.branch(name)
    assert found(made, name) == 5


async def test_steps_go_back_along_first_parents(made: Made) -> None:
    await made.branch("side")
    await made.set("/b", 1, ref="side")
    await made.set("/a", 5)
    merged = await made.merge("main", "side")
    assert [found(made, f"main~{back}") for back in range(4)] == [merged, 7, 5, 4]
    assert found(made, "side~1") == 5
    with made.store.reading() as reader:
        assert found(made, f"{reader.commit(4).id.short}~2") == 2
    with pytest.raises(CommitNotFound, match="further"):
        found(made, "main~99")


async def test_a_time_names_what_the_ref_was_then(made: Made) -> None:
    for number in range(1, 5):
        assert found(made, f"main@{format_time(START + number * 1_000_000)}") == number + 1
        assert found(made, f"main@{format_time(START + number * 1_000_000 + 999_999)}") == number + 1
    assert found(made, f"main@{format_time(START + 4_000_000)}~1") == 4
    with pytest.raises(RefNotFound, match="did not exist yet"):
        found(made, "main@2001-01-01")


async def test_where_clocks_went_back_the_last_event_in_log_order_counts(made: Made) -> None:
    await made.set("/a", 5, at=START + 2_500_000)
    with made.store.reading() as reader:
        assert clock_anomaly(reader, f"main@{format_time(START + 2_600_000)}")
        assert not clock_anomaly(reader, f"main@{format_time(START + 2_400_000)}")
        assert not clock_anomaly(reader, "main")
    assert found(made, f"main@{format_time(START + 2_600_000)}") == 6
    assert found(made, f"main@{format_time(START + 2_400_000)}") == 3


async def test_the_time_of_a_branch_counts_its_making_and_its_going(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/a", 1)
        await desk.branch("side")
        made_at = format_time(parse_time((await desk.head("side")).at) + 3_600_000_000)
        assert (await desk.get("/a", f"side@{made_at}")).value == 1
        await desk.repo.delete_branch("side", ALICE)
        with pytest.raises(RefNotFound, match="did not exist at"):
            await desk.get("/a", f"side@{made_at}")
        await desk.branch("side")
        assert (await desk.get("/a", f"side@{made_at}")).value == 1


async def test_what_a_branch_held_is_told_after_it_was_dropped_too(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.branch("side")
        await desk.set("/b", 1, ref="side")
        then = (await desk.head("side")).at
        await desk.repo.delete_branch("side", ALICE)
        assert await desk.value("/b", f"side@{then}") == 1
        with pytest.raises(RefNotFound):
            await desk.get("/b", "side")


async def test_what_an_agent_knew_at_a_time_is_its_branch_at_that_time(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        session = await desk.repo.open_session(SessionRequest("fixer", branch="work/fixer"), ALICE)
        author = Author(ALICE.principal, session.agent, "", session.handle)
        await desk.set("/belief", "the disk is full", ref=session.branch, author=author)
        then = (await desk.head(session.branch)).at
        await desk.set("/belief", "the disk is fine", ref=session.branch, author=author)
        assert await desk.value("/belief", f"{session.branch}@{then}") == "the disk is full"


async def test_a_time_needs_a_branch_or_tag(made: Made) -> None:
    with made.store.reading() as reader:
        name = reader.commit(3).id.short
    with pytest.raises(RefNotFound, match="TIME"):
        found(made, f"{name}@2030-01-01")


async def test_a_prefix_of_several_commits_is_ambiguous_and_an_unknown_one_is_not_found(made: Made) -> None:
    class Twins:
        """A reader in which two commits share 8 digits."""

        def commit_seqs(self, prefix: str, limit: int) -> list[int]:
            return [seq for seq, name in self.names.items() if name.startswith(prefix)][:limit]

        def commit(self, seq: int) -> CommitRow:
            return replace(first, id=type(first.id).from_digest(bytes.fromhex(self.names[seq])))

        def __init__(self) -> None:
            self.names = {7: "abcdef01" + "0" * 56, 8: "abcdef01" + "1" * 56}

    with made.store.reading() as reader:
        first = reader.commit(1)
    twins: Any = Twins()
    with pytest.raises(AmbiguousPrefix) as caught:
        commit_by_prefix(twins, made.graph, "ABCDEF01", "")
    assert caught.value.details["candidates"] == ["abcdef010000", "abcdef011111"]
    assert commit_by_prefix(twins, made.graph, "abcdef011", "") == 8
    with pytest.raises(CommitNotFound):
        commit_by_prefix(twins, made.graph, "abcdef02", "")
    with pytest.raises(CommitNotFound):
        found(made, "000000000000")


@pytest.mark.parametrize("digits", [6, 7, 11, 12, 13, 63, 64])
async def test_any_length_of_prefix_is_searched_exactly(made: Made, digits: int) -> None:
    with made.store.reading() as reader:
        name = reader.commit(4).id.hex()
        assert reader.commit_seqs(name[:digits], 5) == [4]
        other = name[: digits - 1] + ("0" if name[digits - 1] != "0" else "1")
        assert reader.commit_seqs(other, 5) == []


async def test_what_no_ref_is_called_is_answered_with_the_nearest_names(made: Made) -> None:
    await made.branch("release/one")
    with pytest.raises(RefNotFound) as caught:
        found(made, "relaese/one")
    assert caught.value.details["nearest"][0] == "release/one"
    with pytest.raises(RefNotFound):
        found(made, "abcde")  # five digits are no prefix
    with pytest.raises(HandleNotFound):
        found(made, "spec:abc")
    with pytest.raises(InvalidName):
        found(made, "main:x")


async def test_no_answer_tells_that_another_principal_tries_something(tmp_path: Path) -> None:
    """Asked with the beginning of a hidden id, every call answers as for digits that nothing begins with."""
    async with open_desk(tmp_path) as desk:
        opened = await desk.repo.speculations.open("main", "", BOB)
        tried = await desk.repo.speculations.modify(opened.handle, [operation(Op.SET, "/a", 1)], BOB)
        alice = desk.repo.seen_by(ALICE.principal)
        change = [operation(Op.SET, "/b", 1)]

        async def answers(name: str) -> list[str]:
            calls: list[Callable[[], Awaitable[object]]] = [
                lambda: alice.commit(name, change, WHY, ALICE, Guard()),
                lambda: alice.commit("main", change, WHY, ALICE, Guard(expected_head=name)),
                lambda: alice.merge(MergeRequest(name, "main"), WHY, ALICE, Guard()),
                lambda: alice.merge(MergeRequest("main", "main"), WHY, ALICE, Guard(expected_head=name)),
                lambda: alice.revert(RevertRequest(commits=(name,)), WHY, ALICE, Guard()),
                lambda: alice.revert(RevertRequest(commits=("main",)), WHY, ALICE, Guard(expected_head=name)),
                lambda: alice.log(name, (), limit=1, cursor=""),
                lambda: alice.branch("b1", "branch", name, ALICE),
                lambda: alice.branch(name, "branch", "main", ALICE),
            ]
            told = []
            for call in calls:
                try:
                    await call()
                    told.append("done")
                except AsgError as error:
                    told.append(str(error.as_dict()).replace(name, "NAME"))
            return told

        for digits in (6, 8, 64):
            hidden = tried.head.hex()[:digits]
            unknown = "".join(f"{15 - int(digit, 16):x}" for digit in hidden)
            found = await answers(hidden)
            assert found == await answers(unknown)
            assert found[-1] == "done"
        own = await desk.repo.speculations.open("main", "", ALICE)
        mine = (await desk.repo.speculations.modify(own.handle, [operation(Op.SET, "/a", 1)], ALICE)).head
        with pytest.raises(HeadMoved):
            await alice.commit("main", change, WHY, ALICE, Guard(expected_head=mine.short))
        with pytest.raises(InvalidName):
            await alice.branch(mine.hex()[:6], "branch", "main", ALICE)


async def test_hidden_commits_make_no_prefix_ambiguous(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sight, "hides", lambda _, row: row.seq != 4)
    with made.store.reading() as reader:
        found = reader.commit(4).id.hex()
        everything: Any = type("All", (), {})()
        everything.commit = reader.commit
        everything.commit_seqs = lambda _, limit: list(range(1, reader.last_seq() + 1))[:limit]
        assert commits_seen(everything, made.graph, found[:6], "", 1) == [4]
        assert commit_by_prefix(everything, made.graph, found[:6], "") == 4
