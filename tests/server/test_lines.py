"""Bytes to lines to messages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import JSONRPCNotification, JSONRPCRequest

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


TWICE = (
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"path":"/k1","path":"/k2"}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"path":"/k1","\\u0070ath":"/k1"}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":[{"b":{"c":1e5,"c" :1}}]}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":123456789012345678901234567890,"b":{"c":1,"c":1}}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":"\\ud800","b":{"c":1,"c":1}}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","params":{"a":1},"params":{"a":1}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","x":{"a":1},"params":{"a":2,"a":1}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","method":"n","params":{"a":1}}',
    b'{"jsonrpc":"2.0","id":7,"id":7,"method":"m","params":{}}',
    b'{"jsonrpc":"2.0","id":7,"method":"m","method":"n"}',
)


@pytest.mark.parametrize("line", TWICE)
def test_a_request_that_names_a_key_twice_is_refused(line: bytes) -> None:
    with pytest.raises(NotAMessage, match="twice") as caught:
        parse(line)
    assert (caught.value.reply.error.code, caught.value.reply.id) == (-32600, 7)


names = st.sampled_from(["a", "b", "params", "id", '"', "\\", '":', "jsonrpc", "é", "a{}"])
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | names,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(
    members=st.permutations(["jsonrpc", "id", "method", "params"]),
    id_=st.integers() | names,
    params=st.dictionaries(names, values, max_size=3),
    compact=st.booleans(),
    is_ascii=st.booleans(),
    place=st.integers(0, 30),
)
def test_a_repeated_key_is_found_wherever_it_is_and_nothing_else_is_taken_for_one(
    members: list[str], id_: int | str, params: dict[str, Any], compact: bool, is_ascii: bool, place: int
) -> None:
    whole = request(id=id_, params=params)
    separators = (",", ":") if compact else (", ", ": ")
    written = {name: whole[name] for name in members}
    line = json.dumps(written, separators=separators, ensure_ascii=is_ascii)
    message = parse(line.encode())
    assert isinstance(message, JSONRPCRequest)
    assert message.params == params
    # Members that are written whole, and none of whose text is inside another's.
    found = [one.span() for one in re.finditer(r'"(?:a|b|method)": ?(?:null|true|false|-?\d+|"m")(?=[,}])', line)]
    start, end = found[place % len(found)]
    with pytest.raises(NotAMessage, match="twice"):
        parse(f"{line[:end]},{line[start:]}".encode())


def test_what_has_no_id_is_a_notification() -> None:
    assert isinstance(parse(json.dumps(request(params={"id": None})).encode()), JSONRPCNotification)


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
        *(
            (b'{"jsonrpc":"2.0","id":%s,"method":"tools/call","params":{}}' % wrong, -32600, None)
            for wrong in (b"null", b"1.5", b"1.0", b"true", b"{}", b"[1]")
        ),
        (b'{"jsonrpc":"2.0","\\u0069d":null,"method":"ping"}', -32600, None),
        (b'{"jsonrpc":"2.0","id":null,"method":"ping","params":{"a":"\\ud800"}}', -32600, None),
        (b"[]", -32600, None),
        (b"null", -32600, None),
    ],
)
def test_what_is_no_message_is_refused_with_the_id_where_there_is_one(line: bytes, code: int, id_: Any) -> None:
    with pytest.raises(NotAMessage) as caught:
        parse(line)
    assert (caught.value.reply.error.code, caught.value.reply.id) == (code, id_)
    assert caught.value.reply.model_dump_json()
