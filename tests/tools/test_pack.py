"""Replies stay small: items give up what is too large, and pages shrink until they fit."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic_core import to_json

from asg_mcp.core.limits import REPLY_BYTES_MAX
from asg_mcp.core.operations import ABSENT
from asg_mcp.repo import results as r
from asg_mcp.schemas.history import LogReply
from asg_mcp.tools.pack import ITEM_BYTES_MAX, Item, commit, first, intent, page
from tests.tools.recorder import AT, called, commit_info


def test_an_item_names_what_it_left_out_with_its_bytes() -> None:
    item = Item(path="/a")
    item.put("old", "x" * (ITEM_BYTES_MAX - 2))
    item.put("new", 1)
    assert item.fields["left_out"] == {"new": 1}
    assert "new" not in item.fields


def test_an_absent_side_is_missing_and_a_stored_null_is_null() -> None:
    item = Item()
    item.put_side("old", ABSENT)
    item.put_side("new", None)
    assert item.fields == {"new": None}


def test_what_was_not_given_is_missing_and_zero_is_given() -> None:
    item = Item()
    item.put_given(reasoning="", confidence=None, tags=[], provenance={})
    item.put_given(sure=0.0)
    assert item.fields == {"sure": 0.0}


def test_the_first_items_that_fit_are_counted_with_their_commas() -> None:
    assert first(["ab", "ab", "ab"], 10) == (["ab", "ab"], 0)
    assert first(["ab"], 10) == (["ab"], 5)
    assert first(["ab"], 4) == ([], 0)


async def test_a_page_that_does_not_fit_is_fetched_again_with_fewer_items() -> None:
    """Only the repository can make the cursor behind the last item that is shown."""
    commits = [commit_info(seq=n, reasoning="y" * 5_000) for n in range(50)]
    asked: list[int] = []

    def answer(ref: str, path: Any, *, limit: int, cursor: str) -> r.LogResult:
        asked.append(limit)
        return r.LogResult(ref, tuple(commits[:limit]), f"after {limit}")

    _, reply = await called("asg_log", {"limit": 50}, log=answer)
    assert asked == [50, len(reply["commits"])]
    assert reply["next_cursor"] == f"after {len(reply['commits'])}"
    assert len(LogReply.model_validate(reply).model_dump_json()) <= REPLY_BYTES_MAX


async def test_the_largest_commit_there_can_be_fits_a_reply_by_itself() -> None:
    largest = commit_info(
        description="d" * 4_096,
        reasoning="r" * 65_536,
        tags=("t" * 128,) * 32,
        provenance={"authority": {"principal": "a" * 200_000}, "alternatives": [], "expected": "e" * 9_000},
    )

    def answer(ref: str, path: Any, *, limit: int, cursor: str) -> r.LogResult:
        return r.LogResult(ref, (largest,) * min(limit, 3), "")

    _, reply = await called("asg_log", {}, log=answer)
    assert reply["commits"][0]["left_out"].keys() == {"reasoning", "authority"}
    assert len(reply["commits"][0]["expected"]) == 9_000
    assert len(LogReply.model_validate(reply).model_dump_json()) <= REPLY_BYTES_MAX


@pytest.mark.parametrize("count", [2, 1])
async def test_a_page_of_one_item_is_never_shortened(count: int) -> None:
    async def fetch(limit: int) -> int:
        return min(limit, count)

    _, items = await page(count, fetch, lambda limit: [{"x": "y" * REPLY_BYTES_MAX}] * limit)
    assert len(items) == 1


def test_a_full_view_too_large_to_show_says_so() -> None:
    told = commit(commit_info(provenance={"tool_calls": [{"tool": "x", "result": "y" * 20_000}]}), full=True)
    assert told["left_out"].keys() == {"provenance"}


def test_an_intent_s_children_are_cut_where_they_do_not_fit_and_counted() -> None:
    def of(name: str, *children: r.IntentInfo, more: int = 0) -> r.IntentInfo:
        outcome = {"outcome": "failed", "summary": "y" * 900}
        return r.IntentInfo(name, name, "fixer", "Mend it.", "", AT, outcome, None, children, more)

    def shown(fields: dict[str, Any]) -> tuple[int, int]:
        """How many intents are shown, this one included, and how many are counted as left out."""
        below = [shown(child) for child in fields.get("children", ())]
        return 1 + sum(n for n, _ in below), fields.get("more_children", 0) + sum(n for _, n in below)

    wide = intent(of("root", *(of(f"child {n}") for n in range(60)), more=3))
    deep = intent(of("root", of("middle", *(of(f"child {n}") for n in range(60)))))
    few = intent(of("root", *(of(f"child {n}") for n in range(3))))
    assert shown(few) == (4, 0)
    for fields, whole in ((wide, 64), (deep, 62)):
        count, left = shown(fields)
        assert (count > 10, count + left, "left_out" in fields) == (True, whole, False)
        assert len(to_json(fields)) <= ITEM_BYTES_MAX
