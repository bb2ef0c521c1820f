"""A compiler with a mistake in it does not go unnoticed: a few of the mistakes of `benchmarks/jit_mutants.py`.

All of them are planted here, so that none is about source that has changed since; random programs look for some.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from vmloom_evm.forks import LATEST

BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
SEED = 2026
CASES = 12
CAUGHT = (
    "gas of the last instruction forgotten",
    "SWAP one too high",
    "stack not written for the interpreter",
    "condition upside down",
    "one of some targets confused",
)


@pytest.fixture
def mutants(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script, which is not installed."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("jit_mutants")
    for name in [name for name in sys.modules if name.split(".")[0] in ("differential", "jit_mutants")]:
        del sys.modules[name]


def test_every_mutant_changes_the_compiler_and_is_gone_afterwards(mutants: ModuleType) -> None:
    for mutant in mutants.MUTANTS:
        owner = importlib.import_module(f"vmloom_evm.jit.{mutant.module}")
        *path, name = mutant.function.split(".")
        for part in path:
            owner = getattr(owner, part)
        former = getattr(owner, name)
        with mutant.planted():
            planted = getattr(owner, name)
            assert planted is not former, mutant.name
            assert planted.__code__.co_code != former.__code__.co_code or planted.__code__ != former.__code__
        assert getattr(owner, name) is former
    assert len({mutant.name for mutant in mutants.MUTANTS}) == len(mutants.MUTANTS)


def test_mutant_of_source_that_is_not_there_is_refused(mutants: ModuleType) -> None:
    gone = mutants.Mutant("gone", "blocks", "_measured", "no such text", "")
    with pytest.raises(ValueError, match="has 'no such text' 0 times"), gone.planted():
        pass


def test_mutant_reaches_modules_that_have_imported_what_it_changes(mutants: ModuleType) -> None:
    from vmloom_evm.jit import specialise, values

    mutant = next(it for it in mutants.MUTANTS if it.function == "narrowest")
    with mutant.planted():
        assert specialise.narrowest is values.narrowest
        assert values.narrowest(2**64) == 64
    assert values.narrowest(2**64) == 128
    assert "<= 1" not in inspect.getsource(specialise.narrowest)


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("name", CAUGHT)
def test_random_programs_find_the_mutant(mutants: ModuleType, name: str) -> None:
    compare = importlib.import_module("differential.compare")
    (mutant,) = (it for it in mutants.MUTANTS if it.name == name)
    with mutant.planted(), pytest.raises(compare.Difference):
        all(compare.compare(SEED, number, LATEST.name, ("native", "jit")) for number in range(CASES))
