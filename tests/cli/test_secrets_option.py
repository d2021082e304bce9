"""The policy for secrets, from the command line and from the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from asg_mcp import config
from asg_mcp.app import open_memory, open_repository
from asg_mcp.cli.arguments import parse
from asg_mcp.cli.serving import server_command
from asg_mcp.core.secretpolicy import parse_policy
from asg_mcp.errors import InvalidArgument, SecretRefused
from tests.kit.secret_samples import credentials
from tests.repo.desk import Desk

TOKEN = credentials(5)[0].value


def names_in(folder: Path) -> list[str]:
    return [file.name for file in folder.iterdir()]


def test_the_option_counts_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(config.SECRETS_VARIABLE, "/a=mask")
    assert config.secrets_policy() == parse_policy("/a=mask")
    assert config.secrets_policy("/b=salt") == parse_policy("/b=salt")


def test_a_client_is_told_to_start_the_server_with_the_policy_that_was_given(tmp_path: Path) -> None:
    options = parse(["--db", str(tmp_path / "s.db"), "serve", "--secrets", "/notes=mask"])
    command = server_command(options)
    assert command[command.index("--secrets") + 1] == "/notes=mask"
    assert "--secrets" not in server_command(parse(["--db", str(tmp_path / "s.db")]))


async def test_every_program_that_opens_a_store_keeps_to_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_repository(tmp_path / "s.db") as repo:
        with pytest.raises(SecretRefused):
            await Desk(repo).set("/a", TOKEN)
    monkeypatch.setenv(config.SECRETS_VARIABLE, "/=allow")
    async with open_repository(tmp_path / "s.db") as repo:
        await Desk(repo).set("/a", TOKEN)
    async with open_memory() as repo:
        await Desk(repo).set("/a", TOKEN)


async def test_a_store_is_not_opened_under_a_policy_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        async with open_repository(tmp_path / "s.db", secrets="/a=keep"):
            pass
    assert names_in(tmp_path) == []
