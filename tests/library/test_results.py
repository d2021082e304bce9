"""Results: typed objects that read as dictionaries, whole lists, values with their types."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from asg_mcp import StateGraph
from asg_mcp.core.limits import PAGE_ITEMS_MAX
from asg_mcp.errors import InvalidValue, PathNotFound
from asg_mcp.library.reading import Result, Row
from asg_mcp.library.results import Blame, Change, Entry, Intent


@pytest.fixture
def graph() -> Iterator[StateGraph]:
    with StateGraph(agent="tester") as opened:
        yield opened


class Engine(BaseModel):
    """With what JSON has not: a time, a tuple, an alias, strictness."""

    model_config = ConfigDict(strict=True)
    kind: str = Field(alias="type")
    built: datetime
    sizes: tuple[int, ...]
    parts: dict[str, Engine] = {}


@dataclasses.dataclass
class Point:
    """No model, and read back all the same."""

    x: int
    y: int


# --- reading as a dictionary -----------------------------------------------------------


def test_a_result_reads_as_an_object_and_as_a_dictionary(graph: StateGraph) -> None:
    graph.set("/a", 1, "A change.", reasoning="Because.", confidence=0.7, tags=["x"], intent_id="i-1")
    entry = graph.blame("/a")
    assert entry.agent == entry["agent"] == "tester"
    assert entry.intent == {
        "category": "Checkpoint",
        "description": "A change.",
        "tags": ["x"],
        "id": "i-1",
        "parent": "",
    }
    assert isinstance(entry.intent, Intent)
    assert (entry["reasoning"], entry.confidence, entry.value) == ("Because.", 0.7, 1)
    assert entry.timestamp.endswith("Z")
    assert "agent" in entry
    assert {**entry} == entry == json.loads(json.dumps(entry))
    assert entry.get("nothing", 5) == 5
    assert repr(entry).startswith("Blame({")
    with pytest.raises(AttributeError, match="has no agnet"):
        _ = entry.agnet
    with pytest.raises(KeyError):
        _ = entry["agnet"]


def test_what_was_not_given_has_its_default_and_what_is_not_there_is_missing(graph: StateGraph) -> None:
    graph.set("/a", None, "A null.")
    entry = graph.log()[0]
    assert (entry.reasoning, entry["confidence"], entry.tags, entry["session"]) == ("", None, [], "")
    (change,) = graph.diff("main~1", "main")
    assert change == {"op": "add", "path": "/a", "new": None, "left_out": {}}
    assert (change.old, change.new, "old" in change, "new" in change) == (None, None, False, True)


def test_defaults_are_not_shared_between_results() -> None:
    one, other = (Change.of({"op": "add", "path": "/"}) for _ in range(2))
    one.left_out["new"] = 5
    assert other.left_out == {}


def test_parts_of_results_are_results_of_their_types() -> None:
    fields: dict[str, Any] = {"id": "1", "commit": "1", "intent": {"category": "Fix", "description": "Why."}}
    made = Blame.of({**fields, "path": "/", "entries": [fields]})
    assert (type(made.intent), type(made.entries[0]), type(made.entries[0].intent)) == (Intent, Blame, Intent)
    assert isinstance(made, Entry | Row | Result)


# --- lists ------------------------------------------------------------------------------


def test_a_list_is_as_long_as_it_was_asked_for_whatever_a_reply_holds(graph: StateGraph) -> None:
    count, text = 120, "Because. " * 120
    for number in range(count):
        graph.set(f"/k{number:03}", text, "A change.", reasoning=text)
    entries = graph.log(limit=100)
    assert [len(entries), entries.next_cursor != "", entries.omitted] == [100, True, count + 1 - 100]
    rest = graph.log(limit=1_000, cursor=entries.next_cursor)
    assert [len(rest), rest.next_cursor] == [count + 1 - 100, ""]
    assert len({entry.id for entry in [*entries, *rest]}) == count + 1
    assert len(graph.diff(entries[-1].id, "main")) == 99
    assert len(graph.query(reasoning_contains="because", limit=PAGE_ITEMS_MAX + 1)) == count
    assert len(graph.search("Because", limit=count)) == count


def test_a_value_is_read_whole_whatever_its_size(graph: StateGraph) -> None:
    large = {f"k{number}": "x" * 100 for number in range(3_000)}
    graph.set("/large", large, "A large one.")
    assert graph.get("/large") == large
    assert graph.read("/large", depth=0).value == {}
    assert graph.read("/large").type == "map"


def test_what_was_read_guards_what_is_written(graph: StateGraph) -> None:
    graph.set("/a", 1, "A change.")
    found = graph.read("/a")
    assert graph.set("/a", 2, "Mine.", expected_object=found.object, expected_head=found.commit).changed == 1
    assert graph.read("/a").last_change.description == "Mine."


def test_each_field_and_each_change_is_told_on_demand(graph: StateGraph) -> None:
    graph.set("/a", {"x": 1, "y": 1}, "First.")
    graph.set("/a/x", 2, "Second.")
    assert graph.blame("/a").description == "Second."
    assert [(one.path, one.description) for one in graph.blame("/a", depth=1).entries] == [
        ("/a/x", "Second."),
        ("/a/y", "First."),
    ]
    assert [one.value for one in graph.blame("/a/x", history=True).entries] == [2, 1]


def test_a_query_gives_rows_of_whatever_was_asked_for(graph: StateGraph) -> None:
    graph.set("/a", 1, "A change.", category="Fix", agent="fixer")
    assert [row.agent for row in graph.query(target="agents", agent_id="fixer")] == ["fixer"]
    (group,) = graph.query(agent_id="fixer", group_by=["category"])
    assert (group.key, group.count) == ({"category": "Fix"}, 1)
    assert [row.id for row in graph.query("fixer")] == [graph.log()[0].id]


# --- values with types --------------------------------------------------------------------


def test_a_model_comes_back_with_its_type(graph: StateGraph) -> None:
    inner = Engine(type="pump", built=datetime(2026, 1, 2, tzinfo=UTC), sizes=(1,))
    engine = Engine(type="main", built=datetime(2026, 1, 1, tzinfo=UTC), sizes=(1, 2), parts={"pump": inner})
    graph.set("/engine", engine, "A model.")
    graph.set_json("/fleet", {"engines": [engine, inner]}, "Models inside.")
    assert graph.get("/engine", as_=Engine) == engine
    assert graph.get("/engine/parts/pump", as_=Engine) == inner
    assert graph.get("/engine/sizes") == [1, 2]
    assert graph.get("/fleet/engines", as_=list[Engine]) == [engine, inner]
    assert graph.get("/engine")["type"] == "main"


def test_any_type_that_pydantic_knows_can_be_read(graph: StateGraph) -> None:
    graph.set("/point", {"x": 1, "y": 2}, "A point.")
    assert graph.get("/point", as_=Point) == Point(1, 2)
    assert graph.get("/point", as_=dict[str, int]) == {"x": 1, "y": 2}


def test_a_value_that_is_none_of_the_type_is_refused_with_its_place(graph: StateGraph) -> None:
    graph.set("/engine", {"type": "main", "built": "soon", "sizes": []}, "No engine.")
    with pytest.raises(InvalidValue, match="holds no Engine: /built"):
        graph.get("/engine", as_=Engine)
    with pytest.raises(PathNotFound):
        graph.get("/nothing", as_=Engine)


def test_what_json_cannot_hold_is_refused_and_nothing_is_written(graph: StateGraph) -> None:
    class Opaque(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=True)
        thing: object

    for value in (float("nan"), {1, 2}, b"bytes", Opaque(thing=object()), Path("x")):
        with pytest.raises(InvalidValue):
            graph.set("/a", value, "Cannot be.")
    assert len(graph.log()) == 1
