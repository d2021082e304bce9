"""Errors as HTTP answers: the error's JSON, as tools give it, under the status that fits its code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic_core import to_json
from starlette.responses import Response

from asg_mcp import errors as e

JSON = "application/json"
INTERNAL = "internal"
_SAFE = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_RETRY_SECONDS = 1
_STATUS: Mapping[type[e.AsgError], int] = {
    e.AsgError: 500,
    e.InvalidInput: 400,
    e.RateExceeded: 429,
    e.NotFound: 404,
    e.AmbiguousPrefix: 400,
    e.WrongType: 400,
    e.Conflict: 409,
    e.Forbidden: 403,
    e.Unauthenticated: 401,
    e.Misdirected: 421,
    e.MigrationRefused: 409,
    e.MigrationFailed: 409,
    e.StorageError: 503,
    e.StoreCorrupt: 500,
    e.UnknownOutcome: 500,
    e.StoreIncompatible: 500,
}
"""The status of each class of errors and of what is below it, unless that has its own."""
SIZE_LIMITS = frozenset(
    {"HTTP_BODY_BYTES_MAX", "VALUE_BYTES_MAX", "COMMIT_BYTES_MAX", "OPERATIONS_MAX", "PROVENANCE_BYTES_MAX"}
)
"""Limits whose breach says that the request is too large as a whole."""
_BY_CODE: Mapping[str, int] = {"unknown_tool": 404, "method_not_allowed": 405, "unsupported_media_type": 415}
"""Statuses of errors about HTTP itself."""


def _statuses(family: type[e.AsgError], inherited: int) -> Iterator[tuple[str, int]]:
    status = _STATUS.get(family, inherited)
    yield family.code, status
    for member in family.__subclasses__():
        yield from _statuses(member, status)


def status_of(problem: Mapping[str, Any]) -> int:
    """The status of an error's JSON."""
    if problem.get("details", {}).get("limit") in SIZE_LIMITS:
        return 413
    # Read anew: errors of one module alone may have come to the tree since this one was imported.
    return {**dict(_statuses(e.AsgError, 500)), **_BY_CODE}.get(problem["code"], 500)


def answer(body: bytes | str, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON that is not kept by anybody on its way."""
    return Response(body, status, {**_SAFE, **(headers or {})}, JSON)


def refusal(error: e.AsgError, headers: Mapping[str, str] | None = None) -> Response:
    """The answer to a request that ends in this error."""
    problem = error.as_dict()
    status = status_of(problem)
    extra = dict(headers or {})
    if status == 401:
        extra.setdefault("www-authenticate", "Bearer")
    if status in (429, 503):
        extra.setdefault("retry-after", str(_RETRY_SECONDS))
    return answer(to_json(problem), status, extra)
