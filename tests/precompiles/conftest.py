"""Precompile sets under test, as a VM would hold them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vmloom.precompile import Precompile, PrecompileSet, PurePrecompile, Revision
from vmloom_precompiles_bls12_381.precompiles import Bls12381Precompiles
from vmloom_precompiles_classic.precompiles import ClassicPrecompiles
from vmloom_precompiles_kzg.precompiles import KzgPrecompiles
from vmloom_precompiles_p256.precompiles import P256Precompiles

FORKS = ["frontier", "homestead", "tangerine_whistle", "spurious_dragon", "byzantium", "constantinople", "petersburg"]
FORKS += ["istanbul", "berlin", "london", "paris", "shanghai", "cancun", "prague", "osaka"]
SETS: tuple[PrecompileSet, ...] = (ClassicPrecompiles(), KzgPrecompiles(), Bls12381Precompiles(), P256Precompiles())


def revision(fork: str) -> Revision:
    return Revision(fork, tuple(FORKS[: FORKS.index(fork) + 1]))


@pytest.fixture(scope="session")
def forks() -> list[str]:
    """The EVM's forks, oldest first."""
    return FORKS


@pytest.fixture(scope="session")
def precompiles_at() -> Callable[[str], dict[int, Precompile]]:
    """All precompiles of a fork, by address as a number."""

    def at(fork: str) -> dict[int, Precompile]:
        return {
            int.from_bytes(address, "big"): precompile
            for offered in SETS
            for address, precompile in offered.at(revision(fork)).items()
        }

    return at


@pytest.fixture(scope="session")
def precompile(precompiles_at: Callable[[str], dict[int, Precompile]]) -> Callable[[int, str], PurePrecompile]:
    """The precompile at an address in a fork, Osaka unless told."""

    def find(address: int, fork: str = "osaka") -> PurePrecompile:
        found = precompiles_at(fork)[address]
        assert isinstance(found, PurePrecompile)
        return found

    return find
