"""docs/identity.md: its commands can be typed, and its tables are what the code says."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

from asg_mcp.cli.arguments import parse
from asg_mcp.core import limits
from asg_mcp.services.access import Rule, Verb
from asg_mcp.services.oauth import AGENTS_CLAIM, PATHS_CLAIM, REFS_CLAIM, SCOPES
from asg_mcp.services.oauthkeys import ALGORITHMS
from asg_mcp.services.tokens import TokenFile, TokenRequest
from asg_mcp.tools.needs import NEEDS
from tests.repo.desk import open_desk
from tests.server.test_identity import Scene

PAGE = (Path(__file__).parents[2] / "docs" / "identity.md").read_text(encoding="utf-8")
WORDS = {"two": 2, "ten": 10, "thirty": 30}


def rows(first: str) -> list[list[str]]:
    """The rows of the table whose first column is called so."""
    table = re.search(rf"^\| {first} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table[1].splitlines()]


def test_every_command_on_the_page_can_be_typed() -> None:
    commands = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]
    assert len(commands) > 5
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "asg-mcp"
        parse(arguments)


async def test_the_token_of_the_first_example_does_what_the_page_says(tmp_path: Path) -> None:
    found = re.search(r"^asg-mcp (token add .*)$", PAGE, re.MULTILINE)
    assert found is not None
    given = parse(shlex.split(found[1]))
    request = TokenRequest(given.principal, tuple(given.agents), tuple(given.verbs), tuple(given.refs))
    _, token = TokenFile(tmp_path / "tokens").add(request, 0)
    grant = replace(token.grant(), protected=("main",))
    async with open_desk(tmp_path) as desk:
        at = Scene(desk)
        assert (await at.call("asg_set", {"path": "/a", "value": 1}, grant)).code == "forbidden"
        await at.done("asg_get", {}, grant)
        await at.done("asg_branch", {"name": "team/plan"}, grant)
        await at.done("asg_set", {"ref": "team/plan", "path": "/a", "value": 1}, grant)
        assert (await desk.blame("/a", "team/plan"))[0].commit.agent == "planner"


def test_the_table_of_tools_says_what_every_call_of_them_needs() -> None:
    told = {
        name: {verb for verb in always.split(", ") if verb}
        for names, always, _ in rows("tool")
        for name in re.findall(r"`(\w+)`", names)
    }
    assert told == {name: {verb.value for verb in row.verbs} for name, row in NEEDS.items()}


def test_the_tables_name_every_rule_scope_and_claim() -> None:
    assert {name.strip("`") for name, _ in rows("rule")} == set(Rule)
    assert set(re.findall(r"asg:\w+", PAGE)) == {*SCOPES, AGENTS_CLAIM, REFS_CLAIM, PATHS_CLAIM}
    assert all(verb in next(row for row in rows("what") if "--verb" in row[0])[1] for verb in Verb)
    assert set(re.findall(r"\b(?:RS|PS|ES)\d{3}|\bEdDSA", PAGE)) == ALGORITHMS


def test_the_numbers_on_the_page_are_the_limits() -> None:
    assert limits.TOKEN_CHECK_SECONDS == WORDS["two"]
    assert limits.OAUTH_KEYS_FRESH_SECONDS == WORDS["ten"] * 60
    assert limits.OAUTH_FETCH_PAUSE_SECONDS == WORDS["thirty"]
    assert limits.OAUTH_KEYS_SECONDS_MAX == 3_600
    assert limits.DENIAL_SECONDS == 60
    for number, text in (
        (limits.OAUTH_KEYS_BYTES_MAX // 1_024, "at most {} KiB"),
        (limits.OAUTH_LEEWAY_SECONDS, "{}\nseconds of leeway"),
        (limits.DENIED_TEXT_BYTES_MAX, "as far as {} bytes"),
        (limits.DENIALS_PER_PRINCIPAL_MAX, "At most {} a minute"),
        (limits.DENIALS_MAX, "and {} of a process"),
        (limits.HTTP_SESSIONS_PER_TOKEN_MAX, "at most {} sessions"),
        (limits.HTTP_REQUESTS_OPEN_MAX, "{} open requests and streams"),
    ):
        assert text.format(number) in PAGE
