"""Accountability and work: sessions, outcomes, epochs, plans, migrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library import calls
from asg_mcp.library.calls import Calls, Retried
from asg_mcp.library.reading import Page
from asg_mcp.library.workresults import Epoch, Migration, Outcome, Plan, Session, TaskDone
from asg_mcp.schemas.accountability import OpenSessionParams, ResolveParams
from asg_mcp.schemas.epochs import CreateEpochParams, SealEpochParams
from asg_mcp.schemas.history import QueryParams
from asg_mcp.schemas.migrate import MigrateParams
from asg_mcp.schemas.plans import NextTaskParams, PlanParams, UpdateTaskParams
from asg_mcp.tools import accountability, epochs, history, migrate, plans


class WorkMethods(Calls):
    """Sessions, outcomes, epochs, plans with their tasks, and the version of the state's shape."""

    async def open_session(
        self,
        agent: str,
        branch: str = "",
        *,
        path_scope: Iterable[str] = (),
        parent: str = "",
        intent_description: str = "",
        authority: str | Mapping[str, Any] | None = None,
        expires: str = "",
        request_id: str = "",
    ) -> Session:
        """An agent's working context, no wider than its parent; every write that carries it keeps to it.

        `expires` is RFC 3339, or seconds from now. Raises HandleNotFound, Forbidden, InvalidName.
        """
        given = {
            "agent": agent,
            "branch": branch,
            "path_scope": list(path_scope),
            "parent": parent,
            "intent_description": intent_description,
            "authority": authority,
            "expires": expires,
            "request_id": request_id,
        }
        return Session.of((await self._ask(accountability.open_session, OpenSessionParams, given)).dump())

    async def resolve(
        self,
        outcome: str,
        summary: str,
        *,
        intent: str = "",
        session: str = "",
        observed: Any = None,
        deviations: Iterable[Any] = (),
        confidence: float | None = None,
        request_id: str = "",
    ) -> Outcome:
        """Report what became of an intent; without one, of a session, which it closes.

        `outcome` is fulfilled, partially_fulfilled, failed or deferred; a deviation is a text or {description, impact,
        path}. Raises CommitNotFound, HandleNotFound, Conflict.
        """
        given = {
            "outcome": outcome,
            "summary": summary,
            "intent": intent,
            "session": session,
            "observed": calls.plain(observed),
            "deviations": list(deviations),
            "confidence": confidence,
            "request_id": request_id,
        }
        return Outcome.of((await self._ask(accountability.resolve, ResolveParams, given)).dump())

    async def create_epoch(
        self,
        id: str,
        description: str,
        root_intents: Iterable[str] = (),
        *,
        since: str = "",
        tags: Iterable[str] = (),
        **more: Unpack[Retried],
    ) -> Epoch:
        """Group commits as evidence: those whose intent is a root intent or serves one, or all from now on.

        Raises Conflict where the id is taken, InvalidName.
        """
        given = {"id": id, "description": description, "root_intents": list(root_intents), "since": since, **more}
        reply = await self._ask(epochs.create_epoch, CreateEpochParams, {**given, "tags": list(tags)})
        return _epoch({**reply.dump(), "description": description})

    async def seal_epoch(self, id: str, summary: str, **more: Unpack[Retried]) -> Epoch:
        """Fix an epoch for ever: its members, a tag, and the signed root of the log. Raises NotFound, Conflict."""
        reply = await self._ask(epochs.seal_epoch, SealEpochParams, {"id": id, "summary": summary, **more})
        return _epoch({**reply.dump(), "state": "sealed"})

    async def list_epochs(self, *, status: str | None = None, limit: int = 500, cursor: str = "") -> Page[Epoch]:
        """The epochs, the newest first; with `status` open or sealed, those."""
        given = {"target": "epochs", "filters": {"status": status}, "cursor": cursor}
        return await self._page(
            history.query,
            QueryParams,
            given,
            limit,
            lambda reply: [_epoch(one) for one in reply.items if isinstance(one, dict)],
        )

    async def plan(
        self,
        name: str,
        description: str = "",
        tasks: Iterable[str | Mapping[str, Any]] = (),
        *,
        status: str | None = None,
        summary: str = "",
        **more: Unpack[Retried],
    ) -> Plan:
        """Make or extend a plan with tasks; complete it or archive it with `status`.

        A task is its title, or {title, id, priority, parent, blocked_by, agent}. Raises PlanClosed, InvalidArgument.
        """
        added = [item if isinstance(item, str) else dict(item) for item in tasks]
        given = {"name": name, "description": description, "tasks": added, "status": status, "summary": summary, **more}
        return Plan.of((await self._ask(plans.plan, PlanParams, given)).dump())

    async def update_task(
        self,
        plan: str,
        task: str,
        action: str,
        *,
        proof: str | Mapping[str, Any] | None = None,
        reason: str = "",
        agent: str = "",
        priority: str | None = None,
        blocked_by: Iterable[str] = (),
        **more: Unpack[Retried],
    ) -> TaskDone:
        """Start a task, complete it with proof, abandon, assign, unassign, block, unblock or reprioritise it.

        Raises TaskTaken, TaskBlocked, TaskSettled, TaskNotFound, PlanNotFound.
        """
        given = {
            "plan": plan,
            "task": task,
            "action": action,
            "proof": proof,
            "reason": reason,
            "agent": agent,
            "priority": priority,
            "blocked_by": list(blocked_by),
            **more,
        }
        return TaskDone.of((await self._ask(plans.update_task, UpdateTaskParams, given)).dump())

    async def next_task(
        self,
        plan: str,
        *,
        agent: str = "",
        claim: bool = False,
        lease_seconds: int | None = None,
        **more: Unpack[Retried],
    ) -> TaskDone:
        """The next ready task; with `claim` it is started under a lease, and given to nobody else meanwhile.

        Raises PlanNotFound.
        """
        given = {"plan": plan, "agent": agent, "claim": claim, "lease_seconds": lease_seconds, **more}
        return TaskDone.of((await self._ask(plans.next_task, NextTaskParams, given)).dump())

    async def migrate(
        self, action: str = "check", ref: str = "main", *, to: str = "", **more: Unpack[Retried]
    ) -> Migration:
        """Check, dry_run or apply the steps that lead from the version of the state's shape to the newest, or to `to`.

        Raises MigrationRefused, MigrationFailed, MigrationsBroken.
        """
        given = {"action": action, **calls.on(ref), "to": to, **more}
        return Migration.of((await self._ask(migrate.migrate, MigrateParams, given)).dump())


def _epoch(fields: Mapping[str, Any]) -> Epoch:
    return Epoch.of({**fields, "id": fields["epoch"]})
