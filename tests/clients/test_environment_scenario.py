"""A real document, three agents, a thousand commits: everything that the store promises, at once.

Three MCP clients, each with a server process of its own, change one file at the
same time. The order in which their commits took effect is read from the log, and
a plain model that repeats them in that order says what must be there.
"""

from __future__ import annotations

import asyncio
import copy
import json
import random
import sqlite3
import subprocess
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.clients.agents import Agent, Refused, agent, exact, run_program
from tests.clients.document_model import Document, Leaf, Step, pointer
from tests.clients.document_model import Path as Keys

SEED = 20_261_121
COMMITS, BEFORE_THE_BRANCH = 1_000, 300
AGENTS = ("alice", "bob", "charlie")
LOADER, AUDITOR = "loader", "auditor"
MAIN, TRIAL = "main", "trial"
BLAMED_PATHS, READ_COMMITS = 200, 5
PAGE = 500
PIP_SECONDS_MAX = 120
DOCUMENT_BYTES_MIN = 100_000

Ordered = list[tuple[str, str, list[Step]]]
"""(commit, agent, what it did), oldest first."""


def _environment() -> dict[str, Any]:
    """What `pip inspect` prints for the environment of this test."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "inspect"], capture_output=True, timeout=PIP_SECONDS_MAX, check=False
    )
    if told.returncode:
        pytest.skip(f"pip inspect does not run here: {told.stderr.decode(errors='replace')[-200:]}")
    if len(told.stdout) < DOCUMENT_BYTES_MIN:
        pytest.skip(f"pip inspect tells of {len(told.stdout)} bytes only: too little for the test to mean anything")
    return dict(json.loads(told.stdout))


@dataclass(slots=True)
class _Hand:
    """One agent at work: what it owns, and what was acknowledged to it."""

    client: Agent
    rng: random.Random
    shared: list[Keys]
    """Scalars that every agent may change."""
    lengths: dict[str, dict[Keys, int]]
    """By branch, the lists that only this agent changes, with their lengths: an index is never a guess."""
    number: int = 0
    done: dict[str, list[Step]] = field(default_factory=dict)
    refused: int = 0

    async def work(self, commits: int, branches: tuple[str, ...]) -> None:
        """Make so many commits."""
        goal = len(self.done) + commits
        while len(self.done) < goal:
            branch = self.rng.choice(branches)
            steps = self._steps(branch)
            try:
                await self._write(branch, steps)
            except Refused as refusal:
                # Somebody else had deleted it; lists, which only their owner changes, are never refused.
                assert refusal.code == "path_not_found"
                assert [step.op for step in steps] == ["delete"]
                self.refused += 1
                continue
            self._keep_lengths(branch, steps)

    async def _write(self, branch: str, steps: list[Step]) -> None:
        (step, *more) = steps
        if more or step.op not in ("set", "delete"):
            operations = [item.as_operation() for item in steps]
            reply = await self.client.write("asg_apply", ref=branch, operations=operations)
        elif step.op == "set":
            reply = await self.client.write("asg_set", ref=branch, path=pointer(step.path), value=step.value)
        else:
            reply = await self.client.write("asg_delete", ref=branch, path=pointer(step.path))
        assert reply["changed"] >= 1
        assert reply["commit"] not in self.done
        self.done[reply["commit"]] = steps

    def _steps(self, branch: str) -> list[Step]:
        kind = self.rng.randrange(100)
        if kind < 45:
            return [Step("set", self.rng.choice(self.shared), self._value())]
        if kind < 55:
            return [Step("delete", self.rng.choice(self.shared))]
        if kind < 65:
            home = self.rng.choice(self.shared)[:-1]
            return [Step("set", (*home, f"note of {self.client.name}/{self.number}"), self._value())]
        if kind < 75 and self.client.name != "charlie":
            return [Step("set", path, self._value()) for path in self.rng.sample(self.shared, 3)]
        return [self._list_step(branch)]

    def _list_step(self, branch: str) -> Step:
        path = self.rng.choice(sorted(self.lengths[branch]))
        length = self.lengths[branch][path]
        op = self.rng.choice(["append", "insert", "insert", "delete", "set"] if length > 1 else ["append"])
        if op == "append":
            return Step(op, path, self._value())
        index = self.rng.randrange(length)
        return Step(op, (*path, str(index)), None if op == "delete" else self._value())

    def _keep_lengths(self, branch: str, steps: list[Step]) -> None:
        for step in steps:
            home = step.path if step.op == "append" else step.path[:-1]
            if home in self.lengths[branch] and step.op != "set":
                self.lengths[branch][home] += -1 if step.op == "delete" else 1

    def _value(self) -> Any:
        """A value that nobody else gives to anything, so that no write is one that changes nothing."""
        self.number += 1
        unique = AGENTS.index(self.client.name) + 10 * self.number
        return self.rng.choice([f"{self.client.name} {self.number}", unique, unique + 0.5, -unique])


@dataclass(slots=True)
class _Run:
    """What the whole scenario has made, for the tests to look at."""

    store: Path
    loaded: dict[str, Any]
    hands: dict[str, _Hand]
    orders: dict[str, Ordered]

    def document(self, branch: str, commits: int | None = None) -> Document:
        """The model of a branch after so many of its commits; after all of them when not given."""
        made = Document()
        for _, name, steps in self.orders[branch][:commits]:
            for step in steps:
                made.apply(step, name)
        return made


def _shared_scalars(loaded: dict[str, Any]) -> list[Keys]:
    paths: list[Keys] = [("env", "environment", key) for key in loaded["environment"]]
    for index, package in enumerate(loaded["installed"]):
        metadata = package["metadata"]
        paths += [("env", "installed", str(index), "metadata", key) for key in metadata if key in _SHORT]
    return paths


_SHORT = ("name", "version", "summary", "author", "requires_python", "metadata_version", "license")


def _own_lists(loaded: dict[str, Any]) -> list[dict[Keys, int]]:
    """The longer lists of the document, dealt out to the agents."""
    found = {
        ("env", "installed", str(index), "metadata", key): len(value)
        for index, package in enumerate(loaded["installed"])
        for key, value in package["metadata"].items()
        if isinstance(value, list) and len(value) > 2 and len(set(value)) == len(value)
    }
    return [dict(list(found.items())[number :: len(AGENTS)]) for number in range(len(AGENTS))]


async def _order(reader: Agent, branch: str, known: dict[str, tuple[str, list[Step]]]) -> Ordered:
    """The commits of a branch from its log, oldest first, with what they did."""
    out: Ordered = []
    cursor = ""
    while True:
        page = await reader.call("asg_log", ref=branch, limit=PAGE, **({"cursor": cursor} if cursor else {}))
        for item in page["commits"]:
            name, steps = known.get(item["commit"], (item["agent"], []))
            assert item["agent"] == name
            out.append((item["commit"], name, steps))
        cursor = page["next_cursor"]
        if not cursor:
            return out[::-1]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scenario(tmp_path_factory: pytest.TempPathFactory) -> _Run:
    """The thousand commits, made once for the tests below."""
    loaded = _environment()
    store = tmp_path_factory.mktemp("scenario") / "state.db"
    async with AsyncExitStack() as stack:
        loader = await stack.enter_async_context(agent(store, LOADER))
        first = Step("set", ("env",), loaded)
        reply = await loader.write("asg_set", path="/env", value=loaded)
        clients = [await stack.enter_async_context(agent(store, name)) for name in AGENTS]
        lists = _own_lists(loaded)
        hands = {
            name: _Hand(client, random.Random(f"{SEED}{name}"), _shared_scalars(loaded), {MAIN: own})
            for name, client, own in zip(AGENTS, clients, lists, strict=True)
        }
        shares = [(COMMITS + number) // len(AGENTS) for number in range(len(AGENTS))]
        early = BEFORE_THE_BRANCH // len(AGENTS)
        await asyncio.gather(*(hand.work(early, (MAIN,)) for hand in hands.values()))
        await loader.call("asg_branch", name=TRIAL)
        for hand in hands.values():
            hand.lengths[TRIAL] = dict(hand.lengths[MAIN])
        late = [hand.work(share - early, (MAIN, TRIAL)) for hand, share in zip(hands.values(), shares, strict=True)]
        await asyncio.gather(*late)
        known = {reply["commit"]: (LOADER, [first])}
        for name, hand in hands.items():
            known |= {commit: (name, steps) for commit, steps in hand.done.items()}
        orders = {branch: await _order(loader, branch, known) for branch in (MAIN, TRIAL)}
    return _Run(store, loaded, hands, orders)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_thousand_commits_of_three_agents_are_in_the_log_and_no_others(scenario: _Run) -> None:
    acknowledged = {commit for hand in scenario.hands.values() for commit in hand.done}
    assert len(acknowledged) == COMMITS
    logged = {commit: steps for order in scenario.orders.values() for commit, _, steps in order}
    assert acknowledged <= logged.keys()
    of_the_setup = [commit for commit in logged if commit not in acknowledged]
    assert len(of_the_setup) == 2  # the store's own first commit, and the load
    for order in scenario.orders.values():
        assert {name for _, name, steps in order if steps} == {LOADER, *AGENTS}
    heads = [order[BEFORE_THE_BRANCH + 2 :] for order in scenario.orders.values()]
    assert all(len(head) > 200 for head in heads), "both branches were worked on"


async def test_every_value_reads_back_equal_at_random_commits(scenario: _Run) -> None:
    async with agent(scenario.store, AUDITOR) as auditor:
        rng = random.Random(SEED)
        for number in range(READ_COMMITS):
            branch = (MAIN, TRIAL)[number % 2]
            order = scenario.orders[branch]
            count = rng.randrange(2, len(order) + 1)
            found = await auditor.read("/env", ref=order[count - 1][0])
            assert exact(found) == exact(scenario.document(branch, count).value(("env",)))
        for branch in (MAIN, TRIAL):
            assert exact(await auditor.read("/env", ref=branch)) == exact(scenario.document(branch).value(("env",)))


async def _check_blame(auditor: Agent, document: Document, branch: str, count: int, rng: random.Random) -> None:
    """Half of the paths are such as the agents changed, elements of shifted lists among them."""
    leaves = dict(document.leaves())
    changed = [path for path, leaf in leaves.items() if leaf.agent != LOADER]
    moved = [path for path in leaves if path[-2:-1] and path[-2] in ("classifier", "requires_dist")]
    for path in [
        *rng.sample(changed, count // 2),
        *rng.sample(moved, count // 4),
        *rng.sample(sorted(leaves), count - count // 2 - count // 4),
    ]:
        entry = await auditor.blame(pointer(path), ref=branch)
        assert entry["agent"] == leaves[path].agent, pointer(path)
        if "value" in entry:
            assert exact(entry["value"]) == exact(leaves[path].value)
        else:
            assert "left_out" in entry, "only what is too large to show has no value"


async def test_blame_names_the_right_agent_for_random_paths(scenario: _Run) -> None:
    async with agent(scenario.store, AUDITOR) as auditor:
        rng = random.Random(SEED + 1)
        for branch in (MAIN, TRIAL):
            await _check_blame(auditor, scenario.document(branch), branch, BLAMED_PATHS // 2, rng)


async def test_blame_explains_what_was_deleted(scenario: _Run) -> None:
    async with agent(scenario.store, AUDITOR) as auditor:
        order = scenario.orders[MAIN]
        deleted: dict[Keys, str] = {}
        for _, name, steps in order:
            for step in steps:
                deleted.pop(step.path, None)
                if step.op == "delete" and not step.path[-1].isdigit():
                    deleted[step.path] = name
        assert len(deleted) > 10
        for path, name in list(deleted.items())[-10:]:
            entry = await auditor.blame(pointer(path))
            assert (entry["deleted"], entry["agent"]) == (True, name)


def _without(scenario: _Run, undone: str) -> Document:
    """Main as the revert of one agent must leave it: newest first, each of its writes that still stands goes back."""
    made = Document()
    written: list[tuple[Keys, Leaf | None, Leaf | None]] = []
    own_lists = scenario.hands[undone].lengths[MAIN]
    for _, name, steps in scenario.orders[MAIN]:
        for step in steps:
            of_a_list = step.path in own_lists or step.path[:-1] in own_lists
            before = None if of_a_list else made.leaf(step.path)
            made.apply(step, name)
            if name == undone and not of_a_list:
                written.append((step.path, before, made.leaf(step.path)))
    for path, before, after in reversed(written):
        if made.leaf(path) == after:  # else others wrote there since, and theirs stays
            made.put(path, before)
    loaded = Document()
    loaded.apply(Step("set", ("env",), scenario.loaded), LOADER)
    for path in own_lists:
        made.put(path, loaded.at(path))
    _blame_the_revert(scenario.document(MAIN), made)
    return made


def _blame_the_revert(before: Document, after: Document) -> None:
    """What the revert changed is its own; what it left keeps who gave it."""
    old = dict(before.leaves())
    for path, leaf in after.leaves():
        if path not in old or exact(old[path].value) != exact(leaf.value):
            leaf.agent = AUDITOR
        else:
            leaf.agent = old[path].agent


def _overlapped(scenario: _Run, undone: str) -> tuple[str, Keys]:
    """A commit of the agent on main whose one path another agent has written since, and that path."""
    order = scenario.orders[MAIN]
    for number, (commit, name, steps) in enumerate(order):
        since = {step.path for _, other, later in order[number + 1 :] if other != undone for step in later}
        if name == undone and steps[0].op == "set" and steps[0].path in since:
            return commit, steps[0].path
    raise AssertionError("with these seeds the agents overlap")


async def test_reverting_one_agent_leaves_the_work_of_the_others(scenario: _Run) -> None:
    async with agent(scenario.store, AUDITOR) as auditor:
        before = exact(await auditor.read("/env"))
        commit, path = _overlapped(scenario, "charlie")
        told = await auditor.write("asg_revert", commits=[commit])
        assert "commit" not in told, "what others changed since is not overwritten unasked"
        (conflict,) = told["conflicts"]
        assert pointer(path).startswith(conflict["path"])
        # One resolution may settle all below its path.
        settled = await auditor.write("asg_revert", agent="charlie", resolutions=[{"path": "/env", "take": "ours"}])
        of_charlie = {commit for commit, name, _ in scenario.orders[MAIN] if name == "charlie"}
        assert settled["commit"]
        assert len(settled["reverted"]) + settled.get("omitted", {}).get("reverted", 0) == len(of_charlie)
        expected = _without(scenario, "charlie")
        found = await auditor.read("/env")
        assert exact(found) == exact(expected.value(("env",)))
        assert exact(found) != before
        assert exact(await auditor.read("/env", ref=f"{MAIN}~1")) == before
        trial = scenario.document(TRIAL).value(("env",))
        assert exact(await auditor.read("/env", ref=TRIAL)) == exact(trial), "the other branch is as it was"
        rng = random.Random(SEED + 2)
        lists = scenario.hands["charlie"].lengths[MAIN]
        leaves = [(path, leaf) for path, leaf in expected.leaves() if path[:-1] not in lists]
        for path, leaf in [
            *rng.sample(leaves, 50),
            *rng.sample([item for item in leaves if item[1].agent != LOADER], 50),
        ]:
            assert (await auditor.blame(pointer(path)))["agent"] == leaf.agent, pointer(path)


async def test_blame_follows_elements_when_their_list_shifts(scenario: _Run) -> None:
    async with agent(scenario.store, AUDITOR) as auditor:
        branch = "shifted"
        await auditor.call("asg_branch", name=branch, **{"from": TRIAL})
        document = copy.deepcopy(scenario.document(TRIAL))
        steps = [
            Step("insert", ("env", "installed", "0"), {"metadata": {"name": "new"}}),
            Step("delete", ("env", "installed", "7")),
            Step("insert", ("env", "installed", "20"), "between"),
        ]
        await auditor.write("asg_apply", ref=branch, operations=[step.as_operation() for step in steps])
        for step in steps:
            document.apply(step, AUDITOR)
        assert exact(await auditor.read("/env", ref=branch)) == exact(document.value(("env",)))
        await _check_blame(auditor, document, branch, BLAMED_PATHS // 4, random.Random(SEED + 3))


async def test_verify_passes_and_names_the_stored_object_with_a_flipped_byte(scenario: _Run) -> None:
    code, told = await run_program("verify", "--json", "--db", str(scenario.store))
    report = json.loads(told)
    assert (code, report["ok"]) == (0, True)
    assert report["counts"]["commits"] >= COMMITS + 2
    rng = random.Random(SEED + 4)
    for table, key in (("nodes", "id"), ("commits", "seq"), ("blobs", "id")):
        damaged = scenario.store.with_name(f"flipped-{table}.db")
        name = _flip_one_byte(scenario.store, damaged, table, key, rng)
        code, told = await run_program("verify", "--json", "--db", str(damaged))
        (problem,) = json.loads(told)["problems"]
        assert (code, problem["what"]) == (1, name)


def _flip_one_byte(store: Path, damaged: Path, table: str, key: str, rng: random.Random) -> str:
    """Copy the store and change one bit of one row; the name of the object it holds."""
    with sqlite3.connect(store) as source, sqlite3.connect(damaged) as target:
        source.backup(target)
        rows = [row for (row,) in target.execute(f"SELECT {key} FROM {table} ORDER BY {key}")]
        row = rng.choice(rows)
        data = bytearray(target.execute(f"SELECT data FROM {table} WHERE {key} = ?", (row,)).fetchone()[0])
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        target.execute(f"UPDATE {table} SET data = ? WHERE {key} = ?", (bytes(data), row))
        digest = target.execute("SELECT id FROM commits WHERE seq = ?", (row,)).fetchone() if key == "seq" else None
    source.close()
    target.close()
    return f"commit {digest[0].hex()[:12]}" if digest else f"{table[:-1]} {row}"
