"""Random histories, collected: what a name, an epoch or an open speculation holds is as it was, to the last byte."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.core.events import EventKind
from asg_mcp.core.limits import SPECULATION_SECONDS
from asg_mcp.core.noderows import references
from asg_mcp.core.nodes import Branch, Leaf
from asg_mcp.core.values import encode
from asg_mcp.errors import AsgError, Pruned
from asg_mcp.repo import collecting
from asg_mcp.repo.ledger import EVENT_KINDS
from asg_mcp.repo.records import is_pruned, operations_of
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.view import View
from asg_mcp.services.bundles import bundle
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.storage.base import Reader, RefKind
from tests.repo.desk import open_desk
from tests.repo.stores import ALICE
from tests.repo.test_collecting import Yard
from tests.repo.test_speculation import Clock

STEPS = 45
SEEDS = 10


class History:
    """A repository to which random things happen."""

    def __init__(self, yard: Yard, clock: Clock, seed: int) -> None:
        self.yard, self.clock, self.rng = yard, clock, random.Random(seed)
        self.open: list[str] = []
        self.branches = ["main"]
        self.made = 0
        self.epochs: dict[str, bool] = {}

    async def go_on(self, steps: int) -> None:
        """So many things happen; what is refused happens not."""
        for _ in range(steps):
            name, weight = zip(*STEPS_AT_RANDOM.items(), strict=True)
            [chosen] = self.rng.choices(name, weight)
            try:
                await getattr(self, chosen)()
            except AsgError as error:
                assert error.code != "store_corrupt", error
                assert error.code != "pruned" or chosen in ("make_branch", "restore"), error  # they ask for any commit
            self.clock.pass_by(self.rng.choice((1, 60, 3_600)))

    def _change(self) -> tuple[Any, ...]:
        key = f"/{self.rng.choice('abcdef')}"
        value = self.rng.choice(
            (
                self.rng.randrange(9),
                f"{self.rng.random()}" * 200,  # large, in a row of its own
                {f"k{self.rng.randrange(40)}": self.rng.randrange(9) for _ in range(self.rng.randrange(60))},
                [self.rng.randrange(5) for _ in range(self.rng.randrange(30))],
            )
        )
        return ("delete", key) if self.rng.random() < 0.15 else ("set", key, value)

    def _any_ref(self) -> str:
        return self.rng.choice([*self.branches, *(f"spec:{handle}" for handle in self.open)])

    async def write(self) -> None:
        await self.yard.apply(self._change(), ref=self.rng.choice(self.branches))

    async def make_branch(self) -> None:
        self.made += 1
        source = self._any_ref() if self.rng.random() < 0.7 else await self._any_commit()
        await self.yard.branch(f"b{self.made}", source)
        self.branches.append(f"b{self.made}")

    async def make_tag(self) -> None:
        self.made += 1
        await self.yard.branch(f"t{self.made}", self._any_ref(), "tag")

    async def drop_branch(self) -> None:
        if len(self.branches) > 1:
            name = self.branches.pop(self.rng.randrange(1, len(self.branches)))
            await self.yard.repo.delete_branch(name, ALICE)

    async def merge(self) -> None:
        await self.yard.merge(self.rng.choice(self.branches), self.rng.choice(self.branches), strategy="theirs")

    async def restore(self) -> None:
        source = await self._any_commit()
        await self.yard.revert(ref="main", path=f"/{self.rng.choice('abcdef')}", source=source)

    async def _any_commit(self) -> str:
        def found(view: View) -> str:
            return view.reader.commit(self.rng.randint(1, view.reader.last_seq())).id.hex()

        return await self.yard.repo.read(found)

    async def speculate(self) -> None:
        self.open.append((await self.yard.open(self._any_ref())).handle)

    async def attempt(self) -> None:
        if self.open:
            await self.yard.attempt(self.rng.choice(self.open), self._change())

    async def discard(self) -> None:
        if self.open:
            await self.yard.drop(self.open.pop(self.rng.randrange(len(self.open))))

    async def promote(self) -> None:
        if self.open:
            handle = self.rng.choice(self.open)
            if not (await self.yard.promote(handle, "main")).conflicts:
                self.open.remove(handle)

    async def grow_old(self) -> None:
        self.clock.pass_by(SPECULATION_SECONDS)

    async def open_epoch(self) -> None:
        self.made += 1
        roots = () if self.rng.random() < 0.7 else ("never",)
        await create_epoch(self.yard.repo, EpochRequest(f"e{self.made}", "Some work.", roots), ALICE)
        self.epochs[f"e{self.made}"] = False

    async def seal(self) -> None:
        for epoch in [epoch for epoch, sealed in self.epochs.items() if not sealed][:1]:
            await seal_epoch(self.yard.repo, epoch, "Done.", ALICE)
            self.epochs[epoch] = True


STEPS_AT_RANDOM = {
    "write": 12,
    "make_branch": 4,
    "make_tag": 1,
    "drop_branch": 3,
    "merge": 2,
    "restore": 2,
    "speculate": 6,
    "attempt": 12,
    "discard": 4,
    "promote": 2,
    "grow_old": 0.5,
    "open_epoch": 0.7,
    "seal": 0.7,
}


# --- what has to be kept, told in another way than the code does -----------------


def above(parents: dict[int, tuple[int, ...]], roots: Iterable[int]) -> set[int]:
    """The roots and all of their ancestors."""
    found, todo = set(), list(roots)
    while todo:
        seq = todo.pop()
        if seq not in found:
            found.add(seq)
            todo += parents[seq]
    return found


def must_stay(reader: Reader, *, prune: bool) -> set[int]:
    """The numbers of the commits that a collection without a grace period must keep, if no speculation is too old."""
    commits = [reader.commit(seq) for seq in range(1, reader.last_seq() + 1)]
    parents = {row.seq: row.parents for row in commits}
    stubs = {row.seq for row in commits if is_pruned(row)}
    rows = [row for index in range(reader.events_count()) if (row := reader.event(index)) is not None]
    tried = {
        row.new for row in rows if row.ref_kind is RefKind.SPECULATION and EVENT_KINDS[row.kind] is EventKind.COMMIT
    }
    roots = {ref.seq for ref in reader.refs("", "", 1_000)}
    if not prune:
        return above(parents, roots | (set(parents) - tried)) - stubs
    begun: dict[str, tuple[int, bool]] = {}
    last = 0
    for row in rows:
        kind, subject = EVENT_KINDS[row.kind], row.data[5] if row.data is not None and len(row.data) > 5 else ""
        if kind is EventKind.EPOCH_OPENED:
            begun[subject] = (last, bool(row.data and row.data[7]["root_intents"]))
        if kind is EventKind.EPOCH_SEALED:
            first, rooted = begun.pop(subject)
            roots |= set() if rooted else set(range(first + 1, last + 1)) - tried
        last = max(last, row.new or 0) if kind is EventKind.COMMIT else last
    for first, _ in begun.values():
        roots |= {seq for seq in parents if seq > first} - tried
    return above(parents, roots) - stubs


def needed(view: View, kept: set[int]) -> set[int]:
    """The rows of nodes and of large values that the commits need, found by reading each of them as any reader does."""
    reader, found = view.reader, set[int]()
    stored = dict(reader.node_rows(0, 1_000_000))
    for seq in kept:
        row = reader.commit(seq)
        for operation in operations_of(row):
            found |= {entry.value.row for entry in operation.entries or () if hasattr(entry.value, "row")}
        todo = [row.root_row]
        while todo:
            number = todo.pop()
            if number in found:
                continue
            found.add(number)
            node = reader.load(number)
            if type(node) is Branch:
                todo += [link.row for link in node.items]
            assert isinstance(node, Branch | Leaf)
            if type(node) is Leaf:
                found |= {entry.value.row for entry in node.items if hasattr(entry.value, "row")}
            nodes, _ = references(stored[number])
            todo += nodes[:1] if stored[number][0] > 1 else []  # the base of a delta
    return found


def told(view: View, seqs: Iterable[int]) -> dict[int, bytes]:
    """All that there is to say of some commits: values, ids, who changed what."""
    out = {}
    for seq in seqs:
        row = view.reader.commit(seq)
        state = state_at(view.reader, view.hasher, row)
        origins = [entry.origin for entry in state.tree.entries(0, len(state.tree))]
        said = [row.id, state.tree.id, state.value(state.root()), origins, row.parts[:12]]
        out[seq] = encode([*said, [operation.hashed(view.hasher) for operation in operations_of(row)]])
    return out


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_what_is_kept_is_as_it_was_and_what_is_not_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(collecting, "BATCH_COMMITS_MAX", 3)
    monkeypatch.setattr(collecting, "PAGE_COMMITS", 7)
    monkeypatch.setattr(collecting, "PAGE_EVENTS", 11)
    monkeypatch.setattr("asg_mcp.repo.collectingrows.PAGE_ROWS", 13)
    async with open_desk(tmp_path) as desk:
        yard = Yard(desk.repo)
        history = History(yard, clock, seed)
        for number in range(3):
            await history.go_on(STEPS)
            prune = bool((seed + number) % 2)
            await yard.gc(10**9, shrink=False)  # records the ends of what is too old, and takes nothing else
            kept = await yard.repo.read(lambda view, prune=prune: must_stay(view.reader, prune=prune))  # type: ignore[misc]
            gone_before = set(await yard.pruned())
            before = await yard.repo.read(lambda view, kept=kept: told(view, kept))  # type: ignore[misc]
            rows = await yard.repo.read(lambda view, kept=kept: needed(view, kept))  # type: ignore[misc]
            rehearsed = await yard.gc(0, yes=False, prune=prune)
            done = await yard.gc(0, prune=prune, shrink=bool(number))
            assert (done.commits, done.nodes, done.values) == (rehearsed.commits, rehearsed.nodes, rehearsed.values)
            assert await yard.repo.read(lambda view, kept=kept: told(view, kept)) == before  # type: ignore[misc]
            assert await _rows(yard) == rows
            await _stubs_say_so(yard, kept)
            assert len(set(await yard.pruned()) - gone_before) == done.commits
            assert (await yard.gc(0, prune=prune)).nothing
            assert await yard.is_whole()
        for epoch, sealed in history.epochs.items():
            if sealed:
                assert (await bundle(yard.repo, epoch)).epoch == epoch


async def _rows(yard: Yard) -> set[int]:
    def found(view: View) -> set[int]:
        nodes, values = view.reader.node_rows(0, 1_000_000), view.reader.blob_rows(0, 1_000_000)
        return {row for row, _ in nodes} | set(values)

    return await yard.repo.read(found)


async def _stubs_say_so(yard: Yard, kept: set[int]) -> None:
    for digits in await yard.pruned():
        with pytest.raises(Pruned):
            await yard.get("/", digits)
        [info] = (await yard.repo.log(digits, (), limit=1, cursor="")).commits
        assert info.pruned
        assert info.seq not in kept
