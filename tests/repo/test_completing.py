"""Completing a path: the names that go on, in order, all of them and no others."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from asg_mcp.core.paths import format_path
from asg_mcp.errors import RefNotFound
from asg_mcp.repo import completing
from asg_mcp.repo.completing import Completed, complete_path
from tests.repo.desk import Desk, open_desk

ALL = 1_000_000


async def complete(desk: Desk, typed: str, limit: int, ref: str = "main") -> Completed:
    return await desk.repo.read(lambda view: complete_path(view, ref, typed, limit))


async def values(desk: Desk, typed: str, ref: str = "main") -> list[str]:
    found = await complete(desk, typed, ALL, ref)
    assert (found.total, found.more) == (len(found.values), False)
    return list(found.values)


async def test_children_of_maps_and_lists_are_offered(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/a", {"b": 1, "bc": {"d": 2}, "c": [10, 20, {"x": 1}]})
        await desk.set("/ab", 1)
        assert await values(desk, "") == await values(desk, "/") == await values(desk, "/a") == ["/a", "/ab"]
        assert await values(desk, "/a/") == ["/a/b", "/a/bc", "/a/c"]
        assert await values(desk, "/a/bc") == ["/a/bc"]
        assert await values(desk, "/a/c/") == ["/a/c/0", "/a/c/1", "/a/c/2"]
        assert await values(desk, "/a/c/2/") == ["/a/c/2/x"]
        assert await values(desk, "/a/b/") == []


async def test_a_parent_that_is_not_there_is_completed_first(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/cluster", {"node-1": {"status": 1}, "node-2": {}, "zone": 1})
        assert await values(desk, "/cluster/no/stat") == ["/cluster/node-1", "/cluster/node-2"]
        assert await values(desk, "/clu/node/x") == ["/cluster"]
        assert await values(desk, "/x/node/x") == []


async def test_what_is_left_out_is_counted_as_far_as_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_desk(tmp_path) as desk:
        await desk.set("/m", {f"k{number:02}": number for number in range(20)})
        found = await complete(desk, "/m/", 5)
        assert (len(found.values), found.total, found.more) == (5, 20, True)
        found = await complete(desk, "/m/", 20)
        assert (len(found.values), found.total, found.more) == (20, 20, False)
        monkeypatch.setattr(completing, "COMPLETION_SCAN_MAX", 10)
        found = await complete(desk, "/m/", 5)
        assert (len(found.values), found.total, found.more) == (5, None, True)


async def test_a_ref_that_means_nothing_is_refused(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        with pytest.raises(RefNotFound):
            await complete(desk, "/", 5, "nowhere")


_keys = st.text("ab/~\x00\x01\x02é-1%", min_size=1, max_size=4)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(_keys, st.dictionaries(_keys, st.sampled_from([1, {}, []]), max_size=4), min_size=1, max_size=12),
    st.data(),
)
async def test_whatever_keys_there_are_every_beginning_of_a_path_finds_it(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[str, dict[str, int]], data: st.DataObject
) -> None:
    async with open_desk(tmp_path_factory.mktemp("store")) as desk:
        await desk.set("/t", tree)
        outer = data.draw(st.sampled_from(sorted(tree)))
        begun = outer[: data.draw(st.integers(0, len(outer)))]
        typed = format_path(("t", begun)) if begun else "/t/"
        wanted = [format_path(("t", key)) for key in sorted(tree) if key.startswith(begun)]
        assert await values(desk, typed) == wanted
        below = [format_path(("t", outer, key)) for key in sorted(tree[outer])]
        assert await values(desk, format_path(("t", outer)) + "/") == below
