"""Completion of refs, paths and epochs, in the variables of resource templates and the arguments of prompts."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

import mcp_types as types

from asg_mcp.core.limits import COMPLETIONS_MAX
from asg_mcp.errors import InvalidArgument, NotFound
from asg_mcp.repo.completing import complete_path
from asg_mcp.repo.epochs import epoch_records
from asg_mcp.repo.repository import Repository
from asg_mcp.server.arguments import shown
from asg_mcp.server.prompts import DEFAULT_REF, PromptBook
from asg_mcp.server.resources import Shelf
from asg_mcp.services.access import Verb
from asg_mcp.tools.registry import ToolContext

NOTHING = types.Completion(values=[], total=0, has_more=False)


async def complete(
    context: ToolContext, shelf: Shelf, prompts: PromptBook, params: types.CompleteRequestParams
) -> types.Completion:
    """How an argument may go on: at most COMPLETIONS_MAX values. Raises InvalidArgument for what is not there."""
    in_address = isinstance(params.ref, types.ResourceTemplateReference)
    completes = _completes(shelf, prompts, params)
    given = params.context.arguments if params.context and params.context.arguments else {}
    repo, grant, ref = context.repo, context.caller.grant, given.get("ref") or DEFAULT_REF
    what = completes.get(params.argument.name)
    if grant is not None and not (grant.all_refs and grant.all_paths and Verb.READ in grant.verbs):
        # Names are what is kept from a grant that holds some alone.
        return NOTHING
    match what:
        case "ref":
            return await _refs(repo, params.argument.value)
        case "path":
            return await _paths(repo, ref, params.argument.value, in_address=in_address)
        case "epoch":
            return await _epochs(repo, params.argument.value)
        case _:
            return NOTHING


def _completes(shelf: Shelf, prompts: PromptBook, params: types.CompleteRequestParams) -> Mapping[str, str]:
    if isinstance(params.ref, types.PromptReference):
        prompt = prompts.find(params.ref.name)
        known, completes = {one.name for one in prompt.arguments}, prompt.completes
    else:
        resource = shelf.template(params.ref.uri)
        if resource is None:
            raise InvalidArgument(
                f"There is no resource template {shown(params.ref.uri)}",
                hint="resources/templates/list names them all; give one as it stands there.",
            )
        known, completes = set(resource.variables), dict(resource.completes)
    if params.argument.name not in known:
        raise InvalidArgument(
            f"There is no argument {shown(params.argument.name)}", hint=f"There are {', '.join(sorted(known))}."
        )
    return completes


async def _refs(repo: Repository, begun: str) -> types.Completion:
    found = await repo.list_refs(begun, kind="all", limit=COMPLETIONS_MAX, cursor="")
    names = [ref.name for ref in found.refs]
    return types.Completion(values=names, total=found.total, has_more=found.total > len(names))


async def _epochs(repo: Repository, begun: str) -> types.Completion:
    ids = await repo.read(lambda view: [record.key for record in epoch_records(view.reader)])
    found = [epoch for epoch in ids if epoch.startswith(begun)]
    return types.Completion(values=found[:COMPLETIONS_MAX], total=len(found), has_more=len(found) > COMPLETIONS_MAX)


async def _paths(repo: Repository, ref: str, typed: str, *, in_address: bool) -> types.Completion:
    # A template's {+path} lets %XX through as it stands, so inside an address a % is written %25.
    try:
        begun = unquote(typed, errors="strict") if in_address else typed
        found = await repo.read(lambda view: complete_path(view, ref, begun, COMPLETIONS_MAX))
    except (NotFound, UnicodeDecodeError):
        return NOTHING
    values = [value.replace("%", "%25") if in_address else value for value in found.values]
    return types.Completion(values=values, total=found.total, has_more=found.more)
