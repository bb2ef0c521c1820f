"""An environment of made-up distributions, so that no test here depends on what is really installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, EntryPoint, distributions
from pathlib import Path

import pytest
import structlog
from click.testing import CliRunner, Result
from vmloom import plugins
from vmloom.cli.commands import root

CALC_SOURCE = Path(__file__).parents[2] / "examples" / "third-party-vm" / "src"


class Environment:
    """Distributions in a folder, each with its metadata and modules, as an installer would have left them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self,
        dist: str,
        *entries: str,
        version: str = "1.0",
        requires: str = "vmloom-core>=0.1",
        **modules: str,
    ) -> None:
        """Add a distribution with `entries` such as `a = a_plugin` and the source text of its modules."""
        info = self.folder / f"{dist.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        required = f"Requires-Dist: {requires}\n" if requires else ""
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {dist}\nVersion: {version}\n{required}")
        (info / "entry_points.txt").write_text("[vmloom]\n" + "\n".join(entries) + "\n")
        for name, source in modules.items():
            (self.folder / f"{name}.py").write_text("from vmloom.hookspecs import *\n" + source)

    def add_vm(self, dist: str, vm: str, *, version: str = "1.0", **fields: object) -> None:
        """Add a distribution that offers one VM, whose class need not exist."""
        module = dist.replace("-", "_") + "_plugin"
        self.add(dist, f"{vm} = {module}", version=version, **{module: vm_hook(vm, **fields)})

    def add_calc(self) -> None:
        """Add the example's VM, which does exist."""
        self.add("calcvm", "calc = calcvm.plugin", version="1.2.0")

    def installed(self) -> list[tuple[EntryPoint, Distribution]]:
        """What the loader is to see."""
        return [
            (entry, dist)
            for dist in distributions(path=[str(self.folder)])
            for entry in dist.entry_points
            if entry.group == "vmloom"
        ]


def vm_hook(*names: str, **fields: object) -> str:
    """Source of a module that offers VMs."""
    more = "".join(f", {key}={value!r}" for key, value in fields.items())
    specs = ", ".join(f"VmSpec({name!r}, 'no_such_module:Vm'{more})" for name in names)
    return f"@hookimpl\ndef vmloom_virtual_machines():\n    return [{specs}]\n"


@pytest.fixture
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    folder = tmp_path / "site"
    folder.mkdir()
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.syspath_prepend(str(CALC_SOURCE))
    made = Environment(folder)
    monkeypatch.setattr(plugins, "_installed", made.installed)
    yield made
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(folder)):
            del sys.modules[name]


class CommandLine:
    """The command `vmloom`, run in a folder of its own and without this process's variables."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.chdir(folder)

    def __call__(self, *arguments: object, input: bytes | None = None, **variables: str) -> Result:
        return CliRunner().invoke(root, [str(argument) for argument in arguments], input=input, env=variables)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


@pytest.fixture
def vmloom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: Environment) -> Iterator[CommandLine]:
    """The command line in an environment with the calculator VM."""
    environment.add_calc()
    folder = tmp_path / "work"
    folder.mkdir()
    yield CommandLine(folder, monkeypatch)
    structlog.reset_defaults()
