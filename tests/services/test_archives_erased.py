"""What was erased, withheld or collected, through an archive: it stays gone, what stays is there, and receipts hold."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random
from threading import Thread
from typing import Any

import pytest

from asg_mcp import app
from asg_mcp.app import destroy_class, export_repository, make_class, open_repository
from asg_mcp.core.events import event_body_id
from asg_mcp.core.ids import CommitId
from asg_mcp.core.intents import Author
from asg_mcp.core.limits import LEAF_ENTRIES_MIN
from asg_mcp.core.merkle import leaf_hash
from asg_mcp.core.noderows import erase_packed
from asg_mcp.core.nodes import Branch
from asg_mcp.core.paths import parse_path
from asg_mcp.core.values import encode
from asg_mcp.errors import ArchiveDamaged, Pruned, StoreBusy
from asg_mcp.repo import redactsurvey
from asg_mcp.repo.archiving import VERSIONS
from asg_mcp.repo.collectingresults import CollectRequest
from asg_mcp.repo.logtree import ORIGIN, ORIGIN_DIGITS
from asg_mcp.repo.redactplan import Target
from asg_mcp.repo.repository import Repository
from asg_mcp.repo.requests import EpochRequest, SessionRequest
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.view import View
from asg_mcp.services.archives import COMMITS, EVENTS, MANIFEST
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.services.places import place_file
from tests.evidence.histories import play
from tests.repo.desk import Desk
from tests.repo.test_redact_histories import chosen, facts, go_on, values
from tests.services.archive_desk import (
    WHO,
    archive_from,
    archive_of,
    copied,
    files_of,
    imported,
    manifest_bytes,
    records_from,
    records_in,
    sealed_store,
    silent,
)
from tests.services.test_archives_hostile import with_log

SECRET = "a-long-secret-value"
NOW = CollectRequest(grace_seconds=0, prune=True, rehearse=False, reason="A test.")


async def erase(repo: Repository, target: Target) -> None:
    """A redaction, from end to end."""
    plan = await repo.redactions.find(target, silent)
    if not plan.found.nothing:
        await repo.redactions.erase(plan, WHO, "At random.", "", (), silent)
        await repo.redactions.finish(plan, silent)


async def all_of(path: Path) -> tuple[dict[str, Any], bytes]:
    """What no redaction changes, and every value of every state that can be read."""
    async with open_repository(path, create=False, secrets="/=allow") as repo:
        told = await repo.read(facts)
        del told["leaves"]  # the new store has a log of its own
        assert (await repo.verify(silent)).problems == ()
        return told, encode(await repo.read(values))


@pytest.mark.parametrize("seed", [0, 4, 10])
async def test_a_redacted_store_is_the_same_one_on_the_other_side(tmp_path: Path, seed: int) -> None:
    store, to, random = tmp_path / "state.db", tmp_path / "new" / "new.db", Random(seed)
    async with open_repository(store, secrets="/=allow") as repo:
        await play(repo, random, 16)
        for _ in range(3):
            await erase(repo, await chosen(repo, random))
            await go_on(repo, random)
    data = await archive_of(store)
    await imported(data, to)
    assert await all_of(to) == await all_of(store)
    assert files_of(await archive_of(to))[COMMITS] == files_of(data)[COMMITS]


@pytest.mark.parametrize("path", ["/a", "/b", "/c", "/l/0"])
async def test_a_value_that_was_moved_is_gone_where_it_was_erased_and_there_where_it_was_not(
    tmp_path: Path, path: str
) -> None:
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    async with open_repository(store, secrets="/=allow") as repo:
        desk = Desk(repo)
        await desk.set("/a", SECRET)
        await desk.set("/large", {"text": "long " * 600})
        await desk.apply(("move", "/b", "/a"), ("move", "/moved", "/large"))
        await desk.apply(("move", "/c", "/b"), ("set", "/l", ["q", SECRET, "z"]))
        await desk.apply(("move", "/l/0", "/l/1"))
        await erase(repo, Target("path", path=parse_path(path)))
        await erase(repo, Target("path", path=("large",)))
        await desk.set("/a", 1)
    data = await archive_of(store)
    await imported(data, to)
    assert await all_of(to) == await all_of(store)
    assert files_of(await archive_of(to))[COMMITS] == files_of(data)[COMMITS]


async def test_what_stands_where_values_were_erased_cannot_be_told_otherwise(tmp_path: Path) -> None:
    store = tmp_path / "state.db"
    async with open_repository(store, secrets="/=allow") as repo:
        desk = Desk(repo)
        await desk.set("/a", SECRET)
        await desk.apply(("move", "/b", "/a"))
        await erase(repo, Target("path", path=("a",)))
    files = files_of(await archive_of(store))
    records = records_in(files[COMMITS])
    at = next(number for number, record in enumerate(records) if len(record) == 4)
    [place, *form] = records[at][3][0]
    for other in ([], [[place + 1, *form]], [[place, *form], [place, *form]], [[place, "x", "0" * 32]]):
        records[at] = [*records[at][:3], other]
        told = await refusal(archive_from({**files, COMMITS: records_from(records)}), tmp_path)
        assert "commit 2" in told
    records[at] = records[at][:3]
    told = await refusal(archive_from({**files, COMMITS: records_from(records)}), tmp_path)
    assert "does not tell what stands where a value was erased later" in told


async def refusal(data: bytes, folder: Path) -> str:
    with pytest.raises(ArchiveDamaged) as told:
        await imported(data, folder / "there" / "new.db")
    return told.value.message


async def test_a_leaf_that_only_replay_makes_again_is_the_one_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_bytes", Random(1).randbytes)  # by which leaves begin and end where they do
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    async with open_repository(store, secrets="/=allow") as repo:
        desk = Desk(repo)
        await desk.set("/m", {f"key-{number:04}": number for number in range(1_000)})
        leaves = await repo.read(lambda view: [[*found] for found in leaves_of(view)])
        pairs = [(one, other) for one, other in pairwise(leaves[1:]) if len(one) == LEAF_ENTRIES_MIN]
        here, there = pairs[0]
        # Without the first entry that leaf ends later, and with another in its place it ends as before.
        await desk.apply(("delete", here[0]), ("set", f"{here[0]}x", 1))
        assert there in await repo.read(lambda view: [[*found] for found in leaves_of(view)])
        await erase(repo, Target("path", path=parse_path(there[3])))
    data = await archive_of(store)
    await imported(data, to)
    assert await all_of(to) == await all_of(store)
    assert files_of(await archive_of(to))[COMMITS] == files_of(data)[COMMITS]


def leaves_of(view: View) -> Iterator[list[str]]:
    """The paths in each leaf of main, none of which has a list."""
    state = state_at(view.reader, view.hasher, view.reader.commit(view.reader.last_seq()))
    todo = [state.tree.root]
    while todo:
        node = state.tree.open(todo.pop())
        if isinstance(node, Branch):
            todo += reversed(node.items)
        else:
            yield ["/" + key.rstrip("\x00").replace("\x00", "/") for key in node.keys]


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_archive_of_an_earlier_build_that_tells_not_since_when_is_decided_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    monkeypatch.setattr(redactsurvey, "erase_packed", lambda parts, at, value_id, _: erase_packed(parts, at, value_id))
    async with open_repository(store, secrets="/=allow") as repo:
        desk = Desk(repo)
        await desk.set("/keep", SECRET)
        await desk.apply(("set", "/l", [SECRET]), ("set", "/a", SECRET))
        await erase(repo, Target("path", path=("l",)))
        await desk.set("/l", [1])
        await desk.revert(path="/l", source="main~1")
        await desk.set("/l", [1, SECRET])
        await erase(repo, Target("path", path=("a",)))
        await desk.set("/l", [SECRET, 1])
    monkeypatch.undo()
    files = files_of(await archive_of(store))
    manifest = json.loads(files[MANIFEST])
    # Its states have one leaf each, so places and ranks are the same there.
    data = archive_from({**files, MANIFEST: manifest_bytes({**manifest, "version": version})})
    await imported(data, to)
    assert await all_of(to) == await all_of(store)
    told = files_of(await archive_of(to))
    assert told[COMMITS] != files[COMMITS], "the decision is told"
    async with open_repository(to, create=False, secrets="/=allow") as repo:
        for path in (("l",), ("keep",)):
            await erase(repo, Target("path", path=path))
            assert (await repo.verify(silent)).problems == ()
    again = tmp_path / "again" / "again.db"
    await copied(to, again)
    assert await all_of(again) == await all_of(to)


async def test_an_archive_that_tells_since_when_is_of_the_second_version(tmp_path: Path) -> None:
    store = tmp_path / "state.db"
    async with open_repository(store, secrets="/=allow") as repo:
        await Desk(repo).set("/a", SECRET)
    before = json.loads(files_of(await archive_of(store))[MANIFEST])
    async with open_repository(store, secrets="/=allow") as repo:
        await erase(repo, Target("path", path=("a",)))
    files = files_of(await archive_of(store))
    manifest = json.loads(files[MANIFEST])
    assert (before["version"], manifest["version"]) == VERSIONS
    told = await refusal(archive_from({**files, MANIFEST: manifest_bytes({**manifest, "version": 1})}), tmp_path)
    assert "tells since when a value is erased, which its version does not" in told


@pytest.mark.parametrize("after", [-1, True, "2", None, 7])
async def test_since_when_a_value_is_erased_is_what_a_receipt_tells(tmp_path: Path, after: Any) -> None:
    store = tmp_path / "state.db"
    async with open_repository(store, secrets="/=allow") as repo:
        await Desk(repo).set("/a", SECRET)
        await erase(repo, Target("path", path=("a",)))
    files = files_of(await archive_of(store))
    records = records_in(files[COMMITS])
    [operation] = records[1][1]
    [entry] = operation[3]
    assert entry[3] == 2, "the number of the commit"
    entry[3] = after
    await refusal(archive_from({**files, COMMITS: records_from(records)}), tmp_path)


async def test_collected_commits_are_stubs_on_the_other_side_too(tmp_path: Path) -> None:
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    async with open_repository(store) as repo:
        desk = Desk(repo)
        await desk.branch("side")
        gone = (await desk.set("/side", "large " * 1_000, ref="side")).commit
        await repo.delete_branch("side", WHO)
        await desk.set("/kept", "large " * 1_000)
        request = CollectRequest(grace_seconds=0, prune=True, rehearse=False, reason="A test.")
        assert (await repo.collect(request, WHO, silent)).unreached == 1
    data = await archive_of(store)
    made = await imported(data, to)
    assert made.report.counts["pruned_commits"] == 1
    async with open_repository(to, create=False) as repo:
        desk = Desk(repo)
        with pytest.raises(Pruned):
            await desk.get("/", gone.hex())
        assert (await desk.value("/kept")).startswith("large")
    assert files_of(await archive_of(to))[COMMITS] == files_of(data)[COMMITS]


async def test_members_of_epochs_that_were_sealed_before_an_import_are_kept_by_collections_after_it(
    tmp_path: Path,
) -> None:
    store, second, third = tmp_path / "state.db", tmp_path / "b" / "b.db", tmp_path / "c" / "c.db"
    members: set[str] = set()
    async with open_repository(store) as repo:
        desk = Desk(repo)
        members.add((await _left(desk, "first")).hex())
        await create_epoch(repo, EpochRequest("all", "All of it.", since="2020-01-01"), WHO)
        session = (await repo.open_session(SessionRequest("worker", branch="second"), WHO)).handle
        await seal_epoch(repo, "all", "Done.", WHO)
        await create_epoch(repo, EpochRequest("some", "The work.", (session,)), WHO)
        members.add((await _left(desk, "second", Author(WHO.principal, "worker", "", session))).hex())
        gone = {(await _left(desk, "third")).hex()}
        await seal_epoch(repo, "some", "Done.", WHO)
    await copied(store, second)
    await copied(second, third)
    for place in (third, second, store):
        async with open_repository(place, create=False) as repo:
            told = await repo.collect(replace(NOW, rehearse=True), WHO, silent)
            done = await repo.collect(NOW, WHO, silent)
            assert (told.unreached, done.unreached) == (1, 1)
            for commit in members:
                assert (await Desk(repo).get("/", commit)).value
            for commit in gone:
                with pytest.raises(Pruned):
                    await Desk(repo).get("/", commit)
            assert (await repo.verify(silent)).problems == ()


async def _left(desk: Desk, name: str, author: Author = WHO) -> CommitId:
    """A commit on a branch that is deleted."""
    if not author.session:  # which has made its own
        await desk.branch(name)
    done = await desk.set(f"/{name}", name, ref=name, author=author)
    await desk.repo.delete_branch(name, WHO)
    return done.commit


NONSENSE: tuple[Any, ...] = (
    [["e", ["r"], "", "00"]],
    [["e", ["r"], "", 7]],
    [["e", "roots", "", ""]],
    [["e", [7], "", ""]],
    [["e", []]],
    [7],
    "x",
    7,
)


async def test_an_archive_that_tells_nonsense_of_epochs_that_were_sealed_earlier_is_refused(tmp_path: Path) -> None:
    files = files_of(await _twice(tmp_path))
    (header, salt, body), *others = records_in(files[EVENTS])
    assert body["lineages"][0][:2] == ["open", []]
    for told in (*({"lineages": one} for one in NONSENSE), {"earlier": [{"lineages": NONSENSE[0]}]}, {"earlier": [7]}):
        other = {**body, **told}
        first = [{**header, "body": event_body_id(salt, other)}, salt, other]
        manifest = json.loads(files[MANIFEST])
        manifest["checkpoint"]["origin"] = ORIGIN + leaf_hash(encode(first[0])).hex()[:ORIGIN_DIGITS]
        data = with_log({**files, MANIFEST: manifest_bytes(manifest)}, [first, *others])
        message = await refusal(data, tmp_path / "c")
        assert message.startswith("The story of sealed epochs of the archive: makes no sense"), told


async def _twice(folder: Path) -> bytes:
    """The archive of a store that was imported, and had an epoch that was sealed."""
    await copied(await sealed_store(folder), folder / "b" / "b.db")
    return await archive_of(folder / "b" / "b.db")


async def test_an_epoch_that_was_sealed_over_a_pruned_commit_has_no_bundle_and_keeps_no_other_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    async with open_repository(store) as repo:
        desk = Desk(repo)
        await create_epoch(repo, EpochRequest("whole", "Before."), WHO)
        await desk.set("/n", 1)
        await seal_epoch(repo, "whole", "Done.", WHO)
        await _left(desk, "side")
        await repo.collect(NOW, WHO, silent)
        with monkeypatch.context() as patched:  # as a program did that did not look
            patched.setattr("asg_mcp.repo.epochs.newest_pruned", lambda *_: 0)
            patched.setattr("asg_mcp.repo.sealing.newest_pruned", lambda *_: 0)
            await create_epoch(repo, EpochRequest("late", "All since.", since="2020-01-01"), WHO)
            await seal_epoch(repo, "late", "Done.", WHO)
    exported = await export_repository(store, tmp_path / "a.zip", silent)
    assert exported.epochs == {"whole": True, "late": False}
    made = await imported((tmp_path / "a.zip").read_bytes(), to)
    assert made.bundles == ("whole",)


async def _erased_meanwhile(how: str, store: Path) -> None:
    if how == "class":
        await destroy_class(store, "people", "At their wish.", WHO)
        return
    async with open_repository(store, secrets="/=allow") as repo:
        plan = await repo.redactions.find(Target("path", path=parse_path("/x")), silent)
        await repo.redactions.erase(plan, WHO, "A secret.", "", (), silent)


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("how", ["redaction", "class"])
@pytest.mark.parametrize("when", ["while it is written", "once it was looked"])
async def test_no_archive_is_left_with_what_was_erased_while_it_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str, how: str, force: bool
) -> None:
    store, file = tmp_path / "state.db", tmp_path / "a.zip"
    async with open_repository(store):
        pass
    await make_class(store, "people", ("people",), WHO)
    async with open_repository(store, secrets="/=allow") as repo:
        await Desk(repo).set("/x", SECRET)
        await Desk(repo).set("/people/1", "a name")
    if force:
        file.write_bytes(b"an older file")
    times: list[int] = []

    def erase_once(step: str, *_: int) -> None:
        if not times:
            times.append(1)
            asyncio.run(_erased_meanwhile(how, store))

    if when == "while it is written":
        progress: Any = erase_once
    else:
        progress, place = silent, place_file

        def placed(*args: Any, **given: Any) -> None:
            erase_once("placed")
            place(*args, **given)

        def in_a_thread(*args: Any, **given: Any) -> None:
            thread = Thread(target=placed, args=args, kwargs=given)
            thread.start()
            thread.join()

        monkeypatch.setattr(app, "place_file", in_a_thread)
    with pytest.raises(StoreBusy, match="Something was erased") as told:
        await export_repository(store, file, progress, force=force)
    assert told.value.hint == "Repeat the command."
    assert times
    if force and when == "while it is written":
        assert file.read_bytes() == b"an older file"
    else:
        assert not file.exists()
    await export_repository(store, file, silent, force=force)
    assert SECRET.encode() not in file.read_bytes() or how == "class"


async def test_a_receipt_names_events_by_the_places_that_they_have_in_the_new_log(tmp_path: Path) -> None:
    store, to = tmp_path / "state.db", tmp_path / "new" / "new.db"
    async with open_repository(store, secrets="/=allow") as repo:
        await play(repo, Random(1), 12)
        count = await repo.read(lambda view: view.reader.events_count())
        for index in range(count):
            await erase(repo, Target("event", name=str(index)))
    made = await copied(store, to)
    assert made.report.counts["withheld_bodies"] > 0
    assert (await all_of(to))[1] == (await all_of(store))[1]
