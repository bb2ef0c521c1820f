"""The lists that name the workspace's packages: they are kept by hand, so they are compared."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[2]
FOLDERS = [ROOT / "core", *sorted((ROOT / "plugins").glob("*/"))]


def project(folder: Path) -> dict[str, Any]:
    with (folder / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


WORKSPACE = project(ROOT)
PACKAGES = {document["project"]["name"]: document for document in map(project, FOLDERS)}


def names(requirements: list[str]) -> set[str]:
    return {Requirement(text).name for text in requirements}


def test_folders_are_named_after_their_packages() -> None:
    assert {folder.name: f"vmloom-{folder.name}" for folder in FOLDERS} == {
        folder.name: project(folder)["project"]["name"] for folder in FOLDERS
    }


def test_root_depends_on_every_package() -> None:
    """One that is not among the root's dependencies would not be installed by `uv run`, without a word."""
    assert names(WORKSPACE["project"]["dependencies"]) == set(PACKAGES)
    assert WORKSPACE["tool"]["uv"]["sources"] == {name: {"workspace": True} for name in PACKAGES}


def test_pip_users_get_the_same() -> None:
    lines = (ROOT / "requirements-dev.txt").read_text().splitlines()
    editable = {line.removeprefix("-e ./").partition("[")[0] for line in lines if line.startswith("-e ")}
    assert editable == {str(folder.relative_to(ROOT)) for folder in FOLDERS}


def test_every_package_is_type_checked() -> None:
    assert set(WORKSPACE["tool"]["mypy"]["mypy_path"]) == {f"{folder.relative_to(ROOT)}/src" for folder in FOLDERS}


def test_versions_move_together() -> None:
    assert len({document["project"]["version"] for document in PACKAGES.values()}) == 1


@pytest.mark.parametrize("name", sorted(set(PACKAGES) - {"vmloom-core"}))
def test_plugins_fit_this_core_and_not_the_next(name: str) -> None:
    """Within 0.x every minor version may break plugins; the loader relies on their saying so."""
    (core,) = [
        requirement
        for requirement in map(Requirement, PACKAGES[name]["project"]["dependencies"])
        if requirement.name == "vmloom-core"
    ]
    current = Version(PACKAGES["vmloom-core"]["project"]["version"])
    assert core.specifier.contains(current)
    assert not core.specifier.contains(Version(f"{current.major}.{current.minor + 1}"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_packages_are_complete(folder: Path) -> None:
    document = project(folder)
    meta = document["project"]
    assert meta["license"] == "MIT"
    assert meta["requires-python"] == WORKSPACE["project"]["requires-python"]
    assert (folder / meta["readme"]).is_file()
    (source,) = document["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (folder / source / "__init__.py").is_file()
    assert (folder / source / "py.typed").is_file()


def test_example_is_outside_the_workspace() -> None:
    example = project(ROOT / "examples" / "third-party-vm")
    assert example["project"]["name"] not in names(WORKSPACE["project"]["dependencies"])
    assert "sources" not in example.get("tool", {}).get("uv", {})
