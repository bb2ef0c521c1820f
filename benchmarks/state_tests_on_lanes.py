"""State tests on lanes: each transaction as one execution of a batch, compared with the native engine field by field.

    python benchmarks/state_tests_on_lanes.py FIXTURES/state_tests
    python benchmarks/state_tests_on_lanes.py FIXTURES/state_tests --forks Prague Osaka --every 50 --device emulated
    python benchmarks/state_tests_on_lanes.py FIXTURES/state_tests --forks Osaka --every 40 --compiled

What escapes is counted by cause, and not compared: the native engine itself runs it. `--large` gives lanes all the
room that the rules allow, and every precompile that is a kernel, so that only what lanes do not do at all escapes.
`--compiled` compiles the contracts of the tests into the lanes, those of many tests at a time: a program takes LLVM
seconds for each contract, so it is for samples. No figure here says anything of a GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from vmloom import BlockContext
from vmloom_cuda.device.emulated import EmulatedDevice
from vmloom_cuda.evm import EvmBatch, HostDevice
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.forks import Fork, fork_named
from vmloom_evm.jit.compile import Uncompilable, checked_blocks
from vmloom_evm.native.lane_build import PRECOMPILES, LaneSizes
from vmloom_evm.native.state import NativeState
from vmloom_evm.statetest.fixture import Case, block_of, pre_state, read_cases, transaction_of
from vmloom_evm.transaction.outcome import TransactionResult
from vmloom_evm.transaction.types import Transaction, TransactionRefused

SLOW = {"CALLBlake2f_MaxRounds.json", "loopExp.json"}
"""Files that take seconds a case, even on the native engine."""
LARGE = LaneSizes(
    frames=1026,
    stack_items=2048,
    memory=1 << 24,
    return_data=1 << 20,
    accounts=1 << 12,
    slots=1 << 14,
    transients=1 << 12,
    codes=1 << 10,
    code_bytes=1 << 22,
    journal=1 << 18,
    logs=1 << 12,
    log_bytes=1 << 22,
    marked=1 << 12,
    outcome=1 << 23,
)


TOGETHER = 48
"""Contracts that are compiled into a program, or a few more."""
MOST_CODE = 1 << 12
"""Bytes of a contract that is compiled here: tests have some that are large for the sake of it."""


@dataclass
class Tally:
    """What became of the cases."""

    cases: int = 0
    equal: int = 0
    compiled: int = 0
    """Contracts that were compiled, once for each program."""
    escapes: Counter[str] = field(default_factory=Counter)
    differences: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What the device said that failed, such as the emulator of a thread that did not end."""


class Comparison:
    """Runs cases on lanes and on the native engine."""

    def __init__(self, device: str = "host", sizes: LaneSizes | None = None) -> None:
        self.evm = Evm(EvmConfig(engine="native"))
        self.device = device
        self.sizes = sizes
        self.tally = Tally()
        self.batches: dict[Fork, EvmBatch] = {}
        self._states = NativeState(), NativeState()

    def batch(self, fork: Fork) -> EvmBatch:
        """The lanes for a fork."""
        if fork not in self.batches:
            self.batches[fork] = self._lanes(fork)
        return self.batches[fork]

    def _lanes(self, fork: Fork, contracts: Sequence[bytes] = ()) -> EvmBatch:
        device = HostDevice() if self.device == "host" else EmulatedDevice()
        specification = self.evm.specification(fork)
        names = frozenset(one.name for one in specification.precompiles.values() if one.kernel is not None)
        return EvmBatch(
            specification,
            device,
            sizes=self.sizes,
            lanes=1,
            contracts=contracts,
            hot=None,
            precompiles=PRECOMPILES if self.sizes is None else names,
        )

    def compare_compiled(self, cases: Iterable[Case]) -> None:
        """Run cases with their contracts compiled: those of a fork together, as many as make a program."""
        waiting: dict[Fork, tuple[list[Case], dict[bytes, None]]] = {}
        for case in cases:
            fork = fork_named(case.fork)
            together, codes = waiting.setdefault(fork, ([], {}))
            together.append(case)
            codes.update(dict.fromkeys(self.compilable(case, fork)))
            if len(codes) >= TOGETHER:
                self._compare_together(fork, *waiting.pop(fork))
        for fork, (together, codes) in waiting.items():
            self._compare_together(fork, together, codes)

    def _compare_together(self, fork: Fork, cases: Iterable[Case], codes: Iterable[bytes]) -> None:
        lanes = self.batches[fork] = self._lanes(fork, tuple(codes))
        self.tally.compiled += len(lanes.lane_kernels.contracts)
        for case in cases:
            self.compare(case)

    def compilable(self, case: Case, fork: Fork) -> Iterator[bytes]:
        """The contracts of a case that can be compiled, but for large ones."""
        state, specification = pre_state(case), self.evm.specification(fork)
        for text in case.pre:
            account = state.get_account(bytes.fromhex(text.removeprefix("0x")))
            if account is not None and 0 < len(account.code) <= MOST_CODE:
                try:
                    checked_blocks(specification, account.code, specification.rules.stack_limit)
                except Uncompilable:
                    continue
                yield account.code

    def compare(self, case: Case) -> None:
        """Run a case on both, and tally it. One whose transaction cannot be read is none."""
        fork = fork_named(case.fork)
        try:
            tx, sender = transaction_of(case)
        except TransactionRefused:
            return
        block, batch = block_of(case, fork), self.batch(fork)
        before = batch.statistics.escapes.total()
        known = Counter(batch.statistics.escapes)
        (found,) = batch.transact(refilled(self._states[0], case), block, [tx], [sender])
        self.tally.cases += 1
        if batch.statistics.escapes.total() > before:
            self.tally.escapes += batch.statistics.escapes - known
            if batch.failure is not None:
                self.tally.failures.append(f"{_named(case)}: {batch.failure}")
            return
        different = differing(found, self._natively(case, block, tx, sender))
        if different:
            self.tally.differences.append(f"{_named(case)}: {different}")
        else:
            self.tally.equal += 1

    def _natively(
        self, case: Case, block: BlockContext, tx: Transaction, sender: bytes
    ) -> TransactionResult | TransactionRefused:
        specification = self.evm.specification(fork_named(case.fork))
        try:
            return self.evm.executor.transact(specification, refilled(self._states[1], case), block, tx, sender)
        except TransactionRefused as refusal:
            return refusal


def _named(case: Case) -> str:
    return f"{Path(case.file).name}: {case.name} ({case.fork})"


def refilled(state: NativeState, case: Case) -> NativeState:
    """`state`, which is the one before the transaction from now on: making another one takes longer than the case."""
    source = pre_state(case)
    state.clear()
    for text in case.pre:
        address = bytes.fromhex(text.removeprefix("0x"))
        account = source.get_account(address)
        if account is not None:
            state.set_account(address, account)
        for slot in source.get_slots(address):
            state.set_storage(address, slot, source.get_storage(address, slot))
    state.commit()
    state.begin_transaction()
    return state


def differing(found: object, wanted: object) -> str:
    """What differs, empty if nothing does. The order of changes does not count."""
    if isinstance(found, TransactionRefused) or isinstance(wanted, TransactionRefused):
        return "" if str(found) == str(wanted) and type(found) is type(wanted) else f"{found!r}, not {wanted!r}"
    for one in fields(TransactionResult):
        a, b = _comparable(found, one.name), _comparable(wanted, one.name)
        if a != b:
            return f"{one.name}: {a!r}, not {b!r}"
    return ""


def _comparable(result: Any, name: str) -> Any:
    value = getattr(result, name)
    return sorted(map(repr, value)) if name == "state_changes" else value


def cases_in(folder: Path, forks: Iterable[str], every: int) -> Iterator[Case]:
    """Each so-manieth case of these forks; no forks are all."""
    wanted, number = frozenset(forks), 0
    for path in sorted(folder.rglob("*.json")):
        for case in () if path.name in SLOW else read_cases(path):
            if not wanted or case.fork in wanted:
                number += 1
                if number % every == 0:
                    yield case


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("folder", type=Path, help="state tests")
    parser.add_argument("--forks", nargs="*", default=(), help="as the files name them; default all")
    parser.add_argument("--every", type=int, default=1, help="each so-manieth case")
    parser.add_argument("--device", choices=("host", "emulated"), default="host")
    parser.add_argument("--compiled", action="store_true", help="compile the contracts of the tests into the lanes")
    parser.add_argument("--large", action="store_true", help="all the room that the rules allow, and all precompiles")
    given = parser.parse_args()
    comparison = Comparison(given.device, LARGE if given.large else None)
    began = time.thread_time()
    tally = comparison.tally
    cases = cases_in(given.folder, given.forks, given.every)
    try:
        if given.compiled:
            comparison.compare_compiled(cases)
        for case in cases:
            comparison.compare(case)
    except KeyboardInterrupt:
        print("interrupted: what follows is of the cases before")
    else:
        if not tally.cases:
            raise SystemExit(f"error: {given.folder}: no state tests that were asked for")
    print(f"device {given.device}: {tally.cases} cases, {tally.equal} equal, {len(tally.differences)} different,")
    if given.compiled:
        print(f"{tally.compiled} contracts compiled,")
    print(f"{tally.escapes.total()} escaped; {time.thread_time() - began:.1f} s of processor time")
    for cause, count in tally.escapes.most_common():
        print(f"  {count:7} {cause}")
    for told in (*tally.differences, *tally.failures):
        print(f"  {told[:400]}")
    return 1 if tally.differences or tally.failures or not tally.cases else 0


if __name__ == "__main__":
    sys.exit(main())
