"""Random histories, random redactions: ids, roots and heads stay, all else can be read, and work goes on."""

from __future__ import annotations

import os
from pathlib import Path
from random import Random
from typing import Any

import pytest

from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.nodes import SCALAR, Blob
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import format_path, parse_path
from asg_mcp.core.values import encode
from asg_mcp.evidence import verify as v
from asg_mcp.repo.records import operations_of, root_of
from asg_mcp.repo.redactplan import PROVED_CHARS_MIN, Plan, Target
from asg_mcp.repo.redactrules import Secret
from asg_mcp.repo.repository import Guard, MergeRequest, Repository
from asg_mcp.repo.requests import RevertRequest
from asg_mcp.repo.resolve import state_at
from asg_mcp.repo.view import View
from asg_mcp.repo.walk import walk
from asg_mcp.services.bundles import bundle, verifier_source
from asg_mcp.storage.base import Reader
from tests.evidence.histories import EPOCH, play
from tests.repo.redactdesk import holding, quiet
from tests.services.epochs_desk import open_epoch_desk

OWN = verifier_source()
OPERATOR = Author("local:op", "asg-mcp")


def facts(view: View) -> dict[str, Any]:
    """All that no redaction may change."""
    reader, hasher = view.reader, view.hasher
    seqs = range(1, reader.last_seq() + 1)
    rows = [reader.commit(seq) for seq in seqs]
    return {
        "ids": [row.id for row in rows],
        "roots": [root_of(reader, row, hasher) for row in rows],
        "leaves": [event.leaf for index in range(reader.events_count()) if (event := reader.event(index))],
        "refs": reader.refs("", "", 1_000),
        "objects": [[hasher.value_id(step.entry) for step in entries(view, seq)] for seq in seqs],
        "origins": [[step.entry.origin for step in entries(view, seq)] for seq in seqs],
    }


def entries(view: View, seq: int) -> list[Any]:
    state = state_at(view.reader, view.hasher, view.reader.commit(seq))
    return list(walk(state, 0, len(state.tree)))


def values(view: View) -> list[dict[str, Any]]:
    """Every scalar of every state that can be read, by its path."""
    out = []
    for seq in range(1, view.reader.last_seq() + 1):
        state = state_at(view.reader, view.hasher, view.reader.commit(seq))
        found = {}
        for step in entries(view, seq):
            if step.entry.kind == SCALAR and not (type(step.entry.value) is Blob and step.entry.value.erased):
                found[format_path(step.tokens)] = state.value(state.spot(step.tokens))
        out.append(found)
    return out


def scalars(reader: Reader) -> list[Any]:
    """The texts and numbers that were ever written."""
    found = {}
    for seq in range(1, reader.last_seq() + 1):
        for operation in operations_of(reader.commit(seq)):
            for entry in operation.entries or ():
                value = entry.value
                if type(value) is Blob:
                    value = None if value.erased else reader.blob(value.row)
                if entry.kind == SCALAR and not isinstance(value, bool) and value not in (None, ""):
                    found[encode(value)] = value
    return list(found.values())


async def chosen(repo: Repository, random: Random) -> Target:
    """Something to erase."""
    roll = random.random()
    if roll < 0.45:
        return Target("value", value=random.choice(await repo.read(lambda view: scalars(view.reader))))
    if roll < 0.75:
        paths = await repo.read(lambda view: [path for state in values(view) for path in state])
        tokens = parse_path(random.choice(paths))
        return Target("path", path=tokens[: random.randint(1, len(tokens))])
    ids, events = await repo.read(
        lambda view: (
            [view.reader.commit(seq).id.hex() for seq in range(1, view.reader.last_seq() + 1)],
            view.reader.events_count(),
        )
    )
    if roll < 0.9:
        return Target("commit", name=random.choice(ids))
    return Target("event", name=str(random.randrange(events)))


def erased(plan: Plan, before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    """What can be read no more is what the plan named, and nothing else changed."""
    gone = {encode(value) for value in plan.found.plain.values()}
    for old, new in zip(before, after, strict=False):
        assert all(encode(old[path]) == encode(value) for path, value in new.items())
        assert all(encode(old[path]) in gone for path in old.keys() - new.keys())


def gone_for_good(plan: Plan, stay: list[Any]) -> list[str]:
    """The texts that may be in no byte of a file any more."""
    if isinstance(plan.rule, Secret):
        return [] if plan.found.fixed else [text for text in plan.rule.needles if len(text) >= PROVED_CHARS_MIN]
    kept = {encode(value) for value in stay}
    # What only went from a path may stand in texts still; the longest values are in none.
    texts = [secret.needles[0] for secret in plan.texts_gone()]
    return [text for text in texts if len(text) > 1_000 and encode(text) not in kept]


def opened(data: bytes) -> dict[str, bytes]:
    """The files of a bundle."""
    return {name: bytes(content) for name, content in v.opened_archive(data).items()}


async def go_on(repo: Repository, random: Random) -> None:
    """Writes, merges and reverts on what is left."""
    who, why = Author("local:ana", "planner"), Intent(Category.REFINE, "It goes on.")
    head = (await repo.get("main", (), depth=1, max_bytes=10_000, cursor="")).commit
    await repo.branch(f"on-{random.random()}", "branch", "main", who)
    name = (await repo.list_refs("on-", kind="branch", limit=100, cursor="")).refs[-1].name
    for path in ("/a/1", "/b/2", "/lists/a"):
        await repo.commit(name, [Operation(Op.SET, parse_path(path), random.random())], why, who, Guard())
    await repo.commit("main", [Operation(Op.SET, parse_path("/zz"), random.random())], why, who, Guard())
    merged = await repo.merge(MergeRequest(name, "main", strategy="theirs"), why, who, Guard())
    assert merged.merged
    await repo.revert(RevertRequest("main", path=("a",), source=head.hex()), why, who, Guard())
    await repo.diff(head.hex(), "main", (), limit=100, cursor="")
    await repo.blame("main", (), depth=0, history=True, limit=20, cursor="")
    await repo.get("main", (), depth=None, max_bytes=1_000_000, cursor="")
    await repo.log("main", (), limit=100, cursor="")
    await repo.search("main", "a", mode="text", prefix=(), limit=100, cursor="")


@pytest.mark.parametrize("seed", range(int(os.environ.get("SEEDS", 6))))
async def test_only_what_was_named_is_gone_and_everything_goes_on(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    async with open_epoch_desk(tmp_path) as desk:
        repo = desk.repo
        await play(repo, random, 20)
        earlier = await bundle(repo, EPOCH)
        secrets: list[str] = []
        for _ in range(3):
            plan = await repo.redactions.find(await chosen(repo, random), quiet)
            if plan.found.nothing:
                continue
            before, seen = await repo.read(facts), await repo.read(values)
            receipt = await repo.redactions.erase(plan, OPERATOR, "At random.", "", (), quiet)
            finished = await repo.redactions.finish(plan, quiet)
            assert finished.left == {}
            after = await repo.read(facts)
            assert {**after, "leaves": after["leaves"][: receipt.index]} == before
            erased(plan, seen, await repo.read(values))
            secrets += gone_for_good(plan, await repo.read(lambda view: scalars(view.reader)))
            report = await repo.verify(quiet)
            assert report.ok, (plan.target, report.problems)
            await go_on(repo, random)
            report = await repo.verify(quiet)
            assert report.ok, (plan.target, report.problems)
        again = await bundle(repo, EPOCH)
    for made in (earlier, again):
        assert not v.verify(opened(made.data), v.parse_key(made.key), OWN).findings.violated
    assert [text[:40] for text in secrets if holding(tmp_path, text)] == []
