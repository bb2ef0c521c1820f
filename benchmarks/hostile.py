"""Programs that mean harm: what a unit of gas costs at worst, and whether time stays proportional to gas.

    uv run python benchmarks/hostile.py [--engine native] [--gas 30000000] [--rows WORD ...] [--json]

Each program runs with the gas and with four times the gas, on a new state each time; medians count. `growth` is the
second time over the first: 4 where time is proportional to gas, more where it is worse. Programs whose memory is their
cost grow by less, since its price is quadratic.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from vmloom import Account, ExecutionContext, MemoryState
from vmloom_evm.assembly import (
    Bytecode,
    add,
    address,
    balance,
    call,
    calldatacopy,
    codecopy,
    codesize,
    create,
    create2,
    dup,
    exp,
    extcodecopy,
    gas,
    jump,
    jumpdest,
    keccak256,
    label,
    log0,
    log4,
    mcopy,
    mload,
    mod,
    mstore,
    mulmod,
    not_,
    pop,
    push,
    returndatacopy,
    revert,
    sdiv,
    selfdestruct,
    sload,
    sstore,
    staticcall,
    tstore,
)
from vmloom_evm.config import EvmConfig
from vmloom_evm.vm import Evm

CONTRACT: Final = bytes.fromhex("c0de" * 10)
CALLEE: Final = bytes.fromhex("ca11" * 10)
FACTOR: Final = 4
MAX: Final = 2**256 - 1


def forever(body: Bytecode, setup: Bytecode | None = None, times: int = 8) -> Bytecode:
    """`body` until the gas is gone, with little spent on the loop."""
    return (setup or Bytecode()) + label("on") + body * times + jump("on")


@dataclass(frozen=True)
class Program:
    """`callee` is the code of another contract."""

    name: str
    code: Bytecode
    callee: bytes = b""


def flood(number: int, size: int) -> Program:
    """Calls of a precompile with `size` bytes that are not all zero."""
    body = pop(staticcall(number, gas=500_000, input=(0, size), output=(0, 32))) + mstore(0, gas)
    return Program(f"precompile {number:#x}, {size} bytes", forever(body, mstore(max(0, size - 32), MAX - 1)))


PROGRAMS: Final = (
    Program("JUMPDEST", forever(jumpdest, times=1_000)),
    Program("PUSH, POP", forever(pop(push(MAX)), times=500)),
    Program("SDIV, full width", forever(pop(sdiv(MAX // 3, 2**130 + 1)), times=100)),
    Program("MOD, full width", forever(pop(mod(not_(1), 2**129 + 3)), times=100)),
    Program("MULMOD, full width", forever(pop(mulmod(MAX - 1, MAX - 2, 2**255 + 99)), times=100)),
    Program("EXP, full width", forever(pop(exp(MAX - 2, MAX - 4)))),
    Program("KECCAK256, 32 bytes", forever(pop(keccak256(0, 32)), times=100)),
    Program("KECCAK256, 1 MiB", forever(pop(keccak256(0, 1 << 20)))),
    Program("MCOPY, overlapping", forever(mcopy(1, 0, 1 << 16), mstore(1 << 16, 1))),
    Program("MLOAD that grows memory", forever(pop(mload(add(dup(1), 0))) + add(32), push(0))),
    Program("CALLDATACOPY beyond the input", forever(calldatacopy(0, MAX, 1 << 16))),
    Program("EXTCODECOPY", forever(extcodecopy(CALLEE, 0, 0, 24_576)), b"\x5b" * 24_576),
    Program("RETURNDATACOPY", forever(returndatacopy(0, 0, 0), pop(call(4, input=(0, 1 << 16))))),
    Program("BALANCE of ever others", forever(pop(balance(dup(1))) + add(1), push(2**80))),
    Program("SLOAD of ever others", forever(pop(sload(dup(1))) + add(1), push(2**80))),
    Program("SSTORE to ever others", forever(sstore(dup(1), dup(1)) + add(1), push(2**80))),
    Program("SSTORE to and fro", forever(sstore(1, 1) + sstore(1, 0), times=100)),
    Program("TSTORE to ever others", forever(tstore(dup(1), dup(1)) + add(1), push(2**80))),
    Program("TSTORE, undone", forever(pop(call(CALLEE))), bytes(tstore(gas, 1) * 20 + revert(0, 0))),
    Program("LOG0, no data", forever(log0(0, 0), times=100)),
    Program("LOG4, 1 KiB", forever(log4(0, 1024, 1, 2, 3, 4))),
    Program("CALL of nothing", forever(pop(call(CALLEE)), times=100)),
    Program("CALL of code that is 24 KiB", forever(pop(call(CALLEE)), times=100), b"\0" + b"\x5b" * 24_575),
    Program("CALL of itself, as deep as it goes", pop(call(address)) + forever(pop(call(address)))),
    Program("CREATE, 48 KiB", forever(pop(create(0, 0, 49_152)), mstore(0, 0)), b""),
    Program("CREATE2 of what reverts", forever(pop(create2(0, 0, 3, gas)), mstore(0, b"\x5f\x5f\xfd" + bytes(29)))),
    Program("CREATE of itself", codecopy(0, 0, codesize) + forever(pop(create(0, 0, codesize)))),
    Program("SELFDESTRUCT", forever(pop(call(CALLEE))), bytes(selfdestruct(gas))),
    *(flood(number, size) for number in (1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 13, 15, 0x100) for size in (0, 213)),
    flood(2, 1 << 16),
    flood(3, 1 << 16),
    flood(4, 1 << 16),
    flood(5, 256),
)


@dataclass(frozen=True)
class Finding:
    """`seconds` with the gas, `longer` with `FACTOR` times that."""

    name: str
    used: int
    seconds: float
    longer: float

    @property
    def nanoseconds(self) -> float:
        """For a unit of gas, where most of it is spent."""
        return self.longer / (FACTOR * self.used) * 1e9

    @property
    def growth(self) -> float:
        """`FACTOR` where time is proportional to gas."""
        return self.longer / self.seconds


def measure(vm: Evm, program: Program, limit: int, repeats: int) -> tuple[int, float]:
    """Gas used, and median CPU seconds."""
    code = bytes(program.code)
    times = []
    for _ in range(repeats):
        state = MemoryState({CONTRACT: Account(1, 10**18, code), CALLEE: Account(1, 0, program.callee)})
        context = ExecutionContext(address=CONTRACT, gas_limit=limit)
        began = time.thread_time()
        used = vm.execute(code, context, state).gas_used
        times.append(time.thread_time() - began)
    return used, statistics.median(times)


def find(vm: Evm, program: Program, limit: int, repeats: int) -> Finding:
    """Both runs, after one that pays for what is made once."""
    measure(vm, program, min(limit, 1_000_000), 1)
    used, seconds = measure(vm, program, limit, repeats)
    _, longer = measure(vm, program, FACTOR * limit, repeats)
    return Finding(program.name, used, seconds, longer)


def main() -> None:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--engine", default="native", choices=("native", "reference"))
    parser.add_argument("--gas", type=int, default=30_000_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--rows", nargs="*", default=[], help="only programs whose names contain one of these")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    vm = Evm(EvmConfig(engine=arguments.engine))
    wanted = [one for one in PROGRAMS if not arguments.rows or any(word in one.name for word in arguments.rows)]
    found = [find(vm, program, arguments.gas, arguments.repeats) for program in wanted]
    found.sort(key=lambda one: -one.nanoseconds)
    if arguments.json:
        print(json.dumps([{"name": one.name, "ns_per_gas": one.nanoseconds, "growth": one.growth} for one in found]))
        return
    table = Table("program", "ns per gas", "growth", "ms", title=f"{arguments.engine}, {arguments.gas:,} gas")
    for one in found:
        table.add_row(one.name, f"{one.nanoseconds:.2f}", f"{one.growth:.1f}", f"{one.seconds * 1e3:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
