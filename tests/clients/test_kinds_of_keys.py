"""Every kind of key and value, through a real client and server: set, read, diff, blame, delete, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from mcp_types import PARSE_ERROR

from tests.clients.agents import Agent, Refused, agent, exact
from tests.kit.rpc import RawClient, raw_client, tool_error

VALUES: dict[str, Any] = {
    "/nested": {"a": {"b": {"c": [1, {"d": [[], {}, [[]]]}]}}},
    "/users/42": {"name": "Ada", "7": "seven", "-1": "minus"},
    "/users/042": "not 42",
    "/a~1b": "a slash in the key",
    "/a~0b": "a tilde in the key",
    "/~01": "a tilde and a one",
    "/a b": {" ": " leading and trailing "},
    "/\N{ROCKET}\N{SNOWMAN}": {"\N{FAMILY}\N{ZERO WIDTH JOINER}": "\N{LATIN SMALL LETTER E}\N{COMBINING ACUTE ACCENT}"},
    "/deep/": "the empty key below a map",
    "/deep2//": "the empty key twice",
    "/deep3": {"": {"": [""]}},
    "/-": "a dash is a key in a map",
    "/int": 1,
    "/float": 1.0,
    "/true": True,
    "/false": False,
    "/zero": 0,
    "/zero float": 0.0,
    "/null": None,
    "/largest": 2**63 - 1,
    "/smallest": -(2**63),
    "/tiny": 5e-324,
    "/huge": 1.7976931348623157e308,
    "/sum": 0.1 + 0.2,
    "/empty text": "",
    "/control": "\x00\x01\n\t\x7f",
    "/empty map": {},
    "/empty list": [],
    "/list": [None, True, 1, 1.0, "1", {}, [], {"": None}],
}
"""By path, each written alone."""


async def _whole(client: Agent) -> Any:
    return await client.read("/")


async def test_every_kind_of_key_and_value_goes_in_and_comes_back(tmp_path: Path) -> None:
    async with agent(tmp_path / "state.db", "ada") as client:
        for path, value in VALUES.items():
            start = (await client.call("asg_get", path="/"))["commit"]
            before = await _whole(client)
            there = await client.write("asg_set", path=path, value=value)
            assert there["changed"] >= 1
            assert exact(await client.read(path)) == exact(value), path
            await _check_diff(client, start, "main", path, "new", value)
            entry = await client.blame(path)
            assert (entry["agent"], entry["commit"]) == ("ada", there["commit"])
            await _check_deletion_and_return(client, path, value, exact(before), there["commit"])
        written = await _whole(client)
    async with agent(tmp_path / "state.db", "bob") as other:  # a server that opens the file anew
        assert exact(await _whole(other)) == exact(written)
        for path, value in VALUES.items():
            assert exact(await other.read(path)) == exact(value), path


async def _check_diff(client: Agent, old: str, new: str, path: str, side: str, value: Any) -> None:
    """The difference is the path, or the parents that were made for it, and one side of it holds the value."""
    found = await client.call("asg_diff", ref_a=old, ref_b=new)
    (change,) = found["changes"]
    assert change["op"] == ("add" if side == "new" else "remove")
    assert path == change["path"] or path.startswith(f"{change['path']}/")
    if change["path"] == path:
        assert exact(change[side]) == exact(value)
        assert {"old", "new"} & change.keys() == {side}, "the side where nothing was is missing, and no null"


async def _check_deletion_and_return(client: Agent, path: str, value: Any, before: str, there: str) -> None:
    gone = await client.write("asg_delete", path=path)
    with pytest.raises(Refused) as refusal:
        await client.read(path)
    assert refusal.value.code == "path_not_found"
    entry = await client.blame(path)
    assert (entry["deleted"], entry["commit"]) == (True, gone["commit"])
    await _check_diff(client, there, gone["commit"], path, "old", value)
    back = await client.write("asg_revert", commits=[gone["commit"]])
    assert back["conflicts"] == []
    assert exact(await client.read(path)) == exact(value)
    assert exact(await client.read(path, ref=there)) == exact(value)
    assert exact(await client.read("/", ref=f"{there}~1")) == before


async def test_values_that_python_holds_equal_or_empty_are_told_apart(tmp_path: Path) -> None:
    pairs: list[tuple[Any, Any]] = [(1, 1.0), (1.0, 1), (True, 1), (0, False), (None, ""), ({}, []), ("", []), ("1", 1)]
    async with agent(tmp_path / "state.db", "ada") as client:
        for number, (first, second) in enumerate(pairs):
            path = f"/pairs/{number}"
            await client.write("asg_set", path=path, value=first)
            assert (await client.write("asg_set", path=path, value=first))["changed"] == 0
            assert (await client.write("asg_set", path=path, value=second))["changed"] == 1
            assert exact(await client.read(path)) == exact(second)
            (change,) = (await client.call("asg_diff", ref_a="main~1", ref_b="main"))["changes"]
            assert (exact(change["old"]), exact(change["new"])) == (exact(first), exact(second))


async def test_the_empty_key_directly_below_the_root_is_refused_and_the_root_is_not(tmp_path: Path) -> None:
    async with agent(tmp_path / "state.db", "ada") as client:
        for path, value in (("//", 1), ("/", {"": 1}), ("", {"": 1})):
            with pytest.raises(Refused) as refusal:
                await client.write("asg_set", path=path, value=value)
            assert refusal.value.code == "invalid_path"
        for number, root in enumerate(("/", "")):
            await client.write("asg_set", path=root, value={"a": number})
            assert await _whole(client) == {"a": number}


async def test_a_write_through_a_scalar_is_refused_and_says_what_is_there(tmp_path: Path) -> None:
    async with agent(tmp_path / "state.db", "ada") as client:
        await client.write("asg_set", path="/service", value={"port": 8080})
        head = (await client.call("asg_get", path="/"))["commit"]
        for tool, more in (("asg_set", {"value": 1}), ("asg_delete", {}), ("asg_get", {})):
            call = client.call if tool == "asg_get" else client.write
            with pytest.raises(Refused) as refusal:
                await call(tool, path="/service/port/number", **more)
            assert refusal.value.code == "wrong_type"
            told = f"{refusal.value.error}"
            assert "/service/port" in told
            assert "int" in told
        assert (await client.call("asg_get", path="/"))["commit"] == head
        assert await client.read("/service") == {"port": 8080}


async def test_a_misspelt_argument_is_refused_and_the_right_one_named(tmp_path: Path) -> None:
    slips = [("intent_desciption", "intent_description"), ("valeu", "value"), ("expectedHead", "expected_head")]
    async with agent(tmp_path / "state.db", "ada") as client:
        for wrong, right in slips:
            given: dict[str, Any] = {"path": "/x", "value": 1, wrong: "x"}
            with pytest.raises(Refused) as refusal:
                await client.write("asg_set", **given)
            assert refusal.value.code == "invalid_argument"
            told = f"{refusal.value.error}"
            assert wrong in told
            assert right in told
        assert await _whole(client) == {}, "nothing was written"


async def test_what_cannot_be_stored_is_refused_and_the_next_call_works(tmp_path: Path) -> None:
    """Written by hand: a client's JSON library would not let these out."""
    refused = ["NaN", "Infinity", "-Infinity", "1e999", str(2**63), str(-(2**63) - 1), r'"\ud800"', r'{"\udfff": 1}']
    async with raw_client("-m", "asg_mcp", "serve", "--db", str(tmp_path / "state.db")) as client:
        await client.handshake()
        for number, value in enumerate(refused):
            reply = await _write(client, value)
            if "error" in reply:  # no JSON at all: the protocol's own error
                assert reply["error"]["code"] == PARSE_ERROR, value
            else:
                assert tool_error(reply)["code"] in ("invalid_value", "invalid_argument"), value
            assert (await _write(client, str(number)))["result"]["structuredContent"]["changed"] == 1
            read = await client.ask(client.call("asg_get", {"path": "/x"}))
            assert read["result"]["structuredContent"]["value"] == number
        log = await client.ask(client.call("asg_log", {"limit": 500}))
        assert len(log["result"]["structuredContent"]["commits"]) == 1 + len(refused), "the store's own, and the good"


async def _write(client: RawClient, value: str) -> dict[str, Any]:
    request = client.call("asg_set", {"path": "/x", "intent_category": "Fix", "intent_description": "Try"})
    arguments = f'"arguments": {{"value": {value}, '
    line = json.dumps(request).replace('"arguments": {', arguments)
    client.write(line.encode())
    reply = await client.read()
    assert reply["id"] in (request["id"], None)
    return reply
