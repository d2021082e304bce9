"""What a client's file says of one server: whether it starts this program, and how much of it may be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from asg_mcp import config

HIDDEN = "…"
_MODULE = config.PROGRAM.replace("-", "_")
_ENGINES = frozenset({"docker", "podman", "nerdctl"})
_ALONE = frozenset(
    {"-d", "-i", "-t", "-it", "-ti", "-P", "--detach", "--init", "--interactive", "--no-healthcheck", "--privileged"}
    | {"--publish-all", "--quiet", "--read-only", "--rm", "--tty"}
)
"""Options of `docker run` that no value follows."""


def is_ours(entry: Mapping[str, Any]) -> bool:
    """Whether the entry starts this program: by its name, as a module of Python, or as the image of a container."""
    return _own_from(entry) is not None


def shown(entry: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """The command and the arguments that are this program's own; None of None.

    Variables and headers of a server are where people keep keys, and so are the arguments of other programs.
    """
    if entry is None:
        return None
    command, args = entry.get("command"), _words(entry)
    own = _own_from(entry)
    told: dict[str, Any] = {}
    if isinstance(command, str):
        told["command"] = command if own is not None or not ("=" in command or " -" in command) else HIDDEN
    if args:
        hidden = len(args) if own is None else own
        told["args"] = [*[HIDDEN] * hidden, *args[hidden:]]
    return told


def _own_from(entry: Mapping[str, Any]) -> int | None:
    """At which argument this program's own begin; None when another program is started."""
    command, args = entry.get("command"), _words(entry)
    if not isinstance(command, str):
        return None
    name = Path(command.replace("\\", "/")).stem.lower()
    if name == config.PROGRAM:
        return 0
    if name.startswith(("python", "py")) and args[:2] == ["-m", _MODULE]:
        return 2
    return _behind_image(args) if name in _ENGINES else None


def _behind_image(args: Sequence[str]) -> int | None:
    """Where the arguments of the container begin, when it is made of this program's image."""
    if args[:1] != ["run"]:
        return None
    at = 1
    while at < len(args) and args[at].startswith("-"):
        at += 1 if args[at] in _ALONE or "=" in args[at] else 2
    image = args[at].rpartition("/")[2] if at < len(args) else ""
    return at + 1 if image.partition("@")[0].partition(":")[0] == config.PROGRAM else None


def _words(entry: Mapping[str, Any]) -> list[str]:
    args = entry.get("args")
    return [word if isinstance(word, str) else HIDDEN for word in args] if isinstance(args, list) else []
