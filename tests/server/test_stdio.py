"""The stdio transport, against a real process on real pipes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from mcp import Client, MCPError, StdioServerParameters
from mcp_types import CLIENT_INFO_META_KEY, CONNECTION_CLOSED

from asg_mcp import __version__
from asg_mcp.core.limits import LINE_BYTES_MAX
from tests.kit.rpc import REPOSITORY_ROOT, WAIT_SECONDS, Message, RawClient, enveloped, ids_of, raw_client, tool_error

TOY = ("-m", "tests.server.toy_server")
ERAS = {"auto": "2026-07-28", "legacy": "2025-11-25"}


def started(stderr: int | None = None) -> AbstractAsyncContextManager[RawClient]:
    return raw_client(*TOY, stderr=stderr)


@pytest.fixture
async def client(request: pytest.FixtureRequest) -> AsyncIterator[RawClient]:
    async with started() as raw:
        await raw.handshake()
        if getattr(request, "param", "") == "by express":
            await raw.ask(raw.call("asg_who", {}))  # the SDK has seen one, so the next ones pass it by
        yield raw


in_both_ways = pytest.mark.parametrize("client", ["by the SDK", "by express"], indirect=True)


def echo(raw: RawClient, value: Any, **others: Any) -> Message:
    return raw.call("asg_echo", {"value": value, **others})


def numbered(number: int, tool: str, arguments: Message) -> Message:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}


def returned(reply: Message) -> Any:
    return reply["result"]["structuredContent"]["value"]


# --- both eras, with the SDK's own client ------------------------------------


@pytest.mark.parametrize(("mode", "version"), ERAS.items())
async def test_the_official_client_lists_and_calls_tools_in_both_eras(mode: Any, version: str) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=list(TOY), cwd=REPOSITORY_ROOT)
    async with asyncio.timeout(WAIT_SECONDS), Client(parameters, mode=mode) as client:
        assert client.protocol_version == version
        assert client.server_info is not None
        assert client.server_info.name == "asg"
        assert client.server_info.version == __version__
        assert "intent_description" in (client.instructions or "")
        listed = await client.list_tools()
        result = await client.call_tool("asg_echo", {"value": {"a": None, "b": [1, 1.5, "é"]}})
    assert [tool.name for tool in listed.tools][:2] == ["asg_echo", "asg_echo_write"]
    assert result.structured_content == {"value": {"a": None, "b": [1, 1.5, "é"]}, "arguments": {}}
    assert [json.loads(block.text) for block in result.content if block.type == "text"] == [result.structured_content]


async def test_the_transport_of_the_sdk_serves_the_same_tools_where_ours_cannot() -> None:
    parameters = StdioServerParameters(command=sys.executable, args=[*TOY, "--sdk"], cwd=REPOSITORY_ROOT)
    async with asyncio.timeout(WAIT_SECONDS), Client(parameters) as client:
        reply = await client.call_tool("asg_echo", {"value": {"a": [1, 1.0, None]}})
        assert reply.structured_content is not None
        assert reply.structured_content["value"] == {"a": [1, 1.0, None]}


@pytest.mark.parametrize("mode", ERAS)
async def test_an_unknown_tool_is_a_protocol_error_in_both_eras(mode: Any) -> None:
    parameters = StdioServerParameters(command=sys.executable, args=list(TOY), cwd=REPOSITORY_ROOT)
    async with asyncio.timeout(WAIT_SECONDS), Client(parameters, mode=mode) as client:
        with pytest.raises(MCPError) as caught:
            await client.call_tool("asg_ecco", {})
    assert caught.value.error.code == -32602
    assert "Did you mean asg_echo?" in caught.value.error.message


async def test_the_caller_is_the_client_that_the_handshake_named() -> None:
    async with started() as raw:
        await raw.handshake("Some Client", "2.1")
        reply = await raw.ask(raw.call("asg_who", {}))
    assert reply["result"]["structuredContent"] == {
        "client": "Some Client/2.1",
        "agent": "Some Client",
        "principal": "local:tester",
    }


async def test_the_caller_is_the_client_that_the_envelope_names() -> None:
    async with started() as raw:
        reply = await raw.ask(enveloped(raw.call("asg_who", {}), "Newer\x00 Client", "3"))
    assert reply["result"]["structuredContent"]["client"] == "Newer Client/3"


async def test_a_caller_that_does_not_say_who_it_is_has_a_name_all_the_same() -> None:
    async with started() as raw:
        request = enveloped(raw.call("asg_who", {}))
        del request["params"]["_meta"][CLIENT_INFO_META_KEY]
        reply = await raw.ask(request)
    assert reply["result"]["structuredContent"]["client"] == "unknown client"


# --- what a client may get wrong ----------------------------------------------


@pytest.mark.parametrize(
    ("head", "tail", "answered"),
    [
        (b'{"jsonrpc":"2.0","id":77,"method":"tools/call","params":{"v":"', b'"}}', 77),
        (b'{"method":"tools/call","params":{"v":"', b'"},"jsonrpc":"2.0","id":"abc"}', "abc"),
        (b'{"method":"tools/call","params":{"id":5,"v":"', b'","id":6}}', None),
        (b"", b"", None),
    ],
    ids=["id first", "id last", "id only inside", "no JSON at all"],
)
async def test_a_line_over_the_limit_is_refused_and_the_connection_goes_on(
    client: RawClient, head: bytes, tail: bytes, answered: Any
) -> None:
    client.write(head + b"x" * (LINE_BYTES_MAX + 1) + tail)
    refusal = await client.read()
    assert refusal["id"] == answered
    assert refusal["error"]["code"] == -32600
    assert str(LINE_BYTES_MAX) in refusal["error"]["message"]
    await client.ping()


@pytest.mark.parametrize("answered", [9, None])
async def test_a_line_that_is_not_json_is_a_parse_error_and_the_connection_goes_on(
    client: RawClient, answered: int | None
) -> None:
    client.write(b'{"jsonrpc":"2.0","id":9,"method":"ping",]' if answered else b"hello \xff")
    refusal = await client.read()
    assert (refusal["id"], refusal["error"]["code"]) == (answered, -32700)
    await client.ping()


@pytest.mark.parametrize("line", [b'[{"jsonrpc":"2.0","id":1,"method":"ping"}]', b"3", b'{"jsonrpc":"1.0","id":4}'])
async def test_json_that_is_no_message_is_an_invalid_request_and_the_connection_goes_on(
    client: RawClient, line: bytes
) -> None:
    client.write(line)
    assert (await client.read())["error"]["code"] == -32600
    await client.ping()


async def test_blank_lines_are_ignored(client: RawClient) -> None:
    ping = client.request("ping")
    client.write(b"", b"  \r", ping, b"")
    assert (await client.read())["id"] == ping["id"]


async def test_a_lone_surrogate_in_a_value_is_refused_by_name_and_the_connection_goes_on(client: RawClient) -> None:
    request = echo(client, "\ud800")
    assert tool_error(await client.ask(request))["code"] == "invalid_value"
    await client.ping()


@in_both_ways
async def test_nesting_too_deep_is_refused_by_name_and_the_connection_goes_on(client: RawClient) -> None:
    deep = json.loads("[" * 300 + "]" * 300)
    assert tool_error(await client.ask(echo(client, deep)))["code"] == "limit_exceeded"
    await client.ping()


async def test_a_value_of_the_greatest_depth_comes_back(client: RawClient) -> None:
    deep = json.loads("[" * 128 + "]" * 128)
    assert returned(await client.ask(echo(client, deep))) == deep


@in_both_ways
async def test_a_request_id_in_use_is_refused(client: RawClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "until")
    held = client.call("asg_hold", {"until": str(tmp_path / "until")})
    client.write(held, {**client.request("ping"), "id": held["id"]})
    assert (await client.reply_to(held))["error"]["code"] == -32600
    (tmp_path / "until").write_text("done")
    assert (await client.reply_to(held))["result"]["structuredContent"] == {"note": "done"}


async def test_what_a_tool_prints_goes_to_stderr_and_never_into_the_protocol() -> None:
    async with started(stderr=asyncio.subprocess.PIPE) as raw:
        await raw.handshake()
        reply = await raw.ask(raw.call("asg_noisy", {}))
        await raw.ping()
        raw.end_input()
        assert raw.process.stderr is not None
        async with asyncio.timeout(WAIT_SECONDS):
            said = await raw.process.stderr.read()
    assert reply["result"]["structuredContent"] == {"note": "said it"}
    assert b"a stray print\n" in said
    assert b"a stray child\n" in said


# --- load ---------------------------------------------------------------------


@contextmanager
def blocking_server() -> Iterator[subprocess.Popen[bytes]]:
    """A server whose client does nothing that it is not told to: it does not read ahead."""
    process = subprocess.Popen(
        [sys.executable, *TOY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY_ROOT
    )
    assert process.stdin is not None
    with process:
        try:
            yield process
            process.stdin.close()
            process.wait(WAIT_SECONDS)
        finally:
            process.kill()


def write_without_reading(process: subprocess.Popen[bytes], lines: list[bytes]) -> None:
    """Write all lines and read nothing; fail if the server stops taking them."""
    assert process.stdin is not None
    writing = threading.Thread(target=process.stdin.writelines, args=([line + b"\n" for line in lines],), daemon=True)
    writing.start()
    writing.join(WAIT_SECONDS)
    assert not writing.is_alive(), "the server takes no requests while its replies are not read"
    process.stdin.flush()


def test_a_client_may_write_many_large_requests_before_it_reads() -> None:
    requests = [
        enveloped(numbered(number, "asg_echo", {"value": "v" * 12_000, "padding": "p" * 60_000}))
        for number in range(600)
    ]
    with blocking_server() as process:
        write_without_reading(process, [json.dumps(request).encode() for request in requests])
        assert process.stdout is not None
        replies = [json.loads(process.stdout.readline()) for _ in requests]
    assert {returned(reply) for reply in replies} == {"v" * 12_000}
    assert sorted(ids_of(replies)) == ids_of(requests)


def test_a_client_may_write_many_bad_lines_before_it_reads() -> None:
    with blocking_server() as process:
        write_without_reading(process, [b"{" * 100] * 20_000)
        assert process.stdout is not None
        replies = [json.loads(process.stdout.readline()) for _ in range(20_000)]
    assert {reply["error"]["code"] for reply in replies} == {-32700}


def test_the_process_ends_when_its_client_goes_away_without_reading() -> None:
    requests = [enveloped(numbered(number, "asg_echo", {"value": "v" * 12_000})) for number in range(600)]
    with blocking_server() as process:
        write_without_reading(process, [json.dumps(request).encode() for request in requests])
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(WAIT_SECONDS) == 0


async def test_a_message_may_arrive_byte_by_byte(client: RawClient) -> None:
    request = client.request("ping")
    assert client.process.stdin is not None
    for byte in json.dumps(request).encode() + b"\n":
        client.process.stdin.write(bytes([byte]))
        await client.written()
    assert (await client.reply_to(request))["result"] == {}


# --- the end --------------------------------------------------------------------


@in_both_ways
async def test_calls_under_way_finish_when_stdin_ends(client: RawClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "until")
    held = client.call("asg_hold", {"until": str(tmp_path / "until")})
    client.write(held)
    await client.ping()
    client.end_input()
    (tmp_path / "until").write_text("finished")
    assert (await client.reply_to(held))["result"]["structuredContent"] == {"note": "finished"}
    assert await client.exit_code() == 0


async def test_the_last_line_needs_no_line_feed(client: RawClient) -> None:
    request = client.request("ping")
    assert client.process.stdin is not None
    client.process.stdin.write(json.dumps(request).encode())
    client.end_input()
    assert (await client.reply_to(request))["result"] == {}


@in_both_ways
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_calls_under_way_finish_on_a_signal(client: RawClient, tmp_path: Path, number: signal.Signals) -> None:
    os.mkfifo(tmp_path / "until")
    held = client.call("asg_hold", {"until": str(tmp_path / "until")})
    client.write(held)
    await client.ping()
    client.process.send_signal(number)
    (tmp_path / "until").write_text("finished")
    assert (await client.reply_to(held))["result"]["structuredContent"] == {"note": "finished"}
    assert await client.exit_code() == 0


async def test_writes_under_way_take_effect_and_are_answered_when_stdin_ends(tmp_path: Path) -> None:
    program = ("-m", "asg_mcp", "serve", "--db", str(tmp_path / "store.db"))
    why = {"intent_category": "Fix", "intent_description": "A node did not answer."}
    async with raw_client(*program) as raw:
        await raw.handshake()
        await raw.ask(raw.call("asg_set", {"path": "/nodes", "value": {}, **why}))
        writes = [raw.call("asg_set", {"path": f"/nodes/n{number}", "value": number, **why}) for number in range(30)]
        raw.write(*writes)
        raw.end_input()
        replies = [await raw.reply_to(write) for write in writes]
        assert await raw.exit_code() == 0
    assert not any(reply["result"]["isError"] for reply in replies)
    async with raw_client(*program) as raw:
        await raw.handshake()
        reply = await raw.ask(raw.call("asg_get", {"path": "/nodes"}))
    assert returned(reply) == {f"n{number}": number for number in range(30)}


@in_both_ways
async def test_a_second_signal_ends_the_process_without_waiting(client: RawClient) -> None:
    held = client.call("asg_hold", {})
    client.write(held)
    await client.ping()
    client.process.send_signal(signal.SIGTERM)
    client.process.send_signal(signal.SIGINT)
    assert (await client.reply_to(held))["error"]["code"] == CONNECTION_CLOSED
    assert await client.exit_code() == 0


@in_both_ways
async def test_a_cancelled_call_does_not_hold_up_the_end(client: RawClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "until")
    held = client.call("asg_hold", {"until": str(tmp_path / "until")})
    client.write(held, {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": held["id"]}})
    await client.ping()
    (tmp_path / "until").write_text("too late")
    client.end_input()
    assert await client.exit_code() == 0


# --- other things than pipes -------------------------------------------------------


def test_requests_may_come_from_a_file_and_go_to_a_file(tmp_path: Path) -> None:
    padding = "p" * 60_000  # Together more than is read ahead.
    requests = [enveloped(numbered(number, "asg_echo", {"value": number, "padding": padding})) for number in range(50)]
    (tmp_path / "in").write_text("".join(json.dumps(request) + "\n" for request in requests) + "nonsense\n")
    with (tmp_path / "in").open("rb") as stdin, (tmp_path / "out").open("wb") as stdout:
        run_toy(stdin, stdout)
    replies = {reply["id"]: reply for reply in map(json.loads, (tmp_path / "out").read_text().splitlines())}
    assert [returned(replies[request["id"]]) for request in requests] == list(range(50))
    assert replies[None]["error"]["code"] == -32700


def test_the_process_ends_when_its_replies_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "in").write_text(json.dumps(enveloped(numbered(1, "asg_who", {}))) + "\n")
    with (tmp_path / "in").open("rb") as stdin, Path("/dev/full").open("wb") as stdout:
        run_toy(stdin, stdout)


def run_toy(stdin: BinaryIO, stdout: BinaryIO) -> None:
    argv = [sys.executable, *TOY]
    subprocess.run(argv, stdin=stdin, stdout=stdout, cwd=REPOSITORY_ROOT, check=True, timeout=WAIT_SECONDS)


async def test_the_definitions_are_the_same_for_every_client_and_process() -> None:
    lists = []
    for _ in range(2):
        async with started() as raw:
            await raw.handshake(f"client {_}")
            lists.append((await raw.ask(raw.request("tools/list")))["result"])
            lists.append((await raw.ask(raw.request("tools/list")))["result"])
    assert [json.dumps(listed) for listed in lists] == [json.dumps(lists[0])] * 4
