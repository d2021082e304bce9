"""Whatever was legally taken away leaves a store that verifies, and the loss of anything beside it is found."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from shutil import copy
from typing import Any
from zipfile import ZipFile

import pytest

from asg_mcp.app import (
    class_keys,
    destroy_class,
    export_repository,
    import_repository,
    make_class,
    open_repository,
    restore,
)
from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.noderows import erase_packed, leaf_entries, packed_entries
from asg_mcp.core.nodes import Blob, Entry, Hasher
from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import encode
from asg_mcp.errors import AsgError
from asg_mcp.repo import verify as verify_module
from asg_mcp.repo.collectingresults import CollectRequest
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.records import is_pruned, operations_of
from asg_mcp.repo.redactplan import Target
from asg_mcp.repo.requests import SessionRequest
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.verify import Scope, VerifyReport, verify
from asg_mcp.repo.verifying_log import classes_fault
from asg_mcp.repo.view import View
from asg_mcp.services.archives import COMMITS
from asg_mcp.services.signing import PassingKey
from asg_mcp.storage.base import Rewriter, TermKind
from asg_mcp.storage.rows import Sealer
from asg_mcp.storage.session import term_number
from asg_mcp.storage.sqlite import open_store
from tests.repo.desk import Desk, open_desk, ops
from tests.repo.stores import ALICE
from tests.repo.taking_away import erase, prune, receipt, rewrite

LARGE = "a long text " * 300
WHOLE = Scope()
SAME = "the same text at many paths"


def silent(*_: object) -> None:
    """No progress."""


async def verified(path: Path, scope: Scope = WHOLE) -> VerifyReport:
    store = await open_store(path, class_keys(path))
    try:
        return await asyncio.to_thread(verify, store, silent, PassingKey(), scope)
    finally:
        await store.close()


async def problem(path: Path) -> str:
    [found] = (await verified(path)).problems
    return f"{found.kind}: {found.message}"


# --- no false damage ------------------------------------------------------------------


class Takings:
    """A store to which random things happen, the legal ways of taking something away above all."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path, self.rng = folder / "state.db", random.Random(seed)
        self.made = self.archives = 0
        self.classes: list[str] = []
        self.happened: list[str] = []

    async def step(self) -> None:
        """One of them; what is refused happens not."""
        ways = (self.work, self.redact, self.group, self.end, self.gc, self.brought, self.restored)
        [does] = self.rng.choices(ways, (12, 10, 2, 2, 2, 2, 1))
        await does()
        report = await verified(self.path)
        assert (report.problems, report.notices) == ((), ()), self.happened

    async def work(self) -> None:
        async with open_desk(self.path.parent) as desk:
            for _ in range(3):
                with contextlib.suppress(AsgError):
                    await self._change(desk)

    async def _change(self, desk: Desk) -> None:
        rng, at = self.rng, self._at()
        ref = rng.choice(["main", "main", "side", "other"])
        kind = rng.choice(
            ["set", "set", "insert", "append", "move", "move", "delete", "both", "merge", "branch", "back", "undo"]
        )
        self.happened.append(f"{kind} {at} {ref}")
        if kind == "branch":
            if ref != "main":
                with contextlib.suppress(AsgError):
                    await desk.repo.delete_branch(ref, ALICE)
                await desk.branch(ref)
        elif kind == "merge":
            await desk.merge(ref if ref != "main" else "side", rng.choice(["main", "other"]), strategy="theirs")
        elif kind == "back":
            await desk.revert(ref=ref, path=at, source=f"{ref}~{rng.randrange(1, 6)}")
        elif kind == "undo":
            await desk.revert((await desk.head(f"{ref}~{rng.randrange(4)}")).id.hex(), ref=ref)
        elif kind == "move":
            await desk.apply(("move", self._at(), at), ref=ref)
        elif kind == "delete":
            await desk.apply(("delete", at), ref=ref)
        elif kind == "both":
            await desk.apply(("set", at, self._value()), ("set", self._at(), self._value()), ref=ref)
        else:
            at = f"{at}/0" if kind == "insert" else at
            await desk.apply((kind, at, self._value()), ref=ref)

    def _at(self) -> str:
        return self.rng.choice(["/a", "/b", "/l", "/l/0", "/l/1", "/m/x", "/m/y", "/m", "/p/1", "/p/2", "/p/l", "/p"])

    def _value(self) -> Any:
        plain = [True, 1, SAME, LARGE, None]
        some = [self.rng.choice(plain) for _ in range(4)]
        many = [self.rng.choice(plain) for _ in range(20)]
        return self.rng.choice([some[0], some[0], some, {"x": some[0], "y": some[1]}, {"l": some, "x": SAME}, many])

    async def redact(self) -> None:
        async with open_repository(self.path) as repo:
            target = Target("path", path=parse_path(self._at()))
            roll = self.rng.random()
            if roll < 0.25:
                target = Target("value", value=self.rng.choice([SAME, LARGE]))
            elif roll < 0.35:
                count = await repo.read(lambda view: view.reader.events_count())
                target = Target("event", name=str(self.rng.randrange(count)))
            self.happened.append(f"redact {target.what} {target.path or target.name}")
            plan = await repo.redactions.find(target, silent)
            await repo.redactions.erase(plan, ALICE, "Asked for.", "patients", (), silent)

    async def group(self) -> None:
        self.made += 1
        self.happened.append(f"class c{self.made}")
        with contextlib.suppress(AsgError):
            await make_class(self.path, f"c{self.made}", parse_path("/p"), ALICE)
            self.classes.append(f"c{self.made}")

    async def end(self) -> None:
        if self.classes:
            self.happened.append(f"destroy {self.classes[-1]}")
            await destroy_class(self.path, self.classes.pop(), "Over.", ALICE)

    async def gc(self) -> None:
        self.happened.append("gc")
        async with open_repository(self.path) as repo:
            prune = self.rng.random() < 0.8
            await repo.collect(
                CollectRequest(grace_seconds=0, rehearse=False, shrink=False, prune=prune), ALICE, silent
            )

    async def brought(self) -> None:
        """Go on in a store made of the archive of this one, which has the same in it, to the last origin."""
        self.happened.append("import")
        to, before = self._next(), await self._archived()
        await import_repository(before, to, ALICE, silent)
        assert await stored_in(to) == await stored_in(self.path), self.happened
        self.path = to
        assert commits_in(await self._archived()) == commits_in(before), self.happened

    async def _archived(self) -> Path:
        self.archives += 1
        file = self.path.with_name(f"archive-{self.archives}.zip")
        await export_repository(self.path, file, silent)
        return file

    async def restored(self) -> None:
        """Go on in a store restored from this one as a backup: its class keys are put beside it, as the manual says."""
        self.happened.append("restore")
        to = self._next()
        made = await restore(self.path, to, ALICE, silent)
        assert made.report.problems == (), "its class keys are not there, which is no damage"
        for name in self.classes:
            copy(class_keys(self.path).path(name), class_keys(to).path(name))
        self.path = to

    def _next(self) -> Path:
        """Where the next store is made."""
        to = self.path.parent / "on" / self.path.name
        to.parent.mkdir()
        return to


async def stored_in(path: Path) -> list[Any]:
    """Of each commit all entries of its state and of its operations: what they say, since when, and what is gone."""

    def told(entry: Entry, hasher: Hasher) -> tuple[Any, ...]:
        blob = entry.value if type(entry.value) is Blob else None
        gone = (blob.erased, blob.erased_after) if blob is not None else ()
        return entry.key, entry.kind, hasher.value_id(entry), entry.origin, *gone

    def look(view: View) -> list[Any]:
        found: list[Any] = []
        for seq in range(1, view.reader.last_seq() + 1):
            row = view.reader.commit(seq)
            if not is_pruned(row):
                state = state_at(view.reader, view.hasher, row)
                given = [entry for operation in operations_of(row) for entry in operation.entries or ()]
                found.append([told(entry, view.hasher) for entry in [*state.tree.entries(0, len(state.tree)), *given]])
        return found

    async with open_repository(path, create=False) as repo:
        return await repo.read(look)


def commits_in(archive: Path) -> bytes:
    with ZipFile(archive) as files:
        return files.read(COMMITS)


@pytest.mark.parametrize("seed", range(int(os.environ.get("SEEDS", 4))))
async def test_what_was_taken_away_by_whatever_way_leaves_a_store_that_verifies(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = random.Random(seed)  # ids, and so the nodes of trees, go by keys: a seed is to give the same ones again
    for name in ("secrets.token_bytes", "asg_mcp.repo.redacting.token_bytes"):
        monkeypatch.setattr(name, keys.randbytes)
    takings = Takings(tmp_path, seed)
    async with open_desk(tmp_path) as desk:
        await desk.set("/m", {"x": SAME, "y": LARGE})
        await desk.set("/l", [SAME, 1, LARGE, SAME])
        await desk.branch("side")
        await desk.branch("other")
    await takings.group()
    for _ in range(int(os.environ.get("STEPS", 30))):
        await takings.step()
    for scope in (Scope(since="main~3"), Scope(percent=50, seed=seed)):
        assert (await verified(takings.path, scope)).problems == ()


@pytest.fixture
async def erased_twice(tmp_path: Path) -> Path:
    """A closed store with a list of one value that came erased, and its equal that was whole; the first one is gone."""
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/keep", SAME)  # so that the value has the same id later
        await desk.set("/l", [SAME])
    await redacted(path, "/l")
    async with open_desk(tmp_path) as desk:
        await desk.set("/l", [1])
        await desk.revert(path="/l", source="main~1")
        await desk.apply(("append", "/l", SAME))
        await desk.set("/l", [SAME])  # which is the one that was appended, and not the one that came erased
    return path


async def test_what_a_revert_brought_back_erased_is_matched_as_it_stood_when_it_is_erased_again(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/keep", SAME)  # so that the value has the same id later
        await desk.set("/l", [1, LARGE, SAME])
        await desk.apply(("insert", "/l/0", SAME))
    await redacted(path, "/l")
    async with open_desk(tmp_path) as desk:
        await desk.revert(path="/l", source="main~1")
        await desk.set("/l", [SAME])
    assert (await verified(path)).problems == ()
    await redacted(path, "/l")
    assert (await verified(path)).problems == ()


@pytest.mark.parametrize("brought", [False, True])
async def test_what_came_erased_is_told_from_its_equal_that_was_whole_once_both_are_erased(
    erased_twice: Path, brought: bool
) -> None:
    path = erased_twice
    assert (await verified(path)).problems == ()
    if brought:
        await export_repository(path, path.with_name("archive.zip"), silent)
        path = path.with_name("new.db")
        await import_repository(path.with_name("archive.zip"), path, ALICE, silent)
        assert await stored_in(path) == await stored_in(erased_twice)
    await redacted(path, "/l")
    assert (await verified(path)).problems == ()


async def test_a_large_value_was_and_is_the_equal_of_the_same_one_that_is_erased(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/keep", LARGE)  # so that the value has the same id later
        await desk.set("/l", [LARGE, 1])
    await redacted(path, "/l")
    async with open_desk(tmp_path) as desk:
        await desk.set("/l", [2, LARGE])
    await redacted(path, "/keep")
    assert (await verified(path)).problems == ()


@pytest.mark.parametrize(("after", "told"), [(99, "erased at other paths alone"), (3, "names another origin")])
async def test_a_value_that_says_that_it_was_erased_at_another_time_is_damage(
    erased_twice: Path, after: int, told: str
) -> None:
    def earlier(writer: Rewriter, _: Hasher) -> None:
        for row, parts in writer.node_rows(0, 100):
            start = leaf_entries(parts)[0]
            for at, key, _kind, value in packed_entries(parts, start) if start else ():
                if key.startswith("l") and type(value) is Blob and value.erased_after == 7:
                    erase_packed(parts, at, value.id, after)
                    writer.put_node_parts(row, parts)

    await redacted(erased_twice, "/l")
    assert (await verified(erased_twice)).problems == ()
    await rewrite(erased_twice, earlier)
    assert told in await problem(erased_twice)


# --- what is lost beside it -----------------------------------------------------------


@pytest.fixture
async def path(tmp_path: Path) -> Path:
    """A closed store with two classes, one of them destroyed, and the same text at two public paths."""
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/one", SAME)
        await desk.set("/two", SAME)
        await desk.set("/long", LARGE)
    for name in ("med", "old"):
        await make_class(path, name, parse_path(f"/{name}"), ALICE)
    async with open_desk(tmp_path) as desk:
        await desk.set("/med/1", {"name": "Ada"})
        await desk.set("/old/1", {"name": "Al"})
    await destroy_class(path, "old", "Over.", ALICE)
    assert (await verified(path)).problems == ()
    return path


async def redacted(path: Path, *places: str) -> None:
    async with open_repository(path) as repo:
        for place in places:
            plan = await repo.redactions.find(Target("path", path=parse_path(place)), silent)
            await repo.redactions.erase(plan, ALICE, "Asked for.", "old", (), silent)


@pytest.mark.parametrize("name", ["old", "med"])
@pytest.mark.parametrize("scope", [Scope(), Scope(percent=100)])
async def test_a_value_outside_of_a_class_is_not_excused_by_the_lack_of_the_key_of_that(
    path: Path, name: str, scope: Scope
) -> None:
    with contextlib.suppress(FileNotFoundError):
        class_keys(path).path(name).unlink()
    sealer = Sealer()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        rows = db.execute("SELECT id, data FROM blobs").fetchall()
        plain = [row for row, data in rows if b"a long text" in sealer.open(data, b"blob%d" % row, "")]
        data = sealer.seal(encode([name, b"garbage"]), b"blob%d" % plain[0])
        db.execute("UPDATE blobs SET data = ? WHERE id = ?", (data, plain[0]))
    [found] = (await verified(path, scope)).problems
    assert f"is of the class {name}, which is not that of its path" in found.message


@pytest.mark.parametrize("table", ["nodes", "commits"])
async def test_the_receipt_of_one_path_does_not_excuse_the_loss_of_the_same_value_at_another(
    tmp_path: Path, table: str
) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/one", SAME)
        await desk.set("/two", SAME)
    await redacted(path, "/one")
    assert (await verified(path)).problems == ()
    before = {name: rows_of(path, name) for name in ("nodes", "commits")}
    await rewrite(path, lambda writer, hasher: erase(writer, hasher, SAME))
    other = "commits" if table == "nodes" else "nodes"
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.executemany(f"UPDATE {other} SET data = ? WHERE rowid = ?", before[other])
    assert "at /two in commit" in await problem(path)
    assert "erased at other paths alone" in await problem(path)


def rows_of(path: Path, table: str) -> list[tuple[bytes, int]]:
    with closing(sqlite3.connect(path)) as db:
        return db.execute(f"SELECT data, rowid FROM {table}").fetchall()


async def test_what_an_erased_value_was_moved_to_is_no_loss(path: Path) -> None:
    await redacted(path, "/one")
    async with open_desk(path.parent) as desk:
        await desk.branch("side")
        await desk.apply(("move", "/moved", "/one"), ref="side")
        await desk.set("/other", 1)
        await desk.merge("side")
        await desk.revert("main")
    assert (await verified(path)).problems == ()


@pytest.mark.parametrize(
    ("classes", "told"),
    [
        ([("med", "medz", False), ("old", "old", True)], "The class med has /medz, and the log gave it /med"),
        ([("old", "old", True), ("med", "med", False)], "not in the order"),
        ([("med", "med", False)], "The class old has no prefix"),
        ([("med", "med", False), ("old", "old", True), ("new", "new", False)], "the log gave it no prefix"),
        ([("med", "med", False), ("old", "old", False)], "The class old was destroyed, and is in use"),
        ([("med", "med", True), ("old", "old", True)], "The class med was destroyed, and no receipt says so"),
    ],
)
@pytest.mark.parametrize("scope", [Scope(), Scope(percent=1), Scope(since="main")])
async def test_the_sensitive_prefixes_are_those_that_the_log_tells_of(
    path: Path, classes: list[tuple[str, str, bool]], told: str, scope: Scope
) -> None:
    there = encode([[name, [key], gone] for name, key, gone in classes])
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE meta SET value = ? WHERE name = 'classes'", (there,))
    [found] = (await verified(path, scope)).problems
    assert told in found.message or "nobody made" in found.message, "what is sealed may tell of it first"


async def test_prefixes_without_a_value_are_missed_too(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/n", 1)
    await make_class(path, "med", parse_path("/med"), ALICE)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM meta WHERE name = 'classes'")
    assert "The class med has no prefix, and the log gave it /med" in await problem(path)


async def test_a_redaction_labelled_like_a_class_does_not_destroy_it(path: Path) -> None:
    labelled: dict[str, Any] = {"what": "value", "class": "med"}
    await rewrite(path, lambda writer, _: receipt(writer, **labelled))
    assert (await verified(path)).problems == ()


@pytest.mark.parametrize("scope", [Scope(), Scope(percent=1), Scope(since="main")])
async def test_a_ref_of_a_kind_that_there_is_not_is_damage_and_no_crash(path: Path, scope: Scope) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("UPDATE refs SET kind = 9 WHERE name = 'main'")
    [found] = (await verified(path, scope)).problems
    assert found.message == "The kind of the ref main is 9, which is none"


@pytest.mark.parametrize("kind", [TermKind.INTENT, TermKind.SESSION])
@pytest.mark.parametrize("brought", [False, True])
async def test_a_pruned_commit_is_still_found_by_its_intent_and_its_session(
    path: Path, kind: TermKind, brought: bool
) -> None:
    async with open_repository(path) as repo:
        await repo.branch("dead", "branch", "main", ALICE)
        session = (await repo.open_session(SessionRequest("planner", branch="dead"), ALICE)).handle
        intent = Intent(Category.FIX, "Mend.", intent_id="mending")
        await repo.commit("dead", ops(("set", "/d", 1)), intent, replace(ALICE, session=session), Guard())
        await repo.delete_branch("dead", ALICE)
        await repo.collect(CollectRequest(grace_seconds=0, rehearse=False, shrink=False, prune=True), ALICE, silent)
    if brought:
        await export_repository(path, path.with_name("archive.zip"), silent)
        path = path.with_name("new.db")
        await import_repository(path.with_name("archive.zip"), path, ALICE, silent)
    report = await verified(path)
    assert (report.problems, report.counts["pruned_commits"]) == ((), 1)
    text = "mending" if kind is TermKind.INTENT else session
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        place = (term_number((kind, text)), "SELECT seq FROM commits WHERE root = 0")
        assert db.execute(f"DELETE FROM terms WHERE term = ? AND seq IN ({place[1]})", place[:1]).rowcount == 1
    assert f"is not in the index under {kind.name} {text!r}" in await problem(path)


# --- beside others --------------------------------------------------------------------


class Beside:
    """Does something to a store, over and over, while its log is checked: after each chunk of events."""

    def __init__(self, path: Path, work: Callable[[Rewriter], object], times: int) -> None:
        self._path, self._work, self._times = path, work, times
        self.progress: list[int] = []

    def __call__(self, what: str, done: int, there: int) -> None:
        if what == "events":
            self.progress.append(done)
            assert done < there or len(self.progress) < 50, "it ends"
            if len(self.progress) <= self._times:
                asyncio.run(rewrite(self._path, lambda writer, _: self._work(writer)))


async def beside(path: Path, work: Callable[[Rewriter], object], times: int) -> Beside:
    other = Beside(path, work, times)
    store = await open_store(path, class_keys(path))
    try:
        report = await asyncio.to_thread(verify, store, other, PassingKey())
    finally:
        await store.close()
    assert report.problems == ()
    return other


async def test_a_run_goes_on_while_others_collect_and_begins_its_log_again_when_they_erase(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify_module, "CHUNK_ROWS", 4)
    collected = await beside(path, lambda writer: receipt(writer, EventKind.COLLECTED), 3)
    assert collected.progress == sorted(set(collected.progress)), "no event is gone through again"
    assert collected.progress[0] == 4
    erased = await beside(path, receipt, 1)
    assert erased.progress[:2] == [4, 4], "what bodies say may be something else now"


async def test_a_commit_that_is_collected_meanwhile_is_accepted_by_the_receipt_of_then(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_desk(path.parent) as desk:
        await desk.branch("dead")
        for number in range(6):
            await desk.set("/dead", number, ref="dead")
        await desk.repo.delete_branch("dead", ALICE)
    monkeypatch.setattr(verify_module, "CHUNK_ROWS", 4)
    done: list[str] = []

    def collect(what: str, *_: object) -> None:
        if not done:
            done.append(what)
            asyncio.run(rewrite(path, prune_last))

    def prune_last(writer: Rewriter, hasher: Hasher) -> None:
        gone = prune(writer, hasher, [writer.last_seq()])
        receipt(writer, EventKind.COLLECTED, commits=gone)

    store = await open_store(path, class_keys(path))
    try:
        report = await asyncio.to_thread(verify, store, collect, PassingKey())
    finally:
        await store.close()
    assert (done, report.problems, report.counts["pruned_commits"]) == (["commits"], (), 1)


async def test_a_class_that_is_made_while_prefixes_are_compared_is_no_damage(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store knows of it before the transaction does in which the log is read."""
    made: list[str] = []
    plain = classes_fault

    def meanwhile(check: Any) -> str:
        if not made:
            made.append("new")
            asyncio.run(make_class(path, "new", parse_path("/new"), ALICE))
            with check.store.reading():
                pass  # the store learns of it
        return plain(check)

    monkeypatch.setattr(verify_module, "classes_fault", meanwhile)
    assert (await verified(path)).problems == ()
    assert made
