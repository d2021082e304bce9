from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asg_mcp.errors import InvalidArgument, InvalidName, MigrationRefused, MigrationsBroken
from asg_mcp.services.migrations import (
    STAMP,
    UNVERSIONED,
    Migration,
    Registry,
    Standing,
    installed,
    is_version,
    version_key,
)
from tests.services.packages import Packages


def step(begin: str, end: str, name: str = "") -> Migration:
    return Migration(begin, end, name or f"{begin}-{end}", "A step.", lambda state: [])


CHAIN = Registry([step("1.1.0", "2.0.0"), step("1.0.0", "1.1.0"), step("2.0.0", "10.0.0")])


def names(migrations: Any) -> list[str]:
    return [migration.name for migration in migrations]


# --- versions and migrations -------------------------------------------------------


@pytest.mark.parametrize("text", ["1.2.3", "0.0.0", "999999999.0.10"])
def test_three_numbers_are_a_version(text: str) -> None:
    assert is_version(text)


@pytest.mark.parametrize(
    "text",
    ["", "1", "1.2", "1.2.3.4", "1.02.3", "v1.2.3", "1.2.3 ", "1.2.3\n", "1.2.3-rc1", "1.2.١", UNVERSIONED, 1, None],
)
def test_anything_else_is_no_version(text: Any) -> None:
    assert not is_version(text)


def test_versions_are_ordered_by_their_numbers_and_unversioned_comes_first() -> None:
    told = ["10.0.0", "2.0.0", "2.0.10", "2.0.9", UNVERSIONED]
    assert sorted(told, key=version_key) == [UNVERSIONED, "2.0.0", "2.0.9", "2.0.10", "10.0.0"]


@pytest.mark.parametrize(("begin", "end"), [("1", "1.1.0"), ("1.0.0", "2"), ("1.0.0", UNVERSIONED), ("", "1.0.0")])
def test_a_migration_of_no_version_cannot_be_made(begin: str, end: str) -> None:
    with pytest.raises(InvalidArgument):
        step(begin, end)


def test_a_migration_has_a_name_and_a_description_that_can_be_recorded() -> None:
    with pytest.raises(InvalidName):
        step("1.0.0", "1.1.0", "line\nbreak")
    for description in ("", "   ", "x" * 5_000):
        with pytest.raises(InvalidArgument):
            Migration("1.0.0", "1.1.0", "a", description, lambda state: [])


# --- plans -----------------------------------------------------------------------


def test_a_plan_goes_as_far_as_the_migrations_lead() -> None:
    plan = CHAIN.plan("1.0.0")
    assert (plan.standing, plan.version, plan.to) == (Standing.AVAILABLE, "1.0.0", "10.0.0")
    assert names(plan.steps) == ["1.0.0-1.1.0", "1.1.0-2.0.0", "2.0.0-10.0.0"]


def test_a_plan_to_a_version_ends_there() -> None:
    assert names(CHAIN.plan("1.0.0", "2.0.0").steps) == ["1.0.0-1.1.0", "1.1.0-2.0.0"]


@pytest.mark.parametrize(
    ("version", "to", "standing"),
    [
        ("10.0.0", "", Standing.UP_TO_DATE),
        ("1.1.0", "1.1.0", Standing.UP_TO_DATE),
        ("10.0.1", "", Standing.NEWER),
        ("1.5.0", "", Standing.NO_PATH),
        (UNVERSIONED, "", Standing.UNVERSIONED),
    ],
)
def test_a_version_without_a_next_step_is_told_apart(version: str, to: str, standing: Standing) -> None:
    plan = CHAIN.plan(version, to)
    assert (plan.standing, plan.steps) == (standing, ())
    assert bool(plan.note) is (standing is not Standing.UP_TO_DATE)


def test_without_migrations_every_version_is_up_to_date() -> None:
    assert Registry().plan("3.1.4").standing is Standing.UP_TO_DATE


def test_a_gap_in_the_registry_is_not_up_to_date() -> None:
    gap = Registry([step("1.0.0", "2.0.0"), step("3.0.0", "4.0.0")])
    assert gap.plan("1.0.0").to == "2.0.0"
    assert gap.plan("2.0.0").standing is Standing.NO_PATH


@pytest.mark.parametrize(
    ("version", "to"), [("1.0.0", "3.0.0"), ("2.0.0", "1.0.0"), ("9.0.0", "10.0.0"), (UNVERSIONED, "7.0.0")]
)
def test_a_version_that_no_step_leads_to_is_refused_with_those_known(version: str, to: str) -> None:
    with pytest.raises(MigrationRefused) as refused:
        CHAIN.plan(version, to)
    assert refused.value.details["known"]
    assert refused.value.hint


@pytest.mark.parametrize("to", ["1", "newest", UNVERSIONED])
def test_a_target_that_is_no_version_is_refused(to: str) -> None:
    with pytest.raises(InvalidArgument):
        CHAIN.plan("1.0.0", to)


def test_an_unversioned_state_is_stamped_with_a_known_version_and_only_when_asked() -> None:
    (stamped,) = CHAIN.plan(UNVERSIONED, "2.0.0").steps
    assert (stamped.name, stamped.from_version, stamped.to_version) == (STAMP, UNVERSIONED, "2.0.0")
    assert list(stamped.migrate({})) == []
    assert names(Registry().plan(UNVERSIONED, "7.7.7").steps) == [STAMP]


def test_an_unversioned_state_takes_the_steps_that_begin_there_and_no_stamp() -> None:
    registry = Registry([step(UNVERSIONED, "1.0.0"), step("1.0.0", "2.0.0")])
    assert registry.plan(UNVERSIONED).to == "2.0.0"
    assert names(registry.plan(UNVERSIONED, "1.0.0").steps) == ["absent-1.0.0"]
    with pytest.raises(MigrationRefused):
        registry.plan(UNVERSIONED, "3.0.0")


def test_two_migrations_from_one_version_are_refused_with_both_names() -> None:
    with pytest.raises(MigrationsBroken) as refused:
        Registry([step("1.0.0", "1.1.0", "left"), step("1.0.0", "2.0.0", "right")])
    assert "left" in refused.value.message
    assert "right" in refused.value.message


def test_a_circle_is_refused_with_both_names() -> None:
    with pytest.raises(MigrationsBroken) as refused:
        Registry([step("1.0.0", "2.0.0", "forth"), step("2.0.0", "1.0.0", "back")])
    assert "forth" in refused.value.message
    assert "back" in refused.value.message


@pytest.mark.parametrize("end", ["1.0.0", "0.9.0"])
def test_a_step_that_does_not_lead_onwards_is_refused(end: str) -> None:
    with pytest.raises(MigrationsBroken, match="leads back"):
        Registry([step("1.0.0", end)])


_VERSIONS = st.tuples(*[st.integers(0, 3)] * 3).map(lambda numbers: ".".join(map(str, numbers)))


@given(st.lists(st.tuples(_VERSIONS, _VERSIONS), max_size=12), _VERSIONS)
def test_every_plan_of_every_registry_leads_onwards_step_by_step(pairs: list[tuple[str, str]], start: str) -> None:
    onwards = {pair[0]: pair for pair in pairs if version_key(pair[0]) < version_key(pair[1])}
    registry = Registry([step(*pair) for pair in onwards.values()])
    plan = registry.plan(start)
    reached = start
    for migration in plan.steps:
        assert migration.from_version == reached
        assert version_key(migration.to_version) > version_key(reached)
        reached = migration.to_version
    assert plan.to == reached
    assert reached not in onwards
    assert (plan.standing is Standing.AVAILABLE) is bool(plan.steps)


# --- what is installed -----------------------------------------------------------


def test_migrations_come_from_the_entry_points_of_installed_packages(packages: Packages) -> None:
    assert installed().versions == []
    packages.add("people-app")
    plan = installed().plan("1.0.0")
    assert [(found.name, found.package) for found in plan.steps] == [
        ("split-names", "people-app"),
        ("rename", "people-app"),
    ]


def test_packages_add_up_to_one_registry(packages: Packages) -> None:
    packages.add("people-app")
    more = "from asg_mcp.services.migrations import Migration\nM = (Migration('2.0.0', '3.0.0', 'a', 'b', list),)\n"
    packages.add("more-app", more, "M")
    assert installed().plan("1.0.0").to == "3.0.0"


def test_two_packages_with_the_same_step_are_refused_with_both_names(packages: Packages) -> None:
    packages.add("people-app")
    packages.add("fork-of-it")
    with pytest.raises(MigrationsBroken) as refused:
        installed()
    assert "people-app" in refused.value.message
    assert "fork-of-it" in refused.value.message


@pytest.mark.parametrize(
    "source",
    [
        "raise RuntimeError('no licence')",
        "import sys\nsys.exit(3)",
        "import a_module_that_is_not_there",
        "def MIGRATIONS(: broken",
        "OTHER = []",
        "MIGRATIONS = 7",
        "MIGRATIONS = [{'from': '1.0.0'}]",
        "MIGRATIONS = (1 // 0 for _ in 'x')",
        "from asg_mcp.services.migrations import Migration\nMIGRATIONS = [Migration('1', '2', 'a', 'b', list)]",
    ],
)
def test_a_package_that_cannot_be_used_is_named(packages: Packages, source: str) -> None:
    packages.add("broken-app", source)
    with pytest.raises(MigrationsBroken) as refused:
        installed()
    assert refused.value.details["package"] == "broken-app"
    assert "broken-app" in refused.value.message
    assert refused.value.hint


def test_a_package_with_endless_migrations_is_refused(packages: Packages) -> None:
    endless = (
        "from itertools import count\nfrom asg_mcp.services.migrations import Migration\n"
        "MIGRATIONS = (Migration(f'{n}.0.0', f'{n + 1}.0.0', 'a', 'b', list) for n in count())"
    )
    packages.add("endless-app", endless)
    with pytest.raises(MigrationsBroken, match="endless-app"):
        installed()


def test_entry_points_that_cannot_be_read_are_an_error_of_ours(packages: Packages) -> None:
    packages.add("people-app")
    (table,) = packages.folder.glob("*.dist-info/entry_points.txt")
    table.write_text("[asg_mcp.migrations]\nno equals sign\n", encoding="utf-8")
    with pytest.raises(MigrationsBroken):
        installed()


@pytest.mark.parametrize("metadata", ["Metadata-Version: 2.1\n", ""])
def test_a_package_without_a_name_still_adds_its_migrations(packages: Packages, metadata: str) -> None:
    packages.add("people-app")
    (table,) = packages.folder.glob("*.dist-info/METADATA")
    table.write_text(metadata, encoding="utf-8")
    assert installed().plan("1.0.0").to == "2.0.0"
