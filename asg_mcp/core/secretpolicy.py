"""What becomes of a secret that a write brings, by where it would be stored."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from asg_mcp.core.paths import Tokens, parse_path
from asg_mcp.core.secretrules import RuleKind
from asg_mcp.errors import InvalidArgument

TEXTS = "texts"
"""Stands for all that has no path: intents, provenance, labels, lessons, summaries."""
_HINT = (
    "Give PREFIX=ACTION between commas, such as /=reject,/notes=mask,/customers:personal=allow,texts=mask; "
    "the actions are reject, mask, salt and allow."
)


class Action(StrEnum):
    """What is done with a secret."""

    REJECT = "reject"
    """The write is refused."""
    MASK = "mask"
    """[masked: RULE] is stored in its place."""
    SALT = "salt"
    """[salted: RULE DIGEST] is stored: equal secrets have equal digests, and only this store can make them."""
    ALLOW = "allow"
    """It is stored as it is."""


@dataclass(frozen=True, slots=True)
class Clause:
    """The action below a prefix (None: for texts), for secrets of one kind, or of all kinds."""

    prefix: Tokens | None
    kind: RuleKind | None
    action: Action


@dataclass(frozen=True, slots=True)
class Policy:
    """Clauses. The longest prefix decides, then the clause that names the kind; without any, secrets are refused."""

    clauses: tuple[Clause, ...] = ()

    def action(self, kind: RuleKind, path: Tokens | None) -> Action:
        """What becomes of a secret of this kind at a path, or (None) in a text, which / decides unless `texts` does."""
        best, weight = Action.REJECT, (-1, False)
        for clause in self.clauses:
            if clause.kind not in (None, kind):
                continue
            if clause.prefix is None:
                size = 1 if path is None else -1
            elif path is None:
                size = 0 if not clause.prefix else -1
            else:
                size = len(clause.prefix) if path[: len(clause.prefix)] == clause.prefix else -1
            if size >= 0 and (size, clause.kind is not None) >= weight:
                best, weight = clause.action, (size, clause.kind is not None)
        return best

    def differs(self, source: Tokens, target: Tokens) -> bool:
        """Whether a secret might be treated otherwise below one path than at the same place below another."""
        clauses = [(clause, clause.prefix) for clause in self.clauses if clause.prefix is not None]
        for path in (source, target):
            if any(len(prefix) > len(path) and prefix[: len(path)] == path for _, prefix in clauses):
                return True
        above = [[clause for clause, prefix in clauses if path[: len(prefix)] == prefix] for path in (source, target)]
        return above[0] != above[1]

    @property
    def looks_at_nothing(self) -> bool:
        """Whether everything is allowed, so that there is nothing to look for."""
        return (
            self.action(RuleKind.TOKEN, ()) is Action.ALLOW
            and all(clause.action is Action.ALLOW for clause in self.clauses)
            and self.action(RuleKind.PERSONAL, ()) is Action.ALLOW
        )


def parse_policy(text: str) -> Policy:
    """The policy that a text such as `/=reject,/notes=mask` says; empty text is the default.

    Raises InvalidArgument, and InvalidPath for a prefix that is no JSON Pointer.
    """
    return Policy(tuple(_clause(part.strip()) for part in text.split(",") if part.strip()))


def _clause(part: str) -> Clause:
    place, equals, action = part.rpartition("=")
    kind: RuleKind | None = None
    for known in RuleKind:
        if place.endswith(f":{known}"):
            place, kind = place.removesuffix(f":{known}"), known
    if not equals or action not in tuple(Action) or not (place == TEXTS or place.startswith("/")):
        raise InvalidArgument(f"{part!r} is no clause of a policy for secrets", hint=_HINT)
    return Clause(None if place == TEXTS else parse_path(place), kind, Action(action))
