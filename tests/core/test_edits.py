"""Operations: what each does, what it refuses, and whose change each path then is."""

from __future__ import annotations

from typing import Any

import pytest

from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import encode
from asg_mcp.errors import AsgError, InvalidPath, PathNotFound, TestFailed, WrongType
from tests.core.trees import document_of, edit, origin_at, state_of

AWKWARD_NAMES = {
    "number": "42",
    "zero": "0",
    "leading zero": "007",
    "slash": "a/b",
    "tilde": "a~b",
    "both": "~1/~0",
    "space": " ",
    "emoji": "😀 👩‍🚀",
    "empty": "",
    "dash": "-",
    "dots": "..",
    "nul": "\x00",
    "marks": "\x01\x02\x03",
    "quote": '"\\',
    "longest": "x" * 1_024,
}
AWKWARD_VALUES: list[Any] = [
    *[None, True, False, 0, 0.0, 1, 1.0, -1, 2**63 - 1, -(2**63), 1e300, "", "\x00", "é😀", "x" * 5_000],
    *[{}, [], [[]], [{}], {"": {}}, [None, [1, [2.0]]], {"0": {"1": []}}],
]


def escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


@pytest.mark.parametrize("name", AWKWARD_NAMES.values(), ids=AWKWARD_NAMES.keys())
def test_awkward_names_are_set_read_and_deleted(name: str) -> None:
    base = state_of({"below": {"other": 1}})
    path = f"/below/{escaped(name)}"
    done = edit(base, "set", path, {"x": [1]})
    assert document_of(done.state) == {"below": {"other": 1, name: {"x": [1]}}}
    done = edit(done.state, "set", f"{path}/x/0", 2, origin=3)
    assert document_of(done.state) == {"below": {"other": 1, name: {"x": [2]}}}
    assert origin_at(done.state, f"{path}/x/0") == 3
    back = edit(done.state, "delete", path, origin=4)
    assert back.changed == 3
    assert back.state.tree.id == base.tree.id


@pytest.mark.parametrize("value", AWKWARD_VALUES, ids=lambda value: repr(value)[:12])
def test_awkward_values_are_set_read_changed_and_deleted(value: Any) -> None:
    base = state_of({"a": {}, "l": [0]})
    for path in ("/a/b", "/l/-"):
        done = edit(base, "set", path, value)
        where = "/".join(["", *done.path])
        assert encode(done.state.value(done.state.spot(done.path))) == encode(value)
        assert edit(done.state, "set", where, value, origin=3).changed == 0
        edit(done.state, "test", where, value)
        assert edit(done.state, "delete", where).state.tree.id == base.tree.id
        for other in AWKWARD_VALUES:
            again = edit(done.state, "set", where, other, origin=3)
            assert encode(again.state.value(again.state.spot(done.path))) == encode(other)
            assert (again.changed == 0) == (encode(other) == encode(value))


# --- set ------------------------------------------------------------------------


def test_missing_parents_are_made_as_maps_whatever_their_names() -> None:
    done = edit(state_of({}), "set", "/a/0/-/x", 1)
    assert document_of(done.state) == {"a": {"0": {"-": {"x": 1}}}}
    assert done.changed == 4


def test_a_set_changes_the_origin_of_what_it_changes_and_of_nothing_else() -> None:
    state = state_of({"a": {"x": 1, "y": 2}, "b": 3})
    state = edit(state, "set", "/a/x", 5).state
    assert [origin_at(state, path) for path in ("/", "/a", "/a/x", "/a/y", "/b")] == [1, 1, 2, 1, 1]
    state = edit(state, "set", "/a/z", 5, origin=3).state
    assert [origin_at(state, path) for path in ("/", "/a", "/a/x", "/a/y", "/a/z")] == [1, 3, 2, 1, 3]
    state = edit(state, "set", "/a", {"x": 5, "y": 9, "z": 5}, origin=4).state
    assert [origin_at(state, path) for path in ("/", "/a", "/a/x", "/a/y", "/a/z")] == [1, 3, 2, 4, 3]


def test_a_set_of_what_is_there_gives_back_the_same_state() -> None:
    state = state_of({"a": [1, {"b": None}]})
    values: dict[str, Any] = {"/": {"a": [1, {"b": None}]}, "/a": [1, {"b": None}], "/a/1/b": None}
    for path, value in values.items():
        done = edit(state, "set", path, value)
        assert (done.changed, done.state) == (0, state)


def test_the_root_is_replaced_by_a_map_and_by_nothing_else() -> None:
    state = state_of({"a": 1, "b": {"c": 2}})
    done = edit(state, "set", "/", {"b": {"c": 2}})
    assert document_of(done.state) == {"b": {"c": 2}}
    assert (origin_at(done.state, "/"), origin_at(done.state, "/b")) == (2, 1)
    assert document_of(edit(state, "set", "", {}).state) == {}
    for value in AWKWARD_VALUES:
        if isinstance(value, dict):
            continue
        with pytest.raises(WrongType, match="root is always a map") as caught:
            edit(state, "set", "/", value)
        assert caught.value.hint


def test_an_empty_key_cannot_come_directly_below_the_root_by_a_whole_value() -> None:
    with pytest.raises(InvalidPath, match="empty key"):
        edit(state_of({"a": 1}), "set", "/", {"": 1})
    with pytest.raises(InvalidPath, match="empty key"):
        edit(state_of({"a": {"": 1}}), "move", "/", source="/a")


# --- lists ----------------------------------------------------------------------


def test_an_element_that_only_moves_up_or_down_keeps_its_origin() -> None:
    state = state_of({"l": [10, 20, 30]})
    done = edit(state, "insert", "/l/1", 15)
    assert document_of(done.state) == {"l": [10, 15, 20, 30]}
    assert [origin_at(done.state, path) for path in ("/l", "/l/0", "/l/1", "/l/2", "/l/3")] == [2, 1, 2, 1, 1]
    done = edit(done.state, "delete", "/l/0", origin=3)
    assert document_of(done.state) == {"l": [15, 20, 30]}
    assert [origin_at(done.state, path) for path in ("/l", "/l/0", "/l/1", "/l/2")] == [3, 2, 1, 1]


def test_append_names_the_index_it_got_and_makes_a_missing_list() -> None:
    state = state_of({"l": [[1], {}]})
    assert edit(state, "append", "/l", 3).path == ("l", "2")
    done = edit(state, "append", "/l/0", 3)
    assert (done.path, document_of(done.state)) == (("l", "0", "1"), {"l": [[1, 3], {}]})
    done = edit(state, "append", "/new/list", 1)
    assert (done.path, done.changed) == (("new", "list", "0"), 3)
    assert document_of(done.state) == {"l": [[1], {}], "new": {"list": [1]}}
    done = edit(state, "append", "/l/-", 1)
    assert (done.path, document_of(done.state)) == (("l", "2", "0"), {"l": [[1], {}, [1]]})
    assert edit(state, "append", "/l", [1, 2]).changed == 3


def test_a_dash_appends_to_a_list_and_is_a_key_of_a_map() -> None:
    state = state_of({"l": [], "m": {}})
    for op in ("set", "insert"):
        done = edit(state, op, "/l/-", 1)
        assert (done.path, document_of(done.state)["l"]) == (("l", "0"), [1])
    assert document_of(edit(state, "set", "/m/-", 1).state)["m"] == {"-": 1}
    assert document_of(edit(edit(state, "set", "/m/-", 1).state, "delete", "/m/-").state) == {"l": [], "m": {}}


@pytest.mark.parametrize("size", [1, 9, 200])
def test_insert_takes_every_position_up_to_the_end(size: int) -> None:
    state = state_of({"l": [{"n": number} for number in range(size)], "m": 1})
    for index in {0, size // 2, size - 1, size}:
        done = edit(state, "insert", f"/l/{index}", ["new"])
        assert done.path == ("l", str(index))
        wanted = [{"n": number} for number in range(size)]
        wanted.insert(index, ["new"])  # type: ignore[arg-type]
        assert document_of(done.state) == {"l": wanted, "m": 1}
        assert edit(done.state, "delete", f"/l/{index}").state.tree.id == state.tree.id


# --- move -------------------------------------------------------------------------


def test_a_move_takes_everything_below_along_and_is_a_change_of_this_commit() -> None:
    state = state_of({"a": {"x": [1, {"y": None}]}, "b": {}, "t": "x" * 5_000})
    done = edit(state, "move", "/b/c/d", source="/a/x")
    assert document_of(done.state) == {"a": {}, "b": {"c": {"d": [1, {"y": None}]}}, "t": "x" * 5_000}
    assert {origin_at(done.state, path) for path in ("/a", "/b", "/b/c/d", "/b/c/d/1/y")} == {2}
    assert origin_at(done.state, "/") == 1
    assert document_of(edit(done.state, "move", "/b", source="/t").state) == {"a": {}, "b": "x" * 5_000}


def test_a_move_inside_a_list_keeps_the_origin_of_the_element() -> None:
    state = state_of({"l": [0, {"n": [1]}, 2, 3]})
    done = edit(state, "move", "/l/3", source="/l/1")
    assert (done.path, document_of(done.state)) == (("l", "3"), {"l": [0, 2, 3, {"n": [1]}]})
    assert [origin_at(done.state, path) for path in ("/l", "/l/0", "/l/1", "/l/3", "/l/3/n/0")] == [2, 1, 1, 1, 1]
    assert document_of(edit(state, "move", "/l/-", source="/l/0").state) == {"l": [{"n": [1]}, 2, 3, 0]}
    assert document_of(edit(state, "move", "/l/0", source="/l/3").state) == {"l": [3, 0, {"n": [1]}, 2]}


def test_a_move_between_lists_inserts() -> None:
    state = state_of({"l": [1, 2], "k": [[3], 4]})
    done = edit(state, "move", "/k/1", source="/l/0")
    assert (done.path, document_of(done.state)) == (("k", "1"), {"l": [2], "k": [[3], 1, 4]})
    assert document_of(edit(state, "move", "/k/0/-", source="/l").state) == {"k": [[3, [1, 2]], 4]}


def test_a_move_that_changes_nothing_gives_back_the_same_state() -> None:
    state = state_of({"a": {"b": 1}, "l": [7, 7, 8]})
    for source, path in (("/a", "/a"), ("/l/1", "/l/1"), ("/l/2", "/l/-"), ("/l/0", "/l/1"), ("/l/2", "/l/2")):
        done = edit(state, "move", path, source=source)
        assert (done.changed, done.state) == (0, state), (source, path)


def test_a_move_over_something_replaces_it() -> None:
    state = state_of({"a": {"x": 1, "y": 2}, "b": {"x": 1}})
    done = edit(state, "move", "/a", source="/b")
    assert document_of(done.state) == {"a": {"x": 1}}
    assert (origin_at(done.state, "/a"), origin_at(done.state, "/a/x")) == (2, 1)


# --- refusals -----------------------------------------------------------------------


BEFORE: dict[str, Any] = {"s": "text", "n": None, "m": {"name": {}}, "l": [1, [2]], "e": []}


@pytest.mark.parametrize(
    ("op", "path", "source", "error", "words"),
    [
        # Through a scalar, in any operation: told what is there, never overwritten.
        ("set", "/s/x", None, WrongType, ["/s", "string"]),
        ("set", "/n/x/y", None, WrongType, ["/n", "null", "map first"]),
        ("set", "/l/0/x", None, WrongType, ["/l/0", "int"]),
        ("delete", "/s/x", None, WrongType, ["/s", "string"]),
        ("append", "/s/x", None, WrongType, ["/s", "string"]),
        ("insert", "/s/0", None, WrongType, ["/s is a string, not a list"]),
        ("move", "/s/x", "/m", WrongType, ["/s", "string"]),
        ("append", "/m", None, WrongType, ["/m is a map, not a list", "set"]),
        ("append", "/n", None, WrongType, ["/n is a null, not a list"]),
        ("append", "/", None, WrongType, ["/ is a map, not a list"]),
        ("insert", "/m/0", None, WrongType, ["/m is a map, not a list"]),
        # Past the end of a list, and what is no index.
        ("set", "/l/2", None, PathNotFound, ["/l has 2 elements", "0 to 1"]),
        ("set", "/l/9/x", None, PathNotFound, ["/l has 2 elements"]),
        ("set", "/e/0", None, PathNotFound, ["/e has 0 elements", "append with -"]),
        ("set", "/l/-/x", None, PathNotFound, ["/l/-/x does not exist"]),
        ("delete", "/l/2", None, PathNotFound, ["/l has 2 elements", "0 to 1"]),
        ("delete", "/l/-", None, PathNotFound, ["/l/- does not exist"]),
        ("insert", "/l/3", None, PathNotFound, ["/l has 2 elements"]),
        ("append", "/l/7", None, PathNotFound, ["/l has 2 elements"]),
        ("set", "/l/x", None, InvalidPath, ["/l is a list", "'x' is not an index", "0 to 1"]),
        ("set", "/l/01", None, InvalidPath, ["'01' is not an index"]),
        ("set", "/l/-1", None, InvalidPath, ["'-1' is not an index"]),
        ("set", "/e/x", None, InvalidPath, ["'x' is not an index", "Use - to append"]),
        ("insert", "/l/x", None, InvalidPath, ["'x' is not an index"]),
        ("delete", "/l/1/x", None, InvalidPath, ["/l/1 is a list"]),
        # Not there, with what is.
        ("delete", "/m/nam", None, PathNotFound, ["/m/nam does not exist", "Did you mean /m/name?"]),
        ("delete", "/x", None, PathNotFound, ["/x does not exist", "/ has /"]),
        ("delete", "/m/name/x", None, PathNotFound, ["/m/name is an empty map"]),
        ("insert", "/x/0", None, PathNotFound, ["/x does not exist"]),
        ("move", "/y", "/x", PathNotFound, ["/x does not exist"]),
        ("move", "/x", "/x", PathNotFound, ["/x does not exist"]),
        ("move", "/l/5", "/l/0", PathNotFound, ["/l has 1 elements"]),
        # The root, and a move into itself.
        ("delete", "/", None, InvalidPath, ["root cannot be deleted", "Set / to {}"]),
        ("insert", "/", None, InvalidPath, ["Nothing can be inserted at the root", "/a/0"]),
        ("move", "/m/name/deep", "/m", InvalidPath, ["/m cannot be moved to /m/name/deep", "into itself"]),
        ("move", "/l/1/0", "/l/1", InvalidPath, ["cannot be moved", "into itself"]),
        ("move", "/x", "/", InvalidPath, ["/ cannot be moved to /x"]),
        ("move", "/", "/s", WrongType, ["root is always a map"]),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_to_do_instead(
    op: str, path: str, source: str | None, error: type[AsgError], words: list[str]
) -> None:
    state = state_of(BEFORE)
    value = ABSENT if op in ("delete", "move") else 1
    with pytest.raises(AsgError) as caught:
        edit(state, op, path, value, source=source)
    assert type(caught.value) is error
    assert caught.value.hint
    said = f"{caught.value.message} {caught.value.hint}"
    for word in words:
        assert word in said, said
    assert document_of(state) == BEFORE


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/a", 1.0),
        ("/a", True),
        ("/a", None),
        ("/x", None),
        ("/m", {"b": [1]}),
        ("/m", {}),
        ("/m/b/2", 2),
        ("/m/b", [2, 1]),
    ],
)
def test_a_test_of_another_value_fails(path: str, value: Any) -> None:
    state = state_of({"a": 1, "m": {"b": [1, 2]}})
    with pytest.raises(TestFailed, match="The test of") as caught:
        edit(state, "test", path, value)
    assert caught.value.details["path"] == path
    assert "nothing was written" in caught.value.hint


@pytest.mark.parametrize("path", ["/", "/a", "/m", "/m/b", "/m/b/1", "/t"])
def test_a_test_of_the_same_value_changes_nothing(path: str) -> None:
    state = state_of({"a": 1, "m": {"b": [1, 2]}, "t": "x" * 5_000})
    done = edit(state, "test", path, state.value(state.spot(parse_path(path))))
    assert (done.changed, done.state) == (0, state)
