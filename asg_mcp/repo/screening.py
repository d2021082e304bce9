"""Secrets kept out: what a write brings is searched before it waits for its turn, so that a refused one leaves nothing.

Only what this write brings is searched: its values, the keys of its paths, its texts and names, and what it moves to
where the policy is stricter. What a merge, a revert or a migration takes from states that are there already is not.
Names and keys are hashed and can never be erased, and a key is where a value is: those are refused where a value would
be masked or salted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import anyio.to_thread

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.nodes import Hasher
from asg_mcp.core.operations import ABSENT, Absent, Op, Operation
from asg_mcp.core.paths import APPEND, Tokens, format_path
from asg_mcp.core.secretpolicy import Action, Policy
from asg_mcp.core.secretscan import Finding, Step, find_secrets, may_hold_secrets
from asg_mcp.core.state import Gap, State
from asg_mcp.core.values import JsonValue, checked, encode, equal
from asg_mcp.errors import SecretRefused
from asg_mcp.repo.requests import EpochRequest, OutcomeRequest, Resolution, SessionRequest
from asg_mcp.repo.results import SchemaWarning
from asg_mcp.repo.transact import Decide, Decision, Draft

SHOWN_MAX = 20
"""Secrets named in one error."""
DIGEST_DIGITS = 40
"""Of a salted secret: 160 bits, and no length that a rule takes for a token of its own."""
INLINE_BYTES_MAX = 64 * 1_024
"""More than this is searched apart from the event loop: at worst some 30 ms a 100 KB."""
Edits = dict[tuple[Step, ...], list[tuple[int, int, str]]]
Held = Callable[[Tokens], JsonValue | Absent]
"""What a path holds; ABSENT where nothing is."""


class Screen:
    """Applies a policy to what callers bring. Every method raises SecretRefused, which never holds the secret."""

    def __init__(self, policy: Policy, hasher: Hasher) -> None:
        self._policy = policy
        self._off = policy.looks_at_nothing
        self._hasher = hasher

    # --- values -----------------------------------------------------------------

    def operations(
        self, operations: Sequence[Operation], held: Held | None = None
    ) -> tuple[tuple[Operation, ...], list[SchemaWarning]]:
        """The (checked) operations as they may be stored, and what was put in the place of what.

        `held` tells what a path holds already, where that is known: a text that stays as it is is not brought.
        """
        if self._off or not may_hold_secrets(_canonical(operations)):
            return tuple(operations), []
        return self._searched(operations, held or _unknown)

    async def commit(
        self, operations: Sequence[Operation], intent: Intent, author: Author
    ) -> tuple[tuple[Operation, ...], Intent, list[SchemaWarning]]:
        """What makes a commit, as it may be stored: looked at together first, for most writes bring no cue at all."""
        brought = [_brought(operation) for operation in operations]
        if self._off or not may_hold_secrets(encode([brought, _texts_of(intent), _names_in(intent, author)])):
            return tuple(operations), intent, []
        kept, told = await self.operations_apart(operations)
        fit = self.intent(intent, author)
        return kept, fit, told + self.told(intent, fit)

    async def operations_apart(
        self, operations: Sequence[Operation]
    ) -> tuple[tuple[Operation, ...], list[SchemaWarning]]:
        """The same, on a thread where it takes long: megabytes that look as if they held secrets."""
        canonical = b"" if self._off else _canonical(operations)
        if not may_hold_secrets(canonical):
            return tuple(operations), []
        if len(canonical) > INLINE_BYTES_MAX:
            return await anyio.to_thread.run_sync(self._searched, operations, _unknown)
        return self._searched(operations, _unknown)

    def _searched(
        self, operations: Sequence[Operation], held: Held
    ) -> tuple[tuple[Operation, ...], list[SchemaWarning]]:
        refused: list[dict[str, str]] = []
        told: list[SchemaWarning] = []
        out = [self._operation(operation, held, refused, told) for operation in operations]
        _refuse(refused)
        return tuple(out), told

    def _operation(
        self, operation: Operation, held: Held, refused: list[dict[str, str]], told: list[SchemaWarning]
    ) -> Operation:
        path, value = operation.path, operation.value
        if operation.op is Op.DELETE:
            return operation  # how a secret that is there already is got rid of
        if operation.op is not Op.TEST:
            refused += [
                {"rule": found.rule.name, "path": shown_path(path)}
                for found in find_secrets(list(path))
                if self._policy.action(found.rule.kind, path) is not Action.ALLOW and held(path) is ABSENT
            ]
        if isinstance(value, Absent):
            return operation
        edits: Edits = {}
        place = (*path, APPEND) if operation.op is Op.APPEND else path
        for found in find_secrets(value, path):
            below = (*place, *map(str, found.at))
            action = self._policy.action(found.rule.kind, below)
            if action is Action.ALLOW or _stays(held(below), found, value):
                continue
            if operation.op is Op.TEST:
                if action is not Action.REJECT and not found.in_key:
                    self._edit(edits, found, action, value)
            elif action is Action.REJECT or found.in_key:
                refused.append({"rule": found.rule.name, "path": shown_path(below)})
            else:
                self._edit(edits, found, action, value)
                told.append(SchemaWarning(_shown(below), f"{_DONE[action]}: {found.rule.what}"))
        return replace(operation, value=_edited(value, edits)) if edits else operation

    def moved(self, state: State, operation: Operation) -> None:
        """Judge a move, in the state that it is done in, as a set of what it moves; it cannot mask, so it is refused.

        Only where the policy is stricter at the target than at the source; what was there already is let be.
        """
        source, target = operation.source or (), operation.path
        place = state.locate(source)
        if self._off or isinstance(place, Gap) or not self._policy.differs(source, target):
            return
        value = state.shown(place)
        if not may_hold_secrets(encode([*target, value])):
            return
        refused = []
        for found in find_secrets(value, target):
            at, kind = tuple(map(str, found.at)), found.rule.kind
            there, here = self._policy.action(kind, (*target, *at)), self._policy.action(kind, (*source, *at))
            if there is not here and here is not Action.REJECT and there is not Action.ALLOW:
                refused.append({"rule": found.rule.name, "path": shown_path((*target, *at))})
        _refuse(refused)

    def resolutions(self, resolutions: Sequence[Resolution]) -> tuple[Resolution, ...]:
        """The values that settle conflicts, as they may be stored."""
        out = []
        for item in resolutions:
            if item.take == "value":
                value = checked(item.value, depth=len(item.path))
                done, _ = self.operations([Operation(Op.SET, item.path, value)])
                item = replace(item, value=done[0].value)
            out.append(item)
        return tuple(out)

    # --- texts ------------------------------------------------------------------

    def texts(self, texts: Mapping[str, JsonValue], names: Mapping[str, JsonValue] | None = None) -> dict[str, Any]:
        """The texts as they may be stored. Secrets in `names` are refused unless they are allowed."""
        given: dict[str, Any] = checked(dict(texts))
        fixed_names = checked(dict(names or {}))
        if self._off or not may_hold_secrets(encode([given, fixed_names])):
            return given
        refused: list[dict[str, str]] = []
        edits: Edits = {}
        for part, fixed in ((given, False), (fixed_names, True)):
            for found in find_secrets(part):
                action = self._policy.action(found.rule.kind, None)
                if action is Action.REJECT or (action is not Action.ALLOW and (fixed or found.in_key)):
                    where = "/".join(_shown(tuple(map(str, found.at))))
                    refused.append({"rule": found.rule.name, "path": where})
                elif action is not Action.ALLOW:
                    self._edit(edits, found, action, part)
        _refuse(refused)
        done: dict[str, Any] = _edited(given, edits)
        return done

    def intent(self, intent: Intent, author: Author) -> Intent:
        """An intent as it may be stored; the author's names are looked at with it."""
        given, names = _texts_of(intent), _names_in(intent, author)
        if self._off or not may_hold_secrets(encode([given, names])):  # both are checked already
            return intent
        done = self.texts(given, names)
        return intent if done == given else replace(intent, **{**done, "tags": tuple(done["tags"])})

    def told(self, brought: Intent, kept: Intent) -> list[SchemaWarning]:
        """What was put in the place of what in an intent that `intent` was given, by what it made of it."""
        if kept is brought:
            return []
        told = []
        for found in find_secrets(_texts_of(brought)):
            action = self._policy.action(found.rule.kind, None)
            if action is not Action.ALLOW:
                where = "/".join(map(str, found.at))
                told.append(SchemaWarning((), f"{_DONE[action]} in {where} of the intent: {found.rule.what}"))
        return told

    def session(self, request: SessionRequest, author: Author) -> SessionRequest:
        """What a session is opened with, as it may be stored."""
        authority = None if request.authority is None else dict(request.authority)
        names: dict[str, JsonValue] = {
            "agent": request.agent,
            "branch": request.branch,
            "scope": [list(path) for path in request.scope],
            "opener": names_of(author),
        }
        return replace(request, **self.texts({"description": request.description, "authority": authority}, names))

    def outcome(self, request: OutcomeRequest, author: Author) -> OutcomeRequest:
        """What is reported of an intent, as it may be stored."""
        given: dict[str, Any] = {
            "summary": request.summary,
            "deviations": [dict(deviation) for deviation in request.deviations],
        }
        if not isinstance(request.observed, Absent):
            given["observed"] = request.observed
        done = self.texts(given, names_of(author))
        return replace(request, **{**done, "deviations": tuple(done["deviations"])})

    def epoch(self, request: EpochRequest, author: Author) -> EpochRequest:
        """What an epoch is opened with, as it may be stored."""
        given = {"description": request.description, "tags": list(request.tags)}
        names = {"epoch": request.epoch, "root_intents": list(request.root_intents), **names_of(author)}
        done = self.texts(given, names)
        return replace(request, description=done["description"], tags=tuple(done["tags"]))

    # --- decisions of services ----------------------------------------------------

    def deciding(self, decide: Decide, author: Author) -> Decide:
        """A decision as it may be stored. What a migration makes of the state was there before, and is let be."""

        def screened(draft: Draft) -> Decision:
            decision = decide(draft)
            intent = decision.intent
            if intent is None:
                return decision
            if intent.category is not Category.MIGRATE:
                operations, told = self.operations(decision.operations, lambda path: _value_at(draft, path))
                answer = self._answer(decision.answer) if told else decision.answer
                decision = replace(decision, operations=operations, answer=answer)
            return replace(decision, intent=self.intent(intent, author))

        return screened

    def _answer(self, answer: dict[str, Any]) -> dict[str, Any]:
        edits: Edits = {}
        for found in find_secrets(answer):
            if not found.in_key:
                self._edit(edits, found, Action.MASK, answer)
        done: dict[str, Any] = _edited(answer, edits)
        return done

    def _edit(self, edits: Edits, found: Finding, action: Action, value: JsonValue) -> None:
        mark = f"[{_DONE[action]}: {found.rule.name}]"
        if action is Action.SALT:
            secret = str(_at(value, found.at)).encode()[found.start : found.end].decode(errors="replace")
            digest = self._hasher.value_ids.of(secret).hex()[:DIGEST_DIGITS]
            mark = f"[{_DONE[action]}: {found.rule.name} {digest}]"
        edits.setdefault(found.at, []).append((found.start, found.end, mark))


def names_of(author: Author) -> dict[str, JsonValue]:
    """What whoever makes a change is called: what can never be erased."""
    return {"principal": author.principal, "agent": author.agent, "client": author.client, "session": author.session}


def _names_in(intent: Intent, author: Author) -> dict[str, JsonValue]:
    """The same of an intent, with those of its author."""
    return {"intent_id": intent.intent_id, "parent_intent": intent.parent_intent, **names_of(author)}


def _texts_of(intent: Intent) -> dict[str, JsonValue]:
    return {
        "description": intent.description,
        "reasoning": intent.reasoning,
        "tags": list(intent.tags),
        "provenance": dict(intent.provenance),
    }


_DONE = {Action.MASK: "masked", Action.SALT: "salted"}


def _unknown(_: Tokens) -> Absent:
    return ABSENT


def _value_at(draft: Draft, path: Tokens) -> JsonValue | Absent:
    place = draft.state.locate(path)
    return ABSENT if isinstance(place, Gap) else draft.state.carried(place)


def _stays(held: JsonValue | Absent, found: Finding, value: JsonValue) -> bool:
    """Whether the text, or the key, is there already."""
    if isinstance(held, Absent):
        return False
    return found.in_key or equal(held, _at(value, found.at))


def _canonical(operations: Sequence[Operation]) -> bytes:
    """All that the operations bring, as what is searched for cues."""
    return encode([_brought(operation) for operation in operations])


def _brought(operation: Operation) -> list[JsonValue]:
    if operation.op is Op.DELETE:
        return []
    return [*operation.path, *([] if isinstance(operation.value, Absent) else [operation.value])]


def _refuse(refused: list[dict[str, str]]) -> None:
    if not refused:
        return
    first = refused[0]
    more = f" ({len(refused) - 1} more)" if len(refused) > 1 else ""
    raise SecretRefused(
        f"A secret is not stored: {first['rule']} at {first['path']}{more}",
        rule=first["rule"],
        path=first["path"],
        found=refused[:SHOWN_MAX],
        omitted=max(0, len(refused) - SHOWN_MAX),
    )


def unsaid(told: Any, given: Any) -> Any:
    """What a caller is told, with each secret that it gave itself named by the rule that finds it."""
    return _unsaid(told, "\n".join(_texts_in(given)))


def _unsaid(told: Any, given: str) -> Any:
    if isinstance(told, dict):
        return {_unsaid(key, given): _unsaid(item, given) for key, item in told.items()}
    if isinstance(told, list | tuple):
        return [_unsaid(item, given) for item in told]
    if not isinstance(told, str):
        return told
    text = told.encode(errors="replace")  # a text of a caller may have lone surrogates
    for found in reversed(find_secrets(text.decode())):
        if text[found.start : found.end].decode(errors="replace") in given:
            text = text[: found.start] + f"[{found.rule.name}]".encode() + text[found.end :]
    return text.decode()


def _texts_in(given: Any) -> Iterator[str]:
    todo = [given]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, Mapping):
            todo += [*item.keys(), *item.values()]
        elif isinstance(item, list | tuple):
            todo += item


def shown_path(path: Tokens) -> str:
    """A path for an error or a warning: a key that holds a secret is named by the rule that finds it."""
    return format_path(_shown(path))


def _shown(path: Tokens) -> Tokens:
    return tuple(f"[{found[0].rule.name}]" if (found := find_secrets(token)) else token for token in path)


def _at(value: JsonValue, at: tuple[Step, ...]) -> JsonValue:
    for step in at:
        value = value[step]
    return value


def _edited(value: JsonValue, edits: Edits) -> JsonValue:
    """A copy of a value with parts of its texts replaced; what is not on the way to one is shared."""
    for at, spans in edits.items():
        value = _with(value, at, spans)
    return value


def _with(value: JsonValue, at: tuple[Step, ...], spans: list[tuple[int, int, str]]) -> JsonValue:
    text = str(_at(value, at)).encode()
    for start, end, mark in sorted(spans, reverse=True):
        text = text[:start] + mark.encode() + text[end:]
    new: JsonValue = text.decode()
    for depth in range(len(at) - 1, -1, -1):
        holder = _at(value, at[:depth])
        copy: Any = dict(holder) if isinstance(holder, Mapping) else list(holder)
        copy[at[depth]] = new
        new = copy
    return new
