"""`demo`: the 2 AM incident, played by real MCP clients against real server processes on one store.

Each agent has a client and a server process of its own, as agents have in earnest.
Everything shown as a call or a reply was sent and received; long ones are shortened.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asg_mcp import config
from asg_mcp.cli import demo_story as story
from asg_mcp.cli import render
from asg_mcp.cli.demo_story import Call
from asg_mcp.cli.output import DIM, LABEL, STRONG, Output
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import InvalidArgument
from asg_mcp.schemas.branch import DiffReply
from asg_mcp.schemas.history import BlameReply
from asg_mcp.server.selftest import Connection, Launch, ServerFault, connected

FIELD_CHARS_MAX = 60
"""Of each argument and each field of a reply that is shown."""
COLUMNS_MAX = 110


@dataclass(frozen=True, slots=True)
class _Client:
    """A connected agent, whose calls are shown and remembered."""

    name: str
    connection: Connection
    output: Output
    calls: list[dict[str, JsonValue]]

    async def call(self, call: Call) -> dict[str, Any]:
        """Make the call, show it and its reply."""
        reply = await self.connection.call(call.tool, call.arguments)
        self.calls.append({"client": self.name, "tool": call.tool, "arguments": dict(call.arguments), "reply": reply})
        if not self.output.as_json:
            self.output.hanging(
                4, (call.tool, STRONG), f"  {_shortened(call.arguments)}", first=("  →", LABEL), width=COLUMNS_MAX
            )
            self.output.hanging(4, (_shortened(reply), DIM), first=("  ←", LABEL), width=COLUMNS_MAX)
        return reply


class _Stage:
    """Where the demo plays: its store, its output, and the calls made so far."""

    def __init__(self, output: Output, path: Path, *, stays: bool) -> None:
        self.output = output
        self.path = path
        self.stays = stays
        self.calls: list[dict[str, JsonValue]] = []

    def tell(self, text: str = "", style: str = "") -> None:
        """A line of the story."""
        if not self.output.as_json:
            self.output.line((text, style))

    @asynccontextmanager
    async def client(self, name: str, what: str) -> AsyncIterator[_Client]:
        """A client with its own server process, for the length of the block."""
        self.tell()
        self.tell(what, STRONG)
        environment = config.own_environment(None if self.stays else self.path.parent)
        launch = Launch((*config.own_command(), "serve", "--db", str(self.path)), environment)
        async with connected(launch, name) as connection:
            yield _Client(name, connection, self.output, self.calls)


async def demo(output: Output, options: Namespace) -> int:
    """Play the incident on a new store, which is deleted unless --keep or --db asks for it."""
    with ExitStack() as kept:
        path = _new_store(options, kept)
        stays = bool(options.keep or options.db)
        stage = _Stage(output, path, stays=stays)
        await _play(stage)
        if output.as_json:
            output.document({"store": str(path) if stays else None, "calls": stage.calls})
        else:
            _say_how_to_go_on(stage, stays=stays)
    return 0


def _new_store(options: Namespace, kept: ExitStack) -> Path:
    """The path of a store that does not exist yet. --db counts here, ASG_DB does not: that store is in use."""
    if options.db:
        path = config.store_place(options.db).path
        if path.exists():
            raise InvalidArgument(
                f"{path} exists already, and the demo plays on a new store alone",
                hint="Give --db a path where nothing is, or leave it out for a store that is deleted afterwards.",
            )
        return path
    if options.keep:
        return Path(tempfile.mkdtemp(prefix="asg-demo-")) / "state.db"
    return Path(kept.enter_context(tempfile.TemporaryDirectory(prefix="asg-demo-"))) / "state.db"


async def _play(stage: _Stage) -> None:
    stage.tell(f"The 2 AM incident, on {stage.path}. The night is told; the times recorded are those of this run.")
    async with stage.client("provisioning", "In the evening, the agent provisioner records the state.") as client:
        evening = str((await client.call(story.SET_UP))["commit"])
    async with stage.client("night-shift", "At 2 AM, the agent night-watch drains node-3.") as client:
        seen = await client.call(story.LOOK)
        guarded = {**story.DRAIN.arguments, "expected_head": seen["commit"]}
        await client.call(Call(story.DRAIN.tool, guarded))
    async with stage.client("delivery", "At 3 AM, the agent release-bot rolls out a new version.") as client:
        await client.call(story.RELEASE)
    async with stage.client("help-desk", "At 8 AM, Bob asks: why is node-3 draining?") as client:
        await _ask(stage, client, evening)
        await _undo(stage, client, evening)


async def _ask(stage: _Stage, client: _Client, evening: str) -> None:
    blamed = BlameReply.model_validate(await client.call(story.ASK))
    if not blamed.entries or blamed.entries[0].agent != "night-watch":
        raise ServerFault("Blame does not name the agent that made the change")
    if not stage.output.as_json:
        stage.tell()
        render.blame(stage.output, blamed.ref, blamed.entries)
    stage.tell()
    stage.tell("What else changed in the night?", STRONG)
    await _show_difference(stage, client, evening)


async def _undo(stage: _Stage, client: _Client, evening: str) -> None:
    stage.tell()
    stage.tell("The disk is replaced. Bob takes back what night-watch did, and nothing else.", STRONG)
    await client.call(story.UNDO)
    changed = await _show_difference(stage, client, evening)
    if [change.path for change in changed.changes] != [story.VERSION]:
        raise ServerFault("The revert did not take back the work of one agent and leave the other's")
    stage.tell("  The work of release-bot stands; node-3 is as it was in the evening.")


async def _show_difference(stage: _Stage, client: _Client, evening: str) -> DiffReply:
    reply = await client.call(Call("asg_diff", {"ref_a": evening, "ref_b": "main"}))
    found = DiffReply.model_validate(reply)
    if not stage.output.as_json:
        stage.tell()
        render.diff(stage.output, found.changes)
    return found


def _say_how_to_go_on(stage: _Stage, *, stays: bool) -> None:
    program = shlex.join(config.launcher())
    stage.tell()
    if not stays:
        stage.tell("The store of this demo is deleted. To keep it and look around in it:", STRONG)
        stage.tell(f"  {program} demo --keep")
        stage.tell("To connect your own agents:", STRONG)
        stage.tell(f"  {program}")
        return
    stage.tell(f"The store stays at {stage.path}. To look further:", STRONG)
    for command in ("log", f"blame {story.NODE} --history", f"get {story.NODE}", "verify"):
        stage.tell(f"  {program} {command} --db {shlex.quote(str(stage.path))}")


def _shortened(fields: Mapping[str, JsonValue]) -> str:
    """The fields that say something, each cut where long."""
    fields = {name: value for name, value in fields.items() if value not in ("", [], {}, False)}
    return "  ".join(f"{name}={_cut(json.dumps(value, ensure_ascii=False))}" for name, value in fields.items())


def _cut(text: str) -> str:
    return text if len(text) <= FIELD_CHARS_MAX else f"{text[: FIELD_CHARS_MAX - 1]}…"
