"""What `asg-mcp verify` prints and exits with, what it can be asked to look at, and how it is interrupted."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from asg_mcp.app import marks_of, open_repository
from asg_mcp.errors import StoreCorrupt
from tests.cli.conftest import Run
from tests.repo.desk import Desk


def _flip_a_byte(path: Path) -> None:
    """Change one bit in the middle of the largest stored tree node."""
    with closing(sqlite3.connect(path)) as connection, connection:
        row, data = connection.execute("SELECT id, data FROM nodes ORDER BY length(data) DESC LIMIT 1").fetchone()
        middle = len(data) // 2
        damaged = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
        connection.execute("UPDATE nodes SET data = ? WHERE id = ?", (damaged, row))


def test_verify_of_a_whole_store_counts_what_it_checked(run: Run, store: Path) -> None:
    ran = run("verify", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Verified: ")
    assert "5 commits" in ran.out


def test_verify_names_what_is_damaged_and_fails(run: Run, store: Path) -> None:
    _flip_a_byte(store)
    ran = run("verify", "--db", str(store))
    assert ran.code == 1
    assert "Damaged" in ran.out
    assert "node" in ran.out


def test_verify_with_json_writes_its_report(run: Run, store: Path) -> None:
    whole = run("verify", "--json", "--db", str(store))
    assert (whole.code, whole.document["ok"], whole.document["problems"]) == (0, True, [])
    _flip_a_byte(store)
    damaged = run("verify", "--json", "--db", str(store))
    assert (damaged.code, damaged.document["ok"], len(damaged.document["problems"])) == (1, False, 1)


def test_verify_without_a_store_is_no_verification(run: Run, tmp_path: Path) -> None:
    assert run("verify", "--db", str(tmp_path / "none.db")).code == 3


def test_verify_of_a_file_that_is_no_store_fails(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"no database at all, " * 100)
    ran = run("verify", "--db", str(path))
    assert ran.code in (1, 3)
    assert "Error: " in ran.err
    assert path.read_bytes() == b"no database at all, " * 100


def test_damage_that_keeps_the_store_from_opening_is_damage(
    run: Run, store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def damaged(*_: object) -> None:
        raise StoreCorrupt("Page 7 is damaged")

    monkeypatch.setattr("asg_mcp.app.open_store", damaged)
    ran = run("verify", "--db", str(store))
    assert ran.code == 1
    assert "Page 7 is damaged" in ran.err


def test_the_report_says_of_each_area_what_was_checked(run: Run, store: Path) -> None:
    told = run("verify", "--json", "--db", str(store)).document
    assert told["whole"] is True
    assert set(told["areas"]) == {
        *("objects", "commits", "log", "indexes", "refs", "records", "epochs", "speculations", "replies")
    }
    assert told["areas"]["commits"]["commits"] == told["counts"]["commits"] == 5
    assert "indexes" in run("verify", "--db", str(store)).out


def test_what_came_after_a_point_is_verified_and_the_trusted_part_is_told(run: Run, store: Path) -> None:
    ran = run("verify", "--since", "main~1", "--db", str(store))
    assert ran.code == 0
    assert ran.out.startswith("Verified since main~1: ")
    assert "the first 4 commits were taken as they are stored" in ran.out
    told = run("verify", "--since", "main~1", "--json", "--db", str(store)).document
    assert (told["ok"], told["whole"], told["since"], told["counts"]["commits"]) == (True, False, "main~1", 1)
    assert "trusted" not in run("verify", "--db", str(store)).out


@pytest.mark.parametrize("point", ["nope", "99", "2001-13-99"])
def test_a_point_that_is_not_there_is_a_mistake_and_no_damage(run: Run, store: Path, point: str) -> None:
    assert run("verify", "--since", point, "--db", str(store)).code == 2


def test_a_sample_says_its_seed_how_much_it_saw_and_what_may_be_unseen(run: Run, store: Path) -> None:
    ran = run("verify", "--sample", "20%", "--seed", "11", "--db", str(store))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("Sampled: nothing of what was looked at")
    assert "seed 11: 1 of 5 commits" in ran.out
    assert "80.0% with 1 damaged" in ran.out
    told = run("verify", "--sample", "20", "--json", "--db", str(store)).document["sample"]
    assert told["commits"] == {"looked_at": 1, "of": 5}
    assert told["chance_unseen"] == {"1": 0.8, "10": 0.0, "100": 0.0}
    assert isinstance(told["seed"], int)


@pytest.mark.parametrize(
    "given",
    [
        ("--sample", "0"),
        ("--sample", "101%"),
        ("--sample", "some"),
        ("--seed", "1"),
        ("--sample", "5", "--seed", "x"),
        ("--sample", "5", "--since", "main"),
        ("--resume", "--since", "main"),
        ("--progress", "loud"),
    ],
)
def test_what_makes_no_sense_together_is_refused(run: Run, store: Path, given: tuple[str, ...]) -> None:
    assert run("verify", *given, "--db", str(store)).code == 2


def test_progress_can_be_read_by_a_program(run: Run, store: Path) -> None:
    ran = run("verify", "--progress", "json", "--json", "--db", str(store))
    lines = [json.loads(line) for line in ran.err.splitlines()]
    assert [(line["step"], line["done"], line["total"]) for line in lines] == [("commits", 5, 5), ("events", 6, 6)]
    assert ran.document["ok"] is True
    assert run("verify", "--progress", "none", "--db", str(store)).err == ""


def test_resuming_what_was_never_stopped_begins_at_the_beginning_and_says_so(run: Run, store: Path) -> None:
    ran = run("verify", "--resume", "--db", str(store))
    assert ran.code == 0
    assert "note: No earlier run was stopped here" in ran.out


INTERRUPTED = """
import sys
from asg_mcp.cli import main
from asg_mcp.repo import verify
verify.CHUNK_ROWS, verify.KEEP_SECONDS = 2, 0.0
checked, commits = verify.check_commit, []

def slowly(*given):
    checked(*given)
    commits.append(1)
    if len(commits) == int(sys.argv[1]):
        print("here", flush=True)
        sys.stdin.readline()

verify.check_commit = slowly
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are of POSIX")
@pytest.mark.parametrize("sent", ["SIGINT", "SIGKILL"])
def test_an_interrupted_run_goes_on_where_it_was(run: Run, store: Path, sent: str) -> None:
    command = [sys.executable, "-c", INTERRUPTED, "3", "verify", "--db", str(store)]
    given = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, cwd=Path(__file__).parents[2], **given) as process:  # type: ignore[call-overload]
        assert process.stdout.readline() == "here\n"
        process.send_signal(signal.Signals[sent])
        if sent == "SIGKILL":
            process.wait(30)
        else:
            _, err = process.communicate("\n", timeout=30)
            assert process.returncode == 130
            assert "asg-mcp verify --resume" in err
    [kept] = marks_of(store).folder(_first_name(store)).glob("verify.json")
    assert kept.stat().st_mode & 0o777 == 0o600
    ran = run("verify", "--resume", "--json", "--db", str(store))
    assert ran.code == 0
    # The run is asked to stop at commit 3. An interrupt is heard by another thread, so a commit more may be done.
    last = "[234]" if sent == "SIGINT" else "2"
    assert re.match(f"commits 1 to {last} were checked by an earlier run, until 2", ran.document["trusted"])
    assert ran.document["counts"]["commits"] == 5
    assert not kept.exists()


def _first_name(store: Path) -> str:
    async def read() -> str:
        async with open_repository(store) as repository:
            return await repository.epochs.origin()

    return asyncio.run(read())


def test_a_run_goes_on_over_commits_that_were_made_since(run: Run, store: Path) -> None:
    async def write() -> None:
        async with open_repository(store) as repository:
            await Desk(repository).set("/later", 1)

    asyncio.run(write())
    assert run("verify", "--since", "5", "--json", "--db", str(store)).document["counts"]["commits"] == 1
