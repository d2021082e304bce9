"""A bundle is a function of the store alone, and shows a person, a machine and a stranger what happened."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import anyio
import pytest

from asg_mcp.core.commits import RecordedOperation
from asg_mcp.core.ids import Id
from asg_mcp.core.intents import Author, Category, Intent
from asg_mcp.core.nodes import SCALAR, Blob, Entry
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import Conflict, LimitExceeded, NotFound, StoreCorrupt
from asg_mcp.evidence import verify as v
from asg_mcp.repo import bundling
from asg_mcp.repo.denying import Denial
from asg_mcp.repo.records import operations_of
from asg_mcp.repo.repository import Guard, Repository
from asg_mcp.repo.requests import EpochRequest, OutcomeRequest, SessionRequest
from asg_mcp.services import bundles
from asg_mcp.services.bundles import bundle, verifier_source
from asg_mcp.services.epochs import create_epoch, seal_epoch
from asg_mcp.storage.base import CommitRow
from tests.evidence.forging import archived, items, rederived
from tests.evidence.histories import EPOCH, SUMMARY, played, random_bundle
from tests.evidence.independent import check_consistency, check_inclusion, open_note, tlog_proof, tree_head
from tests.services.epochs_desk import EpochDesk, open_epoch_desk

OWN = verifier_source()
ANA = Author("local:ana", "planner", "claude/1.0")
NIGHT = Author("oidc:bo@example.org", "night-watch")


def opened(data: bytes) -> dict[str, bytes]:
    return {name: bytes(content) for name, content in v.opened_archive(data).items()}


def checked(files: dict[str, bytes], key: str = "") -> v.Evidence:
    return v.verify(files, v.parse_key(key) if key else None, OWN)


async def story(repo: Repository) -> None:
    """A night's work: a goal, a step below it by a delegated agent, an outcome with a deviation, and work of others."""
    provenance: dict[str, Any] = {
        "authority": {"principal": "alice@ops", "scope": "nights"},
        "alternatives": [{"description": "Reboot it", "why_not": "errors would come back"}],
    }
    goal = Intent(
        Category.FIX,
        "Drain <node-3>",
        reasoning="Its disk reports errors.",
        confidence=0.73,
        intent_id="drain",
        provenance=provenance,
    )
    await create_epoch(repo, EpochRequest("night", "The 2 AM incident.", ("drain",)), ANA)
    await repo.commit("main", [Operation(Op.SET, parse_path("/node-3/status"), "draining")], goal, ANA, Guard())
    request = SessionRequest(agent=NIGHT.agent)
    session = await repo.seen_by(NIGHT.principal).open_session(request, NIGHT)
    step = Intent(Category.REFINE, "Move\u202e the pods", parent_intent="drain")
    bound = replace(NIGHT, session=session.handle)
    await repo.commit("main", [Operation(Op.SET, parse_path("/node-3/pods"), [1, {"a": None}])], step, bound, Guard())
    other = Intent(Category.REFINE, "SECRET of somebody else", reasoning="none of the epoch's business")
    await repo.commit("main", [Operation(Op.SET, parse_path("/other"), "SECRET value")], other, NIGHT, Guard())
    await repo.resolve(
        OutcomeRequest(
            intent="drain",
            outcome="partially_fulfilled",
            summary="One pod stayed.",
            deviations=({"path": "/node-3/pods", "expected": 0, "actual": 1},),
        ),
        ANA,
    )
    await seal_epoch(repo, "night", "Drained but for one.", ANA)


# --- the same store, the same bytes ---------------------------------------------------


async def test_the_same_store_gives_the_same_bytes_again_later_and_elsewhere(tmp_path: Path) -> None:
    async with played(tmp_path, 3) as repo:
        first = await bundle(repo, EPOCH)
        assert (await bundle(repo, EPOCH)).data == first.data
        intent = Intent(Category.REFINE, "Later work.", parent_intent="goal")
        await repo.commit("main", [Operation(Op.SET, parse_path("/later"), 1)], intent, ANA, Guard())
        assert (await bundle(repo, EPOCH)).data == first.data
    async with open_epoch_desk(tmp_path) as desk:
        assert (await bundle(desk.repo, EPOCH)).data == first.data
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.copy(tmp_path / "state.db", elsewhere / "state.db")  # without the key: what is signed stays signed
    script = f"""
import anyio, sys
from pathlib import Path
from asg_mcp.services.bundles import bundle
from tests.services.epochs_desk import EpochDesk, open_epoch_desk
async def main():
    async with open_epoch_desk(Path({str(elsewhere)!r})) as desk:
        sys.stdout.buffer.write((await bundle(desk.repo, {EPOCH!r})).data)
anyio.run(main)
"""
    environment = {**os.environ, "PYTHONHASHSEED": "77", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    command = [sys.executable, "-c", script]
    ran = await anyio.run_process(command, env=environment, cwd=Path(__file__).parents[2])
    assert ran.stdout == first.data


async def test_thirty_random_histories_verify_with_all_proved_that_can_be(tmp_path: Path) -> None:
    for seed in range(100, 130):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = await random_bundle(folder, seed)
        ev = checked(opened(made.data), made.key)
        assert not ev.findings.violated
        unproved = {name for name in v.PROPERTIES if ev.findings.status(name) == v.NOT_PROVED}
        assert unproved == {"P7", "P8", "P10"} == set(made.not_proved)


async def test_only_a_sealed_epoch_is_exported_and_only_one_that_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1")
        with pytest.raises(Conflict, match="still open"):
            await bundle(desk.repo, "e1")
        with pytest.raises(NotFound):
            await bundle(desk.repo, "e2")
        await desk.commit()
        await desk.seal("e1")
        with pytest.raises(LimitExceeded, match="handed out here"):
            await bundle(desk.repo, "e1", bytes_max=1_000)
        monkeypatch.setattr(bundling, "log_json", lambda *given: v.log_json("e0", *given[1:]))
        with pytest.raises(StoreCorrupt, match="does not verify: P"):
            await bundle(desk.repo, "e1")


# --- what it shows -----------------------------------------------------------------------


async def test_nothing_of_others_is_disclosed_but_their_headers(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await story(desk.repo)
        made = await bundle(desk.repo, "night")
        files = opened(made.data)
        assert made.commits == 2
        assert len(items(files["commits.cborseq"])) == 3
        assert b"SECRET" not in made.data
        assert b"none of the epoch" not in made.data
        class_key = desk.store.hasher.value_ids.class_key
        assert class_key not in made.data
        assert class_key.hex().encode() not in made.data


async def test_what_was_tried_in_a_speculation_is_no_member_and_is_not_disclosed(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1")
        speculations = desk.repo.seen_by(ANA.principal).speculations
        tried = await speculations.open("main", "TRIED label", ANA)
        await speculations.modify(tried.handle, [Operation(Op.SET, parse_path("/t"), "TRIED value")], ANA)
        await speculations.discard(tried.handle, "TRIED lesson", ANA)
        await desk.commit()
        made = await bundle_of(desk, "e1")
    ev = checked(opened(made.data), made.key)
    assert (len(ev.commits), len(ev.members), made.commits) == (2, 1, 1)
    assert b"TRIED" not in made.data
    assert not ev.findings.violated


class _Page(HTMLParser):
    """What a page would load or run."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [f"{name}={value}" for name, value in attrs if name in ("src", "href", "style", "srcset")]
        self.loads += [name for name, _ in attrs if name.startswith("on")]


async def test_the_report_tells_a_person_all_of_it_and_loads_nothing(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await story(desk.repo)
        files = opened((await bundle(desk.repo, "night")).data)
    page = files["report.html"].decode()
    told = (
        *("The 2 AM incident.", "Drained but for one.", "Drain &lt;node-3&gt;", "Its disk reports errors.", "0.73"),
        *("alice@ops", "Reboot it", "local:ana", "planner", "claude/1.0", "night-watch", "partially_fulfilled"),
        *(
            "One pod stayed.",
            "deviation",
            "/node-3/pods",
            "[1, {&quot;a&quot;: null}]",
            "What the proofs show",
            "verify.py",
        ),
    )
    for text in told:
        assert text in page, text
    assert "\u202e" not in page
    assert "Move\\u202e the pods" in page
    parser = _Page()
    parser.feed(page)
    assert not parser.loads
    assert not {"script", "link", "img", "iframe", "object", "form", "a"} & set(parser.tags)
    assert "default-src 'none'" in page
    # The step stands below the goal in the tree of intents.
    tree = page[page.index("tree of intents") : page.index("Deviations")]
    assert re.search(r"<li>Fix.*?<ul>\s*<li>Refine", tree, re.S)


AUDIT_FIELDS = {
    *("record_id", "timestamp", "agent_id", "agent_version", "session_id", "action_type", "action_detail", "outcome"),
    *("trust_level", "parent_record_id", "prev_hash", "record_phase"),
}
"""What each record of draft-sharif-agent-audit-trail-06 must have."""
AUDIT_SAYS = {
    "action_type": {"tool_call", "tool_response", "decision", "delegation", "escalation", "error", "lifecycle"},
    "outcome": {"success", "failure", "timeout", "denied", "escalated"},
    "trust_level": {"L0", "L1", "L2", "L3", "L4"},
    "record_phase": {"pre_execution", "post_execution", "concurrent"},
}
RANDOM_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def audited(data: bytes) -> list[dict[str, Any]]:
    """The records of an audit trail, whose form and chain hold as the draft says."""
    records: list[dict[str, Any]] = []
    before: tuple[str | None, str | None] = (None, None)
    for line in data.decode().splitlines():
        record = json.loads(line)
        assert set(record) == {*AUDIT_FIELDS, "recording_component"}
        for name, known in AUDIT_SAYS.items():
            assert record[name] in known
        assert (record["parent_record_id"], record["prev_hash"]) == before
        assert v.canonical_json(record) == line
        before = record["record_id"], sha256(line.encode()).hexdigest()
        assert RANDOM_UUID.fullmatch(record["record_id"])
        assert RANDOM_UUID.fullmatch(record["session_id"])
        assert re.fullmatch(r"urn:agent:[\w.~%-]+", record["agent_id"])
        assert record["action_detail"]["event" if record["action_type"] == "lifecycle" else "decision_type"]
        records.append(record)
    assert len({record["record_id"] for record in records}) == len(records)
    assert len({record["session_id"] for record in records}) == 1
    first = records[0]
    assert (first["action_type"], first["record_phase"]) == ("lifecycle", "concurrent")
    assert first["action_detail"]["event"] == "session_start"
    assert first["action_detail"]["draft"] == "draft-sharif-agent-audit-trail-06"
    return records


async def test_the_audit_trail_has_the_fields_of_the_draft_and_its_chain_holds(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await story(desk.repo)
        records = audited(opened((await bundle(desk.repo, "night")).data)["audit.jsonl"])
    changes = [record for record in records if record["action_detail"].get("decision_type") == "state_change"]
    told = [record["action_detail"] for record in changes]
    assert [record["agent_id"] for record in changes] == ["urn:agent:planner", "urn:agent:night-watch"]
    assert [detail["agent"] for detail in told] == ["planner", "night-watch"]
    assert [detail["serves_record_id"] for detail in told] == [None, changes[0]["record_id"]]
    assert told[0]["confidence"] == "0.73"
    phases = {record["action_detail"].get("event", "a change"): record["record_phase"] for record in records}
    assert phases["a change"] == phases["epoch_sealed"] == "concurrent"
    assert phases["outcome"] == "post_execution"


async def test_the_audit_trail_of_random_histories_is_one_chain_and_tells_every_member(tmp_path: Path) -> None:
    for seed in range(6):
        folder = tmp_path / str(seed)
        folder.mkdir()
        made = await random_bundle(folder, seed)
        records = audited(opened(made.data)["audit.jsonl"])
        changes = [one for one in records if one["action_detail"].get("decision_type") == "state_change"]
        assert len(changes) == made.commits
        ids = {record["record_id"] for record in records}
        for record in records[1:]:
            assert record["action_detail"]["serves_record_id"] in ids - {record["record_id"]} | {None}


async def test_what_was_refused_was_recorded_before_it_could_be_done(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("e1")
        await desk.repo.deny(Denial("asg_set", "branch", verb="write", ref="main"), ANA)
        made = await bundle_of(desk, "e1")
    [refused] = [one for one in audited(opened(made.data)["audit.jsonl"]) if one["outcome"] == "denied"]
    assert (refused["action_type"], refused["record_phase"]) == ("decision", "pre_execution")


async def test_a_bundle_with_an_earlier_verifier_is_read_in_the_form_of_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = await random_bundle(tmp_path, 5)
    program = b"an earlier verifier"
    files = {**opened(made.data), "verify.py": program}
    assert checked(rederived(files), made.key).findings.violated.keys() == {"P14"}
    monkeypatch.setattr(v, "EARLIER_VERIFIERS", (sha256(program).hexdigest(),))
    assert "audit.jsonl is not what the evidence gives" in checked(files, made.key).findings.reasons("P14")
    earlier = rederived(files)
    found = checked(earlier, made.key).findings
    assert (found.violated, found.status("P14")) == ({}, v.NOT_PROVED)
    assert found.reasons("P14") == ["the bundle has an earlier published verify.py"]
    first = json.loads(earlier["audit.jsonl"].splitlines()[0])
    assert set(first) == AUDIT_FIELDS - {"record_phase"}
    assert first["prev_hash"] == "0" * 64


async def test_the_manifest_names_every_file_with_its_size_and_hash(tmp_path: Path) -> None:
    files = opened((await random_bundle(tmp_path, 5)).data)
    manifest = json.loads(files["manifest.json"])
    assert {entry["name"] for entry in manifest["files"]} == {*v.NAMES} - {"manifest.json"}
    for entry in manifest["files"]:
        data = files[entry["name"]]
        assert (entry["bytes"], entry["sha256"]) == (len(data), sha256(data).hexdigest())
    assert [entry["id"] for entry in manifest["properties"]] == [f"P{number}" for number in range(1, 15)]
    assert files["verify.py"] == OWN


# --- what is withheld -----------------------------------------------------------------------


def without_secrets(files: dict[str, bytes]) -> dict[str, bytes]:
    """The same bundle with the first member's text, its first value, and the body of an outcome erased."""
    ev = checked(files)
    member = ev.members[0]
    start = v.Cbor(files["commits.cborseq"], "commits")
    start.at = member.offset
    start.item()
    text_at = start.at
    start.item()
    commits = files["commits.cborseq"][:text_at] + b"\xf6" + files["commits.cborseq"][start.at :]
    values = items(files["values.cborseq"])
    values[0] = b"\xd8\x2a\x58\x25\0" + bytes(next(iter(ev.values)))
    outcome = next(event for event in ev.events if event.kind == "outcome")
    bodies = []
    for item in items(files["bodies.cborseq"]):
        cbor = v.Cbor(item, "body")
        cbor.items(2)
        index = cbor.item()
        bodies.append(item[: cbor.at] + b"\xf6" if index == outcome.index else item)
    erased = {"commits.cborseq": commits, "values.cborseq": b"".join(values), "bodies.cborseq": b"".join(bodies)}
    return rederived({**files, **erased})


async def test_what_was_erased_is_withheld_and_everything_else_still_holds(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await story(desk.repo)
        made = await bundle(desk.repo, "night")
    files = without_secrets(opened(made.data))
    ev = checked(opened(archived(files)), made.key)
    assert not ev.findings.violated
    assert ev.findings.status("P11") == v.NOT_PROVED
    assert ev.findings.status("P1") == ev.findings.status("P4") == ev.findings.status("P12") == v.PROVED
    assert len(ev.withheld) == 3
    assert all("withheld" in reason for reason in ev.findings.reasons("P11"))
    page = files["report.html"].decode()
    assert "withheld: the text was erased" in page
    assert "« withheld »" in page
    assert "Its disk reports errors." not in page
    assert b'"intent_text":"withheld"' in files["audit.jsonl"]
    assert b"Its disk" not in archived(files)


async def test_a_store_that_erased_texts_and_values_exports_them_as_withheld(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def erased_operations(row: CommitRow) -> Sequence[RecordedOperation]:
        return [replace(op, entries=_erased(op.entries or ())) for op in kept(row)]

    def _erased(entries: Sequence[Entry]) -> list[Entry]:
        hasher = desk.store.hasher
        out = []
        for entry in entries:
            value_id = hasher.value_id(entry)
            gone = entry if value_id is None else Entry(entry.key, SCALAR, Blob(value_id, 0), entry.origin)
            out.append(gone)
        return out

    kept = operations_of
    async with open_epoch_desk(tmp_path) as desk:
        await story(desk.repo)
        monkeypatch.setattr(bundling, "operations_of", erased_operations)
        made = await bundle(desk.repo, "night")
        assert made.withheld == 3
        assert b"draining" not in made.data
        ev = checked(opened(made.data), made.key)
        assert not ev.findings.violated
        assert {ev.values[value] for value in ev.values} == {-1}


def test_a_commitment_without_its_text_is_exported_as_null() -> None:
    assert bundling._salted("0" * 32, Id.from_digest(bytes(32))) == b"\xf6"
    assert bundling._salted("0" * 32, {"a": 1}) != b"\xf6"


# --- by programs that know nothing of this one --------------------------------------------------


async def test_a_note_reader_and_a_log_checker_of_their_own_accept_checkpoints_and_proofs(tmp_path: Path) -> None:
    for seed in (1, 2, 9):
        folder = tmp_path / str(seed)
        folder.mkdir()
        files = opened((await random_bundle(folder, seed)).data)
        key = files["key.txt"].decode().strip()
        origin, size, root = tree_head(open_note(files["checkpoint-seal.txt"].decode(), key))
        first_origin, old_size, old_root = tree_head(open_note(files["checkpoint-open.txt"].decode(), key))
        assert origin == first_origin == key.split("+")[0]
        proofs = json.loads(files["proofs.json"])
        consistency = [b64decode(text) for text in proofs["consistency"]]
        assert check_consistency(old_size, size, old_root, root, consistency)
        assert not check_consistency(old_size, size, old_root, sha256(root).digest(), consistency)
        headers = items(files["events.cborseq"])
        first = json.loads(files["log.json"])["first"]
        for entry in proofs["inclusion"]:
            leaf = sha256(b"\0" + headers[entry["index"] - first]).digest()
            path = [b64decode(text) for text in entry["proof"]]
            assert check_inclusion(leaf, entry["index"], size, path, root)
            assert not check_inclusion(leaf, entry["index"] ^ 1, size, path, root)
        index, path, checkpoint = tlog_proof(files["seal.tlog-proof"].decode())
        assert checkpoint == files["checkpoint-seal.txt"].decode()
        assert index == size - 1
        assert check_inclusion(sha256(b"\0" + headers[-1]).digest(), index, size, path, root)


# --- the command ---------------------------------------------------------------------------------


async def test_exit_codes_say_what_was_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = await random_bundle(tmp_path, 4)
    file, keys = tmp_path / "b.zip", tmp_path / "key.txt"
    file.write_bytes(made.data)
    keys.write_text(made.key + "\n", encoding="utf-8")
    assert v.main([str(file)]) == v.OK
    assert "P9   authenticity          not proved" in capsys.readouterr().out
    assert v.main([str(file), "--key", str(keys)]) == v.OK
    assert "P9   authenticity          proved" in capsys.readouterr().out
    assert v.main([str(file), "--key", made.key, "--strict"]) == v.UNPROVED
    assert v.main([str(file), "--key", "nonsense"]) == v.USAGE
    assert v.main([str(tmp_path / "missing.zip")]) == v.UNREADABLE
    other = await random_bundle_elsewhere(tmp_path)
    capsys.readouterr()
    assert v.main([str(file), "--key", other.key, "--json"]) == v.BROKEN
    verdict = json.loads(capsys.readouterr().out)
    assert [one["id"] for one in verdict["properties"] if one["status"] == "violated"] == ["P9"]
    file.write_bytes(made.data[:-1])
    assert v.main([str(file), "--json"]) == v.BROKEN
    assert json.loads(capsys.readouterr().out)["ok"] is False


async def test_checkpoints_that_others_kept_must_be_of_the_same_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        await desk.open("early")
        await desk.commit()
        early = await bundle_of(desk, "early")
        await desk.commit()
        await desk.open("e1")
        await desk.commit()
        made = await bundle_of(desk, "e1")
        await desk.open("late", since="2001-01-01")
        late = await bundle_of(desk, "late")
        origin, size = desk.keys.key(made.key.split("+")[0]).name, made.size
        lie = str(desk.keys.sign(origin, f"{origin}\n{size}\n{v.b64(bytes(32))}\n")).encode()
    kept = {name: tmp_path / name for name in ("early", "open", "seal", "later", "lie", "other")}
    kept["early"].write_bytes(opened(early.data)["checkpoint-seal.txt"])
    kept["open"].write_bytes(opened(made.data)["checkpoint-open.txt"])
    kept["seal"].write_bytes(opened(made.data)["checkpoint-seal.txt"])
    kept["later"].write_bytes(opened(late.data)["checkpoint-seal.txt"])
    kept["lie"].write_bytes(lie)
    kept["other"].write_bytes(opened((await random_bundle_elsewhere(tmp_path)).data)["checkpoint-seal.txt"])
    file, whole = tmp_path / "b.zip", tmp_path / "late.zip"
    file.write_bytes(made.data)
    whole.write_bytes(late.data)

    def found(bundle_file: Path, *names: str, key: str = made.key) -> tuple[str, str]:
        seen = (part for name in names for part in ("--seen", str(kept[name])))
        v.main([str(bundle_file), "--json", *(("--key", key) if key else ()), *seen])
        [told] = [one for one in json.loads(capsys.readouterr().out)["properties"] if one["id"] == "P7"]
        return told["status"], " ".join(told["reasons"])

    assert found(file)[0] == "not proved"
    assert found(whole, "early", "seal")[0] == "proved"  # it has every event from the first on
    assert found(file, "seal", "lie")[0] == found(whole, "early", "lie")[0] == "violated"
    for name in ("early", "later", "other"):
        assert found(file, name)[0] == "not proved"
    assert v.main([str(file), "--seen", str(tmp_path / "missing")]) == v.USAGE
    # Whoever made the bundle has its own checkpoints, and may have signed any with a key of his own.
    for name in ("open", "seal"):
        status, why = found(file, name)
        assert (status, "in the bundle itself" in why) == ("not proved", True)
    assert found(whole, "early", "later")[0] == "proved"  # one of its own takes nothing away
    status, why = found(whole, "early", "seal", key="")
    assert (status, "not known without --key" in why) == ("not proved", True)
    assert found(file, "seal", "lie", key="")[0] == "violated"  # two roots for one size, whosever key that is


async def bundle_of(desk: EpochDesk, epoch: str) -> bundles.Bundle:
    await desk.seal(epoch)
    return await bundle(desk.repo, epoch)


async def random_bundle_elsewhere(folder: Path) -> bundles.Bundle:
    (folder / "elsewhere").mkdir()
    return await random_bundle(folder / "elsewhere", 4)


async def test_hostile_names_do_not_reach_the_terminal_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = await random_bundle(tmp_path, 4)
    files = opened(made.data)
    told = json.loads(files["log.json"])
    said = "\x1b[2J\u202e\ud800"
    files["log.json"] = v.log_json(said, told["after"], told["first"], told["opened"], told["size"], told["frontier"])
    file = tmp_path / "b.zip"
    file.write_bytes(archived(files))
    assert v.main([str(file)]) == v.BROKEN
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert SUMMARY not in out


# --- trials --------------------------------------------------------------------------


async def test_what_was_tried_in_a_speculation_is_no_member_and_none_is_missed(tmp_path: Path) -> None:
    async with open_epoch_desk(tmp_path) as desk:
        session = (await desk.repo.open_session(SessionRequest(NIGHT.agent), NIGHT)).handle
        bound = replace(NIGHT, session=session)
        for epoch, roots in (("all", ()), ("of-session", (session,))):
            await create_epoch(desk.repo, EpochRequest(epoch, "Trials.", roots), ANA)
        trial = await desk.repo.speculations.open("main", "try", bound)
        change = [Operation(Op.SET, parse_path("/t"), 1)]
        tried = (await desk.repo.speculations.modify(trial.handle, change, bound)).head.hex()
        await desk.repo.branch("public", "branch", tried, NIGHT)
        held = [await desk.commit("", tried), await desk.commit("", session)]
        for epoch, members in (("all", held), ("of-session", held[1:])):
            await seal_epoch(desk.repo, epoch, "Done.", ANA)
            found = checked(opened((await bundle(desk.repo, epoch)).data))
            assert found.findings.violated == {}
            assert [member.id.digits for member in found.members] == members
