"""What the Dockerfile must have. That its steps run is shown by dockerfile_steps.py, by hand, in a root of its own."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import URLError

import pytest

from asg_mcp import __version__
from asg_mcp.cli.arguments import parse
from asg_mcp.server.http import HttpOptions
from tests.packaging.dockerfile import DOCKERFILE, ROOT, instructions, of, stages

SECONDS_MAX = 60
TEXT = DOCKERFILE.read_text(encoding="utf-8")
ALL = instructions(TEXT)
BUILD, FINAL = stages(ALL)


def test_the_linter_has_no_complaint() -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if linter is None:
        pytest.skip("hadolint is not here; it comes with the test extra on Linux")
    done = subprocess.run(
        [linter, str(DOCKERFILE)], capture_output=True, encoding="utf-8", timeout=SECONDS_MAX, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_the_base_is_slim_and_pinned_in_one_place() -> None:
    (base,) = of(ALL, "ARG")
    assert re.fullmatch(r"BASE=python:3\.\d+-slim-[a-z]+(@sha256:[0-9a-f]{64})?", base.text)
    assert [stage[0].words[0] for stage in (BUILD, FINAL)] == ["${BASE}", "${BASE}"]
    supported = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["classifiers"]
    version = base.text.split(":")[1].split("-")[0]
    assert f"Programming Language :: Python :: {version}" in supported


def test_it_runs_as_a_user_without_rights_who_owns_the_volume() -> None:
    names = [instruction.name for instruction in FINAL]
    (user,) = of(FINAL, "USER")
    assert (user.text.isdecimal(), int(user.text) >= 10_000) == (True, True)
    assert names.index("USER") < names.index("VOLUME")
    assert next(of(FINAL, "VOLUME")).words == ["/data"]
    made = " ".join(run.text for run in of(FINAL, "RUN"))
    assert f"--uid {user.text} asg" in made
    assert "--owner=asg --group=asg --mode=0700 /data" in made


def test_everything_that_must_last_is_on_the_volume() -> None:
    (env,) = of(FINAL, "ENV")
    kept = {name: value for name, value in env.pairs.items() if name.startswith("ASG_")}
    assert set(kept) == {"ASG_DB", "ASG_STATE"}
    assert all(value.startswith("/data/") for value in kept.values())


def test_it_starts_the_server_itself_so_that_signals_reach_it() -> None:
    (entry,), (default,), (stop,) = of(FINAL, "ENTRYPOINT"), of(FINAL, "CMD"), of(FINAL, "STOPSIGNAL")
    assert entry.text.startswith("[")
    assert default.text.startswith("[")
    assert entry.words == ["asg-mcp"]
    assert parse(default.words).http is False
    assert stop.text == "SIGINT"


def test_no_version_and_no_secret_is_written_into_it() -> None:
    assert __version__ not in TEXT
    assert not re.search(r"(?i)(token|password|secret|key)\s*=", TEXT)


def test_only_what_the_wheel_needs_is_copied() -> None:
    copied = [word for copy in of(BUILD, "COPY") for word in copy.words[:-1]]
    assert copied == ["pyproject.toml", "README.md", "LICENSE", "asg_mcp"]
    assert all((ROOT / name).exists() for name in copied)
    assert [copy.words[0] for copy in of(FINAL, "COPY")] == ["--from=build"]


def test_the_commands_in_its_comments_can_be_typed() -> None:
    typed = re.findall(r"docker run .*? asg-mcp(?: (.+))?$", TEXT, re.MULTILINE)
    assert len(typed) == 3
    for arguments in typed:
        parse(arguments.split())


def _check() -> str:
    """The program of the health check."""
    (check,) = of(FINAL, "HEALTHCHECK")
    options, _, command = check.text.partition(" CMD ")
    assert "--timeout=" in options
    words = next(iter(instructions(f"CMD {command}"))).words
    assert words[:2] == ["python", "-c"]
    return words[2]


class _Health(BaseHTTPRequestHandler):
    asked: list[str]
    status: int

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def health() -> Iterator[type[_Health]]:
    handler = type("Health", (_Health,), {"asked": [], "status": 200})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        handler.port = server.server_address[1]  # type: ignore[attr-defined]
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield handler
        server.shutdown()
        thread.join()


def _run_check(tmp_path: Path, port: int, *command: str) -> None:
    """The health check beside a process 1 of this command, with the server at another port."""
    cmdline = tmp_path / "cmdline"
    cmdline.write_text("".join(f"{word}\0" for word in command), encoding="utf-8")
    program = _check()
    for old, new in (("/proc/1/cmdline", cmdline.as_posix()), (f":{HttpOptions().port}/", f":{port}/")):
        assert program.count(old) == 1
        program = program.replace(old, new)
    exec(compile(program, "healthcheck", "exec"), {})


@pytest.mark.skipif(sys.platform == "win32", reason="the container is no Windows")
def test_the_health_check_asks_the_server_where_it_listens(tmp_path: Path, health: type[_Health]) -> None:
    assert f"EXPOSE {HttpOptions().port}" in TEXT
    port = int(getattr(health, "port"))  # noqa: B009
    _run_check(tmp_path, port, "/opt/asg-mcp/bin/python", "/opt/asg-mcp/bin/asg-mcp", "serve", "--http")
    assert health.asked == ["/healthz"]
    health.status = 503
    with pytest.raises(URLError):
        _run_check(tmp_path, port, "asg-mcp", "serve", "--http")


def test_the_health_check_leaves_a_server_on_stdio_alone(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _run_check(tmp_path, port, "asg-mcp", "serve")
    with pytest.raises(URLError):
        _run_check(tmp_path, port, "asg-mcp", "serve", "--http")
