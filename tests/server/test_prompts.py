"""Prompts, through a real client."""

from __future__ import annotations

import re

import pytest
from mcp import Client, MCPError
from mcp_types import INVALID_PARAMS, TextContent

from asg_mcp.server.mcp import ServerOptions, build_server
from asg_mcp.server.profiles import Profile
from asg_mcp.server.prompts import ARGUMENT_CHARS_MAX, PROMPTS, PromptBook
from asg_mcp.tools.catalogue import CATALOGUE
from tests.server.served import ERAS, Era
from tests.server.toy_server import NO_REPOSITORY

GIVEN = {
    "explain-change": {"path": "/cluster/node-3/status", "ref": "dev"},
    "review-branch": {"source": "team/fix-42", "target": "dev"},
    "hand-over": {"since": "2026-11-21T02:00:00Z"},
    "plan-work": {"goal": "Every node answers in 10 ms."},
}


def connect(era: Era = "newer", profile: Profile | None = None) -> Client:
    server = build_server(CATALOGUE, NO_REPOSITORY, "local:a", ServerOptions(profile=profile or Profile()))
    return Client(server, mode="legacy" if era == "older" else "auto")


async def told(client: Client, name: str, arguments: dict[str, str]) -> str:
    (message,) = (await client.get_prompt(name, arguments)).messages
    assert message.role == "user"
    assert isinstance(message.content, TextContent)
    return message.content.text


def test_the_four_prompts_have_these_names() -> None:
    assert [prompt.name for prompt in PROMPTS] == list(GIVEN)


@pytest.mark.parametrize("era", ERAS)
async def test_each_prompt_is_listed_with_its_arguments_and_given_with_them(era: Era) -> None:
    async with connect(era) as client:
        listed = (await client.list_prompts()).prompts
        assert listed
        for prompt in listed:
            assert prompt.description
            assert prompt.arguments is not None
            assert {argument.name for argument in prompt.arguments} == GIVEN[prompt.name].keys()
            text = await told(client, prompt.name, GIVEN[prompt.name])
            assert all(given in text for given in GIVEN[prompt.name].values())


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda prompt: prompt.name)
def test_a_prompt_is_short_and_names_the_tools_it_says_it_needs(prompt: object) -> None:
    assert prompt in PROMPTS
    found = next(one for one in PROMPTS if one is prompt)
    text = found.message(GIVEN[found.name])
    assert set(re.findall(r"asg_[a-z_]+", text)) == set(found.tools)
    assert len(text) < 700


async def test_an_argument_that_is_not_given_has_its_default() -> None:
    async with connect() as client:
        for empty in ({}, {"ref": ""}, {"ref": "  "}):
            assert "/a on main" in await told(client, "explain-change", {"path": "/a", **empty})


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("explain-changes", {"path": "/a"}, "Did you mean explain-change?"),
        ("explain-change", {}, "explain-change needs path"),
        ("explain-change", {"path": " "}, "explain-change needs path"),
        ("explain-change", {"path": "/a", "branch": "x"}, "no argument 'branch'"),
        ("explain-change", {"path": "/" * (ARGUMENT_CHARS_MAX + 1)}, f"at most {ARGUMENT_CHARS_MAX}"),
    ],
)
async def test_a_prompt_that_makes_no_sense_is_refused_with_what_to_give(
    name: str, arguments: dict[str, str], said: str
) -> None:
    async with connect() as client:
        with pytest.raises(MCPError) as refused:
            await client.get_prompt(name, arguments)
    assert refused.value.code == INVALID_PARAMS
    assert said in refused.value.message


async def test_a_prompt_whose_tools_are_switched_off_is_not_offered() -> None:
    async with connect(profile=Profile(exclude=("asg_blame",))) as client:
        assert "explain-change" not in [prompt.name for prompt in (await client.list_prompts()).prompts]
        with pytest.raises(MCPError):
            await client.get_prompt("explain-change", {"path": "/a"})


def test_with_all_tools_all_prompts_are_offered() -> None:
    assert len(PromptBook(CATALOGUE).listed.prompts) == len(GIVEN)
