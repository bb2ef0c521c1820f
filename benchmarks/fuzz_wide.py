"""Compiled arithmetic against Python's integers, on random operands that are often at the edges of words and types.

    uv run python benchmarks/fuzz_wide.py [--cases N] [--seed S] [--only NAME ...]

`--cases` counts comparisons, all functions together. These are the EVM's arithmetic and bit operations, compiled from
their op bodies, and the kernels of `vmloom_native.wide` that divisions become; both as the kernel language has them
and with this processor's own instructions. A difference is printed with its operands, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from vmloom_evm.ops import arithmetic, bitwise
from vmloom_native.codegen import emit_object
from vmloom_native.library import Library
from vmloom_native.llvm import present_features
from vmloom_native.program import Program
from vmloom_native.wide import divide, power

BATCH = 2000
"""Cases of one function that are computed by one call."""
CELL = 64
"""Bytes of an operand or a result in a batch."""
WORD = 1 << 256
WORD_EDGES = [0, 1, 2, 3, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - 2, (1 << 64) - 1]


def signed(word: int) -> int:
    """`word` as two's complement."""
    return word - WORD if word >> 255 else word


def truncated(x: int, y: int) -> int:
    """Signed `x / y` rounded towards zero."""
    quotient = abs(signed(x)) // abs(signed(y)) if y else 0
    return (quotient if (signed(x) < 0) == (signed(y) < 0) else -quotient) % WORD


def signed_remainder(x: int, y: int) -> int:
    """The remainder of `truncated`, which has the sign of `x`."""
    return (signed(x) - signed(truncated(x, y)) * signed(y)) % WORD if y else 0


def sign_extended(width: int, value: int) -> int:
    """The lowest `width + 1` bytes of `value` as a signed integer."""
    bits = 8 * (min(width, 31) + 1)
    low = value & ((1 << bits) - 1)
    return (low - (1 << bits) if low >> (bits - 1) else low) % WORD


def byte_of(index: int, word: int) -> int:
    """Byte `index` of `word`, big-endian."""
    return word.to_bytes(32, "big")[index] if index < 32 else 0


MODELS: dict[Callable[..., Any], Callable[..., int]] = {
    divide.divide_u128: lambda x, y: x // y if y else 0,
    divide.remainder_u128: lambda x, y: x % y if y else 0,
    divide.divide_u256: lambda x, y: x // y if y else 0,
    divide.remainder_u256: lambda x, y: x % y if y else 0,
    divide.divide_u512: lambda x, y: x // y if y else 0,
    divide.remainder_u512: lambda x, y: x % y if y else 0,
    arithmetic.add: lambda x, y: (x + y) % WORD,
    arithmetic.mul: lambda x, y: x * y % WORD,
    arithmetic.sub: lambda x, y: (x - y) % WORD,
    arithmetic.div: lambda x, y: x // y if y else 0,
    arithmetic.sdiv: truncated,
    arithmetic.mod: lambda x, y: x % y if y else 0,
    arithmetic.smod: signed_remainder,
    arithmetic.addmod: lambda x, y, m: (x + y) % m if m else 0,
    arithmetic.mulmod: lambda x, y, m: x * y % m if m else 0,
    power.wrapping_pow_u256: lambda x, y: pow(x, y, WORD),
    arithmetic.signextend: sign_extended,
    bitwise.lt: lambda x, y: int(x < y),
    bitwise.gt: lambda x, y: int(x > y),
    bitwise.slt: lambda x, y: int(signed(x) < signed(y)),
    bitwise.sgt: lambda x, y: int(signed(x) > signed(y)),
    bitwise.eq: lambda x, y: int(x == y),
    bitwise.iszero: lambda x: int(x == 0),
    bitwise.and_: lambda x, y: x & y,
    bitwise.or_: lambda x, y: x | y,
    bitwise.xor: lambda x, y: x ^ y,
    bitwise.not_: lambda x: WORD - 1 - x,
    bitwise.byte: byte_of,
    bitwise.shl: lambda shift, x: (x << shift) % WORD if shift < 256 else 0,
    bitwise.shr: lambda shift, x: x >> min(shift, 256),
    bitwise.sar: lambda shift, x: (signed(x) >> min(shift, 256)) % WORD,
    bitwise.clz: lambda x: 256 - x.bit_length(),
}
"""What each function computes, said without it."""


class Operands:
    """Random integers of which many are near powers of two, have words that are all zeros or ones, or are small."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, bits: int) -> int:
        """An integer below 2**`bits`."""
        pick = self.random.randrange(8)
        if pick < 3:
            return self.random.getrandbits(self.random.randint(1, bits))
        if pick == 3:
            return (1 << self.random.randint(0, bits - 1)) + self.random.randint(-2, 2) & ((1 << bits) - 1)
        if pick == 4:
            return self.random.getrandbits(9)
        number = 0
        for _ in range(bits // 64):
            edge = self.random.randrange(3)
            number = number << 64 | (self.random.choice(WORD_EDGES) if edge else self.random.getrandbits(64))
        return number >> (self.random.choice((0, 64, 128, self.random.randrange(bits))) if pick > 5 else 0)

    def case(self, widths: list[int]) -> list[int]:
        """Operands of a function. The last of several is often close to a divisor of the others, or above them."""
        numbers = [self.number(it) for it in widths]
        relation = self.random.randrange(8)
        if len(widths) == 2 and relation < 2 and numbers[1]:
            digit = self.number(64)
            near = numbers[1] * (digit << self.random.choice((0, 0, 64, 128))) + self.random.choice(
                (-1, 0, 1, numbers[1] - 1)
            )
            numbers[0] = near & ((1 << widths[0]) - 1)
        elif len(widths) == 3 and relation < 4 and numbers[2]:
            numbers[:2] = [it % numbers[2] for it in numbers[:2]]
        return numbers


@dataclass(frozen=True)
class Batch:
    """A compiled function that is applied to many operands by one call."""

    name: str
    widths: list[int]
    function: Any
    model: Callable[..., int]

    def compare(self, cases: list[list[int]]) -> str | None:
        """What the first difference is, if there is one."""
        given = b"".join(number.to_bytes(CELL, "little") for case in cases for number in case)
        results = (ctypes.c_char * (CELL * len(cases)))()
        self.function(given, results, len(cases))
        expected = [self.model(*case) for case in cases]
        computed = bytes(results)
        if b"".join(it.to_bytes(CELL, "little") for it in expected) == computed:
            return None
        for number, (case, right) in enumerate(zip(cases, expected, strict=True)):
            got = int.from_bytes(computed[CELL * number : CELL * (number + 1)], "little")
            if got != right:
                return f"{self.name}({', '.join(map(hex, case))}) is {right:#x}, compiled code says {got:#x}"
        raise AssertionError("bytes differ and integers do not")


def compiled_batches(models: dict[Callable[..., Any], Callable[..., int]], cpu_features: frozenset[str]) -> list[Batch]:
    """All functions, compiled together, with the instructions that a processor of these features has for them."""
    program = Program(cpu_features=cpu_features)
    refs: dict[Any, Any] = {}
    for number, function in enumerate(models):
        refs[function] = ref = program.function(function)
        program.define(loop_of(f"batch{number}", ref))
    library = Library(emit_object(program.ir()))
    batches = []
    for number, (function, model) in enumerate(models.items()):
        entry = library.function(f"batch{number}", None, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_uint64)
        widths = [kind.bits for kind in refs[function].parameters]
        batches.append(Batch(function.__name__, widths, entry, model))
    return batches


def loop_of(name: str, ref: Any) -> str:
    """IR of `void name(operands, results, count)`: each operand and result has `CELL` bytes."""
    kinds = [kind.llvm for kind in ref.parameters]
    lines = [
        f"define void @{name}(ptr %operands, ptr %results, i64 %count) {{",
        "entry:\n  %none = icmp eq i64 %count, 0\n  br i1 %none, label %end, label %loop",
        "loop:\n  %i = phi i64 [0, %entry], [%next, %loop]",
        f"  %first = mul i64 %i, {CELL * len(kinds)}",
    ]
    for number, kind in enumerate(kinds):
        lines.append(f"  %offset{number} = add i64 %first, {CELL * number}")
        lines.append(f"  %place{number} = getelementptr i8, ptr %operands, i64 %offset{number}")
        lines.append(f"  %operand{number} = load {kind}, ptr %place{number}, align 1")
    given = ", ".join(f"{kind} %operand{number}" for number, kind in enumerate(kinds))
    lines.append(f"  %result = call {ref.returns.llvm} @{ref.symbol}({given})")
    wide = "%result"
    if ref.returns.bits < 8 * CELL:
        lines.append(f"  %wide = zext {ref.returns.llvm} %result to i{8 * CELL}")
        wide = "%wide"
    lines += [
        f"  %offset = mul i64 %i, {CELL}\n  %place = getelementptr i8, ptr %results, i64 %offset",
        f"  store i{8 * CELL} {wide}, ptr %place, align 1",
        "  %next = add i64 %i, 1\n  %more = icmp ult i64 %next, %count\n  br i1 %more, label %loop, label %end",
        "end:\n  ret void\n}",
    ]
    return "\n".join(lines)


def fuzz(cases: int, seed: int, only: list[str] | None = None) -> list[str]:
    """Compare `cases` results, spread over the functions (or those named in `only`); the differences."""
    chosen = {function: model for function, model in MODELS.items() if not only or function.__name__ in only}
    if not chosen:
        raise SystemExit(f"no function is called {' or '.join(only or [])}")
    ways = dict.fromkeys((frozenset[str](), present_features()))
    batches = [batch for features in ways for batch in compiled_batches(chosen, features)]
    operands = Operands(seed)
    differences: dict[str, str] = {}
    done = 0
    while done < cases:
        batch = batches[done // BATCH % len(batches)]
        count = min(BATCH, cases - done)
        difference = batch.compare([operands.case(batch.widths) for _ in range(count)])
        if difference is not None:
            differences.setdefault(batch.name, difference)
        done += count
    return list(differences.values())


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Compiled arithmetic against Python's integers.")
    parser.add_argument("--cases", type=int, default=1_000_000, help="comparisons, all functions together")
    parser.add_argument("--seed", type=int, default=None, help="of the random operands; chosen and printed otherwise")
    parser.add_argument("--only", nargs="*", help="names of functions, such as div, mulmod, divide_u256")
    options = parser.parse_args()
    seed = random.SystemRandom().getrandbits(32) if options.seed is None else options.seed
    print(f"seed {seed}, {options.cases:,} cases", flush=True)
    began = time.perf_counter()
    differences = fuzz(options.cases, seed, options.only)
    for difference in differences:
        print(difference)
    print(f"{len(differences)} function(s) differ after {time.perf_counter() - began:.0f} s")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
