"""Calls of tools that pass the SDK by: over stdio, what is like a call that the SDK has let through already.

The SDK judges a plain call by who the client is and which revision it speaks, and both stay for a connection, whether
the handshake told them or the envelope in `_meta`. So the middleware that has found a call plain tells the connection
how such calls are answered (`learn`), and from then on those with an equal envelope are answered here; anything else
goes to the SDK. The client sees one way: both give the same answers, which a test holds, and no call overtakes one
before it, since none is taken while the SDK has any.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Container, Mapping
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any, Final, NamedTuple, Self

import anyio
from mcp.shared.dispatcher import coerce_request_id
from mcp.shared.jsonrpc_dispatcher import cancelled_request_id_from_params, handler_exception_to_error_data
from mcp_types import CONNECTION_CLOSED, INTERNAL_ERROR, ErrorData, JSONRPCRequest, RequestId

from asg_mcp.server.exchange import Exchange, error_of
from asg_mcp.server.plain import CALL, envelope_of, is_plain, is_traced

logger = logging.getLogger(__name__)

_ID_BITS_MAX: Final = 63
_CLOSED: Final = ErrorData(code=CONNECTION_CLOSED, message="Connection closed")  # the SDK's word for what it gives up
_FAILED: Final = ErrorData(code=INTERNAL_ERROR, message="Internal server error")

Answer = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]
"""From a tool's name and arguments to the result, parts of which may be orjson.Fragments."""


class _Learnt(NamedTuple):
    envelope: bytes
    names: Container[str]
    answer: Answer


@dataclass(slots=True)
class _Call:
    request: RequestId
    scope: anyio.CancelScope
    task: asyncio.Task[None]
    unwanted: bool = False
    """Whether the client cancelled it."""


class Express:
    """The calls of one connection that pass the SDK by. At the end of the block those under way are given up."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._learnt: _Learnt | None = None
        self._handshakes = 0
        # By their ids as the SDK compares them: to it, 1 and "1" are one.
        self._calls: dict[RequestId, _Call] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        for call in self._calls.values():
            call.scope.cancel()
        if self._calls:
            with anyio.CancelScope(shield=True):
                await asyncio.wait([call.task for call in self._calls.values()])

    def learn(self, params: Mapping[str, Any], names: Container[str], answer: Answer) -> None:
        """From now on, answer so the calls of tools of these names whose envelope is that of these parameters."""
        envelope = envelope_of(params)
        if envelope is not None and self._handshakes < 2:
            self._learnt = _Learnt(envelope, names, answer)

    def take(self, message: JSONRPCRequest) -> bool:
        """Work on a request that has begun, and return True; or return False, and the SDK has to."""
        if message.method != CALL:
            if message.method == "initialize":
                # A second one ends it for good: what was called before may be taught only now, and tell of then.
                self._handshakes += 1
                self._learnt = None
            return False
        learnt, params, key = self._learnt, message.params, coerce_request_id(message.id)
        if learnt is None or params is None or key in self._calls or self._exchange.under_way > len(self._calls) + 1:
            return False
        if isinstance(key, int) and key.bit_length() > _ID_BITS_MAX:  # orjson could not write it
            return False
        if not is_plain(params, learnt.names) or envelope_of(params) != learnt.envelope or is_traced():
            return False
        scope = anyio.CancelScope()
        # A task group of anyio would take 15 us more to start it.
        task = asyncio.create_task(self._work(key, scope, learnt.answer, params["name"], params["arguments"]))
        self._calls[key] = _Call(message.id, scope, task)
        task.add_done_callback(partial(self._failed, key))
        return True

    def cancel(self, params: Mapping[str, Any] | None) -> bool:
        """Do as a notifications/cancelled says; False where it names none of these calls."""
        request = cancelled_request_id_from_params(params)
        call = None if request is None else self._calls.get(coerce_request_id(request))
        if call is None:
            return False
        call.unwanted = True
        call.scope.cancel()
        return True

    async def _work(
        self, key: RequestId, scope: anyio.CancelScope, answer: Answer, name: str, arguments: dict[str, Any]
    ) -> None:
        result: dict[str, Any] | None = None
        with scope:
            result = await answer(name, arguments)
        call = self._calls.pop(key)
        if call.unwanted:
            self._exchange.end(call.request)
        elif result is None:
            self._exchange.send(error_of(call.request, _CLOSED))
        else:
            self._exchange.answer(call.request, result)

    def _failed(self, key: RequestId, task: asyncio.Task[None]) -> None:
        """Answer a call that raised: no tool's failure does, so it is refused by the protocol, or a fault of ours."""
        error: ErrorData | None = _CLOSED
        if not task.cancelled():
            fault = task.exception()
            if fault is None:
                return
            error = handler_exception_to_error_data(fault)
            if error is None:
                logger.error("a call failed unexpectedly", exc_info=fault)
        call = self._calls.pop(key, None)
        if call is None:  # whoever cancelled the task did so when it was done
            return
        if call.unwanted:
            self._exchange.end(call.request)
        else:
            self._exchange.send(error_of(call.request, error or _FAILED))
