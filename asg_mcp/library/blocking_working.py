"""Made from `library/working.py` by tests/kit/library_sources.py: do not edit it here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Unpack

from asg_mcp.library.calls import Retried
from asg_mcp.library.front import Front
from asg_mcp.library.reading import Page
from asg_mcp.library.workresults import Epoch, Migration, Outcome, Plan, Session, TaskDone


class BlockingWorking(Front):
    """Sessions, outcomes, epochs, plans with their tasks, and the version of the state's shape."""

    def open_session(
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
        return self._wait(
            self._graph.open_session(
                agent,
                branch,
                path_scope=path_scope,
                parent=parent,
                intent_description=intent_description,
                authority=authority,
                expires=expires,
                request_id=request_id,
            )
        )

    def resolve(
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
        return self._wait(
            self._graph.resolve(
                outcome,
                summary,
                intent=intent,
                session=session,
                observed=observed,
                deviations=deviations,
                confidence=confidence,
                request_id=request_id,
            )
        )

    def create_epoch(
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
        return self._wait(self._graph.create_epoch(id, description, root_intents, since=since, tags=tags, **more))

    def seal_epoch(self, id: str, summary: str, **more: Unpack[Retried]) -> Epoch:
        """Fix an epoch for ever: its members, a tag, and the signed root of the log. Raises NotFound, Conflict."""
        return self._wait(self._graph.seal_epoch(id, summary, **more))

    def list_epochs(self, *, status: str | None = None, limit: int = 500, cursor: str = "") -> Page[Epoch]:
        """The epochs, the newest first; with `status` open or sealed, those."""
        return self._wait(self._graph.list_epochs(status=status, limit=limit, cursor=cursor))

    def plan(
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
        return self._wait(self._graph.plan(name, description, tasks, status=status, summary=summary, **more))

    def update_task(
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
        return self._wait(
            self._graph.update_task(
                plan,
                task,
                action,
                proof=proof,
                reason=reason,
                agent=agent,
                priority=priority,
                blocked_by=blocked_by,
                **more,
            )
        )

    def next_task(
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
        return self._wait(self._graph.next_task(plan, agent=agent, claim=claim, lease_seconds=lease_seconds, **more))

    def migrate(self, action: str = "check", ref: str = "main", *, to: str = "", **more: Unpack[Retried]) -> Migration:
        """Check, dry_run or apply the steps that lead from the version of the state's shape to the newest, or to `to`.

        Raises MigrationRefused, MigrationFailed, MigrationsBroken.
        """
        return self._wait(self._graph.migrate(action, ref, to=to, **more))
