"""What each tool needs a grant for: one row a tool. Checked before its handler runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from asg_mcp.core.operations import Op
from asg_mcp.core.paths import Tokens, parse_path
from asg_mcp.repo.branches import DEFAULT_BRANCH
from asg_mcp.repo.transaction import common_path
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


_NONE: frozenset[Verb] = frozenset()
_READS, _WRITES = frozenset({Verb.READ}), frozenset({Verb.WRITE})
_BRANCHES = frozenset({Verb.BRANCH, Verb.READ})
Besides = Callable[[Mapping[str, Any]], frozenset[Verb]]
Needs = Callable[[Any, Acting], Iterable[Need]]
"""What a call with these arguments, made by whoever acts, needs."""


@dataclass(frozen=True, slots=True)
class Row:
    """How one tool is judged."""

    needs: Needs
    acts: bool = True
    """Whether something is recorded under the name of the agent."""
    verbs: frozenset[Verb] = _WRITES
    """What every call of the tool needs, whatever its arguments."""
    besides: Besides = lambda _: frozenset()
    """What a call with these arguments, as they are sent, needs besides: as much as can be told unchecked."""


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
    yield from _operations(_branch(p, who), p.operations, is_whole=bool(p.expected_object))


def _operations(ref: str, operations: Sequence[OperationItem], *, is_whole: bool = False) -> Iterator[Need]:
    """`is_whole`: the object that they have in common is looked at too. So it is where there are none."""
    touched = tuple(_touched(operations))
    if is_whole or not touched:
        touched = (*touched, common_path(touched or ((),)))
    yield Need(Verb.WRITE, ref, touched)
    tested = tuple(_touched(item for item in operations if item.op is Op.TEST))
    if tested:
        # What a test answers is what is there.
        yield Need(Verb.READ, ref, tested)


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
    yield from _operations(_speculation(p.handle), p.operations)


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
    for verb in (Verb.WRITE, Verb.READ):
        yield Need(verb, ANYWHERE, WHOLE) if p.intent else Need(verb)


def _epoch(_: Any, __: Acting) -> Iterator[Need]:
    # An epoch is of the whole store: whatever serves its intents is in it, and its seal is over the log.
    yield Need(Verb.SEAL, ANYWHERE, WHOLE)


def _plan(p: PlanParams, who: Acting) -> Iterator[Need]:
    return _planned(who, p.name, Verb.WRITE)


def _task(p: UpdateTaskParams, who: Acting) -> Iterator[Need]:
    return _planned(who, p.plan, Verb.WRITE)


def _next_task(p: NextTaskParams, who: Acting) -> Iterator[Need]:
    return _planned(who, p.plan, *([Verb.WRITE] if p.claim else []))


def _planned(who: Acting, plan: str, *verbs: Verb) -> Iterator[Need]:
    # The plan, or the task, is in the reply, so it has to be readable too.
    for verb in (*verbs, Verb.READ):
        yield Need(verb, who.branch(DEFAULT_BRANCH, said=False), ((PLANS, plan),))


def _migrate(p: MigrateParams, _: Acting) -> Iterator[Need]:
    verb = Verb.ADMIN if p.action is MigrateAction.APPLY else Verb.READ
    yield Need(verb, p.ref, WHOLE)


NEEDS: Mapping[str, Row] = {
    "asg_get": Row(_get, acts=False, verbs=_READS),
    "asg_set": Row(_set),
    "asg_delete": Row(_set),
    "asg_apply": Row(_apply, besides=lambda given: _READS if _tests(given) else _NONE),
    "asg_search": Row(_search, acts=False, verbs=_READS),
    "asg_branch": Row(_make_branch, verbs=frozenset({Verb.BRANCH, Verb.READ})),
    "asg_list_branches": Row(_list_branches, acts=False, verbs=_READS),
    "asg_delete_branch": Row(_drop_branch, verbs=frozenset({Verb.BRANCH})),
    "asg_diff": Row(_diff, acts=False, verbs=_READS),
    "asg_merge": Row(_merge, verbs=frozenset({Verb.MERGE, Verb.READ})),
    "asg_log": Row(_get, acts=False, verbs=_READS),
    "asg_blame": Row(_get, acts=False, verbs=_READS),
    "asg_query": Row(_query, acts=False, verbs=_READS),
    "asg_revert": Row(_revert, verbs=_READS | _WRITES),
    "asg_speculate": Row(_speculate, verbs=_READS | _WRITES),
    "asg_spec_modify": Row(_spec_modify, besides=lambda given: _READS if _tests(given) else _NONE),
    "asg_compare": Row(_compare, verbs=_READS),
    "asg_commit_spec": Row(_commit_spec, verbs=_READS | _WRITES),
    "asg_discard": Row(_discard),
    "asg_open_session": Row(_open_session, besides=lambda given: _BRANCHES if _names_branch(given) else _NONE),
    "asg_resolve": Row(_resolve, verbs=_READS | _WRITES),
    "asg_create_epoch": Row(_epoch, verbs=frozenset({Verb.SEAL})),
    "asg_seal_epoch": Row(_epoch, verbs=frozenset({Verb.SEAL})),
    "asg_plan": Row(_plan, verbs=_READS | _WRITES),
    "asg_update_task": Row(_task, verbs=_READS | _WRITES),
    "asg_next_task": Row(_next_task, verbs=_READS, besides=lambda given: _WRITES if given.get("claim") else _NONE),
    "asg_migrate": Row(
        _migrate, verbs=_NONE, besides=lambda given: frozenset({Verb.ADMIN}) if _applies(given) else _READS
    ),
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
    who = unpack.acting(ctx, session=_session(params), agent=_claimed(params, ctx.caller.default_session))
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


def _claimed(params: Wire, bound: str) -> str:
    if isinstance(params, OpenSessionParams):
        # Below another session it is that one's agent who opens it; else whoever is to work in it.
        return "" if params.parent or bound else params.agent
    if isinstance(params, UpdateTaskParams | NextTaskParams):
        assigns = isinstance(params, UpdateTaskParams) and params.action is TaskAction.ASSIGN
        return "" if assigns else params.agent
    return str(getattr(getattr(params, "provenance", None), "agent", ""))


def _applies(given: Mapping[str, Any]) -> bool:
    return given.get("action") == MigrateAction.APPLY.value


def _tests(given: Mapping[str, Any]) -> bool:
    operations = given.get("operations")
    found = operations if isinstance(operations, list) else []
    return any(isinstance(item, dict) and item.get("op") == Op.TEST.value for item in found)


def _names_branch(given: Mapping[str, Any]) -> bool:
    return given.get("branch") not in (None, "", DEFAULT_BRANCH)


def _branch(p: SetParams | DeleteParams | ApplyParams | RevertParams, who: Acting) -> str:
    return who.branch(p.ref, said="ref" in p.model_fields_set)


def _touched(operations: Iterable[OperationItem]) -> Iterator[Tokens]:
    for item in operations:
        yield parse_path(item.path)
        if item.source:
            yield parse_path(item.source)


def _speculation(handle: str) -> str:
    return handle if handle.startswith("spec:") else f"spec:{handle}"
