"""What the drivers in Python have in common. They run in environments of their own, so nothing of the tests is here.

A driver is told on its command line where the server is and which of its ways to take. It says on a line that it is
ready; then each line that it reads is a call, and each that it writes is what its client made of the reply.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any

SERVER: dict[str, Any] = json.loads(sys.argv[1])
"""transport (stdio, http, sse), and command, args, env or url, headers."""
WAY: str = sys.argv[2] if len(sys.argv) > 2 else ""
SECONDS = 60

Answer = dict[str, Any]
Call = Callable[[str, dict[str, Any]], Awaitable[Answer]]


def say(message: Answer) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


def answer(is_error: bool | None, text: Any, structured: Any = None) -> Answer:
    """What was handed on; None: the client does not tell."""
    return {"is_error": is_error, "text": text, "structured": structured}


def text_of(content: Any) -> str:
    """All text among the parts of a reply."""
    parts = content if isinstance(content, list) else [content]
    return "".join(part if isinstance(part, str) else getattr(part, "text", "") or "" for part in parts)


async def converse(call: Call, protocol: str = "") -> None:
    """Answer calls until the input ends."""
    say({"ready": True, "protocol": protocol})
    while line := await asyncio.to_thread(sys.stdin.readline):
        request = json.loads(line)
        say(await call(request["tool"], request["arguments"]))
