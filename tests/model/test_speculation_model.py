"""Random speculations, committed beside the commits of others, against plain maps; across restarts."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.limits import SPECULATION_SECONDS
from asg_mcp.core.operations import ABSENT, Op, Operation
from asg_mcp.errors import HandleNotFound
from asg_mcp.repo.repository import Guard, PromoteRequest, Repository, Resolution
from asg_mcp.repo.speculation import speculation_items
from asg_mcp.storage.session import SqliteReader
from tests.repo.desk import Desk, open_desk
from tests.repo.stores import ALICE, BOB

KEYS = "abcdef"
BRANCHES = ("main", "side")
State = dict[str, int]


@dataclass(eq=False)
class Step:
    """A state that was tried, and the one that it was made of; where a line begins there is none."""

    state: State
    before: Step | None = None

    def line(self) -> Iterator[Step]:
        """The steps that lead here, the last first."""
        step: Step | None = self
        while step is not None:
            yield step
            step = step.before


@dataclass
class Trial:
    """What the model knows of a speculation."""

    owner: Author
    last: Step
    target: str
    opened: int
    status: str = "open"
    lesson: str = ""
    compared: set[str] = field(default_factory=set)

    @property
    def state(self) -> State:
        return self.last.state


def merged(base: State, ours: State, theirs: State, take: str) -> tuple[State, set[str]]:
    """The three-way merge of flat maps, and the keys on which somebody had to choose."""
    out, clashes = dict(ours), set()
    for key in KEYS:
        b, o, t = base.get(key), ours.get(key), theirs.get(key)
        if t == b or o == t:
            continue
        if o != b:
            clashes.add(key)
        if o == b or take == "theirs":
            out.pop(key, None)
            out.update({} if t is None else {key: t})
    return out, clashes


class Story:
    """A repository and its model, changed together."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.branches: dict[str, State] = {name: {} for name in BRANCHES}
        self.trials: dict[str, Trial] = {}
        self.arrived: dict[str, set[Step]] = {name: set() for name in BRANCHES}
        """The steps that were committed to each branch."""
        self.hours = 0
        """How far the clock was put forward; what a run takes by itself is far less than one."""
        self.seen: set[str] = set()
        """What the run came across: a model that never conflicts shows nothing."""

    def change(self, state: State) -> tuple[State, list[Operation]]:
        """Some operations, and the map after them."""
        state, told = dict(state), []
        for key in self.rng.sample(KEYS, self.rng.choice([1, 1, 2])):
            if key in state and self.rng.random() < 0.3:
                del state[key]
                told.append(Operation(Op.DELETE, (key,)))
            else:
                state[key] = self.rng.randrange(4)
                told.append(Operation(Op.SET, (key,), state[key]))
        assert all(item.value is not ABSENT for item in told if item.op is Op.SET)
        return state, told

    async def step(self, repo: Repository) -> None:
        steps = [
            self.commit,
            self.open,
            self.attempt,
            self.attempt,
            self.promote,
            self.discard,
            self.compare,
            self.wait,
        ]
        await self.rng.choice(steps)(repo)

    async def commit(self, repo: Repository) -> None:
        name, author = self.rng.choice(BRANCHES), self.rng.choice([ALICE, BOB])
        self.branches[name], told = self.change(self.branches[name])
        await repo.commit(name, told, Intent(Category.REFINE, "By others."), author, Guard())

    async def open(self, repo: Repository) -> None:
        owner = self.rng.choice([ALICE, BOB])
        for trial in self.trials.values():
            if trial.owner is owner and trial.status == "open" and self.too_old(trial):
                trial.status = "expired"
        own = [key for key, one in self.trials.items() if one.owner is owner and one.status == "open"]
        if own and self.rng.random() < 0.4:
            above = self.rng.choice(own)
            made = await repo.speculations.open(f"spec:{above}", "inner", owner)
            outer = self.trials[above]
            trial = Trial(owner, outer.last, outer.target, self.hours)
        else:
            source = self.rng.choice(BRANCHES)
            made = await repo.speculations.open(source, "outer", owner)
            trial = Trial(owner, Step(self.branches[source]), source, self.hours)
        assert made.target == trial.target
        self.trials[made.handle] = trial

    def too_old(self, trial: Trial) -> bool:
        return (self.hours - trial.opened) * 3_600 >= SPECULATION_SECONDS

    async def picked(self, repo: Repository) -> tuple[str, Trial] | None:
        """A speculation to work with; those that are of no use any more refuse, and so does another's."""
        if not self.trials:
            return None
        handle = self.rng.choice(list(self.trials)[-8:])
        trial = self.trials[handle]
        if trial.status == "open" and not self.too_old(trial):
            return handle, trial
        for author in (ALICE, BOB):
            with pytest.raises(HandleNotFound):
                await repo.speculations.modify(handle, [Operation(Op.SET, ("a",), 9)], author)
        self.seen.add(trial.status)
        return None

    async def attempt(self, repo: Repository) -> None:
        found = await self.picked(repo)
        if found is None:
            return
        handle, trial = found
        after, told = self.change(trial.state)
        if self.rng.random() < 0.2:
            told.append(Operation(Op.TEST, ("a",), "never"))
            with pytest.raises(Exception, match="a"):
                await repo.speculations.modify(handle, told, trial.owner)
            return
        trial.last = Step(after, trial.last)
        await repo.speculations.modify(handle, told, trial.owner)

    def base_of(self, trial: Trial, target: str) -> State:
        """The last step that the branch has, or the beginning."""
        return next(step for step in trial.last.line() if step in self.arrived[target] or step.before is None).state

    async def promote(self, repo: Repository) -> None:
        found = await self.picked(repo)
        if found is None:
            return
        handle, trial = found
        target = self.rng.choice([trial.target, trial.target, *BRANCHES])
        take = self.rng.choice(["", "ours", "theirs"])
        ours = self.branches[target]
        after, clashes = merged(self.base_of(trial, target), ours, trial.state, take)
        resolutions = tuple(Resolution((key,), take) for key in sorted(clashes) if take)
        request = PromoteRequest(handle, target, resolutions)
        done = await repo.speculations.commit(request, Intent(Category.REFINE, "The winner."), trial.owner, Guard())
        if clashes and not take:
            assert {item.path[0] for item in done.conflicts} == clashes
            assert done.commit is None
            self.seen.add("conflict")
            return
        assert (done.conflicts, done.changed) == ((), sum(ours.get(key) != after.get(key) for key in KEYS))
        assert set(done.alternatives) == (trial.compared if done.changed else set())
        trial.status = "committed"
        self.branches[target] = after
        self.arrived[target].update(trial.last.line())
        self.seen.add("settled" if clashes else "committed")

    async def discard(self, repo: Repository) -> None:
        found = await self.picked(repo)
        if found is not None and self.rng.random() < 0.5:
            handle, trial = found
            trial.status, trial.lesson = "discarded", f"lesson {self.rng.randrange(99)}"
            await repo.speculations.discard(handle, trial.lesson, trial.owner)

    async def compare(self, repo: Repository) -> None:
        found = await self.picked(repo)
        if found is None:
            return
        usable = [key for key, one in self.trials.items() if one.owner is found[1].owner and one.status == "open"]
        usable = [key for key in usable if not self.too_old(self.trials[key])]
        handles = self.rng.sample(usable, min(len(usable), 3))
        answer = await repo.speculations.compare(handles, found[1].owner)
        for handle in handles:
            self.trials[handle].compared |= set(handles) - {handle}
        for one in answer.speculations:
            trial = self.trials[one.handle]
            base = self.base_of(trial, trial.target)
            differ = sum(base.get(key) != trial.state.get(key) for key in KEYS)
            assert sum(one.changed.counts.values()) == differ
            _, clashes = merged(base, self.branches[trial.target], trial.state, "")
            assert one.conflicts is not None
            assert {item.path[0] for item in one.conflicts} == clashes
        for pair in answer.pairs:
            states = [self.trials[handle].state for handle in (pair.one, pair.other)]
            assert sum(pair.changed.counts.values()) == sum(states[0].get(key) != states[1].get(key) for key in KEYS)

    async def wait(self, repo: Repository) -> None:
        self.hours += self.rng.choice([2, 12, 24])

    async def check(self, repo: Repository) -> None:
        """Everything is as the model has it: branches, what was tried, what is listed, and the store itself."""
        desk = Desk(repo)
        for name, state in self.branches.items():
            assert await desk.value("/", name) == state
        for author in (ALICE, BOB):
            seen = repo.seen_by(author.principal)
            own = {key: one for key, one in self.trials.items() if one.owner is author}
            for trial in own.values():
                trial.status = "expired" if trial.status == "open" and self.too_old(trial) else trial.status
            for handle, trial in own.items():
                if trial.status == "open":
                    assert await Desk(seen).value("/", f"spec:{handle}") == trial.state
            listed = await seen.list_refs("", kind="speculation", limit=500, cursor="")
            assert {ref.name[5:] for ref in listed.refs} == {key for key, one in own.items() if one.status == "open"}
            items = seen._read(lambda view: list(speculation_items(view)))
            assert [item.handle for item in items] == list(own)[::-1]
            for item in items:
                assert (item.status, item.lesson) == (own[item.handle].status, own[item.handle].lesson)
        assert (await repo.verify(lambda what, done, total: None)).problems == ()


SEEN: set[str] = set()


@pytest.mark.parametrize("seed", range(4))
async def test_speculations_do_what_maps_do_and_undo_nobody_s_work(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    story = Story(seed)
    real = SqliteReader.now
    monkeypatch.setattr(SqliteReader, "now", lambda reader: real(reader) + story.hours * 3_600_000_000)
    async with open_desk(tmp_path) as desk:
        await desk.branch("side")
    for _ in range(4):
        async with open_desk(tmp_path) as desk:
            for _ in range(60):
                await story.step(desk.repo)
            await story.check(desk.repo)
    SEEN.update(story.seen)


def test_the_stories_came_across_everything() -> None:
    if SEEN:  # not when a single story is run again
        assert SEEN >= {"committed", "discarded", "expired", "conflict", "settled"}
