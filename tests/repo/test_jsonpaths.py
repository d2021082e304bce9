"""JSONPath does what RFC 9535 says, in bounded time."""

from __future__ import annotations

from typing import Any

import pytest

from asg_mcp.core.limits import QUERY_TEXT_BYTES_MAX, VALUE_DEPTH_MAX
from asg_mcp.errors import InvalidArgument, LimitExceeded
from asg_mcp.repo import jsonpaths
from asg_mcp.repo.jsonpaths import Expression

STORE = {
    "book": [
        {"title": "Sayings", "price": 8.95, "category": "reference"},
        {"title": "Sword", "price": 12.99, "isbn": None},
        {"title": "Moby", "price": 8.99, "isbn": "0-553"},
    ],
    "bicycle": {"color": "red", "price": 399},
    "max": 10,
    "odd": [0, False, "", None, 1, True, 1.0, "1", [], {}, [1], [True], {"a": 1}, {"a": True}],
}


def values(text: str, document: Any = STORE) -> list[Any]:
    return [value for _, value in Expression(text).nodes(document)]


def paths(text: str, document: Any = STORE) -> list[str]:
    return ["/".join(tokens) for tokens, _ in Expression(text).nodes(document)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$.book[*].title", ["Sayings", "Sword", "Moby"]),
        ("$..price", [8.95, 12.99, 8.99, 399]),
        ("$.book[-1].title", ["Moby"]),
        ("$.book[0,2].title", ["Sayings", "Moby"]),
        ("$.book[::2]['title','price']", ["Sayings", 8.95, "Moby", 8.99]),
        ("$.book[?@.price < $.max].title", ["Sayings", "Moby"]),
        ("$.book[?@.isbn].title", ["Sword", "Moby"]),
        ("$.book[?@.isbn == null].title", ["Sword"]),
        ("$.book[?!@.isbn].title", ["Sayings"]),
        ("$.book[?match(@.title, 'S.*')].title", ["Sayings", "Sword"]),
        ("$.book[?search(@.title, 'o')].title", ["Sword", "Moby"]),
        ("$.book[?match(@.title, 'o')].title", []),
        ("$.book[?search(@.title, '(')].title", []),
        ("$.book[?length(@.title) == 5].title", ["Sword"]),
        ("$[?count(@.*) > 2].color", []),
        ("$.book[?value(@.price) == 8.95].title", ["Sayings"]),
        ("$.nothing", []),
        ("$[?@.color == 'red' && @.price >= 399].price", [399]),
    ],
)
def test_an_expression_selects_what_the_rfc_says(text: str, expected: list[Any]) -> None:
    assert values(text) == expected


def test_a_value_that_is_false_or_empty_is_there() -> None:
    assert len(values("$.odd[?@]")) == len(STORE["odd"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        ("$.odd[?@ == 1]", [4, 6]),
        ("$.odd[?@ == true]", [5]),
        ("$.odd[?@ == false]", [1]),
        ("$.odd[?@ == '1']", [7]),
        ("$.odd[?@ == $.odd[10]]", [10]),
        ("$.odd[?@ == $.odd[12]]", [12]),
        ("$.odd[?@ < 2]", [0, 4, 6]),
        ("$.odd[?@ <= true]", [5]),
        ("$.odd[?@ >= null]", [3]),
        ("$.odd[?@ != 1]", [0, 1, 2, 3, 5, 7, 8, 9, 10, 11, 12, 13]),
        ("$.odd[?@.a == $.nothing]", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
    ],
)
def test_a_comparison_keeps_the_types_apart(text: str, indexes: list[int]) -> None:
    assert paths(text) == [f"odd/{index}" for index in indexes]


def test_the_root_is_the_whole_document_inside_nested_filters() -> None:
    document = {"wanted": 3, "groups": [{"items": [{"n": 3}]}, {"items": [{"n": 4, "wanted": 4}]}]}
    assert paths("$.groups[?@.items[?@.n == $.wanted]]", document) == ["groups/0"]


def test_a_dot_in_a_pattern_is_no_line_end() -> None:
    document = ["a\rb", "a\nb", "axb", "a.b", "a]b"]
    assert values("$[?match(@, 'a.b')]", document) == ["axb", "a.b", "a]b"]
    assert values(r"$[?match(@, 'a[.\\]]b')]", document) == ["a.b", "a]b"]
    assert values(r"$[?match(@, 'a\\.b')]", document) == ["a.b"]
    assert values("$[?match(@, 'axb|q')]", document) == ["axb"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " $",
        "$.",
        "book",
        "$[",
        "$.book[?@.price <> 1]",
        "$.a | $.b",
        "$.book[?typeof(@) == 'x']",
        "$[?nothing(@)]",
        "$[9007199254740993]",
        "$..",
        "$[?@.a == 01]",
        "$[?@ =~ /a/]",
        "$[" * 400,
        "$[?" + "(" * 500 + "@" + ")" * 500 + "]",
        "$['\\ud800']",
        "$.~a",
        "^.a",
        "$[?_.a]",
    ],
)
def test_what_is_no_jsonpath_is_an_error_with_a_hint(text: str) -> None:
    with pytest.raises(InvalidArgument, match="is not a JSONPath") as caught:
        values(text)
    assert "RFC 9535" in caught.value.hint


def test_the_error_says_where_the_fault_is() -> None:
    with pytest.raises(InvalidArgument) as caught:
        values("$.book[?@.price <> 1]")
    assert caught.value.details == {"position": 16}


def test_a_long_expression_is_refused() -> None:
    with pytest.raises(LimitExceeded):
        Expression("$." + "a" * QUERY_TEXT_BYTES_MAX)


def test_a_document_as_deep_as_may_be_is_searched_to_the_end() -> None:
    document: Any = "end"
    for _ in range(VALUE_DEPTH_MAX):
        document = {"a": document}
    assert values("$..*", document)[-1] == "end"
    assert paths("$..a", document)[-1] == "/".join(["a"] * VALUE_DEPTH_MAX)


@pytest.mark.parametrize(
    "text",
    [
        "$..*..*..*..*..*..*",
        "$" + "['a','a','a','a','a','a','a','a']" * 20 + "[?@.x]",
        "$..[?@..[?@..[?@..[?@..x]]]]",
        "$.list[?@ == $.list[0]]" + "[?@ == 1]" * 3 + "",
    ],
)
def test_an_expression_that_would_take_for_ever_is_stopped(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpaths, "JSONPATH_STEPS_MAX", 100_000)
    inner: Any = [[number] * 60 for number in range(60)]
    document: Any = {"list": [[list(item) for item in inner] for _ in range(400)]}
    document["a"] = document
    deep: Any = {"x": 1}
    for _ in range(60):
        deep = {"a": deep, "b": [deep]} if _ < 12 else {"a": deep}
    document = {"a": deep, "list": document["list"]}
    for _ in range(30):
        document = {"a": document, "list": document["list"]}
    with pytest.raises(LimitExceeded):
        values(text, document)


def test_many_descents_are_an_error_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonpaths, "JSONPATH_STEPS_MAX", 100_000)
    document: Any = {"a": 1}
    for _ in range(100):
        document = {"a": document}
    with pytest.raises(LimitExceeded):
        values("$" + "..*" * 300, document)
