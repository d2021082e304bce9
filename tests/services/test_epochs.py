"""An epoch holds the work it was opened for, its seal fixes that for ever, and whoever has the key can check it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest

from asg_mcp.core.events import EventKind
from asg_mcp.core.intents import Author
from asg_mcp.core.merkle import consistency_fault, inclusion_fault, leaf_hash, root_of_leaves
from asg_mcp.core.notes import Note, VerifierKey, parse_checkpoint, parse_note, parse_verifier_key
from asg_mcp.core.operations import Op
from asg_mcp.errors import (
    Conflict,
    Forbidden,
    HandleNotFound,
    InvalidArgument,
    InvalidName,
    LimitExceeded,
    NotFound,
    RefExists,
    RequestReused,
    StorageError,
    StoreCorrupt,
)
from asg_mcp.repo import sealing
from asg_mcp.repo.epochs import epoch_record, lineage_of
from asg_mcp.repo.epochs import seal_epoch as fix_epoch
from asg_mcp.repo.ledger import EVENT_KINDS, event_of, log_event
from asg_mcp.repo.logtree import consistency_proof, inclusion_proof
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.requests import EpochRequest, SessionRequest
from asg_mcp.repo.sealing import epoch_fault
from asg_mcp.services.epochs import roots_told, seal_epoch
from asg_mcp.services.signing import KeyFile, is_signed
from asg_mcp.storage.base import Ref, RefKind, Writer
from tests.repo.stores import ALICE, BOB, operation
from tests.services.epochs_desk import EpochDesk, open_epoch_desk

BEFORE_ANYTHING = "2001-01-01"


def members_of(*commits: str) -> str:
    """The root over commit ids, made by hand: leaves are the binary CIDs."""
    return root_of_leaves([leaf_hash(bytes.fromhex("01711e20" + commit)) for commit in commits]).hex()


# --- what belongs to it ---------------------------------------------------------


async def test_without_roots_an_epoch_holds_every_commit_from_opening_to_seal(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.commit()
        assert (await desk.open()).state == "open"
        await desk.repo.branch("side", "branch", "main", ALICE)
        held = [await desk.commit(), await desk.commit(ref="side"), await desk.commit("any", "thing")]
        assert (await desk.repo.epochs.info("e1")).commits == 3
        sealed = await desk.seal()
        await desk.commit()
        assert (sealed.state, sealed.commits, sealed.members) == ("sealed", 3, members_of(*held))
        assert (await desk.repo.epochs.info("e1")).commits == 3


async def test_an_epoch_may_begin_before_it_was_opened(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.commit()
        await desk.open(since=BEFORE_ANYTHING)
        await desk.commit()
        assert (await desk.seal()).commits == 3  # the store's first commit too


async def test_an_epoch_cannot_begin_in_the_time_to_come(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        with pytest.raises(InvalidArgument, match="to come"):
            await desk.open(since="2999-01-01")
        with pytest.raises(InvalidArgument):
            await desk.open(since="yesterday")


async def test_an_epoch_without_commits_can_be_sealed(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("none", "never")
        sealed = await desk.seal("none")
        assert (sealed.commits, sealed.members) == (0, members_of())


async def test_one_commit_may_belong_to_several_epochs(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("all")
        await desk.open("plan", "plan")
        held = await desk.commit("plan")
        await desk.commit()
        assert (await desk.seal("plan")).members == members_of(held)
        assert (await desk.seal("all")).commits == 2


async def test_work_after_the_seal_is_taken_and_told_as_following(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1", "plan")
        held = await desk.commit("plan")
        sealed = await desk.seal()
        await desk.commit("later", "plan")
        await desk.commit("", "later")
        await desk.commit("other")
        info = await desk.repo.epochs.info("e1")
        assert (info.commits, info.members, info.follows) == (1, members_of(held), 2)
        again = await desk.seal()
        assert (again.root, again.checkpoint, again.follows) == (sealed.root, sealed.checkpoint, 2)


async def test_the_work_of_a_session_and_of_its_sub_agents_belongs_to_its_epoch(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        top = await desk.repo.open_session(SessionRequest("lead"), ALICE)
        below = await desk.repo.open_session(SessionRequest("worker", parent=top.handle), ALICE)
        await desk.open("e1", top.handle)
        mine = Author(ALICE.principal, "lead", "", top.handle)
        theirs = Author(ALICE.principal, "worker", "", below.handle)
        held = [await desk.commit(author=mine), await desk.commit("own", "goal", author=theirs)]
        held.append(await desk.commit("", "own"))
        await desk.commit(author=ALICE)
        assert (await desk.seal()).members == members_of(*held)


# --- the seal ---------------------------------------------------------------------


async def test_a_seal_is_in_the_log_under_the_root_that_was_signed(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        await desk.commit()
        sealed = await desk.seal()
        note, key = parse_note(sealed.checkpoint.encode()), parse_verifier_key(sealed.key)
        checkpoint = parse_checkpoint(note.text)
        opening = parse_note(sealed.opening.encode())
        assert is_signed(note, key)
        assert is_signed(opening, key)
        assert parse_checkpoint(opening.text).size == sealed.opened + 1
        assert key == desk.keys.key(checkpoint.origin)
        assert (checkpoint.size, checkpoint.root.hex()) == (sealed.size, sealed.root)
        with desk.store.reading(stored=True) as reader:
            rows = [reader.event(index) for index in range(reader.events_count())]
            assert checkpoint.root == root_of_leaves([row.leaf for row in rows[: sealed.size] if row])
            seal, signed = rows[sealed.size - 1], rows[sealed.size]
            assert seal is not None
            assert signed is not None
            assert [EVENT_KINDS[row.kind] for row in (seal, signed)] == [
                EventKind.EPOCH_SEALED,
                EventKind.EPOCH_SIGNED,
            ]
            assert event_of(reader, seal).leaf_hash() == seal.leaf
            proof = inclusion_proof(reader, sealed.size - 1, sealed.size)
            assert inclusion_fault(sealed.size - 1, sealed.size, seal.leaf, proof, checkpoint.root) is None
            assert epoch_fault(reader, epoch_record(reader, "e1"), desk.keys) is None


async def test_each_checkpoint_begins_with_the_one_before(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        sealed = []
        for number in range(3):
            await desk.open(f"e{number}")
            await desk.commit()
            sealed.append(await desk.seal(f"e{number}"))
        with desk.store.reading() as reader:
            for old, new in pairwise(sealed):
                proof = consistency_proof(reader, old.size, new.size)
                roots = bytes.fromhex(old.root), bytes.fromhex(new.root)
                assert consistency_fault(old.size, new.size, *roots, proof) is None


async def test_a_seal_tags_the_head_of_the_default_branch(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        await desk.commit()
        sealed = await desk.seal()
        await desk.commit()
        assert sealed.tag == "epoch/e1"
        assert (await desk.value("epoch/e1"), await desk.value()) == (1, 2)


async def test_sealing_again_gives_the_same_answer_and_writes_nothing(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        sealed = await desk.seal(request_id="r1")
        with desk.store.reading() as reader:
            events = reader.events_count()
        assert await desk.seal() == await desk.seal(request_id="r2") == sealed
        assert await desk.seal(request_id="r1") == replace(sealed, replayed=True)
        with pytest.raises(Conflict, match="another summary"):
            await desk.seal(summary="It is not done.")
        with pytest.raises(RequestReused):
            await desk.seal(summary="It is not done.", request_id="r1")
        with desk.store.reading() as reader:
            assert reader.events_count() == events


async def test_a_repeated_seal_that_was_not_signed_yet_is_signed_and_told_as_repeated(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        assert (await desk.repo.epochs.seal("e1", "It is done.", ALICE, "r1")).checkpoint == ""
        sealed = await desk.seal(request_id="r1")
        assert (sealed.checkpoint != "", sealed.replayed) == (True, True)


async def test_a_seal_survives_the_program(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1", "plan", tags=("a", "b"))
        await desk.commit("plan")
        sealed = await desk.seal()
    async with open_epoch_desk(tmp_path) as desk:
        assert await desk.repo.epochs.info("e1") == sealed
        with desk.store.reading() as reader:
            assert epoch_fault(reader, epoch_record(reader, "e1"), desk.keys) is None


async def test_commits_made_while_the_members_are_counted_are_members(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1", "plan")
        held = [await desk.commit("plan")]
        with desk.store.reading() as reader:
            counted = lineage_of(reader, epoch_record(reader, "e1"))
            assert counted.root().hex() == members_of(*held)
        held += [await desk.commit("", "plan"), await desk.commit("", held[0][:10])]
        await desk.commit("other")
        record, _ = await desk.store.write(lambda writer: fix_epoch(writer, "e1", "Done.", ALICE, "", counted))
        assert (record.data["commits"], record.data["members"]) == (3, members_of(*held))


async def test_many_who_seal_at_once_while_others_write_have_one_answer(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1", "plan")
        answers: list[Any] = []

        async def seal() -> None:
            found = await desk.seal()
            answers.append((found.root, found.size, found.commits, found.checkpoint))

        async with anyio.create_task_group() as group:
            for number in range(8):
                group.start_soon(desk.commit, f"i{number}", "plan")
                group.start_soon(seal)
        assert len(answers) == 8
        assert len(set(answers)) == 1
        with desk.store.reading() as reader:
            record = epoch_record(reader, "e1")
            assert epoch_fault(reader, record, desk.keys) is None
            kinds = [EVENT_KINDS[row.kind] for row in map(reader.event, range(reader.events_count())) if row]
            assert kinds.count(EventKind.EPOCH_SIGNED) == 1
        info = await desk.repo.epochs.info("e1")
        assert info.commits + info.follows == 8


async def test_two_programs_that_seal_at_once_have_one_key_and_one_answer(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as one, open_epoch_desk(tmp_path) as two:
        await one.open("e1")
        await one.commit()
        answers: list[tuple[str, str, int]] = []

        async def seal(desk: EpochDesk) -> None:
            found = await desk.seal()
            answers.append((found.checkpoint, found.key, found.size))

        async with anyio.create_task_group() as group:
            group.start_soon(seal, one)
            group.start_soon(seal, two)
        assert len(set(answers)) == 1
        assert (await two.seal()).checkpoint == answers[0][0]


async def test_a_store_with_epochs_open_sealed_and_followed_verifies(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1", "plan")
        await desk.open("e2")
        await desk.commit("plan")
        await desk.seal()
        await desk.commit("", "plan")
        report = await desk.repo.verify(lambda *_: None)
        assert report.problems == ()


# --- what goes wrong ---------------------------------------------------------------


class Mute(KeyFile):
    """A key that can be read, and fails when it is to sign."""

    def sign(self, name: str, text: str) -> Note:
        raise StorageError("The disk was taken away")


class Forger(KeyFile):
    """Signs another text than it was given."""

    def sign(self, name: str, text: str) -> Note:
        return Note(text, super().sign(name, text + "more\n").signatures)


async def test_a_seal_that_could_not_be_signed_is_signed_by_the_next_call(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        desk.repo.epochs.signer = Mute(desk.keys.path)
        with pytest.raises(StorageError, match="taken away"):
            await desk.seal()
        half = await desk.repo.epochs.info("e1")
        assert (half.state, half.checkpoint, half.root) == ("sealed", "", "")
        desk.repo.epochs.signer = desk.keys
        await desk.commit()
        await desk.open("e2")
        other = await desk.seal("e2")  # its checkpoint is newer than the one that is still missing
        sealed = await desk.seal()
        assert sealed.size == half.size < other.size
        assert is_signed(parse_note(sealed.checkpoint.encode()), parse_verifier_key(sealed.key))


async def test_a_signature_that_does_not_hold_is_not_kept(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        desk.repo.epochs.signer = Forger(desk.keys.path)
        with pytest.raises(StorageError, match="does not hold"):
            await desk.seal()
        assert not (await desk.repo.epochs.info("e1")).checkpoint


async def test_what_could_not_be_signed_is_not_sealed(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        desk.keys.path.write_text("no key")
        with pytest.raises(StorageError, match=r"state\.db\.key"):
            await desk.seal()
        with pytest.raises(StorageError, match="without a key"):
            await seal_epoch(Repository(desk.store), "e1", "Done.", ALICE)
        assert (await desk.repo.epochs.info("e1")).state == "open"


def _alter(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "state.db")) as database, database:
        database.execute(statement, values)


async def _half_sealed(folder: Path) -> None:
    async with open_epoch_desk(folder) as desk:
        await desk.open("e0")
        await desk.commit()
        await desk.seal("e0")
        await desk.open("e1")
        await desk.commit()
        desk.repo.epochs.signer = Mute(desk.keys.path)
        with pytest.raises(StorageError):
            await desk.seal()


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE events SET leaf = zeroblob(32) WHERE id = (SELECT max(id) FROM events)", "is not that of its header"),
        ("UPDATE events SET leaf = zeroblob(32) WHERE id = (SELECT max(id) FROM events) - 2", "not that of its header"),
        ("UPDATE events SET leaf = zeroblob(32) WHERE id = 1", "is not the beginning of that of"),
        ("DELETE FROM refs WHERE name = 'epoch/e1'", "its tag epoch/e1 is missing"),
    ],
)
async def test_what_was_altered_in_the_file_is_never_signed(tmp_path: Path, statement: str, fault: str) -> None:
    await _half_sealed(tmp_path)
    _alter(tmp_path, statement)
    async with open_epoch_desk(tmp_path) as desk:
        with pytest.raises(StoreCorrupt, match=fault):
            await desk.seal()
        assert not (await desk.repo.epochs.info("e1")).checkpoint


@pytest.mark.parametrize("before", [True, False])
async def test_a_log_that_does_not_fit_what_was_signed_before_or_behind_is_not_signed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    await _half_sealed(tmp_path)
    async with open_epoch_desk(tmp_path) as desk:
        size = (await desk.repo.epochs.info("e1")).size
        await desk.commit()
        other = (size - 1 if before else size + 1, bytes(32))
        monkeypatch.setattr(sealing, "_signed", lambda _: [other])
        with pytest.raises(StoreCorrupt, match="is not the beginning of that of"):
            await desk.seal()
        monkeypatch.undo()
        assert (await desk.seal()).size == size


async def test_a_tile_that_was_altered_is_never_signed(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        for _ in range(260):
            await desk.commit()
    _alter(tmp_path, "UPDATE tiles SET digest = zeroblob(32)")
    async with open_epoch_desk(tmp_path) as desk:
        with pytest.raises(StoreCorrupt, match="is not shown to be in the log"):
            await desk.seal()
        assert not (await desk.repo.epochs.info("e1")).checkpoint


async def test_a_signed_epoch_whose_log_was_altered_is_found_out(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        await desk.commit()
        await desk.seal()
    _alter(tmp_path, "UPDATE events SET leaf = zeroblob(32) WHERE id = 1")
    async with open_epoch_desk(tmp_path) as desk:
        with desk.store.reading() as reader:
            record = epoch_record(reader, "e1")
            assert "is not that of the log" in (epoch_fault(reader, record, desk.keys) or "")


async def test_a_false_note_or_key_of_an_epoch_is_found_out(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open()
        sealed = await desk.seal()
        other = VerifierKey(parse_verifier_key(sealed.key).name, bytes(32))
        await desk.open("e2")
        with desk.store.reading() as reader:
            assert epoch_fault(reader, epoch_record(reader, "e2"), desk.keys) is None
            record = epoch_record(reader, "e1")
            for change, fault in (
                ({"checkpoint": sealed.checkpoint.replace("\n\n", "\n")}, "note"),
                ({"key": str(other)}, "does not hold"),
                ({"root": "00" * 32}, "not that of the log"),
                ({"opening": sealed.checkpoint}, "not that of the log"),
                ({"commits": 7}, "members are not those"),
                ({"size": sealed.size - 1}, "is not its seal"),
                ({"size": sealed.size + 1}, "is not its seal"),
                ({"members": members_of()[:-1] + "0"}, "members are not those"),
            ):
                record.data.update(change)
                assert fault in (epoch_fault(reader, record, desk.keys) or ""), change
                record = epoch_record(reader, "e1")


# --- what may be asked for ------------------------------------------------------------


async def test_opening_an_epoch_again_is_answered_and_another_of_its_id_is_refused(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        made = await desk.open("e1", "plan", tags=("t",), request_id="r1")
        assert await desk.open("e1", "plan", tags=("t",), request_id="r1") == replace(made, replayed=True)
        assert await desk.open("e1", "plan", tags=("t",)) == made
        others: list[dict[str, Any]] = [{"description": "Other."}, {"tags": ("u",)}, {"since": BEFORE_ANYTHING}]
        for other in others:
            with pytest.raises(Conflict, match="other arguments") as caught:
                await desk.open("e1", "plan", **{"tags": ("t",), **other})
            assert "go on with that epoch" in caught.value.hint
        with pytest.raises(RequestReused):
            await desk.open("e2", "plan", request_id="r1")


async def test_nobody_is_sent_to_a_sealed_epoch(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1", "plan")
        await desk.seal("e1")
        with pytest.raises(Conflict, match="other arguments") as caught:
            await desk.open("e1", "plan", tags=("t",))
        assert caught.value.hint == "Choose another id: that epoch is sealed, and nothing joins it any more."
        assert caught.value.details["state"] == "sealed"


@pytest.mark.parametrize("epoch", ["", "a/b", "a b", "e@1", "-e", "e..1", "e.lock", "x" * 196])
async def test_an_epoch_id_keeps_the_rules_of_the_tag_that_its_seal_makes(tmp_path: Path, epoch: str) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        with pytest.raises(InvalidName):
            await desk.open(epoch)


async def test_a_description_and_a_summary_have_their_bounds(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        with pytest.raises(InvalidArgument):
            await desk.open(description=" ")
        with pytest.raises(LimitExceeded, match="1001 root intents"):
            await desk.open("e1", *[f"i{number}" for number in range(1_001)])
        with pytest.raises(InvalidName):
            await desk.open("e1", "bad\x00name")
        await desk.open()
        with pytest.raises(InvalidArgument, match="summary is empty"):
            await desk.seal(summary="  ")
        with pytest.raises(LimitExceeded, match="summary"):
            await desk.seal(summary="x" * 65_537)


async def test_an_epoch_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("release-1")
        with pytest.raises(NotFound) as refused:
            await desk.seal("relaese-1")
        assert refused.value.details["nearest"] == ["release-1"]


async def test_a_name_that_the_tag_needs_is_refused_when_it_is_taken(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        taken = Ref("epoch/e1", RefKind.BRANCH, 1)  # as an older program could make it
        await desk.repo._store.write(lambda writer: log_event_of(writer, taken))
        with pytest.raises(RefExists, match="branch of that name"):
            await desk.open("e1")
        await desk.repo.delete_branch("epoch/e1", ALICE)
        await desk.open("e1")
        await desk.commit()
        with pytest.raises(InvalidName, match="for the tags of sealed epochs"):
            await desk.repo.branch("epoch/e1", "branch", "main", ALICE)
        assert (await desk.seal("e1")).state == "sealed"


def log_event_of(writer: Writer, ref: Ref) -> None:
    writer.swap_ref(None, ref)
    log_event(writer, EventKind.REF_CREATED, ALICE, new=ref)


async def test_whoever_names_a_session_that_is_not_open_neither_opens_nor_seals(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1")
        gone = Author(ALICE.principal, ALICE.agent, "", "ses-0123456789ab")
        with pytest.raises(HandleNotFound):
            await desk.repo.epochs.create(EpochRequest("e2", "Work."), gone)
        with pytest.raises(HandleNotFound):
            await seal_epoch(desk.repo, "e1", "Done.", gone)
        assert (await desk.repo.epochs.info("e1")).state == "open"


async def test_a_session_that_is_bound_to_paths_opens_an_epoch_and_seals_none(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        bound = await desk.repo.open_session(SessionRequest("fixer", scope=(("a",),)), ALICE)
        wide = await desk.repo.open_session(SessionRequest("fixer"), ALICE)
        scoped, whole = (Author(ALICE.principal, "fixer", "", info.handle) for info in (bound, wide))
        await desk.repo.epochs.create(EpochRequest("e1", "Work."), scoped)
        with pytest.raises(Forbidden, match="bound to /a"):
            await seal_epoch(desk.repo, "e1", "Done.", scoped)
        assert (await desk.repo.epochs.info("e1")).state == "open"
        assert (await seal_epoch(desk.repo, "e1", "Done.", whole)).state == "sealed"


async def test_what_was_tried_in_a_speculation_is_in_no_epoch(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        session = await desk.repo.open_session(SessionRequest("fixer"), ALICE)
        acting = Author(ALICE.principal, "fixer", "", session.handle)
        await desk.open("all")
        await desk.open("of-session", session.handle)
        trial = await desk.repo.speculations.open("main", "", acting)
        tried = (await desk.repo.speculations.modify(trial.handle, [operation(Op.SET, "/t", 1)], acting)).head
        await desk.repo.branch("public", "branch", tried.hex(), ALICE)
        below = await desk.commit("", tried.hex())
        held = await desk.commit("", session.handle)
        for epoch, members in (("all", (below, held)), ("of-session", (held,))):
            assert (await desk.repo.epochs.info(epoch)).commits == len(members)
            sealed = await desk.seal(epoch)
            assert (sealed.commits, sealed.members) == (len(members), members_of(*members))
        await desk.open("after", session.handle)
        await desk.commit("", tried.hex())
        assert (await desk.repo.epochs.info("after")).commits == 0
        assert (await desk.repo.verify(lambda *_: None)).problems == ()


async def test_a_trial_as_root_intent_is_not_completed_to_its_whole_id(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        trial = await desk.repo.speculations.open("main", "", ALICE)
        tried = (await desk.repo.speculations.modify(trial.handle, [operation(Op.SET, "/t", 1)], ALICE)).head.hex()
        held = await desk.commit()
        await desk.open("e1", tried[:8], held[:8])
        with desk.store.reading() as reader:
            assert epoch_record(reader, "e1").data["roots"] == sorted([tried[:8], held[:8], held])


async def test_root_intents_that_are_not_there_or_were_there_before_are_told(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.commit("done", "goal")
        session = (await desk.repo.open_session(SessionRequest("fixer"), ALICE)).handle
        used = (await desk.repo.open_session(SessionRequest("fixer"), ALICE)).handle
        prefix = (await desk.commit("", "", Author(ALICE.principal, "fixer", "", used)))[:10]
        theirs = (await desk.repo.open_session(SessionRequest("fixer"), BOB)).handle
        trial = await desk.repo.speculations.open("main", "", BOB)
        tried = (await desk.repo.speculations.modify(trial.handle, [operation(Op.SET, "/t", 1)], BOB)).head.hex()
        seen = desk.repo.seen_by(ALICE.principal)
        await desk.open("e1", "done", "goal", "new", session, used, prefix, theirs, tried)
        told = await roots_told(seen, "e1")
        assert told.earlier == ("done", "goal", used, prefix)
        assert told.unknown == ("new", theirs, tried)
        await desk.commit("new")
        assert "new" not in (await roots_told(seen, "e1")).unknown
        await desk.open("e2", "done", since=BEFORE_ANYTHING)
        assert (await roots_told(seen, "e2")).earlier == ()
        await desk.open("e3")
        assert (await roots_told(seen, "e3")).unknown == ()


async def test_an_epoch_tells_who_opened_it_and_for_what(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        made = await desk.open("e1", "plan", "b", tags=("t",), since=BEFORE_ANYTHING, description="The plan.")
        assert (made.principal, made.agent) == (ALICE.principal, ALICE.agent)
        assert (made.description, made.root_intents, made.since, made.tags) == (
            "The plan.",
            ("plan", "b"),
            BEFORE_ANYTHING,
            ("t",),
        )
        assert made.sealed_at == made.summary == made.root == ""
        sealed = await desk.seal()
        assert (sealed.summary, sealed.description) == ("It is done.", "The plan.")
        assert made.opened_at < sealed.sealed_at
