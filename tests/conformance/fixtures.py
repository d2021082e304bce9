"""What the conformance suite expects to find at a server, added to ours.

`with_fixtures` takes the place of `server_of`: the server that it makes is the real one, with the real tools,
resources and prompts, and besides them the fixtures. Where the suite asks for no particular content, a fixture is
another name for a real tool, or a record on the real shelf; the others answer with content that no tool of ours has.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from typing import Any

import mcp_types as types
from mcp.server import Server
from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.request_state import RequestStateBoundary, RequestStateSecurity
from mcp.shared.exceptions import MCPError

from asg_mcp.core.values import JsonValue
from asg_mcp.repo.branches import DEFAULT_BRANCH
from asg_mcp.repo.observing import Target
from asg_mcp.repo.repository import Repository
from asg_mcp.server.dispatch import Dispatcher
from asg_mcp.server.mcp import SERVER_NAME, Offer, server_of
from asg_mcp.server.prompts import PROMPTS, Argument, Prompt, PromptBook
from asg_mcp.server.resources import RESOURCES, Resource, Shelf
from asg_mcp.server.subscriptions import Watcher
from tests.conformance.questions import ASKING, PROMPT_ASKING, capabilities_asked, elicited, form_of

Request = ServerRequestContext[Watcher]

# One red point, and one sample of silence.
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
STEPS = (0, 50, 100)


def _text(text: str) -> types.TextContent:
    return types.TextContent(type="text", text=text)


def _embedded(uri: str, text: str, mime_type: str = "text/plain") -> types.EmbeddedResource:
    held = types.TextResourceContents(uri=uri, mime_type=mime_type, text=text)
    return types.EmbeddedResource(type="resource", resource=held)


_IMAGE = types.ImageContent(type="image", data=PNG, mime_type="image/png")

FIXED: Mapping[str, list[types.ContentBlock]] = {
    "test_image_content": [_IMAGE],
    "test_audio_content": [types.AudioContent(type="audio", data=WAV, mime_type="audio/wav")],
    "test_embedded_resource": [_embedded("test://embedded-resource", "This is an embedded resource content.")],
    "test_multiple_content_types": [
        _text("Multiple content types test:"),
        _IMAGE,
        _embedded("test://mixed-content-resource", '{"test":"data","value":123}', "application/json"),
    ],
    "json_schema_2020_12_tool": [_text("taken")],
    "test_header_tool": [_text("taken")],
}
"""Tools that answer one thing."""

REAL: Mapping[str, tuple[str, dict[str, Any]]] = {
    "test_simple_text": ("asg_list_branches", {}),
    "test_error_handling": ("asg_get", {"path": "/nothing/here"}),
    # It may log where the client asks for it, and must not where it does not: no tool of ours ever does.
    "test_logging_tool": ("asg_list_branches", {}),
}
"""Other names of real tools, with the arguments they are called with."""

_NOTHING: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
_MESSAGE = {"type": "object", "properties": {"message": {"type": "string"}}, "required": ["message"]}
_HEADER = {"type": "object", "properties": {"region": {"type": "string", "x-mcp-header": "Region"}}}
_DIALECT = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}
SCHEMAS: Mapping[str, dict[str, Any]] = {
    **dict.fromkeys((*FIXED, *REAL, *ASKING), _NOTHING),
    **dict.fromkeys(("test_tool_with_progress", "test_missing_capability"), _NOTHING),
    "test_input_required_result_capabilities": _NOTHING,
    "test_elicitation": _MESSAGE,
    "test_elicitation_sep1034_defaults": _NOTHING,
    "test_elicitation_sep1330_enums": _NOTHING,
    "test_header_tool": _HEADER,
    "json_schema_2020_12_tool": _DIALECT,
}
"""The input schema of each tool."""


async def _static_text(_: Repository, __: Mapping[str, str]) -> JsonValue:
    return "This is the content of the static text resource."


async def _templated(_: Repository, variables: Mapping[str, str]) -> JsonValue:
    return {"id": variables["id"], "templateTest": True, "data": f"Data for ID: {variables['id']}"}


async def _static_binary(_: Repository, __: Mapping[str, str]) -> bytes:
    return b64decode(PNG)


FIXTURE_RESOURCES = (
    Resource("test://static-text", "static text", "A text.", answer=_static_text),
    Resource("test://static-binary", "static binary", "An image.", file=_static_binary, mime_type="image/png"),
    Resource("test://template/{id}/data", "template", "What a variable stands for.", answer=_templated),
    Resource(
        "test://watched-resource",
        "watched",
        "A text that can be watched.",
        answer=_static_text,
        watches=lambda _: Target(DEFAULT_BRANCH),
    ),
)
_BOTH = (Argument("arg1", "The first", completes="ref"), Argument("arg2", "The second"))
FIXTURE_PROMPTS = (
    Prompt("test_simple_prompt", "A text.", (), (), lambda _: "This is a simple prompt for testing."),
    Prompt(
        "test_prompt_with_arguments",
        "A text with two arguments.",
        _BOTH,
        (),
        lambda given: f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'",
    ),
    # What these give is made below: prompts of ours are one text each.
    Prompt("test_prompt_with_embedded_resource", "A resource.", (Argument("resourceUri", "Its address"),), (), str),
    Prompt("test_prompt_with_image", "An image.", (), (), str),
    Prompt("test_input_required_result_prompt", "A text with what the user said.", (), (), str),
)


def with_fixtures(offer: Offer) -> Server[Watcher]:
    """The server of the offer, with the fixtures."""
    dispatcher = Dispatcher(offer.catalogue)
    offer.shelf = Shelf(offer.catalogue, dispatcher, (*RESOURCES, *FIXTURE_RESOURCES))
    offer.prompts = PromptBook(offer.catalogue, (*PROMPTS, *FIXTURE_PROMPTS))
    added = [types.Tool(name=name, description="A fixture.", input_schema=given) for name, given in SCHEMAS.items()]
    offer.tools = types.ListToolsResult(tools=[*offer.tools.tools, *added])
    server = server_of(offer)
    # What tools of ours answer has one round; the state of those that ask is sealed as the SDK has it.
    server.middleware.append(RequestStateBoundary(RequestStateSecurity.ephemeral(), default_audience=SERVER_NAME))

    async def call_tool(request: Request, params: types.CallToolRequestParams) -> HandlerResult:
        if params.name in REAL:
            name, arguments = REAL[params.name]
            return await offer.call_tool(request, params.model_copy(update={"name": name, "arguments": arguments}))
        if params.name in SCHEMAS:
            return await _answer(request, params)
        return await offer.call_tool(request, params)

    async def get_prompt(request: Request, params: types.GetPromptRequestParams) -> HandlerResult:
        if params.name == "test_input_required_result_prompt":
            done = PROMPT_ASKING.ask(params)
            return done if isinstance(done, types.InputRequiredResult) else _prompt(_text(done))
        if params.name == "test_prompt_with_image":
            return _prompt(_IMAGE, _text("Please analyze the image above."))
        if params.name == "test_prompt_with_embedded_resource":
            uri = (params.arguments or {})["resourceUri"]
            embedded = _embedded(uri, "Embedded resource content for testing.")
            return _prompt(embedded, _text("Please process the embedded resource above."))
        return await offer.get_prompt(request, params)

    server.add_request_handler("tools/call", types.CallToolRequestParams, call_tool)
    server.add_request_handler("prompts/get", types.GetPromptRequestParams, get_prompt)
    return server


async def _answer(request: Request, params: types.CallToolRequestParams) -> HandlerResult:
    name = params.name
    if name in FIXED:
        return types.CallToolResult(content=FIXED[name])
    if name in ASKING:
        return _told(ASKING[name].ask(params))
    if name == "test_input_required_result_capabilities":
        return _told(capabilities_asked(request.session.client_capabilities).ask(params))
    if name == "test_tool_with_progress":
        for step in STEPS:
            await request.session.report_progress(step, STEPS[-1], f"Step {step}")
        return types.CallToolResult(content=[_text("All steps are done.")])
    if name == "test_missing_capability":
        needed = types.ClientCapabilities(sampling=types.SamplingCapability())
        lacking = types.MissingRequiredClientCapabilityErrorData(required_capabilities=needed)
        data = lacking.model_dump(by_alias=True, exclude_none=True)
        raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, "This tool needs sampling", data)
    message, schema = form_of(name, params.arguments or {})
    answer = await request.session.elicit_form(message, schema, related_request_id=request.request_id)
    return types.CallToolResult(content=[_text(elicited(answer))])


def _told(done: str | types.InputRequiredResult) -> HandlerResult:
    return done if isinstance(done, types.InputRequiredResult) else types.CallToolResult(content=[_text(done)])


def _prompt(*contents: types.ContentBlock) -> types.GetPromptResult:
    return types.GetPromptResult(messages=[types.PromptMessage(role="user", content=one) for one in contents])
