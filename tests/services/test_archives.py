"""Whole repositories through an archive: the same answers on the other side, and nothing of what is not as it was."""

from __future__ import annotations

import asyncio
import io
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest

from asg_mcp import app
from asg_mcp.app import (
    destroy_class,
    export_repository,
    import_repository,
    key_path,
    make_class,
    marks_of,
    open_repository,
    restore,
    rotate_log_key,
)
from asg_mcp.core.events import EventKind
from asg_mcp.errors import ArchiveDamaged, AsgError, InvalidArgument, RefExists, StoreIncompatible, Withheld
from asg_mcp.evidence.verify import verify_file
from asg_mcp.repo.ledger import EVENT_KINDS, event_body
from asg_mcp.repo.logtree import log_origin
from asg_mcp.repo.marking import mark_of
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.verify import Problem, VerifyReport
from asg_mcp.repo.view import View
from asg_mcp.services import archives
from asg_mcp.services.archives import COMMITS
from asg_mcp.services.bundles import bundle
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.services.files import write_whole
from tests.evidence.histories import EPOCH, PEOPLE
from tests.model.test_merge_model import Story
from tests.repo.desk import Desk, open_desk
from tests.services.archive_desk import (
    WHO,
    archive_of,
    copied,
    files_of,
    imported,
    random_store,
    sealed_store,
    silent,
    small_store,
    told_by,
)

# --- round trips --------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
async def test_every_question_has_the_same_answer_in_the_new_store(tmp_path: Path, seed: int) -> None:
    store, to = await random_store(tmp_path, seed), tmp_path / "new" / "new.db"
    await copied(store, to)
    assert await told_by(to) == await told_by(store)
    assert files_of(await archive_of(to))[COMMITS] == files_of(await archive_of(store))[COMMITS]


@pytest.mark.parametrize("seed", [11, 12])
async def test_merges_reverts_and_lists_keep_their_blame(tmp_path: Path, seed: int) -> None:
    async with open_desk(tmp_path) as desk:
        story = Story(desk, seed)
        await story.begin(ruled=seed % 2 == 1)
        for _ in range(60):
            await story.step()
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    await copied(store, to)
    assert await told_by(to) == await told_by(store)


async def test_an_archive_is_the_same_bytes_however_often_it_is_made(tmp_path: Path) -> None:
    store = await random_store(tmp_path, 5)
    first = await archive_of(store)
    assert await archive_of(store) == first
    assert zipfile.ZipFile(io.BytesIO(first)).testzip() is None


async def test_the_new_log_begins_with_an_event_that_names_the_old_one(tmp_path: Path) -> None:
    store, to = await small_store(tmp_path), tmp_path / "new" / "new.db"
    made = await copied(store, to)

    def look(view: View) -> tuple[Any, dict[str, Any], str]:
        row = view.reader.event(0)
        assert row is not None
        return EVENT_KINDS[row.kind], event_body(row), log_origin(view.reader)

    async with open_repository(store) as repo:
        source = await repo.read(lambda view: mark_of(view.reader))
    async with open_repository(to, create=False) as repo:
        kind, body, origin = await repo.read(look)
        now = await repo.read(lambda view: mark_of(view.reader))
    assert kind is EventKind.IMPORTED
    assert (body["origin"], body["size"], body["root"]) == (source.origins[-1], source.size, source.root.hex())
    assert origin != source.origins[-1]
    assert made.mark == now == marks_of(to).held(origin)
    assert now.size == source.size + 1


async def test_two_stores_of_one_archive_have_logs_of_two_names(tmp_path: Path) -> None:
    data = await archive_of(await small_store(tmp_path))
    one, two = [await imported(data, tmp_path / name / "new.db") for name in ("one", "two")]
    assert one.mark.origins != two.mark.origins


async def test_an_archive_of_an_imported_store_names_both_logs(tmp_path: Path) -> None:
    store, second, third = await small_store(tmp_path), tmp_path / "b" / "b.db", tmp_path / "c" / "c.db"
    await copied(store, second)
    made = await copied(second, third)

    def earlier(view: View) -> list[dict[str, Any]]:
        row = view.reader.event(0)
        assert row is not None
        return list(event_body(row)["earlier"])

    async with open_repository(third, create=False) as repo:
        told = await repo.read(earlier)
    assert len(told) == 1 and told[0]["origin"] != made.head.checkpoint.origin
    assert await told_by(third) == await told_by(store)


async def test_sessions_trials_outcomes_and_open_epochs_go_on(tmp_path: Path) -> None:
    store, to = await small_store(tmp_path), tmp_path / "new" / "new.db"
    await copied(store, to)
    async with open_repository(to, create=False) as repo:
        seen = repo.seen_by(PEOPLE[0].principal)
        refs = (await seen.list_refs("", kind="speculation", limit=10, cursor="")).refs
        done = await seen.speculations.discard(refs[0].name, "It went on.", PEOPLE[0])
        assert done.lesson == "It went on."
        await Desk(repo).set("/after", 1)
        sealed = await seal_epoch(repo, "open", "Sealed here.", WHO)
        assert sealed.commits == 1
        made = await bundle(repo, "open")
        assert made.not_proved
        assert (await repo.verify(silent)).problems == ()


async def test_a_sealed_epoch_leaves_its_tag_and_its_evidence_and_no_seal(tmp_path: Path) -> None:
    store, to = await random_store(tmp_path, 3), tmp_path / "new" / "new.db"
    made = await imported(await archive_of(store), to, bundles=tmp_path / "evidence")
    assert (list(made.head.sealed), made.bundles) == ([EPOCH], (EPOCH,))
    async with open_repository(store) as repo:
        assert made.written[0].read_bytes() == (await bundle(repo, EPOCH)).data
    assert not verify_file(str(made.written[0]), None).findings.violated
    async with open_repository(to, create=False) as repo:
        assert (await Desk(repo).head(f"epoch/{EPOCH}")).id
        with pytest.raises(AsgError, match="There is no epoch"):
            await repo.epochs.info(EPOCH)
        with pytest.raises(RefExists, match="a tag of that name"):
            await create_epoch(repo, EpochRequest(EPOCH, "Once more.", ()), WHO)


async def test_an_epoch_from_the_beginning_of_an_imported_log_is_proved_from_its_first_event(tmp_path: Path) -> None:
    store, to = await small_store(tmp_path), tmp_path / "new" / "new.db"
    await copied(store, to)
    async with open_repository(to, create=False) as repo:
        await create_epoch(repo, EpochRequest("all", "All of it.", (), since="2001-01-01"), WHO)
        await seal_epoch(repo, "all", "Done.", WHO)
        made = await bundle(repo, "all")
    (tmp_path / "all.zip").write_bytes(made.data)
    ev = verify_file(str(tmp_path / "all.zip"), None)
    assert (ev.first, ev.findings.violated) == (0, {})
    assert "the log is named after its first event, which is here" in ev.findings.shown["P9"]


async def test_the_checkpoint_is_signed_where_there_is_a_key_and_no_key_is_made_for_it(tmp_path: Path) -> None:
    store = await small_store(tmp_path)
    made = await imported(await archive_of(store), tmp_path / "a" / "a.db")
    assert (made.head.note, key_path(store).exists()) == ("", False)
    key = (await copied(await sealed_store(tmp_path / "one"), tmp_path / "one" / "copy" / "copy.db")).head.key
    data = await archive_of(tmp_path / "one" / "state.db")
    await imported(data, tmp_path / "b" / "b.db", key=key)
    other = (await copied(await sealed_store(tmp_path / "two"), tmp_path / "two" / "copy" / "copy.db")).head.key
    with pytest.raises(InvalidArgument, match="and not by"):
        await imported(data, tmp_path / "c" / "c.db", key=other)


async def test_a_sensitive_prefix_comes_with_its_key_and_a_destroyed_one_stays_destroyed(tmp_path: Path) -> None:
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    async with open_desk(tmp_path):
        pass
    for name in ("live", "gone"):
        await make_class(store, name, (name,), WHO)
        async with open_desk(tmp_path) as desk:
            await desk.set(f"/{name}/x", "a secret")
            await desk.set(f"/{name}/y", 7)
    await destroy_class(store, "gone", "No longer needed.", WHO)
    made = await copied(store, to)
    assert made.classes == ("live",)
    assert sorted(os.listdir(to.parent))[:2] == ["new.db", "new.db.class-live.key"]
    assert b"a secret" not in to.read_bytes()
    async with open_repository(to, create=False) as repo:
        desk = Desk(repo)
        assert await desk.value("/live") == {"x": "a secret", "y": 7}
        with pytest.raises(Withheld):
            await desk.value("/gone/y")
        await desk.set("/live/z", 8)
        assert (await repo.verify(silent)).problems == ()
    os.unlink(tmp_path / "state.db.class-live.key")
    with pytest.raises(AsgError, match="The key of the class 'live' is not here"):
        await archive_of(store)


async def test_a_move_from_before_a_prefix_became_sensitive_is_replayed_as_it_was(tmp_path: Path) -> None:
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    async with open_desk(tmp_path) as desk:
        await desk.set("/people", {})
        await desk.apply(("move", "/patients", "/people"))
        await desk.apply(("delete", "/patients"))
    await make_class(store, "patients", ("patients",), WHO)
    async with open_desk(tmp_path) as desk:
        await desk.set("/patients/a", 1)
    assert (await copied(store, to)).classes == ("patients",)


# --- places -------------------------------------------------------------------------


async def test_nothing_is_ever_replaced(tmp_path: Path) -> None:
    store = await small_store(tmp_path)
    with pytest.raises(InvalidArgument, match="There is a file already"):
        await export_repository(store, store, silent)
    data = await archive_of(store)
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "new.db-wal").write_bytes(b"mine")
    with pytest.raises(InvalidArgument, match="There is a file already"):
        await imported(data, tmp_path / "new" / "new.db")
    await export_repository(store, tmp_path / "a.zip", silent)
    with pytest.raises(InvalidArgument, match="There is a file already"):
        await export_repository(store, tmp_path / "a.zip", silent)
    await export_repository(store, tmp_path / "a.zip", silent, force=True)
    assert (tmp_path / "a.zip").read_bytes() == data
    assert (tmp_path / "a.zip").stat().st_mode & 0o777 == 0o600


async def test_bundles_that_cannot_be_written_leave_no_store_and_no_other_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, evidence, to = await sealed_store(tmp_path), tmp_path / "evidence", tmp_path / "new" / "new.db"
    async with open_repository(store) as repo:
        await create_epoch(repo, EpochRequest("second", "More."), WHO)
        await seal_epoch(repo, "second", "Done.", WHO)
    data = await archive_of(store)

    def full(file: Path, content: bytes) -> None:
        if file.name == "second.zip":
            raise OSError(28, "No space left on device")
        write_whole(file, content)

    with monkeypatch.context() as patched:
        patched.setattr(archives, "write_whole", full)
        with pytest.raises(StoreIncompatible, match="No space left"):
            await imported(data, to, bundles=evidence)
    assert os.listdir(evidence) == os.listdir(to.parent) == []

    def too_late(made: Path, path: Path, classes: tuple[str, ...]) -> None:
        raise InvalidArgument(f"There is a file already: {path}")

    with monkeypatch.context() as patched:
        patched.setattr(app, "place_with_keys", too_late)
        with pytest.raises(InvalidArgument, match="a file already"):
            await imported(data, to, bundles=evidence)
    assert os.listdir(evidence) == os.listdir(to.parent) == []
    made = await imported(data, to, bundles=evidence)
    assert sorted(os.listdir(evidence)) == ["open.zip", "second.zip"] == sorted(file.name for file in made.written)


async def test_a_check_makes_nothing(tmp_path: Path) -> None:
    await export_repository(await small_store(tmp_path), tmp_path / "a.zip", silent)
    before = sorted(os.listdir(tmp_path))
    made = await import_repository(tmp_path / "a.zip", None, WHO, silent)
    assert (made.path, made.report.ok) == (None, True)
    assert sorted(os.listdir(tmp_path)) == before


async def test_what_does_not_verify_once_it_is_made_is_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = await archive_of(await small_store(tmp_path))
    report = VerifyReport(problems=(Problem("node", "node 1", "It is damaged"),))
    monkeypatch.setattr(app, "verify", lambda *_: report)
    with pytest.raises(ArchiveDamaged, match="node 1 of the archive: It is damaged"):
        await imported(data, tmp_path / "new" / "new.db")


async def test_what_a_killed_import_left_is_removed_by_the_next(tmp_path: Path) -> None:
    data = await archive_of(await small_store(tmp_path))
    left = tmp_path / "new" / ".asg-copy-0123456789abcdef.part"
    left.mkdir(parents=True)
    (left / "state.db").write_bytes(b"half")
    os.utime(left, (0, 0))
    (tmp_path / "a.zip").write_bytes(data)
    await import_repository(tmp_path / "a.zip", tmp_path / "new" / "new.db", WHO, silent)
    assert os.listdir(tmp_path / "new") == ["new.db"]


async def test_a_restored_store_is_exported_under_the_name_that_its_log_has_now(tmp_path: Path) -> None:
    await small_store(tmp_path)
    restored = tmp_path / "restored.db"
    await restore(tmp_path / "state.db", restored, WHO, silent)
    made = await copied(restored, tmp_path / "new" / "new.db")
    async with open_repository(restored, create=False) as repo:
        origins = (await repo.read(lambda view: mark_of(view.reader))).origins
    assert (len(origins), made.head.checkpoint.origin) == (2, origins[-1])
    assert len(made.mark.origins) == 1, "the incarnations are those of the other log"


async def test_an_epoch_that_is_sealed_and_not_signed_has_no_bundle_yet(tmp_path: Path) -> None:
    store = await small_store(tmp_path)
    async with open_repository(store) as repo:
        await repo.epochs.seal("open", "Done.", WHO)
    exported = await export_repository(store, tmp_path / "a.zip", silent)
    assert exported.epochs == {"open": False}
    made = await imported((tmp_path / "a.zip").read_bytes(), tmp_path / "new" / "new.db")
    assert (list(made.head.sealed), made.bundles) == (["open"], ())


async def test_an_archive_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    store = await small_store(tmp_path)

    async def write() -> None:
        async with open_repository(store) as repo:
            for number in range(40):
                await Desk(repo).set("/n", number)

    exported, _ = await asyncio.gather(export_repository(store, tmp_path / "a.zip", silent), write())
    made = await imported((tmp_path / "a.zip").read_bytes(), tmp_path / "new" / "new.db")
    assert made.report.counts["commits"] == exported.counts["commits"]


async def test_a_log_that_changed_its_key_comes_without_the_change(tmp_path: Path) -> None:
    store = await sealed_store(tmp_path)
    old = key_path(store).read_text()
    await rotate_log_key(store, WHO, lost=False)
    assert key_path(store).read_text() != old
    made = await copied(store, tmp_path / "new" / "new.db")
    assert made.head.note
    assert (made.report.counts["key_rotations"], list(made.head.sealed)) == (0, ["open"])
