"""Reading a state by path, and what is said of paths that are not there."""

from __future__ import annotations

import random
from itertools import islice
from typing import Any

import pytest

from asg_mcp.core.limits import NEAREST_MAX
from asg_mcp.core.nodes import LIST, MAP, SCALAR, Blob, Entry
from asg_mcp.core.paths import END, map_segment, parse_path
from asg_mcp.core.state import Gap, State, entry_type
from asg_mcp.core.values import encode
from asg_mcp.errors import AsgError, InvalidPath, PathNotFound, WrongType
from tests.core.trees import HASHER, SOURCE, document_of, state_of

DOCUMENT: dict[str, Any] = {
    "users": {"42": {"name": "Ada", "": "empty key", "k/~": 1, "😀": [1, [2, {"x": None}], []]}, "7": None},
    "-": "a key",
    "list": [{"a": [10, 20, 30]}, {}, [], [[["deep"]]], 2**63 - 1, 1.0, True],
    "long": [number % 7 for number in range(700)],
    "rows": [{"id": number, "tags": [f"t{number}", "x"]} for number in range(200)],
    "wide": {f"name {number}": number for number in range(500)},
    "\x00\x01\x02": {"\x02": "marks"},
}


def every_place(value: Any, tokens: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    out = [(tokens, value)]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for token, item in items:
        out += every_place(item, (*tokens, str(token)))
    return out


@pytest.fixture(scope="module")
def state() -> State:
    return state_of(DOCUMENT)


def test_every_path_leads_to_its_value(state: State) -> None:
    for tokens, value in every_place(DOCUMENT):
        spot = state.spot(tokens)
        assert spot.tokens == tokens
        if type(value) is list:
            assert state.length(spot) == len(value)
        assert encode(state.value(spot)) == encode(value)


def test_the_children_of_a_container_are_its_items_in_order(state: State) -> None:
    for tokens, value in every_place(DOCUMENT):
        spot = state.spot(tokens)
        names: list[str] = []
        if isinstance(value, dict):
            names = sorted(value, key=map_segment)
        elif isinstance(value, list):
            names = [str(index) for index in range(len(value))]
        children = list(state.children(spot)) if spot.entry.kind != SCALAR else []
        assert [child.tokens for child in children] == [(*tokens, name) for name in names]
        for child in islice(children, 20):
            assert child == state.spot(child.tokens)


@pytest.mark.parametrize("path", ["/rows", "/wide", "/long", "/list/0/a"])
def test_children_can_be_taken_up_again_at_any_of_them(state: State, path: str) -> None:
    spot = state.spot(parse_path(path))
    children = list(state.children(spot))
    for number in random.Random(1).sample(range(len(children)), 3):
        assert list(state.children(spot, children[number].rank)) == children[number:]
    assert list(state.children(spot, spot.end)) == []


def test_an_element_past_the_end_is_none(state: State) -> None:
    spot = state.spot(("list",))
    assert state.element(spot, 6) is not None
    assert state.element(spot, 7) is None
    assert state.child(spot, "-") is None
    assert state.child(spot, "01") is None
    assert state.child(state.spot(("-",)), "x") is None


def test_how_far_a_path_leads_is_told(state: State) -> None:
    for path, deepest in (("/nobody/x", "/"), ("/users/42/friends/0", "/users/42"), ("/list/9/a", "/list"),
                          ("/users/42/name/first", "/users/42/name"), ("/list/0/a/-", "/list/0/a")):  # fmt: skip
        place = state.locate(parse_path(path))
        assert isinstance(place, Gap)
        assert place.deepest == state.spot(parse_path(deepest))


def test_types_have_the_names_that_values_have(state: State) -> None:
    types = {"/": "map", "/list": "list", "/users/7": "null", "/list/4": "int", "/list/5": "float", "/list/6": "bool",
             "/-": "string"}  # fmt: skip
    assert {path: state.type_name(state.spot(parse_path(path))) for path in types} == types
    assert entry_type(Entry("a" + END, SCALAR, Blob(HASHER.value_ids.of("x"), 3), 1)) == "string"
    assert (entry_type(Entry("", MAP, None, 1)), entry_type(Entry("", LIST, None, 1))) == ("map", "list")


def test_the_empty_state_holds_the_empty_map() -> None:
    empty = State.empty(SOURCE, HASHER, 5)
    assert document_of(empty) == {}
    assert empty.root().entry.origin == 5
    assert list(empty.children(empty.root())) == []
    assert empty.tree.id == state_of({}).tree.id


# --- objects ------------------------------------------------------------------


def test_an_object_names_the_content_at_its_path() -> None:
    first = state_of({"a": {"x": [1, {"y": 2}]}, "b": 1})
    second = state_of({"0": "before", "a": {"x": [1, {"y": 2}]}, "b": 2, "c": {}}, origin=9)

    def objects(state: State, path: str) -> Any:
        return state.object(state.spot(parse_path(path)))

    for path in ("/a", "/a/x", "/a/x/0", "/a/x/1", "/a/x/1/y"):
        assert objects(first, path) == objects(second, path)
    assert objects(first, "/b") != objects(second, "/b")
    assert objects(first, "/b") == HASHER.value_ids.of(1)
    assert objects(first, "/") == first.tree.id
    assert objects(first, "/a") != objects(state_of({"a": {"x": [1, {"y": 3}]}}), "/a")


def test_the_object_of_an_element_does_not_depend_on_its_position() -> None:
    first = state_of({"l": [{"id": 1}, [5]]})
    second = state_of({"l": [0, 0, {"id": 1}, [5]]})
    for index in range(2):
        assert first.object(first.spot(("l", str(index)))) == second.object(second.spot(("l", str(index + 2))))


# --- paths that are not there ----------------------------------------------------


def refusal(state: State, path: str) -> AsgError:
    with pytest.raises(AsgError) as caught:
        state.spot(parse_path(path))
    error = caught.value
    assert error.hint
    assert error.details["path"] == path
    return error


def test_a_misspelt_name_is_answered_with_the_nearest_ones(state: State) -> None:
    error = refusal(state, "/wide/nmae 17")
    assert type(error) is PathNotFound
    assert "/wide/name 17" in error.details["nearest"]
    assert len(error.details["nearest"]) <= NEAREST_MAX
    assert error.details["nearest"][0] in error.hint
    assert refusal(state, "/user/42").details["nearest"][0] == "/users"
    assert refusal(state, "/users/42/k~1").details["nearest"][0] == "/users/42/k~1~0"


def test_a_name_like_no_other_is_answered_with_what_is_there(state: State) -> None:
    error = refusal(state, "/users/nobody")
    assert error.details["nearest"] == ["/users/42", "/users/7"]
    error = refusal(state, "/list/1/x")
    assert "empty map" in error.hint
    assert error.details["nearest"] == ["/list/1"]


def test_a_path_past_the_end_of_a_list_is_told_its_length(state: State) -> None:
    error = refusal(state, "/list/7")
    assert type(error) is PathNotFound
    assert (error.details["nearest"], error.details["length"]) == ("/list", 7)
    assert "0 to 6" in error.hint
    assert "empty" in refusal(state, "/list/2/0").hint
    assert type(refusal(state, "/list/-")) is PathNotFound


@pytest.mark.parametrize("token", ["x", "01", "+1", "-1", "1.0", "", "٣", "99999999999"])
def test_what_is_no_index_is_refused_in_a_list(state: State, token: str) -> None:
    error = refusal(state, f"/list/{token}")
    assert type(error) is InvalidPath
    assert error.details["at"] == "/list"
    assert "0 to 6" in error.hint
    assert type(refusal(state, f"/list/2/{token}")) is InvalidPath


def test_a_path_through_a_scalar_is_told_what_is_there(state: State) -> None:
    for path, at, kind in (("/users/42/name/first", "/users/42/name", "string"), ("/users/7/x/y", "/users/7", "null"),
                           ("/list/4/0", "/list/4", "int"), ("/-/x", "/-", "string")):  # fmt: skip
        error = refusal(state, path)
        assert type(error) is WrongType
        assert (error.details["at"], error.details["type"]) == (at, kind)
        assert at in error.message and at in error.hint
