"""Random histories with merges in every direction, against a model that walks all of it."""

from __future__ import annotations

import random
from pathlib import Path as File
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import format_path
from asg_mcp.core.values import encode
from asg_mcp.errors import InvalidPath, PathNotFound, WrongType
from asg_mcp.repo.repository import Guard, MergeRequest, Resolution, RevertRequest
from asg_mcp.repo.results import Conflict, MergeResult
from tests.model import oracle
from tests.model.graph_model import GraphModel, Made, at, merged_cell, put
from tests.model.merge_oracle import GONE
from tests.model.oracle import Path
from tests.model.test_state_model import apply_to_oracle
from tests.repo.desk import Desk, open_desk

AGENTS = [Author(f"local:{name}", name, "model/1") for name in ("ana", "bo", "cy")]
BRANCHES = ("main", "dev", "fix", "try")
SCHEMA = {
    "properties": {
        "n": {"x-asg-merge": "sum"},
        "top": {"x-asg-merge": "max"},
        "seen": {"x-asg-merge": "union"},
        "say": {"x-asg-merge": "concat"},
        "by": {"x-asg-merge": "union-by-id"},
        "ask": {"x-asg-merge": "manual"},
    }
}
STEPS = 110


class Story:
    """A repository and its model, changed together."""

    def __init__(self, desk: Desk, seed: int) -> None:
        self.desk = desk
        self.rng = random.Random(seed)
        self.model = GraphModel()
        self.heads: dict[str, int] = {}
        self.fresh = 100
        """Elements of lists are new numbers, so that there is one way to align two versions of a list."""
        self.met = {"merge": 0, "several bases": 0, "conflict": 0, "revert": 0, "undone merge": 0}

    @property
    def next(self) -> int:
        return max(self.model.commits) + 1

    async def begin(self, *, ruled: bool) -> None:
        first = await self.desk.head()
        self.model.commits[first.seq] = Made(first.id.hex(), (), oracle.plant({}, first.seq))
        self.heads["main"] = first.seq
        start: dict[str, Any] = {"m": {"a": 1, "b": {"x": 1}}, "l": [1, 2, 3], "o": [{"id": 1, "v": 1}]}
        if ruled:
            start |= {
                "__schema__": SCHEMA,
                "n": 1,
                "top": 1,
                "seen": [1],
                "say": "a",
                "by": [{"id": 1}],
                "ask": {"q": 1},
            }
        await self.write("main", [Operation(Op.SET, (key,), value) for key, value in start.items()])
        for name in BRANCHES[1:]:
            await self.desk.branch(name)
            self.heads[name] = self.heads["main"]

    async def write(self, name: str, operations: list[Operation]) -> None:
        number, head = self.next, self.heads[name]
        root = self.model.commits[head].root.copy()
        for operation in operations:
            before = root.copy()
            apply_to_oracle(root, operation, number)
            root = before if oracle.same(before, root) else root
        author = self.rng.choice(AGENTS)
        answer = await self.desk.repo.commit(name, operations, Intent(Category.REFINE, "A change."), author, Guard())
        if answer.changed:
            self.record(name, answer.commit.hex(), (head,), root)

    def record(self, name: str, commit: str, parents: tuple[int, ...], root: oracle.Cell) -> None:
        number = self.next
        self.model.commits[number] = Made(commit, parents, root)
        self.heads[name] = number

    async def step(self) -> None:
        kind, name = self.rng.random(), self.rng.choice(BRANCHES)
        if kind < 0.25:
            await self.merge(name, self.rng.choice([other for other in BRANCHES if other != name]))
        elif kind < 0.32:
            await self.revert(name)
        else:
            await self.write(name, [self.operation(name)])

    def new(self) -> int:
        self.fresh += 1
        return self.fresh

    def operation(self, name: str) -> Operation:
        """A change of a small document, so that branches meet."""
        rng, value = self.rng, self.model.commits[self.heads[name]].root.value()
        ruled = "__schema__" in value
        kind = rng.randrange(12 if ruled else 9)
        if kind < 3:
            scalar = rng.choice([rng.randrange(3), self.new(), {"x": self.new()}, {}])
            path = ("m", *rng.choice([("a",), ("b", "x"), ("c",), ("b",), ("d", "e")]))
            while not all(
                isinstance(at(value, path[:end]), dict) or at(value, path[:end]) is GONE for end in range(len(path))
            ):
                path = path[:-1]
            return Operation(Op.SET, path, scalar)
        if kind < 5:
            places = [path for path, _ in oracle.plant(value, 0).walk() if path and "__schema__" not in path]
            return Operation(Op.DELETE, rng.choice(places)) if places else Operation(Op.SET, ("l",), [self.new()])
        if kind == 5:
            return Operation(
                Op.SET, (rng.choice(["p", "m", "l"]),), rng.choice([self.new(), {"a": self.new()}, [self.new()]])
            )
        if kind < 9:
            key = rng.choice(["l", "o"])
            held, item = value.get(key), self.new() if key == "l" else {"id": self.new(), "v": 1}
            if not isinstance(held, list) or not held:
                return Operation(Op.SET, (key,), [item])
            index = str(rng.randrange(len(held)))
            inner = isinstance(held[int(index)], dict) and rng.random() < 0.5
            return rng.choice(
                [
                    Operation(Op.SET, (key, index, *(["w"] if inner else [])), self.new() if inner else item),
                    Operation(Op.INSERT, (key, index), item),
                    Operation(Op.APPEND, (key,), item),
                ]
            )
        return rng.choice(
            [
                Operation(Op.SET, ("n",), rng.randrange(9)),
                Operation(Op.SET, ("top",), rng.randrange(9)),
                Operation(Op.SET, ("seen",), [*_list(value.get("seen")), self.new()]),
                Operation(Op.SET, ("say",), str(value.get("say", "")) + rng.choice("xyz")),
                Operation(Op.SET, ("by",), [*_list(value.get("by")), {"id": self.new()}]),
                Operation(Op.SET, ("ask",), {"q": self.new()}),
            ]
        )

    # --- merges -----------------------------------------------------------------

    async def merge(self, target: str, source: str) -> None:
        ours, theirs = self.heads[target], self.heads[source]
        strategy = self.rng.choice(["auto", "auto", "auto", "auto", "ours", "theirs", "manual"])
        bases = self.model.bases([ours], [theirs])
        answer = await self.ask(target, source, strategy)
        if theirs in self.model.reached(ours):
            assert answer.already and answer.merged and not answer.changed
            return
        base, value, clashes = self.model.merge(ours, theirs, manual=strategy == "manual")
        assert [commit.hex() for commit in answer.bases] == [self.model.commits[number].commit for number in bases]
        self.met["several bases"] += len(bases) > 1
        sides = {"base": base, "ours": self.value(ours), "theirs": self.value(theirs)}
        if strategy in ("ours", "theirs"):
            for path, _ in clashes:
                value = put(value, path, at(sides[strategy], path))
        elif clashes:
            self.check_conflicts(answer.conflicts, clashes, sides, ours, theirs)
            resolutions, value = self.choices(sorted(clashes), sides, value)
            answer = await self.ask(target, source, strategy, tuple(resolutions))
        assert answer.merged and answer.commit is not None
        number = self.next
        cell = merged_cell(self.model.commits[ours].root, self.model.commits[theirs].root, value, number)
        self.record(target, answer.commit.hex(), (ours, theirs), cell)
        assert encode(await self.desk.value("/", target)) == encode(value)
        self.met["merge"] += 1

    async def ask(
        self, target: str, source: str, strategy: str, resolutions: tuple[Resolution, ...] = ()
    ) -> MergeResult:
        request = MergeRequest(source, target, strategy, resolutions)
        intent, author = Intent(Category.MERGE, "Merged."), self.rng.choice(AGENTS)
        return await self.desk.repo.merge(request, intent, author, Guard())

    def value(self, number: int) -> Any:
        return self.model.commits[number].root.value()

    def check_conflicts(
        self, found: tuple[Conflict, ...], clashes: set[tuple[Path, str]], sides: dict[str, Any], ours: int, theirs: int
    ) -> None:
        """The conflicts told are those there are, with every side and who changed it."""
        self.met["conflict"] += 1
        assert {(item.path, item.rule) for item in found} == clashes
        for item in found:
            for name, told in (("base", item.base), ("ours", item.ours), ("theirs", item.theirs)):
                held = at(sides[name], item.path)
                assert (repr(told) == "ABSENT") if held is GONE else encode(told) == encode(held)
            for number, by in ((ours, item.ours_by), (theirs, item.theirs_by)):
                assert (None if by is None else by.seq) == self.model.blamed(number, item.path)

    def choices(
        self, clashes: list[tuple[Path, str]], sides: dict[str, Any], value: Any
    ) -> tuple[list[Resolution], Any]:
        """How each conflict is settled, and what the document is then."""
        resolutions = []
        for path, _ in clashes:
            take = self.rng.choice(["ours", "theirs", "base", "value"])
            part = self.new() if take == "value" else at(sides[take], path)
            resolutions.append(Resolution(path, take, part if take == "value" else None))
            value = put(value, path, part)
        return resolutions, value

    async def revert(self, name: str) -> None:
        """Undo the newest commit, which cannot conflict; of a merge, what it brought to its first parent."""
        head = self.heads[name]
        parents = self.model.commits[head].parents
        if len(self.model.reached(head)) < 4:
            return
        request = RevertRequest(ref=name, commits=(name,))
        answer = await self.desk.repo.revert(
            request, Intent(Category.ROLLBACK, "Undone."), self.rng.choice(AGENTS), Guard()
        )
        assert not answer.conflicts
        if answer.commit is not None:
            value = await self.desk.value("/", name)
            assert encode(value) == encode(self.value(parents[0]))
            root = oracle.merged(self.model.commits[head].root.copy(), value, self.next).copy()
            self.record(name, answer.commit.hex(), (head,), root)
            self.met["revert"] += 1
            self.met["undone merge"] += len(parents) > 1

    # --- checks -----------------------------------------------------------------

    async def check(self, number: int) -> None:
        """Values, blame of all that is there and of all that ever was, and the history of every path."""
        made = self.model.commits[number]
        assert encode(await self.desk.value("/", made.commit)) == encode(made.root.value())
        there = {path: cell for path, cell in made.root.walk() if "__schema__" not in path}
        gone = {
            path
            for seq in self.model.reached(number)
            for path, _ in self.model.commits[seq].root.walk()
            if path not in there and "__schema__" not in path
        }
        for path in sorted([*there, *gone]):
            found_by = await self.blamed(made.commit, path)
            assert found_by == self.model.blamed(number, path), (number, path)
            if found_by and path and not self.through_list(number, path):
                found = await self.desk.log(format_path(path), made.commit)
                assert found == sorted(self.model.steps(number, path), reverse=True), (number, path)
                if path in there and not isinstance(there[path].content, dict | list):
                    assert found_by == self.model.given(number, path), (number, path)

    async def blamed(self, ref: str, path: Path) -> int | None:
        """Who changed a path last; None where it never was on the lines that lead here without it."""
        try:
            [entry] = await self.desk.blame(format_path(path), ref, depth=0)
        except (PathNotFound, WrongType, InvalidPath):
            return None
        return entry.commit.seq

    def through_list(self, number: int, path: Path) -> bool:
        """Whether the path led through a list in any state: its history follows the element then, not the index."""
        return any(
            isinstance(at(self.value(seq), path[:end]), list)
            for seq in self.model.reached(number)
            for end in range(len(path))
        )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


@pytest.mark.parametrize("seed", range(10))
async def test_merges_in_every_direction_equal_a_model_that_walks_everything(tmp_path: File, seed: int) -> None:
    async with open_desk(tmp_path) as desk:
        story = Story(desk, seed)
        await story.begin(ruled=seed % 2 == 1)
        for _ in range(STEPS):
            await story.step()
        for number in sorted({*story.heads.values(), *story.rng.sample(sorted(story.model.commits), 2)}):
            await story.check(number)
        report = await desk.repo.verify(lambda what, done, total: None)
        assert report.problems == ()
        assert report.counts["commits"] == len(story.model.commits)
        assert story.met["merge"] > 5 and story.met["conflict"], "no walk without merges and conflicts"
