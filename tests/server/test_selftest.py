"""The client that doctor and demo use tells every way in which a server can fail."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest

from asg_mcp import config
from asg_mcp.server import selftest
from asg_mcp.server.selftest import Launch, ServerFault, connected


def _launch(*command: str) -> Launch:
    return Launch(command, config.own_environment())


TOY = _launch(sys.executable, "-m", "tests.server.toy_server")


async def test_a_server_tells_its_tools_and_answers_calls() -> None:
    async with connected(TOY, "doctor") as connection:
        facts = await connection.facts()
        reply = await connection.call("asg_who", {})
    assert "asg_echo" in facts.tools
    assert facts.protocol
    assert reply["client"].startswith("doctor/")


async def test_a_refused_call_carries_the_message_and_the_hint_of_the_tool() -> None:
    with pytest.raises(ServerFault, match="asg_fail answered: Branch 'x' not found") as caught:
        async with connected(TOY, "doctor") as connection:
            await connection.call("asg_fail", {"how": "ref"})
    assert caught.value.hint == "Branches: main, dev."


async def test_an_unknown_tool_is_a_fault_of_the_server() -> None:
    async with connected(TOY, "doctor") as connection:
        with pytest.raises(ServerFault, match="asg_nothing"):
            await connection.call("asg_nothing", {})


@pytest.mark.parametrize(
    "command",
    [
        ("/nowhere/asg-mcp",),
        (sys.executable, "-c", "raise SystemExit(7)"),
        (sys.executable, "-c", "print('hello')"),
    ],
    ids=["missing", "ends", "talks nonsense"],
)
async def test_a_server_that_does_not_start_is_a_fault(command: Sequence[str]) -> None:
    with pytest.raises(ServerFault):
        async with connected(_launch(*command), "doctor"):
            raise AssertionError("it is not connected")


async def test_a_server_that_never_answers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selftest, "START_SECONDS_MAX", 0.5)
    with pytest.raises(ServerFault, match="did not answer within"):
        async with connected(_launch(sys.executable, "-c", "import sys; sys.stdin.read()"), "doctor"):
            raise AssertionError("it is not connected")


async def test_an_error_inside_the_block_arrives_as_it_was_raised() -> None:
    with pytest.raises(BrokenPipeError):
        async with connected(TOY, "doctor"):
            raise BrokenPipeError
