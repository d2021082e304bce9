"""Archives taken apart and put together again, with whatever was done to them in between."""

from __future__ import annotations

import io
import json
import os
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZipFile

from asg_mcp.app import Imported, export_repository, import_repository, open_repository
from asg_mcp.core.intents import Author
from asg_mcp.core.values import decode_block, encode
from asg_mcp.repo.repository import Query
from asg_mcp.repo.requests import EpochRequest
from asg_mcp.repo.view import View
from asg_mcp.services.archivefile import ArchiveWriter
from asg_mcp.services.archives import MANIFEST
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.storage.base import RecordKind
from tests.evidence.histories import PEOPLE, play
from tests.repo.desk import Desk, open_desk, ops

WHO = Author("local:tester", "tester")


def silent(_: str, __: int, ___: int) -> None:
    """Progress that nobody watches."""


async def random_store(folder: Path, seed: int, steps: int = 30) -> Path:
    """A store with a random history: sessions, merges, trials, outcomes, and one sealed epoch."""
    async with open_repository(folder / "state.db") as repo:
        await play(repo, Random(seed), steps)
    return folder / "state.db"


async def small_store(folder: Path) -> Path:
    """A store with something of everything that an archive tells apart, and little of it."""
    async with open_desk(folder) as desk:
        await desk.set("/a", {"b": [1, 2.5, None, "x"], "c": {}, "long": "text " * 600})
        await desk.set("/m", {f"key-{number}": number for number in range(100)})
        await desk.branch("side")
        await desk.set("/a/b/1", "y", ref="side")
        await desk.set("/a/d", "text " * 600)
        await desk.apply(("move", "/e", "/a/d"), ("append", "/a/b", True))
        await desk.merge("side")
        await desk.branch("v1", kind="tag")
        trials = desk.repo.seen_by(PEOPLE[0].principal).speculations
        trial = await trials.open("main", "try", PEOPLE[0])
        await trials.modify(trial.handle, ops(("set", "/t", 1)), PEOPLE[0])
        await create_epoch(desk.repo, EpochRequest("open", "Goes on.", ()), WHO)
    return folder / "state.db"


async def sealed_store(folder: Path) -> Path:
    """The same with its epoch sealed."""
    store = await small_store(folder)
    async with open_repository(store) as repo:
        await seal_epoch(repo, "open", "Done.", WHO)
    return store


async def archive_of(store: Path) -> bytes:
    """The archive of a store."""
    file = store.with_name(f"{store.name}.archive")
    await export_repository(store, file, silent)
    data = file.read_bytes()
    file.unlink()
    return data


async def imported(data: bytes, to: Path, **given: Any) -> Imported:
    """A store from an archive; whatever becomes of it, nothing else is left in its folder."""
    to.parent.mkdir(parents=True, exist_ok=True)
    file = to.parent.with_name(f"{to.parent.name}.zip")
    file.write_bytes(data)
    before = set(os.listdir(to.parent))
    made = False
    try:
        found = await import_repository(file, to, WHO, silent, **given)
        made = True
    finally:
        more = {name for name in set(os.listdir(to.parent)) - before if not name.startswith(f"{to.name}.class-")}
        assert more == ({to.name} if made else set()), more
    return found


async def copied(store: Path, to: Path) -> Imported:
    """A store from the archive of another."""
    return await imported(await archive_of(store), to)


def files_of(data: bytes) -> dict[str, bytes]:
    """The files in an archive, as any program for zip finds them."""
    with ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive_from(files: dict[str, bytes], *, resealed: bool = True) -> bytes:
    """An archive of these files in their order; with the sizes and hashes that they have in its manifest."""
    files = dict(files)
    if resealed:
        manifest = json.loads(files.pop(MANIFEST))
        told = {name: {"bytes": len(data), "sha256": sha256(data).hexdigest()} for name, data in files.items()}
        files[MANIFEST] = manifest_bytes({**manifest, "files": told})
    out = io.BytesIO()
    writer = ArchiveWriter(out)
    for name, data in files.items():
        writer.add(name, [data])
    writer.end()
    return out.getvalue()


def manifest_bytes(manifest: dict[str, Any]) -> bytes:
    """A manifest in the form that it is written in."""
    return json.dumps(manifest, indent=1, sort_keys=True).encode() + b"\n"


def records_in(data: bytes) -> list[Any]:
    """The records of a file, which is a CBOR sequence of lengths and records."""
    found, at = [], 0
    while at < len(data):
        more = {24: 1, 25: 2, 26: 4}.get(data[at], 0)
        length = int.from_bytes(data[at + 1 : at + 1 + more], "big") if more else data[at]
        at += 1 + more
        found.append(decode_block(data[at : at + length]))
        at += length
    return found


def records_from(records: list[Any]) -> bytes:
    """The inverse of `records_in`."""
    return b"".join(encode(len(record)) + record for record in map(encode, records))


def _records(view: View) -> dict[str, Any]:
    """What is known of sessions, trials and outcomes."""
    kinds = (RecordKind.SESSION, RecordKind.SPECULATION, RecordKind.OUTCOME)
    found = (record for kind in kinds for record in view.reader.records(kind, 1_000_000, 1_000))
    return {f"{record.kind} {record.key}": record.data for record in found}


async def told_by(store: Path) -> dict[str, Any]:
    """All that a reader may ask of a store's refs: values, commits, blame, history, differences."""
    async with open_repository(store, create=False) as repo:
        desk = Desk(repo)
        refs = (await repo.list_refs("", kind="all", limit=100, cursor="")).refs
        told: dict[str, Any] = {"refs": [(ref.name, ref.kind, ref.commit) for ref in refs]}
        for ref in refs:
            log = (await repo.log(ref.name, (), limit=100, cursor="")).commits
            told[ref.name] = (await desk.get("/", ref.name), log, await desk.blame("/", ref.name))
        for commit in (await repo.log("main", (), limit=3, cursor="")).commits:
            told[f"then {commit.id}"] = await desk.get("/", f"main@{commit.at}")
        for target in ("commits", "agents", "state"):
            asked = Query(target=target, ref="main" if target == "state" else "", limit=100)
            told[target] = (await repo.query(asked)).items
        told["records"] = await repo.read(_records)
        for ref in refs[1:4]:
            told[f"diff {ref.name}"] = await desk.diff(refs[0].name, ref.name)
        report = await repo.verify(silent)
        assert report.problems == ()
    return told
