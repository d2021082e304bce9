"""A commit serves a root intent through any chain of parents, in whatever order they were written down."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import anyio
from hypothesis import given, settings
from hypothesis import strategies as st

from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.operations import Op
from asg_mcp.repo.lineage import Lineage, whole_id
from tests.repo.stores import Made, made_store, operation


@dataclass(frozen=True)
class Told:
    """A commit's intent_id, and its parent: "", a name, or a number, which stands for the commit made so many ago."""

    intent_id: str
    parent: str | int


async def make(made: Made, told: list[Told]) -> list[str]:
    """Make the commits; returns their whole ids."""
    ids: list[str] = []
    for number, one in enumerate(told):
        parent = one.parent if isinstance(one.parent, str) else ids[-one.parent][: 8 + number]
        intent = Intent(Category.REFINE, "A change.", intent_id=one.intent_id, parent_intent=parent)
        ids.append((await made.apply([operation(Op.SET, "/n", number)], intent=intent)).commit.hex())
    return ids


def members(made: Made, roots: list[str], after: int, *stops: int) -> list[int]:
    """The numbers of the members behind commit `after`, taken in up to each stop, then to the end."""
    with made.store.reading() as reader:
        lineage = Lineage(roots, after)
        for stop in (*stops, reader.last_seq()):
            lineage.advance(reader, stop)
        assert lineage.in_order() == [reader.commit(seq).id for seq in sorted(lineage.members)]
        return sorted(lineage.members)


FIRST = 2
"""The number of the first commit that `make` makes; the store has one already."""


async def test_a_chain_of_names_and_of_commit_ids_leads_to_its_root(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        told = [
            Told("goal", ""),
            Told("step", "goal"),
            Told("", "step"),
            Told("", 1),
            Told("aside", "other"),
            Told("", 1),
            Told("", ""),
        ]
        await make(made, told)
        assert members(made, ["goal"], 1) == [2, 3, 4, 5]
        assert members(made, ["step"], 1) == [3, 4, 5]
        assert members(made, ["other"], 1) == [6, 7]
        assert members(made, [], 1) == [2, 3, 4, 5, 6, 7, 8]
        assert members(made, ["nothing"], 1) == []


async def test_a_chain_may_run_through_commits_from_before_the_first(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        ids = await make(made, [Told("goal", ""), Told("step", "goal"), Told("", "step"), Told("", 1), Told("", "")])
        assert members(made, ["goal"], 4) == [5]
        assert members(made, [ids[0]], 3) == [4, 5]
        assert members(made, [ids[2]], 4) == [5]


async def test_a_child_may_be_written_before_what_its_parent_serves(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await make(
            made, [Told("", "late"), Told("twice", ""), Told("twice", "late"), Told("late", "goal"), Told("x", "")]
        )
        assert members(made, ["goal"], 1) == [2, 3, 4, 5]
        assert members(made, ["goal"], 1, 3, 4) == [2, 3, 4, 5]


async def test_intents_that_serve_each_other_in_a_circle_serve_nothing_else(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await make(made, [Told("a", "b"), Told("b", "a"), Told("c", "c")])
        assert members(made, ["goal"], 1) == members(made, ["goal"], 3) == []
        assert members(made, ["b"], 1) == [2, 3]


async def test_a_prefix_names_a_commit_when_it_is_the_only_one_before(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        [one] = await make(made, [Told("", "")])
        with made.store.reading() as reader:
            assert whole_id(reader, one[:8].upper(), 3) == one
            assert whole_id(reader, one[:8], 2) == ""
            assert whole_id(reader, "goal", 3) == ""
            assert whole_id(reader, one[:5], 3) == ""


NAMES = ["a", "b", "c", "d", "root"]
TOLD = st.lists(
    st.builds(Told, st.sampled_from(["", "", *NAMES[:4]]), st.one_of(st.sampled_from(["", *NAMES]), st.integers(1, 4))),
    max_size=10,
).filter(lambda told: all(isinstance(one.parent, str) or one.parent <= number for number, one in enumerate(told)))


def naive(told: list[Told], after: int) -> list[int]:
    """The least set: who is served, by repeating the definition until nothing changes."""
    served: set[str | int] = {"root"}
    while True:
        before = len(served)
        for number, one in enumerate(told):
            parent = one.parent if isinstance(one.parent, str) else number - one.parent
            names: list[str | int] = [number, one.intent_id] if one.intent_id else [number]
            if not served.isdisjoint([*names, parent]):
                served.update(names)
        if len(served) == before:
            return [number + FIRST for number in range(len(told)) if number in served and number + FIRST > after]


@settings(max_examples=40, deadline=None)
@given(TOLD, st.integers(1, 8), st.lists(st.integers(1, 12), max_size=2).map(sorted))
def test_members_are_the_least_set_that_the_definition_asks_for(told: list[Told], after: int, stops: list[int]) -> None:
    async def check() -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with made_store(Path(folder)) as made:
                await make(made, told)
                last = len(told) + 1
                assert members(made, ["root"], min(after, last), *(min(stop, last) for stop in stops)) == naive(
                    told, min(after, last)
                )

    anyio.run(check)
