"""Repeated requests that bring sealed values: known by what was asked, and no digest is kept that a guess could hit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from asg_mcp.app import destroy_class, make_class, open_repository
from asg_mcp.core.classes import ValueClass, ValueClasses
from asg_mcp.core.commitments import CLASS_KEY_BYTES, ValueIdMaker
from asg_mcp.core.intents import Category, Intent
from asg_mcp.core.operations import Op, Operation
from asg_mcp.core.paths import parse_path
from asg_mcp.errors import RequestReused, Withheld
from asg_mcp.repo.guards import Guard
from asg_mcp.repo.repeats import KIND_BYTES, Asked, fingerprint, forgotten
from asg_mcp.repo.requests import PromoteRequest, Resolution
from tests.repo.desk import Desk, settle
from tests.repo.stores import ALICE, operation

PATIENTS, STAFF = ValueClass("patients", ("patients",)), ValueClass("staff", ("people", "staff"))


class Keys:
    """A vault in memory."""

    def __init__(self, *names: str) -> None:
        self.keys = {name: ValueIdMaker(name.encode().ljust(CLASS_KEY_BYTES)) for name in names}

    def value_ids(self, name: str) -> ValueIdMaker:
        if name not in self.keys:
            raise Withheld("gone")
        return self.keys[name]

    def seal(self, name: str, plain: bytes) -> bytes:
        raise NotImplementedError

    def open(self, name: str, sealed: bytes) -> bytes:
        raise NotImplementedError


def classes_of(*groups: ValueClass, keys: tuple[str, ...] = ("patients", "staff")) -> ValueClasses:
    classes = ValueClasses()
    classes.load(groups, Keys(*keys))
    return classes


def asked(classes: ValueClasses, *parts: Any, kind: str = "commit", ref: str = "main") -> Asked:
    return Asked(classes, kind, (ref, parts))


def write(path: str, value: Any) -> Operation:
    return operation(Op.SET, path, value)


def test_what_is_kept_of_a_sealed_value_cannot_be_made_from_a_guess() -> None:
    classes = classes_of(PATIENTS, STAFF)
    yes, no = (asked(classes, write("/patients/7/sick", value)) for value in (True, False))
    assert yes.kept()[:16] == no.kept()[:16]
    assert yes.kept() != no.kept()
    assert yes.is_same(yes.kept())
    assert not yes.is_same(no.kept())
    other = ValueClasses()
    other.load([PATIENTS], Keys("patients"))
    other.value_ids("patients").rekey(b"k" * CLASS_KEY_BYTES, b"")
    assert asked(other, write("/patients/7/sick", True)).kept()[16:] != yes.kept()[16:]


@pytest.mark.parametrize(
    ("part", "sealed"),
    [
        (write("/patients", 1), True),
        (write("/patients/7", {"a": 1}), True),
        (write("/", {"patients": {}, "x": 1}), True),
        (write("/", {"x": 1}), False),
        (write("/people", {"staff": 1}), True),
        (write("/people", {"guests": 1}), False),
        (write("/people", [1]), False),
        (write("/peoples/staff", 1), False),
        (operation(Op.TEST, "/people/staff/a", 1), True),
        (operation(Op.DELETE, "/patients/7"), False),
        (operation(Op.MOVE, "/patients/7", source="/patients/8"), False),
        (Resolution(("patients", "7"), "value", None), True),
        (Resolution(("patients", "7"), "theirs"), False),
    ],
)
def test_only_a_request_that_brings_a_value_below_a_prefix_is_kept_under_its_key(part: Any, sealed: bool) -> None:
    request = asked(classes_of(PATIENTS, STAFF), part)
    assert (request.kept() == fingerprint("commit", "main", (part,))) is not sealed
    assert request.is_same(request.kept())


def test_a_request_from_before_the_prefix_is_known_by_what_it_asked() -> None:
    part = write("/", {"a": 1})
    before = asked(ValueClasses(), part).kept()
    assert asked(classes_of(PATIENTS), part).is_same(before)
    assert not asked(classes_of(PATIENTS), write("/", {"a": 2})).is_same(before)


def test_prefixes_that_come_later_change_nothing_in_what_was_kept() -> None:
    part = write("/", {"patients": 1, "people": {"staff": 2}})
    kept = asked(classes_of(PATIENTS), part).kept()
    assert asked(classes_of(PATIENTS, STAFF), part).is_same(kept)
    both = asked(classes_of(PATIENTS, STAFF), part).kept()
    assert not asked(classes_of(PATIENTS), part).is_same(both)


def test_without_the_key_all_that_is_left_must_be_equal() -> None:
    whole = classes_of(PATIENTS, STAFF)
    parts = (write("/patients/7", "a"), write("/people/staff/1", "b"), write("/open", "c"))
    kept = asked(whole, *parts).kept()
    for gone in (
        classes_of(PATIENTS, STAFF, keys=("staff",)),
        classes_of(ValueClass("patients", ("patients",), destroyed=True), STAFF),
    ):
        assert asked(gone, *parts).is_same(kept)
        assert not asked(gone, *parts[:2], write("/open", "d")).is_same(kept)
        assert not asked(gone, *parts[:2]).is_same(kept)
        assert not asked(gone, write("/patients/8", "a"), *parts[1:]).is_same(kept)
        assert not asked(gone, *parts, ref="other").is_same(kept)
        assert not asked(gone, *parts, kind="spec_modify").is_same(kept)


def test_what_is_forgotten_leaves_the_kind_and_the_ref() -> None:
    part = write("/open", 1)
    left = forgotten(fingerprint("commit", "main", (part,)))
    assert len(left) == KIND_BYTES
    for classes in (ValueClasses(), classes_of(PATIENTS)):
        assert asked(classes, write("/open", 2)).is_same(left)
        assert not asked(classes, part, ref="other").is_same(left)
        assert not asked(classes, part, kind="merge").is_same(left)
        assert not asked(classes, part).is_same(b"")


# --- in a store -------------------------------------------------------------------


@pytest.fixture
async def place(tmp_path: Path) -> Path:
    path = tmp_path / "state.db"
    async with open_repository(path) as repository:
        desk = Desk(repository)
        await desk.set("/ward", {"beds": 4})
        rules = {"additionalProperties": {"properties": {"sick": {"type": "string"}}}}
        await desk.set("/__schema__", {"x-asg-validate": "warn", "properties": {"patients": rules}})
    await make_class(path, "patients", parse_path("/patients"), ALICE)
    async with open_repository(path) as repository:
        await Desk(repository).set("/patients/7", {"sick": "?", "at": "home"})
    return path


Call = Callable[[Any], Awaitable[Any]]
RETRY = Guard(request_id="r")
WHY = Intent(Category.REFINE, "Tried.")


async def writing(desk: Desk) -> Call:
    return lambda value: desk.set("/patients/7/sick", value, request_id="r")


async def trying(desk: Desk) -> Call:
    handle = (await desk.repo.speculations.open("main", "trial", ALICE)).handle
    return lambda value: desk.repo.speculations.modify(handle, [write("/patients/7/sick", value)], ALICE, "r")


async def merging(desk: Desk) -> Call:
    await desk.branch("b")
    await desk.set("/patients/7/sick", 1, ref="b")
    await desk.set("/patients/7/sick", 2)
    return lambda value: desk.merge("b", resolutions=(settle("/patients/7/sick", "value", value),), guard=RETRY)


async def promoting(desk: Desk) -> Call:
    handle = (await desk.repo.speculations.open("main", "trial", ALICE)).handle
    await desk.repo.speculations.modify(handle, [write("/patients/7/sick", 1)], ALICE)
    await desk.set("/patients/7/sick", 2)

    def call(value: Any) -> Awaitable[Any]:
        request = PromoteRequest(handle, resolutions=(settle("/patients/7/sick", "value", value),))
        return desk.repo.speculations.commit(request, WHY, ALICE, RETRY)

    return call


async def reverting(desk: Desk) -> Call:
    await desk.set("/patients/7/sick", 1)
    undone = (await desk.head()).id.hex()
    await desk.set("/patients/7/sick", 2)
    return lambda value: desk.revert(undone, resolutions=(settle("/patients/7/sick", "value", value),), guard=RETRY)


def result_of(done: Any) -> str:
    """The commit that an answer names."""
    return str(done.head if hasattr(done, "head") else done.commit)


async def fingerprints(desk: Desk) -> list[bytes]:
    with desk.repo._store.reading() as reader:
        return [reply.fingerprint for _, reply in reader.replies(b"", 10)]


async def answers(desk: Desk) -> str:
    with desk.repo._store.reading() as reader:
        return repr([reply.answer for _, reply in reader.replies(b"", 10)])


@pytest.mark.parametrize("begin", [writing, trying, merging, promoting, reverting])
async def test_a_repeat_is_answered_and_another_request_is_refused_and_nothing_to_guess_from_is_kept(
    place: Path, begin: Callable[[Desk], Awaitable[Call]]
) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        call = await begin(desk)
        first = await call(7)
        assert not first.replayed
        assert [warning.message for warning in first.warnings] == ["7 is not of type 'string'"]
        again = await call(7)
        assert again.replayed
        assert [(item.path, item.message) for item in again.warnings] == [
            (("patients", "7", "sick"), "(not kept: below a sensitive prefix)")
        ]
        assert (again.changed, result_of(again)) == (first.changed, result_of(first))
        with pytest.raises(RequestReused):
            await call(8)
        [kept] = await fingerprints(desk)
        assert len(kept) == 29
        assert "is not of type" not in await answers(desk)
    await destroy_class(place, "patients", "over", ALICE)
    async with open_repository(place) as repository:
        desk = Desk(repository)
        with pytest.raises(RequestReused):
            await desk.set("/ward/beds", 5, request_id="r")
        assert await desk.value("/ward/beds") == 4


async def test_after_the_key_is_gone_a_repeat_is_still_answered_and_another_write_refused(place: Path) -> None:
    async with open_repository(place) as repository:
        made = await Desk(repository).set("/patients/7/sick", "yes", request_id="r")
    await destroy_class(place, "patients", "over", ALICE)
    async with open_repository(place) as repository:
        desk = Desk(repository)
        again = await desk.set("/patients/7/sick", "yes", request_id="r")
        assert (again.commit, again.replayed) == (made.commit, True)
        for path, value in (("/patients/8/sick", "yes"), ("/ward/beds", 5)):
            with pytest.raises(RequestReused):
                await desk.set(path, value, request_id="r")
        with pytest.raises(Withheld):
            await desk.set("/patients/7/sick", "no", request_id="r2")


async def test_a_second_write_under_a_used_id_is_never_dropped_without_a_word(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await desk.set("/patients/7/sick", "yes", request_id="r")
        with pytest.raises(RequestReused):
            await desk.set("/patients/8/dose", 5, request_id="r")


async def test_a_write_of_the_root_is_repeated_though_a_prefix_came_in_between(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    async with open_repository(path) as repository:
        desk = Desk(repository)
        made = await desk.set("/", {"a": 1}, request_id="r")
        await make_class(path, "patients", parse_path("/patients"), ALICE)
        again = await desk.set("/", {"a": 1}, request_id="r")
        assert (again.commit, again.replayed) == (made.commit, True)
        with pytest.raises(RequestReused):
            await desk.set("/", {"a": 2}, request_id="r")


async def test_warnings_outside_of_a_prefix_are_kept_as_they_are(place: Path) -> None:
    async with open_repository(place) as repository:
        desk = Desk(repository)
        await desk.set("/__schema__/properties/ward", {"properties": {"beds": {"type": "string"}}})
        first = await desk.set("/ward/beds", 5, request_id="r")
        assert (await desk.set("/ward/beds", 5, request_id="r")).warnings == first.warnings != ()
