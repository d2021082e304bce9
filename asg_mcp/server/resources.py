"""Resources: what can be read by address. Each stands for one reading call of a tool, or of the repository itself.

    asg://state/REF/PATH    asg://value/REF/PATH    asg://log/REF    asg://diff/REF/REF    asg://commit/ID
    asg://branches          asg://stats             asg://health     …

A part of an address is percent-encoded as everywhere; a ref's own / must be (%2F), a path's / must not, since it
separates tokens: / inside a key is ~1, as in every JSON Pointer.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from urllib.parse import quote, unquote

import mcp_types as types
from pydantic_core import to_json

from asg_mcp.core.limits import REPLY_BYTES_MAX, URI_CHARS_MAX
from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import AsgError, InvalidArgument, LimitExceeded, NotFound
from asg_mcp.repo.branches import DEFAULT_BRANCH
from asg_mcp.repo.observing import Target, observe
from asg_mcp.repo.repository import Repository
from asg_mcp.server.arguments import nearest, shown
from asg_mcp.server.dispatch import Dispatcher
from asg_mcp.server.faults import protocol_error, replied_error
from asg_mcp.server.guarding import reading
from asg_mcp.services.access import ANYWHERE, Verb, decide
from asg_mcp.services.bundles import MEDIA_TYPE, bundle
from asg_mcp.tools.registry import Catalogue, ToolContext

JSON = "application/json"
BUNDLE_BYTES_MAX = 16 * 1_024 * 1_024
"""Of an evidence bundle that is read as a resource, before base64; a larger one is written by `asg-mcp export`."""
STATE_BYTES_MAX = REPLY_BYTES_MAX * 3 // 4
"""Of the value in a state; the rest is for its path and its last change."""
_VARIABLE = re.compile(r"\{(\+?)(\w+)\}")
_PATH_SAFE = "/!$&'()*+,;=:@"

Reply = dict[str, JsonValue]
Answer = Callable[[Repository, Mapping[str, str]], Awaitable[JsonValue]]


@dataclass(frozen=True, slots=True)
class Resource:
    """One address or template of addresses. The variables of the template are arguments of the tool."""

    uri: str
    name: str
    description: str
    tool: str = ""
    """The tool whose reply is read; "" for what `answer` gives."""
    arguments: Mapping[str, JsonValue] = field(default_factory=dict)
    """Arguments of that call besides the variables."""
    part: Callable[[Reply], JsonValue] | None = None
    """What is read of the reply; None: all of it."""
    answer: Answer | None = None
    """What is read where no tool's reply is: given the repository and the variables."""
    file: Callable[[Repository, Mapping[str, str]], Awaitable[bytes]] | None = None
    """What makes it where it is no JSON but a file."""
    mime_type: str = JSON
    completes: Mapping[str, str] = field(default_factory=dict)
    """Which variables can be completed, and as what: ref, path or epoch."""
    watches: Callable[[Mapping[str, str]], Target] | None = None
    """What a subscription to it watches, given the variables; None: it cannot be subscribed to."""

    @property
    def is_template(self) -> bool:
        return "{" in self.uri

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of the template's variables, in order."""
        return tuple(name for _, name in _VARIABLE.findall(self.uri))

    def match(self, uri: str) -> dict[str, str] | None:
        """The variables, decoded, or None where the address is not one of these. A path may be missing altogether."""
        found = _pattern(self.uri).fullmatch(uri)
        if found is None:
            return None
        parts = zip(self.variables, found.groups(), strict=True)
        return {name: unquote(text, errors="strict") for name, text in parts}

    def address(self, **variables: str) -> str:
        """The address with these variables, encoded so that `match` gives them back."""

        def encoded(found: re.Match[str]) -> str:
            return quote(variables[found[2]], safe=_PATH_SAFE if found[1] else "")

        return _VARIABLE.sub(encoded, self.uri)


@cache
def _pattern(template: str) -> re.Pattern[str]:
    text, *rest = _VARIABLE.split(template)
    pattern = re.escape(text)
    for plus, _, text in zip(rest[::3], rest[1::3], rest[2::3], strict=True):
        pattern += ("(|/.*)" if plus else "([^/]+)") + re.escape(text)
    return re.compile(pattern, re.DOTALL)


class NoSuchResource(NotFound):
    """No resource has this address."""

    code = "resource_not_found"


def _value(reply: Reply) -> JsonValue:
    if reply["truncated"]:
        raise LimitExceeded(
            f"The value at {reply['path']} has more than {REPLY_BYTES_MAX} bytes as JSON",
            hint="Read it in pages with asg_get (cursor), or read a longer path.",
            limit="REPLY_BYTES_MAX",
            max=REPLY_BYTES_MAX,
        )
    return reply["value"]


async def _bundle(repo: Repository, variables: Mapping[str, str]) -> bytes:
    return (await bundle(repo, variables["epoch"], bytes_max=BUNDLE_BYTES_MAX)).data


def _first_item(reply: Reply) -> JsonValue:
    items = reply["items"]
    assert isinstance(items, list), "BUG: a query answers a list"
    return items[0]


async def _stats(repo: Repository, _: Mapping[str, str]) -> JsonValue:
    seen, health = await repo.read(observe), await repo.health()
    refs = {kind: (await repo.list_refs("", kind=kind, limit=1, cursor="")).total for kind in ("branch", "tag")}
    return {
        "commits": seen.commits,
        "events": seen.events,
        "branches": refs["branch"],
        "tags": refs["tag"],
        "file_bytes": health.file_bytes,
        "wal_bytes": health.wal_bytes,
    }


async def _health(repo: Repository, _: Mapping[str, str]) -> JsonValue:
    health = await repo.health()
    return {
        "healthy": not health.problems,
        "problems": list(health.problems),
        "sqlite_version": health.sqlite_version,
        "faults": list(health.faults),
    }


def _watched_value(variables: Mapping[str, str]) -> Target:
    return Target(variables["ref"], parse_path(variables["path"]))


async def _epoch(repo: Repository, variables: Mapping[str, str]) -> JsonValue:
    # Every part of it has its own limit, a fraction of a megabyte together.
    info = await repo.epochs.info(variables["epoch"])
    return {name: part for name, part in asdict(info).items() if part not in ("", (), None)}


RESOURCES = (
    Resource("asg://branches", "branches", "Branches and tags, and where each stands.", "asg_list_branches"),
    Resource(
        "asg://plans",
        "plans",
        "Plans on main, and how far each is.",
        "asg_query",
        {"target": "plans"},
        watches=lambda _: Target(DEFAULT_BRANCH, ("plans",)),
    ),
    Resource("asg://sessions", "sessions", "Your sessions, the newest first.", "asg_query", {"target": "sessions"}),
    Resource("asg://epochs", "epochs", "Epochs, open and sealed, the newest first.", "asg_query", {"target": "epochs"}),
    Resource("asg://stats", "stats", "Counts and sizes of the store.", answer=_stats),
    Resource("asg://health", "health", "What should be mended in the store, if anything.", answer=_health),
    Resource(
        "asg://state/{ref}{+path}",
        "state",
        "The value at a path of a ref, its type, object and last change; what does not fit is named.",
        "asg_get",
        {"max_bytes": STATE_BYTES_MAX},
        completes={"ref": "ref", "path": "path"},
        watches=_watched_value,
    ),
    Resource(
        "asg://value/{ref}{+path}",
        "value",
        "The bare JSON value at a path of a ref, complete.",
        "asg_get",
        {"max_bytes": REPLY_BYTES_MAX},
        _value,
        completes={"ref": "ref", "path": "path"},
        watches=_watched_value,
    ),
    Resource(
        "asg://log/{ref}",
        "log",
        "The newest commits of a ref, with their reasons.",
        "asg_log",
        completes={"ref": "ref"},
        watches=lambda variables: Target(variables["ref"]),
    ),
    Resource(
        "asg://diff/{ref_a}/{ref_b}",
        "diff",
        "What leads from one ref to another.",
        "asg_diff",
        completes={"ref_a": "ref", "ref_b": "ref"},
    ),
    Resource(
        "asg://commit/{ref}",
        "commit",
        "One commit with all that was recorded of it.",
        "asg_query",
        {"limit": 1, "view": "full"},
        _first_item,
        completes={"ref": "ref"},
    ),
    Resource(
        "asg://epoch/{epoch}",
        "epoch",
        "What an epoch groups and, once it is sealed, what fixes it: members, root, signed checkpoint.",
        answer=_epoch,
        completes={"epoch": "epoch"},
    ),
    Resource(
        "asg://epoch/{epoch}/bundle",
        "bundle",
        "The evidence of a sealed epoch, with the program that verifies it: a zip archive.",
        file=_bundle,
        mime_type=MEDIA_TYPE,
        completes={"epoch": "epoch"},
    ),
)
"""All of them, in the order in which they are listed. One whose tool is switched off is not offered."""


class Shelf:
    """The resources that one server offers."""

    def __init__(self, catalogue: Catalogue, dispatcher: Dispatcher, resources: Sequence[Resource] = RESOURCES) -> None:
        names = {tool.name for tool in catalogue}
        self._offered = [one for one in resources if not one.tool or one.tool in names]
        self._dispatcher = dispatcher
        self.listed = types.ListResourcesResult(
            resources=[
                types.Resource(uri=one.uri, name=one.name, description=one.description, mime_type=one.mime_type)
                for one in self._offered
                if not one.is_template
            ]
        )
        self.templates = types.ListResourceTemplatesResult(
            resource_templates=[
                types.ResourceTemplate(
                    uri_template=one.uri, name=one.name, description=one.description, mime_type=one.mime_type
                )
                for one in self._offered
                if one.is_template
            ]
        )

    async def read(self, context: ToolContext, uri: str, version: str) -> types.ReadResourceResult:
        """What is at the address: JSON text of at most REPLY_BYTES_MAX, or a file. Raises MCPError."""
        try:
            resource, variables = self.find(uri)
            if context.caller.grant is not None and (resource.answer is not None or resource.file is not None):
                # What they tell is of the whole store.
                decide(context.caller.grant, Verb.READ, ANYWHERE, ((),))
            if resource.file is not None:
                blob = b64encode(await resource.file(context.repo, variables)).decode()
                held = types.BlobResourceContents(uri=uri, mime_type=resource.mime_type, blob=blob)
                return types.ReadResourceResult(contents=[held])
            text = await self._text(context, resource, variables, uri, version)
        except AsgError as error:
            await self._dispatcher.refused(context, reading("resources/read"), error)
            raise protocol_error(error, version, uri=uri[:URI_CHARS_MAX]) from None
        return types.ReadResourceResult(contents=[types.TextResourceContents(uri=uri, mime_type=JSON, text=text)])

    async def _text(
        self, context: ToolContext, resource: Resource, variables: Mapping[str, str], uri: str, version: str
    ) -> str:
        if resource.answer is not None:
            return to_json(await resource.answer(context.repo, variables)).decode()
        arguments = {name: text for name, text in variables.items() if text}
        reply = await self._dispatcher.dispatch(context, resource.tool, {**resource.arguments, **arguments})
        if reply.structured is None:
            raise replied_error(reply.text, resource.tool, version, uri=uri)
        return reply.text if resource.part is None else to_json(resource.part(reply.structured)).decode()

    def find(self, uri: str) -> tuple[Resource, dict[str, str]]:
        """The resource at an address, and the variables in it. Raises NoSuchResource and InvalidArgument."""
        if len(uri) > URI_CHARS_MAX:
            raise LimitExceeded(
                f"The address has {len(uri)} characters; at most {URI_CHARS_MAX} are allowed",
                hint="Use the tool asg_get.",
                limit="URI_CHARS_MAX",
                max=URI_CHARS_MAX,
            )
        for resource in self._offered:
            try:
                variables = resource.match(uri)
            except UnicodeDecodeError:
                raise InvalidArgument(
                    f"The address {shown(uri)} is not percent-encoded UTF-8", hint="Encode it as UTF-8 first."
                ) from None
            if variables is not None:
                return resource, variables
        guess = nearest(uri, [one.uri for one in self._offered])
        raise NoSuchResource(
            f"There is no resource {shown(uri)}",
            hint=f"{f'Did you mean {guess}? ' if guess else ''}A / inside a ref is %2F. "
            "resources/list and resources/templates/list name them all.",
        )

    def template(self, uri: str) -> Resource | None:
        """The resource with this very template."""
        return next((one for one in self._offered if one.uri == uri), None)

    def target(self, uri: str) -> Target:
        """What a subscription to the address watches. Raises NoSuchResource, or InvalidArgument for the others."""
        resource, variables = self.find(uri)
        if resource.watches is None:
            raise InvalidArgument(
                f"{shown(uri)} cannot be subscribed to",
                hint="Subscribe to asg://state/REF/PATH for a path, or to asg://log/REF for a ref.",
            )
        return resource.watches(variables)
