"""Who may do what: a grant, the need of one call, and the one function that decides.

What cannot be proved to lie inside a grant is refused. So a commit id is never enough for a grant that names refs,
and a call whose paths are not known before it is made is refused to a grant that names paths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from asg_mcp.core.ids import is_prefix
from asg_mcp.core.paths import Tokens, format_path, is_within
from asg_mcp.core.refs import parse_revision
from asg_mcp.errors import Forbidden

ANY = "*"
ANYWHERE = "*"
"""The ref of a need that may touch any ref: every one, or one that is not known before the call."""
SPECULATIONS = "spec:*"
"""The glob that lets a grant which names refs use speculations."""
_WILD = re.compile(r"[*?\[]")


SCOPE_PREFIX = "asg:"
"""Of the scopes of an authorization server: one for each verb."""


class Verb(StrEnum):
    """What a call does, as grants name it."""

    READ = "read"
    WRITE = "write"
    BRANCH = "branch"
    MERGE = "merge"
    SEAL = "seal"
    ADMIN = "admin"


EVERY_VERB = frozenset(Verb)
_MOVES_NONE = frozenset({Verb.READ, Verb.SEAL})
"""Verbs that leave every branch where it is."""


class Rule(StrEnum):
    """What refused a call, as its error and the log name it."""

    VERB = "verb"
    AGENT = "agent"
    REF = "ref"
    PROTECTED = "protected"
    PATH = "path"
    SESSION = "session"
    """What binds the session that the call was made in."""
    OPERATION = "operation"
    """What nobody may do, such as move a tag."""
    HANDLE = "handle"
    """A session or speculation of another principal."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What a verified principal may do."""

    principal: str
    agents: tuple[str, ...] = (ANY,)
    """Globs of the agents that it may claim to be."""
    verbs: frozenset[Verb] = EVERY_VERB
    refs: tuple[str, ...] = (ANY,)
    """Globs of the names of refs it may read and write; `*` is every commit."""
    paths: tuple[Tokens, ...] = ((),)
    """The places it may read and write, with all that is below them."""
    protected: tuple[str, ...] = ()
    """Globs of refs that only those who may merge can change."""
    credential: str = ""
    """The public name of the token; empty where there is none."""
    issuer: str = ""
    """The authorization server of the token, where one made it: its holder can ask there for more rights."""

    @property
    def all_refs(self) -> bool:
        """Whether no ref is out of its reach."""
        return ANY in self.refs

    @property
    def all_paths(self) -> bool:
        """Whether no path is out of its reach."""
        return () in self.paths

    @property
    def agent(self) -> str:
        """The agent of calls that name none, where the grant fixes one; else ""."""
        first = self.agents[0] if self.agents else ""
        return "" if _WILD.search(first) else first

    def reads(self, ref: str) -> bool:
        """Whether this text of a ref means one that the grant holds."""
        if self.all_refs:
            return True
        if ref == ANYWHERE:
            return False
        revision = parse_revision(ref)
        name = f"spec:{revision.name}" if revision.kind == "spec" else revision.name
        # Where no ref has the name, its digits would be those of a commit, which may be on any ref.
        return not is_prefix(name) and _matches(name, self.refs)

    def lists(self, prefix: str) -> bool:
        """Whether every name that begins so is one that the grant holds."""
        stems = [glob[:-1] for glob in self.refs if glob.endswith("*") and not _WILD.search(glob[:-1])]
        return any(prefix.startswith(stem) for stem in stems)

    def holds(self, path: Tokens) -> bool:
        """Whether the path lies inside the grant."""
        return any(is_within(path, root) for root in self.paths)

    def claims(self, agent: str) -> bool:
        """Whether it may act as this agent."""
        return _matches(agent, self.agents)


class InsufficientScope(Forbidden):
    """A token of an authorization server lacks a scope; its holder can ask there for another token."""

    code = "insufficient_scope"

    def __init__(self, grant: Grant, lacking: frozenset[Verb]) -> None:
        self.scope = " ".join(sorted(f"{SCOPE_PREFIX}{verb}" for verb in {*grant.verbs, *lacking}))
        first = min(lacking)
        super().__init__(
            f"The token of {grant.principal} has no scope {SCOPE_PREFIX}{first}",
            hint=f"Ask {grant.issuer} for a token with the scope {self.scope}.",
            **_asked(Rule.VERB, first),
        )


def decide(grant: Grant, verb: Verb, ref: str = "", paths: Iterable[Tokens] = (), agent: str | None = None) -> None:
    """Raise Forbidden unless the grant allows `verb` on a ref ("" for none), at these paths, as this agent (or None).

    A change of a protected ref needs the right to merge besides. Raises InvalidName for what is no ref at all, and
    InsufficientScope where another token of the same authorization server would do.
    """
    if verb not in grant.verbs and grant.issuer:
        raise InsufficientScope(grant, frozenset({verb}))
    if verb not in grant.verbs:
        raise Forbidden(
            f"{grant.principal} has no right to {verb}",
            hint=f"It may {', '.join(sorted(grant.verbs)) or 'do nothing'}. Ask the operator for a wider token.",
            **_asked(Rule.VERB, verb),
        )
    if agent is not None and not grant.claims(agent):
        raise Forbidden(
            f"{grant.principal} may not act as agent {agent!r}",
            hint=f"Name one of {', '.join(grant.agents)} in provenance.agent, or give the session that"
            " asg_open_session opens for it.",
            **_asked(Rule.AGENT, verb),
            agent=agent,
            agents=list(grant.agents),
        )
    if ref and not grant.reads(ref):
        told = _asked(Rule.REF, verb)
        raise Forbidden(_outside(grant, ref), hint=_ref_hint(grant), **told, ref=ref, refs=list(grant.refs))
    if ref and verb not in _MOVES_NONE and Verb.MERGE not in grant.verbs and _is_protected(grant, ref):
        raise Forbidden(
            f"{'The ref is not named, and it may be' if ref == ANYWHERE else f'{ref} is'} protected: "
            "only who may merge changes it",
            hint="Work on a branch of your own, and have it merged; name the branch in the call.",
            **_asked(Rule.PROTECTED, verb),
            ref=ref,
            protected=list(grant.protected),
        )
    for path in paths:
        if not grant.holds(path):
            raise Forbidden(
                f"{format_path(path)} is outside what {grant.principal} may see",
                hint=f"Name a path at or below {', '.join(map(format_path, grant.paths))}.",
                **_asked(Rule.PATH, verb),
                ref=ref,
                path=format_path(path),
                paths=[format_path(root) for root in grant.paths],
            )


def _asked(rule: Rule, verb: Verb) -> dict[str, str]:
    return {"rule": rule.value, "verb": verb.value}


def _is_protected(grant: Grant, ref: str) -> bool:
    if ref == ANYWHERE:
        return bool(grant.protected)
    return _matches(parse_revision(ref).name, grant.protected)


def _outside(grant: Grant, ref: str) -> str:
    if ref == ANYWHERE:
        return f"The call may reach any ref, and {grant.principal} may use some alone"
    return f"{ref} is outside what {grant.principal} may use"


def _ref_hint(grant: Grant) -> str:
    return f"Name a branch or tag of {', '.join(grant.refs)}; a commit id says not which ref it is on."


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)
