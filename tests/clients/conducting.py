"""Takes a client through the scenario, by its driver: a call a line, and what its client made of the reply a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.clients.client_list import Driven
from tests.kit.processes import unmeasured_environment

SCENARIO: list[dict[str, Any]] = json.loads(Path(__file__).with_name("scenario.json").read_text())["steps"]
STEP_SECONDS_MAX = 90.0
_LINE_BYTES_MAX = 4 * 1_024 * 1_024
_DOES_NOT_TELL = None


class Driver:
    """A started driver."""

    def __init__(self, process: asyncio.subprocess.Process, stderr: Path) -> None:
        self._process = process
        self._stderr = stderr

    async def hear(self) -> dict[str, Any]:
        """The next line."""
        assert self._process.stdout is not None
        async with asyncio.timeout(STEP_SECONDS_MAX):
            line = await self._process.stdout.readline()
        assert line, f"the driver ended: {self._stderr.read_text()[-2_000:]}"
        return dict(json.loads(line))

    async def call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """What the client made of the reply."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"tool": tool, "arguments": arguments}).encode() + b"\n")
        return await self.hear()


@asynccontextmanager
async def started(client: Driven, server: Mapping[str, Any], folder: Path) -> AsyncIterator[Driver]:
    """The client's driver, ended with the block. Raises Missing where the client is not installed."""
    command = client.command(server)
    environment = client.environment(unmeasured_environment(), folder)
    stderr = folder / "stderr"
    with stderr.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=environment,
            limit=_LINE_BYTES_MAX,
        )
    try:
        yield Driver(process, stderr)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        try:
            async with asyncio.timeout(STEP_SECONDS_MAX):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()
            raise


async def perform(driver: Driver, names: dict[str, Any]) -> None:
    """The whole scenario. `names` are what steps may refer to from the start."""
    for step in SCENARIO:
        told = await driver.call(step["tool"], _named(step["arguments"], names))
        reply = _reply(told)
        what = f"{step['does']}: {told}"
        refused = step.get("refused", {})
        if told["is_error"] is not _DOES_NOT_TELL:
            assert told["is_error"] is bool(refused), what
        assert ("code" in reply) is bool(refused), what
        for pointer, expected in (refused or step["expect"]).items():
            found = at(reply, pointer)
            if isinstance(expected, dict) and expected.keys() == {"has"}:
                assert expected["has"] in found, what
            else:
                assert _exact(found) == _exact(_named(expected, names)), f"{pointer}: {what}"
        for name, pointer in step.get("save", {}).items():
            names[name] = at(reply, pointer)


def _reply(told: Mapping[str, Any]) -> dict[str, Any]:
    """The reply as it arrived. Where the client gives both of its forms, they say the same."""
    in_text = json.loads(told["text"])
    if told["structured"] is not None:
        assert _exact(told["structured"]) == _exact(in_text), "the text says what the structure says"
    assert isinstance(in_text, dict)
    return in_text


def at(document: Any, pointer: str) -> Any:
    """What is at a JSON Pointer."""
    for token in pointer.split("/")[1:]:
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document


def _named(given: Any, names: Mapping[str, Any]) -> Any:
    if isinstance(given, str) and given.startswith("$"):
        return names[given[1:]]
    if isinstance(given, dict):
        return {key: _named(value, names) for key, value in given.items()}
    if isinstance(given, list):
        return [_named(value, names) for value in given]
    return given


def _exact(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
