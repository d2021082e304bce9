"""Calls that pass the SDK by: the same answers, for the same client, in every way that a connection can go."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from mcp.server import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    CONNECTION_CLOSED,
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    PROTOCOL_VERSION_META_KEY,
    UNSUPPORTED_PROTOCOL_VERSION,
    JSONRPCRequest,
)
from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION

from asg_mcp.server import exchange as exchanges
from asg_mcp.server.dispatch import Reply
from asg_mcp.server.exchange import Exchange
from asg_mcp.server.express import Express
from asg_mcp.server.mcp import Offer
from asg_mcp.server.stdio import _Inbox, _Outbox
from asg_mcp.server.subscriptions import Watcher
from asg_mcp.tools.registry import ToolContext
from tests.kit.rpc import Message
from tests.server.called import (
    CALLS,
    VERSIONS,
    conversation,
    handshake,
    in_envelope,
    request,
    server_of_toys,
)
from tests.server.toy_server import EchoParams, HoldParams, NoteResult, Nothing, tool

WAIT_SECONDS = 30.0
OLDER, NEWER = LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
WAYS = ("by express", "by the SDK")
WHO = {"name": "asg_who", "arguments": {}}
CANCELLED: Message = {"jsonrpc": "2.0", "method": "notifications/cancelled"}


class Noted(Express):
    """Knows which requests passed the SDK by; as "by the SDK", none does."""

    def __init__(self, exchange: Exchange, way: str) -> None:
        super().__init__(exchange)
        self.way = way
        self.taken: list[Any] = []

    def take(self, message: JSONRPCRequest) -> bool:
        taken = self.way == WAYS[0] and super().take(message)
        if taken:
            self.taken.append(message.id)
        return taken


class Connection:
    """One client of a server in this process, through all of the transport but its pipes."""

    def __init__(self, way: str) -> None:
        self.pending_bytes = 0
        self.reader = asyncio.StreamReader()
        self.exchange = Exchange(self)
        self.express = Noted(self.exchange, way)
        self._replies: asyncio.Queue[Message] = asyncio.Queue()

    def write(self, data: bytes) -> None:
        self._replies.put_nowait(json.loads(data))

    async def flush(self) -> None: ...

    def close(self) -> None: ...

    def say(self, *messages: Message) -> None:
        """Have these arrive at once."""
        self.reader.feed_data(b"".join(json.dumps(message).encode() + b"\n" for message in messages))

    async def read(self, number: int = 1) -> list[Message]:
        """The next messages of the server."""
        return [await self._replies.get() for _ in range(number)]

    def rest(self) -> list[Message]:
        """What the server has written besides."""
        return [self._replies.get_nowait() for _ in range(self._replies.qsize())]

    async def ask(self, *messages: Message) -> list[Message]:
        """The answer to each, asked when the one before is answered."""
        found = []
        for message in messages:
            self.say(message)
            if "id" in message:
                found += await self.read()
        return found

    async def begin(self, version: str) -> None:
        """Be a client of this revision, one call of which the SDK has let through."""
        (*_, reply) = await self.ask(*conversation(version, [request("first", WHO)]))
        assert reply["id"] == "first"


@asynccontextmanager
async def connected(server: Server[Watcher], way: str = WAYS[0]) -> AsyncIterator[Connection]:
    connection = Connection(way)

    async def serve() -> None:
        async with connection.express as express:
            inbox, outbox = _Inbox(connection.reader, connection.exchange, express), _Outbox(connection.exchange)
            await server.run(inbox, outbox, server.create_initialization_options())

    async with asyncio.timeout(WAIT_SECONDS):
        serving = asyncio.create_task(serve())
        yield connection
        connection.reader.feed_eof()
        await serving


class Gate:
    """A tool whose calls are held until it is opened, and one that is open at once."""

    def __init__(self) -> None:
        self._arrived = asyncio.Semaphore(0)
        self._opened = asyncio.Event()
        self.tool = tool("gate", self._held, Nothing, NoteResult)

    async def _held(self, _: ToolContext, __: Nothing) -> NoteResult:
        self._arrived.release()
        try:
            await self._opened.wait()
        finally:
            with anyio.CancelScope(shield=True):
                for _turn in range(100):  # A call may take a while to end.
                    await asyncio.sleep(0)
        return NoteResult(note="through")

    async def arrived(self, number: int = 1) -> None:
        """Return when so many more calls are held."""
        for _ in range(number):
            await self._arrived.acquire()

    def open(self) -> None:
        self._opened.set()


GATE = {"name": "asg_gate", "arguments": {}}


def is_through(reply: Message) -> bool:
    return bool(reply["result"]["structuredContent"] == {"note": "through"})


# --- the same answers ---------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
async def test_every_kind_of_call_is_answered_as_the_sdk_answers_it_in_every_revision(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: "00000000")
    found = []
    for way in WAYS:
        async with connected(server_of_toys(), way) as connection:
            await connection.begin(version)
            calls = [request(number, params) for number, params in enumerate(CALLS.values(), 1)]
            asked = conversation(version, calls)[-len(calls) :]
            # What an odd call leaves behind must not tell on the next one, so a plain one is between any two.
            between = conversation(version, [request("between", WHO)])[-1]
            found.append(await connection.ask(*(each for call in asked for each in (call, between))))
    assert found[0] == found[1]


@pytest.mark.parametrize("version", VERSIONS)
async def test_only_calls_with_nothing_odd_about_them_pass_the_sdk_by(version: str) -> None:
    names = list(CALLS)
    async with connected(server_of_toys()) as connection:
        await connection.begin(version)
        calls = conversation(version, [request(name, CALLS[name]) for name in names])[-len(names) :]
        between = conversation(version, [request("between", WHO)])[-1]
        await connection.ask(*(each for call in calls for each in (call, between)))
    odd_in_all = {name for name in names if name.startswith(("no ", "null", "a name", "arguments that", "one more"))}
    odd_in_all |= {name for name in names if name.startswith(("a task", "a level", "a meta", "capabilities that"))}
    odd_in_all |= {
        f"a progress token that is {what}" for what in ("a list", "true", "half a number", "half a letter", "a text")
    }
    assert set(names) - odd_in_all == set(connection.express.taken) - {"between"}


@pytest.mark.parametrize("number", [-1, 2**63 - 1, 2**70, "", "7", "é\n\\", "x" * 300])
@pytest.mark.parametrize("way", WAYS)
async def test_a_reply_has_the_id_of_its_call(number: Any, way: str) -> None:
    async with connected(server_of_toys(), way) as connection:
        await connection.begin(OLDER)
        [reply] = await connection.ask(request(number, WHO))
    assert reply["id"] == number
    assert type(reply["id"]) is type(number)
    assert "result" in reply


async def test_calls_with_and_without_a_progress_token_are_alike() -> None:
    token = {"_meta": {"progressToken": 1}}
    async with connected(server_of_toys()) as connection:
        await connection.begin(OLDER)
        await connection.ask(*(request(number, WHO | (token if number % 2 else {})) for number in range(4)))
    assert connection.express.taken == [0, 1, 2, 3]


# --- who calls ------------------------------------------------------------------------


async def test_an_envelope_that_differs_is_judged_by_the_sdk_and_the_caller_is_whom_it_names() -> None:
    async with connected(server_of_toys()) as connection:
        await connection.begin(NEWER)
        clients = ["raw", "other", "other", "raw", "raw"]
        replies = await connection.ask(
            *(in_envelope(request(number, WHO), client) for number, client in enumerate(clients))
        )
    assert [reply["result"]["structuredContent"]["agent"] for reply in replies] == clients
    assert connection.express.taken == [0, 2, 4]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("key", "given", "code"),
    [
        (PROTOCOL_VERSION_META_KEY, "2031-01-01", UNSUPPORTED_PROTOCOL_VERSION),
        (PROTOCOL_VERSION_META_KEY, None, INVALID_PARAMS),
        (CLIENT_CAPABILITIES_META_KEY, [], INVALID_PARAMS),
    ],
)
async def test_an_envelope_that_is_refused_is_refused_after_good_ones_too(
    way: str, key: str, given: Any, code: int
) -> None:
    good, bad = in_envelope(request(1, WHO)), in_envelope(request(2, WHO))
    bad["params"]["_meta"][key] = given
    async with connected(server_of_toys(), way) as connection:
        await connection.begin(NEWER)
        replies = await connection.ask(good, bad, {**good, "id": 3})
    assert [reply.get("error", {}).get("code") for reply in replies] == [None, code, None]


async def test_envelopes_that_only_compare_as_equal_are_not_taken_for_equal() -> None:
    one = in_envelope(request(1, WHO))
    one["params"]["_meta"][CLIENT_CAPABILITIES_META_KEY] = {"experimental": {"x": {"y": 1}}}
    true = json.loads(json.dumps({**one, "id": 2}).replace('"y": 1', '"y": true'))
    half = json.loads(json.dumps({**one, "id": 3}).replace('"y": 1', '"y": 1.0'))
    async with connected(server_of_toys()) as connection:
        await connection.ask(one, true, half, {**half, "id": 4})
    assert connection.express.taken == [4]


@pytest.mark.parametrize("way", WAYS)
async def test_an_envelope_of_the_newer_era_is_refused_on_a_connection_of_the_older(way: str) -> None:
    async with connected(server_of_toys(), way) as connection:
        await connection.begin(OLDER)
        replies = await connection.ask(request(1, WHO), in_envelope(request(2, WHO)), request(3, WHO))
    assert [reply.get("error", {}).get("code") for reply in replies] == [None, INVALID_REQUEST, None]


@pytest.mark.parametrize("way", WAYS)
async def test_a_second_handshake_tells_anew_who_calls_however_close_the_calls_are_to_it(way: str) -> None:
    async with connected(server_of_toys(), way) as connection:
        calls = [request(number, WHO) for number in range(1, 5)]
        connection.say(*handshake(OLDER, "first", 100), calls[0], *handshake(OLDER, "second", 101), *calls[1:3])
        replies = {reply["id"]: reply for reply in await connection.read(5)}
        replies |= {4: (await connection.ask(calls[3]))[0]}
        answered = [replies[number]["result"]["structuredContent"]["agent"] for number in range(2, 5)]
    assert answered == ["second", "second", "second"]
    assert connection.express.taken == []


async def test_a_second_handshake_sends_the_calls_of_a_connection_to_the_sdk() -> None:
    async with connected(server_of_toys()) as connection:
        await connection.begin(OLDER)
        replies = await connection.ask(request(1, WHO), *handshake(OLDER, "second"), request(2, WHO), request(3, WHO))
    agents = [reply["result"]["structuredContent"]["agent"] for reply in replies if reply["id"]]
    assert agents == ["raw", "second", "second"]
    assert connection.express.taken == [1]


async def test_calls_go_by_the_sdk_as_long_as_somebody_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected(server_of_toys()) as connection:
        await connection.begin(OLDER)
        with monkeypatch.context() as traced:
            # A provider that is set up here would stay the tracer of the SDK in this process.
            traced.setattr("asg_mcp.server.express.is_traced", lambda: True)
            await connection.ask(request(1, WHO))
        await connection.ask(request(2, WHO))
    assert connection.express.taken == [2]


# --- many at a time ---------------------------------------------------------------------


async def test_calls_that_arrive_at_once_are_worked_on_at_once_and_answered_once_each() -> None:
    gate = Gate()
    async with connected(server_of_toys(gate.tool)) as connection:
        await connection.begin(OLDER)
        connection.say(*(request(number, GATE) for number in range(50)))
        await gate.arrived(50)
        gate.open()
        replies = await connection.read(50)
        assert all(map(is_through, replies))
        [last] = await connection.ask(request("last", WHO))
        assert last["id"] == "last"
    assert sorted(reply["id"] for reply in replies) == list(range(50)) == connection.express.taken[:50]


async def test_calls_that_are_quick_hold_little_however_many_arrive_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "PENDING_BYTES_MAX", 50_000)
    async with connected(server_of_toys()) as connection:
        await connection.begin(OLDER)
        connection.say(*(request(number, WHO) for number in range(500)))
        replies = await connection.read(500)
    assert [reply["id"] for reply in replies if "result" in reply] == list(range(500))
    assert len(connection.express.taken) == 500


async def test_no_call_overtakes_one_before_it() -> None:
    seen: list[Any] = []

    async def noted(_: ToolContext, params: EchoParams) -> NoteResult:
        seen.append(params.value)
        return NoteResult(note="")

    async with connected(server_of_toys(tool("noted", noted, EchoParams, NoteResult))) as connection:
        await connection.begin(OLDER)
        odd = {"_meta": {"example.org/x": 1}}
        params = [{"name": "asg_noted", "arguments": {"value": number}} for number in range(20)]
        connection.say(*(request(n, each | odd if n % 5 == 1 else each) for n, each in enumerate(params)))
        await connection.read(20)
    assert seen == list(range(20))
    assert connection.express.taken[:1] == [0]


@pytest.mark.parametrize("way", WAYS)
async def test_an_id_under_way_is_refused_and_free_again_after_its_reply(way: str) -> None:
    gate = Gate()
    async with connected(server_of_toys(gate.tool), way) as connection:
        await connection.begin(OLDER)
        connection.say(request(1, GATE))
        await gate.arrived()
        connection.say(request(1, WHO))
        [refused] = await connection.read()
        assert (refused["id"], refused["error"]["code"]) == (1, INVALID_REQUEST)
        gate.open()
        [reply] = await connection.read()
        assert is_through(reply)
        [again] = await connection.ask(request(1, WHO))
        assert again["result"]["structuredContent"]["client"] == "raw/1"


# --- cancelling ---------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("version", [OLDER, NEWER])
@pytest.mark.parametrize("called", [3, "3"])
async def test_a_cancelled_call_is_ended_and_never_answered_and_the_others_go_on(
    way: str, version: str, called: Any
) -> None:
    gate = Gate()
    async with connected(server_of_toys(gate.tool), way) as connection:
        await connection.begin(version)
        connection.say(*conversation(version, [request(number, GATE) for number in (2, 3, 4)])[-3:])
        await gate.arrived(3)
        connection.say({**CANCELLED, "params": {"requestId": called}})
        # Its id is free as soon as it has ended, with the gate still shut.
        free = conversation(version, [request(3, WHO)])[-1]
        [reply] = await connection.ask(free)
        while "error" in reply:
            [reply] = await connection.ask(free)
        assert reply["result"]["structuredContent"]["client"] == "raw/1"
        gate.open()
        others = await connection.read(2)
        assert {reply["id"] for reply in others} == {2, 4}
        assert all(map(is_through, others))
        [last] = await connection.ask({"jsonrpc": "2.0", "id": "last", "method": "ping"} | _enveloped(version))
        assert last["id"] == "last"


def _enveloped(version: str) -> Message:
    """A list of the tools where there is no ping."""
    return in_envelope({"method": "tools/list", "params": {}}) if version == NEWER else {}


@pytest.mark.parametrize("way", WAYS)
async def test_a_call_that_is_cancelled_before_it_starts_is_not_answered(way: str) -> None:
    async with connected(server_of_toys(), way) as connection:
        await connection.begin(OLDER)
        hold = {"name": "asg_hold", "arguments": HoldParams().dump()}
        ping: Message = {"jsonrpc": "2.0", "id": "ping", "method": "ping"}
        connection.say(request(1, hold), {**CANCELLED, "params": {"requestId": 1}}, ping)
        [reply] = await connection.read()
        assert reply["id"] == "ping"
    assert connection.exchange.under_way == 0


@pytest.mark.parametrize("params", [None, {}, {"requestId": 7}, {"requestId": [1]}, {"requestId": True}])
async def test_a_cancellation_that_names_no_call_of_these_goes_to_the_sdk(params: Any) -> None:
    gate = Gate()
    async with connected(server_of_toys(gate.tool)) as connection:
        await connection.begin(OLDER)
        connection.say(request(1, GATE))
        await gate.arrived()
        assert not connection.express.cancel(params)
        connection.say(CANCELLED if params is None else {**CANCELLED, "params": params})
        await connection.ask({"jsonrpc": "2.0", "id": 2, "method": "ping"})
        gate.open()
        [reply] = await connection.read()
        assert is_through(reply)


# --- the end, and faults of ours ---------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
async def test_calls_under_way_are_answered_when_the_input_ends(way: str) -> None:
    gate = Gate()
    async with connected(server_of_toys(gate.tool), way) as connection:
        await connection.begin(OLDER)
        connection.say(request(1, GATE), request(2, GATE))
        await gate.arrived(2)
        connection.reader.feed_eof()
        gate.open()
    replies = connection.rest()
    assert [reply["id"] for reply in replies] == [1, 2]
    assert all(map(is_through, replies))


@pytest.mark.parametrize("way", WAYS)
async def test_calls_that_are_given_up_at_the_end_are_told_so(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "DRAIN_SECONDS_MAX", 0.01)
    gate = Gate()
    async with connected(server_of_toys(gate.tool), way) as connection:
        await connection.begin(OLDER)
        connection.say(request(1, GATE), request(2, GATE))
        await gate.arrived(2)
        connection.say({**CANCELLED, "params": {"requestId": 2}})
    [reply] = connection.rest()
    assert (reply["id"], reply["error"]) == (1, {"code": CONNECTION_CLOSED, "message": "Connection closed"})


async def test_a_fault_outside_of_all_tools_is_answered_without_its_text_and_ends_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    gate, whole = Gate(), Offer.answer

    async def faulty(self: Offer, context: ToolContext, version: str, name: str, given: Mapping[str, Any]) -> Reply:
        if name == "asg_echo":
            raise ZeroDivisionError("the secret of the store")
        if name == "asg_fail":
            raise MCPError(INVALID_PARAMS, "No.", {"why": 1})
        return await whole(self, context, version, name, given)

    monkeypatch.setattr(Offer, "answer", faulty)
    async with connected(server_of_toys(gate.tool)) as connection:
        await connection.begin(OLDER)
        connection.say(request(1, GATE))
        await gate.arrived()
        with caplog.at_level(logging.ERROR):
            crashed, refused = await connection.ask(
                request(2, {"name": "asg_echo", "arguments": {}}), request(3, {"name": "asg_fail", "arguments": {}})
            )
        gate.open()
        [through] = await connection.read()
        [again] = await connection.ask(request(2, WHO))
    assert connection.express.taken == [1, 2, 3, 2]
    assert crashed == {
        "jsonrpc": "2.0",
        "id": 2,
        "error": {"code": INTERNAL_ERROR, "message": "Internal server error"},
    }
    assert "the secret of the store" in caplog.text
    assert refused["error"] == {"code": INVALID_PARAMS, "message": "No.", "data": {"why": 1}}
    assert is_through(through)
    assert again["id"] == 2


async def test_a_reply_that_cannot_be_written_is_an_error_and_the_connection_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(*_: Any) -> Reply:
        return Reply(None, "\ud800", is_error=True)

    async with connected(server_of_toys()) as connection:
        await connection.begin(OLDER)
        with monkeypatch.context() as breaking:
            breaking.setattr(Offer, "call", broken)
            [reply] = await connection.ask(request(1, WHO))
        [good] = await connection.ask(request(2, WHO))
    assert (reply["id"], reply["error"]["code"]) == (1, INTERNAL_ERROR)
    assert "result" in good
    assert connection.express.taken == [1, 2]


async def test_calls_that_arrive_together_begin_together_so_that_writes_can_share_a_commit() -> None:
    seen: list[int] = []

    async def count(_: ToolContext, __: Nothing) -> NoteResult:
        seen.append(connection.exchange.under_way)
        return NoteResult(note="")

    async with connected(server_of_toys(tool("count", count, Nothing, NoteResult))) as connection:
        await connection.begin(OLDER)
        connection.say(*(request(number, {"name": "asg_count", "arguments": {}}) for number in range(30)))
        assert [reply["id"] for reply in await connection.read(30)] == list(range(30))
    assert seen == list(range(30, 0, -1))
    assert connection.express.taken == list(range(30))


async def test_a_call_that_somebody_else_cancelled_is_answered_all_the_same() -> None:
    async def cancelled(_: ToolContext, __: Nothing) -> NoteResult:
        raise asyncio.CancelledError

    async with connected(server_of_toys(tool("cancelled", cancelled, Nothing, NoteResult))) as connection:
        await connection.begin(OLDER)
        (reply,) = await connection.ask(request(7, {"name": "asg_cancelled", "arguments": {}}))
        assert (reply["id"], reply["error"]["code"]) == (7, CONNECTION_CLOSED)
        (reply,) = await connection.ask(request(7, WHO))
        assert "result" in reply
