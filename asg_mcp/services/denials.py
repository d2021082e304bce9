"""Which refusals come to be events of the log: enough to see who tries what, never so many that they fill it."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from asg_mcp.core.intents import Author
from asg_mcp.core.limits import (
    DENIAL_SECONDS,
    DENIALS_MAX,
    DENIALS_PER_PRINCIPAL_MAX,
    DENIED_PRINCIPALS_KEPT_MAX,
)
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import AsgError, Forbidden, HandleNotFound, InvalidInput
from asg_mcp.repo.denying import Denial, is_of_another, presentable, shown_text
from asg_mcp.repo.repository import Repository
from asg_mcp.services.access import Rule

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class _Told:
    """One verb on one ref, as its principal was last refused it."""

    at: float
    repeated: int = 0


@dataclass(slots=True)
class _Principal:
    since: float
    count: int = 0
    """Events in the time that began then."""
    others: int = 0
    told: OrderedDict[tuple[str, str], _Told] = field(default_factory=OrderedDict)


class DenialBounds:
    """Says of each denial whether it is an event, and counts those that are none for the next one."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._principals: OrderedDict[str, _Principal] = OrderedDict()
        self._since = clock()
        self._count = 0

    def due(self, principal: str, denial: Denial) -> Denial | None:
        """The denial with what was counted before it, or None where it is counted alone."""
        now = self._clock()
        known = self._principals.setdefault(principal, _Principal(now))
        self._principals.move_to_end(principal)
        if len(self._principals) > DENIED_PRINCIPALS_KEPT_MAX:
            self._principals.popitem(last=False)
        if now - known.since >= DENIAL_SECONDS:
            known.since, known.count = now, 0
        if now - self._since >= DENIAL_SECONDS:
            self._since, self._count = now, 0
        before = known.told.get((denial.verb, denial.ref))
        if before is not None and now - before.at < DENIAL_SECONDS:
            before.repeated += 1
            return None
        if known.count >= DENIALS_PER_PRINCIPAL_MAX or self._count >= DENIALS_MAX:
            known.others += 1
            return None
        return self._tell(known, denial, 0 if before is None else before.repeated, now)

    def _tell(self, known: _Principal, denial: Denial, repeated: int, now: float) -> Denial:
        key = (denial.verb, denial.ref)
        known.count += 1
        self._count += 1
        known.told[key] = _Told(now)
        known.told.move_to_end(key)
        if len(known.told) > DENIALS_PER_PRINCIPAL_MAX:
            _, forgotten = known.told.popitem(last=False)
            known.others += forgotten.repeated
        told = replace(denial, repeated=repeated, others=known.others)
        known.others = 0
        return told


class Denials:
    """Tells the log of one repository who was refused what."""

    def __init__(self, repo: Repository, clock: Callable[[], float] = time.monotonic) -> None:
        self._repo = repo
        self._bounds = DenialBounds(clock)

    async def heard(self, author: Author, call: Denial, error: AsgError) -> None:
        """Log the refusal of a call, if it is one; `call` has what is known of it besides what the error tells.

        Raises nothing: whoever is refused is told so in any case.
        """
        try:
            denial = await self._denial(author, call, error)
            due = None if denial is None else self._bounds.due(author.principal, denial)
            if due is not None:
                names = {name: shown_text(getattr(author, name)) for name in ("principal", "agent", "client")}
                await self._repo.deny(due, replace(author, **names))
        except AsgError as failure:
            logger.warning("a denial could not be logged: %s", failure.message)

    async def _denial(self, author: Author, call: Denial, error: AsgError) -> Denial | None:
        told = error.details
        if isinstance(error, HandleNotFound):
            handle = str(told.get("session") or told.get("handle") or "")
            if not await self._repo.read(lambda view: is_of_another(view.reader, handle, author.principal)):
                return None
            return presentable(replace(call, rule=Rule.HANDLE.value, handle=handle))
        if not isinstance(error, Forbidden):
            return None
        ref, agent, path = (str(told.get(name, "")) for name in ("ref", "agent", "path"))
        rule, verb = str(told.get("rule", call.rule)), str(told.get("verb", call.verb))
        denial = Denial(call.what, rule, verb, ref, path, agent)
        try:
            return presentable(denial, parse_path(path) if path else ())
        except InvalidInput:
            return presentable(denial)  # told as the root: what is no path is not shown
