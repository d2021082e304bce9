"""The fixtures that ask their client something: by a result that says what is missing, or by a request of their own."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import mcp_types as types

Responses = Mapping[str, types.InputResponse]


def elicited(answer: types.InputResponse) -> str:
    """What was answered to a form, as text."""
    assert isinstance(answer, types.ElicitResult)
    return f"Elicitation completed: action={answer.action}, content={json.dumps(answer.content or {})}"


def _form(message: str, name: str, kind: str = "string") -> types.ElicitRequest:
    schema = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return types.ElicitRequest(params=types.ElicitRequestFormParams(message=message, requested_schema=schema))


def _sampled(prompt: str, tokens: int) -> types.CreateMessageRequest:
    said = types.SamplingMessage(role="user", content=types.TextContent(type="text", text=prompt))
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams(messages=[said], max_tokens=tokens))


def _everything(responses: Responses) -> str:
    return json.dumps({key: answer.model_dump(mode="json", by_alias=True) for key, answer in responses.items()})


def _hello(responses: Responses) -> str:
    answer = responses["user_name"]
    assert isinstance(answer, types.ElicitResult)
    return f"Hello, {(answer.content or {}).get('name')}!"


@dataclass(frozen=True, slots=True)
class Asking:
    """Questions in one or more rounds, and what is said when all are answered."""

    rounds: tuple[types.InputRequests, ...]
    done: Callable[[Responses], str] = _everything
    keeps_state: bool = False
    """Whether the round is handed to the client, sealed, and has to come back."""

    def ask(
        self, params: types.CallToolRequestParams | types.GetPromptRequestParams
    ) -> str | types.InputRequiredResult:
        """The questions that are still open, or the end."""
        at, responses = int(params.request_state or 0), params.input_responses or {}
        begun = params.request_state is not None or not self.keeps_state
        if begun and self.rounds[at].keys() <= responses.keys():
            at += 1
        if at == len(self.rounds):
            return self.done(responses)
        return types.InputRequiredResult(
            input_requests=self.rounds[at], request_state=str(at) if self.keeps_state else None
        )


_NAME = _form("What is your name?", "name")
_CAPITAL = _sampled("What is the capital of France?", 100)
_WHO: types.InputRequests = {"user_name": _NAME}
_CONFIRM: types.InputRequests = {"confirm": _form("Please confirm", "ok", "boolean")}

ASKING: Mapping[str, Asking] = {
    "test_input_required_result_elicitation": Asking((_WHO,), _hello),
    "test_streaming_elicitation": Asking((_WHO,), _hello),
    "test_input_required_result_sampling": Asking(({"capital_question": _CAPITAL},)),
    "test_input_required_result_list_roots": Asking(({"client_roots": types.ListRootsRequest()},)),
    "test_input_required_result_request_state": Asking((_CONFIRM,), lambda _: "state-ok", keeps_state=True),
    "test_input_required_result_tampered_state": Asking((_CONFIRM,), keeps_state=True),
    "test_input_required_result_multiple_inputs": Asking(
        (
            {
                "user_name": _NAME,
                "greeting": _sampled("Generate a greeting", 50),
                "client_roots": types.ListRootsRequest(),
            },
        ),
        keeps_state=True,
    ),
    "test_input_required_result_multi_round": Asking(
        (
            {"step1": _form("Step 1: What is your name?", "name")},
            {"step2": _form("Step 2: What is your favorite color?", "color")},
        ),
        keeps_state=True,
    ),
}
"""Tools that ask by their result."""

PROMPT_ASKING = Asking(({"user_context": _form("What context should the prompt use?", "context")},))


def capabilities_asked(declared: types.ClientCapabilities | None) -> Asking:
    """Asks only what the client said that it can answer."""
    asked: types.InputRequests = {}
    if declared is not None and declared.elicitation is not None:
        asked["user_name"] = _NAME
    if declared is not None and declared.sampling is not None:
        asked["capital_question"] = _CAPITAL
    return Asking((asked,))


_STATES = ["active", "inactive", "pending"]
_FORMS: Mapping[str, dict[str, Any]] = {
    "test_elicitation": {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    },
    "test_elicitation_sep1034_defaults": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": _STATES, "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
    "test_elicitation_sep1330_enums": {
        "untitledSingle": {"type": "string", "enum": _STATES},
        "titledSingle": {
            "type": "string",
            "oneOf": [{"const": "low", "title": "Low Priority"}, {"const": "high", "title": "High Priority"}],
        },
        "legacyEnum": {"type": "string", "enum": ["small", "large"], "enumNames": ["Small Size", "Large Size"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": ["read", "write"]}},
        "titledMulti": {
            "type": "array",
            "items": {"anyOf": [{"const": "bug", "title": "Bug Fix"}, {"const": "docs", "title": "Documentation"}]},
        },
    },
}


def form_of(name: str, arguments: Mapping[str, Any]) -> tuple[str, types.ElicitRequestedSchema]:
    """What a tool asks by a request of its own, in the older era: a message and the form."""
    fields = _FORMS[name]
    schema: dict[str, Any] = {"type": "object", "properties": fields}
    if name == "test_elicitation":
        schema["required"] = list(fields)
    return str(arguments.get("message", "Please fill this in.")), schema
