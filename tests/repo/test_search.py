"""Search finds what is in the state at a ref, and pages through it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from asg_mcp.core.limits import QUERY_TEXT_BYTES_MAX, VALUE_INLINE_BYTES_MAX
from asg_mcp.core.nodes import Blob
from asg_mcp.core.operations import ABSENT
from asg_mcp.core.paths import Tokens, format_path, map_segment, parse_path
from asg_mcp.core.values import type_of
from asg_mcp.errors import InvalidArgument, InvalidCursor, LimitExceeded, PathNotFound, RefNotFound
from asg_mcp.repo import search as search_module
from asg_mcp.repo.resolve import resolve_ref, state_at
from asg_mcp.repo.results import SearchResult
from asg_mcp.repo.search import EXCERPT_CHARS_MAX, search
from asg_mcp.repo.view import View
from tests.repo.stores import Made, made_store

DOCUMENT: dict[str, Any] = {
    "nodes": [
        {"name": "Alpha", "up": True, "load": 0.5},
        {"name": "beta", "up": False, "load": 10, "tags": ["alpha-like", "x"]},
        {"name": "gamma", "up": None, "load": 1.0},
    ],
    "alpha": {"nested": {"ALPHA": 1}, "list": [[], {}, ["alphabet"]]},
    "a/b~c": "slash alpha",
    "größe": "STRASSE",
    "long": "x" * 300 + " Needle " + "y" * 300,
    "blob": "start " + "z" * VALUE_INLINE_BYTES_MAX + " deep needle",
}


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    async with made_store(tmp_path) as made:
        await made.set("/", DOCUMENT)
        yield made


def run(made: Made, text: str, mode: str = "text", prefix: str = "/", **given: Any) -> SearchResult:
    given = {"ref": "main", "limit": 500, "cursor": "", **given}
    with made.store.reading() as reader:
        return search(
            View(reader, made.hasher, made.graph),
            given["ref"],
            text,
            mode,
            parse_path(prefix),
            given["limit"],
            given["cursor"],
        )


def found(result: SearchResult) -> list[tuple[str, str]]:
    return [(format_path(match.path), match.on) for match in result.matches]


def brute(text: str, value: Any = DOCUMENT, tokens: Tokens = (), key: str | None = None) -> Iterator[tuple[str, str]]:
    """What the text mode has to find, in document order."""
    on_key = key is not None and text.casefold() in key.casefold()
    on_value = False
    if not isinstance(value, dict | list):
        on_value = text.casefold() in (value if isinstance(value, str) else orjson.dumps(value).decode()).casefold()
    if on_key or on_value:
        yield format_path(tokens), "key" if on_key else "value"
    if isinstance(value, dict):
        for name in sorted(value, key=map_segment):
            yield from brute(text, value[name], (*tokens, name), name)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from brute(text, item, (*tokens, str(index)))


@pytest.mark.parametrize(
    "text", ["alpha", "ALPHA", "1", "true", "null", "0.5", "strasse", "Größe", "needle", "/", "e", "q"]
)
async def test_text_is_found_in_keys_and_scalars_whatever_its_case(made: Made, text: str) -> None:
    result = run(made, text)
    assert found(result) == list(brute(text))
    assert result.next_cursor == ""


async def test_a_match_shows_its_scalar_and_its_type(made: Made) -> None:
    shown = {(format_path(match.path), match.type): match.value for match in run(made, "alpha").matches}
    assert shown[("/nodes/0/name", "string")] == "Alpha"
    assert shown[("/alpha", "map")] is ABSENT
    assert shown[("/alpha/nested/ALPHA", "int")] == 1
    assert [match.value for match in run(made, "null").matches] == [None]


async def test_a_long_text_is_shown_around_what_was_found(made: Made) -> None:
    for match in run(made, "needle").matches:
        assert isinstance(match.value, str)
        assert "needle" in match.value.casefold()
        assert match.value.startswith("…")
        assert len(match.value) <= EXCERPT_CHARS_MAX + 2
    (match,) = run(made, "blob").matches
    assert isinstance(match.value, str)
    assert match.value.startswith("start ")
    assert match.value.endswith("…")


async def test_a_prefix_limits_the_search_to_what_is_below_it(made: Made) -> None:
    assert found(run(made, "alpha", prefix="/nodes/1")) == [("/nodes/1/tags/0", "value")]
    assert found(run(made, "alpha", prefix="/nodes/0/name")) == [("/nodes/0/name", "value")]
    assert ("/alpha", "key") not in found(run(made, "alpha", prefix="/alpha"))
    assert run(made, "alpha", prefix="/nodes/1").scanned < run(made, "alpha").scanned
    with pytest.raises(PathNotFound):
        run(made, "alpha", prefix="/nothing")


@pytest.mark.parametrize("mode", ["text", "regex"])
@pytest.mark.parametrize("limit", [1, 2, 3, 7])
async def test_pages_together_are_the_whole(made: Made, mode: str, limit: int) -> None:
    whole = run(made, "a", mode)
    pages: list[tuple[str, str]] = []
    cursor = ""
    while True:
        page = run(made, "a", mode, limit=limit, cursor=cursor)
        assert len(page.matches) <= limit
        pages += found(page)
        cursor = page.next_cursor
        if not cursor:
            break
    assert pages == found(whole)


async def test_a_scan_that_reaches_its_limit_hands_back_a_cursor(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(made, "needle")
    monkeypatch.setattr(search_module, "SCAN_ENTRIES_MAX", 5)
    cursor, pages, scanned = "", 0, 0
    matches: list[tuple[str, str]] = []
    while True:
        page = run(made, "needle", cursor=cursor)
        assert page.scanned <= 5
        pages, matches, scanned = pages + 1, matches + found(page), scanned + page.scanned
        cursor = page.next_cursor
        if not cursor:
            break
    assert pages > 5
    assert matches == found(whole)
    assert scanned == whole.scanned


async def test_later_pages_read_the_commit_of_the_first(made: Made) -> None:
    first = run(made, "alpha", limit=1)
    await made.set("/", {"other": 1})
    second = run(made, "alpha", limit=500, cursor=first.next_cursor)
    assert second.commit == first.commit
    assert found(first) + found(second) == list(brute("alpha"))
    assert run(made, "alpha").matches == ()


async def test_a_cursor_of_another_search_is_refused(made: Made) -> None:
    cursor = run(made, "alpha", limit=1).next_cursor
    changes: list[dict[str, Any]] = [{"text": "beta"}, {"mode": "regex"}, {"prefix": "/nodes"}]
    for given in changes:
        with pytest.raises(InvalidCursor):
            run(made, **{"text": "alpha", **given}, cursor=cursor)


async def test_an_older_commit_can_be_searched(made: Made) -> None:
    await made.set("/", {"other": "alpha"})
    assert found(run(made, "alpha", ref="main~1")) == list(brute("alpha"))
    with pytest.raises(RefNotFound):
        run(made, "alpha", ref="nothing")


async def test_an_erased_value_is_passed_over(made: Made) -> None:
    with made.store.reading() as reader:
        state = state_at(reader, made.hasher, resolve_ref(reader, made.graph, "main"))
        blob = state.spot(("blob",)).entry.value
    assert isinstance(blob, Blob)
    blob.row = 0  # as it is read after an erasure; the node is in the store's cache
    assert ("/blob", "value") not in found(run(made, "needle"))
    assert found(run(made, "$.*", "jsonpath")).count(("/blob", "value")) == 0
    assert ("/long", "value") in found(run(made, "$.*", "jsonpath"))


async def test_a_pattern_is_found_in_keys_and_scalars(made: Made) -> None:
    assert found(run(made, "^alpha$", "regex")) == [("/alpha", "key")]
    assert found(run(made, r"^\d+$", "regex")) == [("/alpha/nested/ALPHA", "value"), ("/nodes/1/load", "value")]
    with pytest.raises(InvalidArgument, match="regular expression"):
        run(made, "(", "regex")


@pytest.mark.parametrize(
    ("text", "prefix", "expected"),
    [
        ("$.nodes[?@.up == true].name", "/", ["/nodes/0/name"]),
        ("$[?@.load >= 1]", "/nodes", ["/nodes/1", "/nodes/2"]),
        ("$..ALPHA", "/alpha", ["/alpha/nested/ALPHA"]),
        ("$['a/b~c']", "/", ["/a~1b~0c"]),
        ("$", "/nodes/0/name", ["/nodes/0/name"]),
        ("$.nodes[0,0].name", "/", ["/nodes/0/name"]),
        ("$.nodes[?search(@.name, '^[Aa]')].load", "/", ["/nodes/0/load"]),
    ],
)
async def test_jsonpath_gives_the_paths_it_selects(made: Made, text: str, prefix: str, expected: list[str]) -> None:
    result = run(made, text, "jsonpath", prefix)
    assert [format_path(match.path) for match in result.matches] == expected
    for match in result.matches:
        value: Any = DOCUMENT
        for token in match.path:
            value = value[int(token)] if isinstance(value, list) else value[token]
        assert match.type == type_of(value)
        assert match.value is ABSENT if isinstance(value, dict | list) else match.value == value


async def test_jsonpath_pages_together_are_the_whole(made: Made) -> None:
    whole = found(run(made, "$..*", "jsonpath"))
    pages, cursor = [], ""
    while True:
        page = run(made, "$..*", "jsonpath", limit=4, cursor=cursor)
        pages += found(page)
        cursor = page.next_cursor
        if not cursor:
            break
    assert pages == whole
    assert len(whole) == len(set(whole)) == run(made, "$", "jsonpath").scanned - 1


async def test_jsonpath_over_too_much_asks_for_a_prefix(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_module, "SCAN_ENTRIES_MAX", 20)
    with pytest.raises(LimitExceeded) as caught:
        run(made, "$..name", "jsonpath")
    assert "prefix" in caught.value.hint
    assert found(run(made, "$.name", "jsonpath", "/nodes/0")) == [("/nodes/0/name", "value")]
    monkeypatch.setattr(search_module, "SCAN_ENTRIES_MAX", 5)
    with pytest.raises(LimitExceeded):
        run(made, "$", "jsonpath", "/blob")


async def test_a_search_that_makes_no_sense_is_refused(made: Made) -> None:
    senseless: list[dict[str, Any]] = [
        {"text": ""},
        {"text": "a", "mode": "fuzzy"},
        {"text": "a", "limit": 0},
        {"text": "$[", "mode": "jsonpath"},
    ]
    for given in senseless:
        with pytest.raises(InvalidArgument):
            run(made, **given)
    with pytest.raises(LimitExceeded):
        run(made, "a" * (QUERY_TEXT_BYTES_MAX + 1))
