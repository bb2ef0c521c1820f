"""What the packages offer: light specs, and the right precompiles in each fork."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import entry_points

import pytest
from vmloom.hookspecs import API_VERSION
from vmloom.precompile import Precompile, PrecompileSet

PACKAGES = {
    "classic": "vmloom_precompiles_classic",
    "kzg": "vmloom_precompiles_kzg",
    "bls12-381": "vmloom_precompiles_bls12_381",
    "p256": "vmloom_precompiles_p256",
}
FIRST_FORK = {
    **dict.fromkeys(range(0x01, 0x05), "frontier"),
    **dict.fromkeys(range(0x05, 0x09), "byzantium"),
    0x09: "istanbul",
    0x0A: "cancun",
    **dict.fromkeys(range(0x0B, 0x12), "prague"),
    0x100: "osaka",
}


def test_each_fork_has_the_precompiles_that_came_until_then(
    precompiles_at: Callable[[str], Mapping[int, Precompile]], forks: list[str]
) -> None:
    for number, fork in enumerate(forks):
        expected = {address for address, first in FIRST_FORK.items() if forks.index(first) <= number}
        assert set(precompiles_at(fork)) == expected, fork


def test_names_are_distinct(precompiles_at: Callable[[str], Mapping[int, Precompile]]) -> None:
    names = [precompile.name for precompile in precompiles_at("osaka").values()]
    assert len(set(names)) == len(names) == len(FIRST_FORK)


@pytest.mark.parametrize(("name", "package"), PACKAGES.items())
def test_entry_point_leads_to_a_light_spec_of_the_set(name: str, package: str) -> None:
    (entry,) = entry_points(group="vmloom", name=f"precompiles-{name}")
    assert entry.value == f"{package}.plugin"
    (spec,) = entry.load().vmloom_precompiles()
    assert (spec.name, spec.vm, spec.api) == (name, "evm", API_VERSION)
    assert spec.summary
    module, _, attribute = spec.target.partition(":")
    assert issubclass(getattr(import_module(module), attribute), PrecompileSet)


@pytest.mark.parametrize("package", PACKAGES.values())
def test_listing_the_plugin_loads_no_library(package: str) -> None:
    script = f"import sys, {package}.plugin as p; p.vmloom_precompiles(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"gmpy2", "coincurve", "Crypto", "blake2b", "ckzg", "py_arkworks_bls12381", "cryptography"} & set(loaded)
