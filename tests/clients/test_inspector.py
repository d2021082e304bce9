"""The Inspector's check of the tools' schemas, over both transports and in both eras.

It is installed by `python -m tests.kit.client_packages`; where it is not, the tests are skipped and say why.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from tests.clients.client_list import inspector
from tests.kit import client_packages
from tests.kit.processes import unmeasured_environment
from tests.server.http_served import site

RUN_SECONDS_MAX = 90
_ANY_ELEMENT = re.compile(r"\.anyOf\[1\]\.items$")
"""Where a list inside any JSON value says that its elements may be anything."""


async def lint(*server: str, era: str, home: Path) -> tuple[int, str]:
    """The exit code of `--strict` and what it found."""
    command = [str(client_packages.node()), str(inspector()), "--cli", *server]
    asked = ["--method", "tools/list", "--strict", "--protocol-era", era]
    with anyio.fail_after(RUN_SECONDS_MAX):
        done = await anyio.run_process(
            [*command, *asked],
            check=False,
            stderr=subprocess.PIPE,
            env={**unmeasured_environment(), "HOME": str(home)},
        )
    return done.returncode, done.stderr.decode(errors="replace")


def judge(code: int, found: str) -> None:
    """No error, and no warning but the one that is meant."""
    assert code == 0, found
    assert re.search(r"^0 errors, ", found, re.MULTILINE), found
    paths = re.findall(r"^  Path: (\S+)$", found, re.MULTILINE)
    assert [path for path in paths if not _ANY_ELEMENT.search(path)] == []
    assert found.count("Schema carries no validation keyword at all") == len(paths)


@pytest.fixture(autouse=True)
def installed() -> None:
    try:
        inspector()
        client_packages.node()
    except client_packages.Missing as missing:
        pytest.skip(f"the Inspector: {missing}")


async def test_the_schemas_are_portable_over_stdio(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "asg_mcp", "serve", "--db", str(tmp_path / "state.db"))
    judge(*await lint(*command, era="legacy", home=tmp_path))


async def test_the_schemas_are_portable_over_http(tmp_path: Path) -> None:
    async with site(tmp_path) as running:
        code, found = await lint("--server-url", f"{running.url}/mcp", era="modern", home=tmp_path)
    judge(code, found)
