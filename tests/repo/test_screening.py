"""Secrets kept out of a real store: refused without a trace, masked, salted, or allowed."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import open_repository
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.paths import parse_path
from asg_mcp.core.secretscan import find_secrets
from asg_mcp.errors import InvalidValue, PathNotFound, SecretRefused, TestFailed
from asg_mcp.repo import screening
from asg_mcp.repo.repository import Guard, MergeRequest, Repository, Resolution
from asg_mcp.repo.requests import EpochRequest, OutcomeRequest, PromoteRequest, RevertRequest, SessionRequest
from asg_mcp.repo.transact import Decision, Draft
from tests.kit.secret_samples import credentials, files_hold, personal
from tests.kit.store_texts import store_tells
from tests.repo.desk import Desk, ops, settle
from tests.repo.stores import ALICE, WHY

TOKEN = next(sample.secret for sample in credentials(5) if sample.rule == "github-token")
OTHER = next(sample.secret for sample in credentials(6) if sample.rule == "github-token")
URL = next(sample for sample in credentials(5) if sample.rule == "url-password")
IBAN = next(sample.secret for sample in personal() if sample.rule == "iban")


@asynccontextmanager
async def desk_with(folder: Path, policy: str = "") -> AsyncIterator[Desk]:
    async with open_repository(folder / "state.db", secrets=policy) as repo:
        yield Desk(repo)


async def refused(work: Awaitable[Any], *secrets: str) -> SecretRefused:
    with pytest.raises(SecretRefused) as caught:
        await work
    told = json.dumps(caught.value.as_dict()) + repr(caught.value.args)
    assert not any(secret in told for secret in (TOKEN, *secrets))
    assert caught.value.hint
    return caught.value


# --- values -----------------------------------------------------------------------


@pytest.mark.parametrize("sample", credentials(9) + personal(), ids=lambda sample: sample.rule)
async def test_a_write_with_a_secret_is_refused_and_leaves_nothing(sample: Any, tmp_path: Path) -> None:
    async with desk_with(tmp_path) as desk:
        head = (await desk.head()).id
        error = await refused(
            desk.set("/app/config", {"a": [sample.value]}, request_id="once"), sample.secret.replace("\n", "\\n")
        )
        assert error.details["rule"] == sample.rule
        assert error.details["path"].startswith("/app/config/a/0")
        assert (await desk.head()).id == head
        await desk.set("/app/config", "clean", request_id="once")  # the refused request was not remembered
    assert not files_hold(tmp_path, sample.secret[-40:])


async def test_every_secret_of_a_write_is_named_with_its_path(tmp_path: Path) -> None:
    async with desk_with(tmp_path) as desk:
        error = await refused(desk.apply(("set", "/a", TOKEN), ("append", "/b", {"c": URL.value}), ("set", "/d", 1)))
        assert error.details["found"] == [
            {"rule": "github-token", "path": "/a"},
            {"rule": "url-password", "path": "/b/-/c"},
        ]
        many = await refused(desk.set("/a", [TOKEN] * 30))
        assert (len(many.details["found"]), many.details["omitted"]) == (20, 10)


@pytest.mark.parametrize("items", [10, 9_000])
async def test_a_secret_in_a_large_value_is_found_without_holding_up_the_event_loop(
    items: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = set()

    def noted(*given: Any) -> Any:
        threads.add(threading.current_thread())
        return find_secrets(*given)

    monkeypatch.setattr(screening, "find_secrets", noted)
    async with desk_with(tmp_path) as desk:
        value = [f"item {number}" for number in range(items)]
        error = await refused(desk.set("/list", [*value, TOKEN]))
        assert error.details["path"] == f"/list/{items}"
    assert (threading.main_thread() in threads) is (items < 1_000)


async def test_a_key_that_is_a_secret_is_refused_and_not_named(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/=mask") as desk:
        for write in (("set", f"/{TOKEN}/x", 1), ("set", "/a", {TOKEN: 1}), ("set", "/a", {"b": {TOKEN: {"c": [1]}}})):
            error = await refused(desk.apply(write))
            assert "[github-token]" in error.details["path"]


async def test_a_name_in_the_path_counts_for_the_value_at_its_end(tmp_path: Path) -> None:
    secret = next(sample.secret for sample in credentials(5) if sample.rule == "assigned-secret")
    async with desk_with(tmp_path) as desk:
        error = await refused(desk.set("/db/password", secret), secret)
        assert error.details["path"] == "/db/password"


async def test_what_was_allowed_can_be_deleted_and_moved_away_under_any_policy(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/=allow") as desk:
        await desk.apply(("set", f"/{TOKEN}", 1), ("set", "/a", TOKEN))
    async with desk_with(tmp_path) as desk:
        await desk.apply(("move", "/b", f"/{TOKEN}"), ("test", "/a", TOKEN), ("delete", "/a"))
        assert await desk.value() == {"b": 1}


@pytest.mark.parametrize(
    ("moves", "where"),
    [
        ([("/moved", "/ok/a")], "/moved"),
        ([("/notes/a", "/ok/a")], "/notes/a"),
        ([("/moved", "/ok")], "/moved/a"),
        ([("/list/-", "/ok/a")], "/list/-"),
        ([("/ok/b", "/ok/a"), ("/moved", "/ok/b")], "/moved"),
        ([("/moved", "/ok/a"), ("/ok/a", "/moved")], "/moved"),
        ([("/moved", "/ok/keys")], "/moved/[github-token]"),
        ([("/personal/a", "/ok/a")], "/personal/a"),
        ([("/moved", "/some")], "/moved/ok/a"),
        ([("/some/other", "/some/ok")], "/some/other/a"),
        ([("/two/strict", "/two/ok")], "/two/strict/a"),
        ([("/two/new", "/two/ok")], "/two/new/strict/b"),
    ],
)
async def test_a_move_to_where_the_policy_is_stricter_is_judged_as_a_set(
    moves: list[tuple[str, str]], where: str, tmp_path: Path
) -> None:
    policy = (
        "/=reject,/ok=allow,/notes=mask,/personal:personal=allow,/some/ok=allow,"
        "/two=allow,/two/strict=reject,/two/new/strict=reject"
    )
    steps = [("move", *move) for move in moves]
    async with desk_with(tmp_path, policy) as desk:
        await desk.apply(("set", "/ok", {"a": TOKEN, "keys": {TOKEN: 1}}), ("set", "/list", []))
        await desk.apply(("set", "/some/ok/a", TOKEN), ("set", "/two/ok", {"a": TOKEN, "strict": {"b": TOKEN}}))
        handle = (await desk.repo.speculations.open("main", "a trial", ALICE)).handle
        for work in (desk.apply(*steps), desk.repo.speculations.modify(handle, ops(*steps), ALICE)):
            assert (await refused(work)).details["path"] == where
        assert await desk.value("/ok/a") == TOKEN
        await refused(desk.apply(("set", "/ok/new", TOKEN), ("move", "/moved", "/ok/new")))


async def test_a_move_to_where_the_policy_is_no_stricter_is_let_be(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/=allow") as desk:
        await desk.apply(("set", "/old", TOKEN), ("set", "/notes", {"old": TOKEN, "iban": IBAN}))
    policy = "/=reject,/ok=allow,/notes=mask,/people:personal=allow"
    async with desk_with(tmp_path, policy) as desk:
        await desk.apply(("set", "/ok/a", TOKEN), ("set", "/notes/new", TOKEN), ("set", "/people/a", IBAN))
        for target, source in (
            ("/ok/b", "/ok/a"),
            ("/older", "/old"),
            ("/plain", "/notes/new"),
            ("/notes/older", "/notes/old"),
            ("/notes/oldest", "/older"),
            ("/ok/iban", "/people/a"),
            ("/gone", "/ok/nothing"),
        ):
            if target == "/gone":
                with pytest.raises(PathNotFound):
                    await desk.apply(("move", target, source))
            else:
                assert (await desk.apply(("move", target, source), request_id=target)).changed
                assert (await desk.apply(("move", target, source), request_id=target)).replayed
        assert await desk.value("/plain") == "[masked: github-token]"


async def test_masking_keeps_the_rest_of_the_text_and_warns(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/notes=mask") as desk:
        value = {"dsn": URL.value, "n": [TOKEN, f"{TOKEN} and {OTHER}", "fine", {"card": 4111111111111111}]}
        done = await desk.set("/notes/1", value)
        mark = "[masked: github-token]"
        assert await desk.value("/notes/1") == {
            "dsn": URL.value.replace(URL.secret, "[masked: url-password]"),
            "n": [mark, f"{mark} and {mark}", "fine", {"card": "[masked: payment-card-digits]"}],
        }
        assert [warning.path for warning in done.warnings][:2] == [("notes", "1", "dsn"), ("notes", "1", "n", "0")]
        assert all("masked" in warning.message for warning in done.warnings)
        assert value["n"][0] == TOKEN  # the caller's own value stays as it was
        again = await desk.set("/notes/1", await desk.value("/notes/1"))
        assert (again.changed, again.warnings) == (0, ())
        await refused(desk.set("/other", TOKEN))
    assert not files_hold(tmp_path, TOKEN[8:])


async def test_masked_writes_are_answered_again_under_their_request_id(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/=salt") as desk:
        first = await desk.set("/a", TOKEN, request_id="once")
        again = await desk.set("/a", TOKEN, request_id="once")
        assert (again.commit, again.replayed, again.warnings) == (first.commit, True, first.warnings)


async def test_equal_secrets_have_equal_digests_in_one_store_and_a_test_checks_them(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        async with desk_with(folder, "/=salt") as desk:
            await desk.apply(("set", "/a", TOKEN), ("set", "/b", [TOKEN]), ("set", "/c", OTHER))
            a, (b,), c = await desk.value("/a"), await desk.value("/b"), await desk.value("/c")
            assert a == b != c
            assert a.startswith("[salted: github-token ")
            digests.append(a)
            await desk.apply(("test", "/a", TOKEN), ("set", "/ok", True))
            with pytest.raises(TestFailed) as failed:
                await desk.apply(("test", "/a", OTHER), ("set", "/ok", False))
            assert OTHER not in json.dumps(failed.value.as_dict(), default=str)
    assert digests[0] != digests[1]


async def test_personal_data_can_be_allowed_where_tokens_are_not(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/customers:personal=allow") as desk:
        await desk.set("/customers/1", {"iban": IBAN})
        assert await desk.value("/customers/1/iban") == IBAN
        await refused(desk.set("/customers/2", {"iban": TOKEN}))
        await refused(desk.set("/elsewhere", IBAN), IBAN)


async def test_what_a_merge_or_a_revert_takes_from_history_is_not_searched(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/=allow") as desk:
        await desk.branch("work")
        await desk.set("/a", TOKEN, ref="work")
        await desk.set("/b", TOKEN)
        deleted = await desk.apply(("delete", "/b"))
    async with desk_with(tmp_path) as desk:
        assert (await desk.merge("work")).commit is not None
        assert (await desk.revert(deleted.commit.hex())).commit is not None
        assert await desk.value() == {"a": TOKEN, "b": TOKEN}


async def test_a_value_that_settles_a_conflict_is_searched(tmp_path: Path) -> None:
    async with desk_with(tmp_path) as desk:
        await desk.set("/a", 1)
        await desk.branch("work")
        await desk.set("/a", 2, ref="work")
        await desk.set("/a", 3)
        settling = (settle("/a", "value", {"k": TOKEN}),)
        for work in (desk.merge("work", resolutions=settling), desk.revert("main", resolutions=settling)):
            assert (await refused(work)).details["path"] == "/a/k"


# --- texts and names ----------------------------------------------------------------


def why(**given: Any) -> Intent:
    return Intent(**{"category": Category.FIX, "description": "A change.", **given})


@pytest.mark.parametrize(
    ("intent", "where"),
    [
        (why(description=f"Use {TOKEN}."), "description"),
        (why(reasoning=f"Because {TOKEN}."), "reasoning"),
        (why(tags=("a", TOKEN)), "tags/1"),
        (why(intent_id=TOKEN), "intent_id"),
        (why(provenance={"tool_calls": [{"result": {"out": URL.value}}]}), "provenance/tool_calls/0/result/out"),
        (why(provenance={"authority": {TOKEN: 1}}), "provenance/authority/[github-token]"),
    ],
)  # fmt: skip
async def test_a_secret_in_an_intent_is_refused_with_its_place(intent: Intent, where: str, tmp_path: Path) -> None:
    async with desk_with(tmp_path) as desk:
        writes: list[Callable[[], Awaitable[Any]]] = [
            lambda: desk.repo.commit("main", ops(("set", "/a", 1)), intent, ALICE, Guard()),
            lambda: desk.repo.merge(MergeRequest("main"), intent, ALICE, Guard()),
        ]
        for write in writes:
            error = await refused(write(), URL.secret)
            assert error.details["path"] == where
        assert await desk.value() == {}
    assert not files_hold(tmp_path, TOKEN[8:])


async def test_texts_are_masked_where_the_policy_says_so_but_names_are_refused(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "texts=mask") as desk:
        intent = why(reasoning=f"Because {TOKEN}.", tags=(TOKEN,), provenance={"expected": {"x": TOKEN}})
        done = await desk.repo.commit("main", ops(("set", "/a", 1)), intent, ALICE, Guard())
        assert sorted((warning.path, warning.message) for warning in done.warnings) == [
            ((), f"masked in {where} of the intent: GitHub token")
            for where in ("provenance/expected/x", "reasoning", "tags/0")
        ]
        head = await desk.head()
        assert head.reasoning == "Because [masked: github-token]."
        assert head.tags == ("[masked: github-token]",)
        await refused(desk.set("/b", 1, author=Author("local:alice", TOKEN)))
        await refused(desk.branch(TOKEN))
        await refused(desk.set("/b", TOKEN))
    assert not files_hold(tmp_path, TOKEN[8:])


async def test_every_commit_warns_of_what_it_masked_in_its_intent(tmp_path: Path) -> None:
    said = why(reasoning=f"Because {TOKEN}.")
    async with desk_with(tmp_path, "texts=mask") as desk:
        repo = desk.repo
        await desk.branch("work")
        await desk.set("/a", 1, ref="work")
        handle = (await repo.speculations.open("main", "a trial", ALICE)).handle
        await repo.speculations.modify(handle, ops(("set", "/b", 1)), ALICE)
        merged = await repo.merge(MergeRequest("work"), said, ALICE, Guard())
        reverted = await repo.revert(RevertRequest(commits=("main",)), said, ALICE, Guard())
        promoted = await repo.speculations.commit(PromoteRequest(handle), said, ALICE, Guard())
        for done in (merged, reverted, promoted):
            assert done.commit is not None
            assert [warning.message for warning in done.warnings] == ["masked in reasoning of the intent: GitHub token"]
    assert store_tells(tmp_path / "state.db", TOKEN) == []


async def test_every_way_to_write_a_text_is_searched(tmp_path: Path) -> None:
    said = f"It was {TOKEN}."
    async with desk_with(tmp_path) as desk:
        repo: Repository = desk.repo
        handle = (await repo.speculations.open("main", "a trial", ALICE)).handle
        await repo.epochs.create(EpochRequest("e1", "An epoch."), ALICE)
        settling = (Resolution(parse_path("/a"), "value", TOKEN),)
        works: list[Awaitable[Any]] = [
            repo.open_session(SessionRequest("worker", description=said), ALICE),
            repo.open_session(SessionRequest("worker", authority={"principal": said}), ALICE),
            repo.resolve(OutcomeRequest("fulfilled", said, intent="x"), ALICE),
            repo.resolve(OutcomeRequest("fulfilled", "Done.", intent="x", observed={"k": TOKEN}), ALICE),
            repo.resolve(OutcomeRequest("failed", "Done.", intent="x", deviations=({"description": said},)), ALICE),
            repo.speculations.open("main", said, ALICE),
            repo.speculations.modify(handle, ops(("set", "/a", TOKEN)), ALICE),
            repo.speculations.commit(PromoteRequest(handle, resolutions=settling), WHY, ALICE, Guard()),
            repo.speculations.discard(handle, said, ALICE),
            repo.epochs.create(EpochRequest("e2", said), ALICE),
            repo.epochs.create(EpochRequest(TOKEN, "An epoch."), ALICE),
            repo.epochs.create(EpochRequest("e2", "An epoch.", tags=(TOKEN,)), ALICE),
            repo.epochs.seal("e1", said, ALICE),
            repo.branch(TOKEN, "branch", "main", ALICE),
            repo.delete_branch("main", Author("local:alice", TOKEN)),
            repo.speculations.compare([handle, handle], Author("local:alice", TOKEN)),
            repo.revert(RevertRequest(commits=("main",)), why(reasoning=said), ALICE, Guard()),
        ]
        for work in works:
            await refused(work)
    assert not files_hold(tmp_path, TOKEN[8:])


async def test_what_cannot_be_stored_is_refused_as_that_and_not_searched(tmp_path: Path) -> None:
    async with desk_with(tmp_path) as desk:
        with pytest.raises(InvalidValue):
            await desk.repo.resolve(OutcomeRequest("failed", "Done.", intent="x", observed=float("nan")), ALICE)


async def test_with_everything_allowed_nothing_is_changed(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/=allow") as desk:
        done = await desk.set("/a", TOKEN, description=f"Keeps {TOKEN}.")
        assert done.warnings == ()
        assert await desk.value("/a") == TOKEN
        with pytest.raises(PathNotFound):
            await desk.value("/b")


async def test_a_decision_that_sets_a_value_again_brings_only_what_is_new_in_it(tmp_path: Path) -> None:
    async with desk_with(tmp_path, "/=allow") as desk:
        await desk.set("/a", {"old": TOKEN, TOKEN: 1})

    def setting(value: Any) -> Callable[[Draft], Decision]:
        return lambda _: Decision(tuple(ops(("set", "/a", value))), WHY, {})

    async with desk_with(tmp_path) as desk:
        kept = {"old": TOKEN, TOKEN: 1, "new": 2}
        assert (await desk.repo.transact("main", ALICE, "", b"", setting(kept))).changed == 1
        await refused(desk.repo.transact("main", ALICE, "", b"", setting({**kept, "old": OTHER})), OTHER)
        await refused(desk.repo.transact("main", ALICE, "", b"", setting({**kept, OTHER: 1})), OTHER)
        assert await desk.value("/a") == kept
