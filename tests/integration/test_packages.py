"""The packages as users get them: built as wheels and installed into fresh environments, away from the sources."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "third-party-vm"

pytestmark = pytest.mark.network

RETURN_42 = "602a60005260206000f3"  # EVM: MSTORE 42 at 0, RETURN 32 bytes
STORE_42 = "01010101012a05"  # calculator: slot 1 = 42


class Installation:
    """A fresh virtual environment."""

    def __init__(self, folder: Path) -> None:
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        self.venv = folder / "venv"
        self.run(uv(), "venv", "--quiet", "--python", sys.executable, str(self.venv))
        self.bin = self.venv / ("Scripts" if os.name == "nt" else "bin")

    def run(self, *command: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        """Run outside the repository, without this process's Python environment; the exit status must be as told.

        Compiled code is kept with the installation.
        """
        variables = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("VMLOOM_", "PYTHON", "PYTEST", "COV_")) and name != "VIRTUAL_ENV"
        } | {"VMLOOM_CACHE_DIR": str(self.work / "cache")}
        done = subprocess.run(command, cwd=self.work, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == status, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done

    def install(self, *requirements: str | Path, wheels: Path | None = None) -> None:
        python = self.bin / "python"
        links = ["--find-links", str(wheels)] if wheels else []
        self.run(uv(), "pip", "install", "--quiet", "--python", str(python), *links, *map(str, requirements))

    def vmloom(self, *arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run(str(self.bin / "vmloom"), *arguments, status=status)

    def plugins(self, *options: str, status: int = 0) -> dict[str, dict[str, Any]]:
        documents = json.loads(self.vmloom(*options, "plugins", "--json", status=status).stdout)
        return {document["distribution"]: document for document in documents}


def uv() -> str:
    found = shutil.which("uv")
    assert found, "uv is needed to build the packages: python -m pip install uv"
    return found


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels of every package of the workspace and of the example."""
    folder = tmp_path_factory.mktemp("wheels")
    for arguments in (["--all-packages", str(ROOT)], [str(EXAMPLE)]):
        command = [uv(), "build", "--quiet", "--wheel", "--out-dir", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Installation:
    """`vmloom-core`, the EVM and the outside plugin; nothing else of this repository."""
    made = Installation(tmp_path_factory.mktemp("installation"))
    made.install("vmloom-core[testing]", "vmloom-evm", "calcvm", wheels=wheels)
    return made


def test_every_package_has_a_wheel_with_types(wheels: Path) -> None:
    folders = [ROOT / "core", *(ROOT / "plugins").glob("*/")]
    built = list(wheels.glob("vmloom_*.whl"))
    assert len(built) == len(folders)
    for wheel in built:
        with zipfile.ZipFile(wheel) as archive:
            assert any(name.endswith("/py.typed") for name in archive.namelist()), wheel.name
            assert not any("/tests/" in name for name in archive.namelist()), wheel.name


def test_each_plugin_is_found(installation: Installation) -> None:
    found = installation.plugins()
    assert {dist: document["status"] for dist, document in found.items()} == {
        "calcvm": "loaded",
        "vmloom-evm": "loaded",
    }


def test_both_vms_run(installation: Installation) -> None:
    evm = json.loads(installation.vmloom("run", RETURN_42, "--vm", "evm", "--json").stdout)
    assert (evm["status"], int(evm["return_data"], 16)) == (1, 42)
    calc = json.loads(installation.vmloom("run", STORE_42, "--vm", "calc", "--json").stdout)
    assert calc["state_changes"][-1]["new"] == "0x2a"


def test_outside_plugin_passes_its_own_tests(installation: Installation) -> None:
    """The kit comes from the installed package, and the fixture from its pytest plugin."""
    tests = installation.work / "tests"
    if not tests.exists():
        shutil.copytree(EXAMPLE / "tests", tests)
    done = installation.run(str(installation.bin / "python"), "-m", "pytest", "-q", "-rs", str(tests))
    assert " passed" in done.stdout
    skipped = [line for line in done.stdout.splitlines() if line.startswith("SKIPPED")]
    assert {line.rpartition(" does not ")[2] for line in skipped} == {"analyse code", "optimise code"}


def test_outside_plugins_page_shows_what_happens(installation: Installation) -> None:
    """Its sessions need the plugin installed, so they are run here and not with the other pages."""
    page = (EXAMPLE / "README.md").read_text("utf-8")
    sessions = re.findall(r"^\$ (vmloom .*)\n((?:(?!\$ |```).*\n)*)", page, re.MULTILINE)
    assert len(sessions) >= 3
    shown = [(command, _stripped(output)) for command, output in sessions]
    assert [(command, _stripped(installation.vmloom(*command.split()[1:]).stdout)) for command, _ in shown] == shown


def _stripped(text: str) -> list[str]:
    return "\n".join(line.rstrip() for line in text.splitlines()).strip("\n").splitlines()


# The native engine: with its package and without


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Installation:
    """The EVM and the compiler."""
    made = Installation(tmp_path_factory.mktemp("compiled"))
    made.install("vmloom-core", "vmloom-evm", "vmloom-native", wheels=wheels)
    return made


def test_native_engine_comes_with_its_package_and_goes_with_it(compiled: Installation) -> None:
    """One test, since each part begins where the one before it ended."""
    run_native = ("--set", "vm.evm.engine=native", "run", RETURN_42, "--json")
    first = compiled.vmloom(*run_native)
    assert "vmloom: compiling the EVM" in first.stderr
    assert int(json.loads(first.stdout)["return_data"], 16) == 42

    second = compiled.vmloom(*run_native)
    assert (second.stderr, second.stdout) == ("", first.stdout), "what the first has compiled is used"

    kept = list((compiled.work / "cache" / "objects").glob("*.object"))
    assert {path.stem for path in kept} == {
        entry["key"] for entry in json.loads(compiled.vmloom("cache", "list", "--json").stdout)
    }
    for path in kept:
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.write_bytes(content)
    third = compiled.vmloom(*run_native)
    assert third.stderr.count("file rejected and deleted") == len(kept)
    assert third.stdout == first.stdout

    compiled.run(uv(), "pip", "uninstall", "--quiet", "--python", str(compiled.bin / "python"), "vmloom-native")
    assert compiled.vmloom("run", RETURN_42, "--json").stdout == first.stdout
    refused = compiled.vmloom(*run_native, status=2)
    assert "vmloom_native is not installed" in refused.stderr
    assert "pip install vmloom-native" in refused.stderr


# What is installed and cannot be used


def make_wheel(folder: Path, name: str, module: str, *, requires: str = "vmloom-core>=0.1,<0.2") -> Path:
    """A wheel of one module that is the plugin: a wheel is only a zip file, and building four takes seconds each."""
    package = name.replace("-", "_")
    info = f"{package}-1.0.dist-info"
    files = {
        f"{package}.py": module,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {requires}\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[vmloom]\n{name} = {package}\n",
    }
    path = folder / f"{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in files.items():
            archive.writestr(file, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"]))
    return path


OFFER = """
from vmloom.hookspecs import VmSpec, hookimpl

@hookimpl
def vmloom_virtual_machines():
    return [VmSpec({name!r}, "calcvm.vm:CalcVm", config="calcvm.vm:CalcConfig")]
"""


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory, wheels: Path) -> Installation:
    """The outside plugin among a broken, a conflicting and an unwanted one, and one built for a later core."""
    folder = tmp_path_factory.mktemp("troubled")
    made = Installation(folder)
    made.install("vmloom-core", "calcvm", wheels=wheels)
    later = "vmloom-core>=7,<8"
    for wheel in (
        make_wheel(folder, "broken-vm", "import a_library_that_is_gone\n"),
        make_wheel(folder, "other-calc", OFFER.format(name="calc")),
        make_wheel(folder, "unwanted-vm", "raise SystemExit('must not be imported')\n"),
        make_wheel(folder, "later-vm", OFFER.format(name="later"), requires=later),
    ):
        made.install("--no-deps", wheel)  # as pip leaves it when it has only warned
    (made.work / "vmloom.toml").write_text('[plugins]\ndisable = ["unwanted-vm"]\n')
    return made


def test_each_trouble_is_reported(troubled: Installation) -> None:
    found = troubled.plugins(status=1)
    assert {dist: document["status"] for dist, document in found.items()} == {
        "broken-vm": "error",
        "calcvm": "conflict",
        "other-calc": "conflict",
        "unwanted-vm": "disabled",
        "later-vm": "incompatible",
    }
    assert found["broken-vm"]["detail"] == "ModuleNotFoundError: No module named 'a_library_that_is_gone'"
    assert found["calcvm"]["detail"] == "virtual machine 'calc' is offered by calcvm, other-calc"
    assert found["calcvm"]["fix"] == '[plugins] prefer.vm.calc = "calcvm"'
    assert found["later-vm"]["detail"].startswith("needs vmloom-core<8,>=7, but 0.1")
    assert found["later-vm"]["fix"] == "pip install --upgrade vmloom-core later-vm"
    table = troubled.vmloom("plugins", status=1).stdout
    for words in ("error", "conflict", "disabled", "incompatible", "a_library_that_is_gone"):
        assert words in table


def test_conflict_is_settled_by_the_line_that_the_report_gives(troubled: Installation) -> None:
    unclear = troubled.vmloom("run", STORE_42, "--vm", "calc", status=2)
    assert "virtual machine 'calc' is offered by calcvm, other-calc" in unclear.stderr
    assert "Traceback" not in unclear.stderr
    settled = ("--set", "plugins.prefer.vm.calc=other-calc")
    assert troubled.plugins(*settled, status=1)["calcvm"]["status"] == "disabled"
    assert json.loads(troubled.vmloom(*settled, "run", STORE_42, "--vm", "calc", "--json").stdout)["status"] == 1


def test_help_works_in_any_state(troubled: Installation) -> None:
    shown = troubled.vmloom("--help")
    assert "Run CODE" in shown.stdout
    assert len([line for line in shown.stderr.splitlines() if line.startswith("warning: plugin ")]) == 4
