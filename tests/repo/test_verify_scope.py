"""Verify looks at what it is told to, says what it took on trust, and goes on where it was stopped."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import CommitNotFound, InvalidArgument, RefNotFound
from asg_mcp.repo import verify as verify_module
from asg_mcp.repo.redactplan import Target
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.requests import OutcomeRequest, SessionRequest
from asg_mcp.repo.results import CommitInfo
from asg_mcp.repo.verify import Scope, Stopped, VerifyReport, verify
from asg_mcp.repo.verifying_scope import Kept
from asg_mcp.services.marks import MarkFiles
from asg_mcp.services.runs import RunFile
from asg_mcp.services.signing import PassingKey
from asg_mcp.storage.sqlite import open_store
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB
from tests.repo.taking_away import erase, receipt, rewrite


def silent(*_: object) -> None:
    """No progress."""


class Memory:
    """A journal in memory."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content

    def load(self, store: str) -> bytes:
        return self.content

    def save(self, store: str, content: bytes) -> None:
        self.content = content

    def clear(self, store: str) -> None:
        self.content = b""


async def checked(path: Path, scope: Scope, **how: Any) -> VerifyReport:
    store = await open_store(path)
    try:
        return await asyncio.to_thread(verify, store, how.pop("progress", silent), PassingKey(), scope, **how)
    finally:
        await store.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a closed store: 30 commits, a branch `half` in the middle, a session from before to after it."""
    folder = tmp_path_factory.mktemp("made")
    asyncio.run(fill(folder))
    return folder


async def fill(folder: Path) -> None:
    async with open_desk(folder) as desk:
        await desk.set("/wide", {f"k{number}": number for number in range(150)})
        await desk.set("/text", "long " * 700)
        await desk.repo.open_session(SessionRequest("idle"), BOB)
        session = await desk.repo.open_session(SessionRequest("fixer"), BOB)
        for number in range(12):
            await desk.set(f"/wide/k{number}", {"n": number})
        await desk.branch("half")
        await desk.branch("gone")
        for number in range(12):
            await desk.set(f"/wide/k{number}", [number, "x"])
        outcome = OutcomeRequest("fulfilled", "Done.", session=session.handle)
        await desk.repo.resolve(outcome, BOB)
        await desk.repo.delete_branch("gone", ALICE)
        await desk.set("/text", "other " * 700)
        await desk.branch("late")


@pytest.fixture
def path(made: Path, tmp_path: Path) -> Path:
    """A copy of that store's file."""
    return Path(shutil.copy(made / "state.db", tmp_path / "state.db"))


def damage(path: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        assert db.execute(sql, values).rowcount == 1, "the damage was done"


def one(path: Path, sql: str) -> Any:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql).fetchone()


async def half_of(path: Path) -> CommitInfo:
    async with open_repository(path, create=False) as repo:
        return await Desk(repo).head("half")


# --- since --------------------------------------------------------------------------


async def points(path: Path) -> list[str]:
    """The same point in every way that it can be said."""
    half = await half_of(path)
    index = one(path, f"SELECT id FROM events WHERE kind = 1 AND new = {half.seq}")[0]
    return ["half", "half~0", half.id.hex()[:10], half.at, str(index)]


async def test_what_came_after_a_point_is_checked_however_the_point_is_named(path: Path) -> None:
    whole = await checked(path, Scope())
    seen = set()
    for point in await points(path):
        report = await checked(path, Scope(since=point))
        assert report.problems == (), point
        seen.add((report.counts["commits"], report.counts["events"], report.trusted))
    [(commits, events, trusted)] = seen
    assert 0 < commits < whole.counts["commits"]
    assert 0 < events < whole.counts["events"]
    assert f"the first {whole.counts['commits'] - commits} commits" in trusted
    assert f"the first {whole.counts['events'] - events} events" in trusted


async def test_damage_after_the_point_is_found_and_damage_before_it_is_not_looked_for(path: Path) -> None:
    half = (await half_of(path)).seq
    other = path.with_name("other.db")
    shutil.copy(path, other)
    damage(path, "UPDATE commits SET at = at + 1 WHERE seq = ?", half + 3)
    assert not (await checked(path, Scope(since="half"))).ok
    damage(other, "UPDATE events SET leaf = zeroblob(32) WHERE id = 2")
    assert (await checked(other, Scope(since="half"))).ok
    assert not (await checked(other, Scope())).ok


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE refs SET seq = seq - 1 WHERE name = 'main'",
        "UPDATE refs SET seq = seq - 1 WHERE name = 'half'",
        "DELETE FROM refs WHERE name = 'late'",
        "DELETE FROM refs WHERE name = 'half'",
        "INSERT INTO refs (name, kind, seq) VALUES ('gone', 0, 3)",
        "DELETE FROM events WHERE id = (SELECT max(id) FROM events)",
        "UPDATE records SET last = last - 1 WHERE kind = 0 AND last <> opened",
        "UPDATE records SET last = 999 WHERE kind = 0 AND last = opened",
        "UPDATE commits SET id = zeroblob(32) WHERE seq = (SELECT max(seq) FROM commits)",
    ],
)
async def test_refs_and_records_are_compared_with_what_the_log_says_since(path: Path, sql: str) -> None:
    point = (await half_of(path)).id.hex()[:10]
    damage(path, sql)
    assert not (await checked(path, Scope(since=point))).ok


async def test_tiles_that_were_completed_since_are_made_again(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        for number in range(150):
            await desk.branch(f"a{number}")
            await desk.repo.delete_branch(f"a{number}", ALICE)
    path = tmp_path / "state.db"
    report = await checked(path, Scope(since="200"))
    assert (report.problems, report.counts["tiles"]) == ((), 1)
    damage(path, "UPDATE tiles SET digest = zeroblob(32)")
    assert not (await checked(path, Scope(since="200"))).ok
    assert (await checked(path, Scope(since="280"))).ok
    assert not (await checked(path, Scope(percent=1))).ok


@pytest.mark.parametrize(
    ("point", "error"), [("nope", RefNotFound), ("99999", InvalidArgument), ("abcdef0123", CommitNotFound)]
)
async def test_a_point_that_is_not_there_is_refused(path: Path, point: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        await checked(path, Scope(since=point))


async def test_a_time_before_everything_has_all_of_it_checked(path: Path) -> None:
    report = await checked(path, Scope(since="2001-01-01"))
    assert (report.counts["commits"], report.trusted) == (one(path, "SELECT count(*) FROM commits")[0], "")


# --- a sample -----------------------------------------------------------------------


async def test_a_sample_says_how_much_it_looked_at_and_repeats_by_its_seed(path: Path) -> None:
    first = await checked(path, Scope(percent=20, seed=7))
    again = await checked(path, Scope(percent=20, seed=7))
    other = await checked(path, Scope(percent=20, seed=8))
    assert first.problems == other.problems == ()
    assert first.counts == again.counts
    sample = first.sample
    assert sample is not None
    there = one(path, "SELECT count(*) FROM commits")[0]
    assert sample.of["commits"] == (round(there * 0.2), there)
    assert sample.unseen(1) == pytest.approx(1 - round(there * 0.2) / there)
    assert sample.unseen(there) == 0
    assert first.counts["commits"] == round(there * 0.2)
    assert first.counts["refs"] == 3


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE commits SET at = at + 1 WHERE seq = 7",
        "UPDATE events SET leaf = zeroblob(32) WHERE id = 5",
        "UPDATE nodes SET data = zeroblob(40) WHERE id = (SELECT max(id) FROM nodes)",
        "UPDATE blobs SET data = zeroblob(40) WHERE id = (SELECT min(id) FROM blobs)",
    ],
)
async def test_a_sample_of_everything_finds_any_damage(path: Path, sql: str) -> None:
    damage(path, sql)
    assert not (await checked(path, Scope(percent=100, seed=1))).ok


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE refs SET seq = seq - 1 WHERE name = 'half'",
        "DELETE FROM refs WHERE name = 'late'",
        "CREATE TABLE more (x)",
    ],
)
async def test_a_sample_looks_at_refs_and_the_file_always(path: Path, sql: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(sql)
    assert not (await checked(path, Scope(percent=0.001, seed=1))).ok


async def test_a_child_that_is_not_what_a_sampled_node_says_is_found(path: Path) -> None:
    newest = one(path, "SELECT max(id) FROM nodes")[0]
    damage(path, "DELETE FROM nodes WHERE id = ?", newest - 1)
    assert not all([(await checked(path, Scope(percent=60, seed=seed))).ok for seed in range(10)])


# --- going on -----------------------------------------------------------------------


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_module, "CHUNK_ROWS", 4)
    monkeypatch.setattr(verify_module, "KEEP_SECONDS", 0.0)


def after(commits: int) -> dict[str, Callable[..., Any]]:
    """Have a run stop when it has checked so many commits."""
    done = [0]

    def progress(step: str, so_far: int, total: int) -> None:
        done[0] = so_far

    return {"progress": progress, "stop": lambda: done[0] >= commits}


async def stopped(path: Path, journal: Memory, commits: int = 12) -> None:
    with pytest.raises(Stopped):
        await checked(path, Scope(), journal=journal, **after(commits))
    kept = Kept.unpacked(journal.content)
    assert kept is not None
    assert kept.done == commits


@pytest.mark.usefixtures("small_chunks")
async def test_a_run_that_was_stopped_goes_on_and_counts_the_same(path: Path) -> None:
    whole = await checked(path, Scope())
    journal = Memory()
    await stopped(path, journal)
    seen: list[tuple[str, int, int]] = []
    report = await checked(path, Scope(resume=True), journal=journal, progress=lambda *told: seen.append(told))
    assert (report.problems, report.counts, report.notices) == ((), whole.counts, whole.notices)
    assert "commits 1 to 12 were checked by an earlier run" in report.trusted
    assert seen[0][:2] == ("commits", 16)
    assert journal.content == b""


@pytest.mark.usefixtures("small_chunks")
async def test_a_run_that_is_stopped_in_the_log_has_all_commits_behind_it(path: Path) -> None:
    journal = Memory()
    steps: list[str] = []

    def progress(step: str, done: int, total: int) -> None:
        steps.append(step)

    with pytest.raises(Stopped):
        await checked(path, Scope(), journal=journal, progress=progress, stop=lambda: "events" in steps)
    report = await checked(path, Scope(resume=True), journal=journal)
    assert report.problems == ()
    assert f"commits 1 to {one(path, 'SELECT count(*) FROM commits')[0]} were" in report.trusted


@pytest.mark.usefixtures("small_chunks")
async def test_a_run_that_goes_on_finds_damage_ahead_and_says_what_it_does_not_look_at_again(path: Path) -> None:
    journal = Memory()
    await stopped(path, journal)
    damage(path, "UPDATE commits SET data = zeroblob(99) WHERE seq = 20")
    kept = Memory(journal.content)
    assert not (await checked(path, Scope(resume=True), journal=journal)).ok
    assert journal.content == b"", "a run that ended has nothing to go on with"
    assert not (await checked(path, Scope(resume=True), journal=kept)).ok


@pytest.mark.usefixtures("small_chunks")
async def test_commits_that_were_made_meanwhile_are_checked_too(path: Path) -> None:
    journal = Memory()
    await stopped(path, journal)
    async with open_repository(path, create=False) as repo:
        await Desk(repo).set("/later", 1)
    report = await checked(path, Scope(resume=True), journal=journal)
    assert report.counts["commits"] == one(path, "SELECT count(*) FROM commits")[0]
    assert "earlier run" in report.trusted


@pytest.mark.usefixtures("small_chunks")
async def test_a_store_that_was_rewritten_since_is_begun_anew(path: Path) -> None:
    journal = Memory()
    await stopped(path, journal)
    await rewrite(path, lambda writer, hasher: receipt(writer, values=erase(writer, hasher, 7)))
    report = await checked(path, Scope(resume=True), journal=journal)
    assert (report.problems, report.trusted) == ((), "")
    assert "redaction or garbage collection" in report.notices[0]


@pytest.mark.usefixtures("small_chunks")
async def test_a_log_that_is_another_one_is_begun_anew(path: Path, made: Path) -> None:
    journal = Memory()
    async with open_repository(path, create=False) as repo:
        await Desk(repo).set("/later", 1)
    await stopped(path, journal)
    kept = Kept.unpacked(journal.content)
    assert kept is not None
    mark = kept.mark
    for content, told in (
        (replace(kept, mark=replace(mark, root=bytes(32))).packed(), "the log does not begin with"),
        (replace(kept, mark=replace(mark, size=mark.size + 99)).packed(), "the log does not begin with"),
        (replace(kept, mark=replace(mark, origins=(*mark.origins, "x"))).packed(), "new incarnation"),
        (replace(kept, done=9_999).packed(), "has fewer"),
        (b"no", "No earlier run"),
    ):
        report = await checked(path, Scope(resume=True), journal=Memory(content))
        assert (report.problems, report.trusted) == ((), "")
        assert told in report.notices[0]
    older = Path(shutil.copy(made / "state.db", path.with_name("older.db")))
    report = await checked(older, Scope(resume=True), journal=Memory(journal.content))
    assert "the log does not begin with" in report.notices[0]


@pytest.mark.usefixtures("small_chunks")
async def test_whoever_is_cancelled_leaves_a_file_to_go_on_from(path: Path, tmp_path: Path) -> None:
    files = RunFile(MarkFiles(tmp_path / "marks", path))
    async with open_repository(path, create=False) as repo:
        loop, running = asyncio.get_running_loop(), list[asyncio.Future[VerifyReport]]()

        def progress(step: str, done: int, total: int) -> None:
            if done == 8:
                loop.call_soon_threadsafe(lambda: running[0].cancel())

        task = asyncio.ensure_future(repo.verify(progress, Scope(), files))
        running.append(task)
        with pytest.raises(asyncio.CancelledError):
            await task
        [kept] = (tmp_path / "marks").rglob("verify.json")
        assert kept.stat().st_mode & 0o777 in (0o600, 0o666)
        report = await repo.verify(silent, Scope(resume=True), files)
        assert "earlier run" in report.trusted
        assert report.problems == ()
    assert list((tmp_path / "marks").rglob("verify.json")) == []


async def redacted(repo: Repository) -> None:
    plan = await repo.redactions.find(Target("path", path=parse_path("/wide")), silent)
    await repo.redactions.erase(plan, ALICE, "Asked for.", "", (), silent)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("step", ["commits", "events"])
async def test_what_is_redacted_while_a_run_goes_on_is_no_damage(path: Path, step: str) -> None:
    async with open_repository(path, create=False) as repo:
        loop = asyncio.get_running_loop()
        done: list[int] = []

        def progress(what: str, so_far: int, total: int) -> None:
            if what == step and not done:
                done.append(so_far)
                asyncio.run_coroutine_threadsafe(redacted(repo), loop).result(20)

        report = await repo.verify(progress)
        assert (report.problems, done) == ((), [4])
        assert report.counts["events"] == await repo.read(lambda view: view.reader.events_count())


async def test_a_file_that_cannot_be_written_costs_a_run_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / "marks").write_text("a file in the way")
    files = RunFile(MarkFiles(tmp_path / "marks", path))
    assert (await checked(path, Scope(resume=True), journal=files)).ok
