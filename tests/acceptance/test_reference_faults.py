"""Every fault known of the project that this one follows: where it is tested here, or why it cannot occur."""

from __future__ import annotations

import ast
import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.intents import Author
from asg_mcp.core.limits import OPERATIONS_MAX
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.errors import Forbidden, LimitExceeded, StoreCorrupt
from asg_mcp.repo import settling
from asg_mcp.repo.requests import SessionRequest
from tests.repo.desk import Desk, open_desk, settle
from tests.repo.stores import ALICE

TESTS = Path(__file__).parents[1]
NOT_HERE = "There is no "
MERGE, PLANS = "acceptance/test_reference_faults_merge.py", "acceptance/test_reference_faults_plans.py"
MIGRATE, SPECULATION = "acceptance/test_reference_faults_migrate.py", "acceptance/test_reference_faults_speculation.py"
HERE = "acceptance/test_reference_faults.py"
FAULTS: dict[str, str | tuple[str, ...]] = {
    "lost updates on concurrent set": (
        "faults/test_two_processes.py",
        "test_two_processes_keep_a_thousand_writes_and_none_that_was_refused",
        "test_two_servers_keep_what_they_acknowledged_and_none_that_they_refused",
    ),
    "a promoted speculation reverts the work of others": (
        SPECULATION,
        "test_committing_a_speculation_keeps_what_another_agent_committed_meanwhile",
        "test_a_change_of_the_same_value_is_asked_about_and_never_overwritten",
    ),
    "a write costs what the history is long": (
        "acceptance/test_costs.py",
        "test_a_set_reads_and_writes_no_more_after_a_long_history",
    ),
    "a merge costs the history's length cubed": (
        MERGE,
        "test_a_merge_looks_at_each_commit_of_two_long_branches_once_at_most",
    ),
    "an equal state drops the commits of a branch": (
        MERGE,
        "test_a_merge_keeps_the_commits_of_a_branch_whose_state_came_back_to_where_it_began",
    ),
    "a merge over a pruned base overwrites the target": (
        "repo/test_collecting.py",
        "test_whatever_needs_what_is_gone_is_told_that_it_was_pruned",
    ),
    "garbage collection breaks a speculation": (
        "repo/test_collecting.py",
        "test_an_open_speculation_keeps_all_that_it_is_made_of",
    ),
    "a diff over missing objects says that there is no difference": (
        HERE,
        "test_a_diff_over_a_missing_node_is_an_error",
    ),
    "blame is wrong past a thousand commits and on merges": (
        MERGE,
        "test_an_early_write_is_blamed_however_many_commits_came_after_it",
        "test_a_merged_change_is_blamed_on_its_author_and_not_on_the_merger",
    ),
    "log and query do not see merged commits": (
        MERGE,
        "test_log_and_query_find_the_commits_that_came_by_a_merge",
    ),
    "secrets are read through ancestors and diff": NOT_HERE + "path that reads are kept from; a grant's paths are",
    "the reserved root is rewritten through its ancestors": (
        MIGRATE,
        "test_a_write_to_the_root_keeps_the_version",
        "test_no_write_of_any_category_changes_the_version",
    ),
    "numeric keys cannot be reached": (
        HERE,
        "test_a_key_that_looks_like_a_number_is_a_key_wherever_paths_are_given",
    ),
    "a merge takes as many resolutions as it is given": (
        HERE,
        "test_a_merge_takes_as_many_resolutions_as_the_limit_says_and_not_one_more",
    ),
    "a speculation makes text of JSON values": (
        SPECULATION,
        "test_an_object_set_in_a_speculation_is_an_object_and_not_its_text",
    ),
    "a speculation in a namespace is lost": (
        SPECULATION,
        "test_a_handle_works_in_every_later_call_and_after_a_restart",
        "test_speculations_can_be_read_listed_and_committed_elsewhere",
    ),
    "sealing in one place blocks all others": (
        "services/test_epochs.py",
        "test_many_who_seal_at_once_while_others_write_have_one_answer",
    ),
    "a seal has no hash": (
        "services/test_epochs.py",
        "test_a_seal_is_in_the_log_under_the_root_that_was_signed",
    ),
    "search finds what is gone and misses what is new": (
        HERE,
        "test_a_search_finds_what_is_there_and_nothing_else",
    ),
    "a taint is evaded": NOT_HERE + "taint: permissions are a session's scope, checked on what a commit changes",
    "a task is started twice": (
        "faults/test_task_race.py",
        "test_ten_workers_in_four_processes_start_each_task_exactly_once",
    ),
    "a plan's name breaks the list of plans": (
        PLANS,
        "test_a_plan_name_with_a_slash_is_refused_and_breaks_no_list",
    ),
    "reminders are in memory": NOT_HERE + "reminder",
    "a session's path scope is ignored": (
        HERE,
        "test_a_scope_holds_for_what_it_names_and_not_for_what_begins_alike",
    ),
    "two processes that make the key wait for each other": (
        "services/test_signing.py",
        "test_processes_that_make_the_key_at_once_end_with_one",
    ),
    "the 716th task overwrites another": (PLANS, "test_the_716th_task_overwrites_none"),
    "a commit's prefix reads another namespace": NOT_HERE + "namespace: one file is one store",
    "a new namespace cannot be used": NOT_HERE + "namespace: one file is one store",
}
"""Found by reading and running the reference project; in the order of the research notes."""


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with open_desk(tmp_path) as opened:
        yield opened


@cache
def running_in(file: str) -> frozenset[str]:
    """The functions of a file that pytest runs: those whose names begin so, and that no mark skips."""
    tree = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    found = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            marks = {ast.unparse(mark.func if isinstance(mark, ast.Call) else mark) for mark in node.decorator_list}
            if marks.isdisjoint(("pytest.mark.skip", "pytest.mark.skipif", "pytest.mark.xfail")):
                found.add(node.name)
    return frozenset(found)


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_has_running_in_or_a_reason(fault: str) -> None:
    told = FAULTS[fault]
    if isinstance(told, str):
        assert told.startswith(NOT_HERE)
        assert told != NOT_HERE
        return
    file, *names = told
    assert names, "a fault is tested by functions, and not by a file"
    assert set(names) <= running_in(file)


def test_a_test_that_is_skipped_or_not_there_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = "import pytest\n@pytest.mark.skip\ndef test_a(): ...\n@pytest.mark.xfail(strict=True)\ndef test_b(): ...\n"
    (tmp_path / "test_some.py").write_text(file + "def test_c(): ...\nasync def test_d(): ...\ndef helper(): ...\n")
    monkeypatch.setattr("tests.acceptance.test_reference_faults.TESTS", tmp_path)
    assert running_in("test_some.py") == {"test_c", "test_d"}


async def found(desk: Desk, text: str, ref: str = "main") -> list[tuple[str, ...]]:
    page = await desk.repo.search(ref, text, mode="text", prefix=(), limit=100, cursor="")
    return [match.path for match in page.matches]


async def test_a_search_finds_what_is_there_and_nothing_else(desk: Desk) -> None:
    await desk.set("/a", {"walrus": 1, "name": "old walrus"})
    assert await found(desk, "walrus") == [("a", "name"), ("a", "walrus")]
    await desk.set("/a/name", "seal")
    assert await found(desk, "walrus") == [("a", "walrus")]
    await desk.branch("dev")
    await desk.set("/b", "walrus", ref="dev")
    assert (await found(desk, "walrus"), await found(desk, "walrus", "dev")) == (
        [("a", "walrus")],
        [("a", "walrus"), ("b",)],
    )
    await desk.repo.delete_branch("dev", ALICE)
    await desk.branch("dev")
    assert await found(desk, "walrus", "dev") == [("a", "walrus")]
    assert await found(desk, "a") != await found(desk, "%")
    assert await found(desk, "%") == await found(desk, "_") == []


async def test_a_diff_over_a_missing_node_is_an_error(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/", {f"k{number}": number for number in range(500)})
        await desk.branch("old", kind="tag")
        await desk.set("/k7", "new")
    with closing(sqlite3.connect(tmp_path / "state.db", isolation_level=None)) as db:
        db.execute("DELETE FROM nodes WHERE id = (SELECT root FROM commits WHERE seq = 3)")
    async with open_desk(tmp_path) as desk:
        with pytest.raises(StoreCorrupt):
            await desk.diff("old", "main")


@pytest.mark.parametrize(("path", "allowed"), [("/config", True), ("/config/a", True), ("/config2", False)])
async def test_a_scope_holds_for_what_it_names_and_not_for_what_begins_alike(
    desk: Desk, path: str, allowed: bool
) -> None:
    request = SessionRequest("fixer", scope=(parse_path("/config"),))
    session = await desk.repo.open_session(request, ALICE)
    author = Author(ALICE.principal, "fixer", "", session.handle)
    if allowed:
        await desk.set(path, {}, author=author)
    else:
        with pytest.raises(Forbidden):
            await desk.set(path, {}, author=author)


async def test_writers_of_one_key_at_once_all_leave_their_commit(desk: Desk) -> None:
    answers: list[Any] = await asyncio.gather(*(desk.set("/n", number) for number in range(200)))
    assert len({answer.commit for answer in answers}) == 200
    assert len(await desk.past("/n")) == 100, "a page of the two hundred changes"
    assert await desk.value("/n") in range(200)


async def test_a_key_that_looks_like_a_number_is_a_key_wherever_paths_are_given(desk: Desk) -> None:
    await desk.set("/m", {"0": "zero", "10": {"2": [7]}})
    assert (await desk.value("/m/0"), await desk.value("/m/10/2/0")) == ("zero", 7)
    await desk.branch("dev")
    await desk.set("/m/10/2", 5)
    await desk.apply(("set", "/m/007", 1), ("delete", "/m/0"), ref="dev")
    assert (await desk.merge("dev")).merged
    assert await desk.value("/m") == {"007": 1, "10": {"2": 5}}
    [entry] = await desk.blame("/m/10/2")
    assert (entry.path, entry.value) == (("m", "10", "2"), 5)
    assert [format_path(change.path) for change in (await desk.diff("main", "dev")).changes] == ["/m/10/2"]
    assert len(await desk.past("/m/0")) == 2


async def both_change(desk: Desk, count: int) -> list[str]:
    """Change so many paths on two branches, each to its own value; the paths."""
    paths = [f"/k{number}" for number in range(count)]
    await desk.branch("dev")
    await desk.apply(*(("set", path, "ours") for path in paths))
    await desk.apply(*(("set", path, "theirs") for path in paths), ref="dev")
    return paths


@pytest.mark.parametrize("preview", [False, True])
async def test_a_merge_takes_as_many_resolutions_as_the_limit_says_and_not_one_more(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, preview: bool
) -> None:
    assert vars(settling)["OPERATIONS_MAX"] == OPERATIONS_MAX
    monkeypatch.setattr(settling, "OPERATIONS_MAX", 5)
    paths = await both_change(desk, 6)
    takes = [settle(path, "theirs") for path in paths]
    with pytest.raises(LimitExceeded) as refused:
        await desk.merge("dev", resolutions=tuple(takes), preview=preview)
    assert (refused.value.details["limit"], refused.value.details["max"]) == ("OPERATIONS_MAX", 5)
    assert await desk.value("/k0") == "ours"
    answer = await desk.merge("dev", resolutions=tuple(takes[:5]), preview=preview)
    assert [format_path(conflict.path) for conflict in answer.conflicts] == ["/k5"]
    await desk.set("/k5", "theirs")
    answer = await desk.merge("dev", resolutions=tuple(takes[:5]), preview=preview)
    assert (answer.conflicts, await desk.value("/k0")) == ((), "ours" if preview else "theirs")
