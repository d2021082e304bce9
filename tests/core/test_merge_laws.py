"""The laws of merging, over every rule at once, and a slow three-way merge of plain values to agree with."""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asg_mcp.core.edits import apply_operation
from asg_mcp.core.merge import Merged, merge
from asg_mcp.core.mergerules import NO_RULES, Rules
from asg_mcp.core.nodes import Link, Node
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.state import Gap, State
from asg_mcp.core.tree import Tree
from asg_mcp.core.values import checked, encode
from tests.core.test_diff import changed, random_document
from tests.core.trees import document_of, state_of
from tests.model.merge_oracle import GONE, Path, merge_values

RULED: dict[str, Any] = {
    "sum": {"x-asg-merge": "sum"},
    "max": {"x-asg-merge": "max"},
    "min": {"x-asg-merge": "min"},
    "text": {"x-asg-merge": "concat"},
    "log": {"x-asg-merge": "concat"},
    "set": {"x-asg-merge": "union"},
    "last": {"x-asg-merge": "last-writer-wins"},
    "hand": {"x-asg-merge": "manual"},
    "rows": {"x-asg-merge": "union-by-id", "x-asg-id": "key", "items": {"$ref": "#/$defs/fields"}},
    "list": {"items": {"$ref": "#/$defs/fields"}},
    "map": {"x-asg-merge": "union", "$ref": "#/$defs/fields"},
    "deep": {"$ref": "#/$defs/fields"},
}
ONCE = {name: schema for name, schema in RULED.items() if schema.get("x-asg-merge") not in ("sum", "concat")}
SHUFFLED = {"text", "log", "set", "rows"}
"""Fields whose order says which side was ours."""


def rules_of(properties: dict[str, Any]) -> Rules:
    return Rules.of({"$ref": "#/$defs/fields", "$defs": {"fields": {"type": "object", "properties": properties}}})


RULES, RULES_ONCE = rules_of(RULED), rules_of(ONCE)

# --- documents --------------------------------------------------------------------

NUMBERS = st.sampled_from([-3, 0, 1, 1.0, 2, 2.5, 2**63 - 1, 1e308])
TEXTS = st.sampled_from(["", "a", "ab", "abc", "b"])
SMALL = st.sampled_from([None, True, 1, 1.0, "a", [], [1], {}, {"n": 1}])
ODD = st.integers(0, 11)
FIELDS = ["sum", "max", "min", "text", "log", "set", "free", "last", "hand", "other"]
NESTED = ["rows", "list", "map", "deep"]
LISTS = st.lists(st.sampled_from([1, 1.0, True, "a", [2], {"sum": 1}]), max_size=4)


def usual(names: tuple[str, ...], depth: int) -> dict[str, st.SearchStrategy[Any]]:
    """What the fields of a map hold, mostly of the type that their rule is for."""
    short = st.one_of(SMALL, st.dictionaries(st.sampled_from("xy"), st.integers(0, 2)))
    held: dict[str, st.SearchStrategy[Any]] = {
        **dict.fromkeys(("sum", "max", "min"), NUMBERS),
        "text": TEXTS,
        **dict.fromkeys(("log", "set", "free"), LISTS),
        **dict.fromkeys(("last", "hand"), short),
        "other": SMALL,
    }
    if depth:
        inner = fields(names, depth - 1)
        keyed = st.tuples(inner, st.sampled_from([1, "1", 2, 3])).map(lambda pair: {**pair[0], "key": pair[1]})
        held["rows"] = st.lists(keyed, max_size=3, unique_by=lambda row: encode(row["key"]))
        held["list"] = st.lists(inner, max_size=3)
        held["map"] = held["deep"] = inner
    return {name: strategy for name, strategy in held.items() if name in names}


@st.composite
def fields(draw: st.DrawFn, names: tuple[str, ...], depth: int) -> dict[str, Any]:
    """A map of some of these fields."""
    held = usual(names, depth)
    return {name: draw(SMALL if draw(ODD) == 0 else held[name]) for name in held if draw(ODD) > 3}


@st.composite
def edited(draw: st.DrawFn, old: dict[str, Any], names: tuple[str, ...], depth: int) -> dict[str, Any]:
    """Another version of a map: fields are kept, changed below, replaced, gone or new."""
    new = draw(fields(names, depth))
    for name, value in old.items():
        choice = draw(ODD)
        if choice < 6 and isinstance(value, dict) and depth:
            new[name] = draw(edited(value, names, depth - 1))
        elif choice < 6 and isinstance(value, list) and depth:
            new[name] = draw(edited_list(value, names, depth))
        elif choice < 4 and isinstance(value, str):
            new[name] = value + draw(TEXTS)
        elif choice > 8 or name == "key":
            new[name] = value
    return new


@st.composite
def edited_list(draw: st.DrawFn, old: list[Any], names: tuple[str, ...], depth: int) -> list[Any]:
    """Another version of a list: elements are kept, changed below or gone, and some are appended."""
    new = []
    for element in old:
        choice = draw(ODD)
        if choice < 5 and isinstance(element, dict):
            new.append(draw(edited(element, names, depth - 1)))
        elif choice < 11:
            new.append(element)
    return [*new, *draw(LISTS)] if draw(ODD) < 3 else new


@st.composite
def triples(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """A base and two versions of it, with few names, so that both change the same."""
    names = (
        *draw(st.lists(st.sampled_from(FIELDS), min_size=1, max_size=2, unique=True)),
        draw(st.sampled_from(NESTED)),
    )
    base = draw(fields(names, 2))
    return base, draw(edited(base, names, 2)), draw(edited(base, names, 2))


def written(base: State, document: dict[str, Any], first: int) -> State:
    """The document, written over the base one field after the other: commits `first`, `first` + 2 and so on."""
    state, seq = base, first
    before = document_of(base)
    for name in sorted({*before, *document}, key=lambda name: encode([name, first])):
        if name not in document:
            state = apply_operation(state, Operation(Op.DELETE, (name,)), seq).state
        elif name not in before or encode(before[name]) != encode(document[name]):
            state = apply_operation(state, Operation(Op.SET, (name,), document[name]), seq).state
        seq += 2
    return state


def states(base: Any, ours: Any, theirs: Any) -> tuple[State, State, State]:
    start = state_of(base)
    return start, written(start, ours, 2), written(start, theirs, 3)


def applied(ours: State, merged: Merged) -> State:
    for operation in merged.operations:
        ours = apply_operation(ours, operation, 99).state
    return ours


def result(base: State, ours: State, theirs: State, rules: Rules) -> tuple[Any, set[tuple[Path, str]]]:
    merged = merge(base, ours, theirs, rules)
    return document_of(applied(ours, merged)), {(clash.tokens, clash.rule) for clash in merged.clashes}


def shuffled(value: Any, name: str = "") -> Any:
    """The value without the order that says which side was ours."""
    if isinstance(value, dict):
        return {key: shuffled(item, key) for key, item in value.items()}
    if isinstance(value, list):
        items = [shuffled(item) for item in value]
        return sorted(items, key=encode) if name in SHUFFLED else items
    return "".join(sorted(value)) if isinstance(value, str) and name in SHUFFLED else value


# --- laws -------------------------------------------------------------------------


@given(triples())
@settings(max_examples=100)
def test_a_side_that_changed_nothing_takes_the_other_under_every_rule(triple: Any) -> None:
    base, side, _ = states(*triple)
    for ours, theirs in ((base, side), (side, base)):
        merged = merge(base, ours, theirs, RULES)
        assert (applied(ours, merged).tree.id, merged.clashes) == (side.tree.id, ())


@given(triples())
@settings(max_examples=100)
def test_what_both_sides_changed_alike_is_settled_where_no_rule_counts_it_twice(triple: Any) -> None:
    base, side, _ = states(*triple)
    merged = merge(base, side, side, RULES_ONCE)
    assert (applied(side, merged).tree.id, merged.clashes) == (side.tree.id, ())


@given(triples())
@settings(max_examples=250)
def test_swapping_the_sides_changes_the_order_alone(triple: Any) -> None:
    base, ours, theirs = states(*triple)
    left, clashes = result(base, ours, theirs, RULES)
    right, swapped = result(base, theirs, ours, RULES)
    assert clashes == swapped
    if not clashes:
        assert encode(shuffled(left)) == encode(shuffled(right))


@given(triples())
@settings(max_examples=150)
def test_a_merge_gives_a_state_and_touches_no_key_that_neither_side_touched(triple: Any) -> None:
    base, ours, theirs = states(*triple)
    merged = merge(base, ours, theirs, RULES)
    assert merge(base, ours, theirs, RULES) == merged
    state = applied(ours, merged)
    document = document_of(state)
    assert state_of(checked(document)).tree.id == state.tree.id
    before, mine, other = triple
    assert mine.keys() & other.keys() <= document.keys() <= mine.keys() | other.keys()
    for name in before.keys() & mine.keys() & other.keys():
        if encode(before[name]) == encode(mine[name]) == encode(other[name]):
            assert encode(document[name]) == encode(before[name])


# --- the oracle -------------------------------------------------------------------


def agree(base: State, ours: State, theirs: State, rules: Rules, *, manual: bool = False) -> int:
    """Assert that the merge and the oracle agree; the number of conflicts."""

    def newest(side: str, path: Path) -> int:
        state = ours if side == "ours" else theirs
        place = state.locate(path)
        return place.deepest.entry.origin if isinstance(place, Gap) else state.tree.newest(place.rank, place.end)

    documents = document_of(base), document_of(ours), document_of(theirs)
    expected, expected_clashes = merge_values(*documents, rules, newest=newest, manual=manual)
    merged = merge(base, ours, theirs, rules, manual=manual)
    assert {(clash.tokens, clash.rule) for clash in merged.clashes} == expected_clashes, documents
    assert encode(document_of(applied(ours, merged))) == encode(expected), documents
    return len(expected_clashes)


@given(triples())
@settings(max_examples=400)
def test_every_rule_agrees_with_the_slow_merge(triple: Any) -> None:
    agree(*states(*triple), RULES)


@given(triples())
@settings(max_examples=100)
def test_the_manual_strategy_agrees_with_the_slow_merge(triple: Any) -> None:
    agree(*states(*triple), RULES, manual=True)


@pytest.mark.parametrize("seed", range(8))
def test_random_documents_merge_as_the_slow_merge_does(seed: int) -> None:
    rng = random.Random(seed)
    conflicts = 0
    for _ in range(25):
        base = random_document(rng)
        ours, theirs = state_of(changed(rng, base), 2), state_of(changed(rng, base), 3)
        conflicts += agree(state_of(base), ours, theirs, NO_RULES)
    assert conflicts > 3


def edits(rng: random.Random, origin: int, base: State, length: int) -> Iterator[State]:
    """The base with a few fields of its rows changed in their places, commit by commit."""
    state = base
    for _ in range(rng.randint(1, 5)):
        name = rng.choice(["sum", "max", "last", "hand", "free", "deep"])
        value: Any = rng.randint(0, 2)
        if name == "last":
            value = rng.choice([1, {"x": 2}, GONE])
        elif name == "deep":
            value = {"sum": value, "free": 1}
        path = (rng.choice(["list", "rows"]), str(rng.randrange(length)), name)
        if value is not GONE:
            state = apply_operation(state, Operation(Op.SET, path, value), origin).state
        elif not isinstance(state.locate(path), Gap):
            state = apply_operation(state, Operation(Op.DELETE, path), origin).state
        origin += 2
        yield state


@pytest.mark.parametrize("seed", range(6))
def test_lists_whose_elements_stay_in_their_places_follow_the_rules_too(seed: int) -> None:
    rng = random.Random(seed)
    conflicts = 0
    for _ in range(25):
        length = rng.choice([1, 2, 30])
        rows = [{"key": number, "sum": 1, "max": 1, "last": 0, "hand": 5} for number in range(length)]
        base = state_of({"list": rows, "rows": copy.deepcopy(rows)})
        *_, ours = edits(rng, 2, base, length)
        *_, theirs = edits(rng, 3, base, length)
        conflicts += agree(base, ours, theirs, RULES)
    assert conflicts > 0


# --- cost -------------------------------------------------------------------------


@pytest.mark.parametrize("rule", [None, "last-writer-wins", "manual"])
def test_a_merge_reads_what_differs_and_not_the_rest(rule: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = {"properties": {"n": {"x-asg-merge": "sum"}}}
    rules = Rules.of({"properties": {"m": {**({"x-asg-merge": rule} if rule else {}), "additionalProperties": inner}}})
    opened: list[int] = []
    true_open = Tree.open

    def counting_open(tree: Tree, link: Link) -> Node:
        opened[-1] += 1
        return true_open(tree, link)

    for keys in (300, 15_000):
        base = state_of({"m": {f"k{number:05}": {"n": 1} for number in range(keys)}})
        ours, theirs = base, base
        for number in range(10):
            path = ("m", f"k{number * keys // 10:05}", "n")
            ours = apply_operation(ours, Operation(Op.SET, path, 2), 2).state
            theirs = apply_operation(theirs, Operation(Op.SET, path, 3), 3).state
        with monkeypatch.context() as patched:
            patched.setattr(Tree, "open", counting_open)
            opened.append(0)
            merge(base, ours, theirs, rules)
    assert opened[1] < 8 * opened[0]  # for fifty times the keys: the way to each difference has more levels
