"""The reference engine against py-evm: same programs, same gas, one process, ratio of CPU times.

    uv run --group bench python benchmarks/reference_vs_py_evm.py [--json] [--rounds N]

Both sides start from a fresh state for each round; a round of one is followed by a round of the other, so that
a slow moment of the machine hits both, and the median counts. Gas used must agree, or the comparison stops.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from eth.chains.base import MiningChain
from eth.vm.forks import CancunVM
from rich.console import Console
from rich.table import Table
from vmloom import Account, ExecutionContext, MemoryState
from vmloom_evm import Evm, EvmConfig

sys.path.insert(0, str(Path(__file__).parent))
from py_evm_chain import py_evm_chain
from workloads import CALLEE, CALLER, CONTRACT, WORKLOADS, Workload


def run_vmloom(vm: Evm, workload: Workload) -> tuple[float, int]:
    """CPU seconds and gas used of one run on the reference engine."""
    state = MemoryState(
        {CONTRACT: Account(code=workload.code, nonce=1), CALLEE: Account(code=workload.callee, nonce=1)}
    )
    context = ExecutionContext(caller=CALLER, address=CONTRACT, origin=CALLER, gas_limit=workload.gas)
    start = time.process_time()
    result = vm.execute(workload.code, context, state)
    elapsed = time.process_time() - start
    if not result.success:
        raise SystemExit(f"{workload.name}: vmloom: {result.error}")
    return elapsed, result.gas_used


def run_py_evm(chain: MiningChain, workload: Workload) -> tuple[float, int]:
    """CPU seconds and gas used of one run on py-evm."""
    vm = chain.get_vm()  # a state of its own, which nothing persists
    state = vm.state
    for address, code in ((CONTRACT, workload.code), (CALLEE, workload.callee)):
        state.set_code(address, code)
        state.set_nonce(address, 1)
    state.lock_changes()
    start = time.process_time()
    computation = vm.execute_bytecode(
        origin=CALLER,
        gas_price=0,
        gas=workload.gas,
        to=CONTRACT,
        sender=CALLER,
        value=0,
        data=b"",
        code=workload.code,
        code_address=CONTRACT,
    )
    elapsed = time.process_time() - start
    used = workload.gas - computation.get_gas_remaining()
    if computation.is_error:
        raise SystemExit(f"{workload.name}: py-evm: {computation.error!r}")
    return elapsed, used


def compare(
    workload: Workload, rounds: int, ours: Callable[[], tuple[float, int]], theirs: Callable[[], tuple[float, int]]
) -> dict[str, object]:
    """Medians of both sides and their ratio: how many times as long py-evm takes."""
    times: tuple[list[float], list[float]] = ([], [])
    gas = [0, 0]
    for _ in range(rounds):
        for side, run in enumerate((ours, theirs)):
            elapsed, gas[side] = run()
            times[side].append(elapsed)
    if gas[0] != gas[1]:
        raise SystemExit(f"{workload.name}: gas differs: vmloom {gas[0]}, py-evm {gas[1]}")
    mine, other = (statistics.median(side) for side in times)
    return {"workload": workload.name, "gas": gas[0], "vmloom_s": mine, "py_evm_s": other, "ratio": other / mine}


def main() -> None:
    """Measure all workloads and print a table, or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each side (default 5)")
    options = parser.parse_args()
    vm = Evm(EvmConfig(revision="cancun", engine="reference"))
    chain = py_evm_chain(CancunVM)
    rows = [
        compare(one, options.rounds, lambda one=one: run_vmloom(vm, one), lambda one=one: run_py_evm(chain, one))
        for one in WORKLOADS
    ]
    mean = statistics.geometric_mean([float(str(row["ratio"])) for row in rows])
    if options.json:
        print(json.dumps({"rows": rows, "geometric_mean_ratio": mean}, indent=2))
        return
    table = Table(title="py-evm time / vmloom reference engine time (Cancun, CPU time, medians)")
    table.add_column("workload")
    for column in ("gas", "vmloom ms", "py-evm ms", "ratio"):
        table.add_column(column, justify="right")
    for row in rows:
        ms = [f"{float(str(row[side])) * 1e3:.1f}" for side in ("vmloom_s", "py_evm_s")]
        table.add_row(str(row["workload"]), f"{row['gas']:,}", *ms, f"{row['ratio']:.2f}x")
    table.add_row("geometric mean", "", "", "", f"{mean:.2f}x")
    Console().print(table)


if __name__ == "__main__":
    main()
