from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.cli import migrating
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.transact import Decision
from tests.cli.conftest import ESCAPE, Run
from tests.kit.rpc import raw_client
from tests.services.packages import Packages, install

ONE_STEP = (
    "from asg_mcp.services.migrations import Migration\n"
    "MIGRATIONS = [Migration('absent', '1.0.0', 'begin', 'Versions begin.',"
    " lambda state: [{'op': 'set', 'path': '/clean', 'value': True}])]\n"
)


@pytest.fixture
def packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Packages:
    """Where a test installs packages."""
    return Packages(monkeypatch, tmp_path)


def _newest(path: Path) -> CommitInfo:
    async def look() -> CommitInfo:
        async with open_repository(path, create=False) as repository:
            return (await repository.log("main", (), limit=1, cursor="")).commits[0]

    return asyncio.run(look())


def _force_version(path: Path, held: object) -> None:
    """Have something at /_meta/schema_version that no migration put there."""
    operation = Operation(Op.SET, ("_meta", "schema_version"), held)
    decision = Decision((operation,), Intent(Category.MIGRATE, "Forced"), {})

    async def force() -> None:
        async with open_repository(path) as repository:
            await repository.transact("main", Author("local:tester", "tester"), "", b"", lambda draft: decision)

    asyncio.run(force())


def test_a_migration_is_checked_tried_and_applied(run: Run, store: Path, packages: Packages) -> None:
    packages.add("one-app", ONE_STEP)
    before = _newest(store).id
    checked = run("migrate", "--check", "--db", str(store))
    assert (checked.code, checked.err) == (migrating.AVAILABLE, "")
    assert "Available: main, at version absent, can be brought to 1.0.0" in checked.out
    tried = run("migrate", "--dry-run", "--db", str(store))
    assert (tried.code, tried.err) == (migrating.AVAILABLE, "")
    for told in ("begin", "one-app", "Versions begin.", "/clean", "/_meta", "Nothing was written"):
        assert told in tried.out
    assert _newest(store).id == before
    done = run("migrate", "--db", str(store))
    assert (done.code, done.err) == (0, "")
    head = _newest(store)
    assert "Migrated: main from absent to 1.0.0" in done.out
    assert head.id.short in done.out
    assert (head.category, head.agent) == (Category.MIGRATE, config.PROGRAM)
    again = run("migrate", "--db", str(store))
    assert (again.code, again.out) == (0, "Up to date: main, at version 1.0.0.\n")


def test_the_agent_and_the_branch_are_those_named(run: Run, store: Path, packages: Packages) -> None:
    packages.add("one-app", ONE_STEP)
    main = _newest(store).id
    assert run("migrate", "--ref", "evening", "--agent", "bob", "--db", str(store)).code == 0
    assert _newest(store).id == main
    assert "bob" in run("log", "--ref", "evening", "-n", "1", "--db", str(store)).out


def test_json_is_the_reply_of_the_tool(run: Run, store: Path, packages: Packages) -> None:
    packages.add("one-app", ONE_STEP)
    checked = run("migrate", "--check", "--json", "--db", str(store))
    assert (checked.code, checked.document["state"]) == (migrating.AVAILABLE, "available")
    done = run("migrate", "--json", "--db", str(store))
    assert (done.code, done.document["state"], done.document["steps"][0]["name"]) == (0, "up_to_date", "begin")


@pytest.mark.parametrize("how", [["--check"], ["--dry-run"], []])
def test_every_standing_has_an_exit_code_of_its_own(run: Run, store: Path, packages: Packages, how: list[str]) -> None:
    def told(*more: str) -> tuple[int, bool]:
        ran = run("migrate", *how, *more, "--db", str(store))
        return ran.code, bool(ran.out if how else ran.err)

    assert told() == (migrating.UNVERSIONED, True)
    _force_version(store, "0.5.0")
    packages.add("one-app", ONE_STEP)
    assert told() == (migrating.NO_PATH, True)
    _force_version(store, "5.0.0")
    assert told() == (migrating.NEWER, True)
    _force_version(store, 5)
    assert told() == (migrating.CORRUPT, True)


def test_a_version_that_nothing_leads_to_has_an_exit_code_of_its_own(run: Run, store: Path, packages: Packages) -> None:
    packages.add("one-app", ONE_STEP)
    run("migrate", "--db", str(store))
    for how in (["--check"], []):
        ran = run("migrate", *how, "--to", "7.0.0", "--db", str(store))
        assert (ran.code, ran.out) == (migrating.NO_PATH, "")
        assert "No migration leads from 1.0.0 to 7.0.0" in ran.err
    assert run("migrate", "--to", "seven", "--db", str(store)).code == 2


def test_the_first_version_is_set_with_to_alone(run: Run, store: Path) -> None:
    assert run("migrate", "--db", str(store)).code == migrating.UNVERSIONED
    assert run("migrate", "--to", "3.0.0", "--db", str(store)).code == 0
    assert run("get", "/_meta/schema_version", "--db", str(store)).out == '"3.0.0"\n'


def test_a_failed_step_and_a_broken_package_have_exit_codes_of_their_own(
    run: Run, store: Path, packages: Packages
) -> None:
    packages.add("failing-app", ONE_STEP.replace("'op': 'set'", "'op': 'explode'"))
    failed = run("migrate", "--db", str(store))
    assert failed.code == migrating.FAILED
    assert "Step 1 of 1, begin of failing-app" in failed.err
    packages.add("broken-app", "raise RuntimeError('no licence')")
    broken = run("migrate", "--json", "--db", str(store))
    assert (broken.code, broken.document["error"]["details"]["package"]) == (migrating.BROKEN, "broken-app")


@pytest.mark.parametrize("how", [["--check"], ["--dry-run"], [], ["--to", "1.0.0"]])
def test_a_mistyped_path_makes_no_file_and_no_store(
    run: Run, tmp_path: Path, packages: Packages, how: list[str]
) -> None:
    packages.add("one-app", ONE_STEP)
    folder = tmp_path / "empty"
    folder.mkdir()
    ran = run("migrate", *how, "--db", str(folder / "mistyped.db"))
    assert (ran.code, ran.out) == (3, "")
    assert list(folder.iterdir()) == []


def test_check_and_dry_run_go_not_together(run: Run, store: Path) -> None:
    assert run("migrate", "--check", "--dry-run", "--db", str(store)).code == 2


def test_help_tells_every_exit_code(run: Run) -> None:
    told = run("migrate", "--help").out
    for code in (0, 1, 2, 3, *migrating._CODES.values(), migrating.FAILED, migrating.BROKEN):
        assert f"\n  {code} " in told


def test_what_a_package_says_cannot_command_the_terminal(run: Run, store: Path, packages: Packages) -> None:
    packages.add("jester-app", ONE_STEP.replace("Versions begin.", f"Clear {ESCAPE} it"))
    ran = run("migrate", "--dry-run", "--db", str(store))
    assert "\x1b" not in ran.out
    assert "Clear \\u001b" in ran.out


def test_more_changes_than_are_shown_are_counted(run: Run, store: Path, packages: Packages) -> None:
    many = "[{'op': 'set', 'path': f'/k{n}', 'value': n} for n in range(90)]"
    packages.add("many-app", ONE_STEP.replace("[{'op': 'set', 'path': '/clean', 'value': True}]", many))
    assert "and 42 more" in run("migrate", "--dry-run", "--db", str(store)).out


def test_more_steps_than_are_shown_are_counted(run: Run, store: Path, packages: Packages) -> None:
    source = (
        "from asg_mcp.services.migrations import Migration\n"
        "MIGRATIONS = [Migration('absent' if not n else f'{n}.0.0', f'{n + 1}.0.0', f's{n}', 'd' * 4000, lambda s: [])"
        " for n in range(20)]\n"
    )
    packages.add("many-steps", source)
    assert "more steps follow" in run("migrate", "--check", "--db", str(store)).out


# --- what the server and doctor say ------------------------------------------------


def _environment(tmp_path: Path, source: str) -> Mapping[str, str]:
    site = tmp_path / "site-packages"
    install(site, "one-app", source)
    own = config.own_environment()
    return {**own, "PYTHONPATH": os.pathsep.join([str(site), own["PYTHONPATH"]])}


@pytest.mark.parametrize(
    ("source", "told"),
    [
        (ONE_STEP, b"A migration of main from absent to 1.0.0 is available (1 step): asg-mcp migrate"),
        ("print('noise')\nraise SystemExit(1)", b"one-app"),
    ],
)
async def test_the_server_tells_of_a_migration_on_standard_error_and_serves(
    tmp_path: Path, source: str, told: bytes
) -> None:
    serve = ("-m", "asg_mcp", "serve", "--db", str(tmp_path / "state.db"))
    async with raw_client(*serve, env=_environment(tmp_path, source), stderr=asyncio.subprocess.PIPE) as client:
        await client.handshake()
        await client.ping()
        stderr = client.process.stderr
        assert stderr is not None
        async with asyncio.timeout(60):
            line = await stderr.readline()
            while told not in line:
                assert b"noise" in line
                line = await stderr.readline()
        client.end_input()
        assert await client.exit_code() == 0
        assert await stderr.read() == b""


def test_doctor_notes_a_migration_and_finds_all_well(
    run: Run, store: Path, packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("asg_mcp.config.own_command", lambda: (sys.executable, "-m", "asg_mcp"))
    packages.add("one-app", ONE_STEP)
    ran = run("doctor", "--json", "--db", str(store))
    found = {check["name"]: check for check in ran.document["checks"]}
    assert ran.code == 0
    assert found["migrations"]["status"] == "note"
    assert "from absent to 1.0.0" in found["migrations"]["text"]
