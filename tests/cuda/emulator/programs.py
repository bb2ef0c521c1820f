"""Programs of a few instructions: kernels that take their operands from memory, row by row, and put results there."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from vmloom_cuda.emulator import DeviceMemory, Emulator

CELL = 8
NAMES = "abcd"
LETTERS = {1: "p", 16: "h", 32: "r", 64: "d"}
"""How registers of each width are called."""
HEAD = ".version 8.0\n.target sm_75\n.address_size 64\n"


@dataclass(frozen=True)
class Program:
    """Instructions on `%a`, `%b` ..., whose bits are `takes`, with results `%x`, `%y`, whose bits are `gives`."""

    text: str
    takes: tuple[int, ...]
    gives: tuple[int, ...]

    def kernel(self, name: str) -> str:
        lines = [
            f".visible .entry {name}(.param .u64 {name}_0, .param .u64 {name}_1, .param .u64 {name}_2)",
            "{ .reg .b32 %row; .reg .b64 %at, %in, %out, %t; .reg .pred %p<4>; .reg .b16 %h<4>;",
            ".reg .b32 %r<4>; .reg .b64 %d<4>;",
            *(f".reg {_type(bits)} %{letter};" for letter, bits in zip(NAMES, self.takes, strict=False)),
            *(f".reg {_type(bits)} %{letter};" for letter, bits in zip("xy", self.gives, strict=False)),
            f"mov.u32 %row, %tid.x; ld.param.u64 %in, [{name}_1]; ld.param.u64 %out, [{name}_2];",
            f"mul.wide.u32 %at, %row, {CELL * len(self.takes)}; add.u64 %in, %in, %at;",
            f"mul.wide.u32 %at, %row, {CELL * len(self.gives)}; add.u64 %out, %out, %at;",
        ]
        for place, (letter, bits) in enumerate(zip(NAMES, self.takes, strict=False)):
            lines.append(f"ld.global.u64 %t, [%in+{CELL * place}];")
            lines.append(_from_64(f"%{letter}", "%t", bits))
        lines.append(self.text)
        for place, (letter, bits) in enumerate(zip("xy", self.gives, strict=False)):
            lines.append(_to_64("%t", f"%{letter}", bits))
            lines.append(f"st.global.u64 [%out+{CELL * place}], %t;")
        return "\n".join((*lines, "ret; }\n"))


def _type(bits: int) -> str:
    return ".pred" if bits == 1 else f".b{bits}"


def _from_64(to: str, source: str, bits: int) -> str:
    if bits == 1:
        return f"and.b64 {source}, {source}, 1; setp.ne.b64 {to}, {source}, 0;"
    return f"mov.b64 {to}, {source};" if bits == 64 else f"cvt.u{bits}.u64 {to}, {source};"


def _to_64(to: str, source: str, bits: int) -> str:
    if bits == 1:
        return f"selp.b64 {to}, 1, 0, {source};"
    return f"mov.b64 {to}, {source};" if bits == 64 else f"cvt.u64.u{bits} {to}, {source};"


def results(emulator: Emulator, name: str, program: Program, rows: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """What a program's kernel gives for each row of operands."""
    memory: DeviceMemory = emulator.memory
    data = b"".join(value.to_bytes(CELL, "little") for row in rows for value in row)
    given, made = memory.allocate(max(len(data), CELL)), memory.allocate(CELL * len(program.gives) * len(rows))
    memory.write(given, data)
    emulator.run(name, (len(rows), given, made), block=len(rows))
    found = memory.read(made, CELL * len(program.gives) * len(rows))
    memory.free(given)
    memory.free(made)
    cells = [int.from_bytes(found[at : at + CELL], "little") for at in range(0, len(found), CELL)]
    return [tuple(cells[at : at + len(program.gives)]) for at in range(0, len(cells), len(program.gives))]


def operands(rng: random.Random, takes: Sequence[int], rows: int) -> list[tuple[int, ...]]:
    """Rows of operands: edges of each width, small numbers, and random ones of every length."""

    def one(bits: int) -> int:
        edges = (0, 1, 2, 31, 32, 33, 63, 64, (1 << bits) - 1, (1 << bits) - 2, 1 << (bits - 1), (1 << (bits - 1)) - 1)
        chosen = rng.choice(edges) if rng.random() < 0.5 else rng.getrandbits(rng.randrange(1, bits + 1))
        return chosen & ((1 << bits) - 1)

    return [tuple(map(one, takes)) for _ in range(rows)]
