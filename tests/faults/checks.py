"""What must hold of a store after its writers ended, whichever way they did."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from asg_mcp.app import open_repository
from asg_mcp.repo.repository import Repository
from tests.faults.writer import READ_BYTES_MAX, SHARED, Told

PAGE = 500


async def check(path: Path, told: Sequence[Told], in_flight_max: int, *, before: int = 1) -> int:
    """Open the store and compare it with what its writers were told; returns the number of commits it holds.

    Opening makes what is missing, as it would for the next user. Every acknowledged
    commit is there, and has its value; what was refused is nowhere; besides these
    there are the `before` commits that were there already, and at most
    `in_flight_max` whose writers were killed before they were told. `verify` passes.
    """
    async with open_repository(path) as repository:
        kept = [line for line in told if line.kind == "kept"]
        for line in kept:
            found = await repository.get(line.commit, line.keys, depth=None, max_bytes=READ_BYTES_MAX, cursor="")
            assert found.value == line.value, f"{line.commit} was acknowledged with another value"
        values = await _values_ever_shared(repository)
        refused = {line.value for line in told if line.kind == "refused"}
        assert not refused & values, "a refused write took effect"
        report = await repository.verify(lambda step, done, total: None)
        assert report.ok, report.problems
        commits = report.counts["commits"]
        assert len({line.commit for line in kept}) == len(kept), "two writes were told of one commit"
        unknown = commits - before - len(kept)
        assert 0 <= unknown <= in_flight_max, f"{unknown} commits that nobody was told of"
        return commits


async def _values_ever_shared(repository: Repository) -> set[object]:
    out: set[object] = set()
    cursor = ""
    if "shared" not in await _root_keys(repository):
        return out
    while True:
        found = await repository.blame("main", SHARED, depth=0, history=True, limit=PAGE, cursor=cursor)
        out |= {entry.value for entry in found.entries if isinstance(entry.value, str)}
        cursor = found.next_cursor
        if not cursor:
            return out


async def _root_keys(repository: Repository) -> list[str]:
    found = await repository.get("main", (), depth=1, max_bytes=READ_BYTES_MAX, cursor="")
    assert isinstance(found.value, dict)
    return [*found.value, *(path[0] for path, _, _ in found.omitted)]
