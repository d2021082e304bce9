"""What each tool needs a grant for: one row a tool. Checked before its handler runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.paths import Tokens, parse_path
from asg_mcp.repo.branches import DEFAULT_BRANCH
from asg_mcp.schemas.accountability import OpenSessionParams, ResolveParams
from asg_mcp.schemas.base import Wire
from asg_mcp.schemas.branch import BranchParams, DeleteBranchParams, DiffParams, ListBranchesParams, MergeParams
from asg_mcp.schemas.history import EVERYWHERE, BlameParams, LogParams, QueryParams, RevertParams, Target
from asg_mcp.schemas.migrate import MigrateAction, MigrateParams
from asg_mcp.schemas.plans import NextTaskParams, PlanParams, TaskAction, UpdateTaskParams
from asg_mcp.schemas.speculate import (
    CommitSpecParams,
    CompareParams,
    DiscardParams,
    SpecModifyParams,
    SpeculateParams,
)
from asg_mcp.schemas.state import (
    ApplyParams,
    DeleteParams,
    GetParams,
    OperationItem,
    SearchParams,
    SetParams,
)
from asg_mcp.services.access import ANYWHERE, Verb, decide
from asg_mcp.services.identity import Acting
from asg_mcp.tools import unpack
from asg_mcp.tools.registry import ToolContext

WHOLE: tuple[Tokens, ...] = ((),)
"""The paths of a call that may read or change any of them."""
PLANS = "plans"
_OWN_RECORDS = (Target.SESSIONS, Target.SPECULATIONS)
"""Records of which each principal sees its own alone."""


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that a grant has to allow, as `decide` takes it."""

    verb: Verb
    ref: str = ""
    paths: tuple[Tokens, ...] = ()
    prefix: str | None = None
    """Of the names of all refs that are reached, where that is known: a grant that holds them all is enough."""


Needs = Callable[[Any, Acting], Iterable[Need]]
"""What a call with these arguments, made by whoever acts, needs."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one tool is judged."""

    needs: Needs
    acts: bool = True
    """Whether something is recorded under the name of the agent."""


def _get(p: GetParams | BlameParams | LogParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.READ, p.ref, (parse_path(p.path),))


def _search(p: SearchParams, _: Acting) -> Iterator[Need]:
    # "$" of a JSONPath is what is at the prefix, so it reads nothing beside that.
    yield Need(Verb.READ, p.ref, (parse_path(p.prefix),))


def _list_branches(p: ListBranchesParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.READ, ANYWHERE, prefix=p.prefix)


def _diff(p: DiffParams, _: Acting) -> Iterator[Need]:
    path = (parse_path(p.path),)
    yield Need(Verb.READ, p.ref_a, path)
    yield Need(Verb.READ, p.ref_b, path)


def _query(p: QueryParams, _: Acting) -> Iterator[Need]:
    path = p.filters.path
    if p.target in _OWN_RECORDS:
        yield Need(Verb.READ)
    elif p.target in (Target.COMMITS, Target.STATE, Target.AGENTS):
        ref = ANYWHERE if p.ref == EVERYWHERE else p.ref
        yield Need(Verb.READ, ref, WHOLE if path.startswith("$") else (parse_path(path),))
    elif p.target is Target.PLANS:
        yield Need(Verb.READ, ANYWHERE if p.ref == EVERYWHERE else p.ref, ((PLANS,),))
    else:
        yield Need(Verb.READ, ANYWHERE, WHOLE)


def _compare(p: CompareParams, _: Acting) -> Iterator[Need]:
    for handle in p.handles:
        yield Need(Verb.READ, _speculation(handle), WHOLE)
    # Whether they would merge is told too, and the branch they would go to is not named.
    yield Need(Verb.READ, ANYWHERE)


def _set(p: SetParams | DeleteParams, who: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, _branch(p, who), (parse_path(p.path),))


def _apply(p: ApplyParams, who: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, _branch(p, who), tuple(_touched(p.operations)))


def _revert(p: RevertParams, who: Acting) -> Iterator[Need]:
    path = (parse_path(p.path),) if p.path else WHOLE
    yield Need(Verb.WRITE, _branch(p, who), path)
    if p.source:
        yield Need(Verb.READ, p.source, path)
    elif p.commits or p.agent or p.session or p.path:
        # What is undone may be on another ref, and a reply with conflicts shows its values.
        yield Need(Verb.READ, ANYWHERE, path)


def _make_branch(p: BranchParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.BRANCH, p.name)
    # It makes what is there readable under the new name, so it has to be readable now.
    yield Need(Verb.READ, p.source)


def _drop_branch(p: DeleteBranchParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.BRANCH, p.name)


def _merge(p: MergeParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.MERGE, p.target, WHOLE)
    yield Need(Verb.READ, p.source, WHOLE)


def _speculate(p: SpeculateParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE)
    yield Need(Verb.READ, p.source)


def _spec_modify(p: SpecModifyParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, _speculation(p.handle), tuple(_touched(p.operations)))


def _commit_spec(p: CommitSpecParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, p.target or ANYWHERE, WHOLE)
    yield Need(Verb.READ, _speculation(p.handle), WHOLE)


def _discard(p: DiscardParams, _: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, _speculation(p.handle))


def _open_session(p: OpenSessionParams, who: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, p.branch or who.branch(DEFAULT_BRANCH, said=False))
    if p.branch not in ("", DEFAULT_BRANCH):
        yield Need(Verb.BRANCH, p.branch)  # a branch that is not there is made
        yield Need(Verb.READ, who.branch(DEFAULT_BRANCH, said=False))


def _resolve(p: ResolveParams, _: Acting) -> Iterator[Need]:
    # What serves an intent is told in the reply, whatever ref it is on; a session is the caller's own.
    yield Need(Verb.WRITE, ANYWHERE, WHOLE) if p.intent else Need(Verb.WRITE)


def _epoch(_: Any, __: Acting) -> Iterator[Need]:
    yield Need(Verb.SEAL)


def _plan(p: PlanParams, who: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, who.branch(DEFAULT_BRANCH, said=False), ((PLANS, p.name),))


def _task(p: UpdateTaskParams, who: Acting) -> Iterator[Need]:
    yield Need(Verb.WRITE, who.branch(DEFAULT_BRANCH, said=False), ((PLANS, p.plan),))


def _next_task(p: NextTaskParams, who: Acting) -> Iterator[Need]:
    verb = Verb.WRITE if p.claim else Verb.READ
    yield Need(verb, who.branch(DEFAULT_BRANCH, said=False), ((PLANS, p.plan),))


def _migrate(p: MigrateParams, _: Acting) -> Iterator[Need]:
    verb = Verb.ADMIN if p.action is MigrateAction.APPLY else Verb.READ
    yield Need(verb, p.ref, WHOLE)


NEEDS: Mapping[str, Row] = {
    "asg_get": Row(_get, acts=False),
    "asg_set": Row(_set),
    "asg_delete": Row(_set),
    "asg_apply": Row(_apply),
    "asg_search": Row(_search, acts=False),
    "asg_branch": Row(_make_branch),
    "asg_list_branches": Row(_list_branches, acts=False),
    "asg_delete_branch": Row(_drop_branch),
    "asg_diff": Row(_diff, acts=False),
    "asg_merge": Row(_merge),
    "asg_log": Row(_get, acts=False),
    "asg_blame": Row(_get, acts=False),
    "asg_query": Row(_query, acts=False),
    "asg_revert": Row(_revert),
    "asg_speculate": Row(_speculate),
    "asg_spec_modify": Row(_spec_modify),
    "asg_compare": Row(_compare),
    "asg_commit_spec": Row(_commit_spec),
    "asg_discard": Row(_discard),
    "asg_open_session": Row(_open_session),
    "asg_resolve": Row(_resolve),
    "asg_create_epoch": Row(_epoch),
    "asg_seal_epoch": Row(_epoch),
    "asg_plan": Row(_plan),
    "asg_update_task": Row(_task),
    "asg_next_task": Row(_next_task),
    "asg_migrate": Row(_migrate),
}
"""Every tool of the catalogue; one without a row cannot be called by anybody but the local user."""


def authorise(ctx: ToolContext, tool: str, params: Wire) -> None:
    """Raise Forbidden unless the caller may make this call. The local user may make every one.

    Raises what the arguments raise too: InvalidPath, InvalidName, HandleNotFound of a session that is not the caller's.
    """
    grant = ctx.caller.grant
    if grant is None:
        return
    row = NEEDS[tool]
    who = unpack.acting(ctx, session=_session(params), agent=_claimed(params))
    for need in row.needs(params, who):
        ref = "" if need.prefix is not None and grant.lists(need.prefix) else need.ref
        decide(grant, need.verb, ref, need.paths, who.author.agent if row.acts else None)
    if isinstance(params, OpenSessionParams):
        # The agent of a session is that of all calls in it.
        decide(grant, Verb.WRITE, agent=params.agent)


def _session(params: Wire) -> str:
    if isinstance(params, RevertParams) and not (params.commits or params.agent or params.path):
        return ""  # there it says whose commits to undo
    return str(getattr(params, "parent" if isinstance(params, OpenSessionParams) else "session", ""))


def _claimed(params: Wire) -> str:
    if isinstance(params, UpdateTaskParams | NextTaskParams):
        assigns = isinstance(params, UpdateTaskParams) and params.action is TaskAction.ASSIGN
        return "" if assigns else params.agent
    return str(getattr(getattr(params, "provenance", None), "agent", ""))


def _branch(p: SetParams | DeleteParams | ApplyParams | RevertParams, who: Acting) -> str:
    return who.branch(p.ref, said="ref" in p.model_fields_set)


def _touched(operations: Iterable[OperationItem]) -> Iterator[Tokens]:
    for item in operations:
        yield parse_path(item.path)
        if item.source:
            yield parse_path(item.source)


def _speculation(handle: str) -> str:
    return handle if handle.startswith("spec:") else f"spec:{handle}"
