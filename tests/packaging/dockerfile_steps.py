"""Runs the steps of the Dockerfile without an engine, in roots that are copies of a clean one: by hand, as root.

    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm CLEAN
    python -m tests.packaging.dockerfile_steps CLEAN SCRATCH

CLEAN takes the place of the base image; its python3 must be one that the package supports. What follows is what a build
does with FROM, WORKDIR, COPY, RUN, ENV and USER, and then what a run does: the entry point as process 1 of a namespace,
as the image's user, over stdio and over HTTP with a token, the health check, and the stop signal.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.packaging.dockerfile import DOCKERFILE, ROOT, Instruction, filled, instructions, of, stages

SECONDS_MAX = 300
_PASSED = (
    "PIP_CERT",
    "PIP_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_DEFAULT_TIMEOUT",
    "HTTPS_PROXY",
    "HTTP_PROXY",
    "NO_PROXY",
)
"""How this machine reaches a package index; a build would be given the same."""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Root:
    """A folder that a stage is built in."""

    def __init__(self, clean: Path, path: Path) -> None:
        subprocess.run(["cp", "-a", str(clean), str(path)], check=True)
        self.path = path
        self.env = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root"}
        self.folder = "/"
        self.user = "0"
        (path / "usr/local/bin/python").symlink_to("/usr/bin/python3")  # as the image calls it
        for name in ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"):
            shutil.copy(f"/{name}", path / name)

    def command(self, words: Sequence[str], user: str | None = None) -> list[str]:
        """What runs the words inside, as process 1 of a process namespace."""
        entering = " && ".join(
            (
                "mount --make-rprivate /",
                f"mount -t proc proc {self.path}/proc",
                f"mount --bind /dev {self.path}/dev",
                f"exec chroot --userspec={user or self.user} {self.path} /usr/bin/env --chdir={self.folder} "
                + shlex.join(words),
            )
        )
        return ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", entering]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        return {**self.env, **(more or {})}

    def run(self, words: Sequence[str], more: Mapping[str, str] | None = None) -> str:
        done = subprocess.run(
            self.command(words),
            env=self.environment(more),
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS_MAX,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout


def build(stage: Sequence[Instruction], root: Root, earlier: Mapping[str, Root]) -> None:
    """The steps of one stage."""
    passed = {name: os.environ[name] for name in _PASSED if name in os.environ}
    for step in stage[1:]:
        say(f"{step.name} {step.text[:100]}")
        if step.name == "WORKDIR":
            root.folder = step.text
            (root.path / step.text.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif step.name == "COPY":
            _copy(step.words, root, earlier)
        elif step.name == "RUN":
            root.run(["/bin/sh", "-c", step.text], passed)
        elif step.name == "ENV":
            root.env.update({name: filled(value, root.env) for name, value in step.pairs.items()})
        elif step.name == "USER":
            root.user = f"{step.text}:{step.text}"


def _copy(words: Sequence[str], root: Root, earlier: Mapping[str, Root]) -> None:
    base = ROOT
    if words[0].startswith("--from="):
        base, words = earlier[words[0].removeprefix("--from=")].path, words[1:]
    target = root.path / root.folder.lstrip("/") / words[-1].lstrip("/")
    for name in words[:-1]:
        source = base / name.lstrip("/")
        is_inside = words[-1].endswith("/")
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target / source.name if is_inside else target)


def over_stdio(image: Root, entry: Sequence[str]) -> None:
    """initialize, asg_set, asg_get; the end of input ends it."""
    intent = {"intent_category": "Checkpoint", "intent_description": "Try the image"}
    calls = [
        (
            "initialize",
            {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}},
        ),
        ("tools/call", {"name": "asg_set", "arguments": {"path": "/a", "value": 1, **intent}}),
        ("tools/call", {"name": "asg_get", "arguments": {"path": "/a"}}),
    ]
    started = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    lines: list[object] = [
        {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
        for number, (method, params) in enumerate(calls)
    ]
    process = subprocess.Popen(
        image.command([*entry, "serve"]), env=image.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    reply: dict[str, Any] = {}
    for line in (lines[0], started, *lines[1:]):
        process.stdin.write(json.dumps(line).encode() + b"\n")
        process.stdin.flush()
        reply = {} if line is started else json.loads(process.stdout.readline())
    say(f"stdio: {reply['result']['structuredContent']}")
    process.stdin.close()
    say(f"stdio: ended with {process.wait(SECONDS_MAX)}")


def over_http(image: Root, entry: Sequence[str], check: Sequence[str], stop: int) -> None:
    """A token, a read with it, the health check, and the stop signal."""
    token = image.run([*entry, "token", "add", "alice"]).strip()
    process = subprocess.Popen(image.command([*entry, "serve", "--http", "--host", "0.0.0.0"]), env=image.environment())
    inside = 0
    try:
        url = "http://127.0.0.1:3001"
        say(f"http: /healthz {_answer(f'{url}/healthz')}")
        asked = Request(
            f"{url}/api/tools/asg_get",
            json.dumps({"path": "/a"}).encode(),
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        say(f"http: {json.load(urlopen(asked, timeout=10))['value']}")
        inside = _child(process)
        entering = ["nsenter", "--target", str(inside), "--mount", "--pid", "chroot", f"--userspec={image.user}"]
        subprocess.run([*entering, str(image.path), *check], env=image.environment(), check=True, timeout=30)
        with_proc = Path(f"/proc/{inside}/status").read_text(encoding="utf-8")
        uid = next(line for line in with_proc.splitlines() if line.startswith("Uid:"))
        pid = next(line for line in with_proc.splitlines() if line.startswith("NSpid:"))
        say(f"http: health check passed; {uid.split()[1:]} {pid.split()[1:]}")
        os.kill(inside, stop)
        say(f"http: ended with {process.wait(30)} after signal {stop}")
    finally:
        with suppress(ProcessLookupError, subprocess.CalledProcessError):
            os.kill(inside or _child(process), signal.SIGKILL)
        process.kill()
        process.wait()


def _child(process: subprocess.Popen[bytes]) -> int:
    return int(subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, check=True).stdout)


def _answer(url: str) -> int:
    """The status, once somebody answers."""
    deadline = time.monotonic() + 60
    while True:
        try:
            return int(urlopen(url, timeout=5).status)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main(clean: Path, scratch: Path) -> None:
    found = instructions(DOCKERFILE.read_text(encoding="utf-8"))
    roots: dict[str, Root] = {}
    root = Root(clean, scratch / "0")
    for number, stage in enumerate(stages(found)):
        root = root if not number else Root(clean, scratch / str(number))
        say(f"== stage {number}")
        build(stage, root, roots)
        roots[stage[0].words[-1]] = root
    last = stages(found)[-1]
    entry = next(of(last, "ENTRYPOINT")).words
    check = Instruction("CMD", next(of(last, "HEALTHCHECK")).text.partition(" CMD ")[2]).words
    say(root.run([*entry, "--version"]).strip())
    over_stdio(root, entry)
    image = root
    over_http(image, entry, check, signal.Signals[next(of(last, "STOPSIGNAL")).text])
    kept = sorted(path.name for path in (root.path / "data").iterdir())
    say(f"/data: {kept}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
