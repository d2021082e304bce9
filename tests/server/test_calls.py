"""The short way of a call gives what the SDK's own way gives, and tracing is kept for those who trace."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from mcp.server import Server
from mcp.shared.message import SessionMessage
from mcp_types import INVALID_PARAMS, CallToolRequestParams, CallToolResult, jsonrpc_message_adapter
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from asg_mcp.server.mcp import Offer
from asg_mcp.server.subscriptions import Watcher
from tests.kit.rpc import Message
from tests.server.called import CALLS, PRINCIPAL, VERSIONS, conversation, handshake, request, server_of_toys

WAIT_SECONDS = 30.0


@pytest.fixture
def without_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """The replies to a crash have the same reference."""
    monkeypatch.setattr("secrets.token_hex", lambda _: "00000000")


@pytest.mark.usefixtures("without_references")
@pytest.mark.parametrize("version", VERSIONS)
async def test_every_kind_of_call_is_answered_as_the_sdk_answers_it_in_every_revision(version: str) -> None:
    short, long = server_of_toys(), server_of_toys()
    long.middleware.clear()
    assert await _answers(short, version) == await _answers(long, version)


async def test_a_call_before_the_handshake_is_refused() -> None:
    server, call = server_of_toys(), request(1, CALLS["plain"])
    [reply] = await _exchange(server, [call])
    assert reply["error"]["code"] == INVALID_PARAMS


async def test_a_notification_calls_no_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []

    async def noted(_: Offer, __: Any, ___: str, name: str, ____: Any) -> Any:
        called.append(name)

    monkeypatch.setattr(Offer, "answer", noted)
    told = request(1, CALLS["plain"])
    del told["id"]
    ping = {"jsonrpc": "2.0", "id": 9, "method": "ping"}
    answers = await _exchange(server_of_toys(), [*handshake(VERSIONS[0]), told, ping])
    assert [answer["id"] for answer in answers] == [0, 9]
    assert called == []


async def test_a_plain_call_takes_the_short_way_and_an_unusual_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    long: list[str] = []
    whole = Offer.call_tool

    async def noted(self: Offer, asking: Any, params: Any) -> Any:
        long.append(params.name)
        return await whole(self, asking, params)

    monkeypatch.setattr(Offer, "call_tool", noted)
    asked = [CALLS["plain"], CALLS["a progress token"], CALLS["no arguments"]]
    answers = await _exchange(server_of_toys(), [*handshake(VERSIONS[0]), *map(request, range(1, 4), asked)])
    assert [answer["id"] for answer in answers if "result" in answer] == [0, 1, 2, 3]
    assert long == ["asg_who"]


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
    """What a tracer that the operator set up is told."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "_TRACER_PROVIDER", provider)
    yield exporter
    provider.shutdown()


@pytest.mark.usefixtures("spans")
async def test_a_tracer_that_is_set_up_when_the_server_runs_already_is_told_too(
    monkeypatch: pytest.MonkeyPatch, spans: InMemorySpanExporter
) -> None:
    with monkeypatch.context() as before:
        before.setattr(trace, "_TRACER_PROVIDER", None)
        server = server_of_toys()
        await _answers(server, VERSIONS[0])
        assert spans.get_finished_spans() == ()
    await _answers(server, VERSIONS[0])
    assert "tools/call asg_echo" in [span.name for span in spans.get_finished_spans()]


async def test_what_others_add_to_a_server_is_reached_by_calls_of_their_tools() -> None:
    server = server_of_toys()

    async def theirs(_: Any, params: Any) -> CallToolResult:
        return CallToolResult(content=[], structured_content={"called": params.name})

    server.add_request_handler("tools/call", CallToolRequestParams, theirs)
    calls = [request(number, {"name": name, "arguments": {}}) for number, name in enumerate(("theirs", "asg_who"), 1)]
    _, one, other = await _exchange(server, [*handshake(VERSIONS[-2]), *calls])
    assert one["result"]["structuredContent"] == {"called": "theirs"}
    assert other["result"]["structuredContent"]["principal"] == PRINCIPAL


async def _answers(server: Server[Watcher], version: str) -> list[Message]:
    """To every call, in a connection of this revision; nothing to another."""
    calls = [request(number, params) for number, params in enumerate(CALLS.values(), 1)]
    found = await _exchange(server, conversation(version, calls))
    assert len(found) >= len(calls)
    return found


async def _exchange(server: Server[Watcher], messages: list[Message]) -> list[Message]:
    """What one connection is answered, by id; each message is answered before the next one is sent."""
    to_server, inbox = anyio.create_memory_object_stream[SessionMessage | Exception](len(messages))
    outbox, from_server = anyio.create_memory_object_stream[SessionMessage](len(messages) + 1)
    found: list[Message] = []
    with anyio.fail_after(WAIT_SECONDS):
        async with anyio.create_task_group() as group, to_server, from_server:
            group.start_soon(server.run, inbox, outbox, server.create_initialization_options())
            for message in messages:
                await to_server.send(SessionMessage(jsonrpc_message_adapter.validate_python(message)))
                if "id" in message:
                    told = (await from_server.receive()).message
                    found.append(json.loads(told.model_dump_json(by_alias=True, exclude_unset=True)))
            group.cancel_scope.cancel()
    return found
