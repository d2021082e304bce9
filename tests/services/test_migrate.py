from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import MIGRATION_CHANGES_MAX, OPERATIONS_MAX
from asg_mcp.core.paths import format_path
from asg_mcp.errors import Forbidden, MigrationFailed, MigrationRefused, MigrationsBroken, RefNotFound, RequestReused
from asg_mcp.repo.requests import SessionRequest
from asg_mcp.repo.transact import Decision
from asg_mcp.services import migrate as service
from asg_mcp.services.migrate import OVERTAKEN_MAX, Action, Migrated, migrate, notice
from asg_mcp.services.migrations import STAMP, UNVERSIONED, Migration, Registry, Standing
from tests.repo.desk import Desk, ops
from tests.repo.stores import ALICE
from tests.services.packages import MIGRATIONS, Packages, install

PEOPLE = {"a": "Ada Lovelace", "g": "Grace Hopper"}
SPLIT = {"a": {"first": "Ada", "last": "Lovelace"}, "g": {"first": "Grace", "last": "Hopper"}}
WAIT_SECONDS = 60


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """A store whose state is people, without a version."""
    async with open_repository(tmp_path / "state.db") as repo:
        made = Desk(repo)
        await made.set("/people", PEOPLE)
        yield made


Use = Callable[..., None]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Use:
    """Have these be the installed migrations, given as (from, to, what `migrate` is)."""

    def put(*told: tuple[str, str, Any]) -> None:
        steps = [Migration(begin, end, f"step-to-{end}", f"To {end}.", _asking(run)) for begin, end, run in told]
        monkeypatch.setattr(service, "installed", lambda: Registry(steps))

    return put


def _asking(told: Any) -> Callable[[Any], Any]:
    """What `migrate` is: this function, or one that asks for these operations."""
    return told if callable(told) else lambda state: told


async def do(
    desk: Desk, action: Action, ref: str = "main", to: str = "", author: Author = ALICE, request_id: str = ""
) -> Migrated:
    return await migrate(desk.repo, action, ref, to, author, request_id)


async def apply(desk: Desk, ref: str = "main", to: str = "", **given: Any) -> Migrated:
    return await do(desk, Action.APPLY, ref, to, **given)


async def check(desk: Desk, ref: str = "main", to: str = "") -> Migrated:
    return await do(desk, Action.CHECK, ref, to)


def put(path: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "set", "path": path, "value": value}]


# --- looking ---------------------------------------------------------------------


async def test_a_state_is_up_to_date_available_newer_unversioned_or_without_a_path(desk: Desk, use: Use) -> None:
    use(("1.0.0", "2.0.0", []))
    assert (await check(desk)).standing is Standing.UNVERSIONED
    await apply(desk, to="1.0.0")
    found = await check(desk)
    assert (found.standing, found.version, found.to) == (Standing.AVAILABLE, "1.0.0", "2.0.0")
    await apply(desk)
    assert (await check(desk)).standing is Standing.UP_TO_DATE
    use(("0.1.0", "0.2.0", []))
    assert (await check(desk)).standing is Standing.NEWER
    use(("2.1.0", "2.2.0", []))
    assert (await check(desk)).standing is Standing.NO_PATH


@pytest.mark.parametrize("held", [7, None, "two", {"a": 1}, ["1.0.0"], "1.0"])
async def test_what_is_no_version_is_corrupt_and_is_left_as_it_is(desk: Desk, use: Use, held: Any) -> None:
    await force(desk, "/_meta/schema_version", held)
    use(("1.0.0", "2.0.0", []))
    found = await check(desk)
    assert (found.standing, found.version, found.to, found.steps) == (Standing.CORRUPT, "", "", ())
    assert found.note
    with pytest.raises(MigrationRefused, match="no version at"):
        await apply(desk)
    with pytest.raises(MigrationRefused):
        await apply(desk, to="2.0.0")
    assert await desk.value("/_meta/schema_version") == held


async def test_a_meta_root_that_is_no_map_is_corrupt(desk: Desk, use: Use) -> None:
    await force(desk, "/_meta", [1])
    use((UNVERSIONED, "1.0.0", []))
    assert (await check(desk)).standing is Standing.CORRUPT


async def force(desk: Desk, path: str, value: Any) -> None:
    """Put something below /_meta that no tool would put there."""
    decision = Decision(tuple(ops(("set", path, value))), Intent(Category.MIGRATE, "Forced."), {})
    await desk.repo.transact("main", ALICE, "", b"", lambda draft: decision)


async def test_check_and_dry_run_look_at_any_ref_and_write_nothing(desk: Desk, packages: Packages) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    await desk.branch("v0", kind="tag")
    head = await desk.head()
    for ref in ("main", "v0", head.id.hex(), "main~0"):
        found = await do(desk, Action.DRY_RUN, ref)
        assert (found.commit, found.standing, found.to, len(found.steps)) == (head.id, "available", "2.0.0", 3)
        assert len((await check(desk, ref)).steps) == 3
    assert await desk.log() == [2, 1]
    assert await desk.value() == {"people": PEOPLE}


async def test_a_dry_run_tells_what_each_step_would_change_on_the_work_of_those_before(
    desk: Desk, packages: Packages
) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    begin, split, rename = (await do(desk, Action.DRY_RUN)).steps
    assert [(item.op, format_path(item.path), item.new) for item in begin.changes] == [
        ("add", "/_meta", {"schema_version": "1.0.0"})
    ]
    assert (begin.operations, split.operations, rename.operations) == (0, 2, 1)
    assert {format_path(item.path) for item in split.changes} == {"/_meta/schema_version", "/people/a", "/people/g"}
    assert {format_path(item.path): item.new for item in rename.changes if item.op == "add"} == {"/persons": SPLIT}
    applied = await apply(desk)
    assert [step.changed for step in applied.steps] == [begin.changed, split.changed, rename.changed]


async def test_a_dry_run_counts_the_changes_that_it_does_not_show(desk: Desk, use: Use) -> None:
    use((UNVERSIONED, "1.0.0", [item for n in range(200) for item in put(f"/n{n}", n)]))
    (step,) = (await do(desk, Action.DRY_RUN)).steps
    assert len(step.changes) == MIGRATION_CHANGES_MAX
    assert step.changed == 202


async def test_a_ref_that_is_not_there_is_not_found(desk: Desk) -> None:
    for action in Action:
        with pytest.raises(RefNotFound):
            await do(desk, action, "no-such")


# --- applying --------------------------------------------------------------------


async def test_each_step_is_one_migrate_commit_that_moves_the_version_too(desk: Desk, packages: Packages) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    done = await apply(desk)
    assert (done.standing, done.version, done.to) == (Standing.UP_TO_DATE, UNVERSIONED, "2.0.0")
    log = (await desk.repo.log("main", (), limit=3, cursor="")).commits
    assert [commit.id for commit in log] == [step.commit for step in reversed(done.steps)]
    assert {commit.category for commit in log} == {Category.MIGRATE}
    assert [commit.description for commit in log][::-1] == [step.migration.description for step in done.steps]
    assert {commit.agent for commit in log} == {ALICE.agent}
    assert "people-app" in log[0].reasoning
    assert await desk.value() == {"_meta": {"schema_version": "2.0.0"}, "persons": SPLIT}
    assert await desk.value(ref="main~1") == {"_meta": {"schema_version": "1.1.0"}, "people": SPLIT}
    assert (await desk.blame("/_meta/schema_version"))[0].commit.id == done.commit


async def test_applying_again_writes_nothing(desk: Desk, packages: Packages) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    done = await apply(desk)
    again = await apply(desk)
    assert (again.steps, again.standing, again.commit) == ((), Standing.UP_TO_DATE, done.commit)
    assert (await desk.head()).id == done.commit


async def test_applying_goes_as_far_as_it_is_told(desk: Desk, packages: Packages) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    done = await apply(desk, to="1.1.0")
    assert (done.standing, done.to, len(done.steps)) == (Standing.AVAILABLE, "1.1.0", 2)
    assert len((await apply(desk)).steps) == 1


async def test_only_the_branch_that_is_named_is_migrated(desk: Desk, packages: Packages) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    await desk.branch("work")
    await apply(desk, "work")
    assert await desk.value("/persons", "work") == SPLIT
    assert await desk.value("/people") == PEOPLE


async def test_a_tag_a_commit_and_a_speculation_are_not_migrated(desk: Desk, use: Use) -> None:
    use((UNVERSIONED, "1.0.0", []))
    await desk.branch("v0", kind="tag")
    with pytest.raises(Forbidden):
        await apply(desk, "v0")
    with pytest.raises(Forbidden, match="speculation"):
        await apply(desk, "spec:0123456789ab")
    with pytest.raises(RefNotFound):
        await apply(desk, (await desk.head()).id.hex())


async def test_a_session_migrates_only_within_its_scope(desk: Desk, use: Use) -> None:
    use((UNVERSIONED, "1.0.0", put("/people/a", "A B")))
    asked = SessionRequest(agent=ALICE.agent, scope=(("people",),), branch="main", description="People alone.")
    session = (await desk.repo.open_session(asked, ALICE)).handle
    with pytest.raises(Forbidden, match="scope"):
        await apply(desk, author=replace(ALICE, session=session))
    assert await desk.value() == {"people": PEOPLE}


async def test_the_first_version_is_set_only_when_it_is_named(desk: Desk, use: Use) -> None:
    use(("1.0.0", "2.0.0", []))
    with pytest.raises(MigrationRefused) as refused:
        await apply(desk)
    assert refused.value.details["state"] == "unversioned"
    assert await desk.log() == [2, 1]
    (step,) = (await apply(desk, to="1.0.0")).steps
    assert (step.migration.name, step.operations, step.changed) == (STAMP, 0, 2)
    assert await desk.value() == {"people": PEOPLE, "_meta": {"schema_version": "1.0.0"}}


async def test_newer_states_and_those_without_a_path_are_refused(desk: Desk, use: Use) -> None:
    await apply(desk, to="5.0.0")
    use(("1.0.0", "2.0.0", []))
    with pytest.raises(MigrationRefused) as refused:
        await apply(desk)
    assert refused.value.details["state"] == "newer"
    use(("6.0.0", "7.0.0", []))
    with pytest.raises(MigrationRefused):
        await apply(desk)
    with pytest.raises(MigrationRefused):
        await apply(desk, to="7.0.0")


async def test_plans_and_the_rest_of_meta_are_open_to_a_migration(desk: Desk, use: Use) -> None:
    asked = [
        {"op": "test", "path": "/_meta/schema_version", "value": "1.0.0"},
        *put("/plans/p", {"name": "p"}),
        *put("/_meta/app", {"theme": "dark"}),
        *put("/", {"people": {}}),
        {"op": "append", "path": "/list", "value": None},
        {"op": "insert", "path": "/list/0", "value": -0.0},
        {"op": "delete", "path": "/people"},
    ]
    use((UNVERSIONED, "1.0.0", []), ("1.0.0", "2.0.0", asked))
    await apply(desk)
    assert await desk.value() == {
        "_meta": {"schema_version": "2.0.0", "app": {"theme": "dark"}},
        "plans": {"p": {"name": "p"}},
        "list": [0.0, None],
    }


async def test_a_migration_has_the_state_to_itself(desk: Desk, use: Use) -> None:
    def spoil(state: Any) -> list[Any]:
        state["people"].clear()
        state["more"] = 1
        return []

    use((UNVERSIONED, "1.0.0", spoil))
    await do(desk, Action.DRY_RUN)
    await apply(desk)
    assert await desk.value() == {"people": PEOPLE, "_meta": {"schema_version": "1.0.0"}}


async def test_what_the_schema_of_the_state_forbids_fails_in_a_dry_run_too(desk: Desk, use: Use) -> None:
    await desk.set("/__schema__", {"x-asg-validate": "enforce", "properties": {"age": {"type": "integer"}}})
    use((UNVERSIONED, "1.0.0", put("/age", "old")))
    for action in (Action.DRY_RUN, Action.APPLY):
        with pytest.raises(MigrationFailed) as failed:
            await do(desk, action)
        assert failed.value.details["cause"]["code"] == "schema_violation"


# --- what fails ------------------------------------------------------------------


def _raise(error: BaseException) -> Callable[[Any], Any]:
    def run(state: Any) -> Any:
        raise error

    return run


UNFIT = {
    "it raises": _raise(KeyError("name")),
    "it ends the process": _raise(SystemExit(1)),
    "it returns nothing": lambda state: None,
    "it returns text": lambda state: "set",
    "no object": [7],
    "no op": [{"path": "/a", "value": 1}],
    "an unknown op": [{"op": "replace", "path": "/a", "value": 1}],
    "an op of no text": [{"op": ["set"], "path": "/a", "value": 1}],
    "an unknown field": [{"op": "set", "path": "/a", "value": 1, "when": 1}],
    "no value": [{"op": "set", "path": "/a"}],
    "a value for a delete": [{"op": "delete", "path": "/people", "value": None}],
    "no source": [{"op": "move", "path": "/a"}],
    "a source for a set": [{"op": "set", "path": "/a", "value": 1, "from": "/people"}],
    "a path of no text": [{"op": "set", "path": 7, "value": 1}],
    "a source of no text": [{"op": "move", "path": "/a", "from": None}],
    "no pointer": put("people", 1),
    "no JSON": put("/a", {1, 2}),
    "no number": put("/a", float("nan")),
    "too deep": put("/a" * 100, json.loads("[" * 50 + "]" * 50)),
    "nothing to delete": [{"op": "delete", "path": "/nothing"}],
    "a test that does not hold": [{"op": "test", "path": "/people", "value": 1}],
    "the root is no map": put("/", [1]),
    "the version": put("/_meta/schema_version", "9.9.9"),
    "below the version": put("/_meta/schema_version/a", 1),
    "the root of the version": put("/_meta", {}),
    "the version through the root": put("/", {"_meta": {"schema_version": "9.9.9"}}),
    "the version is deleted": [{"op": "delete", "path": "/_meta/schema_version"}],
    "the version is moved away": [{"op": "move", "path": "/a", "from": "/_meta/schema_version"}],
    "what holds the version is moved away": [{"op": "move", "path": "/a", "from": "/_meta"}],
    "something is moved over the version": [{"op": "move", "path": "/_meta", "from": "/people"}],
    "something is moved to the root": [{"op": "move", "path": "/", "from": "/people"}],
    "the root is moved": [{"op": "move", "path": "/a", "from": "/"}],
    "too many": lambda state: put("/a", 1) * OPERATIONS_MAX,
    "endless": lambda state: iter(lambda: put("/a", 1)[0], None),
    "too large": [item for n in range(3) for item in put(f"/a{n}", "x" * 3_000_000)],
}


@pytest.mark.parametrize("unfit", UNFIT.values(), ids=UNFIT.keys())
async def test_a_step_that_asks_for_what_cannot_be_fails_and_is_named(desk: Desk, use: Use, unfit: Any) -> None:
    use((UNVERSIONED, "1.0.0", put("/begun", True)), ("1.0.0", "2.0.0", unfit), ("2.0.0", "3.0.0", []))
    with pytest.raises(MigrationFailed) as tried:
        await do(desk, Action.DRY_RUN)
    assert (tried.value.details["reached"], tried.value.details["applied"]) == (UNVERSIONED, [])
    assert await desk.log() == [2, 1]
    with pytest.raises(MigrationFailed) as failed:
        await apply(desk)
    head = await desk.head()
    details = failed.value.details
    assert (details["step"], details["reached"], details["applied"]) == ("step-to-2.0.0", "1.0.0", [head.id.short])
    assert failed.value.message.startswith("Step 2 of 3, step-to-2.0.0 (1.0.0 to 2.0.0), failed: ")
    assert failed.value.hint
    assert await desk.value() == {"_meta": {"schema_version": "1.0.0"}, "people": PEOPLE, "begun": True}


async def test_a_mended_migration_goes_on_where_it_failed(desk: Desk, use: Use) -> None:
    first = (UNVERSIONED, "1.0.0", put("/begun", True))
    use(first, ("1.0.0", "2.0.0", [7]))
    with pytest.raises(MigrationFailed):
        await apply(desk)
    use(first, ("1.0.0", "2.0.0", put("/done", True)))
    (step,) = (await apply(desk)).steps
    assert step.migration.to_version == "2.0.0"


async def test_a_broken_package_stops_migrations_and_is_named(desk: Desk, packages: Packages) -> None:
    packages.add("broken-app", "raise RuntimeError('no licence')")
    for action in Action:
        with pytest.raises(MigrationsBroken, match="broken-app"):
            await do(desk, action)


# --- repeated and concurrent calls -----------------------------------------------


async def test_a_repeated_request_is_answered_as_before(desk: Desk, packages: Packages) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    done = await apply(desk, request_id="r1")
    await desk.set("/later", 1)
    again = await apply(desk, request_id="r1")
    assert (again.replayed, done.replayed) == (True, False)
    assert (again.steps, again.version, again.to, again.commit) == (done.steps, done.version, done.to, done.commit)
    with pytest.raises(RequestReused):
        await apply(desk, to="1.1.0", request_id="r1")


async def test_a_repeated_request_goes_on_where_the_first_was_cut_off(desk: Desk, use: Use) -> None:
    first = (UNVERSIONED, "1.0.0", put("/begun", True))
    use(first, ("1.0.0", "2.0.0", [7]))
    with pytest.raises(MigrationFailed):
        await apply(desk, request_id="r1")
    begun = await desk.head()
    use(first, ("1.0.0", "2.0.0", []))
    again = await apply(desk, request_id="r1")
    assert [step.commit for step in again.steps] == [begun.id, (await desk.head()).id]


def overtake(desk: Desk, patch: pytest.MonkeyPatch, others: Callable[[int], Any]) -> list[int]:
    """Have others write each time that a step was worked out; returns how often that was."""
    read, times = desk.repo.read, list[int]()

    async def read_and_lose(work: Any) -> Any:
        found = await read(work)
        times.append(len(times))
        patch.setattr(desk.repo, "read", read)
        await others(len(times))
        patch.setattr(desk.repo, "read", read_and_lose)
        return found

    patch.setattr(desk.repo, "read", read_and_lose)
    return times


async def test_what_others_write_meanwhile_is_migrated_too(
    desk: Desk, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    times = overtake(desk, monkeypatch, lambda n: desk.set(f"/people/x{n}" if n < 7 else f"/{n}", "Alan Turing"))
    done = await apply(desk)
    assert len(times) == OVERTAKEN_MAX * len(done.steps), "each step is worked out in its transaction in the end"
    persons = await desk.value("/persons")
    assert persons["x1"] == persons["x6"] == {"first": "Alan", "last": "Turing"}
    assert await desk.value("/9") == "Alan Turing"


async def test_writes_that_leave_the_state_as_it_was_do_not_overtake(
    desk: Desk, use: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    use((UNVERSIONED, "1.0.0", []))
    times = overtake(desk, monkeypatch, lambda n: desk.apply())
    await apply(desk)
    assert len(times) == 1


async def test_a_step_that_somebody_applied_meanwhile_is_skipped(
    desk: Desk, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    overtake(desk, monkeypatch, lambda n: apply(desk, to="1.1.0") if n == 1 else asyncio.sleep(0))
    done = await apply(desk)
    assert [step.skipped for step in done.steps] == [True, True, False]
    assert [step.commit is None for step in done.steps] == [True, True, False]
    assert await desk.value("/persons") == SPLIT


async def test_a_state_that_somebody_brought_elsewhere_meanwhile_is_left_there(
    desk: Desk, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages.add("people-app", given="FROM_NOTHING")
    overtake(desk, monkeypatch, lambda n: force(desk, "/_meta/schema_version", "1.5.0"))
    with pytest.raises(MigrationFailed, match=r"somebody brought main to 1\.5\.0 meanwhile"):
        await apply(desk)
    assert await desk.value() == {"people": PEOPLE, "_meta": {"schema_version": "1.5.0"}}


async def test_two_processes_that_migrate_at_once_apply_each_step_once(desk: Desk, tmp_path: Path) -> None:
    site = tmp_path / "site-packages"
    install(site, "people-app", given="FROM_NOTHING")
    environment = {**config.own_environment(), "PYTHONPATH": f"{site}:{config.own_environment()['PYTHONPATH']}"}
    command = (sys.executable, "-m", "asg_mcp", "migrate", "--json", "--db", str(tmp_path / "state.db"))

    async def run() -> dict[str, Any]:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(WAIT_SECONDS):
            out, err = await process.communicate()
        assert (process.returncode, err) == (0, b"")
        return dict(json.loads(out))

    both = await asyncio.gather(run(), run())
    commits = [step["commit"] for told in both for step in told["steps"] if "commit" in step]
    assert len(commits) == len(set(commits)) == 3
    assert await desk.log() == [5, 4, 3, 2, 1]
    assert await desk.value("/persons") == SPLIT


# --- the notice ------------------------------------------------------------------


async def test_the_notice_tells_of_what_is_to_be_done_and_of_nothing_else(desk: Desk, packages: Packages) -> None:
    assert await notice(desk.repo, "main") == ""
    packages.add("people-app")
    assert await notice(desk.repo, "main") == ""
    assert await notice(desk.repo, "no-such-branch") == ""
    await apply(desk, to="1.0.0")
    assert "from 1.0.0 to 2.0.0 is available (2 steps)" in await notice(desk.repo, "main")
    await apply(desk)
    assert await notice(desk.repo, "main") == ""
    await force(desk, "/_meta/schema_version", "9.0.0")
    assert "9.0.0" in await notice(desk.repo, "main")
    packages.add("broken-app", "raise RuntimeError('no licence')")
    assert "broken-app" in await notice(desk.repo, "main")


async def test_migrations_survive_verification_of_the_whole_history(desk: Desk, packages: Packages) -> None:
    packages.add("people-app", MIGRATIONS, "FROM_NOTHING")
    await apply(desk)
    assert (await desk.repo.verify(lambda *_: None)).ok
