"""Random kernel functions do the same as PTX, in the emulator, as on the host and as in CPython."""

from __future__ import annotations

import ctypes
import itertools
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom_cuda.emulator import Emulator
from vmloom_cuda.ptx import PtxModule, Row, module
from vmloom_native.kinds import BOOL, Integer
from vmloom_native.program import FunctionRef, Program
from vmloom_native.testing import CELL, entry_of

from ...kernel_grammar import Grammar, arguments, functions_of

FUNCTIONS = 6
"""for each module: LLVM takes long for integers of 512 bits"""
ROWS = 32
NUMBERS = itertools.count()


def row_of(number: int) -> str:
    """A row body around a C function that takes its arguments from cells, and puts its result into the first one."""
    return (
        f"define internal void @row{number}(i64 %row, i64 %count, ptr %cells, i64 %stride) {{\n"
        "  %offset = mul i64 %row, %stride\n  %place = getelementptr i8, ptr %cells, i64 %offset\n"
        f"  %status = call i64 @entry{number}(ptr %place)\n  ret void\n}}"
    )


def kernels_of(functions: list[Callable[..., Any]]) -> tuple[PtxModule, list[FunctionRef]]:
    """A kernel `k` and a number for each function."""
    program = Program()
    references = [program.function(it) for it in functions]
    for number, reference in enumerate(references):
        program.define(entry_of(f"entry{number}", reference).replace("define i64", "define internal i64"))
        program.define(row_of(number))
    rows = {f"k{number}": Row(f"row{number}", ("ptr", "i64")) for number in range(len(references))}
    return module(rows, program=program), references


def cells_of(rows: list[tuple[int, ...]]) -> bytes:
    return b"".join((value % (1 << 8 * CELL)).to_bytes(CELL, "little") for row in rows for value in row)


def result_of(cell: bytes, reference: FunctionRef) -> int:
    kind = reference.result
    assert isinstance(kind, Integer)
    return int.from_bytes(cell[: 1 if kind == BOOL else kind.bits // 8], "little", signed=kind.signed)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@settings(max_examples=4)
@given(seed=st.integers(0, 2**64 - 1))
def test_random_functions_do_the_same(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    grammar = Grammar(rng)
    source = "".join(grammar.function(f"f_{number}") for number in range(FUNCTIONS))
    functions = functions_of(source, folder / f"m{next(NUMBERS)}.py")
    made, references = kernels_of(functions)
    host, emulator = made.host(level=1), Emulator(made.ptx)
    for number, (function, reference) in enumerate(zip(functions, references, strict=True)):
        rows = [arguments(rng) for _ in range(ROWS)]
        data, stride = cells_of(rows), CELL * len(rows[0])
        buffer = ctypes.create_string_buffer(data, len(data))
        host.run(f"k{number}", ROWS, ctypes.addressof(buffer), stride)
        address = emulator.memory.allocate(len(data))
        emulator.memory.write(address, data)
        emulator.launch(f"k{number}", ROWS, (address, stride), block=ROWS)
        found = emulator.memory.read(address, len(data))
        emulator.memory.free(address)
        for row, given_ in enumerate(rows):
            at = row * stride
            by_host, by_device = (result_of(it[at : at + CELL], reference) for it in (buffer.raw, found))
            assert by_host == by_device == function(*given_), (function.__name__, given_, source)
