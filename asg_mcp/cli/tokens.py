"""`token`: makes, lists and revokes what clients of `serve --http` show to be let in."""

from __future__ import annotations

import re
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import asdict

from asg_mcp import config
from asg_mcp.app import open_repository
from asg_mcp.cli.output import DIM, LABEL, STRONG, Output
from asg_mcp.repo.denying import Denial
from asg_mcp.repo.denying import denials as last_denials
from asg_mcp.services.access import Verb
from asg_mcp.services.tokens import Token, TokenFile, TokenRequest

LIST = "list the tokens that let clients of `serve --http` in"
ADD = "make a token; it is shown this once"
REVOKE = "refuse a token from now on"
DENIALS = "list who was refused what, the newest first, as the log of the store has it"
_DEFAULT = TokenRequest("")
_WILD = re.compile(r"[*?]|\[.*\]")


def add_options(command: ArgumentParser) -> None:
    """The options of `token add`."""
    command.add_argument(
        "principal",
        metavar="PRINCIPAL",
        help="who it stands for, such as alice or ci: recorded with all that is done with it",
    )
    for name, metavar, text, default in (
        (
            "agent",
            "GLOB",
            "an agent that it may act as; the first without wildcards is the default one",
            _DEFAULT.agents,
        ),
        ("verb", "VERB", f"a right: {', '.join(Verb)}", _DEFAULT.verbs),
        ("ref", "GLOB", "refs that it may read and write, such as team/*", _DEFAULT.refs),
        ("path", "PATH", "a path that it may read and write, with all below it", _DEFAULT.paths),
    ):
        command.add_argument(
            f"--{name}",
            dest=f"{name}s",
            metavar=metavar,
            action="append",
            help=f"{text}; can be given several times (default: {' '.join(default)})",
        )
    command.add_argument(
        "--expires", metavar="TIME", default="", help="RFC 3339, or a number of seconds (default: never)"
    )


async def add(output: Output, options: Namespace) -> int:
    """Make a token and show it."""
    request = TokenRequest(
        options.principal,
        tuple(options.agents or _DEFAULT.agents),
        tuple(options.verbs or _DEFAULT.verbs),
        tuple(options.refs or _DEFAULT.refs),
        tuple(options.paths or _DEFAULT.paths),
        options.expires,
    )
    text, token = _file(options).add(request, _now())
    for path in filter(_WILD.search, token.paths):
        output.warn(f"{path} is that very path: paths have no wildcards, and hold all that is below them.")
    if output.as_json:
        output.document({"token": text, **token.shown()})
        return 0
    output.line(text)
    output.note("Keep it: it is not stored here, and cannot be shown again. Clients send it as Authorization: Bearer.")
    return 0


async def listed(output: Output, options: Namespace) -> int:
    """Tell which tokens there are."""
    file = _file(options)
    tokens = file.tokens()
    _tell_if_shut(output, file)
    if output.as_json:
        output.document({"tokens": [token.shown() for token in tokens]})
        return 0
    if not tokens:
        output.note("There are no tokens. `asg-mcp token add PRINCIPAL` makes one.")
    for token in tokens:
        _show(output, token)
    return 0


async def revoke(output: Output, options: Namespace) -> int:
    """Revoke a token."""
    file = _file(options)
    token = file.revoke(options.id)
    _tell_if_shut(output, file)
    if output.as_json:
        output.document({"revoked": token.shown()})
    else:
        output.line("Revoked ", (token.id, STRONG), f" of {token.principal}.")
    return 0


async def denials(output: Output, options: Namespace) -> int:
    """Tell who was refused what."""
    place = config.store_place(options.db)
    async with open_repository(place.path, create=False) as repository:
        count = options.count or await repository.read(lambda view: view.reader.events_count())
        found = await repository.read(lambda view: last_denials(view, count))
    if output.as_json:
        output.document({"denials": [asdict(one) for one in found]})
        return 0
    if not found:
        output.note("Nobody was refused anything.")
    for one in found:
        output.line((one.at, DIM), "  ", (one.principal, LABEL), f"  {one.denial.what}: {', '.join(_told(one.denial))}")
    return 0


def _tell_if_shut(output: Output, file: TokenFile) -> None:
    if file.is_there and not file.tokens():
        output.warn(f"No token is left, so a server over HTTP lets nobody in, unless {file.path} is deleted.")


def _told(denial: Denial) -> Iterator[str]:
    for name, part in asdict(denial).items():
        if part and name != "what":
            yield f"{name} {part}"


def _show(output: Output, token: Token) -> None:
    shown = token.shown()
    over = " (expired)" if token.expires is not None and token.expires <= _now() else ""
    output.line((token.id, STRONG), "  ", (token.principal, LABEL), f"  {shown['expires'] or 'never expires'}{over}")
    for name in ("verbs", "agents", "refs", "paths"):
        output.field(name, (" ".join(shown[name]), DIM))


def _file(options: Namespace) -> TokenFile:
    return TokenFile(config.token_file(options.db))


def _now() -> int:
    return time.time_ns() // 1_000
