"""Many clients that write and read over HTTP at once; `python -m bench.http_load` is the same with 64 for a minute."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import pytest

from bench import http_load

CLIENTS = 24
SECONDS = 1.5
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")


@pytest.mark.parametrize("api", [False, True], ids=["MCP", "API"])
async def test_each_acknowledged_write_is_in_the_log_once_and_no_answer_is_an_error(tmp_path: Path, api: bool) -> None:
    found = await http_load.run(CLIENTS, SECONDS, api=api, folder=tmp_path)
    assert found.load.wrong == []
    assert found.statuses.keys() == {200}
    assert len(found.load.acknowledged) > CLIENTS


def test_a_lost_write_and_one_made_twice_and_one_that_nobody_was_told_of_are_found() -> None:
    load = http_load.Load({"a": "1", "b": "2", "c": "3"})
    load.compare(Counter({"a": 1, "b": 2, "d": 1}), {"a": "1", "b": "2", "d": "4"})
    assert [fault.split(" ")[0] for fault in load.wrong] == ["b", "c", "d"]
