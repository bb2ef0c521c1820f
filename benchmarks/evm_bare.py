"""How fast rows of pure computing can be: their arithmetic alone, compiled with no EVM around it.

    uv run --group bench python benchmarks/evm_bare.py [--rows WORD ...] [--rounds N] [--json]

Each row's loop is written as one kernel function that calls the op functions of its instructions on words in registers:
no gas, no stack, no memory, no checks. It is compiled by itself and must compute what the EVM does. No compiler of
contracts can beat it, but by doing other arithmetic. `bound` is pyrevm's time over the bare one, `now` pyrevm's over
that of compiled contracts. CPU time of the thread, all sides in turns in one process; the median counts.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from peers import make_side
from peers.ours import VmloomSide
from rich.console import Console
from rich.table import Table
from suite.computing import FIELD, MULTIPLIER, SEED
from suite.rows import ROWS
from suite.work import REVISION, Row, Work
from vmloom.kernel import U256_MAX, u64, u256, wrapping_pow
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.ops.arithmetic import addmod, div, mod, mulmod, sdiv, signextend, smod
from vmloom_evm.ops.bitwise import byte, sar, sgt, shr, slt
from vmloom_native.codegen import emit_object
from vmloom_native.library import Library
from vmloom_native.llvm import present_features
from vmloom_native.program import Program

ROUNDS: Final = 9


# What the bodies of rows compute, as kernels: the value, and the counter, which is at 1 in the last turn


def division(value: u256, turns: u64) -> u256:
    """DIV, MOD, SDIV, SMOD."""
    while turns:
        value = (value * MULTIPLIER + turns) & U256_MAX
        value = value ^ div(value, 1 | shr(192, value))
        value = value ^ mod(value, 1 | shr(128, value * MULTIPLIER & U256_MAX))
        value = value ^ sdiv(value, 1 | sar(64, value * MULTIPLIER & U256_MAX))
        value = (value + smod(value, 1 | (value * MULTIPLIER & U256_MAX))) & U256_MAX
        turns -= 1
    return value


def modular(value: u256, turns: u64) -> u256:
    """MULMOD, ADDMOD."""
    while turns:
        value = (value * MULTIPLIER + turns) & U256_MAX
        product = mulmod(value, value, FIELD)
        value = value ^ product ^ addmod(product, SEED, FIELD)
        turns -= 1
    return value


def exponents(value: u256, turns: u64) -> u256:
    """EXP."""
    while turns:
        value = (value * MULTIPLIER + turns) & U256_MAX
        value = value ^ wrapping_pow(value, value)
        turns -= 1
    return value


def bytes_and_signs(value: u256, turns: u64) -> u256:
    """BYTE, SIGNEXTEND, SAR, SLT, SGT."""
    while turns:
        value = (value * MULTIPLIER + turns) & U256_MAX
        value = value ^ signextend(value & 31, value)
        value = (value + byte(value & 31, value)) & U256_MAX
        value = value ^ sar(value & 255, value)
        value = (value + slt(value, SEED)) & U256_MAX
        value = (value + sgt(value, SEED)) & U256_MAX
        turns -= 1
    return value


def branches(value: u256, turns: u64) -> u256:
    """Jumps that nobody can predict."""
    while turns:
        value = (value * MULTIPLIER + turns) & U256_MAX
        if value >> 17 & 1 == 0:
            value = (value + (MULTIPLIER >> 17)) & U256_MAX
        if value >> 91 & 1 == 0:
            value = (value + (MULTIPLIER >> 91)) & U256_MAX
        if value >> 140 & 1 == 0:
            value = (value + (MULTIPLIER >> 140)) & U256_MAX
        if value >> 203 & 1 == 0:
            value = (value + (MULTIPLIER >> 203)) & U256_MAX
        turns -= 1
    return value


BARE: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "DIV, MOD, SDIV, SMOD": division,
    "MULMOD, ADDMOD": modular,
    "EXP": exponents,
    "BYTE, SIGNEXTEND, SAR, SLT": bytes_and_signs,
    "unpredictable jumps": branches,
}
"""By the name of the row."""


def bare_library() -> Library:
    """All of them, compiled: `void NAME(ptr value, i64 turns)` leaves the result in the place of the first value."""
    program = Program(cpu_features=present_features())
    for kernel in BARE.values():
        ref = program.function(kernel)
        program.define(
            f"define void @bare_{kernel.__name__}(ptr %place, i64 %turns) {{\n"
            "  %value = load i256, ptr %place, align 8\n"
            f"  %result = call i256 @{ref.symbol}(i256 %value, i64 %turns)\n"
            "  store i256 %result, ptr %place, align 8\n  ret void\n}"
        )
    return Library(emit_object(program.ir()))


@dataclass
class Finding:
    """Medians of a row, in ns."""

    row: Row
    bare: float
    native: float
    compiled: float
    peer: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        times = {name: getattr(self, name) / 1e9 for name in ("bare", "native", "compiled", "peer")}
        return {
            "row": self.row.name,
            "seconds": times,
            "bound": self.peer / self.bare,
            "now": self.peer / self.compiled,
        }


def prepared(work: Work, engine: str) -> Callable[[], bytes]:
    """A run on an engine of vmloom, which has compiled the contract if it does that; the state stays as it was."""
    side = VmloomSide(engine, engine)
    config = {"revision": REVISION, "engine": engine, "jit": {"disk_cache": False, "trigger": "first"}}
    side.vm = Evm(EvmConfig.model_validate(config))
    it = side.prepare(work)
    return lambda: it.outcome(it.run()).output


def measured(row: Row, library: Library, rounds: int) -> Finding:
    """Time a row on all sides. Raises `SystemExit` if they do not compute the same."""
    function = library.function(f"bare_{BARE[row.name].__name__}", None, ctypes.c_void_p, ctypes.c_uint64)
    place = ctypes.create_string_buffer(32)

    def bare() -> bytes:
        place.raw = SEED.to_bytes(32, "little")
        function(ctypes.addressof(place), row.count)
        return place.raw[::-1]

    work = row.make(row.count)
    peer = make_side("pyrevm", engine="native", evmone=None).prepare(work)
    sides: dict[str, Callable[[], bytes]] = {
        "bare": bare,
        "native": prepared(work, "native"),
        "compiled": prepared(work, "jit"),
        "peer": lambda: peer.outcome(peer.run()).output,
    }
    if len(outputs := {name: run() for name, run in sides.items()}) and len(set(outputs.values())) > 1:
        raise SystemExit(f"error: {row.name}: results differ: { {name: it.hex() for name, it in outputs.items()} }")
    times: dict[str, list[int]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, run in sides.items():
            begun = time.thread_time_ns()
            run()
            times[name].append(time.thread_time_ns() - begun)
    return Finding(row, **{name: statistics.median(found) for name, found in times.items()})


def main() -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", default=[], metavar="WORD", help="rows whose name has the word")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"runs of each side (default {ROUNDS})")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    words = [word.lower() for word in options.rows]
    rows = [row for row in ROWS if row.name in BARE and (not words or any(it in row.name.lower() for it in words))]
    if not rows:
        parser.error(f"no such row; there are: {'; '.join(BARE)}")
    library = bare_library()
    findings = [measured(row, library, options.rounds) for row in rows]
    if options.json:
        print(json.dumps([finding.to_dict() for finding in findings], indent=2))
        return 0
    table = Table("row", "bare", "compiled", "native", "pyrevm", "bound", "now")
    for one in findings:
        times = [f"{ns / 1e6:.2f} ms" for ns in (one.bare, one.compiled, one.native, one.peer)]
        table.add_row(one.row.name, *times, f"{one.peer / one.bare:.1f}x", f"{one.peer / one.compiled:.1f}x")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
