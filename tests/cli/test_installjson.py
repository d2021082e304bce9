"""Edits of JSON files with comments: what is put can be taken away again, and nothing else moves."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.cli.installjson import Document, NotEditable

ENTRY = {"command": "/opt/asg-mcp", "args": ["serve", "--db", "/data/ä.db"]}
PATH = ("servers", "asg")

KEPT = [
    '{"servers": {"a": 1}}',
    '{"servers": {}}',
    '{"servers":{"a":{"command":"x"}},"z":[1,2]}',
    '{\n  "servers": {\n    "a": {"command": "x"}\n  },\n  "z": 1\n}\n',
    '{\r\n\t"servers": {\r\n\t\t"a": 1\r\n\t}\r\n}\r\n',
    '{\n  // which\n  "servers": {\n    "a": 1, // the first\n    "b": 2 /* the last */ // really\n    // done\n  }\n}',
    '{\n  "servers": {\n    "a": 1, // trailing comma\n  },\n}\n',
    '{"servers": {"a": 1,},}',
    '{ "servers": { "a": "// no comment, }", "b": "/* none */ \\" ," } }',
    '{\n  "servers": {\n    "a": {}}}',
    '{"servers": {"a": 1 /* one */ }}',
    '{"servers": {"a":\n1 /* one */ } /* two */ \n}',
    '{"servers": {"a":\n 1}}',
    '/* top */ {"servers": {"a": 1}} // end',
]


@pytest.mark.parametrize("text", KEPT)
def test_taking_away_what_was_put_gives_the_same_bytes(text: str) -> None:
    put = Document(text).put(PATH, ENTRY)
    assert put.get(PATH) == ENTRY
    assert put.without(PATH).text == text


@pytest.mark.parametrize("text", KEPT)
def test_all_that_was_there_is_there_in_the_same_order(text: str) -> None:
    put = Document(text).put(PATH, ENTRY)
    before = Document(text).value
    assert {**put.value, "servers": {**before["servers"], "asg": ENTRY}} == put.value
    assert _comments(put.text) == _comments(text)


def _comments(text: str) -> list[str]:
    return [found for found in re.findall(r'"(?:[^"\\]|\\.)*"|//[^\r\n]*|/\*.*?\*/', text) if found[0] == "/"]


def test_objects_on_the_way_are_made_with_the_indentation_of_the_file() -> None:
    assert Document('{\n\t"z": 1\n}\n').put(PATH, {"a": 1}).text == (
        '{\n\t"z": 1,\n\t"servers": {\n\t\t"asg": {\n\t\t\t"a": 1\n\t\t}\n\t}\n}\n'
    )
    assert Document("{}").put(PATH, 1).text == '{\n  "servers": {\n    "asg": 1\n  }\n}'


def test_a_comment_in_an_empty_object_stays() -> None:
    text = '{\n  "servers": {\n    // none yet\n  }\n}'
    put = Document(text).put(PATH, 1)
    assert put.text == '{\n  "servers": {\n    // none yet\n    "asg": 1\n  }\n}'
    assert put.without(PATH).text == text


def test_a_value_is_replaced_in_its_place_alone() -> None:
    text = '{"servers": {"asg": {"command": "old", /* mine */ "env": {"A": "1"}}}}'
    put = Document(text).put((*PATH, "command"), "new").put((*PATH, "args"), ["serve"])
    assert put.text == '{"servers": {"asg": {"command": "new", /* mine */ "env": {"A": "1"}, "args": ["serve"]}}}'


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"servers": {"asg": 1, "b": 2}}', '{"servers": {"b": 2}}'),
        ('{"servers": {"a": 1, "asg": 2, "b": 3}}', '{"servers": {"a": 1, "b": 3}}'),
        ('{"servers": {\n  "asg": 1, // ours\n  "b": 2\n}}', '{"servers": {\n  // ours\n  "b": 2\n}}'),
        ('{"servers": {\n  "asg": {\n    "x": 1\n  },\n  "b": 2\n}}', '{"servers": {\n  "b": 2\n}}'),
        ('{"servers": {\n  "asg": 1\n}}', '{"servers": {}}'),
        ('{"servers": { // ours\n "asg": 1}}', '{"servers": { // ours\n}}'),
        ('{"servers": {"a": 1 // one\n, "asg": 1}}', '{"servers": {"a": 1 // one\n}}'),
        ('{"servers": {"a": 1}}', '{"servers": {"a": 1}}'),
        ('{"other": {}}', '{"other": {}}'),
    ],
)
def test_a_member_is_taken_away_wherever_it_stands(text: str, left: str) -> None:
    assert Document(text).without(PATH).text == left


@pytest.mark.parametrize(
    ("text", "line", "column"),
    [
        ("", 1, 1),
        ("[1]", 1, 1),
        ('{"a": 1', 1, 8),
        ('{\n  "a": 1\n  "b": 2\n}', 3, 3),
        ('{"a": NaN}', 1, 1),
        ('{"a": 1 /* open }', 1, 9),
        ("{" + '"a":{' * 100_000, 1, 1),
    ],
)
def test_what_is_no_json_object_is_refused_with_its_place(text: str, line: int, column: int) -> None:
    with pytest.raises(NotEditable) as refused:
        Document(text)
    assert (refused.value.line, refused.value.column) == (line, column)


@pytest.mark.parametrize(
    "text",
    ['{"servers": []}', '{"servers": null}', '{"servers": {}, "servers": {}}', '{"servers": {"asg": 1, "asg": 2}}'],
)
def test_what_has_no_one_place_for_the_member_is_refused(text: str) -> None:
    with pytest.raises(NotEditable):
        Document(text).put((*PATH, "x"), 1)
    with pytest.raises(NotEditable):
        Document(text).without((*PATH, "x"))


def test_strings_that_are_never_closed_take_linear_time() -> None:
    for text in ('\\"' * 500_000, '{"a": ' + '"\\' * 500_000, '"' * 500_000, '{"a": "' + "x" * 500_000):
        with pytest.raises(NotEditable):
            Document(text)


@pytest.mark.parametrize(
    ("text", "bare"),
    [
        ('{"a": {}}', True),
        ('{"a": { \n }}', True),
        ('{"a": { /* none */ }}', False),
        ('{"a": {"b": 1}}', False),
        ('{"a": []}', False),
        ("{}", False),
    ],
)
def test_an_object_is_bare_when_nothing_is_in_it(text: str, bare: bool) -> None:
    assert Document(text).is_bare(("a",)) is bare


def test_comments_take_linear_time_closed_or_not() -> None:
    with pytest.raises(NotEditable):
        Document('{"a": 1} ' + "/*" * 500_000)
    for comments in ("// " * 1_000, "/* */ " * 1_000):
        text = f'{{"servers": {{\n"a": 1 {comments}\r}}}}'
        assert Document(text).put(PATH, 1).get(PATH) == 1


KEYS = st.sampled_from(["servers", "asg", "a", "b//", 'c"', "d\\", "ä"])
BLANKS = st.sampled_from(["", " ", "\n", "\n    ", "\t", " /* x, } */ ", " // y {\n  ", "\r\n  "])

SCALARS = st.sampled_from(["1", '"}//"', "[1, 2]", "null"])


@st.composite
def objects(draw: st.DrawFn, depth: int = 0) -> str:
    """Texts of JSON objects with comments and blanks anywhere, and perhaps a trailing comma."""
    keys: list[str] = draw(st.lists(KEYS, unique=True, max_size=4))
    if depth == 0 and "servers" not in keys:
        keys.append("servers")
    parts = []
    for key in keys:
        is_object: bool = depth < 2 and (key == "servers" or draw(st.booleans()))
        value = str(draw(objects(depth + 1) if is_object else SCALARS))
        parts.append(f"{draw(BLANKS)}{json.dumps(key)}{draw(BLANKS)}:{draw(BLANKS)}{value}{draw(BLANKS)}")
    comma = "," if parts and bool(draw(st.booleans())) else ""
    return "{" + ",".join(parts) + comma + draw(BLANKS) + "}"


@given(objects())
def test_putting_and_taking_away_change_that_member_alone(text: str) -> None:
    document = Document(text)
    before: dict[str, Any] = document.value["servers"]
    put = document.put(PATH, ENTRY)
    assert put.value == {**document.value, "servers": {**before, "asg": ENTRY}}
    assert list(put.value) == list(document.value)
    taken = put.without(PATH)
    assert taken.value == {
        **document.value,
        "servers": {key: value for key, value in before.items() if key != "asg"},
    }
    if "asg" not in before:  # else comments inside of it go with it
        assert _comments(taken.text) == _comments(put.text) == _comments(text)
