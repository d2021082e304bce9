"""manifest.json and server.json: as the code says, and as their published schemas ask. Both name one version."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from asg_mcp import __version__, config
from asg_mcp.cli.arguments import parse
from asg_mcp.tools.catalogue import CATALOGUE
from tests.kit.manifests import BUNDLED, REGISTRY_NAME, ROOT, SUMMARY, bundle, lay_out, manifests, registry

SCHEMAS = Path(__file__).parent / "schemas"


def _schema(name: str) -> dict[str, Any]:
    found = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", manifests())
def test_each_manifest_is_what_the_code_says(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == manifests()[name], "run python -m tests.kit.manifests"


@pytest.mark.parametrize(
    ("name", "schema"), [("manifest.json", "mcpb-manifest-v0.4"), ("server.json", "server-2025-12-11")]
)
def test_each_manifest_is_valid_by_its_published_schema(name: str, schema: str) -> None:
    document = json.loads((ROOT / name).read_text(encoding="utf-8"))
    jsonschema.Draft7Validator(_schema(schema)).validate(document)
    for field in ("version", "description"):
        broken = {key: value for key, value in document.items() if key != field}
        assert not jsonschema.Draft7Validator(_schema(schema)).is_valid(broken)


def test_the_version_is_written_in_one_place() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["dynamic"] == ["version"]
    assert "version" not in project["project"]
    assert project["tool"]["hatch"]["version"]["path"] == "asg_mcp/__init__.py"
    assert bundle()["version"] == registry()["version"] == registry()["packages"][0]["version"] == __version__
    for name in ("README.md", "Dockerfile", "claude_desktop_config.example.json"):
        assert not re.search(rf"asg-mcp[=@ ]*{re.escape(__version__)}", (ROOT / name).read_text(encoding="utf-8"))


def test_the_registry_finds_its_mark_in_the_page_of_the_package() -> None:
    assert f"<!-- mcp-name: {REGISTRY_NAME} -->" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(SUMMARY) <= 100
    (package,) = registry()["packages"]
    assert package["identifier"] == config.PROGRAM
    assert parse([argument["value"] for argument in package["packageArguments"]]).http is False
    variables = {name for key, name in vars(config).items() if key.endswith("_VARIABLE")}
    assert {told["name"] for told in package["environmentVariables"]} <= variables


def test_the_bundle_starts_this_program_with_options_that_it_knows() -> None:
    started = bundle()["server"]["mcp_config"]
    assert started["args"][:3] == ["run", "--directory", "${__dirname}"]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
    assert started["args"][3] in scripts
    assert parse(started["args"][4:]).agent == "claude-desktop"
    asked = {f"${{user_config.{name}}}": field for name, field in bundle()["user_config"].items()}
    assert set(started["env"].values()) == set(asked)
    assert [tool["name"] for tool in bundle()["tools"]] == [tool.name for tool in CATALOGUE]


def test_what_the_bundle_asks_its_user_is_what_the_server_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in bundle()["server"]["mcp_config"]["env"].items():
        default = bundle()["user_config"][value.removeprefix("${user_config.").removesuffix("}")]["default"]
        monkeypatch.setenv(variable, str(default).lower() if isinstance(default, bool) else default)
    assert config.names("", config.TOOLSETS_VARIABLE) == ("all",)
    assert config.read_only() is False


def test_a_bundle_holds_the_package_and_nothing_that_is_compiled(tmp_path: Path) -> None:
    lay_out(tmp_path / "bundle")
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == set(BUNDLED)
    assert (tmp_path / "bundle" / bundle()["server"]["entry_point"]).is_file()
    assert not list(tmp_path.rglob("*.pyc"))
    assert list(tmp_path.rglob("*.zdict"))
