"""The transaction of a redaction: rows are rewritten in place, the class key is replaced, receipts are logged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count, islice
from typing import Any

from asg_mcp.core.commits import body_id
from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import RECEIPT_IDS_MAX
from asg_mcp.core.paths import format_path
from asg_mcp.repo.ledger import EVENT_KINDS, RECORDED_IN, event_body, log_event, projected, without_body
from asg_mcp.repo.receipts import is_withheld
from asg_mcp.repo.records import info_of, is_pruned, operations_of, terms_for
from asg_mcp.repo.redactplan import Plan, Receipt
from asg_mcp.repo.redactrules import Secret, kept_of
from asg_mcp.repo.repeats import forgotten
from asg_mcp.repo.results import CommitInfo
from asg_mcp.storage.base import Reader, Record, RecordKind, Rewriter, StoredReply, TermKind

RECEIPT_PATHS_MAX = 1_000
_PAGE = 500


class Overtaken(Exception):
    """Others have replaced the class key since the store was looked through."""


class Erasing:
    """The transaction."""

    def __init__(self, plan: Plan, author: Author, told: dict[str, Any]) -> None:
        self._plan, self._author, self._told = plan, author, told
        self._bodies: dict[int, list[Any]] = {}
        """The new data of events, by index."""

    def run(self, writer: Rewriter) -> Receipt:
        """Do it. Runs on the writer's thread. Raises Overtaken where the plan was made under an earlier class key."""
        plan, survey = self._plan, self._plan.survey
        if survey.value_ids_state is not plan.state:
            raise Overtaken
        self._catch_up(writer)
        found = plan.found
        for row in sorted(found.nodes):
            for number, parts in writer.node_rows(row - 1, 1):
                if number == row and survey.erase_in(writer, parts):
                    writer.put_node_parts(row, parts)
        for seq in sorted(found.operations | found.texts):
            self._commit(writer, seq)
        for index in sorted(found.events):
            self._event(writer, index)
        self._records(writer)
        writer.drop_blobs(row for row in sorted(found.dropped) if writer.blob_rows(row - 1, 1) == [row])
        replies = self._replies(writer)
        rekeyed = bool(found.values) and not survey.pins_over
        if rekeyed:
            writer.replace_class_key(survey.key, b"".join(sorted(survey.pins)))
        index = self._receipts(writer)
        writer.owe_shrink()
        return Receipt(index, plan.counts(), rekeyed, replies)

    def _catch_up(self, writer: Rewriter) -> None:
        """Look at what was written since. Where elements of lists became known that way, at everything again."""
        survey, last = self._plan.survey, writer.last_seq()
        if self._plan.rule is None:
            return
        news = False
        while survey.seen.learned < last:
            news = survey.learn(writer, last) or news
        if news:
            survey.begin_again()
        while survey.blobs(writer):
            pass
        while survey.seen.seq < last:
            survey.commits(writer, last)
        while survey.nodes(writer):
            pass
        while survey.seen.events < writer.events_count():
            survey.events(writer, writer.events_count())

    def _commit(self, writer: Rewriter, seq: int) -> None:
        found, row = self._plan.found, writer.commit(seq)
        parts = list(row.parts)
        if seq in found.operations and not is_pruned(row):
            parts[12] = self._plan.survey.erased_operations(writer, row)
        if seq not in found.texts or isinstance(parts[11], bytes):
            writer.replace_commit(replace(row, parts=parts), ((), ()), ("", ""))
            return
        info = info_of(writer, row)
        parts[10], parts[11] = "", body_id(row.parts[10], row.parts[11])
        new = replace(row, parts=parts)
        operations = [] if is_pruned(row) else operations_of(row)
        told = info_of(writer, new)
        terms = terms_for(info, operations), terms_for(told, operations)
        writer.replace_commit(new, terms, (_indexed(info), _indexed(told)))

    def _event(self, writer: Rewriter, index: int) -> None:
        row = writer.event(index)
        assert row is not None, "BUG: it was found"
        if not is_withheld(row):
            self._bodies[index] = data = without_body(row, kept_of(EVENT_KINDS[row.kind], event_body(row)))
            writer.replace_event(index, data)

    def _records(self, writer: Rewriter) -> None:
        """Make the records that the events were about again."""
        about: dict[tuple[RecordKind, str], None] = {}
        for index in self._bodies:
            row = writer.event(index)
            assert row is not None and row.data is not None, "BUG: it has a body"
            if EVENT_KINDS[row.kind] in RECORDED_IN:
                about[RECORDED_IN[EVENT_KINDS[row.kind]], row.data[5]] = None
        for record_kind, subject in about:
            record: Record | None = None
            for index in subject_events(writer, subject):
                row = writer.event(index)
                if row is None or RECORDED_IN.get(EVENT_KINDS[row.kind]) is not record_kind:
                    continue
                if row.data is None or row.data[5] != subject:
                    continue
                data: list[Any] = self._bodies.get(index, row.data)
                row = replace(row, data=data)
                record = projected(record, EVENT_KINDS[row.kind], subject, index, event_body(row))
            assert record is not None, "BUG: it has an event"
            writer.put_record(record)

    def _replies(self, writer: Rewriter) -> int:
        """Forget what remembered requests had asked for, and take it out of their answers."""
        rule, after, cleaned = self._plan.texts_gone(), b"", 0
        while page := writer.replies(after, _PAGE):
            after = page[-1][0]
            for key, reply in page:
                answer = without(rule, reply.answer)
                cleaned += answer is not reply.answer
                new = StoredReply(forgotten(reply.fingerprint), answer)
                if new != reply:
                    writer.replace_reply(key, new)
        return cleaned

    def _receipts(self, writer: Rewriter) -> int:
        plan, found = self._plan, self._plan.found
        first = writer.events_count()
        values = sorted(value.hex() for value in found.values)
        commits = [writer.commit(seq).id.hex() for seq in sorted(found.texts)]
        lists: dict[str, list[Any]] = {"values": values, "commits": commits, "events": sorted(found.events)}
        what = {"what": plan.target.what}
        if plan.target.what == "path":
            what["path"] = format_path(plan.target.path or ())
        body = {
            **self._told,
            **what,
            "paths": [*islice(found.paths, RECEIPT_PATHS_MAX)],
            "counts": plan.counts(),
            "at": writer.now(),
        }
        for part in count():
            start = part * RECEIPT_IDS_MAX
            named: dict[str, Any] = {name: ids[start : start + RECEIPT_IDS_MAX] for name, ids in lists.items()}
            if part and not any(named.values()):
                return first
            told = {**what, "goes_on": first} if part else body
            log_event(writer, EventKind.REDACTED, self._author, body={**told, **named})
        return first


def _indexed(info: CommitInfo) -> str:
    """What the text index was told of a commit."""
    return f"{info.description}\n{info.reasoning}"


def without(secrets: Sequence[Secret], answer: list[Any]) -> list[Any]:
    """A remembered answer, its texts without what went; the answer itself where it has none of it."""
    masked = answer
    for secret in secrets:
        masked = secret.masked_answer(masked)
    return answer if masked == answer else masked


def subject_events(reader: Reader, subject: str) -> Iterator[int]:
    """The indexes of the events about a subject, in order; candidates, as all that an index gives."""
    after = -1
    while found := reader.find((TermKind.SUBJECT, subject), reader.events_count(), _PAGE, after=after):
        yield from found
        after = found[-1]
