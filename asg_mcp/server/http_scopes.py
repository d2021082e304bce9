"""What a resource server of OAuth 2.1 tells clients: whence tokens come (RFC 9728), what one lacks (RFC 6750)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from asg_mcp.errors import AsgError, Unauthenticated
from asg_mcp.server.http_errors import answer
from asg_mcp.server.http_routes import EVENTS_PATH, METRICS_PATH, READS, RESOURCES
from asg_mcp.services.access import Grant, InsufficientScope, Verb
from asg_mcp.services.oauth import SCOPES, ResourceServer
from asg_mcp.tools.aliases import ALIASES
from asg_mcp.tools.needs import NEEDS

METADATA_PATH = "/.well-known/oauth-protected-resource"
LISTEN_METHOD = "subscriptions/listen"
_API, _TOOLS = "/api/", "/api/tools/"
_OPEN_READS = frozenset({"/api/openapi.json"})
_READING_METHODS = frozenset(
    {"resources/read", "resources/subscribe", "resources/unsubscribe", LISTEN_METHOD, "completion/complete"}
)
_TOOL_OF: Mapping[str, str] = {**{name: name for name in NEEDS}, **{alias.name: alias.tool for alias in ALIASES}}
_ROUTES = frozenset({EVENTS_PATH, METRICS_PATH, *(route.path for route in (*READS, *RESOURCES))})
_NOTHING: frozenset[Verb] = frozenset()


class Challenges:
    """What clients without a sufficient token are told."""

    def __init__(self, oauth: ResourceServer) -> None:
        parts = urlsplit(oauth.audience)
        # RFC 9728, 3.1: the path as it is, but for a slash that is all of it. Metadata anywhere else would name another
        # resource than the one asked for, and clients have to reject that (3.3).
        self._path = METADATA_PATH + ("" if parts.path == "/" else parts.path)
        self._url = f"{parts.scheme}://{parts.netloc}{self._path}"
        self._hint = (
            f"Ask {oauth.issuer} for a token for {oauth.audience}, and send it as `Authorization: Bearer TOKEN`."
        )
        self.open_paths = frozenset({self._path})
        self._document = to_json(
            {
                "resource": oauth.audience,
                "authorization_servers": [oauth.issuer],
                "scopes_supported": SCOPES,
                "bearer_methods_supported": ["header"],
                "resource_name": "AgentStateGraph",
            }
        )

    def routes(self) -> Iterator[Route]:
        """Where the metadata is: at the well-known place, with the path of the audience behind it."""

        async def metadata(_: Request) -> Response:
            return answer(self._document)

        yield Route(self._path, metadata, methods=["GET"])

    def addressed(self, error: AsgError) -> AsgError:
        """The error with a hint that says where this server's tokens come from."""
        if isinstance(error, Unauthenticated):
            error.hint = self._hint
        return error

    def header(self, error: AsgError, *, has_token: bool) -> dict[str, str]:
        """The header that goes with an error; {} with one that another token would not mend."""
        parts = {"resource_metadata": self._url}
        if isinstance(error, InsufficientScope):
            parts = {"error": error.code, "scope": error.scope, **parts}
        elif not isinstance(error, Unauthenticated):
            return {}
        elif has_token:
            parts = {"error": "invalid_token", **parts}
        else:
            parts["scope"] = SCOPES[0]
        return {"www-authenticate": "Bearer " + ", ".join(f'{name}="{text}"' for name, text in parts.items())}


def check_scope(grant: Grant, scope: Scope, body: bytes) -> None:
    """Raise InsufficientScope where a token of an authorization server lacks what every such call needs.

    What a call needs besides is decided when its arguments are known. Tokens of the file are answered then: nobody can
    ask for another.
    """
    if not grant.issuer or len(grant.verbs) == len(Verb):
        return
    lacking = _needed(scope["method"], scope["path"], body) - grant.verbs
    if lacking:
        raise InsufficientScope(grant, lacking)


def called(scope: Scope, body: bytes) -> str:
    """What a request calls, for the log: a tool, a method of the protocol, or a route. Never a text of the client."""
    path: str = scope["path"]
    if path.startswith(_TOOLS):
        return _TOOL_OF.get(path.removeprefix(_TOOLS), _TOOLS)
    if path.startswith(_API) or scope["method"] != "POST":
        return path if path in _ROUTES else _API
    message = _message(body)
    method = message.get("method")
    if method == "tools/call":
        return _TOOL_OF.get(_tool(message), "tools/call")
    return method if isinstance(method, str) and method in _READING_METHODS else "tools/call"


def listens(scope: Scope, body: bytes) -> bool:
    """Whether the client only listens to the answer, so that nothing is lost when it is ended."""
    if scope["method"] in ("GET", "HEAD"):
        return True
    return LISTEN_METHOD.encode() in body and _message(body).get("method") == LISTEN_METHOD


def _needed(method: str, path: str, body: bytes) -> frozenset[Verb]:
    if path.startswith(_TOOLS):
        return _of_tool(path.removeprefix(_TOOLS), _message(body))
    if path.startswith(_API) or path == "/metrics":
        return _NOTHING if path in _OPEN_READS else frozenset({Verb.READ})
    if method != "POST":
        return _NOTHING
    message = _message(body)
    asked = message.get("method")
    if asked == "tools/call":
        return _of_tool(_tool(message), _params(message).get("arguments"))
    return frozenset({Verb.READ}) if isinstance(asked, str) and asked in _READING_METHODS else _NOTHING


def _of_tool(name: str, arguments: Any) -> frozenset[Verb]:
    tool = _TOOL_OF.get(name)
    if tool is None:
        return _NOTHING
    return NEEDS[tool].verbs | (NEEDS[tool].besides(arguments) if isinstance(arguments, dict) else _NOTHING)


def _tool(message: Mapping[str, Any]) -> str:
    name = _params(message).get("name")
    return name if isinstance(name, str) else ""


def _params(message: Mapping[str, Any]) -> Mapping[str, Any]:
    params = message.get("params")
    return params if isinstance(params, dict) else {}


def _message(body: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(body)
    except ValueError:
        return {}  # whoever reads it next says what is wrong with it
    return message if isinstance(message, dict) else {}
