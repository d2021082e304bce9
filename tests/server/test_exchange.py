"""What one stdio connection holds, and what it sends when a message cannot be written."""

from __future__ import annotations

import asyncio
import json
import logging

import anyio
import pytest
from mcp_types import JSONRPCNotification, JSONRPCResponse

from asg_mcp.core.limits import PENDING_BYTES_MAX
from asg_mcp.server import exchange as exchanges
from asg_mcp.server.exchange import Exchange
from asg_mcp.server.express import Express
from asg_mcp.server.stdio import _Inbox


class Collected:
    """An output that nobody reads until asked to."""

    def __init__(self) -> None:
        self.pending_bytes = 0
        self.lines: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.lines.append(data)

    async def flush(self) -> None: ...

    def close(self) -> None: ...


def response(number: int) -> JSONRPCResponse:
    return JSONRPCResponse(jsonrpc="2.0", id=number, result={})


def test_requests_beyond_what_may_be_held_are_refused_until_others_are_answered() -> None:
    exchange = Exchange(Collected())
    half = PENDING_BYTES_MAX // 2
    assert exchange.begin(1, half) is None
    refusal = exchange.begin(2, half)
    assert refusal is not None
    assert refusal.id == 2
    assert refusal.error.data["details"]["limit"] == "PENDING_BYTES_MAX"
    exchange.send(response(1))
    assert exchange.begin(2, half) is None


def test_replies_that_the_client_does_not_read_count_as_held() -> None:
    output = Collected()
    exchange = Exchange(output)
    output.pending_bytes = PENDING_BYTES_MAX
    assert exchange.begin(1, 10) is not None
    output.pending_bytes = 0
    assert exchange.begin(1, 2 * PENDING_BYTES_MAX) is None, "one request is always taken"
    assert exchange.begin(2, 10) is not None


async def test_the_connection_is_settled_when_every_request_is_answered_or_given_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exchanges, "DRAIN_SECONDS_MAX", 0.01)
    exchange = Exchange(Collected())
    exchange.begin(1, 10)
    exchange.begin(2, 10)
    with caplog.at_level(logging.WARNING):
        await exchange.settled()
    assert "2 calls did not finish" in caplog.text
    caplog.clear()
    exchange.send(response(1))
    await exchange.ended(2)
    with caplog.at_level(logging.WARNING):
        await exchange.settled()
    assert not caplog.text


def test_a_reply_that_is_no_unicode_becomes_an_error_with_its_id() -> None:
    output = Collected()
    Exchange(output).send(JSONRPCResponse(jsonrpc="2.0", id=7, result={"text": "\ud800"}))
    message = json.loads(output.lines[0])
    assert (message["id"], message["error"]["code"]) == (7, -32603)


def test_a_result_that_is_no_unicode_becomes_an_error_with_its_id_and_ends_its_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    output = Collected()
    exchange = Exchange(output)
    exchange.begin(7, 10)
    with caplog.at_level(logging.ERROR):
        exchange.answer(7, {"text": "\ud800"})
    message = json.loads(output.lines[0])
    assert (message["id"], message["error"]["code"]) == (7, -32603)
    assert exchange.under_way == 0
    assert "could not be written" in caplog.text


def test_a_notification_that_is_no_unicode_is_dropped_with_a_word_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    output = Collected()
    with caplog.at_level(logging.ERROR):
        Exchange(output).send(JSONRPCNotification(jsonrpc="2.0", method="m", params={"text": "\ud800"}))
    assert output.lines == []
    assert "could not be written" in caplog.text


async def test_the_messages_may_also_be_received_one_by_one() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(b'{"jsonrpc":"2.0","method":"a"}\n{"jsonrpc":"2.0","method":"b"}')
    reader.feed_eof()
    exchange = Exchange(Collected())
    inbox = _Inbox(reader, exchange, Express(exchange))
    methods = [(await inbox.receive()).message for _ in range(2)]
    assert [message.method for message in methods if isinstance(message, JSONRPCNotification)] == ["a", "b"]
    with pytest.raises(anyio.EndOfStream):
        await inbox.receive()
