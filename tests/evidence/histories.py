"""Random histories with one sealed epoch, the same for the same seed but for salts, handles and times."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import AsgError
from asg_mcp.repo.repository import Guard, MergeRequest, Repository
from asg_mcp.repo.requests import EpochRequest, OutcomeRequest, SessionRequest
from asg_mcp.services.bundles import Bundle, bundle
from asg_mcp.services.epochs import create_epoch, seal_epoch
from tests.services.epochs_desk import open_epoch_desk

PEOPLE = (
    Author("local:ana", "planner", "claude/1.0"),
    Author("local:ana", "fixer"),
    Author("oidc:bo@example.org", "night-watch", "cursor/2"),
)
WORDS = ("drain", "nœud 3", "<b>bold</b>", "a\u202eb", "disk & fan", "x" * 300, "\x1b[2J", "roll out", "back off")
EPOCH = "night-1"
SUMMARY = "All <drained>, nothing lost."


@dataclass
class History:
    """What a random history is made with."""

    repo: Repository
    random: Random
    intents: list[str] = field(default_factory=list)
    sessions: list[tuple[str, Author]] = field(default_factory=list)
    branches: list[str] = field(default_factory=lambda: ["main", "main"])
    paths: list[tuple[str, ...]] = field(default_factory=list)

    def text(self) -> str:
        return " ".join(self.random.sample(WORDS, self.random.randint(1, 3)))

    def value(self, depth: int = 0) -> Any:
        roll = self.random.randint(0, 9)
        if roll < 2 and depth < 3:
            return {self.random.choice("abcde~/") + str(n): self.value(depth + 1) for n in range(roll + 1)}
        if roll < 4 and depth < 3:
            return [self.value(depth + 1) for _ in range(self.random.randint(0, 3))]
        scalars = [None, True, -3, 2**60, 0.25, 1e300, "", self.text(), "long " * 600, self.random.random()]
        return scalars[roll]

    def intent(self) -> Intent:
        self.intents.append(name := f"i{len(self.intents)}")
        parents = ["", "goal", self.intents[0], *self.intents[-3:]]
        provenance: dict[str, Any] = {}
        if self.random.random() < 0.3:
            provenance = {
                "authority": {"principal": "alice@ops", "scope": self.text()},
                "alternatives": [{"description": self.text(), "why_not": "slower"}],
            }
        return Intent(
            self.random.choice(list(Category)),
            self.text(),
            reasoning=self.text() if self.random.random() < 0.5 else "",
            confidence=self.random.choice([None, 0.73, 1, 0]),
            tags=("night",) if self.random.random() < 0.3 else (),
            intent_id=name if self.random.random() < 0.6 else "",
            parent_intent=self.random.choice(parents),
            provenance=provenance,
        )

    def author(self) -> Author:
        if self.sessions and self.random.random() < 0.4:
            return self.random.choice(self.sessions)[1]
        return self.random.choice(PEOPLE)

    async def step(self) -> None:
        """One more thing that happens; what is refused does not."""
        roll = self.random.randint(0, 99)
        try:
            if roll < 62:
                await self.commit()
            elif roll < 70:
                await self.branch()
            elif roll < 78:
                await self.merge()
            elif roll < 85:
                await self.session()
            elif roll < 93:
                await self.outcome()
            else:
                await self.speculate()
        except AsgError:
            return

    async def commit(self) -> None:
        operations = []
        for _ in range(self.random.randint(1, 4)):
            # Lists have paths of their own, so that few operations are refused.
            path = parse_path(f"/{self.random.choice('abcd')}/{self.random.randint(0, 30)}")
            roll = self.random.random()
            if roll < 0.75 or not self.paths:
                operations.append(Operation(Op.SET, path, self.value()))
                self.paths.append(path)
            elif roll < 0.9:
                operations.append(Operation(Op.APPEND, parse_path(f"/lists/{path[0]}"), self.value()))
            else:
                operations.append(Operation(Op.DELETE, self.random.choice(self.paths)))
        await self.repo.commit(self.random.choice(self.branches), operations, self.intent(), self.author(), Guard())

    async def branch(self) -> None:
        name = f"side-{len(self.branches)}"
        await self.repo.branch(name, "branch", self.random.choice(self.branches), self.author())
        self.branches.append(name)

    async def merge(self) -> None:
        source, target = self.random.choice(self.branches), self.random.choice(self.branches)
        request = MergeRequest(source, target, strategy="ours")
        await self.repo.merge(request, self.intent(), self.author(), Guard())

    async def session(self) -> None:
        who = self.random.choice(PEOPLE)
        parent = self.random.choice(self.sessions)[0] if self.sessions and self.random.random() < 0.5 else ""
        request = SessionRequest(agent=who.agent, branch="main", parent=parent, description=self.text())
        found = await self.repo.seen_by(who.principal).open_session(request, who)
        self.sessions.append((found.handle, Author(who.principal, who.agent, who.client, found.handle)))

    async def outcome(self) -> None:
        who = self.author()
        request = OutcomeRequest(
            intent=self.random.choice(self.intents or [""]),
            outcome=self.random.choice(["fulfilled", "partially_fulfilled", "failed", "deferred"]),
            summary=self.text(),
            observed={"pods": 3},
            deviations=({"path": "/a", "expected": 1, "actual": self.value(3)},),
        )
        await self.repo.resolve(request, who)

    async def speculate(self) -> None:
        who = self.random.choice(PEOPLE)
        seen = self.repo.seen_by(who.principal).speculations
        found = await seen.open("main", "try", who)
        await seen.modify(found.handle, [Operation(Op.SET, parse_path("/t"), self.value())], who)
        if self.random.random() < 0.5:
            await seen.discard(found.handle, self.text(), who)


async def play(repo: Repository, random: Random, steps: int) -> None:
    """A history with one epoch, sealed."""
    history = History(repo, random)
    if random.random() < 0.5:
        # What begins before the epoch and is gone on with in it, so that links run through what came before.
        early = Intent(Category.PLAN, history.text(), intent_id="i0", parent_intent="goal")
        history.intents.append("i0")
        await repo.commit("main", [], early, PEOPLE[0], Guard())
        await history.session()
    for _ in range(random.randint(0, steps // 2)):
        await history.step()
    roots: tuple[str, ...] = random.choice([(), (), ("goal",), ("goal",), ("goal", "i1"), ("i0",)])
    if history.sessions and random.random() < 0.3:
        roots = (random.choice(history.sessions)[0],)
    since = random.choice(["", "", "2001-01-01"])
    request = EpochRequest(EPOCH, history.text(), roots, since=since, tags=("t",))
    await create_epoch(repo, request, PEOPLE[0])
    for _ in range(random.randint(4, steps)):
        await history.step()
    await seal_epoch(repo, EPOCH, SUMMARY, PEOPLE[0])
    for _ in range(random.randint(0, 3)):
        await history.step()


@asynccontextmanager
async def played(folder: Path, seed: int, steps: int = 20) -> AsyncIterator[Repository]:
    """A repository with such a history in a new file."""
    async with open_epoch_desk(folder) as desk:
        await play(desk.repo, Random(seed), steps)
        yield desk.repo


async def random_bundle(folder: Path, seed: int, steps: int = 20) -> Bundle:
    """The bundle of such a history."""
    async with played(folder, seed, steps) as repo:
        return await bundle(repo, EPOCH)
