"""Whether an answer of the HTTP API is as its own description says: status, headers, type and body."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import httpx2
from jsonschema import Draft202012Validator

from asg_mcp.server.openapi import document
from asg_mcp.tools.catalogue import CATALOGUE

DOCUMENT = document(CATALOGUE)
_VARIABLE = re.compile(r"\\{\w+\\}")


def as_described(reply: httpx2.Response) -> None:
    """Assert it. Of what the description does not name, that it is refused with an error of the one form."""
    method, path = reply.request.method.lower(), reply.request.url.path
    operation = _operation(path, method)
    if operation is None:
        assert reply.status_code in (404, 405), (method, path)
        _validator(_ERROR).validate(reply.json())
        return
    response = operation["responses"].get(str(reply.status_code))
    assert response is not None, (method, path, reply.status_code, reply.text)
    response = _resolved(response)
    for name, header in response.get("headers", {}).items():
        assert name in reply.headers or not header.get("required"), (path, name)
    if "content" not in response:
        assert not reply.content
        return
    media_type = reply.headers["content-type"].partition(";")[0]
    assert media_type in response["content"], (path, media_type)
    if media_type == "application/json":
        _validator(response["content"][media_type]["schema"]).validate(reply.json())


_ERROR = {"$ref": "#/components/schemas/Error"}
_VALIDATORS: dict[int, Any] = {}


def _validator(schema: dict[str, Any]) -> Any:
    if id(schema) not in _VALIDATORS:
        _VALIDATORS[id(schema)] = Draft202012Validator({**schema, "components": DOCUMENT["components"]})
    return _VALIDATORS[id(schema)]


def _resolved(response: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in response:
        return dict(DOCUMENT["components"]["responses"][response["$ref"].rpartition("/")[2]])
    return response


def _operation(path: str, method: str) -> Any:
    found = DOCUMENT["paths"].get(path) or next(
        (methods for pattern, methods in _patterns() if pattern.fullmatch(path)), {}
    )
    return found.get(method)


@cache
def _patterns() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    return [
        (re.compile(_VARIABLE.sub("[^/]+", re.escape(path))), methods)
        for path, methods in DOCUMENT["paths"].items()
        if "{" in path
    ]
