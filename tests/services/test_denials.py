"""Denials in the log: which come to be events, what they say, and that nobody fills the log with them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import (
    DENIAL_SECONDS,
    DENIALS_MAX,
    DENIALS_PER_PRINCIPAL_MAX,
    DENIED_PRINCIPALS_KEPT_MAX,
    DENIED_TEXT_BYTES_MAX,
)
from asg_mcp.core.paths import Tokens, format_path
from asg_mcp.errors import Forbidden, StorageError
from asg_mcp.evidence import verify as v
from asg_mcp.repo.denying import Denial, denials
from asg_mcp.repo.ledger import event_body, event_of
from asg_mcp.repo.repository import Repository
from asg_mcp.services.access import Grant, Verb, decide
from asg_mcp.services.bundles import bundle
from asg_mcp.services.denials import DenialBounds, Denials
from tests.cli.conftest import Run, run
from tests.kit.secret_samples import credentials
from tests.repo.desk import Desk, open_desk
from tests.services.epochs_desk import open_epoch_desk

MALLORY = Author("mallory", "bob", "test/1")
CALL = Denial("asg_set", "operation", "write")
__all__ = ["run"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def refusal(path: Tokens = ("other",), ref: str = "main") -> Forbidden:
    with pytest.raises(Forbidden) as refused:
        decide(Grant("mallory", paths=(("team",),)), Verb.WRITE, ref, [path])
    return refused.value


# --- how many ----------------------------------------------------------------------


def test_the_first_is_an_event_and_the_next_one_counts_those_between() -> None:
    clock = Clock()
    bounds = DenialBounds(clock)
    told = []
    for second in range(131):
        clock.now = float(second)
        told.append(bounds.due("mallory", CALL))
    found = [(second, one.repeated) for second, one in enumerate(told) if one is not None]
    assert found == [(0, 0), (60, 59), (120, 59)]


def test_another_verb_another_ref_and_another_principal_are_events_of_their_own() -> None:
    bounds = DenialBounds(Clock())
    for who, verb, ref in (("a", "write", "x"), ("a", "read", "x"), ("a", "write", "y"), ("b", "write", "x")):
        assert bounds.due(who, Denial("asg_set", "ref", verb, ref)) is not None
        assert bounds.due(who, Denial("asg_get", "path", verb, ref, "/other")) is None


def test_one_principal_who_tries_many_refs_makes_few_events_and_all_are_counted() -> None:
    clock = Clock()
    bounds = DenialBounds(clock)
    told = [bounds.due("mallory", Denial("asg_get", "ref", "read", f"b{number}")) for number in range(5_000)]
    assert sum(one is not None for one in told) == DENIALS_PER_PRINCIPAL_MAX
    clock.now = DENIAL_SECONDS
    last = bounds.due("mallory", Denial("asg_get", "ref", "read", "last"))
    assert last is not None
    assert last.others == 5_000 - DENIALS_PER_PRINCIPAL_MAX
    after = bounds.due("mallory", Denial("asg_get", "ref", "read", "after"))
    assert after is not None
    assert after.others == 0


def test_what_is_counted_of_one_ref_is_told_with_another_when_that_is_tried_no_more() -> None:
    clock = Clock()
    bounds = DenialBounds(clock)
    for number in [*range(DENIALS_PER_PRINCIPAL_MAX)] * 3:
        bounds.due("mallory", Denial("asg_get", "ref", "read", f"b{number}"))
    clock.now = DENIAL_SECONDS
    told = [
        bounds.due("mallory", Denial("asg_get", "ref", "read", f"c{number}"))
        for number in range(DENIALS_PER_PRINCIPAL_MAX)
    ]
    assert sum(one.others for one in told if one is not None) == 2 * DENIALS_PER_PRINCIPAL_MAX


def test_many_principals_make_few_events_together_and_are_not_all_remembered() -> None:
    bounds = DenialBounds(Clock())
    told = [bounds.due(f"p{number}", CALL) for number in range(5 * DENIED_PRINCIPALS_KEPT_MAX)]
    assert sum(one is not None for one in told) == DENIALS_MAX
    assert len(bounds._principals) == DENIED_PRINCIPALS_KEPT_MAX


STEPS = st.lists(
    st.tuples(
        st.sampled_from("ab"), st.sampled_from(["read", "write"]), st.integers(0, 8), st.sampled_from([0, 0, 0, 1, 61])
    ),
    max_size=200,
)


@given(STEPS)
def test_each_denial_is_an_event_or_counted_once(steps: Sequence[tuple[str, str, int, int]]) -> None:
    clock = Clock()
    bounds = DenialBounds(clock)
    events = counted = 0
    for who, verb, ref, pause in steps:
        clock.now += pause
        told = bounds.due(who, Denial("asg_get", "ref", verb, str(ref)))
        if told is not None:
            events += 1
            counted += told.repeated + told.others
    pending = sum(one.others + sum(key.repeated for key in one.told.values()) for one in bounds._principals.values())
    assert events + counted + pending == len(steps)
    assert all(len(one.told) <= DENIALS_PER_PRINCIPAL_MAX for one in bounds._principals.values())


# --- what they say ------------------------------------------------------------------


async def logged(desk: Desk) -> list[Denial]:
    found = await desk.repo.read(lambda view: denials(view, 100))
    assert all((one.principal, one.agent, one.client) == astuple(MALLORY)[:3] for one in found)
    return [one.denial for one in found]


async def test_a_denial_tells_who_was_refused_what_and_by_which_rule(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await Denials(desk.repo).heard(MALLORY, CALL, refusal())
        assert await logged(desk) == [Denial("asg_set", "path", "write", "main", "/other")]
        report = await desk.repo.verify(lambda *_: None)
        assert not report.problems


async def test_its_header_has_no_text_of_the_caller_and_its_body_can_be_erased(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        await Denials(desk.repo).heard(MALLORY, CALL, refusal(("private-name",)))

        def last(view: object) -> tuple[str, dict[str, object]]:
            reader = view.reader  # type: ignore[attr-defined]
            row = reader.event(reader.events_count() - 1)
            event = event_of(reader, row)
            assert event.kind is EventKind.DENIED
            return str(event.header()), event_body(row)

        header, body = await desk.repo.read(last)
        assert "private-name" not in header
        assert body == {"rule": "path", "verb": "write", "ref": "main", "path": "/private-name"}


async def test_a_secret_in_what_was_asked_for_is_named_by_its_rule_alone(tmp_path: Path) -> None:
    texts = [sample.value for sample in credentials(7) if sample.value == sample.secret and len(sample.secret) < 200]
    assert len(texts) > 5
    async with open_desk(tmp_path) as desk:
        for text in texts:
            told = Denials(desk.repo)
            await told.heard(MALLORY, CALL, refusal((text, "x")))
            await told.heard(MALLORY, CALL, Forbidden("x", rule="ref", verb="read", ref=text, agent=text))
            ref, path = (await logged(desk))[:2]
            assert text not in str((ref, path))
            assert path.path.startswith("/[")
            assert ref.ref.startswith("[")
            assert ref.agent.startswith("[")


async def test_long_paths_are_told_in_whole_segments_and_long_refs_cut(tmp_path: Path) -> None:
    async with open_desk(tmp_path) as desk:
        told = Denials(desk.repo)
        path = tuple("segment" for _ in range(100))
        await told.heard(MALLORY, CALL, refusal(path))
        await told.heard(MALLORY, CALL, Forbidden("x", rule="ref", verb="read", ref="r" * 5_000))
        await told.heard(MALLORY, CALL, Forbidden("x", rule="path", verb="merge", path="/" + "s" * 900))
        last, ref, long = await logged(desk)
        assert last.path == "/"
        assert ref.ref == "r" * DENIED_TEXT_BYTES_MAX
        assert long.path == format_path(path[: long.path.count("/")])
        await told.heard(MALLORY, CALL, Forbidden("x", rule="path", verb="seal", path="no path"))
        assert (await logged(desk))[0].path == "/"
        assert DENIED_TEXT_BYTES_MAX - 8 <= len(long.path) <= DENIED_TEXT_BYTES_MAX


async def test_a_store_that_cannot_be_written_changes_nothing_of_the_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def full(*_: object) -> None:
        raise StorageError("There is no space left")

    async with open_desk(tmp_path) as desk:
        monkeypatch.setattr(Repository, "deny", full)
        await Denials(desk.repo).heard(MALLORY, CALL, refusal())
        assert "There is no space left" in caplog.text


async def test_a_bundle_with_denials_verifies_and_its_audit_trail_calls_them_denied(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1")
        await desk.commit()
        await Denials(desk.repo).heard(MALLORY, CALL, refusal())
        await desk.seal("e1")
        made = await bundle(desk.repo, "e1")
        files = {name: bytes(part) for name, part in v.opened_archive(made.data).items()}
        evidence = v.verify(files, None, files["verify.py"])
        assert not evidence.findings.violated
        audited = [
            json.loads(line)
            for line in b"".join(part for name, part in files.items() if name.endswith(".jsonl")).splitlines()
        ]
        (denied,) = [one for one in audited if one["outcome"] == "denied"]
        assert denied["action_detail"]["decision_type"] == "denied"
        assert denied["action_detail"]["principal"] == "mallory"
        assert denied["action_detail"]["body"]["path"] == "/other"


def test_the_command_lists_who_was_refused_what(run: Run, tmp_path: Path) -> None:
    db = ("--db", str(tmp_path / "state.db"))

    async def refuse() -> None:
        async with open_desk(tmp_path) as desk:
            told = Denials(desk.repo)
            await told.heard(MALLORY, CALL, refusal())
            await told.heard(MALLORY, Denial("asg_get", "operation", "read"), refusal(ref="dev"))

    anyio.run(refuse)
    document = run("token", "denials", "--json", *db).document["denials"]
    assert [one["denial"]["what"] for one in document] == ["asg_get", "asg_set"]
    plain = run("token", "denials", "-n", "1", *db).out
    assert "mallory" in plain
    assert "asg_get: rule path, verb write, ref dev, path /other" in plain
    assert len(run("token", "denials", "-n", "0", *db).out.splitlines()) == 2
