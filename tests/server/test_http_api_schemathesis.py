"""Schemathesis calls every operation with what the document allows and with what it does not, and finds nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path

import anyio

from tests.server import schemathesis_run
from tests.server.http_served import site

RUN_SECONDS_MAX = 240
EXAMPLES = 4
"""Of each operation, beyond the systematic ones, of which there are about a hundred; enough for 15 seconds."""


async def test_schemathesis_finds_nothing_in_any_operation(tmp_path: Path) -> None:
    with anyio.fail_after(RUN_SECONDS_MAX):
        done = await schemathesis_run.run(tmp_path, EXAMPLES, seed=1)
    told = done.stdout.decode()
    assert done.returncode == 0, told[-8_000:] + done.stderr.decode()[-2_000:]
    passed = re.search(r"(\d+) generated, (\d+) passed", told)
    assert passed is not None, told
    assert int(passed[1]) == int(passed[2]) > 3_000
    # Not by refusing everything:
    answered = dict(re.findall(r'route="/api",status="(\d+)"\} (\d+)', told))
    assert int(answered["200"]) > 200, answered
    assert not {status for status in answered if status >= "5"}, answered


async def test_what_is_left_out_is_the_stream_that_never_ends(tmp_path: Path) -> None:
    async with site(tmp_path) as at, at.http() as http:
        operations = json.loads((await http.get("/api/openapi.json")).text)["paths"]
        answers = {path: methods["get"]["responses"]["200"] for path, methods in operations.items() if "get" in methods}
        streams = [path for path, answer in answers.items() if "text/event-stream" in answer["content"]]
        assert streams == [schemathesis_run.ENDLESS]
