"""Redaction: a value, or a text, goes from everything that is stored; ids, roots, proofs and the log stay as they are.

    find       looks through the whole store, page by page, and changes nothing
    erase      one transaction: rows are rewritten in place, the class key is replaced, receipts are logged
    finish     makes the file anew, so that no byte of what went is in it, and looks through the store again

What was written between the first two is looked at inside the transaction. Who stops between the last two leaves a
store that says so (`Health.shrink_due`), and `finish` can be called at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from secrets import token_bytes

import anyio.to_thread

from asg_mcp.core.commitments import CLASS_KEY_BYTES
from asg_mcp.core.ids import is_prefix
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import NAME_BYTES_MAX
from asg_mcp.core.nodes import SCALAR
from asg_mcp.core.paths import format_path
from asg_mcp.core.values import JsonValue
from asg_mcp.errors import Conflict, InvalidArgument, NotFound
from asg_mcp.repo.graph import Graph
from asg_mcp.repo.ledger import EVENT_KINDS, RECORDED_IN, event_body
from asg_mcp.repo.receipts import is_withheld
from asg_mcp.repo.redacterasing import Erasing, Overtaken, subject_events, without
from asg_mcp.repo.redactplan import Finished, Plan, Receipt, Target
from asg_mcp.repo.redactrules import Place, Rule, Secret, kept_of
from asg_mcp.repo.redactsurvey import Survey
from asg_mcp.repo.redacttexts import Listening, Mentions, strings_in, strings_of_event
from asg_mcp.repo.resolve import commit_by_prefix, resolve_ref, state_at
from asg_mcp.repo.screening import Screen, names_of
from asg_mcp.storage.base import Reader, RecordKind, Store

Progress = Callable[[str, int, int], None]
"""(what is being looked at, how many are done, how many there are)"""
_PAGE = 500
TRIES_MAX = 3
"""How often a store is looked through again because others erased something meanwhile."""


class Redactions:
    """The redactions of one store."""

    def __init__(self, store: Store, graph: Graph, screen: Screen) -> None:
        self._store, self._graph, self._screen = store, graph, screen

    async def find(self, target: Target, progress: Progress) -> Plan:
        """Look for what is to go. Changes nothing. Raises InvalidArgument, NotFound and what resolving a ref raises."""
        return await anyio.to_thread.run_sync(lambda: self._find(target, progress, stored=False))

    async def erase(
        self, plan: Plan, author: Author, reason: str, label: str, backups: tuple[str, ...], progress: Progress
    ) -> Receipt:
        """Take away what a plan has found, and what was written since then that has it, all of it or nothing.

        `backups` are the names of files that hold it still. Raises InvalidArgument where the reason is missing or
        contains what is to go, Conflict where others go on redacting, and the storage errors.
        """
        checked = self._screen.texts({"reason": reason, "label": label}, names_of(author))
        if not reason.strip():
            raise InvalidArgument("There is no reason", hint="Say in a few words why: it stays in the log.")
        if isinstance(plan.rule, Secret) and plan.rule.is_told([reason, label]):
            raise InvalidArgument("The reason contains what is to be erased", hint="Say it without the value itself.")
        if isinstance(plan.rule, Secret):
            backups = tuple(map(plan.rule.masked, backups))
        told = {"reason": checked["reason"], "label": checked["label"], "backups": list(backups)}
        for _ in range(TRIES_MAX):
            try:
                work = Erasing(plan, author, told)
                return await self._store.rewrite(work.run)
            except Overtaken:
                plan = await self.find(plan.target, progress)
        raise Conflict("Others go on erasing from this store", hint="Repeat the command when they are done.")

    async def finish(self, plan: Plan | None, progress: Progress) -> Finished:
        """Make the file anew, then look through every row of it for what went. Repeating it does no harm.

        Raises StoreBusy while others read for too long, and StoreFull; what was erased stays so.
        """
        before, after = await self._store.shrink()
        if plan is None:
            return Finished(before, after)
        again = await anyio.to_thread.run_sync(lambda: self._look(plan, progress))
        return Finished(before, after, again)

    # --- looking ---

    def _find(self, target: Target, progress: Progress, *, stored: bool) -> Plan:
        with self._store.reading() as reader:
            rule = self._rule(reader, target)
            state = self._store.hasher.value_ids.state
        plan = Plan(target, rule, Survey(self._store.hasher, rule, token_bytes(CLASS_KEY_BYTES)), state)
        with self._store.reading() as reader:
            self._direct(reader, plan)
        self._through(plan, progress, stored=stored)
        if rule is None:
            self._listen(plan, progress, stored=stored)
        return plan

    def _look(self, plan: Plan, progress: Progress) -> dict[str, int]:
        """How much of what went is still there. What cannot be erased is not counted.

        Texts that are elsewhere too, and stay there, are noted in the plan: they are in the bytes of files still.
        """
        if plan.rule is None:
            left = self._left_texts(plan)
        else:
            again = Plan(plan.target, plan.rule, self._surveyed(plan.rule), plan.state)
            self._through(again, progress, stored=True)
            left = {} if again.found.nothing else again.counts()
        if not isinstance(plan.rule, Secret):
            self._listen(plan, progress, stored=True)
        return {name: number for name, number in {**left, "replies": self._left_replies(plan)}.items() if number}

    def _left_texts(self, plan: Plan) -> dict[str, int]:
        with self._store.reading(stored=True) as reader:
            commits = sum(not isinstance(reader.commit(seq).parts[11], bytes) for seq in plan.found.texts)
            events = sum(not is_withheld(row) for index in plan.found.events if (row := reader.event(index)))
        return {"texts": commits, "events": events}

    def _left_replies(self, plan: Plan) -> int:
        secrets, replies, after = plan.texts_gone(), 0, b""
        while secrets:
            with self._store.reading(stored=True) as reader:
                page = reader.replies(after, _PAGE)
            if not page:
                break
            after = page[-1][0]
            replies += sum(without(secrets, reply.answer) is not reply.answer for _, reply in page)
        return replies

    def _listen(self, plan: Plan, progress: Progress, *, stored: bool) -> None:
        """Note which of the texts that go are elsewhere, too."""
        forms = plan.forms_gone()
        if not forms:
            return
        rule = Mentions(forms)
        listening = Listening(self._store.hasher, rule, plan.found.texts, plan.found.events)
        self._through(Plan(plan.target, rule, listening, plan.state), progress, stored=stored)
        plan.mentioned |= rule.found

    def _surveyed(self, rule: Rule) -> Survey:
        return Survey(self._store.hasher, rule, bytes(CLASS_KEY_BYTES))

    def _through(self, plan: Plan, progress: Progress, *, stored: bool) -> None:
        with self._store.reading() as reader:
            commits, events = reader.last_seq(), reader.events_count()
        survey, seen = plan.survey, plan.survey.seen
        while plan.rule is not None and seen.learned < commits:
            with self._store.reading(stored=stored) as reader:
                survey.learn(reader, commits)
        more = plan.rule is not None
        while more:
            with self._store.reading(stored=stored) as reader:
                more = survey.blobs(reader)
        while plan.rule is not None and seen.seq < commits:
            with self._store.reading(stored=stored) as reader:
                survey.commits(reader, commits)
            progress("commits", seen.seq, commits)
        more = plan.rule is not None
        while more:
            with self._store.reading(stored=stored) as reader:
                more = survey.nodes(reader)
        while seen.events < events:
            with self._store.reading(stored=stored) as reader:
                survey.events(reader, events)
            progress("events", seen.events, events)

    def _rule(self, reader: Reader, target: Target) -> Rule | None:
        if target.what == "value":
            return Secret(target.value if target.path is None else self._value_at(reader, target))
        if target.what == "path":
            assert target.path is not None, "BUG: there is a path"
            return Place(target.path)
        return None

    def _value_at(self, reader: Reader, target: Target) -> JsonValue:
        state = state_at(reader, self._store.hasher, resolve_ref(reader, self._graph, target.ref))
        spot = state.spot(target.path or ())
        if spot.entry.kind != SCALAR:
            raise InvalidArgument(
                f"At {format_path(spot.tokens)} there is a {state.type_name(spot)}, and no single value",
                hint="Name one value, or erase all that is there with `asg-mcp redact path`.",
            )
        return state.value(spot)

    def _direct(self, reader: Reader, plan: Plan) -> None:
        """What a target names itself."""
        target, found = plan.target, plan.found
        if target.what == "commit":
            seq = commit_by_prefix(reader, self._graph, _commit_id(target.name), "")
            if not isinstance(reader.commit(seq).parts[11], bytes):
                found.texts.add(seq)
                found.first_seq = seq
                plan.texts.update(dict.fromkeys(strings_in(reader.commit(seq).parts[11])))
        elif target.what == "event":
            found.events.update(_with_body(reader, [_index_of(reader, target.name)]))
        elif target.what == "record":
            found.events.update(_with_body(reader, _events_about(reader, target)))
        for index in sorted(found.events):
            row = reader.event(index)
            assert row is not None, "BUG: it was found"
            plan.texts.update(dict.fromkeys(strings_of_event(row)))
        if found.events:
            found.first_event = min(found.events)


def _commit_id(text: str) -> str:
    if is_prefix(text):
        return text
    raise InvalidArgument(
        f"{text[:NAME_BYTES_MAX]!r} is no id of a commit",
        hint="`asg-mcp log` lists commits with their ids. Only an id will do: a name such as main~1 moves.",
    )


def _index_of(reader: Reader, text: str) -> int:
    if not (text.isascii() and text.isdigit()) or reader.event(int(text)) is None:
        raise NotFound(
            f"There is no event {text}", hint=f"Events have numbers from 0 to {reader.events_count() - 1}.", event=text
        )
    return int(text)


def _events_about(reader: Reader, target: Target) -> Iterator[int]:
    try:
        kind = RecordKind[target.kind.upper()]
    except KeyError:
        kinds = ", ".join(kind.name.lower() for kind in RecordKind)
        raise InvalidArgument(f"{target.kind!r} is no kind of record", hint=f"Use one of {kinds}.") from None
    if reader.record(kind, target.name) is None:
        raise NotFound(
            f"There is no {target.kind} {target.name!r}",
            hint="asg_query lists sessions, speculations and epochs; an outcome is filed under its intent.",
        )
    for index in subject_events(reader, target.name):
        row = reader.event(index)
        if row is not None and RECORDED_IN.get(EVENT_KINDS[row.kind]) is kind:
            yield index


def _with_body(reader: Reader, indexes: Iterator[int] | list[int]) -> Iterator[int]:
    """Those that have texts still."""
    for index in indexes:
        row = reader.event(index)
        if row is not None and not is_withheld(row) and event_body(row):
            body = event_body(row)
            if kept_of(EVENT_KINDS[row.kind], body) != {**body, "withheld": body.get("withheld", [])}:
                yield index
