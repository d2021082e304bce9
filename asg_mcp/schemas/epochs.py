"""Epochs: create_epoch, seal_epoch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from asg_mcp.schemas.base import Params, Texts, Wire
from asg_mcp.schemas.intents import Keyed


class _CreateEpoch(Params):
    id: Annotated[str, Field(description="New")]
    description: Annotated[str, Field(description="What work")]
    root_intents: Annotated[Texts, Field(description="Default all")] = []
    since: Annotated[str, Field(description="Default now")] = ""
    tags: Annotated[Texts, Field(description="Labels")] = []


class CreateEpochParams(Keyed, _CreateEpoch):
    """A new epoch."""


class EpochReply(Wire):
    epoch: Annotated[str, Field(description="Its id.")]
    state: Annotated[str, Field(description="open or sealed.")]
    opened_at: Annotated[str, Field(description="When it was opened, RFC 3339 in UTC.")]
    commits: Annotated[int, Field(description="How many commits it holds so far.")]
    unknown_intents: Annotated[list[str], Field(description="Root intents that nothing is called yet.")] = []
    hint: Annotated[str, Field(description="What to do where root intents may not hold what was meant.")] = ""
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False


class _SealEpoch(Params):
    id: Annotated[str, Field(description="Epoch")]
    summary: Annotated[str, Field(description="Outcome")]


class SealEpochParams(Keyed, _SealEpoch):
    """An epoch to fix for ever."""


class SealedReply(Wire):
    epoch: Annotated[str, Field(description="Its id.")]
    root: Annotated[str, Field(description="The RFC 6962 root of the log with the seal as its last event, in hex.")]
    size: Annotated[int, Field(description="How many events that log has.")]
    commits: Annotated[int, Field(description="How many commits the seal fixed.")]
    members: Annotated[str, Field(description="The RFC 6962 root over the ids of those commits in order, in hex.")]
    bundle: Annotated[str, Field(description="The resource with all that a stranger needs to verify it.")]
    tag: Annotated[str, Field(description="The tag at the head of the default branch.")]
    checkpoint: Annotated[str, Field(description="Size and root as a signed note (C2SP, Ed25519).")]
    key: Annotated[str, Field(description="The public key that signed it, as note verifiers take it.")]
    sealed_at: Annotated[str, Field(description="When it was sealed, RFC 3339 in UTC.")]
    follows: Annotated[int, Field(description="Commits under the same intents made since: no members.")] = 0
    replayed: Annotated[
        bool, Field(description="Whether this is the answer to an earlier call with this request_id.")
    ] = False
