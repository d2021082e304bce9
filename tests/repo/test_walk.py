"""A walk meets every entry, in order, with the path that it is read by."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.flat import flatten
from asg_mcp.core.limits import LEAF_ENTRIES_MAX
from asg_mcp.core.paths import Tokens, map_segment
from asg_mcp.core.state import State
from asg_mcp.repo.walk import spots_to, walk
from tests.core.trees import HASHER, state_of, tree_of

KEYS = st.sampled_from(["a", "b", "0", "\x00", "é", "a\x02b"])
VALUES = st.recursive(
    st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=200,
)
DOCUMENTS = st.dictionaries(KEYS, VALUES, max_size=6)


def places(value: Any, tokens: Tokens = (), key: str | None = None) -> Iterator[tuple[Tokens, str | None]]:
    """Every path of a document in document order, with its map key."""
    yield tokens, key
    if isinstance(value, dict):
        for name in sorted(value, key=map_segment):
            yield from places(value[name], (*tokens, name), name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*tokens, str(index)))


@given(DOCUMENTS, st.data())
def test_a_walk_from_any_rank_meets_the_same_paths_as_the_whole(document: dict[str, Any], data: st.DataObject) -> None:
    state = state_of(document)
    expected = list(places(document))
    low = data.draw(st.integers(0, len(expected) - 1))
    high = data.draw(st.integers(low, len(expected)))
    steps = list(walk(state, low, high))
    assert [(step.tokens, step.key) for step in steps] == expected[low:high]
    assert [step.rank for step in steps] == list(range(low, high))


@given(DOCUMENTS)
def test_every_rank_has_the_place_that_its_path_leads_to(document: dict[str, Any]) -> None:
    state = state_of(document)
    for rank, (tokens, _) in enumerate(places(document)):
        spots = spots_to(state, rank)
        assert spots[-1] == state.locate(tokens)
        assert [spot.tokens for spot in spots] == [tokens[:length] for length in range(len(tokens) + 1)]


def test_a_walk_past_old_nodes_meets_each_newer_entry_with_its_path() -> None:
    pick = random.Random(7)
    document = {
        "list": [{"n": number, "deep": [number, [number]]} for number in range(300)],
        "map": {f"k{number:03}": [number] for number in range(300)},
    }
    entries = flatten(document, "", 1, HASHER)
    newer = sorted(pick.sample(range(len(entries)), 25))
    for rank in newer:
        entries[rank] = entries[rank].with_origin(pick.randint(5, 9))
    state = State(tree_of(entries))
    expected = [tokens for tokens, _ in places(document)]
    for newest_min in range(1, 11):
        met = list(walk(state, 0, len(entries), newest_min))
        assert [step.tokens for step in met] == [expected[step.rank] for step in met]
        steps = [step for step in met if step.entry.origin >= newest_min]
        ranks = [rank for rank, entry in enumerate(entries) if entry.origin >= newest_min]
        assert [step.rank for step in steps] == ranks
        assert [step.tokens for step in steps] == [expected[rank] for rank in ranks]


def test_a_walk_does_not_open_nodes_that_are_too_old() -> None:
    entries = flatten({f"k{number:04}": number for number in range(2_000)}, "", 1, HASHER)
    entries[1_000] = entries[1_000].with_origin(2)
    tree = tree_of(entries)
    opened = []

    class Counted(type(tree)):  # type: ignore[misc]
        def open(self, link: Any) -> Any:
            opened.append(link)
            return super().open(link)

    counted = Counted(tree.source, tree.hasher, tree.root)
    met = [step.rank for step in walk(State(counted), 0, len(entries), 2)]
    assert 1_000 in met
    assert len(met) <= LEAF_ENTRIES_MAX
    assert len(opened) < 30
