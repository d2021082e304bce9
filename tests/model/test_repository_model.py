"""Random histories through a real repository on a real file, against plain models of every commit."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path as File
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import REPLY_BYTES_ASKED_MAX
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.core.values import encode
from asg_mcp.errors import PathNotFound
from asg_mcp.repo.blame import VALUE_ENTRIES_MAX
from asg_mcp.repo.repository import Guard, Repository, RevertRequest
from asg_mcp.repo.results import BlameEntry
from tests.model import oracle
from tests.model.oracle import Cell, Path
from tests.model.test_state_model import Walk, apply_to_oracle

AGENTS = [Author(f"local:{name}", name, "model/1") for name in ("ana", "bo", "cy")]
ENTRIES_MAX = 60


@dataclass
class Recorded:
    """One commit: its id, the state it made, and the commit before it."""

    commit: str
    root: Cell
    parent: int | None


@dataclass
class History:
    """All commits by number, and where the branches are."""

    commits: dict[int, Recorded] = field(default_factory=dict)
    heads: dict[str, int] = field(default_factory=dict)

    def line(self, head: int) -> list[int]:
        """The commits that a head reaches, newest first."""
        out: list[int] = []
        number: int | None = head
        while number is not None:
            out.append(number)
            number = self.commits[number].parent
        return out


class Story:
    """A repository and its model, changed together."""

    def __init__(self, repo: Repository, seed: int) -> None:
        self.repo = repo
        self.rng = random.Random(seed)
        self.walk = Walk(seed, ENTRIES_MAX)
        self.walk.rng = self.rng
        self.history = History()
        self.undone = 0

    async def begin(self) -> None:
        first = (await self.repo.log("main", (), limit=1, cursor="")).commits[0]
        self.history.commits[first.seq] = Recorded(first.id.hex(), oracle.plant({}, first.seq), None)
        self.history.heads["main"] = first.seq

    async def step(self) -> None:
        name = self.rng.choice(sorted(self.history.heads))
        kind = self.rng.random()
        if kind < 0.03:
            await self.fork(name)
        elif kind < 0.10:
            await self.revert(name)
        else:
            await self.write(name)

    async def fork(self, name: str) -> None:
        spare = f"side/{self.rng.randrange(3)}"
        author = self.rng.choice(AGENTS)
        if spare in self.history.heads:
            await self.repo.delete_branch(spare, author)
            del self.history.heads[spare]
        elif len(self.history.heads) < 4:
            await self.repo.branch(spare, "branch", name, author)
            self.history.heads[spare] = self.history.heads[name]

    async def write(self, name: str) -> None:
        head = self.history.heads[name]
        number = max(self.history.commits) + 1
        root = self.history.commits[head].root.copy()
        operations: list[Operation] = []
        for _ in range(self.rng.choice([1, 1, 1, 2, 4])):
            operation = self.operation(root)
            operations.append(operation)
            before = root.copy()
            apply_to_oracle(root, operation, number)
            if oracle.same(before, root):
                root = before
        answer = await self.repo.commit(name, operations, intent("A change."), self.rng.choice(AGENTS), Guard())
        if answer.changed:
            self.record(name, answer.commit.hex(), number, root)

    def operation(self, root: Cell) -> Operation:
        if len(list(root.walk())) > ENTRIES_MAX:
            largest = max(root.content, key=lambda name: len(list(root.content[name].walk())))
            return Operation(Op.DELETE, (largest,))
        return self.walk.operation(root)

    async def revert(self, name: str) -> None:
        """Undo the newest commit, which cannot conflict, or restore a path from another branch."""
        head = self.history.heads[name]
        parent = self.history.commits[head].parent
        author, number = self.rng.choice(AGENTS), max(self.history.commits) + 1
        if parent is None:
            return
        request = RevertRequest(ref=name, commits=(name,))
        answer = await self.repo.revert(request, intent("Undone."), author, Guard())
        assert not answer.conflicts
        if answer.commit is not None:
            # How a revert is written as operations is its own affair; what it gives is not.
            found = await self.whole(name)
            assert encode(found) == encode(self.history.commits[parent].root.value())
            root = oracle.merged(self.history.commits[head].root.copy(), found, number)
            self.record(name, answer.commit.hex(), number, root)
            self.undone += 1

    def record(self, name: str, commit: str, number: int, root: Cell) -> None:
        self.history.commits[number] = Recorded(commit, root, self.history.heads[name])
        self.history.heads[name] = number

    async def whole(self, ref: str) -> Any:
        return (await self.repo.get(ref, (), depth=None, max_bytes=REPLY_BYTES_ASKED_MAX, cursor="")).value

    # --- checks -----------------------------------------------------------------

    async def check_values(self, number: int) -> None:
        recorded = self.history.commits[number]
        assert encode(await self.whole(recorded.commit)) == encode(recorded.root.value())

    async def check_heads(self) -> None:
        for name, number in self.history.heads.items():
            log = await self.repo.log(name, (), limit=500, cursor="")
            assert [commit.seq for commit in log.commits] == self.history.line(number)[:500]

    async def check_blame(self, number: int) -> None:
        """Every path of one commit: those that exist, and those that ever did and are gone."""
        recorded = self.history.commits[number]
        there = dict(recorded.root.walk())
        for path, cell in there.items():
            [entry] = await self.blamed(recorded.commit, path)
            assert entry.commit.seq == newest(cell), path
            if len(list(cell.walk())) <= VALUE_ENTRIES_MAX:
                assert encode(entry.value) == encode(cell.value())
            assert entry.type, "it is there"
        ever = {path for seq in self.history.line(number) for path, _ in self.history.commits[seq].root.walk()}
        gone = sorted(ever - there.keys())
        for path in gone:
            [entry] = await self.blamed(recorded.commit, path)
            assert (entry.value, entry.type) == (ABSENT, "")
            assert entry.commit.seq == self.deleted(number, path), path

    def deleted(self, number: int, path: Path) -> int:
        """The newest commit that lacks the path though its parent has it, by walking them all."""
        for seq in self.history.line(number):
            parent = self.history.commits[seq].parent
            if parent is not None and exists(self.history.commits[parent].root, path):
                return seq
        raise AssertionError("the path never existed")

    async def blamed(self, ref: str, path: Path) -> tuple[BlameEntry, ...]:
        return (await self.repo.blame(ref, path, depth=0, history=False, limit=10, cursor="")).entries


def intent(text: str) -> Intent:
    return Intent(Category.REFINE, text)


def newest(cell: Cell) -> int:
    """What changed last at a path or below it."""
    return max(below.origin for _, below in cell.walk())


def exists(root: Cell, path: Path) -> bool:
    try:
        root.at(path)
    except (KeyError, IndexError, ValueError, TypeError):
        return False
    return True


STEPS = 180
"""Of one history; checking costs what the history is long, so five shorter ones find more than one long one."""


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5])
async def test_histories_equal_their_models_and_blame_a_walk_of_every_commit(tmp_path: File, seed: int) -> None:
    file = tmp_path / "state.db"
    async with open_repository(file) as repo:
        story = Story(repo, seed)
        await story.begin()
        for number in range(STEPS):
            await story.step()
            if number % 20 == 0:
                await story.check_values(story.rng.choice(sorted(story.history.commits)))
            if number % 100 == 99:
                await story.check_blame(story.rng.choice(sorted(story.history.heads.values())))
        await story.check_heads()
        for number in story.history.heads.values():
            await story.check_values(number)
        assert story.undone, "no walk without reverts"
        with pytest.raises(PathNotFound):
            await story.blamed("main", ("never there",))
        report = await repo.verify(lambda what, done, total: None)
        assert report.problems == ()
        assert report.counts["commits"] == len(story.history.commits)
    async with open_repository(file) as again:
        story.repo = again
        await story.check_heads()
        for number in story.history.heads.values():
            await story.check_values(number)
        await story.check_blame(story.history.heads["main"])
