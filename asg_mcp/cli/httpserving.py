"""`serve --http`: the same tools for clients that connect over HTTP."""

from __future__ import annotations

import argparse
from argparse import Namespace
from pathlib import Path
from urllib.parse import urlsplit

from asg_mcp import config
from asg_mcp.cli.output import Output
from asg_mcp.errors import InvalidArgument
from asg_mcp.repo.repository import Repository
from asg_mcp.server.http import HttpOptions, address_of, is_loopback, listen, serve_http
from asg_mcp.server.mcp import ServerOptions
from asg_mcp.services.oauth import ResourceServer
from asg_mcp.services.oauthkeys import FetchedKeys, KeyFile
from asg_mcp.services.tokens import Door, TokenFile
from asg_mcp.tools.catalogue import CATALOGUE

_DEFAULT = HttpOptions()
_PORT_MAX = 65_535


def add_options(group: argparse._ArgumentGroup) -> None:
    """The options of `serve` that are about HTTP."""
    group.add_argument("--http", action="store_true", default=False, help="serve HTTP instead: /mcp, /sse, /api")
    group.add_argument(
        "--host", default=_DEFAULT.host, help=f"where to listen (default: {_DEFAULT.host}, this machine alone)"
    )
    group.add_argument("--port", type=_port, default=_DEFAULT.port, help=f"0 for any (default: {_DEFAULT.port})")
    group.add_argument(
        "--allow-host", metavar="NAME", action="append", default=[], help="a further name that clients call it by"
    )
    group.add_argument(
        "--allow-anonymous",
        action="store_true",
        default=False,
        help="let everybody in who reaches a --host of other machines, as long as no token was ever made",
    )
    group.add_argument(
        "--protect",
        metavar="GLOBS",
        default="main",
        help="refs between commas that only tokens with the right to merge may change (default: main)",
    )
    group.add_argument(
        "--oauth-issuer", metavar="URL", default="", help="let in whoever has a JWT of this authorization server too"
    )
    group.add_argument(
        "--oauth-audience", metavar="URL", default="", help="the URL of this server that such a token is for"
    )
    group.add_argument(
        "--oauth-jwks",
        metavar="PLACE",
        default="",
        help="the issuer's public keys: a file, or a URL at the issuer (default: where its metadata says)",
    )


def http_options(options: Namespace) -> HttpOptions:
    """Where to listen; with an authorization server, also under the name by which its tokens call this one."""
    named = (urlsplit(options.oauth_audience).hostname or "",) if options.oauth_audience else ()
    return HttpOptions(options.host, options.port, (*options.allow_host, *filter(None, named)))


def resource_server(options: Namespace) -> ResourceServer | None:
    """What verifies the tokens of an authorization server, if one was named. Raises InvalidArgument, StorageError."""
    issuer, audience, place = options.oauth_issuer, options.oauth_audience, options.oauth_jwks
    if not issuer and not audience and not place:
        return None
    if not issuer or not audience:
        raise InvalidArgument(
            "An authorization server needs both --oauth-issuer and --oauth-audience",
            hint="The audience is the URL of this server, such as https://asg.example.com/mcp.",
        )
    if not place or "://" in place:
        return ResourceServer(issuer, audience, FetchedKeys(issuer, place))
    file = KeyFile(Path(place).expanduser().absolute())
    if not file.keys():
        raise InvalidArgument(
            f"{file.path} has no public key that verifies signatures", hint="Save the issuer's JWKS there, as it is."
        )
    return ResourceServer(issuer, audience, file)


def door(options: Namespace) -> Door:
    """Who is let in. Raises InvalidArgument where that would be everybody on the network, and nobody said so.

    And where the server is to be bound to a session: that is of the local user, and is no caller's here.
    """
    if config.bound_session(options.session):
        raise InvalidArgument(
            f"A server over HTTP is bound to no session: --session ({config.SESSION_VARIABLE}) is of the local user",
            hint="Leave it out. Tokens bind callers: `asg-mcp token add PRINCIPAL --agent A --ref R --path P`.",
        )
    tokens = TokenFile(config.token_file(options.db))
    protected = tuple(glob.strip() for glob in options.protect.split(",") if glob.strip())
    found = Door(tokens, protected, resource_server(options))
    if found.is_open and not is_loopback(options.host) and not options.allow_anonymous:
        raise InvalidArgument(
            f"Other machines can reach {options.host}, and no token was ever made: everybody would be let in",
            hint="Make a token with `asg-mcp token add PRINCIPAL`, or say --allow-anonymous.",
        )
    return found


async def serve(output: Output, options: Namespace, repository: Repository, server_options: ServerOptions) -> None:
    """Serve until a signal comes."""
    asked, who = http_options(options), door(options)
    with listen(asked) as listening:
        output.warn(
            f"Serving MCP at {address_of(listening)}/mcp"
            + (", without tokens: whoever reaches it may do everything." if who.is_open else ".")
        )
        if who.is_shut:
            output.warn(
                f"Nobody is let in: no token in {who.file} holds any more. `asg-mcp token add PRINCIPAL` makes one; "
                "to let everybody in without, stop the server and delete that file."
            )
        output.flush()
        await serve_http(CATALOGUE, repository, server_options, who.verify, listening, asked.hosts, oauth=who.oauth)


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:6]) <= _PORT_MAX):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to {_PORT_MAX}")
    return int(text)
