"""Two processes on one file at the same time: nothing acknowledged is missing, nothing refused is there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from tests.clients.agents import Refused, agent
from tests.faults.checks import check
from tests.faults.writer import Told, told_in
from tests.kit.processes import unmeasured_environment

WRITES = 500
WRITES_OF_A_SERVER = 100
WAIT_SECONDS_MAX = 120.0


async def _writer(store: Path, name: str, count: int) -> list[Told]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.faults.writer", str(store), name, str(count)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        env=unmeasured_environment(),
    )
    async with asyncio.timeout(WAIT_SECONDS_MAX):
        output, _ = await process.communicate()
    assert process.returncode == 0
    return told_in(output)


async def test_two_processes_keep_a_thousand_writes_and_none_that_was_refused(tmp_path: Path) -> None:
    store = tmp_path / "state.db"
    told = await asyncio.gather(*(_writer(store, name, WRITES) for name in ("one", "two")))
    kept = [[line for line in lines if line.kind == "kept"] for lines in told]
    assert [len(lines) for lines in kept] == [WRITES, WRITES]
    assert any(line.kind == "refused" for lines in told for line in lines), "they never met, which proves nothing"
    assert await check(store, [*told[0], *told[1]], in_flight_max=0) == 2 * WRITES + 1


async def test_two_servers_keep_what_they_acknowledged_and_none_that_they_refused(tmp_path: Path) -> None:
    store = tmp_path / "state.db"
    kept: list[Told] = []
    refused: list[Told] = []

    async def work(name: str) -> None:
        async with agent(store, name) as client:
            for number in range(WRITES_OF_A_SERVER):
                value = f"{name}/{number}"
                shared = number % 5 == 0
                path = "/shared" if shared else f"/writers/{name}/{number % 7}"
                head = (await client.call("asg_get", path="/", depth=0))["commit"] if shared else ""
                guard = {"expected_head": head} if shared else {}
                try:
                    reply = await client.write("asg_set", path=path, value=value, **guard)
                except Refused as refusal:
                    assert refusal.code == "head_moved"
                    refused.append(Told("refused", value))
                else:
                    kept.append(Told("kept", value, path, reply["commit"]))

    await asyncio.gather(work("one"), work("two"))
    assert len(kept) + len(refused) == 2 * WRITES_OF_A_SERVER
    assert await check(store, [*kept, *refused], in_flight_max=0) == len(kept) + 1
