"""Completion of refs and paths, through a real client."""

from __future__ import annotations

from pathlib import Path

import pytest
from mcp import Client, MCPError
from mcp_types import INVALID_PARAMS, Completion, PromptReference, ResourceTemplateReference

from asg_mcp.core.limits import COMPLETIONS_MAX
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.server.resources import RESOURCES
from asg_mcp.services.epochs import create_epoch
from tests.repo.stores import ALICE
from tests.server.served import ERAS, Era, client_of, read, served

STATE = ResourceTemplateReference(uri="asg://state/{ref}{+path}")
EXPLAIN = PromptReference(name="explain-change")


async def complete(
    client: Client, argument: str, value: str, ref: ResourceTemplateReference | PromptReference = STATE
) -> Completion:
    return (await client.complete(ref, {"name": argument, "value": value})).completion


@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("ref", [STATE, EXPLAIN], ids=["template", "prompt"])
async def test_refs_are_completed_by_their_beginning(
    tmp_path: Path, era: Era, ref: ResourceTemplateReference | PromptReference
) -> None:
    async with served(tmp_path, era) as (desk, client):
        await desk.branch("fix/a")
        await desk.branch("fix/b")
        await desk.branch("v1", kind="tag")
        found = await complete(client, "ref", "fix", ref)
        assert (found.values, found.total, found.has_more) == (["fix/a", "fix/b"], 2, False)
        assert (await complete(client, "ref", "", ref)).values == ["fix/a", "fix/b", "main", "v1"]


async def test_paths_are_completed_at_the_ref_that_was_given_before(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.set("/cluster", {"node-1": {"status": 1}, "node-2": 2, "zone": 3})
        await desk.branch("dev")
        await desk.set("/cluster/node-9", 9, ref="dev")
        assert (await complete(client, "path", "/cluster/node-")).values == ["/cluster/node-1", "/cluster/node-2"]
        dev = await client.complete(STATE, {"name": "path", "value": "/cluster/node-"}, {"ref": "dev"})
        assert dev.completion.values == ["/cluster/node-1", "/cluster/node-2", "/cluster/node-9"]
        assert (await complete(client, "path", "")).values == ["/cluster"]
        assert (await complete(client, "path", "/cluster/node-1/", EXPLAIN)).values == ["/cluster/node-1/status"]


async def test_at_most_a_hundred_values_are_sent_and_the_rest_is_counted(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.set("/m", {f"k{number:04}": number for number in range(COMPLETIONS_MAX + 7)})
        paths = await complete(client, "path", "/m/")
        for number in range(COMPLETIONS_MAX + 1):
            await desk.branch(f"b{number:04}")
        refs = await complete(client, "ref", "b")
    assert (len(paths.values), paths.total, paths.has_more) == (COMPLETIONS_MAX, COMPLETIONS_MAX + 7, True)
    assert (len(refs.values), refs.total, refs.has_more) == (COMPLETIONS_MAX, COMPLETIONS_MAX + 1, True)


async def test_a_completed_path_leads_where_it_says_in_a_template_that_is_filled_in_with_it(tmp_path: Path) -> None:
    """A client expands {+path} itself, and leaves what looks encoded as it is."""
    value = next(resource for resource in RESOURCES if resource.name == "value")
    async with served(tmp_path) as (desk, client):
        await desk.set("/50%25", {"a%20b": 1})
        (outer,) = (await complete(client, "path", "/5")).values
        (inner,) = (await complete(client, "path", outer + "/")).values
        assert await read(client, value.uri.replace("{ref}", "main").replace("{+path}", inner)) == 1
        assert (await complete(client, "path", "/50%25/", EXPLAIN)).values == ["/50%25/a%20b"]


@pytest.mark.parametrize(("argument", "value"), [("path", "/nowhere/a"), ("path", "%ff"), ("ref", "zz")])
async def test_where_nothing_goes_on_nothing_is_offered(tmp_path: Path, argument: str, value: str) -> None:
    async with served(tmp_path) as (desk, client):
        await desk.set("/a", 1)
        found = await complete(client, argument, value)
    assert (found.values, found.total, found.has_more) == ([], 0, False)


async def test_a_ref_that_is_not_there_has_no_paths(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        done = await client.complete(STATE, {"name": "path", "value": "/"}, {"ref": "nowhere"})
    assert done.completion.values == []


async def test_an_open_speculation_is_completed_and_read_by_its_own_principal_alone(tmp_path: Path) -> None:
    async with served(tmp_path) as (desk, client), client_of(desk, principal="local:bob") as other:
        await desk.set("/a", 1)
        opened = await client.call_tool("asg_speculate", {})
        assert opened.structured_content is not None
        ref = f"spec:{opened.structured_content['handle']}"
        assert (await complete(client, "ref", "spec")).values == [ref]
        assert (await client.complete(STATE, {"name": "path", "value": "/"}, {"ref": ref})).completion.values == ["/a"]
        assert await read(client, f"asg://value/{ref}/a") == 1
        hidden = await complete(other, "ref", "")
        assert (hidden.values, hidden.total) == (["main"], 1)
        assert (await other.complete(STATE, {"name": "path", "value": "/"}, {"ref": ref})).completion.values == []
        for uri in (f"asg://value/{ref}/a", f"asg://log/{ref}"):
            with pytest.raises(MCPError) as refused:
                await other.read_resource(uri)
            assert refused.value.data["code"] == "handle_not_found"
        with pytest.raises(MCPError):
            async with other.listen(resource_subscriptions=[f"asg://state/{ref}/a"]):
                pass


async def test_epochs_are_completed_the_newest_first(tmp_path: Path) -> None:
    template = ResourceTemplateReference(uri="asg://epoch/{epoch}/bundle")
    async with served(tmp_path) as (desk, client):
        for epoch in ("migration-1", "migration-2", "other"):
            await create_epoch(desk.repo, EpochRequest(epoch, "Grouped."), ALICE)
        found = await complete(client, "epoch", "mig", template)
    assert (found.values, found.total, found.has_more) == (["migration-2", "migration-1"], 2, False)


async def test_free_texts_are_not_completed(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, client):
        assert (await complete(client, "since", "2026", PromptReference(name="hand-over"))).values == []


@pytest.mark.parametrize(
    ("ref", "argument"),
    [
        (STATE, "branch"),
        (EXPLAIN, "branch"),
        (ResourceTemplateReference(uri="asg://state/{branch}"), "branch"),
        (PromptReference(name="nothing"), "path"),
    ],
)
async def test_what_is_not_there_is_refused(
    tmp_path: Path, ref: ResourceTemplateReference | PromptReference, argument: str
) -> None:
    async with served(tmp_path) as (_, client):
        with pytest.raises(MCPError) as refused:
            await complete(client, argument, "", ref)
    assert refused.value.code == INVALID_PARAMS
    assert refused.value.data["hint"]
