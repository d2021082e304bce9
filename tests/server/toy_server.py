"""A server of a few tools without a repository, for the tests of the protocol side.

Run as `python -m tests.server.toy_server`; with `--sdk` it uses the SDK's transport.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import Field

from asg_mcp.core.values import checked
from asg_mcp.errors import RefNotFound
from asg_mcp.repo.repository import Repository
from asg_mcp.schemas.base import AnyJson, AnyObject, Params, Wire
from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.stdio import serve_stdio
from asg_mcp.tools.registry import Effect, Tool, ToolContext


class _NoRepository:
    """What the tools of this server never look into."""

    def seen_by(self, _: str) -> _NoRepository:
        return self


NO_REPOSITORY = cast(Repository, _NoRepository())
BRANCH_HINT = "Branches: main, dev."


class Item(Params):
    op: Literal["set", "delete"] = Field(description="What to do.")
    path: str = Field(description="Where.")


class EchoParams(Params):
    value: Annotated[AnyJson, Field(description="Comes back as it is.")]
    branch: str = Field(default="main", description="A name.")
    limit: int = Field(default=20, ge=1, le=500, description="A number.")
    mode: Literal["text", "path"] = Field(default="text", description="One of two.")
    items: list[Item] = Field(default_factory=list, description="Some operations.")
    options: AnyObject = Field(default_factory=dict, description="An object.")
    padding: str = Field(default="", description="Not sent back.")


class EchoResult(Wire):
    value: Annotated[AnyJson, Field(description="As given.")]
    arguments: AnyObject = Field(description="The other arguments that were given.")
    note: str = Field(default="", description="Only when the caller is asked for.")
    client: str = Field(default="", description="Who called.")


class FailParams(Params):
    how: Literal["ref", "crash", "surrogate", "huge", "recursion", "encode"] = Field(description="The failure.")


class HoldParams(Params):
    until: str = Field(default="", description="A named pipe that ends the call when written to; empty: never.")


class Nothing(Params):
    pass


class NoteResult(Wire):
    note: str = Field(description="A text.")


class WhoResult(Wire):
    client: str = Field(description="Observed.")
    agent: str = Field(description="Recorded by default.")
    principal: str = Field(description="Verified.")


async def echo(_: ToolContext, params: EchoParams) -> EchoResult:
    given = params.model_dump(exclude_unset=True, exclude={"value", "padding"})
    return EchoResult(value=checked(params.value), arguments=given)


async def fail(_: ToolContext, params: FailParams) -> NoteResult:
    match params.how:
        case "ref":
            raise RefNotFound("Branch 'x' not found", hint=BRANCH_HINT, nearest=["main", "dev"])
        case "surrogate":
            raise RefNotFound("Branch '\ud800' not found", hint="\udfff", nearest=["\ud800"], id=b"\xff")
        case "huge":
            raise RefNotFound("Branch 'x' not found", hint=BRANCH_HINT, conflicts=["x" * 1_000] * 100)
        case "recursion":
            return await fail(_, params)
        case "encode":
            return NoteResult(note="\ud800".encode().decode())
        case "crash":
            raise ZeroDivisionError("the secret of the store")


async def noisy(_: ToolContext, params: Nothing) -> NoteResult:
    print("a stray print", flush=True)  # noqa: T201
    await asyncio.to_thread(subprocess.run, ["echo", "a stray child"], check=True)
    return NoteResult(note="said it")


async def hold(_: ToolContext, params: HoldParams) -> NoteResult:
    if not params.until:
        await asyncio.Event().wait()
    note = await asyncio.to_thread(Path(params.until).read_text)
    for _turn in range(1_000):  # Long enough for anything that would cancel the call to do so.
        await asyncio.sleep(0)
    return NoteResult(note=note)


async def who(context: ToolContext, _: Nothing) -> WhoResult:
    caller = context.caller
    return WhoResult(client=caller.client, agent=caller.default_agent, principal=caller.principal)


def tool(name: str, handler: Any, params: type[Wire], result: type[Wire], effect: Effect = Effect.READ) -> Tool:
    return Tool(f"asg_{name}", "toy", f"The tool {name}.", handler, params, result, effect)


CATALOGUE = (
    tool("echo", echo, EchoParams, EchoResult),
    tool("echo_write", echo, EchoParams, EchoResult, Effect.WRITE),
    tool("fail", fail, FailParams, NoteResult, Effect.DESTRUCTIVE),
    tool("noisy", noisy, Nothing, NoteResult),
    tool("hold", hold, HoldParams, NoteResult),
    tool("who", who, Nothing, WhoResult),
)


if __name__ == "__main__":
    toy = build_server(CATALOGUE, NO_REPOSITORY, "local:tester", ServerOptions())
    asyncio.run(serve_stdio(toy, sdk="--sdk" in sys.argv))
