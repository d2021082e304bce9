"""The official conformance suite against the real server with the suite's fixtures, on both revisions of the protocol.

It is installed by `python -m tests.kit.client_packages`; where it is not, the tests are skipped and say why.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest

from tests.conformance.site import fixture_site
from tests.kit import client_packages
from tests.kit.processes import unmeasured_environment

EXPECTED = Path(__file__).with_name("expected-failures.yml")
RUN_SECONDS_MAX = 120
REVISIONS = {"2025-11-25": 33, "2026-07-28": 50}
"""The revisions, and how many scenarios the suite runs for each: fewer would be a run that means less."""
ADVICE = {"2025-11-25": {"server-sse-polling"}, "2026-07-28": set[str]()}
"""Scenarios that warn. The one here advises streams that can be taken up again, an option of the older era: a client
that loses its stream opens another, and repeats what it wrote under the same request_id."""
TASKS = "tasks-"
"""Begins the names of scenarios of an extension that is not offered; the suite runs them and does not count them."""


@dataclass(frozen=True)
class Run:
    """What the suite found, but for the failures of tasks."""

    code: int
    told: str
    scenarios: Counter[str]
    failures: dict[str, list[str]]
    warnings: dict[str, list[str]]


def expected_failures() -> set[str]:
    return set(re.findall(r"^  - (\S+) # \S", EXPECTED.read_text(encoding="utf-8"), re.MULTILINE))


async def run(url: str, revision: str, out: Path) -> Run:
    program = client_packages.module_of("@modelcontextprotocol/conformance", "dist/index.js")
    known = ("--expected-failures", EXPECTED) if revision == "2025-11-25" else ()
    command = (client_packages.node(), program, "server", "--url", f"{url}/mcp", "--requirements", revision)
    with anyio.fail_after(RUN_SECONDS_MAX):
        done = await anyio.run_process(
            [str(word) for word in (*command, *known, "--output-dir", out)],
            check=False,
            stderr=subprocess.STDOUT,
            env=unmeasured_environment(),
        )
    return found_in(out, done.returncode, done.stdout.decode(errors="replace")[-4_000:])


def found_in(out: Path, code: int, told: str) -> Run:
    scenarios: Counter[str] = Counter()
    by_status: dict[str, dict[str, list[str]]] = {"FAILURE": {}, "WARNING": {}}
    for found in out.rglob("checks.json"):
        (name,) = re.findall(r"^server-(.+?)-\d{4}-\d\d-\d\dT", found.parent.name)
        scenarios[name] += 1
        for check in json.loads(found.read_text()):
            if check["status"] in by_status and not name.startswith(TASKS):
                what = f"{check['id']}: {check.get('errorMessage')}"
                by_status[check["status"]].setdefault(name, []).append(what)
    return Run(code, told, scenarios, by_status["FAILURE"], by_status["WARNING"])


@pytest.mark.parametrize("revision", REVISIONS)
async def test_the_suite_passes_but_for_what_is_expected(tmp_path: Path, revision: str) -> None:
    try:
        client_packages.folder("npm")
        client_packages.node()
    except client_packages.Missing as missing:
        pytest.skip(f"the conformance suite: {missing}")
    async with fixture_site(tmp_path) as url:
        found = await run(url, revision, tmp_path / "out")
    expected = expected_failures() if revision == "2025-11-25" else set()
    assert found.failures.keys() == expected, f"{found.failures}\n{found.told}"
    assert found.warnings.keys() == ADVICE[revision], found.warnings
    assert found.code == 0, found.told
    assert len(found.scenarios) >= REVISIONS[revision]


def test_every_expected_failure_has_its_reason() -> None:
    listed = re.findall(r"^  - ", EXPECTED.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(listed) == len(expected_failures()) == 3
