"""The same gas, output, events and state with every supported release of wasmtime, optimized or not, cold or warm."""

from __future__ import annotations

import importlib
import json
import os
import random
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from vmloom_wasm.binary.writer import encode
from wasmtime import wat2wasm

ROOT = Path(__file__).parents[2]
DIGEST = Path(__file__).with_name("gas_digest.py")
UNREACHABLE = ("error sending request", "Failed to fetch", "dns error", "offline", "no network connection")
"""What uv says without a package index."""
RELEASES = ("45.0.0", "50.0.1")
"""Oldest and newest release of wasmtime that works."""
GENERATED = 30


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of modules: those in `wat`, and some that a generator makes. The same bytes for every release."""
    folder = tmp_path_factory.mktemp("modules")
    for path in sorted(DIGEST.with_name("wat").glob("*.wat")):
        (folder / f"{path.stem}.wasm").write_bytes(wat2wasm(path.read_text()))
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        generate = importlib.import_module("wasm_modules.generate")
    finally:
        sys.path.remove(str(ROOT / "benchmarks"))
    number = made = 0
    while made < GENERATED:
        module = generate.generated(random.Random(number))
        if not module.imports and module.memories:
            (folder / f"generated_{number}.wasm").write_bytes(encode(module))
            made += 1
        number += 1
    return folder


def digest(python: str | Path, modules: Path) -> dict[str, Any]:
    """What `gas_digest.py` prints with that Python."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(python), str(DIGEST), str(modules)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def test_optimization_and_caches_change_nothing(modules: Path) -> None:
    """The command compares them; here also that it has something to compare."""
    runs = digest(sys.executable, modules)["runs"]
    assert len(runs) == GENERATED + len(list(DIGEST.with_name("wat").glob("*.wat")))
    ends = {(run[0], run[3].partition(" in ")[0]) for found in runs.values() for run in found}
    assert ends >= {
        ("success", ""),
        ("reverted", "reverted"),
        ("failed", "out of gas"),
        ("failed", "stack limit reached"),
        ("failed", "unreachable"),
        ("failed", "integer division by zero"),
        ("failed", "integer overflow"),
        ("failed", "memory out of bounds"),
        ("failed", "indirect call to null"),
        ("failed", "indirect call type mismatch"),
    }


@pytest.mark.network
def test_releases_agree(modules: Path, tmp_path: Path) -> None:
    here = digest(sys.executable, modules)
    for release in RELEASES:
        there = digest(environment(tmp_path / release, release), modules)
        assert there["wasmtime"] == release
        for name, found in here["runs"].items():
            assert there["runs"][name] == found, f"{name}: wasmtime {release} and {here['wasmtime']} differ"
        assert there["digest"] == here["digest"]


def test_releases_are_those_that_the_package_asks_for() -> None:
    project = tomllib.loads((ROOT / "plugins" / "wasm" / "pyproject.toml").read_text())["project"]
    asked = next(found for found in map(Requirement, project["dependencies"]) if found.name == "wasmtime").specifier
    oldest, newest = (int(release.partition(".")[0]) for release in RELEASES)
    assert str(asked) == f"<{newest + 1},>={oldest}"


def environment(folder: Path, release: str) -> Path:
    """The Python of a fresh environment with our packages and a release of wasmtime. Skips where it cannot be made."""
    uv = shutil.which("uv")
    if uv is None:
        pytest.skip("uv is needed to make environments: python -m pip install uv")
    variables = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    override = folder.with_suffix(".txt")
    override.write_text(f"wasmtime=={release}\n")  # the range that the package asks for is another test's
    packages = (str(ROOT / "core"), str(ROOT / "plugins" / "wasm"))
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--quiet", "--python", str(python), "--override", str(override), *packages],
    ):
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
        if done.returncode:
            if any(word in done.stderr for word in UNREACHABLE):
                pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
            pytest.fail(done.stderr)
    return python
