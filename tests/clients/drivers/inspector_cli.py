"""The Inspector's command line: a process, and over stdio a server, for each call. The way is the protocol's era."""

import asyncio
import json
import os
import subprocess
from typing import Any

from line_loop import SECONDS, SERVER, WAY, Answer, answer, converse, text_of

NODE, INSPECTOR = os.environ["NODE"], os.environ["INSPECTOR"]


def place() -> list[str]:
    """Where the server is."""
    if SERVER["transport"] == "stdio":
        return [SERVER["command"], *SERVER["args"]]
    headers = [f"{name}: {value}" for name, value in SERVER["headers"].items()]
    return ["--server-url", SERVER["url"], "--transport", SERVER["transport"], "--header", *headers]


async def call(tool: str, arguments: dict[str, Any]) -> Answer:
    asked = ["--method", "tools/call", "--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
    told = ["--format", "json", "--protocol-era", WAY]
    done = await asyncio.to_thread(
        subprocess.run,
        [NODE, INSPECTOR, "--cli", *place(), *asked, *told],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=SECONDS,
        check=False,
    )
    found = json.loads(done.stdout)["result"]
    parts = [part["text"] for part in found["content"]]
    return answer(bool(found.get("isError")), text_of(parts), found.get("structuredContent"))


asyncio.run(converse(call))
