"""The list of refs tells where each stands."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.errors import InvalidArgument, InvalidCursor
from asg_mcp.repo import reflist
from asg_mcp.repo.reflist import list_refs
from asg_mcp.repo.results import RefList
from asg_mcp.repo.view import View
from asg_mcp.storage.base import RefKind
from tests.repo.stores import BOB, Made, made_store


@pytest.fixture
async def made(tmp_path: Path) -> AsyncIterator[Made]:
    async with made_store(tmp_path) as made:
        await made.set("/a", 1)
        await made.branch("v1", kind=RefKind.TAG)
        await made.branch("feature/x")
        await made.branch("feature_y")
        await made.branch("Feature/z")
        await made.set("/b", 2, ref="feature/x", author=BOB)
        await made.set("/c", 3, ref="feature/x", author=BOB)
        await made.set("/d", 4)
        yield made


def refs(made: Made, prefix: str = "", kind: str = "all", limit: int = 100, cursor: str = "") -> RefList:
    with made.store.reading() as reader:
        return list_refs(View(reader, made.hasher, made.graph), prefix, kind, limit, cursor)


def names(found: RefList) -> list[str]:
    return [ref.name for ref in found.refs]


ALL = ["Feature/z", "feature/x", "feature_y", "main", "v1"]


async def test_all_refs_come_in_name_order_with_their_kinds(made: Made) -> None:
    found = refs(made)
    assert names(found) == ALL
    assert found.total == len(ALL)
    assert {ref.name for ref in found.refs if ref.kind == "tag"} == {"v1"}
    assert {ref.kind for ref in found.refs} == {"tag", "branch"}


async def test_a_ref_tells_of_its_head_and_how_far_it_is_from_main(made: Made) -> None:
    found = {ref.name: ref for ref in refs(made).refs}
    feature = found["feature/x"]
    assert (feature.ahead, feature.behind) == (2, 1)
    assert (feature.agent, feature.description) == (BOB.agent, "A change.")
    assert feature.at.endswith("Z")
    assert (found["feature_y"].ahead, found["feature_y"].behind) == (0, 1)
    assert (found["main"].ahead, found["main"].behind) == (None, None)
    await made.merge("main", "feature/x")
    found = {ref.name: ref for ref in refs(made).refs}
    assert (found["feature/x"].ahead, found["feature/x"].behind) == (0, 2)


@pytest.mark.parametrize(
    ("prefix", "kind", "expected"),
    [
        ("feature", "all", ["feature/x", "feature_y"]),
        ("feature/", "all", ["feature/x"]),
        ("feature_", "all", ["feature_y"]),
        ("F", "branch", ["Feature/z"]),
        ("", "tag", ["v1"]),
        ("", "branch", ["Feature/z", "feature/x", "feature_y", "main"]),
        ("v1", "branch", []),
        ("%", "all", []),
    ],
)
async def test_a_prefix_is_literal_and_minds_its_case(made: Made, prefix: str, kind: str, expected: list[str]) -> None:
    found = refs(made, prefix, kind)
    assert names(found) == expected
    assert found.total == len(expected)


@pytest.mark.parametrize("page", [2, 500])
async def test_pages_together_are_the_whole(made: Made, page: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflist, "_PAGE", page)
    for kind in ("all", "branch"):
        for limit in (1, 2, 4, 5):
            found: list[Any] = []
            cursor = ""
            while True:
                result = refs(made, "", kind, limit, cursor)
                assert len(result.refs) <= limit
                found += names(result)
                cursor = result.next_cursor
                if not cursor:
                    break
            assert found == names(refs(made, "", kind))


async def test_a_list_that_makes_no_sense_is_refused(made: Made) -> None:
    with pytest.raises(InvalidArgument):
        refs(made, kind="head")
    cursor = refs(made, limit=1).next_cursor
    for prefix, kind in (("f", "all"), ("", "tag")):
        with pytest.raises(InvalidCursor):
            refs(made, prefix, kind, cursor=cursor)


async def test_without_a_default_branch_nothing_is_ahead_or_behind(tmp_path: Path) -> None:
    async with made_store(tmp_path) as made:
        await made.branch("trunk")
        with made.store.reading() as reader:
            main, trunk = reader.ref("main"), reader.ref("trunk")
            assert trunk is not None
            assert reflist.ref_info(View(reader, made.hasher, made.graph), trunk, None).ahead is None
            assert reflist.ref_info(View(reader, made.hasher, made.graph), trunk, main).ahead == 0
