"""Code that means harm to the compiler of contracts: what a byte of it costs at worst, and whether that stays so.

    uv run python benchmarks/evm_compile.py [--size 24576] [--rows WORD ...] [--json]

Each program is compiled at a quarter of the size and at the size, in processor time of the thread. `growth` is the
time by byte of the second over that of the first: 1 where time is proportional to size, more where it is worse.
Memory is how much the process has grown to at most while the program was compiled, by byte of code.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Final

from rich.console import Console
from rich.table import Table
from vmloom_evm.forks import LATEST
from vmloom_evm.jit.compile import Uncompilable, emit_object, ir
from vmloom_evm.specification import specify

SIZE: Final = 24_576
"""Bytes: the largest contract that is compiled unless the configuration says otherwise."""
SMALL: Final = 4
SPECIFICATION: Final = specify(LATEST)
UNKNOWN: Final = bytes.fromhex("5f35")
"""PUSH0 CALLDATALOAD: a word of which nothing is known."""


def of(unit: str, start: bytes = b"") -> Callable[[int], bytes]:
    """Makes code of a size: `start`, and then `unit` (hex) again and again."""
    repeated = bytes.fromhex(unit)
    return lambda size: (start + repeated * (size // len(repeated) + 1))[:size]


def constant_jumps(size: int) -> bytes:
    """JUMPDEST PUSH2 JUMP, each to any other."""
    count, chance = size // 5, random.Random(1)
    return b"".join(b"\x5b\x61" + (5 * chance.randrange(count)).to_bytes(2, "big") + b"\x56" for _ in range(count))


def conditional_jumps(size: int) -> bytes:
    """JUMPDEST DUP1 PUSH2 JUMPI on an unknown word, each to any other: every block has two ways out and many in."""
    count, chance = (size - 2) // 6, random.Random(2)
    ways = ((2 + 6 * chance.randrange(count)).to_bytes(2, "big") for _ in range(count))
    return UNKNOWN + b"".join(b"\x5b\x80\x61" + way + b"\x57" for way in ways)


def maze(size: int) -> bytes:
    """The same with words that change and change places on the way."""
    count, chance = (size - 4) // 9, random.Random(3)
    ways = ((4 + 9 * chance.randrange(count)).to_bytes(2, "big") for _ in range(count))
    return 2 * UNKNOWN + b"".join(b"\x5b\x80\x01\x80\x61" + way + b"\x57\x90" for way in ways)


def one_failure(size: int) -> bytes:
    """CALLDATASIZE DUP2 JUMPI: tests one after the other, all of which lead to the same place."""
    start = b"\x61" + (size - 1).to_bytes(2, "big")
    return (start + b"\x36\x81\x57" * ((size - 4) // 3)).ljust(size - 1, b"\x5b") + b"\x5b"


def backwards(size: int) -> bytes:
    """Blocks from the last to the first: each goes on with the one before it, or with the one after it."""
    start, count = 6, (size - 6) // 6
    ways = [start + 6 * max(0, number - 1) for number in range(count)]
    first = UNKNOWN + b"\x61" + (start + 6 * (count - 1)).to_bytes(2, "big") + b"\x56"
    return first + b"".join(b"\x5b\x80\x61" + way.to_bytes(2, "big") + b"\x57" for way in ways)


def returns_anywhere(size: int) -> bytes:
    """Functions that call others, or go back to where one before them has pushed."""
    count, chance = (size - 4) // 12, random.Random(5)

    def way() -> bytes:
        return b"\x61" + (4 + 12 * chance.randrange(count)).to_bytes(2, "big")

    return 2 * UNKNOWN + b"".join(b"\x5b" + way() + UNKNOWN + way() + b"\x57\x56\x5b" for _ in range(count))


def counters(size: int) -> bytes:
    """Loops through each other, in which many items of the stack are counted up and change places."""
    start, chance = b"\x60\x01" * 46 + UNKNOWN, random.Random(6)
    count = (size - len(start)) // 12
    blocks = []
    for _ in range(count):
        swaps = [bytes([0x90 + chance.randrange(16)]) for _ in range(2)]
        way = (len(start) + 12 * chance.randrange(count)).to_bytes(2, "big")
        blocks.append(b"\x5b" + swaps[0] + b"\x60\x01\x01" + swaps[1] + UNKNOWN + b"\x61" + way + b"\x57")
    return start + b"".join(blocks)


DEEP: Final = UNKNOWN * 17
CONSTANTS: Final = b"".join(b"\x61" + (0x1000 + number).to_bytes(2, "big") for number in range(60))
WORD: Final = "7f" + bytes(range(0x80, 0xA0)).hex()
PROGRAMS: Final[dict[str, Callable[[int], bytes]]] = {
    "JUMPDESTs": of("5b"),
    "constant jumps": constant_jumps,
    "conditional jumps": conditional_jumps,
    "maze": maze,
    "one failure": one_failure,
    "backwards": backwards,
    "returns anywhere": returns_anywhere,
    "counters": counters,
    "constants and CREATE": of("5f5f5ff050", CONSTANTS),
    "jumps to anywhere": of("5b5f3556"),
    "JUMPDEST JUMP": of("5b56"),
    "return addresses": of("5b6000565b9056"),
    "comparisons and JUMPI": of("5b5f35600510156100005750"),
    "JUMPDEST SWAP16": of("5b905b9f", DEEP),
    "JUMPDEST DUP16": of("5b8f50", DEEP),
    "SWAP1 to SWAP16": of("909192939495969798999a9b9c9d9e9f", DEEP),
    "DUP16 SWAP16": of("8f9f8e9e5050", DEEP),
    "DUP1 until the stack is full": of("80"),
    "ADD": of("8001", UNKNOWN),
    "MUL": of("8002", UNKNOWN),
    "SDIV": of("8005", UNKNOWN),
    "ADDMOD": of("808008", UNKNOWN),
    "EXP of constants": of("61ffff61fffe0a50"),
    "EXP of words": of("80800a50", bytes.fromhex(WORD)),
    "EXP of what EXP gives": of("800a", bytes.fromhex(WORD)),
    "PUSH32": of(WORD),
    "constants that grow": of("8002", b"\x60\x02"),
    "SHL SAR": of("801b801d", UNKNOWN),
    "MULMOD by words": of(WORD + "908009", UNKNOWN),
    "DIV by bytes": of("600790041960059004", UNKNOWN),
    "SIGNEXTEND BYTE": of("800b801a", UNKNOWN),
    "MLOAD MSTORE anywhere": of("5f35515f3552"),
    "MSTORE": of("6001602052"),
    "MCOPY": of("5f5f5f5e"),
    "KECCAK256": of("5f5f2050"),
    "SLOAD SSTORE": of("5f545f55"),
    "LOG0": of("5f5fa0"),
    "CALL": of("5f5f5f5f5f5f5af150"),
    "GAS": of("5a50"),
    "random bytes": lambda size: random.Random(4).randbytes(size),
}


@dataclass(frozen=True)
class Compiled:
    """What compiling a program of `size` bytes came to: seconds, and bytes of text for LLVM, machine code and memory.

    `refusal` is why it stays interpreted, empty if it does not.
    """

    size: int
    seconds: float
    text: int = 0
    machine_code: int = 0
    memory: int = 0
    refusal: str = ""


def compile_one(name: str, size: int) -> Compiled:
    """Compile a program, in this process."""
    code = PROGRAMS[name](size)
    before, begun = peak(), time.thread_time()
    try:
        text = ir(SPECIFICATION, code)
        made = emit_object(text)
    except Uncompilable as error:
        return Compiled(len(code), time.thread_time() - begun, refusal=error.reason)
    return Compiled(len(code), time.thread_time() - begun, len(text), len(made), peak() - before)


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def work(name: str, size: int) -> tuple[Compiled, Compiled]:
    """A program at both sizes, after one that makes ready what all share."""
    compile_one("GAS", 100)
    return compile_one(name, size // SMALL), compile_one(name, size)


def main() -> None:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=SIZE, help=f"bytes (default {SIZE:,})")
    parser.add_argument("--rows", nargs="+", default=[], metavar="WORD", help="programs whose name has the word")
    parser.add_argument("--json", action="store_true", help="machine-readable output")
    options = parser.parse_args()
    names = [name for name in PROGRAMS if not options.rows or any(word in name for word in options.rows)]
    found = {}
    for name in names:  # in a process of its own, whose memory is the program's
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found[name] = pool.apply(work, (name, options.size))
    if options.json:
        print(json.dumps({name: [asdict(one) for one in sizes] for name, sizes in found.items()}, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 120).print(table(found))


def table(found: dict[str, tuple[Compiled, Compiled]]) -> Table:
    """One line for each program."""
    shown = Table("program", caption="us, text, machine code and memory are by byte of code")
    for column in ("time", "us", "growth", "text", "machine code", "memory"):
        shown.add_column(column, justify="right")
    for name, (small, large) in found.items():
        if large.refusal:
            shown.add_row(name, f"refused: {large.refusal}")
            continue
        by_byte, before = large.seconds / large.size, small.seconds / small.size
        shown.add_row(
            name,
            f"{large.seconds:.2f} s",
            f"{by_byte * 1e6:.0f}",
            f"{by_byte / before:.1f}" if not small.refusal else "-",
            *(f"{number / large.size:,.0f}" for number in (large.text, large.machine_code, large.memory)),
        )
    return shown


if __name__ == "__main__":
    main()
