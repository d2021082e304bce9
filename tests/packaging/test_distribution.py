"""What is published: built here once, looked into, installed beside the dependencies that are here, and run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from collections.abc import Mapping
from email.parser import HeaderParser
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import __version__
from tests.kit.manifests import REGISTRY_NAME, ROOT
from tests.kit.processes import unmeasured_environment

SECONDS_MAX = 120
INTENT = {"intent_category": "Checkpoint", "intent_description": "Try what is published"}


def _run(*command: str | Path, cwd: Path = ROOT, given: str = "", env: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        input=given,
        env=env,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist."""
    pytest.importorskip("hatchling", reason="the build backend is not here; it comes with the test extra")
    folder = tmp_path_factory.mktemp("dist")
    _run(sys.executable, "-m", "hatchling", "build", "-d", folder)
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"asg_mcp-{__version__}-py3-none-any.whl"


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel alone of its own; the dependencies are those of the one that runs the tests."""
    pytest.importorskip("pip", reason="pip is not in this environment")
    folder = tmp_path_factory.mktemp("installed") / "env"
    venv.EnvBuilder(with_pip=False, symlinks=os.name == "posix").create(folder)
    python = _script(folder, "python")
    pip = (sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check")
    _run(*pip, "install", "--quiet", "--no-deps", "--no-index", wheel)
    own = Path(_run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    # Behind what the environment has itself, so the package comes from the wheel and only the rest from here.
    (own / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder


def _script(environment: Path, name: str) -> Path:
    return environment / ("Scripts" if sys.platform == "win32" else "bin") / name


def _environment(home: Path) -> dict[str, str]:
    """A user's, with a home of its own and without a hint of this checkout."""
    kept = {name: value for name, value in unmeasured_environment().items() if not name.startswith(("PYTHON", "ASG_"))}
    return {
        **kept,
        "HOME": str(home),
        "XDG_DATA_HOME": str(home),
        "XDG_STATE_HOME": str(home),
        "LOCALAPPDATA": str(home),
    }


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    about = f"asg_mcp-{__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"asg_mcp", about}
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "asg_mcp").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names if name.startswith("asg_mcp/")} == sources
    assert {"asg_mcp/py.typed", "asg_mcp/storage/commits.zdict", "asg_mcp/evidence/verify.py"} <= names
    assert f"{about}/licenses/LICENSE" in names


def test_the_wheel_says_what_it_is_and_what_it_needs(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        about = HeaderParser().parsestr(opened.read(f"asg_mcp-{__version__}.dist-info/METADATA").decode())
        scripts = opened.read(f"asg_mcp-{__version__}.dist-info/entry_points.txt").decode()
    assert (about["Name"], about["Version"], about["License-Expression"]) == ("asg-mcp", __version__, "Apache-2.0")
    # `uvx asg-mcp` and `pipx run asg-mcp` need a script of the distribution's own name.
    assert "asg-mcp = asg_mcp.cli:main" in scripts
    assert f"<!-- mcp-name: {REGISTRY_NAME} -->" in about.get_payload()
    needed = about.get_all("Requires-Dist")
    assert needed is not None
    assert all("<" in line or "google-re2" in line for line in needed), "an upper bound on every dependency"


def test_the_sdist_can_be_built_and_tested_and_has_nothing_of_this_machine(dist: Path) -> None:
    top = f"asg_mcp-{__version__}"
    with tarfile.open(dist / f"{top}.tar.gz") as opened:
        names = {name.removeprefix(f"{top}/") for name in opened.getnames()}
    for name in ("pyproject.toml", "asg_mcp/storage/commits.zdict", "tests/test_house_rules.py", "docs/library.md"):
        assert name in names
    kept = {"asg_mcp", "docs", "schemas", "tests", "tools"}
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == kept
    assert not [name for name in names if name.endswith((".pyc", ".db", ".lock")) or "/." in name]


def test_what_is_installed_runs_away_from_the_checkout(installed: Path, tmp_path: Path) -> None:
    env = _environment(tmp_path)
    program = _script(installed, "asg-mcp")
    assert _run(program, "--version", cwd=tmp_path, env=env) == f"asg-mcp {__version__}\n"
    place = _run(_script(installed, "python"), "-c", "import asg_mcp; print(asg_mcp.__file__)", cwd=tmp_path, env=env)
    assert Path(place.strip()).is_relative_to(installed)


def test_what_install_writes_down_serves_a_client_that_has_no_path_and_no_folder(
    installed: Path, tmp_path: Path
) -> None:
    client = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "tester", "version": "1"}}
    calls: list[dict[str, Any]] = [
        {"id": 1, "method": "initialize", "params": client},
        {"method": "notifications/initialized"},
        {
            "id": 2,
            "method": "tools/call",
            "params": {"name": "asg_set", "arguments": {"path": "/a", "value": 1, **INTENT}},
        },
        {"id": 3, "method": "tools/call", "params": {"name": "asg_get", "arguments": {"path": "/a"}}},
    ]
    lines = [json.dumps({"jsonrpc": "2.0", **call}) + "\n" for call in calls]
    environment = _environment(tmp_path)
    told = _run(
        _script(installed, "asg-mcp"), "install", "cursor", "--db", "s.db", "--json", cwd=tmp_path, env=environment
    )
    entry = json.loads(told)["entry"]
    with subprocess.Popen(
        [entry["command"], *entry["args"]],
        cwd=Path(tmp_path.anchor),
        env={**environment, "PATH": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        replies = []
        for call, line in zip(calls, lines, strict=True):
            server.stdin.write(line)
            server.stdin.flush()
            if "id" in call:
                replies.append(json.loads(server.stdout.readline())["result"])
        server.stdin.close()
        assert server.wait(SECONDS_MAX) == 0
    assert replies[0]["serverInfo"]["version"] == __version__
    assert replies[1]["structuredContent"]["changed"] == 1
    assert replies[2]["structuredContent"]["value"] == 1
    assert (tmp_path / "s.db").exists()
