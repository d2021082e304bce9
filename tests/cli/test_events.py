"""`asg-mcp events` tells what happened to a store, whoever did it and whatever was taken out of it since."""

from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import ESCAPE, Run


def erase(run: Run, store: Path, commit: str) -> None:
    done = run(
        "redact", "commit", commit, "--reason", "a name was in it", "--class", "gdpr", "--yes", "--db", str(store)
    )
    assert done.code == 0, done.err


def last_commit(run: Run, store: Path) -> str:
    return str(run("log", "-n", "1", "--json", "--db", str(store)).document["commits"][0]["commit"])


def test_the_newest_event_comes_first_with_who_and_what(run: Run, store: Path) -> None:
    ran = run("events", "--db", str(store))
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert [int(line.split()[0]) for line in lines] == list(reversed(range(len(lines))))
    assert "commit" in lines[0]
    assert "main" in lines[0]
    assert last_commit(run, store) in lines[0]
    assert "local:tester" in lines[0]
    assert "store_created" in lines[-1]


def test_a_redaction_is_shown_with_its_reason_its_class_and_what_went(run: Run, store: Path) -> None:
    commit = last_commit(run, store)
    erase(run, store, commit)
    ran = run("events", "--kind", "redacted", "--db", str(store))
    for told in ("redacted", "a name was in it", "gdpr", commit):
        assert told in ran.out
    assert "  values" not in ran.out, "what is empty is left out"
    document = run("events", "--kind", "redacted", "--json", "--db", str(store)).document
    [event] = document["events"]
    assert (event["kind"], event["says"]["reason"], event["says"]["label"]) == ("redacted", "a name was in it", "gdpr")
    assert document["more"] is False


def test_pages_follow_each_other_without_a_gap(run: Run, store: Path) -> None:
    whole = run("events", "-n", "0", "--json", "--db", str(store)).document["events"]
    found, before = [], str(len(whole))
    while True:
        page = run("events", "-n", "2", "--before", before, "--json", "--db", str(store)).document
        found += page["events"]
        if not page["more"]:
            break
        before = str(page["events"][-1]["index"])
    assert found == whole
    assert "--before 3 goes on" in run("events", "-n", "2", "--before", "5", "--db", str(store)).out


def test_several_kinds_can_be_asked_for_and_an_unknown_one_names_those_there_are(run: Run, store: Path) -> None:
    kinds = [
        event["kind"]
        for event in run(
            "events", "--kind", "ref_created", "--kind", "store_created", "--json", "--db", str(store)
        ).document["events"]
    ]
    assert kinds == ["ref_created", "store_created"]
    wrong = run("events", "--kind", "erased", "--db", str(store))
    assert wrong.code == 2
    assert "redacted" in wrong.err


def test_a_kind_that_never_happened_has_no_events(run: Run, store: Path) -> None:
    ran = run("events", "--kind", "collected", "--json", "--db", str(store))
    assert (ran.code, ran.document) == (0, {"events": [], "more": False})


def test_an_event_whose_body_was_erased_says_that_and_what_is_kept(run: Run, store: Path) -> None:
    erase(run, store, last_commit(run, store))
    index = str(run("events", "--kind", "redacted", "--json", "--db", str(store)).document["events"][0]["index"])
    done = run("redact", "event", index, "--reason", "the reason named somebody", "--yes", "--db", str(store))
    assert done.code == 0, done.err
    ran = run("events", "-n", "2", "--db", str(store))
    assert "what it said was erased" in ran.out
    assert "a name was in it" not in ran.out


def test_no_text_of_the_log_can_steer_the_terminal(run: Run, store: Path) -> None:
    done = run("redact", "commit", last_commit(run, store), "--reason", f"x{ESCAPE}", "--yes", "--db", str(store))
    assert done.code == 0, done.err
    assert ESCAPE not in run("events", "--db", str(store)).out
