"""Bytes to lines to messages."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCRequest

from asg_mcp.server.lines import LineSplitter, NotAMessage, OverlongLine, parse


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    chunks = []
    for size in sizes:
        chunks.append(data[:size])
        data = data[size:]
    return [chunk for chunk in [*chunks, data] if chunk]


@given(
    lines=st.lists(st.binary(max_size=30).map(lambda line: line.replace(b"\n", b" "))),
    sizes=st.lists(st.integers(1, 20)),
)
def test_lines_do_not_depend_on_how_the_stream_is_cut(lines: list[bytes], sizes: list[int]) -> None:
    splitter = LineSplitter(line_bytes_max=20)
    found = [line for chunk in cut(b"".join(line + b"\n" for line in lines), sizes) for line in splitter.feed(chunk)]
    assert len(found) == len(lines)
    for line, original in zip(found, lines, strict=True):
        if len(original) <= 20:
            assert line == original
        else:
            assert isinstance(line, OverlongLine)
            assert (len(line), line.tail) == (len(original), original)
            assert original.startswith(line.head)
    assert splitter.rest() == b""


def test_a_line_over_the_limit_is_not_held() -> None:
    splitter = LineSplitter(line_bytes_max=100_000)
    for _ in range(100):
        assert splitter.feed(b"x" * 50_000) == []
    assert sum(map(len, splitter._parts)) + len(splitter._head) + len(splitter._tail) < 110_000
    (line,) = splitter.feed(b"end\n")
    assert isinstance(line, OverlongLine)
    assert (line.size, line.head[:3], line.tail[-3:]) == (5_000_003, b"xxx", b"end")


def request(**parts: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "m", **parts}


@pytest.mark.parametrize("text", ["\ud800", "\udfff\ud800", "a"])
def test_a_message_with_a_lone_surrogate_is_read(text: str) -> None:
    message = parse(json.dumps(request(id=1, params={"a": text})).encode())
    assert isinstance(message, JSONRPCRequest)
    assert message.params == {"a": text}


def test_a_byte_order_mark_is_ignored() -> None:
    assert isinstance(parse(b"\xef\xbb\xbf" + json.dumps(request(id=1)).encode()), JSONRPCRequest)


@given(
    members=st.permutations(["jsonrpc", "id", "method", "params"]),
    id_=st.integers(-(10**17), 10**17) | st.text("aZ09-_ .{},:", max_size=9),
    inner=st.dictionaries(st.sampled_from(["id", "a", '","id":3}', '{"id":4,']), st.text() | st.integers(), max_size=4),
    blank=st.sampled_from(["", " "]),
)
def test_an_id_that_is_salvaged_from_a_line_too_long_is_the_requests_own(
    members: list[str], id_: int | str, inner: dict[str, Any], blank: str
) -> None:
    whole = request(id=id_, params=inner)
    line = json.dumps({name: whole[name] for name in members}, separators=("," + blank, ":" + blank)).encode()
    with pytest.raises(NotAMessage) as caught:
        parse(OverlongLine(line[:4_096], line[-4_096:], 10**9))
    if (members[-1] == "params" and members.index("id") < 3) or members[0] == "params":
        assert caught.value.reply.id == id_
    else:
        assert caught.value.reply.id in (id_, None)


@pytest.mark.parametrize(
    ("line", "code", "id_"),
    [
        (b"{", -32700, None),
        (b'{"jsonrpc":"2.0","id":5,', -32700, 5),
        (b'{"jsonrpc":"2.0","id":"x","method":"m","params":' + b"[" * 100_000, -32600, "x"),
        (b'{"params":' + b"[" * 10_000 + b"]" * 10_000 + b',"id":6}', -32600, 6),
        (b'{"a":{"id":4}', -32700, None),
        (b'{"a":1}', -32600, None),
        (b'{"id":5}', -32600, 5),
        (b'{"id":[5]}', -32600, None),
        (b'{"id":"\\ud800"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":"a\\ud800","method":"ping"}', -32600, None),
        (b"[]", -32600, None),
        (b"null", -32600, None),
    ],
)
def test_what_is_no_message_is_refused_with_the_id_where_there_is_one(line: bytes, code: int, id_: Any) -> None:
    with pytest.raises(NotAMessage) as caught:
        parse(line)
    assert (caught.value.reply.error.code, caught.value.reply.id) == (code, id_)
    assert caught.value.reply.model_dump_json()
