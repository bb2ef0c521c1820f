"""The public state tests: of each folder and fork a part in every run, all of them if asked for.

The part is the same each time: every so-manieth case of each fork of each sub-folder; in CI it is larger, and the
native engine runs every case there but the slowest. Where every contract is compiled before it runs, one case of each
fork has to do, of a part of the folders. `VMLOOM_STATE_TESTS=all` runs every case on every engine, which takes a
quarter of an hour and some hours for the compiling one; `vmloom evm statetest --summary` does so with a progress bar
and a table.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from vmloom_evm.statetest.fixture import Case, read_cases
from vmloom_evm.statetest.run import run_case
from vmloom_evm.testing import EvmUnderTest

from .conftest import ENGINES

ALL = os.environ.get("VMLOOM_STATE_TESTS") == "all"
CI = bool(os.environ.get("CI"))
pytestmark = [pytest.mark.timeout(0)] if ALL else []
"""All cases of a folder take longer than any test may."""
PART = 24 if CI else 8
"""Cases of each fork of a sub-folder that run each time, at most."""
COMPILED_PART = 1
"""The same where every contract is compiled first, which takes much longer than to run it once."""
COMPILED_FOLDERS = 1 if ALL else 5
"""And then this part of the folders: each so-manieth."""

SINCE_CONSTANTINOPLE = """
    Cancun Pyspecs Shanghai VMTests stEIP1559 stEIP2930 stEIP3607 stSelfBalance stStaticFlagEnabled
"""
CLASSIC = """
    stArgsZeroOneBalance stAttackTest stBadOpcode stBugs stCallCodes stCallCreateCallCodeTest
    stCallDelegateCodesCallCodeHomestead stCallDelegateCodesHomestead stCodeSizeLimit stCreate2 stCreateTest
    stDelegatecallTestHomestead stEIP150Specific stEIP150singleCodeGasPrices stEIP158Specific stExample stExtCodeHash
    stHomesteadSpecific stInitCodeTest stLogTests stMemExpandingEIP150Calls stMemoryStressTest stMemoryTest
    stNonZeroCallsTest stPreCompiledContracts stPreCompiledContracts2 stQuadraticComplexityTest stRandom stRandom2
    stRecursiveCreate stRefundTest stReturnDataTest stRevertTest stSStoreTest stShift stSolidityTest stSpecialTest
    stStackTests stStaticCall stSystemOperationsTest stTimeConsuming stTransactionTest stTransitionTest stWalletTest
    stZeroCallsRevert stZeroCallsTest stZeroKnowledge stZeroKnowledge2
"""
ERAS = "berlin byzantium cancun constantinople frontier homestead istanbul london paris ported_static prague shanghai"
FOLDERS = [
    *(f"ethereum_tests/{name}" for name in (CLASSIC + SINCE_CONSTANTINOPLE).split()),
    *(f"legacytests_cancun/{name}" for name in (CLASSIC + SINCE_CONSTANTINOPLE).split()),
    *(f"legacytests_constantinople/{name}" for name in (CLASSIC + " stChangedEIP150").split()),
    *(f"execution_specs/Prague/{name}" for name in ERAS.split()),
    *(f"execution_specs/Osaka/{name}" for name in (ERAS + " osaka").split()),
    "execution_specs/Cancuntopragueattime15k/prague",
    "eest_fusaka_devnet5/osaka",
]
SLOW = {
    "CALLBlake2f_MaxRounds.json": "2**32 - 1 rounds of BLAKE2: a minute a case if compiled, minutes if not",
    "loopExp.json": "a million rounds of EXP: seconds a case",
}
"""Files that run only with all cases on all engines, and why."""


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize("evm", [engine for engine in ENGINES if engine != "jit"], indirect=True)
def test_state_tests_of_the_folder_pass(evm: EvmUnderTest, fixtures_folder: Path, folder: str) -> None:
    every = ALL or (CI and evm.vm.engine == "native")
    run_cases(evm, cases_to_run(fixtures_folder / "state_tests" / folder, every, PART))


@pytest.mark.parametrize("folder", FOLDERS[::COMPILED_FOLDERS])
@pytest.mark.parametrize("evm", [engine for engine in ENGINES if engine == "jit"], indirect=True)
def test_state_tests_of_the_folder_pass_compiled(evm: EvmUnderTest, fixtures_folder: Path, folder: str) -> None:
    run_cases(evm, cases_to_run(fixtures_folder / "state_tests" / folder, ALL, COMPILED_PART))
    statistics = evm.vm.jit_statistics()
    assert statistics is not None
    assert all(reason.islower() for reason in statistics.failures or ()), statistics.failures  # limits, no errors


def run_cases(evm: EvmUnderTest, cases: Iterable[Case]) -> None:
    complaints = []
    ran = 0
    for case in cases:
        verdict = run_case(case, evm.vm.specification, engine=evm.vm.executor)
        ran += 1
        if not verdict.passed:
            complaints.append(f"{Path(case.file).name}: {case.name}: {verdict.error}")
    assert ran
    assert not complaints, "\n".join(complaints)


def test_no_folder_is_left_out(fixtures_folder: Path) -> None:
    root = fixtures_folder / "state_tests"
    listed = {path for folder in FOLDERS for path in (root / folder).rglob("*.json")}
    assert listed == set(root.rglob("*.json"))


def test_part_reaches_every_fork_that_the_folder_has(fixtures_folder: Path) -> None:
    folder = fixtures_folder / "state_tests" / "legacytests_constantinople" / "stCreateTest"
    forks = {case.fork for case in cases(folder)}
    assert len(forks) > 3
    assert {case.fork for case in part_of(cases(folder))} == forks
    assert len(list(part_of(cases(folder)))) <= PART * len(forks)


def cases_to_run(folder: Path, every: bool, part: int) -> Iterator[Case]:
    """A part of the cases of each sub-folder with tests of its own, so that a large one does not crowd out others."""
    if every:
        yield from cases(folder, slow=ALL)
        return
    # The folders of execution-spec-tests are an EIP each, those of the others hold their files themselves.
    inner = [path for path in sorted(folder.iterdir()) if path.is_dir()]
    if folder.name == "ported_static" or not inner:
        yield from part_of(cases(folder), part)
        return
    for one in inner:
        yield from part_of(cases(one), part)


def part_of(found: Iterable[Case], part: int = PART) -> Iterator[Case]:
    """Every so-manieth case of each fork, `part` of each at most."""
    by_fork: dict[str, list[Case]] = {}
    for case in found:
        by_fork.setdefault(case.fork, []).append(case)
    for of_fork in by_fork.values():
        yield from of_fork[:: math.ceil(len(of_fork) / part)]


def cases(folder: Path, *, slow: bool = False) -> Iterator[Case]:
    for path in sorted(folder.rglob("*.json")):
        if slow or path.name not in SLOW:
            yield from read_cases(path)
