"""The version of the state's own shape: migrate."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from asg_mcp.schemas.base import Branch, MoreBehind, Params, Wire
from asg_mcp.schemas.entries import ChangeItem
from asg_mcp.schemas.intents import Keyed


class MigrateAction(StrEnum):
    CHECK = "check"
    DRY_RUN = "dry_run"
    APPLY = "apply"


class _Migrate(Params):
    action: Annotated[MigrateAction, Field(description="Default check")] = MigrateAction.CHECK
    ref: Branch = "main"
    to: Annotated[str, Field(description="Version")] = ""


class MigrateParams(Keyed, _Migrate):
    """A version to bring a state to."""


class StepItem(Wire):
    name: Annotated[str, Field(description="Its name; stamp sets the first version and changes nothing else.")]
    source: Annotated[str, Field(alias="from", description="The version it begins at, or absent.")]
    to: Annotated[str, Field(description="The version it leads to.")]
    description: Annotated[str, Field(description="What it changes, and why.")]
    package: Annotated[str, Field(description="The installed package it comes from.")] = ""
    operations: Annotated[int, Field(description="Operations it asked for; missing in a check.")] = 0
    changed: Annotated[int, Field(description="Paths whose value changes, the version included; not in a check.")] = 0
    changes: Annotated[list[ChangeItem], Field(description="In a dry run, the first of them, as far as they fit.")] = []
    commit: Annotated[str, Field(description="The commit that an apply made of it.")] = ""
    skipped: Annotated[bool, Field(description="Whether somebody else had applied it meanwhile.")] = False


class MigrateReply(Wire):
    ref: Annotated[str, Field(description="The ref that was looked at or written.")]
    commit: Annotated[str, Field(description="The commit it stood at; after an apply, where it stands now.")]
    state: Annotated[
        str,
        Field(
            description="up_to_date; available; newer than the installed packages know; unversioned; corrupt; or "
            "no_path: the package with the next step is missing."
        ),
    ]
    source: Annotated[str, Field(alias="from", description="The version before: N.N.N, absent, or empty if corrupt.")]
    to: Annotated[str, Field(description="The version that the steps lead to.")]
    steps: Annotated[list[StepItem], Field(description="In order; those of an apply were done.")]
    omitted: MoreBehind = 0
    note: Annotated[str, Field(description="What stands in the way, and what helps.")] = ""
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False
