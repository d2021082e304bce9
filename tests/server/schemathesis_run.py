"""Schemathesis against a served store that has something of everything.

By hand, longer than in the suite: `python -m tests.server.schemathesis_run --examples 500 --seed 7`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import httpx2

from tests.kit.processes import unmeasured_environment
from tests.kit.rpc import REPOSITORY_ROOT
from tests.server.http_served import site

WHY = {"intent_category": "Fix", "intent_description": "Because."}
ENDLESS = "/api/events"
"""Its stream ends with the server; tests/server/test_http_api.py is about it."""
_PROGRAM = "from schemathesis.cli import schemathesis; schemathesis()"
_FOLDER = "tests/server"


async def furnish(http: httpx2.AsyncClient) -> dict[str, list[str]]:
    """Something of everything; by argument, the texts that name it."""

    async def post(tool: str, **arguments: Any) -> dict[str, Any]:
        reply = await http.post(f"/api/tools/asg_{tool}", json=arguments)
        assert reply.status_code == 200, reply.text
        return dict(reply.json())

    made = await post("set", path="/team", value={"a": 1, "b": [1, 2, {"c": None}], "t": "text"}, **WHY)
    await post("branch", name="dev")
    await post("branch", name="v1", kind="tag")
    await post("set", path="/team/a", value=2, **WHY)
    last = await post("set", ref="dev", path="/team/a", value=3, **WHY)
    handles = [(await post("speculate"))["handle"] for _ in range(4)]
    session = (await post("open_session", agent="bob"))["session"]
    await post("plan", name="p", description="x", tasks=[{"id": f"t-{n}", "title": "one"} for n in range(5)])
    for epoch in ("e1", "e2"):
        await post("create_epoch", id=epoch, description="x")
    await post("seal_epoch", id="e1", summary="x")
    heads, words = [made["commit"], last["commit"]], ["bob", "p", "x"]
    refs = ["main", "dev", "v1", "main~1", made["commit"], f"spec:{handles[0]}"]
    paths = ["/", "/team", "/team/a", "/team/b/0", "/team/b/2/c", "/team/b/-", "/new/x~1y"]
    return {
        **dict.fromkeys(("ref", "ref_a", "ref_b", "source", "target", "from"), refs),
        **dict.fromkeys(("path", "prefix"), paths),
        **dict.fromkeys(("handle", "handles", "alternatives"), handles),
        **dict.fromkeys(("expected_head", "commits"), heads),
        "intent": [made["commit"]],
        "session": [session],
        "plan": ["p"],
        "task": [f"t-{number}" for number in range(5)],
        "blocked_by": [f"t-{number}" for number in range(5)],
        "epoch": ["e1", "e2"],
        "since": ["2020-01-01T00:00:00Z"],
        "query": ["team", "$.team.b[*]", "a"],
        **dict.fromkeys(("agent", "name", "description", "intent_description", "summary", "title"), words),
    }


async def run(folder: Path, examples: int, seed: int) -> subprocess.CompletedProcess[bytes]:
    """What schemathesis finds against a new store in `folder`: its exit code, and what it said."""
    async with site(folder) as at:
        async with at.http() as http:
            names = await furnish(http)
        (folder / "names.json").write_text(json.dumps(names))
        env = {
            **unmeasured_environment(),
            "PYTHONPATH": str(REPOSITORY_ROOT),
            "SCHEMATHESIS_HOOKS": "tests.server.schemathesis_hooks",
            "ASG_NAMES": str(folder / "names.json"),
        }
        done = await anyio.run_process(_command(at.url, examples, seed), cwd=folder, env=env, check=False)
        async with at.http() as http:
            lines = (await http.get("/metrics")).text.splitlines()
        told = [line for line in lines if line.startswith('asgmcp_http_requests_total{route="/api"')]
        return replace(done, "\n".join(told).encode())


def replace(done: subprocess.CompletedProcess[bytes], more: bytes) -> subprocess.CompletedProcess[bytes]:
    """The same with more to say."""
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout + b"\n" + more + b"\n", done.stderr)


def _command(url: str, examples: int, seed: int) -> Sequence[str]:
    config = str(REPOSITORY_ROOT / _FOLDER / "schemathesis.toml")
    whole = ("--config-file", config, "run", f"{url}/api/openapi.json", "--exclude-path", ENDLESS, "--checks", "all")
    bounds = ("--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", str(seed))
    return (sys.executable, "-c", _PROGRAM, *whole, *bounds, "--no-color", "--continue-on-failure")


def main() -> int:
    """0 when nothing was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=200, help="of each operation, beyond the systematic ones")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        done = anyio.run(run, Path(folder), options.examples, options.seed)
    sys.stdout.buffer.write(done.stdout)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
